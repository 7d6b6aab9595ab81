"""The results folder of a run: what is written, when, and where."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import re
import shutil
import sys
import time as clock
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
from petsc4py import PETSc

from .certificate import Certificate
from .diagnostics import Columns
from .errors import InputError
from .integrator import Integrator, Step
from .mesh import statistics
from .mobility import Darken
from .numbering import Numbering
from .parallel import global_max, on_root
from .paraview import FieldSeries
from .problem import Problem
from .results import Results
from .shared_file import together
from .system import System

CONTENTS = (
    "fields", "fields.vtkhdf", "history.csv", "report.html", "summary.png", "certificate.json", "provenance.json", "run.log", "checkpoint",
    "problem.resolved.toml",
)  # fmt: skip


class Output:
    """Writes history.csv and run.log as the run goes, fields.vtkhdf at the requested times, and summary.png and the certificate at the end.

    continued: what `state` gave when the run was saved; all that was written later is dropped

    Raises InputError if the folder exists already and is not empty, OutputError, the same on every rank, where a file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        system: System,
        integrator: Integrator,
        warnings: Sequence[str] = (),
        continued: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self._system, self._integrator, self._warnings = folder, system, integrator, list(warnings)
        self._root = system.comm.rank == 0
        self._columns = Columns(system)
        self.certificate = Certificate(system)
        self._mesh = _mesh_numbers(system)
        if continued is None:
            on_root(system.comm, lambda: make_folder(folder))
        self._write(self._copy_problem)  # first: it shows that the folder is that of a run
        done = continued or {"fields": 0, "field_time": -np.inf, "drawn_from": 0, "rows": 0, "history_bytes": 0, "seconds": 0.0}
        self._series = FieldSeries(
            folder / "fields.vtkhdf", system.formulation.scalar_space, system.scales.length, system.geometry.wrap, done["fields"]
        )
        self._field_time, self._drawn_from, self._rows = done["field_time"], done["drawn_from"], done["rows"]
        self._times = [time for time in _output_times(system) if time > self._field_time]
        self._started = clock.perf_counter() - done["seconds"]
        if continued is not None:
            self._columns.recall(continued["columns"])
        self._write(lambda: self._open(done["history_bytes"], continued is not None))

    def _copy_problem(self) -> None:
        (self.folder / "problem.resolved.toml").write_text(self._system.given.resolved())
        for name, module in self._system.given.own_modules.items():
            shutil.copy(module, self.folder / name)

    def _open(self, history_bytes: int, continued: bool) -> None:
        system = self._system
        self._log = (self.folder / "run.log").open("a")
        if continued:
            os.truncate(self.folder / "history.csv", history_bytes)
            for partial in self.folder.rglob("*.partial"):
                partial.unlink()
            (self.folder / "provenance.json").unlink(missing_ok=True)
            self.log(f"continued from step {self._integrator.number}, t = {self._integrator.time * system.scales.time:.6e}")
        unknowns = f"{system.unknowns} unknowns: {system.formulation.description} ({system.why_formulation}); {system.linear.description}"
        through_time = self._integrator.through_time
        for line in (unknowns, *([f"to the steady state through time: {through_time}"] if through_time else [])):
            self.log(line)
            print(line)
        for warning in self._warnings:
            self.log(f"warning: {warning}")
            print(f"warning: {warning}", file=sys.stderr)

    def _write(self, work: Callable[[], None], name: str = "") -> None:
        """On rank 0, a file of that name."""
        together(self._system.comm, self.folder / name, work if self._root else lambda: None)

    @property
    def numbering(self) -> Numbering:
        """Of the vertices, the same on any number of ranks."""
        return self._series.mesh.vertices

    @property
    def state(self) -> dict[str, Any]:
        """What has been written, as JSON has it."""
        history = self.folder / "history.csv"
        return {
            "fields": self._series.count,
            "field_time": self._field_time,
            "drawn_from": self._drawn_from,
            "rows": self._rows,
            "history_bytes": history.stat().st_size if self._root and history.exists() else 0,
            "seconds": clock.perf_counter() - self._started,
            "columns": self._columns.state,
        }

    def record(self, step: Step) -> None:
        """One accepted step: a row, a line, the fields at the requested times up to it, and what it breaks of the certificate's laws."""
        self.certificate.check(step)
        self._write_fields(step)
        with self._integrator.visiting(step.time):  # where mu is that of this time, not of the step's middle
            row = self._columns.row(step)
        self._rows += 1
        self._write(lambda: self._append(step, row), "history.csv")

    def _append(self, step: Step, row: Mapping[str, float]) -> None:
        with (self.folder / "history.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if step.number == 0:
                writer.writeheader()
            writer.writerow({name: value if isinstance(value, int) else f"{value:.17g}" for name, value in row.items()})
        self.log(
            f"step {step.number}  time {row['time']:.6e}  dt {row['dt']:.3e}  newton {step.newton_iterations}"
            f"  energy {row['energy']:.10e}  rejected {self._integrator.rejections.total}"
        )
        for violation in self.certificate.violations:
            self.log(f"certificate: {violation.message}")
            if violation.first:
                print(f"warning: certificate: {violation.message}; more of it in run.log and certificate.json", file=sys.stderr)

    def _write_last_state(self) -> None:
        """A run that became steady, or failed, ends between the requested times."""
        time = self._integrator.time
        if self._field_time < time:
            with self._integrator.visiting(time):
                self._write_field(time)

    def log(self, line: str) -> None:
        if self._root:
            self._log.write(line + "\n")
            self._log.flush()

    def _write_fields(self, step: Step) -> None:
        system = self._system
        if self._integrator.jumped:
            self._times = [step.time]  # nothing was computed on the way, and the picture shows the answer alone
            self._drawn_from = self._series.count
        while self._times and (self._times[0] <= step.time or step.time >= float(system.problem.time.end)):
            time = self._times.pop(0)
            with self._integrator.visiting(min(time, step.time)):
                self._write_field(time)

    def _write_field(self, time: float) -> None:
        system = self._system
        names, balance = system.model.names, system.model.balance
        # a dielectric has no concentrations: ParaView and the picture leave it blank
        blank = np.where(system.formulation.has_matter, 1.0, np.nan)
        c = system.formulation.all_concentrations()
        concentrations = {name: c[:, i] * blank for i, name in enumerate(names)}
        if balance is not None:
            concentrations[balance] = (1 - c.sum(axis=1)) * blank
        uphill = system.uphill_map()
        point = {
            "concentration": concentrations,
            "J/(m^3*concentration)": {f"mu_{name}": mu * blank for name, mu in zip(names, system.potentials().T, strict=True)},
            "V": {"phi": system.formulation.all_phi()} if system.model.charged else {},
        }
        for name, values in system.stability_fields().items():
            point.setdefault("J/(m^3*concentration^2)" if name == "curvature" else "", {})[name] = values * blank
        cell = {
            "concentration*m/s": {f"flux_{name}": J for name, J in uphill.flux.items()},
            "concentration^2/s": {f"uphill_{name}": product for name, product in uphill.positive.items()},
            "J/(m^3*s)": {"dissipation": uphill.dissipation},
        }
        if isinstance(system.model.mobility, Darken):
            cell["m/s"] = {"lattice_velocity": system.cells.lattice_velocity()[0]}
        units = {name: unit for kinds in (point, cell) for unit, arrays in kinds.items() for name in arrays}
        self._series.write(
            time * system.scales.time,
            self._in_units(point),
            self._in_units(cell),
            {name: system.given.unit_of(unit) for name, unit in units.items()},
        )
        self._field_time = time

    def _in_units(self, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """From solver units, by the unit that they are to have."""
        factor = self._system.scales.factor
        return {name: values * (factor(unit) if unit else 1.0) for unit, group in arrays.items() for name, values in group.items()}

    def finish(self, outcome: str) -> None:
        """Write the last state, provenance.json and the picture, and close the log."""
        system = self._system
        self._write_last_state()
        wall = global_max(system.comm, np.array([clock.perf_counter() - self._started]))
        self._write(lambda: self._write_outcome(outcome, wall))
        if self._root:
            print(self.certificate.summary)
        if self._root:
            self._draw()

    def _draw(self) -> None:
        """The picture and the report. The results are complete without: what fails here is no failure of the run."""
        from . import report
        from .picture import summary_of

        try:
            if self._series.count > self._drawn_from:
                summary_of(Results(self.folder), self._drawn_from)
            report.write(self.folder)
        except Exception as error:
            print(f"warning: no picture, or no report: {type(error).__name__}: {error}", file=sys.stderr)

    def close(self, outcome: str) -> None:
        """Write provenance.json, and close the log: for a run that is to stop at once, and goes on later."""
        wall = global_max(self._system.comm, np.array([clock.perf_counter() - self._started]))
        self._write(lambda: self._write_outcome(outcome, wall))

    def abort(self, error: BaseException) -> None:
        """Say in run.log and provenance.json how the run ended, as far as that is still possible. Not collective, and never raises.

        The other ranks may be anywhere: the first rank to come writes.
        """
        outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else f"crashed: {type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            self._write_outcome(outcome, clock.perf_counter() - self._started)
        if self._root:
            with contextlib.suppress(OSError):  # what the full disk did not take would else be tried again, and complained of, at exit
                self._log.close()

    def _write_outcome(self, outcome: str, wall: float) -> None:
        with (self.folder / "provenance.json").open("x") as file:
            file.write(json.dumps(self._provenance(outcome, wall), indent=2) + "\n")
        self.certificate.write(self.folder)
        tries = [f"rejected: {reason}" for reason in self._integrator.rejections.reasons] if outcome.startswith("failed") else []
        for line in (*tries, self.certificate.summary, outcome):
            self.log(line)
        if self._root:
            self._log.close()

    def _provenance(self, outcome: str, wall: float) -> dict[str, Any]:
        system, rejections = self._system, self._integrator.rejections
        scales = system.scales
        return {
            "outcome": outcome,
            "certificate": self.certificate.summary,
            "warnings": self._warnings,
            "command": sys.argv,
            "units": _units(system.given),
            "energy_unit": _energy_unit(system.geometry.volume_dimension) if system.given.dimensional else "",
            "solver_scales": {"length": scales.length, "time": scales.time, "energy_density": scales.factor("J/m^3")},
            "scheme": system.scheme.name,
            "formulation": f"{system.formulation.description} ({system.why_formulation})",
            "linear_solver": system.linear.description,
            "mesh": self._mesh,
            "unknowns": system.unknowns,
            "ranks": system.comm.size,
            "steps": self._rows - 1,
            "rejected_steps": {cause: getattr(rejections, cause) for cause in ("newton", "error", "energy", "saddle")},
            "last_rejections": rejections.reasons,
            "wall_seconds": round(wall, 3),
            "petsc_options": PETSc.Options().getAll(),
            "versions": versions(),
        }


def default_folder(problem_file: Path) -> Path:
    """results/<name>, or the first of results/<name>-2, -3, ... that is not there yet."""
    return first_free(Path("results"), problem_file.stem)


def last_folder(problem_file: Path) -> Path:
    """The last of those that are there; results/<name>, if there is none."""
    name = problem_file.stem
    there = [path for path in Path("results").glob(f"{name}*") if re.fullmatch(rf"{re.escape(name)}(-\d+)?", path.name)]
    return max(there, key=lambda path: int(path.name[len(name) + 1 :] or 1), default=Path("results") / name)


def first_free(folder: Path, name: str, suffix: str = "") -> Path:
    """The first of folder/<name><suffix>, <name>-2<suffix>, ... that is not there yet."""
    path, count = folder / f"{name}{suffix}", 1
    while path.exists():
        count += 1
        path = folder / f"{name}-{count}{suffix}"
    return path


def make_folder(folder: Path) -> None:
    """A new folder for results; InputError if it has something in it, or cannot be made."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty: choose another folder with -o, or remove it; nothing is overwritten")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the results folder {folder}: {error.strerror}; choose another with -o") from None


def clear(folder: Path) -> None:
    """Remove what a run has written that ended before its first checkpoint. InputError if it is no folder of a run."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "problem.resolved.toml").exists():
        raise InputError(f"{folder} holds something, but no run: choose another folder with -o")
    for path in [folder / name for name in CONTENTS] + list(folder.glob("*.partial")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _mesh_numbers(system: System) -> dict[str, Any]:
    """In metres, if the problem has units. Collective."""
    return {key: value * system.scales.length if key.startswith("h_") else value for key, value in statistics(system.geometry).items()}


def _output_times(system: System) -> list[float]:
    """Requested times in solver units, always with the start."""
    times, end = system.problem.output.times, float(system.problem.time.end)
    if isinstance(times, int):
        return [end * k / times for k in range(times + 1)]
    wanted = sorted({0.0, *map(float, times)})
    return [t for t in wanted if t <= end]


def _units(problem: Problem) -> str:
    if not problem.dimensional:
        return "the problem's own (dimensionless)"
    return "SI; concentrations in mol/m^3, masses in mol, mu in J/mol" if problem.molar else "SI"


def _energy_unit(dimension: int) -> str:
    return {1: "J/m^2", 2: "J/m", 3: "J"}[dimension]


def versions() -> dict[str, str]:
    """Of what computes."""
    return {
        "fem_diffusion": _own_version(),
        "dolfinx": dolfinx.__version__,
        "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _own_version() -> str:
    try:
        return metadata.version("fem_diffusion")
    except metadata.PackageNotFoundError:
        return "from a checkout"
