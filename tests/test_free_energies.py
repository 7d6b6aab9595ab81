"""Free energies of n components: at a temperature, as fields, their convex parts and phase diagrams, by closed forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import basix.ufl
import numpy as np
import pytest
import ufl
from mixtures import X, at_reference, composition
from scipy.constants import R
from scipy.optimize import fsolve

from fem_diffusion.errors import InputError
from fem_diffusion.free_energy import (
    NRTL,
    DoubleWell,
    ExternalPotential,
    FloryHuggins,
    Gradient,
    Ideal,
    LatticeGas,
    Margules,
    PairInteraction,
    Quadratic,
    RedlichKister,
    RegularSolution,
    Term,
    WallEnergy,
    Wilson,
)
from fem_diffusion.pointwise import LocalDensity, PlacedPotential, PointwiseFunction
from fem_diffusion.state import Composition
from fem_diffusion.thermodynamics import binodal, critical_point, thermodynamic_factor
from fem_diffusion.units import quantities

pytestmark = pytest.mark.serial

MESH = ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,)))


# -- lattice gas, regular solution ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", [True, False])
def test_lattice_gas(balance):
    """mu_i = ln(c_i/c_0),  f'' = delta_ij/c_i + 1/c_0"""
    c = composition(3, balance)
    density = LocalDensity([LatticeGas()], c)
    np.testing.assert_allclose(density.potential(X[:2]), np.log(X[:2] / X[2]), rtol=1e-13, atol=1e-15)
    expected = [[1 / X[0] + 1 / X[2], 1 / X[2]], [1 / X[2], 1 / X[1] + 1 / X[2]]]
    np.testing.assert_allclose(density.hessian(X[:2]), expected, rtol=1e-13)
    assert LatticeGas().positive(c) == ("A", "B", "C" if balance else "rest") and LatticeGas().excess(c, None) == 0.0
    ((_, value),) = quantities(LatticeGas(site_concentration="55 mol/l"))
    assert value == pytest.approx(55e3, rel=1e-14)


@pytest.mark.parametrize(
    "terms",
    [
        [RegularSolution(interaction="25.3 kJ/mol")],
        [LatticeGas(), PairInteraction(interactions={"B-A": "25.3 kJ/mol"})],
        [LatticeGas(), RedlichKister(coefficients={"A-B": ["25.3 kJ/mol"]})],
        [LatticeGas(), Margules(coefficients={"A-B": ["25300 J/mol", "25300 J/mol"]})],
    ],
)
def test_thermodynamic_factor_of_a_regular_solution(terms):
    """Gamma = 1 - 2 Omega x (1-x)/RT"""
    x = np.linspace(0.02, 0.98, 25)
    density = LocalDensity([at_reference(term, 1000.0) for term in terms], composition(2))
    np.testing.assert_allclose(thermodynamic_factor(density, x), 1 - 2 * 25300 * x * (1 - x) / (R * 1000), rtol=0, atol=1e-12)


def test_a_pair_that_is_not_given_does_not_interact():
    c = X[:2]
    for term, expected in [
        (PairInteraction(chi={"A-C": 0.7}), 0.7 * X[0] * X[2]),
        (RedlichKister(coefficients={"C-A": [0.7]}), 0.7 * X[0] * X[2]),
        (Margules(coefficients={"A-C": [0.7, 0.7]}), 0.7 * X[0] * X[2] * (X[0] + X[2])),
    ]:
        np.testing.assert_allclose(LocalDensity([term], composition(3)).value(c), expected, rtol=1e-13)


# -- Cu-Ag ------------------------------------------------------------------------------------------------------------------------

HAYES = ("33819.1 - 8.1236*T", "-5601.9 + 1.32997*T")  # F.H. Hayes, H.L. Lukas, G. Effenberg & G. Petzow, Z. Metallkd. 77 (1986) 749
EUTECTIC = 1052.25  # K


def cu_ag(T: float) -> list[Term]:
    return [LatticeGas(), at_reference(RedlichKister(coefficients={"Ag-Cu": list(HAYES)}), T)]


def hayes(T: float) -> tuple[float, float]:
    """L_0, L_1 in multiples of RT"""
    return (33819.1 - 8.1236 * T) / (R * T), (-5601.9 + 1.32997 * T) / (R * T)


COPPER_IN_SILVER = Composition(("Cu",), (0.0,), "Ag")


def test_binodal_of_cu_ag():
    """At the eutectic temperature x_Cu = 0.12805 and 0.95512 (NIST's assessed phase diagram: 0.1327 and 0.9546): the equal activities."""
    L0, L1 = hayes(EUTECTIC)

    def activities(x: float) -> np.ndarray:  # ln(gamma x) of Cu, Ag
        y = 1 - x
        return np.array([np.log(x) + y**2 * (L0 - L1 * (4 * x - 1)), np.log(y) + x**2 * (L0 + L1 * (4 * y - 1))])

    expected = fsolve(lambda phases: activities(phases[0]) - activities(phases[1]), [0.13, 0.95], xtol=1e-13)
    phases = binodal(LocalDensity(cu_ag(EUTECTIC), COPPER_IN_SILVER))
    np.testing.assert_allclose(phases, expected, rtol=1e-10)
    np.testing.assert_allclose(phases, [0.12805, 0.95512], rtol=0, atol=5e-6)


@pytest.mark.parametrize("reference", [EUTECTIC, 300.0, 2000.0])
def test_metastable_critical_point_of_cu_ag(reference):
    """f'' = f''' = 0 at 1417 K, x_Cu = 0.608, from any temperature of reference."""

    def conditions(unknowns: np.ndarray) -> list[float]:
        x, T = unknowns
        L0, L1 = hayes(1000 * T)  # f_ex = x y (L0 + L1 (y - x)):  f_ex'' = -2 L0 - 6 L1 (1 - 2x)
        return [1 / x + 1 / (1 - x) - 2 * L0 - 6 * L1 * (1 - 2 * x), -1 / x**2 + 1 / (1 - x) ** 2 + 12 * L1]

    x, T = fsolve(conditions, [0.6, 1.4], xtol=1e-13)
    found = critical_point(cu_ag(reference), COPPER_IN_SILVER)
    assert found is not None
    assert found[0] * reference == pytest.approx(1000 * T, rel=1e-9) and found[1] == pytest.approx(x, rel=1e-6)
    assert found[0] * reference == pytest.approx(1417, abs=0.5) and found[1] == pytest.approx(0.608, abs=5e-4)


def test_functions_of_temperature_without_units():
    """T in multiples of that of reference, energies in multiples of RT there."""
    term = RedlichKister(coefficients={"A-B": ["3 - T", 0.5]})
    for ratio in (1.0, 1.6):
        f = LocalDensity([term.at_temperature(ratio)], composition(2)).value([0.3])
        assert f == pytest.approx(0.3 * 0.7 * ((3 - ratio) + 0.5 * (0.3 - 0.7)) / ratio, rel=1e-14)
    assert LocalDensity([term], composition(2)).value([0.3]) == pytest.approx(0.3 * 0.7 * (2 + 0.5 * -0.4), rel=1e-14)


# -- temperature ------------------------------------------------------------------------------------------------------------------


OF_ENERGIES: dict[str, tuple[Term, int]] = {
    "LatticeGas": (LatticeGas(), 3),
    "Ideal": (Ideal(), 3),
    "PairInteraction": (PairInteraction(interactions={"A-B": "9 kJ/mol", "C-B": "-4 kJ/mol"}), 3),
    "RegularSolution": (RegularSolution(interaction="20 kJ/mol"), 2),
    "RedlichKister": (RedlichKister(coefficients={"A-B": [*HAYES, "2 kJ/mol"], "B-C": ["1e-3*T**2"]}), 3),
    "Margules": (Margules(coefficients={"A-B": ["4 kJ/mol", "9e3 - 2*T"]}), 3),
    "Wilson": (Wilson(interactions={"A-B": ["4 kJ/mol", "-1 kJ/mol"]}, molar_volumes={"A": "9e-6 m^3/mol", "B": "2e-5 m^3/mol"}), 2),
    "Wilson Lambda": (Wilson(Lambda={"A-B": [0.3, 1.9]}), 2),
    "NRTL": (NRTL(interactions={"A-B": ["4 kJ/mol", "1e3 + 3*T"]}), 2),
    "NRTL tau": (NRTL(tau={"A-B": [0.3, 1.9]}), 2),
    "DoubleWell": (DoubleWell(rho="3e8 J/m^3"), 2),
    "Quadratic": (Quadratic(matrix=[["3e8 J/m^3", "-1e8 J/m^3"], ["-1e8 J/m^3", "2e8 J/m^3"]]), 3),
    "Gradient": (Gradient(kappa="12 nJ/m"), 3),
    "Gradient of each": (Gradient(kappa={"A": "12 nJ/m", "C": "5 nJ/m"}), 3),
    "WallEnergy": (WallEnergy(strength="0.2 J/m^2"), 2),
}
OF_TEMPERATURE = pytest.mark.parametrize("name", OF_ENERGIES)


def numbers(term: Term, n: int) -> list[np.ndarray]:
    density = LocalDensity([term], composition(n))
    c = X[: n - 1]
    return [density.value(c), density.potential(c), density.gradient_coefficients(c)]


@OF_TEMPERATURE
def test_a_term_at_another_temperature(name):
    """The same as the term whose temperature of reference it is, in one step or two."""
    term, n = OF_ENERGIES[name]
    expected = numbers(at_reference(term, 1200.0), n)
    assert any(np.abs(values).max() > 1e-3 for values in expected)
    for other in (at_reference(term, 1000.0).at_temperature(1.2), at_reference(term, 1000.0).at_temperature(0.8).at_temperature(1.5)):
        for found, value in zip(numbers(other, n), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-13)


@OF_TEMPERATURE
def test_a_temperature_that_is_a_field(name):
    """A UFL ratio gives what its number gives."""
    term, n = OF_ENERGIES[name]
    ratio, c = ufl.Constant(MESH), [ufl.Constant(MESH) for _ in range(n - 1)]
    if name.startswith("Gradient"):
        c = [ufl.SpatialCoordinate(MESH)[0] / (i + 1) for i in range(n - 1)]  # gradients are numbers
    state = composition(n).with_values(c)
    in_units = at_reference(term, 1000.0)
    arguments = [ratio] if name.startswith("Gradient") else [ratio, *c]
    for density in ("density", "convex_part"):
        expressions = [getattr(at, density)(state, None) for at in (in_units.at_temperature(ratio), in_units.at_temperature(1.2))]
        if expressions[0] is not None:
            found, expected = PointwiseFunction(expressions, arguments)([1.2, 0.3, 0.5][: len(arguments)])
            assert found == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("ratio", [1.0, 0.7, 1.2])
@pytest.mark.parametrize("name", ["LatticeGas", "Ideal", "PairInteraction", "RegularSolution", "DoubleWell", "Quadratic", "WallEnergy"])
def test_convex_and_concave_parts(name, ratio):
    term, n = OF_ENERGIES[name]
    term = at_reference(term, 1000.0).at_temperature(ratio)
    c = [ufl.variable(ufl.Constant(MESH)) for _ in range(n - 1)]
    state = composition(n).with_values(c)
    convex, points = term.convex_part(state, None), X[: n - 1]
    for part, sign in ((convex, 1.0), (term.density(state, None) - convex, -1.0)):
        entries = [ufl.diff(ufl.diff(part, a), b) for a in c for b in c]
        hessian = PointwiseFunction(entries, [v.ufl_operands[0] for v in c])(points).reshape(n - 1, n - 1, -1)
        assert np.linalg.eigvalsh(sign * np.moveaxis(hessian, -1, 0)).min() > -1e-10


@pytest.mark.parametrize("chi", [3.0, -3.0])
def test_flory_huggins_at_another_temperature(chi):
    """chi is an interaction over RT; its convex part is all of it where it is negative."""
    term = FloryHuggins(chi=chi, N_A=10).at_temperature(1.5)
    c = ufl.Constant(MESH)
    state = composition(2).with_values([c])
    f, convex = PointwiseFunction([term.density(state, None), term.convex_part(state, None)], [c])([0.3])
    entropy = 0.03 * np.log(0.3) + 0.7 * np.log(0.7)
    np.testing.assert_allclose([f, convex], [entropy + chi / 1.5 * 0.21, entropy + min(chi, 0) / 1.5 * 0.21], rtol=1e-13)


# -- polynomials and fields -------------------------------------------------------------------------------------------------------


def test_quadratic():
    """mu = a c anywhere, and D = L a"""
    a = np.array([[2.0, -0.5], [-0.5, 1.0]])
    density = LocalDensity([Quadratic(matrix=a.tolist())], composition(3))
    c = np.array([[-0.3, 0.2, 4.0], [1.5, -0.1, 0.0]])
    np.testing.assert_allclose(density.potential(c), a @ c, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(density.value(c), 0.5 * np.einsum("ik,ij,jk->k", c, a, c), rtol=1e-14)
    assert not density.positive and not Quadratic(matrix=a.tolist()).of_fractions(composition(3))


def test_external_potential():
    """mu_i = (V_i - V_0)/RT, as UFL and as numbers; positions and times in metres and seconds."""
    T, length = 1000.0, 3e-9
    term = at_reference(ExternalPotential(potential={"A": "1e12*x*(1 + t)", "C": "2 kJ/mol"}), T)
    assert isinstance(term, ExternalPotential)
    c, x, t = [ufl.variable(ufl.Constant(MESH)) for _ in range(2)], ufl.Constant(MESH), ufl.Constant(MESH)
    state = Composition(("A", "B"), tuple(c), "C", ufl.as_vector([x]), t)
    place = np.array([[0.5, 2.0], [0.0, 0.0], [0.0, 0.0]])
    for ratio in (1.0, 1.3):
        density = term.at_temperature(ratio).density(state, None)
        arguments = [*(v.ufl_operands[0] for v in c), x, t]
        mu = PointwiseFunction([ufl.diff(density, v) for v in c], arguments)([0.2, 0.1, place[0], 0.5])
        expected = np.array([1e12 * place[0] * length * 1.5 - 2000, [-2000, -2000]]) / (R * T * ratio)
        np.testing.assert_allclose(mu, expected, rtol=1e-13)
        placed = PlacedPotential([term], Composition(("A", "B"), (0.0, 0.0), "C"))
        numbers = placed.potential(np.full((2, 2), 0.2), place, 0.5, np.full(2, ratio))
        np.testing.assert_allclose(numbers, expected, rtol=1e-13)
        assert placed.depends_on_time


def test_an_external_potential_is_no_function_of_the_composition():
    state = Composition(("A",), (0.0,), None, ufl.SpatialCoordinate(MESH))
    density = LocalDensity([LatticeGas(), ExternalPotential(potential={"A": "3*x"})], state)
    assert [type(term) for term in density.terms] == [LatticeGas]
    np.testing.assert_allclose(density.potential([0.2]), [np.log(0.2 / 0.8)], rtol=1e-14)
    with pytest.raises(InputError, match="no species 'rest'"):
        ExternalPotential(potential={"rest": 1.0}).check_species(composition(2, balance=False))


# -- bad input --------------------------------------------------------------------------------------------------------------------

ALL_PAIRS = {"A-B": [1.0, 2.0], "A-C": [1.0, 2.0], "B-C": [1.0, 2.0]}
AB = {"A-B": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (lambda: RegularSolution(chi={"A-B": 1.0, "B-A": 2.0}), ["'A-B'", "'B-A'", "same pair"]),
        (lambda: PairInteraction(chi={"A-D": 1.0}), ["'A-D'", "not a pair", "did you mean"]),
        (lambda: RedlichKister(coefficients={"A-B": [1.0], "B-A": [1.0]}), ["RedlichKister", "'A-B'", "'B-A'", "same pair"]),
        (lambda: RedlichKister(coefficients={"A-B": []}), ["A-B", "must be a list"]),
        (lambda: RedlichKister(coefficients={"A-B": ["1 - 2*x"]}), ["unknown name 'x'", "T"]),
        (lambda: RedlichKister(coefficients={"A-B": ["1 + noise*T"]}), ["noise", "remove it"]),
        (lambda: RedlichKister(coefficients={"A-B": ["3 J"]}), ["wrong unit", "J/mol"]),
        (lambda: Margules(coefficients={"A-B": [1.0]}), ["A-B", "list of two", "1 given"]),
        (lambda: Wilson(Lambda=AB), ["Wilson Lambda", "missing: A-C, B-C"]),
        (lambda: Wilson(Lambda={"A-B": [1.0, -2.0]}), ["-2.0", "greater than 0"]),
        (lambda: Wilson(Lambda=AB, interactions=AB), ["exactly one", "given: Lambda, interactions"]),
        (lambda: Wilson(Lambda=AB, molar_volumes={"A": 1.0}), ["molar_volumes", "remove"]),
        (lambda: Wilson(interactions=ALL_PAIRS, molar_volumes={"A": 1.0}), ["molar volume", "missing: B, C"]),
        (lambda: Wilson(interactions=ALL_PAIRS, molar_volumes={"Z": 1.0}), ["molar_volumes", "'Z'", "legal: A, B, C"]),
        (lambda: NRTL(tau=AB), ["NRTL tau", "missing: A-C, B-C"]),
        (lambda: NRTL(interactions=ALL_PAIRS, alpha={"A-B": 0.3}), ["NRTL alpha", "missing: A-C, B-C"]),
        (lambda: Quadratic(matrix=[[1.0, 2.0], [2.0, 1.0]]), ["positive definite", "eigenvalue is -1"]),
        (lambda: Quadratic(matrix=[[1.0, 2.0], [3.0, 9.0]]), ["symmetric", "1,2 is 2", "2,1 is 3"]),
        (lambda: Quadratic(matrix=[[1.0, 2.0]]), ["rows of 2 numbers"]),
        (lambda: Quadratic(matrix=[[1.0]]), ["1 rows", "2 solved species (A, B)"]),
        (lambda: ExternalPotential(potential={"A": "noise"}), ["A = 'noise'", "remove it"]),
        (lambda: ExternalPotential(potential={"Z": 1.0}), ["no species 'Z'", "legal: A, B, C"]),
        (lambda: LatticeGas(site_concentration=0.0), ["site_concentration", "positive"]),
    ],
)
def test_bad_input_is_named(term: Callable[[], Term], words: Sequence[str]):
    with pytest.raises(InputError) as error:
        term().check_species(composition(3))
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(("text", "ratio"), [("log(T - 2)", 1.0), ("T + log(-1)", ufl.Constant(MESH))])
def test_a_function_of_temperature_without_a_value(text, ratio):
    term = RedlichKister(coefficients={"A-B": [text]}).at_temperature(ratio)
    with pytest.raises(InputError, match=re.escape(f"'{text}' has no finite value")):
        term.density(composition(2).with_values([0.5]), None)
