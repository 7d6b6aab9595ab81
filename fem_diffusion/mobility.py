"""Mobilities: the symmetric positive semi-definite L(c) in J_i = -sum_j L_ij grad mu_j."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import ufl

from .record import Record
from .state import Composition, Expr
from .units import Quantity

Matrix = list[list[Expr]]


class Mobility(Record):
    """L(c). A subclass has its parameters as annotated fields and `matrix`, in UFL; in TOML, kind = "my_module.MyMobility"."""

    quadrature_degree: ClassVar[int] = 4
    """Exactness with which L(c) of a piecewise linear c is integrated."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = f"[mobility] {cls.__name__}"

    @abstractmethod
    def matrix(self, c: Composition) -> Matrix:
        """L_ij, n x n rows of UFL scalars; the integer 0 marks an entry that is always zero. m^5/(J s)."""


class Constant(Mobility):
    """L_ij = value delta_ij"""

    quadrature_degree: ClassVar[int] = 0

    value: Annotated[float, Quantity("m^5/(J*s)", positive=True)]

    def matrix(self, c: Composition) -> Matrix:
        return _diagonal([self.value for _ in c])


class Degenerate(Mobility):
    """L_ii = D c_i (1 - c_i), times V_m/RT in a problem with units: no transport through pure phases.

    Zero outside [0, 1], where a polynomial energy may lead. (Cahn & Taylor, Acta Metall. Mater. 42 (1994) 1045)
    """

    quadrature_degree: ClassVar[int] = 2

    diffusivity: Annotated[float, Quantity("m^2/s", positive=True)]

    def matrix(self, c: Composition) -> Matrix:
        return _diagonal([self.diffusivity * ufl.max_value(ci * (1 - ci), 0.0) for ci in c])


def _diagonal(entries: list[Expr]) -> Matrix:
    return [[entry if i == j else 0 for j in range(len(entries))] for i, entry in enumerate(entries)]
