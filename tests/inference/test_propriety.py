"""Scales of latents with improper priors: refused by name where the posterior does not exist, sampled where it does."""

import numpy as np
import pytest

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
