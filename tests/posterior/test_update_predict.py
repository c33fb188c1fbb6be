"""Streams of data, predictions, simulation, conditions, what is known, and how runs behave."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError, ImproperError, RefusedError, SamplingWarning
from bayeskit.testing import assert_moments

LIMIT = 5.0


def agree(a, b, limit=LIMIT):
    """Two sets of draws ``(chain, draw, ...)`` have the same mean and variance, in their Monte Carlo errors."""
    from arviz_stats.base import array_stats

    for power in (1, 2):
        centre = 0.5 * (a.mean(axis=(0, 1)) + b.mean(axis=(0, 1)))
        x, y = ((np.asarray(v) - centre) ** power for v in (a, b))
        errors = [array_stats.mcse(v, chain_axis=0, draw_axis=1, method="mean") for v in (x, y)]
        score = np.abs(x.mean(axis=(0, 1)) - y.mean(axis=(0, 1))) / np.hypot(*errors)
        assert np.max(score) < limit, (power, score)


# ---- update ---------------------------------------------------------------------------------------------------------


def shares():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m


def test_streaming_shares_equal_all_at_once():
    posterior = shares().condition({"n": [100, 110], "y": [5, 7]}).update({"n": [20, 30], "y": [1, 9]})
    p = posterior["p"]
    np.testing.assert_allclose(p.mean(), [7 / 122, 17 / 142])
    first = stats.binom(100, 0.5)
    assert first is not None
    parts = [shares().condition({"n": [100, 110], "y": [5, 7]}).log_evidence()]
    predictive = stats.betabinom([20, 30], [6, 8], [96, 104]).logpmf([1, 9]).sum()
    np.testing.assert_allclose(posterior.log_evidence(), parts[0] + predictive, rtol=1e-12)


def test_an_update_with_fewer_labels_and_one_with_new_ones():
    m = bk.Model()
    arm = m.index("arm", dims="obs")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Bernoulli(p[arm]), dims="obs")
    posterior = m.condition({"arm": ["A", "A", "B"], "y": [1, 0, 1]})
    after = posterior.update({"arm": ["B", "C", "C"], "y": [1, 0, 0]})
    assert list(after["p"].mean()["arm"].values) == ["A", "B", "C"]
    np.testing.assert_allclose(after["p"].mean(), [2 / 4, 3 / 4, 1 / 4])
    assert list(posterior["p"].mean()["arm"].values) == ["A", "B"]
    whole = m.condition({"arm": ["A", "A", "B", "B", "C", "C"], "y": [1, 0, 1, 1, 0, 0]})
    np.testing.assert_allclose(after.log_evidence(), whole.log_evidence(), rtol=1e-12)
    tree = after.sample(5, seed=1, include=("log_likelihood", "posterior_predictive"))
    assert tree["observed_data"]["y"].shape == (6,)


def regression():
    m = bk.Model(coords={"k": 2})
    x = m.data("x", dims=("obs", "k"))
    s2 = m.latent("s2", bk.InverseGamma(2, 1))
    b = m.latent("b", bk.Normal(0, 3 * np.sqrt(s2)), dims="k")
    m.observed("y", bk.Normal(x @ b, var=s2), dims="obs")
    return m


def test_streaming_rows_equal_all_at_once():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=9)
    posterior = regression().condition({"x": x[:4], "y": y[:4]})
    for rows in (slice(4, 5), slice(5, 9)):
        posterior = posterior.update({"x": x[rows], "y": y[rows]})
    whole = regression().condition({"x": x, "y": y})
    for name in ("b", "s2"):
        np.testing.assert_allclose(posterior[name].mean(), whole[name].mean(), rtol=1e-10)
        np.testing.assert_allclose(posterior[name].sd(), whole[name].sd(), rtol=1e-10)
    np.testing.assert_allclose(posterior.log_evidence(), whole.log_evidence(), rtol=1e-10)
    draws = whole.sample(3, seed=1)["posterior"]
    np.testing.assert_allclose(posterior.log_prob(draws), whole.log_prob(draws), rtol=1e-8)


def hierarchy():
    m = bk.Model()
    group = m.index("group", dims="obs")
    mu, tau, sigma = (
        m.latent("mu", bk.Normal(0, 5)),
        m.latent("tau", bk.HalfNormal(2)),
        m.latent("sigma", bk.HalfNormal(2)),
    )
    a = m.latent("a", bk.Normal(mu, tau), dims="group")
    m.observed("y", bk.Normal(a[group], sigma), dims="obs")
    return m


def test_streaming_equals_all_at_once_where_it_is_sampled():
    rng = np.random.default_rng(4)
    group = np.array(["u", "u", "v", "v", "w", "w", "w"])
    y = rng.normal(size=7) + np.array([0, 0, 1, 1, 2, 2, 2])
    streamed = hierarchy().condition({"group": group[:3], "y": y[:3]}).update({"group": group[3:], "y": y[3:]})
    whole = hierarchy().condition({"group": group, "y": y})
    one, other = (p.sample(300, tune=200, seed=s) for p, s in ((streamed, 1), (whole, 2)))
    assert list(one["posterior"]["group"].values) == ["u", "v", "w"]
    for name in ("mu", "tau", "sigma", "a"):
        agree(one["posterior"][name].values, other["posterior"][name].values)
    draws = other["posterior"]
    np.testing.assert_allclose(streamed.log_prob(draws), whole.log_prob(draws), rtol=1e-10)


def test_missing_entries_in_batches():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 5))
    m.observed("y", bk.Normal(mu, 1), dims="obs")
    posterior = m.condition({"y": [1.0, np.nan]}).update({"y": [np.nan, 2.0, 3.0]})
    np.testing.assert_allclose(posterior["mu"].mean(), 6 / (3 + 1 / 25))
    tree = posterior.sample(500, seed=1)
    names = [n for n in tree["posterior"].data_vars if "missing" in n]
    assert len(names) == 2
    for n in names:
        assert tree["posterior"][n].sizes[f"{n}_cell"] == 1
        assert_moments(tree["posterior"][n].values[..., 0], 6 / 3.04, np.sqrt(1 + 1 / 3.04))


def test_replicates_and_derived_quantities_of_streamed_rows():
    m = bk.Model()
    x = m.data("x", dims="obs")
    b = m.latent("b", bk.Normal(0, 2))
    m.derived("fit", b * x)
    m.observed("y", bk.Normal(b * x, 1), dims="obs")
    posterior = m.condition({"x": [1.0, 2.0], "y": [1.0, 2.0]}).update({"x": [3.0], "y": [2.0]})
    tree = posterior.sample(400, seed=1, include="posterior_predictive")
    other = posterior.predict().sample(seed=2)
    for group in (tree["posterior_predictive"], other["posterior_predictive"]):
        assert group["y"].sizes["obs"] == 3
        mean, var = posterior["b"].mean().values * np.array([1, 2, 3]), posterior["b"].var().values
        assert_moments(group["y"].values, mean, np.sqrt(1 + var * np.array([1, 4, 9])))
    np.testing.assert_allclose(tree["posterior"]["fit"][..., 0], tree["posterior"]["b"])


def test_updates_that_are_refused():
    posterior = shares().condition({"n": [100, 110], "y": [5, 7]})
    with pytest.raises(DataError, match="update must be given new observations"):
        posterior.update({"n": [3, 4]})
    with pytest.raises(DataError, match="update must be given new observations"):
        posterior.update()


# ---- predict --------------------------------------------------------------------------------------------------------


def test_replicates():
    posterior = shares().condition({"n": [100, 110], "y": [5, 7]})
    tree = posterior.predict().sample(seed=1)
    y = tree["posterior_predictive"]["y"]
    assert y.dims == ("chain", "draw", "arm") and y.dtype == np.int64
    expected = stats.betabinom([100, 110], [6, 8], [96, 104])
    assert_moments(y.values, expected.mean(), expected.std())
    np.testing.assert_array_equal(tree["posterior"].sizes["draw"], 1000)


def test_new_rows():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    posterior = regression().condition({"x": x, "y": y})
    new = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]])
    predicted = posterior.predict({"x": new}).sample(seed=2)["predictions"]["y"]
    assert predicted.dims == ("chain", "draw", "obs") and predicted.sizes["obs"] == 3
    precision = x.T @ x + np.eye(2) / 9
    mean = np.linalg.solve(precision, x.T @ y)
    a, rate = 2 + 10, 1 + 0.5 * (y @ y - mean @ precision @ mean)
    spread = rate / a * (1 + np.einsum("ij,jk,ik->i", new, np.linalg.inv(precision), new))
    t = stats.t(2 * a, new @ mean, np.sqrt(spread))
    assert_moments(predicted.values, t.mean(), t.std())


def test_new_groups_are_drawn_from_their_prior_given_the_rest():
    rng = np.random.default_rng(5)
    group = np.repeat(["u", "v", "w"], 5)
    posterior = hierarchy().condition({"group": group, "y": rng.normal(size=15)})
    tree = posterior.predict({"group": ["v", "new", "new"]}).sample(500, seed=3)
    predicted, draws = tree["predictions"]["y"].values, tree["posterior"]
    old = draws["a"].sel(group="v").values
    sigma = draws["sigma"].values
    agree(predicted[..., 0], old + sigma * rng.standard_normal(old.shape))
    fresh = draws["mu"].values + draws["tau"].values * rng.standard_normal(old.shape)
    agree(predicted[..., 1], fresh + sigma * rng.standard_normal(old.shape))
    both = np.corrcoef(
        predicted[..., 1].ravel() - draws["mu"].values.ravel(), predicted[..., 2].ravel() - draws["mu"].values.ravel()
    )
    assert both[0, 1] > 0  # two rows of one new group share its effect


def test_predict_refuses_what_is_not_there():
    posterior = regression().condition({"x": np.eye(2), "y": [1.0, 2.0]})
    with pytest.raises(DataError):
        posterior.predict({"z": [1.0]})
    with pytest.raises(DataError, match="'x'"):
        posterior.predict({"x": [[np.nan, 1.0]]})


def test_prediction_of_a_model_without_latents():
    m = bk.Model()
    m.observed("y", bk.Normal(0, 2), dims="obs")
    tree = m.condition({"y": [1.0, 3.0]}).predict().sample(seed=1)
    assert_moments(tree["posterior_predictive"]["y"].values, [0.0, 0.0], [2.0, 2.0])


# ---- simulate and the prior -----------------------------------------------------------------------------------------


def test_simulate():
    tree = shares().simulate({"n": [10, 20]}, draws=4000, seed=1)
    assert tree["prior"]["p"].dims == ("chain", "draw", "arm")
    y = tree["prior_predictive"]["y"].values
    n = np.array([10, 20])
    assert_moments(y, n / 2, np.sqrt(n * (n + 2) / 12))


def test_simulate_given_latents_and_observations():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    m.derived("twice", 2 * mu)
    y = m.observed("y", bk.Normal(mu, 1), dims="obs")
    m.observed("z", bk.Normal(y, 0.1), dims="obs")
    tree = m.simulate({"mu": 3.0, "y": [1.0, 2.0]}, draws=2000, seed=1)
    assert_moments(tree["prior_predictive"]["z"].values, [1.0, 2.0], [0.1, 0.1])
    assert "mu" not in tree.get("prior", {})


def test_require_is_met_by_rejection_and_factor_refused():
    m = bk.Model(coords={"obs": 1})
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1))
    m.require(a < b)
    m.observed("y", bk.Normal(a, 1), dims="obs")
    drawn = m.simulate(draws=3000, seed=1)["prior"]
    assert (drawn["a"] < drawn["b"]).all()
    assert_moments(drawn["a"].values, -1 / np.sqrt(np.pi))
    posterior = m.condition({"y": [2.0]})
    tree = posterior.sample(300, tune=200, seed=2)
    assert (tree["posterior"]["a"] < tree["posterior"]["b"]).all()
    assert posterior.log_prob({"a": 1.0, "b": 0.0}) == -np.inf
    m.factor("penalty", -a)
    with pytest.raises(RefusedError, match=r"the term 'penalty' of m.factor has no sampler"):
        m.simulate(draws=3)


def test_conditions_that_hardly_ever_hold():
    m = bk.Model()
    a = m.latent("a", bk.Normal(0, 1))
    m.require(a > 30)
    with pytest.raises(RefusedError, match=r"The conditions of m.require held in too few draws"):
        m.simulate(draws=3, seed=1)


def test_an_improper_prior_is_not_simulated():
    m = bk.Model()
    m.latent("a", bk.Flat())
    with pytest.raises(ImproperError, match=r"Flat\(\) of 'a' is improper"):
        m.simulate(draws=3)


def test_no_data_is_the_prior():
    m = hierarchy()
    posterior = m.condition({"group": ["u", "v"]})
    assert posterior.explain().startswith("method: exact (no data: the prior is the posterior)")
    tree = posterior.sample(2000, seed=1)
    assert_moments(tree["posterior"]["mu"].values, 0.0, 5.0)
    assert_moments(tree["posterior"]["tau"].values, 2 * np.sqrt(2 / np.pi))
    assert posterior.log_evidence() == 0.0
    assert posterior["mu"].sd() == 5.0
    updated = posterior.update({"group": ["u", "v"], "y": [1.0, 2.0]})
    assert set(updated.sample(3, tune=3, seed=1)["posterior"].data_vars) == {"mu", "tau", "sigma", "a"}


def test_no_data_with_conditions_is_sampled():
    m = bk.Model()
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1))
    m.require(a < b)
    tree = m.condition({}).sample(500, tune=200, seed=1)
    assert_moments(tree["posterior"]["a"].values, -1 / np.sqrt(np.pi))


# ---- what is known --------------------------------------------------------------------------------------------------


def test_latents_may_be_known():
    m = regression()
    x, y = np.eye(2), [1.0, 2.0]
    posterior = m.condition({"x": x, "y": y, "s2": 0.5})
    assert list(posterior.sample(3, seed=1)["posterior"].data_vars) == ["b"]
    np.testing.assert_allclose(posterior["b"].var(), 1 / (1 / 0.5 + 1 / 4.5) * np.ones(2))
    prior = stats.invgamma(2).logpdf(0.5)
    whole = m.condition({"x": x, "y": y})
    b = posterior["b"].mean().values
    together = whole.log_prob({"s2": 0.5, "b": b}) + whole.log_evidence()
    np.testing.assert_allclose(posterior.log_prob({"b": b}) + posterior.log_evidence(), together)
    np.testing.assert_allclose(
        posterior.log_evidence(), prior + stats.norm(0, np.sqrt(0.5 + 4.5)).logpdf(y).sum(), rtol=1e-10
    )


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "collapsed", "gibbs", "metropolis"])
def test_the_same_seed_gives_the_same_draws(method):
    posterior = hierarchy().condition({"group": ["u", "v", "v"], "y": [1.0, 2.0, 3.0]})
    one, two, other = (posterior.sample(8, tune=8, seed=s, method=method) for s in (1, 1, 2))
    xr.testing.assert_identical(one["posterior"].to_dataset().drop_attrs(), two["posterior"].to_dataset().drop_attrs())
    assert not np.array_equal(one["posterior"]["mu"], other["posterior"]["mu"])
    assert one.attrs["seed"] == two.attrs["seed"] == "1"


@pytest.mark.parametrize("method", ["auto", "collapsed", "gibbs", "metropolis"])
@pytest.mark.parametrize(("chains", "draws", "tune"), [(1, 1, 0), (1, 3, 2), (2, 1, 1), (3, 2, 0)])
def test_short_runs(method, chains, draws, tune):
    for posterior in (
        hierarchy().condition({"group": ["u", "v", "v"], "y": [1.0, 2.0, 3.0]}),
        shares().condition({"n": [4, 5], "y": [1, 2]}),
    ):
        groups = ("log_likelihood", "log_prior", "prior", "posterior_predictive")
        tree = posterior.sample(draws, chains=chains, tune=tune, seed=1, method=method, include=groups)
        assert dict(tree["posterior"].sizes)["chain"] == chains
        assert dict(tree["posterior"].sizes)["draw"] == draws
        assert set(groups) <= set(tree.children)


def test_a_generator_is_used_up():
    rng = np.random.default_rng(3)
    posterior = shares().condition({"n": [4, 5], "y": [1, 2]})
    one, two = posterior.sample(3, seed=rng), posterior.sample(3, seed=rng)
    assert not np.array_equal(one["posterior"]["p"], two["posterior"]["p"])


def test_an_interrupted_run_returns_its_draws(monkeypatch):
    from bayeskit.inference.steps import GaussianStep

    posterior = hierarchy().condition({"group": ["u", "v", "v"], "y": [1.0, 2.0, 3.0]})
    update, calls = GaussianStep.update, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) > 20 + 7:
            raise KeyboardInterrupt
        return update(self, *args)

    monkeypatch.setattr(GaussianStep, "update", interrupted)
    with pytest.warns(SamplingWarning, match="interrupted after 7 of 100 draws"):
        tree = posterior.sample(100, tune=20, seed=1, include="log_likelihood", method="gibbs")
    assert tree["posterior"].sizes["draw"] == 7
    assert tree["log_likelihood"]["y"].shape[:2] == (4, 7)


def test_an_interrupt_while_tuning_is_one(monkeypatch):
    from bayeskit.inference.steps import GaussianStep

    def interrupted(self, *args):
        raise KeyboardInterrupt

    posterior = hierarchy().condition({"group": ["u", "v"], "y": [1.0, 2.0]})
    monkeypatch.setattr(GaussianStep, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        posterior.sample(100, tune=20, seed=1, method="gibbs")


# ---- groups and summaries -------------------------------------------------------------------------------------------


def test_groups_add_up_to_lp():
    posterior = hierarchy().condition({"group": ["u", "v", "v"], "y": [1.0, 2.0, 3.0]})
    tree = posterior.sample(5, tune=5, seed=1, include=("log_likelihood", "log_prior"))
    total = sum(
        v.sum([d for d in v.dims if d not in ("chain", "draw")])
        for g in ("log_likelihood", "log_prior")
        for v in tree[g].data_vars.values()
    )
    np.testing.assert_allclose(total, tree["sample_stats"]["lp"])


def test_groups_of_streamed_data_add_up_too():
    posterior = hierarchy().condition({"group": ["u"], "y": [1.0]}).update({"group": ["v", "w"], "y": [2.0, np.nan]})
    tree = posterior.sample(5, tune=5, seed=1, include=("log_likelihood", "log_prior", "posterior_predictive"))
    known = sum(v.sum() for v in tree["log_likelihood"].data_vars.values())
    known += sum(v.sum() for v in tree["log_prior"].data_vars.values())
    drawn = tree["posterior"]
    missing = next(n for n in drawn.data_vars if "missing" in n)
    own = stats.norm(drawn["a"].sel(group="w"), drawn["sigma"]).logpdf(drawn[missing][..., 0]).sum()
    np.testing.assert_allclose(known + own, tree["sample_stats"]["lp"].sum())


def test_a_summary_of_both_kinds():
    m = bk.Model()
    p, mu, s = m.latent("p", bk.Beta(1, 1)), m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1))
    trials = m.latent("trials", bk.Poisson(5))
    m.derived("odds", p / (1 - p))
    m.observed("k", bk.Binomial(10, p))
    m.observed("y", bk.Normal(mu, s), dims="obs")
    m.observed("heads", bk.Binomial(trials, 0.5))
    posterior = m.condition({"k": 3, "y": [1.0, 2.0], "heads": 2})
    tree = posterior.sample(200, seed=1)
    table = posterior.summary(tree)
    assert list(table.index) == ["p", "mu", "s", "trials", "odds"]
    np.testing.assert_allclose(table.loc["p", "mean"], 4 / 12)
    np.testing.assert_allclose(table.loc["mu", "mean"], posterior["mu"].mean())
    assert table.loc["p", "mcse_mean"] == table.loc["s", "mcse_mean"] == 0.0
    assert np.isnan(table.loc["p", "r_hat"])
    assert table.loc["trials", "ess_bulk"] > 10
    exact = shares().condition({"n": [4, 5], "y": [1, 2]}).summary(prob=0.5)
    assert list(exact.columns) == ["mean", "sd", "eti50_lb", "eti50_ub"]


def test_exact_draws_have_the_moments_of_their_marginals():
    posterior = regression().condition({"x": np.eye(2)[[0, 1, 0, 1, 0]], "y": [1.0, 2.0, 1.5, 2.5, 0.0]})
    tree = posterior.sample(2000, seed=5)
    for name in ("b", "s2"):
        assert_moments(tree["posterior"][name].values, posterior[name].mean().values, posterior[name].sd().values)
