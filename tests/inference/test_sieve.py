"""Proposals made nearer to their target by rejection: exact in density, no worse far out, and dropped where no gain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import polygamma, psi
from scipy.stats import kstest

from bayeskit.inference.core.bulk import prepare, run
from bayeskit.inference.core.pareto import acceptance
from bayeskit.inference.core.proposal import mixture
from bayeskit.inference.core.sieve import LEAST, LEAST_BEYOND, Polynomial, Sieve, _acceptance, sieved
from tests.inference.test_bulk import balls, batch_means, log_gammas, near


def skewed(u):
    """Two log gammas: banana-free, but no t."""
    return log_gammas([1.5, 3.0])(u)


def piloted(target, n=2000, seed=0):
    proposal = mixture(np.zeros(1), np.zeros((1, 2)), 2.0 * np.eye(2)[None])
    u = proposal.sample(np.random.default_rng(seed), n)
    return proposal, u, target(u), proposal.log_density(u)


def test_a_polynomial_is_what_its_coefficients_say():
    rng = np.random.default_rng(0)
    proposal, u, log_target, log_pooled = piloted(lambda u: 3.0 - u[:, 0] ** 2 + 0.2 * u[:, 0] * u[:, 1] - u[:, 1] ** 4)
    found = sieved(proposal, u, log_target, log_pooled, before=0.0)
    assert found is not None
    points = rng.normal(size=(50, 2))
    x, y = points.T
    np.testing.assert_allclose(
        found[0].promise(found[0].promise.in_units(points)), 3.0 - x**2 + 0.2 * x * y - y**4, atol=1e-4
    )
    assert found[1] > acceptance(log_target - log_pooled) + 0.05


def test_draws_have_the_density_that_is_stated():
    """The integral of the stated density over the line is the share of candidates that are kept; draws follow it."""
    proposal, u, log_target, log_pooled = piloted(skewed)
    sieve, _ = sieved(proposal, u, log_target, log_pooled, before=0.0)
    drawn = sieve.drawn(np.random.default_rng(1), 40_000)
    points, log_density, share = drawn.vectors, drawn.log_density, drawn.share
    np.testing.assert_allclose(log_density, sieve.log_density(points), atol=1e-12)
    edges = np.linspace(-14, 8, 881)
    middle = 0.5 * (edges[1:] + edges[:-1])
    grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 2)
    cells = np.exp(sieve.log_density(grid)).reshape(len(middle), -1)
    area = (edges[1] - edges[0]) ** 2
    assert abs(cells.sum() * area - share) < 5 * np.sqrt(share * (1 - share) / 40_000 * share) + 2e-3
    for axis in (0, 1):
        cdf = np.concatenate([[0.0], np.cumsum(cells.sum(axis=1 - axis))])
        assert kstest(points[:, axis], lambda x, cdf=cdf: np.interp(x, edges, cdf / cdf[-1])).pvalue > 1e-4


def test_probabilities_stay_between_their_bounds():
    proposal, u, log_target, log_pooled = piloted(skewed)
    sieve, _ = sieved(proposal, u, log_target, log_pooled, before=0.0)
    far = np.random.default_rng(2).normal(scale=30.0, size=(1000, 2))
    beyond = np.linalg.norm(sieve.promise.in_units(far), axis=0) > sieve.reach
    kept = np.exp(sieve.log_kept(far, proposal.log_density(far)))
    assert beyond.any()
    assert (kept[beyond] >= LEAST_BEYOND * (1 - 1e-12)).all()
    assert (kept >= LEAST * (1 - 1e-12)).all()
    assert (kept <= 1.0).all()


def test_expected_acceptance_from_draws_of_another_density():
    rng = np.random.default_rng(0)
    _, u, log_target, log_pooled = piloted(skewed, n=200_000)
    narrow = mixture(np.zeros(1), np.zeros((1, 2)), 1.5 * np.eye(2)[None])
    direct = narrow.sample(rng, 200_000)
    expected = acceptance(skewed(direct) - narrow.log_density(direct))
    assert abs(_acceptance(log_target, log_pooled, narrow.log_density(u)) - expected) < 0.01


def test_acceptance_rises_and_moments_stay_right():
    target = log_gammas([1.5, 3.0, 0.7])
    prepared = prepare(target, np.zeros((1, 3)))
    assert isinstance(prepared.proposal, Sieve)
    assert prepared.acceptance > acceptance(prepared.log_weights) + 0.02
    result = run(prepared, target, np.random.default_rng(3), 4, 10_000)
    assert abs(result.acceptance - prepared.acceptance) < 0.04
    assert abs(result.log_evidence) < 4.5 * result.log_evidence_se < 0.1
    for j, shape in enumerate([1.5, 3.0, 0.7]):
        near(batch_means(result.vectors[:, :, j]), psi(shape))
        near(batch_means((result.vectors[:, :, j] - psi(shape)) ** 2), polygamma(1, shape))


@pytest.mark.parametrize("least", [LEAST, 0.01])
def test_a_promise_that_misleads_does_not_make_draws_wrong(least, monkeypatch):
    """Whatever the polynomial says, weights make up for it: here it says the opposite of what is true."""
    from bayeskit.inference.core import sieve as module

    monkeypatch.setattr(module, "LEAST", least)
    target = log_gammas([2.0, 2.0])
    prepared = prepare(target, np.zeros((1, 2)))
    good = prepared.proposal
    assert isinstance(good, Sieve)
    promise = Polynomial(*(getattr(good.promise, n) for n in ("middle", "units", "made")), -good.promise.coefficients)
    object.__setattr__(prepared, "proposal", Sieve(good.proposal, promise, good.level, good.reach))
    result = run(prepared, target, np.random.default_rng(4), 4, 10_000)
    assert result.acceptance < 0.9
    for j in (0, 1):
        near(batch_means(result.vectors[:, :, j]), psi(2.0))


def test_no_sieve_where_it_is_no_gain():
    """A single t is met by itself; two balls far apart are no polynomial."""
    proposal, u, log_target, log_pooled = piloted(lambda u: proposal_density(u))
    assert sieved(proposal, u, log_target, log_pooled, before=0.999) is None
    apart = balls([np.zeros(2), np.full(2, 30.0)], [1.0, 0.5], [0.5, 0.5], 2)
    prepared = prepare(apart, np.array([[0.0, 0.0], [30.0, 30.0]]))
    assert prepared.ok
    result = run(prepared, apart, np.random.default_rng(5), 4, 5_000)
    near(batch_means(result.vectors[:, :, 0] > 15.0), 0.5)


def proposal_density(u):
    return mixture(np.zeros(1), np.zeros((1, 2)), 2.0 * np.eye(2)[None]).log_density(u)


def test_few_draws_make_no_polynomial():
    proposal, u, log_target, log_pooled = piloted(skewed, n=20)
    assert sieved(proposal, u, log_target, log_pooled, before=0.5) is None
