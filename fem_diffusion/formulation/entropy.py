"""Unknowns w = mu, the entropy variables: for ideal mixtures in external fields, down to empty and up to saturated regions.

    (mass balance with c = c(w), v_i),     J_i = -sum_j L_ij(c(w)) grad w_j, L at the vertices

    w_i = ln x_i - ln x_0 + V_i,   x_i = exp(w_i - V_i)/(1 + sum_j exp(w_j - V_j))        fractions that close to one
    w_i = ln c_i + 1 + V_i,        c_i = exp(w_i - 1 - V_i)                               independent concentrations

with V the part of mu that is given by the place. Bounds are built in, and a state of uniform w has exactly no flux on any mesh: the Boltzmann
distribution is an equilibrium of the discrete equations. (Juengel, Nonlinearity 28 (2015) 1963.)

The mobility must be taken at the vertices: across a cell where w rises by a hundred, c(w) is invisible to interior quadrature points, and the
vertex is cut off while the residual vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl

from ..state import Composition, Expr
from .base import Formulation
from .model import VERTEX_RULE, parts

SHORTEST = 0.1  # of a concentration that one Newton update leaves


class Entropy(Formulation):
    """u = (w_1..w_n)"""

    name = "entropy"
    description = "entropy variables, lumped P1"

    @property
    def mass_rows(self) -> slice:
        return slice(None)

    @property
    def potential_rows(self) -> slice:
        return slice(None)

    def _flux_measure(self) -> Any:
        return ufl.Measure("dx", domain=self.geometry.mesh, metadata=VERTEX_RULE)

    def c(self, u: Expr) -> Composition:
        w = parts(u)
        V = self.energy.excess_potential(self.model.composition([ufl.as_ufl(0.0)] * self.n, **self.place_and_time))
        exponents = [w_i - V_i for w_i, V_i in zip(w, V, strict=True)] if V is not None else list(w)
        if not self.model.closed:
            return self.model.composition([ufl.exp(e - 1) for e in exponents], **self.place_and_time)
        total = 1 + sum(ufl.exp(e) for e in exponents)
        return self.model.composition([ufl.exp(e) / total for e in exponents], **self.place_and_time)

    def mu(self, u: Expr) -> tuple[Expr, ...]:
        return tuple(parts(u))

    def fluxes(self, u: Expr, c: Composition) -> list[Expr]:
        return self.mobility.flux(c, [ufl.grad(mu) for mu in self.mu(u)])

    # -- states as numbers ----------------------------------------------------------------------------------------------------

    def all_concentrations(self) -> np.ndarray:
        return self._all_components()[:, : self.n]

    @property
    def components(self) -> np.ndarray:
        return self._all_components()[: self.vertices]

    def _all_components(self) -> np.ndarray:
        """x_1..x_n and x_0 (or 1 - sum c where they do not close), (vertices + ghosts, n + 1)."""
        exponents = self.u.x.array.reshape(-1, self.n) - self._external(self.places).T
        return _components(exponents, self.model.closed)

    def _external(self, x: np.ndarray) -> np.ndarray:
        t = float(self.time.value)
        return self.external_potential(x, t, self.model.ratio_at(x, t))

    def set_concentrations(self, c: np.ndarray) -> None:
        """Raises nothing: a fraction that is not positive becomes the smallest number that has a logarithm."""
        tiny = np.finfo(float).tiny
        exponents = np.log(np.maximum(c, tiny))
        exponents += 1.0 if not self.model.closed else -np.log(np.maximum(1 - c.sum(axis=1, keepdims=True), tiny))
        self.fields[:] = exponents + self._external(self.x).T
        self.u.x.scatter_forward()

    def all_potentials(self) -> np.ndarray:
        values: np.ndarray = self.u.x.array.reshape(-1, self.n)
        return values

    def potential_of(self, c: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ideal = np.log(c) - np.log(1 - c.sum(axis=0)) if self.model.closed else np.log(c) + 1
        return ideal + self.external_potential(x, t, self.model.ratio_at(x, t))

    def limit(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Follow Newton's update in concentrations, x_k -> x_k (1 + r_k), by at most nine tenths of the way to empty, component by component.

        r_i = dw_i - sum_j x_j dw_j, r_0 = -sum_j x_j dw_j (closed), r_i = dw_i (open). The same to first order; but a linear step in w is an
        exponential one in x, and overflows from empty regions.
        """
        w, dw = x.reshape(-1, self.n), -y.reshape(-1, self.n)
        exponents = w - self._external(self.x).T
        if self.model.closed:
            mean = np.sum(_components(exponents, True)[:, : self.n] * dw, axis=1, keepdims=True)
            rates = np.column_stack([dw - mean, -mean])
        else:
            rates = dw
        with np.errstate(invalid="ignore"):
            steps = np.log1p(np.maximum(rates, SHORTEST - 1))
        y[:] = -(steps[:, : self.n] - steps[:, self.n :] if self.model.closed else steps).ravel()
        return bool((rates < SHORTEST - 1).any())

    def guess(self, values: np.ndarray, older: np.ndarray, factor: float) -> np.ndarray:
        """A trend in w is a power in c: it is followed by a factor e at most."""
        return values + np.clip(factor * (values - older), -1.0, 1.0)


def _components(exponents: np.ndarray, closed: bool) -> np.ndarray:
    if not closed:
        c = np.exp(exponents - 1)
        return np.column_stack([c, 1 - c.sum(axis=1)])
    padded = np.column_stack([exponents, np.zeros(len(exponents))])
    weights = np.exp(padded - padded.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
