"""What is known of a problem's double layers before it runs: their lengths, how crowded they get, and whether the mesh resolves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dolfinx import mesh as dmesh

from . import compat
from .boundary import Boundary
from .by_region import ByRegion
from .charges import TIMES
from .electrolyte import Electrolyte, bjerrum_length
from .field import Field
from .free_energy import Electrostatic
from .initial import TRACE
from .mesh import Geometry
from .parallel import global_max, global_min, global_sum
from .system import System

CELLS_PER_LAYER = 2
THINNEST = 1e-3  # of the Debye length


@dataclass(frozen=True)
class Bulk:
    """A solution that is large against the Debye length: a reservoir, or the mean of the initial state between electrodes."""

    name: str
    electrolyte: Electrolyte
    phi: float


def numbers(system: System) -> dict[str, tuple[Any, str]]:
    """Debye lengths, Bjerrum length (with units), the largest difference of potentials, volume fractions at walls, Dukhin numbers. Collective.

    In the problem's units. The Dukhin number is the Dukhin length over the radius of the pore: the smallest distance of the charged wall from
    the axis, or half of the domain's smallest side.
    """
    metre = "m" if system.given.dimensional else ""
    found: dict[str, tuple[Any, str]] = {}
    bulks = _bulks(system)
    for bulk in bulks:
        found[f"Debye length of {bulk.name}"] = (bulk.electrolyte.debye_length * system.scales.length, metre)
    if system.given.dimensional:
        permittivity = bulks[0].electrolyte.permittivity * system.scales.factor("F/m")
        found["Bjerrum length"] = (bjerrum_length(permittivity, system.scales.temperature), "m")
    potentials = [_range(system, name, given.potential) for name, given in system.problem.boundary.items() if given.potential is not None]
    found["largest potential difference"] = (max(high for _, high in potentials) - min(low for low, _ in potentials), "RT/F")
    for name, (bulk, phi) in _walls(system, bulks).items():
        if bulk.electrolyte.sizes is not None:
            found[f"volume fraction at {name}"] = (float(bulk.electrolyte.volume_fraction(phi)[0]), "")
    for name, given in system.problem.boundary.items():
        if given.surface_charge is not None:
            sigma = max(map(abs, _range(system, name, given.surface_charge)))
            length, radius = max(bulk.electrolyte.dukhin_length(sigma) for bulk in bulks), _radius(system, name)
            if radius > 0:  # a wall that reaches the axis is no pore
                found[f"Dukhin number of {name}"] = (length / radius, "")
    return found


def warnings(system: System) -> list[str]:
    """Of cells that are too large for the layer of ions beside them. Collective."""
    found, scales = [], system.scales
    metre = " m" if system.given.dimensional else ""
    for name, (bulk, phi) in _walls(system, _bulks(system)).items():
        height, layer = wall_height(system.geometry, name), bulk.electrolyte.layer_thickness(phi)
        if layer < THINNEST * bulk.electrolyte.debye_length:
            found.append(
                f"[boundary.{name}]: at {phi:.3g} RT/F point ions crowd without bound, in a layer that no mesh resolves: take kind = 'LatticeGas' "
                "with a site_concentration, put a stern layer before the electrode, or check the potential's unit"
            )
        elif height > layer / CELLS_PER_LAYER:
            across, wanted, debye = (
                f"{length * scales.length:.2g}{metre}" for length in (height, layer / CELLS_PER_LAYER, bulk.electrolyte.debye_length)
            )
            found.append(
                f"[boundary.{name}]: the mesh cannot resolve the double layer: at {phi:.3g} RT/F the charge changes over {CELLS_PER_LAYER} x "
                f"{wanted} (Debye length {debye}), and the cells there are {across} high; refine to {wanted} at that wall (a smaller lc, or a field "
                "'BoundaryLayer', in the .geo file), or take more cells"
            )
    return found


def wall_height(geometry: Geometry, boundary: str) -> float:
    """The largest height above a boundary's facets of the cells beside it that matter may enter. Collective."""
    mesh, d = geometry.mesh, geometry.dimension
    for pair in ((d - 1, d), (d - 1, 0), (d, 0), (d, d - 1)):
        mesh.topology.create_connectivity(*pair)
    beside = mesh.topology.connectivity(d - 1, d)
    facets = geometry.facet_tags.find(geometry.boundaries[boundary])
    pairs = [(row, cell) for row, facet in enumerate(facets) for cell in beside.links(facet) if geometry.is_matter[cell]]
    if not pairs:
        return global_max(mesh.comm, np.zeros(0))
    rows, cells = np.array(pairs).T
    corners = mesh.geometry.x[dmesh.entities_to_geometry(mesh, d - 1, facets)[rows, :d]]  # d of them span the facet
    away = mesh.geometry.x[compat.cell_nodes(mesh)[cells]] - corners[:, :1]
    along = np.linalg.qr(np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2))[0]
    away = away - away @ along @ np.swapaxes(along, 1, 2)
    return global_max(mesh.comm, np.linalg.norm(away, axis=2))


def _bulks(system: System) -> list[Bulk]:
    problem, model = system.problem, system.model
    given_permittivity: Any = next(term.permittivity for term in problem.free_energy if isinstance(term, Electrostatic))
    permittivity = given_permittivity
    if isinstance(given_permittivity, ByRegion):
        permittivity = min(given_permittivity.value[region] for region in system.geometry.matter)
    sizes = np.array(model.sizes or (1.0,) * system.n) if model.closed else None
    mean = np.maximum(system.masses() / global_sum(system.comm, system.volume.sum()), TRACE)
    solution = Electrolyte(float(permittivity), mean, np.array(model.charges), sizes)
    found, electrodes = [], []
    for name, given in problem.boundary.items():
        if given.potential is None:
            continue
        electrodes.append(_mean(system, name, given.potential))
        if set(given.concentration) == set(model.names):
            c = np.array([max(_mean(system, name, given.concentration[species]), TRACE) for species in model.names])
            found.append(Bulk(name, replace(solution, concentrations=c), electrodes[-1]))
    return found or [Bulk("the mean state", solution, float(np.mean(electrodes)))]


def _walls(system: System, bulks: list[Bulk]) -> dict[str, tuple[Bulk, float]]:
    """For each electrode and charged surface the bulk from which it differs most, and by how much, RT/F, what a Stern layer holds left out."""
    found = {}
    for name, given in system.problem.boundary.items():
        if not given.concentration and given.electric:
            found[name] = max(((bulk, phi) for bulk in bulks for phi in _drops(system, name, given, bulk)), key=lambda wall: abs(wall[1]))
    return found


def _drops(system: System, name: str, given: Boundary, bulk: Bulk) -> list[float]:
    electrolyte = bulk.electrolyte
    if given.surface_charge is not None:
        sides = 2 if _has_two_solutions(system.geometry, name) else 1  # which share the charge
        return [electrolyte.wall_potential(sigma / sides) for sigma in _range(system, name, given.surface_charge)]
    assert given.potential is not None
    drops = [V - bulk.phi for V in _range(system, name, given.potential)]
    if given.stern is None:
        return drops
    assert given.stern.permittivity is not None
    return [electrolyte.behind_stern_layer(V, given.stern.permittivity / given.stern.thickness) for V in drops]


def _has_two_solutions(geometry: Geometry, boundary: str) -> bool:
    """Whether matter may be on both sides of a boundary's facets. Collective."""
    mesh, d = geometry.mesh, geometry.dimension
    mesh.topology.create_connectivity(d - 1, d)
    beside = mesh.topology.connectivity(d - 1, d)
    facets = geometry.facet_tags.find(geometry.boundaries[boundary])
    most = max((int(sum(geometry.is_matter[beside.links(facet)])) for facet in facets), default=0)
    return global_max(mesh.comm, np.array([float(most)])) > 1


def _range(system: System, boundary: str, field: Field) -> tuple[float, float]:
    """Smallest and largest value on a boundary at any of some times. Collective."""
    x = system.geometry.points_on(boundary)
    values = np.concatenate([field.at(x, t) for t in float(system.problem.time.end) * TIMES])
    return global_min(system.comm, values), global_max(system.comm, values)


def _mean(system: System, boundary: str, field: Field) -> float:
    """Between the smallest and the largest value on a boundary at the start. Collective."""
    values = field.at(system.geometry.points_on(boundary), 0.0)
    return (global_min(system.comm, values) + global_max(system.comm, values)) / 2


def _radius(system: System, boundary: str) -> float:
    x = system.geometry.points_on(boundary) if system.geometry.axisymmetric else system.formulation.x[: system.geometry.dimension]
    if system.geometry.axisymmetric:
        return global_min(system.comm, x[0])
    return min(global_max(system.comm, row) - global_min(system.comm, row) for row in x) / 2
