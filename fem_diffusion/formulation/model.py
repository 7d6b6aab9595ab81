"""A model, and its free energy as a functional whose variations are derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import ufl
from dolfinx import fem

from ..by_region import ByRegion
from ..diffusivity import Arrhenius
from ..errors import InputError
from ..expression import Expression
from ..field import Field
from ..free_energy import Electrostatic, Term
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
    sizes, charges: v_i and z_i; empty where all are one, or zero
    """

    names: tuple[str, ...]
    free_energy: tuple[Term, ...]
    mobility: Mobility
    balance: str | None = None
    surface_energy: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    source: Mapping[str, Callable[[Composition], Expr]] = field(default_factory=dict)
    temperature: Field | None = None
    sizes: tuple[float, ...] = ()
    charges: tuple[float, ...] = ()

    def composition(self, values: Sequence[Expr], x: Expr = None, t: Expr = 0.0) -> Composition:
        return Composition(self.names, tuple(values), self.balance, x, t, self.sizes, self.charges)

    def rest(self, c: np.ndarray) -> np.ndarray:
        """c_0 = 1 - sum_i v_i c_i of concentrations (..., n)"""
        left: np.ndarray = 1 - (c @ np.array(self.sizes) if self.sizes else c.sum(axis=-1))
        return left

    @property
    def charged(self) -> bool:
        """Whether there is an electric potential, which dF/dphi = 0 determines."""
        return any(isinstance(term, Electrostatic) for term in self.free_energy)

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


def with_constants(record: RecordT, geometry: Geometry, where: str = "") -> RecordT:
    """The same record with every number as a Constant, so that compiled code serves all values of a parameter, and what has a value for each
    region constant in each cell.

    InputError, which begins with `where`, for a region that the mesh has not, or that has no value.
    """
    if isinstance(record, float):
        return fem.Constant(geometry.mesh, float(record))
    if isinstance(record, ByRegion):
        return _on_mesh(record, geometry, where)
    if isinstance(record, Record):
        path = f"{where}." if where else f"{record.label}: "
        changed = {name: with_constants(value, geometry, path + name) for name, value in record}
        return record.model_copy(update=changed)  # type: ignore[return-value]
    if isinstance(record, Field) and not isinstance(record.value, Expression):
        return replace(record, value=fem.Constant(geometry.mesh, float(record.ufl((), 0.0))))  # type: ignore[return-value]
    if isinstance(record, dict):
        return {key: with_constants(value, geometry, f"{where}.{key}") for key, value in record.items()}  # type: ignore[return-value]
    if isinstance(record, tuple):
        return tuple(with_constants(value, geometry, where) for value in record)  # type: ignore[return-value]
    return record


def _on_mesh(given: ByRegion, geometry: Geometry, where: str) -> Any:
    """A DG0 function, Arrhenius' law with such parameters, or a sum of fields that are zero outside their regions."""
    needed = {"everywhere": tuple(geometry.regions), "matter": geometry.matter, "anywhere": ()}[given.extent]
    geometry.require_regions(tuple(given.value), where, needed)
    if any(isinstance(value, Field) for value in given.value.values()):
        return _PiecewiseField(tuple((geometry.piecewise({name: 1.0}), field) for name, field in given.value.items()))
    if any(isinstance(value, Arrhenius) for value in given.value.values()):
        prefactors = {name: float(getattr(value, "prefactor", value)) for name, value in given.value.items()}
        energies = {name: float(getattr(value, "activation_energy", 0.0)) for name, value in given.value.items()}
        law = {"prefactor": geometry.piecewise(prefactors), "activation_energy": geometry.piecewise(energies)}
        return Arrhenius.model_construct(**law)
    return geometry.piecewise(given.value)


@dataclass(frozen=True)
class _PiecewiseField:
    """sum_k 1_k f_k(x, t) with the indicators 1_k of regions."""

    parts: tuple[tuple[fem.Function, Field], ...]

    def ufl(self, x: Expr, t: Expr) -> Expr:
        return sum(indicator * field.ufl(x, t) for indicator, field in self.parts)


class Functional:
    """F[c, phi] = sum int f_k dx + sum int g_k ds in units of RT, its value and its variations at any state, on a space for the unknowns u.

    composition, phi: u -> Composition and electric potential (None without charges)
    """

    def __init__(
        self,
        model: Model,
        geometry: Geometry,
        space: Any,
        composition: Callable[[Expr], Composition],
        phi: Callable[[Expr], Expr],
        ratio: Expr,
    ) -> None:
        mesh = geometry.mesh
        self._composition, self._phi = composition, phi
        self._at = fem.Function(space)  # stands for the state in the variation; replaced by any expression
        n = len(model.names)
        q = parts(ufl.TestFunction(space))
        self._direction = ufl.as_vector([*q[:n], *[ufl.as_ufl(0.0)] * (len(q) - n)]) if len(q) > 1 else q[0]
        lumped = geometry.dx(VERTEX_RULE)
        degree = {"quadrature_degree": gradient_degree(mesh)}
        exact, everywhere = geometry.dx(degree), geometry.everywhere(degree)

        def prepared(term: Term) -> Term:
            constant = with_constants(term, geometry)
            return constant if model.temperature is None else constant.at_temperature(ratio)

        c = model.composition([0.0] * n)
        self.terms = [prepared(term) for term in model.free_energy]
        self._measured: list[tuple[Term, Any]] = [
            (prepared_term, exact if has_gradient(term, c) else lumped)
            for term, prepared_term in zip(model.free_energy, self.terms, strict=True)
        ]
        for boundary, surface_terms in model.surface_energy.items():
            self._measured += [(prepared(term), geometry.on(boundary, {"quadrature_degree": 4})) for term in surface_terms]
        self._fields = [(term, everywhere) for term in self.terms if isinstance(term, Electrostatic)]
        self._in_dielectrics = geometry.in_dielectrics(VERTEX_RULE)

    @property
    def gauss_points(self) -> frozenset[int]:
        return frozenset(term.gauss_points for term, _ in self._measured)

    @property
    def is_empty(self) -> bool:
        return not self._measured

    def value(self, c: Composition, phi: Expr) -> Expr:
        """F as a UFL form."""
        local = sum(term.density(c, phi) * measure for term, measure in self._measured)
        if self._in_dielectrics is not None:
            nothing = c.with_values([0.0] * len(c))
            local += sum(term.density(nothing, phi) * self._in_dielectrics for term, _ in self._fields)
        return sum((term.field_density(phi) * measure for term, measure in self._fields), start=local)

    def poisson(self, c: Composition, phi: Expr, v: Expr) -> Expr:
        """-<dF/dphi, v> at a state: (eps grad phi, grad v) - (rho, v)_h - <surface charges, v>."""
        mesh = self._at.function_space.mesh
        potential, values = fem.Function(blocked(mesh, 1)), [fem.Constant(mesh, 0.0) for _ in c]
        variation = ufl.derivative(self.value(c.with_values(values), potential), potential, v)
        return -ufl.replace(variation, {potential: phi} | dict(zip(values, c, strict=True)))

    def entropy(self, c: Composition) -> dict[str, Expr]:
        """The coefficients a_k of sum_k a_k x_k ln x_k, of all terms together."""
        total: dict[str, Expr] = {}
        for term in self.terms:
            for name, a in term.entropy(c).items():
                total[name] = total[name] + a if name in total else a
        return total

    def excess_potential(self, c: Composition, phi: Expr) -> list[Expr] | None:
        """d f_ex/dc_i of all that is not sum_k a_k x_k ln x_k, without gradient terms; None for an ideal mixture."""
        variables = [ufl.variable(ci) for ci in c]
        f = sum(term.excess(c.with_values(variables), phi) for term in self.terms)
        if isinstance(f, (int, float)):
            return None
        return [ufl.diff(f, variable) for variable in variables]

    def __call__(self, u: Expr, part: str = "whole", gauss_points: int | None = None) -> Expr:
        """<F'(u), q>, of the whole energy or its "convex" or "concave" part, of all terms or those that ask for so many Gauss points."""
        c, phi = self._composition(self._at), self._phi(self._at)
        form = 0
        for term, measure in self._measured:
            if gauss_points in (None, term.gauss_points):
                form += energy_part(term, c, phi, part) * measure
        return ufl.replace(ufl.derivative(form, self._at, self._direction), {self._at: u})


def energy_part(term: Term, c: Composition, phi: Expr, part: str) -> Expr:
    if part == "whole":
        return term.density(c, phi)
    convex = term.convex_part(c, phi)
    if convex is None:
        raise InputError(
            f"[time] scheme = 'convex-split' needs the convex part of every term, and {term.label} has none: "
            "give it a method convex_part, or take scheme = 'avf' or 'backward-euler'"
        )
    return convex if part == "convex" else term.density(c, phi) - convex


def gradient_degree(mesh: Any) -> int:
    """Quadrature degree that is exact for |grad c|^2 of P1 functions: constant on straight simplices only."""
    simplex = mesh.topology.cell_name() in ("interval", "triangle", "tetrahedron")
    straight = mesh.ufl_domain().ufl_coordinate_element().embedded_superdegree == 1
    return 0 if simplex and straight else 4
