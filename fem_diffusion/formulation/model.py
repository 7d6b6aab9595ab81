"""A model, and its free energy as a functional whose variations are derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import ufl
from dolfinx import fem

from ..errors import InputError
from ..field import Field
from ..free_energy import Term
from ..mesh import Geometry
from ..mobility import Mobility
from ..pointwise import has_gradient
from ..record import Record
from ..state import REST, Composition, Expr

RecordT = TypeVar("RecordT", bound=Any)

VERTEX_RULE = {"quadrature_rule": "vertex", "quadrature_degree": 1}


@dataclass(frozen=True)
class Model:
    """A free energy and a mobility, for named species; all numbers in solver units.

    surface_energy: terms integrated over a named boundary (wetting)
    source:         R_i(c) by species, a function of the Composition (with its place and time) to UFL
    temperature:    T/T_ref where it varies, else None
    """

    names: tuple[str, ...]
    free_energy: tuple[Term, ...]
    mobility: Mobility
    balance: str | None = None
    surface_energy: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    source: Mapping[str, Callable[[Composition], Expr]] = field(default_factory=dict)
    temperature: Field | None = None

    def composition(self, values: Sequence[Expr], x: Expr = None, t: Expr = 0.0) -> Composition:
        return Composition(self.names, tuple(values), self.balance, x, t)

    @property
    def positive(self) -> frozenset[str]:
        """Components that must stay positive, because some term takes their logarithm."""
        c = self.composition([0.0] * len(self.names))
        return frozenset(name for term in self.free_energy for name in term.positive(c))

    @property
    def closed(self) -> bool:
        """Whether the entropy of mixing includes what closes the sum to one."""
        return (self.balance or REST) in self.positive

    def ratio(self, x: Expr, t: Expr) -> Expr:
        """T/T_ref as UFL"""
        return 1.0 if self.temperature is None else self.temperature.ufl(x, t)

    def ratio_at(self, x: np.ndarray, t: float) -> np.ndarray:
        """T/T_ref at places x (3, m): (m,)"""
        return np.ones(x.shape[1]) if self.temperature is None else self.temperature.at(x, t)


def blocked(mesh: Any, size: int) -> Any:
    """The P1 space of so many fields."""
    return fem.functionspace(mesh, ("Lagrange", 1, (size,)) if size > 1 else ("Lagrange", 1))


def parts(u: Expr) -> tuple[Expr, ...]:
    """The fields of a function on such a space; DOLFINx has no blocks of one."""
    return tuple(ufl.split(u)) if u.ufl_shape else (u,)


def with_constants(record: RecordT, mesh: Any) -> RecordT:
    """The same record with every number as a Constant, so that compiled code serves all values of a parameter."""
    if isinstance(record, float):
        return fem.Constant(mesh, float(record))
    if isinstance(record, Record):
        return record.model_copy(update={name: with_constants(value, mesh) for name, value in record})  # type: ignore[return-value]
    if isinstance(record, dict):
        return {key: with_constants(value, mesh) for key, value in record.items()}  # type: ignore[return-value]
    if isinstance(record, tuple):
        return tuple(with_constants(value, mesh) for value in record)  # type: ignore[return-value]
    return record


class Functional:
    """F[c] = sum int f_k dx + sum int g_k ds in units of RT, its value and its variation at any state, on a space for the unknowns u.

    composition: u -> Composition
    """

    def __init__(self, model: Model, geometry: Geometry, space: Any, composition: Callable[[Expr], Composition], ratio: Expr) -> None:
        mesh = geometry.mesh
        self._n, self._composition = len(model.names), composition
        self._at = fem.Function(space)  # stands for the state in the variation; replaced by any expression
        q = parts(ufl.TestFunction(space))
        self._direction = ufl.as_vector([*q[: self._n], *[ufl.as_ufl(0.0)] * (len(q) - self._n)])
        lumped = ufl.Measure("dx", domain=mesh, metadata=VERTEX_RULE)
        exact = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": gradient_degree(mesh)})
        walls = ufl.Measure("ds", domain=mesh, subdomain_data=geometry.facet_tags, metadata={"quadrature_degree": 4})

        def prepared(term: Term) -> Term:
            constant = with_constants(term, mesh)
            return constant if model.temperature is None else constant.at_temperature(ratio)

        c = model.composition([0.0] * self._n)
        self.terms = [prepared(term) for term in model.free_energy]
        self._measured: list[tuple[Term, Any]] = [
            (prepared_term, exact if has_gradient(term, c) else lumped)
            for term, prepared_term in zip(model.free_energy, self.terms, strict=True)
        ]
        for boundary, surface_terms in model.surface_energy.items():
            self._measured += [(prepared(term), walls(geometry.boundaries[boundary])) for term in surface_terms]

    @property
    def gauss_points(self) -> frozenset[int]:
        return frozenset(term.gauss_points for term, _ in self._measured)

    def value(self, c: Composition) -> Expr:
        """F as a UFL form."""
        return sum(term.density(c, None) * measure for term, measure in self._measured)

    def entropy(self, c: Composition) -> dict[str, Expr]:
        """The coefficients a_k of sum_k a_k x_k ln x_k, of all terms together."""
        total: dict[str, Expr] = {}
        for term in self.terms:
            for name, a in term.entropy(c).items():
                total[name] = total[name] + a if name in total else a
        return total

    def excess_potential(self, c: Composition) -> list[Expr] | None:
        """d f_ex/dc_i of all that is not sum_k a_k x_k ln x_k, without gradient terms; None for an ideal mixture."""
        variables = [ufl.variable(ci) for ci in c]
        f = sum(term.excess(c.with_values(variables), None) for term in self.terms)
        if isinstance(f, (int, float)):
            return None
        return [ufl.diff(f, variable) for variable in variables]

    def __call__(self, u: Expr, part: str = "whole", gauss_points: int | None = None) -> Expr:
        """<F'(u), q>, of the whole energy or its "convex" or "concave" part, of all terms or those that ask for so many Gauss points."""
        c = self._composition(self._at)
        form = 0
        for term, measure in self._measured:
            if gauss_points in (None, term.gauss_points):
                form += _part(term, c, part) * measure
        return ufl.replace(ufl.derivative(form, self._at, self._direction), {self._at: u})


def _part(term: Term, c: Composition, part: str) -> Expr:
    if part == "whole":
        return term.density(c, None)
    convex = term.convex_part(c, None)
    if convex is None:
        raise InputError(
            f"[time] scheme = 'convex-split' needs the convex part of every term, and {term.label} has none: "
            "give it a method convex_part, or take scheme = 'avf' or 'backward-euler'"
        )
    return convex if part == "convex" else term.density(c, None) - convex


def gradient_degree(mesh: Any) -> int:
    """Quadrature degree that is exact for |grad c|^2 of P1 functions: constant on straight simplices only."""
    simplex = mesh.topology.cell_name() in ("interval", "triangle", "tetrahedron")
    straight = mesh.ufl_domain().ufl_coordinate_element().embedded_superdegree == 1
    return 0 if simplex and straight else 4
