"""Spinodal, binodal, critical point, growth rate and interface against closed forms and independent quadrature."""

import json
import math

import numpy as np
import pytest
import ufl
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.constants import R
from scipy.integrate import quad
from scipy.optimize import brentq

from fem_diffusion.check import SHOWN
from fem_diffusion.free_energy import DoubleWell, FloryHuggins, Gradient, Ideal, PairInteraction, RegularSolution, Term
from fem_diffusion.mobility import Constant, Degenerate
from fem_diffusion.phase_diagram import Axis, Labels, picture, save
from fem_diffusion.pointwise import LocalDensity
from fem_diffusion.state import Composition
from fem_diffusion.thermodynamics import (
    UNITS,
    BinaryThermodynamics,
    PhaseDiagram,
    binodal,
    critical_point,
    spinodal,
    stability,
    thermodynamic_factor,
)

pytestmark = pytest.mark.serial

BINARY = Composition(("A",), ())


def binary(*terms: Term) -> LocalDensity:
    return LocalDensity(terms, BINARY)


# (energy, M, c0), then delta = width/2, sigma, f'', k_max, lambda, omega_max
WELLS = {
    "PFHub BM1": (dict(rho=5, a=0.3, b=0.7), 2, 5, 0.5, 2.236067977, 0.04770278352, -0.8, 0.4472135955, 14.04962946, 0.4),
    "DOLFINx demo": (dict(rho=100), 0.01, 1, 0.63, 0.01414213562, 0.2357022604, -79.72, 63.13477647, 0.09952019566, 158881.96),
    "order parameter": (dict(rho=0.25, a=-1, b=1), 1, 1, 0, 1.414213562, 0.9428090416, -1, 0.7071067812, 8.885765876, 0.25),
}


@pytest.mark.parametrize("name", WELLS)
def test_double_well(name):
    well, kappa, M, c0, delta, sigma, curvature, k, wavelength, rate = WELLS[name]
    state = BinaryThermodynamics.of([DoubleWell(**well), Gradient(kappa=kappa)], Constant(value=M), BINARY, c0)
    a, b = well.get("a", 0), well.get("b", 1)
    assert state.interface_width == pytest.approx(2 * delta, rel=1e-9)
    assert state.interface_width_10_90 == pytest.approx(2 * delta * math.atanh(0.8), rel=1e-9)
    assert state.interface_energy == pytest.approx(sigma, rel=2e-10)
    assert state.barrier == pytest.approx(well["rho"] * ((b - a) / 2) ** 4, rel=1e-12)
    assert state.curvature == pytest.approx(curvature, rel=1e-12)
    assert state.wavenumber == pytest.approx(k, rel=2e-10)
    assert state.wavelength == pytest.approx(wavelength, rel=1e-9)
    assert state.growth_rate == pytest.approx(rate, rel=1e-12)
    assert state.cutoff_wavenumber == pytest.approx(k * math.sqrt(2), rel=2e-10)
    assert state.rate([k, k * math.sqrt(2)]) == pytest.approx([rate, 0], rel=1e-9, abs=1e-9 * rate)
    assert state.binodal == pytest.approx((a, b), abs=1e-12)
    half = (b - a) / (2 * math.sqrt(3))
    assert state.spinodal[0] == pytest.approx(((a + b) / 2 - half, (a + b) / 2 + half), abs=1e-12)
    assert state.phase_fraction == pytest.approx((c0 - a) / (b - a), abs=1e-12)
    assert state.critical_temperature_ratio is None


@pytest.mark.parametrize(("a", "b"), [(100, 250), (-40, -39), (0.5, 0.51), (-300, 300)])
def test_phases_are_found_anywhere(a, b):
    assert binodal(binary(DoubleWell(rho=2, a=a, b=b))) == pytest.approx((a, b), abs=1e-9 * (b - a))


# chi: binodal, spinodal, barrier, sigma/sqrt(kappa), width*, g''(1/2)
REGULAR = {
    2.05: (0.366074619748, 0.421913119056, 0.0004550619, 0.0054030514, 8.8785626579, -0.1),
    2.2: (0.248529712528, 0.349244327711, 0.0066889880, 0.0392274728, 4.3483196999, -0.4),
    2.5: (0.144794108256, 0.276393202250, 0.0358525150, 0.1302576872, 2.6529883676, -1),
    3.0: (0.070720181680, 0.211324865405, 0.1151941689, 0.2882718678, 1.7887111801, -2),
    4.0: (0.021247987961, 0.146446609407, 0.3265238874, 0.5585469476, 1.1848629808, -4),
    5.0: (0.007188064183, 0.112701665379, 0.5638085009, 0.7716179201, 0.9281761521, -6),
}


@pytest.mark.parametrize("chi", REGULAR)
def test_regular_solution(chi):
    c_b, c_s, barrier, sigma, width, curvature = REGULAR[chi]
    state = BinaryThermodynamics.of([RegularSolution(chi=chi), Gradient(kappa=1)], Degenerate(diffusivity=1), BINARY, 0.5)
    assert state.binodal == pytest.approx((c_b, 1 - c_b), abs=1e-12)
    assert state.spinodal[0] == pytest.approx((c_s, 1 - c_s), abs=1e-12)
    assert (state.barrier, state.interface_energy) == pytest.approx((barrier, sigma), abs=1e-10)
    assert state.interface_width == pytest.approx(width, abs=2e-10)
    assert state.curvature == pytest.approx(curvature, rel=1e-12)
    assert state.growth_rate == pytest.approx(curvature**2 / 16, rel=1e-12)
    assert state.critical_temperature_ratio == pytest.approx(chi / 2, rel=1e-12)
    assert state.critical_composition == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("chi", [2.0001, 2.01, 7, 10, 20])
def test_binodal_solves_the_closed_form(chi):
    """m = 1 - 2 c solves m = tanh(chi m/2); deep in the quench c = (1 + exp(chi m))^-1 keeps its digits."""
    m = brentq(lambda m: m - math.tanh(chi * m / 2), math.sqrt(3 * (1 - 2 / chi)) / 2, 1, xtol=1e-16, rtol=1e-15)
    a, b = binodal(binary(RegularSolution(chi=chi)))
    assert a == pytest.approx(1 / (1 + math.exp(chi * m)), rel=1e-10 if chi > 2.005 else 1e-8)
    assert b == pytest.approx(1 - a, abs=1e-12 if chi > 2.005 else 1e-8)


@pytest.mark.parametrize("terms", [[RegularSolution(chi=1.99)], [Ideal()], [RegularSolution(chi=-3)], [Gradient(kappa=1)]])
def test_a_stable_mixture_has_no_phases(terms):
    state = BinaryThermodynamics.of([*terms, Gradient(kappa=1)], Constant(value=1), BINARY, 0.3)
    assert (state.spinodal, state.binodal, state.growth_rate, state.interface_energy) == ((), None, None, None)


@pytest.mark.parametrize(
    ("N_A", "N_B", "chi_c", "c_c"), [(10, 1, 0.8662277660, 0.2402530734), (100, 1, 0.605, 0.0909090909), (1, 1, 2, 0.5)]
)
def test_critical_point_of_polymers(N_A, N_B, chi_c, c_c):
    chi = 1.3
    ratio, c = critical_point([FloryHuggins(chi=chi, N_A=N_A, N_B=N_B)], BINARY)
    assert chi / ratio == pytest.approx(chi_c, abs=1e-10)
    assert c == pytest.approx(c_c, abs=1e-10)


@pytest.mark.parametrize(("kilojoule", "T_c"), [(10, 601.3618), (15, 902.0427), (20, 1202.7236), (25, 1503.4044), (30, 1804.0853)])
def test_critical_temperature(kilojoule, T_c):
    T = 1000.0
    ratio, c = critical_point([Ideal(), PairInteraction(chi=1000 * kilojoule / (R * T))], Composition(("A",), (), "B"))
    assert T * ratio == pytest.approx(T_c, abs=1e-4)
    assert c == pytest.approx(0.5, abs=1e-9)


def test_no_critical_temperature():
    assert critical_point([DoubleWell(rho=1), Gradient(kappa=1)], BINARY) is None
    assert critical_point([RegularSolution(chi=-1.0)], BINARY) is None


@settings(deadline=None, max_examples=25)
@given(st.floats(1.02, 2.5), st.floats(1, 60), st.floats(1, 60))
def test_phases_of_polymers_are_in_equilibrium(quench, one, other):
    """Both components have equal potentials in both phases (Flory's expressions), and the phases are on either side of the spinodal.

    The longer chain is A: its dilute phase c = 1e-20 is a number, 1 - c = 1e-20 is not. The mirrored mixture has mirrored phases.
    """
    N_A, N_B = max(one, other), min(one, other)
    chi = quench * (N_A**-0.5 + N_B**-0.5) ** 2 / 2
    density = binary(FloryHuggins(chi=chi, N_A=N_A, N_B=N_B))
    a, b = binodal(density)
    ((s, e),) = spinodal(density)
    assert 0 < a < s < e < b < 1
    assert (s, e) == pytest.approx(np.sort(np.roots([2 * chi, 1 / N_B - 1 / N_A - 2 * chi, 1 / N_A])), rel=1e-9)
    assert binodal(binary(FloryHuggins(chi=chi, N_A=N_B, N_B=N_A))) == pytest.approx((1 - b, 1 - a), abs=1e-12)

    def potential_A(c):  # of a segment
        return (math.log(c) + 1 - c) / N_A - (1 - c) / N_B + chi * (1 - c) ** 2

    def potential_B(c):
        return (math.log1p(-c) + c) / N_B - c / N_A + chi * c**2

    assert potential_A(a) == pytest.approx(potential_A(b), abs=1e-12)
    assert potential_B(a) == pytest.approx(potential_B(b), abs=1e-12)


def test_interface_of_an_asymmetric_mixture():
    """sigma by quadrature of the energy written in numpy, in another variable."""
    chi, N = 0.9, 20.0
    state = BinaryThermodynamics.of([FloryHuggins(chi=chi, N_A=N), Gradient(kappa=0.3)], Constant(value=1), BINARY, 0.4)
    a, b = state.binodal

    def f(c):
        return c / N * np.log(c) + (1 - c) * np.log1p(-c) + chi * c * (1 - c)

    mu = (f(b) - f(a)) / (b - a)
    sigma = quad(
        lambda s: math.sqrt(0.6 * max(f(math.exp(s)) - f(a) - mu * (math.exp(s) - a), 0)) * math.exp(s), math.log(a), math.log(b), limit=200
    )
    assert state.interface_energy == pytest.approx(sigma[0], rel=1e-8)


class Wavy(Term):
    A: float
    eps: float

    def density(self, c, phi):
        return self.A * (c[0] ** 2 * (1 - c[0]) ** 2 + self.eps * ufl.sin(6 * ufl.pi * c[0]))


class ThreeWells(Term):
    """(c - 1/2)^2 ((c - 1/2)^2 - 1/4)^2: wells at 0, 1/2, 1"""

    tilt: float = 0.0

    def density(self, c, phi):
        u = c[0] - 0.5
        return u**2 * (u**2 - 0.25) ** 2 + self.tilt * u**2


def assert_common_tangent(density: LocalDensity, a: float, b: float) -> None:
    """The line through both points touches f there and lies below it everywhere."""
    slope = np.diff(density.value([np.array([a, b])]))[0] / (b - a)
    c = np.linspace(-0.4, 1.4, 10001)
    assert density.potential([np.array([a, b])])[0] == pytest.approx([slope, slope], abs=1e-12)
    assert (density.value([c]) - density.value([a]) - slope * (c - a)).min() > -1e-13


def test_a_users_own_energy():
    density = binary(Wavy(A=3.0, eps=4e-3))
    c = np.linspace(-0.5, 1.5, 400001)
    curvature = 3 * (2 - 12 * c + 12 * c**2 - 4e-3 * 36 * np.pi**2 * np.sin(6 * np.pi * c))
    changes = c[:-1][np.diff(np.sign(curvature)) != 0]
    assert np.ravel(spinodal(density)) == pytest.approx(changes, abs=1e-5)
    assert_common_tangent(density, *binodal(density))


def test_several_miscibility_gaps():
    lowered = binary(ThreeWells(tilt=0.01))
    left, right = binodal(lowered, 0.2), binodal(lowered, 0.7)
    assert left[0] < 0.1 < 0.4 < left[1] < right[0] < 0.6 < 0.9 < right[1]
    assert_common_tangent(lowered, *left)
    assert_common_tangent(lowered, *right)
    raised = binary(ThreeWells(tilt=-0.01))  # the middle well lies above the tangent of the outer ones
    a, b = binodal(raised, 0.2)
    assert len(spinodal(raised)) == 2 and a < 0.1 and b > 0.9
    assert_common_tangent(raised, a, b)


def test_thermodynamic_factor():
    c = np.array([0.1, 0.5, 0.9])
    assert thermodynamic_factor(binary(RegularSolution(chi=1.7)), c) == pytest.approx(1 - 2 * 1.7 * c * (1 - c), rel=1e-12)


def test_stability_of_a_ternary():
    """With equal chi at equal fractions the Hessian is (3 - chi)(1 + delta_ij): eigenvalues (3 - chi), 3 (3 - chi)."""
    for chi in (2.5, 3.5):
        density = LocalDensity([RegularSolution(chi={"A-B": chi, "A-C": chi, "B-C": chi})], Composition(("A", "B"), (), "C"))
        eigenvalues = stability(density, np.full((2, 4), 1 / 3))
        assert eigenvalues == pytest.approx(np.tile(np.sort([3 - chi, 3 * (3 - chi)]), (4, 1)), rel=1e-10)


def test_phase_diagram_ends_in_the_critical_point():
    diagram = PhaseDiagram.of([RegularSolution(chi=3.0)], BINARY, points=12)
    assert diagram.temperature[[0, -1]] == pytest.approx([1.5, 0.6])
    assert diagram.binodal[0] == pytest.approx([0.5, 0.5], abs=1e-9)
    m = 1 - 2 * diagram.binodal[1:, 0]
    assert m == pytest.approx(np.tanh(1.5 * m / diagram.temperature[1:]), abs=1e-10)
    s = (1 - np.sqrt(1 - 2 * diagram.temperature[1:] / 3)) / 2
    assert diagram.spinodal[1:] == pytest.approx(np.transpose([s, 1 - s]), abs=1e-10)
    assert PhaseDiagram.of([DoubleWell(rho=1)], BINARY) is None


def test_every_number_has_a_unit_and_is_json():
    state = BinaryThermodynamics.of([RegularSolution(chi=3), Gradient(kappa=1)], Degenerate(diffusivity=1), BINARY, 0.4)
    numbers = json.loads(json.dumps(state.as_dict()))
    assert numbers.keys() == UNITS.keys() == set(BinaryThermodynamics.__dataclass_fields__) - {"density"}
    assert numbers["spinodal"] == [list(state.spinodal[0])]
    with pytest.raises(ValueError, match="one independent species, not 2: A, B"):
        BinaryThermodynamics.of([Ideal()], Constant(value=1), Composition(("A", "B"), ()), 0.3)


@pytest.mark.parametrize(("chi", "panels"), [(3.0, 3), (1.5, 2)])
def test_picture(tmp_path, chi, panels):
    terms = [RegularSolution(chi=chi), Gradient(kappa=1)]
    state = BinaryThermodynamics.of(terms, Degenerate(diffusivity=1), BINARY, 0.4)
    labels = Labels(temperature=Axis("temperature (K)", 800.0))
    diagram = PhaseDiagram.of(terms, BINARY, points=5)
    axes = picture(state, diagram, labels).axes
    assert len(axes) == panels
    assert axes[1].get_ylabel() == "temperature (K)" and axes[1].get_ylim()[1] == pytest.approx(1.05 * 800 * max(chi / 2, 1))
    save(tmp_path / "thermo.png", state, diagram, labels)
    assert (tmp_path / "thermo.png").read_bytes().startswith(b"\x89PNG")


def test_what_check_shows_is_there():
    assert set(SHOWN) <= set(UNITS)
