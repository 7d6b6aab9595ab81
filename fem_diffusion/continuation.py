"""From a state that solves some equations to one that solves others: from where Newton's method starts, and what is tried where it fails.

The equations of a step (or of a steady state) between electrodes at tens of thermal volts have one solution and many ways to miss it. In this
order:

1. Newton's method with updates that are followed in concentrations (`Entropy.limit`),
2. with full updates, which near a steady state reach further,
3. with boundary values that move from those of the start to those of the end: by 2.5 thermal volts first, then by as much as converges.

Beside nearly empty or full regions it starts from the predictor; where a region has emptied at once, it starts a second time from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from .formulation import Entropy
from .newton import NOTHING, Converged, NotConverged
from .parallel import global_max
from .predictor import ROUGH, Predictor
from .step import StepData

if TYPE_CHECKING:
    from .system import System

FIRST = 2.5  # thermal volts of the first stage
GROWTH, SHRINK = 1.6, 0.4
SMALLEST = 1e-3  # stage, relative to the whole way
MOST_ITERATIONS = 600


class Continuation:
    """Solves the equations that a system's constants and boundary values hold."""

    def __init__(self, system: System, predictor: Predictor | None) -> None:
        self._system, self._predictor = system, predictor

    def solve(self, step: StepData) -> Converged:
        """The solution of a step, left in u. Raises NotConverged, of the first try, if all fail."""
        system, predictor = self._system, self._predictor
        if predictor is not None:
            system.set_values(step.values)
            system.formulation.at_time(step.time)
            predictor.remember()
        system.prepare(system.formulation, system.conditions, step)
        if predictor is None or step.weights[0] == 0:
            return self._first_of(step, step.guess)
        predicted = predictor.guess(step) if predictor.is_needed and system.defect(step.guess) > ROUGH else None
        result = self._first_of(step, step.guess if predicted is None else predicted)
        return result + self._second_try(predictor, step) if predicted is None and predictor.has_locked() else result

    def _second_try(self, predictor: Predictor, step: StepData) -> Converged:
        """A step that has emptied a region at once, which may be a locked state and no solution, from the predictor."""
        system = self._system
        values = system.values()
        rough = predictor.guess(step)
        if rough is not None:
            with suppress(NotConverged):  # then the first solution stands, unless it is frozen
                return system.newton.solve(rough)
        system.set_values(values)
        if predictor.is_frozen():
            raise NotConverged("a region has emptied at once, which may be a locked state and no solution")
        return NOTHING

    def _first_of(self, step: StepData, guess: np.ndarray) -> Converged:
        """The first attempt that converges."""
        first: NotConverged | None = None
        spent = NOTHING
        for attempt in self._attempts(step, guess):
            try:
                result = attempt()
            except NotConverged as failure:
                first = first or failure
                spent = spent + failure.spent
            else:
                return spent + result
        assert first is not None
        raise first

    def _attempts(self, step: StepData, guess: np.ndarray) -> Iterator[Callable[[], Converged]]:
        strict = step.weights[0] == 0
        newton = self._system.newton
        yield lambda: newton.solve(guess, strict=strict)
        if isinstance(self._system.formulation, Entropy) and self._system.model.charged:
            yield lambda: newton.solve(guess, limited=False, strict=True)
            yield lambda: self._by_stages(step, strict)

    def _by_stages(self, step: StepData, strict: bool) -> Converged:
        """The boundary values as the parameter: g = (1 - s) g_start + s g_end, s from 0 to 1, from the state at the start of the step.

        If that has the values of the end already, as after a jump, from the same concentrations without a field.
        """
        system = self._system
        conditions, end = system.conditions, system.conditions.values()
        system.set_values(step.values)
        start = conditions.values_of_u()
        if self._way(start, end) <= FIRST:
            system.formulation.set_phi(np.zeros(system.formulation.vertices))
            start = conditions.values_of_u()
        way, spent, reached, values = self._way(start, end), NOTHING, 0.0, system.values()
        length = FIRST / max(way, FIRST)
        try:
            while reached < 1:
                s = min(reached + length, 1.0)
                conditions.set_values([a + s * (b - a) for a, b in zip(start, end, strict=True)])
                try:
                    result = system.newton.solve(values, strict=strict)
                except NotConverged as failure:
                    spent, length = spent + failure.spent, SHRINK * (s - reached)
                    if length < SMALLEST or spent.newton_iterations > MOST_ITERATIONS:
                        raise NotConverged(f"{failure}, with boundary values {reached:.3g} of their way", spent) from None
                else:
                    spent, values, reached, length = spent + result, system.values(), s, GROWTH * length
            return spent
        finally:
            conditions.set_values(end)

    def _way(self, start: list[np.ndarray], end: list[np.ndarray]) -> float:
        """The largest change."""
        return global_max(self._system.comm, np.concatenate([np.zeros(1), *(np.abs(b - a) for a, b in zip(start, end, strict=True))]))
