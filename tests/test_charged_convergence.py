"""Ions in their own field: orders of convergence in space and in time for every mobility and formulation, and the discrete equations by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem, la
from mpi4py import MPI
from scipy.integrate import solve_ivp
from test_multicomponent_convergence import DrivenSystem, orders

from fem_diffusion import Boundary, Fick, Ideal, LatticeGas, Mesh, Mobility, Problem, Species, Stirring, Term, Time
from fem_diffusion.expression import Expression
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.integrator import Integrator
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.operators import compile_form
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.system import System

Array = np.ndarray
COMM = MPI.COMM_WORLD
NAMES = ("A", "B")
D, Z, EPS = (1.0, 2.5), (2.0, -1.0), 0.05


def ideal(c: Any, c_0: Any, phi: Any, v: Sequence[float]) -> list[Any]:
    """J_i = -D_i (grad c_i + z_i c_i grad phi) (Nernst, Planck)"""
    return [-D_i * (ufl.grad(c_i) + z_i * c_i * ufl.grad(phi)) for D_i, z_i, c_i in zip(D, Z, c, strict=True)]


def stirring(c: Any, c_0: Any, phi: Any, v: Sequence[float]) -> list[Any]:
    """J_i = -D grad c_i + D c_i (E_i - sum_j c_j E_j), E_i = -z_i grad phi"""
    mean = sum(z_j * c_j for z_j, c_j in zip(Z, c, strict=True))
    return [-D[0] * (ufl.grad(c_i) + c_i * (z_i - mean) * ufl.grad(phi)) for z_i, c_i in zip(Z, c, strict=True)]


def exclusion(c: Any, c_0: Any, phi: Any, v: Sequence[float]) -> list[Any]:
    """J_i = -D_i (c_0 grad c_i - v_i c_i grad c_0 + c_0 c_i z_i grad phi) (Gerstenmayer & Juengel 2019, eq. (1), where all v_i are one)"""
    return [
        -D_i * (c_0 * ufl.grad(c_i) - v_i * c_i * ufl.grad(c_0) + c_0 * c_i * z_i * ufl.grad(phi))
        for D_i, z_i, v_i, c_i in zip(D, Z, v, c, strict=True)
    ]


def modified(c: Any, c_0: Any, phi: Any, v: Sequence[float]) -> list[Any]:
    """J_i = -D_i (grad c_i - v_i c_i grad c_0/c_0 + z_i c_i grad phi) (Kilic, Bazant & Ajdari 2007 II, eq. (11), where all v_i are one)"""
    return [
        -D_i * (ufl.grad(c_i) - v_i * c_i / c_0 * ufl.grad(c_0) + z_i * c_i * ufl.grad(phi))
        for D_i, z_i, v_i, c_i in zip(D, Z, v, c, strict=True)
    ]


@dataclass(frozen=True)
class Ions:
    """A free energy and a mobility, what their fluxes are, and the sizes of the ions."""

    energy: type[Term]
    mobility: Mobility
    fluxes: Callable[[Any, Any, Any, Sequence[float]], list[Any]]
    v: tuple[float, float] = (1.0, 1.0)

    def problem(
        self,
        mesh: Mesh,
        initial: Sequence[str],
        time: Time,
        boundary: dict[str, Boundary],
        formulation: str | None,
        fixed_charge: str | float = 0.0,
        **given: Any,
    ) -> Problem:
        return Problem(
            mesh=mesh,
            species=[
                Species(name=name, initial=text, charge=z_i, size=v_i)
                for name, text, z_i, v_i in zip(NAMES, initial, Z, self.v, strict=True)
            ],
            free_energy=[self.energy(), Electrostatic(permittivity=EPS, fixed_charge=fixed_charge)],
            mobility=self.mobility,
            boundary=boundary,
            time=time,
            formulation=formulation,
            **given,
        )


DIFFUSIVITIES = dict(zip(NAMES, D, strict=True))
IONS = {
    "ideal": Ions(Ideal, Fick(diffusivities=DIFFUSIVITIES), ideal),
    "A": Ions(LatticeGas, Stirring(diffusivity=D[0]), stirring),
    "B": Ions(LatticeGas, VolumeExclusion(diffusivities=DIFFUSIVITIES), exclusion),
    "B, sizes": Ions(LatticeGas, VolumeExclusion(diffusivities=DIFFUSIVITIES), exclusion, (1.0, 2.7)),
    "C": Ions(LatticeGas, Fick(diffusivities=DIFFUSIVITIES), modified),
    "C, sizes": Ions(LatticeGas, Fick(diffusivities=DIFFUSIVITIES), modified, (2.2, 0.6)),
}


# --- space


@dataclass(frozen=True)
class Manufactured:
    """c_A, c_B and phi, and div grad phi, all as text; the sources make them a solution.

    Chosen without flux or field at the walls, but for x = 1, where div grad phi is zero: a reservoir is neutral.
    """

    c: tuple[str, str]
    phi: str
    laplacian: str

    def at(self, text: str, place: Any, t: Any) -> Any:
        coordinates = {name: place[i] if i < len(place) else 0.0 for i, name in enumerate("xyz")}
        return Expression(text).ufl(**coordinates, t=t)

    @property
    def fixed_charge(self) -> str:
        """-eps div grad phi - sum_i z_i c_i"""
        return f"-{EPS}*({self.laplacian}) - ({Z[0]})*({self.c[0]}) - ({Z[1]})*({self.c[1]})"

    def source(self, ions: Ions, i: int, place: Any, t: Any) -> Any:
        """d c_i/dt + div J_i"""
        now = ufl.variable(t)
        c = [self.at(text, place, t) for text in self.c]
        rest = 1 - sum(v_k * c_k for v_k, c_k in zip(ions.v, c, strict=True))
        J = ions.fluxes(c, rest, self.at(self.phi, place, t), ions.v)
        return ufl.diff(self.at(self.c[i], place, now), now) + ufl.div(J[i])


EXACT = {
    "interval": Manufactured(
        ("0.2 + 0.08*cos(pi*x)*exp(-t)", "0.15 - 0.05*cos(2*pi*x)*exp(-2*t)"),
        "0.8*cos(pi*x/2)*cos(3*t) + 0.5*x**2 - x**3/6",
        "-pi**2/4*0.8*cos(pi*x/2)*cos(3*t) + 1 - x",
    ),
    "rectangle": Manufactured(
        ("0.2 + 0.08*cos(pi*x)*cos(pi*y)*exp(-t)", "0.15 - 0.05*cos(pi*y)*exp(-2*t)"),
        "0.8*cos(pi*x/2)*cos(pi*y)*cos(3*t)",
        "-1.25*pi**2*0.8*cos(pi*x/2)*cos(pi*y)*cos(3*t)",
    ),
}


def spatial_errors(ions: Ions, formulation: str, shape: str, cells: int) -> Array:
    """L2 errors of c_A, c_B and phi at t = 0.1, with BDF2 steps in proportion to h: a blocking electrode on the left, a reservoir on the right."""
    exact, end = EXACT[shape], 0.1
    problem = ions.problem(
        Mesh(shape=shape, size=1.0, cells=cells),
        [re.sub(r"\bt\b", "0", text) for text in exact.c],
        Time(end=end, step=end * 2 / cells, scheme="bdf2"),
        {
            "left": Boundary(potential=exact.phi),
            "right": Boundary(potential=exact.phi, concentration=dict(zip(NAMES, exact.c, strict=True))),
        },
        formulation,
        exact.fixed_charge,
    )
    system = DrivenSystem(problem, lambda i, place, t: exact.source(ions, i, place, t))
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.time, integrator.rejections.total) == (end, 0)
    f, x = system.formulation, ufl.SpatialCoordinate(system.geometry.mesh)
    assert f.name == formulation
    dx = ufl.dx(domain=system.geometry.mesh, metadata={"quadrature_degree": 6})
    pairs = zip((*f.c(system.u), f.phi(system.u)), (*exact.c, exact.phi), strict=True)
    errors = [(numerical - exact.at(text, x, end)) ** 2 * dx for numerical, text in pairs]
    return np.sqrt([global_sum(system.comm, fem.assemble_scalar(compile_form(error))) for error in errors])


@pytest.mark.parametrize(
    ("ions", "formulation", "shape"),
    [
        *((name, "entropy", "interval") for name in IONS),
        ("B, sizes", "fractions", "interval"),
        ("B, sizes", "potential", "interval"),
        ("C", "potential", "interval"),
        ("A", "entropy", "rectangle"),
        ("B, sizes", "entropy", "rectangle"),
        ("B", "fractions", "rectangle"),
    ],
)
def test_second_order_in_space(ions: str, formulation: str, shape: str) -> None:
    levels = (16, 32, 64) if shape == "interval" else (16, 32)
    errors = np.array([spatial_errors(IONS[ions], formulation, shape, cells) for cells in levels])
    assert orders(errors).min() >= 1.95, orders(errors)


# --- time


CELLS, END = 24, 0.1
SIZED = IONS["B, sizes"]
INITIAL = ("0.1 + 0.1*cos(pi*x/2)**2", "0.2 + 0.05*cos(pi*x/2)**2")
VOLTAGE = "1.5*sin(20*t)"
BOUNDARY = {"left": Boundary(potential=VOLTAGE), "right": Boundary(potential=0.0, concentration={"A": 0.1, "B": 0.2})}
GAUSS = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class DiscreteInSpace:
    """The semidiscrete problem of SIZED ions on the unit interval: lumped linear elements whose cell fluxes depend on the formulation.

    fractions: J_i = -D_i <c_0 grad c_i - v_i c_i grad c_0 + z_i c_i c_0 grad phi>, mean over three Gauss points
    potential: J_i = -D_i <c_i c_0> grad w_i, likewise
    entropy:   the same with the mean over the two vertices
    """

    formulation: str

    def solve(self) -> Array:
        """(2, vertices) at the end, to ten digits."""
        x = np.linspace(0, 1, CELLS + 1)
        start = np.array([np.broadcast_to(Expression(text).numpy(x=x), x.shape) for text in INITIAL])[:, :-1]
        solution = solve_ivp(
            lambda t, y: self.rate(t, y.reshape(2, -1)).ravel(), (0.0, END), start.ravel(), "Radau", rtol=1e-11, atol=1e-13
        )
        assert solution.success
        return self.full(solution.y[:, -1].reshape(2, -1))

    def full(self, free: Array) -> Array:
        """With the reservoir at the right end."""
        return np.column_stack([free, [0.1, 0.2]])

    def phi(self, t: float, c: Array) -> Array:
        h, rho = 1 / CELLS, np.array(Z) @ c
        K = EPS / h**2 * (2 * np.eye(CELLS - 1) - np.eye(CELLS - 1, k=1) - np.eye(CELLS - 1, k=-1))
        V = 1.5 * np.sin(20 * t)
        inner = np.linalg.solve(K, rho[1:-1] + EPS / h**2 * np.eye(CELLS - 1)[0] * V)
        return np.concatenate([[V], inner, [0.0]])

    def rate(self, t: float, free: Array) -> Array:
        c = self.full(free)
        volume = np.full(CELLS, 1 / CELLS)
        volume[0] /= 2
        J = self.cell_fluxes(c, self.phi(t, c))
        return -(J - np.pad(J, ((0, 0), (1, 0)))[:, :-1]) / volume

    def cell_fluxes(self, c: Array, phi: Array) -> Array:
        """(2, cells)"""
        v, z, d = (np.array(values)[:, None] for values in (SIZED.v, Z, D))
        points, weights = ([0.0, 1.0], [0.5, 0.5]) if self.formulation == "entropy" else ((GAUSS[0] + 1) / 2, GAUSS[1] / 2)
        between = [(w, (1 - s) * c[:, :-1] + s * c[:, 1:]) for s, w in zip(points, weights, strict=True)]
        if self.formulation == "fractions":
            dc, dc_0, dphi = (np.diff(values) * CELLS for values in (c, self.rest(c), phi))
            return -d * sum(w * (self.rest(at) * dc - v * at * dc_0 + z * at * self.rest(at) * dphi) for w, at in between)
        dw = np.diff(np.log(c) - v * np.log(self.rest(c)) + z * phi) * CELLS
        return -d * sum(w * at * self.rest(at) for w, at in between) * dw

    @staticmethod
    def rest(c: Array) -> Array:
        return 1 - np.array(SIZED.v) @ c


@cache
def exact_in_time(formulation: str) -> Array:
    return DiscreteInSpace(formulation).solve()


def temporal_error(formulation: str, scheme: str, steps: int) -> float:
    """Largest error of a concentration at the end of so many equal steps, on the same mesh."""
    time = Time(end=END, step=END / steps, scheme=scheme)
    system = System(SIZED.problem(Mesh(shape="interval", size=1.0, cells=CELLS), INITIAL, time, BOUNDARY, formulation))
    integrator = Integrator(system)
    *_, last = integrator.steps()
    assert (last.number, last.time, integrator.rejections.total) == (steps, END, 0)
    mine = np.rint(system.formulation.x[0] * CELLS).astype(int)
    return global_max(COMM, np.abs(system.concentrations - exact_in_time(formulation)[:, mine].T))


@pytest.mark.parametrize("formulation", ["entropy", "fractions", "potential"])
@pytest.mark.parametrize(("scheme", "order"), [("backward-euler", 0.95), ("bdf2", 1.9)])
def test_order_in_time(formulation: str, scheme: str, order: float) -> None:
    errors = np.array([temporal_error(formulation, scheme, steps) for steps in (64, 128)])
    assert orders(errors).min() >= order, errors


# --- between formulations


def final_state(formulation: str, cells: int) -> System:
    """After ten steps, the same for all formulations."""
    time = Time(end=END, step=END / 10, scheme="bdf2")
    system = System(SIZED.problem(Mesh(shape="interval", size=1.0, cells=cells), INITIAL, time, BOUNDARY, formulation))
    *_, last = Integrator(system).steps()
    assert last.number == 10
    return system


@pytest.mark.parametrize("other", ["fractions", "potential"])
def test_formulations_approach_each_other(other: str) -> None:
    """They differ by how a flux is averaged over a cell: by O(h^2)."""

    def difference(cells: int) -> float:
        a, b = (final_state(formulation, cells) for formulation in ("entropy", other))
        return max(
            global_max(COMM, np.abs(a.concentrations - b.concentrations)),
            global_max(COMM, np.abs(a.formulation.all_phi() - b.formulation.all_phi())),
        )

    differences = np.array([difference(cells) for cells in (32, 64, 128)])
    assert orders(differences).min() >= 1.9, differences


# --- the discrete equations by hand, with numbers


@dataclass(frozen=True)
class ByHand:
    """The residual of one step in entropy variables on triangles, cell by cell in numpy; complex states give its derivative.

    ( (a_0 (c_i - c_i^before), v) )_h + dt (sum_j L_ij grad w_j, grad v), L at the vertices;   ((eps grad phi, grad v) - (rho, v)_h) T_ref/T
    """

    ions: str
    x: Array  # (cells, 3 vertices, 2)
    a_0: float
    dt: float
    ratio: float  # T/T_ref, phi in RT_ref/F

    def concentrations(self, s: Array) -> tuple[Array, Array]:
        """c_i = exp(s_i + v_i ln c_0) (m, 2) and c_0 (m,), by bisection and then Newton's method for c_0 itself."""
        ions = IONS[self.ions]
        if ions.energy is Ideal:
            return np.exp(s - 1), np.ones(len(s), dtype=s.dtype)
        v = np.array(ions.v)
        low, high = np.zeros(len(s)), np.ones(len(s))
        for _ in range(60):
            middle = (low + high) / 2
            above = middle + (v * middle[:, None] ** v * np.exp(s.real)).sum(axis=1) > 1
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        y = ((low + high) / 2).astype(s.dtype)
        for _ in range(4):
            powers = v * y[:, None] ** v * np.exp(s)
            y = y - (y + powers.sum(axis=1) - 1) / (1 + (v * powers).sum(axis=1) / y)
        return y[:, None] ** v * np.exp(s), y

    def mobility(self, c: Array, c_0: Array) -> Array:
        """(m, 2, 2)"""
        if self.ions == "A":
            return D[0] * (np.einsum("mi,ij->mij", c, np.eye(2)) - c[:, :, None] * c[:, None, :])
        room = c_0[:, None] if self.ions.startswith("B") else 1.0
        return np.einsum("mi,ij->mij", np.array(D) * c * room, np.eye(2))

    def residual(self, u: Array, before: Array) -> Array:
        """(cells, 3, 3) from unknowns w_A, w_B, phi at the vertices of each cell, and c before (cells, 3, 2)."""
        cells, z = len(u), np.array(Z)
        c, c_0 = self.concentrations((u[..., :2] - z * u[..., 2:] / self.ratio).reshape(-1, 2))
        L = self.mobility(c, c_0).reshape(cells, 3, 2, 2).mean(axis=1)
        c = c.reshape(cells, 3, 2)
        edges = self.x[:, 1:] - self.x[:, :1]
        area = np.abs(np.linalg.det(edges)) / 2
        inner = np.linalg.inv(edges)  # columns: gradients of the barycentric coordinates of vertices 1, 2
        slopes = np.concatenate([-inner.sum(axis=2)[:, None, :], inner.transpose(0, 2, 1)], axis=1)  # (cells, 3, 2)
        gradients = np.einsum("kaf,kad->kfd", u, slopes)
        lumped = area[:, None, None] / 3
        R = np.zeros_like(u)
        R[..., :2] = lumped * self.a_0 * (c - before)
        R[..., :2] += self.dt * area[:, None, None] * np.einsum("kij,kjd,kad->kai", L, gradients[:, :2], slopes)
        poisson = EPS * area[:, None] * np.einsum("kd,kad->ka", gradients[:, 2], slopes) - lumped[..., 0] * (c @ z)
        R[..., 2] = poisson / self.ratio
        return R


@pytest.mark.parametrize(("ions", "ratio"), [*((name, 1.0) for name in IONS), ("C, sizes", 1.3)])
def test_residual_and_jacobian_as_written_by_hand(ions: str, ratio: float) -> None:
    mesh = Mesh(shape="rectangle", size=[1.3, 0.8], cells=[5, 4])
    heated = {"temperature": f"1 + {ratio - 1}*t"} if ratio != 1 else {}
    boundary = {"left": Boundary(potential=0.0)}
    system = System(IONS[ions].problem(mesh, ["0.1", "0.2"], Time(end=1.0), boundary, "entropy", **heated))
    f, a_0, dt = system.formulation, 1.5, 0.37
    f.at_time(1.0)
    f.dt.value, f.a0.value = dt, a_0
    topology = system.geometry.mesh.topology
    cells = topology.index_map(2).size_local
    dofs = f.space.dofmap.list[:cells]
    hand = ByHand(ions, f.places.T[dofs][..., :2], a_0, dt, ratio)

    def assembled(local: Array) -> Array:
        total = la.vector(f.space.dofmap.index_map, 3)
        np.add.at(total.array.reshape(-1, 3), dofs, local)
        total.scatter_reverse(la.InsertMode.add)
        return total.array[: system.owned].reshape(-1, 3)

    random = np.random.default_rng(COMM.rank)
    f.c_before.x.array[:] = random.uniform(0.05, 0.45, len(f.c_before.x.array))
    f.c_before.x.scatter_forward()
    before = f.c_before.x.array.reshape(-1, 2)[dofs]
    free = ~system.conditions.held
    state, product, direction = (system.operators.vector() for _ in range(3))
    spread = fem.Function(f.space)
    for _ in range(3):
        state.array_w[:] = random.uniform(-2.0, 2.0, system.owned)
        system.operators.jacobian(state)
        u = f.u.x.array.reshape(-1, 3)[dofs]
        close(system.operators.balance().reshape(-1, 3), assembled(hand.residual(u, before)))
        for _ in range(4):
            direction.array_w[:] = (random.uniform(-1.0, 1.0, free.shape) * free).ravel()
            system.operators.jacobian_matrix.mult(direction, product)
            spread.x.array[: system.owned] = direction.array_r
            spread.x.scatter_forward()
            step = spread.x.array.reshape(-1, 3)[dofs]
            derivative = assembled(hand.residual(u + 1e-30j * step, before).imag / 1e-30)
            close(product.array_r.reshape(-1, 3)[free], derivative[free])
            difference = assembled(hand.residual(u + 1e-6 * step, before) - hand.residual(u - 1e-6 * step, before)) / 2e-6
            close(product.array_r.reshape(-1, 3)[free], difference[free], 1e-8)


def close(a: Array, b: Array, relative: float = 1e-13) -> None:
    assert global_max(COMM, np.abs(a - b)) <= relative * global_max(COMM, np.abs(b))
