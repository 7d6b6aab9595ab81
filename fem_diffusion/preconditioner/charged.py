"""Linear solvers for charged species: two levels, of which the coarse one is the soft direction w = z phi."""

from __future__ import annotations

from typing import Any

import numpy as np
from petsc4py import PETSc

from ..formulation import Formulation
from ..parallel import global_sum
from .base import ONE_CYCLE, Iterative

ROUGH = 1e-3  # of the linear residual far from the solution; in fractions always: in unresolved layers more is out of reach, with the same count
FAIR = 1e-4  # in entropy variables after a full update of any size
FINE = 3e-6  # where Newton's method converges quadratically, and at the start, whose residual is mostly a jump in boundary values
SMALLEST = 1e-14  # a fraction in a change of variables, which must have an inverse


class TwoLevel(Iterative):
    """Two-level multiplicative multigrid for charged species in entropy variables (w_1..w_n, phi).

    At equilibrium J is symmetric and positive, of the energy (C = dc/ds, s = w - z phi, a_i = D_i c_i c_0)

        C |w - z phi|^2 + dt sum_i a_i |grad w_i|^2 + eps |grad phi|^2

    A sweep over the fields, w_1..w_n and phi one after the other by a multigrid cycle each, stalls where C is much larger than the rest: the
    soft direction is then w = z phi, along which no concentration changes, and no single field has it. It becomes the coarse space,

        dw_i = z_i psi,   dphi = psi       with the operator eps K + dt K_a, a = sum_i z_i^2 a_i

    assembled by Galerkin's product, again with one cycle. One sweep goes before and one after the correction. Where a field is held, its part is
    zero; psi lives where phi is free.

    All of that for the symmetrically scaled equations D J D y = D b, D = |diag J|^(-1/2). The scaling makes rows comparable whose units differ,
    and those of nearly empty vertices visible; being symmetric it keeps J's symmetry, on which algebraic multigrid relies.

    held: which unknowns are held, (owned vertices, n + 1); charges: z_i
    """

    description = "iterative (two-level, fields and w = z phi)"

    def __init__(self, comm: Any, held: np.ndarray, charges: np.ndarray) -> None:
        super().__init__()
        n = len(charges)
        levels, split = "mg_levels_", "mg_levels_pc_fieldsplit_"
        self.options |= {
            "ksp_diagonal_scale": True,
            "ksp_diagonal_scale_fix": True,  # J and b are the caller's: scaled back afterwards
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
        }
        self.options |= {f"{split}{i}_fields": i for i in range(n + 1)}
        for part in ["mg_coarse_", *(f"{levels}fieldsplit_{i}_" for i in range(n + 1))]:
            self.options |= {part + key: value for key, value in ({"ksp_type": "preonly"} | ONE_CYCLE).items()}
        self._coarse = _soft_directions(comm, held, charges)
        self._interpolation = self._coarse.duplicate(copy=True)
        self._root: Any = None  # D^-1, a vector

    def attach(self, solver: PETSc.KSP) -> None:
        self._with_levels(solver.getPC())

    def forcing(self, update: float) -> float | None:
        """A full update d is followed by one of about d^2, and its linear error should be small beside that (Eisenstat & Walker, SIAM J. Sci.
        Comput. 17 (1996) 16, choice 2): eta = d^2/10, between FINE and FAIR. After a limited one, of whatever size, ROUGH will do.
        """
        return float(np.clip(0.1 * update**2, FINE, FAIR)) if update < np.inf else ROUGH

    def _with_levels(self, preconditioner: PETSc.PC) -> None:
        preconditioner.setType("mg")
        preconditioner.setMGLevels(2)
        preconditioner.setMGInterpolation(1, self._interpolation)

    def update(self, jacobian: PETSc.Mat) -> None:
        """The scaled unknowns are D^-1 (w, phi): so are the columns of the interpolation."""
        if self._root is None:
            self._root = jacobian.createVecLeft()
        jacobian.getDiagonal(self._root)
        self._root.sqrtabs()
        self._coarse.copy(self._interpolation, structure=PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        self._interpolation.diagonalScale(self._root)


class TwoLevelInFractions(TwoLevel):
    """The same for unknowns (c_1..c_n, phi): Newton's direction is sought as one of entropy variables,

        dc_i = sum_j C_ij (dw_j - z_j dphi),     C_ij = dc_i/ds_j = c_i delta_ij - v_i c_i v_j c_j/(c_0 + sum_k v_k^2 c_k)

    (c_i delta_ij where fractions do not close to one), which is (dc, dphi) = T (dw, dphi) with a block T at each vertex. M being the two levels
    for D J T D, the preconditioner is T D M D.
    """

    PREFIX = "fractions_"

    def __init__(self, formulation: Formulation, held: np.ndarray) -> None:
        model = formulation.model
        charges = np.array(model.charges)
        super().__init__(formulation.comm, held, charges)
        krylov = {key: value for key, value in self.options.items() if key.startswith("ksp_") and "diagonal_scale" not in key}
        inner = {self.PREFIX + key: value for key, value in self.options.items() if not key.startswith("ksp_")}
        self.options = krylov | {"ksp_rtol": ROUGH, "pc_type": "python"} | inner
        self._formulation, self._held, self._charges = formulation, held, charges
        self._sizes = np.array(model.sizes or (1.0,) * len(charges))
        self._product: PETSc.Mat | None = None

    def forcing(self, update: float) -> float | None:
        return ROUGH

    def attach(self, solver: PETSc.KSP) -> None:
        self._prefix = (solver.getOptionsPrefix() or "") + self.PREFIX
        solver.getPC().setType("python")
        solver.getPC().setPythonContext(self)

    def update(self, jacobian: PETSc.Mat) -> None:
        blocks = self._blocks()
        vertices, size = self._held.shape
        starts = (size * np.arange(blocks.shape[0] * size + 1)).astype(PETSc.IntType)
        first = jacobian.getOwnershipRange()[0]
        columns = (first + size * np.repeat(np.arange(vertices), size * size) + np.tile(np.arange(size), vertices * size)).astype(
            PETSc.IntType
        )
        if self._product is None:
            self._change = PETSc.Mat().createAIJ(jacobian.getSizes(), csr=(starts, columns, blocks.ravel()), bsize=size, comm=jacobian.comm)
            self._product = jacobian.matMult(self._change)
            self._vectors = [jacobian.createVecLeft() for _ in range(2)]
            self._inner = PETSc.PC().create(jacobian.comm)
            self._inner.setOptionsPrefix(self._prefix)
            self._inner.setOperators(self._product)
            self._with_levels(self._inner)
            self._inner.setFromOptions()
        else:
            self._change.setValuesCSR(starts, columns, blocks.ravel())
            self._change.assemble()
            jacobian.matMult(self._change, result=self._product)
        super().update(self._product)
        self._root.reciprocal()
        self._product.diagonalScale(self._root, self._root)

    def _blocks(self) -> np.ndarray:
        """T at the owned vertices, (vertices, n + 1, n + 1); the identity for what is held."""
        formulation, held, v, z = self._formulation, self._held, self._sizes, self._charges
        n = len(z)
        c = np.maximum(formulation.components, SMALLEST)
        T = np.zeros((len(c), n + 1, n + 1))
        T[:, range(n), range(n)] = c[:, :n]
        if formulation.model.closed:
            vc = v * c[:, :n]
            T[:, :n, :n] -= vc[:, :, None] * vc[:, None, :] / (c[:, n] + vc @ v)[:, None, None]
        T[:, :n, n] = -(T[:, :n, :n] @ z)
        T[:, n, n] = 1.0
        T[held[:, :, None] | held[:, None, :]] = 0.0
        where, which = np.nonzero(held)
        T[where, which, which] = 1.0
        return T

    def apply(self, preconditioner: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = T D M D x, as PETSc asks."""
        scaled, solved = self._vectors
        scaled.pointwiseMult(self._root, x)
        self._inner.apply(scaled, solved)
        scaled.pointwiseMult(self._root, solved)
        self._change.mult(scaled, y)


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
