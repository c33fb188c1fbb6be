"""Ten pumps of a power plant (George, Makov and Smith, 1993, Scandinavian Journal of Statistics 20; `pumps` of BUGS).

x_i ~ Poisson(theta_i t_i), theta_i ~ Gamma(alpha, beta), alpha ~ Exponential(1), beta ~ Gamma(0.1, 1).
"""

import numpy as np

MONITORED = ("theta", "alpha", "beta")


def data():
    return {
        "t": np.array([94.3, 15.7, 62.9, 126, 5.24, 31.4, 1.05, 1.05, 2.1, 10.5]),
        "x": np.array([5, 1, 5, 14, 3, 19, 1, 1, 4, 22]),
    }


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    t = m.data("t", dims="pump")
    alpha, beta = m.latent("alpha", bk.Exponential(1)), m.latent("beta", bk.Gamma(0.1, 1))
    theta = m.latent("theta", bk.Gamma(alpha, beta), dims="pump")
    m.observed("x", bk.Poisson(theta * t), dims="pump")
    return m.condition(data)


JAGS = """model {
  alpha ~ dexp(1)
  beta ~ dgamma(0.1, 1)
  for (i in 1:10) {
    theta[i] ~ dgamma(alpha, beta)
    x[i] ~ dpois(theta[i] * t[i])
  }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        alpha, beta = pm.Exponential("alpha", 1), pm.Gamma("beta", 0.1, 1)
        theta = pm.Gamma("theta", alpha, beta, shape=10)
        pm.Poisson("x", theta * data["t"], observed=data["x"])
    return model


def numpyro(t, x):
    from numpyro import sample
    from numpyro.distributions import Exponential, Gamma, Poisson

    alpha, beta = sample("alpha", Exponential(1)), sample("beta", Gamma(0.1, 1))
    theta = sample("theta", Gamma(alpha, beta).expand([10]).to_event(1))
    sample("x", Poisson(theta * t), obs=x)
