"""What is drawn: a mesh whole on rank 0, and fields on it as a time series that ParaView (5.13 or later) opens by a double click.

The file is VTKHDF: one `.vtkhdf` for any number of arrays, times and ranks, with the mesh stored once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from dolfinx import fem

from .compat import cell_nodes
from .parallel import on_root

Array = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

# name in DOLFINx: VTK's number of the type, and which DOLFINx vertex each VTK vertex is
_CELLS = {
    "interval": (3, [0, 1]),
    "triangle": (5, [0, 1, 2]),
    "quadrilateral": (9, [0, 1, 3, 2]),
    "tetrahedron": (10, [0, 1, 2, 3]),
    "hexahedron": (12, [0, 1, 3, 2, 4, 5, 7, 6]),
}


class DrawnMesh:
    """The cells of a mesh with straight edges, whole, on rank 0; empty on the other ranks. Collective.

    Vertices are where the geometry has them: in a periodic mesh one degree of freedom is drawn at both ends of the box.

    V:       Lagrange space, scalar or blocked, whose values at the vertices are drawn
    length:  one unit of the mesh's coordinates, in the unit of `points`

    cell:    DOLFINx's name of the cell type
    points:  (n, 3) vertices
    cells:   (m, vertices per cell) rows of `points`, in VTK's order
    """

    def __init__(self, V: fem.FunctionSpace, length: float = 1.0) -> None:
        mesh = V.mesh
        self.comm = mesh.comm
        self.cell = mesh.topology.cell_type.name
        self.vtk_type, order = _CELLS[self.cell]
        self._owned_dofs = V.dofmap.index_map.size_local
        self._owned_cells = mesh.topology.index_map(mesh.topology.dim).size_local

        # a Lagrange element and its mesh number the vertices of a cell first, and alike
        nodes = cell_nodes(mesh)[: self._owned_cells, order].reshape(-1)
        dofs = V.dofmap.index_map.local_to_global(V.dofmap.list[: self._owned_cells, order].reshape(-1))
        dofs, points, corner = _merge(dofs, length * mesh.geometry.x[nodes])

        parts = self.comm.gather((dofs, points, corner))
        if self.comm.rank == 0:
            offsets = np.cumsum([0] + [len(part_dofs) for part_dofs, _, _ in parts])
            dofs, points, merged = _merge(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
            corner = merged[np.concatenate([part[2] + offset for part, offset in zip(parts, offsets, strict=False)])]
        else:
            dofs, points, corner = dofs[:0], points[:0], corner[:0]
        self._dofs, self.points, self.cells = dofs, points, corner.reshape(-1, len(order))

    def at_points(self, values: Array) -> Array:
        """Values at `points` (none but on rank 0) of nodal values (dofs, ...) in V's block numbering, ghosts or not. Collective."""
        return self._whole(values[: self._owned_dofs])[self._dofs]

    def at_cells(self, values: Array) -> Array:
        """Values in `cells` (none but on rank 0) of values (owned cells, ...). Collective."""
        return self._whole(values[: self._owned_cells])

    def _whole(self, owned: Array) -> Array:
        """The owned rows of all ranks in DOLFINx's global order, which is rank by rank."""
        parts = self.comm.gather(owned)
        return np.concatenate(parts) if self.comm.rank == 0 else owned[:0]


def _merge(dofs: Ints, points: Array) -> tuple[Ints, Array, Ints]:
    """The different pairs (dof, point), and for each given pair its place among them."""
    order = np.lexsort((*points.T, dofs))
    dofs, points = dofs[order], points[order]
    new = np.ones(len(dofs), dtype=bool)
    new[1:] = (dofs[1:] != dofs[:-1]) | np.any(points[1:] != points[:-1], axis=1)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return dofs[new], points[new], place


class FieldSeries:
    """Fields on one mesh over time, in one VTKHDF file; an older file of that name is replaced. Collective.

    path:    of the file, with the suffix .vtkhdf
    V:       Lagrange space, scalar or blocked, in whose (block) numbering the point arrays come
    length:  one unit of the mesh's coordinates, in the unit of the file

    mesh:    the mesh as it is drawn
    """

    def __init__(self, path: Path, V: fem.FunctionSpace, length: float = 1.0) -> None:
        self.path = path
        self.mesh = DrawnMesh(V, length)
        self._names: tuple[list[str], list[str]] | None = None
        on_root(self.mesh.comm, lambda: _create(path, self.mesh))

    def write(self, t: float, point: Mapping[str, Array], cell: Mapping[str, Array]) -> None:
        """Add the time t, the same arrays each time; a two-dimensional array is a vector, padded to three components. Collective.

        point:  nodal values of this rank by name, (dofs,) or (dofs, components), ghosts or not
        cell:   values of this rank's own cells by name, (cells,) or (cells, components)
        """
        names = list(point), list(cell)
        if self._names not in (None, names):
            raise ValueError(f"{self.path}: the arrays {names} are not those of the first time, {self._names}")
        self._names = names
        points = {name: _padded(self.mesh.at_points(values)) for name, values in point.items()}
        cells = {name: _padded(self.mesh.at_cells(values)) for name, values in cell.items()}
        on_root(self.mesh.comm, lambda: _add(self.path, t, {"PointData": points, "CellData": cells}))


def _padded(values: Array) -> Array:
    if values.ndim == 1 or values.shape[1] >= 3:
        return values
    return np.pad(values, ((0, 0), (0, 3 - values.shape[1])))


def _create(path: Path, mesh: DrawnMesh) -> None:
    """The one part that all times share, and no time."""
    cells, corners = mesh.cells.shape
    with h5py.File(path, "w", locking=False) as file:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array([2, 1])
        root.attrs["Type"] = np.bytes_("UnstructuredGrid")
        root["NumberOfPoints"] = np.array([len(mesh.points)])
        root["NumberOfCells"] = np.array([cells])
        root["NumberOfConnectivityIds"] = np.array([cells * corners])
        root["Points"] = mesh.points
        root["Connectivity"] = mesh.cells.reshape(-1)
        root["Offsets"] = np.arange(cells + 1) * corners
        root["Types"] = np.full(cells, mesh.vtk_type, dtype=np.uint8)
        root.create_group("PointData")
        root.create_group("CellData")

        steps = root.create_group("Steps")
        steps.attrs["NSteps"] = 0
        steps.create_group("PointDataOffsets")
        steps.create_group("CellDataOffsets")


def _add(path: Path, t: float, data: Mapping[str, Mapping[str, Array]]) -> None:
    # no lock: a ParaView that has the file open must not stop the run, nor the run ParaView
    with h5py.File(path, "r+", locking=False) as file:
        root = file["VTKHDF"]
        steps = root["Steps"]
        for kind, arrays in data.items():
            for name, values in arrays.items():
                start = _append(root[kind], name, values)
                _append(steps[f"{kind}Offsets"], name, np.array([start]))
        for name in ("PartOffsets", "PointOffsets"):
            _append(steps, name, np.array([0]))
        for name in ("CellOffsets", "ConnectivityIdOffsets"):
            _append(steps, name, np.array([[0]]))
        _append(steps, "NumberOfParts", np.array([1]))
        _append(steps, "Values", np.array([t], dtype=np.float64))
        # last, so that a reader never meets a time without its arrays
        file.flush()
        steps.attrs.modify("NSteps", steps.attrs["NSteps"] + 1)


def _append(group: h5py.Group, name: str, values: npt.NDArray[np.generic]) -> int:
    """Append rows to a growing dataset and return where they start."""
    if name not in group:
        rows = min(max(len(values), 64), 65536)
        group.create_dataset(
            name, (0, *values.shape[1:]), values.dtype, maxshape=(None, *values.shape[1:]), chunks=(rows, *values.shape[1:])
        )
    dataset = group[name]
    start = len(dataset)
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values
    return start
