"""A conical pore in (r, z): Ohm's law without charge, rectification with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.constants import N_A, R, e

from fem_diffusion import Problem
from fem_diffusion.diagnostics import Columns
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

NANOPORE = Path(__file__).parent.parent / "problems" / "nanopore.toml"
TIP, BASE, LENGTH = 2e-9, 20e-9, 200e-9


def current(voltage: str, charge: str) -> float:
    """From the tip's side to the base's, A."""
    changes = {"boundary.left.potential": voltage, "boundary.pore_wall.surface_charge": charge}
    system = System(Problem.read(NANOPORE, changes))
    *_, last = Integrator(system).steps()
    row = Columns(system).row(last)
    assert last.number == 1, "the steady state at once"
    assert row["current_left"] == pytest.approx(-row["current_right"], rel=1e-10)
    return -row["current_left"]


@pytest.mark.short
def test_an_uncharged_pore_conducts_as_the_solution_in_it() -> None:
    """A truncated cone, with the access resistance of a hole of radius a on either side (J.E. Hall, J. Gen. Physiol. 66 (1975) 531)."""
    diffusivities, c = np.array([1.957e-9, 2.032e-9]), 30.0
    conductivity = (N_A * e) ** 2 / (R * 298.15) * diffusivities.sum() * c
    resistance = (LENGTH / (np.pi * TIP * BASE) + 1 / (4 * TIP) + 1 / (4 * BASE)) / conductivity
    assert current("10 mV", "0 C/m^2") == pytest.approx(0.01 / resistance, rel=0.03)


def test_a_charged_pore_conducts_better_from_its_tip() -> None:
    """Cations that enter at the tip bring anions into the cone, where both pile up (D. Woermann, Phys. Chem. Chem. Phys. 5 (2003) 1853)."""
    forth, back = current("0.5 V", "-0.01 C/m^2"), current("-0.5 V", "-0.01 C/m^2")
    assert forth > 0 > back
    assert forth > 1.3 * abs(back)
    opposite = current("-0.5 V", "0.01 C/m^2")  # the anions' part: diffusivities differ by 4 %
    assert abs(opposite) == pytest.approx(forth, rel=0.05)
