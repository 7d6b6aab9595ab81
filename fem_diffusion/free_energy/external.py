"""A field of force from outside."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import PrivateAttr, model_validator

from ..field import Field, FieldOf
from ..state import Composition, Expr
from .term import Term, require_name


class ExternalPotential(Term):
    """f = sum_i V_i(x, t) c_i over the species and, where it has a name, the balance: gravity, a trap, a drift -L grad V.

    potential: { name = V }, J/mol: a number, a quantity, or an expression of x, y, z, t in SI. (Without units in multiples of RT.)
    """

    gauss_points: ClassVar[int] = 1

    potential: dict[str, Annotated[Field, FieldOf("J/mol")]]
    _ratio: Expr = PrivateAttr(default=1.0)  # T/T_ref

    def density(self, c: Composition, phi: Expr) -> Expr:
        return sum(V.ufl(c.x, c.t) / self._ratio * c[name] for name, V in self.potential.items())

    def convex_part(self, c: Composition, phi: Expr) -> Expr:
        return self.density(c, phi)

    def check_species(self, c: Composition) -> None:
        for name in self.potential:
            require_name(self, name, c.named)

    def at_temperature(self, ratio: Expr) -> Self:
        term = self.model_copy()
        term._ratio = self._ratio * ratio
        return term

    @model_validator(mode="after")
    def _without_noise(self) -> Self:
        for name, V in self.potential.items():
            if "noise" in V.depends_on:
                raise ValueError(f"{name} = '{V.text}': noise is for initial values only: remove it here")
        return self
