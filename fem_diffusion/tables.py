"""The plain tables of a problem: species, time, output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field as Default
from pydantic import field_validator, model_validator

from .diffusivity import Diffusivity
from .expression import Expression
from .field import Field, FieldOf
from .record import Record
from .state import REST
from .units import Quantity


class Species(Record):
    """One [[species]]: a concentration that is solved for, or the balance that closes the sum to one.

    initial: a fraction or an amount per volume: a number, an expression, or a table of region names
    source:  R_i in d c_i/dt + div J_i = R_i, an expression of x, y, z, t, 1/s (or mol/(m^3 s))
    diffusivity: m^2/s, a number or { prefactor, activation_energy }, for mobilities that are made of one for each species
    charge:  z_i, in units of the elementary charge
    size:    v_i, how many sites of a LatticeGas a particle takes
    """

    label = "[[species]]"

    name: str = Default(min_length=1)
    initial: Annotated[Field, FieldOf("concentration")] | dict[str, Annotated[Field, FieldOf("concentration")]] | None = None
    balance: bool = False
    source: Annotated[Field, FieldOf("concentration/s")] | None = None
    diffusivity: Diffusivity | None = None
    charge: float = 0.0
    size: float = Default(default=1.0, gt=0)

    @field_validator("initial", mode="plain")
    @classmethod
    def _initial(cls, given: Any) -> Any:
        kind = FieldOf("concentration")
        if given is None:
            return None
        return {str(region): kind.parse(value) for region, value in given.items()} if isinstance(given, Mapping) else kind.parse(given)

    @model_validator(mode="after")
    def _starts(self) -> Self:
        if self.balance and self.initial is not None:
            raise ValueError(f"'{self.name}' is the balance, one minus the others: it takes no initial")
        if self.balance and self.source is not None:
            raise ValueError(f"'{self.name}' is the balance, one minus the others: its source follows from theirs")
        if self.balance and (self.charge or self.size != 1.0):
            raise ValueError(f"'{self.name}' is the balance, what the others leave: it takes no charge and no size")
        if self.name == REST:
            raise ValueError(f"'{REST}' is how the nameless remainder is called: choose another name")
        if self.source is not None and "noise" in self.source.depends_on:
            raise ValueError(f"source = '{self.source.text}': noise is for initial values only: remove it here")
        if not self.balance and self.initial is None:
            raise ValueError(f"'{self.name}' needs initial: a number, an expression over x, y, z and noise, or a table of regions")
        return self


class Time(Record):
    """The [time] table: error-controlled steps with `tolerance`, or fixed ones with `step`.

    tolerance:    local error per step, relative to the spread of each concentration
    initial_step: where the first step is not to be estimated from the initial rate of change
    steady:       run until nothing changes any more, at most until `end`
    """

    label = "[time]"

    end: Annotated[float, Quantity("s", positive=True)]
    tolerance: float = Default(default=1e-3, gt=0, lt=1)
    step: Annotated[float, Quantity("s", positive=True)] | None = None
    initial_step: Annotated[float, Quantity("s", positive=True)] | None = None
    max_step: Annotated[float, Quantity("s", positive=True)] | None = None
    scheme: Literal["backward-euler", "convex-split", "avf", "bdf2"] = "bdf2"
    steady: bool = False

    @model_validator(mode="after")
    def _one_control(self) -> Self:
        if self.step is not None and {"tolerance", "initial_step", "max_step"} & self.model_fields_set:
            raise ValueError("give either step (fixed) or tolerance with initial_step and max_step (error control), not both")
        return self


class Probe(Record):
    """A point whose values become columns <field>_<name>."""

    label = "[[output.probe]]"

    name: str = Default(min_length=1)
    at: tuple[Annotated[float, Quantity("m")], ...] = Default(description="its coordinates, at = [x, y]")


class Marker(Record):
    """An inert particle that moves with the lattice (Kirkendall): its displacement becomes columns marker_<name>_x, _y, _z."""

    label = "[[output.marker]]"

    name: str = Default(min_length=1)
    at: tuple[Annotated[float, Quantity("m")], ...] = Default(description="where it starts, at = [x, y]")


class Average(Record):
    """A part of the domain whose mean becomes columns mean_<species>_<name>: a region, or where an expression holds."""

    label = "[[output.average]]"

    name: str = Default(min_length=1)
    where: Expression | None = None
    region: str | None = None

    @field_validator("where", mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        return Expression(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.where is None) == (self.region is None):
            raise ValueError("give either where = an expression or region = a name")
        if self.where is not None and not self.where.condition:
            raise ValueError(f"where = '{self.where.text}' must be a condition, as in x < 0.5")
        if self.where is not None and "noise" in self.where.depends_on:
            raise ValueError(f"where = '{self.where.text}': noise is for initial values only: remove it here")
        return self


class Output(Record):
    """The [output] table.

    times:       how many, evenly spaced from the start to the end, or a list of times
    checkpoint:  so often the run is saved, in time on the clock: "10 min", or seconds
    """

    label = "[output]"

    times: int | tuple[Annotated[float, Quantity("s", minimum=0)], ...] = 20
    checkpoint: float = 600.0
    probe: tuple[Probe, ...] = Default(default=(), description="write [[output.probe]], with double brackets")
    average: tuple[Average, ...] = Default(default=(), description="write [[output.average]], with double brackets")
    marker: tuple[Marker, ...] = Default(default=(), description="write [[output.marker]], with double brackets")

    @field_validator("checkpoint", mode="plain")
    @classmethod
    def _checkpoint(cls, given: Any) -> float:
        return float(Quantity("s", minimum=0).parse(given))  # not a time of the problem, which may have no units

    @field_validator("times", mode="plain")
    @classmethod
    def _times(cls, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool):
            if given < 1:
                raise ValueError("must be at least 1")
            return given
        if isinstance(given, (list, tuple)):
            return tuple(sorted(Quantity("s", minimum=0).parse(t) for t in given))
        raise ValueError('give how many (50) or a list (["1 s", "10 s"])')

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for table, items in (("probe", self.probe), ("average", self.average), ("marker", self.marker)):
            names = [item.name for item in items]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"two [[output.{table}]] are called '{twice}': their columns need different names")
        return self
