"""Missing entries of observed variables: latents of their own, wherever the observation is used."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError
from tests.model.binding import problem_of

RNG = np.random.default_rng(2)


@pytest.mark.parametrize(
    "gap",
    [
        lambda y, here: np.where(here, np.nan, y),
        lambda y, here: np.ma.array(y, mask=here),
        lambda y, here: [
            [None if h else float(v) for v, h in zip(*row, strict=True)] for row in zip(y, here, strict=True)
        ],
        lambda y, here: np.where(here, pd.NA, y.astype(object)),
    ],
    ids=["NaN", "masked", "None", "pd.NA"],
)
def test_missing_cells_are_latents_with_labels(gap):
    y = np.arange(6.0).reshape(3, 2)
    here = np.array([[False, True], [False, False], [True, False]])
    m = bk.Model(coords={"rat": ["u", "v", "w"], "week": [8, 15]})
    mu = m.latent("mu", bk.Normal(0, 1), dims="rat")
    s = m.latent("s", bk.HalfNormal(1))
    m.observed("y", bk.Normal(mu, s), dims=("rat", "week"))
    problem = problem_of(m, {"y": gap(y, here)})
    latent = problem.latents["y_missing"]
    assert (latent.shape, latent.variable.dims, latent.missing_from) == ((2,), ("y_missing_cell",), "y")
    assert problem.coords["y_missing_cell"].tolist() == [0, 1]
    labels = {d: v.tolist() for d, v in problem.cell_labels["y_missing_cell"].items()}
    assert labels == {"rat": ["u", "w"], "week": [15, 8]}
    (observation,) = problem.observations
    np.testing.assert_array_equal(observation.is_missing, here)
    np.testing.assert_array_equal(observation.values[~here], y[~here])

    state = {"mu": RNG.normal(size=(2, 3)), "s": RNG.gamma(2, size=2), "y_missing": RNG.normal(size=(2, 2))}
    filled = np.repeat(y[None], 2, axis=0)
    filled[:, here] = state["y_missing"]
    wanted = stats.norm.logpdf(state["mu"]).sum(1) + stats.halfnorm.logpdf(state["s"])
    wanted += stats.norm.logpdf(filled, state["mu"][:, :, None], state["s"][:, None, None]).sum((1, 2))
    np.testing.assert_allclose(problem.log_joint(state), wanted)


def test_everything_missing():
    m = bk.Model()
    m.observed("y", bk.Normal(1, 2), dims="obs")
    problem = problem_of(m, {"y": [np.nan, np.nan]})
    assert [f.name for f in problem.factors] == ["y"]
    np.testing.assert_allclose(problem.log_joint({"y_missing": np.zeros((1, 2))}), 2 * stats.norm.logpdf(0, 1, 2))


def test_a_missing_scalar():
    m = bk.Model()
    m.observed("y", bk.Normal(1, 2))
    problem = problem_of(m, {"y": None})
    assert problem.latents["y_missing"].shape == (1,)
    assert problem.cell_labels["y_missing_cell"] == {}


def test_missing_entries_of_a_parent_and_in_expressions():
    m = bk.Model()
    g = m.data("g", dims="obs")
    x = m.observed("x", bk.Normal(g, 1), dims="obs")
    b = m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Normal(b * x + x.sum("obs"), 1), dims="obs")
    m.derived("range", x.mean("obs"))
    problem = problem_of(m, {"g": [1, 2, 3], "x": [0.5, np.nan, 2.5], "y": [1.0, np.nan, 3.0]})
    assert list(problem.latents) == ["x_missing", "b", "y_missing"]
    x_all, y_all = np.array([0.5, 0.7, 2.5]), np.array([1.0, -1.0, 3.0])
    state = {"b": np.array([2.0]), "x_missing": np.array([[0.7]]), "y_missing": np.array([[-1.0]])}
    wanted = stats.norm.logpdf(x_all, [1, 2, 3]).sum() + stats.norm.logpdf(2.0)
    wanted += stats.norm.logpdf(y_all, 2 * x_all + x_all.sum()).sum()
    np.testing.assert_allclose(problem.log_joint(state), [wanted])
    np.testing.assert_allclose(problem.derived["range"].evaluate(problem.env | state), [x_all.mean()])
    assert {f.name for f in problem.children_of("x_missing")} == {"y"}


def test_missing_counts_are_whole_numbers():
    m = bk.Model()
    n = m.data("n", dims="obs")
    k = m.observed("k", bk.Binomial(n, 0.3), dims="obs")
    rate = m.latent("rate", bk.Gamma(1, 1), dims="level")
    m.observed("y", bk.Poisson(rate[k] + bk.stack([0.0], dim="unused").sum("unused")), dims="obs")
    problem = problem_of(m, {"n": [2, 3], "k": [1, np.nan], "y": [0, 4]}, rate=[1.0, 2.0, 3.0, 4.0])
    assert problem.latents["k_missing"].variable.integer
    got = problem.log_joint({"k_missing": np.array([[3]])})
    wanted = stats.gamma.logpdf([1, 2, 3, 4], 1).sum() + stats.binom.logpmf([1, 3], [2, 3], 0.3).sum()
    np.testing.assert_allclose(got, wanted + stats.poisson.logpmf([0, 4], [2, 4]).sum())


def test_vectors_missing_in_part():
    y = RNG.normal(size=(4, 3))
    y[1, 2] = y[3, 0] = y[3, 1] = np.nan
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1), dims="k")
    cov = np.array([[2.0, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1.5]])
    m.observed("y", bk.MvNormal(mu, cov), dims=("obs", "k"))
    problem = problem_of(m, {"y": y})
    state = {"mu": RNG.normal(size=(2, 3)), "y_missing": RNG.normal(size=(2, 3))}
    got = problem.log_joint(state)
    for b in range(2):
        filled = y.copy()
        filled[np.isnan(y)] = state["y_missing"][b]
        wanted = stats.norm.logpdf(state["mu"][b]).sum()
        wanted += stats.multivariate_normal.logpdf(filled, state["mu"][b], cov).sum()
        np.testing.assert_allclose(got[b], wanted)


def test_other_vectors_must_be_whole():
    m = bk.Model(coords={"k": 3})
    m.observed("y", bk.Multinomial(5, [0.2, 0.3, 0.5]), dims=("obs", "k"))
    with pytest.raises(
        DataError, match=r"'y' ~ Multinomial must be observed whole. Got 1 missing entries. Leave those rows"
    ):
        problem_of(m, {"y": [[1, 2, 2], [0, np.nan, 5]]})


def test_the_names_of_missing_entries_must_be_free():
    m = bk.Model()
    m.latent("y_missing", bk.Normal(0, 1))
    m.observed("y", bk.Normal(0, 1), dims="obs")
    with pytest.raises(DataError, match="The missing entries of 'y' must have the name 'y_missing' to themselves"):
        problem_of(m, {"y": [1.0, np.nan]})
    assert list(problem_of(m, {"y": [1.0, 2.0]}).latents) == ["y_missing"]
