"""Charged surfaces, Stern layers, electrodes, electrode kinetics and membranes against closed forms and boundary value problems solved by scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_bvp
from scipy.optimize import brentq

from fem_diffusion import Boundary, Exchange, Fick, Ideal, LatticeGas, Mesh, Problem, Species, Time
from fem_diffusion.boundary import ButlerVolmer, Stern
from fem_diffusion.free_energy import Electrostatic, ExternalPotential
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.mobility import VolumeExclusion
from fem_diffusion.parallel import global_max
from fem_diffusion.system import System

Array = np.ndarray
Z = np.array([1.0, -1.0])
CATION, ANION = NAMES = ("+", "-")


@dataclass(frozen=True)
class Salt:
    """A cation and an anion, and their thermodynamics by hand: ideal (Fick), or crowded with sizes v_i and the mobilities D_i c_i c_0."""

    eps: float
    v: tuple[float, float] | None = None
    D: tuple[float, float] = (1.0, 2.5)

    def problem(
        self, boundary: dict[str, Boundary], time: Time, mesh: Mesh | int, initial: Sequence[str | float] = (0.1, 0.1), **given: Any
    ) -> Problem:
        sizes = self.v or (1.0, 1.0)
        D = dict(zip(NAMES, self.D, strict=True))
        return Problem(
            mesh=mesh if isinstance(mesh, Mesh) else Mesh(shape="interval", size=1.0, cells=mesh),
            species=[Species(name=n, initial=c, charge=z, size=v) for n, c, z, v in zip(NAMES, initial, Z, sizes, strict=True)],
            free_energy=[LatticeGas() if self.v else Ideal(), Electrostatic(permittivity=self.eps)],
            mobility=VolumeExclusion(diffusivities=D) if self.v else Fick(diffusivities=D),
            boundary=boundary,
            time=time,
            **given,
        )

    def rest(self, c: Array) -> Array:
        """c_0 of c (2, ...)"""
        return 1 - np.tensordot(self.v, c, 1) if self.v else np.ones_like(c[0])

    def mu(self, c: Array) -> Array:
        """ln c_i - v_i ln c_0"""
        return np.log(c) - np.multiply.outer(self.v or (0.0, 0.0), np.log(self.rest(c)))

    def pressure(self, c: Array) -> float:
        """Pi with d Pi = sum_i c_i d mu_i (Gibbs, Duhem)"""
        return float(-np.log(self.rest(c)) + np.dot(1 - np.array(self.v), c)) if self.v else float(c.sum())

    def at_potential(self, phi: float, bulk: Array) -> Array:
        """c in equilibrium with the bulk: mu_i + z_i phi there is that of the bulk at phi = 0."""
        s = self.mu(bulk) - Z * phi
        if not self.v:
            return np.exp(s)
        v = np.array(self.v)
        rest = brentq(lambda c_0: c_0 + v @ (np.exp(s) * c_0**v) - 1, 1e-12, 1.0, xtol=1e-16, rtol=1e-15)
        return np.exp(s) * rest**v

    def surface_charge(self, phi: float, bulk: Array) -> float:
        """Of a wall at phi before a half space: sigma^2 = 2 eps (Pi(wall) - Pi(bulk)); Grahame's equation where the salt is ideal."""
        rise = max(self.pressure(self.at_potential(phi, bulk)) - self.pressure(bulk), 0.0)
        return float(np.sign(phi) * np.sqrt(2 * self.eps * rise))

    def slopes(self, c: Array, E: Array, J: Array) -> Array:
        """dc_i/dx (2, m) that drive the steady fluxes J_i = -L_ii d(mu_i + z_i phi)/dx, with E = dphi/dx."""
        room = self.rest(c)
        L = np.array(self.D)[:, None] * c * room
        s = -J[:, None] / L - Z[:, None] * E
        if not self.v:
            return c * s
        v = np.array(self.v)[:, None]
        log_rest = -(v * c * s).sum(axis=0) / (room + (v * v * c).sum(axis=0))
        return c * (s + v * log_rest)


def run(problem: Problem) -> tuple[System, list[Step]]:
    system = System(problem)
    integrator = Integrator(system)
    return system, [integrator.start(), *integrator.steps()]


def value_at(system: System, x: float, values: Array) -> float:
    """Of a field at the owned vertices (m,), at the vertex x."""
    here = np.abs(system.formulation.x[0] - x) < 1e-9
    return global_max(system.comm, values[here])


def assert_second_order(values: Sequence[float], exact: float, extrapolated: float) -> None:
    """Errors of values on meshes of h, h/2, .. fall by four; without their h^2 the last two are as near to the exact one as stated (relative)."""
    errors = np.abs(np.subtract(values, exact))
    assert np.abs(np.log2(errors[:-1] / errors[1:]) - 2).max() <= 0.1, errors
    limit = values[-1] + (values[-1] - values[-2]) / 3
    assert limit == pytest.approx(exact, rel=extrapolated)


def assert_balanced(system: System, steps: Sequence[Step]) -> None:
    """Gauss: the charges of the ions (of the present state, the last step's) and on all boundaries add up to zero."""
    charges = steps[-1].charges
    scale = max(abs(charge) for charge in charges.values())
    assert abs(system.charge() + sum(charges.values())) <= 1e-12 * scale


STEADY = Time(end=100.0, steady=True)


# --- charged walls at equilibrium


BULK = np.array([0.1, 0.1])
HALF_SPACE = {"right": Boundary(potential=0.0, concentration=dict(zip(NAMES, BULK, strict=True)))}  # twenty Debye lengths away
IDEAL, CROWDED = Salt(5e-4), Salt(5e-4, v=(1.0, 2.7))


def test_grahame() -> None:
    """The reference itself: sigma = sqrt(8 eps c) sinh(phi/2) where all is ideal; the Bikerman-Freise charge where both sizes are one."""
    assert IDEAL.surface_charge(3.0, BULK) == pytest.approx(np.sqrt(8 * 5e-4 * 0.1) * np.sinh(1.5), rel=1e-12)
    steric = Salt(5e-4, v=(1.0, 1.0)).surface_charge(-6.0, BULK)
    assert steric == pytest.approx(-np.sqrt(2 * 5e-4 * np.log(1 + 2 * 0.2 * np.sinh(3.0) ** 2)), rel=1e-12)


@pytest.mark.parametrize(("salt", "phi"), [(IDEAL, 2.0), (CROWDED, 4.0), (CROWDED, -4.0)])
def test_potential_of_a_charged_wall(salt: Salt, phi: float) -> None:
    left = {"left": Boundary(surface_charge=salt.surface_charge(phi, BULK))}
    found = []
    for cells in (128, 256, 512):
        system, _ = run(salt.problem(left | HALF_SPACE, STEADY, cells))
        found.append(value_at(system, 0.0, system.formulation.all_phi()[: system.formulation.vertices]))
    assert_second_order(found, phi, 2e-5)


@pytest.mark.parametrize("salt", [IDEAL, CROWDED])
def test_stern_layer(salt: Salt) -> None:
    """In series with the diffuse layer: C (V - phi) = sigma(phi) (Stern 1924)."""
    V, C = 4.0, 0.02
    phi = brentq(lambda phi: C * (V - phi) - salt.surface_charge(phi, BULK), 0.0, V)
    left = {"left": Boundary(potential=V, stern=Stern(thickness=0.01, permittivity=0.01 * C))}
    potentials, charges = [], []
    for cells in (128, 256, 512):
        system, (*_, last) = run(salt.problem(left | HALF_SPACE, STEADY, cells))
        potentials.append(value_at(system, 0.0, system.formulation.all_phi()[: system.formulation.vertices]))
        charges.append(last.charges["left"])
    assert_second_order(potentials, phi, 2e-5)
    assert_second_order(charges, C * (V - phi), 2e-5)


def test_temperature_that_rises() -> None:
    """At T = 1.4 T_ref, phi in RT_ref/F: sigma = sqrt(8 eps c T/T_ref) sinh(phi T_ref/(2 T))."""
    T, phi = 1.4, 3.0
    sigma = np.sqrt(8 * 5e-4 * 0.1 * T) * np.sinh(phi / (2 * T))
    found = []
    for cells in (128, 256):
        problem = IDEAL.problem(
            {"left": Boundary(surface_charge=sigma)} | HALF_SPACE,
            Time(end=20.0, step=1.0, scheme="backward-euler"),
            cells,
            temperature="1 + 0.4*min(t, 1)",
        )
        system, steps = run(problem)
        found.append(value_at(system, 0.0, system.formulation.all_phi()[: system.formulation.vertices]))
        assert_balanced(system, steps[-1:])
    assert_second_order(found, phi, 2e-4)


# --- a blocking cell in an alternating voltage


def transfer(s_time: complex, eps: float) -> complex:
    """Charge over potential of the right electrode of a cell of unit length, +-V/2 at its ends, c_+ = c_- = 1/2, D = 1, for e^(s t).

    Linear response: rho'' = (1/eps + s) rho, -eps phi'' = rho, rho' + phi' = 0 at the blocking electrodes (Macdonald, Phys. Rev. 92 (1953) 4;
    Bazant, Thornton & Ajdari, Phys. Rev. E 70 (2004) 021506).
    """
    k, L = np.sqrt(1 / eps + s_time), 0.5
    slope = -np.cosh(k * L) * s_time / k  # of phi without the charge's own part
    phi = -np.sinh(k * L) / (eps * k**2) + slope * L
    return complex(eps * (slope - np.cosh(k * L) / (eps * k)) / phi)


def test_sinusoid_at_blocking_electrodes() -> None:
    """Amplitude and phase. A two-step method has the exact response at the s that its differences make of e^(i omega t)."""
    eps, omega, amplitude, per_period, periods = 0.01, 20.0, 0.01, 48, 3
    dt = 2 * np.pi / omega / per_period
    turn = np.exp(-1j * omega * dt)
    exact = transfer((1.5 - 2 * turn + 0.5 * turn**2) / dt, eps)
    assert abs(exact / transfer(1j * omega, eps) - 1) < 0.01
    found = []
    for cells in (32, 64):
        problem = Salt(eps, D=(1.0, 1.0)).problem(
            {"left": Boundary(potential=f"-{amplitude}*sin({omega}*t)"), "right": Boundary(potential=f"{amplitude}*sin({omega}*t)")},
            Time(end=periods * per_period * dt, step=dt, scheme="bdf2"),
            cells,
            initial=(0.5, 0.5),
        )
        _, steps = run(problem)
        last = steps[-per_period:]
        assert len(steps) == periods * per_period + 1
        wave = np.exp(-1j * omega * np.array([step.time for step in last]))
        found.append(wave @ [step.charges["right"] for step in last] / (per_period * amplitude / 2j))
        assert wave @ [step.charges["left"] for step in last] == pytest.approx(-wave @ [step.charges["right"] for step in last], rel=1e-10)
    assert np.log2(abs(found[0] - exact) / abs(found[1] - exact)) == pytest.approx(2.0, abs=0.1)
    assert found[1] + (found[1] - found[0]) / 3 == pytest.approx(exact, rel=1e-4)


# --- electrode kinetics: the law itself


def kinetics(**changes: Any) -> ButlerVolmer:
    return ButlerVolmer(**{"exchange_current": 0.8, "reference": 0.2, "equilibrium_potential": 0.3, "transfer_coefficient": 0.4} | changes)


@dataclass(frozen=True)
class Electrode:
    """The outward flux of a divalent ion through an electrode at potential zero, for any c and overpotential D there."""

    law: ButlerVolmer
    v: tuple[float, float] = (1.6, 1.0)

    @cached_property
    def system(self) -> System:
        species = [Species(name="M", initial=0.2, charge=2, size=self.v[0]), Species(name="X", initial=0.1, charge=-1, size=self.v[1])]
        return System(
            Problem(
                mesh=Mesh(shape="interval", size=1.0, cells=2),
                species=species,
                free_energy=[LatticeGas(), Electrostatic(permittivity=1.0)],
                mobility=VolumeExclusion(diffusivities={"M": 1.0, "X": 1.0}),
                boundary={
                    "left": Boundary(potential=0.0, stern=Stern(thickness=1.0, permittivity=1.0), butler_volmer={"M": self.law}),
                    "right": Boundary(potential=0.0),
                },
                time=Time(end=1.0),
            )
        )

    def flux(self, D: float, c: Sequence[float] = (0.2, 0.1)) -> float:
        system = self.system
        system.initialise()
        system.formulation.set_concentrations(np.tile(np.array(c), (system.formulation.vertices, 1)))
        system.formulation.set_phi(np.full(system.formulation.vertices, D - float(self.law.equilibrium_potential)))
        return system.outward_fluxes(1.0)["M", "left"]

    def affinity(self, D: float, c: Sequence[float]) -> float:
        def mu(c: Sequence[float]) -> float:
            return float(np.log(c[0]) - self.v[0] * np.log(1 - np.dot(self.v, c)))

        return mu(c) - mu((float(self.law.reference), 0.1)) + 2 * D


def test_butler_volmer_law() -> None:
    electrode = Electrode(kinetics())
    flux = electrode.flux
    assert abs(flux(0.0)) <= 1e-15
    for D in (-3.0, -0.4, 0.2, 2.0):  # at the reference concentration: two exponentials
        assert flux(D) == pytest.approx(0.4 * (np.exp(0.4 * 2 * D) - np.exp(-0.6 * 2 * D)), rel=1e-12)
    step = 1e-4  # charge transfer resistance RT/(F i_0): the current z J rises by i_0 z D
    assert 2 * (flux(step) - flux(-step)) / (2 * step) == pytest.approx(2 * 0.8, rel=1e-6)
    assert np.log(flux(16.0) / flux(15.0)) == pytest.approx(0.4 * 2, rel=1e-10)  # Tafel slopes
    assert np.log(flux(-16.0) / flux(-15.0)) == pytest.approx(0.6 * 2, rel=1e-10)


def test_butler_volmer_dissipates_at_any_concentration() -> None:
    """J.n has the sign of the affinity, and vanishes with it (Nernst's equation with the activity of the crowded ion)."""
    electrode, random = Electrode(kinetics()), np.random.default_rng(1)
    for _ in range(40):
        c = random.uniform(0.01, 0.35), random.uniform(0.01, 0.35)
        D = random.uniform(-3, 3)
        A = electrode.affinity(D, c)
        assert electrode.flux(D, c) == pytest.approx(0.4 * np.exp(-0.6 * 2 * D) * np.expm1(A), rel=1e-11)
        assert electrode.flux(D, c) * A > 0
        rest_potential = -(A - 2 * D) / 2
        assert abs(electrode.flux(rest_potential, c)) <= 1e-13 * 0.4 * np.exp(abs(1.2 * rest_potential))


# --- steady cells


Residuals = Callable[[Array, Array, Array], list[float]]


def steady_cell(salt: Salt, conditions: Residuals, guess: Sequence[float], J: Sequence[float]) -> Any:
    """Nernst, Planck and Poisson on the unit interval as first-order equations for y = (c_+, c_-, phi, dphi/dx, amount of - up to x).

    conditions(y at 0, y at 1, (J_+, J_-)) has seven entries; guess: y at the middle
    """

    def derivative(x: Array, y: Array, p: Array) -> Array:
        dc = salt.slopes(y[:2], y[3], p)
        return np.vstack([dc, y[3], -(Z @ y[:2]) / salt.eps, y[1]])

    x = np.linspace(0, 1, 401)
    start = np.array([np.full_like(x, value) for value in guess])
    start[4] = guess[1] * x
    with np.errstate(invalid="ignore"):  # of iterates with a negative concentration
        solution = solve_bvp(
            derivative, lambda a, b, p: np.array(conditions(a, b, p)), x, start, p=np.array(J), tol=1e-9, max_nodes=100_000
        )
    assert solution.success, solution.message
    return solution


PLATING = {"ideal": Salt(4e-3), "crowded": Salt(4e-3, v=(1.3, 0.8))}
V, E, I_0, ALPHA, REFERENCE, MEAN, C_STERN = 2.5, 0.3, 0.8, 0.4, 0.2, 0.25, 0.3


@cache
def plating_cell(salt: Salt) -> Any:
    """The cation dissolves at the right, at V, and is deposited at the left, at zero; the anion stays."""

    def flux(c: Array, phi: float, electrode: float) -> float:
        D = phi - (electrode - E)
        reference = salt.mu(np.array([REFERENCE, MEAN]))[0]
        return I_0 * (np.exp(salt.mu(c)[0] - reference + ALPHA * D) - np.exp(-(1 - ALPHA) * D))

    def conditions(a: Array, b: Array, J: Array) -> list[float]:
        return [
            -salt.eps * a[3] - C_STERN * (0 - a[2]),
            salt.eps * b[3] - C_STERN * (V - b[2]),
            -J[0] - flux(a[:2], a[2], 0.0),
            J[0] - flux(b[:2], b[2], V),
            J[1],
            a[4],
            b[4] - MEAN,
        ]

    return steady_cell(salt, conditions, [MEAN, MEAN, V / 2, 0.0, 0.0], [-0.1, 0.0])


@pytest.mark.parametrize("name", PLATING)
def test_current_between_plating_electrodes(name: str) -> None:
    salt = PLATING[name]
    exact = plating_cell(salt)
    law = kinetics(equilibrium_potential=E, reference=REFERENCE, transfer_coefficient=ALPHA, exchange_current=I_0)
    stern = Stern(thickness=0.1, permittivity=0.1 * C_STERN)
    boundary = {side: Boundary(potential=at, stern=stern, butler_volmer={CATION: law}) for side, at in (("left", 0.0), ("right", V))}
    currents, potentials = [], []
    for cells in (64, 128, 256):
        problem = salt.problem(boundary, Time(end=60.0, step=10.0, scheme="backward-euler"), cells, initial=(MEAN, MEAN))
        system, steps = run(problem)
        assert_balanced(system, steps[-1:])
        currents.append(steps[-1].fluxes[CATION, "left"])
        potentials.append(value_at(system, 0.5, system.formulation.all_phi()[: system.formulation.vertices]))
        assert steps[-1].fluxes[CATION, "right"] == pytest.approx(-currents[-1], rel=1e-10)
    assert_second_order(currents, -exact.p[0], 1e-5)
    assert_second_order(potentials, exact.sol(0.5)[2], 1e-5)


def test_electroneutral_limit() -> None:
    """Fast electrodes at whose references there is no double layer: J = 4 D c j with c(0), c(1) = (1 -+ j) c; the limiting current is 4 D c.

    c is linear and phi = ln c, which holds the anion (Levich, Physicochemical Hydrodynamics, 1962). What is left is the field's own charge,
    -eps phi'', and of the order of eps.
    """
    j, mean = 0.6, 0.25
    ends = {"left": (1 - j) * mean, "right": (1 + j) * mean}
    boundary = {
        side: Boundary(potential=np.log(c), butler_volmer={CATION: kinetics(equilibrium_potential=0.0, reference=c, exchange_current=1e6)})
        for side, c in ends.items()
    }
    initial = f"{mean}*(1 + {j}*(2*x - 1))"
    errors = []
    for eps in (4e-5, 1e-5):
        problem = Salt(eps).problem(boundary, Time(end=60.0, step=10.0, scheme="backward-euler"), 256, initial=(initial, initial))
        _, steps = run(problem)
        errors.append(steps[-1].fluxes[CATION, "left"] / (4 * mean * j) - 1)
    assert abs(errors[1]) < 2e-4
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


MEMBRANE = {
    "ideal": Salt(4e-3),
    "crowded": Salt(4e-3, v=(1.0, 2.7)),
}


@pytest.mark.parametrize("name", MEMBRANE)
def test_ions_through_a_membrane(name: str) -> None:
    """J_i.n = k_i (c_i - reference) at the left, where a potential is held; a reservoir at the right."""
    salt, k, outside, inside, drop = MEMBRANE[name], (0.7, 0.2), 0.05, (0.2, 0.2), 1.5

    def conditions(a: Array, b: Array, J: Array) -> list[float]:
        film = [-J_i - k_i * (c_i - outside) for J_i, k_i, c_i in zip(J, k, a[:2], strict=True)]
        return [*film, a[2] - drop, b[0] - inside[0], b[1] - inside[1], b[2], a[4]]

    exact = steady_cell(salt, conditions, [0.15, 0.15, drop / 2, 0.0, 0.0], [-0.05, -0.02])
    exchange = {ion: Exchange(coefficient=k_i, reference=outside) for ion, k_i in zip(NAMES, k, strict=True)}
    boundary = {
        "left": Boundary(potential=drop, exchange=exchange),
        "right": Boundary(potential=0.0, concentration=dict(zip(NAMES, inside, strict=True))),
    }
    found = []
    for cells in (64, 128, 256):
        system, (*_, last) = run(salt.problem(boundary, STEADY, cells))
        found.append([last.fluxes[ion, "left"] for ion in NAMES])
        assert_balanced(system, [last])
        current = [sum(z * last.fluxes[ion, side] for z, ion in zip(Z, NAMES, strict=True)) for side in ("left", "right")]
        assert current[0] == pytest.approx(-current[1], rel=1e-10)
    for i in range(2):
        assert_second_order([values[i] for values in found], -exact.p[i], 1e-5)


def test_imposed_flux() -> None:
    """Cations are driven in at the left, where the wall has a charge; a reservoir at the right."""
    salt, J_in, sigma = Salt(4e-3, v=(1.0, 2.7)), 0.04, -0.05

    def conditions(a: Array, b: Array, J: Array) -> list[float]:
        return [J[0] - J_in, J[1], -salt.eps * a[3] - sigma, b[0] - 0.2, b[1] - 0.2, b[2], a[4]]

    exact = steady_cell(salt, conditions, [0.2, 0.2, 0.0, 0.0, 0.0], [J_in, 0.0])
    boundary = {
        "left": Boundary(surface_charge=sigma, flux={CATION: -J_in}),
        "right": Boundary(potential=0.0, concentration={CATION: 0.2, ANION: 0.2}),
    }
    phi, anion = [], []
    for cells in (64, 128, 256):
        system, steps = run(salt.problem(boundary, Time(end=600.0, step=100.0, scheme="backward-euler"), cells, initial=(0.2, 0.2)))
        assert_balanced(system, steps[-1:])
        assert steps[-1].fluxes[CATION, "right"] == pytest.approx(J_in, rel=1e-10)
        phi.append(value_at(system, 0.0, system.formulation.all_phi()[: system.formulation.vertices]))
        anion.append(value_at(system, 0.0, system.concentrations[:, 1]))
    assert_second_order(phi, exact.sol(0.0)[2], 2e-5)
    assert_second_order(anion, exact.sol(0.0)[1], 2e-5)


@pytest.mark.short
@pytest.mark.parametrize("field", [None, "0.7 + 2*x"], ids=["alone", "in an external field"])
def test_anions_react_as_cations_do(field: str | None) -> None:
    """The mirror image in the charge; an external potential moves the ions, and is no part of the affinity: at the reference all is at rest."""
    fluxes = {}
    for ion, V in (("K", 0.3), ("Cl", -0.3)):
        law = ButlerVolmer(exchange_current=0.5, reference=0.2)
        outer = [ExternalPotential(potential={"K": field, "Cl": field})] if field else []
        system = System(
            Problem(
                mesh=Mesh(shape="interval", size=1.0, cells=32),
                species=[Species(name="K", initial=0.2, charge=1), Species(name="Cl", initial=0.2, charge=-1)],
                free_energy=[LatticeGas(), Electrostatic(permittivity=0.01), *outer],
                mobility=VolumeExclusion(diffusivities={"K": 1.0, "Cl": 1.0}),
                boundary={
                    "left": Boundary(potential=0.0, butler_volmer={ion: law}),
                    "right": Boundary(potential=V, butler_volmer={ion: law}),
                },
                time=Time(end=20.0, steady=True),
            )
        )
        integrator = Integrator(system)
        assert integrator.start().charges.keys() == {"left", "right"}
        at_rest = system.outward_fluxes(1.0)[ion, "left"]
        assert at_rest == pytest.approx(0.0, abs=1e-12)  # the reference's composition at an electrode of the solution's potential
        *_, last = integrator.steps()
        fluxes[ion] = last.fluxes[ion, "left"]
    assert fluxes["K"] > 0
    assert fluxes["Cl"] == pytest.approx(fluxes["K"], rel=1e-6)
