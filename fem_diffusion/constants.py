"""Physical constants in SI units (CODATA, through scipy.constants)."""

from scipy.constants import R as GAS_CONSTANT
from scipy.constants import epsilon_0, physical_constants

VACUUM_PERMITTIVITY = epsilon_0
FARADAY_CONSTANT = physical_constants["Faraday constant"][0]

__all__ = ["FARADAY_CONSTANT", "GAS_CONSTANT", "VACUUM_PERMITTIVITY"]
