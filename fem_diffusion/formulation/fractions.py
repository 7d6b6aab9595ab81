"""Unknowns c: for smooth mixtures without gradient energy, where fractions may vanish.

    (mass balance, v_i),     J = -A(c) d,     d_i = sum_j S_ij grad mu_j

grad mu has a pole where a fraction vanishes and L = A S a zero; in the thermodynamic forces d they cancel. With the free energy
sum_k a_k x_k ln x_k + f_ex

    d_i = a_i grad x_i - x_i sum_k a_k grad x_k + x_i (grad mu_i^ex - sum_j x_j grad mu_j^ex)      fractions that close to one
    d_i = a_i grad c_i + c_i grad mu_i^ex                                                       independent concentrations

so d_i = grad x_i in an ideal mixture, of particles of any size (in a LatticeGas alone). Exactly zero fractions are legal; nothing is clipped.
Strong drift into unresolved layers violates the bounds (measured on double layers): entropy coordinates do not.
"""

from __future__ import annotations

import numpy as np
import ufl

from ..mobility import MobilityOfForces, forces
from ..state import REST, Composition, Expr
from .base import Formulation
from .model import parts

ROUND_OFF = 1e-12


class Fractions(Formulation):
    """u = (c_1..c_n) and phi"""

    name = "fractions"
    description = "fractions, lumped P1"
    dissipates = False  # d is not a gradient of the discrete mu: near an equilibrium in a field F may rise by the error in space

    @property
    def mass_rows(self) -> slice:
        return slice(self.n)

    @property
    def concentration_rows(self) -> slice:
        return slice(self.n)

    def c(self, u: Expr) -> Composition:
        return self.model.composition(parts(u)[: self.n], **self.place_and_time)

    def mu(self, u: Expr) -> tuple[Expr, ...]:
        """df/dc_i with the poles that a vanishing fraction gives it."""
        c = self.c(u)
        variables = [ufl.variable(ci) for ci in c]
        f = sum(term.density(c.with_values(variables), self.phi(u)) for term in self.energy.terms)
        return tuple(ufl.diff(f, variable) for variable in variables)

    def forces(self, u: Expr, c: Composition) -> list[Expr]:
        """d_i, free of poles."""
        a, closed, x = self.energy.entropy(c), self.model.closed, c.closed
        uniform = all(isinstance(a_k, float) and a_k == 1.0 for a_k in a.values()) and len(a) == len(x) - (not closed)
        d = [a.get(name, 0.0) * ufl.grad(ci) if not uniform else ufl.grad(ci) for name, ci in zip(c.names, c, strict=True)]
        if closed and not uniform:
            drift = sum(a_k * ufl.grad(x[name]) for name, a_k in a.items())
            d = [d_i - ci * drift for d_i, ci in zip(d, c, strict=True)]
        excess = self.energy.excess_potential(c, self.phi(u))
        if excess is not None:
            smooth = forces(c, [ufl.grad(mu) for mu in excess], closed)
            d = [d_i + smooth_i for d_i, smooth_i in zip(d, smooth, strict=True)]
        return d

    def fluxes(self, u: Expr, c: Composition) -> list[Expr]:
        assert isinstance(self.mobility, MobilityOfForces)
        return self.mobility.fluxes(c, self.forces(u, c), self.model.closed)

    def dissipation_density(self) -> Expr:
        """-sum_i J_i . grad mu_i, in which a fraction below round-off of its neighbours' is no fraction: grad ln x of noise is not small."""
        c = self.c(self.u)
        a, x = self.energy.entropy(c), c.closed
        size = dict(zip(c.names, c.sizes, strict=True)) if c.sizes else {}
        slope = {name: a_k * ufl.grad(x[name]) / ufl.max_value(x[name], ROUND_OFF) for name, a_k in a.items()}
        rest = slope.get(c.balance or REST)
        excess = self.energy.excess_potential(c, self.phi(self.u))
        total = 0
        for i, (name, J) in enumerate(zip(c.names, self.fluxes(self.u, c), strict=True)):
            parts_of_gradient = [slope[name]] if name in slope else []
            parts_of_gradient += [-size.get(name, 1.0) * rest] if rest is not None else []
            parts_of_gradient += [ufl.grad(excess[i])] if excess is not None else []
            total -= sum(ufl.inner(J, gradient) for gradient in parts_of_gradient)
        return total

    def free_energy(self) -> Expr:
        # what is below zero has no logarithm; the rest is 1 - sum, whose round-off must not fall below zero either
        c = self.c(self.u)
        phi = self.phi(self.u)
        if not self.model.positive:
            return self.energy.value(c, phi)
        clipped = [ufl.max_value(ci, 0.0) for ci in c]
        if self.model.closed:
            full = (1 - c.with_values(clipped).rest) * (1 + 4 * self.n * float(np.finfo(float).eps))
            clipped = [ci / ufl.max_value(full, 1.0) for ci in clipped]
        return self.energy.value(c.with_values(clipped), phi)

    def all_concentrations(self) -> np.ndarray:
        values: np.ndarray = self.u.x.array.reshape(-1, self.block)[:, : self.n]
        return values

    def set_concentrations(self, c: np.ndarray) -> None:
        self.fields[:, : self.n] = c
        self.changed()

    def all_potentials(self) -> np.ndarray:
        c = self.all_concentrations()
        if self.model.positive:
            c = np.maximum(c, np.finfo(float).tiny)
        if self.model.closed:
            c = c / np.maximum((1 - self.model.rest(c)[:, None]) * (1 + 4 * self.n * np.finfo(float).eps), 1.0)
        return self.potential_of(c.T, self.places, float(self.time.value), self.all_phi()).T
