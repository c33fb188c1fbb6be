"""One-number densities by adaptive panels, against closed forms and quadrature of another kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayeskit.distributions.elementwise import Identity, Log, Logit, NegativeLog
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.core.line import integrate_line, limits_of

LEVELS = np.array([1e-9, 1e-4, 0.01, 0.2, 0.5, 0.77, 0.99, 1 - 1e-6])[:, None]
LOG_ROOT = 0.5 * np.log(2 * np.pi)


class Counted:
    """A log density that counts how often and at how many points of a cell it was asked."""

    def __init__(self, function):
        self.function, self.calls, self.points = function, 0, 0

    def __call__(self, u):
        self.calls += 1
        self.points += len(u)
        return self.function(u)


def log_gamma(a, b=1.0):
    """Unnormalised density of the log of a Gamma(a, b): its integral is gamma(a) / b**a."""
    return lambda u: a * u - b * np.exp(u)


# name, density, log of its integral, distribution function, start, most points for one cell
CASES = {
    "normal": (lambda u: -0.5 * u**2, LOG_ROOT, special.ndtr, 0.0, 150),
    "normal, from afar": (lambda u: -0.5 * (u - 3e3) ** 2, LOG_ROOT, lambda u: special.ndtr(u - 3e3), 0.0, 250),
    "log of a gamma": (log_gamma(3.0), special.gammaln(3.0), lambda u: special.gammainc(3, np.exp(u)), 0.0, 150),
    "log of a gamma, skewed": (
        log_gamma(0.05), special.gammaln(0.05), lambda u: special.gammainc(0.05, np.exp(u)), 0.0, 400,
    ),
    "log of an inverse gamma": (
        lambda u: -2.5 * u - np.exp(-u), special.gammaln(2.5), lambda u: special.gammaincc(2.5, np.exp(-u)), 0.0, 150,
    ),
    "log of a half-Cauchy": (
        lambda u: -np.logaddexp(-u, u), np.log(np.pi / 2), lambda u: 2 / np.pi * np.arctan(np.exp(u)), 1.0, 250,
    ),
    "logit of a beta": (
        lambda u: 0.4 * special.log_expit(u) + 7 * special.log_expit(-u), special.betaln(0.4, 7),
        lambda u: special.betainc(0.4, 7, special.expit(u)), 0.0, 250,
    ),
    "wide": (lambda u: -0.5 * (u / 1e7) ** 2, LOG_ROOT + np.log(1e7), lambda u: special.ndtr(u / 1e7), 5.0, 250),
    "power of u": (lambda u: -2 * np.log1p(u**2 / 3), -stats.t(3).logpdf(0), stats.t(3).cdf, 0.0, 1000),
    "two peaks": (
        lambda u: np.logaddexp(np.log(0.3) - 0.5 * u**2, np.log(0.7) - 0.5 * ((u - 9) / 0.3) ** 2 - np.log(0.3)),
        LOG_ROOT, lambda u: 0.3 * special.ndtr(u) + 0.7 * special.ndtr((u - 9) / 0.3), 0.0, 600,
    ),
    "a spike on a hill": (
        lambda u: np.logaddexp(-0.5 * u**2, -0.5 * ((u - 2.345) / 0.003) ** 2 - np.log(0.003)),
        LOG_ROOT + np.log(2), lambda u: 0.5 * special.ndtr(u) + 0.5 * special.ndtr((u - 2.345) / 0.003), 2.4, 1500,
    ),
    "a wall": (
        lambda u: np.where(u > 0.7, -3 * u, -np.inf), -2.1 - np.log(3), lambda u: -np.expm1(-3 * (u - 0.7)), 2.0, 500,
    ),
    "two walls, nothing where it starts": (
        lambda u: np.where((u > 3) & (u < 3.5), 0.0, np.nan), np.log(0.5), lambda u: (u - 3) * 2, -2.0, 800,
    ),
    "a kink": (
        lambda u: -np.abs(u - 0.3), np.log(2), lambda u: stats.laplace.cdf(u, 0.3), 0.0, 1500,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
class TestAgainstClosedForms:
    def test_integral_distribution_function_and_quantiles(self, case):
        density, log_mass, cdf, start, most = case
        counted = Counted(density)
        line = integrate_line(counted, np.array([start]))
        assert abs(line.log_mass[0] - log_mass) < 1e-9
        assert line.error[0] < 1e-9
        assert counted.calls < 50
        assert counted.points <= most
        u = line.quantile(LEVELS)
        np.testing.assert_allclose(cdf(u), LEVELS, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(line.cdf(u), LEVELS, rtol=0, atol=1e-12)
        inside = line.quantile(np.array([[0.01], [0.2], [0.45], [0.77], [0.99]]))  # not right at a kink
        np.testing.assert_allclose(line.log_density(inside), density(inside) - log_mass, rtol=0, atol=1e-6)

    def test_what_a_line_holds(self, case):
        density, _, _, start, _ = case
        line = integrate_line(density, np.array([start]))
        panels = line.panels
        count = len(panels.edges) - 1
        assert line.nodes.shape == panels.log_values.shape == panels.probabilities.shape == (16 * count, 1)
        np.testing.assert_allclose(panels.probabilities.sum(axis=0), 1.0, rtol=1e-14)
        assert (np.diff(panels.edges, axis=0) >= 0).all() and (np.diff(line.nodes, axis=0) >= 0).all()
        finite = np.isfinite(panels.log_values)
        np.testing.assert_array_equal(panels.log_values[finite], (density(line.nodes) - line.log_mass)[finite])


def test_a_smooth_density_costs_a_hundred_and_fifty_points():
    rng = np.random.default_rng(0)
    points = []
    for _ in range(40):
        location, spread, shape = rng.normal(0, 2), 10 ** rng.uniform(-1, 0.5), 10 ** rng.uniform(-0.3, 2)
        counted = Counted(lambda u, m=location, s=spread, a=shape: log_gamma(a, a)((u - m) / s))
        assert integrate_line(counted, np.array([location + rng.normal() * spread])).error[0] < 1e-9
        points.append(counted.points)
    assert np.median(points) < 150
    assert max(points) < 300


def test_narrow_and_far_from_zero():
    # a spread of 1e-8 at 1e3 is 1e5 doubles wide: places are rounded to 1e-5 of it
    line = integrate_line(lambda u: -0.5 * ((u - 1e3) / 1e-8) ** 2, np.array([1000.3]))
    assert abs(line.log_mass[0] - LOG_ROOT - np.log(1e-8)) < 3e-5
    assert 1e-7 < line.error[0] < 1e-3
    assert abs(line.mean()[0] - 1e3) < 1e-12
    assert line.var()[0] == pytest.approx(1e-16, rel=1e-3)


def eight_schools():
    y, se = np.array([28, 8, -3, 7, -1, 1, 18, 12.0]), np.array([15, 10, 16, 11, 9, 11, 10, 18.0])

    def log_density(u, prior):
        tau = np.exp(np.minimum(u, 300.0))[..., None]
        w = 1 / (tau**2 + se**2)
        total = w.sum(-1)
        m = (w * y).sum(-1) / total
        fit = 0.5 * np.log(w).sum(-1) - 0.5 * np.log(total) - 0.5 * (w * (y - m[..., None]) ** 2).sum(-1)
        return u + fit + (0.0 if prior == "flat" else -np.log1p((tau[..., 0] / 5) ** 2))

    return log_density


@pytest.mark.parametrize("prior", ["flat", "half-Cauchy"])
def test_tau_of_eight_schools(prior):
    log_density = eight_schools()
    counted = Counted(lambda u: log_density(u, prior))
    line = integrate_line(counted, np.zeros(1))

    def moment(k):
        def integrand(u):
            return np.exp(log_density(np.array([u]), prior)[0] + k * u)

        return sum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-12, limit=400)[0] for a, b in
                   [(-60, -5), (-5, 0), (0, 3), (3, 10), (10, 60)])  # fmt: skip

    assert counted.points < 200
    assert abs(line.log_mass[0] - np.log(moment(0))) < 1e-10
    tau = np.exp(line.nodes)
    assert line.mean(tau)[0] == pytest.approx(moment(1) / moment(0), rel=1e-9)
    second = moment(2) / moment(0)
    assert line.var(tau)[0] == pytest.approx(second - (moment(1) / moment(0)) ** 2, rel=1e-8)


def test_a_thousand_cells_of_other_places_and_scales():
    rng = np.random.default_rng(5)
    n = 1000
    scale = 10 ** rng.uniform(-3, 4, n)
    location = rng.normal(size=n) * scale * 10
    shape = 10 ** rng.uniform(-0.7, 3, n)
    kind = np.arange(n) % 3

    def density(u):
        z = (u - location) / scale
        with np.errstate(over="ignore"):
            gamma = shape * z - np.exp(z)
        return np.select([kind == 0, kind == 1], [-0.5 * z**2, gamma], -3 * np.log1p(z**2 / 5))

    def cdf(u):
        z = (u - location) / scale
        return np.select([kind == 0, kind == 1], [special.ndtr(z), special.gammainc(shape, np.exp(z))],
                         special.stdtr(5, z))  # fmt: skip

    masses = np.select([kind == 0, kind == 1], [LOG_ROOT, special.gammaln(shape)], -stats.t(5).logpdf(0))
    counted = Counted(density)
    line = integrate_line(counted, location + scale * rng.standard_t(3, n))
    np.testing.assert_allclose(line.log_mass, masses + np.log(scale), rtol=0, atol=1e-9)
    assert line.error.max() < 1e-9
    assert counted.calls < 40
    u = line.quantile(LEVELS)
    np.testing.assert_allclose(cdf(u), np.broadcast_to(LEVELS, u.shape), rtol=0, atol=1e-8)
    np.testing.assert_allclose(line.cdf(u), np.broadcast_to(LEVELS, u.shape), rtol=0, atol=1e-11)


def test_cells_do_not_touch_each_other():
    a, b = np.array([0.5, 3.0, 200.0]), np.array([1.0, 0.01, 7.0])
    together = integrate_line(log_gamma(a, b), np.zeros(3))
    for i in range(3):
        alone = integrate_line(log_gamma(a[i], b[i]), np.zeros(1))
        assert together.log_mass[i] == pytest.approx(alone.log_mass[0], rel=1e-12)
        np.testing.assert_allclose(together.cdf(alone.quantile(LEVELS))[:, [i]], LEVELS, rtol=0, atol=1e-9)


def test_errors_are_honest():
    """Where the limit of the rounds is met, the error says so; and it is not below what the error is."""
    jump = integrate_line(lambda u: -0.5 * u**2 + np.where(u > np.sqrt(0.17), 1.0, 0.0), np.zeros(1))
    mass = special.ndtr(np.sqrt(0.17)) + np.e * special.ndtr(-np.sqrt(0.17))
    found = abs(np.expm1(jump.log_mass[0] - LOG_ROOT - np.log(mass)))
    assert found < 1e-6
    assert found < 5 * jump.error[0] + 1e-12


def test_noise_ends_the_refinement():
    counted = Counted(lambda u: -0.5 * u**2 + 1e-7 * np.sin(1e9 * u))
    line = integrate_line(counted, np.zeros(1))
    assert counted.points < 5000
    assert abs(line.log_mass[0] - LOG_ROOT) < 1e-6


class TestTails:
    @pytest.mark.parametrize(
        ("density", "limits", "end"),
        [
            (lambda u: -np.exp(np.clip(u, -700, 700)), (-745, 710), "lower"),  # a constant on the log scale, for ever
            (lambda u: np.where(u > -745, -np.exp(u), -np.inf), (-745, 710), "lower"),  # and until doubles end
            (lambda u: -np.exp(-np.clip(u, -700, 700)), (-745, 710), "upper"),
            (lambda u: np.log(np.exp(u)), (-745, 710), "upper"),  # a flat prior on x
            (lambda u: np.where(u < 350, u - np.exp(-u), np.nan), (-745, 710), "upper"),  # its square overflows
            (lambda u: -np.log1p(np.abs(u)), (-np.inf, np.inf), ""),  # 1 / u
            (lambda u: 0.0 * u, (-np.inf, np.inf), ""),
            (lambda u: np.where(u < 37, special.log_expit(u), -np.inf), limits_of(Logit()), "upper"),  # Beta(1, 0)
        ],
        ids=["constant", "constant, cut", "constant above", "growing", "growing, cut", "1/u", "flat", "beta"],
    )
    def test_improper_ones_raise(self, density, limits, end):
        with np.errstate(all="ignore"), pytest.raises(ImproperError, match=f"of 'tau' is improper: towards its {end}"):
            integrate_line(density, np.zeros(1), name="tau", limits=limits)

    def test_how_many_cells_are_improper(self):
        slope = np.array([1.0, 0.0, 2.0, 0.0])
        with np.errstate(over="ignore"), pytest.raises(ImproperError, match=r"in 2 of 4 cells"):
            integrate_line(lambda u: slope * u - np.exp(u), np.zeros(4))

    def test_too_heavy_for_doubles(self):
        def density(u):
            return np.where(u < 709, -0.01 * u - np.exp(-u), -np.inf)

        with np.errstate(over="ignore"), pytest.raises(RefusedError, match="too heavy"):
            integrate_line(density, np.zeros(1))

    def test_slow_ones_are_right(self):
        a = np.array([0.06, 0.1, 0.3])

        def density(u):
            return np.where(u < 709, -a * u - np.exp(-u), -np.inf)

        with np.errstate(over="ignore"):
            line = integrate_line(density, np.zeros(3))
        np.testing.assert_allclose(line.log_mass, special.gammaln(a), rtol=0, atol=1e-9)

    def test_nowhere_positive(self):
        with pytest.raises(RefusedError, match="No value of positive density was found in 1 of 2 cells"):
            integrate_line(lambda u: np.where(np.array([True, False]), -(u**2), -np.inf), np.zeros(2))


def test_limits_of_transforms():
    for transform, low, high in [
        (Identity(), -np.inf, np.inf), (Log(), -745.2, 709.8), (Log(3.0), -36.0, 709.8),
        (NegativeLog(3.0), -709.8, 36.0), (Logit(), -745.2, 37.4), (Logit(np.zeros(1), np.full(1, 4.0)), -745.2, 37.4),
    ]:  # fmt: skip
        found = limits_of(transform)
        np.testing.assert_allclose(np.concatenate(found), [low, high], rtol=0, atol=1.5)


class TestDraws:
    def test_follow_their_cells(self):
        shape = np.array([0.3, 2.0, 50.0])
        line = integrate_line(log_gamma(shape), np.zeros(3))
        draws = line.sample(np.random.default_rng(3), 20_000)
        assert draws.shape == (20_000, 3)
        for i in range(3):
            p = stats.kstest(special.gammainc(shape[i], np.exp(draws[:, i])), "uniform").pvalue
            assert p > 1e-4

    def test_are_those_of_the_same_generator(self):
        line = integrate_line(log_gamma(2.0), np.zeros(1))
        first, second = (line.sample(np.random.default_rng(8), 50) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_moments_that_are_infinite():
    # on the scale of x = exp(u): an inverse gamma has moments below its shape
    shape = np.array([0.8, 1.0, 1.5, 2.0, 2.4, 9.0])
    line = integrate_line(lambda u: -shape * u - np.exp(-u), np.zeros(6))
    x = np.exp(line.nodes)
    mean = np.where(shape > 1, 1 / np.maximum(shape - 1, 1e-300), np.inf)
    np.testing.assert_allclose(line.mean(x), mean, rtol=1e-8)
    with np.errstate(divide="ignore"):
        variance = np.where(shape > 2, mean**2 / (shape - 2), np.inf)
    np.testing.assert_allclose(line.var(x), variance, rtol=1e-6)
    # of u itself all exist
    np.testing.assert_allclose(line.mean(), -special.digamma(shape), rtol=0, atol=1e-9)
    np.testing.assert_allclose(line.var(), special.polygamma(1, shape), rtol=1e-9)


def test_moments_beyond_the_panels():
    # half of the second moment of this lognormal lies 10 standard deviations out, where no panel is
    line = integrate_line(lambda u: -0.5 * (u / 5.0) ** 2, np.zeros(1))
    x = np.exp(line.nodes)
    assert line.mean(x)[0] == pytest.approx(np.exp(12.5), rel=1e-9)
    assert line.var(x)[0] == pytest.approx(np.exp(50.0) - np.exp(25.0), rel=1e-6)
    # and powers of u: a Student t with a mean and no variance, and a Cauchy without either
    nu = np.array([1.0, 1.6, 2.0, 5.0])
    line = integrate_line(lambda u: -0.5 * (nu + 1) * np.log1p(u**2 / nu), np.zeros(4))
    np.testing.assert_allclose(line.mean()[1:], 0.0, rtol=0, atol=1e-6)
    assert np.isnan(line.mean()[0]) and np.isnan(line.var()[0])
    np.testing.assert_allclose(line.var()[1:], [np.inf, np.inf, 5 / 3], rtol=1e-6)
