"""Small runs to look at: a ternary gas on a line, a rectangle and a box, of which one component goes uphill, and ions beside a dielectric."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from fem_diffusion.problem import Problem
from fem_diffusion.run import run

SIZE = (100.0, 30.0, 20.0)
"""Of the box, mm."""
TIMES = (0.0, 2.0, 10.0)
"""Of the fields, s: steps end at them."""
GAS = """
title = "A gas"
temperature = "308.35 K"
molar_volume = "0.0253 m^3/mol"
[mesh]
{mesh}
[[species]]
name = "H2"
initial = "0.05 + 0.4*x/0.1"
[[species]]
name = "N2"
initial = "0.4 + 0.1*x/0.1"
[[species]]
name = "CO2"
balance = true
[[free_energy]]
kind = "Ideal"
[mobility]
kind = "MaxwellStefan"
diffusivities = {{ H2-N2 = "83.3 mm^2/s", H2-CO2 = "68.0 mm^2/s", N2-CO2 = "16.8 mm^2/s" }}
[boundary.right]
flux = {{ H2 = "0.1 mm/s", N2 = "0 mm/s" }}
[time]
end = "10 s"
step = "1 s"
[output]
times = ["0 s", "2 s", "10 s"]
"""
IONS = """
dielectrics = ["slab"]
[mesh]
file = "slab.geo"
[[species]]
name = "Na"
charge = 1
diffusivity = 1.0
initial = 0.5
[[species]]
name = "Cl"
charge = -1
diffusivity = 1.0
initial = 0.5
[[free_energy]]
kind = "Ideal"
[[free_energy]]
kind = "Electrostatic"
permittivity = { slab = 0.02, electrolyte = 0.05 }
[mobility]
kind = "Fick"
[boundary.left]
potential = -4
[boundary.right]
potential = 0
concentration = { Na = 0.5, Cl = 0.5 }
[time]
end = 10
steady = true
"""
SLAB = """
SetFactory("OpenCASCADE");
Rectangle(1) = {-0.5, 0, 0, 0.5, 1};
Rectangle(2) = {0, 0, 0, 1.5, 1};
Coherence;
Physical Surface("slab") = {1};
Physical Surface("electrolyte") = {2};
Physical Curve("left") = Curve In BoundingBox{-0.51, -0.01, -0.01, -0.49, 1.01, 0.01};
Physical Curve("right") = Curve In BoundingBox{1.49, -0.01, -0.01, 1.51, 1.01, 0.01};
Mesh.MeshSizeMax = 0.12;
"""


def gas(folder: Path, cells: tuple[int, ...], periodic: str = "") -> Path:
    """A run on an interval, a rectangle or a box of so many cells; returns its results folder."""
    return finished(folder, gas_text(cells, periodic))


def gas_text(cells: tuple[int, ...], periodic: str = "") -> str:
    shape = ("interval", "rectangle", "box")[len(cells) - 1]
    size = [f"{length:g} mm" for length in SIZE[: len(cells)]]
    return GAS.format(mesh=f'shape = "{shape}"\nsize = {size}\ncells = {list(cells)}\nperiodic = {list(periodic)}')


def ions(folder: Path) -> Path:
    """A steady state of ions before a dielectric slab; returns its results folder."""
    folder.mkdir(parents=True)
    (folder / "slab.geo").write_text(SLAB)
    return finished(folder, IONS)


def finished(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "problem.toml").write_text(text)
    return run(Problem.read(folder / "problem.toml"), folder / "results", MPI.COMM_SELF)
