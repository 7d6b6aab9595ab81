"""Curves over time: the columns of history.csv as interactive charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..picture.numbers import prefixed
from ..picture.page import LINES
from ..results import Array, Ints

MOST_POINTS = 1500
"""Of a curve: of more rows, so many that lie evenly."""
COLORS = (*LINES, "#b04a78", "#5b8a3c", "#4aa3c7", "#a06a4a")
_BASES = {
    "energy": ("J", ""),
    "dissipation": ("W", ""),
    "mass": ("m^3", "mol"),
    "flux": ("m^3/s", "mol/s"),
    "charge": ("C", "C"),
    "current": ("A", "A"),
}


@dataclass(frozen=True)
class Chart:
    """Curves with one vertical axis.

    curves:   the values at `rows` of the history by what is written at them
    dots:     instead of lines
    log:      whether the vertical axis may be logarithmic
    """

    key: str
    title: str
    unit: str
    curves: Mapping[str, Array]
    dots: bool = False

    @property
    def log(self) -> bool:
        values = self._values
        return bool(values.min(initial=0.0) >= 0 and values.max(initial=0.0) > 0)

    @property
    def log_at_first(self) -> bool:
        """Whether it is so until the reader changes it: where the curve spans decades."""
        values = self._values
        return self.key in ("step", "dissipation") and self.log and bool(values.max() > 100 * values[values > 0].min())

    @property
    def _values(self) -> Array:
        values = np.concatenate(list(self.curves.values()))
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Units:
    """Of the columns of history.csv: int ... dx is per m^2 in one dimension, per m in two. "" without units."""

    dimensional: bool
    molar: bool
    volume_dimension: int

    def of(self, kind: str) -> str:
        if not self.dimensional:
            return ""
        if kind in ("time", "dt"):
            return "s"
        if kind == "concentration":
            return "mol/m³" if self.molar else ""
        fraction, molar = _BASES[kind]
        whole = molar if self.molar and molar else fraction
        lacking = 3 - self.volume_dimension
        if whole.startswith("m^3"):
            return f"m{ {1: '', 2: '²', 3: '³'}[self.volume_dimension] }{whole[3:]}"
        area = {0: "", 1: "m", 2: "m²"}[lacking]
        if not area:
            return whole
        return whole.replace("/s", f"/({area} s)") if whole.endswith("/s") else f"{whole}/{area}"


def charts(history: Mapping[str, Array], species: Sequence[str], boundaries: Sequence[str], units: Units) -> list[Chart]:
    """All columns but time in charts; those that are zero throughout, as the fluxes through a closed boundary, are left out."""
    left = dict(history)
    found: list[Chart] = []

    def chart(key: str, title: str, unit: str, named: Mapping[str, str], of: Callable[[Array], Array] = lambda values: values) -> None:
        """One of the columns `named`: by name, and what is written at each."""
        curves = {label: of(left.pop(name)) for name, label in named.items() if name in left}
        if any(np.any(values[np.isfinite(values)]) for values in curves.values()):
            found.append(Chart(key, title, unit, curves, dots=key == "iterations"))

    def of_boundaries(kind: str) -> dict[str, str]:
        return {f"{kind}_{name}": name for name in boundaries}

    for name in ("step", "time"):
        left.pop(name)
    chart("energy", "Free energy", units.of("energy"), {"energy": "F"})
    chart("dissipation", "Dissipation", units.of("dissipation"), {"dissipation": "−dF/dt"})
    masses = {f"mass_{name}": name for name in species}
    relative = all(abs(history[name][0]) > 0 for name in masses if name in history)
    chart(
        "mass",
        "Relative mass change" if relative else "Mass change",
        "" if relative else units.of("mass"),
        masses,
        lambda m: (m - m[0]) / abs(m[0]) if relative else m - m[0],
    )
    bounds = {f"{kind}_{name}": f"{kind} {name}" for name in species for kind in ("min", "max")}
    chart("bounds", "Bounds", units.of("concentration"), bounds)
    chart("flux", "Flux through boundaries, outward", units.of("flux"), {f"flux_{s}_{b}": f"{s}, {b}" for b in boundaries for s in species})
    chart("current", "Current of ions, outward", units.of("current"), of_boundaries("current"))
    chart("charge", "Charge", units.of("charge"), {"charge": "ions and fixed", **of_boundaries("charge")})
    chart("uphill_flux", "Part of the flux that goes uphill", "", {f"uphill_flux_{name}": name for name in species})
    chart("uphill_volume", "Part of the volume where it does", "", {f"uphill_volume_{name}": name for name in species})
    chart("step", "Step size", units.of("dt"), {"dt": "Δt"}, lambda dt: np.where(dt > 0, dt, np.nan))
    chart("iterations", "Iterations of a step", "", {"newton_iterations": "Newton", "linear_iterations": "linear solver"})
    for name in ("mean", "mu", "phi", "marker"):
        others = {column: column.removeprefix(f"{name}_") for column in left if column.startswith(f"{name}_")}
        unit = {"mean": units.of("concentration"), "marker": "m", "phi": "V", "mu": "J/mol" if units.molar else "J/m³"}[name]
        title = {"mean": "Averages", "mu": "Chemical potential at probes", "phi": "Electric potential at probes", "marker": "Markers"}[name]
        chart(name, title, unit if units.dimensional else "", others)
    chart("probes", "Concentrations at probes", units.of("concentration"), {name: name.replace("_", " at ", 1) for name in list(left)})
    return found


@dataclass(frozen=True)
class Clock:
    """The horizontal axis: times in the unit that suits them, or steps where no time passes (a steady state found at once).

    rows:  those of the history that are drawn
    """

    label: str
    x: Array
    rows: Ints
    log: bool

    @classmethod
    def of(cls, history: Mapping[str, Array], dimensional: bool) -> Clock:
        steps, time = history["step"], history["time"]
        rows = evenly(len(steps), MOST_POINTS)
        if time[-1] <= time[0]:
            return cls("step", steps[rows], rows, log=False)
        size, unit = prefixed(float(time[-1]), "s" if dimensional else "")
        later = time[time > 0]
        shown = np.asarray(time[rows] / size, dtype=np.float64)
        return cls(f"time ({unit})" if unit else "time", shown, rows, log=bool(later[-1] > 100 * later[0]))


def figure(chart: Chart, clock: Clock) -> go.Figure:
    lines = [
        go.Scatter(
            name=label,
            x=rounded(clock.x),
            y=rounded(values[clock.rows]),
            mode="markers" if chart.dots else "lines+markers" if len(clock.rows) < 30 else "lines",
            line={"color": color, "width": 2},
            marker={"color": color, "size": 4},
            hovertemplate=f"%{{y:.6g}} {chart.unit}".strip(),
        )
        for (label, values), color in zip(chart.curves.items(), COLORS * len(chart.curves), strict=False)
    ]
    return go.Figure(lines, {"xaxis": {"title": {"text": clock.label}}, "showlegend": len(lines) > 1, "hovermode": "x unified"})


def evenly(count: int, most: int) -> Ints:
    """So many of `count` places, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def rounded(values: npt.NDArray[np.floating[Any]], digits: int = 9) -> list[float | None]:
    """For a page that does not become longer than it must; nan is None."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in map(float, values)]
