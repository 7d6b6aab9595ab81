"""Signals that ask a run for a checkpoint, or to stop with one: what Slurm sends before it takes a job away, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import time as clock
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from mpi4py import MPI

# Open MPI's mpirun ends the ranks a quarter of a second after it gets SIGINT or SIGTERM, and only passes SIGUSR1 and SIGUSR2 on
SAVE, STOP = (signal.SIGUSR1,), (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
SAME = 1.0
"""So many seconds apart two signals are two."""


class Stopped(Exception):
    """A signal asked the run to stop, on all ranks alike (exit code 128 + its number).

    again: with what the same command goes on
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number, self.again = number, "--restart"


class Requests:
    """What signals have asked of any rank since the last look. Within the context the signals only leave a note; a second one that asks to stop
    ends the process at once. What comes within a second of the first is the first once more: `timeout`, Slurm and shells signal a process and its
    group."""

    def __init__(self, comm: MPI.Comm) -> None:
        self._comm = comm
        self._stop, self._save, self._asked = 0, False, 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Requests:
        for number in (*SAVE, *STOP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in SAVE:
            self._save = True
            return
        if not self._stop:
            self._stop, self._asked = number, clock.monotonic()
        elif clock.monotonic() > self._asked + SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def look(self, also: bool = False) -> tuple[bool, int]:
        """Whether a checkpoint was asked for, by a signal or by `also` on any rank; and the number of the signal that asks to stop, or 0.

        Collective.
        """
        mine, all_of_them = np.array([self._stop, self._save or also], dtype=np.int64), np.zeros(2, dtype=np.int64)
        self._comm.Allreduce(mine, all_of_them, op=MPI.MAX)
        self._save = False
        return bool(all_of_them[1]), int(all_of_them[0])
