"""Numbers of vertices and cells that do not depend on the ranks, and files in that order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from .compat import cell_nodes
from .parallel import global_sum

Ints = npt.NDArray[np.int64]


class Numbering:
    """The places 0..total-1 of entities in the order of their ids, and the exchange between the ranks that own them and blocks of places.

    A file in that order is the same on any number of ranks, and each rank writes and reads one piece of it, its block.

    ids:     of the entities that this rank owns, different over all ranks, (owned,)

    numbers: the place of each owned entity, (owned,)
    first:   of this rank's block
    count:   places in it
    total:   of all ranks
    """

    def __init__(self, comm: MPI.Comm, ids: Ints) -> None:
        self.comm = comm
        bound = comm.allreduce(int(ids.max(initial=-1)) + 1, op=MPI.MAX)
        width = max(1, -(-bound // comm.size))
        keeper = ids // width
        self._order = np.argsort(keeper, kind="stable")
        self._sent = np.bincount(keeper, minlength=comm.size)
        self._received = np.empty(comm.size, dtype=np.int64)
        comm.Alltoall(self._sent.astype(np.int64), self._received)
        there = self._exchange(ids[self._order], self._sent, self._received)
        self.count = len(there)
        self.first = sum(comm.allgather(self.count)[: comm.rank])
        self.total = int(global_sum(comm, self.count))
        self._rows = np.empty(self.count, dtype=np.int64)
        self._rows[np.argsort(there)] = np.arange(self.count)
        self.numbers = self.from_block(self.first + np.arange(self.count))

    def to_block(self, values: npt.NDArray) -> npt.NDArray:
        """Rows (owned, ...) of the owned entities as those of this rank's block, (count, ...). Collective."""
        block = np.empty((self.count, *values.shape[1:]), dtype=values.dtype)
        block[self._rows] = self._exchange(values[self._order], self._sent, self._received)
        return block

    def from_block(self, block: npt.NDArray) -> npt.NDArray:
        """The reverse. Collective."""
        values = np.empty((len(self._order), *block.shape[1:]), dtype=block.dtype)
        values[self._order] = self._exchange(block[self._rows], self._received, self._sent)
        return values

    def _exchange(self, rows: npt.NDArray, sent: Ints, received: Ints) -> npt.NDArray:
        result = np.empty((int(received.sum()), *rows.shape[1:]), dtype=rows.dtype)
        size = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
        row = MPI.BYTE.Create_contiguous(size).Commit()  # counts are of rows: of bytes they would overflow
        (send, receive) = ((counts, np.cumsum(counts) - counts) for counts in (sent, received))
        self.comm.Alltoallv([np.ascontiguousarray(rows), send, row], [result, receive, row])
        row.Free()
        return result


def number_vertices(V: fem.FunctionSpace) -> Numbering:
    """Of the vertices of a Lagrange space of degree 1, in the order of the mesh's source."""
    mesh = V.mesh
    dofs = V.dofmap.list
    ids = np.empty(V.dofmap.index_map.size_local + V.dofmap.index_map.num_ghosts, dtype=np.int64)
    ids[dofs] = mesh.geometry.input_global_indices[cell_nodes(mesh)[:, : dofs.shape[1]]]
    return Numbering(mesh.comm, ids[: V.dofmap.index_map.size_local])


def number_cells(V: fem.FunctionSpace) -> Numbering:
    """Of the cells, likewise."""
    topology = V.mesh.topology
    owned = topology.index_map(topology.dim).size_local
    return Numbering(V.mesh.comm, topology.original_cell_index[:owned])
