"""Statistics merge in any order, give back what was put in, and count rows as often as they are told to."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError
from bayeskit.statistics import double_double as dd
from bayeskit.statistics.summaries import KINDS
from tests.statistics.summary_cases import CASES, made, states

N = 60


def regression():
    m = bk.Model()
    g, x, v = m.index("g", dims="obs"), m.data("x", dims="obs"), m.latent("v", bk.InverseGamma(3, 2))
    a = m.latent("a", bk.Normal(0, var=100 * v), dims="g")
    b = m.latent("b", bk.Normal(0, var=100 * v))
    m.observed("y", bk.Normal(a[g] + b * x, var=v), dims="obs")
    return m


def counts():
    m = bk.Model()
    g, e = m.index("g", dims="obs"), m.data("e", dims="obs")
    m.observed("y", bk.Poisson(e * m.latent("lam", bk.Gamma(2, 3), dims="g")[g]), dims="obs")
    p = m.latent("p", bk.Beta(2, 3), dims="g")
    m.observed("z", bk.Bernoulli(p[g]), dims="obs")
    return m


rng = np.random.default_rng(8)
DATA = {
    "g": rng.choice(list("abcde"), N), "x": rng.normal(1e3, 1.0, N), "e": rng.gamma(2.0, size=N),
    "y": 0.0, "z": rng.integers(0, 2, N),
}  # fmt: skip
REGRESSION = {k: DATA[k] for k in ("g", "x")} | {"y": 1e4 + rng.normal(size=N)}
COUNTED = {k: DATA[k] for k in ("g", "e", "z")} | {"y": rng.poisson(2.0, N)}


def some(data, places):
    return {n: np.asarray(v)[places] for n, v in data.items()}


def figures(posterior):
    """Moments of all latents with their labels, and the evidence."""
    found = {n: (posterior[n].mean(), posterior[n].sd()) for n in posterior._problem.latents}
    return found, float(posterior.log_evidence())


def assert_same(a, b, rtol=1e-10):
    (one, first), (two, second) = figures(a), figures(b)
    assert second == pytest.approx(first, rel=rtol)
    for n in one:
        for x, y in zip(one[n], two[n], strict=True):
            np.testing.assert_allclose(y.sel({d: x[d] for d in x.dims}), x, rtol=rtol)


MODELS = {"regression": (regression(), REGRESSION), "counts": (counts(), COUNTED)}
WHOLE = {n: m.condition(data) for n, (m, data) in MODELS.items()}


def check_merging(name, seed):
    """Rows in parts of any size, two of which are merged, in any order, until there is one."""
    rng = np.random.default_rng(seed)
    m, rows = MODELS[name]
    part = rng.integers(0, rng.integers(1, 9), N)
    left = [m.summarize(some(rows, part == k)) for k in np.unique(part)]
    while len(left) > 1:
        one = left.pop(rng.integers(len(left)))
        j = rng.integers(len(left))
        left[j] = one + left[j]
    assert_same(WHOLE[name], m.condition(left[0]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.parametrize("name", MODELS)
def test_parts_merged_in_any_order_say_what_all_rows_say(name, seed):
    check_merging(name, seed)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.parametrize("name", MODELS)
def test_a_thousand_partitions_merged_in_any_order_say_what_all_rows_say(name, seed):
    check_merging(name, seed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.parametrize("name", MODELS)
def test_what_is_taken_out_was_never_there(name, seed):
    rng = np.random.default_rng(seed)
    m, rows = MODELS[name]
    keep = rng.random(N) < rng.choice([0.02, 0.1, 0.5, 0.9])
    keep[rng.integers(N, size=2)] = True, False
    if keep.all() or not keep.any():
        return
    late, rest = some(rows, ~keep), some(rows, keep)
    whole = m.summarize(rows) - m.summarize(late)
    (one, first), (two, second) = (figures(p) for p in (m.condition(rest), m.condition(whole)))
    assert second == pytest.approx(first, rel=1e-10)
    for n in one:
        for x, y in zip(one[n], two[n], strict=True):
            np.testing.assert_allclose(y.sel({d: x[d] for d in x.dims}), x, rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_half_and_half_is_one(name):
    m, data = made(name)
    a = m.summarize(data)
    if name == "heavy_tails":
        with pytest.raises(RefusedError, match="must count in whole numbers"):
            0.5 * a
        return
    both = m.condition(0.25 * a + a * 0.75)._problem
    state = states(both)
    np.testing.assert_allclose(both.log_joint(state), m.condition(a)._problem.log_joint(state), rtol=1e-11)


@pytest.mark.parametrize("name", [n for n in CASES if n != "heavy_tails"])
@pytest.mark.parametrize("w", [0.3, 2.5])
def test_a_weight_is_a_power_of_the_likelihood(name, w):
    m, data = made(name)
    rows, weighed = m.condition(data)._problem, m.condition(w * m.summarize(data))._problem
    state = states(rows)
    prior = sum(rows.latents[n].prior.total({**rows.env, **state}) for n in rows.latents)
    likelihood = rows.log_joint(state) - prior
    np.testing.assert_allclose(weighed.log_joint(state), prior + w * likelihood, rtol=1e-10)


# ---- closed forms ---------------------------------------------------------------------------------------------------
def test_power_priors_in_closed_form():
    m = bk.Model()
    m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(2, 3))), dims="obs")
    assert repr(m.condition({"y": [3, 7, 5]}).discount(0.3)["p"]) == repr(bk.Beta(2 + 0.3 * 15, 3 + 0.3 * 15))
    m = bk.Model()
    e = m.data("e", dims="obs")
    m.observed("y", bk.Poisson(e * m.latent("x", bk.Gamma(2, 3))), dims="obs")
    found = m.condition({"y": [3, 0, 5], "e": [1.0, 2.0, 0.5]}).discount(0.3)["x"]
    assert float(found.mean()) == pytest.approx((2 + 0.3 * 8) / (3 + 0.3 * 3.5), rel=1e-13)
    assert float(found.var()) == pytest.approx((2 + 0.3 * 8) / (3 + 0.3 * 3.5) ** 2, rel=1e-13)


def test_a_normal_of_unknown_variance_to_a_power():
    """Ibrahim and Chen (2000), sec. 2, with a normal inverse gamma prior: n, n ybar and S are w times as large."""
    k, m0, alpha, beta, w = 0.5, 1.0, 3.0, 2.0, 0.2
    y = np.array([2.0, 3.5, 1.0, 4.0, 2.5])
    m = bk.Model()
    v = m.latent("v", bk.InverseGamma(alpha, beta))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(m0, var=v / k)), var=v), dims="obs")
    found = m.condition({"y": y}).discount(w)
    n, mean, S = w * 5, y.mean(), w * ((y - y.mean()) ** 2).sum()
    a = alpha + n / 2
    b = beta + S / 2 + k * n / (k + n) * (mean - m0) ** 2 / 2
    centre, scale = (k * m0 + n * mean) / (k + n), np.sqrt(b / (a * (k + n)))
    for q in (0.05, 0.5, 0.9):
        assert float(found["mu"].quantile(q)) == pytest.approx(stats.t(2 * a, centre, scale).ppf(q), rel=1e-9)
        assert float(found["v"].quantile(q)) == pytest.approx(stats.invgamma(a, scale=b).ppf(q), rel=1e-9)


def test_forgetting():
    """West and Harrison (1997), sec. 10.8: a discounted beta-binomial keeps delta of its counts."""
    m = bk.Model()
    m.observed("y", bk.Binomial(1, m.latent("p", bk.Beta(1, 1))))
    posterior, a, b = m.condition({"y": 1}), 1.0, 0.0
    for y in (0, 1, 1, 0, 1):
        posterior = posterior.discount(0.9).update({"y": y})
        a, b = 0.9 * a + y, 0.9 * b + 1 - y
    assert float(posterior["p"].mean()) == pytest.approx((1 + a) / (2 + a + b), rel=1e-13)
    assert float(posterior["p"].var()) == pytest.approx(stats.beta(1 + a, 1 + b).var(), rel=1e-12)


@pytest.mark.parametrize("w", [-1, -1e-9, np.nan, np.inf, "2", True, None])
def test_weights_that_are_none(w):
    a = counts().summarize(COUNTED)
    with pytest.raises(RefusedError, match="must be a number from 0 on, and finite"):
        w * a
    with pytest.raises(RefusedError, match="must be a number from 0 on, and finite"):
        WHOLE["counts"].discount(w)


def test_a_weight_of_zero_leaves_the_prior():
    found = WHOLE["counts"].discount(0)
    np.testing.assert_allclose(found["p"].mean(), 0.4, rtol=1e-13)
    assert found.log_evidence() == 0.0
    assert found.statistics.rows == {"y": 0.0, "z": 0.0}


# ---- taking out -----------------------------------------------------------------------------------------------------
def normal():
    m = bk.Model()
    v = m.latent("v", bk.InverseGamma(3, 2))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, var=100 * v)), var=v), dims="obs")
    return m


def test_an_outlier_is_taken_out_of_twice_the_digits():
    m, y = normal(), rng.normal(size=50)
    whole = m.condition({"y": [*y, 1e6]})
    rest, left = m.condition({"y": y}), whole.remove({"y": [1e6]})
    for n in ("mu", "v"):
        assert float(left[n].mean()) == pytest.approx(float(rest[n].mean()), rel=1e-12)
        assert float(left[n].sd()) == pytest.approx(float(rest[n].sd()), rel=1e-12)


def test_the_bound_is_one():
    """What is refused would be wrong by at most what is said, and what is not refused by at most 1e-10."""
    m, y = normal(), rng.normal(size=50)
    rest = float(m.condition({"y": y})["v"].mean())
    refused = 0
    for power in range(6, 30):
        try:
            left = m.condition({"y": [*y, 10.0**power, 3 * 10.0**power]}).remove({"y": [10.0**power, 3 * 10.0**power]})
        except RefusedError as error:
            refused += 1
            assert "at most 1e-10 of what is left is lost" in str(error) or "that were not" in str(error)
        else:
            assert float(left["v"].mean()) == pytest.approx(rest, rel=1e-10)
    assert 15 < refused < 24 - 2


def test_sums_err_less_than_the_bound():
    x = rng.normal(size=4000) * 10.0 ** rng.integers(-8, 9, 4000)
    z, key = rng.normal(size=4000), rng.integers(0, 3, 4000)
    for other in (None, z):
        total, error = dd.sum_by(key, 3, x, other)
        for k in range(3):
            terms = [Fraction(a) * (1 if other is None else Fraction(b)) for a, b in zip(x, z, strict=True)]
            exact = sum(t for t, own in zip(terms, key, strict=True) if own == k)
            assert abs(Fraction(total[0, k]) + Fraction(total[1, k]) - exact) <= Fraction(error[k])


@pytest.mark.parametrize(
    ("whole", "part", "figure"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], "a cell would have -1 rows"),
        ([1.0, 2.0, 3.0], [9.0], "a sum of squares would be negative"),
        ([1.0, 2.0], [5.0], "one row would be left, with a sum of squares|a sum of squares would be negative"),
        ([1.0, 2.0], [5.0, 6.0], "a cell would have no rows, but sums other than zero"),
    ],
)
def test_rows_that_were_never_there_are_refused(whole, part, figure):
    with pytest.raises(RefusedError, match=figure):
        normal().condition({"y": whole}).remove({"y": part})


def test_counts_that_were_never_there_are_refused():
    m = one_group(lambda x: bk.Binomial(5, x), bk.Beta(1, 1))
    with pytest.raises(RefusedError, match="a sum of counts or exposures would be negative"):
        m.condition({"y": [1, 2, 0]}).remove({"y": [5]})
    with pytest.raises(RefusedError, match="more successes than trials"):
        m.condition({"y": [5, 5, 4]}).remove({"y": [0]})
    m = one_group(bk.Bernoulli, bk.Beta(1, 1))
    with pytest.raises(RefusedError, match="a cell would have -1 rows"):
        m.condition({"y": [1, 1]}).remove({"y": [0]})
    m = one_group(lambda x: bk.Gamma(2, x), bk.Gamma(1, 1))
    with pytest.raises(RefusedError, match="a sum of positive numbers would be negative"):
        m.condition({"y": [1.0, 1.0]}).remove({"y": [3.0]})
    with pytest.raises(RefusedError, match="a geometric mean would lie above"):
        m.condition({"y": [1.0, 1.0, 1.0]}).remove({"y": [0.1]})


def test_a_precision_that_would_not_be_positive_is_refused():
    m, x = regression(), np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    whole = m.condition({"g": ["a"] * 5, "x": x, "y": x + np.array([0.1, -0.1, 0.1, -0.1, 0.0])})
    with pytest.raises(RefusedError, match="a precision would not be positive"):
        whole.remove({"g": ["a"], "x": [2.0], "y": [3.5]})


def one_group(distribution, prior):
    m = bk.Model()
    m.observed("y", distribution(m.latent("x", prior)), dims="obs")
    return m


def test_what_only_merges_says_so(monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(KINDS, "Exponential", replace(KINDS["Exponential"], merges_only="a maximum forgets the others"))
    m = one_group(bk.Exponential, bk.Gamma(2, 1))
    a = m.summarize({"y": [1.0, 2.0]})
    assert m.condition(a + a).statistics.rows == {"y": 4.0}
    with pytest.raises(RefusedError, match="only be merged, not taken out: a maximum forgets the others"):
        a - a
    with pytest.raises(RefusedError, match="only be merged, not discounted: a maximum forgets the others"):
        0.5 * a


# ---- labels ---------------------------------------------------------------------------------------------------------
def test_labels_are_matched_and_united():
    m = one_group_each()
    a, b = m.summarize({"g": ["b", "c"], "y": [1, 2]}), m.summarize({"g": ["a", "c"], "y": [3, 4]})
    found = m.condition(a + b)["lam"].mean()
    assert found.g.values.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found, [(2 + 3) / 2, (2 + 1) / 2, (2 + 6) / 3])
    other = m.condition(b + a)["lam"].mean()
    assert found.identical(other)


def one_group_each():
    m = bk.Model()
    g = m.index("g", dims="obs")
    m.observed("y", bk.Poisson(m.latent("lam", bk.Gamma(2, 1), dims="g")[g]), dims="obs")
    return m


def test_columns_that_priors_read_must_agree():
    m, data = made("prior_columns")
    a = m.summarize(data)
    with pytest.raises(DataError, match="must hold the same values of 'u' to be merged"):
        a + m.summarize(data | {"u": [9.0, 2.0, -1.0, 0.5]})
    assert (a + m.summarize(data)).rows == {"y": 120.0}


def test_what_is_no_statistics_is_no_summand():
    a = counts().summarize(COUNTED)
    for wrong in (1, "a", None):
        with pytest.raises(TypeError):
            a + wrong
        with pytest.raises(TypeError):
            a - wrong
    with pytest.raises(TypeError):
        a * a
    assert sum([a, a]).rows == {"y": 120.0, "z": 120.0}
