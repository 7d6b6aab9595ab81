"""Maxwell-Stefan diffusion in every formulation: orders of convergence in space and in time, and how far the formulations are apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem
from independent import covariance, inverse_friction, regular_hessian
from scipy.integrate import solve_ivp

from fem_diffusion import Ideal, MaxwellStefan, Mesh, Problem, RegularSolution, Species, Term, Time
from fem_diffusion.expression import Expression
from fem_diffusion.formulation import Model
from fem_diffusion.integrator import Integrator
from fem_diffusion.operators import compile_form
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.system import System

Array = np.ndarray
NAMES = "ABCD"


@dataclass(frozen=True)
class Mixture:
    """Components A, B, .., the last of which closes the sum: D_kl and chi_kl by pair, no chi where it is ideal."""

    D: Mapping[str, float]
    chi: Mapping[str, float]

    @property
    def components(self) -> int:
        return max(NAMES.index(pair[-1]) for pair in self.D) + 1

    def problem(self, mesh: Mesh, initial: Sequence[str], time: Time, formulation: str) -> Problem:
        species = [Species(name=name, initial=text) for name, text in zip(NAMES, initial, strict=False)]
        return Problem(
            mesh=mesh,
            species=[*species, Species(name=NAMES[self.components - 1], balance=True)],
            free_energy=[self.energy],
            mobility=MaxwellStefan(diffusivities=dict(self.D)),
            time=time,
            formulation=formulation,
        )

    @property
    def energy(self) -> Term:
        return RegularSolution(chi=dict(self.chi)) if self.chi else Ideal()

    def matrix(self, table: Mapping[str, float], diagonal: float) -> Array:
        """A pair table as a symmetric matrix."""
        full = diagonal * np.eye(self.components)
        for pair, value in table.items():
            k, l = (NAMES.index(name) for name in pair.split("-"))
            full[k, l] = full[l, k] = value
        return full


TERNARY = {"A-B": 0.833, "A-C": 0.68, "B-C": 0.168}  # H2, N2, CO2 at 35 C, cm^2/s
QUATERNARY = {"A-B": 0.9, "A-C": 0.6, "A-D": 0.3, "B-C": 0.2, "B-D": 0.5, "C-D": 0.4}
MIXTURES = {  # all convex
    "ternary": Mixture(TERNARY, {}),
    "regular ternary": Mixture(TERNARY, {"A-B": -2.0, "A-C": 0.5, "B-C": 1.0}),
    "quaternary": Mixture(QUATERNARY, {}),
    "regular quaternary": Mixture(QUATERNARY, {"A-B": -1.0, "A-C": 0.5, "B-D": 0.8, "C-D": -0.6}),
}


# --- space


EXACT = {  # no flux on the unit interval and square
    ("interval", 3): ("0.3 + 0.1*cos(pi*x)*exp(-t)", "0.35 - 0.15*cos(2*pi*x)*exp(-2*t)"),
    ("rectangle", 3): ("0.3 + 0.1*cos(pi*x)*exp(-t)", "0.35 - 0.15*cos(pi*x)*cos(pi*y)*exp(-2*t)"),
    ("interval", 4): ("0.2 + 0.1*cos(pi*x)*exp(-t)", "0.25 - 0.1*cos(2*pi*x)*exp(-2*t)", "0.3 + 0.1*cos(pi*x)*cos(t)"),
    ("rectangle", 4): ("0.2 + 0.1*cos(pi*x)*exp(-t)", "0.25 - 0.1*cos(pi*x)*cos(pi*y)*exp(-2*t)", "0.3 + 0.1*cos(pi*y)*cos(t)"),
}


@dataclass(frozen=True)
class Manufactured:
    """Chosen x_i(x, t), the Maxwell-Stefan fluxes that belong to them, and the sources that make both a solution."""

    mixture: Mixture
    texts: tuple[str, ...]

    def x(self, place: Any, t: Any) -> Any:
        coordinates = {name: place[i] if i < len(place) else 0.0 for i, name in enumerate("xyz")}
        return ufl.as_vector([Expression(text).ufl(**coordinates, t=t) for text in self.texts])

    def fluxes(self, x_independent: Any) -> Any:
        """J = -B^-1 Gamma grad x (Taylor & Krishna 1993, eqs. 2.1.20, 2.1.21, 2.2.4), one row per independent component.

        Gamma_ij = x_i d ln(gamma_i x_i)/dx_j with the sum of all x held at one; ln gamma_i = sum_j chi_ij x_j - sum_{k<l} chi_kl x_k x_l
        """
        variables = [ufl.variable(x_i) for x_i in x_independent]
        x = [*variables, 1 - sum(variables)]
        n = len(x)
        D, chi = self.mixture.matrix(self.mixture.D, 1.0).tolist(), self.mixture.matrix(self.mixture.chi, 0.0).tolist()

        def B(i: int, j: int) -> Any:
            if i != j:
                return -x[i] * (1 / D[i][j] - 1 / D[i][n - 1])
            return x[i] / D[i][n - 1] + sum(x[k] / D[i][k] for k in range(n) if k != i)

        excess = sum(chi[k][l] * x[k] * x[l] for k in range(n) for l in range(k))
        activity = [ufl.ln(x[i]) + sum(chi[i][j] * x[j] for j in range(n)) - excess for i in range(n)]
        gamma = [[x[i] * ufl.diff(activity[i], x_j) for x_j in variables] for i in range(n - 1)]
        friction = [[B(i, j) for j in range(n - 1)] for i in range(n - 1)]
        return -ufl.inv(ufl.as_matrix(friction)) * ufl.as_matrix(gamma) * ufl.grad(x_independent)

    def source(self, i: int, place: Any, t: Any) -> Any:
        """dx_i/dt + div J_i"""
        now = ufl.variable(t)
        return ufl.diff(self.x(place, now)[i], now) + ufl.div(self.fluxes(self.x(place, t)))[i]


class DrivenSystem(System):
    """A system with sources in UFL."""

    def __init__(self, problem: Problem, source: Callable[[int, Any, Any], Any]) -> None:
        self._source = source
        super().__init__(problem)

    def _model(self) -> Model:
        return replace(super()._model(), source={name: partial(self._at, i) for i, name in enumerate(self.problem.names)})

    def _at(self, i: int, c: Any) -> Any:
        return self._source(i, c.x, c.t)


def spatial_error(mixture: Mixture, formulation: str, shape: str, cells: int) -> Array:
    """L2 errors of the independent fractions at t = 0.1, with BDF2 steps in proportion to h."""
    exact, end = Manufactured(mixture, EXACT[shape, mixture.components]), 0.1
    start = [re.sub(r"\bt\b", "0", text) for text in exact.texts]
    time = Time(end=end, step=end * 2 / cells, scheme="bdf2")
    problem = mixture.problem(Mesh(shape=shape, size=1.0, cells=cells), start, time, formulation)
    system = DrivenSystem(problem, exact.source)
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.time, integrator.rejections.total) == (end, 0)
    x = exact.x(ufl.SpatialCoordinate(system.geometry.mesh), end)
    dx = ufl.dx(domain=system.geometry.mesh, metadata={"quadrature_degree": 6})
    errors = [(c_i - x_i) ** 2 * dx for c_i, x_i in zip(system.formulation.c(system.u), x, strict=True)]
    return np.sqrt([global_sum(system.comm, fem.assemble_scalar(compile_form(error))) for error in errors])


def orders(errors: Array) -> Array:
    """log2 of the ratio of successive errors, of rows for doubled resolution."""
    return np.log2(errors[:-1] / errors[1:])


@pytest.mark.parametrize(("shape", "levels"), [("interval", (16, 32, 64)), ("rectangle", (16, 32))])
@pytest.mark.parametrize(
    ("mixture", "formulation"),
    [
        ("ternary", "fractions"),
        ("ternary", "entropy"),
        ("ternary", "potential"),
        ("regular ternary", "fractions"),
        ("regular ternary", "potential"),
        ("quaternary", "fractions"),
        ("regular quaternary", "fractions"),
    ],
)
def test_second_order_in_space(mixture: str, formulation: str, shape: str, levels: tuple[int, ...]) -> None:
    errors = np.array([spatial_error(MIXTURES[mixture], formulation, shape, cells) for cells in levels])
    assert orders(errors).min() >= 1.95


# --- time


CELLS, END = 24, 0.1
INITIAL = ("0.3 + 0.2*cos(pi*x)", "0.35 - 0.15*cos(2*pi*x)")
GAUSS = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class DiscreteInSpace:
    """The semidiscrete ternary on the unit interval: lumped linear elements whose cell fluxes depend on the formulation.

    fractions: J = -<B^-1 Gamma> grad x, mean over three Gauss points
    potential: J = -<B^-1 (diag x - x x^T)> grad mu, likewise
    entropy:   the same with the mean over the two vertices
    """

    mixture: Mixture
    formulation: str

    @property
    def x(self) -> Array:
        return np.linspace(0, 1, CELLS + 1)

    def solve(self) -> Array:
        """(2, vertices) at the end, to ten digits."""
        start = np.array([np.broadcast_to(Expression(text).numpy(x=self.x), self.x.shape) for text in INITIAL])
        solution = solve_ivp(lambda _, y: self.rate(y.reshape(2, -1)).ravel(), (0.0, END), start.ravel(), "Radau", rtol=1e-11, atol=1e-13)
        assert solution.success
        return solution.y[:, -1].reshape(2, -1)

    def rate(self, x: Array) -> Array:
        volume = np.full(CELLS + 1, 1 / CELLS)
        volume[[0, -1]] /= 2
        return -np.diff(np.pad(self.cell_fluxes(x), ((0, 0), (1, 1)))) / volume

    def cell_fluxes(self, x: Array) -> Array:
        points, weights = (
            (np.array([0.0, 1.0]), np.array([0.5, 0.5])) if self.formulation == "entropy" else ((GAUSS[0] + 1) / 2, GAUSS[1] / 2)
        )
        force = np.diff(x if self.formulation == "fractions" else self.mu(x)) * CELLS
        return -sum(
            w * np.einsum("ijm,jm->im", self.response((1 - s) * x[:, :-1] + s * x[:, 1:]), force)
            for s, w in zip(points, weights, strict=True)
        )

    def response(self, x: Array) -> Array:
        """L, or in the fractions L times the Hessian of the free energy, which is B^-1 Gamma; (2, 2, m)"""
        L = self.contract(inverse_friction(np.vstack([x, 1 - x.sum(axis=0)]), self.mixture.matrix(self.mixture.D, 1.0)), covariance(x))
        return self.contract(L, regular_hessian(x, self.chi)) if self.formulation == "fractions" else L

    def mu(self, x: Array) -> Array:
        (c12, c13, c23), x_3 = self.chi, 1 - x[0] - x[1]
        return np.log(x / x_3) + np.array([c12 * x[1] + c13 * (x_3 - x[0]) - c23 * x[1], c12 * x[0] + c23 * (x_3 - x[1]) - c13 * x[0]])

    @property
    def chi(self) -> tuple[float, float, float]:
        return tuple(self.mixture.chi.get(pair, 0.0) for pair in ("A-B", "A-C", "B-C"))

    @staticmethod
    def contract(a: Array, b: Array) -> Array:
        return np.einsum("ijm,jkm->ikm", a, b)


@cache
def exact_in_time(mixture: str, formulation: str) -> Array:
    return DiscreteInSpace(MIXTURES[mixture], formulation).solve()


def temporal_error(mixture: str, formulation: str, scheme: str, steps: int) -> float:
    """Largest error of a fraction at the end of so many equal steps, on the same mesh."""
    time = Time(end=END, step=END / steps, scheme=scheme)
    system = System(MIXTURES[mixture].problem(Mesh(shape="interval", size=1.0, cells=CELLS), INITIAL, time, formulation))
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.number, last.time, integrator.rejections.total) == (steps, END, 0)
    mine = np.rint(system.formulation.x[0] * CELLS).astype(int)
    return global_max(system.comm, np.abs(system.concentrations - exact_in_time(mixture, formulation)[:, mine].T))


@pytest.mark.parametrize(
    ("mixture", "formulation"),
    [
        ("ternary", "fractions"),
        ("ternary", "entropy"),
        ("ternary", "potential"),
        ("regular ternary", "fractions"),
        ("regular ternary", "potential"),
    ],
)
@pytest.mark.parametrize(("scheme", "order"), [("backward-euler", 0.95), ("bdf2", 1.9)])
def test_order_in_time(mixture: str, formulation: str, scheme: str, order: float) -> None:
    errors = np.array([temporal_error(mixture, formulation, scheme, steps) for steps in (64, 128)])
    assert orders(errors).min() >= order


# --- between formulations


def final_state(mixture: str, formulation: str, cells: int) -> System:
    """After ten steps, the same for all formulations."""
    time = Time(end=END, step=END / 10, scheme="bdf2")
    system = System(MIXTURES[mixture].problem(Mesh(shape="interval", size=1.0, cells=cells), INITIAL, time, formulation))
    *_, last = Integrator(system).steps()
    assert last.number == 10
    return system


@pytest.mark.parametrize(
    ("mixture", "one", "other"),
    [
        ("ternary", "fractions", "entropy"),
        ("ternary", "fractions", "potential"),
        ("ternary", "potential", "entropy"),
        ("regular ternary", "fractions", "potential"),
    ],
)
def test_formulations_approach_each_other(mixture: str, one: str, other: str) -> None:
    """They differ by how a flux is averaged over a cell: by O(h^2)."""

    def difference(cells: int) -> float:
        a, b = (final_state(mixture, formulation, cells) for formulation in (one, other))
        return global_max(a.comm, np.abs(a.concentrations - b.concentrations))

    differences = np.array([difference(cells) for cells in (16, 32, 64)])
    assert orders(differences).min() >= 1.9
