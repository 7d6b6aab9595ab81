"""One measurement of this program, in a process of its own (scripts/benchmark starts it).   measure.py JOB RESULT

A problem goes in as text, through the public reader, with every default that a user gets, and is stepped to its end without output. CPU seconds
(user + system, of all ranks) are split by what wraps the methods from outside. Compiled forms come from the cache or are made: that part is apart.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

START = time.process_time()

import numpy as np  # noqa: E402
from dolfinx import fem  # noqa: E402
from mpi4py import MPI  # noqa: E402
from petsc4py import PETSc  # noqa: E402
from workloads import Job, in_left_half, lattice_noise, peak_memory, report, write_state  # noqa: E402

from fem_diffusion.errors import InputError, StepFailed  # noqa: E402
from fem_diffusion.integrator import Integrator  # noqa: E402
from fem_diffusion.system import System  # noqa: E402

PARTS = ("residual", "jacobian", "setup", "solve", "diagnostics", "rest", "forms", "states")


class Clock:
    """CPU seconds by part; a part that runs inside another one is not counted twice."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._stack, self._last = ["rest"], time.process_time()

    def _mark(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] += now - self._last
        self._last = now

    def enter(self, part: str) -> None:
        self._mark()
        self._stack.append(part)

    def leave(self) -> None:
        self._mark()
        self._stack.pop()

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count the time in owner.name as that of a part."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            self.enter(part)
            try:
                return function(*arguments, **keywords)
            finally:
                self.leave()

        setattr(owner, name, watched)

    def stop(self) -> None:
        """Count until now."""
        self._mark()

    def reset(self) -> None:
        self._mark()
        self.seconds = dict.fromkeys(PARTS, 0.0)


class SetUp:
    """How much of the solver's time goes into setting preconditioners up, by PETSc's own log: wall seconds, taken as a share.

    What is set up inside `update` is counted there already.
    """

    def __init__(self, system: System) -> None:
        PETSc.Log.begin()
        self._event = PETSc.Log.Event("PCSetUp")
        self._wall = self._inside = 0.0
        self._depth = 0
        self._around(system.linear, "update", self._of_update)
        self._around(system.newton, "solve", self._of_solve)

    def _logged(self) -> float:
        return float(self._event.getPerfInfo()["time"])

    def _around(self, owner: Any, name: str, note: Callable[[float, float], None]) -> None:
        function = getattr(owner, name)

        @wraps(function)
        def watched(*arguments: Any, **keywords: Any) -> Any:
            logged, start = self._logged(), time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                note(self._logged() - logged, time.perf_counter() - start)

        setattr(owner, name, watched)

    def _of_update(self, logged: float, wall: float) -> None:
        self._inside -= logged

    def _of_solve(self, logged: float, wall: float) -> None:
        self._inside += logged
        self._wall += wall

    def move(self, seconds: dict[str, float]) -> None:
        """From `solve`, which has it all, to `setup`."""
        if self._wall == 0:
            return
        newton = sum(seconds[part] for part in ("residual", "jacobian", "setup", "solve"))
        share = min(self._inside / self._wall * newton, seconds["solve"])
        seconds["setup"] += share
        seconds["solve"] -= share


def watch(system: System, clock: Clock) -> SetUp:
    """Put the clock around what a step consists of."""
    for name in ("residual", "balance"):
        clock.watch(system.operators, name, "residual")
    clock.watch(system.operators, "jacobian", "jacobian")
    clock.watch(system.linear, "update", "setup")
    clock.watch(system.newton, "solve", "solve")
    numbers = ("energy", "dissipation", "outward_fluxes", "boundary_charges", "is_ill_posed", "lowest_fraction")
    for name in numbers:
        clock.watch(system, name, "diagnostics")
    if system.branch is not None:
        for name in ("may_have_saddles", "is_minimum"):
            clock.watch(system.branch, name, "diagnostics")
    return SetUp(system)


def checks(job: Job, system: System, energy: float) -> dict[str, float]:
    """The numbers by which codes are compared, in the workload's units."""
    low, high = system.bounds()
    found = {"E": energy, "cmin": float(low.min()) / job.unit, "cmax": float(high.max()) / job.unit}
    if job.family != "w3":
        return found
    del found["E"]
    x, c, comm = system.formulation.x, system.concentrations / job.unit, system.comm
    charge = float(comm.allreduce(float((system.volume * in_left_half(x)) @ (c[:, 0] - c[:, 1]))))
    phi = np.asarray(system.formulation.all_phi()[: x.shape[1]])
    middle = (np.abs(x[:2] - 0.5) < 1e-9).all(axis=0)
    return found | {"phi_middle": float(comm.allreduce(float(phi[middle].sum()))), "charge_left": charge}


def main() -> None:
    try:
        comm, job = MPI.COMM_WORLD, Job(**json.loads(sys.argv[1]))
        report(comm, measured(job, comm))
    except (InputError, StepFailed) as error:  # raised on all ranks alike
        raise SystemExit(str(error) if MPI.COMM_WORLD.rank == 0 else 1) from None


def measured(job: Job, comm: MPI.Comm) -> dict[str, Any]:
    """The numbers of a job. Collective."""
    PETSc.Options().insertString(job.options)
    clock = Clock()
    for name in ("form", "Expression"):
        clock.watch(fem, name, "forms")
    system = System(job.read(), comm)
    start = None
    if job.family in ("w1", "w2"):
        system.initialise()
        x = system.formulation.x
        system.set_concentrations(lattice_noise(x, job.cells, system.geometry.dimension)[:, None], 0.0)
        start = system.values()
    integrator = Integrator(system, start)
    set_up_memory = peak_memory()
    setup = watch(system, clock)
    comm.barrier()
    before = time.process_time() - START
    clock.reset()
    energy = system.scales.factor("J/m^3") * system.scales.length**system.geometry.volume_dimension
    wall, newton, linear, first_step = time.perf_counter(), 0, 0, 0.0
    history = [(0.0, integrator.energy * energy)]
    waiting, states = list(job.times), []
    for step in integrator.steps():
        newton, linear = newton + step.newton_iterations, linear + step.linear_iterations
        history.append((step.time * system.scales.time, step.energy * energy))
        first_step = first_step or time.process_time() - START
        clock.enter("states")
        while waiting and waiting[0] <= step.time * system.scales.time * (1 + 1e-12):
            with integrator.visiting(min(waiting.pop(0) / system.scales.time, step.time)):
                states.append(system.concentrations.copy())
        clock.leave()
    clock.stop()
    wall = time.perf_counter() - wall
    seconds = clock.seconds
    setup.move(seconds)
    total = {part: float(comm.allreduce(seconds[part])) for part in PARTS}
    forms = total.pop("forms")
    del total["states"]  # kept for a comparison: no part of the run
    result = {
        "code": "fem_diffusion",
        "problem": job.problem,
        "cells": job.cells,
        "ranks": comm.size,
        "unknowns": system.unknowns,
        "formulation": system.formulation.name,
        "scheme": system.scheme.name,
        "linear_solver": system.linear.description,
        "steps": len(history) - 1,
        "rejected": integrator.rejections.total,
        "newton": newton,
        "linear": linear,
        "history": history,
        "cpu": sum(total.values()),
        "parts": total,
        "forms": forms,
        "wall": wall,
        "before_loop": float(comm.allreduce(before)),
        "to_first_step": float(comm.allreduce(first_step)),
        "memory": float(comm.allreduce(peak_memory())),
        "memory_before_loop": float(comm.allreduce(set_up_memory)),
        "checks": checks(job, system, history[-1][1]),
    }
    if job.state:
        write_state(comm, job.state, system.formulation.x, states or [system.concentrations], system.volume)
    return result


if __name__ == "__main__":
    main()
