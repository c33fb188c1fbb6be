import numpy as np
import pytest
from scipy import stats

from bayeskit.inference.adaptation import (
    proposal_cholesky,
    start_covariance,
    start_scale,
    target_acceptance,
    update_covariance,
    update_scale,
)
from bayeskit.inference.adaptive_walk import adaptive_sweep, start_adaptive
from bayeskit.inference.random_walk import elementwise_walk, joint_walk
from tests.inference.monte_carlo import LIMIT, collect, errors_in_mcse, is_right


def elementwise_chain(log_density, x, scale, seed, draws=4000, steps=4):
    rng = np.random.default_rng(seed)

    def step(x):
        log_p = log_density(x)
        for _ in range(steps):
            x, log_p, _, _ = elementwise_walk(log_density, x, log_p, scale, rng)
        return x

    return collect(step, x, draws)


def test_elementwise_normal():
    draws = elementwise_chain(lambda x: -0.5 * ((x - 3.0) / 2.0) ** 2, np.zeros(4), 4.8, 1)
    assert is_right(draws[:, 100:], stats.norm(3.0, 2.0))


def test_elementwise_targets_are_separate():
    shape = np.array([1.0, 5.0])

    def log_density(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return (shape - 1.0) * np.log(x) - x + np.where(x > 0, 0.0, -np.inf)

    draws = elementwise_chain(log_density, np.ones((4, 2)), 2.4 * shape**0.5, 2)
    for j in range(2):
        assert is_right(draws[:, 100:, j], stats.gamma(shape[j]))


def test_elementwise_uniform_on_an_interval():
    draws = elementwise_chain(lambda x: np.where(np.abs(x) < 1, 0.0, -np.inf), np.zeros(4), 1.0, 3)
    assert is_right(draws, stats.uniform(-1, 2))


def test_accepting_always_fails_the_same_check():
    rng = np.random.default_rng(1)

    def log_density(x):
        return -0.5 * ((x - 3.0) / 2.0) ** 2

    def step(x):
        for _ in range(4):
            better = elementwise_walk(log_density, x, np.full(x.shape, -1e300), 4.8, rng)
            x = np.where(np.abs(better.x) < 20, better.x, x)
        return x

    assert not is_right(collect(step, np.zeros(4), 4000)[:, 100:], stats.norm(3.0, 2.0))


@pytest.mark.parametrize("per_chain", [False, True])
def test_joint_normal_with_correlations(per_chain):
    covariance = 0.8 ** np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    precision = np.linalg.inv(covariance)
    cholesky = np.linalg.cholesky(covariance)
    if per_chain:
        cholesky = np.broadcast_to(cholesky, (4, 3, 3))
    rng = np.random.default_rng(4)

    def log_density(x):
        return -0.5 * np.einsum("ci,ij,cj->c", x, precision, x)

    def step(x):
        log_p = log_density(x)
        for _ in range(6):
            x, log_p, _, _ = joint_walk(log_density, x, log_p, np.full(4, 2.38 / 3**0.5), cholesky, rng)
        return x

    draws = collect(step, np.zeros((4, 3)), 3000)
    for j in range(3):
        assert is_right(draws[..., j], stats.norm())
    product = draws[..., 0] * draws[..., 1]
    assert errors_in_mcse(product, 0.8, product.var())[0] < LIMIT


@pytest.mark.parametrize("bad", [np.nan, -np.inf, np.inf])
def test_impossible_proposals_are_rejected(bad):
    x = np.zeros((4, 2))
    rng = np.random.default_rng(0)
    step = elementwise_walk(lambda x: np.full(x.shape, bad), x, np.zeros((4, 2)), 1.0, rng)
    assert not step.accepted.any()
    np.testing.assert_array_equal(step.x, x)
    np.testing.assert_array_equal(step.log_p, 0.0)
    np.testing.assert_array_equal(step.probability, 0.0)
    joint = joint_walk(lambda x: np.full(len(x), bad), x, np.zeros(4), 1.0, np.eye(2), rng)
    assert not joint.accepted.any()
    np.testing.assert_array_equal(joint.x, x)


def test_from_outside_the_support_any_possible_point_is_taken():
    step = elementwise_walk(np.zeros_like, np.zeros(4), np.full(4, -np.inf), 1.0, np.random.default_rng(0))
    assert step.accepted.all()
    np.testing.assert_array_equal(step.probability, 1.0)


def test_scale_reaches_the_target_acceptance():
    rng = np.random.default_rng(5)
    sd = np.array([1e-5, 1.0, 1e5])
    x, state = np.zeros((4, 3)), start_scale((4, 3))
    log_p = np.zeros((4, 3))
    for _ in range(2000):
        x, log_p, _, probability = elementwise_walk(lambda x: -0.5 * (x / sd) ** 2, x, log_p, state.scale, rng)
        state = update_scale(state, probability, target_acceptance(1))
    rates = []
    for _ in range(2000):
        x, log_p, _, probability = elementwise_walk(lambda x: -0.5 * (x / sd) ** 2, x, log_p, state.scale, rng)
        rates.append(probability)
    assert np.abs(np.mean(rates, axis=0) - 0.44).max() < 0.1
    np.testing.assert_allclose(state.scale / sd, 2.4, rtol=0.5)


@pytest.mark.parametrize("pooled", [False, True])
def test_running_covariance_is_the_weighted_covariance(pooled):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((50, 4, 3)) + 100.0
    state = start_covariance(np.zeros((4, 3)), pooled=pooled)
    for row in x:
        state = update_covariance(state, row)
    t = np.arange(1, 51)
    weights = t * (t + 1) * (t + 2.0)  # what the gain (3 + 1) / (t + 3) amounts to
    groups = [x.reshape(-1, 3)] if pooled else [x[:, chain] for chain in range(4)]
    for group, rows in enumerate(groups):
        expanded = np.repeat(weights, 4) if pooled else weights
        np.testing.assert_allclose(state.mean[group], np.average(rows, axis=0, weights=expanded), rtol=1e-12)
        expected = np.cov(rows.T, aweights=expanded, ddof=0)
        np.testing.assert_allclose(state.covariance[group], expected, rtol=1e-9, atol=1e-12)


def test_degenerate_covariance_still_gives_a_proposal():
    """A constant coordinate, two equal ones, and fewer draws than dimensions."""
    state = start_covariance(np.zeros((4, 3)), pooled=False)
    for value in (1.0, 2.0):
        state = update_covariance(state, np.full((4, 3), value) * [1.0, 1.0, 0.0])
    cholesky = proposal_cholesky(state, fallback=9.0)
    assert cholesky.shape == (4, 3, 3)
    assert (np.linalg.eigvalsh(cholesky @ np.swapaxes(cholesky, -1, -2)) > 0).all()
    np.testing.assert_allclose(cholesky[:, 2, 2], 3.0)


def test_covariance_that_is_not_finite_falls_back():
    state = start_covariance(np.zeros((2, 2)), pooled=True)._replace(covariance=np.full((1, 2, 2), np.nan), updates=9)
    np.testing.assert_array_equal(proposal_cholesky(state, fallback=4.0)[0], 2.0 * np.eye(2))


def adaptive_chain(log_density, dimension, seed, *, tune=400, draws=2000, start=0.0):
    rng = np.random.default_rng(seed)
    x = start + 0.1 * rng.standard_normal((4, dimension))
    state = start_adaptive(x, log_density(x))
    rates, kept = [], []
    for sweep in range(tune + draws):
        state, moves = adaptive_sweep(log_density, state, rng, steps=2 * dimension, tune=tune, tuning=sweep < tune)
        if sweep >= tune:
            rates.append(moves.acceptance_rate)
            kept.append(state.x)
    return np.stack(kept, axis=1), float(np.mean(rates)), state


def test_adaptive_walk_finds_sizes_twelve_orders_of_magnitude_apart():
    sd = np.logspace(-6, 6, 5)
    draws, rate, _ = adaptive_chain(lambda x: -0.5 * ((x / sd) ** 2).sum(axis=1), 5, 7)
    assert abs(rate - target_acceptance(5)) < 0.1
    for j in range(5):
        assert is_right(draws[..., j], stats.norm(0.0, sd[j]))


def test_adaptive_walk_comes_from_far_away():
    draws, _, _ = adaptive_chain(lambda x: -0.5 * ((x - 1000.0) ** 2).sum(axis=1), 3, 8)
    for j in range(3):
        assert is_right(draws[..., j], stats.norm(1000.0))


def test_nothing_is_learnt_after_tuning():
    def log_density(x):
        return -0.5 * (x**2).sum(axis=1)

    _, _, tuned = adaptive_chain(log_density, 2, 9, tune=100, draws=0 + 1)
    after, _ = adaptive_sweep(log_density, tuned, np.random.default_rng(0), steps=4, tune=100, tuning=False)
    assert (after.x != tuned.x).any()
    for field in ("width", "coordinates", "scale", "covariance", "cholesky", "sweeps"):
        assert getattr(after, field) is getattr(tuned, field)
