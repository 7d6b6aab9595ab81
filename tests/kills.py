"""Runs that are killed, or whose disk becomes full, at a chosen place; what they leave; and how they go on.

As a program, `kills.py WHAT PLACE COUNT ARGUMENTS`, it is the command line of the package, to which WHAT happens at the COUNT-th time that
the program comes to PLACE: "kill" (kill -9), "kill-rank-1" (of that rank only) or "fill" (the disk that holds the results).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBLEM = """
title = "A quench"

[mesh]
shape = "interval"
size = 20
cells = 40

[[species]]
name = "A"
initial = "0.45 + 0.02*noise"

[[free_energy]]
kind = "RegularSolution"
chi = 3

[[free_energy]]
kind = "Gradient"
kappa = 1

[mobility]
kind = "Constant"
value = 1

[time]
end = 300

[output]
times = 30
checkpoint = "0 s"
"""

FILLER, RANDOM = "filler", "a random moment"
Happen = Callable[[], None]


# -- the program that is killed


def _main() -> None:
    what, place, count, *arguments = sys.argv[1:]
    from fem_diffusion import cli

    PLACES[place](_counted(int(count), {"kill": _kill, "kill-rank-1": _kill_rank_1, "fill": _fill}[what]))
    sys.argv = ["fem-diffusion", *arguments]
    cli.main()


def _counted(count: int, happen: Happen) -> Happen:
    calls = iter(range(1, 1_000_000))
    return lambda: happen() if next(calls) == count else None


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_rank_1() -> None:
    from mpi4py import MPI

    if MPI.COMM_WORLD.rank == 1:
        _kill()


def _fill() -> None:
    with contextlib.suppress(OSError), Path(FILLER).open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))


def _around(owner: Any, name: str, happen: Happen, where: Callable[..., bool] = lambda *_: True, after: bool = False) -> None:
    """Let it happen before, or after, a function is called with arguments for which `where` is true."""
    original = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        there = where(*arguments)
        if there and not after:
            happen()
        result = original(*arguments, **named)
        if there and after:
            happen()
        return result

    setattr(owner, name, call)


def _in(folder: str) -> Callable[..., bool]:
    return lambda path, *_: Path(path).parent.name == folder


def _named(name: str) -> Callable[..., bool]:
    return lambda path, *_: Path(path).name == name


def _half_of_the_rows(folder: str) -> Callable[[Happen], None]:
    """In the middle of the datasets of a file."""

    def plan(happen: Happen) -> None:
        from fem_diffusion import shared_file

        write = shared_file._write_rows

        def call(path: Path, datasets: Any, offsets: list[int]) -> None:
            if path.parent.name == folder:
                half = len(offsets) // 2
                write(path, dict(list(datasets.items())[:half]), offsets[:half])
                happen()
            write(path, datasets, offsets)

        shared_file._write_rows = call

    return plan


def _half_a_row(happen: Happen) -> None:
    """Half of a row of history.csv is on the disk."""
    from fem_diffusion.output import Output

    append = Output._append

    def call(self: Output, step: Any, row: Any) -> None:
        append(self, step, row)
        history = self.folder / "history.csv"
        size = history.stat().st_size
        os.truncate(history, size - 60)
        happen()
        os.truncate(history, size)

    Output._append = call  # type: ignore[method-assign]


def _plan(module: str, path: str, **how: Any) -> Callable[[Happen], None]:
    """Around a function of a module of the package."""

    def plan(happen: Happen) -> None:
        owner: Any = __import__(f"fem_diffusion.{module}", fromlist=[""])
        *owners, name = path.split(".")
        for attribute in owners:
            owner = getattr(owner, attribute)
        _around(owner, name, happen, **how)

    return plan


PLACES: dict[str, Callable[[Happen], None]] = {
    "checkpoint: begun": _plan("shared_file", "_lay_out", where=_in("checkpoint")),
    "checkpoint: laid out": _plan("shared_file", "_lay_out", where=_in("checkpoint"), after=True),
    "checkpoint: half of its rows": _half_of_the_rows("checkpoint"),
    "checkpoint: before it has its name": _plan("shared_file", "os.replace", where=_in("checkpoint")),
    "checkpoint: before it is marked": _plan("checkpoint", "Checkpoints._mark"),
    "checkpoint: before the mark has its name": _plan("shared_file", "os.replace", where=_named("latest.partial")),
    "checkpoint: before the old one is removed": _plan("checkpoint", "Path.unlink", where=_in("checkpoint")),
    "checkpoint: after the old one is removed": _plan("checkpoint", "Path.unlink", where=_in("checkpoint"), after=True),
    "fields: begun": _plan("shared_file", "_lay_out", where=_in("fields")),
    "fields: half of their rows": _half_of_the_rows("fields"),
    "fields: before they have their name": _plan("shared_file", "os.replace", where=_in("fields")),
    "fields: before they are in the series": _plan("paraview", "_write_index"),
    "fields: before the series has its name": _plan("paraview", "replace", where=_named("fields.vtkhdf.partial")),
    "history: a row": _plan("output", "Output._append"),
    "history: half a row": _half_a_row,
    "step: in an iteration": _plan("checkpoint", "Checkpoints.look"),
    "restart: continued": _plan("run", "_recall", after=True),
    "end: before the outcome": _plan("output", "Output._write_outcome"),
    "end: after the outcome": _plan("output", "Output._write_outcome", after=True),
}


# -- what starts it


At = tuple[str, str, int]  # what happens, the place, and at which time that the program comes there


def command_of(*arguments: str, at: At | None = None, ranks: int = 1) -> list[str]:
    """`fem-diffusion run p.toml -o results ...`"""
    program = [__file__, at[0], at[1], str(at[2])] if at else ["-m", "fem_diffusion"]
    launcher = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, sys.executable, *program, "run", "p.toml", "-o", "results", *arguments]


def run(folder: Path, *arguments: str, at: At | None = None, ranks: int = 1) -> subprocess.Popen[str]:
    """That in a folder, with the problem."""
    (folder / "p.toml").write_text(PROBLEM)
    command = command_of(*arguments, at=at, ranks=ranks)
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "80"}
    )


def log_of(folder: Path) -> str:
    path = folder / "results" / "run.log"
    return path.read_text() if path.exists() else ""


def wait_for_step(folder: Path, process: subprocess.Popen[str], seen: int, timeout: float = 120) -> None:
    """Until run.log has a line of a step after its first `seen` characters."""
    give_up = clock.monotonic() + timeout
    while "step " not in log_of(folder)[seen:].replace("from step", ""):
        assert process.poll() is None, process.communicate()
        assert clock.monotonic() < give_up, "no step in time"
        clock.sleep(0.002)


@dataclass(frozen=True)
class Kill:
    """Where a run was killed; resumed: seconds from the kill before to the first step after that, where it was watched"""

    place: str
    resumed: float | None = None


def kills(folder: Path, number: int, seed: int) -> Iterator[Kill]:
    """Kill a run so often; each time it goes on from the kill before. Every third one comes at a random moment, the last two when it ends."""
    chance = random.Random(seed)
    ends = [place for place in PLACES if place.startswith("end")]
    places = [place for place in PLACES if place not in ends]
    chance.shuffle(places)
    order = [RANDOM if i % 3 == 2 else places[(i - i // 3) % len(places)] for i in range(number - len(ends))]
    for place in [*order, *ends][:number]:
        restart, seen, started = (["--restart"] if (folder / "results").exists() else []), len(log_of(folder)), clock.monotonic()
        resumed = None
        if place == RANDOM:
            process = run(folder, *restart)
            wait_for_step(folder, process, seen)
            resumed = clock.monotonic() - started
            clock.sleep(chance.uniform(0, 0.1))
            process.kill()
        else:
            count = chance.randint(1, 3) if place.split(":")[0] in ("checkpoint", "history", "step") else 1
            process = run(folder, *restart, at=("kill", place, count))
        error = process.communicate(timeout=120)[1]
        assert process.returncode == -signal.SIGKILL, (place, process.returncode, error)
        yield Kill(place, resumed)


if __name__ == "__main__":
    _main()
