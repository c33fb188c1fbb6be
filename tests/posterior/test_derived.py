"""Exact marginals of derived quantities: monotone functions of one latent and linear forms of shares; refusals."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats
from scipy.special import expit, logit, ndtr, ndtri

import bayeskit as bk
from bayeskit.errors import RefusedError
from bayeskit.testing import assert_moments

LEVELS = np.array([0.01, 0.3, 0.5, 0.9])


def share(function, dims=True):
    """A probability in each arm, Beta(8, 4) and Beta(3, 9), and a function of it."""
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.derived("d", function(p, n))
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m.condition({"n": [10, 10], "y": [7, 2]})


def rate(function, prior=None):
    """A rate, Gamma(2 + 12, 1 + 4), and a function of it and of times."""
    m = bk.Model(coords={"t": [1, 2, 3]})
    times = m.data("times", dims="t")
    lam = m.latent("lam", prior or bk.Gamma(2, 1))
    m.derived("d", function(lam, times))
    m.observed("y", bk.Poisson(lam), dims="obs")
    return m.condition({"times": [0.5, 1.0, 2.0], "y": [3, 4, 2, 3]})


def mean_of_normals(function, flat=True):
    """A mean and a variance, normal-inverse-gamma, and a function of them."""
    m = bk.Model()
    s2 = m.latent("s2", bk.InverseGamma(3, 2))
    mu = m.latent("mu", bk.Flat())
    m.derived("d", function(mu, s2))
    m.observed("y", bk.Normal(mu, var=s2), dims="obs")
    return m.condition({"y": [1.0, 2.0, 4.0, 3.5, 2.5]})


# ---- probabilities ------------------------------------------------------------------------------------------------

P = stats.beta([8, 3], [4, 9])
MONOTONE = {
    "1 - p": (lambda p, n: 1 - p, lambda p: 1 - p),
    "100 p": (lambda p, n: 100 * p, lambda p: 100 * p),
    "p / 2 - 1": (lambda p, n: p / 2 - 1, lambda p: p / 2 - 1),
    "p**2": (lambda p, n: p**2, lambda p: p**2),
    "p * p": (lambda p, n: p * p, lambda p: p**2),
    "square": (lambda p, n: np.square(p), lambda p: p**2),
    "sqrt": (lambda p, n: np.sqrt(p), np.sqrt),
    "log": (lambda p, n: np.log(p), np.log),
    "-log2": (lambda p, n: -np.log2(p), lambda p: -np.log2(p)),
    "log10": (lambda p, n: np.log10(p), np.log10),
    "log1p(-p)": (lambda p, n: np.log1p(-p), lambda p: np.log1p(-p)),
    "odds": (lambda p, n: p / (1 - p), lambda p: p / (1 - p)),
    "odds against": (lambda p, n: (1 - p) / p, lambda p: (1 - p) / p),
    "log odds": (lambda p, n: np.log(p / (1 - p)), special.logit),
    "log p - log(1 - p)": (lambda p, n: np.log(p) - np.log(1 - p), special.logit),
    "log(1 - p) - log p": (lambda p, n: np.log(1 - p) - np.log(p), lambda p: -special.logit(p)),
    "log p - log1p(-p)": (lambda p, n: np.log(p) - np.log1p(-p), special.logit),
    "logit": (lambda p, n: logit(p), special.logit),
    "ndtri": (lambda p, n: ndtri(p), special.ndtri),
    "1 / p": (lambda p, n: 1 / p, lambda p: 1 / p),
    "1 / (3 - p)": (lambda p, n: 1 / (3 - p), lambda p: 1 / (3 - p)),
    "1 / (p - 3)": (lambda p, n: 1 / (p - 3), lambda p: 1 / (p - 3)),
    "(p - 3)**2": (lambda p, n: (p - 3) ** 2, lambda p: (p - 3) ** 2),
    "(p - 3)**3": (lambda p, n: (p - 3) ** 3, lambda p: (p - 3) ** 3),
    "0.5**p": (lambda p, n: 0.5**p, lambda p: 0.5**p),
    "odds of a half": (lambda p, n: (p / 2) / (1 - p / 2), lambda p: p / (2 - p)),
    "1 - (1 - p)**n": (lambda p, n: 1 - (1 - p) ** 5, lambda p: 1 - (1 - p) ** 5),
    "expected": (lambda p, n: n * p, lambda p: 10 * p),
    "cloglog": (lambda p, n: np.log(-np.log1p(-p)), lambda p: np.log(-np.log1p(-p))),
}


@pytest.mark.parametrize("name", MONOTONE)
def test_monotone_functions_of_a_probability(name):
    build, function = MONOTONE[name]
    posterior = share(build)
    found = posterior["d"]
    values = function(P.ppf(np.stack([LEVELS, 1 - LEVELS])[..., None]))
    expected = values[0] if values[0, 0, 0] < values[0, 1, 0] else values[1]
    quantiles = found.quantile(LEVELS)
    assert quantiles.dims == ("arm", "quantile")
    assert list(quantiles["arm"].values) == ["A", "B"]
    np.testing.assert_allclose(quantiles.values.T, expected, rtol=1e-8)
    np.testing.assert_allclose(found.cdf(quantiles).values, np.broadcast_to(LEVELS, (2, 4)), rtol=1e-8)
    draws = posterior.sample(2000, seed=3)["posterior"]["d"].values
    mean, sd = found.mean().values, found.sd().values
    finite = np.isfinite(sd)
    assert_moments(draws[..., finite], mean[finite], sd[finite])


def test_odds_have_the_moments_of_the_beta_prime():
    odds = share(lambda p, n: p / (1 - p))["d"]
    np.testing.assert_allclose(odds.mean(), stats.betaprime([8, 3], [4, 9]).mean())
    np.testing.assert_allclose(odds.var(), stats.betaprime([8, 3], [4, 9]).var())
    np.testing.assert_allclose(odds.log_prob(1.5), stats.betaprime([8, 3], [4, 9]).logpdf(1.5))
    log_odds = share(lambda p, n: np.log(p / (1 - p)))["d"]
    np.testing.assert_allclose(log_odds.mean(), special.digamma([8, 3]) - special.digamma([4, 9]))


def test_known_families_come_out():
    assert type(share(lambda p, n: 1 - p)["d"]) is bk.Beta
    assert share(lambda p, n: 1 - p)["d"] == bk.Beta(
        *(share(lambda p, n: p)["p"].canonical[k] for k in ("beta", "alpha"))
    )
    assert share(lambda p, n: +p)["d"] == share(lambda p, n: p)["p"]
    assert rate(lambda lam, t: 1 / lam)["d"] == bk.InverseGamma(14.0, 5.0)
    assert rate(lambda lam, t: 60 * lam)["d"] == bk.Gamma(14.0, 5 / 60)


# ---- rates, means, variances ----------------------------------------------------------------------------------------


def test_half_life():
    found = rate(lambda lam, t: np.log(2) / lam)["d"]
    assert isinstance(found, bk.InverseGamma)
    expected = stats.invgamma(14, scale=5 * np.log(2))
    np.testing.assert_allclose(found.quantile(LEVELS), expected.ppf(LEVELS), rtol=1e-9)
    np.testing.assert_allclose([found.mean(), found.var()], [expected.mean(), expected.var()])


def test_survival_over_known_times():
    posterior = rate(lambda lam, t: np.exp(-lam * t))
    found = posterior["d"]
    assert found.dims == ("t",)
    times = np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(found.quantile(0.2), np.exp(-times * stats.gamma(14, scale=1 / 5).ppf(0.8)), rtol=1e-9)
    np.testing.assert_allclose(found.mean(), (1 + times / 5) ** -14, rtol=1e-9)  # the moment generating function
    assert list(found.mean()["t"].values) == [1, 2, 3]
    draws = posterior.sample(1000, seed=1)["posterior"]["d"].values
    assert_moments(draws, found.mean().values, found.sd().values)


def test_a_truncated_rate():
    posterior = rate(lambda lam, t: 1 / lam, bk.Truncated(bk.Gamma(2, 1), lower=2.0))
    found = posterior["d"]
    law = stats.gamma(14, scale=1 / 5)
    q = law.cdf(2) + (1 - LEVELS) * law.sf(2)
    np.testing.assert_allclose(found.quantile(LEVELS), 1 / law.ppf(q), rtol=1e-7)
    expected = law.expect(lambda x: 1 / x, lb=2) / law.sf(2)
    assert float(found.mean()) == pytest.approx(expected, rel=1e-7)


def test_sd_precision_and_log_of_a_variance():
    law = mean_of_normals(lambda mu, s2: s2)["s2"]
    sd = mean_of_normals(lambda mu, s2: np.sqrt(s2))["d"]
    assert isinstance(sd, bk.Power)
    np.testing.assert_allclose(sd.quantile(LEVELS), np.sqrt(law.quantile(LEVELS)))
    precision = mean_of_normals(lambda mu, s2: 1 / s2)["d"]
    assert isinstance(precision, bk.Gamma)
    np.testing.assert_allclose(precision.quantile(LEVELS), 1 / law.quantile(1 - LEVELS), rtol=1e-9)
    log_sd = mean_of_normals(lambda mu, s2: np.log(s2) / 2)["d"]
    a, b = law.canonical.values()
    assert float(log_sd.mean()) == pytest.approx((np.log(b) - special.digamma(a)) / 2)
    twice = mean_of_normals(lambda mu, s2: 2 * np.sqrt(s2))["d"]
    np.testing.assert_allclose(twice.mean(), 2 * sd.mean())


def test_exp_and_expit_of_a_mean():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    m.derived("ratio", np.exp(mu))
    m.derived("p", expit(2 * mu - 1))
    m.derived("q", 1 / (1 + np.exp(1 - 2 * mu)))
    m.derived("probit", ndtr(mu))
    m.observed("y", bk.Normal(mu, 0.5), dims="obs")
    posterior = m.condition({"y": [0.3, 1.2, 0.8]})
    centre, sd = posterior["mu"].canonical.values()
    ratio = posterior["ratio"]
    assert isinstance(ratio, bk.LogNormal)
    assert float(ratio.mean()) == pytest.approx(np.exp(centre + sd**2 / 2))
    quantiles = special.expit(2 * stats.norm(centre, sd).ppf(LEVELS) - 1)
    np.testing.assert_allclose(posterior["p"].quantile(LEVELS), quantiles, rtol=1e-9)
    np.testing.assert_allclose(posterior["q"].quantile(LEVELS), quantiles, rtol=1e-9)
    assert float(posterior["probit"].mean()) == pytest.approx(special.ndtr(centre / np.sqrt(1 + sd**2)), rel=1e-9)
    np.testing.assert_allclose(posterior["p"].mean(), posterior["q"].mean(), rtol=1e-9)


def test_exp_of_a_t_has_no_mean():
    ratio = mean_of_normals(lambda mu, s2: np.exp(mu))["d"]
    assert float(ratio.mean()) == np.inf
    t = mean_of_normals(lambda mu, s2: mu)["mu"]
    np.testing.assert_allclose(ratio.quantile(LEVELS), np.exp(t.quantile(LEVELS)), rtol=1e-9)


def test_they_stand_in_the_summary():
    table = share(lambda p, n: p / (1 - p)).summary()
    np.testing.assert_allclose(table.loc["d[A]", "mean"], 8 / 3)


# ---- shares ---------------------------------------------------------------------------------------------------------

ALPHA = np.array([3.0, 5.0, 7.0, 9.0])


def shares(function):
    m = bk.Model(coords={"c": ["a", "b", "c", "d"]})
    w = m.latent("w", bk.Dirichlet([1, 1, 1, 1]), dims="c")
    value = m.data("value", dims="c")
    m.derived("d", function(w, value))
    m.observed("y", bk.Multinomial(20, w), dims="c")
    return m.condition({"y": [2, 4, 6, 8], "value": [1.0, 2.0, 3.0, 10.0]})


def test_linear_forms_of_shares_have_exact_moments():
    posterior = shares(lambda w, value: value @ w + 1)
    found = posterior["d"]
    value = np.array([1.0, 2.0, 3.0, 10.0])
    law = stats.dirichlet(ALPHA)
    assert float(found.mean()) == pytest.approx(value @ law.mean() + 1)
    assert float(found.var()) == pytest.approx(value @ law.cov() @ value, rel=1e-12)
    assert float(found.sd()) == pytest.approx(np.sqrt(value @ law.cov() @ value))
    draws = posterior.sample(1000, seed=2)["posterior"]["d"].values
    assert_moments(draws, found.mean().values, found.sd().values)
    for ask in (lambda: found.quantile(0.5), found.eti, found.hdi, lambda: found.cdf(2.0), found.sample, found.mode):
        with pytest.raises(
            RefusedError, match=r"'d' has no exact marginal: value @ w \+ 1 is no share of 'w'.*sample\(\)"
        ):
            ask()
    assert posterior.summary(seed=1).loc["d", "mean"] == pytest.approx(float(found.mean()), rel=0.05)


def test_forms_with_two_weights_are_betas():
    assert shares(lambda w, value: w[{"c": 0}] + w[{"c": 2}])["d"] == bk.Beta(10.0, 14.0)
    assert shares(lambda w, value: w.sum("c") - w[{"c": 0}])["d"] == bk.Beta(21.0, 3.0)
    percent = shares(lambda w, value: 100 * w + 1)["d"]
    assert percent.dims == ("c",)
    np.testing.assert_allclose(percent.quantile(0.3), 100 * stats.beta(ALPHA, 24 - ALPHA).ppf(0.3) + 1, rtol=1e-9)
    rest = shares(lambda w, value: 1 - w)["d"]
    np.testing.assert_allclose(rest.quantile(0.3), stats.beta(24 - ALPHA, ALPHA).ppf(0.3), rtol=1e-9)


def test_the_sum_of_all_shares_is_one():
    total = shares(lambda w, value: w.sum("c"))["d"]
    np.testing.assert_allclose([total.mean(), total.var()], [1.0, 0.0], atol=1e-15)


def test_shares_over_plates():
    m = bk.Model(coords={"g": ["x", "y"], "c": 3})
    w = m.latent("w", bk.Dirichlet([1, 1, 1]), dims=("g", "c"))
    value = m.data("value", dims="c")
    m.derived("worth", (w * value).sum("c"))
    m.derived("gap", w[{"g": 0, "c": 0}] - w[{"g": 1, "c": 0}])
    m.derived("first", w[{"c": 0}])
    m.observed("y", bk.Multinomial(9, w), dims=("g", "c"))
    posterior = m.condition({"y": [[2, 3, 4], [0, 1, 8]], "value": [1.0, 5.0, 6.0]})
    laws = [stats.dirichlet([3, 4, 5]), stats.dirichlet([1, 2, 9])]
    v = np.array([1.0, 5.0, 6.0])
    worth = posterior["worth"]
    assert worth.dims == ("g",)
    np.testing.assert_allclose(worth.mean(), [v @ law.mean() for law in laws])
    np.testing.assert_allclose(worth.var(), [v @ law.cov() @ v for law in laws])
    gap = posterior["gap"]
    assert float(gap.mean()) == pytest.approx(3 / 12 - 1 / 12)
    assert float(gap.var()) == pytest.approx(laws[0].var()[0] + laws[1].var()[0])
    np.testing.assert_allclose(posterior["first"].quantile(0.4), stats.beta([3, 1], [9, 11]).ppf(0.4), rtol=1e-9)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda p, n: p * (1 - p), r"p \* \(1 - p\) is not known to be .* of 'p', for 'p' stands in it twice"),
        (lambda p, n: 1 + np.sin(p), r"sin\(p\) is not known to be a monotone function of 'p'"),
        (lambda p, n: p / (2 - p), r"p / \(2 - p\) is not known .*stands in it twice"),
        (lambda p, n: p**2 / (1 - p), r"p\*\*2 / \(1 - p\) is not known .*stands in it twice"),
        (lambda p, n: np.log(p) - np.log(1 - p**2), "stands in it twice"),
        (lambda p, n: (2 * p) / (1 - 2 * p), r"for 2 \* p may lie outside 0\.\.1"),
        (lambda p, n: p - p, "stands in it twice"),
        (lambda p, n: p / p, "stands in it twice"),
        (lambda p, n: (p - 0.5) ** 2, r"\(p - 0\.5\)\*\*2 .*for p - 0\.5 may be negative"),
        (lambda p, n: abs(p - 0.5), r"absolute\(p - 0\.5\)|abs\(p - 0\.5\)"),
        (lambda p, n: np.log(p - 0.1), r"log\(p - 0\.1\) is not known"),
        (lambda p, n: 1 / (p - 0.5), r"for p - 0\.5 may be negative"),
        (lambda p, n: np.minimum(p, 0.5), r"minimum\(p, 0\.5\)"),
        (lambda p, n: (p > 0.5) * 1.0, r"p > 0\.5 is not known"),
        (lambda p, n: (n - 10) * p, r"\(n - 10\) \* p is not known"),
        (lambda p, n: p ** (n - 10), "is not known"),
        (lambda p, n: np.floor(10 * p), r"floor\(10 \* p\)"),
        (lambda p, n: p.sum("arm"), r"the dims \(\)"),
        (lambda p, n: p.cumsum("arm"), r"p\.cumsum"),
        (lambda p, n: p[{"arm": 0}] / p[{"arm": 1}], r"dims \(\)"),
        (lambda p, n: np.where(n > 5, p, 1 - p), r"where"),
        (lambda p, n: p * n**0.5 + p, r"stands in it twice"),
    ],
)  # fmt: skip
def test_what_is_not_monotone_is_refused(function, reason):
    posterior = share(function)
    with pytest.raises(
        RefusedError, match=rf"(?s)^The derived 'd' has no exact marginal: .*({reason}).*Use sample\(\)"
    ):
        posterior["d"]


def test_weights_of_either_sign_are_refused():
    m = bk.Model(coords={"arm": ["A", "B"]})
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.derived("d", p * m.data("sign", dims="arm"))
    m.observed("y", bk.Binomial(10, p), dims="arm")
    with pytest.raises(RefusedError, match="p \\* sign is not known to be a monotone function of 'p'"):
        m.condition({"y": [1, 2], "sign": [1.0, -1.0]})["d"]


def test_several_latents_are_refused():
    with pytest.raises(RefusedError, match=r"it mixes coefficients with their scale 's2'|is not linear|product of two"):
        mean_of_normals(lambda mu, s2: mu / np.sqrt(s2))["d"]
    with pytest.raises(RefusedError, match="it mixes coefficients with their scale 's2'"):
        mean_of_normals(lambda mu, s2: mu + s2)["d"]
    m = bk.Model()
    p, q = m.latent("p", bk.Beta(1, 1)), m.latent("q", bk.Beta(1, 1))
    m.derived("lift", q / p)
    m.observed("y", bk.Binomial(10, p))
    m.observed("z", bk.Binomial(10, q))
    with pytest.raises(RefusedError, match=r"depends on 'p', 'q', which are not one exact component.*sample"):
        m.condition({"y": 3, "z": 4})["lift"]


def test_vectors_are_refused():
    m = bk.Model(coords={"c": 3})
    w = m.latent("w", bk.Dirichlet([1, 1, 1]), dims="c")
    m.derived("logs", np.log(w))
    m.observed("y", bk.Multinomial(9, w), dims="c")
    with pytest.raises(RefusedError, match=r"the marginal of 'w' is Dirichlet, not of one continuous number.*sample"):
        m.condition({"y": [2, 3, 4]})["logs"]


def test_functions_of_a_finite_latent():
    m = bk.Model(coords={"g": ["a", "b"], "k": 4})
    i, grid = m.latent("i", bk.Categorical([0.1, 0.2, 0.3, 0.4]), dims="g"), m.data("grid", dims="k")
    for name, expression in {"theta": grid[i], "even": 1 - 2 * (i % 2), "sum": i.sum("g"), "log": np.log(i)}.items():
        m.derived(name, expression)
    m.observed("y", bk.Binomial(10, grid[i]), dims="g")
    points, y = np.array([0.7, 0.1, 0.3, 0.5]), np.array([4, 8])
    posterior = m.condition({"grid": points, "y": y})
    p = [0.1, 0.2, 0.3, 0.4] * points ** y[:, None] * (1 - points) ** (10 - y[:, None])
    p /= p.sum(axis=1, keepdims=True)
    theta = posterior["theta"]
    np.testing.assert_allclose(theta.mean(), p @ points, rtol=1e-12)
    np.testing.assert_allclose(theta.var(), p @ points**2 - (p @ points) ** 2, rtol=1e-10)
    np.testing.assert_allclose(theta.cdf(0.4), p[:, 1] + p[:, 2], rtol=1e-12)
    np.testing.assert_allclose(posterior["even"].mean(), p[:, 0] + p[:, 2] - p[:, 1] - p[:, 3], atol=1e-12)
    np.testing.assert_allclose(np.exp(posterior["even"].log_prob(-1.0)), p[:, 1] + p[:, 3], rtol=1e-12)
    for name, reason in {"sum": "depends on several elements of 'i'", "log": "is not finite at every value"}.items():
        with pytest.raises(RefusedError, match=rf"no exact marginal: .*{reason}.*sample"):
            posterior[name]


def test_the_share_of_a_population():
    m = bk.Model()
    k = m.latent("k", bk.BetaBinomial(40, 1, 1))
    m.derived("share", k / 40)
    m.observed("y", bk.Hypergeometric(40, k, 9))
    posterior = m.condition({"y": 4})
    np.testing.assert_allclose(posterior["share"].mean(), posterior["k"].mean() / 40, rtol=1e-12)
    np.testing.assert_allclose(posterior["share"].cdf(0.3), posterior["k"].cdf(12), rtol=1e-10)


def test_functions_of_a_direction_are_refused():
    m = bk.Model()
    mu = m.latent("mu", bk.VonMises(3.0, 1.0))
    m.derived("d", 2 * mu)
    m.observed("y", bk.VonMises(mu, 2.0))
    with pytest.raises(RefusedError, match="'mu' is a direction, whose mean and variance are those of the circle"):
        m.condition({"y": -3.0})["d"]


def test_a_power_of_picked_elements_is_refused():
    m = bk.Model(coords={"g": ["x", "y"]})
    i = m.index("i", dims="obs", into="g")
    lam = m.latent("lam", bk.Gamma(1, 1), dims="g")
    m.derived("d", lam[i] ** -0.5)
    m.observed("y", bk.Poisson(lam[i]), dims="obs")
    with pytest.raises(RefusedError, match=r"has the dims.*sample"):
        m.condition({"i": ["x", "y", "y"], "y": [1, 2, 3]})["d"]


def test_values_known_in_data_only():
    """Where the sign of a factor is that of the data, they decide."""
    m = bk.Model()
    lam = m.latent("lam", bk.Gamma(1, 1))
    m.derived("d", np.exp(-lam * m.data("t")) * 2)
    m.observed("y", bk.Poisson(lam))
    up, down = (m.condition({"t": t, "y": 2})["d"] for t in (-0.5, 0.5))
    law = stats.gamma(3, scale=1 / 2)
    np.testing.assert_allclose(up.quantile(0.2), 2 * np.exp(0.5 * law.ppf(0.2)), rtol=1e-9)
    np.testing.assert_allclose(down.quantile(0.2), 2 * np.exp(-0.5 * law.ppf(0.8)), rtol=1e-9)
    assert isinstance(up.mean(), xr.DataArray)
