"""An energy and a mobility of one's own, for user_energy.toml: a subregular solution with Vignes' mobility.

A class states a formula and its parameters. The chemical potential, the Jacobian, spinodal and binodal are derived from it, and the parameters
(each with its SI unit) are checked and converted like those of a built-in kind. Energies are in units of RT/V_m, which makes an energy
given in J/mol the familiar Omega/RT; a mobility is D x (1-x).
"""

from typing import Annotated

import ufl

from fem_diffusion import Composition, Mobility, Term
from fem_diffusion.mobility import Matrix
from fem_diffusion.state import Expr
from fem_diffusion.units import Quantity


class Subregular(Term):
    """Excess energy x (1-x) [L0 + L1 (2x - 1)] of a binary: L1 tilts the miscibility gap, which a regular solution has symmetric.

    Add it to Ideal with both components named.  (Redlich & Kister, Ind. Eng. Chem. 40 (1948) 345, to first order)
    """

    L0: Annotated[float, Quantity("J/mol")]
    L1: Annotated[float, Quantity("J/mol")]

    def density(self, c: Composition, phi: Expr) -> Expr:
        x = c[0]
        return x * (1 - x) * (self.L0 + self.L1 * (2 * x - 1))

    # Optional.
    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        """For scheme = "convex-split": f + s/2 x^2 is convex where s >= -f'' = 2 L0 - 6 L1 (1 - 2x), and -s/2 x^2 is concave."""
        s = ufl.max_value(2 * self.L0 + 6 * abs(self.L1), 0)
        return self.density(c, phi) + s / 2 * c[0] ** 2


class Vignes(Mobility):
    """L = x (1-x) D(x), D = D_1^x D_0^(1-x) between the diffusivities in pure 1 and in pure 0.  (Vignes, Ind. Eng. Chem. Fundam. 5 (1966) 189)"""

    D_0: Annotated[float, Quantity("m^2/s", positive=True)]
    D_1: Annotated[float, Quantity("m^2/s", positive=True)]

    def matrix(self, c: Composition) -> Matrix:
        x = c[0]
        return [[x * (1 - x) * self.D_1**x * self.D_0 ** (1 - x)]]
