"""Unknowns w = mu, the entropy variables: for ideal mixtures in external and electric fields, down to empty and up to saturated regions.

    (mass balance with c = c(w), v_i),     J_i = -sum_j L_ij(c(w)) grad w_j, L at the vertices

    w_i = ln c_i - v_i ln c_0 + z_i phi + V_i     with sum_i v_i c_i + c_0 = 1     fractions that close to one
    w_i = ln c_i + 1 + z_i phi + V_i,                                              independent concentrations

with V the part of mu that is given by the place, and v_i = 1 for particles of one size. Bounds are built in, and a state of uniform w has exactly
no flux on any mesh: the Boltzmann distribution is an equilibrium of the discrete equations. (Juengel, Nonlinearity 28 (2015) 1963.)

c(w) is found vertex by vertex: with s_i = w_i - z_i phi - V_i and l = ln c_0,

    c_i = exp(s_i + v_i l),     e^l + sum_i v_i e^(s_i + v_i l) = 1,     dl = -sum_i v_i c_i ds_i/(c_0 + sum_k v_k^2 c_k)

The residual sees l as numbers at the vertices and the Jacobian its derivative: no exponential overflows, and what is compiled stays short.

The mobility must be taken at the vertices: across a cell where w rises by a hundred, c(w) is invisible to interior quadrature points, and the
vertex is cut off while the residual vanishes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from ..pointwise import expanded
from ..state import Composition, Expr
from .base import Formulation
from .model import VERTEX_RULE, parts

SHORTEST = 0.1  # of a concentration that one Newton update leaves
TINY, ROUND_OFF = float(np.finfo(float).tiny), float(np.finfo(float).eps)


class Entropy(Formulation):
    """u = (w_1..w_n) and phi"""

    name = "entropy"
    description = "entropy variables, lumped P1"

    @property
    def mass_rows(self) -> slice:
        return slice(self.n)

    @property
    def potential_rows(self) -> slice:
        return slice(self.n)

    def _flux_rule(self) -> dict[str, Any]:
        return VERTEX_RULE

    def c(self, u: Expr) -> Composition:
        w = parts(u)[: self.n]
        V = self.energy.excess_potential(self.model.composition([ufl.as_ufl(0.0)] * self.n, **self.place_and_time), self.phi(u))
        s = [w_i - V_i for w_i, V_i in zip(w, V, strict=True)] if V is not None else list(w)
        if not self.model.closed:
            return self.model.composition([ufl.exp(s_i - 1) for s_i in s], **self.place_and_time)
        s = [
            s_i + (v_i - 1) if v_i != 1.0 else s_i for s_i, v_i in zip(s, self._sizes, strict=True)
        ]  # V has that constant of the lattice gas
        c = [ufl.exp(s_i + v_i * self._log_rest) for s_i, v_i in zip(s, self._sizes, strict=True)]
        return replace(self.model.composition(c, **self.place_and_time), closing=ufl.exp(self._log_rest))

    def mu(self, u: Expr) -> tuple[Expr, ...]:
        return tuple(parts(u)[: self.n])

    def fluxes(self, u: Expr, c: Composition) -> list[Expr]:
        return self.mobility.flux(c, [ufl.grad(mu) for mu in self.mu(u)])

    def jacobian(self, residual: Expr) -> Expr:
        trial = ufl.TrialFunction(self.space)
        if not self.model.closed:
            return ufl.derivative(residual, self.u, trial)
        c = self.c(self.u)
        rest = ufl.exp(self._log_rest)
        width = ufl.variable(rest + sum(v * v * c_i for v, c_i in zip(self._sizes, c, strict=True)))
        slopes = [-v * c_i / width for v, c_i in zip(self._sizes, c, strict=True)]
        if self.phi_row is not None:
            ratio = self.model.ratio(**self.place_and_time)
            slopes.append(-sum(z * slope for z, slope in zip(self._charges, slopes, strict=True)) / ratio)
        slope = expanded(ufl.as_vector(slopes) if self.block > 1 else slopes[0])
        return ufl.derivative(residual, self.u, trial, {self._log_rest: slope})

    @cached_property
    def _log_rest(self) -> fem.Function:
        """ln c_0 at the vertices, which u and the time determine."""
        return fem.Function(self.scalar_space)

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array(self.model.sizes or (1.0,) * self.n)

    @cached_property
    def _charges(self) -> np.ndarray:
        return np.array(self.model.charges or (0.0,) * self.n)

    # -- states as numbers ----------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        super().changed()
        self._follow()

    def at_time(self, t: float) -> None:
        super().at_time(t)
        self._follow()

    def _follow(self) -> None:
        if self.model.closed:
            s = self._reduced(self.u.x.array.reshape(-1, self.block), self.places)
            self._log_rest.x.array[:] = log_rest(s, self._sizes)

    def _reduced(self, u: np.ndarray, x: np.ndarray) -> np.ndarray:
        """s_i = w_i - z_i phi - V_i of unknowns (m, block) at places (3, m)."""
        phi = 0.0 if self.phi_row is None else u[:, self.phi_row]
        reduced: np.ndarray = u[:, : self.n] - self.external_potential(x, float(self.time.value), phi).T
        return reduced

    def all_concentrations(self) -> np.ndarray:
        return self._all_components()[:, : self.n]

    @property
    def components(self) -> np.ndarray:
        return self._all_components()[: self.vertices]

    def _all_components(self) -> np.ndarray:
        """c_1..c_n and c_0 (or 1 - sum c where they do not close), (vertices + ghosts, n + 1)."""
        s = self._reduced(self.u.x.array.reshape(-1, self.block), self.places)
        s[~self.has_matter] = -np.inf
        if not self.model.closed:
            c = np.exp(s - 1)
            return np.column_stack([c, self.model.rest(c)])
        return np.exp(_logarithms(s, self._sizes))

    def set_concentrations(self, c: np.ndarray) -> None:
        """Raises nothing: a fraction that is not positive becomes the smallest number that has a logarithm, and no rest what round-off leaves."""
        s = np.log(np.maximum(c, TINY))
        s += 1.0 if not self.model.closed else -self._sizes * np.log(np.maximum(self.model.rest(c)[:, None], ROUND_OFF))
        phi = 0.0 if self.phi_row is None else self.fields[:, self.phi_row]
        self.fields[:, : self.n] = s + self.external_potential(self.x, float(self.time.value), phi).T
        self.changed()

    def set_phi(self, phi: np.ndarray) -> None:
        s = self._reduced(self.fields, self.x)
        self.fields[:, self.phi_row] = phi
        self.fields[:, : self.n] = s + self.external_potential(self.x, float(self.time.value), phi).T
        self.changed()

    def all_potentials(self) -> np.ndarray:
        values: np.ndarray = self.u.x.array.reshape(-1, self.block)[:, : self.n]
        return values

    def potential_of(self, c: np.ndarray, x: np.ndarray, t: float, phi: np.ndarray | float = 0.0) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ideal = np.log(c) - self._sizes[:, None] * np.log(self.model.rest(c.T)) if self.model.closed else np.log(c) + 1
        return ideal + self.external_potential(x, t, phi)

    def limit(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Follow Newton's update in concentrations, c_k -> c_k (1 + r_k), by at most nine tenths of the way to empty, component by component.

        r_i = ds_i + v_i r_0, r_0 = -sum_j v_j c_j ds_j/(c_0 + sum_k v_k^2 c_k) (closed), r_i = ds_i (open); phi takes its full update. The
        same to first order; but a linear step in w is an exponential one in c, and overflows from empty regions.
        """
        u, du = x.reshape(-1, self.block), -y.reshape(-1, self.block)
        ratio = self.model.ratio_at(self.x, float(self.time.value))[:, None]
        dphi = 0.0 if self.phi_row is None else du[:, self.phi_row :] * self._charges / ratio
        ds, v = du[:, : self.n] - dphi, self._sizes
        if self.model.closed:
            c = np.exp(_logarithms(self._reduced(u, self.x), v))
            rest = -(c[:, : self.n] @ np.diag(v) * ds).sum(axis=1) / (c[:, self.n] + c[:, : self.n] @ v**2)
            rates = np.column_stack([ds + v * rest[:, None], rest])
        else:
            rates = ds
        rates[~self.has_matter[: self.vertices]] = 0.0  # w is held there
        with np.errstate(invalid="ignore"):
            steps = np.log1p(np.maximum(rates, SHORTEST - 1))
        limited = steps[:, : self.n] - v * steps[:, self.n :] if self.model.closed else steps
        y.reshape(-1, self.block)[:, : self.n] = np.where(self.has_matter[: self.vertices, None], -(limited + dphi), -du[:, : self.n])
        return bool((rates < SHORTEST - 1).any())

    def guess(self, values: np.ndarray, extrapolated: np.ndarray) -> np.ndarray:
        """A trend in w is a power in c: it is followed by a factor e at most."""
        return values + np.clip(extrapolated - values, -1.0, 1.0)


def log_rest(s: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """l = ln c_0 with e^l + sum_i v_i e^(s_i + v_i l) = 1, from s (m, n) to round-off of the largest term: (m,).

    g(l) = ln of the left side increases and is convex, so that Newton's method descends to the root from any point above it, such as that where
    the largest single term is one. In closed form where all v_i are one.
    """
    if np.all(sizes == 1.0):
        largest = np.maximum(s.max(axis=1, initial=-np.inf), 0.0)
        exact: np.ndarray = -(largest + np.log(np.exp(-largest) + np.exp(s - largest[:, None]).sum(axis=1)))
        return exact
    log_v = np.log(sizes)
    l = np.minimum(0.0, (-(s + log_v) / sizes).min(axis=1))
    with np.errstate(invalid="ignore", over="ignore"):
        for _ in range(100):
            terms = np.column_stack([s + log_v + sizes * l[:, None], l])
            largest = terms.max(axis=1)
            weights = np.exp(terms - largest[:, None])
            total = weights.sum(axis=1)
            g = largest + np.log(total)
            step = g * total / (weights @ np.append(sizes, 1.0))
            l = l - step
            if not (np.abs(step) > 1e-15 * np.maximum(1.0, np.abs(l))).any():
                break
    return l


def _logarithms(s: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """ln c_1..ln c_n and ln c_0, (m, n + 1)"""
    l = log_rest(s, sizes)
    return np.column_stack([s + sizes * l[:, None], l])
