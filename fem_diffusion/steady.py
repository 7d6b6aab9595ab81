"""The steady state, without going through time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .formulation import ConcentrationPotential
from .newton import Converged, NotConverged
from .step import StepData

if TYPE_CHECKING:
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
        if isinstance(system.formulation, ConcentrationPotential):
            return "the free energy may have several minima"
        closed = [name for name in system.model.names if name not in system.conditions.exchanged]
        if closed:
            return f"the amount of {closed[0]} is that of the initial state: no boundary exchanges it"
        return None

    def solve(self) -> Converged:
        """The steady state, left in u. Raises NotConverged."""
        system = self._system
        c, values = system.concentrations.copy(), system.values()
        result = system.solve_step(StepData(float(system.problem.time.end), 1.0, (0.0, 0.0, 0.0), [c, c], values, values))
        if system.is_ill_posed():
            raise NotConverged("the mixture is unstable there and has no gradient energy", result)
        if system.lowest_fraction() < 0:
            raise NotConverged("a fraction is below zero there", result)
        return result
