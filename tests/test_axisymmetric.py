"""Axisymmetric (r, z) domains: integrals over the solid of revolution, and problems with cylindrical solutions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem, la
from mpi4py import MPI

from fem_diffusion import Problem
from fem_diffusion.diagnostics import Columns
from fem_diffusion.errors import InputError
from fem_diffusion.formulation import VERTEX_RULE
from fem_diffusion.integrator import Integrator
from fem_diffusion.mesh import Geometry, Mesh, build
from fem_diffusion.run import steps
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
HERE = Path(".")


def geometry(**table: Any) -> Geometry:
    return build(Mesh(axisymmetric=True, **table), HERE, COMM)


def total(form: ufl.Form) -> float:
    return float(COMM.allreduce(fem.assemble_scalar(fem.form(form))))


def vector(g: Geometry, metadata: dict[str, Any]) -> np.ndarray:
    """int phi_i at the owned vertices."""
    space = fem.functionspace(g.mesh, ("Lagrange", 1))
    b = fem.assemble_vector(fem.form(ufl.TestFunction(space) * g.dx(metadata)))
    b.scatter_reverse(la.InsertMode.add)
    return b.array[: space.dofmap.index_map.size_local]


def finished(**table: Any) -> tuple[System, dict[str, float]]:
    """A problem at its end, and its last row of history.csv."""
    system = System(Problem(**table))
    columns = Columns(system)
    for step in steps(Integrator(system)):
        last = step
    return system, columns.row(last)


def relative_error(system: System, values: np.ndarray, exact: np.ndarray) -> float:
    """L2, by the vertex rule."""
    sums = COMM.allreduce(np.array([system.volume @ (values - exact) ** 2, system.volume @ exact**2]))
    return float(np.sqrt(sums[0] / sums[1]))


# --- integrals


@pytest.mark.parametrize("cell_type", ["simplex", "tensor"])
def test_integrals_of_polynomials(cell_type: str) -> None:
    R, H = 2.0, 3.0
    g = geometry(shape="rectangle", size=[R, H], cells=[3, 4], cell_type=cell_type)
    x = ufl.SpatialCoordinate(g.mesh)
    assert g.volume_dimension == 3
    for (i, j), degree in {(0, 0): 0, (1, 0): 1, (0, 2): 2, (2, 1): 3}.items():
        exact = 2 * math.pi * R ** (i + 2) / (i + 2) * H ** (j + 1) / (j + 1)
        assert total(x[0] ** i * x[1] ** j * g.dx({"quadrature_degree": degree})) == pytest.approx(exact, rel=1e-13)
    areas = {"left": 0.0, "right": 2 * math.pi * R * H, "bottom": math.pi * R**2, "top": math.pi * R**2}
    for name, area in areas.items():
        for metadata in ({"quadrature_degree": 0}, VERTEX_RULE):
            assert total(fem.Constant(g.mesh, 1.0) * g.on(name, metadata)) == pytest.approx(area, rel=1e-13, abs=1e-14)


@pytest.mark.short
@pytest.mark.parametrize("cell_type", ["simplex", "tensor"])
def test_the_axis_has_volume(cell_type: str) -> None:
    """The vertex rule gives each vertex exactly int phi_i 2 pi r dx: on the axis too, where r is zero."""
    g = geometry(shape="rectangle", size=[1.0, 1.0], cells=[5, 3], cell_type=cell_type)
    lumped, exact = vector(g, VERTEX_RULE), vector(g, {"quadrature_degree": 4})
    assert lumped == pytest.approx(exact, rel=1e-12)
    assert COMM.allreduce(lumped.min(initial=1.0), op=MPI.MIN) > 0


def test_what_is_no_half_plane() -> None:
    with pytest.raises(InputError, match=r"r >= 0 from the axis, and the mesh reaches to x = -0.5"):
        geometry(shape="rectangle", size=1, origin=[-0.5, 0], cells=2)
    with pytest.raises(InputError, match="needs a mesh of dimension 2.* has dimension 1"):
        geometry(shape="interval", size=1, cells=2)
    with pytest.raises(InputError, match="only y"):
        geometry(shape="rectangle", size=1, cells=4, periodic="x")


# --- diffusion


@pytest.mark.parametrize(("cell_type", "formulation"), [("simplex", "entropy"), ("simplex", "fractions"), ("tensor", "entropy")])
def test_manufactured_solution(cell_type: str, formulation: str) -> None:
    """c = 1/2 + cos(pi z) (1 - r^2)^2/5 where J = -grad c, R = -(1/r d/dr r dc/dr + d2c/dz2) and nothing passes the ends: order 2 in L2."""
    source = "0.2*cos(pi*y)*(pi**2*(1 - x**2)**2 + 8 - 16*x**2)"  # 1/r d/dr (r d/dr (1 - r^2)^2) = 16 r^2 - 8
    errors = []
    for n in (8, 16):
        system, _ = finished(
            mesh={"shape": "rectangle", "size": 1, "cells": n, "cell_type": cell_type, "axisymmetric": True},
            species=[{"name": "A", "initial": "0.5 + 0.2*cos(pi*y)*(1 - x**2)**2", "source": source, "diffusivity": 1}],
            free_energy=[{"kind": "Ideal"}],
            mobility={"kind": "Fick"},
            boundary={"right": {"concentration": {"A": 0.5}}},
            formulation=formulation,
            time={"end": 100, "steady": True},
        )
        r, z = system.formulation.x[:2]
        errors.append(relative_error(system, system.concentrations[:, 0], 0.5 + 0.2 * np.cos(np.pi * z) * (1 - r**2) ** 2))
    assert errors[-1] < 2e-3
    assert math.log2(errors[0] / errors[1]) > 1.9


def test_flux_between_cylinders() -> None:
    """J.n over the surface r = 2 is 2 pi H (c(1) - c(2))/ln 2, and the same leaves through r = 1."""
    H, errors = 0.5, []
    for n in (8, 16):
        _, row = finished(
            mesh={"shape": "rectangle", "size": [1, H], "origin": [1, 0], "cells": [n, 2], "axisymmetric": True},
            species=[{"name": "A", "initial": 0.4, "diffusivity": 1}],
            free_energy=[{"kind": "Ideal"}],
            mobility={"kind": "Fick"},
            boundary={"left": {"concentration": {"A": 0.6}}, "right": {"concentration": {"A": 0.2}}},
            time={"end": 100, "steady": True},
        )
        exact = 2 * math.pi * H * 0.4 / math.log(2)
        assert row["flux_A_left"] == pytest.approx(-row["flux_A_right"], rel=1e-7)
        errors.append(abs(row["flux_A_right"] / exact - 1))
    assert errors[-1] < 1e-3
    assert math.log2(errors[0] / errors[1]) > 1.9


# --- charges


def test_counterions_in_a_charged_cylinder() -> None:
    """One kind of ions, of mean m, in a cylinder of radius 1 that carries their counter charge. Poisson and Boltzmann are solved by

        phi - phi(1) = 2 ln((1 - b r^2)/(1 - b)),     c = 8 b eps/(1 - b r^2)^2,     b = s/(1 + s),   s = m/(8 eps)

    since 1/r d/dr (r dphi/dr) = -8 b/(1 - b r^2)^2. Here the potential at the axis is 2 ln(1 + s) = 3.6 and c rises 36-fold.
    """
    m, eps, H, V = 0.2, 0.005, 0.25, 0.7
    s = m / (8 * eps)
    b = s / (1 + s)
    errors = []
    for n in (20, 40):
        system, row = finished(
            mesh={
                "shape": "rectangle",
                "size": [1, H],
                "cells": [n, 1],
                "cell_type": "tensor",
                "axisymmetric": True,
                "finest": {"right": 0.2 / n},
            },
            species=[{"name": "Na", "charge": 1, "initial": m, "diffusivity": 1}],
            free_energy=[{"kind": "Ideal"}, {"kind": "Electrostatic", "permittivity": eps}],
            mobility={"kind": "Fick"},
            boundary={"right": {"potential": V}},
            time={"end": 100, "steady": True},
        )
        r, vertices = system.formulation.x[0], system.formulation.vertices
        phi = V + 2 * np.log((1 - b * r**2) / (1 - b))
        c = 8 * b * eps / (1 - b * r**2) ** 2
        found = {"phi": (system.formulation.all_phi()[:vertices], phi), "c": (system.concentrations[:, 0], c)}
        errors.append([relative_error(system, *pair) for pair in found.values()])
        assert row["mass_Na"] == pytest.approx(m * math.pi * H, rel=1e-12)
        assert row["charge"] == pytest.approx(m * math.pi * H, rel=1e-12)
        assert row["charge_right"] == pytest.approx(-m * math.pi * H, rel=1e-9)
    assert max(errors[1]) < 5e-3
    assert (np.log2(np.divide(*errors)) > 1.9).all()


def test_surface_charge_of_a_wire() -> None:
    """Outside a wire of radius 1 that carries sigma, at no mean charge of ions far below the Debye length: phi(1) - phi(2) = sigma ln 2/eps."""
    eps, sigma = 3.0, 0.02
    system, row = finished(
        mesh={"shape": "rectangle", "size": [1, 0.1], "origin": [1, 0], "cells": [96, 1], "axisymmetric": True},
        species=[{"name": name, "charge": z, "initial": 1e-9, "diffusivity": 1} for name, z in (("Na", 1), ("Cl", -1))],
        free_energy=[{"kind": "Ideal"}, {"kind": "Electrostatic", "permittivity": eps}],
        mobility={"kind": "Fick"},
        boundary={"left": {"surface_charge": sigma}, "right": {"potential": 0}},
        time={"end": 1e-3, "step": 1e-3},
    )
    r = system.formulation.x[0]
    phi = system.formulation.all_phi()[: system.formulation.vertices]
    assert phi == pytest.approx(sigma / eps * np.log(2 / r), abs=1e-4 * sigma / eps)
    assert row["charge_left"] == pytest.approx(sigma * 2 * math.pi * 0.1, rel=1e-12)
    assert row["charge_right"] == pytest.approx(-sigma * 2 * math.pi * 0.1, rel=1e-7)
