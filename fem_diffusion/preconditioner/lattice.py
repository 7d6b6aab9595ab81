"""Functions of M^-1 K where vertices fill a lattice: by the waves along its axes."""

from __future__ import annotations

from math import prod

import numpy as np
from petsc4py import PETSc

from ..elimination import EliminatedOperators
from ..parallel import global_max, global_min, global_sum, on_root

Array = np.ndarray

LONGEST = 1500  # vertices along an axis, whose waves are a full matrix
SAME = 1e-9  # distance between coordinates that are one, relative to the extent


class Lattice:
    """Vertices at (x_i, y_j, z_k) for all i, j and k: M and K are made of matrices along the axes, and waves are products of theirs,

        M = M_x (x) M_y,    K = K_x (x) M_y + M_x (x) K_y,    K_x V_x = M_x V_x Theta_x,    V_x^T M_x V_x = 1

    and likewise in space, so that a function of M^-1 K is one of numbers, theta = theta_x + theta_y (fast diagonalisation: Lynch, Rice & Thomas,
    Numer. Math. 6 (1964) 185):

        g(M^-1 K) M^-1 = V g(theta) V^T,    V = V_x (x) V_y

    M_x and K_x are what the mesh' own M and K are for functions of x alone: distances may vary, and ends may be joined. Where all are joined it is
    exact; else but for the volumes at the corners of a rectangle, and at the edges of a box.

    Ranks share the lattice in slabs across the first axis, and for what is done along that, across the second.

    theta:   eigenvalues of M^-1 K in the shape of the (last) slab
    largest: of them on all ranks
    """

    def __init__(self, operators: EliminatedOperators, places: Array, lengths: list[int]) -> None:
        comm = operators.comm
        pairs = [_waves(operators, place, length) for place, length in zip(places, lengths, strict=True)]
        size = float(global_sum(comm, operators.volume.sum()))  # in each axis' matrices, where it should stand once
        waves = [V * size ** (0.5 - 0.5 / len(lengths)) for _, V in pairs]
        self._waves = {np.dtype(kind): [V.astype(kind) for V in waves] for kind in (np.float32, np.float64)}
        self.largest = sum(float(theta.max()) for theta, _ in pairs)

        mine = _share(comm, lengths[0])
        self._first = [len(mine), *lengths[1:]]
        self._values = PETSc.Vec().createMPI((prod(self._first), None), comm=comm)
        vertices = operators.stiffness.createVecRight()
        own = np.arange(*vertices.getOwnershipRange(), dtype=PETSc.IntType)
        self._to_slabs = _scatter(vertices, own, self._values, np.ravel_multi_index(tuple(places), lengths))
        self._turn: PETSc.Scatter | None = None
        slab: list[Array] = [np.arange(length) for length in lengths]
        if comm.size > 1:
            slab[1] = np.asarray(_share(comm, lengths[1]))
            turned = [lengths[1], lengths[0], *lengths[2:]]
            self._second = [len(slab[1]), *turned[1:]]
            self._turned = PETSc.Vec().createMPI((prod(self._second), None), comm=comm)
            i, j, *others = np.meshgrid(mine, *(np.arange(length) for length in lengths[1:]), indexing="ij")
            rows = np.arange(*self._values.getOwnershipRange(), dtype=PETSc.IntType)
            self._turn = _scatter(self._values, rows, self._turned, np.ravel_multi_index((j, i, *others), turned).ravel())
        grid = np.meshgrid(*(theta[indices] for (theta, _), indices in zip(pairs, slab, strict=True)), indexing="ij")
        theta = np.sum(grid, axis=0)
        self.theta: Array = theta if self._turn is None else np.ascontiguousarray(np.swapaxes(theta, 0, 1))

    @classmethod
    def of(cls, operators: EliminatedOperators) -> Lattice | None:
        """None where vertices do not fill a lattice of two or three dimensions, or cells are no simplices. Collective."""
        geometry, comm = operators.formulation.geometry, operators.comm
        if geometry.dimension == 1 or geometry.mesh.topology.cell_type.name not in ("triangle", "tetrahedron"):
            return None  # K of rectangles has masses that are not lumped
        places, lengths = [], []
        for x in geometry.wrap(operators.formulation.x)[: geometry.dimension]:
            lowest, highest = global_min(comm, x), global_max(comm, x)
            steps = np.rint((x - lowest) / (SAME * (highest - lowest))).astype(np.int64)
            own = np.unique(steps)
            if global_max(comm, np.array([len(own)])) > 3 * LONGEST:
                return None
            found = np.unique(np.concatenate(comm.allgather(own)))
            found = found[np.append(True, np.diff(found) > 2)]  # neighbouring numbers are one coordinate and its round-off
            places.append(np.searchsorted(found, steps, side="right") - 1)
            lengths.append(len(found))
        vertices = operators.formulation.scalar_space.dofmap.index_map.size_global
        if max(lengths) > LONGEST or prod(lengths) != vertices or min(lengths) < comm.size:
            return None
        return cls(operators, np.array(places), lengths)

    def apply(self, g: Array, r: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = g(M^-1 K) M^-1 r, given g at theta, in single or double precision as g is."""
        waves = self._waves[g.dtype]
        inner = range(1 if self._turn else 0, len(waves))
        self._to_slabs.scatter(r, self._values)
        values = self._values.array_r.astype(g.dtype).reshape(self._first)
        for axis in inner:
            values = _along(axis, values, waves[axis])
        if self._turn is None:
            values *= g
        else:
            values = self._filtered_along_first(g, values)
        for axis in inner:
            values = _along(axis, values, waves[axis].T)
        self._values.array_w[:] = values.ravel()
        self._to_slabs.scatter(self._values, y, mode=PETSc.ScatterMode.REVERSE)

    def _filtered_along_first(self, g: Array, values: Array) -> Array:
        """What is done along the first axis, which is the second one of other slabs."""
        assert self._turn is not None
        self._values.array_w[:] = values.ravel()
        self._turn.scatter(self._values, self._turned)
        waves = self._waves[g.dtype][0]
        turned = _along(1, self._turned.array_r.astype(g.dtype).reshape(self._second), waves)
        turned *= g
        self._turned.array_w[:] = _along(1, turned, waves.T).ravel()
        self._turn.scatter(self._turned, self._values, mode=PETSc.ScatterMode.REVERSE)
        return self._values.array_r.astype(g.dtype).reshape(self._first)


def _waves(operators: EliminatedOperators, place: Array, length: int) -> tuple[Array, Array]:
    """theta and V of K and M for functions of one coordinate, given each owned vertex' place along it. Collective."""
    K = operators.stiffness
    starts, columns, values = K.getValuesCSR()
    needed, positions = np.unique(columns, return_inverse=True)
    everywhere, of_columns = K.createVecRight(), PETSc.Vec().createSeq(len(needed))
    everywhere.array_w[:] = place
    _scatter(everywhere, needed, of_columns, np.arange(len(needed))).scatter(everywhere, of_columns)
    column = np.rint(of_columns.array_r[positions]).astype(np.int64)
    pairs = np.repeat(place, np.diff(starts)) * length + column
    own = np.append(np.bincount(pairs, values, length**2), np.bincount(place, operators.volume[:, 0], length))
    total = np.asarray(global_sum(operators.comm, own))
    root = np.sqrt(total[length**2 :])
    # by one rank: waves with the same theta may come out in any combination
    theta, vectors = on_root(operators.comm, lambda: np.linalg.eigh(total[: length**2].reshape(length, length) / np.outer(root, root)))
    return np.maximum(theta, 0.0), vectors / root[:, None]


def _along(axis: int, values: Array, matrix: Array) -> Array:
    """sum_j v_..j.. A_jk along an axis."""
    before, length, after = prod(values.shape[:axis]), values.shape[axis], prod(values.shape[axis + 1 :])
    if after == 1:
        return (values.reshape(before, length) @ matrix).reshape(values.shape)
    return np.asarray(matrix.T @ values.reshape(before, length, after)).reshape(values.shape)


def _share(comm: PETSc.Comm, length: int) -> range:
    """The part of 0..length that a rank has."""
    return range(comm.rank * length // comm.size, (comm.rank + 1) * length // comm.size)


def _scatter(source: PETSc.Vec, rows: Array, target: PETSc.Vec, places: Array) -> PETSc.Scatter:
    """Entry rows[k] of the source becomes entry places[k] of the target."""
    sets = [PETSc.IS().createGeneral(indices.astype(PETSc.IntType), comm=source.comm) for indices in (rows, places)]
    return PETSc.Scatter().create(source, sets[0], target, sets[1])
