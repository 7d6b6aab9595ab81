"""Curves of a sweep, and the spectrum of an impedance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ..paraview import Array
from .numbers import in_unit
from .page import COLORS, FAINT, LINES, MARGIN, STYLE, WIDTH, Page

MOST_LINES = 8
HEIGHT, WIDEST, PAD = 3.1, 4.5, 1.0
FLAT = 0.05  # of a curve's size: smaller changes do not fill a chart

KINDS = {"current": "current of ions, outward", "flux": "flux, outward", "charge": "charge", "capacitance": "differential capacitance"}


def save_sweep(
    path: Path, table: Mapping[str, Array], axes: Mapping[str, str], title: str, units: Mapping[str, str], noise: Mapping[str, float]
) -> None:
    """Currents, charges and differential capacitances (without charges fluxes, or else the energy) over the innermost swept value.

    table: columns of sweep.csv; axes: the swept keys with what is written at their axes, innermost last
    units, noise: by kind of column ("current"): its unit, and below which size it is round-off and not drawn
    """
    *outer, inner = axes
    charts = []
    for kind in KINDS:
        if kind == "flux" and "charge" in table:
            continue
        columns = {name: values for name, values in table.items() if name.startswith(f"{kind}_")}
        if columns and max(np.nanmax(np.abs(values), initial=0.0) for values in columns.values()) > noise.get(kind, 0.0):
            charts.append((kind, KINDS[kind], columns))
    charts = charts or [("energy", "free energy", {"energy": table["energy"]})]
    families = np.unique(np.column_stack([table[key] for key in outer]), axis=0) if outer else np.zeros((1, 0))
    swept = inner.split(".")[1] if inner.startswith("boundary.") else None
    with mpl.rc_context(STYLE):
        page = Page(title)
        width, places = _places(page, len(charts))
        for (kind, label, columns), left in zip(charts, places, strict=True):
            chart = page.axes(left, page.bottom + 0.2, width, HEIGHT)
            chart.grid(color=FAINT, lw=0.5)
            chart.set_xlabel(axes[inner])
            if len(families) > 1:
                name = f"{kind}_{swept}" if f"{kind}_{swept}" in columns else next(iter(columns))
                of = name.removeprefix(f"{kind}_") if name != kind else ""
                power = _draw_family(chart, table, outer, inner, families, columns[name])
            else:
                of = next(iter(columns)).removeprefix(f"{kind}_") if len(columns) == 1 and kind in KINDS else ""
                power = _draw_columns(chart, table[inner], columns, kind)
            unit = in_unit(f"{power} {units.get(kind, '')}".strip())
            chart.set_title(f"{label}{f', {of}' if of else ''}{unit}")
        if len(families) > 1:
            chart.legend(title=", ".join(axes[key] for key in outer), loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.4)
        page.bottom += 0.2 + HEIGHT + 0.7
        page.save(path)


def save_impedance(path: Path, frequency: Array, Z: Array, title: str, frequency_unit: str, unit: str) -> None:
    """-Im Z over Re Z (Nyquist), |Z| and the phase over the frequency (Bode)."""
    with mpl.rc_context(STYLE):
        page = Page(title)
        width, places = _places(page, 3)
        nyquist, bode, phase = (page.axes(left, page.bottom + 0.2, width, HEIGHT) for left in places)
        _draw_nyquist(nyquist, Z, width / HEIGHT, unit)
        for axes in (bode, phase):
            axes.set_xscale("log")
            axes.set_xlabel(f"frequency{in_unit(frequency_unit)}")
            axes.grid(color=FAINT, lw=0.5)
        bode.loglog(frequency, abs(Z), color=LINES[0], marker=".")
        bode.set_title(f"|Z|{in_unit(unit)}")
        phase.plot(frequency, np.degrees(np.angle(Z)), color=LINES[1], marker=".")
        phase.set_title("phase (degrees)")
        page.bottom += 0.2 + HEIGHT + 0.7
        page.save(path)


def _places(page: Page, count: int) -> tuple[float, list[float]]:
    """The width of charts beside each other, and where they begin; a legend may stand to the right."""
    width = min((WIDTH - 2 * MARGIN - 1.5 - (count - 1) * PAD) / count, WIDEST)
    return width, [MARGIN + 0.3 + i * (width + PAD) for i in range(count)]


def _draw_columns(axes: Axes, x: Array, columns: Mapping[str, Array], kind: str) -> str:
    """A line for each column; returns the power of ten over which they are drawn."""
    values, power = _scaled(list(columns.values()))
    order = np.argsort(x)
    for k, (color, name) in enumerate(zip(LINES, columns, strict=False)):
        axes.plot(x[order], values[k, order], color=color, label=name.removeprefix(f"{kind}_"), marker="." if len(x) < 40 else None)
    _widen(axes, values)
    if len(columns) > 1:
        axes.legend(loc="best", handlelength=1.4)
    return power


def _draw_family(axes: Axes, table: Mapping[str, Array], outer: Sequence[str], inner: str, families: Array, column: Array) -> str:
    """A line for each value of the outer parameters, at most MOST_LINES of them."""
    chosen = families[np.linspace(0, len(families) - 1, min(len(families), MOST_LINES)).astype(int)]
    values, power = _scaled(column)
    for k, family in enumerate(chosen):
        rows = np.flatnonzero(np.all([table[key] == value for key, value in zip(outer, family, strict=True)], axis=0))
        rows = rows[np.argsort(table[inner][rows])]
        color = COLORS(0.82 * k / max(len(chosen) - 1, 1))  # the lightest colours would be lost on white
        axes.plot(table[inner][rows], values[rows], color=color, label=", ".join(f"{value:.4g}" for value in family))
    _widen(axes, values)
    return power


def _scaled(values: Array | list[Array]) -> tuple[Array, str]:
    """Over a power of ten, and that power, where the axis would need one; a point without a value stays one."""
    array = np.asarray(values, dtype=float)
    largest = float(np.nanmax(np.abs(array), initial=0.0))
    power = int(np.floor(np.log10(largest))) if largest > 0 else 0
    return (array, "") if -1 <= power <= 3 else (array / 10.0**power, rf"$10^{{{power}}}$")


def _widen(axes: Axes, values: Array) -> None:
    """A nearly constant curve is drawn as one."""
    axes.ticklabel_format(useOffset=False)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    lacking = FLAT * max(abs(low), abs(high)) - (high - low)
    if lacking > 0:
        axes.set_ylim(low - lacking, high + lacking)


def _draw_nyquist(axes: Axes, Z: Array, aspect: float, unit: str) -> None:
    """Both axes in the same scale. Where -Im Z rises without end (a capacitance), it is cut where it leaves the arcs far behind."""
    Z = Z[Z.real != 0.0]  # known to round-off only
    if not len(Z):
        return
    real, power = _scaled(Z.real)
    imaginary = -Z.imag * (real[0] / Z.real[0])
    left, right = min(0.0, float(real.min())), float(real.max())
    reach = 1.1 * max(right - left, 1e-300)
    height = min(1.1 * max(float(imaginary.max()), 1e-300), 2 * reach)
    reach = max(reach, height * aspect)
    axes.plot(real, imaginary, color=LINES[0], marker=".")
    axes.set_xlim(left, left + reach)
    axes.set_ylim(min(0.0, float(imaginary.min())), min(0.0, float(imaginary.min())) + reach / aspect)
    axes.grid(color=FAINT, lw=0.5)
    at = in_unit(f"{power} {unit}".strip())
    axes.set_xlabel(f"Re Z{at}")
    axes.set_title(f"−Im Z{at}")
