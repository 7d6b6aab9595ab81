"""A starting guess for entropy variables where some region is nearly empty or full.

There c(w) is so steep that Newton's method can converge to a state in which a vertex is cut off from its neighbours: the residual vanishes, mass
is exact, the entropy falls, and the concentrations are wrong by a tenth. One step in the fractions themselves, solved roughly, starts it on
the right branch. (Measured on vacuum of 1e-12 and saturation of 1e-10, with two and three species: every run correct with the predictor, 21 of
50 locked without.)
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .conditions import Conditions
from .formulation import Formulation, Fractions, Model
from .mobility import MobilityOfForces
from .newton import Newton, Norms, NotConverged
from .operators import AssembledOperators
from .parallel import global_min
from .preconditioner import choose as choose_linear_solver
from .step import StepData

if TYPE_CHECKING:
    from .system import System

PREFIX = "predictor_"  # of its PETSc options
NEARLY_EMPTY = 1e-6
ROUGH = 1e-6  # to which residual the predictor solves: a guess as good as that needs none
FROZEN = 1e-18
LOCKED = 1e-3  # fall of the smallest fraction in one step that no diffusion makes


def may_predict(model: Model) -> bool:
    """Whether the fractions formulation can take a step of the model at all."""
    return isinstance(model.mobility, MobilityOfForces)


class Predictor:
    """Takes the steps of a system in the fractions formulation, roughly."""

    def __init__(self, system: System) -> None:
        self._system, self._before = system, 1.0

    def remember(self) -> None:
        """That u is the state at the start of a step. Collective."""
        self._before = self._smallest()

    @property
    def is_needed(self) -> bool:
        """Whether a fraction of that state is nearly zero somewhere."""
        return self._before < NEARLY_EMPTY

    def has_locked(self) -> bool:
        """Whether the smallest fraction of u has collapsed since then. Strong drift does that too: it calls for a second try, no more."""
        after = self._smallest()
        return after < NEARLY_EMPTY and after < LOCKED * self._before

    def is_frozen(self) -> bool:
        """Whether a fraction is smaller than any drift in a single step leaves it."""
        return self._smallest() < FROZEN

    def guess(self, step: StepData) -> np.ndarray | None:
        """Unknowns of the system's own formulation (owned, flat) near the solution; None where the rough step fails."""
        system, (formulation, conditions, newton) = self._system, self._solver
        formulation.set_concentrations(step.states[0])
        if formulation.phi_row is not None:
            formulation.set_phi(step.values.reshape(-1, system.formulation.block)[:, system.formulation.phi_row])
        system.prepare(formulation, conditions, step)
        conditions.impose_concentrations()
        conditions.impose_phi()
        try:
            newton.solve(formulation.u.x.array[: formulation.owned].copy())
        except NotConverged:
            return None
        c = np.maximum(formulation.concentrations, np.maximum(0.01 * step.states[0], 1e-14))
        if system.model.closed:
            left = system.model.rest
            rest = np.maximum(left(formulation.concentrations), np.maximum(0.01 * left(step.states[0]), 1e-14))
            c = c / (1 - left(c) + rest)[:, None]
        if formulation.phi_row is not None:
            system.formulation.set_phi(formulation.fields[:, formulation.phi_row])
        system.formulation.set_concentrations(c)
        return system.values()

    @cached_property
    def _solver(self) -> tuple[Formulation, Conditions, Newton]:
        system = self._system
        formulation = Fractions(system.model, system.geometry, system.scheme, system.local_density)
        conditions = Conditions(system.problem, formulation, system.scales.time)
        residual = formulation.residual(conditions.imposed_fluxes())
        operators = AssembledOperators(formulation.u, residual, formulation.jacobian(residual), conditions.fixed, formulation.changed)
        norms = Norms(system.comm, formulation.whole_volume, formulation.block)
        linear = choose_linear_solver(formulation, conditions, PREFIX)
        linear.keeps = False  # a guess must not depend on those before: no checkpoint remembers them
        newton = Newton(operators, norms, None, linear, prefix=PREFIX, snes_atol=ROUGH, snes_stol=ROUGH, snes_max_it=12)
        return formulation, conditions, newton

    def _smallest(self) -> float:
        """The smallest fraction of u outside the reservoirs, which are what they are."""
        system = self._system
        free = system.has_matter & ~system.conditions.open_rows.any(axis=1)
        components = system.formulation.components[free]
        return float(global_min(system.comm, components if system.model.closed else components[:, : system.n]))
