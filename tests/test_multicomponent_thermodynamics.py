"""Several components: Gamma, Fick's matrix and uphill directions, and the phase diagrams of ternaries.

The regular ternary solution is Meijering's (Philips Res. Rep. 5 (1950) 333, 6 (1951) 183): chi_12, chi_13, chi_23 in units of RT. Where two of
its pairs are alike it reduces to a binary, whose binodal is known (the table of test_thermodynamics.py: chi = 3).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, fsolve

from fem_diffusion.free_energy import NRTL, DoubleWell, Gradient, Ideal, RegularSolution, Term
from fem_diffusion.mobility import Constant, Degenerate, MaxwellStefan, Mobility, Stirring
from fem_diffusion.pointwise import LocalDensity
from fem_diffusion.state import Composition
from fem_diffusion.ternary_diagram import picture, save
from fem_diffusion.thermodynamics import (
    BinaryThermodynamics,
    MulticomponentThermodynamics,
    TernaryPhaseDiagram,
    diffusion_matrix,
    thermodynamic_factor_matrix,
    thermodynamic_factors,
    uphill_directions,
    uphill_share,
)
from fem_diffusion.thermodynamics.ternary import MARGIN, tie_line

pytestmark = pytest.mark.serial

TERNARY = Composition(("A", "B"), (), "C")
BINODAL, SPINODAL = 0.070720181680, 0.211324865405  # of the binary with chi = 3
Chi = tuple[float, float, float]


def regular(*chi: float) -> RegularSolution:
    return RegularSolution(chi=dict(zip(("A-B", "A-C", "B-C"), chi, strict=True)))


def ternary(*terms: Term) -> LocalDensity:
    return LocalDensity(terms, TERNARY)


def closed(x: Any) -> np.ndarray:
    """(..., 3) of (..., 2)"""
    x = np.asarray(x)
    return np.concatenate([x, 1 - x.sum(axis=-1, keepdims=True)], axis=-1)


def log_activities(chi: Chi, x: np.ndarray) -> np.ndarray:
    """ln x_i + sum_j chi_ij x_j - sum_{k<l} chi_kl x_k x_l, (..., 3)"""
    a, b, c = chi
    pairs = np.array([[0, a, b], [a, 0, c], [b, c, 0]])
    return np.log(x) + x @ pairs - np.sum(x * (x @ pairs), axis=-1, keepdims=True) / 2


def det_hessian(chi: Chi, x: np.ndarray) -> Any:
    """det f'' of the regular solution in x_1, x_2, with x_3 = 1 - x_1 - x_2."""
    (a, b, c), (x1, x2, x3) = chi, np.moveaxis(closed(x), -1, 0)
    return (1 / x1 + 1 / x3 - 2 * b) * (1 / x2 + 1 / x3 - 2 * c) - (1 / x3 + a - b - c) ** 2


class Given(Mobility):
    rows: tuple[tuple[float, ...], ...]

    def matrix(self, c: Composition) -> list[list[Any]]:
        return [list(row) for row in self.rows]


# --- one composition


def test_thermodynamic_factors_are_derivatives_of_activity_coefficients() -> None:
    """delta_ij + x_i d ln gamma_i/dx_j at constant sum, by complex steps."""
    chi, x = (1.3, -2.1, 0.7), np.array([0.2, 0.5])
    expected = np.eye(2)
    for j in range(2):
        step = np.zeros(2, dtype=complex)
        step[j] = 1e-30j
        gamma = log_activities(chi, closed(x + step)) - np.log(closed(x + step))
        expected[:, j] += x * gamma[:2].imag / 1e-30
    density = ternary(regular(*chi))
    assert thermodynamic_factor_matrix(density, x) == pytest.approx(expected, abs=1e-13)
    assert thermodynamic_factor_matrix(density, np.tile(x[:, None], 5)).shape == (2, 2, 5)
    assert thermodynamic_factors(density, x) == pytest.approx(np.sort(np.linalg.eigvals(expected)), abs=1e-13)


def test_fick_matrix_of_an_ideal_gas() -> None:
    """H2, N2, CO2 at (.25, .5, .25): [D] = [B]^-1 in m^2/s (Krishna & Wesselingh, Chem. Eng. Sci. 52 (1997) 861)."""
    pairs = {"H2-N2": 8.33e-5, "H2-CO2": 6.8e-5, "N2-CO2": 1.68e-5}
    composition = Composition(("H2", "N2"), (), "CO2")
    state = MulticomponentThermodynamics.of([Ideal()], MaxwellStefan(diffusivities=pairs), composition, (0.25, 0.5))
    D = np.array([[7.68132147e-5, -1.08869123e-6], [-3.83058026e-5, 2.15318933e-5]])
    assert state.diffusivity == pytest.approx(D, rel=1e-8)
    assert state.diffusivity_eigenvalues == pytest.approx([2.07875348e-5, 7.75575732e-5], rel=1e-8)
    assert state.thermodynamic_factor == pytest.approx(np.eye(2), abs=1e-14)
    assert state.critical_gradient_ratio[0][1] == pytest.approx(7.68132147e-5 / 1.08869123e-6, rel=1e-8)
    assert state.critical_gradient_ratio[1][0] == pytest.approx(2.15318933e-5 / 3.83058026e-5, rel=1e-8)
    assert state.stable and state.growth_rate is None


@pytest.mark.parametrize("n", [2, 3, 5])
def test_eigenvalues_of_the_fick_matrix_are_real(n: int) -> None:
    """As many are negative as H has negative eigenvalues (Sylvester), and they are those that numpy finds for L H."""
    random = np.random.default_rng(n)
    names = tuple("ABCDE"[:n])
    factors = random.normal(size=(n, n))
    mobility = Given(rows=tuple(map(tuple, (factors @ factors.T).tolist())))
    keys = [f"{a}-{b}" for k, a in enumerate((*names, "F")) for b in (*names, "F")[:k]]
    terms = [RegularSolution(chi=dict(zip(keys, random.uniform(-5, 8, len(keys)).tolist(), strict=True)))]
    composition = Composition(names, (), "F")
    c = np.full(n, 1 / (n + 1))
    state = MulticomponentThermodynamics.of(terms, mobility, composition, c)
    eigenvalues = np.linalg.eigvals(factors @ factors.T @ LocalDensity(terms, composition).hessian(c))
    assert np.abs(eigenvalues.imag).max() < 1e-10
    assert state.diffusivity_eigenvalues == pytest.approx(np.sort(eigenvalues.real), rel=1e-8, abs=1e-9)
    assert (state.diffusivity_eigenvalues < 0).sum() == (state.curvature_eigenvalues < 0).sum()
    assert state.stable == (state.curvature_eigenvalues.min() > 0)


def test_uphill_without_a_miscibility_gap() -> None:
    """chi = (-2, 0, 0) is stable everywhere, and D(.25, .25) = [[1.125, -.375], [-.375, 1.125]]: uphill beyond a ratio of 3."""
    state = MulticomponentThermodynamics.of([regular(-2.0, 0.0, 0.0)], Stirring(diffusivity=1.0), TERNARY, (0.25, 0.25))
    assert state.diffusivity == pytest.approx(np.array([[1.125, -0.375], [-0.375, 1.125]]), rel=1e-13)
    assert state.critical_gradient_ratio[0] == [None, pytest.approx(3.0)] and state.critical_gradient_ratio[1] == [pytest.approx(3.0), None]
    D = diffusion_matrix(ternary(regular(-2.0, 0.0, 0.0)), Stirring(diffusivity=1.0), TERNARY, np.full((2, 7), 0.25))
    assert D.shape == (2, 2, 7) and np.abs(D - state.diffusivity[:, :, None]).max() < 1e-14
    one, two, rest = uphill_directions(state.diffusivity)
    assert one == pytest.approx((math.atan(3), math.pi / 2)) and two == pytest.approx((0, math.atan(1 / 3)))
    share = 2 * (math.pi / 2 - math.atan(3)) / math.pi
    assert uphill_share(np.repeat(state.diffusivity[:, :, None], 3, axis=2)) == pytest.approx([share] * 3, abs=2 / 720)
    assert uphill_share(np.eye(2)) == 0 and uphill_share(-np.eye(2)) == 1
    assert rest is None  # its flux is -0.75 times its gradient
    grid = np.linspace(0.005, 0.99, 60)
    x = np.array([(a, b) for a in grid for b in grid if a + b < 0.995])
    assert thermodynamic_factors(ternary(regular(-2.0, 0.0, 0.0)), x.T).min() > 0


@pytest.mark.parametrize(
    "D", [[[1, 0.5], [0.05, 0.2]], [[1, -3], [2, -0.5]], [[-1, 0], [0, 1]], [[0.3, 7], [-1, 0.1]], [[1, 0], [0.5, -2]]]
)
def test_uphill_directions_against_the_sign_of_the_product(D: list[list[float]]) -> None:
    theta = np.linspace(-math.pi, math.pi, 2002)[:-1] + 1e-4
    g = np.array([np.cos(theta), np.sin(theta)])
    J = -np.array(D) @ g
    products = [J[0] * g[0], J[1] * g[1], J.sum(axis=0) * g.sum(axis=0)]
    for wedge, product in zip(uphill_directions(D), products, strict=True):
        inside = np.zeros_like(theta, dtype=bool)
        if wedge is not None:
            assert wedge[0] < wedge[1] <= wedge[0] + math.pi
            inside = (theta - wedge[0]) % math.pi < wedge[1] - wedge[0]
        assert (inside == (product > 0)).all()


def test_fastest_wave_of_a_ternary() -> None:
    """With L = M and kappa the same for both, the waves of the lowest curvature e: k = sqrt(-e/2 kappa), omega = M e^2/4 kappa."""
    chi, x = (3.0, 0.5, 3.5), np.array([0.25, 0.4])
    M, kappa = 0.7, 0.02
    state = MulticomponentThermodynamics.of([regular(*chi), Gradient(kappa=kappa)], Constant(value=M), TERNARY, x)
    trace = 1 / 0.25 + 1 / 0.4 + 2 / 0.35 - 2 * (0.5 + 3.5)
    e = trace / 2 - math.sqrt(trace**2 / 4 - float(det_hessian(chi, x)))
    assert e < 0 and not state.stable
    assert state.growth_rate == pytest.approx(M * e**2 / (4 * kappa), rel=1e-12)
    assert state.wavenumber == pytest.approx(math.sqrt(-e / (2 * kappa)), rel=1e-7)
    assert state.wavelength == pytest.approx(2 * math.pi / math.sqrt(-e / (2 * kappa)), rel=1e-7)
    two = MulticomponentThermodynamics.of([regular(*chi), Gradient(kappa={"A": 0.02, "B": 0.05})], Stirring(diffusivity=1.0), TERNARY, x)
    k = np.array([1.0, 4.0])
    expected = [np.linalg.eigvals(-(q**2) * two.mobility @ (two.curvature + q**2 * np.diag([0.02, 0.05]))).real.max() for q in k]
    assert two.rate(k) == pytest.approx(expected, rel=1e-12)
    assert two.growth_rate is not None and two.growth_rate >= two.rate(np.linspace(0.1, 20, 4001)).max() * (1 - 1e-12)


def test_one_species_is_a_binary() -> None:
    terms, mobility, composition = [RegularSolution(chi=3.0), Gradient(kappa=0.5)], Degenerate(diffusivity=2.0), Composition(("A",), ())
    one = MulticomponentThermodynamics.of(terms, mobility, composition, [0.4])
    binary = BinaryThermodynamics.of(terms, mobility, composition, 0.4)
    for name in ("free_energy", "chemical_potential", "curvature", "thermodynamic_factor", "mobility", "diffusivity", "kappa"):
        assert np.ravel(getattr(one, name)) == pytest.approx([getattr(binary, name)], rel=1e-12), name
    assert one.growth_rate == pytest.approx(binary.growth_rate, rel=1e-12)


def test_thermodynamic_factor_is_one_of_fractions() -> None:
    """Independent concentrations and order parameters have none."""
    for terms, composition in (([Ideal()], Composition(("A", "B"), ())), ([DoubleWell(rho=1.0)], TERNARY)):
        state = MulticomponentThermodynamics.of(terms, Constant(value=1.0), composition, (0.3, 0.2))
        assert state.thermodynamic_factor is None and state.thermodynamic_factor_eigenvalues is None


def test_every_number_has_a_unit_and_is_json() -> None:
    state = MulticomponentThermodynamics.of([regular(3.0, 0.5, 3.5), Gradient(kappa=1.0)], Stirring(diffusivity=1.0), TERNARY, (0.25, 0.4))
    numbers = json.loads(json.dumps(state.as_dict()))
    assert numbers.keys() == state.UNITS.keys() == {f.name for f in fields(state)} - {"density", "transport"}
    assert np.array(numbers["diffusivity"]) == pytest.approx(state.mobility @ state.curvature, rel=1e-13) and numbers["stable"] is False


# --- phases of ternaries


def diagram(chi: Chi) -> TernaryPhaseDiagram:
    found = TernaryPhaseDiagram.of([regular(*chi)], TERNARY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "chi", [(3.0, 0.5, 3.5), (4.0, 2.5, 2.5), (5.2, 1.8, -3.7), (2.7, 2.7, 2.7), (-12.0, 0.0, 0.0), (5.0, 4.5, 1.0), (6.5, 6.0, 5.5)]
)
def test_phases_are_in_equilibrium(chi: Chi) -> None:
    """Equal activities of all three components, by hand; the closed form of det H on the spinodal; the Gibbs plane below f."""
    phases = diagram(chi)
    for coexisting in (phases.tie_lines, phases.triangles):
        x = closed(coexisting)
        activities = log_activities(chi, x)
        rounding = 2e-16 / x[..., 2].min(initial=1.0)  # of ln x_3, as x_3 is a difference
        assert np.abs(activities - activities[:, :1]).max(initial=0.0) < 2e-10 + rounding
    assert len(phases.tie_lines) >= 12
    for curve in phases.spinodal:
        scale = np.prod(closed(curve), axis=-1)  # det H has poles at the edges
        assert np.abs(det_hessian(chi, curve) * scale).max() < 1e-8
    plane = log_activities(chi, closed(phases.tie_lines[:, 0]))  # f = sum_i x_i ln a_i is above each such plane
    everywhere = closed(np.random.default_rng(1).dirichlet(np.ones(3), 4000)[:, :2])
    f = np.sum(everywhere * log_activities(chi, everywhere), axis=-1)
    assert (f[:, None] - everywhere @ plane.T).min() > -1e-9


def test_two_alike_components_are_a_binary_with_the_third() -> None:
    """chi_13 = chi_23 = 3: x_1/x_2 is the same in both phases, x_3 that of the binary."""
    phases = diagram((0.0, 3.0, 3.0))
    x = closed(phases.tie_lines)
    assert np.sort(x[:, :, 2], axis=1) == pytest.approx(np.tile([BINODAL, 1 - BINODAL], (len(x), 1)), abs=1e-11)
    ratio = x[:, :, 0] / (1 - x[:, :, 2])
    assert ratio[:, 0] == pytest.approx(ratio[:, 1], abs=1e-10)
    assert ratio.min() < 1e-4 and ratio.max() > 1 - 1e-4  # from edge to edge
    levels = np.sort([closed(curve)[:, 2].mean() for curve in phases.spinodal])
    assert levels == pytest.approx([SPINODAL, 1 - SPINODAL], abs=1e-11)
    assert all(np.ptp(closed(curve)[:, 2]) < 1e-10 for curve in phases.spinodal)
    assert not len(phases.critical_points) and not len(phases.triangles)


@pytest.mark.parametrize("other", [0.0, 0.7])
def test_symmetric_gap_ends_in_a_critical_point(other: float) -> None:
    """chi_13 = chi_23: tie lines at constant x_3, with m = (x_1 - x_2)/s, s = x_1 + x_2: m = tanh(chi_12 s m/2); critical at s = 2/chi_12."""
    chi = 3.0
    phases = diagram((chi, other, other))
    assert phases.critical_points == pytest.approx(np.array([[1 / chi, 1 / chi]]), abs=1e-9)
    assert len(phases.binodal) == 2 and len(phases.spinodal) == 1
    ends = np.transpose(phases.binodal, (1, 0, 2))
    assert min(np.linalg.norm(ends[k] - 1 / chi) for k in (0, -1)) < 1e-8
    x = closed(phases.tie_lines)
    s = 1 - x[:, :, 2]
    assert s[:, 0] == pytest.approx(s[:, 1], abs=1e-10)
    m = np.abs(x[:, 0, 0] - x[:, 0, 1]) / s[:, 0]
    assert s[:, 0] == pytest.approx(2 * np.arctanh(m) / (chi * m), rel=1e-9)


def test_tie_lines_end_on_the_edge_in_the_binary() -> None:
    """x_3 -> 0: the phases of the binary 1-2, chi = 3. Their distance from it is linear in x_3."""
    density = ternary(regular(3.0, 0.5, 3.5))
    ends = []
    for rest in (1e-5, 2e-5):
        found = tie_line(density, (0.4, 0.6 - rest), [[0.07, 0.93 - rest], [0.93, 0.07 - rest]])
        assert found is not None
        ends.append(np.sort(found[:, 0]))
    assert 2 * ends[0] - ends[1] == pytest.approx([BINODAL, 1 - BINODAL], abs=1e-8)
    phases = diagram((3.0, 0.5, 3.5))
    nearest = phases.tie_lines[np.argmin(closed(phases.tie_lines)[:, :, 2].max(axis=1))]
    assert np.sort(nearest[:, 0]) == pytest.approx([BINODAL, 1 - BINODAL], abs=10 * MARGIN)


def test_closed_gap() -> None:
    """1 and 2 attract each other: with x_1 = x_2 it is a binary of 1 + 2 and 3 with -chi_12/4, so that the gap opens at chi_12 = -8."""
    phases = diagram((-12.0, 0.0, 0.0))
    axis = tie_line(ternary(regular(-12.0, 0.0, 0.0)), (0.25, 0.25), [[0.05, 0.04], [0.45, 0.46]])
    assert axis is not None
    assert np.sort(axis, axis=0) == pytest.approx(np.array([[BINODAL, BINODAL], [1 - BINODAL, 1 - BINODAL]]) / 2, abs=1e-10)
    (curve,) = phases.spinodal
    assert curve[0] == pytest.approx(curve[-1], abs=0)
    for x in ((SPINODAL / 2,) * 2, ((1 - SPINODAL) / 2,) * 2):
        assert np.linalg.norm(curve - x, axis=1).min() < 0.01
    one, two = phases.critical_points
    assert one == pytest.approx(two[::-1], abs=1e-9)
    assert len(phases.binodal) == 2
    nearly = diagram((-7.9, 0.0, 0.0))
    assert nearly.spinodal == [] and nearly.tie_lines.shape == (0, 2, 2)
    assert thermodynamic_factors(ternary(regular(-8.0, 0.0, 0.0)), (0.25, 0.25))[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("chi", "spinodals", "critical", "triangles"),
    [
        (1.9, 0, 0, 0),
        (2.4, 3, 3, 0),
        (2.55, 3, 3, 0),
        (2.62, 3, 6, 3),
        (2.65, 3, 6, 3),
        (2.7, 4, 0, 3),
        (2.76, 4, 0, 3),
        (2.79, 4, 0, 1),
        (3.2, 3, 0, 1),
    ],
)
def test_three_alike_components(chi: float, spinodals: int, critical: int, triangles: int) -> None:
    """chi_12 = chi_13 = chi_23: the three-state Potts model in mean field, which has first-order transitions.

    chi = 2      three gaps open on the edges; each ends in a critical point (1/chi, 1/chi, 1 - 2/chi)
    chi = 18/7   those become tricritical: with x_1, x_2 = (s +- d)/2 the term in d^4 of f, minimised over s, is
                 1/(12 s^3) - 1/(8 s^4 f''(s)), f''(s) = 1/s + 1/(1-s) - 3 chi/2; it is zero at s = 2/chi. Each becomes a triangle, the two
                 inner sides of which are the tie lines of regions that end in a critical point
    chi = 8/3    the spinodals and those critical points meet in pairs on the axes, where f''(s) = f'''(s) = 0 at s = 1/2; an island of
                 stability is left in the middle
    chi = 4 ln 2 it coexists with (2/3, 1/6, 1/6) and its like (Wu, Rev. Mod. Phys. 54 (1982) 235); beyond, those alone make a triangle
    chi = 3      the island vanishes
    """
    phases = diagram((chi, chi, chi))
    assert (len(phases.spinodal), len(phases.critical_points), len(phases.triangles)) == (spinodals, critical, triangles)
    for point in closed(phases.critical_points) if chi < 18 / 7 else []:
        assert np.sort(point) == pytest.approx(np.sort([1 / chi, 1 / chi, 1 - 2 / chi]), abs=1e-9)
    if triangles == 1:  # all ln a equal: ln((1-2a)/a) = chi (1-3a)
        a = brentq(lambda a: math.log((1 - 2 * a) / a) - chi * (1 - 3 * a), 1e-6, 1 / 6, xtol=1e-15)
        assert np.sort(closed(phases.triangles[0]), axis=-1) == pytest.approx(np.tile([a, a, 1 - 2 * a], (3, 1)), abs=1e-10)
    on_the_axis = [2 / chi] if chi < 3 else []
    on_the_axis += [(1 + sign * math.sqrt(1 - 8 / (3 * chi))) / 2 for sign in (-1, 1)] if 8 / 3 < chi < 3 else []
    for s in on_the_axis if spinodals else []:
        assert thermodynamic_factors(ternary(regular(chi, chi, chi)), (s / 2, s / 2))[0] == pytest.approx(0, abs=1e-12)
        assert min(np.linalg.norm(curve - s / 2, axis=1).min() for curve in phases.spinodal) < 0.01


def test_three_phases_of_which_two_are_alike() -> None:
    """chi = 2.7: (p, q, r), (q, p, r) and (b, b, 1-2b), from the equal activities of 1 and 3."""
    chi = 2.7

    def mismatch(unknown: np.ndarray) -> list[float]:
        p, q, b = unknown
        ordered, mixed = (log_activities((chi,) * 3, np.array(x)) for x in ((p, q, 1 - p - q), (b, b, 1 - 2 * b)))
        return [ordered[0] - mixed[0], ordered[1] - mixed[1], ordered[2] - mixed[2]]

    p, q, b = fsolve(mismatch, [0.6, 0.2, 0.36], xtol=1e-13)
    assert p - q > 0.3 and b > 0.35
    expected = np.array([[q, p], [b, b], [p, q]])
    triangles = [triangle[np.argsort(triangle[:, 0])] for triangle in diagram((chi, chi, chi)).triangles]
    assert min(np.abs(triangle - expected).max() for triangle in triangles) < 1e-9


def test_three_phase_triangle_borders_on_three_regions() -> None:
    """Each side of the triangle is the last tie line of a two-phase region."""
    phases = diagram((4.0, 2.5, 2.5))
    (triangle,) = phases.triangles
    for k in range(3):
        side = np.delete(triangle, k, axis=0)
        assert any(np.array_equal(np.sort(line, axis=0), np.sort(side, axis=0)) for line in phases.tie_lines)
    assert len(phases.binodal) == 6


def test_phases_of_nrtl() -> None:
    """Type I and a dilute phase: equal activities by Renon and Prausnitz's expression (AIChE J. 14 (1968) 135), written here once more."""
    alpha, tau = 0.25, np.array([[0, 3.4, 0.9], [2.6, 0, 0.2], [-0.3, 0.4, 0]])
    pairs = {f"{a}-{b}": [tau[i, j], tau[j, i]] for i, a in enumerate("ABC") for j, b in enumerate("ABC") if i < j}
    phases = TernaryPhaseDiagram.of([Ideal(), NRTL(tau=pairs, alpha=alpha)], TERNARY)
    assert phases is not None
    G = np.exp(-alpha * tau)

    def activities(x: np.ndarray) -> np.ndarray:
        S, C = x @ G, x @ (tau * G)
        return np.log(x) + C / S + np.einsum("...j,ij,...ij->...i", x / S, G, tau - (C / S)[..., None, :])

    x = closed(phases.tie_lines)
    assert len(x) > 12 and len(phases.critical_points) == 1 and len(phases.binodal) == 2
    assert np.abs(activities(x)[:, 0] - activities(x)[:, 1]).max() < 1e-9
    assert np.abs(x[:, 0] - x[:, 1]).max() > 0.8


@pytest.mark.parametrize(
    ("terms", "composition"),
    [
        ([RegularSolution(chi=3.0)], Composition(("A",), (), "B")),
        ([DoubleWell(rho=1.0)], TERNARY),
        ([Ideal()], Composition(("A", "B"), ())),
        ([Ideal()], Composition(("A", "B", "C"), (), "D")),
    ],
)
def test_no_ternary_phase_diagram(terms: list[Term], composition: Composition) -> None:
    assert TernaryPhaseDiagram.of(terms, composition) is None


# --- picture and command


@pytest.mark.parametrize(("chi", "axes"), [((2.7, 2.7, 2.7), 2), ((-2.0, 0.0, 0.0), 3)])  # the third is the scale of colours
def test_picture(tmp_path: Path, chi: Chi, axes: int) -> None:
    terms = [regular(*chi)]
    state = MulticomponentThermodynamics.of(terms, Stirring(diffusivity=1.0), TERNARY, (0.3, 0.3))
    figure = picture(state, TernaryPhaseDiagram.of(terms, TERNARY))
    assert len(figure.axes) == axes
    assert {"A", "B", "C"} <= {text.get_text() for text in figure.axes[0].texts}
    save(tmp_path / "thermo.png", state)
    assert (tmp_path / "thermo.png").read_bytes().startswith(b"\x89PNG")


PROBLEM = """
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"
mesh = { shape = "rectangle", size = ["40 nm", "40 nm"], cells = [4, 4] }
mobility = { kind = "Constant", value = "4e-26 m^5/(J*s)" }
time = { end = "0.4 s" }
[[species]]
name = "Ag"
initial = 0.3
[[species]]
name = "Cu"
initial = 0.25
[[species]]
name = "Ni"
balance = true
[[free_energy]]
kind = "RegularSolution"
interactions = { "Ag-Cu" = "25 kJ/mol", "Ag-Ni" = "22 kJ/mol", "Cu-Ni" = "5 kJ/mol" }
[[free_energy]]
kind = "Gradient"
kappa = "12 nJ/m"
"""


def thermo(folder: Path, problem: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "case.toml").write_text(problem)
    command = [sys.executable, "-m", "fem_diffusion", "thermo", "case.toml", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_thermo_of_a_ternary(tmp_path: Path) -> None:
    result = thermo(tmp_path, PROBLEM, "--json")
    assert result.returncode == 0, result.stderr
    numbers = json.loads(result.stdout)
    RT = 8.31446261815324 * 1000
    chi = tuple(Omega / RT for Omega in (25e3, 22e3, 5e3))
    a, b, c = chi
    x1, x2, x3 = 0.3, 0.25, 0.45
    mixed = 1 / x3 + a - b - c
    H = np.array([[1 / x1 + 1 / x3 - 2 * b, mixed], [mixed, 1 / x2 + 1 / x3 - 2 * c]])
    S = np.diag([x1, x2]) - np.outer([x1, x2], [x1, x2])
    assert numbers["curvature"]["unit"] == "J/m^3"
    assert np.array(numbers["curvature"]["value"]) == pytest.approx(H * RT / 9e-6, rel=1e-9)
    assert np.array(numbers["thermodynamic_factor"]["value"]) == pytest.approx(S @ H, rel=1e-9)
    assert np.array(numbers["diffusivity"]["value"]) == pytest.approx(4e-26 * H * RT / 9e-6, rel=1e-9)
    assert numbers["diffusivity"]["unit"] == "m^2/s" and numbers["stable"] == {"value": False, "unit": ""}
    assert numbers["critical_gradient_ratio"]["value"][0] == [None, pytest.approx(-H[0, 0] / H[0, 1], rel=1e-9)]
    lowest = np.linalg.eigvalsh(H)[0] * RT / 9e-6
    assert numbers["growth_rate"] == {"value": pytest.approx(4e-26 * lowest**2 / (4 * 12e-9), rel=1e-9), "unit": "1/s"}
    assert (tmp_path / "case.thermo.png").read_bytes().startswith(b"\x89PNG")


def test_thermo_of_four_components_has_no_picture(tmp_path: Path) -> None:
    result = thermo(tmp_path, PROBLEM.replace("[[free_energy]]", '[[species]]\nname = "Pd"\ninitial = 0.1\n[[free_energy]]', 1))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "no picture: there is one for one or two independent species"
    assert "thermodynamic factor Pd" in result.stdout and not list(tmp_path.glob("*.png"))
