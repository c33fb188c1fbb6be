"""Aggregates in the place of rows say what the rows say; impossible ones are refused."""

import numpy as np
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError, SupportError

rng = np.random.default_rng(3)
Y = rng.normal(1e3, 2.0, 40)
COUNTY = np.repeat(list("abcd"), [1, 9, 10, 20])


def normal(**more):
    m = bk.Model(**more)
    v = m.latent("v", bk.InverseGamma(3, 2))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, var=100.0 * v)), var=v), dims="obs")
    return m


def radon():
    m = bk.Model()
    county, u = m.index("county", dims="obs"), m.data("u", dims="county")
    v, b = m.latent("v", bk.InverseGamma(3, 2)), m.latent("b", bk.Normal(0, 100))
    a = m.latent("a", bk.Normal(0, 100), dims="county")
    m.observed("y", bk.Normal(a[county] + b * u[county], var=v), dims="obs")
    return m


@pytest.mark.parametrize("squares", ["sd", "var", "sum_sq"])
@pytest.mark.parametrize("first", ["mean", "sum"])
def test_normal_rows(first, squares):
    m = normal()
    aggregates = {"mean": Y.mean(), "sum": Y.sum(), "sd": Y.std(ddof=1), "var": Y.var(ddof=1), "sum_sq": (Y**2).sum()}
    summary = bk.Summary(n=40, **{k: aggregates[k] for k in (first, squares)})
    rows, known = m.condition({"y": Y}), m.condition({"y": summary})
    assert known.log_evidence() == pytest.approx(rows.log_evidence(), rel=1e-9)
    for n in ("mu", "v"):
        assert float(known[n].mean()) == pytest.approx(float(rows[n].mean()), rel=1e-9)
        assert float(known[n].sd()) == pytest.approx(float(rows[n].sd()), rel=1e-9)


@pytest.mark.parametrize("labelled", [False, True])
def test_normal_rows_by_index_level(labelled):
    m, u = radon(), [0.5, 1.0, -1.0, 2.0]
    groups = [Y[COUNTY == c] for c in "abcd"]
    n, mean, sd = ([f(g) for g in groups] for f in (len, np.mean, lambda g: np.nan if len(g) == 1 else g.std(ddof=1)))
    wrap = (lambda v: xr.DataArray(v[::-1], dims="county", coords={"county": list("dcba")})) if labelled else list
    summary = bk.Summary(n=wrap(n), mean=wrap(mean), sd=wrap(sd))
    data = {"u": xr.DataArray(u, dims="county", coords={"county": list("abcd")})} if labelled else {"u": u}
    rows, known = m.condition({"county": COUNTY, "u": u, "y": Y}), m.condition({"y": summary, **data})
    state = {k: np.random.default_rng(1).gamma(2.0, size=(5, *lat.shape)) for k, lat in rows._problem.latents.items()}
    if labelled:
        assert known._problem.coords["county"].tolist() == list("abcd")
    np.testing.assert_allclose(known._problem.log_joint(state), rows._problem.log_joint(state), rtol=1e-10)


def one(distribution, prior, name="x"):
    m = bk.Model(coords={"k": 3})
    m.observed("y", distribution(m.latent(name, prior)), dims="obs")
    return m


COUNTS = {
    "bernoulli": (one(bk.Bernoulli, bk.Beta(2, 3)), {"n": 10, "sum": 4}, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
    "bernoulli mean": (one(bk.Bernoulli, bk.Beta(2, 3)), {"n": 10, "mean": 0.4}, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
    "binomial": (one(lambda p: bk.Binomial(7, p), bk.Beta(2, 3)), {"n": 3, "sum": 9}, [2, 7, 0]),
    "poisson": (one(lambda x: bk.Poisson(2 * x), bk.Gamma(2, 3)), {"n": 3, "sum": 9}, [2, 7, 0]),
    "exponential": (one(bk.Exponential, bk.Gamma(2, 3)), {"n": 3, "mean": 1.5}, [0.5, 3.0, 1.0]),
    "half normal": (one(lambda v: bk.HalfNormal(var=v), bk.InverseGamma(2, 3)), {"n": 2, "sum_sq": 5.0}, [1.0, 2.0]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_sums(name):
    m, aggregates, rows = COUNTS[name]
    known, whole = m.condition({"y": bk.Summary(**aggregates)}), m.condition({"y": rows})
    assert repr(known["x"]) == repr(whole["x"])
    assert float(known["x"].mean()) == pytest.approx(float(whole["x"].mean()), rel=1e-12)
    if name not in ("binomial", "poisson"):
        assert known.log_evidence() == pytest.approx(whole.log_evidence(), rel=1e-12)


def test_the_evidence_of_counts_that_are_added_up_is_that_of_their_sum():
    from scipy import stats

    m = one(lambda p: bk.Binomial(7, p), bk.Beta(2, 3))
    found = m.condition({"y": bk.Summary(n=3, sum=9)}).log_evidence()
    assert found == pytest.approx(stats.betabinom(21, 2, 3).logpmf(9), rel=1e-12)


def test_categories_and_exposures():
    m = bk.Model(coords={"k": ["x", "y", "z"]})
    g = m.index("g", dims="obs")
    p = m.latent("p", bk.Dirichlet(np.ones(3)), dims=("g", "k"))
    m.observed("c", bk.Categorical(p[g]), dims="obs")
    counts = np.array([[1, 0, 5], [2, 2, 2]])
    found = m.condition({"c": bk.Summary(counts=xr.DataArray(counts, dims=("g", "k"), coords={"g": ["a", "b"]}))})
    np.testing.assert_allclose(found["p"].mean(), (1 + counts) / (3 + counts.sum(axis=1, keepdims=True)))
    m = bk.Model()
    e = m.data("e", dims="obs")
    m.observed("y", bk.Poisson(e * m.latent("x", bk.Gamma(2, 3))), dims="obs")
    assert repr(m.condition({"y": bk.Summary(sum=9, exposure=4.5)})["x"]) == repr(bk.Gamma(11.0, 7.5))
    with pytest.raises(RefusedError, match="its parameters read 'e' row by row"):
        m.condition({"y": bk.Summary(n=3, sum=9)})


def test_an_update_by_aggregates_and_by_rows():
    m, rows = normal(), Y[:10]
    found = m.condition({"y": rows}).update({"y": bk.Summary(n=30, mean=Y[10:].mean(), sd=Y[10:].std(ddof=1))})
    np.testing.assert_allclose(found["mu"].mean(), m.condition({"y": Y})["mu"].mean(), rtol=1e-12)
    found = found.remove({"y": rows})
    np.testing.assert_allclose(found["mu"].mean(), m.condition({"y": Y[10:]})["mu"].mean(), rtol=1e-12)


def test_empty_levels_say_nothing():
    m = radon()
    summary = bk.Summary(n=[3, 0], mean=[1.0, np.nan], sd=[2.0, np.nan])
    posterior = m.condition({"y": summary, "u": [0.0, 0.0]})
    assert posterior.statistics.rows == {"y": 3.0}
    assert posterior._problem.latents["a"].shape == (2,)


@pytest.mark.parametrize(
    ("aggregates", "text"),
    [
        ({"n": -1, "mean": 0, "sd": 1}, "whole numbers of at least 0 for its n. Got -1"),
        ({"n": 2.5, "mean": 0, "sd": 1}, "whole numbers of at least 0 for its n. Got 2.5"),
        ({"n": np.nan, "mean": 0, "sd": 1}, "for its n. Got nan"),
        ({"n": 3, "mean": np.nan, "sd": 1}, "finite numbers for its mean. Got nan"),
        ({"n": 3, "mean": np.inf, "sd": 1}, "finite numbers for its mean. Got inf"),
        ({"n": 3, "mean": 0, "sd": -1}, "finite numbers of at least 0 for its sd. Got -1"),
        ({"n": 3, "mean": 0, "sd": np.nan}, "for its sd. Got nan"),
        ({"n": 3, "mean": 0, "var": -1}, "of at least 0 for its var. Got -1"),
        ({"n": 1, "mean": 0, "sd": 1}, "a sd of 0 or NaN where n is 1"),
        ({"n": 3, "mean": 2, "sum_sq": 11}, "a sum_sq of at least n . mean..2. Got 11"),
        ({"n": 3, "mean": 2}, "must have its var. Got n, mean"),
        ({"n": 3, "sd": 2}, "must have its mean. Got n, sd"),
        ({"mean": 2, "sd": 2}, "must have its n. Got mean, sd"),
        ({"n": 3, "mean": 2, "sd": 1, "counts": [1]}, "alone for rows of a Normal. Got counts"),
        ({"n": [3, 3], "mean": 2, "sd": 1}, r"one number for its n. Got an array of shape \(2,\)"),
        ({"n": 3, "mean": "x", "sd": 1}, "numbers for its mean"),
        ({"n": 3, "mean": xr.DataArray([1.0], dims="z"), "sd": 1}, r"dims none for its mean. Got \('z',\)"),
    ],
)
def test_impossible_aggregates_of_normal_rows(aggregates, text):
    with pytest.raises(DataError, match=text):
        normal().condition({"y": bk.Summary(**aggregates)})


@pytest.mark.parametrize(
    ("name", "aggregates", "text"),
    [
        ("bernoulli", {"n": 3, "sum": 4}, "a sum of at most n. Got 4, where n is 3"),
        ("bernoulli", {"n": 3, "sum": -1}, "whole numbers of at least 0 for its sum. Got -1"),
        ("bernoulli", {"n": 3, "mean": 0.5}, "a whole number for n times its mean. Got 1.5"),
        ("bernoulli", {"n": 0, "sum": 4}, "a sum of 0 where n is 0"),
        ("binomial", {"n": 3, "sum": 22}, "at most its exposure. Got 22, where that is 21"),
        ("poisson", {"n": 3, "sum": 2.5}, "whole numbers of at least 0 for its sum. Got 2.5"),
        ("poisson", {"sum": 2}, "its n or its exposure"),
        ("exponential", {"n": 3, "mean": -1.0}, "of at least 0 for its mean. Got -1"),
        ("half normal", {"n": 3, "sum_sq": -1.0}, "of at least 0 for its sum_sq. Got -1"),
    ],
)
def test_impossible_counts(name, aggregates, text):
    with pytest.raises(DataError, match=text) as caught:
        COUNTS[name][0].condition({"y": bk.Summary(**aggregates)})
    assert isinstance(caught.value, SupportError) == ("at most" in text)


def test_a_likelihood_that_needs_its_rows():
    for family in (lambda x: bk.StudentT(4, x, 1), lambda x: bk.Laplace(x, 1)):
        with pytest.raises(RefusedError, match="its likelihood needs them one by one"):
            one(family, bk.Normal(0, 1)).condition({"y": bk.Summary(n=3, mean=1.0, sd=1.0)})
    m = bk.Model()
    x = m.data("x", dims="obs")
    m.observed("y", bk.Normal(m.latent("b", bk.Normal(0, 1)) * x, 1), dims="obs")
    with pytest.raises(RefusedError, match="its parameters read 'x' row by row"):
        m.condition({"y": bk.Summary(n=3, mean=1.0, sd=1.0)})
    with pytest.raises(RefusedError, match="its parameters read 'x' row by row"):
        m.condition({"y": bk.Summary(n=3, mean=1.0, sd=1.0), "x": [1.0, 2.0, 3.0]})


def test_a_summary_of_what_is_not_observed():
    with pytest.raises(DataError, match=r"must stand for an observed variable: y. Got one for 'mu'"):
        normal().condition({"y": [1.0], "mu": bk.Summary(n=1, mean=1.0, sd=0.0)})
    with pytest.raises(DataError, match=r"one of mean, sum. Got mean and sum"):
        bk.Summary(n=1, mean=1.0, sum=1.0)
    with pytest.raises(DataError, match=r"one of sd, var, sum_sq. Got sd and var"):
        bk.Summary(n=1, sd=1.0, var=1.0)
