"""Binaries, of one independent concentration c: spinodal, binodal, critical point, growth rates, interfaces.

All numbers are in the solver's units; `UNITS` names the SI unit of each.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..free_energy import Term
from ..mobility import Mobility
from ..pointwise import Array, LocalDensity, mobility_matrix
from ..state import Composition

Interval = tuple[float, float]

_LOGIT_MIN, _LOGIT_MAX = -340.0, 36.7  # 1/c^2 must not overflow; 1 - c must not round to zero


def spinodal(density: LocalDensity) -> list[Interval]:
    """The intervals of f'' < 0."""
    return _Curve.of(density).spinodals


def binodal(density: LocalDensity, near: float | None = None) -> Interval | None:
    """The two phases of equal f' and equal f - c f', or None for an energy without an unstable range.

    Where the energy has several miscibility gaps it is the one that contains `near`, else the widest.
    A phase that is closer to c = 1 than rounding can hold is 1 - 1e-16; the other one is exact all the same.
    """
    return _chosen(_Curve.of(density).gaps, near)


def thermodynamic_factor(density: LocalDensity, c: ArrayLike) -> Array:
    """Gamma = c (1-c) f''(c) with f in units of RT/V_m: the ratio of interdiffusion to ideal interdiffusion. Shape of c."""
    c = np.asarray(c, dtype=float)
    factor: Array = c * (1 - c) * density.hessian([c])[0, 0]
    return factor


def critical_point(terms: Sequence[Term], composition: Composition) -> tuple[float, float] | None:
    """(T_c/T, c_c): the ratio of temperatures above which no composition is unstable, and the last one that is.

    So chi_c = chi T_c/T. None where no term depends on temperature, or where none or any temperature is critical.
    """
    if all(term.at_temperature(2.0) == term for term in terms):
        return None

    def lowest(ratio: float) -> tuple[float, float]:
        return _Curve.of(_at_temperature(terms, composition, ratio)).lowest_curvature

    exponents = range(-20, 21)
    first_stable = bisect_left(exponents, True, key=lambda k: lowest(2.0**k)[1] >= 0)
    if first_stable in (0, len(exponents)):
        return None
    above = 2.0 ** exponents[first_stable]
    ratio = _root(lambda r: lowest(r)[1], above / 2, above)
    return ratio, lowest(ratio)[0]


@dataclass(frozen=True)
class PhaseDiagram:
    """Spinodal and binodal (m, 2) at the temperatures T/T_0 (m,), from the critical point, where they meet, down."""

    temperature: Array
    spinodal: Array
    binodal: Array

    @classmethod
    def of(cls, terms: Sequence[Term], composition: Composition, points: int = 40) -> Self | None:
        """Of the widest miscibility gap, down to 0.4 T_c, or to 0.9 T_0 if that is lower; None without a critical point."""
        critical = critical_point(terms, composition)
        if critical is None:
            return None
        top, c = critical
        bottom = min(0.4 * top, 0.9)
        temperatures = top - (top - bottom) * np.linspace(0, 1, points + 1) ** 2  # both curves are parabolas at the top
        unstable, mixed = [(c, c)], [(c, c)]
        for ratio in temperatures[1:]:
            curve = _Curve.of(_at_temperature(terms, composition, ratio))
            a, b = _chosen(curve.gaps, None) or (math.nan, math.nan)
            inside = [c for interval in curve.spinodals for c in interval if a <= c <= b]
            mixed.append((a, b))
            unstable.append((min(inside, default=math.nan), max(inside, default=math.nan)))
        return cls(temperatures, np.array(unstable), np.array(mixed))


UNITS = {
    "composition": "",
    "free_energy": "J/m^3",
    "chemical_potential": "J/m^3",
    "curvature": "J/m^3",
    "thermodynamic_factor": "",
    "mobility": "m^5/(J*s)",
    "diffusivity": "m^2/s",
    "kappa": "J/m",
    "spinodal": "",
    "binodal": "",
    "phase_fraction": "",
    "critical_temperature_ratio": "",
    "critical_composition": "",
    "cutoff_wavenumber": "1/m",
    "wavenumber": "1/m",
    "wavelength": "m",
    "growth_rate": "1/s",
    "barrier": "J/m^3",
    "interface_energy": "J/m^2",
    "interface_width": "m",
    "interface_width_10_90": "m",
}
"""SI unit of each number of `BinaryThermodynamics.as_dict`."""


@dataclass(frozen=True)
class BinaryThermodynamics:
    """The state c_0 of a binary: f, its derivatives and what follows from them. None where a number is not defined.

    thermodynamic_factor  Gamma = c (1-c) f''
    diffusivity           M f'', negative inside the spinodal
    phase_fraction        of the second phase of the binodal, by the lever rule
    cutoff_wavenumber     k_c = sqrt(-f''/kappa): longer waves grow at omega(k) = -M k^2 (f'' + kappa k^2)
    wavenumber, wavelength, growth_rate   of the fastest wave: k_c/sqrt 2, 2 pi/k, M f''^2/(4 kappa)
    barrier               max of the excess e = f - common tangent between the phases a, b
    interface_energy      int_a^b sqrt(2 kappa e) dc
    interface_width       (b - a)/max dc/dx,  dc/dx = sqrt(2 e/kappa)
    interface_width_10_90 distance of the compositions a + 0.1 (b-a) and b - 0.1 (b-a)
    (Cahn & Hilliard, J. Chem. Phys. 28 (1958) 258; Cahn, Acta Metall. 9 (1961) 795)
    """

    density: LocalDensity = field(repr=False, compare=False)
    composition: float
    free_energy: float
    chemical_potential: float
    curvature: float
    thermodynamic_factor: float
    mobility: float
    diffusivity: float
    kappa: float
    spinodal: tuple[Interval, ...]
    binodal: Interval | None
    phase_fraction: float | None
    critical_temperature_ratio: float | None
    critical_composition: float | None
    cutoff_wavenumber: float | None = None
    wavenumber: float | None = None
    wavelength: float | None = None
    growth_rate: float | None = None
    barrier: float | None = None
    interface_energy: float | None = None
    interface_width: float | None = None
    interface_width_10_90: float | None = None

    @classmethod
    def of(cls, terms: Sequence[Term], mobility: Mobility, composition: Composition, c0: float) -> Self:
        """`composition` gives the names; ValueError unless it has one independent species."""
        if len(composition.names) != 1:
            raise ValueError(f"a binary has one independent species, not {len(composition.names)}: {', '.join(composition.names)}")
        density = LocalDensity(terms, composition)
        curvature = float(density.hessian([c0])[0, 0])
        kappa = float(density.gradient_coefficients([c0])[0, 0])
        M = float(mobility_matrix(mobility, composition, [c0])[0, 0])
        phases = binodal(density, c0)
        critical = critical_point(terms, composition)
        return cls(
            density=density,
            composition=float(c0),
            free_energy=float(density.value([c0])),
            chemical_potential=float(density.potential([c0])[0]),
            curvature=curvature,
            thermodynamic_factor=float(thermodynamic_factor(density, c0)),
            mobility=M,
            diffusivity=M * curvature,
            kappa=kappa,
            spinodal=tuple(spinodal(density)),
            binodal=phases,
            phase_fraction=(c0 - phases[0]) / (phases[1] - phases[0]) if phases and phases[0] <= c0 <= phases[1] else None,
            critical_temperature_ratio=critical[0] if critical else None,
            critical_composition=critical[1] if critical else None,
            **_growth(M, curvature, kappa),
            **(_interface(density, *phases) if phases else {}),
        )

    def rate(self, k: ArrayLike) -> Array:
        """omega(k) = -M k^2 (f'' + kappa k^2): growth rate of a small wave of wavenumber k. Shape of k."""
        k = np.asarray(k, dtype=float)
        return -self.mobility * k**2 * (self.curvature + self.kappa * k**2)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and None by the keys of `UNITS`."""
        return {key: _plain(getattr(self, key)) for key in UNITS}


def _growth(M: float, curvature: float, kappa: float) -> dict[str, float]:
    if not (curvature < 0 < kappa):
        return {}
    k = math.sqrt(-curvature / (2 * kappa))
    return {
        "cutoff_wavenumber": math.sqrt(2) * k,
        "wavenumber": k,
        "wavelength": 2 * math.pi / k,
        "growth_rate": M * curvature**2 / (4 * kappa),
    }


def _interface(density: LocalDensity, a: float, b: float) -> dict[str, float]:
    f_a, f_b = density.value([a]), density.value([b])

    def excess(c: float) -> float:
        tangent = ((b - c) * f_a + (c - a) * f_b) / (b - a)
        return max(float(density.value([c]) - tangent), 0.0)

    def kappa(c: float) -> float:
        return float(density.gradient_coefficients([c])[0, 0])

    def slope(c: float) -> float:
        return math.sqrt(2 * excess(c) / kappa(c))

    def stretched(s: float) -> float:
        # where an entropy dominates, the excess starts like c ln c: quadrature needs points close to the ends
        c = a + (b - a) * s**2 * (3 - 2 * s)
        return math.sqrt(2 * kappa(c) * excess(c)) * (b - a) * 6 * s * (1 - s)

    result = {"barrier": _maximum(excess, a, b)}
    if kappa((a + b) / 2) > 0:
        ends = a + 0.1 * (b - a), b - 0.1 * (b - a)
        result["interface_energy"] = scipy.integrate.quad(stretched, 0, 1, epsabs=0, epsrel=1e-11, limit=200)[0]
        result["interface_width"] = (b - a) / _maximum(slope, a, b)
        if min(excess(c) for c in np.linspace(*ends, 101)) > 1e-9 * result["barrier"]:  # else a third phase spreads between the two
            result["interface_width_10_90"] = scipy.integrate.quad(lambda c: 1 / slope(c), *ends, epsabs=0, epsrel=1e-11, limit=200)[0]
    return result


def _maximum(function: Callable[[float], float], a: float, b: float) -> float:
    grid = np.linspace(a, b, 101)
    top = min(max(int(np.argmax([function(c) for c in grid])), 1), 99)
    found = scipy.optimize.minimize_scalar(
        lambda c: -function(c), bounds=(grid[top - 1], grid[top + 1]), method="bounded", options={"xatol": 1e-9 * (b - a)}
    )
    return float(-found.fun)


class _Curve:
    """f(c) on a window, with c as a function of a coordinate z that resolves the window's ends.

    Where f takes logarithms, c = 1/(1 + exp(-z)) runs over (0, 1), so that a phase may be as dilute as 1e-148; else c = z.
    """

    def __init__(self, density: LocalDensity, z: Array, logarithmic: bool) -> None:
        self._density = density
        self._logarithmic = logarithmic
        lowest = _roots(self.third, z, falling=False)  # an unstable range may be narrower than the grid, but not without a minimum of f''
        self.z = np.union1d(z, lowest)

    @classmethod
    def of(cls, density: LocalDensity) -> Self:
        """On (0, 1) with logarithms; else on the smallest window of width 2, 4, ... 2048 about it that holds the phases, if one does."""
        if _is_logarithmic(density):
            inside = np.linspace(0, 1, 801)[1:-1]
            z = np.concatenate([[_LOGIT_MIN], np.linspace(-36, 36, 721), np.log(inside / (1 - inside)), [_LOGIT_MAX]])
            return cls(density, np.unique(z), logarithmic=True)
        for half in 2.0 ** np.arange(11):
            curve = cls(density, np.linspace(0.5 - half, 0.5 + half, 2001), logarithmic=False)
            mu, unstable = curve.potential(curve.z), curve.curvature(curve.z) < 0
            if unstable.any() and not unstable[[0, -1]].any() and mu[0] < mu[unstable].min() and mu[unstable].max() < mu[-1]:
                return curve
        return cls(density, np.linspace(0, 1, 2001), logarithmic=False)

    def c(self, z: Any) -> Any:
        return scipy.special.expit(z) if self._logarithmic else z

    def value(self, z: Any) -> Any:
        return self._density.value([self.c(z)])

    def potential(self, z: Any) -> Any:
        return self._density.potential([self.c(z)])[0]

    def curvature(self, z: Any) -> Any:
        return self._density.hessian([self.c(z)])[0, 0]

    def third(self, z: Any) -> Any:
        return self._density.third([self.c(z)])[0, 0, 0]

    @property
    def lowest_curvature(self) -> tuple[float, float]:
        """(c, f'') where f'' is smallest"""
        curvature = self.curvature(self.z)
        k = int(np.nanargmin(curvature))
        return float(self.c(self.z[k])), float(curvature[k])

    @property
    def spinodals(self) -> list[Interval]:
        return [(float(self.c(a)), float(self.c(b))) for a, b in self._unstable]

    @cached_property
    def _unstable(self) -> list[Interval]:
        """In z; an end of the window may be an end."""
        starts = _roots(self.curvature, self.z, falling=True)
        ends = _roots(self.curvature, self.z, falling=False)
        if self.curvature(self.z[0]) < 0:
            starts = [self.z[0], *starts]
        if self.curvature(self.z[-1]) < 0:
            ends = [*ends, self.z[-1]]
        return list(zip(starts, ends, strict=True))

    @property
    def gaps(self) -> list[Interval]:
        """The common tangents. Which unstable ranges share one is seen from the convex hull of f at the grid's points."""
        stable = list(pairwise([self.z[0], *(z for interval in self._unstable for z in interval), self.z[-1]]))[::2]
        c, first = np.unique(self.c(self.z), return_index=True)
        hull = _lower_hull(c, self.value(self.z[first]))
        edges = [int(np.searchsorted(hull, (a + b) / 2)) for a, b in self.spinodals]
        gaps = []
        for edge in sorted(set(edges)):
            covered = [k for k, e in enumerate(edges) if e == edge]
            gap = self._tangent(stable[covered[0]], stable[covered[-1] + 1])
            if gap is not None:
                gaps.append(gap)
        return gaps

    def _tangent(self, left: Interval, right: Interval) -> Interval | None:
        """The phases on two convex branches (in z), by bisection in their common potential mu.

        The minima over the branches of f - mu c have the derivatives -c by mu, so that their difference rises with mu: the only
        root is not the trivial one. None where it is lost in rounding, at a critical point.
        """

        def mismatch(mu: float) -> float:
            a, b = self._at_potential(left, mu), self._at_potential(right, mu)
            return float(self.value(a) - self.value(b) - mu * (self.c(a) - self.c(b)))

        turning = [z for interval in self._unstable for z in interval if left[0] <= z <= right[1]]
        slopes = self.potential(np.array([left[0], *turning, right[1]]))
        low, high = float(slopes.min()), float(slopes.max())
        if not mismatch(low) < 0 < mismatch(high):
            return None
        mu = _root(mismatch, low, high, 1e-16 * float(np.ptp(self.potential(np.array(turning)))))
        a, b = self._at_potential(left, mu), self._at_potential(right, mu)
        if not self._logarithmic and (a <= self.z[0] or b >= self.z[-1]):
            return None
        return float(self.c(a)), float(self.c(b))

    def _at_potential(self, branch: Interval, mu: float) -> float:
        """z of f' = mu on a branch where f' rises, or the end that is nearest to it."""
        low, high = branch
        if self.potential(low) >= mu:
            return low
        if self.potential(high) <= mu:
            return high
        return _root(lambda z: self.potential(z) - mu, low, high)


def _is_logarithmic(density: LocalDensity) -> bool:
    return bool(density.positive) or bool(np.isnan(density.value([np.array([-0.25, 1.25])])).any())


def _chosen(gaps: list[Interval], near: float | None) -> Interval | None:
    around = [(a, b) for a, b in gaps if near is not None and a <= near <= b]
    widest = sorted(around or gaps, key=lambda gap: gap[0] - gap[1])
    return widest[0] if widest else None


def _at_temperature(terms: Sequence[Term], composition: Composition, ratio: float) -> LocalDensity:
    return LocalDensity([term.at_temperature(float(ratio)) for term in terms], composition)


def _roots(function: Callable[[Any], Any], grid: Array, falling: bool) -> list[float]:
    """Where the function changes its sign from + to - (falling) or from - to +."""
    sign = np.sign(function(grid)) * (-1 if falling else 1)
    return [_root(function, grid[k], grid[k + 1]) for k in np.flatnonzero((sign[:-1] <= 0) & (sign[1:] > 0))]


def _root(function: Callable[[float], Any], low: float, high: float, tolerance: float = 1e-16) -> float:
    return float(scipy.optimize.brentq(function, low, high, xtol=tolerance, rtol=4 * np.finfo(float).eps, maxiter=500))


def _lower_hull(x: Array, y: Array) -> Array:
    """The x of the lower convex hull's vertices, for rising x (Andrew's monotone chain)."""
    hull: list[int] = []
    for k in range(len(x)):
        while len(hull) > 1:
            i, j = hull[-2:]
            if (y[j] - y[i]) * (x[k] - x[j]) < (y[k] - y[j]) * (x[j] - x[i]):
                break
            hull.pop()
        hull.append(k)
    return x[hull]


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
