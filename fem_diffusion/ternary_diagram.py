"""The picture of `fem-diffusion thermo` for ternaries: the triangle of compositions, and which gradients make a species go uphill."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge
from numpy.typing import ArrayLike

from .phase_diagram import CURVE, PHASES, STATE, STYLE, UNSTABLE
from .pointwise import Array, LocalDensity
from .thermodynamics import (
    MulticomponentThermodynamics,
    TernaryPhaseDiagram,
    diffusion_matrix,
    thermodynamic_factors,
    uphill_directions,
    uphill_share,
)

THREE_PHASES = "#009e73"
SPECIES = (PHASES, UNSTABLE, THREE_PHASES)  # Okabe & Ito
HEIGHT = math.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])  # of the first, the second and the closing component


def picture(state: MulticomponentThermodynamics, diagram: TernaryPhaseDiagram | None = None) -> Figure:
    """Two panels: the phases, or where all compositions are stable how easily a species goes uphill; and the uphill directions at the state.

    The first panel is left out where f has no phase diagram (`TernaryPhaseDiagram.of`).
    """
    names = list(state.density.composition.with_values((0.0, 0.0)).closed)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4 if diagram is None else 10.8, 5.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(1, 1 if diagram is None else 2, squeeze=False)[0])
        if diagram is not None:
            _triangle(axes[0], names)
            if len(diagram.spinodal) or len(diagram.tie_lines):
                _phases(axes[0], diagram, state.density)
            else:
                _coupling(axes[0], state)
            axes[0].plot(*_xy(state.composition), "D", color=STATE, ms=8, label="initial mean", zorder=5)
            axes[0].legend(loc="lower center", ncols=3, fontsize=10)
        _uphill(axes[-1], state, names)
    return figure


def save(path: Path, state: MulticomponentThermodynamics, diagram: TernaryPhaseDiagram | None = None) -> None:
    """`picture` as a file, in the format of its suffix."""
    picture(state, diagram).savefig(path, dpi=200)


def _xy(x: ArrayLike) -> Array:
    """Where a composition (..., 2) is in the triangle: (2, ...)."""
    x = np.asarray(x, dtype=float)
    closed = np.concatenate([x, 1 - x.sum(axis=-1, keepdims=True)], axis=-1)
    return np.moveaxis(closed @ CORNERS, -1, 0)


def _triangle(axes: Axes, names: list[str]) -> None:
    axes.plot(*np.vstack([CORNERS, CORNERS[0]]).T, color=CURVE, lw=1.2, zorder=3)
    for fraction in (0.2, 0.4, 0.6, 0.8):
        for k in range(3):  # the line of x_k = fraction, and its number where it starts on the edge from corner k + 1 to corner k
            following, preceding = CORNERS[(k + 1) % 3], CORNERS[(k + 2) % 3]
            start, end = (fraction * CORNERS[k] + (1 - fraction) * corner for corner in (following, preceding))
            axes.plot(*np.transpose([start, end]), color=CURVE, lw=0.5, alpha=0.18, zorder=0)
            outwards = (CORNERS[k] + following) / 2 - CORNERS.mean(axis=0)
            x, y = start + 0.13 * outwards
            axes.text(x, y, f"{fraction:.1f}", ha="center", va="center", fontsize=8, color="#777777")
    for corner, name in zip(CORNERS, names, strict=True):
        x, y = corner + 0.13 * (corner - CORNERS.mean(axis=0))
        axes.text(x, y, name, ha="center", va="center", fontsize=13, fontweight="bold")
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.28, HEIGHT + 0.12), aspect="equal")
    axes.axis("off")


def _phases(axes: Axes, diagram: TernaryPhaseDiagram, density: LocalDensity) -> None:
    axes.set_title("Phases")
    x = _compositions()
    factor = thermodynamic_factors(density, x.T)[:, 0]
    if factor.min() < 0:
        axes.tricontourf(*_xy(x), factor, levels=[-np.inf, 0], colors=[UNSTABLE], alpha=0.18)
    for k, triangle in enumerate(diagram.triangles):
        axes.fill(*_xy(triangle), facecolor=THREE_PHASES, edgecolor="none", alpha=0.25, label=None if k else "three phases")
    for k, line in enumerate(diagram.tie_lines):
        axes.plot(*_xy(line), color=PHASES, lw=0.7, alpha=0.6, label=None if k else "tie line")
    for k, curve in enumerate(diagram.binodal):
        axes.plot(*_xy(curve), color=PHASES, lw=2, label=None if k else "binodal")
    for k, curve in enumerate(diagram.spinodal):
        axes.plot(*_xy(curve), "--", color=UNSTABLE, lw=2, label=None if k else "spinodal")
    if len(diagram.critical_points):
        axes.plot(*_xy(diagram.critical_points), "o", color=CURVE, ms=6, label="critical point", zorder=4)


def _coupling(axes: Axes, state: MulticomponentThermodynamics) -> None:
    axes.set_title("No composition is unstable")
    x = _compositions()
    share = uphill_share(diffusion_matrix(state.density, state.transport, state.density.composition, x.T))
    filled = axes.tricontourf(*_xy(x), share, levels=np.linspace(0, 1, 21), cmap="viridis")
    axes.figure.colorbar(filled, ax=axes, shrink=0.7, ticks=[0, 0.5, 1], label="share of gradients that drive a species uphill")


def _compositions(n: int = 120) -> Array:
    """All over the triangle, (m, 2), but for its edges."""
    x = np.array([(i, j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    return x * (1 - 3e-6) + 1e-6


def _uphill(axes: Axes, state: MulticomponentThermodynamics, names: list[str]) -> None:
    """One ring for each species, coloured where the gradients' direction makes it go uphill."""
    first, second, rest = names
    directions = uphill_directions(state.diffusivity)
    shown = list(zip(names, directions, SPECIES, strict=True))
    if state.density.composition.balance is None:
        shown = shown[:2]
    radii = pairwise(map(float, np.linspace(0.34, 1.0, len(shown) + 1)))
    for (inner, outer), (name, wedge, color) in zip(radii, shown, strict=True):
        axes.add_patch(Wedge((0, 0), outer - 0.015, 0, 360, width=outer - inner - 0.03, facecolor="#eeeeee", edgecolor="none"))
        for turned in (0.0, 180.0) if wedge is not None else ():
            a, b = (math.degrees(theta) + turned for theta in wedge or ())
            axes.add_patch(Wedge((0, 0), outer - 0.015, a, b, width=outer - inner - 0.03, facecolor=color, edgecolor="none"))
        label = f"{name} uphill" if wedge is not None else f"{name}: never"
        axes.plot([], [], "s", color=color if wedge is not None else "#dddddd", ms=9, label=label)
    for end, name, offset in (((1.2, 0), first, (0, -12)), ((0, 1.2), second, (16, 0))):
        axes.annotate("", end, (-end[0], -end[1]), arrowprops={"arrowstyle": "->", "color": CURVE, "lw": 0.9})
        axes.annotate(rf"$\nabla$ {name}", end, offset, textcoords="offset points", ha="center", va="center", fontsize=11)
    if len(shown) == 3:
        axes.plot([-0.75, 0.75], [0.75, -0.75], ":", color=CURVE, lw=0.9)
        axes.annotate(rf"$\nabla$ {rest} = 0", (0.76, -0.76), (4, -6), textcoords="offset points", fontsize=9)
    axes.add_patch(Circle((0, 0), 0.02, color=CURVE))
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.6, 1.35), aspect="equal", title="Uphill directions at the initial mean")
    axes.axis("off")
    axes.legend(loc="lower center", ncols=len(shown), fontsize=10)
