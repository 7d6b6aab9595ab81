"""What a problem with charges must have, and what its numbers should look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .by_region import ByRegion
from .constants import FARADAY_CONSTANT, GAS_CONSTANT
from .errors import InputError
from .expression import Expression
from .free_energy import Electrostatic, LatticeGas
from .parallel import global_max

if TYPE_CHECKING:
    from .formulation import Formulation
    from .problem import Problem

TIMES = np.append(np.arange(200) * (np.sqrt(5) - 1) / 2 % 1.0, 1.0)  # of the run, at which a potential is looked at: no period hides it
NEUTRAL = 1e-9  # of sum |z_i| c_i
HIGHEST_VOLTAGE = 2.0  # V: beyond it water has decomposed long since
HIGHEST_THERMAL_VOLTAGE = 80.0  # RT/F, 2 V at room temperature


def check_charges(problem: Problem) -> None:
    """InputError where sizes, charges and electric conditions do not fit together."""
    if problem.sizes and not any(isinstance(term, LatticeGas) for term in problem.free_energy):
        raise InputError("[[species]] size counts the sites of a lattice: add [[free_energy]] kind = 'LatticeGas', or remove size")
    for boundary, given in problem.boundary.items():
        where = f"[boundary.{boundary}]"
        if given.electric and not problem.charged:
            raise InputError(f"{where}: potential, surface_charge and stern need [[free_energy]] kind = 'Electrostatic'")
        if problem.charged and given.concentration and given.stern is not None:
            raise InputError(f"{where}: concentrations are fixed where phi is: a reservoir takes no stern layer; remove one of them")
        for name in given.butler_volmer:
            if not problem.charged or not problem.charges[problem.names.index(name)]:
                raise InputError(f"{where} butler_volmer: '{name}' has no charge: give charge = ... in its [[species]]")
    if not problem.charged and problem.dielectrics:
        raise InputError(
            "dielectrics are regions of an electric field: add [[free_energy]] kind = 'Electrostatic', or leave them out of the mesh"
        )
    if not problem.charged:
        return
    if sum(isinstance(term, Electrostatic) for term in problem.free_energy) > 1:
        raise InputError("[[free_energy]] Electrostatic stands twice: there is one electric potential")
    if problem.time.scheme in ("avf", "convex-split"):
        raise InputError(
            f"[time] scheme = '{problem.time.scheme}' follows the energy of concentrations; with Electrostatic take 'bdf2' or 'backward-euler'"
        )
    if not any(given.potential is not None for given in problem.boundary.values()):
        raise InputError(
            "the electric potential is fixed nowhere, so it has no zero: give potential = 0 on some [boundary] (with stern, if it is an electrode)"
        )


def check_no_vacuum(problem: Problem) -> None:
    """InputError for permittivities relative to that of vacuum, which has no value without units."""
    layers: dict[str, Any] = {
        f"[boundary.{name}] stern": given.stern for name, given in problem.boundary.items() if given.stern is not None
    }
    terms = {term.label: term for term in problem.free_energy if isinstance(term, Electrostatic)}
    for label, given in (terms | layers).items():
        if given.relative_permittivity is not None:
            raise InputError(
                f"{label}: relative_permittivity needs units: without them give permittivity = lambda^2 = "
                "eps RT V_m/(F^2 L^2), the square of a Debye length over the unit of length, or give all quantities a unit"
            )


def require_neutral(problem: Problem, formulation: Formulation, boundary: str, vertices: np.ndarray, t: float) -> None:
    """InputError where a reservoir of all ions has a net charge sum_i z_i c_i + rho_f at some of its vertices; in solver units. Collective.

    A reservoir is large against the Debye length, so that no charge is left in it. Where its concentrations and the fixed charge are both
    expressions they may be those of a known solution, whose boundary lies in a layer of charge: they are taken as they are.
    """
    fixed = next((term.fixed_charge for term in problem.free_energy if isinstance(term, Electrostatic)), None)
    charges = {name: z for name, z in zip(problem.names, problem.charges, strict=False) if z}
    given = problem.boundary[boundary].concentration
    if not problem.charged or not charges.keys() <= given.keys():
        return
    if any(isinstance(given[name].value, Expression) for name in charges) and isinstance(getattr(fixed, "value", None), Expression):
        return
    vertices = vertices[vertices < formulation.vertices]
    x, comm = formulation.x[:, vertices], formulation.comm
    c = {name: given[name].at(x, t) for name in charges}
    rho_f = np.zeros(len(vertices))
    if isinstance(fixed, ByRegion):
        for region in (name for name in formulation.geometry.matter if name in fixed.value):  # in the same order on every rank
            rho_f += formulation.per_volume(formulation.region_weights(region))[vertices] * fixed.value[region].at(x, t)
    elif fixed is not None:
        rho_f = fixed.at(x, t)
    net = sum(z * c[name] for name, z in charges.items()) + rho_f
    excess = np.abs(net) - NEUTRAL * sum(abs(z) * c[name] for name, z in charges.items())
    worst = global_max(comm, excess)
    if worst <= 0:
        return
    # of equally bad vertices the first one in space: the same on any number of ranks
    bad = np.flatnonzero(excess > worst - 1e-12 * max(1.0, worst))
    mine = [(tuple(x[:, i]), float(net[i]), float(rho_f[i]), {name: float(c[name][i]) for name in c}) for i in bad]
    found = [item for items in comm.allgather(mine) for item in items]
    _, charge, background, there = min(found, key=lambda item: item[0])
    unit = next(iter(given.values())).scales.concentration

    def shown(number: float) -> str:
        return f"{number * unit:.10g}" + (" mol/m^3" if unit != 1.0 else "")

    parts = [f"{z:+g} of {shown(there[name])} {name}" for name, z in charges.items()]
    parts += [f"{shown(background)} of fixed charge"] if background else []
    remedies = [f"{name} = {shown(there[name] - charge / z)}" for name, z in charges.items() if there[name] - charge / z > 0]
    raise InputError(
        f"[boundary.{boundary}] concentrations: the reservoir has the net charge {shown(charge)} ({', '.join(parts)}), and must be neutral: "
        f"give {' or '.join(remedies) or 'ions of the other sign'}"
    )


def charge_warnings(problem: Problem) -> list[str]:
    """Potentials that look like thermal volts given as volts, or the reverse, and charges that no field acts on."""
    warnings = []
    if not problem.charged:
        ions = [name for name, z in zip(problem.names, problem.charges, strict=False) if z]
        if ions:
            warnings.append(
                f"{', '.join(ions)}: a charge has no effect without a potential; add [[free_energy]] kind = 'Electrostatic', or remove charge"
            )
        return warnings
    for boundary, given in problem.boundary.items():
        if given.potential is None or given.potential.depends_on - {"t"}:
            continue
        highest = max(abs(float(given.potential.at(np.zeros((3, 1)), t)[0])) for t in float(problem.time.end) * TIMES)
        where = f"[boundary.{boundary}] potential = {given.potential.text}"
        if problem.dimensional and highest > HIGHEST_VOLTAGE:
            thermal = GAS_CONSTANT * (problem.reference_temperature((0.0, 0.0, 0.0)) or 298.15) / FARADAY_CONSTANT
            warnings.append(
                f"{where} is {highest / thermal:.3g} thermal volts at its highest: if it was meant in thermal volts, {highest:g} RT/F are "
                f"{1e3 * highest * thermal:.3g} mV"
            )
        elif not problem.dimensional and highest > HIGHEST_THERMAL_VOLTAGE:
            warnings.append(
                f"{where}: without units potentials are in thermal volts RT/F, 25.7 mV at 25 degC, and this is {25.7e-3 * highest:.3g} V at its "
                f"highest; if it was meant in mV, give {highest / 25.7:.3g}"
            )
    return warnings
