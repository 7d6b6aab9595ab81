"""Quantities with units, and the solver's own units, in which every number is of order one.

A quantity is given as a plain number or as text with a unit ("25 mV"). A problem is dimensionless (all quantities plain) or dimensional
(all with units, held in SI); zero, fractions, counts and charges are plain in both. A dimensional problem is solved in units
of its own (`Scales`), so that residuals and tolerances mean the same at any physical size.

Concentrations are fractions, which have no unit, or amounts per volume, mol/m^3. What is made of them has the unit `concentration` in its
own, as a flux "concentration*m/s", which is m/s or mol/(m^2*s): `Scales.concentration` says how much one is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

import pint
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .errors import InputError
from .record import Record

# A unit starts with a letter, in "2 1/s" after a one, and is no coordinate or time: pint would read "+ t" and "t" as tonnes.
_UNIT = r"(?:(?<=\s)1\s*/\s*)?(?![xyzt]\s*\Z)(?:[^\W\d_]|[°%]).*?"
_NUMBER_AND_UNIT = re.compile(rf"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*({_UNIT}|)\s*")
# What pint is asked about: units and products of them, also in brackets, with small powers. It computes 9**9**9 in "m**9**9**9" for ever.
_POWER = r"(?:\s*(?:\^|\*\*)\s*(?:[-+]?\d{1,2}(?:\.\d{1,3})?|\([-+]?\d{1,2}(?:[./]\d{1,3})?\)))?"
_NAME = rf"(?:[^\W\d_][\w⁻]*|°\w*|%|1){_POWER}"
_BETWEEN = r"(?:\s*[*/·]\s*|\s+)"
_FACTOR = rf"(?:{_NAME}|\(\s*{_NAME}(?:{_BETWEEN}{_NAME})*\s*\){_POWER})"
_PRODUCT = re.compile(rf"{_FACTOR}(?:{_BETWEEN}{_FACTOR})*")
_LONGEST = 80
_BASE_DIMENSIONS = ("[length]", "[time]", "[mass]", "[substance]", "[temperature]", "[current]", "[concentration_unit]")
# What a unit with a concentration in it is for fractions, and for amounts per volume.
_OF_CONCENTRATION = {
    "concentration": ("", "mol/m^3"),
    "concentration*m/s": ("m/s", "mol/(m^2*s)"),
    "concentration/s": ("1/s", "mol/(m^3*s)"),
    "concentration^2/s": ("1/s", "mol^2/(m^6*s)"),
    "J/(m^3*concentration)": ("J/m^3", "J/mol"),
    "J/(m^3*concentration^2)": ("J/m^3", "J*m^3/mol^2"),
    "concentration^2*m^4/(J*s)": ("m^4/(J*s)", "mol^2/(m^2*J*s)"),
}


@cache
def _registry() -> pint.UnitRegistry:
    registry: pint.UnitRegistry = pint.UnitRegistry()
    registry.define("concentration = [concentration_unit]")
    return registry


def si_unit(unit: str, molar: bool) -> str:
    """The SI unit that a field's unit is where concentrations are amounts per volume (`molar`), or fractions."""
    return _OF_CONCENTRATION[unit][molar] if unit in _OF_CONCENTRATION else unit


def _si_units(unit: str) -> tuple[str, ...]:
    """The SI units in which a field may be given."""
    return _OF_CONCENTRATION.get(unit, (unit,))


class Value(float):
    """A quantity's number: in SI units if `dimensional`, as given if not. `unit` is the SI unit of the field that holds it.

    molar: whether a field that has a concentration in its unit was given by amounts per volume.
    """

    unit: str
    dimensional: bool
    text: str
    molar: bool

    def __new__(cls, number: float, unit: str = "", dimensional: bool = False, text: str = "", molar: bool = False) -> Value:
        value = super().__new__(cls, number)
        value.unit, value.dimensional, value.text, value.molar = unit, dimensional, text or repr(float(number)), molar
        return value

    @property
    def plain(self) -> bool:
        """Given without a unit, and not zero, which is the same in all units."""
        return not self.dimensional and self != 0.0


@dataclass(frozen=True)
class Quantity:
    """Annotation of a field that holds a quantity: `kappa: Annotated[float, Quantity("J/m")]`.

    unit: the SI unit; minimum, maximum: legal range in SI units (or in the problem's own), `positive` excludes zero.
    """

    unit: str
    minimum: float = -math.inf
    maximum: float = math.inf
    positive: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def parse(self, given: Any) -> Value:
        """A Value from a number or from text; ValueError says what is legal."""
        value = given if isinstance(given, Value) and given.unit == self.unit else self._read(given)
        if not math.isfinite(value):
            raise ValueError("must be finite")
        if self.positive and value <= 0:
            raise ValueError("must be positive")
        if not self.minimum <= value <= self.maximum:
            legal = f"at least {self.minimum:g}" if self.maximum == math.inf else f"between {self.minimum:g} and {self.maximum:g}"
            raise ValueError(f"must be {legal}" + (f" {si_unit(self.unit, value.molar)}" if value.dimensional else ""))
        return value

    def _read(self, given: Any) -> Value:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return Value(_float(given), self.unit)
        legal = _si_units(self.unit)
        example = " or ".join(f'"1.5 {unit}"' if unit else "1.5" for unit in legal)
        if not isinstance(given, str):
            raise ValueError(f"is not a quantity: give a number or text like {example}")
        match = _NUMBER_AND_UNIT.fullmatch(given)
        if match is None:
            raise ValueError(f"is not a number with a unit: write for example {example}")
        number, unit = float(match[1]), match[2]
        if not unit:
            return Value(number, self.unit, text=given)
        if not _may_be_unit(unit):
            raise ValueError(f"'{unit}' is not a unit: write for example {example}")
        for molar, si in enumerate(legal):
            try:
                converted = _registry().Quantity(number, unit).to(si or "dimensionless").magnitude
            except pint.UndefinedUnitError as error:
                raise ValueError(f"{error}; write for example {example}") from None
            except (pint.DimensionalityError, pint.OffsetUnitCalculusError):
                continue
            except Exception:  # pint's parser raises whatever its tokenizer meets
                raise ValueError(f"'{unit}' is not a unit: write for example {example}") from None
            return Value(float(converted), self.unit, dimensional=bool(si), text=given, molar=bool(molar))
        wanted = " or ".join(si or "no unit" for si in legal)
        advice = f"for example {example}" if any(legal) else "give a plain number"
        raise ValueError(f"'{unit}' is the wrong unit: {wanted} is needed here{', ' if any(legal) else ': '}{advice}")


def _float(number: float) -> float:
    """TOML's whole numbers have no largest one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _may_be_unit(text: str) -> bool:
    return len(text) <= _LONGEST and _PRODUCT.fullmatch(text) is not None


def is_quantity(text: str) -> bool:
    """Whether the text is a number followed by a unit, so not an expression."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or not _may_be_unit(match[2]):
        return False
    try:
        _registry().parse_units(match[2])
    except Exception:  # any failure to parse means that it is not a unit
        return False
    return True


def is_number_with_name(text: str) -> bool:
    """Whether the text is a number followed by one word, which is meant to be a unit."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    return match is not None and match[2].isalpha()


def is_number(text: str) -> bool:
    """Whether the text is a plain number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Scales:
    """The solver's base units in SI: one solver unit of length is `length` metres, and so on.

    The energy unit makes RT/V_m one, so that mixing energies are their textbook dimensionless selves.
    """

    length: float = 1.0  # m
    time: float = 1.0  # s
    mass: float = 1.0  # kg
    amount: float = 1.0  # mol
    temperature: float = 1.0  # K
    current: float = 1.0  # A
    concentration: float = 1.0  # mol/m^3, or 1 of fractions

    @classmethod
    def of(cls, length: float, time: float, energy_density: float, amount: float, **others: float) -> Scales:
        """From the scales that physics names: m, s, J/m^3, mol; `others` are temperature, current and concentration."""
        return cls(length=length, time=time, mass=energy_density * length * time**2, amount=amount, **others)

    def factor(self, unit: str) -> float:
        """How much one solver unit is in the SI unit `unit`."""
        base = (self.length, self.time, self.mass, self.amount, self.temperature, self.current, self.concentration)
        return math.prod(scale**power for scale, power in zip(base, _powers(unit), strict=True))


@cache
def _powers(unit: str) -> tuple[float, ...]:
    dimensions = _registry().parse_units(unit or "dimensionless").dimensionality
    return tuple(float(dimensions.get(name, 0)) for name in _BASE_DIMENSIONS)


@runtime_checkable
class HasQuantities(Protocol):
    """Something that may hold a quantity and knows how to convert itself."""

    @property
    def value(self) -> Any: ...

    def in_solver_units(self, scales: Scales) -> Any: ...


T = TypeVar("T")


def in_solver_units(data: T, scales: Scales) -> T:
    """The same record (or container of records) with every quantity as a plain float in solver units."""
    if isinstance(data, Value):
        return float(data) / scales.factor(data.unit) if data.dimensional else float(data)  # type: ignore[return-value]
    if isinstance(data, HasQuantities):
        return data.in_solver_units(scales)
    if isinstance(data, Record):
        changed = {name: in_solver_units(value, scales) for name, value in data}
        return data.model_copy(update=changed)  # type: ignore[return-value]
    if isinstance(data, dict):
        return {key: in_solver_units(value, scales) for key, value in data.items()}  # type: ignore[return-value]
    if isinstance(data, (tuple, list)):
        return type(data)(in_solver_units(value, scales) for value in data)  # type: ignore[return-value]
    return data


def quantities(data: Any, path: str = "") -> Iterator[tuple[str, Value]]:
    """Every quantity in a record with its path, depth first."""
    if isinstance(data, Value):
        yield path, data
    elif isinstance(data, HasQuantities):
        yield from quantities(data.value, path)
    elif isinstance(data, Record):
        for name, value in data:
            yield from quantities(value, f"{path}.{name}" if path else name)
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from quantities(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, (tuple, list)):
        for index, value in enumerate(data):
            yield from quantities(value, f"{path}[{index}]")


def units_of(data: Any) -> Iterator[str]:
    """Those of all quantities in a record, of expressions too."""
    if isinstance(data, Record):
        data = dict(data)
    if isinstance(data, Mapping):
        data = tuple(data.values())
    if isinstance(data, tuple):
        for item in data:
            yield from units_of(item)
    elif hasattr(data, "unit"):
        yield data.unit


def require_one_system(data: Any) -> bool:
    """Whether the problem has units; InputError if some quantities have units and others are plain numbers."""
    found = [(path, value) for path, value in quantities(data) if value.unit != "rad"]  # an angle has its unit in both
    with_units = [(path, value) for path, value in found if value.dimensional]
    plain = [(path, value) for path, value in found if value.plain and si_unit(value.unit, molar=False)]  # fractions have none
    if with_units and plain:
        (first, a), (second, b) = with_units[0], plain[0]
        raise InputError(
            f"units and plain numbers are mixed: {first} = '{a.text}' has a unit, {second} = {b.text} has none; "
            f"give all quantities a unit ({second} in {si_unit(b.unit, any(value.molar for _, value in with_units))}, for example) or none"
        )
    return bool(with_units)
