"""Expressions print as they are written: what is printed, Python reads back as the same values."""

import numpy as np
import pytest
from scipy import special

import bayeskit as bk
from bayeskit.expressions import Constant, Variable
from bayeskit.expressions.printing import print_number
from bayeskit.expressions.structure import Rename, Scatter
from tests.expressions.random_expressions import ALL, environment, random_linear

x, v, b, M, c, d, e, X, o, i, j, q, z = ALL.values()

TEXTS = [
    (x, "x"), (x + c, "x + c"), (x - (c + 1), "x - (c + 1)"), (x - c + 1, "x - c + 1"), (x - (c - 1), "x - (c - 1)"),
    (x + (c + 1), "x + c + 1"), (x + (c - 1), "x + c - 1"), (2 * (x + c), "2 * (x + c)"), (x * (c * 2), "x * c * 2"),
    (x * (c / 2), "x * c / 2"), (x / (c * 2), "x / (c * 2)"), (x / (c / 2), "x / (c / 2)"),
    (x * (c // 2), "x * (c // 2)"),
    (x % 2 * 3, "x % 2 * 3"), (x * (c % 2), "x * (c % 2)"), (x**2, "x**2"), (x**-0.5, "x**-0.5"),
    ((-x) ** 2, "(-x)**2"),
    (-(x**2), "-x**2"), (x**c**2, "x**c**2"), ((x**c) ** 2, "(x**c)**2"), ((-2.0) ** x, "(-2)**x"), (-x * c, "-x * c"),
    (-(x * c), "-(x * c)"), (x - -1, "x - -1"), (1e-8 * x, "1e-08 * x"), (0.1 * x, "0.1 * x"), (abs(x), "abs(x)"),
    (np.exp(x + 1), "exp(x + 1)"), (special.expit(x), "expit(x)"), (np.where(c > 0, x, 0), "where(c > 0, x, 0)"),
    ((x > 0) & (c < 1), "(x > 0) & (c < 1)"), ((x > 0) | (c < 1) & (x != 1), "(x > 0) | (c < 1) & (x != 1)"),
    (((x > 0) | (c < 1)) & (x != 1), "((x > 0) | (c < 1)) & (x != 1)"), (~(x == 1), "~(x == 1)"),
    ((x > 0) == (c > 0), "(x > 0) == (c > 0)"), (x + 1 > c * 2, "x + 1 > c * 2"), ((x > 0) * 2, "(x > 0) * 2"),
    (v[i], "v[i]"), ((v + 1)[i], "(v + 1)[i]"), (M[{"g": i, "t": q}], 'M[{"g": i, "t": q}]'), (v[q + 1], "v[q + 1]"),
    (M[{"g": j}], "M[j]"),
    (M[{"g": z}], 'M[{"g": z}]'), (X @ b, "X @ b"), (c + X @ b, "c + X @ b"), (c * (X @ b), "c * (X @ b)"),
    (c * X @ b, "c * X @ b"),
    ((X + 1) @ b, "(X + 1) @ b"), (X @ (b + 1), "X @ (b + 1)"), (-(X @ b), "-(X @ b)"),
    (v.sum("g"), 'v.sum("g")'), ((v * d).sum("g"), '(v * d).sum("g")'), (v.mean("g"), 'v.mean("g")'),
    (np.exp(v).cumsum("g"), 'exp(v).cumsum("g")'), (bk.stack([x, 1], dim="k"), 'stack([x, 1], "k")'),
    (bk.concat([0, v], dim="h"), 'concat([0, v], "h")'), (bk.inverse(Variable("S", ("k", "k_"))), "inverse(S)"),
    (Rename(x + v, {"g": "h"}) * 2, "(x + v) * 2"), (Variable("n@1", ()), "n"),
    (Scatter("y", np.zeros(2), ("g",), np.array([0]), Variable("y_missing", ("cell",))) + 1, "y + 1"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "text"), TEXTS, ids=[t[1] for t in TEXTS])
def test_text(expression, text):
    assert str(expression) == text
    assert repr(expression) == text


def read_back(text):
    return eval(
        text, {n: getattr(np, n) for n in ("exp", "where", "sin")} | {"stack": bk.stack, "concat": bk.concat}, ALL
    )


@pytest.mark.parametrize("seed", range(150))
def test_what_is_printed_can_be_read_back(seed):
    rng = np.random.default_rng(seed)
    expression = random_linear(rng, depth=int(rng.integers(1, 7)))
    again = read_back(str(expression))
    env = environment(rng)
    assert again.dims == expression.dims
    np.testing.assert_allclose(again.evaluate(env), expression.evaluate(env), rtol=1e-9, atol=1e-9)
    assert str(again) == str(expression)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (2.0, "2"), (0.1, "0.1"), (1 / 3, "0.333333333333"), (np.int64(5), "5"), (-1e300, "-1e+300"),
     (np.inf, "inf"), ([1.0, 2.5], "[1. , 2.5]"), (np.arange(20), "[ 0,  1,  2, ..., 17, 18, 19]")],
)  # fmt: skip
def test_numbers(value, text):
    assert print_number(value) == text
    if np.ndim(value) == 0:
        assert str(Constant(value)) == text
