"""Which fields of a run are looked at, in ParaView and in a movie, and in which colours, ranges and units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import matplotlib as mpl
import numpy as np

from .errors import InputError, did_you_mean
from .paraview import Array
from .picture.numbers import common_range, in_unit, prefixed
from .picture.shape import TO_VIEWER
from .results import Results

MOST_SPECIES = 3
MOST_UNITS = 1e4
POTENTIAL = "phi"
DIVERGING = mpl.colormaps["coolwarm"]
"""K. Moreland, Diverging color maps for scientific visualization (2009)."""


@dataclass(frozen=True)
class Panel:
    """One field and its colours, the same at all times.

    field:     of the results: a scalar, or a vector whose length is drawn
    in_cells:  whether its values are of cells or of vertices
    label:     what stands at the colours
    low, high: the range of all times
    diverging: whether the colours have a middle, zero
    flux:      the field of the flux J_i in the cells, if the field is c_i
    fastest:   the largest |J_i| of all times
    uphill:    the field of J_i . grad c_i, positive in the cells where species i goes uphill and zero elsewhere, if there are such cells
    """

    field: str
    in_cells: bool
    label: str
    low: float
    high: float
    diverging: bool = False
    flux: str | None = None
    fastest: float = 0.0
    uphill: str | None = None


def panels(results: Results) -> list[Panel]:
    """The first species and the electric potential, if there is one.

    Raises InputError if no time has been written yet.
    """
    _need_times(results)
    shown = [_of_species(results, name) for name in results.species[:MOST_SPECIES]]
    return [*shown, panel(results, POTENTIAL)] if POTENTIAL in results.point_names else shown


def panel(results: Results, field: str) -> Panel:
    """One field by its name.

    Raises InputError if there is no such field, or no time has been written yet.
    """
    _need_times(results)
    legal = [*results.point_names, *results.cell_names]
    if field not in legal:
        raise InputError(f"{results.folder} has no field '{field}'{did_you_mean(field, legal)}")
    in_cells = field not in results.point_names
    low, high = _extremes(values(results, field, in_cells, k) for k in range(len(results.times)))
    diverging = field == POTENTIAL
    if diverging:
        low, high = -max(-low, high), max(-low, high)
    return Panel(field, in_cells, f"{field}{in_unit(results.unit(field))}", low, high, diverging)


def values(results: Results, field: str, in_cells: bool, index: int) -> Array:
    """A scalar, or the length of a vector, at one time."""
    read: Callable[[str, int], Array] = results.cell if in_cells else results.point
    field_values = read(field, index)
    return field_values if field_values.ndim == 1 else np.asarray(np.linalg.norm(field_values, axis=1))


@dataclass(frozen=True)
class Clock:
    """Times in one unit for the whole run: that of its first output time, unless its last has too many digits in it.

    unit:     "" if the problem has none
    seconds:  in one unit
    """

    unit: str
    seconds: float

    @classmethod
    def of(cls, results: Results) -> Self:
        later = results.times[results.times > 0]
        if not results.dimensional or not len(later):
            return cls("s" if results.dimensional else "", 1.0)
        seconds, unit = prefixed(float(later[0]), "s")
        if later[-1] > MOST_UNITS * seconds:
            seconds, unit = prefixed(float(later[-1]), "s")
        return cls(unit, seconds)

    def label(self, time: float) -> str:
        return f"t = {time / self.seconds:.4g} {self.unit}".rstrip()


def length_unit(results: Results) -> tuple[float, str]:
    """The unit that suits the extent of the mesh, and its size in the unit of the file: (1e-9, "nm")."""
    return prefixed(float(np.ptp(results.points, axis=0).max()), "m" if results.dimensional else "")


def extent_seen(results: Results) -> Array:
    """Width and height of the mesh as a far viewer sees it."""
    if results.dimension < 3:
        return np.asarray(np.ptp(results.points[:, :2], axis=0))
    right = np.cross([0.0, 0.0, 1.0], TO_VIEWER)
    right /= np.linalg.norm(right)
    return np.asarray(np.ptp(results.points @ np.stack([right, np.cross(TO_VIEWER, right)], axis=1), axis=0))


def columns(count: int, aspect: float) -> int:
    """How many panels, of so much height over width, stand beside each other on a wide screen so that they are drawn largest."""

    def size(beside: int) -> float:
        below = -(-count // beside)
        return min(16 / beside, 9 / below / aspect)

    return max(range(1, count + 1), key=size)


def _of_species(results: Results, name: str) -> Panel:
    plain, steps = panel(results, name), range(len(results.times))
    flux, uphill = f"flux_{name}", f"uphill_{name}"
    return Panel(
        name,
        in_cells=False,
        label=plain.label,
        low=plain.low,
        high=plain.high,
        flux=flux,
        fastest=max(float(values(results, flux, True, k).max()) for k in steps),
        uphill=uphill if any(bool((results.cell(uphill, k) > 0).any()) for k in steps) else None,
    )


def _extremes(series: Iterable[Array]) -> tuple[float, float]:
    """Of all times and all values but nan."""
    ends = [np.array([np.nanmin(one, initial=np.inf), np.nanmax(one, initial=-np.inf)]) for one in series]
    norm = common_range([one[np.isfinite(one)] for one in ends])
    low, high = norm.inverse(np.array([0.0, 1.0]))
    return float(low), float(high)


def _need_times(results: Results) -> None:
    if not len(results.times):
        raise InputError(f"{results.folder} has no fields yet: wait for the run's first output time")
