"""A dense block of two matrices, diagonalised once, against one Cholesky factor for every precision."""

from __future__ import annotations

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.block_pencil import BlockPencil


def regression(prior, *, rows=30, columns=7, spread=1.0, seed=0):
    """A block of coefficients (and an intercept) under noise of latent size."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)) * np.geomspace(1.0, spread, columns)
    m = bk.Model()
    x = m.data("X", dims=("obs", "k"))
    s = m.latent("s", bk.HalfNormal(1))
    b = m.latent("b", prior(s), dims="k")
    m.observed("y", bk.Normal(x @ b, s), dims="obs")
    problem = m.condition({"X": X, "y": X @ rng.normal(size=columns) + rng.normal(size=rows)})._problem
    return GaussianBlock(problem, ["b"]), problem


PRIORS = {
    "normal": lambda s: bk.Normal(0.5, 3),
    "flat": lambda s: bk.Flat(),
    "two scales": lambda s: bk.Normal(0, 2 * s**2),
}


def direct(block, env, s, z):
    """Log integrals and draws, one Cholesky factor each."""
    env = {**env, "s": s}
    values = block.precisions(env)
    system, _ = block.factored(env, values)
    mean = block.layout.gather(*system.solve())
    wide, dense = block.layout.parts(z)
    return block._integrated(env, values), mean, -0.5 * system.squared_distance(wide, dense)


@pytest.mark.parametrize("prior", [PRIORS["normal"], PRIORS["two scales"]], ids=["normal", "two scales"])
def test_integrals_and_moments_are_those_of_cholesky_factors(prior):
    block, problem = regression(prior)
    pencil = block.classes
    assert isinstance(pencil, BlockPencil)
    s = np.geomspace(1e-3, 1e3, 25)
    values = np.concatenate(block.precisions({**problem.env, "s": s}), axis=1).T
    z = np.random.default_rng(1).normal(size=(1, block.total))
    logs, mean, distance = direct(block, problem.env, s, np.repeat(z, 25, axis=0))
    found, good = pencil.log_integral(values)
    assert good.all()
    np.testing.assert_allclose(found, logs, rtol=1e-9)
    diagonal, right, _ = pencil._system(values)
    np.testing.assert_allclose((right / diagonal).T @ pencil.T.T, mean, rtol=1e-8, atol=1e-10)
    inner = np.linalg.solve(pencil.T, z[0])
    np.testing.assert_allclose(-0.5 * (inner**2) @ diagonal, distance, rtol=1e-9)


def test_draws_have_the_density_that_is_stated():
    block, problem = regression(PRIORS["normal"])
    s = np.full(4000, 0.7)
    values = np.concatenate(block.precisions({**problem.env, "s": s}), axis=1).T
    x, density, good = block.classes.draw(values, np.random.default_rng(2), np.zeros(block.total))
    assert good.all()
    one = {**problem.env, "s": s[:1]}
    np.testing.assert_allclose(density[:50], [block.log_density(one, v[None])[0] for v in x[:50]], rtol=1e-9)
    system, _ = block.factored(one)
    mean, (_, variance) = block.layout.gather(*system.solve())[0], system.variances()
    error = np.sqrt(variance[0] / len(x))
    np.testing.assert_array_less(np.abs(x.mean(axis=0) - mean), 5 * error)
    np.testing.assert_array_less(np.abs(x.var(axis=0) / variance[0] - 1), 5 * np.sqrt(2 / len(x)))


def test_eigenvalues_that_are_lost_are_not_trusted():
    """Columns of sizes 1 to 1e8 under one prior: those of the small ones are rounding where the noise is small."""
    block, problem = regression(PRIORS["normal"], spread=1e8)
    pencil = block.classes
    s = np.array([1e-6, 1.0, 1e12])
    values = np.concatenate(block.precisions({**problem.env, "s": s}), axis=1).T
    _, good = pencil.log_integral(values)
    assert good.tolist() == [False, False, True]
    x, density = block.draw_with_density({**problem.env, "s": np.full(3000, 1.0)}, np.random.default_rng(0), 3000)
    logs = block.log_density({**problem.env, "s": np.ones(1)}, x["b"][:1] - block.pilot)
    np.testing.assert_allclose(density[0], logs[0], rtol=1e-6)


def test_no_pencil_of_one_matrix_or_three():
    block, _ = regression(PRIORS["flat"])
    assert block.classes is None
    rng = np.random.default_rng(0)
    m = bk.Model(coords={"side": 2})
    x = m.data("X", dims=("obs", "k"))
    side = m.index("side", dims="obs")
    s = m.latent("s", bk.HalfNormal(1), dims="side")
    b = m.latent("b", bk.Normal(0, 1), dims="k")
    m.observed("y", bk.Normal(x @ b, s[side]), dims="obs")
    data = {"X": rng.normal(size=(20, 7)), "y": rng.normal(size=20), "side": rng.integers(0, 2, 20)}
    assert GaussianBlock(m.condition(data)._problem, ["b"]).classes is None
