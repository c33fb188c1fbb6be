"""Cases that once went wrong on the collapsed rung, each against an answer from elsewhere."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import integrate, stats

import bayeskit as bk
from bayeskit.errors import RefusedError, SamplingWarning
from bayeskit.inference.collapsed.points import BulkCore
from bayeskit.inference.elimination.eliminate import eliminations
from bayeskit.inference.unconstrained import Unconstrained, bounds_depend_on
from tests.inference.monte_carlo import LIMIT


def core_of(posterior):
    (component,) = posterior._plan.collapsed
    return component.core


def agrees(posterior, names, draws=1000, swept=1000):
    """Whether means agree with those of a sweep, in standard errors of both."""
    tree = posterior.sample(draws, seed=1)["posterior"]
    other = posterior.sample(swept, tune=300, seed=2, method="gibbs")["posterior"]
    for name in names:
        a, b = (np.clip(t[name].values, -50, 50) for t in (tree, other))
        errors = [array_stats.mcse(v, chain_axis=0, draw_axis=1, method="mean") for v in (a, b)]
        np.testing.assert_array_less(np.abs(a.mean((0, 1)) - b.mean((0, 1))), LIMIT * np.hypot(*errors))
    return True


# ---- what lies above the core ---------------------------------------------------------------------------------------


def test_a_precision_above_a_core_is_integrated_out():
    """A ridge under t noise: the coefficients are left, and their precision is integrated given them."""
    rng = np.random.default_rng(0)
    m = bk.Model()
    x = m.data("x", dims=("obs", "k"))
    phi, s = m.latent("phi", bk.Gamma(2, 1)), m.latent("s", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, tau=phi), dims="k")
    m.observed("y", bk.StudentT(4, x @ b, s), dims="obs")
    rows = rng.normal(size=(20, 2))
    posterior = m.condition({"x": rows, "y": rows @ [1.0, -0.5] + 0.5 * rng.normal(size=20)})
    assert core_of(posterior) == ("s", "b")
    assert agrees(posterior, ["phi", "s", "b"])


def test_a_covariance_above_a_core_is_integrated_out():
    m = bk.Model(coords={"k": 2})
    precision = m.latent("precision", bk.Wishart(3, rate=np.eye(2)), dims=("k", "k_"))
    b = m.latent("b", bk.MvNormal(0, tau=precision), dims=("g", "k"))
    m.observed("y", bk.Poisson(np.exp((m.data("x", dims=("g", "t", "k")) * b).sum("k"))), dims=("g", "t"))
    rng = np.random.default_rng(3)
    x = np.stack([np.ones((3, 5)), rng.normal(size=(3, 5))], -1)
    posterior = m.condition({"x": x, "y": rng.poisson(2, (3, 5))})
    assert core_of(posterior) == ("b",)
    tree = posterior.sample(50, seed=1)
    draws = {n: tree["posterior"][n].values.reshape(200, *v.shape) for n, v in posterior._problem.latents.items()}
    direct = posterior._problem.log_joint(draws).reshape(4, 50)
    np.testing.assert_allclose(tree["sample_stats"]["lp"], direct, rtol=1e-8)


def test_an_end_of_a_core_is_not_integrated_out():
    """Where a latent ends at another, that one stays in the core: it says where the unconstrained scale begins."""
    m = bk.Model()
    end = m.latent("end", bk.LogNormal(0, 1), dims="g")
    x = m.latent("x", bk.Uniform(0, end), dims="g")
    m.observed("y", bk.Normal(x, 0.5), dims="g")
    posterior = m.condition({"y": [0.5, 1.5]})
    assert bounds_depend_on(posterior._problem, "x", "end")
    for found in eliminations(posterior._problem, ["end", "x"]):
        assert "end" in found.core or "x" not in found.core

    def marginal(end, y):
        return stats.lognorm(1).pdf(end) * (stats.norm.cdf(end, y, 0.5) - stats.norm.cdf(0, y, 0.5)) / end

    total = sum(np.log(integrate.quad(marginal, 0, np.inf, args=(y,), limit=200)[0]) for y in (0.5, 1.5))
    evidence = posterior.log_evidence()
    assert abs(evidence - total) < LIMIT * evidence.se + 1e-6


def test_the_smaller_core_wins_whatever_lies_above_it():
    """Two random intercepts: their scale is the core, though it could be integrated given them."""
    m = bk.Model()
    s = m.latent("s", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(0, s), dims="g")
    m.observed("y", bk.Binomial(5, logit=a), dims=("g", "t"))
    posterior = m.condition({"y": [[1, 3, 1], [3, 2, 1]]})
    assert core_of(posterior) == ("s",)


def test_another_core_is_tried_where_the_first_cannot_be_sampled(monkeypatch):
    from bayeskit.inference.collapsed import choose
    from bayeskit.inference.conjugacy import Refusal

    def first_refused(problem, density):
        tried.append(density.names)
        return Refusal("it is the first") if len(tried) == 1 else original(problem, density)

    tried, original = [], choose.bulk_core
    monkeypatch.setattr(choose, "bulk_core", first_refused)
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("tau", bk.HalfNormal(1))
    level = m.latent("level", bk.Normal(mu, tau))
    m.observed("y", bk.Poisson(np.exp(level)), dims="obs")
    posterior = m.condition({"y": [1, 3, 5, 4]})
    assert core_of(posterior) == tuple(tried[1]) != tuple(tried[0])


# ---- cores that are plates of their own -----------------------------------------------------------------------------


def test_a_plate_that_is_all_there_is():
    """Independent cells with two peaks each: no sweep would find both."""
    m = bk.Model(coords={"k": 2})
    a = m.latent("a", bk.Normal(0, 3), dims="k")
    m.observed("y", bk.Normal(a**2, 0.1), dims="k")
    posterior = m.condition({"y": [4.0, 9.0]})
    assert core_of(posterior) == ("a",)
    total = 0.0
    for y in (4.0, 9.0):
        grid = np.linspace(0, 6, 600_001)
        total += np.log(2 * np.sum(stats.norm(0, 3).pdf(grid) * stats.norm(grid**2, 0.1).pdf(y)) * (grid[1] - grid[0]))
    np.testing.assert_allclose(posterior.log_evidence(), total, rtol=1e-8)
    draws = posterior.sample(1000, seed=1)["posterior"]["a"].values
    np.testing.assert_allclose((draws > 0).mean((0, 1)), 0.5, atol=0.04)
    assert np.isfinite(posterior.laplace().log_evidence)


# ---- terms of the density -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("laid", ["one number", "a vector"])
def test_one_concentration_for_all_shares(laid):
    m = bk.Model(coords={"k": 3, "g": 5})
    c, f = m.latent("c", bk.HalfCauchy(2)), m.latent("f", bk.HalfCauchy(2))
    alpha = c * f if laid == "one number" else bk.stack([c * f, c * f, c * f], dim="k")
    p = m.latent("p", bk.Dirichlet(alpha), dims=("g", "k"))
    m.observed("y", bk.Multinomial(10, p), dims=("g", "k"))
    y = np.random.default_rng(0).multinomial(10, [0.2, 0.3, 0.5], 5)
    posterior = m.condition({"y": y})
    density = posterior._plan.collapsed[0].density
    a = 1.5
    expected = (
        stats.dirichlet_multinomial([a, a, a], 10).logpmf(y).sum() + stats.halfcauchy(0, 2).logpdf([1.0, a]).sum()
    )
    found = density(np.log([[1.0, a]]))[0] - np.log(a)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    tree = posterior.sample(20, seed=0)
    draws = {n: tree["posterior"][n].values.reshape(80, *v.shape) for n, v in posterior._problem.latents.items()}
    np.testing.assert_allclose(
        tree["sample_stats"]["lp"].values.ravel(), posterior._problem.log_joint(draws), rtol=1e-9
    )


def test_terms_of_other_components_stay_out():
    m = bk.Model()
    s, t = m.latent("s", bk.HalfNormal(2)), m.latent("t", bk.HalfNormal(2))
    m.factor("near_one", -2 * np.log(s) ** 2)
    m.factor("nearer", -3 * np.log(t) ** 2)
    m.require(s > 0.2)
    m.observed("y", bk.Normal(0, s), dims="i")
    m.observed("z", bk.Laplace(1, t), dims="j")
    posterior = m.condition({"y": [1.0, 2.0], "z": [0.0, 3.0, 1.0]})

    def one(s):
        return stats.halfnorm(0, 2).pdf(s) * np.exp(-2 * np.log(s) ** 2) * np.prod(stats.norm(0, s).pdf([1.0, 2.0]))

    def other(t):
        likelihood = np.prod(stats.laplace(1, t).pdf([0.0, 3.0, 1.0]))
        return stats.halfnorm(0, 2).pdf(t) * np.exp(-3 * np.log(t) ** 2) * likelihood

    total = np.log(integrate.quad(one, 0.2, 20, limit=200)[0]) + np.log(integrate.quad(other, 1e-6, 20, limit=200)[0])
    np.testing.assert_allclose(posterior.log_evidence(), total, rtol=1e-6)
    tree = posterior.sample(50, seed=1)
    draws = {n: tree["posterior"][n].values.ravel() for n in ("s", "t")}
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values.ravel(), posterior._problem.log_joint(draws))


# ---- numbers that break down ----------------------------------------------------------------------------------------


def test_a_matrix_that_rounds_to_a_singular_one_is_outside():
    m = bk.Model(coords={"k": 2})
    cov = m.latent("cov", bk.InverseWishart(5, np.eye(2)), dims=("k", "k_"))
    m.observed("y", bk.MvNormal(0, cov=cov), dims=("obs", "k"))
    problem = m.condition({"y": np.eye(2)})._problem
    scale = Unconstrained(problem, ["cov"])
    u = np.array([[0.0, 0.3, 0.1], [0.0, 1e9, -5.0], [1.0, 0.0, 0.0]])
    _, jacobian = scale.unpack(u, problem.env)
    assert np.isfinite(jacobian).tolist() == [True, False, True]


def test_a_fit_that_breaks_down_goes_down_a_rung(monkeypatch):
    from bayeskit.inference.collapsed import points

    def broken(*_, **__):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr(points, "prepare", broken)
    m = bk.Model()
    a, b = m.latent("a", bk.Gamma(2, 1)), m.latent("b", bk.LogNormal(0, 1))
    m.observed("y", bk.Gamma(a, b), dims="obs")
    posterior = m.condition({"y": [1.0, 2.0]})
    assert posterior._plan.method in ("gibbs", "metropolis")
    with pytest.raises(RefusedError, match="no proposal could be fitted: Matrix is not positive definite"):
        posterior.sample(method="collapsed")


def test_a_chain_that_stays_is_told(monkeypatch):
    m = bk.Model()
    a, b = m.latent("a", bk.Gamma(2, 1)), m.latent("b", bk.LogNormal(0, 1))
    m.observed("y", bk.Gamma(a, b), dims="obs")
    posterior = m.condition({"y": [1.0, 2.0, 0.7]})
    (component,) = posterior._plan.collapsed
    assert isinstance(component, BulkCore)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.sample(500, seed=1)
    whole = component.density.with_draws

    def high_where_chains_start(u, rng):
        found, *drawn = whole(u, rng)
        return found + 20.0 * (len(u) == 4), *drawn  # no proposal is as good

    monkeypatch.setattr(component.density, "with_draws", high_where_chains_start)
    with pytest.warns(SamplingWarning, match="a chain stayed at one point for [0-9]+ of its 500 draws"):
        posterior.sample(500, seed=1)


# ---- modes ----------------------------------------------------------------------------------------------------------


def test_the_mode_of_a_precision_matrix():
    y = np.random.default_rng(0).normal(size=(20, 2))
    m = bk.Model(coords={"k": 2})
    precision = m.latent("precision", bk.Wishart(4, rate=np.eye(2)), dims=("k", "k_"))
    m.observed("y", bk.MvNormal(0, tau=precision), dims=("obs", "k"))
    posterior = m.condition({"y": y})
    mode = posterior.mode()
    np.testing.assert_allclose(mode.values["precision"], (24 - 3) * np.linalg.inv(np.eye(2) + y.T @ y), rtol=1e-5)
    assert mode.covariance is None
    assert posterior.mode("unconstrained").covariance.shape == (3, 3)


def test_the_mode_of_shares():
    m = bk.Model(coords={"k": 3})
    p = m.latent("p", bk.Dirichlet([2, 2, 2]), dims="k")
    m.observed("y", bk.Multinomial(10, p), dims="k")
    mode = m.condition({"y": [3, 5, 2]}).mode()
    np.testing.assert_allclose(mode.values["p"], np.array([4, 6, 3]) / 13, rtol=1e-5)
    assert mode.covariance is None


def test_a_mode_below_what_is_profiled_out():
    """The core's prior has its mean in the Gaussian block: the climb reads no support from it."""
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 3)), m.latent("s", bk.Gamma(5, 5))
    e = m.latent("e", bk.Normal(mu, s), dims="g")
    m.observed("y", bk.Poisson(np.exp(e)), dims=("g", "t"))
    y = np.array([[3, 5], [4, 2], [9, 7]])
    mode = m.condition({"y": y}).mode()
    values = {n: v.values for n, v in mode.values.items()}

    def log_joint(mu, s, e):
        prior = stats.norm(0, 3).logpdf(mu) + stats.gamma(5, scale=0.2).logpdf(s) + stats.norm(mu, s).logpdf(e).sum()
        return prior + stats.poisson(np.exp(e)[:, None]).logpmf(y).sum()

    top = log_joint(**values)
    assert abs(top - mode.log_density) < 1e-8
    rng = np.random.default_rng(1)
    for _ in range(200):
        near = {n: v + 1e-3 * rng.normal(size=v.shape) for n, v in values.items()}
        assert log_joint(**near) < top


def test_a_density_without_a_top_says_so():
    rng = np.random.default_rng(0)
    m = bk.Model()
    i, j = m.index("i", dims="obs"), m.index("j", dims="obs")
    si, sj, s = (m.latent(n, bk.HalfCauchy(2)) for n in ("si", "sj", "s"))
    u, v = m.latent("u", bk.Normal(0, si), dims="i"), m.latent("v", bk.Normal(0, sj), dims="j")
    m.observed("y", bk.Normal(u[i] + v[j], s), dims="obs")
    data = {"i": rng.integers(0, 4, 30), "j": rng.integers(0, 3, 30), "y": rng.normal(size=30)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RefusedError, match="rises towards the edge of the support of 'si', 'sj', 's'"):
            m.condition(data).mode()


# ---- far out --------------------------------------------------------------------------------------------------------


def test_concentrations_far_out_have_the_density_of_their_limits():
    """Shares of concentration k become their mean, and rates too: log gammas of 1e30 have no digits to lose."""
    y, n = np.array([3, 5, 1]), 10
    m = bk.Model()
    mean, k = m.latent("mean", bk.Uniform(0, 1)), m.latent("k", bk.Pareto(1.5, 1))
    p = m.latent("p", bk.Beta(mean * k, (1 - mean) * k), dims="g")
    m.observed("y", bk.Binomial(n, p), dims="g")
    density = m.condition({"y": y})._plan.collapsed[0].density
    for far in (25.0, 40.0, 70.0):
        u = np.array([[-0.4, far]])
        values, jacobian = density.scale.unpack(u, density.problem.env)
        share = values["mean"][0]
        prior = stats.pareto(1.5).logpdf(values["k"][0])
        limit = stats.binom(n, share).logpmf(y).sum() + prior + jacobian[0]
        np.testing.assert_allclose(density(u), limit, rtol=1e-9)

    m = bk.Model()
    alpha, beta = m.latent("alpha", bk.HalfCauchy(1)), m.latent("beta", bk.HalfCauchy(1))
    rate = m.latent("rate", bk.Gamma(alpha, beta), dims="g")
    m.observed("y", bk.Poisson(rate), dims="g")
    density = m.condition({"y": y})._plan.collapsed[0].density
    for far in (25.0, 40.0, 70.0):
        u = np.array([[far + 1.0, far]])
        limit = stats.poisson(np.e).logpmf(y).sum() + stats.halfcauchy.logpdf(np.exp(u)).sum() + u.sum()
        np.testing.assert_allclose(density(u), limit, rtol=1e-9)


def test_a_shoulder_that_few_proposals_meet_is_reported():
    """Where nu is 5 to 40 lies 0.6 % of the mass: some runs meet it once, and stay. Those must say so, no others."""
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 5)), m.latent("s", bk.HalfNormal(2))
    nu = m.latent("nu", bk.Gamma(2, 0.1))
    m.observed("y", bk.StudentT(nu, mu, s), dims="obs")
    posterior = m.condition({"y": [0.1, -0.3, 0.5, 0.2, -0.6, 0.4, 9.0, -0.1, 0.0, 0.3]})
    for seed in range(8):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            draws = posterior.sample_arrays(1000, seed=seed)
        size = float(array_stats.ess(draws["nu"], chain_axis=0, draw_axis=1))
        assert size > 1000 or any(w.category is SamplingWarning for w in found)
        assert size < 2500 or not found
