"""Texts that try to reach what is beyond numbers, or to take for ever: each is refused at once, and nothing of it is run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input import changed, write
from mixture_texts import MIXTURE
from mutations import time_limit

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.expression import Expression
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

pytestmark = pytest.mark.serial

SECONDS = 2.0

ATTACKS = [
    # attributes, and what leads from a number to everything
    "x.__class__",
    "x.__class__.__mro__[1].__subclasses__()",
    "().__class__.__bases__[0].__subclasses__()",
    "(1).__class__",
    "1..__class__",
    "x.real",
    "pi.__doc__",
    "sin.__globals__",
    "sin.__self__",
    "noise.__init__.__globals__['__builtins__']",
    "__builtins__",
    "__builtins__['eval']",
    "__name__",
    "__file__",
    "__class__",
    "x.__dict__",
    # functions that are not of numbers
    "__import__('os').system('touch owned')",
    "eval('1')",
    "exec('import os')",
    "compile('1', '', 'eval')",
    "open('owned', 'w')",
    "globals()",
    "locals()",
    "vars()",
    "dir()",
    "getattr(x, 'y')",
    "setattr(x, 'y', 1)",
    "input()",
    "print(1)",
    "breakpoint()",
    "help()",
    "exit()",
    "quit()",
    "type(x)",
    "type('X', (), {})",
    "range(10**9)",
    "list(x)",
    "sum(x)",
    "pow(x, 2)",
    "int(x)",
    "float('nan')",
    "complex(1, 2)",
    "isinstance(x, y)",
    "super()",
    "memoryview(x)",
    "os.system('true')",
    "np.load('x')",
    "numpy",
    "ufl",
    "math.sin(x)",
    "sys.exit()",
    # calls that are no plain calls
    "sin(a=1)",
    "sin(*x)",
    "sin(**x)",
    "max(x, *y)",
    "max(x, key=y)",
    "where(condition=x < 1, a=1, b=2)",
    "(sin)(x)(y)",
    "(sin or cos)(x)",
    "(lambda: 1)()",
    "[sin][0](x)",
    "sin(x)(x)",
    "'sin'(x)",
    "noise(1)",
    # syntax beyond arithmetic
    "lambda: 1",
    "lambda x: x",
    "[i for i in x]",
    "{i for i in x}",
    "{i: i for i in x}",
    "(i for i in x)",
    "sum(i for i in x)",
    "(y := 1)",
    "x if y > 0 else z",
    "await x",
    "yield x",
    "(yield)",
    "[1, 2]",
    "(1, 2)",
    "{1, 2}",
    "{1: 2}",
    "[]",
    "()",
    "{}",
    "x[0]",
    "x[0:1]",
    "x[...]",
    "*x",
    "x, y",
    "x; y",
    "x\nimport os",
    "import os",
    "x = 1",
    "x += 1",
    "del x",
    "assert x",
    "raise x",
    "pass",
    "def f(): pass",
    "class A: pass",
    "for i in x: pass",
    "while 1: pass",
    "with x: pass",
    "try: x",
    "global x",
    "return x",
    "match x",
    "@x",
    "x: int",
    "x -> y",
    "`x`",
    "$x",
    "x?",
    "x!",
    "!x",
    "%x",
    "\\",
    "x \\\n + 1;",
    # constants that are no numbers
    "'x'",
    '"x"',
    "'''x'''",
    "b'x'",
    "r'x'",
    "u'x'",
    "f'{x}'",
    "f'{__import__(\"os\")}'",
    "f'{x!r:>{y}}'",
    "'%s' % x",
    "'x' * 10**9",
    "...",
    "Ellipsis",
    "None",
    "True",
    "False",
    "NotImplemented",
    "1j",
    "1e999",
    "0777",
    "1_",
    "nan",
    "inf",
    "NaN",
    "Infinity",
    # operators of integers, which never end
    "x // y",
    "x % y",
    "x @ y",
    "x << 9999999999",
    "1 << 1 << 99999999",
    "x >> 1",
    "x & y",
    "x | y",
    "x ^ y",
    "~x",
    "x is y",
    "x is not y",
    "x in y",
    "x not in y",
    "x <> y",
    "x === y",
    "x && y",
    "x || y",
    "x++",
    # letters that look like others, or that a terminal obeys
    "ｓin(x)",
    "ｅval('1')",
    "eval(1)",
    "х",  # the Cyrillic letter
    "ѕin(х)",
    "x\u200b+1",
    "x\u202e+1",
    "\ufeffx",
    "x\u0338",
    "x\x00",
    "x\x1b[2J",
    "x\x7f",
    "𝓍.𝒶",
    "ª",
    "x²",
    "√x",
    "π",
    "∞",
    "x×y",
    "x÷y",
    "x−y",
    "“x”",
    "１２",
    "٣",
    "😀",
    # very long, very deep
    "(" * 100 + "x" + ")" * 100 + "(" * 100,
    "(" * 1000 + "x" + ")" * 1000,
    "(" * 100_000,
    "[" * 100_000,
    "{" * 100_000,
    "-" * 9_000 + "x",
    "not " * 2_000 + "x > 1",
    "+".join(["x"] * 4_000),
    "*".join(["x"] * 4_000),
    "**".join(["x"] * 4_000),
    " < ".join(["x"] * 2_000),
    " and ".join(["x > 1"] * 1_000),
    "sin(" * 1_000 + "x" + ")" * 1_000,
    f"max({', '.join(['x'] * 2_000)})",
    "x if " * 1_000 + "x",
    "lambda: " * 1_000 + "x",
    "x" * 10_000_000,
    "9" * 10_000_000,
    "9" * 5_000,
    "0x" + "f" * 5_000,
    "1e" + "9" * 5_000,
    "x." * 4_000,
    "'" * 10_000,
    "#" * 10_000,
    "\n" * 10_000,
    " " * 10_000_000 + "y.z",
]


class Watch:
    """What Python does beside computing while it is on: it tells before it runs code, imports, opens a file or starts a process."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: Any) -> None:
        if self.seen is not None and event not in ("compile", "object.__getattr__"):  # ast.parse is a compile without code
            self.seen.append(event)

    def refuse(self, text: str) -> tuple[Exception | None, list[str]]:
        """The error of a text, and what was done."""
        error, self.seen = None, []
        try:
            with time_limit(SECONDS):
                Expression(text)
        except Exception as caught:
            error = caught
        seen, self.seen = self.seen, None
        return error, [event for event in seen if not event.startswith("signal.")]


WATCH = Watch()


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:24]))
def test_refused(text: str) -> None:
    error, seen = WATCH.refuse(text)
    assert type(error) is ValueError
    assert seen == []
    assert len(str(InputError(str(error)))) < 1500


def test_the_watch_sees_what_is_run() -> None:
    WATCH.seen = []
    eval("1")
    seen, WATCH.seen = WATCH.seen, None
    assert "exec" in seen


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9**9**9**9", np.inf),
        ("1e308*10", np.inf),
        ("(-1)**0.5", np.nan),
        ("0**-1", np.inf),
        ("exp(exp(exp(9)))", np.inf),
        ("x**9999999999", 0.0),
        ("2**1024", np.inf),
        ("1/0", np.inf),
        ("0/0", np.nan),
        ("(9**9)**(9**9)", np.inf),
    ],
)
def test_powers_are_of_floating_point_numbers(text: str, value: float) -> None:
    """Integers of a billion digits would take for ever."""
    with time_limit(SECONDS):
        found = Expression(text).numpy(x=0.5)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("initial = 0.2", 'initial = "x.__class__"'),
        ("initial = 0.2", 'initial = "0.2 + 9**9**9**9"'),
        ('rate = "2*A"', 'rate = "A.__class__"'),
        ('rate = "2*A"', 'rate = "open(A)"'),
        ('rate = "2*A"', 'rate = "A**9**9**9"'),
        ("at = [0.5]", 'at = ["__import__(1)"]'),
        ("reference = 0.1", 'reference = "lambda: 1"'),
        ("end = 1.0", 'end = "9**9**9"'),
        ("size = 1.0", 'size = "1 m**9**9**9"'),
        ('name = "p"', 'name = "p"\n[[output.average]]\nname = "q"\nwhere = "[x for x in y]"'),
    ],
)
def test_refused_wherever_a_problem_takes_an_expression(old: str, new: str, tmp_path: Path) -> None:
    path = write(tmp_path, changed(MIXTURE, old, new))
    with time_limit(60), pytest.raises(InputError) as caught:
        check(System(Problem.read(path)))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    "power",
    ["x**1000", "x**100000", "(x + 1)**2147483647", "exp(x)**99*sin(x)**77", "+".join(["sin(x)"] * 300)],
    ids=lambda text: text[:24],
)
def test_high_powers_are_compiled(power: str, tmp_path: Path) -> None:
    """Their degree must not make the quadrature rule: that of degree 1000 in the interval has 500 points, in a box 10^8."""
    text = changed(MIXTURE, "size = 1.0", "size = [1, 1]", 'shape = "interval"', 'shape = "rectangle"', "at = [0.5]", "at = [0.5, 0.5]")
    path = write(tmp_path, changed(text, 'name = "A"', f'name = "A"\nsource = "{power}*1e-9"'))
    with time_limit(120):
        try:
            check(System(Problem.read(path)))
        except InputError as error:
            assert "changes is not a number" in str(error)
