"""Univariate continuous families against scipy.stats: adding a family is adding a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import bayeskit.distributions as families
from bayeskit.distributions import (
    Beta,
    Cauchy,
    ChiSquared,
    Distribution,
    Exponential,
    Gamma,
    GeneralizedInverseGaussian,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    InverseGaussian,
    Laplace,
    Logistic,
    LogNormal,
    Monotone,
    Normal,
    Pareto,
    Power,
    StudentT,
    Truncated,
    Uniform,
    VonMises,
    Weibull,
)


@dataclass
class Row:
    """A family, canonical parameters at which to try it, and the scipy law they mean.

    The last set of parameters broadcasts over two plates. `tolerance` is relative: above 1e-12 where scipy itself
    integrates or subtracts.
    """

    family: Distribution
    params: list[tuple[Any, ...]]
    law: Callable[..., Any]
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return self.family.family if not isinstance(self.family, Monotone | Power | Truncated) else str(self.family)


def plates(*values: Any) -> tuple[Any, ...]:
    """Lay the first parameter along one axis, the second along another, and so on in turn."""
    return tuple(np.asarray(v, dtype=float).reshape((-1, 1) if i % 2 == 0 else (1, -1)) for i, v in enumerate(values))


ROWS = [
    Row(Normal(), [(0, 1), (-3, 0.1), plates([0, 5], [1, 2, 30])], stats.norm),
    Row(
        Gamma(1, 1),
        [(1, 1), (0.05, 3), (2.5, 0.1), plates([0.5, 40], [1, 2, 3])],
        lambda a, b: stats.gamma(a, scale=1 / b),
    ),
    Row(
        InverseGamma(1, 1),
        [(3, 2), (0.5, 1), (50, 4), plates([0.5, 40], [1, 2, 3])],
        lambda a, b: stats.invgamma(a, scale=b),
    ),
    Row(Exponential(1), [(1,), (0.01,), plates([1, 20])], lambda lam: stats.expon(scale=1 / lam)),
    Row(ChiSquared(1), [(1,), (2,), (7.5,), plates([0.3, 50])], stats.chi2),
    Row(Beta(1, 1), [(1, 1), (0.5, 0.5), (2, 5), (80, 3), plates([0.2, 4], [1, 2, 9])], stats.beta),
    Row(Uniform(), [(0, 1), (-2, 3), plates([-1, 0], [2, 3, 4])], lambda a, b: stats.uniform(a, b - a)),
    Row(HalfNormal(), [(1,), (0.2,), plates([1, 20])], lambda s: stats.halfnorm(scale=s)),
    Row(HalfCauchy(), [(1,), (5,), plates([1, 20])], lambda b: stats.halfcauchy(scale=b)),
    Row(StudentT(3), [(1, 0, 1), (3, 1, 2), (30, -1, 0.1), plates([0.5, 5], [0, 1, 2], [1, 2])], stats.t),
    Row(HalfStudentT(3), [(1, 1), (3, 2), (30, 0.1), plates([1.5, 5], [1, 2, 3])], lambda nu, s: HalfT(nu, s)),
    Row(Cauchy(), [(0, 1), (3, 0.1), plates([0, 1], [1, 2, 3])], stats.cauchy),
    Row(Laplace(), [(0, 1), (3, 0.1), plates([0, 1], [1, 2, 3])], stats.laplace),
    Row(Logistic(), [(0, 1), (3, 0.1), plates([0, 1], [1, 2, 3])], stats.logistic),
    Row(LogNormal(), [(0, 1), (3, 0.1), plates([0, 1], [0.5, 1, 2])], lambda m, s: stats.lognorm(s, scale=np.exp(m))),
    Row(
        Weibull(1, 1), [(1, 1), (0.5, 2), (4, 3), plates([1, 3], [1, 2, 3])], lambda a, b: stats.weibull_min(a, scale=b)
    ),
    Row(Pareto(1, 1), [(1, 1), (3, 2), (2.5, 0.1), plates([1.5, 9], [1, 2, 3])], lambda a, m: stats.pareto(a, scale=m)),
    Row(
        GeneralizedInverseGaussian(1, 1, 1),
        [(-0.5, 4, 9), (2, 1, 1), (0.0, 0.5, 0.1), plates([-3, 1.5], [1, 2], [3])],
        lambda p, a, b: stats.geninvgauss(p, np.sqrt(a * b), scale=np.sqrt(b / a)),
        1e-7,
    ),
    Row(
        InverseGaussian(1, 1),
        [(1, 1), (2, 30), (0.1, 0.02), plates([0.5, 4], [1, 2, 300])],
        lambda mu, lam: stats.invgauss(mu / lam, scale=lam),
        1e-9,
    ),
    # Off zero only where nothing lies beyond the cut, which scipy's law does not have; from 50 on it approximates.
    Row(
        VonMises(0, 1),
        [(0, 1), (0, 0.05), (1, 40), plates([0, -0.5], [15, 30, 45])],
        lambda mu, kappa: stats.vonmises(kappa, mu),
        1e-9,
    ),
    Row(
        Truncated(Normal(), -1, 2),
        [(0, 1, -1, 2), (0, 1, 8, np.inf), (5, 2, -np.inf, -9), plates([0, 1], [1, 3], [0, -1], [2])],
        lambda m, s, low, high: stats.truncnorm((low - m) / s, (high - m) / s, m, s),
        1e-6,
    ),
    Row(
        Power(InverseGamma(1, 1), 0.5),
        [(3, 2), (20, 1), plates([2.5, 9], [1, 2, 3])],
        lambda a, b: RootInverseGamma(a, b),
    ),
    Row(Power(Exponential(1), 0.25), [(1,), (0.3,)], lambda lam: stats.weibull_min(4, scale=lam**-0.25)),
    Row(
        Monotone(Gamma(1, 1), "log"),
        [(1, 1), (2.5, 0.1), plates([0.5, 40], [1, 2, 3])],
        lambda a, b: stats.loggamma(a, loc=-np.log(b)),
    ),
    Row(Monotone(Beta(1, 1), "odds"), [(3, 4), (0.5, 9), plates([2.5, 40], [2.5, 7, 30])], stats.betaprime),
    Row(Power(Gamma(1, 1), -1), [(3, 2), plates([2.5, 9], [1, 2])], lambda a, b: stats.invgamma(a, scale=b)),
]


class HalfT:
    """The half-t, folded from scipy's t."""

    def __init__(self, nu: Any, s: Any) -> None:
        self.nu, self.s = nu, s
        self.t = stats.t(nu, 0, s)

    def logpdf(self, x: Any) -> Any:
        """Twice the density above zero."""
        return np.where(x >= 0, np.log(2) + self.t.logpdf(x), -np.inf)

    def cdf(self, x: Any) -> Any:
        """Both sides."""
        return np.where(x > 0, 1 - 2 * self.t.sf(x), 0)

    def ppf(self, q: Any) -> Any:
        """Quantiles from the near tail."""
        return self.t.isf((1 - q) / 2)

    def mean(self) -> Any:
        """Expectation of the absolute value, by scipy's quadrature."""
        return np.vectorize(lambda nu, s: np.inf if nu <= 1 else 2 * stats.t(nu, 0, s).expect(lambda x: x, lb=0))(
            self.nu, self.s
        )

    def var(self) -> Any:
        """Second moment of the t less the mean squared."""
        return np.where(self.nu > 2, self.t.var() - np.minimum(self.mean(), 1e150) ** 2, np.inf)


class RootInverseGamma:
    """The square root of an inverse gamma, which is one over scipy's generalised gamma."""

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b
        self.law = stats.gengamma(a, -2, scale=np.sqrt(b))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)


CASES = [pytest.param(row, params, id=f"{row}-{i}") for row in ROWS for i, params in enumerate(row.params)]
LEVELS = np.array([1e-3, 0.1, 0.35, 0.5, 0.8, 0.99])


def arrays(params: tuple[Any, ...]) -> list[np.ndarray]:
    return [np.asarray(p, dtype=float) for p in params]


def shape_of(params: tuple[Any, ...]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(np.shape(p) for p in params))


def levels_over(params: tuple[Any, ...]) -> np.ndarray:
    return LEVELS.reshape((-1,) + (1,) * len(shape_of(params)))


@pytest.mark.parametrize(("row", "params"), CASES)
class TestAgainstScipy:
    def test_log_density(self, row, params):
        law = row.law(*arrays(params))
        x = law.ppf(levels_over(params))
        np.testing.assert_allclose(row.family._log_prob(x, *arrays(params)), law.logpdf(x), rtol=1e-9, atol=1e-10)

    def test_log_density_outside_the_support(self, row, params):
        values = arrays(params)
        lower, upper = (np.broadcast_to(bound, shape_of(params)) for bound in row.family._bounds(*values))
        for x in (lower - 0.5, upper + 0.5):
            outside = np.isfinite(x)
            found = (
                row.family._log_prob(np.where(outside, x, 0.5 * (lower + upper)), *values) if outside.any() else None
            )
            if found is not None:
                assert np.all(np.broadcast_to(found, outside.shape)[outside] == -np.inf)
                assert np.all(row.family._outside(x, *values)[outside])

    def test_cdf_and_survival(self, row, params):
        law = row.law(*arrays(params))
        x = law.ppf(levels_over(params))
        below, above = row.family._cdf(x, *arrays(params)), row.family._sf(x, *arrays(params))
        np.testing.assert_allclose(below, law.cdf(x), rtol=row.tolerance, atol=1e-13)
        np.testing.assert_allclose(below + above, 1, rtol=1e-13)
        np.testing.assert_allclose(np.exp(row.family._log_cdf(x, *arrays(params))), below, rtol=1e-10)
        np.testing.assert_allclose(np.exp(row.family._log_sf(x, *arrays(params))), above, rtol=1e-10)

    def test_quantile(self, row, params):
        law, q = row.law(*arrays(params)), levels_over(params)
        x = row.family._quantile(q, *arrays(params))
        np.testing.assert_allclose(x, law.ppf(q), rtol=max(row.tolerance, 1e-9), atol=1e-12)
        np.testing.assert_allclose(row.family._log_quantile(np.log(q), *arrays(params)), x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(row.family._log_isf(np.log1p(-q), *arrays(params)), x, rtol=1e-9, atol=1e-12)

    def test_moments(self, row, params):
        law, values = row.law(*arrays(params)), arrays(params)
        for kernel, wanted in ((row.family._mean, law.mean()), (row.family._var, law.var())):
            found = np.broadcast_to(kernel(*values), shape_of(params))
            wanted = np.asarray(np.broadcast_to(wanted, found.shape))
            finite = np.isfinite(wanted)
            np.testing.assert_allclose(found[finite], wanted[finite], rtol=max(row.tolerance, 1e-8), atol=1e-12)
            assert not np.isfinite(found[~finite]).any()

    def test_mode_is_the_greatest_density(self, row, params):
        values = arrays(params)
        mode = np.broadcast_to(row.family._mode(*values), shape_of(params))
        with np.errstate(all="ignore"):
            at_mode = row.family._log_prob(mode, *values)
            elsewhere = row.family._log_prob(row.law(*values).ppf(levels_over(params)), *values)
        known = ~np.isnan(mode)
        assert np.all((at_mode >= elsewhere.max(axis=0) - 1e-12)[known])

    def test_density_integrates_to_one(self, row, params):
        values = [value.ravel()[0] for value in arrays(params)]
        ends = row.family._quantile(np.array([0.02, 0.3, 0.97]), *values)
        # Positive variables over their logarithm, where a peak at zero is none.
        positive = row.family._bounds(*values)[0] >= 0
        to, jacobian = (np.exp, lambda t: t) if positive else (lambda t: t, lambda t: 0.0)
        marks = np.log(ends) if positive else ends
        mass, _ = integrate.quad(
            lambda t: np.exp(float(row.family._log_prob(to(t), *values)) + jacobian(t)), *marks[::2], points=[marks[1]]
        )
        assert mass == pytest.approx(0.95, rel=1e-8)

    def test_draws(self, row, params):
        n, values = 4000, arrays(params)
        rng = np.random.default_rng(20)
        x = row.family._sample(rng, (n, *shape_of(params)), *values)
        assert x.shape == (n, *shape_of(params))
        assert not row.family._outside(x, *values).any()
        uniform = np.broadcast_to(row.family._cdf(x, *values), x.shape).reshape(n, -1)
        # The suite has some 200 such tests: a level of 1e-5 each is 2e-3 in all.
        assert min(stats.kstest(column, "uniform").pvalue for column in uniform.T) > 1e-5
        with np.errstate(invalid="ignore"):
            mean, sd = row.family._mean(*values), np.sqrt(row.family._var(*values))
            error = np.abs(x.mean(axis=0) - mean) / (sd / np.sqrt(n))
        assert np.all((error < 5) | ~np.isfinite(error))


def test_every_univariate_continuous_family_has_a_row():
    def is_univariate(cls):
        return isinstance(cls, type) and issubclass(cls, Distribution) and cls.event_ndim == 0 and cls.discrete is False

    stated = {type(row.family) for row in ROWS} | {families.Flat, Distribution}
    assert {cls for cls in vars(families).values() if is_univariate(cls)} <= stated


@pytest.mark.parametrize("kappa", [0.0, 4.0, 900.0])
@pytest.mark.parametrize("mu", [0.0, 2.5, np.pi, -3.1, 100.0])
def test_von_mises_around_the_cut_against_quadrature(mu, kappa):
    """Wherever the circle is cut, also for concentrations at which scipy approximates."""
    family, centre = VonMises(mu, kappa), np.remainder(mu + np.pi, 2 * np.pi) - np.pi
    scale = 1 / np.sqrt(kappa + 1)

    def mass(low, high):
        marks = [
            low,
            *(centre + turn + k * scale for turn in (-2 * np.pi, 0, 2 * np.pi) for k in range(-9, 10, 3)),
            high,
        ]
        marks = np.unique(np.clip(marks, low, high))
        parts = [
            integrate.quad(lambda t: np.exp(float(family._log_prob(t, mu, kappa))), a, b, epsabs=1e-14, epsrel=1e-12)[0]
            for a, b in pairwise(marks)
            if b - a > 1e-12
        ]
        return sum(parts)

    for x in np.concatenate([centre + scale * np.array([-6, -1, 0, 0.5, 5]), [-3.1, 3.1]]):
        x = np.remainder(x + np.pi, 2 * np.pi) - np.pi
        below, above = float(family.cdf(x)), float(family._sf(x, mu, kappa))
        assert below == pytest.approx(mass(-np.pi, x), rel=1e-9, abs=1e-12)
        assert above == pytest.approx(mass(x, np.pi), rel=1e-9, abs=1e-12)
    levels = np.array([1e-3, 0.03, 0.5, 0.7, 0.999])
    np.testing.assert_allclose(family.cdf(family.quantile(levels).values), levels, rtol=1e-9)
    np.testing.assert_array_equal(family.quantile([0.0, 1.0]), [-np.pi, np.pi])


def test_von_mises_moments_are_those_of_the_circle():
    at_zero, turned = VonMises(0, 0.7), VonMises(3 * np.pi - 0.1, 0.7)
    assert float(turned.mean()) == pytest.approx(np.pi - 0.1)
    assert float(turned.var()) == float(at_zero.var())
    assert float(at_zero.var()) == pytest.approx(stats.vonmises(0.7).var(), rel=1e-10)
    assert float(VonMises(1, 0).var()) == pytest.approx(np.pi**2 / 3, rel=1e-13)
    draws = turned.sample(20_000, seed=4).values
    resultant = np.exp(1j * draws).mean()
    assert abs(np.angle(resultant * np.exp(-1j * (np.pi - 0.1)))) < 5 * 1.5 / (abs(resultant) * np.sqrt(draws.size))


def test_inverse_gaussian_is_a_generalised_one_and_holds_far_out():
    for mu, lam in ((1.0, 1.0), (2.0, 1e6), (5.0, 1e-3)):
        params = (-0.5, lam / mu**2, lam)
        x = GeneralizedInverseGaussian(*params).quantile([0.001, 0.3, 0.9]).values
        ours, general = InverseGaussian(mu, lam), GeneralizedInverseGaussian(*params)
        np.testing.assert_allclose(ours.log_prob(x), general.log_prob(x), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(ours.cdf(x), general.cdf(x), rtol=1e-9)
        np.testing.assert_allclose(ours.mode(), general.mode(), rtol=1e-12)
    # by mpmath, to 50 digits
    assert float(InverseGaussian(1, 1).cdf(0.018943118202915752)) == pytest.approx(1.0000000439583748e-12, rel=1e-11)
    assert float(InverseGaussian(2, 1e6).cdf(1.9802002217577477)) == pytest.approx(1.0000001872011175e-12, rel=1e-11)
    # a tail of exp(-1600) is held in logs: its slope is the density over the tail
    far = InverseGaussian(1, 4)
    step = (far._log_sf(801.0, 1.0, 4.0) - far._log_sf(799.0, 1.0, 4.0)) / 2
    hazard = np.exp(far._log_prob(800.0, 1.0, 4.0) - far._log_sf(800.0, 1.0, 4.0))
    assert -step == pytest.approx(hazard, rel=1e-6)
    assert np.isneginf(far.log_prob([-1.0, 0.0, np.inf])).all()
