"""Rows and groups left out: against refits, against ArviZ's importance sampling, against figures in print."""

import numpy as np
import pytest

from tests.posterior.row_models import EXACT, GROUP, X, crossed, gamma_precision, normal_mean, regression, without

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError


@pytest.mark.parametrize("model", EXACT)
def test_rows_left_out_equal_refits(model):
    m, data = model()
    posterior = m.condition(data)
    loo = posterior.loo()
    assert loo.exact and loo.pareto_k is None and loo.mcse == 0.0 and loo.pointwise.dims == ("obs",)
    whole = posterior.log_evidence()
    expected = [whole - without(m, data, [i]) for i in range(10)]
    np.testing.assert_allclose(loo.pointwise, expected, atol=1e-8, rtol=0)
    assert loo.elpd == pytest.approx(sum(expected)) and loo.p_loo > 0


@pytest.mark.parametrize("model", EXACT)
def test_rows_that_come_twice_have_the_predictive_density(model):
    m, data = model()
    posterior = m.condition(data)
    loo, whole = posterior.loo(), posterior.log_evidence()
    for i in (0, 7):
        again = {n: np.concatenate([v, v[[i]]]) if np.shape(v)[:1] == (10,) else v for n, v in data.items()}
        expected = m.condition(again).log_evidence() - whole
        np.testing.assert_allclose(loo.log_predictive[i], expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("model", [e for e in EXACT if "arm" in e()[1]])
def test_groups_left_out_equal_refits(model):
    m, data = model()
    posterior = m.condition(data)
    loo, whole = posterior.loo(by="arm"), posterior.log_evidence()
    assert loo.exact and loo.pointwise.dims == ("arm",) and loo.pointwise.arm.values.tolist() == [0, 1, 2]
    expected = [whole - without(m, data, np.flatnonzero(GROUP == g)) for g in range(3)]
    np.testing.assert_allclose(loo.pointwise, expected, atol=1e-8, rtol=0)
    again = {n: np.concatenate([v, v[GROUP == 1]]) if np.shape(v)[:1] == (10,) else v for n, v in data.items()}
    expected = m.condition(again).log_evidence() - whole
    np.testing.assert_allclose(loo.log_predictive.sel(arm=1), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("model", [regression, normal_mean, crossed, gamma_precision])
def test_groups_that_cut_across_what_is_shared(model):
    m, data = model()
    half = m.index("half", dims="obs") if "half" not in m.names() else None
    assert half is not None
    data = data | {"half": np.array(["b", "a"] * 5)}
    posterior = m.condition(data)
    loo, whole = posterior.loo(by="half"), posterior.log_evidence()
    expected = [whole - without(m, data, np.flatnonzero(data["half"] == g)) for g in loo.pointwise.half.values]
    np.testing.assert_allclose(loo.pointwise, expected, atol=1e-8, rtol=0)
