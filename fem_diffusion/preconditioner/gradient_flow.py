"""Linear solvers for equations with mu eliminated, R' = a_0 M + dt L K M^-1 (M H + kappa K), of fourth order in space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from petsc4py import PETSc

from ..elimination import EliminatedOperators, combined
from ..parallel import global_max, global_sum
from ..place import Place
from .base import ONE_CYCLE, Iterative, factors
from .lattice import Lattice

Array = np.ndarray

SWEEPS = 16  # of Chebyshev's iteration at most; a multigrid cycle costs as much
ACCURACY = 0.4  # of the inner solutions
OUTDATED = 1.25  # by which the step may change before the two factors are made anew
WORSE = 1.5  # by which the iterations for a digit may grow until then
SMALLEST = 1e-6  # of mobilities and curvatures, relative to their means: A_1 and A_2 must have inverses
ARNOLDI = 30  # iterations in search of a negative eigenvalue
TIRED = 3.0  # iterations for a digit with old LU factors, beyond which new ones are the faster way
STRETCHED = 2.0  # by which the step may change before they are
ROUNDED = 0.05  # of the smooth part of an update that round-off may change
CONCAVE = 0.8  # of the curvature -2 (a_0 lambda/dt)^1/2 at which the mean operator is singular, at most


class _OfShell(Iterative):
    """A preconditioner in Python for a Jacobian without entries."""

    def __init__(self, operators: EliminatedOperators) -> None:
        super().__init__()
        self._operators = operators
        self._effort_before = 0.0  # what is known of it from a run that this one continues
        self.options["pc_type"] = "python"
        # An update keeps the mass exactly; Newton's method may then be inexact. Fluxes through boundaries, however, balance the mass only as far
        # as the residual's sum vanishes, and small problems are solved well at no cost. An inexact update u leaves an error of rtol u.
        # (Eisenstat and Walker's choice took half as many iterations again: it solves the last systems too well.)
        cheap = operators.mobility is not None  # is a new Jacobian, which is never formed
        if operators.is_closed and not operators.is_small:
            self.options |= {"ksp_rtol": 5e-2 if cheap else 1e-2, "snes_stol": 1e-9}
        else:
            self.options |= {"ksp_rtol": 1e-12, "snes_atol": 1e-16}  # the last update decides

    def attach(self, solver: PETSc.KSP) -> None:
        self._krylov = solver
        solver.getPC().setType("python")
        solver.getPC().setPythonContext(self)
        if self._operators.is_closed:
            solver.setPostSolve(self._keep_mass)

    def _keep_mass(self, solver: PETSc.KSP, right: PETSc.Vec, solution: PETSc.Vec) -> None:
        """Add constants to the solution so that it balances the mass, a_0 int dc = sum R, as an exact one does.

        (In the preconditioner it would not do: GMRES amplifies what round-off leaves of the sum tenfold in each Newton iteration.)
        """
        operators, n = self._operators, self._operators.n
        volume, dc = operators.volume[:, 0], solution.array_w.reshape(-1, n)
        sums = np.asarray(
            global_sum(operators.comm, np.concatenate([right.array_r.reshape(-1, n).sum(axis=0), volume @ dc, [volume.sum()]]))
        )
        dc += (sums[:n] / float(operators.formulation.a0.value) - sums[n:-1]) / sums[-1]

    @property
    def effort(self) -> float:
        """Iterations for each digit that the last solution was asked for; inexact Newton steps ask for few."""
        if self._krylov.getIterationNumber() == 0:
            return self._effort_before
        return self._krylov.getIterationNumber() / -np.log10(self._krylov.getTolerances()[0])


class OnLattice(_OfShell):
    """R' with the mean of its curvature, for each eigenvector of L kappa and its eigenvalue lambda: a function of M^-1 K,

        P = a_0 M + dt K M^-1 (M h + lambda K),     h = <L H>, at least -CONCAVE 2 (a_0 lambda/dt)^1/2

    inverted by the waves of a lattice of vertices, at the cost of some products with K. In single precision, as long as what that leaves of a rough
    residual is small beside the smooth part of the answer: P's eigenvalues are far apart where the mesh is fine and the step is long.

    Measured on W1 beside two factors of second order, which follow the curvature from vertex to vertex: a tenth fewer iterations at 128^2, in a
    third of the time at 256^2.
    """

    description = "iterative (mu eliminated, mean operator on a lattice)"
    many = 20.0

    def __init__(self, operators: EliminatedOperators, lattice: Lattice) -> None:
        super().__init__(operators)
        self._lattice, self._made_for = lattice, 0.0
        self._vectors = operators.stiffness.createVecRight(), operators.stiffness.createVecRight()

    @classmethod
    def of(cls, operators: EliminatedOperators) -> OnLattice | None:
        """None where K is not that of a lattice, or not the only operator of the mass balances. Collective."""
        if operators.mobility is None or not operators.is_closed:
            return None
        lattice = Lattice.of(operators)
        return None if lattice is None else cls(operators, lattice)

    def update(self, jacobian: PETSc.Mat) -> None:
        self.make()

    @property
    def is_made(self) -> bool:
        """For a step of about this size."""
        return self._operators.step == self._made_for

    def make(self) -> None:
        """From the state of the last Jacobian."""
        operators, theta = self._operators, self._lattice.theta
        self._made_for = operators.step
        a0, dt, L = float(operators.formulation.a0.value), float(operators.formulation.dt.value), operators.mobility
        sums = np.asarray(global_sum(operators.comm, np.append(operators.curvature.sum(axis=0).ravel(), operators.volume.sum())))
        H = sums[:-1].reshape(operators.n, operators.n) / sums[-1]
        lambdas, self._modes, self._inverse = _modes(L @ operators.kappa * operators.implicit)
        self._inverses = []
        for lam, curvature in zip(lambdas, np.diag(self._inverse @ L @ H @ self._modes), strict=True):
            h = np.maximum(curvature, -2 * CONCAVE * np.sqrt(a0 * lam / dt))
            spread = dt * self._lattice.largest * abs(h + lam * self._lattice.largest)
            precision = np.float32 if spread * np.finfo(np.float32).eps <= ROUNDED * a0 else np.float64
            self._inverses.append((1 / (a0 + dt * theta * (h + lam * theta))).astype(precision))

    def apply(self, preconditioner: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = P^-1 x, as PETSc asks."""
        if self._operators.n == 1:
            self._lattice.apply(self._inverses[0], x, y)
            return
        right, left = self._vectors
        r = combined(self._inverse, x.array_r.reshape(-1, self._operators.n))
        z = np.empty_like(r)
        for i, inverse in enumerate(self._inverses):
            right.array_w[:] = r[:, i]
            self._lattice.apply(inverse, right, left)
            z[:, i] = left.array_r
        y.array_w[:] = combined(self._modes, z).ravel()


class Factorised(_OfShell):
    """Two factors of second order, P = A_1 M^-1 A_2, for each eigenvector of L kappa and its eigenvalue lambda:

        A_1 = a_0 M/w + dt K_g,     A_2 = M w + lambda K,     w = max(L H, (a_0 lambda/dt)^1/2)

    so that P = a_0 M + dt K_g M^-1 (M w + lambda K) + (a_0 lambda/w) K, which is R' but for the last term and for w where L H is small or
    negative. Where nothing is unstable w is L H, and the last term small at long steps; at short ones w is a constant and P = (a_0^1/2 M +
    (dt lambda)^1/2 K)^2 in units of M, which has a_0 M and dt lambda K^2 right: the count does not depend on the mesh in either case. It grows
    where waves can grow within a step, dt (L H)^2 > 4 a_0 lambda with H < 0. K_g is weighted by the mobility's shape g = tr L(c)/tr <L>.

    (With a constant w: Boyanova, Do-Quang & Neytcheva, Comput. Methods Appl. Math. 12 (2012) 1. Measured on a separated mixture, dt/a_0 being
    0.08, 0.8, 2.7 and 8 growth times of the fastest wave: 7, 9, 13, 23 iterations to 1e-4; with the constant 7, 11, 18, 35.)

    A_1 and A_2 are inverted by some sweeps of Chebyshev's iteration where that is accurate enough, else by a multigrid cycle.
    """

    description = "iterative (mu eliminated, two factors of second order)"
    many = 8.0

    def __init__(self, operators: EliminatedOperators) -> None:
        super().__init__(operators)
        self._made_for, self._first = 0.0, 0.0
        self._made_at: Place | None = None
        self._pairs: list[tuple[PETSc.KSP, PETSc.KSP]] = []
        self._vectors = operators.stiffness.createVecRight(), operators.stiffness.createVecLeft()

    def update(self, jacobian: PETSc.Mat) -> None:
        if self.is_made:
            self._first = self._first or self.effort
            if self.effort <= WORSE * self._first:
                return
        self.make()

    @property
    def is_made(self) -> bool:
        """For a step of about this size."""
        step = self._operators.step
        return bool(self._pairs) and max(step, self._made_for) <= OUTDATED * min(step, self._made_for)

    def make(self) -> None:
        """From the state of the last Jacobian."""
        operators = self._operators
        self._made_for, self._first = operators.step, 0.0
        self._made_at = Place.of(operators.formulation)
        formulation, volume = operators.formulation, operators.volume[:, 0]
        a0, dt = float(formulation.a0.value), float(formulation.dt.value)
        L = operators.nodal_mobility()
        sums = np.asarray(global_sum(operators.comm, np.append(np.tensordot(volume, L, 1).ravel(), volume.sum())))
        mean = sums[:-1].reshape(operators.n, operators.n) / sums[-1]
        lambdas, self._modes, self._inverse = _modes(mean @ operators.kappa * operators.implicit)
        shape = np.maximum(np.trace(L, axis1=1, axis2=2) / np.trace(mean), SMALLEST)
        K = operators.stiffness if operators.mobility is not None else operators.weighted_stiffness(shape)
        H = operators.curvature / volume[:, None, None]
        curvatures = np.einsum("ij,jk,vkl,li->vi", self._inverse, mean, H, self._modes)
        for pair in self._pairs:
            for solver in pair:
                solver.destroy()
        self._pairs = []
        for lam, curvature in zip(lambdas, curvatures.T, strict=True):
            positive = float(global_sum(operators.comm, volume @ np.maximum(curvature, 0.0))) / sums[-1]
            least = np.sqrt(a0 * lam / (dt * shape)) + SMALLEST * (positive or 1.0)
            w = np.maximum(curvature, least)
            first = self._solver(K, dt, a0 * volume / w)
            self._pairs.append((first, self._solver(operators.stiffness, lam, volume * w)))

    @property
    def memory(self) -> dict[str, Any]:
        return {} if self._made_at is None else {"made_at": asdict(self._made_at), "first": self._first}

    def recall(self, memory: Mapping[str, Any]) -> None:
        if memory:
            self._operators.linearise_at(Place(**memory["made_at"]))
            self.make()
            self._first = memory["first"]

    def _solver(self, stiffness: PETSc.Mat, s: float, mass: Array) -> PETSc.KSP:
        """Of s K + diag(mass), with the identity's rows where c is held."""
        operators = self._operators
        A = stiffness.copy()
        A.scale(s)
        diagonal = A.getDiagonal()
        diagonal.array_w[:] += mass
        A.setDiagonal(diagonal)
        held = operators.held_c.any(axis=1) | operators.held_mu.any(axis=1)
        if operators.is_open:
            rows = np.flatnonzero(held) + A.getOwnershipRange()[0]
            A.zeroRowsColumns(rows.astype(PETSc.IntType), diag=1.0)
        weight = np.where(held, 1.0, mass)
        largest = self._largest_eigenvalue
        spread = largest * global_max(operators.comm, np.where(held, 1.0, diagonal.array_r) / weight)
        sweeps = np.ceil(np.sqrt(spread) / 2 * np.log(2 / ACCURACY))
        chebyshev = {
            "ksp_type": "chebyshev",
            "ksp_max_it": int(min(sweeps, SWEEPS)),
            "ksp_norm_type": "none",
            "ksp_chebyshev_eigenvalues": f"{largest / spread},{largest}",
            "pc_type": "jacobi",
        }
        solver = _configured(A, chebyshev if sweeps <= SWEEPS else {"ksp_type": "preonly"} | ONE_CYCLE)
        A.destroy()  # the solver keeps it
        return solver

    @cached_property
    def _largest_eigenvalue(self) -> float:
        """Of diag(K)^-1 K, and so a bound for that of A_1 and A_2; by Lanczos' method, with a margin."""
        K = self._operators.stiffness
        lanczos = PETSc.KSP().create(K.comm)
        lanczos.setOperators(K)
        lanczos.setType("cg")
        lanczos.getPC().setType("jacobi")
        lanczos.setComputeEigenvalues(True)
        lanczos.setTolerances(rtol=1e-12, max_it=15)
        right, left = K.createVecs()
        right.array_w[:] = np.cos(np.arange(right.array_r.size) ** 1.5)  # anything rough
        lanczos.solve(right, left)
        largest = float(np.max(lanczos.computeEigenvalues().real))
        lanczos.destroy()
        return 1.1 * max(largest, 1.0)

    def apply(self, preconditioner: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = (A_1 M^-1 A_2)^-1 x, as PETSc asks."""
        operators = self._operators
        n, volume = operators.n, operators.volume[:, 0]
        right, left = self._vectors
        given = x.array_r.reshape(-1, n)
        r = combined(self._inverse, given)
        if operators.is_open:
            r = np.where((operators.held_c | operators.held_mu).any(axis=1)[:, None], 0.0, r)
        z = np.empty_like(r)
        for i, (first, second) in enumerate(self._pairs):
            right.array_w[:] = r[:, i]
            first.solve(right, left)
            right.array_w[:] = volume * left.array_r
            second.solve(right, left)
            z[:, i] = left.array_r
        dc = combined(self._modes, z)
        if operators.is_open:
            held, free = operators.held_c, operators.held_mu & ~operators.held_c
            dc[held] = (given / operators.volume)[held]
            dc[free] = (given / operators.second_variation_diagonal())[free]
        y.array_w[:] = dc.ravel()


class Factors(_OfShell):
    """LU factors of the equations for (c, mu), made at an earlier state and step; made anew once they have become a bad approximation.

    Exact when fresh, for any model and any step.
    """

    description = "iterative (mu eliminated, preconditioned by factors of an earlier state)"

    def __init__(self, operators: EliminatedOperators) -> None:
        super().__init__(operators)
        self._direct: PETSc.KSP | None = None
        self._step, self._fresh = 0.0, False
        self._made_at: Place | None = None
        self._distrusted: tuple[float, float] | None = None  # a step, by time and length, in which old factors failed

    def update(self, jacobian: PETSc.Mat) -> None:
        step = self._operators.step
        serves = self._direct is not None and self.effort <= TIRED and 1 / STRETCHED < step / self._step < STRETCHED
        if serves and self._operators.place_in_time != self._distrusted:
            self._fresh = False
            return
        self._make()

    def _make(self) -> None:
        """From the present state."""
        step, whole = self._operators.step, self._operators.whole
        self._made_at = Place.of(self._operators.formulation)
        state = whole.vector()
        state.array_w[:] = self._operators.formulation.fields.ravel()
        whole.jacobian(state)
        if self._direct is None:
            self._direct = _configured(whole.jacobian_matrix, factors(self._operators.comm, whole.jacobian_matrix.getSize()[0]))
            self._right, self._left = whole.vector(), whole.vector()
        self._direct.setUp()
        self._step, self._fresh = step, True
        if self._direct.getPC().getFailedReason() != PETSc.PC.FailedReason.NOERROR:  # as for a Jacobian that is not a number
            self._forget()

    def renew(self) -> bool:
        if self._fresh or self._direct is None or self._operators.place_in_time == self._distrusted:
            return False
        self._distrusted = self._operators.place_in_time
        self._forget()
        return True

    def _forget(self) -> None:
        assert self._direct is not None
        self._direct.destroy()
        self._direct = self._made_at = None

    @property
    def memory(self) -> dict[str, Any]:
        memory: dict[str, Any] = {"distrusted": None if self._distrusted is None else list(self._distrusted)}
        return memory if self._made_at is None else memory | {"made_at": asdict(self._made_at), "fresh": self._fresh}

    def recall(self, memory: Mapping[str, Any]) -> None:
        if "made_at" in memory:
            Place(**memory["made_at"]).restore(self._operators.formulation)
            self._make()
            self._fresh = memory["fresh"]
        self._distrusted = None if memory["distrusted"] is None else tuple(memory["distrusted"])

    def apply(self, preconditioner: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = dc of the equations for (c, mu) with x in the rows that c alone has."""
        if self._direct is None:
            y.set(np.nan)
            return
        operators, n = self._operators, self._operators.n
        r = x.array_r.reshape(-1, n)
        rows = self._right.array_w.reshape(-1, 2 * n)
        rows[:, n:] = np.where(operators.held_mu, 0.0, r)
        rows[:, :n] = np.where(operators.held_mu, r, 0.0)
        rows[:, :n][operators.held_c] = (r / operators.volume)[operators.held_c]
        self._direct.solve(self._right, self._left)
        y.array_w[:] = self._left.array_r.reshape(-1, 2 * n)[:, :n].ravel()


class GradientFlow(_OfShell):
    """A constant operator on a lattice, else two factors of second order, as long as that takes few iterations, which is at short steps; LU
    factors beyond, and for small problems.

    may_factor: whether the problem is small enough for LU factors
    """

    def __init__(self, operators: EliminatedOperators, may_factor: bool) -> None:
        super().__init__(operators)
        self._short = OnLattice.of(operators) or Factorised(operators)
        self._long, self._may_factor = Factors(operators), may_factor
        self._now: OnLattice | Factorised | Factors = self._short
        self.description = f"{self._short.description[:-1]}; at long steps of small problems LU factors)"
        self._too_long = np.inf  # a step at which the short one took too many iterations

    def attach(self, solver: PETSc.KSP) -> None:
        super().attach(solver)
        self._short._krylov = self._long._krylov = solver

    def update(self, jacobian: PETSc.Mat) -> None:
        step = self._operators.step
        if self._now is self._short and self.effort > self._short.many:
            self._too_long = step
        long = self._operators.is_small or step >= self._too_long / 2
        self._now = self._long if self._may_factor and long else self._short
        self._now.update(jacobian)

    def renew(self) -> bool:
        if self._now is self._short:
            self._too_long = self._operators.step
            return self._may_factor
        return self._long.renew()

    def apply(self, preconditioner: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        self._now.apply(preconditioner, x, y)

    @property
    def memory(self) -> dict[str, Any]:
        now = "short" if self._now is self._short else "long"
        effort = self.effort if hasattr(self, "_krylov") else 0.0
        return {"short": self._short.memory, "long": self._long.memory, "now": now, "too_long": self._too_long, "effort": effort}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self._short.recall(memory["short"])
        self._long.recall(memory["long"])
        self._now, self._too_long = self._short if memory["now"] == "short" else self._long, memory["too_long"]
        self._effort_before = self._short._effort_before = self._long._effort_before = memory["effort"]

    def lowest_eigenvalue(self) -> float:
        """The smallest real part of the eigenvalues of P^-1 R' at u that Arnoldi's method finds from a random vector.

        On the way from short steps to long ones R' is singular where its inertia changes, and only there an eigenvalue crosses zero. Collective.
        """
        operators, short = self._operators, self._short
        x, y = operators.vector(), operators.vector()
        x.array_w[:] = operators.unknowns(operators.formulation.fields.ravel())
        operators.jacobian(x)
        if not short.is_made:
            short.make()
        arnoldi = PETSc.KSP().create(operators.comm)
        arnoldi.setOperators(operators.jacobian_matrix)
        arnoldi.setType("gmres")
        arnoldi.setGMRESRestart(ARNOLDI)
        arnoldi.setTolerances(rtol=1e-8, max_it=ARNOLDI)
        arnoldi.getPC().setType("python")
        arnoldi.getPC().setPythonContext(short)
        arnoldi.setComputeEigenvalues(True)
        x.array_w[:] = np.random.default_rng(operators.comm.rank).standard_normal(x.array_r.size) * np.repeat(
            operators.volume[:, 0], operators.n
        )
        arnoldi.solve(x, y)
        lowest = float(np.min(arnoldi.computeEigenvalues().real, initial=np.inf))
        arnoldi.destroy()
        return lowest


def _modes(matrix: Array) -> tuple[Array, Array, Array]:
    """Of L kappa: eigenvalues, which are not negative, eigenvectors in columns, and the inverse of those."""
    eigenvalues, vectors = np.linalg.eig(matrix)
    return np.maximum(eigenvalues.real, 0.0), vectors.real, np.linalg.inv(vectors.real)


def _configured(matrix: PETSc.Mat, options: dict[str, Any]) -> PETSc.KSP:
    """A solver with these options, and no others."""
    solver = PETSc.KSP().create(matrix.comm)
    solver.setOptionsPrefix("inner_")
    solver.setOperators(matrix)
    database = PETSc.Options("inner_")
    for key, value in options.items():
        database[key] = value
    solver.setFromOptions()
    solver.setUp()  # which makes solvers inside that read theirs
    for key in options:
        database.delValue(key)
    return solver
