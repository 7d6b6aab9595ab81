"""What a free energy and a mobility say before anything is computed.

binary:         one independent concentration: spinodal, binodal, critical temperature, growth rates, interfaces
multicomponent: any number: stability, thermodynamic factors, Fick's matrix and where it lets a species diffuse uphill
ternary:        three fractions that close to one: spinodal, tie lines, three-phase triangles, critical points
"""

from .binary import UNITS, BinaryThermodynamics, PhaseDiagram, binodal, critical_point, spinodal, thermodynamic_factor
from .multicomponent import (
    MulticomponentThermodynamics,
    diffusion_matrix,
    factors_of,
    stability,
    thermodynamic_factor_matrix,
    thermodynamic_factors,
    uphill_directions,
    uphill_share,
)
from .ternary import TernaryPhaseDiagram

__all__ = [
    "UNITS",
    "BinaryThermodynamics",
    "MulticomponentThermodynamics",
    "PhaseDiagram",
    "TernaryPhaseDiagram",
    "binodal",
    "critical_point",
    "diffusion_matrix",
    "factors_of",
    "spinodal",
    "stability",
    "thermodynamic_factor",
    "thermodynamic_factor_matrix",
    "thermodynamic_factors",
    "uphill_directions",
    "uphill_share",
]
