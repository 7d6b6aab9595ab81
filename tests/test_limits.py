"""Models at the ends of their range: nothing of a species, more than one, places that matter, drift that empties the cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fem_diffusion import (
    Boundary,
    ExternalPotential,
    Fick,
    Ideal,
    InputError,
    LatticeGas,
    MaxwellStefan,
    Mesh,
    PairInteraction,
    Problem,
    Reaction,
    RegularSolution,
    Species,
    StepFailed,
    Stirring,
    Term,
    Time,
)
from fem_diffusion.check import check
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_max, global_min
from fem_diffusion.system import System

pytestmark = pytest.mark.short

ONE = Fick(diffusivities={"A": 1.0})
TWO = Fick(diffusivities={"A": 1.0, "B": 1.0})


def finished(**given: Any) -> System:
    """The state at the end, by default t = 1, of a bar of length 1."""
    system = System(Problem(**({"mesh": Mesh(shape="interval", size=1.0, cells=40), "time": Time(end=1.0)} | given)))
    for _ in Integrator(system).steps():
        pass
    return system


def test_a_species_that_a_reaction_makes_from_nothing() -> None:
    system = finished(
        species=[Species(name="A", initial=0.5), Species(name="B", initial=0.0)],
        free_energy=[Ideal()],
        mobility=TWO,
        reaction=[Reaction(stoichiometry={"A": -1, "B": 1}, rate="A")],
    )
    assert system.masses() == pytest.approx([0.5 * np.exp(-1), 0.5 * (1 - np.exp(-1))], rel=1e-3)


@pytest.mark.parametrize("given", [{"source": 1.0}, {}])
def test_a_species_that_comes_from_outside_into_nothing(given: dict[str, float]) -> None:
    boundary = {} if given else {"left": Boundary(flux={"A": -1.0})}
    system = finished(species=[Species(name="A", initial=0.0, **given)], free_energy=[Ideal()], mobility=ONE, boundary=boundary)
    assert system.masses() == pytest.approx([1.0], rel=1e-12)


def test_independent_concentrations_may_exceed_one() -> None:
    """c = 2 + cos(pi x) exp(-pi^2 t) solves Fick's equation."""
    system = finished(
        species=[Species(name="A", initial="2 + cos(pi*x)")], free_energy=[Ideal()], mobility=ONE, time=Time(end=0.1, tolerance=1e-4)
    )
    exact = 2 + np.cos(np.pi * system.formulation.x[0]) * np.exp(-0.1 * np.pi**2)
    assert system.concentrations[:, 0] == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("formulation", ["fractions", "entropy", "potential"])
def test_a_reservoir_with_a_concentration_above_one(formulation: str) -> None:
    system = finished(
        species=[Species(name="A", initial=0.5)],
        free_energy=[Ideal()],
        mobility=ONE,
        boundary={"left": Boundary(concentration={"A": 2.5})},
        time=Time(end=20.0),
        formulation=formulation,
    )
    assert system.concentrations[:, 0] == pytest.approx(np.full(len(system.concentrations), 2.5), rel=1e-6)


class Gravity(Term):
    """A user's own field: f = k x c_1"""

    k: float

    def density(self, c: Any, phi: Any) -> Any:
        return self.k * c.x[0] * c[0]


@pytest.mark.parametrize("field", [Gravity(k=1.5), ExternalPotential(potential={"A": "1.5*x"})], ids=["own", "built in"])
@pytest.mark.parametrize("formulation", ["fractions", "potential"])
def test_a_reservoir_in_a_field(field: Term, formulation: str) -> None:
    """Barometric: c = 0.2 exp(1.5 (1 - x)) below a reservoir at x = 1."""
    system = finished(
        species=[Species(name="A", initial=0.1)],
        free_energy=[Ideal(), field],
        mobility=ONE,
        boundary={"right": Boundary(concentration={"A": 0.2})},
        time=Time(end=20.0),
        formulation=formulation,
    )
    x = system.formulation.x[0]
    assert system.concentrations[:, 0] == pytest.approx(0.2 * np.exp(1.5 * (1 - x)), rel=1e-3)
    mu = system.potentials()[: system.formulation.vertices, 0]
    assert mu == pytest.approx(np.full(len(mu), np.log(0.2) + 1 + 1.5), abs=1e-3)


@pytest.mark.parametrize("strength", [30, 140, 200])
def test_drift_that_empties_one_end_and_fills_the_other(strength: int) -> None:
    """Fermi's distribution: x/(1-x) = exp(w - V), in which the fractions fall to exp(-strength)."""
    system = finished(
        species=[Species(name="A", initial=0.3)],
        free_energy=[LatticeGas(), ExternalPotential(potential={"A": f"{strength}*x"})],
        mobility=ONE,
    )
    w = system.fields[:, 0]
    assert global_max(system.comm, w) - global_min(system.comm, w) < 0.01 * strength
    assert system.masses() == pytest.approx([0.3], rel=1e-12)


def test_a_reservoir_that_all_but_empties() -> None:
    """Where a reservoir takes the particles away, a fraction may fall by any factor at once. (Entropy variables see the wall closer by most of
    a cell: w falls by 16 in it.)"""
    system = finished(
        mesh=Mesh(shape="interval", size=1.0, cells=200),
        species=[Species(name="A", initial=1e-3)],
        free_energy=[LatticeGas()],
        mobility=ONE,
        boundary={"left": Boundary(concentration={"A": "where(t < 0.05, 1e-3, 1e-11)"})},
    )
    slowest = 1e-3 * 4 / np.pi * np.exp(-((np.pi / 2) ** 2) * 0.95)
    assert global_max(system.comm, system.concentrations) == pytest.approx(slowest, rel=0.05)


@pytest.mark.parametrize("reservoir", [{"A": 0.6, "B": 0.4}, {"A": 0.6}, {"A": "0*x", "B": 0.2}], ids=["full", "partial", "empty"])
def test_reservoirs_that_have_no_chemical_potentials(reservoir: dict[str, Any]) -> None:
    """Entropy variables would suit the external potential, but not such a reservoir."""
    system = finished(
        species=[Species(name="A", initial=0.3), Species(name="B", initial=0.2), Species(name="C", balance=True)],
        free_energy=[Ideal(), ExternalPotential(potential={"A": "x"})],
        mobility=MaxwellStefan(diffusivities={"A-B": 1.0, "A-C": 0.5, "B-C": 0.2}),
        boundary={"left": Boundary(concentration=reservoir)},
        time=Time(end=0.1),
    )
    assert system.formulation.name == "fractions"
    assert global_min(system.comm, system.formulation.components) > -1e-5


def test_a_sink_cannot_take_what_is_not_there() -> None:
    with pytest.raises(StepFailed, match=r"no step from t = 0\.1.*a fraction would fall to -0\.0001"):
        finished(species=[Species(name="A", initial=0.1, source="-1.0")], free_energy=[Ideal()], mobility=ONE)


def test_energy_in_a_field_that_changes() -> None:
    """f = c ln c + t c at its own time, though the averaged vector field takes mu in the middle of a step."""
    problem = Problem(
        mesh=Mesh(shape="interval", size=1.0, cells=4),
        species=[Species(name="A", initial=0.5)],
        free_energy=[Ideal(), ExternalPotential(potential={"A": "t"})],
        mobility=ONE,
        time=Time(end=1.0, step=0.5, scheme="avf"),
    )
    energies = [step.energy for step in Integrator(System(problem)).steps()]
    assert energies == pytest.approx([0.5 * np.log(0.5) + 0.25, 0.5 * np.log(0.5) + 0.5], rel=1e-12)


def test_an_external_potential_in_a_temperature_field() -> None:
    with pytest.raises(InputError, match="the work of an external or electric potential.*varies in space"):
        finished(
            species=[Species(name="A", initial=0.3)],
            free_energy=[Ideal(), ExternalPotential(potential={"A": 2.0})],
            mobility=ONE,
            temperature="1 + 0.5*x",
        )


# --- what a check says


def checked(**given: Any) -> list[str]:
    return check(
        System(Problem(mesh=Mesh(shape="interval", size=1.0, cells=8), time=Time(end=1.0, steady=given.pop("steady", False)), **given))
    ).warnings


def test_an_entropy_that_counts_twice() -> None:
    species = [Species(name="A", initial=0.3), Species(name="B", balance=True)]
    (warning, _) = checked(species=species, free_energy=[Ideal(), RegularSolution(chi=0.5)], mobility=Stirring(diffusivity=1.0))
    assert "entropy of mixing of A counts 2 times: Ideal and RegularSolution" in warning
    assert not checked(species=species, free_energy=[Ideal(), PairInteraction(chi=0.5)], mobility=Stirring(diffusivity=1.0))


def test_a_stagnant_component() -> None:
    given = {
        "species": [Species(name="A", initial=0.1), Species(name="air", balance=True)],
        "free_energy": [Ideal()],
        "mobility": MaxwellStefan(diffusivities={"A-air": 1.0}, stagnant="air"),
    }
    (warning,) = checked(**given)
    assert warning.startswith("air stands still") and "steady = true" in warning
    assert not checked(**given, steady=True)
    with pytest.raises(InputError, match=r"air stands still, so it must be present everywhere, and \[boundary.left\] has none of it"):
        checked(**given, boundary={"left": Boundary(concentration={"A": 1.0})})
