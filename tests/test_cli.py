"""The command line as a user meets it: what is printed, where, and the exit codes."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.constants import R

from fem_diffusion.cli import _contents

pytestmark = pytest.mark.serial

PROBLEM = """
title = "A quench"
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"

[mesh]
shape = "interval"
size = "40 nm"
cells = 40

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
end = "0.4 s"
step = "0.1 s"

[output]
times = 2
"""

# The last vertex holds 0.4 of its half nanometre: at 1 m/s it is empty after 0.2 ns, and no step can go on.
IMPOSSIBLE = PROBLEM + '\n[boundary.right]\nflux = { Ag = "1 m/s" }\n'


@pytest.fixture
def case(folder: Path) -> Path:
    (folder / "case.toml").write_text(PROBLEM)
    return folder


def fem_diffusion(folder: Path, *arguments: str, ranks: int = 1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fem_diffusion", *arguments]
    if ranks > 1:
        command = ["mpirun", "--bind-to", "none", "-n", str(ranks), *command]
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.short
def test_run_says_where_the_results_are(case: Path) -> None:
    result = fem_diffusion(case, "run", "case.toml")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "no progress bar where there is no terminal"
    assert result.stdout.startswith("A quench: results go to results/case\n")
    assert len(rows(case / "results/case")) == 5
    listed = {line.split()[0] for line in result.stdout.split("results/case after", 1)[1].splitlines()[1:]}
    assert listed == {path.name for path in (case / "results/case").iterdir()}, "what is listed is there, and all of it"
    log = (case / "results/case/run.log").read_text().splitlines()
    assert re.fullmatch(r"\d+ unknowns: \(c, mu\), lumped P1 \(.+\)", log[0]) and log[0] in result.stdout
    assert sum(line.startswith("step ") for line in log) == 5

    again = fem_diffusion(case, "run", "case.toml")
    assert again.stdout.startswith("A quench: results go to results/case-2\n")


def test_run_that_fails_lists_what_is_there(case: Path) -> None:
    (case / "case.toml").write_text(IMPOSSIBLE)
    result = fem_diffusion(case, "run", "case.toml", "-o", "out")
    assert result.returncode == 3
    listed = {line.split()[0] for line in result.stdout.split("out after", 1)[1].splitlines()[1:]}
    assert listed == {path.name for path in (case / "out").iterdir()}


def test_listing_of_a_run_that_ends_early(tmp_path: Path) -> None:
    for name in ("history.csv", "run.log"):
        (tmp_path / name).touch()
    listed = [line.split()[0] for line in _contents(tmp_path, 1.0).splitlines()[1:]]
    assert listed == ["history.csv", "run.log"]


def test_run_on_two_ranks_speaks_once(case: Path) -> None:
    result = fem_diffusion(case, "run", "case.toml", "-o", "out", ranks=2)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("results go to") == 1
    assert json.loads((case / "out/provenance.json").read_text())["ranks"] == 2


def test_set_replaces_values(case: Path) -> None:
    changes = ["time.end=0.2 s", 'time.step="0.05 s"', "free_energy.Gradient.kappa=10 nJ/m", "species.Ag.initial=0.3 + 0.01*noise"]
    arguments = [part for change in changes for part in ("--set", change)]
    result = fem_diffusion(case, "run", "case.toml", "-o", "out", *arguments)
    assert result.returncode == 0, result.stderr
    assert [float(row["time"]) for row in rows(case / "out")] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], rel=1e-12)
    resolved = (case / "out/problem.resolved.toml").read_text()
    for line in ('end = "0.2 s"', 'kappa = "10 nJ/m"', 'initial = "0.3 + 0.01*noise"'):
        assert line in resolved


@pytest.mark.short
def test_check_prints_derived_numbers(case: Path) -> None:
    result = fem_diffusion(case, "check", "case.toml")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    numbers = dict(re.findall(r"│ (\S.*?) +│ (\S.*?) +│", result.stdout))
    assert numbers["cells"] == "40" and numbers["vertices"] == "41"
    assert float(numbers["h max"]) == pytest.approx(1e-9, rel=1e-7)
    spinodal = [float(c) for c in numbers["spinodal"].split(",")]
    chi = 25000 / (R * 1000)
    assert spinodal == pytest.approx([(1 - (1 - 2 / chi) ** 0.5) / 2, (1 + (1 - 2 / chi) ** 0.5) / 2], abs=1e-7)
    assert not (case / "results").exists()


def test_check_warns(case: Path) -> None:
    result = fem_diffusion(
        case, "check", "case.toml", "--set", "mesh.cells=8", "--set", "time.step=90 s", "--set", "species.Ag.initial=0.4"
    )
    assert result.returncode == 0
    warnings = [line for line in result.stderr.splitlines() if line]
    assert all(line.startswith("warning: ") for line in warnings) and len(warnings) == 3
    assert re.search(r"width is \S+ m, the largest cell 5e-09 m; refine to h = \S+ m", warnings[0])
    assert "[time] step = 90 s is longer than the growth time" in warnings[1]
    assert "uniform inside the spinodal" in warnings[2]


@pytest.mark.short
def test_thermo_as_json(case: Path) -> None:
    result = fem_diffusion(case, "thermo", "case.toml", "--json", "-o", "out")
    assert result.returncode == 0, result.stderr
    numbers = json.loads(result.stdout)
    assert numbers["critical_temperature"] == {"value": pytest.approx(25000 / (2 * R), rel=1e-9), "unit": "K"}
    chi, f0, c = 25000 / (R * 1000), R * 1000 / 9e-6, numbers["composition"]["value"]
    assert c == pytest.approx(0.4, abs=0.01), "the mean of the noise"
    curvature = f0 * (1 / c + 1 / (1 - c) - 2 * chi)
    mobility = 1e-17 * c * (1 - c) / f0
    expected = {
        "curvature": (curvature, "J/m^3"),
        "thermodynamic_factor": (1 - 2 * chi * c * (1 - c), ""),
        "mobility": (mobility, "m^5/(J*s)"),
        "diffusivity": (mobility * curvature, "m^2/s"),
        "growth_rate": (mobility * curvature**2 / (4 * 12e-9), "1/s"),
        "wavelength": (2 * 3.141592653589793 / (-curvature / 12e-9 / 2) ** 0.5, "m"),
        "kappa": (12e-9, "J/m"),
    }
    for name, (value, unit) in expected.items():
        assert numbers[name] == {"value": pytest.approx(value, rel=1e-9), "unit": unit}, name
    assert [path.name for path in (case / "out").iterdir()] == ["case.thermo.png"]


def test_thermo_as_a_table(case: Path) -> None:
    result = fem_diffusion(case, "thermo", "case.toml")
    assert result.returncode == 0, result.stderr
    assert re.search(r"critical temperature +│ 1503.404\d* +│ K", result.stdout)  # 25 kJ/mol
    assert result.stdout.splitlines()[-1] == "picture: case.thermo.png"
    assert (case / "case.thermo.png").read_bytes().startswith(b"\x89PNG")


def test_thermo_overwrites_nothing(case: Path) -> None:
    (case / "case.thermo.png").write_text("mine")
    result = fem_diffusion(case, "thermo", "case.toml")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "picture: case.thermo-2.png"
    assert (case / "case.thermo.png").read_text() == "mine"
    assert (case / "case.thermo-2.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ranks", [1, 2])
def test_thermo_where_no_picture_can_be(ranks: int, case: Path) -> None:
    (case / "out").write_text("a file")
    result = fem_diffusion(case, "thermo", "case.toml", "-o", "out", ranks=ranks)
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: cannot write the picture to out: " in result.stderr and "-o" in result.stderr
    assert "Traceback" not in result.stderr


def test_factor_of_an_energy_that_is_not_in_RT(case: Path) -> None:
    """Gamma = c (1-c) f'' V_m/RT has no value without V_m and T."""
    well = PROBLEM.replace('temperature = "1000 K"\nmolar_volume = "9e-6 m^3/mol"\n', "")
    well = well.replace('kind = "RegularSolution"\ninteraction = "25 kJ/mol"', 'kind = "DoubleWell"\nrho = "3e8 J/m^3"')
    (case / "case.toml").write_text(well.replace('"Degenerate"\ndiffusivity = "1e-17 m^2/s"', '"Constant"\nvalue = "4e-26 m^5/(J*s)"'))
    result = fem_diffusion(case, "thermo", "case.toml", "--json")
    assert result.returncode == 0, result.stderr
    numbers = json.loads(result.stdout)
    assert numbers["thermodynamic_factor"]["value"] is None
    c = numbers["composition"]["value"]
    assert numbers["curvature"]["value"] == pytest.approx(3e8 * (2 - 12 * c * (1 - c)), rel=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_step_that_fails_for_good(ranks: int, case: Path) -> None:
    (case / "case.toml").write_text(IMPOSSIBLE)
    result = fem_diffusion(case, "run", "case.toml", "-o", "out", ranks=ranks)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    (message,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    said = re.search(r"no step from t = (\S+) succeeded, down to dt = \S+: ", message)
    assert said is not None and float(said[1]) == pytest.approx(0.2e-9, rel=0.05), "0.4 +- 0.02 by the noise"
    assert "of Ag at (4e-08)" in message, f"which field, where, in metres: {message}"
    said = re.search(r"where Ag = \S+, rest = \S+ \(rank \d\) (\[residuals( \d\.\de[-+]\d\d){2,8}\])\. A component has run out", message)
    assert said is not None, "its value, the rank, the last residuals, and what to try"
    tries = json.loads((case / "out/provenance.json").read_text())["last_rejections"]
    assert tries[-1].endswith(said[1])
    assert len(tries) == 10 and all(re.search(r" \[residuals( \d\.\de[-+]\d\d){2,8}\]$", reason) for reason in tries)
    assert [line for line in (case / "out/run.log").read_text().splitlines() if line.startswith("rejected: ")] == [
        f"rejected: {t}" for t in tries
    ]
    assert json.loads((case / "out/provenance.json").read_text())["outcome"].startswith("failed: no step from t = ")
    assert (case / "out/summary.png").exists() and (case / "out/fields.vtkhdf").exists()


@pytest.mark.parametrize(
    ("arguments", "text", "ranks"),
    [
        (["run", "case.toml", "--bogus"], "No such option: --bogus", 1),
        (["runn", "case.toml"], "No such command 'runn'", 2),
        (["run"], "Missing argument 'PROBLEM.toml'", 1),
        (["run", "case.toml", "other.toml"], "'other.toml' is one argument too many", 1),
    ],
)
def test_wrong_command_line(arguments: list[str], text: str, ranks: int, case: Path) -> None:
    result = fem_diffusion(case, *arguments, ranks=ranks)
    assert result.returncode == 2
    assert result.stderr.count(text) == 1
    assert "Traceback" not in result.stderr
    assert not (case / "results").exists()


def test_help_names_the_commands(case: Path) -> None:
    result = fem_diffusion(case, "--help")
    assert result.returncode == 0
    for command in ("check", "run", "thermo"):
        assert command in result.stdout


def test_options_reach_petsc(case: Path) -> None:
    result = fem_diffusion(case, "run", "case.toml", "-o", "out", "--", "-snes_monitor", "-snes_max_it", "30", "-note", "two words")
    assert result.returncode == 0, result.stderr
    iterations = sum(int(row["newton_iterations"]) for row in rows(case / "out"))
    assert result.stdout.count("SNES Function norm") == iterations + 4, "each step's iterations, and its start"
    left = [line for line in (result.stdout + result.stderr).splitlines() if "Option left" in line]
    assert len(left) == 1 and "name:-note value: two words" in left[0], "PETSc has no use for this one alone"
    said = json.loads((case / "out/provenance.json").read_text())["petsc_options"]
    assert said["snes_max_it"] == "30"


def test_misspelt_option_is_reported_by_petsc(case: Path) -> None:
    result = fem_diffusion(case, "run", "case.toml", "-o", "out", "--", "-snes_monitr")
    assert result.returncode == 0
    said = result.stdout + result.stderr
    assert "options you set that were not used" in said
    left = [line for line in said.splitlines() if "Option left" in line]
    assert len(left) == 1 and "-snes_monitr" in left[0], "the misspelt one alone"


@pytest.mark.parametrize("ranks", [1, 2])
def test_progress_bar_on_a_terminal(ranks: int, case: Path) -> None:
    """Open MPI hands a rank's stderr on through a pipe: the run must do without a bar then."""
    here, there = pty.openpty()
    command = [sys.executable, "-m", "fem_diffusion", "run", "case.toml", "-o", "out"]
    if ranks > 1:
        command = ["mpirun", "--bind-to", "none", "-n", str(ranks), *command]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(command, cwd=case, stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    shown = b""
    try:
        while chunk := os.read(here, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(here)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    if ranks == 1:
        last = re.findall(r"t (\S+) of (\S+) s  step (\d+)  dt (\S+)  Newton (\d+)  F (\S+)", text)[-1]
        assert last[:4] == ("0.4", "0.4", "4", "0.1")
        assert float(last[5]) == pytest.approx(float(rows(case / "out")[-1]["energy"]), rel=1e-5)
    assert "Traceback" not in text and "results go to out" in text
    assert "step 4" in (case / "out/run.log").read_text() and "\x1b" not in (case / "out/run.log").read_text()
