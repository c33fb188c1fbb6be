"""Ten thousand conversion rates: y_g ~ Binomial(n_g, p_g), p_g ~ Beta(1, 1), all independent. Conjugate."""

import numpy as np

MONITORED = ("p",)


def data(groups):
    rng = np.random.default_rng(4)
    n = rng.integers(100, 2000, groups)
    return {"n": n, "y": rng.binomial(n, rng.beta(4, 60, groups))}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    n = m.data("n", dims="group")
    p = m.latent("p", bk.Beta(1, 1), dims="group")
    m.observed("y", bk.Binomial(n, p), dims="group")
    return m.condition(data)


JAGS = """model {
  for (g in 1:length(y)) {
    p[g] ~ dbeta(1, 1)
    y[g] ~ dbin(p[g], n[g])
  }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        p = pm.Beta("p", 1, 1, shape=len(data["y"]))
        pm.Binomial("y", data["n"], p, observed=data["y"])
    return model


def numpyro(n, y):
    from numpyro import sample
    from numpyro.distributions import Beta, Binomial

    p = sample("p", Beta(1, 1).expand([len(y)]).to_event(1))
    sample("y", Binomial(n, p), obs=y)


def conjugate_models(data, shape, rng):
    from conjugate.distributions import Beta
    from conjugate.models import binomial_beta

    posterior = binomial_beta(n=data["n"], x=data["y"], prior=Beta(alpha=1, beta=1))
    return {"p": posterior.dist.rvs(size=(*shape, len(data["y"])), random_state=rng)}
