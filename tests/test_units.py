"""Quantities with units: their values in SI, and that a problem with units is the same problem without."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI
from scipy.constants import N_A, R, elementary_charge

from fem_diffusion.field import FieldOf
from fem_diffusion.problem import Problem
from fem_diffusion.run import run
from fem_diffusion.units import Quantity, Scales, is_quantity, si_unit

COMM = MPI.COMM_WORLD


@pytest.mark.short
@pytest.mark.serial
@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("12 nJ/m", "J/m", 1.2e-8),
        ("25.3 kJ/mol", "J/mol", 25300),
        ("0.25 eV", "J", 0.25 * elementary_charge),
        ("9 cm^3/mol", "m^3/mol", 9e-6),
        ("9e-6 m**3/mol", "m^3/mol", 9e-6),
        ("83.3 mm^2/s", "m^2/s", 83.3e-6),
        ("1e-13 cm²/s", "m^2/s", 1e-17),
        ("700 degC", "K", 973.15),
        ("2 h", "s", 7200),
        ("1 um", "m", 1e-6),
        ("1 µm", "m", 1e-6),
        ("2 angstrom", "m", 2e-10),
        ("60 deg", "rad", math.pi / 3),
        ("1 GPa", "J/m^3", 1e9),
        ("55 mol/l", "mol/m^3", 55000),
        ("1 eV/nm^2", "J/m^2", elementary_charge * 1e18),
        ("1 molecule/nm^3", "mol/m^3", 1e27 / N_A),
    ],
)
def test_value_in_SI(text: str, unit: str, value: float) -> None:
    quantity = Quantity(unit).parse(text)
    assert quantity == pytest.approx(value, rel=1e-9)
    assert quantity.dimensional and not quantity.plain and quantity.text == text


@pytest.mark.serial
@pytest.mark.parametrize(("given", "plain"), [(3, True), (0.5, True), ("2.5", True), (0, False), ("0", False), ("0 nm", False)])
def test_number_without_a_unit_is_plain_unless_zero(given: object, plain: bool) -> None:
    assert Quantity("m").parse(given).plain is plain


@pytest.mark.serial
@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        *[("10 nm", True), ("1e-3 mol/l", True), ("0.5 + 0.01*noise", False), ("2*x", False), ("0.3", False), ("1e-3", False)],
        # pint reads "+ t" and "t" as tonnes
        *[("0.5 + t", False), ("0.5 +t", False), ("5 t", False), ("5 1/t", False), ("0.21/s", False), ("0.5 - m", False)],
        *[("5 1/s", True), ("3 %", True), ("20 °C", True), ("2 Å", True), ("1 μm", True), ("4kg", True)],
    ],
)
def test_quantity_or_expression(text: str, quantity: bool) -> None:
    assert is_quantity(text) is quantity


@pytest.mark.serial
def test_sum_with_the_time_is_an_expression() -> None:
    field = FieldOf("").parse("0.5 + t")
    assert field.at(np.zeros((3, 1)), 0.25) == pytest.approx([0.75], rel=1e-15)
    assert FieldOf("1/s").parse("2 1/s").at(np.zeros((3, 1))) == pytest.approx([2.0], rel=1e-15)


@pytest.mark.serial
@pytest.mark.parametrize("text", ["0.21/m", "5 + 1/m", "5 * 1/m"])
def test_arithmetic_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number with a unit"):
        Quantity("1/m").parse(text)


@pytest.mark.serial
def test_factors_of_the_solver_units() -> None:
    l, t, f, n = 3e-9, 0.7, 2e9, 5e-21
    scales = Scales.of(length=l, time=t, energy_density=f, amount=n)
    expected = {
        "": 1,
        "m": l,
        "s": t,
        "1/s": 1 / t,
        "m^2/s": l**2 / t,
        "m/s": l / t,
        "J/m^3": f,
        "J/m^2": f * l,
        "J/m": f * l**2,
        "J/mol": f * l**3 / n,
        "m^3/mol": l**3 / n,
        "m^5/(J*s)": l**2 / (t * f),
        "rad": 1,
        "K": 1,
    }
    for unit, value in expected.items():
        assert scales.factor(unit) == pytest.approx(value, rel=1e-13)


@pytest.mark.serial
@pytest.mark.parametrize(
    ("text", "unit", "value", "molar", "dimensional"),
    [
        ("0.1 mol/l", "concentration", 100.0, True, True),
        ("5 mM", "concentration", 5.0, True, True),
        ("0 mol/l", "concentration", 0.0, True, True),
        ("0.1", "concentration", 0.1, False, False),
        ("3 %", "concentration", 0.03, False, False),
        ("2 nm/s", "concentration*m/s", 2e-9, False, True),
        ("2 umol/(cm^2*s)", "concentration*m/s", 0.02, True, True),
        ("2 1/h", "concentration/s", 2 / 3600, False, True),
        ("2 mol/l/s", "concentration/s", 2000.0, True, True),
        ("1 GPa", "J/(m^3*concentration)", 1e9, False, True),
        ("2 kJ/mol", "J/(m^3*concentration)", 2000.0, True, True),
        ("1 m^4/(J*s)", "concentration^2*m^4/(J*s)", 1.0, False, True),
        ("1 mol^2/(m^2*kJ*s)", "concentration^2*m^4/(J*s)", 1e-3, True, True),
    ],
)
def test_fraction_or_amount_per_volume(text: str, unit: str, value: float, molar: bool, dimensional: bool) -> None:
    quantity = Quantity(unit).parse(text)
    assert quantity == pytest.approx(value, rel=1e-12)
    assert (quantity.molar, quantity.dimensional, quantity.text) == (molar, dimensional, text)


@pytest.mark.serial
@pytest.mark.parametrize(
    "unit", ["concentration", "concentration*m/s", "concentration/s", "J/(m^3*concentration)", "concentration^2*m^4/(J*s)"]
)
def test_factors_of_fractions_and_of_amounts(unit: str) -> None:
    l, t, f, V_m = 3e-9, 0.7, 2e9, 2e-5
    for molar in (False, True):
        scales = Scales.of(length=l, time=t, energy_density=f, amount=l**3 / V_m, concentration=1 / V_m if molar else 1.0)
        assert scales.factor(unit) == pytest.approx(scales.factor(si_unit(unit, molar)), rel=1e-13)
    assert Quantity("concentration").parse("30 mol/l") / scales.factor("concentration") == pytest.approx(30e3 * V_m, rel=1e-13)


@pytest.mark.serial
def test_field_in_solver_units() -> None:
    """An expression is written in metres and seconds, and read at places and times in solver units."""
    scales = Scales.of(length=2e-9, time=3.0, energy_density=1.0, amount=1.0)
    x = np.array([[0.0, 1.0, 4.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    field = FieldOf("m/s").parse("1e-3*x/1e-9 + 2e-3*t").in_solver_units(scales)
    assert np.allclose(field.at(x, 5.0) * scales.factor("m/s"), 2e-3 * x[0] + 2e-3 * 15, rtol=1e-13)
    constant = FieldOf("m/s").parse("2 nm/s").in_solver_units(scales)
    assert np.allclose(constant.at(x), 2e-9 / (2e-9 / 3.0), rtol=1e-13)


REGULAR = """
{head}
[mesh]
shape = "interval"
size = {size}
cells = 32
[[species]]
name = "A"
initial = "0.45 + 0.05*cos(pi*x/({width})) + 0.01*noise"
[[free_energy]]
kind = "RegularSolution"
{excess}
[[free_energy]]
kind = "Gradient"
kappa = {kappa}
[mobility]
kind = "Degenerate"
diffusivity = {D}
[boundary.left]
concentration = {{ A = "0.4 + 0.02*x/({width}) + 0.02*t/({end_number})" }}
[boundary.right]
flux = {{ A = "({flux})*t/({end_number})" }}
[time]
end = {end}
tolerance = 1e-2
[[output.probe]]
name = "p"
at = [{place}]
[[output.average]]
name = "h"
where = "x < ({width})/3"
"""


def regular_solution() -> tuple[str, str, float, float, float]:
    """Both texts, and f0, l, t0 (f0 = RT/V_m, l = sqrt(kappa V_m/RT), t0 = l^2/D)."""
    T, V_m, omega, kappa, D = 1000.0, 9e-6, 25300.0, 12e-9, 1e-17
    f0 = R * T / V_m
    l = math.sqrt(kappa / f0)
    t0 = l**2 / D
    size, end, flux = 20 * l, 4 * t0, 0.01 * l / t0
    with_units = REGULAR.format(
        head=f'temperature = "{T!r} K"\nmolar_volume = "9 cm^3/mol"',
        size=f'"{size * 1e9!r} nm"',
        width=repr(size),
        excess=f'interaction = "{omega / 1000!r} kJ/mol"',
        kappa='"12 nJ/m"',
        D='"1e-13 cm^2/s"',
        end=f'"{end / 3600!r} h"',
        end_number=repr(end),
        flux=repr(flux),
        place=f'"{0.3 * size * 1e6!r} um"',
    )
    without = REGULAR.format(
        head="",
        size=20.0,
        width=20.0,
        excess=f"chi = {omega / (R * T)!r}",
        kappa=1.0,
        D=1.0,
        end=4.0,
        end_number=4.0,
        flux=0.01,
        place=6.0,
    )
    return with_units, without, f0, l, t0


WELL = """
[mesh]
shape = "rectangle"
size = [{width}, {height}]
cells = [12, 6]
[[species]]
name = "A"
initial = "0.5 + 0.3*cos(pi*x/({number}))"
source = "({rate})*(0.5 - x/({number}))"
[[free_energy]]
kind = "DoubleWell"
rho = {rho}
[[free_energy]]
kind = "Gradient"
kappa = {kappa}
[mobility]
kind = "Constant"
value = {M}
[boundary.bottom]
wetting = {{ contact_angle = "70 deg" }}
[boundary.right]
chemical_potential = {{ A = "({mu})*(1 + y/({number}))" }}
[time]
end = {end}
step = {step}
scheme = "{scheme}"
[[output.probe]]
name = "p"
at = [{px}, {py}]
"""


def double_well(scheme: str = "avf") -> tuple[str, str, float, float, float]:
    """Without temperature: f0 = rho, l = sqrt(kappa/rho), t0 = l^2/(M rho)."""
    rho, kappa, M = 3e8, 2e-9, 4e-26
    l = math.sqrt(kappa / rho)
    t0 = l**2 / (M * rho)
    with_units = WELL.format(
        width=f'"{12 * l!r} m"',
        height=f'"{6 * l!r} m"',
        number=repr(12 * l),
        rate=repr(0.01 / t0),
        rho='"300 MJ/m^3"',
        kappa='"2 nJ/m"',
        M=f'"{M!r} m^5/(J*s)"',
        mu=repr(0.02 * rho),
        end=f'"{2 * t0!r} s"',
        step=f'"{0.5 * t0!r} s"',
        scheme=scheme,
        px=f'"{5 * l!r} m"',
        py=f'"{2 * l!r} m"',
    )
    without = WELL.format(
        width=12.0, height=6.0, number=12.0, rate=0.01, rho=1.0, kappa=1.0, M=1.0, mu=0.02, end=2.0, step=0.5, scheme=scheme, px=5.0, py=2.0
    )
    return with_units, without, rho, l, t0


def columns(text: str, folder: Path, name: str) -> dict[str, np.ndarray]:
    if COMM.rank == 0:
        (folder / f"{name}.toml").write_text(text)
    COMM.barrier()
    run(Problem.read(folder / f"{name}.toml"), folder / name)
    COMM.barrier()
    with (folder / name / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


@pytest.mark.short
@pytest.mark.parametrize(("texts", "dimension"), [(regular_solution(), 1), (double_well(), 2)], ids=["regular solution", "double well"])
def test_units_only_scale_the_history(texts: tuple[str, str, float, float, float], dimension: int, folder: Path) -> None:
    with_units, without, f0, l, t0 = texts
    SI, plain = columns(with_units, folder, "SI"), columns(without, folder, "plain")
    assert list(SI) == list(plain)
    assert len(SI["time"]) == len(plain["time"]) > 4
    for name, values in plain.items():
        if name.endswith("_iterations"):
            continue
        if name in ("time", "dt"):
            unit = t0
        elif name == "energy":
            unit = f0 * l**dimension
        elif name == "dissipation":
            unit = f0 * l**dimension / t0
        elif name.startswith("mass_"):
            unit = l**dimension
        elif name.startswith("flux_"):
            unit = l**dimension / t0
        elif name.startswith("mu_"):
            unit = f0
        else:
            unit = 1.0
        assert np.abs(SI[name] - unit * values).max() <= 1e-9 * unit * np.abs(values).max(), name


def test_same_quantity_in_other_units(folder: Path) -> None:
    text = regular_solution()[0]
    other = text.replace('"12 nJ/m"', '"1.2e-8 N"').replace('"1000.0 K"', '"726.85 degC"')
    assert other.count("degC") == other.count('N"') == 1
    one, two = columns(text, folder, "one"), columns(other, folder, "two")
    for name, values in one.items():
        assert np.abs(values - two[name]).max() <= 1e-9 * np.abs(values).max(), name


def test_resolved_problem_keeps_the_units(folder: Path) -> None:
    text = regular_solution()[0]
    if COMM.rank == 0:
        (folder / "one.toml").write_text(text)
        (folder / "two.toml").write_text(Problem.read(folder / "one.toml").resolved())
    COMM.barrier()
    resolved = (folder / "two.toml").read_text()
    assert '"12 nJ/m"' in resolved and '"9 cm^3/mol"' in resolved
    assert Problem.read(folder / "two.toml").resolved() == resolved
