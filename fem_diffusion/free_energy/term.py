"""What a term of the free energy is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, Self, get_args

import numpy as np
import ufl

from ..errors import InputError, did_you_mean
from ..record import Record
from ..state import Composition, Expr
from ..units import Quantity
from .coefficient import FunctionOfTemperature, OfTemperature


class Term(Record):
    """One term of F: mu_i = dF/dc_i follows from `density`.

    A subclass has its parameters as annotated fields and at least `density`, in UFL. It may live in a user's own module:
    in TOML, kind = "my_module.MyEnergy".
    """

    gauss_points: ClassVar[int] = 5
    """Points with which the averaged vector field integrates mu along a step: k points are exact for densities of degree 2k."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = f"[[free_energy]] {cls.__name__}"

    @abstractmethod
    def density(self, c: Composition, phi: Expr) -> Expr:
        """f(c, grad c), J/m^3 (J/m^2 for a wall). `phi` is the electric potential, None in an uncharged problem."""

    def field_density(self, phi: Expr) -> Expr:
        """A part that depends on grad phi alone. (The density is integrated at the vertices, this exactly.)"""
        return 0.0

    def entropy(self, c: Composition) -> Mapping[str, Expr]:
        """The coefficients a_k of the part sum_k a_k x_k ln x_k of the density, by component: the singular part, known in closed form."""
        return {}

    def excess(self, c: Composition, phi: Expr) -> Expr:
        """The density without sum_k a_k x_k ln x_k: smooth where a component vanishes."""
        return self.density(c, phi)

    def convex_part(self, c: Composition, phi: Expr) -> Expr | None:
        """A convex f_+ such that f - f_+ is concave (Eyre's splitting), or None where no splitting is known."""
        return None

    def positive(self, c: Composition) -> tuple[str, ...]:
        """The components whose logarithm the density takes, so that they must stay positive."""
        return tuple(self.entropy(c))

    def of_fractions(self, c: Composition) -> bool:
        """Whether the term has a meaning for fractions between 0 and 1 only, so that other initial data are an error."""
        return bool(self.positive(c))

    def check_species(self, c: Composition) -> None:
        """Raise InputError where the parameters do not fit the species."""

    def at_temperature(self, ratio: Expr) -> Self:
        """The term in units of RT/V_m at T = ratio times the reference temperature, in whose RT/V_m the parameters are given.

        Parameters whose unit is an energy are divided by `ratio`, a number or a UFL expression; all others stay.
        """
        changed = {
            name: divided(getattr(self, name), ratio) for name, info in type(self).model_fields.items() if _is_energy(info.annotation, info)
        }
        return self.model_copy(update=changed)


def x_ln_x(x: Expr) -> Expr:
    """x ln x, with 0 ln 0 = 0; nan below zero, where no mixture exists.

    The condition is inside the logarithm: outside, UFL would make the derivative at zero 0 instead of a large negative number.
    """
    return x * ufl.ln(ufl.conditional(ufl.eq(x, 0.0), np.finfo(float).tiny, x))


def ideal_mixing(a: Mapping[str, Expr], c: Composition) -> Expr:
    """sum_k a_k x_k ln x_k"""
    x = c.closed
    return sum(x_ln_x(x[k]) if isinstance(a_k, float) and a_k == 1.0 else a_k * x_ln_x(x[k]) for k, a_k in a.items())


def divided(value: Any, by: Expr) -> Any:
    """A parameter, or each number of a table or list of them, over `by`; a function of temperature is taken at `by` too."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: divided(item, by) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(divided(item, by) for item in value)
    return value.at_temperature(by) if isinstance(value, FunctionOfTemperature) else value / by


def split_pair(term: Record, key: str, components: Sequence[str]) -> tuple[str, str]:
    """The two components of "A-B", in either order; names may have hyphens themselves. InputError where it is none."""
    for k, l in combinations(components, 2):
        if key in (f"{k}-{l}", f"{l}-{k}"):
            return k, l
    legal = [f"{k}-{l}" for k, l in combinations(components, 2)]
    raise InputError(f"{term.label}: '{key}' is not a pair of species{did_you_mean(key, legal)}")


def by_pair(term: Record, table: Mapping[str, Any], components: Sequence[str]) -> dict[tuple[str, str], Any]:
    """The values of { "A-B" = value } by pair, in the key's order. InputError where a key is no pair, or a pair stands twice ("B-A")."""
    keys: dict[tuple[str, str], str] = {}
    for key in table:
        pair = split_pair(term, key, components)
        if pair in keys:
            raise InputError(f"{term.label}: '{keys[pair]}' and '{key}' are the same pair: give it once")
        keys[pair] = key
    return {(k, l) if key == f"{k}-{l}" else (l, k): table[key] for (k, l), key in keys.items()}


def require_every_pair(term: Record, parameter: str, pairs: Collection[tuple[str, str]], components: Sequence[str]) -> None:
    """InputError where the parameter's table has no entry for a pair of components."""
    missing = [f"{k}-{l}" for k, l in combinations(components, 2) if (k, l) not in pairs and (l, k) not in pairs]
    if missing:
        raise InputError(f"{term.label} {parameter} needs every pair of components, in either order; missing: {', '.join(missing)}")


def require_one_of(term: Record, *names: str) -> None:
    """ValueError unless exactly one of the parameters is given."""
    given = [name for name in names if getattr(term, name) not in (None, {})]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)} (given: {', '.join(given) or 'none'})")


def require_name(term: Record, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise InputError(f"{term.label}: there is no species '{name}'{did_you_mean(name, names)}")


_ENERGIES = frozenset({"J", "J/mol", "J/m^3", "J/m^2", "J/m"})


def _is_energy(*annotations: Any) -> bool:
    """Whether a field holds quantities of energy, by its annotation and, in pydantic's way, what stands beside it."""
    found = list(annotations)
    while found:
        annotation = found.pop()
        if isinstance(annotation, (Quantity, OfTemperature)):
            if annotation.unit in _ENERGIES:
                return True
            continue
        found += [*get_args(annotation), *getattr(annotation, "metadata", ())]
    return False
