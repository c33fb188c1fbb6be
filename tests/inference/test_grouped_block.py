"""Independent groups with scales of their own: against the block as a whole, group by group."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference import grouped_block as module
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.grouped_block import grouped_block
from bayeskit.statistics import row_sums
from bayeskit.testing import prior_state
from tests.inference.test_block import problem_of

RNG = np.random.default_rng(20)
START = RNG.bit_generator.state


def long():
    m = bk.Model(coords={"k": 3})
    g = m.index("g", dims="obs")
    X = m.data("X", dims=("obs", "k"))
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    b = m.latent("b", bk.Normal(0, 10), dims=("g", "k"))
    m.observed("y", bk.Normal((X * b[g]).sum("k"), s[g]), dims="obs")
    data = {"g": list("abacbddaabcd"), "X": RNG.normal(size=(12, 3)), "y": RNG.normal(3, 2, 12)}
    return m, data, ["b"], ["s"]


def wide(dims=("obs", "g")):
    m = bk.Model(coords={"k": 2, "g": 4})
    X = m.data("X", dims=("g", "obs", "k"))
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    b = m.latent("b", bk.Normal(1, 10), dims=("k", "g"))
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    m.observed("y", bk.Normal(a + (X * b).sum("k"), 2 * s), dims=dims)
    return m, {"X": RNG.normal(size=(4, 5, 2)), "y": RNG.normal(3, 2, (5, 4))}, ["b", "a"], ["s"]


def two_scales():
    """Rows of known errors beside, a prior with a scale of its own group, and groups over two dims."""
    m = bk.Model(coords={"i": 2, "j": 3})
    w = m.data("w", dims="obs")
    t, s = (m.latent(n, bk.HalfNormal(2), dims=("i", "j")) for n in "ts")
    a = m.latent("a", bk.Normal(0.5, t), dims=("j", "i"))
    m.observed("y", bk.Normal(a, s * w), dims=("i", "obs", "j"))
    m.observed("z", bk.Normal(2 * a, w), dims=("j", "obs", "i"))
    data = {"w": RNG.gamma(4.0, size=4), "y": RNG.normal(size=(2, 4, 3)), "z": RNG.normal(size=(3, 4, 2))}
    return m, data, ["a"], ["t", "s"]


def log_normal():
    m = bk.Model()
    g = m.index("g", dims="obs")
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    m.observed("y", bk.LogNormal(a[g] + 1, s[g]), dims="obs")
    return m, {"g": list("aabcb"), "y": RNG.gamma(3.0, size=5)}, ["a"], ["s"]


MODELS = {"long": long, "wide": wide, "two scales": two_scales, "log-normal": log_normal}


def made(make, batch=5):
    RNG.bit_generator.state = START
    m, data, names, scales = make()
    problem = problem_of(m, data)
    env = {**problem.env, **prior_state(problem, batch, np.random.default_rng(2), skip=names)}
    block = GaussianBlock(problem, names)
    return block, grouped_block(block, scales), env


@pytest.mark.parametrize("part", [1, 10**6])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_block_group_by_group(name, part, monkeypatch):
    monkeypatch.setattr(module, "_PART", part)
    monkeypatch.setattr(row_sums, "WINDOW", part)
    block, grouped, env = made(MODELS[name])
    marginal = grouped.log_marginal(env)
    assert marginal.shape == (5, grouped.groups)
    np.testing.assert_allclose(marginal.sum(axis=1), block.log_marginal(env), rtol=1e-10)
    system, _ = block.factored(env)
    mean, variance = (block.layout.gather(*pair) for pair in (system.solve(), system.variances()))
    found = [grouped.by_name(q) for q in grouped.moments(env)]
    for n, expected in block.values(mean + block.pilot).items():
        np.testing.assert_allclose(found[0][n], expected, rtol=1e-9)
    for n, expected in block.values(variance).items():
        np.testing.assert_allclose(found[1][n], expected, rtol=1e-9)
    values, density = grouped.draw(env, np.random.default_rng(3), 5)
    x = np.concatenate([values[n].reshape(5, -1) for n in block.names], axis=1) - block.pilot
    np.testing.assert_allclose(density.sum(axis=1), block.log_density(env, x), rtol=1e-8)


def test_each_group_depends_on_its_own_scale_alone():
    _, grouped, env = made(long)
    moved = {**env, "s": env["s"].copy()}
    moved["s"][:, 2] *= 3
    changed = grouped.log_marginal(moved) != grouped.log_marginal(env)
    assert changed.all(axis=0).tolist() == [False, False, True, False]
    assert not changed[:, [0, 1, 3]].any()
    one = {**env, "s": env["s"][:1]}
    values, density = grouped.draw(one, np.random.default_rng(3), 7)
    assert values["b"].shape == (7, 4, 3)
    assert density.shape == (7, 4)


def test_digits_are_kept_under_a_large_offset():
    m = bk.Model(coords={"g": 50})
    x = m.data("x", dims="obs")
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    a, b = (m.latent(n, bk.Normal(0, 1e9), dims="g") for n in "ab")
    m.observed("y", bk.Normal(a + b * x, s), dims=("g", "obs"))
    rng = np.random.default_rng(1)
    x, noise = rng.normal(5e3, 1e3, 40), rng.normal(size=(50, 40))
    problem = problem_of(m, {"x": x, "y": 1e8 + 2 * x + noise})
    block = GaussianBlock(problem, ["a", "b"])
    grouped = grouped_block(block, ["s"])
    env = {**problem.env, "s": np.full((1, 50), 1.0)}
    X = np.stack([np.ones(40), (x - 5e3) / 1e3], axis=1)
    residual = noise - noise @ np.linalg.pinv(X).T @ X.T
    A = np.stack([np.ones(40), x], axis=1)
    log_det = np.linalg.slogdet(A.T @ A)[1]
    expected = -0.5 * ((residual**2).sum(axis=1) + log_det + 40 * np.log(2 * np.pi)) - 2 * np.log(1e9)
    found = grouped.log_marginal(env)[0] + 0.5 * ((1e8 / 1e9) ** 2)  # of the prior at the fit
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def mean_above():
    m = bk.Model()
    g = m.index("g", dims="obs")
    s, mu = m.latent("s", bk.HalfNormal(2), dims="g"), m.latent("mu", bk.Normal(0, 1))
    a = m.latent("a", bk.Normal(mu, 3), dims="g")
    m.observed("y", bk.Normal(a[g], s[g]), dims="obs")
    return m, {"g": list("aabcb"), "y": RNG.normal(size=5)}, ["mu", "a"], ["s"]


def scale_of_another_group():
    m = bk.Model(coords={"g": 3})
    g, h = (m.index(n, dims="obs", into="g") for n in ("first", "second"))
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    m.observed("y", bk.Normal(a[g], s[h]), dims="obs")
    return m, {"first": [0, 1, 2, 2], "second": [0, 1, 2, 1], "y": RNG.normal(size=4)}, ["a"], ["s"]


def common_scale():
    m = bk.Model()
    g = m.index("g", dims="obs")
    s, t = m.latent("s", bk.HalfNormal(2), dims="g"), m.latent("t", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(0, t), dims="g")
    m.observed("y", bk.Normal(a[g], s[g]), dims="obs")
    return m, {"g": list("aabcb"), "y": RNG.normal(size=5)}, ["a"], ["s"]


def neighbours():
    m = bk.Model(coords={"g": 3})
    g, h = (m.index(n, dims="obs", into="g") for n in ("first", "second"))
    s = m.latent("s", bk.HalfNormal(2), dims="g")
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    m.observed("y", bk.Normal(a[g] - a[h], s[g]), dims="obs")
    return m, {"first": [0, 1, 2, 2], "second": [0, 1, 2, 1], "y": RNG.normal(size=4)}, ["a"], ["s"]


@pytest.mark.parametrize("make", [mean_above, scale_of_another_group, common_scale, neighbours])
def test_what_does_not_fall_apart_is_refused(make):
    _, grouped, _ = made(make)
    assert grouped is None
