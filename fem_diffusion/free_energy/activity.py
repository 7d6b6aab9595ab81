"""Excess energies of liquids and alloys in units of RT/V_m, by the equations for activity coefficients that go with them.

All are to be added to an entropy of mixing (LatticeGas, or Ideal where every component has a name), and are symmetric in all components x_k,
the closing one included. Then mu_i = ln(gamma_i x_i) - ln(gamma_0 x_0), with the activity coefficients of J.M. Prausnitz, R.N. Lichtenthaler
& E.G. de Azevedo, Molecular Thermodynamics of Fluid-Phase Equilibria, 3rd ed., ch. 6; B.E. Poling, J.M. Prausnitz & J.P. O'Connell,
The Properties of Gases and Liquids, 5th ed., ch. 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated, Any, Self

import ufl
from pydantic import AfterValidator, Field, model_validator

from ..errors import InputError, did_you_mean
from ..state import Composition, Expr
from ..units import Quantity
from .coefficient import Energy, over_RT
from .term import Term, by_pair, require_every_pair, require_one_of


def _two(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(given) != 2:
        raise ValueError(f'must be a list of two: "A-B" = [of A-B, of B-A]; {len(given)} given')
    return given


def _some(given: dict[str, Any]) -> dict[str, Any]:
    if not given:
        raise ValueError('names no pair: give at least one, { "A-B" = [...] }')
    return given


Positive = Annotated[float, Field(gt=0)]
TwoEnergies = Annotated[tuple[Energy, ...], AfterValidator(_two)]
TwoNumbers = Annotated[tuple[float, ...], AfterValidator(_two)]
TwoPositive = Annotated[tuple[Positive, ...], AfterValidator(_two)]


class RedlichKister(Term):
    """f = sum over the pairs "k-l" of x_k x_l sum_m L_m (x_k - x_l)^m: a subregular solution, and the form of the CALPHAD databases.

    coefficients: { "A-B" = [L_0, L_1, ...] }, J/mol: numbers, quantities, or expressions of T such as "33819.1 - 8.1236*T" (SI; without units
                  in multiples of RT and of the reference temperature). The odd terms change their sign with the order of the key: "A-B" has
                  x_A - x_B. A pair that is not given does not interact.
    (O. Redlich & A.T. Kister, Ind. Eng. Chem. 40 (1948) 345; of several components: Y.-M. Muggianu et al., J. Chim. Phys. 72 (1975) 83)
    """

    coefficients: Annotated[dict[str, Annotated[tuple[Energy, ...], Field(min_length=1)]], AfterValidator(_some)]

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c.closed
        pairs = by_pair(self, self.coefficients, list(x))
        return sum(over_RT(L_m) * x[k] * x[l] * (x[k] - x[l]) ** m for (k, l), L in pairs.items() for m, L_m in enumerate(L))

    def check_species(self, c: Composition) -> None:
        by_pair(self, self.coefficients, list(c.closed))


class Margules(Term):
    """f = sum over the pairs "k-l" of x_k x_l (A_lk x_k + A_kl x_l): Margules' three-suffix equation.

    coefficients: { "A-B" = [A_AB, A_BA] }, J/mol, as those of RedlichKister. In the binary RT ln gamma_A = A_AB where A is dilute, RT ln gamma_B
                  = A_BA where B is; the two-suffix equation has A_AB = A_BA. A pair that is not given does not interact. In a mixture of more
                  components x_k + x_l < 1: of the several extensions this one is the sum of the pairs, without a ternary constant.
    (M. Margules, Sitzungsber. Akad. Wiss. Wien 104 (1895) 1243; K. Wohl, Trans. AIChE 42 (1946) 215)
    """

    coefficients: Annotated[dict[str, TwoEnergies], AfterValidator(_some)]

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c.closed
        pairs = by_pair(self, self.coefficients, list(x))
        return sum(x[k] * x[l] * (over_RT(A_lk) * x[k] + over_RT(A_kl) * x[l]) for (k, l), (A_kl, A_lk) in pairs.items())

    def check_species(self, c: Composition) -> None:
        by_pair(self, self.coefficients, list(c.closed))


class Wilson(Term):
    """f = -sum_k x_k ln(sum_l Lambda_kl x_l),  Lambda_kl = V_l/V_k exp(-a_kl/RT),  Lambda_kk = 1. With an entropy of mixing it never demixes.

    Lambda:        { "A-B" = [Lambda_AB, Lambda_BA] }, the same at any temperature; or
    interactions:  { "A-B" = [a_AB, a_BA] }, J/mol, as the coefficients of RedlichKister (a_AB = lambda_AB - lambda_AA), and
    molar_volumes: { A = V_A }, of all components or, where they are alike, of none, m^3/mol
    Every pair of components is needed.
    (G.M. Wilson, J. Am. Chem. Soc. 86 (1964) 127)
    """

    Lambda: dict[str, TwoPositive] = Field(default_factory=dict)
    interactions: dict[str, TwoEnergies] = Field(default_factory=dict)
    molar_volumes: dict[str, Annotated[float, Quantity("m^3/mol", positive=True)]] = Field(default_factory=dict)

    def density(self, c: Composition, phi: Expr) -> Expr:
        x, Lambda = c.closed, self.parameters(c)
        return -sum(x[k] * ufl.ln(sum(Lambda[k, l] * x[l] for l in x)) for k in x)

    def parameters(self, c: Composition) -> dict[tuple[str, str], Expr]:
        """Lambda_kl by k, l"""
        components = list(c.closed)
        V = self.molar_volumes or dict.fromkeys(components, 1.0)
        if self.Lambda:
            return _both_ways(by_pair(self, self.Lambda, components), components, diagonal=1.0)
        a = _both_ways(by_pair(self, self.interactions, components), components, diagonal=0.0)
        return {(k, l): V[l] / V[k] * ufl.exp(-over_RT(a[k, l])) if k != l else 1.0 for k, l in a}

    def of_fractions(self, c: Composition) -> bool:
        return True

    def check_species(self, c: Composition) -> None:
        components = list(c.closed)
        parameter = "Lambda" if self.Lambda else "interactions"
        require_every_pair(self, parameter, by_pair(self, getattr(self, parameter), components), components)
        for name in self.molar_volumes:
            if name not in components:
                raise InputError(f"{self.label} molar_volumes: there is no component '{name}'{did_you_mean(name, components)}")
        missing = [name for name in components if self.molar_volumes and name not in self.molar_volumes]
        if missing:
            raise InputError(f"{self.label} needs the molar volume of every component or of none; missing: {', '.join(missing)}")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        require_one_of(self, "Lambda", "interactions")
        if self.Lambda and self.molar_volumes:
            raise ValueError("molar_volumes are part of Lambda: remove one of them")
        return self


class NRTL(Term):
    """f = sum_i x_i (sum_j tau_ji G_ji x_j)/(sum_k G_ki x_k),  G_ij = exp(-alpha_ij tau_ij),  tau_ij = g_ij/RT,  tau_ii = 0.

    tau:          { "A-B" = [tau_AB, tau_BA] }, the same at any temperature; or
    interactions: { "A-B" = [g_AB, g_BA] }, J/mol, as the coefficients of RedlichKister
    alpha:        the non-randomness alpha_AB = alpha_BA, one number or { "A-B" = number }
    Every pair of components is needed. In the binary ln gamma_A = tau_BA + tau_AB G_AB where A is dilute.
    (H. Renon & J.M. Prausnitz, AIChE J. 14 (1968) 135)
    """

    tau: dict[str, TwoNumbers] = Field(default_factory=dict)
    interactions: dict[str, TwoEnergies] = Field(default_factory=dict)
    alpha: float | dict[str, float] = 0.3

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c.closed
        tau, G = self.parameters(c)
        return sum(x[i] * sum(tau[j, i] * G[j, i] * x[j] for j in x if j != i) / sum(G[k, i] * x[k] for k in x) for i in x)

    def parameters(self, c: Composition) -> tuple[dict[tuple[str, str], Expr], dict[tuple[str, str], Expr]]:
        """tau_ij and G_ij by i, j"""
        components = list(c.closed)
        given = _both_ways(by_pair(self, self.tau or self.interactions, components), components, diagonal=0.0)
        tau = {pair: over_RT(value) for pair, value in given.items()}
        alpha = self._alpha(components)
        return tau, {(i, j): ufl.exp(-alpha[i, j] * tau[i, j]) if i != j else 1.0 for i, j in tau}

    def _alpha(self, components: list[str]) -> dict[tuple[str, str], Expr]:
        if not isinstance(self.alpha, Mapping):
            return dict.fromkeys(permutations(components, 2), self.alpha)
        pairs = by_pair(self, self.alpha, components)
        return {key: value for (i, j), value in pairs.items() for key in ((i, j), (j, i))}

    def of_fractions(self, c: Composition) -> bool:
        return True

    def check_species(self, c: Composition) -> None:
        components = list(c.closed)
        parameter = "tau" if self.tau else "interactions"
        require_every_pair(self, parameter, by_pair(self, getattr(self, parameter), components), components)
        if isinstance(self.alpha, Mapping):
            require_every_pair(self, "alpha", by_pair(self, self.alpha, components), components)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        require_one_of(self, "tau", "interactions")
        return self


def _both_ways(pairs: Mapping[tuple[str, str], Any], components: list[str], diagonal: float) -> dict[tuple[str, str], Any]:
    """{ (k, l): (of k-l, of l-k) } as a full matrix."""
    matrix = {(k, k): diagonal for k in components}
    for (k, l), (of_kl, of_lk) in pairs.items():
        matrix[k, l], matrix[l, k] = of_kl, of_lk
    return matrix
