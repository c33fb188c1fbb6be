"""Where formulas break: counts of 1e15, tails at 37 sigma, shapes of 0.001, Bessel functions that overflow."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayeskit.distributions import (
    Beta,
    Binomial,
    Cauchy,
    Gamma,
    GeneralizedInverseGaussian,
    HalfNormal,
    InverseGamma,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Pareto,
    Poisson,
    Power,
    StudentT,
    Truncated,
    Weibull,
)
from bayeskit.distributions.bessel import log_bessel_k, log_bessel_k_ratio
from bayeskit.distributions.gammadraws import SMALLEST, log_standard_gamma
from bayeskit.distributions.gammafunctions import log_beta, log_choose, log_rising, stirling_remainder
from bayeskit.distributions.generalized_inverse_gaussian import log_gig_normaliser


def rising(x: float, n: int) -> Decimal:
    """The product x (x + 1) ... (x + n - 1) in 60 digits."""
    getcontext().prec = 60
    product = Decimal(1)
    for i in range(n):
        product *= Decimal(x) + i
    return product


class TestGammaFunctions:
    @pytest.mark.parametrize("x", [1e-3, 0.5, 3.0, 9.99, 10.0, 77.7, 1e6, 1e15])
    @pytest.mark.parametrize("n", [1, 2, 5, 40])
    def test_rising_factorials_and_what_is_made_of_them(self, x, n):
        assert float(log_rising(x, n)) == pytest.approx(float(rising(x, n).ln()), rel=3e-15, abs=3e-15)
        # B(x, n) = (n - 1)! / x^(n); a log gamma of 40 is 106, and its rounding 1.4e-14.
        wanted = (rising(1, n - 1) / rising(x, n)).ln()
        assert float(log_beta(x, n)) == pytest.approx(float(wanted), rel=3e-15, abs=2.9e-14)
        assert float(log_beta(n, x)) == float(log_beta(x, n))

    @pytest.mark.parametrize("n", [5, 60, 10**6, 10**15])
    def test_binomial_coefficients(self, n):
        for k in (0, 1, 4):
            wanted = (rising(n - k + 1, k) / rising(1, k)).ln()
            assert float(log_choose(n, k)) == pytest.approx(float(wanted), rel=3e-15, abs=1e-15)
            assert float(log_choose(n, n - k)) == float(log_choose(n, k))
        assert float(log_choose(n, -1)) == float(log_choose(n, n + 1)) == -np.inf

    def test_edges(self):
        np.testing.assert_array_equal(log_rising([0, 0], [0, 3]), [0, -np.inf])
        np.testing.assert_array_equal(log_beta([0, 0, 2], [1, 0, 0]), np.inf)
        x = np.array([0.3, 9.999999, 10.000001, 1e8])
        wanted = special.gammaln(x[:3]) - (x[:3] - 0.5) * np.log(x[:3]) + x[:3] - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(stirling_remainder(x)[:3], wanted, atol=1e-14)
        assert stirling_remainder(x)[3] == pytest.approx(1 / 12e8, rel=1e-14)

    def test_densities_at_counts_of_1e15(self):
        # At the mode a gamma and a beta are normal densities, up to a relative 1 / (12 n).
        n = 1e15
        sd = np.sqrt(n)
        for x in (n, n + sd, n - 2 * sd):
            wanted = -0.5 * ((x - n) / sd) ** 2 - 0.5 * np.log(2 * np.pi * n)
            assert float(Gamma(n, 1).log_prob(x)) == pytest.approx(wanted, abs=5e-7)
        assert float(Beta(n, n).log_prob(0.5)) == pytest.approx(-0.5 * np.log(2 * np.pi / (8 * n)), abs=1e-9)
        assert float(InverseGamma(n, n).log_prob(1.0)) == pytest.approx(0.5 * np.log(n / (2 * np.pi)), abs=1e-9)

    @pytest.mark.parametrize("alpha", [999.0, 1001.0, 5e4])
    def test_both_forms_of_a_density_agree_where_they_meet(self, alpha):
        x = alpha * np.array([0.9, 1.0, 1.05])
        direct = special.xlogy(alpha - 1, x) - x - special.gammaln(alpha)
        np.testing.assert_allclose(Gamma(1, 1)._log_prob(x, alpha, 1.0), direct, atol=1e-9)


class TestSmallShapes:
    @pytest.mark.parametrize(
        "d", [Gamma(0.001, 1), InverseGamma(0.001, 1), Beta(0.001, 0.001), Weibull(0.001, 1)], ids=str
    )
    def test_positive_draws_are_never_zero_nor_infinite(self, d):
        x = d.sample(5000, seed=1).values
        assert x.min() >= SMALLEST
        assert np.isfinite(x).all()
        assert x.max() < 1 or not isinstance(d, Beta)

    def test_gamma_draws_in_logs(self):
        for alpha in (1e-3, 0.05, 3.0):
            log_x = log_standard_gamma(np.random.default_rng(2), alpha, (20000,))
            sd = np.sqrt(special.polygamma(1, alpha) / 20000)
            assert abs(log_x.mean() - special.digamma(alpha)) < 5 * sd


class TestBessel:
    @pytest.mark.parametrize(
        ("nu", "z", "wanted"),
        # From mpmath, 60 digits.
        [(0.5, 1.0, -0.77420864735527), (1e5, 2.0, 1051287.0158165), (3.0, 1e-200, 1383.6304973381)],
    )
    def test_values(self, nu, z, wanted):
        assert float(log_bessel_k(nu, z)) == pytest.approx(wanted, rel=1e-13)
        assert float(log_bessel_k(-nu, z)) == float(log_bessel_k(nu, z))

    @pytest.mark.parametrize("nu", [0.0, 0.3, 2.0, 30.5, 99.0, 101.0, 1e3])
    @pytest.mark.parametrize("z", [1e-3, 1.0, 40.0, 99.0, 101.0, 1e4])
    def test_recurrence(self, nu, z):
        # K_{nu+1} = K_{nu-1} + (2 nu / z) K_nu ties every region to its neighbours.
        up, down = float(log_bessel_k_ratio(nu, z)), float(log_bessel_k_ratio(nu - 1, z))
        assert np.exp(up) == pytest.approx(np.exp(-down) + 2 * nu / z, rel=2e-13)
        assert float(log_bessel_k(nu + 1, z) - log_bessel_k(nu, z)) == pytest.approx(up, abs=1e-12 * (nu + z + 1))

    def test_against_scipy_where_it_does_not_overflow(self):
        rng = np.random.default_rng(0)
        nu, z = rng.uniform(0, 300, 3000), 10 ** rng.uniform(-1, 4, 3000)
        with np.errstate(all="ignore"):
            wanted = np.log(special.kve(nu, z)) - z
        nu, z, wanted = (v[np.isfinite(wanted)] for v in (nu, z, wanted))
        error = np.abs(log_bessel_k(nu, z) - wanted) / (nu + z + np.abs(wanted))
        assert error.max() < 3e-15


GIG = GeneralizedInverseGaussian(1, 1, 1)
GIG_CASES = [
    (-5, 1e-8, 2.0), (0, 1e-6, 1e-6), (300, 2, 5), (-1e5, 1.0, 2e5), (0.01, 1, 1e-200), (3, 2, 0), (-3, 0, 2),
    (1e8, 1e8, 1e8), (-49.5, 0.04, 100.0), (1e-10, 1.0, 1e-20),
]  # fmt: skip


class TestGeneralizedInverseGaussian:
    @pytest.mark.parametrize(("p", "a", "b"), GIG_CASES)
    def test_draws_quantiles_and_moments_agree(self, p, a, b):
        p, a, b = (np.asarray(v, dtype=float) for v in (p, a, b))
        n = 5000
        x = GIG._sample(np.random.default_rng(5), (n,), p, a, b)
        assert stats.kstest(GIG._cdf(x, p, a, b), "uniform").pvalue > 1e-5
        assert abs(x.mean() - GIG._mean(p, a, b)) < 5 * np.sqrt(GIG._var(p, a, b) / n)
        q = np.array([1e-10, 0.01, 0.5, 0.99, 1 - 1e-9])
        np.testing.assert_allclose(GIG._cdf(GIG._quantile(q, p, a, b), p, a, b), q, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(GIG._cdf(x, p, a, b) + GIG._sf(x, p, a, b), 1, rtol=1e-11)

    @pytest.mark.parametrize(("p", "a", "b"), [(2.5, 1, 3), (-0.5, 0.1, 9), (0, 1e-3, 1e-3), (3, 2, 0), (-3, 0, 2)])
    def test_normaliser_is_the_integral(self, p, a, b):
        def kernel(u):
            return np.exp(p * u - 0.5 * (a * np.exp(u) + b * np.exp(-u)))

        total, _ = integrate.quad(kernel, -40, 40, points=[-8, -3, 0, 3, 8], epsabs=0, epsrel=1e-12, limit=500)
        assert float(log_gig_normaliser(p, a, b)) == pytest.approx(np.log(total), rel=1e-11, abs=1e-11)

    def test_edges_are_the_gamma_and_the_inverse_gamma(self):
        x = np.array([0.1, 1.0, 4.0])
        np.testing.assert_allclose(GIG._log_prob(x, 3.0, 2.0, 0.0), Gamma(3, 1)._log_prob(x, 3.0, 1.0), rtol=1e-14)
        np.testing.assert_allclose(GIG._log_prob(x, 3.0, 2.0, 1e-200), Gamma(3, 1)._log_prob(x, 3.0, 1.0), rtol=1e-13)
        inverse = InverseGamma(3, 1)._log_prob(x, 3.0, 1.0)
        np.testing.assert_allclose(GIG._log_prob(x, -3.0, 0.0, 2.0), inverse, rtol=1e-14)
        np.testing.assert_allclose(GIG._log_prob(x, -3.0, 1e-200, 2.0), inverse, rtol=1e-13)

    def test_concentrated_variance_does_not_cancel(self):
        # At p = 1e6 the variance is a millionth of the squared mean; the gamma limit says which.
        d = GeneralizedInverseGaussian(1e6, 2.0, 1e-8)
        assert float(d.var()) == pytest.approx(1e6, rel=1e-8)
        root = Power(InverseGamma(1e6, 1e6), 0.5)
        assert float(root.var()) == pytest.approx(0.25e-6, rel=1e-5)


FAR = [
    (Normal(), 37, None), (Normal(), 9, 9.5), (Normal(), -9.5, -9), (Gamma(2, 1), 800, None),
    (Gamma(1e6, 1), 1.05e6, None), (Gamma(1e6, 1), None, 0.95e6), (Gamma(50, 1), None, 1e-3),
    (StudentT(3), 50, None), (Cauchy(), None, -1e8), (HalfNormal(1), 20, None), (Beta(2, 3), 0.999, None),
    (Beta(2, 3), None, 1e-200), (InverseGamma(3, 2), 1e5, None), (InverseGamma(3, 2), None, 1e-3),
    (Laplace(), 100, None), (LogNormal(), 1e10, None), (Weibull(0.5, 1), 1e6, None), (Pareto(3, 1), 100, 1000),
    (GeneralizedInverseGaussian(-1, 2, 3), 0.5, 4),
]  # fmt: skip


class TestTruncated:
    @pytest.mark.parametrize(("base", "lower", "upper"), FAR, ids=lambda v: str(v))
    def test_far_tails(self, base, lower, upper):
        d = Truncated(base, lower, upper)
        q = np.array([1e-6, 0.1, 0.6, 0.999])
        x = d.quantile(q).values
        # The rounding of x itself moves the probability by its density: nothing can do better.
        rounding = 2.0**-52 * np.abs(x) * np.exp(d.log_prob(x).values)
        assert np.all(np.abs(d.cdf(x).values - q) <= 4 * rounding + 1e-12)
        a, b = d.quantile([0.1, 0.6]).values
        mass, _ = integrate.quad(lambda u: (b - a) * np.exp(float(d.log_prob(a + u * (b - a)))), 0, 1, epsrel=1e-9)
        assert mass == pytest.approx(0.5, rel=1e-6)
        x = d.sample(3000, seed=4).values
        assert stats.kstest(d.cdf(x).values, "uniform").pvalue > 1e-5
        mean, sd = float(d.mean()), float(d.sd())
        assert not np.isfinite(mean) or abs(x.mean() - mean) <= 5 * sd / np.sqrt(3000) or sd == 0

    @pytest.mark.parametrize(
        ("base", "lower", "upper"),
        [(Poisson(1), 1, None), (Poisson(1), 30, None), (Poisson(1000), None, 100), (Binomial(20, 0.3), 2, 5.5),
         (Binomial(1000, 0.5), 900, None), (Poisson(3.3), 2, 7), (NegativeBinomial(3, 2), 100, None)],
        ids=lambda v: str(v),
    )  # fmt: skip
    def test_counts(self, base, lower, upper):
        d = Truncated(base, lower, upper)
        k = np.arange(0 if lower is None else np.ceil(lower), 1001 if upper is None else np.floor(upper) + 1)
        log_mass = base.log_prob(k).values
        mass = np.exp(log_mass - log_mass.max())
        mass /= mass.sum()
        np.testing.assert_allclose(np.exp(d.log_prob(k).values), mass, rtol=1e-9, atol=1e-300)
        assert float(d.log_prob(k[0] - 1)) == -np.inf
        q = np.array([0.01, 0.2, 0.5, 0.9, 0.99])
        np.testing.assert_array_equal(d.quantile(q), k[np.searchsorted(np.cumsum(mass), q)])
        mean = (mass * k).sum()
        assert float(d.mean()) == pytest.approx(mean, rel=1e-12)
        assert float(d.var()) == pytest.approx((mass * (k - mean) ** 2).sum(), rel=1e-9)
        x = d.sample(4000, seed=6).values
        assert not d._outside(x, *[np.asarray(float(v)) for v in d.canonical.values()]).any()
        assert abs(x.mean() - mean) <= 5 * float(d.sd()) / np.sqrt(4000)

    def test_a_uniform_keeps_its_own_bounds(self):
        from bayeskit.distributions import Uniform

        d = Truncated(Uniform(0, 1), 0.2, 0.9)
        assert float(d.mean()) == pytest.approx(0.55)
        assert float(d.log_prob(0.5)) == pytest.approx(-np.log(0.7))

    def test_bounds_over_plates(self):
        import xarray as xr

        low = xr.DataArray([-1.0, 0.0, 40.0], dims="cell")
        d = Truncated(Normal(), lower=low)
        np.testing.assert_allclose(d.log_prob(41.0), stats.truncnorm(low.values, np.inf).logpdf(41.0))
        assert d.sample(100, seed=1).min("draw").values.tolist() >= low.values.tolist()
