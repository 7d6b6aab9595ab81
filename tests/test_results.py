"""Results folders as they are read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion.errors import InputError
from fem_diffusion.problem import Problem
from fem_diffusion.results import Results
from fem_diffusion.run import run

pytestmark = pytest.mark.serial

PROBLEM = """
[mesh]
shape = "rectangle"
size = [2.0, 1.0]
cells = [8, 3]
cell_type = "tensor"
[[species]]
name = "A"
initial = "0.3 + 0.1*x*y"
[[species]]
name = "B"
balance = true
[[free_energy]]
kind = "Ideal"
[mobility]
kind = "Stirring"
diffusivity = 1.0
[time]
end = 0.02
step = 0.005
[output]
times = [0.01, 0.02]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("run")
    (here / "problem.toml").write_text(PROBLEM)
    return run(Problem.read(here / "problem.toml"), here / "results", MPI.COMM_SELF)


def test_fields_and_history_are_those_of_the_problem(folder: Path) -> None:
    results = Results(folder)
    np.testing.assert_allclose(results.times, [0.0, 0.01, 0.02], rtol=1e-14)
    np.testing.assert_allclose(results.history["time"], [0.0, 0.005, 0.01, 0.015, 0.02], rtol=1e-14)
    assert (results.species, results.dimensional, results.dimension, results.vtk_type) == (["A", "B"], False, 2, 9)
    assert results.provenance["outcome"] == "reached the end"
    x, y, _ = results.points.T
    np.testing.assert_allclose(results.point("A", 0), 0.3 + 0.1 * x * y, rtol=1e-13)
    np.testing.assert_allclose(results.point("A", -1) + results.point("B", 2), 1.0, rtol=1e-13)
    # quadrilaterals in VTK's order go around; a quarter of each belongs to each corner
    a, b, c, d = (results.points[results.cells[:, k]] for k in range(4))
    area = 0.5 * np.abs((c - a)[:, 0] * (d - b)[:, 1] - (c - a)[:, 1] * (d - b)[:, 0])
    np.testing.assert_allclose(area, 2.0 / 24, rtol=1e-13)
    for index, row in ((0, 0), (1, 2), (2, 4)):
        mass = np.sum(area * results.point("A", index)[results.cells].mean(axis=1))
        assert mass == pytest.approx(results.history["mass_A"][row], rel=1e-13)
    # J = -grad c in an ideal mixture that is stirred: 0.1 y and 0.1 x at the start
    middle = results.points[results.cells].mean(axis=1)
    np.testing.assert_allclose(results.cell("flux_A", 0)[:, :2], -0.1 * middle[:, [1, 0]], atol=1e-12)
    with pytest.raises(InputError, match="did you mean 'flux_A'"):
        results.cell("flx_A", 0)
    with pytest.raises(IndexError):
        results.point("A", 3)


def test_a_run_that_has_not_ended_or_crashed(folder: Path, tmp_path: Path) -> None:
    crashed = shutil.copytree(folder, tmp_path / "crashed")
    whole = (crashed / "history.csv").read_text()
    (crashed / "history.csv").write_text(whole[:-8])  # the last number lacks digits, and its line an end
    (crashed / "provenance.json").write_text('{"outcome": "rea')
    results = Results(crashed)
    assert (results.provenance, len(results.history["step"])) == ({}, 4)

    started = tmp_path / "started"
    started.mkdir()
    shutil.copy(folder / "problem.resolved.toml", started)
    results = Results(started)
    assert (results.history, results.provenance, results.log, len(results.times)) == ({}, {}, [], 0)
    assert (results.point_names, results.cell_names) == ([], [])


def test_a_folder_that_is_not_that_of_a_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no problem\.resolved\.toml: give the folder of a run"):
        Results(tmp_path)
    with pytest.raises(InputError, match="is no folder: give the results folder of a run"):
        Results(folder / "history.csv")
    (tmp_path / "sweep.csv").touch()
    with pytest.raises(InputError, match="is that of a sweep: give the folder of one of its points"):
        Results(tmp_path)
