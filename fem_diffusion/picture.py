"""One picture of a run: snapshots of the fields on the real geometry, and energy, mass and time steps over time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, TriMesh
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation
from PIL import Image
from scipy.spatial import KDTree

from .paraview import Array, DrawnMesh, Ints

Snapshot = tuple[float, Mapping[str, Array]]

# OKLab lightness 0.26 to 0.93 in equal steps, colour distances equal within 10 %: equal steps of c look equal, also in grey
COLORS = LinearSegmentedColormap.from_list(
    "phases",
    [
        "#1b1f4b",
        "#1e2d64",
        "#1f3e78",
        "#205186",
        "#216592",
        "#297997",
        "#338e9b",
        "#48a19d",
        "#64b39f",
        "#7fc5a0",
        "#a2d4a1",
        "#c8e1a6",
        "#f2ecae",
    ],
)
INK, QUIET, FAINT = "#22252b", "#7b808a", "#d9dce1"
LINES = ("#205a8c", "#d1663a", "#3c9a7f", "#8a5aa8", "#b8912b", "#6b7280")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "mathtext.fontset": "dejavusans",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
DPI = 160
LARGEST = 1_200_000  # bytes of a picture in full colour; above it has 256 colours
WIDTH = 12.8  # inches, as are all lengths of the layout
MARGIN = 0.55
GAP = 0.2
LINE = 0.3  # a line of text above or below a panel
BAR = 0.95  # a colour bar with its numbers and label
HIGHEST = 3.6  # panel
CHART_HEIGHT = 2.1
MOST_PANELS, MOST_SPECIES, MOST_LINES = 4, 3, 7

_FACES = {  # of VTK's cells
    "tetrahedron": [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)],
    "hexahedron": [(0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)],
}
TO_VIEWER = np.array([-0.55, -0.72, 0.42]) / np.linalg.norm([-0.55, -0.72, 0.42])
TO_LIGHT = np.array([-0.35, -0.60, 0.72]) / np.linalg.norm([-0.35, -0.60, 0.72])


def summary(
    path: Path,
    mesh: DrawnMesh,
    snapshots: Sequence[Snapshot],
    history: Mapping[str, Array],
    title: str,
    time_unit: str = "",
    length_unit: str = "",
    energy_unit: str = "",
    labels: Mapping[str, str] | None = None,
) -> None:
    """Write the picture (PNG, white background). On one rank, the one that has the mesh.

    snapshots:  times and the species' values at the points of the mesh; of many, those are shown that spread over the run
    history:    columns of history.csv: step, time, dt, newton_iterations, energy, mass_<species>
    *_unit:     "" where a quantity is dimensionless; "s" and "m" get the prefix that suits the number
    labels:     what is written at a species' colours; default: its name
    """
    species = list(snapshots[0][1])[:MOST_SPECIES]
    names = {name: (labels or {}).get(name, name) for name in species}
    fields = _draw_lines if mesh.cell == "interval" else _draw_maps
    with mpl.rc_context(STYLE):
        page = _Page(title)
        fields(page, mesh, snapshots, names, time_unit, length_unit)
        signed = any(values[name].min() < -0.05 * abs(values[name]).max() for _, values in snapshots for name in species)
        _draw_history(page, history, time_unit, energy_unit, signed)
        page.save(path)


class _Page:
    """A white page that grows downwards: places are in inches from the left and from the top."""

    def __init__(self, title: str) -> None:
        self.figure = Figure(figsize=(WIDTH, 1.0), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self.title = title
        self.bottom = 0.65  # of what is on the page so far
        self._places: list[tuple[Axes, tuple[float, float, float, float]]] = []

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        axes = self.figure.add_axes((0, 0, 1, 1), label=f"{len(self._places)}")
        self._places.append((axes, (left, top, width, height)))
        return axes

    def save(self, path: Path) -> None:
        height = self.bottom
        self.figure.set_size_inches(WIDTH, height)
        for axes, (left, top, w, h) in self._places:
            axes.set_position((left / WIDTH, 1 - (top + h) / height, w / WIDTH, h / height))
        self.figure.text(MARGIN / WIDTH, 1 - 0.22 / height, self.title, fontsize=15, va="top", ha="left")
        picture = io.BytesIO()
        self.figure.savefig(picture, format="png", dpi=DPI)
        if picture.tell() > LARGEST:
            small = Image.open(picture).convert("RGB").quantize(256)
            picture = io.BytesIO()
            small.save(picture, format="png", optimize=True)
        path.write_bytes(picture.getvalue())


# --- fields


def _draw_maps(
    page: _Page, mesh: DrawnMesh, snapshots: Sequence[Snapshot], names: Mapping[str, str], time_unit: str, length_unit: str
) -> None:
    """A row of panels for each species, with one colour bar."""
    shape = _flat(mesh) if mesh.cell in ("triangle", "quadrilateral") else _projected_surface(mesh)
    shown = spread(snapshots, MOST_PANELS)
    low, high = shape.corners.min(0), shape.corners.max(0)
    aspect = (high[1] - low[1]) / (high[0] - low[0])

    # a flat domain is drawn on fewer columns, a high one narrower, and several high ones side by side
    columns = min(len(shown), 4 if aspect > 0.4 or len(names) > 1 else 2 if aspect > 0.15 else 1)
    rows = -(-len(shown) // columns)
    width = min((WIDTH - 2 * MARGIN - BAR - columns * GAP) / columns, HIGHEST / aspect)
    height = width * aspect
    block = columns * (width + GAP) + BAR, rows * (height + LINE) - LINE
    beside = min(len(names), int((WIDTH - 2 * MARGIN + 1e-9) // block[0]))
    slot = (WIDTH - 2 * MARGIN) / beside

    for k, (name, label) in enumerate(names.items()):
        norm = _norm([values[name] for _, values in shown])
        left = MARGIN + k % beside * slot + 0.5 * (slot - block[0])
        top = page.bottom + (LINE if k < beside else GAP)
        for i, (t, values) in enumerate(shown):
            axes = page.axes(left + i % columns * (width + GAP), top + i // columns * (height + LINE), width, height)
            shape.draw(axes, values[name], norm)
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
            axes.set_axis_off()
            if k < beside:
                axes.set_title(_time(t, time_unit), loc="center", pad=5)
            if k == len(names) - 1 and i == len(shown) - columns:
                _draw_scale(axes, low[0], high[0] - low[0], low[1] - 0.12 / height * (high[1] - low[1]), length_unit)
        _draw_color_bar(page, page.axes(left + columns * (width + GAP), top, 0.13, block[1]), norm, label)
        if (k + 1) % beside == 0 or k == len(names) - 1:
            page.bottom = top + block[1]
    page.bottom += LINE


def _draw_color_bar(page: _Page, axes: Axes, norm: Normalize, label: str) -> None:
    bar = page.figure.colorbar(ScalarMappable(norm, COLORS), cax=axes)
    axes.spines["outline"].set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6))
    bar.set_label(label, fontsize=10)


def _draw_scale(axes: Axes, left: float, extent: float, y: float, unit: str) -> None:
    """A bar of round length, and its length."""
    power = 10 ** np.floor(np.log10(0.35 * extent))
    length = power * max(step for step in (1, 2, 3, 5) if step * power <= 0.35 * extent)
    axes.plot([left, left + length], [y, y], color=INK, lw=2, solid_capstyle="butt", clip_on=False)
    axes.text(left + length, y, f" {quantity(length, unit)}", fontsize=8, va="center", ha="left")


def _draw_lines(
    page: _Page, mesh: DrawnMesh, snapshots: Sequence[Snapshot], names: Mapping[str, str], time_unit: str, length_unit: str
) -> None:
    """A chart of the field over x for each species, with a line for each time."""
    shown = spread(snapshots, MOST_LINES)
    factor, unit = _prefix(float(np.ptp(mesh.points[:, 0])), length_unit)
    order = np.argsort(mesh.points[:, 0])
    x = mesh.points[order, 0] / factor
    legend, pad = 1.25, 0.75
    width = (WIDTH - MARGIN - legend - pad * len(names)) / len(names)
    height = 3.3
    top = page.bottom + 0.1
    for i, (name, label) in enumerate(names.items()):
        axes = page.axes(MARGIN + 0.3 + i * (width + pad), top, width, height)
        for k, (t, values) in enumerate(shown):
            # the lightest colours would be lost on white
            axes.plot(x, values[name][order], color=COLORS(0.82 * k / max(len(shown) - 1, 1)), label=_time(t, time_unit))
        axes.set_xlim(x[0], x[-1])
        axes.margins(y=0.06)
        axes.set_xlabel(f"x{_in(unit)}")
        axes.set_ylabel(label)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.4)
    page.bottom = top + height + 0.55


class _Shape:
    """Triangles of the plane with a value at each corner, painted in their order, and the lines around them.

    corners:  (n, 2) places
    rows:     (n,) points of the mesh that have the corners' values
    faces:    (k, 3) rows of corners
    light:    (k,) brightness
    outline:  (l, 2, 2) ends of the lines
    """

    def __init__(self, corners: Array, rows: Ints, faces: Ints, light: Array, outline: Array) -> None:
        # every triangle has corners of its own, so that neighbours can be lit differently
        self.corners = corners[faces].reshape(-1, 2)
        self.rows = rows[faces].reshape(-1)
        self.light = np.repeat(light, 3)
        self.outline = outline

    def draw(self, axes: Axes, values: Array, norm: Normalize) -> None:
        colors = COLORS(norm(values[self.rows]))
        colors[:, :3] *= self.light[:, None]
        triangulation = Triangulation(self.corners[:, 0], self.corners[:, 1], np.arange(len(self.corners)).reshape(-1, 3))
        triangles = TriMesh(triangulation)
        triangles.set_facecolor(colors)
        axes.add_collection(triangles)
        axes.add_collection(LineCollection(list(self.outline), colors=INK, linewidths=0.6, capstyle="round", clip_on=False))


def _flat(mesh: DrawnMesh) -> _Shape:
    corners = mesh.points[:, :2]
    triangles = _triangles(mesh.cells)
    around = np.roll(mesh.cells, -1, axis=1)
    edges, _ = _once(np.stack([mesh.cells, around], axis=-1).reshape(-1, 2))
    return _Shape(corners, np.arange(len(corners)), triangles, np.ones(len(triangles)), corners[edges])


def _projected_surface(mesh: DrawnMesh) -> _Shape:
    """What a far viewer sees of the surface: the faces turned to it, the farthest first."""
    local = np.array(_FACES[mesh.cell])
    faces, which = _once(mesh.cells[:, local].reshape(-1, local.shape[1]))
    inside = mesh.points[mesh.cells].mean(axis=1)[which // len(local)]
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
    return _Shape(corners, np.arange(len(corners)), triangles, np.repeat(light[seen], per_face), corners[outline])


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
    found = KDTree(middles).query_ball_point(at, radius)
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


# --- history


def _draw_history(page: _Page, history: Mapping[str, Array], time_unit: str, energy_unit: str, signed: bool) -> None:
    """Energy, mass and time step from left to right."""
    pad = 0.95
    width = (WIDTH - 2 * MARGIN - 0.6 - 2 * pad) / 3
    top = page.bottom + 0.35
    energy, mass, step = (page.axes(MARGIN + 0.3 + i * (width + pad), top, width, CHART_HEIGHT) for i in range(3))
    page.bottom = top + CHART_HEIGHT + 0.65

    time = np.asarray(history["time"], dtype=float)
    steady = time[-1] <= time[0]
    x = np.asarray(history["step"], dtype=float) if steady else time
    start = x[x > 0].min(initial=x[-1])
    logarithmic = x[-1] > 100 * start > 0
    factor, unit = (1.0, time_unit) if steady or logarithmic else _prefix(float(x[-1]), time_unit)
    x = x / factor
    for axes in (energy, mass, step):
        axes.set_xlabel("step" if steady else f"time{_in(unit)}")
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(start / factor, x[-1])
        elif x[-1] > x[0]:
            axes.set_xlim(x[0], x[-1])
        axes.grid(axis="y", color=FAINT, lw=0.5)

    values, power = _scaled(history["energy"])
    energy.plot(x, values, color=LINES[0])
    energy.set_title(f"free energy{_in(f'{power} {energy_unit}'.strip())}")

    masses = {key.removeprefix("mass_"): np.asarray(column) for key, column in history.items() if key.startswith("mass_")}
    # relative to its own zero mean, the round-off of an order parameter would look like a loss
    relative = not signed and all(column[0] for column in masses.values())
    changes, power = _scaled([(column - column[0]) / (abs(column[0]) if relative else 1.0) for column in masses.values()])
    for color, name, change in zip(LINES, masses, changes, strict=False):
        mass.plot(x, change, color=color, label=name, lw=1.2)
    mass.set_title(f"{'relative ' if relative else ''}mass change{_in(power)}")
    if len(masses) > 1:
        mass.legend(ncols=len(masses), loc="best", handlelength=1.2, columnspacing=1.2)

    _draw_steps(step, x, history, factor, unit)


def _draw_steps(axes: Axes, x: Array, history: Mapping[str, Array], factor: float, unit: str) -> None:
    """The time step as a line, the Newton iterations as dots on an axis of their own."""
    iterations = axes.twinx()
    iterations.spines["right"].set_visible(True)
    iterations.plot(x[1:], history["newton_iterations"][1:], ".", color=LINES[1], ms=4, alpha=0.5, mec="none")
    iterations.set_ylim(0, 1.25 * max(4.0, float(np.nanmax(history["newton_iterations"]))))
    iterations.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    iterations.set_ylabel("Newton iterations", color=LINES[1])
    iterations.tick_params(axis="y", labelcolor=LINES[1])

    dt: Array = np.asarray(history["dt"], dtype=float) / factor
    positive = dt > 0
    axes.set_zorder(iterations.get_zorder() + 1)
    axes.patch.set_visible(False)
    x, dt, power = x[positive], dt[positive], ""
    if dt.max(initial=0.0) > 10 * dt.min(initial=np.inf):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        dt, power = _scaled(dt)
        axes.set_ylim(0, 1.25 * dt.max(initial=1e-9))
    axes.plot(x, dt, color=LINES[0])
    axes.set_title(f"time step{_in(f'{power} {unit}'.strip())}", color=LINES[0])


# --- numbers


def spread(snapshots: Sequence[Snapshot], most: int) -> list[Snapshot]:
    """At most so many, first and last among them, even in time, or in its logarithm where the times span more than two decades."""
    if len(snapshots) <= most:
        return list(snapshots)
    times = np.array([t for t, _ in snapshots])
    first = times[1:].min()
    place = times
    if first > 0 and times[-1] > 100 * first:
        # t = 0 has no logarithm: it goes one panel before the first step
        place = np.log(np.maximum(times, first * (first / times[-1]) ** (1 / (most - 1))))
    wanted = np.linspace(place[0], place[-1], most)
    chosen = {0, len(snapshots) - 1}
    for target in wanted[1:-1]:
        free = [i for i in range(len(snapshots)) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(place[i] - target)))
    return [snapshots[i] for i in sorted(chosen)]


def _norm(arrays: Iterable[Array]) -> Normalize:
    """The range of all, not narrower than round-off."""
    low, high = (float(f(values)) for f, values in zip((np.min, np.max), [np.concatenate(list(arrays))] * 2, strict=True))
    slack = max(0.0, 1e-9 * max(abs(low), abs(high), 1e-300) - (high - low))
    return Normalize(low - slack, high + slack)


def _time(t: float, unit: str) -> str:
    return f"t = {quantity(t, unit if t else '')}"


def _prefix(value: float, unit: str) -> tuple[float, str]:
    """The unit that suits the value, and its size: (1e-9, "nm") for 3e-8 and "m"."""
    if unit == "s" and abs(value) >= 100:
        return max(((size, name) for size, name in ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d")) if abs(value) >= 2 * size))
    if unit in ("s", "m") and value:
        power = int(np.clip(3 * np.floor(np.log10(abs(value) * (1 + 1e-9)) / 3), -15, 3))
        return 10.0**power, {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k"}[power] + unit
    return 1.0, unit


def quantity(value: float, unit: str) -> str:
    factor, unit = _prefix(value, unit)
    number = f"{value / factor:.3g}"
    if "e" in number:
        mantissa, exponent = number.split("e")
        number = rf"${mantissa}\times 10^{{{int(exponent)}}}$"
    return f"{number} {unit}".strip()


def _scaled(values: npt.ArrayLike) -> tuple[Array, str]:
    """The values over a power of ten, and that power, where plain numbers would be too long for an axis."""
    values = np.asarray(values, dtype=float)
    largest = np.abs(values).max(initial=0.0)
    power = int(np.floor(np.log10(largest))) if largest > 0 else 0
    if -3 <= power <= 4:
        return values, ""
    return values / 10.0**power, rf"$10^{{{power}}}$"


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
