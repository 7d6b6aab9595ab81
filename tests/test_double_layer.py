"""Electric double layers at equilibrium: crowded and point-like ions, of equal and unequal sizes, against closed forms and local equations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from independent_charged import (
    Array,
    DoubleLayer,
    bikerman_capacitance,
    bikerman_charge,
    bikerman_crowding,
    crowded_donnan_potential,
    donnan_potential,
    gouy_chapman_charge,
    gouy_chapman_potential,
)

from fem_diffusion import Boundary, Ideal, LatticeGas, Mesh, Mobility, Problem, Species, Stirring, Time
from fem_diffusion.boundary import Stern
from fem_diffusion.free_energy import Electrostatic
from fem_diffusion.integrator import Integrator
from fem_diffusion.mobility import Fick, VolumeExclusion
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.system import System

DEBYE = 0.1  # Debye length of the cells below, whose length is one: of phi exp(-10) is left at the reservoir
STEADY = Time(end=1e3, steady=True)


def cell(layer: DoubleLayer, cells: int, left: Boundary, time: Time = STEADY, mobility: Mobility | None = None) -> Problem:
    """On (0, 1) from an electrode that no ion passes to a reservoir, which holds the layer's bulk at phi = 0."""
    names = [f"ion{i}" for i in range(len(layer.bulk))]
    diffusivities = {} if isinstance(mobility, Stirring) else {name: 1.0 + i for i, name in enumerate(names)}
    return Problem(
        mesh=Mesh(shape="interval", size=1.0, cells=cells),
        species=[
            Species(name=name, charge=z, size=v, initial=c, diffusivity=diffusivities.get(name))
            for name, z, v, c in zip(names, layer.z, layer.v, layer.bulk, strict=True)
        ],
        free_energy=[Ideal() if layer.point_like else LatticeGas(), Electrostatic(permittivity=layer.lam2)],
        mobility=mobility or (Fick() if layer.point_like else VolumeExclusion()),
        boundary={"left": left, "right": Boundary(potential=0.0, concentration=dict(zip(names, layer.bulk, strict=True)))},
        time=time,
    )


def symmetric(nu: float) -> DoubleLayer:
    return DoubleLayer((nu / 2, nu / 2), nu * DEBYE**2)


def steady(problem: Problem) -> tuple[System, float]:
    """The steady state, and the charge of the electrode."""
    system = System(problem)
    *_, last = Integrator(system).steps()
    return system, last.charges["left"]


def errors(system: System, layer: DoubleLayer, V: float) -> tuple[float, float]:
    """Largest errors of phi and of the fractions (c_0 too)."""
    formulation = system.formulation
    x = formulation.x[0]
    phi = layer.potential(np.linspace(0, 1, 2001), V)
    exact = np.interp(x, np.linspace(0, 1, 2001), phi) if x.size else x
    n = system.n + (not layer.point_like)
    c = np.array([layer.concentrations(p)[:n] for p in exact]).reshape(-1, n)
    mine = formulation.components[:, :n] if not layer.point_like else formulation.concentrations
    return (
        global_max(system.comm, np.abs(formulation.all_phi()[: formulation.vertices] - exact)),
        global_max(system.comm, np.abs(mine - c)),
    )


def spread(system: System) -> float:
    """The largest difference of a species' electrochemical potential between two places."""
    w = system.potentials()
    return max(global_max(system.comm, column) - global_min(system.comm, column) for column in w.T)


# --- the references, against numbers that were computed apart from this project and against each other


@pytest.mark.serial
def test_closed_forms_of_bikerman_and_freise() -> None:
    values = {(0.1, 1): 1.0838388789, (0.1, 2): 1.2867155312, (0.1, 5): 1.3699014527, (0.1, 10): 0.8441576263, (0.1, 20): 0.5422580631}
    values |= {(0.5, 1): 0.9428429625, (0.5, 5): 0.5180425888}
    for (nu, V), capacitance in values.items():
        layer = DoubleLayer((nu / 2, nu / 2), 0.01)
        assert bikerman_capacitance(nu, V) == pytest.approx(capacitance, abs=1e-10)
        assert layer.capacitance(V) == pytest.approx(capacitance * np.sqrt(0.01 * nu), rel=1e-9)
        assert layer.charge(V) == pytest.approx(bikerman_charge(nu, V, 0.01), rel=1e-12)
        assert layer.concentrations(V)[-1] == pytest.approx((1 - nu) / bikerman_crowding(nu, V), rel=1e-12)
    wall = DoubleLayer((0.05, 0.05), 0.01)
    places = [0.054770798085, 0.128462522274, 0.240209874477, 0.447270556206, 0.663117127933]
    assert [wall.distance(5.0, phi) for phi in (4.0, 3.0, 2.0, 1.0, 0.5)] == pytest.approx(places, abs=1e-11)
    assert wall.potential(np.array(places), 5.0) == pytest.approx([4.0, 3.0, 2.0, 1.0, 0.5], abs=1e-9)
    assert [wall.concentrations(V)[1] for V in (5.0, 10.0)] == pytest.approx([0.891799368548, 0.999183466475], abs=1e-12)


@pytest.mark.serial
def test_point_like_limit_and_donnan() -> None:
    x = np.array([0.02, 0.1, 0.4])
    point = DoubleLayer((0.1, 0.1), 0.01, point_like=True)
    assert point.charge(3.0) == pytest.approx(gouy_chapman_charge(0.1, 3.0, 0.01), rel=1e-12)
    assert point.potential(x, 3.0) == pytest.approx(gouy_chapman_potential(x, 3.0, 0.1, 0.01), rel=1e-8)
    assert bikerman_charge(1e-8, 4.0, 0.01) == pytest.approx(gouy_chapman_charge(0.5e-8, 4.0, 0.01), rel=1e-6)
    assert point.inside_fixed_charge(-0.3) == pytest.approx(donnan_potential(-0.3, 0.1), abs=1e-12)
    assert DoubleLayer((0.1, 0.1), 0.01).inside_fixed_charge(-0.3) == pytest.approx(crowded_donnan_potential(-0.3, 0.1), abs=1e-12)


@pytest.mark.serial
def test_local_equations_of_unequal_ions() -> None:
    """Two ways to the column of ions beside the wall: dq/dV from the composition there, and by differences of the first integral."""
    layer = DoubleLayer((0.03, 0.06), 0.01, z=(2.0, -1.0), v=(3.0, 1.5))
    for V in (-6.0, -1.0, 2.0, 8.0):
        c = layer.concentrations(V)
        assert np.array([*layer.v, 1.0]) @ c == pytest.approx(1.0, abs=1e-13)
        assert layer.capacitance(V) == pytest.approx((layer.charge(V + 1e-4) - layer.charge(V - 1e-4)) / 2e-4, rel=1e-6)
    almost_equal = replace(symmetric(0.1), v=(1.0, 1.0 + 1e-9))
    assert almost_equal.charge(5.0) == pytest.approx(symmetric(0.1).charge(5.0), rel=1e-8)


# --- equilibrium


@pytest.mark.parametrize("mobility", [VolumeExclusion(), Fick(), Stirring(diffusivity=1.0)], ids=["B", "C", "A"])
def test_saturated_layer_on_a_coarse_mesh(mobility: Mobility) -> None:
    """25 thermal volts on 64 equal cells, of 1.6 Debye lengths each: c_0 = .6/(1 + .8 sinh^2 12.5) at the wall, and uniform w."""
    layer = DoubleLayer((0.2, 0.2), 1e-4 * 0.4)
    system, _ = steady(cell(layer, 64, Boundary(potential=-25.0), mobility=mobility))
    c = system.formulation.components
    assert global_min(system.comm, c) > 0
    assert global_min(system.comm, c[:, -1]) == pytest.approx(0.6 / bikerman_crowding(0.4, 25.0), rel=1e-6)
    assert global_min(system.comm, c[:, -1]) == pytest.approx(4.2e-11, rel=2e-2)
    assert spread(system) <= 1e-12


RAMP = 0.25  # potential of the electrode at each further step of the slow sweep


@cache
def charge_curve(nu: float) -> tuple[Array, Array, dict[float, tuple[float, float]]]:
    """Potentials from 0 to -20, the electrode's charges, and the profile's errors at 5 and 20: a sweep of 1e4 diffusion times per step."""
    layer, dt = symmetric(nu), 1e4
    time = Time(end=80 * dt, step=dt, scheme="backward-euler")
    system = System(cell(layer, 800, Boundary(potential=f"{-RAMP / dt!r}*t"), time))
    V, q, profile = [0.0], [0.0], {}
    for step in Integrator(system).steps():
        V.append(-RAMP * step.time / dt)
        q.append(step.charges["left"])
        if V[-1] in (-5.0, -20.0):
            profile[-V[-1]] = errors(system, layer, V[-1])
    return np.array(V), np.array(q), profile


@pytest.mark.parametrize("nu", [0.01, 0.1, 0.5])
def test_bikerman_layer(nu: float) -> None:
    """Charge, differential capacitance (five-point differences of the charges) and profile within .1, .2 and .5 % up to 20 thermal volts."""
    V, q, profile = charge_curve(nu)
    assert np.abs(V + RAMP * np.arange(81)).max() < 1e-9
    assert q[1:] == pytest.approx([bikerman_charge(nu, v, nu * DEBYE**2) for v in V[1:]], rel=1e-3)
    C = (q[:-4] - 8 * q[1:-3] + 8 * q[3:-1] - q[4:]) / (-12 * RAMP)
    debye = nu * DEBYE  # sqrt(nu lam2)
    assert C / debye == pytest.approx([bikerman_capacitance(nu, v) for v in V[2:-2]], rel=2e-3)
    for voltage, (of_phi, of_c) in profile.items():
        assert of_phi < 5e-3 * voltage
        assert of_c < 5e-3


def test_gouy_chapman_layer() -> None:
    """Point-like ions: Grahame's charge, Gouy's profile, and Boltzmann's concentration at the wall."""
    c, V = 0.05, 4.0
    layer = replace(symmetric(2 * c), point_like=True)
    system, charge = steady(cell(layer, 800, Boundary(potential=V)))
    assert charge == pytest.approx(gouy_chapman_charge(c, V, layer.lam2), rel=1e-3)
    x = system.formulation.x[0]
    phi = system.formulation.all_phi()[: system.formulation.vertices]
    assert global_max(system.comm, np.abs(phi - gouy_chapman_potential(x, V, c, layer.lam2))) < 1e-3 * V
    assert global_max(system.comm, system.concentrations[:, 1]) == pytest.approx(c * np.exp(V), rel=1e-9)


@pytest.mark.parametrize("mobility", [VolumeExclusion(), Fick()], ids=["B", "C"])
@pytest.mark.parametrize("V", [-8.0, 6.0])
def test_layer_of_unequal_ions(V: float, mobility: Mobility) -> None:
    """Large divalent cations or anions of one and a half sites saturate the wall, each at its own density 1/v_i."""
    layer = DoubleLayer((0.03, 0.06), 0.18 * DEBYE**2, z=(2.0, -1.0), v=(3.0, 1.5))
    system, charge = steady(cell(layer, 400, Boundary(potential=V), mobility=mobility))
    assert charge == pytest.approx(layer.charge(V), rel=1e-3)
    of_phi, of_c = errors(system, layer, V)
    assert of_phi < 5e-3 * abs(V)
    assert of_c < 5e-3
    counter = 0 if V < 0 else 1
    assert global_max(system.comm, system.concentrations[:, counter]) == pytest.approx(layer.concentrations(V)[counter], rel=1e-9)
    assert spread(system) <= 1e-11


def test_sizes_of_one_are_equal_sizes() -> None:
    """Sizes that differ from one by 1e-10 take the general way through the equations, and change nothing else."""
    equal, general = symmetric(0.2), replace(symmetric(0.2), v=(1.0, 1.0 + 1e-10))
    systems = [steady(cell(layer, 64, Boundary(potential=-10.0)))[0] for layer in (equal, general)]
    assert not systems[0].model.sizes and systems[1].model.sizes
    difference = systems[0].formulation.components - systems[1].formulation.components
    assert global_max(systems[0].comm, np.abs(difference)) < 1e-8


@pytest.mark.parametrize("point_like", [False, True])
def test_stern_layer_in_series(point_like: bool) -> None:
    """C_S (V - phi) = q(phi): Stern's capacitor before Gouy and Chapman's, or Bikerman's layer."""
    layer = replace(symmetric(0.2), point_like=point_like)
    stern = Stern(thickness=0.02, permittivity=layer.lam2 / 2)
    V, capacitance = -6.0, layer.lam2 / 2 / 0.02
    system, charge = steady(cell(layer, 400, Boundary(potential=V, stern=stern)))
    phi = layer.behind_stern(V, capacitance)
    assert -5.0 < phi < -1.0  # both take a good part of it
    assert global_min(system.comm, system.formulation.all_phi()) == pytest.approx(phi, rel=1e-3)
    assert charge == pytest.approx(layer.charge(phi), rel=1e-3)
    assert charge == pytest.approx(-system.charge(), rel=1e-3)  # what is missing crosses to the reservoir's end: exp(-10)


def test_donnan_potential_inside_a_fixed_charge() -> None:
    """An ion exchanger on (.4, 1) beside a reservoir: far from its edge potential and ions are Donnan's, crowded and point-like."""
    c, X = 0.1, -0.3
    for layer, exact in ((symmetric(2 * c), crowded_donnan_potential), (replace(symmetric(2 * c), point_like=True), donnan_potential)):
        layer = replace(layer, lam2=1e-4)
        problem = cell(layer, 400, Boundary(potential=0.0, concentration={"ion0": c, "ion1": c}))
        exchanger = Electrostatic(permittivity=1e-4, fixed_charge=f"where(x > 0.4, {X}, 0.0)")
        problem = problem.model_copy(
            update={"free_energy": (problem.free_energy[0], exchanger), "boundary": {"left": problem.boundary["left"]}}
        )
        system, _ = steady(problem)
        inside = system.formulation.x[0] > 0.7
        potential = global_sum(system.comm, float(system.volume[inside] @ system.formulation.all_phi()[: len(inside)][inside]))
        potential /= global_sum(system.comm, float(system.volume[inside].sum()))
        assert potential == pytest.approx(exact(X, c), rel=1e-6)
        co_ion = global_min(system.comm, system.concentrations[:, 1])
        assert co_ion == pytest.approx(layer.concentrations(exact(X, c))[1], rel=1e-5)
