"""What every formulation has: one block of unknowns at each vertex, the mass balances, and the numbers that describe a state.

Find the unknowns such that for all continuous, piecewise linear test functions v_i

    (a_0 c_i^{n+1} + a_1 c_i^n + a_2 c_i^{n-1}, v_i)_h - dt (J_i, grad v_i) = dt (R_i, v_i)_h - dt <J_i.n, v_i>

which is a_0 (c_i^{n+1} - c_i^n) + a_2 (c_i^{n-1} - c_i^n) in the first place, since the weights add up to zero: so a state at rest stays to the
last bit. ( , )_h is the vertex rule. Lumping makes the local energy a function of each vertex' own composition: a logarithm then keeps c inside its
bounds at every vertex. (Unlumped forms lose bounds in unresolved layers.) With charges the electric potential phi is the last unknown of a block,
and its row is the Poisson equation dF/dphi = 0:

    (eps grad phi, grad v) - (rho, v)_h - <surface charges, v> = 0
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import ufl
from dolfinx import fem, la

from .. import compat
from ..errors import InputError, did_you_mean
from ..mesh import Geometry
from ..mobility import forces
from ..operators import compile_form
from ..pointwise import LocalDensity, PlacedPotential
from ..state import Composition, Expr
from ..time_scheme import TimeScheme
from .model import VERTEX_RULE, Functional, Model, blocked, gradient_degree, parts, with_constants


class Formulation(ABC):
    """The unknown vector u, one block per vertex, and the equations for it.

    fields_per_species: unknown fields of each species (1 or 2)
    mass_rows:          position in a block of the mass balances' rows
    concentration_rows, potential_rows: where c_i and mu_i stand as unknowns, None where they do not
    """

    name: ClassVar[str]
    description: ClassVar[str]
    fields_per_species: ClassVar[int] = 1
    dissipates: ClassVar[bool] = True
    """Whether the discrete free energy of an isolated system falls, as the equations' own does."""
    is_consistent: ClassVar[bool] = True
    """Whether mu at the end of a step is that of the end, not one between two states."""

    def __init__(self, model: Model, geometry: Geometry, scheme: TimeScheme, density: LocalDensity) -> None:
        self.model, self.geometry, self.scheme, self.density = model, geometry, scheme, density
        self.placed = PlacedPotential(model.free_energy, model.composition([0.0] * len(model.names)))
        mesh = geometry.mesh
        self.n = len(model.names)
        self.block = self.fields_per_species * self.n + model.charged
        self.space, nodal = blocked(mesh, self.block), blocked(mesh, self.n)
        self.scalar_space = self.space if self.block == 1 else self.space.sub(0).collapse()[0]
        self.comm = mesh.comm
        self.vertices = self.space.dofmap.index_map.size_local
        self.u, self.u_old = fem.Function(self.space), fem.Function(self.space)
        self.c_before = fem.Function(nodal)  # c^n + a_2/a_0 (c^n - c^{n-1})
        self.dt, self.time, self.a0 = (fem.Constant(mesh, 0.0) for _ in range(3))
        self.place_and_time = {"x": ufl.SpatialCoordinate(mesh), "t": self.time}
        ratio = model.ratio(**self.place_and_time)
        self.mobility = with_constants(model.mobility, geometry).at_temperature(ratio)
        self.energy = Functional(model, geometry, self.space, self.c, self.phi, ratio)
        self.lumped = geometry.dx(VERTEX_RULE)
        self.dx = geometry.dx(self._flux_rule())
        self._region_weights: dict[str, np.ndarray] = {}

    @property
    def gradient_dx(self) -> Any:
        """The measure that is exact for products of gradients."""
        return self.geometry.dx({"quadrature_degree": gradient_degree(self.geometry.mesh)})

    def _flux_rule(self) -> dict[str, Any]:
        return {"quadrature_degree": max(self.model.mobility.quadrature_degree, gradient_degree(self.geometry.mesh))}

    # -- equations ------------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def mass_rows(self) -> slice: ...

    @property
    def concentration_rows(self) -> slice | None:
        return None

    @property
    def potential_rows(self) -> slice | None:
        return None

    @property
    def phi_row(self) -> int | None:
        """Where the electric potential stands, and the Poisson equation."""
        return self.block - 1 if self.model.charged else None

    @abstractmethod
    def c(self, u: Expr) -> Composition:
        """The concentrations as UFL."""

    @abstractmethod
    def mu(self, u: Expr) -> tuple[Expr, ...]:
        """The chemical potentials as UFL, in units of RT."""

    def phi(self, u: Expr) -> Expr:
        """The electric potential as UFL, in units of RT_ref/F; None without charges."""
        return None if self.phi_row is None else parts(u)[self.phi_row]

    @abstractmethod
    def fluxes(self, u: Expr, c: Composition) -> list[Expr]:
        """J_i at the state u, with the mobility at c."""

    def forces(self, u: Expr, c: Composition) -> list[Expr]:
        """The thermodynamic forces d_i = sum_j S_ij grad mu_j (`mobility.forces`)."""
        return forces(c, [ufl.grad(mu) for mu in self.mu(u)], self.model.closed)

    def flux_composition(self) -> Composition:
        """Where the mobility and the sources are evaluated."""
        return self.c(self.u)

    def residual(self, imposed: Sequence[tuple[int, Expr, Any]] = ()) -> Expr:
        """The equations of one step, times dt, as a UFL form.

        imposed: (species index, outward flux J.n as UFL, boundary measure) for every boundary with a given flux or exchange
        """
        tests = parts(ufl.TestFunction(self.space))
        v = tests[self.mass_rows]
        c, c_before = self.c(self.u), parts(self.c_before)
        F = self.flux_balance(v) + self.exchange_balance(v, imposed)
        for i in range(self.n):
            F += self.a0 * (c[i] - c_before[i]) * v[i] * self.lumped
        if self.phi_row is not None:
            F += self.energy.poisson(c, self.phi(self.u), tests[self.phi_row])
        return F

    def flux_balance(self, v: Sequence[Expr]) -> Expr:
        """-dt (J_i, grad v_i)"""
        J = self.fluxes(self.u, self.flux_composition())
        return -self.dt * sum(ufl.inner(J_i, ufl.grad(v_i)) for J_i, v_i in zip(J, v, strict=True)) * self.dx

    def exchange_balance(self, v: Sequence[Expr], imposed: Sequence[tuple[int, Expr, Any]]) -> Expr:
        """-dt (R_i, v_i)_h + dt <J_i.n, v_i>; the number 0 where there is neither."""
        at = self.flux_composition()
        sources = ((self.model.names.index(name), source(at)) for name, source in self.model.source.items())
        inside = sum(-self.dt * R_i * v[i] * self.lumped for i, R_i in sources)
        return sum((self.dt * outward * v[i] * ds for i, outward, ds in imposed), start=inside)

    def jacobian(self, residual: Expr) -> Expr:
        return ufl.derivative(residual, self.u, ufl.TrialFunction(self.space))

    def free_energy(self) -> Expr:
        """F of the state u as a UFL form."""
        return self.energy.value(self.c(self.u), self.phi(self.u))

    def dissipation_density(self) -> Expr:
        """-sum_i J_i . grad mu_i = grad mu . L grad mu"""
        J = self.fluxes(self.u, self.flux_composition())
        return -sum(ufl.inner(Ji, ufl.grad(mu)) for Ji, mu in zip(J, self.mu(self.u), strict=True))

    # -- states as numbers ----------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> np.ndarray:
        """The owned unknowns (vertices, block); a view."""
        return self.u.x.array[: self.vertices * self.block].reshape(-1, self.block)

    @property
    def owned(self) -> int:
        """How many unknowns this rank owns."""
        return self.vertices * self.block

    @property
    def concentrations(self) -> np.ndarray:
        """c at the owned vertices, (vertices, n)."""
        return self.all_concentrations()[: self.vertices]

    @property
    def components(self) -> np.ndarray:
        """All fractions at the owned vertices, what closes their sum to one last, (vertices, n + 1)."""
        c = self.concentrations
        return np.column_stack([c, self.model.rest(c)])

    @abstractmethod
    def all_concentrations(self) -> np.ndarray:
        """c at all vertices of this rank, ghosts included, (vertices + ghosts, n)."""

    @abstractmethod
    def set_concentrations(self, c: np.ndarray) -> None:
        """Put concentrations (vertices, n) into u, on all ranks that need them; the potentials may have to be made consistent."""

    def all_phi(self) -> np.ndarray:
        """phi at all vertices of this rank, (vertices + ghosts,); zero without charges."""
        values = self.u.x.array.reshape(-1, self.block)
        return np.zeros(len(values)) if self.phi_row is None else values[:, self.phi_row]

    def set_phi(self, phi: np.ndarray) -> None:
        """Put phi (vertices,) into u, the concentrations unchanged."""
        self.fields[:, self.phi_row] = phi
        self.changed()

    def changed(self) -> None:
        """To be called after owned values of u were set: all that follows from them is made to fit, on all ranks. Collective."""
        self.u.x.scatter_forward()

    def at_time(self, t: float) -> None:
        """Set the time on which fields and boundary data depend."""
        self.time.value = t

    @abstractmethod
    def all_potentials(self) -> np.ndarray:
        """mu at all vertices of this rank, (vertices + ghosts, n), in units of RT."""

    def limit(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Change Newton's direction y at the iterate x (the update is -y) so that x - y is admissible; whether it had to be shortened."""
        return False

    def guess(self, values: np.ndarray, extrapolated: np.ndarray) -> np.ndarray:
        """Unknowns (flat) from which Newton's method starts: the last ones moved to those that extrapolation predicts, as far as is wise."""
        return extrapolated

    def potential_of(self, c: np.ndarray, x: np.ndarray, t: float, phi: np.ndarray | float = 0.0) -> np.ndarray:
        """mu_i = df/dc_i of the local energy at compositions c (n, m), places x (3, m) and electric potentials, in units of RT: (n, m)."""
        ratio = self.model.ratio_at(x, t)
        return self.density.potential(c, ratio) + self.placed.potential(c, x, t, ratio, phi)

    def external_potential(self, x: np.ndarray, t: float, phi: np.ndarray | float = 0.0) -> np.ndarray:
        """The part of mu_i that depends on the place and the electric potential alone, (n, m)."""
        return self.placed.potential(np.full((self.n, x.shape[1]), 0.5 / self.n), x, t, self.model.ratio_at(x, t), phi)

    # -- places and volumes ---------------------------------------------------------------------------------------------------

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
        """What belongs to each owned vertex of the domain that matter may enter: the row sums of the mass matrix. Zero inside dielectrics."""
        return self.assembled(ufl.TestFunction(self.scalar_space) * self.lumped)

    @cached_property
    def whole_volume(self) -> np.ndarray:
        """The same with the dielectrics: positive everywhere."""
        return self.assembled(ufl.TestFunction(self.scalar_space) * self.geometry.everywhere(VERTEX_RULE))

    def per_volume(self, integrals: np.ndarray) -> np.ndarray:
        """Values (vertices, ...) whose integrals those are at each vertex; zero where there is no matter."""
        volume = self.volume.reshape(-1, *(1,) * (integrals.ndim - 1))
        return np.divide(integrals, volume, out=np.zeros_like(integrals), where=volume > 0)

    @cached_property
    def has_matter(self) -> np.ndarray:
        """Which vertices of this rank, ghosts included, do not lie strictly inside dielectrics, (vertices + ghosts,)."""
        matter = fem.Function(self.scalar_space)
        matter.x.array[: self.vertices] = self.volume > 0
        matter.x.scatter_forward()
        mask: np.ndarray = matter.x.array > 0.5
        return mask

    def region_weights(self, region: str) -> np.ndarray:
        """The part of each vertex' volume that lies in a region; InputError for an unknown name, or a dielectric."""
        regions = self.geometry.regions
        if region in self.geometry.dielectrics:
            legal = ", ".join(self.geometry.matter)
            raise InputError(f"region '{region}' is one of the dielectrics, which no species enters; legal: {legal}")
        if region not in regions:
            legal = did_you_mean(region, regions) or "; it names none: give its surfaces (3D: volumes) physical names in gmsh"
            raise InputError(f"there is no region '{region}' in the mesh{legal}")
        if region not in self._region_weights:  # asked for whenever the values of a boundary are set
            self._region_weights[region] = self.assembled(ufl.TestFunction(self.scalar_space) * self.lumped(regions[region]))
        return self._region_weights[region]

    def assembled(self, form: Any) -> np.ndarray:
        """A form's vector at the owned vertices."""
        return self.assembled_vector(compile_form(form))

    def assembled_vector(self, compiled: Any) -> np.ndarray:
        """The same of a form that is compiled."""
        vector = la.vector(self.scalar_space.dofmap.index_map, 1)
        fem.assemble_vector(vector.array, compiled)
        vector.scatter_reverse(la.InsertMode.add)
        return vector.array[: self.vertices].copy()

    def place(self, vertex: int, length: float = 1.0) -> str:
        """The coordinates of an owned vertex as a user reads them; `length` is that of one solver unit."""
        size = float(np.abs(self.x).max())
        x = self.x[: self.geometry.dimension, vertex]
        return "(" + ", ".join(f"{value * length:.4g}" for value in np.where(np.abs(x) < 1e-12 * size, 0.0, x)) + ")"
