"""A results folder, read: what a run did, or has done so far."""

from __future__ import annotations

import contextlib
import csv
import json
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .errors import InputError, did_you_mean

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PROBLEM, FIELDS = "problem.resolved.toml", "fields.vtkhdf"


class Results:
    """The results of a run that has ended, crashed or still goes on. Serial; what a run adds later is seen by a new object.

    Raises InputError if the folder is not that of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / PROBLEM).is_file():
            sweep = (folder / "sweep.csv").is_file()
            what = "is that of a sweep: give the folder of one of its points" if sweep else f"has no {PROBLEM}: give the folder of a run"
            raise InputError(f"{folder} {what if folder.is_dir() else 'is no folder: give the results folder of a run'}")

    @cached_property
    def problem(self) -> dict[str, Any]:
        """problem.resolved.toml, as tables."""
        return tomllib.loads((self.folder / PROBLEM).read_text())

    @cached_property
    def dimensional(self) -> bool:
        """Whether the problem has units: then all of its quantities are text, and no run ends at 0 s."""
        return isinstance(self.problem["time"]["end"], str)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """provenance.json; empty if the run has not ended."""
        return self.json("provenance.json")

    @cached_property
    def log(self) -> list[str]:
        """The lines of run.log."""
        path = self.folder / "run.log"
        return path.read_text(errors="replace").splitlines() if path.is_file() else []

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty where there is none, or only a part of one."""
        try:
            table = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return {}
        return table if isinstance(table, dict) else {}

    @cached_property
    def history(self) -> dict[str, Array]:
        """The columns of history.csv by name, a value for each step; a last row that is not whole is left out. Empty before step 0."""
        path = self.folder / "history.csv"
        text = path.read_text() if path.is_file() else ""
        names, *rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
        whole = [[float(value) for value in row] for row in rows if len(row) == len(names)]
        return {name: np.array(column) for name, column in zip(names, zip(*whole, strict=True), strict=True)} if whole else {}

    @cached_property
    def times(self) -> Array:
        """Of the fields; empty before the first."""
        return self._read("Steps/Values", slice(self._count)) if self._count else np.zeros(0)

    @cached_property
    def points(self) -> Array:
        """The vertices, (n, 3), in metres if the problem has units."""
        return self._read("Points")

    @cached_property
    def cells(self) -> Ints:
        """Rows of `points`, (m, vertices of a cell) in VTK's order."""
        connectivity, offsets = self._read("Connectivity"), self._read("Offsets")
        return connectivity.reshape(len(offsets) - 1, -1)

    @cached_property
    def vtk_type(self) -> int:
        """VTK's number of the cell type: 3, 5, 9, 10, 12 for intervals, triangles, quadrilaterals, tetrahedra, hexahedra."""
        return int(self._read("Types", slice(1))[0])

    @property
    def dimension(self) -> int:
        """Of the cells."""
        return {3: 1, 5: 2, 9: 2, 10: 3, 12: 3}[self.vtk_type]

    @property
    def point_names(self) -> list[str]:
        return list(self._units["PointData"])

    @property
    def cell_names(self) -> list[str]:
        return list(self._units["CellData"])

    def unit(self, name: str) -> str:
        """Of a field; "" where it has none, or none is stored."""
        return (self._units["PointData"] | self._units["CellData"])[name]

    def point(self, name: str, index: int) -> Array:
        """A field at the vertices, (n,) or (n, 3), at times[index], which may count from the end. InputError for an unknown name."""
        return self._field("PointData", name, index, len(self.points))

    def cell(self, name: str, index: int) -> Array:
        """A field in the cells, (m,) or (m, 3), at times[index], which may count from the end. InputError for an unknown name."""
        return self._field("CellData", name, index, len(self.cells))

    @cached_property
    def species(self) -> list[str]:
        """The names of the components that have fields, the balance species among them."""
        return [one["name"] for one in self.problem["species"]]

    def _field(self, kind: str, name: str, index: int, count: int) -> Array:
        if name not in self._units[kind]:
            where = "at the vertices" if kind == "PointData" else "in the cells"
            raise InputError(f"{self.folder / FIELDS} has no field '{name}' {where}{did_you_mean(name, self._units[kind])}")
        step = range(self._count)[index]
        start = int(self._read(f"Steps/{kind}Offsets/{name}", step))
        return self._read(f"{kind}/{name}", slice(start, start + count))

    @cached_property
    def _count(self) -> int:
        """Times whose arrays are all there."""
        if not (self.folder / FIELDS).is_file():
            return 0
        with self._open() as root:
            return int(root["Steps"].attrs["NSteps"])

    @cached_property
    def _units(self) -> dict[str, dict[str, str]]:
        if not self._count:
            return {"PointData": {}, "CellData": {}}
        with self._open() as root:
            return {
                kind: {name: _text(data.attrs.get("units", "")) for name, data in root[kind].items()} for kind in ("PointData", "CellData")
            }

    def _read(self, name: str, rows: int | slice = slice(None)) -> Any:
        with self._open() as root:
            return root[name][rows]

    @contextlib.contextmanager
    def _open(self) -> Iterator[h5py.Group]:
        """The part of the file that has everything. No lock: a run may be writing."""
        path = self.folder / FIELDS
        try:
            file = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error}") from None
        with file:
            yield file["VTKHDF"]


def _text(attribute: Any) -> str:
    return attribute.decode() if isinstance(attribute, bytes) else str(attribute)
