"""The domain: boxes, gmsh and meshio files, periodic or not, with named boundaries and regions.

A periodic mesh is periodic in its topology: opposite sides share their vertices, so every function on it is periodic, whatever the
finite element, and nothing else of the package knows about it. Its cells keep coordinates of their own, because a cell at the upper
end has a vertex that another cell has at the lower end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NoReturn

import basix.ufl
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import graph, io
from dolfinx import mesh as dmesh
from mpi4py import MPI
from pydantic import Field, PositiveInt, model_validator
from scipy.spatial import KDTree

from . import compat
from .errors import InputError
from .parallel import global_max, global_min, global_sum, on_root
from .record import Record
from .units import Quantity

AXES = ("x", "y", "z")
SIDES = (("left", "right"), ("bottom", "top"), ("back", "front"))
_DIMENSION = {"interval": 1, "rectangle": 2, "box": 3}
_BOX_CELL = {
    "simplex": (dmesh.CellType.interval, dmesh.CellType.triangle, dmesh.CellType.tetrahedron),
    "tensor": (dmesh.CellType.interval, dmesh.CellType.quadrilateral, dmesh.CellType.hexahedron),
}
_GMSH_CELLS = {
    "Line": "interval",
    "Triangle": "triangle",
    "Quadrilateral": "quadrilateral",
    "Tetrahedron": "tetrahedron",
    "Hexahedron": "hexahedron",
}
_MESHIO_CELLS = {
    "vertex": ("point", 1),
    "line": ("interval", 1),
    "line3": ("interval", 2),
    "triangle": ("triangle", 1),
    "triangle6": ("triangle", 2),
    "quad": ("quadrilateral", 1),
    "quad9": ("quadrilateral", 2),
    "tetra": ("tetrahedron", 1),
    "tetra10": ("tetrahedron", 2),
    "hexahedron": ("hexahedron", 1),
    "hexahedron27": ("hexahedron", 2),
}


class _Kind(NamedTuple):
    dimension: int
    vertices: int
    facet: str
    facet_vertices: int


_KINDS = {
    "interval": _Kind(1, 2, "point", 1),
    "triangle": _Kind(2, 3, "interval", 2),
    "quadrilateral": _Kind(2, 4, "interval", 2),
    "tetrahedron": _Kind(3, 4, "triangle", 3),
    "hexahedron": _Kind(3, 8, "quadrilateral", 4),
}

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Mesh(Record):
    """The domain: a file, or a shape with its size and numbers of cells. One number for `size` or `cells` holds for all directions."""

    label: ClassVar[str] = "[mesh]"

    file: str | None = Field(None, description="a mesh (.msh, .vtu, .xdmf, ...) or a gmsh geometry (.geo), relative to the problem")
    unit: str | None = Field(None, description="the unit of the file's coordinates, 'mm' for example; without it metres")
    parameters: dict[str, float] = Field({}, description="numbers for the DefineConstant parameters of a .geo file")

    shape: Literal["interval", "rectangle", "box"] | None = None
    size: tuple[Annotated[float, Quantity("m", positive=True)], ...] = ()
    cells: tuple[PositiveInt, ...] = ()
    origin: tuple[Annotated[float, Quantity("m")], ...] = Field((), description="the corner with the smallest coordinates; default 0")
    cell_type: Literal["simplex", "tensor"] = Field("simplex", description="tensor: quadrilaterals or hexahedra instead of simplices")

    periodic: tuple[Literal["x", "y", "z"], ...] = Field((), description="directions in which opposite sides are one")

    @model_validator(mode="before")
    @classmethod
    def _scalars_to_tuples(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        repeat = _DIMENSION.get(table["shape"], 1) if isinstance(table.get("shape"), str) else 1
        counts = {"size": repeat, "cells": repeat, "origin": 1, "periodic": 1}
        single = {key: (table[key],) * n for key, n in counts.items() if isinstance(table.get(key), (int, float, str))}
        return table | single

    @model_validator(mode="after")
    def _file_or_shape(self) -> Mesh:
        if (self.file is None) == (self.shape is None):
            given = "neither is given" if self.file is None else f"file = '{self.file}' and shape = '{self.shape}' are given"
            raise ValueError(f"needs either 'file' or 'shape', but {given}; shapes: {', '.join(_DIMENSION)}")
        alien = ("size", "cells", "origin", "cell_type") if self.shape is None else ("unit", "parameters")
        for key in alien:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' goes with {'shape' if self.shape is None else 'file'} only: remove it")
        if len(set(self.periodic)) < len(self.periodic):
            raise ValueError(f"periodic = {list(self.periodic)} names a direction twice")
        return self

    @model_validator(mode="after")
    def _shape_is_complete(self) -> Mesh:
        if self.shape is None:
            return self
        dimension = _DIMENSION[self.shape]
        directions = f"{dimension} ({', '.join(AXES[:dimension])})"
        for key in ("size", "cells", "origin"):
            given = getattr(self, key)
            if len(given) != dimension and (given or key != "origin"):
                raise ValueError(f"shape = '{self.shape}' needs {directions} numbers in '{key}', not {len(given)}")
        for axis in self.periodic:
            if axis not in AXES[:dimension]:
                raise ValueError(f"periodic = '{axis}': shape = '{self.shape}' has {directions} directions only")
            if self.cells[AXES.index(axis)] < 3:
                raise ValueError(f"periodic = '{axis}' needs at least 3 cells in {axis}, not {self.cells[AXES.index(axis)]}")
        return self

    @model_validator(mode="after")
    def _file_keys(self) -> Mesh:
        if self.unit is not None:
            _metres(self.unit)
        if self.parameters and not str(self.file).endswith(".geo"):
            raise ValueError(f"'parameters' are for a .geo file, which gmsh meshes, not for '{self.file}': remove them")
        return self


def _metres(unit: str) -> float:
    return float(Quantity("m", positive=True).parse(f"1 {unit}"))


@dataclass(frozen=True)
class Geometry:
    """A distributed mesh, ghosted by facets, in units of the solver's length, and the names of its parts.

    regions, boundaries: name -> value in cell_tags, facet_tags. cell_tags is None without regions; boundaries may lie inside the domain.
    lower, period: (3,), smallest coordinates and period; the period is 0 in a direction that is not periodic.
    """

    mesh: dmesh.Mesh
    cell_tags: dmesh.MeshTags | None
    facet_tags: dmesh.MeshTags
    regions: dict[str, int]
    boundaries: dict[str, int]
    lower: Floats
    period: Floats

    @property
    def dimension(self) -> int:
        return self.mesh.topology.dim

    def wrap(self, x: Floats) -> Floats:
        """Coordinates (3, n) with periodic ones moved into [lower, lower + period).

        What is within 1e-9 periods of the upper end becomes the lower end: the two are one, and which of them a vertex has depends on
        the partition.
        """
        x = np.array(x)
        for axis in np.flatnonzero(self.period):
            lower, period = self.lower[axis], self.period[axis]
            slack = 1e-9 * period
            # what is inside stays as it is, to the last bit: where(x < 0.5, ...) must not depend on the partition
            x[axis] -= period * np.floor((x[axis] - lower + slack) / period)
            x[axis, np.abs(x[axis] - lower) <= slack] = lower
        return x


def build(source: Mesh, directory: Path, comm: MPI.Comm, scale: float = 1.0) -> Geometry:
    """The mesh of a problem in `directory`; coordinates are divided by `scale`.

    Raises InputError, the same on every rank, if the file is missing, unreadable or of unknown cells, or cannot be made periodic.
    """
    if source.shape is not None and not source.periodic:
        return _shape(source, comm, scale)
    read: list[_Whole] = []

    def share_of_the_others() -> _Whole:
        read.append(_whole(source, directory, scale))
        return read[0].without_rows()

    nothing = on_root(comm, share_of_the_others)
    return _distribute(comm, read[0] if read else nothing)


def statistics(geometry: Geometry) -> dict[str, Any]:
    """dimension, cell type, global numbers of cells and vertices, smallest, mean and largest cell diameter. Collective."""
    mesh = geometry.mesh
    cells = mesh.topology.index_map(geometry.dimension)
    h = mesh.h(geometry.dimension, np.arange(cells.size_local, dtype=np.int32))
    return {
        "dimension": geometry.dimension,
        "cell": mesh.topology.cell_type.name,
        "cells": cells.size_global,
        "vertices": mesh.topology.index_map(0).size_global,
        "h_min": global_min(mesh.comm, h),
        "h_mean": global_sum(mesh.comm, float(h.sum())) / cells.size_global,
        "h_max": global_max(mesh.comm, h),
    }


# --- shapes


def _shape(source: Mesh, comm: MPI.Comm, scale: float) -> Geometry:
    """The shape, not periodic."""
    dimension = len(source.size)
    lower = np.array(source.origin or [0.0] * dimension) / scale
    upper = lower + np.array(source.size) / scale
    ends, cell_type = [lower, upper], _BOX_CELL[source.cell_type][dimension - 1]
    if dimension == 1:
        mesh = dmesh.create_interval(comm, source.cells[0], [lower[0], upper[0]], ghost_mode=dmesh.GhostMode.shared_facet)
    elif dimension == 2:
        mesh = dmesh.create_rectangle(comm, ends, source.cells, cell_type, ghost_mode=dmesh.GhostMode.shared_facet)
    else:
        mesh = dmesh.create_box(comm, [lower, upper], list(source.cells), cell_type, ghost_mode=dmesh.GhostMode.shared_facet)

    boundaries: dict[str, int] = {}
    found = []
    for axis in range(dimension):
        for name, end in zip(SIDES[axis], ends, strict=True):
            boundaries[name] = len(boundaries) + 1
            tolerance = 1e-9 * (upper - lower)[axis]
            found.append(
                dmesh.locate_entities_boundary(
                    mesh, dimension - 1, lambda x, axis=axis, end=end, tolerance=tolerance: np.abs(x[axis] - end[axis]) < tolerance
                )
            )
    values = [np.full(len(facets), value) for facets, value in zip(found, boundaries.values(), strict=True)]
    facet_tags = _tags(mesh, dimension - 1, np.concatenate(found), np.concatenate(values))
    return Geometry(mesh, None, facet_tags, {}, boundaries, _padded(lower), np.zeros(3))


def _tags(mesh: dmesh.Mesh, dimension: int, entities: npt.NDArray[np.int32], values: npt.NDArray[Any]) -> dmesh.MeshTags:
    mesh.topology.create_connectivity(dimension, mesh.topology.dim)
    order = np.argsort(entities)
    return dmesh.meshtags(mesh, dimension, entities[order], values[order].astype(np.int32))


def _padded(x: Floats) -> Floats:
    return np.concatenate([x, np.zeros(3 - len(x))])


# --- a mesh on one rank


@dataclass(frozen=True)
class _Whole:
    """A mesh as arrays on one rank: nodes x (n, gdim), cells (m, nodes per cell) and facets (k, nodes per facet) in DOLFINx's node order.

    cell_values and facet_values are the values of `regions` and `boundaries`; without regions cell_values is empty.
    """

    cell: str
    degree: int
    x: Floats
    cells: Ints
    cell_values: Ints
    facets: Ints
    facet_values: Ints
    regions: dict[str, int]
    boundaries: dict[str, int]
    lower: Floats
    period: Floats

    def without_rows(self) -> _Whole:
        """The share of all ranks but one."""
        rows = ("x", "cells", "facets", "facet_values")
        return replace(self, **{name: getattr(self, name)[:0] for name in rows})


def _whole(source: Mesh, directory: Path, scale: float) -> _Whole:
    if source.shape is not None:
        return _periodic(_gathered(_shape(source, MPI.COMM_SELF, scale)), source.periodic)
    path = (directory / str(source.file)).resolve()
    if not path.is_file():
        raise InputError(f"[mesh] file = '{source.file}': there is no file {path}")
    whole = _read_gmsh(path, source.parameters) if path.suffix in {".geo", ".msh"} else _read_meshio(path)
    factor = (_metres(source.unit) if source.unit else 1.0) / scale
    whole = replace(whole, x=factor * whole.x, lower=factor * whole.lower)
    return _periodic(whole, source.periodic) if source.periodic else whole


def _gathered(geometry: Geometry) -> _Whole:
    """A shape that lives on one rank."""
    mesh, dimension = geometry.mesh, geometry.dimension
    return _Whole(
        cell=mesh.topology.cell_type.name,
        degree=1,
        x=mesh.geometry.x[:, :dimension].astype(np.float64),
        cells=compat.cell_nodes(mesh).astype(np.int64),
        cell_values=np.zeros(0, dtype=np.int64),
        facets=dmesh.entities_to_geometry(mesh, dimension - 1, geometry.facet_tags.indices).astype(np.int64),
        facet_values=geometry.facet_tags.values.astype(np.int64),
        regions={},
        boundaries=geometry.boundaries,
        lower=geometry.lower,
        period=geometry.period,
    )


@dataclass
class _Group:
    """Cells or facets of a file, (n, nodes), each with the value of its name; no values if the file names none."""

    nodes: Ints
    values: Ints
    names: dict[str, int]


def _assembled(path: Path, cell: str, degree: int, points: Floats, cells: _Group, facets: _Group) -> _Whole:
    """A file's mesh without the points that no cell has and the coordinates that are zero for all."""
    kind = _KINDS[cell]
    used, rows = np.unique(cells.nodes, return_inverse=True)
    x = points[used]
    extent = np.ptp(x, axis=0)
    if extent[kind.dimension :].max(initial=0.0) > 1e-9 * extent.max():
        where, larger = ("on the x axis", "surfaces") if kind.dimension == 1 else ("in the x-y plane", "volumes")
        raise InputError(
            f"{path}: its {cell}s do not lie {where}. If they are meant to be a boundary, give the {larger} a physical name too"
        )
    row = np.full(len(points), -1, dtype=np.int64)
    row[used] = np.arange(len(used))
    facet_nodes = row[facets.nodes]
    known = (facet_nodes >= 0).all(axis=1)
    return _Whole(
        cell=cell,
        degree=degree,
        x=x[:, : kind.dimension],
        cells=rows.reshape(cells.nodes.shape),
        cell_values=cells.values,
        facets=facet_nodes[known],
        facet_values=facets.values[known],
        regions=cells.names,
        boundaries=facets.names,
        lower=_padded(x[:, : kind.dimension].min(axis=0)),
        period=np.zeros(3),
    )


def _ordered(path: Path, nodes: Ints, cell: str, degree: int, order: Callable[[str, int], Ints]) -> Ints:
    """The nodes of cells or facets in DOLFINx's order."""
    try:
        if nodes.shape[1] == _nodes(cell, degree):
            return nodes[:, order(cell, nodes.shape[1])]
    except RuntimeError:  # an order that DOLFINx does not read
        pass
    raise InputError(
        f"{path} holds {cell}s of order {degree} with {nodes.shape[1]} nodes: save it with cells of order 1, or complete ones of order 2"
    )


def _nodes(cell: str, degree: int) -> int:
    return 1 if cell == "point" else _element(cell, degree).dim


def _element(cell: str, degree: int, shape: tuple[int, ...] | None = None) -> Any:
    return basix.ufl.element("Lagrange", cell, degree, basix.LagrangeVariant.equispaced, shape=shape)


# --- files


def _read_gmsh(path: Path, parameters: dict[str, float]) -> _Whole:
    # imported here, on rank 0: a problem on a box needs no gmsh
    try:
        import gmsh
    except ImportError as error:
        raise InputError(f"{path} needs the Python module gmsh: {error}") from None
    if gmsh.isInitialized():
        raise InputError(f"{path}: gmsh is open already in this process: call gmsh.finalize() first")
    if path.suffix == ".geo":
        source = path.read_text(errors="replace")
        for name in parameters:
            if not re.search(rf"\b{re.escape(name)}\b", source):
                raise InputError(f"[mesh] parameters: {path} has no parameter '{name}'")
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        # An error thrown out of gmsh's parser would leave the rest of the file to be read as part of the next one.
        gmsh.option.setNumber("General.AbortOnError", 0)
        gmsh.logger.start()
        # `-setnumber` would outlive finalize() and change the next file's mesh; open() would forget the numbers.
        for name, value in parameters.items():
            gmsh.parser.setNumber(name, [value])
        gmsh.merge(str(path))
        _refuse_gmsh_errors(gmsh, f"read {path}")
        if path.suffix == ".geo":
            gmsh.model.mesh.generate(_gmsh_dimension(gmsh.model))
            _refuse_gmsh_errors(gmsh, f"mesh {path}")
        return _gmsh_arrays(gmsh.model, path)
    finally:
        gmsh.logger.stop()  # finalize() keeps what was logged
        gmsh.finalize()


def _refuse_gmsh_errors(gmsh: Any, task: str) -> None:
    errors = [line.removeprefix("Error: ") for line in gmsh.logger.get() if line.startswith("Error")]
    if errors:
        raise InputError(f"gmsh cannot {task}: {errors[0]}")


def _gmsh_dimension(model: Any) -> int:
    return max((dimension for dimension, _ in model.getPhysicalGroups()), default=model.getDimension())


def _gmsh_arrays(model: Any, path: Path) -> _Whole:
    dimension = _gmsh_dimension(model)
    types = {int(kind) for _, entity in model.getEntities(dimension) for kind in model.mesh.getElementTypes(dimension, entity)}
    if dimension < 1 or not types:
        raise InputError(f"{path} holds no cells")
    described = {kind: model.mesh.getElementProperties(kind) for kind in types}
    cells_named = [_GMSH_CELLS.get(name.split()[0]) for name, *_ in described.values()]
    if len(types) > 1 or cells_named == [None]:
        _refuse_cells(path, sorted(name for name, *_ in described.values()))
    cell, (_, _, degree, nodes, *_) = str(cells_named[0]), described[types.pop()]

    tags, coordinates, _ = model.mesh.getNodes()
    row = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    row[tags.astype(np.int64)] = np.arange(len(tags))
    cells = _gmsh_group(model, path, dimension, nodes)
    facets = _gmsh_group(model, path, dimension - 1, _nodes(_KINDS[cell].facet, degree))
    cells.nodes = _ordered(path, row[cells.nodes], cell, degree, compat.gmsh_order)
    facets.nodes = _ordered(path, row[facets.nodes], _KINDS[cell].facet, degree, compat.gmsh_order)
    return _assembled(path, cell, degree, coordinates.reshape(-1, 3), cells, facets)


def _gmsh_group(model: Any, path: Path, dimension: int, nodes: int) -> _Group:
    """The elements of the physical groups of one dimension, as gmsh's node tags; all elements of the highest one if it has no groups."""
    names: dict[str, int] = {}
    ids, found, values = [np.zeros(0, dtype=np.int64)], [np.zeros((0, nodes), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    groups = [
        (tag, entity) for _, tag in model.getPhysicalGroups(dimension) for entity in model.getEntitiesForPhysicalGroup(dimension, tag)
    ]
    if not model.getPhysicalGroups():
        groups = [(0, entity) for _, entity in model.getEntities(dimension)] if dimension == model.getDimension() else []
    for tag, entity in groups:
        value = names.setdefault(model.getPhysicalName(dimension, tag) or str(tag), tag) if tag else 0
        for element_ids, element_nodes in zip(*model.mesh.getElements(dimension, entity)[1:], strict=True):
            ids.append(element_ids.astype(np.int64))
            found.append(element_nodes.astype(np.int64).reshape(len(element_ids), -1))
            values.append(np.full(len(element_ids), value))
    if len({block.shape[1] for block in found}) > 1:
        _refuse_cells(path, [f"elements of dimension {dimension} with {n} nodes" for n in sorted({block.shape[1] for block in found})])
    result = _Group(np.concatenate(found), np.concatenate(values), names)
    _, first, count = np.unique(np.concatenate(ids), return_index=True, return_counts=True)
    if count.max(initial=1) > 1:
        twice = [name for name, value in names.items() if value in result.values[first[count > 1]]]
        raise InputError(f"{path}: elements of '{twice[0]}' belong to another physical group too: each may have one name only")
    return result if names else _Group(result.nodes, result.values[:0], names)


def _read_meshio(path: Path) -> _Whole:
    try:
        import meshio
    except ImportError as error:
        raise InputError(f"{path} needs the Python module meshio: {error}") from None
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            file = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio exits if no reader takes the file
        reason = said.getvalue().strip() or error
        raise InputError(f"meshio cannot read {path}: {reason}; give a .geo, .msh, .vtu or .xdmf file") from None

    blocks = [(_MESHIO_CELLS.get(block.type), block) for block in file.cells]
    dimension = max((block.dim for block in file.cells), default=0)
    types = {block.type for block in file.cells if block.dim == dimension}
    if dimension < 1:
        raise InputError(f"{path} holds no cells")
    described = _MESHIO_CELLS.get(min(types))
    if len(types) > 1 or described is None:
        _refuse_cells(path, sorted(types))
    cell, degree = described
    facet = _KINDS[cell].facet

    integer = [
        key for key, data in file.cell_data.items() if all(np.issubdtype(block.dtype, np.integer) and block.ndim == 1 for block in data)
    ]
    key = integer[0] if len(integer) == 1 else next((key for key in ("gmsh:physical", "medit:ref", "cell_tags") if key in integer), None)

    def group(kind: str, degree: int, dimension: int) -> _Group:
        rows = [i for i, (known, _) in enumerate(blocks) if known == (kind, degree)]
        nodes = np.concatenate([np.zeros((0, _nodes(kind, degree)), dtype=np.int64), *(blocks[i][1].data for i in rows)])
        nodes = _ordered(path, nodes.astype(np.int64), kind, degree, compat.vtk_order)
        if key is None:
            return _Group(nodes, np.zeros(0, dtype=np.int64), {})
        values = np.concatenate([np.zeros(0, dtype=np.int64), *(file.cell_data[key][i] for i in rows)]).astype(np.int64)
        named = {int(value): name for name, (value, d) in file.field_data.items() if d == dimension}
        return _Group(nodes, values, {named.get(value, str(value)): value for value in np.unique(values).tolist()})

    points = np.pad(file.points, ((0, 0), (0, 3 - file.points.shape[1])))
    cells = group(cell, degree, dimension)
    facets = group(facet, 1 if facet == "point" else degree, dimension - 1)
    if not facets.names:
        facets.nodes = facets.nodes[:0]
    return _assembled(path, cell, degree, points, cells, facets)


def _refuse_cells(path: Path, found: list[str]) -> NoReturn:
    raise InputError(f"{path} holds {', '.join(found)}; legal is one type of cells only, simplices or quadrilaterals or hexahedra")


# --- periodic


def _periodic(whole: _Whole, periodic: tuple[str, ...]) -> _Whole:
    """With each vertex of an upper side replaced by its partner on the lower side, and without the facets of these sides.

    Only the corners of curved cells are kept.
    """
    whole = _straight(whole)
    gdim = whole.x.shape[1]
    lower, upper = whole.x.min(axis=0), whole.x.max(axis=0)
    extents = np.ptp(whole.x[whole.cells], axis=1)
    tolerance = 1e-3 * extents.max(axis=1).min()
    partner, period = np.arange(len(whole.x)), np.zeros(3)
    on_side = np.zeros(len(whole.facets), dtype=bool)
    for name in periodic:
        axis = AXES.index(name)
        if axis >= gdim:
            raise InputError(f"[mesh] periodic = '{name}': the mesh has dimension {gdim}; legal: {', '.join(AXES[:gdim])}")
        period[axis] = upper[axis] - lower[axis]
        # Shorter cells have at most one edge between two vertices also after the merge, and un-wrap without doubt.
        if extents[:, axis].max() > 0.499 * period[axis]:
            raise InputError(
                f"[mesh] periodic = '{name}' needs at least 3 cells in {name}, and no cell as long as half the period: refine the mesh"
            )
        low, high = (np.abs(whole.x[:, axis] - end[axis]) < tolerance for end in (lower, upper))
        partner = _partners(whole.x, np.flatnonzero(low), np.flatnonzero(high), axis, period[axis], tolerance)[partner]
        on_side |= low[whole.facets].all(axis=1) | high[whole.facets].all(axis=1)
    used, cells = np.unique(partner[whole.cells], return_inverse=True)
    facets, facet_values = partner[whole.facets[~on_side]], whole.facet_values[~on_side]
    return replace(
        whole,
        x=whole.x[used],
        cells=cells.reshape(whole.cells.shape),
        facets=np.searchsorted(used, facets),
        facet_values=facet_values,
        boundaries={name: value for name, value in whole.boundaries.items() if value in facet_values},
        lower=_padded(lower),
        period=period,
    )


def _straight(whole: _Whole) -> _Whole:
    kind = _KINDS[whole.cell]
    cells, facets = whole.cells[:, : kind.vertices], whole.facets[:, : kind.facet_vertices]
    used, rows = np.unique(cells, return_inverse=True)
    return replace(whole, degree=1, x=whole.x[used], cells=rows.reshape(cells.shape), facets=np.searchsorted(used, facets))


def _partners(x: Floats, low: Ints, high: Ints, axis: int, period: float, tolerance: float) -> Ints:
    """For each vertex its partner on the lower side if it is on the upper one, else itself."""
    shifted = x[high]
    shifted[:, axis] -= period
    distance, nearest = KDTree(x[low]).query(shifted)
    matched = distance < 2 * tolerance
    lonely_high, lonely_low = int((~matched).sum()), len(low) - len(np.unique(nearest[matched]))
    if lonely_high or lonely_low:
        name, (lower, upper) = AXES[axis], SIDES[axis]
        kind = "Curve" if x.shape[1] == 2 else "Surface"
        shift = ", ".join(f"{period:g}" if i == axis else "0" for i in range(3))
        raise InputError(
            f"[mesh] periodic = '{name}': {lonely_low} of {len(low)} vertices on the side of smallest {name} ({lower}) and {lonely_high} "
            f"of {len(high)} on the side of largest {name} ({upper}) have no partner opposite. In gmsh, "
            f"'Periodic {kind}{{{upper}()}} = {{{lower}()}} Translate{{{shift}}};' makes the two sides match"
        )
    partner = np.arange(len(x))
    partner[high] = low[nearest]
    return partner


# --- from one rank to all


def _distribute(comm: MPI.Comm, part: _Whole) -> Geometry:
    """The mesh that rank 0 has as arrays, and of which the others have no rows."""
    gdim, facet_dimension = part.x.shape[1], _KINDS[part.cell].dimension - 1
    domain = ufl.Mesh(_element(part.cell, part.degree, shape=(gdim,)))
    mesh = compat.create_mesh(comm, part.cells, np.ascontiguousarray(part.x), domain)

    facets, values = io.distribute_entity_data(mesh, facet_dimension, part.facets, part.facet_values.astype(np.int32))
    mesh.topology.create_connectivity(facet_dimension, facet_dimension + 1)
    facet_tags = dmesh.meshtags_from_entities(mesh, facet_dimension, graph.adjacencylist(facets), values.astype(np.int32))
    if part.period.any():
        mesh = _unwrapped(mesh, part.lower, part.period)
        facet_tags = dmesh.meshtags(mesh, facet_dimension, facet_tags.indices, facet_tags.values)
    cell_tags = None
    if part.regions:
        cells = np.arange(len(mesh.topology.original_cell_index), dtype=np.int32)
        cell_tags = _tags(mesh, facet_dimension + 1, cells, part.cell_values[mesh.topology.original_cell_index])
    return Geometry(mesh, cell_tags, facet_tags, part.regions, part.boundaries, part.lower, part.period)


def _unwrapped(mesh: dmesh.Mesh, lower: Floats, period: Floats) -> dmesh.Mesh:
    """The mesh with merged vertices moved to the upper end again for the cells there."""
    x = mesh.geometry.x[compat.cell_nodes(mesh)][:, :, : mesh.geometry.dim].astype(np.float64)
    for axis in np.flatnonzero(period):
        along = x[:, :, axis]
        middle = lower[axis] + 0.5 * period[axis]
        wraps = np.ptp(along, axis=1) > 0.5 * period[axis]
        along[wraps[:, None] & (along < middle)] += period[axis]
    return compat.with_cellwise_nodes(mesh, x)
