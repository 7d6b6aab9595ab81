"""Bad input of problems with charges, and with concentrations in mol/l: one message that says what was given, what is legal, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi4py import MPI

from fem_diffusion.boundary import Boundary
from fem_diffusion.charges import charge_warnings
from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

DIMENSIONLESS = """
[mesh]
shape = "interval"
size = 1.0
cells = 4
[[species]]
name = "Na"
charge = 1
diffusivity = 1.0
initial = 0.2
[[species]]
name = "Cl"
charge = -1
diffusivity = 2.0
initial = 0.2
[[free_energy]]
kind = "LatticeGas"
[[free_energy]]
kind = "Electrostatic"
permittivity = 1e-2
[mobility]
kind = "VolumeExclusion"
[boundary.left]
potential = -5.0
[boundary.right]
potential = 0
concentration = { Na = 0.2, Cl = 0.2 }
[time]
end = 1.0
"""

IN_UNITS = """
temperature = "298.15 K"
[mesh]
shape = "interval"
size = "10 nm"
cells = 4
[[species]]
name = "Na"
charge = 1
diffusivity = "1.33e-9 m^2/s"
initial = "0.1 mol/l"
[[species]]
name = "Cl"
charge = -1
diffusivity = "2.03e-9 m^2/s"
initial = "0.1 mol/l"
[[free_energy]]
kind = "LatticeGas"
site_concentration = "55 mol/l"
[[free_energy]]
kind = "Electrostatic"
relative_permittivity = 78.5
[mobility]
kind = "VolumeExclusion"
[boundary.left]
potential = "-250 mV"
[boundary.right]
potential = 0
concentration = { Na = "0.1 mol/l", Cl = "0.1 mol/l" }
[time]
end = "1 us"
"""


def plain(*changes: tuple[str, str]) -> str:
    return changed(DIMENSIONLESS, changes)


def units(*changes: tuple[str, str]) -> str:
    return changed(IN_UNITS, changes)


def changed(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def classical(*changes: tuple[str, str]) -> str:
    return units(('kind = "LatticeGas"\nsite_concentration = "55 mol/l"', 'kind = "Ideal"'), ('"VolumeExclusion"', '"Fick"'), *changes)


LEFT = "potential = -5.0"
RIGHT = "{ Na = 0.2, Cl = 0.2 }"
PAIR = '{ Na = "0.1 mol/l", Cl = "0.1 mol/l" }'
POISSON = '[[free_energy]]\nkind = "Electrostatic"\npermittivity = 1e-2\n'
LATTICE = 'kind = "LatticeGas"\nsite_concentration = "55 mol/l"'
BV = "butler_volmer = { Na = { exchange_current = 1.0, reference = 0.2 } }"

# What is wrong with the text alone: found before there is a mesh.
BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    # what does not fit together
    "potential without Poisson": (plain((POISSON, "")), ("[boundary.left]", "kind = 'Electrostatic'")),
    "Poisson twice": (plain((POISSON, POISSON * 2)), ("Electrostatic stands twice",)),
    "no charges": (plain(("charge = 1\n", ""), ("charge = -1\n", "")), ("no species has a charge", "charge = 1")),
    "no potential": (
        plain((LEFT, "surface_charge = 0.1"), ("potential = 0\n", "")),
        ("fixed nowhere", "potential = 0"),
    ),
    "Stern layer without potential": (
        plain((LEFT, "stern = { thickness = 0.1, permittivity = 1.0 }")),
        ("[boundary.left]", "potential = ..."),
    ),
    "Stern layer before a reservoir": (
        plain((f"concentration = {RIGHT}", f"concentration = {RIGHT}\nstern = {{ thickness = 0.1, permittivity = 1.0 }}")),
        ("[boundary.right]", "takes no stern layer"),
    ),
    "Stern layer with two permittivities": (
        plain((LEFT, LEFT + "\nstern = { thickness = 0.1, permittivity = 1.0, relative_permittivity = 5 }")),
        ("exactly one of permittivity and relative_permittivity",),
    ),
    "Stern layer of no thickness": (
        plain((LEFT, LEFT + "\nstern = { thickness = 0, permittivity = 1.0 }")),
        ("thickness = 0", "must be positive"),
    ),
    "charge on an electrode": (plain((LEFT, LEFT + "\nsurface_charge = 0.1")), ("[boundary.left]", "follows from its potential")),
    "kinetics without potential": (plain((LEFT, BV)), ("[boundary.left]", "butler_volmer needs the potential")),
    "kinetics in a reservoir": (plain((f"concentration = {RIGHT}", f"concentration = {RIGHT}\n{BV}")), ("'Na' has both", "give one")),
    "kinetics without charge": (
        plain((LEFT, f"{LEFT}\n{BV}"), ("charge = 1\n", "")),
        ("[boundary.left] butler_volmer", "'Na' has no charge"),
    ),
    "kinetics of nobody": (plain((LEFT, f"{LEFT}\n{BV.replace('Na', 'Nb')}")), ("no solved species 'Nb'", "legal: Cl, Na")),
    "transfer coefficient": (
        plain((LEFT, f"{LEFT}\n{BV.replace('0.2 }', '0.2, transfer_coefficient = 1.5 }')}")),
        ("transfer_coefficient = 1.5", "less than or equal to 1"),
    ),
    "sizes without a lattice": (
        plain(('kind = "LatticeGas"', 'kind = "Ideal"'), ("charge = 1\n", "charge = 1\nsize = 2\n")),
        ("size counts the sites", "LatticeGas"),
    ),
    "sizes that exchange sites": (
        plain(
            ('"VolumeExclusion"', '"Stirring"\ndiffusivity = 1.0'),
            ("diffusivity = 1.0\ninitial", "size = 2\ninitial"),
            ("diffusivity = 2.0\n", ""),
        ),
        ("Stirring exchanges particles of equal sizes", "VolumeExclusion"),
    ),
    "size of nothing": (plain(("charge = 1\n", "charge = 1\nsize = 0\n")), ("size = 0", "greater than 0")),
    "scheme of energies": (plain(("end = 1.0", 'end = 1.0\nscheme = "avf"')), ("scheme = 'avf'", "'bdf2'")),
    "noise in a fixed charge": (
        plain(("permittivity = 1e-2", 'permittivity = 1e-2\nfixed_charge = "noise"')),
        ("noise is for initial values",),
    ),
    "temperature in space": (
        units(('"298.15 K"', '"300 + 1e9*x"')),
        ("temperature = '300 + 1e9*x'", "electric potential", "t alone", "remove the Electrostatic"),
    ),
    # mistyped keys
    "key of a boundary": (plain((LEFT, "potental = -5.0")), ("[boundary.left]", "'potental'", "did you mean 'potential'")),
    "key of a layer": (
        plain((LEFT, LEFT + "\nstern = { thicknes = 0.1, permittivity = 1.0 }")),
        ("stern has no parameter 'thicknes'", "did you mean 'thickness'"),
    ),
    "key of kinetics": (
        plain((LEFT, f"{LEFT}\n{BV.replace('exchange_current', 'exchange_curent')}")),
        ("butler_volmer has no parameter 'exchange_curent'", "did you mean 'exchange_current'"),
    ),
    "key of Poisson": (plain(("permittivity =", "permitivity =")), ("Electrostatic", "'permitivity'", "did you mean 'permittivity'")),
    "key of the lattice": (
        units(("site_concentration", "site_concentraton")),
        ("LatticeGas has no parameter 'site_concentraton'", "did you mean 'site_concentration'"),
    ),
    "key of a species": (plain(("charge = 1\n", "charg = 1\n")), ("[[species]]", "'charg'", "did you mean 'charge'")),
    # volume
    "reservoir above one": (plain((RIGHT, "{ Na = 0.6, Cl = 0.6 }")), ("[boundary.right]", "the sum is 1.2", "at most 1")),
    "reservoir above one with sizes": (
        plain((RIGHT, "{ Na = 0.3, Cl = 0.3 }"), ("charge = 1\n", "charge = 1\nsize = 3\n")),
        ("[boundary.right]", "take up 1.2", "at most 1"),
    ),
    "ion without room": (
        plain((RIGHT, "{ Na = 0.6, Cl = 0.1 }"), ("charge = 1\n", "charge = 1\nsize = 2\n")),
        ("concentration of Na = 0.6", "between 0 and 1", "Na takes 2 sites"),
    ),
    "ion without room in mol/l": (
        units((PAIR, '{ Na = "60 mol/l", Cl = "0.1 mol/l" }')),
        ("concentration of Na = 60000", "room for 55000 mol/m^3"),
    ),
    "large ion without room in mol/l": (
        units((PAIR, '{ Na = "30 mol/l", Cl = "0.1 mol/l" }'), ("charge = 1\n", "charge = 1\nsize = 2\n")),
        ("concentration of Na = 30000", "room for 27500 mol/m^3"),
    ),
    "reservoir without room in mol/l": (units((PAIR, '{ Na = "33 mol/l", Cl = "33 mol/l" }')), ("take up 1.2 of the volume", "at most 1")),
    "reference of kinetics": (plain((LEFT, f"{LEFT}\n{BV.replace('0.2 }', '1.2 }')}")), ("reference = 1.2", "between 0 and 1")),
    # units
    "vacuum without units": (
        plain(("permittivity = 1e-2", "relative_permittivity = 78.5")),
        ("Electrostatic: relative_permittivity needs units", "lambda^2", "give all quantities a unit"),
    ),
    "vacuum of a layer without units": (
        plain((LEFT, LEFT + "\nstern = { thickness = 0.1, relative_permittivity = 5 }")),
        ("[boundary.left] stern: relative_permittivity needs units", "permittivity"),
    ),
    "sites without units": (
        plain(('kind = "LatticeGas"', 'kind = "LatticeGas"\nsite_concentration = 55000')),
        ("site_concentration = 55000", "fractions of the sites", "remove it"),
    ),
    "permittivity without unit": (
        units(("relative_permittivity = 78.5", "permittivity = 7e-10")),
        ("permittivity = 7e-10 has none", "F/m"),
    ),
    "potential without unit": (units(('"-250 mV"', "-0.25")), ("left.potential = -0.25 has none", "in V")),
    "potential in amperes": (units(('"-250 mV"', '"-250 mA"')), ("'mA' is the wrong unit", "V is needed here")),
    "no temperature": (units(('temperature = "298.15 K"', "")), ("give temperature at the top",)),
    "no molar volume": (
        classical(*[(f'"{c}"', "1e-3") for c in ("0.1 mol/l",)]),
        ("give molar_volume at the top", "give concentrations in mol/l"),
    ),
    # fractions or amounts
    "fraction beside sites": (
        units(('initial = "0.1 mol/l"', "initial = 0.002")),
        ("species[0].initial = 0.002 has no unit", "site_concentration = '55 mol/l'", "give it in mol/m^3"),
    ),
    "fraction in a reservoir": (
        units((PAIR, '{ Na = 0.002, Cl = "0.1 mol/l" }')),
        ("boundary.right.concentration.Na = 0.002 has no unit", "mol/m^3"),
    ),
    "fraction beside an amount": (
        classical(('initial = "0.1 mol/l"\n[[free_energy]]', "initial = 0.002\n[[free_energy]]")),
        ("species[1].initial = 0.002 has no unit", "species[0].initial = '0.1 mol/l'", "mol/m^3"),
    ),
    "flux of fractions": (
        units(('"-250 mV"', '"-250 mV"\nflux = { Na = "1 m/s" }')),
        ("flux.Na = '1 m/s' is for fractions", "mol/(m^2*s)"),
    ),
    "potential of fractions": (
        units((f"concentration = {PAIR}", 'chemical_potential = { Na = "1 J/m^3" }')),
        ("'1 J/m^3' is for fractions", "J/mol"),
    ),
    "source without unit": (
        units(("charge = 1\n", "charge = 1\nsource = 3\n")),
        ("species[0].source = 3.0 has no unit", "mol/(m^3*s)"),
    ),
    "wrong unit of a concentration": (
        units((PAIR, '{ Na = "0.1 mol", Cl = "0.1 mol/l" }')),
        ("'mol' is the wrong unit", "no unit or mol/m^3 is needed here"),
    ),
    "flux of amounts among fractions": (
        units(
            (LATTICE, 'kind = "LatticeGas"'),
            ('temperature = "298.15 K"', 'temperature = "298.15 K"\nmolar_volume = "18 ml/mol"'),
            ('"0.1 mol/l"', "0.002"),
            ('"-250 mV"', '"-250 mV"\nflux = { Na = "1 mol/(m^2*s)" }'),
        ),
        ("flux.Na = '1 mol/(m^2*s)' is per amount", "fractions here", "m/s"),
    ),
    "amounts without sites": (
        units((LATTICE, 'kind = "LatticeGas"')),
        ("which fraction of the sites", "site_concentration", "molar_volume"),
    ),
    "two molar volumes": (
        units(('temperature = "298.15 K"', 'temperature = "298.15 K"\nmolar_volume = "20 ml/mol"')),
        ("site_concentration = '55 mol/l'", "molar_volume = '20 ml/mol' makes it 50000 mol/m^3", "remove one"),
    ),
    "amounts in a gradient energy": (
        units(("[mobility]", '[[free_energy]]\nkind = "Gradient"\nkappa = "1e-12 J/m"\n[mobility]')),
        ("Gradient is a function of fractions", "plain numbers"),
    ),
    "amounts in a double well": (
        """
[mesh]
shape = "interval"
size = "10 nm"
cells = 4
[[species]]
name = "A"
initial = "0.1 mol/l"
[[free_energy]]
kind = "DoubleWell"
rho = "1 MJ/m^3"
[mobility]
kind = "Constant"
value = "1e-26 m^5/(J*s)"
[time]
end = "1 s"
""",
        ("initial = '0.1 mol/l'", "give a plain number"),
    ),
}


@pytest.mark.serial
@pytest.mark.parametrize("name", BAD)
def test_message(name: str, folder: Path) -> None:
    text, words = BAD[name]
    (folder / "a.toml").write_text(text)
    with pytest.raises(InputError) as error:
        Problem.read(folder / "a.toml")
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.serial
@pytest.mark.parametrize("text", [DIMENSIONLESS, IN_UNITS, classical()], ids=["dimensionless", "units", "classical"])
def test_what_the_mistakes_were_made_in_is_legal(text: str, folder: Path) -> None:
    (folder / "a.toml").write_text(text)
    Problem.read(folder / "a.toml")


FIXED = "permittivity = 1e-2\nfixed_charge = "
SALTY = '{ Na = "120 mol/m^3", Cl = "0.1 mol/l" }'

# What shows on the mesh.
BAD_THERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "charged reservoir": (
        plain((RIGHT, "{ Na = 0.25, Cl = 0.2 }")),
        ("[boundary.right]", "net charge 0.05", "must be neutral", "give Na = 0.2 or Cl = 0.25"),
    ),
    "charged reservoir in mol/l": (
        units((PAIR, SALTY)),
        ("[boundary.right]", "net charge 20 mol/m^3", "give Na = 100 mol/m^3 or Cl = 120 mol/m^3"),
    ),
    "reservoir of one ion": (plain((RIGHT, "{ Na = 0.2, Cl = 0 }")), ("net charge 0.2", "give Cl = 0.2")),
    "reservoir with valences": (
        plain((RIGHT, "{ Na = 0.2, Cl = 0.2 }"), ("charge = 1\n", "charge = 2\n")),
        ("net charge 0.2 (+2 of 0.2 Na, -1 of 0.2 Cl)", "give Na = 0.1 or Cl = 0.4"),
    ),
    "reservoir and fixed charge": (
        plain(("permittivity = 1e-2", FIXED + "-0.05"), (RIGHT, "{ Na = 0.2, Cl = 0.2 }")),
        ("net charge -0.05", "-0.05 of fixed charge", "give Na = 0.25 or Cl = 0.15"),
    ),
    "fixed charge at one of two reservoirs": (
        plain(("permittivity = 1e-2", FIXED + '"where(x > 0.7, 0.1, 0)"'), (LEFT, f"{LEFT}\nconcentration = {RIGHT}")),
        ("[boundary.right]", "net charge 0.1", "give Na = 0.1 or Cl = 0.3"),
    ),
    "reservoir that becomes charged": (
        plain((RIGHT, '{ Na = "0.2 + x/10", Cl = 0.2 }')),
        ("net charge 0.1", "give Na = 0.2 or Cl = 0.3"),
    ),
    "initial above one with sizes": (
        plain(("charge = 1\n", "charge = 1\nsize = 4.5\n"), (RIGHT, "{ Na = 0.1, Cl = 0.1 }")),
        ("initial of all (4.5 Na + Cl) is 1.1", "between 0 and 1"),
    ),
    "initial above the sites": (
        units(('initial = "0.1 mol/l"', 'initial = "1e5*x/10e-9"')),
        ("initial of Na is 100000 mol/m^3 at (1e-08)", "room for 55000 mol/m^3"),
    ),
}


@pytest.mark.serial
@pytest.mark.parametrize("name", BAD_THERE)
def test_message_on_the_mesh(name: str, folder: Path) -> None:
    text, words = BAD_THERE[name]
    (folder / "a.toml").write_text(text)
    problem = Problem.read(folder / "a.toml")
    with pytest.raises(InputError) as error:
        System(problem).initialise()
    for word in words:
        assert word in str(error.value), str(error.value)


def write(folder: Path, text: str) -> None:
    if COMM.rank == 0:
        (folder / "a.toml").write_text(text)
    COMM.barrier()


def test_charged_reservoir_is_found_by_all_ranks(folder: Path) -> None:
    write(folder, plain((RIGHT, "{ Na = 0.25, Cl = 0.2 }")))
    with pytest.raises(InputError, match="net charge 0.05"):
        System(Problem.read(folder / "a.toml")).initialise()


TWO_REGIONS = """
Point(1) = {0, 0, 0};
Point(2) = {0.5, 0, 0};
Point(3) = {1, 0, 0};
Line(1) = {1, 2};
Line(2) = {2, 3};
Transfinite Curve{1, 2} = 3;
Physical Curve("solution") = {1};
Physical Curve("resin") = {2};
Physical Point("left") = {1};
Physical Point("right") = {3};
"""


@pytest.mark.serial
def test_reservoir_on_a_charged_region(folder: Path) -> None:
    (folder / "two.geo").write_text(TWO_REGIONS)
    resin = (
        ('shape = "interval"\nsize = 1.0\ncells = 4', 'file = "two.geo"'),
        ("permittivity = 1e-2", FIXED + "{ resin = 0.1 }"),
        (LEFT, f"{LEFT}\nconcentration = {{ Na = 0.3, Cl = 0.3 }}"),
    )
    (folder / "a.toml").write_text(plain(*resin))
    with pytest.raises(InputError, match=r"boundary.right.*net charge 0.1 .*0.1 of fixed charge.*give Na = 0.1 or Cl = 0.3"):
        System(Problem.read(folder / "a.toml")).initialise()
    (folder / "a.toml").write_text(plain(*resin, (RIGHT, "{ Na = 0.15, Cl = 0.25 }")))
    System(Problem.read(folder / "a.toml")).initialise()


@pytest.mark.serial
@pytest.mark.parametrize(
    "text",
    [
        plain((RIGHT, "{ Na = 0.2, Cl = 0.4 }"), ("charge = 1\n", "charge = 2\n")),
        plain((RIGHT, "{ Na = 0.2, Cl = 0.2000000001 }")),  # 2.5e-10 of all charges
        plain(("permittivity = 1e-2", FIXED + "-0.05"), (RIGHT, "{ Na = 0.225, Cl = 0.175 }")),
        plain(("permittivity = 1e-2", FIXED + '"where(x < 0.7, 0.1, 0)"')),
        plain((RIGHT, "{ Na = 0.25 }"), ('"VolumeExclusion"', '"VolumeExclusion"\n\n')).replace(
            "[mesh]", 'formulation = "fractions"\n[mesh]', 1
        ),
        units((PAIR, '{ Na = "0.3 mol/l", Cl = "300 mol/m^3" }')),
        # a known solution with a layer of charge at its boundary
        plain(("permittivity = 1e-2", FIXED + '"0.05*cos(x)"'), (RIGHT, '{ Na = "0.2 + 0.01*x", Cl = "0.2" }')),
    ],
    ids=["valences", "round-off", "with fixed charge", "fixed charge elsewhere", "one ion only", "units", "known solution"],
)
def test_reservoir_that_is_taken(text: str, folder: Path) -> None:
    (folder / "a.toml").write_text(text)
    System(Problem.read(folder / "a.toml")).initialise()


@pytest.mark.serial
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (units(('"-250 mV"', '"-25 V"')), ("[boundary.left] potential = -25 V", "973 thermal volts", "642 mV")),
        (units(('"-250 mV"', '"2.5*cos(1e6*t)"')), ("potential = 2.5*cos(1e6*t)", "97.3 thermal volts")),
        (plain((LEFT, "potential = 250")), ("[boundary.left] potential = 250", "6.42 V", "give 9.73")),
        (plain((POISSON, ""), (LEFT, ""), ("potential = 0\n", "")), ("Na, Cl: a charge has no effect", "Electrostatic", "remove charge")),
    ],
    ids=["volts", "sine", "millivolts", "charge without field"],
)
def test_warning(text: str, words: tuple[str, ...], folder: Path) -> None:
    (folder / "a.toml").write_text(text)
    warnings = charge_warnings(Problem.read(folder / "a.toml"))
    assert len(warnings) == 1
    for word in words:
        assert word in warnings[0], warnings[0]


@pytest.mark.serial
@pytest.mark.parametrize(
    "text",
    [DIMENSIONLESS, IN_UNITS, plain((LEFT, "potential = 80")), units(('"-250 mV"', '"2 V"')), units(('"-250 mV"', '"1.9*sin(1e6*t)"'))],
)
def test_no_warning(text: str, folder: Path) -> None:
    (folder / "a.toml").write_text(text)
    assert charge_warnings(Problem.read(folder / "a.toml")) == []


@pytest.mark.serial
def test_check_says_it(folder: Path) -> None:
    (folder / "a.toml").write_text(units(('"-250 mV"', '"-25 V"')))
    report = check(System(Problem.read(folder / "a.toml")))
    assert any("973 thermal volts" in warning for warning in report.warnings)
    mean, unit = report.numbers["mean of Na"]
    assert mean == pytest.approx(100.0, rel=1e-12) and unit == "mol/m^3"


@pytest.mark.serial
def test_a_mistyped_unit_is_no_expression() -> None:
    with pytest.raises(InputError, match=r"potential = '10 mv': 'mv' is not defined"):
        Boundary(potential="10 mv")
