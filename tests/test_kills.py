"""Runs that are killed, stopped, or run out of disk, and go on as if nothing had been."""

from __future__ import annotations

import json
import os
import re
import shutil
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
    made = [place for place, _ in kills.kills(folder, 20, seed=1)]
    assert len(made) == 20 and made.count("a random moment") == 6
    end(folder)
    require_same(folder / "results", uninterrupted)
    resumed = set(re.findall(r"continued from step (\d+)", kills.log_of(folder)))
    assert len(resumed) >= 10, "the kills were spread over the run"


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
