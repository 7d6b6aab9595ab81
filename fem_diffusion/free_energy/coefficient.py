"""An energy that may depend on temperature: a number with its unit, or an expression over T."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ..errors import InputError
from ..expression import Expression
from ..state import Expr
from ..units import Quantity, Scales, Value, is_quantity


@dataclass(frozen=True)
class FunctionOfTemperature:
    """a(T), written in SI with T in kelvin; in a dimensionless problem in multiples of RT_ref with T in multiples of T_ref.

    ratio: T/T_ref, a number or UFL
    """

    value: Expression
    unit: str
    scales: Scales = Scales()
    ratio: Expr = 1.0

    def over_RT(self) -> Expr:
        """a(T)/RT: a number where `ratio` is one, else UFL. InputError where it has no finite value."""
        T = self.ratio * self.scales.factor("K")
        RT = self.ratio * self.scales.factor(self.unit)
        if isinstance(T, (int, float)):
            number = float(self.value.numpy(T=T))
            if not math.isfinite(number):
                raise InputError(f"[[free_energy]] '{self.value.text}' has no finite value at T = {T:g}")
            return number / RT
        try:
            return self.value.ufl(T=T) / RT
        except ValueError as error:
            raise InputError(f"[[free_energy]] {error}") from None

    def at_temperature(self, ratio: Expr) -> FunctionOfTemperature:
        return replace(self, ratio=self.ratio * ratio)

    def in_solver_units(self, scales: Scales) -> FunctionOfTemperature:
        return replace(self, scales=scales)


@dataclass(frozen=True)
class OfTemperature:
    """Annotation of a coefficient of a given SI unit: takes 3.0, "25 kJ/mol" or "33819.1 - 8.1236*T"."""

    unit: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Value | FunctionOfTemperature:
        if isinstance(given, FunctionOfTemperature):
            return given
        if isinstance(given, str) and not is_quantity(given):
            expression = Expression(given, names=("T",))
            if "noise" in expression.depends_on:
                raise ValueError("noise is for initial values only: remove it here")
            if expression.depends_on:
                return FunctionOfTemperature(expression, self.unit)
        return Quantity(self.unit).parse(given)


Energy = Annotated[Any, OfTemperature("J/mol")]


def over_RT(value: Any) -> Any:
    """A coefficient in multiples of RT, as all of solver units are already."""
    return value.over_RT() if isinstance(value, FunctionOfTemperature) else value
