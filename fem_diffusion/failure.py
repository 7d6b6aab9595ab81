"""What is said of a step that fails: where, which field, by how much, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from mpi4py import MPI

from .preconditioner import Direct

if TYPE_CHECKING:
    from .newton import NotConverged
    from .system import System

USED_UP = 1e-12  # a fraction below it where something takes more

Cause = Literal["no convergence", "linear", "no value", "negative", "unstable", "error", "energy", "saddle"]
CAUSES: dict[int, Cause] = {-1: "no value", -3: "linear", -4: "no value"}  # by PETSc's reason


@dataclass(frozen=True)
class Spot:
    """A vertex of a rank: `place` as a user reads it, and with it the composition there."""

    place: str
    composition: str
    vertex: int
    rank: int

    @classmethod
    def of_largest(cls, system: System, values: np.ndarray) -> Spot:
        """Where the largest of values at the owned vertices (vertices,) is; what is not a number counts as that. Collective."""
        comm, known = system.comm, np.where(np.isnan(values), np.inf, values)
        vertex = int(known.argmax()) if known.size else -1
        mine = (float(known[vertex]) if known.size else -np.inf, comm.rank)
        _, rank = comm.allreduce(mine, op=MPI.MAXLOC)
        spot = None
        if comm.rank == rank:
            spot = cls(system.formulation.place(vertex, system.scales.length), _composition(system, vertex), vertex, rank)
        found: Spot = comm.bcast(spot, root=rank)
        return found

    def __str__(self) -> str:
        return f"at {self.place}, where {self.composition} (rank {self.rank})"


def _composition(system: System, vertex: int) -> str:
    """The concentrations at an owned vertex, in the problem's units."""
    c = system.formulation.components[vertex] * system.scales.concentration
    components = list(zip(system.composition.closed, c, strict=True))
    closed = system.model.closed or system.model.balance is not None
    return ", ".join(f"{name} = {value:.6g}" for name, value in components[: system.n + closed])


def worst_residual(system: System) -> str:
    """Which equation fails most, per volume, and where, at the iterate that u holds. Collective."""
    formulation = system.formulation
    residual = np.abs(system.balance() / formulation.whole_volume[:, None])
    residual[~np.isfinite(residual)] = np.inf
    residual[system.conditions.held] = 0.0  # what a reservoir supplies there is no defect
    spot = Spot.of_largest(system, residual.max(axis=1))
    equation = system.comm.bcast(int(residual[spot.vertex].argmax()) if system.comm.rank == spot.rank else 0, root=spot.rank)
    balances = [f"mass balance of {name}" for name in system.model.names]
    potentials = [f"potential of {name}" for name in system.model.names] if formulation.fields_per_species == 2 else []
    equations = [*potentials, *balances, "Poisson equation"]  # mass balances stand in the rows of mu
    return f"worst in the {equations[equation]} {spot}"


def lowest_fraction(system: System) -> str:
    """Where the smallest fraction is of which the free energy takes a logarithm. Collective."""
    bounded = [name in system.model.positive for name in system.composition.closed]
    lowest = system.formulation.components[:, bounded].min(axis=1)
    return str(Spot.of_largest(system, np.where(system.has_matter, -lowest, -np.inf)))


def history(residuals: Sequence[float]) -> str:
    """The residuals of the last iterations of a try, in solver units."""
    return f" [residuals {' '.join(f'{r:.1e}' for r in residuals)}]" if residuals else ""


def cause(unsolved: NotConverged) -> Cause:
    """Why Newton's method failed."""
    return CAUSES.get(unsolved.reason, "no convergence")


def advice(system: System, cause: Cause) -> str:
    """What to try, a sentence."""
    charged, tolerance = system.model.charged, system.given.time.tolerance
    robust = "another formulation" if charged else "another scheme ('convex-split' is the most robust)"
    direct = isinstance(system.linear, Direct)
    memory = "give the factors more room, -- -mat_mumps_icntl_14 200, or take an iterative solver, -- -ksp_type fgmres -pc_type ilu"
    factors = "take factors, -- -ksp_type preonly -pc_type lu -pc_factor_mat_solver_type mumps"
    takes = system.model.source or any(given.flux for given in system.problem.boundary.values())
    used_up = "A component has run out: make the flux, source or reaction that takes it smaller, or an exchange, which ends by itself. "
    first = used_up if takes and system.lowest_fraction() < USED_UP else ""
    texts: dict[Cause, str] = {
        "no convergence": f"{first}Try a smaller [time] tolerance or initial_step, {robust}, or a finer mesh; more iterations, -- -snes_max_it 50; "
        "-- -snes_monitor shows them.",
        "linear": f"Where coefficients differ by many orders of magnitude, bring them nearer to each other; {memory if direct else factors}; "
        "-- -ksp_monitor_true_residual shows the linear iterations.",
        "no value": "Start and hold reservoirs further inside the range of compositions where the free energy, the mobility and all rates "
        "have a value, or try a smaller [time] initial_step.",
        "negative": "Take formulation = 'entropy' or 'potential', which keep fractions positive, a smaller flux or source where there is "
        "little, or a finer mesh.",
        "unstable": "Add [[free_energy]] kind = 'Gradient', or start and hold reservoirs outside the spinodal (`thermo` shows it).",
        "error": f"Take a larger [time] tolerance (it is {tolerance:g}), initial values that are smooth over a cell, and boundary values and "
        "sources that do not jump in time.",
        "energy": f"Take {robust}, or solve each step better, -- -snes_stol 1e-12 -snes_atol 1e-15; an energy or mobility of your own may be "
        "at fault.",
        "saddle": "Take scheme = 'convex-split', whose steps have no saddles, or perturb the initial state, '+ 0.01*noise'.",
    }
    return texts[cause]
