"""Free energies of n components: against activity coefficients as textbooks have them, published numbers and independent solutions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import basix.ufl
import numpy as np
import pytest
import ufl
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
from fem_diffusion.units import Scales, in_solver_units, quantities

MESH = ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,)))

# ternaries A, B, C; as matrices by component, and as the tables of a problem
TAU = np.array([[0.0, 0.7, -0.4], [1.9, 0.0, 0.3], [0.8, 1.2, 0.0]])
ALPHA = np.array([[0.0, 0.2, 0.3], [0.2, 0.0, 0.47], [0.3, 0.47, 0.0]])
LAMBDA = np.array([[1.0, 0.154, 1.3], [0.888, 1.0, 0.4], [0.2, 2.1, 1.0]])
A = np.array([[0.0, 0.8, -0.5], [1.7, 0.0, 0.4], [0.9, 1.1, 0.0]])
L = {(0, 1): [1.2, -0.7, 0.3], (0, 2): [0.5, 0.9], (1, 2): [-0.4]}
X = np.array([[0.2, 0.5, 0.3], [0.05, 0.15, 0.8], [0.9, 0.06, 0.04], [0.34, 0.33, 0.33]]).T


def composition(n: int, balance: bool = True) -> Composition:
    """A, B, ... of which the last closes the sum."""
    names = tuple("ABCD"[:n])
    return Composition(names[:-1], (0.0,) * (n - 1), names[-1] if balance else None)


def table(matrix: np.ndarray) -> dict[str, list[float]]:
    """{ "A-B" = [of AB, of BA] }"""
    n = len(matrix)
    return {f"{'ABC'[k]}-{'ABC'[l]}": [matrix[k, l], matrix[l, k]] for k in range(n) for l in range(k + 1, n)}


TERNARY: dict[str, Term] = {
    "Wilson": Wilson(Lambda=table(LAMBDA)),
    "NRTL": NRTL(tau=table(TAU), alpha={key: value[0] for key, value in table(ALPHA).items()}),
    "Margules": Margules(coefficients=table(A)),
    "RedlichKister": RedlichKister(coefficients={f"{'ABC'[k]}-{'ABC'[l]}": values for (k, l), values in L.items()}),
}


def ln_gamma(term: Term, x: np.ndarray) -> np.ndarray:
    """ln gamma_k = f_ex + sum_j (delta_kj - x_j) df_ex/dx_j at all fractions x (n, ...), by the last one as the dependent one."""
    density = LocalDensity([term], composition(len(x)))
    f, mu = density.value(x[:-1]), density.potential(x[:-1])
    mean = f - (x[:-1] * mu).sum(axis=0)
    return np.array([*(mean + mu), mean])


# -- activity coefficients, as the textbooks have them ----------------------------------------------------------------------------


def wilson(x: np.ndarray, Lambda: np.ndarray) -> np.ndarray:
    """ln gamma_k = 1 - ln sum_j x_j Lambda_kj - sum_i x_i Lambda_ik/sum_j x_j Lambda_ij"""
    s = Lambda @ x
    return 1 - np.log(s) - Lambda.T @ (x / s)


def nrtl(x: np.ndarray, tau: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """ln gamma_i = sum_j tau_ji G_ji x_j/S_i + sum_j x_j G_ij/S_j (tau_ij - sum_r x_r tau_rj G_rj/S_j),  S_i = sum_l G_li x_l"""
    G = np.exp(-alpha * tau)
    S, T = G.T @ x, (tau * G).T @ x
    return np.array([T[i] / S[i] + sum(x[j] * G[i, j] / S[j] * (tau[i, j] - T[j] / S[j]) for j in range(len(x))) for i in range(len(x))])


def by_moles(excess: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """ln gamma_i = d(N f_ex)/dN_i, by a complex step"""
    gammas = []
    for i in range(len(x)):
        N = x.astype(complex)
        N[i] += 1e-30j
        gammas.append((N.sum(axis=0) * excess(N / N.sum(axis=0))).imag / 1e-30)
    return np.array(gammas)


def margules(x: np.ndarray) -> Any:
    return sum(x[k] * x[l] * (A[l, k] * x[k] + A[k, l] * x[l]) for k in range(3) for l in range(k + 1, 3))


def redlich_kister(x: np.ndarray) -> Any:
    return sum(x[k] * x[l] * np.polyval(values[::-1], x[k] - x[l]) for (k, l), values in L.items())


LN_GAMMA: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Wilson": lambda x: wilson(x, LAMBDA),
    "NRTL": lambda x: nrtl(x, TAU, ALPHA),
    "Margules": lambda x: by_moles(margules, x),
    "RedlichKister": lambda x: by_moles(redlich_kister, x),
}
EXCESS = pytest.mark.parametrize("name", LN_GAMMA)


@EXCESS
def test_activity_coefficients_of_a_ternary(name):
    np.testing.assert_allclose(ln_gamma(TERNARY[name], X), LN_GAMMA[name](X), rtol=1e-12, atol=1e-13)


@EXCESS
def test_any_component_can_be_the_dependent_one(name):
    """The density is one of all components: which of them is not solved for does not matter."""
    rotated = LocalDensity([TERNARY[name]], Composition(("B", "C"), (0.0, 0.0), "A"))
    np.testing.assert_allclose(rotated.value(X[1:]), LocalDensity([TERNARY[name]], composition(3)).value(X[:2]), rtol=1e-13, atol=1e-15)


@EXCESS
def test_gibbs_duhem(name):
    """sum_k x_k d ln gamma_k = 0 along any path, here by central differences."""
    h, direction = 1e-5, np.array([1.0, -0.3, -0.7])[:, np.newaxis]
    difference = ln_gamma(TERNARY[name], X + h * direction) - ln_gamma(TERNARY[name], X - h * direction)
    np.testing.assert_allclose((X * difference).sum(axis=0) / (2 * h), 0.0, atol=1e-7)


@EXCESS
def test_matrix_of_thermodynamic_factors(name):
    """(diag c - c c^T) f'' = Gamma,  Gamma_ij = delta_ij + x_i d ln gamma_i/dx_j at constant sum  (Taylor & Krishna 1993, sec. 2.2)"""
    hessian = LocalDensity([LatticeGas(), TERNARY[name]], composition(3)).hessian(X[:2])
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, 0, 1), rtol=1e-13)
    h = 1e-6
    for k, x in enumerate(X.T):
        Gamma = np.eye(2)
        for j in range(2):
            step = h * np.array([float(j == 0), float(j == 1), -1.0])
            Gamma[:, j] += x[:2] * (LN_GAMMA[name](x + step) - LN_GAMMA[name](x - step))[:2] / (2 * h)
        c = x[:2]
        np.testing.assert_allclose((np.diag(c) - np.outer(c, c)) @ hessian[:, :, k], Gamma, atol=1e-8)


def test_published_wilson_and_nrtl_ethanol_water():
    """Ethanol(1)-water(2) at x_1 = 0.252: problems P05.01a and b of Gmehling, Kolbe, Kleiber & Rarey, Chemical Thermodynamics for Process
    Simulation (Lambda_12 = 0.154, Lambda_21 = 0.888; tau_12 = -0.178, tau_21 = 1.963, alpha = 0.2974), with the digits of Bell's thermo."""
    x = np.array([0.252, 0.748])
    wilson_gammas = np.exp(ln_gamma(Wilson(Lambda={"A-B": [0.154, 0.888]}), x))
    np.testing.assert_allclose(wilson_gammas, [1.8814926087178843, 1.1655774931125487], rtol=1e-13)
    nrtl_gammas = np.exp(ln_gamma(NRTL(tau={"A-B": [-0.178, 1.963]}, alpha=0.2974), x))
    np.testing.assert_allclose(nrtl_gammas, [1.9363183763514304, 1.1537609663170014], rtol=1e-13)


def test_binary_margules_and_redlich_kister():
    """ln gamma_1 = x_2^2 (A_12 + 2 (A_21 - A_12) x_1);  ln gamma_1 = x_2^2 (L_0 + L_1 (4 x_1 - 1) + L_2 (2 x_1 - 1) (6 x_1 - 1))"""
    x = np.array([[0.1, 0.45, 0.8], [0.9, 0.55, 0.2]])
    x1, x2 = x
    A12, A21 = 1.3, 0.4
    expected = [x2**2 * (A12 + 2 * (A21 - A12) * x1), x1**2 * (A21 + 2 * (A12 - A21) * x2)]
    np.testing.assert_allclose(ln_gamma(Margules(coefficients={"A-B": [A12, A21]}), x), expected, rtol=1e-12)
    L0, L1, L2 = 1.1, -0.6, 0.35
    expected = [
        x2**2 * (L0 + L1 * (4 * x1 - 1) + L2 * (2 * x1 - 1) * (6 * x1 - 1)),
        x1**2 * (L0 - L1 * (4 * x2 - 1) + L2 * (2 * x2 - 1) * (6 * x2 - 1)),
    ]
    np.testing.assert_allclose(ln_gamma(RedlichKister(coefficients={"A-B": [L0, L1, L2]}), x), expected, rtol=1e-12)


def test_infinite_dilution():
    """Of A in B:  Wilson 1 - ln Lambda_AB - Lambda_BA,  NRTL tau_BA + tau_AB G_AB,  Margules A_AB,  Redlich-Kister sum_m L_m (-1)^m"""
    at_A, at_B = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    for term, of_A, of_B in [
        (Wilson(Lambda={"A-B": [0.154, 0.888]}), 1 - np.log(0.154) - 0.888, 1 - np.log(0.888) - 0.154),
        (NRTL(tau={"A-B": [0.7, 1.9]}, alpha=0.2), 1.9 + 0.7 * np.exp(-0.14), 0.7 + 1.9 * np.exp(-0.38)),
        (NRTL(tau={"A-B": [0.7, 1.9]}), 1.9 + 0.7 * np.exp(-0.21), 0.7 + 1.9 * np.exp(-0.57)),  # alpha = 0.3
        (Margules(coefficients={"A-B": [1.3, 0.4]}), 1.3, 0.4),
        (RedlichKister(coefficients={"A-B": [1.1, -0.6, 0.35]}), 1.1 + 0.6 + 0.35, 1.1 - 0.6 + 0.35),
    ]:
        np.testing.assert_allclose([ln_gamma(term, at_A)[0], ln_gamma(term, at_B)[1]], [of_A, of_B], rtol=1e-13)
        np.testing.assert_allclose([ln_gamma(term, at_A)[1], ln_gamma(term, at_B)[0]], 0.0, atol=1e-14)  # the pure component


def test_the_order_of_a_key():
    """{ "B-A" = [of BA, of AB] } is the same mixture, and odd Redlich-Kister terms change their sign."""
    c = [np.array([0.1, 0.45, 0.8])]
    for one, other in [
        (Wilson(Lambda={"A-B": [0.2, 0.9]}), Wilson(Lambda={"B-A": [0.9, 0.2]})),
        (NRTL(tau={"A-B": [0.2, 0.9]}, alpha={"A-B": 0.2}), NRTL(tau={"B-A": [0.9, 0.2]}, alpha={"B-A": 0.2})),
        (Margules(coefficients={"A-B": [0.2, 0.9]}), Margules(coefficients={"B-A": [0.9, 0.2]})),
        (RedlichKister(coefficients={"A-B": [1.0, 0.5, 0.3]}), RedlichKister(coefficients={"B-A": [1.0, -0.5, 0.3]})),
    ]:
        values = [LocalDensity([term], composition(2)).value(c) for term in (one, other)]
        np.testing.assert_allclose(*values, rtol=1e-14)


def test_wilson_from_energies_and_volumes():
    """Lambda_kl = V_l/V_k exp(-a_kl/RT), for an alcohol in water: volumes of 58.68 and 18.07 cm^3/mol, energies in cal/mol."""
    T, a12, a21, V1, V2 = 343.15, 276.76 * 4.184, 975.49 * 4.184, 58.68e-6, 18.07e-6
    term = Wilson(interactions={"A-B": [f"{a12} J/mol", f"{a21} J/mol"]}, molar_volumes={"A": f"{V1} m^3/mol", "B": f"{V2} m^3/mol"})
    Lambda = np.array([[1.0, V2 / V1 * np.exp(-a12 / (R * T))], [V1 / V2 * np.exp(-a21 / (R * T)), 1.0]])
    x = np.array([[0.1, 0.6], [0.9, 0.4]])
    np.testing.assert_allclose(ln_gamma(at_reference(term, T), x), wilson(x, Lambda), rtol=1e-12)


def test_wilson_never_demixes():
    """Ideal mixing and Wilson's term together are a relative entropy sum_k x_k ln(x_k/sum_l Lambda_kl x_l): convex for any Lambda."""
    rng = np.random.default_rng(3)
    x = rng.dirichlet([0.5, 0.5, 0.5], size=200).T
    for _ in range(20):
        Lambda = np.exp(3 * rng.standard_normal((3, 3)))
        hessian = LocalDensity([LatticeGas(), Wilson(Lambda=table(Lambda))], composition(3)).hessian(x[:2])
        assert np.linalg.eigvalsh(np.moveaxis(hessian, -1, 0)).min() > 0


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


def at_reference(term: Term, T: float) -> Term:
    """The term in solver units with the reference temperature T, V_m = 9 cm^3/mol and a length of 3 nm."""
    V_m, length = 9e-6, 3e-9
    return in_solver_units(term, replace(Scales.of(length, 1.0, R * T / V_m, length**3 / V_m), temperature=T))


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
