"""Results in Debian's ParaView, which runs in a process of its own on a virtual screen: the file, and the state that `view` writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import looked_at
import numpy as np
import pytest
from matplotlib.image import imread

from fem_diffusion.display import virtual_screen
from fem_diffusion.errors import InputError
from fem_diffusion.panels import Clock, columns, panel
from fem_diffusion.results import Results
from fem_diffusion.view import write_state

pytestmark = pytest.mark.serial
IN_PARAVIEW = Path(__file__).with_name("in_paraview.py")
CELLS = {"line": (40,), "flat": (20, 6), "solid": (20, 3, 2)}
CASES = [*CELLS, "ions"]
UNFINISHED = ["killed", "going on"]
Found = dict[str, Any]


def times(folder: Path) -> list[float]:
    """At which there are fields so far."""
    return Results(folder).times.tolist() if (folder / "fields.vtkhdf").exists() else []


def started(folder: Path) -> subprocess.Popen[bytes]:
    """A long run, which has written fields at some times already."""
    folder.mkdir()
    (folder / "problem.toml").write_text(looked_at.gas_text(CELLS["flat"]))
    changes = [part for change in ("time.end=200 s", "time.step=0.01 s", "output.times=2000") for part in ("--set", change)]
    command = [sys.executable, "-m", "fem_diffusion", "run", "problem.toml", "-o", "results", *changes]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(times(folder / "results")) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Results folders of a run that was killed, and of one that goes on."""
    folder = tmp_path_factory.mktemp("unfinished")
    killed = started(folder / "killed")
    killed.kill()
    killed.wait()
    going_on = started(folder / "going on")
    yield {name: folder / name / "results" for name in UNFINISHED}
    ended = going_on.poll()
    going_on.kill()
    going_on.wait()
    assert ended is None, "it went on while ParaView looked"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results folders with their state, moved to another place after it was written."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    runs = {name: looked_at.gas(before / name, cells) for name, cells in CELLS.items()} | {"ions": looked_at.ions(before / "ions")}
    for name, folder in runs.items():
        write_state(folder)
        shutil.move(folder, after / name)
    return {name: after / name for name in runs}


@pytest.fixture(scope="module")
def periodic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at.gas(tmp_path_factory.mktemp("periodic") / "flat", CELLS["flat"], periodic="y")


@pytest.fixture(scope="module")
def found(folders: dict[str, Path], periodic: Path, unfinished: dict[str, Path]) -> dict[str, Found]:
    """What ParaView finds in them."""
    if not (shutil.which("pvpython") and shutil.which("Xvfb")):
        pytest.skip("ParaView or Xvfb is not installed")
    with virtual_screen():
        every = unfinished | {"periodic": periodic} | folders
        command = ["pvpython", str(IN_PARAVIEW), *map(str, every.values())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower(), done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return {name: answer[str(folder)] for name, folder in every.items()}


# --- the file


@pytest.mark.parametrize("case", CELLS)
def test_paraview_opens_the_file_and_integrates_to_the_masses(case: str, folders: dict[str, Path], found: dict[str, Found]) -> None:
    file, results, dimension = found[case]["file"], Results(folders[case]), len(CELLS[case])
    assert file["reader"] == "HDFReader"
    assert {"H2", "N2", "CO2", "mu_H2", "mu_N2"} <= set(file["point"])
    assert {f"{kind}_{name}" for kind in ("flux", "uphill") for name in ("H2", "N2", "CO2")} | {"dissipation"} == set(file["cell"])
    assert file["times"] == pytest.approx([0.0, 2.0, 10.0], rel=1e-14)
    lengths = 1e-3 * np.array(looked_at.SIZE[:dimension])
    assert np.array(file["bounds"])[1::2] == pytest.approx([*lengths, *[0.0] * (3 - dimension)], rel=1e-14)

    volume, history = np.prod(lengths), results.history
    for t, integrals in zip(file["times"], file["integrals"], strict=True):
        (row,) = np.flatnonzero(np.isclose(history["time"], t))
        assert integrals[["Length", "Area", "Volume"][dimension - 1]][0] == pytest.approx(volume, rel=1e-12)
        for name in ("H2", "N2", "CO2"):
            assert integrals[name][0] == pytest.approx(history[f"mass_{name}"][row], rel=1e-12)
        # 0.1 mm/s leave through the right side, of the 25 % with which the domain started
        outflow = 1e-4 * t * volume / lengths[0]
        assert integrals["H2"][0] == pytest.approx(0.25 * volume - outflow, rel=1e-11)


def test_paraview_draws_a_periodic_mesh_where_it_is(found: dict[str, Found]) -> None:
    """A cell that were drawn from one side to the other would add to the area."""
    file, lengths = found["periodic"]["file"], 1e-3 * np.array(looked_at.SIZE[:2])
    assert np.array(file["bounds"]) == pytest.approx([0.0, lengths[0], 0.0, lengths[1], 0.0, 0.0], rel=1e-14)
    for integrals in file["integrals"]:
        assert integrals["Area"][0] == pytest.approx(np.prod(lengths), rel=1e-12)
    assert file["integrals"][0]["H2"][0] == pytest.approx(0.25 * np.prod(lengths), rel=1e-12)


@pytest.mark.parametrize("case", UNFINISHED)
def test_paraview_opens_the_file_of_a_run_that_has_not_ended(case: str, found: dict[str, Found], unfinished: dict[str, Path]) -> None:
    """All that is complete, each time with the mass that it must have: 0.1 mm/s leave through the right side."""
    file, complete = found[case]["file"], times(unfinished[case])
    assert file["times"] == complete if case == "killed" else 4 <= len(file["times"]) <= len(complete)
    assert file["times"] == pytest.approx(0.1 * np.arange(len(file["times"])), abs=1e-12)
    lengths = 1e-3 * np.array(looked_at.SIZE[:2])
    for t, integrals in zip(file["times"], file["integrals"], strict=True):
        assert integrals["H2"][0] == pytest.approx((0.25 * lengths[0] - 1e-4 * t) * lengths[1], rel=1e-10)


def test_paraview_finds_the_potential_and_the_charges(found: dict[str, Found]) -> None:
    file = found["ions"]["file"]
    assert {"Na", "Cl", "mu_Na", "mu_Cl", "phi"} <= set(file["point"])
    # at the start all is neutral: two capacitors in series, 0.5/0.02 = 25 and 1.5/0.05 = 30, of the voltage 4
    phi = -4 + 4 * 25 / 55
    assert file["integrals"][0]["phi"][0] == pytest.approx(0.5 * (-4 + phi) / 2 + 1.5 * phi / 2, rel=1e-9)
    assert np.isnan(file["integrals"][0]["Na"][0])  # there is no such thing in the dielectric


# --- the state


@pytest.mark.parametrize("case", ["flat", "solid"])
def test_state_shows_each_species_with_its_flux(case: str, folders: dict[str, Path], found: dict[str, Found]) -> None:
    state, dimension = found[case]["state"], len(CELLS[case])
    assert state["views"] == 3 * ["RenderView"]
    assert state["times"] == pytest.approx(3 * [10.0])
    assert state["clock"] == "t = 10 s"
    assert state["linked"] == pytest.approx(1.0)  # the camera of the last follows that of the first
    seeds = np.array(state["seeds"])
    low, high = np.zeros(dimension), np.array(looked_at.SIZE[:dimension])
    part = np.minimum(2 * (seeds[:, :dimension] - low) / (high - low), 1.999).astype(int)
    assert len(np.unique(part, axis=0)) == 2**dimension  # seeds in each half, quarter, eighth
    assert np.array_equal(seeds, state["seeds_at_first"])
    for name in ("H2", "N2", "CO2"):
        lines = state["sources"][f"streamlines of flux_{name}"]
        assert lines["cells"] >= len(seeds)
        assert np.ptp(lines["bounds"][:2]) > 0.9 * looked_at.SIZE[0]  # mm: matter flows along x
        assert state["sources"][f"directions of flux_{name}"]["cells"] > 0


@pytest.mark.parametrize("case", ["flat", "solid"])
def test_state_outlines_where_nitrogen_goes_uphill(case: str, folders: dict[str, Path], found: dict[str, Found]) -> None:
    results, sources = Results(folders[case]), found[case]["state"]["sources"]
    uphill = results.cell("uphill_N2", -1) > 0
    ends = 1e3 * results.points[results.cells, 0]
    at_right = uphill & (ends.min(axis=1) > 80)
    hole = ends[~uphill]
    assert hole.min() > 0 and hole.max() < 100  # downhill in between only
    region = sources["where N2 goes uphill"]
    assert region["bounds"][:2] == pytest.approx([0, 100]) and at_right.any()
    assert "where H2 goes uphill" not in sources  # it never does
    # all cells are alike; the edge of the region is at most half a cell from that of its cells, on the two sides of the hole
    whole, half_cell = np.prod(looked_at.SIZE[: len(CELLS[case])]), 0.5 / CELLS[case][0]
    assert region["measure"] == pytest.approx(whole * uphill.mean(), abs=whole * 2 * half_cell)
    assert uphill.mean() < 1 - 2.1 * half_cell  # so that all of the domain would not do
    if case == "flat":
        assert sources["edge of where N2 goes uphill"]["cells"] > 0


def test_state_draws_curves_in_one_dimension(folders: dict[str, Path], found: dict[str, Found]) -> None:
    state, results = found["line"]["state"], Results(folders["line"])
    assert state["views"] == 2 * ["XYChartView"]
    uphill = results.cell("uphill_N2", -1) > 0
    assert state["sources"]["N2 goes uphill"]["cells"] == uphill.sum() and 0 < uphill.sum() < len(uphill)
    assert not any("streamlines" in name for name in state["sources"])


def test_colours_are_those_of_all_times_and_phi_has_a_middle(folders: dict[str, Path], found: dict[str, Found]) -> None:
    colors = np.array(found["flat"]["state"]["colors"]["H2"]).reshape(-1, 4)
    assert colors[[0, -1], 0] == pytest.approx([0.05, 0.45], rel=1e-12)  # the range of the start, which is the widest
    lightness = colors[:, 1:] @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) > 0)
    state = found["ions"]["state"]
    phi = np.array(state["colors"]["phi"]).reshape(-1, 4)
    assert phi[[0, -1], 0] == pytest.approx([-4.0, 4.0], rel=1e-9)
    assert np.ptp(phi[len(phi) // 2, 1:]) < 0.02  # grey at zero
    assert not any("phi" in name for name in state["sources"])


@pytest.mark.parametrize("case", CASES)
def test_picture_of_the_state_is_not_blank(case: str, folders: dict[str, Path], found: dict[str, Found]) -> None:
    picture = imread(folders[case] / "last.png")[..., :3]
    assert picture.shape == (450, 800, 3)
    coloured = np.ptp(picture, axis=2) > 0.1
    assert coloured.mean() > (0.002 if case == "line" else 0.05)
    dark_or_coloured = (picture < 0.5).any(axis=2)
    assert dark_or_coloured[:, :400].any() and dark_or_coloured[:, 400:].any()
    assert (picture > 0.98).all(axis=2).mean() > 0.2


# --- the program


def test_view_writes_a_state_once_and_starts_paraview(folders: dict[str, Path], tmp_path: Path) -> None:
    """With a stand-in that writes down what it was asked."""
    folder = shutil.copytree(folders["line"], tmp_path / "a run")
    (folder / "view.py").unlink()
    asked = tmp_path / "asked"
    program = tmp_path / "bin" / "paraview"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {asked}\n")
    program.chmod(0o755)

    def view(**screen: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}"} | screen
        command = [sys.executable, "-m", "fem_diffusion", "view", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, env=environment).stdout

    said = view()
    assert "open it with: paraview --script=" in said and not asked.exists()
    written = (folder / "view.py").read_text()
    compile(written, "view.py", "exec")
    assert written.isascii() and str(folder) not in written

    (folder / "view.py").write_text(written + "# mine\n")
    assert "stays as it is" in view(DISPLAY=":7")
    assert (folder / "view.py").read_text().endswith("# mine\n")
    for _ in range(100):
        if asked.exists() and asked.read_text():
            break
        time.sleep(0.05)
    assert asked.read_text() == f"--script={folder / 'view.py'}\n"


def test_folders_that_cannot_be_viewed(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the folder of a run"):
        write_state(tmp_path)
    started = tmp_path / "started"
    started.mkdir()
    shutil.copy(folders["line"] / "problem.resolved.toml", started)
    with pytest.raises(InputError, match="has no fields yet: wait for the run's first output time"):
        write_state(started)
    with pytest.raises(InputError, match="has no field 'mu_H3'; did you mean 'mu_H2'"):
        panel(Results(folders["line"]), "mu_H3")


@pytest.mark.parametrize(
    ("times", "unit"),
    [([0, 10, 1500], "s"), ([0, 2e-6, 3e-3], "µs"), ([0, 1e-6, 1.0], "s"), ([0, 7200, 86400], "h"), ([5.0], "s"), ([0.0], "s")],
)
def test_clock_has_one_unit_for_the_whole_run(times: list[float], unit: str) -> None:
    class Stub:
        dimensional = True

    stub = Stub()
    stub.times = np.array(times)
    clock = Clock.of(stub)
    assert clock.unit == unit
    assert clock.label(times[-1]) == f"t = {times[-1] / clock.seconds:.4g} {unit}"


def test_panels_fill_the_screen() -> None:
    assert [columns(3, 0.3), columns(3, 3.0), columns(4, 0.6), columns(1, 1.0), columns(2, 0.2)] == [1, 3, 2, 1, 1]
