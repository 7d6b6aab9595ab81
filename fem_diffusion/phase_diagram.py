"""The picture of `fem-diffusion thermo`: free energy with its common tangent, phase diagram, growth rate of waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .thermodynamics import BinaryThermodynamics, PhaseDiagram

CURVE, PHASES, UNSTABLE, STATE = "#222222", "#0072b2", "#e69f00", "#d55e00"  # told apart by colour-blind readers too (Okabe & Ito)
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 11, "axes.titlesize": 12, "legend.frameon": False}


@dataclass(frozen=True)
class Axis:
    """What an axis is called, with its unit, and the factor from the solver's units to that unit."""

    label: str
    factor: float = 1.0


@dataclass(frozen=True)
class Labels:
    """The axes of the picture; the defaults are those of a problem without units. `wavelength` has the bare unit as its label."""

    composition: str = "concentration $c$"
    energy: Axis = Axis("free energy $f$")
    temperature: Axis = Axis("temperature $T/T_0$")
    wavenumber: Axis = Axis("wavenumber $k$")
    rate: Axis = Axis(r"growth rate $\omega$")
    wavelength: Axis = Axis("")


def picture(state: BinaryThermodynamics, diagram: PhaseDiagram | None = None, labels: Labels = Labels()) -> Figure:
    """Two or three panels: f(c); the phase diagram, if there is one; omega(k), if the state is unstable."""
    panels: list[Callable[[Axes], None]] = [lambda axes: _free_energy(axes, state, labels)]
    if diagram is not None:
        panels.append(lambda axes: _phases(axes, state, diagram, labels))
    if state.growth_rate is not None:
        panels.append(lambda axes: _growth(axes, state, labels))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(panels), 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw(axes)
    return figure


def save(path: Path, state: BinaryThermodynamics, diagram: PhaseDiagram | None = None, labels: Labels = Labels()) -> None:
    """`picture` as a file, in the format of its suffix."""
    picture(state, diagram, labels).savefig(path, dpi=200)


def _free_energy(axes: Axes, state: BinaryThermodynamics, labels: Labels) -> None:
    def f(c: Any) -> Any:
        return state.density.value([c]) * labels.energy.factor

    ends = np.array(state.binodal or (0.0, 1.0))
    if state.density.positive:
        c = np.linspace(0, 1, 1001)
    else:
        low, high = min(ends[0], state.composition), max(ends[1], state.composition)
        c = np.linspace(low - 0.12 * (high - low), high + 0.12 * (high - low), 1001)
    axes.plot(c, f(c), color=CURVE, lw=2)
    for k, (a, b) in enumerate(state.spinodal):
        axes.axvspan(a, b, color=UNSTABLE, alpha=0.18, lw=0, label="unstable" if k == 0 else None)
    if state.binodal:
        axes.plot(ends, f(ends), "o-", color=PHASES, lw=1.2, ms=7, label="common tangent")
    axes.plot(state.composition, f(state.composition), "D", color=STATE, ms=8, label=f"$c_0$ = {state.composition:.3g}", zorder=3)
    axes.set(xlabel=labels.composition, ylabel=labels.energy.label, title="Free energy")
    _legend(axes)


def _phases(axes: Axes, state: BinaryThermodynamics, diagram: PhaseDiagram, labels: Labels) -> None:
    T = diagram.temperature * labels.temperature.factor
    axes.fill_betweenx(T, *diagram.spinodal.T, color=UNSTABLE, alpha=0.18, lw=0)
    for side in (0, 1):
        axes.fill_betweenx(T, diagram.binodal[:, side], diagram.spinodal[:, side], color=PHASES, alpha=0.12, lw=0)
        axes.plot(diagram.binodal[:, side], T, color=PHASES, lw=2, label="binodal" if side else None)
        axes.plot(diagram.spinodal[:, side], T, "--", color=UNSTABLE, lw=2, label="spinodal" if side else None)
    now = labels.temperature.factor
    axes.plot(*diagram.binodal[0, :1], T[0], "o", color=CURVE, ms=6, label="critical point")
    axes.plot(state.composition, now, "D", color=STATE, ms=8, label="this problem", zorder=3)
    axes.set(xlabel=labels.composition, ylabel=labels.temperature.label, title="Phase diagram", xlim=(0, 1))
    axes.set_ylim(T[-1], 1.05 * max(T[0], now))
    _legend(axes)


def _growth(axes: Axes, state: BinaryThermodynamics, labels: Labels) -> None:
    assert state.cutoff_wavenumber and state.wavenumber and state.wavelength and state.growth_rate
    per_k, per_rate = labels.wavenumber.factor, labels.rate.factor
    k = np.linspace(0, 1.12 * state.cutoff_wavenumber, 400)
    axes.axhline(0, color=CURVE, lw=0.8)
    axes.plot(k * per_k, state.rate(k) * per_rate, color=CURVE, lw=2)
    fastest = state.wavenumber * per_k, state.growth_rate * per_rate
    axes.vlines(fastest[0], 0, fastest[1], color=STATE, lw=1.2, ls=":")
    axes.plot(*fastest, "D", color=STATE, ms=8)
    wavelength = f"{state.wavelength * labels.wavelength.factor:.3g} {labels.wavelength.label}".strip()
    axes.annotate(f"$\\lambda$ = {wavelength}", fastest, xytext=(0, 10), textcoords="offset points", ha="center", va="bottom", color=STATE)
    axes.set(xlabel=labels.wavenumber.label, ylabel=labels.rate.label, title="Growth of small waves")
    axes.set_xlim(0, k[-1] * per_k)
    axes.set_ylim(-0.6 * fastest[1], 1.2 * fastest[1])


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=10)
