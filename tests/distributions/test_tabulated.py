"""Tabulated marginals, against the families that they tabulate."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats

from bayeskit.distributions import (
    Beta,
    Cauchy,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Monotone,
    Normal,
    Power,
    StudentT,
    Truncated,
    Uniform,
)
from bayeskit.distributions.elementwise import Identity, Log, Logit, Mixed, NegativeLog
from bayeskit.distributions.labelled import aligned
from bayeskit.distributions.tabulated import Tabulated
from bayeskit.inference.core.line import integrate_line

LEVELS = np.array([1e-6, 0.01, 0.3, 0.5, 0.8, 0.999])


def tabulate(family, transform):
    """The family, through its log density on the unconstrained scale alone, up to a constant."""
    frame = aligned(family)
    cells = int(np.prod(frame.shape, dtype=int))
    params = [np.broadcast_to(p, frame.shape).reshape(-1) for p in frame.arrays]

    def log_density(u):
        with np.errstate(all="ignore"):
            return family._log_prob(transform.inverse(u), *params) + transform.log_jacobian(u) + 17.0

    line = integrate_line(log_density, np.zeros(cells), limits=(-np.inf, np.inf))
    cell = frame.dress(np.arange(cells).reshape(frame.shape), event=False) if frame.plates else 0
    return Tabulated(line.panels, transform, cell)


CASES = [
    (Normal(3, 2), Identity()),
    (StudentT(5, 1, 2), Identity()),
    (Gamma(3, 2), Log()),
    (Gamma(0.4, 2), Log()),
    (HalfNormal(2), Log()),
    (HalfStudentT(4, 2), Log()),
    (LogNormal(1, 2), Log()),
    (InverseGamma(6, 2), Log()),
    (Beta(3, 2), Logit()),
    (Beta(0.5, 4), Logit()),
    (Uniform(-2, 5), Logit(-2.0, 5.0)),
    (Truncated(Normal(0, 1), lower=0.5), Log(0.5)),
    (Truncated(Normal(0, 1), upper=0.5), NegativeLog(0.5)),
    (Gamma(xr.DataArray([0.6, 3.0, 90.0], dims="g", coords={"g": list("abc")}), 2), Log()),
]


@pytest.mark.parametrize(("family", "transform"), CASES, ids=[str(c[0]) for c in CASES])
class TestAgainstTheFamily:
    def test_quantiles_and_tails(self, family, transform):
        made = tabulate(family, transform)
        assert made.dims == family.dims
        found, expected = made.quantile(LEVELS), family.quantile(LEVELS)
        assert found.dims == expected.dims
        levels = family.cdf(found.drop_vars("quantile").rename(quantile="level"))
        np.testing.assert_allclose(levels - LEVELS, 0.0, rtol=0, atol=1e-8)
        x = expected.drop_vars("quantile").rename(quantile="level")
        np.testing.assert_allclose(made.cdf(x), family.cdf(x), rtol=0, atol=1e-8)
        np.testing.assert_allclose(made.log_prob(x), family.log_prob(x), rtol=0, atol=1e-7)
        np.testing.assert_allclose(made.eti(0.8), family.eti(0.8), rtol=1e-8)

    def test_moments(self, family, transform):
        made = tabulate(family, transform)
        for figure in ("mean", "var", "sd"):
            np.testing.assert_allclose(getattr(made, figure)(), getattr(family, figure)(), rtol=1e-6)

    def test_mode_and_narrowest_interval(self, family, transform):
        made = tabulate(family, transform)
        sd = float(np.max(family.sd()))
        if not isinstance(family, Uniform):  # any value is a mode of it
            np.testing.assert_allclose(made.mode(), family.mode(), rtol=1e-7, atol=1e-7 * sd)
        np.testing.assert_allclose(made.hdi(0.8), family.hdi(0.8), rtol=1e-7, atol=1e-7 * sd)

    def test_outside_and_at_the_ends_of_the_support(self, family, transform):
        made = tabulate(family, transform)
        lower, upper = (float(np.min(end)) for end in made._bounds(0))
        for end, step, below in ((lower, -0.5, 0.0), (upper, 0.5, 1.0)):
            np.testing.assert_array_equal(made.quantile(below), end)
            if np.isfinite(end):
                assert (made.log_prob(end + step) == -np.inf).all()
                assert (made.cdf(end + step) == below).all()
                expected = family.log_prob(end)
                np.testing.assert_allclose(made.log_prob(end), expected, rtol=0, atol=1e-5)
        assert made._outside(np.array([np.nan, np.inf]), 0).all()

    def test_draws(self, family, transform):
        made = tabulate(family, transform)
        x = made.sample(20_000, seed=5)
        assert x.dims == ("draw", *family.dims)
        assert not made._outside(x.values, np.asarray(made.canonical["cell"])).any()
        for column in np.moveaxis(family.cdf(x).transpose("draw", ...).values.reshape(20_000, -1), 1, 0):
            assert stats.kstest(column, "uniform").pvalue > 1e-4


def test_ends_where_the_density_levels_off_or_has_a_pole():
    at_zero = [tabulate(Gamma(shape, 2), Log()).log_prob(0.0).item() for shape in (0.5, 1.0, 2.0)]
    assert at_zero[0] == np.inf and at_zero[2] == -np.inf
    assert at_zero[1] == pytest.approx(np.log(2), abs=1e-9)
    assert tabulate(Gamma(1.0, 2), Log()).mode() == 0.0
    assert tabulate(HalfCauchy(3), Log()).mode() == 0.0


class TestInfiniteMoments:
    @pytest.mark.parametrize("shape", [0.7, 1.0, 1.9, 2.0])
    def test_of_powers(self, shape):
        made, family = tabulate(InverseGamma(shape, 3), Log()), InverseGamma(shape, 3)
        assert made.var() == np.inf
        np.testing.assert_allclose(made.mean(), family.mean(), rtol=1e-8)

    def test_on_the_line(self):
        assert tabulate(StudentT(2, 1, 3), Identity()).var() == np.inf
        assert np.isnan(tabulate(Cauchy(1, 3), Identity()).mean())
        assert tabulate(HalfCauchy(3), Log()).mean() == np.inf

    def test_a_wide_lognormal_is_not_one_of_them(self):
        made = tabulate(LogNormal(0, 4), Log())
        assert made.var().item() == pytest.approx(LogNormal(0, 4).var().item(), rel=1e-5)


class TestFunctionsOfIt:
    def test_monotone_ones(self):
        gamma = tabulate(Gamma(3, 2), Log())
        for steps, mean in ((("log",), special.digamma(3) - np.log(2)), (("square",), 3.0), (("reciprocal",), 1.0)):
            made = Monotone(gamma, *steps)
            assert made.mean().item() == pytest.approx(mean, rel=1e-8)
            np.testing.assert_allclose(made.quantile(0.3), Monotone(Gamma(3, 2), *steps).quantile(0.3), rtol=1e-8)
        inverse = Monotone(tabulate(InverseGamma(3, 2), Log()), "square")
        assert inverse.mean().item() == pytest.approx(2.0, rel=1e-8)  # the second moment
        assert inverse.var() == np.inf

    def test_powers(self):
        gamma = tabulate(Gamma(3, 2), Log())
        for k in (-0.5, 2.0):
            np.testing.assert_allclose(Power(gamma, k).mean(), Power(Gamma(3, 2), k).mean(), rtol=1e-9)
            np.testing.assert_allclose(Power(gamma, k).mode(), Power(Gamma(3, 2), k).mode(), rtol=1e-7)


def test_several_peaks():
    def log_density(u):
        return np.logaddexp(np.log(0.4) - 0.5 * u**2, np.log(0.6) - 0.5 * ((u - 6) / 0.3) ** 2 - np.log(0.3))

    made = Tabulated(integrate_line(log_density, np.zeros(1)).panels, Identity(), 0)
    assert made.mode().item() == pytest.approx(6.0, abs=1e-6)
    # half of the mass lies about the narrow peak: five sixths of it
    low, high = made.hdi(0.5).values
    half = 0.3 * special.ndtri(0.5 + 0.5 * 0.5 / 0.6)
    np.testing.assert_allclose([low, high], [6 - half, 6 + half], rtol=0, atol=1e-6)


def test_bounds_by_cell():
    lower, upper = np.array([0.0, 1.0, -np.inf, -np.inf]), np.array([np.inf, 4.0, 2.0, np.inf])
    transform = Mixed(lower, upper)
    line = integrate_line(lambda u: -0.5 * u**2, np.zeros(4))
    made = Tabulated(line.panels, transform, xr.DataArray([3.0, 2.0, 1.0, 0.0], dims="g"))
    u = special.ndtri(0.8)
    expected = [u, 2 - np.exp(-u), 1 + 3 * special.expit(u), np.exp(u)]
    np.testing.assert_allclose(made.quantile(0.8), expected, rtol=1e-9)
    means = [0.0, 2 - np.exp(0.5), 2.5, np.exp(0.5)]
    np.testing.assert_allclose(made.mean(), means, rtol=0, atol=1e-9)
    logits = integrate.quad(lambda u: (1 + 3 * special.expit(u)) ** 2 * stats.norm.pdf(u), -12, 12, epsabs=1e-13)[0]
    np.testing.assert_allclose(made.var()[2], logits - 2.5**2, rtol=1e-9)
    np.testing.assert_allclose(made.cdf(xr.DataArray(expected, dims="g")), 0.8, rtol=1e-9)


def test_prints_and_pickles():
    made = tabulate(Gamma(xr.DataArray([1.0, 2.0], dims="g", coords={"g": ["x", "y"]}), 2), Log())
    assert repr(made) == "Tabulated(<g: 2>)"
    assert repr(tabulate(Gamma(3, 2), Log())) == "Tabulated()"
    assert list(made.mean().coords["g"].values) == ["x", "y"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).quantile(0.2), made.quantile(0.2))
