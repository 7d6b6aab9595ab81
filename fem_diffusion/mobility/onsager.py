"""L as it is given: a number, or a matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from ..errors import InputError
from ..expression import Expression
from ..state import Composition, Expr
from ..units import Quantity, Scales, Value, is_number, is_quantity
from .base import Matrix, Mobility, diagonal

_UNIT = "m^5/(J*s)"


class Constant(Mobility):
    """L_ij = value delta_ij"""

    quadrature_degree: ClassVar[int] = 0

    value: Annotated[float, Quantity(_UNIT, positive=True)]

    def matrix(self, c: Composition) -> Matrix:
        return diagonal(self.value for _ in c)

    def at_temperature(self, ratio: Expr) -> Self:
        return self.model_copy(update={"value": self.value * ratio})  # mu is in units of RT


@dataclass(frozen=True)
class OfComposition:
    """L_ij(c) as text, an expression in the names of the components; its values are in SI (or the problem's own units)."""

    value: str
    scales: Scales = Scales()
    factor: Expr = 1.0

    def in_solver_units(self, scales: Scales) -> OfComposition:
        return replace(self, scales=scales)

    def __mul__(self, factor: Expr) -> OfComposition:
        return replace(self, factor=self.factor * factor)

    def expression(self, c: Composition) -> Expression:
        """ValueError where it is none of these components."""
        expression = Expression(self.value, tuple(c.named))
        if "noise" in expression.depends_on:
            raise ValueError(f"'{self.value}': noise is for initial values only: remove it here")
        return expression

    def ufl(self, c: Composition) -> Expr:
        return self.expression(c).ufl(**c.named) * self.factor / self.scales.factor(_UNIT)


class _Entry:
    """Annotation of an entry: 3.0, "1e-12 m^5/(J*s)" or "1e-12*A*B"."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Any:
        if isinstance(given, OfComposition):
            return given
        if isinstance(given, str) and not is_quantity(given) and not is_number(given):
            return OfComposition(given)
        return Quantity(_UNIT).parse(given) or 0  # the integer marks what is always zero


class Onsager(Mobility):
    """L_ij = matrix[i][j] in the order of the independent species: full rows, symmetric and positive semi-definite.

    matrix: rows of numbers, quantities (m^5/(J s)) or expressions in the names of the components, the balance included
    """

    # `matrix` is what the entries become: the key has that name in the table only.
    rows: tuple[tuple[Annotated[Any, _Entry()], ...], ...] = Field(alias="matrix")

    def matrix(self, c: Composition) -> Matrix:
        return [[entry.ufl(c) if isinstance(entry, OfComposition) else entry for entry in row] for row in self.rows]

    def at_temperature(self, ratio: Expr) -> Self:
        rows = tuple(tuple(0 if isinstance(entry, int) else entry * ratio for entry in row) for row in self.rows)  # mu is in units of RT
        return self.model_copy(update={"rows": rows})

    def check_species(self, c: Composition) -> None:
        n = len(c)
        if len(self.rows) != n:
            raise InputError(f"{self.label}: matrix is {len(self.rows)} x {len(self.rows)}; it must be {n} x {n}, for {', '.join(c.names)}")
        for i, row in enumerate(self.rows):
            for j, entry in enumerate(row):
                if isinstance(entry, OfComposition):
                    try:
                        entry.expression(c)
                    except ValueError as error:
                        raise InputError(f"{self.label}: matrix[{i}][{j}]: {error}") from None

    @model_validator(mode="after")
    def _symmetric(self) -> Self:
        n = len(self.rows)
        for i, row in enumerate(self.rows):
            if len(row) != n:
                raise ValueError(f"matrix must be square, {n} x {n}, with full rows: row {i} has {len(row)} entries")
        for i in range(n):
            for j in range(i):
                a, b = self.rows[i][j], self.rows[j][i]
                expressions = isinstance(a, OfComposition) or isinstance(b, OfComposition)
                if not expressions and not math.isclose(a, b, rel_tol=1e-12):
                    raise ValueError(
                        f"matrix[{i}][{j}] = {_text(a)} and matrix[{j}][{i}] = {_text(b)} must be equal: L is symmetric (Onsager)"
                    )
        return self


def _text(entry: Any) -> str:
    return entry.text if isinstance(entry, Value) else str(entry)
