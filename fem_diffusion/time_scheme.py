"""At which states the variation of F and the mobility are evaluated.

Every scheme is   sum_k a_k c^{n+1-k} = dt div(L(c*) grad mu),   (mu, q) = <F'(...), q>,
with weights a_k that depend on the ratio of the last two steps only, so that a change of the step compiles nothing anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np

Expr = Any


class Variation(Protocol):
    """<F'(u), q> of some of the energy's terms, as UFL, at any state expression u."""

    def __call__(self, u: Expr, part: str = "whole", gauss_points: int | None = None) -> Expr: ...

    @property
    def gauss_points(self) -> frozenset[int]: ...


class TimeScheme(ABC):
    """One time discretisation; `order` is that of c, `levels` the number of old states in the time derivative."""

    name: ClassVar[str]
    order: ClassVar[int]
    levels: ClassVar[int] = 1
    source_at: ClassVar[float] = 1.0
    """Where in the step, from 0 to 1, mu stands, and with it sources, imposed fluxes and fixed potentials."""

    @abstractmethod
    def variation(self, dF: Variation, u: Expr, u_old: Expr) -> Expr:
        """<F', q> of the step from u_old to u."""

    def mobility_state(self, u: Expr, u_old: Expr) -> Expr:
        """The state at which L(c) is evaluated."""
        return u

    def weights(self, ratio: float) -> tuple[float, float, float]:
        """a_0, a_1, a_2 for ratio = dt/dt_old."""
        return 1.0, -1.0, 0.0

    @abstractmethod
    def error_constant(self, ratio: float) -> float:
        """The local error is this times dt^(order+1) c^(order+1)."""


class BackwardEuler(TimeScheme):
    """mu = F'(c^{n+1}): a minimising movement, so F decreases at the minimiser; first order."""

    name = "backward-euler"
    order = 1

    def variation(self, dF: Variation, u: Expr, u_old: Expr) -> Expr:
        return dF(u)

    def error_constant(self, ratio: float) -> float:
        return 1 / 2


class ConvexSplit(TimeScheme):
    """mu = F_+'(c^{n+1}) + F_-'(c^n), F_+ convex, F_- concave: uniquely solvable and F decreasing for every dt; first order.

    Unconditional stability is not accuracy: the error constant is that of backward Euler times |F_-''|/|F''|.  (Eyre 1998)
    """

    name = "convex-split"
    order = 1

    def variation(self, dF: Variation, u: Expr, u_old: Expr) -> Expr:
        return dF(u, part="convex") + dF(u_old, part="concave")

    def mobility_state(self, u: Expr, u_old: Expr) -> Expr:
        return u_old

    def error_constant(self, ratio: float) -> float:
        return 1 / 2


class AveragedVectorField(TimeScheme):
    """mu = int_0^1 F'(c^n + s (c^{n+1} - c^n)) ds, so F^{n+1} - F^n = -dt (L grad mu, grad mu) exactly; second order.

    (Quispel & McLaren, J. Phys. A 41 (2008) 045206); the integral by Gauss' rule with as many points as each term asks for.
    """

    name = "avf"
    order = 2
    source_at = 0.5

    def variation(self, dF: Variation, u: Expr, u_old: Expr) -> Expr:
        total = 0
        for points in sorted(dF.gauss_points):
            s, w = np.polynomial.legendre.leggauss(points)
            for sk, wk in zip((1 + s) / 2, w / 2, strict=True):
                total += float(wk) * dF(u_old + float(sk) * (u - u_old), gauss_points=points)
        return total

    def mobility_state(self, u: Expr, u_old: Expr) -> Expr:
        return (u + u_old) / 2

    def error_constant(self, ratio: float) -> float:
        return 1 / 12


class BDF2(TimeScheme):
    """(a_0 c^{n+1} + a_1 c^n + a_2 c^{n-1})/dt with mu = F'(c^{n+1}); second order, L-stable, zero-stable for ratios below 2.414.

    a_0 = (1+2r)/(1+r), a_1 = -(1+r), a_2 = r^2/(1+r), r = dt/dt_old.  (Hairer, Norsett & Wanner I, III.5)
    """

    name = "bdf2"
    order = 2
    levels = 2

    def variation(self, dF: Variation, u: Expr, u_old: Expr) -> Expr:
        return dF(u)

    def weights(self, ratio: float) -> tuple[float, float, float]:
        r = ratio
        return (1 + 2 * r) / (1 + r), -(1 + r), r**2 / (1 + r)

    def error_constant(self, ratio: float) -> float:
        r = ratio
        return (1 + r) ** 2 / (6 * r * (1 + 2 * r))


SCHEMES: dict[str, type[TimeScheme]] = {scheme.name: scheme for scheme in (BackwardEuler, ConvexSplit, AveragedVectorField, BDF2)}
