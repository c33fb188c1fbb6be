"""A mixture of three normals: w ~ Dirichlet(1), mu_k ~ N(0, 10^2) in increasing order, s2_k ~ IG(2, 1).

Gradient samplers are given the likelihood with the labels summed out. JAGS has no ordered vectors: its components are
put in order afterwards, draw by draw, which is the same posterior.
"""

import numpy as np

MONITORED = ("w", "mu", "s2")
INIT = {"mu": np.array([-4.0, 0.0, 4.0])}  # for the peers: from anywhere, a chain in three or so stays in a lesser mode


def data(n):
    rng = np.random.default_rng(9)
    z = rng.choice(3, size=n, p=[0.3, 0.5, 0.2])
    return {"y": np.array([-4.0, 0.0, 5.0])[z] + np.array([1.0, 0.7, 1.4])[z] * rng.standard_normal(n)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model(coords={"component": 3})
    w = m.latent("w", bk.Dirichlet(np.ones(3)), dims="component")
    mu = m.latent("mu", bk.Ordered(bk.Normal(0, 10)), dims="component")
    s2 = m.latent("s2", bk.InverseGamma(2, 1), dims="component")
    z = m.latent("z", bk.Categorical(w), dims="obs")
    m.observed("y", bk.Normal(mu[z], var=s2[z]), dims="obs")
    return m.condition(data)


JAGS = """model {
  w ~ ddirch(alpha)
  for (k in 1:3) {
    mu[k] ~ dnorm(0, 0.01)
    tau[k] ~ dgamma(2, 1)
    s2[k] <- 1 / tau[k]
  }
  for (i in 1:length(y)) {
    z[i] ~ dcat(w)
    y[i] ~ dnorm(mu[z[i]], tau[z[i]])
  }
}"""


def jags_data(data):
    return data | {"alpha": np.ones(3)}


def jags_init(data):
    """With labels too: JAGS would draw them from the prior, and the means would forget where they started."""
    return INIT | {"z": 1 + np.abs(data["y"][:, None] - INIT["mu"]).argmin(axis=1)}


def jags_draws(draws):
    order = np.argsort(draws["mu"], axis=-1)
    return {name: np.take_along_axis(values, order, axis=-1) for name, values in draws.items()}


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(3))
        ordered = pm.distributions.transforms.ordered
        mu = pm.Normal("mu", 0, 10, shape=3, transform=ordered, initval=INIT["mu"])
        s2 = pm.InverseGamma("s2", alpha=2, beta=1, shape=3)
        pm.NormalMixture("y", w, mu, sigma=s2**0.5, observed=data["y"])
    return model


def numpyro(y):
    from numpyro import sample
    from numpyro.distributions import (
        Categorical,
        Dirichlet,
        ImproperUniform,
        InverseGamma,
        MixtureSameFamily,
        Normal,
        constraints,
    )

    w = sample("w", Dirichlet(np.ones(3)))
    mu = sample("mu", ImproperUniform(constraints.ordered_vector, (), (3,)))
    _prior = sample("mu_prior", Normal(0, 10).to_event(0).expand([3]).to_event(1), obs=mu)
    s2 = sample("s2", InverseGamma(2, 1).expand([3]).to_event(1))
    sample("y", MixtureSameFamily(Categorical(w), Normal(mu, s2**0.5)), obs=y)
