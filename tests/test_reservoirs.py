"""Open systems: currents between reservoirs, downhill and uphill, and fluxes that balance the mass."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_bvp
from scipy.optimize import brentq

from fem_diffusion import (
    Boundary,
    Constant,
    Degenerate,
    DoubleWell,
    Gradient,
    Mesh,
    Mobility,
    Output,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
    run,
)
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.newton import NotConverged
from fem_diffusion.step import StepData
from fem_diffusion.system import System

# --- uphill: a separating mixture between reservoirs at -m+ and m+
#
# m_t = (sigma mu_x)_x, mu = f'(m) - kappa m_xx, f' = artanh(m)/beta - m on (0, 1). In the package's terms c = (1+m)/2,
# chi = 2 beta, kappa_c = 2 chi kappa, M = sigma/(2 chi), J_c = J/2. The antisymmetric state is unstable on the whole domain where the current
# runs uphill, and the only one on the half (1/2, 1) with m = 0, mu = 0 at its left end: c = 1/2 has mu = 0.
BETA = 1.5
CHI = 2 * BETA
KAPPA = 1e-3
BINODAL = 0.858559636640  # m = tanh(beta m)


def df(m: Any) -> Any:
    return np.arctanh(m) / BETA - m


def half_domain(m_plus: float, mobility: Mobility) -> tuple[System, Step]:
    """The steady state and the step that ended there."""
    c = (1 + m_plus) / 2
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=0.5, cells=200),
            species=[Species(name="A", initial=f"0.5 + {c - 0.5}*tanh(x/0.1)/tanh(5.0)")],
            free_energy=[RegularSolution(chi=CHI), Gradient(kappa=2 * CHI * KAPPA)],
            mobility=mobility,
            boundary={"left": Boundary(concentration={"A": 0.5}), "right": Boundary(concentration={"A": c})},
            time=Time(end=1e5, tolerance=1e-2, steady=True),
        )
    )
    integrator = Integrator(system)
    *_, step = integrator.steps()
    assert integrator.steady
    return system, step


@cache
def constant_mobility(m_plus: float) -> tuple[float, float]:
    """(J, largest m) for sigma = 1."""
    system, step = half_domain(m_plus, Constant(value=1 / (2 * CHI)))
    right, left = 2 * step.fluxes["A", "right"], 2 * step.fluxes["A", "left"]
    assert left == pytest.approx(-right, rel=1e-6, abs=1e-8)  # what enters leaves
    return right, float(2 * system.bounds()[1][0] - 1)


@pytest.mark.parametrize(
    ("m_plus", "current"),
    [
        pytest.param(0.95, -0.5423744308, marks=pytest.mark.serial),
        (0.90, -0.1629593194),
        pytest.param(0.84, 0.0517686431, marks=pytest.mark.serial),
        pytest.param(0.80, 0.1351836151, marks=pytest.mark.short),
        pytest.param(0.75, 0.2027265673, marks=pytest.mark.serial),
    ],
)
def test_current_between_reservoirs(m_plus: float, current: float) -> None:
    """J = -2 f'(m+) for sigma = 1, whatever kappa is: positive, from the poor to the rich reservoir, between spinodal and binodal.

    Exact in the discrete equations too, where mu is linear.
    """
    assert current == pytest.approx(-2 * df(m_plus), rel=1e-9)
    assert constant_mobility(m_plus)[0] == pytest.approx(current, rel=1e-6)


def test_current_changes_sign_at_the_binodal() -> None:
    assert constant_mobility(BINODAL + 0.002)[0] < 0 < constant_mobility(BINODAL - 0.002)[0]
    assert abs(constant_mobility(BINODAL)[0]) < 1e-8


def test_bump_beside_the_interface_overshoots_the_reservoir() -> None:
    """max m at m+ = 0.8 for kappa = 1e-3."""
    assert constant_mobility(0.80)[1] == pytest.approx(0.8367395, abs=1e-3)


def reference(m_plus: float) -> tuple[float, Any]:
    """J and m(x), x from the middle of the domain, of the steady state with sigma = beta (1 - m^2), as a boundary value problem."""

    def rhs(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
        m, slope, mu = y
        return np.vstack([slope, (df(m) - mu) / KAPPA, -p[0] / (BETA * (1 - m**2))])

    def ends(left: np.ndarray, right: np.ndarray, p: np.ndarray) -> np.ndarray:
        return np.array([left[0], left[2], right[0] - m_plus, right[2] - df(m_plus)])

    x = np.linspace(0, 0.5, 401)
    guess = np.vstack([m_plus * np.tanh(x / 0.07), m_plus / 0.07 / np.cosh(x / 0.07) ** 2, 2 * df(m_plus) * x])
    solution = solve_bvp(rhs, ends, x, guess, p=[-df(m_plus)], tol=1e-8, max_nodes=50000)
    assert solution.success
    return float(solution.p[0]), lambda place: solution.sol(place)[0]


@pytest.mark.parametrize("m_plus", [*(pytest.param(m, marks=pytest.mark.serial) for m in (0.95, 0.90, 0.84, 0.75)), 0.80])
def test_current_with_degenerate_mobility(m_plus: float) -> None:
    """sigma = beta (1 - m^2) is M = D c (1-c) with D = 1."""
    current, profile = reference(m_plus)
    assert np.sign(current) == np.sign(BINODAL - m_plus)
    system, step = half_domain(m_plus, Degenerate(diffusivity=1.0))
    assert 2 * step.fluxes["A", "right"] == pytest.approx(current, rel=1e-3)
    assert 2 * system.concentrations[:, 0] - 1 == pytest.approx(profile(system.formulation.x[0]), abs=2e-4)


@pytest.mark.serial
@pytest.mark.parametrize("chi", [0.0, 1.5, -2.0])
def test_current_of_a_mixture_without_gradient_energy(chi: float) -> None:
    """D c(1-c) f'' = D (1 - 2 chi c(1-c)) integrates to J L = D [c - chi (c^2 - 2/3 c^3)] between the reservoirs."""
    rich, poor, D, length = 0.9, 0.2, 3.0, 2.0
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=length, cells=100),
            species=[Species(name="A", initial=0.5)],
            free_energy=[RegularSolution(chi=chi)],
            mobility=Degenerate(diffusivity=D),
            boundary={"left": Boundary(concentration={"A": rich}), "right": Boundary(concentration={"A": poor})},
            time=Time(end=1e3, tolerance=1e-2, steady=True),
        )
    )
    *_, step = Integrator(system).steps()

    def integral(c: float) -> float:
        return c - chi * (c**2 - 2 / 3 * c**3)

    current = D * (integral(rich) - integral(poor)) / length
    assert step.fluxes["A", "right"] == pytest.approx(current, rel=1e-3)
    assert step.fluxes["A", "left"] == pytest.approx(-current, rel=1e-3)


# --- fluxes balance the mass

BOX = {"size": (1.0, 1.0), "cells": (12, 12)}


def imbalance(system: System) -> float:
    """The largest |mass(t + dt) - mass(t) + dt sum of outward fluxes| of a step, relative to the mass."""
    integrator = Integrator(system)
    mass, worst = system.masses()[0], 0.0
    for step in integrator.steps():
        before, mass = mass, system.masses()[0]
        worst = max(worst, abs(mass - before + step.dt * sum(step.fluxes.values())) / mass)
    return worst


def box(boundary: dict[str, Boundary], energy: Term, mobility: Mobility, **time: Any) -> System:
    return System(
        Problem(
            mesh=Mesh(shape="rectangle", **BOX),
            species=[Species(name="A", initial="0.4 + 0.05*cos(pi*x)*cos(pi*y)".replace("pi", repr(np.pi)))],
            free_energy=[energy, Gradient(kappa=0.1)],
            mobility=mobility,
            boundary=boundary,
            time=Time(**time),
        )
    )


SCHEMES = pytest.mark.parametrize("scheme", ["backward-euler", "avf", "bdf2", "convex-split"])
OPEN = {
    "left": Boundary(concentration={"A": "0.3 + 0.1*sin(20*t)"}),
    "bottom": Boundary(concentration={"A": "0.45 + 0.2*x"}),  # another value at the corner with the left side
    "right": Boundary(chemical_potential={"A": 0.1}),
    "top": Boundary(flux={"A": "0.2*(x - 0.7)"}),
}


@SCHEMES
@pytest.mark.parametrize(
    ("energy", "mobility"),
    [(RegularSolution(chi=2.5), Degenerate(diffusivity=1.0)), (DoubleWell(rho=4.0), Constant(value=0.3))],
    ids=["logarithm", "quartic"],
)
@pytest.mark.parametrize(
    "control", [pytest.param({"step": 0.01}, marks=pytest.mark.serial), {"tolerance": 1e-2}], ids=["fixed", "adaptive"]
)
def test_fluxes_balance_the_mass(scheme: str, energy: Term, mobility: Mobility, control: dict[str, float]) -> None:
    """In every step, with four conditions on four sides that share their corners."""
    assert imbalance(box(OPEN, energy, mobility, scheme=scheme, end=0.3, **control)) < 1e-13


@pytest.mark.short
def test_boundaries_share_a_corner_evenly() -> None:
    """Left and bottom are mirror images in the diagonal of the box and of its mesh."""
    conditions = {"left": OPEN["left"], "bottom": OPEN["left"], "top": Boundary(flux={"A": 0.1}), "right": Boundary(flux={"A": 0.1})}
    system = box(conditions, RegularSolution(chi=2.5), Degenerate(diffusivity=1.0), end=0.2, tolerance=1e-2)
    for step in Integrator(system).steps():
        assert step.fluxes["A", "left"] == pytest.approx(step.fluxes["A", "bottom"], rel=1e-8, abs=1e-10)
        assert step.fluxes["A", "top"] == pytest.approx(0.1, rel=1e-12)


def test_mass_in_history_follows_the_flux_columns(folder: Path) -> None:
    """The same in SI units: flux columns are integrated over the boundary, per second."""
    problem = Problem(
        temperature="1000 K",
        molar_volume="9e-6 m^3/mol",
        mesh=Mesh(shape="rectangle", size=["20 nm", "10 nm"], cells=[20, 10]),
        species=[Species(name="Ag", initial=0.3), Species(name="Cu", balance=True)],
        free_energy=[RegularSolution(interaction="10 kJ/mol"), Gradient(kappa="1e-9 J/m")],
        mobility=Degenerate(diffusivity="1e-17 m^2/s"),
        boundary={"left": Boundary(concentration={"Ag": 0.6}), "top": Boundary(flux={"Ag": "-1e-10 m/s"})},
        time=Time(end="5 s"),
        output=Output(times=1),
    )
    run(problem, folder / "out")
    history = np.genfromtxt(folder / "out" / "history.csv", delimiter=",", names=True)
    gained = np.diff(history["mass_Ag"])
    through = history["flux_Ag_left"] + history["flux_Ag_top"]
    assert gained == pytest.approx(-history["dt"][1:] * through[1:], abs=1e-13 * history["mass_Ag"][0])
    assert history["flux_Ag_top"][1:] == pytest.approx(-1e-10 * 20e-9, rel=1e-12)
    assert history["flux_Cu_left"] == pytest.approx(-history["flux_Ag_left"], rel=1e-12)
    assert history["mass_Ag"] + history["mass_Cu"] == pytest.approx(20e-9 * 10e-9, rel=1e-12)


# --- imposed fluxes, chemical potentials, values that change in time


@pytest.mark.serial
@SCHEMES
def test_imposed_flux_fills_the_box_at_its_rate(scheme: str) -> None:
    """Outward -0.6 y^2 over the right side, a third of it in all, whatever happens inside."""
    conditions = {"right": Boundary(flux={"A": "-0.6*y**2"})}
    system = box(conditions, RegularSolution(chi=2.5), Degenerate(diffusivity=1.0), scheme=scheme, end=0.5)
    integrator = Integrator(system)
    start = system.masses()[0]
    for step in integrator.steps():
        assert step.fluxes == {("A", "right"): pytest.approx(-0.2, rel=1e-12)}
        assert system.masses()[0] == pytest.approx(start + 0.2 * step.time, rel=1e-13)


def test_imposed_flux_that_grows_in_time() -> None:
    """Taken in the middle of each step by the averaged vector field, exact for a flux linear in t."""
    conditions = {"top": Boundary(flux={"A": "-0.8*t"})}
    system = box(conditions, DoubleWell(rho=4.0), Constant(value=0.3), scheme="avf", tolerance=1e-2, end=0.5)
    integrator = Integrator(system)
    start = system.masses()[0]
    for step in integrator.steps():
        assert system.masses()[0] == pytest.approx(start + 0.4 * step.time**2, rel=1e-12)


@pytest.mark.parametrize("mu", [*(pytest.param(mu, marks=pytest.mark.serial) for mu in (-1.0, 0.0)), 0.4])
@pytest.mark.parametrize(
    ("energy", "derivative"),
    [
        (RegularSolution(chi=1.2), lambda c: np.log(c / (1 - c)) + 1.2 * (1 - 2 * c)),
        (DoubleWell(rho=2.0, a=0.0, b=0.2), lambda c: 4 * c * (0.2 - c) * (0.2 - 2 * c)),
    ],
    ids=["logarithm", "quartic"],
)
def test_chemical_potential_alone_sets_the_composition(mu: float, energy: Term, derivative: Any) -> None:
    """The steady state is uniform, df/dc = mu; the quartic is entered beyond its upper phase."""
    start = 0.5
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=40),
            species=[Species(name="A", initial=start)],
            free_energy=[energy, Gradient(kappa=0.02)],
            mobility=Constant(value=1.0),
            boundary={"right": Boundary(chemical_potential={"A": mu})},
            time=Time(end=1e4, tolerance=1e-2, steady=True),
        )
    )
    integrator = Integrator(system)
    for _ in integrator.steps():
        pass
    assert integrator.steady
    low, high = (1e-9, 1 - 1e-9) if isinstance(energy, RegularSolution) else (0.2 if mu >= 0 else -1.0, 1.0 if mu >= 0 else 0.0)
    expected = brentq(lambda c: derivative(c) - mu, low, high, xtol=1e-14)
    assert system.concentrations[:, 0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.serial
def test_reservoir_that_swings_in_time() -> None:
    """chi = 0 with M = D c (1-c) is Fick's law, c_t = D c_xx, with c = 1/2 + a Im(exp(i w t) cosh(q(L-x))/cosh(q L)), q^2 = i w/D, once it has
    swung in: the first transient decays as exp(-D pi^2 t/(4 L^2)), to 2e-3 by t = 2.5."""
    D, a, w = 1.0, 0.1, 2 * np.pi
    q = np.sqrt(1j * w / D)
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=50),
            species=[Species(name="A", initial=0.5)],
            free_energy=[RegularSolution(chi=0.0)],
            mobility=Degenerate(diffusivity=D),
            boundary={"left": Boundary(concentration={"A": f"0.5 + {a}*sin({w}*t)"})},
            time=Time(end=3.5, step=1 / 64, scheme="bdf2"),
        )
    )
    x = system.formulation.x[0]
    amplitude = D * a * abs(q * np.tanh(q))
    for step in Integrator(system).steps():
        at_wall = system.concentrations[x < 1e-9, 0]
        assert at_wall == pytest.approx(0.5 + a * np.sin(w * step.time), abs=1e-12)
        if step.time > 2.5:
            exact = 0.5 + a * np.imag(np.exp(1j * w * step.time) * np.cosh(q * (1 - x)) / np.cosh(q))
            assert system.concentrations[:, 0] == pytest.approx(exact, abs=0.01 * a)
            middle = step.time - step.dt / 2
            outward = -D * a * np.imag(np.exp(1j * w * middle) * q * np.tanh(q))  # D c_x at the wall
            assert step.fluxes["A", "left"] == pytest.approx(outward, abs=0.01 * amplitude)


SWITCHED = [
    ({"concentration": {"A": "where(t < 0.1, 0.3, 0.6)"}}, 0.6),
    # ln(c/(1-c)) = mu for chi = 0
    ({"chemical_potential": {"A": "where(t < 0.1, -1.0, 1.0)"}}, 1 / (1 + np.exp(-1.0))),
]


@pytest.mark.parametrize("scheme", [pytest.param("backward-euler", marks=pytest.mark.serial), "bdf2"])
@pytest.mark.parametrize(("condition", "final"), SWITCHED, ids=["concentration", "chemical potential"])
def test_reservoir_that_is_switched(scheme: str, condition: dict[str, Any], final: float) -> None:
    """Error control passes the jump, which no shorter step makes smaller, and mass is balanced through it."""
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=40),
            species=[Species(name="A", initial=0.3)],
            free_energy=[RegularSolution(chi=0.0), Gradient(kappa=0.02)],
            mobility=Constant(value=1.0),
            boundary={"right": Boundary(**condition)},
            time=Time(end=10.0, tolerance=1e-2, scheme=scheme),
        )
    )
    assert imbalance(system) < 1e-13
    assert system.concentrations[:, 0] == pytest.approx(final, abs=1e-4)


def test_failed_step_is_not_blamed_on_a_reservoir(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reservoir supplies is no defect; the vertex that is out of balance is."""
    system, step = half_domain(0.8, Constant(value=1 / (2 * CHI)))
    steady, steady_c = system.values(), system.concentrations.copy()

    def spoil(values: np.ndarray, strict: bool) -> None:
        system.fields[np.isclose(system.formulation.x[0], 0.25), 0] += 1e-3
        system.u.x.scatter_forward()
        raise NotConverged("spoilt")

    monkeypatch.setattr(system.newton, "solve", spoil)
    with pytest.raises(NotConverged, match=r"at \(0\.25\)"):
        system.solve_step(StepData(step.time, step.dt, (1.0, -1.0, 0.0), [steady_c, steady_c], steady, steady))
