"""What gmsh and meshio read."""

from __future__ import annotations

import re
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .. import compat
from ..errors import InputError
from .whole import KINDS, Group, Whole, assembled, node_count, ordered

_GMSH_CELLS = {
    "Line": "interval",
    "Triangle": "triangle",
    "Quadrilateral": "quadrilateral",
    "Tetrahedron": "tetrahedron",
    "Hexahedron": "hexahedron",
}
_MESHIO_CELLS = {
    "vertex": ("point", 1),
    "line": ("interval", 1),
    "line3": ("interval", 2),
    "triangle": ("triangle", 1),
    "triangle6": ("triangle", 2),
    "quad": ("quadrilateral", 1),
    "quad9": ("quadrilateral", 2),
    "tetra": ("tetrahedron", 1),
    "tetra10": ("tetrahedron", 2),
    "hexahedron": ("hexahedron", 1),
    "hexahedron27": ("hexahedron", 2),
}


# --- gmsh


def read_gmsh(path: Path, parameters: dict[str, float]) -> Whole:
    # imported here, on rank 0: a problem on a box needs no gmsh
    try:
        import gmsh
    except ImportError as error:
        raise InputError(f"{path} needs the Python module gmsh: {error}") from None
    if gmsh.isInitialized():
        raise InputError(f"{path}: gmsh is open already in this process: call gmsh.finalize() first")
    if path.suffix == ".geo":
        source = path.read_text(errors="replace")
        for name in parameters:
            if not re.search(rf"\b{re.escape(name)}\b", source):
                raise InputError(f"[mesh] parameters: {path} has no parameter '{name}'")
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        # An error thrown out of gmsh's parser would leave the rest of the file to be read as part of the next one.
        gmsh.option.setNumber("General.AbortOnError", 0)
        gmsh.logger.start()
        # `-setnumber` would outlive finalize() and change the next file's mesh; open() would forget the numbers.
        for name, value in parameters.items():
            gmsh.parser.setNumber(name, [value])
        gmsh.merge(str(path))
        _refuse_gmsh_errors(gmsh, f"read {path}")
        if path.suffix == ".geo":
            gmsh.model.mesh.generate(_gmsh_dimension(gmsh.model))
            _refuse_gmsh_errors(gmsh, f"mesh {path}")
        return _gmsh_arrays(gmsh.model, path)
    except Exception as error:
        if type(error) not in (Exception, UnicodeDecodeError):  # gmsh has no class of its own, and its messages quote the file
            raise
        raise InputError(f"gmsh cannot read {path}: the file is damaged, or no mesh") from None
    finally:
        gmsh.logger.stop()  # finalize() keeps what was logged
        gmsh.finalize()


def _refuse_gmsh_errors(gmsh: Any, task: str) -> None:
    errors = [line.removeprefix("Error: ") for line in gmsh.logger.get() if line.startswith("Error")]
    if errors:
        raise InputError(f"gmsh cannot {task}: {errors[0]}")


def _gmsh_dimension(model: Any) -> int:
    return max((dimension for dimension, _ in model.getPhysicalGroups()), default=model.getDimension())


def _gmsh_arrays(model: Any, path: Path) -> Whole:
    dimension = _gmsh_dimension(model)
    types = {int(kind) for _, entity in model.getEntities(dimension) for kind in model.mesh.getElementTypes(dimension, entity)}
    if dimension < 1 or not types:
        raise InputError(f"{path} holds no cells")
    described = {kind: model.mesh.getElementProperties(kind) for kind in types}
    cells_named = [_GMSH_CELLS.get(name.split()[0]) for name, *_ in described.values()]
    if len(types) > 1 or cells_named == [None]:
        _refuse_cells(path, sorted(name for name, *_ in described.values()))
    cell, (_, _, degree, nodes, *_) = str(cells_named[0]), described[types.pop()]

    tags, coordinates, _ = model.mesh.getNodes()
    row = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    row[tags.astype(np.int64)] = np.arange(len(tags))
    cells = _gmsh_group(model, path, dimension, nodes)
    facets = _gmsh_group(model, path, dimension - 1, node_count(KINDS[cell].facet, degree))
    cells.nodes = ordered(path, row[cells.nodes], cell, degree, compat.gmsh_order)
    facets.nodes = ordered(path, row[facets.nodes], KINDS[cell].facet, degree, compat.gmsh_order)
    return assembled(path, cell, degree, coordinates.reshape(-1, 3), cells, facets)


def _gmsh_group(model: Any, path: Path, dimension: int, nodes: int) -> Group:
    """The elements of the physical groups of one dimension, as gmsh's node tags; all elements of the highest one if it has no groups."""
    names: dict[str, int] = {}
    ids, found, values = [np.zeros(0, dtype=np.int64)], [np.zeros((0, nodes), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    groups = [
        (tag, entity) for _, tag in model.getPhysicalGroups(dimension) for entity in model.getEntitiesForPhysicalGroup(dimension, tag)
    ]
    if not model.getPhysicalGroups():
        groups = [(0, entity) for _, entity in model.getEntities(dimension)] if dimension == model.getDimension() else []
    for tag, entity in groups:
        value = names.setdefault(model.getPhysicalName(dimension, tag) or str(tag), tag) if tag else 0
        for element_ids, element_nodes in zip(*model.mesh.getElements(dimension, entity)[1:], strict=True):
            ids.append(element_ids.astype(np.int64))
            found.append(element_nodes.astype(np.int64).reshape(len(element_ids), -1))
            values.append(np.full(len(element_ids), value))
    if len({block.shape[1] for block in found}) > 1:
        _refuse_cells(path, [f"elements of dimension {dimension} with {n} nodes" for n in sorted({block.shape[1] for block in found})])
    result = Group(np.concatenate(found), np.concatenate(values), names)
    _, first, count = np.unique(np.concatenate(ids), return_index=True, return_counts=True)
    if count.max(initial=1) > 1:
        twice = [name for name, value in names.items() if value in result.values[first[count > 1]]]
        raise InputError(f"{path}: elements of '{twice[0]}' belong to another physical group too: each may have one name only")
    return result if names else Group(result.nodes, result.values[:0], names)


# --- meshio


def read_meshio(path: Path) -> Whole:
    try:
        import meshio
    except ImportError as error:
        raise InputError(f"{path} needs the Python module meshio: {error}") from None
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            file = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio exits if no reader takes the file
        reason = said.getvalue().strip() or error
        raise InputError(f"meshio cannot read {path}: {reason}; give a .geo, .msh, .vtu or .xdmf file") from None

    blocks = [(_MESHIO_CELLS.get(block.type), block) for block in file.cells]
    dimension = max((block.dim for block in file.cells), default=0)
    types = {block.type for block in file.cells if block.dim == dimension}
    if dimension < 1:
        raise InputError(f"{path} holds no cells")
    described = _MESHIO_CELLS.get(min(types))
    if len(types) > 1 or described is None:
        _refuse_cells(path, sorted(types))
    cell, degree = described
    facet = KINDS[cell].facet

    integer = [
        key for key, data in file.cell_data.items() if all(np.issubdtype(block.dtype, np.integer) and block.ndim == 1 for block in data)
    ]
    key = integer[0] if len(integer) == 1 else next((key for key in ("gmsh:physical", "medit:ref", "cell_tags") if key in integer), None)

    def group(kind: str, degree: int, dimension: int) -> Group:
        rows = [i for i, (known, _) in enumerate(blocks) if known == (kind, degree)]
        nodes = np.concatenate([np.zeros((0, node_count(kind, degree)), dtype=np.int64), *(blocks[i][1].data for i in rows)])
        nodes = ordered(path, nodes.astype(np.int64), kind, degree, compat.vtk_order)
        if key is None:
            return Group(nodes, np.zeros(0, dtype=np.int64), {})
        values = np.concatenate([np.zeros(0, dtype=np.int64), *(file.cell_data[key][i] for i in rows)]).astype(np.int64)
        named = {int(value): name for name, (value, d) in file.field_data.items() if d == dimension}
        return Group(nodes, values, {named.get(value, str(value)): value for value in np.unique(values).tolist()})

    points = np.pad(file.points, ((0, 0), (0, 3 - file.points.shape[1])))
    cells = group(cell, degree, dimension)
    facets = group(facet, 1 if facet == "point" else degree, dimension - 1)
    if not facets.names:
        facets.nodes = facets.nodes[:0]
    return assembled(path, cell, degree, points, cells, facets)


# --- both


def _refuse_cells(path: Path, found: list[str]) -> NoReturn:
    raise InputError(f"{path} holds {', '.join(found)}; legal is one type of cells only, simplices or quadrilaterals or hexahedra")
