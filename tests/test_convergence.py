"""Orders of convergence: in space by a manufactured solution, in time against the solution without error in time on the same mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import ufl
from discrete_in_space import DiscreteInSpace
from dolfinx import fem

from fem_diffusion import Constant, Degenerate, DoubleWell, Gradient, Mesh, Mobility, Problem, RegularSolution, Species, Term, Time
from fem_diffusion.expression import Expression
from fem_diffusion.formulation import Model
from fem_diffusion.integrator import Integrator
from fem_diffusion.operators import compile_form
from fem_diffusion.parallel import global_sum
from fem_diffusion.system import System

KAPPA = 0.05

# The same free energies and mobilities, written independently of the package.
DENSITY: dict[type[Term], Callable[[Any], Any]] = {
    DoubleWell: lambda c: 2 * c**2 * (1 - c) ** 2,
    RegularSolution: lambda c: c * ufl.ln(c) + (1 - c) * ufl.ln(1 - c) + 3 * c * (1 - c),
}
MOBILITY: dict[type[Mobility], Callable[[Any], Any]] = {Constant: lambda c: 1.5, Degenerate: lambda c: 1.5 * c * (1 - c)}
QUARTIC = (DoubleWell(rho=2.0), Constant(value=1.5))
LOGARITHM = (RegularSolution(chi=3.0), Degenerate(diffusivity=1.5))


# --- space


EXACT = {  # no flux and no normal gradient on the unit interval, square and cube
    "interval": "0.5 + 0.2*cos(2*pi*x)*exp(-t)",
    "rectangle": "0.5 + 0.2*cos(pi*x)*cos(2*pi*y)*exp(-t)",
    "box": "0.5 + 0.2*cos(pi*x)*cos(pi*y)*cos(pi*z)*exp(-t)",
}


class Manufactured:
    """A chosen c(x, t), the mu that belongs to it, and the source that makes both a solution."""

    def __init__(self, text: str, energy: Term, mobility: Mobility) -> None:
        self._c, self._f, self._M = Expression(text), DENSITY[type(energy)], MOBILITY[type(mobility)]

    def c(self, x: Any, t: Any) -> Any:
        return self._c.ufl(**{name: x[i] if i < len(x) else 0.0 for i, name in enumerate("xyz")}, t=t)

    def mu(self, x: Any, t: Any) -> Any:
        c = ufl.variable(self.c(x, t))
        return ufl.diff(self._f(c), c) - KAPPA * ufl.div(ufl.grad(self.c(x, t)))

    def source(self, composition: Any, x: Any, t: Any) -> Any:
        """dc/dt - div(M grad mu)"""
        now = ufl.variable(t)
        return ufl.diff(self.c(x, now), now) - ufl.div(self._M(self.c(x, t)) * ufl.grad(self.mu(x, t)))


class DrivenSystem(System):
    """A system with a source in UFL."""

    def __init__(self, problem: Problem, source: Callable[[Any, Any, Any], Any]) -> None:
        self._driven_by = source
        super().__init__(problem)

    def _model(self) -> Model:
        return replace(super()._model(), source={"A": lambda c: self._driven_by(c, c.x, c.t)})


def spatial_errors(model: tuple[Term, Mobility], shape: str, cells: int, cell_type: str) -> tuple[float, float]:
    """L2 errors of c and mu at t = 0.1, with steps of second order in proportion to h."""
    energy, mobility = model
    exact = Manufactured(EXACT[shape], energy, mobility)
    end = 0.1
    problem = Problem(
        mesh=Mesh(shape=shape, size=1.0, cells=cells, cell_type=cell_type),
        species=[Species(name="A", initial=at_start(shape))],
        free_energy=[energy, Gradient(kappa=KAPPA)],
        mobility=mobility,
        time=Time(end=end, step=end * 2 / cells, scheme="bdf2"),
    )
    system = DrivenSystem(problem, exact.source)
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.time, integrator.rejections.total) == (end, 0)
    x = ufl.SpatialCoordinate(system.geometry.mesh)
    c, mu = ufl.split(system.u)
    dx = ufl.dx(metadata={"quadrature_degree": 6})

    def norm(error: Any) -> float:
        return float(np.sqrt(global_sum(system.comm, fem.assemble_scalar(compile_form(error**2 * dx)))))

    return norm(c - exact.c(x, end)), norm(mu - exact.mu(x, end))


def at_start(shape: str) -> str:
    return EXACT[shape].removesuffix("*exp(-t)")


def orders(errors: np.ndarray) -> np.ndarray:
    """log2 of the ratio of successive errors, of rows for doubled resolution."""
    return np.log2(errors[:-1] / errors[1:])


@pytest.mark.parametrize(
    ("shape", "cell_type", "levels"),
    [
        pytest.param("interval", "simplex", (16, 32, 64), marks=pytest.mark.short),
        ("rectangle", "simplex", (16, 32, 64)),
        ("rectangle", "tensor", (16, 32)),
        ("box", "simplex", (8, 16)),
    ],
)
@pytest.mark.parametrize("model", [QUARTIC, LOGARITHM], ids=["quartic", "logarithm"])
def test_second_order_in_space(model: tuple[Term, Mobility], shape: str, cell_type: str, levels: tuple[int, ...]) -> None:
    errors = np.array([spatial_errors(model, shape, cells, cell_type) for cells in levels])
    assert orders(errors)[-1].min() >= 1.95


# --- time


CELLS, END = 32, 0.05
INITIAL = "0.5 + 0.05*cos(2*pi*x) - 0.1*cos(pi*x)"
DISCRETE = {
    "quartic": DiscreteInSpace(1.0, CELLS, lambda c: 4 * c * (1 - c) * (1 - 2 * c), lambda c: np.full_like(c, 1.5), KAPPA),
    "logarithm": DiscreteInSpace(1.0, CELLS, lambda c: np.log(c / (1 - c)) + 3 * (1 - 2 * c), lambda c: 1.5 * c * (1 - c), KAPPA),
}


@cache
def exact_in_time(name: str) -> np.ndarray:
    discrete = DISCRETE[name]
    return discrete.at(np.array([0.0, END]), Expression(INITIAL).numpy(x=discrete.x))[-1]


def temporal_errors(name: str, scheme: str, steps: int) -> tuple[float, float]:
    """Errors of c, and of the mu that belongs to it, at the end of some steps of equal length."""
    energy, mobility = {"quartic": QUARTIC, "logarithm": LOGARITHM}[name]
    problem = Problem(
        mesh=Mesh(shape="interval", size=1.0, cells=CELLS),
        species=[Species(name="A", initial=INITIAL)],
        free_energy=[energy, Gradient(kappa=KAPPA)],
        mobility=mobility,
        time=Time(end=END, step=END / steps, scheme=scheme),
    )
    system = System(problem)
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.number, last.time, integrator.rejections.total) == (steps, END, 0)
    system.relax_potential(END)  # with "avf" and "convex-split" the step's own mu is not that of its end
    c = exact_in_time(name)
    discrete = DISCRETE[name]
    return discrete.error(system, c), discrete.error(system, discrete.mu(c), component=1)


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize(
    ("scheme", "order"),
    [("backward-euler", 1), ("convex-split", 1), pytest.param("avf", 2, marks=pytest.mark.short), ("bdf2", 2)],
)
def test_order_in_time(name: str, scheme: str, order: int) -> None:
    errors = np.array([temporal_errors(name, scheme, steps) for steps in (80, 160)])
    assert orders(errors)[-1].min() >= order - 0.05
