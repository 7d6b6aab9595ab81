"""Impedances against closed forms of the linearised Poisson-Nernst-Planck equations, and against the slopes of steady states.

A cell -L < x < L between two blocking electrodes, with ions of the same diffusivity D around a uniform state: with kappa^2 = 2 c/eps and
k^2 = kappa^2 + i omega/D

    Z = 2 (L + kappa^2 D tanh(k L)/(i omega k))/(eps D k^2)

(Macdonald, Phys. Rev. 92 (1953) 4; Bazant, Thornton & Ajdari, Phys. Rev. E 70 (2004) 021506, eq. 46)
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from scipy.constants import epsilon_0
from scipy.constants import physical_constants as codata

from fem_diffusion.errors import InputError
from fem_diffusion.impedance import admittances, spectrum
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import on_root
from fem_diffusion.problem import Problem
from fem_diffusion.run import steps
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
C, EPS, D = 0.3, 1e-2, 1.5


def cell(folder: Path, changes: dict[str, str] | None = None, text: str | None = None) -> Problem:
    """Two blocking electrodes with 2 L = 2, Debye length 0.129."""
    path = folder / "cell.toml"
    given = (
        text
        or f"""
        mesh = {{ shape = "interval", size = 2, cells = 300 }}
        species = [
          {{ name = "K", charge = 1, initial = {C}, diffusivity = {D} }},
          {{ name = "Cl", charge = -1, initial = {C}, diffusivity = {D} }},
        ]
        free_energy = [{{ kind = "Ideal" }}, {{ kind = "Electrostatic", permittivity = {EPS} }}]
        mobility = {{ kind = "Fick" }}
        boundary.left = {{ potential = 0 }}
        boundary.right = {{ potential = 0 }}
        time = {{ end = 100 }}
    """
    )
    on_root(COMM, lambda: path.write_text(given))
    problem = Problem.read(path, changes)
    COMM.barrier()
    return problem


def blocking(omega: np.ndarray, eps: float, diffusivity: float, kappa: float, L: float) -> np.ndarray:
    k = np.sqrt(kappa**2 + 1j * omega / diffusivity)
    return 2 * (L + kappa**2 * diffusivity * np.tanh(k * L) / (1j * omega * k)) / (eps * diffusivity * k**2)


LATTICE = '[{ kind = "LatticeGas" }, { kind = "Electrostatic", permittivity = 1e-2 }]'
MODELS = {
    "classical": ({}, D),
    # J_i = -D c_i c_0 grad w_i: around a uniform state with as many of both a smaller diffusivity
    "volume exclusion": ({"free_energy": LATTICE, "mobility.kind": "VolumeExclusion"}, D * (1 - 2 * C)),
    "three fields": ({"free_energy": LATTICE, "formulation": "potential"}, D),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_blocking_cell(folder: Path, model: str) -> None:
    changes, diffusivity = MODELS[model]
    _, admittance = admittances(cell(folder, changes), "left")
    omega = 10.0 ** np.arange(-1, 5)
    found = [admittance.at(float(w)) for w in omega]
    expected = blocking(omega, EPS, diffusivity, np.sqrt(2 * C / EPS), 1.0)
    Z = np.array([1 / Y["left"] for Y in found])
    assert np.abs(Z / expected - 1).max() < 1e-3
    # what flows in at one electrode flows out at the other
    assert max(abs(Y["left"] + Y["right"]) / abs(Y["left"]) for Y in found) < 1e-8


@pytest.mark.short
def test_stern_layers_are_in_series(folder: Path) -> None:
    """Each adds 1/(i omega C_S), C_S = permittivity/thickness, whatever lies between."""
    stern = "{ thickness = 0.05, permittivity = 4e-3 }"
    problem = cell(folder, {"boundary.left.stern": stern, "boundary.right.stern": stern})
    omega = np.array([0.1, 10.0, 1e3])
    for boundary in ("left", "right"):
        _, admittance = admittances(problem, boundary)
        Z = np.array([1 / admittance.at(float(w))[boundary] for w in omega])
        expected = blocking(omega, EPS, D, np.sqrt(2 * C / EPS), 1.0) + 2 / (1j * omega * 0.08)
        assert np.abs(Z / expected - 1).max() < 1e-3


def test_electrode_kinetics_are_in_series(folder: Path) -> None:
    """At rest the linearised kinetics have the resistance RT/(z F i_0) of each electrode; with the rest of the cell they carry the same current."""
    kinetics = {}
    for side in ("left", "right"):
        kinetics[f"boundary.{side}.butler_volmer"] = f"{{ K = {{ exchange_current = I0, reference = {C} }} }}"

    def resistance(i0: float) -> float:
        _, admittance = admittances(cell(folder, {key: value.replace("I0", f"{i0}") for key, value in kinetics.items()}), "left")
        Y = admittance.at(1e-3)
        assert abs(Y["left"] + Y["right"]) < 1e-6 * abs(Y["left"])
        return float((1 / Y["left"]).real)

    assert resistance(0.1) - resistance(1.0) == pytest.approx(2 / 0.1 - 2 / 1.0, rel=1e-5)


HALF_CELL = """
    mesh = { shape = "interval", size = 0.15, cells = 300 }
    species = [
      { name = "K", charge = 1, initial = 0.2, diffusivity = 1 },
      { name = "Cl", charge = -1, initial = 0.2, diffusivity = 3 },
    ]
    free_energy = [{ kind = "LatticeGas" }, { kind = "Electrostatic", permittivity = 1e-4 }]
    mobility = { kind = "VolumeExclusion" }
    boundary.left = { potential = -4 }
    boundary.right = { potential = 0, concentration = { K = 0.2, Cl = 0.2 } }
    time = { end = 1, steady = true }
"""


def steady(problem: Problem) -> System:
    system = System(problem)
    for _ in steps(Integrator(system)):
        pass
    return system


def test_capacitance_at_bias(folder: Path) -> None:
    """At low frequency the slope of the steady charge, and Bikerman's dQ/dV with Q = sqrt(2 eps ln(1 + 2 nu sinh^2(V/2))) (Kilic, Bazant & Ajdari,
    Phys. Rev. E 75 (2007) 021502, eq. 19)."""
    V, nu, eps, dV = -4.0, 0.4, 1e-4, 1e-3
    _, admittance = admittances(cell(folder, text=HALF_CELL), "left")
    omega = 0.01
    Y = admittance.at(omega)
    capacitance = (Y["left"] / (1j * omega)).real
    charges = [steady(cell(folder, {"boundary.left.potential": f"{V + d}"}, HALF_CELL)).boundary_charges()["left"] for d in (dV, -dV)]
    assert capacitance == pytest.approx((charges[0] - charges[1]) / (2 * dV), rel=1e-6)  # the difference's own error: dV^2/6
    argument = 1 + 2 * nu * np.sinh(V / 2) ** 2
    bikerman = eps * nu * abs(np.sinh(V)) / argument / np.sqrt(2 * eps * np.log(argument))
    assert capacitance == pytest.approx(bikerman, rel=5e-3)


def test_conductance_of_a_membrane_at_bias(folder: Path) -> None:
    """Between two reservoirs the admittance at no frequency is the slope of the steady current."""
    changes = {"boundary.left.concentration": "{ K = 0.3, Cl = 0.3 }", "mesh.cells": "60"}
    dV = 1e-3
    _, admittance = admittances(cell(folder, changes, HALF_CELL), "left")
    currents = []
    for d in (dV, -dV):
        fluxes = steady(cell(folder, changes | {"boundary.left.potential": f"{-4 + d}"}, HALF_CELL)).outward_fluxes(1.0)
        currents.append(fluxes["K", "left"] - fluxes["Cl", "left"])
    Y = admittance.at(1e-6)
    assert Y["left"].real == pytest.approx(-(currents[0] - currents[1]) / (2 * dV), rel=1e-6)
    assert abs(Y["left"] + Y["right"]) < 1e-9 * abs(Y["left"])


SI = """
temperature = "300 K"
mesh = { shape = "interval", size = "20 nm", cells = 400 }
species = [
  { name = "K", charge = 1, initial = "0.1 mol/l", diffusivity = "2e-9 m^2/s" },
  { name = "Cl", charge = -1, initial = "0.1 mol/l", diffusivity = "2e-9 m^2/s" },
]
free_energy = [{ kind = "Ideal" }, { kind = "Electrostatic", relative_permittivity = 78.5 }]
mobility = { kind = "Fick" }
boundary.left = { potential = "0 V" }
boundary.right = { potential = "0 V" }
time = { end = "1 us" }
"""


def test_a_spectrum_in_units(folder: Path) -> None:
    """Z in ohm m^2 over the frequency in Hz; the table, the picture, and what was run."""
    frequencies = [1e4, 1e6, 1e8, 1e10]
    table = spectrum(cell(folder, text=SI), "left", frequencies, folder / "impedance")
    eps, T = 78.5 * epsilon_0, 300.0
    F, R = codata["Faraday constant"][0], codata["molar gas constant"][0]
    omega = 2 * np.pi * np.array(frequencies)
    Z = blocking(omega, eps, 2e-9, np.sqrt(2 * F**2 * 100 / (eps * R * T)), 10e-9)
    assert np.abs((table["re_Z"] + 1j * table["im_Z"]) / Z - 1).max() < 1e-3
    assert table["abs_Z"] == pytest.approx(np.abs(Z), rel=1e-3)
    assert table["phase"] == pytest.approx(np.degrees(np.angle(Z)), rel=1e-3)
    assert table["capacitance"] == pytest.approx((1 / Z).imag / omega, rel=1e-3)
    with (folder / "impedance/impedance.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {name: [float(row[name]) for row in rows] for name in rows[0]} == {name: list(values) for name, values in table.items()}
    assert json.loads((folder / "impedance/provenance.json").read_text())["boundary"] == "left"
    assert Problem.read(folder / "impedance/problem.resolved.toml").title == ""
    assert (folder / "impedance/impedance.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="is there already and not empty"):
        spectrum(cell(folder, text=SI), "left", frequencies, folder / "impedance")


def test_where_there_is_no_impedance(folder: Path) -> None:
    with pytest.raises(InputError, match=r"--boundary lfet: the problem gives no potential there; did you mean 'left'\?"):
        admittances(cell(folder), "lfet")
    with pytest.raises(InputError, match=r"boundary.right.potential = 'sin\(t\)' depends on t: an impedance is that of a steady state"):
        admittances(cell(folder, {"boundary.right.potential": "sin(t)"}), "left")


@pytest.mark.serial
def test_the_command(folder: Path) -> None:
    cell(folder, text=SI.replace("cells = 400", "cells = 40"))

    def command(frequencies: str) -> subprocess.CompletedProcess[str]:
        arguments = ["impedance", "cell.toml", "--boundary", "left", "--frequencies", frequencies, "-o", "out"]
        return subprocess.run(
            [sys.executable, "-m", "fem_diffusion", *arguments], capture_output=True, text=True, cwd=folder, timeout=120, check=False
        )

    wrong = command("1:10")
    assert wrong.returncode == 2
    assert "--frequencies: '1:10' has 2 parts; legal: first:last:count" in wrong.stderr
    done = command("1e-3:1 MHz:3")
    assert done.returncode == 0, done.stderr
    assert "impedance.csv" in done.stdout
    with (folder / "out/impedance.csv").open(newline="") as file:
        assert [float(row["frequency"]) for row in csv.DictReader(file)] == pytest.approx([1e3, 1e3 * 1e3**0.5, 1e6], rel=1e-12)
