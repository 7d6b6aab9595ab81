"""What happened over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ..paraview import Array
from .numbers import in_unit, prefixed, scaled
from .page import CHART_HEIGHT, FAINT, LINES, MARGIN, WIDTH, Page


class TimeAxis:
    """The horizontal axis of all charts over time: the step's number in a run without times, a logarithm over more than two decades.

    x:             the places of the rows of history.csv
    factor, unit:  of the times
    """

    def __init__(self, history: Mapping[str, Array], time_unit: str) -> None:
        time = np.asarray(history["time"], dtype=float)
        self._steady = time[-1] <= time[0]
        x = np.asarray(history["step"], dtype=float) if self._steady else time
        start = x[x > 0].min(initial=x[-1])
        self._logarithmic = x[-1] > 100 * start > 0
        self.factor, self.unit = (1.0, time_unit) if self._steady or self._logarithmic else prefixed(float(x[-1]), time_unit)
        self.x, self._start = x / self.factor, start / self.factor

    def apply(self, axes: Axes) -> None:
        axes.set_xlabel("step" if self._steady else f"time{in_unit(self.unit)}")
        if self._logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(self._start, self.x[-1])
        elif self.x[-1] > self.x[0]:
            axes.set_xlim(self.x[0], self.x[-1])
        axes.grid(axis="y", color=FAINT, lw=0.5)


def draw_history(page: Page, history: Mapping[str, Array], time_unit: str, energy_unit: str, signed: bool) -> None:
    """Energy, mass and time step from left to right."""
    pad = 0.95
    width = (WIDTH - 2 * MARGIN - 0.6 - 2 * pad) / 3
    top = page.bottom + 0.35
    energy, mass, step = (page.axes(MARGIN + 0.3 + i * (width + pad), top, width, CHART_HEIGHT) for i in range(3))
    page.bottom = top + CHART_HEIGHT + 0.65

    time = TimeAxis(history, time_unit)
    x = time.x
    for axes in (energy, mass, step):
        time.apply(axes)

    values, power = scaled(history["energy"])
    energy.plot(x, values, color=LINES[0])
    energy.set_title(f"free energy{in_unit(f'{power} {energy_unit}'.strip())}")

    masses = {key.removeprefix("mass_"): np.asarray(column) for key, column in history.items() if key.startswith("mass_")}
    # relative to its own zero mean, the round-off of an order parameter would look like a loss
    relative = not signed and all(column[0] for column in masses.values())
    changes, power = scaled([(column - column[0]) / (abs(column[0]) if relative else 1.0) for column in masses.values()])
    for color, name, change in zip(LINES, masses, changes, strict=False):
        mass.plot(x, change, color=color, label=name, lw=1.2)
    mass.set_title(f"{'relative ' if relative else ''}mass change{in_unit(power)}")
    if len(masses) > 1:
        mass.legend(ncols=len(masses), loc="best", handlelength=1.2, columnspacing=1.2)

    _draw_steps(step, x, history, time.factor, time.unit)


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
        dt, power = scaled(dt)
        axes.set_ylim(0, 1.25 * dt.max(initial=1e-9))
    axes.plot(x, dt, color=LINES[0])
    axes.set_title(f"time step{in_unit(f'{power} {unit}'.strip())}", color=LINES[0])
