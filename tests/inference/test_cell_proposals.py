"""Draws of cells that are near normal: their densities, and the estimates that come with them, against quadrature."""

import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.inference.collapsed.points import bulk_core
from bayeskit.inference.core.bulk import prepare, run
from bayeskit.inference.elimination import cell_proposals
from bayeskit.inference.elimination.cell_modes import find_modes
from bayeskit.inference.elimination.cell_panels import integrate_panels
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.linear_cells import Layout, LinearCells, LogitRows, LogRows
from bayeskit.inference.elimination.plates import plate_integral
from tests.inference.monte_carlo import LIMIT

N = 1500


def cells_of(kind, *, most=3.0, seed=0):
    """Cells of one row: all sorts of counts, no successes and nothing but successes, spreads from nothing to huge."""
    rng = np.random.default_rng(seed)
    n = np.round(np.exp(rng.uniform(0, np.log(200), N)))
    centre, spread = rng.normal(0, 2, N), np.exp(rng.uniform(np.log(1e-4), np.log(most), N))
    eta = np.clip(centre + spread * rng.normal(size=N), -500, 500)
    if kind is LogitRows:
        y, weight = rng.binomial(n.astype(int), 1 / (1 + np.exp(-eta))).astype(float), n
        y[:100], y[100:200] = 0.0, n[100:200]
    else:
        y, weight = rng.poisson(np.exp(np.minimum(eta, 8))).astype(float), None
        y[:100] = 0.0
    return LinearCells(centre, spread, (kind(Layout(np.ones(N, int)), np.zeros(N), y, weight, None, None),))


def estimated(cells, seed=1):
    start, scale = np.zeros(cells.size), np.ones(cells.size)
    return cell_proposals.estimate(cells, start, scale, 1e-8, np.random.default_rng(seed))


def far_of(cells):
    """The cells that are left to exact integrals and draws."""
    return np.flatnonzero(estimated(cells).far)


def exact(cells):
    modes = find_modes(cells, np.zeros(cells.size), np.ones(cells.size))
    with np.errstate(over="ignore"):
        return integrate_panels(cells, modes.at, modes.scale, 1e-10).log_mass


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
@pytest.mark.parametrize("most", [0.3, 3.0, 1e3])
def test_estimates_are_unbiased_and_of_little_noise(kind, most):
    cells = cells_of(kind, most=most)
    truth = exact(cells)
    found = [estimated(cells, seed) for seed in range(30)]
    near = np.setdiff1d(np.arange(N), far_of(cells))
    assert near.size > {0.3: 0.99, 3.0: 0.9, 1e3: 0.5}[most] * N
    ratios = np.expm1(np.stack([f.log_mass[near] for f in found]) - truth[near])
    assert np.abs(ratios.mean() / (ratios.std() / np.sqrt(ratios.size))) < LIMIT
    noise = (ratios**2).mean(axis=0)
    assert noise.mean() < 2e-4
    assert np.quantile(noise, 0.99) < 2e-3
    assert noise.max() < 0.1
    assert ratios.max() < 3.0  # none weighs so much that a chain would stay with it


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
def test_what_is_far_from_normal_is_known_before_it_is_drawn(kind):
    """Whether a cell counts as far must not depend on its draw, or the estimates would not be unbiased."""
    cells = cells_of(kind, most=100.0)
    far = far_of(cells)
    assert 0 < far.size < N
    assert np.array_equal(estimated(cells, 2).far, estimated(cells, 3).far)
    lonely = np.flatnonzero((cells.spread > 30.0) & (cells.rows[0].y == 0))
    assert np.isin(lonely, far).all()  # under a wide prior, no success at all leaves half a normal


def test_draws_have_the_density_that_is_stated():
    """The density of one cell, by its draws' distribution function and by their log density."""
    rows = LogitRows(Layout(np.array([1])), np.array([0.0]), np.array([3.0]), np.array([20.0]), None, None)
    cell = LinearCells(np.array([-1.0]), np.array([0.7]), (rows,))
    many = cell.take(np.zeros(20_000, int))
    found = estimated(many)
    assert not far_of(many).size
    assert found.log_mass == pytest.approx(many.log_density(found.z[None])[0] - found.log_density, abs=1e-12)
    order = np.argsort(found.z)
    z, density = found.z[order], np.exp(found.log_density[order])
    cdf = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(z))])
    assert cdf[-1] == pytest.approx(1.0, abs=1e-3)
    assert stats.kstest(np.interp(found.z, z, cdf), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
def test_the_middle_of_the_change_of_variable_is_near_the_integral(kind):
    cells = cells_of(kind, most=30.0)
    found = cell_proposals.nearly(cells, np.zeros(N), np.ones(N), 1e-8)
    off, far = np.abs(found.log_mass - exact(cells)), far_of(cells)
    assert far.size > 0.15 * N
    assert off.max() < 0.05  # those far from normal are integrated where they are many
    assert np.median(off) < 1e-4
    few = np.concatenate([np.setdiff1d(np.arange(N), far), far[:50]])
    found = cell_proposals.nearly(cells.take(few), np.zeros(few.size), np.ones(few.size), 1e-8)
    off = np.abs(found.log_mass - exact(cells.take(few)))
    assert off[:-50].max() < 0.02
    assert np.median(off[-50:]) < 0.3


def test_no_spread_at_all():
    cells = cells_of(LogitRows)
    still = LinearCells(cells.centre, np.zeros(N), cells.rows)
    found = estimated(still)
    assert not far_of(still).size
    assert found.log_mass == pytest.approx(exact(still), abs=1e-8)


# ---- plates and chains --------------------------------------------------------------------------------------------
def overdispersed(family, y, n=20):
    m = bk.Model()
    a, sigma = m.latent("a", bk.Normal(0, 2)), m.latent("sigma", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, sigma), dims="cell")
    child = bk.Binomial(n, logit=a + b) if family == "binomial" else bk.Poisson(np.exp(a + b))
    m.observed("y", child, dims="cell")
    return m.condition({"y": y})


def core_of(posterior):
    problem = posterior._problem
    piece = plate_integral(problem, "b", ["a", "sigma"])
    return bulk_core(problem, CollapsedDensity(problem, ["a", "sigma"], [piece])), piece


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_the_density_identity_of_estimates(family):
    """Factors at the draw = log estimate + log density of the draw; and estimates are near the integral."""
    posterior = overdispersed(family, [3, 5, 9, 14, 4, 7, 11, 6])
    problem = posterior._problem
    piece = plate_integral(problem, "b", ["a", "sigma"])
    piece.estimates = True
    rng = np.random.default_rng(3)
    env = {**problem.env, "a": rng.normal(0.5, 0.5, 400), "sigma": np.exp(rng.normal(-1, 1.0, 400))}
    values, log_density, estimate = piece.propose(env, rng, 400)
    joint = sum(f.total({**env, **values}) for f in piece.factors)
    assert joint == pytest.approx(estimate + log_density, abs=1e-8)
    assert np.median(np.abs(estimate - piece.log_marginal(env))) < 0.02


def test_estimates_are_used_where_they_are_good_and_only_there():
    core, piece = core_of(overdispersed("binomial", [3, 5, 9, 14, 4, 7, 11, 6]))
    assert core.prepared.ok
    assert piece.estimates
    core, piece = core_of(overdispersed("binomial", [0, 1, 1, 0, 1, 0, 1, 1] * 40, n=1))  # nearly flat: noise 0.2
    assert core.prepared.ok
    assert not piece.estimates
    u = core.prepared.vectors[:50]
    again, _, _ = core.density.with_draws(u, np.random.default_rng(0))
    assert again == pytest.approx(core.density(u), abs=piece.tolerance)  # estimates would be off by tenths


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_the_density_that_modes_are_looked_for_by_is_near(family):
    core, _ = core_of(overdispersed(family, np.random.default_rng(2).poisson(6, 40)))
    u = core.prepared.vectors[:100]
    assert core.density.roughly(u) == pytest.approx(core.density(u), abs=0.3)
    assert core.density.roughly(u)[0] != core.density(u)[0]


def test_a_bend_out_of_sight():
    """At the mode nothing tells that one row falls off steeply at four widths from it."""
    rows = LogRows(Layout(np.array([1])), np.array([-40.0]), np.array([0.0]), None, None, None)
    assert far_of(LinearCells(np.array([0.0]), np.array([10.0]), (rows,))).size == 1


@pytest.mark.parametrize("noise", [0.1, 0.7])
def test_a_chain_of_noisy_estimates_is_right(noise):
    """The draws that come with estimates and those of the core are of their joint density, however noisy it is."""
    coming = np.random.default_rng(5)
    seen = []

    def log_density(u):
        return -0.5 * (u**2).sum(axis=1)

    def estimated(u):
        seen.append(coming.standard_normal(len(u)))  # under the target its mean is `noise`, its variance one
        return log_density(u) + noise * seen[-1] - 0.5 * noise**2

    prepared = prepare(log_density, np.zeros((1, 2)))
    result = run(prepared, estimated, np.random.default_rng(6), 4, 10_000)
    z = np.concatenate(seen)[result.rows].ravel()
    u = result.vectors.reshape(-1, 2)
    for values, mean in ((z, noise), (z**2, 1 + noise**2), (u[:, 0], 0.0), (u[:, 1] ** 2, 1.0), (u[:, 0] * z, 0.0)):
        batches = values.reshape(100, -1).mean(axis=1)
        assert np.abs(batches.mean() - mean) < LIMIT * batches.std(ddof=1) / 10
    stays = ~result.accepted[:, 1:]
    assert (np.diff(result.rows, axis=1) == 0)[stays].all()
