"""A progress bar, on a terminal only; under mpirun, which hides it, scripts/run says so in FEM_DIFFUSION_TERMINAL."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from .integrator import Step
from .system import System


class Progress:
    """Simulated time, step, dt, Newton iterations and energy, on rank 0's terminal."""

    def __init__(self, system: System) -> None:
        self._seconds = system.scales.time
        self._energy = system.scales.factor("J/m^3") * system.scales.length**system.geometry.volume_dimension
        self._end = float(system.problem.time.end) * self._seconds
        self._unit = " s" if system.given.dimensional else ""
        self._bar: Bar | None = None
        terminal = sys.stderr.isatty() or os.environ.get("FEM_DIFFUSION_TERMINAL") == "1"
        if system.comm.rank == 0 and terminal:
            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True, force_terminal=True))

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._end)
        return self

    def show(self, step: Step) -> None:
        if self._bar is not None:
            time, dt = step.time * self._seconds, step.dt * self._seconds
            energy = step.energy * self._energy
            text = f"t {time:.4g} of {self._end:.4g}{self._unit}  step {step.number}  dt {dt:.3g}  Newton {step.newton_iterations}  F {energy:.6g}"
            self._bar.update(self._task, completed=time, description=text)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
