"""Iterations for the linear systems of charged species as the mesh is refined.   iteration_counts.py [DIMENSION] [CELLS ...] [-- PETSC OPTIONS]

Two ions in a square or cube whose cells shrink towards an electrode on half of x = 0 (no flux of ions); a reservoir at x = 1. One step of
backward Euler from the uniform reservoir, or straight to the steady state. For each potential (in thermal volts) and step the table has, by
the cells along an edge: iterations per linear system, mean (largest), and the iterations of Newton's method.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from petsc4py import PETSc

from fem_diffusion import Boundary, LatticeGas, Mesh, Problem, Species, Time
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.newton import NotConverged
from fem_diffusion.step import StepData
from fem_diffusion.system import System

BULK, PERMITTIVITY = 0.4, 1e-4
POTENTIALS, STEPS = (5, 25), (1e-4, 1e-2, 1.0, np.inf)

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
    given, options = sys.argv[1:], []
    if "--" in given:
        given, options = given[: given.index("--")], given[given.index("--") + 1 :]
    dimension = int(given[0]) if given else 2
    cells = [int(n) for n in given[1:]] or [32, 64, 128]
    PETSc.Options().insertString(" ".join(["-pc_type mg", *options]))
    table: dict[tuple[float, float], list[str]] = {(V, dt): [] for V in POTENTIALS for dt in STEPS}
    for n in cells:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cell.geo"
            file.write_text(GEOMETRY[dimension])  # on several ranks, each its own
            for V in POTENTIALS:
                system = System(half_electrode(file, n, V))
                taken = counted(system)
                for dt in STEPS:
                    table[V, dt].append(one_step(system, dt, taken))
                    if system.comm.rank == 0:
                        print(n, V, dt, table[V, dt][-1], file=sys.stderr, flush=True)
    if PETSc.COMM_WORLD.rank == 0:
        print("| V | dt | " + " | ".join(map(str, cells)) + " |\n|" + "---|" * (len(cells) + 2))
        for (V, dt), row in table.items():
            print(f"| {V} | {'steady' if np.isinf(dt) else f'{dt:g}'} | " + " | ".join(row) + " |")


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
    """From the uniform state: iterations per linear system, mean (largest); Newton's."""
    system.predictor = None  # the table is about the equations of the step alone
    system.initialise()
    values, c = system.values(), system.concentrations.copy()
    taken.clear()
    weights = (1.0, -1.0, 0.0) if np.isfinite(dt) else (0.0, 0.0, 0.0)
    try:
        result = system.solve_step(StepData(0.0, dt if np.isfinite(dt) else 1.0, weights, [c, c], values, values))
    except NotConverged:
        return f"{np.mean(taken):.1f} ({max(taken)}), none"
    return f"{np.mean(taken):.1f} ({max(taken)}), {result.newton_iterations}"


def half_electrode(file: Path, cells: int, potential: float) -> Problem:
    """A salt with ions of unequal speed between an electrode on half of x = 0 and a reservoir."""
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
    )


if __name__ == "__main__":
    main()
