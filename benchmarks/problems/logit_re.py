"""A logistic regression with 200 intercepts.

logit p = a_g + X b, a_g ~ N(mu, tau); mu, b ~ N(0, 2.5^2), tau ~ HalfNormal(1).
"""

import numpy as np

MONITORED = ("a", "mu", "b", "tau")
GROUPS = 200
JAGS_GLM = True  # the block samplers of its module glm apply


def data(n, p=3):
    rng = np.random.default_rng(8)
    g, X = np.arange(n) % GROUPS, rng.standard_normal((n, p))
    eta = rng.normal(-0.3, 0.8, GROUPS)[g] + X @ np.array([0.5, -1.0, 0.2])
    return {"g": g, "X": X, "y": rng.binomial(1, 1 / (1 + np.exp(-eta)))}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    g, X = m.index("g", dims="obs"), m.data("X", dims=("obs", "k"))
    mu, b = m.latent("mu", bk.Normal(0, 2.5)), m.latent("b", bk.Normal(0, 2.5), dims="k")
    tau = m.latent("tau", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Bernoulli(logit=a[g] + X @ b), dims="obs")
    return m.condition(data)


JAGS = """model {
  mu ~ dnorm(0, 1 / 6.25)
  for (j in 1:3) { b[j] ~ dnorm(0, 1 / 6.25) }
  tau ~ dnorm(0, 1) T(0, )
  for (j in 1:200) { a[j] ~ dnorm(mu, 1 / tau^2) }
  eta <- X %*% b
  for (i in 1:length(y)) { y[i] ~ dbern(ilogit(a[g[i]] + eta[i])) }
}"""


def jags_data(data):
    return data | {"g": data["g"] + 1}


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        mu, b = pm.Normal("mu", 0, 2.5), pm.Normal("b", 0, 2.5, shape=3)
        tau = pm.HalfNormal("tau", 1)
        a = pm.Normal("a", mu, tau, shape=GROUPS)
        pm.Bernoulli("y", logit_p=a[data["g"]] + data["X"] @ b, observed=data["y"])
    return model


def numpyro(g, X, y):
    from numpyro import sample
    from numpyro.distributions import Bernoulli, HalfNormal, Normal

    mu, b = sample("mu", Normal(0, 2.5)), sample("b", Normal(0, 2.5).expand([3]).to_event(1))
    tau = sample("tau", HalfNormal(1))
    a = sample("a", Normal(mu, tau).expand([GROUPS]).to_event(1))
    sample("y", Bernoulli(logits=a[g] + X @ b), obs=y)
