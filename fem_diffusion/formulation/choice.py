"""Which unknowns suit a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from ..free_energy import Electrostatic, ExternalPotential, LatticeGas, WallEnergy
from ..mobility import MobilityOfForces
from ..pointwise import has_excess, has_gradient
from .base import Formulation
from .concentration_potential import ConcentrationPotential
from .entropy import Entropy
from .fractions import Fractions
from .model import Model

FORMULATIONS: dict[str, type[Formulation]] = {cls.name: cls for cls in (Fractions, Entropy, ConcentrationPotential)}


LINEAR = (ExternalPotential, Electrostatic, LatticeGas)
"""Terms whose density without sum_k a_k c_k ln c_k is linear in c."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on besides the model.

    one_state:       whether mu is taken at the end of the step
    fixes_potential: whether a reservoir gives mu without c
    no_potential:    why the concentrations of a reservoir give no chemical potentials, a phrase, or None
    risks_negative:  whether fractions start at zero on cells with obtuse angles; asked only where it matters
    """

    one_state: bool
    fixes_potential: bool
    no_potential: str | None
    risks_negative: Callable[[], bool]


def choose(model: Model, facts: Facts, wanted: str | None) -> tuple[type[Formulation], str]:
    """The formulation and the reason for it, a phrase. InputError where the wanted one cannot be."""
    obstacles = {"fractions": _no_fractions(model, facts), "entropy": _no_entropy(model, facts), "potential": facts.no_potential}
    if wanted is not None:
        obstacle = obstacles[wanted]
        if obstacle is not None:
            possible = ", ".join(f"'{name}'" for name, reason in obstacles.items() if reason is None)
            advice = f"; take {possible}, or leave the choice to the program" if possible else ""
            raise InputError(f"formulation = '{wanted}' is not possible: {obstacle}{advice}")
        return FORMULATIONS[wanted], "as asked for"
    if model.charged and obstacles["entropy"] is None:
        return Entropy, "an ideal mixture of charges: bounds and equilibrium are built in"
    if obstacles["fractions"] is None:
        if obstacles["entropy"] is None and any(isinstance(term, ExternalPotential) for term in model.free_energy):
            return Entropy, "an external potential: bounds and equilibrium are built in"
        if obstacles["entropy"] is None and facts.risks_negative():
            return Entropy, "fractions start at zero on cells with obtuse angles"
        return Fractions, "a smooth mixture: the fewest unknowns"
    if obstacles["entropy"] is None:
        return Entropy, "an ideal mixture: bounds are built in"
    return ConcentrationPotential, str(obstacles["fractions"])


def _no_fractions(model: Model, facts: Facts) -> str | None:
    """Why the unknowns cannot be the fractions alone."""
    c = model.composition([0.0] * len(model.names))
    if _has_walls(model) or any(has_gradient(term, c) for term in model.free_energy):
        return "the free energy depends on gradients or walls"
    if not facts.one_state:
        return "the time scheme takes mu between two states"
    if facts.fixes_potential:
        return "a reservoir fixes a chemical potential"
    hidden = [term.label for term in model.free_energy if set(term.positive(c)) - set(term.entropy(c))]
    if hidden:
        return f"{hidden[0]} has logarithms that are not in its `entropy`"
    entropies = [a_k for term in model.free_energy for a_k in term.entropy(c).values()]
    if model.sizes and (len(entropies) != len(c.closed) or any(not isinstance(a_k, float) or a_k != 1.0 for a_k in entropies)):
        return "particles of different sizes have another entropy than that of LatticeGas alone"
    if not isinstance(model.mobility, MobilityOfForces):
        return f"{model.mobility.label} does not state its fluxes by thermodynamic forces"
    if model.closed != model.mobility.closed:
        return (
            f"{model.mobility.label} does not vanish where the closing fraction does"
            if model.closed
            else "the fractions do not close to one"
        )
    return None


def _no_entropy(model: Model, facts: Facts) -> str | None:
    """Why c is no function of mu in closed form."""
    c = model.composition([0.0] * len(model.names))
    if _has_walls(model):
        return "a wall has an energy of its own"
    if facts.no_potential is not None:
        return facts.no_potential
    if not facts.one_state:
        return "the time scheme takes mu between two states"
    for term in model.free_energy:
        a = term.entropy(c)
        if not isinstance(term, LINEAR) and (not a or has_excess(term, c)):
            return f"{term.label} is no ideal entropy of mixing"
        if any(not isinstance(a_k, float) or a_k != 1.0 for a_k in a.values()):
            return f"{term.label} weighs the entropies of its components differently"
    names = [name for term in model.free_energy for name in term.entropy(c)]
    if sorted(names) not in (sorted(c.closed), sorted(c.names)):
        return "not every species has exactly one entropy of mixing"
    return None


def is_ideal(model: Model) -> bool:
    """Whether F is an ideal entropy of mixing and what is linear in c, and so convex."""
    c = model.composition([0.0] * len(model.names))
    return not _has_walls(model) and all(
        isinstance(term, LINEAR) or (term.entropy(c) and not has_excess(term, c)) for term in model.free_energy
    )


def _has_walls(model: Model) -> bool:
    """Whether a boundary's energy depends on concentrations."""
    return any(isinstance(term, WallEnergy) for terms in model.surface_energy.values() for term in terms)
