"""Crowded ions between reservoirs: who flows uphill, and how much, against boundary value problems solved by other means.

P1: constant forces 0 and -6 on two species, .2 -> .3 and .3 -> .3.  P2: ions +-1 in their own field, .1 -> .3 both, lam2 = .01, phi(1) = -V.
Of the mobilities A (Stirring), B (VolumeExclusion), C (Fick with LatticeGas) and of ideal ions only A drives species 1 of P1 uphill: a diagonal
mobility lets no species flow against the difference of its own electrochemical potential.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from independent_charged import Line, linear_exclusion_fluxes, stirring_fluxes
from scipy.optimize import root_scalar

from fem_diffusion import Boundary, ExternalPotential, Ideal, LatticeGas, Mesh, Problem, Species, Stirring, Time
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.mobility import Fick, VolumeExclusion
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.system import System

MODELS = ("A", "B", "C", "ideal")
P1_FLUXES = {  # these tables were computed apart from this project, by Chebyshev collocation
    "A": (0.324353947227, -1.26),
    "B": (-0.074049380298, -0.803086316248),
    "C": (-0.156200485920, -1.866943065394),
    "ideal": (-0.1, -1.8),
}
P2_FLUXES = {
    "A": (0.07332230250, -0.48392297577),
    "B": (-0.03215704692, -0.37157311223),
    "C": (-0.05449771548, -0.65506098166),
    "ideal": (0.07042143296, -0.48686097439),
}
P2_MIDDLE = {
    "A": (0.1918453921, 0.2055811975, -0.9059189144),
    "B": (0.1969965680, 0.2016403452, -0.8024637031),
    "C": (0.2097408427, 0.2223782590, -0.8988435004),
    "ideal": (0.1916123332, 0.2052917928, -0.9054208134),
}
P1 = {"left": (0.2, 0.3), "right": (0.3, 0.3), "forces": (0.0, -6.0)}
P2 = {"left": (0.1, 0.1), "right": (0.3, 0.3), "z": (1.0, -1.0), "V": 1.5, "lam2": 0.01}
STEADY = Time(end=100.0, steady=True)


def mixture(
    model: str, left: tuple[float, float], right: tuple[float, float], D: tuple[float, float] = (1.0, 1.0), **table: Any
) -> Problem:
    """Two species on (0, 1) between two reservoirs, from linear concentrations."""
    stirring = model == "A"
    z, v = table.pop("z", (0.0, 0.0)), table.pop("v", (1.0, 1.0))
    boundary = {
        side: {"concentration": {"a": c[0], "b": c[1]}} | ({"potential": phi} if any(z) else {})
        for side, c, phi in (("left", left, 0.0), ("right", right, -table.pop("V", 0.0)))
    }
    energy = [Ideal() if model == "ideal" else LatticeGas(), *table.pop("energy")]
    return Problem(
        species=[
            Species(name=name, charge=charge, size=size, initial=f"{a} + {b - a}*x", diffusivity=None if stirring else d)
            for name, charge, size, a, b, d in zip("ab", z, v, left, right, D, strict=True)
        ],
        free_energy=energy,
        mobility=Stirring(diffusivity=D[0]) if stirring else VolumeExclusion() if model == "B" else Fick(),
        boundary={side: Boundary(**conditions) for side, conditions in boundary.items()},
        **{"time": STEADY, **table},
    )


def line(cells: int) -> Mesh:
    return Mesh(shape="interval", size=1.0, cells=cells)


def constant_forces(model: str, cells: int) -> Problem:
    """P1: the force -6 on b is the potential 6 x."""
    return mixture(model, P1["left"], P1["right"], energy=[ExternalPotential(potential={"b": "6*x"})], mesh=line(cells))


def own_field(model: str, cells: int, V: float = 1.5, lam2: float = 0.01, **table: Any) -> Problem:
    """P2"""
    energy = [Electrostatic(permittivity=lam2)]
    return mixture(model, P2["left"], P2["right"], z=P2["z"], V=V, energy=energy, mesh=line(cells), **table)


def last_of(problem: Problem) -> tuple[System, Step]:
    system = System(problem)
    *_, last = Integrator(system).steps()
    return system, last


@cache
def steady(problem: Callable[[str, int], Problem], model: str, cells: int) -> tuple[System, Step]:
    return last_of(problem(model, cells))


def fluxes(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """J_a and J_b to the right, through both ends."""
    return np.array([-step.fluxes[name, "left"] for name in "ab"]), np.array([step.fluxes[name, "right"] for name in "ab"])


# --- the references


@pytest.mark.serial
@pytest.mark.parametrize("model", MODELS)
def test_references(model: str) -> None:
    """Eleven digits of the boundary value problems, by collocation elsewhere and here; P1 also in closed form."""
    constant = Line(model, **P1)
    assert constant.fluxes == pytest.approx(P1_FLUXES[model], abs=2e-11)
    charged = Line(model, **P2).solve()
    assert charged.p == pytest.approx(P2_FLUXES[model], abs=2e-11)
    assert charged.sol(0.5)[:3] == pytest.approx(P2_MIDDLE[model], abs=2e-10)
    if model == "A":
        a = 1.8  # J_b = -.3 (.7) 6, rho_a' = -J_a + a rho_a with rho_b = .3 throughout
        assert constant.fluxes == pytest.approx([a * (0.2 * np.exp(a) - 0.3) / (np.exp(a) - 1), -1.26], abs=1e-11)
        assert stirring_fluxes(P1["left"], P1["right"], P1["forces"]) == pytest.approx(constant.fluxes, abs=1e-11)
        assert constant.solve().sol([0.25, 0.5, 0.75])[0] == pytest.approx([0.211254492309, 0.228905049737, 0.256586634034], abs=1e-11)


@pytest.mark.serial
def test_reversal_of_the_references() -> None:
    """ln 3 and ln 6 make w_a(0) = w_a(1): no diagonal mobility moves a then."""
    for model, V in (("ideal", np.log(3)), ("B", np.log(6)), ("C", np.log(6)), ("A", 1.0898908093)):
        assert Line(model, **P2).reversal(0, 0.5, 2.5) == pytest.approx(V, abs=1e-9)
    assert Line("A", **{**P2, "lam2": 1.0}).reversal(0, 0.5, 2.5) == pytest.approx(1.0627927202, abs=1e-9)


# --- steady currents


@pytest.mark.short
@pytest.mark.parametrize("problem", [constant_forces, own_field])
@pytest.mark.parametrize("model", MODELS)
def test_steady_fluxes(problem: Callable[[str, int], Problem], model: str) -> None:
    """Within 1e-4 of the exact fluxes on 256 cells, at order 2, the same through both ends; only A (and ideal ions in P2) go uphill."""
    exact = np.array((P1_FLUXES if problem is constant_forces else P2_FLUXES)[model])
    found = {}
    for cells in (128, 256):
        _, last = steady(problem, model, cells)
        enters, leaves = fluxes(last)
        assert enters == pytest.approx(leaves, rel=1e-10)
        found[cells] = leaves
    assert found[256] == pytest.approx(exact, rel=1e-4)
    coarse, fine = np.abs(found[128] - exact), np.abs(found[256] - exact)
    measurable = coarse > 1e-9
    assert np.log2(coarse[measurable] / fine[measurable]) == pytest.approx(2.0, abs=0.05)
    uphill = model == "A" or (problem is own_field and model == "ideal")
    assert (found[256][0] > 0) == uphill  # a goes from .2 to .3, or from .1 to .3


@pytest.mark.parametrize("model", MODELS)
def test_middle_of_the_cell(model: str) -> None:
    system, _ = steady(own_field, model, 256)
    middle = np.abs(system.formulation.x[0] - 0.5) < 1e-12
    values = np.column_stack([system.concentrations, system.formulation.all_phi()[: system.formulation.vertices]])[middle]
    assert all(np.abs(row - P2_MIDDLE[model]).max() < 2e-5 for row in values)
    assert global_sum(system.comm, len(values)) == 1


@pytest.mark.parametrize(("model", "exact"), [("ideal", np.log(3)), ("B", np.log(6)), ("C", np.log(6)), ("A", 1.0898908093)])
def test_voltage_at_which_the_current_of_cations_turns(model: str, exact: float) -> None:
    """V* of J_a = 0, by the secant method on steady states: where the driving voltage begins to pump a uphill."""
    found = root_scalar(lambda V: fluxes(last_of(own_field(model, 128, V=float(V)))[1])[1][0], x0=exact - 0.2, x1=exact + 0.2, xtol=1e-5)
    assert found.converged
    assert found.root == pytest.approx(exact, abs=1e-3)


def test_linear_state_of_volume_exclusion() -> None:
    """Uncharged, D = (10, 1): both fractions and c_0 are linear, and .71 flows from the total .4 to .5: uphill.

    Linear elements hold it exactly in fractions; in entropy variables the error is of order 2, below 5e-5 on 64 cells.
    """
    left, right, D = (0.3, 0.1), (0.1, 0.4), (10.0, 1.0)
    exact = linear_exclusion_fluxes(left, right, D)
    assert exact == pytest.approx([0.9, -0.19], abs=1e-14)

    def solved(formulation: str, cells: int) -> tuple[float, float]:
        """Errors of the total flux, and of the fractions."""
        system, last = last_of(mixture("B", left, right, D, energy=[], mesh=line(cells), formulation=formulation))
        enters, leaves = fluxes(last)
        assert enters == pytest.approx(leaves, rel=1e-10)
        lines = np.array(left) + np.outer(system.formulation.x[0], np.subtract(right, left))
        return abs(leaves.sum() - 0.71), global_max(system.comm, np.abs(system.concentrations - lines))

    assert max(solved("fractions", 8)) < 1e-11
    coarse, fine = solved("entropy", 32), solved("entropy", 64)
    assert fine[0] < 5e-5
    for i in range(2):
        assert np.log2(coarse[i] / fine[i]) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("model", ["B", "C"])
def test_currents_of_unequal_ions(model: str) -> None:
    """Divalent cations of three sites, anions of one and a half, D = (1, 2): against a boundary value problem."""
    exact = Line(model, (0.03, 0.06), (0.06, 0.12), z=(2.0, -1.0), v=(3.0, 1.5), D=(1.0, 2.0), V=2.0, lam2=0.01)
    energy = [Electrostatic(permittivity=exact.lam2)]
    problem = mixture(model, exact.left, exact.right, exact.D, z=exact.z, v=exact.v, V=exact.V, energy=energy, mesh=line(256))
    enters, leaves = fluxes(last_of(problem)[1])
    assert enters == pytest.approx(leaves, rel=1e-10)
    assert leaves == pytest.approx(exact.fluxes, rel=1e-4)


@pytest.mark.parametrize("model", ["A", "B", "C"])
def test_transient_becomes_the_steady_state(model: str) -> None:
    """From linear fractions and their own phi, in error-controlled steps."""
    _, last = last_of(own_field(model, 64, time=Time(end=20.0)))
    assert last.number > 10
    _, goal = last_of(own_field(model, 64))
    for mine, its in zip(fluxes(last), fluxes(goal), strict=True):
        assert mine == pytest.approx(its, rel=1e-6)


@pytest.mark.parametrize("model", ["A", "B", "C"])
def test_closed_cell_relaxes(model: str) -> None:
    """Behind blocking walls F falls at every backward Euler step, bounds and masses hold, and the end is the equilibrium: uniform w."""
    problem = own_field(model, 64, V=5.0, time=Time(end=50.0, scheme="backward-euler", tolerance=1e-2))
    walls = {side: given.model_copy(update={"concentration": {}}) for side, given in problem.boundary.items()}
    system = System(problem.model_copy(update={"boundary": walls}))
    integrator = Integrator(system)
    energy, masses = integrator.start().energy, system.masses()
    for step in integrator.steps():
        assert step.energy <= energy + 1e-14 * abs(energy)
        assert global_min(system.comm, system.formulation.components) > 0
        assert system.masses() == pytest.approx(masses, rel=1e-13)
        energy = step.energy
    w = system.potentials()
    assert max(global_max(system.comm, column) - global_min(system.comm, column) for column in w.T) < 1e-6
