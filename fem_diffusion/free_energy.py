"""The terms of the free energy F[c] = sum_k int f_k(c, grad c) dx + sum_k int g_k(c) ds.

A term states its density and nothing else: chemical potentials, Jacobians, the thermodynamic factor, spinodal and binodal are derived from it.
Mixing energies are in units of RT/V_m, the solver's unit of energy density (one in a dimensionless problem).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import ufl
from pydantic import Field, model_validator

from .errors import InputError, did_you_mean
from .record import Record
from .state import Composition, Expr
from .units import Quantity


class Term(Record):
    """One term of F: mu_i = dF/dc_i follows from `density`.

    A subclass has its parameters as annotated fields and at least `density`, in UFL. It may live in a user's own module:
    in TOML, kind = "my_module.MyEnergy".
    """

    gauss_points: ClassVar[int] = 5
    """Points with which the averaged vector field integrates mu along a step: k points are exact for densities of degree 2k."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = f"[[free_energy]] {cls.__name__}"

    @abstractmethod
    def density(self, c: Composition, phi: Expr) -> Expr:
        """f(c, grad c), J/m^3 (J/m^2 for a wall). `phi` is the electric potential, None in an uncharged problem."""

    def convex_part(self, c: Composition, phi: Expr) -> Expr | None:
        """A convex f_+ such that f - f_+ is concave (Eyre's splitting), or None where no splitting is known."""
        return None

    def positive(self, c: Composition) -> tuple[str, ...]:
        """The components whose logarithm the density takes, so that they must stay positive."""
        return ()

    def of_fractions(self, c: Composition) -> bool:
        """Whether the term has a meaning for fractions between 0 and 1 only, so that other initial data are an error."""
        return bool(self.positive(c))

    def check_species(self, c: Composition) -> None:
        """Raise InputError where the parameters do not fit the species."""

    def at_temperature(self, ratio: float) -> Self:
        """The same term at `ratio` times the temperature; parameters that do not depend on it stay."""
        return self


def x_ln_x(x: Expr) -> Expr:
    """x ln x, with 0 ln 0 = 0; nan below zero, where no mixture exists.

    The condition is inside the logarithm: outside, UFL would make the derivative at zero 0 instead of a large negative number.
    """
    return x * ufl.ln(ufl.conditional(ufl.eq(x, 0.0), np.finfo(float).tiny, x))


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
            _require_name(self, self.species, c.closed)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.a < self.b:
            raise ValueError(f"a = {self.a:g} must be less than b = {self.b:g}: they are the two phases")
        return self


class Ideal(Term):
    """f = sum_i c_i ln c_i over the named species (the balance species too, the nameless rest not), in units of RT/V_m."""

    def density(self, c: Composition, phi: Expr) -> Expr:
        return sum(x_ln_x(x) for x in c.named.values())

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)

    def positive(self, c: Composition) -> tuple[str, ...]:
        return tuple(c.named)


Pairs = Annotated[dict[str, Annotated[float, Quantity("J/mol")]], Field(default_factory=dict)]
DimensionlessPairs = dict[str, float]


class PairInteraction(Term):
    """f = sum_{k<l} chi_kl x_k x_l over the components, chi_kl = Omega_kl/RT, in units of RT/V_m: the excess part of a regular solution.

    interaction:  Omega of a binary, J/mol
    chi:          the same without dimension, a number or { "A-B" = number }
    interactions: { "A-B" = Omega_AB }, J/mol
    """

    gauss_points: ClassVar[int] = 1

    interaction: Annotated[float, Quantity("J/mol")] | None = None
    chi: float | DimensionlessPairs | None = None
    interactions: Pairs

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c.closed
        return sum(chi * x[k] * x[l] for (k, l), chi in self.pairs(c).items())

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # In the independent fractions f = const + b.c + c^T Q c / 2 with a constant Hessian Q: its positive part is convex.
        hessian = self._hessian(c)
        eigenvalues, vectors = np.linalg.eigh(hessian)
        convex = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
        n = len(c)
        return sum(float(convex[i, j]) / 2 * c[i] * c[j] for i in range(n) for j in range(n))

    def pairs(self, c: Composition) -> dict[tuple[str, str], Any]:
        """chi_kl by pair of component names; InputError where names or the form do not fit the species."""
        scalar = self.interaction if self.interaction is not None else (None if isinstance(self.chi, Mapping) else self.chi)
        components = list(c.closed)
        if scalar is not None:
            if len(components) != 2:
                raise InputError(
                    f"{self.label} has one number for {len(components)} components ({', '.join(components)}): "
                    f'give one for each pair, chi = {{ "{components[0]}-{components[1]}" = ... }}'
                )
            return {(components[0], components[1]): scalar}
        given: Mapping[str, Any] = self.interactions or (self.chi if isinstance(self.chi, Mapping) else {})
        return {_split_pair(self, key, components): value for key, value in given.items()}

    def _hessian(self, c: Composition) -> np.ndarray:
        """d^2 f/dc_i dc_j in the independent fractions, by x_0 = 1 - sum c."""
        components = list(c.closed)
        chi = np.zeros((len(components), len(components)))
        for (k, l), value in self.pairs(c).items():
            chi[components.index(k), components.index(l)] = chi[components.index(l), components.index(k)] = float(value)
        to_components = np.vstack([np.eye(len(c)), -np.ones(len(c))])
        return to_components.T @ chi @ to_components

    def check_species(self, c: Composition) -> None:
        self.pairs(c)

    def at_temperature(self, ratio: float) -> Self:
        def scaled(value: Any) -> Any:
            return {key: v / ratio for key, v in value.items()} if isinstance(value, Mapping) else None if value is None else value / ratio

        return self.model_copy(update={name: scaled(getattr(self, name)) for name in ("interaction", "chi", "interactions")})

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in ("interaction", "chi", "interactions") if getattr(self, name) not in (None, {})]
        if len(given) != 1:
            raise ValueError(f"give exactly one of interaction, chi, interactions (given: {', '.join(given) or 'none'})")
        return self


class RegularSolution(PairInteraction):
    """f = sum_k x_k ln x_k + sum_{k<l} chi_kl x_k x_l over the species and the balance, in units of RT/V_m.

    Binary: critical chi = 2 (T_c = Omega/2R), spinodal (1 -+ sqrt(1 - 2/chi))/2, binodal from ln(c/(1-c)) = chi (2c-1)
    (Hildebrand 1929; Cahn & Hilliard 1958).
    """

    gauss_points: ClassVar[int] = 5

    def density(self, c: Composition, phi: Expr) -> Expr:
        return _mixing(c) + super().density(c, phi)

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return _mixing(c) + super().convex_part(c, phi)

    def positive(self, c: Composition) -> tuple[str, ...]:
        return tuple(c.closed)


class FloryHuggins(Term):
    """f = c/N_A ln c + (1-c)/N_B ln(1-c) + chi c (1-c) for a binary, in units of RT/V_m of one lattice site.

    Critical point chi_c = (N_A^-1/2 + N_B^-1/2)^2/2 at c = sqrt(N_B)/(sqrt N_A + sqrt N_B)  (Flory, Huggins 1942).
    """

    chi: float
    N_A: float = Field(default=1.0, ge=1)
    N_B: float = Field(default=1.0, ge=1)

    def density(self, c: Composition, phi: Expr) -> Expr:
        return self._mixing(c) + self.chi * c[0] * c.rest

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # chi c (1-c) is concave for chi > 0 and convex for chi < 0
        return self._mixing(c) + (0.0 if float(self.chi) > 0 else self.chi * c[0] * c.rest)

    def _mixing(self, c: Composition) -> Expr:
        return x_ln_x(c[0]) / self.N_A + x_ln_x(c.rest) / self.N_B

    def positive(self, c: Composition) -> tuple[str, ...]:
        return tuple(c.closed)

    def check_species(self, c: Composition) -> None:
        if len(c) != 1:
            raise InputError(f"{self.label} is a binary: it takes one species and the rest, not {', '.join(c.closed)}")

    def at_temperature(self, ratio: float) -> Self:
        return self.model_copy(update={"chi": self.chi / ratio})


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
                _require_name(self, name, c.closed)


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


def _mixing(c: Composition) -> Expr:
    return sum(x_ln_x(x) for x in c.closed.values())


def _split_pair(term: Term, key: str, components: list[str]) -> tuple[str, str]:
    """The two components of "A-B", in either order; names may have hyphens themselves."""
    for k, l in combinations(components, 2):
        if key in (f"{k}-{l}", f"{l}-{k}"):
            return k, l
    legal = [f"{k}-{l}" for k, l in combinations(components, 2)]
    raise InputError(f"{term.label}: '{key}' is not a pair of species{did_you_mean(key, legal)}")


def _require_name(term: Term, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise InputError(f"{term.label}: there is no species '{name}'{did_you_mean(name, names)}")
