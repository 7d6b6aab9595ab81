"""What a step is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StepData:
    """A step from `time` to time + dt.

    weights: a_0, a_1, a_2 of the time derivative
    states:  concentrations (vertices, n) at the start of the step and of the one before, newest first
    values:  the owned unknowns at the start, flat
    guess:   those from which Newton's method starts
    """

    time: float
    dt: float
    weights: tuple[float, float, float]
    states: Sequence[np.ndarray]
    values: np.ndarray
    guess: np.ndarray
