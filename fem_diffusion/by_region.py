"""A parameter with a value of its own in each region of the mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .errors import InputError
from .units import Scales, in_solver_units

Extent = Literal["everywhere", "matter", "anywhere"]


@dataclass(frozen=True)
class ByRegion:
    """{ region = value }. On a mesh it becomes constant in each cell (`with_constants`); what is asked away from the mesh has one of the values.

    value:  by region: quantities, fields, or laws
    extent: which regions need one: all, those that matter may enter, or none, where no value is zero
    """

    value: Mapping[str, Any]
    extent: Extent

    def in_solver_units(self, scales: Scales) -> ByRegion:
        return self.map(lambda value: in_solver_units(value, scales))

    def map(self, f: Callable[[Any], Any]) -> ByRegion:
        return replace(self, value={region: f(value) for region, value in self.value.items()})

    @property
    def largest(self) -> Any:
        """Of quantities the largest one; of laws that with the largest prefactor."""
        sizes = {region: float(value.prefactor if hasattr(value, "prefactor") else value) for region, value in self.value.items()}
        return self.value[max(sizes, key=lambda region: sizes[region])]

    # -- of fields ------------------------------------------------------------------------------------------------------------

    @property
    def depends_on(self) -> frozenset[str]:
        return frozenset().union(*(field.depends_on for field in self.value.values()))

    @property
    def text(self) -> str:
        return "{ " + ", ".join(f"{region} = {field.text}" for region, field in self.value.items()) + " }"

    def ufl(self, x: Any, t: Any) -> Any:
        """For questions of what it depends on: the sum over the regions."""
        return sum(field.ufl(x, t) for field in self.value.values())


class Parser(Protocol):
    """Quantity, FieldOf and the like."""

    def parse(self, given: Any) -> Any: ...


@dataclass(frozen=True)
class ByRegionOf:
    """Annotation of a parameter that is one value or a table of regions: 78.5 or { pore = 78.5, membrane = 4 }."""

    one: Parser
    extent: Extent = "everywhere"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Any:
        if isinstance(given, ByRegion):
            return given
        return by_region(given, self.one, self.extent) if isinstance(given, Mapping) else self.one.parse(given)


def by_region(given: Mapping[str, Any], one: Parser, extent: Extent) -> ByRegion:
    """A table of regions; ValueError names the region whose value is illegal."""
    if not given:
        raise ValueError("the table is empty: give a value, or { region = value, ... }")
    values = {}
    for region, value in given.items():
        try:
            values[str(region)] = one.parse(value)
        except (ValueError, InputError) as error:
            raise ValueError(f"in the region '{region}': {value!r} {error}") from None
    return ByRegion(values, extent)
