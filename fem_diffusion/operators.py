"""What the solver sees: a residual and a Jacobian that act on vectors, with the matrix to precondition from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc
from ufl import classes
from ufl.algorithms.map_integrands import map_integrand_dags
from ufl.corealg.map_dag import map_expr_dag
from ufl.corealg.multifunction import MultiFunction
from ufl.domain import extract_unique_domain

from .compile_lock import compiled


def compile_form(form: Any) -> Any:
    """The form as compiled code. Collective."""
    general = map_integrand_dags(_General(form.ufl_domain()), form)
    if general.empty():  # integrands that are zero are dropped, and DOLFINx makes nothing of no integrals
        general = form
    comm = general.ufl_domain().ufl_cargo().comm
    return compiled(comm, lambda options: fem.form(general, jit_options=options))


def compile_expression(expression: Any, points: np.ndarray) -> Any:
    """The expression as compiled code, to be evaluated at points (n, dimension) of the reference cell. Collective."""
    domain = extract_unique_domain(expression)
    general = map_expr_dag(_General(domain), expression)
    return compiled(domain.ufl_cargo().comm, lambda options: fem.Expression(general, points, jit_options=options))


class _General(MultiFunction):
    """Compiled code is found again by its text: so numbers become Constants, and the labels of variables, which UFL numbers in the order in
    which a process makes them, are numbered from zero. A sweep then compiles once, in one process or many.

    Exponents stay numbers: x^2 is a product, and pow(x, n) is not.
    """

    def __init__(self, domain: Any) -> None:
        super().__init__()
        self._domain, self._constants, self._labels = domain, dict[float, Any](), dict[Any, Any]()

    expr = MultiFunction.reuse_if_untouched

    def float_value(self, number: Any) -> Any:
        value = float(number)
        if value not in self._constants:
            self._constants[value] = fem.Constant(self._domain, value)
        return self._constants[value]

    def power(self, power: Any, base: Any, exponent: Any) -> Any:
        given = power.ufl_operands[1]
        return self.reuse_if_untouched(power, base, given if isinstance(given, classes.FloatValue) else exponent)

    def label(self, label: Any) -> Any:
        return self._labels.setdefault(label, classes.Label(len(self._labels)))


class Operators(Protocol):
    """The discrete equations R(u) = 0 on vectors of this rank's owned entries.

    A matrix-free or vertex-wise evaluation replaces the assembled one by offering the same.
    """

    block: int
    jacobian_matrix: PETSc.Mat
    preconditioner_matrix: PETSc.Mat

    def unknowns(self, values: np.ndarray) -> np.ndarray:
        """x of the owned unknowns of the formulation (flat): all of them, or those that the others follow from."""

    def residual(self, x: PETSc.Vec, r: PETSc.Vec) -> None:
        """r = R(x), with x - g in the rows of fixed unknowns; the formulation's u is left at x."""

    def jacobian(self, x: PETSc.Vec) -> None:
        """Update jacobian_matrix and preconditioner_matrix to x."""

    def balance(self) -> np.ndarray:
        """R at the current u without regard to fixed unknowns: there it is the reaction, from which boundary fluxes follow."""

    def vector(self) -> PETSc.Vec:
        """A new vector for x or r."""


class AssembledOperators:
    """Residual and Jacobian assembled from UFL forms.

    PETSc sees owned entries only; ghosts are DOLFINx' business. That spelling is the same for all supported versions.
    changed: called after owned values of u were set; brings the ghosts, and what else follows from u, up to date
    """

    def __init__(self, u: fem.Function, residual: Any, jacobian: Any, fixed: list[Any], changed: Callable[[], None]) -> None:
        self.u, self.fixed, self._changed = u, fixed, changed
        self._residual, self._jacobian = compile_form(residual), compile_form(jacobian)
        dofmap = u.function_space.dofmap
        self._owned = dofmap.index_map.size_local * dofmap.index_map_bs
        self._global = dofmap.index_map.size_global * dofmap.index_map_bs
        self.block = dofmap.index_map_bs
        self._r = la.vector(dofmap.index_map, dofmap.index_map_bs)
        self.jacobian_matrix = self.preconditioner_matrix = fem_petsc.create_matrix(self._jacobian)

    def vector(self) -> PETSc.Vec:
        return PETSc.Vec().createMPI((self._owned, self._global), bsize=self.block, comm=self.u.function_space.mesh.comm)

    def unknowns(self, values: np.ndarray) -> np.ndarray:
        return values

    def _to_u(self, x: PETSc.Vec) -> None:
        self.u.x.array[: self._owned] = x.array_r
        self._changed()

    def residual(self, x: PETSc.Vec, r: PETSc.Vec) -> None:
        self._to_u(x)
        values = self._r
        values.array[:] = 0.0
        fem.assemble_vector(values.array, self._residual)
        fem.apply_lifting(values.array, [self._jacobian], [self.fixed], x0=[self.u.x.array], alpha=-1.0)
        values.scatter_reverse(la.InsertMode.add)
        for condition in self.fixed:
            condition.set(values.array, self.u.x.array, -1.0)
        r.array_w[:] = values.array[: self._owned]

    def jacobian(self, x: PETSc.Vec) -> None:
        self._to_u(x)
        self.jacobian_matrix.zeroEntries()
        fem_petsc.assemble_matrix(self.jacobian_matrix, self._jacobian, self.fixed, 1.0)
        self.jacobian_matrix.assemble()

    def balance(self) -> np.ndarray:
        values = self._r
        values.array[:] = 0.0
        fem.assemble_vector(values.array, self._residual)
        values.scatter_reverse(la.InsertMode.add)
        return values.array[: self._owned].copy()
