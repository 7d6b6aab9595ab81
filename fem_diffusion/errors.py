"""The ways in which a run ends early, and how an error names what would have been legal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What a message may have, so that it fits on a screen: lines, letters of one, letters of all.
MOST_LINES, LONGEST_LINE, LONGEST = 16, 500, 1500


class InputError(Exception):
    """The problem as given cannot be solved: the message says what was given, what is legal, what to do (exit code 2).

    What was given may be anything: the message is cut to what fits on a screen, and has no letters that would change the terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_fitted(message))


class StepFailed(Exception):
    """No acceptable step exists above the smallest step: the message says which field, where, why (exit code 3)."""


class NotCertified(Exception):
    """A step of a strict problem breaks a law: the message says which, by how much, where (exit code 4)."""


class OutputError(Exception):
    """Results cannot be written: the message says which file and why (exit code 5)."""


def _fitted(message: str) -> str:
    """On a screen: long lines without their middle, the first lines alone, unprintable letters by their code."""
    printable = "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode() for letter in message
    )
    half = LONGEST_LINE // 2 - 3
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}" for line in printable.split("\n")]
    shown = lines[:MOST_LINES]
    while len(shown) > 1 and sum(map(len, shown)) > LONGEST:
        shown.pop()
    return "\n".join(shown if len(shown) == len(lines) else [*shown, f"... and {len(lines) - len(shown)} lines more"])


def did_you_mean(given: str, legal: Iterable[str]) -> str:
    """'; did you mean 'x'?' if one legal name is close, else '; legal: a, b, c'."""
    legal = sorted(legal)
    close = difflib.get_close_matches(given, legal, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; legal: {', '.join(legal)}" if legal else ""
