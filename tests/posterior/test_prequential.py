"""Rows predicted from those before them: against refits and the evidence, with improper priors, refusals."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError
from tests.posterior.row_models import EXACT, GROUP, regression, without


@pytest.mark.parametrize("model", EXACT)
def test_running_sums_are_the_evidence_of_the_first_rows(model):
    m, data = model()
    scores = m.condition(data).prequential()
    assert scores.pointwise.dims == ("obs",) and scores.undefined == 0
    sums = np.cumsum(scores.pointwise.values)
    np.testing.assert_allclose(scores.total, m.condition(data).log_evidence(), atol=1e-10, rtol=0)
    for i in (1, 4, 9):
        np.testing.assert_allclose(sums[i - 1], without(m, data, np.arange(i, 10)), atol=1e-10, rtol=0)


@pytest.mark.parametrize("model", [e for e in EXACT if "arm" in e()[1]])
def test_blocks_in_any_order(model):
    m, data = model()
    posterior = m.condition(data)
    scores = posterior.prequential(by="arm", order=[2, 0, 1])
    assert scores.pointwise.dims == ("arm",)
    third = without(m, data, np.flatnonzero(GROUP != 2))
    np.testing.assert_allclose(scores.pointwise.sel(arm=2), third, atol=1e-10, rtol=0)
    second = without(m, data, np.flatnonzero(GROUP == 1)) - third
    np.testing.assert_allclose(scores.pointwise.sel(arm=0), second, atol=1e-9, rtol=0)
    np.testing.assert_allclose(scores.total, posterior.log_evidence(), atol=1e-9, rtol=0)


def test_many_rows_are_scored_stretch_by_stretch():
    m, _ = regression()
    rng = np.random.default_rng(1)
    x = rng.normal(size=1000)
    posterior = m.condition({"x": x, "y": 1e6 + 2 * x + rng.normal(size=1000)})
    assert posterior.prequential().total == pytest.approx(posterior.log_evidence(), abs=1e-8)


def improper(n=9):
    m = bk.Model()
    x = m.data("x", dims=("obs", "k"))
    b, v = m.latent("b", bk.Flat(), dims="k"), m.latent("v", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(x @ b, var=v), dims="obs")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 3))
    return m.condition({"x": X[:n], "y": (X.sum(axis=1) + rng.normal(size=9))[:n]})


def test_rows_that_propriety_needs_are_not_predicted():
    scores = improper().prequential()
    assert np.isnan(scores.pointwise.values).tolist() == [True] * 4 + [False] * 5 and scores.undefined == 4
    for n in (5, 8):  # the last of some rows is predicted from the others, in whichever way it is left out
        np.testing.assert_allclose(scores.pointwise[n - 1], improper(n).loo().pointwise[-1], atol=1e-10, rtol=0)
    assert "4 of them are NaN" in repr(scores)


def test_of_each_group_the_first_rows_of_both_kinds_are_needed():
    m = bk.Model(coords={"g": 2})
    g = m.index("g", dims="obs")
    m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(0, 0), dims="g")[g]), dims="obs")
    scores = m.condition({"g": [0, 0, 1, 0, 1, 0], "y": [1, 1, 0, 0, 1, 1]}).prequential().pointwise
    np.testing.assert_allclose(scores, np.log([np.nan, np.nan, np.nan, np.nan, np.nan, 2 / 3]), atol=1e-12)


def test_a_sampled_core_is_refused():
    m = bk.Model()
    mu, sigma = m.latent("mu", bk.Cauchy(0, 1)), m.latent("sigma", bk.HalfNormal(1))
    m.observed("y", bk.StudentT(4, mu, sigma), dims="obs")
    with pytest.raises(RefusedError, match=r"averaged over draws. Score the rows by loo"):
        m.condition({"y": [0.1, 1.0, -0.3, 0.5]}).prequential()


@pytest.mark.parametrize("order", [[0, 1], [0] * 10, np.arange(10) + 0.5, range(1, 11)])
def test_an_order_that_is_none(order):
    m, data = regression()
    with pytest.raises(DataError, match=r"order must hold every place from 0 to 9 once"):
        m.condition(data).prequential(order=order)
