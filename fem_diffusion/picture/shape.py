"""A mesh as triangles of the plane: a flat one as it is, a solid one as a far viewer sees it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, TriMesh
from matplotlib.tri import Triangulation

from ..paraview import Array, DrawnMesh, Ints
from .page import INK

EMPTY = 0.86  # grey
_FACES = {  # of VTK's cells
    "tetrahedron": [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)],
    "hexahedron": [(0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)],
}
TO_VIEWER = np.array([-0.55, -0.72, 0.42]) / np.linalg.norm([-0.55, -0.72, 0.42])
TO_LIGHT = np.array([-0.35, -0.60, 0.72]) / np.linalg.norm([-0.35, -0.60, 0.72])


class Shape:
    """Triangles of the plane with a value at each corner, painted in their order, and the lines around them.

    corners:  (n, 2) places
    rows:     (n,) points of the mesh that have the corners' values
    faces:    (k, 3) rows of corners
    light:    (k,) brightness
    outline:  (l, 2, 2) ends of the lines
    cells:    (k,) cells of the mesh that the triangles are of
    """

    def __init__(self, corners: Array, rows: Ints, faces: Ints, light: Array, outline: Array, cells: Ints) -> None:
        # every triangle has corners of its own, so that neighbours can be lit differently
        self.corners = corners[faces].reshape(-1, 2)
        self.rows = rows[faces].reshape(-1)
        self.light = np.repeat(light, 3)
        self.outline = outline
        self.cells = np.repeat(cells, 3)

    def draw(self, axes: Axes, colors: Array) -> None:
        """Paint with red, green, blue at each corner of each triangle, (3 k, 3), and fit the axes to the shape.

        A triangle with nan at a corner is EMPTY.
        """
        blank = np.isnan(colors).any(axis=1).reshape(-1, 3).any(axis=1)
        colors = np.where(np.repeat(blank, 3)[:, None], EMPTY, colors)
        triangulation = Triangulation(self.corners[:, 0], self.corners[:, 1], np.arange(len(self.corners)).reshape(-1, 3))
        triangles = TriMesh(triangulation)
        triangles.set_facecolor(colors * self.light[:, None])
        axes.add_collection(triangles)
        axes.add_collection(LineCollection(list(self.outline), colors=INK, linewidths=0.6, capstyle="round", clip_on=False))
        low, high = self.corners.min(0), self.corners.max(0)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_axis_off()

    @property
    def aspect(self) -> float:
        """Height over width."""
        width, height = np.ptp(self.corners, axis=0)
        return float(height / width)


def shape_of(mesh: DrawnMesh) -> Shape:
    return _flat(mesh) if mesh.cell in ("triangle", "quadrilateral") else _projected_surface(mesh)


def _flat(mesh: DrawnMesh) -> Shape:
    corners = mesh.points[:, :2]
    triangles = _triangles(mesh.cells)
    around = np.roll(mesh.cells, -1, axis=1)
    edges, _ = _once(np.stack([mesh.cells, around], axis=-1).reshape(-1, 2))
    owner = np.tile(np.arange(len(mesh.cells)), len(triangles) // len(mesh.cells))
    return Shape(corners, np.arange(len(corners)), triangles, np.ones(len(triangles)), corners[edges], owner)


def _projected_surface(mesh: DrawnMesh) -> Shape:
    """What a far viewer sees of the surface: the faces turned to it, the farthest first."""
    local = np.array(_FACES[mesh.cell])
    faces, which = _once(mesh.cells[:, local].reshape(-1, local.shape[1]))
    owner = which // len(local)
    inside = mesh.points[mesh.cells].mean(axis=1)[owner]
    normals = np.cross(mesh.points[faces[:, 1]] - mesh.points[faces[:, 0]], mesh.points[faces[:, 2]] - mesh.points[faces[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middles = mesh.points[faces].mean(axis=1)
    normals *= np.sign(np.sum(normals * (middles - inside), axis=1, keepdims=True))

    towards = normals @ TO_VIEWER
    right = np.cross([0.0, 0.0, 1.0], TO_VIEWER)
    right /= np.linalg.norm(right)
    corners = mesh.points @ np.stack([right, np.cross(TO_VIEWER, right)], axis=1)
    light = 0.74 + 0.26 * np.clip(normals @ TO_LIGHT, 0, 1)

    seen = np.flatnonzero(towards > 1e-6)
    seen = seen[np.argsort(middles[seen] @ TO_VIEWER)]
    per_face = faces.shape[1] - 2
    triangles = _triangles(faces[seen]).reshape(per_face, -1, 3).swapaxes(0, 1).reshape(-1, 3)
    outline = _sharp_edges(faces, normals, towards)
    outline = outline[~_hidden(outline, triangles, corners, mesh.points @ TO_VIEWER)]
    return Shape(
        corners, np.arange(len(corners)), triangles, np.repeat(light[seen], per_face), corners[outline], np.repeat(owner[seen], per_face)
    )


def _triangles(polygons: Ints) -> Ints:
    """Fans of triangles: first triangles of all polygons, then second ones."""
    return np.concatenate([polygons[:, [0, k, k + 1]] for k in range(1, polygons.shape[1] - 1)])


def _once(entities: Ints) -> tuple[Ints, Ints]:
    """The entities whose set of vertices occurs once, which therefore bound the mesh, and their places."""
    _, first, count = np.unique(np.sort(entities, axis=1), axis=0, return_index=True, return_counts=True)
    places = np.sort(first[count == 1])
    return entities[places], places


def _sharp_edges(faces: Ints, normals: Array, towards: Array) -> Ints:
    """Edges of seen faces where the surface bends by more than 30 degrees."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(faces)), faces.shape[1])
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, owner = edges[order], owner[order]
    # on a closed surface an edge has two faces, next to each other after sorting
    pair = np.flatnonzero((edges[1:] == edges[:-1]).all(axis=1))
    one, other = owner[pair], owner[pair + 1]
    bent = np.sum(normals[one] * normals[other], axis=1) < np.cos(np.radians(30))
    return edges[pair[bent & (np.maximum(towards[one], towards[other]) > 1e-6)]]


def _hidden(edges: Ints, triangles: Ints, corners: Array, depth: Array) -> npt.NDArray[np.bool_]:
    """Whether a triangle lies before the middle of an edge."""
    at, near = corners[edges].mean(axis=1), depth[edges].mean(axis=1)
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    middles = (a + b + c) / 3
    radius = np.linalg.norm(corners[triangles] - middles[:, None], axis=-1).max()
    found = scipy.spatial.KDTree(middles).query_ball_point(at, radius)
    edge = np.repeat(np.arange(len(edges)), [len(one) for one in found])
    triangle = np.array([k for one in found for k in one], dtype=np.int64)

    # barycentric coordinates of the middle of the edge
    b, c, p = b[triangle] - a[triangle], c[triangle] - a[triangle], at[edge] - a[triangle]
    area = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
    s, t = (p[:, 0] * c[:, 1] - p[:, 1] * c[:, 0]) / area, (b[:, 0] * p[:, 1] - b[:, 1] * p[:, 0]) / area
    over = np.sum(depth[triangles[triangle]] * np.stack([1 - s - t, s, t], axis=1), axis=1)
    # with their edges: a ray through an edge must not pass between two triangles
    before = (s > -1e-9) & (t > -1e-9) & (s + t < 1 + 1e-9) & (over > near[edge] + 1e-6 * np.ptp(depth))
    hidden = np.zeros(len(edges), dtype=bool)
    hidden[edge[before]] = True
    return hidden
