"""Whether a mobility dissipates: symmetric and positive semi-definite at the compositions that may occur."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .errors import InputError
from .mobility import Mobility
from .pointwise import Array, mobility_matrix
from .state import Composition

ROUND_OFF = 1e-12
INSIDE = 1e-6
"""How far inside the simplex its corners and edges are sampled."""


def check_positive(mobility: Mobility, composition: Composition, compositions: ArrayLike) -> None:
    """Raise InputError where L is not symmetric and positive semi-definite at one of the compositions, (n, m), up to round-off.

    A mobility that is not `symmetric` by its own account passes.
    """
    if not mobility.symmetric:
        return
    c = np.asarray(compositions, dtype=float)
    L = np.moveaxis(mobility_matrix(mobility, composition, c), -1, 0)
    names = composition.names
    finite = np.isfinite(L).all(axis=(1, 2))
    if not finite.all():
        raise InputError(
            f"{mobility.label} has no value at {_shown(names, c[:, np.argmin(finite)])}: L must be finite for all compositions"
        )

    size = np.abs(L).max(axis=(1, 2))
    asymmetry = np.abs(L - np.swapaxes(L, 1, 2))
    worst = int(np.argmax(asymmetry.max(axis=(1, 2)) - ROUND_OFF * size))
    if asymmetry[worst].max() > ROUND_OFF * size[worst]:
        i, j = np.unravel_index(np.argmax(asymmetry[worst]), asymmetry[worst].shape)
        raise InputError(
            f"{mobility.label}: L is not symmetric at {_shown(names, c[:, worst])}: L[{names[i]}, {names[j]}] = {L[worst, i, j]:g}, "
            f"L[{names[j]}, {names[i]}] = {L[worst, j, i]:g}; by Onsager's relations they are equal"
        )

    lowest = np.linalg.eigvalsh(L)[:, 0]
    worst = int(np.argmin(lowest + ROUND_OFF * size))
    if lowest[worst] < -ROUND_OFF * size[worst]:
        raise InputError(
            f"{mobility.label}: L has the negative eigenvalue {lowest[worst]:g} at {_shown(names, c[:, worst])}: the free energy would rise; "
            "L must be positive semi-definite for all compositions"
        )


def sample_compositions(
    composition: Composition, closed: bool, count: int = 2048, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """About `count` well spread compositions, (n, m), the same in every call.

    closed: of the simplex {c_i >= 0, sum_i v_i c_i <= 1}, with its corners and the centres of its edges and faces, moved inside by 1e-6
    else:   of the box [lower, upper], a number or one for each species, with its corners; by default [0, 1]
    """
    n = len(composition)
    if closed:
        corners = np.eye(n + 1)
        # all faces of few components; the corners, edges and triangles, and the centre, of many
        sizes = range(1, n + 2) if n < 8 else (1, 2, 3, n + 1)
        special = np.array([corners[list(face)].mean(axis=0) for k in sizes for face in combinations(range(n + 1), k)])
        x = np.vstack([special, _simplex(n, count - len(special))])
        return ((1 - (n + 1) * INSIDE) * x + INSIDE)[:, :n].T / np.reshape(composition.sizes or (1.0,), (-1, 1))
    low = np.broadcast_to(np.asarray(0.0 if lower is None else lower, dtype=float), n)
    high = np.broadcast_to(np.asarray(1.0 if upper is None else upper, dtype=float), n)
    corners = np.array(list(product((0.0, 1.0), repeat=n))) if n < 8 else np.empty((0, n))
    return (low + (high - low) * np.vstack([corners, _cube(n, count - len(corners))])).T


def _simplex(n: int, count: int) -> Array:
    """Fractions of n + 1 components, (count, n + 1): the gaps between n sorted numbers in [0, 1] fill the simplex evenly."""
    cuts = np.sort(_cube(n, count), axis=1)
    return np.diff(cuts, axis=1, prepend=0.0, append=1.0)


def _cube(n: int, count: int) -> Array:
    """Points of the unit cube, (count, n): a grid in one dimension, Sobol's sequence in more."""
    if count < 1:
        return np.empty((0, n))
    if n == 1:
        return np.linspace(0.0, 1.0, count)[:, None]
    return np.asarray(scipy.stats.qmc.Sobol(n, scramble=False).random_base2(math.ceil(math.log2(count)))[:count])


def _shown(names: tuple[str, ...], c: Array) -> str:
    return ", ".join(f"{name} = {value:.6g}" for name, value in zip(names, c, strict=True))
