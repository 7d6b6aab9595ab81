"""The ways in which a run ends early, and how an error names what would have been legal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The problem as given cannot be solved: the message says what was given, what is legal, what to do (exit code 2)."""


class StepFailed(Exception):
    """No acceptable step exists above the smallest step: the message says which field, where, why (exit code 3)."""


class NotCertified(Exception):
    """A step of a strict problem breaks a law: the message says which, by how much, where (exit code 4)."""


class OutputError(Exception):
    """Results cannot be written: the message says which file and why (exit code 5)."""


def did_you_mean(given: str, legal: Iterable[str]) -> str:
    """'; did you mean 'x'?' if one legal name is close, else '; legal: a, b, c'."""
    legal = sorted(legal)
    close = difflib.get_close_matches(given, legal, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; legal: {', '.join(legal)}" if legal else ""
