"""What is known of a state as numbers: the columns of history.csv."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI

from .errors import InputError
from .integrator import Step
from .locate import Locator, Place
from .markers import Markers
from .parallel import global_sum
from .system import System
from .tables import Average, Probe


class Columns:
    """Names and values of a row of history.csv, in the problem's units (SI, if it has units).

    Fractions have no unit: a mass int c dx is in m^3, a flux int J.n ds in m^3/s (per m^2 in 1D, per m in 2D), mu in J/m^3. Concentrations that are
    amounts per volume are in mol/m^3, masses in mol, fluxes in mol/s, mu in J/mol. Energies are in J, charges in C, currents in A, phi in V.

    step, time, dt, newton_iterations, linear_iterations, energy, dissipation; mass, min and max of each species (the named balance too);
    the outward flux of each through each boundary with a condition; with charges the total charge, that on each boundary with a potential or a
    surface charge, and the outward current of ions sum_i z_i F J_i.n through each; probes; averages; displacements of markers; the fractions of
    the volume and of the flux of each species that go uphill.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        d = system.geometry.volume_dimension
        unit = system.scales.factor
        self._time, self._length, self._volume = unit("s"), system.scales.length, system.scales.length**d
        self._charge, self._voltage = unit("C/m^3") * self._volume, unit("V")
        self._energy = unit("J/m^3") * self._volume
        self._concentration, self._potential = unit("concentration"), unit("J/(m^3*concentration)")
        self._species = [*system.model.names, *([system.model.balance] if system.model.balance else [])]
        locator = Locator(system)
        self._probes = [(probe.name, _probe_place(system, locator, probe)) for probe in system.problem.output.probe]
        self._averages = [(average.name, _average_weights(system, average)) for average in system.problem.output.average]
        self._markers = Markers(system, system.problem.output.marker)

    def row(self, step: Step) -> dict[str, float]:
        """All columns for the state that u holds; once a step, in order, since markers move along."""
        system = self._system
        row: dict[str, float] = {
            "step": step.number,
            "time": step.time * self._time,
            "dt": step.dt * self._time,
            "newton_iterations": step.newton_iterations,
            "linear_iterations": step.linear_iterations,
            "energy": step.energy * self._energy,
            "dissipation": step.dissipation * self._energy / self._time,
        }
        volume = float(global_sum(system.comm, system.volume.sum()))
        closed = self._closed(system.concentrations)
        present = closed[system.has_matter]
        low, high = present.min(axis=0, initial=np.inf), present.max(axis=0, initial=-np.inf)
        low, high = system.comm.allreduce(low, op=_MIN), system.comm.allreduce(high, op=_MAX)
        masses = self._with_balance(system.masses(), volume)
        for i, name in enumerate(self._species):
            row |= {f"mass_{name}": masses[i] * self._concentration * self._volume}
            row |= {f"min_{name}": low[i] * self._concentration, f"max_{name}": high[i] * self._concentration}
        flux = self._concentration * self._volume / self._time  # of int J.n ds
        for boundary in system.problem.boundary:
            through = [step.fluxes[name, boundary] for name in system.model.names]
            for name, value in zip(self._species, [*through, system.balance_flux(through)], strict=False):
                row[f"flux_{name}_{boundary}"] = value * flux
        if system.model.charged:
            row["charge"] = system.charge() * self._charge
            for boundary, charge in step.charges.items():
                row[f"charge_{boundary}"] = charge * self._charge
            for boundary in system.problem.boundary:
                ions = zip(system.model.charges, system.model.names, strict=True)
                row[f"current_{boundary}"] = sum(z * step.fluxes[name, boundary] for z, name in ions) * self._charge / self._time
        if self._probes:
            fields = np.column_stack([system.formulation.all_concentrations(), system.potentials(), system.formulation.all_phi()])
        for probe, place in self._probes:
            values = place.value(fields)
            values[: 2 * system.n] *= place.in_matter
            closed_here = self._with_balance(values[: system.n], 1.0)
            row |= {f"{name}_{probe}": c * self._concentration for name, c in zip(self._species, closed_here, strict=True)}
            row |= {f"mu_{name}_{probe}": mu * self._potential for name, mu in zip(system.model.names, values[system.n : -1], strict=True)}
            if system.model.charged:
                row[f"phi_{probe}"] = values[-1] * self._voltage
        for average, weights in self._averages:
            total = float(global_sum(system.comm, weights.sum()))
            means = np.asarray(global_sum(system.comm, weights @ closed)) / total
            row |= {f"mean_{name}_{average}": mean * self._concentration for name, mean in zip(self._species, means, strict=True)}
        row |= {name: moved * self._length for name, moved in self._markers.displacements(step).items()}
        uphill = system.uphill_map()
        row |= {f"uphill_volume_{name}": fraction for name, fraction in uphill.volume_fractions.items()}
        row |= {f"uphill_flux_{name}": fraction for name, fraction in uphill.flux_fractions.items()}
        return row

    @property
    def state(self) -> list[list[float]]:
        """What the next row needs to know of those before, as JSON has it: where the markers are."""
        return self._markers.at

    def recall(self, state: list[list[float]]) -> None:
        """Continue with what `state` gave when u was as it is now."""
        self._markers.continue_at(state)

    def _closed(self, c: np.ndarray) -> np.ndarray:
        """(vertices, species) with the named balance."""
        return np.column_stack([c, 1 - c.sum(axis=1)]) if self._system.model.balance else c

    def _with_balance(self, values: np.ndarray, total: float) -> np.ndarray:
        return np.append(values, total - values.sum()) if self._system.model.balance else values


def _elementwise(operation: Any) -> MPI.Op:
    return MPI.Op.Create(lambda a, b, _: operation(a, b), commute=True)


_MIN, _MAX = _elementwise(np.minimum), _elementwise(np.maximum)


def _probe_place(system: System, locator: Locator, probe: Probe) -> Place:
    d = system.geometry.dimension
    if len(probe.at) not in (d, 3):
        raise InputError(f"[[output.probe]] {probe.name}: at has {len(probe.at)} numbers, the mesh has {d} dimensions")
    place = locator.place(np.array(probe.at))
    if place is None:
        where = ", ".join(f"{x * system.scales.length:g}" for x in probe.at)
        raise InputError(f"[[output.probe]] {probe.name}: the point ({where}) lies outside the mesh")
    return place


def _average_weights(system: System, average: Average) -> np.ndarray:
    """The volume of each vertex that counts."""
    if average.region is not None:
        return system.formulation.region_weights(average.region)
    assert average.where is not None
    place = dict(zip("xyz", system.formulation.x * system.scales.length, strict=True))
    inside = np.broadcast_to(average.where.numpy(**place, t=0.0), system.volume.shape).astype(bool) & system.has_matter
    if global_sum(system.comm, int(inside.sum())) == 0:
        raise InputError(f"[[output.average]] {average.name}: where = '{average.where.text}' holds at no vertex of the mesh")
    return np.where(inside, system.volume, 0.0)
