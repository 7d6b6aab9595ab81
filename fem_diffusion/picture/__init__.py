"""The picture of a run, summary.png, and the curves of sweeps and impedances.

matplotlib takes a third of a second to load: import this where a picture is drawn.
"""

from .curves import save_impedance, save_sweep
from .numbers import quantity, spread
from .page import COLORS, DPI, WIDTH
from .shape import TO_VIEWER
from .summary import summary, summary_of

__all__ = ["COLORS", "DPI", "TO_VIEWER", "WIDTH", "quantity", "save_impedance", "save_sweep", "spread", "summary", "summary_of"]
