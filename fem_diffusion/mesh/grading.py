"""Cells of a side that grow from its ends."""

from __future__ import annotations

import numpy as np
import scipy

from .geometry import Floats

STEEPEST = 2.0  # ratio of neighbouring cells


def graded(length: float, cells: int, near: float | None, far: float | None) -> Floats:
    """Where the cells of a side of so much length end, (cells + 1,), from 0.

    They grow from `near` at 0, or from `far` at the other end, or from both, by the same factor q from each to the next:
    h_k = min(near q^k, far q^(cells - 1 - k)). ValueError where they would have to shrink, or grow too fast.
    """

    def sizes(q: float) -> Floats:
        k = np.arange(cells)
        ends = [h * q**steps for h, steps in ((near, k), (far, cells - 1 - k)) if h is not None]
        return np.asarray(np.min(ends, axis=0), dtype=float)

    for h in (near, far):
        if h is not None and h > length / cells * (1 + 1e-12):
            raise ValueError(
                f"a first cell of {h:g} is larger than the {length / cells:g} of {cells} equal cells: give less, or fewer cells"
            )
    if sizes(STEEPEST).sum() < length:
        raise ValueError(f"{cells} cells are too few to fill the side with cells that at most double from one to the next: give more cells")
    grown = sizes(scipy.optimize.brentq(lambda q: sizes(q).sum() - length, 1.0, STEEPEST, xtol=1e-15) if sizes(1.0).sum() < length else 1.0)
    ends = np.concatenate([[0.0], np.cumsum(grown)])
    return np.asarray(ends * (length / ends[-1]))
