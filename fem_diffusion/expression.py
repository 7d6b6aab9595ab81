"""Users' expressions over x, y, z, t: parsed by a whitelist, never by eval, and evaluated by numpy or turned into UFL; and their noise."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, NoReturn, TypeAlias

import numpy as np
import ufl
from numpy.typing import ArrayLike, NDArray
from ufl.constantvalue import RealValue, Zero
from ufl.core.expr import Expr

from .errors import did_you_mean

# A number, a name, or an operation with its operands.
Tree: TypeAlias = "float | str | tuple[Any, ...]"

# What each operation is on numbers and on UFL expressions. "0 or 1" makes a number of a condition.
_OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "+": (np.add, operator.add),
    "-": (np.subtract, operator.sub),
    "*": (np.multiply, operator.mul),
    "/": (np.divide, operator.truediv),
    "**": (np.power, operator.pow),
    "negative": (np.negative, operator.neg),
    "<": (np.less, ufl.lt),
    "<=": (np.less_equal, ufl.le),
    ">": (np.greater, ufl.gt),
    ">=": (np.greater_equal, ufl.ge),
    "==": (np.equal, ufl.eq),
    "!=": (np.not_equal, ufl.ne),
    "and": (np.logical_and, ufl.And),
    "or": (np.logical_or, ufl.Or),
    "not": (np.logical_not, ufl.Not),
    "0 or 1": (lambda condition: np.where(condition, 1.0, 0.0), lambda condition: ufl.conditional(condition, 1.0, 0.0)),
    "sin": (np.sin, ufl.sin),
    "cos": (np.cos, ufl.cos),
    "tan": (np.tan, ufl.tan),
    "exp": (np.exp, ufl.exp),
    "log": (np.log, ufl.ln),
    "sqrt": (np.sqrt, ufl.sqrt),
    "tanh": (np.tanh, ufl.tanh),
    "abs": (np.abs, abs),
    "min": (np.minimum, ufl.min_value),
    "max": (np.maximum, ufl.max_value),
    "where": (np.where, ufl.conditional),
}
_CONDITIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "and", "or", "not"})
_FUNCTIONS = ("abs", "cos", "exp", "log", "max", "min", "sin", "sqrt", "tan", "tanh", "where")
_ARGUMENTS = {"where": "condition, a, b", "min": "a, b", "max": "a, b"}
_RESERVED = frozenset({*_FUNCTIONS, "pi", "noise"})
_SYMBOLS: dict[type, str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.And: "and",
    ast.Or: "or",
}
_FOREIGN_SYMBOLS: dict[type, tuple[str, str]] = {
    ast.BitXor: ("^", "use ** for powers"),
    ast.BitAnd: ("&", "use 'and'"),
    ast.BitOr: ("|", "use 'or'"),
    ast.FloorDiv: ("//", "use /"),
    ast.Mod: ("%", "legal: + - * / **"),
    ast.MatMult: ("@", "use *"),
    ast.LShift: ("<<", "legal: + - * / **"),
    ast.RShift: (">>", "legal: + - * / **"),
}
_LONGEST = 10_000  # characters
_DEEPEST = 300  # operations within each other, of which a sum of n terms has n - 1
_AROUND = 60  # characters of a long text that a message shows on each side of the mistake
_LEGAL = f"numbers, names, + - * / **, < <= > >= == !=, and, or, not, pi, noise, {', '.join(_FUNCTIONS)}"


@dataclass(frozen=True)
class Expression:
    """A function of `names`, pi and noise, as text. ValueError says where the text is not legal, what is, and what to do.

    A condition is 1 or 0 where a number is wanted; a number is not a condition. `noise` has the values that the caller gives it.
    """

    text: str
    names: tuple[str, ...] = ("x", "y", "z", "t")

    def __post_init__(self) -> None:
        for i, name in enumerate(self.names):
            if name in _RESERVED or name in self.names[:i]:
                raise ValueError(f"'{name}' cannot name a quantity of its own in an expression: it is taken; choose another name")
        _ = self._tree  # parsing is the validation

    @cached_property
    def _tree(self) -> Tree:
        return _Parser(self.text, self.names).parse()

    @cached_property
    def depends_on(self) -> frozenset[str]:
        """The names in the text, noise among them."""
        return frozenset(_names(self._tree))

    @property
    def condition(self) -> bool:
        """Whether it compares, so that it holds or not."""
        return self._tree[0] == "0 or 1" if isinstance(self._tree, tuple) else False

    @property
    def constant(self) -> bool:
        return not self.depends_on

    def numpy(self, **values: ArrayLike) -> NDArray[np.float64]:
        """A new array of the common shape of all `values`; not finite, without a warning, where the expression has no value."""
        self._require(values)
        arrays = {name: np.asarray(value, dtype=float) for name, value in values.items()}
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
        with np.errstate(all="ignore"):
            result = _evaluate(self._tree, arrays, lambda operation, *operands: _OPERATIONS[operation][0](*operands))
        return np.array(np.broadcast_to(result, shape), dtype=float)

    def ufl(self, **values: Any) -> Expr:
        """The expression with UFL expressions or numbers for its names. ValueError: noise, or a part that is constant and not finite."""
        if "noise" in self.depends_on:
            raise ValueError(f"'{self.text}': noise has values at nodes only, legal in initial values; remove it here")
        self._require(values)
        operands = {name: value if isinstance(value, Expr) else float(value) for name, value in values.items()}
        try:
            return _lifted(_evaluate(self._tree, operands, _apply_ufl))
        except (ArithmeticError, ValueError) as error:
            raise ValueError(
                f"'{self.text}' has no finite value: {error}; every part of it must be finite, also where not selected"
            ) from None

    def _require(self, values: dict[str, Any]) -> None:
        missing = sorted(self.depends_on - values.keys())
        if missing:
            raise ValueError(f"'{self.text}' depends on {', '.join(missing)}, which has no value here; legal: {', '.join(sorted(values))}")


class _Parser:
    """One text to its tree. `_number` and `_condition` say what is wanted of a node, `_node` what it is."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = " ".join(text.split())
        self.names = names

    def parse(self) -> Tree:
        if not self.text:
            raise ValueError(f"the expression is empty; legal: {_LEGAL}")
        if len(self.text) > _LONGEST:
            raise ValueError(f"the expression is too long: '{self.text[:40]}...' has {len(self.text)} characters; legal: up to {_LONGEST}")
        if "#" in self.text:  # a comment would hide the rest of a text of several lines
            self._fail(self.text.index("#"), "'#' is not legal in an expression; remove the comment")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's advice on what it would do with the text
                body = ast.parse(self.text, mode="eval").body
            tree = self._number(body)
            if _depth(tree) <= _DEEPEST:  # what works on it later recurses deeper
                return tree
        except SyntaxError as error:
            self._fail_syntax(error)
        except (RecursionError, MemoryError):
            pass
        raise ValueError(
            f"the expression is nested too deeply: '{self.text[:40]}...'; write it shorter: legal are {_DEEPEST} operations within each other"
        )

    def _number(self, node: ast.expr) -> Tree:
        tree = self._node(node)
        return ("0 or 1", tree) if _is_condition(tree) else tree

    def _condition(self, node: ast.expr) -> Tree:
        tree = self._node(node)
        if not _is_condition(tree):
            self._fail(node, f"'{self._source(node)}' is a number where a condition is wanted; compare it, as in {self._source(node)} > 0")
        return tree

    def _node(self, node: ast.expr) -> Tree:
        match node:
            case ast.Constant(value=bool() | None):
                pass
            case ast.Constant(value=int() | float()):
                return self._literal(node)
            case ast.Name():
                return self._name(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.UnaryOp(op=ast.USub()):
                return ("negative", self._number(node.operand))
            case ast.UnaryOp(op=ast.UAdd()):
                return self._number(node.operand)
            case ast.UnaryOp(op=ast.Not()):
                return ("not", self._condition(node.operand))
            case ast.UnaryOp(op=ast.Invert()):
                self._fail(node, "'~' is not legal; use 'not'")
            case ast.BoolOp():
                return reduce(lambda a, b: (_SYMBOLS[type(node.op)], a, b), [self._condition(value) for value in node.values])
            case ast.Compare():
                return self._comparison(node)
            case ast.Call():
                return self._call(node)
            case ast.IfExp():
                self._fail(node, "'if ... else' is not legal; use where(condition, a, b)")
        self._fail(node, f"'{self._source(node)}' is not legal; legal: {_LEGAL}")

    def _literal(self, node: ast.Constant) -> float:
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if math.isinf(value):
            self._fail(node, "the number is too large; legal: up to 1.79e308")
        return value

    def _name(self, node: ast.Name) -> Tree:
        name = self._source(node)  # not node.id, where Python has replaced letters: the micro sign by mu
        if name in _FUNCTIONS:
            self._fail(node, f"'{name}' is a function; write {_usage(name)}")
        if name == "pi":
            return math.pi
        if name not in self.names and name != "noise":
            self._fail(node, f"unknown name '{name}'{did_you_mean(name, [*self.names, 'pi', 'noise'])}")
        return name

    def _binary(self, node: ast.BinOp) -> Tree:
        if type(node.op) in _FOREIGN_SYMBOLS:
            symbol, hint = _FOREIGN_SYMBOLS[type(node.op)]
            after = self._column(node.left.end_col_offset)
            self._fail(self.text.index(symbol, after), f"'{symbol}' is not legal; {hint}")
        return (_SYMBOLS[type(node.op)], self._number(node.left), self._number(node.right))

    def _comparison(self, node: ast.Compare) -> Tree:
        for op in node.ops:
            if type(op) not in _SYMBOLS:
                self._fail(node, f"'{self._source(node)}' is not legal; legal comparisons: < <= > >= == !=")
        operands = [self._number(operand) for operand in (node.left, *node.comparators)]
        pairs = zip(node.ops, operands[:-1], operands[1:], strict=True)
        return reduce(lambda a, b: ("and", a, b), [(_SYMBOLS[type(op)], a, b) for op, a, b in pairs])

    def _call(self, node: ast.Call) -> Tree:
        function = self._source(node.func)
        if not isinstance(node.func, ast.Name) or function in self.names or function in {"pi", "noise"}:
            self._fail(node, f"'{function}' is not a function; write * to multiply")
        if function not in _FUNCTIONS:
            self._fail(node, f"unknown function '{function}'{did_you_mean(function, _FUNCTIONS)}")
        for keyword in node.keywords:
            self._fail(keyword, f"keyword arguments are not legal; write {_usage(function)}")
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self._fail(argument, f"'*' before an argument is not legal; write {_usage(function)}")
        n = len(node.args)
        if function in {"min", "max"}:
            if n < 2:
                self._fail(node, f"'{function}' takes two or more arguments, {n} given; write {_usage(function)}")
            return reduce(lambda a, b: (function, a, b), [self._number(argument) for argument in node.args])
        wanted = 3 if function == "where" else 1
        if n != wanted:
            self._fail(node, f"'{function}' takes {wanted} argument{'s'[: wanted > 1]}, {n} given; write {_usage(function)}")
        if function == "where":
            condition, a, b = node.args
            return (function, self._condition(condition), self._number(a), self._number(b))
        return (function, self._number(node.args[0]))

    def _source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def _column(self, offset: int | None) -> int:
        """Python counts bytes in a line, a caret counts characters."""
        return len(self.text.encode()[: offset or 0].decode(errors="ignore"))

    def _fail_syntax(self, error: SyntaxError) -> NoReturn:
        column = min(max((error.offset or 1) - 1, 0), len(self.text))
        before, after = self.text[:column].rstrip(), self.text[column:]
        # Python points at the number in "2x", and at the second of the two in "2 x".
        if re.match(r"\d[\d.]*[A-Za-z_]", after) or (re.search(r"[\w)]$", before) and re.match(r"[\w(]", after)):
            self._fail(column, "two values side by side; write * to multiply, as in 2*x; units are not legal in expressions")
        self._fail(column, f"not an expression: {error.msg}; legal: {_LEGAL}")

    def _fail(self, at: ast.expr | ast.keyword | int, message: str) -> NoReturn:
        column = at if isinstance(at, int) else self._column(at.col_offset)
        start, end = max(column - _AROUND, 0), column + _AROUND
        before, after = "... " if start else "", " ..." if len(self.text) > end else ""
        raise ValueError(f"{message}\n    {before}{self.text[start:end]}{after}\n    {' ' * (len(before) + column - start)}^") from None


def _usage(function: str) -> str:
    return f"{function}({_ARGUMENTS.get(function, 'a')})"


def _is_condition(tree: Tree) -> bool:
    return isinstance(tree, tuple) and tree[0] in _CONDITIONS


def _depth(tree: Tree) -> int:
    """How many operations lie within each other."""
    deepest, open_trees = 0, [(tree, 0)]
    while open_trees:
        inner, depth = open_trees.pop()
        deepest = max(deepest, depth)
        if isinstance(inner, tuple):
            open_trees += [(operand, depth + 1) for operand in inner[1:]]
    return deepest


def _names(tree: Tree) -> set[str]:
    if isinstance(tree, tuple):
        return set().union(*map(_names, tree[1:]))
    return {tree} if isinstance(tree, str) else set()


def _evaluate(tree: Tree, values: dict[str, Any], apply: Callable[..., Any]) -> Any:
    if isinstance(tree, tuple):
        return apply(tree[0], *[_evaluate(operand, values, apply) for operand in tree[1:]])
    return values[tree] if isinstance(tree, str) else tree


def _apply_ufl(operation: str, *operands: Any) -> Any:
    """Numbers stay numbers as long as they can: UFL would make complex ones of sqrt(-1), and an error of log(0)."""
    on_numbers, on_ufl = _OPERATIONS[operation]
    if not any(isinstance(operand, Expr) for operand in operands):
        with np.errstate(all="ignore"):
            value = on_numbers(*operands)
        if not np.isfinite(value):
            raise ValueError(f"{operation} of {', '.join(f'{operand:g}' for operand in operands)} is {value:g}")
        return value
    if operation == "where" and not isinstance(operands[0], Expr):
        return operands[1] if operands[0] else operands[2]
    result = on_ufl(*map(_lifted, operands))
    return float(result) if isinstance(result, RealValue | Zero) else result


def _lifted(value: Any) -> Expr:
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool | np.bool_):
        return ufl.lt(0.0, 1.0) if value else ufl.lt(1.0, 0.0)
    number = float(value)
    # UFL estimates the degree of x**2 from an integer, of x**2.0 by a guess; C's integers end at 2^31.
    return ufl.as_ufl(int(number) if number.is_integer() and abs(number) < 2**31 else number)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

# Where one integer ends and the next begins, as a fraction of one. Scaled vertices of a grid of N cells lie at multiples of 1/N', N' being
# N without its factors 2 and 5 (up to nine of each): none is nearer than 1/4000 to this edge for N' <= 2000, and round-off is 1e-7.
# Not at 1/2, where every odd vertex of a 2^10 grid is; not irrational: fractions j/N come within 1/N^2 of any number but the simplest.
_EDGE = 1 / 4000


def noise(seed: int, x: ArrayLike, lower: ArrayLike, extent: ArrayLike, stream: int = 0) -> NDArray[np.float64]:
    """Uniform in [-1, 1] at the places x (3, n): a hash of seed, stream and place, the place to 1e-9 of the largest extent.

    lower, extent: of the whole domain, (3,), the same on all ranks. Streams are independent, as are seeds.
    """
    lower = np.asarray(lower, dtype=float).reshape(-1, 1)
    place = np.ceil((np.asarray(x, dtype=float) - lower) / np.max(extent) * 1e9 - _EDGE).astype(np.int64).view(np.uint64)
    hashed = np.zeros(place.shape[1], dtype=np.uint64)
    for word in (np.uint64(seed % 2**64), np.uint64(stream % 2**64), *place):
        hashed = _mix(hashed ^ word)
    return (hashed >> np.uint64(11)).astype(np.float64) * (2 / (2**53 - 1)) - 1


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of splitmix64: a bijection in which each bit of the result depends on each bit of the argument."""
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))
