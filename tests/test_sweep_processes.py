"""Sweeps in processes side by side and as an array of Slurm jobs, what they leave behind, and the page that compares the points."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time as clock
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from bad_input import launch
from browser import Browser

from fem_diffusion.sweep import Range
from fem_diffusion.sweep.plan import Plan

pytestmark = pytest.mark.serial

# Fick's law between two reservoirs: the steady flux to the right is D (c_left - c_right)/2.
MEMBRANE = """
title = "A <thin> membrane"
mesh = { shape = "interval", size = 2, cells = 8 }
species = [{ name = "A", initial = 0.3, diffusivity = 1 }]
formulation = "fractions"
free_energy = [{ kind = "Ideal" }]
mobility = { kind = "Fick" }
boundary.left = { concentration = { A = 0.5 } }
boundary.right = { concentration = { A = 0.1 } }
time = { end = 100, steady = true }
"""

# What leaves at the right is the mass lost; more than is there fails (0.3*0.125/1000 s empties the last half cell).
CLOSED = """
mesh = { shape = "interval", size = 2, cells = 8 }
species = [{ name = "A", initial = 0.3, diffusivity = 1 }]
formulation = "fractions"
free_energy = [{ kind = "Ideal" }]
mobility = { kind = "Fick" }
boundary.right = { flux = { A = 0 } }
time = { end = 0.1, step = 0.05 }
output.times = 1
"""

# Runs what it is given at once, one task after the other, as sbatch would later; the number of a job is that of the call.
SBATCH = """#!/usr/bin/env bash
script=${@: -1}
echo "$@" >> "$CALLS"
range=$(sed -n 's/^#SBATCH --array=1-\\([0-9]*\\).*/\\1/p' "$script")
for task in $(seq "${range:-1}"); do SLURM_ARRAY_TASK_ID=$task bash "$script" >> "$CALLS.log" 2>&1; done
echo "$((100 + $(wc -l < "$CALLS")));cluster"
"""


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- which points go together


def plan(folder: Path, *over: str) -> Plan:
    (folder / "membrane.toml").write_text(MEMBRANE)
    return Plan(folder / "membrane.toml", [Range.parse(text) for text in over], {})


@pytest.mark.parametrize(
    ("count", "continued", "sizes"),
    [
        (1, True, [12]),
        (2, True, [4, 8]),  # whole lines, from their first points
        (3, True, [4, 4, 4]),
        (6, True, [2] * 6),  # too few lines for so many: halves of lines
        (4, True, [2, 4, 2, 4]),
        (5, False, [2, 2, 3, 2, 3]),
        (100, True, [1] * 12),
        (100, False, [1] * 12),
    ],
)
def test_parts(folder: Path, count: int, continued: bool, sizes: list[int]) -> None:
    swept = plan(folder, "species.A.diffusivity=1:3:3", "boundary.left.concentration.A=0.2:0.8:4")
    parts = swept.parts(count, continued)
    assert [index for part in parts for index in part] == swept.indices
    assert [len(part) for part in parts] == sizes


def test_folders_are_called_by_their_values(folder: Path) -> None:
    swept = plan(folder, "boundary.left.concentration.A=0.2,0.4", "boundary.right.concentration.A=0:1e-3:2")
    assert swept.folder((0, 1)) == "left.concentration.A=0.2,right.concentration.A=0.001"
    assert plan(folder, "species.A.diffusivity=2").folder((0,)) == "diffusivity=2"


# --- processes


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    """A sweep over two parameters in two processes."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "membrane.toml").write_text(MEMBRANE)
    over = ("--over", "species.A.diffusivity=1,3", "--over", "boundary.left.concentration.A=0.2:0.8:3")
    yield folder, launch(folder, "sweep", "membrane.toml", *over, "-o", "out", "--jobs", "2", "--", "-snes_rtol", "1e-12")


def test_two_processes_find_what_one_finds(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, result = done
    assert (result.returncode, result.stderr) == (0, "")
    rows = table(folder / "out")
    places = [(float(row["species.A.diffusivity"]), float(row["boundary.left.concentration.A"])) for row in rows]
    assert places == [(D, c) for D in (1, 3) for c in (0.2, 0.5, 0.8)]
    assert [float(row["flux_A_right"]) for row in rows] == pytest.approx([D * (c - 0.1) / 2 for D, c in places], rel=1e-9)
    assert {row["outcome"] for row in rows} == {"reached the steady state"}
    provenance = json.loads((folder / "out/provenance.json").read_text())
    assert provenance["outcome"] == "6 of 6 points solved"
    # each line is continued: its first point takes more iterations than the others
    counts = {int(n): int(m) for n, m in re.findall(r"(\d) of 6: .*: (\d+) Newton", result.stdout)}
    assert sorted(counts) == [1, 2, 3, 4, 5, 6]


def test_each_point_has_a_runs_folder(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = done
    points = sorted((folder / "out/points").iterdir())
    assert len(points) == 6
    alone = launch(folder, "run", "membrane.toml", "--set", "boundary.left.concentration.A=0.8", "-o", "alone")
    assert alone.returncode == 0
    names = {path.name for path in (folder / "alone").iterdir()}
    assert {"history.csv", "fields.vtkhdf", "summary.png", "run.log", "provenance.json", "problem.resolved.toml"} <= names
    assert all({path.name for path in point.iterdir()} == names for point in points)
    same = folder / "out/points/diffusivity=1,A=0.8"
    assert (same / "problem.resolved.toml").read_text() == (folder / "alone/problem.resolved.toml").read_text()
    assert json.loads((same / "provenance.json").read_text())["petsc_options"]["snes_rtol"] == "1e-12"


def test_page(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """In a browser: no complaint, the menu changes the curves, each point's picture leads to its folder; nothing is loaded."""
    folder, _ = done
    browser = Browser().driver
    try:
        browser.get((folder / "out/sweep.html").as_uri())
        assert browser.title == "A <thin> membrane"
        drawn = "return document.getElementById('curves').data.map(curve => [curve.name, Array.from(curve.x), Array.from(curve.y)])"
        (first, x, y), (second, _, z) = browser.execute_script(drawn)
        assert (first, second, x) == ("1", "3", [0.2, 0.5, 0.8])
        assert y == pytest.approx([-(c - 0.1) / 2 for c in x], rel=1e-9)  # flux_A_left, outward
        assert z == pytest.approx([-3 * (c - 0.1) / 2 for c in x], rel=1e-9)
        browser.find_element("css selector", ".updatemenu-header").click()
        items = {item.text: item for item in browser.find_elements("css selector", ".updatemenu-dropdown-button")}
        items["mass_A"].click()
        (_, _, y), _ = browser.execute_script(drawn)
        assert y == pytest.approx([c + 0.1 for c in x], rel=1e-9)  # 2 (c_left + c_right)/2
        assert browser.find_element("css selector", ".ytitle").text == "mass_A"
        links = [a.get_attribute("href") for a in browser.find_elements("css selector", "figure a")]
        reports = [Path(unquote(link.removeprefix("file://"))) for link in links]
        assert [report.name for report in reports] == ["report.html"] * 6
        assert all(report.is_file() for report in reports)
        widths = browser.execute_script("return Array.from(document.querySelectorAll('figure img')).map(image => image.naturalWidth)")
        assert widths == [320] * 6
        assert (
            browser.execute_script("return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length") == 0
        )
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def test_a_sweep_of_processes_goes_on(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """What is solved is not touched, an interrupted point is run again, and --collect solves nothing."""
    folder, _ = done
    over = ("--over", "species.A.diffusivity=1,3", "--over", "boundary.left.concentration.A=0.2:0.8:3")
    shutil.copytree(folder / "out", folder / "again")
    before, points = table(folder / "again"), folder / "again/points"
    kept = points / "diffusivity=1,A=0.5/history.csv"
    (points / "diffusivity=1,A=0.2/provenance.json").unlink()  # killed: it says nothing of its end
    written = kept.stat().st_mtime_ns
    collected = launch(folder, "sweep", "membrane.toml", *over, "-o", "again", "--collect")
    assert collected.returncode == 3
    assert "1 of 6 points failed" in collected.stderr and "not begun" in collected.stderr
    assert len(table(folder / "again")) == 5
    result = launch(folder, "sweep", "membrane.toml", *over, "-o", "again", "--jobs", "2")
    assert result.returncode == 0
    assert "6 points over species.A.diffusivity, boundary.left.concentration.A, 5 of them solved already" in result.stdout
    assert result.stdout.count("Newton iterations") == 1
    assert kept.stat().st_mtime_ns == written
    assert [float(row["flux_A_left"]) for row in table(folder / "again")] == pytest.approx(
        [float(row["flux_A_left"]) for row in before], rel=1e-9
    )
    other = launch(folder, "sweep", "membrane.toml", *over, "-o", "again", "--set", "time.end=99")
    assert (other.returncode, "has the results of another problem" in other.stderr) == (2, True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_ends_all_processes_and_the_sweep_goes_on(folder: Path, jobs: str) -> None:
    """Sent to the process that was started, alone; each point that ran is saved, and goes on from there."""
    (folder / "membrane.toml").write_text(MEMBRANE.replace("end = 100, steady = true", "end = 10, step = 0.01"))
    sweep = ("sweep", "membrane.toml", "--over", "species.A.diffusivity=1,2,3", "-o", "out", "--jobs", jobs)
    running = subprocess.Popen([sys.executable, "-m", "fem_diffusion", *sweep], cwd=folder, stdout=subprocess.PIPE, text=True)
    histories = [folder / f"out/points/diffusivity={D}/history.csv" for D in range(1, int(jobs) + 1)]
    deadline = clock.monotonic() + 60
    while not all(path.exists() and path.stat().st_size > 5000 for path in histories):
        assert running.poll() is None and clock.monotonic() < deadline
        clock.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM: the same command with -o out goes on" in said
    rows = [path.read_bytes() for path in histories]
    for path in histories:
        assert json.loads((path.parent / "provenance.json").read_text())["outcome"].startswith("stopped by SIGTERM after step ")
        assert (path.parent / "checkpoint/latest").exists()
    assert not (folder / "out/points/diffusivity=3").exists()
    again = launch(folder, *sweep)
    assert again.returncode == 0
    for path, before in zip(histories, rows, strict=True):
        assert path.read_bytes().startswith(before)
    assert len(table(folder / "out")) == 3


def test_processes_are_not_for_mpirun(folder: Path) -> None:
    (folder / "membrane.toml").write_text(MEMBRANE)
    for option in (("--jobs", "2"), ("--slurm",)):
        result = launch(folder, "sweep", "membrane.toml", "--over", "species.A.diffusivity=1,3", *option, ranks=2)
        assert result.returncode == 2
        assert f"error: {option[0]} starts processes of its own: leave out mpirun, or {option[0]}" in result.stderr


# --- Slurm


def test_array_of_slurm_jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in that runs what is submitted: the table is that of the theory, also where one of the parts fails."""
    (folder / "closed.toml").write_text(CLOSED)
    tools = folder / "tools"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", '#!/usr/bin/env bash\nexec "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    over = ("--over", "boundary.right.flux.A=0,1000,0.1")
    result = launch(folder, "sweep", "closed.toml", *over, "-o", "out", "--slurm", "--jobs", "2")
    assert result.returncode == 0, result.stderr + (folder / "calls.log").read_text()
    assert (folder / "calls").read_text().splitlines() == [
        "--parsable out/sweep.sbatch",
        "--parsable --dependency=afterany:101 out/collect.sbatch",
    ]
    assert "job 101, 3 parts by out/sweep.sbatch; job 102 collects them" in result.stdout
    assert "#SBATCH --array=1-3%2\n" in (folder / "out/sweep.sbatch").read_text()
    rows = table(folder / "out")
    assert [row["outcome"].split(":")[0] for row in rows] == ["reached the end", "failed", "reached the end"]
    assert [float(rows[k]["mass_A"]) for k in (0, 2)] == pytest.approx([0.6, 0.6 - 0.1 * 0.1], rel=1e-12)
    assert (folder / "out/sweep.html").exists()

    for part, asked in (("exit 140", "requeue 7\n"), ("exit 143", "")):  # stopped before the time was up, and by scancel
        for name, text in (("srun", part), ("scontrol", 'echo "$@"')):
            (tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (tools / name).chmod(stat.S_IRWXU)
        task = os.environ | {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
        ended = subprocess.run(["bash", "out/sweep.sbatch"], cwd=folder, env=task, capture_output=True, text=True)
        assert (f"exit {ended.returncode}", ended.stdout) == (part, asked)

    script = folder / "out/sweep.sbatch"
    script.write_text(script.read_text().replace("04:00:00", "08:00:00"))  # an edited script is submitted as it is
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.path.dirname(sys.executable)}{os.pathsep}/usr/bin:/bin")
    (tools / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    refused = launch(folder, "sweep", "closed.toml", *over, "-o", "out", "--slurm")
    assert refused.returncode == 2
    assert "sbatch refuses out/sweep.sbatch: invalid partition; edit the script" in refused.stderr
    assert "08:00:00" in script.read_text()
    (tools / "sbatch").unlink()
    missing = launch(folder, "sweep", "closed.toml", *over, "-o", "out", "--slurm")
    assert missing.returncode == 0
    assert "there is no sbatch on this machine" in missing.stdout and "--dependency=afterany:${id%%;*}" in missing.stdout
    others = launch(folder, "sweep", "closed.toml", "--over", "boundary.right.flux.A=0,1000,0.1,0.2", "-o", "out", "--slurm")
    assert others.returncode == 2
    assert "sweep.sbatch is there already, for other parts" in others.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--part", "3"), "error: --part 3: write --part K/N, for example --part 1/8"),
        (("--part", "3/2"), "error: --part 3/2: legal: 1/2 to 2/2"),
        (("--part", "1/2", "--collect"), "error: --slurm, --part and --collect: give one of them"),
    ],
)
def test_illegal_options(folder: Path, options: tuple[str, ...], message: str) -> None:
    (folder / "membrane.toml").write_text(MEMBRANE)
    result = launch(folder, "sweep", "membrane.toml", "--over", "species.A.diffusivity=1,3", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
