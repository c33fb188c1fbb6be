"""Sums of Gaussian rows in windows: against dense rows, whatever the windows, the pilot and the multiplicity."""

from dataclasses import replace

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference import block_factors
from bayeskit.inference.block import GaussianBlock
from bayeskit.statistics import row_sums, vector_rows
from bayeskit.statistics.gram import cross_sums
from bayeskit.testing import density_identity, prior_state
from tests.inference.test_block import MODELS, made, problem_of

MULTIPLICITIES = np.array([3.0, 1.0, 0.0, 2.0])


def centre(block, rng):
    pilot = rng.normal(size=block.total)
    return block.centre(pilot)


@pytest.mark.parametrize("window", [1, 3, 10_000])
@pytest.mark.parametrize("name", MODELS)
def test_sums_are_those_of_dense_rows(name, window, monkeypatch):
    monkeypatch.setattr(row_sums, "WINDOW", window)
    m, data, names = made(name)
    block = GaussianBlock(problem_of(m, data), names)
    pilot = centre(block, np.random.default_rng(1))
    for bf in block.factors:
        if bf.laid is None:
            continue
        (rows,) = bf.rows(pilot)
        p = bf.precision
        dense = cross_sums(block.layout, rows, rows, p.weight, p.cell, p.cells)
        np.testing.assert_allclose(bf.sum_by_cell(pilot), dense, rtol=1e-11, atol=1e-11 * np.abs(dense).max())
        one = cross_sums(block.layout, rows, rows, p.weight, np.zeros_like(p.cell), 1)
        np.testing.assert_allclose(bf.sum_all(pilot), one, rtol=1e-11, atol=1e-11 * np.abs(dense).max())


@pytest.mark.parametrize("name", ["rats, long", "regression", "scale by group", "two-way effects", "crossed"])
def test_residuals_and_triangles_are_those_of_dense_rows(name, monkeypatch):
    monkeypatch.setattr(row_sums, "WINDOW", 3)
    m, data, names = made(name)
    block = GaussianBlock(problem_of(m, data), names)
    rng = np.random.default_rng(2)
    for bf in block.factors:
        (rows,) = bf.rows(None)
        wide, dense = block.layout.parts(rng.normal(size=(11, block.total)))
        e = rows.residual(wide, dense)
        p = bf.precision
        expected = np.stack([np.bincount(p.cell, p.weight * squared, p.cells) for squared in e * e])
        np.testing.assert_allclose(bf.squares(wide, dense), expected, rtol=1e-11)
        if not block.layout.groups:
            matrix = np.column_stack([rows.D, rows.v]) * np.sqrt(p.weight)[:, None]
            R = bf.triangle(None, np.eye(block.total + 1))
            np.testing.assert_allclose(R.T @ R, np.eye(block.total + 1) + matrix.T @ matrix, rtol=1e-11, atol=1e-11)


def large(hidden):
    """Rows enough for a first fit to a sample; a group far from the others, which the sample may miss."""
    rng = np.random.default_rng(3)
    n, groups = 50_000, 20
    g, x = rng.integers(1, groups, n), rng.normal(size=n)
    effects = rng.normal(size=groups)
    if hidden:
        g[3::7], effects[0] = 0, 1e4
    y = 1e6 + effects[g] + 0.5 * x + 0.01 * rng.normal(size=n)
    m = bk.Model(coords={"g": groups})
    label, at = m.index("label", dims="obs", into="g"), m.data("x", dims="obs")
    mu, b = m.latent("mu", bk.Normal(0, 1e6)), m.latent("b", bk.Normal(0, 10))
    t, s = m.latent("t", bk.HalfNormal(1)), m.latent("s", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, t), dims="g")
    m.observed("y", bk.Normal(a[label] + b * at, s), dims="obs")
    return problem_of(m, {"label": g, "x": x, "y": y}), (g, x, y)


@pytest.mark.parametrize("hidden", [True, False])
def test_a_second_pass_is_made_where_the_first_fit_is_too_far(hidden):
    problem, (g, x, y) = large(hidden)
    block = GaussianBlock(problem, ["mu", "b", "a"])
    assert max(bf.every for bf in block.factors) == 7
    assert np.array_equal(block.pilot, block.first_pilot) is not hidden
    at = np.random.default_rng(4).normal(size=(1, block.total)) * 0.01
    sums = block.residual_sums(at)
    values = block.values(at + block.pilot)
    e = y - values["a"][0][g] - values["b"][0] * x
    place = [bf.factor.name for bf in block.moving].index("y")
    assert sums[0, place] == pytest.approx(float((e * e).sum()), rel=1e-7)


def test_a_sample_centres_the_rows(monkeypatch):
    """Blocks whose pilot is fitted to a sample answer as others do."""
    m, data, names = made("varying intercepts")
    long = {k: np.tile(v, 50) for k, v in data.items()}
    problem = problem_of(m, long)
    env = {**problem.env, **prior_state(problem, 3, np.random.default_rng(5), skip=names)}
    expected = GaussianBlock(problem, names).log_marginal(env)
    monkeypatch.setattr(block_factors, "SAMPLE", 20)
    block = GaussianBlock(problem, names)
    assert max(bf.every for bf in block.factors) > 1
    np.testing.assert_allclose(block.log_marginal(env), expected, rtol=1e-11)


@pytest.mark.parametrize("name", ["varying intercepts", "regression", "log-normal", "effects, Wishart"])
def test_rows_count_as_often_as_they_occur(name):
    """Of merged rows the block is that of the rows themselves, but for those that never occur."""
    m, data, names = made(name)
    merged = problem_of(m, data)
    n = len(next(iter(data.values())))
    often = np.resize(MULTIPLICITIES, n)
    apart = problem_of(m, {k: np.repeat(v, often.astype(int), axis=0) for k, v in data.items()})
    own = {obs.factor.name for obs in merged.observations}
    factors = tuple(replace(f, weight=often) if f.name in own else f for f in merged.factors)
    merged = replace(merged, factors=factors)
    if name == "varying intercepts":
        assert merged.sizes["g"] == apart.sizes["g"]
    rest = prior_state(merged, 3, np.random.default_rng(6), skip=names)
    found = GaussianBlock(merged, names).log_marginal({**merged.env, **rest})
    expected = GaussianBlock(apart, names).log_marginal({**apart.env, **rest})
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    density_identity(merged, names, chains=3, seed=7)


def test_vectors_count_as_often_as_they_occur():
    for name in ("parts of vectors", "triangular"):
        m, data, names = made(name)
        data = {"y": np.nan_to_num(np.asarray(data["y"], dtype=float))}
        names = [n for n in names if n != "y_missing"]
        merged = problem_of(m, data)
        often = np.resize([3.0, 1.0, 2.0], len(data["y"]))
        factors = tuple(replace(f, weight=often) if f.name == "y" else f for f in merged.factors)
        merged = replace(merged, factors=factors)
        apart = problem_of(m, {"y": np.repeat(data["y"], often.astype(int), axis=0)})
        rest = prior_state(merged, 3, np.random.default_rng(6), skip=names)
        found = GaussianBlock(merged, names).log_marginal({**merged.env, **rest})
        expected = GaussianBlock(apart, names).log_marginal({**apart.env, **rest})
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        density_identity(merged, names, chains=3, seed=7)


@pytest.mark.parametrize("window", [1, 10_000])
@pytest.mark.parametrize(
    "name", ["effects, known covariance", "effects, Wishart", "covariance over known numbers", "matrices by group"]
)
def test_vectors_are_summed_in_windows(name, window, monkeypatch):
    monkeypatch.setattr(vector_rows, "_WINDOW", window)
    m, data, names = made(name)
    block = GaussianBlock(problem_of(m, data), names)
    rng = np.random.default_rng(1)
    pilot = centre(block, rng)
    seen = 0
    for bf in block.factors:
        if bf.vectors is None:
            continue
        seen += 1
        sets, p = bf.rows(pilot), bf.precision
        pairs = [[cross_sums(block.layout, a, b, p.weight, p.cell, p.cells) for b in sets] for a in sets]
        pairs = np.asarray(pairs)
        expected = (0.5 * (pairs + pairs.swapaxes(0, 1))).transpose(2, 0, 1, 3).reshape(-1, block.layout.size)
        np.testing.assert_allclose(bf.sum_by_cell(pilot), expected, rtol=1e-11, atol=1e-11)
        diagonal = sum(cross_sums(block.layout, a, a, p.weight, np.zeros_like(p.cell), 1) for a in sets)
        np.testing.assert_allclose(bf.sum_all(pilot), diagonal, rtol=1e-11, atol=1e-11)
        wide, dense = block.layout.parts(rng.normal(size=(2, block.total)))
        e = [rows.residual(wide, dense) for rows in bf.rows(None)]
        squares = [[np.bincount(p.cell, p.weight * a[1] * b[1], p.cells) for b in e] for a in e]
        found = bf.squares(wide, dense)[1].reshape(p.cells, len(e), len(e))
        np.testing.assert_allclose(found, np.transpose(squares, (2, 0, 1)), rtol=1e-11, atol=1e-11)
    assert seen
