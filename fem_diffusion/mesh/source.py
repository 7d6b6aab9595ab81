"""The [mesh] table of a problem."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..errors import did_you_mean
from ..record import Record
from ..units import Quantity
from .grading import graded

AXES = ("x", "y", "z")
SIDES = (("left", "right"), ("bottom", "top"), ("back", "front"))
MOST_CELLS = 10_000_000  # in one direction
_DIMENSION = {"interval": 1, "rectangle": 2, "box": 3}


class Mesh(Record):
    """The domain: a file, or a shape with its size and numbers of cells. One number for `size` or `cells` holds for all directions."""

    label: ClassVar[str] = "[mesh]"

    file: str | None = Field(None, description="a mesh (.msh, .vtu, .xdmf, ...) or a gmsh geometry (.geo), relative to the problem")
    unit: str | None = Field(None, description="the unit of the file's coordinates, 'mm' for example; without it metres")
    parameters: dict[str, float] = Field({}, description="numbers for the DefineConstant parameters of a .geo file")

    shape: Literal["interval", "rectangle", "box"] | None = None
    size: tuple[Annotated[float, Quantity("m", positive=True)], ...] = ()
    cells: tuple[Annotated[int, Field(gt=0, le=MOST_CELLS)], ...] = ()
    origin: tuple[Annotated[float, Quantity("m")], ...] = Field((), description="the corner with the smallest coordinates; default 0")
    cell_type: Literal["simplex", "tensor"] = Field("simplex", description="tensor: quadrilaterals or hexahedra instead of simplices")

    finest: dict[str, Annotated[float, Quantity("m", positive=True)]] = Field(
        {}, description="sides of a shape with the size of the first cell there, { left = '0.1 nm' }; cells grow geometrically from there"
    )

    axisymmetric: bool = Field(False, description="a mesh of dimension 2 is the half-plane of a solid of revolution: x = r >= 0, y = z")
    periodic: tuple[Literal["x", "y", "z"], ...] = Field((), description="directions in which opposite sides are one")

    @model_validator(mode="before")
    @classmethod
    def _scalars_to_tuples(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        repeat = _DIMENSION.get(table["shape"], 1) if isinstance(table.get("shape"), str) else 1
        counts = {"size": repeat, "cells": repeat, "origin": 1, "periodic": 1}
        single = {key: (table[key],) * n for key, n in counts.items() if isinstance(table.get(key), (int, float, str))}
        return table | single

    @model_validator(mode="after")
    def _file_or_shape(self) -> Mesh:
        if (self.file is None) == (self.shape is None):
            given = "neither is given" if self.file is None else f"file = '{self.file}' and shape = '{self.shape}' are given"
            raise ValueError(f"needs either 'file' or 'shape', but {given}; shapes: {', '.join(_DIMENSION)}")
        alien = ("size", "cells", "origin", "cell_type", "finest") if self.shape is None else ("unit", "parameters")
        for key in alien:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' goes with {'shape' if self.shape is None else 'file'} only: remove it")
        if len(set(self.periodic)) < len(self.periodic):
            raise ValueError(f"periodic = {list(self.periodic)} names a direction twice")
        if self.axisymmetric and "x" in self.periodic:
            raise ValueError(
                "periodic = 'x': in an axisymmetric mesh x is the distance from the axis; only y (the axis' direction) can be periodic"
            )
        return self

    @model_validator(mode="after")
    def _shape_is_complete(self) -> Mesh:
        if self.shape is None:
            return self
        dimension = _DIMENSION[self.shape]
        directions = f"{dimension} ({', '.join(AXES[:dimension])})"
        for key in ("size", "cells", "origin"):
            given = getattr(self, key)
            if len(given) != dimension and (given or key != "origin"):
                raise ValueError(f"shape = '{self.shape}' needs {directions} numbers in '{key}', not {len(given)}")
        for axis in self.periodic:
            if axis not in AXES[:dimension]:
                raise ValueError(f"periodic = '{axis}': shape = '{self.shape}' has {directions} directions only")
            if self.cells[AXES.index(axis)] < 3:
                raise ValueError(f"periodic = '{axis}' needs at least 3 cells in {axis}, not {self.cells[AXES.index(axis)]}")
        return self

    @model_validator(mode="after")
    def _grows(self) -> Mesh:
        if self.shape is None:
            return self
        sides = SIDES[: _DIMENSION[self.shape]]
        for name in self.finest:
            if name not in (legal := [side for pair in sides for side in pair]):
                raise ValueError(f"finest: shape = '{self.shape}' has no side '{name}'{did_you_mean(name, legal)}")
        for axis, pair in enumerate(sides):
            ends = {name: self.finest[name] for name in pair if name in self.finest}
            if ends and AXES[axis] in self.periodic:
                raise ValueError(
                    f"finest: the sides {', '.join(pair)} are one, since the mesh is periodic in {AXES[axis]}: remove {next(iter(ends))}"
                )
            if ends:
                try:
                    graded(self.size[axis], self.cells[axis], *(ends.get(name) for name in pair))
                except ValueError as error:
                    raise ValueError(f"finest: {' and '.join(ends)}: {error}") from None
        return self

    @model_validator(mode="after")
    def _file_keys(self) -> Mesh:
        if self.unit is not None:
            metres(self.unit)
        if self.parameters and not str(self.file).endswith(".geo"):
            raise ValueError(f"'parameters' are for a .geo file, which gmsh meshes, not for '{self.file}': remove them")
        return self


def metres(unit: str) -> float:
    return float(Quantity("m", positive=True).parse(f"1 {unit}"))
