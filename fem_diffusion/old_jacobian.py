"""An old Jacobian in Newton's method: when it will do, and what can be learnt about the present one without assembling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .parallel import global_sum

NEAR = 0.3  # an update after which the next one with the same Jacobian is expected to be so many times smaller
SLOW = 0.3  # rate of convergence at which a new Jacobian pays
MEMORY = 20  # pairs of steps that are remembered
MOST = 12  # iterations with old Jacobians in one solution


class OldJacobian:
    """Broyden's method from a Jacobian J_0 of earlier, and the judgement whether J_0 is still worth it.

    With the steps s_k taken so far, z = -J_0^-1 R(x_n) becomes Broyden's step (the "good" update, B_k+1 = B_k + R(x_k+1) s_k^T/|s_k|^2)

        z <- z + s_j+1 (s_j . z)/|s_j|^2,  j = 0..n-2,        s_n = z/(1 - s_n-1 . z/|s_n-1|^2)

    (Kelley, Iterative Methods for Linear and Nonlinear Equations, 1995, algorithm brsol.) It converges superlinearly where a fixed J_0 converges
    linearly; a step costs a solution with factors that exist. What was learnt serves the next solutions too, until J_0 is renewed; of many
    pairs (s_j, s_j+1) the last are remembered.

    weights: of the owned vertices in the inner product; block: unknowns per vertex
    """

    def __init__(self, comm: Any, weights: np.ndarray, block: int) -> None:
        self._comm, self._weights, self._block = comm, np.repeat(weights, block), block
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []  # s_j W/|s_j|^2, s_j+1
        self._last: np.ndarray | None = None
        self.forget()

    def forget(self) -> None:
        """There is no Jacobian, or it is of no use."""
        self.renew()
        self.serves = False
        self.start()

    @property
    def memory(self) -> dict[str, Any]:
        """All of it; see `LinearSolver.memory`."""
        vectors = {f"{i}{part}": vector for i, pair in enumerate(self._pairs) for part, vector in zip("ab", pair, strict=True)}
        vectors |= {} if self._last is None else {"last": self._last}
        vectors = {name: vector.reshape(-1, self._block) for name, vector in vectors.items()}
        return vectors | {"pairs": len(self._pairs), "serves": self.serves, "is_old": self.is_old, "used": self.used}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self._pairs = [(memory[f"{i}a"].ravel(), memory[f"{i}b"].ravel()) for i in range(memory["pairs"])]
        self._last = memory["last"].ravel() if "last" in memory else None
        self.serves, self.is_old, self.used = memory["serves"], memory["is_old"], memory["used"]

    def start(self) -> None:
        """A new solution begins."""
        self._last = None
        self.used = 0  # iterations of this solution with an old Jacobian

    def renew(self) -> None:
        """J_0 is the Jacobian at the present iterate."""
        self._pairs, self._last = [], None
        self.serves, self.is_old = True, False

    def step(self, z: np.ndarray) -> np.ndarray:
        """Broyden's step from z = -J_0^-1 R(x_n), which is overwritten."""
        for s, following in self._pairs:
            z += self._sum(s @ z) * following
        if self._last is not None:
            z /= 1 - np.clip(self._sum(self._last @ z), -0.5, 0.5)
        return z

    def took(self, s: np.ndarray, largest: float, rate: float, full: bool) -> None:
        """Judge J_0 by the step that was taken.

        largest, rate: its largest entry, and that relative to the step before (infinite, if it is the first)
        full:          whether it was not shortened
        """
        if self._last is not None:
            self._pairs = [*self._pairs, (self._last, s)][-MEMORY:]
        weighted = self._weights * s
        self._last = weighted / max(self._sum(weighted @ s), np.finfo(float).tiny)
        self.used += self.is_old
        slow = self.is_old and np.isfinite(rate) and rate > SLOW
        self.serves = full and largest <= NEAR and not slow and self.used < MOST
        self.is_old = True

    def _sum(self, mine: float) -> float:
        return float(global_sum(self._comm, float(mine)))
