"""A normal sample with both parameters unknown: mu given s2 ~ N(0, s2 / 0.01), s2 ~ IG(2, 2). Conjugate."""

import numpy as np

MONITORED = ("mu", "s2")


def data(n):
    return {"y": np.random.default_rng(1).normal(3.0, 2.0, n)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    s2 = m.latent("s2", bk.InverseGamma(2, 2))
    mu = m.latent("mu", bk.Normal(0, var=s2 / 0.01))
    m.observed("y", bk.Normal(mu, var=s2), dims="obs")
    return m.condition(data)


JAGS = """model {
  tau ~ dgamma(2, 2)
  s2 <- 1 / tau
  mu ~ dnorm(0, 0.01 * tau)
  for (i in 1:length(y)) { y[i] ~ dnorm(mu, tau) }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        s2 = pm.InverseGamma("s2", alpha=2, beta=2)
        mu = pm.Normal("mu", 0, (s2 / 0.01) ** 0.5)
        pm.Normal("y", mu, s2**0.5, observed=data["y"])
    return model


def numpyro(y):
    from numpyro import sample
    from numpyro.distributions import InverseGamma, Normal

    s2 = sample("s2", InverseGamma(2, 2))
    mu = sample("mu", Normal(0, (s2 / 0.01) ** 0.5))
    sample("y", Normal(mu, s2**0.5), obs=y)


def conjugate_models(data, shape, rng):
    from conjugate.distributions import NormalInverseGamma
    from conjugate.models import normal

    y = data["y"]
    prior = NormalInverseGamma(mu=0, nu=0.01, alpha=2, beta=2)
    posterior = normal(x_total=y.sum(), x2_total=(y**2).sum(), n=len(y), prior=prior)
    s2 = posterior.inverse_gamma.dist.rvs(size=shape, random_state=rng)
    return {"s2": s2, "mu": rng.normal(posterior.mu, (s2 / posterior.nu) ** 0.5)}
