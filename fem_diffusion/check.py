"""What can be known before a run: derived scales, and warnings where the mesh or the first step cannot resolve the physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import double_layers
from .admissible import check_positive, sample_compositions
from .charges import charge_warnings
from .diagnostics import Columns
from .errors import InputError
from .mesh import statistics
from .parallel import global_max, global_min, global_sum
from .pointwise import eigenvalues
from .system import System
from .thermodynamics import UNITS, BinaryThermodynamics


@dataclass(frozen=True)
class Report:
    """Derived numbers with their units, in the problem's units, and what to beware of."""

    numbers: dict[str, tuple[Any, str]]
    warnings: list[str]


CELLS_PER_INTERFACE = 3
SHOWN = ("curvature", "spinodal", "binodal", "wavelength", "growth_rate", "interface_width", "interface_energy")


def check(system: System) -> Report:
    """Mesh, composition and, for a binary, its thermodynamics at the mean initial composition; with charges the double layers.

    Collective; sets the initial state. InputError where a probe or an average is nowhere, or where the model is ill-posed.
    """
    system.initialise()
    require_well_posed(system)
    _require_rate(system)
    Columns(system)
    mesh = statistics(system.geometry)
    dimensional, scales = system.given.dimensional, system.scales
    volume = float(global_sum(system.comm, system.volume.sum()))
    means = system.masses() / volume
    numbers: dict[str, tuple[Any, str]] = {
        "cells": (mesh["cells"], ""),
        "vertices": (mesh["vertices"], ""),
        "unknowns": (system.unknowns, ""),
        "formulation": (f"{system.formulation.description} ({system.why_formulation})", ""),
        "linear_solver": (system.linear.description, ""),
        "h_min": (mesh["h_min"] * scales.length, "m" if dimensional else ""),
        "h_max": (mesh["h_max"] * scales.length, "m" if dimensional else ""),
    }
    for name, mean in zip(system.model.names, means, strict=True):
        numbers[f"mean of {name}"] = (float(mean) * scales.concentration, "mol/m^3" if system.given.molar else "")
    if system.model.charged:
        numbers |= double_layers.numbers(system)
        return Report(numbers, [*_warnings(system), *double_layers.warnings(system)])
    if system.n == 1:
        binary = BinaryThermodynamics.of(
            system.problem.free_energy, system.problem.transport, system.problem.composition(), float(means[0])
        )
        numbers |= {key: value for key, value in in_problem_units(binary, system).items() if key in SHOWN and value[0] is not None}
        return Report(numbers, [*_warnings(system), *_binary_warnings(system, binary, mesh["h_max"])])
    return Report(numbers, _warnings(system))


def _warnings(system: System) -> list[str]:
    """Of any number of components."""
    warnings, c = [*system.geometry.warnings, *charge_warnings(system.given)], system.composition
    for name in c.closed:
        bringing = [type(term).__name__ for term in system.problem.free_energy if name in term.entropy(c)]
        if len(bringing) > 1:
            warnings.append(
                f"the entropy of mixing of {name} counts {len(bringing)} times: {' and '.join(bringing)} each have it "
                "(of RegularSolution the excess alone is PairInteraction)"
            )
    warnings += _charge_warnings(system)
    if not system.model.mobility.balance_moves and not system.problem.time.steady:
        warnings.append(
            f"{c.balance} stands still, but is also what is left of the sum: until the state is steady its amount is not conserved; "
            "take [time] steady = true"
        )
    return warnings


def _charge_warnings(system: System) -> list[str]:
    """Of ions that nothing balances at the start: the field that they make decides what happens first, and may be beyond all measure."""
    if not system.model.charged:
        return []
    ions = sum(abs(z) * amount for z, amount in zip(system.model.charges, system.masses(), strict=False))
    electrodes = {name for name, given in system.problem.boundary.items() if given.surface_charge is None}
    walls = sum(charge for name, charge in system.boundary_charges().items() if name not in electrodes)
    net = system.charge() + walls
    if abs(net) <= 1e-3 * ions or system.model.surface_energy or any(given.concentration for given in system.problem.boundary.values()):
        return []
    share = f"{net / ions:+.2g} of the ions' charges"
    return [
        f"the initial state is not neutral: {share} stay without counter-charge, fixed charge included, and no reservoir supplies it; give "
        "concentrations with sum_i z_i c_i + rho_f = 0"
    ]


def in_problem_units(binary: BinaryThermodynamics, system: System) -> dict[str, tuple[Any, str]]:
    """All numbers of the binary with their SI units, or without where the problem has none."""
    dimensional = system.given.dimensional
    numbers = binary.as_dict()
    if dimensional and not system.given.thermal:
        numbers["thermodynamic_factor"] = None  # it is defined by RT/V_m

    def convert(value: Any, unit: str) -> Any:
        if value is None or not dimensional:
            return value
        return np.multiply(value, system.scales.factor(unit)).tolist()

    return {key: (convert(value, UNITS[key]), UNITS[key] if dimensional else "") for key, value in numbers.items()}


def _binary_warnings(system: System, binary: BinaryThermodynamics, h_max: float) -> list[str]:
    warnings: list[str] = []
    scales, dimensional = system.scales, system.given.dimensional
    metre, second = (" m", " s") if dimensional else ("", "")
    width, growth = binary.interface_width, binary.growth_rate
    if width and binary.kappa > 0 and h_max > width / CELLS_PER_INTERFACE:
        warnings.append(
            f"the mesh cannot resolve the interface: its width is {width * scales.length:.3g}{metre}, "
            f"the largest cell {h_max * scales.length:.3g}{metre}; "
            f"refine to h = {width / CELLS_PER_INTERFACE * scales.length:.3g}{metre} ({CELLS_PER_INTERFACE} cells across), or raise kappa"
        )
    time = system.problem.time
    first = time.step if time.step is not None else time.initial_step
    if growth and first is not None and float(first) > 1 / growth:
        name = "step" if time.step is not None else "initial_step"
        warnings.append(
            f"[time] {name} = {float(first) * scales.time:.3g}{second} is longer than the growth time "
            f"{scales.time / growth:.3g}{second} of the fastest wave: take {0.1 * scales.time / growth:.2g}{second}, or leave it to the error control"
        )
    c = system.concentrations
    if binary.curvature < 0 and global_max(system.comm, c) - global_min(system.comm, c) < 1e-14 and system.isolated:
        warnings.append("the initial state is uniform inside the spinodal: nothing will happen without a perturbation; add '+ 0.01*noise'")
    return warnings


def require_well_posed(system: System) -> None:
    """InputError where the mobility does not dissipate, or where the mixture is unstable and no gradient energy limits how fine it decomposes.

    The mobility is tried over the whole range of compositions, the energy over those between the initial and the reservoirs' ones.
    """
    if not system.model.mobility.balance_moves:
        _require_medium(system)
    mobility, composition, closed = system.model.mobility, system.composition, system.model.closed
    low, high = _range(system)
    check_positive(mobility, composition, sample_compositions(composition, closed, lower=low, upper=high))
    c = sample_compositions(composition, False, lower=low, upper=high)
    if closed:
        c = c[:, (c > 0).all(axis=0) & (system.model.rest(c.T) > 0)]
    if not c.size or (eigenvalues(system.local_density.gradient_coefficients(c))[:, 0] > 0).all():
        return
    for ratio in _temperature_range(system):
        lowest = eigenvalues(system.local_density.hessian(c, ratio))[:, 0]
        worst = int(np.nanargmin(lowest)) if np.isfinite(lowest).any() else None
        if worst is not None and lowest[worst] < -1e-10 * max(1.0, float(np.nanmax(np.abs(lowest)))):
            at = ", ".join(f"{name} = {value:.4g}" for name, value in zip(composition.names, c[:, worst], strict=True))
            hot = "" if system.model.temperature is None else f" and T = {ratio * system.scales.temperature:.4g}"
            raise InputError(
                f"the mixture is unstable at {at}{hot}, a composition that the run may reach (smallest curvature of f: {lowest[worst]:.4g} RT/V_m), "
                "and there is no gradient energy: the equations are ill-posed and any answer would depend on the mesh; add a "
                "[[free_energy]] with kind = 'Gradient'"
            )


def _require_rate(system: System) -> None:
    """InputError where an expression of the problem has no finite value at the start."""
    formulation = system.formulation
    undefined = ~np.isfinite(system.rate_of_change())
    mine = [
        (tuple(formulation.x[:, i]), system.model.names[k], formulation.place(i, system.scales.length)) for i, k in np.argwhere(undefined)
    ]
    found = [item for item in system.comm.allgather(min(mine) if mine else None) if item is not None]
    if found:
        _, name, place = min(found)  # the first one in space: the same on any number of ranks
        raise InputError(
            f"the rate at which {name} changes is not a number at {place} at the start: a source, reaction, flux, exchange or potential has no "
            "finite value there, as of a logarithm or root of a negative number, or a division by zero"
        )


def _require_medium(system: System) -> None:
    """A component that stands still must be there: the friction with it holds all others."""
    places = {}
    for name, given in system.problem.boundary.items():
        if set(given.concentration) == set(system.model.names):
            x = system.geometry.points_on(name)
            places[f"[boundary.{name}]"] = np.array([given.concentration[species].at(x, 0.0) for species in system.model.names])
    places["the initial state"] = system.concentrations.T
    for place, c in places.items():
        if global_min(system.comm, 1 - c.sum(axis=0)) <= 1e-9:
            raise InputError(
                f"{system.model.mobility.label}: {system.model.balance} stands still, so it must be present everywhere, and {place} has none of it: "
                "leave it a small fraction, or remove stagnant"
            )


def _range(system: System) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest concentrations at the start and in the reservoirs, each (n,)."""
    low, high = system.bounds()
    reservoir_low, reservoir_high = system.conditions.concentration_range()
    return np.minimum(low, reservoir_low), np.maximum(high, reservoir_high)


def _temperature_range(system: System) -> tuple[float, ...]:
    """T/T_ref: one, or the smallest and largest of eleven times from start to end."""
    if system.model.temperature is None:
        return (1.0,)
    ratios = [system.model.ratio_at(system.formulation.x, t) for t in np.linspace(0, float(system.problem.time.end), 11)]
    return global_min(system.comm, np.concatenate(ratios)), global_max(system.comm, np.concatenate(ratios))
