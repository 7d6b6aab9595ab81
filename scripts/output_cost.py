"""What output costs: CPU s of the parts of a run, with a checkpoint every so often.   output_cost.py PROBLEM.toml... [KEY=VALUE...]

A run of a problem as a user starts it (all output on), and the CPU s (user + system) within it that go into rows of history.csv, fields, checkpoints,
and at the end the picture and the report; each in percent of the whole.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from fem_diffusion.checkpoint import Checkpoints
from fem_diffusion.diagnostics import Columns
from fem_diffusion.output import Output
from fem_diffusion.paraview import FieldSeries
from fem_diffusion.problem import Problem
from fem_diffusion.run import run

PARTS = {
    "history": (Columns, "row"),
    "fields": (Output, "_write_field"),
    "of which files": (FieldSeries, "write"),
    "checkpoints": (Checkpoints, "save"),
    "picture and report": (Output, "_draw"),
}


def main() -> None:
    files = [word for word in sys.argv[1:] if "=" not in word]
    changes = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    spent = dict.fromkeys(PARTS, 0.0)
    calls = dict.fromkeys(PARTS, 0)
    for part, (owner, name) in PARTS.items():
        setattr(owner, name, timed(getattr(owner, name), part, spent, calls))
    print(f"{'':28}{'CPU s':>8}" + "".join(f"{part:>22}" for part in PARTS))
    for file in files:
        spent.update(dict.fromkeys(PARTS, 0.0))
        calls.update(dict.fromkeys(PARTS, 0))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            start = time.process_time()
            run(Problem.read(Path(file), changes), Path(folder) / "out")
            whole = time.process_time() - start
        shown = "".join(f"{calls[part]:>10} x {100 * spent[part] / whole:6.2f} %" for part in PARTS)
        print(f"{Path(file).stem:28}{whole:8.1f}{shown}", flush=True)


def timed(method: Callable[..., Any], part: str, spent: dict[str, float], calls: dict[str, int]) -> Callable[..., Any]:
    @wraps(method)
    def measured(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        try:
            return method(*arguments, **named)
        finally:
            spent[part] += time.process_time() - start
            calls[part] += 1

    return measured


if __name__ == "__main__":
    main()
