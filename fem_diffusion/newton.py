"""Newton's method through PETSc SNES, with convergence measured per field and failures that say where and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from petsc4py import PETSc

from .errors import InputError
from .formulation import Formulation
from .old_jacobian import MOST, OldJacobian
from .operators import Operators
from .parallel import global_max, global_sum
from .place import Place
from .preconditioner import LinearSolver

# any of these, and of the linear solver's, can be set after `--`
DEFAULTS = {
    "snes_linesearch_type": "basic",  # a logarithm's residual rises by orders of magnitude on the way from 1e-7 to 1e-4: bt stalls there
    "snes_force_iteration": True,  # a residual below tolerance does not make an unstable state a solution of the next step
    "snes_max_it": 25,
    "snes_rtol": 0.0,
    "snes_atol": 1e-13,
    "snes_stol": 1e-8,
}

CALM = 0.1  # the update of an entropy variable that belongs to a small residual
NOISE = 1e-5  # what round-off may leave of it
LEFT = 1e-12  # estimated error at which iterations with an old Jacobian end: drifts of mass stay at round-off
LEFT_AT_REST = 1e-11  # the same beside a residual below tolerance, which alone leaves 4e-8 between electrodes at 25 thermal volts
SHOWN = 8  # last residuals of a failure

REASONS = {
    -1: "the residual cannot be evaluated there",
    -2: "too many residual evaluations",
    -3: "the linear solve failed",
    -4: "the residual is not a number",
    -5: "no convergence within the iteration limit",
    -6: "no step along Newton's direction reduces the residual",
    -8: "the line search reached a local minimum that is no solution",
    -9: "the iteration diverged",
}


@dataclass(frozen=True)
class Converged:
    newton_iterations: int
    linear_iterations: int

    def __add__(self, other: Converged) -> Converged:
        return Converged(self.newton_iterations + other.newton_iterations, self.linear_iterations + other.linear_iterations)


NOTHING = Converged(0, 0)


class NotConverged(Exception):
    """Newton's method found no solution, with so many iterations; the unknowns hold a rejected iterate.

    residuals: the largest field's norm in each of the last iterations; reason: PETSc's, 0 where it is another
    """

    def __init__(self, message: str, spent: Converged = NOTHING, residuals: Sequence[float] = (), reason: int = 0) -> None:
        super().__init__(message)
        self.spent, self.residuals, self.reason = spent, tuple(residuals[-SHOWN:]), reason


@dataclass(frozen=True)
class Norms:
    """The root-mean-square of a residual or update over the domain, for the fields of one vertex block.

    weights: volume of each owned vertex; block: unknowns per vertex
    """

    comm: Any
    weights: np.ndarray
    block: int

    def residual(self, r: np.ndarray) -> np.ndarray:
        """rms of R/volume per field: mass rows in units of c, potential rows in units of mu."""
        density = r.reshape(-1, self.block) / self.weights[:, None]
        squares = global_sum(self.comm, np.append(self.weights @ density**2, self.weights.sum()))
        return np.sqrt(squares[:-1] / squares[-1])

    def largest(self, y: np.ndarray) -> np.ndarray:
        """Largest entry per field."""
        return np.array([global_max(self.comm, np.abs(y.reshape(-1, self.block)[:, i])) for i in range(self.block)])


class Newton:
    """Solves R(u) = 0.

    Converged when every field's residual per volume is at most snes_atol (or snes_rtol times the first) after a full update that is at most
    CALM or falls no more, or when the last update of the `watched` fields of each block is a full one and at most snes_stol: convergence is
    quadratic, so the error then is about its square.

    Linear systems are solved as far as the last update asks for (`LinearSolver.forcing`), unless a user's -ksp_rtol does.

    Where the linear solver keeps its factors, iterations go on with an old Jacobian as long as they converge fast (`OldJacobian`). They converge
    at some rate r, and the error after an update is about r times that: they have converged where it is at most LEFT, or LEFT_AT_REST and the
    residual is small. Such iterations do not count against snes_max_it.

    limit(x, y): given the iterate x and Newton's direction y (the update is -y), changes y so that x - y is admissible; returns
    whether it shortened it, on any rank.
    """

    def __init__(
        self,
        operators: Operators,
        norms: Norms,
        limit: Callable[[np.ndarray, np.ndarray], bool] | None,
        linear: LinearSolver,
        watched: slice = slice(None),
        prefix: str = "",
        **options: Any,
    ) -> None:
        self.operators, self.norms, self._limits, self._watched = operators, norms, limit, watched
        self.linear, self._prefix, self._defaults = linear, prefix, DEFAULTS | linear.options | options
        self._old = OldJacobian(norms.comm, norms.weights, norms.block)
        self.snes: PETSc.SNES | None = None
        self._residuals: list[float] = []
        self.formulation: Formulation | None = None  # of which old Jacobians are, if they are to be remembered
        self._made_at: Place | None = None
        self.watch: Callable[[], None] = lambda: None  # is called in every iteration, on all ranks

    def _build(self) -> None:
        operators = self.operators
        options = PETSc.Options(self._prefix)
        self.snes = PETSc.SNES().create(operators.jacobian_matrix.comm)
        self.snes.setOptionsPrefix(self._prefix)
        self._x, self._r = operators.vector(), operators.vector()
        self.snes.setFunction(lambda snes, x, r: operators.residual(x, r), self._r)
        self.snes.setJacobian(lambda snes, x, A, P: self._jacobian(x), operators.jacobian_matrix, operators.preconditioner_matrix)
        given = {key for key in self._defaults if options.hasName(key)}
        linear = self.linear
        if "pc_type" in given and options.getString("pc_type") != linear.options.get("pc_type"):
            given |= set(linear.options)  # they are for that preconditioner
        else:
            linear.attach(self.snes.getKSP())
        self._forces = "ksp_rtol" in linear.options and "ksp_rtol" not in given
        self._ours = [key for key in self._defaults if key not in given]
        for key in self._ours:
            options[key] = self._defaults[key]
        try:
            self.snes.setFromOptions()
        except PETSc.Error as error:
            self._withdraw_options()
            raise InputError(f"PETSc refuses the options after `--`: {error}") from None
        self._most = self.snes.getTolerances()[3]
        self.snes.setTolerances(max_it=self._most + MOST)
        self.snes.setLineSearchPreCheck(self._precheck)
        self.snes.setConvergenceTest(self._converged)

    def _jacobian(self, x: PETSc.Vec) -> None:
        assert self.snes is not None
        forcing = self.linear.forcing(self._last)
        if self._forces and forcing is not None:
            self.snes.getKSP().setTolerances(rtol=forcing)
        if self._keeps and self._old.serves:
            return
        if self._keeps:
            self._old.renew()
        else:
            self._old.forget()
        self.operators.jacobian(x)
        self._made_at = Place.of(self.formulation) if self._keeps and self.formulation is not None else None
        self.linear.update(self.operators.preconditioner_matrix)

    def _precheck(self, x: PETSc.Vec, y: PETSc.Vec) -> bool:
        direction = y.array_r.copy()
        if self._keeps and self._old.is_old:
            direction = -self._old.step(-direction)
            y.array_w[:] = direction
        limited = self._limit is not None and self._limit(x.array_r, direction)
        if self._limit is not None:
            y.array_w[:] = direction
        self._target = None if limited else x.array_r - direction
        return self._limit is not None or (self._keeps and self._old.is_old)

    def _converged(self, snes: PETSc.SNES, iteration: int, norms: tuple[float, float, float]) -> int:
        self.watch()
        rtol, atol, stol, _ = snes.getTolerances()
        residual = self.norms.residual(snes.getFunction()[0].array_r)
        self._residuals = [*(self._residuals if iteration else []), float(residual.max())]
        if not np.all(np.isfinite(residual)):
            return int(PETSc.SNES.ConvergedReason.DIVERGED_FNORM_NAN)
        if iteration == 0:
            self._first, self._update, self._last = residual, np.inf, 0.0
            self._old.start()
            return 0
        update = self.norms.largest(snes.getSolutionUpdate().array_r)[self._watched].max(initial=0.0)
        full, before = self._took_full_step(snes), self._update
        self._update = self._last = float(update) if full else np.inf
        old, rate = self._keeps and self._old.is_old, float(update / before) if before < np.inf else np.inf
        if self._keeps:
            self._old.took(-snes.getSolutionUpdate().array_r, float(update), rate, full)
        falls_no_more = update > 0.5 * before
        settled = full and (falls_no_more and before <= NOISE if self._strict else falls_no_more or update <= CALM)
        if old:  # an error that is r times the update, and not about its square
            settled = settled and update * rate <= LEFT_AT_REST
        if np.all(residual <= atol) and settled:
            return int(PETSc.SNES.ConvergedReason.CONVERGED_FNORM_ABS)
        if np.all(residual <= rtol * self._first) and settled:
            return int(PETSc.SNES.ConvergedReason.CONVERGED_FNORM_RELATIVE)
        if full and (update * rate <= LEFT if old else update <= stol):
            return int(PETSc.SNES.ConvergedReason.CONVERGED_SNORM_RELATIVE)
        return 0 if iteration - self._old.used < self._most else int(PETSc.SNES.ConvergedReason.DIVERGED_MAX_IT)

    def _took_full_step(self, snes: PETSc.SNES) -> bool:
        """Whether the last update is Newton's own, neither limited nor shortened: a small one of those says nothing about the error."""
        short = self._target is None or not np.array_equal(snes.getSolution().array_r, self._target)
        return global_sum(self.norms.comm, int(short)) == 0

    # -- what the next solution owes to those before --------------------------------------------------------------------------

    @property
    def memory(self) -> dict[str, Any]:
        """See `LinearSolver.memory`."""
        memory: dict[str, Any] = {"linear": self.linear.memory}
        if self._made_at is not None and self.snes is not None:
            memory |= {"made_at": asdict(self._made_at), "old": self._old.memory}
        return memory

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Collective."""
        if "made_at" in memory and self.formulation is not None:
            self._limit, self._strict, self._keeps = self._limits, False, True
            self._build()
            assert self.snes is not None
            self._made_at = Place(**memory["made_at"])
            self._made_at.restore(self.formulation)
            self._x.array_w[:] = self.operators.unknowns(self._made_at.u.ravel())
            self.operators.jacobian(self._x)
            self.linear.update(self.operators.preconditioner_matrix)
            self.snes.getKSP().setOperators(self.operators.jacobian_matrix, self.operators.preconditioner_matrix)
            self.snes.getKSP().setUp()
            self._old.recall(memory["old"])
            self._withdraw_options()
        self.linear.recall(memory["linear"])

    # -------------------------------------------------------------------------------------------------------------------------

    def solve(self, values: np.ndarray, limited: bool = True, strict: bool = False) -> Converged:
        """From the owned unknowns `values` to a solution, left in the operators' u. Raises NotConverged.

        limited: whether updates are limited
        strict:  whether a small residual must come with an update that is small to round-off. The time term bounds the error of c by the
                 residual; a steady state has no such bound: where hardly anything can move, a potential may be wrong by 20 RT at no residual.
        """
        self._limit, self._strict = self._limits if limited else None, strict
        self._keeps = self.linear.keeps and not strict
        spent, self._residuals = NOTHING, []
        while True:
            reason, taken = self._try(values)
            spent = spent + taken
            if reason >= 0:
                self.operators.residual(self._x, self._r)
                return spent
            self._discard()  # a failed factorisation would fail every later solve
            if reason != PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE or not self.linear.renew():
                raise NotConverged(REASONS.get(reason, f"PETSc reason {reason}"), spent, self._residuals, reason)

    def _try(self, values: np.ndarray) -> tuple[int, Converged]:
        """PETSc's reason to stop, and the iterations until then."""
        if self.snes is None:
            self._build()
        snes = self.snes
        assert snes is not None
        self._x.array_w[:] = self.operators.unknowns(values)
        try:
            snes.solve(None, self._x)
        except PETSc.Error as error:
            self._discard()
            cause = error.__cause__
            if cause is not None and not isinstance(cause, PETSc.Error):
                raise cause from None  # raised in Python, by a plug-in or by Ctrl-C: not a matter of the step's size
            raise NotConverged(str(error)) from None
        finally:
            self._withdraw_options()
        return snes.getConvergedReason(), Converged(snes.getIterationNumber(), snes.getLinearSolveIterations())

    def _discard(self) -> None:
        """Free the solver at once: on several ranks petsc4py would keep it, with its factors, until the end."""
        for petsc_object in (self.snes, self._x, self._r):
            if petsc_object is not None:
                petsc_object.destroy()
        self.snes = None
        self._old.forget()

    def _withdraw_options(self) -> None:
        """Our defaults leave the database once they are read, so that what is left at the end are a user's own misspelt ones."""
        for key in self._ours:
            PETSc.Options(self._prefix).delValue(key)
        self._ours = []
