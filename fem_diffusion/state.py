"""What every plug-in sees: concentrations by name, never raw unknowns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

Expr = Any  # a UFL expression, or a number or array where thermodynamics evaluates the same formula

REST = "rest"  # how the nameless closing component (the other metal, solvent, voids) is called in messages


@dataclass(frozen=True)
class Composition(Sequence[Expr]):
    """The independent concentrations c_1..c_n, by position or by name, and the component that closes their sum to one.

    names:    of the n independent species
    values:   their concentrations
    balance:  name of the closing species, or None where the rest has no name
    x, t:     where and when, in solver units: the coordinates as UFL, the time as a number or UFL
    sizes:    v_i, how many sites a particle of each species takes; empty where all take one
    charges:  z_i; empty where none has one
    closing:  c_0 where it is known better than as one minus the others, which below 1e-16 is nothing
    """

    names: tuple[str, ...]
    values: tuple[Expr, ...]
    balance: str | None = None
    x: Expr = None
    t: Expr = 0.0
    sizes: tuple[float, ...] = ()
    charges: tuple[float, ...] = ()
    closing: Expr = None

    def __getitem__(self, key: Any) -> Expr:
        """c[0], or c["Ag"]; the balance species goes by its name."""
        if isinstance(key, str):
            return self.closed[key]
        return self.values[key]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Expr]:
        return iter(self.values)

    @property
    def rest(self) -> Expr:
        """c_0 = 1 - sum_i v_i c_i"""
        if self.closing is not None:
            return self.closing
        if not self.sizes:
            return 1 - sum(self.values)
        return 1 - sum(v_i * c_i for v_i, c_i in zip(self.sizes, self.values, strict=True))

    @property
    def charge(self) -> Expr:
        """sum_i z_i c_i"""
        return sum(z_i * c_i for z_i, c_i in zip(self.charges, self.values, strict=False) if z_i)

    @property
    def closed(self) -> dict[str, Expr]:
        """All components including the closing one, last."""
        return dict(zip(self.names, self.values, strict=True)) | {self.balance or REST: self.rest}

    @property
    def named(self) -> dict[str, Expr]:
        """All components that have a name: without a nameless rest."""
        closed = self.closed
        if self.balance is None:
            del closed[REST]
        return closed

    def with_values(self, values: Sequence[Expr]) -> Composition:
        return replace(self, values=tuple(values), closing=None)
