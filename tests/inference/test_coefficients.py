"""Numbers in the coefficients of a Gaussian block are updated with the block integrated out."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayeskit as bk

EFFECT = np.asarray([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.asarray([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(*, centred):
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    if centred:
        theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    else:
        theta = m.derived("theta", mu + tau * m.latent("z", bk.Normal(0, 1), dims="school"))
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition({"se": ERROR, "y": EFFECT})


@pytest.mark.parametrize("centred", [True, False])
def test_eight_schools_in_either_form(centred):
    """The non-centred form is the centred one in other words, and mixes as well."""
    tau = np.linspace(1e-3, 400, 200_001)
    variance = ERROR**2 + tau[:, None] ** 2
    precision = 1 / 25 + np.sum(1 / variance, axis=1)
    mean = np.sum(EFFECT / variance, axis=1) / precision
    squares = np.sum(EFFECT**2 / variance, axis=1) - mean**2 * precision
    log_density = -0.5 * (np.log(precision) + np.sum(np.log(variance), axis=1) + squares) - np.log1p((tau / 5) ** 2)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    posterior = schools(centred=centred)
    assert "slice sampling with the Gaussian block integrated out" in posterior.explain(method="gibbs")
    draws = posterior.sample(draws=500, tune=300, seed=1, method="gibbs")["posterior"]
    for name, expected in (("mu", weight @ mean), ("tau", weight @ tau)):
        values = draws[name].values
        error = float(array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean"))
        assert abs(values.mean() - expected) < 5 * error
        assert float(array_stats.ess(values, chain_axis=0, draw_axis=1, method="bulk")) > 500
