"""Small perturbations of a uniform mixture grow and decay as the linear theory says: omega(k) = -M k^2 (f'' + kappa k^2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fem_diffusion import (
    Constant,
    Degenerate,
    DoubleWell,
    FloryHuggins,
    Gradient,
    Mesh,
    Mobility,
    Problem,
    RegularSolution,
    Species,
    Term,
    Time,
)
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_sum
from fem_diffusion.system import System

AMPLITUDE = 1e-4
KAPPA = 0.7
HALF_WAVES = 4  # of the fastest mode in the domain, so that whole numbers of them lie on either side of it

# (energy, mean composition, f'' there and its zero below, both from the closed forms of f)
RHO, A, B = 1.5, 0.1, 0.9
CHI = 3.0
CHI_P, N_A, N_B = 1.2, 10.0, 1.0
Curvature = Callable[[float], float]


def quartic(c: float) -> float:
    """rho (c-a)^2 (b-c)^2"""
    return 2 * RHO * ((B - c) ** 2 - 4 * (c - A) * (B - c) + (c - A) ** 2)


def regular(c: float) -> float:
    """c ln c + (1-c) ln(1-c) + chi c (1-c)"""
    return 1 / c + 1 / (1 - c) - 2 * CHI


def polymer(c: float) -> float:
    """c/N_A ln c + (1-c)/N_B ln(1-c) + chi c (1-c)"""
    return 1 / (N_A * c) + 1 / (N_B * (1 - c)) - 2 * CHI_P


# Zero of the last: N_B (1-c) + N_A c = 2 chi N_A N_B c (1-c), a quadratic equation.
_P, _Q = 2 * CHI_P * N_A * N_B, N_A - N_B
POLYMER_SPINODAL = (_P - _Q - np.sqrt((_P - _Q) ** 2 - 4 * _P * N_B)) / (2 * _P)

WELL = (DoubleWell(rho=RHO, a=A, b=B), quartic, 0.45, (A + B) / 2 - (B - A) / (2 * np.sqrt(3)))
REGULAR = (RegularSolution(chi=CHI), regular, 0.4, (1 - np.sqrt(1 - 2 / CHI)) / 2)
POLYMER = (FloryHuggins(chi=CHI_P, N_A=N_A, N_B=N_B), polymer, 0.3, POLYMER_SPINODAL)
Energy = tuple[Term, Curvature, float, float]

ENERGIES = pytest.mark.parametrize("energy", [WELL, REGULAR, POLYMER], ids=["double well", "regular solution", "Flory-Huggins"])
MOBILITIES = pytest.mark.parametrize(
    ("mobility", "M"),
    [(Constant(value=0.3), lambda c: 0.3), (Degenerate(diffusivity=2.0), lambda c: 2.0 * c * (1 - c))],
    ids=["constant", "degenerate"],
)


def growth_rate(energy: Term, mobility: Mobility, mean: float, mesh: Mesh, k: tuple[float, ...], expected: float) -> float:
    """The measured rate of cos(k_x x) cos(k_y y) over the time in which it should change by a factor e."""
    mode = "*".join(f"cos({float(component)!r}*{axis})" for axis, component in zip("xyz", k, strict=False))
    time = float(1 / abs(expected))
    system = System(
        Problem(
            mesh=mesh,
            species=[Species(name="A", initial=f"{mean!r} + {AMPLITUDE!r}*{mode}")],
            free_energy=[energy, Gradient(kappa=KAPPA)],
            mobility=mobility,
            # a step of the averaged vector field multiplies by (1 + z/2)/(1 - z/2) = exp(z + z^3/12 ...), z = omega dt = 1/16
            time=Time(scheme="avf", step=time / 16, end=time),
        )
    )
    x = system.formulation.x
    cosine = system.volume * np.prod([np.cos(component * x[axis]) for axis, component in enumerate(k)], axis=0)

    def amplitude() -> float:
        return float(global_sum(system.comm, cosine @ (system.concentrations[:, 0] - mean)))

    integrator = Integrator(system)
    before = amplitude()
    for _ in integrator.steps():
        pass
    assert integrator.time == time
    return float(np.log(amplitude() / before)) / time


@ENERGIES
@MOBILITIES
# relative to the fastest: 1/4, 1/2, 3/4 | 5/4, and 7/4 and 2 beyond the cut-off sqrt(2)
@pytest.mark.parametrize("half_waves", [1, *(pytest.param(n, marks=pytest.mark.serial) for n in (2, 3, 5, 7)), 8])
def test_growth_rate_of_a_cosine(energy: Energy, mobility: Mobility, M: Curvature, half_waves: int) -> None:
    term, curvature, mean, _ = energy
    fastest = np.sqrt(-curvature(mean) / (2 * KAPPA))
    length = HALF_WAVES * np.pi / fastest
    k = half_waves * np.pi / length
    omega = -M(mean) * k**2 * (curvature(mean) + KAPPA * k**2)
    assert (omega > 0) == (half_waves < HALF_WAVES * np.sqrt(2))
    measured = growth_rate(term, mobility, mean, Mesh(shape="interval", size=length, cells=320), (k,), omega)
    assert measured == pytest.approx(omega, rel=1e-2)


@pytest.mark.short
@pytest.mark.parametrize("half_waves", [(1, 1), (3, 2)], ids=["growing", "decaying"])
def test_growth_rate_in_two_dimensions(half_waves: tuple[int, int]) -> None:
    """Of a wave in both directions, k^2 = k_x^2 + k_y^2; the box is not square."""
    term, curvature, mean, _ = REGULAR
    fastest = np.sqrt(-curvature(mean) / (2 * KAPPA))
    size = (2 * np.pi / fastest, 1.5 * np.pi / fastest)
    k = tuple(n * np.pi / length for n, length in zip(half_waves, size, strict=True))
    square = sum(component**2 for component in k)
    omega = -2.0 * mean * (1 - mean) * square * (curvature(mean) + KAPPA * square)
    assert (omega > 0) == (half_waves == (1, 1))
    measured = growth_rate(term, Degenerate(diffusivity=2.0), mean, Mesh(shape="rectangle", size=size, cells=(80, 60)), k, omega)
    assert measured == pytest.approx(omega, rel=1e-2)


@pytest.mark.serial
@ENERGIES
@MOBILITIES
@pytest.mark.parametrize("side", [-1, 1], ids=["outside", "inside"])
def test_rate_changes_sign_at_the_spinodal(energy: Energy, mobility: Mobility, M: Curvature, side: int) -> None:
    """A long wave decays just outside the spinodal and grows just inside."""
    term, curvature, _, spinodal = energy
    assert abs(curvature(spinodal)) < 1e-12
    mean = float(spinodal) + side * 0.005
    k = float(np.sqrt(abs(curvature(mean)) / KAPPA) / 5)
    omega = -M(mean) * k**2 * (curvature(mean) + KAPPA * k**2)
    measured = growth_rate(term, mobility, mean, Mesh(shape="interval", size=np.pi / k, cells=100), (k,), omega)
    assert np.sign(measured) == side
    assert measured == pytest.approx(omega, rel=1e-2)
