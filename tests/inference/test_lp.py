"""The density of the draws: from the sums of Gaussian blocks, it is that of the rows."""

import numpy as np
import pytest

import bayeskit as bk

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=60)


def exact_regression():
    m = bk.Model()
    x, v = m.data("X", dims=("obs", "k")), m.latent("v", bk.InverseGamma(2, 1))
    b = m.latent("b", bk.Normal(0, 10 * np.sqrt(v)), dims="k")
    m.observed("y", bk.Normal(x @ b, var=v), dims="obs")
    return m.condition({"X": X, "y": Y})


def known_sds():
    m = bk.Model(coords={"school": list("ABCD")})
    se, mu = m.data("se", dims="school"), m.latent("mu", bk.Normal(0, 5))
    tau = m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition({"se": [15.0, 10, 16, 11], "y": [28.0, 8, -3, 7]})


def groups_far_from_zero():
    m = bk.Model()
    g = m.index("g", dims="obs")
    mu, s, t = m.latent("mu", bk.Flat()), m.latent("s", bk.HalfNormal(5)), m.latent("t", bk.HalfNormal(5))
    a = m.latent("a", bk.Normal(mu, t), dims="g")
    m.observed("y", bk.Normal(a[g], s), dims="obs")
    return m.condition({"g": np.arange(60) % 6, "y": 1e6 + Y})


def vectors():
    m = bk.Model()
    S = m.latent("S", bk.InverseWishart(4, np.eye(2)), dims="d")
    mu = m.latent("mu", bk.Normal(0, 10), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    return m.condition({"y": RNG.normal(size=(30, 2))})


def student_t():
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 10)), m.latent("s", bk.HalfNormal(5))
    m.observed("y", bk.StudentT(4, mu, s), dims="obs")
    return m.condition({"y": Y})


def log_normal():
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 10)), m.latent("s", bk.HalfNormal(5))
    m.observed("y", bk.LogNormal(mu, s), dims="obs")
    return m.condition({"y": np.exp(Y)})


@pytest.mark.parametrize(
    "model",
    [exact_regression, known_sds, groups_far_from_zero, vectors, student_t, log_normal],
    ids=lambda f: f.__name__,
)
def test_lp_is_the_log_joint_density(model):
    posterior = model()
    tree = posterior.sample(20, tune=20, seed=1)
    draws = {n: tree["posterior"][n].values.reshape(80, *v.shape) for n, v in posterior._problem.latents.items()}
    direct = posterior._problem.log_joint(draws).reshape(4, 20)
    assert np.allclose(tree["sample_stats"]["lp"].values, direct, rtol=1e-9, atol=1e-7)


def test_lp_does_not_evaluate_summed_rows(monkeypatch):
    posterior = exact_regression()
    rows = next(f for f in posterior._problem.factors if f.name == "y")
    monkeypatch.setattr(type(rows.distribution), "_log_prob", None)
    assert np.isfinite(posterior.sample(20, seed=1)["sample_stats"]["lp"]).all()
