"""Kirkendall markers: inert particles that move with the lattice."""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .integrator import Step
from .locate import Locator
from .mobility import Darken
from .system import System
from .tables import Marker


class Markers:
    """Positions z_m with dz_m/dt = v(z_m, t), v the lattice velocity of Darken's mobility; in solver units.

    In a cell the velocity is the cell's own mean with the slope of averages at the vertices, which is second order and does not smear the
    first moments after a weld; the steps are Heun's. A marker that reaches the end of the mesh stays there.
    """

    def __init__(self, system: System, markers: tuple[Marker, ...]) -> None:
        self._system, self._locator = system, Locator(system)
        d = system.geometry.dimension
        for marker in markers:
            if not isinstance(system.model.mobility, Darken):
                raise InputError(f"[[output.marker]] {marker.name}: markers move with a lattice, which [mobility] kind = 'Darken' has")
            if len(marker.at) not in (d, 3):
                raise InputError(f"[[output.marker]] {marker.name}: at has {len(marker.at)} numbers, the mesh has {d} dimensions")
            if self._locator.place(np.array(marker.at)) is None:
                where = ", ".join(f"{x * system.scales.length:g}" for x in marker.at)
                raise InputError(f"[[output.marker]] {marker.name}: the point ({where}) lies outside the mesh")
        self._names = [marker.name for marker in markers]
        self._start = np.array([marker.at[:d] for marker in markers], dtype=float).reshape(-1, d)
        self._at = self._start.copy()
        self._velocity: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def at(self) -> list[list[float]]:
        return [[float(x) for x in row] for row in self._at]

    def continue_at(self, positions: list[list[float]]) -> None:
        """From there, and the velocities of the state that u holds."""
        if self._names:
            self._at[:] = positions
            self._velocity = self._system.cells.lattice_velocity()

    def displacements(self, step: Step) -> dict[str, float]:
        """marker_<name>_x, _y, _z after the step that u holds, in solver units; to be asked once a step, in order. Collective."""
        if not self._names:
            return {}
        new = self._system.cells.lattice_velocity()
        old = new if self._velocity is None else self._velocity
        for at in self._at:
            first = self._at_point(old, at)
            second = self._at_point(new, at + step.dt * first)
            at += step.dt * (first + second) / 2
        self._velocity = new
        moved = self._at - self._start
        return {
            f"marker_{name}_{axis}": float(x)
            for name, row in zip(self._names, moved, strict=True)
            for axis, x in zip("xyz", row, strict=False)
        }

    def _at_point(self, velocity: tuple[np.ndarray, np.ndarray], at: np.ndarray) -> np.ndarray:
        place = self._locator.place(at)
        return np.zeros_like(at) if place is None else place.recovered(*velocity)
