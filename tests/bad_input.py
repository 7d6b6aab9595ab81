"""What the tests of bad input share: texts of problems with mistakes in them, and what a good message looks like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mpi4py import MPI

COMM = MPI.COMM_WORLD


def changed(text: str, *pairs: str) -> str:
    """The text with old, new, old, new, ... replaced, each once."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def write(folder: Path, text: str, files: dict[str, str] | None = None) -> Path:
    """The problem file with the text, and other files beside it; by rank 0, for all."""
    if COMM.rank == 0:
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        (folder / "problem.toml").write_text(text)
    COMM.barrier()
    return folder / "problem.toml"


def assert_message(message: str, fragments: Iterable[str]) -> None:
    for fragment in fragments:
        assert fragment in message
    _, *more = message.splitlines()
    assert not more or (len(more) == 2 and more[1].strip() == "^"), "one line, or an expression with its caret below"
    assert len(set(COMM.allgather(message))) == 1, "all ranks say the same"
    assert "Input should be" not in message and "<class" not in message


# -- through the command line


def launch(folder: Path, *arguments: str, ranks: int = 1, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fem_diffusion", *arguments]
    if ranks > 1:
        command = ["mpirun", "--bind-to", "none", "-n", str(ranks), *command]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, env=os.environ | {"COLUMNS": "80"})


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What the program itself says on stderr: mpirun adds notes on the exit code between rules, at times a complaint of PMIx or a zero byte."""
    own = re.sub(
        r"^-{60,}\n.*?^-{60,}\n|^\[[^\n]*\] PMIX ERROR[^\n]*\n", "", result.stderr.replace("\0", ""), flags=re.DOTALL | re.MULTILINE
    )
    return [line for line in own.splitlines() if line.strip()]
