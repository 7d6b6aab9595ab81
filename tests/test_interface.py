"""A relaxed planar interface: tanh profile and interface energy of the double well, binodal compositions of the regular solution."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from fem_diffusion import Constant, Degenerate, DoubleWell, Gradient, Mesh, Mobility, Problem, RegularSolution, Species, Time
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.system import System

# DoubleWell: c = (a+b)/2 + (b-a)/2 tanh(x/delta), sigma = sqrt(2 kappa rho) (b-a)^3/6  (Cahn & Hilliard 1958)
RHO, KAPPA, A, B = 2.0, 0.5, 0.1, 0.9
DELTA = np.sqrt(2 * KAPPA / RHO) / (B - A)
SIGMA = np.sqrt(2 * KAPPA * RHO) * (B - A) ** 3 / 6
LENGTH = 30 * DELTA  # what it cuts off the profile is exp(-30) of its height


def relaxed(system: System) -> float:
    """Run until nothing changes any more; the energy."""
    integrator = Integrator(system)
    for _ in integrator.steps():
        pass
    assert integrator.steady
    return integrator.energy


@cache
def well_interface(cells_per_delta: int) -> tuple[float, float]:
    """(rms error of the profile over one delta, interface energy) from an initial profile three times as wide."""
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=LENGTH, cells=30 * cells_per_delta),
            species=[Species(name="A", initial=f"{(A + B) / 2} + {(B - A) / 2}*tanh((x - {LENGTH / 2})/{3 * DELTA})")],
            free_energy=[DoubleWell(rho=RHO, a=A, b=B), Gradient(kappa=KAPPA)],
            mobility=Constant(value=1.0),
            time=Time(end=1e6, tolerance=1e-2, steady=True),
        )
    )
    energy = relaxed(system)
    exact = (A + B) / 2 + (B - A) / 2 * np.tanh((system.formulation.x[0] - LENGTH / 2) / DELTA)
    square = float(global_sum(system.comm, system.volume @ (system.concentrations[:, 0] - exact) ** 2))
    return float(np.sqrt(square / DELTA)), energy


@pytest.mark.short
def test_interface_energy_of_the_double_well() -> None:
    assert well_interface(8)[1] == pytest.approx(SIGMA, rel=5e-3)


def test_profile_and_energy_are_of_second_order() -> None:
    cells = (2, 4, 8)
    profile, energy = np.array([well_interface(n) for n in cells]).T
    assert np.all(np.log2(profile[:-1] / profile[1:]) >= 1.9)
    error = np.abs(energy - SIGMA)
    assert np.all(np.log2(error[:-1] / error[1:]) >= 1.9)


# Roots of ln(c/(1-c)) = chi (2c - 1)
BINODAL = {2.2: 0.248529712528, 2.5: 0.144794108256, 3.0: 0.070720181680, 4.0: 0.021247987961}


@pytest.mark.parametrize("chi", [2.2, *(pytest.param(chi, marks=pytest.mark.serial) for chi in (2.5, 3.0, 4.0))])
@pytest.mark.parametrize("mobility", [Constant(value=1.0), Degenerate(diffusivity=4.0)], ids=["constant", "degenerate"])
def test_binodal_of_the_regular_solution(chi: float, mobility: Mobility) -> None:
    """The bulk compositions of a relaxed pair that starts from others, so that its interface has to move."""
    system = System(
        Problem(
            mesh=Mesh(shape="interval", size=50.0, cells=250),
            species=[Species(name="A", initial="0.48 + 0.45*tanh(x - 20)")],  # 0.03 and 0.93: outside every spinodal
            free_energy=[RegularSolution(chi=chi), Gradient(kappa=1.0)],
            mobility=mobility,
            time=Time(end=1e7, tolerance=1e-2, steady=True),
        )
    )
    relaxed(system)
    low, high = system.bounds()
    assert low[0] == pytest.approx(BINODAL[chi], abs=1e-4)
    assert high[0] == pytest.approx(1 - BINODAL[chi], abs=1e-4)
    x, c = system.formulation.x[0], system.concentrations[:, 0]
    # flat over five widths at either end: bulk, not the tip of a profile
    left, right = c[x < 5], c[x > 45]
    assert global_max(system.comm, left) == pytest.approx(BINODAL[chi], abs=1e-4)
    assert global_min(system.comm, right) == pytest.approx(1 - BINODAL[chi], abs=1e-4)
