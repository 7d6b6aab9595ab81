"""Runs that are killed, stopped, or run out of disk, and go on as if nothing had been."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time as clock
from collections.abc import Iterator
from pathlib import Path

import h5py
import kills
import numpy as np
import pytest

pytestmark = pytest.mark.serial


@pytest.fixture(scope="module")
def uninterrupted() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fem_diffusion_"))
    out, error = (process := kills.run(folder)).communicate(timeout=120)
    assert process.returncode == 0, out + error
    yield folder / "results"
    shutil.rmtree(folder)


def end(folder: Path, *arguments: str, ranks: int = 1) -> str:
    """Let a run go on to its end; what it says."""
    process = kills.run(folder, "--restart", *arguments, ranks=ranks)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error
    return out + error


def require_same(results: Path, expected: Path) -> None:
    """The same history to the last byte, every time of the fields once and bit-identical, and nothing half written."""
    assert (results / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
    names = sorted(path.name for path in expected.glob("fields/*"))
    assert sorted(path.name for path in results.glob("fields/*")) == names and len(names) == 32  # a mesh and 31 times
    with h5py.File(results / "fields.vtkhdf") as series, h5py.File(expected / "fields.vtkhdf") as wanted:
        assert series["VTKHDF/Steps/Values"][:] == pytest.approx(10.0 * np.arange(31), abs=1e-12)
        for kind in ("PointData", "CellData"):
            assert series[f"VTKHDF/{kind}"].keys() == wanted[f"VTKHDF/{kind}"].keys()
            for name, values in wanted[f"VTKHDF/{kind}"].items():
                assert np.array_equal(series[f"VTKHDF/{kind}/{name}"][:], values[:]), name
    assert not list(results.rglob("*.partial"))
    assert outcome(results) == "reached the end"
    assert len(list((results / "checkpoint").glob("*.h5"))) == 2


def outcome(results: Path) -> str:
    return json.loads((results / "provenance.json").read_text())["outcome"]


def test_twenty_kills_leave_no_trace(folder: Path, uninterrupted: Path) -> None:
    made = [kill.place for kill in kills.kills(folder, 20, seed=1)]
    assert len(made) == 20 and made.count(kills.RANDOM) == 6
    end(folder)
    require_same(folder / "results", uninterrupted)
    resumed = set(re.findall(r"continued from step (\d+)", kills.log_of(folder)))
    assert len(resumed) >= 10, "the kills were spread over the run"


def test_what_there_is_to_go_on_from(folder: Path, uninterrupted: Path) -> None:
    """Nothing yet; another problem; the end; a newest checkpoint that was cut; a later end."""
    process = kills.run(folder, at=("kill", "checkpoint: begun", 1))
    process.communicate(timeout=60)
    results = folder / "results"
    assert process.returncode == -signal.SIGKILL and last_checkpoint(folder) == -1 and (results / "history.csv").exists()
    end(folder)
    require_same(results, uninterrupted)

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}

    before = contents()
    process = kills.run(folder, "--restart", "--set", "free_energy.0.chi=2.9")
    assert "free_energy.0.chi: 3.0 in the checkpoint, 2.9 now" in process.communicate(timeout=60)[1] and process.returncode == 2
    assert "the run has reached the end, t = 300: nothing is left to do" in end(folder)
    assert contents() == before

    newest = results / "checkpoint" / f"{last_checkpoint(folder):08d}.h5"
    os.truncate(newest, newest.stat().st_size // 2)
    end(folder)
    require_same(results, uninterrupted)
    assert kills.log_of(folder).count("continued from step") == 1

    end(folder, "--set", "time.end=310")
    assert (results / "history.csv").read_bytes().startswith(before[results / "history.csv"])
    assert numbers(results)[-1, 1] == 310.0 and len(numbers(results)) > len(numbers(uninterrupted))


# --- signals


def numbers(results: Path) -> np.ndarray:
    """history.csv, but for the columns that count iterations."""
    with (results / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(value) for name, value in row.items() if "iterations" not in name] for row in rows])


def last_checkpoint(folder: Path) -> int:
    return max((int(path.stem) for path in (folder / "results" / "checkpoint").glob("*.h5")), default=-1)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str], after: int) -> None:
    give_up = clock.monotonic() + 60
    while last_checkpoint(folder) <= after:
        assert process.poll() is None and clock.monotonic() < give_up, process.communicate()
        clock.sleep(0.005)


def stop(process: subprocess.Popen[str], number: int, pid: int | None = None) -> str:
    """Send a signal that asks to stop; what the run says."""
    os.kill(pid or process.pid, number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out + error
    assert f"stopped by {signal.Signals(number).name}: the same command with --restart goes on" in out
    return out


@pytest.mark.parametrize("ranks", [1, 2])
def test_signals_save_and_stop(ranks: int, folder: Path, uninterrupted: Path) -> None:
    """SIGTERM to a rank; SIGUSR1, and what stops, to the program that was started."""
    never = ("--set", "output.checkpoint=1 h")
    process = kills.run(folder, *never, ranks=ranks)
    kills.wait_for_step(folder, process, 0)
    assert last_checkpoint(folder) == -1
    of_a_rank = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    stop(process, signal.SIGTERM, int(of_a_rank[-1]) if ranks > 1 else None)
    first = last_checkpoint(folder)
    assert first >= 0 and outcome(folder / "results") == f"stopped by SIGTERM after step {first}; --restart goes on from there"

    seen = len(kills.log_of(folder))
    process = kills.run(folder, "--restart", *never, ranks=ranks)
    kills.wait_for_step(folder, process, seen)
    process.send_signal(signal.SIGUSR1)
    wait_for_checkpoint(folder, process, first)
    assert not (folder / "results" / "provenance.json").exists(), "SIGUSR1 saves, and the run goes on"
    number = signal.SIGINT if ranks == 1 else signal.SIGUSR2
    stop(process, number)
    assert outcome(folder / "results").startswith(f"stopped by {signal.Signals(number).name} after step {last_checkpoint(folder)};")

    end(folder, ranks=ranks)
    if ranks == 1:
        require_same(folder / "results", uninterrupted)
    else:
        history, expected = numbers(folder / "results"), numbers(uninterrupted)
        assert history.shape == expected.shape
        assert (np.abs(history - expected) <= 1e-10 * np.abs(expected).max(axis=0)).all()


TWICE = """
import os, signal, sys
from mpi4py import MPI
from fem_diffusion import signals
with signals.Requests(MPI.COMM_SELF) as requests:
    os.kill(os.getpid(), signal.SIGTERM)
    signals.SAME = float(sys.argv[1])
    os.kill(os.getpid(), signal.SIGTERM)
    assert requests.look() == (False, signal.SIGTERM)
"""


@pytest.mark.parametrize(("same", "code"), [("10", 0), ("0", -signal.SIGTERM)])
def test_a_signal_that_comes_twice_at_once_is_one(same: str, code: int) -> None:
    """As from `timeout`; later, the second one ends the process."""
    assert subprocess.run([sys.executable, "-c", TWICE, same], timeout=60).returncode == code


def test_one_rank_killed_ends_all(folder: Path, uninterrupted: Path) -> None:
    process = kills.run(folder, at=("kill-rank-1", "checkpoint: half of its rows", 9), ranks=2)
    process.communicate(timeout=60)
    ended = clock.time()
    assert process.returncode != 0
    [partial] = folder.glob("results/checkpoint/*.partial")
    assert partial.name == "00000008.h5.partial" and last_checkpoint(folder) == 7
    assert ended - partial.stat().st_mtime < 5, "seconds after the kill"
    end(folder)
    history, expected = numbers(folder / "results"), numbers(uninterrupted)
    assert history.shape == expected.shape
    assert (np.abs(history - expected) <= 1e-10 * np.abs(expected).max(axis=0)).all()


# --- disks


def test_a_full_disk_costs_nothing_that_was_saved(folder: Path, uninterrupted: Path) -> None:
    """A disk of 8 MB in memory, filled just before a file is written; then the filler is removed."""
    places = [
        ("fields: begun", 3, "fields/"),
        ("fields: before they have their name", 2, "fields.vtkhdf"),
        ("checkpoint: begun", 4, "checkpoint/"),
        ("checkpoint: laid out", 4, "checkpoint/"),
        ("checkpoint: before it is marked", 4, "checkpoint/latest"),
        ("history: a row", 4, "history.csv"),
    ]
    (folder / "p.toml").write_text(kills.PROBLEM)
    (folder / "disk").mkdir()
    script = ["mount -t tmpfs -o size=8m tmpfs disk && cp p.toml disk && cd disk || exit 99"]
    for i, (place, count, _) in enumerate(places):
        alone = ["--set", "output.times=1", "--set", "output.checkpoint=1 h"] if place.startswith("history") else []  # no other file grows
        command = kills.command_of(*(["--restart"] if i else []), *alone, at=("fill", place, count))
        script += [f"{shlex.join(command)} >../{i}.out 2>../{i}.err; echo $? >../{i}.code; find results >../{i}.left; rm {kills.FILLER}"]
    script += [f"{shlex.join(kills.command_of('--restart'))} >../end.out 2>&1 || exit 98; cp -r results .."]
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", "\n".join(script)], cwd=folder, capture_output=True, text=True, timeout=200)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no disk in memory can be made here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    for i, (place, _, name) in enumerate(places):
        error = (folder / f"{i}.err").read_text()
        assert (folder / f"{i}.code").read_text() == "5\n", (place, error)
        assert re.fullmatch(
            rf"error: cannot write results/{name}\S*: No space left on device\. Make room, then the same command with --restart goes on from the "
            r"last checkpoint\.\n",
            error,
        ), (place, error)
        assert ".partial" not in (folder / f"{i}.left").read_text(), place
    require_same(folder / "results", uninterrupted)


# --- compile locks


def test_a_stale_compile_lock_is_named_and_removed(folder: Path) -> None:
    """The lock of a process that is gone costs seconds; one whose owner lives is waited for."""
    cache = folder / "cache" / "fenics"
    program = """
import os, sys, time
from pathlib import Path
import ufl
from dolfinx import mesh
from mpi4py import MPI
from fem_diffusion.operators import compile_form
one = mesh.create_interval(MPI.COMM_WORLD, 3, [0.0, 1.0])
started = time.monotonic()
compile_form(ufl.SpatialCoordinate(one)[0] ** 2 * ufl.dx)
print(time.monotonic() - started)
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}

    def compile_it(ranks: int = 1) -> subprocess.CompletedProcess[str]:
        launcher = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
        command = [*launcher, sys.executable, "-c", program]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)

    assert compile_it().returncode == 0
    [mark] = cache.glob("*.c.cached")
    lock = mark.with_suffix("")

    def leave_lock() -> None:
        mark.unlink()
        lock.write_text("")
        os.utime(lock, (clock.time() - 11,) * 2)

    for ranks in (1, 2):
        leave_lock()
        done = compile_it(ranks)
        assert done.returncode == 0 and mark.exists(), done.stderr
        assert [line for line in done.stderr.splitlines() if str(lock) in line] == [
            f"warning: removed {lock}: a run was killed while it compiled this"
        ]
        assert float(done.stdout.split()[0]) < 30

    leave_lock()
    owner = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", owner, str(cache / "fem_diffusion.lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        with subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(6)
            assert lock.exists() and not mark.exists()
            holder.kill()
            assert waiting.wait(60) == 0 and mark.exists()


def _main() -> None:
    """N kills, and how long it took from each to the first step after it."""
    number, seed = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="fem_diffusion_") as name:
        expected, folder = Path(name) / "expected", Path(name) / "killed"
        made, rounds, resumed = 0, 0, list[float]()
        expected.mkdir()
        out, error = (process := kills.run(expected)).communicate()
        assert process.returncode == 0, out + error
        while made < number:
            folder.mkdir()
            for kill in kills.kills(folder, min(number - made, 20), seed + rounds):
                made += 1
                resumed += [] if kill.resumed is None else [kill.resumed]
                print(f"{made:4d}  {kill.place}", flush=True)
            end(folder)
            require_same(folder / "results", expected / "results")
            shutil.rmtree(folder)
            rounds += 1
    print(
        f"{made} kills made and survived, in {rounds} runs; from a kill to the first step after it {np.median(resumed):.2f} s in the median, "
        f"{max(resumed):.2f} s at most"
    )


if __name__ == "__main__":
    _main()
