"""Chemical reactions: sources with stoichiometry and a rate expression."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from .errors import InputError, did_you_mean
from .expression import Expression
from .record import Record
from .state import Composition, Expr
from .units import Scales

_GIVEN = {**dict.fromkeys("xyz", "a coordinate"), "t": "the time", "T": "the temperature"}


@dataclass(frozen=True)
class Rate:
    """r(c, x, y, z, t, T), as text in SI (or the problem's own units): 1/s of fractions, mol/(m^3 s) of amounts per volume."""

    value: str
    scales: Scales = Scales()

    def expression(self, c: Composition) -> Expression:
        """Raises ValueError where the text is no expression of the named components, place, time and temperature."""
        usable = tuple(name for name in c.named if name.isidentifier() and name not in _GIVEN)
        return Expression(self.value, names=(*_GIVEN, *usable))

    def ufl(self, c: Composition, ratio: Expr) -> Expr:
        """In solver units; `ratio` is T/T_ref. InputError where a part of it is constant and not finite."""
        expression, scales = self.expression(c), self.scales
        place = {name: c.x[i] * scales.length if i < len(c.x) else 0.0 for i, name in enumerate("xyz")}
        concentrations = {name: scales.concentration * value for name, value in c.named.items()}
        values = place | {"t": c.t * scales.time, "T": ratio * scales.temperature} | concentrations
        try:
            return expression.ufl(**{name: values[name] for name in expression.names}) / scales.factor("concentration/s")
        except ValueError as error:
            raise InputError(f"{Reaction.label}: rate = {error}") from None

    def in_solver_units(self, scales: Scales) -> Rate:
        return replace(self, scales=scales)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

    @classmethod
    def parse(cls, given: Any) -> Rate:
        if isinstance(given, Rate):
            return given
        if isinstance(given, bool) or not isinstance(given, (int, float, str)):
            raise ValueError('must be a number or an expression, for example "2.0*A*B - 0.1*C"')
        return cls(str(given))


class Reaction(Record):
    """A [[reaction]]: R_i = stoichiometry_i r, with r the rate.

    stoichiometry: { A = -1, B = -1, C = 2 }: negative for what is used up; it must sum to zero over fractions that close to one
    rate:          an expression of the species' names, x, y, z, t and the temperature T, 1/s (or mol/(m^3 s))
    """

    label = "[[reaction]]"

    stoichiometry: dict[str, float]
    rate: Annotated[Rate, Rate]

    @model_validator(mode="after")
    def _something_happens(self) -> Self:
        if not any(self.stoichiometry.values()):
            raise ValueError("stoichiometry has no species: write for example { A = -1, B = 1 }")
        return self

    def check_species(self, c: Composition) -> None:
        """InputError for unknown names, a rate that is no expression of them, and a stoichiometry that breaks the closure."""
        for name in self.stoichiometry:
            if name not in c.named:
                raise InputError(f"{self.label}: there is no species '{name}'{did_you_mean(name, c.named)}")
        if c.balance is not None and not math.isclose(math.fsum(self.stoichiometry.values()), 0.0, abs_tol=1e-12):
            numbers = ", ".join(f"{name} = {number:g}" for name, number in self.stoichiometry.items())
            raise InputError(
                f"{self.label}: stoichiometry {{ {numbers} }} sums to {math.fsum(self.stoichiometry.values()):g}: fractions that close to one "
                f"(with the balance '{c.balance}') need zero"
            )
        try:
            expression = self.rate.expression(c)
        except ValueError as error:
            raise InputError(f"{self.label}: rate = '{self.rate.value}': {error}") from None
        for name in c.named:
            if name in _GIVEN and name in expression.depends_on:
                raise InputError(
                    f"{self.label}: rate = '{self.rate.value}': {name} is {_GIVEN[name]} here: give the species '{name}' another name"
                )
        if "noise" in expression.depends_on:
            raise InputError(f"{self.label}: rate = '{self.rate.value}': noise is for initial values only: remove it here")

    def sources(self, c: Composition, ratio: Expr) -> Mapping[str, Expr]:
        """R_i of the independent species, in solver units."""
        rate = self.rate.ufl(c, ratio)
        return {name: number * rate for name, number in self.stoichiometry.items() if name in c.names and number}
