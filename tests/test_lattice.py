"""Functions of M^-1 K by the waves of a lattice, and the preconditioner that is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from fem_diffusion import Constant, DoubleWell, Gradient, Mesh, Problem, Species, Time
from fem_diffusion.elimination import EliminatedOperators
from fem_diffusion.parallel import global_max
from fem_diffusion.preconditioner.gradient_flow import OnLattice
from fem_diffusion.preconditioner.lattice import Lattice
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

PLANE = {"shape": "rectangle", "size": [1.2, 0.9], "cells": [9, 7]}
EXACT: dict[str, dict[str, Any]] = {
    "joined at all ends": PLANE | {"periodic": ["x", "y"]},
    "joined at two, graded": PLANE | {"periodic": ["x"], "finest": {"bottom": 0.03}},
    "box": {"shape": "box", "size": [1.0, 0.8, 0.6], "cells": [6, 5, 4], "periodic": ["x", "y", "z"]},
}
INEXACT: dict[str, dict[str, Any]] = {  # at corners, and in space at edges
    "triangles": PLANE,
    "axisymmetric": PLANE | {"axisymmetric": True},
    "graded": PLANE | {"finest": {"left": 0.03}},
    "tetrahedra": {"shape": "box", "size": [1.0, 0.8, 0.6], "cells": [6, 5, 4]},
}


def operators_of(mesh: dict[str, Any], **given: Any) -> EliminatedOperators:
    problem = Problem(
        mesh=Mesh(**mesh),
        species=[Species(name="A", initial="0.5 + 0.2*cos(3*x)*cos(2*y)")],
        free_energy=[DoubleWell(rho=5.0), Gradient(kappa=0.01)],
        mobility=Constant(value=2.0),
        time=Time(end=1.0),
        **given,
    )
    system = System(problem)
    system.initialise()
    operators = system.operators
    assert isinstance(operators, EliminatedOperators)
    return operators


@pytest.mark.parametrize("name", EXACT)
def test_systems_are_solved_to_single_precision(name: str) -> None:
    """(a M + s K + b K M^-1 K) y = r, put into the equation as the mesh has it."""
    operators = operators_of(EXACT[name])
    lattice = Lattice.of(operators)
    assert lattice is not None
    K, volume = operators.stiffness, operators.volume[:, 0]
    y, r = K.createVecs()
    r.array_w[:] = np.random.default_rng(COMM.rank).uniform(-1, 1, volume.size) * volume
    a, s, b = 2.0, 0.3, 1e-4
    lattice.apply((1 / (a + s * lattice.theta + b * lattice.theta**2)).astype(np.float32), r, y)
    first, second = K.createVecLeft(), K.createVecLeft()
    K.mult(y, first)
    over = first.duplicate()
    over.array_w[:] = first.array_r / volume
    K.mult(over, second)
    defect = (a * volume * y.array_r + s * first.array_r + b * second.array_r - r.array_r) / volume
    assert global_max(COMM, np.abs(defect)) <= 1e-5 * global_max(COMM, np.abs(r.array_r / volume))


def iterations(operators: EliminatedOperators, dt: float, c: float) -> int:
    """Until the residual has fallen by 1e-6, for an update that is noise, in a uniform state."""
    operators.formulation.dt.value, operators.formulation.a0.value = dt, 1.0
    x, b, y = operators.vector(), operators.vector(), operators.vector()
    x.set(c)
    operators.jacobian(x)
    linear = OnLattice.of(operators)
    assert linear is not None
    solver = PETSc.KSP().create(COMM)
    solver.setOperators(operators.jacobian_matrix)
    solver.setType("fgmres")
    solver.setTolerances(rtol=1e-6, max_it=40)
    linear.attach(solver)
    linear.update(operators.jacobian_matrix)
    update = operators.vector()
    update.array_w[:] = np.random.default_rng(COMM.rank).uniform(-1, 1, x.array_r.size)
    operators.jacobian_matrix.mult(update, b)  # mass that no update could bring is not asked for
    solver.solve(b, y)
    assert solver.getConvergedReason() > 0
    return int(solver.getIterationNumber())


@pytest.mark.parametrize("name", INEXACT)
def test_iterations_do_not_grow_with_the_mesh(name: str) -> None:
    """At a step of 0.8 growth times of the fastest wave, a_0 kappa/(dt M) = (f''/2)^2/0.8 with f''(1/2) = -5."""
    mesh, counts = INEXACT[name], []
    for refinement in (1, 2):
        operators = operators_of(mesh | {"cells": [refinement * cells for cells in mesh["cells"]]})
        counts.append(iterations(operators, 0.8 * 4 * 0.01 / (2.0 * 25.0), 0.5))
    assert max(counts) <= 12 and counts[1] <= counts[0] + 2


@pytest.mark.parametrize("periodic", [[], ["x", "y"]], ids=["closed", "joined"])
def test_long_steps_on_fine_meshes(periodic: list[str]) -> None:
    """Cells of 1e-4 where interfaces are 0.1 wide: P's eigenvalues are 1 to 5e12, of which single precision leaves nothing of the lowest."""
    operators = operators_of({"shape": "rectangle", "size": [1.2e-3, 0.9e-3], "cells": [12, 9], "periodic": periodic})
    assert iterations(operators, 1e-3, 0.1) <= 12


@pytest.mark.parametrize("mesh", [{"file": "../meshes/plate_with_holes.geo"}, PLANE | {"cell_type": "tensor"}])
def test_other_meshes_have_no_lattice(mesh: dict[str, Any]) -> None:
    assert Lattice.of(operators_of(mesh, directory=Path(__file__).parent)) is None
