"""A run that continues from a checkpoint is the run that was not interrupted: to the last bit on as many ranks, else to round-off."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion import Mesh, Problem, checkpoint, run
from fem_diffusion.checkpoint import Checkpoint, find
from fem_diffusion.errors import InputError
from fem_diffusion.mesh import build
from fem_diffusion.numbering import number_vertices
from fem_diffusion.preconditioner import choice
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

ALLOY = """
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"
[mesh]
shape = "rectangle"
size = ["30 nm", "30 nm"]
cells = [15, 15]
periodic = ["x"]
[[species]]
name = "Ag"
initial = "0.4 + 0.02*noise"
[[free_energy]]
kind = "RegularSolution"
interaction = "25 kJ/mol"
[[free_energy]]
kind = "Gradient"
kappa = "12 nJ/m"
[mobility]
kind = "Degenerate"
diffusivity = "1e-17 m^2/s"
[time]
end = "1 s"
[output]
times = 5
checkpoint = 0
[[output.probe]]
name = "p"
at = ["10 nm", "7 nm"]
"""

LARGE_ALLOY = """
[mesh]
shape = "rectangle"
size = 40
cells = [80, 72]
[[species]]
name = "A"
initial = "0.5 + 0.1*cos(x/3)*cos(y/4)"
[[free_energy]]
kind = "DoubleWell"
rho = 5
a = 0.3
b = 0.7
[[free_energy]]
kind = "Gradient"
kappa = 2
[mobility]
kind = "Constant"
value = 5
[time]
end = 0.5
[output]
times = 2
checkpoint = 0
"""

IONS = """
[mesh]
shape = "rectangle"
size = [1.0, 0.5]
cells = [16, 6]
[[species]]
name = "p"
charge = 1
diffusivity = 1
initial = 0.2
[[species]]
name = "n"
charge = -1
diffusivity = 1
initial = 0.2
[[free_energy]]
kind = "LatticeGas"
[[free_energy]]
kind = "Electrostatic"
permittivity = 0.01
[mobility]
kind = "VolumeExclusion"
[boundary.left]
potential = "3*sin(20*t)"
[boundary.right]
potential = 0
[time]
end = 0.3
[output]
times = 4
checkpoint = 0
"""

WELD = """
[mesh]
shape = "interval"
size = 1
cells = 40
[[species]]
name = "A"
diffusivity = 2
initial = "where(x < 0.5, 0.3, 0.7)"
[[species]]
name = "B"
diffusivity = 1
balance = true
[[free_energy]]
kind = "RegularSolution"
chi = 1.5
[mobility]
kind = "Darken"
[time]
end = 0.02
[output]
times = 3
checkpoint = 0
[[output.marker]]
name = "m"
at = [0.5]
"""

CASES = {"alloy": ALLOY, "large alloy": LARGE_ALLOY, "ions": IONS, "weld": WELD}


@pytest.fixture
def keeps_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Checkpoints of all steps, and old Jacobians in problems of any size."""
    monkeypatch.setattr(checkpoint, "KEPT", 10_000)
    monkeypatch.setattr(choice, "SMALLEST_KEPT", dict.fromkeys((1, 2, 3), 0))
    yield


def problem(folder: Path, text: str, **changes: str) -> Problem:
    if COMM.rank == 0:
        (folder / "case.toml").write_text(text)
    COMM.barrier()
    return Problem.read(folder / "case.toml", {key.replace("__", "."): value for key, value in changes.items()})


def columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))


def fields(path: Path) -> dict[str, np.ndarray]:
    """What fields.vtkhdf has, by name."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r", locking=False) as file:
        file["VTKHDF"].visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_mesh_is_cut_the_same_way_every_time() -> None:
    """Without which nothing else here could hold on several ranks. Scotch's threads cut this mesh differently one time out of four."""
    table = Mesh(shape="rectangle", size=1, cells=40)
    coordinates = {build(table, Path(), COMM).mesh.geometry.x.tobytes() for _ in range(25)}
    assert len(coordinates) == 1


@pytest.mark.usefixtures("keeps_all")
@pytest.mark.parametrize("name", CASES)
def test_continued_run_is_the_same_to_the_last_bit(name: str, folder: Path) -> None:
    """history.csv and the fields, from the first checkpoint and from one in the middle."""
    given, out = problem(folder, CASES[name]), folder / "out"
    run(given, out)
    whole, arrays = (out / "history.csv").read_bytes(), fields(out / "fields.vtkhdf")
    last = whole.count(b"\n") - 2
    assert last >= 8
    COMM.barrier()
    for step in (1, last // 2):
        run(given, out, restart=str(step))
        assert (out / "history.csv").read_bytes() == whole, f"from step {step} of {last}"
        again = fields(out / "fields.vtkhdf")
        assert again.keys() == arrays.keys()
        assert all(np.array_equal(again[key], arrays[key], equal_nan=True) for key in arrays)
        COMM.barrier()


@pytest.mark.usefixtures("keeps_all")
def test_what_may_change_and_what_not(folder: Path) -> None:
    out = folder / "out"
    run(problem(folder, WELD), out)
    first = columns(out / "history.csv")
    COMM.barrier()
    with pytest.raises(InputError, match=r"of another problem:\n  free_energy\.0\.chi: 1\.5 in the checkpoint, 1\.4 now\n.*may change"):
        run(problem(folder, WELD.replace("chi = 1.5", "chi = 1.4")), out, restart="latest")
    with pytest.raises(InputError, match=r"no checkpoint of that step; legal: latest, or one of the steps \(0, 1, 2,"):
        run(problem(folder, WELD), out, restart="5000")
    COMM.barrier()
    run(problem(folder, WELD, time__end="0.03", time__tolerance="1e-4"), out, restart="latest")
    longer = columns(out / "history.csv")
    rows = len(first["step"])
    assert longer["time"][-1] == 0.03 and np.array_equal(longer["step"], np.arange(len(longer["step"])))
    assert all(np.array_equal(longer[name][:rows], first[name]) for name in first)
    times = fields(out / "fields.vtkhdf")["Steps/Values"]
    assert (np.diff(times) > 0).all() and times[-1] == 0.03


def test_of_two_checkpoints_the_last_that_is_whole(folder: Path) -> None:
    out = folder / "out"
    run(problem(folder, WELD), out)
    COMM.barrier()
    files = sorted((out / "checkpoint").glob("*.h5"))
    assert len(files) == 2, "the last two are kept"
    assert (out / "checkpoint" / "latest").read_text() == files[-1].name + "\n"
    before = (out / "history.csv").read_bytes()
    COMM.barrier()
    if COMM.rank == 0:
        os.truncate(files[-1], 1000)
        found = find(out, "latest")
        assert found is not None and found.path == files[0]
        with pytest.raises(InputError, match="no checkpoint that can be read"):
            Checkpoint.read(files[-1])
    COMM.barrier()
    run(problem(folder, WELD), out, restart="latest")
    assert (out / "history.csv").read_bytes() == before


def test_another_mesh_is_refused(folder: Path) -> None:
    """A file that is meshed differently now: the TOML says nothing of it."""
    out = folder / "out"
    run(problem(folder, WELD), out)
    for text, message in (
        ("0.5 + 0.4*x", "its vertices are at other places"),
        ("2 vertices less", "it has 41 vertices, and the problem's mesh 39"),
    ):
        moved = problem(folder, WELD.replace("cells = 40", "cells = 38") if "less" in text else WELD.replace("size = 1\n", "size = 1.1\n"))
        found = find(out, "latest") if COMM.rank == 0 else None
        found = COMM.bcast(found)
        system = System(moved, COMM)
        with pytest.raises(InputError, match=message):
            found.vectors(system, number_vertices(system.formulation.scalar_space))


def test_size(folder: Path) -> None:
    """At most three times what it must hold: three states of (c, mu) for first guesses and three of c for errors, dc/dt at the start, and for
    old factors the state and the step's start where they were made."""
    out = folder / "out"
    run(problem(folder, LARGE_ALLOY), out)
    (*_, path) = sorted((out / "checkpoint").glob("*.h5"))
    vertices = 81 * 73
    assert path.stat().st_size <= 3 * 8 * vertices * (3 * 2 + 3 + 1 + 4)


@pytest.mark.serial
def test_other_numbers_of_ranks(tmp_path: Path) -> None:
    """From two ranks to one and to three: to 1e-10 of each column's largest value."""
    (tmp_path / "case.toml").write_text(ALLOY.replace('end = "1 s"', 'end = "0.1 s"'))
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\nfrom pathlib import Path\nfrom fem_diffusion import Problem, checkpoint, run\nfrom fem_diffusion.output import Output\n"
        "checkpoint.KEPT, Output._draw = 10_000, lambda output: None\n"
        "run(Problem.read(Path('case.toml')), Path('out'), restart=sys.argv[1] if len(sys.argv) > 1 else None)\n"
    )

    def on(ranks: int, *arguments: str) -> dict[str, np.ndarray]:
        command = ["mpirun", "--bind-to", "none", "-n", str(ranks), sys.executable, str(driver), *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
        return columns(tmp_path / "out" / "history.csv")

    whole = on(2)
    middle = len(whole["step"]) // 2
    for ranks in (1, 3):
        again = on(ranks, str(middle))
        assert again.keys() == whole.keys() and len(again["step"]) == len(whole["step"])
        for name in whole.keys() - {"linear_iterations"}:
            assert np.abs(again[name] - whole[name]).max() <= 1e-10 * np.abs(whole[name]).max(), (ranks, name)
