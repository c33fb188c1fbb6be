"""Four normal variables with 15 % of the entries missing: mu ~ N(0, 10^2 I), Sigma ~ InverseWishart(6, I).

All systems are given the missing entries as unknowns. JAGS has no partly observed vectors: it gets the regression of
each column on those before it, where Sigma ~ InverseWishart(nu, I) means that column j of d has the residual variance
d_j ~ IG((nu - d + j) / 2, 1 / 2) and coefficients ~ N(0, d_j). Gradient samplers get the precision by its Bartlett
factor A (the inverse of Sigma is A A'), which is also what scales the residuals: no factorisation at all.
"""

import numpy as np

MONITORED = ("mu", "Sigma")
DIM, NU = 4, 6


def data(n):
    rng = np.random.default_rng(10)
    factor = np.array([[1.0, 0, 0, 0], [0.6, 1.2, 0, 0], [-0.3, 0.4, 0.8, 0], [0.2, 0.1, -0.5, 1.0]])
    y = np.array([1.0, -2.0, 0.5, 3.0]) + rng.standard_normal((n, DIM)) @ factor.T
    return {"y": np.where(rng.random((n, DIM)) < 0.15, np.nan, y)}


def bayeskit(data):
    import bayeskit as bk

    m = bk.Model()
    mu = m.latent("mu", bk.MvNormal(np.zeros(DIM), cov=100 * np.eye(DIM)), dims="k")
    cov = m.latent("Sigma", bk.InverseWishart(NU, np.eye(DIM)), dims=("k", "k_"))
    m.observed("y", bk.MvNormal(mu, cov=cov), dims=("obs", "k"))
    return m.condition(data)


JAGS = """model {
  for (j in 1:4) {
    mu[j] ~ dnorm(0, 0.01)
    tau[j] ~ dgamma((2 + j) / 2, 1 / 2)
  }
  for (j in 2:4) { for (k in 1:(j - 1)) { phi[j, k] ~ dnorm(0, tau[j]) } }
  for (i in 1:n) {
    y[i, 1] ~ dnorm(mu[1], tau[1])
    for (j in 2:4) { y[i, j] ~ dnorm(mu[j] + inprod(phi[j, 1:(j - 1)], y[i, 1:(j - 1)] - mu[1:(j - 1)]), tau[j]) }
  }
}"""
JAGS_MONITORED = ("mu", "phi", "tau")


def jags_data(data):
    return {"y": np.ma.masked_invalid(data["y"]), "n": len(data["y"])}


def jags_draws(draws):
    """From the regressions of each column on those before it to the covariance."""
    phi = np.zeros((*draws["tau"].shape, DIM))
    phi[..., : DIM - 1] = np.nan_to_num(draws["phi"])  # JAGS knows no last column, and nothing above the diagonal
    half = np.linalg.inv(np.eye(DIM) - np.tril(phi, -1))
    return {"mu": draws["mu"], "Sigma": (half / draws["tau"][..., None, :]) @ half.swapaxes(-1, -2)}


def pymc(data):
    import pymc as pm
    import pytensor.tensor as pt

    rows, columns = np.tril_indices(DIM, -1)
    missing = np.nonzero(np.isnan(data["y"]))
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10, shape=DIM)
        chi2 = pm.ChiSquared("chi2", NU - np.arange(DIM), shape=DIM)
        below = pm.Normal("below", 0, 1, shape=len(rows))
        bartlett = pt.diag(chi2**0.5)[rows, columns].set(below)
        half = pt.linalg.solve_triangular(bartlett, pt.eye(DIM), lower=True)
        pm.Deterministic("Sigma", half.T @ half)
        unknown = pm.Flat("y_missing", shape=len(missing[0]), initval=np.zeros(len(missing[0])))
        y = pt.as_tensor(data["y"])[missing].set(unknown)
        scaled = (y - mu) @ bartlett
        pm.Potential("y", len(data["y"]) * 0.5 * pt.log(chi2).sum() - 0.5 * (scaled**2).sum())
    return model


def numpyro(y):
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular
    from numpyro import deterministic, factor, sample
    from numpyro.distributions import Chi2, ImproperUniform, Normal, constraints

    missing = np.nonzero(np.isnan(np.asarray(y)))
    mu = sample("mu", Normal(0, 10).expand([DIM]).to_event(1))
    chi2 = sample("chi2", Chi2(NU - jnp.arange(DIM)).to_event(1))
    below = sample("below", Normal(0, 1).expand([DIM * (DIM - 1) // 2]).to_event(1))
    bartlett = jnp.diag(chi2**0.5).at[np.tril_indices(DIM, -1)].set(below)
    half = solve_triangular(bartlett, jnp.eye(DIM), lower=True)
    deterministic("Sigma", half.T @ half)
    full = (
        jnp.asarray(y).at[missing].set(sample("y_missing", ImproperUniform(constraints.real, (), (len(missing[0]),))))
    )
    scaled = (full - mu) @ bartlett
    factor("y", len(y) * 0.5 * jnp.log(chi2).sum() - 0.5 * (scaled**2).sum())
