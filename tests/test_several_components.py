"""Several order parameters: a ternary regular solution, independent species, and the balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion import (
    Average,
    Composition,
    Constant,
    Degenerate,
    DoubleWell,
    Gradient,
    InputError,
    Mesh,
    Mobility,
    Output,
    PairInteraction,
    Probe,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
)
from fem_diffusion.diagnostics import Columns
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.system import System

CHI = {"A-B": 3.0, "A-C": 0.5, "B-C": 3.5}  # demixes
KAPPA = 4e-4
MEAN = np.array([0.25, 0.4])
CELLS = 50
TERNARY = [Species(name="A", initial="0.25 + 0.01*noise"), Species(name="B", initial="0.4 + 0.01*noise"), Species(name="C", balance=True)]
SCHEMES = pytest.mark.parametrize("scheme", ["backward-euler", "convex-split", "avf", "bdf2"])


def system(
    species: list[Species],
    free_energy: list[Term],
    *,
    mobility: Mobility | None = None,
    mesh: Mesh | None = None,
    output: Output | None = None,
    **time: Any,
) -> System:
    return System(
        Problem(
            mesh=mesh or Mesh(shape="interval", size=1.0, cells=CELLS),
            species=species,
            free_energy=free_energy,
            mobility=mobility or Constant(value=1.0),
            time=Time(**time),
            output=output or Output(),
        )
    )


def ternary(species: list[Species] = TERNARY, **given: Any) -> System:
    return system(species, [RegularSolution(chi=CHI), Gradient(kappa=KAPPA)], **given)


def hessian(a: float, b: float) -> np.ndarray:
    """d^2 f/dc_i dc_j of sum x ln x + sum chi x x in the independent fractions a, b, with x_C = 1 - a - b."""
    c = 1 - a - b
    ac, bc = CHI["A-C"], CHI["B-C"]
    mixed = 1 / c + CHI["A-B"] - ac - bc
    return np.array([[1 / a + 1 / c - 2 * ac, mixed], [mixed, 1 / b + 1 / c - 2 * bc]])


EIGENVALUES = 2 * (1 - np.cos(np.pi * np.arange(1, CELLS + 1) / CELLS)) * CELLS**2  # of -d^2/dx^2 by lumped elements
MODES = [np.linalg.eigh(-k2 * (hessian(*MEAN) + KAPPA * k2 * np.eye(2))) for k2 in EIGENVALUES]
FASTEST = int(np.argmax([rates[-1] for rates, _ in MODES]))
GROWTH_TIME = 1 / MODES[FASTEST][0][-1]


# --- a ternary


@pytest.mark.short
def test_fastest_mode_grows_at_the_largest_eigenvalue() -> None:
    """c = mean + eps v cos(k x) with c' = -k^2 L (H + kappa k^2) c: 1 % is asked for with k^2 itself, 0.1 % with that of the mesh."""
    rates, vectors = MODES[FASTEST]
    k = np.pi * (FASTEST + 1)
    species = [
        Species(name=name, initial=f"{mean} + {1e-6 * v:.17g}*cos({k:.17g}*x)")
        for name, mean, v in zip("AB", MEAN, vectors[:, -1], strict=True)
    ]
    s = ternary([*species, TERNARY[-1]], scheme="bdf2", step=0.01 * GROWTH_TIME, end=GROWTH_TIME)
    integrator = Integrator(s)
    mode = s.volume * np.cos(k * s.formulation.x[0])

    def amplitudes() -> np.ndarray:
        return np.asarray(global_sum(s.comm, mode @ s.concentrations))

    start = amplitudes()
    for _ in integrator.steps():
        pass
    measured = np.log(amplitudes() / start) / GROWTH_TIME
    assert measured == pytest.approx([rates[-1]] * 2, rel=1e-3)
    continuous = np.linalg.eigvalsh(-(k**2) * (hessian(*MEAN) + KAPPA * k**2 * np.eye(2)))[-1]
    assert measured == pytest.approx([continuous] * 2, rel=1e-2)


@SCHEMES
@pytest.mark.parametrize("growth_times", [0.3, 10.0])
@pytest.mark.parametrize("mobility", [Constant(value=1.0), Degenerate(diffusivity=5.0)], ids=["constant", "degenerate"])
def test_masses_energy_and_bounds(scheme: str, growth_times: float, mobility: Mobility) -> None:
    dt = growth_times * GROWTH_TIME
    s = ternary(scheme=scheme, mobility=mobility, step=dt, end=50 * dt)
    integrator = Integrator(s)
    masses, energy = s.masses(), integrator.energy
    for step in integrator.steps():
        assert np.abs(s.masses() / masses - 1).max() <= 1e-13
        assert step.energy <= energy + 1e-12 * abs(energy)
        energy = step.energy
        low, high = s.bounds()
        assert low.min() > 0 and global_max(s.comm, s.concentrations.sum(axis=1)) < 1
    if scheme == "convex-split":
        assert integrator.rejections.total == 0  # uniquely solvable and dissipative at any step
    if scheme != "bdf2":
        assert integrator.rejections.energy == 0
    # B and C repel each other most: a phase poor in B and one rich in it
    assert low[1] < 0.2 and high[1] > 0.7


class Relative(Mobility):
    """L = 1 for the species A and B, seen by B and C = 1 - A - B: T L T^t with T = [[0, 1], [-1, -1]]."""

    def matrix(self, c: Composition) -> list[list[Any]]:
        return [[1.0, -1.0], [-1.0, 2.0]]


def test_physics_does_not_depend_on_which_component_is_the_balance() -> None:
    a, b, c = "0.25 + 0.02*cos(pi*x)", "0.4 + 0.02*cos(2*pi*x)", "0.35 - 0.02*cos(pi*x) - 0.02*cos(2*pi*x)"
    energy: list[Term] = [RegularSolution(chi=CHI), Gradient(kappa={"A": KAPPA, "B": KAPPA})]
    time = {"scheme": "backward-euler", "step": 0.5 * GROWTH_TIME, "end": 4 * GROWTH_TIME}
    by_c = system([Species(name="A", initial=a), Species(name="B", initial=b), Species(name="C", balance=True)], energy, **time)
    by_a = system(
        [Species(name="A", balance=True), Species(name="B", initial=b), Species(name="C", initial=c)], energy, mobility=Relative(), **time
    )
    for s in (by_c, by_a):
        for _ in Integrator(s).steps():
            pass
    in_b_and_c = np.column_stack([by_c.concentrations[:, 1], 1 - by_c.concentrations.sum(axis=1)])
    assert np.abs(by_a.concentrations - in_b_and_c).max(initial=0.0) <= 1e-12


def test_rest_is_the_same_with_and_without_a_name() -> None:
    species = [Species(name="A", initial="0.25 + 0.02*cos(pi*x)"), Species(name="B", initial="0.4 + 0.02*cos(2*pi*x)")]
    nameless = RegularSolution(chi={"A-B": 3.0, "rest-A": 0.5, "B-rest": 3.5})
    one = ternary([*species, TERNARY[-1]], step=GROWTH_TIME, end=4 * GROWTH_TIME)
    two = system(species, [nameless, Gradient(kappa=KAPPA)], step=GROWTH_TIME, end=4 * GROWTH_TIME)
    for s in (one, two):
        for _ in Integrator(s).steps():
            pass
    assert np.abs(one.concentrations - two.concentrations).max(initial=0.0) <= 1e-13


# --- independent species


def test_independent_species_do_not_feel_each_other() -> None:
    """Two double wells, one for each species, against each alone; the fixed step is within both growth times."""
    wells = {"A": DoubleWell(rho=3.0, a=0.0, b=0.6, species="A"), "B": DoubleWell(rho=5.0, a=0.1, b=0.6, species="B")}
    initial = {"A": "0.3 + 0.05*cos(pi*x/10)", "B": "0.35 + 0.05*cos(pi*x/5)"}
    mesh = Mesh(shape="interval", size=20.0, cells=CELLS)

    def final(names: str) -> np.ndarray:
        s = system(
            [Species(name=name, initial=initial[name]) for name in names],
            [*(wells[name] for name in names), Gradient(kappa=dict.fromkeys(names, 1.0))],
            mesh=mesh,
            scheme="avf",
            step=0.5,
            end=30.0,
        )
        for _ in Integrator(s).steps():
            pass
        return s.fields.copy()

    both, a, b = final("AB"), final("A"), final("B")
    assert np.abs(both - np.column_stack([a[:, 0], b[:, 0], a[:, 1], b[:, 1]])).max(initial=0.0) <= 1e-11
    assert global_max(MPI.COMM_WORLD, np.abs(a[:, 0] - 0.3)) > 0.15  # something happened


# --- the balance


def test_named_balance_has_its_columns() -> None:
    output = Output(probe=[Probe(name="p", at=(0.33,))], average=[Average(name="left", where="x < 0.5")])
    s = ternary(scheme="convex-split", step=GROWTH_TIME, end=20 * GROWTH_TIME, output=output)
    integrator, columns = Integrator(s), Columns(s)
    for step in integrator.steps():
        row = columns.row(step)
    assert row["mass_A"] + row["mass_B"] + row["mass_C"] == pytest.approx(1.0, abs=1e-14)
    assert row["mass_B"] == pytest.approx(s.masses()[1], abs=1e-15)
    rest = 1 - s.concentrations.sum(axis=1)
    assert row["max_C"] == global_max(s.comm, rest) and row["min_C"] == -global_max(s.comm, -rest)
    for columns_of in ("{}_p", "mean_{}_left"):
        assert sum(row[columns_of.format(name)] for name in "ABC") == pytest.approx(1.0, abs=1e-14)
    assert "mu_A_p" in row and "mu_C_p" not in row  # mu of the independent species is relative to the balance's


def test_nameless_rest_has_no_columns() -> None:
    species = [Species(name="A", initial="0.25"), Species(name="B", initial="0.4")]
    s = system(species, [RegularSolution(chi={"A-B": 3.0, "A-rest": 0.5, "B-rest": 3.5}), Gradient(kappa=KAPPA)], end=1.0)
    row = Columns(s).row(Integrator(s).start())
    assert [name for name in row if name.startswith("mass_")] == ["mass_A", "mass_B"]
    assert not any("rest" in name for name in row)


@pytest.mark.serial
@pytest.mark.parametrize("chi", [CHI, {"A-B": 3.0, "A-C": -4.0, "B-C": 3.5}, {"A-B": -3.0, "A-C": -4.0, "B-C": -3.5}])
def test_pair_interaction_splits_into_convex_and_concave(chi: dict[str, float]) -> None:
    """Second differences, exact for a quadratic: f_+ has no negative curvature, f - f_+ no positive one."""
    term = PairInteraction(chi=chi)

    def curvature(f: Callable[[Composition, Any], Any]) -> np.ndarray:
        def at(a: float, b: float) -> float:
            return float(f(Composition(("A", "B"), (a, b), "C"), None))

        mixed = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
        return np.array([[at(1, 0) - 2 * at(0, 0) + at(-1, 0), mixed], [mixed, at(0, 1) - 2 * at(0, 0) + at(0, -1)]])

    whole, convex = curvature(term.density), curvature(term.convex_part)
    assert np.linalg.eigvalsh(convex).min() >= -1e-12
    assert np.linalg.eigvalsh(whole - convex).max() <= 1e-12
    assert np.trace(convex) == pytest.approx(np.maximum(np.linalg.eigvalsh(whole), 0).sum(), abs=1e-12)  # and no more than it takes


def test_one_number_for_three_components_is_an_error() -> None:
    with pytest.raises(InputError, match="one number for 3 components .*give one for each pair"):
        system(TERNARY, [RegularSolution(chi=3.0), Gradient(kappa=KAPPA)], end=1.0)
    with pytest.raises(InputError, match="'A-D' is not a pair of species"):
        system(TERNARY, [RegularSolution(chi={"A-D": 3.0}), Gradient(kappa=KAPPA)], end=1.0)
