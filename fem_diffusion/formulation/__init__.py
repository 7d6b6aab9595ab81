"""The discrete equations: what is unknown at each vertex, and the residual, Jacobian, energy and fluxes as UFL."""

from .base import Formulation
from .choice import FORMULATIONS, LINEAR, Facts, choose, is_ideal
from .concentration_potential import ConcentrationPotential
from .entropy import Entropy
from .fractions import Fractions
from .model import VERTEX_RULE, Functional, Model, blocked, parts, with_constants

__all__ = [
    "FORMULATIONS",
    "LINEAR",
    "VERTEX_RULE",
    "ConcentrationPotential",
    "Entropy",
    "Facts",
    "Formulation",
    "Fractions",
    "Functional",
    "Model",
    "blocked",
    "choose",
    "is_ideal",
    "parts",
    "with_constants",
]
