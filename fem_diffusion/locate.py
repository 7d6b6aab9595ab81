"""Points in the mesh: which rank and cell has them, and the weights of the cell's vertices there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import basix
import numpy as np
from dolfinx import geometry as geo
from mpi4py import MPI

from . import compat
from .system import System


@dataclass(frozen=True)
class Place:
    """A point inside a cell; `cell`, `vertices` and their `weights` on rank `root` alone. in_matter: whether the cell is in no dielectric."""

    comm: MPI.Comm
    root: int
    cell: int
    vertices: np.ndarray
    weights: np.ndarray
    in_matter: bool

    def value(self, nodal: np.ndarray) -> np.ndarray:
        """The piecewise linear function with values (vertices + ghosts, ...) there, on all ranks."""
        return self._on_all(lambda: self.weights @ nodal[self.vertices])

    def recovered(self, cellwise: np.ndarray, nodal: np.ndarray) -> np.ndarray:
        """The mean (owned cells, ...) of the cell with the slope of the averages at the vertices (vertices + ghosts, ...), on all ranks."""
        return self._on_all(lambda: cellwise[self.cell] + self.weights @ nodal[self.vertices] - nodal[self.vertices].mean(axis=0))

    def _on_all(self, evaluate: Callable[[], np.ndarray]) -> np.ndarray:
        return np.asarray(self.comm.bcast(evaluate() if self.comm.rank == self.root else None, root=self.root))


class Locator:
    """Finds points, given in solver units."""

    def __init__(self, system: System) -> None:
        self._comm, self._mesh, self._is_matter = system.comm, system.geometry.mesh, system.geometry.is_matter
        self._dimension, self._vertices = system.geometry.dimension, system.formulation.space.dofmap.list

    @cached_property
    def _tree(self) -> Any:
        return geo.bb_tree(self._mesh, self._mesh.topology.dim)

    def place(self, at: np.ndarray) -> Place | None:
        """The point (d,) or (3,); None where it lies outside the mesh. Collective."""
        mesh, d = self._mesh, self._dimension
        point = np.zeros((1, 3))
        point[0, : len(at)] = at
        near = geo.compute_collisions_points(self._tree, point)
        cells = geo.compute_colliding_cells(mesh, near, point).links(0)
        owned = [int(cell) for cell in cells if cell < mesh.topology.index_map(mesh.topology.dim).size_local]
        owned.sort(key=lambda cell: not self._is_matter[cell])  # where matter meets a dielectric the matter is asked for
        best = self._comm.allgather(int(self._is_matter[owned[0]]) if owned else -1)
        if max(best) < 0:
            return None
        root, in_matter = best.index(max(best)), max(best) == 1
        if self._comm.rank != root:
            return Place(self._comm, root, -1, np.empty(0, dtype=np.int32), np.empty(0), in_matter)
        cell = owned[0]
        nodes = mesh.geometry.x[compat.cell_nodes(mesh)[cell]][:, :d]
        reference = compat.pull_back(mesh, point[:, :d], nodes)
        element = basix.create_element(basix.ElementFamily.P, mesh.basix_cell(), 1)
        return Place(self._comm, root, cell, self._vertices[cell], element.tabulate(0, reference)[0, 0, :, 0], in_matter)
