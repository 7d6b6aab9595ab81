"""Boundary conditions on the discrete equations: fixed values, imposed fluxes, and the fluxes that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.mesh import exterior_facet_indices

from .errors import InputError
from .field import Field
from .formulation import ConcentrationPotential
from .operators import compile_form
from .parallel import global_sum
from .pointwise import LocalDensity
from .problem import Problem

Evaluate = Callable[[np.ndarray, float], np.ndarray]


class Conditions:
    """The boundary tables of a problem (in solver units) as rows of the discrete equations.

    A reservoir fixes c and mu = df/dc at that c, or mu alone; a flux is imposed weakly; all else has no flux.
    """

    def __init__(self, problem: Problem, formulation: ConcentrationPotential, density: LocalDensity, time_unit: float = 1.0) -> None:
        self._boundary, self._formulation, self._density = problem.boundary, formulation, density
        self._names, self._time_unit = formulation.model.names, time_unit
        self._require_exterior()
        self._reservoirs = [
            self._fixed(boundary, component, evaluate)
            for boundary in problem.boundary
            for component, evaluate in self._evaluators(boundary)
        ]

    @property
    def fixed(self) -> list[Any]:
        """DOLFINx' Dirichlet conditions."""
        return [reservoir.condition for reservoir in self._reservoirs]

    @cached_property
    def held(self) -> np.ndarray:
        """Which unknowns are fixed, (owned vertices, 2n)."""
        formulation = self._formulation
        marked = np.zeros((formulation.vertices, 2 * formulation.n), dtype=bool)
        for reservoir in self._reservoirs:
            marked[reservoir.owned(formulation.vertices), reservoir.component] = True
        return marked

    @property
    def fixes_potential(self) -> np.ndarray:
        """Which mu are fixed, (owned vertices, n)."""
        return self.held[:, self._formulation.n :]

    @cached_property
    def fixed_potentials(self) -> int:
        """How many unknowns mu are fixed, on all ranks; a corner of two reservoirs counts once."""
        return int(global_sum(self._formulation.comm, int(self.fixes_potential.sum())))

    @property
    def _potentials(self) -> list[_Reservoir]:
        return [reservoir for reservoir in self._reservoirs if reservoir.component >= self._formulation.n]

    def update(self, time: float, potential_time: float) -> None:
        """Boundary values: concentrations at one time, potentials at another, since mu may stand for the middle of a step."""
        for reservoir in self._reservoirs:
            x = self._formulation.places[:, reservoir.dofs]
            if len(reservoir.dofs):
                reservoir.g.x.array[reservoir.dofs] = reservoir.evaluate(
                    x, time if reservoir.component < self._formulation.n else potential_time
                )
            reservoir.g.x.scatter_forward()
        self._require_admissible(time)

    def _require_admissible(self, time: float) -> None:
        """A reservoir's expression may leave the range of compositions as time goes on, and no step would lead there."""
        formulation, positive = self._formulation, self._formulation.model.positive
        for reservoir in self._reservoirs:
            values = reservoir.g.x.array[reservoir.dofs]
            i = reservoir.component % formulation.n
            bad = ~np.isfinite(values)
            if reservoir.component < formulation.n and self._names[i] in positive:
                bad |= (values <= 0) | (values >= 1)
            mine = f"{values[bad][0]:.6g}" if bad.any() else None
            found = [value for value in formulation.comm.allgather(mine) if value is not None]
            if found:
                field = (
                    f"concentration of {self._names[i]}"
                    if reservoir.component < formulation.n
                    else f"chemical potential of {self._names[i]}"
                )
                seconds = time * self._time_unit
                raise InputError(f"[boundary.{reservoir.boundary}] {field} is {found[0]} at t = {seconds:g}: no composition has that")

    def impose_potentials(self) -> None:
        """Set mu in u to its values in the reservoirs: there it is not F'(c), which lacks the reservoir's own surface term."""
        self._impose(self._potentials)

    def impose_concentrations(self) -> None:
        """Set c in u to its values in the reservoirs: otherwise it would jump there in the first step, however short that is."""
        self._impose([reservoir for reservoir in self._reservoirs if reservoir.component < self._formulation.n])

    def _impose(self, reservoirs: list[_Reservoir]) -> None:
        values = self._formulation.u.x.array.reshape(-1, 2 * self._formulation.n)
        for reservoir in reservoirs:
            values[reservoir.dofs, reservoir.component] = reservoir.g.x.array[reservoir.dofs]

    def imposed_fluxes(self) -> list[tuple[int, Any, Any]]:
        """(species index, outward flux J.n as UFL, measure) of every boundary with a given flux."""
        geometry = self._formulation.geometry
        ds = ufl.Measure("ds", domain=geometry.mesh, subdomain_data=geometry.facet_tags, metadata={"quadrature_degree": 4})
        x, t = ufl.SpatialCoordinate(geometry.mesh), self._formulation.time
        return [
            (self._names.index(name), fem.Constant(geometry.mesh, 1.0) * field.ufl(x, t), ds(geometry.boundaries[boundary]))
            for boundary, given in self._boundary.items()
            for name, field in given.flux.items()
        ]

    def outward_fluxes(self, balance: np.ndarray, dt: float) -> dict[tuple[str, str], float]:
        """Flux through each boundary with a condition, by (species, boundary), from the mass balance (vertices, n) of a step.

        Where mu is fixed, the flux is the reaction of the mass balance, which the boundaries that meet at a vertex share by their areas; so
        all fluxes together balance the mass to round-off.
        """
        comm = self._formulation.comm
        fluxes = {(name, boundary): 0.0 for name in self._names for boundary in self._boundary}
        for (i, boundary), share in self._shares.items():
            fluxes[self._names[i], boundary] = float(global_sum(comm, -share @ balance[:, i])) / dt
        for (name, boundary), form in self._imposed_totals.items():
            fluxes[name, boundary] = float(global_sum(comm, fem.assemble_scalar(form)))
        return fluxes

    @cached_property
    def _shares(self) -> dict[tuple[int, str], np.ndarray]:
        """For each species and boundary with fixed mu: the fraction of each vertex' reaction that belongs to it."""
        formulation = self._formulation
        geometry = formulation.geometry
        ds = ufl.Measure("ds", domain=geometry.mesh, subdomain_data=geometry.facet_tags)
        areas: dict[tuple[int, str], np.ndarray] = {}
        for reservoir in self._potentials:
            area = formulation.assembled(ufl.TestFunction(formulation.scalar_space) * ds(geometry.boundaries[reservoir.boundary]))
            mark = np.zeros(formulation.vertices)
            mark[reservoir.owned(formulation.vertices)] = 1.0
            # a surface inside the domain has no exterior area: its vertices are its own all the same
            areas[reservoir.component - formulation.n, reservoir.boundary] = mark * np.maximum(area, np.finfo(float).tiny)
        totals = {i: sum(area for (j, _), area in areas.items() if j == i) for i, _ in areas}
        return {(i, name): np.divide(area, totals[i], out=np.zeros_like(area), where=area > 0) for (i, name), area in areas.items()}

    @cached_property
    def _imposed_totals(self) -> dict[tuple[str, str], Any]:
        pairs = [(name, boundary) for boundary, given in self._boundary.items() for name in given.flux]
        return {pair: compile_form(flux * ds) for pair, (_, flux, ds) in zip(pairs, self.imposed_fluxes(), strict=True)}

    # -- reservoirs -----------------------------------------------------------------------------------------------------------

    def _evaluators(self, boundary: str) -> list[tuple[int, Evaluate]]:
        """(component of the unknown, its values) for everything that a boundary fixes."""
        given, n = self._boundary[boundary], self._formulation.n
        concentration = [given.concentration.get(name) for name in self._names]
        found: list[tuple[int, Evaluate]] = []
        for i, name in enumerate(self._names):
            field, potential = concentration[i], given.chemical_potential.get(name)
            if field is not None:
                found.append((i, field.at))
                if potential is None:
                    found.append((n + i, self._potential_of(boundary, i, concentration)))
            if potential is not None:
                found.append((n + i, potential.at))
        return found

    def _potential_of(self, boundary: str, i: int, concentration: list[Field | None]) -> Evaluate:
        """mu_i = df/dc_i of a reservoir's composition."""
        fields = [field for field in concentration if field is not None]
        if len(fields) < len(concentration):
            missing = [name for name, field in zip(self._names, concentration, strict=True) if field is None]
            raise InputError(
                f"[boundary.{boundary}] fixes the concentration of '{self._names[i]}' but not of {', '.join(missing)}: its chemical potential "
                f"depends on the whole composition; give the concentrations of all species, or chemical_potential = {{ {self._names[i]} = ... }}"
            )
        return lambda x, t: self._density.potential(np.array([field.at(x, t) for field in fields]))[i]

    def _require_exterior(self) -> None:
        """A flux or a wall energy inside the domain would be integrated nowhere."""
        formulation = self._formulation
        mesh, tags = formulation.geometry.mesh, formulation.geometry.facet_tags
        mesh.topology.create_connectivity(mesh.topology.dim - 1, mesh.topology.dim)
        exterior = exterior_facet_indices(mesh.topology)
        for name, given in self._boundary.items():
            if not (given.flux or given.wetting):
                continue
            owned = mesh.topology.index_map(mesh.topology.dim - 1).size_local
            facets = tags.find(formulation.geometry.boundaries[name])
            if global_sum(formulation.comm, int(np.setdiff1d(facets[facets < owned], exterior).size)):
                raise InputError(
                    f"[boundary.{name}] lies inside the domain: a flux or wetting needs the domain's outer boundary; inside, a concentration or "
                    "chemical_potential can be fixed"
                )

    def _fixed(self, boundary: str, component: int, evaluate: Evaluate) -> _Reservoir:
        formulation = self._formulation
        geometry, space, scalar = formulation.geometry, formulation.space, formulation.scalar_space
        facets = geometry.facet_tags.find(geometry.boundaries[boundary])
        dofs = fem.locate_dofs_topological((space.sub(component), scalar), geometry.mesh.topology.dim - 1, facets)
        g = fem.Function(scalar)
        return _Reservoir(boundary, component, g, dofs[1], fem.dirichletbc(g, dofs, space.sub(component)), evaluate)


@dataclass(frozen=True)
class _Reservoir:
    """One unknown field held at given values on a boundary."""

    boundary: str
    component: int
    g: fem.Function
    dofs: np.ndarray  # of g, ghosts included
    condition: Any
    evaluate: Evaluate

    def owned(self, vertices: int) -> np.ndarray:
        return self.dofs[self.dofs < vertices]
