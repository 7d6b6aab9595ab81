"""The steady state, without going through time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .formulation import ConcentrationPotential, is_ideal
from .newton import Converged, NotConverged
from .record import Record
from .step import StepData

if TYPE_CHECKING:
    from .problem import Problem
    from .system import System


class SteadyState:
    """Solves -div J + R = 0 (a_0 = 0, dt = 1) from the state that u holds, by Newton's method with continuation.

    obstacle: why that is no way to the steady state that time leads to, a phrase, or None
    """

    def __init__(self, system: System) -> None:
        self._system = system

    @property
    def obstacle(self) -> str | None:
        system = self._system
        if isinstance(system.formulation, ConcentrationPotential) and not is_ideal(system.model):
            return "the free energy may have several minima"
        timed = next(in_time(system.given), None)
        if timed is not None:
            return f"{timed[0]} = '{timed[1]}' depends on t"
        closed = [name for name in system.model.names if name not in system.conditions.exchanged]
        if closed:
            return f"no boundary exchanges {closed[0]}, whose amount follows from the initial state"
        return None

    def solve(self) -> Converged:
        """The steady state, left in u. Raises NotConverged."""
        system = self._system
        c, values = system.concentrations.copy(), system.values()
        result = system.solve_step(StepData(float(system.problem.time.end) - 1.0, 1.0, (0.0, 0.0, 0.0), [c, c], values, values))
        if system.is_ill_posed():
            raise NotConverged("the mixture is unstable there and has no gradient energy", result)
        if system.lowest_fraction() < 0:
            raise NotConverged("a fraction is below zero there", result)
        return result


def in_time(problem: Problem) -> Iterator[tuple[str, str]]:
    """Every expression of t in a problem, with its place."""
    yield from _of_time(dict(problem))
    for reaction in problem.reaction:
        rate = reaction.rate.expression(problem.composition())
        if "t" in rate.depends_on:
            yield reaction.label, rate.text


def _of_time(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if "t" in getattr(data, "depends_on", ()):
        yield path, data.text
    elif isinstance(data, (Record, Mapping)):
        for name, value in data.items() if isinstance(data, Mapping) else data:
            yield from _of_time(value, f"{path}.{name}" if path else str(name))
    elif isinstance(data, tuple):
        for i, value in enumerate(data):
            yield from _of_time(value, f"{path}.{getattr(value, 'name', i)}")
