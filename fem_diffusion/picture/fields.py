"""Snapshots of the fields: maps on the geometry, or lines over an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from ..paraview import DrawnMesh
from .numbers import Snapshot, common_range, in_unit, prefixed, quantity, spread, time_label
from .page import BAR, COLORS, GAP, HIGHEST, INK, LINE, MARGIN, WIDTH, Page
from .shape import shape_of

MOST_PANELS, MOST_LINES = 4, 7


def draw_maps(
    page: Page, mesh: DrawnMesh, snapshots: Sequence[Snapshot], names: Mapping[str, str], time_unit: str, length_unit: str
) -> None:
    """A row of panels for each species, with one colour bar."""
    shape = shape_of(mesh)
    shown = spread(snapshots, MOST_PANELS)
    low, high = shape.corners.min(0), shape.corners.max(0)
    aspect = shape.aspect

    # a flat domain is drawn on fewer columns, a high one narrower, and several high ones side by side
    columns = min(len(shown), 4 if aspect > 0.4 or len(names) > 1 else 2 if aspect > 0.15 else 1)
    rows = -(-len(shown) // columns)
    width = min((WIDTH - 2 * MARGIN - BAR - columns * GAP) / columns, HIGHEST / aspect)
    height = width * aspect
    block = columns * (width + GAP) + BAR, rows * (height + LINE) - LINE
    beside = min(len(names), int((WIDTH - 2 * MARGIN + 1e-9) // block[0]))
    slot = (WIDTH - 2 * MARGIN) / beside

    for k, (name, label) in enumerate(names.items()):
        norm = common_range([values[name] for _, values in shown])
        left = MARGIN + k % beside * slot + 0.5 * (slot - block[0])
        top = page.bottom + (LINE if k < beside else GAP)
        for i, (t, values) in enumerate(shown):
            axes = page.axes(left + i % columns * (width + GAP), top + i // columns * (height + LINE), width, height)
            at_corners = values[name][shape.rows]
            shape.draw(axes, np.where(np.isnan(at_corners)[:, None], np.nan, COLORS(norm(at_corners))[:, :3]))
            if k < beside:
                axes.set_title(time_label(t, time_unit), loc="center", pad=5)
            if k == len(names) - 1 and i == len(shown) - columns:
                _draw_scale(axes, low[0], high[0] - low[0], low[1] - 0.12 / height * (high[1] - low[1]), length_unit)
        _draw_color_bar(
            page, page.axes(left + columns * (width + GAP), top, 0.13, block[1]), norm, label, min(6, max(1, int(block[1] / 0.2)))
        )
        if (k + 1) % beside == 0 or k == len(names) - 1:
            page.bottom = top + block[1]
    page.bottom += LINE


def _draw_color_bar(page: Page, axes: Axes, norm: Normalize, label: str, ticks: int) -> None:
    bar = page.figure.colorbar(ScalarMappable(norm, COLORS), cax=axes)
    axes.spines["outline"].set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(ticks))
    bar.set_label(label, fontsize=10)


def _draw_scale(axes: Axes, left: float, extent: float, y: float, unit: str) -> None:
    """A bar of round length, and its length."""
    power = 10 ** np.floor(np.log10(0.35 * extent))
    length = power * max(step for step in (1, 2, 3, 5) if step * power <= 0.35 * extent)
    axes.plot([left, left + length], [y, y], color=INK, lw=2, solid_capstyle="butt", clip_on=False)
    axes.text(left + length, y, f" {quantity(length, unit)}", fontsize=8, va="center", ha="left")


def draw_lines(
    page: Page, mesh: DrawnMesh, snapshots: Sequence[Snapshot], names: Mapping[str, str], time_unit: str, length_unit: str
) -> None:
    """A chart of the field over x for each species, with a line for each time."""
    shown = spread(snapshots, MOST_LINES)
    factor, unit = prefixed(float(np.ptp(mesh.points[:, 0])), length_unit)
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
            axes.plot(x, values[name][order], color=COLORS(0.82 * k / max(len(shown) - 1, 1)), label=time_label(t, time_unit))
        axes.set_xlim(x[0], x[-1])
        axes.margins(y=0.06)
        axes.set_xlabel(f"x{in_unit(unit)}")
        axes.set_ylabel(label)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.4)
    page.bottom = top + height + 0.55
