"""Times, quantities and ranges as they are written at the axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize

from ..paraview import Array

Snapshot = tuple[float, Mapping[str, Array]]
T = TypeVar("T")


def spread(snapshots: Sequence[tuple[float, T]], most: int) -> list[tuple[float, T]]:
    """At most so many, first and last among them, even in time, or in its logarithm where the times span more than two decades."""
    if len(snapshots) <= most:
        return list(snapshots)
    times = np.array([t for t, _ in snapshots])
    first = times[1:].min()
    place = times
    if first > 0 and times[-1] > 100 * first:
        # t = 0 has no logarithm: it goes one panel before the first step
        place = np.log(np.maximum(times, first * (first / times[-1]) ** (1 / (most - 1))))
    wanted = np.linspace(place[0], place[-1], most)
    chosen = {0, len(snapshots) - 1}
    for target in wanted[1:-1]:
        free = [i for i in range(len(snapshots)) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(place[i] - target)))
    return [snapshots[i] for i in sorted(chosen)]


def common_range(arrays: Iterable[Array]) -> Normalize:
    """The range of all, not narrower than round-off; nan counts for nothing."""
    low, high = (float(f(values)) for f, values in zip((np.nanmin, np.nanmax), [np.concatenate(list(arrays))] * 2, strict=True))
    slack = max(0.0, 1e-9 * max(abs(low), abs(high), 1e-300) - (high - low))
    return Normalize(low - slack, high + slack)


def time_label(t: float, unit: str) -> str:
    """An infinite time is that of a steady state."""
    return f"t = {quantity(t, unit if t else '')}" if np.isfinite(t) else "steady state"


def prefixed(value: float, unit: str) -> tuple[float, str]:
    """The unit that suits the value, and its size: (1e-9, "nm") for 3e-8 and "m"."""
    if unit == "s" and abs(value) >= 100:
        return max(((size, name) for size, name in ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d")) if abs(value) >= 2 * size))
    if unit in ("s", "m", "V") and value:
        power = int(np.clip(3 * np.floor(np.log10(abs(value) * (1 + 1e-9)) / 3), -15, 3))
        return 10.0**power, {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k"}[power] + unit
    return 1.0, unit


def quantity(value: float, unit: str) -> str:
    factor, unit = prefixed(value, unit)
    number = f"{value / factor:.3g}"
    if "e" in number:
        mantissa, exponent = number.split("e")
        number = rf"${mantissa}\times 10^{{{int(exponent)}}}$"
    return f"{number} {unit}".strip()


def scaled(values: npt.ArrayLike) -> tuple[Array, str]:
    """The values over a power of ten, and that power, where plain numbers would be too long for an axis."""
    values = np.asarray(values, dtype=float)
    largest = np.abs(values).max(initial=0.0)
    power = int(np.floor(np.log10(largest))) if largest > 0 else 0
    if -3 <= power <= 4:
        return values, ""
    return values / 10.0**power, rf"$10^{{{power}}}$"


def in_unit(unit: str) -> str:
    return f" ({unit})" if unit else ""
