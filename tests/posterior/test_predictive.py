"""Predictive distributions against ratios of evidences, brute quadrature, scipy's families, and draws."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.conjugate.rules import RULES
from bayeskit.errors import DataError, RefusedError
from bayeskit.testing import assert_moments
from tests.conjugate.rule_cases import Builder, forms_of

# ---- every row of the table of rules: p(new | data) is a ratio of evidences -----------------------------------------

PLAIN = ("identity", "index", "complement", "coefficient", "divided", "offset")
# A second sample is none of a hypergeometric's own population.
CASES = [(rule, f) for rule in RULES if rule.child != "Hypergeometric" for f in forms_of(rule) if f in PLAIN]


def posterior_of(rule, form):
    """A case of the table, all latents but the parent known; the data of its first rows, and those of the others."""
    builder = Builder(rule, form)
    builder.build()
    rng = np.random.default_rng(5)
    others = {}
    for name, latent in builder.m.random.items():
        if not latent.observed and name != "x":
            others[name] = np.asarray(latent.distribution.sample(1, seed=rng))[0]
    first = {n: v[:5] for n, v in builder.data.items()}
    return builder.m.condition(first, **others), {n: v[5:] for n, v in builder.data.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].child}({c[0].parameter})-{c[1]}")
def test_a_predictive_is_a_ratio_of_evidences(case):
    posterior, rest = posterior_of(*case)
    prediction = posterior.predict({n: v for n, v in rest.items() if n != "y"}) if len(rest) > 1 else None
    if prediction is None:  # no column says how many rows: those of the data are alike
        prediction = posterior.predict()
    y = prediction["y"]
    log_density = np.asarray(y.log_prob(_labelled(y, rest["y"])))
    for i in range(2):
        after = posterior.update({n: v[i : i + 1] for n, v in rest.items()})
        truth = after.log_evidence() - posterior.log_evidence()
        np.testing.assert_allclose(log_density[i], truth, rtol=1e-9, atol=1e-9)


def _labelled(y, values):
    """Values along the first dim of a predictive, as many as it has rows."""
    import xarray as xr

    rows = y.mean().sizes["obs"]
    padded = np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
    return xr.DataArray(padded, dims=y.dims, coords={d: y.mean()[d] for d in y.dims if d in y.mean().coords})


# ---- pairs of numbers: mean, sd, cdf and quantiles by brute quadrature, and draws -----------------------------------


def rate(child):
    return bk.Gamma(4, 2), child, (np.log, np.exp)


def scale(child):
    return bk.InverseGamma(4, 3), child, (np.log, np.exp)


def share(child):
    return bk.Beta(4, 3), child, (lambda p: np.log(p / (1 - p)), lambda u: 1 / (1 + np.exp(-u)))


COUNTS, REALS, POSITIVE = [2, 1, 4, 1], [0.4, -1.0, 2.2, 0.1], [0.7, 1.4, 2.2, 0.9]
PAIRS = {
    "poisson": (*rate(lambda x, e: bk.Poisson(x * e)), COUNTS),
    "exponential": (*rate(lambda x, e: bk.Exponential(x * e)), POSITIVE),
    "gamma": (*rate(lambda x, e: bk.Gamma(2.5, x * e)), POSITIVE),
    "inverse gamma": (*rate(lambda x, e: bk.InverseGamma(5.5, x * e)), POSITIVE),
    "pareto": (*rate(lambda x, e: bk.Pareto(x * e, 0.5)), POSITIVE),
    "normal, precision": (*rate(lambda x, e: bk.Normal(1, tau=x * e)), REALS),
    "normal, variance": (*scale(lambda x, e: bk.Normal(1, var=x * e)), REALS),
    "log-normal": (*rate(lambda x, e: bk.LogNormal(0.3, tau=x * e)), POSITIVE),
    "half-normal": (*rate(lambda x, e: bk.HalfNormal(tau=x * e)), POSITIVE),
    "laplace": (*scale(lambda x, e: bk.Laplace(1, x * e)), REALS),
    "binomial": (*share(lambda x, e: bk.Binomial(7, 1 - x + 0 * e)), COUNTS),
    "geometric": (*share(lambda x, e: bk.Geometric(1 - x)), COUNTS),
    "negative binomial": (*share(lambda x, e: bk.NegativeBinomial(n=3 * e, p=x)), COUNTS),
    "poisson, cut": (
        bk.Truncated(bk.Gamma(4, 2), upper=1.5),
        lambda x, e: bk.Poisson(x * e),
        (lambda x: np.log(x / (1.5 - x)), lambda u: 1.5 / (1 + np.exp(-u))),
        COUNTS,
    ),
    "normal, half-normal": (bk.HalfNormal(2), *rate(lambda x, e: bk.Normal(x * e, 1))[1:], REALS),
    "poisson, half-Cauchy": (bk.HalfCauchy(2), *rate(lambda x, e: bk.Poisson(x * e))[1:], COUNTS),
    "bernoulli, logit": (
        bk.Normal(0, 2), lambda x, e: bk.Bernoulli(logit=x), (lambda u: u, lambda u: u), [1, 0, 1, 1]
    ),
}  # fmt: skip
OLD, NEW = np.array([1.0, 2.0, 1.0, 0.5]), np.array([1.0, 3.0])
HEAVY = {"pareto", "log-normal"}  # their means are infinite


def pair(name):
    prior, child, (forward, inverse), y = PAIRS[name]
    m = bk.Model()
    e = m.data("e", dims="obs")
    x = m.latent("x", prior)
    m.observed("y", child(x, e), dims="obs")
    posterior = m.condition({"e": OLD, "y": y})
    # the posterior by the trapezoid rule on the unconstrained scale
    centre = float(forward(np.asarray(prior.quantile(0.5))))
    u = np.linspace(centre - 25, centre + 25, 40_001)
    with np.errstate(all="ignore"):
        values = inverse(u)
        slope = np.gradient(values, u)
        log_density = np.asarray(prior.log_prob(values)) + np.log(slope)
        for exposure, value in zip(OLD, y, strict=True):
            log_density = log_density + _at(child, values, exposure, "_log_prob", float(value))
    log_density = np.where(np.isnan(log_density), -np.inf, log_density)
    weight = np.exp(log_density - log_density.max())
    kept = weight > 1e-18
    return posterior, child, values[kept], weight[kept] / weight.sum()


def _at(child, values, exposure, kernel, *args):
    """A kernel of the child at values of its parent."""
    import xarray as xr

    from bayeskit.distributions.labelled import aligned

    distribution = child(xr.DataArray(values, dims="node"), exposure)
    arrays = aligned(distribution).arrays
    return getattr(distribution, kernel)(*args, *arrays)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name):
    posterior, child, values, weight = pair(name)
    prediction = posterior.predict({"e": NEW})
    y = prediction["y"]
    levels = np.array([0.05, 0.5, 0.95])
    quantiles = y.quantile(levels).values
    for i, exposure in enumerate(NEW):
        x = quantiles[i][:, None]
        cdf = (weight * _at(child, values, exposure, "_cdf", x)).sum(axis=1)
        density = (weight * np.exp(_at(child, values, exposure, "_log_prob", x))).sum(axis=1)
        mine = [getattr(y, f)(quantiles[i]).values[i] for f in ("cdf", "log_prob")]
        np.testing.assert_allclose(mine[0], cdf, rtol=1e-7)
        np.testing.assert_allclose(np.exp(mine[1]), density, rtol=1e-7)
        if y.discrete:
            below = (weight * _at(child, values, exposure, "_cdf", x - 1)).sum(axis=1)
            assert (cdf >= levels - 1e-9).all() and (below < levels + 1e-9).all()
        else:
            np.testing.assert_allclose(cdf, levels, rtol=1e-7)
        if name in HEAVY:
            assert np.isinf(y.mean().values[i])
            continue
        each, spread = (_at(child, values, exposure, f) for f in ("_mean", "_var"))
        mean = (weight * each).sum()
        np.testing.assert_allclose(y.mean().values[i], mean, rtol=1e-7)
        np.testing.assert_allclose(y.var().values[i], (weight * (spread + (each - mean) ** 2)).sum(), rtol=1e-6)
    for drawn in (prediction.sample(500, seed=1)["predictions"]["y"].values, y.sample(2000, seed=2).values[None]):
        at = quantiles[:, 0 if name == "bernoulli, logit" else 1]
        assert_moments((drawn <= at).astype(float), y.cdf(_over(y, at)).values)


def _over(y, values):
    return y.mean() * 0 + values if np.isfinite(y.mean()).all() else y.quantile(0.5) * 0 + values


EXPECTED = ["poisson", "exponential", "geometric", "poisson, cut", "normal, half-normal", "poisson, half-Cauchy",
            "bernoulli, logit"]  # fmt: skip


@pytest.mark.parametrize("name", ["laplace", "normal, variance"])
def test_an_expected_value_that_is_known(name):
    with pytest.raises(RefusedError, match="is known: nothing unknown enters it"):
        pair(name)[0].predict({"e": NEW}, include_noise=False)["y"]


@pytest.mark.parametrize("name", EXPECTED)
def test_expected_values(name):
    posterior, child, values, weight = pair(name)
    prediction = posterior.predict({"e": NEW}, include_noise=False)
    mean = prediction["y"]
    for i, exposure in enumerate(NEW):
        each = np.broadcast_to(_at(child, values, exposure, "_mean"), weight.shape)
        truth = (weight * each).sum()
        np.testing.assert_allclose(mean.mean().values[i], truth, rtol=1e-6)
        np.testing.assert_allclose(mean.var().values[i], (weight * (each - truth) ** 2).sum(), rtol=1e-5)
        np.testing.assert_allclose(mean.cdf(truth).values[i], (weight * (each <= truth)).sum(), atol=2e-3)
    drawn = prediction.sample(500, seed=3)["predictions"]["y"].values
    assert_moments(drawn, mean.mean().values, mean.sd().values)


# ---- families of scipy -------------------------------------------------------------------------------------------

GRID = np.linspace(0.1, 6.0, 7)
NAMED = {
    "poisson": (np.arange(6.0), lambda e: stats.nbinom(12, 6.5 / (6.5 + e)), "pmf"),
    "exponential": (GRID, lambda e: stats.lomax(8, scale=(2 + OLD @ POSITIVE) / e), "pdf"),
    "gamma": (GRID, lambda e: stats.betaprime(2.5, 14, scale=(2 + OLD @ POSITIVE) / e), "pdf"),
    "binomial": (np.arange(8.0), lambda e: stats.betabinom(7, 3 + 8, 4 + 20), "pmf"),
    "geometric": (np.arange(1.0, 9.0), lambda e: stats.betanbinom(1, 3 + 4, 4 + 4, loc=1), "pmf"),
    "negative binomial": (np.arange(9.0), lambda e: stats.betanbinom(3 * e, 4 + 13.5, 3 + 8), "pmf"),
    "normal, variance": (
        GRID - 3,
        lambda e: stats.t(12, 1, np.sqrt((3 + 0.5 * ((np.array(REALS) - 1) ** 2 / OLD).sum()) / 6 * e)),
        "pdf",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_families(name):
    posterior, *_ = pair(name)
    y = posterior.predict({"e": NEW})["y"]
    x, truth, density = NAMED[name]
    for i, exposure in enumerate(NEW):
        family = truth(exposure)
        np.testing.assert_allclose(np.exp(y.log_prob(x).values[i]), getattr(family, density)(x), rtol=1e-8)
        np.testing.assert_allclose(y.cdf(x).values[i], family.cdf(x), rtol=1e-8)
        np.testing.assert_allclose(y.mean().values[i], family.mean(), rtol=1e-8)
        np.testing.assert_allclose(y.sd().values[i], family.std(), rtol=1e-7)


def test_flat_priors_and_parents_far_from_zero():
    m = bk.Model()
    m.observed("y", bk.Laplace(0, m.latent("b", bk.Flat(0))), dims="obs")
    y = m.condition({"y": [1.0, -2.0, 0.5, 1.5]}).predict()["y"]  # b is InverseGamma(3, 5): |y| is Lomax
    np.testing.assert_allclose(y.log_prob(0.7)[0], stats.lomax(3, scale=5).logpdf(0.7) - np.log(2), rtol=1e-10)
    np.testing.assert_allclose(y.cdf(0.7)[0], 0.5 + 0.5 * stats.lomax(3, scale=5).cdf(0.7), rtol=1e-8)
    far, rows = 1e6, np.array([0.3, -0.4, 1.1])
    for prior in (bk.Flat(0), bk.HalfNormal(1e9)):
        m = bk.Model()
        m.observed("y", bk.Normal(m.latent("mu", prior), 1.0), dims="obs")
        y = m.condition({"y": far + rows}).predict()["y"]
        truth = stats.norm(far + rows.mean(), np.sqrt(4 / 3))
        at = far + np.array([-1.0, 0.0, 2.5])
        np.testing.assert_allclose(y.log_prob(at)[0], truth.logpdf(at), rtol=1e-8)
        np.testing.assert_allclose(y.cdf(at)[0], truth.cdf(at), rtol=1e-7)


def test_heavy_tails_of_counts():
    m = bk.Model()
    m.observed("y", bk.Geometric(m.latent("p", bk.Beta(0.7, 2.0))), dims="obs")
    y = m.condition({"y": [1]}).predict()["y"]  # Beta(1.7, 2): a mean, and no variance
    truth = stats.betanbinom(1, 1.7, 2.0, loc=1)
    np.testing.assert_allclose(y.mean(), 1 + 2.0 / 0.7, rtol=1e-6)
    assert np.isinf(y.sd())
    far = np.array([1000.0, 1025.0, 1e4, 1e6])
    above = np.exp([_log_above(k) for k in far])
    np.testing.assert_allclose(1 - y.cdf(far).values[0], above, rtol=1e-6)
    np.testing.assert_allclose(y.log_prob(far).values[0][:2], truth.logpmf(far[:2]), rtol=1e-8)
    assert float(y.quantile(1 - above[2]).values[0]) == pytest.approx(1e4, rel=1e-4)


def _log_above(k):
    """P(y > k) of the beta-geometric: the expected ``(1 - p)**k``."""
    from scipy.special import betaln

    return betaln(1.7, 2.0 + k) - betaln(1.7, 2.0)


# ---- Gaussian blocks ------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(11)
X, COEFFICIENTS = RNG.normal(size=(20, 2)), np.array([1.0, -2.0])
Y = X @ COEFFICIENTS + RNG.normal(size=20)
AHEAD = np.array([[1.0, 0.0], [2.0, 3.0]])


def test_a_regression_of_known_noise():
    m = bk.Model(coords={"k": ["a", "b"]})
    x = m.data("x", dims=("obs", "k"))
    b = m.latent("b", bk.Normal(0, 3), dims="k")
    m.observed("y", bk.Normal(x @ b, 0.7), dims="obs")
    posterior = m.condition({"x": X, "y": Y})
    cov = np.linalg.inv(X.T @ X / 0.49 + np.eye(2) / 9)
    mean = AHEAD @ (cov @ (X.T @ Y / 0.49))
    spread = np.einsum("ij,jk,ik->i", AHEAD, cov, AHEAD)
    y, line = (posterior.predict({"x": AHEAD}, include_noise=n)["y"] for n in (True, False))
    assert y.family == line.family == "Normal"
    np.testing.assert_allclose(y.mean(), mean, rtol=1e-10)
    np.testing.assert_allclose(y.var(), spread + 0.49, rtol=1e-10)
    np.testing.assert_allclose(line.var(), spread, rtol=1e-10)


def test_a_regression_of_unknown_noise():
    m = bk.Model(coords={"k": 2})
    x, w = m.data("x", dims=("obs", "k")), m.data("w", dims="obs")
    s2 = m.latent("s2", bk.InverseGamma(2, 1))
    b = m.latent("b", bk.Normal(0, 3 * np.sqrt(s2)), dims="k")
    m.observed("y", bk.Normal(x @ b, var=s2 * w), dims="obs")
    posterior = m.condition({"x": X, "w": np.ones(20), "y": Y})
    precision = X.T @ X + np.eye(2) / 9
    mean = np.linalg.solve(precision, X.T @ Y)
    a, r = 12.0, 1 + 0.5 * (Y @ Y - mean @ precision @ mean)
    spread = np.einsum("ij,jk,ik->i", AHEAD, np.linalg.inv(precision), AHEAD)
    prediction = posterior.predict({"x": AHEAD, "w": [1.0, 4.0]})
    y = prediction["y"]
    truth = stats.t(2 * a, AHEAD @ mean, np.sqrt(r / a * (spread + np.array([1.0, 4.0]))))
    at = AHEAD @ mean + 0.8
    np.testing.assert_allclose(y.log_prob(_over(y, at)), truth.logpdf(at), rtol=1e-9)
    np.testing.assert_allclose(y.quantile(0.9), truth.ppf(0.9), rtol=1e-9)
    line = posterior.predict({"x": AHEAD, "w": [1.0, 4.0]}, include_noise=False)["y"]
    np.testing.assert_allclose(line.sd(), stats.t(2 * a, 0, np.sqrt(r / a * spread)).std(), rtol=1e-9)
    assert_moments(prediction.sample(seed=1)["predictions"]["y"].values, truth.mean(), truth.std())


def groups():
    m = bk.Model()
    group = m.index("group", dims="obs")
    mu, tau = m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(mu, tau), dims="group")
    m.observed("y", bk.Normal(a[group], 1.0), dims="obs")
    rng = np.random.default_rng(5)
    return m.condition({"group": np.repeat(["u", "v", "w"], 5), "y": rng.normal(size=15) + np.repeat([0, 1, 3], 5)})


def test_groups_under_a_core_of_one_number():
    posterior = groups()
    prediction = posterior.predict({"group": ["v", "new", "w"]})
    y = prediction["y"]
    assert "Mixture" in repr(y)
    tau = posterior["tau"]
    # a group never seen: the mean of the others, and the expected variances of all levels
    assert float(y.mean()[1]) == pytest.approx(float(posterior["mu"].mean()), rel=1e-6)
    second = float(tau.var() + tau.mean() ** 2)
    assert float(y.var()[1]) == pytest.approx(float(posterior["mu"].var()) + second + 1, rel=1e-6)
    np.testing.assert_allclose(y.mean()[[0, 2]], posterior["a"].mean()[1:], rtol=1e-9)
    np.testing.assert_allclose(y.var()[[0, 2]], posterior["a"].var()[1:] + 1, rtol=1e-9)
    drawn = prediction.sample(seed=4)["predictions"]["y"].values
    assert_moments(drawn, y.mean().values, y.sd().values)
    for i, label in enumerate(["v", "w"]):
        after = posterior.update({"group": [label], "y": [1.3]}).log_evidence() - posterior.log_evidence()
        assert float(y.log_prob(1.3)[2 * i]) == pytest.approx(after, rel=1e-7)
    new = posterior.update({"group": ["new"], "y": [1.3]}).log_evidence() - posterior.log_evidence()
    assert float(y.log_prob(1.3)[1]) == pytest.approx(new, rel=1e-7)


def test_many_rows_are_predicted_as_few_are():
    m = bk.Model(coords={"k": 2})
    x = m.data("x", dims=("obs", "k"))
    s = m.latent("s", bk.HalfNormal(2))
    b = m.latent("b", bk.Normal(0, 3), dims="k")
    m.observed("y", bk.Normal(x @ b, s), dims="obs")
    posterior = m.condition({"x": X, "y": Y})
    ahead = np.random.default_rng(4).normal(size=(6, 2))
    many, few = posterior.predict({"x": ahead})["y"], [posterior.predict({"x": a[None]})["y"] for a in ahead]
    for answer in ("mean", "var"):
        np.testing.assert_allclose(getattr(many, answer)(), [float(getattr(f, answer)()[0]) for f in few], rtol=1e-9)
    after = posterior.update({"x": ahead[:1], "y": [0.4]}).log_evidence() - posterior.log_evidence()
    assert float(many.log_prob(0.4)[0]) == pytest.approx(after, rel=1e-7)


def sites(labels, x, y):
    m = bk.Model()
    site, x_ = m.index("site", dims="obs"), m.data("x", dims="obs")
    s = m.latent("s", bk.HalfNormal(2), dims="site")
    a, b = m.latent("a", bk.Normal(0, 2), dims="site"), m.latent("b", bk.Normal(0, 1), dims="site")
    m.observed("y", bk.Normal(a[site] + b[site] * x_, s[site]), dims="obs")
    return m.condition({"site": labels, "x": x, "y": y})


def test_groups_with_a_core_each():
    rng = np.random.default_rng(8)
    posterior = sites(np.repeat(["u", "v", "w"], 6), rng.normal(size=18), rng.normal(size=18))
    new = {"site": ["w", "u", "w", "new"], "x": [0.0, 1.0, -2.0, 1.0]}
    prediction = posterior.predict(new)
    y = prediction["y"]
    for i in range(4):
        after = posterior.update({"site": [new["site"][i]], "x": [new["x"][i]], "y": [0.7]}).log_evidence()
        assert float(y.log_prob(0.7)[i]) == pytest.approx(after - posterior.log_evidence(), rel=1e-7)
    np.testing.assert_allclose(y.var()[3], 4 + 1 + 4, rtol=1e-6)  # nothing is known of a new one but the priors
    assert_moments(prediction.sample(seed=1)["predictions"]["y"].values, y.mean().values, y.sd().values)
    line = posterior.predict(new, include_noise=False)
    np.testing.assert_allclose(line["y"].mean(), y.mean(), rtol=1e-9, atol=1e-12)
    assert_moments(line.sample(seed=2)["predictions"]["y"].values, line["y"].mean().values, line["y"].sd().values)
    assert list(posterior["s"].mean()["site"].values) == ["u", "v", "w"]  # the posterior is what it was
    assert list(posterior.update({"site": ["u"], "x": [1.0], "y": [1.0]})["a"].mean()["site"].values) == ["u", "v", "w"]


def test_rates_with_a_core_each():
    m = bk.Model(coords={"plant": ["a", "b"]})
    r = m.latent("r", bk.HalfCauchy(2), dims="plant")
    hours = m.data("hours", dims="plant")
    m.observed("y", bk.Poisson(r * hours), dims="plant")
    posterior = m.condition({"hours": [1.0, 3.0], "y": [2, 9]})
    y, rate = (posterior.predict({"hours": [4.0, 1.0]}, include_noise=n)["y"] for n in (True, False))
    r = posterior["r"]
    np.testing.assert_allclose(rate.mean(), r.mean() * np.array([4.0, 1.0]), rtol=1e-9)
    np.testing.assert_allclose(y.var(), rate.mean() + rate.var(), rtol=1e-7)
    np.testing.assert_allclose(rate.cdf(3.0), [r.cdf(0.75)[0], r.cdf(3.0)[1]], rtol=1e-9)


def test_new_labels_of_a_conjugate_plate_are_known_by_their_prior():
    m = bk.Model()
    arm = m.index("arm", dims="obs")
    n = m.data("n", dims="obs")
    p = m.latent("p", bk.Beta(2, 3), dims="arm")
    m.observed("y", bk.Binomial(n, p[arm]), dims="obs")
    posterior = m.condition({"arm": ["A", "B", "A"], "n": [10, 12, 5], "y": [4, 2, 3]})
    y = posterior.predict({"arm": ["C", "A"], "n": [6, 7]})["y"]
    truth = stats.betabinom([6, 7], [2, 9], [3, 11])
    np.testing.assert_allclose(y.mean(), truth.mean(), rtol=1e-12)
    np.testing.assert_allclose(y.cdf(3), truth.cdf(3), rtol=1e-10)
    expected = posterior.predict({"arm": ["C", "A"], "n": [6, 7]}, include_noise=False)["y"]
    np.testing.assert_allclose(expected.sd(), [6 * stats.beta(2, 3).std(), 7 * stats.beta(9, 11).std()], rtol=1e-10)


# ---- vectors, matrices, categories, finite latents ------------------------------------------------------------------


def test_vectors_of_unknown_mean_and_matrix():
    m = bk.Model(coords={"d": ["p", "q"]})
    T = m.latent("T", bk.Wishart(4, np.eye(2)), dims=("d", "d_"))
    mu = m.latent("mu", bk.MvNormal(np.zeros(2), tau=0.5 * T), dims="d")
    m.observed("y", bk.MvNormal(mu, tau=T), dims=("obs", "d"))
    rows = np.random.default_rng(2).normal(size=(8, 2)) + np.array([1.0, 0.0])
    prediction = m.condition({"y": rows}).predict()
    y = prediction["y"]
    kappa, centre = 8.5, rows.sum(axis=0) / 8.5
    R = np.eye(2) + rows.T @ rows - kappa * np.outer(centre, centre)
    df = 4 + 8 - 1
    truth = stats.multivariate_t(centre, R * (1 + 1 / kappa) / df, df)
    point = np.array([0.3, -0.4])
    np.testing.assert_allclose(y.log_prob(point)[0], truth.logpdf(point), rtol=1e-10)
    assert list(y.mean()["d"].values) == ["p", "q"]
    drawn = prediction.sample(500, seed=1)["posterior_predictive"]["y"].values
    assert_moments(drawn[:, :, 0], y.mean()[0].values, y.sd()[0].values)


def test_vectors_of_a_known_matrix():
    m = bk.Model(coords={"d": 2})
    noise, prior = np.array([[1.0, 0.5], [0.5, 2.0]]), np.array([[2.0, -0.3], [-0.3, 1.0]])
    mu = m.latent("mu", bk.MvNormal(np.zeros(2), prior), dims="d")
    m.observed("y", bk.MvNormal(mu, noise), dims=("obs", "d"))
    rows = np.random.default_rng(3).normal(size=(6, 2))
    posterior = m.condition({"y": rows})
    cov = np.linalg.inv(np.linalg.inv(prior) + 6 * np.linalg.inv(noise))
    mean = cov @ np.linalg.solve(noise, rows.sum(axis=0))
    y, line = (posterior.predict(include_noise=n)["y"] for n in (True, False))
    point = np.array([0.2, 0.9])
    np.testing.assert_allclose(y.log_prob(point)[0], stats.multivariate_normal(mean, cov + noise).logpdf(point))
    np.testing.assert_allclose(line.log_prob(point)[0], stats.multivariate_normal(mean, cov).logpdf(point))


def test_categories_and_counts_of_them():
    m = bk.Model(coords={"c": ["red", "green", "blue"]})
    p = m.latent("p", bk.Dirichlet([1, 2, 3]), dims="c")
    m.observed("y", bk.Categorical(p), dims="obs")
    posterior = m.condition({"y": ["red", "blue", "red", "red"]})
    np.testing.assert_allclose(np.exp(posterior.predict()["y"].log_prob([0, 1, 2]))[0], [0.4, 0.2, 0.4])
    with pytest.raises(RefusedError, match="Got categories, which have none"):
        posterior.predict(include_noise=False).sample(10, seed=1)
    m = bk.Model(coords={"c": 3})
    n = m.data("n", dims="obs")
    p = m.latent("p", bk.Dirichlet([1, 2, 3]), dims="c")
    m.observed("y", bk.Multinomial(n, p), dims=("obs", "c"))
    y = m.condition({"n": [4], "y": [[1, 1, 2]]}).predict({"n": [3, 5]})["y"]
    truth = stats.dirichlet_multinomial([2, 3, 5], [3, 5])
    np.testing.assert_allclose(y.mean(), truth.mean().T if truth.mean().shape[0] == 3 else truth.mean(), rtol=1e-12)


def test_a_finite_latent_is_summed_over():
    m = bk.Model(coords={"h": ["null", "other"]})
    z = m.latent("z", bk.Categorical([0.3, 0.7]))
    p = m.data("p", dims="h")
    m.observed("y", bk.Binomial(10, p[z]), dims="obs")
    y = m.condition({"p": [0.5, 0.8], "y": [7]}).predict()["y"]
    weights = np.array([0.3, 0.7]) * stats.binom(10, [0.5, 0.8]).pmf(7)
    truth = weights / weights.sum() @ stats.binom(10, [[0.5], [0.8]]).pmf(np.arange(11))
    np.testing.assert_allclose(np.exp(y.log_prob(np.arange(11.0)))[0], truth, rtol=1e-10)


def test_the_prior_predicts():
    m = bk.Model()
    x = m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(1, 2)), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Normal(a + b * x, 0.5), dims="obs")
    y = m.condition({}).predict({"x": [0.0, 2.0]})["y"]
    np.testing.assert_allclose(y.mean(), [1, 1])
    np.testing.assert_allclose(y.var(), [4.25, 8.25])
    m = bk.Model()
    m.observed("y", bk.Binomial(4, m.latent("p", bk.Beta(2, 2))))
    prior = m.condition({})
    np.testing.assert_allclose(
        np.exp(prior.predict()["y"].log_prob(np.arange(5.0))), stats.betabinom(4, 2, 2).pmf(range(5))
    )
    np.testing.assert_allclose(prior.predict(include_noise=False)["y"].sd(), 4 * stats.beta(2, 2).std())


# ---- the object -----------------------------------------------------------------------------------------------------


def test_a_prediction_says_what_it_is():
    posterior = groups()
    prediction = posterior.predict({"group": ["v", "new"]})
    assert prediction.names == ["y"]
    assert repr(prediction).startswith("Prediction of new rows\n  y  obs: 2  exact: Mixture(of ")
    assert repr(posterior.predict(include_noise=False)).startswith("Prediction of the expected values of replicated")
    table = prediction.summary(prob=0.8)
    assert list(table.columns) == ["mean", "sd", "eti80_lb", "eti80_ub"]
    np.testing.assert_allclose(table["mean"], prediction["y"].mean())
    assert prediction["y"] is prediction["y"]
    tree = prediction.sample(5, chains=2, seed=1)
    assert tree["predictions"]["y"].shape == (2, 5, 2)
    assert list(tree["predictions_constant_data"]["group_index"].values) == [1, 3]
    replicated = posterior.predict().sample(5, chains=2, seed=1)
    assert replicated["posterior_predictive"]["y"].shape == (2, 5, 15)


def test_what_is_sampled_is_refused_and_summarised_by_draws():
    m = bk.Model()
    mu, s, nu = m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1)), m.latent("nu", bk.Gamma(2, 0.1))
    p = m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.StudentT(nu, mu, s), dims="obs")
    m.observed("k", bk.Binomial(5, p))
    prediction = m.condition({"y": [1.0, 2.0, 0.5], "k": 2}).predict()
    with pytest.raises(
        RefusedError, match=r"'y' has no exact predictive here: 'mu' has no closed form.*Use .sample\(\)"
    ):
        prediction["y"]
    table = prediction.summary(seed=1)
    assert table.loc["k", "mcse_mean"] == 0.0 and table.loc["y[0]", "mcse_mean"] > 0
    assert "drawn by .sample()" in repr(prediction)


def test_what_is_wrong_is_refused():
    posterior = groups()
    with pytest.raises(DataError, match="'colour'"):
        posterior.predict({"colour": ["red"]})
    with pytest.raises(DataError, match="'draws'"):
        posterior.predict(draws=3)
    with pytest.raises(DataError, match="The data 'group' must be given"):
        posterior.predict({})
    with pytest.raises(RefusedError, match="'z' is not predicted"):
        posterior.predict()["z"]
    m = bk.Model()
    e = m.data("e", dims="obs")
    m.observed("y", bk.Poisson(m.latent("x", bk.Gamma(1, 1)) * e), dims="obs")
    posterior = m.condition({"e": [1.0], "y": [2]})
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="'e'"):
            posterior.predict({"e": [bad]})
    with pytest.raises(RefusedError, match="its rows came in 2 batches"):
        posterior.update({"e": [1.0], "y": [1]}).predict()["y"]
    with pytest.raises(DataError, match="The values of 'e' must not be empty"):
        posterior.predict({"e": np.empty(0)})


def test_another_observed_variable_as_parent_is_drawn():
    m = bk.Model()
    y = m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1), dims="obs")
    m.observed("z", bk.Normal(y, 0.1), dims="obs")
    prediction = m.condition({"y": [1.0, 2.0], "z": [1.1, 2.2]}).predict()
    assert prediction["y"].family == "Normal"
    np.testing.assert_allclose(prediction["z"].mean(), [1.0, 2.0])  # the data themselves are the parents


def test_compounds_are_values():
    y = pair("laplace")[0].predict({"e": NEW})["y"]
    again = pickle.loads(pickle.dumps(y))
    np.testing.assert_array_equal(again.quantile(0.3), y.quantile(0.3))
    assert repr(y) == "Compound(Laplace, b ~ Gamma)"
    counts = pickle.loads(pickle.dumps(pair("geometric")[0].predict({"e": NEW})["y"]))
    assert float(counts.mode()[0]) == 1.0 and counts.support_text == "1, 2, 3, ..."
    assert np.isneginf(counts.log_prob(0.0)).all() and np.isneginf(counts.log_prob(1.5)).all()
    assert (counts.cdf([-1.0, 0.0]) == 0).all() and (counts.cdf(np.inf) == 1).all()
