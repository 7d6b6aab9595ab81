"""Is a step's solution the one that leads on? Past a critical step the equations have others.

A step of backward Euler (and, with its own weights, of BDF2 and the averaged vector field) makes F + (distance moved)^2/2dt stationary. Up to
the growth time of the fastest unstable mode the functional is convex and its only stationary point the minimum; beyond, there are saddles, on
which unstable modes are damped instead of growing, and Newton's method finds them without complaint: mass is conserved, the residual vanishes.
The inertia of the functional's second variation tells a minimum from a saddle (Sylvester's law).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from .conditions import Conditions
from .formulation import ConcentrationPotential
from .operators import compile_form
from .parallel import global_max, global_min
from .pointwise import LocalDensity, LocalMobility, eigenvalues
from .problem import Problem
from .vertexwise import implicit_part

CLEAR = 0.05  # an eigenvalue, of about one for most waves, that is found well enough to be positive


class Branch:
    """Judges the step that the formulation's u, dt and weights hold.

    lowest_eigenvalue: of the step's Jacobian, preconditioned, found from above; None where there is no such number
    may_factor:        whether factors may decide where that leaves doubts
    """

    def __init__(
        self,
        problem: Problem,
        formulation: ConcentrationPotential,
        conditions: Conditions,
        density: LocalDensity,
        lowest_eigenvalue: Callable[[], float] | None,
        may_factor: bool,
    ) -> None:
        self._lowest_eigenvalue, self._may_factor = lowest_eigenvalue, may_factor
        self._formulation, self._conditions, self._density = formulation, conditions, density
        self._mobility = LocalMobility(problem.transport, problem.composition())

    def may_have_saddles(self) -> bool:
        """Whether the local energy is concave somewhere and dt not far below the growth time M f''^2/(4 kappa) of the fastest mode."""
        formulation = self._formulation
        new, old = formulation.concentrations, formulation.old_concentrations
        implicit = implicit_part(formulation.scheme)  # the average over a step has half of f''
        states = [new] if implicit == 1.0 else [new, (new + old) / 2, old]
        ratio = formulation.model.ratio_at(formulation.x, float(formulation.time.value))
        lowest = min(global_min(formulation.comm, eigenvalues(self._density.hessian(c.T, ratio))[:, 0]) for c in states)
        if lowest >= 0:
            return False
        kappa = global_min(formulation.comm, eigenvalues(self._density.gradient_coefficients(new.T, ratio))[:, 0])
        if kappa <= 0:
            return True
        mobility = global_max(formulation.comm, eigenvalues(self._mobility.matrix(new.T, ratio))[:, -1])
        dt = implicit * float(formulation.dt.value) / float(formulation.a0.value)
        return dt * mobility * lowest**2 / (4 * kappa) > 0.9

    def is_minimum(self) -> bool:
        """Whether the second variation has exactly as many negative eigenvalues as there are free mu.

        Eliminating them leaves the step's Jacobian, whose eigenvalues are then positive.
        """
        if self._lowest_eigenvalue is not None:
            lowest = self._lowest_eigenvalue()
            if lowest <= 0 or lowest > CLEAR or not self._may_factor:
                return lowest > 0
        formulation, (form, matrix) = self._formulation, self._second_variation
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, form, self._conditions.fixed, 1.0)
        matrix.assemble()
        matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        expected = formulation.n * formulation.space.dofmap.index_map.size_global - self._conditions.open_row_count
        return _negative_eigenvalues(matrix) == expected

    @cached_property
    def _second_variation(self) -> tuple[Any, PETSc.Mat]:
        form = compile_form(self._formulation.second_variation())
        return form, fem_petsc.create_matrix(form)


def _negative_eigenvalues(matrix: PETSc.Mat) -> int:
    """Of a symmetric matrix, by the pivots of its LDL^T factors."""
    solver = PETSc.KSP().create(matrix.comm)
    solver.setOptionsPrefix("curvature_")
    solver.setOperators(matrix)
    solver.setType("preonly")
    factorisation = solver.getPC()
    factorisation.setType("cholesky")
    factorisation.setFactorSolverType("mumps")
    factorisation.setFactorSetUpSolverType()
    factors = factorisation.getFactorMatrix()
    factors.setMumpsIcntl(13, 1)  # a parallel root front would hide its part of the inertia
    factors.setMumpsIcntl(14, 60)  # per cent of extra workspace
    factors.setMumpsIcntl(24, 1)  # detection of null pivots: PETSc asks for it
    solver.setUp()
    negative, _, _ = factors.getInertia()
    for petsc_object in (solver, factorisation, factors):  # petsc4py leaves what Python refers to until the end, on several ranks
        petsc_object.destroy()
    return int(negative)
