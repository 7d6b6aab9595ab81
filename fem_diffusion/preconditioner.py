"""How the linear systems of Newton's method are solved: by factors while they are small, by an iteration whose count does not grow when they are large."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from petsc4py import PETSc

from .conditions import Conditions
from .formulation import Entropy, Formulation, Fractions
from .parallel import global_sum

LARGEST_DIRECT = {1: np.inf, 2: 200_000, 3: 25_000}
"""Unknowns up to which factors are the faster way, by dimension: their number grows like N ln N in the plane, like N^(4/3) in space."""

MAX_ITERATIONS = 40  # more of them tell that Newton's method itself runs away: a smaller step is the remedy


class LinearSolver:
    """PETSc options, what they cannot say, and what is to be done when the Jacobian has changed. This one leaves all to a user's options."""

    description: ClassVar[str] = "as asked for"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def attach(self, solver: PETSc.KSP) -> None:
        """Give the solver what options cannot say, before it reads them."""

    def update(self, jacobian: PETSc.Mat) -> None:
        """Follow a Jacobian with new values. Collective."""


class Direct(LinearSolver):
    """LU through MUMPS: the fastest and most robust for small problems, and the one that needs no structure."""

    description = "direct (MUMPS)"

    def __init__(self) -> None:
        super().__init__()
        self.options = {
            "ksp_type": "preonly",
            "pc_type": "lu",
            "pc_factor_mat_solver_type": "mumps",
            "mat_mumps_icntl_14": 60,  # per cent of extra workspace: pivoting needs it
        }


class Iterative(LinearSolver):
    """Flexible GMRES on the symmetrically scaled equations D J D y = D b, D = |diag J|^(-1/2).

    The scaling makes rows comparable whose units differ, and those of nearly empty vertices visible; being symmetric it keeps the symmetry
    that J has at equilibrium, on which algebraic multigrid relies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options = {
            "ksp_type": "fgmres",
            "ksp_rtol": 1e-6,
            "ksp_max_it": MAX_ITERATIONS,
            "ksp_gmres_restart": MAX_ITERATIONS,
            "ksp_diagonal_scale": True,
            "ksp_diagonal_scale_fix": True,  # J and b are the caller's: scaled back afterwards
        }


class Multigrid(Iterative):
    """Algebraic multigrid for systems (BoomerAMG, with one function for each species): diffusion without charges."""

    description = "iterative (algebraic multigrid)"

    def __init__(self) -> None:
        super().__init__()
        self.options |= {"pc_type": "hypre", "pc_hypre_type": "boomeramg"}


class TwoLevel(Iterative):
    """Two-level multiplicative multigrid for charged species in entropy variables (w_1..w_n, phi).

    At equilibrium J is symmetric and positive, of the energy (C = dc/ds, s = w - z phi, a_i = D_i c_i c_0)

        C |w - z phi|^2 + dt sum_i a_i |grad w_i|^2 + eps |grad phi|^2

    A sweep over the fields, w_1..w_n and phi one after the other by a multigrid cycle each, stalls where C is much larger than the rest: the
    soft direction is then w = z phi, along which no concentration changes, and no single field has it. It becomes the coarse space,

        dw_i = z_i psi,   dphi = psi       with the operator eps K + dt K_a, a = sum_i z_i^2 a_i

    assembled by Galerkin's product, again with one cycle. One sweep goes before and one after the correction. Where a field is held, its part is
    zero; psi lives where phi is free.

    held: which unknowns are held, (owned vertices, n + 1); charges: z_i
    """

    description = "iterative (two-level, fields and w = z phi)"

    def __init__(self, comm: Any, held: np.ndarray, charges: np.ndarray) -> None:
        super().__init__()
        n = len(charges)
        levels, split = "mg_levels_", "mg_levels_pc_fieldsplit_"
        self.options |= {
            "pc_type": "mg",
            "pc_mg_levels": 2,
            "pc_mg_type": "multiplicative",
            "pc_mg_galerkin": "both",
            levels + "ksp_type": "richardson",
            levels + "ksp_max_it": 1,
            levels + "ksp_norm_type": "none",
            levels + "pc_type": "fieldsplit",
            split + "type": "multiplicative",
            split + "block_size": n + 1,
            "mg_coarse_ksp_type": "preonly",
            "mg_coarse_pc_type": "hypre",
            "mg_coarse_pc_hypre_type": "boomeramg",
        }
        for i in range(n + 1):
            field = f"{levels}fieldsplit_{i}_"
            self.options |= {f"{split}{i}_fields": i, field + "ksp_type": "preonly", field + "pc_type": "hypre"}
        self._coarse = _soft_directions(comm, held, charges)
        self._interpolation = self._coarse.duplicate(copy=True)
        self._root: PETSc.Vec | None = None

    def attach(self, solver: PETSc.KSP) -> None:
        preconditioner = solver.getPC()
        preconditioner.setType("mg")
        preconditioner.setMGLevels(2)
        preconditioner.setMGInterpolation(1, self._interpolation)

    def update(self, jacobian: PETSc.Mat) -> None:
        """The scaled unknowns are D^-1 (w, phi): so are the columns of the interpolation."""
        if self._root is None:
            self._root = jacobian.createVecLeft()
        jacobian.getDiagonal(self._root)
        self._root.abs()
        self._root.sqrtabs()
        self._coarse.copy(self._interpolation, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self._interpolation.diagonalScale(self._root)


def _soft_directions(comm: Any, held: np.ndarray, charges: np.ndarray) -> PETSc.Mat:
    """P with (P psi)_(v,i) = z_i psi_v, (P psi)_(v,phi) = psi_v, zero where that unknown is held; one column for each vertex with free phi."""
    values = np.broadcast_to([*charges, 1.0], held.shape)
    mine, first = int((~held[:, -1]).sum()), int(comm.exscan(int((~held[:, -1]).sum())) or 0)
    columns = np.broadcast_to((first + np.cumsum(~held[:, -1]) - 1)[:, None], held.shape)
    there = ~held & ~held[:, -1:] & (values != 0.0)
    starts = np.append(0, np.cumsum(there.ravel()))
    csr = tuple(part.astype(PETSc.IntType) for part in (starts, columns[there])), values[there]
    sizes = ((held.size, global_sum(comm, held.size)), (mine, global_sum(comm, mine)))
    return PETSc.Mat().createAIJ(sizes, csr=(*csr[0], csr[1]), comm=comm)


def is_large(unknowns: int, dimension: int) -> bool:
    """Whether an iteration is the faster way."""
    return unknowns > LARGEST_DIRECT[dimension]


def choose(formulation: Formulation, conditions: Conditions) -> LinearSolver:
    """By the formulation and the number of unknowns; a user's own -pc_type goes before."""
    possible: list[LinearSolver] = [Direct()]
    if isinstance(formulation, Entropy) and formulation.model.charged:
        possible.append(TwoLevel(formulation.comm, conditions.held, np.array(formulation.model.charges)))
    elif isinstance(formulation, (Entropy, Fractions)) and not formulation.model.charged:
        possible.append(Multigrid())
    asked = PETSc.Options().getString("pc_type", "")
    if asked:
        return next((solver for solver in possible if solver.options["pc_type"] == asked), LinearSolver())
    return possible[-1 if is_large(formulation.space.dofmap.index_map.size_global * formulation.block, formulation.geometry.dimension) else 0]
