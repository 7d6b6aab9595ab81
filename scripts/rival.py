"""One measurement of the rival, in a process of its own (scripts/benchmark starts it).   rival.py JOB RESULT

The workloads as DOLFINx's demonstration of the Cahn-Hilliard equation solves them: a mixed element, consistent mass, fixed steps, and in every
iteration of Newton's method an assembled Jacobian that MUMPS factorises, until the update has fallen by 1e-8. Cahn-Hilliard: theta = 1/2 and
mu = 0 at the start; Poisson-Nernst-Planck: backward Euler. A reference in time (refine > 1) takes its shorter steps by BDF2.

PFHub's problem: backward Euler with steps that follow from the count of Newton's iterations, by the rule of MOOSE's IterationAdaptiveDT and its
defaults: doubled after a count below target - window, halved above target + window, window = target/5 rounded up.

Nothing of fem_diffusion is imported.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

START = time.process_time()

import numpy as np  # noqa: E402
import ufl  # noqa: E402
from basix.ufl import element, mixed_element  # noqa: E402
from dolfinx import fem, la, mesh  # noqa: E402
from dolfinx.fem import petsc as fem_petsc  # noqa: E402
from mpi4py import MPI  # noqa: E402
from petsc4py import PETSc  # noqa: E402
from workloads import (  # noqa: E402
    DEBYE_LENGTH,
    NU,
    PFHUB_END,
    Job,
    in_left_half,
    lattice_noise,
    peak_memory,
    pfhub_start,
    report,
    write_state,
)

RTOL, ATOL, MOST = 1e-8, 1e-10, 60
FIRST_STEP = 0.01  # of PFHub's problem
NAMES = ("residual", "jacobian", "setup", "solve", "diagnostics", "rest")
JIT = {"cffi_extra_compile_args": ["-O2", "-g0"]}


class Newton:
    """Full Newton steps with one LU factorisation each, until the update's norm is 1e-8 of that of the first."""

    def __init__(self, F: Any, u: fem.Function, fixed: list[Any]) -> None:
        self.u, self.fixed = u, fixed
        self._F = fem.form(F, jit_options=JIT)
        self._J = fem.form(ufl.derivative(F, u, ufl.TrialFunction(u.function_space)), jit_options=JIT)
        self._A = fem_petsc.create_matrix(self._J)
        dofmap = u.function_space.dofmap
        self._b = la.vector(dofmap.index_map, dofmap.index_map_bs)
        self._owned = dofmap.index_map.size_local * dofmap.index_map_bs
        self._r, self._du = self._A.createVecLeft(), self._A.createVecRight()
        self._solver = PETSc.KSP().create(self._A.comm)
        self._solver.setType("preonly")
        self._solver.getPC().setType("lu")
        self._solver.getPC().setFactorSolverType("mumps")
        self._solver.setOperators(self._A)
        self._solver.setFromOptions()
        self.seconds, self.iterations = dict.fromkeys(NAMES, 0.0), 0
        self._last = time.process_time()

    def spent(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name] += now - self._last
        self._last = now

    def reset(self) -> None:
        self.seconds, self.iterations, self._last = dict.fromkeys(NAMES, 0.0), 0, time.process_time()

    def solve(self) -> bool:
        """Whether u is a solution."""
        self.spent("rest")
        first = 0.0
        for _ in range(MOST):
            self.iterations += 1
            self._residual()
            self.spent("residual")
            self._A.zeroEntries()
            fem_petsc.assemble_matrix(self._A, self._J, self.fixed, 1.0)
            self._A.assemble()
            self.spent("jacobian")
            self._solver.setOperators(self._A)  # says that there are new values to factorise
            self._solver.setUp()
            self.spent("setup")
            self._solver.solve(self._r, self._du)
            self.u.x.array[: self._owned] -= self._du.array_r
            self.u.x.scatter_forward()
            self.spent("solve")
            size = float(self._du.norm())
            first = first or size
            if not np.isfinite(size):
                return False
            if size <= ATOL or size <= RTOL * first:
                return True
        return False

    def _residual(self) -> None:
        b, u = self._b, self.u
        b.array[:] = 0.0
        fem.assemble_vector(b.array, self._F)
        fem.apply_lifting(b.array, [self._J], [self.fixed], x0=[u.x.array], alpha=-1.0)
        b.scatter_reverse(la.InsertMode.add)
        for condition in self.fixed:
            condition.set(b.array, u.x.array, -1.0)
        self._r.array_w[:] = b.array[: self._owned]


class Model:
    """What the time loop needs: u, dt, and a_0 and u_old in the time derivative (a_0 c - c_old)/dt; and numbers of the state."""

    newton: Newton
    u: fem.Function
    u_old: fem.Function
    dt: fem.Constant

    def __init__(self, domain: mesh.Mesh, fields: int) -> None:
        P1 = element("Lagrange", domain.basix_cell(), 1)
        self.domain, self.comm = domain, domain.comm
        self.space = fem.functionspace(domain, mixed_element([P1] * fields))
        self.u, self.u_old = fem.Function(self.space), fem.Function(self.space)
        self.dt, self.a0 = fem.Constant(domain, 0.0), fem.Constant(domain, 1.0)

    def field(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Places (3, m) and values (m,) of an owned field."""
        space, dofs = self.space.sub(i).collapse()
        n = space.dofmap.index_map.size_local
        return space.tabulate_dof_coordinates()[:n].T, self.u.x.array[np.asarray(dofs)[:n]]

    def volume(self) -> np.ndarray:
        """Row sums of the mass matrix at the owned vertices."""
        space = self.space.sub(0).collapse()[0]
        vector = la.vector(space.dofmap.index_map, 1)
        fem.assemble_vector(vector.array, fem.form(ufl.TestFunction(space) * ufl.dx, jit_options=JIT))
        vector.scatter_reverse(la.InsertMode.add)
        return vector.array[: space.dofmap.index_map.size_local].copy()

    def energy(self) -> float:
        """Where it is asked for after every step."""
        return 0.0

    def range(self, fields: tuple[int, ...]) -> tuple[float, float]:
        values = np.concatenate([self.field(i)[1] for i in fields])
        return float(self.comm.allreduce(values.min(), op=MPI.MIN)), float(self.comm.allreduce(values.max(), op=MPI.MAX))


class CahnHilliard(Model):
    """(c, mu):  (a_0 c - c_old, q) + dt (grad mu_theta, grad q) = 0,  (mu, v) - (f'(c), v) - kappa (grad c, grad v) = 0"""

    concentrations = (0,)

    def __init__(self, domain: mesh.Mesh, start: Any, f: Any, kappa: float, mobility: float, theta: float) -> None:
        super().__init__(domain, 2)
        (c, mu), (c_old, mu_old) = ufl.split(self.u), ufl.split(self.u_old)
        q, v = ufl.TestFunctions(self.space)
        variable = ufl.variable(c)
        mean = theta * mu + (1 - theta) * mu_old
        F = (self.a0 * c - c_old) * q * ufl.dx + self.dt * mobility * ufl.inner(ufl.grad(mean), ufl.grad(q)) * ufl.dx
        F += (mu - ufl.diff(f(variable), variable)) * v * ufl.dx - kappa * ufl.inner(ufl.grad(c), ufl.grad(v)) * ufl.dx
        self.newton = Newton(F, self.u, [])
        self._energy = fem.form((f(c) + kappa / 2 * ufl.inner(ufl.grad(c), ufl.grad(c))) * ufl.dx, jit_options=JIT)
        self.u.sub(0).interpolate(start)
        self.u.x.scatter_forward()

    def energy(self) -> float:
        return float(self.comm.allreduce(fem.assemble_scalar(self._energy)))

    def checks(self) -> dict[str, float]:
        low, high = self.range((0,))
        return {"E": self.energy(), "cmin": low, "cmax": high}


class NernstPlanck(Model):
    """(c_1, c_2, phi), backward Euler."""

    concentrations = (0, 1)

    def __init__(self, domain: mesh.Mesh, nu: float) -> None:
        super().__init__(domain, 3)
        (c1, c2, phi), (a1, a2, _) = ufl.split(self.u), ufl.split(self.u_old)
        v1, v2, w = ufl.TestFunctions(self.space)
        dx, grad, inner = ufl.dx(metadata={"quadrature_degree": 3}), ufl.grad, ufl.inner
        crowding = nu * grad(c1 + c2) / (1 - nu * (c1 + c2)) if nu else 0 * grad(c1)
        F = (2 * DEBYE_LENGTH**2 * inner(grad(phi), grad(w)) - (c1 - c2) * w) * dx
        for z, c, a, v in ((1, c1, a1, v1), (-1, c2, a2, v2)):
            F += (self.a0 * c - a) * v * dx + self.dt * inner(grad(c) + z * c * grad(phi) + c * crowding, grad(v)) * dx
        self.newton = Newton(
            F, self.u, [self._electrode(0.0, lambda x: 2 * (1 + np.cos(np.pi * x[1]))), self._electrode(1.0, lambda x: 0 * x[0])]
        )
        for i in (0, 1):
            self.u.sub(i).interpolate(lambda x: np.ones_like(x[0]))

    def _electrode(self, at: float, potential: Any) -> Any:
        space = self.space.sub(2)
        values = fem.Function(space.collapse()[0])
        values.interpolate(potential)
        facets = mesh.locate_entities_boundary(self.domain, 1, lambda x: np.isclose(x[0], at))
        return fem.dirichletbc(values, fem.locate_dofs_topological((space, values.function_space), 1, facets), space)

    def checks(self) -> dict[str, float]:
        low, high = self.range((0, 1))
        c, volume = [self.field(i) for i in (0, 1)], self.volume()
        charge = self.comm.allreduce(float((volume * in_left_half(c[0][0])) @ (c[0][1] - c[1][1])))
        x, phi = self.field(2)
        middle = (np.abs(x[:2] - 0.5) < 1e-9).all(axis=0)
        return {"cmin": low, "cmax": high, "phi_middle": float(self.comm.allreduce(float(phi[middle].sum()))), "charge_left": float(charge)}


def build(job: Job, comm: Any) -> Model:
    n, theta = job.cells, 0.5 if job.refine == 1 else 1.0
    if job.family == "w3":
        return NernstPlanck(mesh.create_unit_square(comm, n, n), NU if job.problem == "w3-steric" else 0.0)
    if job.problem == "pfhub":
        domain = mesh.create_rectangle(comm, [(0.0, 0.0), (200.0, 200.0)], [n, n])
        return CahnHilliard(domain, pfhub_start, lambda c: 5 * (c - 0.3) ** 2 * (0.7 - c) ** 2, 2.0, 5.0, 1.0)
    d = {"w1": 2, "w2": 3}[job.problem]
    domain = mesh.create_unit_square(comm, n, n) if d == 2 else mesh.create_unit_cube(comm, n, n, n)
    return CahnHilliard(domain, lambda x: lattice_noise(x, n, d), lambda c: 100 * c**2 * (1 - c) ** 2, 0.01, 1.0, theta)


class March:
    """The time loop."""

    def __init__(self, job: Job, model: Model) -> None:
        self._job, self._model = job, model
        self._end = job.count * job.step if job.is_fixed else job.end or PFHUB_END
        self._second_order = job.refine > 1
        self.rejected, self.history = 0, [(0.0, self._energy())]

    def run(self) -> None:
        job, model, end = self._job, self._model, self._end
        t, dt, dt_old = 0.0, job.step if job.is_fixed else FIRST_STEP, 0.0
        before = older = model.u.x.array.copy()
        while t < end * (1 - 1e-12):
            if self._second_order and not job.is_fixed:
                dt = min(max(0.16 / job.refine * (t + 1), FIRST_STEP), 16.0 / job.refine)
            dt = min(dt, end - t)
            r = dt / dt_old if self._second_order and dt_old else 0.0
            model.dt.value, model.a0.value = dt, (1 + 2 * r) / (1 + r)
            model.u_old.x.array[:] = before if r == 0 else (1 + r) * before - r**2 / (1 + r) * older
            count = model.newton.iterations
            if not model.newton.solve():
                if job.is_fixed:
                    raise SystemExit(f"rival: Newton's method does not converge at t = {t + dt:g}")
                self.rejected, dt = self.rejected + 1, dt / 2
                model.u.x.array[:] = before
                continue
            older, before = before, model.u.x.array.copy()
            t, dt_old = t + dt, dt
            self.history.append((t, self._energy()))
            if not job.is_fixed and not self._second_order:
                dt = self._following(dt, model.newton.iterations - count)

    def _following(self, dt: float, iterations: int) -> float:
        target, window = self._job.target, -(-self._job.target // 5)
        if iterations < target - window:
            dt *= 2
        elif iterations > target + window:
            dt /= 2
        return min(dt, self._job.longest) if self._job.longest else dt

    def _energy(self) -> float:
        """Once a step where steps are free, as for any benchmark of that problem."""
        if self._job.is_fixed:
            return 0.0
        self._model.newton.spent("rest")
        energy = self._model.energy()
        self._model.newton.spent("diagnostics")
        return energy


def main() -> None:
    comm, job = MPI.COMM_WORLD, Job(**json.loads(sys.argv[1]))
    report(comm, measured(job, comm))


def measured(job: Job, comm: MPI.Comm) -> dict[str, Any]:
    """The numbers of a job. Collective."""
    PETSc.Options().insertString(job.options)
    model = build(job, comm)
    march = March(job, model)
    newton, set_up_memory = model.newton, peak_memory()
    comm.barrier()
    before, wall = time.process_time() - START, time.perf_counter()
    newton.reset()
    march.run()
    newton.spent("rest")
    parts = {name: float(comm.allreduce(value)) for name, value in newton.seconds.items()}
    result = {
        "code": "rival",
        "problem": job.problem,
        "cells": job.cells,
        "ranks": comm.size,
        "unknowns": model.space.dofmap.index_map.size_global * model.space.dofmap.index_map_bs,
        "formulation": "consistent mass",
        "scheme": "bdf2" if job.refine > 1 else "theta = 1/2" if job.family in ("w1", "w2") else "backward-euler",
        "linear_solver": "direct (MUMPS)",
        "steps": len(march.history) - 1,
        "rejected": march.rejected,
        "newton": newton.iterations,
        "linear": newton.iterations,
        "history": march.history,
        "cpu": sum(parts.values()),
        "parts": parts,
        "forms": 0.0,
        "wall": time.perf_counter() - wall,
        "before_loop": float(comm.allreduce(before)),
        "memory": float(comm.allreduce(peak_memory())),
        "memory_before_loop": float(comm.allreduce(set_up_memory)),
        "checks": model.checks(),
    }
    if job.state:
        x = model.field(0)[0]
        write_state(comm, job.state, x, [np.column_stack([model.field(i)[1] for i in model.concentrations])], model.volume())
    return result


if __name__ == "__main__":
    main()
