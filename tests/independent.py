"""References for multicomponent diffusion that share no code with the package: closed forms, ordinary differential equations, finite volumes.

Mole fractions x of all components, shape (n, ...), sum x = 1; pair diffusivities as a symmetric matrix of pairs, D[i, j] = D_ij, in the
order of the components. Molar fluxes N follow the Maxwell-Stefan equations (Taylor & Krishna, Multicomponent Mass Transfer, 1993, eq. 2.1.16)

    -c_t dx_i/dz = sum_j (x_j N_i - x_i N_j)/D_ij .

Every number that a test takes from here is compared with published or separately computed ones in test_independent.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.integrate import solve_bvp, solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq, root
from scipy.special import erf

Array = np.ndarray
HOUR = 3600.0


def pair_matrix(d12: float, d13: float, d23: float) -> Array:
    """Of three components; the diagonal takes no part."""
    return np.array([[1.0, d12, d13], [d12, 1.0, d23], [d13, d23, 1.0]])


# --- between two points: with N constant along z the equations are linear in x


def transfer_matrix(flux: Array, D: Array) -> Array:
    """dx/dz = Phi x for constant fluxes N/c_t: Phi_ii = sum_j N_j/D_ij, Phi_ij = -N_i/D_ij."""
    off = ~np.eye(len(flux), dtype=bool)
    phi = np.where(off, -flux[:, None] / D, 0.0)
    return phi + np.diag(np.where(off, 1 / D, 0.0) @ flux)


def two_point_fluxes(x_0: Array, x_l: Array, D: Array, stagnant: int | None = None) -> Array:
    """N l/c_t between compositions a distance l apart, by shooting on the matrix exponential.

    Equimolar, sum N = 0, or one component stands still, N_s = 0.
    """
    free = [i for i in range(len(x_0)) if i != (len(x_0) - 1 if stagnant is None else stagnant)]

    def fluxes(unknown: Array) -> Array:
        flux = np.zeros(len(x_0))
        flux[free] = unknown
        if stagnant is None:
            flux[-1] = -flux[:-1].sum()
        return flux

    def miss(unknown: Array) -> Array:
        return (expm(transfer_matrix(fluxes(unknown), D)) @ x_0 - x_l)[free]

    start = (D.max() * (x_0 - x_l))[free]
    found = root(miss, start, method="hybr", tol=1e-14)
    assert np.abs(miss(found.x)).max() < 1e-12, found.message
    return fluxes(found.x)


@dataclass(frozen=True)
class StefanTube:
    """Acetone (0) and methanol (1) evaporate at z = 0 through stagnant air (2) into a stream of air at z = l, steadily.

    Carty & Schrodt, Ind. Eng. Chem. Fundam. 14 (1975) 276; Taylor & Krishna, example 2.1.1.
    """

    pressure: float = 99.4e3  # Pa
    temperature: ClassVar[float] = 328.5  # K
    length: ClassVar[float] = 0.238  # m
    D: ClassVar[Array] = 1e-6 * pair_matrix(8.48, 13.72, 19.91)  # m^2/s
    liquid: ClassVar[Array] = np.array([0.319, 0.528, 0.153])
    stream: ClassVar[Array] = np.array([0.0, 0.0, 1.0])

    @property
    def concentration(self) -> float:
        return self.pressure / (8.31446261815324 * self.temperature)

    @property
    def fluxes(self) -> Array:
        """mol/(m^2 s)"""
        return two_point_fluxes(self.liquid, self.stream, self.D, stagnant=2) * self.concentration / self.length

    def fractions(self, z: Array) -> Array:
        """x at z/l, shape (3, len(z))."""
        phi = transfer_matrix(self.fluxes * self.length / self.concentration, self.D)
        return np.array([expm(phi * zeta) @ self.liquid for zeta in z]).T


@dataclass(frozen=True)
class TwoBulbs:
    """Duncan & Toor, AIChE J. 8 (1962) 38: two bulbs of gas joined by a capillary in which diffusion is quasi-steady.

    V_1 dx_1/dt = -(A/L) N L/c_t = -V_2 dx_2/dt; hydrogen (0), nitrogen (1), carbon dioxide (2), SI units.
    """

    x_1: tuple[float, float, float] = (0.5390, 0.4610, 0.0)
    x_2: tuple[float, float, float] = (0.0, 0.5219, 0.4781)
    conductance: float = 1 / 258.1e2  # A/L, m
    volumes: ClassVar[tuple[float, float]] = (77.99e-6, 78.63e-6)
    D: ClassVar[Array] = 1e-4 * pair_matrix(0.833, 0.680, 0.168)

    def fluxes(self, x_1: Array, x_2: Array) -> Array:
        """N L/c_t from bulb 1 to bulb 2, m^2/s."""
        return two_point_fluxes(np.asarray(x_1), np.asarray(x_2), self.D)

    def solve(self, end: float, events: Sequence[Callable[[float, Array], float]] = ()) -> Any:
        """scipy's solution with y = (x_1, x_2), dense."""

        def rate(t: float, y: Array) -> Array:
            flow = self.conductance * self.fluxes(y[:3], y[3:])
            return np.concatenate([-flow / self.volumes[0], flow / self.volumes[1]])

        return solve_ivp(
            rate,
            (0.0, end),
            [*self.x_1, *self.x_2],
            method="DOP853",
            rtol=1e-11,
            atol=1e-13,
            dense_output=True,
            events=list(events) or None,
        )

    def osmotic_point_and_barrier(self) -> tuple[float, float, Any]:
        """When x_N2 is equal in both bulbs though N2 flows, when N2 stands still though x_N2 differs, and the solution."""
        solution = self.solve(12 * HOUR, events=(lambda t, y: y[1] - y[4], lambda t, y: self.fluxes(y[:3], y[3:])[1]))
        (osmotic,), (barrier,) = solution.t_events
        return osmotic, barrier, solution


# --- a closed tube: finite volumes, second order, in the cells' mole fractions


def inverse_friction(x: Array, D: Array) -> Array:
    """[B]^-1 of the molar frame, (n-1, n-1, m), the last component eliminated (Taylor & Krishna, eqs. 2.1.21, 2.1.22)."""
    n = len(x)
    B = np.zeros((x.shape[1], n - 1, n - 1))
    for i in range(n - 1):
        B[:, i, i] = x[i] / D[i, -1] + sum(x[k] / D[i, k] for k in range(n) if k != i)
        for j in range(n - 1):
            if j != i:
                B[:, i, j] = -x[i] * (1 / D[i, j] - 1 / D[i, -1])
    return np.moveaxis(np.linalg.inv(B), 0, 2)


def closed_tube(initial: Callable[[Array], Array], length: float, D: Array, times: Sequence[float], cells: int) -> Array:
    """Cell means of x_1 .. x_{n-1}, shape (n-1, cells, times), of x_t = (B^-1 x_z)_z without flux at the ends.

    `initial` gives the fractions at the cells' centres. LSODA, relative tolerance 1e-10.
    """
    h = length / cells
    start = initial((np.arange(cells) + 0.5) * h)
    n = len(start)

    def rate(t: float, y: Array) -> Array:
        x = y.reshape(cells, n).T
        face = (x[:, 1:] + x[:, :-1]) / 2
        closed = np.vstack([face, 1 - face.sum(axis=0)])
        flux = -np.einsum("ijm,jm->im", inverse_friction(closed, D), np.diff(x, axis=1) / h)
        return np.diff(np.pad(-flux, ((0, 0), (1, 1))), axis=1).T.ravel() / h

    solution = solve_ivp(
        rate,
        (0.0, max(times)),
        start.T.ravel(),
        method="LSODA",
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
        lband=2 * n - 1,
        uband=2 * n - 1,
    )
    assert solution.success, solution.message
    return solution.y.reshape(cells, n, len(times)).transpose(1, 0, 2)


def halves(x: Array) -> Array:
    """Means of the left and right half, (n-1, 2, times)."""
    half = x.shape[1] // 2
    return np.stack([x[:, :half].mean(axis=1), x[:, half:].mean(axis=1)], axis=1)


@dataclass(frozen=True)
class ClosedTube:
    """Two gas mixtures, each filling one half of a tube, that are brought together at t = 0. Fractions of all but the last component."""

    length: float
    D: Array
    left: Array
    right: Array

    def means(self, times: Sequence[float], cells: int = 128) -> Array:
        """Means of the halves, (n-1, 2, times), extrapolated from `cells` and 2 `cells` at order 2."""
        coarse, fine = (halves(closed_tube(self.initial, self.length, self.D, times, m)) for m in (cells, 2 * cells))
        return fine + (fine - coarse) / 3

    def initial(self, z: Array) -> Array:
        return np.where(z < self.length / 2, self.left[:, None], self.right[:, None])


# Duncan and Toor's gases at 35.2 C in a bar of 100 mm: H2, N2; CO2 closes the sum. SI units.
DUNCAN_TOOR_BAR = ClosedTube(0.1, 1e-4 * pair_matrix(0.833, 0.680, 0.168), np.array([0.0, 0.501]), np.array([0.501, 0.499]))

# Arnold & Toor, AIChE J. 13 (1967) 909; Taylor & Krishna, example 5.5.1: CH4, Ar; H2 closes the sum. The bottom half is z < L/2.
LOSCHMIDT_TUBE = ClosedTube(2 * 0.4056, 1e-6 * pair_matrix(21.57, 77.16, 83.35), np.array([0.0, 0.509]), np.array([0.515, 0.485]))


def heat_equation(z: Array, t: float, D: float) -> Array:
    """x_1 of Boudin, Grec & Salvarani, Discrete Contin. Dyn. Syst. B 17 (2012) 1427, section 5, where D_12 = D_13 = D, on (0, 1).

    From .8 (z < 1/4), 1.6 (.75 - z), 0 (z > 3/4) without flux at the ends: with equal D_12 and D_13 the first component does not feel how the
    rest is composed, J_1 = -D dx_1/dz.
    """
    k = np.pi * np.arange(1, 2000)[:, None]
    amplitudes = 3.2 / k**2 * (np.cos(k / 4) - np.cos(3 * k / 4))
    return 0.4 + np.sum(amplitudes * np.exp(-D * k**2 * t) * np.cos(k * z), axis=0)


# --- infinite couples, c(z/sqrt t)


def linear_couple(D: Array, left: Array, right: Array, eta: Array) -> Array:
    """c(z/sqrt t) for constant [D]: c = mean + T diag(erf(eta/2 sqrt(lambda_k))) T^-1 (right - left)/2; shape (n, len(eta))."""
    eigenvalues, T = np.linalg.eig(D)
    amplitudes = np.linalg.solve(T, (right - left) / 2)
    return (left + right)[:, None] / 2 + T @ (amplitudes[:, None] * erf(eta / (2 * np.sqrt(eigenvalues[:, None]))))


@dataclass(frozen=True)
class Couple:
    """x_t = (D(x) x_z)_z on the line from a step, by x' = D^-1 q, q' = -eta/2 x', eta = z/sqrt t; x and q have shape (n, ...)."""

    D: Callable[[Array], Array]  # (n, m) -> (n, n, m)
    left: Array
    right: Array
    extent: float

    def solve(self) -> Any:
        """scipy's solution: sol(eta) is (x, q), with q = D x'."""
        n = len(self.left)

        def ode(eta: Array, y: Array) -> Array:
            slope = np.linalg.solve(np.moveaxis(self.D(y[:n]), 2, 0), y[n:].T[:, :, None])[:, :, 0].T
            return np.vstack([slope, -eta / 2 * slope])

        def ends(a: Array, b: Array) -> Array:
            return np.concatenate([a[:n] - self.left, b[:n] - self.right])

        eta = np.linspace(-self.extent, self.extent, 2001)
        mean, step = (self.left + self.right)[:, None] / 2, (self.right - self.left)[:, None]
        x = mean + step / 2 * erf(eta / 2)
        q = np.einsum("ijm,jm->im", self.D(x), step / np.sqrt(4 * np.pi) * np.exp(-(eta**2) / 4))
        solution = solve_bvp(ode, ends, eta, np.vstack([x, q]), tol=1e-12, max_nodes=100_000)
        assert solution.success, solution.message
        return solution


def kirkendall_couple(D_A: float, D_B: float) -> Couple:
    """Ideal A | B: D~ = x_B D_A + x_A D_B (Darken, Trans. AIME 175 (1948) 184)."""
    return Couple(lambda x: ((1 - x) * D_A + x * D_B)[None], np.array([1.0]), np.array([0.0]), 16 * np.sqrt(max(D_A, D_B)))


def kirkendall_plane(D_A: float, D_B: float) -> float:
    """K = z_m/sqrt t of markers at the weld, which move at v = (D_A - D_B) dx_A/dz: K/2 = (D_A - D_B) x_A'(K)."""
    sol = kirkendall_couple(D_A, D_B).solve().sol

    def slower(K: float) -> float:
        x, q = sol(K)
        return float(K / 2 - (D_A - D_B) * q / ((1 - x) * D_A + x * D_B))

    return float(brentq(slower, -8.0, 8.0, xtol=1e-13))


def regular_hessian(x: Array, chi: tuple[float, float, float]) -> Array:
    """Of sum x ln x + chi_12 x_1 x_2 + chi_13 x_1 x_3 + chi_23 x_2 x_3 in (x_1, x_2), shape (2, 2, ...)."""
    x_3 = 1 - x[0] - x[1]
    off = 1 / x_3 + chi[0] - chi[1] - chi[2]
    return np.array([[1 / x[0] + 1 / x_3 - 2 * chi[1], off], [off, 1 / x[1] + 1 / x_3 - 2 * chi[2]]])


def covariance(x: Array) -> Array:
    """diag(x) - x x^T: the mobility of a lattice on which all species hop at the same rate."""
    return np.eye(len(x)).reshape(len(x), len(x), *[1] * (x.ndim - 1)) * x[:, None] - x[:, None] * x[None]


def regular_couple(chi: tuple[float, float, float], left: Array, right: Array) -> Couple:
    """D = (diag(x) - x x^T) Hessian"""
    return Couple(lambda x: np.einsum("ij...,jk...->ik...", covariance(x), regular_hessian(x, chi)), left, right, 16.0)
