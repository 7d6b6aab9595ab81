"""A diffusivity: a number, or Arrhenius' law, or one of them for each region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import ufl
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .by_region import ByRegion, by_region
from .errors import InputError
from .record import Record
from .units import Quantity


class Arrhenius(Record):
    """D(T) = prefactor exp(-activation_energy/RT)"""

    label = "diffusivity"

    prefactor: Annotated[float, Quantity("m^2/s", positive=True)]
    activation_energy: Annotated[float, Quantity("J/mol", minimum=0)]

    def at(self, ratio: Any) -> Any:
        """D at `ratio` times the reference temperature, in solver units, where RT is `ratio`."""
        return self.prefactor * ufl.exp(-self.activation_energy / ratio)


class DiffusivityOf:
    """Annotation of a diffusivity: 3.0, "1e-9 m^2/s", a law { prefactor = ..., activation_energy = ... }, or a table of regions with one of them
    each."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Any:
        if isinstance(given, (Arrhenius, ByRegion)):
            return given
        if not isinstance(given, Mapping):
            return Quantity("m^2/s", positive=True).parse(given)
        if not set(given) & set(Arrhenius.model_fields):
            return by_region(given, self, "matter")
        try:
            return Arrhenius(**given)
        except InputError as error:
            raise ValueError(str(error)) from None  # so that the record that holds it names the place


Diffusivity = Annotated[Any, DiffusivityOf()]


def at_temperature(value: Any, ratio: Any) -> Any:
    """The diffusivity, or each of a table or list of them, as a number or UFL at `ratio` times the reference temperature.

    What has a value for each region has the largest one: on a mesh `with_constants` comes first.
    """
    if isinstance(value, ByRegion):
        return at_temperature(value.largest, ratio)
    if isinstance(value, Arrhenius):
        return value.at(ratio)
    if isinstance(value, Mapping):
        return {key: at_temperature(item, ratio) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(at_temperature(item, ratio) for item in value)
    return value
