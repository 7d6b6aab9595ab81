"""Iterative solvers: the same solutions as factors give, in few iterations, on any number of ranks; and when they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from fem_diffusion import Boundary, Degenerate, Gradient, Ideal, LatticeGas, MaxwellStefan, Mesh, Problem, Species, Time, continuation
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.newton import Converged, NotConverged
from fem_diffusion.preconditioner import Direct, LinearSolver, Multigrid, TwoLevel, TwoLevelInFractions, choose
from fem_diffusion.preconditioner import choice as module
from fem_diffusion.step import StepData
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
Array = np.ndarray


@pytest.fixture
def options() -> Iterator[Callable[..., None]]:
    """Sets PETSc options for one test."""
    given: list[str] = []

    def put(**values: Any) -> None:
        for key, value in values.items():
            given.append(key)
            PETSc.Options()[key] = value

    yield put
    for key in given:
        PETSc.Options().delValue(key)


def salt(potential: float, mesh: Mesh, **given: Any) -> Problem:
    """A crowded salt between an electrode whose potential varies along it and a reservoir."""
    return Problem(
        mesh=mesh,
        species=[
            Species(name="cation", charge=2, diffusivity=1.0, initial=0.1),
            Species(name="anion", charge=-1, diffusivity=0.1, initial=0.2),
        ],
        free_energy=[LatticeGas(), Electrostatic(permittivity=1e-2)],
        mobility=VolumeExclusion(),
        boundary={
            "left": Boundary(potential=f"-{potential}*(1 + cos(2*pi*y))/2"),
            "right": Boundary(potential=0.0, concentration={"cation": 0.1, "anion": 0.2}),
        },
        time=Time(end=1.0, scheme="backward-euler"),
        **given,
    )


def gases(**given: Any) -> Problem:
    return Problem(
        mesh=Mesh(shape="rectangle", size=1.0, cells=16),
        species=[
            Species(name="A", initial="0.3 + 0.2*cos(pi*x)*cos(2*pi*y)"),
            Species(name="B", initial="0.3 - 0.15*cos(pi*x)"),
            Species(name="C", balance=True),
        ],
        free_energy=[Ideal()],
        mobility=MaxwellStefan(diffusivities={"A-B": 0.833, "A-C": 0.68, "B-C": 0.168}),
        time=Time(end=1.0, scheme="backward-euler"),
        **given,
    )


def step(problem: Problem, dt: float) -> tuple[System, Array, Converged]:
    """One step of backward Euler (or straight to the steady state) from the initial state."""
    system = System(problem)
    system.initialise()
    values, c = system.values(), system.concentrations.copy()
    weights = (1.0, -1.0, 0.0) if np.isfinite(dt) else (0.0, 0.0, 0.0)
    result = system.solve_step(StepData(0.0, dt if np.isfinite(dt) else 1.0, weights, [c, c], values, values))
    return system, everywhere(system), result


def everywhere(system: System) -> Array:
    """The unknowns of all ranks, (vertices, block), in an order that does not depend on how the mesh is shared."""
    x = np.concatenate(COMM.allgather(np.round(system.formulation.x.T, 9)))
    return np.concatenate(COMM.allgather(system.fields.copy()))[np.lexsort(x.T)]


SQUARE, CUBE = Mesh(shape="rectangle", size=1.0, cells=16), Mesh(shape="box", size=1.0, cells=6)
CASES = {
    "short step": (salt(5.0, SQUARE), 1e-4, "mg", TwoLevel),
    "long step": (salt(5.0, SQUARE), 1.0, "mg", TwoLevel),
    "steady": (salt(5.0, SQUARE), np.inf, "mg", TwoLevel),
    "cube": (salt(5.0, CUBE), 1e-2, "mg", TwoLevel),
    "fractions": (salt(2.0, SQUARE, formulation="fractions"), 1e-2, "python", TwoLevelInFractions),
    "no charges": (gases(formulation="fractions"), 1e-2, "hypre", Multigrid),
}


@pytest.mark.short
@pytest.mark.parametrize("name", CASES)
def test_same_solution_as_factors(name: str, options: Callable[..., None]) -> None:
    """To 1e-8 in every unknown, with at most two more or fewer of Newton's iterations and at most twelve for a linear system."""
    problem, dt, pc_type, kind = CASES[name]
    factored, expected, direct = step(problem, dt)
    assert isinstance(factored.linear, Direct)
    options(pc_type=pc_type)
    system, values, iterative = step(problem, dt)
    assert type(system.linear) is kind
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-8)
    assert abs(iterative.newton_iterations - direct.newton_iterations) <= 2
    assert iterative.linear_iterations <= 12 * iterative.newton_iterations


@pytest.mark.parametrize("dt", [1e-4, 1e-2, np.inf])
def test_counts_at_25_thermal_volts(dt: float, options: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A ramp by 2.5 thermal volts at a time, nearly saturated from the start: Newton's counts are those of factors to two in ten solutions, and
    all of some eighty linear systems take at most twelve iterations, seven in the mean.
    """
    monkeypatch.setattr(continuation, "GROWTH", 1.0)
    bulk = {"cation": 0.4, "anion": 0.4}
    problem = Problem(
        mesh=Mesh(shape="rectangle", size=1.0, cells=16, finest={"left": 0.02}),
        species=[
            Species(name="cation", charge=1, diffusivity=1.0, initial=0.4),
            Species(name="anion", charge=-1, diffusivity=0.1, initial=0.4),
        ],
        free_energy=[LatticeGas(), Electrostatic(permittivity=1e-4)],
        mobility=VolumeExclusion(),
        boundary={"left": Boundary(potential="-25*(1 + cos(2*pi*y))/2"), "right": Boundary(potential=0.0, concentration=bulk)},
        time=Time(end=1.0, scheme="backward-euler"),
    )
    results, taken = [], list[int]()
    for pc_type in ("lu", "mg"):
        options(pc_type=pc_type)
        system = System(problem)
        system.initialise()
        attach = system.linear.attach

        def counting(solver: PETSc.KSP, attach: Callable[[PETSc.KSP], None] = attach) -> None:
            attach(solver)
            solver.setPostSolve(lambda solver, b, x: taken.append(solver.getIterationNumber()))

        taken.clear()
        system.linear.attach = counting  # type: ignore[method-assign]
        values, c = system.values(), system.concentrations.copy()
        steady = bool(np.isinf(dt))
        data = StepData(0.0, 1.0 if steady else dt, (0.0, 0.0, 0.0) if steady else (1.0, -1.0, 0.0), [c, c], values, values)
        system.set_values(values, system.formulation.u_old)
        system.prepare(system.formulation, system.conditions, data)
        results.append(system.continuation._by_stages(data, steady))
    assert abs(results[1].newton_iterations - results[0].newton_iterations) <= 2
    assert np.mean(taken) <= 7
    assert max(taken) <= 12


def test_users_tolerance_is_kept(options: Callable[..., None]) -> None:
    """Linear systems are solved to a tenth of the square of the last update, between 3e-6 and 1e-4, or 1e-3 after a limited one."""
    linear = TwoLevel(COMM, np.zeros((1, 3), dtype=bool), np.array([1.0, -1.0]))
    assert [linear.forcing(update) for update in (0.0, 1e-2, 3.0, np.inf)] == pytest.approx([3e-6, 1e-5, 1e-4, 1e-3])
    options(pc_type="mg", ksp_rtol=1e-9)
    system = step(salt(1.0, SQUARE), 1e-2)[0]
    assert system.newton.snes.getKSP().getTolerances()[0] == 1e-9


def test_soft_direction_changes_no_concentration() -> None:
    """The coarse space is the kernel of s_i = w_i - z_i phi, without what is held: P psi = (z_1 psi, ..., z_n psi, psi)."""
    system = System(salt(5.0, Mesh(shape="rectangle", size=1.0, cells=4)))
    held = system.conditions.held
    P = TwoLevel(COMM, held, np.array([2.0, -1.0]))._coarse
    psi = P.createVecRight()
    psi.set(1.0)
    unknowns = P.createVecLeft()
    P.mult(psi, unknowns)
    w = unknowns.array_r.reshape(-1, 3)
    free = ~held.any(axis=1)
    np.testing.assert_array_equal(w[free], np.tile([2.0, -1.0, 1.0], (free.sum(), 1)))
    np.testing.assert_array_equal(w[held[:, 2]], 0.0)
    assert P.getSize()[1] == COMM.allreduce(int((~held[:, 2]).sum()))


def test_change_to_entropy_variables() -> None:
    """T is the derivative of (c, phi) by (w, phi) at the vertices, by differences; the identity where unknowns are held."""
    problem = salt(2.0, Mesh(shape="rectangle", size=1.0, cells=4))
    entropy, fractions = System(problem), System(problem.model_copy(update={"formulation": "fractions"}))
    for system in (entropy, fractions):
        system.initialise()
    held = np.zeros_like(fractions.conditions.held)
    held[0, 0] = True
    T = TwoLevelInFractions(fractions.formulation, held)._blocks()
    values, h = entropy.values().reshape(-1, 3), 1e-5
    for j in range(3):
        c = []
        for sign in (1, -1):
            moved = values.copy()
            moved[:, j] += sign * h
            entropy.set_values(moved.ravel())
            c.append(entropy.concentrations.copy())
        np.testing.assert_allclose(T[1:, :2, j], ((c[0] - c[1]) / (2 * h))[1:], atol=1e-9)
        np.testing.assert_array_equal(T[1:, 2, j], float(j == 2))
    if len(T):
        np.testing.assert_array_equal(T[0, 0], [1.0, 0.0, 0.0])
        np.testing.assert_array_equal(T[0, :, 0], [1.0, 0.0, 0.0])


def test_choice_by_size_and_by_option(options: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    charged, uncharged = System(salt(1.0, CUBE)), System(gases())
    demixing = System(
        Problem(
            mesh=SQUARE,
            species=[Species(name="A", initial=0.5)],
            free_energy=[Ideal(), Gradient(kappa=1e-3)],
            mobility=Degenerate(diffusivity=1.0),
            time=Time(end=1.0),
        )
    )

    def chosen(system: System) -> type[LinearSolver]:
        return type(choose(system.formulation, system.conditions))

    assert [chosen(system) for system in (charged, uncharged, demixing)] == [Direct] * 3
    monkeypatch.setattr(module, "LARGEST_DIRECT", {2: 100, 3: 100})
    assert [chosen(system) for system in (charged, uncharged, demixing)] == [TwoLevel, Multigrid, Direct]
    options(pc_type="lu")
    assert chosen(charged) is Direct
    options(pc_type="bjacobi")
    assert chosen(charged) is LinearSolver


def test_poisson_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The potential of the initial charges by conjugate gradients is that of factors."""
    problem = salt(5.0, CUBE)
    potentials = []
    for largest in (np.inf, 0):
        monkeypatch.setattr(module, "LARGEST_DIRECT", {3: largest})
        system = System(problem)
        system.initialise()
        assert system.poisson is not None
        assert system.poisson._linear[2].getType() == ("cg" if largest == 0 else "preonly")
        potentials.append(everywhere(system)[:, -1])
    np.testing.assert_allclose(potentials[0], potentials[1], rtol=0, atol=1e-10)


def test_too_many_iterations_reject_the_step(options: Callable[..., None]) -> None:
    options(pc_type="mg", ksp_max_it=1)
    with pytest.raises(NotConverged, match="linear"):
        step(salt(5.0, SQUARE), 1e-2)


def test_options_leave_nothing_behind(options: Callable[..., None]) -> None:
    before = set(PETSc.Options().getAll())
    options(pc_type="mg")
    step(salt(1.0, SQUARE), 1e-2)
    assert set(PETSc.Options().getAll()) - before == {"pc_type"}
