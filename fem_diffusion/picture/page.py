"""The page, its colours and its lengths."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

# OKLab lightness 0.26 to 0.93 in equal steps, colour distances equal within 10 %: equal steps of c look equal, also in grey
COLORS = LinearSegmentedColormap.from_list(
    "phases",
    [
        "#1b1f4b",
        "#1e2d64",
        "#1f3e78",
        "#205186",
        "#216592",
        "#297997",
        "#338e9b",
        "#48a19d",
        "#64b39f",
        "#7fc5a0",
        "#a2d4a1",
        "#c8e1a6",
        "#f2ecae",
    ],
)
INK, QUIET, FAINT = "#22252b", "#7b808a", "#d9dce1"
LINES = ("#205a8c", "#d1663a", "#3c9a7f", "#8a5aa8", "#b8912b", "#6b7280")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "mathtext.fontset": "dejavusans",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
DPI = 160
LARGEST = 1_200_000  # bytes of a picture in full colour; above it has 256 colours
WIDTH = 12.8  # inches, as are all lengths of the layout
MARGIN = 0.55
GAP = 0.2
LINE = 0.3  # a line of text above or below a panel
BAR = 0.95  # a colour bar with its numbers and label
HIGHEST = 3.6  # panel
CHART_HEIGHT = 2.1


class Page:
    """A white page that grows downwards: places are in inches from the left and from the top."""

    def __init__(self, title: str) -> None:
        self.figure = Figure(figsize=(WIDTH, 1.0), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self.title = title
        self.bottom = 0.65  # of what is on the page so far
        self._places: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[float, float, str]] = []

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        axes = self.figure.add_axes((0, 0, 1, 1), label=f"{len(self._places)}")
        self._places.append((axes, (left, top, width, height)))
        return axes

    def text(self, left: float, top: float, text: str) -> None:
        self._texts.append((left, top, text))

    def save(self, path: Path) -> None:
        height = self.bottom
        self.figure.set_size_inches(WIDTH, height)
        for axes, (left, top, w, h) in self._places:
            axes.set_position((left / WIDTH, 1 - (top + h) / height, w / WIDTH, h / height))
        for left, top, text in self._texts:
            self.figure.text(left / WIDTH, 1 - top / height, text, fontsize=11, va="top", ha="left")
        self.figure.text(MARGIN / WIDTH, 1 - 0.22 / height, self.title, fontsize=15, va="top", ha="left")
        picture = io.BytesIO()
        self.figure.savefig(picture, format="png", dpi=DPI)
        if picture.tell() > LARGEST:
            small = Image.open(picture).convert("RGB").quantize(256)
            picture = io.BytesIO()
            small.save(picture, format="png", optimize=True)
        path.write_bytes(picture.getvalue())
