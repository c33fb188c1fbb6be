"""Blocks at many precisions at once, groups that are alike eliminated once: against one at a time, and in fractions."""

from fractions import Fraction

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference import block as block_module
from bayeskit.inference import block_classes as classes_module
from bayeskit.inference.block import GaussianBlock
from bayeskit.testing import assert_moments, prior_state
from tests.conjugate.exact_algebra import log_normal_density
from tests.inference.test_block import MODELS, covariance, made, problem_of

GROUPED = {
    "varying intercepts": 3, "rats": 1, "rats, long": 1, "stack and concat": 1, "effects, known covariance": 4,
    "effects, Wishart": 4, "effects, inverse Wishart": 4, "matrices by group": 3, "log-normal": 2, "known errors": 8,
    "scale by group": 2, "missing with a child": 1, "flat priors": 2, "nested": 2, "crossed": 2, "two-way effects": 1,
}  # fmt: skip


def of_model(name, batch=6):
    m, data, names = made(name)
    problem = problem_of(m, data)
    env = {**problem.env, **prior_state(problem, batch, np.random.default_rng(2), skip=names)}
    return GaussianBlock(problem, names), env, data


@pytest.mark.parametrize("name", MODELS)
def test_equal_groups_are_found(name):
    block, _, _ = of_model(name)
    found = block.classes.classes.classes if isinstance(block.classes, classes_module.BlockClasses) else None
    assert found == GROUPED.get(name)


@pytest.mark.parametrize("chunk", [1, 10**9])
@pytest.mark.parametrize("name", GROUPED)
def test_marginals_are_those_of_one_at_a_time(name, chunk, monkeypatch):
    monkeypatch.setattr(classes_module, "_CHUNK", chunk)
    block, env, _ = of_model(name, 40)
    monkeypatch.setattr(block_module, "_MANY", 10**9)
    expected = block.log_marginal(env)
    monkeypatch.setattr(block_module, "_MANY", 0)
    monkeypatch.setattr(block, "factored", None)  # nothing is left to the other way
    np.testing.assert_allclose(block.log_marginal(env), expected, rtol=1e-11)


@pytest.mark.parametrize("part", ["one", "four"])  # draws; of the latter the last part has two
@pytest.mark.parametrize("name", GROUPED)
def test_draws_are_of_the_density_they_come_with(name, part, monkeypatch):
    """Noise to draw and density is an isometry: whatever the noise, the draw's density is that of the noise."""
    monkeypatch.setattr(block_module, "_MANY_DRAWS", 0)
    block, env, _ = of_model(name)
    monkeypatch.setattr(classes_module, "_PART", 5 if part == "one" else 4 * block.layout.groups)
    values, density = block.draw_with_density(env, np.random.default_rng(3), 6)
    again, x = block.draw(env, np.random.default_rng(3), 6)
    for n, value in values.items():
        np.testing.assert_allclose(value, again[n], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(density, block.log_density(env, x), rtol=1e-8, atol=1e-8)


def test_draws_in_bulk_have_the_moments_of_the_conditional(monkeypatch):
    block, env, _ = of_model("nested", 1)
    system, _ = block.factored(env)
    mean = block.layout.gather(*system.solve())[0]
    sd = np.sqrt(block.layout.gather(*system.variances())[0])
    monkeypatch.setattr(block_module, "_MANY_DRAWS", 0)
    _, x = block.draw(env, np.random.default_rng(4), 4000)
    assert_moments(x[None], mean, sd)


def no_mean_above():
    m = bk.Model()
    g = m.index("g", dims="obs")
    s, sy = m.latent("s", bk.HalfNormal(2)), m.latent("sy", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(2.0, s), dims="g")
    m.observed("y", bk.Normal(a[g], sy), dims="obs")
    return m, {"g": list("abacbdda"), "y": np.random.default_rng(0).normal(3, 2, 8)}, ["a"]


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e8])
@pytest.mark.parametrize(("name", "mean", "prior"), [("varying intercepts", 0.0, 10.0), (None, 2.0, 0.0)])
def test_marginals_hold_at_any_scale(name, mean, prior, scale, bulk, monkeypatch):
    monkeypatch.setattr(block_module, "_MANY", 0 if bulk else 10**9)
    m, data, names = made(name) if name else no_mean_above()
    problem = problem_of(m, data)
    block = GaussianBlock(problem, names)
    s, sy = np.array([scale, 1.0]), np.array([1.3, scale])
    found = block.log_marginal({**problem.env, "s": s, "sy": sy})
    y = [Fraction(float(v)) - Fraction(mean) for v in data["y"]]
    for c in range(2):
        expected = log_normal_density(y, covariance(data["g"], s[c], sy[c], prior))
        assert found[c] == pytest.approx(expected, rel=1e-10)


def covariate_of_groups(second):
    """A covariate of groups among the rows themselves: with next to no noise, what they say of it cancels."""
    m = bk.Model()
    g, u = m.index("g", dims="obs"), m.data("u", dims="obs")
    t, s = m.latent("t", bk.HalfNormal(1)), m.latent("s", bk.HalfNormal(1))
    mu, b = m.latent("mu", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1000))
    a = m.latent("a", bk.Normal(mu, t), dims="g")
    m.observed("y", bk.Normal(a[g] + b * u, s), dims="obs")
    data = {"g": list("aabbcc"), "u": [1.0, 1, 2, 2, 4, 4], "y": [0.1, 0.2, 1.1, 1.0, 2.3, 2.0]}
    if second:
        m.observed("z", bk.Normal(a[g], m.latent("r", bk.HalfNormal(1))), dims="obs")
        data["z"] = [0.3, 0.1, 0.4, 0.2, 0.2, 0.1]
    return problem_of(m, data), data


def test_what_groups_explain_is_taken_out_of_covariates(monkeypatch):
    problem, data = covariate_of_groups(second=False)
    monkeypatch.setattr(block_module, "_MANY", 0)
    t, s = np.array([1.0, 0.5, 2.0, 1e-6]), np.array([1e-6, 1e-3, 1e3, 1.0])
    block = GaussianBlock(problem, ["mu", "b", "a"])
    found = block.log_marginal({**problem.env, "t": t, "s": s})
    y = [Fraction(v) for v in data["y"]]
    for c in range(4):
        cov = covariance(data["g"], t[c], s[c], 1.0)
        cov = [[v + 10**6 * Fraction(p) * Fraction(q) for v, q in zip(row, data["u"], strict=True)]
               for row, p in zip(cov, data["u"], strict=True)]  # fmt: skip
        assert found[c] == pytest.approx(log_normal_density(y, cov), rel=1e-9)


def test_pivots_that_are_lost_are_left_to_the_block(monkeypatch):
    problem, _ = covariate_of_groups(second=True)  # two rows of unlike precisions a group
    block = GaussianBlock(problem, ["mu", "b", "a"])
    env = {**problem.env, "t": np.array([1.0, 1.0, 0.5]), "s": np.array([1.0, 1e-5, 2.0]), "r": np.ones(3)}
    monkeypatch.setattr(block_module, "_MANY", 10**9)
    expected = block.log_marginal(env)
    monkeypatch.setattr(block_module, "_MANY", 0)
    monkeypatch.setattr(block_module, "_MANY_DRAWS", 0)
    _, good = block.classes.log_integral(np.concatenate(block.precisions(env), axis=1).T)
    assert good.tolist() == [True, False, True]
    np.testing.assert_allclose(block.log_marginal(env), expected, rtol=1e-12)
    values, density = block.draw_with_density(env, np.random.default_rng(5), 3)
    x = np.concatenate([values[n].reshape(3, -1) for n in block.names], axis=1) - block.pilot
    np.testing.assert_allclose(density[[0, 2]], block.log_density(env, x)[[0, 2]], rtol=1e-8)
    assert np.isfinite(density).all()


@pytest.mark.parametrize("bulk", [True, False])
def test_a_precision_at_which_nothing_is_known_does_not_spoil_the_others(bulk, monkeypatch):
    block, env, _ = of_model("flat priors", 4)
    env["t"] = np.array([1.0, np.inf, 0.5, 2.0])  # the mean of the groups is then flat
    monkeypatch.setattr(block_module, "_MANY", 0 if bulk else 10**9)
    with np.errstate(divide="ignore"):
        found = block.log_marginal(env)
    assert found[1] == -np.inf
    assert np.isfinite(found[[0, 2, 3]]).all()


@pytest.mark.parametrize("name", ["nested", "moving offset", "missing covariate", "matrices by group"])
def test_batches_are_taken_in_parts(name, monkeypatch):
    block, env, _ = of_model(name, 7)
    monkeypatch.setattr(block_module, "_MANY", 10**9)
    expected = block.log_marginal(env)
    monkeypatch.setattr(block_module, "_NUMBERS", 2 * block._cost)
    np.testing.assert_allclose(block.log_marginal(env), expected, rtol=1e-12)


@pytest.mark.parametrize("bulk", [True, False])
def test_noise_is_never_taken_for_density(bulk, monkeypatch):
    """One row a group fits its group without error: next to no noise is as likely as the spread of the groups."""
    m = bk.Model()
    g = m.index("g", dims="obs")
    mu, t, s = m.latent("mu", bk.Normal(0, 5)), m.latent("t", bk.HalfNormal(2)), m.latent("s", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(mu, t), dims="g")
    m.observed("y", bk.Normal(a[g], s), dims="obs")
    problem = problem_of(m, {"g": list("ab"), "y": [1.0, 2.0]})
    monkeypatch.setattr(block_module, "_MANY", 0 if bulk else 10**9)
    t, s = (v.ravel() for v in np.meshgrid(10.0 ** np.arange(-10, 9, 2), 10.0 ** np.arange(-18, 9, 2)))
    found = GaussianBlock(problem, ["mu", "a"]).log_marginal({**problem.env, "t": t, "s": s})
    y = [Fraction(1), Fraction(2)]
    exact = np.array([log_normal_density(y, covariance("ab", *pair, 5.0)) for pair in zip(t, s, strict=True)])
    if bulk:  # the fits of the groups are taken out
        np.testing.assert_allclose(found, exact, rtol=1e-9)
    assert (np.isneginf(found) | (np.abs(found - exact) < 0.01 * np.abs(exact))).all()
    assert np.isfinite(found[s > 1e-5]).all()
