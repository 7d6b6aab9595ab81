"""Which linear solver suits a problem."""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from ..conditions import Conditions
from ..formulation import ConcentrationPotential, Entropy, Formulation, Fractions
from .base import Direct, LinearSolver, Multigrid, factors
from .charged import TwoLevel, TwoLevelInFractions

LARGEST_DIRECT = {1: np.inf, 2: 200_000, 3: 25_000}
"""Unknowns up to which factors are the faster way, by dimension: their number grows like N ln N in the plane, like N^(4/3) in space."""

SMALLEST_KEPT = {1: np.inf, 2: 20_000, 3: 5_000}
"""Unknowns from which on a solution with factors is so much cheaper than a new Jacobian with new factors that old ones are kept."""


def is_large(unknowns: int, dimension: int) -> bool:
    """Whether an iteration is the faster way."""
    return unknowns > LARGEST_DIRECT[dimension]


def may_eliminate(formulation: Formulation) -> bool:
    """Whether equations for c alone, whose Jacobian has no entries, serve a formulation: unless a user's -pc_type asks for entries."""
    asked = PETSc.Options().getString("pc_type", "")
    return isinstance(formulation, ConcentrationPotential) and not formulation.model.charged and asked in ("", "python")


def choose(formulation: Formulation, conditions: Conditions, prefix: str = "") -> LinearSolver:
    """By the formulation and the number of unknowns; a user's own -pc_type goes before."""
    model = formulation.model
    unknowns, dimension = formulation.space.dofmap.index_map.size_global * formulation.block, formulation.geometry.dimension
    keeps = isinstance(formulation, (Entropy, Fractions)) and unknowns >= SMALLEST_KEPT[dimension]
    possible: list[LinearSolver] = [Direct(factors(formulation.comm, unknowns), keeps)]
    if model.charged and isinstance(formulation, Entropy):
        possible.append(TwoLevel(formulation.comm, conditions.held, np.array(model.charges)))
    elif model.charged and isinstance(formulation, Fractions):
        possible.append(TwoLevelInFractions(formulation, conditions.held))
    elif isinstance(formulation, (Entropy, Fractions)):
        possible.append(Multigrid())
    asked = PETSc.Options().getString(prefix + "pc_type", "")
    if asked:
        return next((solver for solver in possible if solver.options["pc_type"] == asked), LinearSolver())
    return possible[-1 if is_large(unknowns, dimension) else 0]
