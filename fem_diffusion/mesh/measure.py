"""Integration over the domain and its surfaces, in Cartesian or cylindrical coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ufl

Expr = Any


@dataclass(frozen=True)
class Measure:
    """f * measure is the form int f weight dx, with a UFL measure and, in cylindrical coordinates, the weight 2 pi r.

    inside: the measure of surfaces inside the domain that belong to the integral too (their f is the mean of the two sides), or None
    """

    measure: ufl.Measure
    weight: Expr = 1.0
    inside: ufl.Measure | None = None

    def __rmul__(self, f: Expr) -> Expr:
        f = ufl.as_ufl(f)
        weighted = f if isinstance(self.weight, float) and self.weight == 1.0 else self.weight * f
        form = weighted * self.measure
        return form if self.inside is None else form + ufl.avg(weighted) * self.inside

    def __call__(self, subdomain: int | tuple[int, ...]) -> Measure:
        return replace(self, measure=self.measure(subdomain), inside=None if self.inside is None else self.inside(subdomain))


def is_vertex_rule(metadata: Mapping[str, Any]) -> bool:
    return metadata.get("quadrature_rule") == "vertex"
