"""Finite elements for uphill diffusion: a free energy and a mobility make a model."""

from .boundary import Boundary, ButlerVolmer, Exchange, PotentialExchange, Stern, Wetting
from .diffusivity import Arrhenius
from .errors import InputError, StepFailed
from .free_energy import (
    NRTL,
    DoubleWell,
    Electrostatic,
    ExternalPotential,
    FloryHuggins,
    Gradient,
    Ideal,
    LatticeGas,
    Margules,
    PairInteraction,
    Quadratic,
    RedlichKister,
    RegularSolution,
    Term,
    WallEnergy,
    Wilson,
)
from .mesh import Mesh
from .mobility import Constant, Darken, Degenerate, Fick, MaxwellStefan, Mobility, MobilityOfForces, Onsager, Stirring, VolumeExclusion
from .problem import Problem
from .reaction import Reaction
from .run import run
from .state import Composition
from .tables import Average, Marker, Output, Probe, Species, Time

__all__ = [
    "NRTL",
    "Arrhenius",
    "Average",
    "Boundary",
    "ButlerVolmer",
    "Composition",
    "Constant",
    "Darken",
    "Degenerate",
    "DoubleWell",
    "Electrostatic",
    "Exchange",
    "ExternalPotential",
    "Fick",
    "FloryHuggins",
    "Gradient",
    "Ideal",
    "InputError",
    "LatticeGas",
    "Margules",
    "Marker",
    "MaxwellStefan",
    "Mesh",
    "Mobility",
    "MobilityOfForces",
    "Onsager",
    "Output",
    "PairInteraction",
    "PotentialExchange",
    "Probe",
    "Problem",
    "Quadratic",
    "Reaction",
    "RedlichKister",
    "RegularSolution",
    "Species",
    "StepFailed",
    "Stern",
    "Stirring",
    "Term",
    "Time",
    "VolumeExclusion",
    "WallEnergy",
    "Wetting",
    "Wilson",
    "run",
]
