"""The free energy of PFHub benchmark 1a (Fourier) and 1b (cosine) over time, without finite elements: the reference of scripts/studies.py.

Galerkin spectral method for c_t = M lap(f'(c) - kappa lap c) with modes |k| <= pi MODES/L a side, f' dealiased on a grid twice as fine, the
published initial state projected in L2, and the exponential Runge-Kutta method ETDRK4 of fixed step (Cox & Matthews, J. Comput. Phys. 176
(2002) 430; coefficients by contour integrals, Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214).

    spectral_reference.py 1a|1b MODES STEP END      # prints time,free_energy
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy import fft

L, RHO, KAPPA, M = 200.0, 5.0, 2.0, 5.0
TIMES = (1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200)
Array = np.ndarray


def initial(x: Array, y: Array) -> Array:
    """Jokisaari et al., Comput. Mater. Sci. 126 (2017) 139, eq. for problems 1a to 1c."""
    return 0.5 + 0.01 * (
        np.cos(0.105 * x) * np.cos(0.11 * y)
        + (np.cos(0.13 * x) * np.cos(0.087 * y)) ** 2
        + np.cos(0.025 * x - 0.15 * y) * np.cos(0.07 * x - 0.02 * y)
    )


def df(c: Array) -> Array:
    return 2 * RHO * (c - 0.3) * (0.7 - c) * (1 - 2 * c)


class Cosine:
    """c = sum s_k s_l a_kl cos(k x) cos(l y), s_0 = 1, else 2; k = pi j/L: no flux."""

    def __init__(self, modes: int) -> None:
        self.modes = modes
        k = np.pi * np.arange(modes) / L
        self.k2 = k[:, None] ** 2 + k**2
        s = np.where(np.arange(modes) == 0, 1.0, 2.0)
        self.weight = np.outer(s, s)  # mean of c^2 is sum weight a^2

    def coefficients(self, c: Array) -> Array:
        """Of values at the midpoints of a grid."""
        return fft.dctn(c, type=2, norm="forward")[: self.modes, : self.modes]

    def values(self, a: Array) -> Array:
        """On a grid twice as fine."""
        return fft.idctn(np.pad(a, (0, self.modes)), type=2, norm="forward")


class Fourier:
    """c = sum a_kl exp(i (k x + l y)), k = 2 pi j/L, |j| <= modes/2: periodic."""

    def __init__(self, modes: int) -> None:
        self.half = modes // 2
        j = np.r_[0 : self.half + 1, -self.half : 0]
        kx, ky = 2 * np.pi * j / L, 2 * np.pi * np.arange(self.half + 1) / L
        self.k2 = kx[:, None] ** 2 + ky**2
        self.weight = np.where(np.arange(self.half + 1) == 0, 1.0, 2.0)[None, :] * np.ones_like(self.k2)

    def coefficients(self, c: Array) -> Array:
        n, h = len(c), self.half
        a = fft.rfft2(c, norm="forward")
        # the samples are at midpoints, half a cell from where the transform takes them to be
        jx, jy = np.r_[0 : h + 1, -h:0], np.arange(h + 1)
        return a[jx][:, jy] * np.exp(-1j * np.pi * (jx[:, None] + jy) / n)

    def values(self, a: Array) -> Array:
        n, h = 4 * self.half, self.half
        jx, jy = np.r_[0 : h + 1, -h:0], np.arange(h + 1)
        padded = np.zeros((n, n // 2 + 1), dtype=complex)
        padded[np.ix_(jx, jy)] = a * np.exp(1j * np.pi * (jx[:, None] + jy) / n)
        return fft.irfft2(padded, s=(n, n), norm="forward")


def energy(basis: Cosine | Fourier, a: Array) -> float:
    c = basis.values(a)
    return float(L**2 * ((RHO * (c - 0.3) ** 2 * (0.7 - c) ** 2).mean() + KAPPA / 2 * (basis.weight * basis.k2 * np.abs(a) ** 2).sum()))


def etdrk4(linear: Array, h: float) -> Callable[[Array, Callable[[Array], Array]], Array]:
    """One step for a' = linear a + N(a)."""
    E, E2 = np.exp(h * linear), np.exp(h * linear / 2)
    Q, f1, f2, f3 = (np.zeros_like(linear) for _ in range(4))
    points = 32
    for root in np.exp(1j * np.pi * (np.arange(1, points + 1) - 0.5) / points):
        z = h * linear + root
        Q += h / points * ((np.exp(z / 2) - 1) / z).real
        f1 += h / points * ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).real
        f2 += h / points * ((2 + z + np.exp(z) * (z - 2)) / z**3).real
        f3 += h / points * ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).real

    def step(u: Array, N: Callable[[Array], Array]) -> Array:
        Nu = N(u)
        a = E2 * u + Q * Nu
        Na = N(a)
        b = E2 * u + Q * Na
        Nb = N(b)
        Nc = N(E2 * a + Q * (2 * Nb - Nu))
        return np.asarray(E * u + Nu * f1 + 2 * (Na + Nb) * f2 + Nc * f3)

    return step


def main() -> None:
    case, modes, h, end = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    basis = Fourier(modes) if case == "1a" else Cosine(modes)
    midpoints = (np.arange(8 * modes) + 0.5) * L / (8 * modes)
    a = basis.coefficients(initial(midpoints[:, None], midpoints[None, :]))
    step = etdrk4(-M * KAPPA * basis.k2**2, h)
    print("time,free_energy")
    print(f"0,{energy(basis, a):.6f}")
    for n in range(1, round(end / h) + 1):
        a = step(a, lambda u: -M * basis.k2 * basis.coefficients(df(basis.values(u))))
        if any(abs(n * h - t) < h / 2 for t in TIMES):
            print(f"{round(n * h)},{energy(basis, a):.6f}", flush=True)


main()
