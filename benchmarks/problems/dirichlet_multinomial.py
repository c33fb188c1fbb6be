"""A die of ten faces: y ~ Categorical(p), p ~ Dirichlet(1, ..., 1). Conjugate."""

import numpy as np

MONITORED = ("p",)
FACES = 10


def data(n):
    rng = np.random.default_rng(3)
    return {"y": rng.choice(FACES, size=n, p=rng.dirichlet(np.full(FACES, 3.0)))}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model(coords={"face": FACES})
    p = m.latent("p", bk.Dirichlet(np.ones(FACES)), dims="face")
    m.observed("y", bk.Categorical(p), dims="obs")
    return m.condition(data)


JAGS = """model {
  p ~ ddirch(alpha)
  for (i in 1:length(y)) { y[i] ~ dcat(p) }
}"""


def jags_data(data):
    return {"y": data["y"] + 1, "alpha": np.ones(FACES)}


def pymc(data):
    import pymc as pm

    with pm.Model() as model:
        p = pm.Dirichlet("p", np.ones(FACES))
        pm.Categorical("y", p, observed=data["y"])
    return model


def numpyro(y):
    from numpyro import sample
    from numpyro.distributions import Categorical, Dirichlet

    p = sample("p", Dirichlet(np.ones(FACES)))
    sample("y", Categorical(p), obs=y)


def conjugate_models(data, shape, rng):
    from conjugate.distributions import Dirichlet
    from conjugate.models import categorical_dirichlet

    counts = np.bincount(data["y"], minlength=FACES)
    posterior = categorical_dirichlet(x=counts, prior=Dirichlet(alpha=np.ones(FACES)))
    return {"p": posterior.dist.rvs(size=shape, random_state=rng)}
