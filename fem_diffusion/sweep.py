"""One problem at many values of its parameters: a table with a row for each point, and curves.

A steady state that does not depend on the initial one is continued: each point starts from the solution of its neighbour, and so is found in a
few Newton iterations. Of several parameters the first is the outermost loop; a new line starts from the first point of the line before. All other
problems start each point from its own initial state.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import sys
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from .check import check
from .diagnostics import Columns
from .errors import InputError, StepFailed
from .integrator import Integrator
from .output import make_folder, versions
from .parallel import on_root
from .plug_in import kind_of
from .problem import Problem
from .record import Record, keys
from .run import ending, steps
from .steady import SteadyState
from .system import System
from .units import si_unit

TABLE, PICTURE, RESOLVED, PROVENANCE = "sweep.csv", "sweep.png", "problem.resolved.toml", "provenance.json"
EXAMPLE = "--over boundary.left.potential=-0.25:0.25:21"

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*")


def numbers(text: str, option: str, logarithmic: bool = False) -> tuple[tuple[float, ...], str]:
    """The values of "a:b:n" (n of them, evenly spaced, or evenly in the logarithm) or of "a,b,c", and the unit they have, "" without.

    A unit may stand at each number, or at one for all. Raises InputError, which names the option.
    """

    def illegal(why: str) -> InputError:
        legal = "first:last:count or a list a,b,c of numbers, with or without a unit"
        return InputError(f"{option}: {why}; legal: {legal}, for example {'1e-3:1e3:31' if logarithmic else '-0.25:0.25:21 or 0,0.1,0.3'}")

    ranged = ":" in text
    parts = text.split(":" if ranged else ",")
    if ranged and len(parts) != 3:
        raise illegal(f"'{text}' has {len(parts)} parts")
    matches = [(part, _NUMBER_AND_UNIT.fullmatch(part)) for part in parts[: 2 if ranged else None]]
    for part, match in matches:
        if match is None:
            raise illegal(f"'{part}' is not a number" if part.strip() else "a number is missing")
    found = [match for _, match in matches if match is not None]
    units = sorted({match[2] for match in found if match[2]})
    if len(units) > 1:
        raise illegal(f"'{text}' has two units, {' and '.join(units)}: give one")
    values = tuple(float(match[1]) for match in found)
    if not all(map(math.isfinite, values)):
        raise illegal(f"'{text}' is not finite")
    if logarithmic and min(values) <= 0:
        raise illegal(f"{min(values):g} must be positive")
    if ranged:
        first, last = values
        if not parts[2].strip().isdigit() or int(parts[2]) < 2:
            raise illegal(f"count = '{parts[2]}' must be a whole number, at least 2")
        if first == last:
            raise illegal(f"first and last are both {first:g}")
        spaced = (np.geomspace if logarithmic else np.linspace)(first, last, int(parts[2]))
        values = tuple(float(f"{value:.15g}") for value in spaced)  # 0.025, not 0.024999999999999994
        if not logarithmic:
            values = tuple(0.0 if abs(value) < 1e-14 * max(abs(first), abs(last)) else value for value in values)
    if len(set(values)) < len(values):
        raise illegal(f"'{text}' has a value twice")
    return values, units[0] if units else ""


@dataclass(frozen=True)
class Range:
    """The values of one parameter: the key as for --set, and a unit, "" for plain numbers."""

    key: str
    values: tuple[float, ...]
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> Range:
        """From "key=first:last:count" or "key=a,b,c"."""
        key, equals, given = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--over {text}: write --over key=first:last:count or --over key=a,b,c, for example {EXAMPLE}")
        return cls(key.strip(), *numbers(given, f"--over {text}"))

    def text(self, k: int) -> str:
        """The k-th value as --set takes it."""
        return f"{self.values[k]:.15g} {self.unit}".strip()

    @property
    def label(self) -> str:
        return f"{self.key} ({self.unit})" if self.unit else self.key


def sweep(
    file: Path, ranges: Sequence[Range], folder: Path, changes: Mapping[str, str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD
) -> list[str]:
    """Solve the problem of a file at every point of the product of the ranges; returns a message for each point that failed.

    In a problem with units, plain numbers of a range are in SI units. `folder` gets sweep.csv, with the values (in SI units, if the problem has
    units), the outcome and the last row of the history of each point, written as soon as the point is solved; sweep.png, problem.resolved.toml and
    provenance.json. If it has the results of the same problem already, the points that were solved are kept, and the others are solved; the first
    of them starts from its own initial state. Raises InputError before anything is computed.
    """
    return Sweep(file, ranges, folder, changes or {}, comm).run()


class Sweep:
    """The points, which of them are done, and what came out."""

    def __init__(self, file: Path, ranges: Sequence[Range], folder: Path, changes: Mapping[str, str], comm: MPI.Comm) -> None:
        twice = next((one.key for one, other in itertools.combinations(ranges, 2) if one.key == other.key), None)
        if twice is not None:
            raise InputError(f"--over {twice} is given twice: give each parameter once, or a list a,b,c")
        self.problem = Problem.read(file, changes)
        self.ranges = [_with_unit(one, self.problem, file, changes) for one in ranges]
        self.keys = [one.key for one in self.ranges]
        self.indices = list(itertools.product(*(range(len(one.values)) for one in self.ranges)))
        self.problems = {index: self._read(file, changes, index) for index in self.indices}
        self.folder, self.comm = folder, comm
        self.system = System(self.problems[self.indices[0]], comm)
        self.warnings = list(check(self.system).warnings)
        self.rows: dict[tuple[int, ...], dict[str, str]] = on_root(comm, self._open)
        self._states: dict[int, tuple[str, np.ndarray]] = {}

    def _read(self, file: Path, changes: Mapping[str, str], index: tuple[int, ...]) -> Problem:
        given = {one.key: one.text(k) for one, k in zip(self.ranges, index, strict=True)}
        try:
            return Problem.read(file, {**changes, **given})
        except InputError as error:
            point = ", ".join(f"{key} = {value}" for key, value in given.items())
            raise InputError(f"--over, at {point}: {str(error).replace('--set', '--over')}") from None

    def _values(self, index: tuple[int, ...]) -> dict[str, str]:
        """The swept values of a point as the table has them: in SI units, if the problem has units."""
        problem, found = self.problems[index], {}
        for one, k in zip(self.ranges, index, strict=True):
            entry = _entry(problem, one.key)
            found[one.key] = f"{_number(entry) if _is_number(entry) else one.values[k]:.15g}"
        return found

    # -- the loop -------------------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        failures, started = [], clock.perf_counter()
        there = f", {len(self.rows)} of them solved already" if self.rows else ""
        self._say(f"{len(self.indices)} points over {', '.join(one.label for one in self._in_si())}{there}")
        for warning in self.warnings:
            self._warn(warning)
        outcome = "interrupted"
        try:
            for count, index in enumerate(self.indices, start=1):
                if index in self.rows:
                    continue
                values = self._values(index)
                point = f"{count} of {len(self.indices)}: {', '.join(f'{key} = {value}' for key, value in values.items())}"
                try:
                    row = self._solve(index)
                    self._say(f"{point}: {row.pop('iterations')} Newton iterations")
                except (StepFailed, InputError) as error:
                    row = {"outcome": f"failed: {error}"}
                    failures.append(f"{point}: {error}")
                    self._say(f"{point}: failed: {error}")
                self.rows[index] = values | row
                on_root(self.comm, self._write)
            outcome = f"{len(self.indices) - len(failures)} of {len(self.indices)} points solved"
        except Exception as error:
            outcome = f"crashed: {type(error).__name__}: {error}"
            raise
        finally:
            if self.comm.rank == 0:
                self._finish(outcome, clock.perf_counter() - started)
        self.comm.Barrier()  # no rank returns before the files are there
        return failures

    def _solve(self, index: tuple[int, ...]) -> dict[str, str]:
        """The row of one point without the swept values, and how many iterations it took. Raises StepFailed or InputError."""
        system = System(self.problems[index], self.comm)
        level = max((position for position, k in enumerate(index) if k), default=0)
        start = self._states.get(level) if self._forgets(system) else None
        for warning in check(system).warnings:
            if warning not in self.warnings:
                self.warnings.append(warning)
                self._warn(warning)
        integrator = Integrator(system, start[1] if start is not None and self._fits(start, system) else None)
        columns, iterations = Columns(system), 0
        for step in steps(integrator):
            iterations += step.newton_iterations
            with integrator.visiting(step.time):
                row = columns.row(step)
        for position in range(level, len(index)):
            self._states[position] = system.formulation.name, system.values()
        numbers = {name: f"{value:.17g}" for name, value in row.items()}
        return {"outcome": ending(integrator), "iterations": str(iterations)} | numbers

    def _forgets(self, system: System) -> bool:
        """Whether the result does not depend on the initial state."""
        return system.problem.time.steady and SteadyState(system).obstacle is None

    def _fits(self, start: tuple[str, np.ndarray], system: System) -> bool:
        """Whether a state is one of this system's: a swept mesh has others, and so has another formulation."""
        name, values = start
        return bool(self.comm.allreduce(name == system.formulation.name and values.size == system.owned, op=MPI.LAND))

    # -- the folder -----------------------------------------------------------------------------------------------------------

    def _open(self) -> dict[tuple[int, ...], dict[str, str]]:
        """Make the folder, or read the points that are solved in it already. On one rank."""
        table, resolved = self.folder / TABLE, self.folder / RESOLVED
        if not table.exists():
            make_folder(self.folder)
            resolved.write_text(self.problem.resolved())
            return {}
        if not resolved.exists() or resolved.read_text() != self.problem.resolved():
            raise InputError(
                f"{self.folder} has the sweep of another problem: choose another folder with -o, or remove it; nothing is overwritten"
            )
        with table.open(newline="") as file:
            given = list(csv.DictReader(file))
        points = {tuple(self._values(index).values()): index for index in self.indices}
        rows: dict[tuple[int, ...], dict[str, str]] = {}
        for row in given:
            names = list(row)[: len(self.keys)]
            index = points.get(tuple(row[name] for name in names)) if names == self.keys else None
            if index is None:
                raise InputError(
                    f"{table} has the point {', '.join(f'{name} = {row[name]}' for name in names)}, which is not one of this sweep: give the "
                    "same --over, or more values, or choose another folder with -o"
                )
            if not row["outcome"].startswith("failed"):
                rows[index] = row
        return rows

    def _write(self) -> None:
        """The whole table, put in place at once: it is never half a row. On one rank."""
        rows = [self.rows[index] for index in self.indices if index in self.rows]
        names = list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))
        capacitance = self._capacitance()
        partial = self.folder / f"{TABLE}.part"
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys([*names, *(key for row in capacitance.values() for key in row)])))
            writer.writeheader()
            writer.writerows(self.rows[index] | capacitance.get(index, {}) for index in self.indices if index in self.rows)
        partial.replace(self.folder / TABLE)

    def _capacitance(self) -> dict[tuple[int, ...], dict[str, str]]:
        """dQ/dV by differences along the innermost range (of second order), where that is the potential of a boundary whose charge is known."""
        head, _, boundary = self.keys[-1].removesuffix(".potential").partition(".")
        if not self.keys[-1].endswith(".potential") or head != "boundary":
            return {}
        found: dict[tuple[int, ...], dict[str, str]] = {}
        for _, line in itertools.groupby(self.indices, key=lambda index: index[:-1]):
            solved = [index for index in line if self.rows.get(index, {}).get(f"charge_{boundary}")]
            if len(solved) < 2:
                continue
            Q, V = (np.array([float(self.rows[index][name]) for index in solved]) for name in (f"charge_{boundary}", self.keys[-1]))
            order = np.argsort(V)
            slopes = np.empty_like(Q)
            slopes[order] = np.gradient(Q[order], V[order], edge_order=2 if len(solved) > 2 else 1)
            found |= {index: {f"capacitance_{boundary}": f"{C:.17g}"} for index, C in zip(solved, slopes, strict=True)}
        return found

    def _finish(self, outcome: str, wall: float) -> None:
        """provenance.json and the picture. On one rank."""
        system = self.system
        provenance = {
            "outcome": outcome,
            "warnings": self.warnings,
            "command": sys.argv,
            "over": {one.key: [one.text(k) for k in range(len(one.values))] for one in self.ranges},
            "units": "SI" if system.given.dimensional else "the problem's own (dimensionless)",
            "formulation": f"{system.formulation.description} ({system.why_formulation})",
            "unknowns": system.unknowns,
            "ranks": self.comm.size,
            "wall_seconds": round(wall, 3),
            "petsc_options": PETSc.Options().getAll(),
            "versions": versions(),
        }
        (self.folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")
        if any("energy" in row for row in self.rows.values()):
            with (self.folder / TABLE).open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if row.get("energy")]
            table = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0] if name != "outcome"}
            units, noise = _scales(system)
            axes = {one.key: one.label for one in self._in_si()}
            from .picture import save_sweep

            save_sweep(self.folder / PICTURE, table, axes, system.given.title, units, noise)

    def _in_si(self) -> list[Range]:
        """The ranges with the units that the table has."""
        problem = self.problems[self.indices[0]]
        return [replace(one, unit=_unit_of(_entry(problem, one.key), problem) if one.unit else "") for one in self.ranges]

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


def _with_unit(given: Range, problem: Problem, file: Path, changes: Mapping[str, str]) -> Range:
    """Plain numbers get the SI unit of their quantity, in a problem with units. InputError where the key is none of a number."""
    entry = _entry(problem, given.key)
    if isinstance(entry, (str, bool, Record, Mapping)):
        shown = "a table" if isinstance(entry, (Record, Mapping)) else f"'{entry}'" if isinstance(entry, str) else str(entry).lower()
        raise InputError(
            f"--over {given.key}: that is {shown} in {file}, and not a number; legal: the key of a number, for example {EXAMPLE}"
        )
    if given.unit or not problem.dimensional:
        return given
    if entry is None:  # not in the file: zero has no unit, and shows which one the key takes
        try:
            entry = _entry(Problem.read(file, {**changes, given.key: "0"}), given.key)
        except InputError:
            return given
    return replace(given, unit=_unit_of(entry, problem))


def _entry(data: Any, key: str) -> Any:
    """What a problem has at a dotted key, None where it has nothing."""
    for part in key.split("."):
        if isinstance(data, Record):
            name = keys(type(data)).get(part)
            data = getattr(data, name) if name is not None else None
        elif isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, tuple):
            named = [getattr(item, "name", None) or (kind_of(item) if isinstance(item, Record) else "") for item in data]
            position = named.index(part) if part in named else int(part) if part.isdigit() else len(data)
            data = data[position] if position < len(data) else None
        else:
            return None
    return data[0] if isinstance(data, tuple) and len(set(map(str, data))) == 1 else data  # one number for all directions


def _unit_of(entry: Any, problem: Problem) -> str:
    """The SI unit of a quantity, "" of what has none."""
    return si_unit(str(getattr(entry, "unit", "")), problem.molar)


def _is_number(entry: Any) -> bool:
    return isinstance(getattr(entry, "value", entry), (int, float))


def _number(entry: Any) -> float:
    return float(getattr(entry, "value", entry))
