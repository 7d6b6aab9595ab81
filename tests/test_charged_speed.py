"""Old Jacobians in Newton's method: the same answers with few of them, and Broyden's steps as his formula gives them."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion import Boundary, Ideal, LatticeGas, Mesh, Problem, Species, Time
from fem_diffusion.free_energy import Electrostatic, Term
from fem_diffusion.integrator import Integrator
from fem_diffusion.mobility import Fick, VolumeExclusion
from fem_diffusion.old_jacobian import OldJacobian
from fem_diffusion.preconditioner import Direct, choose
from fem_diffusion.preconditioner import choice as module
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD


def charging(energy: Term, scale: float) -> Problem:
    """Two ions between blocking walls, one of which is switched to four thermal volts at its middle."""
    return Problem(
        mesh=Mesh(shape="rectangle", size=1.0, cells=16, finest={"left": 0.01}),
        species=[
            Species(name="cation", charge=1, diffusivity=1.0, initial=scale),
            Species(name="anion", charge=-1, diffusivity=1.0, initial=scale),
        ],
        free_energy=[energy, Electrostatic(permittivity=2 * 0.05**2 * scale)],
        mobility=Fick(),
        boundary={"left": Boundary(potential="2*(1 + cos(2*pi*y))"), "right": Boundary(potential=0.0)},
        time=Time(end=0.05, step=0.005),
    )


@pytest.mark.parametrize(("energy", "scale"), [(Ideal(), 1.0), (LatticeGas(), 0.05)], ids=["points", "crowded"])
def test_same_answer_with_a_third_of_the_jacobians(energy: Term, scale: float) -> None:
    """Ten steps after a jump: unknowns to 1e-9, masses to 1e-13, and at most a third of the Jacobians."""
    states, assembled = [], []
    for keeps in (False, True):
        integrator = Integrator(System(charging(energy, scale)))
        system = integrator.system
        assert not system.linear.keeps  # so small a problem has new factors at once
        system.linear.keeps = keeps
        calls, jacobian, mass = [], system.operators.jacobian, system.masses()
        system.operators.jacobian = lambda x, calls=calls, jacobian=jacobian: (calls.append(1), jacobian(x))[1]  # type: ignore[method-assign]
        for _ in integrator.steps():
            assert np.abs(system.masses() / mass - 1).max() <= 1e-13
        assert integrator.rejections.total == 0
        states.append(system.values())
        assembled.append(len(calls))
    np.testing.assert_allclose(states[1], states[0], rtol=0, atol=1e-9)
    assert 3 * assembled[1] <= assembled[0]


def test_same_answer_at_25_thermal_volts() -> None:
    """Crowded to 0.99998 and empty to 1e-25, with a jump that one step of the time integration does not survive: fractions to 1e-12, the same
    steps. Newton's method takes some twenty limited updates there, and those with an old Jacobian must not use up its limit of 25.
    """
    bulk = 0.4
    problem = Problem(
        mesh=Mesh(shape="rectangle", size=1.0, cells=16, finest={"left": 0.01}),
        species=[
            Species(name="cation", charge=1, diffusivity=1.0, initial=bulk),
            Species(name="anion", charge=-1, diffusivity=0.1, initial=bulk),
        ],
        free_energy=[LatticeGas(), Electrostatic(permittivity=1e-4)],
        mobility=VolumeExclusion(),
        boundary={
            "left": Boundary(potential="-25*(1 + cos(2*pi*y))/2"),
            "right": Boundary(potential=0.0, concentration={"cation": bulk, "anion": bulk}),
        },
        time=Time(end=0.005, step=0.001),
    )
    steps, states = [], []
    for keeps in (False, True):
        integrator = Integrator(System(problem))
        integrator.system.linear.keeps = keeps
        steps.append([step.dt for step in integrator.steps()])
        states.append(integrator.system.concentrations.copy())
    assert steps[1] == steps[0]
    np.testing.assert_allclose(states[1], states[0], rtol=0, atol=1e-12)


def test_steps_are_broydens() -> None:
    """For R(x) = A x - b the steps are those of B_k+1 = B_k + R(x_k+1) s_k^T W/(s_k^T W s_k), B_0 the old Jacobian, found with dense matrices."""
    rng = np.random.default_rng(3)
    n = 6
    first = n * np.eye(n) + rng.standard_normal((n, n))
    A, b = first + 0.3 * rng.standard_normal((n, n)), rng.standard_normal(n)
    weights = rng.uniform(0.5, 2.0, n)
    old = OldJacobian(MPI.COMM_SELF, weights, 1)
    old.renew()
    x, B = np.zeros(n), first.copy()
    for k in range(5):
        expected = -np.linalg.solve(B, A @ x - b)
        s = old.step(-np.linalg.solve(first, A @ x - b))
        np.testing.assert_allclose(s, expected, rtol=0, atol=1e-12)
        old.took(s, 0.1, 0.1 if k else np.inf, True)
        x = x + s
        B += np.outer(A @ x - b, weights * s) / (s @ (weights * s))


def test_when_a_jacobian_serves() -> None:
    """While steps are full and small and become smaller fast; and no more where it was given up."""
    steps = {"far": (0.5, np.inf, True), "slow": (0.1, 0.5, True), "shortened": (0.1, 0.1, False), "fast": (0.1, 0.1, True)}
    for name, (largest, rate, full) in steps.items():
        old = OldJacobian(MPI.COMM_SELF, np.ones(2), 1)
        assert not old.serves
        old.renew()
        old.took(np.array([0.1, 0.0]), 0.1, np.inf, True)
        assert old.serves and old.is_old
        old.took(np.array([0.0, 0.01]), largest, rate, full)
        assert old.serves == (name == "fast")
        old.forget()
        assert not old.serves and not old.is_old


def test_choice_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(charging(Ideal(), 1.0))
    for least, keeps in ((system.unknowns, True), (system.unknowns + 1, False)):
        monkeypatch.setattr(module, "SMALLEST_KEPT", {2: least})
        linear = choose(system.formulation, system.conditions)
        assert isinstance(linear, Direct)
        assert linear.keeps == keeps
