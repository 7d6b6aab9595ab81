"""The electric potential of given charges."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from .conditions import Conditions
from .formulation import Formulation, parts
from .operators import compile_form
from .preconditioner import is_large

ACCURATE = 1e-12  # of the residual: there is no further iteration that would correct phi


class Poisson:
    """Solves dF/dphi = 0 at fixed concentrations, for the initial state and for states between steps. (In a step phi is one of the unknowns.)"""

    def __init__(self, formulation: Formulation, conditions: Conditions) -> None:
        self._formulation, self._conditions = formulation, conditions

    def solve(self) -> None:
        """Put the phi that belongs to u's concentrations into u. Collective."""
        formulation = self._formulation
        self._conditions.impose_phi()
        residual, matrix, solver, vector = self._linear
        self._c.x.array[:] = formulation.all_concentrations().ravel()
        self._phi.x.array[:] = formulation.all_phi()
        fixed = self._fixed
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, self._slope, fixed, 1.0)
        matrix.assemble()
        defect = formulation.assembled_vector(residual)
        for condition in fixed:
            dofs = condition.dof_indices()[0]
            defect[dofs[dofs < len(defect)]] = 0.0
        vector.array_w[:] = -defect
        change = vector.duplicate()
        solver.solve(vector, change)
        formulation.set_phi(self._phi.x.array[: formulation.vertices] + change.array_r)

    @cached_property
    def _c(self) -> fem.Function:
        return fem.Function(self._formulation.c_before.function_space)

    @cached_property
    def _phi(self) -> fem.Function:
        return fem.Function(self._formulation.scalar_space)

    @cached_property
    def _fixed(self) -> list[Any]:
        return [fem.dirichletbc(self._phi, dofs) for dofs in self._conditions.electrode_vertices]

    @cached_property
    def _slope(self) -> Any:
        return compile_form(ufl.derivative(self._form, self._phi))

    @cached_property
    def _form(self) -> Any:
        formulation = self._formulation
        c = formulation.model.composition(parts(self._c), **formulation.place_and_time)
        return formulation.energy.poisson(c, self._phi, ufl.TestFunction(formulation.scalar_space))

    @cached_property
    def _linear(self) -> tuple[Any, PETSc.Mat, PETSc.KSP, PETSc.Vec]:
        matrix = fem_petsc.create_matrix(self._slope)
        solver = PETSc.KSP().create(matrix.comm)
        solver.setOptionsPrefix("poisson_")
        solver.setOperators(matrix)
        preconditioner = solver.getPC()
        if is_large(matrix.getSize()[0], self._formulation.geometry.dimension):  # symmetric and positive
            solver.setType("cg")
            solver.setTolerances(rtol=ACCURATE)
            preconditioner.setType("hypre")
        else:
            solver.setType("preonly")
            preconditioner.setType("lu")
            preconditioner.setFactorSolverType("mumps")
        solver.setErrorIfNotConverged(True)
        solver.setFromOptions()
        return compile_form(self._form), matrix, solver, matrix.createVecLeft()
