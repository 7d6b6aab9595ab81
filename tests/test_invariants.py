"""What every step must keep, however long it is: mass, the decay of energy, bounds, the branch that leads on, numbers that are numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ufl

from fem_diffusion import (
    Composition,
    Constant,
    Degenerate,
    DoubleWell,
    Gradient,
    InputError,
    Mesh,
    Mobility,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
)
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.step import StepData
from fem_diffusion.system import System

# (free energy, mobility, kappa, f''(1/2), M(1/2))
QUARTIC = (DoubleWell(rho=1.0), Constant(value=1.0), 1.0, -1.0, 1.0)
LOGARITHM = (RegularSolution(chi=3.0), Degenerate(diffusivity=1.0), 1.0, -2.0, 0.25)
MODELS = pytest.mark.parametrize("model", [QUARTIC, LOGARITHM], ids=["quartic", "logarithm"])
DISSIPATIVE = pytest.mark.parametrize("scheme", ["backward-euler", "convex-split", "avf"])
Model = tuple[Term, Mobility, float, float, float]

LENGTH, CELLS = 40.0, 40
EIGENVALUES = 2 * (1 - np.cos(np.pi * np.arange(1, CELLS + 1) / CELLS)) / (LENGTH / CELLS) ** 2  # of -d^2/dx^2 by lumped elements
SPINODAL = (3 - np.sqrt(3)) / 6  # of the quartic and of chi = 3, with 1 - SPINODAL


def growth_rates(model: Model) -> np.ndarray:
    """omega of the uniform state c = 1/2 for every mode of the mesh: -M l (f'' + kappa l)."""
    _, _, kappa, curvature, mobility = model
    return np.asarray(-mobility * EIGENVALUES * (curvature + kappa * EIGENVALUES))


def amplification(model: Model, scheme: str, dt: float) -> float:
    """By how much a step multiplies the fastest mode of the uniform state, from the schemes' definitions."""
    _, _, kappa, curvature, mobility = model
    rates = growth_rates(model)
    fastest = int(np.argmax(rates))
    z = dt * rates[fastest]
    if scheme == "backward-euler":
        return float(1 / (1 - z))
    if scheme == "avf":
        return float((1 + z / 2) / (1 - z / 2))
    stiffness = dt * mobility * EIGENVALUES[fastest]
    convex = {-1.0: 0.0, -2.0: 4.0}[curvature]  # f_+'' at 1/2: of (c - 1/2)^4, and of the ideal mixture 1/c + 1/(1-c)
    return float((1 + stiffness * (convex - curvature)) / (1 + stiffness * (convex + kappa * EIGENVALUES[fastest])))


def spinodal(model: Model, *, initial: str = "0.5 + 0.01*noise", mesh: Mesh | None = None, **time: Any) -> System:
    energy, mobility, kappa, _, _ = model
    return System(
        Problem(
            mesh=mesh or Mesh(shape="interval", size=LENGTH, cells=CELLS),
            species=[Species(name="A", initial=initial)],
            free_energy=[energy, Gradient(kappa=kappa)],
            mobility=mobility,
            time=Time(**time),
        )
    )


def fastest_mode(system: System, model: Model) -> float:
    """The amplitude of the fastest mode in c."""
    k = np.pi * (1 + int(np.argmax(growth_rates(model)))) / LENGTH
    return float(global_sum(system.comm, (system.volume * np.cos(k * system.formulation.x[0])) @ system.concentrations[:, 0]))


def has_decomposed(system: System) -> bool:
    low, high = system.bounds()
    return bool(low[0] < SPINODAL and high[0] > 1 - SPINODAL)


def largest_rise(energy: list[float]) -> float:
    """Relative to |F|."""
    return float(np.max(np.diff(energy) / np.abs(energy[1:])))


# --- mass, energy, decomposition


@MODELS
@DISSIPATIVE
@pytest.mark.parametrize("growth_times", [1e-4, 0.3, 1.5, 10.0])
def test_mass_is_kept_and_energy_falls_at_any_step(model: Model, scheme: str, growth_times: float) -> None:
    dt = growth_times / growth_rates(model).max()
    system = spinodal(model, scheme=scheme, step=dt, end=100 * dt)
    integrator = Integrator(system)
    mass, start = system.masses()[0], fastest_mode(system, model)
    energy = [integrator.energy]
    for step in integrator.steps():
        energy.append(step.energy)
        assert abs(system.masses()[0] - mass) <= 1e-13 * mass
    assert step.number >= 100 and step.time == 100 * dt
    assert largest_rise(energy) <= 1e-12
    assert integrator.rejections.energy == 0  # the law is the scheme's own: nothing had to be vetoed
    if growth_times == 1e-4:
        assert fastest_mode(system, model) / start == pytest.approx(amplification(model, scheme, dt) ** 100, rel=2e-3)
    else:  # 30 growth times and more, e^30 times 0.01 being far beyond the two phases
        assert has_decomposed(system)


@pytest.mark.short
def test_mass_and_energy_in_two_dimensions_with_adaptive_steps() -> None:
    system = spinodal(QUARTIC, mesh=Mesh(shape="rectangle", size=30.0, cells=30), scheme="avf", tolerance=1e-2, end=200.0)
    integrator = Integrator(system)
    mass = system.masses()[0]
    energy = [integrator.energy]
    for step in integrator.steps():
        energy.append(step.energy)
        assert abs(system.masses()[0] - mass) <= 1e-13 * mass
    assert largest_rise(energy) <= 1e-12
    assert has_decomposed(system)


@pytest.mark.parametrize("mobility", [Constant(value=1.0), Degenerate(diffusivity=4.0)], ids=["constant", "degenerate"])
def test_averaged_vector_field_loses_exactly_what_it_dissipates(mobility: Mobility) -> None:
    """F(n+1) - F(n) = -dt int grad mu . M grad mu, with mu and M of the middle of the step (Quispel & McLaren 2008)."""
    quartic = (QUARTIC[0], mobility, *QUARTIC[2:])
    system = spinodal(quartic, initial="0.5 + 0.1*noise", scheme="avf", step=1.0, end=40.0)
    integrator = Integrator(system)
    before = integrator.energy
    for step in integrator.steps():
        assert step.energy - before == pytest.approx(-step.dt * step.dissipation, rel=1e-10, abs=1e-14 * abs(before))
        before = step.energy
    assert has_decomposed(system)


@DISSIPATIVE
@pytest.mark.parametrize("growth_times", [0.3, 10.0])
def test_logarithm_stays_strictly_inside_without_clipping(scheme: str, growth_times: float) -> None:
    model = (RegularSolution(chi=4.0), Degenerate(diffusivity=1.0), 0.5, -4.0, 0.25)  # thin layers on this mesh: 0.84 cells wide
    dt = growth_times / growth_rates(model).max()
    system = spinodal(model, initial="where(x < 20, 0.001, 0.9995) + 0.0004*noise", scheme=scheme, step=dt, end=60 * dt)
    integrator = Integrator(system)
    mass = system.masses()[0]
    for _ in integrator.steps():
        low, high = system.bounds()
        assert low[0] > 0 and high[0] < 1
        assert abs(system.masses()[0] - mass) <= 1e-13 * mass  # clipping would change it


def test_trace_beside_a_nearly_full_vertex() -> None:
    """Where a concentration has to rise from 1e-7 by orders of magnitude in one step, Newton's method must not be held back."""
    model = (RegularSolution(chi=4.0), Degenerate(diffusivity=1.0), 0.5, -4.0, 0.25)
    system = spinodal(model, initial="where(x < 20, 1e-7, 0.9)", tolerance=1e-2, end=50.0)
    integrator = Integrator(system)
    for _ in integrator.steps():
        assert system.bounds()[0][0] > 0
    assert integrator.rejections.newton == 0


# --- the branch that leads on


@MODELS
@pytest.mark.parametrize("scheme", ["backward-euler", "avf"])
def test_tiny_perturbation_grows_under_long_steps(model: Model, scheme: str) -> None:
    """The spurious branch of a long step damps it by 1/(1 - 10), again and again."""
    dt = 10 / growth_rates(model).max()
    system = spinodal(model, initial="0.5 + 1e-8*noise", scheme=scheme, step=dt, end=4 * dt)
    integrator = Integrator(system)
    deviations = [global_max(system.comm, np.abs(system.concentrations - 0.5))]
    for _ in integrator.steps():
        deviations.append(global_max(system.comm, np.abs(system.concentrations - 0.5)))
    assert integrator.rejections.total > 0
    assert np.min(deviations[1:]) > 0.3 * deviations[0]  # only the short waves, which decay, are lost
    assert has_decomposed(system)  # e^40 growth


@MODELS
@pytest.mark.parametrize(
    ("scheme", "critical"),
    # dt omega_max at which I - dt omega F''-part turns singular: a_0 for schemes that take F' at the end, 2 for the average over the step
    [("backward-euler", 1.0), ("bdf2", 1.5), ("avf", 2.0)],
)
def test_uniform_state_is_a_minimum_up_to_the_growth_time(model: Model, scheme: str, critical: float) -> None:
    system = spinodal(model, initial="0.5", scheme=scheme, end=1.0)
    system.initialise()
    uniform = system.fields.ravel().copy()
    weights = system.scheme.weights(1.0)
    for factor, minimum in ((0.01, True), (0.999, True), (1.001, False), (100.0, False)):
        dt = factor * critical / growth_rates(model).max()
        c = system.concentrations.copy()
        system.solve_step(StepData(0.0, dt, weights, [c, c], uniform, uniform))
        assert np.allclose(system.concentrations, 0.5, atol=1e-10)
        assert system.branch.is_minimum() is minimum
        assert minimum or system.branch.may_have_saddles()


# --- a user's own energy


class Wall(Term):
    """A potential with a pole at c = limit, beyond which it has no value; it does not tell the package so."""

    limit: float

    def density(self, c: Composition, phi: Any) -> Any:
        return -0.01 * ufl.ln(self.limit - c[0])


@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_a_pole_rejects_steps_and_shows_no_nan(scheme: str) -> None:
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=LENGTH, cells=CELLS),
            species=[Species(name="A", initial="0.5 + 0.01*noise")],
            free_energy=[DoubleWell(rho=1.0), Gradient(kappa=1.0), Wall(limit=0.8)],
            mobility=Constant(value=1.0),
            time=Time(scheme=scheme, step=40.0, end=400.0),
        )
    )
    integrator = Integrator(system)
    for step in integrator.steps():
        assert np.isfinite([step.energy, step.dissipation]).all() and np.isfinite(system.fields).all()
        assert system.bounds()[1][0] < 0.8
    assert step.time == 400.0
    assert integrator.rejections.newton > 0
    assert system.bounds()[0][0] < SPINODAL


def test_start_beyond_a_pole_is_an_error() -> None:
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=LENGTH, cells=CELLS),
            species=[Species(name="A", initial="0.85")],
            free_energy=[DoubleWell(rho=1.0), Gradient(kappa=1.0), Wall(limit=0.8)],
            mobility=Constant(value=1.0),
            time=Time(end=1.0),
        )
    )
    with pytest.raises(InputError, match="no value for the initial state"):
        Integrator(system)
