"""Expressions: what they are in numpy and in UFL, what they refuse and how they say so; noise: the same on any number of ranks."""

from __future__ import annotations

import copy
import math
import pickle
import re
import warnings

import basix.ufl
import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from fem_diffusion.expression import Expression, noise

PLACE = {"x": 0.3, "y": -1.7, "z": 2.5, "t": 4.0}

VALUES = [
    ("1", 1.0),
    ("  x\n + y ", -1.4),
    ("-x**2", -0.09),
    ("2**-1", 0.5),
    ("2**3**2", 512.0),
    ("+x - -y", -1.4),
    ("z/x/2", 2.5 / 0.3 / 2),
    ("1e-3*x", 3e-4),
    ("t**0.5", 2.0),
    ("pi", math.pi),
    ("sin(x) + cos(y)*tan(z)", math.sin(0.3) + math.cos(-1.7) * math.tan(2.5)),
    ("exp(x)*log(z)/sqrt(t)", math.exp(0.3) * math.log(2.5) / 2),
    ("tanh(y)", math.tanh(-1.7)),
    ("abs(y)", 1.7),
    ("min(x, y, z)", -1.7),
    ("max(x, y, 1)", 1.0),
    ("where(x < 0.5, 1, 2)", 1.0),
    ("where(x < y, 1, where(z >= t, 2, 3))", 3.0),
    ("where(y < 0 < x < 0.5, 1, 2)", 1.0),
    ("where(0 < x < 0.5 < y, 1, 2)", 2.0),
    ("where(x > 0 and y > 0, 1, 2)", 2.0),
    ("where(x > 0 or y > 0 and z < 0, 1, 2)", 1.0),
    ("where(not x > 0, 1, 2)", 2.0),
    ("where(t == 4, 1, 2)", 1.0),
    ("where(t != 4, 1, 2)", 2.0),
    ("where(x <= 0.3, 1, 2)", 1.0),
    ("x < 0.5", 1.0),
    ("(x > 0.5) + 3*(y < 0)", 3.0),
    ("where(1 < 2, x, z)", 0.3),
    ("where(1 > 2, x, z)", 2.5),
    ("where(1 < 2 and x > 0, x, 0)", 0.3),
    ("where(1 > 2 or x > 0, x, 0)", 0.3),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_numpy_value(text: str, value: float) -> None:
    assert Expression(text).numpy(**PLACE) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_ufl_value(text: str, value: float) -> None:
    domain = ufl.Mesh(basix.ufl.element("Lagrange", "tetrahedron", 1, shape=(3,)))
    x, y, z = ufl.SpatialCoordinate(domain)
    assert Expression(text).ufl(x=x, y=y, z=z, t=PLACE["t"])((PLACE["x"], PLACE["y"], PLACE["z"])) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_ufl_of_numbers(text: str, value: float) -> None:
    assert Expression(text).ufl(**PLACE)(()) == pytest.approx(value, rel=1e-14)


def test_ufl_compiles_and_agrees_with_numpy() -> None:
    mesh = dmesh.create_unit_square(MPI.COMM_WORLD, 4, 4)
    space = fem.functionspace(mesh, ("Lagrange", 1))
    t = fem.Constant(mesh, 1.5)
    points = space.element.interpolation_points
    names = dict(zip("xyz", space.tabulate_dof_coordinates().T, strict=True))
    x = ufl.SpatialCoordinate(mesh)
    for text in [
        "exp(-x)*log(1 + y)/sqrt(t) + tanh(x - y) + tan(x)*cos(t)",
        "abs(x - 0.4)**1.5 + min(x, y, 0.3) + max(x, y, 0.3) + t**x",
        "where(0.2 < x < 0.6 and not t == 2, sin(x), (x >= y + 0.1) + (t != 2))",
        "where(x <= 0.3 or y > 0.6, x**2, 1/(1 + y))",
    ]:
        expression = Expression(text)
        form = expression.ufl(x=x[0], y=x[1], z=0.0, t=t)
        function = fem.Function(space)
        function.interpolate(fem.Expression(form, points() if callable(points) else points))
        np.testing.assert_allclose(function.x.array, expression.numpy(**names, t=1.5), rtol=1e-12, atol=1e-14, err_msg=text)


def test_ufl_integer_powers_have_their_degree() -> None:
    x = ufl.SpatialCoordinate(ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,))))
    estimate = ufl.algorithms.estimate_total_polynomial_degree
    assert estimate(Expression("x**3").ufl(x=x[0])) == 3
    assert estimate(Expression("1e12*x**3.0").ufl(x=x[0])) == 3


def test_ufl_derivative_of_a_species() -> None:
    c = ufl.variable(ufl.SpatialCoordinate(ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,))))[0])
    form = Expression("Ag*(1 - Ag)**2 + log(Ag)", ("Ag",)).ufl(Ag=c)
    derivative = ufl.algorithms.apply_derivatives.apply_derivatives(
        ufl.algorithms.apply_algebra_lowering.apply_algebra_lowering(ufl.diff(form, c))
    )
    assert derivative((0.3,)) == pytest.approx(0.7**2 - 2 * 0.3 * 0.7 + 1 / 0.3)


class Array(np.ndarray):
    """Python's precedence with numpy's power: ndarray ** 2 takes a square, numpy.power of two arrays need not be the same bits."""

    def __pow__(self, other: object) -> np.ndarray:
        return np.power(self, other)


def array(number: float) -> Array:
    return np.array([number], dtype=float).view(Array)


ORACLE = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "tanh", "abs", "where")},
    "min": lambda *args: np.minimum.reduce(args),
    "max": lambda *args: np.maximum.reduce(args),
    "pi": array(math.pi),
    "number": array,
}
NUMBER = re.compile(r"(?<![A-Za-z_])\d+(\.\d+)?")


def numbers() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["x", "y", "z", "t", "pi", "0", "1", "2", "3", "0.5", "7.25"])
    return st.recursive(leaves, compound, max_leaves=12)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def call(name: str, *args: str) -> str:
        return f"{name}({', '.join(args)})"

    comparison = st.builds(lambda a, op, b: f"{a} {op} {b}", inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner)
    chained = st.builds(lambda a, b, c: f"{a} < {b} <= {c}", inner, inner, inner)
    simple = st.one_of(comparison, chained)
    conditions = st.one_of(
        simple,
        st.builds(lambda a, op, b: f"{a} {op} {b}", simple, st.sampled_from(["and", "or"]), simple),
        st.builds(lambda a, b: f"not ({a}) or {b}", simple, simple),
    )
    return st.one_of(
        st.builds(lambda a, op, b: f"{a} {op} {b}", inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner),
        st.builds(lambda a: f"({a})", inner),
        st.builds(lambda a: f"-{a}", inner),
        st.builds(call, st.sampled_from(["sin", "cos", "tan", "exp", "log", "sqrt", "tanh", "abs"]), inner),
        st.builds(call, st.sampled_from(["min", "max"]), inner, inner),
        st.builds(call, st.sampled_from(["min", "max"]), inner, inner, inner),
        st.builds(lambda c, a, b: f"where({c}, {a}, {b})", conditions, inner, inner),
    )


@pytest.mark.serial
@settings(max_examples=300, deadline=None)
@given(numbers(), st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_numpy_equals_python(text: str, place: list[float]) -> None:
    names = dict(zip("xyzt", map(array, place), strict=True))
    with np.errstate(all="ignore"):
        expected = eval(NUMBER.sub(r"number(\g<0>)", text), {**ORACLE, **names})
    np.testing.assert_array_equal(Expression(text).numpy(**names), np.asarray(expected))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xyzt0123456789.+-*/()<>=!,#^&|~[]{}'\"\\ \n:@_aeinorsw\0µ²", max_size=20))
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        Expression(text)
    except ValueError as error:
        assert "legal" in str(error) or "write" in str(error) or "use" in str(error) or "did you mean" in str(error)


def test_numpy_shape_and_type() -> None:
    x, y = np.arange(4), np.ones((3, 1), dtype=int)
    for text in ("x*y", "x", "2", "x < 1"):
        value = Expression(text).numpy(x=x, y=y)
        assert (value.shape, value.dtype) == ((3, 4), np.float64)
        value += 1.0
    assert x.tolist() == [0, 1, 2, 3]
    assert Expression("2").numpy().shape == ()
    np.testing.assert_array_equal(Expression("x**-1").numpy(x=[2]), [0.5])


@pytest.mark.parametrize(
    ("text", "value"), [("x/x", math.nan), ("log(x - 1)", math.nan), ("sqrt(x - 1)", math.nan), ("1/x", math.inf), ("exp(1e4)", math.inf)]
)
def test_numpy_has_no_value_without_a_warning(text: str, value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(Expression(text).numpy(x=[0.0]), [value])
        np.testing.assert_array_equal(Expression(f"where(x > 0, {text}, 3)").numpy(x=[0.0]), [3.0])


def test_depends_on() -> None:
    assert Expression("x + sin(t)*where(y > 0, 1, 2)").depends_on == {"x", "y", "t"}
    assert Expression("0.5 + 0.01*noise").depends_on == {"noise"}
    assert Expression("Ag*Cu", ("Ag", "Cu")).depends_on == {"Ag", "Cu"}
    assert Expression("2*pi").constant
    assert not Expression("noise").constant


def test_names_are_taken_as_written() -> None:
    """Python itself reads the micro sign as the letter mu, and one phi as another."""
    assert Expression("ϕ + µ", ("ϕ", "µ")).numpy(**{"ϕ": 1.0, "µ": 2.0}) == 3.0


def test_is_data() -> None:
    expression = Expression("0.5 + x")
    assert expression == Expression("0.5 + x") and hash(expression) == hash(Expression("0.5 + x"))
    assert repr(expression) == "Expression(text='0.5 + x', names=('x', 'y', 'z', 't'))"
    for other in (pickle.loads(pickle.dumps(expression)), copy.deepcopy(expression)):
        assert other == expression and other.numpy(x=1.0) == 1.5


SYNTAX = "legal: numbers, names, + - * / **"
REFUSED = [
    # text, the piece at the caret, what the message says
    ("x^2", "^2", "'^' is not legal; use ** for powers"),
    ("(µ) ^ (y)", "^ (y)", "use ** for powers"),
    ("x // y", "// y", "use /"),
    ("x % y", "% y", "legal: + - * / **"),
    ("(x < 1) & (y < 1)", "& (y", "use 'and'"),
    ("(x < 1) | (y < 1)", "| (y", "use 'or'"),
    ("~x", "~x", "use 'not'"),
    ("x @ y", "@ y", "use *"),
    ("u + 1", "u + 1", "unknown name 'u'; legal: noise, pi, t, x, y, z, µ"),
    ("nois", "nois", "unknown name 'nois'; did you mean 'noise'?"),
    ("1 + sinn(x)", "sinn", "unknown function 'sinn'; did you mean 'sin'?"),
    ("ln(x)", "ln", "unknown function 'ln'; legal: abs, cos, exp, log"),
    ("__import__('os')", "__imp", "unknown function '__import__'; legal: abs"),
    ("sin + 1", "sin +", "'sin' is a function; write sin(a)"),
    ("x(2)", "x(2)", "'x' is not a function; write * to multiply"),
    ("2(x)", "2(x)", "'2' is not a function; write * to multiply"),
    ("noise()", "noise", "'noise' is not a function"),
    ("x.real", "x.real", f"'x.real' is not legal; {SYNTAX}"),
    ("x.sin(2)", "x.sin", "'x.sin' is not a function"),
    ("x[0]", "x[0]", f"'x[0]' is not legal; {SYNTAX}"),
    ("sin(a=1)", "a=1", "keyword arguments are not legal; write sin(a)"),
    ("max(*x)", "*x", "'*' before an argument is not legal; write max(a, b)"),
    ("sin()", "sin()", "'sin' takes 1 argument, 0 given; write sin(a)"),
    ("1 + sin(x, y)", "sin(x, y)", "'sin' takes 1 argument, 2 given"),
    ("max(x)", "max", "'max' takes two or more arguments, 1 given; write max(a, b)"),
    ("where(x > 1, 2)", "where", "'where' takes 3 arguments, 2 given; write where(condition, a, b)"),
    ("where(x, 1, 2)", "x, 1", "'x' is a number where a condition is wanted; compare it, as in x > 0"),
    ("x < 1 and y", "y", "'y' is a number where a condition is wanted"),
    ("not x", "x", "'x' is a number where a condition is wanted"),
    ("x if y > 0 else 1", "x if", "use where(condition, a, b)"),
    ("x in y", "x in", "legal comparisons: < <= > >= == !="),
    ("x is y", "x is", "legal comparisons"),
    ("lambda: 1", "lambda", SYNTAX),
    ("[x for x in y]", "[x", SYNTAX),
    ("(x := 2)", "x :=", SYNTAX),
    ("x, y", "x, y", SYNTAX),
    ("True", "True", SYNTAX),
    ("1j", "1j", SYNTAX),
    ("'x'", "'x'", SYNTAX),
    ("1e999", "1e999", "the number is too large; legal: up to 1.79e308"),
    ("1" + 400 * "0", "1000", "the number is too large"),
    ("0.5 # mean\n + x", "# mean", "'#' is not legal in an expression; remove the comment"),
    ("2x", "2x", "two values side by side; write * to multiply"),
    ("2 pi x", "pi x", "two values side by side; write * to multiply"),
    ("25 mV", "mV", "units are not legal in expressions"),
    ("x +* y", "* y", f"not an expression: invalid syntax; {SYNTAX}"),
    ("2*(x", "(x", "not an expression: '(' was never closed; legal"),
]


@pytest.mark.parametrize(("text", "piece", "says"), REFUSED)
def test_refused(text: str, piece: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        Expression(text, ("x", "y", "z", "t", "µ"))
    message, shown, caret = str(caught.value).split("\n")
    assert says in message
    assert shown == "    " + " ".join(text.split()) or (len(shown) < 140 and shown.endswith(" ..."))
    assert shown[caret.index("^") :].startswith(piece)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_refused_empty(text: str) -> None:
    with pytest.raises(ValueError, match="the expression is empty; legal: numbers"):
        Expression(text)


@pytest.mark.parametrize("text", ["x+" * 4999 + "x", "-" * 5000 + "x", "x+" * 301 + "x", f"min({'x, ' * 400} x)"])
def test_refused_depth(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply: '.{40}...'; write it shorter"):
        Expression(text)


@pytest.mark.parametrize("names", [("x", "exp"), ("pi",), ("noise",), ("x", "t", "t")])
def test_refused_names(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"'{names[-1]}' cannot name a quantity .* it is taken; choose another name"):
        Expression("1", names)


def test_missing_value() -> None:
    for evaluate in (Expression("x + t*y").numpy, Expression("x + t*y").ufl):
        with pytest.raises(ValueError, match=r"'x \+ t\*y' depends on t, y, which has no value here; legal: x"):
            evaluate(x=1.0)


def test_ufl_refuses_noise() -> None:
    with pytest.raises(ValueError, match=r"'1 \+ noise': noise has values at nodes only, legal in initial values; remove it here"):
        Expression("1 + noise").ufl(noise=1.0)


@pytest.mark.parametrize("text", ["1/0", "x/0", "log(0)", "sqrt(-1)", "x*(-2)**0.5", "sqrt(0*x - 1)", "log(0*x)", "0**-1", "exp(1e4) + x"])
def test_ufl_refuses_constants_that_are_not_finite(text: str) -> None:
    x = ufl.SpatialCoordinate(ufl.Mesh(basix.ufl.element("Lagrange", "interval", 1, shape=(1,))))
    with pytest.raises(ValueError, match="has no finite value: .*; every part of it must be finite"):
        Expression(text).ufl(x=x[0])


BOX = (np.zeros(3), np.ones(3))


def grid(n: int, extent: float = 1.0) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, extent, n), np.linspace(0, extent, n), indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.zeros(n * n)])


def test_noise_is_uniform() -> None:
    values = noise(0, grid(500), *BOX)
    n = values.size
    assert values.min() >= -1 and values.max() <= 1
    assert abs(values.mean()) < 4 * math.sqrt(1 / 3 / n)
    assert abs((values**2).mean() - 1 / 3) < 4 * math.sqrt(4 / 45 / n)
    counts, _ = np.histogram(values, bins=100, range=(-1, 1))
    chi_square = ((counts - n / 100) ** 2 / (n / 100)).sum()
    assert abs(chi_square - 99) < 4 * math.sqrt(2 * 99)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """In standard deviations of that of independent samples."""
    return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) * math.sqrt(a.size)


def test_noise_of_neighbours_is_independent() -> None:
    values = noise(3, grid(500), *BOX).reshape(500, 500)
    assert correlation(values[1:], values[:-1]) < 4
    assert correlation(values[:, 1:], values[:, :-1]) < 4
    assert correlation(values[1:, 1:], values[:-1, :-1]) < 4
    assert correlation(values, values.T) < 4 + math.sqrt(500)  # the diagonal is its own transpose


def test_noise_of_seeds_and_streams_is_independent() -> None:
    x = grid(300)
    keys = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2), (-1, 0), (2**70, 5)]
    samples = [noise(seed, x, *BOX, stream=stream) for seed, stream in keys]
    for i, a in enumerate(samples):
        for b in samples[:i]:
            assert correlation(a, b) < 4.5


def test_noise_depends_on_each_coordinate() -> None:
    places = np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.3], [0.3, 0.2, 0.1], [0.1, 0.2, 0.3 + 3e-9]]).T
    assert len(set(noise(0, places, *BOX))) == 4


def test_noise_does_not_depend_on_the_other_points() -> None:
    x = grid(20)
    values = noise(5, x, *BOX)
    order = np.random.default_rng(0).permutation(x.shape[1])
    np.testing.assert_array_equal(noise(5, x[:, order], *BOX), values[order])
    np.testing.assert_array_equal(noise(5, x[:, :1], *BOX), values[:1])
    assert noise(5, x[:, :0], *BOX).shape == (0,)


def test_noise_is_fixed_for_ever() -> None:
    """A user's seed gives the same initial state in every version."""
    assert noise(7, [[0.0, 0.5], [0.0, 0.25], [0.0, 0.0]], *BOX, stream=1).tolist() == [0.22004747945124348, -0.12414912699653136]


@pytest.mark.serial
@pytest.mark.parametrize("extent", [1.0, 200.0, 1e-6, 2 * math.pi])
@pytest.mark.parametrize("lower", [0.0, -0.5])
def test_noise_survives_round_off_on_grids(extent: float, lower: float) -> None:
    random = np.random.default_rng(1)
    corner, box = np.full(3, lower * extent), np.array([extent, extent / 2, extent / 3])
    for cells in (*range(1, 301), 512, 1024, 4096):
        x = corner[:, None] + box[:, None] * np.arange(cells + 1) / cells
        expected = noise(0, x, corner, box)
        for sign in (-1.0, 1.0, random.uniform(-1, 1, x.shape)):
            np.testing.assert_array_equal(noise(0, x * (1 + 1e-13 * sign), corner, box), expected)
        summed = corner[:, None] + np.cumsum(np.c_[0 * box, np.tile(box[:, None] / cells, cells)], axis=1)
        np.testing.assert_array_equal(noise(0, summed, corner, box), expected)


def test_noise_survives_round_off_elsewhere() -> None:
    x = np.random.default_rng(2).uniform(0, 1, (3, 20_000))
    assert (noise(0, x * (1 + 1e-13), *BOX) != noise(0, x, *BOX)).mean() < 1e-3
