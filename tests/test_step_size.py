"""The estimate of the local error against the error itself, where both are exact: polynomials in time of the scheme's degree."""

from __future__ import annotations

import numpy as np
import pytest

from fem_diffusion.step_size import History
from fem_diffusion.time_scheme import BDF2, BackwardEuler, TimeScheme

pytestmark = pytest.mark.serial


@pytest.mark.parametrize("scheme", [BackwardEuler(), BDF2()], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("old_steps", [(), (0.3,), (0.3, 0.5)])
def test_backward_euler_step_of_any_scheme(scheme: TimeScheme, old_steps: tuple[float, ...]) -> None:
    """c = t^2: the step c_0 + dt c'(t_1) is dt^2 off. BDF2 takes such a step at the start and after the energy would have risen."""
    t, dt = 1.0, 0.2
    times = [t, *(t - np.cumsum(old_steps))]
    history = History(times, [np.array([[s**2]]) for s in times], initial_rate=np.array([[2 * t]]))
    step = np.array([[t**2 + dt * 2 * (t + dt)]])
    assert history.local_error(t + dt, step, scheme, order=1) == pytest.approx(dt**2, rel=1e-12)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.0])
def test_bdf2_step(ratio: float) -> None:
    """c = t^3: the step that solves a_0 c + a_1 c_0 + a_2 c_-1 = dt c'(t_1) against the exact value."""
    t, dt = 1.0, 0.2
    times = [t, t - dt / ratio, t - dt / ratio - 0.35]
    history = History(times, [np.array([[s**3]]) for s in times], initial_rate=np.zeros((1, 1)))
    a0, a1, a2 = BDF2().weights(ratio)
    step = (dt * 3 * (t + dt) ** 2 - a1 * times[0] ** 3 - a2 * times[1] ** 3) / a0
    estimate = history.local_error(t + dt, np.array([[step]]), BDF2(), order=2)
    assert estimate == pytest.approx(step - (t + dt) ** 3, rel=1e-12)
