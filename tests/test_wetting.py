"""A droplet on a wall comes to rest at the contact angle that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from fem_diffusion import Boundary, Constant, DoubleWell, Gradient, Mesh, Problem, Species, Time, Wetting
from fem_diffusion.integrator import Integrator
from fem_diffusion.system import System

A, B = 0.1, 0.9
RHO = 1.0
KAPPA = RHO * (B - A) ** 2 / 2  # so that delta = sqrt(2 kappa/rho)/(b-a), the length in the profile tanh(x/delta), is the unit of length
SIZE, CELLS = (18.0, 13.0), (36, 26)  # two cells per delta: 10 to 90 per cent of the interface are 2.2 delta, more than four cells


def half_disc(angle: float) -> System:
    """Half of a half disc, 8 delta in radius, on the bottom wall; the other half is its mirror image in the left side."""
    return System(
        Problem(
            mesh=Mesh(shape="rectangle", size=SIZE, cells=CELLS),
            species=[Species(name="liquid", initial=f"{(A + B) / 2} - {(B - A) / 2}*tanh(sqrt(x**2 + y**2) - 8)")],
            free_energy=[DoubleWell(rho=RHO, a=A, b=B), Gradient(kappa=KAPPA)],
            mobility=Constant(value=1.0),
            boundary={"bottom": Boundary(wetting=Wetting(contact_angle=f"{angle} deg"))},
            time=Time(end=1e7, tolerance=1e-2, steady=True),
        )
    )


def contour(system: System) -> np.ndarray:
    """Where c = (a+b)/2 crosses the mesh lines, (points, 2); artanh makes a profile tanh(x/delta) linear between vertices."""
    x, y = (np.concatenate(system.comm.allgather(axis)) for axis in system.formulation.x[:2])
    c = np.concatenate(system.comm.allgather(system.concentrations[:, 0]))
    order = np.lexsort((np.round(x, 9), np.round(y, 9)))
    x, y, c = (values[order].reshape(CELLS[1] + 1, CELLS[0] + 1) for values in (x, y, c))
    distance = np.arctanh(np.clip((2 * c - A - B) / (B - A), -0.999999, 0.999999))
    points = []
    for d, *place in ((distance, x, y), (distance.T, x.T, y.T)):
        first, second = d[:, :-1], d[:, 1:]
        crossed = first * second < 0
        weight = first[crossed] / (first - second)[crossed]
        points.append(np.column_stack([(1 - weight) * p[:, :-1][crossed] + weight * p[:, 1:][crossed] for p in place]))
    return np.vstack(points)


def contact_angle(points: np.ndarray) -> float:
    """In degrees, where the circle with its centre (0, h) that fits best meets y = 0: cos(theta) = -h/R.

    y = 0 is the wall for the interface too: g' is proportional to sqrt(f), so a straight interface at the angle theta is an exact solution up
    to the wall, without any layer.
    """
    x, y = points[points[:, 1] > 3].T  # three delta from the wall
    assert len(x) > 20
    twice_h, rest = np.linalg.lstsq(np.column_stack([y, np.ones_like(y)]), x**2 + y**2)[0]  # x^2 + y^2 = 2 h y + R^2 - h^2
    h = twice_h / 2
    radius = np.sqrt(rest + h**2)
    assert np.std(np.hypot(x, y - h)) < 0.02 * radius  # it is a circle
    return float(np.degrees(np.arccos(-h / radius)))


@pytest.mark.parametrize("angle", [60.0, pytest.param(90.0, marks=pytest.mark.short), pytest.param(120.0, marks=pytest.mark.serial)])
def test_equilibrium_contact_angle(angle: float) -> None:
    system = half_disc(angle)
    integrator = Integrator(system)
    mass = system.masses()[0]
    for _ in integrator.steps():
        pass
    assert integrator.steady
    assert system.masses()[0] == pytest.approx(mass, rel=1e-12)
    assert contact_angle(contour(system)) == pytest.approx(angle, abs=2.0)
