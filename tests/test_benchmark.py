"""scripts/benchmark: its numbers are those of the problems it names, and its two codes solve the same equations; models and templates beside it."""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

REPO = Path(__file__).resolve().parent.parent
SCRIPTS = REPO / "scripts"
pytestmark = pytest.mark.serial


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "benchmark.py"), *words]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def numbers(folder: Path, *words: str) -> list[dict[str, Any]]:
    """What --json writes."""
    path = folder / "numbers.json"
    done = benchmark("--json", str(path), *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts' modules can be imported."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


def measured(code: str, **job: Any) -> dict[str, Any]:
    """What a measurement of its own process writes, in this process."""
    module = importlib.import_module({"fem_diffusion": "measure", "rival": "rival"}[code])
    found: dict[str, Any] = module.measured(importlib.import_module("workloads").Job(**job), MPI.COMM_SELF)
    return found


def energy_of_the_noise(n: int) -> float:
    """F of W1's initial state on n x n squares cut along one diagonal, c linear in triangles, f = 100 c^2 (1-c)^2 by the vertex rule.

    |grad c|^2 is that of the differences along the sides: int = sum over sides of (difference)^2, half of it on the boundary. A vertex has a third
    of the area of its triangles, of which a corner on the diagonal has two and the others one.
    """
    c = 0.63 + 0.02 * (0.5 - np.random.default_rng(42).random((n + 1, n + 1)))
    triangles = np.zeros((n + 1, n + 1))
    for corner, count in {(0, 0): 2, (1, 1): 2, (0, 1): 1, (1, 0): 1}.items():
        triangles[corner[0] : n + corner[0], corner[1] : n + corner[1]] += count
    weight = np.ones(n + 1)
    weight[[0, -1]] = 0.5
    gradient = (np.diff(c, axis=0) ** 2 * weight).sum() + (np.diff(c, axis=1) ** 2 * weight[:, None]).sum()
    return float((triangles / (6 * n**2) * 100 * c**2 * (1 - c) ** 2).sum() + 0.01 / 2 * gradient)


def test_all_numbers_of_a_measurement(tmp_path: Path) -> None:
    """W1 on 8 x 8 cells: 2 x 81 unknowns, three steps of 5e-6 from the noise that is the same for every code and on any number of ranks."""
    ours, rival = numbers(tmp_path, "-n", "2", "--rival", "--steps", "3", "w1-8")
    for code, result in (("fem_diffusion", ours), ("rival", rival)):
        assert result["code"] == code
        assert (result["unknowns"], result["steps"], result["scaled_from_steps"]) == (162, 3, 3)
        assert result["newton"] >= 3 and result["linear"] >= result["newton"]
        assert result["history"][-1][0] == pytest.approx(1.5e-5, rel=1e-12)
        assert {"residual", "jacobian", "setup", "solve", "diagnostics", "rest"} == set(result["parts"])
        assert all(seconds >= 0 for seconds in result["parts"].values())
        assert result["cpu"] == pytest.approx(sum(result["parts"].values()), rel=1e-9)
        assert 20 < result["memory_before_loop"] / result["ranks"] <= result["memory"] / result["ranks"] < 2000
        assert result["checks"].keys() == {"E", "cmin", "cmax"}
    assert ours["history"][0][1] == pytest.approx(energy_of_the_noise(8), rel=1e-12)
    on_one_rank = measured("fem_diffusion", problem="w1", cells=8, steps=3)
    assert (ours["ranks"], on_one_rank["ranks"]) == (2, 1)
    for name, value in on_one_rank["checks"].items():
        assert ours["checks"][name] == pytest.approx(value, rel=1e-7)


def test_both_codes_tend_to_the_spectral_solution() -> None:
    """F of PFHub 1b at t = 1: the two ways to integrate f differ by second order in h, and so by a quarter on half of the cells' size."""
    with (REPO / "tests" / "reference" / "pfhub_1b.csv").open() as file:
        exact = next(float(row["free_energy"]) for row in csv.DictReader(file) if float(row["time"]) == 1)
    errors = {}
    for n in (30, 60):
        for code in ("fem_diffusion", "rival"):
            result = measured(code, problem="pfhub", cells=n, end=1.0, tolerance=0.0, longest=0.05)
            errors[code, n] = result["checks"]["E"] / exact - 1
    assert all(abs(errors[code, 60]) < 2e-4 for code in ("fem_diffusion", "rival"))
    coarse, fine = (errors["rival", n] - errors["fem_diffusion", n] for n in (30, 60))
    assert coarse / fine == pytest.approx(4, rel=0.1)
    assert abs(fine) > 1e-5  # not the same scheme


@pytest.mark.parametrize("kind", ["classic", "steric"])
def test_both_codes_tend_to_one_charge_of_ions(kind: str) -> None:
    """W3 with the same step of backward Euler: the charge of the layers, extrapolated to h = 0 from errors of second order.

    The codes differ by 1.5 % and 0.45 % on the two meshes, by 0.1 % in the limit; crowding changes the limit by 0.24 %.
    """
    limits = []
    for code in ("fem_diffusion", "rival"):
        coarse, fine = (
            measured(code, problem=f"w3-{kind}", cells=n, steps=1, scheme="backward-euler")["checks"]["charge_left"] for n in (64, 128)
        )
        limits.append((4 * fine - coarse) / 3)
    assert limits[0] == pytest.approx(limits[1], rel=1.5e-3)


def test_error_falls_with_the_order_of_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """A work-precision study of PFHub 1b on 20 x 20 cells: half the step gives half the error of backward Euler, a quarter of that of BDF2."""
    import precision

    def here(code: str, job: Any, ranks: int, result: Path) -> dict[str, Any]:
        return measured(code, **vars(job))

    monkeypatch.setattr(precision, "process", here)
    schemes = ("backward-euler", "bdf2")
    study = precision.Study("pfhub_1b.toml", (2.0, 4.0), cells=(20, 20), counts=(10, 20), tolerances=(), schemes=schemes, title="tiny")
    points = precision.measured(study)
    for key in ("error", "error_of_energy"):
        first, second = ([point[key] for point in points if point["scheme"] == scheme] for scheme in schemes)
        assert first[0] / first[1] == pytest.approx(2, rel=0.05)
        assert second[0] / second[1] == pytest.approx(4, rel=0.1)
    assert "| bdf2 | step 0.2 | potential | 20 |" in precision.table(study, points)


def test_energies_between_steps_are_cubic() -> None:
    import benchmark as module

    t = np.cumsum(np.linspace(0.1, 1.5, 12))
    history = np.column_stack([t, 1 + t - 0.2 * t**2 + 0.01 * t**3]).tolist()
    for time in (0.15, 3.3, 9.0):
        assert module.at(history, time) == pytest.approx(1 + time - 0.2 * time**2 + 0.01 * time**3, rel=1e-12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("w4-8",), "no workload 'w4-8'; legal: w1, w2, w3-classic, w3-steric, pfhub, with -CELLS"),
        (("nowhere.toml",), "there is no file nowhere.toml"),
        (("--adaptive", "--steps", "3", "w1-8"), "--steps is for fixed steps"),
        (("--set", "time.sceme=bdf2", "w1-8"), "sceme"),
    ],
)
def test_wrong_words_say_what_is_legal(words: tuple[str, ...], message: str) -> None:
    done = benchmark(*words)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_states_at_times_are_those_of_runs_that_end_there(tmp_path: Path) -> None:
    """With steps of 0.5 the state at t = 1 of a run to t = 2 is the end of one to t = 1; at 1.25 it is the parabola through 0.5, 1 and 1.5."""
    import precision

    problem = tmp_path / "problem.toml"
    problem.write_text(precision.Study("pfhub_1b.toml", (2.0,), cells=(8, 8)).toml({"step": 0.5}))
    states = {}
    for end, times in ((2.0, (0.5, 1.0, 1.25, 1.5)), (1.0, ())):
        path = tmp_path / f"{end}.npz"
        measured("fem_diffusion", problem=str(problem), end=end, state=str(path), times=times)
        states[end] = np.load(path)["c"]
    assert states[2.0].shape == (4, 81, 1) and states[1.0].shape == (1, 81, 1)
    half, one, between, later = states[2.0]
    assert np.abs(one - states[1.0][0]).max() < 1e-13
    assert np.abs(between - (-half / 8 + 3 * one / 4 + 3 * later / 8)).max() < 1e-12


def test_model_of_scaling_is_half_efficient_where_messages_take_half() -> None:
    """And ends in memory's time over the ranks without messages: N B/(P W)."""
    import scaling_model as model

    for case in model.CASES:
        ranks = model.half_efficient(case, 1e8)
        memory, reductions, exchanges = case.time(1e8, ranks)
        assert memory == pytest.approx(reductions + exchanges, rel=0.02)
        assert case.time(1e8, 1) == pytest.approx((1e8 * case.bytes() / (350e9 / 120), 0, 0), rel=1e-12)


def test_slurm_template_starts_the_run(tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "cell"}
    words = ["a b.toml", "--set", "time.end=1", "--", "-snes_monitor"]
    done = subprocess.run(["bash", SCRIPTS / "slurm.sh", *words], capture_output=True, text=True, check=True, env=environment)
    options, command = done.stdout.split("python3\n")
    assert "--cpu-bind=cores" in options
    assert command.splitlines() == ["-m", "fem_diffusion", "run", "a b.toml", "--output", "results/cell-7", "--restart", *words[1:]]


@pytest.mark.parametrize(("code", "queued"), [(0, ""), (140, "requeue 7\n"), (143, "")])
def test_slurm_template_goes_back_into_the_queue_when_the_time_is_up(tmp_path: Path, code: int, queued: str) -> None:
    for name, text in (("srun", f"exit {code}"), ("scontrol", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", SCRIPTS / "slurm.sh", "a.toml"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (code, queued)
