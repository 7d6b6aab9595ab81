"""What the local energy contributes at each vertex: functions of numbers, compiled from the same UFL that would be integrated.

Under the vertex rule a term without gradients gives row i of vertex v the number M_v p_i(c_v), with the vertex' volume M_v; its second variation is
a block at the vertex. Nothing of that needs cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import ufl

from .formulation.model import energy_part
from .free_energy import Term
from .pointwise import LINE, PointwiseFunction, expanded
from .state import Composition, Expr
from .time_scheme import TimeScheme

Array = np.ndarray


class LocalVariation:
    """p_i = d<F', q>/dq_i of a time scheme at the vertices, its derivative H_ij = dp_i/dc_j, and the density f itself; in units of RT.

    Called with concentrations c and those before, (n, m), places (3, m), the time and T/T_ref: (n, m), (n, n, m) and (m,).
    TypeError where a term has no value at a point.
    """

    def __init__(self, terms: Sequence[Term], composition: Composition, scheme: TimeScheme) -> None:
        n = len(composition)
        self._n = n
        c, before, q = ([ufl.variable(ufl.Constant(LINE)) for _ in range(n)] for _ in range(3))
        x, t, T = [ufl.Constant(LINE) for _ in range(3)], ufl.Constant(LINE), ufl.Constant(LINE)
        symbols = [*c, *before]
        self._arguments = [*(variable.ufl_operands[0] for variable in symbols), *x, t, T]
        here = replace(composition, x=ufl.as_vector(x), t=t)
        at_temperature = [term.at_temperature(T) for term in terms]
        functional = _Pointwise(at_temperature, here, q)
        action = ufl.as_ufl(scheme.variation(functional, ufl.as_vector(c), ufl.as_vector(before)))
        self._p = [expanded(ufl.diff(expanded(action), q_i)) for q_i in q]
        self._c = c
        self._f = ufl.as_ufl(sum(term.density(here.with_values(c), None) for term in at_temperature))
        self._potential = PointwiseFunction(self._p, self._arguments)

    def potential(self, c: Array, before: Array, x: Array, t: float, ratio: Array | float) -> Array:
        """p, (n, m)"""
        return self._potential([*c, *before, *x, t, ratio])

    def hessian(self, c: Array, before: Array, x: Array, t: float, ratio: Array | float) -> Array:
        """H, (n, n, m)"""
        values = self._hessian([*c, *before, *x, t, ratio])
        return values.reshape(self._n, self._n, -1)

    def density(self, c: Array, x: Array, t: float, ratio: Array | float) -> Array:
        """f, (m,)"""
        return self._density([*c, *c, *x, t, ratio])[0]

    @cached_property
    def _hessian(self) -> PointwiseFunction:
        return PointwiseFunction([expanded(ufl.diff(p_i, c_j)) for p_i in self._p for c_j in self._c], self._arguments)

    @cached_property
    def _density(self) -> PointwiseFunction:
        return PointwiseFunction([expanded(self._f)], self._arguments)


class _Pointwise:
    """<F'(u), q> of local terms at one point (`time_scheme.Variation`)."""

    def __init__(self, terms: Sequence[Term], composition: Composition, q: Sequence[Expr]) -> None:
        self._terms, self._composition, self._q = terms, composition, q

    @property
    def gauss_points(self) -> frozenset[int]:
        return frozenset(term.gauss_points for term in self._terms)

    def __call__(self, u: Expr, part: str = "whole", gauss_points: int | None = None) -> Any:
        at = [ufl.variable(u[i]) for i in range(len(self._q))]
        c = self._composition.with_values(at)
        asked = (term for term in self._terms if gauss_points in (None, term.gauss_points))
        f = ufl.as_ufl(sum(energy_part(term, c, None, part) for term in asked))
        return sum(q_i * expanded(ufl.diff(f, c_i)) for q_i, c_i in zip(self._q, at, strict=True))


class _LinearVariation:
    """The variation of a quadratic energy as numbers, before its matrix acts: the state itself (`time_scheme.Variation`).

    A scheme combines states linearly, so that one product with the matrix serves them all.
    """

    gauss_points = frozenset({1})

    def __call__(self, u: Any, part: str = "whole", gauss_points: int | None = None) -> Any:
        return 0.0 * u if part == "concave" or gauss_points not in (None, 1) else u


LINEAR_VARIATION = _LinearVariation()


def implicit_part(scheme: TimeScheme) -> float:
    """The part of the new state in the one at which a scheme takes a quadratic energy: 1, or 1/2 of an average over the step."""
    return float(scheme.variation(LINEAR_VARIATION, 1.0, 0.0))
