"""A problem on its mesh: unknowns, equations, boundary data, and the numbers that describe a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import basix
import numpy as np
import ufl
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc

from . import compat, thermodynamics
from .errors import InputError, did_you_mean
from .expression import noise
from .field import Field
from .formulation import VERTEX_RULE, ConcentrationPotential, Model
from .free_energy import WallEnergy
from .mesh import Geometry, build
from .newton import Converged, Newton, Norms, NotConverged
from .operators import AssembledOperators, compile_form
from .parallel import global_max, global_min, global_sum
from .pointwise import LocalDensity, mobility_matrix
from .problem import Problem
from .time_scheme import SCHEMES
from .units import in_solver_units

# A logarithm has no value at an empty or full vertex; this little is put there instead, less than any tolerance.
TRACE = 1e-10


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
        self.n = self.formulation.n
        self.u = self.formulation.u
        dofmap = self.formulation.space.dofmap
        self.vertices = dofmap.index_map.size_local
        self.owned = self.vertices * 2 * self.n
        self.x = self.geometry.wrap(self.formulation.scalar_space.tabulate_dof_coordinates()[: self.vertices].T)
        self.volume = self._assembled(self.formulation.vertex_weights())

        self._reservoirs = self._fixed_values()
        residual = self.formulation.residual(self._imposed_fluxes())
        fixed = [r.condition for r in self._reservoirs]
        self.operators = AssembledOperators(self.u, residual, self.formulation.jacobian(residual), fixed)
        self.newton = Newton(self.operators, Norms(comm, self.volume, 2 * self.n), self._feasible if self.model.positive else None)
        self._energy = compile_form(self.formulation.energy.value(self.u))
        self._dissipation = compile_form(self.formulation.dissipation())
        self._curvature: Any = None  # compiled when a step first needs it

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
        binary = thermodynamics.BinaryThermodynamics.of(self.problem.free_energy, self.problem.mobility, self.problem.composition(), (a + b) / 2)
        if not binary.interface_energy:
            raise InputError("[boundary] wetting needs an interface: add a [[free_energy]] with kind = 'Gradient'")
        return WallEnergy(strength=binary.interface_energy * float(np.cos(contact_angle)), a=a, b=b)

    def _assembled(self, form: Any) -> np.ndarray:
        """A form's vector at the owned vertices."""
        vector = la.vector(self.formulation.scalar_space.dofmap.index_map, 1)
        fem.assemble_vector(vector.array, compile_form(form))
        vector.scatter_reverse(la.InsertMode.add)
        return vector.array[: self.vertices].copy()

    def _fixed_values(self) -> list[_Reservoir]:
        space, scalar = self.formulation.space, self.formulation.scalar_space
        facet_dimension = self.geometry.mesh.topology.dim - 1
        reservoirs = []
        for boundary, given in self.problem.boundary.items():
            if not (given.concentration or given.chemical_potential):
                continue
            facets = self.geometry.facet_tags.find(self.geometry.boundaries[boundary])
            concentration = [given.concentration.get(name) for name in self.model.names]
            for i, name in enumerate(self.model.names):
                potential = given.chemical_potential.get(name)
                evaluators: list[tuple[int, Callable[[np.ndarray, float], np.ndarray]]] = []
                if concentration[i] is not None:
                    evaluators.append((i, concentration[i].at))
                    if potential is None:
                        self._require_all(boundary, name, concentration)
                        evaluators.append((self.n + i, self._reservoir_potential(concentration, i)))
                if potential is not None:
                    evaluators.append((self.n + i, potential.at))
                for component, evaluate in evaluators:
                    dofs = fem.locate_dofs_topological((space.sub(component), scalar), facet_dimension, facets)
                    g = fem.Function(scalar)
                    condition = fem.dirichletbc(g, dofs, space.sub(component))
                    reservoirs.append(_Reservoir(boundary, component, g, dofs[1], condition, evaluate))
        return reservoirs

    def _require_all(self, boundary: str, name: str, concentration: list[Field | None]) -> None:
        missing = [other for other, value in zip(self.model.names, concentration, strict=True) if value is None]
        if missing:
            raise InputError(
                f"[boundary.{boundary}] fixes the concentration of '{name}' but not of {', '.join(missing)}: its chemical potential depends on "
                f"the whole composition; give the concentrations of all species, or chemical_potential = {{ {name} = ... }}"
            )

    def _reservoir_potential(self, concentration: list[Any], i: int) -> Callable[[np.ndarray, float], np.ndarray]:
        def potential(x: np.ndarray, t: float) -> np.ndarray:
            return self.local_density.potential(np.array([field.at(x, t) for field in concentration]))[i]

        return potential

    def _imposed_fluxes(self) -> list[tuple[int, Any, Any]]:
        mesh = self.geometry.mesh
        ds = ufl.Measure("ds", domain=mesh, subdomain_data=self.geometry.facet_tags, metadata={"quadrature_degree": 4})
        x, t = ufl.SpatialCoordinate(mesh), self.formulation.time
        return [
            (self.model.names.index(name), fem.Constant(mesh, 1.0) * field.ufl(x, t), ds(self.geometry.boundaries[boundary]))
            for boundary, given in self.problem.boundary.items()
            for name, field in given.flux.items()
        ]

    # -- states ---------------------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> np.ndarray:
        """The owned unknowns as an array (vertices, 2n): c_1..c_n, mu_1..mu_n; a view."""
        return self.u.x.array[: self.owned].reshape(-1, 2 * self.n)

    @property
    def concentrations(self) -> np.ndarray:
        """(vertices, n), a view."""
        return self.fields[:, : self.n]

    def set_state(self, values: np.ndarray, function: fem.Function | None = None) -> None:
        """Put owned unknowns (flat) into u, or another function, on all ranks that need them."""
        function = function or self.u
        function.x.array[: self.owned] = values
        function.x.scatter_forward()

    def initialise(self) -> None:
        """The initial concentrations, and the chemical potentials that belong to them."""
        fields = np.zeros((self.vertices, 2 * self.n))
        species = [s for s in self.problem.species if not s.balance]
        for i, s in enumerate(species):
            fields[:, i] = self._initial_values(s.initial, i)
        self._check_fractions(fields[:, : self.n])
        if self.model.positive:
            fields[:, : self.n] = self._lifted(fields[:, : self.n])
        self.set_state(fields.ravel())
        self.relax_potential()

    def _initial_values(self, initial: Any, stream: int) -> np.ndarray:
        lower, extent = self._box()

        def random(x: np.ndarray) -> np.ndarray:
            return noise(self.problem.seed, x, lower, extent, stream)

        if isinstance(initial, Field):
            return initial.at(self.x, 0.0, random)
        # A vertex between regions takes their mean by volume: the mass is that of the piecewise data.
        weighted, total = np.zeros(self.vertices), np.zeros(self.vertices)
        for region, field in initial.items():
            weight = self.region_weights(region)
            weighted += weight * field.at(self.x, 0.0, random)
            total += weight
        if global_min(self.comm, total - 0.999 * self.volume) < 0:
            missing = sorted(set(self.geometry.regions) - set(initial))
            raise InputError(f"[[species]] initial by region leaves out {', '.join(missing) or 'part of the mesh'}: give a value for every region")
        return weighted / total

    def region_weights(self, region: str) -> np.ndarray:
        """The part of each vertex' volume that lies in a region; InputError for an unknown name."""
        regions = self.geometry.regions
        if region not in regions:
            raise InputError(f"there is no region '{region}' in the mesh{did_you_mean(region, regions)}")
        dx = ufl.Measure("dx", domain=self.geometry.mesh, subdomain_data=self.geometry.cell_tags, metadata=VERTEX_RULE)
        return self._assembled(ufl.TestFunction(self.formulation.scalar_space) * dx(regions[region]))

    def _box(self) -> tuple[np.ndarray, float]:
        lower = np.array([global_min(self.comm, row) for row in self.x])
        upper = np.array([global_max(self.comm, row) for row in self.x])
        return lower, float((upper - lower).max())

    def _check_fractions(self, c: np.ndarray) -> None:
        if not np.isfinite(global_sum(self.comm, float(c.sum()))):
            raise InputError("[[species]] initial is not a number somewhere (a logarithm or root of a negative number, or a division by zero)")
        composition = self.model.composition([0.0] * self.n)
        if not any(term.of_fractions(composition) for term in self.model.free_energy):
            return
        closed = np.column_stack([c, 1 - c.sum(axis=1)])
        names = [*self.model.names, "the sum of all"]
        for i, name in enumerate(names):
            values = closed[:, i] if i < self.n else 1 - closed[:, i]
            for worst, bad in ((values.min(initial=np.inf), values < -1e-12), (values.max(initial=-np.inf), values > 1 + 1e-12)):
                value, place = _extreme(self.comm, worst, bad, values, self.x)
                if place is not None:
                    raise InputError(f"[[species]] initial of {name} is {value:.6g} at {self._place(place)}: fractions are between 0 and 1")

    def _lifted(self, c: np.ndarray) -> np.ndarray:
        closed = np.maximum(np.column_stack([c, 1 - c.sum(axis=1)]), TRACE)
        return closed[:, : self.n] / closed.sum(axis=1, keepdims=True)

    def relax_potential(self) -> np.ndarray:
        """Set mu to F'(c) at the present c, and return the rate of change dc/dt, shape (vertices, n)."""
        formulation = self.formulation
        self.set_state(self.u.x.array[: self.owned], formulation.u_old)
        formulation.dt.value = 0.0
        for weight in formulation.a:
            weight.value = 0.0
        self._update_mu()
        formulation.dt.value = 1.0
        return -self.operators.balance().reshape(-1, 2 * self.n)[:, self.n :] / self.volume[:, None]

    def _update_mu(self) -> None:
        defect = self.operators.balance().reshape(-1, 2 * self.n)[:, : self.n]
        self.fields[:, self.n :] += defect / self.volume[:, None]
        self.u.x.scatter_forward()

    # -- one step -------------------------------------------------------------------------------------------------------------

    def solve_step(self, time: float, dt: float, weights: tuple[float, float, float], old: np.ndarray, older: np.ndarray, guess: np.ndarray) -> Converged:
        """Solve the step from `time` to time + dt, leaving it in u. Raises NotConverged with the place of the worst residual."""
        formulation = self.formulation
        self.set_state(old, formulation.u_old)
        self.set_state(older, formulation.u_older)
        formulation.dt.value = dt
        formulation.time.value = time + self.scheme.source_at * dt
        for constant, weight in zip(formulation.a, weights, strict=True):
            constant.value = weight
        for reservoir in self._reservoirs:
            reservoir.update(self.geometry, time + dt)
        try:
            return self.newton.solve(guess)
        except NotConverged as error:
            raise NotConverged(f"{error}; {self._worst_place()}") from None

    def _feasible(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Keep positive components positive: Newton's update is followed in concentrations, vertex by vertex, by at most nine tenths of the way
        to a bound; where that changes anything, mu is made to fit the new c.

        A global shortening of the step would let one nearly empty vertex stop all others.
        """
        positions, updates = x.reshape(-1, 2 * self.n), y.reshape(-1, 2 * self.n)
        c, target = positions[:, : self.n], positions[:, : self.n] - updates[:, : self.n]
        closed = np.column_stack([c, 1 - c.sum(axis=1)])
        goal = np.column_stack([target, 1 - target.sum(axis=1)])
        bounded = np.array([name in self.model.positive for name in self.model.composition(c.T).closed])
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

    def is_minimiser(self) -> bool:
        """Whether the step's solution is a minimum, not a saddle, of F + (distance moved)^2/2dt: by the inertia of its symmetric form.

        Past a critical step the equations have further solutions, on which unstable modes are damped instead of growing; Newton's method finds
        them without complaint (Sylvester's law of inertia tells them apart).
        """
        if self._curvature is None:
            form = compile_form(self.formulation.second_variation())
            self._curvature = (form, fem_petsc.create_matrix(form))
        form, matrix = self._curvature
        fixed = self.operators.fixed
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, form, fixed, 1.0)
        matrix.assemble()
        matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        solver = PETSc.KSP().create(self.comm)
        solver.setOptionsPrefix("curvature_")
        solver.setOperators(matrix)
        solver.setType("preonly")
        factor = solver.getPC()
        factor.setType("cholesky")
        factor.setFactorSolverType("mumps")
        factor.setFactorSetUpSolverType()
        factor.getFactorMatrix().setMumpsIcntl(13, 1)  # the parallel root front would hide its part of the inertia
        factor.getFactorMatrix().setMumpsIcntl(14, 60)
        factor.getFactorMatrix().setMumpsIcntl(24, 1)  # detect null pivots: PETSc asks for it
        solver.setUp()
        negative, _, _ = factor.getFactorMatrix().getInertia()
        solver.destroy()
        fixed_mu = sum(global_sum(self.comm, int((r.dofs < self.vertices).sum())) for r in self._reservoirs if r.component >= self.n)
        return negative == self.n * self.formulation.space.dofmap.index_map.size_global - fixed_mu

    def may_have_saddles(self, dt: float, a0: float) -> bool:
        """Whether a step of this size can have other solutions: the local energy is concave somewhere and dt is not far below the growth time."""
        c = self.concentrations.T
        lowest = global_min(self.comm, thermodynamics.stability(self.local_density, c)[:, 0])
        if lowest >= 0:
            return False
        kappa = global_min(self.comm, _eigenvalues(self.local_density.gradient_coefficients(c))[:, 0])
        if kappa <= 0:
            return True
        mobility = global_max(self.comm, _eigenvalues(mobility_matrix(self.problem.mobility, self.problem.composition(), c))[:, -1])
        return dt / a0 * mobility * lowest**2 / (4 * kappa) > 0.9

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
        return np.array([global_min(self.comm, c[:, i]) for i in range(self.n)]), np.array([global_max(self.comm, c[:, i]) for i in range(self.n)])

    def boundary_fluxes(self, dt: float) -> dict[tuple[str, str], float]:
        """Outward flux through each boundary with a condition, by (species, boundary), of the step that u solves.

        Where mu is fixed it is the reaction of the mass balance there, which the boundaries at a vertex share by their areas; so all fluxes
        together balance the mass to round-off.
        """
        reaction = self.operators.balance().reshape(-1, 2 * self.n)[:, self.n :]
        fluxes = {(name, boundary): 0.0 for name in self.model.names for boundary in self.problem.boundary}
        for (i, boundary), share in self._shares().items():
            fluxes[self.model.names[i], boundary] = float(global_sum(self.comm, -share @ reaction[:, i])) / dt
        for (name, boundary), form in self._imposed_totals().items():
            fluxes[name, boundary] = float(global_sum(self.comm, fem.assemble_scalar(form)))
        return fluxes

    def _shares(self) -> dict[tuple[int, str], np.ndarray]:
        """For each species and boundary with fixed mu: the fraction of each vertex' reaction that belongs to it."""
        if not hasattr(self, "_share_cache"):
            areas: dict[tuple[int, str], np.ndarray] = {}
            ds = ufl.Measure("ds", domain=self.geometry.mesh, subdomain_data=self.geometry.facet_tags)
            for r in self._reservoirs:
                if r.component >= self.n:
                    area = self._assembled(ufl.TestFunction(self.formulation.scalar_space) * ds(self.geometry.boundaries[r.boundary]))
                    mark = np.zeros(self.vertices)
                    mark[r.dofs[r.dofs < self.vertices]] = 1.0
                    areas[r.component - self.n, r.boundary] = mark * np.maximum(area, np.finfo(float).tiny)
            self._share_cache = {}
            for (i, boundary), area in areas.items():
                total = sum(other for (j, _), other in areas.items() if j == i)
                self._share_cache[i, boundary] = np.divide(area, total, out=np.zeros_like(area), where=area > 0)
        return self._share_cache

    def _imposed_totals(self) -> dict[tuple[str, str], Any]:
        if not hasattr(self, "_total_cache"):
            pairs = [(name, boundary) for boundary, given in self.problem.boundary.items() for name in given.flux]
            self._total_cache = {pair: compile_form(flux * ds) for pair, (_, flux, ds) in zip(pairs, self._imposed_fluxes(), strict=True)}
        return self._total_cache

    @property
    def isolated(self) -> bool:
        """Whether nothing drives the system from outside, so that F cannot rise."""
        return not self.model.source and not any(b.open for b in self.problem.boundary.values())

    def cell_fluxes(self) -> dict[str, np.ndarray]:
        """J_i at the midpoint of each owned cell, by species, shape (cells, dimension)."""
        mesh = self.geometry.mesh
        if not hasattr(self, "_flux_expressions"):
            midpoint = basix.geometry(mesh.basix_cell()).mean(axis=0, keepdims=True)
            c = self.formulation.c(self.u)
            self._flux_expressions = [fem.Expression(J, midpoint) for J in self.formulation.fluxes(self.u, c)]
        cells = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local, dtype=np.int32)
        return {name: compat.evaluate(J, mesh, cells)[:, 0, :] for name, J in zip(self.model.names, self._flux_expressions, strict=True)}

    def _worst_place(self) -> str:
        """Which field fails, where, and its value there: the largest residual per volume of the rejected iterate."""
        residual = np.abs(self.operators.balance().reshape(-1, 2 * self.n) / self.volume[:, None])
        residual[~np.isfinite(residual)] = np.inf
        flat = int(residual.argmax()) if residual.size else 0
        vertex, component = divmod(flat, 2 * self.n)
        mine = (float(residual.max()) if residual.size else -1.0, self.comm.rank)
        _, rank = self.comm.allreduce(mine, op=MPI.MAXLOC)
        report = ""
        if self.comm.rank == rank:
            names = [*self.model.names, *(f"mu_{name}" for name in self.model.names)]
            values = ", ".join(f"{name} = {c:.6g}" for name, c in zip(self.model.names, self.concentrations[vertex], strict=True))
            report = f"worst in the equation of {names[component]} at {self._place(self.x[:, vertex])}, where {values}"
        return self.comm.bcast(report, root=rank)

    def _place(self, x: np.ndarray) -> str:
        """Coordinates as a user gives them."""
        size = float(np.abs(self.x).max(initial=0.0))
        coordinates = np.where(np.abs(x) < 1e-12 * size, 0.0, x)[: self.geometry.dimension] * self.scales.length
        return "(" + ", ".join(f"{value:.4g}" for value in coordinates) + ")"


@dataclass(frozen=True)
class _Reservoir:
    """One unknown field held at given values on a boundary."""

    boundary: str
    component: int
    g: fem.Function
    dofs: np.ndarray  # of g, ghosts included
    condition: Any
    evaluate: Callable[[np.ndarray, float], np.ndarray]

    def update(self, geometry: Geometry, time: float) -> None:
        x = geometry.wrap(self.g.function_space.tabulate_dof_coordinates()[self.dofs].T)
        if len(self.dofs):
            self.g.x.array[self.dofs] = self.evaluate(x, time)
        self.g.x.scatter_forward()


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Of matrices (n, n, m), ascending: (m, n)."""
    return np.linalg.eigvalsh(np.moveaxis(matrix, -1, 0))


def _source(field: Field) -> Callable[[Any, Any, Any], Any]:
    return lambda c, x, t: field.ufl(x, t)


def _extent(geometry: Geometry) -> float:
    x, comm = geometry.mesh.geometry.x, geometry.mesh.comm
    return max(global_max(comm, column) - global_min(comm, column) for column in x.T)


def _in_units_of(geometry: Geometry, length: float) -> Geometry:
    geometry.mesh.geometry.x[:] /= length
    return replace(geometry, lower=geometry.lower / length, period=geometry.period / length)


def _check_boundary_names(problem: Problem, geometry: Geometry) -> None:
    for name in problem.boundary:
        if name not in geometry.boundaries:
            raise InputError(f"[boundary.{name}]: the mesh has no boundary '{name}'{did_you_mean(name, geometry.boundaries)}")


def _extreme(comm: Any, worst: float, bad: np.ndarray, values: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray | None]:
    """The first rank's worst bad value and its place, on all ranks; None where nothing is bad."""
    mine = (float(worst), x[:, int(np.argmax(values == worst))]) if bad.any() else None
    found = [item for item in comm.allgather(mine) if item is not None]
    return found[0] if found else (0.0, None)
