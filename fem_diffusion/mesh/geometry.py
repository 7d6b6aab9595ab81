"""The distributed mesh with the names of its parts, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh

from ..errors import InputError, did_you_mean
from ..operators import compile_form
from ..parallel import global_max, global_min, global_sum
from .measure import Measure, is_vertex_rule

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """A distributed mesh, ghosted by facets, in units of the solver's length, and the names of its parts.

    regions, boundaries: name -> value in cell_tags, facet_tags. cell_tags is None without regions; boundaries may lie inside the domain.
    lower, period: (3,), smallest coordinates and period; the period is 0 in a direction that is not periodic.
    axisymmetric: x is the distance r from the axis and y is z; integrals are those over the solid of revolution, with the weight 2 pi r.
    dielectrics: regions that no matter enters
    warnings: what may be wrong with the file
    """

    mesh: dmesh.Mesh
    cell_tags: dmesh.MeshTags | None
    facet_tags: dmesh.MeshTags
    regions: dict[str, int]
    boundaries: dict[str, int]
    lower: Floats
    period: Floats
    axisymmetric: bool = False
    dielectrics: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def dimension(self) -> int:
        return self.mesh.topology.dim

    @property
    def volume_dimension(self) -> int:
        """Of which power of a length an integral over the domain is."""
        return 3 if self.axisymmetric else self.dimension

    @property
    def extent(self) -> tuple[float, Floats]:
        """The largest side of the mesh's bounding box, and its middle (3,)."""
        x, comm = self.mesh.geometry.x, self.mesh.comm
        lower, upper = (np.array([f(comm, column) for column in x.T]) for f in (global_min, global_max))
        return float((upper - lower).max()), (lower + upper) / 2

    def in_units_of(self, length: float) -> Self:
        self.mesh.geometry.x[:] /= length
        return replace(self, lower=np.asarray(self.lower / length), period=np.asarray(self.period / length))

    # -- integrals ------------------------------------------------------------------------------------------------------------

    def dx(self, metadata: Mapping[str, Any]) -> Measure:
        """Integrals over all that matter may enter: the domain without its dielectrics. Called with the value of a region, over that."""
        everywhere = self.everywhere(metadata)
        return everywhere((*(self.regions[name] for name in self.matter),)) if self.dielectrics else everywhere

    def everywhere(self, metadata: Mapping[str, Any]) -> Measure:
        """Integrals over the whole domain."""
        measure = ufl.Measure("dx", domain=self.mesh, subdomain_data=self.cell_tags, metadata=self._exact(metadata))
        return Measure(measure, self._vertex_weight if self.axisymmetric and is_vertex_rule(metadata) else self._weight)

    def in_dielectrics(self, metadata: Mapping[str, Any]) -> Measure | None:
        """Integrals over the dielectrics; None without any."""
        return self.everywhere(metadata)((*(self.regions[name] for name in self.dielectrics),)) if self.dielectrics else None

    def on(self, boundary: str, metadata: Mapping[str, Any]) -> Measure:
        """Integrals over a boundary, or a surface inside the domain."""
        tag = self.boundaries[boundary]
        given = {"domain": self.mesh, "subdomain_data": self.facet_tags, "metadata": self._exact(metadata)}
        inside = ufl.Measure("dS", **given)(tag) if self.lies_inside(boundary) else None
        # by the vertex rule the trapezoidal one, which gives the axis no area and every surface all of its own
        return Measure(ufl.Measure("ds", **given)(tag), self._weight, inside)

    def _exact(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """The weight r raises the degree by one."""
        if not self.axisymmetric or is_vertex_rule(metadata):
            return metadata
        return {**metadata, "quadrature_degree": metadata["quadrature_degree"] + 1}

    @property
    def _weight(self) -> Any:
        return 2 * ufl.pi * ufl.SpatialCoordinate(self.mesh)[0] if self.axisymmetric else 1.0

    @cached_property
    def _vertex_weight(self) -> Any:
        """What makes the vertex rule exact for phi_i r, which is positive on the axis: int phi_i r dx = w_i (r_i + 3 rbar)/4 on triangles and
        w_i (r_i + 2 rbar)/3 on parallelograms, with rbar the mean of the cell's vertices and w_i the weights of the rule."""
        mean = fem.Function(fem.functionspace(self.mesh, ("DG", 0)))
        mean.interpolate(lambda x: x[0])
        r = ufl.SpatialCoordinate(self.mesh)[0]
        return 2 * ufl.pi * ((r + 3 * mean) / 4 if self.mesh.topology.cell_name() == "triangle" else (r + 2 * mean) / 3)

    # -- regions --------------------------------------------------------------------------------------------------------------

    @property
    def matter(self) -> tuple[str, ...]:
        """The regions that matter may enter."""
        return tuple(name for name in self.regions if name not in self.dielectrics)

    def with_dielectrics(self, names: tuple[str, ...]) -> Self:
        """InputError where one is no region, or none is left for matter."""
        self.require_regions(names, "dielectrics")
        if names and set(self.regions) <= set(names):
            raise InputError(f"dielectrics = [{', '.join(names)}] are all regions of the mesh: leave one to the species")
        return replace(self, dielectrics=tuple(dict.fromkeys(names)))

    def require_regions(self, names: Collection[str], where: str, needed: Collection[str] = ()) -> None:
        """InputError where one of the names is no region, or one of the needed regions is not among them; `where` begins the message."""
        nameless = "the mesh names none: give its surfaces (1D: curves, 3D: volumes) physical names in gmsh"
        for name in names:
            if name not in self.regions:
                raise InputError(f"{where}: there is no region '{name}'{did_you_mean(name, self.regions) or '; ' + nameless}")
        missing = [name for name in needed if name not in names]
        if missing:
            raise InputError(f"{where} by region leaves out {', '.join(missing)}: give a value for {', '.join(needed)}")

    def piecewise(self, values: Mapping[str, float]) -> fem.Function:
        """A constant in each region, zero in those without a value."""
        f = fem.Function(fem.functionspace(self.mesh, ("DG", 0)))
        if self.cell_tags is not None:
            for name, value in values.items():
                cells = self.cell_tags.find(self.regions[name])
                f.x.array[f.function_space.dofmap.list[cells, 0]] = value
        return f

    @cached_property
    def is_matter(self) -> npt.NDArray[np.bool_]:
        """Of the cells of this rank, ghosts included, which are in no dielectric."""
        cells = self.mesh.topology.index_map(self.dimension)
        inside = np.ones(cells.size_local + cells.num_ghosts, dtype=bool)
        if self.cell_tags is not None:
            for name in self.dielectrics:
                inside[self.cell_tags.find(self.regions[name])] = False
        return inside

    def bounds_dielectric(self, boundary: str) -> bool:
        """Whether no matter is on either side of some of a boundary's facets. Collective."""
        mesh, d = self.mesh, self.dimension - 1
        mesh.topology.create_connectivity(d, d + 1)
        cells_of = mesh.topology.connectivity(d, d + 1)
        facets = self.facet_tags.find(self.boundaries[boundary])
        owned = facets[facets < mesh.topology.index_map(d).size_local]
        found = any(not self.is_matter[cells_of.links(int(facet))].any() for facet in owned)
        return bool(global_sum(mesh.comm, int(found)))

    # -- boundaries -----------------------------------------------------------------------------------------------------------

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
    form = ufl.inner(ufl.grad(u), ufl.grad(v)) * geometry.dx({"quadrature_degree": 2})
    stiffness = fem.assemble_matrix(compile_form(form))
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
