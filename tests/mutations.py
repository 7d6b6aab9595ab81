"""Random mutations of valid problems, and what reading and checking one may end in: a problem, or a message that fits on a screen."""

from __future__ import annotations

import copy
import datetime
import math
import re
import shutil
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import mixture_texts
import tomli_w
from hypothesis import strategies as st
from mpi4py import MPI

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

PROBLEMS = Path(__file__).resolve().parent.parent / "problems"
LINES, COLUMNS = 24, 100  # a screen
READING, CHECKING = 5.0, 120.0  # seconds; checking compiles
MOST_CELLS = 2000  # of a mutated mesh, where it is checked on a mesh

OWN_MODULE = "user_energy.py"

# Keys of the schema that no file in problems/ has.
MORE = {
    "exchange": """
mesh = { shape = "rectangle", size = [1, 2], cells = 4, periodic = ["x"], cell_type = "tensor", origin = [0, -1] }
seed = 3
formulation = "potential"
species = [{ name = "A", initial = "0.3 + 0.01*noise", source = "x*t" }]
free_energy = [{ kind = "RegularSolution", chi = 2.5 }, { kind = "Gradient", kappa = { A = 0.1 } }]
mobility = { kind = "Degenerate", diffusivity = 1 }
boundary.top = { exchange = { A = { coefficient = 1, potential_reference = 0.1 } } }
boundary.bottom = { chemical_potential = { A = "0.1*sin(t)" }, wetting = { contact_angle = "60 deg" } }
time = { end = 1, tolerance = 1e-3, initial_step = 1e-3, max_step = 0.1, scheme = "avf", steady = false }
output = { times = [0, 0.5], probe = [{ name = "p", at = [0.5, 0] }], average = [{ name = "half", where = "x < 0.5" }] }
""",
    "electrode": """
temperature = "298.15 K"
mesh = { shape = "interval", size = "20 nm", cells = 6, finest = { left = "1 nm" } }
species = [
  { name = "K", charge = 1, initial = "0.1 mol/l", diffusivity = "2e-9 m^2/s", size = 1 },
  { name = "Cl", charge = -1, initial = "0.1 mol/l", diffusivity = { prefactor = "2e-9 m^2/s", activation_energy = "10 kJ/mol" } },
]
free_energy = [{ kind = "LatticeGas", site_concentration = "55 mol/l" }, { kind = "Electrostatic", relative_permittivity = 78.5 }]
mobility = { kind = "Fick" }
boundary.left = { potential = "10 mV", stern = { thickness = "0.3 nm", relative_permittivity = 6 }, \
butler_volmer = { K = { exchange_current = "1 A/m^2", reference = "0.1 mol/l", equilibrium_potential = "0.1 V", transfer_coefficient = 0.5 } } }
boundary.right = { potential = 0, concentration = { K = "0.1 mol/l", Cl = "0.1 mol/l" } }
time = { end = "1 us", steady = true }
""",
    "polynomial": """
mesh = { shape = "interval", size = 1, cells = 4 }
species = [{ name = "A", initial = 0.3 }]
free_energy = [{ kind = "DoubleWell", rho = 5, a = 0.3, b = 0.7, species = "A" }, { kind = "Gradient", kappa = 2 }]
mobility = { kind = "Constant", value = 5 }
time = { end = 1, step = 0.1, scheme = "convex-split" }
""",
}

NUMBERS = [0, -1, 1, 2, 0.5, 10**30, -(10**30), 1e300, -1e300, 1e-300, math.nan, math.inf, -math.inf, 2**63, 10**400]
TEXTS = [
    *("", " ", "\n", "nan", "inf", "-inf", "1e999", "1e999 m", "1e-999 m", "25 mV", "3 kg", "1 parsec", "1 m/m", "5 %", "1e400 mol/l"),
    *("0", "1", "x", "t", "noise", "1/0", "x/0", "log(-1)", "9**9**9**9", "9**9**9 m", "x.__class__", "lambda: x", "1 " * 400, "(" * 500),
    *(
        "1 degC",
        "1 m**1e9",
        "1 m**9**9**9",
        "1 (m",
        "1 [m]",
        "1 m;s",
        "1 __class__",
        "1 m^-",
        "1 m^999999999",
        "1 1/0",
        "1 s s s s s s",
        "1 €",
    ),
    *(
        "ü",
        "名",
        "\u202e",
        "a\u0301",
        "\x1b[31m",
        "\x00",
        "\ufeff",
        "µ",
        "x" * 10_000,
        "x+" * 5000 + "x",
        "%s",
        "{0}",
        "{}",
        "..",
        "/",
        "~",
    ),
    *(
        "x**1000",
        "x**1000000",
        "x**2147483647",
        "exp(x)**99",
        "min(" + "x, " * 2000 + "x)",
        "sin(" * 90 + "x" + ")" * 90,
        "x < 1 and " * 800 + "x < 1",
    ),
    *(
        "/dev/zero",
        "os.path",
        "sys.exit",
        "builtins.open",
        "a..b",
        ".a",
        "a.",
        "a.b.c.d",
        "left",
        "x < 0.5",
        "balance",
        "rest",
        "Ideal",
        "A-B",
    ),
]
OTHERS: list[Any] = [
    *(True, False, [], {}, [[]], [{}], [1, "a", [2]], {"": 1}, {"a": {"b": {"c": {}}}}, [True], {"kind": "Ideal"}, {"ä ö": [1]}),
    *(datetime.date(2020, 1, 1), datetime.time(1, 2), datetime.datetime(2020, 1, 1, 1), [1] * 1000, {str(k): k for k in range(300)}),
]


def _nested(depth: int, listed: bool) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner] if listed else {"a": inner}
    return inner


OTHERS += [_nested(60, True), _nested(60, False)]
RAW = [
    "[",
    "]]",
    "[[x]]",
    "=",
    "\n",
    '"""',
    "'",
    "\x00",
    "#",
    ".",
    ",",
    "{",
    "}",
    "a = 1\n",
    "[mesh]\n",
    "\\",
    "\ud7ff",
    "\t",
    "[" * 3000,
    "a." * 3000,
]


@dataclass(frozen=True)
class Mutant:
    """A TOML text, and changes as for --set."""

    text: str
    changes: dict[str, str] = field(default_factory=dict)


@cache
def seeds() -> dict[str, dict[str, Any]]:
    """Valid problems by name, on meshes of few cells."""
    texts = {path.stem: path.read_text() for path in sorted(PROBLEMS.glob("*.toml"))} | MORE
    texts |= {name: text for name, text in vars(mixture_texts).items() if isinstance(text, str) and "[mesh]" in text}
    return {name: _coarse(tomllib.loads(text)) for name, text in texts.items()}


def _coarse(table: dict[str, Any]) -> dict[str, Any]:
    mesh = table["mesh"]
    if "file" in mesh:
        mesh["file"] = str((PROBLEMS / mesh["file"]).resolve())
    if "finest" not in mesh and "cells" in mesh:
        cells = mesh["cells"] if isinstance(mesh["cells"], list) else [mesh["cells"]]
        mesh["cells"] = [min(count, 6) for count in cells] if isinstance(mesh["cells"], list) else min(mesh["cells"], 6)
    return table


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every entry."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@cache
def _vocabulary() -> list[str]:
    """Every key and every text of the seeds."""
    words: set[str] = set()
    for table in seeds().values():
        for path in _places(table):
            words |= {part for part in (path[-1], _at(table, path)) if isinstance(part, str)}
    return sorted(words)


def _values() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from(OTHERS), st.sampled_from(_vocabulary()), st.text(max_size=8),
        st.floats(), st.integers(-3, 5),
    )  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn, names: tuple[str, ...] = ()) -> Mutant:
    """One to three mutations of one of the seeds (of those in `names`, if given)."""
    table = copy.deepcopy(seeds()[draw(st.sampled_from(names or tuple(seeds())))])
    changes: dict[str, str] = {}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        _mutate(draw, table, changes)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        _scale(draw, table)
    text = tomli_w.dumps(table)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 3]))):
        text = _garbled(draw, text)
    return Mutant(text, changes)


def _mutate(draw: st.DrawFn, table: dict[str, Any], changes: dict[str, str]) -> None:
    places = list(_places(table))
    if not places:
        return
    path = draw(st.sampled_from(places))
    *_, key = path
    parent = _at(table, path[:-1])
    match draw(
        st.sampled_from(["drop", "retype", "retype", "value", "rename", "misspell", "swap", "graft", "twice", "wrap", "unit", "set"])
    ):
        case "drop":
            del parent[key]
        case "retype":
            parent[key] = copy.deepcopy(draw(_values()))
        case "value" if isinstance(parent[key], (int, float)):
            parent[key] = draw(st.sampled_from(NUMBERS))
        case "value":
            parent[key] = draw(st.sampled_from(TEXTS))
        case "rename" if isinstance(parent, dict):
            parent[draw(st.one_of(st.sampled_from(_vocabulary()), st.sampled_from(TEXTS)))] = parent.pop(key)
        case "misspell" if isinstance(parent, dict):
            at = draw(st.integers(0, len(key)))
            parent[key[:at] + draw(st.sampled_from("aeiox_- .é")) + key[at + draw(st.integers(0, 1)) :]] = parent.pop(key)
        case "swap":
            other = draw(st.sampled_from(places))
            a, b = copy.deepcopy(_at(table, path)), copy.deepcopy(_at(table, other))
            within = other[: len(path)] == path or path[: len(other)] == other
            _at(table, other[:-1])[other[-1]] = a
            if not within:
                parent[key] = b
        case "graft":
            donor = seeds()[draw(st.sampled_from(tuple(seeds())))]
            source = draw(st.sampled_from(list(_places(donor))))
            value = copy.deepcopy(_at(donor, source))
            if isinstance(parent, dict) and isinstance(source[-1], str) and draw(st.booleans()):
                parent[source[-1]] = value
            else:
                parent[key] = value
        case "twice" if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        case "wrap":
            parent[key] = draw(st.sampled_from([[parent[key]], {key if isinstance(key, str) else "a": parent[key]}, [parent[key]] * 2]))
        case "unit" if isinstance(parent[key], (int, float, str)):
            parent[key] = f"{parent[key]} {draw(st.sampled_from(['m', 's', 'mV', 'mol/l', 'K', 'foo', '1/s', 'J/mol', '^2']))}"
        case "set":
            dotted = ".".join(map(str, path)) + draw(st.sampled_from(["", "", "", ".", ".a", ".0", "..", " "]))
            changes[dotted] = draw(st.one_of(_values().map(str), st.sampled_from(RAW)))


def _scale(draw: st.DrawFn, table: dict[str, Any]) -> None:
    """Another number in place of one: most of these are legal, and met on the mesh only."""
    places = [path for path in _places(table) if _number(_at(table, path)) is not None]
    if not places:
        return
    path = draw(st.sampled_from(places))
    parent, key = _at(table, path[:-1]), path[-1]
    number = _number(parent[key])
    assert number is not None
    scaled: Any = float(number[0]) * draw(st.sampled_from([0, -1, 1e-12, 1e-3, 0.5, 2, 3.7, 1e3, 1e12]))
    if isinstance(parent[key], str):
        parent[key] = f"{scaled:g}{parent[key][len(number[0]) :]}"
    else:
        parent[key] = type(parent[key])(scaled)


def _number(value: Any) -> re.Match[str] | None:
    """The number that a value is, or begins with."""
    return None if isinstance(value, bool) or not isinstance(value, (int, float, str)) else re.match(r"-?\d+(\.\d+)?(e-?\d+)?", str(value))


def _garbled(draw: st.DrawFn, text: str) -> str:
    start = draw(st.integers(0, len(text)))
    end = min(start + draw(st.sampled_from([0, 1, 3, 20, len(text)])), len(text))
    return text[:start] + draw(st.sampled_from(["", *RAW])) + text[end:]


# --- what a mutant ends in


class Hang(BaseException):
    """Took longer than it may. No Exception, of which pint's own are caught by their base."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hang(f"after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def make_seed_folder(folder: Path) -> Path:
    """Where mutants are read, beside what the seeds need. Gives the path of the problem."""
    shutil.copy(PROBLEMS / OWN_MODULE, folder)
    return folder / "problem.toml"


def read(mutant: Mutant, path: Path) -> Problem | str:
    """The problem, or the message. Raises what else reading raises, Hang, and AssertionError where the message does not fit on a screen."""
    path.write_text(mutant.text, encoding="utf-8", newline="")
    try:
        with time_limit(READING):
            return Problem.read(path, mutant.changes)
    except InputError as error:
        return _shown(error)


def checked(problem: Problem) -> str | None:
    """The message of what `check` does after reading, None where it has none. Raises as `read` does."""
    try:
        with time_limit(CHECKING):
            check(System(problem, MPI.COMM_SELF))
    except InputError as error:
        return _shown(error)
    return None


def is_small(problem: Problem) -> bool:
    """Whether it can be checked in no time: a box of few cells."""
    return problem.mesh.shape is not None and math.prod(problem.mesh.cells) <= MOST_CELLS


def _shown(error: InputError) -> str:
    message = f"error: {error}"
    lines = sum(max(1, math.ceil(len(line) / COLUMNS)) for line in message.split("\n"))
    assert lines <= LINES, f"{lines} lines: {message[:300]}..."
    assert all(letter.isprintable() or letter == "\n" for letter in message), f"not to be shown on a terminal: {message!r}"
    assert len(str(error)) > 10
    return message
