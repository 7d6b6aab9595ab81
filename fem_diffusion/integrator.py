"""The time loop: steps that are tried, judged, and accepted or shrunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from . import failure
from .errors import InputError, StepFailed
from .newton import Converged, NotConverged
from .parallel import global_max, global_sum
from .signals import Stopped
from .steady import SteadyState, in_time
from .step import StepData
from .step_size import FAILURE, GROWTH, History, Trail, lagrange, next_factor
from .system import System
from .trees import joined, split

ROUND_OFF = 1e-12  # relative rise of the energy that is not a rise
STEADY = 1e-7  # change that would add up until `end`, relative to the spread of c; not until now, for an early step may be short
NEGATIVE = 1e-4  # a fraction below zero, in the formulation that does not exclude it: more is no discretisation error
_NUMBERS = (
    "time", "number", "steady", "jumped", "_energy", "_largest_energy", "_restarted", "_accepted_dt", "_longest_dt", "_dt",
)  # fmt: skip
SMALLEST = 1e-10  # of the last accepted (or first) step: below it a step has failed for good


@dataclass(frozen=True)
class Step:
    """One accepted step; fluxes are the step's mean outward flux by (species, boundary), charges those on the boundaries at its end."""

    number: int
    time: float
    dt: float
    newton_iterations: int
    linear_iterations: int
    energy: float
    dissipation: float
    fluxes: dict[tuple[str, str], float]
    charges: dict[str, float]


@dataclass
class Rejections:
    """How many steps were tried in vain, by cause."""

    newton: int = 0
    error: int = 0
    energy: int = 0
    saddle: int = 0
    reasons: list[str] = field(default_factory=list)  # the last ten

    @property
    def total(self) -> int:
        return self.newton + self.error + self.energy + self.saddle


class _Rejected(Exception):
    """A step that is not taken: by which of the `Rejections`, why, by how much to shrink, and what is wrong where no step succeeds."""

    def __init__(self, counted: str, message: str, factor: float, cause: failure.Cause, residuals: Sequence[float] = ()) -> None:
        super().__init__(message)
        self.counted, self.factor, self.cause, self.residuals = counted, factor, cause, residuals


class Integrator:
    """Advances a system in time.

    Every step must pass: Newton's method converged (after at least one iteration), the solution is a minimum and not a saddle of the step's
    functional, the energy of an isolated system did not rise, the local error is below the tolerance. Otherwise the state is restored
    exactly and a smaller step is tried.

    start: unknowns of this rank to start from instead of the initial state
    """

    def __init__(self, system: System, start: np.ndarray | None = None) -> None:
        self.system = system
        self.settings = system.problem.time
        self.rejections = Rejections()
        self._direct = SteadyState(system)
        self._driven = next(in_time(system.given), None) is not None  # what is quiet now may move later
        self.steady = False
        self.jumped = False  # to the steady state, without times between
        system.initialise()
        if start is not None:
            system.set_values(start)
        rate = system.rate_of_change()
        self.time = 0.0
        self.number = 0
        self._values = system.values()
        self._trail = Trail([0.0], [self._values])
        self._history = History([0.0], [system.concentrations.copy()], rate)
        self._energy = system.energy(0.0)
        if not np.isfinite(self._energy):
            raise InputError("the free energy has no value for the initial state: start within the range of compositions where it has one")
        self._largest_energy = abs(self._energy)
        self._spread = self._spread_of(system.concentrations)
        self._fluxes: dict[tuple[str, str], float] = {}
        self._restarted = False  # a two-level scheme takes this step with one level
        self._accepted_dt: float | None = None
        self._longest_dt = 0.0
        self._memory = system.newton.memory
        self._dt = self._first_step(rate)

    # -- checkpoints ----------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that the next step follows from: numbers, as JSON has them, and vectors (vertices, ...) by name."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        numbers |= {"trail": [self._trail.times, self._trail.order], "history": self._history.times, "spread": self._spread.tolist()}
        numbers |= {"fluxes": [[*key, flux] for key, flux in self._fluxes.items()], "rejections": asdict(self.rejections)}
        block = self.system.formulation.block
        vectors = {f"unknowns_{i}": state.reshape(-1, block) for i, state in enumerate(self._trail.states)}
        vectors |= {f"concentrations_{i}": state for i, state in enumerate(self._history.states)}
        solver, vectors["initial_rate"] = split(self._memory), self._history.initial_rate
        return numbers | {"solver": solver[0]}, vectors | {f"solver/{name}": vector for name, vector in solver[1].items()}

    def recall(self, numbers: Mapping[str, Any], vectors: Mapping[str, np.ndarray], same_unknowns: bool = True) -> None:
        """Go on from a `state`, whose unknowns were those of this formulation or of another one. Collective."""
        for name in _NUMBERS:
            setattr(self, name, numbers[name])
        limits = (self.settings.step, self.settings.max_step)
        self._dt = min([self._dt, *(float(limit) for limit in limits if limit is not None)])
        states = [vectors[f"concentrations_{i}"] for i in range(len(numbers["history"]))]
        self._history = History(numbers["history"], states, vectors["initial_rate"])
        times, order = numbers["trail"]
        if same_unknowns:
            self._trail = Trail(times, [vectors[f"unknowns_{i}"].ravel() for i in range(len(times))], order)
        else:
            self.system.set_concentrations(states[0], self.time)
            self._trail = Trail([self.time], [self.system.values()])
        self._values = self._trail.states[0]
        self._spread = np.array(numbers["spread"])
        self._fluxes = {(name, boundary): flux for name, boundary, flux in numbers["fluxes"]}
        self.rejections = Rejections(**numbers["rejections"])
        if same_unknowns:
            self._memory = joined(numbers["solver"], vectors, "solver")
            self.system.newton.recall(self._memory)
        self._restore()

    @property
    def through_time(self) -> str | None:
        """Why the steady state that is asked for is not sought at once, a phrase, or None."""
        return self._direct.obstacle if self.settings.steady else None

    @property
    def energy(self) -> float:
        return self._energy

    @property
    def ended(self) -> bool:
        """Whether no step is left."""
        return self.time >= float(self.settings.end) or (self.settings.steady and self.steady)

    def start(self) -> Step:
        """Step 0: the initial state."""
        fluxes = {(name, boundary): 0.0 for name in self.system.model.names for boundary in self.system.problem.boundary}
        return Step(0, 0.0, 0.0, 0, 0, self._energy, self.system.dissipation(), fluxes, self.system.boundary_charges())

    def steps(self) -> Iterator[Step]:
        """Accepted steps until the end time, or until nothing changes any more. Raises StepFailed."""
        end = float(self.settings.end)
        if self.settings.steady and self._direct.obstacle is None and self.number == 0:
            try:
                yield self._settle(end)
                return
            except NotConverged as unsolved:
                self._restore()
                self.rejections.reasons.append(f"the steady state at once: {unsolved}{failure.history(unsolved.residuals)}")
        while not self.ended:
            yield self._advance(end)

    def _settle(self, end: float) -> Step:
        """The steady state as one step to the end of time."""
        system = self.system
        result = self._direct.solve()
        self.time, self.number, self.steady, self.jumped = end, 1, True, True
        self._values = system.values()
        self._trail = Trail([end], [self._values])
        self._history = History([end], [system.concentrations.copy()], np.zeros_like(system.concentrations))
        self._energy = system.energy(end)
        iterations = result.newton_iterations, result.linear_iterations
        return Step(1, end, end, *iterations, self._energy, system.dissipation(), system.outward_fluxes(1.0), system.boundary_charges())

    @contextmanager
    def visiting(self, time: float) -> Iterator[None]:
        """Within the context u holds the state at a time inside the last step, with the chemical potentials that belong to it.

        Steps are not shortened to hit output times: c is the parabola through the last three states, or the chord where that overshoots the two
        ends. Both conserve mass exactly, as sums of states with weights that add up to one.
        """
        system = self.system
        if time == self.time and system.formulation.is_consistent:
            yield  # as it was solved: by way of c the traces of entropy variables would lose digits
            return
        system.set_concentrations(self._interpolated(time), time)
        yield
        self._restore()

    def _interpolated(self, time: float) -> np.ndarray:
        times, states = self._history.times, self._history.states
        if len(times) == 1 or time == times[0]:
            return states[0]
        chord = lagrange(times[:2], states[:2], time)
        if len(times) < 3:
            return chord
        parabola = lagrange(times, states, time)
        low, high = np.minimum(states[0], states[1]), np.maximum(states[0], states[1])
        room = 0.25 * (high - low)
        overshoots = bool(((parabola < low - room) | (parabola > high + room)).any()) or not self._admissible(parabola)
        return chord if global_sum(self.system.comm, int(overshoots)) else parabola

    def _admissible(self, c: np.ndarray) -> bool:
        """Whether this rank's concentrations (vertices, n) have a logarithm where the energy takes one."""
        model = self.system.model
        return not model.positive or bool((c > 0).all() and (not model.closed or (model.rest(c) > 0).all()))

    # -- one step -------------------------------------------------------------------------------------------------------------

    def _advance(self, end: float) -> Step:
        dt = self._dt
        seconds = self.system.scales.time
        # a shorter one would not move the clock; steps that are accepted and refused in turn creep, relative to the last one without end
        floor = max(SMALLEST * (self._accepted_dt or dt), 1e-3 * SMALLEST * self._longest_dt, 1e-14 * self.time)
        while True:
            dt_now = self._landing(dt, end)
            try:
                return self._try(dt_now)
            except Stopped:
                self._restore()
                raise
            except _Rejected as rejected:
                self._restore()
                setattr(self.rejections, rejected.counted, getattr(self.rejections, rejected.counted) + 1)
                self.rejections.reasons = [
                    *self.rejections.reasons[-9:],
                    f"t = {self.time * seconds:g}, dt = {dt_now * seconds:g}: {rejected}{failure.history(rejected.residuals)}",
                ]
                dt = rejected.factor * dt_now
                if dt < floor:
                    raise StepFailed(self._epitaph(dt_now, rejected)) from None

    def _try(self, dt: float) -> Step:
        system, scheme = self.system, self.system.scheme
        two_levels = scheme.levels == 2 and self.number > 0 and not self._restarted
        ratio = dt / self._accepted_dt if two_levels and self._accepted_dt else 1.0
        weights = scheme.weights(ratio) if two_levels else (1.0, -1.0, 0.0)
        order = scheme.order if scheme.levels == 1 or two_levels else 1
        try:
            result = system.solve_step(StepData(self.time, dt, weights, self._history.states[:2], self._values, self._guess(dt)))
        except NotConverged as unsolved:
            raise _Rejected("newton", str(unsolved), FAILURE, failure.cause(unsolved), unsolved.residuals) from None

        branch = system.branch
        if branch is not None and scheme.name != "convex-split" and branch.may_have_saddles() and not branch.is_minimum():
            raise _Rejected("saddle", "the solution is a saddle, not a minimum: another branch of the step's equations", FAILURE, "saddle")
        if system.is_ill_posed():
            raise _Rejected("newton", "the mixture is unstable there and has no gradient energy", FAILURE, "unstable")
        lowest = system.lowest_fraction()
        if lowest < -NEGATIVE:
            raise _Rejected(
                "newton",
                f"a fraction would fall to {lowest:.2g} {failure.lowest_fraction(system)}: a flux, source or reaction takes more than there "
                "is, or the mesh is obtuse or too coarse for the drift",
                FAILURE,
                "negative",
            )
        energy = system.energy(self.time + dt)
        if not np.isfinite(energy):
            raise _Rejected("newton", "the solution lies where the free energy has no value", FAILURE, "no value")
        allowed = ROUND_OFF * max(abs(energy), abs(self._energy)) + 1e-15 * self._largest_energy
        if system.isolated and system.formulation.dissipates and energy > self._energy + allowed:
            self._restarted = scheme.levels == 2
            raise _Rejected("energy", f"the energy would rise from {self._energy:.12g} to {energy:.12g}", FAILURE, "energy")

        c = system.concentrations
        spread = np.maximum(self._spread, self._spread_of(c))
        error = self._error(dt, order, spread)
        tolerance = float(self.settings.tolerance)
        if self.settings.step is None and error > tolerance:
            raise _Rejected("error", f"the local error {error:.2g} is above the tolerance", next_factor(error, tolerance, order), "error")
        return self._accept(dt, two_levels, ratio, order, error, energy, spread, result)

    def _accept(
        self, dt: float, two_levels: bool, ratio: float, order: int, error: float, energy: float, spread: np.ndarray, result: Converged
    ) -> Step:
        system = self.system
        c = system.concentrations
        change = self._rms(c - self._history.states[0])
        fluxes = self._mean_fluxes(dt, two_levels, ratio)
        quiet = bool(np.all(change * float(self.settings.end) <= STEADY * dt * np.maximum(spread, 1e-300)))
        self.steady = quiet and (not self._driven or self._next_time(dt) >= float(self.settings.end))
        self._values = system.values()
        self.time, self.number = self._next_time(dt), self.number + 1
        self._trail.push(system.comm, self.time, self._values)
        self._history.push(self.time, c.copy())
        self._energy, self._largest_energy, self._spread = energy, max(self._largest_energy, abs(energy)), spread
        self._fluxes, self._accepted_dt, self._restarted = fluxes, dt, False
        self._longest_dt = max(self._longest_dt, dt)
        self._dt = self._following(dt, error, order)
        self._memory = system.newton.memory
        iterations = result.newton_iterations, result.linear_iterations
        return Step(self.number, self.time, dt, *iterations, energy, system.dissipation(), fluxes, system.boundary_charges())

    def _mean_fluxes(self, dt: float, two_levels: bool, ratio: float) -> dict[tuple[str, str], float]:
        """The mean over the step, so that mass changes by -dt times it.

        BDF2 balances a_0 c^{n+1} + a_1 c^n + a_2 c^{n-1} with the flux at the end; in differences (c^{n+1} - c^n)/dt =
        a_2/(a_0 r) (c^n - c^{n-1})/dt_old - flux/a_0, and the mean fluxes obey the same.
        """
        at_end = self.system.outward_fluxes(dt)
        if not two_levels:
            return at_end
        a0, _, a2 = self.system.scheme.weights(ratio)
        return {key: a2 / (a0 * ratio) * self._fluxes[key] + flux / a0 for key, flux in at_end.items()}

    def _guess(self, dt: float) -> np.ndarray:
        """The old states extrapolated, which keeps Newton on the branch that leads on; unless that leaves the admissible range."""
        if self.number == 0:
            return self._values
        formulation = self.system.formulation
        guess = formulation.guess(self._values, self._trail.extrapolated(self.time + dt))
        rows = formulation.concentration_rows
        admissible = rows is None or self._admissible(guess.reshape(-1, formulation.block)[:, rows])
        return guess if global_sum(self.system.comm, int(not admissible)) == 0 else self._values

    def _error(self, dt: float, order: int, spread: np.ndarray) -> float:
        """Largest local error over the species, relative to the spread of each.

        In a reservoir c is given, or follows from mu at once and not from a rate: a jump there is no error, and no shorter step makes it less.
        """
        error = self._history.local_error(self.time + dt, self.system.concentrations, self.system.scheme, order)
        estimate = self._rms(np.where(self.system.conditions.open_rows, 0.0, error))
        return float(np.max(np.divide(estimate, spread, out=np.zeros_like(estimate), where=estimate > 0)))

    def _following(self, dt: float, error: float, order: int) -> float:
        if self.settings.step is not None:
            return min(float(self.settings.step), GROWTH * dt)
        following = dt * next_factor(error, float(self.settings.tolerance), order)
        return min(following, float(self.settings.max_step)) if self.settings.max_step is not None else following

    def _landing(self, dt: float, end: float) -> float:
        """The step, changed at most a little or halved so that the last two do not end in a sliver."""
        left = end - self.time
        if dt >= left * (1 - 1e-9):
            return left
        return left / 2 if self.settings.step is None and dt > left / 2 else dt

    def _next_time(self, dt: float) -> float:
        end = float(self.settings.end)
        return end if abs(self.time + dt - end) <= 1e-12 * end else self.time + dt

    def _restore(self) -> None:
        self.system.set_values(self._values)
        self.system.formulation.at_time(self.time)

    # -- scales ---------------------------------------------------------------------------------------------------------------

    def _first_step(self, rate: np.ndarray) -> float:
        if self.settings.step is not None:
            return float(self.settings.step)
        first = float(self.settings.initial_step) if self.settings.initial_step is not None else self._estimated_first_step(rate)
        return min(first, float(self.settings.max_step)) if self.settings.max_step is not None else first

    def _estimated_first_step(self, rate: np.ndarray) -> float:
        speed = self._rms(rate)
        moving = speed > 0
        end = float(self.settings.end)
        if not moving.any():
            return 1e-6 * end
        # c + dt c' may be wrong by dt^2 c''/2, and the only rate known is that of c itself
        return min(float(self.settings.tolerance) * float((self._spread[moving] / speed[moving]).min()), 1e-2 * end)

    def _rms(self, values: np.ndarray) -> np.ndarray:
        volume = self.system.volume
        sums = global_sum(self.system.comm, np.append(volume @ values**2, volume.sum()))
        return np.sqrt(sums[:-1] / sums[-1])

    def _spread_of(self, c: np.ndarray) -> np.ndarray:
        """Standard deviation of each c_i over the domain, at least 1e-4 of its largest value, or, if there is none of it, of the others'.

        Errors count relative to the largest spread so far: a growing perturbation is then resolved from the start, and a decaying one is not
        followed for ever.
        """
        system = self.system
        total = float(global_sum(system.comm, system.volume.sum()))
        largest = np.array([global_max(system.comm, np.abs(c[:, i])) for i in range(system.n)])
        overall = largest.max() or 1.0
        own = np.where(largest > 1e-10 * overall, largest, overall)
        return np.maximum(self._rms(c - system.masses(c) / total), 1e-4 * own)

    def _epitaph(self, dt: float, rejected: _Rejected) -> str:
        seconds = self.system.scales.time
        return (
            f"no step from t = {self.time * seconds:g} succeeded, down to dt = {dt * seconds:g}: {rejected}{failure.history(rejected.residuals)}. "
            f"{failure.advice(self.system, rejected.cause)}"
        )
