"""A problem as validated data: what is solved, on what, from where, until when. The only file that knows TOML."""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import tomli_w
from pydantic import Field as Default
from pydantic import model_validator

from . import amounts
from . import boundary as boundaries
from .boundary import Boundary
from .by_region import ByRegion
from .charges import check_charges, check_no_vacuum
from .constants import FARADAY_CONSTANT, GAS_CONSTANT
from .diffusivity import Arrhenius
from .errors import InputError, did_you_mean
from .expression import Expression
from .field import Field, FieldOf
from .free_energy import Electrostatic, ExternalPotential, LatticeGas, Term
from .mesh import Mesh
from .mobility import Mobility
from .plug_in import entries, kind_of, plug_in, script
from .reaction import Reaction
from .record import Record, keys
from .state import Composition
from .tables import Output, Species, Time
from .units import HasQuantities, Quantity, Scales, Value, quantities, require_one_system, si_unit, units_of

_MOST_PARTS = 50
_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]+\s*\.\s*){{{_MOST_PARTS}}}""")


class Problem(Record):
    """A free energy and a mobility for some species on a mesh, with conditions at its boundaries.

    The same as a TOML file, to be built in a script: Problem(mesh=Mesh(...), species=[...], free_energy=[...], mobility=..., time=Time(...)).
    """

    label = "the problem"

    title: str = ""
    temperature: Annotated[Field, FieldOf("K", positive=True)] | None = None
    molar_volume: Annotated[float, Quantity("m^3/mol", positive=True)] | None = None
    seed: int = 0
    strict: bool = Default(default=False, description="whether a step that breaks a law of the certificate ends the run")
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
    dielectrics: tuple[str, ...] = Default(default=(), description="regions that no species enters: only the Poisson equation holds there")
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
        if _LONG_KEY.search(text):  # for which tomllib takes the cube of its length
            raise InputError(f"{path} is not a problem: a key in it has more than {_MOST_PARTS} parts")
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        except RecursionError:
            raise InputError(f"{path} is not a problem: its tables or lists lie too deep within each other") from None
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
                plug_in(item, Term, "[[free_energy]]", directory) for item in entries(table["free_energy"], "[[free_energy]]")
            )
        if "mobility" in table:
            table["mobility"] = plug_in(table["mobility"], Mobility, "[mobility]", directory)
        if isinstance(table.get("boundary"), Mapping):
            table["boundary"] = {name: boundaries.read(name, value) for name, value in table["boundary"].items()}
        return table

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_names()
        composition = self.composition()
        parts: tuple[Term | Mobility | Reaction, ...] = (*self.free_energy, self.transport, *self.reaction)
        for part in parts:
            part.check_species(composition)
        amounts.check_amounts(self)
        self._check_boundaries()
        check_charges(self)
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
        size = dict(zip(self.names, self.sizes or (1.0,) * len(self.names), strict=True))
        room = 1 / float(amounts.molar_volume(self) or 1.0) if self.molar else 1.0

        def require_room(what: str, name: str, value: Any) -> None:
            if not 0 <= size[name] * value <= room:
                legal = "fractions are between 0 and 1" if not self.molar else f"there is room for {room / size[name]:g} mol/m^3"
                if size[name] != 1.0 and not self.molar:
                    legal += f", and {name} takes {size[name]:g} sites"
                raise InputError(f"[boundary.{boundary}] {what} = {value:g}: {legal}")

        given = {name: field.value for name, field in conditions.concentration.items() if not isinstance(field.value, Expression)}
        for name, value in given.items():
            require_room(f"concentration of {name}", name, value)
        for name, exchange in conditions.exchange.items():
            reference = getattr(exchange, "reference", None)
            if reference is not None and not isinstance(reference.value, Expression):
                require_room(f"exchange of {name}: reference", name, reference.value)
        for name, kinetics in conditions.butler_volmer.items():
            require_room(f"butler_volmer of {name}: reference", name, kinetics.reference)
        total = float(sum(size[name] * value for name, value in given.items())) / room
        if total > 1 + 1e-12:
            what = f"they take up {total:g} of the volume" if self.molar or self.sizes else f"the sum is {total:g}"
            raise InputError(f"[boundary.{boundary}] concentrations: {what}, and must be at most 1")

    def _check_temperature(self) -> None:
        if self.temperature is not None and "noise" in self.temperature.depends_on:
            raise InputError(f"temperature = '{self.temperature.text}': noise is for initial values only: remove it here")
        fields = [type(f).__name__ for f in self.free_energy if isinstance(f, (ExternalPotential, Electrostatic))]
        if self.temperature is not None and self.temperature.depends_on - {"t"} and fields:
            # J = -L (grad(mu/RT) + grad V/RT) derives from no free energy; with V inside the first gradient its zero would matter
            raise InputError(
                f"temperature = '{self.temperature.text}': the work of an external or electric potential is not part of mu/RT where T varies in "
                f"space: give a temperature that depends on t alone, or remove the {fields[0]}"
            )
        for reaction in self.reaction if self.dimensional and self.temperature is None else ():
            if "T" in reaction.rate.expression(self.composition()).depends_on:
                raise InputError(
                    f"{reaction.label}: rate = '{reaction.rate.value}' depends on T: give temperature at the top of the problem"
                )

    def _check_times(self) -> None:
        late = [t for t in self.output.times if t > self.time.end] if isinstance(self.output.times, tuple) else []
        if late:
            raise InputError(
                f"[output] times: {_shown(late[0])} is after the end of the run, [time] end = {_shown(self.time.end)}: leave it out, or give how "
                "many (--set output.times=20)"
            )

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
                if term.positive(self.composition())
                or hasattr(term, "interaction")
                or isinstance(term, Electrostatic)
                or "J/mol" in units_of(term)
            ]
            needs += [self.mobility.label] if any(q.unit == "m^2/s" for _, q in quantities(self.transport)) else []
            if needs:
                known = {"temperature": self.temperature is not None, "molar_volume": amounts.molar_volume(self) is not None}
                missing = " and ".join(name for name, is_known in known.items() if not is_known)
                other = "" if known["molar_volume"] or not self.charged else "; or give concentrations in mol/l"
                raise InputError(f"{needs[0]} is in units of RT/V_m: give {missing} at the top of the problem{other}")

    def _check_no_units(self) -> None:
        """What has a meaning among units only."""
        check_no_vacuum(self)
        for term in self.free_energy:
            if isinstance(term, LatticeGas) and term.site_concentration is not None:
                raise InputError(
                    f"{term.label}: site_concentration = {_shown(term.site_concentration)}: without units concentrations are fractions of the sites: "
                    "remove it, or give all quantities a unit"
                )
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
        return Composition(self.names, (0.0,) * len(self.names), self.balance, sizes=self.sizes, charges=self.charges)

    @property
    def sizes(self) -> tuple[float, ...]:
        """v_i, empty where all are one."""
        sizes = tuple(s.size for s in self.species if not s.balance)
        return sizes if any(size != 1.0 for size in sizes) else ()

    @property
    def charges(self) -> tuple[float, ...]:
        """z_i, empty where all are zero."""
        charges = tuple(s.charge for s in self.species if not s.balance)
        return charges if any(charges) else ()

    @property
    def charged(self) -> bool:
        """Whether there is an electric potential."""
        return any(isinstance(term, Electrostatic) for term in self.free_energy)

    @property
    def dimensional(self) -> bool:
        return any(value.dimensional for _, value in quantities(dict(self)) if value.unit != "rad")

    @property
    def molar(self) -> bool:
        """Whether concentrations are amounts per volume, mol/m^3, and no fractions."""
        return amounts.are_molar(self)

    @property
    def transport(self) -> Mobility:
        """The mobility with the diffusivities that stand at the species."""
        given = {s.name: s.diffusivity for s in self.species if s.diffusivity is not None}
        return self.mobility.with_diffusivities(given, self.composition())

    @property
    def thermal(self) -> bool:
        """Whether RT/V_m is known."""
        return self.temperature is not None and amounts.molar_volume(self) is not None

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
            return Scales(temperature=T or 1.0)
        transport = self.transport if T is None else self.transport.model_copy(update={n: _isothermal(v, T) for n, v in self.transport})
        given = list(quantities({"free_energy": self.free_energy, "mobility": transport}))

        def largest(unit: str) -> float | None:
            return max((float(value) for _, value in given if value.unit == unit and value > 0), default=None)

        V_m = amounts.molar_volume(self)
        energy_density = GAS_CONSTANT * T / V_m if T and V_m else largest("J/m^3") or 1.0
        kappa, diffusivity, mobility = largest("J/m"), largest("m^2/s"), largest("m^5/(J*s)")
        length = math.sqrt(kappa / energy_density) if kappa else extent
        if diffusivity is None and mobility is not None:
            diffusivity = mobility * energy_density
        time = length**2 / diffusivity if diffusivity else float(self.time.end)
        amount = length**3 / V_m if V_m else 1.0
        # of the potential RT/F: then ions of charge z have the energy z phi
        current = energy_density * length**3 / time / (GAS_CONSTANT * T / FARADAY_CONSTANT) if T else 1.0
        concentration = 1 / V_m if V_m and self.molar else 1.0
        return Scales.of(length, time, energy_density, amount, temperature=T or 1.0, current=current, concentration=concentration)

    @property
    def with_absolute_permittivities(self) -> Self:
        """The problem with each permittivity as such, where it was given relative to that of vacuum."""
        free_energy = tuple(term.absolute if isinstance(term, Electrostatic) else term for term in self.free_energy)
        boundary = {
            name: given if given.stern is None else given.model_copy(update={"stern": given.stern.absolute})
            for name, given in self.boundary.items()
        }
        return self.model_copy(update={"free_energy": free_energy, "boundary": boundary})

    @property
    def own_modules(self) -> dict[str, Path]:
        """The files of a user's energies and mobility, which belong to the problem, by the names under which `resolved` finds them."""
        modules = {type(plug_in).__module__ for plug_in in (*self.free_energy, self.mobility)}
        files = {name: getattr(sys.modules[name], "__file__", None) for name in sorted(modules) if not name.startswith(f"{__package__}.")}
        return {f"{script()}.py" if name == "__main__" else Path(file).name: Path(file) for name, file in files.items() if file is not None}

    def unit_of(self, unit: str) -> str:
        """The unit in which results are given that have this one; "" for numbers."""
        return si_unit(unit, self.molar) if self.dimensional else ""

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
    return value.map(lambda one: _isothermal(one, T)) if isinstance(value, ByRegion) else value


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
        kind = {"kind": kind_of(data)} if isinstance(data, (Term, Mobility)) else {}
        given = {key: getattr(data, name) for key, name in keys(type(data)).items()}
        return kind | {key: _plain(value) for key, value in given.items() if value is not None and value != {} and value != ()}
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        return [_plain(item) for item in data]
    return str(data) if isinstance(data, Path) else data


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
    except (tomllib.TOMLDecodeError, RecursionError):
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
