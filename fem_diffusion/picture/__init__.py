"""The picture of a run, summary.png."""

from .numbers import quantity, spread
from .page import COLORS, DPI, WIDTH
from .shape import TO_VIEWER
from .summary import summary
from .uphill import Uphill

__all__ = ["COLORS", "DPI", "TO_VIEWER", "WIDTH", "Uphill", "quantity", "spread", "summary"]
