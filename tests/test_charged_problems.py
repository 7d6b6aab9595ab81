"""The charged problems that come with the package, each against its number: in closed form, or of independent_charged.py."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from independent_charged import (
    Array,
    BlockingCell,
    DoubleLayer,
    Line,
    bikerman_charge,
    crowded_donnan_potential,
    inverse_laplace,
)
from scipy.constants import epsilon_0, physical_constants
from scipy.integrate import dblquad
from scipy.interpolate import CubicSpline

from fem_diffusion import Problem
from fem_diffusion.diagnostics import Columns
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

PROBLEMS = Path(__file__).parents[1] / "problems"
FARADAY, GAS = physical_constants["Faraday constant"][0], physical_constants["molar gas constant"][0]
THERMAL = GAS * 298.15 / FARADAY  # V


def history(name: str, *changes: str) -> dict[str, Array]:
    """The columns of a run, with keys of the problem changed."""
    system = System(Problem.read(PROBLEMS / f"{name}.toml", dict(change.split("=", 1) for change in changes)))
    columns, integrator = Columns(system), None
    integrator = Integrator(system)
    rows = [columns.row(integrator.start()), *(columns.row(step) for step in integrator.steps())]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@cache
def last(name: str, *changes: str) -> dict[str, float]:
    return {key: float(values[-1]) for key, values in history(name, *changes).items()}


def through(row: dict[str, float], *names: str) -> tuple[Array, Array]:
    """Fluxes (or "current") from left to right at both ends."""
    keys = [name if name == "current" else f"flux_{name}" for name in names]
    return np.array([-row[f"{key}_left"] for key in keys]), np.array([row[f"{key}_right"] for key in keys])


def lambda_squared(relative_permittivity: float, concentration: float, length: float) -> float:
    """eps RT/(F^2 c_max L^2)"""
    return relative_permittivity * epsilon_0 * GAS * 298.15 / (FARADAY**2 * concentration * length**2)


def test_double_layer() -> None:
    """-.312 C/m^2 on the electrode by Bikerman's formula in SI units; the crowded column at the wall and the tail at 3 nm."""
    row = last("double_layer")
    c_max, nm, V = 4840.0, 1e-9, 0.25 / THERMAL
    layer = DoubleLayer((100 / c_max, 100 / c_max), lambda_squared(78.4, c_max, nm))
    assert layer.debye_length == pytest.approx(0.961, abs=1e-3)
    charge = -bikerman_charge(200 / c_max, V, layer.lam2) * FARADAY * c_max * nm
    assert charge == pytest.approx(-0.312, abs=1e-3)
    assert row["charge_left"] == pytest.approx(charge, rel=1e-3)
    assert row["charge"] == pytest.approx(-charge, rel=1e-3)
    assert [row["Na_wall"], row["Cl_wall"]] == pytest.approx(c_max * layer.concentrations(-V)[:2], rel=1e-6)
    assert row["phi_outside"] == pytest.approx(THERMAL * layer.potential(np.array([3.0]), -V)[0], rel=5e-3)


def test_uphill_constant_field() -> None:
    s = 1.8
    row = last("uphill_constant_field")
    for J in through(row, "a", "b"):
        assert list(J) == pytest.approx([s * (0.2 * np.exp(s) - 0.3) / (np.exp(s) - 1), -1.26], rel=1e-5)
    assert row["a_middle"] == pytest.approx(0.228905049737, rel=1e-5)
    diagonal = 'mobility={ kind = "VolumeExclusion" }', "species.a.diffusivity=1.0", "species.b.diffusivity=1.0"
    assert through(last("uphill_constant_field", *diagonal), "a", "b")[0] == pytest.approx([-0.074049380298, -0.803086316248], rel=1e-4)


def test_uphill_poisson() -> None:
    exact = Line("A", (0.1, 0.1), (0.3, 0.3), z=(1.0, -1.0), V=1.5, lam2=0.01)
    row = last("uphill_poisson")
    for J in through(row, "a", "b"):
        assert list(J) == pytest.approx(exact.fluxes, rel=1e-4)
    assert [row["a_middle"], row["b_middle"], row["phi_middle"]] == pytest.approx(exact.solve().sol(0.5)[:3], rel=1e-5)


def test_uphill_pore() -> None:
    """Cations flow uphill through the neck, the same at both ends, and the driving forces' work is what is dissipated."""
    row = last("uphill_pore")
    enters, leaves = through(row, "a", "b")
    assert enters == pytest.approx(leaves, rel=1e-10)
    # .4 of the flux between plates (tests of uphill_poisson) in the limit of neutral solution, from which layers of charge take a part
    assert 0.9 * 0.4 * 0.0733223 < leaves[0] < 1.01 * 0.4 * 0.0733223
    z = np.array([1.0, -1.0])
    work = leaves @ (np.log(0.1 / 0.8) - (np.log(0.3 / 0.4) - 1.5 * z))
    assert row["dissipation"] == pytest.approx(work, rel=1e-9)
    area = dblquad(lambda eta, xi: np.sinh(xi) ** 2 + np.cos(eta) ** 2, -1.5, 1.5, -0.6, 0.6)[0]
    assert row["mass_a"] / area == pytest.approx(0.2, rel=2e-2)  # nearly antisymmetric about the neck


def test_neutral_pore_has_the_conductance_of_its_shape() -> None:
    """All fields are functions of the elliptic coordinate xi, so that both fluxes are opening/xi_end = .4 of those in one dimension."""
    row = last("uphill_pore", "free_energy.Electrostatic.permittivity=1e-5")
    plane = Line("A", (0.1, 0.1), (0.3, 0.3), z=(1.0, -1.0), V=1.5, lam2=1e-5, tolerance=1e-8)
    assert through(row, "a", "b")[1] / plane.fluxes == pytest.approx(0.6 / 1.5, rel=2e-3)


def test_blocking_cell_at_4_thermal_volts() -> None:
    """In the end the layers hold what the middle has lost: charge .0242, and .0422 of .05 are left."""
    row = last("blocking_cell")
    cell = BlockingCell(0.05, 4.0, 2.5e-4, 1.0)
    assert row["charge_right"] == pytest.approx(cell.charge, rel=1e-3)
    assert row["charge_left"] == pytest.approx(-cell.charge, rel=1e-3)
    assert row["mean_cation_middle"] == pytest.approx(cell.middle, rel=1e-3)
    assert row["current_right"] == 0.0


@pytest.mark.parametrize(("kind", "stern"), [("Fick", False), ("VolumeExclusion", False), ("Fick", True)])
def test_blocking_cell_charges_as_a_circuit(kind: str, stern: bool) -> None:
    """A small voltage, a twentieth of RT/F: within .5 % of the linear theory, in the time of a resistance and a capacitance.

    With VolumeExclusion ions hop to empty sites, of which there are .9: all is slower by that factor. A Stern layer as capacious as the diffuse
    one halves charge and time.
    """
    cell, debye_capacitance, D = BlockingCell(0.05, 0.05, 2.5e-4, 1.0), 5e-3, 0.9 if kind == "VolumeExclusion" else 1.0
    changes = [f"mobility.kind='{kind}'", "mesh.cells=100", "time.end=0.2", "output.times=[0.2]"]
    for side, V in (("left", -0.05), ("right", 0.05)):
        changes.append(f"boundary.{side}.potential={V}")
        changes += [f"boundary.{side}.stern={{ thickness = 0.05, permittivity = 2.5e-4 }}"] if stern else []
    columns = history("blocking_cell", *changes)
    times = np.array([0.005, 0.02, 0.05, 0.1, 0.2])
    exact = cell.charging(times, D, debye_capacitance if stern else np.inf)
    charge = CubicSpline(columns["time"], columns["charge_right"])(times)
    assert charge == pytest.approx(exact, rel=5e-3)
    in_series = 0.5 if stern else 1.0
    full = cell.charging(np.array([5.0]), D, debye_capacitance if stern else np.inf)[0]
    assert full == pytest.approx(0.05 * in_series * debye_capacitance, rel=1e-6)
    rate = np.log((full - charge[2]) / (full - charge[3])) / 0.05
    assert rate == pytest.approx(D / (in_series * cell.charging_time()), rel=0.1)  # to order lambda_D/L


@pytest.mark.serial
def test_inverse_laplace() -> None:
    for t in (0.1, 1.0, 7.0):
        assert inverse_laplace(lambda s: 1 / (s + 1), t) == pytest.approx(np.exp(-t), abs=1e-10)
        assert inverse_laplace(lambda s: np.exp(-np.sqrt(s)) / np.sqrt(s), t) == pytest.approx(
            np.exp(-1 / (4 * t)) / np.sqrt(np.pi * t), abs=1e-10
        )


def test_charged_membrane() -> None:
    """The short-circuit current of salt at .02 and .1, carried by cations, against a boundary value problem of three layers."""
    row = last("charged_membrane")
    exact = Line("B", (0.02, 0.02), (0.1, 0.1), z=(1.0, -1.0), lam2=2e-5, layers=((0.25, 0.0), (0.5, -0.2), (0.25, 0.0)), tolerance=1e-8)
    enters, leaves = through(row, "cation", "anion")
    assert enters == pytest.approx(leaves, rel=1e-9)
    assert leaves == pytest.approx(exact.fluxes, rel=2e-3)
    assert leaves[0] < 4 * leaves[1] < 0
    assert [row[f"{key}_middle"] for key in ("cation", "anion", "phi")] == pytest.approx(exact.solve().sol(0.5)[4:7], rel=2e-3)


def test_membrane_takes_up_salt() -> None:
    """Between equal solutions Donnan's potential, and his concentrations, inside."""
    row = last("charged_membrane", "boundary.right.concentration={ cation = 0.02, anion = 0.02 }")
    phi = crowded_donnan_potential(-0.2, 0.02)
    inside = DoubleLayer((0.02, 0.02), 2e-5).concentrations(phi)
    assert row["phi_middle"] == pytest.approx(phi, rel=1e-6)
    assert [row["mean_cation_membrane"], row["mean_anion_membrane"]] == pytest.approx(inside[:2], rel=1e-6)


def test_ion_channel() -> None:
    """What enters leaves; the power I V is what is dissipated; calcium fills the filter, and there is hardly any chloride in it."""
    row = last("ion_channel")
    names = ("Ca", "Na", "Cl", "current")
    enters, leaves = through(row, *names)
    assert enters == pytest.approx(leaves, rel=1e-10)
    assert row["dissipation"] == pytest.approx(0.05 * leaves[-1], rel=1e-8)
    assert leaves[-1] == pytest.approx(FARADAY * leaves[:3] @ [2.0, 1.0, -1.0], rel=1e-9)
    assert row["mean_Ca_filter"] > row["mean_Na_filter"] > 100 * row["mean_Cl_filter"]


def test_straight_channel_is_one_dimensional() -> None:
    """With baths no higher than the channel the currents are those of a line of 6 nm, with ions of two sizes, to 1 %."""
    row = last("ion_channel", "mesh.parameters={ bath_radius = 0.4, h = 0.05, fine = 0.05 }")
    c_max, length, D = 55e3, 6e-9, np.array([0.79e-9, 1.33e-9, 2.03e-9])
    bath = (10 / c_max, 100 / c_max, 120 / c_max)
    exact = Line(
        "B",
        bath,
        bath,
        z=(2.0, 1.0, -1.0),
        v=(1.0, 1.0, 2.0),
        V=0.05 / THERMAL,
        lam2=lambda_squared(78.4, c_max, length),
        D=tuple(D / D[1]),
        layers=((1.0, lambda x: -1.1295e9 / (FARADAY * c_max) * np.exp(-(((x - 0.5) * length / 0.5e-9) ** 2))),),
        tolerance=1e-8,
    )
    through_slit = exact.fluxes * c_max * D[1] / length * 0.8e-9  # mol/(m s)
    assert through(row, "Ca", "Na", "Cl")[1] == pytest.approx(through_slit, rel=1e-2)
