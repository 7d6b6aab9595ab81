"""A problem on its mesh: unknowns, equations, boundary data, and the numbers that describe a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import basix
import numpy as np
from dolfinx import fem
from mpi4py import MPI

from . import compat, thermodynamics
from .branch import Branch
from .conditions import Conditions
from .errors import InputError, did_you_mean
from .field import Field
from .formulation import ConcentrationPotential, Model
from .free_energy import WallEnergy
from .initial import initial_concentrations
from .mesh import Geometry, build
from .newton import Converged, Newton, Norms, NotConverged
from .operators import AssembledOperators, compile_expression, compile_form
from .parallel import global_max, global_min, global_sum
from .pointwise import LocalDensity
from .problem import Problem
from .time_scheme import SCHEMES
from .units import in_solver_units


class System:
    """All that is needed to take a step and to say what a state is. Everything inside is in solver units (`scales`)."""

    def __init__(self, problem: Problem, comm: MPI.Comm = MPI.COMM_WORLD) -> None:
        self.given, self.comm = problem, comm
        geometry = build(problem.mesh, problem.directory, comm)
        self.scales = problem.scales(_extent(geometry))
        self.geometry = _in_units_of(geometry, self.scales.length)
        self.problem = in_solver_units(problem, self.scales)
        _check_boundary_names(problem, geometry)

        self.local_density = LocalDensity(self.problem.free_energy, self.problem.composition())
        self.model = self._model()
        self.scheme = SCHEMES[problem.time.scheme]()
        self.formulation = ConcentrationPotential(self.model, self.geometry, self.scheme)
        self.n, self.u, self.volume = self.formulation.n, self.formulation.u, self.formulation.volume
        self.owned = self.formulation.vertices * 2 * self.n

        self.conditions = Conditions(self.problem, self.formulation, self.local_density, self.scales.time)
        self.branch = Branch(self.problem, self.formulation, self.conditions, self.local_density)
        residual = self.formulation.residual(self.conditions.imposed_fluxes())
        self.operators = AssembledOperators(self.u, residual, self.formulation.jacobian(residual), self.conditions.fixed)
        self.newton = Newton(self.operators, Norms(comm, self.volume, 2 * self.n), self._feasible if self.model.positive else None)
        self._energy = compile_form(self.formulation.energy.value(self.u))
        self._dissipation = compile_form(self.formulation.dissipation())

    # -- set-up ---------------------------------------------------------------------------------------------------------------

    def _model(self) -> Model:
        problem = self.problem
        source = {s.name: _source(s.source) for s in problem.species if s.source is not None}
        return Model(
            names=problem.names,
            free_energy=problem.free_energy,
            mobility=problem.mobility,
            balance=problem.balance,
            surface_energy={name: (self._wall(b.wetting.contact_angle),) for name, b in problem.boundary.items() if b.wetting is not None},
            source=source,
        )

    def _wall(self, contact_angle: float) -> WallEnergy:
        """Young's law: sigma cos(theta) between the two phases of the binary."""
        phases = thermodynamics.binodal(self.local_density)
        if phases is None:
            raise InputError("[boundary] wetting needs two phases, and this free energy has no binodal")
        a, b = phases
        binary = thermodynamics.BinaryThermodynamics.of(
            self.problem.free_energy, self.problem.mobility, self.problem.composition(), (a + b) / 2
        )
        if not binary.interface_energy:
            raise InputError("[boundary] wetting needs an interface: add a [[free_energy]] with kind = 'Gradient'")
        return WallEnergy(strength=binary.interface_energy * float(np.cos(contact_angle)), a=a, b=b)

    # -- states ---------------------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> np.ndarray:
        """The owned unknowns as an array (vertices, 2n): c_1..c_n, mu_1..mu_n; a view."""
        return self.formulation.fields

    @property
    def concentrations(self) -> np.ndarray:
        """(vertices, n), a view."""
        return self.formulation.concentrations

    def set_state(self, values: np.ndarray, function: fem.Function | None = None) -> None:
        """Put owned unknowns (flat) into u, or another function, on all ranks that need them."""
        function = function or self.u
        function.x.array[: self.owned] = values
        function.x.scatter_forward()

    def initialise(self) -> None:
        """The initial concentrations, and the chemical potentials that belong to them."""
        self.concentrations[:] = initial_concentrations(self.problem, self.formulation, self.scales.length)
        self.u.x.scatter_forward()
        self.conditions.update(0.0, 0.0)
        self.conditions.impose_concentrations()
        self.relax_potential(0.0)

    def relax_potential(self, time: float) -> None:
        """Set mu to F'(c) at the present c."""
        formulation = self.formulation
        self.conditions.update(time, time)
        formulation.time.value = time
        self.set_state(self.u.x.array[: self.owned], formulation.u_old)
        formulation.dt.value = 0.0
        for weight in formulation.a:
            weight.value = 0.0
        self._update_mu()

    def rate_of_change(self) -> np.ndarray:
        """dc/dt of a relaxed state, shape (vertices, n)."""
        self.formulation.dt.value = 1.0
        return -self.operators.balance().reshape(-1, 2 * self.n)[:, self.n :] / self.volume[:, None]

    def _update_mu(self) -> None:
        defect = self.operators.balance().reshape(-1, 2 * self.n)[:, : self.n]
        self.fields[:, self.n :] += defect / self.volume[:, None]
        self.u.x.scatter_forward()
        self.conditions.impose_potentials()

    # -- one step -------------------------------------------------------------------------------------------------------------

    def solve_step(
        self, time: float, dt: float, weights: tuple[float, float, float], old: np.ndarray, older: np.ndarray, guess: np.ndarray
    ) -> Converged:
        """Solve the step from `time` to time + dt, leaving it in u. Raises NotConverged with the place of the worst residual."""
        formulation = self.formulation
        self.set_state(old, formulation.u_old)
        self.set_state(older, formulation.u_older)
        formulation.dt.value = dt
        formulation.time.value = time + self.scheme.source_at * dt
        for constant, weight in zip(formulation.a, weights, strict=True):
            constant.value = weight
        self.conditions.update(time + dt, time + self.scheme.source_at * dt)
        try:
            return self.newton.solve(guess)
        except NotConverged as error:
            raise NotConverged(f"{error}; {self._worst_place()}") from None

    def _feasible(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Keep positive components positive: Newton's update is followed in concentrations, vertex by vertex, by at most nine tenths of
        the way to a bound; where that changes anything, mu is made to fit the new c.

        A global shortening of the step would let one nearly empty vertex stop all others.
        """
        positions, updates = x.reshape(-1, 2 * self.n), y.reshape(-1, 2 * self.n)
        c, target = positions[:, : self.n], positions[:, : self.n] - updates[:, : self.n]
        closed = np.column_stack([c, 1 - c.sum(axis=1)])
        goal = np.column_stack([target, 1 - target.sum(axis=1)])
        bounded = np.array([name in self.model.positive for name in self.model.composition(list(c.T)).closed])
        short = (goal < 0.1 * closed) & bounded
        rows = short.any(axis=1)
        if global_sum(self.comm, int(rows.sum())) == 0:
            return False
        limited = np.where(short[rows], 0.1 * closed[rows], goal[rows])
        if bounded.all():
            limited /= limited.sum(axis=1, keepdims=True)
        target[rows] = limited[:, : self.n]
        self.fields[:, : self.n] = target
        self.fields[:, self.n :] = positions[:, self.n :] - updates[:, self.n :]
        self.u.x.scatter_forward()
        self._update_mu()
        updates[:] = positions - self.fields
        return True

    # -- numbers --------------------------------------------------------------------------------------------------------------

    def energy(self) -> float:
        return float(global_sum(self.comm, fem.assemble_scalar(self._energy)).real)

    def dissipation(self) -> float:
        return float(global_sum(self.comm, fem.assemble_scalar(self._dissipation)).real)

    def masses(self, c: np.ndarray | None = None) -> np.ndarray:
        """int c_i dx, shape (n,)"""
        return np.asarray(global_sum(self.comm, self.volume @ (self.concentrations if c is None else c)))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest c_i, each of shape (n,)."""
        c = self.concentrations
        return np.array([global_min(self.comm, column) for column in c.T]), np.array([global_max(self.comm, column) for column in c.T])

    def outward_fluxes(self, dt: float) -> dict[tuple[str, str], float]:
        """Through each boundary with a condition, by (species, boundary), in the step that u solves."""
        return self.conditions.outward_fluxes(self.operators.balance().reshape(-1, 2 * self.n)[:, self.n :], dt)

    @property
    def isolated(self) -> bool:
        """Whether nothing drives the system from outside, so that F cannot rise."""
        return not self.model.source and not any(b.open for b in self.problem.boundary.values())

    def cell_fluxes(self) -> dict[str, np.ndarray]:
        """J_i at the midpoint of each owned cell, by species, shape (cells, dimension)."""
        mesh = self.geometry.mesh
        cells = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local, dtype=np.int32)
        return {name: compat.evaluate(J, mesh, cells)[:, 0, :] for name, J in zip(self.model.names, self._flux_expressions, strict=True)}

    @cached_property
    def _flux_expressions(self) -> list[Any]:
        midpoint = basix.geometry(self.geometry.mesh.basix_cell()).mean(axis=0, keepdims=True)
        fluxes = self.formulation.fluxes(self.u, self.formulation.c(self.u))
        return [compile_expression(J, midpoint) for J in fluxes]

    def _worst_place(self) -> str:
        """Which field fails, where, and its value there: the largest residual per volume of the rejected iterate."""
        residual = np.abs(self.operators.balance().reshape(-1, 2 * self.n) / self.volume[:, None])
        residual[~np.isfinite(residual)] = np.inf
        residual[self.conditions.held] = 0.0  # what a reservoir supplies there is no defect
        flat = int(residual.argmax()) if residual.size else 0
        vertex, component = divmod(flat, 2 * self.n)
        mine = (float(residual.max()) if residual.size else -1.0, self.comm.rank)
        _, rank = self.comm.allreduce(mine, op=MPI.MAXLOC)
        report = ""
        if self.comm.rank == rank:
            names = [*self.model.names, *(f"mu_{name}" for name in self.model.names)]
            values = ", ".join(f"{name} = {c:.6g}" for name, c in zip(self.model.names, self.concentrations[vertex], strict=True))
            report = f"worst in the equation of {names[component]} at {self.formulation.place(vertex, self.scales.length)}, where {values}"
        return self.comm.bcast(report, root=rank)


def _source(field: Field) -> Callable[[Any, Any, Any], Any]:
    return lambda c, x, t: field.ufl(x, t)


def _extent(geometry: Geometry) -> float:
    x, comm = geometry.mesh.geometry.x, geometry.mesh.comm
    return max(global_max(comm, column) - global_min(comm, column) for column in x.T)


def _in_units_of(geometry: Geometry, length: float) -> Geometry:
    geometry.mesh.geometry.x[:] /= length
    return replace(geometry, lower=np.asarray(geometry.lower / length), period=np.asarray(geometry.period / length))


def _check_boundary_names(problem: Problem, geometry: Geometry) -> None:
    for name in problem.boundary:
        if name not in geometry.boundaries:
            legal = did_you_mean(name, geometry.boundaries) or (
                "; it names none: periodic sides are no boundaries, others get physical names in gmsh (2D: curves, 3D: surfaces)"
            )
            raise InputError(f"[boundary.{name}]: the mesh has no boundary '{name}'{legal}")
