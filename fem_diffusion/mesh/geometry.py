"""The distributed mesh with the names of its parts, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh

from ..parallel import global_max, global_min, global_sum
from .measure import Measure

Floats = npt.NDArray[np.float64]


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

    @property
    def volume_dimension(self) -> int:
        """Of which power of a length an integral over the domain is."""
        return self.dimension

    def dx(self, metadata: Mapping[str, Any]) -> Measure:
        """Integrals over the domain; called with the value of a region, over that."""
        return Measure(ufl.Measure("dx", domain=self.mesh, subdomain_data=self.cell_tags, metadata=metadata))

    def on(self, boundary: str, metadata: Mapping[str, Any]) -> Measure:
        """Integrals over a boundary, or a surface inside the domain."""
        tag = self.boundaries[boundary]
        given = {"domain": self.mesh, "subdomain_data": self.facet_tags, "metadata": metadata}
        inside = ufl.Measure("dS", **given)(tag) if self.lies_inside(boundary) else None
        return Measure(ufl.Measure("ds", **given)(tag), inside=inside)

    def lies_inside(self, boundary: str) -> bool:
        """Whether some of a boundary's facets have cells on both sides. Collective."""
        mesh, d = self.mesh, self.dimension - 1
        mesh.topology.create_connectivity(d, d + 1)
        exterior = dmesh.exterior_facet_indices(mesh.topology)
        facets = self.facet_tags.find(self.boundaries[boundary])
        facets = facets[facets < mesh.topology.index_map(d).size_local]
        return bool(global_sum(mesh.comm, int(np.setdiff1d(facets, exterior).size)))

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

    def points_on(self, boundary: str) -> Floats:
        """Places of the vertices of a boundary's facets on this rank, (3, n)."""
        mesh, d = self.mesh, self.dimension - 1
        for pair in ((d, self.dimension), (d, 0), (self.dimension, 0), (self.dimension, d)):
            mesh.topology.create_connectivity(*pair)
        facets = self.facet_tags.find(self.boundaries[boundary])
        if not len(facets):  # DOLFINx divides by their number
            return np.zeros((3, 0))
        return self.wrap(mesh.geometry.x[np.unique(dmesh.entities_to_geometry(mesh, d, facets))].T)


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


def obtuse(geometry: Geometry) -> bool:
    """Whether some entry of the stiffness matrix beside the diagonal is positive: diffusion can then undershoot zero. Collective.

    On triangles the two angles that face an edge exceed 180 degrees together; on tetrahedra the dihedral angles count.
    """
    space = fem.functionspace(geometry.mesh, ("Lagrange", 1))
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    stiffness = fem.assemble_matrix(fem.form(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx))
    stiffness.scatter_reverse()
    rows = np.repeat(np.arange(len(stiffness.indptr) - 1), np.diff(stiffness.indptr))
    owned = rows < space.dofmap.index_map.size_local
    off_diagonal = stiffness.data[owned & (rows != stiffness.indices)]
    return bool(global_max(geometry.mesh.comm, off_diagonal) > 1e-9 * global_max(geometry.mesh.comm, stiffness.data))


def tags(mesh: dmesh.Mesh, dimension: int, entities: npt.NDArray[np.int32], values: npt.NDArray[Any]) -> dmesh.MeshTags:
    mesh.topology.create_connectivity(dimension, mesh.topology.dim)
    order = np.argsort(entities)
    return dmesh.meshtags(mesh, dimension, entities[order], values[order].astype(np.int32))


def padded(x: Floats) -> Floats:
    return np.concatenate([x, np.zeros(3 - len(x))])
