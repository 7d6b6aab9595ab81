"""The discrete equations: mass-lumped P1 elements for (c, mu), all variations and Jacobians derived from the energy densities.

Find c_i, mu_i (continuous, piecewise linear) such that for all test functions v_i, q_i

    (sum_k a_k c_i^{n+1-k}, v_i)_h + dt (L_ij grad mu_j, grad v_i) = dt (R_i, v_i)_h - dt <J_i.n, v_i>
    <F'(c), q> - (mu_i, q_i)_h = 0

( , )_h is the vertex rule. Lumping makes the local energy a function of each vertex' own composition: a logarithm then keeps c inside its
bounds at every vertex, and mass is exact to round-off, because c is an unknown. (Measured against entropy variables, logarithms and unlumped
forms: those lose the energy law with a gradient term, or bounds in unresolved layers.)

The potential equation stands in the rows of c and the mass balance in the rows of mu: fixing mu at a reservoir then frees the mass balance there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import ufl
from dolfinx import fem, la

from . import compat
from .errors import InputError, did_you_mean
from .free_energy import Term
from .mesh import Geometry
from .mobility import Mobility
from .operators import compile_form
from .pointwise import is_local
from .record import Record
from .state import Composition, Expr
from .time_scheme import TimeScheme

RecordT = TypeVar("RecordT", bound=Any)

VERTEX_RULE = {"quadrature_rule": "vertex", "quadrature_degree": 1}


@dataclass(frozen=True)
class Model:
    """A free energy and a mobility, for named species; all numbers in solver units.

    surface_energy: terms integrated over a named boundary (wetting)
    source:         R_i(c, x, t) by species, a function of (Composition, x, t) to UFL
    """

    names: tuple[str, ...]
    free_energy: tuple[Term, ...]
    mobility: Mobility
    balance: str | None = None
    surface_energy: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def composition(self, values: Sequence[Expr]) -> Composition:
        return Composition(self.names, tuple(values), self.balance)

    @property
    def positive(self) -> frozenset[str]:
        """Components that must stay positive, because some term takes their logarithm."""
        c = self.composition([0.0] * len(self.names))
        return frozenset(name for term in self.free_energy for name in term.positive(c))


def with_constants(record: RecordT, mesh: Any) -> RecordT:
    """The same record with every number as a Constant, so that compiled code serves all values of a parameter."""
    if isinstance(record, float):
        return fem.Constant(mesh, float(record))
    if isinstance(record, Record):
        return record.model_copy(update={name: with_constants(value, mesh) for name, value in record})  # type: ignore[return-value]
    if isinstance(record, dict):
        return {key: with_constants(value, mesh) for key, value in record.items()}  # type: ignore[return-value]
    return record


class Functional:
    """F[c] = sum int f_k dx + sum int g_k ds, its value and its variation at any state, on a function space for u = (c, mu)."""

    def __init__(self, model: Model, geometry: Geometry, space: Any) -> None:
        mesh = geometry.mesh
        self._n = len(model.names)
        self._composition = model.composition
        self._at = fem.Function(space)  # stands for the state in the variation; replaced by any expression
        q = ufl.split(ufl.TestFunction(space))
        zero = ufl.as_ufl(0.0)
        self._direction = ufl.as_vector([*q[: self._n], *[zero] * self._n])
        lumped = ufl.Measure("dx", domain=mesh, metadata=VERTEX_RULE)
        exact = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": gradient_degree(mesh)})
        walls = ufl.Measure("ds", domain=mesh, subdomain_data=geometry.facet_tags, metadata={"quadrature_degree": 4})

        c = self._c(self._at)
        self._terms: list[tuple[Term, Any]] = []
        for term in model.free_energy:
            self._terms.append((with_constants(term, mesh), lumped if is_local(term, c) else exact))
        for boundary, surface_terms in model.surface_energy.items():
            for term in surface_terms:
                self._terms.append((with_constants(term, mesh), walls(geometry.boundaries[boundary])))

    def _c(self, u: Any) -> Composition:
        return self._composition(ufl.split(u)[: self._n])

    @property
    def gauss_points(self) -> frozenset[int]:
        return frozenset(term.gauss_points for term, _ in self._terms)

    def value(self, u: Any) -> Expr:
        """F as a UFL form."""
        c = self._c(u)
        return sum(term.density(c, None) * measure for term, measure in self._terms)

    def __call__(self, u: Expr, part: str = "whole", gauss_points: int | None = None) -> Expr:
        """<F'(u), q>, of the whole energy or its "convex" or "concave" part, of all terms or those that ask for so many Gauss points."""
        c = self._c(self._at)
        form = 0
        for term, measure in self._terms:
            if gauss_points in (None, term.gauss_points):
                form += _part(term, c, part) * measure
        return ufl.replace(ufl.derivative(form, self._at, self._direction), {self._at: u})


def _part(term: Term, c: Composition, part: str) -> Expr:
    if part == "whole":
        return term.density(c, None)
    convex = term.convex_part(c, None)
    if convex is None:
        raise InputError(
            f"[time] scheme = 'convex-split' needs the convex part of every term, and {term.label} has none: "
            "give it a method convex_part, or take scheme = 'avf' or 'backward-euler'"
        )
    return convex if part == "convex" else term.density(c, None) - convex


def gradient_degree(mesh: Any) -> int:
    """Quadrature degree that is exact for |grad c|^2 of P1 functions: constant on straight simplices only."""
    simplex = mesh.topology.cell_name() in ("interval", "triangle", "tetrahedron")
    straight = mesh.ufl_domain().ufl_coordinate_element().embedded_superdegree == 1
    return 0 if simplex and straight else 4


class ConcentrationPotential:
    """The unknown vector u = (c_1..c_n, mu_1..mu_n), one block per vertex, and the equations for it."""

    def __init__(self, model: Model, geometry: Geometry, scheme: TimeScheme) -> None:
        self.model, self.geometry, self.scheme = model, geometry, scheme
        mesh = geometry.mesh
        self.n = len(model.names)
        self.space = fem.functionspace(mesh, ("Lagrange", 1, (2 * self.n,)))
        self.scalar_space, _ = self.space.sub(0).collapse()
        self.comm = mesh.comm
        self.vertices = self.space.dofmap.index_map.size_local
        self.u, self.u_old, self.u_older = (fem.Function(self.space) for _ in range(3))
        self.dt, self.time, *self.a = (fem.Constant(mesh, 0.0) for _ in range(5))
        self.energy = Functional(model, geometry, self.space)
        self._mobility = with_constants(model.mobility, mesh)
        self._lumped = ufl.Measure("dx", domain=mesh, metadata=VERTEX_RULE)
        degree = max(model.mobility.quadrature_degree, gradient_degree(mesh))
        self._dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": degree})

    def c(self, u: Any) -> Composition:
        return self.model.composition(ufl.split(u)[: self.n])

    def mu(self, u: Any) -> tuple[Expr, ...]:
        return tuple(ufl.split(u)[self.n :])

    def fluxes(self, u: Any, c: Composition) -> list[Expr]:
        """J_i = -sum_j L_ij(c) grad mu_j(u)"""
        L = self._mobility.matrix(c)
        mu = self.mu(u)
        return [-_sum(L[i][j] * ufl.grad(mu[j]) for j in range(self.n) if not _is_zero(L[i][j])) for i in range(self.n)]

    def residual(self, imposed: Sequence[tuple[int, Expr, Any]] = ()) -> Expr:
        """The equations of one step, times dt, as a UFL form.

        imposed: (species index, outward flux J.n as UFL, boundary measure) for every boundary with a given flux
        """
        u, u_old, u_older = self.u, self.u_old, self.u_older
        test = ufl.split(ufl.TestFunction(self.space))
        q, v = test[: self.n], test[self.n :]
        dm, dx, dt = self._lumped, self._dx, self.dt

        J = self.fluxes(u, self._flux_composition())
        c, c_old, c_older = self.c(u), self.c(u_old), self.c(u_older)
        mu = self.mu(u)
        F = self.scheme.variation(self.energy, u, u_old)
        for i in range(self.n):
            F += (self.a[0] * c[i] + self.a[1] * c_old[i] + self.a[2] * c_older[i]) * v[i] * dm
            F -= dt * ufl.inner(J[i], ufl.grad(v[i])) * dx
            F -= mu[i] * q[i] * dm
        x = ufl.SpatialCoordinate(self.geometry.mesh)
        for name, source in self.model.source.items():
            F -= dt * source(self._flux_composition(), x, self.time) * v[self.model.names.index(name)] * dm
        for i, outward, ds in imposed:
            F += dt * outward * v[i] * ds
        return F

    def jacobian(self, residual: Expr) -> Expr:
        return ufl.derivative(residual, self.u, ufl.TrialFunction(self.space))

    def second_variation(self) -> Expr:
        """The symmetric matrix [[H, -M], [-M, -(dt/a_0) K_L]] of the step seen as a minimisation, mobility frozen.

        It has as many negative eigenvalues as mu has unknowns if and only if c minimises F + (distance moved)^2/2dt locally.
        """
        trial, test = ufl.split(ufl.TrialFunction(self.space)), ufl.split(ufl.TestFunction(self.space))
        dm, dx = self._lumped, self._dx
        form = ufl.derivative(self.scheme.variation(self.energy, self.u, self.u_old), self.u, ufl.TrialFunction(self.space))
        L = self._mobility.matrix(self._flux_composition())
        n = self.n
        for i in range(n):
            form -= (trial[n + i] * test[i] + trial[i] * test[n + i]) * dm
            for j in range(n):
                if not _is_zero(L[i][j]):
                    form -= self.dt / self.a[0] * L[i][j] * ufl.inner(ufl.grad(trial[n + j]), ufl.grad(test[n + i])) * dx
        return form

    def dissipation(self) -> Expr:
        """int grad mu . L grad mu dx, the rate at which F falls in an isolated system."""
        J = self.fluxes(self.u, self._flux_composition())
        return -sum(ufl.inner(Ji, ufl.grad(mu)) for Ji, mu in zip(J, self.mu(self.u), strict=True)) * self._dx

    # -- the unknown vector on this rank --------------------------------------------------------------------------------------

    @property
    def fields(self) -> np.ndarray:
        """The owned unknowns (vertices, 2n): c_1..c_n, mu_1..mu_n; a view."""
        return self.u.x.array[: self.vertices * 2 * self.n].reshape(-1, 2 * self.n)

    @property
    def concentrations(self) -> np.ndarray:
        """(vertices, n), a view."""
        return self.fields[:, : self.n]

    @cached_property
    def x(self) -> np.ndarray:
        """Where the owned vertices are, (3, vertices)."""
        return self.places[:, : self.vertices]

    @cached_property
    def places(self) -> np.ndarray:
        """Where all vertices are, ghosts included: the mesh's own coordinates, the same to the last bit on any number of ranks.

        (`tabulate_dof_coordinates` maps them from a reference cell, with other roundings in every cell.)
        """
        mesh, dofs = self.geometry.mesh, self.scalar_space.dofmap.list
        x = np.zeros((dofs.max(initial=-1) + 1, 3))
        x[dofs] = mesh.geometry.x[compat.cell_nodes(mesh)[:, : dofs.shape[1]]]
        return self.geometry.wrap(x.T)

    @cached_property
    def volume(self) -> np.ndarray:
        """The part of the domain that belongs to each owned vertex: the row sums of the mass matrix."""
        return self.assembled(ufl.TestFunction(self.scalar_space) * self._lumped)

    def region_weights(self, region: str) -> np.ndarray:
        """The part of each vertex' volume that lies in a region; InputError for an unknown name."""
        regions = self.geometry.regions
        if region not in regions:
            legal = did_you_mean(region, regions) or "; it names none: give its surfaces (3D: volumes) physical names in gmsh"
            raise InputError(f"there is no region '{region}' in the mesh{legal}")
        dx = ufl.Measure("dx", domain=self.geometry.mesh, subdomain_data=self.geometry.cell_tags, metadata=VERTEX_RULE)
        return self.assembled(ufl.TestFunction(self.scalar_space) * dx(regions[region]))

    def assembled(self, form: Any) -> np.ndarray:
        """A form's vector at the owned vertices."""
        vector = la.vector(self.scalar_space.dofmap.index_map, 1)
        fem.assemble_vector(vector.array, compile_form(form))
        vector.scatter_reverse(la.InsertMode.add)
        return vector.array[: self.vertices].copy()

    def place(self, vertex: int, length: float = 1.0) -> str:
        """The coordinates of an owned vertex as a user reads them; `length` is that of one solver unit."""
        size = float(np.abs(self.x).max())
        x = self.x[: self.geometry.dimension, vertex]
        return "(" + ", ".join(f"{value * length:.4g}" for value in np.where(np.abs(x) < 1e-12 * size, 0.0, x)) + ")"

    def _flux_composition(self) -> Composition:
        state = self.scheme.mobility_state(self.u, self.u_old)
        return self.model.composition([state[i] for i in range(self.n)])


def _is_zero(entry: Expr) -> bool:
    return isinstance(entry, int) and entry == 0


def _sum(parts: Any) -> Expr:
    parts = list(parts)
    return sum(parts[1:], start=parts[0])
