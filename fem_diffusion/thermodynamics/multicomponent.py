"""Any number of independent species: stability, thermodynamic factors and Fick's matrix at one composition.

All numbers are in the solver's units; `MulticomponentThermodynamics.UNITS` names the SI unit of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..free_energy import Term
from ..mobility import Mobility
from ..pointwise import Array, LocalDensity, eigenvalues, mobility_matrix
from ..state import Composition

Directions = tuple[float, float]


def closes_to_one(density: LocalDensity) -> bool:
    """Whether f is of fractions that close to one: whether it takes the logarithms of all components, the closing one included."""
    composition = density.composition
    return density.positive == set(composition.with_values([0.0] * len(composition.names)).closed)


def stability(density: LocalDensity, c: ArrayLike) -> Array:
    """Eigenvalues of d2f/dc_i dc_j in ascending order, (..., n) for c of shape (n, ...): unstable where the first is negative."""
    return eigenvalues(density.hessian(c))


def thermodynamic_factor_matrix(density: LocalDensity, c: ArrayLike) -> Array:
    """Gamma = S H, S = diag(c) - c c^T, H = d2f/dc_i dc_j with f in units of RT/V_m: (n, n, ...) for c of shape (n, ...).

    For fractions that close to one, Gamma_ij = delta_ij + x_i d ln gamma_i/dx_j|_Sigma, which relates the thermodynamic forces to the
    gradients, d_i = sum_j Gamma_ij grad x_j  (Taylor & Krishna, Multicomponent Mass Transfer (1993), section 2.2).
    """
    c = np.asarray(c, dtype=float)
    return np.einsum("ij...,jk...->ik...", _covariance(c), density.hessian(c))


def thermodynamic_factors(density: LocalDensity, c: ArrayLike) -> Array:
    """Eigenvalues of Gamma, ascending, (..., n) for c of shape (n, ...): the first changes its sign on the spinodal.

    Unlike the eigenvalues of H they stay finite where a fraction vanishes.
    """
    c = np.asarray(c, dtype=float)
    return factors_of(c, density.hessian(c))


def factors_of(c: Array, hessian: Array) -> Array:
    """Eigenvalues of Gamma = S H for c (n, ...) and H (n, n, ...): ascending, (..., n).

    They are real, those of B^T H B with S = B B^T: B = diag(s) (1 - s s^T/(1 + sqrt(c_0))), s_i = sqrt(c_i), and c_0 = 1 - sum_i c_i.
    For n = 1 it is c (1-c) f''; in an ideal mixture all are one.
    """
    s = np.moveaxis(np.sqrt(c), 0, -1)
    outer = s[..., :, None] * s[..., None, :]
    root = np.eye(len(c)) - outer / (1 + np.sqrt(1 - np.sum(c, axis=0)))[..., None, None]
    values: Array = np.linalg.eigvalsh(root @ (outer * np.moveaxis(hessian, (0, 1), (-2, -1))) @ root)
    return values


def diffusion_matrix(density: LocalDensity, mobility: Mobility, composition: Composition, c: ArrayLike) -> Array:
    """Fick's D = L H in J = -D grad c, (n, n, ...) for c of shape (n, ...).

    For Maxwell and Stefan's equations it is [D] = [B]^-1 [Gamma] (Taylor & Krishna 1993, chapter 3).
    """
    return np.einsum("ij...,jk...->ik...", mobility_matrix(mobility, composition, c), density.hessian(c))


def uphill_directions(D: ArrayLike) -> tuple[Directions | None, Directions | None, Directions | None]:
    """Where the fluxes J = -D g of a ternary go uphill, J_i g_i > 0: for species 1, 2 and the closing one, whose g_0 = -g_1 - g_2.

    (a, b): uphill for a < theta < b, g = |g| (cos theta, sin theta), and for -g; -pi <= a < b < pi. At one end g_i = 0, at the other
    J_i = 0. None where no gradient makes the species go uphill. D is (2, 2).
    """
    D = np.asarray(D, dtype=float)
    closing = np.ones(2)  # g_0 and J_0 are minus these sums of g and J
    one, two, rest = (_double_wedge(p, p @ D) for p in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), closing))
    return one, two, rest


def uphill_share(D: ArrayLike, directions: int = 720) -> Array:
    """The share of gradient directions, of so many even ones, in which any of a ternary's three components goes uphill.

    Shape (...) for D of shape (2, 2, ...).
    """
    theta = (np.arange(directions) + 0.5) * math.pi / directions
    g = np.array([np.cos(theta), np.sin(theta)])
    J = -np.tensordot(np.asarray(D, dtype=float), g, axes=(1, 0))  # (2, ..., directions)
    uphill = (J[0] * g[0] > 0) | (J[1] * g[1] > 0) | ((J[0] + J[1]) * (g[0] + g[1]) > 0)
    share: Array = uphill.mean(axis=-1)
    return share


@dataclass(frozen=True)
class MulticomponentThermodynamics:
    """The state c_0 of n species: f, its derivatives and what follows from them. None where a number is not defined.

    curvature                       H_ij = d2f/dc_i dc_j
    curvature_eigenvalues           of H, ascending
    stable                          whether all of them are positive
    thermodynamic_factor            Gamma = S H, see `thermodynamic_factor_matrix`; for fractions that close to one only
    thermodynamic_factor_eigenvalues  of Gamma, ascending
    mobility, diffusivity           L and D = L H
    diffusivity_eigenvalues         of D, ascending: real, as L H is similar to L^1/2 H L^1/2; as many are negative as of H, for a definite L
    critical_gradient_ratio         r_ij = -D_ii/D_ij: with g_i and g_j the only gradients, J_i = 0 at g_j = r_ij g_i, and beyond it species i
                                    goes uphill, if D_ii > 0. None for i = j and where D_ij = 0
    kappa                           gradient energy coefficients kappa_ij
    wavenumber, wavelength, growth_rate   of the fastest wave, if the state is unstable and kappa is positive definite: see `rate`
    """

    UNITS: ClassVar[dict[str, str]] = {
        "composition": "",
        "free_energy": "J/m^3",
        "chemical_potential": "J/m^3",
        "curvature": "J/m^3",
        "curvature_eigenvalues": "J/m^3",
        "stable": "",
        "thermodynamic_factor": "",
        "thermodynamic_factor_eigenvalues": "",
        "mobility": "m^5/(J*s)",
        "diffusivity": "m^2/s",
        "diffusivity_eigenvalues": "m^2/s",
        "critical_gradient_ratio": "",
        "kappa": "J/m",
        "wavenumber": "1/m",
        "wavelength": "m",
        "growth_rate": "1/s",
    }
    """SI unit of each number of `as_dict`."""

    density: LocalDensity = field(repr=False, compare=False)
    transport: Mobility = field(repr=False, compare=False)
    composition: Array
    free_energy: float
    chemical_potential: Array
    curvature: Array
    curvature_eigenvalues: Array
    stable: bool
    thermodynamic_factor: Array | None
    thermodynamic_factor_eigenvalues: Array | None
    mobility: Array
    diffusivity: Array
    diffusivity_eigenvalues: Array
    critical_gradient_ratio: list[list[float | None]]
    kappa: Array
    wavenumber: float | None = None
    wavelength: float | None = None
    growth_rate: float | None = None

    @classmethod
    def of(cls, terms: Sequence[Term], mobility: Mobility, composition: Composition, c0: ArrayLike) -> Self:
        """`composition` gives the names; c0 of shape (n,)."""
        c0 = np.asarray(c0, dtype=float)
        density = LocalDensity(terms, composition)
        H, L = density.hessian(c0), mobility_matrix(mobility, composition, c0)
        D, kappa = diffusion_matrix(density, mobility, composition, c0), density.gradient_coefficients(c0)
        curvatures, closed = eigenvalues(H), closes_to_one(density)
        return cls(
            density=density,
            transport=mobility,
            composition=c0,
            free_energy=float(density.value(c0)),
            chemical_potential=density.potential(c0),
            curvature=H,
            curvature_eigenvalues=curvatures,
            stable=bool(curvatures[0] > 0),
            thermodynamic_factor=thermodynamic_factor_matrix(density, c0) if closed else None,
            thermodynamic_factor_eigenvalues=thermodynamic_factors(density, c0) if closed else None,
            mobility=L,
            diffusivity=D,
            diffusivity_eigenvalues=_eigenvalues_of_product(L, H),
            critical_gradient_ratio=_critical_gradient_ratio(D),
            kappa=kappa,
            **_fastest_wave(L, H, kappa),
        )

    def rate(self, k: ArrayLike) -> Array:
        """omega(k), the largest eigenvalue of -k^2 L (H + k^2 kappa): growth rate of a small wave of wavenumber k. Shape of k."""
        return _rate(self.mobility, self.curvature, self.kappa, np.asarray(k, dtype=float))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, lists (rows of matrices) and None by the keys of `UNITS`."""
        numbers = {key: getattr(self, key) for key in self.UNITS}
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in numbers.items()}


def _covariance(c: Array) -> Array:
    """S = diag(c) - c c^T, (n, n, ...)"""
    n = len(c)
    return np.array([[c[i] * ((i == j) - c[j]) for j in range(n)] for i in range(n)])


def _eigenvalues_of_product(A: Array, B: Array) -> Array:
    """Of A B, (n, n, ...), with symmetric A >= 0 and B: those of A^1/2 B A^1/2, which are real. Ascending, (..., n)."""
    A, B = np.moveaxis(A, (0, 1), (-2, -1)), np.moveaxis(B, (0, 1), (-2, -1))
    a, vectors = np.linalg.eigh(A)
    root = (vectors * np.sqrt(np.maximum(a, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.linalg.eigvalsh(root @ B @ root)


def _double_wedge(p: Array, q: Array) -> Directions | None:
    """The directions g with (p.g) (q.g) < 0, between the normals of p and q."""
    across = p[0] * q[1] - p[1] * q[0]
    a, b = sorted(math.atan2(normal[0], -normal[1]) % math.pi for normal in (p, q))
    if across == 0:
        return (a - math.pi, a) if p @ q < 0 else None
    middle = np.array([math.cos((a + b) / 2), math.sin((a + b) / 2)])
    return (a, b) if (p @ middle) * (q @ middle) < 0 else (b - math.pi, a)


def _critical_gradient_ratio(D: Array) -> list[list[float | None]]:
    n = len(D)
    return [[-float(D[i, i] / D[i, j]) if i != j and D[i, j] != 0 else None for j in range(n)] for i in range(n)]


def _rate(L: Array, H: Array, kappa: Array, k: Array) -> Array:
    k2 = k[..., None, None] ** 2
    stiffness = np.moveaxis(H + k2 * kappa, (-2, -1), (0, 1))
    slowest = _eigenvalues_of_product(np.broadcast_to(L.reshape(L.shape + (1,) * k.ndim), stiffness.shape), stiffness)[..., 0]
    return -(k**2) * slowest


def _fastest_wave(L: Array, H: Array, kappa: Array) -> dict[str, float]:
    lowest, stiffness = float(eigenvalues(H)[0]), float(eigenvalues(kappa)[0])
    if not (lowest < 0 < stiffness):
        return {}
    cutoff = math.sqrt(-lowest / stiffness)  # H + k^2 kappa is positive definite beyond
    grid = np.linspace(0, cutoff, 402)
    top = min(max(int(np.argmax(_rate(L, H, kappa, grid))), 1), 400)
    found = scipy.optimize.minimize_scalar(
        lambda k: -float(_rate(L, H, kappa, np.array(k))),
        bounds=(grid[top - 1], grid[top + 1]),
        method="bounded",
        options={"xatol": 1e-12 * cutoff},
    )
    k, rate = float(found.x), -float(found.fun)
    return {"wavenumber": k, "wavelength": 2 * math.pi / k, "growth_rate": rate} if rate > 0 else {}
