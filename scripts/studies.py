"""Long studies against published numbers; `scripts/verify` runs them.   studies.py [1a-200 1b-200 1a-400 1b-400 ...]

PFHub benchmark 1 (Jokisaari et al., Comput. Mater. Sci. 126 (2017) 139): the free energy over time on n x n meshes against spectral
solutions (Fourier for 1a, cosine for 1b; 192 modes a side, ETDRK4 with tolerance 4e-7, checked against 128 to 320 modes), which are
in tests/reference. Prints a table; the results folders stay in results/verify.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from fem_diffusion import Problem, run

REPO = Path(__file__).resolve().parent.parent
TIMES = (1, 5, 10, 20, 50, 100, 200)
DEFAULT = ("1a-200", "1b-200", "1a-400", "1b-400")


def reference(case: str) -> dict[float, float]:
    with (REPO / "tests" / "reference" / f"pfhub_{case}.csv").open() as file:
        return {float(row["time"]): float(row["free_energy"]) for row in csv.DictReader(file)}


def free_energy(case: str, cells: int, tolerance: float) -> tuple[np.ndarray, float]:
    """F at TIMES on a cells x cells mesh, and the drift of the mean concentration. A finished folder is not run again."""
    folder = Path("results") / "verify" / f"pfhub_{case}-{cells}-{tolerance:g}"
    if not (folder / "provenance.json").exists():
        changes = {"mesh.cells": f"[{cells}, {cells}]", "time.tolerance": str(tolerance), "time.end": str(TIMES[-1])}
        run(Problem.read(REPO / "problems" / f"pfhub_{case}.toml", changes), folder)
    rows = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    mass = rows["mass_A"]
    # between steps F is smooth: a cubic through its nearest steps
    return np.array([_cubic(rows["time"], rows["energy"], t) for t in TIMES]), float(np.abs(mass / mass[0] - 1).max())


def _cubic(x: np.ndarray, y: np.ndarray, at: float) -> float:
    first = int(np.clip(np.searchsorted(x, at) - 2, 0, len(x) - 4))
    nodes, values = x[first : first + 4], y[first : first + 4]
    weights = [np.prod([(at - b) / (a - b) for b in nodes if b != a]) for a in nodes]
    return float(np.dot(weights, values))


def main() -> None:
    studies = sys.argv[1:] or DEFAULT
    say("| case | cells | tolerance | " + " | ".join(f"t = {t}" for t in TIMES) + " | drift of the mean | s |")
    say("|---|---|---|" + "---|" * (len(TIMES) + 2))
    for study in studies:
        case, cells, *rest = study.split("-", 2)
        tolerance = float(rest[0]) if rest else 1e-3
        started = time.perf_counter()
        F, drift = free_energy(case, int(cells), tolerance)
        exact = reference(case)
        errors = " | ".join(f"{100 * (value / exact[t] - 1):+.3f} %" for t, value in zip(TIMES, F, strict=True))
        say(f"| {case} | {cells} | {tolerance:g} | {errors} | {drift:.1e} | {time.perf_counter() - started:.0f} |")


def say(text: str) -> None:
    if MPI.COMM_WORLD.rank == 0:
        print(text, flush=True)


main()
