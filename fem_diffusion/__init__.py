"""Finite elements for uphill diffusion: a free energy and a mobility make a model."""

from .boundary import Boundary, Wetting
from .errors import InputError, StepFailed
from .free_energy import DoubleWell, FloryHuggins, Gradient, Ideal, PairInteraction, RegularSolution, Term, WallEnergy
from .mesh import Mesh
from .mobility import Constant, Degenerate, Mobility
from .problem import Average, Output, Probe, Problem, Species, Time
from .run import run
from .state import Composition

__all__ = [
    "Average",
    "Boundary",
    "Composition",
    "Constant",
    "Degenerate",
    "DoubleWell",
    "FloryHuggins",
    "Gradient",
    "Ideal",
    "InputError",
    "Mesh",
    "Mobility",
    "Output",
    "PairInteraction",
    "Probe",
    "Problem",
    "RegularSolution",
    "Species",
    "StepFailed",
    "Term",
    "Time",
    "WallEnergy",
    "Wetting",
    "run",
]
