"""Models of ten rows whose posteriors are exact, of all kinds, and the evidence of some of their rows."""

import numpy as np

import bayeskit as bk

GROUP = np.array([0, 0, 1, 2, 2, 2, 1, 0, 2, 1])
X, NOISE = np.random.default_rng(4).normal(size=(2, 10))  # the same in every model, whatever runs before


def beta_binomial():
    m = bk.Model(coords={"arm": 3})
    n, arm = m.data("n", dims="obs"), m.index("arm", dims="obs")
    p = m.latent("p", bk.Beta(0.7, 2), dims="arm")
    m.observed("y", bk.Binomial(n, p[arm]), dims="obs")
    return m, {"n": GROUP + 4, "arm": GROUP, "y": np.array([1, 4, 0, 2, 6, 3, 2, 0, 5, 5.0])}


def dirichlet():
    m = bk.Model(coords={"arm": 3, "k": 4})
    arm = m.index("arm", dims="obs")
    p = m.latent("p", bk.Dirichlet([1, 0.5, 2, 1]), dims=("arm", "k"))
    m.observed("y", bk.Categorical(p[arm]), dims="obs")
    return m, {"arm": GROUP, "y": np.array([0, 1, 2, 2, 3, 2, 0, 0, 1, 1.0])}


def gamma_poisson():
    m = bk.Model(coords={"arm": 3})
    arm, t = m.index("arm", dims="obs"), m.data("t", dims="obs")
    rate = m.latent("rate", bk.Gamma(2, 0.5), dims="arm")
    m.observed("y", bk.Poisson(t * rate[arm]), dims="obs")
    return m, {"arm": GROUP, "t": np.exp(X), "y": np.array([1, 4, 0, 2, 6, 3, 12, 0, 5, 50.0])}


def gamma_precision():
    m = bk.Model(coords={"arm": 3})
    arm = m.index("arm", dims="obs")
    sigma = m.latent("sigma", bk.HalfNormal(2), dims="arm")
    m.observed("y", bk.Normal(0, sigma[arm]), dims="obs")
    return m, {"arm": GROUP, "y": 2 * X}


def normal_mean():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 10))
    m.observed("y", bk.Normal(mu, 2), dims="obs")
    return m, {"y": X + 100}


def log_normal():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 10))
    m.observed("y", bk.LogNormal(mu, 2), dims="obs")
    return m, {"y": np.exp(X)}


def regression():
    m = bk.Model()
    x = m.data("x", dims="obs")
    v = m.latent("v", bk.InverseGamma(2, 1))
    a, b = m.latent("a", bk.Normal(0, 10 * np.sqrt(v))), m.latent("b", bk.Normal(1, 3 * np.sqrt(v)))
    m.observed("y", bk.Normal(a + b * x, var=v), dims="obs")
    return m, {"x": X, "y": 3 + 2 * X + NOISE}


def regressions():
    m = bk.Model(coords={"arm": 3})
    x, arm = m.data("x", dims="obs"), m.index("arm", dims="obs")
    v = m.latent("v", bk.InverseGamma(2, 1), dims="arm")
    a = m.latent("a", bk.Normal(0, 10 * np.sqrt(v)), dims="arm")
    b = m.latent("b", bk.Normal(1, 3 * np.sqrt(v)), dims="arm")
    m.observed("y", bk.Normal(a[arm] + b[arm] * x, var=v[arm]), dims="obs")
    return m, {"x": X, "arm": GROUP, "y": 3 + 2 * X + NOISE}


def hierarchy():
    m = bk.Model(coords={"arm": 3})
    x, arm = m.data("x", dims="obs"), m.index("arm", dims="obs")
    mu, b = m.latent("mu", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 1))
    a = m.latent("a", bk.Normal(mu, 2), dims="arm")
    c = m.latent("c", bk.Normal(0, 0.3), dims="arm")
    m.observed("y", bk.Normal(a[arm] + (b + c[arm]) * x, 0.5), dims="obs")
    return m, {"x": X, "arm": GROUP, "y": GROUP + 2 * X + NOISE}


def random_effect():
    m = bk.Model(coords={"arm": 3})
    x, arm = m.data("x", dims="obs"), m.index("arm", dims="obs")
    tau = m.latent("tau", bk.HalfNormal(2))
    mu, b = m.latent("mu", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 1))
    a = m.latent("a", bk.Normal(mu, tau), dims="arm")
    m.observed("y", bk.Normal(a[arm] + b * x, 0.5), dims="obs")
    return m, {"x": X, "arm": GROUP, "y": GROUP + 2 * X + NOISE}


def crossed():
    m = bk.Model(coords={"arm": 3, "site": 4})
    arm, site = m.index("arm", dims="obs"), m.index("site", dims="obs")
    a = m.latent("a", bk.Normal(0, 2), dims="arm")
    b = m.latent("b", bk.Normal(0, 1), dims="site")
    m.observed("y", bk.Normal(a[arm] + b[site], 0.5), dims="obs")
    return m, {"arm": GROUP, "site": np.arange(10) % 4, "y": GROUP + NOISE}


def counts_under_a_rate():
    m = bk.Model(coords={"arm": 3})
    arm = m.index("arm", dims="obs")
    beta = m.latent("beta", bk.LogNormal(0, 1))
    rate = m.latent("rate", bk.Gamma(2, beta), dims="arm")
    m.observed("y", bk.Poisson(rate[arm]), dims="obs")
    return m, {"arm": GROUP, "y": np.array([1, 4, 0, 2, 6, 3, 12, 0, 5, 5.0])}


def indicator():
    m = bk.Model(coords={"arm": 3, "k": 3})
    arm = m.index("arm", dims="obs")
    centre = m.data("centre", dims="k")
    z = m.latent("z", bk.Categorical(np.array([0.2, 0.5, 0.3])), dims="arm")
    m.observed("y", bk.Normal(centre[z[arm]], 1.0), dims="obs")
    return m, {"arm": GROUP, "centre": np.array([-1.0, 0.3, 2]), "y": GROUP + 0.5 * X}


def impossible_values():
    """A row that rules a value of the indicator out, and with it the rest of the sum."""
    m = bk.Model(coords={"arm": 3})
    arm, top = m.index("arm", dims="obs"), m.data("top", dims="k")
    z = m.latent("z", bk.Categorical(np.array([0.2, 0.5, 0.3])), dims="arm")
    m.observed("y", bk.Uniform(0, top[z[arm]]), dims="obs")
    y = np.array([0.5, 1.5, 3, 0.1, 0.2, 1.9, 0.5, 0.7, 0.1, 1])
    return m, {"arm": GROUP, "top": np.array([1.0, 2, 4]), "y": y}


def bounded_mean():
    """Far from zero, where squares of the data hide their differences."""
    m = bk.Model()
    mu = m.latent("mu", bk.Truncated(bk.Normal(0, 1e5), lower=0))
    m.observed("y", bk.Normal(mu, 1), dims="obs")
    return m, {"y": X + 1e4}


def vectors():
    m = bk.Model(coords={"arm": 3, "k": ["a", "b"]})
    arm = m.index("arm", dims="obs")
    mu = m.latent("mu", bk.MvNormal([1.0, 2.0], cov=[[2.0, 0.5], [0.5, 1.0]]), dims=("arm", "k"))
    m.observed("y", bk.MvNormal(mu[arm], cov=[[0.5, -0.2], [-0.2, 0.4]]), dims=("obs", "k"))
    return m, {"arm": GROUP, "y": np.column_stack([X + GROUP, 2 - X])}


def wishart():
    m = bk.Model(coords={"arm": 3, "k": ["a", "b"]})
    arm = m.index("arm", dims="obs")
    T = m.latent("T", bk.Wishart(4, np.array([[1.0, 0.3], [0.3, 0.5]])), dims=("arm", "k", "k_"))
    m.observed("y", bk.MvNormal(np.array([0.5, 1]), tau=T[arm]), dims=("obs", "k"))
    return m, {"arm": GROUP, "y": np.column_stack([X, 1 - 2 * X + 0.1 * X**2])}


def multinomial():
    m = bk.Model(coords={"arm": 3, "k": 3})
    arm, n = m.index("arm", dims="obs"), m.data("n", dims="obs")
    p = m.latent("p", bk.Dirichlet([1, 0.5, 2]), dims=("arm", "k"))
    m.observed("y", bk.Multinomial(n, p[arm]), dims=("obs", "k"))
    y = np.random.default_rng(1).integers(0, 5, size=(10, 3))
    return m, {"arm": GROUP, "n": y.sum(axis=1), "y": y}


EXACT = [
    beta_binomial, dirichlet, gamma_poisson, gamma_precision, normal_mean, log_normal, regression, regressions,
    hierarchy, random_effect, crossed, counts_under_a_rate, indicator, impossible_values,
    bounded_mean, vectors, wishart, multinomial,
]  # fmt: skip


def without(m, data, rows):
    """The evidence of the other rows alone."""
    size = len(data["y"])
    left = {n: np.delete(v, rows, axis=0) if np.shape(v)[:1] == (size,) else v for n, v in data.items()}
    return m.condition(left).log_evidence()
