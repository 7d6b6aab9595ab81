"""Sweeps: what is swept, in which order and unit, what the table holds, and what happens when a point fails or a sweep is continued."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion.diagnostics import Columns
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.parallel import on_root
from fem_diffusion.problem import Problem
from fem_diffusion.run import steps
from fem_diffusion.signals import Stopped
from fem_diffusion.sweep import Range, numbers, sweep
from fem_diffusion.sweep.plan import Plan
from fem_diffusion.sweep.solve import Sweep
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

# An electrode in contact with a reservoir, on a mesh that resolves the double layer (Debye length 0.0158).
HALF_CELL = """
mesh = { shape = "interval", size = 0.15, cells = 300 }
species = [
  { name = "K", charge = 1, initial = 0.2, diffusivity = 1 },
  { name = "Cl", charge = -1, initial = 0.2, diffusivity = 1 },
]
free_energy = [{ kind = "LatticeGas" }, { kind = "Electrostatic", permittivity = 1e-4 }]
mobility = { kind = "VolumeExclusion" }
boundary.left = { potential = 0 }
boundary.right = { potential = 0, concentration = { K = 0.2, Cl = 0.2 } }
time = { end = 1, steady = true }
"""
EPS, NU = 1e-4, 0.4

# Fick's law between two reservoirs.
MEMBRANE = """
mesh = { shape = "interval", size = 2, cells = 8 }
species = [{ name = "A", initial = 0.3, diffusivity = 1 }]
formulation = "fractions"
free_energy = [{ kind = "Ideal" }]
mobility = { kind = "Fick" }
boundary.left = { concentration = { A = 0.5 } }
boundary.right = { concentration = { A = 0.1 } }
time = { end = 100, steady = true }
"""

CLOSED = """
mesh = { shape = "interval", size = 2, cells = 8 }
species = [{ name = "A", initial = 0.3, diffusivity = 1 }]
formulation = "fractions"
free_energy = [{ kind = "Ideal" }]
mobility = { kind = "Fick" }
boundary.right = { flux = { A = 0 } }
time = { end = 0.1, step = 0.01 }
output.times = 1
"""

CELL_IN_UNITS = """
temperature = "298.15 K"
mesh = { shape = "interval", size = "20 nm", cells = 20 }
species = [
  { name = "K", charge = 1, initial = "0.1 mol/l", diffusivity = "2e-9 m^2/s" },
  { name = "Cl", charge = -1, initial = "0.1 mol/l", diffusivity = "2e-9 m^2/s" },
]
free_energy = [{ kind = "Ideal" }, { kind = "Electrostatic", relative_permittivity = 78.5 }]
mobility = { kind = "Fick" }
boundary.left = { potential = "10 mV" }
boundary.right = { potential = 0, concentration = { K = "0.1 mol/l", Cl = "0.1 mol/l" } }
time = { end = "1 us", steady = true }
"""


def written(folder: Path, text: str, name: str = "problem.toml") -> Path:
    path = folder / name
    on_root(COMM, lambda: path.write_text(text))
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def alone(path: Path, changes: dict[str, str], name: str) -> float:
    """What a run of one point gives."""
    system = System(Problem.read(path, changes))
    columns = Columns(system)
    *_, last = [columns.row(step) for step in steps(Integrator(system))]
    return last[name]


# --- ranges


@pytest.mark.parametrize(
    ("text", "values", "unit"),
    [
        ("-0.25:0.25:5", (-0.25, -0.125, 0.0, 0.125, 0.25), ""),
        ("-250 mV:250 mV:3", (-250.0, 0.0, 250.0), "mV"),
        ("0:1 nm:2", (0.0, 1.0), "nm"),
        ("0,0.1, 0.3", (0.0, 0.1, 0.3), ""),
        ("0.1,0.2 mol/l", (0.1, 0.2), "mol/l"),
        ("7", (7.0,), ""),
        ("1e-3:-1e-3:3", (1e-3, 0.0, -1e-3), ""),
        ("0:0.3:4", (0.0, 0.1, 0.2, 0.3), ""),
    ],
)
def test_ranges_and_lists(text: str, values: tuple[float, ...], unit: str) -> None:
    assert numbers(text, "--over") == (values, unit)
    assert Range.parse(f"a.b={text}") == Range("a.b", values, unit)


def test_frequencies_are_spaced_in_the_logarithm() -> None:
    assert numbers("1e-3:1e3:4", "--frequencies", logarithmic=True) == ((1e-3, 1e-1, 1e1, 1e3), "")
    with pytest.raises(InputError, match="-1 must be positive; legal: .* for example 1e-3:1e3:31"):
        numbers("-1:10:3", "--frequencies", logarithmic=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("boundary.left.potential", r"write --over key=first:last:count or .* for example --over boundary.left.potential=-0.25:0.25:21"),
        ("=1:2:3", "write --over key=first:last:count"),
        ("a=1:2", r"--over a=1:2: '1:2' has 2 parts; legal: first:last:count or a list a,b,c of numbers"),
        ("a=1:2:3:4", "has 4 parts"),
        ("a=1:two:3", "'two' is not a number"),
        ("a=1::3", "a number is missing"),
        ("a=", "a number is missing"),
        ("a=1,,3", "a number is missing"),
        ("a=1:2:1", "count = '1' must be a whole number, at least 2"),
        ("a=1:2:2.5", "count = '2.5' must be a whole number"),
        ("a=1:2:x", "count = 'x' must be a whole number"),
        ("a=1:1:3", "first and last are both 1"),
        ("a=1,2,1", "has a value twice"),
        ("a=1 V:2 mV:3", "has two units, V and mV: give one"),
        ("a=1:1e999:3", "is not finite"),
    ],
)
def test_what_is_not_a_range(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Range.parse(text)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            "boundary.left.potentail=0:1:2",
            r"--over, at boundary.left.potentail = 0: .*no parameter 'potentail'; did you mean 'potential'\?",
        ),
        ("boundry.left.potential=0:1:2", "no table or key 'boundry'; did you mean 'boundary'"),
        ("species.Na.charge=1:2:2", "--over species.Na.charge: there is no entry 'Na'; legal: 0 \\(K\\), 1 \\(Cl\\)"),
        ("boundary.middle.potential=0:1:2", "the mesh has no boundary 'middle'"),
        ("mobility.kind=0:1:2", r"--over, at mobility.kind = 0: \[mobility\] kind = 0 must be text"),
        ("species.K.name=0:1:2", "--over species.K.name: that is 'K' in .*problem.toml, and not a number"),
        ("time.steady=0:1:2", "--over time.steady: that is true in .*, and not a number"),
        ("boundary.left=0:1:2", "--over boundary.left: that is a table in .*, and not a number"),
        ("boundary.right.concentration.K=0.2:1.2:2", "--over, at boundary.right.concentration.K = 1.2: .*fractions are between 0 and 1"),
        ("boundary.left.potential=0 V:1 V:2", "units and plain numbers are mixed"),
    ],
)
def test_what_cannot_be_swept(folder: Path, over: str, message: str) -> None:
    path = written(folder, HALF_CELL)
    with pytest.raises(InputError, match=message):
        sweep(path, [Range.parse(over)], folder / "sweep")
    COMM.barrier()
    assert not (folder / "sweep").exists()


def test_a_parameter_is_swept_once(folder: Path) -> None:
    with pytest.raises(InputError, match="--over time.end is given twice"):
        sweep(written(folder, MEMBRANE), [Range("time.end", (1.0,)), Range("time.end", (2.0,))], folder / "sweep")


def test_units_of_a_range(folder: Path) -> None:
    """A unit is converted, and the table is in SI; plain numbers are SI where the problem's own value is, or is zero or absent."""
    path = written(folder, CELL_IN_UNITS)
    potentials = Plan(path, [Range.parse("boundary.left.potential=-250 mV,250 mV")], {})
    assert [float(problem.boundary["left"].potential.value) for problem in potentials.problems.values()] == [-0.25, 0.25]
    assert [potentials.values(index)["boundary.left.potential"] for index in potentials.indices] == ["-0.25", "0.25"]
    changes = {"boundary.left.potential": '"0.01 V"', "boundary.left.stern": '{ thickness = "1e-9 m", relative_permittivity = 6 }'}
    plain = {
        "boundary.left.potential=-0.25,0.25": "V",
        "boundary.right.potential=0,0.1": "V",  # zero in the file
        "boundary.left.stern.thickness=0.3e-9,0.4e-9": "m",
        "boundary.left.stern.relative_permittivity=6,7": "",
    }
    for text, unit in plain.items():
        assert Plan(path, [Range.parse(text)], changes).ranges[0].unit == unit
    flux = written(folder, CELL_IN_UNITS.replace('potential = "10 mV"', "flux = { K = 0 }"), "flux.toml")
    assert Plan(flux, [Range.parse("boundary.left.surface_charge=0,0.01")], {}).ranges[0].unit == "C/m^2"  # what the key takes


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            "boundary.left.potential=-250:250:21",
            "-250 has no unit, and the problem has '10 mV' there: give one, as in --over \"boundary.left.potential=-250 V:250 V:21\"",
        ),
        ("species.K.initial=50,100", "50 has no unit, and the problem has '0.1 mol/l' there"),
    ],
)
def test_plain_numbers_may_be_meant_in_the_unit_of_the_problem(folder: Path, over: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Plan(written(folder, CELL_IN_UNITS), [Range.parse(over)], {})
    assert message in str(caught.value)


# --- results


def test_charge_and_differential_capacitance_of_a_double_layer(folder: Path) -> None:
    """Q = sgn(V) sqrt(2 eps ln(1 + 2 nu sinh^2(V/2))) (Bikerman, Philos. Mag. 33 (1942) 384; Kilic et al., PRE 75 (2007) 021502, eq. 19)."""
    path = written(folder, HALF_CELL)
    assert sweep(path, [Range.parse("boundary.left.potential=-1:4:6")], folder / "sweep") == []
    table = rows(folder / "sweep")
    V = column(table, "boundary.left.potential")
    assert V.tolist() == list(range(-1, 5))
    assert {row["outcome"] for row in table} == {"reached the steady state"}
    Q = np.sign(V) * np.sqrt(2 * EPS * np.log(1 + 2 * NU * np.sinh(V / 2) ** 2))
    assert column(table, "charge_left") == pytest.approx(Q, rel=2e-3, abs=1e-12)
    C = column(table, "capacitance_left")
    assert C[1:-1] == pytest.approx((Q[2:] - Q[:-2]) / 2, rel=2e-3)
    assert C[0] == pytest.approx((-3 * Q[0] + 4 * Q[1] - Q[2]) / 2, rel=2e-3)
    # the same as without neighbours
    for k in (0, 5):
        assert float(table[k]["charge_left"]) == pytest.approx(
            alone(path, {"boundary.left.potential": f"{V[k]:g}"}, "charge_left"), rel=1e-9
        )
    assert json.loads((folder / "sweep/provenance.json").read_text())["outcome"] == "6 of 6 points solved"
    assert (folder / "sweep/sweep.png").stat().st_size > 10_000
    assert Problem.read(folder / "sweep/problem.resolved.toml").boundary.keys() == {"left", "right"}


def test_two_parameters(folder: Path) -> None:
    """Steady flux D (c_left - c_right)/L of the ideal mixture, outward at the right; the first --over is the outermost loop."""
    ranges = [Range.parse("species.A.diffusivity=1,3"), Range.parse("boundary.left.concentration.A=0.2:0.8:3")]
    assert sweep(written(folder, MEMBRANE), ranges, folder / "sweep") == []
    table = rows(folder / "sweep")
    D, c = column(table, "species.A.diffusivity"), column(table, "boundary.left.concentration.A")
    assert D.tolist() == [1, 1, 1, 3, 3, 3]
    assert c.tolist() == [0.2, 0.5, 0.8] * 2
    assert column(table, "flux_A_right") == pytest.approx(D * (c - 0.1) / 2, rel=1e-9)


def test_a_mesh_is_swept(folder: Path) -> None:
    """No state fits the next mesh."""
    assert sweep(written(folder, MEMBRANE), [Range.parse("mesh.cells=4,8")], folder / "sweep") == []
    assert column(rows(folder / "sweep"), "flux_A_right") == pytest.approx([0.2, 0.2], rel=1e-9)


@pytest.mark.parametrize("steady", ["true", "false"])
def test_what_depends_on_the_initial_state_starts_from_it(folder: Path, steady: str) -> None:
    """A closed system keeps its mass; a run in time is the same as alone."""
    changes = {"time.steady": steady, "time.end": "50"} if steady == "true" else {}
    path = written(folder, CLOSED if steady == "false" else CLOSED.replace("step = 0.01", "steady = true"))
    assert sweep(path, [Range.parse("species.A.initial=0.1:0.3:3")], folder / "sweep", changes) == []
    table = rows(folder / "sweep")
    assert column(table, "mass_A") == pytest.approx(2 * column(table, "species.A.initial"), rel=1e-12)
    if steady == "false":
        # the last vertex and all else as alone: cos profiles decay from the initial state of each point
        path = written(folder, CLOSED.replace("initial = 0.3", 'initial = "0.3 + 0.1*cos(pi*x/2)"'), "decay.toml")
        sweep(path, [Range.parse("species.A.diffusivity=1,2")], folder / "decay")
        for row in rows(folder / "decay"):
            assert float(row["max_A"]) == alone(path, {"species.A.diffusivity": row["species.A.diffusivity"]}, "max_A")


# --- failure and continuation


def test_a_failed_point_is_reported_and_tried_again(folder: Path) -> None:
    """An outward flux of 1000 empties the half cell of the last vertex; the others have what was there less what left."""
    path = written(folder, CLOSED)
    over = [Range.parse("boundary.right.flux.A=0,1000,0.1")]
    failures = sweep(path, over, folder / "sweep")
    assert len(failures) == 1
    assert failures[0].startswith("2 of 3: boundary.right.flux.A = 1000: no step from t = 3.75")  # 0.3*0.125/1000 = 3.75e-5
    table = rows(folder / "sweep")
    assert [row["outcome"].split(":")[0] for row in table] == ["reached the end", "failed", "reached the end"]
    assert table[1]["mass_A"] == ""
    assert [float(table[k]["mass_A"]) for k in (0, 2)] == pytest.approx([0.6, 0.6 - 0.1 * 0.1], rel=1e-12)
    assert json.loads((folder / "sweep/provenance.json").read_text())["outcome"] == "2 of 3 points solved"
    assert len(sweep(path, over, folder / "sweep")) == 1  # only that one
    assert rows(folder / "sweep") == table


def test_a_sweep_is_continued(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption the points that are there stay as they are, and only the others are solved."""
    path, over = written(folder, MEMBRANE), [Range.parse("species.A.diffusivity=1:4:4")]
    solve, solved = Sweep._solve, []

    def until_the_third(self: Sweep, index: tuple[int, ...]) -> None:
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append(index)
        solve(self, index)

    monkeypatch.setattr(Sweep, "_solve", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        sweep(path, over, folder / "sweep")
    COMM.barrier()
    first = rows(folder / "sweep")
    assert [row["species.A.diffusivity"] for row in first] == ["1", "2"]
    assert json.loads((folder / "sweep/provenance.json").read_text())["outcome"] == "interrupted"

    # an interrupted point: results without an end
    half = folder / "sweep/points/diffusivity=3"
    on_root(COMM, lambda: shutil.copytree(folder / "sweep/points/diffusivity=1", half))
    on_root(COMM, lambda: (half / "problem.resolved.toml").write_text(Problem.read(path, {"species.A.diffusivity": "3"}).resolved()))
    on_root(COMM, lambda: (half / "provenance.json").write_text('{"outcome": "interrupted"}'))
    on_root(COMM, lambda: shutil.rmtree(half / "checkpoint"))

    solved.clear()
    COMM.barrier()
    monkeypatch.setattr(Sweep, "_solve", lambda self, index: solved.append(index) or solve(self, index))
    assert sweep(path, over, folder / "sweep") == []
    assert solved == [(2,), (3,)]
    table = rows(folder / "sweep")
    assert table[:2] == first
    assert column(table, "flux_A_right") == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=1e-9)

    with pytest.raises(InputError, match="has the results of another problem: choose another folder with -o"):
        sweep(path, over, folder / "sweep", {"boundary.left.concentration.A": "0.6"})
    with pytest.raises(InputError, match="has the point diffusivity=1, which is not one of this sweep: give the same --over"):
        sweep(path, [Range.parse("species.A.diffusivity=2:4:3")], folder / "sweep")
    with pytest.raises(InputError, match="which is not one of this sweep"):
        sweep(path, [Range.parse("boundary.left.concentration.A=0.1:0.4:4")], folder / "sweep")
    on_root(COMM, lambda: (folder / "other").mkdir() or (folder / "other/file").write_text("x"))
    with pytest.raises(InputError, match="is there already and not empty"):
        sweep(path, over, folder / "other")


def test_an_interrupted_point_goes_on_from_its_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal during the sixth step of the second point; then the same numbers as without it."""
    path = written(folder, CLOSED.replace("initial = 0.3", 'initial = "0.3 + 0.1*cos(pi*x/2)"'))
    over, row = [Range.parse("species.A.diffusivity=1,2")], Columns.row

    def stop(columns: Columns, step: Step) -> dict[str, float]:
        if step.number == 6 and (folder / "sweep/points/diffusivity=2").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return row(columns, step)

    monkeypatch.setattr(Columns, "row", stop)
    with pytest.raises(Stopped):
        sweep(path, over, folder / "sweep")
    monkeypatch.undo()
    COMM.barrier()
    assert [row["species.A.diffusivity"] for row in rows(folder / "sweep")] == ["1"]
    assert json.loads((folder / "sweep/provenance.json").read_text())["outcome"] == "stopped by SIGTERM"
    assert sweep(path, over, folder / "sweep") == []
    assert float(rows(folder / "sweep")[1]["max_A"]) == alone(path, {"species.A.diffusivity": "2"}, "max_A")
    with (folder / "sweep/points/diffusivity=2/history.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(k) for k in range(11)]
    assert "continued from step 6" in (folder / "sweep/points/diffusivity=2/run.log").read_text()


# --- the command


@pytest.mark.serial
def test_the_command(folder: Path) -> None:
    path = written(folder, CLOSED)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "fem_diffusion", "sweep", str(path), *arguments]
        return subprocess.run(given, capture_output=True, text=True, cwd=folder, timeout=120, check=False)

    done = command("--over", "boundary.right.flux.A=0,1000", "--set", "time.end=0.02")
    assert done.returncode == 3
    assert "1 of 2: boundary.right.flux.A = 0: " in done.stdout
    assert "error: 1 of 2 points failed" in done.stderr
    assert "results/problem-sweep" in done.stdout
    assert len(rows(folder / "results/problem-sweep")) == 2
    wrong = command("--over", "boundary.right.flux.A")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "write --over key=first:last:count" in wrong.stderr
