"""The equations in (c, mu) with mu eliminated, and without assembly of what does not change.

With lumped masses M, mu follows from c vertex by vertex, and the residual is a function of c alone:

    M mu = F'(c) = M p(c) + kappa K c + s(c)
    R(c) = a_0 M (c - c_before) + dt L K mu + r(c, mu)

    R'(c) = a_0 M + r_c + (dt L K + r_mu) M^-1 F''(c),     F''(c) = M H(c) + kappa K + s_c

p is the variation of the local energy and H its second variation, numbers at each vertex; K is the stiffness matrix, assembled once. What else a
model has is assembled: s of walls and of other gradient energies, r of a mobility that depends on the composition, of boundaries and sources. With
a constant mobility and `Gradient` the residual is two products with K, and the Jacobian acts without being formed.

Where a reservoir holds mu_i it is a given number; the equation for c_i there is c_i = g if that is held too, F'(c)_i = M mu_i if not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc
from ufl.algorithms import expand_derivatives
from ufl.algorithms.map_integrands import map_integrand_dags
from ufl.constantvalue import ConstantValue
from ufl.core.multiindex import FixedIndex
from ufl.corealg.multifunction import MultiFunction
from ufl.corealg.traversal import traverse_unique_terminals
from ufl.tensors import ListTensor

from .by_region import ByRegion
from .conditions import Conditions
from .formulation import ConcentrationPotential, Functional, parts
from .free_energy import Gradient, Term
from .operators import AssembledOperators, compile_form
from .parallel import global_sum
from .place import Place
from .pointwise import LocalMobility, has_gradient
from .vertexwise import LINEAR_VARIATION, LocalVariation, implicit_part

Array = np.ndarray

SMALL = 5_000  # values of c; factors then cost no more than what surrounds them


class EliminatedOperators:
    """Residual and Jacobian for c alone (`operators.Operators`); u is left at (c, mu(c)).

    block:           unknowns at a vertex
    jacobian_matrix: acts on vectors of c without entries
    curvature:       M H, (vertices, n, n), at the state of the last Jacobian
    kappa, mobility: kappa_ij and L_ij, (n, n); None for an L that depends on composition, place or temperature
    """

    def __init__(self, formulation: ConcentrationPotential, conditions: Conditions, imposed: list[tuple[int, Any, Any]]) -> None:
        self.formulation, self._conditions = formulation, conditions
        self.n = self.block = formulation.n
        self.comm, self._imposed = formulation.comm, imposed
        self.space = formulation.c_before.function_space
        self.volume = formulation.volume[:, None]
        self.held_c, self.held_mu = conditions.held[:, formulation.concentration_rows], conditions.held[:, formulation.potential_rows]
        self._c, self._mu, self._c_old = (fem.Function(self.space) for _ in range(3))
        self._local, self.kappa, self._rest = self._sorted_terms()
        self.mobility = _constant_mobility(formulation)
        v = parts(ufl.TestFunction(self.space))
        self._fluxes = None if self.mobility is not None else self._assembled(formulation.flux_balance(v))
        self._exchange = self._assembled(formulation.exchange_balance(v, imposed))
        self._column = self.stiffness.createVecRight(), self.stiffness.createVecLeft()
        self._size = self.volume.size * self.n
        shape = (len(self.volume), self.n)
        self._work, self._scaled = (np.empty(shape), np.empty(shape)), np.empty(shape[0])  # making room takes longer than filling it
        self._held, self._held_force = np.nonzero(self.held_c), np.nonzero(self.held_mu & ~self.held_c)
        self.is_open = bool(global_sum(self.comm, int(self.held_mu.any())))
        self.is_small = self.space.dofmap.index_map.size_global * self.n < SMALL
        self.is_closed = not self.is_open and self._exchange is None
        self.jacobian_matrix = PETSc.Mat().createPython(((self._size, None),) * 2, self, comm=self.comm)
        self.jacobian_matrix.setBlockSize(self.n)
        self.jacobian_matrix.setUp()
        self.preconditioner_matrix = self.jacobian_matrix

    # -- set-up ---------------------------------------------------------------------------------------------------------------

    def _sorted_terms(self) -> tuple[LocalVariation, Array, _Assembled | None]:
        """The terms without gradients; kappa of `Gradient`; what is left, assembled."""
        formulation = self.formulation
        model, scheme, n = formulation.model, formulation.scheme, self.n
        local, kappa, rest = [], np.zeros((n, n)), []
        for term in model.free_energy:
            if isinstance(term, Gradient) and model.temperature is None:
                kappa += _gradient_coefficients(term, model.names)
            elif _is_local(term, formulation):
                local.append(term)
            else:
                rest.append(term)
        composition = model.composition([0.0] * n)
        ratio = model.ratio(**formulation.place_and_time)
        others = Functional(
            replace(model, free_energy=tuple(rest)),
            formulation.geometry,
            self.space,
            lambda u: model.composition(parts(u), **formulation.place_and_time),
            lambda u: None,
            ratio,
        )
        self._energy_of_rest, assembled = None, None
        if not others.is_empty:
            self._energy_of_rest = compile_form(others.value(model.composition(parts(self._c), **formulation.place_and_time), None))
            assembled = _Assembled(scheme.variation(others, self._c, self._c_old), self._c, None)
        return LocalVariation(local, composition, scheme), kappa, assembled

    def _assembled(self, form: Any) -> _Assembled | None:
        """A form of the formulation's u as one of c and mu."""
        if isinstance(form, int):
            return None
        formulation = self.formulation
        c, mu, old = (list(parts(function)) for function in (self._c, self._mu, self._c_old))
        given = {formulation.u: ufl.as_vector([*c, *mu]), formulation.u_old: ufl.as_vector([*old, *mu])}
        return _Assembled(ufl.replace(form, given), self._c, self._mu)

    def weighted_stiffness(self, weights: Array) -> PETSc.Mat:
        """(g grad v_k, grad v_l) of one species with values of g at the owned vertices."""
        form, g = self._weighted
        _put(g, weights)
        return _assembled_matrix(form)

    @cached_property
    def stiffness(self) -> PETSc.Mat:
        """K_kl = (grad v_k, grad v_l) of one species"""
        return _assembled_matrix(compile_form(self._products_of_gradients * self.formulation.gradient_dx))

    @cached_property
    def _weighted(self) -> tuple[Any, fem.Function]:
        g = fem.Function(self.formulation.scalar_space)
        return compile_form(g * self._products_of_gradients * self.formulation.lumped), g

    @property
    def _products_of_gradients(self) -> Any:
        space = self.formulation.scalar_space
        return ufl.inner(ufl.grad(ufl.TrialFunction(space)), ufl.grad(ufl.TestFunction(space)))

    def nodal_mobility(self) -> Array:
        """L at the state of u, (vertices, n, n); what has a value for each region with the largest one."""
        if self.mobility is not None:
            return np.broadcast_to(self.mobility, (len(self.volume), self.n, self.n))
        c, ratio = self.formulation.fields[:, : self.n], self._place_and_time[2]
        return np.moveaxis(self._local_mobility.matrix(c.T, ratio), 2, 0)

    @cached_property
    def _local_mobility(self) -> LocalMobility:
        model = self.formulation.model
        return LocalMobility(model.mobility, model.composition([0.0] * self.n))

    @cached_property
    def whole(self) -> AssembledOperators:
        """The same equations for (c, mu), assembled: what LU factors are made of."""
        formulation = self.formulation
        residual = formulation.residual(self._imposed)
        return AssembledOperators(formulation.u, residual, formulation.jacobian(residual), self._conditions.fixed, formulation.changed)

    @property
    def step(self) -> float:
        """dt/a_0; infinite for a steady state."""
        a0 = float(self.formulation.a0.value)
        return float(self.formulation.dt.value) / a0 if a0 else np.inf

    @property
    def place_in_time(self) -> tuple[float, float]:
        """The time of the step and its dt/a_0."""
        return float(self.formulation.time.value), self.step

    def linearise_at(self, place: Place) -> None:
        """Bring the formulation to a place, and the Jacobian. Collective."""
        place.restore(self.formulation)
        x = self.vector()
        x.array_w[:] = self.unknowns(place.u.ravel())
        self.jacobian(x)

    # -- the residual ---------------------------------------------------------------------------------------------------------

    def unknowns(self, values: Array) -> Array:
        c: Array = values.reshape(-1, 2 * self.n)[:, : self.n].ravel()
        return c

    def vector(self) -> PETSc.Vec:
        return PETSc.Vec().createMPI((self._size, None), bsize=self.n, comm=self.comm)

    def residual(self, x: PETSc.Vec, r: PETSc.Vec) -> None:
        c = x.array_r.reshape(-1, self.n)
        self._see(c)
        force, given = self._force(c), self._held_values()
        mu = force / self.volume
        mu[self.held_mu] = given[:, self.n :][self.held_mu]
        fields = self.formulation.fields
        fields[:, : self.n], fields[:, self.n :] = c, mu
        self.formulation.changed()
        rows = self._mass_balance(c, mu)
        vertices, held = self._held_force[0], self._held_force
        rows[held] = force[held] - self.volume[vertices, 0] * mu[held]
        vertices, held = self._held[0], self._held
        rows[held] = self.volume[vertices, 0] * (c - given[:, : self.n])[held]
        r.array_w[:] = rows.ravel()

    def balance(self) -> Array:
        fields = self.formulation.fields
        c, mu = fields[:, : self.n].copy(), fields[:, self.n :].copy()
        self._see(c)
        return np.hstack([self._force(c) - self.volume * mu, self._mass_balance(c, mu)]).ravel()

    def _see(self, c: Array) -> None:
        """Bring to the assembled forms, if there are any, the state at which they are evaluated."""
        if any(part is not None for part in (self._rest, self._fluxes, self._exchange)):
            _put(self._c, c)
            _put(self._c_old, self.formulation.old_concentrations)

    def _force(self, c: Array) -> Array:
        """F'(c), (vertices, n)"""
        force = self.volume * self._local.potential(c.T, self.formulation.old_concentrations.T, *self._place_and_time).T
        if self.kappa.any():
            self._add_stiffness(
                self.kappa, self.formulation.scheme.variation(LINEAR_VARIATION, c, self.formulation.old_concentrations), force
            )
        if self._rest is not None:
            force += self._rest.vector()
        return force

    def _mass_balance(self, c: Array, mu: Array) -> Array:
        """R at any c and mu, (vertices, n)"""
        formulation = self.formulation
        before = formulation.c_before.x.array[: self._size].reshape(-1, self.n)
        rows = float(formulation.a0.value) * self.volume * (c - before)
        if self.mobility is not None:
            self._add_stiffness(float(formulation.dt.value) * self.mobility, mu, rows)
        for part in (self._fluxes, self._exchange):
            if part is not None:
                _put(self._mu, mu)
                rows += part.vector()
        return rows

    @property
    def _place_and_time(self) -> tuple[Array, float, Array]:
        formulation = self.formulation
        t = float(formulation.time.value)
        return formulation.x, t, formulation.model.ratio_at(formulation.x, t)

    def _held_values(self) -> Array:
        return self._conditions.held_values() if self.held_mu.any() else np.zeros((len(self.volume), 2 * self.n))

    def _add_stiffness(self, matrix: Array, values: Array, rows: Array) -> None:
        """rows_i += sum_j A_ij K v_j, (vertices, n)"""
        x, y = self._column
        for j, column in enumerate(matrix.T):
            x.array_w[:] = values[:, j]
            self.stiffness.mult(x, y)
            for i in np.flatnonzero(column):
                product, sum_i = y.array_r, rows[:, i]
                sum_i += product if column[i] == 1.0 else np.multiply(product, column[i], out=self._scaled)

    # -- the Jacobian ---------------------------------------------------------------------------------------------------------

    def jacobian(self, x: PETSc.Vec) -> None:
        c = x.array_r.reshape(-1, self.n)
        self._see(c)
        H = self._local.hessian(c.T, self.formulation.old_concentrations.T, *self._place_and_time)
        self.curvature = self.volume[:, :, None] * np.moveaxis(H, 2, 0)
        for part in (self._rest, self._fluxes, self._exchange):
            if part is not None:
                part.linearise()
        self.jacobian_matrix.assemble()

    def mult(self, matrix: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = R'(c) x, as PETSc asks."""
        dc, rows = x.array_r.reshape(-1, self.n), y.array_w.reshape(-1, self.n)
        force, dmu = self._work
        self._second_variation(dc, force)
        np.divide(force, self.volume, out=dmu)
        if self.is_open:
            dmu[self.held_mu] = 0.0
        np.multiply(self.volume, dc, out=rows)
        rows *= float(self.formulation.a0.value)
        if self.mobility is not None:
            self._add_stiffness(float(self.formulation.dt.value) * self.mobility, dmu, rows)
        for part in (self._fluxes, self._exchange):
            if part is not None:
                rows += part.derivative(dc, dmu)
        rows[self._held_force] = force[self._held_force]
        rows[self._held] = self.volume[self._held[0], 0] * dc[self._held]

    def _second_variation(self, dc: Array, force: Array) -> None:
        """force = F''(c) dc of the scheme, (vertices, n)"""
        if self.n > 1:
            np.einsum("vij,vj->vi", self.curvature, dc, out=force)
        else:
            np.multiply(self.curvature[:, 0], dc, out=force)
        if self.kappa.any():
            self._add_stiffness(self.implicit * self.kappa, dc, force)
        if self._rest is not None:
            force += self._rest.derivative(dc)

    def second_variation_diagonal(self) -> Array:
        """Of F'' without what is assembled, (vertices, n)"""
        own: Array = (
            np.diagonal(self.curvature, axis1=1, axis2=2)
            + self.implicit * np.diag(self.kappa) * self.stiffness.getDiagonal().array_r[:, None]
        )
        return own

    @cached_property
    def implicit(self) -> float:
        return implicit_part(self.formulation.scheme)

    # -- numbers --------------------------------------------------------------------------------------------------------------

    def energy(self) -> float:
        """F at u, in units of RT_ref. Collective."""
        c = self.formulation.fields[:, : self.n].copy()
        f = self._local.density(c.T, *self._place_and_time)
        own = float(self.volume[:, 0] @ f)
        if self.kappa.any():
            force = np.zeros_like(c)
            self._add_stiffness(self.kappa, c, force)
            own += 0.5 * float(np.sum(c * force))
        if self._energy_of_rest is not None:
            _put(self._c, c)
            own += float(fem.assemble_scalar(self._energy_of_rest).real)
        return float(global_sum(self.comm, own))

    def dissipation(self) -> float:
        """-sum_i int J_i . grad mu_i dx at u. Collective."""
        fields = self.formulation.fields
        mu = fields[:, self.n :].copy()
        if self.mobility is not None:
            rows = np.zeros_like(mu)
            self._add_stiffness(self.mobility, mu, rows)
            return float(global_sum(self.comm, np.sum(mu * rows)))
        assert self._fluxes is not None
        self._see(fields[:, : self.n].copy())
        _put(self._mu, mu)
        return float(global_sum(self.comm, np.sum(mu * self._fluxes.vector()))) / float(self.formulation.dt.value)


class _Assembled:
    """A form of (c, mu) as numbers at the owned vertices, and its derivatives as matrices."""

    def __init__(self, form: Any, c: fem.Function, mu: fem.Function | None) -> None:
        self._form = compile_form(form)
        space = c.function_space
        self._n = space.dofmap.index_map_bs
        self._owned = space.dofmap.index_map.size_local * self._n
        self._values = la.vector(space.dofmap.index_map, self._n)
        self._derivatives = [self._prepared(form, c), None if mu is None else self._prepared(form, mu)]

    @staticmethod
    def _prepared(form: Any, function: fem.Function) -> tuple[Any, PETSc.Mat] | None:
        """The derivative by a function and its matrix, or None where the form does not depend on it."""
        derivative = expand_derivatives(ufl.derivative(form, function, ufl.TrialFunction(function.function_space)))
        expanded = map_integrand_dags(_Picked(), derivative)
        if expanded.empty():
            return None
        compiled = compile_form(expanded)
        return compiled, fem_petsc.create_matrix(compiled)

    def vector(self) -> Array:
        values = self._values
        values.array[:] = 0.0
        fem.assemble_vector(values.array, self._form)
        values.scatter_reverse(la.InsertMode.add)
        return values.array[: self._owned].reshape(-1, self._n).copy()

    def linearise(self) -> None:
        """Take the derivatives at the state that c and mu hold."""
        for derivative in self._derivatives:
            if derivative is not None:
                form, matrix = derivative
                matrix.zeroEntries()
                fem_petsc.assemble_matrix(matrix, form)
                matrix.assemble()

    def derivative(self, *directions: Array) -> Array:
        """Along dc and dmu, (vertices, n)"""
        total: Array = np.zeros_like(directions[0])
        for derivative, direction in zip(self._derivatives, directions, strict=False):
            if derivative is not None:
                x, y = derivative[1].createVecs()
                x.array_w[:] = direction.ravel()
                derivative[1].mult(x, y)
                total += y.array_r.reshape(-1, self._n)
                x.destroy(), y.destroy()
        return total


class _Picked(MultiFunction):
    """Takes entries out of the lists in which they stand: UFL sees only then that a product is zero."""

    expr = MultiFunction.reuse_if_untouched

    def indexed(self, indexed: Any, operand: Any, indices: Any) -> Any:
        if isinstance(operand, ListTensor) and isinstance(indices[0], FixedIndex):
            entry = operand.ufl_operands[int(indices[0])]
            return entry if len(indices) == 1 else entry[tuple(indices)[1:]]
        return self.reuse_if_untouched(indexed, operand, indices)


def combined(matrix: Array, values: Array) -> Array:
    """sum_j A_ij v_j of values (vertices, n); numpy's product with a matrix of one entry is slow."""
    product: Array = values * matrix[0, 0] if matrix.size == 1 else values @ matrix.T
    return product


def _put(function: fem.Function, values: Array) -> None:
    function.x.array[: values.size] = values.ravel()
    function.x.scatter_forward()


def _assembled_matrix(form: Any) -> PETSc.Mat:
    """Without its zeros: at right angles gradients have no product, and on a box that is half of all entries."""
    matrix = fem_petsc.assemble_matrix(form)
    matrix.assemble()
    starts, columns, values = matrix.getValuesCSR()
    there = np.abs(values) > 1e-14 * np.abs(values).max(initial=0.0)
    counts = np.append(0, np.cumsum(there))[starts].astype(PETSc.IntType)
    compressed = PETSc.Mat().createAIJ(matrix.getSizes(), csr=(counts, columns[there], values[there]), comm=matrix.comm)
    matrix.destroy()
    return compressed


def _is_local(term: Term, formulation: ConcentrationPotential) -> bool:
    """Whether the density is a function of composition, place, time and temperature at one point."""
    if has_gradient(term, formulation.model.composition([0.0] * formulation.n)) or any(isinstance(value, ByRegion) for _, value in term):
        return False
    try:
        LocalVariation([term], formulation.model.composition([0.0] * formulation.n), formulation.scheme)
    except TypeError:
        return False
    return True


def _gradient_coefficients(term: Gradient, names: Sequence[str]) -> Array:
    """kappa_ij of sum_ij kappa_ij/2 grad c_i . grad c_j; the closing component has grad c_0 = -sum_i grad c_i."""
    if not isinstance(term.kappa, dict):
        return float(term.kappa) * np.eye(len(names))
    total: Array = np.zeros((len(names), len(names)))
    for name, kappa in term.kappa.items():
        if name in names:
            total[names.index(name), names.index(name)] += float(kappa)
        else:
            total += float(kappa)
    return total


def _constant_mobility(formulation: ConcentrationPotential) -> Array | None:
    """L if it is numbers."""
    entries = [ufl.as_ufl(entry) for row in formulation.mobility.matrix(formulation.flux_composition()) for entry in row]
    terminals = {terminal for entry in entries for terminal in traverse_unique_terminals(entry)}
    if not all(isinstance(terminal, (ufl.Constant, ConstantValue)) for terminal in terminals):
        return None
    model = formulation.model
    return LocalMobility(model.mobility, model.composition([0.0] * formulation.n)).matrix(np.zeros(formulation.n))
