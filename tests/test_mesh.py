"""Meshes: measures of named parts, periodic topology, files, errors; the same on any number of ranks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem_diffusion import compat
from fem_diffusion.errors import InputError
from fem_diffusion.mesh import Geometry, Mesh, build, statistics

COMM = MPI.COMM_WORLD
MESHES = Path(__file__).parent.parent / "meshes"


def geometry(folder: Path = MESHES, scale: float = 1.0, **table: Any) -> Geometry:
    return build(Mesh(**table), folder, COMM, scale)


def from_geo(folder: Path, source: str, **table: Any) -> Geometry:
    if COMM.rank == 0:
        (folder / "source.geo").write_text(f'SetFactory("OpenCASCADE");\n{source}\n')
    COMM.barrier()
    return geometry(folder, file="source.geo", **table)


def total(form: ufl.Form) -> float:
    return COMM.allreduce(fem.assemble_scalar(fem.form(form)))


def volume(g: Geometry, region: str | None = None) -> float:
    dx = ufl.Measure("dx", g.mesh, subdomain_data=g.cell_tags)
    return total(fem.Constant(g.mesh, 1.0) * (dx(g.regions[region]) if region else dx))


def area(g: Geometry, boundary: str | None = None) -> float:
    """Of the named boundary, outer or inner; without a name of the whole outer boundary."""
    one = fem.Constant(g.mesh, 1.0)
    ds, dS = (ufl.Measure(kind, g.mesh, subdomain_data=g.facet_tags) for kind in ("ds", "dS"))
    return total(one * ds(g.boundaries[boundary]) + one * dS(g.boundaries[boundary])) if boundary else total(one * ds)


def dofs(g: Geometry, degree: int) -> int:
    return fem.functionspace(g.mesh, ("Lagrange", degree)).dofmap.index_map.size_global


def wave(g: Geometry, degree: int) -> tuple[float, float]:
    """Integrals of u^2 and |grad u|^2 for the interpolant of a function with period 1 in all directions."""
    u = fem.Function(fem.functionspace(g.mesh, ("Lagrange", degree)))
    u.interpolate(lambda x: np.sin(2 * np.pi * x[: g.dimension]).sum(axis=0) + np.cos(2 * np.pi * x[0]))
    return total(u**2 * ufl.dx), total(ufl.inner(ufl.grad(u), ufl.grad(u)) * ufl.dx)


# --- shapes


@pytest.mark.parametrize("cell_type", ["simplex", "tensor"])
@pytest.mark.parametrize(
    ("shape", "size", "areas"),
    [
        ("interval", [2], {"left": 1, "right": 1}),
        ("rectangle", [2, 3], {"left": 3, "right": 3, "bottom": 2, "top": 2}),
        ("box", [2, 3, 5], {"left": 15, "right": 15, "bottom": 10, "top": 10, "back": 6, "front": 6}),
    ],
)
def test_sides_of_a_shape(shape: str, size: list[float], areas: dict[str, float], cell_type: str) -> None:
    g = geometry(shape=shape, size=size, cells=3, cell_type=cell_type)
    assert {name: area(g, name) for name in g.boundaries} == pytest.approx(areas)
    assert volume(g) == pytest.approx(math.prod(size))
    assert area(g) == pytest.approx(sum(areas.values()))


def test_which_side_is_which() -> None:
    g = geometry(shape="box", size=1, origin=[5, 6, 7], cells=2)
    x, ds = ufl.SpatialCoordinate(g.mesh), ufl.Measure("ds", g.mesh, subdomain_data=g.facet_tags)
    at = {"left": (0, 5), "right": (0, 6), "bottom": (1, 6), "top": (1, 7), "back": (2, 7), "front": (2, 8)}
    assert {name: total(x[axis] * ds(g.boundaries[name])) for name, (axis, _) in at.items()} == pytest.approx(
        {name: v for name, (_, v) in at.items()}
    )


def test_lengths_are_divided_by_the_scale() -> None:
    g = geometry(shape="rectangle", size=["20 nm", "1e-8 m"], origin=["-10 nm", 0], cells=4, scale=1e-8)
    assert volume(g) == pytest.approx(2)
    assert g.lower == pytest.approx([-1, 0, 0])


def test_statistics() -> None:
    expected = {"dimension": 2, "cell": "quadrilateral", "cells": 20, "vertices": 30, "h_min": 0.5, "h_mean": 0.5, "h_max": 0.5}
    assert statistics(geometry(shape="rectangle", size=[1.2, 2.0], cells=[4, 5], cell_type="tensor")) == pytest.approx(expected)


# --- graded shapes


@pytest.mark.parametrize("finest", [{"left": 0.01}, {"right": 0.01}, {"left": 0.01, "right": 0.03}, {"left": 0.125}])
def test_graded_interval(finest: dict[str, float]) -> None:
    """The first cells have the sizes given, neighbours the same ratio q except where growth from the two ends meets, and all fill the side."""
    n, L = 24, 3.0
    g = geometry(shape="interval", size=L, origin=[-1], cells=n, finest=finest)
    x = np.unique(np.concatenate(COMM.allgather(np.round(g.mesh.geometry.x[:, 0], 14))))
    h = np.diff(x)
    assert (len(h), x[0], x[-1]) == (n, -1.0, L - 1)
    assert {name: h[{"left": 0, "right": -1}[name]] for name in finest} == pytest.approx(finest, rel=1e-9)
    growth = np.abs(np.diff(np.log(h)))
    q = growth.max()
    assert growth[growth < (1 - 1e-6) * q].size <= (2 if len(finest) > 1 else 0) or q < 1e-9
    if finest == {"left": 0.01}:  # h (q^n - 1)/(q - 1) = L
        assert 0.01 * np.expm1(n * q) / np.expm1(q) == pytest.approx(L, rel=1e-9)
    assert {name: area(g, name) for name in g.boundaries} == pytest.approx({"left": 1, "right": 1})


@pytest.mark.parametrize("cell_type", ["simplex", "tensor"])
def test_graded_box(cell_type: str) -> None:
    g = geometry(shape="box", size=["2 nm", "3 nm", "5 nm"], cells=[6, 3, 5], cell_type=cell_type, scale=1e-9, finest={"front": "0.2 nm"})
    assert volume(g) == pytest.approx(30)
    assert area(g, "front") == pytest.approx(6)
    z = np.unique(np.concatenate(COMM.allgather(np.round(g.mesh.geometry.x[:, 2], 12))))
    assert z[-1] - z[-2] == pytest.approx(0.2)


# --- periodic shapes


@pytest.mark.parametrize(("cell_type", "n"), [("simplex", 3), ("simplex", 6), ("tensor", 3), ("tensor", 6)])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_fully_periodic(dimension: int, cell_type: str, n: int) -> None:
    shape = ("interval", "rectangle", "box")[dimension - 1]
    box = geometry(shape=shape, size=1, cells=n, cell_type=cell_type)
    torus = geometry(shape=shape, size=1, cells=n, cell_type=cell_type, periodic=["x", "y", "z"][:dimension])
    assert (area(torus), torus.boundaries) == (0, {})
    assert (dofs(torus, 1), dofs(torus, 2)) == (n**dimension, (2 * n) ** dimension)
    assert volume(torus) == pytest.approx(1)
    assert statistics(torus) == pytest.approx(statistics(box) | {"vertices": n**dimension})
    for degree in (1, 2):  # the interpolant of a periodic function does not know whether the mesh is periodic
        assert wave(torus, degree) == pytest.approx(wave(box, degree))


def test_smooth_integral_on_a_torus() -> None:
    g = geometry(shape="rectangle", size=1, cells=8, periodic=["x", "y"])
    x = ufl.SpatialCoordinate(g.mesh)
    assert total(ufl.sin(2 * ufl.pi * x[0]) ** 2 * x[1] * ufl.dx(degree=10)) == pytest.approx(0.25, rel=1e-9)


def test_other_sides_of_a_periodic_box_keep_their_names() -> None:
    g = geometry(shape="box", size=[1, 2, 3], origin=[-1, 0, 5], cells=[3, 2, 4], periodic=["x", "z"])
    assert {name: area(g, name) for name in g.boundaries} == pytest.approx({"bottom": 3, "top": 3})
    assert area(g) == pytest.approx(6)
    assert dofs(g, 1) == 3 * 3 * 4
    assert (g.lower.tolist(), g.period.tolist()) == ([-1, 0, 5], [1, 0, 3])


def test_wrapped_dofs_are_the_grid() -> None:
    """A dof at the seam lies at either end of the box, depending on the partition: wrapped it lies at the lower one."""
    n, lower, period = 6, 0.1, 0.7
    g = geometry(shape="rectangle", size=period, origin=[lower, lower], cells=n, periodic=["x", "y"])
    space = fem.functionspace(g.mesh, ("Lagrange", 1))
    owned = space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local]
    x = np.concatenate(COMM.allgather(g.wrap(owned.T).T[:, :2]))
    grid = lower + period / n * np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2)
    ordered = x[np.lexsort(np.round(x, 9).T)]
    assert ordered == pytest.approx(grid, abs=1e-12)


def test_wrap() -> None:
    g = geometry(shape="rectangle", size=[2, 1], origin=[-1, 0], cells=3, periodic="x")
    x = np.array([[-1, 1, 1 - 1e-12, 1 + 1e-12, -1 - 1e-12, 0.5, 2.5, -1.5], [1, 1, 1, 1, 1, 1, 1, 7], [0] * 8], dtype=float)
    wrapped = g.wrap(x)
    assert wrapped[0] == pytest.approx([-1, -1, -1, -1, -1, 0.5, 0.5, 0.5], abs=2e-12)
    assert wrapped[0].min() >= -1
    assert (wrapped[1:] == x[1:]).all()


# --- files


def polygon(g: Geometry, boundary: str, radius: float) -> tuple[float, float]:
    """Area and circumference of the regular polygon with as many sides as the boundary has facets."""
    owned = g.mesh.topology.index_map(g.dimension - 1).size_local
    n = COMM.allreduce(int((g.facet_tags.find(g.boundaries[boundary]) < owned).sum()))
    return 0.5 * n * radius**2 * math.sin(2 * math.pi / n), 2 * n * radius * math.sin(math.pi / n)


@pytest.mark.parametrize("periodic", [[], ["x"], ["x", "y"]])
def test_square_with_inclusion(periodic: list[str]) -> None:
    g = geometry(file="rectangle_periodic.geo", parameters={"r": 0.2}, periodic=periodic)
    inclusion, interface = polygon(g, "interface", 0.2)
    assert volume(g, "inclusion") == pytest.approx(inclusion, rel=1e-6)
    assert volume(g, "matrix") == pytest.approx(1 - inclusion, rel=1e-6)
    assert area(g, "interface") == pytest.approx(interface, rel=1e-6)
    outer = {"left": "x", "right": "x", "bottom": "y", "top": "y"}
    assert set(g.boundaries) == {"interface"} | {name for name, axis in outer.items() if axis not in periodic}
    assert area(g) == pytest.approx(4 - 2 * len(periodic))
    x = ufl.SpatialCoordinate(g.mesh)
    assert total(x[0] * x[1] * ufl.dx) == pytest.approx(0.25)


def test_parameters_of_one_file_do_not_reach_the_next() -> None:
    geometry(file="rectangle_periodic.geo", parameters={"r": 0.2, "h": 0.1})
    g = geometry(file="rectangle_periodic.geo")
    assert volume(g, "inclusion") == pytest.approx(polygon(g, "interface", 0.3)[0], rel=1e-6)


@pytest.mark.parametrize("periodic", [[], ["x"]])
def test_bar_with_inclusion(periodic: list[str]) -> None:
    g = geometry(file="bar_with_inclusion.geo", periodic=periodic)
    sides = {"left": 1, "right": 1, "bottom": 2, "top": 2, "back": 2, "front": 2}
    kept = {name: value for name, value in sides.items() if not (periodic and value == 1)}
    assert {name: area(g, name) for name in kept} == pytest.approx(kept)
    assert set(g.boundaries) == set(kept) | {"interface"}
    assert volume(g, "matrix") + volume(g, "inclusion") == pytest.approx(2)
    ball = 4 / 3 * math.pi * 0.3**3
    assert 0.85 * ball < volume(g, "inclusion") < ball
    assert statistics(g)["vertices"] < 2000


def test_plate_with_holes() -> None:
    g = geometry(file="plate_with_holes.geo")
    radii = [(19, 19), (16, 16), (9, 9), (11, 11), (6, 6), (7, 7), (5, 5), (5, 5), (24, 12), (17, 8)]
    assert volume(g, "plate") == pytest.approx(200 * 120 - (4 - math.pi) * 14**2 - sum(math.pi * a * b for a, b in radii), rel=2e-3)
    assert area(g, "outer") == pytest.approx(2 * (200 + 120) - (8 - 2 * math.pi) * 14, rel=2e-3)
    assert area(g, "outer") + area(g, "holes") == pytest.approx(area(g))
    assert 12_000 < statistics(g)["vertices"] < 18_000


def test_conical_pore() -> None:
    """Volume and areas of two cylinders and a frustum, and cells of the wanted size along the wall of the pore."""
    tip, base, length, reservoir, debye, cells = 4.0, 10.0, 20.0, 15.0, 1.0, 3
    parameters = {"tip": tip, "base": base, "length": length, "reservoir": reservoir, "debye": debye, "cells": cells}
    g = geometry(file="conical_pore.geo", parameters=parameters, axisymmetric=True)

    def integral(of: Any) -> float:
        return total(fem.Constant(g.mesh, 1.0) * of)

    frustum = math.pi * length / 3 * (tip**2 + tip * base + base**2)
    assert integral(g.dx({"quadrature_degree": 0})) == pytest.approx(2 * math.pi * reservoir**3 + frustum, rel=1e-12)
    areas = {
        "left": math.pi * reservoir**2,
        "right": math.pi * reservoir**2,
        "pore_wall": math.pi * (tip + base) * math.hypot(length, base - tip),
        "membrane_wall": math.pi * (2 * reservoir**2 - tip**2 - base**2),
        "axis": 0.0,
    }
    found = {name: integral(g.on(name, {"quadrature_degree": 0})) for name in g.boundaries}
    assert found == pytest.approx(areas, rel=1e-12, abs=1e-12)
    assert 0.5 * debye / cells < wall_size(g, math.hypot(length, base - tip)) < 1.2 * debye / cells


@pytest.mark.parametrize("membrane", [0, 1])
def test_membrane_slit(membrane: int) -> None:
    r, t, L, w = 2.0, 5.0, 6.0, 12.0
    parameters = {"radius": r, "thickness": t, "reservoir": L, "width": w, "debye": 1.0, "cells": 3, "membrane": membrane}
    g = geometry(file="membrane_slit.geo", parameters=parameters)
    volumes = {"solution": 2 * L * w + 2 * r * t} | ({"membrane": t * (w - 2 * r)} if membrane else {})
    assert {name: volume(g, name) for name in g.regions} == pytest.approx(volumes)
    areas = {"left": w, "right": w, "pore_wall": 2 * t, "membrane_wall": 2 * (w - 2 * r), "side": 4 * L}
    assert {name: area(g, name) for name in g.boundaries} == pytest.approx(areas | ({"membrane_side": 2 * t} if membrane else {}))
    assert 0.5 / 3 < wall_size(g, 2 * t) < 1.2 / 3


@pytest.mark.parametrize("membrane", [0, 1])
def test_membrane_pore(membrane: int) -> None:
    """A circle of twelve sides, half a radius long each, lacks 1.1 % of its circumference and 4.5 % of its area."""
    r, t, L, w = 2.0, 3.0, 3.0, 8.0
    parameters = {"radius": r, "thickness": t, "reservoir": L, "width": w, "debye": 1.0, "cells": 1, "membrane": membrane}
    g = geometry(file="membrane_pore.geo", parameters=parameters)
    area_of_pore = volume(g, "solution") - 2 * L * w**2
    assert area_of_pore == pytest.approx(math.pi * r**2 * t, rel=0.06)
    if membrane:
        assert volume(g, "membrane") == pytest.approx(t * w**2 - area_of_pore)
    areas = {name: area(g, name) for name in g.boundaries}
    assert areas.pop("pore_wall") == pytest.approx(2 * math.pi * r * t, rel=0.03)
    assert areas.pop("membrane_wall") == pytest.approx(2 * (w**2 - math.pi * r**2), rel=0.01)
    assert areas == pytest.approx({"left": w**2, "right": w**2, "side": 8 * L * w} | ({"membrane_side": 4 * t * w} if membrane else {}))


def wall_size(g: Geometry, length: float) -> float:
    """Mean length of the facets of a plane pore wall, which is so long in all."""
    facets = g.facet_tags.find(g.boundaries["pore_wall"])
    return length / COMM.allreduce(int((facets < g.mesh.topology.index_map(1).size_local).sum()))


def test_second_order_cells_keep_the_curve(folder: Path) -> None:
    disk = 'Disk(1) = {0, 0, 0, 1}; Physical Surface("disk") = {1}; Physical Curve("rim") = {1}; MeshSize{:} = 0.4;'
    straight = from_geo(folder, disk)
    curved = from_geo(folder, disk + "Mesh.ElementOrder = 2;")
    assert abs(volume(straight, "disk") - math.pi) > 0.05
    assert volume(curved, "disk") == pytest.approx(math.pi, rel=1e-4)
    assert area(curved, "rim") == pytest.approx(2 * math.pi, rel=1e-4)
    assert statistics(curved)["vertices"] == statistics(straight)["vertices"]


QUADS = """Rectangle(1) = {0, 0, 0, 2, 1}; Transfinite Curve{:} = 6; Transfinite Surface{:}; Recombine Surface{:};
Physical Surface("all") = {1}; Physical Curve("bottom") = {1}; Physical Curve("left") = {4};"""
HEXES = """Rectangle(1) = {0, 0, 0, 2, 1}; Transfinite Curve{:} = 6; Transfinite Surface{:}; Recombine Surface{:};
Extrude{0, 0, 3}{ Surface{1}; Layers{4}; Recombine; } Physical Volume("all") = {1}; Physical Surface("back") = {1};"""


@pytest.mark.parametrize("order", [1, 2])
def test_quadrilaterals(folder: Path, order: int) -> None:
    g = from_geo(folder, QUADS + f"Mesh.ElementOrder = {order};", periodic="x")
    assert (volume(g, "all"), area(g, "bottom"), area(g)) == pytest.approx((2, 2, 4))
    assert (statistics(g)["cell"], dofs(g, 1), set(g.boundaries)) == ("quadrilateral", 5 * 6, {"bottom"})


def test_hexahedra(folder: Path) -> None:
    g = from_geo(folder, HEXES, periodic=["x", "y"])
    assert (volume(g, "all"), area(g, "back"), area(g)) == pytest.approx((6, 2, 4))
    assert (statistics(g)["cell"], dofs(g, 1)) == ("hexahedron", 5 * 5 * 5)


def test_line_with_named_ends(folder: Path) -> None:
    source = """Point(1) = {0, 0, 0, 0.1}; Point(2) = {1, 0, 0, 0.1}; Point(3) = {3, 0, 0, 0.1}; Line(1) = {1, 2}; Line(2) = {2, 3};
    Physical Curve("a") = {1}; Physical Curve("b") = {2}; Physical Point("anode") = {1}; Physical Point("junction") = {2};"""
    g = from_geo(folder, source)
    assert (volume(g, "a"), volume(g, "b"), area(g, "anode"), area(g, "junction"), area(g)) == pytest.approx((1, 2, 1, 1, 2))


def test_numbered_groups_go_by_their_number(folder: Path) -> None:
    g = from_geo(folder, "Rectangle(1) = {0, 0, 0, 1, 2}; Physical Surface(7) = {1}; Physical Curve(3) = {4}; MeshSize{:} = 0.4;")
    assert (volume(g, "7"), area(g, "3"), len(g.boundaries)) == pytest.approx((2, 2, 1))


def test_without_physical_groups(folder: Path) -> None:
    g = from_geo(folder, "Rectangle(1) = {4, 0, 0, 1, 2}; MeshSize{:} = 0.4;", unit="mm")
    assert (g.regions, g.boundaries, g.cell_tags) == ({}, {}, None)
    assert volume(g) == pytest.approx(2e-6)
    assert g.lower == pytest.approx([4e-3, 0, 0])


@pytest.mark.parametrize("version", [2.2, 4.1])
def test_msh_in_millimetres(folder: Path, version: float) -> None:
    if COMM.rank == 0:
        import gmsh

        gmsh.initialize(readConfigFiles=False, interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.merge(str(MESHES / "rectangle_periodic.geo"))
        gmsh.model.mesh.generate(2)
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.write(str(folder / "square.msh"))
        gmsh.finalize()
    COMM.barrier()
    g = geometry(folder, file="square.msh", unit="mm", scale=1e-4, periodic="y")
    assert volume(g, "inclusion") == pytest.approx(100 * polygon(g, "interface", 0.3)[0], rel=1e-6)
    assert area(g, "left") == pytest.approx(10)
    assert g.period == pytest.approx([0, 10, 0])


@pytest.mark.parametrize("order", [1, 2])
def test_vtu(folder: Path, order: int) -> None:
    """Two triangles of a unit square (curved ones bulge by nothing), their left edge, and a point of no cell."""
    if COMM.rank == 0:
        import meshio

        corners, middles = (
            [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [9, 9, 9]],
            [[0.5, 0, 0], [1, 0.5, 0], [0.5, 0.5, 0], [0.5, 1, 0], [0, 0.5, 0]],
        )
        straight = [("triangle", np.array([[0, 1, 2], [0, 2, 3]])), ("line", np.array([[3, 0]]))]
        curved = [("triangle6", np.array([[0, 1, 2, 5, 6, 7], [0, 2, 3, 7, 8, 9]])), ("line3", np.array([[3, 0, 9]]))]
        data = {"group": [np.array([4, 5]), np.array([6])]}
        meshio.write(
            folder / "two.vtu", meshio.Mesh(np.array(corners + middles, dtype=float), [straight, curved][order - 1], cell_data=data)
        )
    COMM.barrier()
    g = geometry(folder, file="two.vtu")
    x = ufl.SpatialCoordinate(g.mesh)
    assert (volume(g, "4"), volume(g, "5"), area(g, "6"), area(g)) == pytest.approx((0.5, 0.5, 1, 4))
    assert total(x[0] * ufl.dx(g.mesh)) == pytest.approx(0.5)
    assert statistics(g)["vertices"] == 4


@pytest.mark.parametrize("periodic", [[], ["x", "y"]])
def test_same_mesh_on_any_number_of_ranks(periodic: list[str]) -> None:
    table = Mesh(file="rectangle_periodic.geo", parameters={"h": 0.1}, periodic=periodic)
    assert statistics(build(table, MESHES, COMM)) == pytest.approx(statistics(build(table, MESHES, MPI.COMM_SELF)))


def test_ghosts_are_those_across_facets() -> None:
    for g in (
        geometry(shape="rectangle", size=1, cells=6, periodic=["x", "y"]),
        geometry(file="rectangle_periodic.geo", parameters={"h": 0.1}),
    ):
        topology = g.mesh.topology
        topology.create_connectivity(1, 2)
        facets = np.arange(topology.index_map(1).size_local)
        lonely = sum(len(topology.connectivity(1, 2).links(facet)) == 1 for facet in facets)
        assert lonely == len([facet for facet in dmesh.exterior_facet_indices(topology) if facet < len(facets)])


# --- the difference between DOLFINx versions


def test_evaluate_has_one_shape_for_all_ranks_of_tensor() -> None:
    g = geometry(shape="rectangle", size=1, cells=4)
    u = fem.Function(fem.functionspace(g.mesh, ("Lagrange", 1, (2,))))
    u.interpolate(lambda x: np.stack([x[0] + 2 * x[1], 3 * x[0] + 4 * x[1]]))
    points = compat.interpolation_points(u.function_space)
    cells = np.arange(g.mesh.topology.index_map(2).size_local, dtype=np.int32)
    for expression, size in ((u[1], 1), (u, 2), (ufl.grad(u), 4)):
        compiled = fem.Expression(expression, points)
        assert compat.evaluate(compiled, g.mesh, cells).shape == (len(cells), 3, size)
        assert compat.evaluate(compiled, g.mesh, cells[:0]).shape == (0, 3, size)
    gradient = compat.evaluate(fem.Expression(ufl.grad(u), points), g.mesh, cells)
    assert gradient == pytest.approx(np.broadcast_to([1, 2, 3, 4], gradient.shape))


# --- errors

SQUARE = 'Rectangle(1) = {0, 0, 0, 1, 1}; Physical Surface("all") = {1}; '


@pytest.mark.parametrize(
    ("source", "table", "message"),
    [
        (
            SQUARE + "MeshSize{:} = 0.2; MeshSize{1} = 0.03;",
            {"periodic": "x"},
            r"(\d+) of (\d+) vertices .*left.* have no partner.*Translate\{1, 0, 0\}",
        ),
        (SQUARE + "MeshSize{:} = 0.5;", {"periodic": "y"}, "at least 3 cells in y"),
        (SQUARE + "MeshSize{:} = 0.3;", {"periodic": "z"}, "dimension 2; legal: x, y"),
        (SQUARE + "MeshSize{:} = 0.3;", {"parameters": {"h": 1}}, "no parameter 'h'"),
        (SQUARE + 'Physical Surface("again") = {1}; MeshSize{:} = 0.3;', {}, "belong to another physical group"),
        (
            SQUARE + "Rectangle(2) = {1, 0, 0, 1, 1}; Coherence; Recombine Surface{1}; Physical Surface(9) = {2}; MeshSize{:} = 0.3;",
            {},
            "one type of cells",
        ),
        (SQUARE + "Recombine Surface{1}; Mesh.ElementOrder = 2; Mesh.SecondOrderIncomplete = 1; MeshSize{:} = 0.3;", {}, "8 nodes"),
        ('Rectangle(1) = {0, 0, 0, 1, 1}; Physical Curve("rim") = {1:4}; MeshSize{:} = 0.3;', {}, "surfaces a physical name"),
        ("Rectangle(1) = {0, 0, 0, 1, 1}; Nonsense", {}, r"cannot read .*source.geo.*line 2"),
        (SQUARE.replace("Rectangle(1)", "Point(5)"), {}, "source.geo"),
    ],
)
def test_geo_that_cannot_be_used(folder: Path, source: str, table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_geo(folder, source, **table)
    assert len(set(COMM.allgather(str(caught.value)))) == 1
    assert volume(from_geo(folder, SQUARE + "MeshSize{:} = 0.3;"), "all") == pytest.approx(1)


def test_missing_file_names_the_path_tried(folder: Path) -> None:
    with pytest.raises(InputError, match=f"there is no file {folder.resolve() / 'nowhere.msh'}"):
        geometry(folder, file="nowhere.msh")


@pytest.mark.parametrize("name", ["text.msh", "text.vtu", "text.strange"])
def test_unreadable_file(folder: Path, name: str) -> None:
    if COMM.rank == 0:
        (folder / name).write_text("hello\n")
    COMM.barrier()
    with pytest.raises(InputError, match=f"cannot read .*{name}") as caught:
        geometry(folder, file=name)
    assert len(set(COMM.allgather(str(caught.value)))) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "neither is given; shapes: interval, rectangle, box"),
        ({"file": "a.msh", "shape": "box"}, "file = 'a.msh' and shape = 'box' are given"),
        ({"file": "a.msh", "cells": 3}, "'cells' goes with shape only"),
        ({"file": "a.msh", "parameters": {"h": 1}}, "for a .geo file"),
        ({"file": "a.msh", "unit": "s"}, "wrong unit"),
        ({"file": "a.msh", "periodic": ["x", "x"]}, "names a direction twice"),
        ({"shape": "rectangle", "size": 1, "cells": 3, "unit": "mm"}, "'unit' goes with file only"),
        ({"shape": "disk", "size": 1, "cells": 3}, "'interval', 'rectangle' or 'box'"),
        ({"shape": "box", "size": [1, 2], "cells": 3}, r"needs 3 \(x, y, z\) numbers in 'size', not 2"),
        ({"shape": "rectangle", "size": 1}, r"needs 2 \(x, y\) numbers in 'cells', not 0"),
        ({"shape": "rectangle", "size": 1, "cells": 3, "origin": [0, 0, 0]}, "'origin', not 3"),
        ({"shape": "rectangle", "size": [1, -1], "cells": 3}, "must be positive"),
        ({"shape": "rectangle", "size": 1, "cells": 0}, "greater than 0"),
        ({"shape": "rectangle", "size": 1, "cells": [9, 2], "periodic": "y"}, "at least 3 cells in y, not 2"),
        ({"shape": "rectangle", "size": 1, "cells": 3, "periodic": "z"}, r"2 \(x, y\) directions"),
        ({"shape": "rectangle", "size": 1, "cell": 3}, "did you mean 'cells'"),
        (
            {"shape": "interval", "size": 1, "cells": 10, "finest": {"left": 0.2}},
            "left: a first cell of 0.2 is larger than the 0.1 of 10 equal",
        ),
        ({"shape": "interval", "size": 1, "cells": 5, "finest": {"left": 1e-6}}, "5 cells are too few to fill the side"),
        ({"shape": "interval", "size": 1, "cells": 5, "finest": {"top": 0.1}}, "no side 'top'; legal: left, right"),
        ({"shape": "rectangle", "size": 1, "cells": 5, "periodic": "y", "finest": {"top": 0.1}}, "since the mesh is periodic in y"),
        ({"shape": "interval", "size": 1, "cells": 5, "finest": {"left": "1 s"}}, "wrong unit"),
        ({"file": "a.msh", "finest": {"left": 0.1}}, "'finest' goes with shape only"),
    ],
)
def test_illegal_table(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mesh(**table)
