"""Independence Metropolis-Hastings proposed in bulk: weights, proposals, modes, and targets with known answers."""

import numpy as np
import pytest
from scipy.special import gammaln, ndtr, polygamma, psi, stdtrit
from scipy.stats import genpareto, kstest, multivariate_t

from bayeskit.errors import RefusedError
from bayeskit.inference.core.bulk import Prepared, accepted_at, prepare, run
from bayeskit.inference.core.modes import find_modes
from bayeskit.inference.core.pareto import acceptance, evidence, judged, pareto_k
from bayeskit.inference.core.proposal import (
    TMixture,
    defended,
    matched,
    mixture,
    refitted,
    scanned,
    tempered,
    weighted_quantiles,
)
from bayeskit.inference.core.sieve import Sieve

LOG_2PI = np.log(2 * np.pi)


@pytest.fixture
def rng():
    return np.random.default_rng(20_250_711)


class Counted:
    def __init__(self, log_density):
        self.log_density, self.points, self.calls = log_density, 0, 0

    def __call__(self, u):
        self.points += len(u)
        self.calls += 1
        return self.log_density(u)


def gaussian(d, rho=0.9, spread=0.1, at=0.0):
    sd = np.geomspace(1, spread, d)
    covariance = ((1 - rho) * np.eye(d) + rho) * np.outer(sd, sd)
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    half = 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * d * LOG_2PI
    return lambda u: -0.5 * np.sum(((u - at) @ root.T) ** 2, axis=1) - half


def log_gammas(shapes):
    shapes = np.asarray(shapes, float)
    return lambda u: np.sum(shapes * u - np.exp(u) - gammaln(shapes), axis=1)


def balls(centres, sds, weights, d):
    def log_density(u):
        parts = [
            np.log(w) - 0.5 * np.sum((u - m) ** 2, axis=1) / s**2 - d * np.log(s) - 0.5 * d * LOG_2PI
            for m, s, w in zip(centres, sds, weights, strict=True)
        ]
        return np.logaddexp.reduce(parts, axis=0)

    return log_density


def banana(u):
    """Gaussian of standard deviations 3 and 1, bent; normalised."""
    bent = u[:, 1] - 0.05 * (u[:, 0] ** 2 - 9)
    return -0.5 * (u[:, 0] / 3) ** 2 - 0.5 * bent**2 - LOG_2PI - np.log(3)


def funnel(u):
    v, d = u[:, 0], u.shape[1] - 1
    top = -0.5 * v**2 / 9 - np.log(3) - 0.5 * LOG_2PI
    return top - 0.5 * np.exp(-v) * np.sum(u[:, 1:] ** 2, axis=1) - 0.5 * d * (v + LOG_2PI)


def batch_means(values):
    """Mean of (chain, draw) values, and its standard error from 10 batches of each chain."""
    means = values.reshape(len(values), 10, -1).mean(axis=2).ravel()
    return means.mean(), means.std(ddof=1) / np.sqrt(len(means))


def sampled(log_density, starts, seed=0, chains=4, draws=1000, **options):
    prepared = prepare(log_density, starts, **options)
    return prepared, run(prepared, log_density, np.random.default_rng(seed), chains, draws)


def near(estimate, truth, sigmas=4.5):
    mean, error = estimate
    assert error > 0
    assert abs(mean - truth) < sigmas * error, (mean, error, truth)


# What weights tell


def test_the_acceptance_is_the_mean_over_pairs(rng):
    log_weights = rng.normal(size=40)
    w = np.exp(log_weights)
    pairs = np.minimum(1, w / w[:, None])
    np.fill_diagonal(pairs, 0)
    np.testing.assert_allclose(acceptance(log_weights + 700), w / w.sum() @ pairs.sum(axis=1) / 39, rtol=1e-12)
    assert acceptance(np.zeros(9)) == pytest.approx(1, rel=1e-12)
    assert acceptance(np.full(9, -np.inf)) == 0


def test_the_evidence_has_the_error_of_the_delta_method(rng):
    log_weights = rng.normal(size=200)
    w = np.exp(log_weights)
    value, error = evidence(log_weights - 900)
    assert value == pytest.approx(np.log(w.mean()) - 900, rel=1e-12)
    assert error == pytest.approx(w.std(ddof=1) / w.mean() / np.sqrt(200), rel=1e-12)
    assert evidence(np.full(3, -np.inf)) == (-np.inf, np.inf)


@pytest.mark.parametrize("k", [-0.4, 0.2, 0.5, 0.9])
def test_pareto_k_is_the_shape_of_the_tail(k, rng):
    """Of a generalised Pareto every tail has its shape; that of 190 is known to (1 + k) / sqrt(190)."""
    estimates = [pareto_k(np.log(genpareto.rvs(k, size=4000, random_state=rng))) for _ in range(20)]
    towards = (190 * k + 10 * 0.5) / 200  # as if by ten observations at 1/2
    assert abs(np.mean(estimates) - towards) < 4.5 * (1 + k) / np.sqrt(190 * 20) + 0.02


def test_pareto_k_of_odd_weights():
    assert np.isnan(pareto_k(np.zeros(20)))
    assert pareto_k(np.zeros(100)) == -np.inf
    few = np.full(100, -np.inf)
    few[:10] = 0
    assert pareto_k(few) == np.inf


def test_a_verdict_says_why(rng):
    assert judged(rng.normal(size=1000) * 0.3).reason == ""
    assert "0.0% would be accepted" in judged(np.full(100, -np.inf)).reason
    assert "would be accepted" in judged(10 * rng.normal(size=1000)).reason
    heavy = np.log(20 + genpareto.rvs(1.2, size=1000, random_state=1))
    assert "Pareto k = 1." in judged(heavy).reason
    assert "halves" in judged(np.concatenate([rng.normal(size=500) * 0.1, 0.5 + rng.normal(size=500) * 0.1])).reason


# Proposals


def skewed(apart=False):
    return TMixture(
        np.array([0.3, 0.7]),
        np.array([[0.0, 1.0], [2.0, -1.0]]),
        np.array([[[1.0, 0.0], [0.5, 0.7]], [[0.6, 0.0], [-0.2, 1.1]]]),
        np.array([[0.8, -0.4], [0.0, 0.3]]),
        np.array([8.0, 40.0]),
        np.array([apart, False]),
    )


def test_a_component_that_is_not_skewed_is_a_multivariate_t(rng):
    factor = np.array([[1.0, 0, 0], [0.5, 0.7, 0], [-0.3, 0.2, 2.0]])
    one = TMixture(
        np.ones(1), np.ones((1, 3)), factor[None], np.zeros((1, 3)), np.array([5.0]), np.zeros(1, dtype=bool)
    )
    u = rng.normal(size=(50, 3)) * 3
    truth = multivariate_t.logpdf(u, np.ones(3), factor @ factor.T, df=5)
    np.testing.assert_allclose(one.log_density(u), truth, rtol=1e-12)


@pytest.mark.parametrize("apart", [False, True])
def test_a_mixture_is_a_density_and_draws_from_it(apart, rng):
    """On a grid of arsinh(u): the trapezoidal rule is spectral there, tails of all degrees of freedom included."""
    q = skewed(apart)
    t = np.linspace(-13, 13, 1301)
    grid = np.stack(np.meshgrid(np.sinh(t), np.sinh(t), indexing="ij"), axis=-1)
    p = np.exp(q.log_density(grid.reshape(-1, 2))).reshape(1301, 1301) * np.outer(np.cosh(t), np.cosh(t)) * 0.02**2
    assert p.sum() == pytest.approx(1, abs=1e-7)
    u = q.sample(rng, 20_000)
    for j in range(2):
        cdf = np.cumsum(p.sum(axis=1 - j))
        assert kstest(u[:, j], lambda x, c=cdf: np.interp(np.arcsinh(x), t + 0.01, c)).pvalue > 1e-4
    both = np.sum(p * (grid.sum(axis=-1) > 1.0))
    assert abs(np.mean(u.sum(axis=1) > 1) - both) < 4.5 * np.sqrt(both * (1 - both) / 20_000) + 1e-3  # the grid's edge


def test_quantiles_give_back_the_skewed_t_they_are_of():
    shift, scale, skew = np.array([1.0, -2.0, 0.0]), np.array([0.5, 3.0, 1.0]), np.array([0.9, -0.3, 0.0])
    levels = np.array([0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95])
    quantiles = shift + scale * np.sinh(np.arcsinh(stdtrit(8.0, levels))[:, None] + skew)
    for found, truth in zip(matched(quantiles, 8.0), (shift, scale, skew), strict=True):
        np.testing.assert_allclose(found, truth, atol=1e-12)


def test_weighted_quantiles_are_those_of_repeated_draws(rng):
    y, counts = rng.normal(size=(2, 5000)), rng.integers(1, 5, size=5000)
    repeated = np.quantile(np.repeat(y, counts, axis=1), [0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95], axis=1)
    np.testing.assert_allclose(weighted_quantiles(y, counts.astype(float)), repeated, atol=2e-3)


def test_tempering_leaves_good_weights_alone(rng):
    good, bad = 0.1 * rng.normal(size=300), 30 * rng.normal(size=300)
    np.testing.assert_allclose(tempered(good, 100), np.exp(good) / np.exp(good).sum(), rtol=1e-12)
    w = tempered(bad, 100)
    assert 99 < 1 / (w @ w) < 110


def test_a_scan_of_the_axes_finds_the_skewness_of_independent_coordinates(rng):
    target = log_gammas([0.5] * 6)
    mode = mixture(np.zeros(1), np.full((1, 6), np.log(0.5)), 2 * np.eye(6)[None])
    rates = []
    for fit in (mode, scanned(target, mode)):
        u = defended(fit).sample(rng, 2000)
        rates.append(acceptance(target(u) - defended(fit).log_density(u)))
    assert rates[0] < 0.25
    assert rates[1] > 0.7


def test_refitting_splits_a_component_in_two(rng):
    target = balls([-3.0, 3.0], [1.0, 0.5], [0.4, 0.6], 2)
    fit = mixture(np.zeros(1), np.zeros((1, 2)), 10 * np.eye(2)[None])
    for _ in range(2):
        q = defended(fit)
        u = q.sample(rng, 1500)
        fit = refitted(fit, u, target(u), target(u) - q.log_density(u))
    u = defended(fit).sample(rng, 2000)
    assert len(fit.weights) >= 2
    assert acceptance(target(u) - defended(fit).log_density(u)) > 0.8


# Modes


def test_modes_and_their_covariances(rng):
    target = gaussian(4, rho=0.99, spread=1e-3, at=7.0)
    (mode,) = find_modes(target, np.zeros((1, 4)), rng)
    sd = np.geomspace(1, 1e-3, 4)
    np.testing.assert_allclose(mode.at, 7, atol=1e-5)
    np.testing.assert_allclose(mode.covariance / np.outer(sd, sd), 0.01 * np.eye(4) + 0.99, rtol=1e-5)
    assert mode.log_mass == pytest.approx(0, abs=1e-5)
    assert mode.kind == "interior"


def test_every_mode_that_a_start_leads_to_is_found(rng):
    target = balls([-6.0, 0.0, 6.0], [1.0, 0.5, 2.0], [0.6, 0.1, 0.3], 4)
    modes = find_modes(target, np.array([[-4.0] * 4, [-5.0] * 4, [0.5] * 4, [4.0] * 4, [-6.0] * 4]), rng)
    assert [round(float(mode.at[0])) for mode in modes] == [-6, 6, 0]
    np.testing.assert_allclose(np.exp([mode.log_mass for mode in modes]), [0.6, 0.3, 0.1], rtol=0.02)


def test_a_narrow_far_mode_is_found_from_a_start_near_it(rng):
    target = balls([0.0, 8.0], [1.0, 0.02], [0.7, 0.3], 3)
    modes = find_modes(target, np.array([[0.0, 0, 0], [7.92, 8.05, 7.95]]), rng)
    assert [round(float(mode.at[0])) for mode in modes] == [0, 8]


def test_a_negligible_mode_is_dropped(rng):
    target = balls([-4.0, 4.0], [1.0, 1.0], [1.0, 1e-7], 2)
    assert len(find_modes(target, np.array([[-4.0, -4], [4, 4]]), rng)) == 1


@pytest.mark.parametrize(
    ("log_density", "kind"),
    [
        (lambda u: np.where((u > 0).all(axis=1), -u.sum(axis=1), -np.inf), "boundary"),
        (lambda u: np.where((np.abs(u) < 1).all(axis=1), 0.0, -np.inf), "boundary"),
        (lambda u: 0.0 * u[:, 0], "endless"),
        (lambda u: u[:, 0] - u[:, 1] ** 2, "endless"),
    ],
)
def test_a_mode_that_is_none_says_so(log_density, kind, rng):
    (mode,) = find_modes(log_density, np.full((1, 2), 0.7), rng)
    assert mode.kind == kind


# Chains


def test_the_recursion_is_that_of_metropolis_hastings(rng):
    log_weights, uniforms, first = rng.normal(size=(3, 50)), rng.random((3, 50)), rng.normal(size=3)
    at = accepted_at(log_weights, np.log(uniforms), first)
    for c in range(3):
        where, current = -1, first[c]
        for i in range(50):
            if uniforms[c, i] < np.exp(log_weights[c, i] - current):
                where, current = i, log_weights[c, i]
            assert at[c, i] == where


def test_runs_are_reproducible_and_those_of_other_seeds_are_other():
    target = log_gammas([1.0, 3.0])
    prepared, again = prepare(target, np.zeros((1, 2))), prepare(target, np.zeros((1, 2)))
    np.testing.assert_array_equal(prepared.vectors, again.vectors)
    one, same, other = (run(prepared, target, np.random.default_rng(s), 2, 100) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.vectors, same.vectors)
    assert not np.isin(one.vectors[one.accepted], other.vectors).any()
    assert one.vectors.shape == (2, 100, 2)
    np.testing.assert_array_equal(one.log_density, target(one.vectors.reshape(-1, 2)).reshape(2, 100))
    repeated = np.all(one.vectors[:, 1:] == one.vectors[:, :-1], axis=2)
    np.testing.assert_array_equal(repeated, ~one.accepted[:, 1:])


def test_the_size_of_a_call_is_bounded_and_changes_nothing():
    sizes = []

    def target(u):
        sizes.append(len(u))
        return gaussian(3)(u)

    small, whole = prepare(target, np.zeros((1, 3)), largest=50), prepare(gaussian(3), np.zeros((1, 3)))
    assert max(sizes) == 50
    np.testing.assert_allclose(small.log_weights, whole.log_weights, atol=1e-9)
    drawn = [run(whole, f, np.random.default_rng(0), 2, 300, largest=n) for f, n in ((target, 50), (gaussian(3), None))]
    np.testing.assert_array_equal(drawn[0].vectors, drawn[1].vectors)


@pytest.mark.parametrize("d", [2, 3, 5, 8, 12])
def test_gaussians(d):
    target = Counted(gaussian(d))
    prepared = prepare(target, np.full((1, d), 0.7))
    assert (target.points, target.calls) == (prepared.evaluations, prepared.calls)
    drawn = run(prepared, target, np.random.default_rng(d), 4, 1000)
    assert prepared.ok
    assert drawn.ok
    assert prepared.modes == 1
    assert prepared.calls <= 30
    assert prepared.evaluations <= 3000
    assert drawn.acceptance > 0.8
    assert drawn.accepted.mean() == pytest.approx(drawn.acceptance, abs=0.03)
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.05
    sd = np.geomspace(1, 0.1, d)
    for j in range(d):
        near(batch_means(drawn.vectors[:, :, j]), 0)
        near(batch_means(drawn.vectors[:, :, j] ** 2), sd[j] ** 2)
    near(batch_means(drawn.vectors[:, :, 0] * drawn.vectors[:, :, -1]), 0.9 * sd[0] * sd[-1])


def test_neither_a_far_start_nor_the_units_matter():
    units = np.array([1e4, 1e-4, 1.0, 1e2])
    prepared = prepare(lambda u: gaussian(4, at=50.0)(u / units), np.zeros((1, 4)))
    assert prepared.ok
    assert prepared.acceptance > 0.7
    assert abs(prepared.log_evidence - np.log(units).sum()) < 4.5 * prepared.log_evidence_se


@pytest.mark.parametrize("shapes", [[1, 1, 1], [0.5, 0.5], [0.5, 1, 2, 5, 20]])
def test_products_of_log_gammas(shapes):
    prepared, drawn = sampled(log_gammas(shapes), np.zeros((1, len(shapes))))
    assert prepared.ok
    assert prepared.evaluations <= 4500
    assert drawn.acceptance > 0.75
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.1
    for j, shape in enumerate(shapes):
        near(batch_means(drawn.vectors[:, :, j]), psi(shape))
        near(batch_means((drawn.vectors[:, :, j] - psi(shape)) ** 2), polygamma(1, shape))
        near(batch_means(np.exp(drawn.vectors[:, :, j])), shape)


def test_a_banana():
    prepared, drawn = sampled(banana, np.zeros((1, 2)))
    assert prepared.ok
    assert drawn.acceptance > 0.6
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.15
    near(batch_means(drawn.vectors[:, :, 0] ** 2), 9)
    near(batch_means(drawn.vectors[:, :, 1]), 0)
    near(batch_means(drawn.vectors[:, :, 1] ** 2), 1 + 0.05**2 * 162)


@pytest.mark.parametrize(
    ("centres", "sds", "masses"),
    [([-4.0, 4.0], [1.0, 0.5], [0.8, 0.2]), ([-6.0, 0.0, 6.0], [1.0, 0.5, 2.0], [0.55, 0.05, 0.4])],
)
def test_the_masses_of_separated_modes(centres, sds, masses):
    starts = np.array(centres)[:, None] + np.array([0.5, -0.5, 0.3])
    prepared, drawn = sampled(balls(centres, sds, masses, 3), starts)
    assert prepared.ok
    assert prepared.modes == len(centres)
    assert drawn.acceptance > 0.75
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.05
    nearest = np.argmin(np.abs(drawn.vectors.mean(axis=2)[..., None] - np.array(centres)), axis=2)
    for k, mass in enumerate(masses):
        near(batch_means((nearest == k).astype(float)), mass, sigmas=5)


def test_pilot_draws_that_lead_to_another_mode_are_followed():
    """The start climbs to the left mode; the right one, 7 standard deviations away, weighs as much."""
    found = [prepare(balls([-3.5, 3.5], [1.0, 1.0], [0.5, 0.5], 2), np.full((1, 2), -4.0), seed=s) for s in range(10)]
    assert all(p.modes == 2 and p.ok for p in found)
    assert all(abs(p.log_evidence) < 4.5 * p.log_evidence_se for p in found)


def test_a_narrow_mode_far_away_is_weighed():
    starts = np.array([[0.0, 0, 0], [7.92, 8.05, 7.95]])
    prepared, drawn = sampled(balls([0.0, 8.0], [1.0, 0.02], [0.7, 0.3], 3), starts)
    assert prepared.ok
    near(batch_means((drawn.vectors[:, :, 0] > 4).astype(float)), 0.3)
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.05


def test_the_funnel_is_right_or_refused():
    prepared = prepare(funnel, np.zeros((1, 10)))
    for seed in range(3):
        drawn = run(prepared, funnel, np.random.default_rng(seed), 4, 1000)
        right = abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se
        assert right or not prepared.ok
        assert prepared.ok or prepared.reason
        assert right or not drawn.ok


def test_a_support_with_a_wall():
    """Part of a Gaussian, cut along a slant, its mode cut off. And three exponentials, whose mode is a corner."""
    whole = gaussian(3, rho=0.3, spread=1.0)
    prepared, drawn = sampled(lambda u: np.where(u.sum(axis=1) > 0, whole(u + 0.2), -np.inf), np.ones((1, 3)))
    assert prepared.ok
    truth = np.log(ndtr(-0.6 / np.sqrt(3 * 1.6)))
    assert abs(drawn.log_evidence - truth) < 4.5 * drawn.log_evidence_se < 0.2

    prepared, drawn = sampled(lambda u: np.where((u > 0).all(axis=1), -u.sum(axis=1), np.nan), np.ones((1, 3)))
    assert prepared.found[0].kind == "boundary"
    assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se < 0.2
    near(batch_means(drawn.vectors[:, :, 1]), 1)


@pytest.mark.parametrize("d", [2, 5])
def test_a_product_of_cauchys_is_right_or_refused(d):
    def target(u):
        return -np.sum(np.log1p(u**2) + np.log(np.pi), axis=1)

    prepared = prepare(target, np.full((1, d), 0.3))
    for seed in range(3):
        drawn = run(prepared, target, np.random.default_rng(seed), 4, 1000)
        assert abs(drawn.log_evidence) < 4.5 * drawn.log_evidence_se or not (prepared.ok and drawn.ok)


@pytest.mark.parametrize(
    "log_density",
    [lambda u: -np.log1p(np.exp(-u)).sum(axis=1), lambda u: 0.0 * u[:, 0], lambda u: -np.log1p(np.abs(u[:, 0])) / 2],
    ids=["half flat", "flat", "too heavy a tail"],
)
def test_a_density_of_no_finite_mass_is_refused(log_density):
    prepared = prepare(log_density, np.zeros((1, 2)))
    assert not prepared.ok
    assert prepared.reason


def test_an_infinite_density_is_refused():
    def target(u):
        return np.where(np.abs(u).sum(axis=1) < 1e-9, np.inf, -0.5 * (u**2).sum(axis=1))

    prepared = prepare(target, np.zeros((1, 2)))
    assert not prepared.ok
    assert "infinite" in prepared.reason


def test_a_density_that_is_zero_everywhere_is_refused_by_a_sentence():
    with pytest.raises(RefusedError, match="zero at all points near the starts"):
        prepare(lambda u: np.full(len(u), np.nan), np.zeros((1, 2)))


def test_the_error_of_the_evidence_is_honest():
    """z-scores over 100 seeds are standard normal: their mean and their mean square are within 4.5 standard errors."""
    for target, start in ((gaussian(3), np.zeros((1, 3))), (log_gammas([0.5, 1, 4]), np.zeros((1, 3)))):
        prepared = prepare(target, start)
        runs = [run(prepared, target, np.random.default_rng([3, s]), 4, 500) for s in range(100)]  # more than pilots
        z = np.array([r.log_evidence / r.log_evidence_se for r in runs])
        assert abs(z.mean()) < 4.5 / np.sqrt(100)
        assert abs(np.mean(z**2) - 1) < 4.5 * np.sqrt(2 / 100)


def test_chains_start_in_equilibrium():
    """The first draws of 400 short chains have the moments of the target."""
    target = log_gammas([1.0, 3.0])
    drawn = run(prepare(target, np.zeros((1, 2))), target, np.random.default_rng(0), 400, 2)
    for j, shape in enumerate((1.0, 3.0)):
        first = drawn.vectors[:, 0, j]
        assert abs(first.mean() - psi(shape)) < 4.5 * np.sqrt(polygamma(1, shape) * (1 / 400 + 1 / 200))


@pytest.mark.parametrize(("d", "n"), [(6, 200), (25, 400)])
def test_a_log_concave_density_with_its_newton_step(d, n):
    rng = np.random.default_rng(d)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    rows = np.where(rng.random(n) < 1 / (1 + np.exp(-x @ rng.normal(size=d) / 3)), 1.0, -1.0)[:, None] * x
    target = Counted(lambda u: -np.logaddexp(0, -u @ rows.T).sum(axis=1) - 0.5 * np.sum(u**2, axis=1) / 4)

    def newton(u):
        p = 1 / (1 + np.exp(rows @ u))
        return rows.T @ p - u / 4, -(rows.T * (p * (1 - p))) @ rows - np.eye(d) / 4

    prepared = prepare(target, np.zeros((1, d)), newton=newton)
    drawn = run(prepared, target, np.random.default_rng(0), 4, 1000)
    assert prepared.ok
    assert prepared.modes == 1
    assert np.abs(newton(prepared.found[0].at)[0]).max() < 1
    assert drawn.acceptance > (0.8 if d == 6 else 0.5)
    score = rows.T @ (1 / (1 + np.exp(rows @ drawn.vectors.reshape(-1, d).T))) - drawn.vectors.reshape(-1, d).T / 4
    for j in range(d):  # E of the gradient of the log density is zero
        near(batch_means(score[j].reshape(4, 1000)), 0)


# By hand, against quadrature on a grid


def on_grid(target, low, high, points=400):
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    values = target(grid)
    p = np.exp(values - values.max())
    cell = np.prod([a[1] - a[0] for a in axes])
    return grid, p / p.sum(), np.log(p.sum() * cell) + values.max()


def test_pumps():
    """BUGS pumps: rates integrated out, a negative binomial is left; alpha ~ Exponential(1), beta ~ Gamma(0.1, 1)."""
    y = np.array([5, 1, 5, 14, 3, 19, 1, 1, 4, 22.0])
    t = np.array([94.3, 15.7, 62.9, 126, 5.24, 31.4, 1.05, 1.05, 2.1, 10.5])

    def target(u):
        a, b = np.exp(u[:, :1]), np.exp(u[:, 1:])
        pumps = gammaln(a + y) - gammaln(a) + a * np.log(b) - (a + y) * np.log(b + t)
        return pumps.sum(axis=1) - a[:, 0] + u[:, 0] + 0.1 * u[:, 1] - b[:, 0]

    prepared, drawn = sampled(target, np.zeros((1, 2)))
    assert prepared.ok
    assert prepared.evaluations < 1500
    assert drawn.acceptance > 0.8
    grid, p, log_evidence = on_grid(target, [-4, -9], [2.5, 3.5])
    alpha, beta = np.exp(grid.T) @ p
    assert alpha == pytest.approx(0.70, abs=0.02)  # as BUGS publishes
    assert beta == pytest.approx(0.93, abs=0.03)
    near(batch_means(np.exp(drawn.vectors[:, :, 0])), alpha)
    near(batch_means(np.exp(drawn.vectors[:, :, 1])), beta)
    near(batch_means(np.exp(drawn.vectors.sum(axis=2))), np.exp(grid.sum(axis=1)) @ p)
    assert abs(drawn.log_evidence - log_evidence) < 4.5 * drawn.log_evidence_se


def rats(u):
    """BUGS rats with its 62 Gaussian unknowns integrated out: a core of three log standard deviations.

    Given per-rat intercepts and slopes by least squares (orthogonal, for ages are centred), with variances around their
    means of v_a + v / 5 and v_b + v / 490, and N(0, 1000^2) on these means; inverse gammas (0.001, 0.001) on the
    variances.
    """
    intercepts, slopes, residual = RATS
    variances = np.exp(2 * u)
    total = -0.5 * 30 * 3 * np.log(variances[:, 2]) - 0.5 * residual / variances[:, 2]
    for k, (z, share) in enumerate(((intercepts, 5.0), (slopes, 490.0))):
        w = variances[:, k] + variances[:, 2] / share
        square = np.sum((z - z.mean()) ** 2)
        total -= 0.5 * 29 * np.log(w) + 0.5 * square / w + 0.5 * np.log(w + 30e6) + 0.5 * z.mean() ** 2 / (1e6 + w / 30)
    return total + np.sum(-0.002 * u - 0.001 / variances, axis=1)


def simulated_rats():
    rng = np.random.default_rng(30)
    x = np.arange(-14, 15, 7.0)
    y = rng.normal(242, 14, (30, 1)) + rng.normal(6.2, 0.5, (30, 1)) * x + rng.normal(0, 6, (30, 5))
    intercepts, slopes = y.mean(axis=1), y @ x / np.sum(x**2)
    return intercepts, slopes, np.sum((y - intercepts[:, None] - slopes[:, None] * x) ** 2)


RATS = simulated_rats()


@pytest.mark.parametrize("start", [[2.6, -0.7, 1.8], [0.0, 0.0, 0.0]])
def test_a_core_of_three_log_scales(start):
    target = Counted(rats)
    prepared = prepare(target, np.array([start]))
    drawn = run(prepared, target, np.random.default_rng(0), 4, 1000)
    assert prepared.ok
    assert prepared.acceptance > 0.8
    assert target.points < 2000 + 4000
    assert target.calls <= 60
    grid, p, log_evidence = on_grid(rats, [1.9, -9.0, 1.4], [3.5, 0.1, 2.2], points=100)  # a long tail of slopes
    for f in (lambda u: u, lambda u: u**2, np.exp):
        for j in range(3):
            near(batch_means(f(drawn.vectors[:, :, j])), f(grid[:, j]) @ p)
    assert abs(drawn.log_evidence - log_evidence) < 4.5 * drawn.log_evidence_se


def test_prepared_holds_what_it_says():
    prepared = prepare(gaussian(3), np.zeros((1, 3)))
    assert isinstance(prepared, Prepared)
    assert isinstance(prepared.proposal, Sieve)
    mixture = prepared.proposal.proposal
    np.testing.assert_allclose(
        prepared.log_weights, prepared.log_target - mixture.log_density(prepared.vectors), atol=1e-10
    )
    assert prepared.acceptance > acceptance(prepared.log_weights)
    assert prepared.pareto_k == pareto_k(prepared.log_weights)
    assert (prepared.log_evidence, prepared.log_evidence_se) == evidence(prepared.log_weights)


def test_a_log_scale_that_may_be_zero():
    """A scale hardly known: its log falls as an exponential, beyond what a t fitted to the body proposes."""

    def target(u):
        a, sigma = u[:, 0], np.exp(u[:, 1])
        return -0.5 * (a / 0.2) ** 2 - 0.5 * (sigma / 0.4) ** 4 - 0.5 * sigma**2 + u[:, 1]

    prepared = prepare(target, np.array([[0.0, -1.0]]))
    assert isinstance(prepared.proposal, Sieve)
    assert len(prepared.proposal.proposal.weights) > 2
    drawn = run(prepared, target, np.random.default_rng(1), 4, 4000)
    runs = np.diff(np.flatnonzero(drawn.accepted.ravel()))
    assert runs.max() < 40  # without a component for the tail, chains stay for hundreds of draws
    grid, p, log_evidence = on_grid(target, [-1.5, -14.0], [1.5, 0.5], points=500)
    near(batch_means(drawn.vectors[:, :, 1]), grid[:, 1] @ p)
    near(batch_means(drawn.vectors[:, :, 1] < -3), (grid[:, 1] < -3) @ p)
    assert abs(drawn.log_evidence - log_evidence) < 4.5 * drawn.log_evidence_se
