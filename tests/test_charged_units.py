"""Charged problems in mol/l, mV, nm and ns: the same problems as without units, converted by hand, and known numbers in SI."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from mpi4py import MPI
from scipy.constants import R, epsilon_0, physical_constants

from fem_diffusion.problem import Problem
from fem_diffusion.units import quantities
from tests.test_units import columns

COMM = MPI.COMM_WORLD
F = physical_constants["Faraday constant"][0]
T, EPS_R = 298.15, 78.5
RT, PHI = R * T, R * T / F


class Units:
    """What one of the dimensionless problem's units is in SI: its length and concentration are chosen, its time is that in which D = 1."""

    def __init__(self, length: float, concentration: float, diffusivity: float) -> None:
        self.length, self.concentration, self.time = length, concentration, length**2 / diffusivity
        self.permittivity = F**2 * length**2 * concentration / RT  # of one lambda^2, F/m
        self.charge_density, self.charge = F * concentration, F * concentration * length
        self.current = self.charge / self.time

    def of(self, column: str) -> float:
        """In one dimension: of a cross-section of 1 m^2."""
        matter, kind = self.concentration * self.length, column.split("_")[0]
        if column.startswith("uphill_") or column in ("step", "newton_iterations", "linear_iterations"):
            return 1.0
        known = {
            **{"time": self.time, "dt": self.time, "energy": RT * matter, "dissipation": RT * matter / self.time},
            **{"mass": matter, "flux": matter / self.time, "mu": RT, "phi": PHI, "charge": self.charge, "current": self.current},
        }
        return known.get(kind, self.concentration)  # min, max, mean, and the concentrations at probes


def same(SI: dict[str, np.ndarray], plain: dict[str, np.ndarray], units: Units, tolerance: float = 1e-10) -> None:
    assert list(SI) == list(plain)
    assert len(SI["time"]) == len(plain["time"])
    for name, values in plain.items():
        if not name.endswith("_iterations"):
            scale = units.of(name)
            size = max(np.abs(values).max(), np.abs(plain["charge_left"]).max() if name == "charge" else 0.0)  # in all they cancel
            size = max(size, 1.0 if name.startswith("uphill_") else 0.0)
            assert np.abs(SI[name] - scale * values).max() <= tolerance * scale * size, name


MEMBRANE = """
{temperature}
[mesh]
shape = "interval"
size = {L}
cells = 48
[[species]]
name = "Na"
charge = 1
diffusivity = {D_Na}
initial = "{low} + {slope}*x"
[[species]]
name = "Cl"
charge = -1
diffusivity = {D_Cl}
initial = "{low} + {slope}*x"
{size}
[[free_energy]]
{entropy}
[[free_energy]]
kind = "Electrostatic"
{permittivity}
fixed_charge = "where(abs(x - {middle}) < {width}, {fixed}, 0)"
[mobility]
kind = "{mobility}"
[boundary.left]
potential = {V}
concentration = {{ Na = {c_left}, Cl = {c_left} }}
[boundary.right]
potential = 0
concentration = {{ Na = {c_right}, Cl = {c_right} }}
[time]
end = {end}
step = {step}
[[output.probe]]
name = "p"
at = [{place}]
[[output.average]]
name = "left"
where = "x < {middle}"
"""


def membrane(steric: bool) -> tuple[str, str, Units]:
    """Two reservoirs, 0.1 and 0.3 mol/l, 40 mV between them, and a charged membrane: 20 nm, 60 ns."""
    L, low, high, V, D_Na, D_Cl, rho_f = 20e-9, 100.0, 300.0, 0.04, 1.33e-9, 2.03e-9, -1.1e7
    end, step = 60e-9, 12e-9
    sites = 5000.0
    units = Units(length=1e-9, concentration=sites if steric else high, diffusivity=D_Na)
    c0, l, t = units.concentration, units.length, units.time
    with_units = MEMBRANE.format(
        temperature=f'temperature = "{T} K"',
        L='"20 nm"',
        D_Na='"1.33e-9 m^2/s"',
        D_Cl='"2.03e-5 cm^2/s"',
        low=low,
        slope=repr((high - low) / L),
        size="size = 3" if steric else "",
        entropy='kind = "LatticeGas"\nsite_concentration = "5 mol/l"' if steric else 'kind = "Ideal"',
        permittivity=f"relative_permittivity = {EPS_R}",
        middle=L / 2,
        width=3.1e-9,
        fixed=rho_f,
        mobility="VolumeExclusion" if steric else "Fick",
        V='"40 mV"',
        c_left='"0.1 mol/l"',
        c_right='"300 mol/m^3"',
        end='"60 ns"',
        step='"12 ns"',
        place='"7 nm"',
    )
    without = MEMBRANE.format(
        temperature="",
        L=repr(L / l),
        D_Na=1.0,
        D_Cl=repr(D_Cl / D_Na),
        low=repr(low / c0),
        slope=repr((high - low) / L * l / c0),
        size="size = 3" if steric else "",
        entropy='kind = "LatticeGas"' if steric else 'kind = "Ideal"',
        permittivity=f"permittivity = {EPS_R * epsilon_0 / units.permittivity!r}",
        middle=repr(L / 2 / l),
        width=repr(3.1e-9 / l),
        fixed=repr(rho_f / units.charge_density),
        mobility="VolumeExclusion" if steric else "Fick",
        V=repr(V / PHI),
        c_left=repr(low / c0),
        c_right=repr(high / c0),
        end=repr(end / t),
        step=repr(step / t),
        place=repr(7e-9 / l),
    )
    return with_units, without, units


@pytest.mark.short
@pytest.mark.parametrize("steric", [False, True], ids=["classical", "steric"])
def test_two_reservoirs_in_SI_and_without_units(steric: bool, folder: Path) -> None:
    with_units, without, units = membrane(steric)
    SI, plain = columns(with_units, folder, "SI"), columns(without, folder, "plain")
    same(SI, plain, units)
    assert SI["min_Na"][0] == pytest.approx(100.0, rel=1e-12) and SI["max_Na"][0] == pytest.approx(300.0, rel=1e-12)  # mol/m^3
    assert abs(SI["current_right"][-1]) > 1e4  # A/m^2
    if COMM.rank == 0:
        provenance = json.loads((folder / "SI" / "provenance.json").read_text())
        assert provenance["units"] == "SI; concentrations in mol/m^3, masses in mol, mu in J/mol"
        with h5py.File(folder / "SI" / "fields.vtkhdf") as file:
            data, last = file["VTKHDF/PointData"], slice(-49, None)
            x, Na, mu, phi = (np.asarray(data[name])[last].ravel() for name in ("Na", "Na", "mu_Na", "phi"))
            flux = np.asarray(file["VTKHDF/CellData/flux_Na"])[-48:].reshape(48, -1)
        assert x.size == 49
        assert Na.max() == pytest.approx(SI["max_Na"][-1], rel=1e-6) and Na.min() == pytest.approx(SI["min_Na"][-1], rel=1e-6)
        # in both reservoirs: RT (ln c V_m + 1) + F phi, or RT ln(c/c_0) + F phi with c_0 what Na and three sites for each Cl leave
        for place in (np.argmin(np.abs(Na - 100.0) + 1e3 * np.abs(phi - 0.04)), np.argmin(np.abs(Na - 300.0) + 1e3 * np.abs(phi))):
            c = float(Na[place])
            ideal = math.log(c / (5000.0 - 4 * c)) if steric else math.log(c / 300.0) + 1
            assert mu[place] == pytest.approx(RT * ideal + F * float(phi[place]), rel=1e-5)
        assert flux[:, 0].mean() == pytest.approx(SI["flux_Na_right"][-1], rel=0.5)  # mol/(m^2 s); not quite steady


ELECTRODE = """
{temperature}
[mesh]
shape = "interval"
size = {L}
cells = 40
[[species]]
name = "Na"
charge = 1
diffusivity = {D_Na}
initial = {c}
[[species]]
name = "Cl"
charge = -1
diffusivity = {D_Cl}
initial = {c}
[[species]]
name = "NaCl"
diffusivity = {D_NaCl}
initial = {c_pair}
source = "{source}*sin({rate}*t)**2"
[[free_energy]]
{entropy}
[[free_energy]]
kind = "Electrostatic"
{permittivity}
[mobility]
kind = "VolumeExclusion"
[[reaction]]
stoichiometry = {{ NaCl = -1, Na = 1, Cl = 1 }}
rate = "{k_f}*NaCl - {k_b}*Na*Cl"
[boundary.left]
potential = "{V}*sin({rate}*t)"
stern = {{ thickness = {thickness}, {stern} }}
butler_volmer = {{ Na = {{ exchange_current = {i0}, reference = {c_ref}, equilibrium_potential = {E}, transfer_coefficient = 0.3 }} }}
flux = {{ NaCl = {flux} }}
[boundary.right]
potential = 0
concentration = {{ Na = {c}, Cl = {c} }}
exchange = {{ NaCl = {{ coefficient = {k}, reference = {c_pair_out} }} }}
[time]
end = {end}
step = {step}
scheme = "{scheme}"
[[output.probe]]
name = "p"
at = [{place}]
"""


def electrode(scheme: str = "bdf2") -> tuple[str, str, Units]:
    """An electrode behind a Stern layer plates Na by Butler-Volmer kinetics; a pair dissociates, and enters by a flux and through a film."""
    L, c, c_pair, c_ref, c_out = 10e-9, 200.0, 50.0, 150.0, 70.0
    sites, D_Na, D_Cl, D_NaCl = 10e3, 1.33e-9, 2.03e-9, 0.9e-9
    V, E, i0, thickness, eps_S = 0.08, -0.02, 3e5, 0.3e-9, 6.0
    flux, k, k_f, k_b, source, rate = -2.0, 0.5, 2e8, 1e6, 4e9, 1e8
    end, step = 20e-9, 2.5e-9
    units = Units(length=3e-9, concentration=sites, diffusivity=D_Cl)
    c0, l, t = units.concentration, units.length, units.time
    with_units = ELECTRODE.format(
        temperature=f'temperature = "{T - 273.15!r} degC"',
        L='"10 nm"',
        D_Na='"1.33 nm^2/ns"',
        D_Cl='"2.03e-9 m^2/s"',
        D_NaCl='"9e-10 m^2/s"',
        c='"0.2 mol/l"',
        c_pair='"50 mmol/l"',
        source=source,
        entropy='kind = "LatticeGas"\nsite_concentration = "10 kmol/m^3"',
        permittivity=f'permittivity = "{EPS_R * epsilon_0!r} F/m"',
        k_f=k_f,
        k_b=k_b,
        V=V,
        rate=rate,
        thickness='"3 angstrom"',
        stern=f"relative_permittivity = {eps_S}",
        i0='"30 A/cm^2"',
        c_ref='"0.15 mol/l"',
        E='"-20 mV"',
        flux='"-2 mol/(m^2*s)"',
        k='"0.5 m/s"',
        c_pair_out='"0.07 mol/l"',
        end='"20 ns"',
        step='"2.5 ns"',
        scheme=scheme,
        place='"2.2 nm"',
    )
    without = ELECTRODE.format(
        temperature="",
        L=repr(L / l),
        D_Na=repr(D_Na / D_Cl),
        D_Cl=1.0,
        D_NaCl=repr(D_NaCl / D_Cl),
        c=repr(c / c0),
        c_pair=repr(c_pair / c0),
        source=repr(source * t / c0),
        entropy='kind = "LatticeGas"',
        permittivity=f"permittivity = {EPS_R * epsilon_0 / units.permittivity!r}",
        k_f=repr(k_f * t),
        k_b=repr(k_b * c0 * t),
        V=repr(V / PHI),
        rate=repr(rate * t),
        thickness=repr(thickness / l),
        stern=f"permittivity = {eps_S * epsilon_0 / units.permittivity!r}",
        i0=repr(i0 / units.current),
        c_ref=repr(c_ref / c0),
        E=repr(E / PHI),
        flux=repr(flux * t / (l * c0)),
        k=repr(k * t / l),
        c_pair_out=repr(c_out / c0),
        end=repr(end / t),
        step=repr(step / t),
        scheme=scheme,
        place=repr(2.2e-9 / l),
    )
    assert i0 == pytest.approx(30e4)
    return with_units, without, units


@pytest.mark.short
def test_electrode_in_SI_and_without_units(folder: Path) -> None:
    with_units, without, units = electrode()
    SI, plain = columns(with_units, folder, "SI"), columns(without, folder, "plain")
    same(SI, plain, units)
    assert SI["flux_NaCl_left"][-1] == pytest.approx(-2.0, rel=1e-12)
    assert abs(SI["current_left"][-1]) > 1e4 and abs(SI["charge_left"]).max() > 1e-3


CAPACITOR = """
temperature = "298.15 K"
[mesh]
shape = "interval"
size = "{L} nm"
cells = 400
[[species]]
name = "K"
charge = 1
diffusivity = "2e-9 m^2/s"
initial = "{c} mol/l"
[[species]]
name = "Cl"
charge = -1
diffusivity = "2e-9 m^2/s"
initial = "{c} mol/l"
[[free_energy]]
kind = "Ideal"
[[free_energy]]
kind = "Electrostatic"
relative_permittivity = 78.5
[mobility]
kind = "Fick"
[boundary.left]
potential = "50 mV"
[boundary.right]
potential = 0
concentration = {{ K = "{c} mol/l", Cl = "{c} mol/l" }}
[time]
end = "{end} s"
[output]
times = 1
"""


def test_charge_of_an_electrode_at_any_scale(folder: Path) -> None:
    """Grahame, Chem. Rev. 41 (1947) 441: sigma = sqrt(8 eps RT c) sinh(FV/2RT), from 0.1 mol/l and 10 nm to 1e-7 mol/l and 10 um.

    Layers of 0.96 nm at h = 0.025 nm: the error of lumped linear elements is of the order (h/lambda)^2 cosh(FV/RT)/12 = 2e-4.
    """
    small = columns(CAPACITOR.format(L=10, c="0.1", end="1e-6"), folder, "small")
    large = columns(CAPACITOR.format(L=10_000, c="1e-7", end="1"), folder, "large")
    for history, c in ((small, 100.0), (large, 1e-4)):
        sigma = math.sqrt(8 * EPS_R * epsilon_0 * RT * c) * math.sinh(0.05 / (2 * PHI))
        assert history["charge_left"][-1] == pytest.approx(sigma, rel=5e-4)
    # the same numbers of steps and iterations, and only scaled: lengths 1000, times 1e6, concentrations 1e-6
    assert np.array_equal(small["newton_iterations"], large["newton_iterations"])
    assert large["time"] == pytest.approx(1e6 * small["time"], rel=1e-9)
    assert large["charge_left"] == pytest.approx(1e-3 * small["charge_left"], rel=1e-9)
    assert large["mass_K"] == pytest.approx(1e-3 * small["mass_K"], rel=1e-9)
    assert large["energy"] == pytest.approx(1e-3 * small["energy"], rel=1e-9)


def test_classical_problem_with_fractions_and_a_molar_volume(folder: Path) -> None:
    """The same in fractions, as mixtures have them: V_m = 2 l/mol."""
    amounts = (
        CAPACITOR.format(L=10, c="0.1", end="2e-9").replace("cells = 400", "cells = 40").replace("[output]", 'step = "0.4 ns"\n[output]')
    )
    fractions = amounts.replace('"0.1 mol/l"', "0.2").replace('"298.15 K"', '"298.15 K"\nmolar_volume = "2 l/mol"')
    one, two = columns(amounts, folder, "amounts"), columns(fractions, folder, "fractions")
    assert two["charge_left"] == pytest.approx(one["charge_left"], rel=1e-10)
    assert two["current_right"] == pytest.approx(one["current_right"], rel=1e-10)
    assert two["max_Cl"] * 500 == pytest.approx(one["max_Cl"], rel=1e-10)
    assert two["flux_Cl_right"] * 500 == pytest.approx(one["flux_Cl_right"], rel=1e-10)


PER_MOLE = """
{temperature}
[mesh]
shape = "interval"
size = {L}
cells = 16
[[species]]
name = "G"
diffusivity = {D}
initial = {c}
[[free_energy]]
{entropy}
[[free_energy]]
kind = "PairInteraction"
{interaction}
[mobility]
kind = "Fick"
[boundary.left]
chemical_potential = {{ G = {mu} }}
[boundary.right]
exchange = {{ G = {{ coefficient = {k}, potential_reference = "{mu_number}*(1 + t/({end_number}))" }} }}
[time]
end = {end}
step = {step}
"""


def test_chemical_potentials_per_mole(folder: Path) -> None:
    """mu in J/mol, and a film with J.n = k (mu - reference), k in mol^2/(m^2 J s)."""
    L, D, c, omega, mu, k, end = 1e-6, 1e-9, 500.0, -2000.0, -4000.0, 2e-5, 1e-3
    units = Units(length=L, concentration=20e3, diffusivity=D)
    with_units = PER_MOLE.format(
        temperature=f'temperature = "{T} K"',
        L='"1 um"',
        D='"1e-9 m^2/s"',
        c='"0.5 mol/l"',
        entropy='kind = "LatticeGas"\nsite_concentration = "20 mol/l"',
        interaction='interaction = "-2 kJ/mol"',
        mu='"-4 kJ/mol"',
        mu_number=mu,
        k='"2e-5 mol^2/(m^2*J*s)"',
        end='"1 ms"',
        end_number=end,
        step='"0.25 ms"',
    )
    without = PER_MOLE.format(
        temperature="",
        L=1.0,
        D=1.0,
        c=repr(c / units.concentration),
        entropy='kind = "LatticeGas"',
        interaction=f"chi = {omega / RT!r}",
        mu=repr(mu / RT),
        mu_number=repr(mu / RT),
        k=repr(k * RT * units.time / (L * units.concentration)),
        end=repr(end / units.time),
        end_number=repr(end / units.time),
        step=repr(end / units.time / 4),
    )
    SI, plain = columns(with_units, folder, "SI"), columns(without, folder, "plain")
    same(SI, plain, units)
    assert np.ptp(SI["flux_G_right"]) > 0.1 * np.abs(SI["flux_G_right"]).max() > 0


@pytest.mark.serial
@pytest.mark.parametrize("text", [membrane(False)[0], membrane(True)[0], electrode()[0]], ids=["classical", "steric", "electrode"])
def test_resolved_problem_is_the_same(text: str, folder: Path) -> None:
    (folder / "one.toml").write_text(text)
    one = Problem.read(folder / "one.toml")
    (folder / "two.toml").write_text(one.resolved())
    two = Problem.read(folder / "two.toml")
    assert two.resolved() == one.resolved()
    assert two.molar and two.scales(1e-8) == one.scales(1e-8)

    def numbers(problem: Problem) -> list[tuple[str, float, bool, bool]]:
        return [(path, float(value), value.dimensional, value.molar) for path, value in quantities(dict(problem))]

    assert numbers(two) == numbers(one)
    assert '"0.1 mol/l"' in one.resolved() or '"30 A/cm^2"' in one.resolved()
