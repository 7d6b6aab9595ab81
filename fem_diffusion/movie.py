"""A movie of a run: its fields over time, in the colours of the ParaView state; curves in one dimension."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from .display import screen
from .errors import InputError
from .output import first_free
from .panels import DIVERGING, Array, Clock, Panel, columns, extent_seen, length_unit, panel, panels, values
from .picture import COLORS, TO_VIEWER
from .picture.numbers import in_unit
from .picture.page import INK, LINES, STYLE
from .picture.shape import EMPTY
from .picture.uphill import HOT
from .results import Results

Frame = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 1280, 720
"""Pixels that the panels may fill."""
BAR, LINE, MARGIN = 170, 56, 20
"""Pixels for the colours beside a field, for the time above it, and around it."""
SECONDS, SLOWEST, FASTEST = 8, 2, 25
"""A movie takes so long, if that is between so many frames per second."""
ENCODERS = (".mp4", ".gif")


def make_movie(folder: Path, path: Path | None = None, field: str | None = None, fps: float | None = None) -> Path:
    """Write a movie, a frame for each time of the fields, and return its path; by default <folder>/movie.mp4, or -2, -3, ....

    field:  one of the results; by default the first species, and the electric potential if there is one
    fps:    frames per second; by default such that the movie takes SECONDS, between SLOWEST and FASTEST

    Raises InputError if the folder is not that of a run, has no fields yet or not that one, if the file is there already, cannot be
    written or is neither mp4 nor gif, or if what draws it is not installed.
    """
    results = Results(folder)
    shown = [panel(results, field)] if field is not None else panels(results)
    path = path or first_free(folder, "movie", ".mp4")
    if path.suffix not in ENCODERS:
        raise InputError(f"{path}: a movie ends in .mp4 or .gif")
    if path.exists():
        raise InputError(f"{path} is there already: choose another name with -o, or remove it; nothing is overwritten")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise InputError(f"{path}: mp4 needs ffmpeg, which is not installed: install it, or choose a name with .gif")
    if fps is not None and fps <= 0:
        raise InputError(f"--fps {fps:g}: must be above zero")
    rate = fps or float(np.clip(len(results.times) / SECONDS, SLOWEST, FASTEST))
    draw = frames_of_curves if results.dimension == 1 else frames_of_maps
    write: Callable[[Path, Iterator[Frame], float], None] = _write_mp4 if path.suffix == ".mp4" else _write_gif
    try:
        write(path, draw(results, shown), rate)
    except OSError as error:
        path.unlink(missing_ok=True)  # what there is of it
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return path


# --- maps


def frames_of_maps(results: Results, shown: Sequence[Panel]) -> Iterator[Frame]:
    """Fields on the geometry, a flat one from above, a solid one from the front; (height, width, 3) of each time."""
    import pyvista  # takes a second to load

    (length, _), clock = length_unit(results), Clock.of(results)
    extent = extent_seen(results) / length
    across = columns(len(shown), float(extent[1] / extent[0]))
    down = -(-len(shown) // across)
    width, height, scale = _fit(extent, across, down)
    corners = results.cells.shape[1]
    cells = np.insert(results.cells, 0, corners, axis=1).reshape(-1)
    types = np.full(len(results.cells), results.vtk_type, dtype=np.uint8)

    with screen():
        plotter = pyvista.Plotter(off_screen=True, shape=(down, across), window_size=[across * width, down * height], border=False)
        try:
            grids, clocks = [], []
            for k in range(down * across):
                plotter.subplot(k // across, k % across)
                plotter.set_background("white")
                if k >= len(shown):
                    continue
                grid = pyvista.UnstructuredGrid(cells, types, results.points / length)
                _draw_map(plotter, results, shown[k], grid)
                _look(plotter, grid, results.dimension, height, scale)
                clocks.append(plotter.add_text(" ", position=(MARGIN, height - LINE + 14), font_size=12, color=INK))
                grids.append(grid)
            for k, time in enumerate(results.times):
                for one, grid, text in zip(shown, grids, clocks, strict=True):
                    _data(grid, one)[one.field] = values(results, one.field, one.in_cells, k)
                    text.SetInput(clock.label(time))
                plotter.render()
                yield np.asarray(plotter.screenshot(return_img=True))[..., :3]
        finally:
            plotter.close()


def _fit(extent: Array, across: int, down: int) -> tuple[int, int, float]:
    """Width and height of a panel, even numbers of pixels, and pixels per length, so that all panels fit."""
    scale = min((WIDTH / across - BAR - 2 * MARGIN) / extent[0], (HEIGHT / down - LINE - MARGIN) / extent[1])
    width, height = scale * extent + [BAR + 2 * MARGIN, LINE + MARGIN]
    # a colour bar needs some height
    return 2 * int(np.ceil(width / 2)), 2 * int(np.ceil(max(height, 200) / 2)), float(scale)


def _data(grid: Any, one: Panel) -> Any:
    return grid.cell_data if one.in_cells else grid.point_data


def _draw_map(plotter: Any, results: Results, one: Panel, grid: Any) -> None:
    _data(grid, one)[one.field] = values(results, one.field, one.in_cells, 0)
    plotter.add_mesh(
        grid,
        scalars=one.field,
        preference="cell" if one.in_cells else "point",
        cmap=DIVERGING if one.diverging else COLORS,
        clim=(one.low, one.high),
        nan_color=3 * (EMPTY,),
        lighting=results.dimension == 3,
        show_scalar_bar=False,
    )
    width, height = plotter.renderer.GetSize()
    left = width - BAR + 30
    plotter.add_text(one.label, position=(left, height - LINE + 18), font_size=9, color=INK)
    plotter.add_scalar_bar(
        title=f"{one.field} ",  # a name, which is not drawn: each bar has its own
        vertical=True,
        color=INK,
        fmt="%.3g",
        title_font_size=1,
        label_font_size=14,
        width=60 / width,
        height=(height - LINE - MARGIN) / height,
        position_x=left / width,
        position_y=MARGIN / height,
    )


def _look(plotter: Any, grid: Any, dimension: int, height: int, scale: float) -> None:
    """So many pixels per length, with room for the colours at the right and the time above."""
    towards = TO_VIEWER if dimension == 3 else np.array([0.0, 0.0, 1.0])
    up = np.array([0.0, 0.0, 1.0] if dimension == 3 else [0.0, 1.0, 0.0])
    right = np.cross(up, towards)
    right /= np.linalg.norm(right)
    up = np.cross(towards, right)
    places = grid.points @ np.stack([right, up, towards], axis=1)
    middle = 0.5 * (places.min(axis=0) + places.max(axis=0)) + [0.5 * BAR / scale, 0.5 * (LINE - MARGIN) / scale, 0.0]
    focus = middle @ np.stack([right, up, towards])
    camera = plotter.camera
    camera.parallel_projection = True
    camera.focal_point, camera.position, camera.up = focus, focus + 2 * np.ptp(grid.points, axis=0).max() * towards, up
    camera.parallel_scale = 0.5 * height / scale
    plotter.reset_camera_clipping_range()


# --- curves


def frames_of_curves(results: Results, shown: Sequence[Panel]) -> Iterator[Frame]:
    """Fields over x, species together, thick orange where they go uphill; (height, width, 3) of each time."""
    (length, unit), clock = length_unit(results), Clock.of(results)
    charts = [[one for one in shown if one.flux], *([one] for one in shown if not one.flux)]
    charts = [chart for chart in charts if chart]
    order = np.argsort(results.points[:, 0])
    ends = results.points[results.cells, 0] / length
    with mpl.rc_context(STYLE | {"font.size": 11, "legend.fontsize": 10}):
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white", layout="constrained")
        canvas = FigureCanvasAgg(figure)
        drawn = []
        for axes, chart in zip(figure.subplots(len(charts), squeeze=False)[:, 0], charts, strict=True):
            low, high = min(one.low for one in chart), max(one.high for one in chart)
            axes.set_xlim(ends.min(), ends.max())
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            axes.set_ylabel(", ".join(one.label for one in chart))
            axes.set_xlabel(f"x{in_unit(unit)}")
            for one, color in zip(chart, _LINES, strict=False):
                uphill = axes.add_collection(LineCollection([], colors=HOT, linewidths=6.0))
                (line,) = axes.plot([], [], color=color, label=one.field, lw=2)
                drawn.append((one, line, uphill))
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        for k, time in enumerate(results.times):
            figure.suptitle(clock.label(time), x=0.02, ha="left")
            for one, line, uphill in drawn:
                field = values(results, one.field, one.in_cells, k)
                if one.in_cells:
                    middles = ends.mean(axis=1)
                    along = np.argsort(middles)
                    line.set_data(middles[along], field[along])
                else:
                    line.set_data(results.points[order, 0] / length, field[order])
                if one.uphill:
                    up = results.cell(one.uphill, k) > 0
                    uphill.set_segments(list(np.stack([ends[up], field[results.cells[up]]], axis=-1)))
            canvas.draw()
            yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


_LINES = [color for color in LINES if color != LINES[1]]  # orange is what goes uphill


# --- files


def _write_mp4(path: Path, frames: Iterator[Frame], fps: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    command = ["ffmpeg", "-v", "error", "-n", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    command += ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has it: PETSc would end the program if ffmpeg ends early
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin is not None and ffmpeg.stderr is not None
        try:
            for frame in chain([first], frames):
                ffmpeg.stdin.write(frame.tobytes())
            ffmpeg.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg says why
        problem = ffmpeg.stderr.read().decode(errors="replace").strip()
    if ffmpeg.returncode:
        raise OSError(f"ffmpeg: {problem}")


def _write_gif(path: Path, frames: Iterator[Frame], fps: float) -> None:
    first, *rest = [Image.fromarray(frame).quantize(256) for frame in frames]
    picture = io.BytesIO()
    first.save(picture, format="gif", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    path.write_bytes(picture.getvalue())
