"""Pairs inside larger models: a plate integrated out under a core against Gibbs sweeps, and evidence by quadrature."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayeskit as bk
from tests.inference.test_rungs_agree import assert_agree, draws_of

RNG = np.random.default_rng(12)
CODES = np.arange(24) % 4


def upper_ends():
    m = bk.Model(coords={"g": 4})
    a = m.latent("a", bk.Gamma(3, 1))
    x = m.latent("x", bk.Pareto(a, 1), dims="g")
    m.observed("y", bk.Uniform(0, 2 * x[m.index("row", dims="obs", into="g")]), dims="obs")
    return m.condition({"y": RNG.uniform(0, 50, 24), "row": CODES})  # far beyond where the prior would start


def directions():
    m = bk.Model(coords={"g": 3})
    centre = m.latent("centre", bk.Gamma(2, 1))
    x = m.latent("x", bk.VonMises(0.5, centre), dims="g")
    kappa = m.latent("kappa", bk.Gamma(2, 1))
    m.observed("y", bk.VonMises(x, kappa), dims=("g", "obs"))
    return m.condition({"y": RNG.vonmises([[0.1], [1.0], [0.7]], 4.0, (3, 8))})


def lifetimes():
    m = bk.Model(coords={"g": 4})
    alpha = m.latent("alpha", bk.Gamma(4, 2))
    x = m.latent("x", bk.Gamma(2, 1), dims="g")
    i = m.index("row", dims="obs", into="g")
    m.observed("y", bk.Weibull(alpha, x[i] ** (-1 / alpha)), dims="obs")
    return m.condition({"y": RNG.weibull(1.7, 24) * (1 + CODES), "row": CODES})


def passage_times():
    m = bk.Model(coords={"g": 4})
    b = m.latent("b", bk.Gamma(2, 1))
    x = m.latent("x", bk.Gamma(2, b), dims="g")
    m.observed("y", bk.InverseGaussian(1.5, x), dims=("g", "obs"))
    return m.condition({"y": RNG.wald(1.5, 3.0, (4, 6))})


def populations():
    m = bk.Model(coords={"g": 4})
    a = m.latent("a", bk.Gamma(3, 1))
    x = m.latent("x", bk.BetaBinomial(12, a, 2), dims="g")
    m.observed("y", bk.Hypergeometric(12, x, 6), dims="g")
    return m.condition({"y": [3, 5, 4, 6]})


MODELS = [upper_ends, directions, lifetimes, passage_times, populations]


@pytest.mark.parametrize("build", MODELS)
def test_integrated_out_against_gibbs(build):
    posterior = build()
    assert "x" in posterior.explain(method="collapsed").split("integrated out, and drawn given the core; conjugate")[0]
    assert "conjugate step" in posterior.explain(method="gibbs")
    collapsed = draws_of(posterior, 1, draws=1500, method="collapsed")
    assert_agree(collapsed, draws_of(posterior, 2, draws=400, method="gibbs"))
    if build is populations:
        assert collapsed["x"].dtype.kind == "i"


def grid_evidence(u, du, w, dw, log_joint):
    """Trapezoid rule over two numbers whose joint density vanishes at the ends."""
    return logsumexp(log_joint(u[:, None], w[None, :])) + np.log(du * dw)


def test_weibull_with_both_unknown():
    y = np.array([0.5, 1.3, 2.1, 0.8, 1.7])
    m = bk.Model()
    alpha, rate = m.latent("alpha", bk.Gamma(4, 2)), m.latent("rate", bk.Gamma(2, 1))
    m.observed("y", bk.Weibull(alpha, rate ** (-1 / alpha)), dims="obs")
    posterior = m.condition({"y": y})

    def log_joint(u, w):
        a, r = np.exp(u), np.exp(w)
        like = sum(stats.weibull_min(a, scale=r ** (-1 / a)).logpdf(v) for v in y)
        return like + stats.gamma(4, scale=0.5).logpdf(a) + u + stats.gamma(2).logpdf(r) + w

    u, du = np.linspace(-4, 3, 401, retstep=True)
    w, dw = np.linspace(-9, 4, 401, retstep=True)
    evidence = grid_evidence(u, du, w, dw, log_joint)
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-8)
    p = np.exp(log_joint(u[:, None], w[None, :]) - evidence) * du * dw
    assert posterior["rate"].mean().item() == pytest.approx((p * np.exp(w)).sum(), rel=1e-7)
    assert posterior["alpha"].mean().item() == pytest.approx((p * np.exp(u)[:, None]).sum(), rel=1e-7)


def test_direction_and_concentration_unknown():
    """The mean direction lies near the cut at pi, where directions must not be averaged as numbers."""
    y = np.array([3.0, -3.0, 2.6, -2.9, 3.1])
    m = bk.Model()
    mu, kappa = m.latent("mu", bk.VonMises(2.0, 0.8)), m.latent("kappa", bk.Gamma(2, 1))
    m.observed("y", bk.VonMises(mu, kappa), dims="obs")
    posterior = m.condition({"y": y})

    def log_joint(u, w):
        k = np.exp(u)
        like = sum(stats.vonmises(k, loc=w).logpdf(v) for v in y)
        return like + stats.vonmises(0.8, loc=2.0).logpdf(w) + stats.gamma(2).logpdf(k) + u

    u, du = np.linspace(-9, 4, 301, retstep=True)
    edges, dw = np.linspace(-np.pi, np.pi, 2001, retstep=True)
    w = edges[:-1] + 0.5 * dw
    evidence = grid_evidence(u, du, w, dw, log_joint)
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-8)
    p = (np.exp(log_joint(u[:, None], w[None, :]) - evidence) * du * dw).sum(axis=0)
    exact = posterior["mu"]
    about = np.arctan2(p @ np.sin(w), p @ np.cos(w))
    assert exact.mean().item() == pytest.approx(about, rel=1e-7)
    assert exact.var().item() == pytest.approx(p @ np.angle(np.exp(1j * (w - about))) ** 2, rel=1e-5)
    assert exact.cdf(edges[1800]).item() == pytest.approx(p[:1800].sum(), abs=dw**2)  # the error of the midpoint rule


def test_upper_ends_start_beyond_the_data():
    """Of many groups a draw from the prior always leaves some of them below their data."""
    m = bk.Model(coords={"g": 40})
    a = m.latent("a", bk.Gamma(3, 1))
    x = m.latent("x", bk.Pareto(a, 1), dims="g")
    m.observed("y", bk.Uniform(0, x), dims="g")
    posterior = m.condition({"y": np.linspace(0.5, 60, 40)})
    assert_agree(
        draws_of(posterior, 1, draws=1500, names=["a"]), draws_of(posterior, 2, draws=400, names=["a"], method="gibbs")
    )
