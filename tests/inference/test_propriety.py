"""Scales of latents with improper priors: refused by name where the posterior does not exist, sampled where it does."""

import numpy as np
import pytest
from scipy.special import gammaln

import bayeskit as bk
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.block import GaussianBlock


def groups(prior, mean, count, by="sigma"):
    m = bk.Model(coords={"group": count})
    mu = m.latent("mu", mean)
    tau = m.latent("tau", prior)
    theta = m.latent("theta", bk.Normal(mu, **{by: tau}), dims="group")
    m.observed("y", bk.Normal(theta, 10.0), dims="group")
    return m.condition({"y": np.arange(float(count))})


@pytest.mark.parametrize(
    ("prior", "mean", "count", "by"),
    [
        (bk.Flat(lower=0), bk.Flat(), 2, "sigma"),
        (bk.Flat(lower=0), bk.Normal(0, 5), 1, "sigma"),
        (bk.Flat(lower=0), bk.Flat(), 3, "var"),
        (bk.Flat(lower=0), bk.Normal(0, 5), 8, "tau"),
        (bk.InverseGamma(0, 0), bk.Flat(), 8, "var"),
        (bk.Gamma(0, 0), bk.Normal(0, 5), 8, "tau"),
    ],
)
def test_improper(prior, mean, count, by):
    for method in ("auto", "collapsed", "gibbs"):
        with pytest.raises(ImproperError, match="The posterior of 'tau', the scale of 'theta', is improper"):
            groups(prior, mean, count, by).explain(method=method)


@pytest.mark.parametrize(
    ("prior", "mean", "count", "by"),
    [
        (bk.Flat(lower=0), bk.Flat(), 3, "sigma"),
        (bk.Flat(lower=0), bk.Normal(0, 5), 2, "sigma"),
        (bk.Flat(lower=0), bk.Flat(), 4, "var"),
        (bk.Flat(lower=0, upper=50), bk.Flat(), 2, "sigma"),
        (bk.InverseGamma(0.001, 0.001), bk.Flat(), 2, "var"),
        (bk.InverseGamma(0, 1), bk.Flat(), 8, "var"),
    ],
)
def test_proper(prior, mean, count, by):
    posterior = groups(prior, mean, count, by)
    assert "collapsed" in posterior.explain()
    assert "gibbs" in posterior.explain(method="gibbs")


def test_a_sweep_that_breaks_down_says_so(monkeypatch):
    posterior = groups(bk.HalfNormal(1), bk.Normal(0, 5), 4)

    def fail(*args):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr(GaussianBlock, "draw", fail)
    with pytest.raises(RefusedError, match="The sweep broke down at 'mu', 'theta', 'tau': a matrix lost its digits"):
        posterior.sample(10, tune=10, seed=1, method="gibbs")


def noise(y, prior, group=None, shared=False):
    m = bk.Model()
    g = m.index("g", dims="i")
    mu = m.latent("mu", bk.Normal(0, 10), dims=() if shared else "g")
    sigma = m.latent("sigma", prior, dims="g")
    m.observed("y", bk.Normal(mu if shared else mu[g], sigma[g]), dims="i")
    return m.condition({"g": group or ["a"] * len(y), "y": y})


MIXED = [1.2, 1.5, 0.9, 2.1, 2.1, 2.1, 3.3, 3.4, 3.7]


@pytest.mark.parametrize(
    ("y", "prior", "group", "shared"),
    [
        ([2.0] * 5, bk.HalfNormal(1), None, False),
        ([2.1, 2.1], bk.HalfCauchy(1), None, False),
        ([0.0] * 3, bk.Uniform(0, 2), None, False),
        ([2.1] * 5, bk.Gamma(2, 1), None, False),
        (MIXED, bk.Exponential(1), list("aaabbbccc"), False),
        (MIXED, bk.HalfNormal(1), list("aaabbbccc"), True),
    ],
)
def test_rows_that_are_alike_do_not_bound_their_noise(y, prior, group, shared):
    """With n of them the likelihood rises as sigma**-(n - 1), which no density that is positive at zero mends."""
    for method in ("auto", "collapsed", "gibbs"):
        with pytest.raises(ImproperError, match="The posterior of 'sigma', the scale of 'y', is improper: rows are"):
            noise(y, prior, group, shared).explain(method=method)


@pytest.mark.parametrize(
    ("y", "prior", "group"),
    [
        ([2.1], bk.HalfNormal(1), None),
        ([2.1] * 5, bk.Gamma(8, 1), None),
        ([2.1] * 5, bk.LogNormal(0, 1), None),
        ([2.0, 2.0 + 1e-13, 2.0 - 1e-13], bk.HalfNormal(1), None),
        ([1e10, 1.1e10, 0.9e10, 1e-6, 1.1e-6, 0.9e-6], bk.HalfCauchy(1), list("aaabbb")),
    ],
)
def test_rows_that_bound_their_noise_are_not_refused(y, prior, group):
    assert "collapsed" in noise(y, prior, group).explain()


def test_one_of_many_groups_whose_rows_are_alike():
    rng = np.random.default_rng(0)
    y = rng.normal(5, 1, (40, 3))
    group = list(np.repeat(np.arange(40), 3))
    assert "40 independent cores" in noise(y.ravel(), bk.HalfNormal(1), group).explain()
    y[17] = y[17, 0]
    for method in ("auto", "gibbs"):
        with pytest.raises(ImproperError, match="'sigma', the scale of 'y', is improper: rows are fitted exactly"):
            noise(y.ravel(), bk.HalfNormal(1), group).explain(method=method)
    assert "40 independent cores" in noise(y.ravel(), bk.LogNormal(0, 1), group).explain()
    y[17] += 1e-10 * np.array([1.0, 2.0, 4.0])
    one = noise(y[17], bk.HalfNormal(1))["sigma"].quantile(0.5).item()
    among = noise(y.ravel(), bk.HalfNormal(1), group)["sigma"].quantile(0.5).sel(g=17).item()
    np.testing.assert_allclose(among, one, rtol=1e-6)


def test_a_line_through_all_rows_does_not_bound_their_noise():
    def line(count):
        m = bk.Model()
        x, a, b = m.data("x", dims="i"), m.latent("a", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 10))
        m.observed("y", bk.Normal(a + b * x, m.latent("sigma", bk.HalfNormal(1))), dims="i")
        return m.condition({"x": 0.1 * np.arange(count), "y": 1.0 + 0.3 * np.arange(count)})

    with pytest.raises(ImproperError, match="'sigma', the scale of 'y', is improper: rows are fitted exactly"):
        line(4).explain()
    assert "collapsed" in line(2).explain()  # as many coefficients as rows


@pytest.mark.parametrize("size", [1e-6, 1e-9, 1e-12])
def test_minute_noise_is_not_lost_beside_the_pull_of_a_prior(size):
    """Under a flat prior the posterior of sigma has the moments of an inverse gamma on its square."""
    e = np.array([0.3, -1.2, 0.5, 0.9, -0.4])
    y = 2.0 + size * e
    posterior = noise(y, bk.HalfNormal(1))
    squares = np.sum((y - y.mean()) ** 2)
    mean = np.sqrt(squares / 2) * np.exp(gammaln(1.0) - gammaln(1.5))
    np.testing.assert_allclose(posterior["sigma"].mean().item(), mean, rtol=1e-6)


def test_a_proper_prior_is_not_called_improper():
    m = bk.Model()
    m.observed("y", bk.Normal(0, m.latent("sigma", bk.HalfNormal(1))), dims="i")
    with pytest.raises(ImproperError, match=r"under its prior HalfNormal\(1\) the data let the density rise"):
        m.condition({"y": [0.0, 0.0]}).explain()


@pytest.mark.parametrize("prior", [bk.HalfNormal(2), bk.InverseGamma(2, 2)])
def test_more_flat_coefficients_than_rows(prior):
    m = bk.Model(coords={"k": 3})
    X, b = m.data("X", dims=("i", "k")), m.latent("b", bk.Flat(), dims="k")
    m.observed("y", bk.Normal(X @ b, m.latent("s", prior)), dims="i")
    with pytest.raises(ImproperError, match="The posterior of 'b' is improper: 2 rows do not determine 3 coefficients"):
        m.condition({"X": [[1.0, 2.0, 0.5], [0.3, 1.0, -1.0]], "y": [1.0, 2.0]}).explain()


def test_a_flat_level_beside_flat_groups_is_not_determined():
    """What is left of its precision once the groups are eliminated is a rounding error, of either sign."""
    m = bk.Model()
    g = m.index("g", dims="i")
    a, t = m.latent("a", bk.Flat()), m.latent("t", bk.Flat(), dims="g")
    m.observed("y", bk.Normal(a + t[g], 1.0), dims="i")
    with pytest.raises(ImproperError, match="is improper: the data do not determine 'a', 't'"):
        m.condition({"g": list("aabbcc"), "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}).explain()
