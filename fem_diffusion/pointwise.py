"""Free energies and mobilities as functions of numbers: the UFL that the solver integrates, evaluated by numpy at many points at once.

An expression becomes a list of numpy calls once, one for each distinct subexpression, and is then run on arrays of any shape.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import basix.ufl
import numpy as np
import ufl
from numpy.typing import ArrayLike, NDArray
from ufl import classes
from ufl.algorithms import expand_indices
from ufl.algorithms.apply_algebra_lowering import apply_algebra_lowering
from ufl.algorithms.apply_derivatives import apply_derivatives
from ufl.corealg.traversal import traverse_unique_terminals, unique_post_traversal

from .free_energy import ExternalPotential, Term
from .mobility import Mobility
from .state import Composition, Expr

Array = NDArray[Any]

LINE = ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,)))
_FIELDS = ufl.FunctionSpace(LINE, basix.ufl.element("Lagrange", "interval", 1))

_NUMPY: dict[type, Callable[..., Any]] = {
    classes.Sum: np.add,
    classes.Product: np.multiply,
    classes.Division: np.divide,
    classes.Power: operator.pow,  # np.power has no shortcut for squares
    classes.Sqrt: np.sqrt,
    classes.Exp: np.exp,
    classes.Ln: np.log,
    classes.Sin: np.sin,
    classes.Cos: np.cos,
    classes.Tan: np.tan,
    classes.Asin: np.arcsin,
    classes.Acos: np.arccos,
    classes.Atan: np.arctan,
    classes.Atan2: np.arctan2,
    classes.Sinh: np.sinh,
    classes.Cosh: np.cosh,
    classes.Tanh: np.tanh,
    classes.Erf: np.vectorize(math.erf, otypes=[float]),
    classes.Abs: np.abs,
    classes.Real: np.real,
    classes.Conj: np.conj,
    classes.MinValue: np.minimum,
    classes.MaxValue: np.maximum,
    classes.Conditional: np.where,
    classes.EQ: np.equal,
    classes.NE: np.not_equal,
    classes.LT: np.less,
    classes.LE: np.less_equal,
    classes.GT: np.greater,
    classes.GE: np.greater_equal,
    classes.AndCondition: np.logical_and,
    classes.OrCondition: np.logical_or,
    classes.NotCondition: np.logical_not,
}


PIECE = 8192  # points at a time: what is computed on the way stays in the processor's cache


class PointwiseFunction:
    """Scalar UFL expressions as one numpy function of the terminals `arguments`.

    Called with one array (...) per argument it returns an array (number of expressions, ...); nan, without a warning, where an
    expression has no real value. TypeError names a node that has no value at a point (a gradient, another coefficient) or is unknown.
    """

    def __init__(self, expressions: Sequence[Expr], arguments: Sequence[Expr]) -> None:
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...]]] = []  # each fills the slot after those of arguments and earlier steps
        slots = {argument: k for k, argument in enumerate(arguments)}
        # together, so that what they share is walked once: the entries of a large matrix have whole eliminations in common
        lowered = expanded(ufl.as_vector([*expressions, 1.0])).ufl_operands[:-1]
        self._results = [self._compile(expand_indices(expression), slots, len(arguments)) for expression in lowered]

    def __call__(self, values: Sequence[ArrayLike]) -> Array:
        given = [np.asarray(value, dtype=float) for value in values]
        shape = np.broadcast_shapes(*(np.shape(value) for value in given))
        if len(shape) != 1 or shape[0] <= PIECE:
            return self._at(given, shape)
        results = np.empty((len(self._results), *shape))
        for start in range(0, shape[0], PIECE):
            part = slice(start, start + PIECE)
            pieces = [value[part] if value.ndim and len(value) > 1 else value for value in given]
            results[:, part] = self._at(pieces, results[0, part].shape)
        return results

    def _at(self, values: Sequence[Array], shape: tuple[int, ...]) -> Array:
        slots: list[Any] = list(values)
        with np.errstate(all="ignore"):
            for function, operands in self._steps:
                slots.append(function(*(slots[k] for k in operands)))
        return np.array([np.broadcast_to(slots[k], shape) for k in self._results], dtype=float)

    def _compile(self, expression: Expr, slots: dict[Expr, int], first: int) -> int:
        for node in unique_post_traversal(expression):
            if node in slots or isinstance(node, classes.Label):
                continue
            if isinstance(node, classes.Variable):
                slots[node] = slots[node.ufl_operands[0]]
                continue
            slots[node] = first + len(self._steps)
            self._steps.append((_numpy_function(node), tuple(slots[operand] for operand in node.ufl_operands)))
        return slots[expression]


def _numpy_function(node: Expr) -> Callable[..., Any]:
    if isinstance(node, classes.IntValue):
        value: Any = int(node)  # numpy raises a negative number to an integer only
    elif isinstance(node, (classes.RealValue, classes.Zero)):
        value = np.float64(float(node))
    elif type(node) in _NUMPY:
        return _NUMPY[type(node)]
    else:
        raise TypeError(f"{type(node).__name__} '{node}' cannot be evaluated at a point: only functions of the concentrations can")
    return lambda: value


class LocalDensity:
    """f(c, g) = sum of the terms' densities as a numpy function of the concentrations c_i, and of their gradients g_i to second order.

    terms:       of the free energy; those that depend on more than concentrations (electric potential, place) are left out
    composition: names of the species, and of the balance if it has one; its values are not used

    The functions take c of shape (n, ...) and T/T_ref, by which f is in units of RT/V_m; they evaluate at g = 0: a gradient term counts in
    `gradient_coefficients` alone.
    `positive` holds the components whose logarithm f takes.
    """

    def __init__(self, terms: Sequence[Term], composition: Composition) -> None:
        self.composition = composition
        fields = _fields(composition)
        T = ufl.Constant(LINE)
        densities = [(term, expanded(_density(term.at_temperature(T), fields))) for term in terms]
        # an external potential belongs to the place, also where it happens to be the same everywhere
        kept = [(term, f) for term, f in densities if not isinstance(term, ExternalPotential) and not _depends_on_more(f, fields, T)]
        self.terms = tuple(term for term, _ in kept)
        self.positive = frozenset(name for term in self.terms for name in term.positive(fields))

        self._arguments = [*(ufl.Constant(LINE) for _ in range(2 * len(fields))), T]
        variables = [ufl.variable(argument) for argument in self._arguments[:-1]]
        self._variables = {"c": variables[: len(fields)], "g": variables[len(fields) :]}
        numbers = dict(zip(fields, self._variables["c"], strict=True))
        numbers |= {ufl.grad(ci): ufl.as_vector([g]) for ci, g in zip(fields, self._variables["g"], strict=True)}
        self._density = ufl.replace(ufl.as_ufl(sum(density for _, density in kept)), numbers)
        self._functions: dict[str, PointwiseFunction] = {}

    def value(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """f, (...)"""
        return self._derivative("", c, ratio)

    def potential(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """df/dc_i, (n, ...)"""
        return self._derivative("c", c, ratio)

    def hessian(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """d2f/dc_i dc_j, (n, n, ...)"""
        return self._derivative("cc", c, ratio)

    def third(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """d3f/dc_i dc_j dc_k, (n, n, n, ...)"""
        return self._derivative("ccc", c, ratio)

    def gradient_coefficients(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """kappa_ij = d2f/dg_i dg_j, (n, n, ...)"""
        return self._derivative("gg", c, ratio)

    def _derivative(self, by: str, c: ArrayLike, ratio: ArrayLike) -> Array:
        """The derivative by the variables that the letters of `by` stand for, one index for each letter."""
        if by not in self._functions:
            expressions = [self._density]
            for letter in by:
                expressions = [expanded(ufl.diff(expression, v)) for expression in expressions for v in self._variables[letter]]
            self._functions[by] = PointwiseFunction(expressions, self._arguments)
        n = len(self._variables["c"])
        values = self._functions[by]([*np.asarray(c, dtype=float), *np.zeros(n), ratio])
        return values.reshape((n,) * len(by) + values.shape[1:])


class PlacedPotential:
    """The potentials that LocalDensity leaves out: of the terms that depend on the place, the time or the electric potential, and on no gradient.

    depends_on_time: whether one of them does
    """

    def __init__(self, terms: Sequence[Term], composition: Composition) -> None:
        fields, T = _fields(composition), ufl.Constant(LINE)
        c, x, t = [ufl.Constant(LINE) for _ in fields], [ufl.Constant(LINE) for _ in range(3)], ufl.Constant(LINE)
        phi = ufl.Constant(LINE)
        variables = [ufl.variable(ci) for ci in c]
        here = replace(composition, values=tuple(variables), x=ufl.as_vector(x), t=t)
        kept = LocalDensity(terms, composition).terms
        placed = [term for term in terms if term not in kept and not has_gradient(term, composition)]
        f = ufl.as_ufl(sum(term.at_temperature(T).density(here, phi) for term in placed))
        self.depends_on_time = t in set(traverse_unique_terminals(f))
        self._n = len(fields)
        self._function = (
            PointwiseFunction([expanded(ufl.diff(f, variable)) for variable in variables], [*c, *x, t, T, phi]) if placed else None
        )

    def potential(self, c: ArrayLike, x: ArrayLike, t: float, ratio: ArrayLike = 1.0, phi: ArrayLike = 0.0) -> Array:
        """df/dc_i, (n, m), of compositions (n, m) at places (3, m), T/T_ref and electric potentials."""
        c = np.asarray(c, dtype=float)
        return np.zeros_like(c) if self._function is None else self._function([*c, *np.asarray(x, dtype=float), t, ratio, phi])


def has_gradient(term: Term, composition: Composition) -> bool:
    """Whether the density depends on a gradient, so that it is not a function of what is at one point."""
    density = expanded(_density(term, _fields(composition)))
    return any(isinstance(node, classes.Grad) for node in unique_post_traversal(density))


def has_excess(term: Term, composition: Composition) -> bool:
    """Whether the density is more than the entropy of mixing sum_k a_k x_k ln x_k."""
    return not isinstance(term.excess(_fields(composition), ufl.Coefficient(_FIELDS)), (int, float))


class LocalMobility:
    """L(c) as a numpy function of the concentrations, at T/T_ref; the values of `composition` are not used."""

    def __init__(self, mobility: Mobility, composition: Composition) -> None:
        arguments = [ufl.Constant(LINE) for _ in composition.names]
        T = ufl.Constant(LINE)
        entries = [entry for row in mobility.at_temperature(T).matrix(composition.with_values(arguments)) for entry in row]
        self._function, self._n = PointwiseFunction(entries, [*arguments, T]), len(arguments)

    def matrix(self, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
        """L_ij, (n, n, ...) for c of shape (n, ...)."""
        values = self._function([*np.asarray(c, dtype=float), ratio])
        return values.reshape(self._n, self._n, *values.shape[1:])


def mobility_matrix(mobility: Mobility, composition: Composition, c: ArrayLike, ratio: ArrayLike = 1.0) -> Array:
    """L_ij(c), (n, n, ...) for c of shape (n, ...), at T/T_ref = `ratio`."""
    return LocalMobility(mobility, composition).matrix(c, ratio)


def eigenvalues(matrices: Array) -> Array:
    """Of symmetric matrices (n, n, ...), ascending: (..., n)."""
    if len(matrices) == 1:
        return np.asarray(matrices[0, 0])[..., None]
    return np.linalg.eigvalsh(np.moveaxis(matrices, (0, 1), (-2, -1)))


def _fields(composition: Composition) -> Composition:
    """Concentrations that have a gradient, which constants have not, at some place and time."""
    values = tuple(ufl.Coefficient(_FIELDS) for _ in composition.names)
    return replace(composition, values=values, x=ufl.SpatialCoordinate(LINE), t=ufl.Coefficient(_FIELDS))


def _density(term: Term, fields: Composition) -> Expr:
    return term.density(fields, ufl.Coefficient(_FIELDS))


def _depends_on_more(density: Expr, fields: Composition, T: Expr) -> bool:
    numbers = (classes.ConstantValue, classes.MultiIndex, classes.Label)
    legal = {*fields.values, T}
    return any(not isinstance(node, numbers) and node not in legal for node in traverse_unique_terminals(density))


def expanded(expression: Expr) -> Expr:
    """Without inner products and unevaluated derivatives: gradients stand at the fields themselves."""
    return apply_derivatives(apply_algebra_lowering(ufl.as_ufl(expression)))
