"""What a mobility is, and the thermodynamic forces in which it has no pole."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, Self

import ufl

from ..diffusivity import at_temperature
from ..errors import InputError
from ..record import Record
from ..state import Composition, Expr

Matrix = list[list[Expr]]


class Mobility(Record):
    """L(c). A subclass has its parameters as annotated fields and `matrix`, in UFL; in TOML, kind = "my_module.MyMobility"."""

    quadrature_degree: ClassVar[int] = 4
    """Exactness with which L(c) of a piecewise linear c is integrated."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = f"[mobility] {cls.__name__}"

    @abstractmethod
    def matrix(self, c: Composition) -> Matrix:
        """L_ij, n x n rows of UFL scalars; the integer 0 marks an entry that is always zero. m^5/(J s)."""

    def flux(self, c: Composition, gradients: Sequence[Expr]) -> list[Expr]:
        """J_i = -sum_j L_ij grad mu_j from the gradients of mu, UFL vectors."""
        zero = ufl.zero(gradients[0].ufl_shape)
        entries = [[(L_ij, g) for L_ij, g in zip(row, gradients, strict=True) if not _is_zero(L_ij)] for row in self.matrix(c)]
        return [-sum((L_ij * g for L_ij, g in row), start=zero) for row in entries]

    @property
    def symmetric(self) -> bool:
        """Whether L is meant to be symmetric and positive semi-definite, so that the free energy falls."""
        return True

    @property
    def balance_moves(self) -> bool:
        """Whether the fluxes add up to zero, so that what closes the sum to one flows against all others."""
        return True

    def check_species(self, c: Composition) -> None:
        """Raise InputError where the parameters do not fit the species."""

    def with_diffusivities(self, given: Mapping[str, Any], c: Composition) -> Self:
        """The mobility with the diffusivities that stand at the species; InputError where it takes none there."""
        if given:
            raise InputError(f"{self.label} has no use for the diffusivity of a species: remove it from '{next(iter(given))}'")
        return self

    def at_temperature(self, ratio: Expr) -> Self:
        """The mobility in solver units at `ratio` times the reference temperature: Arrhenius' laws become numbers or UFL."""
        return self.model_copy(update={name: at_temperature(value, ratio) for name, value in self})


class MobilityOfForces(Mobility):
    """L = A S, given by J = -A d.

    Where the free energy is an entropy of mixing plus something smooth, grad mu has a pole at every vanishing fraction and L a zero.
    The two cancel in the thermodynamic forces

        d_i = sum_j S_ij grad mu_j,     S = diag(c) - c c^T  (fractions that close to one),   S = diag(c)  (independent concentrations),

    which are d_i = grad c_i for an ideal mixture: S is the inverse of the ideal Hessian. (Of particles of sizes v_i that is
    diag(1/c) + v v^T/c_0, and S = diag(c) - (v c)(v c)^T/(c_0 + sum_k v_k^2 c_k).)
    """

    closed: ClassVar[bool] = True
    """Whether the d of `fluxes_of` are those of fractions that close to one."""

    @abstractmethod
    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        """J_i from d_i, i = 1..n; linear in d, whose entries are UFL vectors or scalars. m/s, d in 1/m."""

    def fluxes(self, c: Composition, d: Sequence[Expr], closed: bool) -> list[Expr]:
        """J_i from the d_i of an entropy that closes the fractions to one, or does not.

        (diag(c) - c c^T) diag(c)^-1 = 1 - c 1^T turns the second kind of forces into the first, 1 + c 1^T/c_0 the first into the second
        (1 + (v c) v^T/c_0 with sizes).
        """
        if closed and not self.closed:
            crowding = total(v_i * d_i for v_i, d_i in zip(sizes(c), d, strict=True))
            d = [d_i + v_i * c_i / c.rest * crowding for v_i, c_i, d_i in zip(sizes(c), c, d, strict=True)]
        elif self.closed and not closed:
            d = [d_i - c_i * total(d) for c_i, d_i in zip(c, d, strict=True)]
        return self.fluxes_of(c, d)

    def flux(self, c: Composition, gradients: Sequence[Expr]) -> list[Expr]:
        # one solution for all: by the matrix every column would be one
        return self.fluxes_of(c, forces(c, gradients, self.closed))

    def matrix(self, c: Composition) -> Matrix:
        columns = [[-J for J in self.fluxes_of(c, [S[j] for S in self.entropy_matrix(c)])] for j in range(len(c))]
        return [list(row) for row in zip(*columns, strict=True)]

    def entropy_matrix(self, c: Composition) -> Matrix:
        """S, of which J = -A S grad mu"""
        if not self.closed:
            return diagonal(c)
        v, width = sizes(c), _width(c)
        return [[c_i * ((1 if i == j else 0) - v[i] * v[j] * c_j / width) for j, c_j in enumerate(c)] for i, c_i in enumerate(c)]


def forces(c: Composition, gradients: Sequence[Expr], closed: bool) -> list[Expr]:
    """d_i = sum_j S_ij grad mu_j from the gradients of mu: c_i (g_i - v_i sum_j v_j c_j g_j/(c_0 + sum_k v_k^2 c_k)), or c_i g_i if not closed."""
    if not closed:
        return [c_i * g_i for c_i, g_i in zip(c, gradients, strict=True)]
    v, width = sizes(c), _width(c)
    mean = total(v_i * c_i * g_i / width for v_i, c_i, g_i in zip(v, c, gradients, strict=True))
    return [c_i * (g_i - v_i * mean) for v_i, c_i, g_i in zip(v, c, gradients, strict=True)]


def sizes(c: Composition) -> tuple[Expr, ...]:
    """v_i; the integer 1 where all species take one site"""
    return c.sizes or (1,) * len(c)


def require_equal_sizes(mobility: Mobility, c: Composition) -> None:
    if c.sizes:
        given = ", ".join(f"{name} = {size:g}" for name, size in zip(c.names, c.sizes, strict=True))
        raise InputError(
            f"{mobility.label} exchanges particles of equal sizes ({given}): take kind = 'VolumeExclusion' or 'Fick', or remove size"
        )


def _width(c: Composition) -> Expr:
    """c_0 + sum_k v_k^2 c_k; one where all sizes are"""
    return c.rest + sum(v * v * ci for v, ci in zip(c.sizes, c, strict=True)) if c.sizes else 1


def _is_zero(entry: Expr) -> bool:
    return isinstance(entry, int) and entry == 0


def diagonal(entries: Iterable[Expr]) -> Matrix:
    entries = list(entries)
    return [[entry if i == j else 0 for j in range(len(entries))] for i, entry in enumerate(entries)]


def total(parts: Iterable[Expr]) -> Expr:
    """Their sum, without the number 0 that `sum` begins with, which UFL does not add to a vector."""
    return reduce(operator.add, parts)
