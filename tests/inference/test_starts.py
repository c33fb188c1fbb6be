"""Where chains start: models whose priors put a start at random out of reach of the data."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayeskit as bk
from bayeskit.inference.steps import EnumerateStep
from bayeskit.inference.sweep_plan import plan_steps


def rhat(values):
    return float(array_stats.rhat(np.asarray(values, dtype=float), chain_axis=0, draw_axis=1))


def test_sites_where_an_animal_was_seen_start_occupied():
    """A start from the prior calls some occupied site of 150 empty, always: its density is zero."""
    rng = np.random.default_rng(0)
    occupied = rng.random(150) < 0.6
    seen = (rng.random((150, 4)) < 0.4 * occupied[:, None]).astype(int)
    m = bk.Model()
    psi, p = m.latent("psi", bk.Beta(1, 1)), m.latent("p", bk.Beta(1, 1))
    z = m.latent("z", bk.Bernoulli(psi), dims="site")
    m.observed("y", bk.Bernoulli(p * z), dims=("site", "visit"))
    draws = m.condition({"y": seen}).sample(draws=300, tune=100, seed=1)["posterior"]

    grid = (np.arange(400) + 0.5) / 400
    share, chance = np.meshgrid(grid, grid, indexing="ij")
    log_density = np.zeros_like(share)
    for k in seen.sum(axis=1):
        log_density += np.log(share * chance**k * (1 - chance) ** (4 - k) + (k == 0) * (1 - share))
    weight = np.exp(log_density - log_density.max())
    for name, value in (("psi", share), ("p", chance)):
        error = float(array_stats.mcse(draws[name].values, chain_axis=0, draw_axis=1, method="mean"))
        assert abs(draws[name].mean().item() - np.sum(weight * value) / weight.sum()) < 5 * error
    assert draws["z"].values[:, :, seen.any(axis=1)].all()


def test_a_column_in_large_units_has_a_start_in_sight():
    """Salmonella: from exp(gamma * 1000) with gamma of order one no chain comes back, the plates' effects make up."""
    m = bk.Model()
    dose = m.data("dose", dims="dose_group")
    alpha, beta, gamma = (m.latent(name, bk.Normal(0, tau=1e-6)) for name in ("alpha", "beta", "gamma"))
    tau = m.latent("tau", bk.Gamma(0.001, 0.001))
    effect = m.latent("effect", bk.Normal(0, tau=tau), dims=("dose_group", "plate"))
    rate = np.exp(alpha + beta * np.log(dose + 10) + gamma * dose + effect)
    m.observed("y", bk.Poisson(rate), dims=("dose_group", "plate"))
    counts = [[15, 21, 29], [16, 18, 21], [16, 26, 33], [27, 41, 60], [33, 38, 41], [20, 27, 42]]
    posterior = m.condition({"dose": [0, 10, 33, 100, 333, 1000], "y": counts})
    draws = posterior.sample(draws=300, tune=300, seed=1)["posterior"]
    for name in ("alpha", "beta", "gamma"):
        assert rhat(draws[name]) < 1.1  # chains stuck at their starts have 4


def test_labels_are_drawn_after_the_parameters():
    m = bk.Model(coords={"component": 2})
    share = m.latent("share", bk.Dirichlet([1, 1]), dims="component")
    z = m.latent("z", bk.Categorical(share), dims="row")
    mean = m.latent("mean", bk.Normal(0, 1000), dims="component")
    sigma = m.latent("sigma", bk.HalfNormal(10))
    m.observed("y", bk.Normal(mean[z], sigma), dims="row")
    problem = m.condition({"y": [529.0, 530.0, 548.0, 551.0]})._problem
    steps = plan_steps(problem, list(problem.latents), {}).steps
    assert [isinstance(s, EnumerateStep) for s in steps] == [False] * (len(steps) - 1) + [True]


@pytest.mark.parametrize("unit", [1e-12, 1e6, 1e8, 1e20])
def test_units_of_the_data_change_nothing(unit):
    """A unit multiplies the density of 30 rows by ``unit**-30``: neither the rung nor the approximations may change."""

    def groups(unit):
        rng = np.random.default_rng(1)
        group = np.repeat(np.arange(6), 5)
        m = bk.Model()
        g = m.index("g", dims="i")
        mu, tau = m.latent("mu", bk.Normal(0, 10 * unit)), m.latent("tau", bk.HalfNormal(5 * unit))
        theta = m.latent("theta", bk.Normal(mu, tau), dims="g")
        m.observed("y", bk.Normal(theta[g], m.latent("sigma", bk.HalfNormal(5 * unit))), dims="i")
        return m.condition({"g": group, "y": unit * (rng.normal(size=6)[group] + 2 + 0.5 * rng.normal(size=30))})

    plain, other = groups(1.0), groups(unit)
    assert "collapsed" in other.explain()
    evidence = other.log_evidence()
    assert abs(evidence + 30 * np.log(unit) - plain.log_evidence()) < 4 * evidence.se
    assert (
        abs(other.laplace().log_evidence + 30 * np.log(unit) - plain.laplace().log_evidence) < 0.02
    )  # stencils differ
