"""The program: a problem in, a results folder out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mpi4py import MPI

from .check import check
from .checkpoint import Checkpoint, Checkpoints, find
from .errors import InputError, NotCertified, OutputError, StepFailed
from .integrator import Integrator, Step
from .numbering import number_vertices
from .output import Output, clear
from .parallel import abort_on_exception, on_root
from .problem import Problem
from .progress import Progress
from .results import Results
from .signals import Requests, Stopped
from .system import System


def run(problem: Problem, folder: Path, comm: MPI.Comm = MPI.COMM_WORLD, restart: str | None = None) -> Path:
    """Solve the problem and write its results to `folder`; returns it.

    restart: go on from the folder's checkpoint of that step, or of the "latest"; from the start, if there is no checkpoint

    Raises InputError before anything is computed; StepFailed when no step succeeds or a steady state is not reached; NotCertified where the
    problem is strict and a step breaks a law of the certificate; Stopped, if a signal asks for it; OutputError where results cannot be written.
    The results up to then are written, and but for the last two a checkpoint from which a run with other options can go on.
    """
    abort_on_exception(comm)
    checkpoint = on_root(comm, lambda: found(problem, folder, restart)) if restart is not None else None
    solve(System(problem, comm), folder, checkpoint)
    return folder


def solve(system: System, folder: Path, checkpoint: Checkpoint | None = None, start: np.ndarray | None = None) -> None:
    """The same for a system, which holds its last state afterwards.

    start: unknowns of this rank to start from instead of the initial state
    """
    warnings = check(system).warnings
    integrator, comm = Integrator(system, start), system.comm
    if checkpoint is not None:
        _recall(checkpoint, system, integrator)
        if integrator.ended and on_root(comm, lambda: _is_complete(folder, ending(integrator))):
            if comm.rank == 0:
                time = integrator.time * system.scales.time
                print(
                    f"the run has {ending(integrator)}, t = {time:g}: nothing is left to do; --restart --set time.end=... goes on from there"
                )
            return
    output = Output(folder, system, integrator, warnings, checkpoint.output if checkpoint else None)
    if checkpoint is not None:
        output.certificate.recall(checkpoint.certificate)
    try:
        with Requests(comm) as requests, Progress(system) as progress:
            checkpoints = Checkpoints(system, integrator, output, requests)
            system.newton.watch = checkpoints.look
            for step in steps(integrator, continued=checkpoint is not None):
                output.record(step)
                progress.show(step)
                output.certificate.require()
                checkpoints.look(after_step=True)
            checkpoints.save()
    except Stopped as stopped:
        output.close(f"{stopped} after step {integrator.number}; --restart goes on from there")
        raise
    except StepFailed as error:  # these are raised on all ranks alike
        checkpoints.save()
        output.finish(f"failed: {error}")
        raise StepFailed(
            f"{error} The last state is saved: the same command with --restart, and other options, goes on from there."
        ) from None
    except (NotCertified, InputError) as error:
        output.finish(f"failed: {error}")
        raise
    except OutputError as error:
        output.abort(error)
        raise OutputError(f"{error}. Make room, then the same command with --restart goes on from the last checkpoint.") from None
    except BaseException as error:
        output.abort(error)
        raise
    output.finish(ending(integrator))


def found(problem: Problem, folder: Path, which: str) -> Checkpoint | None:
    """The checkpoint to go on from; without one what a run left that came to none is removed. On rank 0."""
    checkpoint = find(folder, which)
    if checkpoint is not None:
        checkpoint.require_same(problem)
    else:
        clear(folder)
        print(f"{folder} has no checkpoint: the run begins at the start")
    return checkpoint


def _recall(checkpoint: Checkpoint, system: System, integrator: Integrator) -> None:
    """Everything as it was when the checkpoint was written."""
    vectors = checkpoint.vectors(system, number_vertices(system.formulation.scalar_space))
    integrator.recall(checkpoint.integrator, vectors, same_unknowns=checkpoint.formulation == system.formulation.name)


def _is_complete(folder: Path, outcome: str) -> bool:
    """Whether a run that ended so has written everything."""
    results = Results(folder)
    return results.provenance.get("outcome") == outcome and (folder / "report.html").exists()


def steps(integrator: Integrator, continued: bool = False) -> Iterator[Step]:
    """The initial state, unless the run is one that is continued, and all steps. Raises StepFailed when no step succeeds, or a steady state is
    not reached."""
    if not continued:
        yield integrator.start()
    yield from integrator.steps()
    if integrator.settings.steady and not integrator.steady:
        end = float(integrator.settings.end) * integrator.system.scales.time
        raise StepFailed(f"no steady state by the end, t = {end:g}: give a later [time] end")


def ending(integrator: Integrator) -> str:
    """How a run that did not fail ended."""
    return "reached the steady state" if integrator.settings.steady else "reached the end"
