"""The collapsed rung: what is integrated, how the core is sampled, evidences and draws against quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import integrate, stats
from scipy.special import gammaln

import bayeskit as bk
from bayeskit.errors import RefusedError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elimination.eliminate import eliminate
from tests.inference.monte_carlo import LIMIT

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
FAILURES = np.array([5, 1, 5, 14, 3, 19, 1, 1, 4, 22])
HOURS = np.array([94.3, 15.7, 62.9, 126, 5.24, 31.4, 1.05, 1.05, 2.1, 10.5])


def schools():
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition({"se": ERROR, "y": EFFECT})


def pumps():
    m = bk.Model()
    hours = m.data("hours", dims="pump")
    alpha, beta = m.latent("alpha", bk.Exponential(1)), m.latent("beta", bk.Gamma(0.1, 1))
    rate = m.latent("rate", bk.Gamma(alpha, beta), dims="pump")
    m.observed("y", bk.Poisson(rate * hours), dims="pump")
    return m.condition({"hours": HOURS, "y": FAILURES})


def crossed():
    rng = np.random.default_rng(0)
    m = bk.Model()
    i, j, x = m.index("i", dims="obs"), m.index("j", dims="obs"), m.data("x", dims="obs")
    mu, b = m.latent("mu", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 10))
    si, sj, s = (m.latent(n, bk.HalfNormal(3)) for n in ("si", "sj", "s"))
    u, v = m.latent("u", bk.Normal(0, si), dims="i"), m.latent("v", bk.Normal(0, sj), dims="j")
    m.observed("y", bk.Normal(mu + b * x + u[i] + v[j], s), dims="obs")
    data = {"i": rng.integers(0, 9, 80), "j": rng.integers(0, 6, 80), "x": rng.normal(size=80)}
    return m.condition(data | {"y": rng.normal(size=80) + data["x"] + 0.3 * data["i"]})


def logistic_groups():
    rng = np.random.default_rng(1)
    m = bk.Model()
    g, x = m.index("g", dims="obs"), m.data("x", dims="obs")
    mu, b, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 2)), m.latent("tau", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Bernoulli(logit=a[g] + b * x), dims="obs")
    return m.condition({"g": rng.integers(0, 15, 60), "x": rng.normal(size=60), "y": rng.integers(0, 2, 60)})


def rat_tumours():
    m = bk.Model()
    n, a, b = m.data("n", dims="g"), m.latent("a", bk.Gamma(2, 0.5)), m.latent("b", bk.Gamma(2, 0.1))
    p = m.latent("p", bk.Beta(a, b), dims="g")
    m.observed("y", bk.Binomial(n, p), dims="g")
    return m.condition({"n": [20, 20, 19, 18, 27, 25, 24], "y": [0, 2, 1, 4, 3, 2, 6]})


# ---- what is integrated ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "core", "integrated"),
    [
        (schools, {"tau"}, {"mu", "theta"}),
        (pumps, {"alpha", "beta"}, {"rate"}),
        (crossed, {"si", "sj", "s"}, {"mu", "b", "u", "v"}),
        (logistic_groups, {"mu", "b", "tau"}, {"a"}),
        (rat_tumours, {"a", "b"}, {"p"}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_all_is_integrated_but_the_core(model, core, integrated):
    posterior = model()
    (component,) = posterior._plan.collapsed
    assert set(component.core) == core
    assert {n for p in component.pieces for n in p.names} == integrated
    held = [id(f) for p in component.pieces for f in p.factors]
    assert len(held) == len(set(held))
    text = posterior.explain()
    assert text.startswith("method: collapsed")
    for name in integrated:
        assert "integrated out" in posterior._plan.notes[name]
    assert "integrated out" in text


def test_scales_of_a_plate_go_where_they_leave_the_smaller_core():
    """One mean under ten scales: the scales are conjugate given it, and the mean is the core."""
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 10))
    v = m.latent("v", bk.InverseGamma(2, 1), dims="g")
    m.observed("y", bk.Normal(mu, np.sqrt(v)), dims=("obs", "g"))
    posterior = m.condition({"y": np.random.default_rng(0).normal(1, 2, (5, 10))})
    (component,) = posterior._plan.collapsed
    assert component.core == ("mu",)
    assert component.pieces[0].names == ("v",)


def test_what_is_not_collapsed_says_why():
    m = bk.Model(coords={"k": 20})
    rate = m.latent("rate", bk.LogNormal(0, 1), dims="k")
    m.observed("y", bk.Poisson(rate.cumsum("k")), dims="k")
    posterior = m.condition({"y": np.arange(20)})
    reason = r"the core \('rate'\) has 20 numbers, and proposals in bulk are for 12 at most"
    with pytest.raises(RefusedError, match=f"method='collapsed' cannot be honoured: {reason}"):
        posterior.sample(method="collapsed")
    assert "Not collapsed because" in " ".join(posterior.explain().split())
    found = eliminate(posterior._problem, ["rate"])
    assert not isinstance(found, Refusal)
    assert found.size == 20


# ---- against quadrature ---------------------------------------------------------------------------------------------


def log_marginal_of_tau(tau):
    variance = ERROR**2 + tau**2
    precision = 1 / 25 + np.sum(1 / variance)
    mean = np.sum(EFFECT / variance) / precision
    squares = np.sum(EFFECT**2 / variance) - mean**2 * precision
    logs = -0.5 * (np.log(25 * precision) + np.sum(np.log(2 * np.pi * variance)) + squares)
    return logs + stats.halfcauchy(scale=5).logpdf(tau), mean, 1 / precision


def test_a_core_of_one_number_is_integrated_to_the_last_digits():
    posterior = schools()
    evidence = integrate.quad(lambda t: np.exp(log_marginal_of_tau(t)[0] + 30), 0, np.inf, epsabs=0, epsrel=1e-11)[0]
    assert abs(posterior.log_evidence() - (np.log(evidence) - 30)) < 1e-8
    assert 0 <= posterior.log_evidence().se < 1e-8

    def expect(g):
        return integrate.quad(
            lambda t: g(t) * np.exp(log_marginal_of_tau(t)[0] + 30) / evidence, 0, np.inf, epsabs=0, epsrel=1e-10
        )[0]

    mean = expect(lambda t: log_marginal_of_tau(t)[1])
    np.testing.assert_allclose(posterior["tau"].mean(), expect(lambda t: t), rtol=1e-7)
    np.testing.assert_allclose(posterior["mu"].mean(), mean, rtol=1e-8)
    spread = expect(lambda t: log_marginal_of_tau(t)[2] + log_marginal_of_tau(t)[1] ** 2) - mean**2
    np.testing.assert_allclose(posterior["mu"].var(), spread, rtol=1e-8)
    draws = posterior.sample(4000, seed=1)["posterior"]
    for name in ("mu", "tau"):
        values = draws[name].values
        marginal = posterior[name]
        assert abs(values.mean() - marginal.mean()) < LIMIT * marginal.sd() / np.sqrt(values.size)
        pit = marginal.cdf(values.ravel())
        assert stats.kstest(pit, "uniform").pvalue > 1e-3
    theta = posterior["theta"]
    assert theta.mean().dims == ("school",)
    np.testing.assert_allclose(theta.cdf(theta.quantile(0.3)), 0.3, rtol=1e-9)


def test_the_evidence_of_two_numbers():
    """Pumps: the rates are integrated out, and the two numbers above them by a rule of quadrature."""

    def log_joint(log_a, log_b):
        a, b = np.exp(log_a)[..., None], np.exp(log_b)[..., None]
        logs = a * np.log(b) - (a + FAILURES) * np.log(b + HOURS) + gammaln(a + FAILURES) - gammaln(a)
        logs = np.sum(logs + FAILURES * np.log(HOURS) - gammaln(FAILURES + 1), axis=-1)
        return logs + stats.expon.logpdf(a[..., 0]) + stats.gamma(0.1).logpdf(b[..., 0]) + log_a + log_b

    nodes, weights = np.polynomial.legendre.leggauss(80)
    first, second = (-3.5 + 5.5 * (nodes + 1) / 2), (-6 + 9.5 * (nodes + 1) / 2)
    table = log_joint(first[:, None], second)
    total = np.log(weights @ np.exp(table - table.max()) @ weights * 5.5 * 9.5 / 4) + table.max()
    posterior = pumps()
    evidence = posterior.log_evidence()
    assert 0 < evidence.se < 0.02
    assert abs(evidence - total) < LIMIT * evidence.se
    tree = posterior.sample(2000, seed=1)
    assert tree.attrs["acceptance_rate"] > 0.5
    assert tree.attrs["pareto_k"] < 0.7
    assert tree["sample_stats"]["accepted"].shape == (4, 2000)
    p = np.exp(table - table.max()) * weights[:, None] * weights
    p /= p.sum()
    for name, value in (("alpha", np.exp(first)[:, None]), ("beta", np.exp(second)[None])):
        draws = tree["posterior"][name].values
        error = array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean")
        assert abs(draws.mean() - (p * value).sum()) < LIMIT * error


@pytest.mark.parametrize("model", [schools, pumps, crossed, logistic_groups, rat_tumours], ids=lambda f: f.__name__)
def test_lp_is_the_log_joint_density(model):
    posterior = model()
    tree = posterior.sample(20, seed=1)
    draws = {n: tree["posterior"][n].values.reshape(80, *v.shape) for n, v in posterior._problem.latents.items()}
    direct = posterior._problem.log_joint(draws).reshape(4, 20)
    np.testing.assert_allclose(tree["sample_stats"]["lp"], direct, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("model", [schools, pumps, crossed, logistic_groups, rat_tumours], ids=lambda f: f.__name__)
def test_the_plan_is_deterministic_and_draws_follow_the_seed(model):
    one, other = model(), model()
    assert one.explain() == other.explain()
    a, b, c = (p.sample(50, seed=s)["posterior"] for p, s in ((one, 1), (other, 1), (one, 2)))
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name], b[name])
        assert not np.array_equal(a[name], c[name])


def test_independent_components_are_sampled_apart():
    m = bk.Model()
    lam, p = m.latent("lam", bk.LogNormal(0, 1)), m.latent("p", bk.Beta(1, 1))
    a, b = m.latent("a", bk.Gamma(2, 1)), m.latent("b", bk.Gamma(2, 1))
    m.observed("n", bk.Poisson(lam))
    m.observed("k", bk.Binomial(5, p))
    m.observed("y", bk.Gamma(a, b), dims="obs")
    posterior = m.condition({"n": 3, "k": 2, "y": [0.5, 1.0, 2.0]})
    assert len(posterior._plan.collapsed) == 2 and len(posterior._plan.exact) == 1
    tree = posterior.sample(100, seed=1)
    assert set(tree["posterior"].data_vars) == {"lam", "p", "a", "b"}
    evidence = integrate.quad(lambda t: stats.poisson(t).pmf(3) * stats.lognorm(1).pdf(t), 0, np.inf)[0]
    np.testing.assert_allclose(posterior["lam"].cdf(np.inf), 1.0)
    rest = posterior._plan.collapsed[0].log_evidence()[0]
    np.testing.assert_allclose(rest, np.log(evidence), rtol=1e-7)


def test_what_lies_above_the_core_is_integrated_too():
    """The mean is integrated given the level below it, which is left: its support does not move with the mean."""
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("tau", bk.HalfNormal(1))
    level = m.latent("level", bk.Normal(mu, tau))
    m.observed("y", bk.Poisson(np.exp(level)), dims="obs")
    posterior = m.condition({"y": [1, 3, 5, 4]})
    (component,) = posterior._plan.collapsed
    assert component.core == ("tau", "level")
    tree = posterior.sample(1000, seed=1)
    swept = posterior.sample(400, tune=200, seed=2, method="gibbs")
    for name in ("mu", "tau", "level"):
        a, b = (t["posterior"][name].values for t in (tree, swept))
        errors = [array_stats.mcse(v, chain_axis=0, draw_axis=1, method="mean") for v in (a, b)]
        assert abs(a.mean() - b.mean()) < LIMIT * np.hypot(*errors)


@pytest.mark.parametrize("long", [False, True])
def test_a_plate_of_independent_cores(long):
    """Ten regressions with a variance each: every cell against quadrature over its own variance."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(10, 6)), rng.normal(1, 2, (10, 6))
    m = bk.Model()
    data = m.data("x", dims="obs" if long else ("g", "obs"))
    at = m.index("g", dims="obs") if long else None
    v = m.latent("v", bk.InverseGamma(2, 1), dims="g")
    a, b = m.latent("a", bk.Normal(0, 3), dims="g"), m.latent("b", bk.Normal(0, 3), dims="g")
    if long:
        m.observed("y", bk.Normal(a[at] + b[at] * data, np.sqrt(v[at])), dims="obs")
        posterior = m.condition({"g": np.repeat(np.arange(10), 6), "x": x.ravel(), "y": y.ravel()})
    else:
        m.observed("y", bk.Normal(a + b * data, np.sqrt(v)), dims=("g", "obs"))
        posterior = m.condition({"x": x, "y": y})
    assert "10 independent cores of one number" in " ".join(posterior.explain().split())
    u = np.linspace(-9, 30, 40_001)  # the trapezoidal rule over the whole line is exact but for rounding
    v_grid, total = np.exp(u)[:, None], 0.0
    for g in range(10):
        design = np.column_stack([np.ones(6), x[g]])
        values, axes = np.linalg.eigh(9 * design @ design.T)
        variances, scores = v_grid + values, axes.T @ y[g]
        logs = -0.5 * np.sum(np.log(2 * np.pi * variances) + scores**2 / variances, axis=1)
        weight = np.exp(logs + stats.invgamma(2).logpdf(v_grid[:, 0]) + u + 15)
        total += np.log(weight.sum() * (u[1] - u[0])) - 15
        mean_b = (9 * (axes.T @ x[g]) / variances) @ scores
        np.testing.assert_allclose(posterior["b"].mean()[g], weight @ mean_b / weight.sum(), rtol=1e-6)
        np.testing.assert_allclose(posterior["v"].mean()[g], weight @ v_grid[:, 0] / weight.sum(), rtol=1e-6)
    np.testing.assert_allclose(posterior.log_evidence(), total, rtol=1e-8)
    draws = posterior.sample(1000, seed=1)["posterior"]
    for name in ("a", "b", "v"):
        pit = posterior[name].cdf(draws[name].transpose("chain", "draw", "g"))
        assert stats.kstest(np.asarray(pit)[..., 0].ravel(), "uniform").pvalue > 1e-3
        assert stats.kstest(np.asarray(pit)[..., 9].ravel(), "uniform").pvalue > 1e-3


def test_derived_quantities_after_a_core_of_one_number():
    m = bk.Model(coords={"school": list("ABCDEFGH")})
    se = m.data("se", dims="school")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.derived("excess", theta - mu)
    m.derived("gap", theta[{"school": "A"}] - theta[{"school": "B"}])
    m.derived("log_tau", np.log(tau))
    m.derived("mixed", tau * mu)
    m.observed("y", bk.Normal(theta, se), dims="school")
    posterior = m.condition({"se": ERROR, "y": EFFECT})
    np.testing.assert_allclose(
        posterior["excess"].mean(), posterior["theta"].mean() - posterior["mu"].mean(), atol=1e-9
    )
    np.testing.assert_allclose(posterior["log_tau"].cdf(0.7), posterior["tau"].cdf(np.exp(0.7)), rtol=1e-10)
    draws = posterior.sample(4000, seed=2)["posterior"]
    for name in ("gap", "excess"):
        marginal, values = posterior[name], draws[name]
        pit = np.asarray(marginal.cdf(values)).reshape(16_000, -1)
        assert stats.kstest(pit[:, 0], "uniform").pvalue > 1e-3
        np.testing.assert_allclose(marginal.cdf(marginal.quantile(0.2)), 0.2, rtol=1e-8)
    with pytest.raises(RefusedError, match=r"tau \* mu is no linear form of one Gaussian block"):
        posterior["mixed"]
