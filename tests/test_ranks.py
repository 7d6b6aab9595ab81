"""The same problem on 1, 2 and 3 ranks gives the same history."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MESHES = Path(__file__).parent.parent / "meshes"
COUNTS = {"newton_iterations", "linear_iterations"}  # may differ by rounding: everything else may not

SPINODAL = """
[mesh]
shape = "rectangle"
size = [30, 20]
cells = [14, 10]
{periodic}
[[species]]
name = "A"
initial = "0.45 + 0.05*noise"
{energy}
[[free_energy]]
kind = "Gradient"
kappa = 1
[mobility]
kind = "Degenerate"
diffusivity = 4
[time]
end = 10
tolerance = 1e-2
[output]
times = 2
[[output.probe]]
name = "p"
at = [11.3, 7.9]
[[output.average]]
name = "left"
where = "x < 15"            # a row of vertices lies on it, up to rounding
"""

REGULAR = """
[[free_energy]]
kind = "RegularSolution"
chi = 3
"""

RESERVOIR = """
[boundary.left]
concentration = { A = 0.2 }
[boundary.right]
flux = { A = -0.01 }
"""

OWN = """
[[free_energy]]
kind = "my_energies.Sextic"
strength = 8
"""

OWN_MODULE = '''
from fem_diffusion import Term


class Sextic(Term):
    """Three wells, in a user's own file."""

    strength: float

    def density(self, c, phi):
        return self.strength * c[0] ** 2 * (c[0] - 0.5) ** 2 * (c[0] - 1) ** 2
'''

GMSH = """
seed = 3
[mesh]
file = "rectangle_periodic.geo"
parameters = { h = 0.1 }
periodic = ["x", "y"]
[[species]]
name = "A"
[species.initial]
matrix = "0.3 + 0.02*noise"
inclusion = "0.6 + 0.02*noise"
[[species]]
name = "B"
balance = true
[[free_energy]]
kind = "DoubleWell"
rho = 1
[[free_energy]]
kind = "Gradient"
kappa = 2e-3
[mobility]
kind = "Constant"
value = 1
[time]
end = 0.05
tolerance = 1e-2
scheme = "avf"
[output]
times = 1
[[output.average]]
name = "core"
region = "inclusion"
"""

MAXWELL_STEFAN = """
temperature = "300*(1 + 0.1*x)"
[mesh]
shape = "rectangle"
size = [1, 0.6]
cells = [21, 12]
[[species]]
name = "H2"
initial = "where(x + 0.3*y < 0.61, 0.0, 0.501)"
[[species]]
name = "N2"
initial = "where(x + 0.3*y < 0.61, 0.501, 0.499)"
[[species]]
name = "CO2"
balance = true
[[free_energy]]
kind = "RegularSolution"
chi = { "H2-CO2" = 0.5 }
[mobility]
kind = "MaxwellStefan"
diffusivities = { "H2-N2" = { prefactor = 8.0, activation_energy = 2.3 }, "H2-CO2" = 0.68, "N2-CO2" = 0.168 }
[[reaction]]
stoichiometry = { H2 = -1, CO2 = 1 }
rate = "0.3*H2 - 0.1*CO2"
[boundary.right]
exchange = { H2 = { coefficient = 0.5, reference = 0.2 } }
[boundary.left]
flux = { N2 = 0.01 }
[time]
end = 0.2
tolerance = 1e-2
[output]
times = 2
[[output.average]]
name = "left"
where = "x < 0.501"
"""

ENTROPY = """
[mesh]
shape = "rectangle"
size = [1, 1]
cells = [12, 12]
[[species]]
name = "A"
initial = "where(x < 0.51, 0.0, 0.4)"
diffusivity = 1.0
[[species]]
name = "B"
initial = "0.2 + 0.1*x"
diffusivity = 3.0
[[free_energy]]
kind = "LatticeGas"
[[free_energy]]
kind = "ExternalPotential"
potential = { A = "4*sin(3*x)*t", B = "-2*y" }
[mobility]
kind = "Fick"
[boundary.top]
concentration = { A = 0.1, B = 0.2 }
[time]
end = 0.1
tolerance = 1e-2
[output]
times = 2
[[output.probe]]
name = "p"
at = [0.31, 0.47]
"""

KIRKENDALL = """
[mesh]
shape = "rectangle"
origin = [-4, 0]
size = [8, 1]
cells = [65, 6]
[[species]]
name = "A"
initial = "where(x < 0, 0.9, 0.2)"
diffusivity = 1.0
[[species]]
name = "B"
balance = true
diffusivity = 4.0
[[free_energy]]
kind = "RegularSolution"
chi = 1.2
[mobility]
kind = "Darken"
[time]
end = 0.3
tolerance = 1e-2
[output]
times = 2
[[output.marker]]
name = "weld"
at = [0.01, 0.37]
"""

CHARGED = """
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

PROBLEMS = {
    "maxwell_stefan": MAXWELL_STEFAN,
    "entropy_variables": ENTROPY,
    "kirkendall": KIRKENDALL,
    "reservoirs": SPINODAL.format(periodic="", energy=REGULAR) + RESERVOIR,
    "periodic_with_user_energy": SPINODAL.format(periodic='periodic = ["x", "y"]', energy=OWN),
    "gmsh": GMSH,
    "charged": CHARGED,
}


RUN = """
import sys
from pathlib import Path

from petsc4py import PETSc

from fem_diffusion import Problem, run
from fem_diffusion.output import Output

Output._draw = lambda output: None
for option, value in {"snes_stol": 1e-12, "snes_atol": 1e-14}.items():
    PETSc.Options()[option] = value
for problem in sorted(Path().glob("*.toml")):
    run(Problem.read(problem), Path(sys.argv[1]) / problem.stem)
"""


def histories_on(ranks: int, folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The columns of the histories of all problems of the folder, which one job runs: most of a small run is its start."""
    mpirun = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*mpirun, sys.executable, "run.py", str(ranks)], cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    histories = {}
    for name in PROBLEMS:
        with (folder / str(ranks) / name / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        histories[name] = {column: np.array([float(row[column]) for row in rows]) for column in rows[0]}
    return histories


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, dict[str, np.ndarray]]]:
    folder = tmp_path_factory.mktemp("ranks")
    for name, text in PROBLEMS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "my_energies.py").write_text(OWN_MODULE)
    (folder / "run.py").write_text(RUN)
    shutil.copy(MESHES / "rectangle_periodic.geo", folder)
    return {ranks: histories_on(ranks, folder) for ranks in (1, 2, 3)}


@pytest.mark.serial
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PROBLEMS)
def test_history_is_the_same_on_any_number_of_ranks(name: str, histories: dict[int, dict[str, dict[str, np.ndarray]]]) -> None:
    serial = histories[1][name]
    assert serial["step"][-1] > 5
    assert np.ptp(serial["energy"]) > 0.01 * abs(serial["energy"]).max()
    for ranks in (2, 3):
        parallel = histories[ranks][name]
        assert list(parallel) == list(serial)
        assert len(parallel["step"]) == len(serial["step"])
        for column in serial.keys() - COUNTS:
            assert np.abs(parallel[column] - serial[column]).max() <= 1e-10 * np.abs(serial[column]).max(), column
