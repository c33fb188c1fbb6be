"""Eight schools (Rubin, 1981, Journal of Educational Statistics 6): mu ~ N(0, 5), tau ~ HalfCauchy(5).

Gradient samplers are given the non-centred form, which suits them best.
"""

import numpy as np

MONITORED = ("mu", "tau", "theta")


def data():
    return {
        "y": np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
        "se": np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
    }


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    se = m.data("se", dims="school")
    mu = m.latent("mu", bk.Normal(0, 5))
    tau = m.latent("tau", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m.condition(data)


JAGS = """model {
  mu ~ dnorm(0, 1 / 25)
  tau ~ dt(0, 1 / 25, 1) T(0, )
  for (i in 1:8) {
    theta[i] ~ dnorm(mu, 1 / tau^2)
    y[i] ~ dnorm(theta[i], 1 / se[i]^2)
  }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        raw = pm.Normal("raw", 0, 1, shape=8)
        theta = pm.Deterministic("theta", mu + tau * raw)
        pm.Normal("y", theta, data["se"], observed=data["y"])
    return model


def numpyro(y, se):
    from numpyro import deterministic, sample
    from numpyro.distributions import HalfCauchy, Normal

    mu = sample("mu", Normal(0, 5))
    tau = sample("tau", HalfCauchy(5))
    raw = sample("raw", Normal(0, 1).expand([8]).to_event(1))
    theta = deterministic("theta", mu + tau * raw)
    sample("y", Normal(theta, se), obs=y)
