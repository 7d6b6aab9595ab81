"""How large the next step is: from an estimate of the local error, or as given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .parallel import global_sum
from .time_scheme import TimeScheme

GROWTH, SHRINK = 2.0, 0.2  # bounds on the change from one step to the next; BDF2 is zero-stable up to 2.414
FAILURE = 0.25  # after a step that Newton's method could not solve
SAFETY = 0.85


@dataclass
class History:
    """The last accepted (time, concentrations), newest first, up to three; and dc/dt at the very start."""

    times: list[float]
    states: list[np.ndarray]
    initial_rate: np.ndarray

    def push(self, time: float, state: np.ndarray) -> None:
        self.times, self.states = [time, *self.times[:2]], [state, *self.states[:2]]

    def extrapolated(self, time: float, points: int) -> np.ndarray:
        """The polynomial through the newest `points` states, at a later time; with a single point, along the initial rate."""
        if points == 1:
            return self.states[0] + (time - self.times[0]) * self.initial_rate
        return lagrange(self.times[:points], self.states[:points], time)

    def local_error(self, time: float, state: np.ndarray, scheme: TimeScheme, order: int) -> np.ndarray:
        """The error that the step to (time, state) adds, by comparison with the extrapolation from before it.

        With C the scheme's error constant and D that of the extrapolation, c - c_extrapolated = (D + C dt^{p+1}) c^{(p+1)}, so the error is
        C dt^{p+1}/(D + C dt^{p+1}) of it (Milne's device). `order` is that of this step: 1 where a two-level scheme takes one level, a backward
        Euler step. While there are too few states the estimate is of first order, which is too large.
        """
        available = len(self.times)
        p = 2 if order == 2 and available >= 3 else 1
        points = min(p + 1, available)
        gaps = [time - t for t in self.times[:points]]
        dt = gaps[0]
        distance = float(np.prod(gaps)) * (dt if points == 1 else 1.0) / (6 if p == 2 else 2)
        ratio = dt / (self.times[0] - self.times[1]) if available > 1 else 1.0
        error = (scheme.error_constant(ratio) if p == scheme.order else 1 / 2) * dt ** (p + 1)
        return error / (distance + error) * (state - self.extrapolated(time, points))


@dataclass
class Trail:
    """The last accepted (time, unknowns), newest first, up to three: where Newton's method starts from.

    order: of the polynomial through them that would have predicted the newest best; a parabola overshoots where a step is long for what happens
    """

    times: list[float]
    states: list[np.ndarray]
    order: int = 1

    def push(self, comm: Any, time: float, state: np.ndarray) -> None:
        """Collective."""
        misses = [self._predicted(time, order) - state for order in range(len(self.times))]
        squares = global_sum(comm, np.array([float(miss @ miss) for miss in misses]))
        self.order = max(1, int(np.argmin(squares)))
        self.times, self.states = [time, *self.times[:2]], [state, *self.states[:2]]

    def extrapolated(self, time: float) -> np.ndarray:
        return self._predicted(time, min(self.order, len(self.times) - 1))

    def _predicted(self, time: float, order: int) -> np.ndarray:
        return lagrange(self.times[: order + 1], self.states[: order + 1], time)


def lagrange(times: list[float], states: list[np.ndarray], time: float) -> np.ndarray:
    """The polynomial through the given states at another time."""
    total = np.zeros_like(states[0])
    for i, (t, state) in enumerate(zip(times, states, strict=True)):
        others = [s for j, s in enumerate(times) if j != i]
        total += float(np.prod([(time - s) / (t - s) for s in others])) * state
    return total


def next_factor(error: float, tolerance: float, order: int) -> float:
    """By how much the step may change so that the next error is about SAFETY^(order+1) of the tolerance."""
    if error == 0:
        return GROWTH
    return float(np.clip(SAFETY * (tolerance / error) ** (1 / (order + 1)), SHRINK, GROWTH))
