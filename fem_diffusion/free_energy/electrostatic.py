"""The energy of charges in their own field, in the volume and on surfaces: the Poisson equation is dF/dphi = 0."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

import ufl
from pydantic import PrivateAttr, model_validator

from ..by_region import ByRegion, ByRegionOf
from ..constants import VACUUM_PERMITTIVITY
from ..errors import InputError
from ..field import Field, FieldOf
from ..state import Composition, Expr
from ..units import Quantity, Value
from .term import Term, require_one_of


class Electrostatic(Term):
    """F = int (rho phi - eps/2 |grad phi|^2) dx with rho = sum_i z_i c_i + rho_f, so that dF/dphi = 0 is -div(eps grad phi) = rho.

    F is stationary in phi, a maximum, and there equals the energy of the field int eps/2 |grad phi|^2 where no electrode holds a potential.
    Each species gets the potential z_i phi (phi in units of RT/F).

    permittivity:          without units lambda^2 = eps RT/(F^2 c_max L^2), the square of the Debye length to within a factor; or F/m
    relative_permittivity: the same over that of vacuum
    fixed_charge:          rho_f, C/m^3 (without units in those of F c): an expression of x, y, z, t
    Each may be a table of regions. A region that fixed_charge leaves out has none.
    """

    gauss_points: ClassVar[int] = 1

    permittivity: Annotated[Any, ByRegionOf(Quantity("F/m", positive=True))] | None = None
    relative_permittivity: Annotated[Any, ByRegionOf(Quantity("", positive=True))] | None = None
    fixed_charge: Annotated[Any, ByRegionOf(FieldOf("C/m^3"), "anywhere")] | None = None
    _ratio: Expr = PrivateAttr(default=1.0)  # T/T_ref

    def density(self, c: Composition, phi: Expr) -> Expr:
        """rho phi; the gradient is in `field_density`, since the two are integrated by different rules."""
        charge = c.charge
        if self.fixed_charge is not None:
            charge = charge + self.fixed_charge.ufl(c.x, c.t)
        return charge * phi / self._ratio

    def field_density(self, phi: Expr) -> Expr:
        assert self.permittivity is not None
        return -self.permittivity / (2 * self._ratio) * ufl.inner(ufl.grad(phi), ufl.grad(phi))

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)

    def at_temperature(self, ratio: Expr) -> Self:
        term = self.model_copy()
        term._ratio = self._ratio * ratio
        return term

    def check_species(self, c: Composition) -> None:
        if not any(c.charges):
            raise InputError(f"{self.label}: no species has a charge: give charge = 1 (or -1, 2, ...) in the [[species]] that are ions")

    @model_validator(mode="after")
    def _one_permittivity(self) -> Self:
        require_one_of(self, "permittivity", "relative_permittivity")
        if self.fixed_charge is not None and "noise" in self.fixed_charge.depends_on:
            raise ValueError(f"fixed_charge = '{self.fixed_charge.text}': noise is for initial values only: remove it here")
        return self

    @property
    def absolute(self) -> Self:
        """The term with `permittivity`, whichever was given."""
        if self.relative_permittivity is None:
            return self
        given = self.relative_permittivity
        eps = given.map(_absolute) if isinstance(given, ByRegion) else _absolute(given)
        return self.model_copy(update={"permittivity": eps, "relative_permittivity": None})


def _absolute(relative_permittivity: float) -> Value:
    return Value(float(relative_permittivity) * VACUUM_PERMITTIVITY, "F/m", dimensional=True)


class SurfaceCharge(Term):
    """g = sigma phi on a surface that carries the charge sigma: eps dphi/dn = sigma there."""

    sigma: Field
    _ratio: Expr = PrivateAttr(default=1.0)

    def density(self, c: Composition, phi: Expr) -> Expr:
        return self.sigma.ufl(c.x, c.t) * phi / self._ratio

    def at_temperature(self, ratio: Expr) -> Self:
        term = self.model_copy()
        term._ratio = self._ratio * ratio
        return term


class SternLayer(Term):
    """g = -C/2 (V - phi)^2 between an electrode at V and the plane of closest approach at phi: eps dphi/dn = C (V - phi), C = eps_S/thickness.

    (Stern 1924; Bazant, Chu & Bayly, SIAM J. Appl. Math. 65 (2005) 1463)
    """

    capacitance: float
    potential: Field
    _ratio: Expr = PrivateAttr(default=1.0)

    def density(self, c: Composition, phi: Expr) -> Expr:
        drop = self.potential.ufl(c.x, c.t) - phi
        return -self.capacitance / (2 * self._ratio) * drop**2

    def at_temperature(self, ratio: Expr) -> Self:
        term = self.model_copy()
        term._ratio = self._ratio * ratio
        return term
