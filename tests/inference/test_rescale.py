"""The move of a scale with the latents below it stretched: right against a grid, planned only where it may be."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayeskit as bk
from bayeskit.inference.steps.rescale import RescaleStep, rescale_step
from tests.inference.monte_carlo import LIMIT


def model(prior, counts, scale):
    m = bk.Model()
    s = m.latent("s", prior)
    b = m.latent("b", bk.Normal(1.0, **scale(s)), dims="k")
    m.observed("y", bk.Poisson(np.exp(b)), dims="k")
    return m.condition({"y": counts})


@pytest.mark.parametrize(
    ("prior", "scale"),
    [
        (bk.HalfNormal(1), lambda s: {"sigma": s}),
        (bk.Gamma(2, 1), lambda s: {"tau": s}),
        (bk.Gamma(2, 1), lambda s: {"var": 3 * s}),
    ],
)
def test_alone_with_the_standardised_latent_drawn_exactly(prior, scale):
    """With z fixed the step alone must leave p(s | z, y) invariant: a grid of s knows its mean and variance."""
    problem = model(prior, [4, 0], scale)._choose("gibbs", None).working
    step = rescale_step(problem, "s", ["b"])
    assert isinstance(step, RescaleStep)
    z = np.array([1.5, -0.7])
    grid = np.linspace(1e-3, 25, 20_001)
    sd = {"sigma": grid, "tau": grid**-0.5, "var": np.sqrt(3 * grid)}[next(iter(scale(grid)))]
    eta = 1 + sd[:, None] * z
    log_density = prior._log_prob(grid, *prior.canonical.values()) + (np.array([4, 0]) * eta - np.exp(eta)).sum(axis=1)
    weight = np.exp(log_density - log_density.max())
    mean, square = (np.average(v, weights=weight) for v in (grid, grid**2))
    start = np.ones(4)
    sd_of_start = {"sigma": 1.0, "tau": 1.0, "var": 3.0**0.5}[next(iter(scale(grid)))]
    env = {**problem.env, "s": start, "b": np.tile(1 + sd_of_start * z, (4, 1))}
    rng, learnt = np.random.default_rng(1), step.start(env, 4)

    def advance(state):
        values, _, _ = step.update({**env, **state}, rng, 4, learnt, False)
        return values

    kept = []
    state = {n: env[n] for n in ("s", "b")}
    for _ in range(3000):
        state = advance(state)
        kept.append(state["s"])
    draws = np.stack(kept, axis=1)
    for values, expected in ((draws, mean), (draws**2, square)):
        error = array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean")
        assert abs(values.mean() - expected) < LIMIT * error


def test_a_scale_that_hardly_moves_given_its_latents_mixes():
    rng = np.random.default_rng(0)
    m = bk.Model()
    s = m.latent("s", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(0, s), dims="k")
    m.observed("y", bk.Binomial(4, logit=b), dims="k")
    posterior = m.condition({"y": rng.binomial(4, 0.5, 40)})
    assert "stretched along" in posterior.explain(method="gibbs")
    draws = posterior.sample(seed=1, method="gibbs")["posterior"]["s"].values
    assert array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk") > 0.1 * draws.size


def test_no_stretch_where_the_mean_depends_on_the_scale_or_on_a_stretched_latent():
    m = bk.Model()
    s = m.latent("s", bk.HalfNormal(1))
    b = m.latent("b", bk.Normal(s, s), dims="k")
    m.observed("y", bk.Poisson(np.exp(b)), dims="k")
    assert rescale_step(m.condition({"y": [1, 2]})._choose("gibbs", None).working, "s", ["b"]) is None
    m = bk.Model()
    s = m.latent("s", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(0, s))
    b = m.latent("b", bk.Normal(a, s), dims="k")
    m.observed("y", bk.Poisson(np.exp(b)), dims="k")
    assert rescale_step(m.condition({"y": [1, 2]})._choose("gibbs", None).working, "s", ["a", "b"]) is None
