"""Finite latents above what is integrated: all their joint states, against sums and integrals written out."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import betaln, gammaln, logsumexp

import bayeskit as bk
from bayeskit.errors import RefusedError, SupportError
from bayeskit.inference.collapsed import states
from tests.inference.monte_carlo import KS_LEVEL, ks_p_value

LIMIT = 4.5  # standard errors
# British coal-mining disasters by year, 1851-1962 (Jarrett 1979, Biometrika 66, 191-193)
COAL = [
    4, 5, 4, 1, 0, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5, 2, 2, 3, 4, 2, 1,
    3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0,
    1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 3, 3, 0, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1,
]  # fmt: skip


# ---- a change point -----------------------------------------------------------------------------------------------
def coal():
    m = bk.Model(coords={"regime": 2})
    year = m.data("year", dims="t")
    change = m.latent("change", bk.DiscreteUniform(0, len(COAL)))
    rate = m.latent("rate", bk.Gamma(2, 1), dims="regime")
    m.observed("y", bk.Poisson(rate[year >= change]), dims="t")
    return m.condition({"year": np.arange(len(COAL)), "y": COAL})


def coal_sum():
    """Log weight of every change point, and shape and rate of both regimes given it."""
    y = np.array(COAL)
    before = np.concatenate([[0], np.cumsum(y)])
    years = np.arange(len(y) + 1)
    a = np.stack([2.0 + before, 2.0 + y.sum() - before], axis=1)
    b = np.stack([1.0 + years, 1.0 + len(y) - years], axis=1)
    logs = (gammaln(a) - a * np.log(b)).sum(axis=1) - gammaln(y + 1).sum() - np.log(len(y) + 1)
    return logs, a, b


def test_coal_mining_change_point():
    logs, a, b = coal_sum()
    p = np.exp(logs - logsumexp(logs))
    posterior = coal()
    evidence = posterior.log_evidence()
    assert evidence == pytest.approx(logsumexp(logs), abs=1e-10) and evidence.se == 0
    change = posterior["change"]
    ours = [float(np.exp(change.log_prob(k))) for k in range(len(COAL) + 1)]
    np.testing.assert_allclose(ours, p, atol=1e-13)
    rate = posterior["rate"]
    np.testing.assert_allclose(rate.mean().values, p @ (a / b), rtol=1e-10)
    expected = (p[:, None] * stats.gamma.cdf([3.2, 1.0], a, scale=1 / b)).sum(axis=0)
    found = [float(rate.cdf(x).values[i]) for i, x in enumerate([3.2, 1.0])]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert posterior.explain().startswith("method: collapsed (a core of 1 number; 2 integrated out)")
    assert "113 joint states, all summed" in posterior.explain()


def test_draws_of_the_change_point_are_joint_and_independent():
    logs, a, b = coal_sum()
    p = np.exp(logs - logsumexp(logs))
    tree = coal().sample(draws=2500, seed=3)
    drawn, rate = tree.posterior["change"].values, tree.posterior["rate"].values
    k = np.arange(len(p))
    mean = p @ k
    assert abs(drawn.mean() - mean) < LIMIT * np.sqrt(p @ (k - mean) ** 2 / drawn.size)
    u = stats.gamma.cdf(rate, a[drawn], scale=1 / b[drawn])  # given the drawn change point, uniform and independent
    assert min(ks_p_value(u[..., i], stats.uniform.cdf) for i in range(2)) > KS_LEVEL
    assert abs(np.corrcoef(u[..., 0].ravel(), u[..., 1].ravel())[0, 1]) < LIMIT / np.sqrt(drawn.size)
    joint = -np.log(113) + stats.gamma.logpdf(rate, 2).sum(axis=-1)
    which = (np.arange(len(COAL)) >= drawn[..., None]).astype(int)
    joint = joint + stats.poisson.logpmf(COAL, np.take_along_axis(rate, which, axis=-1)).sum(axis=-1)
    np.testing.assert_allclose(tree.sample_stats["lp"].values, joint, atol=1e-9)


# ---- selection of variables ---------------------------------------------------------------------------------------
def regression(p=5, n=30):
    rng = np.random.default_rng(8)
    X = rng.normal(size=(n, p))
    X[:, 1] = X[:, 0] + 0.3 * X[:, 1]  # two that stand for each other
    return X, X[:, 0] - 0.6 * X[:, 2] + rng.normal(size=n)


def selection(sigma, X, y):
    m = bk.Model()
    design = m.data("X", dims=("row", "k"))
    share = m.latent("share", bk.Beta(1, 2))
    use = m.latent("use", bk.Bernoulli(share), dims="k")
    slope = m.latent("slope", bk.Normal(0, 1.5), dims="k")
    level = m.latent("level", bk.Normal(0, 5))
    noise = sigma if isinstance(sigma, float) else m.latent("noise", sigma)
    m.observed("y", bk.Normal(level + design @ (slope * use), noise), dims="row")
    return m.condition({"X": X, "y": y})


def log_weights(X, y, sd):
    """Log weights of all models at a noise, the share of those used integrated out."""
    p, found = X.shape[1], []
    for use in itertools.product(range(2), repeat=p):
        chosen = X[:, np.flatnonzero(use)]
        cov = sd**2 * np.eye(len(y)) + 25.0 + 2.25 * chosen @ chosen.T
        prior = betaln(1 + sum(use), 2 + p - sum(use)) - betaln(1, 2)
        found.append(stats.multivariate_normal.logpdf(y, np.zeros(len(y)), cov) + prior)
    return np.array(found)


USES = np.array(list(itertools.product(range(2), repeat=5)))


def test_selection_of_variables_with_known_noise():
    X, y = regression()
    logs = log_weights(X, y, 1.0)
    p = np.exp(logs - logsumexp(logs))
    posterior = selection(1.0, X, y)
    assert posterior.log_evidence() == pytest.approx(logsumexp(logs), abs=1e-8)
    np.testing.assert_allclose(posterior["use"].mean().values, p @ USES, atol=1e-9)
    share = posterior["share"]
    used = USES.sum(axis=1)
    assert float(share.mean()) == pytest.approx(p @ ((1 + used) / 8), abs=1e-9)
    drawn = posterior.sample(draws=2500, seed=4).posterior["use"].values.reshape(-1, 5)
    counts = np.array([np.all(drawn == u, axis=1).sum() for u in USES])
    often = len(drawn) * p > 25
    z = (counts - len(drawn) * p)[often] / np.sqrt((len(drawn) * p * (1 - p))[often])
    assert often.sum() > 3 and np.abs(z).max() < LIMIT


def test_selection_of_variables_with_unknown_noise():
    """One number beside the switches is integrated in every state."""
    X, y = regression()

    def weight(sd):
        return np.exp(log_weights(X, y, sd) + stats.halfnorm.logpdf(sd, scale=2) + 60)

    edges = np.linspace(0.3, 3.5, 9)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half = np.diff(edges)[:, None] / 2
    sds = (edges[:-1, None] + half + half * nodes).ravel()
    each = np.array([weight(sd) for sd in sds])
    area = (half * weights).ravel()
    total = area @ each
    posterior = selection(bk.HalfNormal(2), X, y)
    evidence = posterior.log_evidence()
    assert evidence == pytest.approx(np.log(total.sum()) - 60, abs=1e-7) and 0 <= evidence.se < 1e-7
    np.testing.assert_allclose(posterior["use"].mean().values, total @ USES / total.sum(), atol=1e-7)
    tree = posterior.sample(draws=2500, seed=5)
    noise = tree.posterior["noise"].values
    mean = (area * sds) @ each.sum(axis=1) / total.sum()
    var = (area * (sds - mean) ** 2) @ each.sum(axis=1) / total.sum()
    assert abs(noise.mean() - mean) < LIMIT * np.sqrt(var / noise.size)
    level = posterior["level"]
    drawn = tree.posterior["level"].values
    assert abs(drawn.mean() - float(level.mean())) < LIMIT * float(level.sd()) / np.sqrt(drawn.size)
    assert "integrated in every state, by quadrature" in posterior.explain()
    with pytest.raises(RefusedError, match="'noise' has no exact marginal here: it is integrated in every state"):
        posterior["noise"]
    where = {n: tree.posterior[n] for n in posterior._problem.latents}
    np.testing.assert_allclose(
        tree.sample_stats["lp"].values, posterior.log_prob(where).values + float(evidence), atol=1e-7
    )


def test_one_switch_against_quadrature():
    """A switch between two noises: the number is a scale that is not conjugate."""
    y = np.array([0.3, -1.2, 2.2, 0.4])
    m = bk.Model()
    z = m.latent("z", bk.Bernoulli(0.3))
    tau = m.latent("tau", bk.HalfCauchy(1))
    m.observed("y", bk.Normal(0, tau * (1 + 2 * z)), dims="i")
    posterior = m.condition({"y": y})

    def integral(k):
        def f(t):
            return stats.halfcauchy.pdf(t) * np.prod(stats.norm.pdf(y, 0, t * (1 + 2 * k)))

        return quad(f, 0, 5, epsabs=0, epsrel=1e-11)[0] + quad(f, 5, np.inf, epsabs=0, epsrel=1e-11)[0]

    w = np.array([0.7 * integral(0), 0.3 * integral(1)])
    assert float(posterior["z"].mean()) == pytest.approx(w[1] / w.sum(), rel=1e-8)
    assert posterior.log_evidence() == pytest.approx(np.log(w.sum()), abs=1e-8)


def test_a_switch_above_the_prior_of_the_number_beside_it():
    m = bk.Model()
    z = m.latent("z", bk.Bernoulli(0.5))
    mu = m.latent("mu", bk.Normal(0, 1 + z))
    m.observed("y", bk.Poisson(np.exp(mu)))
    posterior = m.condition({"y": 9})

    def integral(sd):
        def f(u):
            return stats.norm.pdf(u, 0, sd) * stats.poisson.pmf(9, np.exp(u))

        return quad(f, -8, 8, epsabs=0, epsrel=1e-11, points=[1, 2.2, 3])[0]

    w = np.array([integral(1), integral(2)]) / 2
    assert posterior.log_evidence() == pytest.approx(np.log(w.sum()), abs=1e-8)
    assert float(posterior["z"].mean()) == pytest.approx(w[1] / w.sum(), rel=1e-8)


# ---- what is refused ----------------------------------------------------------------------------------------------
def test_too_many_states_are_swept(monkeypatch):
    monkeypatch.setattr(states, "MOST_STATES", 31)
    X, y = regression()
    with pytest.raises(RefusedError, match="'use' has 32 joint states, and 31 are summed at most"):
        selection(1.0, X, y).sample(method="collapsed")
    monkeypatch.setattr(states, "MOST_STATES", 32)
    monkeypatch.setattr(states, "_WORK", 100)
    with pytest.raises(RefusedError, match=r"32 joint states of 'use', of .* numbers each, are too many to sum"):
        selection(1.0, X, y).sample(method="collapsed")


def test_a_plate_of_switches_has_states_beyond_counting():
    """A mixture of 50,000 rows: planning tells the number without writing it out."""
    m = bk.Model(coords={"kind": 2})
    mean = m.latent("mean", bk.Normal(0, 5), dims="kind")
    z = m.latent("z", bk.Bernoulli(0.3), dims="row")
    m.observed("y", bk.Normal(mean[z], 1.0), dims="row")
    posterior = m.condition({"y": np.random.default_rng(0).normal(size=50_000)})
    text = " ".join(posterior.explain().split())
    assert text.startswith("method: gibbs") and "'z' has about 1e15051 joint states, and 20,000 are summed" in text


def test_states_that_cannot_be_compared_are_refused():
    """A flat slope that a switch turns off has no evidence in that state; a flat level that all states share has."""

    def model(prior):
        m = bk.Model()
        x = m.data("x", dims="i")
        use = m.latent("use", bk.Bernoulli(0.5))
        slope, level = m.latent("slope", prior), m.latent("level", bk.Flat())
        m.observed("y", bk.Normal(level + slope * use * x, 1), dims="i")
        return m.condition({"x": [-1.0, 0.0, 1.0, 2.0], "y": [0.1, -0.4, 1.1, 2.9]})

    with pytest.raises(RefusedError, match=r"'slope', 'level' is improper in some states \(1 of 2\)"):
        model(bk.Flat()).sample(method="collapsed")
    x, y = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0.1, -0.4, 1.1, 2.9])
    logs = []
    for k in range(2):
        cov = np.eye(4) + 4.0 * k * np.outer(x, x)
        inverse, ones = np.linalg.inv(cov), np.ones(4)
        info = ones @ inverse @ ones
        centre = ones @ inverse @ y / info
        residual = y - centre
        logs.append(-0.5 * np.linalg.slogdet(cov)[1] - 0.5 * np.log(info) - 0.5 * residual @ inverse @ residual)
    p = np.exp(logs - logsumexp(logs))
    assert float(model(bk.Normal(0, 2))["use"].mean()) == pytest.approx(p[1], rel=1e-9)
    m = bk.Model()
    use, p_ = m.latent("use", bk.Bernoulli(0.5)), m.latent("p", bk.Beta(0, 0))
    m.observed("y", bk.Binomial(5, p_))
    m.observed("w", bk.Binomial(3, np.where(use, 0.3, p_)))
    with pytest.raises(RefusedError, match="the prior of 'p' is improper, and states cannot be compared"):
        m.condition({"y": 2, "w": 1}).sample(method="collapsed")


def test_impossible_data_are_told():
    m = bk.Model(coords={"regime": 2})
    z = m.latent("z", bk.Bernoulli(0.5))
    rate = m.latent("rate", bk.Gamma(2, 1), dims="regime")
    m.observed("y", bk.Poisson(rate[z]))
    m.observed("w", bk.Bernoulli(0.0 * z))
    with pytest.raises(SupportError, match=r"must be possible in some state of 'z'. Got a density of zero in all 2"):
        m.condition({"y": 3, "w": 1}).log_evidence()
