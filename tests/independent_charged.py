"""References for charged species that share no code with the package: closed forms, quadratures, ordinary differential equations, Laplace transforms.

Units: potentials in RT/F, concentrations as fractions of the sites, lengths in that of the cell; lam2 = eps RT/(F^2 c_max L^2) stands in
lam2 phi'' = -rho with rho = sum_i z_i c_i + fixed charge, and c_0 = 1 - sum_i v_i c_i.

Every number that a test takes from here is checked in test_double_layer.py, test_uphill_charged.py and test_charged_problems.py, against
printed values, separately computed ones, or a second way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.integrate import quad, solve_bvp, solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq

Array = np.ndarray


# --- equilibrium: one electrode before a bulk


def bikerman_crowding(nu: float, V: float) -> float:
    """g = 1 + 2 nu sinh^2(V/2) = c_0(bulk)/c_0(V) for two ions +-1 that fill the fraction nu of the sites in the bulk.

    (Bikerman, Phil. Mag. 33 (1942) 384; Kilic, Bazant & Ajdari, Phys. Rev. E 75 (2007) 021502)
    """
    return float(1 + 2 * nu * np.sinh(V / 2) ** 2)


def bikerman_charge(nu: float, V: float, lam2: float) -> float:
    """Charge of an electrode at V: sign(V) sqrt(2 lam2 ln g). (The same)"""
    return float(np.sign(V) * np.sqrt(2 * lam2 * np.log(bikerman_crowding(nu, V))))


def bikerman_capacitance(nu: float, V: float) -> float:
    """Differential capacitance over that of Debye and Hueckel, sqrt(nu lam2): |sinh V|/(g sqrt((2/nu) ln g)). (Freise 1952)"""
    g = bikerman_crowding(nu, V)
    return float(np.abs(np.sinh(V)) / (g * np.sqrt(2 / nu * np.log(g))))


def gouy_chapman_charge(c: float, V: float, lam2: float) -> float:
    """Grahame's equation, sqrt(8 lam2 c) sinh(V/2), for two point-like ions +-1 of concentration c each. (Grahame, Chem. Rev. 41 (1947) 441)"""
    return float(np.sqrt(8 * lam2 * c) * np.sinh(V / 2))


def gouy_chapman_potential(x: Array, V: float, c: float, lam2: float) -> Array:
    """4 artanh(tanh(V/4) exp(-x/lambda_D)), lambda_D = sqrt(lam2/(2 c))"""
    return 4 * np.arctanh(np.tanh(V / 4) * np.exp(-x / np.sqrt(lam2 / (2 * c))))


@dataclass(frozen=True)
class DoubleLayer:
    """Ions at equilibrium with a neutral bulk, of any charges and sizes, by the local equations and the first integral of Poisson's.

    c_i/c_0^{v_i} = const exp(-z_i phi), and with P = -ln c_0 + sum_i (1 - v_i) c_i, whose differential is -rho dphi (Gibbs and Duhem),

        lam2 phi'^2/2 = P(phi) - P(0)

    point_like: ideal ions, c_i = const exp(-z_i phi), P = sum c_i.
    """

    bulk: tuple[float, ...]
    lam2: float
    z: tuple[float, ...] = (1.0, -1.0)
    v: tuple[float, ...] = (1.0, 1.0)
    point_like: bool = False

    @property
    def debye_length(self) -> float:
        return float(np.sqrt(self.lam2 / np.sum(np.square(self.z) * self.bulk)))

    def concentrations(self, phi: float) -> Array:
        """c_1..c_n and c_0 where the potential against the bulk is phi."""
        z, v, bulk = np.array(self.z), np.array(self.v), np.array(self.bulk)
        if self.point_like:
            return np.append(bulk * np.exp(-z * phi), 1.0)
        room = 1 - v @ bulk
        s = np.log(bulk) - v * np.log(room) - z * phi

        def excess(l: float) -> float:
            """ln of what the sites add up to, at l = ln c_0"""
            return float(np.logaddexp.reduce(np.append(s + v * l + np.log(v), l)))

        l = brentq(excess, -(abs(phi) * np.abs(z).max() + 60.0) * 2, 0.0, xtol=1e-14, rtol=1e-15)
        return np.append(np.exp(s + v * l), np.exp(l))

    def pressure(self, phi: float) -> float:
        """P(phi) - P(0)"""
        if self.point_like:
            return float((self.concentrations(phi) - self.concentrations(0.0))[:-1].sum())
        at, bulk, v = self.concentrations(phi), self.concentrations(0.0), np.array(self.v)
        return float(-np.log(at[-1] / bulk[-1]) + (1 - v) @ (at - bulk)[:-1])

    def charge(self, V: float) -> float:
        """Of an electrode at V: -lam2 phi' = sign(V) sqrt(2 lam2 P)"""
        return float(np.sign(V) * np.sqrt(2 * self.lam2 * self.pressure(V)))

    def capacitance(self, V: float) -> float:
        """dq/dV = -rho/(-phi') of the column of ions next to the wall, by lam2 phi' phi'' = -rho phi'."""
        return float(-(np.array(self.z) @ self.concentrations(V)[:-1]) * self.lam2 / self.charge(V))

    def potential(self, x: Array, V: float) -> Array:
        """phi at the distances x from the electrode."""
        solution = solve_ivp(
            lambda _, phi: [-self.charge(float(phi[0])) / self.lam2],
            (0.0, float(np.max(x))),
            [V],
            method="LSODA",
            rtol=1e-11,
            atol=1e-13,
            dense_output=True,
        )
        assert solution.success, solution.message
        return solution.sol(x)[0]

    def distance(self, V: float, phi: float) -> float:
        """Where the potential is phi: int_phi^V lam2 dphi/|q(phi)|"""
        return float(abs(quad(lambda p: self.lam2 / self.charge(p), phi, V, epsabs=1e-13, epsrel=1e-12, limit=200)[0]))

    def uptake(self, V: float) -> Array:
        """int (c_i - c_i(bulk)) dx of the ions, by dx = lam2 dphi/q; below phi = 1e-3 c_i - c_i(bulk) = -z_i c_i(bulk) phi."""
        small = 1e-3 * float(np.sign(V))
        linear = -np.array(self.z) * self.bulk * small * self.debye_length

        def integrand(phi: float, i: int) -> float:
            return float((self.concentrations(phi)[i] - self.bulk[i]) * self.lam2 / self.charge(phi))

        return linear + np.array(
            [quad(integrand, small, V, args=(i,), epsabs=1e-12, epsrel=1e-9, limit=200)[0] for i in range(len(self.z))]
        )

    def behind_stern(self, V: float, capacitance: float) -> float:
        """The potential at the plane of closest approach: C (V - phi) = q(phi), the layers in series.

        (Stern, Z. Elektrochem. 30 (1924) 508)
        """
        return float(brentq(lambda phi: capacitance * (V - phi) - self.charge(phi), 1e-9 * V, V, xtol=1e-14))

    def inside_fixed_charge(self, X: float) -> float:
        """Donnan's potential: where ions and the fixed charge X balance, sum_i z_i c_i(phi) + X = 0."""
        return float(brentq(lambda phi: np.array(self.z) @ self.concentrations(phi)[:-1] + X, -60.0, 60.0, xtol=1e-14))


def donnan_potential(X: float, c: float) -> float:
    """arsinh(X/(2 c)) for two point-like ions +-1 of concentration c in the reservoir. (Donnan 1911; Teorell 1935)"""
    return float(np.arcsinh(X / (2 * c)))


def crowded_donnan_potential(X: float, c: float) -> float:
    """The same for ions that take sites: 2 c sinh phi = X (1 - 2 c + 2 c cosh phi), a quadratic equation for exp phi."""
    a, b, d = c * (1 - X), -X * (1 - 2 * c), -c * (1 + X)
    return float(np.log((-b + np.sqrt(b * b - 4 * a * d)) / (2 * a)))


@dataclass(frozen=True)
class BlockingCell:
    """Two ions +-1, of mean concentration c each, between electrodes at -V and +V at x = -L and L, which no ion passes.

    Layers that do not overlap take their ions from the middle, whose concentration falls from c to c_m.
    """

    c: float
    V: float
    lam2: float
    L: float

    @property
    def middle(self) -> float:
        def surplus(c_m: float) -> float:
            layer = DoubleLayer((c_m, c_m), self.lam2)
            return float(c_m * self.L + layer.uptake(self.V).sum() / 2 - self.c * self.L)

        return float(brentq(surplus, 1e-3 * self.c, self.c, xtol=1e-13))

    @property
    def charge(self) -> float:
        """Of the electrode at +V."""
        return bikerman_charge(2 * self.middle, self.V, self.lam2)

    def charging(self, t: Array, D: float = 1.0, stern: float = np.inf) -> Array:
        """Charge of the electrode at L, t after the potentials were switched on, linear in V, for ions of one diffusivity D.

        The Laplace transform of Bazant, Thornton & Ajdari, Phys. Rev. E 70 (2004) 021506: with k^2 = kappa^2 + s/D and
        kappa^2 = 2 c/lam2, rho = -A sinh kx and phi = A/(lam2 k^2) sinh kx + B x; no current at L, and phi + (lam2/C_S) phi' = V/s there.
        """

        def transform(s: Any) -> Any:
            k = np.sqrt(2 * self.c / self.lam2 + s / D)
            # all over A cosh kL
            B = s / (2 * self.c * D * k)
            phi = np.tanh(k * self.L) / (self.lam2 * k**2) + B * self.L
            slope = 1 / (self.lam2 * k) + B
            return self.V / s * self.lam2 * slope / (phi + self.lam2 / stern * slope)

        return np.array([inverse_laplace(transform, float(time)) for time in t])

    def charging_time(self) -> float:
        """lambda_D L, over D: the resistance of the middle times the capacitance of the two layers in series. (The same)"""
        return float(np.sqrt(self.lam2 / (2 * self.c)) * self.L)


def inverse_laplace(transform: Callable[[Any], Any], t: float, terms: int = 24) -> float:
    """f(t) on Talbot's contour with fixed parameters. (Abate & Valko, Int. J. Numer. Methods Eng. 60 (2004) 979)"""
    r = 2 * terms / (5 * t)
    theta = np.arange(1, terms) * np.pi / terms
    s = r * theta * (1 / np.tan(theta) + 1j)
    sigma = theta + (theta / np.tan(theta) - 1) / np.tan(theta)
    total = 0.5 * np.exp(r * t) * transform(r) + (np.exp(t * s) * transform(s) * (1 + 1j * sigma)).real.sum()
    return float(r / terms * total)


# --- steady currents between two reservoirs


@dataclass(frozen=True)
class Line:
    """Steady fluxes J_i on (0, 1) from `left` to `right`, for ions in forces E_i: given constants, or E_i = -z_i phi' of their own field.

    model, with S = sum_j v_j c_j' and c_0 = 1 - sum_j v_j c_j:
        "A"      J_i = -D c_i' + D c_i (E_i - sum_j c_j E_j)              stirring, one D, all v_i one
        "B"      J_i = -D_i (c_0 c_i' + v_i c_i S - c_0 c_i E_i)          (Burger, Schlake & Wolfram, Nonlinearity 25 (2012) 961)
        "C"      J_i = -D_i (c_i' + v_i c_i S/c_0 - c_i E_i)              (Kilic, Bazant & Ajdari, Phys. Rev. E 75 (2007) 021503)
        "ideal"  J_i = -D_i (c_i' - c_i E_i)                              (Nernst & Planck)
    layers: (width, fixed charge) from left to right, the charge a number or a smooth function of x
    """

    model: str
    left: tuple[float, ...]
    right: tuple[float, ...]
    z: tuple[float, ...] = ()
    V: float = 0.0  # phi(0) = 0, phi(1) = -V
    lam2: float = 0.01
    forces: tuple[float, ...] = ()
    D: tuple[float, ...] = ()
    v: tuple[float, ...] = ()
    layers: tuple[tuple[float, float | Callable[[Array], Array]], ...] = ((1.0, 0.0),)
    tolerance: float = 1e-11

    def slopes(self, c: Array, J: Array, E: Array) -> Array:
        """c_i' from c and E, (n, m), and J, (n,)."""
        D, v = (np.array(given or (1.0,) * len(c))[:, None] for given in (self.D, self.v))
        c_0 = 1 - (v * c).sum(axis=0)
        width = c_0 + (v * v * c).sum(axis=0)
        if self.model == "A":
            return -J[:, None] / D + c * (E - (c * E).sum(axis=0))
        if self.model == "B":
            K = -J[:, None] / D + c_0 * c * E  # = c_0 c' + v c S, so that sum v K = width S
            return (K - v * c * (v * K).sum(axis=0) / width) / c_0
        K = -J[:, None] / D + c * E
        return K - v * c * (v * K).sum(axis=0) / width if self.model == "C" else K  # C: K = c' + v c S/c_0

    def solve(self) -> Any:
        """scipy's solution: p are the fluxes; sol(s), s in (0, 1) along each layer, is (c_1..c_n) in constant forces, or (c_1..c_n, phi,
        lam2 phi') of the first layer, of the second, and so on.
        """
        n, z = len(self.left), np.array(self.z)[:, None]
        left, right, E = np.array(self.left), np.array(self.right), np.array(self.forces)[:, None]
        s = np.linspace(0, 1, 101)
        if not self.z:
            guess = left[:, None] + np.outer(right - left, s)
            return self._solved(
                lambda s, c, J: self.slopes(c, J, E + 0 * c), lambda a, b, J: np.concatenate([a - left, b - right]), s, guess, left - right
            )
        starts = np.cumsum([0.0, *(width for width, _ in self.layers)])

        def equations(s: Array, y: Array, J: Array) -> Array:
            found = []
            for (width, charge), start, part in zip(self.layers, starts, np.split(y, len(self.layers)), strict=False):
                c, gradient = part[:n], part[n + 1] / self.lam2
                fixed = charge(start + width * s) if callable(charge) else charge
                found.append(width * np.vstack([self.slopes(c, J, -z * gradient), gradient, -(z * c).sum(axis=0) - fixed]))
            return np.vstack(found)

        def ends(a: Array, b: Array, J: Array) -> Array:
            return np.concatenate([a[:n] - left, [a[n]], (b - np.roll(a, -n - 2))[: -n - 2], b[-n - 2 : -2] - right, [b[-2] + self.V]])

        guess = []
        for (width, charge), start in zip(self.layers, starts, strict=False):
            x = start + width * s
            c = left[:, None] + np.outer(right - left, x)
            fixed = charge(x) if callable(charge) else charge + 0 * x
            c = c + np.maximum(-fixed * z, 0.0) / (z**2 * np.maximum((fixed * z < 0).sum(axis=0), 1))  # counter-ions balance it
            guess.append(np.vstack([c, -self.V * x, 0 * x - self.V * self.lam2]))
        return self._solved(equations, ends, s, np.vstack(guess), left - right)

    def _solved(self, equations: Any, ends: Any, x: Array, guess: Array, p: Array) -> Any:
        solution = solve_bvp(equations, ends, x, guess, p=p, tol=self.tolerance, max_nodes=100_000)
        assert solution.success, solution.message
        return solution

    @property
    def fluxes(self) -> Array:
        return np.array(self.solve().p)

    def reversal(self, species: int, low: float, high: float) -> float:
        """The voltage at which a species' flux changes its sign."""
        return float(brentq(lambda V: replace(self, V=V).fluxes[species], low, high, xtol=1e-10))


def stirring_fluxes(left: Sequence[float], right: Sequence[float], E: Sequence[float]) -> Array:
    """J of model A in constant forces, D = 1, by matrix exponentials.

    The equations are a projective Riccati system: with rho = u/w they are linear, d/dx (u, w) = [[diag E, -J], [E^T, 0]] (u, w). The columns
    of J are found by Newton's method on what they miss at x = 1.
    """
    n, start, goal = len(left), np.append(left, 1.0), np.array(right)

    def miss(J: Array) -> Array:
        A = np.zeros((n + 1, n + 1))
        A[:n, :n], A[:n, n], A[n, :n] = np.diag(E), -J, E
        end = expm(A) @ start
        return end[:n] / end[n] - goal

    J = np.array(left) - goal
    for _ in range(50):
        h = 1e-7
        slope = np.column_stack([(miss(J + h * e) - miss(J - h * e)) / (2 * h) for e in np.eye(n)])
        step = np.linalg.solve(slope, miss(J))
        J = J - step
        if np.abs(step).max() < 1e-13:
            return J
    raise AssertionError("no convergence")


def linear_exclusion_fluxes(left: Sequence[float], right: Sequence[float], D: Sequence[float]) -> Array:
    """Model B without charges has a steady state with all c_i, and c_0, linear: J_i = -D_i (c_0(0) c_i(1) - c_i(0) c_0(1))."""
    a, b = np.array(left), np.array(right)
    return -np.array(D) * ((1 - a.sum()) * b - a * (1 - b.sum()))
