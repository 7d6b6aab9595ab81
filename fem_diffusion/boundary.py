"""Conditions on a named boundary. Conditions on one boundary combine; a boundary that is not named has no flux."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import field_validator, model_validator

from .errors import InputError, did_you_mean
from .field import Field, FieldOf
from .record import Record
from .units import Quantity

BySpecies = dict[str, Annotated[Field, FieldOf("")]]


class Wetting(Record):
    """A wall that the phase rich in the (first) species meets at `contact_angle`, measured through that phase.

    Its surface energy is g(c) = -sigma cos(theta) h(c), with sigma the interface energy of the two bulk phases (Young's law).
    """

    label = "[boundary] wetting"

    contact_angle: Annotated[float, Quantity("rad")]

    @model_validator(mode="after")
    def _is_an_angle(self) -> Self:
        if getattr(self.contact_angle, "plain", False):
            raise ValueError(f"contact_angle = {self.contact_angle:g} has no unit: write '60 deg' or '1.05 rad'")
        if not 0 <= self.contact_angle <= math.pi:
            raise ValueError(f"contact_angle = '{getattr(self.contact_angle, 'text', self.contact_angle)}' must be between 0 and 180 deg")
        return self


class Exchange(Record):
    """A membrane or film: J.n = coefficient (c - reference)."""

    label = "[boundary] exchange"

    coefficient: Annotated[float, Quantity("m/s", minimum=0)]
    reference: Annotated[Field, FieldOf("")]


class PotentialExchange(Record):
    """A membrane or film that is driven by the chemical potential: J.n = coefficient (mu - potential_reference)."""

    label = "[boundary] exchange"

    coefficient: Annotated[float, Quantity("m^4/(J*s)", minimum=0)]
    potential_reference: Annotated[Field, FieldOf("J/m^3")]


class Boundary(Record):
    """Conditions on one boundary.

    concentration:      a reservoir: fixes c, and mu = df/dc at that c unless chemical_potential is given too
    chemical_potential: fixes mu, J/m^3
    flux:               outward J.n, m/s
    exchange:           { coefficient, reference } or { coefficient, potential_reference }
    wetting:            contact angle
    """

    label = "[boundary]"

    concentration: BySpecies = {}
    chemical_potential: dict[str, Annotated[Field, FieldOf("J/m^3")]] = {}
    flux: dict[str, Annotated[Field, FieldOf("m/s")]] = {}
    exchange: dict[str, Exchange | PotentialExchange] = {}
    wetting: Wetting | None = None

    @field_validator("exchange", mode="plain")
    @classmethod
    def _exchange(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("must be a table, as in { A = { coefficient = 1.0, reference = 0.2 } }")
        return {name: _exchange(name, table) for name, table in given.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        references = {name: _reference(exchange) for name, exchange in self.exchange.items()}
        for table in (self.concentration, self.chemical_potential, self.flux, references):
            for name, field in table.items():
                if "noise" in field.depends_on:
                    raise ValueError(f"{name} = '{field.text}': noise is for initial values only: remove it here")
        for kind in ("flux", "exchange"):
            for name in getattr(self, kind):
                if name in self.concentration or name in self.chemical_potential:
                    raise ValueError(
                        f"'{name}' has both {'a flux' if kind == 'flux' else 'an exchange'} and a fixed value: give one of them"
                    )
        return self

    @property
    def species(self) -> set[str]:
        return {*self.concentration, *self.chemical_potential, *self.flux, *self.exchange}

    @property
    def open(self) -> bool:
        """Whether matter can pass."""
        return bool(self.species)


def _exchange(name: str, table: Any) -> Exchange | PotentialExchange:
    if isinstance(table, (Exchange, PotentialExchange)):
        return table
    if not isinstance(table, Mapping):
        raise ValueError(f"{name} = {table!r}: must be a table with a coefficient and a reference (or a potential_reference)")
    references = ("reference", "potential_reference")
    for key in table:
        if key not in ("coefficient", *references):
            raise InputError(f"{Exchange.label} of {name} has no parameter '{key}'{did_you_mean(key, ('coefficient', *references))}")
    given = [key for key in references if key in table]
    if len(given) != 1:
        raise InputError(
            f"{Exchange.label} of {name}: give either reference (a fraction) or potential_reference (a chemical potential); "
            f"given: {', '.join(given) or 'none'}"
        )
    return PotentialExchange(**table) if given == ["potential_reference"] else Exchange(**table)


def _reference(exchange: Exchange | PotentialExchange) -> Field:
    return exchange.reference if isinstance(exchange, Exchange) else exchange.potential_reference


def read(name: str, table: object) -> Boundary:
    """The table [boundary.name]; InputError names it."""
    if isinstance(table, Boundary):
        return table
    if not isinstance(table, dict):
        raise InputError(
            f"[boundary.{name}] = {table!r}: must be a table, for example [boundary.{name}] with concentration = {{ A = 0.2 }}"
        )
    try:
        return Boundary(**table)
    except InputError as error:
        raise InputError(str(error).replace("[boundary]", f"[boundary.{name}]")) from None
