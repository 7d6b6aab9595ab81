"""Everything that is spelled differently in DOLFINx 0.9, 0.10 and 0.11."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import common, cpp, fem
from dolfinx import mesh as dmesh
from mpi4py import MPI


def interpolation_points(space: fem.FunctionSpace) -> npt.NDArray[np.float64]:
    """Points of the reference cell, (n, dimension), where a function of the space is evaluated to interpolate it."""
    points = space.element.interpolation_points  # 0.9: a method
    return np.asarray(points() if callable(points) else points)


def evaluate(expression: fem.Expression, mesh: dmesh.Mesh, cells: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """The expression's values, (cells, points, size): a scalar has size 1, a tensor is flattened row by row."""
    values = expression.eval(mesh, cells)  # 0.9: points and components in one axis
    size = math.prod(expression.ufl_expression.ufl_shape)
    return values.reshape(len(cells), math.prod(values.shape[1:]) // size, size)


def create_mesh(comm: MPI.Comm, cells: npt.NDArray[np.int64], x: npt.NDArray[np.float64], domain: ufl.Mesh) -> dmesh.Mesh:
    """A distributed mesh, ghosted by facets, from this rank's share of cells (m, nodes per cell) and nodes (n, gdim)."""
    try:
        partitioner = dmesh.create_cell_partitioner(dmesh.GhostMode.shared_facet, 2)
    except TypeError:  # 0.9: no limit on the cells of a facet
        partitioner = dmesh.create_cell_partitioner(dmesh.GhostMode.shared_facet)
    return dmesh.create_mesh(comm, cells, x=x, e=domain, partitioner=partitioner)


def cell_nodes(mesh: dmesh.Mesh) -> npt.NDArray[np.int32]:
    """Rows of `mesh.geometry.x` of every cell, ghosts included: (cells, nodes per cell)."""
    geometry = mesh.geometry
    return geometry.dofmaps[0] if hasattr(geometry, "dofmaps") else geometry.dofmap


def with_cellwise_nodes(mesh: dmesh.Mesh, x: npt.NDArray[np.float64]) -> dmesh.Mesh:
    """The same topology, in which no two cells share a node: x is (cells, nodes per cell, gdim), ghosts included."""
    cells, nodes, gdim = x.shape
    # A node of a ghost cell counts as this rank's own: nothing is ever exchanged about nodes.
    index_map = common.IndexMap(mesh.comm, cells * nodes)
    dofmap = np.arange(cells * nodes, dtype=np.int32).reshape(cells, nodes)
    old = mesh.geometry
    ids = old.input_global_indices[cell_nodes(mesh)[:, :nodes].reshape(-1)]  # nodes of different cells that were one keep its id
    cmap = (old.cmaps[0] if hasattr(old, "cmaps") else old.cmap)._cpp_object
    geometry = cpp.mesh.Geometry_float64(index_map, dofmap, cmap, np.ascontiguousarray(x.reshape(-1, gdim)), ids)
    return dmesh.Mesh(cpp.mesh.Mesh_float64(mesh.comm, mesh.topology._cpp_object, geometry), mesh.ufl_domain())


def gmsh_order(cell: str, nodes: int) -> npt.NDArray[np.int64]:
    """p such that gmsh's node p[i] of a cell is DOLFINx's node i."""
    return np.asarray(cpp.io.perm_gmsh(cpp.mesh.to_type(cell), nodes), dtype=np.int64)


def vtk_order(cell: str, nodes: int) -> npt.NDArray[np.int64]:
    """p such that VTK's (and meshio's) node p[i] of a cell is DOLFINx's node i."""
    return np.asarray(cpp.io.perm_vtk(cpp.mesh.to_type(cell), nodes), dtype=np.int64)


def pull_back(mesh: dmesh.Mesh, points: npt.NDArray[np.float64], nodes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Reference coordinates of points (n, gdim) in a cell with the given nodes (m, gdim)."""
    geometry = mesh.geometry
    cmap = geometry.cmaps[0] if hasattr(geometry, "cmaps") else geometry.cmap
    return cmap.pull_back(points, nodes)
