"""g-priors and their mixtures, against the closed forms of the field and against quadrature of these."""

from __future__ import annotations

import itertools

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats
from scipy.special import gammaln, hyp2f1

import bayeskit as bk
from bayeskit.errors import DataError, ImproperError, ModelError, ParameterError

N, P = 30, 3


def data(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, P)) @ rng.normal(size=(P, P)) + [5.0, -20.0, 0.0]
    return {"X": X, "y": 1 + X @ [0.5, 0.0, -0.3] + rng.normal(size=N)}


def regression(values, g=None, sigma2=(0, 0), **options):
    """Condition a regression with a flat intercept; without g it is the null model."""
    m = bk.Model()
    variance = m.latent("s2", bk.InverseGamma(*sigma2))
    mean = m.latent("a", bk.Flat())
    if g is None:
        values = {"y": values["y"]}
    else:
        X = m.data("X", dims=("obs", "k"))
        mean = mean + X @ m.latent("b", bk.GPrior(X, g(m) if callable(g) else g, var=variance, **options), dims="k")
    m.observed("y", bk.Normal(mean, var=variance), dims="obs")
    return m.condition(values)


def fit(values):
    """Return the least squares coefficients and R squared, about the means."""
    Z, yc = values["X"] - values["X"].mean(axis=0), values["y"] - values["y"].mean()
    b = np.linalg.lstsq(Z, yc, rcond=None)[0]
    return b, 1 - ((yc - Z @ b) ** 2).sum() / (yc @ yc)


def log_bf(g, R2):
    """Liang et al. (2008), eq. 6."""
    return 0.5 * (N - 1 - P) * np.log1p(g) - 0.5 * (N - 1) * np.log1p(g * (1 - R2))


def averaged(log_prior, function, R2):
    """Return the log integral over g of eq. 6 times a prior, and the mean of a function of g under it."""

    def at(t, f=lambda g: 1.0):
        g = np.exp(t)
        return np.exp(log_bf(g, R2) + log_prior(g) + t) * f(g)

    def whole(*args):
        pieces = [-40, -5, 0, 2, 4, 6, 9, 14, 70]
        parts = [integrate.quad(at, a, b, args, epsabs=0, epsrel=1e-12)[0] for a, b in itertools.pairwise(pieces)]
        return sum(parts)

    return np.log(whole()), whole(function) / whole()


def zellner_siow(m):
    return m.latent("g", bk.InverseGamma(0.5, N / 2))


def log_zellner_siow(g):
    return 0.5 * np.log(N / 2) - gammaln(0.5) - 1.5 * np.log(g) - N / 2 / g


# ---- g known --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("g", [0.3, 10.0, float(N), 1e5])
def test_bayes_factor_is_that_of_liang_et_al(g):
    values = data()
    posterior, (b, R2) = regression(values, g), fit(values)
    assert "exact; normal-inverse-gamma" in posterior.explain()
    assert bk.bayes_factor(posterior, regression(values)).log == pytest.approx(log_bf(g, R2), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(posterior["b"].mean(), g / (1 + g) * b, rtol=1e-9)


def test_marginals_are_t():
    values, g = data(1), 8.0
    posterior, (b, R2) = regression(values, g), fit(values)
    Z, yc = values["X"] - values["X"].mean(axis=0), values["y"] - values["y"].mean()
    rate = 0.5 * (yc @ yc) * (1 + g * (1 - R2)) / (1 + g)
    assert posterior["s2"] == bk.InverseGamma((N - 1) / 2, float(posterior["s2"].canonical["beta"]))
    assert float(posterior["s2"].canonical["beta"]) == pytest.approx(rate, rel=1e-10)
    scale = g / (1 + g) * 2 * rate / (N - 1) * np.linalg.inv(Z.T @ Z)
    at = np.array([0.4, -0.1, -0.2])
    t = stats.multivariate_t(g / (1 + g) * b, scale, N - 1)
    assert float(posterior["b"].log_prob(at)) == pytest.approx(t.logpdf(at), rel=1e-9)


def test_centring_is_done_for_the_user():
    values = data(2)
    centred = {**values, "X": values["X"] - values["X"].mean(axis=0)}
    one, other = regression(values, 5.0), regression(centred, 5.0)
    assert bk.bayes_factor(one, other).log == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(one["b"].sd(), other["b"].sd(), rtol=1e-9)


def test_evidence_of_a_proper_model_without_intercept():
    """y is then multivariate t: its scale matrix has the g-prior's hat matrix in it."""
    values, g, (alpha, beta) = data(3), 4.0, (2.5, 1.5)
    m = bk.Model()
    X, s2 = m.data("X", dims=("obs", "k")), m.latent("s2", bk.InverseGamma(alpha, beta))
    b = m.latent("b", bk.GPrior(X, g, var=s2, centred=False), dims="k")
    m.observed("y", bk.Normal(X @ b, var=s2), dims="obs")
    design = values["X"]
    scale = np.eye(N) + g * design @ np.linalg.solve(design.T @ design, design.T)
    expected = stats.multivariate_t(np.zeros(N), beta / alpha * scale, 2 * alpha).logpdf(values["y"])
    assert m.condition(values).log_evidence() == pytest.approx(expected, rel=1e-10)


def test_scales_are_named_like_those_of_normal():
    X = data()["X"]
    one, two, three = (bk.GPrior(X, 3.0, **{n: v}) for n, v in (("sigma", 2.0), ("var", 4.0), ("tau", 0.25)))
    Z = X - X.mean(axis=0)
    at = np.array([0.1, 0.2, -0.3])
    expected = stats.multivariate_normal(np.zeros(P), 12.0 * np.linalg.inv(Z.T @ Z)).logpdf(at)
    for prior in (one, two, three):
        assert float(prior.log_prob(at)) == pytest.approx(expected, rel=1e-9)
    labelled = bk.GPrior(xr.DataArray(X, dims=("obs", "k"), coords={"k": list("abc")}), 3.0, 2.0)
    assert labelled.var().coords["k"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(labelled.var(), one.var().values)
    assert str(bk.GPrior([[1.0], [2.0]], 3.0, var=4.0)) == "GPrior([[1.0], [2.0]], 3.0, var=4.0)"


def test_update_is_conditioning_on_all_rows():
    values = data(4)
    whole = regression(values, 7.0)
    first, rest = ({n: v[s] for n, v in values.items()} for s in (slice(0, 12), slice(12, None)))
    later = regression(first, 7.0).update(rest)
    np.testing.assert_allclose(later["b"].mean(), whole["b"].mean(), rtol=1e-8)
    np.testing.assert_allclose(later["b"].sd(), whole["b"].sd(), rtol=1e-8)


def test_draws_from_the_prior():
    m = bk.Model()
    X, sigma = m.data("X", dims=("obs", "k")), m.latent("sigma", bk.Uniform(1, 1.5))
    b = m.latent("b", bk.GPrior(X, 9.0, sigma), dims="k")
    m.observed("y", bk.Normal(X @ b, sigma), dims="obs")
    values = data(13)
    prior = m.simulate({"X": values["X"]}, draws=20_000, seed=1)["prior"]
    white = prior["b"].values[0] / prior["sigma"].values[0][:, None] / 3
    Z = values["X"] - values["X"].mean(axis=0)
    squares = ((white @ Z.T) ** 2).sum(axis=1)  # chi squared, one for each coefficient
    assert abs(squares.mean() - P) < 5 * squares.std() / np.sqrt(len(squares))


def test_predictions_at_few_rows():
    values = data(5)
    posterior = regression(values, 7.0)
    new = np.array([[5.0, -20.0, 0.0], [6.0, -19.0, 1.0]])
    drawn = posterior.predict({"X": new}).sample(4000, seed=1)["predictions"]["y"].values.reshape(-1, 2)
    b, g = fit(values)[0], 7.0
    mean = values["y"].mean() + (new - values["X"].mean(axis=0)) @ b * g / (1 + g)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * drawn.std(axis=0) / np.sqrt(len(drawn)))


# ---- mixtures of g --------------------------------------------------------------------------------------------------
def test_zellner_siow():
    values = data(6)
    posterior, (b, R2) = regression(values, zellner_siow), fit(values)
    assert "a core of 1 number; 5 integrated out" in posterior.explain()
    assert "given the core every row of 'b', 'y' is scaled by 's2' alone" in " ".join(posterior.explain().split())
    expected, shrinkage = averaged(log_zellner_siow, lambda g: g / (1 + g), R2)
    assert bk.bayes_factor(posterior, regression(values)).log == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(posterior["b"].mean(), shrinkage * b, rtol=1e-8)


def test_marginals_under_zellner_siow():
    values = data(7)
    posterior, (b, R2) = regression(values, zellner_siow), fit(values)
    Z, yc = values["X"] - values["X"].mean(axis=0), values["y"] - values["y"].mean()
    root = np.sqrt(np.linalg.inv(Z.T @ Z)[0, 0])

    def below(x):
        def cdf(g):
            s = g / (1 + g)
            spread = np.sqrt(s * (yc @ yc) * (1 + g * (1 - R2)) / (1 + g) / (N - 1)) * root
            return stats.t.cdf((x - s * b[0]) / spread, N - 1)

        return averaged(log_zellner_siow, cdf, R2)[1]

    at = np.array([0.0, 0.4, 0.9])
    found = posterior["b"].cdf(np.stack([at, at, at], axis=-1)).isel(k=0)
    np.testing.assert_allclose(np.ravel(found), [below(x) for x in at], rtol=1e-7)
    rate = averaged(log_zellner_siow, lambda g: (1 + g * (1 - R2)) / (1 + g), R2)[1] * 0.5 * (yc @ yc)
    assert float(posterior["s2"].mean()) == pytest.approx(rate / ((N - 1) / 2 - 1), rel=1e-8)
    assert float(posterior["a"].sd()) > 0
    tree = posterior.sample(2000, seed=1)["posterior"]
    for name in ("a", "b", "s2"):
        mean, sd = posterior[name].mean().values, posterior[name].sd().values
        error = tree[name].mean(("chain", "draw")).values - mean
        assert np.all(np.abs(error) < 5 * sd / np.sqrt(8000))


@pytest.mark.parametrize("a", [2.5, 3.0, 4.0])
def test_hyper_g(a):
    """Liang et al. (2008), eq. 17."""
    values = data(8)

    def prior(m):
        u = m.latent("u", bk.Beta(1, a / 2 - 1))
        return u / (1 - u)

    posterior, (_, R2) = regression(values, prior), fit(values)
    assert "a core of 1 number" in posterior.explain()
    expected = np.log((a - 2) / (P + a - 2) * hyp2f1(0.5 * (N - 1), 1, 0.5 * (P + a), R2))
    assert bk.bayes_factor(posterior, regression(values)).log == pytest.approx(expected, abs=1e-8)


ATTITUDE = """
43 51 39  63 64 54  71 70 69  61 63 47  81 78 66  43 55 44  58 67 56  71 75 55  72 82 67  67 61 47  64 53 58  67 60 39
69 62 42  68 83 45  77 77 72  81 90 72  74 85 69  65 60 75  65 70 57  50 58 54  50 40 34  64 61 62  53 66 50  40 37 58
63 54 48  66 77 63  78 75 74  48 57 45  85 85 71  82 82 59
"""  # rating, complaints and learning of 30 departments: Chatterjee and Price (1977), Regression Analysis by Example


@pytest.mark.parametrize(("columns", "published"), [([1], 417938.6), ([1, 2], 207272)])
def test_published_bayes_factors(columns, published):
    """Attitude data in the manual of the R package BayesFactor (Morey and Rouder): g ~ IG(1/2, n r^2/2), r^2 = 1/8."""
    rows = np.array(ATTITUDE.split(), dtype=float).reshape(30, 3)
    values = {"X": rows[:, columns], "y": rows[:, 0]}
    posterior = regression(values, lambda m: m.latent("g", bk.InverseGamma(0.5, 30 / 16)))
    assert float(bk.bayes_factor(posterior, regression(values))) == pytest.approx(published, rel=5e-7)


def test_collapsed_density_is_the_joint_one():
    """The log density of exact draws is joint density over evidence: pieces and core fit together."""
    values = data(9)
    posterior = regression(values, zellner_siow)
    tree = posterior.sample(20, chains=1, seed=3)
    state = {n: tree["posterior"][n] for n in ("s2", "a", "b", "g")}
    lp = posterior.log_prob(state).values.ravel()
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values.ravel(), lp, rtol=1e-9, atol=1e-7)


# ---- a scale that prior and noise share leaves their ratio in the core ----------------------------------------------
def test_ratio_of_scales_is_a_core_of_one_number():
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=12), rng.normal(size=12)
    m = bk.Model()
    column = m.data("x", dims="obs")
    sigma, ratio = m.latent("sigma", bk.Flat(lower=0)), m.latent("ratio", bk.Gamma(3, 2))
    b = m.latent("b", bk.Normal(0, sigma * ratio))
    m.observed("y", bk.Normal(b * column, sigma), dims="obs")
    posterior = m.condition({"x": x, "y": y})
    assert "core of one number" in posterior.explain()

    def at(r):
        """The integral over b, then over sigma: sigma to the power of minus 12, once more than it is a variance."""
        cov = np.eye(12) + r * r * np.outer(x, x)
        S = y @ np.linalg.solve(cov, y)
        log = -6 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(cov)[1] + gammaln(5.5) - 5.5 * np.log(S / 2) - np.log(2)
        return np.exp(log) * stats.gamma.pdf(r, 3, scale=0.5)

    expected = np.log(integrate.quad(at, 0, 30, epsabs=0, epsrel=1e-11)[0])
    flat = bk.Model()
    s = flat.latent("sigma", bk.Flat(lower=0))
    flat.observed("y", bk.Normal(0, s), dims="obs")
    null = -6 * np.log(2 * np.pi) + gammaln(5.5) - 5.5 * np.log(y @ y / 2) - np.log(2)
    assert bk.bayes_factor(posterior, flat.condition({"y": y})).log == pytest.approx(expected - null, abs=1e-8)


def test_known_matrix_times_an_unknown_number():
    """A Gaussian process whose amplitude is unknown: one number is left, under either way of writing it."""
    t = np.linspace(0, 1, 8)
    K = np.exp(-0.5 * ((t[:, None] - t) / 0.3) ** 2) + 1e-6 * np.eye(8)
    y = np.random.default_rng(11).normal(size=8)

    def at(v):
        return np.exp(stats.multivariate_normal(np.zeros(8), v * K + np.eye(8)).logpdf(y)) * stats.gamma.pdf(v, 2)

    expected = np.log(integrate.quad(at, 0, 60, epsabs=0, epsrel=1e-10, points=[1, 5])[0])
    forms = {"cov": (K, 1.0), "tau": (np.linalg.inv(K), -1.0), "cholesky": (np.linalg.cholesky(K), 0.5)}
    for name, (matrix, power) in forms.items():
        m = bk.Model()
        M, v = m.data("M", dims=("i", "i_")), m.latent("v", bk.Gamma(2, 1))
        f = m.latent("f", bk.MvNormal(0, **{name: M * v**power}), dims="i")
        m.observed("y", bk.Normal(f, 1), dims="i")
        matrix = 0.5 * (matrix + matrix.T) if name == "tau" else matrix
        posterior = m.condition({"M": matrix, "y": y})
        assert posterior.log_evidence() == pytest.approx(expected, rel=1e-6 if name == "tau" else 1e-8)
        assert posterior["f"].event_ndim == 1
        if name == "cov":
            swept = posterior.sample(300, tune=100, method="gibbs", seed=2)["posterior"]
            error = swept["f"].mean(("chain", "draw")).values - posterior["f"].mean().values
            assert np.all(np.abs(error) < 5 * az.mcse(swept)["f"].values)


# ---- what is refused ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.column_stack([np.arange(6.0), np.full(6, 3.7)]), "6 rows of rank 1"),
        (np.column_stack([np.arange(6.0), 1e8 - 3 * np.arange(6.0)]), "6 rows of rank 1"),
        (np.arange(4.0).reshape(2, 2) ** 2, "2 rows of rank 1"),
    ],
)
def test_dependent_columns(X, said):
    with pytest.raises(DataError, match=said):
        regression({"X": X, "y": np.arange(len(X)) + 0.5}, 2.0)
    with pytest.raises(DataError, match="linearly independent"):
        bk.GPrior(X, 2.0, 1.0)


def test_columns_of_any_size_are_independent():
    rng = np.random.default_rng(12)
    X = rng.normal(size=(20, 2)) * [1e-9, 1e9] + [1e-7, 1e10]
    values = {"X": X, "y": rng.normal(size=20)}
    b, _ = fit({"X": X / [1e-9, 1e9], "y": values["y"]})
    np.testing.assert_allclose(regression(values, 3.0)["b"].mean(), 0.75 * b / [1e-9, 1e9], rtol=1e-6)


def test_bad_statements():
    m = bk.Model()
    X, x = m.data("X", dims=("obs", "k")), m.data("x", dims="obs")
    with pytest.raises(ModelError, match="two dims"):
        bk.GPrior(x, 3.0, 1.0)
    with pytest.raises(ParameterError, match=r"one of sigma, var and tau\. Got X, g\."):
        bk.GPrior(X, 3.0)
    with pytest.raises(ParameterError, match="Got X, g, sigma, var"):
        bk.GPrior(X, 3.0, 1.0, var=1.0)
    for bad in (-1.0, 0.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="'g' of GPrior must be positive"):
            bk.GPrior(X, bad, 1.0)
        with pytest.raises(ParameterError, match="'tau' of GPrior must be positive"):
            bk.GPrior(X, 1.0, tau=bad)
    with pytest.raises(ModelError, match="must have the dim 'k'"):
        m.latent("b", bk.GPrior(X, 3.0, 1.0), dims="other")
    with pytest.raises(DataError, match="finite"):
        regression({"X": np.full((5, 1), np.nan), "y": np.arange(5.0)}, 2.0)


def test_too_few_rows_are_improper():
    m = bk.Model()
    X, s2 = m.data("X", dims=("obs", "k")), m.latent("s2", bk.InverseGamma(0, 0))
    g = m.latent("g", bk.InverseGamma(0.5, 1))
    m.latent("b", bk.GPrior(X, g, var=s2), dims="k")
    a = m.latent("a", bk.Flat(), dims="obs")
    m.observed("y", bk.Normal(a, var=s2), dims="obs")
    with pytest.raises(ImproperError, match="improper"):
        m.condition({"X": [[1.0], [2.0], [4.0]], "y": [1.0, 2.0, 3.0]}).log_evidence()
