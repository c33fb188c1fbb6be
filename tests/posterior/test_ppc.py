"""Posterior predictive checks: exact p-values, groups, functions, open entries, and ArviZ's pictures of the tree."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError

COUNTS = np.array([0.0, 12, 3, 4, 5, 5, 7])
GROUP = np.array(["a", "a", "b", "b", "c", "c", "c"])


def counts(y=COUNTS):
    m = bk.Model(coords={"g": ["a", "b", "c"]})
    g = m.index("g", dims="obs")
    m.observed("y", bk.Poisson(m.latent("rate", bk.Gamma(2, 1), dims="g")[g]), dims="obs")
    return m.condition({"g": GROUP, "y": y})


def beta_binomial(y, n, a, b):
    return stats.betabinom(n, a, b).sf(y - 1)


def test_a_p_value_that_is_known():
    """One Binomial: the replicated count is beta-binomial."""
    m = bk.Model()
    m.observed("y", bk.Binomial(20, m.latent("p", bk.Beta(2, 8))))
    check = m.condition({"y": 9}).ppc("mean", seed=1, draws=4000)
    expected = beta_binomial(9, 20, 11, 19)
    assert abs(float(check.p_value) - expected) < 5 * float(check.mcse) < 0.05
    assert float(check.observed) == 9 and check.replicated.dims == ("chain", "draw")


def test_statistics_of_groups():
    check = counts().ppc(["mean", "sd", "min", "max"], by="g", seed=1)
    assert check.p_value.dims == ("g", "statistic") and check.replicated.dims == ("chain", "draw", "g", "statistic")
    for g in "abc":
        y = COUNTS[GROUP == g]
        expected = [y.mean(), y.std(ddof=1), y.min(), y.max()]
        np.testing.assert_allclose(check.observed.sel(g=g).values, expected)
    rep = check.tree["posterior_predictive"]["y"].values
    np.testing.assert_allclose(check.replicated.sel(g="c", statistic="sd"), rep[..., 4:].std(axis=-1, ddof=1))
    np.testing.assert_allclose(check.p_value.sel(g="a", statistic="max"), (rep[..., :2].max(axis=-1) >= 12).mean())
    # the sum of the two counts of "b" is negative binomial given all rows: Gamma(2 + 7, 1 + 2)
    exact = stats.nbinom(9, 3 / 5).sf(6)
    found = check.p_value.sel(g="b", statistic="mean"), check.mcse.sel(g="b", statistic="mean")
    assert abs(float(found[0]) - exact) < 5 * float(found[1])


def ninth(y):
    return y.quantile(0.9, [d for d in y.dims if d not in ("chain", "draw")])


def test_a_function_of_the_data():
    whole = counts().ppc(ninth, seed=1)
    assert float(whole.observed) == pytest.approx(np.quantile(COUNTS, 0.9))
    both = counts().ppc(["max", ninth], by=["g"], seed=1)
    assert both.observed.statistic.values.tolist() == ["max", "ninth"]
    assert float(both.observed.sel(g="b", statistic="ninth")) == pytest.approx(3.9)


def test_open_entries_are_left_out():
    y = COUNTS.copy()
    y[6] = np.nan
    check = counts(y).ppc(["mean", "max"], by="g", seed=1)
    np.testing.assert_allclose(check.observed.sel(g="c"), [5, 5])
    rep = check.tree["posterior_predictive"]["y"].values
    np.testing.assert_allclose(check.replicated.sel(g="c", statistic="max"), rep[..., 4:6].max(axis=-1))


def test_rows_of_batches_and_of_vectors():
    more = counts().update({"g": GROUP[:2], "y": [1.0, 1]})
    assert float(more.ppc("mean", by="g", seed=1).observed.sel(g="a")) == pytest.approx((0 + 12 + 1 + 1) / 4)
    m = bk.Model(coords={"k": 2})
    mu = m.latent("mu", bk.MvNormal([0.0, 0], cov=np.eye(2)), dims="k")
    m.observed("y", bk.MvNormal(mu, cov=np.eye(2)), dims=("obs", "k"))
    y = np.arange(6.0).reshape(3, 2)
    check = m.condition({"y": y}).ppc("max", by="obs", seed=1)
    np.testing.assert_allclose(check.observed, [1, 3, 5])


def test_a_sd_of_one_row_is_not_defined():
    check = counts().ppc("sd", by="obs", seed=1)
    assert check.p_value.isnull().all() and check.mcse.isnull().all()


def skewed():
    m = bk.Model()
    v = m.latent("v", bk.InverseGamma(2, 1))
    mu = m.latent("mu", bk.Normal(0, 10 * np.sqrt(v)))
    m.observed("y", bk.Normal(mu, var=v), dims="obs")
    return m.condition({"y": np.random.default_rng(0).exponential(size=60)})


def test_what_the_model_does_not_produce_is_seen():
    check = skewed().ppc(["min", "mean"], seed=1, draws=200)
    assert check.p_value.values[0] < 0.01 and 0.3 < check.p_value.values[1] < 0.7
    assert 0 < check.mcse.values[0] < 0.01  # none of the replications, and yet not known to be zero


def test_arviz_draws_its_pictures():
    tree = skewed().ppc("mean", seed=1, draws=100).tree
    for plot in (az.plot_ppc_dist, az.plot_ppc_pit):
        plot(tree, backend="matplotlib")
        axes = plt.gcf().axes[0]
        assert axes.get_title() == "y" and len(axes.lines) >= 2
        plt.close("all")


def test_refusals():
    posterior = counts()
    with pytest.raises(DataError, match=r"statistic must be one of 'mean', 'sd', 'min', 'max', or a function"):
        posterior.ppc("median")
    with pytest.raises(DataError, match=r"statistic must be a name, a function, or some of them. Got none"):
        posterior.ppc([])
    with pytest.raises(DataError, match=r"must return a DataArray that keeps the dims chain and draw. Got a float"):
        posterior.ppc(lambda y: float(y.max()))
    with pytest.raises(DataError, match=r"by must name dims of 'y'"):
        posterior.ppc("mean", by="school")
    with pytest.raises(DataError, match=r"tree must hold replicated data of 'y'"):
        posterior.ppc("mean", tree=posterior.sample(10, seed=1))
    with pytest.raises(RefusedError, match=r"Nothing is observed"):
        m = bk.Model()
        m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1), dims="obs")
        m.condition({}).ppc("mean")
