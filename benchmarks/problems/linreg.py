"""A linear regression: y ~ N(X b, s2), b_j ~ N(0, 10^2), s2 ~ IG(2, 1)."""

import numpy as np

MONITORED = ("b", "s2")
JAGS_GLM = True  # the block samplers of its module glm apply


def data(n, p=10):
    rng = np.random.default_rng(5)
    X = np.column_stack([np.ones(n), rng.standard_normal((n, p - 1))])
    return {"X": X, "y": X @ rng.normal(0, 1, p) + 1.5 * rng.standard_normal(n)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    X = m.data("X", dims=("obs", "k"))
    b = m.latent("b", bk.Normal(0, 10), dims="k")
    s2 = m.latent("s2", bk.InverseGamma(2, 1))
    m.observed("y", bk.Normal(X @ b, var=s2), dims="obs")
    return m.condition(data)


JAGS = """model {
  for (j in 1:10) { b[j] ~ dnorm(0, 0.01) }
  tau ~ dgamma(2, 1)
  s2 <- 1 / tau
  mean <- X %*% b
  for (i in 1:length(y)) { y[i] ~ dnorm(mean[i], tau) }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        b = pm.Normal("b", 0, 10, shape=data["X"].shape[1])
        s2 = pm.InverseGamma("s2", alpha=2, beta=1)
        pm.Normal("y", data["X"] @ b, s2**0.5, observed=data["y"])
    return model


def numpyro(X, y):
    from numpyro import sample
    from numpyro.distributions import InverseGamma, Normal

    b = sample("b", Normal(0, 10).expand([X.shape[1]]).to_event(1))
    s2 = sample("s2", InverseGamma(2, 1))
    sample("y", Normal(X @ b, s2**0.5), obs=y)
