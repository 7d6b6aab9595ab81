"""Values of a problem as they are written on a page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..units import is_number, is_quantity

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def value(given: Any) -> str:
    """A number, a quantity, an expression, or a table or list of them, as HTML."""
    if isinstance(given, Mapping):
        return ", ".join(f"{escape(str(key))}: {value(item)}" for key, item in given.items())
    if isinstance(given, (list, tuple)):
        if given and all(isinstance(row, (list, tuple)) for row in given):
            rows = "".join(f"<tr>{''.join(f'<td>{value(item)}</td>' for item in row)}</tr>" for row in given)
            return f'<table class="matrix">{rows}</table>'
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, str) and is_quantity(given):
        number = _NUMBER.match(given)
        assert number is not None
        return f"{_power(number[0])}&nbsp;{unit(given[number.end() :].strip())}"
    if isinstance(given, str) and not is_number(given):
        return f"<code>{escape(given)}</code>"
    return ("yes" if given else "no") if isinstance(given, bool) else _power(given if isinstance(given, str) else f"{given:.6g}")


def number(given: Any, of_unit: str = "", digits: int = 4) -> str:
    """A result to so many digits, with its unit; other things as text."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return escape(str(given))
    if not math.isfinite(given):
        return "–"
    text = f"{given:,}".replace(",", "\u202f") if isinstance(given, int) else f"{given:.{digits}g}"
    if isinstance(given, float) and 1e-4 <= abs(given) < 1e6:
        text = f"{float(text):g}"
    text = _power(text)
    return f"{text}&nbsp;{unit(of_unit)}" if of_unit else text


def unit(text: str) -> str:
    """m^2/s as m²/s."""
    text = escape(text.replace("**", "^")).replace("*", "·")
    return re.sub(r"\^\(?(-?\d+)\)?", r"<sup>\1</sup>", re.sub(r"\bu(?=[a-zA-Z])", "µ", text)).replace("<sup>-", "<sup>−")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of HTML, its first column the names of its rows; without a head if nothing stands there."""
    top = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _power(text: str) -> str:
    """1e-17 as 1 × 10⁻¹⁷."""
    mantissa, e, exponent = text.lower().partition("e")
    mantissa = mantissa.replace("-", "−")
    if not e:
        return mantissa
    times = f"{mantissa}\u202f×\u202f" if mantissa not in ("1", "1.0") else ""
    return f"{times}10<sup>{str(int(exponent)).replace('-', '−')}</sup>"
