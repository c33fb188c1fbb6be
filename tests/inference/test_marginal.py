"""Latents updated with mixing numbers integrated out: the sweep stays right only in the right order."""

import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from tests.inference.monte_carlo import errors_in_mcse

RNG = np.random.default_rng(0)
Y = RNG.standard_t(3, size=66) * 5 + 27


def student():
    m = bk.Model()
    mu, sigma = m.latent("mu", bk.Normal(0, 100)), m.latent("sigma", bk.HalfNormal(50))
    nu = m.latent("nu", bk.Gamma(2, 0.1))
    m.observed("y", bk.StudentT(nu, mu, sigma), dims="obs")
    return m.condition({"y": Y})


def agrees(draws, weights, values):
    """Whether draws have the mean and the variance of weighted values, within 5 Monte Carlo errors."""
    mean = (weights * values).sum()
    variance = (weights * (values - mean) ** 2).sum()
    return max(errors_in_mcse(draws, mean, variance)) < 5


def test_student_t_against_a_grid():
    axes = np.linspace(23, 31, 61), np.linspace(np.log(3.5), np.log(11), 61), np.linspace(np.log(0.8), np.log(150), 121)
    mu, log_sigma, log_nu = np.meshgrid(*axes, indexing="ij")
    sigma, nu = np.exp(log_sigma), np.exp(log_nu)
    logs = stats.norm.logpdf(mu, 0, 100) + stats.halfnorm.logpdf(sigma, 0, 50) + stats.gamma.logpdf(nu, 2, scale=10)
    logs += log_sigma + log_nu
    for y in Y:
        logs += stats.t.logpdf(y, nu, mu, sigma)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    tree = student().sample(2000, seed=1, method="gibbs")
    for name, values in (("mu", mu), ("sigma", sigma), ("nu", nu)):
        assert agrees(tree["posterior"][name].values, weights, values), name


def test_mixing_numbers_follow_at_once():
    posterior = student()
    steps = [s.names[0] for s in posterior._choose("gibbs", None).steps]
    assert steps[0] == "nu" and "__mixing" in steps[1]
    assert "with the mixing numbers integrated out" in posterior.explain(method="gibbs")


@pytest.mark.parametrize("prior", [bk.InverseGamma(2, 5), bk.HalfNormal(10)])
def test_a_laplace_scale_against_a_grid(prior):
    m = bk.Model()
    mu, b = m.latent("mu", bk.Normal(0, 100)), m.latent("b", prior)
    m.observed("y", bk.Laplace(mu, b), dims="obs")
    tree = m.condition({"y": Y}).sample(2000, seed=1, method="gibbs")
    grid_mu, log_b = np.meshgrid(np.linspace(22, 32, 401), np.linspace(np.log(2), np.log(12), 301), indexing="ij")
    grid_b = np.exp(log_b)
    logs = stats.norm.logpdf(grid_mu, 0, 100) + prior.log_prob(grid_b.ravel()).values.reshape(grid_b.shape) + log_b
    for y in Y:
        logs += stats.laplace.logpdf(y, grid_mu, grid_b)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    for name, values in (("mu", grid_mu), ("b", grid_b)):
        assert agrees(tree["posterior"][name].values, weights, values), name
