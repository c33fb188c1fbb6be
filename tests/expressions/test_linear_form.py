"""`linear_form`: what it finds equals evaluation, on random expressions; what is not linear is refused by name."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.expressions import Constant, Variable
from bayeskit.expressions.linear import LinearForm, NotLinear, Term, linear_form
from bayeskit.expressions.structure import Rename, Scatter
from tests.expressions.random_expressions import ALL, INDICES, KNOWN, SIZES, TARGETS, dense, environment, random_linear

x, v, b, M = TARGETS.values()
c, d, e, X, o = KNOWN.values()
i, j, q, z = INDICES.values()


def assert_same(expression, targets):
    form = linear_form(expression, targets, SIZES)
    assert isinstance(form, LinearForm), form
    env = environment(np.random.default_rng(5))
    wanted = expression.evaluate(env)
    np.testing.assert_allclose(
        np.broadcast_to(dense(form, expression.dims, env), wanted.shape), wanted, rtol=1e-10, atol=1e-10
    )
    for term in form.terms:
        assert term.target in targets
        assert not term.coefficient.variables & set(targets)
        assert not any(p.variables & set(targets) for p in term.positions.values() if not isinstance(p, str))
    assert not form.offset.variables & set(targets)
    return form


@pytest.mark.parametrize("seed", range(300))
def test_random_expressions(seed):
    rng = np.random.default_rng(seed)
    expression = random_linear(rng, depth=int(rng.integers(1, 7)))
    assert_same(expression, set(TARGETS))


@pytest.mark.parametrize("seed", range(60))
def test_random_expressions_in_one_target_of_several(seed):
    """The others are known: they may stand in coefficients and in the offset."""
    rng = np.random.default_rng(1000 + seed)
    expression = random_linear(rng, depth=5)
    target = sorted(expression.variables & set(TARGETS))[0]
    assert_same(expression, {target})


@pytest.mark.parametrize("seed", range(40))
def test_the_midpoint_of_two_points_is_the_mean_of_their_values(seed):
    """An oracle that shares nothing with the walk."""
    rng = np.random.default_rng(2000 + seed)
    expression = random_linear(rng, depth=5)
    env, other = environment(rng), environment(rng)
    other = env | {n: other[n] for n in TARGETS}
    middle = env | {n: (env[n] + other[n]) / 2 for n in TARGETS}
    wanted = (expression.evaluate(env) + expression.evaluate(other)) / 2
    np.testing.assert_allclose(expression.evaluate(middle), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "expression",
    [
        x, v, M, x + v, v - v, x * 0, x * 1, 0 + x, v * d + e, (c * v)[i], v[i] + b[q] * o, M[{"g": i, "t": q}],
        M[{"g": j}], (M * e)[{"g": j}], v[{"g": 2}], b[z], X @ b, b @ X, (X * b).sum("k"), M @ e, M @ d,
        M.sum("g").sum("t"),
        (x + e).cumsum("t"), (v + e).cumsum("t").sum("g"), (v + e).mean("t"), M.cumsum("g").cumsum("t"),
        bk.stack([x, c, x * 2], dim="n3"), bk.stack([v, d + x], dim="two"), bk.concat([0, v, x], dim="five"),
        bk.concat([c, M, e], dim="nine")[{"nine": z + 1}], np.where(d > 0, v, x), np.where(c > 0, 0, v),
        np.where(o > 0, v[i], x),
        (v / d)[i] / (o + 5), v.sum("g")[{}], -(x - v), Rename(v, {"g": "h"}) + 1,
    ],
    ids=str,
)  # fmt: skip
def test_forms_of_every_kind(expression):
    assert_same(expression, set(TARGETS))


def test_a_sum_does_not_capture_an_index_of_the_same_name():
    """The summed axis is private: a later index may run along a dim that bears the name of the summed one."""
    along_g = Constant(np.array([1, 0, 1]), ("g",))
    assert_same((v + e).sum("g")[{"t": along_g}] + v, set(TARGETS))
    assert_same(M.cumsum("t")[{"g": j}], set(TARGETS))


def test_a_branch_not_taken_leaves_no_trace():
    """Infinite coefficients and offsets behind a mask must not become NaN."""
    form = assert_same(np.where(d > 9, np.inf * x, v) + np.where(d > 9, -np.inf, x), {"x", "v"})
    assert form.terms
    cut = bk.concat([-np.inf, v, np.inf], dim="five")
    assert_same(cut, {"v"})


def test_an_observation_completed_by_a_latent():
    known = np.arange(12.0).reshape(3, 4)
    missing = Variable("v_missing", ("cell",))
    scatter = Scatter("y", known, ("g", "t"), np.array([2, 7]), missing)
    form = linear_form(scatter * c + x, {"v_missing", "x"}, SIZES)
    env = environment(np.random.default_rng(3)) | {"v_missing": np.random.default_rng(4).standard_normal((4, 2))}
    np.testing.assert_allclose(dense(form, ("g", "t"), env), (scatter * c + x).evaluate(env))
    assert linear_form(scatter * x, {"v_missing", "x"}, SIZES).reason.startswith("is a product of two factors")


def test_literal_zero_and_one_are_no_coefficients_mistaken():
    """A written 0 or 1 equals the library's own constants in value, and must be read as any other number."""
    for expression in (0 * x + 1, x * Constant(1.0) + Constant(0.0), 1 + x, x * 1 * d * 0 + 0):
        assert_same(expression, {"x"})
    form = linear_form(Constant(0.0) + c, {"x"}, SIZES)
    assert form.terms == ()
    assert form.offset.evaluate({"c": np.array([3.0])}) == 3.0


def test_what_is_free_of_targets_is_all_offset():
    form = linear_form(np.exp(d) * c, {"x"}, SIZES)
    assert form.terms == ()
    assert str(form.offset) == "exp(d) * c"
    assert form.is_elementwise


@pytest.mark.parametrize(
    ("expression", "elementwise"),
    [
        (x, True),
        (v[i] * o + c, True),
        (x + v, False),
        (v.sum("g"), False),
        (X @ b, False),
        (np.where(c > 0, v, 1), True),
    ],
    ids=str,
)
def test_elementwise(expression, elementwise):
    assert linear_form(expression, set(TARGETS), SIZES).is_elementwise is elementwise


def test_frame_of_a_term():
    (term,) = linear_form(v[i] * e, {"v"}, SIZES).terms
    assert isinstance(term, Term)
    assert set(term.frame) == {"obs", "t"}
    (term,) = linear_form(X @ b, {"b"}, SIZES).terms
    assert len(term.summed) == 1
    assert set(term.frame) == {"obs", *term.summed}


REFUSED = [
    (x * x, "x * x", "is a product of two factors that both contain 'x'"),
    (x * v, "x * v", "is a product of two factors that both contain 'v', 'x'"),
    ((x + 1) * (v + 2), "(x + 1) * (v + 2)", "both contain"),
    (c + d * (x * v), "x * v", "both contain"),
    (b @ (X * x), "b @ (X * x)", "is a product of two factors"),
    (x**2, "x**2", "is not linear in 'x'"),
    (x**1, "x**1", "is not linear in 'x'"),
    (2**x, "2**x", "is not linear in 'x'"),
    (np.square(v), "square(v)", "is not linear in 'v'"),
    (np.exp(x) + v, "exp(x)", "is not linear in 'x'"),
    (abs(x), "abs(x)", "is not linear in 'x'"),
    (x / x, "x / x", "is not linear in 'x'"),
    (c / x, "c / x", "is not linear in 'x'"),
    (x // 2, "x // 2", "is not linear in 'x'"),
    (np.maximum(x, 0), "maximum(x, 0)", "is not linear in 'x'"),
    (x > 0, "x > 0", "is not linear in 'x'"),
    (np.where(x > 0, v, 1), "where(x > 0, v, 1)", "is not linear in 'v', 'x'"),
    ((M * e).cumsum("t") * x, '(M * e).cumsum("t") * x', "both contain"),
    (np.exp(v).sum("g"), "exp(v)", "is not linear"),
    (bk.stack([x, x * x], dim="n3"), "x * x", "both contain"),
    (bk.concat([0, np.exp(v)], dim="h"), "exp(v)", "is not linear"),
]


@pytest.mark.parametrize(("expression", "blamed", "reason"), REFUSED, ids=[str(r[0]) for r in REFUSED])
def test_not_linear(expression, blamed, reason):
    form = linear_form(expression, set(TARGETS), SIZES)
    assert isinstance(form, NotLinear)
    assert form.subexpression == blamed
    assert reason in form.reason
    assert str(form) == f"{form.subexpression} {form.reason}"


def test_a_target_in_its_own_index():
    counts = Variable("n", ("g",), integer=True)
    form = linear_form(counts[{"g": counts}], {"n"}, SIZES)
    assert form == NotLinear("has 'n' in its own index", 'n[{"g": n}]')
    form = linear_form(d[{"g": counts}] + 1, {"n"}, SIZES)
    assert form == NotLinear("has 'n' in its own index", 'd[{"g": n}]')


def test_functions_of_matrices_are_not_linear():
    matrix = Variable("S", ("k", "k_"))
    form = linear_form(bk.inverse(matrix), {"S"}, SIZES)
    assert form == NotLinear("is not linear in 'S'", "inverse(S)")


def test_every_variable_of_the_generator_is_used():
    seen = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        seen |= random_linear(rng, depth=int(rng.integers(1, 7))).variables
    assert seen == set(ALL)
