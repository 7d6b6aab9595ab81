"""Where species go uphill, and how much of their flux does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from ..paraview import Array, DrawnMesh, Ints
from ..uphill import Uphill
from .history import TimeAxis
from .numbers import Snapshot, common_range, in_unit, prefixed, spread, time_label
from .page import CHART_HEIGHT, GAP, INK, LINES, MARGIN, QUIET, WIDTH, Page
from .shape import shape_of

SEEN = 0.01
"""Of a species' flux: less is no matter for a picture."""
MOST_UPHILL, MOST_TIMES = 4, 3
HOT = "#d1491f"
POOR, RICH = np.array(to_rgb("#f4f4f2")), np.array(to_rgb("#b4b8bf"))
CHART, PAD = 3.07, 0.95
TITLE = 0.5  # two lines of text above a panel
HIGHEST, STACKED = 3.6, 2.2  # a panel, and one of several above each other
NARROWEST = 1.5  # from one panel to the next: its title
ARROWS = 18  # along the longer side
ARROW = {"units": "inches", "width": 0.022, "headwidth": 4.0, "headlength": 4.5, "headaxislength": 4.0, "minlength": 0.5}


@dataclass(frozen=True)
class _Panel:
    """What is drawn of one species, or of two that mirror each other, at one time: c, J . grad c and J."""

    name: str
    label: str
    time: float
    fraction: float
    c: Array
    product: Array
    flux: Array

    def title(self, time_unit: str) -> str:
        return f"{self.label}, {time_label(self.time, time_unit)}\n{100 * self.fraction:.0f} % of the flux"

    def mirrors(self, other: _Panel) -> bool:
        """Whether it has the same J . grad c, as the two species of a binary have."""
        return self.time == other.time and bool(np.abs(self.product - other.product).max() <= 1e-6 * self.product.max())


def draw_uphill(
    page: Page,
    mesh: DrawnMesh,
    snapshots: Sequence[Snapshot],
    uphill: Sequence[Uphill],
    history: Mapping[str, Array],
    names: Mapping[str, str],
    time_unit: str,
    length_unit: str,
) -> None:
    """A panel for each species that goes uphill, when it does most, and a chart of how much of its flux does; nothing, if none does.

    A single species has maps at several times.
    """
    times = [
        [_Panel(n, label, t, u.fraction[n], c[n], u.product[n], u.flux[n]) for n, label in names.items()]
        for (t, c), u in list(zip(snapshots, uphill, strict=False))[-len(snapshots) + 1 :]  # the start may be a step, uphill in one cell
    ]
    most = _distinct([max(panels, key=lambda panel: panel.fraction) for panels in zip(*times, strict=True)])
    if not most:
        return
    top = page.bottom + 0.15
    page.text(MARGIN, top, r"Uphill diffusion, $\mathbf{J}_i\cdot\nabla c_i > 0$: orange")
    top += 0.25 + TITLE
    over_time = len(history["step"]) > 2
    width = WIDTH - 2 * MARGIN - (CHART + PAD if over_time else 0.0)
    if mesh.cell == "interval":
        bottom = _draw_lines(page, mesh, most, top, width, time_unit, length_unit)
    elif len(most) > 1:
        bottom = _draw_maps(page, mesh, most, top, width, time_unit)
    else:
        of_one = [
            (panel.time, panel)
            for panels in times
            for panel in panels
            if panel.name == most[0].name and panel.fraction >= most[0].fraction / 4
        ]
        bottom = _draw_maps(
            page, mesh, [replace(panel, label=most[0].label) for _, panel in spread(of_one, MOST_TIMES)], top, width, time_unit
        )
    page.bottom = bottom
    if over_time:
        _draw_fractions(page.axes(WIDTH - MARGIN - CHART, top, CHART, CHART_HEIGHT), history, most, time_unit)
        page.bottom = max(bottom, top + CHART_HEIGHT + 0.6)


def _distinct(panels: Sequence[_Panel]) -> list[_Panel]:
    """Those in which something goes uphill, the two of a binary as one."""
    distinct: list[_Panel] = []
    for panel in panels:
        if panel.fraction < SEEN:
            continue
        twin = next((k for k, other in enumerate(distinct) if panel.mirrors(other)), None)
        if twin is None:
            distinct.append(panel)
        else:
            distinct[twin] = replace(distinct[twin], label=f"{distinct[twin].label} and {panel.label}")
    return distinct[:MOST_UPHILL]


# --- in two and three dimensions


def _draw_maps(page: Page, mesh: DrawnMesh, panels: Sequence[_Panel], top: float, width: float, time_unit: str) -> float:
    """The composition in grey, J . grad c where it is positive in orange, and the flux as arrows; returns where they end."""
    shape = shape_of(mesh)
    wide, columns = max((_fitting(len(panels), k, width, shape.aspect), k) for k in range(1, len(panels) + 1))
    high, step = wide * shape.aspect, max(wide + GAP, NARROWEST)
    for i, panel in enumerate(panels):
        axes = page.axes(MARGIN + i % columns * step + 0.5 * (step - GAP - wide), top + i // columns * (high + TITLE), wide, high)
        grey = common_range([panel.c])(panel.c[shape.rows])[:, None]
        strength = np.sqrt(panel.product / panel.product.max())[shape.cells][:, None]
        cover = np.where(strength > 0, 0.15 + 0.85 * strength, 0.0)
        colors = (1 - cover) * (POOR + grey * (RICH - POOR)) + cover * np.array(to_rgb(HOT))
        shape.draw(axes, colors)
        if mesh.cell in ("triangle", "quadrilateral"):
            _draw_arrows(axes, mesh, panel.flux, most=min(ARROWS, int(6 * max(wide, high))))
        axes.set_title(panel.title(time_unit), loc="center", pad=5, fontsize=9)
    rows = -(-len(panels) // columns)
    return top + rows * (high + TITLE) - TITLE + 0.3


def _fitting(count: int, columns: int, width: float, aspect: float) -> float:
    """The width of a panel if so many stand beside each other."""
    highest = HIGHEST if columns == count else STACKED
    return min((width - (columns - 1) * GAP) / columns, highest / aspect)


def _draw_arrows(axes: Axes, mesh: DrawnMesh, flux: Array, most: int) -> None:
    """The mean flux in rectangles, nearly squares and so many along the longer side; the longest arrow is as long as they are."""
    at, low = mesh.points[mesh.cells].mean(axis=1)[:, :2], mesh.points[:, :2].min(axis=0)
    extent = np.ptp(mesh.points[:, :2], axis=0)
    side = extent / np.maximum(np.round(most * extent / extent.max()), 1)
    square, member, count = np.unique(((at - low) / side).astype(int), axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    mean = np.zeros((len(square), 2))
    np.add.at(mean, member, flux[:, :2])
    mean /= count[:, None]
    length = np.linalg.norm(mean, axis=1)
    long = length > 0.08 * length.max()
    # in the cell nearest to the middle of the rectangle, which itself may lie outside the domain
    away = np.linalg.norm(at - (low + (square + 0.5) * side)[member], axis=1)
    order = np.lexsort((away, member))
    middle = at[order[np.searchsorted(member[order], np.arange(len(square)))]][long]
    arrows = 0.95 * side.min() * (mean / length.max())[long]
    axes.quiver(*middle.T, *arrows.T, pivot="mid", angles="xy", scale_units="xy", scale=1, color=INK, **ARROW)


# --- in one dimension


def _draw_lines(page: Page, mesh: DrawnMesh, panels: Sequence[_Panel], top: float, width: float, time_unit: str, length_unit: str) -> float:
    """c over x, thick where the flux goes uphill, above arrows of the flux; returns where they end."""
    factor, unit = prefixed(float(np.ptp(mesh.points[:, 0])), length_unit)
    x = mesh.points[:, 0] / factor
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    pad, foot = 0.85, 0.6
    wide = (width - 0.3 - (columns - 1) * pad) / columns
    high = 2.6 if rows == 1 else 1.6
    for i, panel in enumerate(panels):
        axes = page.axes(MARGIN + 0.3 + i % columns * (wide + pad), top + i // columns * (high + foot + TITLE), wide, high)
        ends = np.stack([x[mesh.cells], panel.c[mesh.cells]], axis=-1)
        up = panel.product > 0
        axes.add_collection(LineCollection(list(ends), colors=INK, linewidths=1.4, capstyle="round"))
        axes.add_collection(LineCollection(list(ends[up]), colors=HOT, linewidths=4.0, capstyle="butt"))
        axes.set_xlim(x.min(), x.max())
        low, high_c = float(np.nanmin(panel.c)), float(np.nanmax(panel.c))
        reach = max(high_c - low, 1e-9)
        axes.set_ylim(low - 0.3 * reach, high_c + 0.06 * reach)
        _draw_flux(axes, x, mesh.cells, panel)
        axes.set_xlabel(f"x{in_unit(unit)}")
        axes.set_ylabel(panel.label)
        axes.set_title(panel.title(time_unit), fontsize=9)
    return top + rows * (high + foot + TITLE) - TITLE


def _draw_flux(axes: Axes, x: Array, cells: Ints, panel: _Panel) -> None:
    """Arrows along the bottom, orange where they go uphill, as long as the flux is strong."""
    at, J = x[cells].mean(axis=1), panel.flux[:, 0]
    order = np.argsort(at)
    places = np.linspace(x.min(), x.max(), ARROWS + 1)
    near = order[np.clip(np.searchsorted(at[order], 0.5 * (places[1:] + places[:-1])), 0, len(at) - 1)]
    near = near[np.abs(J[near]) > 0.02 * np.abs(J).max()]
    length = 0.9 * (places[1] - places[0]) * J[near] / np.abs(J[near]).max(initial=0.0)
    axes.quiver(
        at[near],
        np.full(len(near), 0.07),
        length,
        np.zeros(len(near)),
        transform=axes.get_xaxis_transform(),
        color=[HOT if panel.product[k] > 0 else QUIET for k in near],
        pivot="mid",
        angles="xy",
        scale_units="x",
        scale=1,
        **ARROW,
    )
    axes.text(0.0, 0.115, " flux", transform=axes.transAxes, fontsize=8, color=QUIET)


# --- over time


def _draw_fractions(axes: Axes, history: Mapping[str, Array], panels: Sequence[_Panel], time_unit: str) -> None:
    time = TimeAxis(history, time_unit)
    time.apply(axes)
    for color, panel in zip(LINES, panels, strict=False):
        axes.plot(time.x, 100 * np.asarray(history[f"uphill_flux_{panel.name}"]), color=color, label=panel.label, lw=1.4)
    axes.set_ylim(0, 105)
    axes.set_title("uphill part of the flux (%)")
    axes.legend(loc="best", handlelength=1.2)
