"""Time control: what steps are taken, what happens to those that are not, and what is shown between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discrete_in_space import DiscreteInSpace
from mpi4py import MPI

from fem_diffusion import Boundary, Constant, DoubleWell, Gradient, Mesh, Output, Problem, Species, StepFailed, Time, run
from fem_diffusion.expression import Expression
from fem_diffusion.integrator import Integrator
from fem_diffusion.newton import NotConverged
from fem_diffusion.parallel import on_root
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
LENGTH, CELLS = 20.0, 40
WAVES = "0.5 + 0.1*cos(2*pi*x/20) + 0.05*cos(3*pi*x/20)"
GROWTH_TIME = 4.0  # 4 kappa/(M f''^2) of the uniform state c = 1/2
DISCRETE = DiscreteInSpace(LENGTH, CELLS, lambda c: 2 * c * (1 - c) * (1 - 2 * c), np.ones_like, 1.0)
SECOND_ORDER = pytest.mark.parametrize("scheme", ["avf", "bdf2"])


def problem(*, initial: str = WAVES, output: Output | None = None, **time: Any) -> Problem:
    return Problem(
        mesh=Mesh(shape="interval", size=LENGTH, cells=CELLS),
        species=[Species(name="A", initial=initial)],
        free_energy=[DoubleWell(rho=1.0), Gradient(kappa=1.0)],
        mobility=Constant(value=1.0),
        time=Time(**time),
        output=output or Output(times=1),
    )


def integrator(**given: Any) -> Integrator:
    return Integrator(System(problem(**given)))


def exact(*times: float) -> np.ndarray:
    """Without error in time, one row per time."""
    return DISCRETE.at(np.array([0.0, *times]), Expression(WAVES).numpy(x=DISCRETE.x))[1:]


def all_values(system: System) -> np.ndarray:
    """Of this rank, ghosts included."""
    return np.asarray(system.u.x.array.copy())


# --- output between the steps


def test_output_times_do_not_change_the_steps(folder: Path) -> None:
    one = run(problem(tolerance=1e-2, end=20.0, output=Output(times=1)), folder / "one")
    fifty = run(problem(tolerance=1e-2, end=20.0, output=Output(times=50)), folder / "fifty")
    assert on_root(COMM, lambda: (one / "history.csv").read_bytes() == (fifty / "history.csv").read_bytes())
    assert on_root(COMM, lambda: len((one / "history.csv").read_text().splitlines())) > 10


@pytest.mark.short
@SECOND_ORDER
def test_interpolated_states_are_of_second_order_and_keep_the_mass(scheme: str) -> None:
    """The parabola through three states adds an error of third order only."""
    end = 2.0
    errors = []
    for steps in (20, 40):
        march = integrator(scheme=scheme, step=end / steps, end=end)
        system = march.system
        mass = system.masses()[0]
        taken = march.steps()
        for _ in range(steps // 2):
            last = next(taken)
        before = all_values(system)
        places = last.time - last.dt * np.array([0.7, 0.5, 0.2])
        for time, c in zip(places, exact(*places), strict=True):
            with march.visiting(float(time)):
                errors.append([DISCRETE.error(system, c), DISCRETE.error(system, DISCRETE.mu(c), component=1)])
                assert abs(system.masses()[0] - mass) <= 1e-13 * mass
        assert np.array_equal(all_values(system), before)
    coarse, fine = np.reshape(errors, (2, 3, 2)).max(axis=1)
    assert np.log2(coarse / fine).min() >= 1.95


# --- rejected steps


def test_rejected_steps_leave_no_trace() -> None:
    """A run whose first step is rejected goes on as one that starts with the step that succeeded."""
    first = integrator(tolerance=1e-2, initial_step=50.0, end=20.0)
    history = list(first.steps())
    assert first.rejections.total > 0 and history[0].dt < 50.0
    second = integrator(tolerance=1e-2, initial_step=history[0].dt, end=20.0)
    assert list(second.steps()) == history
    assert second.rejections.total == first.rejections.total - rejected_at_start(first)
    assert np.array_equal(all_values(first.system), all_values(second.system))


def rejected_at_start(march: Integrator) -> int:
    return sum(reason.startswith("t = 0,") for reason in march.rejections.reasons)


def spoiled(step: Callable[..., Any], how_often: int) -> Callable[..., Any]:
    """A step that fails so many times, leaving rubbish in the unknowns."""
    left = [how_often]

    def solve(*arguments: Any) -> Any:
        result = step(*arguments)
        if left[0] == 0:
            return result
        left[0] -= 1
        step.__self__.u.x.array[:] = np.nan  # type: ignore[attr-defined]
        raise NotConverged("spoiled")

    return solve


def test_state_is_restored_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    march = integrator(tolerance=1e-2, end=20.0)
    taken = march.steps()
    for _ in range(5):
        last = next(taken)
    before, energy = all_values(march.system), march.energy
    monkeypatch.setattr(march.system, "solve_step", spoiled(march.system.solve_step, 1000))
    with pytest.raises(StepFailed, match="spoiled"):
        next(taken)
    assert np.array_equal(all_values(march.system), before)
    assert (march.time, march.energy) == (last.time, energy)


def test_failure_says_which_field_where_and_what_value(monkeypatch: pytest.MonkeyPatch) -> None:
    march = integrator(tolerance=1e-2, end=20.0)
    x, fields = march.system.formulation.x[0], march.system.fields

    def spoil(_: np.ndarray, strict: bool) -> Any:
        fields[x == 5.0, 0] = 7.0
        march.system.u.x.scatter_forward()
        raise NotConverged("spoiled")

    monkeypatch.setattr(march.system.newton, "solve", spoil)
    with pytest.raises(
        StepFailed, match=r"from t = 0 .*spoiled; worst in the (mass balance|potential) of A at \(5\), where A = 7\b.*smaller"
    ):
        next(march.steps())


def test_step_change_at_a_reservoir_is_no_error_of_the_first_step() -> None:
    """The state starts at the reservoir's value there; the jump to the rest of the bar is resolved by the steps."""
    given = problem(initial="0.9", tolerance=1e-2, end=10.0).model_copy(update={"boundary": {"left": Boundary(concentration={"A": 0.99})}})
    march = Integrator(System(given))
    mass = march.system.masses()[0]
    for step in march.steps():
        passed = mass - march.system.masses()[0]
        assert passed == pytest.approx(step.dt * step.fluxes["A", "left"], rel=1e-9, abs=1e-13)
        mass -= passed
    assert march.rejections.total <= 2


# --- where it ends


@pytest.mark.parametrize(("step", "end", "steps"), [(0.1, 0.7, 7), (0.1, 0.3, 3), (1 / 3, 1.0, 3), (0.3, 1.0, 4)])
def test_fixed_steps_end_exactly(step: float, end: float, steps: int) -> None:
    march = integrator(scheme="backward-euler", step=step, end=end)
    *_, last = march.steps()
    assert (last.time, march.time, last.number) == (end, end, steps)


@pytest.mark.parametrize("end", [0.7, 20.0, 1e3 / 3])
def test_adaptive_steps_end_exactly_and_without_a_sliver(end: float) -> None:
    march = integrator(tolerance=1e-2, end=end)
    history = list(march.steps())
    assert history[-1].time == march.time == end
    assert history[-1].dt > 0.2 * history[-2].dt


# --- error control


@cache
def reference() -> np.ndarray:
    return np.asarray(exact(20.0)[0])


@pytest.mark.parametrize(("scheme", "order"), [("backward-euler", 1), ("convex-split", 1), ("avf", 2), ("bdf2", 2)])
def test_error_follows_the_tolerance(scheme: str, order: int) -> None:
    """With a local error of C dt^{p+1} per step the global error goes as dt^p, as tolerance^{p/(p+1)}."""
    errors = []
    for tolerance in (1e-2, 1e-3, 1e-4):
        march = integrator(scheme=scheme, tolerance=tolerance, end=20.0)
        for _ in march.steps():
            pass
        errors.append(DISCRETE.error(march.system, reference()))
    assert errors[0] > errors[1] > errors[2]
    expected = 100 ** (order / (order + 1))
    assert expected / 2 < errors[0] / errors[2] < 2 * expected


def test_steps_grow_over_decades() -> None:
    """While the noise decays, two domains coarsen and come to rest, the steps follow."""
    march = integrator(initial="0.5 + 0.01*noise", tolerance=1e-3, end=1e5)
    steps = np.array([step.dt for step in march.steps()])
    assert steps.max() > 1e5 * steps[0]
    assert (steps[1:] <= 2 * steps[:-1] * (1 + 1e-12)).all()


def test_first_and_largest_step_are_respected() -> None:
    march = integrator(tolerance=1e-2, initial_step=1e-4, max_step=0.3, end=5.0)
    steps = np.array([step.dt for step in march.steps()])
    assert steps[0] == 1e-4
    assert steps.max() <= 0.3 * (1 + 1e-12)
    assert np.sum(steps > 0.29) > 5  # it is the bound that limits them


def test_largest_step_bounds_the_first_too() -> None:
    free = next(integrator(tolerance=1e-1, end=5.0).steps()).dt
    assert next(integrator(tolerance=1e-1, max_step=free / 10, end=5.0).steps()).dt == free / 10


# --- steady states


def test_steady_stops_where_nothing_changes_any_more() -> None:
    march = integrator(steady=True, end=1e7)
    history = list(march.steps())
    assert march.steady and history[-1].time < 1e7
    mu = march.system.fields[:, 1]
    spread = COMM.allreduce(mu.max(), op=MPI.MAX) - COMM.allreduce(mu.min(), op=MPI.MIN)
    assert spread <= 1e-7 * 0.05  # of the largest |f'|, rho/(6 sqrt 3)
    low, high = march.system.bounds()
    assert low[0] < 0.1 and high[0] > 0.9


def test_short_first_step_is_not_taken_for_a_steady_state() -> None:
    march = integrator(initial="0.5 + 1e-6*cos(3*pi*x/20)", initial_step=1e-6, steady=True, end=1e7)
    *_, last = march.steps()
    assert last.time > 10 * GROWTH_TIME
    assert march.system.bounds()[1][0] > 0.9


def test_no_steady_state_by_the_end_is_a_failure(folder: Path) -> None:
    with pytest.raises(StepFailed, match="no steady state by the end, t = 1: give a later"):
        run(problem(steady=True, end=1.0), folder / "early")
    assert on_root(COMM, lambda: float((folder / "early" / "history.csv").read_text().splitlines()[-1].split(",")[1])) == 1.0
