"""From the [mesh] table to the distributed mesh."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from dolfinx import mesh as dmesh
from mpi4py import MPI

from ..errors import InputError
from ..parallel import global_max, global_min, on_root
from .files import read_gmsh, read_meshio
from .geometry import Geometry, padded, tags
from .grading import graded
from .periodic import made_periodic
from .source import SIDES, Mesh, metres
from .whole import Whole, distribute, gathered

BYTES = 100  # of a vertex in a mesh of DOLFINx, with its coordinates (24) and the cells around it: at least
SMALLEST = 1e-15  # side of a shape: DOLFINx takes less for zero
_BOX_CELL = {
    "simplex": (dmesh.CellType.interval, dmesh.CellType.triangle, dmesh.CellType.tetrahedron),
    "tensor": (dmesh.CellType.interval, dmesh.CellType.quadrilateral, dmesh.CellType.hexahedron),
}

# DOLFINx's partitioner draws the same numbers every time, but with threads of its own Scotch (7.0) uses them in an order of chance: the same
# mesh on the same ranks would be cut differently from run to run, and no result, not even a restarted one, would be the same to the last bit.
os.environ.setdefault("SCOTCH_PTHREAD_NUMBER", "1")
os.environ.setdefault("SCOTCH_DETERMINISTIC", "1")  # read since 7.0.10


def build(source: Mesh, directory: Path, comm: MPI.Comm, scale: float = 1.0) -> Geometry:
    """The mesh of a problem in `directory`; coordinates are divided by `scale`.

    Raises InputError, the same on every rank, if the file is missing, unreadable or of unknown cells, or cannot be made periodic.
    """
    geometry = _geometry(source, directory, comm, scale)
    return _axisymmetric(geometry) if source.axisymmetric else geometry


def _geometry(source: Mesh, directory: Path, comm: MPI.Comm, scale: float) -> Geometry:
    if source.shape is not None and not source.periodic:
        return _shape(source, comm, scale)
    read: list[Whole] = []

    def share_of_the_others() -> Whole:
        read.append(_whole(source, directory, scale))
        return read[0].without_rows()

    nothing = on_root(comm, share_of_the_others)
    return distribute(comm, read[0] if read else nothing)


def _axisymmetric(geometry: Geometry) -> Geometry:
    if geometry.dimension != 2:
        raise InputError(
            f"[mesh] axisymmetric = true needs a mesh of dimension 2, x = r and y = z; this one has dimension {geometry.dimension}"
        )
    x = geometry.mesh.geometry.x
    lowest, extent = global_min(geometry.mesh.comm, x[:, 0]), global_max(geometry.mesh.comm, np.abs(x))
    if lowest < -1e-9 * extent:
        raise InputError(
            f"[mesh] axisymmetric = true: x is the distance r >= 0 from the axis, and the mesh reaches to x = {lowest:g}: move it"
        )
    return replace(geometry, axisymmetric=True)


def _whole(source: Mesh, directory: Path, scale: float) -> Whole:
    if source.shape is not None:
        return made_periodic(gathered(_shape(source, MPI.COMM_SELF, scale)), source.periodic)
    path = (directory / str(source.file)).resolve()
    _require_file(path, f"[mesh] file = '{source.file}'")
    whole = read_gmsh(path, source.parameters) if path.suffix in {".geo", ".msh"} else read_meshio(path)
    factor = (metres(source.unit) if source.unit else 1.0) / scale
    whole = replace(whole, x=factor * whole.x, lower=factor * whole.lower)
    return made_periodic(whole, source.periodic) if source.periodic else whole


def _require_file(path: Path, where: str) -> None:
    try:
        if not path.exists():
            raise InputError(f"{where}: there is no file {path}")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{where}: {path} is empty")
    except (OSError, ValueError) as error:  # a folder, no permission, a name that no file can have
        raise InputError(f"{where}: cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _require_room(source: Mesh, comm: MPI.Comm) -> None:
    """InputError where a shape's mesh alone is larger than the memory of all machines: the system would end the run without a word."""
    on_this_machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
    share = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / on_this_machine.size
    on_this_machine.Free()
    memory = float(comm.allreduce(share))
    vertices = math.prod(float(cells) + 1 for cells in source.cells)
    if vertices * BYTES > memory:
        raise InputError(
            f"[mesh] cells = {list(source.cells)} makes {vertices:.3g} vertices, whose mesh alone takes {vertices * BYTES / 1e9:.3g} GB, and "
            f"there are {memory / 1e9:.3g} GB: give fewer cells"
        )


def _shape(source: Mesh, comm: MPI.Comm, scale: float) -> Geometry:
    """The shape, not periodic."""
    _require_room(source, comm)
    dimension = len(source.size)
    lower = np.array(source.origin or [0.0] * dimension) / scale
    upper = lower + np.array(source.size) / scale
    if (upper - lower < SMALLEST).any():
        raise InputError(f"[mesh] size: {(upper - lower).min() * scale:g} is too small for a mesh: give at least {SMALLEST * scale:g}")
    lost = (upper - lower) / np.array(source.cells) <= 1e-12 * np.maximum(np.abs(lower), np.abs(upper))
    if lost.any():
        axis = int(np.argmax(lost))
        raise InputError(
            f"[mesh] size, cells: the {source.cells[axis]} cells in {'xyz'[axis]} are too small beside the coordinates to tell them apart: "
            "give fewer cells, or an origin nearer to zero"
        )
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
        near, far = (source.finest.get(name) for name in SIDES[axis])
        if near is not None or far is not None:
            steps = np.rint((mesh.geometry.x[:, axis] - lower[axis]) / (upper - lower)[axis] * source.cells[axis]).astype(int)
            mesh.geometry.x[:, axis] = lower[axis] + graded(source.size[axis], source.cells[axis], near, far)[steps] / scale
    values = [np.full(len(facets), value) for facets, value in zip(found, boundaries.values(), strict=True)]
    facet_tags = tags(mesh, dimension - 1, np.concatenate(found), np.concatenate(values))
    return Geometry(mesh, None, facet_tags, {}, boundaries, padded(lower), np.zeros(3))
