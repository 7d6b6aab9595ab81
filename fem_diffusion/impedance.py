"""Impedance of an electrode, by linearisation at a steady state.

With the potential V + dV e^(i omega t) at one boundary the unknowns are u + du e^(i omega t), and the equations without their time step,

    M du/dt + K(u) = 0     (mass balances),     P(u) = 0     (Poisson),

become (i omega M + K' + P') du = -d(K + P)/dV dV, with du = dg/dV dV where u is held at g. The derivatives by V are central differences: a potential
enters linearly, or through an electrode's kinetics. The admittance is the response of what flows into the electrode, the ions that it dissolves and
its charge:

    Y = i omega dQ/dV - d(current of ions out of the domain)/dV,     Z = 1/Y
"""

from __future__ import annotations

import csv
import json
import sys
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc

from .check import check
from .errors import InputError, StepFailed, did_you_mean
from .expression import Expression
from .field import Field
from .integrator import Integrator
from .operators import compile_form
from .output import make_folder, versions
from .parallel import global_max, on_root
from .problem import Problem
from .run import steps
from .steady import in_time
from .system import System

DIFFERENCE = 1e-4  # of the potential, in RT/F: the kinetics are exponentials of it, and the error is a sixth of its square


class Admittance:
    """dI/dV between every boundary and the rest, for a potential that is modulated at one of them; in solver units.

    system: of a problem whose potential at that boundary is V + t, with the steady state of V in u
    speed:  dV/dt in solver units
    """

    def __init__(self, system: System, speed: float) -> None:
        self._system, self._time = system, DIFFERENCE / speed
        self._state = system.values()
        formulation, conditions = system.formulation, system.conditions
        self._jacobian = compile_form(formulation.jacobian(formulation.residual(conditions.imposed_fluxes())))
        rest, both, self._slope = self._assembled(0.0, 0.0), self._assembled(1.0, 0.0), self._assembled(0.0, 1.0)
        self._mass = [matrix - other for matrix, other in zip(both, rest, strict=True)]
        self._forcing = self._by_potential(system.operators.balance)
        self._held = self._by_potential(self._held_values)
        self._at_once = self._by_potential(self._through)

    def _assembled(self, a0: float, dt: float) -> list[PETSc.Mat]:
        """a_0 M + dt K' + P', with the identity in the rows and columns of what is held, and without."""
        formulation = self._system.formulation
        formulation.a0.value, formulation.dt.value = a0, dt
        matrices = [fem_petsc.create_matrix(self._jacobian) for _ in range(2)]
        for A, fixed in zip(matrices, (self._system.conditions.fixed, []), strict=True):
            fem_petsc.assemble_matrix(A, self._jacobian, fixed, 1.0)
            A.assemble()
        return matrices

    def _by_potential(self, evaluate: Callable[[], np.ndarray]) -> np.ndarray:
        """d/dV, at the same u, of what is evaluated with a_0 = 0 and dt = 1."""
        formulation, conditions = self._system.formulation, self._system.conditions
        formulation.a0.value, formulation.dt.value = 0.0, 1.0
        found = []
        for t in (self._time, -self._time, 0.0):
            conditions.update(t, t)
            formulation.at_time(t)
            found.append(evaluate())
        return (found[0] - found[1]) / (2 * DIFFERENCE)

    def _held_values(self) -> np.ndarray:
        """What the boundaries hold u at, zero elsewhere, this rank's owned unknowns."""
        g = np.zeros_like(self._system.u.x.array)
        for condition in self._system.conditions.fixed:
            condition.set(g)
        return g[: self._system.owned]

    def _through(self, balance: np.ndarray | None = None) -> np.ndarray:
        """The outward current of ions through each boundary and the charge on it, (2, boundaries), at the state u.

        balance: the residual (owned,) in which reservoirs and electrodes have a reaction; default: none, so that only what is given by u itself
        is left, kinetics and Stern layers
        """
        system, formulation = self._system, self._system.formulation
        rows = np.zeros((formulation.vertices, formulation.block)) if balance is None else balance.reshape(-1, formulation.block)
        fluxes = system.conditions.outward_fluxes(rows[:, formulation.mass_rows], 1.0)
        charges = system.conditions.charges(rows[:, formulation.phi_row])
        ions = list(zip(system.model.charges, system.model.names, strict=True))
        names = list(system.problem.boundary)
        return np.array([[sum(z * fluxes[ion, name] for z, ion in ions) for name in names], [charges.get(name, 0.0) for name in names]])

    def _by_unknowns(self, du: np.ndarray) -> np.ndarray:
        """The change of `_through` with u along du."""
        largest = global_max(self._system.comm, np.abs(du))
        if largest == 0.0:
            return np.zeros_like(self._at_once)
        step = DIFFERENCE / largest
        found = []
        for u in (self._state + step * du, self._state - step * du, self._state):
            self._system.set_values(u)
            found.append(self._through())
        return (found[0] - found[1]) / (2 * step)

    def at(self, omega: float) -> dict[str, complex]:
        """Y = i omega dQ/dV - dI_ions/dV of each boundary; their sum is zero."""
        (K, K_whole), (M, M_whole) = self._slope, self._mass
        held = self._system.conditions.held.ravel()
        real = np.where(held, self._held, -(_product(K_whole, self._held) + self._forcing))
        imaginary = np.where(held, 0.0, -omega * _product(M_whole, self._held))
        a, b = _solved(K, omega * M, real, imaginary)
        balance = (
            _product(K_whole, a) - omega * _product(M_whole, b) + self._forcing,
            _product(K_whole, b) + omega * _product(M_whole, a),
        )
        at_rest = self._through()
        change = self._at_once + self._by_unknowns(a) + 1j * self._by_unknowns(b)
        change = change + self._through(balance[0]) - at_rest + 1j * (self._through(balance[1]) - at_rest)
        return dict(zip(self._system.problem.boundary, 1j * omega * change[1] - change[0], strict=True))


def _product(A: PETSc.Mat, x: np.ndarray) -> np.ndarray:
    given, result = A.createVecs()
    given.array_w[:] = x
    A.mult(given, result)
    return result.array_r.copy()


def _solved(A: PETSc.Mat, B: PETSc.Mat, real: np.ndarray, imaginary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x + iy with (A + iB)(x + iy) = real + i imaginary, as a real system of twice the size. StepFailed where it is singular."""
    whole = PETSc.Mat().createNest([[A, -1.0 * B], [B, A]], comm=A.comm).convert("aij")
    solver = PETSc.KSP().create(A.comm)
    solver.setOptionsPrefix("impedance_")
    solver.setOperators(whole)
    solver.setType("richardson")  # iterative refinement: at low frequency closed cells are close to singular
    solver.setNormType(PETSc.KSP.NormType.NONE)
    solver.setTolerances(max_it=3)
    preconditioner = solver.getPC()
    preconditioner.setType("lu")
    preconditioner.setFactorSolverType("mumps")
    solver.setFromOptions()
    x, right = whole.createVecs()
    right.array_w[:] = np.concatenate([real, imaginary])
    solver.solve(right, x)
    if solver.getConvergedReason() < 0:
        raise StepFailed(f"the linearised equations have no solution: PETSc reason {solver.getConvergedReason()}")
    found = x.array_r.copy()
    for petsc_object in (whole, solver, x, right):
        petsc_object.destroy()
    return found[: len(real)], found[len(real) :]


def admittances(problem: Problem, boundary: str, comm: MPI.Comm = MPI.COMM_WORLD) -> tuple[System, Admittance]:
    """At the steady state of a problem, for a potential that is modulated at one boundary.

    Raises InputError where the boundary has no potential or something depends on the time, StepFailed where there is no steady state.
    """
    problem = _steady(problem, boundary)
    system = System(problem, comm)
    for _ in steps(Integrator(system)):
        pass
    given = problem.boundary[boundary]
    assert given.potential is not None
    moving = replace(given.potential, value=Expression(f"({_text(given.potential)}) + t"))
    modulated = System(_with_boundary(problem, boundary, moving), comm)
    modulated.initialise()
    modulated.set_values(system.values())
    return modulated, Admittance(modulated, modulated.scales.factor("s") / modulated.scales.factor("V"))


def _steady(problem: Problem, boundary: str) -> Problem:
    """The problem of the steady state. InputError where the boundary has no potential or something depends on the time."""
    electrodes = [name for name, given in problem.boundary.items() if given.potential is not None]
    if boundary not in electrodes:
        raise InputError(f"--boundary {boundary}: the problem gives no potential there{did_you_mean(boundary, electrodes)}")
    for place, text in in_time(problem):
        raise InputError(f"{place} = '{text}' depends on t: an impedance is that of a steady state; give a constant value")
    return problem.model_copy(update={"time": problem.time.model_copy(update={"steady": True})})


def _text(field: Field) -> str:
    """In SI units, if it has units."""
    return field.text if isinstance(field.value, Expression) else repr(float(field.value))


def _with_boundary(problem: Problem, boundary: str, potential: Field) -> Problem:
    given = problem.boundary[boundary].model_copy(update={"potential": potential})
    return problem.model_copy(update={"boundary": {**problem.boundary, boundary: given}})


def spectrum(
    problem: Problem, boundary: str, frequencies: Sequence[float], folder: Path, comm: MPI.Comm = MPI.COMM_WORLD
) -> dict[str, np.ndarray]:
    """The impedance at frequencies (1/s; without units in the problem's own) as impedance.csv, impedance.png, problem.resolved.toml and
    provenance.json in a new folder; returns the table.

    Columns: frequency, re_Z and im_Z (ohm m^2, ohm m, ohm in 1D, 2D, 3D), abs_Z, phase (degrees), capacitance Im(Y)/omega (F/m^2, F/m, F).
    """
    started = clock.perf_counter()
    warnings = check(System(_steady(problem, boundary), comm)).warnings
    on_root(comm, lambda: make_folder(folder))
    system, admittance = admittances(problem, boundary, comm)
    factor, d = system.scales.factor, system.geometry.volume_dimension
    siemens = factor("C/m^3") * system.scales.length**d / factor("s") / factor("V")
    omega = 2 * np.pi * np.asarray(frequencies)
    through = [admittance.at(float(w) * factor("s")) for w in omega]
    Y = siemens * np.array([currents[boundary] for currents in through])
    # what the currents of all boundaries do not sum to zero is round-off, and where it is no smaller than the real part, that is none
    lost = siemens * np.abs([sum(currents.values()) for currents in through]) > 0.1 * np.abs(Y.real)
    Z = np.where(lost, 0.0, (1 / Y).real) + 1j * (1 / Y).imag
    if lost.any():
        warnings = [
            *warnings,
            f"round-off exceeds the dissipation at frequencies below {np.max(np.asarray(frequencies)[lost]):.3g}: re_Z is nan there, and the cell "
            "a capacitor",
        ]
    table = {
        "frequency": np.asarray(frequencies),
        "re_Z": np.where(lost, np.nan, Z.real),
        "im_Z": Z.imag,
        "abs_Z": np.abs(Z),
        "phase": np.degrees(np.angle(Z)),
        "capacitance": Y.imag / omega,
    }

    for warning in warnings if comm.rank == 0 else ():
        print(f"warning: {warning}", file=sys.stderr)

    def write() -> None:
        (folder / "problem.resolved.toml").write_text(problem.resolved())
        with (folder / "impedance.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(table)
            writer.writerows([[f"{value:.17g}" for value in row] for row in zip(*table.values(), strict=True)])
        provenance = {
            "boundary": boundary,
            "command": sys.argv,
            "warnings": warnings,
            "units": "SI" if problem.dimensional else "the problem's own (dimensionless)",
            "unknowns": system.unknowns,
            "ranks": comm.size,
            "wall_seconds": round(clock.perf_counter() - started, 3),
            "versions": versions(),
        }
        (folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
        ohm = {1: "Ω m²", 2: "Ω m", 3: "Ω"}[d] if problem.dimensional else ""
        from .picture import save_impedance

        save_impedance(folder / "impedance.png", table["frequency"], Z, problem.title, "Hz" if problem.dimensional else "", ohm)

    on_root(comm, write)
    return table
