"""Boundary conditions on the discrete equations: fixed values, imposed fluxes, and the fluxes that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from .boundary import ButlerVolmer, Exchange, PotentialExchange
from .charges import require_neutral
from .errors import InputError
from .field import Field
from .formulation import VERTEX_RULE, Formulation, with_constants
from .free_energy import ExternalPotential, SternLayer, SurfaceCharge
from .initial import initial_concentrations
from .operators import compile_form
from .parallel import global_max, global_min, global_sum
from .problem import Problem

Evaluate = Callable[[np.ndarray, float], np.ndarray]


class Conditions:
    """The boundary tables of a problem (in solver units) as rows of the discrete equations.

    A reservoir fixes c and mu = df/dc at that c, or mu alone, as far as they are unknowns; a flux or exchange is imposed weakly; all else
    has no flux.
    """

    def __init__(self, problem: Problem, formulation: Formulation, time_unit: float = 1.0) -> None:
        self._boundary, self._formulation = problem.boundary, formulation
        self._names, self._time_unit = formulation.model.names, time_unit
        self._require_exterior()
        self._problem = problem
        self._reservoirs = [self._fixed(boundary, *unknown) for boundary in problem.boundary for unknown in self._evaluators(boundary)]
        self._dielectrics = self._without_matter() if formulation.geometry.dielectrics else []
        self._require_temperature(0.0)

    @property
    def fixed(self) -> list[Any]:
        """DOLFINx' Dirichlet conditions."""
        return [reservoir.condition for reservoir in (*self._reservoirs, *self._dielectrics)]

    @cached_property
    def held(self) -> np.ndarray:
        """Which unknowns are fixed, (owned vertices, block)."""
        formulation = self._formulation
        marked = np.zeros((formulation.vertices, formulation.block), dtype=bool)
        for reservoir in (*self._reservoirs, *self._dielectrics):
            marked[reservoir.owned(formulation.vertices), reservoir.component] = True
        return marked

    def held_values(self) -> np.ndarray:
        """What they are fixed at, (owned vertices, block); zero where they are not."""
        formulation = self._formulation
        values = np.zeros((formulation.vertices, formulation.block))
        for reservoir in (*self._reservoirs, *self._dielectrics):
            owned = reservoir.owned(formulation.vertices)
            values[owned, reservoir.component] = reservoir.g.x.array[owned]
        return values

    @property
    def open_rows(self) -> np.ndarray:
        """Which mass balances are left open, because their unknown is fixed, (owned vertices, n)."""
        return self.held[:, self._formulation.mass_rows]

    @cached_property
    def open_row_count(self) -> int:
        """How many, on all ranks; a corner of two reservoirs counts once."""
        return int(global_sum(self._formulation.comm, int(self.open_rows.sum())))

    @property
    def _feeding(self) -> list[_Reservoir]:
        """Reservoirs that hold the unknown in the row of a mass balance: matter passes there."""
        rows = range(self._formulation.block)[self._formulation.mass_rows]
        return [reservoir for reservoir in self._reservoirs if reservoir.component in rows]

    @property
    def exchanged(self) -> set[str]:
        """The species whose concentration some boundary determines: a reservoir, a film, an electrode."""
        names = {name for given in self._boundary.values() for name in (*given.exchange, *given.butler_volmer)}
        return names | {self._names[reservoir.component % self._formulation.n] for reservoir in self._feeding}

    def update(self, time: float, potential_time: float) -> None:
        """Boundary values: concentrations at one time, potentials at another, since mu may stand for the middle of a step."""
        for reservoir in self._reservoirs:
            x = self._formulation.places[:, reservoir.dofs]
            if len(reservoir.dofs):
                with np.errstate(divide="ignore", invalid="ignore"):
                    reservoir.g.x.array[reservoir.dofs] = reservoir.evaluate(x, potential_time if reservoir.of_potential else time)
            reservoir.g.x.scatter_forward()
        self._require_room(time)
        self._require_neutral(time)
        self._require_admissible(time)
        self._require_temperature(potential_time)

    def _require_room(self, time: float) -> None:
        """The concentrations of a reservoir must leave something, or nothing, to what closes them to one."""
        formulation = self._formulation
        if not formulation.model.closed:
            return
        for boundary, given in self._boundary.items():
            dofs = self._vertices_on(boundary)
            size = dict(zip(self._names, formulation.model.sizes or (1.0,) * formulation.n, strict=True))
            x = formulation.places[:, dofs]
            total = sum((size[name] * field.at(x, time) for name, field in given.concentration.items()), start=np.zeros(len(dofs)))
            most = global_max(formulation.comm, total)
            if most > 1 + 1e-12:
                raise InputError(
                    f"[boundary.{boundary}] concentrations: the sum is {most:g} at t = {time * self._time_unit:g}, and must be at most 1"
                )

    def _vertices_on(self, boundary: str) -> np.ndarray:
        """Of a boundary that holds something, ghosts included; of others none."""
        return next((reservoir.dofs for reservoir in self._reservoirs if reservoir.boundary == boundary), np.empty(0, dtype=np.int32))

    def _require_neutral(self, time: float) -> None:
        for boundary, given in self._boundary.items():
            if given.concentration:
                require_neutral(self._problem, self._formulation, boundary, self._vertices_on(boundary), time)

    def _require_temperature(self, time: float) -> None:
        """A given temperature must be positive at every vertex, whenever a step asks for it."""
        formulation, temperature = self._formulation, self._formulation.model.temperature
        if temperature is None:
            return
        ratio, scales = temperature.at(formulation.x, time), temperature.scales
        bad = np.flatnonzero(~(np.isfinite(ratio) & (ratio > 0)))
        mine = [(tuple(formulation.x[:, i]), float(ratio[i]), formulation.place(i, scales.length)) for i in bad]
        found = [item for item in formulation.comm.allgather(min(mine) if mine else None) if item is not None]
        if found:
            _, worst, place = min(found)  # the first one in space: the same on any number of ranks
            raise InputError(
                f"temperature = '{temperature.text}' is {worst * scales.temperature:g} at {place} at t = {time * scales.time:g}: "
                "it must be positive everywhere until the end"
            )

    def _require_admissible(self, time: float) -> None:
        """A reservoir's expression may leave the range of compositions as time goes on, and no step would lead there."""
        formulation, positive = self._formulation, self._formulation.model.positive
        most = 1.0 if formulation.model.closed else np.inf
        for reservoir in self._reservoirs:
            values = reservoir.g.x.array[reservoir.dofs]
            electric = reservoir.component == formulation.phi_row
            name = "phi" if electric else self._names[reservoir.component % formulation.n]
            bad = ~np.isfinite(values)
            if not electric and not reservoir.of_potential and name in positive:
                bad |= (values < 0) | (values > most) if formulation.potential_rows is None else (values <= 0) | (values >= most)
            mine = f"{values[bad][0]:.6g}" if bad.any() else None
            found = [value for value in formulation.comm.allgather(mine) if value is not None]
            if found:
                field = "potential" if electric else f"{'chemical potential' if reservoir.of_potential else 'concentration'} of {name}"
                why = (
                    {}
                    if electric
                    else {
                        "0": "it fixes the chemical potential too, and that of nothing is minus infinity: give a small fraction, 1e-6 for example",
                        "-inf": "that is the potential of nothing: give a small fraction, 1e-6 for example",
                        "inf": "it must be finite; where fractions sum to one, the rest has none: leave it a small fraction",
                    }
                )
                reason = why.get(found[0], "it must be finite" if electric else "no composition has that")
                raise InputError(f"[boundary.{reservoir.boundary}] {field} is {found[0]} at t = {time * self._time_unit:g}: {reason}")

    def values(self) -> list[np.ndarray]:
        """What each fixed unknown is held at, ghosts included, one array for each."""
        return [reservoir.g.x.array[reservoir.dofs].copy() for reservoir in self._reservoirs]

    def set_values(self, values: list[np.ndarray]) -> None:
        for reservoir, given in zip(self._reservoirs, values, strict=True):
            reservoir.g.x.array[reservoir.dofs] = given
            reservoir.g.x.scatter_forward()

    def values_of_u(self) -> list[np.ndarray]:
        """What u has there."""
        u = self._formulation.u.x.array.reshape(-1, self._formulation.block)
        return [u[reservoir.dofs, reservoir.component].copy() for reservoir in self._reservoirs]

    def impose_potentials(self) -> None:
        """Set mu in u to its values in the reservoirs: there it is not F'(c), which lacks the reservoir's own surface term."""
        held = [reservoir for reservoir in (*self._reservoirs, *self._dielectrics) if reservoir.of_potential]
        self._impose([reservoir for reservoir in held if reservoir.component != self._formulation.phi_row])

    def impose_phi(self) -> None:
        """Set phi in u to its values at electrodes and reservoirs, the concentrations unchanged."""
        formulation = self._formulation
        if formulation.phi_row is None:
            return
        phi = formulation.all_phi().copy()
        for reservoir in self._electrodes:
            phi[reservoir.dofs] = reservoir.g.x.array[reservoir.dofs]
        formulation.set_phi(phi[: formulation.vertices])

    def impose_concentrations(self) -> None:
        """Set c in u to its values in the reservoirs: otherwise it would jump there in the first step, however short that is."""
        self._impose([reservoir for reservoir in (*self._reservoirs, *self._dielectrics) if not reservoir.of_potential])

    def _impose(self, reservoirs: list[_Reservoir]) -> None:
        values = self._formulation.u.x.array.reshape(-1, self._formulation.block)
        for reservoir in reservoirs:
            values[reservoir.dofs, reservoir.component] = reservoir.g.x.array[reservoir.dofs]
        self._formulation.changed()

    def concentration_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest c_i in the reservoirs and behind the films at the start, each (n,); infinite without any. Collective."""
        formulation = self._formulation
        geometry, space = formulation.geometry, formulation.scalar_space
        low, high = np.full(len(self._names), np.inf), np.full(len(self._names), -np.inf)
        for boundary, given in self._boundary.items():
            facets = geometry.facet_tags.find(geometry.boundaries[boundary])
            x = formulation.places[:, fem.locate_dofs_topological(space, geometry.mesh.topology.dim - 1, facets)]
            references = {name: exchange.reference for name, exchange in given.exchange.items() if isinstance(exchange, Exchange)}
            for name, field in (*given.concentration.items(), *references.items()):
                i, values = self._names.index(name), field.at(x, 0.0)
                low[i], high[i] = min(low[i], global_min(formulation.comm, values)), max(high[i], global_max(formulation.comm, values))
        return low, high

    def imposed_fluxes(self) -> list[tuple[int, Any, Any]]:
        """(species index, outward flux J.n as UFL, measure) of every boundary with a given flux or an exchange."""
        return [(self._names.index(name), outward, ds) for (name, _), outward, ds in self._imposed]

    @cached_property
    def _imposed(self) -> list[tuple[tuple[str, str], Any, Any]]:
        formulation = self._formulation
        geometry = formulation.geometry
        # the exchange of a lumped concentration is lumped too: vertices with nothing lose nothing; the end of an interval is a vertex
        interval = geometry.mesh.topology.dim == 1
        on_exchange = {"quadrature_degree": 0} if interval else VERTEX_RULE
        x, t = formulation.place_and_time["x"], formulation.time
        one = fem.Constant(geometry.mesh, 1.0)
        found = []
        for boundary, given in self._boundary.items():
            for name, field in given.flux.items():
                found.append(((name, boundary), one * field.ufl(x, t), geometry.on(boundary, {"quadrature_degree": 4})))
            for name, exchange in given.exchange.items():
                found.append(((name, boundary), self._exchanged(self._names.index(name), exchange), geometry.on(boundary, on_exchange)))
            for name, kinetics in given.butler_volmer.items():
                assert given.potential is not None
                outward = self._reacted(self._names.index(name), kinetics, given.potential)
                found.append(((name, boundary), outward, geometry.on(boundary, on_exchange)))
        return found

    def _reacted(self, i: int, kinetics: ButlerVolmer, electrode: Field) -> Any:
        """J.n = i_0/(|z| F) e^{-(1 - alpha) z D} (e^A - 1), in units in which F and RT are one."""
        formulation = self._formulation
        mesh, model = formulation.geometry.mesh, formulation.model
        ratio = model.ratio(**formulation.place_and_time)
        i_0, E, mu_ref = (
            fem.Constant(mesh, float(value))
            for value in (kinetics.exchange_current, kinetics.equilibrium_potential, self._reference_potential(i, kinetics.reference))
        )
        z = model.charges[i]
        V = electrode.ufl(formulation.place_and_time["x"], formulation.time) - E
        D = (formulation.phi(formulation.u) - V) / ratio
        A = formulation.mu(formulation.u)[i] - self._external_potential(i) / ratio - mu_ref - z * V / ratio
        return i_0 / abs(z) * ufl.exp(-(1 - kinetics.transfer_coefficient) * z * D) * (ufl.exp(A) - 1)

    def _external_potential(self, i: int) -> Any:
        """V_i of all external potentials, as UFL: work that the electrode's potential does not do."""
        place, terms = self._formulation.place_and_time, self._formulation.model.free_energy
        fields = [term.potential.get(self._names[i]) for term in terms if isinstance(term, ExternalPotential)]
        return sum(field.ufl(place["x"], self._formulation.time) for field in fields if field is not None)

    def _reference_potential(self, i: int, reference: float) -> float:
        """mu_i at phi = 0 without external potentials where c_i is the reference and the others have the means of the initial state."""
        formulation = self._formulation
        c = initial_concentrations(self._problem, formulation, 1.0)
        sums = np.asarray(global_sum(formulation.comm, np.append(formulation.volume @ c, formulation.volume.sum())))
        means = sums[:-1] / sums[-1]
        means[i] = reference
        if formulation.model.closed and formulation.model.rest(means) <= 0:
            raise InputError(
                f"[boundary] butler_volmer of {self._names[i]}: reference = {reference:g} leaves no room beside the other species"
            )
        x, c = np.zeros((3, 1)), means[:, None]
        return float((formulation.potential_of(c, x, 0.0) - formulation.placed.potential(c, x, 0.0))[i, 0])

    def _exchanged(self, i: int, exchange: Exchange | PotentialExchange) -> Any:
        """J.n = k (c_i - reference) or k (mu_i - reference)"""
        formulation = self._formulation
        x, t = formulation.place_and_time["x"], formulation.time
        k = fem.Constant(formulation.geometry.mesh, float(exchange.coefficient))
        if isinstance(exchange, Exchange):
            return k * (formulation.flux_composition()[i] - exchange.reference.ufl(x, t))
        mu = formulation.mu(formulation.u)[i] * formulation.model.ratio(x, t)
        return k * (mu - exchange.potential_reference.ufl(x, t))

    def outward_fluxes(self, balance: np.ndarray, dt: float) -> dict[tuple[str, str], float]:
        """Flux through each boundary with a condition, by (species, boundary), from the mass balance (vertices, n) of a step.

        In a reservoir the flux is the reaction of the mass balance, which the boundaries that meet at a vertex share by their areas; so
        all fluxes together balance the mass to round-off.
        """
        comm = self._formulation.comm
        fluxes = {(name, boundary): 0.0 for name in self._names for boundary in self._boundary}
        for (i, boundary), share in self._shares.items():
            if i == -1:
                continue
            fluxes[self._names[i], boundary] = float(global_sum(comm, -share @ balance[:, i])) / dt
        for pair, form in self._imposed_totals:
            fluxes[pair] += float(global_sum(comm, fem.assemble_scalar(form)))
        return fluxes

    @cached_property
    def _shares(self) -> dict[tuple[int, str], np.ndarray]:
        """For each species and boundary with open mass balances: the fraction of each vertex' reaction that belongs to it."""
        formulation = self._formulation
        geometry = formulation.geometry
        areas: dict[tuple[int, str], np.ndarray] = {}
        for reservoir in [*self._feeding, *self._electrodes]:
            area = formulation.assembled(
                ufl.TestFunction(formulation.scalar_space) * geometry.on(reservoir.boundary, {"quadrature_degree": 2})
            )
            mark = np.zeros(formulation.vertices)
            mark[reservoir.owned(formulation.vertices)] = 1.0
            areas[self._row(reservoir), reservoir.boundary] = mark * np.maximum(area, np.finfo(float).tiny)
        totals = {i: sum(area for (j, _), area in areas.items() if j == i) for i, _ in areas}
        return {(i, name): np.divide(area, totals[i], out=np.zeros_like(area), where=area > 0) for (i, name), area in areas.items()}

    @property
    def electrode_vertices(self) -> list[np.ndarray]:
        """The vertices at which phi is fixed, ghosts included, by boundary."""
        return [reservoir.dofs for reservoir in self._electrodes]

    @property
    def _electrodes(self) -> list[_Reservoir]:
        return [reservoir for reservoir in self._reservoirs if reservoir.component == self._formulation.phi_row]

    def _row(self, reservoir: _Reservoir) -> int:
        """The species whose mass balance a reservoir leaves open, or -1 where it is the Poisson equation."""
        return -1 if reservoir.component == self._formulation.phi_row else reservoir.component % self._formulation.n

    def charges(self, balance: np.ndarray) -> dict[str, float]:
        """The charge on each boundary with an electric condition, from the Poisson equation's residual (vertices,): int eps dphi/dn ds."""
        comm = self._formulation.comm
        found = {boundary: float(global_sum(comm, share @ balance)) for (i, boundary), share in self._shares.items() if i == -1}
        found |= {boundary: float(global_sum(comm, fem.assemble_scalar(form))) for boundary, form in self._surface_charges}
        return {boundary: found[boundary] for boundary in self._boundary if boundary in found}

    @cached_property
    def _surface_charges(self) -> list[tuple[str, Any]]:
        """int dg/dphi ds of the electric energy of each boundary that has one."""
        formulation = self._formulation
        model, u = formulation.model, formulation.u
        found = []
        for boundary, terms in model.surface_energy.items():
            electric = [with_constants(term, formulation.geometry) for term in terms if isinstance(term, (SurfaceCharge, SternLayer))]
            if electric:
                phi = ufl.variable(formulation.phi(u))
                density = sum(term.density(formulation.c(u), phi) for term in electric)
                found.append((boundary, compile_form(ufl.diff(density, phi) * formulation.geometry.on(boundary, {"quadrature_degree": 4}))))
        return found

    @cached_property
    def _imposed_totals(self) -> list[tuple[tuple[str, str], Any]]:
        """A flux and an exchange on one boundary are two entries."""
        return [(pair, compile_form(outward * ds)) for pair, outward, ds in self._imposed]

    # -- reservoirs -----------------------------------------------------------------------------------------------------------

    def _evaluators(self, boundary: str) -> list[tuple[int, bool, Evaluate]]:
        """(component of the unknown, whether it is a potential, its values) for everything that a boundary fixes."""
        given, formulation = self._boundary[boundary], self._formulation
        blocks = range(formulation.block)
        c_rows = blocks[formulation.concentration_rows] if formulation.concentration_rows is not None else None
        mu_rows = blocks[formulation.potential_rows] if formulation.potential_rows is not None else None
        concentration = [given.concentration.get(name) for name in self._names]
        found: list[tuple[int, bool, Evaluate]] = []
        for i, name in enumerate(self._names):
            field, potential = concentration[i], given.chemical_potential.get(name)
            if field is not None and c_rows is not None:
                found.append((c_rows[i], False, field.at))
            if mu_rows is not None and potential is not None:
                found.append((mu_rows[i], True, self._given_potential(potential)))
            elif mu_rows is not None and field is not None:
                found.append((mu_rows[i], True, self._potential_of(boundary, i, concentration)))
        if given.potential is not None and given.stern is None and formulation.phi_row is not None:
            found.append((formulation.phi_row, True, given.potential.at))
        return found

    def _given_potential(self, field: Field) -> Evaluate:
        """mu in units of RT, which may vary."""
        return lambda x, t: field.at(x, t) / self._formulation.model.ratio_at(x, t)

    def _potential_of(self, boundary: str, i: int, concentration: list[Field | None]) -> Evaluate:
        """mu_i = df/dc_i of a reservoir's composition."""
        fields = [field for field in concentration if field is not None]
        if len(fields) < len(concentration):
            missing = [name for name, field in zip(self._names, concentration, strict=True) if field is None]
            raise InputError(
                f"[boundary.{boundary}] fixes the concentration of '{self._names[i]}' but not of {', '.join(missing)}: its chemical potential "
                f"depends on the whole composition; give the concentrations of all species, or chemical_potential = {{ {self._names[i]} = ... }}"
            )

        phi = self._boundary[boundary].potential
        if phi is None and self._formulation.phi_row is not None and self._formulation.model.charges[i]:
            raise InputError(
                f"[boundary.{boundary}] fixes the concentration of '{self._names[i]}', whose electrochemical potential depends on phi: give the "
                "reservoir's potential too, potential = ..."
            )

        def potential(x: np.ndarray, t: float) -> np.ndarray:
            c = np.array([field.at(x, t) for field in fields])
            full = self._formulation.model.closed & (self._formulation.model.rest(c.T) <= 0)  # the logarithm of no rest has no value
            return np.where(full, np.inf, self._formulation.potential_of(c, x, t, 0.0 if phi is None else phi.at(x, t))[i])

        return potential

    def _require_exterior(self) -> None:
        """A flux or a wall energy inside the domain would be integrated nowhere, and matter cannot pass where there is none."""
        geometry = self._formulation.geometry
        for name, given in self._boundary.items():
            if geometry.dielectrics and (given.open or given.wetting) and geometry.bounds_dielectric(name):
                raise InputError(
                    f"[boundary.{name}] lies on a dielectric ({', '.join(geometry.dielectrics)}), at least in part, and says something of species: "
                    "give that part of the boundary another name in the mesh; a potential, surface_charge or stern may stand on it"
                )
            needs_outside = given.flux or given.exchange or given.wetting or given.stern or given.butler_volmer
            if needs_outside and self._formulation.geometry.lies_inside(name):
                raise InputError(
                    f"[boundary.{name}] lies inside the domain: a flux, exchange, wetting, stern or butler_volmer needs the domain's outer boundary; "
                    "inside, a concentration, chemical_potential or potential can be fixed, and a surface_charge given"
                )

    def _without_matter(self) -> list[_Reservoir]:
        """Zero for every unknown but phi at the vertices inside dielectrics, of which no equation holds."""
        formulation = self._formulation
        scalar, potentials = formulation.scalar_space, range(formulation.block)[formulation.potential_rows or slice(0)]
        dofs, found = np.flatnonzero(~formulation.has_matter).astype(np.int32), []
        for component in range(formulation.block):
            if component != formulation.phi_row:
                g = fem.Function(scalar)
                pair = [formulation.block * dofs + component, dofs]
                condition = (
                    fem.dirichletbc(g, pair, formulation.space.sub(component)) if formulation.block > 1 else fem.dirichletbc(g, dofs)
                )
                found.append(_Reservoir("", component, component in potentials, g, dofs, condition, lambda x, t: np.zeros(x.shape[1])))
        return found

    def _fixed(self, boundary: str, component: int, of_potential: bool, evaluate: Evaluate) -> _Reservoir:
        formulation = self._formulation
        geometry, space, scalar = formulation.geometry, formulation.space, formulation.scalar_space
        facets = geometry.facet_tags.find(geometry.boundaries[boundary])
        g, facet_dimension = fem.Function(scalar), geometry.mesh.topology.dim - 1
        if formulation.block == 1:
            dofs = fem.locate_dofs_topological(space, facet_dimension, facets)
            return _Reservoir(boundary, component, of_potential, g, dofs, fem.dirichletbc(g, dofs), evaluate)
        pair = fem.locate_dofs_topological((space.sub(component), scalar), facet_dimension, facets)
        return _Reservoir(boundary, component, of_potential, g, pair[1], fem.dirichletbc(g, pair, space.sub(component)), evaluate)


@dataclass(frozen=True)
class _Reservoir:
    """One unknown field held at given values on a boundary."""

    boundary: str
    component: int
    of_potential: bool
    g: fem.Function
    dofs: np.ndarray  # of g, ghosts included
    condition: Any
    evaluate: Evaluate

    def owned(self, vertices: int) -> np.ndarray:
        return self.dofs[self.dofs < vertices]
