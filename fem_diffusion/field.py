"""A value that may vary in space and time: a number with its unit, or an expression over x, y, z, t and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from ufl.core.expr import Expr

from .errors import InputError
from .expression import Expression
from .units import Quantity, Scales, Value, is_number, is_number_with_name, is_quantity

Noise = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Field:
    """f(x, y, z, t). Expressions are written in SI (or the problem's own units); values, places and times here are in solver units."""

    value: Value | Expression
    unit: str
    scales: Scales = Scales()

    @property
    def depends_on(self) -> frozenset[str]:
        return self.value.depends_on if isinstance(self.value, Expression) else frozenset()

    @property
    def text(self) -> str:
        return self.value.text

    def at(self, x: np.ndarray, t: float = 0.0, noise: Noise | None = None) -> np.ndarray:
        """Values at places x of shape (3, n); `noise` gives those of the random field."""
        n = x.shape[1]
        if not isinstance(self.value, Expression):
            return np.full(n, float(self.value) / self._factor)
        place = dict(zip("xyz", x * self.scales.length, strict=True))
        random = {"noise": noise(x)} if noise is not None and "noise" in self.depends_on else {}
        values = self.value.numpy(**place, t=t * self.scales.time, **random)
        return np.broadcast_to(np.asarray(values, dtype=float), (n,)) / self._factor

    def ufl(self, x: Any, t: Any) -> Any:
        """As a UFL expression of the coordinates and the time; InputError where a part of it is constant and not finite."""
        if isinstance(self.value, Expr):  # a Constant, in solver units
            return self.value
        if not isinstance(self.value, Expression):
            return float(self.value) / self._factor
        place = {name: x[i] * self.scales.length if i < len(x) else 0.0 for i, name in enumerate("xyz")}
        try:
            return self.value.ufl(**place, t=t * self.scales.time) / self._factor
        except ValueError as error:
            raise InputError(str(error)) from None

    @property
    def _factor(self) -> float:
        return self.scales.factor(self.unit)

    def in_solver_units(self, scales: Scales) -> Field:
        return replace(self, scales=scales)


@dataclass(frozen=True)
class FieldOf:
    """Annotation of a field of a given SI unit: `flux: Annotated[Field, FieldOf("m/s")]` takes 3.0, "1 nm/s" or "1e-9*sin(t)"."""

    unit: str
    minimum: float = -math.inf
    maximum: float = math.inf
    positive: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Field:
        if isinstance(given, Field):
            return given
        if isinstance(given, str) and not is_quantity(given) and not is_number_with_name(given):
            expression = Expression(given)
            if expression.depends_on or not is_number(given):
                return Field(expression, self.unit)
        return Field(Quantity(self.unit, self.minimum, self.maximum, self.positive).parse(given), self.unit)
