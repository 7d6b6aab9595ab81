"""What is said of a step that fails for good: where, by how much, and what to try against its cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from petsc4py import PETSc

from fem_diffusion import Constant, DoubleWell, Gradient, LatticeGas, Mesh, Problem, Species, StepFailed, Time
from fem_diffusion.failure import Spot
from fem_diffusion.integrator import Integrator
from fem_diffusion.newton import NotConverged
from fem_diffusion.parallel import global_sum
from fem_diffusion.step_size import History
from fem_diffusion.system import System

BAR = Mesh(shape="interval", size=1.0, cells=8)
Patch = pytest.MonkeyPatch


def quench() -> Integrator:
    return Integrator(
        System(
            Problem(
                mesh=BAR,
                species=[Species(name="A", initial="0.5 + 0.2*cos(pi*x)")],
                free_energy=[DoubleWell(rho=1.0), Gradient(kappa=1e-2)],
                mobility=Constant(value=1.0),
                time=Time(end=0.1, step=0.01, scheme="avf"),
            )
        )
    )


def overdrawn() -> Integrator:
    """Of A, c = 0.1 - t (1 + x): used up at x = 1 first."""
    return Integrator(
        System(
            Problem(
                mesh=BAR,
                species=[Species(name="A", initial=0.1, source="-1 - x")],
                free_energy=[LatticeGas()],
                mobility={"kind": "Stirring", "diffusivity": 1e-6},
                time=Time(end=1.0, step=0.04),
            )
        )
    )


def message(march: Integrator) -> str:
    with pytest.raises(StepFailed) as failed:
        list(march.steps())
    return str(failed.value)


def no_residual(march: Integrator, patch: Patch) -> None:
    def residual(x: PETSc.Vec, r: PETSc.Vec) -> None:
        r.array_w[:] = np.nan

    patch.setattr(march.system.operators, "residual", residual)


def rising(march: Integrator, patch: Patch) -> None:
    patch.setattr(march.system, "energy", lambda time: march.energy + 1.0)


def saddle(march: Integrator, patch: Patch) -> None:
    patch.setattr(march.system.branch, "may_have_saddles", lambda: True)
    patch.setattr(march.system.branch, "is_minimum", lambda: False)


def unstable(march: Integrator, patch: Patch) -> None:
    patch.setattr(march.system, "is_ill_posed", lambda: True)


def inaccurate(march: Integrator, patch: Patch) -> None:
    patch.setattr(History, "local_error", lambda self, time, state, *given: np.ones_like(state))
    patch.setattr(march, "settings", march.settings.model_copy(update={"step": None, "tolerance": 1e-3}))


def infinite(march: Integrator, patch: Patch) -> None:
    patch.setattr(march.system, "energy", lambda time: np.nan)


@pytest.mark.parametrize(
    ("spoil", "cause", "remedy"),
    [
        (no_residual, "the residual is not a number; worst in the", "inside the range of compositions"),
        (infinite, "the free energy has no value", "inside the range of compositions"),
        (rising, "the energy would rise from ", "'convex-split' is the most robust"),
        (saddle, "the solution is a saddle", "perturb the initial state"),
        (unstable, "the mixture is unstable there", "kind = 'Gradient'"),
        (inaccurate, "the local error ", "a larger [time] tolerance (it is 0.001)"),
    ],
)
def test_remedy_fits_the_cause(spoil: Callable[[Integrator, Patch], None], cause: str, remedy: str, monkeypatch: Patch) -> None:
    march = quench()
    spoil(march, monkeypatch)
    said = message(march)
    assert remedy in said
    assert said.startswith("no step from t = 0 succeeded, down to dt = ")
    assert cause in said


def test_remedy_of_a_singular_matrix(monkeypatch: Patch) -> None:
    march = overdrawn()
    matrix = march.system.operators.jacobian_matrix

    def jacobian(x: PETSc.Vec) -> None:
        matrix.zeroEntries()
        matrix.assemble()

    monkeypatch.setattr(march.system.operators, "jacobian", jacobian)
    said = message(march)
    assert "the linear solve failed; worst in the mass balance of A at (" in said and "-mat_mumps_icntl_14 200" in said


def test_a_fraction_that_is_used_up() -> None:
    """Below -1e-4 steps are refused: the message says which fraction, where, on which rank, and what it is."""
    march = overdrawn()
    said = message(march)
    assert march.time == pytest.approx(0.1001 / 2, rel=1e-3)
    assert "would fall to -0.0001 at (1), where A = -0.0001" in said and ", rest = 1.0001 (rank " in said
    assert "formulation = 'entropy' or 'potential'" in said


def test_residuals_of_the_last_tries(monkeypatch: Patch) -> None:
    """Of the last one in the message, of all in the list that run.log and provenance.json have."""
    march = quench()

    def fails(*_: Any, **__: Any) -> Any:
        raise NotConverged("spoilt", residuals=[1 / 2**k for k in range(20)])

    monkeypatch.setattr(march.system.newton, "solve", fails)
    last = "2.4e-04 1.2e-04 6.1e-05 3.1e-05 1.5e-05 7.6e-06 3.8e-06 1.9e-06"  # 2^-12 to 2^-19
    assert f"[residuals {last}]. Try " in message(march)
    assert len(march.rejections.reasons) == 10
    assert all(reason.endswith(f"(rank {rank_of_spot(march)}) [residuals {last}]") for reason in march.rejections.reasons)


def rank_of_spot(march: Integrator) -> str:
    return march.rejections.reasons[-1].split("(rank ")[1].split(")")[0]


def test_newtons_own_residuals(monkeypatch: Patch) -> None:
    """That of the guess and one after each of two iterations, of the last try alone: they fall quadratically."""
    march = quench()
    monkeypatch.setitem(march.system.newton._defaults, "snes_max_it", 2)
    monkeypatch.setattr(march.system.newton, "_residuals", [7.0])
    next(march.steps())
    said = march.rejections.reasons[0]
    assert "no convergence within the iteration limit; worst in the " in said
    first, second, third = map(float, said.split("[residuals ")[1].rstrip("]").split())
    assert 1e-4 < first < 1e-1  # dt f'' c'' and the like
    assert second < first**2 and third < second**1.5


def test_place_of_the_largest() -> None:
    """The same on any number of ranks, and what is not a number counts as the largest."""
    system = quench().system
    x = system.formulation.x[0]
    spot = Spot.of_largest(system, -np.abs(x - 0.25))
    assert (spot.place, spot.composition) == ("(0.25)", f"A = {0.5 + 0.2 * np.cos(np.pi / 4):.6g}")
    here = np.flatnonzero(x == 0.25)
    assert global_sum(system.comm, int(system.comm.rank == spot.rank and spot.vertex in here)) == 1
    assert Spot.of_largest(system, np.where(x == 0.75, np.nan, 1.0)).place == "(0.75)"
