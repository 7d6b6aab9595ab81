"""Particles that exchange their sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import ufl

from ..diffusivity import Diffusivity
from ..state import Composition, Expr
from .base import Matrix, Mobility, MobilityOfForces, diagonal, require_equal_sizes


class Degenerate(Mobility):
    """L_ii = D c_i (1 - c_i), times V_m/RT in a problem with units: no transport through pure phases.

    Zero outside [0, 1], where a polynomial energy may lead. (Cahn & Taylor, Acta Metall. Mater. 42 (1994) 1045)
    """

    quadrature_degree: ClassVar[int] = 2

    diffusivity: Diffusivity

    def matrix(self, c: Composition) -> Matrix:
        return diagonal(self.diffusivity * ufl.max_value(ci * (1 - ci), 0.0) for ci in c)


class Stirring(MobilityOfForces):
    """L = D (diag(c) - c c^T), J_i = -D d_i: any two neighbours exchange their sites at the same rate.

    L is D times the covariance of the multinomial distribution of what occupies a site (weakly asymmetric multispecies stirring process,
    arXiv:2410.20857). With forces E_j on the species (ions in a field, E_j = -z_j grad phi)

        J_i = -D grad c_i + D c_i (E_i - sum_j c_j E_j),

    derived from exchange rates 1 + (E_i - E_j) h/2 of neighbours, voids included; where sum_j J_j = 0 it is the modified PNP that `Fick`
    with LatticeGas is. Its off-diagonal entries drive a species against its own chemical potential; no diagonal mobility can.
    """

    quadrature_degree: ClassVar[int] = 2

    diffusivity: Diffusivity

    def check_species(self, c: Composition) -> None:
        require_equal_sizes(self, c)

    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        return [-self.diffusivity * d_i for d_i in d]
