"""Fields as pictures, many of one shape: which triangle each pixel shows is found once, then a picture is a weighted sum."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..paraview import Array, Ints
from ..picture.page import COLORS
from ..picture.shape import EMPTY, Shape

_PALETTE = np.round(255 * COLORS(np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
_AT_ONCE = 1_000_000  # pixels of rectangles around triangles: memory
_FINER = 3  # lines are drawn larger by this, and then shrunk


@dataclass(frozen=True)
class Window:
    """A rectangle of the plane and its pixels: from `low` on, so many pixels in a unit of length."""

    low: Array
    high: Array
    scale: float

    @classmethod
    def around(cls, corners: Array, width: int) -> Window:
        """All of the corners, (n, 2), on so many pixels from left to right."""
        low, high = corners.min(axis=0), corners.max(axis=0)
        return cls(low, high, (width - 1) / (high[0] - low[0]))

    @property
    def size(self) -> tuple[int, int]:
        width, height = np.round(self.scale * (self.high - self.low)).astype(int) + 1
        return int(width), int(height)

    def place(self, at: Array) -> Array:
        """Pixels from the left and from the top of places (..., 2)."""
        return np.stack([at[..., 0] - self.low[0], self.high[1] - at[..., 1]], axis=-1) * self.scale


class Raster:
    """The pixels of a shape in a window.

    pixels:   (p,) which pixels show something, row by row from the top
    rows:     (p, 3) points of the mesh at the corners of the triangle that a pixel shows
    weights:  (p, 3) what each counts
    light:    (p,) brightness
    """

    def __init__(self, shape: Shape, window: Window) -> None:
        self._size = width, height = window.size
        corners = window.place(shape.corners).reshape(-1, 3, 2)
        first = np.floor(corners.min(axis=1)).astype(np.int64)
        extent = np.ceil(corners.max(axis=1)).astype(np.int64) - first + 1
        shown = np.full(width * height, -1)
        weights = np.zeros((width * height, 3))
        parts = np.searchsorted(np.cumsum(extent.prod(axis=1)), np.arange(0, extent.prod(axis=1).sum(), _AT_ONCE))
        for start, end in pairwise([*parts, len(corners)]):
            some = slice(start, end)
            triangle, pixel, of_corners = _covered(corners[some], first[some], extent[some], width, height)
            # painted in order, as a painter does: of equal pixels the last one counts
            shown[pixel], weights[pixel] = start + triangle, of_corners
        self.pixels = np.flatnonzero(shown >= 0)
        seen = shown[self.pixels]
        self.rows = shape.rows.reshape(-1, 3)[seen]
        self.weights = weights[self.pixels]
        self.light = shape.light[3 * seen]
        self._lit = bool(np.any(self.light != 1))

    def at_pixels(self, values: Array) -> Array:
        """A field at `pixels` from its nodal values."""
        return np.einsum("ij,ij->i", values[self.rows], self.weights)

    def picture(self, at_pixels: Array, low: float, high: float) -> str:
        """A field in colours from `low` to `high`, as a data URL; where it is nan, grey."""
        level = np.clip((at_pixels - low) * (255 / (high - low)), 0, 255)
        blank = np.isnan(level)
        colors = _PALETTE[np.where(blank, 0, level).astype(np.uint8)]
        colors[blank] = round(255 * EMPTY)
        if self._lit:
            colors = colors * self.light[:, None]
        image = np.zeros((self._size[0] * self._size[1], 4), dtype=np.uint8)
        image[self.pixels, :3] = colors
        image[self.pixels, 3] = 255
        return _data_url(Image.fromarray(image.reshape(self._size[1], self._size[0], 4)), "webp", quality=82, method=1)


def _covered(corners: Array, first: Ints, extent: Ints, width: int, height: int) -> tuple[Ints, Ints, Array]:
    """Which triangle has which pixel, triangle by triangle, and the weights of its corners there.

    first, extent: (k, 2) the rectangles of pixels around the triangles
    """
    count = extent.prod(axis=1)
    triangle = np.repeat(np.arange(len(corners)), count)
    place = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    p = first[triangle] + np.stack([place % extent[triangle, 0], place // extent[triangle, 0]], axis=1)
    a, b, c = (corners[triangle, k] for k in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):  # a triangle without area shows nowhere
        weights = np.stack([_cross(b - p, c - p), _cross(c - p, a - p), _cross(a - p, b - p)], axis=1) / _cross(b - a, c - a)[:, None]
    inside = (weights > -1e-6).all(axis=1) & (p >= 0).all(axis=1) & (p < [width, height]).all(axis=1)
    return triangle[inside], p[inside, 1] * width + p[inside, 0], weights[inside]


def lines(ends: Array, window: Window, width: float) -> str:
    """Lines (n, 2, 2), so many pixels wide, black on nothing, as a data URL."""
    image, draw = _paper("L", window)
    for line in _finely(ends, window).reshape(-1, 4).tolist():
        draw.line(line, fill=255, width=round(_FINER * width))
    opacity = image.reduce(_FINER)
    return _data_url(Image.merge("LA", (Image.new("L", opacity.size), opacity)), "png")


def polygons(corners: Array, light: Array, window: Window) -> str:
    """Polygons (n, k, 2) with their edges, painted in their order in grey of some brightness, as a data URL."""
    image, draw = _paper("LA", window)
    places: list[list[list[int]]] = _finely(corners, window).tolist()  # type: ignore[assignment]
    for polygon, grey in zip(places, light, strict=True):
        draw.polygon([(x, y) for x, y in polygon], fill=(int(255 * grey), 255), outline=(70, 255))
    return _data_url(image.reduce(_FINER), "png")


def _paper(mode: str, window: Window) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    width, height = window.size
    image = Image.new(mode, (_FINER * width, _FINER * height))
    return image, ImageDraw.Draw(image)


def _finely(at: Array, window: Window) -> Ints:
    return np.round(_FINER * (window.place(at) + 0.5)).astype(np.int64)


def _cross(u: Array, v: Array) -> Array:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _data_url(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
