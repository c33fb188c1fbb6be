"""A logistic regression: y ~ Bernoulli(logit = X b), b_j ~ N(0, 2.5^2)."""

import numpy as np

MONITORED = ("b",)
JAGS_GLM = True  # the block samplers of its module glm apply


def data(n, p=10):
    rng = np.random.default_rng(7)
    X = np.column_stack([np.ones(n), rng.standard_normal((n, p - 1))])
    chance = 1 / (1 + np.exp(-X @ rng.normal(0, 0.5, p)))
    return {"X": X, "y": rng.binomial(1, chance)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    X = m.data("X", dims=("obs", "k"))
    b = m.latent("b", bk.Normal(0, 2.5), dims="k")
    m.observed("y", bk.Bernoulli(logit=X @ b), dims="obs")
    return m.condition(data)


JAGS = """model {
  for (j in 1:10) { b[j] ~ dnorm(0, 1 / 6.25) }
  eta <- X %*% b
  for (i in 1:length(y)) { y[i] ~ dbern(ilogit(eta[i])) }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        b = pm.Normal("b", 0, 2.5, shape=data["X"].shape[1])
        pm.Bernoulli("y", logit_p=data["X"] @ b, observed=data["y"])
    return model


def numpyro(X, y):
    from numpyro import sample
    from numpyro.distributions import Bernoulli, Normal

    b = sample("b", Normal(0, 2.5).expand([X.shape[1]]).to_event(1))
    sample("y", Bernoulli(logits=X @ b), obs=y)
