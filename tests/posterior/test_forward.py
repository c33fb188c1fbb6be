"""Exact marginals of what is drawn forward, and of finite latents that are no categories."""

import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.errors import RefusedError

X = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
Y = np.array([1.0, 2.9, np.nan, 7.2, np.nan])


def known_sd():
    m = bk.Model()
    x = m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 10))
    m.observed("y", bk.Normal(a + b * x, 0.5), dims="obs")
    return m.condition({"x": X, "y": Y})


def common_variance():
    m = bk.Model()
    x = m.data("x", dims="obs")
    v = m.latent("v", bk.InverseGamma(2, 1))
    a, b = m.latent("a", bk.Normal(0, 10 * np.sqrt(v))), m.latent("b", bk.Normal(0, 10 * np.sqrt(v)))
    m.observed("y", bk.Normal(a + b * x, var=v), dims="obs")
    return m.condition({"x": X, "y": Y})


@pytest.mark.parametrize(("model", "family"), [(known_sd, "Normal"), (common_variance, "StudentT")])
def test_missing_entries_have_their_predictive_distribution(model, family):
    posterior = model()
    marginal = posterior["y_missing"]
    assert marginal.family == family and marginal.mean().dims == ("y_missing_cell",)
    draws = posterior.sample(20_000, seed=1)["posterior"]["y_missing"].stack(all=("chain", "draw")).values
    error = draws.std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(draws.mean(axis=1) - marginal.mean().values) < 5 * error)
    squares = (draws - marginal.mean().values[:, None]) ** 2
    error = squares.std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(squares.mean(axis=1) - marginal.var().values) < 5 * error)


def test_the_mean_of_a_missing_entry_is_the_line():
    posterior = known_sd()
    line = float(posterior["a"].mean()) + float(posterior["b"].mean()) * X[[2, 4]]
    assert np.allclose(posterior["y_missing"].mean(), line, rtol=1e-12)


def test_a_missing_count_has_its_predictive():
    m = bk.Model()
    p = m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Binomial(5, p), dims="obs")
    missing = m.condition({"y": [1.0, np.nan, 3.0]})["y_missing"]
    truth = stats.betabinom(5, 5, 7)
    np.testing.assert_allclose(np.exp(missing.log_prob(np.arange(6.0)))[0], truth.pmf(np.arange(6)), rtol=1e-12)


def test_a_missing_entry_under_a_sampled_core_has_no_marginal():
    m = bk.Model()
    a, b = m.latent("a", bk.HalfNormal(1)), m.latent("b", bk.HalfNormal(1))
    m.observed("y", bk.Gamma(a, b), dims="obs")
    with pytest.raises(RefusedError, match="'y_missing' has no exact marginal"):
        m.condition({"y": [1.0, np.nan, 3.0]})["y_missing"]


def test_a_finite_latent_that_is_no_category():
    m = bk.Model()
    k = m.latent("k", bk.DiscreteUniform(0, 10))
    m.observed("y", bk.Binomial(20, (k + 0.5) / 11))
    posterior = m.condition({"y": 7})
    p = (np.arange(11) + 0.5) / 11
    weights = p**7 * (1 - p) ** 13
    assert np.isclose(float(posterior["k"].mean()), (weights * np.arange(11)).sum() / weights.sum(), rtol=1e-12)
    m = bk.Model()
    k = m.latent("k", bk.DiscreteUniform(2, 10))
    m.observed("y", bk.Binomial(20, (k + 0.5) / 11))
    k, p, weights = m.condition({"y": 7})["k"], p[2:], weights[2:]
    assert np.isclose(float(k.mean()), (weights * np.arange(2, 11)).sum() / weights.sum(), rtol=1e-12)
    assert float(k.log_prob(1)) == -np.inf
    assert np.allclose(np.exp(k.log_prob(np.arange(2, 11))), weights / weights.sum(), rtol=1e-12)
