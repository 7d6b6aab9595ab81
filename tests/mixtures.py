"""What the tests of free energies share: compositions, and terms at a temperature of reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.constants import R

from fem_diffusion.free_energy import Term
from fem_diffusion.state import Composition
from fem_diffusion.units import Scales, in_solver_units

X = np.array([[0.2, 0.5, 0.3], [0.05, 0.15, 0.8], [0.9, 0.06, 0.04], [0.34, 0.33, 0.33]]).T


def composition(n: int, balance: bool = True) -> Composition:
    """A, B, ... of which the last closes the sum."""
    names = tuple("ABCD"[:n])
    return Composition(names[:-1], (0.0,) * (n - 1), names[-1] if balance else None)


def at_reference(term: Term, T: float) -> Term:
    """The term in solver units with the reference temperature T, V_m = 9 cm^3/mol and a length of 3 nm."""
    V_m, length = 9e-6, 3e-9
    return in_solver_units(term, replace(Scales.of(length, 1.0, R * T / V_m, length**3 / V_m), temperature=T))
