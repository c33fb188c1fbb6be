"""Models and data whose statistics must say what the rows say: those of the reduction, and more."""

import numpy as np

import bayeskit as bk
from tests.statistics.test_reduction import CASES as REDUCED

N = 60
CASES = {n: make for n, (make, _) in REDUCED.items() if "missing" not in n and n != "normal_plates"}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def eight_schools(rng):
    m = bk.Model(coords={"school": 8})
    se = m.data("se", dims="school")
    theta = m.latent(
        "theta", bk.Normal(m.latent("mu", bk.Normal(0, 5)), m.latent("tau", bk.HalfCauchy(5))), dims="school"
    )
    m.observed("y", bk.Normal(theta, se), dims="school")
    effects = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
    return m, {"se": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], "y": effects}


@case
def arms(rng):
    m = bk.Model(coords={"arm": ["A", "B"]})
    n, p = m.data("n", dims="arm"), m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m, {"n": [1000, 1010], "y": [52, 71]}


@case
def one_number(rng):
    m = bk.Model()
    m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(1, 1))))
    return m, {"y": 7}


@case
def regression(rng):
    m = bk.Model(coords={"k": 3})
    X, z = m.data("X", dims=("obs", "k")), m.data("z", dims="obs")
    v = m.latent("v", bk.InverseGamma(3, 2))
    a, b, c = (m.latent(n, bk.Normal(0, 10), dims=d) for n, d in (("a", ()), ("b", "k"), ("c", ())))
    m.observed("y", bk.Normal(a + X @ b + c * z**2, var=v), dims="obs")
    X_, z_ = rng.normal([5.0, 0.0, 100.0], 1.0, (N, 3)), rng.normal(size=N)
    return m, {"X": X_, "z": z_, "y": X_ @ [1.0, -2.0, 0.5] + z_**2 + rng.normal(size=N)}


@case
def regression_in_groups(rng):
    m = bk.Model()
    county, x = m.index("county", dims="obs"), m.data("x", dims="obs")
    a = m.latent("a", bk.Normal(m.latent("mu", bk.Normal(0, 10)), m.latent("s_a", bk.HalfNormal(5))), dims="county")
    m.observed(
        "y", bk.Normal(a[county] + m.latent("b", bk.Normal(0, 10)) * x, m.latent("s", bk.HalfNormal(5))), dims="obs"
    )
    return m, {"county": rng.choice(list("abcdefg"), N), "x": rng.normal(size=N), "y": 3 + rng.normal(size=N)}


@case
def prior_columns(rng):
    m = bk.Model()
    g, u = m.index("g", dims="obs"), m.data("u", dims="g")
    a = m.latent("a", bk.Normal(m.latent("c", bk.Normal(0, 2)) * u, 1.5), dims="g")
    m.observed("y", bk.Normal(a[g], 2.0), dims="obs")
    return m, {"g": rng.choice(list("abcd"), N), "u": [1.0, 2.0, -1.0, 0.5], "y": rng.normal(size=N)}


@case
def heavy_tails(rng):
    m = bk.Model()
    m.observed("y", bk.StudentT(4, m.latent("mu", bk.Normal(0, 5)), 1.5), dims="obs")
    return m, {"y": np.round(rng.standard_t(4, N), 1)}


@case
def two_observed(rng):
    m = bk.Model()
    g = m.index("g", dims="obs")
    p, lam = m.latent("p", bk.Beta(1, 2), dims="g"), m.latent("lam", bk.Gamma(2, 1), dims="g")
    buys = m.observed("buys", bk.Bernoulli(p[g]), dims="obs")
    m.observed("spent", bk.Poisson(lam[g] * (0.5 + buys)), dims="obs")
    return m, {"g": rng.choice(list("xyz"), N), "buys": rng.integers(0, 2, N), "spent": rng.poisson(2.0, N)}


@case
def logistic(rng):
    m = bk.Model()
    x, a, b = m.data("x", dims="obs"), m.latent("a", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 2))
    m.observed("y", bk.Bernoulli(logit=a + b * x), dims="obs")
    return m, {"x": rng.normal(size=N), "y": rng.integers(0, 2, N)}


def made(name, seed=0):
    return CASES[name](np.random.default_rng(seed))


def states(problem, seed=1, batch=3):
    from bayeskit.testing import prior_state

    return prior_state(problem, batch, np.random.default_rng(seed))
