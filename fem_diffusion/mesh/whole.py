"""A mesh as arrays on one rank: made of a shape or of what a file holds, and distributed to all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import basix.ufl
import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.csgraph
import ufl
from dolfinx import graph, io
from dolfinx import mesh as dmesh
from mpi4py import MPI

from .. import compat
from ..errors import InputError
from .geometry import Floats, Geometry, padded, tags

Ints = npt.NDArray[np.int64]


class _Kind(NamedTuple):
    dimension: int
    vertices: int
    facet: str
    facet_vertices: int


FLAT = 1e-12  # of a cell's determinant, relative to its longest edge to the power of the dimension
KINDS = {
    "interval": _Kind(1, 2, "point", 1),
    "triangle": _Kind(2, 3, "interval", 2),
    "quadrilateral": _Kind(2, 4, "interval", 2),
    "tetrahedron": _Kind(3, 4, "triangle", 3),
    "hexahedron": _Kind(3, 8, "quadrilateral", 4),
}


@dataclass(frozen=True)
class Whole:
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
    warnings: tuple[str, ...] = ()

    def without_rows(self) -> Whole:
        """The share of all ranks but one."""
        rows = ("x", "cells", "facets", "facet_values")
        return replace(self, **{name: getattr(self, name)[:0] for name in rows})


def gathered(geometry: Geometry) -> Whole:
    """A shape that lives on one rank."""
    mesh, dimension = geometry.mesh, geometry.dimension
    return Whole(
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


# --- from a file


@dataclass
class Group:
    """Cells or facets of a file, (n, nodes), each with the value of its name; no values if the file names none."""

    nodes: Ints
    values: Ints
    names: dict[str, int]


def assembled(path: Path, cell: str, degree: int, points: Floats, cells: Group, facets: Group) -> Whole:
    """A file's mesh without the points that no cell has and the coordinates that are zero for all."""
    kind = KINDS[cell]
    used, rows = np.unique(cells.nodes, return_inverse=True)
    x = points[used]
    extent = np.ptp(x, axis=0)
    if extent[kind.dimension :].max(initial=0.0) > 1e-9 * extent.max():
        where, larger = ("on the x axis", "surfaces") if kind.dimension == 1 else ("in the x-y plane", "volumes")
        raise InputError(
            f"{path}: its {cell}s do not lie {where}. If they are meant to be a boundary, give the {larger} a physical name too"
        )
    cell_nodes = rows.reshape(cells.nodes.shape)
    _require_volumes(path, cell, x[:, : kind.dimension], cell_nodes[:, : kind.vertices])
    row = np.full(len(points), -1, dtype=np.int64)
    row[used] = np.arange(len(used))
    facet_nodes = row[facets.nodes]
    known = (facet_nodes >= 0).all(axis=1)
    return Whole(
        cell=cell,
        degree=degree,
        x=x[:, : kind.dimension],
        cells=cell_nodes,
        cell_values=cells.values,
        facets=facet_nodes[known],
        facet_values=facets.values[known],
        regions=cells.names,
        boundaries=facets.names,
        lower=padded(x[:, : kind.dimension].min(axis=0)),
        period=np.zeros(3),
        warnings=tuple(_coherence(path, x[:, : kind.dimension], cell_nodes[:, : kind.vertices])),
    )


def _require_volumes(path: Path, cell: str, x: Floats, cells: Ints) -> None:
    """InputError for cells that are flat, or folded. Either orientation is legal.

    A simplex has one Jacobian determinant, a quadrilateral or hexahedron one at each of its vertices, which must have the same sign.
    """
    dimension = x.shape[1]
    corners = x[cells]  # (cells, vertices, dimension)
    tensor = cells.shape[1] == 2**dimension > 2
    vertices = range(2**dimension) if tensor else range(1)
    determinants = []
    for vertex in vertices:
        neighbours = [vertex ^ (1 << axis) for axis in range(dimension)] if tensor else range(1, dimension + 1)
        edges = corners[:, list(neighbours)] - corners[:, [vertex]]
        length = np.linalg.norm(edges, axis=2).max(axis=1)
        sign = (-1) ** vertex.bit_count()
        determinants.append(sign * np.linalg.det(edges) / np.where(length > 0, length, 1.0) ** dimension)
    lowest, highest = np.min(determinants, axis=0), np.max(determinants, axis=0)
    bad = np.flatnonzero(~((lowest > FLAT) | (highest < -FLAT)))
    if bad.size:
        at = ", ".join(f"{coordinate:.6g}" for coordinate in corners[bad[0]].mean(axis=0))
        raise InputError(
            f"{path}: {bad.size} of {len(cells)} {cell}s are flat or folded, the first at ({at}): "
            "move their nodes or remove them, or make the mesh anew"
        )


def _coherence(path: Path, x: Floats, cells: Ints) -> Iterator[str]:
    """What may be meant, but seldom is: cells that lie side by side and share no nodes."""
    pairs = np.repeat(cells[:, 0], cells.shape[1] - 1), cells[:, 1:].ravel()
    _, part = scipy.sparse.csgraph.connected_components(
        scipy.sparse.coo_array((np.ones(len(pairs[0])), pairs), (len(x), len(x))), directed=False
    )
    sizes = np.sort(np.unique(part[cells[:, 0]], return_counts=True)[1])[::-1]
    vertices = np.unique(cells)
    rounded = np.rint((x[vertices] - x.min(axis=0)) / np.ptp(x, axis=0).max() * 1e9)
    places, first, counts = np.unique(rounded, axis=0, return_index=True, return_counts=True)
    if len(places) < len(vertices):
        at = ", ".join(f"{coordinate:.6g}" for coordinate in x[vertices[first[counts > 1][0]]])
        yield (
            f"{path}: {len(vertices) - len(places)} nodes lie where others do, the first at ({at}): cells on both sides do not touch there, and "
            "nothing passes; if that is no crack, merge the nodes (in gmsh: Coherence, or Coherence Mesh)"
        )
    if len(sizes) > 1:
        shown = ", ".join(map(str, sizes[:5])) + (", ..." if len(sizes) > 5 else "")
        yield (
            f"{path}: the mesh falls into {len(sizes)} parts, of {shown} cells, that do not touch: nothing passes from one to another, and each "
            "needs boundary conditions of its own"
        )


def ordered(path: Path, nodes: Ints, cell: str, degree: int, order: Callable[[str, int], Ints]) -> Ints:
    """The nodes of cells or facets in DOLFINx's order."""
    try:
        if nodes.shape[1] == node_count(cell, degree):
            return nodes[:, order(cell, nodes.shape[1])]
    except RuntimeError:  # an order that DOLFINx does not read
        pass
    raise InputError(
        f"{path} holds {cell}s of order {degree} with {nodes.shape[1]} nodes: save it with cells of order 1, or complete ones of order 2"
    )


def node_count(cell: str, degree: int) -> int:
    return 1 if cell == "point" else _element(cell, degree).dim


def _element(cell: str, degree: int, shape: tuple[int, ...] | None = None) -> Any:
    return basix.ufl.element("Lagrange", cell, degree, basix.LagrangeVariant.equispaced, shape=shape)


# --- from one rank to all


def distribute(comm: MPI.Comm, part: Whole) -> Geometry:
    """The mesh that rank 0 has as arrays, and of which the others have no rows."""
    gdim, facet_dimension = part.x.shape[1], KINDS[part.cell].dimension - 1
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
        cell_tags = tags(mesh, facet_dimension + 1, cells, part.cell_values[mesh.topology.original_cell_index])
    return Geometry(mesh, cell_tags, facet_tags, part.regions, part.boundaries, part.lower, part.period, warnings=part.warnings)


def _unwrapped(mesh: dmesh.Mesh, lower: Floats, period: Floats) -> dmesh.Mesh:
    """The mesh with merged vertices moved to the upper end again for the cells there."""
    x = mesh.geometry.x[compat.cell_nodes(mesh)][:, :, : mesh.geometry.dim].astype(np.float64)
    for axis in np.flatnonzero(period):
        along = x[:, :, axis]
        middle = lower[axis] + 0.5 * period[axis]
        wraps = np.ptp(along, axis=1) > 0.5 * period[axis]
        along[wraps[:, None] & (along < middle)] += period[axis]
    return compat.with_cellwise_nodes(mesh, x)
