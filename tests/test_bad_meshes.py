"""Mesh files that are damaged or strange: each gets a message, the same on every rank, or works as it should."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input import write
from mpi4py import MPI

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator
from fem_diffusion.mesh import Geometry, Mesh, build
from fem_diffusion.parallel import on_root
from fem_diffusion.problem import Problem
from fem_diffusion.run import steps
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD
GMSH = {2: 1, 3: 2, 4: 4}  # gmsh's number of a line, a triangle, a tetrahedron
N = 4  # cells a side


def msh(points: np.ndarray, cells: Sequence[Sequence[int]], sides: dict[str, Sequence[Sequence[int]]], kind: int | None = None) -> str:
    """The text of a .msh file (version 2.2) with the cells in the group "all", and the sides by their names."""
    groups = [("all", kind or GMSH[len(cells[0])], cells), *((name, GMSH[len(facets[0])], facets) for name, facets in sides.items())]
    dimension = {15: 0, 1: 1, 2: 2, 3: 2, 4: 3}
    names = [f'{dimension[number]} {tag} "{name}"' for tag, (name, number, _) in enumerate(groups, 1)]
    rows = [(number, tag, nodes) for tag, (_, number, elements) in enumerate(groups, 1) for nodes in elements]
    elements = [f"{i} {number} 2 {tag} {tag} {' '.join(str(n + 1) for n in nodes)}" for i, (number, tag, nodes) in enumerate(rows, 1)]
    nodes = [f"{i} {' '.join(f'{x:.17g}' for x in point)}" for i, point in enumerate(points, 1)]
    sections = {"MeshFormat": ["2.2 0 8"], "PhysicalNames": [str(len(names)), *names]}
    sections |= {"Nodes": [str(len(nodes)), *nodes], "Elements": [str(len(elements)), *elements]}
    return "".join(f"${name}\n" + "\n".join(lines) + f"\n$End{name}\n" for name, lines in sections.items())


def square() -> tuple[np.ndarray, list[list[int]], dict[str, Sequence[Sequence[int]]]]:
    """A unit square of 2 N^2 triangles, all turned the same way."""
    points = np.array([[i / N, j / N, 0.0] for j in range(N + 1) for i in range(N + 1)])
    triangles = []
    for j in range(N):
        for i in range(N):
            a = j * (N + 1) + i
            triangles += [[a, a + 1, a + N + 2], [a, a + N + 2, a + N + 1]]
    left = [[j * (N + 1), (j + 1) * (N + 1)] for j in range(N)]
    right = [[j * (N + 1) + N, (j + 1) * (N + 1) + N] for j in range(N)]
    return points, triangles, {"left": left, "right": right}


def geometry(folder: Path, text: str | bytes, name: str = "mesh.msh") -> Geometry:
    content = text.encode() if isinstance(text, str) else text
    on_root(COMM, lambda: (folder / name).write_bytes(content))
    return build(Mesh(file=name), folder, COMM)


def message(folder: Path, name: str) -> str:
    """What is said of a file; the same on every rank."""
    with pytest.raises(InputError) as caught:
        build(Mesh(file=name), folder, COMM)
    assert len(set(COMM.allgather(str(caught.value)))) == 1
    assert name in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


PROBLEM = """
mesh = { file = "mesh.msh" }
species = [{ name = "A", initial = "0.2 + 0.3*x", diffusivity = 1 }]
free_energy = [{ kind = "Ideal" }]
mobility = { kind = "Fick" }
formulation = "fractions"
boundary.left = { concentration = { A = 0.2 } }
boundary.right = { concentration = { A = 0.5 } }
time = { end = 1, steady = true }
"""


def system(folder: Path, text: str) -> System:
    path = write(folder, PROBLEM, {"mesh.msh": text})
    return System(Problem.read(path), COMM)


# --- what is in a mesh


def test_cells_of_either_orientation(folder: Path) -> None:
    """The volume, and the flux D (c_right - c_left)/L into the left, do not know how a cell's nodes are ordered."""
    points, triangles, sides = square()
    turned = [nodes[::-1] if i % 3 == 0 else nodes for i, nodes in enumerate(triangles)]
    flipped = system(folder, msh(points, turned, sides))
    assert check(flipped).warnings == []
    assert COMM.allreduce(flipped.volume.sum()) == pytest.approx(1.0, rel=1e-12)
    *_, last = steps(Integrator(flipped))
    assert last.fluxes["A", "left"] == pytest.approx(0.3, rel=1e-9)
    assert last.fluxes["A", "right"] == pytest.approx(-0.3, rel=1e-9)


def flat_triangle() -> str:
    points, triangles, sides = square()
    return msh(points, [*triangles, [0, 1, 2]], sides)


def repeated_node() -> str:
    points, triangles, sides = square()
    triangles[5] = [triangles[5][0], triangles[5][1], triangles[5][1]]
    return msh(points, triangles, sides)


def folded_quadrilateral() -> str:
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0], [2, 1, 0]], dtype=float)
    return msh(points, [[0, 1, 2, 3], [1, 4, 2, 5]], {"left": [[0, 3]]}, kind=3)  # the second crosses itself


def flat_tetrahedron() -> str:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.25, 0.25, 0.5], [1, 1, -1]], dtype=float)
    return msh(points, [[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5]], {"left": [[0, 2, 3]]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (flat_triangle, "1 of 33 triangles are flat or folded, the first at (0.25, 0)"),
        (repeated_node, "1 of 32 triangles are flat or folded, the first at"),
        (folded_quadrilateral, "1 of 2 quadrilaterals are flat or folded, the first at (1.5, 0.5)"),
        (flat_tetrahedron, "2 of 3 tetrahedrons are flat or folded"),
    ],
)
def test_flat_and_folded_cells(folder: Path, text: Any, says: str) -> None:
    on_root(COMM, lambda: (folder / "mesh.msh").write_text(text()))
    assert says in message(folder, "mesh.msh")


def test_nodes_that_lie_where_others_do(folder: Path) -> None:
    """The upper half has a lower row of its own: two parts, between which nothing passes."""
    points, triangles, sides = square()
    row = [N // 2 * (N + 1) + i for i in range(N + 1)]
    own = {node: len(points) + i for i, node in enumerate(row)}
    upper = [[own.get(node, node) for node in nodes] if i >= len(triangles) // 2 else nodes for i, nodes in enumerate(triangles)]
    cracked = system(folder, msh(np.vstack([points, points[row]]), upper, {"left": sides["left"][:2], "right": sides["right"][:2]}))
    nodes, parts = check(cracked).warnings
    assert f"{N + 1} nodes lie where others do, the first at (0, 0.5)" in nodes and "Coherence" in nodes
    assert "falls into 2 parts, of 16, 16 cells" in parts
    assert len(set(COMM.allgather(nodes + parts))) == 1


def test_parts_that_do_not_touch(folder: Path) -> None:
    """Legal, and said: both are solved."""
    points, triangles, sides = square()
    apart = np.vstack([points, points + np.array([0.0, 2.0, 0.0])])
    both = [*triangles, *([n + len(points) for n in nodes] for nodes in triangles)]
    sides = {name: [*facets, *([n + len(points) for n in nodes] for nodes in facets)] for name, facets in sides.items()}
    two = system(folder, msh(apart, both, sides))
    (said,) = check(two).warnings
    assert "falls into 2 parts, of 32, 32 cells, that do not touch" in said
    *_, last = steps(Integrator(two))
    assert last.fluxes["A", "left"] == pytest.approx(2 * 0.3, rel=1e-9)


def test_missing_names(folder: Path) -> None:
    points, triangles, _ = square()
    path = write(folder, PROBLEM, {"mesh.msh": msh(points, triangles, {})})
    with pytest.raises(InputError, match=r"the mesh has no boundary 'left'"):
        check(System(Problem.read(path), COMM))


# --- files


def test_files_of_another_dimension(folder: Path) -> None:
    points, triangles, sides = square()
    tilted = points[:, [0, 2, 1]]  # in the x-z plane
    on_root(COMM, lambda: (folder / "tilted.msh").write_text(msh(tilted, triangles, sides)))
    assert "its triangles do not lie in the x-y plane" in message(folder, "tilted.msh")
    on_root(COMM, lambda: (folder / "rim.msh").write_text(msh(points, sides["left"], {}, kind=1)))
    assert "its intervals do not lie on the x axis" in message(folder, "rim.msh")
    on_root(COMM, lambda: (folder / "points.msh").write_text(msh(points, [[0], [1]], {}, kind=15)))
    assert "holds no cells" in message(folder, "points.msh")


@pytest.mark.parametrize("name", ["mesh.msh", "mesh.geo", "mesh.vtu", "mesh.xdmf", "mesh.stl"])
def test_files_that_are_no_meshes(folder: Path, name: str) -> None:
    path = folder / name
    random.seed(3)
    for content, says in {
        b"": "is empty",
        random.randbytes(50_000): "read",
        b"lorem ipsum 12 34 $Nodes\n" * 1_000_000: "read",
        b"$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$Nodes\n" + b"1 2 3\n" * 100_000: "cells" if name in ("mesh.msh", "mesh.geo") else "read",
    }.items():
        on_root(COMM, lambda content=content: path.write_bytes(content))
        assert says in message(folder, name)
    on_root(COMM, path.unlink)
    assert "there is no file" in message(folder, name)
    on_root(COMM, path.mkdir)
    assert "Is a directory" in message(folder, name)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_truncated_files(folder: Path, share: float) -> None:
    text = msh(*square())
    on_root(COMM, lambda: (folder / "mesh.msh").write_text(text[: int(share * len(text))]))
    assert "gmsh cannot read" in message(folder, "mesh.msh")


@pytest.mark.serial
def test_a_file_that_may_not_be_read(folder: Path) -> None:
    path = folder / "mesh.msh"
    path.write_text(msh(*square()))
    path.chmod(0)
    folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        assert "cannot read" in message(folder, "mesh.msh") and "Permission denied" in message(folder, "mesh.msh")
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"shape": "box", "size": 1, "cells": 10_000_000}, "makes 1e+21 vertices, whose mesh alone takes 1e+14 GB"),
        ({"shape": "rectangle", "size": [1, 1e-17], "cells": 6}, "size: 1e-17 is too small for a mesh: give at least 1e-15"),
        ({"shape": "interval", "size": 1e-11, "cells": 6, "origin": -14}, "the 6 cells in x are too small beside the coordinates"),
        ({"shape": "rectangle", "size": [1, 1e-10], "cells": 1000, "origin": [0, 1]}, "the 1000 cells in y are too small"),
    ],
)
def test_shapes_that_no_computer_holds(table: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Mesh(**table), Path("."), COMM)
    assert says in str(caught.value)


def test_a_shape_has_a_largest_number_of_cells() -> None:
    with pytest.raises(InputError, match="less than or equal to 10000000"):
        Mesh(shape="interval", size=1, cells=10**12, finest={"left": 1e-13})
