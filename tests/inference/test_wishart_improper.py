"""Normal vectors with Jeffreys' prior on their covariance or precision, and with proper Wisharts: by the formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import multigammaln

import bayeskit as bk
from bayeskit.errors import ImproperError, ParameterError

N, D = 12, 2
Y = np.random.default_rng(0).normal(size=(N, D)) @ [[1.0, 0.4], [0.0, 2.0]] + [3.0, -1.0]
CENTRE, S = Y.mean(axis=0), (Y - Y.mean(axis=0)).T @ (Y - Y.mean(axis=0))


def model(form: str, prior, mean=bk.Flat):
    m = bk.Model()
    matrix = m.latent("M", prior, dims="d")
    mu = 0 if mean is None else m.latent("mu", mean(), dims="d")
    m.observed("y", bk.MvNormal(mu, **{form: matrix}), dims=("obs", "d"))
    return m.condition({"y": Y})


def test_flat_mean_and_jeffreys_covariance():
    """Gelman et al. (2013), sec. 3.6: inverse Wishart with n - 1 degrees of freedom, and a t with n - d."""
    posterior = model("cov", bk.InverseWishart(0, 0))
    assert "exact; normal-inverse-Wishart" in posterior.explain()
    sigma, mu = posterior["M"], posterior["mu"]
    assert float(sigma.canonical["nu"]) == N - 1
    np.testing.assert_allclose(sigma.canonical["scale"], S, rtol=1e-12)
    assert mu.event_ndim == 0  # a flat prior is one of numbers
    spread = np.sqrt(np.diag(S) / (N * (N - D)))
    np.testing.assert_allclose(mu.quantile(0.9), stats.t(N - D, CENTRE, spread).ppf(0.9), rtol=1e-9)
    drawn = posterior.sample(3000, seed=1)["posterior"]
    for name in ("M", "mu"):
        x = drawn[name].values.reshape(-1, *drawn[name].shape[2:])
        assert np.all(np.abs(x.mean(axis=0) - posterior[name].mean()) < 5 * x.std(axis=0) / np.sqrt(len(x)))


def test_precision_and_covariance_are_the_same_prior():
    """The density of one, with the Jacobian of the inverse, is that of the other."""
    covariance, precision = model("cov", bk.InverseWishart(0, 0)), model("tau", bk.Wishart(0, rate=0))
    np.testing.assert_allclose(precision["mu"].sd(), covariance["mu"].sd(), rtol=1e-10)
    np.testing.assert_allclose(precision["M"].mean(), (N - 1) * np.linalg.inv(S), rtol=1e-9)
    x = np.array([[2.0, 0.3], [0.3, 1.0]])
    assert float(bk.InverseWishart(0, 0).log_prob(x)) == pytest.approx(-1.5 * np.log(np.linalg.det(x)))
    assert float(bk.Wishart(0, rate=0).log_prob(x)) == pytest.approx(-1.5 * np.log(np.linalg.det(x)))


def test_known_mean():
    raw = Y.T @ Y
    sigma = model("cov", bk.InverseWishart(0, 0), mean=None)["M"]
    assert float(sigma.canonical["nu"]) == N
    np.testing.assert_allclose(sigma.canonical["scale"], raw, rtol=1e-12)
    proper = model("cov", bk.InverseWishart(4.0, np.eye(D)), mean=None)
    np.testing.assert_allclose(proper["M"].canonical["scale"], raw + np.eye(D), rtol=1e-12)
    expected = multigammaln((4 + N) / 2, D) - multigammaln(2.0, D) - N * D / 2 * np.log(np.pi)
    expected -= (4 + N) / 2 * np.linalg.slogdet(raw + np.eye(D))[1]
    assert proper.log_evidence() == pytest.approx(expected, rel=1e-11)
    other = model("tau", bk.Wishart(4.0, rate=np.eye(D)), mean=None)
    assert other.log_evidence() == pytest.approx(expected, rel=1e-11)


def test_bayes_factor_of_shared_improper_priors():
    """A known mean against a proper one: both hold the same Jeffreys prior, whose constant cancels."""
    known = model("cov", bk.InverseWishart(0, 0), mean=None)
    m = bk.Model()
    sigma = m.latent("M", bk.InverseWishart(0, 0), dims="d")
    mu = m.latent("mu", bk.MvNormal(0, sigma / 0.5), dims="d")
    m.observed("y", bk.MvNormal(mu, sigma), dims=("obs", "d"))
    raw, kept = Y.T @ Y, 0.5 / (N + 0.5)
    shrunk = raw - N * (1 - kept) * np.outer(CENTRE, CENTRE)
    expected = D / 2 * np.log(kept) - N / 2 * (np.linalg.slogdet(shrunk)[1] - np.linalg.slogdet(raw)[1])
    assert bk.bayes_factor(m.condition({"y": Y}), known).log == pytest.approx(expected, rel=1e-10)


def test_what_is_improper_is_refused():
    with pytest.raises(ImproperError, match="improper"):
        model("cov", bk.InverseWishart(0, 0)).log_evidence()
    m = bk.Model()
    sigma = m.latent("M", bk.InverseWishart(0, 0), dims="d")
    mu = m.latent("mu", bk.Flat(), dims="d")
    m.observed("y", bk.MvNormal(mu, sigma), dims=("obs", "d"))
    with pytest.raises(ImproperError, match="2 rows of 2 entries do not determine"):
        m.condition({"y": Y[:2]}).explain()
    with pytest.raises(ImproperError, match="improper"):
        m.condition({"y": Y[:1]}).explain()
    for bad in ((0, np.eye(2)), (5, 0), (-1, 0), (0, -np.eye(2))):
        with pytest.raises(ParameterError):
            bk.InverseWishart(*bad)
    with pytest.raises(ParameterError):
        bk.Wishart(0, 0)
