"""The values that a parameter is given: "first:last:count" or a list, with the unit of the parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..plug_in import kind_of
from ..problem import Problem
from ..record import Record, keys
from ..units import Quantity, Value, si_unit

EXAMPLE = "--over boundary.left.potential=-0.25:0.25:21"

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*")


def numbers(text: str, option: str, logarithmic: bool = False) -> tuple[tuple[float, ...], str]:
    """The values of "a:b:n" (n of them, evenly spaced, or evenly in the logarithm) or of "a,b,c", and the unit they have, "" without.

    A unit may stand at each number, or at one for all. Raises InputError, which names the option.
    """

    def illegal(why: str) -> InputError:
        legal = "first:last:count or a list a,b,c of numbers, with or without a unit"
        return InputError(f"{option}: {why}; legal: {legal}, for example {'1e-3:1e3:31' if logarithmic else '-0.25:0.25:21 or 0,0.1,0.3'}")

    ranged = ":" in text
    parts = text.split(":" if ranged else ",")
    if ranged and len(parts) != 3:
        raise illegal(f"'{text}' has {len(parts)} parts")
    matches = [(part, _NUMBER_AND_UNIT.fullmatch(part)) for part in parts[: 2 if ranged else None]]
    for part, match in matches:
        if match is None:
            raise illegal(f"'{part}' is not a number" if part.strip() else "a number is missing")
    found = [match for _, match in matches if match is not None]
    units = sorted({match[2] for match in found if match[2]})
    if len(units) > 1:
        raise illegal(f"'{text}' has two units, {' and '.join(units)}: give one")
    values = tuple(float(match[1]) for match in found)
    if not all(map(math.isfinite, values)):
        raise illegal(f"'{text}' is not finite")
    if logarithmic and min(values) <= 0:
        raise illegal(f"{min(values):g} must be positive")
    if ranged:
        first, last = values
        if not parts[2].strip().isdigit() or int(parts[2]) < 2:
            raise illegal(f"count = '{parts[2]}' must be a whole number, at least 2")
        if first == last:
            raise illegal(f"first and last are both {first:g}")
        spaced = (np.geomspace if logarithmic else np.linspace)(first, last, int(parts[2]))
        values = tuple(float(f"{value:.15g}") for value in spaced)  # 0.025, not 0.024999999999999994
        if not logarithmic:
            values = tuple(0.0 if abs(value) < 1e-14 * max(abs(first), abs(last)) else value for value in values)
    if len(set(values)) < len(values):
        raise illegal(f"'{text}' has a value twice")
    return values, units[0] if units else ""


@dataclass(frozen=True)
class Range:
    """The values of one parameter: the key as for --set, and a unit, "" for plain numbers."""

    key: str
    values: tuple[float, ...]
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> Range:
        """From "key=first:last:count" or "key=a,b,c"."""
        key, equals, given = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--over {text}: write --over key=first:last:count or --over key=a,b,c, for example {EXAMPLE}")
        return cls(key.strip(), *numbers(given, f"--over {text}"))

    def text(self, k: int) -> str:
        """The k-th value as --set takes it."""
        return f"{self.values[k]:.15g} {self.unit}".strip()

    @property
    def option(self) -> str:
        """As `parse` takes it, to the last digit."""
        return f"{self.key}={','.join(f'{value!r} {self.unit}'.strip() for value in self.values)}"

    @property
    def label(self) -> str:
        return f"{self.key} ({self.unit})" if self.unit else self.key


def with_unit(given: Range, problem: Problem, file: Path, changes: Mapping[str, str]) -> Range:
    """Plain numbers get the SI unit of their quantity, in a problem with units.

    InputError where the key is none of a number, and where the problem gives the quantity in another unit, so that plain numbers may be meant
    in that one.
    """
    found = entry(problem, given.key)
    if isinstance(found, (str, bool, Record, Mapping)):
        shown = "a table" if isinstance(found, (Record, Mapping)) else f"'{found}'" if isinstance(found, str) else str(found).lower()
        raise InputError(
            f"--over {given.key}: that is {shown} in {file}, and not a number; legal: the key of a number, for example {EXAMPLE}"
        )
    if given.unit or not problem.dimensional:
        return given
    if found is None:  # not in the file: zero has no unit, and shows which one the key takes
        try:
            found = entry(Problem.read(file, {**changes, given.key: "0"}), given.key)
        except InputError:
            return given
    unit, value = unit_of(found, problem), getattr(found, "value", found)
    if isinstance(value, Value) and value.dimensional and not _in_si(value):
        values = [f"{number:.15g} {unit}" for number in (given.values[0], given.values[-1])]
        raise InputError(
            f"--over {given.key}: {given.values[0]:g} has no unit, and the problem has '{value.text}' there: give one, "
            f'as in --over "{given.key}={values[0]}:{values[1]}:{len(given.values)}"'
        )
    return replace(given, unit=unit)


def _in_si(value: Value) -> bool:
    """Whether a quantity was written in its SI unit."""
    match = _NUMBER_AND_UNIT.fullmatch(value.text)
    return match is None or Quantity(value.unit).parse(f"1 {match[2] or ''}") == 1.0


def entry(data: Any, key: str) -> Any:
    """What a problem has at a dotted key, None where it has nothing."""
    for part in key.split("."):
        if isinstance(data, Record):
            name = keys(type(data)).get(part)
            data = getattr(data, name) if name is not None else None
        elif isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, tuple):
            named = [getattr(item, "name", None) or (kind_of(item) if isinstance(item, Record) else "") for item in data]
            position = named.index(part) if part in named else int(part) if part.isdigit() else len(data)
            data = data[position] if position < len(data) else None
        else:
            return None
    return data[0] if isinstance(data, tuple) and len(set(map(str, data))) == 1 else data  # one number for all directions


def unit_of(found: Any, problem: Problem) -> str:
    """The SI unit of a quantity, "" of what has none."""
    return si_unit(str(getattr(found, "unit", "")), problem.molar)


def is_number(found: Any) -> bool:
    return isinstance(getattr(found, "value", found), (int, float))


def number(found: Any) -> float:
    return float(getattr(found, "value", found))
