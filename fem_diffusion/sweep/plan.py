"""What is solved: the points of the product of some ranges, their problems, their folders, and what may be solved side by side."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from ..problem import Problem
from .ranges import Range, entry, is_number, number, unit_of, with_unit

Index = tuple[int, ...]
T = TypeVar("T")


class Plan:
    """The points, by the positions of their values in the ranges; of several ranges the first is the outermost loop.

    Raises InputError where one of the problems is none.
    """

    def __init__(self, file: Path, ranges: Sequence[Range], changes: Mapping[str, str]) -> None:
        twice = next((one.key for one, other in itertools.combinations(ranges, 2) if one.key == other.key), None)
        if twice is not None:
            raise InputError(f"--over {twice} is given twice: give each parameter once, or a list a,b,c")
        self.problem = Problem.read(file, changes)
        self.ranges = [with_unit(one, self.problem, file, changes) for one in ranges]
        self.keys = [one.key for one in self.ranges]
        self.indices: list[Index] = list(itertools.product(*(range(len(one.values)) for one in self.ranges)))
        self.problems = {index: self._read(file, changes, index) for index in self.indices}

    def _read(self, file: Path, changes: Mapping[str, str], index: Index) -> Problem:
        given = {one.key: one.text(k) for one, k in zip(self.ranges, index, strict=True)}
        try:
            return Problem.read(file, {**changes, **given})
        except InputError as error:
            point = ", ".join(f"{key} = {value}" for key, value in given.items())
            raise InputError(f"--over, at {point}: {str(error).replace('--set', '--over')}") from None

    @property
    def first(self) -> Problem:
        return self.problems[self.indices[0]]

    def values(self, index: Index) -> dict[str, str]:
        """The swept values of a point as the table has them: in SI units, if the problem has units."""
        problem, found = self.problems[index], {}
        for one, k in zip(self.ranges, index, strict=True):
            there = entry(problem, one.key)
            found[one.key] = f"{number(there) if is_number(there) else one.values[k]:.15g}"
        return found

    def folder(self, index: Index) -> str:
        """The name of a point's folder: the swept values, by as much of their keys as tells them apart."""
        return ",".join(f"{name}={value}" for name, value in zip(self._short_keys, self.values(index).values(), strict=True))

    @cached_property
    def _short_keys(self) -> list[str]:
        parts = [[re.sub(r"[^\w+-]", "_", part) for part in key.split(".")] for key in self.keys]
        for count in range(1, max(map(len, parts)) + 1):
            short = [".".join(some[-count:]) for some in parts]
            if len(set(short)) == len(short):
                return short
        return [f"{i}.{'.'.join(some)}" for i, some in enumerate(parts)]

    @property
    def in_table_units(self) -> list[Range]:
        """The ranges with the units that the table has."""
        return [replace(one, unit=unit_of(entry(self.first, one.key), self.first) if one.unit else "") for one in self.ranges]

    def parts(self, count: int, continued: bool) -> list[list[Index]]:
        """At most so many parts, about equal, which may be solved side by side: points, or if `continued` lines of points.

        A line is the points of the innermost range, each of which starts from its neighbour. Where there are too few lines they are cut.
        """
        lines = [list(line) for _, line in itertools.groupby(self.indices, key=lambda index: index[:-1] if continued else index)]
        if len(lines) < count:
            lines = [piece for line in lines for piece in _pieces(line, math.ceil(count / len(lines)))]
        return [[index for line in group for index in line] for group in _pieces(lines, count)]


def _pieces(items: list[T], count: int) -> list[list[T]]:
    """At most `count` pieces of neighbours, about equal."""
    count = min(count, len(items))
    ends = [len(items) * k // count for k in range(count + 1)]
    return [items[a:b] for a, b in itertools.pairwise(ends)]
