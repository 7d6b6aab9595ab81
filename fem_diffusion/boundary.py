"""Conditions on a named boundary. Conditions on one boundary combine; a boundary that is not named has no flux."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field as Default
from pydantic import field_validator, model_validator

from .constants import VACUUM_PERMITTIVITY
from .errors import InputError, did_you_mean
from .field import Field, FieldOf
from .record import Record
from .units import Quantity, Value

BySpecies = dict[str, Annotated[Field, FieldOf("concentration")]]


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
    reference: Annotated[Field, FieldOf("concentration")]


class PotentialExchange(Record):
    """A membrane or film that is driven by the chemical potential: J.n = coefficient (mu - potential_reference)."""

    label = "[boundary] exchange"

    coefficient: Annotated[float, Quantity("concentration^2*m^4/(J*s)", minimum=0)]
    potential_reference: Annotated[Field, FieldOf("J/(m^3*concentration)")]


class Stern(Record):
    """A layer of solvent between an electrode and the ions, of capacitance permittivity/thickness: eps dphi/dn = C (potential - phi)."""

    label = "[boundary] stern"

    thickness: Annotated[float, Quantity("m", positive=True)]
    permittivity: Annotated[float, Quantity("F/m", positive=True)] | None = None
    relative_permittivity: Annotated[float, Quantity("", positive=True)] | None = None

    @model_validator(mode="after")
    def _one_permittivity(self) -> Self:
        if (self.permittivity is None) == (self.relative_permittivity is None):
            raise ValueError("give exactly one of permittivity and relative_permittivity")
        return self

    @property
    def absolute(self) -> Self:
        """The layer with `permittivity`, whichever was given."""
        if self.relative_permittivity is None:
            return self
        eps = Value(float(self.relative_permittivity) * VACUUM_PERMITTIVITY, "F/m", dimensional=True)
        return self.model_copy(update={"permittivity": eps, "relative_permittivity": None})


class ButlerVolmer(Record):
    """Electrode kinetics of one ion, which is deposited and dissolved with z electrons (z its charge), at the potential V of the electrode:

        J.n = i_0/(|z| F) e^{-(1 - alpha) z D} (e^A - 1),     D = phi - (V - equilibrium_potential),     A = (mu_i - mu_ref)/RT + z D

    with mu_i the chemical (not electrochemical) potential and mu_ref that at the concentrations `reference`. For c_i = reference these are the
    two exponentials i_0/(|z| F) (e^{alpha z D} - e^{-(1 - alpha) z D}); in general the ion's activity stands before the first, so that J.n has the
    sign of the affinity A and dissipates. With a Stern layer phi is the potential in the plane of reaction (Frumkin).
    (Bazant, Chu & Bayly, SIAM J. Appl. Math. 65 (2005) 1463; Bazant, Acc. Chem. Res. 46 (2013) 1144)

    exchange_current:      i_0, A/m^2
    reference:             the ion's concentration at which equilibrium_potential holds, in a solution with the others of the initial state's mean
    transfer_coefficient:  alpha
    """

    label = "[boundary] butler_volmer"

    exchange_current: Annotated[float, Quantity("A/m^2", positive=True)]
    reference: Annotated[float, Quantity("concentration", positive=True)]
    equilibrium_potential: Annotated[float, Quantity("V")] = 0.0
    transfer_coefficient: float = Default(default=0.5, ge=0, le=1)


class Boundary(Record):
    """Conditions on one boundary. Units are those of fractions; where concentrations are in mol/m^3, fluxes are in mol/(m^2 s) and mu in J/mol.

    concentration:      a reservoir: fixes c, and mu = df/dc at that c unless chemical_potential is given too
    chemical_potential: fixes mu, J/m^3
    flux:               outward J.n, m/s
    exchange:           { coefficient, reference } or { coefficient, potential_reference }
    wetting:            contact angle
    potential:          phi of an electrode or a reservoir, V (without units RT/F)
    surface_charge:     C/m^2, on the boundary or a surface inside the domain
    stern:              { thickness, permittivity | relative_permittivity }: `potential` is that of the electrode behind the layer
    butler_volmer:      { name = { exchange_current, reference, equilibrium_potential, transfer_coefficient } }
    """

    label = "[boundary]"

    concentration: BySpecies = {}
    chemical_potential: dict[str, Annotated[Field, FieldOf("J/(m^3*concentration)")]] = {}
    flux: dict[str, Annotated[Field, FieldOf("concentration*m/s")]] = {}
    exchange: dict[str, Exchange | PotentialExchange] = {}
    wetting: Wetting | None = None
    potential: Annotated[Field, FieldOf("V")] | None = None
    surface_charge: Annotated[Field, FieldOf("C/m^2")] | None = None
    stern: Stern | None = None
    butler_volmer: dict[str, ButlerVolmer] = {}

    @field_validator("exchange", mode="plain")
    @classmethod
    def _exchange(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("must be a table, as in { A = { coefficient = 1.0, reference = 0.2 } }")
        return {name: _exchange(name, table) for name, table in given.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        references = {name: _reference(exchange) for name, exchange in self.exchange.items()}
        electric = {"potential": self.potential, "surface_charge": self.surface_charge}
        given = {name: field for name, field in electric.items() if field is not None}
        for table in (self.concentration, self.chemical_potential, self.flux, references, given):
            for name, field in table.items():
                if "noise" in field.depends_on:
                    raise ValueError(f"{name} = '{field.text}': noise is for initial values only: remove it here")
        for kind, words in (("flux", "a flux"), ("exchange", "an exchange"), ("butler_volmer", "electrode kinetics")):
            for name in getattr(self, kind):
                if name in self.concentration or name in self.chemical_potential:
                    raise ValueError(f"'{name}' has both {words} and a fixed value: give one of them")
        if self.stern is not None and self.potential is None:
            raise ValueError("stern is a layer before an electrode: give the electrode's potential too, potential = ...")
        if self.butler_volmer and self.potential is None:
            raise ValueError("butler_volmer needs the potential of the electrode: give potential = ...")
        if self.surface_charge is not None and self.potential is not None:
            raise ValueError("potential and surface_charge: an electrode's charge follows from its potential; give one of them")
        return self

    @property
    def species(self) -> set[str]:
        return {*self.concentration, *self.chemical_potential, *self.flux, *self.exchange, *self.butler_volmer}

    @property
    def electric(self) -> bool:
        """Whether the condition is on the electric potential."""
        return self.potential is not None or self.surface_charge is not None

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
