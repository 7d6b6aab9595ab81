"""An electrolyte and its double layer at equilibrium, as numbers: what a mesh must resolve, and how crowded ions get at a wall.

Units make RT = F = 1: potentials are in RT/F, and a permittivity is eps RT/F^2. Lengths are then in sqrt(permittivity/concentration).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann, elementary_charge

from .formulation.entropy import log_rest

Array = NDArray[np.float64]

HIGHEST = 300.0  # RT/F: no wall's potential is looked for beyond it
LINEAR = 1e-2  # RT/F: below it a layer has the Debye length to four digits, and differences of pressures lose theirs


@dataclass(frozen=True)
class Electrolyte:
    """A neutral solution at phi = 0, and what is in equilibrium with it.

    concentrations, charges, sizes: c_i, z_i and v_i, each (n,); no sizes where ions are points (`Ideal`), sites for `LatticeGas`
    """

    permittivity: float
    concentrations: Array
    charges: Array
    sizes: Array | None = None

    @property
    def debye_length(self) -> float:
        """sqrt(eps RT/(F^2 sum_i z_i^2 c_i)) (Debye & Hueckel, Phys. Z. 24 (1923) 185)"""
        return math.sqrt(self.permittivity / float(self.charges**2 @ self.concentrations))

    def dukhin_length(self, surface_charge: float) -> float:
        """|sigma|/(F c_s), with c_s = sum_i |z_i| c_i/2 the salt's concentration: where a pore is narrower, its wall conducts more than its
        inside (Bocquet & Charlaix, Chem. Soc. Rev. 39 (2010) 1073). Over the radius of the pore it is the Dukhin number.
        """
        return 2 * abs(surface_charge) / float(np.abs(self.charges) @ self.concentrations)

    def at(self, phi: ArrayLike) -> Array:
        """c_i where the potential is phi (m,): mu_i + z_i phi is that of the solution, mu_i = ln c_i - v_i ln c_0; (n, m)

        Of two ions of opposite charge and size one c_i = c_i^b e^(-z_i phi)/(1 + 2 nu sinh^2(z phi/2)), nu = 2 c^b
        (Bikerman, Phil. Mag. 33 (1942) 384; Kilic, Bazant & Ajdari, Phys. Rev. E 75 (2007) 021502, eq. (7)).
        """
        return self._state(phi)[0]

    def volume_fraction(self, phi: ArrayLike) -> Array:
        """sum_i v_i c_i, one where all sites are taken; (m,)"""
        if self.sizes is None:
            raise ValueError("ions without sizes take no volume")
        fraction: Array = self.sizes @ self.at(phi)
        return fraction

    def surface_charge(self, phi: ArrayLike) -> Array:
        """Of a wall at phi before a half space, (m,): sigma^2 = 2 eps (Pi(phi) - Pi(0)), d Pi = sum_i c_i d mu_i = -rho d phi.

        Pi = sum_i c_i, which is Grahame's equation (Chem. Rev. 41 (1947) 441), or -ln c_0 + sum_i (1 - v_i) c_i; (Freise 1952 for v_i = 1).
        """
        phi = np.atleast_1d(np.asarray(phi, dtype=float))
        rise = np.maximum(self._pressure(phi) - self._pressure(0.0), 0.0)
        sigma: Array = np.sign(phi) * np.sqrt(2 * self.permittivity * rise)
        return sigma

    def wall_potential(self, surface_charge: float) -> float:
        """Its inverse, within +-300 RT/F."""
        sigma, limit = surface_charge, math.copysign(HIGHEST, surface_charge)
        if sigma == 0 or abs(float(self.surface_charge(limit)[0])) < abs(sigma):
            return 0.0 if sigma == 0 else limit
        return float(scipy.optimize.brentq(lambda phi: float(self.surface_charge(phi)[0]) - sigma, *sorted((0.0, limit))))

    def behind_stern_layer(self, voltage: float, capacitance: float) -> float:
        """The part of an electrode's potential that is left for the ions: C (V - phi) = sigma(phi)"""
        if voltage == 0:
            return 0.0
        return float(
            scipy.optimize.brentq(lambda phi: capacitance * (voltage - phi) - float(self.surface_charge(phi)[0]), *sorted((0.0, voltage)))
        )

    def layer_thickness(self, phi: float) -> float:
        """The shortest length over which the density of charge changes by a factor e before a wall at phi: min |rho/(d rho/dx)|.

        The Debye length at low potentials, e^(-|phi|/2) times that of point ions at high ones; where ions are crowded, rho is uniform at the
        wall and the shortest length that of the edge of the crowd.
        """
        if abs(phi) < LINEAR:
            return self.debye_length
        phis = phi * np.linspace(1e-2, 1.0, 1000)
        (c, log_c_0), z = self._state(phis), self.charges
        rate = -z[:, None] * c  # d c_i/d phi, at constant electrochemical potentials
        if self.sizes is not None:
            v = self.sizes
            width = np.exp(log_c_0) + v**2 @ c
            rate += v[:, None] * c * ((v * z) @ c / width)
        # the first potentials may have no charge that counts, and the last ones none of the co-ions
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            lengths = np.abs((z @ c) / (z @ rate) * self.permittivity / self.surface_charge(phis))
        return float(np.nanmin([self.debye_length, *lengths]))

    def _pressure(self, phi: ArrayLike) -> Array:
        c, log_c_0 = self._state(phi)
        pressure: Array = c.sum(axis=0) if self.sizes is None else (1 - self.sizes) @ c - log_c_0
        return pressure

    def _state(self, phi: ArrayLike) -> tuple[Array, Array]:
        """c_i (n, m) and ln c_0 (m,), which is zero where ions are points."""
        s = np.log(self.concentrations) - np.multiply.outer(np.atleast_1d(np.asarray(phi, dtype=float)), self.charges)
        if self.sizes is None:
            return np.exp(s).T, np.zeros(len(s))
        s -= self.sizes * math.log(1 - float(self.sizes @ self.concentrations))
        log_c_0 = log_rest(s, self.sizes)
        return np.exp(s + self.sizes * log_c_0[:, None]).T, log_c_0


def bjerrum_length(permittivity: float, temperature: float) -> float:
    """e^2/(4 pi eps k_B T) in metres, from F/m and K: where two elementary charges interact by k_B T (Bjerrum 1926)."""
    return elementary_charge**2 / (4 * math.pi * permittivity * Boltzmann * temperature)
