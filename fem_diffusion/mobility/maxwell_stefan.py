"""Friction between every two components."""

from __future__ import annotations

from collections.abc import Sequence

import ufl

from ..diffusivity import Diffusivity
from ..errors import InputError
from ..free_energy.term import require_name, split_pair
from ..state import Composition, Expr
from .base import Matrix, MobilityOfForces, require_equal_sizes, total


class MaxwellStefan(MobilityOfForces):
    """Each component is driven by d_i and held by friction with all others (Taylor & Krishna 1993, eq. 2.1.16):

        sum_{j != i} (x_j J_i - x_i J_j)/D_ij = -d_i,     sum_k J_k = 0     (molar-average frame)

    diffusivities: { "A-B" = D_AB } for every pair of components, the balance included
    stagnant:      the balance, if it stands still: then the fluxes are N_i with N_stagnant = 0 instead of sum_k J_k = 0 (Stefan diffusion,
                   through a gas that does not dissolve in the liquid). For steady states and for layers that follow at once: what enters
                   must displace the stagnant component, so in a transient its amount is not conserved, and L is not symmetric.

    With n the balance the first two equations are B J = -d, B_ii = x_i/D_in + sum_{k != i} x_k/D_ik, B_ij = -x_i (1/D_ij - 1/D_in)
    (eq. 2.1.20-21), and L = B^-1 (diag(x) - x x^T).
    """

    diffusivities: dict[str, Diffusivity]
    stagnant: str | None = None

    @property
    def symmetric(self) -> bool:
        return self.stagnant is None

    @property
    def balance_moves(self) -> bool:
        return self.stagnant is None

    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        return [J for (J,) in _solved(self._friction(c), [[-d_i] for d_i in d])]

    def matrix(self, c: Composition) -> Matrix:
        return _solved(self._friction(c), self.entropy_matrix(c))  # the columns share one elimination

    def _friction(self, c: Composition) -> Matrix:
        """B, n x n, its rows and columns those of the independent species; without the terms from J_n = -sum J where N_n = 0."""
        D = self.pairs(c)
        x = c.closed
        f = {(k, l): 1 / D_kl for pair, D_kl in D.items() for k, l in (pair, pair[::-1])}
        n = list(x)[-1]
        B = [[total(x[k] * f[i, k] for k in x if k != i) if i == j else -x[i] * f[i, j] for j in c.names] for i in c.names]
        if self.stagnant is None:
            B = [[B_ij + x[i] * f[i, n] for B_ij in row] for i, row in zip(c.names, B, strict=True)]
        return B

    def pairs(self, c: Composition) -> dict[tuple[str, str], Expr]:
        """D_kl by pair of component names; InputError unless there is one for each pair."""
        components = list(c.closed)
        keys: dict[tuple[str, str], str] = {}
        for key in self.diffusivities:
            pair = split_pair(self, key, components)
            if pair in keys:
                raise InputError(f"{self.label}: '{keys[pair]}' and '{key}' are the same pair: give it once")
            keys[pair] = key
        missing = [f"{k}-{l}" for i, k in enumerate(components) for l in components[i + 1 :] if (k, l) not in keys]
        if missing:
            raise InputError(
                f"{self.label} needs a diffusivity for every pair of species, the balance included; missing: {', '.join(missing)}: "
                f'add diffusivities = {{ "{missing[0]}" = ... }}'
            )
        return {pair: self.diffusivities[key] for pair, key in keys.items()}

    def check_species(self, c: Composition) -> None:
        if c.balance is None:
            raise InputError(
                f"{self.label} needs the component that closes the sum to one by name: add it as a [[species]] with balance = true"
            )
        self.pairs(c)
        require_equal_sizes(self, c)
        if self.stagnant is not None:
            require_name(self, self.stagnant, c.closed)
            if self.stagnant != c.balance:
                raise InputError(
                    f"{self.label}: stagnant = '{self.stagnant}' must be the balance, which is '{c.balance}': give '{self.stagnant}' "
                    f"balance = true, and '{c.balance}' an initial value"
                )


def _solved(B: Matrix, R: Matrix) -> Matrix:
    """B^-1 R by Gauss' elimination without pivoting; the entries of R are UFL vectors or scalars.

    For x >= 0 no pivot vanishes: the principal minors of B are positive. (A minor is the determinant of the same problem with the other
    species as a medium at rest. Determinants of such drag plus friction are sums of products of x_k/D_kl, by the matrix-tree theorem.)
    """
    n = len(B)
    rows = [[*B_i, *R_i] for B_i, R_i in zip(B, R, strict=True)]
    for k in range(n):
        for i in range(k + 1, n):
            factor = _once(rows[i][k] / rows[k][k])
            rows[i][k + 1 :] = [_once(a - factor * b) for a, b in zip(rows[i][k + 1 :], rows[k][k + 1 :], strict=True)]
    solution: Matrix = [[] for _ in B]
    for k in reversed(range(n)):
        known = [[-rows[k][j] * x for x in solution[j]] for j in range(k + 1, n)]
        solution[k] = [_once(total(parts) / rows[k][k]) for parts in zip(rows[k][n:], *known, strict=True)]
    return solution


def _once(value: Expr) -> Expr:
    """A variable: where UFL walks through an expression as through a tree, it enters each of them once, instead of 3^n times."""
    return ufl.variable(value) if isinstance(value, ufl.core.expr.Expr) else value
