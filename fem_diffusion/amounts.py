"""Concentrations as fractions or as amounts per volume, and the molar volume that relates the two.

What is solved for is the fraction c V_m in both. V_m is `molar_volume`, or one over the `site_concentration` of a LatticeGas. The classical
Poisson-Nernst-Planck equations have no V_m of their own: their scale is one over the largest concentration that is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .boundary import PotentialExchange
from .errors import InputError
from .free_energy import Electrostatic, ExternalPotential, Ideal, LatticeGas
from .mobility import Fick, Onsager
from .units import Value, quantities, si_unit, units_of

if TYPE_CHECKING:
    from .problem import Problem

# Of a density, a wall, a gradient energy and a mobility whose c is a fraction.
_OF_FRACTIONS = frozenset({"J/m^3", "J/m^2", "J/m", "m^5/(J*s)"})


def are_molar(problem: Problem) -> bool:
    """Whether concentrations are amounts per volume: a LatticeGas has a site_concentration, or some concentration a unit."""
    return _sites(problem) is not None or any(value.molar for _, value in _concentrations(problem))


def molar_volume(problem: Problem) -> float | None:
    """V_m in m^3/mol, or None where nothing tells it."""
    if problem.molar_volume is not None:
        return float(problem.molar_volume)
    sites = _sites(problem)
    if sites is None and _has_no_sites(problem):
        sites = Value(max((float(value) for _, value in _concentrations(problem) if value.molar), default=0.0))
    return 1 / sites if sites else None


def check_amounts(problem: Problem) -> None:
    """InputError where fractions and amounts per volume are mixed, or where nothing relates them."""
    if not are_molar(problem):
        for path, value in _given(problem):
            if value.molar:
                raise InputError(
                    f"{path} = '{value.text}' is per amount of substance, but concentrations are fractions here: give it in "
                    f"{si_unit(value.unit, molar=False)}, or the concentrations in mol/l"
                )
        return
    sites = _sites(problem)
    path, first = next(((path, value) for path, value in _concentrations(problem) if value.molar), ("", Value(0.0)))
    why = f"LatticeGas has site_concentration = '{sites.text}'" if sites is not None else f"{path} = '{first.text}'"
    if not any(isinstance(term, (Ideal, LatticeGas)) for term in problem.free_energy):
        labels = " and ".join(term.label for term in problem.free_energy)
        raise InputError(f"{path} = '{first.text}': {labels} is of fractions, and so are its concentrations: give a plain number")
    for part in (*problem.free_energy, problem.mobility):
        if isinstance(part, Onsager) or _OF_FRACTIONS & set(units_of(part)):
            raise InputError(
                f"{part.label} is a function of fractions, but concentrations are amounts per volume here ({why}): give all concentrations as "
                "plain numbers, fractions, and molar_volume at the top instead of a site_concentration"
            )
    for path, value in _given(problem):
        if value and si_unit(value.unit, True) != si_unit(value.unit, False) and not value.molar:
            has = f"'{value.text}' is for fractions" if value.dimensional else f"{value.text} has no unit"
            raise InputError(
                f"{path} = {has}, but concentrations are amounts per volume here ({why}): give it in {si_unit(value.unit, molar=True)}"
            )
    volume = molar_volume(problem)
    if volume is None:
        raise InputError(
            f"{why} is an amount per volume, and which fraction of the sites that is depends on their number: give site_concentration in "
            "[[free_energy]] LatticeGas, or molar_volume at the top of the problem"
        )
    if sites is not None and abs(sites * volume - 1) > 1e-6:
        raise InputError(
            f"{why}, but molar_volume = '{getattr(problem.molar_volume, 'text', '')}' makes it {1 / volume:g} mol/m^3: remove one of them"
        )


def _sites(problem: Problem) -> Value | None:
    """The site_concentration with a unit that a LatticeGas has."""
    given = (term.site_concentration for term in problem.free_energy if isinstance(term, LatticeGas))
    return next((value for value in given if isinstance(value, Value) and value.dimensional), None)


def _given(problem: Problem) -> list[tuple[str, Value]]:
    return list(quantities({"species": problem.species, "boundary": problem.boundary}))


def _concentrations(problem: Problem) -> list[tuple[str, Value]]:
    return [(path, value) for path, value in _given(problem) if value.unit == "concentration"]


def _has_no_sites(problem: Problem) -> bool:
    """Whether the equations stay the same when all concentrations are multiplied by one number, and the permittivity with them.

    The zero of mu = RT ln(c V_m) + ... then is that of the largest concentration: no matter, unless some boundary gives a mu.
    """
    for given in problem.boundary.values():
        if given.chemical_potential or any(isinstance(exchange, PotentialExchange) for exchange in given.exchange.values()):
            return False
    scale_free = all(isinstance(term, (Ideal, Electrostatic, ExternalPotential)) for term in problem.free_energy)
    return scale_free and problem.balance is None and isinstance(problem.mobility, Fick)
