"""Activity coefficients of excess free energies: as textbooks have them, and published numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mixtures import X, at_reference, composition
from scipy.constants import R

from fem_diffusion.free_energy import NRTL, LatticeGas, Margules, RedlichKister, Term, Wilson
from fem_diffusion.pointwise import LocalDensity
from fem_diffusion.state import Composition

pytestmark = pytest.mark.serial

# ternaries A, B, C; as matrices by component, and as the tables of a problem
TAU = np.array([[0.0, 0.7, -0.4], [1.9, 0.0, 0.3], [0.8, 1.2, 0.0]])
ALPHA = np.array([[0.0, 0.2, 0.3], [0.2, 0.0, 0.47], [0.3, 0.47, 0.0]])
LAMBDA = np.array([[1.0, 0.154, 1.3], [0.888, 1.0, 0.4], [0.2, 2.1, 1.0]])
A = np.array([[0.0, 0.8, -0.5], [1.7, 0.0, 0.4], [0.9, 1.1, 0.0]])
L = {(0, 1): [1.2, -0.7, 0.3], (0, 2): [0.5, 0.9], (1, 2): [-0.4]}


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
