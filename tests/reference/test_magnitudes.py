"""Counts to 1e15, probabilities to 1e-300, and evidences that nearly agree: against sixty digits of decimals.

Log gammas of the reference are Stirling's series in decimals, shifted beyond 60, where it is right to 1e-50.
"""

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import betainc, gammainc, gammaincinv, ndtri

import bayeskit as bk

N = 10**15
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
BERNOULLI = [Fraction(*v) for v in [(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
             (43867, 798), (-174611, 330), (854513, 138), (-236364091, 2730), (8553103, 6)]]  # fmt: skip


@pytest.fixture(autouse=True)
def sixty_digits():
    with localcontext() as context:
        context.prec = 60
        yield


def log_gamma(x):
    x, shift = Decimal(x), Decimal(0)
    while x < 60:
        shift, x = shift - x.ln(), x + 1
    total = (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2
    for k, b in enumerate(BERNOULLI, 1):
        total += Decimal(b.numerator) / Decimal(b.denominator) / (2 * k * (2 * k - 1)) / x ** (2 * k - 1)
    return total + shift


def log_beta(*parameters):
    parameters = [Decimal(p) for p in parameters]
    return sum(map(log_gamma, parameters)) - log_gamma(sum(parameters))


def log_choose(n, *ks):
    ks = [*ks, n - sum(ks)]
    return log_gamma(n + 1) - sum(log_gamma(k + 1) for k in ks)


def test_the_reference_itself():
    assert log_gamma(5).exp() == pytest.approx(Decimal(24), rel=Decimal("1e-45"))
    assert log_choose(52, 5).exp() == pytest.approx(Decimal(2598960), rel=Decimal("1e-44"))


def assert_close(own, exact, rel=1e-13):
    exact = Decimal(exact.numerator) / Decimal(exact.denominator) if isinstance(exact, Fraction) else Decimal(exact)
    assert abs(Decimal(float(own)) - exact) <= abs(exact) * Decimal(rel), f"{float(own):.17g} is not {exact}"


def cornish_fisher(q, mean, sd, skewness):
    """Return a quantile of what is nearly normal; the next term is of the size of the square of the skewness."""
    z = ndtri(q)
    return mean + sd * (z + (z * z - 1) * skewness / 6)


# ---- counts ---------------------------------------------------------------------------------------------------------
COUNTS = [0, 1, 12345, 3 * 10**14, N - 7, N]


@pytest.mark.parametrize("y", COUNTS)
@pytest.mark.parametrize(("a", "b"), [(1, 1), (2.5, 0.5)])
def test_beta_binomial(a, b, y):
    m = bk.Model()
    p = m.latent("p", bk.Beta(a, b))
    m.observed("y", bk.Binomial(N, p))
    posterior = m.condition({"y": y})
    alpha, beta = Fraction(a) + y, Fraction(b) + N - y
    total = alpha + beta
    table = posterior.to_dataframe("p")
    assert_close(table["mean"].item(), alpha / total, 1e-15)
    assert_close(float(posterior["p"].var()), alpha * beta / total**2 / (total + 1), 1e-15)
    after, before = (log_beta(*map(float, v)) for v in ((alpha, beta), (a, b)))
    assert_close(posterior.log_evidence(), log_choose(N, y) + after - before, 1e-12)
    lower, upper = table["eti89_lb"].item(), table["eti89_ub"].item()
    assert 0 <= lower <= upper <= 1
    own = posterior["p"].cdf([lower, upper])
    assert np.isfinite(own).all()
    if 10**6 < y < N - 7:  # the sd is 5e-8 of the mean, so that rounding is 2e-9 of it
        mean, sd = float(alpha / total), float(table["sd"].item())
        skewness = 2 * float(beta - alpha) / float(total + 2) * float(total + 1) ** 0.5 / float(alpha * beta) ** 0.5
        for end, q in ((lower, 0.055), (upper, 0.945)):
            assert (end - cornish_fisher(q, mean, sd, skewness)) / sd == pytest.approx(0, abs=2e-8)
    if y <= 1:  # far from one the beta is a gamma, but for 1e-15
        np.testing.assert_allclose([lower, upper], gammaincinv(float(alpha), [0.055, 0.945]) / N, rtol=1e-13)


@pytest.mark.parametrize("exposure", [1.0, 1e-3, 1e12])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 1e-3)])
def test_gamma_poisson(a, b, exposure):
    m = bk.Model()
    rate = m.latent("rate", bk.Gamma(a, b))
    m.observed("y", bk.Poisson(exposure * rate))
    posterior = m.condition({"y": N})
    shape, speed = Fraction(a) + N, Fraction(b) + Fraction(exposure)
    table = posterior.to_dataframe()
    assert_close(table["mean"].item(), shape / speed, 1e-15)
    assert_close(float(posterior["rate"].var()), shape / speed**2, 1e-15)
    own, prior, t = Decimal(a), Decimal(b), Decimal(exposure)
    exact = own * prior.ln() - log_gamma(own) + log_gamma(own + N) - (own + N) * (prior + t).ln()
    assert_close(posterior.log_evidence(), exact + N * t.ln() - log_gamma(N + 1), 1e-13)
    mean, sd = float(shape / speed), float(shape) ** 0.5 / float(speed)
    for name, q in (("eti89_lb", 0.055), ("eti89_ub", 0.945)):
        expected = cornish_fisher(q, mean, sd, 2 / float(shape) ** 0.5)
        assert (table[name].item() - expected) / sd == pytest.approx(0, abs=5e-8)


@pytest.mark.parametrize("y", [[3 * 10**14, N, 5, 0], [N, 0, 0, 7], [0, 0, 0, N]])
def test_dirichlet_multinomial(y):
    alpha = [1, 2, 0.5, 3]
    m = bk.Model()
    p = m.latent("p", bk.Dirichlet(alpha), dims="k")
    m.observed("y", bk.Multinomial(sum(y), p), dims="k")
    posterior = m.condition({"y": y})
    after = [Fraction(a) + n for a, n in zip(alpha, y, strict=True)]
    for own, exact in zip(posterior["p"].mean().values, after, strict=True):
        assert_close(own, exact / sum(after), 1e-15)
    exact = log_choose(sum(y), *y[:-1]) + log_beta(*map(float, after)) - log_beta(*alpha)
    assert_close(posterior.log_evidence(), exact, 1e-12)


@pytest.mark.parametrize(
    ("y", "n"), [([3 * 10**14, 5 * 10**14], [N, 2 * N]), ([0, 7], [N, N]), ([123456789, 10**9], [10**10, 10**11])]
)
def test_rows_of_one_probability(y, n):
    """Rows are not added up where the sums of their log factorials would be lost."""
    m = bk.Model()
    p = m.latent("p", bk.Beta(2, 3))
    m.observed("y", bk.Binomial(m.data("n", dims="row"), p), dims="row")
    own = m.condition({"y": y, "n": n}).log_evidence()
    exact = sum(log_choose(*v) for v in zip(n, y, strict=True)) - log_beta(2, 3)
    assert_close(own, exact + log_beta(2 + sum(y), 3 + sum(n) - sum(y)), 1e-12)


@pytest.mark.parametrize(("y", "t"), [([N, 2 * N], [1.0, 2.0]), ([10**12, 5], [1e12, 7.0])])
def test_rows_of_one_rate(y, t):
    m = bk.Model()
    rate = m.latent("rate", bk.Gamma(2, 3))
    m.observed("y", bk.Poisson(m.data("t", dims="row") * rate), dims="row")
    own = m.condition({"y": y, "t": t}).log_evidence()
    exact = sum(k * Decimal(e).ln() - log_gamma(k + 1) for k, e in zip(y, t, strict=True)) + 2 * Decimal(3).ln()
    total = 3 + sum(map(Decimal, t))
    assert_close(own, exact + log_gamma(2 + sum(y)) - (2 + sum(y)) * total.ln(), 1e-13)


def test_rows_of_one_distribution_of_categories():
    y = np.array([[N - 7, 7, 0], [N, 0, 0]])
    m = bk.Model()
    p = m.latent("p", bk.Dirichlet([1, 2, 0.5]), dims="k")
    m.observed("y", bk.Multinomial(m.data("n", dims="row"), p), dims=("row", "k"))
    own = m.condition({"y": y, "n": y.sum(axis=1)}).log_evidence()
    exact = log_choose(N, N - 7, 7) + log_beta(2 * N - 6, 9, 0.5) - log_beta(1, 2, 0.5)
    assert_close(own, exact, 1e-12)


def test_large_counts_above_a_core():
    """The collapsed rung at counts of 1e15: a plate's log marginal is as right as the exact evidence."""
    y = [10**14, 2 * 10**14, 3 * 10**14]
    m = bk.Model()
    a = m.latent("a", bk.Gamma(2, 1))
    p = m.latent("p", bk.Beta(a, 3), dims="cell")
    m.observed("y", bk.Binomial(N, p), dims="cell")
    posterior = m.condition({"y": y})
    piece, data = posterior._plan.collapsed_of("p").pieces[0], dict(posterior._problem.env)
    for value in (0.25, 2.0, 64.0):
        own = piece.log_marginal({**data, "a": np.array([value])})
        cells = [log_choose(N, k) + log_beta(k + Decimal(value), 3 + N - k) - log_beta(value, 3) for k in y]
        assert_close(own[0], sum(cells), 1e-12)


def test_predictions_of_large_counts():
    """Mean and spread of replicated counts are those of the beta-binomial, which knows its masses."""
    y = 3 * 10**14
    m = bk.Model()
    m.observed("y", bk.Binomial(N, m.latent("p", bk.Beta(1, 1))))
    draws = m.condition({"y": y}).predict().sample(4000, chains=1, seed=1)["posterior_predictive"]["y"].values.ravel()
    law = bk.BetaBinomial(N, 1 + y, 1 + N - y)
    z = (draws - float(law.mean())) / float(law.sd())
    assert abs(z.mean()) < 4 / 4000**0.5 and abs(z.std() - 1) < 4 / 8000**0.5
    for k, digits in ((y - 10**8, 1e-9), (y, 1e-14), (y + 10**7, 1e-10)):  # away from it, the rounded mean counts
        exact = log_choose(N, k) + log_beta(1 + y + k, 1 + 2 * N - y - k) - log_beta(1 + y, 1 + N - y)
        assert_close(law.log_prob(k), exact, digits)


@pytest.mark.parametrize("size", [1.5e8, 1e9, 1e10])
def test_quantiles_of_large_shapes(size):
    """Against distribution functions, which are right there; five sds out too, and from either tail."""
    a, b = size * np.array([1.0, 3.0, 1.0]), size * np.array([1.0, 1.0, 40.0])
    law, sd = bk.Beta(1, 1), np.sqrt(a * b / (a + b) ** 3)
    for q in (1e-6, 0.055, 0.5, 0.945):
        for x in (law._quantile(q, a, b), law._log_quantile(np.log(q), a, b), law._log_isf(np.log1p(-q), a, b)):
            assert np.abs((betainc(a, b, x) - q) / np.exp(law._log_prob(x, a, b)) / sd).max() < 1e-10
    rate = bk.Gamma(1, 1)
    for q in (0.055, 0.5, 0.945):
        for x in (
            rate._quantile(q, a, 2.0),
            rate._log_quantile(np.log(q), a, 2.0),
            rate._log_isf(np.log1p(-q), a, 2.0),
        ):
            density = np.exp(rate._log_prob(2.0 * x, a, 1.0))
            assert np.abs((gammainc(a, 2.0 * x) - q) / density / np.sqrt(a)).max() < 1e-10


# ---- probabilities --------------------------------------------------------------------------------------------------
def test_log_odds_of_minus_690():
    """A probability of 2e-300; log masses are those of the first terms, for the rest is below 1e-290."""
    assert float(bk.Bernoulli(logit=-690.0).log_prob(1)) == -690.0
    assert float(bk.Bernoulli(logit=-690.0).log_prob(0)) == -np.exp(-690.0)
    assert float(bk.Bernoulli(logit=690.0).log_prob(0)) == -690.0
    assert float(bk.Binomial(10, logit=-690.0).log_prob(3)) == pytest.approx(np.log(120) - 2070, rel=1e-15)
    assert float(bk.Binomial(N, logit=-690.0).log_prob(3)) == pytest.approx(3 * np.log(N) - np.log(6) - 2070, rel=1e-14)
    m = bk.Model()
    m.observed("y", bk.Bernoulli(logit=m.data("l", dims="row")), dims="row")
    posterior = m.condition({"y": [1, 0, 1], "l": [-690.0, 690.0, 0.0]})
    assert float(posterior.log_evidence()) == pytest.approx(-1380 - np.log(2), rel=1e-15)


def test_a_latent_beside_log_odds_of_minus_690():
    """The mass is exp(3 z) of a standard normal z: posterior Normal(3, 1), by quadrature."""
    m = bk.Model()
    z = m.latent("z", bk.Normal(0, 1))
    m.observed("y", bk.Binomial(5, logit=-690 + z), dims="row")
    posterior = m.condition({"y": [2, 1]})
    assert float(posterior.log_evidence()) == pytest.approx(np.log(50) - 2070 + 4.5, rel=1e-13)
    assert float(posterior["z"].mean()) == pytest.approx(3, rel=1e-8)
    tree = posterior.sample(50, chains=2, seed=1, include="log_likelihood")
    assert np.isfinite(tree["log_likelihood"]["y"]).all()


def test_categories_of_1e_300():
    tiny = np.log(1e-300)
    assert float(bk.Categorical([1e-300, 0.5, 0.5]).log_prob(0)) == pytest.approx(tiny, rel=1e-15)
    assert float(bk.Categorical(logit=[-690.0, 0, 0]).log_prob(0)) == pytest.approx(-690 - np.log(2), rel=1e-15)
    own = bk.Multinomial(10, [1e-300, 0.5, 0.5]).log_prob([2, 4, 4])
    assert float(own) == pytest.approx(np.log(3150) + 2 * tiny - 8 * np.log(2), rel=1e-14)
    m = bk.Model()
    m.observed("y", bk.Categorical(m.data("p", dims="k")), dims="row")
    posterior = m.condition({"p": [1e-300, 0.5, 0.5], "y": [0, 0, 1]})
    assert float(posterior.log_evidence()) == pytest.approx(2 * tiny - np.log(2), rel=1e-15)


def test_priors_on_probabilities_and_rates_of_1e_300():
    m = bk.Model()
    m.observed("y", bk.Binomial(3, m.latent("p", bk.Beta(1, 1e300))))
    posterior = m.condition({"y": 2})
    assert float(posterior.log_evidence()) == pytest.approx(np.log(6) - 600 * np.log(10), rel=1e-14)
    expected = [3e-300, 3**0.5 * 1e-300, *(gammaincinv(3, [0.055, 0.945]) * 1e-300)]
    np.testing.assert_allclose(posterior.to_dataframe().to_numpy()[0], expected, rtol=1e-13)

    m = bk.Model()
    m.observed("y", bk.Poisson(m.latent("rate", bk.Gamma(2, 1e300))))
    posterior = m.condition({"y": 2})
    assert float(posterior.log_evidence()) == pytest.approx(np.log(3) - 600 * np.log(10), rel=1e-14)
    expected = [4e-300, 2e-300, *(gammaincinv(4, [0.055, 0.945]) * 1e-300)]
    np.testing.assert_allclose(posterior.to_dataframe().to_numpy()[0], expected, rtol=1e-13)
    assert float(bk.Beta(1e300, 2).quantile(0.3)) == 1.0


# ---- evidences that nearly agree ------------------------------------------------------------------------------------
def beta_binomial(a, n, y):
    m = bk.Model()
    m.observed("y", bk.Binomial(n, m.latent("p", bk.Beta(a, 1))))
    return m.condition({"y": y}), lambda a: log_beta(Decimal(a) + y, 1 + n - y) - log_beta(Decimal(a), 1)


def gamma_poisson(a, n, y):
    m = bk.Model()
    m.observed("y", bk.Poisson(n * m.latent("rate", bk.Gamma(a, 1))))
    return m.condition({"y": y}), lambda a: log_gamma(Decimal(a) + y) - log_gamma(a) - Decimal(a) * Decimal(1 + n).ln()


@pytest.mark.parametrize(
    ("state", "n", "y"), [(beta_binomial, 100, 37), (beta_binomial, N, 3 * 10**14), (gamma_poisson, 100, 37),
                          (gamma_poisson, 10**6, 10**8)]
)  # fmt: skip
def test_evidences_of_priors_that_differ_by_little(state, n, y):
    """Differences are right to 1e-13: at a step of 1e-12 their sign, and a digit or two."""
    for step in (1e-6, 1e-9, 1e-12):
        (one, exact), (other, _) = state(2.0 + step, n, y), state(2.0, n, y)
        truth = exact(2.0 + step) - exact(2.0)
        own = Decimal(float(one.log_evidence())) - Decimal(float(other.log_evidence()))
        assert abs(own - truth) < Decimal("1e-13") and own * truth > 0
