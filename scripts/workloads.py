"""The problems of scripts/benchmark, for every code that is measured on them.

W1, W2   Cahn-Hilliard, f = 100 c^2 (1-c)^2, kappa = 0.01, M = 1 in the unit square or cube of n^d cells, no flux, from c = 0.63 + 0.02 (0.5 - U):
         noise at the lattice points from numpy's default_rng(42), the same for every code; dt = 5e-6, 50 (W1) or 10 (W2) steps
W3       Poisson-Nernst-Planck of two ions +-1 with D = 1 in the unit square of n^2 cells, c = 1 at the start,

             dc_i/dt = div(grad c_i + z_i c_i grad phi [+ c_i nu grad(c_1 + c_2)/(1 - nu (c_1 + c_2))]),   -2 lambda_D^2 div grad phi = c_1 - c_2

         with nu = 0.05 ("steric") or without the bracket ("classic"), lambda_D = 0.02, phi = 2 (1 + cos(pi y)) at x = 0 and 0 at x = 1, walls that
         no ion passes; dt = 0.005, 20 steps
pfhub    problems/pfhub_1b.toml on n x n cells to t = 1000 (Jokisaari et al., Comput. Mater. Sci. 126 (2017) 139), with steps of each code's choice
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parent.parent
CELLS = {"w1": 128, "w2": 32, "w3": 256, "pfhub": 200}
STEPS = {"w1": (5e-6, 50), "w2": (5e-6, 10), "w3": (5e-3, 20)}
DEBYE_LENGTH, NU = 0.02, 0.05
PFHUB_END = 1000.0

CAHN_HILLIARD = """
[mesh]
shape = "{shape}"
size = 1.0
cells = {cells}

[[species]]
name = "A"
initial = 0.63

[[free_energy]]
kind = "DoubleWell"
rho = 100.0

[[free_energy]]
kind = "Gradient"
kappa = 0.01

[mobility]
kind = "Constant"
value = 1.0
"""

# fractions of the sites x_i = nu c_i where ions crowd: mu_i = ln x_i - ln x_0 has the gradient of the bracket; else nu = 1
NERNST_PLANCK = """
[mesh]
shape = "rectangle"
size = 1.0
cells = {cells}

[[species]]
name = "cation"
charge = 1
diffusivity = 1.0
initial = {nu}

[[species]]
name = "anion"
charge = -1
diffusivity = 1.0
initial = {nu}

[[free_energy]]
kind = "{entropy}"

[[free_energy]]
kind = "Electrostatic"
permittivity = {permittivity}

[mobility]
kind = "Fick"

[boundary.left]
potential = "2*(1 + cos(pi*y))"

[boundary.right]
potential = 0.0
"""


@dataclass(frozen=True)
class Job:
    """One measurement: a problem, the way it is stepped through, and what is asked of it.

    problem:    w1, w2, w3-classic, w3-steric, pfhub or the path of a TOML file
    cells:      along an edge; 0 for a file, which says so itself
    steps:      how many of the fixed steps; 0 for all
    refine:     by how much the steps are shorter than the workload's, their number larger
    scheme:     of ours; "" for the program's default
    tolerance:  of error-controlled steps; 0 for that of the file or the program's default, None for fixed steps
    end:        0 for that of the problem
    changes:    dotted keys of the problem and their TOML values
    options:    for PETSc
    state:      where concentrations are written, "" for nowhere
    times:      at which they are; none for the end alone
    target:     the rival's Newton iterations per step in `pfhub`: fewer lengthen the next step, more shorten it
    longest:    its longest step there; 0 for any
    """

    problem: str
    cells: int = 0
    steps: int = 0
    refine: int = 1
    scheme: str = ""
    tolerance: float | None = None
    end: float = 0.0
    changes: dict[str, str] = field(default_factory=dict)
    options: str = ""
    state: str = ""
    times: tuple[float, ...] = ()
    target: int = 5
    longest: float = 0.0

    @property
    def family(self) -> str:
        return self.problem.split("-")[0]

    @property
    def is_file(self) -> bool:
        return self.problem.endswith(".toml")

    @property
    def is_fixed(self) -> bool:
        """Whether the steps are part of the workload."""
        return self.family in STEPS

    @property
    def step(self) -> float:
        return STEPS[self.family][0] / self.refine

    @property
    def count(self) -> int:
        """Fixed steps that are taken."""
        return (self.steps or STEPS[self.family][1]) * self.refine

    @property
    def unit(self) -> float:
        """What a concentration of one is in the problem's unknowns."""
        return NU if self.problem == "w3-steric" else 1.0

    def toml(self) -> str:
        """The problem as a user writes it."""
        if self.family == "w3":
            entropy = "LatticeGas" if self.problem == "w3-steric" else "Ideal"
            permittivity = 2 * DEBYE_LENGTH**2 * self.unit
            text = NERNST_PLANCK.format(cells=self.cells, nu=self.unit, entropy=entropy, permittivity=permittivity)
        else:
            text = CAHN_HILLIARD.format(shape={"w1": "rectangle", "w2": "box"}[self.problem], cells=self.cells)
        return f"{text}\n[time]\nend = {self.count * self.step!r}\n"

    def all_changes(self) -> dict[str, str]:
        """What is asked for here in place of what the problem's text says."""
        changes = dict(self.changes)
        if self.scheme:
            changes["time.scheme"] = f'"{self.scheme}"'
        if self.tolerance:
            changes["time.tolerance"] = repr(self.tolerance)
        elif self.tolerance is None and self.is_fixed:
            changes["time.step"] = repr(self.step)
        if self.problem == "pfhub":
            changes |= {"mesh.cells": repr([self.cells] * 2), "time.end": repr(self.end or PFHUB_END), "output.times": "[]"}
        elif self.end:
            changes["time.end"] = repr(self.end)
        return changes

    def read(self) -> Any:
        """The problem, through the reader that every user's problem goes through."""
        from fem_diffusion import Problem  # not in the rival's process, whose memory is measured

        if not self.is_fixed:
            return Problem.read(REPO / "problems" / "pfhub_1b.toml" if self.problem == "pfhub" else Path(self.problem), self.all_changes())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.problem}.toml"
            path.write_text(self.toml())
            return Problem.read(path, self.all_changes())


def lattice_noise(x: np.ndarray, cells: int, dimension: int) -> np.ndarray:
    """The initial c of W1 and W2 at points x (3, m) of the lattice, (m,)."""
    values = 0.63 + 0.02 * (0.5 - np.random.default_rng(42).random((cells + 1,) * dimension))
    place = np.rint(x[:dimension] * cells).astype(int)
    return values[tuple(place)]


def pfhub_start(x: np.ndarray) -> np.ndarray:
    """The initial c of PFHub's problem 1 at points x (3, m), (m,)."""
    cos = np.cos
    waves = cos(0.105 * x[0]) * cos(0.11 * x[1]) + (cos(0.13 * x[0]) * cos(0.087 * x[1])) ** 2
    return 0.5 + 0.01 * (waves + cos(0.025 * x[0] - 0.15 * x[1]) * cos(0.07 * x[0] - 0.02 * x[1]))


def in_left_half(x: np.ndarray) -> np.ndarray:
    """The part of a vertex' volume that lies in x < 1/2, on a mesh with an edge there."""
    return np.where(np.abs(x[0] - 0.5) < 1e-9, 0.5, x[0] < 0.5)


def peak_memory() -> float:
    """Of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_state(comm: Any, path: str, x: np.ndarray, states: list[np.ndarray], volume: np.ndarray) -> None:
    """States (m, n) at the owned vertices x (3, m) with their volumes, of all ranks, in an order that is the mesh's own. Collective."""
    parts = comm.gather((x, np.stack(states), volume))
    if parts is None:
        return
    x, c, volume = (np.concatenate(arrays, axis=axis) for arrays, axis in zip(zip(*parts, strict=True), (1, 1, 0), strict=True))
    order = np.lexsort(np.round(x / np.abs(x).max(), 9))
    np.savez(path, x=x[:, order], c=c[:, order], volume=volume[order])


def distance(path: str, reference: str) -> float:
    """Relative difference in L2, the largest of all times: sqrt(int |c - c_ref|^2 / int |c_ref|^2), lumped."""
    a, b = np.load(path), np.load(reference)
    if not np.allclose(a["x"], b["x"], atol=1e-9 * np.abs(b["x"]).max()):
        raise SystemExit(f"benchmark: {path} and {reference} are not on the same mesh")
    difference, size = (np.einsum("v,tvi->t", b["volume"], c**2) for c in (a["c"] - b["c"], b["c"]))
    return float(np.sqrt((difference / size).max()))


def report(comm: Any, result: dict[str, Any]) -> None:
    """Write the result of this process (which the command line names) to the file that its caller reads."""
    if comm.rank == 0:
        Path(sys.argv[2]).write_text(json.dumps(result))
