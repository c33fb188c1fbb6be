"""Conjugate pairs: moments, distribution function and evidence against quadrature of what scipy says the densities are.

Adding a pair is adding a row to `PAIRS`.
"""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayeskit as bk
from bayeskit.errors import ImproperError, RefusedError, SupportError
from tests.conjugate.pair_cases import PAIRS, uniform_to

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
ROWS, ARMS = 30, 3
CODES = np.arange(ROWS) % ARMS


ENDS = {"real": (-60.0, 60.0), "share": (-34.0, 34.0), "circle": (-np.pi, np.pi), "positive": (-25.0, 25.0)}


class Line:
    """A density over one number, by Gauss rules on many panels of a scale on which it is smooth."""

    def __init__(self, log_density, line, bounds):
        self.log_density, self.line = log_density, line
        low, high = ENDS[line]
        if line == "positive":  # a Pareto begins where it is highest, and falls slowly
            lower, upper = (np.log(b) if 0 < b < np.inf else None for b in bounds)
            low = low if lower is None else lower
            high = min(high if lower is None else low + 50.0, np.inf if upper is None else upper)
        grid = np.linspace(low, high, 1001)
        logs = self.logs(grid)
        self.top = logs.max()
        inside = np.flatnonzero(logs > self.top - 50)
        self.low, self.high = grid[max(inside[0] - 1, 0)], grid[min(inside[-1] + 1, 1000)]
        self.mass = 1.0
        self.mass = self.mean_of(np.ones_like)
        self.log_evidence = np.log(self.mass) + self.top

    def x(self, w):
        return np.exp(w) if self.line == "positive" else 1 / (1 + np.exp(-w)) if self.line == "share" else w

    def w(self, x):
        return np.log(x) if self.line == "positive" else np.log(x / (1 - x)) if self.line == "share" else x

    def logs(self, w):
        x = self.x(w)
        slope = w if self.line == "positive" else np.log(x) + np.log1p(-x) if self.line == "share" else 0.0
        return self.log_density(x) + slope

    def mean_of(self, function, upto=None):
        edges = np.linspace(self.low, self.high if upto is None else self.w(upto), 61)
        half = 0.5 * np.diff(edges)[:, None]
        points = (edges[:-1, None] + half * (1 + NODES)).ravel()
        weights = (half * WEIGHTS).ravel()
        return (np.exp(self.logs(points) - self.top) * function(self.x(points)) * weights).sum() / self.mass


def cells(pair, data, layout):
    """The rows of data that belong to each element of the unknown."""
    names = ("y", *pair.known)
    match layout:
        case "scalar":
            return [tuple(data[n] for n in names)]
        case "plate":
            return [tuple(data[n][arm] if n == "y" or data[n].ndim == 2 else data[n] for n in names) for arm in (0, 1)]
    return [tuple(data[n][CODES == g] for n in names) for g in range(ARMS)]


def stated(pair, layout, seed=5):
    """The pair as a model, conditioned: one unknown, one for each arm, or one for each label of an index."""
    rng = np.random.default_rng(seed)
    m = bk.Model(coords={"arm": ["A", "B", "C"][: 2 if layout == "plate" else ARMS]})
    x = m.latent("x", pair.prior, dims=() if layout == "scalar" else "arm")
    dims = ("arm", "obs") if layout == "plate" else ("obs",)
    shape = (2, 10) if layout == "plate" else (ROWS,)
    columns = [m.data(n, dims="obs") for n in pair.known]
    data = {n: draw(rng, shape[-1:]) for n, draw in pair.known.items()}
    if layout == "index":
        x = x[m.index("row", dims="obs", into="arm")]
        data["row"] = np.array(["A", "B", "C"])[CODES]
    m.observed("y", pair.child(x, *columns), dims=dims)
    data["y"] = pair.values(rng, shape)
    return m.condition(data), data


def truths(pair, data, layout):
    lines = []
    for y, *known in cells(pair, data, layout):

        def log_density(x, y=y, known=known):
            rows = (np.asarray(a)[:, None] for a in (y, *known))
            return pair.log_prior(x) + pair.log_like(next(rows), x, *rows).sum(axis=0)

        low, high = pair.bounds
        if pair.log_like is uniform_to:
            low = max(low, np.max(y / (known[0] if known else 1.0)))
        lines.append(Line(log_density, pair.line, (low, high)))
    return lines


CASES = [(name, layout) for name in PAIRS for layout in ("scalar", "plate", "index")]


@pytest.mark.parametrize(("name", "layout"), CASES, ids=[f"{n}-{layout}" for n, layout in CASES])
def test_pairs(name, layout):
    pair = PAIRS[name]
    posterior, data = stated(pair, layout)
    assert posterior.is_exact
    lines = truths(pair, data, layout)
    exact = posterior["x"]
    mean, sd, median = (np.atleast_1d(v) for v in (exact.mean(), exact.sd(), exact.quantile(0.5)))
    for i, line in enumerate(lines):
        if pair.line == "circle":
            about = np.arctan2(line.mean_of(np.sin), line.mean_of(np.cos))
            spread = np.sqrt(line.mean_of(lambda x, a=about: np.angle(np.exp(1j * (x - a))) ** 2))
        else:
            about = line.mean_of(lambda x: x)
            spread = np.sqrt(line.mean_of(lambda x, a=about: (x - a) ** 2))
        tolerance = 1e-6 if pair.line == "circle" else 1e-8  # the square of an angle has a kink opposite the mean
        np.testing.assert_allclose([mean[i], sd[i]], [about, spread], rtol=tolerance, atol=1e-10)
        assert line.mean_of(np.ones_like, upto=median[i]) == pytest.approx(0.5, abs=1e-8)
        at = about + 0.7 * spread if pair.line == "real" else median[i] + 0.3 * (about - median[i])
        cdf = np.atleast_1d(exact.cdf(at))[i]
        assert cdf == pytest.approx(line.mean_of(np.ones_like, upto=at), abs=1e-8)
    if pair.is_proper:
        assert posterior.log_evidence() == pytest.approx(sum(line.log_evidence for line in lines), rel=1e-9, abs=1e-9)
    else:
        with pytest.raises(ImproperError, match="has no evidence"):
            posterior.log_evidence()


@pytest.mark.parametrize("name", PAIRS)
def test_joint_draws(name):
    posterior, _ = stated(PAIRS[name], "plate")
    exact = posterior["x"]
    draws = posterior.sample(draws=1000, chains=2, seed=3)["posterior"]["x"].stack(s=("chain", "draw"))
    ranks = exact.cdf(draws).values
    for arm in range(2):
        assert stats.kstest(ranks[arm], "uniform").pvalue > 1e-4


@pytest.mark.parametrize("kind", [bk.Normal, bk.LogNormal])
def test_both_of_a_normal_unknown(kind):
    """Mean and variance together, also of a log-normal: against a rule over both."""
    logs = np.array([0.4, 2.1, -1.3, 0.7, 3.2])
    y = logs if kind is bk.Normal else np.exp(logs)
    m = bk.Model()
    v = m.latent("v", bk.InverseGamma(3, 2))
    mu = m.latent("mu", bk.Normal(0.5, 1.5 * np.sqrt(v)))
    m.observed("y", kind(mu, np.sqrt(v)), dims="obs")
    posterior = m.condition({"y": y})
    assert posterior.is_exact
    u, du = np.linspace(-6, 8, 701, retstep=True)
    z, dz = np.linspace(-40, 40, 1001, retstep=True)  # trapezoid rules of smooth densities that vanish at the ends
    s = np.exp(0.5 * u)[:, None]
    x = 0.5 + s * z * 0.5
    like = [
        stats.norm(x, s).logpdf(v) if kind is bk.Normal else stats.norm(x, s).logpdf(np.log(v)) - np.log(v) for v in y
    ]
    joint = stats.invgamma(3, scale=2).logpdf(s**2) + 2 * np.log(s) + stats.norm(0.5, 1.5 * s).logpdf(x)
    joint = joint + sum(like) + np.log(0.5 * s * du * dz)
    evidence = logsumexp(joint)
    p = np.exp(joint - evidence)
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-8)
    assert posterior["mu"].mean().item() == pytest.approx((p * x).sum(), rel=1e-7)
    assert posterior["mu"].var().item() == pytest.approx((p * (x - (p * x).sum()) ** 2).sum(), rel=1e-5)
    assert posterior["v"].mean().item() == pytest.approx((p * s**2).sum(), rel=1e-4)
    draws = posterior.sample(draws=4000, chains=1, seed=2)["posterior"].isel(chain=0)
    for name in ("mu", "v"):
        assert stats.kstest(draws[name].values, lambda v, d=posterior[name]: d.cdf(v).values).pvalue > 1e-4


@pytest.mark.parametrize("kind", [bk.Normal, bk.LogNormal])
def test_reference_prior_of_a_normal(kind):
    """Under 1 / v the mean is Student-t about the sample mean: Gelman et al. (2013), sec. 3.2."""
    logs = np.array([0.4, 2.1, -1.3, 0.7, 3.2])
    m = bk.Model()
    v, mu = m.latent("v", bk.InverseGamma(0, 0)), m.latent("mu", bk.Flat())
    m.observed("y", kind(mu, np.sqrt(v)), dims="obs")
    posterior = m.condition({"y": logs if kind is bk.Normal else np.exp(logs)})
    twin = stats.t(4, logs.mean(), logs.std(ddof=1) / np.sqrt(5))
    np.testing.assert_allclose(posterior["mu"].quantile([0.05, 0.5, 0.9]), twin.ppf([0.05, 0.5, 0.9]), rtol=1e-10)
    with pytest.raises(ImproperError, match="'v' is improper"):
        m.condition({"y": [1.3]})["mu"]


# ---- finite populations and grids: by looking at every value -------------------------------------------------------
def brute(values, log_prior, log_like):
    logs = log_prior(values) + log_like(values)
    evidence = logsumexp(logs)
    return np.exp(logs - evidence), evidence


def check_finite(exact, values, p):
    mean = p @ values
    np.testing.assert_allclose([exact.mean(), exact.var()], [mean, p @ (values - mean) ** 2], rtol=1e-9)
    np.testing.assert_allclose(exact.cdf(values), np.cumsum(p), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(np.exp(exact.log_prob(values)), p, rtol=1e-9, atol=1e-300)
    assert np.isneginf(exact.log_prob(values[0] - 1.0))


N, DRAWN = 40, 9
POPULATIONS = {
    "beta-binomial": (bk.BetaBinomial(N, 1.5, 0.7), stats.betabinom(N, 1.5, 0.7).logpmf),
    "uniform": (bk.DiscreteUniform(0, N), stats.randint(0, N + 1).logpmf),
    "binomial": (bk.Binomial(N, 0.3), stats.binom(N, 0.3).logpmf),
    "uniform from 3": (bk.DiscreteUniform(3, N), stats.randint(3, N + 1).logpmf),
}


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("name", POPULATIONS)
def test_successes_in_a_population(name, samples):
    prior, log_prior = POPULATIONS[name]
    y = [4, 6][:samples]
    m = bk.Model()
    k = m.latent("k", prior)
    m.observed("y", bk.Hypergeometric(N, k, DRAWN), dims="draft")
    posterior = m.condition({"y": y})
    values = np.arange(N + 1)
    p, evidence = brute(values, log_prior, lambda k: sum(stats.hypergeom(N, k, DRAWN).logpmf(v) for v in y))
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-10)
    by_row = samples == 1 and name in ("beta-binomial", "uniform")
    assert ("conjugate" in posterior.explain()) == by_row
    exact = posterior["k"]
    start = 3 if name == "uniform from 3" else 0
    check_finite(exact, values[start:], p[start:])
    draws = posterior.sample(draws=2000, chains=2, seed=4)["posterior"]["k"].values
    assert draws.dtype.kind == "i"
    assert abs(draws.mean() - exact.mean().item()) < 5 * exact.sd().item() / np.sqrt(draws.size)


def test_populations_on_a_plate():
    sizes, y = np.array([20, 5000, 31]), np.array([3, 1, 8])
    m = bk.Model(coords={"lot": 3})
    size = m.data("size", dims="lot")
    k = m.latent("k", bk.BetaBinomial(size, 1.5, 0.7), dims="lot")
    m.observed("y", bk.Hypergeometric(size, k, 8), dims="lot")
    posterior = m.condition({"size": sizes, "y": y})
    total = 0.0
    for i, (n, seen) in enumerate(zip(sizes, y, strict=True)):
        values = np.arange(n + 1)
        prior = stats.betabinom(n, 1.5, 0.7).logpmf
        p, evidence = brute(values, prior, lambda k, n=n, seen=seen: stats.hypergeom(n, k, 8).logpmf(seen))
        total += evidence
        exact = posterior["k"]
        assert exact.mean()[i].item() == pytest.approx(p @ values, rel=1e-8)
        assert exact.cdf(values[n // 3])[i].item() == pytest.approx(p[: n // 3 + 1].sum(), rel=1e-8)
    assert posterior.log_evidence() == pytest.approx(total, rel=1e-8)


def test_a_sample_from_another_population_has_no_row():
    m = bk.Model()
    k = m.latent("k", bk.BetaBinomial(N, 1, 1))
    m.observed("y", bk.Hypergeometric(N + 1, k, DRAWN))
    posterior = m.condition({"y": 4})
    values = np.arange(N + 1)
    p, _ = brute(values, stats.betabinom(N, 1, 1).logpmf, lambda k: stats.hypergeom(N + 1, k, DRAWN).logpmf(4))
    assert "enumerated" in posterior.explain()
    check_finite(posterior["k"], values, p)


def test_two_samples_that_are_alike_are_two():
    m = bk.Model()
    k = m.latent("k", bk.BetaBinomial(N, 1, 1))
    m.observed("y", bk.Hypergeometric(N, k, DRAWN), dims="draft")
    values = np.arange(N + 1)
    p, _ = brute(values, stats.betabinom(N, 1, 1).logpmf, lambda k: 2 * stats.hypergeom(N, k, DRAWN).logpmf(4))
    check_finite(m.condition({"y": [4, 4]})["k"], values, p)


def test_rows_below_an_end_that_are_alike_are_counted():
    m = bk.Model()
    m.observed("y", bk.Uniform(0, m.latent("x", bk.Pareto(2, 0.5))), dims="obs")
    posterior = m.condition({"y": np.repeat([1.0, 2.0], [300, 200])})
    assert posterior["x"] == bk.Pareto(502.0, 2.0)
    evidence = np.log(2 / 502) + 2 * np.log(0.5) - 502 * np.log(2.0)
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-12)
    assert posterior.update({"y": [2.5]})["x"] == bk.Pareto(503.0, 2.5)


def test_a_count_that_does_not_start_at_zero():
    m = bk.Model(coords={"arm": 2})
    k = m.latent("k", bk.DiscreteUniform(6, 30), dims="arm")
    m.observed("y", bk.Binomial(k, 0.4), dims=("arm", "obs"))
    y = np.array([[3, 5, 4], [6, 5, 2]])
    posterior = m.condition({"y": y})
    values, total = np.arange(6, 31), 0.0
    for arm in range(2):
        like = lambda k, arm=arm: stats.binom(k[:, None], 0.4).logpmf(y[arm]).sum(axis=1)  # noqa: E731
        p, evidence = brute(values, stats.randint(6, 31).logpmf, like)
        total += evidence
        np.testing.assert_allclose(posterior["k"].cdf(values)[arm], np.cumsum(p), rtol=1e-10)
        assert posterior["k"].mode()[arm] == values[p.argmax()]
    assert posterior.log_evidence() == pytest.approx(total, rel=1e-12)


# ---- what has no posterior -----------------------------------------------------------------------------------------
def one(prior, child, y):
    m = bk.Model()
    m.observed("y", child(m.latent("x", prior)), dims="obs")
    return m.condition({"y": y}).explain()


IMPROPER = {
    "no successes": (bk.Beta(0, 0), bk.Bernoulli, [0, 0]),
    "no events": (bk.Gamma(0, 0), bk.Poisson, [0, 0]),
    "no spread": (bk.Gamma(0, 0), lambda x: bk.InverseGaussian(1.0, x), [1.0, 1.0]),
    "at zero": (bk.Gamma(0, 0), lambda x: bk.Uniform(0, x), [0.0]),
    "one under a flat end": (bk.Flat(0), lambda x: bk.Uniform(0, x), [0.3]),
    "at zero, of Weibull": (bk.Gamma(0, 0), lambda x: bk.Weibull(1.0, 1 / x), [0.0]),
}


@pytest.mark.parametrize("name", IMPROPER)
def test_improper_posteriors_are_refused_by_name(name):
    with pytest.raises(ImproperError, match="'x' is improper"):
        one(*IMPROPER[name])


def test_no_data_under_an_improper_prior():
    m = bk.Model()
    m.observed("y", bk.Uniform(0, m.latent("x", bk.Gamma(0, 0))), dims="obs")
    with pytest.raises(ImproperError, match="'x' is improper"):
        m.condition({}).explain()


IMPOSSIBLE = {
    "beyond the prior": (bk.Uniform(0, 3), lambda x: bk.Uniform(0, x), [1.0, 3.5], "possible under its prior"),
    "negative": (bk.Pareto(1, 1), lambda x: bk.Uniform(0, x), [1.0, -0.5], "must lie in"),
    "no angle": (bk.VonMises(0, 1), lambda x: bk.VonMises(x, 1), [3.5], "must lie in"),
    "more than drawn": (bk.BetaBinomial(9, 1, 1), lambda x: bk.Hypergeometric(9, x, 4), [5], "must lie in"),
    "not positive": (bk.Gamma(1, 1), lambda x: bk.InverseGaussian(1, x), [0.0], "must lie in"),
    "no value allows it": (bk.DiscreteUniform(2, 4), lambda x: bk.Binomial(x, 0.5), [3, 5], "some value of 'x'"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_data_are_refused(name):
    prior, child, y, reason = IMPOSSIBLE[name]
    with pytest.raises(SupportError, match=reason):
        one(prior, child, y)


REFUSED = {
    "a lower end": (bk.Pareto(1, 1), lambda x: bk.Uniform(0.1, x), [1.0], "lower is not 0"),
    "a whole line of angles": (bk.Flat(), lambda x: bk.VonMises(x, 1), [1.0], "flat from -pi to pi"),
    "two turns": (bk.VonMises(0, 1), lambda x: bk.VonMises(2 * x, 1), [1.0], "plus or minus 'x'"),
    "the scale itself": (bk.Gamma(1, 1), lambda x: bk.Weibull(1.5, x), [1.0], "its power 1.5"),
    "another exponent": (bk.Gamma(1, 1), lambda x: bk.Weibull(1.5, x**-0.5), [1.0], "its power 0.75"),
    "both of a Pareto": (bk.Exponential(1), lambda x: bk.Uniform(0, x), [1.0], "is not a Pareto distribution"),
    "ends on both sides of zero": (bk.Uniform(-1, 4), lambda x: bk.Uniform(0, x), [1.0], "positive numbers alone"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_row_says_why(name):
    from bayeskit.inference.conjugacy import match
    from bayeskit.model.binding import bind, read

    prior, child, y, reason = REFUSED[name]
    m = bk.Model()
    m.observed("y", child(m.latent("x", prior)), dims="obs")
    assert reason in str(match(bind(m, [read(m, {"y": y}, {})]), "x"))


def test_an_end_that_is_proper_between_bounds_alone_is_drawn():
    m = bk.Model(coords={"arm": 2})
    x = m.latent("x", bk.Uniform(0, 4), dims="arm")
    m.observed("y", bk.Uniform(0, x[m.index("row", dims="obs", into="arm")]), dims="obs")
    posterior = m.condition({"row": [0, 0, 1], "y": [1.0, 0.5, 2.0]})
    with pytest.raises(RefusedError, match="proper between its bounds alone"):
        posterior["x"]
    draws = posterior.sample(draws=2000, chains=2, seed=1)["posterior"]["x"].values.reshape(-1, 2)
    assert stats.kstest(draws[:, 0], lambda x: (1 - 1 / x) / (1 - 1 / 4)).pvalue > 1e-4
    assert stats.kstest(draws[:, 1], lambda x: np.log(x / 2) / np.log(2)).pvalue > 1e-4


def test_one_observation_below_a_flat_end():
    m = bk.Model()
    m.observed("y", bk.Uniform(0, m.latent("x", bk.Uniform(0, 4))))
    exact = m.condition({"y": 1.0})["x"]
    twin = stats.loguniform(1, 4)
    np.testing.assert_allclose([exact.mean(), exact.sd(), exact.cdf(2.0)], [twin.mean(), twin.std(), twin.cdf(2.0)])
