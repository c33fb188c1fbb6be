"""A regression with a thousand intercepts.

y ~ N(a_g + b x, s2), a_g ~ N(mu, t2); mu, b ~ N(0, 10^2); s2, t2 ~ IG(2, 1).
"""

import numpy as np

MONITORED = ("a", "mu", "b", "s2", "t2")
GROUPS = 1_000
JAGS_GLM = True  # the block samplers of its module glm apply


def data(n, groups=GROUPS):
    rng = np.random.default_rng(6)
    g, x = rng.permutation(np.arange(n) % groups), rng.standard_normal(n)
    a = rng.normal(1.0, 0.7, groups)
    return {"g": g, "x": x, "y": a[g] + 0.5 * x + rng.standard_normal(n)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    g, x = m.index("g", dims="obs"), m.data("x", dims="obs")
    mu, b = m.latent("mu", bk.Normal(0, 10)), m.latent("b", bk.Normal(0, 10))
    s2, t2 = m.latent("s2", bk.InverseGamma(2, 1)), m.latent("t2", bk.InverseGamma(2, 1))
    a = m.latent("a", bk.Normal(mu, var=t2), dims="g")
    m.observed("y", bk.Normal(a[g] + b * x, var=s2), dims="obs")
    return m.condition(data)


JAGS = """model {
  mu ~ dnorm(0, 0.01)
  b ~ dnorm(0, 0.01)
  tau ~ dgamma(2, 1)
  taua ~ dgamma(2, 1)
  for (j in 1:1000) { a[j] ~ dnorm(mu, taua) }
  for (i in 1:length(y)) { y[i] ~ dnorm(a[g[i]] + b * x[i], tau) }
  s2 <- 1 / tau
  t2 <- 1 / taua
}"""


def jags_data(data):
    return data | {"g": data["g"] + 1}


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        mu, b = pm.Normal("mu", 0, 10), pm.Normal("b", 0, 10)
        s2, t2 = pm.InverseGamma("s2", alpha=2, beta=1), pm.InverseGamma("t2", alpha=2, beta=1)
        a = pm.Normal("a", mu, t2**0.5, shape=GROUPS)
        pm.Normal("y", a[data["g"]] + b * data["x"], s2**0.5, observed=data["y"])
    return model


def numpyro(g, x, y):
    from numpyro import sample
    from numpyro.distributions import InverseGamma, Normal

    mu, b = sample("mu", Normal(0, 10)), sample("b", Normal(0, 10))
    s2, t2 = sample("s2", InverseGamma(2, 1)), sample("t2", InverseGamma(2, 1))
    a = sample("a", Normal(mu, t2**0.5).expand([GROUPS]).to_event(1))
    sample("y", Normal(a[g] + b * x, s2**0.5), obs=y)
