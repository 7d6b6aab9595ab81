"""Long studies against independent solutions; `scripts/verify` runs them.   studies.py [CASE-CELLS[-TOLERANCE] ...]

PFHub benchmark 1 (Jokisaari et al., Comput. Mater. Sci. 126 (2017) 139): the free energy over time on n x n meshes against spectral
solutions (scripts/spectral_reference.py, 192 modes a side, step 0.05; 128 modes agree to 1e-5), which are in tests/reference.
Prints a table, and exits with 1 where an error is above its bound; the results folders stay in results/verify and are not run again.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from fem_diffusion import Problem, run

REPO = Path(__file__).resolve().parent.parent
TIMES = (1, 5, 10, 20, 50, 100, 200)
DEFAULT = ("1a-200", "1b-200", "1a-400", "1b-200-1e-4", "1b-300-1e-4")
FINE = {400: {100: 0.5e-2}}  # bounds of a mesh beside those of all meshes
EXTRAPOLATED = 1e-3  # bound for 1b at t = 100 after Richardson's extrapolation in h from the two meshes with tolerance 1e-4


def bound(case: str, cells: int, t: int) -> float:
    """Largest relative error of F: 1 % up to t = 50 (1a) and 100 (1b), 3 % up to 200."""
    general = 1e-2 if t <= {"1a": 50, "1b": 100}[case] else 3e-2
    return FINE.get(cells, {}).get(t, general)


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
    missed, sharp = [], {}
    say("| case | cells | tolerance | " + " | ".join(f"t = {t}" for t in TIMES) + " | drift of the mean |")
    say("|---|---|---|" + "---|" * (len(TIMES) + 1))
    for study in studies:
        case, cells, *rest = study.split("-", 2)
        tolerance = float(rest[0]) if rest else 1e-3
        F, drift = free_energy(case, int(cells), tolerance)
        exact = reference(case)
        errors = {t: value / exact[t] - 1 for t, value in zip(TIMES, F, strict=True)}
        missed += [f"{study} at t = {t}: {100 * e:+.3f} %" for t, e in errors.items() if abs(e) > bound(case, int(cells), t)]
        missed += [f"{study}: the mean drifts by {drift:.1e}"] if drift > 1e-13 else []
        if case == "1b" and tolerance == 1e-4:
            sharp[int(cells)] = F[TIMES.index(100)]
        say(f"| {case} | {cells} | {tolerance:g} | " + " | ".join(f"{100 * e:+.3f} %" for e in errors.values()) + f" | {drift:.0e} |")
    if len(sharp) == 2:
        (n, coarse), (m, fine) = sorted(sharp.items())
        extrapolated = fine + (fine - coarse) / ((m / n) ** 2 - 1)
        error = extrapolated / reference("1b")[100] - 1
        say(f"\n1b at t = 100, extrapolated in h from {n} and {m} cells: {extrapolated:.3f}, {100 * error:+.3f} %")
        missed += [f"the extrapolation: {100 * error:+.3f} %"] if abs(error) > EXTRAPOLATED else []
    for miss in missed:
        say(f"above its bound: {miss}")
    sys.exit(1 if missed else 0)


def say(text: str) -> None:
    if MPI.COMM_WORLD.rank == 0:
        print(text, flush=True)


main()
