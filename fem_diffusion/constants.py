"""Physical constants in SI units (CODATA, through scipy.constants)."""

from scipy.constants import R as GAS_CONSTANT

__all__ = ["GAS_CONSTANT"]
