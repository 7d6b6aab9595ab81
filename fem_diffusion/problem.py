"""A problem as validated data: what is solved, on what, from where, until when. The only file that knows TOML."""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
import tomllib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import tomli_w
from pydantic import Field as Default
from pydantic import field_validator, model_validator

from . import boundary as boundaries
from .boundary import Boundary
from .constants import GAS_CONSTANT
from .diffusivity import Arrhenius, Diffusivity
from .errors import InputError, did_you_mean
from .expression import Expression
from .field import Field, FieldOf
from .free_energy import Term
from .mesh import Mesh
from .mobility import Mobility
from .reaction import Reaction
from .record import Record, keys
from .state import REST, Composition
from .units import HasQuantities, Quantity, Scales, Value, quantities, require_one_system


class Species(Record):
    """One [[species]]: a concentration that is solved for, or the balance that closes the sum to one.

    initial: a number, an expression, or a table of region names
    source:  R_i in d c_i/dt + div J_i = R_i, an expression of x, y, z, t, 1/s
    diffusivity: m^2/s, a number or { prefactor, activation_energy }, for mobilities that are made of one for each species
    """

    label = "[[species]]"

    name: str = Default(min_length=1)
    initial: Annotated[Field, FieldOf("")] | dict[str, Annotated[Field, FieldOf("")]] | None = None
    balance: bool = False
    source: Annotated[Field, FieldOf("1/s")] | None = None
    diffusivity: Diffusivity | None = None

    @field_validator("initial", mode="plain")
    @classmethod
    def _initial(cls, given: Any) -> Any:
        kind = FieldOf("")
        if given is None:
            return None
        return {str(region): kind.parse(value) for region, value in given.items()} if isinstance(given, Mapping) else kind.parse(given)

    @model_validator(mode="after")
    def _starts(self) -> Self:
        if self.balance and self.initial is not None:
            raise ValueError(f"'{self.name}' is the balance, one minus the others: it takes no initial")
        if self.balance and self.source is not None:
            raise ValueError(f"'{self.name}' is the balance, one minus the others: its source follows from theirs")
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
    """The [output] table. times: how many, evenly spaced from the start to the end, or a list of times."""

    label = "[output]"

    times: int | tuple[Annotated[float, Quantity("s", minimum=0)], ...] = 20
    probe: tuple[Probe, ...] = Default(default=(), description="write [[output.probe]], with double brackets")
    average: tuple[Average, ...] = Default(default=(), description="write [[output.average]], with double brackets")
    marker: tuple[Marker, ...] = Default(default=(), description="write [[output.marker]], with double brackets")

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


class Problem(Record):
    """A free energy and a mobility for some species on a mesh, with conditions at its boundaries.

    The same as a TOML file, to be built in a script: Problem(mesh=Mesh(...), species=[...], free_energy=[...], mobility=..., time=Time(...)).
    """

    label = "the problem"

    title: str = ""
    temperature: Annotated[Field, FieldOf("K", positive=True)] | None = None
    molar_volume: Annotated[float, Quantity("m^3/mol", positive=True)] | None = None
    seed: int = 0
    mesh: Mesh = Default(description="a table [mesh] with a file, or a shape with its size and cells")
    species: tuple[Species, ...] = Default(
        min_length=1, description="write [[species]], with double brackets, for each; with name and initial"
    )
    free_energy: tuple[Term, ...] = Default(
        min_length=1, description="write [[free_energy]], with double brackets, for each term; with a kind"
    )
    mobility: Mobility = Default(description="a table [mobility] with a kind")
    boundary: dict[str, Boundary] = {}
    reaction: tuple[Reaction, ...] = Default(default=(), description="write [[reaction]], with double brackets")
    formulation: Literal["fractions", "entropy", "potential"] | None = None
    time: Time = Default(description="a table [time] with an end")
    output: Output = Output()
    directory: Path = Default(default=Path("."), exclude=True, description="where the mesh file and a user's own modules are looked for")

    @classmethod
    def read(cls, path: Path, changes: Mapping[str, str] | None = None) -> Problem:
        """From a TOML file; `changes` maps dotted keys to TOML values that replace the file's. InputError for whatever is wrong."""
        try:
            text = path.read_text()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not text in UTF-8: {error}") from None
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        for key, value in (changes or {}).items():
            _set(table, key, value)
        _reject_unknown_tables(table)
        return cls(**table, directory=path.resolve().parent)

    @model_validator(mode="before")
    @classmethod
    def _plug_ins(cls, table: Any) -> Any:
        """Tables with a `kind` become the objects they name."""
        table = dict(table)
        directory = Path(table.get("directory", "."))
        if "free_energy" in table:
            table["free_energy"] = tuple(
                _plug_in(item, Term, "[[free_energy]]", directory) for item in _list(table["free_energy"], "[[free_energy]]")
            )
        if "mobility" in table:
            table["mobility"] = _plug_in(table["mobility"], Mobility, "[mobility]", directory)
        if isinstance(table.get("boundary"), Mapping):
            table["boundary"] = {name: boundaries.read(name, value) for name, value in table["boundary"].items()}
        return table

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_names()
        composition = self.composition()
        plug_ins: tuple[Term | Mobility | Reaction, ...] = (*self.free_energy, self.transport, *self.reaction)
        for plug_in in plug_ins:
            plug_in.check_species(composition)
        self._check_boundaries()
        self._check_temperature()
        self._check_units()
        self._check_times()
        return self

    def _check_names(self) -> None:
        names = [s.name for s in self.species]
        if len(set(names)) < len(names):
            raise InputError(f"[[species]]: two have the same name: {', '.join(names)}")
        if sum(s.balance for s in self.species) > 1:
            raise InputError("[[species]]: only one can be the balance")
        if not self.names:
            raise InputError("[[species]]: give at least one species that is not the balance")

    def _check_boundaries(self) -> None:
        for boundary, conditions in self.boundary.items():
            for name in conditions.species:
                if name == self.balance:
                    raise InputError(
                        f"[boundary.{boundary}]: '{name}' is the balance, one minus the others: give {', '.join(self.names)} instead"
                    )
                if name not in self.names:
                    raise InputError(f"[boundary.{boundary}]: there is no solved species '{name}'{did_you_mean(name, self.names)}")
            self._check_reservoir(boundary, conditions)
            if conditions.wetting is not None and len(self.names) != 1:
                raise InputError(f"[boundary.{boundary}] wetting is for a binary; this problem solves for {', '.join(self.names)}")

    def _check_reservoir(self, boundary: str, conditions: Boundary) -> None:
        """Numbers only; an expression has its values later."""
        composition = self.composition()
        if not any(term.of_fractions(composition) for term in self.free_energy):
            return
        given = {name: field.value for name, field in conditions.concentration.items() if not isinstance(field.value, Expression)}
        for name, value in given.items():
            if not 0 <= value <= 1:
                raise InputError(f"[boundary.{boundary}] concentration of {name} = {value:g}: fractions are between 0 and 1")
        for name, exchange in conditions.exchange.items():
            reference = getattr(exchange, "reference", None)
            if reference is not None and not isinstance(reference.value, Expression) and not 0 <= reference.value <= 1:
                raise InputError(
                    f"[boundary.{boundary}] exchange of {name}: reference = {reference.value:g}: fractions are between 0 and 1"
                )
        total = float(sum(given.values()))
        if total > 1 + 1e-12:
            raise InputError(f"[boundary.{boundary}] concentrations: the sum is {total:g}, and must be at most 1")

    def _check_temperature(self) -> None:
        if self.temperature is not None and "noise" in self.temperature.depends_on:
            raise InputError(f"temperature = '{self.temperature.text}': noise is for initial values only: remove it here")
        for reaction in self.reaction if self.dimensional and self.temperature is None else ():
            if "T" in reaction.rate.expression(self.composition()).depends_on:
                raise InputError(
                    f"{reaction.label}: rate = '{reaction.rate.value}' depends on T: give temperature at the top of the problem"
                )

    def _check_times(self) -> None:
        late = [t for t in self.output.times if t > self.time.end] if isinstance(self.output.times, tuple) else []
        if late:
            raise InputError(f"[output] times: {_shown(late[0])} is after the end of the run, [time] end = {_shown(self.time.end)}")

    def _check_units(self) -> None:
        require_one_system(
            {name: value for name, value in self if name != "boundary"} | {f"boundary.{k}": v for k, v in self.boundary.items()}
        )
        if not self.dimensional:
            self._check_no_units()
        elif not self.thermal:
            needs = [
                term.label
                for term in self.free_energy
                if term.positive(self.composition()) or hasattr(term, "interaction") or "J/mol" in _units(term)
            ]
            needs += [self.mobility.label] if any(q.unit == "m^2/s" for _, q in quantities(self.transport)) else []
            if needs:
                missing = " and ".join(n for n in ("temperature", "molar_volume") if getattr(self, n) is None)
                raise InputError(f"{needs[0]} is in units of RT/V_m: give {missing} at the top of the problem")

    def _check_no_units(self) -> None:
        """What has a meaning among units only."""
        if self.mesh.unit is not None:
            raise InputError(
                f"units and plain numbers are mixed: [mesh] unit = '{self.mesh.unit}' is a unit, time.end = {_shown(self.time.end)} has none; "
                "give all quantities a unit, or remove unit"
            )
        varies = self.temperature is not None and isinstance(self.temperature.value, Expression)
        for name, value in (("temperature", None if varies else self.temperature), ("molar_volume", self.molar_volume)):
            if value is not None:
                raise InputError(
                    f"{name} = {_shown(value)}: without units energies are in units of RT/V_m, and chi = Omega/RT already contains "
                    "it: remove it, or give all quantities a unit"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The species that are solved for."""
        return tuple(s.name for s in self.species if not s.balance)

    @property
    def balance(self) -> str | None:
        return next((s.name for s in self.species if s.balance), None)

    def composition(self) -> Composition:
        return Composition(self.names, (0.0,) * len(self.names), self.balance)

    @property
    def dimensional(self) -> bool:
        return any(value.dimensional for _, value in quantities(dict(self)) if value.unit != "rad")

    @property
    def transport(self) -> Mobility:
        """The mobility with the diffusivities that stand at the species."""
        given = {s.name: s.diffusivity for s in self.species if s.diffusivity is not None}
        return self.mobility.with_diffusivities(given, self.composition())

    @property
    def thermal(self) -> bool:
        """Whether RT/V_m is known."""
        return self.temperature is not None and self.molar_volume is not None

    def reference_temperature(self, centre: Sequence[float]) -> float | None:
        """The temperature at the start and at `centre` (3,), in kelvin; InputError where it is none."""
        if self.temperature is None:
            return None
        T = float(self.temperature.at(np.reshape(centre, (3, 1)), 0.0)[0])
        if not (math.isfinite(T) and T > 0):
            raise InputError(
                f"temperature = '{self.temperature.text}' is {T:g} in the middle of the domain at the start: it must be positive"
            )
        return T

    def scales(self, extent: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Scales:
        """Units in which this problem's numbers are of order one; `extent` is the domain's largest, in metres, `centre` (3,) its middle.

        Temperature T_ref in the middle at the start, energy density RT_ref/V_m (or the largest given), length sqrt(kappa / energy density)
        (or the extent), time length^2/diffusivity.
        """
        T = self.reference_temperature(centre)
        if not self.dimensional:
            return Scales()
        transport = self.transport if T is None else self.transport.model_copy(update={n: _isothermal(v, T) for n, v in self.transport})
        given = list(quantities({"free_energy": self.free_energy, "mobility": transport}))

        def largest(unit: str) -> float | None:
            return max((float(value) for _, value in given if value.unit == unit and value > 0), default=None)

        energy_density = GAS_CONSTANT * T / self.molar_volume if T and self.molar_volume else largest("J/m^3") or 1.0
        kappa, diffusivity, mobility = largest("J/m"), largest("m^2/s"), largest("m^5/(J*s)")
        length = math.sqrt(kappa / energy_density) if kappa else extent
        if diffusivity is None and mobility is not None:
            diffusivity = mobility * energy_density
        time = length**2 / diffusivity if diffusivity else float(self.time.end)
        amount = length**3 / self.molar_volume if self.molar_volume else 1.0
        return Scales.of(length, time, energy_density, amount, temperature=T or 1.0)

    @property
    def own_modules(self) -> dict[str, Path]:
        """The files of a user's energies and mobility, which belong to the problem, by the names under which `resolved` finds them."""
        modules = {type(plug_in).__module__ for plug_in in (*self.free_energy, self.mobility)}
        files = {name: getattr(sys.modules[name], "__file__", None) for name in sorted(modules) if not name.startswith(f"{__package__}.")}
        return {
            f"{_script()}.py" if name == "__main__" else Path(file).name: Path(file) for name, file in files.items() if file is not None
        }

    def resolved(self) -> str:
        """This problem as TOML, with all defaults written out."""
        table = _plain(self)
        table.pop("directory")
        if self.time.step is not None:
            del table["time"]["tolerance"]  # of no effect, and not legal beside a step
        if self.mesh.file is not None:
            table["mesh"]["file"] = str((self.directory / self.mesh.file).resolve())
        return tomli_w.dumps(table)


def _isothermal(value: Any, T: float) -> Any:
    """Arrhenius' laws as the diffusivities at T kelvin."""
    if isinstance(value, Arrhenius):
        return Value(float(value.prefactor * math.exp(-value.activation_energy / (GAS_CONSTANT * T))), "m^2/s", dimensional=True)
    if isinstance(value, Mapping):
        return {key: _isothermal(item, T) for key, item in value.items()}
    return value


def _units(data: Any) -> Iterator[str]:
    """Those of all quantities in a record, of expressions too."""
    if isinstance(data, Record):
        data = dict(data)
    if isinstance(data, Mapping):
        data = tuple(data.values())
    if isinstance(data, tuple):
        for item in data:
            yield from _units(item)
    elif hasattr(data, "unit"):
        yield data.unit


def _shown(value: Any) -> str:
    """A quantity as the user wrote it."""
    return str(value.text) if hasattr(value, "text") else f"{value:g}"


def _plain(data: Any) -> Any:
    """Records as tables, quantities and expressions as the user wrote them; what is not given is left out."""
    if isinstance(data, Value):
        return data.text if data.dimensional else float(data)
    if isinstance(data, Expression):
        return data.text
    if isinstance(data, HasQuantities):
        return _plain(data.value)
    if isinstance(data, Record):
        kind = {"kind": _kind(data)} if isinstance(data, (Term, Mobility)) else {}
        given = {key: getattr(data, name) for key, name in keys(type(data)).items()}
        return kind | {key: _plain(value) for key, value in given.items() if value is not None and value != {} and value != ()}
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        return [_plain(item) for item in data]
    return str(data) if isinstance(data, Path) else data


def _kind(plug_in: Record) -> str:
    cls = type(plug_in)
    if cls.__module__.startswith(f"{__package__}."):
        return cls.__name__
    return f"{_script() if cls.__module__ == '__main__' else cls.__module__}.{cls.__name__}"


def _script() -> str:
    """The name under which the running script can be imported."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return re.sub(r"\W|^(?=\d)", "_", Path(file).stem) if file is not None else "__main__"


def _plug_in(item: Any, base: type[Record], table: str, directory: Path) -> Record:
    """The object that a table with `kind` describes; an object passes."""
    if isinstance(item, base):
        return item
    if not isinstance(item, Mapping):
        raise InputError(f"{table} must be a table with a kind, not {item!r}")
    parameters = dict(item)
    kind = parameters.pop("kind", None)
    builtin = {
        cls.__name__: cls
        for cls in _subclasses(base)
        if cls.__module__.startswith(f"{__package__}.") and cls.__name__ != "WallEnergy" and not inspect.isabstract(cls)
    }
    if kind is None:
        raise InputError(f"{table} needs a kind; legal: {', '.join(sorted(builtin))}, or a class of your own as my_module.MyClass")
    if not isinstance(kind, str):
        raise InputError(f"{table} kind = {kind!r} must be text")
    own = "." in kind and all(part.isidentifier() for part in kind.split("."))
    cls = _user_class(kind, base, table, directory) if own else builtin.get(kind)
    if cls is None:
        raise InputError(f"{table} has no kind '{kind}'{did_you_mean(kind, builtin)} (a class of your own: my_module.MyClass)")
    return cls(**parameters)


def _subclasses(base: type[Record]) -> set[type[Record]]:
    return {cls for child in base.__subclasses__() for cls in {child, *_subclasses(child)}}


def _user_class(kind: str, base: type[Record], table: str, directory: Path) -> type[Record]:
    module, _, name = kind.rpartition(".")
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a user's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0]):
            reason = f"there is no module '{module}'; it is looked for beside the problem file, in {directory}"
        else:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            at = f" at {frame.filename}, line {frame.lineno}" if not isinstance(error, SyntaxError) else ""
            reason = f"the module cannot be imported: {type(error).__name__}: {error}{at}"
        raise InputError(f"{table} kind = '{kind}': {reason}") from None
    cls = getattr(imported, name, None)
    if cls is None:
        classes = [
            key for key, value in vars(imported).items() if isinstance(value, type) and issubclass(value, base) and value is not base
        ]
        raise InputError(f"{table} kind = '{kind}': module {module} has no class '{name}'{did_you_mean(name, classes)}")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise InputError(f"{table} kind = '{kind}': {name} must be a subclass of fem_diffusion.{base.__name__}")
    if inspect.isabstract(cls):
        raise InputError(f"{table} kind = '{kind}': {name} must define {', '.join(sorted(cls.__abstractmethods__))}")
    return cls


def _list(given: Any, table: str) -> list[Any]:
    if isinstance(given, (list, tuple)):
        return list(given)
    raise InputError(f"{table} must be written with double brackets: each is one entry of a list")


def _reject_unknown_tables(table: Mapping[str, Any]) -> None:
    legal = set(Problem.model_fields) - {"directory"}
    for key in table:
        if key not in legal:
            raise InputError(f"the problem has no table or key '{key}'{did_you_mean(key, legal)}")


def _set(table: dict[str, Any], key: str, value: str) -> None:
    """Replace table[a][b] for the key "a.b" by a TOML value; text without quotes is taken as text."""
    *path, last = key.split(".")
    entry: Any = table
    for part in path:
        if isinstance(entry, dict):
            entry = entry.setdefault(part, {})
        else:
            entry = entry[_position(key, part, entry)]
        if not isinstance(entry, (dict, list)):
            raise InputError(f"--set {key}: '{part}' is not a table")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value
    entry[_position(key, last, entry) if isinstance(entry, list) else last] = parsed


def _position(key: str, part: str, entries: list[Any]) -> int:
    """Entries of a list go by number, or by their kind or name where they have one."""
    named = [str(item.get("name", item.get("kind", ""))) if isinstance(item, dict) else "" for item in entries]
    if part in named:
        return named.index(part)
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    legal = ", ".join(f"{i} ({name})" if name else str(i) for i, name in enumerate(named))
    raise InputError(f"--set {key}: there is no entry '{part}'; legal: {legal}")
