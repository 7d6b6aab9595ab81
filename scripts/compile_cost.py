"""What it costs to compile and to solve Maxwell-Stefan diffusion of n components.   compile_cost.py [FORMULATION] [CELLS] [n ...]

An ideal mixture on CELLS x CELLS squares of two triangles (default: fractions, 32, n = 3 4 5 8). Each n starts from an empty cache of
compiled forms; prints CPU seconds, those of the C compiler apart, and per step of what follows (BDF2, second-order accurate in time).
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

from fem_diffusion import Ideal, MaxwellStefan, Mesh, Problem, Species, Time
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

STEPS = 10


def main() -> None:
    formulation, cells, *given = [*sys.argv[1:3], *["fractions", "32"][len(sys.argv[1:3]) :], *sys.argv[3:]]
    print("| n | unknowns | UFL and FFCx | C compiler | C source | per step | Newton iterations per step |\n|---|---|---|---|---|---|---|")
    for n in map(int, given or (3, 4, 5, 8)):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache  # DOLFINx reads it once: each n has a process of its own
            with get_context("spawn").Pool(1) as process:
                print(process.apply(row, (n, formulation, int(cells), cache)), flush=True)


def row(n: int, formulation: str, cells: int, cache: str) -> str:
    before = cpu()
    system = System(mixture(n, formulation, cells))
    steps = Integrator(system).steps()
    next(steps)  # what is compiled when it is first needed
    own, compiler = (after - start for after, start in zip(cpu(), before, strict=True))
    source = sum(file.stat().st_size for file in Path(cache).rglob("*.c"))
    start = cpu()[0]
    taken = list(steps)
    per_step = (cpu()[0] - start) / len(taken)
    iterations = sum(step.newton_iterations for step in taken) / len(taken)
    return f"| {n} | {system.unknowns} | {own:.1f} s | {compiler:.1f} s | {source / 1e3:.0f} kB | {per_step:.4f} s | {iterations:.1f} |"


def mixture(n: int, formulation: str, cells: int) -> Problem:
    """n - 1 components that start in a step each along x or y, in a balance."""
    names = [f"X{k}" for k in range(n)]
    initial = [f"(0.6 + 0.4*cos({1 + k // 2}*pi*{'xy'[k % 2]}))/{n}" for k in range(n - 1)]
    species = [Species(name=name, initial=text) for name, text in zip(names[:-1], initial, strict=True)]
    pairs = combinations(names, 2)
    return Problem(
        mesh=Mesh(shape="rectangle", size=1.0, cells=cells),
        species=[*species, Species(name=names[-1], balance=True)],
        free_energy=[Ideal()],
        mobility=MaxwellStefan(diffusivities={f"{k}-{l}": 0.2 + 0.7 * (i % 5) / 4 for i, (k, l) in enumerate(pairs)}),
        time=Time(end=0.1, step=0.1 / (STEPS + 1), scheme="bdf2"),
        formulation=formulation,
    )


def cpu() -> tuple[float, float]:
    """CPU seconds of this process, and of those it waited for."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime


if __name__ == "__main__":
    main()
