"""Formulas as pictures that flow with the text, in its size and its colour."""

from __future__ import annotations

from functools import cache
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

EM, MARGIN = 1000, 20  # units of a drawing: in one em of the text around it, and around the drawing
_LETTERS = {int(Outline.MOVETO): "M", int(Outline.LINETO): "L", int(Outline.CURVE3): "Q", int(Outline.CURVE4): "C"}


@cache
def typeset(tex: str) -> str:
    """An inline SVG of a formula in matplotlib's dialect of TeX: needs no font of the reader's, and can be drawn by any browser."""
    with mpl.rc_context({"mathtext.fontset": "cm"}):
        path = TextPath((0, 0), f"${tex}$", size=EM)
    points = np.round(path.vertices * [1, -1]).astype(int)
    drawn, last = "", 0
    for x, y, code in np.column_stack([points, path.codes]):
        if code == Outline.CLOSEPOLY:
            drawn += "Z"
        else:  # the points of a curve follow its letter
            drawn += f"{_LETTERS[code] if code != last else ''} {x} {y}"
        last = code
    seen = points[path.codes != Outline.CLOSEPOLY]
    (left, top), (right, bottom) = seen.min(axis=0) - MARGIN, seen.max(axis=0) + MARGIN
    width, height = right - left, bottom - top
    return (
        f'<svg class="formula" role="img" aria-label="{escape(tex)}" viewBox="{left} {top} {width} {height}" '
        f'style="width:{width / EM:.3f}em;height:{height / EM:.3f}em;vertical-align:{-bottom / EM:.3f}em"><path d="{drawn}"/></svg>'
    )
