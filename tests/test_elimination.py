"""Equations with mu eliminated: the residual and Jacobian of the assembled (c, mu) equations, without their assembly."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from fem_diffusion import (
    Boundary,
    Composition,
    Constant,
    Degenerate,
    DoubleWell,
    Gradient,
    Mesh,
    Mobility,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
)
from fem_diffusion.elimination import EliminatedOperators
from fem_diffusion.free_energy import ExternalPotential, FloryHuggins
from fem_diffusion.integrator import Integrator
from fem_diffusion.mobility import MaxwellStefan, Onsager
from fem_diffusion.operators import AssembledOperators
from fem_diffusion.parallel import global_max
from fem_diffusion.preconditioner.gradient_flow import Factorised, Factors
from fem_diffusion.step import StepData
from fem_diffusion.system import System
from fem_diffusion.units import Quantity

COMM = MPI.COMM_WORLD
Array = np.ndarray

SQUARE = {"shape": "rectangle", "size": [1.2, 0.9], "cells": [6, 5]}
WELL, REGULAR = DoubleWell(rho=5.0), RegularSolution(chi=2.5)
INTERFACE = Gradient(kappa=0.02)
GASES = MaxwellStefan(diffusivities={"A-B": 0.833, "A-C": 0.68, "B-C": 0.168})


class SteepInterface(Term):
    """f = k/4 |grad c|^4: a gradient energy whose second variation depends on the state."""

    k: Annotated[float, Quantity("J/m")] = 0.01

    def density(self, c: Composition, phi: Any) -> Any:
        return self.k / 4 * ufl.inner(ufl.grad(c[0]), ufl.grad(c[0])) ** 2

    def convex_part(self, c: Composition, phi: Any) -> Any:
        return self.density(c, phi)


def binary(energy: list[Term], mobility: Mobility, mesh: dict[str, Any] | None = None, **given: Any) -> Problem:
    return Problem(
        mesh=Mesh(**{**SQUARE, **(mesh or {})}),
        species=[Species(name="A", initial="0.5 + 0.2*cos(3*x)*cos(2*y)", source=given.pop("source", None))],
        free_energy=energy,
        mobility=mobility,
        time=Time(end=1.0, scheme=given.pop("scheme", "bdf2")),
        formulation="potential",
        **given,
    )


def ternary(energy: list[Term], mobility: Mobility, **given: Any) -> Problem:
    return Problem(
        mesh=Mesh(**SQUARE),
        species=[
            Species(name="A", initial="0.3 + 0.1*cos(3*x)"),
            Species(name="B", initial="0.3 - 0.1*cos(2*y)"),
            Species(name="C", balance=True),
        ],
        free_energy=energy,
        mobility=mobility,
        time=Time(end=1.0, scheme=given.pop("scheme", "bdf2")),
        formulation="potential",
        **given,
    )


SCHEMES = ("backward-euler", "convex-split", "avf", "bdf2")
LATTICE = RegularSolution(chi={"A-B": 3.0, "A-C": 0.5, "B-C": 3.5})
CASES: dict[str, Problem] = {
    **{f"well, {scheme}": binary([WELL, INTERFACE], Constant(value=2.0), scheme=scheme) for scheme in SCHEMES},
    **{f"logarithms, {scheme}": binary([REGULAR, INTERFACE], Degenerate(diffusivity=2.0), scheme=scheme) for scheme in SCHEMES},
    "polymer": binary([FloryHuggins(chi=0.9, N_A=10, N_B=3), INTERFACE], Constant(value=2.0)),
    "no gradient": binary([RegularSolution(chi=1.5)], Constant(value=2.0)),
    "steep gradient": binary([WELL, SteepInterface()], Constant(value=2.0)),
    "quadrilaterals": binary([WELL, INTERFACE], Constant(value=2.0), {"cell_type": "tensor"}),
    "periodic": binary([WELL, INTERFACE], Constant(value=2.0), {"periodic": ["x"]}),
    "axisymmetric": binary([WELL, INTERFACE], Constant(value=2.0), {"axisymmetric": True}),
    "interval": binary([WELL, INTERFACE], Constant(value=2.0), {"shape": "interval", "size": 1.0, "cells": 9}),
    "box": binary([REGULAR, INTERFACE], Degenerate(diffusivity=2.0), {"shape": "box", "size": 1.0, "cells": 3}),
    "wall": binary([WELL, INTERFACE], Constant(value=2.0), boundary={"left": Boundary(wetting={"contact_angle": "60 deg"})}),
    "field": binary([WELL, INTERFACE, ExternalPotential(potential={"A": "x*y + t"})], Constant(value=2.0)),
    "temperature": binary([REGULAR, INTERFACE], Degenerate(diffusivity=2.0), temperature="1 + 0.1*x + 0.05*t"),
    "source": binary([WELL, INTERFACE], Constant(value=2.0), source="x + t"),
    "reservoirs": binary(
        [WELL, INTERFACE],
        Constant(value=2.0),
        boundary={"left": Boundary(concentration={"A": "0.3 + 0.1*y"}), "right": Boundary(chemical_potential={"A": 0.4})},
    ),
    "exchange": binary(
        [REGULAR, INTERFACE],
        Degenerate(diffusivity=2.0),
        boundary={
            "left": Boundary(exchange={"A": {"coefficient": 2.0, "potential_reference": 0.1}}),
            "right": Boundary(exchange={"A": {"coefficient": 3.0, "reference": 0.4}}),
            "top": Boundary(flux={"A": "0.1*x"}),
        },
    ),
    "reaction": ternary([LATTICE, INTERFACE], GASES, reaction=[{"stoichiometry": {"A": -1, "B": 1}, "rate": "2*A*B - C"}]),
    "ternary gases": ternary([LATTICE, INTERFACE], GASES),
    "ternary, constant": ternary([LATTICE, Gradient(kappa={"A": 0.02, "B": 0.05})], Onsager(matrix=[[1.0, -0.3], [-0.3, 0.8]])),
    "ternary, balance": ternary([LATTICE, Gradient(kappa={"A": 0.02, "C": 0.05})], GASES),
    "ternary, avf": ternary([LATTICE, INTERFACE], Onsager(matrix=[[1.0, -0.3], [-0.3, 0.8]]), scheme="avf"),
}


def prepared(problem: Problem) -> tuple[System, EliminatedOperators, AssembledOperators, np.random.Generator]:
    """A system in the middle of a step between two random states."""
    system = System(problem)
    formulation = system.formulation
    random = np.random.default_rng(COMM.rank)
    formulation.dt.value, formulation.a0.value = 0.03, 1.4
    formulation.at_time(0.2)
    system.conditions.update(0.2, 0.2)
    for function, size in ((formulation.u_old, 2 * system.n), (formulation.c_before, system.n)):
        function.x.array[: formulation.vertices * size] = random.uniform(0.1, 0.4, formulation.vertices * size)
        function.x.scatter_forward()
    own = EliminatedOperators(formulation, system.conditions, system.conditions.imposed_fluxes())  # of open systems only if they are large
    return system, own, own.whole, random


@pytest.mark.short
@pytest.mark.parametrize("name", CASES)
def test_residual_is_that_of_the_assembled_equations(name: str) -> None:
    """With mu = mu(c) the assembled potential equations vanish and the mass balances are R(c), to 1e-13; what is held is held."""
    system, own, whole, random = prepared(CASES[name])
    n = system.n
    for _ in range(2):
        x, r = own.vector(), own.vector()
        x.array_w[:] = random.uniform(0.1, 0.4, system.formulation.vertices * n)
        own.residual(x, r)
        found, expected = r.array_r.reshape(-1, n), whole.balance().reshape(-1, 2 * n)
        held_c, held_mu, given = own.held_c, own.held_mu, system.conditions.held_values()
        size = global_max(COMM, np.abs(expected))
        assert global_max(COMM, np.abs(expected[:, :n][~held_mu])) <= 1e-13 * size
        close(found[~held_mu], expected[:, n:][~held_mu])
        alone = held_mu & ~held_c
        close(found[alone], expected[:, :n][alone])
        close((found / own.volume)[held_c], (x.array_r.reshape(-1, n) - given[:, :n])[held_c])
        close(system.fields[:, n:][held_mu], given[:, n:][held_mu])
        close(own.balance(), expected.ravel())


@pytest.mark.parametrize("name", CASES)
def test_jacobian_is_the_schur_complement(name: str) -> None:
    """With dmu as the potential rows of the assembled Jacobian demand it, its mass rows are R'(c) dc, to 1e-12."""
    system, own, whole, random = prepared(CASES[name])
    n = system.n
    x, dc, product = own.vector(), own.vector(), own.vector()
    x.array_w[:] = random.uniform(0.1, 0.4, system.formulation.vertices * n)
    own.residual(x, product)
    own.jacobian(x)
    dc.array_w[:] = random.uniform(-1, 1, system.formulation.vertices * n)
    dc.array_w.reshape(-1, n)[own.held_c] = 0.0
    own.jacobian_matrix.mult(dc, product)
    state, direction, rows = (whole.vector() for _ in range(3))
    state.array_w[:] = system.values()
    whole.jacobian(state)
    direction.array_w.reshape(-1, 2 * n)[:, :n] = dc.array_r.reshape(-1, n)
    whole.jacobian_matrix.mult(direction, rows)
    force = rows.array_r.reshape(-1, 2 * n)[:, :n]
    direction.array_w.reshape(-1, 2 * n)[:, n:] = np.where(own.held_mu, 0.0, force / own.volume)
    whole.jacobian_matrix.mult(direction, rows)
    expected, found = rows.array_r.reshape(-1, 2 * n), product.array_r.reshape(-1, n)
    close(found[~own.held_mu], expected[:, n:][~own.held_mu], 1e-12)
    free = own.held_mu & ~own.held_c
    close(found[free], expected[:, :n][free], 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_energy_and_dissipation_are_the_integrals(name: str) -> None:
    system, own, _, random = prepared(CASES[name])
    x, r = own.vector(), own.vector()
    x.array_w[:] = random.uniform(0.1, 0.4, system.formulation.vertices * system.n)
    own.residual(x, r)
    energy = COMM.allreduce(fem.assemble_scalar(system._energy))
    assert own.energy() == pytest.approx(energy, rel=1e-12, abs=1e-13)
    assert own.dissipation() == pytest.approx(float(COMM.allreduce(system.cells.dissipation().sum())), rel=1e-10)


def close(a: Array, b: Array, relative: float = 1e-13) -> None:
    size = global_max(COMM, np.abs(b)) if COMM.allreduce(b.size) else 1.0
    if COMM.allreduce(b.size):
        assert global_max(COMM, np.abs(a - b)) <= relative * size


LINEAR = {
    name: CASES[name] for name in ("well, bdf2", "logarithms, bdf2", "wall", "reservoirs", "exchange", "ternary gases", "ternary, constant")
}


@pytest.mark.parametrize("kind", [Factorised, Factors])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_systems_are_solved(name: str, kind: type[Factorised] | type[Factors]) -> None:
    """To a residual of 1e-10 in few iterations: one or two with fresh factors of any model."""
    system, own, _, random = prepared(LINEAR[name])
    system.formulation.dt.value = 0.03 if kind is Factors else 0.003
    x, b, y = own.vector(), own.vector(), own.vector()
    x.array_w[:] = 0.3 + 0.01 * random.uniform(-1, 1, system.formulation.vertices * system.n)
    own.residual(x, b)
    own.jacobian(x)
    linear = kind(own)
    solver = PETSc.KSP().create(COMM)
    solver.setOperators(own.jacobian_matrix)
    solver.setType("fgmres")
    solver.setTolerances(rtol=1e-10, max_it=60)
    linear.attach(solver)
    linear.update(own.jacobian_matrix)
    solver.solve(b, y)
    assert solver.getConvergedReason() > 0
    residual = own.vector()
    own.jacobian_matrix.mult(y, residual)
    assert np.sqrt(COMM.allreduce(float(((residual.array_r - b.array_r) ** 2).sum()))) <= 1e-9 * b.norm()
    assert solver.getIterationNumber() <= (3 if kind is Factors else 40)


@pytest.mark.parametrize(("scheme", "critical"), [("backward-euler", 1.0), ("bdf2", 1.5), ("avf", 2.0)])
def test_saddles_are_told_from_minima_without_factors(scheme: str, critical: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uniform state of a double well is a minimum of the step's functional up to dt omega_max = a_0 (2 for the average over the step)."""
    monkeypatch.setattr("fem_diffusion.system.is_large", lambda unknowns, dimension: True)
    monkeypatch.setattr("fem_diffusion.elimination.SMALL", 0)
    problem = binary([DoubleWell(rho=5.0), Gradient(kappa=2e-3)], Constant(value=2.0), {"size": 1.0, "cells": 24}, scheme=scheme)
    system = System(problem.model_copy(update={"species": (Species(name="A", initial=0.5),)}))
    system.initialise()
    assert system.branch is not None
    k_squared = np.pi**2 * np.arange(1, 25) ** 2
    omega = 2.0 * (5.0 * k_squared - 2e-3 * k_squared**2)  # M k^2 (-f''(1/2) - kappa k^2), f''(1/2) = -rho
    growth = float(omega.max())
    c, uniform = system.concentrations.copy(), system.values()
    for factor, minimum in ((0.05, True), (0.9, True), (1.2, False), (20.0, False)):
        weights = system.scheme.weights(1.0)
        system.prepare(system.formulation, system.conditions, StepData(0.0, factor * critical / growth, weights, [c, c], uniform, uniform))
        system.set_values(uniform, system.formulation.u_old)
        system.set_values(uniform)
        assert system.branch.is_minimum() is minimum


@pytest.mark.parametrize(("scheme", "mobility"), [("backward-euler", Constant(value=2.0)), ("avf", Degenerate(diffusivity=2.0))])
def test_inexact_newton_keeps_mass(scheme: str, mobility: Mobility, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-13 over twenty steps with a linear tolerance of some per cent, and the answer of exact steps to 1e-8."""
    problem = binary([REGULAR, INTERFACE], mobility, {"cells": 16}, scheme=scheme)
    problem = problem.model_copy(update={"time": Time(end=0.02, step=1e-3, scheme=scheme)})
    answers = []
    for small in (10_000, 0):
        monkeypatch.setattr("fem_diffusion.elimination.SMALL", small)
        integrator = Integrator(System(problem))
        system = integrator.system
        before = system.masses()
        linear = sum(step.linear_iterations for step in integrator.steps())
        assert np.abs(system.masses() / before - 1).max() <= 1e-13
        answers.append(system.concentrations.copy())
    assert linear > 3 * 20
    assert global_max(COMM, np.abs(answers[1] - answers[0])) <= 1e-8
