"""The picture of a run, summary.png, and the curves of sweeps and impedances."""

from .curves import save_impedance, save_sweep
from .numbers import quantity, spread
from .page import COLORS, DPI, WIDTH
from .shape import TO_VIEWER
from .summary import summary
from .uphill import Uphill

__all__ = ["COLORS", "DPI", "TO_VIEWER", "WIDTH", "Uphill", "quantity", "save_impedance", "save_sweep", "spread", "summary"]
