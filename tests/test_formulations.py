"""What each choice of unknowns promises: the equations written by hand, mass, bounds, energy, equilibrium; and which choice is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ufl
from mpi4py import MPI

from fem_diffusion import (
    Boundary,
    Darken,
    Degenerate,
    ExternalPotential,
    Fick,
    FloryHuggins,
    Gradient,
    Ideal,
    InputError,
    LatticeGas,
    MaxwellStefan,
    Mesh,
    Mobility,
    Onsager,
    Problem,
    RegularSolution,
    Species,
    StepFailed,
    Stirring,
    Term,
    Time,
)
from fem_diffusion.elimination import EliminatedOperators
from fem_diffusion.integrator import Integrator
from fem_diffusion.newton import Converged, Newton
from fem_diffusion.operators import AssembledOperators
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.system import System

Array = np.ndarray
COMM = MPI.COMM_WORLD
D12, D13, D23 = 0.833, 0.68, 0.168  # H2, N2, CO2 at 35 C, cm^2/s
GASES = MaxwellStefan(diffusivities={"A-B": D12, "A-C": D13, "B-C": D23})


def problem(
    initial: dict[str, str | float],
    free_energy: Term | list[Term],
    mobility: Mobility,
    *,
    mesh: Mesh | None = None,
    balance: str | None = "C",
    **given: Any,
) -> Problem:
    species = [Species(name=name, initial=value) for name, value in initial.items()]
    return Problem(
        mesh=mesh or Mesh(shape="interval", size=1.0, cells=4),
        species=[*species, Species(name=balance, balance=True)] if balance else species,
        free_energy=free_energy if isinstance(free_energy, list) else [free_energy],
        mobility=mobility,
        **({"time": Time(end=1.0)} | given),
    )


# --- the equations, written by hand


def maxwell_stefan(x: tuple[Any, Any], g: tuple[Any, Any]) -> tuple[Any, Any]:
    """-B^-1 g by Cramer's rule (Taylor & Krishna 1993, eqs. 2.1.20, 2.1.21)."""
    x1, x2 = x
    x3 = 1 - x1 - x2
    B11, B12 = x1 / D13 + x2 / D12 + x3 / D13, -x1 * (1 / D12 - 1 / D13)
    B21, B22 = -x2 * (1 / D12 - 1 / D23), x2 / D23 + x1 / D12 + x3 / D23
    det = B11 * B22 - B12 * B21
    return -(B22 * g[0] - B12 * g[1]) / det, -(B11 * g[1] - B21 * g[0]) / det


def spread(x: tuple[Any, Any], g: tuple[Any, Any]) -> tuple[Any, Any]:
    """(diag(x) - x x^T) g"""
    mean = x[0] * g[0] + x[1] * g[1]
    return x[0] * (g[0] - mean), x[1] * (g[1] - mean)


CHI12, CHI13, CHI23 = -2.0, 0.5, 1.0
REGULAR = RegularSolution(chi={"A-B": CHI12, "A-C": CHI13, "B-C": CHI23})


@dataclass(frozen=True)
class Step:
    """What a form by hand is made of."""

    u: tuple[Any, ...]
    v: tuple[Any, ...]
    before: tuple[Any, ...]
    vertices: Any
    interior: Callable[[int], Any]
    a0: float = 1.5
    dt: float = 0.37

    def balances(self, x: Iterable[Any], J: Iterable[Any], v: Iterable[Any], dx: Any) -> Any:
        return sum(
            self.a0 * (x_i - before) * v_i * self.vertices - self.dt * ufl.inner(J_i, ufl.grad(v_i)) * dx
            for x_i, before, J_i, v_i in zip(x, self.before, J, v, strict=True)
        )

    def gas_in_fractions(self) -> Any:
        x = self.u
        return self.balances(x, maxwell_stefan(x, (ufl.grad(x[0]), ufl.grad(x[1]))), self.v, self.interior(4))

    def regular_in_fractions(self) -> Any:
        x, g = self.u, [ufl.grad(x_i) for x_i in self.u]
        off = CHI12 - CHI13 - CHI23
        excess = spread(x, (-2 * CHI13 * g[0] + off * g[1], off * g[0] - 2 * CHI23 * g[1]))
        return self.balances(x, maxwell_stefan(x, (g[0] + excess[0], g[1] + excess[1])), self.v, self.interior(4))

    def gas_in_entropy_variables(self) -> Any:
        e = [ufl.exp(w) for w in self.u]
        x = (e[0] / (1 + e[0] + e[1]), e[1] / (1 + e[0] + e[1]))
        J = maxwell_stefan(x, spread(x, (ufl.grad(self.u[0]), ufl.grad(self.u[1]))))
        return self.balances(x, J, self.v, self.vertices)

    def regular_with_potentials(self) -> Any:
        x1, x2, mu1, mu2 = self.u
        x, x3 = (x1, x2), 1 - x1 - x2
        potentials = (
            ufl.ln(x1) - ufl.ln(x3) + CHI12 * x2 + CHI13 * (x3 - x1) - CHI23 * x2,
            ufl.ln(x2) - ufl.ln(x3) + CHI12 * x1 + CHI23 * (x3 - x2) - CHI13 * x1,
        )
        J = maxwell_stefan(x, spread(x, (ufl.grad(mu1), ufl.grad(mu2))))
        F = self.balances(x, J, self.v[2:], self.interior(4))
        return F + sum((p - mu) * q * self.vertices for p, mu, q in zip(potentials, (mu1, mu2), self.v, strict=False))

    def ions_in_concentrations(self) -> Any:
        c = self.u
        return self.balances(c, (-0.7 * ufl.grad(c[0]), -1.9 * ufl.grad(c[1])), self.v, self.interior(4))

    def ions_in_entropy_variables(self) -> Any:
        c = [ufl.exp(w - 1) for w in self.u]
        return self.balances(c, (-0.7 * c[0] * ufl.grad(self.u[0]), -1.9 * c[1] * ufl.grad(self.u[1])), self.v, self.vertices)


IONS = Fick(diffusivities={"A": 0.7, "B": 1.9})


@pytest.mark.parametrize(
    ("energy", "mobility", "formulation", "by_hand"),
    [
        (Ideal(), GASES, "fractions", Step.gas_in_fractions),
        (REGULAR, GASES, "fractions", Step.regular_in_fractions),
        (Ideal(), GASES, "entropy", Step.gas_in_entropy_variables),
        (REGULAR, GASES, "potential", Step.regular_with_potentials),
        (Ideal(), IONS, "fractions", Step.ions_in_concentrations),
        (Ideal(), IONS, "entropy", Step.ions_in_entropy_variables),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_residual_and_jacobian_as_written_by_hand(
    energy: Term, mobility: Mobility, formulation: str, by_hand: Callable[[Step], Any]
) -> None:
    mesh = Mesh(shape="rectangle", size=[1.3, 0.8], cells=[5, 4])
    balance = None if mobility is IONS else "C"
    system = System(problem({"A": 0.3, "B": 0.3}, energy, mobility, mesh=mesh, balance=balance, formulation=formulation))
    f = system.formulation
    domain = system.geometry.mesh
    step = Step(
        u=tuple(ufl.split(f.u)),
        v=tuple(ufl.split(ufl.TestFunction(f.space))),
        before=tuple(ufl.split(f.c_before)),
        vertices=ufl.Measure("dx", domain=domain, metadata={"quadrature_rule": "vertex", "quadrature_degree": 1}),
        interior=lambda degree: ufl.Measure("dx", domain=domain, metadata={"quadrature_degree": degree}),
    )
    F = by_hand(step)
    hand = AssembledOperators(f.u, F, ufl.derivative(F, f.u, ufl.TrialFunction(f.space)), [], f.changed)
    own = system.operators.whole if isinstance(system.operators, EliminatedOperators) else system.operators

    f.dt.value, f.a0.value = step.dt, step.a0
    random = np.random.default_rng(COMM.rank)
    f.c_before.x.array[:] = random.uniform(0.05, 0.45, len(f.c_before.x.array))
    f.c_before.x.scatter_forward()
    for _ in range(3):
        state = hand.vector()
        state.array_w[:] = random.uniform(0.05, 0.45, system.owned)
        matrices = []
        for operators in (hand, own):
            operators.jacobian(state)
            matrices.append(operators.jacobian_matrix.getValuesCSR()[2])
        close(own.balance(), hand.balance())
        close(matrices[1], matrices[0])


def close(a: Array, b: Array) -> None:
    assert global_max(COMM, np.abs(a - b)) <= 1e-14 * global_max(COMM, np.abs(b))


# --- zero fractions


@dataclass
class Record:
    """Extremes over all vertices and steps of a run."""

    system: System
    steps: int
    smallest: float
    sum_error: float
    mass_drift: float
    energies: Array
    dissipation: Array


def record(given: Problem) -> Record:
    system = System(given)
    integrator = Integrator(system)
    mass = system.masses()
    smallest, sum_error, drift, energies, dissipation = [], [], [], [integrator.energy], []
    for step in integrator.steps():
        x = system.formulation.components
        smallest.append(global_min(COMM, x))
        sum_error.append(global_max(COMM, np.abs(x.sum(axis=1) - 1)))
        drift.append(np.abs(system.masses() / mass - 1).max())
        energies.append(step.energy)
        dissipation.append(step.dissipation)
    return Record(system, len(smallest), min(smallest), max(sum_error), max(drift), np.array(energies), np.array(dissipation))


BAR = {"A": "where(x < 0.5, 0.0, 0.501)", "B": "where(x < 0.5, 0.501, 0.499)"}  # C: 0.499 | 0, Duncan & Toor's gases


def rhombus(folder: Path, *, acute: bool) -> Mesh:
    """Sides of one at 60 degrees, cut into equilateral triangles; or into triangles with an angle of 120 degrees."""
    if COMM.rank == 0:
        (folder / "rhombus.geo").write_text(
            f"""
            Point(1) = {{0, 0, 0}}; Point(2) = {{1, 0, 0}}; Point(3) = {{1.5, {np.sqrt(0.75)!s}, 0}}; Point(4) = {{0.5, {np.sqrt(0.75)!s}, 0}};
            Line(1) = {{1, 2}}; Line(2) = {{2, 3}}; Line(3) = {{3, 4}}; Line(4) = {{4, 1}};
            Curve Loop(1) = {{1, 2, 3, 4}}; Plane Surface(1) = {{1}};
            Transfinite Curve {{1, 2, 3, 4}} = 16; Transfinite Surface {{1}} {"Left" if acute else "Right"};
            """
        )
    COMM.barrier()
    return Mesh(file="rhombus.geo")


def bar(mesh: Mesh, folder: Path, formulation: str | None, **time: Any) -> Problem:
    return problem(BAR, Ideal(), GASES, mesh=mesh, directory=folder, formulation=formulation, time=Time(**time))


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("formulation", [None, "entropy"])
def test_gases_that_are_absent_from_half_of_a_bar(folder: Path, dimension: int, formulation: str | None) -> None:
    mesh = Mesh(shape="interval", size=1.0, cells=51) if dimension == 1 else rhombus(folder, acute=True)
    run = record(bar(mesh, folder, formulation, end=0.4, step=0.4 / 110, scheme="backward-euler"))
    assert run.system.formulation.name == (formulation or "fractions")
    assert run.steps >= 100
    assert run.smallest > 0 if formulation else run.smallest >= -1e-15
    assert run.sum_error <= 1e-14
    assert run.mass_drift <= 1e-13
    assert run.dissipation.min() >= 0
    assert np.diff(run.energies).max() <= 1e-12 * abs(run.energies[0])


def test_obtuse_cells_need_entropy_variables(folder: Path) -> None:
    """Diffusion across an obtuse angle takes from the empty side: that is why the formulation is chosen by the mesh."""
    mesh = rhombus(folder, acute=False)
    steps = {"end": 0.004, "step": 0.0005, "scheme": "backward-euler"}
    chosen = record(bar(mesh, folder, None, **steps))
    assert (chosen.system.formulation.name, chosen.system.why_formulation) == (
        "entropy",
        "fractions start at zero on cells with obtuse angles",
    )
    assert chosen.smallest > 0
    with pytest.raises(StepFailed, match="a fraction would fall to -0.0.*'entropy'"):
        record(bar(mesh, folder, "fractions", **steps))


def test_energy_of_fractions_below_zero_and_above_one() -> None:
    """Independent concentrations may add up to more than one; fractions on obtuse cells to less than nothing of the rest."""
    system = System(problem({"A": 0.3, "B": 0.3}, Ideal(), IONS, balance=None))
    system.formulation.set_concentrations(np.tile([0.8, 0.9], (len(system.concentrations), 1)))
    assert system.energy(0.0) == pytest.approx(0.8 * np.log(0.8) + 0.9 * np.log(0.9), rel=1e-14)
    system = System(problem({"A": 0.3, "B": 0.3}, Ideal(), GASES, mesh=Mesh(shape="interval", size=1.0, cells=100)))
    a = 0.01 + 0.98 * system.formulation.x[0]  # the rest is absent, and what is absent does not count
    mixed = global_sum(COMM, system.volume @ (a * np.log(a) + (1 - a) * np.log(1 - a)))
    for excess in (0.0, 1e-16, 1e-12, 1e-6):
        system.formulation.set_concentrations(np.column_stack([a, 1 - a + excess]))
        assert system.energy(0.0) == pytest.approx(mixed, rel=1e-11, abs=2 * excess)
    system.formulation.set_concentrations(np.tile([-1e-4, 1 + 1e-4], (len(a), 1)))
    assert system.energy(0.0) == pytest.approx(0.0, abs=1e-12)


# --- nearly empty, nearly full


DRIFT = ExternalPotential(potential={"A": "3*x", "B": "-2*x"})
VACUUM, FULL = 1e-12, 1 - 1e-10
LAYERS = {
    "vacuum, 2 species": {"A": f"where(x < 0.5, 0.3, {VACUUM})", "B": f"where(x < 0.5, {VACUUM}, 0.2)"},
    "vacuum, 3 species": {
        "A": f"where(x < 0.5, 0.3, {VACUUM})",
        "B": f"where(x < 0.5, {VACUUM}, 0.2)",
        "C": f"where(x < 0.3, {VACUUM}, 0.1)",
    },
    "saturation, 2 species": {"A": f"where(x < 0.5, {FULL} - 0.5, 0.1)", "B": "where(x < 0.5, 0.5, 0.1)"},
    "saturation, 3 species": {"A": f"where(x < 0.5, {FULL} - 0.6, 0.1)", "B": "where(x < 0.5, 0.4, 0.1)", "C": "where(x < 0.5, 0.2, 0.05)"},
}


def layers(name: str, formulation: str | None, cells: int, **time: Any) -> Problem:
    mesh = Mesh(shape="interval", size=1.0, cells=cells)
    gas = [LatticeGas(), DRIFT]
    return problem(
        LAYERS[name], gas, Stirring(diffusivity=1.0), mesh=mesh, balance=None, formulation=formulation, time=Time(end=0.1, **time)
    )


def along(system: System, cells: int) -> Array:
    """c at all vertices of the unit interval, on all ranks."""
    c = np.zeros((cells + 1, system.n))
    c[np.rint(system.formulation.x[0] * cells).astype(int)] = system.concentrations
    return global_sum(COMM, c)


@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
@pytest.mark.parametrize("name", LAYERS)
def test_vacuum_and_saturation(name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state in which a vertex is cut off solves the equations too: only another formulation on a fine mesh tells."""
    monkeypatch.setattr("fem_diffusion.initial.TRACE", 1e-13)  # below the vacuum
    system = System(layers(name, None, 64, scheme=scheme, tolerance=5e-3))
    assert system.formulation.name == "entropy"
    integrator = Integrator(system)
    mass, smallest = system.masses(), 1.0
    for _ in integrator.steps():
        smallest = min(smallest, global_min(COMM, system.formulation.components))
    fine = System(layers(name, "fractions", 512, scheme="bdf2", tolerance=1e-3))
    *_, _ = Integrator(fine).steps()
    error = np.abs(along(system, 64) - along(fine, 512)[::8]).mean()
    assert error <= 5e-3
    assert smallest > 1e-3 * min(VACUUM, 1 - FULL)
    assert np.abs(system.masses() / mass - 1).max() <= 1e-13


@pytest.mark.parametrize("name", LAYERS)
def test_few_newton_iterations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In about a dozen long steps from 1e-3 to 0.1, those of rejected steps and of the predictor included."""
    taken = []
    solve = Newton.solve

    def counted(newton: Newton, guess: Array, **how: bool) -> Converged:
        taken.append(solve(newton, guess, **how))
        return taken[-1]

    monkeypatch.setattr("fem_diffusion.initial.TRACE", 1e-13)
    monkeypatch.setattr(Newton, "solve", counted)
    *_, last = Integrator(System(layers(name, None, 64, scheme="backward-euler", initial_step=1e-3, tolerance=0.3))).steps()
    assert 10 <= last.number <= 15
    assert sum(result.newton_iterations for result in taken) <= 75


# --- equilibrium


V_A, V_B = "15*((x - 0.4)**2 + 2*y**2)", "20*x"
BOLTZMANN = {"A": f"exp(-{V_A})"}
FERMI = {"A": f"2*exp(-{V_A})/(1 + 2*exp(-{V_A}) + 5*exp(-{V_B}))", "B": f"5*exp(-{V_B})/(1 + 2*exp(-{V_A}) + 5*exp(-{V_B}))"}


@pytest.mark.parametrize(
    ("initial", "gas", "mobility"),
    [(BOLTZMANN, Ideal(), Fick(diffusivities={"A": 0.7})), (FERMI, LatticeGas(), Stirring(diffusivity=0.7))],
    ids=["Boltzmann", "Fermi"],
)
def test_equilibrium_in_a_field_stays(folder: Path, initial: dict[str, str | float], gas: Term, mobility: Mobility) -> None:
    """20 RT deep, on a coarse mesh without symmetry, which cannot resolve it."""
    if COMM.rank == 0:
        (folder / "coarse.geo").write_text(
            'SetFactory("OpenCASCADE"); Rectangle(1) = {0, 0, 0, 1, 0.7}; Disk(2) = {0.6, 0.4, 0, 0.15};'
            "BooleanDifference{ Surface{1}; Delete; }{ Surface{2}; Delete; } Mesh.MeshSizeMax = 0.15;"
        )
    COMM.barrier()
    field = ExternalPotential(potential={"A": V_A, "B": V_B} if len(initial) == 2 else {"A": V_A})
    mesh, time = Mesh(file="coarse.geo"), Time(end=100.0, step=10.0)
    system = System(problem(initial, [gas, field], mobility, mesh=mesh, balance=None, directory=folder, time=time))
    assert system.formulation.name == "entropy"
    integrator = Integrator(system)
    start = system.concentrations.copy()
    for _ in integrator.steps():
        assert global_max(COMM, np.abs(system.concentrations / start - 1)) <= 1e-12
        assert max(global_max(COMM, np.abs(J)) for J in system.cells.fluxes().values()) <= 1e-12


# --- couples


@pytest.mark.parametrize(
    ("chi", "largest", "smallest"),
    [((-2.0, 0.0, 0.0), 0.26217878, 0.23735915), ((0.0, 1.5, 0.0), 0.26288046, 0.23678227), ((0.0, 0.0, 0.0), 0.25, 0.25)],
)
def test_couple_without_a_miscibility_gap_goes_uphill(chi: tuple[float, float, float], largest: float, smallest: float) -> None:
    """x_1 is .25 on both sides, x_2 .1 | .4; the extremes of x(z/sqrt t) are those of scipy's solve_bvp (test_independent.py)."""
    mesh, time = Mesh(shape="interval", size=16.0, origin=-8.0, cells=401), Time(end=1.0, tolerance=1e-3)
    energy = RegularSolution(chi=dict(zip(("A-B", "A-C", "B-C"), chi, strict=True)))
    initial = {"A": 0.25, "B": "where(x < 0, 0.1, 0.4)"}
    system = System(problem(initial, energy, Stirring(diffusivity=1.0), mesh=mesh, time=time))
    *_, _ = Integrator(system).steps()
    (low, _), (high, _) = system.bounds()
    tolerance = 3e-4 if any(chi) else 1e-12
    assert (low, high) == (pytest.approx(smallest, abs=tolerance), pytest.approx(largest, abs=tolerance))


# --- which one is taken


TWO: dict[str, str | float] = {"A": 0.3, "B": 0.3}
FIELD = ExternalPotential(potential={"A": "2*x"})
SMOOTH = "a smooth mixture: the fewest unknowns"
BUILT_IN = "an external potential: bounds and equilibrium are built in"
GRADIENTS = "the free energy depends on gradients or walls"
TRACERS = {"A": 1.0, "B": 2.0}


def reservoir(**given: Any) -> dict[str, Boundary]:
    return {"left": Boundary(**given)}


CHOICES: dict[str, tuple[Problem, str, str]] = {
    "gases": (problem(TWO, Ideal(), GASES), "fractions", SMOOTH),
    "alloy": (problem(TWO, REGULAR, Stirring(diffusivity=1.0)), "fractions", SMOOTH),
    "polymers": (problem({"A": 0.3}, FloryHuggins(chi=0.1, N_A=2.0), Stirring(diffusivity=1.0)), "fractions", SMOOTH),
    "ions": (problem(TWO, Ideal(), Fick(diffusivities=TRACERS), balance=None), "fractions", SMOOTH),
    "lattice": (problem(TWO, Ideal(), Darken(diffusivities=TRACERS | {"C": 3.0})), "fractions", SMOOTH),
    "ions in a field": (problem(TWO, [Ideal(), FIELD], Fick(diffusivities=TRACERS), balance=None), "entropy", BUILT_IN),
    "gases in a field": (problem(TWO, [Ideal(), FIELD], GASES), "entropy", BUILT_IN),
    "alloy in a field": (problem(TWO, [REGULAR, FIELD], Stirring(diffusivity=1.0)), "fractions", SMOOTH),
    "beside nothing": (problem(TWO, [Ideal(), FIELD], GASES, boundary=reservoir(concentration={"A": 0.0})), "fractions", SMOOTH),
    "given L": (problem(TWO, Ideal(), Onsager(matrix=[[2.0, -0.5], [-0.5, 1.0]])), "entropy", "an ideal mixture: bounds are built in"),
    "given mu": (
        problem(TWO, Ideal(), GASES, boundary=reservoir(chemical_potential={"A": 0.0})),
        "entropy",
        "an ideal mixture: bounds are built in",
    ),
    "interfaces": (problem(TWO, [REGULAR, Gradient(kappa=0.01)], Degenerate(diffusivity=1.0)), "potential", GRADIENTS),
    "averages": (
        problem(TWO, REGULAR, GASES, time=Time(end=1.0, scheme="avf")),
        "potential",
        "the time scheme takes mu between two states",
    ),
    "given L of an alloy": (
        problem(TWO, REGULAR, Onsager(matrix=[[2.0, -0.5], [-0.5, 1.0]])),
        "potential",
        "[mobility] Onsager does not state its fluxes by thermodynamic forces",
    ),
    "asked for": (problem(TWO, Ideal(), GASES, formulation="potential"), "potential", "as asked for"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name: str) -> None:
    given, formulation, why = CHOICES[name]
    system = System(given)
    assert (system.formulation.name, system.why_formulation) == (formulation, why)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            problem(TWO, REGULAR, GASES, formulation="entropy"),
            "formulation = 'entropy' is not possible: [[free_energy]] RegularSolution is no ideal entropy of mixing; "
            "take 'fractions', 'potential', or leave the choice to the program",
        ),
        (
            problem(TWO, [REGULAR, Gradient(kappa=0.01)], GASES, formulation="fractions"),
            f"formulation = 'fractions' is not possible: {GRADIENTS}; take 'potential', or leave the choice to the program",
        ),
        (
            problem(TWO, Ideal(), GASES, boundary=reservoir(concentration={"A": 0.0}), formulation="entropy"),
            "formulation = 'entropy' is not possible: [boundary.left] fixes the concentrations of some species only, on all of which the chemical "
            "potentials depend; take 'fractions', or leave the choice to the program",
        ),
        (
            problem({"A": 0.3}, FloryHuggins(chi=0.0, N_A=2.0), Stirring(diffusivity=1.0), formulation="entropy"),
            "formulation = 'entropy' is not possible: [[free_energy]] FloryHuggins is no ideal entropy of mixing; "
            "take 'fractions', 'potential', or leave the choice to the program",
        ),
        (
            problem(TWO, Ideal(), GASES, formulation="fractions", time=Time(end=1.0, scheme="avf")),
            "formulation = 'fractions' is not possible: the time scheme takes mu between two states; "
            "take 'potential', or leave the choice to the program",
        ),
    ],
)
def test_impossible_wishes_are_errors(given: Problem, message: str) -> None:
    with pytest.raises(InputError) as error:
        System(given)
    assert str(error.value) == message
