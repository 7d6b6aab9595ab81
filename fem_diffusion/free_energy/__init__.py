"""The terms of the free energy F[c] = sum_k int f_k(c, grad c) dx + sum_k int g_k(c) ds.

A term states its density and nothing else: chemical potentials, Jacobians, the thermodynamic factor, spinodal and binodal are derived from it.
Mixing energies are in units of RT/V_m, the solver's unit of energy density (one in a dimensionless problem).
"""

from .activity import NRTL, Margules, RedlichKister, Wilson
from .electrostatic import Electrostatic, SternLayer, SurfaceCharge
from .external import ExternalPotential
from .mixing import FloryHuggins, Ideal, LatticeGas, PairInteraction, RegularSolution
from .polynomial import DoubleWell, Gradient, Quadratic, WallEnergy
from .term import Term, x_ln_x

__all__ = [
    "NRTL",
    "DoubleWell",
    "Electrostatic",
    "ExternalPotential",
    "FloryHuggins",
    "Gradient",
    "Ideal",
    "LatticeGas",
    "Margules",
    "PairInteraction",
    "Quadratic",
    "RedlichKister",
    "RegularSolution",
    "SternLayer",
    "SurfaceCharge",
    "Term",
    "WallEnergy",
    "Wilson",
    "x_ln_x",
]
