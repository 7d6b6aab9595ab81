"""PFHub benchmark 1 on coarse meshes, for a short time, against spectral solutions (tests/reference; see scripts/studies.py)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fem_diffusion import Problem
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_sum
from fem_diffusion.system import System

REPO = Path(__file__).resolve().parent.parent
END = 20.0


def history(case: str, cells: int, tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, free energies and mean concentrations of all steps up to END."""
    changes = {"mesh.cells": f"[{cells}, {cells}]", "time.end": str(END), "time.tolerance": str(tolerance), "output.times": "1"}
    system = System(Problem.read(REPO / "problems" / f"pfhub_{case}.toml", changes))
    integrator = Integrator(system)
    area = float(global_sum(system.comm, system.volume.sum()))
    rows = [(0.0, integrator.energy, system.masses()[0] / area)]
    rows += [(step.time, step.energy, system.masses()[0] / area) for step in integrator.steps()]
    return tuple(np.array(rows).T)  # type: ignore[return-value]


def reference(case: str) -> dict[float, float]:
    with (REPO / "tests" / "reference" / f"pfhub_{case}.csv").open() as file:
        return {float(row["time"]): float(row["free_energy"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("case", ["1a", "1b"])
def test_free_energy_follows_the_spectral_solution(case: str) -> None:
    """h = 2 has two cells across the interface, and still 0.1 % before it forms and 2 % after (measured: 0.05 % and 1.6 %)."""
    times, energies, means = history(case, 100, 1e-3)
    exact = reference(case)
    for t, tolerance in ((1.0, 1e-3), (2.0, 1e-3), (5.0, 1e-3), (20.0, 2e-2)):
        assert np.interp(t, times, energies) == pytest.approx(exact[t], rel=tolerance), f"t = {t}"
    assert np.all(np.diff(energies) <= 1e-12 * np.abs(energies[1:]))
    assert np.abs(means / means[0] - 1).max() <= 1e-13
    assert means[0] == pytest.approx(0.502522769, abs=1e-6)  # mean of the initial state by 200-point Gauss quadrature in x and y
