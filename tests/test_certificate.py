"""The certificate finds a defect of every kind, says where and by how much, and passes what is right."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from test_ranks import CHARGED, ENTROPY, KIRKENDALL, MAXWELL_STEFAN, OWN, RESERVOIR, SPINODAL

from fem_diffusion import (
    Boundary,
    Constant,
    DoubleWell,
    Electrostatic,
    Exchange,
    Gradient,
    Ideal,
    LatticeGas,
    Mesh,
    Output,
    Problem,
    RegularSolution,
    Species,
    Stern,
    Time,
    run,
)
from fem_diffusion.certificate import FILE, Certificate
from fem_diffusion.conditions import Conditions
from fem_diffusion.errors import NotCertified
from fem_diffusion.formulation import Entropy, Formulation, Functional
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.parallel import on_root
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
CELLS, STEP = 20, 0.01
H = 1 / CELLS
BAR = Mesh(shape="interval", size=1.0, cells=CELLS)
Spoil = Callable[[System, Step], Step]


def quench(**given: Any) -> Problem:
    """Cahn and Hilliard's equation, isolated."""
    table: dict[str, Any] = {
        "mesh": BAR,
        "species": [Species(name="A", initial="0.5 + 0.2*cos(pi*x)")],
        "free_energy": [DoubleWell(rho=1.0), Gradient(kappa=1e-2)],
        "mobility": Constant(value=1.0),
        "time": Time(end=4 * STEP, step=STEP, scheme="avf"),
        "output": Output(times=1),
    }
    return Problem(**table | given)


def gas(**given: Any) -> Problem:
    """An ideal mixture on a lattice between nothing and a source, in the fractions."""
    table: dict[str, Any] = {
        "mesh": BAR,
        "species": [Species(name="A", initial="0.3 + 0.1*cos(pi*x)", diffusivity=1.0), Species(name="B", initial=0.2, diffusivity=0.4)],
        "free_energy": [LatticeGas()],
        "mobility": {"kind": "VolumeExclusion"},
        "time": Time(end=4 * STEP, step=STEP),
    }
    return Problem(**table | given)


def salt(formulation: str | None = None, **given: Any) -> Problem:
    """Ions between an electrode and a reservoir."""
    table: dict[str, Any] = {
        "mesh": BAR,
        "species": [Species(name=name, initial=0.1, charge=z, diffusivity=1.0) for name, z in (("cation", 1.0), ("anion", -1.0))],
        "free_energy": [LatticeGas(), Electrostatic(permittivity=1e-2)],
        "mobility": {"kind": "VolumeExclusion"},
        "boundary": {
            "left": Boundary(potential=-1.0, stern=Stern(thickness=0.1, permittivity=1e-2)),
            "right": Boundary(potential=0.0, concentration={"cation": 0.1, "anion": 0.1}),
        },
        "time": Time(end=4 * STEP, step=STEP),
        "formulation": formulation,
    }
    return Problem(**table | given)


def as_it_is(system: System, step: Step) -> Step:
    return step


def certified(problem: Problem, spoil: Spoil = as_it_is) -> Certificate:
    """Of a run whose accepted steps are spoilt before they are checked."""
    system = System(problem)
    march, certificate = Integrator(system), Certificate(system)
    certificate.check(march.start())
    for step in march.steps():
        certificate.check(spoil(system, step))
    return certificate


def broken(certificate: Certificate) -> set[str]:
    return {name for name, law in certificate.laws.items() if not law.passed}


def at_vertex(x: float, change: Callable[[np.ndarray], None], number: int = 3) -> Spoil:
    """Change the unknowns at a vertex after a step."""

    def spoil(system: System, step: Step) -> Step:
        if step.number == number:
            for vertex in np.flatnonzero(np.abs(system.formulation.x[0] - x) < 1e-9):
                change(system.fields[vertex])
            system.formulation.changed()
        return step

    return spoil


# --- planted defects: each law, with its value and its place


def test_matter_out_of_nothing() -> None:
    """1e-6 more at one vertex is 1e-6 h more of A and less of the closing component, which has the name B."""

    def add(unknowns: np.ndarray) -> None:
        unknowns[0] += 1e-6

    named = [Species(name="A", initial="0.5 + 0.2*cos(pi*x)"), Species(name="B", balance=True)]
    certificate = certified(quench(species=named), at_vertex(0.35, add))
    for name in ("mass_A", "mass_B"):
        law = certificate.laws[name]
        assert (law.step, law.place, law.checked) == (3, "(0.35)", 4)
        assert law.value == pytest.approx(1e-6 * H, rel=1e-9)
        assert law.violations == 2  # the next step starts from what was accepted
    assert broken(certificate) == {"mass_A", "mass_B", "dissipation", "energy_drop"}


def test_flux_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall that is to let 0.3 through, and a source of 0.2 x: 0.3 dt leave and 0.1 dt come, in words only."""
    monkeypatch.setattr(Formulation, "exchange_balance", lambda self, v, imposed: 0)
    out = certified(gas(boundary={"right": Boundary(flux={"B": 0.3})}))
    assert out.laws["mass_B"].value == pytest.approx(0.3 * STEP, rel=1e-9)
    assert broken(out) == {"mass_B", "mass_rest"}
    source = [Species(name="A", initial=0.3, diffusivity=1.0, source="0.2*x"), Species(name="B", initial=0.2, diffusivity=0.4)]
    inward = certified(gas(species=source))
    assert inward.laws["mass_A"].value == pytest.approx(0.1 * STEP, rel=1e-9)
    assert broken(inward) == {"mass_A", "mass_rest"}


def test_closing_component_that_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entropy variables know c_0 for itself: 1e-6 too much of it in the middle."""
    components = Entropy._all_components

    def spoilt(self: Entropy) -> np.ndarray:
        found = components(self)
        found[np.abs(self.places[0] - 0.5) < 1e-9, -1] += 1e-6 * float(self.time.value > 2.5 * STEP)
        return found

    monkeypatch.setattr(Entropy, "_all_components", spoilt)
    certificate = certified(gas(formulation="entropy"))
    assert broken(certificate) == {"mass_rest", "closure"}
    law = certificate.laws["closure"]
    assert (law.place, law.step, law.violations) == ("(0.5)", 3, 2)
    assert law.value == pytest.approx(1e-6, rel=1e-6)
    assert certificate.laws["mass_rest"].value == pytest.approx(1e-6 * H, rel=1e-4)


def test_sign_of_a_charge_in_poissons_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field of two cations around an electrode: the charges that it meets are not those of the ions."""
    poisson = Functional.poisson
    monkeypatch.setattr(Functional, "poisson", lambda self, c, phi, v: poisson(self, replace(c, charges=(1.0, 1.0)), phi, v))
    certificate = certified(salt())
    assert {"gauss"} <= broken(certificate) <= {"gauss", "energy", "energy_drop"}
    assert certificate.laws["gauss"].value > 0.09  # the anions' charge of -0.1, mostly, is taken for +0.1 and missing twice
    assert certificate.laws["gauss"].violations == certificate.laws["gauss"].checked


def test_sign_of_a_current(monkeypatch: pytest.MonkeyPatch) -> None:
    outward = Conditions.outward_fluxes
    flipped = {"cation": 1.0, "anion": -1.0}
    monkeypatch.setattr(
        Conditions, "outward_fluxes", lambda self, *given: {key: flipped[key[0]] * flux for key, flux in outward(self, *given).items()}
    )
    certificate = certified(salt())
    assert broken(certificate) == {"mass_anion", "mass_rest", "charge"}
    assert certificate.laws["charge"].value == pytest.approx(certificate.laws["mass_anion"].value, rel=1e-9)


@pytest.mark.parametrize("formulation", ["fractions", "entropy"])
def test_negative_fraction(formulation: str) -> None:
    """-1e-3 of a fraction that is 0.2; entropy variables cannot hold it, so there it is in what is read from them."""
    if formulation == "fractions":
        certificate = certified(gas(), at_vertex(0.25, lambda unknowns: unknowns.__setitem__(1, -1e-3)))
        law = certificate.laws["bounds_B"]
        assert (law.value, law.step, law.place, law.violations) == (1e-3, 3, "(0.25)", 1)
        assert certificate.laws["bounds_A"].passed
    else:
        certificate = certified(gas(formulation="entropy"))
        assert certificate.laws["bounds_B"].value < -0.1
        assert certificate.passed


def test_what_is_not_finite() -> None:
    certificate = certified(quench(), at_vertex(0.8, lambda unknowns: unknowns.__setitem__(1, np.nan), number=4))
    law = certificate.laws["finite"]
    assert (law.value, law.step, law.place) == (1.0, 4, "(0.8)")
    assert certified(quench(), lambda system, step: replace(step, energy=np.inf)).laws["finite"].violations == 4


def test_rising_energy_and_false_dissipation() -> None:
    """dF = -dt D of this scheme: 1e-6 more energy at the end is that much less of a fall; 1 % of the dissipation is 1 % of the fall."""
    right = certified(quench())
    assert right.passed

    def raised(system: System, step: Step) -> Step:
        return replace(step, energy=step.energy + 1e-6 * (step.number == 2))

    law = certified(quench(), raised).laws["energy_drop"]
    assert (law.value, law.violations) == (pytest.approx(1e-6, rel=1e-6), 2)
    at_rest = quench(species=[Species(name="A", initial=0.0)])
    certificate = certified(at_rest, raised)
    assert {"energy"} <= broken(certificate)
    assert (certificate.laws["energy"].value, certificate.laws["energy"].step) == (pytest.approx(1e-6, rel=1e-12), 2)
    falls: list[float] = []

    def less(system: System, step: Step) -> Step:
        falls.append(step.dt * step.dissipation)
        return replace(step, dissipation=0.99 * step.dissipation)

    certificate = certified(quench(), less)
    assert broken(certificate) == {"dissipation"}
    assert certificate.laws["dissipation"].value == pytest.approx(0.01 * max(falls), rel=1e-6)
    certificate = certified(gas(), lambda system, step: replace(step, dissipation=-step.dissipation))
    assert broken(certificate) == {"dissipation"}


def test_mean_of_the_force_over_a_step_that_is_too_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Gauss point is not enough for a quartic energy: the scheme then is the midpoint rule, which has no energy law."""
    monkeypatch.setattr(DoubleWell, "gauss_points", 1)
    assert broken(certified(quench(time=Time(end=8.0, step=2.0, scheme="avf")))) == {"energy_drop"}
    monkeypatch.undo()
    assert certified(quench(time=Time(end=8.0, step=2.0, scheme="avf"))).passed


# --- what is right passes


def spinodal(scheme: str, **given: Any) -> Problem:
    """Into two phases, the steps as long as the growth."""
    return quench(time=Time(end=8.0, step=0.5, scheme=scheme), **given)


def text(problem: str, **changes: Any) -> Problem:
    table = tomllib.loads(problem)
    table["time"] |= changes
    table["output"] = {"times": 1}
    return Problem(**table)


REGULAR = {"free_energy": [RegularSolution(chi=3.0), Gradient(kappa=1e-2)], "mobility": {"kind": "Degenerate", "diffusivity": 4.0}}
STEADY = Time(end=100.0, steady=True)
RIGHT: dict[str, Callable[[], Problem]] = {
    **{f"closed, {scheme}": lambda scheme=scheme: spinodal(scheme) for scheme in ("backward-euler", "convex-split", "avf", "bdf2")},
    **{f"degenerate, {scheme}": lambda scheme=scheme: spinodal(scheme, **REGULAR) for scheme in ("backward-euler", "convex-split", "avf")},
    "reservoirs": lambda: text(SPINODAL.format(periodic="", energy='[[free_energy]]\nkind = "RegularSolution"\nchi = 3') + RESERVOIR),
    "Maxwell-Stefan with a reaction, an exchange and a flux": lambda: text(MAXWELL_STEFAN),
    "entropy variables, potential in time": lambda: text(ENTROPY),
    "Darken": lambda: text(KIRKENDALL),
    "crowded ions, electrode reaction, voltage in time": lambda: text(CHARGED, scheme="bdf2"),
    "wetting": lambda: spinodal("bdf2", boundary={"left": Boundary(wetting={"contact_angle": "60 deg"})}),
    "ternary": lambda: quench(
        species=[
            Species(name="A", initial="0.3 + 0.02*noise"),
            Species(name="B", initial="0.4 + 0.02*noise"),
            Species(name="C", balance=True),
        ],
        free_energy=[RegularSolution(chi={"A-B": 3.0, "A-C": 3.0, "B-C": 3.0}), Gradient(kappa=1e-2)],
        mobility={"kind": "Onsager", "matrix": [[0.2, -0.1], [-0.1, 0.2]]},
        time=Time(end=2.0, step=0.1),
    ),
    "ideal ions": lambda: salt(free_energy=[Ideal(), Electrostatic(permittivity=1e-2)], mobility={"kind": "Fick"}),
    "isolated ions": lambda: salt(boundary={"left": Boundary(potential=-2.0), "right": Boundary(surface_charge=0.1)}),
    "ions, (c, mu)": lambda: salt("potential"),
    "ions, fractions": lambda: salt("fractions"),
    "fixed charge in time": lambda: salt(
        free_energy=[LatticeGas(), Electrostatic(permittivity=1e-2, fixed_charge="where(x < 0.5, 0.1*sin(20*t), 0)")]
    ),
    "steady": lambda: salt(time=STEADY),
    "steady, with a source and a film": lambda: gas(
        species=[Species(name="A", initial=0.3, diffusivity=1.0, source="0.1*x")],
        boundary={"left": Boundary(exchange={"A": Exchange(coefficient=0.5, reference=0.2)})},
        time=STEADY,
    ),
    "source in time": lambda: gas(
        species=[Species(name="A", initial=0.3, diffusivity=1.0, source="x*sin(30*t)"), Species(name="B", initial=0.2, diffusivity=0.4)],
        time=Time(end=20 * STEP, tolerance=1e-2),
    ),
    "around an axis": lambda: gas(
        mesh=Mesh(shape="rectangle", size=[1.0, 1.0], cells=[6, 6], axisymmetric=True),
        boundary={"right": Boundary(concentration={"A": "0.2 + t", "B": 0.1})},
    ),
}
LAWS = {  # besides those of mass, bounds and numbers
    "closed, bdf2": {"dissipation", "energy"},
    "degenerate, avf": {"dissipation", "energy", "closure"},
    "closed, avf": {"dissipation", "energy", "energy_drop"},
    "isolated ions": {"dissipation", "energy", "energy_drop", "charge", "gauss", "closure"},
    "steady": {"dissipation", "charge", "gauss", "closure"},
    "source in time": {"dissipation", "closure"},
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name: str) -> None:
    """With the better half of every tolerance to spare."""
    certificate = certified(RIGHT[name]())
    used = {law: found.used for law, found in certificate.laws.items()}
    assert certificate.passed, broken(certificate)
    assert max(used.values()) <= 0.5, used
    assert all(law.checked >= 1 for law in certificate.laws.values())
    others = {law for law in certificate.laws if not law.startswith(("mass", "bounds", "finite"))}
    assert others == LAWS.get(name, others)


def test_user_energy(folder: Path) -> None:
    """Of which nothing is known but its density."""
    if COMM.rank == 0:
        (folder / "case.toml").write_text(SPINODAL.format(periodic="", energy=OWN))
        (folder / "my_energies.py").write_text(
            "from fem_diffusion import Term\n\n\nclass Sextic(Term):\n    strength: float\n\n    def density(self, c, phi):\n"
            "        return self.strength * c[0] ** 2 * (c[0] - 0.5) ** 2 * (c[0] - 1) ** 2\n"
        )
    COMM.barrier()
    certificate = certified(Problem.read(folder / "case.toml", {"time.end": "1"}))
    assert certificate.passed and {"energy", "dissipation"} <= certificate.laws.keys()


# --- what a user sees


def spoilt_run(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """1e-6 more of A at x = 0.35 in the third step."""
    accept = Integrator._accept

    def spoil(self: Integrator, *arguments: Any) -> Step:
        step = accept(self, *arguments)
        return at_vertex(0.35, lambda unknowns: unknowns.__setitem__(0, unknowns[0] + 1e-6))(self.system, step)

    monkeypatch.setattr(Integrator, "_accept", spoil)
    run(quench(**given), folder / "out")


def written(folder: Path) -> Any:
    return on_root(COMM, lambda: json.loads((folder / "out" / FILE).read_text()))


def test_violation_is_said_once_logged_always_and_no_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spoilt_run(folder, monkeypatch)
    said, table = capfd.readouterr(), written(folder)
    law = table["laws"]["mass_A"]
    assert (table["passed"], law["passed"], law["violations"], law["place"]) == (False, False, 2, "(0.35)")
    assert law["value"] == pytest.approx(1e-6 * H, rel=1e-9)
    assert table["laws"]["finite"]["passed"]
    if COMM.rank == 0:
        log = (folder / "out" / "run.log").read_text().splitlines()
        (first, second) = [line for line in log if line.startswith("certificate: mass_A: ")]
        assert "is 5e-08 (tolerance " in first and first.endswith("in step 3, t = 0.03 at (0.35)") and "in step 4" in second
        assert log[-1] == "reached the end" and log[-2].startswith("certificate: FAILED: mass_A in 2 steps")
        assert said.err.count("warning: certificate: mass_A: ") == 1
        assert said.out.splitlines()[-1] == log[-2] == json.loads((folder / "out" / "provenance.json").read_text())["certificate"]


def test_strict_run_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotCertified, match=r"mass_A: .*in step 3, t = 0\.03 at \(0\.35\)"):
        spoilt_run(folder, monkeypatch, strict=True)
    table = written(folder)
    assert (table["passed"], table["strict"], table["laws"]["mass_A"]["checked"]) == (False, True, 3)
    assert on_root(COMM, lambda: json.loads((folder / "out" / "provenance.json").read_text()))["outcome"].startswith("failed: mass_A: ")
    assert on_root(COMM, lambda: len((folder / "out" / "history.csv").read_text().splitlines())) == 5  # the spoilt step is there to be seen


OVERDRAWN = """
strict = {strict}
[mesh]
shape = "interval"
size = 1
cells = 4
[[species]]
name = "A"
initial = 0.1
source = "-1"
[[free_energy]]
kind = "LatticeGas"
[mobility]
kind = "Stirring"
diffusivity = 1
[time]
end = 0.10005
step = 0.02001
[output]
times = 1
"""


@pytest.mark.serial
@pytest.mark.parametrize(("strict", "code"), [("true", 4), ("false", 0)])
def test_exit_code(strict: str, code: int, folder: Path) -> None:
    """A source takes 5e-5 more than there is, which the formulation of fractions allows: c = 0.1 - t."""
    (folder / "case.toml").write_text(OVERDRAWN.format(strict=strict))
    done = subprocess.run(
        [sys.executable, "-m", "fem_diffusion", "run", "case.toml", "-o", "out"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("warning: certificate: bounds_A: ") == 1
    assert ("error: bounds_A: " in done.stderr) == (code == 4)
    law = json.loads((folder / "out" / FILE).read_text())["laws"]["bounds_A"]
    assert (law["violations"], law["step"], law["value"]) == (1, 5, pytest.approx(5e-5, rel=1e-9))


# --- restart


def test_it_goes_on_where_it_was_left() -> None:
    """By what JSON holds, with steps that need the sources of the ones before; and it sees what was lost in between."""
    system = System(RIGHT["source in time"]())
    march, whole, first = Integrator(system), Certificate(system), Certificate(system)
    second, spoilt = Certificate(system), Certificate(system)
    for certificate in (whole, first):
        certificate.check(march.start())
    for step in march.steps():
        whole.check(step)
        if step.number <= 5:
            first.check(step)
        if step.number == 5:
            state: Mapping[str, Any] = json.loads(json.dumps(first.state()))
            second.recall(state)
            spoilt.recall({**state, "before": {**state["before"], "masses": [0.3, 0.2, 0.5]}})
        if step.number > 5:
            second.check(step)
            spoilt.check(step)
    assert step.number > 7
    assert second.laws == whole.laws and second.passed
    assert broken(spoilt) == {"mass_A", "mass_rest"} and spoilt.laws["mass_A"].step == 6
