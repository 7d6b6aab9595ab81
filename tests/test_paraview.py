"""A field series as VTK's own reader, which is ParaView's, sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import basix.ufl
import h5py
import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from mpi4py import MPI

from fem_diffusion.compat import create_mesh
from fem_diffusion.errors import OutputError
from fem_diffusion.mesh import Mesh, build
from fem_diffusion.paraview import FieldSeries

COMM = MPI.COMM_WORLD
LENGTH = 1e-3
TIMES = [0.0, 0.5, 2.0]


def curved() -> mesh.Mesh:
    """Triangles of degree 2 with straight edges."""
    plain = Mesh(shape="rectangle", size=1.0, cells=4)
    linear = build(plain, Path(), MPI.COMM_SELF).mesh
    element = basix.ufl.element("Lagrange", "triangle", 2, shape=(2,))
    V = fem.functionspace(linear, element)
    x = V.tabulate_dof_coordinates()[:, :2]
    cells = V.dofmap.list.astype(np.int64)
    if COMM.rank:
        x, cells = x[:0], cells[:0]
    return create_mesh(COMM, cells, x, ufl.Mesh(element))


MESHES: dict[str, Callable[[], mesh.Mesh]] = {
    "interval": lambda: mesh.create_interval(COMM, 12, [0.0, 1.0]),
    "triangles": lambda: mesh.create_unit_square(COMM, 5, 4),
    "triangles of degree 2": curved,
    "quadrilaterals": lambda: mesh.create_unit_square(COMM, 5, 4, mesh.CellType.quadrilateral),
    "tetrahedra": lambda: mesh.create_unit_cube(COMM, 3, 2, 3),
    "hexahedra": lambda: mesh.create_unit_cube(COMM, 3, 2, 3, mesh.CellType.hexahedron),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One folder for all ranks."""
    return Path(COMM.bcast(tmp_path))


def linear(x: np.ndarray, t: float) -> np.ndarray:
    return (1 + t) * (1 + x[0] + 2 * x[1] + 3 * x[2])


def fields(domain: mesh.Mesh, t: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """linear() at the nodes, a vector (1, 2, ...) times it at the nodes, and its values at the midpoints of the cells."""
    gdim = domain.geometry.dim
    c = fem.Function(fem.functionspace(domain, ("Lagrange", 1)))
    c.interpolate(lambda x: linear(x, t))
    cells = domain.topology.index_map(domain.topology.dim).size_local
    middles = mesh.compute_midpoints(domain, domain.topology.dim, np.arange(cells, dtype=np.int32))
    at_cells = linear(middles.T, t)
    direction = np.arange(1.0, gdim + 1)
    point = {"c": c.x.array, "J": np.outer(c.x.array, direction)}
    return point, {"m": at_cells, "v": np.outer(at_cells, direction)}


def read(path: Path) -> list[tuple[float, Any]]:
    """Times and grids."""
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    # VTK 9.3 and 9.6 do not announce the time of a series of one
    times = reader.GetOutputInformation(0).Get(vtkStreamingDemandDrivenPipeline.TIME_STEPS()) or TIMES[: reader.GetNumberOfSteps()]
    series = []
    for t in times:
        reader.UpdateTimeStep(t)
        grid = reader.GetOutputDataObject(0).NewInstance()
        grid.DeepCopy(reader.GetOutputDataObject(0))
        series.append((t, grid))
    return series


def array(data: Any, name: str) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(data.GetArray(name))


def points(grid: Any) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(grid.GetPoints().GetData())


def integrals(grid: Any) -> Any:
    """Integrals of the point arrays and of the cell arrays, the latter also with the measure."""
    from vtkmodules.vtkFiltersParallel import vtkIntegrateAttributes

    integrate = vtkIntegrateAttributes()
    integrate.SetInputData(grid)
    integrate.Update()
    return integrate.GetOutput()


@pytest.mark.parametrize("kind", MESHES)
def test_reader_gets_times_points_and_values(kind: str, folder: Path) -> None:
    domain = MESHES[kind]()
    path = folder / "fields.vtkhdf"
    series = FieldSeries(path, fem.functionspace(domain, ("Lagrange", 1, (2,))), length=LENGTH)
    for written, t in enumerate(TIMES, start=1):
        series.write(t, *fields(domain, t))
        if COMM.rank == 0:
            assert [time for time, _ in read(path)] == TIMES[:written]
            assert array(read(path)[-1][1].GetPointData(), "c").min() == pytest.approx(linear(np.zeros(3), t))

    cells = domain.topology.index_map(domain.topology.dim).size_global
    vertices = domain.topology.index_map(0).size_global
    gdim = domain.geometry.dim
    if COMM.rank > 0:
        return
    for t, grid in read(path):
        x = points(grid) / LENGTH
        c = linear(x.T, t)
        direction = np.array([1.0, 2.0, 3.0]) * (np.arange(3) < gdim)
        assert (grid.GetNumberOfCells(), grid.GetNumberOfPoints()) == (cells, vertices)
        assert np.allclose(x.min(0), 0) and np.allclose(x.max(0), np.arange(3) < gdim)
        assert np.allclose(array(grid.GetPointData(), "c"), c, rtol=1e-13)
        assert np.allclose(array(grid.GetPointData(), "J"), np.outer(c, direction), rtol=1e-13)
        middles = [np.mean([x[grid.GetCell(i).GetPointId(k)] for k in range(grid.GetCell(i).GetNumberOfPoints())], 0) for i in range(cells)]
        assert np.allclose(array(grid.GetCellData(), "m"), linear(np.transpose(middles), t), rtol=1e-13)
        assert np.allclose(array(grid.GetCellData(), "v"), np.outer(linear(np.transpose(middles), t), direction), rtol=1e-13)


@pytest.mark.parametrize("kind", MESHES)
def test_integral_over_the_read_grid_is_exact(kind: str, folder: Path) -> None:
    domain = MESHES[kind]()
    dimension = domain.topology.dim
    path = folder / "fields.vtkhdf"
    series = FieldSeries(path, fem.functionspace(domain, ("Lagrange", 1)))
    for t in TIMES:
        series.write(t, *fields(domain, t))
    if COMM.rank > 0:
        return
    for t, grid in read(path):
        whole = integrals(grid)
        exact = (1 + t) * (1 + [0.5, 1.5, 3.0][dimension - 1])
        measure = array(whole.GetCellData(), ["Length", "Area", "Volume"][dimension - 1])[0]
        assert measure == pytest.approx(1, rel=1e-12)
        assert array(whole.GetPointData(), "c")[0] == pytest.approx(exact, rel=1e-12)
        assert array(whole.GetCellData(), "m")[0] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("cell_type", ["simplex", "tensor"])
def test_periodic_mesh_is_drawn_unstretched(cell_type: str, folder: Path) -> None:
    """The upper side is drawn where it is, with the values of the lower side."""
    n = 6
    geometry = build(Mesh(shape="rectangle", size=1.0, cells=n, periodic=["x", "y"], cell_type=cell_type), Path(), COMM)
    domain = geometry.mesh
    V = fem.functionspace(domain, ("Lagrange", 1))
    assert V.dofmap.index_map.size_global == n**2
    wave = lambda x: np.sin(2 * np.pi * x[0]) + np.cos(2 * np.pi * x[1])  # noqa: E731
    c = fem.Function(V)
    c.interpolate(wave)
    path = folder / "fields.vtkhdf"
    FieldSeries(path, V, 1.0, geometry.wrap).write(0.0, {"c": c.x.array}, {})
    if COMM.rank > 0:
        return
    ((_, grid),) = read(path)
    x = points(grid)
    assert len(x) == (n + 1) ** 2
    assert np.allclose(array(grid.GetPointData(), "c"), wave(x.T), atol=1e-13)
    for i in range(grid.GetNumberOfCells()):
        low_x, high_x, low_y, high_y, _, _ = grid.GetCell(i).GetBounds()
        assert (high_x - low_x, high_y - low_y) == pytest.approx((1 / n, 1 / n))


@pytest.mark.parametrize("periodic", [[], ["x", "y"]])
def test_the_file_is_the_same_on_any_number_of_ranks(periodic: list[str], folder: Path) -> None:
    """Points, cells and values in the order of the same mesh on one rank."""
    files = []
    for comm, name in ((COMM, "all"), (MPI.COMM_SELF, f"one-{COMM.rank}")):
        geometry = build(Mesh(shape="rectangle", size=[1.0, 2.0], cells=[5, 6], periodic=periodic), Path(), comm)
        V = fem.functionspace(geometry.mesh, ("Lagrange", 1))
        c, m = fem.Function(V), fem.Function(fem.functionspace(geometry.mesh, ("DG", 0)))
        c.interpolate(lambda x: np.cos(2 * np.pi * x[0]) + np.sin(np.pi * x[1]))
        m.interpolate(lambda x: x[0] + x[1])
        series = FieldSeries(folder / name / "fields.vtkhdf", V, 1.0, geometry.wrap)
        series.write(0.0, {"c": c.x.array}, {"m": m.x.array})
        files.append(folder / name / "fields.vtkhdf")
    with h5py.File(files[0], locking=False) as several, h5py.File(files[1], locking=False) as one:
        for name in ("Points", "Connectivity", "Offsets", "Types"):
            assert np.array_equal(several[f"VTKHDF/{name}"], one[f"VTKHDF/{name}"]), name
        for name in ("PointData/c", "CellData/m"):
            assert np.allclose(several[f"VTKHDF/{name}"], one[f"VTKHDF/{name}"], rtol=0, atol=1e-14), name  # interpolated in other cells


def test_other_arrays_than_the_first_time_are_refused(folder: Path) -> None:
    domain = mesh.create_interval(COMM, 8, [0.0, 1.0])
    series = FieldSeries(folder / "fields.vtkhdf", fem.functionspace(domain, ("Lagrange", 1)))
    point, cell = fields(domain, 0.0)
    series.write(0.0, point, cell)
    with pytest.raises(ValueError, match="not those of the first time"):
        series.write(1.0, {"other": point["c"]}, cell)


def test_file_that_cannot_be_written_is_an_error_on_every_rank(folder: Path) -> None:
    domain = mesh.create_interval(COMM, 8, [0.0, 1.0])
    if COMM.rank == 0:
        (folder / "fields").touch()
    COMM.barrier()
    with pytest.raises(OutputError, match="cannot write .*fields: File exists"):
        FieldSeries(folder / "fields.vtkhdf", fem.functionspace(domain, ("Lagrange", 1)))


def test_run_goes_on_while_another_program_has_the_file_open(folder: Path) -> None:
    domain = mesh.create_interval(COMM, 8, [0.0, 1.0])
    path = folder / "fields.vtkhdf"
    series = FieldSeries(path, fem.functionspace(domain, ("Lagrange", 1)))
    series.write(0.0, *fields(domain, 0.0))
    hold = "import h5py, sys; f = h5py.File(sys.argv[1], 'r'); print('open', flush=True); sys.stdin.read()"
    if COMM.rank == 0:
        other = subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None and other.stdout.readline() == "open\n"
    series.write(1.0, *fields(domain, 1.0))
    if COMM.rank == 0:
        other.communicate()
        with h5py.File(path, "r") as file:
            assert list(file["VTKHDF/Steps/Values"]) == [0.0, 1.0]
