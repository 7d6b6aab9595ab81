"""Where species diffuse uphill, J_i . grad c_i > 0, and where the mixture is unstable: numbers of a state, none of them assumed of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from mpi4py import MPI

from .parallel import global_max, global_sum
from .pointwise import Array, LocalDensity, eigenvalues
from .state import Composition
from .thermodynamics import factors_of

ROUND_OFF = 1e-10
"""What counts as zero: a change of mu/RT across a cell, and J_i . grad c_i relative to the largest |J_i| |grad c_i| of the mesh."""
REST = 1e-8
"""Of the largest velocity: as little is left of a flux that vanishes."""
LEVEL = 1e-13
"""The same for a change of c across a cell: c is exact to round-off, and traces of 1e-9 can go uphill too."""
INSIDE = 1e-8
"""How near to a vanishing fraction the curvature is taken: its eigenvalues lose as much by cancellation there, sqrt(machine precision)."""


@dataclass(frozen=True)
class Uphill:
    """What goes uphill at one time, by species, on the rank that draws.

    product:   J_i . grad c_i in the cells of the mesh where it is positive, zero elsewhere, (m,)
    flux:      J_i in the cells, (m, d)
    fraction:  of the flux that goes uphill, between 0 and 1
    """

    product: Mapping[str, Array]
    flux: Mapping[str, Array]
    fraction: Mapping[str, float]


@dataclass(frozen=True)
class UphillMap:
    """Fluxes against gradients in the cells of this rank, by species; all in solver units.

    comm:         of the mesh
    volumes:      of the cells, (m,)
    product:      J_i . grad c_i, (m,), 1/time: negative for diffusion as Fick has it
    mask:         where species i goes uphill, (m,): J_i . grad c_i is positive beyond round-off
    flux:         J_i, (m, d)
    dissipation:  sigma = -sum_i J_i . grad mu_i >= 0, (m,), energy per volume and time
    """

    comm: MPI.Comm
    volumes: Array
    product: Mapping[str, Array]
    mask: Mapping[str, Array]
    flux: Mapping[str, Array]
    dissipation: Array

    @classmethod
    def of(
        cls,
        comm: MPI.Comm,
        volumes: Array,
        gradients: Mapping[str, Array],
        fluxes: Mapping[str, Array],
        dissipation: Array,
        means: Mapping[str, float],
    ) -> Self:
        """From grad c_i and J_i, (m, d) by species, and the mean |c_i| (order parameters may have mean zero). Collective.

        Uniform states and states at equilibrium have no uphill cells, though what round-off leaves of their fluxes has some direction:
        in a cell of size h, |grad c_i| h must exceed LEVEL and the drop of mu, |grad mu| h >= sigma h/|J|, ROUND_OFF. A species at rest among
        others that flow has such fluxes too: its velocity, |J_i| over the mean |c_i|, must exceed REST of the fastest's.
        """
        h = volumes ** (1 / next(iter(fluxes.values())).shape[1])
        driven = h * dissipation > ROUND_OFF * np.sqrt(sum(_length(J) ** 2 for J in fluxes.values()))
        velocity = {name: _length(J) / max(means[name], np.finfo(float).tiny) for name, J in fluxes.items()}
        fastest = max(global_max(comm, speed) for speed in velocity.values())
        product, mask = {}, {}
        for name, J in fluxes.items():
            product[name] = np.sum(J * gradients[name], axis=1)
            largest = global_max(comm, _length(J) * _length(gradients[name]))
            varies = h * _length(gradients[name]) > LEVEL
            mask[name] = driven & (velocity[name] > REST * fastest) & varies & (product[name] > ROUND_OFF * largest)
        return cls(comm, volumes, product, mask, fluxes, dissipation)

    @property
    def positive(self) -> dict[str, Array]:
        """J_i . grad c_i where species i goes uphill, zero elsewhere, (m,)"""
        return {name: np.where(self.mask[name], product, 0.0) for name, product in self.product.items()}

    @property
    def volume_fractions(self) -> dict[str, float]:
        """How much of the domain is uphill, by species. Collective."""
        return {name: float(uphill / total) for name, (uphill, total, _, _) in self._integrals.items()}

    @property
    def flux_fractions(self) -> dict[str, float]:
        """int_uphill |J_i| dx / int |J_i| dx by species, zero where nothing flows. Collective."""
        return {name: float(uphill / total) if total > 0 else 0.0 for name, (_, _, uphill, total) in self._integrals.items()}

    @cached_property
    def _integrals(self) -> dict[str, Array]:
        """Volume that is uphill, volume, flux that is uphill, flux."""
        rows = []
        for name, J in self.flux.items():
            mask, flow = self.mask[name], self.volumes * _length(J)
            rows.append([np.sum(self.volumes * mask), np.sum(self.volumes), np.sum(flow * mask), np.sum(flow)])
        return dict(zip(self.flux, np.asarray(global_sum(self.comm, np.array(rows))), strict=True))


def stability_fields(density: LocalDensity, c: Array, ratio: Array | float = 1.0) -> dict[str, Array]:
    """What the local free energy says of the compositions c (m, n), at T/T_ref = `ratio`, (m,) or a number: arrays (m,) by name.

    curvature:  smallest eigenvalue of H_ij = d2f/dc_i dc_j, in units of RT_ref/V_m
    spinodal:   1 where it is negative, so that small waves may grow, 0 elsewhere
    thermodynamic_factor_1..n:  eigenvalues of Gamma = S H V_m/RT, ascending, S = diag(c) - c c^T; only if all components are fractions
                that have an entropy of mixing (Term.entropy), as Gamma has no meaning for order parameters
    Fractions nearer than INSIDE to a bound of the free energy are moved there.
    """
    near = inside(density, np.asarray(c, dtype=float).T)
    H = density.hessian(near, ratio)
    lowest = eigenvalues(H)[..., 0] * ratio
    fields = {"curvature": lowest, "spinodal": (lowest < 0).astype(float)}
    if mixes_all(density):
        for k, factor in enumerate(factors_of(near, H).T, start=1):
            fields[f"thermodynamic_factor_{k}"] = factor
    return fields


def mixes_all(density: LocalDensity) -> bool:
    """Whether every component, the closing one too, has an entropy of mixing."""
    composition = _numbers(density)
    return not composition.sizes and set(composition.closed) <= {name for term in density.terms for name in term.entropy(composition)}


def inside(density: LocalDensity, c: Array) -> Array:
    """c (n, m) with every component whose logarithm the free energy takes at least INSIDE."""
    names = list(_numbers(density).closed)
    bounded = np.array([name in density.positive for name in names])
    floored = np.where(bounded[:-1, None], np.maximum(c, INSIDE), c)
    if bounded[-1]:
        sizes = np.array(density.composition.sizes or (1.0,) * len(floored))
        floored /= np.maximum(sizes @ floored / (1 - INSIDE), 1.0)
    return floored


def _numbers(density: LocalDensity) -> Composition:
    """A composition of numbers, for questions about names."""
    return density.composition.with_values([0.0] * len(density.composition.names))


def _length(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=1)
    return lengths
