"""Initial concentrations at the vertices, from numbers, expressions, noise, or values by region."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from .errors import InputError
from .expression import noise
from .field import Field, Noise
from .formulation import Formulation, Model
from .parallel import global_max, global_min, global_sum
from .problem import Problem

# A logarithm has no value at an empty or full vertex; this little is put there instead, less than any tolerance.
TRACE = 1e-12


def initial_concentrations(problem: Problem, formulation: Formulation, length: float) -> np.ndarray:
    """c of shape (vertices, n), for a problem in solver units, whose unit of length is `length`. Raises InputError where it is no composition."""
    species = [s for s in problem.species if not s.balance]
    c = np.column_stack([_values(s.initial, problem.seed, stream, formulation) for stream, s in enumerate(species)])
    c[~formulation.has_matter[: formulation.vertices]] = 0.0
    fields: list[Any] = [field for s in species for field in (s.initial.values() if isinstance(s.initial, dict) else [s.initial])]
    _require_composition(c, formulation, length, fields[0].scales.concentration)
    if formulation.potential_rows is None or not formulation.model.positive:
        return c
    if not formulation.model.closed:
        return np.maximum(c, TRACE)
    closed = np.maximum(np.column_stack([c, formulation.model.rest(c)]), TRACE)
    volume = 1 + closed[:, -1] - formulation.model.rest(closed[:, :-1])
    filled: np.ndarray = closed[:, :-1] / volume[:, None]
    return filled


def _values(initial: Any, seed: int, stream: int, formulation: Formulation) -> np.ndarray:
    x, comm = formulation.x, formulation.comm
    lower = np.array([global_min(comm, row) for row in x])
    extent = max(global_max(comm, row) - low for row, low in zip(x, lower, strict=True))

    def random(x: np.ndarray) -> np.ndarray:
        return noise(seed, x, lower, extent, stream)

    if isinstance(initial, Field):
        return _at_vertices(initial, random, formulation)
    # A vertex between regions takes their mean by volume: the mass is that of the piecewise data.
    weighted, total = np.zeros(formulation.vertices), np.zeros(formulation.vertices)
    for region, field in initial.items():
        weight = formulation.region_weights(region)
        weighted += weight * _at_vertices(field, random, formulation)
        total += weight
    if global_min(comm, total - 0.999 * formulation.volume) < 0:
        missing = sorted(set(formulation.geometry.matter) - set(initial))
        raise InputError(
            f"[[species]] initial by region leaves out {', '.join(missing) or 'part of the mesh'}: give a value for every region"
        )
    return np.divide(weighted, total, out=np.zeros_like(total), where=total > 0)


def _at_vertices(field: Field, random: Noise, formulation: Formulation) -> np.ndarray:
    """Values at the vertices; where an expression jumps across the seam of a periodic mesh, the mean over the cells of a vertex.

    One side's value there would displace the data by half a cell, an error of first order in h.
    """
    geometry = formulation.geometry
    if not geometry.period.any():
        return field.at(formulation.x, 0.0, random)
    cellwise = fem.Function(fem.functionspace(geometry.mesh, ("DG", 1)))
    cellwise.interpolate(lambda x: field.at(x, 0.0, lambda x: random(geometry.wrap(x))))
    return formulation.per_volume(formulation.assembled(cellwise * ufl.TestFunction(formulation.scalar_space) * formulation.lumped))


def _require_composition(c: np.ndarray, formulation: Formulation, length: float, unit: float) -> None:
    """`unit` is that of concentrations in mol/m^3, or 1 of fractions."""
    comm, model = formulation.comm, formulation.model
    if not np.isfinite(global_sum(comm, float(c.sum()))):
        raise InputError("[[species]] initial is not a number somewhere: a logarithm or root of a negative number, or a division by zero")
    composition = model.composition([0.0] * len(model.names))
    bounded = any(term.of_fractions(composition) for term in model.free_energy)
    if not bounded and not model.positive:
        return
    most, legal = (1.0, "fractions are between 0 and 1") if bounded else (np.inf, "concentrations are not negative")
    if unit != 1.0:
        legal = f"there is room for {unit:g} mol/m^3" if bounded else legal
    for name, values in [*zip(model.names, c.T, strict=True), (f"all ({_sum(model)})", 1 - model.rest(c))]:
        excess = np.maximum(-values, values - most)
        worst = global_max(comm, excess)
        if worst > 1e-12:
            # of equally bad vertices the first one in space: the same on any number of ranks
            bad = np.flatnonzero(excess > worst - 1e-12 * max(1.0, worst))
            mine = [(tuple(formulation.x[:, i]), float(values[i]), formulation.place(i, length)) for i in bad]
            _, value, place = min(item for items in comm.allgather([min(mine)] if mine else []) for item in items)
            molar = " mol/m^3" if unit != 1.0 else ""
            raise InputError(f"[[species]] initial of {name} is {value * unit:.6g}{molar} at {place}: {legal}")


def _sum(model: Model) -> str:
    sizes = model.sizes or (1.0,) * len(model.names)
    return " + ".join(name if size == 1.0 else f"{size:g} {name}" for name, size in zip(model.names, sizes, strict=True))
