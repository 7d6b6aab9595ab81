"""The problems of several species that come with the package, each against its number: published, in closed form, or of independent.py."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from independent import DUNCAN_TOOR_BAR, HOUR, LOSCHMIDT_TUBE, Array, StefanTube, TwoBulbs, kirkendall_plane, linear_couple
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from fem_diffusion import Problem, run
from fem_diffusion.integrator import Integrator
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.system import System

PROBLEMS = Path(__file__).parents[1] / "problems"


def read(name: str, *changes: str) -> Problem:
    return Problem.read(PROBLEMS / f"{name}.toml", dict(change.split("=", 1) for change in changes))


def history(problem: Problem, folder: Path) -> dict[str, Array]:
    """The columns of history.csv of a run."""
    with (run(problem, folder / "out") / "history.csv").open() as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))


def last(problem: Problem) -> System:
    """The final state."""
    system = System(problem)
    for _ in Integrator(system).steps():
        pass
    return system


def at(columns: dict[str, Array], name: str, times: Array | list[float]) -> Array:
    return CubicSpline(columns["time"], columns[name])(times)


def test_duncan_toor_bar(folder: Path) -> None:
    """Nitrogen of the left half is .438944 at 23.5 s, when it turns back, and .446872 at 40 s."""
    columns = history(read("duncan_toor_bar", "mesh.cells=101", "time.end='45 s'", "output.times=['45 s']"), folder)
    times = [5.0, 23.5, 40.0]
    means = DUNCAN_TOOR_BAR.means(times)
    for i, name in enumerate(("H2", "N2")):
        assert at(columns, f"mean_{name}_left", times) == pytest.approx(means[i, 0], abs=2e-4)
        assert at(columns, f"mean_{name}_right", times) == pytest.approx(means[i, 1], abs=2e-4)
    turn = columns["time"][np.argmin(columns["mean_N2_left"])]
    assert turn == pytest.approx(23.5, abs=2.0)
    for name in ("H2", "N2", "CO2"):
        assert columns[f"mass_{name}"] == pytest.approx(columns[f"mass_{name}"][0], rel=1e-12)


@pytest.mark.parametrize("h", [4.0, 5.0])
def test_mesh_of_the_bulbs_has_the_volumes(h: float) -> None:
    """77.99 and 78.63 cm^3 to 0.1 %, and the capillary's pi/4 (2.08 mm)^2 85.9 mm, although all are made of flat facets."""
    system = System(read("duncan_toor_bulbs", f"mesh.parameters={{ h = {h} }}"))
    volumes = [global_sum(system.comm, float(system.formulation.region_weights(name).sum())) for name in ("bulb1", "capillary", "bulb2")]
    assert np.array(volumes) * system.scales.length**3 == pytest.approx([77.99e-6, np.pi / 4 * 2.08e-3**2 * 85.9e-3, 78.63e-6], rel=1e-3)


@pytest.mark.serial
def test_duncan_toor_bulbs(folder: Path) -> None:
    """Run 1 on a coarser mesh of the same cell: the osmotic point, the barrier and the way there within 1 % of the quasi-steady solution."""
    coarse = ["mesh.parameters={ h = 8, segments = 16, layers = 24, growth = 0.5 }", "time.end='12 h'", "output.times=['12 h']"]
    columns = history(read("duncan_toor_bulbs", *coarse), folder)
    bulbs = TwoBulbs()
    osmotic, barrier, solution = bulbs.osmotic_point_and_barrier()
    times = HOUR * np.array([1.0, 2.0, 4.0, 8.0, 12.0])
    for k, bulb in enumerate(("bulb1", "bulb2")):
        for i, name in enumerate(("H2", "N2", "CO2")):
            assert at(columns, f"mean_{name}_{bulb}", times) == pytest.approx(solution.sol(times)[i + 3 * k], abs=1.5e-3)
    gap = CubicSpline(columns["time"], columns["mean_N2_bulb1"] - columns["mean_N2_bulb2"])
    assert gap.roots(extrapolate=False) / osmotic == pytest.approx([1.0], rel=1e-2)
    late = columns["time"] > HOUR
    nitrogen = CubicSpline(columns["time"][late], columns["mean_N2_bulb1"][late])
    (stands_still,) = nitrogen.derivative().roots(extrapolate=False)
    assert stands_still == pytest.approx(barrier, rel=1e-2)
    assert gap(stands_still) == pytest.approx(0.12292554, rel=1e-2)


def test_loschmidt_tube(folder: Path) -> None:
    """Argon of the bottom half rises from .509 to .554568 after 1262 s."""
    columns = history(read("loschmidt_tube", "mesh.cells=101", "time.end='1 h'", "output.times=['1 h']"), folder)
    times = [300.0, 900.0, 1262.0, 3590.0]
    means = LOSCHMIDT_TUBE.means(times)
    for i, name in enumerate(("CH4", "Ar")):
        assert at(columns, f"mean_{name}_bottom", times) == pytest.approx(means[i, 0], abs=2e-4)
    assert columns["mean_Ar_bottom"].max() == pytest.approx(0.554568, abs=2e-4)


def test_stefan_tube(folder: Path) -> None:
    """Taylor & Krishna, example 2.1.1: 1.783e-3 and 3.127e-3 mol/(m^2 s)."""
    columns = history(read("stefan_tube"), folder)
    tube = StefanTube()
    for i, name in enumerate(("acetone", "methanol")):
        leaves, enters = (columns[f"flux_{name}_{side}"][-1] for side in ("right", "left"))
        assert leaves * tube.concentration == pytest.approx(tube.fluxes[i], rel=1e-4)
        assert enters == pytest.approx(-leaves, rel=1e-8)
        assert leaves * tube.concentration == pytest.approx((1.783e-3, 3.127e-3)[i], rel=1e-3)


def test_darken_weld() -> None:
    """Carbon against the closed form, within 1 % of the step at the weld; its limits near the weld are .324 | .595 wt%."""
    problem = read("darken_weld")
    system = last(problem)
    t = float(problem.time.end)
    assert t == 13 * 24 * HOUR
    z = system.formulation.x[0] * system.scales.length
    D = 1e-12 * np.array([[48, 3.4], [0, 0.23]])
    exact = linear_couple(D, np.array([0.00478, 0.0380]), np.array([0.00441, 0.0]), z / np.sqrt(t))
    for i, step in enumerate((0.00270463, 0.0380)):
        assert global_max(system.comm, np.abs(system.concentrations[:, i] - exact[i])) < 0.01 * step
    c = system.concentrations[:, 0]
    eta = np.linspace(0, 1e-4, 4001)
    highest = linear_couple(D, np.array([0.00478, 0.0380]), np.array([0.00441, 0.0]), eta)[0].max()
    assert global_max(system.comm, c) == pytest.approx(highest, rel=1e-3)
    assert global_max(system.comm, c) > 1.19 * 0.00478  # carbon from .478 to .57 wt%: uphill


def three_phases(chi: float) -> float:
    """a of the phases (1 - 2a, a, a): mu_1 = mu_2 by ln((1 - 2a)/a) = chi (1 - 3a)"""
    return float(brentq(lambda a: np.log((1 - 2 * a) / a) - chi * (1 - 3 * a), 1e-6, 0.15))


@pytest.mark.parametrize("waves", [1, 2, 5])
def test_ternary_mixture_decomposes_at_the_rate_of_its_waves(waves: int) -> None:
    """-L (H + k^2 K) of the equimolar mixture is D k^2 (chi - 3 - kappa k^2)/3 times the unit matrix: any mix of the species grows alike."""
    length, D, chi, kappa, amplitude = 50.0, 1.0, 3.5, 2.0, 1e-4
    k = 2 * np.pi * waves / length
    omega = D * k**2 * (chi - 3 - kappa * k**2) / 3
    assert (omega > 0) == (waves < 4)
    end = float(1 / abs(omega))
    mode = f"cos({float(k)!r}*x)"
    system = last(
        read(
            "ternary_decomposition",
            f"mesh.size=[{length}, 4.0]",
            "mesh.cells=[200, 4]",
            f"species.0.initial='1/3 + {2 * amplitude}*{mode}'",
            f"species.1.initial='1/3 - {amplitude}*{mode}'",
            f"time={{ end = {end!r}, step = {end / 16!r}, scheme = 'avf' }}",
            f"output.times=[{end!r}]",
        )
    )
    wave = np.cos(k * system.formulation.x[0]) * system.volume
    norm = global_sum(system.comm, wave @ np.cos(k * system.formulation.x[0]))
    for i, start in enumerate((2 * amplitude, -amplitude)):
        grown = global_sum(system.comm, wave @ (system.concentrations[:, i] - 1 / 3)) / norm
        assert np.log(grown / start) / end == pytest.approx(omega, rel=1e-2)


@pytest.mark.serial
def test_ternary_mixture_becomes_three_phases() -> None:
    """Each species is 1 - 2a in its own phase; what surface tension adds, of the order of kappa/radius, is below 1 %."""
    system = last(
        read("ternary_decomposition", "mesh.size=[36.0, 36.0]", "mesh.cells=[36, 36]", "time.end=1200.0", "output.times=[1200.0]")
    )
    rich = 1 - 2 * three_phases(3.5)
    assert rich == pytest.approx(0.91290, abs=1e-5)
    c = system.concentrations
    for x in (c[:, 0], c[:, 1], 1 - c.sum(axis=1)):
        assert x.max() == pytest.approx(rich, rel=1e-2)


def test_ions_reach_the_boltzmann_distribution() -> None:
    system = last(read("external_potential", "mesh.cells=[32, 16]"))
    x, y, *_ = system.formulation.x
    weight = np.exp(-(3 * ((x / 0.6) ** 2 - 1) ** 2 + x + 8 * y**2))
    boltzmann = system.masses()[0] * weight / global_sum(system.comm, float(system.volume @ weight))
    assert system.concentrations[:, 0] == pytest.approx(boltzmann, rel=1e-6)
    assert global_max(system.comm, np.abs(system.cells.fluxes()["ion"])) < 1e-11  # of the order of one at the start


def test_kirkendall_markers_move_by_the_parabolic_law(folder: Path) -> None:
    """From the weld by K sqrt(t), K = 1.13669, less a third of a cell for the first step, which is as wide as a cell."""
    columns = history(read("kirkendall"), folder)
    K = kirkendall_plane(1.0, 4.0)
    early, late = at(columns, "marker_weld_x", [0.2, 1.0])
    assert late == pytest.approx(K, rel=1e-2)
    assert late - early == pytest.approx(K * (1 - np.sqrt(0.2)), rel=1e-3)
