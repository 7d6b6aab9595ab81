"""The certificate of a run: laws that every accepted step must keep, checked from the states themselves.

With masses M_i = int c_i dx from the concentrations, and outward fluxes Phi_i,b and sources S_i as means over the step,

    mass_<i>:     M_i^{n+1} - M_i^n = dt (S_i - sum_b Phi_i,b), for each species and for what closes their sum to one
    charge:       the same for int sum_i z_i c_i dx, which is integrated for itself
    gauss:        int rho dx + the charges of all boundaries = 0
    bounds_<k>:   c_k >= 0 where the free energy takes its logarithm
    closure:      c_0 + sum_i v_i c_i = 1 at every vertex
    dissipation:  D = -sum_i int J_i . grad mu_i dx >= 0, and dt D = -a_0 sum_i (mu_i, c_i^{n+1} - c_i^before)_h where nothing passes or reacts
    energy:       F^{n+1} <= F^n of an isolated system
    energy_drop:  F^n - F^{n+1} >= alpha W with the work of the step W = -sum_i (mu_i, c_i^{n+1} - c_i^n)_h, alpha from `share_of_work`
    finite:       all unknowns and all numbers of a step are finite

( , )_h is the vertex rule; mu, a_0 and c_before are those of the scheme (`formulation.base`). The `value` of a law is by how much a step breaks
it: it holds where that is at most the tolerance, and where it is negative there is that much to spare.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem
from mpi4py import MPI

from .errors import NotCertified
from .failure import Spot
from .formulation import Fractions, Model, is_ideal
from .free_energy import Term, WallEnergy
from .integrator import Step
from .newton import DEFAULTS, LEFT_AT_REST
from .operators import compile_form
from .parallel import global_sum
from .shared_file import write_text
from .state import REST
from .steady import in_time
from .system import System

FILE = "certificate.json"
NEWTON = LEFT_AT_REST  # the largest error of an unknown at which Newton's method ends, unless linear systems are solved inexactly
ENERGY = 1e-12  # round-off of F, whose density is a difference of logarithms
AT_A_VERTEX = 1e-15  # round-off of a fraction that is what others leave
SUM = 1e-13  # of fractions exp(w): w of up to some hundred has that round-off


@dataclass
class Law:
    """One law over the steps so far: the step that came nearest to breaking it, in the problem's units, and the place of its worst vertex."""

    what: str
    unit: str
    checked: int = 0
    violations: int = 0
    value: float = 0.0
    tolerance: float = 0.0
    step: int | None = None
    time: float | None = None
    place: str | None = None

    @property
    def passed(self) -> bool:
        return self.violations == 0

    @property
    def used(self) -> float:
        return -math.inf if self.step is None else _used(self.value, self.tolerance)


@dataclass(frozen=True)
class Violation:
    """A law that a step breaks; `first`: no step before did."""

    law: str
    message: str
    first: bool


@dataclass(frozen=True)
class _Finding:
    """How a step stands to a law, in solver units; `at_vertices` gives how much each vertex breaks it, `placed` wherever, or only if it is broken."""

    law: str
    value: float
    tolerance: float
    at_vertices: Callable[[], np.ndarray] | None = None
    placed: bool = False


@dataclass(frozen=True)
class _Numbers:
    """Of a state and the step that led to it, on all ranks alike.

    sizes: int |c_i| dx; work: with c_before, with c^n, and sum_i (|mu_i|, |c_i|)_h; lowest: of the bounded components
    """

    dt: float
    energy: float
    masses: np.ndarray
    sizes: np.ndarray
    sources: np.ndarray
    charge: float
    fixed_charge: float
    work: np.ndarray
    lowest: np.ndarray
    unclosed: float
    not_finite: float


class Certificate:
    """Judges the steps of a run in order, each right after it was accepted: the equations must still be those of the step. Collective."""

    def __init__(self, system: System) -> None:
        self._system = system
        model, formulation = system.model, system.formulation
        self._closed, self._charged = model.closed, model.charged
        self._names = [*model.names, *([model.balance or REST] if self._closed or model.balance else [])]
        self._components = list(system.composition.closed)
        self._bounded = [k for k, name in enumerate(self._components) if name in model.positive]
        self._sizes, self._charges = np.array(model.sizes or (1.0,) * system.n), np.array(model.charges)
        self._all_sizes = np.append(self._sizes, 1.0)
        self._isolated = system.isolated and formulation.dissipates
        self._share = share_of_work(model, system.scheme.name) if self._isolated else None
        # c is linear in these unknowns, and an integral of c is exact after any full update where nothing passes or reacts
        exact = formulation.concentration_rows is not None and not model.source and not system.problem.boundary
        # the N vertices' own round-offs add up like a random walk, to those of the sums themselves
        vertices = system.formulation.scalar_space.dofmap.index_map.size_global
        self._round_off = float(np.finfo(float).eps) * (100 + math.sqrt(vertices))
        options: dict[str, Any] = DEFAULTS | system.linear.options  # an inexact solution leaves an error of rtol times the last update
        self._error = max(NEWTON, options["snes_stol"] * options.get("ksp_rtol", 0.0))
        self._error_of_mass = 0.0 if exact else self._error
        self._volume = float(global_sum(system.comm, system.volume.sum()))
        self._units = _units(system)
        self._before: _Numbers | None = None
        self._c: np.ndarray | None = None  # of the state before, (vertices, n)
        self._largest_energy = 0.0
        self.laws = dict(self._all_laws())
        self.violations: list[Violation] = []

    def _all_laws(self) -> Iterator[tuple[str, Law]]:
        model = self._system.model
        for name in self._names:
            yield f"mass_{name}", Law(f"change of the amount of {name} that no flux and no source accounts for", "mass")
        if model.charged:
            yield "charge", Law("change of the ions' charge that no current and no source accounts for", "charge")
            yield "gauss", Law("sum of the charges in the domain and on its boundaries", "charge")
        for k in self._bounded:
            yield f"bounds_{self._components[k]}", Law(f"how far {self._components[k]} falls below zero", "concentration")
        if model.closed:
            yield "closure", Law("difference of the sum of all fractions from one", "")
        if model.mobility.symmetric:
            yield "dissipation", Law("what is dissipated, if less than nothing, or its difference from the work of the step", "energy")
        if self._isolated:
            yield "energy", Law("rise of the free energy", "energy")
            if self._share is not None:
                yield (
                    "energy_drop",
                    Law(f"by how much the free energy falls less than {self._share:g} times the work of the step", "energy"),
                )
        yield "finite", Law("how many numbers are not finite", "")

    # -- one step -------------------------------------------------------------------------------------------------------------

    def check(self, step: Step) -> None:
        """Judge a step, or the initial state (step 0); the laws that it breaks stand in `violations` until the next one."""
        components = self._system.formulation.components
        new = self._numbers(step, components)
        self._largest_energy = max(self._largest_energy, abs(step.energy))
        self.violations = []
        for finding in self._of_state(step, new, components):
            self._judge(step, finding)
        if self._before is not None and step.dt:
            for finding in self._of_change(step, self._before, new):
                self._judge(step, finding)
        self._before, self._c = new, components[:, : self._system.n]

    def require(self) -> None:
        """Raise NotCertified if the last step broke a law and the problem is strict."""
        if self.violations and self._system.given.strict:
            raise NotCertified("; ".join(violation.message for violation in self.violations))

    def _numbers(self, step: Step, components: np.ndarray) -> _Numbers:
        """By one reduction of sums and one of extremes."""
        system, volume, n = self._system, self._system.volume, len(self._names)
        sums = np.zeros(2 * n + 4)
        sums[:n], sums[n : 2 * n] = volume @ components[:, :n], volume @ np.abs(components[:, :n])
        if self._isolated and step.dt:
            sums[2 * n : -1] = self._work(components[:, : system.n])
        of_step = [step.energy, step.dissipation, *step.fluxes.values(), *step.charges.values()]
        sums[-1] = np.count_nonzero(~np.isfinite(system.fields)) + (system.comm.rank == 0) * np.count_nonzero(~np.isfinite(of_step))
        sums = global_sum(system.comm, sums)
        inside = components[system.has_matter]
        lowest = inside[:, self._bounded].min(axis=0, initial=np.inf)
        closest = -np.abs(self._sum(inside) - 1).max(initial=0.0)
        extremes = np.append(lowest, closest)
        system.comm.Allreduce(MPI.IN_PLACE, extremes, op=MPI.MIN)
        return _Numbers(
            dt=step.dt,
            energy=step.energy,
            masses=sums[:n],
            sizes=sums[n : 2 * n],
            sources=self._mean_sources(step),
            charge=system.charge(),
            fixed_charge=self._fixed_charge(),
            work=sums[2 * n : -1],
            lowest=extremes[:-1],
            unclosed=-float(extremes[-1]),
            not_finite=float(sums[-1]),
        )

    def _sum(self, components: np.ndarray) -> np.ndarray:
        """c_0 + sum_i v_i c_i, (vertices,)"""
        total: np.ndarray = components @ self._all_sizes
        return total

    def _work(self, c: np.ndarray) -> tuple[float, float, float]:
        """This rank's -a_0 sum_i (mu_i, c_i - c_before)_h, -sum_i (mu_i, c_i - c_i^n)_h, and sum_i (|mu_i|, |c_i|)_h."""
        formulation, volume = self._system.formulation, self._system.volume
        mu = formulation.all_potentials()[: formulation.vertices]
        before = formulation.c_before.x.array[: c.size].reshape(c.shape)
        a0 = float(formulation.a0.value)
        of_balance = -a0 * float(volume @ (mu * (c - before)).sum(axis=1))
        old = before if a0 == 1.0 else self._c
        of_step = math.nan if old is None else -float(volume @ (mu * (c - old)).sum(axis=1))
        return of_balance, of_step, float(volume @ np.abs(mu * c).sum(axis=1))

    def _mean_sources(self, step: Step) -> np.ndarray:
        """int R_i dx as the mean over the step: with two old states by the recursion of `Integrator._mean_fluxes`."""
        system = self._system
        at_end = np.zeros(system.n)
        if not step.dt or not system.model.source:
            return at_end
        for i, form in self._source_forms.items():
            at_end[i] = fem.assemble_scalar(form).real
        at_end = global_sum(system.comm, at_end)
        a0 = float(system.formulation.a0.value)
        if a0 in (0.0, 1.0) or self._before is None:
            return at_end
        ratio = step.dt / self._before.dt
        mean: np.ndarray = system.scheme.weights(ratio)[2] / (a0 * ratio) * self._before.sources + at_end / a0
        return mean

    @cached_property
    def _source_forms(self) -> dict[int, Any]:
        formulation = self._system.formulation
        at, names = formulation.flux_composition(), formulation.model.names
        return {names.index(name): compile_form(source(at) * formulation.lumped) for name, source in formulation.model.source.items()}

    def _fixed_charge(self) -> float:
        """int rho_f dx where it varies in time; what does not is no change, and counts as none."""
        return self._system.fixed_charge() if self._charge_varies else 0.0

    @cached_property
    def _charge_varies(self) -> bool:
        return any("fixed_charge" in place for place, _ in in_time(self._system.given))

    # -- laws -----------------------------------------------------------------------------------------------------------------

    def _of_state(self, step: Step, new: _Numbers, components: np.ndarray) -> Iterator[_Finding]:
        system = self._system
        yield _Finding("finite", new.not_finite, 0.0, lambda: np.count_nonzero(~np.isfinite(system.fields), axis=1))
        # fractions are unknowns and known to Newton's tolerance; other formulations keep every component above zero, but for what closes the sum
        tolerance = self._error if isinstance(system.formulation, Fractions) else AT_A_VERTEX * len(self._components)
        for k, low in zip(self._bounded, new.lowest, strict=True):
            yield _Finding(f"bounds_{self._components[k]}", -float(low), tolerance, partial(_below_zero, components, k), placed=True)
        if self._closed:
            yield _Finding("closure", new.unclosed, SUM, lambda: np.abs(self._sum(components) - 1), placed=True)
        if self._charged:
            ions = float(np.abs(self._charges) @ new.sizes[: system.n])
            of_boundaries = list(step.charges.values())
            tolerance = self._round_off * (ions + float(np.abs(of_boundaries).sum())) + self._error * ions
            yield _Finding("gauss", abs(new.charge + sum(of_boundaries)), tolerance, partial(self._imbalance_of, -1))

    def _of_change(self, step: Step, old: _Numbers, new: _Numbers) -> Iterator[_Finding]:
        system = self._system
        at_rest = float(system.formulation.a0.value) == 0.0  # a steady state found at once: what it was before does not matter
        dt = 1.0 if at_rest else step.dt
        through = np.array([[step.fluxes[name, boundary] for boundary in system.problem.boundary] for name in system.model.names])
        gained = dt * (new.sources - through.sum(axis=1))
        passed = dt * (np.abs(new.sources) + np.abs(through).sum(axis=1))
        if len(self._names) > system.n:
            gained, passed = np.append(gained, -self._sizes @ gained), np.append(passed, self._sizes @ passed)
        changed = np.zeros_like(gained) if at_rest else new.masses - old.masses
        tolerances = self._round_off * (old.sizes + new.sizes + passed) + self._error_of_mass * self._volume
        for i, name in enumerate(self._names):
            yield _Finding(f"mass_{name}", abs(changed[i] - gained[i]), tolerances[i], partial(self._imbalance_of, i))
        if self._charged:
            z = self._charges
            of_ions = 0.0 if at_rest else new.charge - new.fixed_charge - (old.charge - old.fixed_charge)
            tolerance = float(np.abs(z) @ tolerances[: system.n])
            yield _Finding(
                "charge", abs(of_ions - z @ gained[: system.n]), tolerance, lambda: np.abs(self._imbalances()[:, : system.n] @ z)
            )
        yield from self._of_energy(dt * step.dissipation, old, new)

    def _of_energy(self, dissipated: float, old: _Numbers, new: _Numbers) -> Iterator[_Finding]:
        of_balance, of_step, size = (float(value) for value in new.work)
        drop = old.energy - new.energy
        round_off = ENERGY * max(abs(new.energy), abs(old.energy)) + 1e-3 * ENERGY * self._largest_energy
        tolerance = round_off + self._error * size
        if "dissipation" in self.laws:
            broken = max(-dissipated, abs(dissipated - of_balance)) if self._isolated else -dissipated
            yield _Finding("dissipation", broken, tolerance)
        if self._isolated:
            yield _Finding("energy", -drop, round_off)
            if self._share is not None and not math.isnan(of_step):
                missing = self._share * of_step - drop
                yield _Finding("energy_drop", abs(missing) if self._system.scheme.name == "avf" else missing, tolerance)

    def _imbalance_of(self, i: int) -> np.ndarray:
        return np.abs(self._imbalances()[:, i])

    def _imbalances(self) -> np.ndarray:
        """By how much each vertex breaks the mass balances, their sum and Poisson's equation, per volume, (vertices, n + 2)."""
        system, formulation = self._system, self._system.formulation
        balance = system.balance()
        mass = formulation.per_volume(balance[:, formulation.mass_rows])
        mass[system.conditions.open_rows] = 0.0  # what a reservoir supplies is no defect
        poisson = balance[:, formulation.phi_row] / formulation.whole_volume if formulation.phi_row is not None else np.zeros(len(mass))
        return np.column_stack([mass, mass @ self._sizes, poisson])

    # -- the record -----------------------------------------------------------------------------------------------------------

    def _judge(self, step: Step, finding: _Finding) -> None:
        law = self.laws[finding.law]
        law.checked += 1
        broken = not finding.value <= finding.tolerance
        worst = not _used(finding.value, finding.tolerance) <= law.used + 1e-6 * abs(law.used)  # the first of steps that are equally bad
        if not (broken or worst):
            return
        value, tolerance = (number * self._units[law.unit] for number in (finding.value, finding.tolerance))
        time = step.time * self._system.scales.time
        place = None
        if finding.at_vertices is not None and finding.value > 0 and (broken or finding.placed):
            place = Spot.of_largest(self._system, finding.at_vertices()).place
        if worst:
            law.value, law.tolerance, law.step, law.time, law.place = value, tolerance, step.number, time, place
        if broken:
            law.violations += 1
            where = f" at {place}" if place else ""
            message = f"{finding.law}: {law.what} is {value:.6g} (tolerance {tolerance:.2g}) in step {step.number}, t = {time:g}{where}"
            self.violations.append(Violation(finding.law, message, first=law.violations == 1))

    @property
    def passed(self) -> bool:
        return all(law.passed for law in self.laws.values())

    @property
    def summary(self) -> str:
        """One line."""
        checked = max(law.checked for law in self.laws.values())
        broken = [f"{name} in {law.violations} steps" for name, law in self.laws.items() if not law.passed]
        if broken:
            return f"certificate: FAILED: {', '.join(broken)} of {checked}; see {FILE}"
        nearest = max(self.laws, key=lambda name: self.laws[name].used)
        used = max(self.laws[nearest].used, 0.0)
        return f"certificate: passed, {len(self.laws)} laws in {checked} states; nearest to its tolerance: {nearest}, {used:.2g} of it"

    def write(self, folder: Path) -> None:
        """certificate.json. On one rank; raises OutputError."""
        table = {
            "passed": self.passed,
            "strict": self._system.given.strict,
            "laws": {name: {"passed": law.passed} | _finite(asdict(law)) for name, law in self.laws.items()},
        }
        write_text(folder / FILE, json.dumps(table, indent=2) + "\n")

    def state(self) -> dict[str, Any]:
        """All that `recall` needs to go on, as JSON holds it."""
        before = None if self._before is None else {name: np.asarray(value).tolist() for name, value in asdict(self._before).items()}
        return {"before": before, "largest_energy": self._largest_energy, "laws": {name: asdict(law) for name, law in self.laws.items()}}

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        before = state["before"]
        if before is not None:
            arrays: dict[str, Any] = {name: np.array(value) if isinstance(value, list) else value for name, value in before.items()}
            self._before = _Numbers(**arrays)
        self._largest_energy = state["largest_energy"]
        for name, law in state["laws"].items():
            if name in self.laws:
                self.laws[name] = Law(**law)


def share_of_work(model: Model, scheme: str) -> float | None:
    """alpha in F^n - F^{n+1} >= alpha W; None where there is no such bound.

    1 where F is convex and mu = F'(c^{n+1}), since F lies above its tangents; where mu is that of the convex part at c^{n+1} and of the concave part
    at c^n (Eyre 1998); and where it is the mean of F' over the step, if its quadrature is exact: then both sides are equal. 1/2 for other steps of
    backward Euler: c^{n+1} minimises F + (distance moved)^2/2dt, where c^n has F^n, and the second term there is W/2.
    """
    if scheme == "convex-split" or (scheme in ("backward-euler", "bdf2") and is_ideal(model)):
        return 1.0
    if scheme == "avf":
        terms = (*model.free_energy, *(term for terms in model.surface_energy.values() for term in terms))
        polynomial = all(term.gauss_points < Term.gauss_points or isinstance(term, WallEnergy) for term in terms)
        return 1.0 if polynomial else None
    return 0.5 if scheme == "backward-euler" else None


def _below_zero(components: np.ndarray, k: int) -> np.ndarray:
    return -components[:, k]


def _used(value: float, tolerance: float) -> float:
    """Which part of the tolerance is used up."""
    if tolerance == 0.0:
        return 0.0 if value == 0.0 else math.copysign(math.inf, value)
    return value / tolerance


def _units(system: System) -> dict[str, float]:
    """Of laws, in the problem's: those of the columns of history.csv."""
    unit, volume = system.scales.factor, system.scales.length**system.geometry.volume_dimension
    return {
        "mass": unit("concentration") * volume,
        "charge": unit("C/m^3") * volume,
        "concentration": unit("concentration"),
        "energy": unit("J/m^3") * volume,
        "": 1.0,
    }


def _finite(table: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity and no nan: they become text."""
    return {key: str(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in table.items()}
