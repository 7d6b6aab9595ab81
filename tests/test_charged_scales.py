"""What `check` says of double layers: lengths, crowding and Dukhin numbers against closed forms, and warnings of meshes that are too coarse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from scipy import constants
from scipy.integrate import quad

from fem_diffusion import Boundary, Fick, Ideal, LatticeGas, Mesh, Problem, Species, Time
from fem_diffusion.boundary import Stern
from fem_diffusion.check import Report, check
from fem_diffusion.double_layers import wall_height
from fem_diffusion.electrolyte import Electrolyte, bjerrum_length
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.mesh import build
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.system import System

Array = np.ndarray
BINARY = np.array([1.0, -1.0])


def salt(c: float, permittivity: float = 1.0, sizes: tuple[float, float] | None = None) -> Electrolyte:
    return Electrolyte(permittivity, np.array([c, c]), BINARY, None if sizes is None else np.array(sizes))


# --- formulas


def test_debye_length() -> None:
    assert salt(0.1, 1e-4).debye_length == pytest.approx(np.sqrt(1e-4 / 0.2), rel=1e-15)
    calcium_chloride = Electrolyte(0.3, np.array([0.1, 0.2]), np.array([2.0, -1.0]))
    assert calcium_chloride.debye_length == pytest.approx(np.sqrt(0.3 / 0.6), rel=1e-15)


@pytest.mark.parametrize("nu", [0.01, 0.1, 0.5])
def test_bikerman(nu: float) -> None:
    """c_+- = (nu/2) e^(-+phi)/g, g = 1 + 2 nu sinh^2(phi/2); sigma = sqrt(2 eps ln g); 1 - c_0 = 1 - (1 - nu)/g, down to c_0 of 1e-30."""
    phi = np.array([-70.0, -20.0, -2.0, 0.3, 5.0, 25.0])
    g = 1 + 2 * nu * np.sinh(phi / 2) ** 2
    electrolyte = salt(nu / 2, 0.02, (1.0, 1.0))
    np.testing.assert_allclose(electrolyte.at(phi), nu / 2 * np.exp(-np.outer(BINARY, phi)) / g, rtol=1e-12)
    np.testing.assert_allclose(electrolyte.volume_fraction(phi), 1 - (1 - nu) / g, rtol=1e-12)
    np.testing.assert_allclose(electrolyte.surface_charge(phi), np.sign(phi) * np.sqrt(2 * 0.02 * np.log(g)), rtol=1e-12)


def test_grahame() -> None:
    sigma = np.sqrt(8 * 0.02 * 0.1) * np.sinh(1.5)
    assert salt(0.1, 0.02).surface_charge(3.0) == pytest.approx(sigma, rel=1e-13)
    assert salt(0.1, 0.02).wall_potential(-sigma) == pytest.approx(-3.0, rel=1e-10)
    assert salt(0.1, 0.02).wall_potential(0.0) == 0.0


@pytest.mark.parametrize("phi", [-6.0, 1.0, 8.0])
def test_charge_of_unequal_ions(phi: float) -> None:
    """sigma^2/(2 eps) is the work -int rho d phi; every c_i satisfies its own equilibrium."""
    v = np.array([0.4, 3.1])
    electrolyte = Electrolyte(0.02, np.array([0.06, 0.12]), np.array([2.0, -1.0]), v)
    c, bulk = electrolyte.at(phi)[:, 0], electrolyte.concentrations
    rest = (1 - v @ bulk) * (c / bulk * np.exp(electrolyte.charges * phi)) ** (1 / v)
    assert rest[0] == pytest.approx(rest[1], rel=1e-12)
    assert v @ c + rest[0] == pytest.approx(1.0, rel=1e-14)
    work = -quad(lambda p: electrolyte.charges @ electrolyte.at(p)[:, 0], 0.0, phi, epsabs=1e-13, epsrel=1e-12)[0]
    assert electrolyte.surface_charge(phi)[0] ** 2 / 0.04 == pytest.approx(work, rel=1e-9)


def test_stern_layer_takes_its_part() -> None:
    electrolyte, C = salt(0.1, 0.02), 0.3
    phi = electrolyte.behind_stern_layer(-5.0, C)
    assert C * (-5.0 - phi) == pytest.approx(np.sqrt(8 * 0.02 * 0.1) * np.sinh(phi / 2), rel=1e-9)


@pytest.mark.parametrize("phi", [1e-3, 2.0, 10.0])
def test_thickness_of_a_layer_of_point_ions(phi: float) -> None:
    """Gouy and Chapman: rho = -2 c sinh phi and phi' = 2 sinh(phi/2)/lambda: |rho/rho'| = lambda tanh(phi)/(2 sinh(phi/2)), shortest at the wall."""
    electrolyte = salt(0.1, 0.02)
    assert electrolyte.layer_thickness(phi) == pytest.approx(electrolyte.debye_length * np.tanh(phi) / (2 * np.sinh(phi / 2)), rel=1e-5)


def test_thickness_of_a_crowd() -> None:
    """It does not shrink with the voltage once all sites are taken: the wall's ions are uniform, and the crowd's edge keeps its width."""
    electrolyte = salt(0.05, 1e-4, (1.0, 1.0))
    at_edge = electrolyte.layer_thickness(20.0)
    assert electrolyte.layer_thickness(60.0) == pytest.approx(at_edge, rel=0.05)
    assert salt(0.05, 1e-4).layer_thickness(60.0) < 1e-10 * at_edge
    assert 0.5 * np.sqrt(1e-4) < at_edge < 2 * np.sqrt(1e-4)  # the Debye length of ions on all sites


# --- a report


def in_water(**given: Any) -> Problem:
    """0.1 mol/l NaCl at 298.15 K in water, eps_r = 78.5, ten nanometres before an electrode."""
    return Problem(
        **{
            "temperature": "298.15 K",
            "mesh": Mesh(shape="rectangle", size=["10 nm", "5 nm"], cells=[20, 50]),
            "species": [
                Species(name="Na", charge=1, initial="0.1 mol/l", diffusivity="1.33e-9 m^2/s"),
                Species(name="Cl", charge=-1, initial="0.1 mol/l", diffusivity="2.03e-9 m^2/s"),
            ],
            "free_energy": [LatticeGas(site_concentration="4 mol/l"), Electrostatic(relative_permittivity=78.5)],
            "mobility": Fick(),
            "boundary": {
                "left": Boundary(potential="-200 mV"),
                "top": Boundary(surface_charge="-0.02 C/m^2"),
                "right": Boundary(potential="50 mV", concentration={"Na": "0.1 mol/l", "Cl": "0.1 mol/l"}),
            },
            "time": Time(end="1 us"),
        }
        | given
    )


def test_salt_in_water() -> None:
    report = check(System(in_water()))
    eps, RT, F = 78.5 * constants.epsilon_0, constants.R * 298.15, constants.physical_constants["Faraday constant"][0]
    value, unit = report.numbers["Debye length of right"]
    assert (value, unit) == (pytest.approx(np.sqrt(eps * RT / (F**2 * 200.0)), rel=1e-9), "m")
    assert value == pytest.approx(0.962e-9, abs=0.0005e-9)
    value, unit = report.numbers["Bjerrum length"]
    assert (value, unit) == (pytest.approx(constants.e**2 / (4 * np.pi * eps * constants.k * 298.15), rel=1e-9), "m")
    assert value == pytest.approx(0.714e-9, abs=0.0005e-9)
    value, unit = report.numbers["largest potential difference"]
    assert (value, unit) == (pytest.approx(0.25 * F / RT, rel=1e-9), "RT/F")
    nu = 2 * 100 / 4000
    crowded = 1 - (1 - nu) / (1 + 2 * nu * np.sinh(0.25 * F / RT / 2) ** 2)
    assert report.numbers["volume fraction at left"] == (pytest.approx(crowded, rel=1e-9), "")
    g = np.exp((0.02**2) / (2 * eps * RT * 4000))  # sigma^2 = 2 eps c_max RT ln g
    assert report.numbers["volume fraction at top"] == (pytest.approx(1 - (1 - nu) / g, rel=1e-8), "")
    assert report.numbers["Dukhin number of top"] == (pytest.approx(0.02 / (F * 100.0) / 2.5e-9, rel=1e-9), "")
    assert bjerrum_length(eps, 298.15) == report.numbers["Bjerrum length"][0]


def slab(cells: int, **left: Any) -> Report:
    """A dimensionless cell, lambda^2 = 1e-3 and c = 0.2 of each ion: a Debye length of 0.05."""
    problem = Problem(
        mesh=Mesh(shape="interval", size=1.0, cells=cells),
        species=[Species(name=name, charge=z, initial=0.2, diffusivity=1.0) for name, z in (("+", 1), ("-", -1))],
        free_energy=[Ideal(), Electrostatic(permittivity=1e-3)],
        mobility=Fick(),
        boundary={"left": Boundary(**left), "right": Boundary(potential=1.0, concentration={"+": 0.2, "-": 0.2})},
        time=Time(end=1.0),
    )
    return check(System(problem))


def test_coarse_mesh() -> None:
    """A quarter of the Debye length will do at a low voltage, e^(-|V|/2) of it at a high one, and what a Stern layer takes does not count."""
    debye = 0.05
    assert slab(50, potential=1.1).warnings == []
    (warning,) = slab(30, potential=1.1).warnings
    assert "[boundary.left]" in warning
    assert "cells there are 0.033 high" in warning
    assert "refine to 0.025" in warning
    needed = debye * np.tanh(6.0) / (2 * np.sinh(3.0)) / 2
    (warning,) = slab(50, potential="1 - 6*sin(t*pi/2)").warnings
    assert f"at -6 RT/F the charge changes over 2 x {needed:.2g}" in warning
    assert slab(50, potential=7.0, stern=Stern(thickness=1.0, permittivity=1e-3)).warnings == []
    sigma = np.sqrt(8 * 1e-3 * 0.2) * np.sinh(3.0)
    (warning,) = slab(50, surface_charge=sigma).warnings
    assert f"at 6 RT/F the charge changes over 2 x {needed:.2g}" in warning
    assert slab(int(1 / needed) + 1, surface_charge=sigma).warnings == []
    (warning,) = slab(50, potential=31.0).warnings
    assert "at 30 RT/F point ions crowd without bound" in warning


def test_blocking_cell_has_no_reservoir() -> None:
    """Its mean state stands for one, at the potential halfway between the electrodes."""
    problem = Problem(
        mesh=Mesh(shape="interval", size=1.0, cells=64),
        species=[Species(name=name, charge=z, initial="0.2 + 0.1*x", size=1.5) for name, z in (("+", 1), ("-", -1))],
        free_energy=[LatticeGas(), Electrostatic(permittivity=1e-2)],
        mobility=VolumeExclusion(diffusivities={"+": 1.0, "-": 2.0}),
        boundary={"left": Boundary(potential=-2.0), "right": Boundary(potential=4.0)},
        time=Time(end=1.0),
    )
    numbers = check(System(problem)).numbers
    assert numbers["Debye length of the mean state"] == (pytest.approx(np.sqrt(1e-2 / 0.5), rel=1e-12), "")
    assert numbers["largest potential difference"] == (6.0, "RT/F")
    electrolyte = Electrolyte(1e-2, np.array([0.25, 0.25]), BINARY, np.array([1.5, 1.5]))
    for side, phi in (("left", -3.0), ("right", 3.0)):
        assert numbers[f"volume fraction at {side}"] == (pytest.approx(electrolyte.volume_fraction(phi)[0], rel=1e-12), "")
    assert "Bjerrum length" not in numbers


def test_height_of_cells_at_a_wall() -> None:
    """It is not their diameter: of flat cells the short side at one wall, the long one at the other."""
    for cell_type in ("simplex", "tensor"):
        geometry = build(Mesh(shape="rectangle", size=[1.0, 1.0], cells=[4, 20], cell_type=cell_type), Path("."), MPI.COMM_WORLD)
        assert wall_height(geometry, "left") == pytest.approx(0.25, rel=1e-12)
        assert wall_height(geometry, "top") == pytest.approx(0.05, rel=1e-12)
        geometry = build(Mesh(shape="box", size=[1.0, 1.0, 1.0], cells=[4, 8, 2], cell_type=cell_type), Path("."), MPI.COMM_WORLD)
        assert [wall_height(geometry, side) for side in ("left", "bottom", "front")] == pytest.approx([0.25, 0.125, 0.5], rel=1e-12)
