"""A coin: y ~ Bernoulli(p), p ~ Beta(1, 1). Conjugate."""

import numpy as np

MONITORED = ("p",)


def data(n):
    return {"y": np.random.default_rng(2).binomial(1, 0.3, n)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    p = m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Bernoulli(p), dims="obs")
    return m.condition(data)


JAGS = """model {
  p ~ dbeta(1, 1)
  for (i in 1:length(y)) { y[i] ~ dbern(p) }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        p = pm.Beta("p", 1, 1)
        pm.Bernoulli("y", p, observed=data["y"])
    return model


def numpyro(y):
    from numpyro import sample
    from numpyro.distributions import Bernoulli, Beta

    p = sample("p", Beta(1, 1))
    sample("y", Bernoulli(p), obs=y)


def conjugate_models(data, shape, rng):
    from conjugate.distributions import Beta
    from conjugate.models import binomial_beta

    posterior = binomial_beta(n=len(data["y"]), x=data["y"].sum(), prior=Beta(alpha=1, beta=1))
    return {"p": posterior.dist.rvs(size=shape, random_state=rng)}
