"""Rows that are alike become one cell with their number, and nothing else changes."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference.core.linear_rows import linear_rows
from bayeskit.inference.plan import make_plan
from bayeskit.model.binding import bind, read
from bayeskit.posterior.evidence import log_evidence
from bayeskit.statistics.reduction import reduce_rows

N = 300
CASES = {}


def case(cells):
    """Register a function from a generator to a model and its data, with the cells its rows come down to at most."""

    def keep(function):
        CASES[function.__name__] = function, cells
        return function

    return keep


@case(2)
def scalar(rng):
    m = bk.Model()
    m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(2, 3))), dims="obs")
    return m, {"y": rng.integers(0, 2, N)}


@case(4)
def categories(rng):
    m = bk.Model(coords={"k": 4})
    m.observed("y", bk.Categorical(m.latent("p", bk.Dirichlet(np.ones(4)), dims="k")), dims="obs")
    return m, {"y": rng.integers(0, 4, N)}


@case(10)
def indexed(rng):
    m = bk.Model()
    county = m.index("county", dims="obs")
    p = m.latent("p", bk.Beta(2, 3), dims="county")
    m.observed("y", bk.Bernoulli(p[county]), dims="obs")
    return m, {"county": rng.choice(list("abcde"), N), "y": rng.integers(0, 2, N)}


@case(32)
def two_indices(rng):
    m = bk.Model(coords={"team": list("wxyz")})
    home, away = m.index("home", dims="obs", into="team"), m.index("away", dims="obs", into="team")
    a = m.latent("a", bk.Normal(0, 1), dims="team")
    m.observed("win", bk.Bernoulli(logit=a[home] - a[away]), dims="obs")
    return m, {"home": rng.choice(list("wxyz"), N), "away": rng.choice(list("wxyz"), N), "win": rng.integers(0, 2, N)}


@case(10)
def plates_of_latents(rng):
    m = bk.Model(coords={"arm": ["A", "B"]})
    m.observed("y", bk.Binomial(4, m.latent("p", bk.Beta(2, 3), dims="arm")), dims=("obs", "arm"))
    return m, {"y": rng.integers(0, 5, (N, 2))}


@case(8)
def columns_of_floats(rng):
    m = bk.Model()
    x, b, c = m.data("x", dims="obs"), m.latent("b", bk.Normal(0, 1)), m.latent("c", bk.Normal(0, 1))
    m.observed("y", bk.Bernoulli(logit=c + b * (x - x.mean("obs"))), dims="obs")
    return m, {"x": rng.choice([-1.5, 0.25, 0.5, 3.0], N), "y": rng.integers(0, 2, N)}


@case(16)
def design_matrix(rng):
    m = bk.Model(coords={"k": 3})
    X, b = m.data("X", dims=("obs", "k")), m.latent("b", bk.Normal(0, 1), dims="k")
    m.observed("y", bk.Bernoulli(logit=X @ b), dims="obs")
    return m, {"X": rng.integers(0, 2, (N, 3)).astype(float), "y": rng.integers(0, 2, N)}


@case(60)
def counts_with_exposure(rng):
    m = bk.Model(coords={"g": 3})
    e, g, lam = m.data("e", dims="obs"), m.index("g", dims="obs"), m.latent("lam", bk.Gamma(2, 1), dims="g")
    m.observed("y", bk.Poisson(np.log(e) * lam[g]), dims="obs")
    return m, {"e": rng.choice([2.0, 4.0], N), "g": rng.integers(0, 3, N), "y": rng.poisson(1.0, N)}


@case(30)
def log_linear(rng):
    m = bk.Model(coords={"arm": 2})
    e, x = m.data("e", dims="obs"), m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 1), dims="arm"), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Poisson(e * np.exp(a + b * x)), dims=("arm", "obs"))
    return m, {"e": rng.choice([0.5, 4.0], N), "x": rng.choice([0, 1.5], N), "y": rng.poisson(0.5, (2, N))}


@case(32)
def softmax(rng):
    m = bk.Model(coords={"k": 3})
    x, b = m.data("x", dims="obs"), m.latent("b", bk.Normal(0, 1), dims="k")
    m.observed("y", bk.Categorical(logit=b * x), dims="obs")
    return m, {"x": rng.integers(0, 4, N), "y": rng.integers(0, 3, N)}


@case(30)
def probit(rng):
    from scipy.special import ndtr

    m = bk.Model()
    x, b = m.data("x", dims="obs"), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Binomial(4, ndtr(0.3 + b * x)), dims="obs")
    return m, {"x": rng.integers(-2, 3, N), "y": rng.integers(0, 5, N)}


@case(10)
def vectors(rng):
    m = bk.Model(coords={"k": 3})
    m.observed("y", bk.Multinomial(3, m.latent("p", bk.Dirichlet([1, 2, 1]), dims="k")), dims=("obs", "k"))
    return m, {"y": rng.multinomial(3, [0.2, 0.3, 0.5], N)}


@case(9)
def transitions(rng):
    m = bk.Model(coords={"s": 3, "t": 3})
    p = m.latent(
        "p",
        bk.Dirichlet(
            np.ones(3),
        ),
        dims=("s", "t"),
    )
    now = m.index("now", dims="obs", into="s")
    m.observed("next", bk.Categorical(p[now]), dims="obs")
    return m, {"now": rng.integers(0, 3, N), "next": rng.integers(0, 3, N)}


@case(5)
def missing(rng):
    m, data = scalar(rng)
    y = data["y"].astype(float)
    y[rng.integers(0, N, 20)] = np.nan
    return m, {"y": y}


@case(10)
def missing_in_plates(rng):
    m, data = plates_of_latents(rng)
    y = data["y"].astype(float)
    y[rng.random(y.shape) < 0.3] = np.nan
    return m, {"y": y}


@case(20)
def rounded(rng):
    m = bk.Model()
    m.observed("y", bk.Weibull(m.latent("a", bk.Gamma(4, 2)), 1.0), dims="obs")
    return m, {"y": rng.integers(1, 20, N) / 8}


def both(name):
    make, cells = CASES[name]
    m, data = make(np.random.default_rng(len(name)))
    whole = bind(m, [read(m, data, {})])
    return whole, reduce_rows(whole), cells


def states(problem, seed=1, batch=3):
    from bayeskit.testing import prior_state

    return prior_state(problem, batch, np.random.default_rng(seed))


def observed_cells(problem):
    names = {o.name for o in problem.observations}
    return sum(
        int(np.prod(f.shape))
        for f in problem.factors
        if f.name in names and not f.value.variables & problem.latents.keys()
    )


@pytest.mark.parametrize("name", CASES)
def test_the_joint_density_is_the_same(name):
    whole, reduced, cells = both(name)
    assert 0 < observed_cells(reduced) <= cells < observed_cells(whole) / 2
    state = states(whole)
    np.testing.assert_allclose(reduced.log_joint(state), whole.log_joint(state), rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_plan_and_the_evidence_are_the_same(name):
    whole, reduced, _ = both(name)
    before, after = make_plan(whole), make_plan(reduced)
    assert {n: t.split(" of '")[0] for n, t in before.notes.items()} == {
        n: t.split(" of '")[0] for n, t in after.notes.items()
    }
    if before.method == "exact":
        assert log_evidence(after) == pytest.approx(log_evidence(before), rel=1e-12)
        for a, b in zip(before.exact, after.exact, strict=True):
            for x, y in zip(a.naturals, b.naturals, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["two_indices", "columns_of_floats", "design_matrix", "log_linear", "softmax", "probit"]
)
def test_rows_of_cumulants_count_cells_as_often_as_they_occur(name):
    whole, reduced, _ = both(name)
    state = states(whole, batch=5)
    (factor,) = (f for f in reduced.factors if f.weight is not None)
    rows = linear_rows(reduced, factor, list(reduced.latents))
    np.testing.assert_allclose(rows.total(state), factor.total({**reduced.env, **state}), rtol=1e-11)
