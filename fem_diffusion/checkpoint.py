"""Checkpoints: all that a run needs to go on, on any number of ranks, as if it had never been interrupted.

A checkpoint is one HDF5 file, `checkpoint/<step>.h5`, with vectors of one row for each vertex in an order that does not depend on the ranks,
and a text in JSON. It gets its name only when it is complete and on the disk; the last two are kept, and `checkpoint/latest`, which is written
last, says which one is the last.
"""

from __future__ import annotations

import contextlib
import json
import time as clock
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mpi4py import MPI

from .errors import InputError
from .integrator import Integrator
from .numbering import Numbering
from .output import Output
from .parallel import global_max, on_root
from .problem import Problem
from .shared_file import Rows, read_rows, together, write, write_text
from .signals import Requests, Stopped
from .system import System

FOLDER, LATEST, KEPT = "checkpoint", "latest", 2
MAY_CHANGE = ("title", "mesh.file", "time.", "output.times", "output.checkpoint", "formulation", "strict")
"""Of a problem between a checkpoint and the run that continues from it. (Files move; whether the mesh is the same its vertices tell.)"""
SAME_PLACE = 1e-9  # of the largest coordinate


class Checkpoints:
    """Saves a run after so many seconds, when a signal asks for it, and before it stops.

    A signal is heeded after a step, and during one at the next Newton iteration: what is saved is the last accepted step.
    """

    def __init__(self, system: System, integrator: Integrator, output: Output, requests: Requests) -> None:
        self._system, self._integrator, self._output, self._requests = system, integrator, output, requests
        self._folder = output.folder / FOLDER
        self._interval = system.given.output.checkpoint
        self._saved, self._saved_step = clock.monotonic(), -1

    def look(self, after_step: bool = False) -> None:
        """Save, if it is time or a signal asks for it. Raises Stopped where one asks to stop. Collective."""
        due = after_step and clock.monotonic() - self._saved >= self._interval
        save, stop = self._requests.look(due)
        if save or stop:
            self.save()
        if stop:
            raise Stopped(stop)

    def save(self) -> Path:
        """Save the last accepted step. Raises OutputError, and leaves the checkpoints that are there."""
        system, number = self._system, self._integrator.number
        path = self._folder / f"{number:08d}.h5"
        if number != self._saved_step:
            numbers, vectors = self._integrator.state
            text = json.dumps(
                {
                    "problem": system.given.resolved(),
                    "formulation": system.formulation.name,
                    "integrator": numbers,
                    "output": self._output.state,
                    "certificate": self._output.certificate.state(),
                }
            )
            together(system.comm, self._folder, lambda: self._folder.mkdir(exist_ok=True))
            numbering = self._output.numbering
            datasets = {name: _by_vertex(numbering, vector) for name, vector in (vectors | {"x": system.formulation.x.T}).items()}
            write(system.comm, path, datasets | {"state": _text(system.comm, text)})
            on_root(system.comm, lambda: self._mark(path))
        self._saved, self._saved_step = clock.monotonic(), number
        return path

    def _mark(self, path: Path) -> None:
        write_text(self._folder / LATEST, path.name + "\n")
        for old in sorted(self._folder.glob("*.h5"))[:-KEPT]:
            old.unlink()


def _by_vertex(numbering: Numbering, vector: np.ndarray) -> Rows:
    return Rows(numbering.total, {numbering.first: numbering.to_block(vector)})


def _text(comm: MPI.Comm, text: str) -> Rows:
    """The text of rank 0."""
    data = np.frombuffer(comm.bcast(text).encode(), dtype=np.uint8)
    return Rows(len(data), {0: data if comm.rank == 0 else data[:0]})


@dataclass(frozen=True)
class Checkpoint:
    """One that was read. problem: what was solved, as TOML; formulation: its name; integrator, output, certificate: their states"""

    path: Path
    problem: str
    formulation: str
    integrator: Mapping[str, Any]
    output: Mapping[str, Any]
    certificate: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Raises InputError if the file is not whole."""
        try:
            with h5py.File(path, "r", locking=False) as file:
                state = json.loads(file["state"][:].tobytes())
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path} is no checkpoint that can be read: {error}") from None
        return cls(path, **state)

    def require_same(self, problem: Problem) -> None:
        """InputError where the problem is another one, with what differs."""
        before, now = (dict(_flat(tomllib.loads(text))) for text in (self.problem, problem.resolved()))
        differ = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE)]
        if differ:
            lines = [f"  {key}: {_shown(before, key)} in the checkpoint, {_shown(now, key)} now" for key in differ[:10]]
            more = [f"  and {len(differ) - 10} more"] if len(differ) > 10 else []
            raise InputError(
                "\n".join(
                    [
                        f"{self.path} is of another problem:",
                        *lines,
                        *more,
                        "[time], the formulation and the output times may change; to start anew choose another folder with -o",
                    ]
                )
            )

    def vectors(self, system: System, numbering: Numbering) -> dict[str, np.ndarray]:
        """By name, (owned vertices, ...). Raises InputError where the mesh is another one. Collective."""
        with h5py.File(self.path, "r", locking=False) as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and name != "state" else None)
            total = len(file["x"])
        if total != numbering.total:
            raise InputError(f"{self.path} is of another mesh: it has {total} vertices, and the problem's mesh {numbering.total}")
        vectors = {name: numbering.from_block(read_rows(self.path, name, numbering.first, numbering.count)) for name in names}
        x, there = vectors.pop("x"), system.formulation.x.T
        apart = np.abs(x - there).max(axis=1)
        if global_max(system.comm, apart) > SAME_PLACE * global_max(system.comm, np.abs(there)):
            raise InputError(f"{self.path} is of another mesh: its vertices are at other places (is the same file meshed differently now?)")
        return vectors


def find(folder: Path, which: str) -> Checkpoint | None:
    """The checkpoint of a step in a results folder, or the last one that is whole; None if there is none. InputError if that step has none."""
    folder = folder / FOLDER
    steps = {int(path.stem): path for path in folder.glob("*.h5")} if folder.is_dir() else {}
    if which != LATEST:
        if not which.isdigit() or int(which) not in steps:
            legal = ", ".join(map(str, sorted(steps))) or "none is there"
            raise InputError(f"--restart {which}: {folder} has no checkpoint of that step; legal: {LATEST}, or one of the steps ({legal})")
        return Checkpoint.read(steps[int(which)])
    for number in sorted(steps, reverse=True):
        with contextlib.suppress(InputError):
            return Checkpoint.read(steps[number])
    return None


def _flat(table: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    elif isinstance(table, list) and any(isinstance(item, (Mapping, list)) for item in table):
        for index, item in enumerate(table):
            yield from _flat(item, f"{path}.{index}")
    else:
        yield path, table


def _shown(table: Mapping[str, Any], key: str) -> str:
    return repr(table[key]) if key in table else "not there"
