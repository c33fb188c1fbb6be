"""Tables of models with missing entries."""

import arviz as az
import numpy as np

import bayeskit as bk


def test_missing_entries_are_summarised_beside_the_others():
    m = bk.Model()
    mu, sigma = m.latent("mu", bk.Normal(0, 1)), m.latent("sigma", bk.HalfCauchy(1))
    m.observed("y", bk.Normal(mu, sigma), dims="obs")
    posterior = m.condition({"y": [1.0, 2.0, np.nan, 0.5, np.nan]})
    tree = posterior.sample(draws=50, tune=50, seed=1)
    assert list(tree["constant_data"]["y_missing_obs"].values) == [2, 4]
    assert list(az.summary(tree).index) == ["mu", "sigma", "y_missing[0]", "y_missing[1]"]
    assert list(posterior.summary(tree).index) == ["mu", "sigma", "y_missing[0]", "y_missing[1]"]
