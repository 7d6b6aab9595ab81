"""Opposite sides made one, on one rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from ..errors import InputError
from .geometry import Floats, padded
from .source import AXES, SIDES
from .whole import KINDS, Ints, Whole


def made_periodic(whole: Whole, periodic: tuple[str, ...]) -> Whole:
    """With each vertex of an upper side replaced by its partner on the lower side, and without the facets of these sides.

    Only the corners of curved cells are kept.
    """
    whole = _straight(whole)
    gdim = whole.x.shape[1]
    lower, upper = whole.x.min(axis=0), whole.x.max(axis=0)
    extents = np.ptp(whole.x[whole.cells], axis=1)
    tolerance = 1e-3 * extents.max(axis=1).min()
    partner, period = np.arange(len(whole.x)), np.zeros(3)
    on_side = np.zeros(len(whole.facets), dtype=bool)
    for name in periodic:
        axis = AXES.index(name)
        if axis >= gdim:
            raise InputError(f"[mesh] periodic = '{name}': the mesh has dimension {gdim}; legal: {', '.join(AXES[:gdim])}")
        period[axis] = upper[axis] - lower[axis]
        # Shorter cells have at most one edge between two vertices also after the merge, and un-wrap without doubt.
        if extents[:, axis].max() > 0.499 * period[axis]:
            raise InputError(
                f"[mesh] periodic = '{name}' needs at least 3 cells in {name}, and no cell as long as half the period: refine the mesh"
            )
        low, high = (np.abs(whole.x[:, axis] - end[axis]) < tolerance for end in (lower, upper))
        partner = _partners(whole.x, np.flatnonzero(low), np.flatnonzero(high), axis, period[axis], tolerance)[partner]
        on_side |= low[whole.facets].all(axis=1) | high[whole.facets].all(axis=1)
    used, cells = np.unique(partner[whole.cells], return_inverse=True)
    facets, facet_values = partner[whole.facets[~on_side]], whole.facet_values[~on_side]
    return replace(
        whole,
        x=whole.x[used],
        cells=cells.reshape(whole.cells.shape),
        facets=np.searchsorted(used, facets),
        facet_values=facet_values,
        boundaries={name: value for name, value in whole.boundaries.items() if value in facet_values},
        lower=padded(lower),
        period=period,
    )


def _straight(whole: Whole) -> Whole:
    kind = KINDS[whole.cell]
    cells, facets = whole.cells[:, : kind.vertices], whole.facets[:, : kind.facet_vertices]
    used, rows = np.unique(cells, return_inverse=True)
    return replace(whole, degree=1, x=whole.x[used], cells=rows.reshape(cells.shape), facets=np.searchsorted(used, facets))


def _partners(x: Floats, low: Ints, high: Ints, axis: int, period: float, tolerance: float) -> Ints:
    """For each vertex its partner on the lower side if it is on the upper one, else itself."""
    shifted = x[high]
    shifted[:, axis] -= period
    distance, nearest = scipy.spatial.KDTree(x[low]).query(shifted)
    matched = distance < 2 * tolerance
    lonely_high, lonely_low = int((~matched).sum()), len(low) - len(np.unique(nearest[matched]))
    if lonely_high or lonely_low:
        name, (lower, upper) = AXES[axis], SIDES[axis]
        kind = "Curve" if x.shape[1] == 2 else "Surface"
        shift = ", ".join(f"{period:g}" if i == axis else "0" for i in range(3))
        raise InputError(
            f"[mesh] periodic = '{name}': {lonely_low} of {len(low)} vertices on the side of smallest {name} ({lower}) and {lonely_high} "
            f"of {len(high)} on the side of largest {name} ({upper}) have no partner opposite. In gmsh, "
            f"'Periodic {kind}{{{upper}()}} = {{{lower}()}} Translate{{{shift}}};' makes the two sides match"
        )
    partner = np.arange(len(x))
    partner[high] = low[nearest]
    return partner
