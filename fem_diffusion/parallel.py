"""MPI helpers: global reductions, and an exception on one rank that ends all ranks at once."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

T = TypeVar("T")


def global_sum(comm: MPI.Comm, value: Any) -> Any:
    """Sum of a number or an array over all ranks."""
    own = np.ascontiguousarray(value)
    total = np.empty_like(own)
    comm.Allreduce(own, total, op=MPI.SUM)  # of numbers, not of pickled objects: every linear iteration waits for one
    return total if np.ndim(value) else total.item()


def global_min(comm: MPI.Comm, values: np.ndarray) -> float:
    """Smallest entry over all ranks; a rank may have none."""
    return float(comm.allreduce(float(values.min()) if values.size else np.inf, op=MPI.MIN))


def global_max(comm: MPI.Comm, values: np.ndarray) -> float:
    """Largest entry over all ranks; a rank may have none."""
    return float(comm.allreduce(float(values.max()) if values.size else -np.inf, op=MPI.MAX))


def on_root(comm: MPI.Comm, work: Callable[[], T]) -> T:
    """Do `work` on rank 0 and give its result, or raise its exception, on every rank."""
    outcome: tuple[T | None, Exception | None] = (None, None)
    if comm.rank == 0:
        try:
            outcome = (work(), None)
        except Exception as error:
            outcome = (None, error)
    result, failure = comm.bcast(outcome, root=0)
    if failure is not None:
        raise failure
    return result


def abort_on_exception(comm: MPI.Comm) -> None:
    """From now on an uncaught exception on any rank prints its traceback and ends all ranks: the others would wait for ever."""

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)
        sys.stderr.flush()
        if comm.size > 1 and not issubclass(kind, SystemExit):
            comm.Abort(1)

    sys.excepthook = hook
