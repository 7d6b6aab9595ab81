"""What came out, by point: read from the folders of the points, written as sweep.csv."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .plan import Index, Plan

TABLE, POINTS = "sweep.csv", "points"
PROVENANCE, RESOLVED, HISTORY = "provenance.json", "problem.resolved.toml", "history.csv"  # of a run, and of a sweep

Row = dict[str, str]


class Table:
    """The rows of the points that have ended. For one rank."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self.folder = plan, folder
        self.rows: dict[Index, Row] = {}

    def place(self, index: Index) -> Path:
        return self.folder / POINTS / self._plan.folder(index)

    def read(self) -> None:
        """Look at the points that have not ended yet as far as is known. InputError where a folder has the results of another problem."""
        for index in self._plan.indices:
            if index not in self.rows:
                outcome = self._outcome(index)
                if outcome is not None:
                    self.rows[index] = self._row(index, outcome)

    def solved(self, index: Index) -> bool:
        return self.rows.get(index, {}).get("outcome", "").startswith("reached")

    def failure(self, index: Index) -> str | None:
        """Why a point is not solved, None if it is."""
        return None if self.solved(index) else self.reason(index)

    def reason(self, index: Index) -> str:
        """Why a point failed, as its folder has it."""
        return str(self._provenance(index).get("outcome", "not begun")).removeprefix("failed: ")

    def forget_failures(self) -> None:
        self.rows = {index: row for index, row in self.rows.items() if self.solved(index)}

    def _outcome(self, index: Index) -> str | None:
        """How the run of a point ended; None if it has not, or was interrupted."""
        outcome = str(self._provenance(index).get("outcome", ""))
        if not outcome.startswith(("reached", "failed")):
            return None
        self.require_own(index)
        return outcome

    def require_own(self, index: Index) -> None:
        """InputError where the folder of a point has the results of another problem."""
        resolved = self.place(index) / RESOLVED
        if resolved.exists() and resolved.read_text() != self._plan.problems[index].resolved():
            raise InputError(f"{resolved.parent} has the results of another problem: choose another folder with -o, or remove it")

    def has_failed(self, index: Index) -> bool:
        """By its folder, whether or not that failure is forgotten."""
        return str(self._provenance(index).get("outcome", "")).startswith("failed")

    def warnings(self, index: Index) -> list[str]:
        return list(self._provenance(index).get("warnings", []))

    def _provenance(self, index: Index) -> dict[str, Any]:
        """What a run says of itself when it has ended."""
        try:
            return dict(json.loads((self.place(index) / PROVENANCE).read_text()))
        except (OSError, ValueError):
            return {}

    def _row(self, index: Index, outcome: str) -> Row:
        row = self._plan.values(index) | {"outcome": outcome}
        return row | self.history(index)[-1] if outcome.startswith("reached") else row

    def history(self, index: Index) -> list[Row]:
        with (self.place(index) / HISTORY).open(newline="") as file:
            return list(csv.DictReader(file))

    def write(self) -> None:
        """The whole table, put in place at once: it is never half a row."""
        rows = self.complete()
        names = list(dict.fromkeys(name for row in sorted(rows.values(), key=len, reverse=True) for name in row))
        partial = self.folder / f"{TABLE}.part"
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names)
            writer.writeheader()
            writer.writerows(rows.values())
        partial.replace(self.folder / TABLE)

    def complete(self) -> dict[Index, Row]:
        """The rows in order, with what follows from several of them."""
        capacitance = self._capacitance()
        return {index: self.rows[index] | capacitance.get(index, {}) for index in self._plan.indices if index in self.rows}

    def columns(self) -> dict[str, np.ndarray]:
        """The numbers of the points that were solved, nan where one has none."""
        rows = [row for index, row in self.complete().items() if self.solved(index)]
        names = dict.fromkeys(name for row in rows for name in row if name != "outcome")
        return {name: np.array([float(row.get(name) or "nan") for row in rows]) for name in names}

    def _capacitance(self) -> dict[Index, Row]:
        """dQ/dV by differences along the innermost range (of second order), where that is the potential of a boundary whose charge is known."""
        key = self._plan.keys[-1]
        head, _, boundary = key.removesuffix(".potential").partition(".")
        if not key.endswith(".potential") or head != "boundary":
            return {}
        found: dict[Index, Row] = {}
        for _, line in itertools.groupby(self._plan.indices, key=lambda index: index[:-1]):
            solved = [index for index in line if self.rows.get(index, {}).get(f"charge_{boundary}")]
            if len(solved) < 2:
                continue
            Q, V = (np.array([float(self.rows[index][name]) for index in solved]) for name in (f"charge_{boundary}", key))
            order = np.argsort(V)
            slopes = np.empty_like(Q)
            slopes[order] = np.gradient(Q[order], V[order], edge_order=2 if len(solved) > 2 else 1)
            found |= {index: {f"capacitance_{boundary}": f"{C:.17g}"} for index, C in zip(solved, slopes, strict=True)}
        return found
