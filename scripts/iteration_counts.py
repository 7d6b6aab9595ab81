"""Iterations for the linear systems of every family as the mesh is refined.

    iteration_counts.py [DIMENSION] [CELLS ...] [--only WORD] [-- PETSC OPTIONS]

The first step from an initial state, at a short and at a long step. For each problem the table has, by the cells along an edge: iterations per
linear system, mean (largest), and the iterations of Newton's method; and, for the largest mesh, the most memory
that was added on all ranks (mesh, equations, solver), by unknown: what earlier problems have left free is not counted, so use --only for it.
Every problem has its iterative solver and its tolerances, however small it is. `mpirun -n 4 --oversubscribe` gives the counts on ranks.

Charged species (bulk fractions 0.4 of a lattice, Debye length 0.01) start from the uniform reservoir; the potential at the electrode, on half
of x = 0, rises by 2.5 thermal volts at a time, with a solution of the same step's equations at each.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from petsc4py import PETSc

from fem_diffusion import (
    Boundary,
    Constant,
    Degenerate,
    DoubleWell,
    Gradient,
    Ideal,
    LatticeGas,
    MaxwellStefan,
    Mesh,
    Mobility,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
    continuation,
    elimination,
)
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.newton import Converged, NotConverged
from fem_diffusion.preconditioner import choice, gradient_flow
from fem_diffusion.step import StepData
from fem_diffusion.system import System

BULK, PERMITTIVITY = 0.4, 1e-4
SIDES = {2: [32, 64, 128], 3: [8, 16, 32]}

SQUARE = """
DefineConstant[ n = 64 ];
Point(1) = {0, 0, 0}; Point(2) = {1, 0, 0}; Point(3) = {1, 1, 0}; Point(4) = {0, 1, 0}; Point(5) = {0, 0.5, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {4, 5}; Line(5) = {5, 1};
Transfinite Curve {1, 3} = n + 1 Using Progression Exp(3.3/n);
Transfinite Curve {2} = n + 1;
Transfinite Curve {4, 5} = n/2 + 1;
Curve Loop(1) = {1, 2, -3, 4, 5};
Plane Surface(1) = {1};
Transfinite Surface {1} = {1, 2, 3, 4};
"""
GEOMETRY = {
    2: SQUARE
    + """Physical Curve("electrode") = {5};
Physical Curve("reservoir") = {2};
Physical Surface("domain") = {1};
""",
    3: SQUARE
    + """s[] = Extrude {0, 0, 1} { Surface{1}; Layers{n}; };
Physical Surface("electrode") = {s[6]};
Physical Surface("reservoir") = {s[3]};
Physical Volume("domain") = {s[1]};
""",
}


def main() -> None:
    given, options, only = sys.argv[1:], list[str](), ""
    if "--" in given:
        given, options = given[: given.index("--")], given[given.index("--") + 1 :]
    if "--only" in given:
        at = given.index("--only")
        only, given = given[at + 1], given[:at] + given[at + 2 :]
    dimension = int(given[0]) if given else 2
    cells = [int(n) for n in given[1:]] or SIDES[dimension]
    PETSc.Options().insertString(" ".join(options))
    choice.LARGEST_DIRECT, elimination.SMALL = dict.fromkeys((1, 2, 3), 0.0), 0
    for kind in (gradient_flow.OnLattice, gradient_flow.Factorised):
        kind.many = np.inf
    table: dict[tuple[str, str], list[str]] = {}
    memory: dict[str, str] = {}
    for n in cells:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cell.geo"
            file.write_text(GEOMETRY[dimension])  # on several ranks, each its own
            for name, problem, steps in problems(dimension, n, file):
                if only not in name:
                    continue
                before = resident("VmRSS")
                system = System(problem)
                taken = counted(system)
                for dt in steps:
                    row = table.setdefault((name, "steady" if np.isinf(dt) else f"{dt:g}"), [])
                    row.append(one_step(system, dt, taken))
                    if system.comm.rank == 0:
                        print(n, name, dt, row[-1], file=sys.stderr, flush=True)
                memory[name] = f"{system.comm.allreduce(resident('VmHWM') - before) / system.unknowns:.0f}"
                del system, taken
    if PETSc.COMM_WORLD.rank == 0:
        print("| problem | dt | " + " | ".join(map(str, cells)) + " | bytes/unknown |\n|" + "---|" * (len(cells) + 3))
        for (name, dt), row in table.items():
            print(f"| {name} | {dt} | " + " | ".join(row) + f" | {memory[name]} |")


def resident(which: str) -> int:
    """Bytes of this process in memory: VmRSS now, from where on VmHWM is the largest."""
    if which == "VmRSS":
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return 1024 * int(line.split()[1])


def counted(system: System) -> list[int]:
    """A list that grows by the iterations of every linear system that is solved."""
    taken: list[int] = []
    attach = system.linear.attach

    def attach_counted(solver: PETSc.KSP) -> None:
        attach(solver)
        solver.setPostSolve(lambda solver, b, x: taken.append(solver.getIterationNumber()))

    system.linear.attach = attach_counted  # type: ignore[method-assign]
    return taken


def one_step(system: System, dt: float, taken: list[int]) -> str:
    """From the initial state: iterations per linear system, mean (largest); Newton's."""
    system.predictor = None  # the table is about the equations of the step alone
    system.initialise()
    values, c = system.values(), system.concentrations.copy()
    taken.clear()
    steady = bool(np.isinf(dt))
    step = StepData(0.0, 1.0 if steady else dt, (0.0, 0.0, 0.0) if steady else (1.0, -1.0, 0.0), [c, c], values, values)
    try:
        result = ramp(system, step) if system.model.charged else system.solve_step(step)
    except NotConverged:
        return f"{np.mean(taken):.1f} ({max(taken)}), none" if taken else "none"
    return f"{np.mean(taken):.1f} ({max(taken)}), {result.newton_iterations}"


def ramp(system: System, step: StepData) -> Converged:
    """The solution of a step with potentials that rise by 2.5 thermal volts at a time."""
    continuation.GROWTH = 1.0
    system.set_values(step.values, system.formulation.u_old)
    system.prepare(system.formulation, system.conditions, step)
    return system.continuation._by_stages(step, step.weights[0] == 0)


def problems(dimension: int, n: int, file: Path) -> Iterator[tuple[str, Problem, tuple[float, ...]]]:
    """Name, problem, steps. Waves of composition in a unit square or cube; demixing grows within 0.01, at wavelengths of about 0.4."""
    mesh = Mesh(shape="rectangle" if dimension == 2 else "box", size=1.0, cells=n)
    time = Time(end=1.0, scheme="backward-euler")
    wave = "*".join(f"cos({k}*pi*{x})" for k, x in zip((3, 2, 2), "xyz"[:dimension], strict=False))
    one = Species(name="A", initial=f"0.5 + 0.3*{wave}")
    two = Species(name="B", initial=f"0.3 - 0.1*{wave}")
    rest = Species(name="C", balance=True)
    interfaces = Gradient(kappa=2e-3)

    def of(species: list[Species], energy: list[Term], mobility: Mobility, **given: Any) -> Problem:
        return Problem(mesh=mesh, species=species, free_energy=energy, mobility=mobility, time=time, **given)

    demixing = (1e-4, 1e-3, 1e-2)
    yield "Cahn-Hilliard, constant mobility", of([one], [DoubleWell(rho=1.0), interfaces], Constant(value=1.0)), demixing
    yield "Cahn-Hilliard, degenerate mobility", of([one], [RegularSolution(chi=3.0), interfaces], Degenerate(diffusivity=1.0)), demixing
    pairs = {"A-B": 3.0, "A-C": 3.0, "B-C": 3.0}
    alloy = [Species(name="A", initial=f"0.3 + 0.2*{wave}"), two, rest]
    yield (
        "ternary Cahn-Hilliard",
        of(alloy, [RegularSolution(chi=pairs), Gradient(kappa={"A": 2e-3, "B": 2e-3, "C": 2e-3})], Degenerate(diffusivity=1.0)),
        demixing,
    )
    gases = MaxwellStefan(diffusivities={"A-B": 0.833, "A-C": 0.68, "B-C": 0.168})
    for formulation in ("fractions", "entropy"):
        yield f"Maxwell-Stefan, {formulation}", of(alloy, [Ideal()], gases, formulation=formulation), (1e-4, 1e-2, 1.0)
    for potential in (5.0, 25.0):
        yield f"PNP, entropy, {potential:g} V", half_electrode(file, n, potential, "entropy"), (1e-4, 1e-2, 1.0, np.inf)
    yield "PNP, fractions, 5 V", half_electrode(file, n, 5.0, "fractions"), (1e-4, 1e-2)


def half_electrode(file: Path, cells: int, potential: float, formulation: str = "entropy") -> Problem:
    """A salt with ions of unequal speed between an electrode on half of x = 0 and a reservoir; potential in thermal volts."""
    return Problem(
        mesh=Mesh(file=str(file), parameters={"n": float(cells)}),
        species=[
            Species(name="cation", charge=1, diffusivity=1.0, initial=BULK),
            Species(name="anion", charge=-1, diffusivity=0.1, initial=BULK),
        ],
        free_energy=[LatticeGas(), Electrostatic(permittivity=PERMITTIVITY)],
        mobility=VolumeExclusion(),
        boundary={
            "electrode": Boundary(potential=-potential),
            "reservoir": Boundary(potential=0.0, concentration={"cation": BULK, "anion": BULK}),
        },
        time=Time(end=1.0, scheme="backward-euler"),
        formulation=formulation,
    )


if __name__ == "__main__":
    main()
