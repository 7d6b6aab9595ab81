"""Terms that are polynomials of the concentrations or of their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import numpy as np
import ufl
from pydantic import Field, model_validator

from ..errors import InputError
from ..state import Composition, Expr
from ..units import Quantity
from .term import Term, require_name


class DoubleWell(Term):
    """f = rho (c - a)^2 (b - c)^2 for one species, or for each.

    Minima a, b; spinodal (a+b)/2 -+ (b-a)/(2 sqrt 3); with Gradient kappa: interface energy sqrt(2 kappa rho) (b-a)^3/6 and
    profile tanh(x/delta), delta = sqrt(2 kappa/rho)/(b-a)  (Cahn & Hilliard, J. Chem. Phys. 28 (1958) 258).
    """

    gauss_points: ClassVar[int] = 2

    rho: Annotated[float, Quantity("J/m^3", positive=True)] = Field(description="the barrier's strength, J/m^3")
    a: float = 0.0
    b: float = 1.0
    species: str | None = None

    def density(self, c: Composition, phi: Expr) -> Expr:
        return sum(self.rho * (ci - self.a) ** 2 * (self.b - ci) ** 2 for ci in self._chosen(c))

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # with u = c - (a+b)/2, d = (b-a)/2:  f = rho (u^4 + d^4) - 2 rho d^2 u^2
        mean, d = (self.a + self.b) / 2, (self.b - self.a) / 2
        return sum(self.rho * ((ci - mean) ** 4 + d**4) for ci in self._chosen(c))

    def of_fractions(self, c: Composition) -> bool:
        return self.a >= 0 and self.b <= 1

    def _chosen(self, c: Composition) -> tuple[Expr, ...]:
        return tuple(c) if self.species is None else (c[self.species],)

    def check_species(self, c: Composition) -> None:
        if self.species is not None:
            require_name(self, self.species, c.closed)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.a < self.b:
            raise ValueError(f"a = {self.a:g} must be less than b = {self.b:g}: they are the two phases")
        return self


class Quadratic(Term):
    """f = 1/2 sum_ij a_ij c_i c_j over the independent species, in the order of [[species]].

    matrix: rows of the a_ij, J/m^3, symmetric and positive definite. With a constant mobility L it is dilute cross-diffusion about a base
    state, with the diffusivities D = L a.  (S.R. de Groot & P. Mazur, Non-Equilibrium Thermodynamics (1962), ch. XI)
    """

    gauss_points: ClassVar[int] = 1

    matrix: tuple[tuple[Annotated[float, Quantity("J/m^3")], ...], ...]

    def density(self, c: Composition, phi: Expr) -> Expr:
        return sum(a_ij / 2 * ci * cj for row, ci in zip(self.matrix, c, strict=True) for a_ij, cj in zip(row, c, strict=True))

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)

    def check_species(self, c: Composition) -> None:
        if len(self.matrix) != len(c):
            raise InputError(
                f"{self.label}: matrix has {len(self.matrix)} rows for {len(c)} solved species ({', '.join(c.names)}): give one each"
            )

    @model_validator(mode="after")
    def _positive_definite(self) -> Self:
        n = len(self.matrix)
        if n == 0 or any(len(row) != n for row in self.matrix):
            raise ValueError(
                f"matrix has rows of {', '.join(str(len(row)) for row in self.matrix) or 'no'} numbers: give n rows of n numbers"
            )
        a = np.array(self.matrix, dtype=float)
        if not np.array_equal(a, a.T):
            i, j = np.argwhere(a != a.T)[0]
            raise ValueError(f"matrix must be symmetric: entry {i + 1},{j + 1} is {a[i, j]:g}, entry {j + 1},{i + 1} is {a[j, i]:g}")
        lowest = float(np.linalg.eigvalsh(a)[0])
        if lowest <= 0:
            raise ValueError(f"matrix must be positive definite, or every mixture is unstable: its lowest eigenvalue is {lowest:g}")
        return self


class Gradient(Term):
    """f = sum_i kappa_i/2 |grad c_i|^2 over the independent species, or over those named in kappa = { name = ... }."""

    gauss_points: ClassVar[int] = 1

    kappa: Annotated[float, Quantity("J/m", minimum=0)] | dict[str, Annotated[float, Quantity("J/m", minimum=0)]]

    def density(self, c: Composition, phi: Expr) -> Expr:
        if isinstance(self.kappa, Mapping):
            pairs = [(kappa, c[name]) for name, kappa in self.kappa.items()]
        else:
            pairs = [(self.kappa, ci) for ci in c]
        return sum(kappa / 2 * ufl.inner(ufl.grad(ci), ufl.grad(ci)) for kappa, ci in pairs)

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)

    def check_species(self, c: Composition) -> None:
        if isinstance(self.kappa, Mapping):
            for name in self.kappa:
                require_name(self, name, c.closed)


class WallEnergy(Term):
    """g = -strength h(s), h = 3 s^2 - 2 s^3, s = (c - a)/(b - a) clipped to [0, 1]: a wall that prefers phase b where strength > 0.

    g'(a) = g'(b) = 0 leaves the bulk phases alone; Young's law sigma cos(theta) = g(a) - g(b) = strength, theta through phase b.
    """

    strength: Annotated[float, Quantity("J/m^2")]
    a: float = 0.0
    b: float = 1.0

    def density(self, c: Composition, phi: Expr) -> Expr:
        s = self._phase(c)
        return -self.strength * (3 * s**2 - 2 * s**3)

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # |h''| <= 6: adding half of that times s^2 makes g convex
        s = (c[0] - self.a) / (self.b - self.a)
        return self.density(c, phi) + 3 * abs(self.strength) * s**2

    def _phase(self, c: Composition) -> Expr:
        return ufl.min_value(ufl.max_value((c[0] - self.a) / (self.b - self.a), 0.0), 1.0)
