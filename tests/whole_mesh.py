"""A distributed mesh and its fields, gathered on rank 0 for pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from dolfinx import fem, mesh

from fem_diffusion.compat import create_mesh
from fem_diffusion.paraview import CELLS, DistributedMesh, DrawnMesh
from fem_diffusion.shared_file import Rows


class WholeMesh:
    """mesh: whole on rank 0, None on the others. Collective."""

    def __init__(self, V: fem.FunctionSpace, length: float = 1.0) -> None:
        self.distributed = DistributedMesh(V, length, np.asarray)
        parts = {name: self.whole(rows) for name, rows in self.distributed.as_datasets().items()}
        self.mesh = None
        if V.mesh.comm.rank == 0:
            self.mesh = DrawnMesh(self.distributed.cell, parts["Points"], parts["Connectivity"].reshape(-1, self.distributed.corners))

    def at_points(self, values: np.ndarray) -> np.ndarray:
        return self.whole(self.distributed.at_points(values))

    def at_cells(self, values: np.ndarray) -> np.ndarray:
        return self.whole(self.distributed.at_cells(values))

    def whole(self, rows: Rows) -> np.ndarray:
        """The rows of all ranks, on rank 0; none on the others."""
        parts = self.distributed.comm.gather(rows.pieces)
        array = np.zeros((rows.total if parts else 0, *rows.row.shape[1:]), rows.row.dtype)
        for pieces in parts or ():
            for first, piece in pieces.items():
                array[first : first + len(piece)] = piece
        return array


def where(domain: mesh.Mesh, holds: Callable[[np.ndarray], np.ndarray]) -> mesh.Mesh:
    """The mesh of the cells at whose middles (3, m) something holds. Collective."""
    drawn = WholeMesh(fem.functionspace(domain, ("Lagrange", 1)))
    gdim = domain.geometry.dim
    points, cells = np.zeros((0, gdim)), np.zeros((0, drawn.distributed.corners), np.int64)
    if drawn.mesh is not None:
        kept = drawn.mesh.cells[holds(drawn.mesh.points[drawn.mesh.cells].mean(axis=1).T)]
        used, cells = np.unique(kept[:, CELLS[drawn.distributed.cell][1]], return_inverse=True)  # VTK's order and back are the same
        points, cells = drawn.mesh.points[used, :gdim], cells.reshape(kept.shape)
    return create_mesh(domain.comm, cells, np.ascontiguousarray(points), domain.ufl_domain())
