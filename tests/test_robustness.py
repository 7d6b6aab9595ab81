"""Ions that crowd and vanish: 25 thermal volts at once, vacuum of 1e-12 and saturation of 1e-10. Every step converges to the right state."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion import Boundary, Electrostatic, LatticeGas, Mesh, Problem, Species, Stern, Time, VolumeExclusion
from fem_diffusion.integrator import Integrator
from fem_diffusion.newton import Converged, Newton, NotConverged
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.step import StepData
from fem_diffusion.system import System

Array = np.ndarray
COMM = MPI.COMM_WORLD
ION = {"A": (1, 1.0), "B": (-1, 0.5), "C": (2, 0.7)}  # charge, diffusivity


def problem(initial: dict[str, Any], permittivity: float, **data: Any) -> Problem:
    charges = [Species(name=name, initial=c, charge=ION[name][0], diffusivity=ION[name][1]) for name, c in initial.items()]
    energy = (LatticeGas(), Electrostatic(permittivity=permittivity))
    return Problem(**{"species": charges, "free_energy": energy, "mobility": VolumeExclusion(), "time": Time(end=1.0)} | data)


# --- an impulsive voltage: one backward Euler step from the uniform state


BULK = {2: {"A": 1 / 2, "B": 1 / 2}, 3: {"A": 1 / 5, "B": 3 / 5, "C": 1 / 5}}  # of the filled sites; neutral
VOLTAGES = {2: (10.0, 25.0), 3: (-10.0, -25.0)}  # the electrode attracts the anions, or cations of charge one and two


def jump(ions: int, bulk: float, voltage: float, graded: bool) -> System:
    c = {name: share * bulk for name, share in BULK[ions].items()}
    boundary = {"left": Boundary(potential=voltage), "right": Boundary(potential=0.0, concentration=c)}
    mesh = Mesh(shape="interval", size=1.0, cells=128, finest={"left": 1e-3}) if graded else Mesh(shape="interval", size=1.0, cells=64)
    return System(problem(c, 1e-4, mesh=mesh, boundary=boundary))


@pytest.mark.short
@pytest.mark.parametrize(("ions", "graded"), product((2, 3), (False, True)))
def test_every_jump_of_the_voltage_is_solved(ions: int, graded: bool) -> None:
    """Four steps (the last one to the steady state) at three densities and two voltages, on a mesh that resolves the layer and one that does not."""
    for bulk, voltage in product((0.01, 0.1, 0.4), VOLTAGES[ions]):
        system = jump(ions, bulk, voltage, graded)
        for dt in (1e-4, 1e-2, 1.0, np.inf):
            system.initialise()
            c, values = system.concentrations.copy(), system.values()
            weights = (1.0, -1.0, 0.0) if np.isfinite(dt) else (0.0, 0.0, 0.0)
            system.solve_step(StepData(0.0, min(dt, 1.0), weights, [c, c], values, values))
            components = system.formulation.components
            assert global_min(COMM, components) > 0, (bulk, voltage, dt)
            assert global_max(COMM, np.abs(components @ np.ones(ions + 1) - 1)) < 1e-12
            if not np.isfinite(dt):
                for w in system.fields[:, :ions].T:
                    assert global_max(COMM, w) - global_min(COMM, w) <= 1e-12, (bulk, voltage)
                # Fermi's distribution at the electrode, from the bulk's
                names = list(BULK[ions])
                weights_at_wall = [BULK[ions][name] * bulk * np.exp(-ION[name][0] * voltage) for name in names]
                rest = (1 - bulk) / (1 - bulk + sum(weights_at_wall))
                assert global_min(COMM, components[:, -1]) == pytest.approx(rest, rel=1e-9)


@pytest.mark.short
def test_a_rest_that_round_off_would_lose() -> None:
    """c_0 = 1e-21 at an electrode that gathers divalent ions: one minus the others is zero there, and so would be the mobility D c_i c_0.

    Charge by the first integral, q^2 = 2 eps ln(c_0 of the bulk/c_0 of the wall).
    """
    ions = {"M": 0.1, "X": 0.2}
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=64),
            species=[Species(name=name, initial=c, charge=z, diffusivity=1.0) for (name, c), z in zip(ions.items(), (2, -1), strict=True)],
            free_energy=[LatticeGas(), Electrostatic(permittivity=1e-3)],
            mobility=VolumeExclusion(),
            boundary={"left": Boundary(potential=-25.0), "right": Boundary(potential=0.0, concentration=ions)},
            time=Time(end=1.0, steady=True),
        )
    )
    *_, last = Integrator(system).steps()
    assert last.number == 1
    assert global_min(COMM, system.formulation.components[:, -1]) == pytest.approx(0.7 / (0.7 + 0.1 * np.exp(50.0)), rel=1e-9)
    assert last.charges["left"] == pytest.approx(-np.sqrt(2e-3 * np.log(0.7 + 0.1 * np.exp(50.0))), rel=1e-3)


def test_stern_layers_alone_under_a_high_voltage() -> None:
    """No unknown is held anywhere; the layers and their images carry opposite charges."""
    stern = Stern(thickness=0.01, permittivity=1e-2)
    boundary = {"left": Boundary(potential=-25.0, stern=stern), "right": Boundary(potential=0.0, stern=stern)}
    mesh = Mesh(shape="interval", size=1.0, cells=64)
    system = System(problem({"A": 0.2, "B": 0.2}, 1e-2, mesh=mesh, boundary=boundary))
    *_, last = Integrator(system).steps()
    assert global_min(COMM, system.formulation.components) > 0
    assert last.charges["left"] == pytest.approx(-last.charges["right"], rel=1e-9)


@pytest.mark.parametrize(("time", "end"), [("where(t < 1.5, 0.1, 0.3)", 1.0), ("0.1*t", 2.0)])
def test_a_steady_state_is_that_of_the_end(time: str, end: float) -> None:
    """What depends on the time is followed through it: there is no steady state at once."""
    reservoir = {"left": Boundary(potential=0.0, concentration={"A": time, "B": time})} if end == 1.0 else {}
    electrode = {"right": Boundary(potential=time if end == 2.0 else 0.0)}
    mesh = Mesh(shape="interval", size=1.0, cells=8)
    system = System(problem({"A": 0.1, "B": 0.1}, 1e-1, mesh=mesh, boundary=reservoir | electrode, time=Time(end=end, steady=True)))
    march = Integrator(system)
    assert march.through_time is not None and "depends on t" in march.through_time
    *_, last = march.steps()
    assert last.number > 1
    phi, c = system.formulation.all_phi(), system.concentrations
    assert global_max(COMM, phi) <= 0.1 * end + 1e-12
    assert global_max(COMM, c) < 0.2


# --- nearly empty, nearly full


VACUUM, FULL = 1e-12, 1 - 1e-10
LAYERS = {
    "vacuum, 2 ions": {"A": f"where(x < 0.5, 0.3, {VACUUM})", "B": f"where(x < 0.5, 0.3, {VACUUM})"},
    "vacuum, 3 ions": {
        "A": f"where(x < 0.5, 0.1, {VACUUM})",
        "B": f"where(x < 0.5, 0.3, {VACUUM})",
        "C": f"where(x < 0.5, 0.1, {VACUUM})",
    },
    "saturation, 2 ions": {"A": f"where(x < 0.5, {FULL} - 0.5, 0.1)", "B": "where(x < 0.5, 0.5, 0.1)"},
    "saturation, 3 ions": {"A": "where(x < 0.5, 0.2, 0.1)", "B": "where(x < 0.5, 0.6, 0.2)", "C": f"where(x < 0.5, {FULL} - 0.8, 0.05)"},
}


def layers(name: str, formulation: str | None, cells: int, **time: Any) -> Problem:
    mesh = Mesh(shape="interval", size=1.0, cells=cells)
    boundary = {"left": Boundary(potential=0.0), "right": Boundary(potential=5.0)}
    return problem(LAYERS[name], 1e-2, mesh=mesh, boundary=boundary, formulation=formulation, time=Time(end=0.1, **time))


def along(system: System, cells: int) -> Array:
    """c at all vertices of the unit interval, on all ranks."""
    c = np.zeros((cells + 1, system.n))
    c[np.rint(system.formulation.x[0] * cells).astype(int)] = system.concentrations
    return global_sum(COMM, c)


@pytest.mark.parametrize("name", LAYERS)
def test_vacuum_and_saturation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state in which a vertex is cut off solves the equations too: only another formulation on a fine mesh tells."""
    monkeypatch.setattr("fem_diffusion.initial.TRACE", 1e-13)  # below the vacuum
    system = System(layers(name, None, 64, tolerance=5e-3))
    assert system.formulation.name == "entropy"
    integrator = Integrator(system)
    mass = system.masses()
    for _ in integrator.steps():
        assert global_min(COMM, system.formulation.components) > 0
    fine = System(layers(name, "fractions", 1024, tolerance=1e-3))
    *_, _ = Integrator(fine).steps()
    assert np.abs(along(system, 64) - along(fine, 1024)[::16]).mean() <= 5e-3
    assert np.abs(system.masses() / mass - 1).max() <= 1e-13


@pytest.mark.parametrize("name", LAYERS)
def test_few_newton_iterations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In about a dozen long steps from 1e-3 to 0.1, those of rejected steps and of the predictor included."""
    taken = []
    solve = Newton.solve

    def counted(newton: Newton, guess: Array, **how: bool) -> Converged:
        try:
            taken.append(solve(newton, guess, **how))
        except NotConverged as failure:
            taken.append(failure.spent)
            raise
        return taken[-1]

    monkeypatch.setattr("fem_diffusion.initial.TRACE", 1e-13)
    monkeypatch.setattr(Newton, "solve", counted)
    *_, last = Integrator(System(layers(name, None, 64, scheme="backward-euler", initial_step=1e-3, tolerance=0.5))).steps()
    assert 9 <= last.number <= 15
    assert sum(result.newton_iterations for result in taken) <= 75
