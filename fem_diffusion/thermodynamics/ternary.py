"""Three fractions that close to one: spinodal, tie lines, three-phase triangles and critical points.

A composition is (x_1, x_2), the independent fractions; x_3 = 1 - x_1 - x_2 is the closing one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..free_energy import Term
from ..pointwise import Array, LocalDensity
from ..state import Composition
from .multicomponent import closes_to_one, thermodynamic_factors

Edge = tuple[int, int]  # two points of a grid, the smaller index first

MARGIN = 1e-6
"""How close to the triangle's edges, where logarithms have poles, spinodals and outermost tie lines end."""


@dataclass(frozen=True)
class TernaryPhaseDiagram:
    """What is stable, and what coexists, at one temperature. All points are (x_1, x_2).

    spinodal         curves (m, 2) on which the smallest eigenvalue of d2f/dx_i dx_j is zero; closed ones end where they begin
    binodal          curves (m, 2): the phases of each two-phase region, first the one side, then the other, in the order of the tie lines
    tie_lines        (k, 2, 2): pairs of phases in equilibrium, mu_1, mu_2 and f - mu_1 x_1 - mu_2 x_2 equal
    triangles        (t, 3, 2): three phases in equilibrium
    critical_points  (p, 2): stable states where two phases become one (plait points)

    The regions are read off the lower convex hull of f on a grid, so that gaps narrower than some 0.02 are overlooked; each point is then
    refined to rounding. Tie lines and triangles are kept only if their tangent plane lies below f everywhere.
    """

    spinodal: list[Array]
    binodal: list[Array]
    tie_lines: Array
    triangles: Array
    critical_points: Array

    @classmethod
    def of(cls, terms: Sequence[Term], composition: Composition, tie_lines: int = 15) -> Self | None:
        """With about that many tie lines in each two-phase region.

        None unless there are two independent species, and f takes the logarithms of both and of the closing one.
        """
        density = LocalDensity(terms, composition)
        if len(composition.names) != 2 or not closes_to_one(density):
            return None
        simplex = _Simplex(density)
        curves = list(spinodal(density))
        critical = _critical_points(simplex, curves)
        hull = _Hull(simplex)
        triangles = _distinct([t for t in (simplex.equilibrium(start) for start in hull.triangles) if t is not None])
        free, regions = list(critical), []
        for path in sorted(hull.regions(), key=_length, reverse=True):
            region = _two_phases(simplex, path, triangles, free, tie_lines)
            if region is not None:
                regions.append(region)
        return cls(
            spinodal=curves,
            binodal=[region[:, side] for region in regions for side in (0, 1)],
            tie_lines=np.concatenate([region[_is_tie_line(region)] for region in regions] or [np.empty((0, 2, 2))]),
            triangles=np.array(triangles).reshape(-1, 3, 2),
            critical_points=np.array(critical).reshape(-1, 2),
        )


# -- tie lines ------------------------------------------------------------------------------------------------------------------


def tie_line(density: LocalDensity, through: ArrayLike, start: ArrayLike) -> Array | None:
    """The two phases (2, 2) into which the mixture `through` (2,) separates, from a guess (2, 2); None where no equilibrium is found.

    Equal mu_1, mu_2 and f - mu.x, and the lever rule, solved in the variables ln(x_i/x_3).
    """
    return _equilibrium(density, start, np.asarray(through, dtype=float))


def _equilibrium(density: LocalDensity, start: ArrayLike, through: Array | None) -> Array | None:
    """p phases (p, 2) of equal potentials and tangents: three, or two that have a given point on their line."""
    guess = np.asarray(start, dtype=float)
    p = len(guess)

    def equations(y: Array) -> tuple[Array, Array]:
        x, slope = _fractions(y.reshape(p, 2))
        mu, H = density.potential(x.T).T, np.moveaxis(density.hessian(x.T), -1, 0)
        intercept = density.value(x.T) - np.sum(mu * x, axis=1)
        potentials = np.column_stack([mu, intercept])
        d_mu = H @ slope
        d_potentials = np.concatenate([d_mu, -np.einsum("pi,pij->pj", x, d_mu)[:, None]], axis=1)  # (p, 3, 2)
        residual = list(np.ravel(potentials[1:] - potentials[0]))
        jacobian = np.zeros((2 * p, 2 * p))
        for k in range(1, p):
            jacobian[3 * k - 3 : 3 * k, 2 * k : 2 * k + 2] = d_potentials[k]
            jacobian[3 * k - 3 : 3 * k, :2] = -d_potentials[0]
        if through is not None:
            (a, b), per_length = x - through, 1 / np.linalg.norm(guess[1] - guess[0]) ** 2
            residual.append((a[0] * b[1] - a[1] * b[0]) * per_length)
            jacobian[3, :2] = np.array([b[1], -b[0]]) @ slope[0] * per_length
            jacobian[3, 2:] = np.array([-a[1], a[0]]) @ slope[1] * per_length
        return np.array(residual), jacobian

    with np.errstate(all="ignore"):
        found = scipy.optimize.root(equations, _logits(guess).ravel(), jac=True, tol=1e-15)
    if not np.isfinite(found.fun).all():
        return None
    x, _ = _fractions(found.x.reshape(p, 2))
    rest = float((1 - x.sum(axis=1)).min())  # which is a difference, so that its logarithm is inexact
    if rest <= 0 or np.abs(found.fun).max() > 1e-11 + 1e-14 / rest:
        return None
    size = _least_distance(guess)
    return x if _least_distance(x) > 0.1 * size else None  # else the phases fell into one


def _fractions(y: Array) -> tuple[Array, Array]:
    """x (p, 2) and dx_i/dy_j (p, 2, 2) of y_i = ln(x_i/x_3)."""
    x = scipy.special.softmax(np.column_stack([y, np.zeros(len(y))]), axis=1)[:, :2]
    return x, x[:, :, None] * (np.eye(2) - x[:, None, :])


def _logits(x: Array) -> Array:
    closed = np.maximum(np.column_stack([x, 1 - x.sum(axis=1)]), 1e-9)
    return np.log(closed[:, :2] / closed[:, 2:])


def _least_distance(points: Array) -> float:
    return min(float(np.linalg.norm(a - b)) for k, a in enumerate(points) for b in points[:k])


def _is_tie_line(region: Array) -> Array:
    return np.linalg.norm(region[:, 0] - region[:, 1], axis=1) > 0.02


class _Simplex:
    """f on points that cover the triangle evenly, and some of them its edges and corners densely."""

    def __init__(self, density: LocalDensity) -> None:
        self.density = density
        uniform, graded = _barycentric(120), _barycentric(48) ** 4
        closed = np.unique(np.concatenate([uniform, graded / graded.sum(axis=1, keepdims=True)]).round(15), axis=0)
        self.closed = closed  # (points, 3)
        self.x = closed[:, :2] * (1 - 1e-15)  # so that 1 - x_1 - x_2 does not round to less than zero
        self.f = density.value(self.x.T)

    def is_stable(self, x: Array) -> bool:
        """Whether the tangent plane at x lies below f everywhere."""
        mu = self.density.potential(x)
        return bool(np.nanmin(self.f - self.density.value(x) - (self.x - x) @ mu) > -1e-10)

    def equilibrium(self, start: Array, through: Array | None = None) -> Array | None:
        phases = _equilibrium(self.density, start, through)
        return phases if phases is not None and self.is_stable(phases[0]) else None


class _Hull:
    """The lower convex hull of f on the points of a simplex.

    An edge on whose middle f lies above the chord spans a gap; along all others f is convex. A facet with two such edges belongs to a
    two-phase region, one with three joins three phases.
    """

    def __init__(self, simplex: _Simplex) -> None:
        self._simplex = simplex
        x, f = simplex.x, simplex.f
        hull = scipy.spatial.ConvexHull(np.column_stack([x, f]), qhull_options="Qt")
        facets = hull.simplices[hull.equations[:, 2] < 0]
        pairs = np.sort(facets[:, [[0, 1], [1, 2], [2, 0]]], axis=-1)
        a, b = pairs[..., 0], pairs[..., 1]
        middle = simplex.density.value(np.moveaxis((x[a] + x[b]) / 2, -1, 0))
        spans = middle > (f[a] + f[b]) / 2
        spanning = spans.sum(axis=1)
        self.triangles = list(x[facets[spanning == 3]])
        self._links: dict[Edge, list[Edge]] = {}
        for edges, gap in zip(pairs[spanning == 2], spans[spanning == 2], strict=True):
            first, second = ((int(p), int(q)) for p, q in edges[gap])
            self._links.setdefault(first, []).append(second)
            self._links.setdefault(second, []).append(first)

    def regions(self) -> Iterator[Array]:
        """Approximate tie lines (k, 2, 2) of each two-phase region, in order."""
        for path in _paths(self._links):
            yield self._simplex.x[_aligned(path)]


def _paths(links: dict[Edge, list[Edge]]) -> Iterator[list[Edge]]:
    """The nodes of a graph of paths and cycles, one after the other; a cycle ends where it begins."""
    left = dict(links)
    for start in [*(node for node in links if len(links[node]) == 1), *links]:
        if start not in left:
            continue
        path = [start]
        del left[start]
        while step := [node for node in links[path[-1]] if node in left]:
            path.append(step[0])
            del left[step[0]]
        if len(path) > 2 and len(links[start]) > 1 and path[-1] in links[start]:
            path.append(start)
        yield path


def _aligned(path: list[Edge]) -> Array:
    """The edges with their ends in such an order that each side follows one phase; consecutive edges share a point."""
    aligned = [path[0]]
    for a, b in path[1:]:
        one, other = aligned[-1]
        aligned.append((a, b) if a == one or b == other else (b, a))
    return np.array(aligned)


def _length(path: Array) -> float:
    return float(np.linalg.norm(np.diff(path.mean(axis=1), axis=0), axis=1).sum())


def _two_phases(simplex: _Simplex, path: Array, triangles: list[Array], critical: list[Array], count: int) -> Array | None:
    """Refined tie lines (k, 2, 2) of a region, from end to end. Takes the critical point at which it ends out of the list.

    None for what has no end: strips of the hull that the grid cuts off a larger region near its critical point.
    """
    middles = path.mean(axis=1)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middles, axis=0), axis=1))])
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], count + 2)[1:-1]))
    inner: list[Array] = []
    for k in chosen:
        line = simplex.equilibrium(path[k], middles[k])
        if line is None and inner:
            line = simplex.equilibrium(inner[-1], middles[k])
        if line is not None:
            inner.append(line)
    if not inner:
        return None
    first = _end(simplex, path[0], inner[0], triangles, critical)
    last = _end(simplex, path[-1], inner[-1], triangles, critical)
    return np.array([*first[::-1], *inner, *last]) if first or last else None


def _end(simplex: _Simplex, edge: Array, nearest: Array, triangles: list[Array], critical: list[Array]) -> list[Array]:
    """What lies between the tie line `nearest` and the end of its region, which is at the hull's `edge`, from the inside out.

    Regions end in a triangle's side, in a critical point, or at the diagram's edge (MARGIN before it).
    """
    closed = np.column_stack([edge, 1 - edge.sum(axis=1)])
    absent = np.flatnonzero(closed.max(axis=0) < 1e-12)
    if absent.size:
        closed *= 1 - MARGIN
        closed[:, absent[0]] = MARGIN
        line = simplex.equilibrium(closed[:, :2], closed[:, :2].mean(axis=0))
        return [] if line is None else [line]
    sides = [_towards(nearest, np.delete(triangle, k, axis=0)) for triangle in triangles for k in range(3)]
    for side in sides:
        if np.abs(side - _towards(side, edge)).max() < 0.05:
            return [side]
    near = [k for k, c in enumerate(critical) if np.abs(c - edge.mean(axis=0)).max() < 0.1]
    if not near:
        return []
    c = critical.pop(near[0])
    return [*_approach(simplex, nearest, c), np.array([c, c])]


def _towards(line: Array, other: Array) -> Array:
    """The other pair of phases in the order of the first."""
    straight, crossed = (float(np.linalg.norm(line - pair)) for pair in (other, other[::-1]))
    return other if straight < crossed else other[::-1]


def _approach(simplex: _Simplex, line: Array, critical: Array) -> list[Array]:
    """Tie lines on the way to a critical point, where their length is as the square root of the distance."""
    found = []
    for s in np.linspace(1, 0, 9)[1:-1]:
        through = critical[0] + s**2 * (line.mean(axis=0) - critical[0])
        closer = simplex.equilibrium(through + s * (line - line.mean(axis=0)), through)
        if closer is not None:
            found.append(closer)
    return found


def _distinct(found: list[Array]) -> list[Array]:
    kept: list[Array] = []
    for points in found:
        points = points[np.lexsort(points.T)]
        if all(np.abs(points - other).max() > 1e-6 for other in kept):
            kept.append(points)
    return kept


# -- spinodal -------------------------------------------------------------------------------------------------------------------


def spinodal(density: LocalDensity, n: int = 160) -> Iterator[Array]:
    """The curves (m, 2) on which the first thermodynamic factor is zero, from a triangular grid of n intervals; closed ones end where they begin.

    They end MARGIN before the triangle's edges. Points are exact to rounding; islands between the grid's points are overlooked.
    """
    index = _indices(n)
    x = ((_barycentric(n) * (1 - 3 * MARGIN)) + MARGIN)[:, :2]
    number = {tuple(ij): k for k, ij in enumerate(index)}
    unstable = thermodynamic_factors(density, x.T)[:, 0] < 0

    def triangles() -> Iterator[tuple[int, int, int]]:
        for i, j in index:
            if i + j < n:
                yield number[i, j], number[i + 1, j], number[i, j + 1]
            if i + j < n - 1:
                yield number[i + 1, j], number[i, j + 1], number[i + 1, j + 1]

    links: dict[Edge, list[Edge]] = {}
    for a, b, c in triangles():
        crossed: list[Edge] = [(min(p, q), max(p, q)) for p, q in ((a, b), (b, c), (c, a)) if unstable[p] != unstable[q]]
        if crossed:
            links.setdefault(crossed[0], []).append(crossed[1])
            links.setdefault(crossed[1], []).append(crossed[0])
    if not links:
        return
    edges = list(links)
    stable_end, unstable_end = (np.array([x[p] if unstable[p] == side else x[q] for p, q in edges]) for side in (False, True))
    for _ in range(60):
        middle = (stable_end + unstable_end) / 2
        below = thermodynamic_factors(density, middle.T)[:, :1] < 0
        stable_end, unstable_end = np.where(below, stable_end, middle), np.where(below, middle, unstable_end)
    point = dict(zip(edges, stable_end, strict=True))
    for path in _paths(links):
        yield np.array([point[edge] for edge in path])


def _critical_points(simplex: _Simplex, curves: list[Array]) -> list[Array]:
    """The stable states where d2f v = 0 and d3f v v v = 0 for the same v: where the third derivative changes its sign on a spinodal."""
    found: list[Array] = []
    for curve in curves:
        v = _softest(simplex.density, curve)
        for k in range(1, len(v)):
            v[k] *= np.sign(v[k] @ v[k - 1]) or 1.0
        cubic = _cubic(simplex.density, curve, v)
        for k in np.flatnonzero(np.sign(cubic[1:]) != np.sign(cubic[:-1])):
            point = _critical_point(simplex.density, curve[k], curve[k + 1], v[k])
            if point is not None and all(np.abs(point - other).max() > 1e-6 for other in found) and simplex.is_stable(point):
                found.append(point)
    return found


def _critical_point(density: LocalDensity, a: Array, b: Array, v: Array) -> Array | None:
    """The point between two of a spinodal; v orients the direction of zero curvature. None where the spinodal bends too much."""
    normal = np.array([a[1] - b[1], b[0] - a[0]])

    def on_spinodal(t: float) -> Array:
        chord = a + t * (b - a)
        return chord + normal * _root(lambda s: float(thermodynamic_factors(density, chord + s * normal)[0]), -0.5, 0.5)

    def cubic(t: float) -> float:
        x = on_spinodal(t)[None]
        direction = _softest(density, x)
        return float(_cubic(density, x, direction * np.sign(direction @ v))[0])

    try:
        return on_spinodal(_root(cubic, 0.0, 1.0))
    except ValueError:
        return None


def _softest(density: LocalDensity, x: Array) -> Array:
    """The eigenvectors of the smallest eigenvalue of d2f, (m, 2) for x of shape (m, 2)."""
    _, vectors = np.linalg.eigh(np.moveaxis(density.hessian(x.T), -1, 0))
    return np.array(vectors[:, :, 0])


def _cubic(density: LocalDensity, x: Array, v: Array) -> Array:
    """d3f v v v, (m,) for x and v of shape (m, 2)."""
    return np.einsum("ijkm,mi,mj,mk->m", density.third(x.T), v, v, v)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """ValueError without a change of sign."""
    return float(scipy.optimize.brentq(function, low, high, xtol=1e-15, rtol=4 * np.finfo(float).eps))


def _indices(n: int) -> Array:
    return np.array([(i, j) for i in range(n + 1) for j in range(n + 1 - i)])


def _barycentric(n: int) -> Array:
    """The points of a triangular grid with n intervals on each side, (points, 3)."""
    index = _indices(n)
    return np.column_stack([index, n - index.sum(axis=1)]) / n
