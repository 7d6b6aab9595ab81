"""Entropies of mixing and pair interactions, in units of RT/V_m."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import ufl
from pydantic import Field, PrivateAttr, model_validator

from ..errors import InputError
from ..state import Composition, Expr
from ..units import Quantity
from .term import Term, by_pair, divided, ideal_mixing, require_one_of


class Ideal(Term):
    """f = sum_i c_i ln c_i over the named species (the balance species too, the nameless rest not), in units of RT/V_m."""

    def density(self, c: Composition, phi: Expr) -> Expr:
        return ideal_mixing(self.entropy(c), c)

    def entropy(self, c: Composition) -> Mapping[str, Expr]:
        return dict.fromkeys(c.named, 1.0)

    def of_fractions(self, c: Composition) -> bool:
        return c.balance is not None  # independent concentrations may be of any size

    def excess(self, c: Composition, phi: Expr) -> Expr:
        return 0.0

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)


class LatticeGas(Term):
    """f = sum_i c_i ln c_i + c_0 ln c_0 over the species and what closes their sum to one, in units of RT/V_m: particles share sites with voids.

    mu_i = ln(c_i/c_0); nothing passes c_0 = 0, where all sites are taken (Kilic, Bazant & Ajdari, Phys. Rev. E 75 (2007) 021502).
    What is solved for are fractions of the sites; site_concentration, mol/m^3, is the concentration of a fraction of one.

    Where species take v_i sites each ([[species]] size), c_0 = 1 - sum_i v_i c_i and f has sum_i (v_i - 1) c_i added, a constant in mu:
    mu_i = ln c_i - v_i ln c_0. Exact for v_i = 1, else the mean field of a solvent of size one (as in Borukhov, Andelman & Orland, Electrochim.
    Acta 46 (2000) 221, for one large and one small ion).
    """

    site_concentration: Annotated[float, Quantity("mol/m^3", positive=True)] | None = None

    def density(self, c: Composition, phi: Expr) -> Expr:
        return ideal_mixing(self.entropy(c), c) + self.excess(c, phi)

    def entropy(self, c: Composition) -> Mapping[str, Expr]:
        return dict.fromkeys(c.closed, 1.0)

    def excess(self, c: Composition, phi: Expr) -> Expr:
        return sum((v_i - 1) * c_i for v_i, c_i in zip(c.sizes, c, strict=True)) if c.sizes else 0.0

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)


Pairs = Annotated[dict[str, Annotated[float, Quantity("J/mol")]], Field(default_factory=dict)]
DimensionlessPairs = dict[str, float]


class PairInteraction(Term):
    """f = sum_{k<l} chi_kl x_k x_l over the components, chi_kl = Omega_kl/RT, in units of RT/V_m: the excess part of a regular solution.

    interaction:  Omega of a binary, J/mol
    chi:          the same without dimension, a number or { "A-B" = number }
    interactions: { "A-B" = Omega_AB }, J/mol
    A pair that is not given does not interact. At another temperature than that of reference chi is Omega/RT there.
    """

    gauss_points: ClassVar[int] = 1

    interaction: Annotated[float, Quantity("J/mol")] | None = None
    chi: float | DimensionlessPairs | None = None
    interactions: Pairs
    _ratio: Expr = PrivateAttr(default=1.0)  # T/T_ref, beside the numbers whose eigenvalues are taken

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c.closed
        return sum(chi / self._ratio * x[k] * x[l] for (k, l), chi in self.pairs(c).items())

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # In the independent fractions f = const + b.c + c^T Q c / 2 with a constant Hessian Q: its positive part is convex.
        hessian = self._hessian(c)
        eigenvalues, vectors = np.linalg.eigh(hessian)
        convex = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
        n = len(c)
        return sum(float(convex[i, j]) / (2 * self._ratio) * c[i] * c[j] for i in range(n) for j in range(n))

    def pairs(self, c: Composition) -> dict[tuple[str, str], Any]:
        """chi_kl at the reference temperature by pair of component names; InputError where names or the form do not fit the species."""
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
        return by_pair(self, given, components)

    def _hessian(self, c: Composition) -> np.ndarray:
        """d^2 f/dc_i dc_j in the independent fractions, by x_0 = 1 - sum_i v_i c_i."""
        components = list(c.closed)
        chi = np.zeros((len(components), len(components)))
        for (k, l), value in self.pairs(c).items():
            chi[components.index(k), components.index(l)] = chi[components.index(l), components.index(k)] = float(value)
        to_components = np.vstack([np.eye(len(c)), -np.array(c.sizes or (1.0,) * len(c))])
        return to_components.T @ chi @ to_components

    def check_species(self, c: Composition) -> None:
        self.pairs(c)

    def at_temperature(self, ratio: Expr) -> Self:
        term = self.model_copy()
        term._ratio = self._ratio * ratio
        return term

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        require_one_of(self, "interaction", "chi", "interactions")
        return self


class RegularSolution(PairInteraction):
    """f = sum_k x_k ln x_k + sum_{k<l} chi_kl x_k x_l over the species and the balance, in units of RT/V_m.

    Binary: critical chi = 2 (T_c = Omega/2R), spinodal (1 -+ sqrt(1 - 2/chi))/2, binodal from ln(c/(1-c)) = chi (2c-1)
    (Hildebrand 1929; Cahn & Hilliard 1958).
    """

    gauss_points: ClassVar[int] = 5

    def density(self, c: Composition, phi: Expr) -> Expr:
        return ideal_mixing(self.entropy(c), c) + self.excess(c, phi)

    def entropy(self, c: Composition) -> Mapping[str, Expr]:
        return dict.fromkeys(c.closed, 1.0)

    def excess(self, c: Composition, phi: Expr) -> Expr:
        return super().density(c, phi)

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return ideal_mixing(self.entropy(c), c) + super().convex_part(c, phi)


class FloryHuggins(Term):
    """f = c/N_A ln c + (1-c)/N_B ln(1-c) + chi c (1-c) for a binary, in units of RT/V_m of one lattice site.

    Critical point chi_c = (N_A^-1/2 + N_B^-1/2)^2/2 at c = sqrt(N_B)/(sqrt N_A + sqrt N_B)  (Flory, Huggins 1942).
    """

    chi: float
    N_A: float = Field(default=1.0, ge=1)
    N_B: float = Field(default=1.0, ge=1)

    def density(self, c: Composition, phi: Expr) -> Expr:
        return ideal_mixing(self.entropy(c), c) + self.excess(c, phi)

    def entropy(self, c: Composition) -> Mapping[str, Expr]:
        return dict(zip(c.closed, (1 / self.N_A, 1 / self.N_B), strict=True))

    def excess(self, c: Composition, phi: Expr) -> Expr:
        return self.chi * c[0] * c.rest

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        # chi c (1-c) is concave for chi > 0 and convex for chi < 0
        return ideal_mixing(self.entropy(c), c) + ufl.min_value(self.chi, 0.0) * c[0] * c.rest

    def check_species(self, c: Composition) -> None:
        if len(c) != 1:
            raise InputError(f"{self.label} is a binary: it takes one species and the rest, not {', '.join(c.closed)}")

    def at_temperature(self, ratio: Expr) -> Self:
        return self.model_copy(update={"chi": divided(self.chi, ratio)})
