"""One-dimensional Cahn-Hilliard, discrete in space, solved without error in time: what is left of a run's error is its steps'.

Lumped linear elements on n equal cells are, vertex by vertex,
    V c' = -K_M mu,  V mu = V f'(c) + kappa K c,
with V the vertex volumes, K the stiffness matrix and K_M the same weighted with each cell's mean mobility.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.system import System

Array = npt.NDArray[np.float64]
Formula = Callable[[Array], Array]


@dataclass(frozen=True)
class DiscreteInSpace:
    """Cahn-Hilliard on [0, length] without flux; potential is f', mobility M."""

    length: float
    cells: int
    potential: Formula
    mobility: Formula
    kappa: float

    @property
    def x(self) -> Array:
        return np.linspace(0, self.length, self.cells + 1)

    @property
    def _h(self) -> float:
        return self.length / self.cells

    def _minus_divergence(self, flux: Array) -> Array:
        """-(outflow)/V of each vertex, for fluxes through the cells from left to right."""
        volume = np.full(self.cells + 1, self._h)
        volume[[0, -1]] /= 2
        return -np.diff(np.concatenate([[0.0], flux, [0.0]])) / volume

    def mu(self, c: Array) -> Array:
        return self.potential(c) - self.kappa * self._minus_divergence(-np.diff(c) / self._h)

    def rate(self, c: Array) -> Array:
        left, right = c[:-1], c[1:]
        mean_mobility = (self.mobility(left) + 4 * self.mobility((left + right) / 2) + self.mobility(right)) / 6  # exact for quadratics
        return self._minus_divergence(-mean_mobility * np.diff(self.mu(c)) / self._h)

    def at(self, times: Array, initial: Array) -> Array:
        """c at the given times (the first is the start), one row each, to nine digits or more."""
        solution = solve_ivp(lambda _, c: self.rate(c), (times[0], times[-1]), initial, "Radau", times, rtol=1e-10, atol=1e-12)
        assert solution.success
        return solution.y.T

    def error(self, system: System, c: Array, component: int = 0) -> float:
        """The rms difference between the vertex values `c` and a component of the system's state."""
        mine = np.rint(system.formulation.x[0] / self._h).astype(int)
        sums = global_sum(system.comm, np.array([system.volume @ (system.fields[:, component] - c[mine]) ** 2, system.volume.sum()]))
        return float(np.sqrt(sums[0] / sums[1]))

    def largest_error(self, system: System, c: Array, component: int = 0) -> float:
        mine = np.rint(system.formulation.x[0] / self._h).astype(int)
        return global_max(system.comm, np.abs(system.fields[:, component] - c[mine]))
