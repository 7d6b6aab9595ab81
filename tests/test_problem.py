"""A problem from TOML, from a script, with a user's own classes; and the problems that come with the package."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from scipy.constants import R

from fem_diffusion import Boundary, Composition, Gradient, Mesh, Mobility, Output, Probe, Problem, RegularSolution, Species, Term, Time, run
from fem_diffusion.check import check
from fem_diffusion.free_energy import Ideal, PairInteraction
from fem_diffusion.mobility import Degenerate, Matrix
from fem_diffusion.pointwise import LocalDensity, mobility_matrix
from fem_diffusion.state import Expr
from fem_diffusion.system import System
from fem_diffusion.thermodynamics import BinaryThermodynamics
from fem_diffusion.units import Quantity, in_solver_units

COMM = MPI.COMM_WORLD
PROBLEMS = Path(__file__).parents[1] / "problems"

TEXT = """
title = "One problem, twice"
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"
seed = 4

[mesh]
shape = "interval"
size = "60 nm"
cells = 30

[[species]]
name = "A"
initial = "0.4 + 0.05*noise"

[[free_energy]]
kind = "RegularSolution"
interaction = "25 kJ/mol"

[[free_energy]]
kind = "Gradient"
kappa = "12 nJ/m"

[mobility]
kind = "Degenerate"
diffusivity = "1e-17 m^2/s"

[boundary.left]
concentration = { A = 0.3 }

[time]
end = "1 s"
step = "0.25 s"

[output]
times = ["0.5 s", "1 s"]

[[output.probe]]
name = "p"
at = ["10 nm"]
"""


class MyEnergy(Term):
    """A regular solution, written by a user."""

    Omega: Annotated[float, Quantity("J/mol")]

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c[0]
        return x * ufl.ln(x) + (1 - x) * ufl.ln(1 - x) + self.Omega * x * (1 - x)

    def positive(self, c: Composition) -> tuple[str, ...]:
        return tuple(c.closed)


class MyMobility(Mobility):
    """Degenerate, written by a user, and with a quadrature of its own."""

    quadrature_degree = 2

    D: Annotated[float, Quantity("m^2/s", positive=True)]

    def matrix(self, c: Composition) -> Matrix:
        return [[self.D * c["A"] * (1 - c["A"])]]


def script(**changes: object) -> Problem:
    """TEXT as a user's script would say it."""
    parts = {
        "title": "One problem, twice",
        "temperature": "1000 K",
        "molar_volume": "9e-6 m^3/mol",
        "seed": 4,
        "mesh": Mesh(shape="interval", size="60 nm", cells=30),
        "species": [Species(name="A", initial="0.4 + 0.05*noise")],
        "free_energy": [RegularSolution(interaction="25 kJ/mol"), Gradient(kappa="12 nJ/m")],
        "mobility": Degenerate(diffusivity="1e-17 m^2/s"),
        "boundary": {"left": Boundary(concentration={"A": 0.3})},
        "time": Time(end="1 s", step="0.25 s"),
        "output": Output(times=["0.5 s", "1 s"], probe=[Probe(name="p", at=["10 nm"])]),
    }
    return Problem(**(parts | changes))


def read(folder: Path, text: str = TEXT, name: str = "case") -> Problem:
    if COMM.rank == 0:
        (folder / f"{name}.toml").write_text(text)
    COMM.barrier()
    return Problem.read(folder / f"{name}.toml")


def history(folder: Path) -> dict[str, np.ndarray]:
    COMM.barrier()
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.mark.short
def test_script_and_file_are_the_same_problem(folder: Path) -> None:
    from_file = read(folder)
    assert script().resolved() == from_file.resolved()
    one, two = run(from_file, folder / "file"), run(script(), folder / "script")
    a, b = history(one), history(two)
    assert list(a) == list(b) and len(a["step"]) == 5
    for name in a:
        assert np.abs(a[name] - b[name]).max() <= 1e-12 * np.abs(a[name]).max(), name


@pytest.mark.short
def test_own_classes_in_a_script_give_what_built_in_ones_give(folder: Path) -> None:
    own = script(free_energy=[MyEnergy(Omega="25 kJ/mol"), Gradient(kappa="12 nJ/m")], mobility=MyMobility(D="1e-17 m^2/s"))
    a, b = history(run(script(), folder / "built-in")), history(run(own, folder / "own"))
    for name in a:
        if not name.endswith("_iterations"):
            assert np.abs(a[name] - b[name]).max() <= 1e-9 * np.abs(a[name]).max(), name


def test_problem_is_immutable() -> None:
    with pytest.raises(Exception, match="frozen"):
        script().seed = 5


def test_defaults_are_written_out(folder: Path) -> None:
    resolved = read(folder).resolved()
    for line in ('scheme = "bdf2"', "steady = false", 'cell_type = "simplex"', "balance = false"):
        assert line in resolved
    assert "tolerance" not in resolved, "not legal beside a fixed step"
    assert read(folder, resolved, "again").resolved() == resolved
    adaptive = read(folder, TEXT.replace('step = "0.25 s"\n', ""), "adaptive").resolved()
    assert "tolerance = 0.001" in adaptive and "step" not in adaptive
    assert read(folder, adaptive, "adaptive again").resolved() == adaptive


def test_scales_of_a_problem_with_units() -> None:
    """f0 = RT/V_m, l = sqrt(kappa/f0), t0 = l^2/D; in these units Omega is Omega/RT, kappa and D are one."""
    problem = script()
    scales = problem.scales(extent=60e-9)
    f0 = R * 1000 / 9e-6
    assert scales.factor("J/m^3") == pytest.approx(f0, rel=1e-9)
    assert scales.length == pytest.approx(np.sqrt(12e-9 / f0), rel=1e-9)
    assert scales.time == pytest.approx(scales.length**2 / 1e-17, rel=1e-12)
    solver = in_solver_units(problem, scales)
    assert solver.free_energy[0].interaction == pytest.approx(25000 / (R * 1000), rel=1e-9)  # type: ignore[attr-defined]
    assert solver.free_energy[1].kappa == pytest.approx(1, rel=1e-12)  # type: ignore[attr-defined]
    assert solver.mobility.diffusivity == pytest.approx(1, rel=1e-12)  # type: ignore[attr-defined]


# -- the problems that come with the package


@pytest.mark.parametrize("path", sorted(PROBLEMS.glob("*.toml")), ids=lambda path: path.stem)
def test_problem_is_valid_and_well_posed(path: Path) -> None:
    problem = Problem.read(path)
    assert problem.title
    assert check(System(problem)).warnings == []


def user_energy(*changes: str) -> Problem:
    return Problem.read(PROBLEMS / "user_energy.toml", dict(change.split("=", 1) for change in changes))


@pytest.mark.short
def test_user_energy_has_the_gap_of_copper_and_silver() -> None:
    """with Hayes' L0, L1 at the eutectic, 1052.25 K, the gap is x_Cu = 0.12805 | 0.95512."""
    T = 1052.25
    problem = user_energy(
        f'temperature="{T} K"',
        f'free_energy.1.L0="{33819.1 - 8.1236 * T!r} J/mol"',
        f'free_energy.1.L1="{-5601.9 + 1.32997 * T!r} J/mol"',
    )
    solver = in_solver_units(problem, problem.scales(1e-7))
    state = BinaryThermodynamics.of(solver.free_energy, solver.mobility, solver.composition(), 0.4)
    assert state.binodal is not None
    assert (1 - state.binodal[1], 1 - state.binodal[0]) == pytest.approx((0.12805, 0.95512), abs=1e-5)


def test_critical_point_of_a_user_energy() -> None:
    """f'' = f''' = 0 of Omega = L0 + L1 (2x - 1), constant in T, in closed form: with e = x (1-x)(L0 + L1 (2x-1)), RT/(x(1-x)) = -e''."""
    L0, L1 = 25000.0, -4000.0
    problem = user_energy(f'free_energy.1.L0="{L0} J/mol"', f'free_energy.1.L1="{L1} J/mol"')
    solver = in_solver_units(problem, problem.scales(1e-7))
    state = BinaryThermodynamics.of(solver.free_energy, solver.mobility, solver.composition(), 0.4)
    # RT_s(x) = x (1-x) (2 L0 - 6 L1 (1-2x)) is the spinodal; the critical point is its maximum
    spinodal = np.polynomial.Polynomial([0, 1, -1]) * np.polynomial.Polynomial([2 * L0 - 6 * L1, 12 * L1])
    roots = [x.real for x in spinodal.deriv().roots() if 0 < x.real < 1]
    c = max(roots, key=spinodal)
    assert state.critical_composition == pytest.approx(c, abs=1e-6)
    assert state.critical_temperature_ratio == pytest.approx(spinodal(c) / (R * 1000), rel=1e-9)


@pytest.mark.parametrize(("L0", "L1"), [(3.0, -0.5), (3.0, 2.0), (-1.0, 0.5), (-4.0, 0.2)])
def test_parts_of_the_user_energy_are_convex_and_concave(L0: float, L1: float) -> None:
    user_energy()
    subregular = sys.modules["user_energy"].Subregular(L0=L0, L1=L1)

    class Part(Term):
        convex: bool

        def density(self, c: Composition, phi: Expr) -> Expr:
            convex = subregular.convex_part(c, phi)
            return convex if self.convex else subregular.density(c, phi) - convex

    composition, c = Composition(("A",), (0.0,), "B"), np.linspace(0, 1, 101)
    assert LocalDensity([Part(convex=True)], composition).hessian([c]).min() >= -1e-12
    assert LocalDensity([Part(convex=False)], composition).hessian([c]).max() <= 1e-12
    regular = LocalDensity([Ideal(), PairInteraction(chi=L0)], composition).value([c[1:-1]])
    whole = LocalDensity([Ideal(), subregular], composition).value([c[1:-1]])
    x = c[1:-1]
    assert np.allclose(whole - regular, L1 * x * (1 - x) * (2 * x - 1), rtol=0, atol=1e-14)


def test_user_mobility_between_its_limits() -> None:
    user_energy()
    vignes = sys.modules["user_energy"].Vignes(D_0=4.0, D_1=9.0)
    x = np.array([1e-6, 0.5, 1 - 1e-6])
    L = mobility_matrix(vignes, Composition(("A",), (0.0,), "B"), [x])[0, 0]
    assert np.allclose(L / (x * (1 - x)), [4.0, 6.0, 9.0], rtol=1e-5)


@pytest.mark.parametrize("scheme", ["bdf2", "convex-split"])
def test_user_energy_runs(scheme: str, folder: Path) -> None:
    """Coarse and short: mass stays, energy falls, the gap opens."""
    problem = user_energy("mesh.cells=[20, 10]", 'mesh.size=["40 nm", "20 nm"]', f'time.scheme="{scheme}"', 'time.end="0.08 s"')
    columns = history(run(problem, folder / "out"))
    assert np.abs(columns["mass_Ag"] / columns["mass_Ag"][0] - 1).max() <= 1e-13
    assert np.diff(columns["energy"]).max() <= 1e-12 * np.abs(columns["energy"]).max()
    assert columns["max_Ag"][-1] - columns["min_Ag"][-1] > 0.5
    assert (folder / "out" / "user_energy.py").read_text() == (PROBLEMS / "user_energy.py").read_text()


@pytest.mark.serial
def test_resolved_user_problem_runs_from_its_results(folder: Path) -> None:
    """The module is beside the resolved problem, wherever the folder goes."""
    first = run(user_energy("mesh.cells=[8, 4]", 'mesh.size=["20 nm", "10 nm"]', 'time.end="0.01 s"'), folder / "first")
    shutil.move(first, folder / "moved")
    command = [sys.executable, "-m", "fem_diffusion", "run", "moved/problem.resolved.toml", "-o", "second"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert result.returncode == 0, result.stderr
    assert (folder / "second" / "history.csv").read_bytes() == (folder / "moved" / "history.csv").read_bytes()


SCRIPT = """
from fem_diffusion import Gradient, Mesh, Problem, Species, Term, Time, run
from fem_diffusion.mobility import Constant

class Landau(Term):
    depth: float

    def density(self, c, phi):
        return self.depth * c[0]**2 * (1 - c[0])**2

if __name__ == "__main__":
    run(
        Problem(
            mesh=Mesh(shape="interval", size=6.0, cells=12),
            species=[Species(name="A", initial="0.5 + 0.1*noise")],
            free_energy=[Landau(depth=2.0), Gradient(kappa=0.5)],
            mobility=Constant(value=1.0),
            time=Time(end=1.0, step=0.5),
        ),
        __import__("pathlib").Path("first"),
    )
"""


@pytest.mark.serial
@pytest.mark.parametrize("script", ["my_study", "1-study"])
def test_resolved_problem_of_a_script_runs_from_its_results(script: str, folder: Path) -> None:
    """The class is of the script, which is beside the resolved problem, by a name that Python can import."""
    (folder / f"{script}.py").write_text(SCRIPT)
    again = [sys.executable, "-m", "fem_diffusion", "run", "first/problem.resolved.toml", "-o", "second"]
    for command in ([sys.executable, f"{script}.py"], again):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
        assert result.returncode == 0, result.stderr
        (folder / f"{script}.py").unlink(missing_ok=True)
    assert (folder / "second" / "history.csv").read_bytes() == (folder / "first" / "history.csv").read_bytes()
    assert (folder / "second" / "problem.resolved.toml").read_bytes() == (folder / "first" / "problem.resolved.toml").read_bytes()


def test_current_between_the_reservoirs_runs_uphill(folder: Path) -> None:
    """J = -2 f'(m+)/L for constant sigma; in c the half of it, J = -value (mu_right - mu_left), 0.0675918 here."""
    columns = history(run(Problem.read(PROBLEMS / "uphill_reservoirs.toml"), folder / "out"))
    mu_right = np.log(9) + 3 * (1 - 2 * 0.9)
    J = -(2 * mu_right) / 6
    assert pytest.approx(0.1351836151 / 2, rel=1e-9) == J
    assert columns["flux_A_right"][-1] == pytest.approx(J, rel=1e-6)
    assert columns["flux_A_left"][-1] == pytest.approx(-J, rel=1e-6)
