"""How a step scales on a cluster, from counts: the tables and the figure of docs/scaling.md.   scaling_model.py [FIGURE.png]

Time of one linear iteration on P ranks that share N vertices,

    T = N B/(P W) + log2(P) R t + E (m t + S/w),        S = 8 c (N/P)^((d-1)/d) bytes

B: bytes a vertex moves through memory, R: reductions over all ranks, E: exchanges of values at the ranks' boundaries, with m neighbours; W: memory
bandwidth of a rank, t and w: latency and bandwidth of the network for a rank, c: the sides of a part. A cycle of multigrid exchanges on every level;
there the largest count of the levels' ranks is taken, all of them, which is pessimistic on the coarse ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

# A node: 120 cores, STREAM triad 350 GB/s, 1.2 microseconds, 200 Gbit/s (Azure HBv3: Microsoft, "HBv3-series VM sizes performance and scalability")
CORES, NODE_BANDWIDTH, LATENCY, NODE_NETWORK = 120, 350e9, 1.2e-6, 25e9
ENTRY, VALUE = 12, 8  # bytes of a matrix entry with its column, and of a number


@dataclass(frozen=True)
class Mesh:
    """d, entries in a row of K, neighbours of a part, sides of a part"""

    dimension: int
    row: int
    neighbours: int
    sides: int

    @property
    def product(self) -> float:
        """Bytes per vertex of K x: the matrix and its row's start, x and y."""
        return self.row * ENTRY + 4 + 2 * VALUE


SQUARE, CUBE = Mesh(2, 7, 8, 4), Mesh(3, 15, 26, 6)


@dataclass(frozen=True)
class Iteration:
    """What a linear iteration does: products with K, other bytes per vertex, reductions, and exchanges of scalars.

    cycles: of multigrid, each as long as CYCLE products with the fine level's matrix, with one more reduction
    """

    name: str
    mesh: Mesh
    products: float
    other: float
    reductions: int
    exchanges: int
    cycles: int = 0
    coarsening: float = 8.0

    def bytes(self) -> float:
        return (self.products + self.cycles * CYCLE) * self.mesh.product + self.other

    def time(self, vertices: float, ranks: float) -> tuple[float, float, float]:
        """Seconds in memory, reductions and exchanges."""
        part, hops = vertices / ranks, np.log2(max(ranks, 2)) if ranks > 1 else 0.0
        halo = self.mesh.sides * VALUE * part ** (1 - 1 / self.mesh.dimension)
        exchange = (self.mesh.neighbours * LATENCY + halo / (NODE_NETWORK / CORES)) if ranks > 1 else 0.0
        levels = max(1.0, np.log(vertices) / np.log(self.coarsening))
        count = self.exchanges + self.cycles * EXCHANGES_OF_A_LEVEL * levels
        return (
            self.bytes() * part / (NODE_BANDWIDTH / CORES),
            hops * (self.reductions + self.cycles) * LATENCY,
            count * exchange,
        )


CYCLE = 20.0  # a BoomerAMG cycle's time over that of a product with its matrix: measured, 18 to 23 in the plane and in space, in memory beyond caches
EXCHANGES_OF_A_LEVEL = 5  # a sweep, a residual and a restriction on the way down, a prolongation and a sweep on the way up
BASIS = 24 + 8 * (10 + 2)  # of flexible GMRES: projections on ten vectors on average, half of that read twice
NUMPY = 290 + 160 + 150  # vector passes of `mult` and `apply` and the copies between, per vertex of one species
SWEEP = 80  # Jacobi, recurrence and residual of one Chebyshev sweep


def chebyshev(mesh: Mesh, sweeps: int) -> Iteration:
    """Cahn-Hilliard with two factors of second order, inverted by so many sweeps each."""
    products = 2 + 2 * (sweeps - 1)
    return Iteration(f"Cahn-Hilliard {mesh.dimension}D, {sweeps} sweeps", mesh, products, NUMPY + BASIS + 2 * sweeps * SWEEP, 2, products)


def multigrid(mesh: Mesh) -> Iteration:
    """The same, inverted by one cycle each."""
    return Iteration(f"Cahn-Hilliard {mesh.dimension}D, multigrid", mesh, 2, NUMPY + BASIS, 2, 2, cycles=2)


def two_level(mesh: Mesh, ions: int = 2) -> Iteration:
    """Ions: J x and two residuals, off-diagonal blocks in two sweeps over n + 1 fields, 2 (n + 1) + 1 cycles; J is (n + 1)^2 times as large as K."""
    fields = ions + 1
    off_diagonal = 2 * fields * (fields - 1) / 2
    return Iteration(
        f"{ions} ions {mesh.dimension}D, two levels", mesh, 3 * fields**2 + off_diagonal, fields * BASIS, 2, 7, cycles=2 * fields + 1
    )


SIZES = (1e6, 1e7, 1e8, 1e9)
CASES = (chebyshev(SQUARE, 5), chebyshev(CUBE, 3), multigrid(SQUARE), multigrid(CUBE), two_level(SQUARE), two_level(CUBE))


def half_efficient(case: Iteration, vertices: float) -> float:
    """The number of ranks at which half of the time goes into messages."""
    ranks = 2.0 ** np.arange(1, 40, 0.01)
    times = np.array([case.time(vertices, P) for P in ranks])
    return float(ranks[np.argmax(times[:, 0] < times[:, 1:].sum(axis=1))])


def main() -> None:
    print("| iteration | products with K | bytes per vertex | reductions | exchanges | 1 rank, per 10^6 vertices |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        exchanges = f"{case.exchanges}" + (f" + {case.cycles} cycles" if case.cycles else "")
        seconds = case.time(1e6, 1)[0] * (NODE_BANDWIDTH / CORES) / 21e9  # of one core alone
        reductions, count = f"{case.reductions + case.cycles}", f"{case.products:g} | {case.bytes():.0f}"
        print(f"| {case.name} | {count} | {reductions} | {exchanges} | {1e3 * seconds:.0f} ms |")
    print("\nwhere half of the time is messages: vertices on a rank, ranks, ms an iteration takes\n")
    print("| iteration | " + " | ".join(f"{vertices:.0e} vertices" for vertices in SIZES) + " |")
    print("|---|" + "---|" * len(SIZES))
    for case in CASES:
        ranks = [half_efficient(case, vertices) for vertices in SIZES]
        cells = [f"{N / P:.0f}, {P:.2g}, {1e3 * sum(case.time(N, P)):.2g}" for N, P in zip(SIZES, ranks, strict=True)]
        print(f"| {case.name} | {' | '.join(cells)} |")
    if len(sys.argv) > 1:
        draw(sys.argv[1])


def draw(path: str) -> None:
    """Time of an iteration against ranks, 10^8 vertices."""
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    ranks = 2.0 ** np.arange(0, 18, 0.25)
    for case in CASES:
        panel.loglog(ranks, [1e3 * sum(case.time(1e8, P)) for P in ranks], "-" if case.mesh is CUBE else "--", label=case.name)
    panel.set(title="One linear iteration, $10^8$ vertices (model)", xlabel="ranks, 120 on a node", ylabel="ms")
    panel.grid(True, which="major", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
