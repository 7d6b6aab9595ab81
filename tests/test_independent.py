"""The references of independent.py against published numbers and against computations made apart from this project."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from independent import (
    DUNCAN_TOOR_BAR,
    HOUR,
    LOSCHMIDT_TUBE,
    Array,
    ClosedTube,
    StefanTube,
    TwoBulbs,
    closed_tube,
    heat_equation,
    inverse_friction,
    kirkendall_couple,
    kirkendall_plane,
    linear_couple,
    pair_matrix,
    regular_couple,
    regular_hessian,
)
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq, minimize_scalar, root
from scipy.special import erf

pytestmark = pytest.mark.serial


def test_inverse_friction_of_krishna_and_wesselingh() -> None:
    """H2, N2, CO2 at x = (.25, .5, .25): [B]^-1 printed in Chem. Eng. Sci. 52 (1997) 861 as 7.68, -.11, -3.832, 2.16 (1e-5 m^2/s)."""
    D = inverse_friction(np.array([[0.25], [0.5], [0.25]]), 1e-5 * pair_matrix(8.33, 6.8, 1.68))[..., 0]
    assert pytest.approx(np.array([[7.68132147e-5, -1.08869123e-6], [-3.83058026e-5, 2.15318933e-5]]), rel=1e-8) == D
    assert pytest.approx(np.array([[7.68, -0.11], [-3.832, 2.16]]), abs=0.008) == 1e5 * D


@pytest.mark.parametrize(
    ("pressure", "fluxes"),
    [(99.4e3, (1.7830055e-3, 3.1279915e-3)), (101.325e3, (1.8175355801e-3, 3.1885688320e-3))],  # Taylor & Krishna: 1.783e-3, 3.127e-3
)
def test_stefan_tube(pressure: float, fluxes: tuple[float, float]) -> None:
    tube = StefanTube(pressure=pressure)
    assert tube.fluxes == pytest.approx([*fluxes, 0.0], rel=5e-8, abs=1e-15)
    profile = [[0.2906556397, 0.4647093708], [0.2422534064, 0.3665944493], [0.1569185136, 0.2176599131]]
    fractions = tube.fractions(np.array([0.25, 0.5, 0.75]))
    assert pytest.approx(np.array(profile), abs=1e-10) == fractions[:2].T


def test_two_bulbs_run_1() -> None:
    bulbs = TwoBulbs()
    osmotic, barrier, solution = bulbs.osmotic_point_and_barrier()
    assert osmotic / HOUR == pytest.approx(0.965314, abs=5e-7)
    assert barrier / HOUR == pytest.approx(7.510000, abs=5e-7)
    at_barrier = solution.sol(barrier)
    composition = [0.30392739, 0.55328836, 0.14278425, 0.23315926, 0.43036281, 0.33647793]
    assert at_barrier == pytest.approx(composition, abs=1e-8)
    assert at_barrier[1] - at_barrier[4] == pytest.approx(0.12292554, abs=1e-8)


def test_two_bulbs_table() -> None:
    hours = np.array([1, 2, 4, 8, 12, 24])
    y = TwoBulbs().solve(24 * HOUR).sol(hours * HOUR)
    assert y[1] == pytest.approx([0.49250424, 0.51507299, 0.54127711, 0.55314352, 0.54539996, 0.51583750], abs=1e-8)
    assert y[0] == pytest.approx([0.47455288, 0.42546054, 0.35966631, 0.29959064, 0.27943378, 0.26927531], abs=1e-8)


def test_two_bulbs_from_the_textbook_data() -> None:
    """Krishna & Wesselingh's initial compositions (Chem. Eng. Sci. 52 (1997) 861, eq. 3) and the capillary's own A/L."""
    bulbs = TwoBulbs(x_1=(0.50121, 0.49879, 0.0), x_2=(0.0, 0.50086, 0.49914), conductance=np.pi / 4 * 2.08e-3**2 / 85.9e-3)
    osmotic, barrier, solution = bulbs.osmotic_point_and_barrier()
    assert osmotic / HOUR == pytest.approx(0.03205578, abs=1e-8)
    assert barrier / HOUR == pytest.approx(6.524226, abs=5e-7)
    y = solution.sol(barrier)
    assert y == pytest.approx([0.29123565, 0.57336859, 0.13539576, 0.20826528, 0.42688844, 0.36484628], abs=1e-8)
    assert y[1] - y[4] == pytest.approx(0.14648015, abs=1e-8)


def test_duncan_toor_bar() -> None:
    """Nitrogen of the left half falls from .501 below what is on the right, and comes back."""
    left, _ = DUNCAN_TOOR_BAR.means([23.5, 40.0])[1]
    assert left == pytest.approx([0.438944, 0.446872], abs=2e-5)


def test_boudin_grec_salvarani() -> None:
    """Finite volumes of the whole ternary against the exact heat equation of one component."""
    cells, times = 200, [0.01, 0.05, 0.5]

    def initial(z: Array) -> Array:
        return np.array([np.clip(1.6 * (0.75 - z), 0.0, 0.8), np.full_like(z, 0.2)])

    x = closed_tube(initial, 1.0, pair_matrix(0.833, 0.833, 0.168), times, cells)
    z = (np.arange(cells) + 0.5) / cells
    for m, t in enumerate(times):
        assert x[0, :, m] == pytest.approx(heat_equation(z, t, 0.833), abs=2e-5)
    assert np.ptp(x[1, :, 0]) > 0.02  # the second, uniform at first, is dragged along


def test_darken_couple() -> None:
    """Carbon (0) and silicon (1), weight per cent. At the weld Darken measured .315 | .586; without a length of silicon the jump is B = .2705."""
    D, t = 1e-12 * np.array([[48, 3.4], [0, 0.23]]), 13 * 24 * HOUR
    assert 2 * np.sqrt(D.diagonal() * t) == pytest.approx([14.685e-3, 1.0165e-3], rel=1e-4)
    eta = np.linspace(-1e-4, 1e-4, 101)
    carbon, silicon = linear_couple(D, np.array([0.478, 3.80]), np.array([0.441, 0.0]), eta)
    fast, slow = (erf(eta / (2 * np.sqrt(D_k))) for D_k in D.diagonal())
    assert silicon == pytest.approx(1.9 - 1.9 * slow, abs=1e-12)
    assert carbon == pytest.approx(0.4595 - 0.307463 / 2 * fast + 0.270463 / 2 * slow, abs=1e-6)
    assert 0.4595 + np.array([-1, 1]) * 0.270463 / 2 == pytest.approx([0.324269, 0.594731], abs=1e-6)


def test_linear_couple() -> None:
    D = np.array([[1, 0.5], [0.05, 0.2]])
    c = linear_couple(D, np.array([0.5, 0.0]), np.array([0.5, 1.0]), np.array([-1, -0.5, 0.5, 1]))
    assert c[0] == pytest.approx([0.61617621, 0.59781345, 0.40218655, 0.38382379], abs=1e-8)
    assert c[1] == pytest.approx([0.05011774, 0.20139679, 0.79860321, 0.94988226], abs=1e-8)


def test_kirkendall() -> None:
    """Against solve_bvp on (-14, 14), made apart from this project; the whole line differs from that by 2e-7."""
    at = [0.9447847267, 0.8170404014, 0.7039096067, 0.5535235038, 0.3729609258, 0.1893914728, 0.0091838824]
    couple = kirkendall_couple(1.0, 4.0)
    sol = replace(couple, extent=14.0).solve().sol
    assert sol([-4, -2, -1, 0, 1, 2, 4])[0] == pytest.approx(at, abs=1e-9)
    x, q = sol(0.0)
    assert q / (1 - x + 4 * x) == pytest.approx(-0.1678501873, abs=1e-9)
    assert couple.solve().sol([-4, -2, -1, 0, 1, 2, 4])[0] == pytest.approx(at, abs=3e-7)
    plane = kirkendall_plane(1.0, 4.0)
    assert plane == pytest.approx(1.1366900558, abs=3e-7)
    assert sol(plane)[0] == pytest.approx(0.3470844141, abs=1e-7)


def test_kirkendall_by_shooting() -> None:
    """The whole line from the weld outwards, without a boundary value solver: K = 1.1366898396."""

    def ode(eta: float, y: Array) -> Array:
        slope = y[1] / (1 + 3 * y[0])
        return np.array([slope, -eta / 2 * slope])

    def shot(start: Array, end: float) -> Any:
        return solve_ivp(ode, (0.0, end), start, method="DOP853", rtol=1e-13, atol=1e-15, dense_output=True).sol

    start = root(lambda y: [shot(y, -32.0)(-32.0)[0] - 1, shot(y, 32.0)(32.0)[0]], [0.5, -0.5], tol=1e-13).x
    x = shot(start, 4.0)
    K = brentq(lambda z: z / 2 + 3 * ode(z, x(z))[0], 0.0, 4.0, xtol=1e-13)
    assert kirkendall_plane(1.0, 4.0) == pytest.approx(K, abs=1e-9)


@pytest.mark.parametrize(
    ("chi", "largest", "smallest"),
    [((-2, 0, 0), (0.26217878, 1.4450), (0.23735915, -1.4400)), ((0, 1.5, 0), (0.26288046, 1.2145), (0.23678227, -1.1920))],
)
def test_uphill_couple_without_a_gap(chi: tuple[float, float, float], largest: tuple[float, float], smallest: tuple[float, float]) -> None:
    """x_1 is uniform at first, .25; x_2 steps from .1 to .4."""
    sol = regular_couple(chi, np.array([0.25, 0.1]), np.array([0.25, 0.4])).solve().sol
    for sign, (value, place) in ((-1, largest), (1, smallest)):
        found = minimize_scalar(lambda eta, sign=sign: sign * sol(eta)[0], bounds=sorted((0.0, 3 * place)), method="bounded")
        assert sol(found.x)[0] == pytest.approx(value, abs=1e-7)
        assert found.x == pytest.approx(place, abs=5e-3)
    if chi == (-2, 0, 0):
        assert -sol(0.0)[2] == pytest.approx(0.01515075, abs=1e-7)


def test_regular_hessian_by_differences() -> None:
    chi, x, h = (0.7, -1.1, 1.9), np.array([0.2, 0.5]), 1e-4

    def g(x_1: float, x_2: float) -> float:
        x_3 = 1 - x_1 - x_2
        entropy = sum(float(v * np.log(v)) for v in (x_1, x_2, x_3))
        return entropy + chi[0] * x_1 * x_2 + chi[1] * x_1 * x_3 + chi[2] * x_2 * x_3

    H = regular_hessian(x, chi)
    assert (g(0.2 + h, 0.5) - 2 * g(0.2, 0.5) + g(0.2 - h, 0.5)) / h**2 == pytest.approx(H[0, 0], abs=1e-5)
    mixed = (g(0.2 + h, 0.5 + h) - g(0.2 + h, 0.5 - h) - g(0.2 - h, 0.5 + h) + g(0.2 - h, 0.5 - h)) / (4 * h**2)
    assert mixed == pytest.approx(H[0, 1], abs=1e-5)


@pytest.mark.parametrize(("tube", "times"), [(DUNCAN_TOOR_BAR, [5.0, 23.5, 40.0]), (LOSCHMIDT_TUBE, [300.0, 900.0, 3600.0])])
def test_closed_tubes_have_converged(tube: ClosedTube, times: list[float]) -> None:
    assert tube.means(times, 64) == pytest.approx(tube.means(times, 128), abs=1e-7)


def test_loschmidt_tube() -> None:
    """Argon in the bottom rises from .509 to .55457 after 1262 s. The linearised theory, [D] that of the mean composition, is close
    (H.L. Toor, AIChE J. 10 (1964) 448; Taylor & Krishna, example 5.5.1)."""
    tube, times = LOSCHMIDT_TUBE, np.linspace(600.0, 2400.0, 61)
    argon = CubicSpline(times, tube.means(times)[1, 0])
    (peak,) = argon.derivative().roots(extrapolate=False)
    assert (peak, argon(peak)) == pytest.approx((1262.07, 0.554568), rel=1e-5)

    mean = (tube.left + tube.right) / 2
    D = inverse_friction(np.array([[*mean, 1 - mean.sum()]]).T, tube.D)[..., 0]
    k = np.pi * np.arange(1, 200, 2)[:, None] / tube.length
    eigenvalues, T = np.linalg.eig(D)
    decay = np.sum(8 / (k * tube.length) ** 2 * np.exp(-(k**2) * eigenvalues * peak), axis=0)
    linearised = mean + T @ (decay * np.linalg.solve(T, (tube.left - tube.right) / 2))
    assert argon(peak) == pytest.approx(linearised[1], abs=3e-3)
