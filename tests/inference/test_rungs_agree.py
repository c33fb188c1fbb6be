"""Every rung against every other on the same model: means and variances within five Monte Carlo standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats
from scipy.special import betaln, gammaln, softmax

import bayeskit as bk
from bayeskit.testing import assert_moments

LIMIT = 5.0
RNG = np.random.default_rng(77)
X = np.column_stack([np.ones(8), RNG.normal(size=8)])
Y = X @ [1.0, -1.0] + 0.7 * RNG.normal(size=8)
ROWS = RNG.normal(size=(8, 2)) @ [[1.0, 0.4], [0.0, 0.8]] + [1.0, -1.0]
COUNTS = [3, 0, 2, 5, 1]


def mcse(values):
    return array_stats.mcse(values, chain_axis=0, draw_axis=1, method="mean")


def assert_agree(one, other):
    """Means and variances of two sets of draws agree, each within its own error and the other's."""
    assert one.keys() == other.keys()
    for name in one:
        a, b = (np.asarray(v[name], dtype=float) for v in (one, other))
        centre = 0.5 * (a.mean(axis=(0, 1)) + b.mean(axis=(0, 1)))
        for what, x, y in (("mean", a, b), ("variance", (a - centre) ** 2, (b - centre) ** 2)):
            error = np.hypot(mcse(x), mcse(y))
            difference = np.abs(x.mean(axis=(0, 1)) - y.mean(axis=(0, 1)))
            same = (difference == 0) | (difference < LIMIT * error)  # a matrix may have entries that do not vary
            assert np.all(same), f"{what} of {name}: {difference} against errors of {error}"


def draws_of(posterior, seed, names=None, draws=300, tune=200, **options):
    tree = posterior.sample(draws, tune=tune, seed=seed, **options)
    chosen = names or [n for n in tree["posterior"].data_vars]
    return {n: tree["posterior"][n].transpose("chain", "draw", ...).values for n in chosen}


# ---- the models -----------------------------------------------------------------------------------------------------


def beta_binomial():
    m = bk.Model(coords={"arm": 2})
    p = m.latent("p", bk.Beta(2, 1), dims="arm")
    m.observed("y", bk.Binomial(10, p), dims="arm")
    return m.condition({"y": [3, 8]})


def gamma_poisson():
    m = bk.Model()
    rate = m.latent("rate", bk.Gamma(2, 1))
    m.observed("y", bk.Poisson(2 * rate), dims="obs")
    return m.condition({"y": COUNTS})


def nig_regression():
    m = bk.Model()
    x = m.data("x", dims=("obs", "k"))
    s2 = m.latent("s2", bk.InverseGamma(3, 1))
    b = m.latent("b", bk.Normal(0, 2 * np.sqrt(s2)), dims="k")
    m.observed("y", bk.Normal(x @ b, var=s2), dims="obs")
    return m.condition({"x": X, "y": Y})


def normal_gamma():
    m = bk.Model()
    tau = m.latent("tau", bk.Gamma(2, 1))
    mu = m.latent("mu", bk.Normal(0, tau=0.5 * tau))
    m.observed("y", bk.Normal(mu, tau=tau), dims="obs")
    return m.condition({"y": Y})


def normal_inverse_wishart():
    m = bk.Model()
    S = m.latent("S", bk.InverseWishart(6, np.eye(2)), dims="d")
    mu = m.latent("mu", bk.MvNormal(np.zeros(2), cov=S / 0.5), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    return m.condition({"y": ROWS})


def normal_wishart():
    m = bk.Model()
    T = m.latent("T", bk.Wishart(5, 0.4 * np.eye(2)), dims="d")
    mu = m.latent("mu", bk.MvNormal(np.zeros(2), tau=0.5 * T), dims="d")
    m.observed("y", bk.MvNormal(mu, tau=T), dims=("obs", "d"))
    return m.condition({"y": ROWS})


def dirichlet_multinomial():
    m = bk.Model()
    w = m.latent("w", bk.Dirichlet([1, 2, 3]), dims="c")
    m.observed("y", bk.Multinomial(12, w), dims="c")
    return m.condition({"y": [3, 4, 5]})


def truncated_normal_prior():
    m = bk.Model()
    mu = m.latent("mu", bk.Truncated(bk.Normal(0, 2), lower=0.3, upper=2))
    m.observed("y", bk.Normal(mu, 1.5), dims="obs")
    return m.condition({"y": [0.2, 1.0]})


def scale(prior, parameter="sigma"):
    def model():
        m = bk.Model()
        s = m.latent("s", prior)
        m.observed("y", bk.Normal(0.5, **{parameter: s}), dims="obs")
        return m.condition({"y": Y})

    return model


EXACT = {
    "beta-binomial": beta_binomial,
    "gamma-poisson": gamma_poisson,
    "normal-inverse-gamma regression": nig_regression,
    "normal-gamma": normal_gamma,
    "normal-inverse-Wishart": normal_inverse_wishart,
    "normal-Wishart": normal_wishart,
    "Dirichlet-multinomial": dirichlet_multinomial,
    "truncated normal": truncated_normal_prior,
    "half-normal sd": scale(bk.HalfNormal(2)),
    "uniform sd": scale(bk.Uniform(0, 2)),
    "inverse gamma variance": scale(bk.InverseGamma(2, 1), "var"),
    "gamma variance": scale(bk.Gamma(2, 1), "var"),
    "exponential variance": scale(bk.Exponential(1), "var"),
    "gamma precision": scale(bk.Gamma(2, 1), "tau"),
    "truncated gamma precision": scale(bk.Truncated(bk.Gamma(2, 1), upper=1.5), "tau"),
}


SLOW = [("normal-Wishart", "metropolis"), ("normal-gamma", "metropolis"), ("gamma variance", "metropolis")]
PAIRS = [(n, m) for n in EXACT for m in ("gibbs", "metropolis")]


@pytest.mark.parametrize(("name", "method"), [pytest.param(*p, marks=[pytest.mark.slow] * (p in SLOW)) for p in PAIRS])
def test_exact_against_the_others(name, method):
    posterior = EXACT[name]()
    assert posterior.is_exact
    assert_agree(draws_of(posterior, 1, draws=1500), draws_of(posterior, 2, method=method))


@pytest.mark.parametrize("name", [n for n in EXACT if "Wishart" not in n and "Dirichlet" not in n])
def test_exact_against_slice_sampling(name):
    posterior = EXACT[name]()
    steps = {n: bk.Slice() for n, v in posterior._problem.latents.items() if n != "b"}
    assert_agree(draws_of(posterior, 1, draws=1500), draws_of(posterior, 3, steps=steps))


# ---- a scale above groups, three ways -------------------------------------------------------------------------------


def hierarchy(prior, observed=None):
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("tau", prior)
    theta = m.latent("theta", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Normal(theta, 0.7), dims="g")
    return m.condition({"y": [1.5, -0.5, 0.2, 2.5, 0.9, -1.0]})


SCALES = {
    "half-Cauchy": bk.HalfCauchy(1),
    "half-t": bk.HalfStudentT(4, 1.5),
    "half-normal": bk.HalfNormal(1),
    "uniform": bk.Uniform(0, 3),
    "exponential": bk.Exponential(1),
    "log-normal": bk.LogNormal(0, 1),
    "gamma": bk.Gamma(2, 2),
}


def some(names, quick):
    """All names; those that are not quick run with the slow ones."""
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", some(SCALES, ["half-Cauchy", "exponential"]))
def test_a_scale_integrated_out_sliced_and_walked(name):
    posterior = hierarchy(SCALES[name])
    assert "integrated out" in posterior.explain(method="gibbs")
    integrated = draws_of(posterior, 1, method="gibbs")
    assert_agree(integrated, draws_of(posterior, 4, draws=1500, method="collapsed"))
    assert_agree(integrated, draws_of(posterior, 2, draws=400, steps={"tau": bk.Slice()}))
    assert_agree(integrated, draws_of(posterior, 3, draws=400, method="metropolis"))


CONJUGATE = ["half-Cauchy", "half-t", "half-normal", "uniform"]


@pytest.mark.parametrize("name", some(CONJUGATE, ["half-Cauchy", "half-normal"]))
def test_a_scale_by_its_conjugate_step(name):
    posterior = hierarchy(SCALES[name])
    conjugate = draws_of(posterior, 4, draws=600, steps={"tau": bk.Conjugate()})
    assert_agree(draws_of(posterior, 1, method="gibbs"), conjugate)


def test_many_groups_draw_their_scale_given_the_block():
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 2)), m.latent("tau", bk.HalfCauchy(1))
    theta = m.latent("theta", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Normal(theta, 0.3), dims="g")
    posterior = m.condition({"y": np.random.default_rng(2).normal(0, 1, 60)})
    names = ["mu", "tau"]
    gibbs = draws_of(posterior, 1, names, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, names, steps={"tau": bk.Slice()}))
    assert_agree(gibbs, draws_of(posterior, 3, names, draws=1500, method="collapsed"))


# ---- mixtures of normals --------------------------------------------------------------------------------------------


def outliers(likelihood, sigma):
    m = bk.Model()
    x = m.data("x", dims="obs")
    a, b, s = m.latent("a", bk.Normal(0, 3)), m.latent("b", bk.Normal(0, 3)), m.latent("s", sigma)
    m.observed("y", likelihood(a + b * x, s), dims="obs")
    return m.condition({"x": X[:, 1], "y": [*Y[:-1], 9.0]})


AUGMENTED = {
    "Student-t": (lambda mu, s: bk.StudentT(3, mu, s), bk.HalfNormal(2)),
    "Student-t, exponential": (lambda mu, s: bk.StudentT(3, mu, s), bk.Exponential(1)),
    "Laplace": (bk.Laplace, bk.HalfCauchy(2)),
    "Laplace, inverse gamma": (bk.Laplace, bk.InverseGamma(2, 2)),
}


@pytest.mark.parametrize("name", some(AUGMENTED, ["Student-t", "Laplace"]))
def test_scale_mixtures_against_the_density_itself(name):
    posterior = outliers(*AUGMENTED[name])
    assert "as a scale mixture of normals" in posterior.explain(method="gibbs")
    gibbs = draws_of(posterior, 1, draws=400, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


def test_unknown_degrees_of_freedom():
    m = bk.Model()
    mu, nu = m.latent("mu", bk.Normal(0, 3)), m.latent("nu", bk.Gamma(4, 1))
    m.observed("y", bk.StudentT(nu, mu, 0.7), dims="obs")
    posterior = m.condition({"y": [*Y, 9.0]})
    gibbs = draws_of(posterior, 1, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


@pytest.mark.slow
def test_student_t_priors_of_effects():
    m = bk.Model()
    tau = m.latent("tau", bk.HalfNormal(1))
    theta = m.latent("theta", bk.StudentT(4, 0, tau), dims="g")
    m.observed("y", bk.Normal(theta, 0.7), dims="g")
    posterior = m.condition({"y": [1.5, -0.5, 0.2, 5.0]})
    gibbs = draws_of(posterior, 1, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, draws=400, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


# ---- finite mixtures ------------------------------------------------------------------------------------------------


def test_enumeration_against_the_sum_over_states():
    y = np.array([-2.0, -1.4, 2.0, 2.2, 1.8, 0.3, -0.2])
    m = bk.Model(coords={"k": 2})
    w = m.latent("w", bk.Beta(2, 2))
    mu = m.latent("mu", bk.Normal(np.array(0.0), 2), dims="k")
    z = m.latent("z", bk.Bernoulli(w), dims="obs")
    m.require(mu[{"k": 0}] < mu[{"k": 1}])
    m.observed("y", bk.Normal(mu[z], 1), dims="obs")
    listed = draws_of(m.condition({"y": y}), 1, ["w", "mu"], draws=600)
    m = bk.Model(coords={"k": 2})
    data = m.data("y", dims="obs")
    w = m.latent("w", bk.Beta(2, 2))
    mu = m.latent("mu", bk.Normal(0, 2), dims="k")
    m.require(mu[{"k": 0}] < mu[{"k": 1}])
    first, second = (np.exp(-0.5 * (data - mu[{"k": k}]) ** 2) for k in (0, 1))
    m.factor("mixture", np.log((1 - w) * first + w * second))
    summed = draws_of(m.condition({"y": y}), 2, ["w", "mu"])
    assert_agree(listed, summed)


def test_unknown_number_of_trials_against_the_sum():
    m = bk.Model()
    n, p = m.latent("n", bk.Poisson(8)), m.latent("p", bk.Beta(3, 3))
    m.observed("y", bk.Binomial(n, p), dims="obs")
    y = np.array([3, 4, 2])
    swept = m.condition({"y": y}).sample(1500, tune=200, seed=1)["posterior"]
    k = np.arange(4, 80)
    logs = stats.poisson(8).logpmf(k) + betaln(3 + y.sum(), 3 + 3 * k - y.sum())
    logs += (gammaln(k + 1)[:, None] - gammaln(k[:, None] - y + 1)).sum(axis=1)
    weights = softmax(logs)
    mean = weights @ k
    assert_moments(swept["n"].values, mean, np.sqrt(weights @ (k - mean) ** 2))
    assert_moments(swept["p"].values, weights @ ((3 + y.sum()) / (6 + 3 * k)))


# ---- missing data ---------------------------------------------------------------------------------------------------


def test_missing_numbers_are_their_predictive():
    y = np.array([*Y, np.nan, np.nan])
    m = bk.Model()
    s2 = m.latent("s2", bk.InverseGamma(3, 1))
    mu = m.latent("mu", bk.Normal(0, 2 * np.sqrt(s2)))
    m.observed("y", bk.Normal(mu, var=s2), dims="obs")
    with_gaps, without = m.condition({"y": y}), m.condition({"y": Y})
    np.testing.assert_allclose(with_gaps.log_evidence(), without.log_evidence(), rtol=1e-12)
    drawn = draws_of(with_gaps, 1)
    predicted = without.predict().sample(400, seed=2)
    new = predicted["posterior_predictive"]["y"].values[..., :2]
    assert_agree({"y": drawn["y_missing"]}, {"y": new})
    assert_agree({n: drawn[n] for n in ("mu", "s2")}, draws_of(without, 3))
    assert_agree(drawn, draws_of(with_gaps, 4, method="metropolis"))


def test_missing_predictors_with_children():
    m = bk.Model()
    b = m.latent("b", bk.Normal(0, 2))
    x = m.observed("x", bk.Normal(0.5, 1), dims="obs")
    m.observed("y", bk.Normal(b * x, 0.6), dims="obs")
    posterior = m.condition({"x": [1.0, -0.5, np.nan, 2.0, np.nan], "y": [1.2, -0.3, 0.8, 2.5, 1.5]})
    gibbs = draws_of(posterior, 1, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, draws=400, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


def test_missing_counts():
    m = bk.Model()
    p = m.latent("p", bk.Beta(2, 2))
    y = m.observed("y", bk.Binomial(5, p), dims="obs")
    m.observed("z", bk.Poisson(0.5 + y), dims="obs")
    posterior = m.condition({"y": [1.0, 4.0, np.nan], "z": [2, 4, 6]})
    assert "6 joint states, all summed" in posterior.explain()
    assert "enumeration of 6 values" in posterior.explain(method="gibbs")
    steps = {"y_missing": bk.Slice(), "p": bk.Slice()}
    summed = draws_of(posterior, 1, draws=400)
    assert_agree(summed, draws_of(posterior, 2, draws=400, steps=steps))
    assert_agree(summed, draws_of(posterior, 3, draws=400, method="gibbs"))


@pytest.mark.slow
def test_a_missing_label_that_indexes_two_tables():
    m = bk.Model(coords={"k": 2})
    mu, s = m.latent("mu", bk.Normal(0, 2), dims="k"), m.latent("s", bk.HalfNormal(2), dims="k")
    z = m.observed("z", bk.Bernoulli(0.4), dims="obs")
    m.observed("y", bk.Normal(mu[z], s[z]), dims="obs")
    posterior = m.condition({"z": [0.0, 0.0, 1.0, 1.0, np.nan, np.nan], "y": [-1.0, -1.5, 2.0, 2.2, 0.5, 3.0]})
    assert "enumeration of 2 values" in posterior.explain()
    steps = {n: bk.Slice() for n in ("mu", "s", "z_missing")}
    assert_agree(draws_of(posterior, 1, draws=400), draws_of(posterior, 2, draws=600, steps=steps))


def test_vectors_missing_in_part():
    rows = ROWS.copy()
    rows[1, 0] = rows[4, 1] = np.nan
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 2), dims="d")
    S = m.latent("S", bk.InverseWishart(6, np.eye(2)), dims="d")
    m.observed("y", bk.MvNormal(mu, cov=S), dims=("obs", "d"))
    posterior = m.condition({"y": rows})
    assert_agree(draws_of(posterior, 1, draws=400), draws_of(posterior, 2, draws=400, method="metropolis"))


# ---- effects --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_wishart_effects():
    m = bk.Model(coords={"d": 2})
    T = m.latent("T", bk.Wishart(5, 0.4 * np.eye(2)), dims="d")
    mu = m.latent("mu", bk.Normal(0, 2), dims="d")
    effect = m.latent("effect", bk.MvNormal(mu, tau=T), dims=("g", "d"))
    m.observed("y", bk.Normal(effect, 0.5), dims=("g", "d"))
    posterior = m.condition({"y": ROWS[:4]})
    names = ["T", "mu"]
    gibbs = draws_of(posterior, 1, names, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, names, draws=600, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, names, draws=1500, method="collapsed"))


def test_hierarchical_logistic():
    m = bk.Model()
    mu, tau = m.latent("mu", bk.Normal(0, 1.5)), m.latent("tau", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Binomial(6, logit=a), dims="g")
    posterior = m.condition({"y": [1, 3, 5, 4]})
    gibbs = draws_of(posterior, 1, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, draws=400, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


def test_products_of_two_normals():
    m = bk.Model()
    a, b = m.latent("a", bk.Normal(1, 0.5)), m.latent("b", bk.Normal(1, 0.5))
    m.observed("y", bk.Normal(a * b, 0.5), dims="obs")
    posterior = m.condition({"y": [1.5, 2.0]})
    gibbs = draws_of(posterior, 1, draws=600, method="gibbs")
    assert_agree(gibbs, draws_of(posterior, 2, method="metropolis"))
    assert_agree(gibbs, draws_of(posterior, 3, draws=1500, method="collapsed"))


# ---- the density alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["beta-binomial", "gamma-poisson", "half-normal sd"])
def test_metropolis_on_a_density(name):
    posterior = EXACT[name]()
    problem = posterior._problem
    between = {"beta-binomial": ("p", 0, 1), "gamma-poisson": ("rate", 0, None), "half-normal sd": ("s", 0, None)}[name]
    bounds = {between[0]: between[1:]}
    initial = {n: np.full(latent.shape, 0.5) for n, latent in problem.latents.items()}
    dims = {n: list(latent.variable.dims) for n, latent in problem.latents.items()}
    tree = bk.metropolis(problem.log_joint, initial, draws=400, tune=300, seed=1, bounds=bounds, dims=dims)
    drawn = {n: tree["posterior"][n].values for n in problem.latents}
    assert_agree(draws_of(posterior, 2, draws=600), drawn)
