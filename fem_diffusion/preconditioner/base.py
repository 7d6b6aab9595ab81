"""What a linear solver of Newton's method is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

ONE_CYCLE = {
    "pc_type": "hypre",
    "pc_hypre_type": "boomeramg",
    "pc_hypre_boomeramg_coarsen_type": "HMIS",  # PETSc's default coarsens so slowly in space that all levels have six times J's entries
    "pc_hypre_boomeramg_interp_type": "ext+i",
    "pc_hypre_boomeramg_P_max": 4,
}

GATHERED = 20_000
"""Unknowns up to which factors are made on one rank. That is as fast as on several (11 258 unknowns: 0.10 against 0.08 s on 2 ranks, 0.11 against
0.10 s on 3), and the same to the last bit every time: on several ranks MUMPS adds in the order in which messages arrive."""

MAX_ITERATIONS = 40  # more of them tell that Newton's method itself runs away: a smaller step is the remedy


class LinearSolver:
    """PETSc options, what they cannot say, and what is to be done when the Jacobian has changed. This one leaves all to a user's options.

    keeps: whether Newton's method is to go on with an old Jacobian as long as that converges fast
    """

    description: str = "as asked for"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.keeps = False

    def attach(self, solver: PETSc.KSP) -> None:
        """Give the solver what options cannot say, before it reads them."""

    def update(self, jacobian: PETSc.Mat) -> None:
        """Follow a Jacobian with new values. Collective."""

    def forcing(self, update: float) -> float | None:
        """By how much the residual of the next linear system is to fall, given Newton's last update: 0 at first, infinite if it was limited; None
        for what the options say."""
        return None

    @property
    def memory(self) -> dict[str, Any]:
        """All that its next answers owe to what it has done before: numbers, text, and vectors of the owned unknowns, in tables of tables.

        With that a run that continues from a checkpoint takes the same steps, to the last bit, as one that was not interrupted.
        """
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Be as it was. Collective."""

    def renew(self) -> bool:
        """After a solution that failed: whether something better than what was used is at hand now, so that another try makes sense."""
        return False


def factors(comm: MPI.Comm, unknowns: int) -> dict[str, Any]:
    """PETSc options for LU through MUMPS, on one rank up to GATHERED unknowns unless a user's options are for MUMPS itself."""
    options: dict[str, Any] = {
        "ksp_type": "preonly",
        "pc_type": "lu",
        "pc_factor_mat_solver_type": "mumps",
        "mat_mumps_icntl_14": 60,  # per cent of extra workspace: pivoting needs it
    }
    asked = any(key.startswith(("mat_mumps_", "pc_")) for key in PETSc.Options().getAll())
    if comm.size == 1 or unknowns > GATHERED or asked:
        return options
    inner = {f"telescope_{key}": value for key, value in options.items()}
    return {"ksp_type": "preonly", "pc_type": "telescope", "pc_telescope_reduction_factor": comm.size} | inner


class Direct(LinearSolver):
    """LU: the fastest and most robust for small problems, and the one that needs no structure.

    options: `factors` of a matrix
    keeps:   see LinearSolver; a solution with factors costs a tenth of new ones where there are some 10^5 unknowns
    """

    description = "direct (MUMPS)"

    def __init__(self, options: dict[str, Any], keeps: bool = False) -> None:
        super().__init__()
        self.options, self.keeps = options, keeps


class Iterative(LinearSolver):
    """Flexible GMRES until the residual has fallen by 1e-6: Newton's method then takes as many iterations as with factors."""

    def __init__(self) -> None:
        super().__init__()
        self.options = {"ksp_type": "fgmres", "ksp_rtol": 1e-6, "ksp_max_it": MAX_ITERATIONS, "ksp_gmres_restart": MAX_ITERATIONS}


class Multigrid(Iterative):
    """Algebraic multigrid for systems (BoomerAMG, with one function for each species): diffusion without charges.

    Not scaled: half a cell's volume at a boundary would hide the constants from it, and the count would grow with the mesh.
    """

    description = "iterative (algebraic multigrid)"

    def __init__(self) -> None:
        super().__init__()
        self.options |= ONE_CYCLE
