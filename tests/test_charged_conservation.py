"""Cells of ions in two dimensions: mass, charge and energy in every step, and the same fluxes on any number of ranks."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_electrodes import ANION, CATION, NAMES, Array, Salt, assert_balanced

from fem_diffusion import Boundary, Exchange, Mesh, Time
from fem_diffusion.boundary import Stern
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

PLATE = Mesh(shape="rectangle", size=[1.0, 0.7], cells=[8, 6])
SURROUNDED = {
    "left": Boundary(potential="2*y"),
    "top": Boundary(surface_charge="0.1*sin(3*x)"),
    "bottom": Boundary(potential=-1.0, stern=Stern(thickness=0.1, permittivity=0.02)),
}
ROUGH = ("where(x + y < 0.8, 0.3, 0.05)", "where(x < 0.6, 0.02, 0.2)")


@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_isolated_cell(scheme: str) -> None:
    """No matter passes: masses stay, charges balance, the energy falls in every step, whose potential energy at electrodes counts."""
    salt = Salt(0.02, v=(1.0, 2.7))
    system = System(salt.problem(SURROUNDED, Time(end=2.0, step=0.05, scheme=scheme), PLATE, initial=ROUGH))
    integrator = Integrator(system)
    assert system.isolated
    mass, energies, dissipation = system.masses(), [integrator.energy], []
    for step in integrator.steps():
        assert np.abs(system.masses() / mass - 1).max() <= 1e-13
        components = system.formulation.components
        assert components.min() > 0
        assert_balanced(system, [step])
        energies.append(step.energy)
        dissipation.append(step.dissipation)
    falls = -np.diff(energies)
    assert integrator.rejections.total == 0
    assert len(falls) == 40
    assert falls.min() >= -1e-13 * abs(energies[0])
    assert falls[0] > 1e-2 * abs(energies[0])
    assert min(dissipation) >= 0
    if scheme == "backward-euler":
        assert np.all(falls >= 0.05 * np.array(dissipation) * (1 - 1e-9) - 1e-13)  # what convexity gives it


def test_open_cell_balances_in_every_step() -> None:
    """What flows through the named boundaries is what the masses lose, and the charge on all of them what the ions lack; T and V vary in time."""
    salt = Salt(0.02, v=(1.0, 2.7))
    exchange = {CATION: Exchange(coefficient=0.3, reference=0.1)}
    boundary = SURROUNDED | {
        "left": Boundary(potential="2*y*sin(5*t)", exchange=exchange),
        "right": Boundary(potential=0.0, concentration={CATION: 0.1, ANION: 0.1}),
    }
    system = System(salt.problem(boundary, Time(end=1.0, step=0.05, scheme="bdf2"), PLATE, initial=ROUGH, temperature="1 + 0.3*sin(2*t)"))
    integrator = Integrator(system)
    mass = system.masses()
    for step in integrator.steps():
        through = np.array([sum(step.fluxes[ion, side] for side in boundary) for ion in NAMES])
        assert np.abs(system.masses() - mass + step.dt * through).max() <= 1e-13
        assert_balanced(system, [step])
        mass = system.masses()
    assert integrator.rejections.total == 0


# --- ranks


PARALLEL = """
[mesh]
shape = "rectangle"
size = [1, 0.7]
cells = [16, 11]
[[species]]
name = "cation"
charge = 2
size = 1.6
diffusivity = 1.0
initial = 0.1
[[species]]
name = "anion"
charge = -1
diffusivity = 2.0
initial = 0.2
[[free_energy]]
kind = "LatticeGas"
[[free_energy]]
kind = "Electrostatic"
permittivity = 2e-3
fixed_charge = "where(abs(x - 0.5) < 0.22, 0.1, 0.0)"
[mobility]
kind = "VolumeExclusion"
[boundary.left]
potential = "-3*sin(4*t)"
stern = { thickness = 0.05, permittivity = 0.01 }
butler_volmer = { cation = { exchange_current = 0.5, reference = 0.1, equilibrium_potential = 0.2 } }
[boundary.top]
surface_charge = "-0.02*sin(3*x)"
[boundary.right]
potential = 0
concentration = { cation = 0.1, anion = 0.2 }
[time]
end = 0.2
step = 0.02
[output]
times = 1
"""


@pytest.mark.serial
def test_fluxes_are_the_same_on_any_number_of_ranks(tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(PARALLEL)

    def history(ranks: int) -> dict[str, Array]:
        mpirun = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
        results = tmp_path / str(ranks)
        command = [*mpirun, sys.executable, "-m", "fem_diffusion", "run", str(tmp_path / "cell.toml"), "-o", str(results)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        with (results / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}

    serial = history(1)
    compared = [name for name in serial if name.startswith(("flux_", "current_", "charge", "mass_", "energy", "dissipation"))]
    assert {"current_left", "current_right", "charge_left", "charge_top", "charge_right"} <= set(compared)
    assert np.abs(serial["current_left"]).max() > 0.01
    for ranks in (2, 3):
        parallel = history(ranks)
        for name in compared:
            assert np.abs(parallel[name] - serial[name]).max() <= 1e-9 * np.abs(serial[name]).max(), name
