"""One problem at many values of its parameters: a run for each point, a table with a row for each, curves, and a page that compares them.

A steady state that does not depend on the initial one is continued: each point starts from the solution of its neighbour, and so is found in a
few Newton iterations. Of several parameters the first is the outermost loop; a new line starts from the first point of the line before. All other
problems start each point from its own initial state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpi4py import MPI

from ..errors import InputError
from ..signals import Stopped
from .plan import Plan
from .processes import Command, require_no_mpirun, run_all
from .ranges import Range, numbers
from .slurm import LARGEST_ARRAY, submit
from .solve import Sweep

__all__ = ["Range", "numbers", "sweep", "sweep_by_slurm", "sweep_part", "sweep_tables"]

SHARES = 4  # parts for each process: one that has the easy points goes on with others


def sweep(
    file: Path,
    ranges: Sequence[Range],
    folder: Path,
    changes: Mapping[str, str] | None = None,
    comm: MPI.Comm = MPI.COMM_WORLD,
    jobs: int = 1,
    petsc: Sequence[str] = (),
) -> list[str]:
    """Solve the problem of a file at every point of the product of the ranges; returns a message for each point that failed.

    `folder` gets points/<values>/, each with what a run writes; sweep.csv, with the values (in SI units, if the problem has units), the outcome
    and the last row of the history of each point, written as soon as the point is solved; sweep.html and sweep.png; problem.resolved.toml and
    provenance.json. If it has the results of the same problem already, the points that were solved are kept, and the others are solved; the first
    of them starts from its own initial state. `jobs`: so many points (or lines of points, where they start from each other) at a time, in processes
    of their own, which get the options `petsc`. Raises InputError before anything is computed.
    """
    if jobs > 1:
        require_no_mpirun(comm, "--jobs")
    work = Sweep(Plan(file, ranges, changes or {}), folder, comm)
    work.announce()
    outcome = "interrupted"
    try:
        if jobs == 1:
            work.solve(work.plan.indices)
        else:
            count = len(work.parts(min(max(work.independent, jobs), SHARES * jobs)))
            run_all(Command(file, ranges, folder, changes or {}, petsc).parts(count), jobs, work.update)
        outcome = ""
    except Stopped as stopped:
        outcome = str(stopped)
        raise
    except Exception as error:
        outcome = f"crashed: {type(error).__name__}: {error}"
        raise
    finally:
        if comm.rank == 0:
            work.finish(outcome)
    comm.Barrier()  # no rank returns before the files are there
    return work.failures()


def sweep_part(
    file: Path,
    ranges: Sequence[Range],
    folder: Path,
    part: tuple[int, int],
    changes: Mapping[str, str] | None = None,
    comm: MPI.Comm = MPI.COMM_WORLD,
) -> list[str]:
    """The points of the k-th of n parts of a sweep, (k, n) from (1, n), into its folder, without the table. What processes side by side do."""
    k, count = part
    if not 1 <= k <= count:
        raise InputError(f"--part {k}/{count}: legal: 1/{count} to {count}/{count}")
    work = Sweep(Plan(file, ranges, changes or {}), folder, comm)
    parts = work.parts(count)
    mine = parts[k - 1] if k <= len(parts) else []
    work.solve(mine, tables=False)
    return work.failures(mine)


def sweep_tables(
    file: Path, ranges: Sequence[Range], folder: Path, changes: Mapping[str, str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD
) -> list[str]:
    """The table, the picture and the page of the points that have ended, without solving any."""
    work = Sweep(Plan(file, ranges, changes or {}), folder, comm)
    if comm.rank == 0:
        work.finish()
    comm.Barrier()
    return work.failures()


def sweep_by_slurm(
    file: Path,
    ranges: Sequence[Range],
    folder: Path,
    changes: Mapping[str, str] | None = None,
    comm: MPI.Comm = MPI.COMM_WORLD,
    jobs: int | None = None,
    petsc: Sequence[str] = (),
) -> str:
    """Write the scripts of an array of jobs for Slurm, at most `jobs` of them at a time, and of the job that collects what they find, and submit
    them where there is an sbatch; returns what was done."""
    require_no_mpirun(comm, "--slurm")
    work = Sweep(Plan(file, ranges, changes or {}), folder, comm)
    work.announce()
    count = len(work.parts(min(max(work.independent, jobs or 1), LARGEST_ARRAY)))
    return submit(Command(file, ranges, folder, changes or {}, petsc), count, jobs)
