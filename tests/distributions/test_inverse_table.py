"""Inverse distribution functions as tables: against scipy's, and no interval that promises more than it holds."""

import numpy as np
import pytest
from scipy import stats

from bayeskit.distributions import panels as panels_module
from bayeskit.distributions.inverse_table import inverse_table
from bayeskit.distributions.panels import Panels, gauss_points

FAMILIES = {
    "normal": stats.norm(), "heavy": stats.t(2), "skewed": stats.gamma(0.7), "bounded": stats.beta(0.5, 3),
    "exponential": stats.expon(),
}  # fmt: skip


@pytest.mark.parametrize("m", [64, 512])
@pytest.mark.parametrize("name", FAMILIES)
def test_quantiles_are_as_near_as_they_are_said_to_be(name, m):
    family = FAMILIES[name]
    knots = family.ppf(np.arange(1, m) / m)[None]
    table = inverse_table(knots, family.pdf(knots))
    p = np.random.default_rng(1).random((1, 50_000))
    for tolerance in (1e-3, 1e-6):
        x, rough = table(p, tolerance)
        assert rough.mean() < (0.15 if tolerance == 1e-3 or m == 512 else 0.6)
        assert rough[0, [p.argmin(), p.argmax()]].all()
        assert np.abs(x - family.ppf(p))[~rough].max() < 3 * tolerance


def test_cells_are_told_apart():
    p = np.arange(1, 512) / 512
    scales = np.array([[1.0], [3.0], [0.2]])
    table = inverse_table(scales * stats.norm.ppf(p), stats.norm.pdf(stats.norm.ppf(p)) / scales)
    asked = np.random.default_rng(2).random((3, 1000))
    x, rough = table(asked, 1e-5 * scales)
    assert 0 < rough.mean() < 0.1
    np.testing.assert_allclose(x[~rough], (scales * stats.norm.ppf(asked))[~rough], atol=1e-4)


def test_where_there_is_no_density_nothing_is_promised():
    p = np.arange(1, 512) / 512
    knots = np.where(p < 0.5, p, p + 4.0)  # nothing between 0.5 and 4.5
    with np.errstate(all="raise"):
        _, rough = inverse_table(knots[None], np.where(p == 0.5, 0.0, 1.0)[None])(
            np.array([[0.3, 0.4999, 0.5001]]), 1e-6
        )
    assert rough.tolist() == [[False, True, True]]


@pytest.fixture
def two_normals():
    """One cell of a normal, and one of two narrow ones far apart, on panels."""
    edges = np.stack([np.linspace(-9.0, 9.0, 41), np.linspace(-9.0, 9.0, 41)], axis=1)
    u = gauss_points(edges)
    logs = (
        stats.norm.logpdf(u[:, 0]),
        np.logaddexp(stats.norm.logpdf(u[:, 1], -6, 0.4), stats.norm.logpdf(u[:, 1], 6, 0.4)),
    )
    return Panels(edges, np.stack([logs[0], logs[1] - np.log(2.0)], axis=1))


def test_many_draws_are_those_of_the_quantile_function(two_normals, monkeypatch):
    few = two_normals.sample(np.random.default_rng(4), 4 * panels_module._TABLE)
    monkeypatch.setattr(panels_module, "_TABLE", 10**9)  # no table
    expected = two_normals.sample(np.random.default_rng(4), len(few))
    np.testing.assert_allclose(few, expected, atol=1e-5)
    monkeypatch.undo()
    many = two_normals.sample(np.random.default_rng(5), 200_000)
    assert stats.kstest(many[:, 0], stats.norm.cdf).pvalue > 1e-3
    middle = stats.kstest(many[:, 1], lambda u: 0.5 * (stats.norm.cdf(u, -6, 0.4) + stats.norm.cdf(u, 6, 0.4)))
    assert middle.pvalue > 1e-3
