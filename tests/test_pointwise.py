"""UFL evaluated by numpy: against the same formulas in numpy, closed forms and finite differences."""

import math

import basix.ufl
import numpy as np
import pytest
import ufl
from hypothesis import given
from hypothesis import strategies as st

from fem_diffusion.free_energy import DoubleWell, Gradient, RegularSolution, Term, WallEnergy
from fem_diffusion.mobility import Constant, Degenerate, Mobility
from fem_diffusion.pointwise import LocalDensity, PointwiseFunction, has_gradient, mobility_matrix
from fem_diffusion.state import Composition

pytestmark = pytest.mark.serial

MESH = ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,)))
X, Y = ufl.Constant(MESH), ufl.Constant(MESH)

BINARY = Composition(("A",), ())
TERNARY = Composition(("A", "B"), (), "D")
QUATERNARY = Composition(("A", "B", "C"), (), "D")

x = np.array([-1.5, -0.25, 0.0, 0.3, 0.999, 2.0])
y = np.array([[0.5], [-2.0]])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (X + 2 * Y - 1, x + 2 * y - 1),
        (X / Y, x / y),
        (X**3, x**3),
        (2.0**X, 2.0**x),
        (ufl.sqrt(X**2 + 1), np.hypot(x, 1)),
        (ufl.exp(-X) * ufl.ln(Y**2), np.exp(-x) * np.log(y**2)),
        (ufl.sin(X) + ufl.cos(X) + ufl.tan(X), np.sin(x) + np.cos(x) + np.tan(x)),
        (ufl.sinh(X) + ufl.cosh(X) + ufl.tanh(X), np.sinh(x) + np.cosh(x) + np.tanh(x)),
        (ufl.asin(X / 4) + ufl.acos(X / 4) + ufl.atan(X), np.pi / 2 + np.arctan(x)),
        (ufl.atan2(X, Y), np.arctan2(x, y)),
        (ufl.erf(X), [[math.erf(v) for v in x]] * 2),
        (abs(X) + ufl.sign(X), np.abs(x) + np.where(x == 0, 0, np.sign(x))),
        (ufl.min_value(X, Y) + 3 * ufl.max_value(X, Y), np.minimum(x, y) + 3 * np.maximum(x, y)),
        (ufl.conditional(ufl.And(ufl.gt(X, 0), ufl.lt(X, 1)), X, Y), np.where((x > 0) & (x < 1), x, y)),
        (ufl.conditional(ufl.Or(ufl.ge(X, 2), ufl.le(X, -1.5)), 1, 0), (x >= 2) | (x <= -1.5)),
        (ufl.conditional(ufl.Not(ufl.eq(X, 0)), 1, 0), x != 0),
        (ufl.conditional(ufl.ne(X, 0.3), 1, 0), x != 0.3),
        (ufl.as_vector([X, Y])[1], y),
        (ufl.inner(ufl.as_vector([X, Y]), ufl.as_vector([Y, X])), 2 * x * y),
        (ufl.variable(X) * Y, x * y),
        (7, 7),
    ],
)
def test_a_node_means_what_it_means_in_numpy(expression, expected):
    (result,) = PointwiseFunction([expression], [X, Y])([x, y])
    np.testing.assert_allclose(result, np.broadcast_to(expected, (2, 6)), rtol=1e-14, atol=1e-15)


@pytest.mark.filterwarnings("error")
def test_no_value_is_nan_without_a_warning():
    (result,) = PointwiseFunction([ufl.ln(X)], [X])([[-1.0, 1.0]])
    assert np.isnan(result[0]) and result[1] == 0.0


@pytest.mark.parametrize(
    ("expression", "name"), [(ufl.SpatialCoordinate(MESH)[0], "SpatialCoordinate"), (Y, "Constant"), (ufl.bessel_J(0, X), "BesselJ")]
)
def test_an_unknown_node_is_named(expression, name):
    with pytest.raises(TypeError, match=name):
        PointwiseFunction([expression], [X])


def test_derivatives_of_a_double_well():
    rho, a, b = 5.0, 0.3, 0.7
    density = LocalDensity([DoubleWell(rho=rho, a=a, b=b)], BINARY)
    c = np.linspace(-0.2, 1.3, 7)
    f = rho * np.poly1d([1, -a]) ** 2 * np.poly1d([-1, b]) ** 2
    np.testing.assert_allclose(density.value([c]), f(c), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(density.potential([c])[0], f.deriv()(c), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(density.hessian([c])[0, 0], f.deriv(2)(c), rtol=1e-11)
    np.testing.assert_allclose(density.third([c])[0, 0, 0], f.deriv(3)(c), rtol=1e-11)


@st.composite
def mixtures(draw):
    """Fractions of four components, none close to zero."""
    parts = np.array(draw(st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4)))
    return (parts / parts.sum())[:3]


INTERACTIONS = {"A-B": 2.5, "A-C": -1.0, "B-C": 0.7, "A-D": 3.1, "B-D": 1.9, "C-D": 0.4}
FOUR = LocalDensity([RegularSolution(chi=INTERACTIONS), Gradient(kappa=1.0)], QUATERNARY)


@given(mixtures())
def test_regular_solution_of_four_components(c):
    """f from its definition, mu and the Hessian from complex steps and central differences of that definition."""

    def f(c):
        fractions = dict(zip("ABCD", [*c, 1 - sum(c)], strict=True))
        pairs = sum(chi * fractions[pair[0]] * fractions[pair[2]] for pair, chi in INTERACTIONS.items())
        return sum(x * np.log(x) for x in fractions.values()) + pairs

    def gradient(c):
        return np.array([f(c + 1e-30j * np.eye(3)[i]).imag / 1e-30 for i in range(3)])

    h = 1e-6
    hessian = np.array([(gradient(c + h * e) - gradient(c - h * e)) / (2 * h) for e in np.eye(3)])
    np.testing.assert_allclose(FOUR.value(c), f(c), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(FOUR.potential(c), gradient(c), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(FOUR.hessian(c), hessian, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(FOUR.hessian(c), FOUR.hessian(c).T, rtol=1e-12)


@given(mixtures())
def test_potentials_of_the_components(c):
    """Gibbs-Duhem closes df/dc_i = mu_i - mu_0 by mu_0 = f - sum_i c_i df/dc_i; textbook: mu_k = ln x_k + (chi x)_k - x.chi.x/2."""
    x = np.append(c, 1 - c.sum())
    chi = np.zeros((4, 4))
    for pair, value in INTERACTIONS.items():
        j, k = "ABCD".index(pair[0]), "ABCD".index(pair[2])
        chi[j, k] = chi[k, j] = value
    potential = FOUR.potential(c)
    mu_0 = FOUR.value(c) - c @ potential
    np.testing.assert_allclose(np.append(potential + mu_0, mu_0), np.log(x) + chi @ x - x @ chi @ x / 2, rtol=1e-10, atol=1e-11)


def test_gradient_coefficients():
    """|grad D|^2 = |grad A + grad B|^2"""
    density = LocalDensity([RegularSolution(chi={"A-B": 1.0}), Gradient(kappa={"D": 3.0, "A": 2.0})], TERNARY)
    np.testing.assert_allclose(density.gradient_coefficients([0.2, 0.3]), [[5, 3], [3, 3]], rtol=1e-15)
    assert density.value([0.2, 0.3]) == pytest.approx(LocalDensity(density.terms[:1], TERNARY).value([0.2, 0.3]), rel=1e-15)


class WholeEnergy(Term):
    """A well and its composition-dependent gradient energy in one density."""

    def density(self, c, phi):
        return c[0] ** 2 * (1 - c[0]) ** 2 + (1 + c[0]) / 2 * c[0].dx(0) ** 2


class Field(Term):
    def density(self, c, phi):
        return 2 * c[0] * phi


class Place(Term):
    def density(self, c, phi):
        return c[0] * ufl.SpatialCoordinate(MESH)[0]


def test_a_density_with_both_parts():
    density = LocalDensity([WholeEnergy()], BINARY)
    assert density.value([0.5]) == 0.0625
    assert density.gradient_coefficients([0.25])[0, 0] == 1.25


def test_local_terms():
    terms = [DoubleWell(rho=1), WallEnergy(strength=1), Gradient(kappa=1), WholeEnergy(), Field(), Place()]
    assert [has_gradient(term, BINARY) for term in terms] == [False, False, True, True, False, False]
    assert LocalDensity(terms, BINARY).terms == tuple(terms[:4])


class Coupled(Mobility):
    def matrix(self, c):
        return [[c["A"], -c["A"] * c["D"]], [-c["A"] * c["D"], 2.0]]


def test_mobility_matrices():
    c = np.array([[0.2, 1.5], [0.3, -0.1]])
    np.testing.assert_array_equal(mobility_matrix(Constant(value=5), TERNARY, c), 5 * np.eye(2)[:, :, None] * np.ones(2))
    np.testing.assert_allclose(mobility_matrix(Degenerate(diffusivity=2), TERNARY, c)[0, 0], [0.32, 0])
    expected = [[[0.2, 1.5], [-0.1, 0.6]], [[-0.1, 0.6], [2, 2]]]
    np.testing.assert_allclose(mobility_matrix(Coupled(), TERNARY, c), expected, rtol=1e-14)
