"""The summary picture shows the domain, with its holes, and the values, in the colours of its colour bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from dolfinx import fem, mesh
from matplotlib.colors import Normalize, to_rgb
from matplotlib.image import imread
from mpi4py import MPI
from whole_mesh import WholeMesh, where

from fem_diffusion.mesh import Mesh, build
from fem_diffusion.paraview import DrawnMesh
from fem_diffusion.picture import COLORS, DPI, TO_VIEWER, WIDTH, quantity, spread, summary
from fem_diffusion.picture.page import QUIET
from fem_diffusion.picture.uphill import HOT
from fem_diffusion.uphill import Uphill

COMM = MPI.COMM_WORLD
CENTRE, RADIUS = np.array([0.6, 0.55]), 0.2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The picture's place, the same on all ranks."""
    return Path(COMM.bcast(tmp_path)) / "summary.png"


def history(end: float, species: Sequence[str]) -> dict[str, np.ndarray]:
    time = np.concatenate([[0.0], np.geomspace(1e-5 * end, end, 40)])
    columns = {"step": np.arange(41.0), "time": time, "dt": np.diff(time, prepend=0.0), "energy": 1 / (1 + time)}
    columns["newton_iterations"] = np.where(time > 0, 3.0, 0.0)
    return columns | {f"mass_{name}": np.full(41, 0.5) for name in species}


def draw(path: Path, domain: mesh.Mesh, fields: dict[str, Callable], times: Sequence[float] = (0.0, 1.0, 2.0, 3.0)) -> np.ndarray | None:
    """The picture's colours (rows, columns, 3) on rank 0. The same fields at all times. Collective."""
    V = fem.functionspace(domain, ("Lagrange", 1))
    drawn = WholeMesh(V)
    values = {}
    for name, field in fields.items():
        c = fem.Function(V)
        c.interpolate(field)
        values[name] = drawn.at_points(c.x.array)
    if COMM.rank > 0:
        return None
    summary(path, drawn.mesh, [(t, values) for t in times], history(times[-1], list(fields)), "A run", time_unit="s", length_unit="m")
    return imread(path)[:, :, :3]


def panels(picture: np.ndarray) -> list[list[np.ndarray]]:
    """Row by row what is coloured in one piece over many pixels: the panels and, last in a row, the colour bar."""
    coloured = np.ptp(picture, axis=2) > 0.1
    found = []
    for row in runs(coloured.mean(axis=1) > 0.12, 60):
        found.append([])
        for column in runs(coloured[row].any(axis=0), 15):
            middle = (row.start + row.stop) // 2
            (whole,) = [run for run in runs(coloured[:, column].any(axis=1), 60) if run.start <= middle < run.stop]
            found[-1].append(picture[whole, column])
    return found


def runs(mask: np.ndarray, least: int) -> list[slice]:
    ends = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [slice(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if b - a >= least]


def coloured_fraction(panel: np.ndarray) -> float:
    return float((np.ptp(panel, axis=2) > 0.1).mean())


def slope(x: np.ndarray) -> np.ndarray:
    return 0.2 + 0.2 * x[0] + 0.4 * x[1]


def with_hole(cell_type: mesh.CellType) -> mesh.Mesh:
    domain = mesh.create_unit_square(COMM, 60, 60, cell_type)
    return where(domain, lambda x: np.linalg.norm(x[:2].T - CENTRE, axis=1) > RADIUS)


@pytest.mark.parametrize("cell_type", [mesh.CellType.triangle, mesh.CellType.quadrilateral])
def test_hole_and_colours(cell_type: mesh.CellType, path: Path) -> None:
    picture = draw(path, with_hole(cell_type), {"A": slope})
    if picture is None:
        return
    assert picture.shape[1] == WIDTH * DPI
    assert 600 < picture.shape[0] < 1400
    assert 30e3 < path.stat().st_size < 1.5e6
    assert np.allclose(picture[[0, 0, -1, -1], [0, -1, 0, -1]], 1)

    ((*shown, bar),) = panels(picture)
    assert len(shown) == 4
    assert bar.shape[1] < 30
    for panel in shown:
        height, width, _ = panel.shape
        assert height == pytest.approx(width, abs=3)
        assert coloured_fraction(panel) == pytest.approx(1 - np.pi * RADIUS**2, abs=0.02)
        assert np.allclose(panel[int(height * (1 - CENTRE[1])), int(width * CENTRE[0])], 1)
        for x, y in [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9), (0.3, 0.6)]:
            seen = panel[int(height * (1 - y)), int(width * x)]
            assert np.allclose(seen, COLORS(Normalize(0.2, 0.8)(slope((x, y))))[:3], atol=0.03)


def test_periodic_mesh_is_drawn_unstretched(path: Path) -> None:
    """A cell stretched across the box would hide the wave."""
    domain = build(Mesh(shape="rectangle", size=1.0, cells=40, periodic=["x", "y"]), Path(), COMM).mesh
    picture = draw(path, domain, {"A": lambda x: 0.5 + 0.5 * np.sin(2 * np.pi * x[0])})
    if picture is None:
        return
    panel = panels(picture)[0][0]
    height, width, _ = panel.shape
    for x in (0.02, 0.25, 0.5, 0.75, 0.98):
        expected = COLORS(0.5 + 0.5 * np.sin(2 * np.pi * x))[:3]
        assert np.allclose(panel[[height // 5, height // 2], int(width * x)], expected, atol=0.06)


@pytest.mark.parametrize("cell_type", [mesh.CellType.tetrahedron, mesh.CellType.hexahedron])
def test_cube_is_seen_from_outside(cell_type: mesh.CellType, path: Path) -> None:
    domain = mesh.create_unit_cube(COMM, 6, 6, 6, cell_type)
    picture = draw(path, domain, {"A": lambda x: x[2]})
    if picture is None:
        return
    ((*shown, _),) = panels(picture)
    assert len(shown) == 4
    # the shadow of the unit cube, and the box around it
    across = np.hypot(*TO_VIEWER[:2])
    shadow = np.abs(TO_VIEWER).sum()
    box = np.abs(TO_VIEWER[:2]).sum() / across * (across + TO_VIEWER[2] * np.abs(TO_VIEWER[:2]).sum() / across)
    for panel in shown:
        assert coloured_fraction(panel) == pytest.approx(shadow / box, abs=0.03)
        height, width, _ = panel.shape
        # the top is the highest value, the lower corner the lowest, however lit
        top, low = panel[int(0.2 * height), width // 2], panel[int(0.93 * height), int(0.45 * width)]
        assert top.mean() > 0.7 > 0.35 > low.mean()


def test_inner_face_is_hidden(path: Path) -> None:
    """The walls of a closed cavity are not drawn over the front."""
    domain = mesh.create_unit_cube(COMM, 8, 8, 8, mesh.CellType.hexahedron)
    whole = draw(path, domain, {"A": slope})
    hollow = draw(path, where(domain, lambda x: np.abs(x - 0.5).max(axis=0) > 0.25), {"A": slope})
    if whole is not None and hollow is not None:
        assert np.allclose(panels(whole)[0][0], panels(hollow)[0][0], atol=0.02)


def test_a_row_for_each_species(path: Path) -> None:
    picture = draw(path, mesh.create_unit_square(COMM, 8, 8), {"A": slope, "B": lambda x: 1 - slope(x)})
    if picture is None:
        return
    first, second = panels(picture)
    assert len(first) == len(second) == 5
    assert np.allclose(first[0], second[0][::-1, ::-1], atol=0.1)


def test_fine_grained_picture_stays_small(path: Path) -> None:
    noise = np.random.default_rng(1)
    domain = mesh.create_unit_square(COMM, 100, 100)
    picture = draw(path, domain, {name: lambda x: noise.uniform(0, 1, x.shape[1]) for name in "ABC"})
    if picture is not None:
        assert path.stat().st_size < 1.5e6


def test_interval_has_a_line_for_each_time(path: Path) -> None:
    picture = draw(path, mesh.create_interval(COMM, 20, [0.0, 1.0]), {"A": lambda x: x[0]}, times=(0.0, 1.0))
    if picture is None:
        return
    assert picture.shape[1] == WIDTH * DPI
    # both lines lie on each other, in the legend they do not
    for place in (0.0, 0.82):
        assert (np.abs(picture - COLORS(place)[:3]).max(axis=2) < 0.02).sum() > 20


def test_steady_run_without_times(path: Path) -> None:
    domain = mesh.create_unit_square(COMM, 4, 4)
    V = fem.functionspace(domain, ("Lagrange", 1))
    drawn = WholeMesh(V)
    constant = drawn.at_points(np.full(V.dofmap.index_map.size_local, 0.5))
    if COMM.rank == 0:
        columns = {name: np.zeros(1) for name in ("step", "time", "dt", "newton_iterations", "energy", "mass_A")}
        summary(path, drawn.mesh, [(0.0, {"A": constant})], columns, "Steady")
        assert len(panels(imread(path)[:, :, :3])[0]) == 2


def test_spread_over_the_run() -> None:
    def chosen(times: Sequence[float], most: int) -> list[float]:
        return [t for t, _ in spread([(t, {}) for t in times], most)]

    assert chosen([0, 1, 2], 4) == [0, 1, 2]
    assert chosen([0, 1, 2, 3, 4, 5, 6], 4) == [0, 2, 4, 6]
    assert chosen([0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1], 4) == [0, 1e-5, 1e-3, 1]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (2.5e-8, "m", "25 nm"),
        (1e-6, "m", "1 µm"),
        (0.3, "s", "300 ms"),
        (90.0, "s", "90 s"),
        (7200.0, "s", "2 h"),
        (0.02, "", "0.02"),
        (3e-7, "", r"$3\times 10^{-7}$"),
    ],
)
def test_quantity(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


# --- uphill


def uphill_at(drawn: DrawnMesh, regions: dict[str, Callable], direction: Sequence[float]) -> Uphill:
    """Each species uphill, evenly, where its region holds of the cells' middles; the flux is the same everywhere. On rank 0."""
    middles = drawn.points[drawn.cells].mean(axis=1)
    inside = {name: region(middles.T).astype(float) for name, region in regions.items()}
    flux = {name: np.tile(direction, (len(middles), 1)) for name in regions}
    return Uphill(inside, flux, {name: float(values.mean()) for name, values in inside.items()})


def draw_uphill(path: Path, domain: mesh.Mesh, regions: dict[str, Callable], names: str = "A") -> np.ndarray | None:
    """The picture on rank 0, of a slope, with regions that go uphill at the second of two times. Collective."""
    V = fem.functionspace(domain, ("Lagrange", 1))
    drawn = WholeMesh(V)
    c = fem.Function(V)
    c.interpolate(slope if domain.topology.dim > 1 else lambda x: 0.2 + 0.6 * x[0])
    values = drawn.at_points(c.x.array)
    if COMM.rank > 0:
        return None
    snapshots = [(t, dict.fromkeys(names, values)) for t in (0.0, 1.0)]
    nowhere = {name: lambda x: np.zeros(x.shape[1]) for name in regions}
    direction = [1.0, 0.5, 0.25][: domain.topology.dim]
    uphill = [uphill_at(drawn.mesh, nowhere, direction), uphill_at(drawn.mesh, regions, direction)]
    columns = history(1.0, names) | {f"uphill_flux_{name}": np.linspace(0, 1, 41) for name in names}
    summary(path, drawn.mesh, snapshots, columns, "Uphill", uphill=uphill)
    return imread(path)[:, :, :3]


def orange(picture: np.ndarray) -> np.ndarray:
    """What has the strongest colour of J . grad c, however lit."""
    hot = np.array(to_rgb(HOT))
    return np.abs(picture / np.maximum(picture.max(axis=2, keepdims=True), 0.3) - hot / hot.max()).max(axis=2) < 0.05


@pytest.mark.parametrize("cell_type", [mesh.CellType.triangle, mesh.CellType.quadrilateral])
def test_uphill_region_is_orange(cell_type: mesh.CellType, path: Path) -> None:
    """A region of 0.3 x 0.5 in the unit square, lower left: its place and its share of the panel."""
    domain = mesh.create_unit_square(COMM, 20, 20, cell_type)
    picture = draw_uphill(path, domain, {"A": lambda x: (x[0] < 0.3) & (x[1] < 0.5)})
    if picture is None:
        return
    rows, columns = (np.flatnonzero(orange(picture).sum(axis=axis) > 60) for axis in (1, 0))
    assert len(rows) == pytest.approx(np.ptp(rows) + 1) and len(columns) == pytest.approx(np.ptp(columns) + 1)
    assert len(rows) / len(columns) == pytest.approx(0.5 / 0.3, rel=0.02)
    assert columns[0] < 0.1 * picture.shape[1]
    # right of it and above it the panel is grey
    aside = picture[rows[len(rows) // 2], columns[-1] + 3 : columns[-1] + len(columns)]
    assert (np.ptp(aside, axis=1) < 0.06).all()


@pytest.mark.parametrize("cell_type", [mesh.CellType.tetrahedron, mesh.CellType.hexahedron])
def test_uphill_on_the_faces_of_a_box(cell_type: mesh.CellType, path: Path) -> None:
    """The top layer of a cube: its upper face is orange, and a band below it of one eighth of the side faces."""
    picture = draw_uphill(path, mesh.create_unit_cube(COMM, 8, 8, 8, cell_type), {"A": lambda x: x[2] > 0.875})
    if picture is None:
        return
    across = np.abs(TO_VIEWER)
    top, sides = across[2], across[0] + across[1]
    box = np.abs(TO_VIEWER[:2]).sum() / np.hypot(*TO_VIEWER[:2])
    seen = orange(picture)
    width = np.ptp(np.flatnonzero(seen.any(axis=0))) + 1
    assert seen.sum() / width**2 == pytest.approx((top + sides / 8) / box**2, rel=0.06)


def test_uphill_stretch_of_a_line(path: Path) -> None:
    picture = draw_uphill(path, mesh.create_interval(COMM, 50, [0.0, 1.0]), {"A": lambda x: x[0] > 0.6})
    if picture is None:
        return
    left, right = np.flatnonzero(orange(picture).any(axis=0))[[0, -1]]
    # the panel is as wide as its arrows and its line: three fifths of the arrows are not orange
    grey = np.flatnonzero((np.abs(picture - np.array(to_rgb(QUIET))).max(axis=2) < 0.02)[: picture.shape[0] * 2 // 3].sum(axis=0) > 3)
    assert grey.min() < left < right
    assert (right - left) / (right - grey.min()) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("names", ["AB", "ABC", "ABCD"])
def test_panels_of_several_species(names: str, path: Path) -> None:
    """Each has a panel, with a region of its own; two with the same share one."""
    domain = mesh.create_unit_square(COMM, 20, 20)
    widths = {name: 0.2 + 0.1 * k for k, name in enumerate(names)}
    distinct = draw_uphill(path, domain, {name: lambda x, w=w: x[0] < w for name, w in widths.items()}, names)
    same = draw_uphill(path, domain, {name: lambda x: x[0] < 0.4 for name in names}, names)
    if distinct is None or same is None:
        return
    assert sum(len(runs(row, 20)) for row in row_samples(orange(distinct))) == len(names)
    assert sum(len(runs(row, 20)) for row in row_samples(orange(same))) == 1


def row_samples(mask: np.ndarray) -> list[np.ndarray]:
    """One line of pixels, that with the most, of each row of panels."""
    return [mask[band][mask[band].sum(axis=1).argmax()] for band in runs(mask.sum(axis=1) > 20, 60)]


def test_nothing_is_added_where_nothing_goes_uphill(path: Path) -> None:
    domain = mesh.create_unit_square(COMM, 8, 8)
    picture = draw_uphill(path, domain, {"A": lambda x: np.zeros(x.shape[1], dtype=bool)})
    plain = draw(path, domain, {"A": slope}, times=(0.0, 1.0))
    if picture is not None and plain is not None:
        assert picture.shape == plain.shape
