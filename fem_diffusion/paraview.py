"""Fields on a mesh as a time series that ParaView (5.13 or later) opens by a double click, while the run goes on and after it has crashed.

`fields.vtkhdf` is a VTKHDF file in which all is found, and nothing stored: its datasets are views of the files in the folder `fields` beside
it, one with the mesh and one for each time. Those are written by all ranks together, and the view is replaced when a time is complete. So
whoever opens it, and whenever, finds the times that are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from dolfinx import fem

from .compat import cell_nodes
from .numbering import number_cells, number_vertices
from .parallel import on_root
from .shared_file import Rows, replace, together, write

Array = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Wrap = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

MESH = "mesh.h5"

# name in DOLFINx: VTK's number of the type, and which DOLFINx vertex each VTK vertex is
CELLS = {
    "interval": (3, [0, 1]),
    "triangle": (5, [0, 1, 2]),
    "quadrilateral": (9, [0, 1, 3, 2]),
    "tetrahedron": (10, [0, 1, 2, 3]),
    "hexahedron": (12, [0, 1, 3, 2, 4, 5, 7, 6]),
}


def cell_of(vtk_type: int) -> str:
    return next(name for name, (number, _) in CELLS.items() if number == vtk_type)


@dataclass(frozen=True)
class DrawnMesh:
    """A mesh with straight edges, whole.

    cell:    DOLFINx's name of the cell type
    points:  (n, 3) vertices
    cells:   (m, vertices per cell) rows of `points`, in VTK's order
    """

    cell: str
    points: Array
    cells: Ints


class DistributedMesh:
    """The cells of a mesh with straight edges, in an order that does not depend on the ranks.

    Vertices are where the geometry has them: in a periodic mesh one degree of freedom is drawn at both ends of the box. The points are first the
    degrees of freedom, then those that are drawn again at another place.

    V:       Lagrange space of degree 1, scalar or blocked, whose values at the vertices are drawn
    length:  one unit of the mesh's coordinates, in the unit of the points
    wrap:    moves coordinates (3, n) into the box of a periodic mesh
    """

    def __init__(self, V: fem.FunctionSpace, length: float, wrap: Wrap) -> None:
        mesh = V.mesh
        self.comm = mesh.comm
        self.cell = mesh.topology.cell_type.name
        self.vtk_type, order = CELLS[self.cell]
        self.vertices, self.elements = number_vertices(V), number_cells(V)
        self.corners = len(order)

        # a Lagrange element and its mesh number the vertices of a cell first, and alike
        nodes, dofs = cell_nodes(mesh)[:, : len(order)].reshape(-1), V.dofmap.list.reshape(-1)
        x = mesh.geometry.x[nodes]
        home = np.empty((V.dofmap.index_map.size_local + V.dofmap.index_map.num_ghosts, 3))
        home[dofs] = wrap(x.T).T
        number = self._with_ghosts(V)[dofs]
        moved = (x - home[dofs] > 0) @ [1, 2, 4]
        copies = np.flatnonzero(moved)
        keys = 8 * number[copies] + moved[copies]
        copied, at, place = self._gathered(keys, x[copies])
        number[copies] = self.vertices.total + place
        owned = self.elements.numbers.size
        self._cells = self.elements.to_block(number.reshape(-1, len(order))[:owned, order])
        block = slice(*np.searchsorted(copied, self.vertices.first + np.array([0, self.vertices.count])))
        self.points, self._first_copy = self.vertices.total + len(copied), self.vertices.total + block.start
        self._copied = copied[block] - self.vertices.first
        self._x = length * np.concatenate([self.vertices.to_block(home[: self.vertices.numbers.size]), at[block]])

    def at_points(self, values: Array) -> Rows:
        """Of nodal values (dofs, ...) in V's block numbering, ghosts or not. Collective."""
        block = self.vertices.to_block(values[: self.vertices.numbers.size])
        return self._rows_of_points(np.concatenate([block, block[self._copied]]))

    def at_cells(self, values: Array) -> Rows:
        """Of values (owned cells, ...), ghosts or not. Collective."""
        return self._rows_of_cells(self.elements.to_block(values[: self.elements.numbers.size]))

    def as_datasets(self) -> dict[str, Rows]:
        """Points, Connectivity, Offsets and Types as VTKHDF has them."""
        n, first = self.corners, self.elements.first
        ends = n * (first + np.arange(self.elements.count) + 1)
        starts = {0: np.zeros(1, dtype=np.int64)} if self.comm.rank == 0 else {}
        return {
            "Points": self._rows_of_points(self._x),
            "Connectivity": Rows(n * self.elements.total, {n * first: self._cells.reshape(-1)}),
            "Offsets": Rows(self.elements.total + 1, {**starts, first + 1: ends}),
            "Types": self._rows_of_cells(np.full(self.elements.count, self.vtk_type, dtype=np.uint8)),
        }

    def _rows_of_points(self, values: npt.NDArray[Any]) -> Rows:
        count = self.vertices.count
        return Rows(self.points, {self.vertices.first: values[:count]} | ({self._first_copy: values[count:]} if len(self._copied) else {}))

    def _rows_of_cells(self, values: npt.NDArray[Any]) -> Rows:
        return Rows(self.elements.total, {self.elements.first: values})

    def _with_ghosts(self, V: fem.FunctionSpace) -> Ints:
        """The number of each vertex of this rank, ghosts included."""
        numbers = fem.Function(V if V.dofmap.index_map_bs == 1 else V.sub(0).collapse()[0])
        numbers.x.array[: self.vertices.numbers.size] = self.vertices.numbers
        numbers.x.scatter_forward()
        return np.rint(numbers.x.array).astype(np.int64)  # exact up to 2^53

    def _gathered(self, keys: Ints, x: Array) -> tuple[Ints, Array, Ints]:
        """The vertices that are drawn again, sorted, and where, of all ranks; and which of them each of these keys is."""
        own, which = np.unique(keys, return_index=True)
        parts = self.comm.allgather((own, x[which]))
        every, which = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
        return every // 8, np.concatenate([part[1] for part in parts])[which], np.searchsorted(every, keys)


class FieldSeries:
    """Fields on one mesh over time. Collective.

    path:    of the file, with the suffix .vtkhdf; the folder of the same name is beside it
    V:       Lagrange space of degree 1, scalar or blocked, in whose (block) numbering the point arrays come
    length:  one unit of the mesh's coordinates, in the unit of the file
    wrap:    see DistributedMesh
    kept:    so many times of an earlier run are kept, which had the same mesh and arrays

    Raises OutputError if the files cannot be written; the times that are complete stay.
    """

    def __init__(self, path: Path, V: fem.FunctionSpace, length: float = 1.0, wrap: Wrap = np.asarray, kept: int = 0) -> None:
        self.path, self.folder, self.comm = path, path.with_suffix(""), V.mesh.comm
        self.mesh = DistributedMesh(V, length, wrap)
        self._times: list[float] = []
        self._arrays: dict[str, _Series] = {}
        if kept:
            self._times, self._arrays = on_root(self.comm, lambda: _read_index(path, kept))
        else:
            together(self.comm, self.folder, lambda: self.folder.mkdir(parents=True, exist_ok=True))
            write(self.comm, self.folder / MESH, self.mesh.as_datasets())
        self._index()

    @property
    def count(self) -> int:
        """Of times."""
        return len(self._times)

    def write(self, t: float, point: Mapping[str, Array], cell: Mapping[str, Array], units: Mapping[str, str] | None = None) -> None:
        """Add the time t, the same arrays each time; a two-dimensional array is a vector, padded to three components. Collective.

        point:  nodal values of this rank by name, (dofs,) or (dofs, components), ghosts or not
        cell:   values of this rank's cells by name, (cells,) or (cells, components), ghosts or not
        units:  of the arrays, by name
        """
        data = {f"PointData/{name}": self.mesh.at_points(_padded(values)) for name, values in point.items()}
        data |= {f"CellData/{name}": self.mesh.at_cells(_padded(values)) for name, values in cell.items()}
        if self._arrays and self._arrays.keys() != data.keys():
            raise ValueError(f"{self.path}: the arrays {list(data)} are not those of the first time, {list(self._arrays)}")
        write(self.comm, self.folder / _name_of(self.count), data, {"time": t})
        self._times.append(t)
        self._arrays = {
            name: _Series((rows.total, *rows.row.shape[1:]), (units or {}).get(name.split("/")[1], "")) for name, rows in data.items()
        }
        self._index()

    def _index(self) -> None:
        """Replace the file by one that has all times so far."""

        def work() -> None:
            partial = self.path.with_name(self.path.name + ".partial")
            try:
                _write_index(partial, self.folder, self._times, self._arrays)
                replace(partial, self.path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise

        together(self.comm, self.path, work if self.comm.rank == 0 else lambda: None)


@dataclass(frozen=True)
class _Series:
    """An array over time: its shape at one time, and its unit."""

    shape: tuple[int, ...]
    unit: str


def _padded(values: Array) -> Array:
    if values.ndim == 1 or values.shape[1] >= 3:
        return values
    return np.pad(values, ((0, 0), (0, 3 - values.shape[1])))


def _name_of(index: int) -> str:
    return f"{index:05d}.h5"


def _write_index(path: Path, folder: Path, times: list[float], arrays: Mapping[str, _Series]) -> None:
    """The one part that all times share, and views of the arrays of all times, one after the other."""
    mesh = f"{folder.name}/{MESH}"
    with h5py.File(folder / MESH, "r", locking=False) as file:
        points, cells, connectivity = (len(file[name]) for name in ("Points", "Types", "Connectivity"))
    with h5py.File(path, "w", libver="latest", locking=False) as file:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array([2, 1])
        root.attrs["Type"] = np.bytes_("UnstructuredGrid")
        root["NumberOfPoints"], root["NumberOfCells"], root["NumberOfConnectivityIds"] = ([n] for n in (points, cells, connectivity))
        for name in ("Points", "Connectivity", "Offsets", "Types"):
            root[name] = h5py.ExternalLink(mesh, name)
        steps = root.create_group("Steps")
        steps.attrs["NSteps"] = len(times)
        steps["Values"] = np.array(times, dtype=np.float64)
        zero = np.zeros(len(times), dtype=np.int64)
        steps["PartOffsets"], steps["PointOffsets"], steps["NumberOfParts"] = zero, zero, zero + 1
        steps["CellOffsets"], steps["ConnectivityIdOffsets"] = zero[:, None], zero[:, None]
        for kind in ("PointData", "CellData"):
            root.create_group(kind, track_order=True)
            steps.create_group(f"{kind}Offsets")
        for name, series in arrays.items():
            kind, array = name.split("/")
            rows = series.shape[0]
            layout = h5py.VirtualLayout((rows * len(times), *series.shape[1:]), np.float64)
            for index in range(len(times)):
                layout[rows * index : rows * (index + 1)] = h5py.VirtualSource(f"{folder.name}/{_name_of(index)}", name, series.shape)
            root.create_virtual_dataset(name, layout).attrs["units"] = series.unit
            steps[f"{kind}Offsets/{array}"] = rows * np.arange(len(times))


def _read_index(path: Path, kept: int) -> tuple[list[float], dict[str, _Series]]:
    """The first times of an earlier run, and what it has at each."""
    with h5py.File(path, "r", locking=False) as file:
        root = file["VTKHDF"]
        times = root["Steps/Values"][:]
        arrays = {}
        for kind in ("PointData", "CellData"):
            for name, dataset in root[kind].items():
                arrays[f"{kind}/{name}"] = _Series((len(dataset) // len(times), *dataset.shape[1:]), dataset.attrs["units"])
        return times[:kept].tolist(), arrays
