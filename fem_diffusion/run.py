"""The program: a problem in, a results folder out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mpi4py import MPI

from .check import check
from .errors import InputError, NotCertified, StepFailed
from .integrator import Integrator, Step
from .output import Output
from .parallel import abort_on_exception
from .problem import Problem
from .progress import Progress
from .system import System


def run(problem: Problem, folder: Path, comm: MPI.Comm = MPI.COMM_WORLD) -> Path:
    """Solve the problem and write its results to `folder`; returns it.

    Raises InputError before anything is computed, StepFailed when no step succeeds or a steady state is not reached; the results up to
    then are written; so too NotCertified where the problem is strict and a step breaks a law of the certificate.
    """
    abort_on_exception(comm)
    system = System(problem, comm)
    warnings = check(system).warnings
    integrator = Integrator(system)
    output = Output(folder, system, integrator, warnings)
    try:
        with Progress(system) as progress:
            for step in steps(integrator):
                output.record(step)
                progress.show(step)
                output.certificate.require()
    except (StepFailed, NotCertified, InputError) as error:  # raised on all ranks alike
        output.finish(f"failed: {error}")
        raise
    except BaseException as error:
        output.abort(error)
        raise
    output.finish(ending(integrator))
    return folder


def steps(integrator: Integrator) -> Iterator[Step]:
    """The initial state and all steps. Raises StepFailed when no step succeeds, or a steady state is not reached."""
    yield integrator.start()
    yield from integrator.steps()
    if integrator.settings.steady and not integrator.steady:
        end = float(integrator.settings.end) * integrator.system.scales.time
        raise StepFailed(f"no steady state by the end, t = {end:g}: give a later [time] end")


def ending(integrator: Integrator) -> str:
    """How a run that did not fail ended."""
    return "reached the steady state" if integrator.settings.steady else "reached the end"
