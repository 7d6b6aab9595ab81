"""Mobilities: the L(c) in J_i = -sum_j L_ij grad mu_j, mu in units of RT/V_m.

L is symmetric (Onsager) and positive semi-definite, so that the free energy falls; `admissible.check_positive` sees to it.
"""

from .base import Matrix, Mobility, MobilityOfForces, forces
from .lattice import Degenerate, Stirring
from .maxwell_stefan import MaxwellStefan
from .onsager import Constant, Onsager
from .tracer import Darken, Fick, VolumeExclusion

__all__ = [
    "Constant",
    "Darken",
    "Degenerate",
    "Fick",
    "Matrix",
    "MaxwellStefan",
    "Mobility",
    "MobilityOfForces",
    "Onsager",
    "Stirring",
    "VolumeExclusion",
    "forces",
]
