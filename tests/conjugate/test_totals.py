"""Gains of many cells under one prior, against the gains of single cells and against scipy."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayeskit as bk
from bayeskit.conjugate.families import BetaFamily, DirichletFamily, GammaFamily, total_gain
from bayeskit.conjugate.families.totals import RisingSum
from bayeskit.distributions.gammafunctions import log_rising

RNG = np.random.default_rng(5)
POSITIVE = np.array([1e-9, 0.02, 1.0, 7.5, 3e4, 2e9])


@pytest.mark.parametrize(
    "n",
    [
        RNG.integers(0, 40, 500).astype(float),
        RNG.integers(0, 3000, 900).astype(float),
        np.array([0.0, 1e5, 3.0, 3.0]),
        RNG.gamma(2.0, 30.0, 50),
        np.zeros(4),
    ],
    ids=["small", "whole", "far apart", "not whole", "none"],
)
def test_sums_of_rising_factorials(n):
    expected = log_rising(POSITIVE[:, None], n).sum(axis=1)
    np.testing.assert_allclose(RisingSum(n)(POSITIVE), expected, rtol=1e-12)


def test_what_costs_least_is_chosen():
    assert RisingSum(np.arange(100.0)).cost == 99
    assert RisingSum(np.array([5.0, 90_000.0])).cost == 40


def _cells(family, prior, gained):
    by_cell = family.log_gain(tuple(n[:, None] for n in prior), tuple(g[None] for g in gained))
    return by_cell.sum(axis=1)


@pytest.mark.parametrize("largest", [30, 4000])
def test_betas(largest):
    n = RNG.integers(0, largest, 300)
    y = RNG.binomial(n, 0.3).astype(float)
    gained, prior = (y, n - y), (POSITIVE, POSITIVE[::-1])
    total = total_gain(BetaFamily(), gained)
    np.testing.assert_allclose(total(prior), _cells(BetaFamily(), prior, gained), rtol=1e-11)
    shared = (POSITIVE, np.broadcast_to(2.5, POSITIVE.shape))
    np.testing.assert_allclose(total(shared), _cells(BetaFamily(), shared, gained), rtol=1e-11)


def test_dirichlets():
    counts = RNG.multinomial(700, [0.2, 0.5, 0.3], size=80).astype(float)
    prior = (np.stack([POSITIVE[:-1], np.full(5, 0.7), POSITIVE[:-1][::-1]], axis=1),)
    total = total_gain(DirichletFamily(), (counts,))
    np.testing.assert_allclose(total(prior), _cells(DirichletFamily(), prior, (counts,)), rtol=1e-11)


@pytest.mark.parametrize("kind", ["Gamma", "InverseGamma"])
def test_rates(kind):
    family = GammaFamily(kind)
    more, faster = RNG.poisson(80.0, 200).astype(float), RNG.choice([1.0, 2.5, 40.0], 200)
    gained = family.along(1.0 if kind == "Gamma" else -1.0, more, faster)
    gained = tuple(np.broadcast_to(g, more.shape) for g in gained)
    prior = family.prior(POSITIVE[:-1], POSITIVE[:-1][::-1])
    total = total_gain(family, gained)
    np.testing.assert_allclose(total(prior), _cells(family, prior, gained), rtol=1e-11)


def test_priors_that_ask_for_more_care_are_left_alone():
    total = total_gain(BetaFamily(), (np.array([3.0]), np.array([4.0])))
    assert np.isnan(total((np.array([0.0, 1.0]), np.array([1.0, 1.0])))).tolist() == [True, False]
    assert total_gain(GammaFamily("Gamma", upper=3.0), (np.ones(2), np.ones(2), np.zeros(2))) is None
    assert total_gain(BetaFamily(), (np.array([-1.0]), np.array([4.0]))) is None


def test_many_hospitals_against_scipy():
    rng = np.random.default_rng(3)
    n = rng.integers(200, 2000, 150)
    y = rng.binomial(n, rng.beta(8.0, 20.0, 150))
    m = bk.Model(coords={"hospital": range(150)})
    a = m.latent("a", bk.Gamma(2, 0.1))
    b = m.latent("b", bk.Gamma(2, 0.1))
    p = m.latent("p", bk.Beta(a, b), dims="hospital")
    m.observed("y", bk.Binomial(m.data("n", dims="hospital"), p), dims="hospital")
    posterior = m.condition({"n": n, "y": y})
    (core,) = posterior._plan.collapsed
    assert core.pieces[0].apart is not None

    grid = np.linspace(np.log(4.0), np.log(16.0), 60), np.linspace(np.log(10.0), np.log(45.0), 60)
    la, lb = (g.reshape(-1) for g in np.meshgrid(*grid, indexing="ij"))
    rows = stats.betabinom.logpmf(y, n, np.exp(la)[:, None], np.exp(lb)[:, None]).sum(axis=1)
    log_joint = rows + sum(stats.gamma.logpdf(np.exp(u), 2, scale=10) + u for u in (la, lb))
    expected = logsumexp(log_joint) + np.log(np.prod([g[1] - g[0] for g in grid]))
    evidence = posterior.log_evidence()
    assert evidence.se < 0.05
    assert float(evidence) == pytest.approx(expected, abs=4 * evidence.se + 1e-6)

    weights = np.exp(log_joint - logsumexp(log_joint))
    draws = posterior.sample_arrays(2000, chains=2, seed=1)
    mean, sd = weights @ np.exp(la), np.sqrt(weights @ np.exp(2 * la) - (weights @ np.exp(la)) ** 2)
    assert draws["a"].mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(3000))
    raw = (y + mean) / (n + mean + weights @ np.exp(lb))
    np.testing.assert_allclose(draws["p"].mean(axis=(0, 1)), raw, atol=0.003)
