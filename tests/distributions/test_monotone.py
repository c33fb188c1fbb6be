"""Monotone functions of variables: against scipy's laws of the argument moved, quadrature, and draws."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats

from bayeskit.distributions import (
    Beta,
    Cauchy,
    Distribution,
    Exponential,
    Gamma,
    GeneralizedInverseGaussian,
    HalfNormal,
    InverseGamma,
    Laplace,
    LogNormal,
    Monotone,
    Normal,
    Pareto,
    Poisson,
    Power,
    StudentT,
    Truncated,
    Uniform,
)
from bayeskit.distributions.elementary import Affine, ToPower
from bayeskit.distributions.transformed import transformed
from bayeskit.errors import ParameterError, RefusedError


@dataclass
class Case:
    """A distribution, scipy's law of its argument, and the function written out in NumPy."""

    made: Distribution
    law: Any
    function: Any
    increasing: bool = True

    def __str__(self) -> str:
        return str(self.made)


CASES = [
    Case(Monotone(Beta(8, 4), "odds"), stats.beta(8, 4), lambda x: x / (1 - x)),
    Case(Monotone(Beta(0.6, 4), "logit"), stats.beta(0.6, 4), special.logit),
    Case(Monotone(Beta(3, 2), "ndtri"), stats.beta(3, 2), special.ndtri),
    Case(Monotone(Beta(3, 2), "log"), stats.beta(3, 2), np.log),
    Case(transformed(Beta(3, 2), "negative", "log1p"), stats.beta(3, 2), lambda x: np.log1p(-x), False),
    Case(Monotone(Beta(3, 2), Affine(100, 1)), stats.beta(3, 2), lambda x: 100 * x + 1),
    Case(Monotone(Beta(3, 4), "odds", ToPower(0.5)), stats.beta(3, 4), lambda x: np.sqrt(x / (1 - x))),
    Case(Monotone(Gamma(3, 2), "log"), stats.gamma(3, scale=0.5), np.log),
    Case(Monotone(Gamma(3, 2), "log1p"), stats.gamma(3, scale=0.5), np.log1p),
    Case(Monotone(Gamma(3, 8), "expm1"), stats.gamma(3, scale=1 / 8), np.expm1),
    Case(Monotone(Gamma(3, 2), "negative", "exp"), stats.gamma(3, scale=0.5), lambda x: np.exp(-x), False),
    Case(Monotone(Gamma(9, 10), "tanh"), stats.gamma(9, scale=0.1), np.tanh),
    Case(Monotone(InverseGamma(6, 2), "log"), stats.invgamma(6, scale=2), np.log),
    Case(Monotone(InverseGamma(6, 2), Affine(-3, 1)), stats.invgamma(6, scale=2), lambda x: 1 - 3 * x, False),
    Case(Monotone(Normal(0.3, 0.8), "expit"), stats.norm(0.3, 0.8), special.expit),
    Case(Monotone(Normal(0.3, 0.8), "ndtr"), stats.norm(0.3, 0.8), special.ndtr),
    Case(Monotone(Normal(0, 0.8), "exp", Affine(2), "log1p"), stats.norm(0, 0.8), lambda x: np.log1p(2 * np.exp(x))),
    Case(Monotone(StudentT(5, 1, 2), "expit"), stats.t(5, 1, 2), special.expit),
    Case(Monotone(Truncated(Normal(2), lower=1), "reciprocal"), stats.truncnorm(-1, np.inf, 2), np.reciprocal, False),
    Case(Monotone(Truncated(Gamma(3, 2), upper=2), "square"), None, np.square),
    Case(Monotone(Power(InverseGamma(6, 2), 0.5), "log"), stats.invgamma(6, scale=2), lambda v: np.log(v) / 2),
]  # fmt: skip
LEVELS = np.array([1e-4, 0.02, 0.3, 0.5, 0.8, 0.999])


class CutGamma:
    """Gamma(3, rate 2) below 2."""

    law = stats.gamma(3, scale=0.5)

    def ppf(self, q):
        return self.law.ppf(q * self.law.cdf(2))


for case in CASES:
    case.law = case.law or CutGamma()


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAgainstTheArgument:
    def test_quantiles_and_tails(self, case):
        expected = case.function(case.law.ppf(LEVELS if case.increasing else 1 - LEVELS))
        found = case.made.quantile(LEVELS).values
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        np.testing.assert_allclose(case.made.cdf(found), LEVELS, rtol=1e-9)
        params = list(case.made.canonical.values())
        np.testing.assert_allclose(case.made._sf(found, *params), 1 - LEVELS, rtol=1e-9)
        np.testing.assert_allclose(case.made._log_cdf(found, *params), np.log(LEVELS), rtol=1e-8)
        np.testing.assert_allclose(case.made._log_sf(found, *params), np.log1p(-LEVELS), rtol=1e-8)
        np.testing.assert_allclose(case.made._log_quantile(np.log(LEVELS), *params), found, rtol=1e-8)
        np.testing.assert_allclose(case.made._log_isf(np.log1p(-LEVELS), *params), found, rtol=1e-8)

    def test_density_is_the_slope_of_the_distribution_function(self, case):
        ends = case.made.quantile([0.05, 0.5, 0.95]).values
        for low, high, mass in ((ends[0], ends[1], 0.45), (ends[1], ends[2], 0.45)):
            found, _ = integrate.quad(lambda y: np.exp(float(case.made.log_prob(y))), low, high, epsrel=1e-11)
            assert found == pytest.approx(mass, rel=1e-8)

    def test_draws(self, case):
        n = 20_000
        x = case.made.sample(n, seed=5).values
        params = list(case.made.canonical.values())
        assert not case.made._outside(x, *params).any()
        assert stats.kstest(case.made.cdf(x).values, "uniform").pvalue > 1e-4  # some 20 of them
        mean, sd = float(case.made.mean()), float(case.made.sd())
        assert abs(x.mean() - mean) < 5 * sd / np.sqrt(n)
        square = (x - mean) ** 2
        assert abs(square.mean() - sd**2) < 5 * square.std() / np.sqrt(n)

    def test_moments_are_those_of_the_function(self, case):
        def moment(power):
            # over the quantiles, each half from its own tail, in logs
            return sum(
                integrate.quad(lambda t, end=end: _at(case, t, end) ** power * np.exp(t), -36, -np.log(2), limit=400)[0]
                for end in (False, True)
            )

        mean = moment(1)
        assert float(case.made.mean()) == pytest.approx(mean, rel=1e-6, abs=1e-8)
        assert float(case.made.var()) == pytest.approx(moment(2) - mean**2, rel=1e-5)

    def test_outside_the_support(self, case):
        params = list(case.made.canonical.values())
        lower, upper = case.made._bounds(*params)
        for end, step, below in ((lower, -0.5, 0.0), (upper, 0.5, 1.0)):
            if np.isfinite(end):
                assert float(case.made.log_prob(end + step)) == -np.inf
                assert float(case.made.cdf(end + step)) == below
                assert case.made._outside(end + step, *params)
            assert float(case.made.quantile(below)) == end

    def test_pickles_and_compares(self, case):
        assert pickle.loads(pickle.dumps(case.made)) == case.made
        assert case.made != transformed(case.made, Affine(2.0, 1.0))


def _at(case, t, upper):
    params = list(case.made.canonical.values())
    return float((case.made._log_isf if upper else case.made._log_quantile)(t, *params))


# ---- moments that are infinite, or not there -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "mean", "variance"),
    [
        (Monotone(Beta(3, 0.8), "odds"), np.inf, np.inf),
        (Monotone(Beta(3, 1.5), "odds"), 6.0, np.inf),
        (Monotone(Beta(3, 1.5), "odds", "negative"), -6.0, np.inf),
        (Monotone(Gamma(3, 0.8), "exp"), np.inf, np.inf),
        (Monotone(Gamma(3, 1.5), "exp"), 27.0, np.inf),  # (1 - 1 / 1.5)**-3
        (Monotone(StudentT(5, 0, 1), "exp"), np.inf, np.inf),
        (Monotone(Cauchy(0, 1), Affine(2, 1)), np.nan, np.nan),
        (Monotone(InverseGamma(0.5, 1), "negative"), -np.inf, np.inf),
        (Monotone(Exponential(1.5), "negative", "exp", "reciprocal"), 3.0, np.inf),
        (Monotone(Pareto(3, 1), "log", "exp"), 1.5, 0.75),
        (Monotone(Laplace(0, 0.6), "exp"), 1 / 0.64, np.inf),
        (Monotone(Truncated(Uniform(0, 1), lower=0.5), "odds"), np.inf, np.inf),
        (Monotone(Truncated(Beta(2, 2), upper=0.5), "odds", "negative", "exp", "log"), None, None),
        (Monotone(HalfNormal(1), "reciprocal"), np.inf, np.inf),
        (Monotone(HalfNormal(1), "square", Affine(0.4), "exp"), 1 / np.sqrt(0.2), np.inf),
        (Monotone(GeneralizedInverseGaussian(1, 2, 1), Affine(1.2), "exp"), np.inf, np.inf),
        (Monotone(Power(InverseGamma(0.98, 2), 0.5), Affine(1, 1), "square", "sqrt"), None, np.inf),
    ],
    ids=str,
)
def test_infinite_moments_are_known_by_rule(made, mean, variance):
    found = float(made.mean()), float(made.var())
    if mean is None:
        assert np.isfinite(found[0])
    else:
        assert found[0] == pytest.approx(mean, rel=1e-9, abs=1e-9, nan_ok=True)
    if variance is None:
        assert np.isfinite(found[1])
    else:
        assert found[1] == pytest.approx(variance, rel=1e-9, nan_ok=True)


def test_a_moment_exists_below_its_order_and_not_from_there_on():
    odds = Monotone(Beta(3, xr.DataArray([0.9, 1.0, 1.1, 2.0, 2.1], dims="arm")), "odds", Affine(1.0, 1.0))
    np.testing.assert_array_equal(np.isfinite(odds.mean()), [False, False, True, True, True])
    np.testing.assert_array_equal(np.isfinite(odds.var()), [False, False, False, False, True])


def test_moments_that_are_not_known_are_refused():
    edge = Monotone(GeneralizedInverseGaussian(-1, 2, 1), "exp")  # the mean is at the very edge of existence
    with pytest.raises(RefusedError, match="Monotone has no moments that are known to exist"):
        edge.mean()
    assert float(edge.quantile(0.5)) > 1
    mixed = Monotone(GeneralizedInverseGaussian(-3, xr.DataArray([0.0, 1.0], dims="g"), 1), "log1p", "expm1")
    with pytest.raises(RefusedError, match="known to exist"):
        mixed.mean()
    near_one = Monotone(Truncated(Beta(2, 2), lower=0.5), "logit")  # doubles near 1 hold too little
    with pytest.raises(RefusedError, match="that doubles can hold"):
        near_one.mean()


def test_modes():
    assert float(Monotone(Beta(8, 4), "odds").mode()) == pytest.approx(7 / 5)
    assert float(Monotone(Beta(8, 4), "logit").mode()) == pytest.approx(np.log(2))
    assert float(Monotone(Gamma(8, 4), "log").mode()) == pytest.approx(np.log(2))
    assert float(Monotone(Gamma(8, 4), Affine(-2, 1)).mode()) == pytest.approx(1 - 2 * 7 / 4)
    with pytest.raises(RefusedError, match="no mode in closed form"):
        Monotone(Gamma(8, 4), "log1p").mode()


# ---- labels, tails, families -----------------------------------------------------------------------------------------


def test_plates_align_by_name():
    p = Beta(xr.DataArray([2.0, 8.0], coords={"arm": ["A", "B"]}), xr.DataArray([3.0, 4.0], coords={"arm": ["A", "B"]}))
    cost = xr.DataArray([1.0, 2.0, 5.0], coords={"year": [1, 2, 3]})
    made = Monotone(p, "odds", Affine(cost, 1.0))
    assert made.dims == ("arm", "year")
    median = made.quantile(0.5)
    odds = stats.betaprime([2, 8], [3, 4]).median()
    np.testing.assert_allclose(median, odds[:, None] * cost.values + 1, rtol=1e-9)
    np.testing.assert_allclose(made.mean().sel(arm="B", year=3), 5 * 8 / 3 + 1)
    np.testing.assert_allclose(made.cdf(median), 0.5)
    interval = made.hdi(0.5)
    assert interval.dims == ("arm", "year", "ci_bound")
    ends = made.cdf(interval.isel(ci_bound=0)), made.cdf(interval.isel(ci_bound=1))
    np.testing.assert_allclose(ends[1] - ends[0], 0.5, rtol=1e-8)
    assert made.sample(7, seed=1).dims == ("draw", "arm", "year")


def test_log_odds_hold_in_both_tails():
    made = Monotone(Beta(2, 3), "logit")
    # P(logit > u) = I_y(3, 2), y = expit(-u), is 4 y**3 far out
    assert float(made._log_sf(np.asarray(60.0), 2.0, 3.0)) == pytest.approx(np.log(4) - 180, rel=1e-12)
    assert float(made._log_cdf(np.asarray(-60.0), 2.0, 3.0)) == pytest.approx(np.log(6) - 120, rel=1e-12)
    assert float(made._log_isf(np.asarray(np.log(4) - 180), 2.0, 3.0)) == pytest.approx(60.0, rel=1e-12)
    assert float(made.log_prob(60.0)) == pytest.approx(np.log(12) - 180, rel=1e-12)
    tiny = Monotone(Beta(1e-3, 1e-3), "logit")  # x itself underflows at either end
    assert float(tiny.quantile(0.25)) == pytest.approx(-693.1, abs=0.1)
    assert float(tiny.sd()) == pytest.approx(np.sqrt(2) * 1e3, rel=1e-5)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (transformed(Normal(1, 2), "exp"), LogNormal(1, 2)),
        (transformed(Normal(1, 2), Affine(-3, 1)), Normal(-2, 6)),
        (transformed(StudentT(5, 1, 2), Affine(3, 1)), StudentT(5, 4, 6)),
        (transformed(LogNormal(1, 2), "sqrt", "log"), Normal(0.5, 1.0)),
        (transformed(Beta(2, 3), Affine(-1, 1)), Beta(3, 2)),
        (transformed(Beta(2, 3), Affine(-5, 5)), Monotone(Beta(3, 2), Affine(5, 0.0))),
        (transformed(Gamma(2, 3), "reciprocal", Affine(2)), InverseGamma(2, 6)),
        (transformed(InverseGamma(2, 3), "reciprocal"), Gamma(2, 3)),
        (transformed(Gamma(2, 3), "sqrt"), Power(Gamma(2, 3), 0.5)),
        (transformed(Power(InverseGamma(2, 3), 0.5), "square"), InverseGamma(2, 3)),
        (transformed(Power(InverseGamma(2, 3), 0.5), Affine(2)), Power(InverseGamma(2, 12.0), 0.5)),
        (transformed(Uniform(0, 1), Affine(-2, 1)), Uniform(-1, 1)),
        (transformed(Uniform(0, 1), "logit"), Monotone(Beta(1, 1), "logit")),
        (transformed(Exponential(2), Affine(3)), Exponential(2 / 3)),
        (transformed(Beta(2, 3), "odds", "log"), Monotone(Beta(2, 3), "logit")),
        (transformed(Beta(2, 3), "logit", "expit"), Beta(2, 3)),
        (transformed(Beta(2, 3), Affine(2, 1), Affine(3, -3)), Monotone(Beta(2, 3), Affine(6, 0))),
        (transformed(Normal(1, 2), "expit", "odds"), LogNormal(1, 2)),
    ],
)
def test_known_families_are_returned(made, expected):
    assert type(made) is type(expected)
    assert made == expected
    np.testing.assert_allclose(made.quantile(LEVELS), expected.quantile(LEVELS))


SCALED = [
    Gamma(2, 3),
    Exponential(2),
    InverseGamma(3, 2),
    GeneralizedInverseGaussian(1, 2, 3),
    HalfNormal(2),
    Pareto(3, 2),
]


@pytest.mark.parametrize("base", [*SCALED, Laplace(1, 2), Cauchy(1, 2), LogNormal(1, 2)], ids=str)
def test_lines_of_families(base):
    found, through = transformed(base, Affine(2.5)), Monotone(base, Affine(2.5))
    assert not isinstance(found, Monotone)
    np.testing.assert_allclose(found.quantile(LEVELS), through.quantile(LEVELS), rtol=1e-7)
    np.testing.assert_allclose(found.log_prob(3.0), through.log_prob(3.0), rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Monotone(Normal(0, 1), "log"),
            r"The argument of log must lie in 0\.\.inf\. Got values from -inf to inf",
        ),
        (lambda: Monotone(Gamma(2, 1), "logit"), r"The argument of logit must lie in 0\.\.1"),
        (lambda: Monotone(Normal(0, 1), "square"), r"The argument of power\(2\) must lie in 0\.\.inf"),
        (
            lambda: Monotone(Poisson(2), "exp"),
            "Monotone must be given a continuous distribution of numbers. Got Poisson",
        ),
        (lambda: Monotone(Beta(0, 0), "logit"), "Monotone must be given a proper distribution"),
        (lambda: Monotone(Normal(0, 1), "sin"), "A monotone function must be one of exp, log,.* Got 'sin'"),
        (lambda: Affine(0.0), "must have a finite slope of one sign, nowhere zero"),
        (lambda: Affine(xr.DataArray([1.0, -1.0], dims="k")), "must have a finite slope of one sign"),
        (lambda: ToPower(0.0), "The exponent of a power must be a number other than zero"),
    ],
)
def test_what_is_not_monotone_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()
