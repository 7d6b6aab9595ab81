"""The fields over time, and the mesh: pictures of the geometry in two and three dimensions, profiles in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..paraview import Array, DrawnMesh, cell_of
from ..picture.numbers import common_range, prefixed, spread
from ..picture.shape import Shape, shape_of
from ..results import Results
from .curves import evenly, rounded
from .raster import Raster, Window, lines, polygons

MOST_FRAMES, MOST_SPECIES = 40, 6
MOST_PIXELS = 12_000_000
"""Of all frames together."""
WIDEST, NARROWEST = 720, 240
MOST_POINTS = 800
"""Of a profile: of more vertices, so many that lie evenly among them."""
DETAIL = 30
"""Sizes of the smallest cell in a detail of the mesh."""
MOST_FACES = 200_000
"""Of a solid's surface that are drawn one by one: more would be a grey surface."""
PHI = "φ"

Times = Sequence[tuple[float, int]]


@dataclass(frozen=True)
class Field:
    """One field at all shown times.

    name, label:  in the file, and for the reader
    factor, unit: of the numbers that are shown
    """

    name: str
    label: str
    factor: float
    unit: str


def shown_times(results: Results) -> Times:
    """Of the stored times those that are shown, and their places among all."""
    return spread([(float(t), k) for k, t in enumerate(results.times)], MOST_FRAMES)


def fields_of(results: Results, concentration: str, times: Times) -> list[Field]:
    """Concentrations and the electric potential, as far as they are there."""
    names = [name for name in results.species if name in results.point_names][:MOST_SPECIES]
    found = [Field(name, name, 1.0, concentration) for name in names]
    if "phi" in results.point_names:
        largest = max(float(np.nanmax(np.abs(results.point("phi", k)))) for _, k in times)
        found.append(Field("phi", PHI, *prefixed(largest, "V" if results.dimensional else "RT/F")))
    return found


def profiles(results: Results, fields: list[Field], times: Times) -> dict[str, Any]:
    """For one dimension: x, its unit, and the charts, each with the values of its curves by time."""
    order = np.argsort(results.points[:, 0], kind="stable")
    order = order[evenly(len(order), MOST_POINTS)]
    size, unit = prefixed(float(np.ptp(results.points[:, 0])), "m" if results.dimensional else "")
    charts = []
    for title, some in (
        ("Concentrations", [f for f in fields if f.name != "phi"]),
        ("Electric potential", [f for f in fields if f.name == "phi"]),
    ):
        if some:
            values = [[results.point(f.name, k)[order] / f.factor for f in some] for _, k in times]
            norm = common_range([np.concatenate(one) for one in values])
            charts.append(
                {
                    "title": title,
                    "unit": some[0].unit,
                    "names": [f.label for f in some],
                    "range": [float(norm.vmin or 0.0), float(norm.vmax or 0.0)],
                    "log": bool(norm.vmin is not None and norm.vmin > 0),
                    "values": [[rounded(curve, 6) for curve in one] for one in values],
                }
            )
    return {"x": rounded(results.points[order, 0] / size, 6), "unit": unit, "charts": charts}


def geometry(results: Results) -> Shape | None:
    """What the pictures are of: none in one dimension, and before the first fields."""
    if not len(results.times) or results.dimension == 1:
        return None
    return shape_of(DrawnMesh(cell_of(results.vtk_type), results.points, results.cells))


def frames(results: Results, shape: Shape, fields: list[Field], times: Times) -> dict[str, Any]:
    """For two and three dimensions: the size of the pictures, the lines around the shape, and of each field its range and its pictures."""
    pixels = MOST_PIXELS / (len(times) * max(len(fields), 1))
    width = int(np.clip(np.sqrt(pixels / shape.aspect), NARROWEST, WIDEST if shape.aspect < 1 else WIDEST / shape.aspect))
    window = Window.around(shape.corners, width)
    raster = Raster(shape, window)
    drawn = []
    for field in fields:
        shown, ends = [], []
        for _, k in times:
            values = results.point(field.name, k) / field.factor
            shown.append(raster.at_pixels(values).astype(np.float32))
            ends.append(np.array([np.nanmin(values), np.nanmax(values)]))
        norm = common_range(ends)
        low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
        drawn.append(
            {"label": field.label, "unit": field.unit, "range": [low, high], "pictures": [raster.picture(one, low, high) for one in shown]}
        )
    return {"size": window.size, "outline": lines(shape.outline, window, 1.2), "fields": drawn}


def mesh_pictures(results: Results, shape: Shape) -> list[str]:
    """The mesh as a whole, and where its cells are too small to be seen, around the smallest one."""
    window = Window.around(shape.corners, round(WIDEST / max(1.0, shape.aspect)))
    if results.dimension == 3:
        faces = shape.corners.reshape(-1, 3, 2)
        light = shape.light[::3]
        if cell_of(results.vtk_type) == "hexahedron":  # two triangles make one face
            faces, light = np.concatenate([faces[::2], faces[1::2, 2:]], axis=1), light[::2]
        return [polygons(faces, light, window) if len(faces) < MOST_FACES else lines(shape.outline, window, 1.0)]
    edges = _edges(results)
    length = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    smallest = float(length.min())
    pictures = [lines(edges if np.median(length) * window.scale > 3 else shape.outline, window, 0.5)]
    if smallest * window.scale < 5:
        middle = edges[np.argmin(length)].mean(axis=0)
        reach = DETAIL / 2 * smallest
        low, high = np.maximum(middle - reach, window.low), np.minimum(middle + reach, window.high)
        detail = Window(low, high, (WIDEST / 2) / float(np.max(high - low)))
        near = np.all((edges.max(axis=1) >= low) & (edges.min(axis=1) <= high), axis=1)
        pictures.append(lines(edges[near], detail, 0.8))
    return pictures


def _edges(results: Results) -> Array:
    """(n, 2, 2) of a flat mesh, each once."""
    pairs = np.stack([results.cells, np.roll(results.cells, -1, axis=1)], axis=-1).reshape(-1, 2)
    return results.points[np.unique(np.sort(pairs, axis=1), axis=0)][:, :, :2]
