"""Log-concave regressions as rows of cumulants: against the factors they replace, exact sums, and scipy's optimum."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_ndtr, ndtr

import bayeskit as bk
from bayeskit.distributions.merging import merge_equal
from bayeskit.inference.core import cumulants
from bayeskit.inference.core.linear_rows import linear_rows
from bayeskit.inference.core.newton import newton_of
from bayeskit.inference.unconstrained import Unconstrained
from bayeskit.statistics.reduction import reduce_rows
from tests.model.binding import problem_of


def rng_of(seed):
    return np.random.default_rng(seed)


def core(m, *, k=3, groups=False):
    """A predictor with an intercept, coefficients, an offset and, where asked for, levels of a group."""
    X, shift = m.data("X", dims=("obs", "k")), m.data("shift", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 2)), m.latent("b", bk.Normal(0, 1), dims="k")
    eta = a + X @ b + shift
    if groups:
        eta = eta + m.latent("g", bk.Normal(0, 1), dims="county")[m.index("county", dims="obs")]
    return eta


def data(seed, rows=203, k=3, **more):
    rng = rng_of(seed)
    return {"X": rng.normal(size=(rows, k)), "shift": rng.normal(size=rows), **more}


def counties(seed, n=203):
    return rng_of(seed).choice(["x", "y", "z", "u"], n)


def binary(p=None, *, groups=True, seed=1, merged=False):
    m = bk.Model()
    eta = core(m, groups=groups)
    m.observed("y", bk.Bernoulli(logit=eta) if p is None else bk.Bernoulli(p(eta)), dims="obs")
    values = data(seed, y=rng_of(seed).integers(0, 2, 203), **({"county": counties(seed)} if groups else {}))
    if merged:
        values |= {"X": values["X"].round(), "shift": np.zeros(203)}
    return m, values


def binomial(p=None, *, n_max=12, seed=2, **more):
    m = bk.Model()
    n = m.data("n", dims="obs")
    eta = core(m, groups=True)
    m.observed("y", bk.Binomial(n, logit=eta) if p is None else bk.Binomial(n, p(eta)), dims="obs")
    trials = rng_of(seed).integers(0, n_max, 203)
    y = rng_of(seed).binomial(trials, rng_of(seed + 1).uniform(0.1, 0.9, 203))
    return m, data(seed, n=trials, y=y, county=counties(seed)) | more


def crossed():
    m = bk.Model(coords={"i": 5, "j": 4})
    a, b = m.latent("a", bk.Normal(0, 1), dims="i"), m.latent("b", bk.Normal(0, 1), dims="j")
    n = m.data("n", dims="j")
    m.observed("y", bk.Binomial(n, logit=a - 0.5 * b.cumsum("j")), dims=("j", "i"))
    n = np.array([3, 0, 100, 7])
    return m, {"n": n, "y": rng_of(3).binomial(n[:, None], 0.4, (4, 5))}


def poisson(mean, *, seed=4, rate=5.0, merged=False):
    m = bk.Model()
    E = m.data("E", dims="obs")
    m.observed("y", bk.Poisson(mean(E, core(m, groups=True))), dims="obs")
    exposure = rng_of(seed).uniform(0.5, 3.0, 203)
    exposure[[5, 77]] = 0.0
    values = data(seed, E=exposure, y=rng_of(seed).poisson(rate * exposure), county=counties(seed))
    if merged:
        values |= {"X": values["X"].round()}
    return m, values


def by_group(link, family):
    """The link outside, the index inside: ``link(theta)[g]``."""
    m = bk.Model()
    county = m.index("county", dims="obs")
    theta = m.latent("theta", bk.Normal(0, 1), dims="county")
    E = m.data("E", dims="obs")
    rate = link(theta)[county]
    m.observed("y", bk.Poisson(E * rate) if family == "Poisson" else bk.Bernoulli(rate), dims="obs")
    y = rng_of(5).integers(0, 2, 203)
    return m, {"county": counties(5), "y": y, "E": rng_of(5).uniform(1, 2, 203)}


def categorical(kind, *, counts=0, merged=False):
    m = bk.Model(coords={"k": 3, "free": 3, "category": 4})
    X = m.data("X", dims=("obs", "k"))
    if kind == "full":
        B, a = m.latent("B", bk.Normal(0, 1), dims=("category", "k")), m.latent("a", bk.Normal(0, 1), dims="category")
        logit = a + (X * B).sum("k")
    elif kind == "reference":
        B = m.latent("B", bk.Normal(0, 1), dims=("k", "free"))
        a = m.latent("a", bk.Normal(0, 1), dims="free")
        logit = bk.concat([0, (X * B).sum("k") + a], dim="category")
    else:
        B = m.latent("B", bk.Normal(0, 1), dims="k")
        a = m.latent("a", bk.Normal(0, 1))
        logit = bk.stack([0, X @ B, a, -0.3], dim="category")
    if counts:
        m.observed("y", bk.Multinomial(counts, logit=logit), dims=("obs", "category"))
        y = rng_of(6).multinomial(counts, [0.1, 0.2, 0.3, 0.4], 203)
    else:
        m.observed("y", bk.Categorical(logit=logit), dims="obs")
        y = rng_of(6).integers(0, 4, 203)
    X = rng_of(6).normal(size=(203, 3))
    return m, {"X": X.round() if merged else X, "y": y}


def missing():
    m, values = binary(expit)
    y = values["y"].astype(float)
    y[[3, 50, 51, 202]] = np.nan
    return m, values | {"y": y}


def intercept():
    m = bk.Model()
    m.observed("y", bk.Bernoulli(logit=m.latent("a", bk.Normal(0, 1))), dims="obs")
    return m, {"y": rng_of(7).integers(0, 2, 500)}


def scalar():
    m = bk.Model()
    a, x = m.latent("a", bk.Normal(0, 1)), m.data("x")
    m.observed("y", bk.Binomial(10, logit=a * x - 1))
    return m, {"x": 2.0, "y": 4}


CASES = {
    "logit": lambda: binary(),
    "logit without groups": lambda: binary(groups=False),
    "logit merged": lambda: binary(merged=True),
    "expit": lambda: binary(expit),
    "one less expit": lambda: binary(lambda e: 1 - expit(e)),
    "one over one plus exp": lambda: binary(lambda e: 1 / (1 + np.exp(-e))),
    "exp plus one": lambda: binary(lambda e: 1 / (np.exp(-e) + 1)),
    "ndtr": lambda: binary(ndtr),
    "one less ndtr": lambda: binary(lambda e: 1 - ndtr(e)),
    "ndtr merged": lambda: binary(ndtr, merged=True),
    "binomial": lambda: binomial(),
    "binomial merged": lambda: binomial(X=rng_of(2).integers(0, 2, (203, 3)), shift=np.ones(203)),
    "binomial expit": lambda: binomial(expit, n_max=300),
    "binomial ndtr": lambda: binomial(ndtr),
    "binomial of large counts": lambda: binomial(n_max=10**6),
    "binomial ndtr of large counts": lambda: binomial(ndtr, n_max=10**6),
    "binomial of one size": lambda: binomial(n=np.full(203, 12)),
    "binomial of few sizes": lambda: binomial(n=np.where(np.arange(203) < 150, 12, 20 + np.arange(203))),
    "crossed": crossed,
    "poisson": lambda: poisson(lambda E, eta: E * np.exp(eta)),
    "poisson, exposure last": lambda: poisson(lambda E, eta: np.exp(eta) * E),
    "poisson, exposure below": lambda: poisson(lambda E, eta: np.exp(eta) / (E + 1)),
    "poisson, exposure inside": lambda: poisson(lambda E, eta: np.exp(eta + np.log(E + 1))),
    "poisson, product": lambda: poisson(lambda E, eta: 2 * E * np.exp(0.5 * eta) * (3 * np.exp(eta)) ** 0.5),
    "poisson, power": lambda: poisson(lambda E, eta: np.sqrt(np.exp(eta)) * E / np.square(np.exp(-eta))),
    "poisson merged": lambda: poisson(lambda E, eta: E * np.exp(eta), merged=True),
    "poisson of large counts": lambda: poisson(lambda E, eta: E * np.exp(eta), rate=1e4),
    "exp indexed": lambda: by_group(np.exp, "Poisson"),
    "expit indexed": lambda: by_group(expit, "Bernoulli"),
    "ndtr indexed": lambda: by_group(ndtr, "Bernoulli"),
    "categorical": lambda: categorical("full"),
    "categorical with a reference": lambda: categorical("reference"),
    "categorical of a stack": lambda: categorical("stack"),
    "categorical merged": lambda: categorical("full", merged=True),
    "multinomial": lambda: categorical("reference", counts=17),
    "multinomial merged": lambda: categorical("full", counts=17, merged=True),
    "multinomial of large counts": lambda: categorical("reference", counts=1_000_000),
    "missing": missing,
    "intercept": intercept,
    "scalar": scalar,
}


def case(name):
    """The problem, the observed factor, the names of the continuous latents, and its rows."""
    m, values = CASES[name]()
    problem = problem_of(m, values)
    names = [n for n, latent in problem.latents.items() if latent.missing_from is None]
    factor = next(f for f in problem.factors if f.name == "y" and f.value.variables <= problem.env.keys())
    return problem, factor, names, linear_rows(problem, factor, names)


def states(problem, names, batch, scale=0.7, seed=0):
    rng = rng_of(seed)
    return problem.env | {n: rng.normal(0, scale, (batch, *problem.latents[n].shape)) for n in names}


@pytest.mark.parametrize("name", CASES)
def test_the_total_is_that_of_the_factor(name):
    problem, factor, names, rows = case(name)
    env = states(problem, names, 41, scale=0.2 if "ndtr" in name else 0.7)  # far out log1p(-ndtr) has lost its digits
    np.testing.assert_allclose(rows.total(env), factor.total(env), rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_cells_count_as_often_as_they_occur(name):
    problem, factor, names, _ = case(name)
    weight = rng_of(20).integers(0, 6, factor.shape)  # some never occur
    factor = replace(factor, weight=weight)
    env = states(problem, names, 9, scale=0.2)
    np.testing.assert_allclose(linear_rows(problem, factor, names).total(env), factor.total(env), rtol=1e-11)


@pytest.mark.parametrize("name", ["logit", "binomial merged", "poisson", "multinomial merged", "intercept"])
def test_rows_reduced_at_condition_are_read(name):
    m, values = CASES[name]()
    times = rng_of(20).integers(1, 6, len(values["y"]))
    problem = reduce_rows(problem_of(m, {n: np.repeat(v, times, axis=0) for n, v in values.items()}))
    names = list(problem.latents)
    factor = next(f for f in problem.factors if f.name == "y")
    assert factor.shape[0] < times.sum() / 2
    assert factor.weight is None or factor.weight.sum() == times.sum()  # counts with exposures are added up
    env = states(problem, names, 9, scale=0.2)
    np.testing.assert_allclose(linear_rows(problem, factor, names).total(env), factor.total(env), rtol=1e-11)


@pytest.mark.parametrize("name", [n for n in CASES if "merged" in n] + ["intercept", "exp indexed", "ndtr indexed"])
def test_equal_rows_are_merged(name):
    _, factor, _, rows = case(name)
    assert rows.rows < 0.75 * factor.shape[0]


@pytest.mark.parametrize("name", CASES)
def test_the_derivatives_are_those_of_the_total(name):
    problem, _, names, rows = case(name)
    env = states(problem, names, 1, scale=0.4)
    gradient, hessian = rows.derivatives(env)
    point = np.concatenate([env[n].ravel() for n in rows.names])

    def unpacked(points):
        stops = np.cumsum([problem.latents[n].size for n in rows.names])[:-1]
        parts = np.split(points, stops, axis=1)
        return {n: p.reshape(-1, *problem.latents[n].shape) for n, p in zip(rows.names, parts, strict=True)}

    step = 1e-3 * np.eye(rows.size)  # the five-point rule: its error is of order 1e-12 of the fifth derivative
    value = [rows.total(unpacked(point + s * step)) for s in (1, -1, 2, -2)]
    slope = (8 * (value[0] - value[1]) - (value[2] - value[3])) / 12e-3
    slopes = [np.array([rows.derivatives(p)[0] for p in point + s * step]) for s in (1, -1, 2, -2)]
    curvature = (8 * (slopes[0] - slopes[1]) - (slopes[2] - slopes[3])) / 12e-3
    size = np.abs(hessian).max()
    np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-8 * size + 1e-12 * np.abs(value[0]).max() / 1e-3)
    np.testing.assert_allclose(hessian, curvature, rtol=1e-7, atol=1e-8 * size)
    by_vector = rows.derivatives(point)
    assert np.array_equal(by_vector[0], gradient) and np.array_equal(by_vector[1], hessian)


@pytest.mark.parametrize("name", ["logit", "binomial", "ndtr", "poisson", "categorical", "multinomial of large counts"])
def test_chunks_of_any_size_give_the_same(name, monkeypatch):
    problem, factor, names, rows = case(name)
    env = states(problem, names, 67, scale=0.2)
    expected = factor.total(env)
    for block, proposals in [(16, 1), (1000, 7), (4096, 66), (10_000_000, 68)]:
        monkeypatch.setattr(cumulants, "_BLOCK", block)
        monkeypatch.setattr(cumulants, "_PROPOSALS", proposals)
        np.testing.assert_allclose(rows.total(env), expected, rtol=1e-11)
    one = {n: v[:1] for n, v in env.items()}
    np.testing.assert_allclose(rows.total(one), expected[:1], rtol=1e-11)


def test_a_batch_of_one_serves_all():
    problem, factor, names, rows = case("logit")
    env = states(problem, names, 9)
    env["b"] = env["b"][:1]
    np.testing.assert_allclose(rows.total(env), factor.total(env), rtol=1e-11)


# ---- far out ------------------------------------------------------------------------------------------------------
FAR = np.array([-800.0, -745.0, -710.0, -40.0, -8.5, 0.0, 8.5, 40.0, 710.0, 745.0, 800.0])


def line(family, **given):
    """Rows with predictors ``x * slope``, so that a slope of one puts them at `FAR`."""
    m = bk.Model()
    x, slope = m.data("x", dims="obs"), m.latent("slope", bk.Normal(0, 1))
    n = m.data("n", dims="obs") if "n" in given else None
    m.observed("y", family(n, x * slope), dims="obs")
    problem = problem_of(m, {"x": FAR, **given})
    factor = problem.factors_of(["slope"])[-1]
    env = problem.env | {"slope": np.array([1.0, -1.0, 0.5, 1e-3])}
    with np.errstate(over="ignore"):  # in the expression of a mean
        expected = factor.total(env)
    return linear_rows(problem, factor, ["slope"]).total(env), expected, np.outer(env["slope"], FAR)


def logit_binomial(n, eta):
    return bk.Binomial(n, logit=eta)


@pytest.mark.parametrize("y", [np.zeros(11), np.ones(11), np.arange(11) % 2, np.arange(11) < 6])
def test_log_odds_far_out(y):
    total, expected, _ = line(lambda _, eta: bk.Bernoulli(logit=eta), y=y.astype(int))
    np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-14)
    total, _, _ = line(lambda _, eta: bk.Bernoulli(expit(eta)), y=y.astype(int))
    np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [1, 7, 1000, 999_999, 10**9])
@pytest.mark.parametrize("share", [0.0, 1e-9, 1e-3, 0.5, 0.9, 1.0])
def test_binomials_far_out(n, share):
    y = np.full(11, round(share * n))
    total, expected, _ = line(logit_binomial, n=np.full(11, n), y=y)
    assert np.isfinite(total).all()
    np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["logit", "probit"])
@pytest.mark.parametrize("n", [1000, 10**5, 10**7, 10**9])
def test_binomials_about_their_mode_do_not_cancel(kind, n):
    rng = rng_of(8)
    eta = rng.normal(0, 1, 11)
    y = rng.binomial(n, expit(eta) if kind == "logit" else ndtr(eta))
    m = bk.Model()
    x, slope = m.data("x", dims="obs"), m.latent("slope", bk.Normal(0, 1))
    family = bk.Binomial(n, logit=x * slope) if kind == "logit" else bk.Binomial(n, ndtr(x * slope))
    m.observed("y", family, dims="obs")
    problem = problem_of(m, {"x": eta, "y": y})
    factor = problem.factors_of(["slope"])[-1]
    env = problem.env | {"slope": 1 + np.array([0.0, 1.0, -3.0, 10.0]) / np.sqrt(n)}
    np.testing.assert_allclose(linear_rows(problem, factor, ["slope"]).total(env), factor.total(env), rtol=1e-10)


@pytest.mark.parametrize("family", ["Binomial", "Multinomial"])
def test_the_commonest_category_does_not_cancel(family):
    n, k = 10**9, 4
    m = bk.Model(coords={"category": k})
    x, slope = m.data("x", dims="obs"), m.latent("slope", bk.Normal(0, 1))
    if family == "Binomial":
        m.observed("y", bk.Binomial(n, logit=x * slope), dims="obs")
        y = np.full(3, n - 1)
    else:
        logit = bk.stack([0, 0, 0, x * slope], dim="category")
        m.observed("y", bk.Multinomial(n, logit=logit), dims=("obs", "category"))
        y = np.tile([1, 0, 0, n - 1], (3, 1))
    problem = problem_of(m, {"x": [700.0, 30.0, 21.0], "y": y})
    factor = problem.factors_of(["slope"])[-1]
    env = problem.env | {"slope": np.array([1.0, 1.1])}
    np.testing.assert_allclose(linear_rows(problem, factor, ["slope"]).total(env), factor.total(env), rtol=1e-10)


@pytest.mark.parametrize("n", [1, 10**9])
def test_rare_events_keep_their_digits(n):
    m = bk.Model()
    m.observed("y", bk.Binomial(n, logit=m.latent("a", bk.Normal(0, 1)) + m.data("x", dims="obs")), dims="obs")
    x = rng_of(18).normal(size=99)
    problem = problem_of(m, {"x": x, "y": np.zeros(99)})
    rows = linear_rows(problem, problem.factors_of(["a"])[-1], ["a"])
    exact = -n * np.log1p(np.exp(-18.0 + x)).sum()
    # trials that are few are multiplied up: each of them is right to the last digit of one
    np.testing.assert_allclose(rows.total({"a": np.array([-18.0])}), exact, rtol=1e-12, atol=1e-14 if n == 1 else 0)


@pytest.mark.parametrize("n", [32, 37])
def test_products_that_are_almost_zero_are_summed_as_logs(n):
    m = bk.Model()
    x = m.data("x", dims="obs")
    m.observed("y", bk.Bernoulli(ndtr(m.latent("a", bk.Normal(0, 1)) * x)), dims="obs")
    x = 1 + 1e-6 * np.arange(n)
    problem = problem_of(m, {"x": x, "y": np.ones(n)})
    rows = linear_rows(problem, problem.factors_of(["a"])[-1], ["a"])
    a = np.linspace(-9.1, -9.3, 20)  # sixteen such probabilities: from 1e-305 to 1e-324
    np.testing.assert_allclose(rows.total({"a": a}), log_ndtr(np.outer(a, x)).sum(axis=1), rtol=1e-13)
    a = np.linspace(-17.0, -17.6, 20)  # and five
    np.testing.assert_allclose(rows.total({"a": a}), log_ndtr(np.outer(a, x)).sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize("y", [np.zeros(11), np.ones(11), np.arange(11) % 2])
def test_probits_far_out(y):
    # the factor itself says -inf where ndtr rounds to 0 or 1
    total, expected, eta = line(lambda _, eta: bk.Bernoulli(ndtr(eta)), y=y.astype(int))
    exact = [fsum(log_ndtr(np.where(y > 0, e, -e))) for e in eta]
    np.testing.assert_allclose(total, exact, rtol=1e-12, atol=1e-14)
    assert not np.isfinite(expected[0])


@pytest.mark.parametrize("count", [0, 3, 50_000])
def test_poissons_far_out(count):
    total, _, eta = line(lambda _, eta: bk.Poisson(np.exp(eta)), y=np.full(11, count))
    with np.errstate(over="ignore"):
        mean = np.exp(eta).sum(axis=1)
    constant = -11 * float(np.log(np.arange(1, count + 1)).sum())
    np.testing.assert_allclose(total, count * eta.sum(axis=1) - mean + constant, rtol=1e-10)


def test_log_odds_of_many_categories_far_out():
    m = bk.Model(coords={"category": 4})
    x = m.data("x", dims=("obs", "category"))
    m.observed("y", bk.Categorical(logit=x * m.latent("slope", bk.Normal(0, 1))), dims="obs")
    x = rng_of(9).choice(FAR, (300, 4))
    problem = problem_of(m, {"x": x, "y": rng_of(10).integers(0, 4, 300)})
    factor = problem.factors_of(["slope"])[-1]
    env = problem.env | {"slope": np.array([1.0, -1.0, 0.1, 1e-4])}
    np.testing.assert_allclose(linear_rows(problem, factor, ["slope"]).total(env), factor.total(env), rtol=1e-12)


def test_structural_zeros():
    m, values = poisson(lambda E, eta: E * np.exp(eta))
    y = values["y"].copy()
    y[values["E"] == 0] = 0
    problem = problem_of(m, values | {"y": y})
    factor = problem.factors_of(["b"])[-1]
    env = states(problem, ["a", "b", "g"], 5)
    assert np.isfinite(linear_rows(problem, factor, ["a", "b", "g"]).total(env)).all()

    m, values = binomial(n=np.zeros(203), y=np.zeros(203))
    problem = problem_of(m, values)
    rows = linear_rows(problem, problem.factors_of(["b"])[-1], ["a", "b", "g"])
    assert rows.rows == 0 and np.array_equal(rows.total(states(problem, ["a", "b", "g"], 5)), np.zeros(5))


# ---- what is refused ----------------------------------------------------------------------------------------------
def refused(statement, **values):
    m = bk.Model(coords={"k": 3})
    X, E = m.data("X", dims=("obs", "k")), m.data("E", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 1), dims="k")
    m.observed("y", statement(m, E, a, X @ b), dims="obs")
    rng = rng_of(11)
    problem = problem_of(m, {"X": rng.normal(size=(9, 3)), "E": np.ones(9), "y": np.arange(9) % 2, **values})
    factor = next(f for f in problem.factors if f.name == "y")
    return linear_rows(problem, factor, [n for n in problem.latents if n != "out"])


@pytest.mark.parametrize(
    "statement",
    [
        lambda m, E, a, x: bk.Bernoulli(logit=a * x),
        lambda m, E, a, x: bk.Bernoulli(logit=np.exp(a) + x),
        lambda m, E, a, x: bk.Bernoulli(0.5 * expit(a + x)),
        lambda m, E, a, x: bk.Bernoulli(2 - 1 - expit(a + x) * 1.0),
        lambda m, E, a, x: bk.Bernoulli(1 / (2 + np.exp(a + x))),
        lambda m, E, a, x: bk.Bernoulli(1 - np.exp(-np.exp(a + x))),
        lambda m, E, a, x: bk.Poisson(np.exp(a + x) + E),
        lambda m, E, a, x: bk.Poisson(np.exp(a + x) + np.exp(a)),
        lambda m, E, a, x: bk.Poisson(np.exp(x) * m.latent("c", bk.Gamma(1, 1))),
        lambda m, E, a, x: bk.Poisson(np.exp(x) ** np.exp(a)),
        lambda m, E, a, x: bk.NegativeBinomial(np.exp(a + x), 2.0),
        lambda m, E, a, x: bk.Normal(a + x, 1.0),
        lambda m, E, a, x: bk.Bernoulli(logit=a + x + m.latent("out", bk.Normal(0, 1))),  # not of the core
        lambda m, E, a, x: bk.Bernoulli(logit=a + x * m.latent("out", bk.Normal(0, 1))),
    ],
)
def test_what_is_not_of_the_kind_is_refused(statement):
    assert refused(statement) is None


def test_a_plain_regression_among_the_refused_is_read():
    assert refused(lambda m, E, a, x: bk.Bernoulli(logit=a + x)) is not None


def test_priors_and_missing_cells_are_refused():
    m, values = missing()
    problem = problem_of(m, values)
    for factor in problem.factors:
        rows = linear_rows(problem, factor, ["a", "b", "g"])
        assert (rows is not None) == (factor.name == "y" and factor.value.variables <= problem.env.keys())


def test_large_and_wide_designs_are_refused(monkeypatch):
    def wide(levels):
        m = bk.Model(coords={"g": levels})
        theta = m.latent("theta", bk.Normal(0, 1), dims="g")
        m.observed("y", bk.Bernoulli(logit=theta[m.index("i", dims="obs", into="g")]), dims="obs")
        problem = problem_of(m, {"i": np.arange(400) % levels, "y": np.arange(400) % 3 == 0})
        return linear_rows(problem, problem.factors_of(["theta"])[-1], ["theta"])

    assert wide(150) is not None and wide(300) is None
    monkeypatch.setattr("bayeskit.inference.core.predictor._LARGEST", 1000)
    assert wide(150) is None


# ---- merging ------------------------------------------------------------------------------------------------------
def test_merging_finds_equal_rows():
    rng = rng_of(12)
    rows = rng.normal(size=(50, 4))[rng.integers(0, 50, 100_000)]
    rows[:, 0] = np.where(rows[:, 0] > 0, np.where(rng.random(100_000) > 0.5, 0.0, -0.0), rows[:, 0])
    merged = merge_equal(rows.T, len(rows))
    assert len(merged.first) == 50
    assert np.array_equal(rows[merged.first][merged.group], rows)
    counts = merged.sum(np.ones(100_000))
    assert counts.sum() == 100_000 and counts.min() > 1500
    assert len(merge_equal([], 30_000).first) == 1


def test_rows_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr("bayeskit.distributions.merging._hash", lambda columns, n: np.zeros(n, dtype=np.uint64))
    rows = rng_of(13).normal(size=(7, 2))[rng_of(14).integers(0, 7, 100)]
    merged = merge_equal(rows.T, len(rows))
    assert len(merged.first) == 7 and np.array_equal(rows[merged.first][merged.group], rows)


def test_rows_that_differ_are_not_sorted(monkeypatch):
    rows = rng_of(15).normal(size=(200_000, 2))
    longest = []
    hashed = merge_equal.__globals__["_hash"]
    monkeypatch.setattr(
        "bayeskit.distributions.merging._hash", lambda columns, n: (longest.append(n), hashed(columns, n))[1]
    )
    assert merge_equal(rows.T, len(rows)) is None and max(longest) < 5000
    pairs = merge_equal(np.repeat(rows, 2, axis=0).T, 2 * len(rows))  # even pairs are found by the sample
    assert len(pairs.first) == 200_000


def test_rows_are_merged_before_their_design_is_laid_out(monkeypatch):
    m = bk.Model(coords={"state": 51, "age": 4})
    a, b = m.latent("a", bk.Normal(0, 1), dims="state"), m.latent("b", bk.Normal(0, 1), dims="age")
    s, e = m.index("s", dims="obs", into="state"), m.index("e", dims="obs", into="age")
    m.observed("y", bk.Bernoulli(logit=a[s] + b[e] * m.data("x", dims="obs")), dims="obs")
    rng = rng_of(19)
    x = rng.integers(0, 3, 50_000)
    columns = {"s": rng.integers(0, 51, 50_000), "e": rng.integers(0, 4, 50_000), "y": rng.integers(0, 2, 50_000)}
    problem = problem_of(m, columns | {"x": x})
    monkeypatch.setattr("bayeskit.inference.core.predictor._LARGEST", 100_000)
    factor = problem.factors_of(["a"])[-1]
    rows = linear_rows(problem, factor, ["a", "b"])
    assert rows.rows <= 51 * 4 * 3
    env = states(problem, ["a", "b"], 4)
    np.testing.assert_allclose(rows.total(env), factor.total(env), rtol=1e-11)
    problem = problem_of(m, columns | {"x": rng.normal(size=50_000)})
    assert linear_rows(problem, problem.factors_of(["a"])[-1], ["a", "b"]) is None


# ---- Newton -------------------------------------------------------------------------------------------------------
def climb(problem, names, factors):
    rows = [linear_rows(problem, f, names) for f in factors]
    newton = newton_of(problem, names, rows)
    u = np.zeros(sum(problem.latents[n].size for n in names))
    for _ in range(30):
        gradient, hessian = newton(u)
        step = np.linalg.solve(hessian, gradient)
        u = u - step / max(1.0, np.abs(step).max())
    gradient, _ = newton(u)
    return u, gradient, newton


@pytest.mark.parametrize("name", ["logit", "ndtr merged", "poisson", "binomial", "categorical with a reference"])
def test_newton_finds_the_mode(name):
    problem, factor, names, _ = case(name)
    u, gradient, newton = climb(problem, names, [factor])
    assert np.abs(gradient).max() < 1e-8 * len(factor.sizes) * 200
    space = Unconstrained(problem, names)
    found = minimize(
        lambda v: -float(space.log_density(v[None], problem.env)[0]),
        np.zeros(len(u)),
        jac=lambda v: -newton(v)[0],
        method="BFGS",
        options={"gtol": 1e-7},
    )
    np.testing.assert_allclose(u, found.x, atol=1e-6)
    value = space.log_density(u[None] + np.array([[0.0], [1e-4], [-1e-4]]), problem.env)
    assert value[0] > value[1] and value[0] > value[2]


def hierarchy(kind="Normal"):
    m = bk.Model(coords={"pair": 2})
    county, x = m.index("county", dims="obs"), m.data("x", dims="obs")
    mu = m.latent("mu", bk.Flat() if kind == "flat" else bk.Normal(1, 3))
    a = m.latent("a", bk.Normal(2 * mu + 1, 0.5), dims="county")
    z = m.latent("z", bk.MvNormal([0.5, -1.0], cov=[[2.0, 0.7], [0.7, 1.0]]), dims="pair")
    if kind == "StudentT":
        mu = mu + m.latent("t", bk.StudentT(4, 0, 1))
    eta = a[county] + x * z[{"pair": 0}] + z[{"pair": 1}] + 0 * mu
    m.observed("y", bk.Bernoulli(logit=eta), dims="obs")
    m.observed("w", bk.Normal(x * z[{"pair": 0}] + mu, 2.0), dims="obs")
    m.observed("c", bk.Poisson(np.exp(0.3 * x + mu)), dims="obs")
    if kind == "term":
        m.factor("more", -(mu**4))
    rng = rng_of(16)
    return m, {
        "county": counties(16), "x": rng.normal(size=203), "y": rng.integers(0, 2, 203), "w": rng.normal(size=203),
        "c": rng.poisson(2.0, 203),
    }  # fmt: skip


def read_hierarchy(kind):
    m, values = hierarchy(kind)
    problem = problem_of(m, values)
    names = list(problem.latents)
    rows = [r for f in problem.factors if (r := linear_rows(problem, f, names)) is not None]
    assert [r.factor.name for r in rows] == ["y", "c"]
    return problem, names, newton_of(problem, names, rows)


@pytest.mark.parametrize("kind", ["Normal", "flat"])
def test_newton_knows_gaussian_factors(kind):
    problem, names, newton = read_hierarchy(kind)
    space = Unconstrained(problem, names)
    u = rng_of(17).normal(size=7)
    gradient, hessian = newton(u)
    h = 1e-3
    at = u + np.concatenate([s * h * np.eye(7) for s in (1, -1, 2, -2)])
    value = space.log_density(at, problem.env).reshape(4, 7)
    np.testing.assert_allclose(gradient, (8 * (value[0] - value[1]) - (value[2] - value[3])) / (12 * h), rtol=1e-7)
    slopes = np.array([newton(p)[0] for p in at]).reshape(4, 7, 7)
    curvature = (8 * (slopes[0] - slopes[1]) - (slopes[2] - slopes[3])) / (12 * h)
    np.testing.assert_allclose(hessian, curvature, rtol=1e-7, atol=1e-6)
    assert np.linalg.eigvalsh(hessian).max() < 0


@pytest.mark.parametrize("kind", ["StudentT", "term"])
def test_newton_refuses_what_it_does_not_know(kind):
    assert read_hierarchy(kind)[2] is None


def test_newton_needs_rows_of_every_regression():
    problem, factor, names, rows = case("logit")
    assert newton_of(problem, names, [rows]) is not None
    assert newton_of(problem, names, []) is None
    fewer = linear_rows(problem_of(*CASES["logit"]()), factor, names)
    assert newton_of(problem, names[:-1], [fewer]) is None


def test_a_row_costs_less_than_in_its_factor():
    from time import process_time

    problem, factor, names, rows = case("logit without groups")
    env = states(problem, names, 4000)
    rows.total(env)

    def best(f):
        times = []
        for _ in range(5):
            start = process_time()
            f(env)
            times.append(process_time() - start)
        return min(times)

    assert best(rows.total) < 0.7 * best(factor.total)  # it is a sixth
