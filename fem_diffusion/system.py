"""A problem on its mesh: unknowns, equations, boundary data, and the numbers that describe a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from . import failure, thermodynamics
from .boundary import Boundary
from .branch import Branch
from .cells import Cells
from .conditions import Conditions
from .continuation import Continuation
from .elimination import EliminatedOperators
from .errors import InputError, did_you_mean
from .field import Field
from .formulation import LINEAR, VERTEX_RULE, ConcentrationPotential, Entropy, Facts, Formulation, Fractions, Model, choose, with_constants
from .free_energy import Electrostatic, SternLayer, SurfaceCharge, Term, WallEnergy
from .initial import initial_concentrations
from .mesh import Geometry, build, obtuse
from .newton import Converged, Newton, Norms, NotConverged
from .operators import AssembledOperators, Operators, compile_form
from .parallel import global_max, global_min, global_sum
from .pointwise import LocalDensity, has_excess
from .poisson import Poisson
from .preconditioner import GradientFlow, LinearSolver, is_large, may_eliminate
from .preconditioner import choose as choose_linear_solver
from .predictor import Predictor, may_predict
from .problem import Problem
from .state import Composition
from .step import StepData
from .time_scheme import SCHEMES
from .units import in_solver_units
from .uphill import UphillMap, stability_fields


class System:
    """All that is needed to take a step and to say what a state is. Everything inside is in solver units (`scales`)."""

    def __init__(self, problem: Problem, comm: MPI.Comm = MPI.COMM_WORLD) -> None:
        self.given, self.comm = problem, comm
        geometry = build(problem.mesh, problem.directory, comm)
        extent, centre = geometry.extent
        self.scales = problem.scales(extent, list(centre))
        self.geometry = geometry.in_units_of(self.scales.length).with_dielectrics(problem.dielectrics)
        self.problem = in_solver_units(problem.with_absolute_permittivities, self.scales)
        _check_boundary_names(problem, geometry)

        self.composition = self.problem.composition()
        self.local_density = LocalDensity(self.problem.free_energy, self.composition)
        self.model = self._model()
        self.scheme = SCHEMES[problem.time.scheme]()
        chosen, self.why_formulation = choose(self.model, self._facts(), problem.formulation)
        self.formulation = chosen(self.model, self.geometry, self.scheme, self.local_density)
        self.n, self.u, self.volume = self.formulation.n, self.formulation.u, self.formulation.volume

        self.conditions = Conditions(self.problem, self.formulation, self.scales.time)
        self.operators = self._operators()
        self.linear = self._linear_solver()
        self.branch = self._branch()
        norms = Norms(comm, self.formulation.whole_volume, self.operators.block)
        self.newton = Newton(self.operators, norms, self._limit(), self.linear, self._watched)
        self.newton.formulation = self.formulation
        self.poisson = Poisson(self.formulation, self.conditions) if self.model.charged else None
        self.predictor = Predictor(self) if isinstance(self.formulation, Entropy) and may_predict(self.model) else None
        self.continuation = Continuation(self, self.predictor)
        self.cells = Cells(self.formulation)

    # -- set-up ---------------------------------------------------------------------------------------------------------------

    def _model(self) -> Model:
        problem = self.problem
        temperature = problem.temperature if problem.temperature is not None and problem.temperature.depends_on else None
        return Model(
            names=problem.names,
            free_energy=problem.free_energy,
            mobility=problem.transport,
            balance=problem.balance,
            surface_energy={name: terms for name, given in problem.boundary.items() if (terms := self._surface_terms(given))},
            source=_sources(problem, temperature),
            temperature=temperature,
            sizes=problem.sizes,
            charges=problem.charges,
        )

    def _surface_terms(self, given: Boundary) -> tuple[Term, ...]:
        """The energy of a boundary."""
        terms: list[Term] = []
        if given.wetting is not None:
            terms.append(self._wall(given.wetting.contact_angle))
        if given.surface_charge is not None:
            terms.append(SurfaceCharge(sigma=given.surface_charge))
        if given.stern is not None:
            assert given.potential is not None and given.stern.permittivity is not None
            terms.append(SternLayer(capacitance=given.stern.permittivity / given.stern.thickness, potential=given.potential))
        return tuple(terms)

    def _facts(self) -> Facts:
        problem = self.problem
        return Facts(
            one_state=self.scheme.name in ("backward-euler", "bdf2"),
            fixes_potential=any(b.chemical_potential for b in problem.boundary.values()),
            no_potential=self._reservoir_without_potential(),
            risks_negative=lambda: self._starts_empty() and obtuse(self.geometry),
        )

    def _reservoir_without_potential(self) -> str | None:
        """Why a reservoir's concentrations give no chemical potentials at the start: they are not all there, or some component is not. Collective."""
        names = self.problem.names
        for boundary, given in self.problem.boundary.items():
            missing = [name for name in names if name not in given.concentration]
            if not given.concentration or given.chemical_potential:
                continue
            if missing:
                return (
                    f"[boundary.{boundary}] fixes the concentrations of some species only, on all of which the chemical potentials depend"
                )
            x = self.geometry.points_on(boundary)
            c = np.array([given.concentration[name].at(x, 0.0) for name in names])
            closed = np.vstack([c, self.model.rest(c.T)])[: len(c) + self.model.closed]
            positive = [name in self.model.positive for name in self.composition.closed][: len(closed)]
            if any(positive) and global_min(self.comm, closed[positive]) <= 0:
                return f"[boundary.{boundary}] has none of a component, whose chemical potential is then minus infinity (1e-6 would do)"
        return None

    def _starts_empty(self) -> bool:
        """Whether some fraction is zero somewhere at the start."""
        probe = Fractions(self.model, self.geometry, self.scheme, self.local_density)
        c = initial_concentrations(self.problem, probe, self.scales.length)
        c = c[probe.has_matter[: probe.vertices]]
        return global_min(self.comm, np.column_stack([c, self.model.rest(c)]) if self.model.closed else c) < 1e-12

    def _operators(self) -> Operators:
        formulation, conditions = self.formulation, self.conditions
        imposed = conditions.imposed_fluxes()
        # with mu as an unknown the mass balances are linear, and so are fluxes exact through boundaries in every step: worth more than speed
        closed = not (imposed or formulation.model.source or global_sum(self.comm, int(conditions.held.sum())))
        large = is_large(self.unknowns, self.geometry.dimension)
        if isinstance(formulation, ConcentrationPotential) and may_eliminate(formulation) and (closed or large):
            return EliminatedOperators(formulation, conditions, imposed)
        residual = formulation.residual(imposed)
        return AssembledOperators(self.u, residual, formulation.jacobian(residual), conditions.fixed, formulation.changed)

    def _linear_solver(self) -> LinearSolver:
        if isinstance(self.operators, EliminatedOperators):
            return GradientFlow(self.operators, may_factor=not is_large(self.unknowns, self.geometry.dimension))
        return choose_linear_solver(self.formulation, self.conditions)

    def _branch(self) -> Branch | None:
        """Where a step is a minimisation that may have other stationary points: what tells them apart."""
        formulation = self.formulation
        if not isinstance(formulation, ConcentrationPotential) or not self.model.mobility.symmetric or self.model.charged:
            return None
        linear, operators = self.linear, self.operators
        lowest_eigenvalue = None
        if isinstance(linear, GradientFlow) and isinstance(operators, EliminatedOperators) and not operators.is_small:
            lowest_eigenvalue = linear.lowest_eigenvalue
        may_factor = not is_large(self.unknowns, self.geometry.dimension)
        return Branch(self.problem, formulation, self.conditions, self.local_density, lowest_eigenvalue, may_factor)

    @property
    def _watched(self) -> slice:
        """The fields whose update tells convergence: concentrations where they are unknowns."""
        return self.formulation.concentration_rows or slice(None)

    def _limit(self) -> Callable[[np.ndarray, np.ndarray], bool] | None:
        if isinstance(self.formulation, Entropy):
            return self.formulation.limit
        return self._keep_positive if isinstance(self.formulation, ConcentrationPotential) and self.model.positive else None

    def _wall(self, contact_angle: float) -> WallEnergy:
        """Young's law: sigma cos(theta) between the two phases of the binary."""
        phases = thermodynamics.binodal(self.local_density)
        if phases is None:
            raise InputError("[boundary] wetting needs two phases, and this free energy has no binodal")
        a, b = phases
        binary = thermodynamics.BinaryThermodynamics.of(self.problem.free_energy, self.problem.transport, self.composition, (a + b) / 2)
        if not binary.interface_energy:
            raise InputError("[boundary] wetting needs an interface: add a [[free_energy]] with kind = 'Gradient'")
        return WallEnergy(strength=binary.interface_energy * float(np.cos(contact_angle)), a=a, b=b)

    # -- states ---------------------------------------------------------------------------------------------------------------

    @property
    def owned(self) -> int:
        """How many unknowns this rank owns."""
        return self.formulation.owned

    @property
    def concentrations(self) -> np.ndarray:
        """c at the owned vertices, (vertices, n)."""
        return self.formulation.concentrations

    @property
    def fields(self) -> np.ndarray:
        """The owned unknowns, (vertices, block); a view."""
        return self.formulation.fields

    def potentials(self) -> np.ndarray:
        """mu at all vertices of this rank, ghosts included, (vertices + ghosts, n), in units of RT_ref/V_m."""
        formulation = self.formulation
        ratio = self.model.ratio_at(formulation.places, float(formulation.time.value))
        scaled: np.ndarray = formulation.all_potentials() * ratio[:, None]
        return np.where(formulation.has_matter[:, None], scaled, 0.0)

    @property
    def unknowns(self) -> int:
        """On all ranks."""
        return int(self.formulation.space.dofmap.index_map.size_global) * self.formulation.block

    @property
    def has_matter(self) -> np.ndarray:
        """Which owned vertices do not lie strictly inside dielectrics, (vertices,)."""
        mask: np.ndarray = self.formulation.has_matter[: self.formulation.vertices]
        return mask

    def values(self) -> np.ndarray:
        """The owned unknowns, flat; a copy."""
        copied: np.ndarray = self.u.x.array[: self.owned].copy()
        return copied

    def set_values(self, values: np.ndarray, function: fem.Function | None = None) -> None:
        """Put owned unknowns (flat) into u, or another function, on all ranks that need them."""
        if function is not None:
            function.x.array[: self.owned] = values
            function.x.scatter_forward()
            return
        self.u.x.array[: self.owned] = values
        self.formulation.changed()

    def set_concentrations(self, c: np.ndarray, time: float) -> None:
        """Put concentrations (vertices, n) into u, and the chemical potentials that belong to them."""
        self.formulation.at_time(time)
        self.formulation.set_concentrations(c)
        self.relax_potential(time)

    def initialise(self) -> None:
        """The initial concentrations, and the chemical potentials that belong to them."""
        self.formulation.at_time(0.0)
        self.formulation.set_concentrations(initial_concentrations(self.problem, self.formulation, self.scales.length))
        self.conditions.update(0.0, 0.0)
        self.conditions.impose_concentrations()
        self.relax_potential(0.0)
        self.conditions.impose_potentials()

    def relax_potential(self, time: float) -> None:
        """Set phi to the solution of the Poisson equation, and mu to F'(c), at the present c, where they are unknowns beside c."""
        formulation = self.formulation
        self.conditions.update(time, time)
        formulation.at_time(time)
        if self.poisson is not None:
            self.poisson.solve()
        formulation.dt.value = formulation.a0.value = 0.0
        if isinstance(formulation, ConcentrationPotential):
            self.set_values(self.values(), formulation.u_old)
            self._update_mu()

    def rate_of_change(self) -> np.ndarray:
        """dc/dt of a relaxed state, shape (vertices, n)."""
        self.formulation.dt.value = 1.0
        return self.formulation.per_volume(-self.balance()[:, self.formulation.mass_rows])

    def balance(self) -> np.ndarray:
        """The residual at u, reactions in the rows of fixed unknowns, (vertices, block)."""
        return self.operators.balance().reshape(-1, self.formulation.block)

    def _update_mu(self) -> None:
        defect = self.balance()[:, : self.n]
        self.formulation.fields[:, self.formulation.mass_rows] += self.formulation.per_volume(defect)
        self.formulation.changed()
        self.conditions.impose_potentials()

    # -- one step -------------------------------------------------------------------------------------------------------------

    def solve_step(self, step: StepData) -> Converged:
        """Solve a step, leaving it in u. Raises NotConverged with the place of the worst residual."""
        self.set_values(step.values, self.formulation.u_old)
        try:
            return self.continuation.solve(step)
        except NotConverged as error:
            raise NotConverged(f"{error}; {failure.worst_residual(self)}", error.spent, error.residuals, error.reason) from None

    def defect(self, values: np.ndarray) -> float:
        """The largest root-mean-square residual of the unknowns (owned, flat), per volume; they are left in u."""
        self.set_values(values)
        defect = self.balance()
        defect[self.conditions.held] = 0.0
        return float(self.newton.norms.residual(defect.ravel()).max())

    def prepare(self, formulation: Formulation, conditions: Conditions, step: StepData) -> None:
        """Put a step's data into a formulation's constants and boundary values."""
        at = step.time + self.scheme.source_at * step.dt
        formulation.dt.value, formulation.a0.value = step.dt, step.weights[0]
        formulation.at_time(at)
        a0, _, a2 = step.weights
        before = step.states[0] + (a2 / a0 * (step.states[0] - step.states[-1]) if a2 else 0.0)
        formulation.c_before.x.array[: formulation.vertices * formulation.n] = before.ravel()
        formulation.c_before.x.scatter_forward()
        conditions.update(step.time + step.dt, at)

    def _keep_positive(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Keep positive components positive: Newton's update is followed in concentrations, vertex by vertex, by at most nine tenths of
        the way to a bound; where that changes anything, mu is made to fit the new c.

        A global shortening of the step would let one nearly empty vertex stop all others.
        """
        block, formulation = self.operators.block, self.formulation
        positions, updates = x.reshape(-1, block), y.reshape(-1, block)
        c, target = positions[:, : self.n], positions[:, : self.n] - updates[:, : self.n]
        closed = np.column_stack([c, self.model.rest(c)])
        goal = np.column_stack([target, self.model.rest(target)])
        bounded = np.array([name in self.model.positive for name in self.composition.with_values(list(c.T)).closed])
        short = (goal < 0.1 * closed) & bounded
        rows = short.any(axis=1)
        if global_sum(self.comm, int(rows.sum())) == 0:
            return False
        limited = np.where(short[rows], 0.1 * closed[rows], goal[rows])
        if bounded.all():
            limited /= (1 + limited[:, -1] - self.model.rest(limited[:, :-1]))[:, None]
        target[rows] = limited[:, : self.n]
        if isinstance(self.operators, EliminatedOperators):
            updates[:] = c - target  # mu follows
            return True
        fields = formulation.fields
        fields[:, : self.n] = target
        fields[:, self.n :] = positions[:, self.n :] - updates[:, self.n :]
        formulation.changed()
        self._update_mu()
        updates[:] = positions - fields
        return True

    # -- numbers --------------------------------------------------------------------------------------------------------------

    def energy(self, time: float) -> float:
        """F of the state u at a time, on which temperature and external fields may depend; in units of RT_ref, int f T_ref/T dx."""
        at = float(self.formulation.time.value)
        self.formulation.at_time(time)
        if isinstance(self.operators, EliminatedOperators):
            energy = self.operators.energy()
        else:
            energy = float(global_sum(self.comm, fem.assemble_scalar(self._energy)).real)
        self.formulation.at_time(at)
        return energy

    @cached_property
    def _energy(self) -> Any:
        return compile_form(self.formulation.free_energy())

    def lowest_fraction(self) -> float:
        """The smallest concentration of which the free energy takes a logarithm. Collective."""
        c = self.formulation.components[self.has_matter]
        bounded = [name in self.model.positive for name in self.composition.closed]
        return float(global_min(self.comm, c[:, bounded])) if any(bounded) else 0.0

    def dissipation(self) -> float:
        if isinstance(self.operators, EliminatedOperators):
            return self.operators.dissipation()
        return float(global_sum(self.comm, self.cells.dissipation().sum()))

    def masses(self, c: np.ndarray | None = None) -> np.ndarray:
        """int c_i dx, shape (n,)"""
        return np.asarray(global_sum(self.comm, self.volume @ (self.concentrations if c is None else c)))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest c_i, each of shape (n,)."""
        c = self.concentrations[self.has_matter]
        return np.array([global_min(self.comm, column) for column in c.T]), np.array([global_max(self.comm, column) for column in c.T])

    def outward_fluxes(self, dt: float) -> dict[tuple[str, str], float]:
        """Through each boundary with a condition, by (species, boundary), in the step that u solves."""
        return self.conditions.outward_fluxes(self.balance()[:, self.formulation.mass_rows], dt)

    def boundary_charges(self) -> dict[str, float]:
        """The charge on each boundary with a potential or a surface charge, at the state u."""
        formulation = self.formulation
        if formulation.phi_row is None:
            return {}
        ratio = self.model.ratio_at(formulation.x, float(formulation.time.value))  # by which the energy, and so its variation, is divided
        return self.conditions.charges(self.balance()[:, formulation.phi_row] * ratio)

    def charge(self) -> float:
        """int rho dx, ions and fixed charges."""
        return 0.0 if self._charge is None else float(global_sum(self.comm, fem.assemble_scalar(self._charge)).real)

    def fixed_charge(self) -> float:
        """int rho_f dx, what of `charge` is not the ions'."""
        return 0.0 if self._without_ions is None else float(global_sum(self.comm, fem.assemble_scalar(self._without_ions)).real)

    @cached_property
    def _charge(self) -> Any:
        return None if self.formulation.phi_row is None else self._charge_of(self.formulation.c(self.u))

    @cached_property
    def _without_ions(self) -> Any:
        return None if self.formulation.phi_row is None else self._charge_of(self.formulation.c(self.u).with_values([0.0] * self.n))

    def _charge_of(self, c: Composition) -> Any:
        """int rho dx of a composition; in dielectrics fixed charges alone."""
        phi = ufl.variable(self.formulation.phi(self.u))
        terms = [with_constants(term, self.geometry) for term in self.model.free_energy if isinstance(term, Electrostatic)]
        dielectrics = self.geometry.in_dielectrics(VERTEX_RULE)
        form = ufl.diff(sum(term.density(c, phi) for term in terms), phi) * self.formulation.lumped
        if dielectrics is not None:
            fixed = sum(term.density(c.with_values([0.0] * self.n), phi) for term in terms)
            form += ufl.diff(fixed, phi) * dielectrics
        return compile_form(form)

    def is_ill_posed(self) -> bool:
        """Whether u has come where the local energy is concave and no gradient energy limits how fine it decomposes. Collective."""
        if isinstance(self.formulation, ConcentrationPotential) or not self._has_excess:
            return False
        curvature = self.stability_fields()["curvature"][: self.formulation.vertices][self.has_matter]
        return bool(global_min(self.comm, curvature) < -1e-6)  # beside a vanishing fraction the curvature loses 1e-8 by cancellation

    @cached_property
    def _has_excess(self) -> bool:
        return any(has_excess(term, self.composition) for term in self.problem.free_energy if not isinstance(term, LINEAR))

    @property
    def isolated(self) -> bool:
        """Whether nothing drives the system from outside, so that F cannot rise."""
        boundaries = self.problem.boundary.values()
        if self.model.source or self._varies_in_time or any(given.open for given in boundaries):
            return False
        electric = [field for given in boundaries for field in (given.potential, given.surface_charge) if field is not None]
        return not any("t" in field.depends_on for field in electric)

    @property
    def _varies_in_time(self) -> bool:
        """Whether the free energy itself depends on the time."""
        temperature = self.model.temperature
        return self.formulation.placed.depends_on_time or (temperature is not None and "t" in temperature.depends_on)

    def uphill_map(self) -> UphillMap:
        """Where species move against their gradients. Collective."""
        gradients, fluxes = self.cells.gradients(), self.cells.fluxes()
        if self.model.balance is not None:
            gradients[self.model.balance] = -np.sum(list(gradients.values()), axis=0)
            fluxes[self.model.balance] = self.balance_flux(list(fluxes.values()))
        c = self.formulation.components if self.model.balance is not None else self.concentrations
        amounts = np.asarray(global_sum(self.comm, self.volume @ np.abs(c))) / float(global_sum(self.comm, self.volume.sum()))
        means = {name: float(amount) for name, amount in zip(gradients, amounts, strict=True)}
        return UphillMap.of(self.comm, self.cells.volumes, gradients, fluxes, self.cells.dissipation_density(), means)

    def balance_flux(self, fluxes: Sequence[Any]) -> Any:
        """That of what closes the sum to one, from the fluxes of all others."""
        return -sum(fluxes) if self.model.mobility.balance_moves else 0.0 * fluxes[0]

    def stability_fields(self) -> dict[str, np.ndarray]:
        """Curvature, spinodal and thermodynamic factors at all vertices of this rank, by name, in units of RT_ref/V_m."""
        formulation = self.formulation
        ratio = self.model.ratio_at(formulation.places, float(formulation.time.value))
        return stability_fields(self.local_density, formulation.all_concentrations(), ratio)


def _sources(problem: Problem, temperature: Field | None) -> dict[str, Callable[[Composition], Any]]:
    """R_i(c) of every species that has a source or takes part in a reaction."""

    def total(name: str) -> Callable[[Composition], Any]:
        field = next(s.source for s in problem.species if s.name == name)
        reactions = [reaction for reaction in problem.reaction if reaction.stoichiometry.get(name)]

        def R(c: Composition) -> Any:
            ratio = 1.0 if temperature is None else temperature.ufl(c.x, c.t)
            given = [field.ufl(c.x, c.t)] if field is not None else []
            return sum([reaction.sources(c, ratio)[name] for reaction in reactions], start=sum(given))

        return R

    active = {s.name for s in problem.species if s.source is not None} | {name for r in problem.reaction for name in r.stoichiometry}
    return {name: total(name) for name in problem.names if name in active}


def _check_boundary_names(problem: Problem, geometry: Geometry) -> None:
    for name in problem.boundary:
        if name not in geometry.boundaries:
            legal = did_you_mean(name, geometry.boundaries) or (
                "; it names none: periodic sides are no boundaries, others get physical names in gmsh (2D: curves, 3D: surfaces)"
            )
            raise InputError(f"[boundary.{name}]: the mesh has no boundary '{name}'{legal}")
