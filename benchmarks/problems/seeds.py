"""Germination on 21 plates (Crowder, 1978, Applied Statistics 27, table 3; `seeds` of BUGS volume 1).

r_i ~ Binomial(n_i, p_i), logit p_i = X_i a + b_i, b_i ~ N(0, sigma); a ~ N(0, 10^2), sigma ~ HalfNormal(1).
Columns of X: one, kind of seed, root extract, their product.
"""

import numpy as np

MONITORED = ("a", "sigma", "b")
JAGS_GLM = True  # the block samplers of its module glm apply


def data():
    x1, x2 = np.repeat([0.0, 1.0], [11, 10]), np.repeat([0.0, 1.0, 0.0, 1.0], [5, 6, 5, 5])
    return {
        "r": np.array([10, 23, 23, 26, 17, 5, 53, 55, 32, 46, 10, 8, 10, 8, 23, 0, 3, 22, 15, 32, 3]),
        "n": np.array([39, 62, 81, 51, 39, 6, 74, 72, 51, 79, 13, 16, 30, 28, 45, 4, 12, 41, 30, 51, 7]),
        "X": np.column_stack([np.ones(21), x1, x2, x1 * x2]),
    }


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    n, X = m.data("n", dims="plate"), m.data("X", dims=("plate", "k"))
    a = m.latent("a", bk.Normal(0, 10), dims="k")
    sigma = m.latent("sigma", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, sigma), dims="plate")
    m.observed("r", bk.Binomial(n, logit=X @ a + b), dims="plate")
    return m.condition(data)


JAGS = """model {
  for (j in 1:4) { a[j] ~ dnorm(0, 0.01) }
  sigma ~ dnorm(0, 1) T(0, )
  for (i in 1:21) {
    b[i] ~ dnorm(0, 1 / sigma^2)
    logit(p[i]) <- inprod(X[i, ], a) + b[i]
    r[i] ~ dbin(p[i], n[i])
  }
}"""


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        a = pm.Normal("a", 0, 10, shape=4)
        sigma = pm.HalfNormal("sigma", 1)
        raw = pm.Normal("raw", 0, 1, shape=21)
        b = pm.Deterministic("b", sigma * raw)
        pm.Binomial("r", data["n"], logit_p=data["X"] @ a + b, observed=data["r"])
    return model


def numpyro(r, n, X):
    from numpyro import deterministic, sample
    from numpyro.distributions import Binomial, HalfNormal, Normal

    a = sample("a", Normal(0, 10).expand([4]).to_event(1))
    sigma = sample("sigma", HalfNormal(1))
    raw = sample("raw", Normal(0, 1).expand([21]).to_event(1))
    b = deterministic("b", sigma * raw)
    sample("r", Binomial(n, logits=X @ a + b), obs=r)
