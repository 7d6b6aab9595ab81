"""One diffusivity for each species, as a tracer has it: in a medium at rest, or in a lattice that drifts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field

from ..diffusivity import Diffusivity
from ..errors import InputError
from ..free_energy.term import require_name
from ..state import Composition, Expr
from .base import Matrix, MobilityOfForces, diagonal, require_equal_sizes, sizes, total


class MobilityOfSpecies(MobilityOfForces):
    """Has a diffusivity for each of its carriers: as a table by name, or with each species, [[species]] diffusivity = ..."""

    diffusivities: dict[str, Diffusivity] = Field(default_factory=dict)

    @abstractmethod
    def carriers(self, c: Composition) -> Sequence[str]:
        """The components that need a diffusivity; InputError where one of them has no name."""

    def with_diffusivities(self, given: Mapping[str, Any], c: Composition) -> Self:
        for name in given:
            if name in self.diffusivities:
                raise InputError(f"{self.label} has two diffusivities of '{name}': give it in the mobility's table or at the species")
        bound = self.model_copy(update={"diffusivities": {**self.diffusivities, **given}})
        bound.check_species(c)
        return bound

    def check_species(self, c: Composition) -> None:
        carriers = self.carriers(c)
        for name in self.diffusivities:
            require_name(self, name, c.named)
            if name not in carriers:
                raise InputError(
                    f"{self.label} has no use for the diffusivity of '{name}': it is the balance, whose flux is what the others leave; remove it"
                )
        missing = [name for name in carriers if name not in self.diffusivities]
        if missing:
            raise InputError(f"{self.label} needs a diffusivity for {', '.join(missing)}: give diffusivity = ... in each one's [[species]]")


class Fick(MobilityOfSpecies):
    """L_ij = D_i c_i delta_ij: every species diffuses on its own, J_i = -D_i d_i with d_i = c_i grad mu_i.

    Where the entropy closes the fractions to one, J_i = -D_i (d_i + v_i c_i/c_0 sum_j v_j d_j): crowding drives it out of where the rest c_0 is
    rare (Kilic, Bazant & Ajdari, Phys. Rev. E 75 (2007) 021503, for ions and voids).
    """

    closed = False

    def carriers(self, c: Composition) -> Sequence[str]:
        return c.names

    def matrix(self, c: Composition) -> Matrix:
        return diagonal(self.diffusivities[name] * c[name] for name in c.names)

    def flux(self, c: Composition, gradients: Sequence[Expr]) -> list[Expr]:
        return [-self.diffusivities[name] * c[name] * g for name, g in zip(c.names, gradients, strict=True)]

    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        return [-self.diffusivities[name] * d_i for name, d_i in zip(c.names, d, strict=True)]


class VolumeExclusion(MobilityOfSpecies):
    """L_ij = D_i c_i c_0 delta_ij: a particle moves where a site is free, J_i = -D_i (c_0 d_i + v_i c_i sum_j v_j d_j).

    With d_i = grad c_i that is -D_i (c_0 grad c_i - v_i c_i grad c_0), the mean field limit of particles that hop to empty sites (Burger,
    Schlake & Wolfram, Nonlinearity 25 (2012) 961; Gerstenmayer & Juengel, Comput. Appl. Math. 38 (2019) 117). A closure, not the limit: hops
    without exchange in one dimension have other currents.
    """

    def carriers(self, c: Composition) -> Sequence[str]:
        return c.names

    def matrix(self, c: Composition) -> Matrix:
        return diagonal(self.diffusivities[name] * c[name] * c.rest for name in c.names)

    def flux(self, c: Composition, gradients: Sequence[Expr]) -> list[Expr]:
        return [-self.diffusivities[name] * c[name] * c.rest * g for name, g in zip(c.names, gradients, strict=True)]

    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        v = sizes(c)
        crowding = total(v_i * d_i for v_i, d_i in zip(v, d, strict=True))
        return [
            -self.diffusivities[name] * (c.rest * d_i + v_i * c_i * crowding) for name, v_i, c_i, d_i in zip(c.names, v, c, d, strict=True)
        ]


class Darken(MobilityOfSpecies):
    """Tracer diffusivities D_k of all components, the balance too, in a lattice that drifts so that the volume is at rest.

    Relative to the lattice -D_k d_k moves, k = 0..n with d_0 = -sum_i d_i; the lattice moves with v = sum_k D_k d_k:

        J_i = -D_i d_i + c_i v

    A binary interdiffuses with (x_B D_A + x_A D_B) Gamma, and its markers move with v = (D_A - D_B) Gamma dx_A/dz
    (Darken, Trans. AIME 175 (1948) 184). All molar volumes are equal; the vacancy wind (Manning) is left out.
    """

    def carriers(self, c: Composition) -> Sequence[str]:
        if c.balance is None:
            raise InputError(
                f"{self.label} needs a diffusivity of the component that closes the sum to one: add it as a [[species]] with balance = true"
            )
        require_equal_sizes(self, c)
        return tuple(c.closed)

    def lattice_velocity(self, c: Composition, d: Sequence[Expr]) -> Expr:
        """v = sum_k D_k d_k over all components, from the d_i of fractions that close to one: where inert markers go. m/s."""
        assert c.balance is not None
        D = self.diffusivities
        return total((D[name] - D[c.balance]) * d_i for name, d_i in zip(c.names, d, strict=True))

    def fluxes_of(self, c: Composition, d: Sequence[Expr]) -> list[Expr]:
        v = self.lattice_velocity(c, d)
        return [-self.diffusivities[name] * d_i + c[name] * v for name, d_i in zip(c.names, d, strict=True)]
