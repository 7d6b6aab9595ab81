"""Cells of ions in two dimensions: mass, charge and energy in every step."""

from __future__ import annotations

import numpy as np
import pytest
from test_electrodes import ANION, CATION, NAMES, Salt, assert_balanced

from fem_diffusion import Boundary, Exchange, Mesh, Time
from fem_diffusion.boundary import Stern
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

PLATE = Mesh(shape="rectangle", size=[1.0, 0.7], cells=[8, 6])
SURROUNDED = {
    "left": Boundary(potential="2*y"),
    "top": Boundary(surface_charge="0.1*sin(3*x)"),
    "bottom": Boundary(potential=-1.0, stern=Stern(thickness=0.1, permittivity=0.02)),
}
ROUGH = ("where(x + y < 0.8, 0.3, 0.05)", "where(x < 0.6, 0.02, 0.2)")


@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_isolated_cell(scheme: str) -> None:
    """No matter passes: masses stay, charges balance, the energy falls in every step, whose potential energy at electrodes counts."""
    salt = Salt(0.02, v=(1.0, 2.7))
    system = System(salt.problem(SURROUNDED, Time(end=2.0, step=0.05, scheme=scheme), PLATE, initial=ROUGH))
    integrator = Integrator(system)
    assert system.isolated
    mass, energies, dissipation = system.masses(), [integrator.energy], []
    for step in integrator.steps():
        assert np.abs(system.masses() / mass - 1).max() <= 1e-13
        components = system.formulation.components
        assert components.min() > 0
        assert_balanced(system, [step])
        energies.append(step.energy)
        dissipation.append(step.dissipation)
    falls = -np.diff(energies)
    assert integrator.rejections.total == 0
    assert len(falls) == 40
    assert falls.min() >= -1e-13 * abs(energies[0])
    assert falls[0] > 1e-2 * abs(energies[0])
    assert min(dissipation) >= 0
    if scheme == "backward-euler":
        assert np.all(falls >= 0.05 * np.array(dissipation) * (1 - 1e-9) - 1e-13)  # what convexity gives it


def test_open_cell_balances_in_every_step() -> None:
    """What flows through the named boundaries is what the masses lose, and the charge on all of them what the ions lack; T and V vary in time."""
    salt = Salt(0.02, v=(1.0, 2.7))
    exchange = {CATION: Exchange(coefficient=0.3, reference=0.1)}
    boundary = SURROUNDED | {
        "left": Boundary(potential="2*y*sin(5*t)", exchange=exchange),
        "right": Boundary(potential=0.0, concentration={CATION: 0.1, ANION: 0.1}),
    }
    system = System(salt.problem(boundary, Time(end=1.0, step=0.05, scheme="bdf2"), PLATE, initial=ROUGH, temperature="1 + 0.3*sin(2*t)"))
    integrator = Integrator(system)
    mass = system.masses()
    for step in integrator.steps():
        through = np.array([sum(step.fluxes[ion, side] for side in boundary) for ion in NAMES])
        assert np.abs(system.masses() - mass + step.dt * through).max() <= 1e-13
        assert_balanced(system, [step])
        mass = system.masses()
    assert integrator.rejections.total == 0
