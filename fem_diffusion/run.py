"""The program: a problem in, a results folder out."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from .check import check
from .errors import InputError, StepFailed
from .integrator import Integrator
from .output import Output
from .parallel import abort_on_exception
from .problem import Problem
from .progress import Progress
from .system import System


def run(problem: Problem, folder: Path, comm: MPI.Comm = MPI.COMM_WORLD) -> Path:
    """Solve the problem and write its results to `folder`; returns it.

    Raises InputError before anything is computed, StepFailed when no step succeeds or a steady state is not reached; the results up to
    then are written.
    """
    abort_on_exception(comm)
    system = System(problem, comm)
    warnings = check(system).warnings
    integrator = Integrator(system)
    output = Output(folder, system, integrator, warnings)
    try:
        output.record(integrator.start())
        with Progress(system) as progress:
            for step in integrator.steps():
                output.record(step)
                progress.show(step)
        if problem.time.steady and not integrator.steady:
            raise StepFailed(f"no steady state by the end, t = {float(problem.time.end):g}: give a later [time] end")
    except (StepFailed, InputError) as error:  # raised on all ranks alike
        output.finish(f"failed: {error}")
        raise
    except BaseException as error:
        output.abort(error)
        raise
    output.finish("reached the steady state" if problem.time.steady else "reached the end")
    return folder
