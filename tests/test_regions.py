"""Parameters by region, dielectrics that no species enters, surfaces inside the domain."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mpi4py import MPI
from scipy.optimize import brentq

from fem_diffusion import Problem
from fem_diffusion.diagnostics import Columns
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator
from fem_diffusion.output import Output
from fem_diffusion.run import steps
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
IONS = [{"name": "Na", "charge": 1, "initial": 0.5, "diffusivity": 1}, {"name": "Cl", "charge": -1, "initial": 0.5, "diffusivity": 2}]
STEADY = {"end": 100, "steady": True}


def line(folder: Path, points: list[float], cells: list[int], names: list[str], ends: list[str], ratios: list[float] | None = None) -> None:
    """An interval of named pieces between named points, layers.geo."""
    lines = [f"Point({i + 1}) = {{{x}, 0, 0}};" for i, x in enumerate(points)]
    for i, (n, name) in enumerate(zip(cells, names, strict=True), start=1):
        ratio = (ratios or [1.0] * len(cells))[i - 1]
        lines += [f"Line({i}) = {{{i}, {i + 1}}};", f"Transfinite Curve{{{i}}} = {n + 1} Using Progression {ratio};"]
        lines += [f'Physical Curve("{name}") = {{{i}}};']
    lines += [f'Physical Point("{name}") = {{{i}}};' for i, name in enumerate(ends, start=1)]
    written(folder, lines)


def strips(folder: Path, points: list[float], names: list[str], ends: list[str], h: float) -> None:
    """A rectangle of the same pieces side by side, of height 1, meshed without structure."""
    lines = [f"Point({2 * i + j + 1}) = {{{x}, {j}, 0, {h}}};" for i, x in enumerate(points) for j in (0, 1)]
    lines += [f"Line({i + 1}) = {{{2 * i + 1}, {2 * i + 2}}};" for i in range(len(points))]
    for i, name in enumerate(names):
        below, above, loop = 100 + i, 200 + i, i + 1
        lines += [f"Line({below}) = {{{2 * i + 1}, {2 * i + 3}}};", f"Line({above}) = {{{2 * i + 2}, {2 * i + 4}}};"]
        lines += [f"Curve Loop({loop}) = {{{below}, {i + 2}, {-above}, {-(i + 1)}}};", f"Plane Surface({loop}) = {{{loop}}};"]
        lines += [f'Physical Surface("{name}") = {{{loop}}};']
    lines += [f'Physical Curve("{name}") = {{{i}}};' for i, name in enumerate(ends, start=1)]
    written(folder, lines)


def written(folder: Path, lines: list[str]) -> None:
    if COMM.rank == 0:
        (folder / "layers.geo").write_text("\n".join(lines) + "\n")
    COMM.barrier()


def finished(folder: Path, **table: Any) -> tuple[System, dict[str, float]]:
    """A problem at its end, and its last row of history.csv."""
    system = System(Problem(mesh={"file": "layers.geo"}, directory=folder, **table))
    columns = Columns(system)
    for step in steps(Integrator(system)):
        last = step
    return system, columns.row(last)


def phi_of(system: System) -> np.ndarray:
    return system.formulation.all_phi()[: system.formulation.vertices]


# --- diffusivity by region


@pytest.mark.parametrize("formulation", ["entropy", "fractions"])
def test_layers_in_series(folder: Path, formulation: str) -> None:
    """J = dc/(d_1/D_1 + d_2/D_2). Piecewise linear, so that fractions have it to round-off; entropy variables take L at the vertices, order 2."""
    line(folder, [0, 0.3, 1], [30, 70], ["fast", "slow"], ["left", "middle", "right"])
    D = {"fast": 2.0, "slow": 0.1}
    system, row = finished(
        folder,
        species=[{"name": "A", "initial": 0.4, "diffusivity": D}],
        free_energy=[{"kind": "Ideal"}],
        mobility={"kind": "Fick"},
        boundary={"left": {"concentration": {"A": 0.6}}, "right": {"concentration": {"A": 0.2}}},
        formulation=formulation,
        time={"end": 1000, "steady": True},
    )
    J = 0.4 / (0.3 / D["fast"] + 0.7 / D["slow"])
    assert row["flux_A_right"] == pytest.approx(J, rel=1e-9 if formulation == "fractions" else 1e-4)
    assert row["flux_A_left"] == pytest.approx(-J, rel=1e-9 if formulation == "fractions" else 1e-4)
    x = system.formulation.x[0]
    exact = np.where(x < 0.3, 0.6 - J * x / D["fast"], 0.2 + J * (1 - x) / D["slow"])
    assert system.concentrations[:, 0] == pytest.approx(exact, abs=1e-9 if formulation == "fractions" else 1e-4)


def test_a_law_in_one_region(folder: Path) -> None:
    """An Arrhenius diffusivity beside a plain one, with units."""
    line(folder, [0, 0.3, 1], [3, 7], ["fast", "slow"], ["left", "middle", "right"])
    T, Q = 500.0, 20e3
    _, row = finished(
        folder,
        temperature="500 K",
        molar_volume="1e-5 m^3/mol",
        species=[
            {
                "name": "A",
                "initial": 0.4,
                "diffusivity": {"fast": "2e-9 m^2/s", "slow": {"prefactor": "1e-8 m^2/s", "activation_energy": "20 kJ/mol"}},
            }
        ],
        free_energy=[{"kind": "Ideal"}],
        mobility={"kind": "Fick"},
        boundary={"left": {"concentration": {"A": 0.6}}, "right": {"concentration": {"A": 0.2}}},
        formulation="fractions",
        time={"end": "1e12 s", "steady": True},
    )
    slow = 1e-8 * math.exp(-Q / (8.31446261815324 * T))
    assert row["flux_A_right"] == pytest.approx(0.4 / (0.3 / 2e-9 + 0.7 / slow), rel=1e-9)


# --- fixed charge by region


def test_donnan_potential(folder: Path) -> None:
    """Deep inside a membrane of fixed charge -X the ions are neutral and in equilibrium with the bath: phi = asinh(-X/2c), c_i = c e^(-z_i phi)."""
    X, c, eps = 3.0, 0.5, 1e-4
    line(folder, [0, 0.4, 0.8], [40, 40], ["bath", "membrane"], ["left", "face", "right"], [0.9, 1.1])
    _, row = finished(
        folder,
        species=IONS,
        free_energy=[{"kind": "Ideal"}, {"kind": "Electrostatic", "permittivity": eps, "fixed_charge": {"membrane": -X}}],
        mobility={"kind": "Fick"},
        boundary={"left": {"potential": 0, "concentration": {"Na": c, "Cl": c}}},
        time=STEADY,
        output={"probe": [{"name": "inside", "at": [0.8]}]},
    )
    donnan = math.asinh(-X / (2 * c))
    assert row["phi_inside"] == pytest.approx(donnan, rel=1e-6)
    assert row["Na_inside"] == pytest.approx(c * math.exp(-donnan), rel=1e-6)
    assert row["charge"] == pytest.approx(row["mass_Na"] - row["mass_Cl"] - 0.4 * X, rel=1e-9, abs=1e-12)
    assert row["charge_left"] == pytest.approx(-row["charge"], abs=1e-9)  # nothing else has charge


# --- dielectrics


@pytest.mark.short
@pytest.mark.parametrize("formulation", ["entropy", "fractions"])
def test_slab_in_series_with_a_double_layer(folder: Path, formulation: str) -> None:
    """An electrode at V behind a slab of capacitance C = eps_1/d, before the diffuse layer of Gouy and Chapman:

    C (V - phi_0) = 2 eps_2/lambda sinh(phi_0/2),     tanh(phi/4) = tanh(phi_0/4) e^(-x/lambda),     lambda^2 = eps_2/(2 c)
    """
    V, d, c, eps_1, eps_2 = -12.0, 0.5, 0.5, 0.02, 0.01
    debye = math.sqrt(eps_2 / (2 * c))
    phi_0 = brentq(lambda p: eps_1 / d * (V - p) - 2 * eps_2 / debye * math.sinh(p / 2), V, 0.0)
    assert phi_0 < -2  # the test is one of the nonlinear layer
    errors = []
    for n in (40, 80):
        line(folder, [-d, 0, 20 * debye], [10, n], ["slab", "electrolyte"], ["left", "face", "right"], [1.0, 1.1 ** (40 / n)])
        system, row = finished(
            folder,
            dielectrics=["slab"],
            species=[IONS[0] | {"diffusivity": {"electrolyte": 1.0}}, IONS[1]],
            free_energy=[{"kind": "Ideal"}, {"kind": "Electrostatic", "permittivity": {"slab": eps_1, "electrolyte": eps_2}}],
            mobility={"kind": "Fick"},
            boundary={"left": {"potential": V}, "right": {"potential": 0, "concentration": {"Na": c, "Cl": c}}},
            formulation=formulation,
            time=STEADY,
            output={"probe": [{"name": "face", "at": [0.0]}, {"name": "slab", "at": [-0.03]}]},
        )
        errors.append(abs(row["phi_face"] / phi_0 - 1))
    assert errors[1] < 1e-3
    assert math.log2(errors[0] / errors[1]) > 1.9
    x, phi = system.formulation.x[0], phi_of(system)
    layer = 4 * np.arctanh(math.tanh(phi_0 / 4) * np.exp(-np.maximum(x, 0.0) / debye))
    assert phi == pytest.approx(np.where(x < 0, phi_0 + (phi_0 - V) * x / d, layer), abs=2e-3 * abs(phi_0))
    # matter is in the electrolyte alone
    assert row["charge_left"] == pytest.approx(eps_1 / d * (V - phi_0), rel=2e-3)
    assert row["charge"] == pytest.approx(row["mass_Na"] - row["mass_Cl"], rel=1e-12)
    assert row["charge"] == pytest.approx(-row["charge_left"] - row["charge_right"], rel=1e-9)
    assert system.concentrations[x < -1e-9] == pytest.approx(0.0, abs=0.0)
    # c = c_0 e^(-z phi), in entropy variables exactly: extrema at the face and in the bath, none inside the slab
    exactness = 1e-6 if formulation == "entropy" else 2e-3
    assert [row["min_Na"], row["max_Na"]] == pytest.approx([c, c * math.exp(-row["phi_face"])], rel=exactness)
    assert [row["min_Cl"], row["max_Cl"]] == pytest.approx([c * math.exp(row["phi_face"]), c], rel=exactness)
    assert row["Na_face"] == pytest.approx(row["max_Na"], rel=1e-12)
    assert (row["Na_slab"], row["mu_Na_slab"], row["Cl_slab"]) == (0.0, 0.0, 0.0)
    assert row["phi_slab"] == pytest.approx(row["phi_face"] + (row["phi_face"] - V) * -0.03 / d, rel=1e-9)


def test_charge_in_a_dielectric(folder: Path) -> None:
    """Between electrodes at 0 and the grounded face of the electrolyte, a slab of charge density rho has phi = rho x (d - x)/(2 eps)."""
    d, rho, eps = 0.5, 0.3, 2.0
    line(folder, [0, d, 1], [8, 4], ["slab", "electrolyte"], ["left", "face", "right"])
    system, row = finished(
        folder,
        dielectrics=["slab"],
        species=[ion | {"initial": 0.2} for ion in IONS],
        free_energy=[{"kind": "LatticeGas"}, {"kind": "Electrostatic", "permittivity": eps, "fixed_charge": {"slab": rho}}],
        mobility={"kind": "VolumeExclusion"},
        boundary={name: {"potential": 0} for name in ("left", "face", "right")},
        time={"end": 1e-3, "step": 1e-3},
    )
    x = system.formulation.x[0]
    assert phi_of(system) == pytest.approx(np.where(x < d, rho * x * (d - x) / (2 * eps), 0.0), abs=1e-13)
    assert row["charge"] == pytest.approx(rho * d, rel=1e-12)
    assert [row["charge_left"], row["charge_face"]] == pytest.approx([-rho * d / 2] * 2, rel=1e-11)


# --- surfaces inside the domain


@pytest.mark.short
@pytest.mark.parametrize("dimension", [1, 2])
def test_surface_charge_inside(folder: Path, dimension: int) -> None:
    """eps_1 (p - V)/d_1 + eps_2 p/d_2 = sigma: the jump of eps dphi/dx at a charged surface between two dielectrics, exact for linear elements."""
    V, sigma, d_1, d_2, eps_1, eps_2 = 0.4, 0.7, 0.5, 0.25, 2.0, 5.0
    points, names, ends = [0, d_1, d_1 + d_2, 1.0], ["one", "two", "electrolyte"], ["left", "charged", "face", "right"]
    if dimension == 1:
        line(folder, points, [6, 4, 3], names, ends)
    else:
        strips(folder, points, names, ends, 0.15)
    system, row = finished(
        folder,
        dielectrics=["one", "two"],
        species=[ion | {"initial": 0.2} for ion in IONS],
        free_energy=[
            {"kind": "LatticeGas"},
            {"kind": "Electrostatic", "permittivity": {"one": eps_1, "two": eps_2, "electrolyte": 1.0}},
        ],
        mobility={"kind": "VolumeExclusion"},
        boundary={
            "left": {"potential": V},
            "charged": {"surface_charge": sigma},
            "face": {"potential": 0},
            "right": {"potential": 0},
        },
        time={"end": 1e-3, "step": 1e-3},
    )
    p = (sigma + eps_1 / d_1 * V) / (eps_1 / d_1 + eps_2 / d_2)
    x = system.formulation.x[0]
    assert phi_of(system) == pytest.approx(np.interp(x, points, [V, p, 0.0, 0.0]), abs=1e-12)
    charges = [row[f"charge_{name}"] for name in ends]
    assert charges == pytest.approx([eps_1 * (V - p) / d_1, sigma, -eps_2 * p / d_2, 0.0], abs=1e-12)


# --- results


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.draws
def test_results_with_a_dielectric(folder: Path, dimension: int) -> None:
    """A run writes its files; what goes uphill does so in matter alone, and the picture and ParaView leave the dielectric blank."""
    parts = [0, 0.3, 1.0], ["slab", "electrolyte"], ["left", "face", "right"]
    if dimension == 1:
        line(folder, parts[0], [4, 10], *parts[1:])
    else:
        strips(folder, *parts, 0.2)
    system = System(
        Problem(
            mesh={"file": "layers.geo"},
            directory=folder,
            dielectrics=["slab"],
            species=[ion | {"initial": {"electrolyte": 0.2}} for ion in IONS],
            free_energy=[{"kind": "LatticeGas"}, {"kind": "Electrostatic", "permittivity": 0.1}],
            mobility={"kind": "VolumeExclusion"},
            boundary={"left": {"potential": 2}, "right": {"potential": 0}},
            time={"end": 0.02},
            output={"times": 1, "average": [{"name": "near", "where": "x < 0.5"}]},
        )
    )
    integrator = Integrator(system)
    output = Output(folder / "results", system, integrator)
    for step in steps(integrator):
        output.record(step)
    row = Columns(system).row(step)
    output.finish("reached the end")
    assert row["mass_Na"] == pytest.approx(0.2 * 0.7, rel=1e-12)
    assert 0 < row["mean_Na_near"] < row["mean_Cl_near"]  # the electrode is positive
    assert all(0 <= row[f"uphill_{what}_{name}"] <= 1 for what in ("volume", "flux") for name in ("Na", "Cl"))
    fluxes = system.cells.fluxes()["Na"]
    assert (fluxes[~system.geometry.is_matter[: len(fluxes)]] == 0).all()
    if COMM.rank == 0:
        with h5py.File(folder / "results" / "fields.vtkhdf") as file:
            x, phi = file["VTKHDF/Points"][:, 0], file["VTKHDF/PointData/phi"][:]
            c = file["VTKHDF/PointData/Na"][-len(x) :]
        assert (np.isnan(c) == (x < 0.3 - 1e-9)).all()
        assert np.isfinite(phi).all()
        assert (folder / "results" / "summary.png").stat().st_size > 0


# --- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": {"diffusivity": {"slab": 1.0}}}, r"diffusivities.Na by region leaves out electrolyte"),
        ({"species": {"diffusivity": {"slab": 1.0, "elektrolyte": 2.0}}}, r"no region 'elektrolyte'; did you mean 'electrolyte'"),
        ({"species": {"diffusivity": {"slab": -1.0}}}, r"in the region 'slab': -1.0 must be positive"),
        ({"electric": {"permittivity": {"slab": 1.0}}}, r"Electrostatic: permittivity by region leaves out electrolyte"),
        ({"electric": {"permittivity": {}}}, r"the table is empty"),
        (
            {"electric": {"permittivity": 1.0, "fixed_charge": {"membrane": 1.0}}},
            r"fixed_charge: there is no region 'membrane'; legal: electrolyte, slab",
        ),
        ({"dielectrics": ["slap"]}, r"dielectrics: there is no region 'slap'; did you mean 'slab'"),
        ({"dielectrics": ["slab", "electrolyte"]}, r"leave one to the species"),
        ({"dielectrics": ["slab"], "left": {"flux": {"Na": 0.1}}}, r"\[boundary.left\] lies on a dielectric \(slab\)"),
        (
            {"dielectrics": ["slab"], "output": {"average": [{"name": "m", "region": "slab"}]}},
            "'slab' is one of the dielectrics",
        ),
    ],
)
def test_bad_input(folder: Path, change: dict[str, Any], message: str) -> None:
    line(folder, [0, 0.5, 1], [3, 3], ["slab", "electrolyte"], ["left", "face", "right"])
    table = {
        "species": [IONS[0] | change.pop("species", {}), IONS[1]],
        "free_energy": [{"kind": "Ideal"}, {"kind": "Electrostatic"} | change.pop("electric", {"permittivity": 1.0})],
        "mobility": {"kind": "Fick"},
        "boundary": {"left": {"potential": 0} | change.pop("left", {})},
        "time": STEADY,
    }
    with pytest.raises(InputError, match=message):
        Columns(System(Problem(mesh={"file": "layers.geo"}, directory=folder, **table, **change)))


def test_dielectrics_need_a_field(folder: Path) -> None:
    with pytest.raises(InputError, match="dielectrics are regions of an electric field"):
        Problem(
            mesh={"shape": "interval", "size": 1, "cells": 3},
            dielectrics=["slab"],
            species=[{"name": "A", "initial": 0.5, "diffusivity": 1}],
            free_energy=[{"kind": "Ideal"}],
            mobility={"kind": "Fick"},
            time=STEADY,
        )


def test_regions_are_written_out(folder: Path) -> None:
    """problem.resolved.toml has the tables as they were given."""
    text = Problem(
        mesh={"shape": "interval", "size": "1 nm", "cells": 3},
        temperature="300 K",
        molar_volume="1e-5 m^3/mol",
        dielectrics=["m"],
        species=[{"name": "Na", "charge": 1, "initial": 0.5, "diffusivity": {"p": "1e-9 m^2/s"}}],
        free_energy=[
            {"kind": "Ideal"},
            {"kind": "Electrostatic", "relative_permittivity": {"p": 78.5, "m": 4}, "fixed_charge": {"m": "-5e6 C/m^3"}},
        ],
        mobility={"kind": "Fick"},
        boundary={"left": {"potential": "0 V"}},
        time={"end": "1 s"},
    ).resolved()
    table = tomllib.loads(text)
    assert table["species"][0]["diffusivity"] == {"p": "1e-9 m^2/s"}
    assert table["free_energy"][1]["relative_permittivity"] == {"p": 78.5, "m": 4.0}
    assert table["free_energy"][1]["fixed_charge"] == {"m": "-5e6 C/m^3"}
    assert table["dielectrics"] == ["m"]
