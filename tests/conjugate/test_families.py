"""Natural families: normalisers against quadrature, draws against their distributions, and where they are improper."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import erfc, erfcx, expn, gammaln

import bayeskit as bk
from bayeskit.conjugate.families import (
    BetaFamily,
    DirichletFamily,
    GammaFamily,
    NormalFamily,
    WishartFamily,
    natural_family,
)
from bayeskit.conjugate.gamma_integral import log_gamma_integral
from bayeskit.conjugate.normal_integral import log_normal_integral
from bayeskit.errors import RefusedError
from bayeskit.testing import assert_moments


def natural(*values):
    return tuple(np.array([float(v)]) for v in values)


NUMBERS = [
    ("beta", BetaFamily(), natural(2.5, 0.7)),
    ("gamma", GammaFamily("Gamma"), natural(2.5, 3, 0)),
    ("small shape", GammaFamily("Gamma"), natural(0.3, 3, 0)),
    ("inverse gamma", GammaFamily("InverseGamma"), natural(-2.5, 0, 3)),
    ("GIG", GammaFamily("Gamma"), natural(-1.5, 2, 3)),
    ("sd, inverse gamma", GammaFamily("Uniform", 2.0), natural(-2.5, 0, 3)),
    ("sd, GIG", GammaFamily("HalfNormal", 2.0), natural(-1.5, 0.5, 30)),
    ("gamma cut", GammaFamily("Gamma", 1.0, 0.5, 2.0), natural(2.5, 3, 0)),
    ("inverse gamma cut", GammaFamily("InverseGamma", 1.0, 0.5, 3.0), natural(-2.5, 0, 3)),
    ("GIG cut", GammaFamily("Gamma", 1.0, 0.5, 3.0), natural(-1.5, 2, 3)),
    ("sd cut", GammaFamily("Uniform", 2.0, None, 1.2), natural(-2.5, 0, 3)),
    ("sd cut far out", GammaFamily("Uniform", 2.0, 4.0, 9.0), natural(-30, 0, 3)),
    ("normal", NormalFamily("Normal"), natural(4, 3)),
    ("normal cut", NormalFamily("Normal", 0.0, 1.0), natural(4, 3)),
    ("normal cut far out", NormalFamily("Normal", 9.0), natural(4, 3)),
    ("normal cut on the other side", NormalFamily("Normal", None, -9.0), natural(4, 3)),
    ("exponential", NormalFamily("Exponential", 0.0), natural(0, -2)),
    ("flat between bounds", NormalFamily("Uniform", 0.0, 3.0), natural(0, 0)),
]
IMPROPER_WITHOUT_BOUNDS = [
    ("sd, one observation", GammaFamily("Uniform", 2.0, None, 4.0), natural(0, 0, 3)),
    ("variance, one observation", GammaFamily("Uniform", 1.0, None, 4.0), natural(0.5, 0, 3)),
    ("precision above a bound", GammaFamily("Gamma", 1.0, 0.3), natural(-0.5, 2, 0)),
    ("power between bounds", GammaFamily("Uniform", 2.0, 0.5, 4.0), natural(1.5, 0, 0)),
    ("exponential to a bound", NormalFamily("Exponential", 0.0, 3.0), natural(0, -2)),
    ("nearly flat", NormalFamily("Exponential", 0.0), natural(1e-14, -2)),
    ("rising to a bound", NormalFamily("Uniform", None, 3.0), natural(1e-14, 2)),
]
ALL = NUMBERS + IMPROPER_WITHOUT_BOUNDS


def names(cases):
    return [c[0] for c in cases]


def identity_wrap(array, **kwargs):
    import xarray as xr

    return xr.DataArray(array, dims=("cell",))


@pytest.mark.parametrize(("name", "family", "naturals"), NUMBERS, ids=names(NUMBERS))
def test_density_is_kernel_over_normaliser(name, family, naturals):
    assert family.is_proper(naturals).all()
    x = family.sample(tuple(np.repeat(n, 40) for n in naturals), np.random.default_rng(1))
    mine = family.log_kernel(x, naturals) - family.log_normaliser(naturals) + family.log_jacobian(x)
    known = family.distribution(naturals, identity_wrap)
    np.testing.assert_allclose(mine, [known.log_prob(v).item() for v in x], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "family", "naturals"), NUMBERS, ids=names(NUMBERS))
def test_draws_follow_the_distribution(name, family, naturals):
    draws = family.sample(tuple(np.repeat(n, 4000) for n in naturals), np.random.default_rng(2))
    known = family.distribution(naturals, identity_wrap)
    parameters = [float(np.ravel(p)[0]) for p in known.canonical.values()]
    assert stats.kstest(draws, lambda v: known._cdf(v, *parameters)).pvalue > 1e-3


@pytest.mark.parametrize(("name", "family", "naturals"), ALL, ids=names(ALL))
def test_normaliser_and_draws_against_quadrature(name, family, naturals):
    assert family.is_proper(naturals).all()
    draws = family.sample(tuple(np.repeat(n, 4000) for n in naturals), np.random.default_rng(3))
    lower = -np.inf if family.name == "Normal" else 0.0
    upper = 1.0 if family.name == "Beta" else np.inf
    lower = lower if getattr(family, "lower", None) is None else family.lower
    upper = upper if getattr(family, "upper", None) is None else family.upper
    total, cdf = quadrature(family, naturals, lower, upper, draws)
    assert float(family.log_normaliser(naturals)[0]) == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert stats.kstest(draws, cdf).pvalue > 1e-3


def quadrature(family, naturals, lower, upper, draws):
    """Log integral of the kernel over x, and the distribution function, on a grid without bounds."""
    w = np.linspace(-90, 90, 400_001)
    odds = np.exp(-np.abs(w))
    with np.errstate(all="ignore"):
        if np.isfinite(lower) and np.isfinite(upper):
            away = (upper - lower) * odds / (1 + odds)
            x = np.where(w < 0, lower + away, upper - away)
            slope = np.log(upper - lower) - np.abs(w) - 2 * np.log1p(odds)
        elif np.isfinite(lower):
            x, slope = lower + np.exp(w), w
        elif np.isfinite(upper):
            x, slope = (upper - np.exp(w))[::-1], w[::-1]
        else:
            x, slope = draws.mean() + w * draws.std(), np.log(draws.std())
        if family.name == "Beta":
            x = np.clip(x, 1e-300, 1 - 1e-16)
        values = family.log_kernel(x, naturals) + family.log_jacobian(x) + slope
    values = np.nan_to_num(values, nan=-np.inf)
    weights = np.exp(values - values.max())
    total = np.log(weights.sum() * (w[1] - w[0])) + values.max()
    cumulative = np.cumsum(weights) / weights.sum()
    return total, lambda v: np.interp(v, x, cumulative)


def test_bounded_kernels_against_closed_forms():
    one = np.ones(1)
    sd = GammaFamily("Uniform", 2.0, None, 2.0)
    np.testing.assert_allclose(sd.log_normaliser(natural(0, 0, 3)), np.log(expn(1, 1.5 / 4.0)), rtol=1e-13)
    order_three_halves = 2 * np.exp(-0.5) - 2 * np.sqrt(0.5 * np.pi) * erfc(np.sqrt(0.5))
    above = log_gamma_integral(-0.5 * one, one, 0 * one, np.array(1.0), np.array(np.inf))
    np.testing.assert_allclose(above, np.log(order_three_halves), rtol=1e-13)
    huge = log_gamma_integral(1e6 * one, 2e6 * one, 0 * one, np.array(0.0), np.array(1e9))
    np.testing.assert_allclose(huge, gammaln(1e6) - 1e6 * np.log(1e6), rtol=1e-12)
    assert np.isinf(log_gamma_integral(-1 * one, one, 0 * one, np.array(0.0), np.array(3.0)))


def test_normal_integrals_hold_far_out_and_at_no_precision():
    P = np.array([0.0, 1e-30, 1e-12, 1e-12, 1.0, 1e12])
    h = np.array([-2.0, -2.0, -2.0, 2.0, -40.0, 0.0])
    lower = np.array([0.0, 0.0, 0.0, -np.inf, 0.0, -np.inf])
    upper = np.array([np.inf, np.inf, 3.0, 0.0, np.inf, np.inf])
    mills = np.sqrt(np.pi / 2) * erfcx(40 / np.sqrt(2))
    narrow = np.log(-np.expm1(-6) / 2)
    expected = [-np.log(2), -np.log(2), narrow, -np.log(2), np.log(mills), 0.5 * np.log(2e-12 * np.pi)]
    np.testing.assert_allclose(log_normal_integral(P, h, lower, upper), expected, rtol=1e-11)
    assert np.isinf(log_normal_integral(np.zeros(1), np.ones(1), np.array(0.0), np.array(np.inf)))


def test_cells_without_data_keep_the_prior():
    m = NormalFamily("Exponential", 0.0)
    P, h = np.array([[0.0, 4.0]]), np.array([[-2.0, 3.0]])
    assert m.is_proper((P, h)).all()
    draws = m.sample((np.repeat(P, 4000, axis=0), np.repeat(h, 4000, axis=0)), np.random.default_rng(4))
    assert stats.kstest(draws[:, 0], stats.expon(scale=0.5).cdf).pvalue > 1e-3
    cut = stats.truncnorm(-0.75 / 0.5, np.inf, 0.75, 0.5)
    assert stats.kstest(draws[:, 1], cut.cdf).pvalue > 1e-3
    with pytest.raises(RefusedError, match="cells without data"):
        m.distribution((P, h), identity_wrap)
    prior = m.distribution(natural(0, -2), identity_wrap)
    assert float(prior.mean().item()) == 0.5
    flat = NormalFamily("Uniform", 1.0, 3.0).distribution(natural(0, 0), identity_wrap)
    assert float(flat.sd().item()) == pytest.approx(2 / 12**0.5)


def test_a_bounded_posterior_without_a_name_is_refused():
    with pytest.raises(RefusedError, match=r"order 0, which is proper between its bounds alone"):
        GammaFamily("Uniform", 2.0, None, 4.0).distribution(natural(0, 0, 3), identity_wrap)
    prior = GammaFamily("Uniform", 2.0, 1.0, 4.0).distribution(natural(0.5, 0, 0), identity_wrap)
    assert float(prior.mean().item()) == pytest.approx(2.5)


def test_dirichlet():
    family = DirichletFamily()
    alpha = np.array([[2.0, 0.0, 0.5, 3.0]])
    draws = family.sample((np.repeat(alpha, 4000, axis=0),), np.random.default_rng(5))
    known = bk.Dirichlet(alpha[0])
    assert (draws[:, 1] == 0).all()
    some = [0, 2, 3]
    assert_moments(draws[None][..., some], known.mean().values[some], known.sd().values[some])
    mine = family.log_kernel(draws[:5], (alpha,)) - family.log_normaliser((alpha,))
    np.testing.assert_allclose(mine, [known.log_prob(x).item() for x in draws[:5]], rtol=1e-12)


@pytest.mark.parametrize("name", ["Wishart", "InverseWishart"])
@pytest.mark.parametrize("rate", [False, True])
def test_wishart(name, rate):
    R = np.array([[[2.0, 0.5], [0.5, 1.0]]])
    nu = np.array([9.5])
    family = WishartFamily(name, rate=rate)
    draws = family.sample((np.repeat(nu, 4000), np.repeat(R, 4000, axis=0)), np.random.default_rng(6))

    def wrap(array):
        import xarray as xr

        return xr.DataArray(array, dims=("cell", "d", "d_")[: array.ndim])

    known = family.distribution((nu, R), wrap)
    mean, sd = known.mean().values[0], known.var().values[0] ** 0.5
    assert_moments(draws[None], mean, sd)
    reference = (stats.wishart if name == "Wishart" else stats.invwishart)(
        9.5, np.linalg.inv(R[0]) if name == "Wishart" else R[0]
    )
    mine = family.log_kernel(draws[:5], (nu, R)) - family.log_normaliser((nu, R))
    np.testing.assert_allclose(mine, [reference.logpdf(x) for x in draws[:5]], rtol=1e-10)
    np.testing.assert_allclose(mine, [known.log_prob(x).item() for x in draws[:5]], rtol=1e-10)


PROPER = [
    (BetaFamily(), (0, 0), False), (BetaFamily(), (3, 0), False), (BetaFamily(), (0, 3), False),
    (BetaFamily(), (1, 2), True),
    (GammaFamily("Gamma"), (0, 2, 0), False),  # Gamma(0, 0), no events in two units of exposure
    (GammaFamily("Gamma"), (1, 2, 0), True), (GammaFamily("Gamma"), (1, 0, 0), False),
    (GammaFamily("InverseGamma"), (0, 0, 3), False), (GammaFamily("InverseGamma"), (-0.5, 0, 3), True),
    (GammaFamily("InverseGamma"), (-0.5, 0, 0), False),
    (GammaFamily("Flat", 2.0), (0, 0, 3), False),  # sd flat, one observation
    (GammaFamily("Flat", 2.0), (-0.5, 0, 3), True),
    (GammaFamily("Uniform", 2.0, None, 4.0), (0, 0, 3), True), (GammaFamily("Uniform", 2.0, 1, None), (0, 0, 3), False),
    (GammaFamily("Gamma", 1.0, 1, None), (-2, 2, 0), True), (GammaFamily("Gamma"), (-2, 2, 3), True),
    (NormalFamily("Flat"), (0, 0), False), (NormalFamily("Flat"), (1, 0), True),
    (NormalFamily("Flat", 0.0), (0, 0), False), (NormalFamily("Exponential", 0.0), (0, -1), True),
    (NormalFamily("Uniform", 0.0, 1.0), (0, 0), True), (NormalFamily("Flat", None, 2.0), (0, -1), False),
]  # fmt: skip


@pytest.mark.parametrize(("family", "naturals", "proper"), PROPER)
def test_where_posteriors_exist(family, naturals, proper):
    values = natural(*naturals)
    assert bool(family.is_proper(values).all()) is proper
    assert bool(np.isfinite(family.log_normaliser(values)).all()) is proper
    assert np.isfinite(family.log_prior_normaliser(values)).all()


def test_wishart_needs_degrees_and_a_definite_matrix():
    family = WishartFamily("Wishart")
    nu = np.array([1.0, 1.5, 5.0])
    R = np.stack([np.eye(2), np.eye(2), np.ones((2, 2))])
    np.testing.assert_array_equal(family.is_proper((nu, R)), [False, True, False])
    np.testing.assert_array_equal(np.isfinite(family.log_normaliser((nu, R))), [False, True, False])


def test_bounds_that_are_not_numbers_are_refused():
    m = bk.Model()
    u = m.latent("u", bk.Exponential(1))
    assert "bounds of Uniform(0, u) are not known numbers" in str(natural_family(bk.Uniform(0, u), "Gamma", {-2.0}))
    assert "not known numbers" in str(natural_family(bk.Truncated(bk.Normal(0, 1), upper=u), "Normal", set()))


@pytest.mark.parametrize(("name", "family", "naturals"), ALL, ids=names(ALL))
def test_densities_vanish_outside(name, family, naturals):
    lower = 0.0 if family.name != "Normal" else -np.inf
    upper = 1.0 if family.name == "Beta" else np.inf
    lower = max(lower, -np.inf if getattr(family, "lower", None) is None else family.lower)
    upper = min(upper, np.inf if getattr(family, "upper", None) is None else family.upper)
    outside = np.array([end for end in (lower - 1e-6, upper + 1e-6) if np.isfinite(end)])
    assert (family.log_density(outside, naturals) == -np.inf).all()
    x = family.sample(naturals, np.random.default_rng(8))
    assert np.isfinite(family.log_density(x, naturals)).all()
