"""The results folder, every number of it recomputed from the fields as VTK's own reader sees them."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion.errors import InputError, StepFailed
from fem_diffusion.integrator import Integrator
from fem_diffusion.output import Output, default_folder
from fem_diffusion.problem import Problem
from fem_diffusion.run import run
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

CHI, KAPPA, MOBILITY = 2.5, 0.2, 0.7

GEOMETRY = """
Point(1) = {0, 0, 0, 0.2};
l[] = Extrude {0.5, 0, 0} { Point{1}; };
r[] = Extrude {0.5, 0, 0} { Point{l[0]}; };
a[] = Extrude {0, 0.8, 0} { Curve{l[1]}; };
b[] = Extrude {0, 0.8, 0} { Curve{r[1]}; };
Physical Curve("floor") = {l[1], r[1]};
Physical Surface("core") = {a[1]};
Physical Surface("shell") = {b[1]};
"""

PROBLEM = f"""
title = "A square of two regions"
[mesh]
file = "square.geo"
[[species]]
name = "A"
initial = {{ core = "0.3 + 0.1*y", shell = 0.6 }}
[[species]]
name = "B"
balance = true
[[free_energy]]
kind = "RegularSolution"
chi = {CHI}
[[free_energy]]
kind = "Gradient"
kappa = {KAPPA}
[mobility]
kind = "Constant"
value = {MOBILITY}
[boundary.floor]
concentration = {{ A = 0.2 }}
[time]
end = 0.02
step = 0.005
scheme = "backward-euler"
[output]
times = [0.01, 0.02]
[[output.probe]]
name = "p"
at = [0.37, 0.41]
[[output.average]]
name = "half"
where = "y > 0.4"
[[output.average]]
name = "in"
region = "core"
"""

HEADER = (
    "step,time,dt,newton_iterations,linear_iterations,energy,dissipation,mass_A,min_A,max_A,mass_B,min_B,max_B,"
    "flux_A_floor,flux_B_floor,A_p,B_p,mu_A_p,mean_A_half,mean_B_half,mean_A_in,mean_B_in,"
    "uphill_volume_A,uphill_volume_B,uphill_flux_A,uphill_flux_B"
)

ISOLATED = """
[mesh]
shape = "interval"
size = 6.0
cells = 24
[[species]]
name = "A"
initial = "0.5 + 0.05*cos(pi*x/3)"
[[free_energy]]
kind = "RegularSolution"
chi = 3.0
[[free_energy]]
kind = "Gradient"
kappa = 0.5
[mobility]
kind = "Constant"
value = 1.0
[time]
end = 3.0
[output]
times = 1
"""


@dataclass
class Grid:
    """P1 triangles or intervals in plain numpy: an independent evaluation of what the package reports."""

    x: np.ndarray
    cells: np.ndarray
    point: dict[str, np.ndarray]
    cell: dict[str, np.ndarray]

    @cached_property
    def gradients(self) -> np.ndarray:
        """Of the hat functions: (cells, 3, 2)."""
        x = self.x[self.cells][:, :, :2]
        edges = np.stack([x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]], axis=1)
        of_two = np.linalg.inv(edges).transpose(0, 2, 1)
        return np.concatenate([-of_two.sum(axis=1, keepdims=True), of_two], axis=1)

    @cached_property
    def areas(self) -> np.ndarray:
        x = self.x[self.cells]
        if self.cells.shape[1] == 2:
            return np.abs(x[:, 1, 0] - x[:, 0, 0])
        u, v = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
        return np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2

    def weights(self, cells: np.ndarray | None = None) -> np.ndarray:
        """The part of the (chosen) cells that belongs to each vertex."""
        chosen = np.ones(len(self.cells)) if cells is None else cells
        w = np.zeros(len(self.x))
        np.add.at(w, self.cells, (self.areas * chosen / self.cells.shape[1])[:, None])
        return w

    def gradient(self, name: str) -> np.ndarray:
        return np.einsum("cv,cvd->cd", self.point[name][self.cells], self.gradients)

    def at(self, x: tuple[float, float], name: str) -> float:
        """The P1 interpolant, by barycentric coordinates."""
        corner = self.x[self.cells[:, 0], :2]
        barycentric = np.einsum("cd,cvd->cv", np.array(x) - corner, self.gradients) + np.array([1.0, 0.0, 0.0])
        inside = int(barycentric.min(axis=1).argmax())
        assert barycentric[inside].min() > -1e-12
        return float(barycentric[inside] @ self.point[name][self.cells[inside]])


def grids(path: Path) -> dict[float, Grid]:
    """All times of a series, by VTK's reader."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    found = {}
    for t in reader.GetOutputInformation(0).Get(vtkStreamingDemandDrivenPipeline.TIME_STEPS()):
        reader.UpdateTimeStep(t)
        data = reader.GetOutputDataObject(0)

        def arrays(attributes: Any) -> dict[str, np.ndarray]:
            return {attributes.GetArrayName(i): vtk_to_numpy(attributes.GetArray(i)).copy() for i in range(attributes.GetNumberOfArrays())}

        connectivity = vtk_to_numpy(data.GetCells().GetConnectivityArray())
        cells = connectivity.reshape(data.GetNumberOfCells(), -1).copy()
        found[t] = Grid(vtk_to_numpy(data.GetPoints().GetData()).copy(), cells, arrays(data.GetPointData()), arrays(data.GetCellData()))
    return found


def history(folder: Path) -> dict[str, np.ndarray]:
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def assert_same_history(one: Path, other: Path) -> None:
    """Bit for bit; on several ranks the order in which contributions of other ranks are added, and so the last digits, are not fixed."""
    if COMM.size == 1:
        assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    a, b = history(one), history(other)
    assert list(a) == list(b)
    for name in a:
        assert np.allclose(a[name], b[name], rtol=0, atol=1e-11 * np.abs(a[name]).max(initial=1e-300)), name


def solve(text: str, folder: Path, name: str = "out") -> Path:
    """Run the problem in folder/name, on all ranks."""
    if COMM.rank == 0:
        (folder / f"{name}.toml").write_text(text)
        (folder / "square.geo").write_text(GEOMETRY)
    COMM.barrier()
    run(Problem.read(folder / f"{name}.toml"), folder / name)
    COMM.barrier()
    return folder / name


@pytest.fixture(scope="module")
def results() -> Iterator[Path]:
    base = Path(COMM.bcast(tempfile.mkdtemp(prefix="fem_diffusion_") if COMM.rank == 0 else None))
    yield solve(PROBLEM, base)
    COMM.barrier()
    if COMM.rank == 0:
        shutil.rmtree(base)


@pytest.mark.short
def test_files_and_header(results: Path) -> None:
    assert sorted(path.name for path in results.iterdir()) == [
        "certificate.json",
        "checkpoint",
        "fields",
        "fields.vtkhdf",
        "history.csv",
        "problem.resolved.toml",
        "provenance.json",
        "report.html",
        "run.log",
        "summary.png",
    ]
    lines = (results / "history.csv").read_text().splitlines()
    assert lines[0] == HEADER
    first = dict(zip(HEADER.split(","), lines[1].split(","), strict=True))
    assert all(float(first[name]) == 0 for name in ("step", "time", "dt", "newton_iterations", "linear_iterations", "flux_A_floor"))
    columns = history(results)
    assert np.array_equal(columns["step"], range(5))
    assert np.allclose(columns["time"], [0, 0.005, 0.01, 0.015, 0.02], rtol=1e-14)
    assert np.allclose(columns["dt"][1:], 0.005, rtol=1e-12)
    assert (columns["newton_iterations"][1:] >= 1).all()
    assert (results / "summary.png").read_bytes().startswith(b"\x89PNG") and (results / "summary.png").stat().st_size > 10_000


def test_log_has_a_line_for_each_step(results: Path) -> None:
    lines = (results / "run.log").read_text().splitlines()
    assert " unknowns: " in lines[0]
    assert lines[-2].startswith("certificate: passed, ")
    assert [line.split()[:2] for line in lines[1:-2]] == [["step", str(k)] for k in range(5)]
    assert lines[-1] == "reached the end"


def test_requested_times_and_arrays(results: Path) -> None:
    series = grids(results / "fields.vtkhdf")
    assert list(series) == [0.0, 0.01, 0.02]
    for grid in series.values():
        assert set(grid.point) == {"A", "B", "mu_A", "curvature", "spinodal", "thermodynamic_factor_1"}
        assert {"flux_A"} <= set(grid.cell)
        assert np.allclose(grid.point["A"] + grid.point["B"], 1, rtol=0, atol=1e-15)


@pytest.mark.short
def test_columns_are_those_of_the_fields(results: Path) -> None:
    columns = history(results)
    for t, grid in grids(results / "fields.vtkhdf").items():
        row = {name: values[int(np.argmin(np.abs(columns["time"] - t)))] for name, values in columns.items()}
        w, c = grid.weights(), grid.point["A"]
        assert row["mass_A"] == pytest.approx(w @ c, rel=1e-12)
        assert row["mass_B"] == pytest.approx(w @ (1 - c), rel=1e-12)
        assert (row["min_A"], row["max_A"]) == (c.min(), c.max())
        assert (row["min_B"], row["max_B"]) == pytest.approx((1 - c.max(), 1 - c.min()), rel=1e-14)
        assert row["A_p"] == pytest.approx(grid.at((0.37, 0.41), "A"), rel=1e-12)
        assert row["B_p"] == pytest.approx(1 - grid.at((0.37, 0.41), "A"), rel=1e-12)
        upper = np.where(grid.x[:, 1] > 0.4, w, 0)
        assert row["mean_A_half"] == pytest.approx(upper @ c / upper.sum(), rel=1e-12)
        inside = grid.weights(grid.x[grid.cells][:, :, 0].mean(axis=1) < 0.5)
        assert row["mean_A_in"] == pytest.approx(inside @ c / inside.sum(), rel=1e-12)
        assert row["mean_B_in"] == pytest.approx(1 - inside @ c / inside.sum(), rel=1e-12)
        local = c * np.log(c) + (1 - c) * np.log(1 - c) + CHI * c * (1 - c)
        energy = w @ local + KAPPA / 2 * grid.areas @ (grid.gradient("A") ** 2).sum(axis=1)
        assert row["energy"] == pytest.approx(energy, rel=1e-12)
        if t > 0:  # a step's mu solves its equations to Newton's tolerance, 1e-8 in c and quadratically better
            assert row["mu_A_p"] == pytest.approx(grid.at((0.37, 0.41), "mu_A"), rel=1e-9)
            dissipation = MOBILITY * grid.areas @ (grid.gradient("mu_A") ** 2).sum(axis=1)
            assert row["dissipation"] == pytest.approx(dissipation, rel=1e-9)
        flux = grid.cell["flux_A"][:, :2]
        assert np.allclose(flux, -MOBILITY * grid.gradient("mu_A"), rtol=0, atol=1e-11 * np.abs(flux).max())
    assert np.allclose(grid.point["A"][np.abs(grid.x[:, 1]) < 1e-12], 0.2, rtol=1e-14), "the reservoir"


def test_fluxes_balance_the_mass(results: Path) -> None:
    columns = history(results)
    change = np.diff(columns["mass_A"]) / columns["dt"][1:]
    scale = columns["mass_A"].max() / 0.005
    assert np.abs(change + columns["flux_A_floor"][1:]).max() <= 1e-13 * scale
    assert np.array_equal(columns["flux_B_floor"], -columns["flux_A_floor"])
    assert columns["flux_A_floor"][1] > 0, "from 0.3 to 0.6 inside towards 0.2 at the floor"


def test_provenance(results: Path) -> None:
    said = json.loads((results / "provenance.json").read_text())
    grid = grids(results / "fields.vtkhdf")[0.0]
    assert said["outcome"] == "reached the end"
    assert said["units"].startswith("the problem's own")
    assert said["scheme"] == "backward-euler"
    assert (said["mesh"]["cells"], said["mesh"]["vertices"]) == (len(grid.cells), len(grid.x))
    sides = np.linalg.norm(grid.x[grid.cells] - grid.x[np.roll(grid.cells, 1, axis=1)], axis=2)
    assert said["mesh"]["h_max"] == pytest.approx(sides.max(), rel=1e-12)
    assert said["unknowns"] == 2 * len(grid.x)
    assert (said["ranks"], said["steps"]) == (COMM.size, 4)
    assert said["rejected_steps"] == {"newton": 0, "error": 0, "energy": 0, "saddle": 0}
    assert said["versions"]["dolfinx"] == dolfinx.__version__
    assert 0 < said["wall_seconds"] < 600
    assert isinstance(said["command"], list) and isinstance(said["petsc_options"], dict)


@pytest.mark.short
def test_resolved_problem_gives_the_same_history(results: Path, folder: Path) -> None:
    run(Problem.read(results / "problem.resolved.toml"), folder / "again")
    COMM.barrier()
    assert_same_history(folder / "again", results)
    assert (folder / "again" / "problem.resolved.toml").read_bytes() == (results / "problem.resolved.toml").read_bytes()


def test_nothing_is_overwritten(results: Path) -> None:
    before = {path.name: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    COMM.barrier()
    with pytest.raises(InputError, match="is there already and not empty: choose another folder with -o"):
        run(Problem.read(results.with_suffix(".toml")), results)
    assert {path.name: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("error", "outcome"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("no more memory"), "crashed: RuntimeError: no more memory")]
)
def test_run_that_ends_early_says_so(error: BaseException, outcome: str, folder: Path) -> None:
    """Where any one rank says it, as when a single one crashes; and what was said first stays."""
    if COMM.rank == 0:
        (folder / "case.toml").write_text(ISOLATED)
    COMM.barrier()
    system = System(Problem.read(folder / "case.toml"))
    system.initialise()
    integrator = Integrator(system)
    output = Output(folder / "out", system, integrator)
    output.record(integrator.start())
    output.record(next(iter(integrator.steps())))
    if COMM.rank == COMM.size - 1:
        output.abort(error)
    COMM.barrier()
    said = json.loads((folder / "out" / "provenance.json").read_text())
    assert (said["outcome"], said["steps"], said["mesh"]["cells"]) == (outcome, 1, 24)
    output.abort(ValueError("later"))
    COMM.barrier()
    assert json.loads((folder / "out" / "provenance.json").read_text()) == said
    if COMM.size == 1:
        assert (folder / "out" / "run.log").read_text().splitlines()[-1] == outcome


def test_end_of_a_run_whose_folder_is_gone_is_silent(folder: Path) -> None:
    if COMM.rank == 0:
        (folder / "case.toml").write_text(ISOLATED)
    COMM.barrier()
    system = System(Problem.read(folder / "case.toml"))
    system.initialise()
    output = Output(folder / "out", system, Integrator(system))
    COMM.barrier()
    if COMM.rank == 0:
        shutil.rmtree(folder / "out")
    COMM.barrier()
    output.abort(OSError("disk full"))


@pytest.mark.serial
def test_default_folder_is_a_new_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert default_folder(Path("case.toml")) == Path("results/case")
    (folder / "results" / "case").mkdir(parents=True)
    assert default_folder(Path("case.toml")) == Path("results/case-2")


def test_output_times_do_not_change_the_steps(folder: Path) -> None:
    """States between steps are interpolated: at the requested times, with the mass of the run, and next to the same run's fine steps."""
    few = solve(ISOLATED, folder, "few")
    many = solve(ISOLATED.replace("times = 1", "times = 7"), folder, "many")
    assert_same_history(few, many)
    series = grids(many / "fields.vtkhdf")
    assert np.allclose(list(series), np.arange(8) * 3.0 / 7, rtol=1e-14)
    mass = history(many)["mass_A"][0]
    for grid in series.values():
        assert grid.weights() @ grid.point["A"] == pytest.approx(mass, rel=1e-12)


def test_steady_state_is_the_last_field(folder: Path) -> None:
    steady = solve(ISOLATED.replace("end = 3.0", "end = 1e5\nsteady = true"), folder)
    columns, series = history(steady), grids(steady / "fields.vtkhdf")
    assert columns["time"][-1] < 1e5
    assert list(series) == [0.0, columns["time"][-1]]
    assert series[columns["time"][-1]].point["A"].max() == columns["max_A"][-1]
    assert (steady / "run.log").read_text().splitlines()[-1] == "reached the steady state"


def test_steady_state_out_of_reach_is_said(folder: Path) -> None:
    with pytest.raises(StepFailed, match="no steady state by the end, t = 3: give a later"):
        solve(ISOLATED.replace("end = 3.0", "end = 3.0\nsteady = true"), folder)
    COMM.barrier()
    assert json.loads((folder / "out" / "provenance.json").read_text())["outcome"].startswith("failed: no steady state")
    assert list(grids(folder / "out" / "fields.vtkhdf"))[-1] == 3.0
