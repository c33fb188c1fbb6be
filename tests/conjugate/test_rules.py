"""Every row of the table of rules, in every form: densities against the joint, normalisers against quadrature."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayeskit as bk
from bayeskit.conjugate.rules import RULES, children_of, find_rule
from bayeskit.inference.conjugacy import ConjugateUpdate, match
from bayeskit.model.binding import bind, read
from bayeskit.testing import density_identity, prior_state
from tests.conjugate.rule_cases import CASES, ROWS, Builder, case_name, key


def problem_of(m, data):
    return bind(m, [read(m, data, {})])


def test_every_row_has_a_case():
    assert {key(rule) for rule in RULES} == set(ROWS)
    assert {key(rule) for rule, _ in CASES} == set(ROWS)
    assert all(find_rule(*key(rule)) is rule for rule in RULES)
    assert children_of("Beta") == ["Bernoulli(p)", "Binomial(p)", "Geometric(p)", "NegativeBinomial(p)"]
    assert find_rule("Beta", "Normal", "mu") is None


@pytest.mark.parametrize("case", CASES, ids=map(case_name, CASES))
def test_density_identity(case):
    rule, form = case
    problem = Builder(rule, form).build()
    vector = rule.child == "MvNormal" and rule.form == "linear"  # read by the joint block
    density_identity(problem, ["x"] if vector else "x", chains=4, seed=len(form))
    if not vector:
        update = match(problem, "x")
        assert {key(c.rule) for c in update.contributions} == {key(rule)}


PLAIN = [case for case in CASES if case[0].prior in ("Beta", "Gamma", "Normal") and case[0].child != "MvNormal"]


@pytest.mark.parametrize("case", PLAIN, ids=map(case_name, PLAIN))
def test_rows_hold_the_whole_density_of_the_child(case):
    problem = Builder(*case).build()
    rest = prior_state(problem, 3, np.random.default_rng(7))
    env = {**problem.env, **rest}
    update = match(problem, "x")
    x = rest["x"]
    for c in update.contributions:
        first, second = c.evaluate(env, update.sizes)
        if case[0].prior == "Beta":
            terms = first * np.log(x) + second * np.log1p(-x)
        elif case[0].prior == "Gamma":
            terms = first * np.log(x**c.exponent) - second * x**c.exponent
        else:
            terms = second * x - 0.5 * first * x * x
        cells = np.broadcast_to(terms, (3, *update.latent.shape)).reshape(3, -1).sum(axis=1)
        np.testing.assert_allclose(c.base(env) + cells, c.factor.total(env), rtol=1e-10)


ONE_NUMBER = [*PLAIN, *(case for case in CASES if case[0].prior == "VonMises")]
ONE_NUMBER = [case for case in ONE_NUMBER if case[1] in ("identity", "coefficient", "missing", "complement")]


@pytest.mark.parametrize("case", ONE_NUMBER, ids=map(case_name, ONE_NUMBER))
def test_evidence_is_the_integral_of_the_joint(case):
    problem = Builder(*case).build()
    assert_evidence(problem, "x", prior_state(problem, 1, np.random.default_rng(3), skip=["x"]))


def assert_evidence(problem, name, rest):
    """Quadrature over one number: its log evidence is that of the factors it touches."""
    update = match(problem, name)
    assert isinstance(update, ConjugateUpdate), update
    env = {**problem.env, **rest}
    factors = [update.latent.prior, *(c.factor for c in update.contributions)]

    def log_joint(x):
        with np.errstate(all="ignore"):
            return sum(f.total({**env, name: x}) for f in factors)

    prior = update.latent.prior
    bounds = (float(np.ravel(b)[0]) for b in prior.distribution._bounds(*prior.parameter_arrays(env)))
    x = update.draw(env, np.random.default_rng(1), 1000).ravel()
    expected = log_integral(log_joint, *bounds, x.mean(), x.std())
    assert float(update.log_evidence(env)[0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def log_integral(log_density, lower, upper, centre, spread):
    """Gauss rules on many panels, in a scale that has no bounds, over where the integrand is within exp(-50)."""

    def x_and_log_slope(w):
        odds = np.exp(-np.abs(w))
        if np.isfinite(lower) and np.isfinite(upper):
            share = np.where(w < 0, odds, 1.0) / (1.0 + odds)
            return lower + (upper - lower) * share, np.log(upper - lower) - np.abs(w) - 2 * np.log1p(odds)
        if np.isfinite(lower):
            return lower + np.exp(w), w
        if np.isfinite(upper):
            return upper - np.exp(w), w
        return centre + spread * w, np.full_like(w, np.log(spread))

    def integrand(w):
        x, log_slope = x_and_log_slope(w)
        return np.nan_to_num(log_density(x) + log_slope, nan=-np.inf)

    grid = np.linspace(-100, 100, 20001)
    values = integrand(grid)
    inside = np.flatnonzero(values > values.max() - 50)
    edges = np.linspace(grid[max(inside[0] - 1, 0)], grid[min(inside[-1] + 1, 20000)], 201)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)
    points = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    total = np.exp(integrand(points.ravel()).reshape(points.shape) - values.max()) * weights * half[:, None]
    return float(np.log(total.sum()) + values.max())


# ---- priors of each natural family -------------------------------------------------------------------------
SCALE_PRIORS = {
    "tau": [
        bk.Gamma(2, 1), bk.InverseGamma(2, 1), bk.Exponential(0.5), bk.ChiSquared(3), bk.Uniform(0, 3), bk.Flat(0),
        bk.GeneralizedInverseGaussian(0.5, 1, 2), bk.Truncated(bk.Gamma(2, 1), upper=2), bk.Gamma(0, 0),
        bk.Truncated(bk.InverseGamma(2, 1), lower=0.1), bk.Gamma(2, scale=3), bk.Uniform(0.2, 1.5), bk.Flat(0, 2),
        bk.Truncated(bk.Uniform(0, 10), lower=0.1), bk.Truncated(bk.ChiSquared(3), 0.2, 4), bk.InverseGamma(0, 0),
    ],
    "var": [
        bk.InverseGamma(2, 1), bk.Gamma(2, 1), bk.Exponential(0.5), bk.Uniform(0, 30), bk.InverseGamma(0, 0),
        bk.Truncated(bk.InverseGamma(2, 1), upper=9), bk.Truncated(bk.Gamma(2, 1), lower=1), bk.Flat(0),
        bk.GeneralizedInverseGaussian(-1, 0.3, 2), bk.Truncated(bk.Exponential(0.5), 0.5, 40), bk.ChiSquared(3),
    ],
    "sigma": [
        bk.HalfNormal(2), bk.Uniform(0, 9), bk.Flat(0), bk.Truncated(bk.HalfNormal(2), lower=0.5),
        bk.Truncated(bk.HalfNormal(2), 0.5, 6), bk.Uniform(0.5, 4), bk.HalfNormal(tau=0.2),
    ],
}  # fmt: skip
SCALES = [(how, prior) for how, priors in SCALE_PRIORS.items() for prior in priors]


def scale_model(how, prior, values):
    m = bk.Model()
    x = m.latent("x", prior)
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Normal(mu, **{how: x}), dims="obs")
    return problem_of(m, {"y": values})


@pytest.mark.parametrize(("how", "prior"), SCALES, ids=[f"{h}-{p}" for h, p in SCALES])
def test_priors_on_a_scale(how, prior):
    problem = scale_model(how, prior, [0.4, 2.1, -1.3, 0.7, 3.2])
    density_identity(problem, "x")
    assert_evidence(problem, "x", {"mu": np.array([0.2])})


@pytest.mark.parametrize(
    ("how", "prior"), [("sigma", bk.Uniform(0, 9)), ("var", bk.Uniform(0, 9)), ("tau", bk.Gamma(2, 1))]
)
def test_one_observation_leaves_bounded_scales_proper(how, prior):
    problem = scale_model(how, prior, [0.4])
    density_identity(problem, "x")
    assert_evidence(problem, "x", {"mu": np.array([1.2])})


MEAN_PRIORS = [
    bk.Normal(1, 2), bk.Normal(1, tau=0.3), bk.Flat(), bk.Flat(0), bk.Flat(0, 2), bk.Uniform(-1, 4), bk.HalfNormal(2),
    bk.Exponential(0.7), bk.Truncated(bk.Normal(1, 2), lower=0), bk.Truncated(bk.Normal(1, 2), upper=0.5),
    bk.Truncated(bk.Normal(1, 2), -0.5, 0.5), bk.Truncated(bk.Exponential(0.7), 1, 3),
    bk.Truncated(bk.HalfNormal(2), 1), bk.Truncated(bk.Uniform(-3, 3), upper=1), bk.Uniform(40, 60),
]  # fmt: skip


@pytest.mark.parametrize("prior", MEAN_PRIORS, ids=str)
@pytest.mark.parametrize("coefficient", [1.0, -2.0])
def test_priors_on_a_mean(prior, coefficient):
    m = bk.Model()
    x = m.latent("x", prior)
    s = m.latent("s", bk.HalfNormal(2))
    m.observed("y", bk.Normal(coefficient * x + 1, s), dims="obs")
    problem = problem_of(m, {"y": [0.4, 2.1, -1.3, 0.7]})
    density_identity(problem, "x", {"s": np.array([0.8, 1.7, 3.0, 2.2])})
    assert_evidence(problem, "x", {"s": np.array([1.4])})


def test_evidence_keeps_digits_under_a_large_offset():
    y = np.array([0.4, 2.1, -1.3, 0.7])
    found = []
    for shift in (0.0, 1e8):
        m = bk.Model()
        x = m.latent("x", bk.Uniform(shift - 1, shift + 5))
        m.observed("y", bk.Normal(x, 0.8), dims="obs")
        problem = problem_of(m, {"y": shift + y})
        found.append(match(problem, "x").log_evidence(problem.env)[0])
    assert found[1] == pytest.approx(found[0], rel=1e-7)  # the data themselves are rounded to 1e-8


SHARE_PRIORS = [bk.Beta(2, 3), bk.Uniform(0, 1), bk.Beta(0, 0), bk.Beta(0.5, 0)]


@pytest.mark.parametrize("prior", SHARE_PRIORS, ids=str)
def test_priors_on_a_share(prior):
    m = bk.Model()
    m.observed("y", bk.Bernoulli(m.latent("x", prior)), dims="obs")
    problem = problem_of(m, {"y": [1, 0, 1, 1, 0, 1]})
    density_identity(problem, "x")
    assert_evidence(problem, "x", {})


@pytest.mark.parametrize("matrix", ["scale", "rate"])
def test_both_wisharts(matrix):
    m = bk.Model(coords={"v": 2})
    T = m.latent("T", bk.Wishart(3, **{matrix: [[2.0, 0.5], [0.5, 1.0]]}), dims="v")
    m.observed("y", bk.MvNormal(0, tau=T), dims=("obs", "v"))
    problem = problem_of(m, {"y": [[0.4, 2.1], [-1.3, 0.7], [0.1, 0.2]]})
    density_identity(problem, "T")


def test_powers_of_either_sign_meet_in_a_generalised_inverse_gaussian():
    m = bk.Model()
    x = m.latent("x", bk.Gamma(2, 1))
    m.observed("count", bk.Poisson(3 * x), dims="time")
    m.observed("y", bk.Normal(1, var=x), dims="obs")
    m.observed("z", bk.Laplace(0, 2 * x), dims="obs")
    problem = problem_of(m, {"count": [2, 3, 1], "y": [0.5, 2.0], "z": [0.1, -3.0]})
    density_identity(problem, "x")
    assert_evidence(problem, "x", {})


def test_squares_of_a_standard_deviation():
    m = bk.Model()
    x = m.latent("x", bk.HalfNormal(2))
    m.observed("count", bk.Poisson(x * x), dims="time")
    m.observed("y", bk.Normal(1, x), dims="obs")
    problem = problem_of(m, {"count": [2, 3, 1], "y": [0.5, 2.0]})
    density_identity(problem, "x")
    assert_evidence(problem, "x", {})


def test_structural_zeros_contribute_nothing():
    m = bk.Model()
    t = m.data("t", dims="obs")
    m.observed("y", bk.Poisson(m.latent("x", bk.Gamma(2, 1)) * t), dims="obs")
    problem = problem_of(m, {"t": [0.0, 2.0, 1.0], "y": [0, 3, 1]})
    update = match(problem, "x")
    assert [float(n.item()) for n in update.naturals(problem.env)] == [6.0, 8.0, 0.0]
    density_identity(problem, "x")


def test_vector_row_says_what_its_density_is():
    rule = find_rule("Normal", "MvNormal", "mu")
    rng = np.random.default_rng(0)
    tau = np.array([[2.0, 0.6], [0.6, 1.0]])
    y, c = rng.normal(size=2), rng.normal(size=2)
    P, h = rule.contribution(y, {"tau": tau}, c)
    a, b = rng.normal(size=(2, 2))
    direct = [multivariate_normal(c * x, np.linalg.inv(tau)).logpdf(y) for x in (a, b)]
    assert direct[0] - direct[1] == pytest.approx(h @ (a - b) - 0.5 * (a @ P @ a - b @ P @ b), abs=1e-12)


# ---- refusals --------------------------------------------------------------------------------------------------
def two_parameters(m, x):
    m.observed("y", bk.Normal(x, x), dims="obs")


def truncated_child(m, x):
    m.observed("y", bk.Truncated(bk.Normal(x, 1), lower=-5), dims="obs")


def exponential(m, x):
    m.observed("y", bk.Normal(np.exp(x), 1), dims="obs")


def square(m, x):
    m.observed("y", bk.Normal(x * x, 1), dims="obs")


def different_powers(m, x):
    m.observed("y", bk.Normal(0, x), dims="obs")
    m.observed("z", bk.Normal(0, var=x), dims="obs")


def different_families(m, x):
    m.observed("y", bk.Normal(x, 1), dims="obs")
    m.observed("z", bk.Normal(0, tau=x), dims="obs")


def no_rule(m, x):
    m.observed("y", bk.StudentT(4, x, 1), dims="obs")


def scaled_share(m, x):
    m.observed("y", bk.Bernoulli(0.5 * x), dims="obs")


def shifted_rate(m, x):
    m.observed("y", bk.Poisson(x + 1), dims="obs")


def literal_one(m, x):
    m.observed("y", bk.Poisson(x / x), dims="obs")


def factor_term(m, x):
    m.observed("y", bk.Normal(x, 1), dims="obs")
    m.factor("penalty", -x)


def nothing(m, x):
    m.observed("y", bk.Normal(0, 1), dims="obs")


REFUSED = [
    (two_parameters, bk.Normal(0, 1), "appears in two parameters (mu, sigma) of 'y'"),
    (truncated_child, bk.Normal(0, 1), "'y' is truncated, and its normaliser depends on 'x'"),
    (exponential, bk.Normal(0, 1), "is not linear in 'x'"),
    (square, bk.Normal(0, 1), "is a product of two factors that both contain 'x'"),
    (different_powers, bk.HalfNormal(1), "different powers of it (-2, -1)"),
    (different_families, bk.Gamma(1, 1), "its children ask for different priors (Gamma, Normal)"),
    (no_rule, bk.Normal(0, 1), "no rule has StudentT(mu) of 'y' as a child"),
    (scaled_share, bk.Beta(1, 1), "is not 'x' itself"),
    (shifted_rate, bk.Gamma(1, 1), "is no power of 'x'"),
    (literal_one, bk.Uniform(0, 2), "x / x does not depend on 'x', whose powers cancel"),
    (factor_term, bk.Normal(0, 1), "the term 'penalty' of the density depends on it"),
    (nothing, bk.Normal(0, 1), "it has no children"),
]


@pytest.mark.parametrize(("child", "prior", "reason"), REFUSED, ids=[r[0].__name__ for r in REFUSED])
def test_refusals_say_why(child, prior, reason):
    m = bk.Model()
    child(m, m.latent("x", prior))
    refused = match(problem_of(m, {n: [1.0, 0.0, 1.0] for n, r in m.random.items() if r.observed}), "x")
    assert not isinstance(refused, ConjugateUpdate)
    assert reason in str(refused)


PRIORS_REFUSED = [
    (bk.HalfCauchy(1), lambda x: bk.Normal(0, x), "not of the gamma family"),
    (bk.Gamma(1, 1), lambda x: bk.Normal(0, x), "its power 2, where Gamma is conjugate for 1 and -1 only"),
    (bk.Exponential(1), lambda x: bk.Normal(0, x), "its power 2, where Exponential is conjugate for 1 and -1 only"),
    (bk.HalfNormal(1), lambda x: bk.Normal(0, var=x), "its power 1, where HalfNormal is conjugate for 2 and -2 only"),
    (bk.Uniform(0, 0.5), lambda x: bk.Bernoulli(x), "is not a Beta distribution"),
    (bk.Truncated(bk.Beta(2, 2), upper=0.5), lambda x: bk.Bernoulli(x), "is not a Beta distribution"),
    (bk.StudentT(3, 0, 1), lambda x: bk.Normal(x, 1), "StudentT is not a normal distribution"),
    (bk.Flat(), lambda x: bk.Poisson(x), "not of the gamma family"),
    (bk.LogNormal(0, 1), lambda x: bk.Poisson(x), "not of the gamma family"),
]


@pytest.mark.parametrize(("prior", "child", "reason"), PRIORS_REFUSED, ids=[str(p[0]) for p in PRIORS_REFUSED])
def test_priors_refused(prior, child, reason):
    m = bk.Model()
    m.observed("y", child(m.latent("x", prior)), dims="obs")
    refused = match(problem_of(m, {"y": [1.0, 0.0, 1.0]}), "x")
    assert not isinstance(refused, ConjugateUpdate)
    assert reason in str(refused)


def test_elements_that_mix_are_refused():
    m = bk.Model(coords={"g": 3})
    i, j = (m.index(n, dims="obs", into="g") for n in "ij")
    x = m.latent("x", bk.Normal(0, 1), dims="g")
    rate = m.latent("rate", bk.Gamma(1, 1), dims="g")
    w = m.latent("w", bk.Dirichlet([1, 1, 1]), dims="g")
    m.observed("y", bk.Normal(x[i] + x[j], 1), dims="obs")
    m.observed("total", bk.Normal(x.sum("g"), 1), dims="time")
    m.observed("n", bk.Poisson(rate[i] * rate[j]), dims="obs")
    m.observed("z", bk.Categorical(1 - w), dims="obs")
    data = {"i": [0, 1], "j": [1, 2], "y": [0.1, 0.2], "total": [1.0], "n": [1, 2], "z": [0, 1]}
    problem = problem_of(m, data)
    assert "a cell of 'y' depends on several elements of it" in str(match(problem, "x"))
    assert "contains different elements of 'rate'" in str(match(problem, "rate"))
    assert "is not 'w' itself" in str(match(problem, "w"))


def test_a_latent_in_its_own_index_or_value_is_refused():
    m = bk.Model(coords={"g": 3})
    x = m.latent("x", bk.Normal(0, 1), dims="g")
    z = m.latent("z", bk.Categorical([0.2, 0.3, 0.5]), dims="obs")
    v = m.latent("v", bk.Normal(0, 1), dims="obs")
    m.observed("y", bk.Normal(x[z] + v, 1), dims="obs")
    problem = problem_of(m, {"y": [0.1, np.nan]})
    assert "in its own index" in str(match(problem, "z"))
    density_identity(problem, "v")
    density_identity(problem, "x")


def test_part_of_a_vector_is_left_to_the_block():
    m = bk.Model(coords={"v": 2})
    m.observed("y", bk.MvNormal(0, np.eye(2)), dims=("obs", "v"))
    problem = problem_of(m, {"y": [[0.1, np.nan], [1.0, 2.0]]})
    assert "fills part of a vector" in str(match(problem, "y_missing"))
