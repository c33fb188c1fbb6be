"""Discrete families: one table against scipy.stats, then sums, draws, edges, accuracy at large counts, and labels.

Adding a family is adding a row to `UNIVARIATE` or `VECTORS`.
"""

from __future__ import annotations

import pickle
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, logit, softmax

from bayeskit.distributions import (
    Bernoulli,
    BetaBinomial,
    Binomial,
    Categorical,
    DirichletMultinomial,
    DiscreteUniform,
    Geometric,
    Hypergeometric,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
)
from bayeskit.distributions.finite import FiniteDiscrete
from bayeskit.distributions.shifted import Shifted
from bayeskit.errors import ParameterError, RefusedError
from bayeskit.expressions import Variable

# name: (distribution, its scipy twin, values that hold all but 1e-12 of the mass, a value outside)
UNIVARIATE = {
    "Bernoulli p": (Bernoulli(0.3), stats.bernoulli(0.3), range(2), 2),
    "Bernoulli logit": (Bernoulli(logit=-1.3), stats.bernoulli(expit(-1.3)), range(2), -1),
    "Binomial p": (Binomial(12, 0.35), stats.binom(12, 0.35), range(13), 13),
    "Binomial logit": (Binomial(12, logit=0.8), stats.binom(12, expit(0.8)), range(13), 1.5),
    "Binomial many": (Binomial(2500, 0.4), stats.binom(2500, 0.4), range(800, 1201), 2501),
    "Binomial many logit": (Binomial(2500, logit=logit(0.4)), stats.binom(2500, 0.4), range(800, 1201), -1),
    "Poisson": (Poisson(4.2), stats.poisson(4.2), range(40), -1),
    "Poisson large": (Poisson(3000.0), stats.poisson(3000.0), range(2550, 3450), 3000.5),
    "Geometric": (Geometric(0.15), stats.geom(0.15), range(1, 200), 0),
    "NegativeBinomial mu": (NegativeBinomial(4, 2.5), stats.nbinom(2.5, 2.5 / 6.5), range(90), -1),
    "NegativeBinomial n": (NegativeBinomial(n=3, p=0.4), stats.nbinom(3, 0.4), range(80), 0.5),
    "NegativeBinomial large": (NegativeBinomial(2000, 900), stats.nbinom(900, 900 / 2900), range(1300, 2900), -1),
    "NegativeBinomial n large": (NegativeBinomial(n=900, p=0.3), stats.nbinom(900, 0.3), range(1400, 2900), -1),
    "DiscreteUniform": (DiscreteUniform(-2, 5), stats.randint(-2, 6), range(-2, 6), 6),
    "BetaBinomial": (BetaBinomial(12, 2.5, 0.7), stats.betabinom(12, 2.5, 0.7), range(13), 13),
    "BetaBinomial U": (BetaBinomial(9, 0.5, 0.4), stats.betabinom(9, 0.5, 0.4), range(10), -1),
    "BetaBinomial many": (BetaBinomial(1500, 3.0, 2.0), stats.betabinom(1500, 3.0, 2.0), range(1501), 1501),
    "Hypergeometric": (Hypergeometric(20, 7, 12), stats.hypergeom(20, 7, 12), range(8), 8),
    "Hypergeometric crowded": (Hypergeometric(30, 25, 20), stats.hypergeom(30, 25, 20), range(15, 21), 14),
    "Hypergeometric many": (Hypergeometric(5000, 1500, 900), stats.hypergeom(5000, 1500, 900), range(170, 380), 901),
}
UNIVARIATE |= {
    "Shifted": (Shifted(BetaBinomial(9, 2.5, 0.7), 4), stats.betabinom(9, 2.5, 0.7, loc=4), range(4, 14), 3),
    "Shifted down": (Shifted(Poisson(4.2), -3), stats.poisson(4.2, loc=-3), range(-3, 37), -4),
}
# name: (distribution, log mass, the mean and variance of its entries)
_P = np.array([0.2, 0.5, 0.3])
_ALPHA = np.array([0.7, 2.0, 1.5])
_MULTINOMIAL = stats.multinomial(6, _P)
_DIRICHLET_MULTINOMIAL = stats.dirichlet_multinomial(_ALPHA, 6)
VECTORS = {
    "Multinomial p": (Multinomial(6, _P), _MULTINOMIAL.logpmf, 6 * _P, 6 * _P * (1 - _P)),
    "Multinomial logit": (Multinomial(6, logit=np.log(_P) + 3), _MULTINOMIAL.logpmf, 6 * _P, 6 * _P * (1 - _P)),
    "DirichletMultinomial": (
        DirichletMultinomial(6, _ALPHA),
        _DIRICHLET_MULTINOMIAL.logpmf,
        _DIRICHLET_MULTINOMIAL.mean(),
        _DIRICHLET_MULTINOMIAL.var(),
    ),
}
COUNTS = np.array([x for x in product(range(7), repeat=3) if sum(x) == 6])


def parameters(distribution):
    """The canonical parameters as arrays."""
    return [np.asarray(value, dtype=float) for value in distribution.canonical.values()]


@pytest.fixture(params=UNIVARIATE)
def row(request):
    return UNIVARIATE[request.param]


class TestAgainstScipy:
    def test_log_mass(self, row):
        distribution, twin, values, _ = row
        x = np.array(values)
        expected = twin.logpmf(x)
        for stored in (x, x.astype(float)):
            np.testing.assert_allclose(distribution.log_prob(stored), expected, rtol=1e-9, atol=1e-10)

    def test_masses_sum_to_one(self, row):
        distribution, _, values, _ = row
        assert np.exp(distribution.log_prob(np.array(values))).sum() == pytest.approx(1, abs=1e-11)

    def test_moments(self, row):
        distribution, twin, _, _ = row
        assert float(distribution.mean()) == pytest.approx(twin.mean(), rel=1e-12)
        assert float(distribution.var()) == pytest.approx(twin.var(), rel=1e-10)
        assert float(distribution.sd()) == pytest.approx(twin.std(), rel=1e-10)

    def test_distribution_function(self, row):
        distribution, twin, values, _ = row
        x = np.array(values)
        np.testing.assert_allclose(distribution.cdf(x), twin.cdf(x), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(distribution.cdf(x + 0.5), twin.cdf(x), rtol=1e-9, atol=1e-14)
        assert float(distribution.cdf(values[0] - 3)) == pytest.approx(twin.cdf(values[0] - 3), rel=1e-9)
        upper = distribution._log_sf(x, *parameters(distribution))
        held = twin.sf(x) > 1e-13
        np.testing.assert_allclose(upper[held], np.log(twin.sf(x[held])), rtol=1e-6, atol=1e-9)

    def test_quantiles(self, row):
        distribution, twin, _, _ = row
        levels = np.array([1e-6, 0.013, 0.217, 0.5003, 0.861, 0.99, 1 - 1e-6])
        np.testing.assert_array_equal(distribution.quantile(levels), twin.ppf(levels))
        ends = distribution.quantile([0.0, 1.0]).values
        np.testing.assert_array_equal(ends, twin.support())

    def test_quantile_inverts_the_distribution_function(self, row):
        distribution, _, values, _ = row
        x = np.array(values)[:60]
        levels = distribution.cdf(x).values
        inner = levels < 1
        np.testing.assert_array_equal(distribution.quantile(levels[inner]), x[inner])

    def test_mode_is_where_the_mass_is_greatest(self, row):
        distribution, _, values, _ = row
        greatest = float(np.max(distribution.log_prob(np.array(values))))
        assert float(distribution.log_prob(distribution.mode())) == pytest.approx(greatest, abs=1e-12)

    def test_outside(self, row):
        distribution, _, values, outside = row
        assert float(distribution.log_prob(outside)) == -np.inf
        assert distribution._outside(np.array([outside, values[0], np.nan]), *parameters(distribution)).tolist() == [
            True,
            False,
            True,
        ]
        lower, upper = distribution._bounds(*parameters(distribution))
        assert lower <= values[0] and upper >= values[-1]

    def test_draws(self, row):
        distribution, twin, _, _ = row
        draws = distribution.sample(20_000, seed=8)
        assert draws.dims == ("draw",) and draws.dtype == np.int64
        mcse = twin.std() / np.sqrt(draws.size)
        assert abs(float(draws.mean()) - twin.mean()) < 5 * mcse
        spread = (draws.values - twin.mean()) ** 2
        assert abs(spread.mean() - twin.var()) < 5 * spread.std() / np.sqrt(draws.size) + 1e-12
        assert np.isfinite(distribution.log_prob(draws)).all()


@pytest.mark.parametrize("name", VECTORS)
class TestVectors:
    def test_log_mass_and_sum(self, name):
        distribution, log_mass, _, _ = VECTORS[name]
        values = distribution.log_prob(xr.DataArray(COUNTS, dims=("i", "event")))
        np.testing.assert_allclose(values, [log_mass(x) for x in COUNTS], rtol=1e-10, atol=1e-12)
        assert float(np.exp(values).sum()) == pytest.approx(1, abs=1e-12)

    def test_moments_and_draws(self, name):
        distribution, _, mean, var = VECTORS[name]
        np.testing.assert_allclose(distribution.mean(), mean)
        np.testing.assert_allclose(distribution.var(), var)
        draws = distribution.sample(20_000, seed=3)
        assert draws.dims == ("draw", "event") and draws.dtype == np.int64
        np.testing.assert_array_less(np.abs(draws.mean("draw") - mean), 5 * np.sqrt(var / 20_000))
        spread = (draws.values - mean) ** 2
        np.testing.assert_array_less(np.abs(spread.mean(0) - var), 5 * spread.std(0) / np.sqrt(20_000))

    def test_entries(self, name):
        distribution = VECTORS[name][0]
        joint = np.exp(distribution.log_prob(xr.DataArray(COUNTS, dims=("i", "event")))).values
        for k in range(7):
            entry = [joint[COUNTS[:, event] <= k].sum() for event in range(3)]
            np.testing.assert_allclose(distribution.cdf(np.full(3, k)), entry, rtol=1e-10)
        levels = distribution.cdf(np.array([1, 2, 3])).values
        inverse = [distribution.quantile(level).values[event] for event, level in enumerate(levels)]
        np.testing.assert_array_equal(inverse, [1, 2, 3])

    def test_outside(self, name):
        distribution = VECTORS[name][0]
        for value in ([1, 2, 2], [7, -1, 0], [1.5, 2.5, 2]):
            assert float(distribution.log_prob(value)) == -np.inf


class TestCategorical:
    def test_masses_moments_and_codes(self):
        p = np.array([0.2, 0.0, 0.5, 0.3])
        with np.errstate(divide="ignore"):
            twin = stats.rv_discrete(values=(range(4), p))
            np.testing.assert_allclose(Categorical(p).log_prob(np.arange(4)), np.log(p))
        assert float(Categorical(p).mean()) == pytest.approx(twin.mean())
        assert float(Categorical(p).var()) == pytest.approx(twin.var())
        np.testing.assert_allclose(Categorical(p).cdf(np.arange(4)), twin.cdf(np.arange(4)))
        np.testing.assert_array_equal(Categorical(p).quantile([0.0, 0.1, 0.6, 1.0]), [0, 0, 2, 3])
        assert float(Categorical(p).mode()) == 2
        assert Categorical(p).support_text == "0..3"
        np.testing.assert_array_equal(Categorical(p).log_prob(np.array([-1, 4, 0.5])), -np.inf)

    def test_logit_is_softmax(self):
        scores = np.array([1.0, -2.0, 0.5])
        linked, plain = Categorical(logit=scores), Categorical(softmax(scores))
        np.testing.assert_allclose(linked.log_prob(np.arange(3)), plain.log_prob(np.arange(3)))
        assert float(linked.mean()) == pytest.approx(float(plain.mean()))
        np.testing.assert_array_equal(linked.sample(50, seed=1), plain.sample(50, seed=1))

    @pytest.mark.parametrize("shape", [(3,), (2, 1, 3), (2, 5, 3), (1, 5, 3), (4, 3)])
    def test_plates_are_looked_up_without_repeating(self, shape):
        rng = np.random.default_rng(2)
        scores = rng.normal(size=shape)
        x = rng.integers(0, 3, size=(2, 5)) if shape[0] != 4 else rng.integers(0, 3, size=(7, 1))
        full = np.broadcast_to(scores, (*np.broadcast_shapes(x.shape, shape[:-1]), 3))
        expected = np.log(softmax(full, axis=-1))
        expected = np.take_along_axis(expected, np.broadcast_to(x, full.shape[:-1])[..., None], -1)[..., 0]
        np.testing.assert_allclose(Categorical(logit=[0, 0, 0])._log_prob(x, scores), expected)
        np.testing.assert_allclose(Categorical([0, 0, 1])._log_prob(x, softmax(scores, axis=-1)), expected)

    @pytest.mark.parametrize("plates", [(), (2,)])
    def test_draws(self, plates):
        p = np.broadcast_to([0.2, 0.0, 0.5, 0.3, 0.0], (*plates, 5))
        draws = Categorical([0, 1])._sample(np.random.default_rng(5), (20_000, *plates), p)
        shares = (draws[..., None] == np.arange(5)).mean(axis=0)
        assert draws.dtype == np.int64
        np.testing.assert_array_less(np.abs(shares - p) - 1e-12, 5 * np.sqrt(p * (1 - p) / 20_000))

    def test_refusals(self):
        with pytest.raises(RefusedError, match="Categorical has no narrowest interval"):
            Categorical([0.5, 0.5]).hdi()


def log_gamma(x: int | Decimal) -> Decimal:
    """Log gamma to 60 digits, by Stirling's series after shifting the argument beyond 200."""
    z, shift = Decimal(x), Decimal(1)
    while z < 200:
        shift, z = shift * z, z + 1
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    series = (z - Decimal(1) / 2) * z.ln() - z + (2 * pi).ln() / 2
    for numerator, denominator, power in [(1, 12, 1), (-1, 360, 3), (1, 1260, 5), (-1, 1680, 7), (1, 1188, 9)]:
        series += Decimal(numerator) / (denominator * z**power)
    return series - shift.ln()


def exact(kind: str, x: int, *params: float) -> float:
    """Log masses from the textbook formulas in 60 digits."""
    with localcontext() as context:
        context.prec = 60
        a, b, *rest = (Decimal(value) for value in (*params, 0))
        if kind == "Poisson":
            return float(x * a.ln() - a - log_gamma(x + 1))
        if kind == "Binomial":
            choose = log_gamma(a + 1) - log_gamma(x + 1) - log_gamma(a - x + 1)
            return float(choose + x * b.ln() + (a - x) * (1 - b).ln())
        if kind == "NegativeBinomial":
            rising = log_gamma(x + b) - log_gamma(b) - log_gamma(x + 1)
            return float(rising + b * (b / (a + b)).ln() + x * (a / (a + b)).ln())
        c = rest[0]
        choose = log_gamma(a + 1) - log_gamma(x + 1) - log_gamma(a - x + 1)
        joint = log_gamma(x + b) + log_gamma(a - x + c) - log_gamma(a + b + c)
        return float(choose + joint + log_gamma(b + c) - log_gamma(b) - log_gamma(c))


LARGE = [
    ("Poisson", Poisson, 10**15 + 31_000_000, (1e15,)),
    ("Poisson", Poisson, 10**15, (2e15,)),
    ("Poisson", Poisson, 1001, (990.0,)),
    ("Poisson", Poisson, 10**6, (1e-3,)),
    ("Binomial", Binomial, 250_000_010_000_000, (1e15, 0.25)),
    ("Binomial", Binomial, 7, (1e15, 2.0**-47)),
    ("Binomial", Binomial, 10**15 - 3, (1e15, 1 - 2.0**-48)),
    ("Binomial", Binomial, 10**15, (1e15, 0.75)),
    ("NegativeBinomial", NegativeBinomial, 10**15, (1e15, 3.5)),
    ("NegativeBinomial", NegativeBinomial, 10**15 + 10**7, (1e15, 1e15)),
    ("NegativeBinomial", NegativeBinomial, 5, (4.0, 1e15)),
    ("NegativeBinomial", NegativeBinomial, 10**6, (3.0, 2.0**-10)),
    ("BetaBinomial", BetaBinomial, 10**14, (1e15, 2.0, 3.0)),
    ("BetaBinomial", BetaBinomial, 500_000_010_000_000, (1e15, 1e15, 1e15)),
    ("BetaBinomial", BetaBinomial, 0, (1e15, 0.5, 2.0)),
    ("BetaBinomial", BetaBinomial, 40, (100.0, 1e15, 2e15)),
]


class TestLargeCounts:
    @pytest.mark.parametrize(("kind", "family", "x", "params"), LARGE)
    def test_against_sixty_digits(self, kind, family, x, params):
        expected = exact(kind, x, *params)
        assert float(family(*params).log_prob(x)) == pytest.approx(expected, rel=1e-12)

    def test_textbook_and_saddle_forms_meet(self):
        """Around the count where the formula changes nothing jumps."""
        x = np.arange(900, 1100)
        with np.errstate(all="raise", under="ignore"):
            np.testing.assert_allclose(Poisson(1000).log_prob(x), stats.poisson(1000).logpmf(x), rtol=1e-10)
            for n in (999, 1000, 1001, 1002):
                for value in (0, n // 3, n):
                    expected = exact("Binomial", value, n, 0.375)
                    assert float(Binomial(n, 0.375).log_prob(value)) == pytest.approx(expected, rel=1e-11)
                    assert float(Binomial(n, logit=np.log(0.6)).log_prob(value)) == pytest.approx(expected, rel=1e-11)

    def test_multinomial_and_dirichlet_multinomial_of_two_are_binomial_and_beta_binomial(self):
        for n, x in ((50, 20), (10**15, 4 * 10**14)):
            pairs = [
                (Multinomial(n, [0.375, 0.625]), Binomial(n, 0.375)),
                (DirichletMultinomial(n, [2.0, 3.5]), BetaBinomial(n, 2.0, 3.5)),
            ]
            for vector, scalar in pairs:
                expected = float(scalar.log_prob(x))
                assert float(vector.log_prob([x, n - x])) == pytest.approx(expected, rel=1e-9)

    def test_distribution_functions_and_quantiles(self):
        median = float(Poisson(1e15).quantile(0.5))
        assert abs(median - 1e15) <= 2
        assert float(Binomial(1e15, 0.25).cdf(2.5e14)) == pytest.approx(0.5, abs=1e-6)
        assert float(Binomial(1e15, 0.25).quantile(0.5)) == pytest.approx(2.5e14, abs=2)

    def test_beta_binomial_sum_and_integral_agree(self):
        from bayeskit.distributions.beta_binomial import _cdf_by_integral, _cdf_by_sum

        for n, a, b in ((9, 0.5, 0.5), (400, 3.0, 0.2), (3000, 20.0, 35.0), (3000, 0.05, 4.0)):
            k = np.array([0.0, 1.0, n // 4, n // 2, n - 1.0])[:, None]
            cells = (k, np.full_like(k, n), np.full_like(k, a), np.full_like(k, b))
            np.testing.assert_allclose(_cdf_by_integral(*cells), _cdf_by_sum(*cells), rtol=1e-12, atol=1e-15)
        wide = BetaBinomial(10**9, 2.0, 3.0)
        assert float(wide.cdf(4 * 10**8)) == pytest.approx(stats.beta(2, 3).cdf(0.4), abs=1e-8)


class TestEdges:
    @pytest.mark.parametrize(
        ("distribution", "possible", "impossible"),
        [
            (Bernoulli(0), 0, 1),
            (Bernoulli(1), 1, 0),
            (Binomial(0, 0.3), 0, 1),
            (Binomial(0, logit=0.3), 0, 1),
            (Binomial(5, 0), 0, 1),
            (Binomial(5, 1), 5, 4),
            (Binomial(5000, 0), 0, 1),
            (Binomial(5000, 1), 5000, 4999),
            (Poisson(0), 0, 1),
            (Poisson(0), 0, 5000),
            (Geometric(1), 1, 2),
            (NegativeBinomial(0, 2), 0, 1),
            (NegativeBinomial(0, 2), 0, 5000),
            (NegativeBinomial(n=2, p=1), 0, 1),
            (BetaBinomial(0, 1, 2), 0, 1),
            (DiscreteUniform(3, 3), 3, 4),
            (Hypergeometric(0, 0, 0), 0, 1),
            (Hypergeometric(9, 0, 4), 0, 1),
            (Hypergeometric(9, 9, 4), 4, 3),
            (Hypergeometric(9, 3, 9), 3, 2),
            (Hypergeometric(9000, 3000, 9000), 3000, 2999),
            (Categorical([0, 1, 0]), 1, 2),
            (Multinomial(4, [0, 1, 0]), [0, 4, 0], [1, 3, 0]),
            (Multinomial(4000, [0, 1, 0]), [0, 4000, 0], [1, 3999, 0]),
            (Multinomial(0, [0.5, 0.5, 0]), [0, 0, 0], [1, -1, 0]),
            (DirichletMultinomial(4, [0, 2, 0]), [0, 4, 0], [1, 3, 0]),
            (DirichletMultinomial(4000, [0, 2, 0]), [0, 4000, 0], [1, 3999, 0]),
        ],
    )
    def test_structural_zeros(self, distribution, possible, impossible):
        assert float(distribution.log_prob(possible)) == pytest.approx(0.0, abs=1e-9)
        assert float(distribution.log_prob(impossible)) == -np.inf
        draws = distribution.sample(100, seed=1)
        assert (draws == np.asarray(possible)).all()
        if distribution.event_ndim == 0:
            np.testing.assert_array_equal(distribution.quantile([0.001, 0.3, 0.999]), possible)

    def test_kernels_do_not_warn_at_the_edges(self):
        x = np.array([0, 1, 5, -1])
        with np.errstate(all="raise", under="ignore"):
            for family, params in [
                (Bernoulli(0.5), (np.array([0.0, 1.0, 0.0, 1.0]),)),
                (Bernoulli(logit=0), (np.array([-900.0, 900.0, 0.0, 1.0]),)),
                (Binomial(1, 0.5), (np.array([0, 1, 5, 5]), np.array([0.0, 1.0, 0.0, 1.0]))),
                (Poisson(1), (np.zeros(4),)),
                (NegativeBinomial(1, 1), (np.zeros(4), np.ones(4))),
            ]:
                value = family._log_prob(x, *params)
                assert not np.isnan(value).any()

    def test_logits_far_from_zero_give_no_false_minus_infinity(self):
        assert float(Bernoulli(logit=-800).log_prob(1)) == -800
        assert float(Bernoulli(logit=800).log_prob(1)) == 0
        assert float(Binomial(3, logit=800).log_prob(2)) == pytest.approx(np.log(3) - 800)
        assert float(Binomial(2000, logit=-800).log_prob(1)) == pytest.approx(np.log(2000) - 800)
        assert float(Categorical(logit=[0, 2000]).log_prob(0)) == -2000
        expected = np.log(3) - 2 * 2000
        assert float(Multinomial(3, logit=[0, 2000]).log_prob([2, 1])) == pytest.approx(expected)

    def test_tiny_probabilities_keep_relative_accuracy(self):
        assert float(Bernoulli(1e-20).log_prob(0)) == pytest.approx(-1e-20)
        assert float(Geometric(1e-20).cdf(5)) == pytest.approx(5e-20)

    def test_small_shapes_do_not_underflow(self):
        draws = DirichletMultinomial(10, [1e-4, 1e-4, 1e-4]).sample(2000, seed=1)
        np.testing.assert_array_equal(draws.sum("event"), 10)
        assert (draws.mean("draw") > 2).all()

    def test_enormous_means_are_refused_with_a_sentence(self):
        with pytest.raises(ParameterError, match="mean of Poisson must be below"):
            Poisson(1e20).sample(2)

    @pytest.mark.parametrize(
        ("build", "sentence"),
        [
            (lambda: Bernoulli(1.2), "'p' of Bernoulli must be between 0 and 1. Got 1.2"),
            (lambda: Bernoulli(), r"Bernoulli must be given \(p\) or \(logit\). Got nothing"),
            (lambda: Bernoulli(0.2, logit=1), r"Got 'p', 'logit'. State each parameter once"),
            (lambda: Binomial(2.5, 0.2), "'n' of Binomial must be a whole number, zero or more. Got 2.5"),
            (lambda: Binomial(3), r"Binomial must be given \(n, p\) or \(n, logit\). Got 'n'"),
            (lambda: NegativeBinomial(3, p=0.2), r"\(mu, alpha\) or \(n, p\). Got 'mu', 'p'"),
            (lambda: NegativeBinomial(n=3, p=0), "'p' of NegativeBinomial must be above 0 and at most 1"),
            (lambda: Geometric(0), "'p' of Geometric must be above 0 and at most 1. Got 0"),
            (lambda: Poisson(-1), "'mu' of Poisson must be zero or positive. Got -1"),
            (lambda: Categorical([0.5, 0.6]), "'p' of Categorical must be probabilities that sum to 1"),
            (lambda: DiscreteUniform(3, 2), "must satisfy lower <= upper. Got lower=3, upper=2"),
            (lambda: Hypergeometric(9, 10, 2), "must satisfy k <= N and n <= N. Got N=9, k=10, n=2"),
            (lambda: DirichletMultinomial(3, [0, 0]), "'alpha' of DirichletMultinomial must be zero or positive, and"),
        ],
    )
    def test_errors_are_sentences(self, build, sentence):
        with pytest.raises(ParameterError, match=sentence):
            build()


class TestValues:
    def test_one_class_two_parameter_sets(self):
        assert type(Bernoulli(0.2)) is type(Bernoulli(logit=1))
        assert [parameter.name for parameter in Binomial(3, logit=1).parameters] == ["n", "logit"]
        assert [parameter.name for parameter in Binomial(3, 0.5).parameters] == ["n", "p"]
        assert Bernoulli(0.5) != Bernoulli(logit=0)

    @pytest.mark.parametrize(
        ("distribution", "text"),
        [
            (Bernoulli(0.2), "Bernoulli(0.2)"),
            (Bernoulli(logit=0.2), "Bernoulli(logit=0.2)"),
            (Binomial(3, logit=1), "Binomial(3, logit=1)"),
            (NegativeBinomial(3, 1), "NegativeBinomial(3, 1)"),
            (NegativeBinomial(n=3, p=0.5), "NegativeBinomial(n=3, p=0.5)"),
        ],
    )
    def test_printed_equal_and_pickled(self, distribution, text):
        assert str(distribution) == text
        again = pickle.loads(pickle.dumps(distribution))
        assert again == distribution and hash(again) == hash(distribution)
        assert again.parameters == distribution.parameters
        assert eval(text) == distribution

    def test_labels(self):
        p = xr.DataArray([[0.2, 0.8], [0.5, 0.5]], dims=("arm", "kind"), coords={"arm": ["a", "b"], "kind": ["x", "y"]})
        assert Categorical(p).mean().dims == ("arm",)
        assert Multinomial(5, p).mean().dims == ("arm", "kind")
        assert Multinomial(5, p).quantile([0.1, 0.9]).dims == ("arm", "kind", "quantile")
        n = xr.DataArray([3, 4, 5], dims="day")
        assert Multinomial(n, p).sample(7, seed=1).dims == ("draw", "day", "arm", "kind")
        assert Binomial(n, p.isel(kind=0)).hdi().dims == ("day", "arm", "ci_bound")
        x = xr.DataArray([0, 1, 1], dims="row")
        assert Categorical(p).log_prob(x).shape == (2, 3)
        with pytest.raises(RefusedError, match="narrowest"):
            Multinomial(5, p).hdi()

    def test_unknown_parameters_are_nan_and_exclude_nothing(self):
        """A check of data before a model is run puts NaN for what it does not know."""
        assert np.isnan(Categorical([0.5, 0.5])._bounds(np.full((1, 1), np.nan))[1])
        assert not Multinomial(1, [0.5, 0.5])._outside(np.array([3, 4]), np.nan, np.full(1, np.nan))
        assert Multinomial(1, [0.5, 0.5])._outside(np.array([3, -4]), np.nan, np.full(1, np.nan))

    def test_expressions_are_kept_and_printed(self):
        x, p = Variable("x", ("row",)), Variable("p", ("row", "kind"))
        for distribution, text in [
            (Bernoulli(logit=2 * x), "Bernoulli(logit=2 * x)"),
            (Binomial(5, x), "Binomial(5, x)"),
            (Categorical(p), "Categorical(p)"),
            (NegativeBinomial(x, 3), "NegativeBinomial(x, 3)"),
            (DirichletMultinomial(x, p), "DirichletMultinomial(x, p)"),
        ]:
            assert str(distribution) == text and not distribution.is_known
            with pytest.raises(RefusedError, match="depends on the model variable"):
                distribution.sample()
        assert Multinomial(x, p).dims == ("row", "kind")
        assert Categorical(p).support_text == "0..K-1, where K is the number of categories"

    def test_narrowest_interval_holds_its_probability(self):
        for distribution in (Binomial(20, 0.1), Poisson(7), NegativeBinomial(5, 0.8), BetaBinomial(30, 2, 5)):
            lower, upper = distribution.hdi(0.8).values
            held = float(distribution.cdf(upper)) - float(distribution.cdf(lower - 1))
            assert held >= 0.8 - 1e-9
            for start in range(40):
                end = start + upper - lower - 1
                assert float(distribution.cdf(end)) - float(distribution.cdf(start - 1)) < 0.8

    def test_plates_and_batches_broadcast(self):
        rng = np.random.default_rng(3)
        x, n, p = rng.integers(0, 4, size=(1, 5)), np.array([5, 6, 7, 8, 9]), rng.random((3, 1))
        value = Binomial(1, 0.5)._log_prob(x, n, p)
        np.testing.assert_allclose(value, stats.binom.logpmf(x, n, p))
        assert Binomial(1, 0.5)._sample(rng, (3, 5), n, p).shape == (3, 5)
        counts = rng.integers(0, 3, size=(1, 5, 3))
        probabilities = rng.dirichlet(np.ones(3), size=(4, 1))
        value = Multinomial(1, [0.5, 0.5])._log_prob(counts, counts.sum(-1), probabilities)
        assert value.shape == (4, 5)
        expected = stats.multinomial.logpmf(counts[0, 2], counts[0, 2].sum(), probabilities[1, 0])
        assert value[1, 2] == pytest.approx(expected)
        assert Normal(0, 1).discrete is False


class TestFiniteDiscrete:
    VALUES, P = np.array([-0.5, 0.1, 0.4, 3.0, 7.0]), np.array([0.1, 0.3, 0.25, 0.2, 0.15])
    D = FiniteDiscrete(VALUES, P)
    TWIN = stats.rv_discrete(values=(range(5), P))

    def test_moments_levels_and_mass(self):
        assert float(self.D.mean()) == pytest.approx(self.P @ self.VALUES, rel=1e-14)
        assert float(self.D.var()) == pytest.approx(np.cov(self.VALUES, aweights=self.P, ddof=0), rel=1e-13)
        assert float(self.D.mode()) == 0.1
        levels = [0.0, 0.05, 0.1, 0.35, 0.4, 0.66, 0.9, 1.0]
        codes = np.clip(self.TWIN.ppf(levels), 0, 4).astype(int)
        np.testing.assert_array_equal(self.D.quantile(levels), self.VALUES[codes])
        np.testing.assert_allclose(self.D.cdf([-1, -0.5, 0.0, 0.1, 5.0, 7.0]), [0, 0.1, 0.1, 0.4, 0.85, 1])
        np.testing.assert_allclose(np.exp(self.D.log_prob([0.4, 0.2, 7.0])), [0.25, 0, 0.15])

    def test_draws(self):
        draws = self.D.sample(40_000, seed=3).values
        counts = (draws[:, None] == self.VALUES).sum(axis=0)
        assert counts.sum() == len(draws)
        assert stats.chisquare(counts, self.P * len(draws)).pvalue > 1e-4

    @pytest.mark.parametrize("prob", [0.2, 0.5, 0.6, 0.9, 1.0])
    def test_narrowest_interval_by_looking_at_all(self, prob):
        found = [
            (self.VALUES[j] - self.VALUES[i], -self.P[i : j + 1].sum(), self.VALUES[i], self.VALUES[j])
            for i in range(5)
            for j in range(i, 5)
            if self.P[i : j + 1].sum() >= prob - 1e-12
        ]
        np.testing.assert_array_equal(self.D.hdi(prob), min(found)[2:])

    def test_labels(self):
        p = xr.DataArray([[0.2, 0.8], [0.6, 0.4]], dims=("arm", "v"), coords={"arm": ["A", "B"]})
        d = FiniteDiscrete([1.0, 5.0], p)
        assert d.mean().sel(arm="B").item() == pytest.approx(2.6)
        assert d.hdi(0.5).dims == ("arm", "ci_bound")
        assert d.sample(3, seed=1).dims == ("draw", "arm")

    @pytest.mark.parametrize(
        "arguments", [([2.0, 1.0], [0.5, 0.5]), ([1.0, np.nan], [0.5, 0.5]), ([1.0, 2.0], [0.5, 0.4]), ([1, 2], [1.0])]
    )
    def test_refusals(self, arguments):
        with pytest.raises(ParameterError):
            FiniteDiscrete(*arguments)


@pytest.mark.parametrize(("base", "shift"), [(Normal(0, 1), 1), (Poisson(2), 0.5), (Poisson(2), np.nan)])
def test_shifted_refusals(base, shift):
    with pytest.raises(ParameterError, match="Shifted"):
        Shifted(base, shift)
