"""Bayes factors, modes with their curvature, and Laplace's approximation, against closed forms and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import bayeskit as bk
from bayeskit.errors import ImproperError, RefusedError

RNG = np.random.default_rng(8)
X = RNG.normal(size=(60, 3))
HEADS = (RNG.random(60) < 1 / (1 + np.exp(-X @ [1.0, -1.0, 0.5]))).astype(int)


def coin(prior):
    m = bk.Model()
    m.observed("y", bk.Binomial(100, m.latent("p", prior)))
    return m.condition({"y": 62})


def regression(slope, noise=None):
    m = bk.Model()
    x = m.data("x", dims="i")
    a, s2 = m.latent("a", bk.Flat()), m.latent("s2", bk.InverseGamma(0, 0) if noise is None else noise)
    mean = a + m.latent("b", bk.Normal(0, np.sqrt(s2))) * x if slope else a + 0 * x
    m.observed("y", bk.Normal(mean, np.sqrt(s2)), dims="i")
    return m.condition({"x": np.arange(5.0) - 2, "y": [1.2, 0.3, -0.4, 2.2, 1.9]})


def logistic():
    m = bk.Model()
    x, b = m.data("x", dims=("i", "k")), m.latent("b", bk.Normal(0, 2.5), dims="k")
    m.observed("y", bk.Bernoulli(logit=x @ b), dims="i")
    return m.condition({"x": X, "y": HEADS})


# ---- Bayes factors --------------------------------------------------------------------------------------------------


def test_a_bayes_factor_of_exact_models():
    factor = bk.bayes_factor(coin(bk.Beta(1, 1)), coin(bk.Beta(500, 500)))
    log = np.log(1 / 101) - stats.betabinom(100, 500, 500).logpmf(62)
    np.testing.assert_allclose([factor, factor.log], [np.exp(log), log], rtol=1e-10)
    assert factor.se == factor.log_se == 0.0
    np.testing.assert_allclose(bk.bayes_factor(coin(bk.Beta(500, 500)), coin(bk.Beta(1, 1))), 1 / factor)


def test_improper_priors_that_both_share_cancel():
    """With x centred, one over s2 and a flat intercept: S with the slope is the sum of squares about the ridge fit."""
    factor = bk.bayes_factor(regression(True), regression(False))
    x, y = np.arange(5.0) - 2, np.array([1.2, 0.3, -0.4, 2.2, 1.9])
    squares = np.sum((y - y.mean()) ** 2)
    left = squares - (x @ y) ** 2 / (x @ x + 1)
    np.testing.assert_allclose(factor, (x @ x + 1) ** -0.5 * (left / squares) ** -2.0, rtol=1e-9)


def test_improper_priors_that_do_not_cancel():
    with pytest.raises(ImproperError, match="the improper prior InverseGamma\\(0, 0\\) in one model"):
        bk.bayes_factor(regression(True), regression(False, bk.InverseGamma(1, 1)))
    with pytest.raises(ImproperError, match=r"bk\.bayes_factor is defined"):
        regression(True).log_evidence()


def test_models_of_different_data_are_not_compared():
    m = bk.Model()
    m.observed("y", bk.Binomial(100, m.latent("p", bk.Beta(1, 1))))
    with pytest.raises(RefusedError, match="different values of 'y'"):
        bk.bayes_factor(coin(bk.Beta(1, 1)), m.condition({"y": 63}))
    m = bk.Model()
    m.observed("k", bk.Binomial(100, m.latent("p", bk.Beta(1, 1))))
    with pytest.raises(RefusedError, match=r"observations of \['y'\] and of \['k'\]"):
        bk.bayes_factor(coin(bk.Beta(1, 1)), m.condition({"k": 62}))


def test_a_factor_beyond_floats():
    m = bk.Model()
    m.observed("y", bk.Normal(0, 1), dims="i")
    n = bk.Model()
    n.observed("y", bk.Normal(60.0, 1), dims="i")
    factor = bk.bayes_factor(m.condition({"y": [0.0, 1.0]}), n.condition({"y": [0.0, 1.0]}))
    assert factor == np.inf
    np.testing.assert_allclose(factor.log, 0.5 * (60**2 + 59**2 - 1))


def test_the_error_of_a_sampled_evidence_is_carried():
    one = logistic()
    m = bk.Model()
    m.data("x", dims=("i", "k"))
    m.observed("y", bk.Bernoulli(0.5), dims="i")
    factor = bk.bayes_factor(one, m.condition({"x": X, "y": HEADS}))
    assert 0 < factor.log_se < 0.05
    np.testing.assert_allclose(factor.se, factor * factor.log_se)
    np.testing.assert_allclose(factor.log, one.log_evidence() - 60 * np.log(0.5))


# ---- modes ----------------------------------------------------------------------------------------------------------


def test_the_mode_of_a_logistic_regression():
    mode = logistic().mode()

    def loss(b):
        return np.sum(np.logaddexp(0, X @ b) - HEADS * (X @ b)) + 0.5 * b @ b / 6.25

    best = optimize.minimize(loss, np.zeros(3), tol=1e-14, method="BFGS").x
    p = 1 / (1 + np.exp(-X @ best))
    precision = (X.T * (p * (1 - p))) @ X + np.eye(3) / 6.25
    np.testing.assert_allclose(mode.values["b"], best, atol=1e-6)
    np.testing.assert_allclose(mode.covariance, np.linalg.inv(precision), rtol=1e-3)
    constant = 3 * stats.norm(0, 2.5).logpdf(0)
    np.testing.assert_allclose(mode.log_density, constant - loss(best), rtol=1e-10)
    assert list(mode.covariance["unknown"].values) == ["b[0]", "b[1]", "b[2]"]


@pytest.mark.parametrize(("scale", "expected"), [("natural", 64 / 104), ("unconstrained", 65 / 106)])
def test_the_mode_depends_on_the_scale(scale, expected):
    mode = coin(bk.Beta(3, 3)).mode(scale)
    np.testing.assert_allclose(mode.values["p"], expected, rtol=1e-6)
    curvature = expected * (1 - expected) / 104 if scale == "natural" else 1 / (106 * expected * (1 - expected))
    np.testing.assert_allclose(mode.covariance, [[curvature]], rtol=1e-3)
    assert mode.scale == scale


def test_gaussian_blocks_are_profiled_out():
    m = bk.Model()
    x, s2 = m.data("x", dims=("i", "k")), m.latent("s2", bk.InverseGamma(3, 2))
    b = m.latent("b", bk.Normal(0, 3), dims="k")
    y = X @ [1.0, 2.0, -1.0] + RNG.normal(size=60)
    m.observed("y", bk.Normal(x @ b, np.sqrt(s2)), dims="i")
    posterior = m.condition({"x": X, "y": y})
    mode = posterior.mode()

    def loss(u):
        return -posterior._problem.log_joint({"b": u[None, :3], "s2": np.exp(u[None, 3])})[0]

    best = optimize.minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose(mode.values["b"], best[:3], atol=1e-5)
    np.testing.assert_allclose(mode.values["s2"], np.exp(best[3]), rtol=1e-5)


def test_modes_that_cannot_be_had():
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Normal(theta, 10.0), dims="g")
    posterior = m.condition({"y": [28.0, 8.0, -3.0, 7.0]})
    with pytest.raises(RefusedError, match="The mode cannot be had"):
        posterior.mode()
    with pytest.raises(RefusedError, match="one of natural, unconstrained"):
        posterior.mode("log")
    m = bk.Model()
    m.observed("k", bk.Binomial(m.latent("n", bk.Poisson(4)), 0.5))
    with pytest.raises(RefusedError, match="'n' is discrete"):
        m.condition({"k": 2}).mode()


# ---- Laplace --------------------------------------------------------------------------------------------------------


def test_laplace_of_a_regression():
    posterior = logistic()
    approximation = posterior.laplace()
    assert abs(approximation.log_evidence - posterior.log_evidence()) < 0.1
    tree = approximation.sample(2000, seed=1)
    mode = posterior.mode()
    draws = tree["posterior"]["b"].values.reshape(-1, 3)
    errors = np.sqrt(np.diagonal(mode.covariance.values) / len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mode.values["b"].values) < 5 * errors)
    np.testing.assert_allclose(np.cov(draws.T), mode.covariance, rtol=0.15, atol=0.01)
    assert tree.attrs["bayeskit_method"] == "laplace"
    assert approximation.explain().startswith("method: laplace")


def test_laplace_keeps_what_is_exact():
    posterior = coin(bk.Beta(1, 1))
    np.testing.assert_allclose(posterior.laplace().log_evidence, posterior.log_evidence())
    m = bk.Model()
    m.observed("k", bk.Binomial(m.latent("n", bk.Poisson(4)), 0.5))
    with pytest.raises(RefusedError, match="Laplace's approximation of 'n' cannot be had"):
        m.condition({"k": 2}).laplace()
