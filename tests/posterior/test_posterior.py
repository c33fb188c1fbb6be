"""Exact marginals, evidence, densities, updates and predictions of a Posterior, against closed forms and quadrature."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

import bayeskit as bk
from bayeskit.errors import DataError, ImproperError, RefusedError
from bayeskit.testing import assert_moments

RNG = np.random.default_rng(20)
X = np.column_stack([np.ones(12), RNG.normal(size=(12, 2))])
Y = X @ [1.0, 2.0, -1.0] + 0.5 * RNG.normal(size=12)


def shares():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    p = m.latent("p", bk.Beta(1, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m


def regression(prior="scaled"):
    """Normal-inverse-gamma with coefficients of prior sd 3 sigma, known sigma, or flat."""
    m = bk.Model(coords={"k": ["one", "a", "b"]})
    x = m.data("x", dims=("obs", "k"))
    s2 = m.latent("s2", bk.InverseGamma(2, 1))
    b = m.latent("b", bk.Normal(0, 3 * np.sqrt(s2)) if prior == "scaled" else bk.Flat(), dims="k")
    m.derived("contrast", b.sum("k") - 1)
    m.derived("fit", x @ b)
    m.observed("y", bk.Normal(x @ b, var=s2), dims="obs")
    return m


def nig_by_hand():
    precision = X.T @ X + np.eye(3) / 9
    mean = np.linalg.solve(precision, X.T @ Y)
    a, rate = 2 + 6, 1 + 0.5 * (Y @ Y - mean @ precision @ mean)
    evidence = stats.multivariate_t.logpdf(Y, shape=0.5 * (np.eye(12) + 9 * X @ X.T), df=4)
    return precision, mean, a, rate, evidence


# ---- draws as arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "gibbs"])
def test_arrays_are_the_draws_of_the_tree(method):
    posterior = regression().condition({"x": X, "y": Y})
    options = {"draws": 20, "chains": 2, "tune": 10, "seed": 4, "method": method}
    tree, arrays = posterior.sample(**options), posterior.sample_arrays(**options)
    assert set(arrays) == set(tree.posterior.data_vars) == {"s2", "b", "contrast", "fit"}
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, tree.posterior[name].values)


@pytest.mark.parametrize(("option", "value"), [("draws", 0), ("chains", 1.5), ("tune", -1)])
def test_counts_of_arrays_are_checked(option, value):
    posterior = shares().condition({"n": [10, 10], "y": [5, 7]})
    with pytest.raises(RefusedError, match=option):
        posterior.sample_arrays(**{option: value})


def test_arrays_need_no_xarray():
    code = (
        "import sys, bayeskit as bk\n"
        "m = bk.Model(); s = m.latent('s', bk.HalfNormal(5)); b = m.latent('b', bk.Normal(0, s), dims='i')\n"
        "m.observed('y', bk.Normal(b, 1), dims='i'); m.derived('top', b.sum('i'))\n"
        "draws = m.condition({'y': [1.0, 2.0, 4.0]}).sample_arrays(10, seed=1)\n"
        "print(draws['b'].shape, draws['top'].shape, [n for n in ('xarray', 'pandas') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(4, 10, 3) (4, 10) []"


# ---- exact marginals ------------------------------------------------------------------------------------------------


def test_marginals_bear_dims_and_labels():
    p = shares().condition({"n": [1000, 1010], "y": [52, 71]})["p"]
    assert p.mean().dims == ("arm",)
    assert list(p.mean()["arm"].values) == ["A", "B"]
    np.testing.assert_allclose(p.mean(), [53 / 1002, 72 / 1012])
    quantiles = p.quantile([0.1, 0.9])
    assert quantiles.dims == ("arm", "quantile")
    np.testing.assert_allclose(quantiles["quantile"], [0.1, 0.9])
    for interval in (p.hdi(0.5), p.eti(0.5)):
        assert interval.dims == ("arm", "ci_bound")
        assert list(interval["ci_bound"].values) == ["lower", "upper"]
        np.testing.assert_allclose(p.cdf(interval.sel(ci_bound="upper")) - p.cdf(interval.sel(ci_bound="lower")), 0.5)
    np.testing.assert_allclose(p.eti(0.5), stats.beta.ppf([[0.25, 0.75]] * 2, [[53], [72]], [[949], [940]]))
    draws = p.sample(7, seed=1)
    assert draws.dims == ("draw", "arm")


def test_coefficients_are_student_t_and_not_the_conditional():
    posterior = regression().condition({"x": X, "y": Y})
    precision, mean, a, rate, _ = nig_by_hand()
    b = posterior["b"]
    cov = np.linalg.inv(precision)
    np.testing.assert_allclose(b.mean(), mean, rtol=1e-10)
    np.testing.assert_allclose(b.var(), rate / (a - 1) * np.diag(cov), rtol=1e-10)
    expected = stats.t(2 * a, mean, np.sqrt(rate / a * np.diag(cov)))
    np.testing.assert_allclose(b.quantile(0.975), expected.ppf(0.975), rtol=1e-9)
    assert list(b.mean()["k"].values) == ["one", "a", "b"]
    s2 = posterior["s2"]
    np.testing.assert_allclose(s2.mean(), rate / (a - 1), rtol=1e-10)
    np.testing.assert_allclose(s2.cdf(0.3), stats.invgamma(a, scale=rate).cdf(0.3), rtol=1e-9)
    assert s2.mean().dims == ()


def test_derived_linear_forms_are_exact():
    posterior = regression().condition({"x": X, "y": Y})
    precision, mean, a, rate, _ = nig_by_hand()
    cov = np.linalg.inv(precision)
    w = np.ones(3)
    expected = stats.t(2 * a, w @ mean - 1, np.sqrt(rate / a * w @ cov @ w))
    np.testing.assert_allclose(posterior["contrast"].quantile([0.1, 0.9]), expected.ppf([0.1, 0.9]), rtol=1e-9)
    fit = posterior["fit"]
    assert fit.mean().dims == ("obs",)
    np.testing.assert_allclose(fit.mean(), X @ mean, rtol=1e-9)
    np.testing.assert_allclose(fit.var(), rate / (a - 1) * np.einsum("ij,jk,ik->i", X, cov, X), rtol=1e-9)


def test_derived_sums_of_shares_are_exact_and_others_refused():
    m = bk.Model(coords={"c": ["a", "b", "c", "d"]})
    w = m.latent("w", bk.Dirichlet([1, 1, 1, 1]), dims="c")
    m.derived("two", w[{"c": 0}] + w[{"c": 2}])
    m.derived("ratio", w[{"c": 0}] / w[{"c": 1}])
    m.observed("y", bk.Multinomial(20, w), dims="c")
    posterior = m.condition({"y": [2, 4, 6, 8]})
    two = posterior["two"]
    np.testing.assert_allclose(two.quantile(0.3), stats.beta(3 + 7, 5 + 9).ppf(0.3), rtol=1e-9)
    with pytest.raises(RefusedError, match=r"The derived 'ratio' has no exact marginal: .*Use sample\(\)"):
        posterior["ratio"]
    tree = posterior.sample(500, seed=1)
    assert_moments(tree["posterior"]["two"].values, two.mean().values, two.sd().values)


def test_one_minus_a_share():
    m = bk.Model()
    p = m.latent("p", bk.Beta(2, 3))
    m.derived("q", 1 - p)
    m.observed("y", bk.Binomial(10, p))
    np.testing.assert_allclose(m.condition({"y": 4})["q"].mean(), 9 / 15)


def test_names_that_have_no_marginal():
    m = bk.Model()
    mu, s = m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1))
    m.latent("next", bk.Normal(mu * mu, s))
    m.latent("idle", bk.Gamma(2, 1))
    m.observed("y", bk.Normal(mu, s), dims="obs")
    posterior = m.condition({"y": [1.0, 2.0]})
    with pytest.raises(RefusedError, match=r"'next' has no exact marginal here \(drawn forward"):
        posterior["next"]
    with pytest.raises(RefusedError, match="'z' is not a latent of the posterior"):
        posterior["z"]
    with pytest.raises(RefusedError, match="'y' is not a latent"):
        posterior["y"]
    np.testing.assert_allclose(posterior["idle"].mean(), 2.0)


def test_finite_marginals():
    m = bk.Model(coords={"h": ["null", "alternative"]})
    z = m.latent("z", bk.Categorical([0.3, 0.7]))
    p = m.data("p", dims="h")
    m.observed("y", bk.Binomial(10, p[z]))
    posterior = m.condition({"p": [0.5, 0.8], "y": 7})
    weights = np.array([0.3, 0.7]) * stats.binom(10, [0.5, 0.8]).pmf(7)
    np.testing.assert_allclose(np.exp(posterior["z"].log_prob(0)), weights[0] / weights.sum())
    np.testing.assert_allclose(posterior.log_evidence(), np.log(weights.sum()))
    np.testing.assert_allclose(posterior.log_prob({"z": 1}), np.log(weights[1] / weights.sum()))


# ---- evidence -------------------------------------------------------------------------------------------------------


def test_evidence_by_hand():
    posterior = regression().condition({"x": X, "y": Y})
    evidence = posterior.log_evidence()
    assert isinstance(evidence, float) and evidence.se == 0.0
    np.testing.assert_allclose(evidence, nig_by_hand()[-1], rtol=1e-12)
    ab = shares().condition({"n": [1000, 1010], "y": [52, 71]}).log_evidence()
    np.testing.assert_allclose(ab, -np.log(1001) - np.log(1011), rtol=1e-12)


def chib(posterior, seed=1):
    """Log evidence by log p(y, x) - log p(x | y) at draws of x: one number, whatever the draw."""
    tree = posterior.sample(5, chains=2, seed=seed)
    lp = tree["sample_stats"]["lp"]
    inside = posterior.log_prob(tree["posterior"])
    assert inside.attrs["normalised"] == 1
    return (lp - inside).values


def gamma_poisson():
    m = bk.Model()
    t = m.data("t", dims="unit")
    rate = m.latent("rate", bk.Gamma(2, 1.5))
    m.observed("y", bk.Poisson(rate * t), dims="unit")
    return m.condition({"t": [1.0, 2.0, 0.5], "y": [2, 3, 0]})


def test_evidence_against_quadrature():
    def joint(rate):
        return stats.gamma(2, scale=1 / 1.5).pdf(rate) * np.prod(
            stats.poisson([rate, 2 * rate, rate / 2]).pmf([2, 3, 0])
        )

    expected = np.log(integrate.quad(joint, 0, np.inf, epsabs=0)[0])
    np.testing.assert_allclose(gamma_poisson().log_evidence(), expected, rtol=1e-8)


def truncated_mean():
    m = bk.Model()
    mu = m.latent("mu", bk.Truncated(bk.Normal(0, 2), lower=0.5, upper=3))
    m.observed("y", bk.Normal(mu, 1.5), dims="obs")
    return m.condition({"y": [0.2, 1.0]})


def half_normal_sd():
    m = bk.Model()
    sigma = m.latent("sigma", bk.HalfNormal(2))
    m.observed("y", bk.Normal(1, sigma), dims="obs")
    return m.condition({"y": [0.2, 3.0, 2.0]})


def uniform_sd():
    m = bk.Model()
    sigma = m.latent("sigma", bk.Uniform(0, 3))
    m.observed("y", bk.Normal(1, sigma), dims="obs")
    return m.condition({"y": [0.2, 3.0, 2.0]})


def gamma_variance():
    m = bk.Model()
    v = m.latent("v", bk.Gamma(2, 1))
    m.observed("y", bk.Normal(1, var=v), dims="obs")
    return m.condition({"y": [0.2, 3.0, 2.0]})


ONE_NUMBER = {
    truncated_mean: (
        "mu",
        0.5,
        3,
        lambda x: stats.truncnorm(0.25, 1.5, 0, 2).pdf(x) * np.prod(stats.norm(x, 1.5).pdf([0.2, 1.0])),
    ),
    half_normal_sd: (
        "sigma",
        0,
        np.inf,
        lambda s: stats.halfnorm(0, 2).pdf(s) * np.prod(stats.norm(1, s).pdf([0.2, 3.0, 2.0])),
    ),
    uniform_sd: ("sigma", 0, 3, lambda s: np.prod(stats.norm(1, s).pdf([0.2, 3.0, 2.0])) / 3),
    gamma_variance: (
        "v",
        0,
        np.inf,
        lambda v: stats.gamma(2).pdf(v) * np.prod(stats.norm(1, v**0.5).pdf([0.2, 3.0, 2.0])),
    ),
}


@pytest.mark.parametrize("model", ONE_NUMBER, ids=lambda f: f.__name__)
def test_one_number_against_quadrature(model):
    name, lower, upper, joint = ONE_NUMBER[model]
    posterior = model()
    start = max(lower, 1e-6)

    def integral(g):
        middle = 1.5
        parts = [(start, middle), (middle, upper)]
        return sum(integrate.quad(lambda x: g(x) * joint(x), *p, epsabs=0, epsrel=1e-10, limit=200)[0] for p in parts)

    total = integral(lambda x: 1.0)
    np.testing.assert_allclose(posterior.log_evidence(), np.log(total), rtol=1e-7)
    mean = integral(lambda x: x) / total
    np.testing.assert_allclose(posterior[name].mean(), mean, rtol=1e-6)
    below = integrate.quad(joint, start, 1.2, epsabs=0, epsrel=1e-10)[0] / total
    np.testing.assert_allclose(posterior[name].cdf(1.2), below, rtol=1e-6)
    tree = posterior.sample(1000, seed=3)
    assert_moments(tree["posterior"][name].values, mean)


def wishart():
    m = bk.Model()
    S = m.latent("S", bk.InverseWishart(4, np.eye(2)), dims="d")
    mu = m.latent("mu", bk.MvNormal([1.0, 0.0], cov=S / 0.5), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    return m.condition({"y": [[1.0, 2.0], [0.0, 1.0], [2.0, 2.5]]})


def finite_states():
    m = bk.Model(coords={"k": 2})
    rate = m.data("rate", dims="k")
    z = m.latent("z", bk.Categorical([0.2, 0.8]), dims="obs")
    m.observed("y", bk.Poisson(rate[z]), dims="obs")
    return m.condition({"rate": [1.0, 4.0], "y": [0, 3, 5]})


def shares_two_arms():
    return shares().condition({"n": [10, 12], "y": [3, 7]})


def nig():
    return regression().condition({"x": X, "y": Y})


def mv_known():
    m = bk.Model()
    mu = m.latent("mu", bk.MvNormal(0, np.eye(2)), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=[[1, 0.5], [0.5, 2]]), dims=("obs", "d"))
    return m.condition({"y": [[1.0, 2.0], [0.0, 1.0]]})


@pytest.mark.parametrize(
    "model",
    [shares_two_arms, nig, gamma_poisson, wishart, finite_states, mv_known, *ONE_NUMBER],
    ids=lambda f: f.__name__,
)
def test_chibs_identity(model):
    posterior = model()
    np.testing.assert_allclose(chib(posterior), float(posterior.log_evidence()), rtol=1e-9)


def test_evidence_of_a_model_without_latents():
    m = bk.Model()
    m.observed("y", bk.Normal(0, 2), dims="obs")
    posterior = m.condition({"y": [1.0, 3.0]})
    np.testing.assert_allclose(posterior.log_evidence(), stats.norm(0, 2).logpdf([1.0, 3.0]).sum())
    tree = posterior.sample(3, seed=1)
    assert "sample_stats" in tree and "observed_data" in tree
    assert posterior.explain().startswith("method: exact")


def test_evidence_is_refused_where_it_is_arbitrary_or_unknown():
    with pytest.raises(ImproperError, match=r"The model has no evidence: the prior Flat\(\) of 'b' is improper"):
        regression("flat").condition({"x": X, "y": Y}).log_evidence()
    m = bk.Model()
    z = m.latent("z", bk.Bernoulli(0.5))
    mu, nu = (m.latent(n, bk.Normal(0, 1 + z)) for n in ("mu", "nu"))
    m.observed("y", bk.Poisson(np.exp(mu) + np.exp(nu)))
    with pytest.raises(RefusedError, match="The evidence is not known here: 'z' is sampled in a sweep"):
        m.condition({"y": 3}).log_evidence()


# ---- log_prob -------------------------------------------------------------------------------------------------------


def test_log_prob_of_numbers_arrays_and_draws():
    posterior = shares_two_arms()
    expected = stats.beta([4, 8], [8, 6]).logpdf([0.2, 0.5]).sum()
    value = posterior.log_prob({"p": [0.2, 0.5]})
    assert value.dims == () and value.attrs["normalised"] == 1
    np.testing.assert_allclose(value, expected)
    grid = xr.DataArray([[0.2, 0.3], [0.5, 0.5]], dims=("arm", "point"), coords={"arm": ["A", "B"], "point": [10, 20]})
    values = posterior.log_prob({"p": grid})
    assert values.dims == ("point",) and list(values["point"].values) == [10, 20]
    np.testing.assert_allclose(values[0], expected)
    swapped = grid.isel(arm=[1, 0])
    np.testing.assert_allclose(posterior.log_prob({"p": swapped}), values)
    tree = posterior.sample(4, chains=3, seed=1)
    for draws in (tree["posterior"], tree["posterior"].to_dataset(), dict(tree["posterior"].data_vars)):
        assert posterior.log_prob(draws).dims == ("chain", "draw")
    assert posterior.log_prob({"p": [1.2, 0.5]}) == -np.inf


def test_log_prob_is_normalised_where_the_evidence_is_known():
    m = bk.Model()
    lam = m.latent("lam", bk.LogNormal(0, 1))
    m.observed("y", bk.Poisson(lam))
    posterior = m.condition({"y": 3})
    value = posterior.log_prob({"lam": 2.0})
    joint = stats.lognorm(1).logpdf(2) + stats.poisson(2).logpmf(3)
    assert value.attrs["normalised"] == 1
    np.testing.assert_allclose(value, joint - posterior.log_evidence())
    np.testing.assert_allclose(value, posterior["lam"].log_prob(2.0), rtol=1e-8)
    m.observed("k", bk.Binomial(m.latent("n", bk.Poisson(4)), 0.5))
    value = m.condition({"y": 3, "k": 2}).log_prob({"lam": 2.0, "n": 4})
    assert value.attrs["normalised"] == 0
    rest = stats.poisson(4).logpmf(4) + stats.binom(4, 0.5).logpmf(2)
    np.testing.assert_allclose(value, joint + rest)


def test_log_prob_refuses_what_does_not_fit():
    posterior = shares_two_arms()
    with pytest.raises(DataError, match=r"log_prob must be given every latent. Got no value for 'p'"):
        posterior.log_prob({})
    with pytest.raises(DataError, match="'q', which is not a latent"):
        posterior.log_prob({"p": [0.2, 0.5], "q": 1})
    with pytest.raises(DataError, match=r"The value of 'p' must have shape \(2,\)"):
        posterior.log_prob({"p": 0.2})
    with pytest.raises(DataError, match="must have the dim 'arm'"):
        posterior.log_prob({"p": xr.DataArray([0.2, 0.5], dims="x")})
    with pytest.raises(DataError, match="'p'"):
        posterior.log_prob({"p": xr.DataArray([0.2, 0.5], dims="arm", coords={"arm": ["A", "C"]})})


# ---- improper posteriors --------------------------------------------------------------------------------------------


def improper(prior, likelihood, y, dims="obs"):
    m = bk.Model()
    x = m.latent("x", prior)
    m.observed("y", likelihood(x), dims=dims)
    return m.condition({"y": y})


IMPROPER = [
    (bk.Beta(0, 0), bk.Bernoulli, [0, 0, 0]),
    (bk.Beta(0, 0), bk.Bernoulli, [1, 1]),
    (bk.Beta(0, 0), lambda p: bk.Binomial(5, p), [5]),
    (bk.Gamma(0, 0), bk.Poisson, [0, 0]),
    (bk.Flat(), lambda x: bk.Normal(0 * x, 1), [1.0]),
    (bk.InverseGamma(0, 0), lambda v: bk.Normal(0, var=v), [0.0]),
    (bk.Flat(lower=0), lambda s: bk.Normal(0, s), [1.0]),
]


@pytest.mark.parametrize(("prior", "likelihood", "y"), IMPROPER, ids=lambda v: str(v) if hasattr(v, "given") else None)
def test_improper_posteriors_are_refused_by_name(prior, likelihood, y):
    with pytest.raises(ImproperError, match="The posterior of 'x' is improper"):
        improper(prior, likelihood, y).sample(10)


def test_improper_posteriors_that_are_proper():
    assert improper(bk.Beta(0, 0), bk.Bernoulli, [0, 1])["x"].mean() == 0.5
    assert improper(bk.Gamma(0, 0), bk.Poisson, [0, 2])["x"].mean() == 1.0
    assert improper(bk.Flat(), lambda x: bk.Normal(x, 1), [2.0, 4.0])["x"].mean() == 3.0


@pytest.mark.parametrize("rows", [2, 3])
def test_flat_coefficients_with_too_few_rows(rows):
    with pytest.raises(ImproperError, match="'b'" if rows < 3 else "'s2'|'b'"):
        m = bk.Model()
        x = m.data("x", dims=("obs", "k"))
        s2 = m.latent("s2", bk.InverseGamma(0, 0))
        b = m.latent("b", bk.Flat(), dims="k")
        m.observed("y", bk.Normal(x @ b, var=s2), dims="obs")
        m.condition({"x": X[:rows], "y": Y[:rows]}).sample(5)


def test_collinear_columns_under_flat_priors():
    x = np.column_stack([X, X[:, 1] + X[:, 2]])
    m = bk.Model()
    design = m.data("x", dims=("obs", "k"))
    b = m.latent("b", bk.Flat(), dims="k")
    m.observed("y", bk.Normal(design @ b, 1), dims="obs")
    with pytest.raises(ImproperError, match="The posterior of 'b' is improper: the data do not determine 'b'"):
        m.condition({"x": x, "y": Y})["b"]


def test_flat_regression_is_least_squares():
    b = regression("flat").condition({"x": X, "y": Y})["b"]
    np.testing.assert_allclose(b.mean(), np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-10)


def test_an_improper_latent_nothing_observed_depends_on():
    m = bk.Model()
    m.latent("idle", bk.Flat())
    p = m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Bernoulli(p))
    with pytest.raises(ImproperError, match="'idle'"):
        m.condition({"y": 1}).sample(5)
