"""Parts of a sweep side by side, each a process that is told which part it has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mpi4py import MPI

from ..errors import InputError
from ..signals import SAVE, STOP, Stopped
from .ranges import Range


@dataclass(frozen=True)
class Command:
    """The command lines that solve the parts of a sweep."""

    file: Path
    ranges: Sequence[Range]
    folder: Path
    changes: Mapping[str, str]
    petsc: Sequence[str]

    def part(self, part: str) -> list[str]:
        """For "k/n"."""
        return self._with("--part", part)

    def parts(self, count: int) -> list[list[str]]:
        return [self.part(f"{k}/{count}") for k in range(1, count + 1)]

    def collect(self) -> list[str]:
        return self._with("--collect")

    def _with(self, *options: str) -> list[str]:
        over = [item for one in self.ranges for item in ("--over", one.option)]
        changed = [item for key, value in self.changes.items() for item in ("--set", f"{key}={value}")]
        own = ["-m", "fem_diffusion", "sweep", str(self.file), *over, *changed, "-o", str(self.folder), *options]
        return [sys.executable, *own, *(["--", *self.petsc] if self.petsc else [])]


def require_no_mpirun(comm: MPI.Comm, option: str) -> None:
    """Processes that a rank starts would take themselves for a rank of the same run."""
    if comm.size > 1 or {"OMPI_COMM_WORLD_SIZE", "PMI_RANK"} & os.environ.keys():
        raise InputError(f"{option} starts processes of its own: leave out mpirun, or {option}")


def run_all(commands: Sequence[Sequence[str]], most: int, after_each: Callable[[], None]) -> None:
    """Run the commands, at most so many at a time. What they find is in their folders, and how they ended too.

    Signals that ask to save or to stop are passed on; raises Stopped when all that ran have ended on one.
    """
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | os.environ  # they share the cores
    running: set[subprocess.Popen[str]] = set()
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number in STOP:
            asked.append(number)
        for process in tuple(running):
            process.send_signal(number)

    def complete(command: Sequence[str]) -> None:
        if asked:
            return
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            running.add(process)
            if asked:  # since it was started, and before it was known to run
                process.send_signal(asked[0])
            _, said = process.communicate()
            running.discard(process)
        if process.returncode not in (0, 3) and not asked:  # 3: some points failed, which they say in their folders
            print(said, file=sys.stderr, end="")

    before = {number: signal.signal(number, pass_on) for number in (*SAVE, *STOP)}
    try:
        with ThreadPoolExecutor(most) as pool:
            try:
                for done in as_completed([pool.submit(complete, command) for command in commands]):
                    done.result()
                    after_each()
            except BaseException:
                pool.shutdown(cancel_futures=True)  # a full disk, say: nothing more is begun
                raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise Stopped(asked[0])
