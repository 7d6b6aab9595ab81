"""Unknowns (c, mu): for every free energy, also with gradients, and for every time scheme.

    (mass balance, v_i),     J_i = -sum_j L_ij(c) grad mu_j
    <F'(c), q> - (mu_i, q_i)_h = 0

Mass is exact to round-off, because c is an unknown. (Measured against entropy variables, logarithms and unlumped forms: those lose the energy
law with a gradient term, or bounds in unresolved layers.)

The potential equation stands in the rows of c and the mass balance in the rows of mu: fixing mu at a reservoir then frees the mass balance there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ufl

from ..state import Composition, Expr
from .base import Formulation


class ConcentrationPotential(Formulation):
    """u = (c_1..c_n, mu_1..mu_n) and phi"""

    name = "potential"
    description = "(c, mu), lumped P1"
    fields_per_species = 2
    is_consistent = False

    @property
    def mass_rows(self) -> slice:
        return slice(self.n, 2 * self.n)

    @property
    def concentration_rows(self) -> slice:
        return slice(self.n)

    @property
    def potential_rows(self) -> slice:
        return slice(self.n, 2 * self.n)

    def c(self, u: Expr) -> Composition:
        return self.model.composition(ufl.split(u)[: self.n], **self.place_and_time)

    def mu(self, u: Expr) -> tuple[Expr, ...]:
        return tuple(ufl.split(u)[self.n : 2 * self.n])

    def fluxes(self, u: Expr, c: Composition) -> list[Expr]:
        """J_i = -sum_j L_ij(c) grad mu_j(u)"""
        return self.mobility.flux(c, [ufl.grad(mu) for mu in self.mu(u)])

    def flux_composition(self) -> Composition:
        state = self.scheme.mobility_state(self.u, self.u_old)
        return self.model.composition([state[i] for i in range(self.n)], **self.place_and_time)

    def residual(self, imposed: Sequence[tuple[int, Expr, Any]] = ()) -> Expr:
        q = ufl.split(ufl.TestFunction(self.space))[: self.n]
        F = super().residual(imposed) + self.scheme.variation(self.energy, self.u, self.u_old)
        for mu_i, q_i in zip(self.mu(self.u), q, strict=True):
            F -= mu_i * q_i * self.lumped
        return F

    def second_variation(self) -> Expr:
        """The symmetric matrix [[H, -M], [-M, -(dt/a_0) K_L]] of the step seen as a minimisation, mobility frozen.

        It has as many negative eigenvalues as mu has unknowns if and only if c minimises F + (distance moved)^2/2dt locally.
        """
        trial, test = ufl.split(ufl.TrialFunction(self.space)), ufl.split(ufl.TestFunction(self.space))
        dm, dx = self.lumped, self.dx
        form = ufl.derivative(self.scheme.variation(self.energy, self.u, self.u_old), self.u, ufl.TrialFunction(self.space))
        n = self.n
        J = self.mobility.flux(self.flux_composition(), [ufl.grad(mu) for mu in trial[n : 2 * n]])
        for i in range(n):
            form -= (trial[n + i] * test[i] + trial[i] * test[n + i]) * dm
            form += self.dt / self.a0 * ufl.inner(J[i], ufl.grad(test[n + i])) * dx
        return form

    def all_concentrations(self) -> np.ndarray:
        values: np.ndarray = self.u.x.array.reshape(-1, self.block)[:, : self.n]
        return values

    @property
    def old_concentrations(self) -> np.ndarray:
        """c of u_old at the owned vertices, (vertices, n)."""
        values: np.ndarray = self.u_old.x.array.reshape(-1, self.block)[: self.vertices, : self.n]
        return values

    def set_concentrations(self, c: np.ndarray) -> None:
        self.fields[:, : self.n] = c
        self.changed()

    def all_potentials(self) -> np.ndarray:
        values: np.ndarray = self.u.x.array.reshape(-1, self.block)[:, self.n : 2 * self.n]
        return values
