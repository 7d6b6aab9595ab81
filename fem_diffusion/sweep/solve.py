"""The points one after the other, on all ranks: each in a folder of its own, as that of a run."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time as clock
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from ..check import check
from ..checkpoint import LATEST, Checkpoint
from ..errors import InputError, NotCertified, StepFailed
from ..output import make_folder, versions
from ..parallel import on_root
from ..run import found, solve
from ..steady import SteadyState
from ..system import System
from .plan import Index, Plan
from .table import POINTS, PROVENANCE, RESOLVED, Table

PICTURE, PAGE = "sweep.png", "sweep.html"


class Sweep:
    """The points, which of them are done, and what came out. Raises InputError where the first is none, or the folder has another sweep."""

    def __init__(self, plan: Plan, folder: Path, comm: MPI.Comm) -> None:
        self.plan, self.table, self.comm = plan, Table(plan, folder), comm
        self.system = System(plan.first, comm)
        self.warnings = list(check(self.system).warnings)
        self.continued = self._forgets(self.system)
        self._solved: set[Index] = on_root(comm, self._open)
        self._states: dict[int, tuple[str, np.ndarray]] = {}
        self._started = clock.perf_counter()

    # -- the loop -------------------------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """What is to be solved, and what to beware of."""
        there = f", {len(self._solved)} of them solved already" if self._solved else ""
        self._say(f"{len(self.plan.indices)} points over {', '.join(one.label for one in self.plan.in_table_units)}{there}")
        for warning in self.warnings:
            self._warn(warning)

    @property
    def independent(self) -> int:
        """How many points, or lines of points, do not need each other."""
        return math.prod(len(one.values) for one in self.plan.ranges[: -1 if self.continued else None])

    def parts(self, count: int) -> list[list[Index]]:
        return self.plan.parts(count, self.continued)

    def solve(self, indices: Sequence[Index], tables: bool = True) -> None:
        """The points among `indices` that are not solved yet, with the table after each."""
        for index in indices:
            if index in self._solved:
                continue
            point = self.name(index)
            try:
                self._solve(index)
            except (StepFailed, NotCertified, InputError) as error:
                on_root(self.comm, partial(self._note_failure, index, error))
                self._say(f"{point}: failed: {on_root(self.comm, partial(self.table.reason, index))}")
            else:
                self._say(f"{point}: {on_root(self.comm, partial(self._iterations, index))} Newton iterations")
            if tables:
                on_root(self.comm, self.update)

    def failures(self, indices: Sequence[Index] | None = None) -> list[str]:
        """A message for each point (of those) that was not solved, on every rank."""
        return on_root(self.comm, lambda: self._failures(self.plan.indices if indices is None else indices))

    def name(self, index: Index) -> str:
        values = ", ".join(f"{key} = {value}" for key, value in self.plan.values(index).items())
        return f"{self.plan.indices.index(index) + 1} of {len(self.plan.indices)}: {values}"

    def _solve(self, index: Index) -> None:
        """Raises StepFailed, NotCertified or InputError."""
        system = System(self.plan.problems[index], self.comm)
        level = max((position for position, k in enumerate(index) if k), default=0)
        start = self._states.get(level) if self._forgets(system) else None
        folder = self.table.place(index)
        checkpoint = on_root(self.comm, partial(self._left, index))
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it is in the point's run.log
            solve(system, folder, checkpoint, start[1] if start is not None and self._fits(start, system) else None)
        for position in range(level, len(index)):
            self._states[position] = system.formulation.name, system.values()

    def _forgets(self, system: System) -> bool:
        """Whether the result does not depend on the initial state, so that a point may start from its neighbour."""
        return system.problem.time.steady and SteadyState(system).obstacle is None

    def _fits(self, start: tuple[str, np.ndarray], system: System) -> bool:
        """Whether a state is one of this system's: a swept mesh has others, and so has another formulation."""
        name, values = start
        return bool(self.comm.allreduce(name == system.formulation.name and values.size == system.owned, op=MPI.LAND))

    # -- the folder, on one rank ----------------------------------------------------------------------------------------------

    def _open(self) -> set[Index]:
        """Make the folder, or read which points are solved in it already; those that failed are to be tried again."""
        folder, resolved = self.table.folder, self.table.folder / RESOLVED
        if not resolved.exists():
            make_folder(folder)
            resolved.write_text(self.plan.problem.resolved())
        elif resolved.read_text() != self.plan.problem.resolved() or (folder / "history.csv").exists():
            raise InputError(
                f"{folder} has the results of another problem: choose another folder with -o, or remove it; nothing is overwritten"
            )
        (folder / POINTS).mkdir(exist_ok=True)
        mine = {self.plan.folder(index) for index in self.plan.indices}
        other = next((path.name for path in sorted((folder / POINTS).iterdir()) if path.name not in mine), None)
        if other is not None:
            raise InputError(
                f"{folder} has the point {other}, which is not one of this sweep: give the same --over, or more values, or choose another "
                "folder with -o"
            )
        self.table.read()
        self.table.forget_failures()
        return set(self.table.rows)

    def _left(self, index: Index) -> Checkpoint | None:
        """Where a point that was interrupted goes on; one that failed starts again from nothing."""
        folder = self.table.place(index)
        if not folder.exists():
            return None
        self.table.require_own(index)
        if self.table.has_failed(index):
            shutil.rmtree(folder)
            return None
        return found(self.plan.problems[index], folder, LATEST)

    def _note_failure(self, index: Index, error: Exception) -> None:
        """Where no run began there are no results to say it."""
        path = self.table.place(index) / PROVENANCE
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"outcome": f"failed: {error}", "command": sys.argv, "versions": versions()}, indent=2) + "\n")

    def _iterations(self, index: Index) -> int:
        return sum(int(row["newton_iterations"]) for row in self.table.history(index))

    def _failures(self, indices: Sequence[Index]) -> list[str]:
        self.table.read()
        reasons = {index: self.table.failure(index) for index in indices}
        return [f"{self.name(index)}: {reason}" for index, reason in reasons.items() if reason is not None]

    def update(self) -> None:
        """The table of what has ended, and the warnings of the points."""
        known = set(self.table.rows)
        self.table.read()
        if set(self.table.rows) > known:
            self.table.write()
        for index in self.table.rows.keys() - known:
            for warning in self.table.warnings(index):
                if warning not in self.warnings:
                    self.warnings.append(warning)
                    self._warn(warning)

    def finish(self, outcome: str = "") -> None:
        """The table, provenance.json, the picture and the page."""
        system, plan, table = self.system, self.plan, self.table
        table.read()
        table.write()
        provenance = {
            "outcome": outcome or f"{sum(map(table.solved, plan.indices))} of {len(plan.indices)} points solved",
            "warnings": self.warnings,
            "command": sys.argv,
            "over": {one.key: [one.text(k) for k in range(len(one.values))] for one in plan.ranges},
            "units": "SI" if system.given.dimensional else "the problem's own (dimensionless)",
            "formulation": f"{system.formulation.description} ({system.why_formulation})",
            "unknowns": system.unknowns,
            "ranks": self.comm.size,
            "wall_seconds": round(clock.perf_counter() - self._started, 3),
            "petsc_options": PETSc.Options().getAll(),
            "versions": versions(),
        }
        (table.folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")
        columns = table.columns()
        if not columns:
            return
        from ..picture import save_sweep
        from .page import save_page

        units, noise = _scales(system)
        axes = {one.key: one.label for one in plan.in_table_units}
        save_sweep(table.folder / PICTURE, columns, axes, system.given.title, units, noise)
        save_page(table.folder / PAGE, plan, table, system.given.title, units)

    def _warn(self, warning: str) -> None:
        if self.comm.rank == 0:
            print(f"warning: {warning}", file=sys.stderr)

    def _say(self, text: str) -> None:
        if self.comm.rank == 0:
            print(text, flush=True)


def _scales(system: System) -> tuple[dict[str, str], dict[str, float]]:
    """The units of the kinds of columns, and below which size a column is round-off, in those units."""
    d, length, factor = system.geometry.volume_dimension, system.scales.length, system.scales.factor
    per = {1: "/m²", 2: "/m", 3: ""}[d]
    flux = {1: "m/s", 2: "m²/s", 3: "m³/s"}[d] if not system.given.molar else {1: "mol/(m² s)", 2: "mol/(m s)", 3: "mol/s"}[d]
    units = {"charge": f"C{per}", "current": f"A{per}", "capacitance": f"F{per}", "energy": f"J{per}", "flux": flux}
    charge = factor("C/m^3") * length**d
    noise = {"charge": charge, "current": charge / factor("s"), "flux": factor("concentration*m/s") * length ** (d - 1)}
    return units if system.given.dimensional else {}, {kind: 1e-9 * size for kind, size in noise.items()}
