"""A ParaView state of a run, view.py in its folder: a Python script that a person can read and change, and ParaView opens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
from matplotlib.colors import Colormap, to_hex

from .errors import InputError
from .panels import DIVERGING, Clock, columns, extent_seen, length_unit, panels
from .picture import COLORS, TO_VIEWER
from .picture.page import INK, LINES
from .picture.shape import EMPTY
from .picture.uphill import HOT
from .results import Results

STATE = "view.py"
SAMPLES = 33
"""Colours of a map: an odd number has the middle of a diverging one."""
_FIRST, _LAST = "# --- this run\n", "# --- what is drawn\n"


def write_state(folder: Path) -> tuple[Path, bool]:
    """Write view.py into the folder of a run; return its path, and whether it is new: one that is there, and may have been edited, stays.

    Raises InputError if the folder is not that of a run, has no fields yet, or cannot be written to.
    """
    path = folder / STATE
    text = state(Results(folder))
    if path.exists():
        return path, path.read_text() == text
    try:
        path.write_text(text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return path, True


def state(results: Results) -> str:
    """The script for the fields of a run: paraview_state.py with the numbers of this run."""
    template = resources.files(__package__).joinpath("paraview_state.py").read_text()
    shown = panels(results)
    (length, of_length), clock = length_unit(results), Clock.of(results)
    span, seen = np.ptp(results.points, axis=0) / length, extent_seen(results) / length
    settings = {
        "DIMENSION": results.dimension,
        "START, SPAN": (float(results.points[:, 0].min() / length), span.tolist()),
        "SEEN": seen.tolist(),
        "LENGTH, LENGTH_UNIT": (length, of_length),
        "TIME, TIME_UNIT": (clock.seconds, clock.unit),
        "COLUMNS": columns(len(shown), float(seen[1] / seen[0])) if results.dimension > 1 else 1,
        "TOWARDS_VIEWER": TO_VIEWER.tolist() if results.dimension > 2 else [0.0, 0.0, 1.0],
        "PANELS": [asdict(one) for one in shown],
        "SEQUENTIAL": _colors(COLORS),
        "DIVERGING": _colors(DIVERGING),
        "LINES": [color for color in LINES if color != LINES[1]],  # orange is what goes uphill
        "INK, EMPTY, UPHILL": (INK, to_hex(3 * (EMPTY,)), HOT),
    }
    before, rest = template.split(_FIRST)
    after = rest.split(_LAST)[1]
    # ASCII: ParaView reads scripts in the encoding of the system
    return before + _FIRST + "".join(f"{name} = {value!a}\n" for name, value in settings.items()) + _LAST + after


def start_paraview(path: Path) -> bool:
    """Open the script in ParaView if it is installed and there is a screen; whether that was so."""
    program = shutil.which("paraview")
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if program is None or not screen:
        return False
    subprocess.Popen([program, f"--script={path.resolve()}"], stdin=subprocess.DEVNULL, start_new_session=True)
    return True


def _colors(colors: Colormap) -> list[str]:
    return [to_hex(color) for color in colors(np.linspace(0, 1, SAMPLES))]
