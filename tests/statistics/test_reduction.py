"""Rows that are alike become one cell with their number, and nothing else changes."""

import time

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.distributions.carrier import Carrier
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import Refusal, match
from bayeskit.inference.core.linear_rows import linear_rows
from bayeskit.inference.elementwise import elementwise
from bayeskit.inference.plan import make_plan
from bayeskit.inference.steps.scales import block_scale
from bayeskit.inference.structure import gaussian_latents
from bayeskit.model import checks, values
from bayeskit.model.binding import bind, read
from bayeskit.posterior.evidence import log_evidence
from bayeskit.posterior.labels import wrapper
from bayeskit.statistics import parts, reduction
from bayeskit.statistics.cells import Frame
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


@case(3)
def counts_with_exposure(rng):
    m = bk.Model(coords={"g": 3})
    e, g, lam = m.data("e", dims="obs"), m.index("g", dims="obs"), m.latent("lam", bk.Gamma(2, 1), dims="g")
    m.observed("y", bk.Poisson(np.log(e) * lam[g]), dims="obs")
    return m, {"e": rng.gamma(3.0, size=N) + 1, "g": rng.integers(0, 3, N), "y": rng.poisson(1.0, N)}


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


@case(3)
def trials(rng):
    m = bk.Model()
    n, g = m.data("n", dims="obs"), m.index("g", dims="obs")
    p = m.latent("p", bk.Beta(2, 3), dims="g")
    m.observed("y", bk.Binomial(n, p[g]), dims="obs")
    size = rng.integers(0, 1000, N)
    return m, {"n": size, "g": rng.choice(list("abc"), N), "y": rng.binomial(size, 0.3)}


@case(4)
def log_odds_in_plates(rng):
    m = bk.Model(coords={"arm": 2})
    n, x = m.data("n", dims=("arm", "obs")), m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 1), dims="arm"), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Binomial(n, logit=a + b * x), dims=("arm", "obs"))
    size = rng.integers(1, 9, (2, N))
    return m, {"n": size, "x": rng.choice([0.0, 1.5], N), "y": rng.binomial(size, 0.3)}


@case(1)
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


@case(10)
def rounded_and_missing(rng):
    m = bk.Model()
    m.observed("y", bk.Weibull(m.latent("a", bk.Gamma(4, 2)), 1.0), dims="obs")
    y = rng.integers(1, 10, N).astype(float)
    y[::7] = np.nan
    return m, {"y": y}


@case(3)
def normal(rng):
    m = bk.Model()
    mu, sigma = m.latent("mu", bk.StudentT(4, 0, 1)), m.latent("sigma", bk.HalfNormal(2))
    m.observed("y", bk.Normal(mu, sigma), dims="obs")
    return m, {"y": rng.normal(3.0, 2.0, N)}


@case(60)
def normal_block(rng):
    m = bk.Model(coords={"arm": 2})
    county, x = m.index("county", dims="obs"), m.data("x", dims="obs")
    a, b = m.latent("a", bk.Normal(0, 1), dims="county"), m.latent("b", bk.Normal(0, 1), dims="arm")
    sigma = m.latent("sigma", bk.HalfNormal(2), dims="county")
    m.observed("y", bk.Normal(a[county] + b * x, sigma[county]), dims=("obs", "arm"))
    data = {"county": rng.choice(list("abcde"), N), "x": rng.integers(0, 2, N) / 4}
    return m, data | {"y": rng.normal(3.0, 2.0, (N, 2))}


@case(12)
def normal_plates(rng):
    m = bk.Model(coords={"g": 4})
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 5), dims="g"), 0.7), dims=("g", "obs"))
    y = rng.normal(3.0, 2.0, (4, N))
    y[rng.random(y.shape) < 0.3] = np.nan
    y[1] = 2.5
    return m, {"y": y}


@case(6)
def common_scale(rng):
    m = bk.Model()
    x, tau = m.data("x", dims="obs"), m.latent("tau", bk.Gamma(2, 1))
    b = m.latent("b", bk.Normal(0, tau=tau))
    m.observed("y", bk.Normal(b * x, tau=tau), dims="obs")
    return m, {"x": rng.integers(0, 2, N), "y": 1e6 + rng.normal(size=N)}


@case(6)
def log_normal(rng):
    m = bk.Model(coords={"g": 2})
    g, mu = m.index("g", dims="obs"), m.latent("mu", bk.Normal(0, 1), dims="g")
    m.observed("y", bk.LogNormal(mu[g], m.latent("s", bk.InverseGamma(3, 2)) ** 0.5), dims="obs")
    return m, {"g": rng.integers(0, 2, N), "y": rng.lognormal(1.0, 2.0, N)}


@case(4)
def vectors_of_normals(rng):
    m = bk.Model(coords={"v": 2})
    T = m.latent("T", bk.Wishart(4, [[2.0, 0.5], [0.5, 1.0]]), dims="v")
    m.observed("y", bk.MvNormal(m.latent("mu", bk.MvNormal(0, tau=0.1 * T), dims="v"), tau=T), dims=("obs", "v"))
    return m, {"y": rng.normal(3.0, 2.0, (N, 2)) @ [[1.0, 0.3], [0.0, 0.5]]}


@case(48)
def vectors_in_plates(rng):
    m = bk.Model(coords={"v": 2, "g": 3})
    x, T = m.data("x", dims="obs"), m.latent("T", bk.Wishart(4, [[2.0, 0.5], [0.5, 1.0]]), dims="v")
    mu = m.latent("mu", bk.MvNormal(0, [[4.0, 1.0], [1.0, 4.0]]), dims=("g", "v"))
    m.observed("y", bk.MvNormal(mu * x, tau=T), dims=("g", "obs", "v"))
    return m, {"x": rng.choice([1.0, -0.5], N), "y": rng.normal(1.0, 2.0, (3, N, 2))}


@case(1)
def exponential(rng):
    m = bk.Model()
    m.observed("y", bk.Exponential(m.latent("lam", bk.Gamma(2, 1))), dims="obs")
    return m, {"y": rng.exponential(size=N)}


@case(1)
def half_normal(rng):
    m = bk.Model()
    m.observed("y", bk.HalfNormal(var=m.latent("v", bk.InverseGamma(2, 1))), dims="obs")
    return m, {"y": rng.exponential(size=N)}


@case(4)
def gamma(rng):
    m = bk.Model()
    shape, x = m.latent("shape", bk.Gamma(2, 1)), m.data("x", dims="obs")
    m.observed("y", bk.Gamma(shape, m.latent("rate", bk.Gamma(2, 1)) * x), dims="obs")
    return m, {"x": rng.choice([0.5, 2.0], N), "y": rng.gamma(0.5, size=N)}


@case(2)
def inverse_gamma(rng):
    m = bk.Model()
    m.observed("y", bk.InverseGamma(m.latent("shape", bk.Gamma(2, 1)), m.latent("b", bk.Gamma(2, 1))), dims="obs")
    return m, {"y": 1 / rng.gamma(0.5, size=N)}


def both(name):
    make, cells = CASES[name]
    m, data = make(np.random.default_rng(len(name)))
    whole = bind(m, [read(m, data, {})])
    return whole, reduce_rows(whole), cells


def states(problem, seed=1, batch=3):
    from bayeskit.testing import prior_state

    return prior_state(problem, batch, np.random.default_rng(seed))


def in_cells(problem):
    """The one factor whose rows are in cells."""
    (factor,) = (f for f in problem.factors if any(p.endswith("@cells") for p in f.plates))
    return factor


def constant(problem):
    """What rows that were added up have beside the sums."""
    return sum(float(f.total({})[0]) for f in problem.factors if isinstance(f.distribution, Carrier))


@pytest.mark.parametrize("name", CASES)
def test_the_joint_density_is_the_same(name):
    whole, reduced, cells = both(name)
    assert int(np.prod(in_cells(reduced).shape)) <= cells < N / 2
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
        for name in set(whole.latents) - set(before.forward):
            a, b = (p.component_of(name).marginal(name, wrapper(whole, name)) for p in (before, after))
            np.testing.assert_allclose(a.mean(), b.mean(), rtol=1e-11)
            np.testing.assert_allclose(a.sd(), b.sd(), rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_every_conditional_is_the_same(name):
    whole, reduced, _ = both(name)
    envs = [{**p.env, **states(whole)} for p in (whole, reduced)]
    for latent in whole.latents:
        for read_as in (elementwise, match):
            one, other = (read_as(p, latent) for p in (whole, reduced))
            assert type(one) is type(other)
            if isinstance(one, Refusal):
                assert str(one) == str(other)
            elif read_as is elementwise:
                a, b = (r.log_density(env) for r, env in zip((one, other), envs, strict=True))
                np.testing.assert_allclose(b - b[0], a - a[0], rtol=1e-10, atol=1e-10)
            else:
                for a, b in zip(one.naturals(envs[0]), other.naturals(envs[1]), strict=True):
                    np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)
                after = other.log_evidence(envs[1]) + constant(reduced)
                np.testing.assert_allclose(after, one.log_evidence(envs[0]), rtol=1e-11)


@pytest.mark.parametrize(
    "name", ["normal_block", "normal_plates", "common_scale", "log_normal", "vectors_of_normals", "vectors_in_plates"]
)
def test_gaussian_blocks_are_the_same(name):
    whole, reduced, _ = both(name)
    names, _ = gaussian_latents(whole, [n for n, latent in whole.latents.items() if latent.missing_from is None])
    blocks = [GaussianBlock(p, names) for p in (whole, reduced)]
    state = states(whole)
    one, other = (b.log_marginal({**b.problem.env, **state}) for b in blocks)
    np.testing.assert_allclose(other, one, rtol=1e-10)
    for latent in whole.latents.keys() - set(names):
        one, other = (block_scale(b.problem, latent, b) for b in blocks)
        assert getattr(one, "label", str(one)) == getattr(other, "label", str(other))


@pytest.mark.parametrize(
    "name",
    ["two_indices", "columns_of_floats", "design_matrix", "log_linear", "log_odds_in_plates", "softmax", "probit"],
)
def test_rows_of_cumulants_count_cells_as_often_as_they_occur(name):
    whole, reduced, _ = both(name)
    state = states(whole, batch=5)
    factor = in_cells(reduced)
    rows = linear_rows(reduced, factor, list(reduced.latents))
    np.testing.assert_allclose(rows.total(state), factor.total({**reduced.env, **state}), rtol=1e-11)


# ---- batches of data ------------------------------------------------------------------------------------------------
def cut(data, places):
    """Some rows of a batch; arms, groups and entries of vectors are not rows."""
    return {
        n: np.asarray(v).take(places, axis=int(np.argmax(np.asarray(v).shape)) if np.ndim(v) else 0)
        for n, v in data.items()
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("name", [n for n in CASES if n != "columns_of_floats"])  # whose mean differs between batches
def test_updates_in_any_order_say_what_all_data_say(name, order):
    make, _ = CASES[name]
    m, data = make(np.random.default_rng(len(name)))
    pieces = np.split(np.arange(N), [250, 280])
    posterior = m.condition(cut(data, pieces[order[0]]))
    for k in order[1:]:
        posterior = posterior.update(cut(data, pieces[k]))
    apart, together = posterior._problem, m.condition(data)._problem
    names = [n for n, latent in together.latents.items() if latent.missing_from is None]
    state = states(together)
    moved = {}
    for n in names:
        index = [
            [apart.coords[d].tolist().index(v) for v in together.coords[d].tolist()]
            for d in together.latents[n].variable.dims
        ]
        moved[n] = np.empty_like(state[n])
        moved[n][np.ix_(range(3), *index)] = state[n]

    def total(problem, values):
        open_ = {n for n, latent in problem.latents.items() if latent.missing_from is not None}
        env = {**problem.env, **values}
        return sum(f.total(env) for f in problem.factors if not f.variables & open_)

    np.testing.assert_allclose(total(apart, moved), total(together, {n: state[n] for n in names}), rtol=1e-11)
    assert in_cells(apart).shape == in_cells(together).shape


def test_an_update_looks_at_its_own_rows_alone(monkeypatch):
    m, data = indexed(np.random.default_rng(0))
    posterior = m.condition(data)
    scanned, framed = [], []
    monkeypatch.setattr(checks, "scan", seen(checks.scan, scanned))
    monkeypatch.setattr(values, "scan", seen(values.scan, scanned))
    for module in (parts, reduction):
        monkeypatch.setattr(module, "Frame", lambda *a: framed.append(a[0]) or Frame(*a))
    posterior = posterior.update({"county": ["a", "c"], "y": [0, 1]})
    assert max(scanned) == 2
    assert framed == [(2,), (12,)]  # the new rows, and their cells with those of before
    posterior.update({"county": ["new"], "y": [0]})  # what a label changes is of the size of the cells
    assert max(scanned) == 2


def seen(function, sizes):
    def noted(array, **options):
        sizes.append(array.size)
        return function(array, **options)

    return noted


def test_regressors_that_never_repeat_stay_rows():
    rng = np.random.default_rng(0)
    m = bk.Model()
    x, b = m.data("x", dims="obs"), m.latent("b", bk.Normal(0, 1))
    m.observed("y", bk.Bernoulli(logit=b * x), dims="obs")
    posterior = m.condition({"x": rng.normal(size=5000), "y": rng.integers(0, 2, 5000)})
    for _ in range(3):
        posterior = posterior.update({"x": rng.normal(size=3000), "y": rng.integers(0, 2, 3000)})
    assert [f.shape for f in posterior._problem.factors if f.name == "y"] == [(5000,), (3000,), (3000,), (3000,)]
    assert posterior._reduction._groups["y"][0].whole is None  # three batches of 3000 are not carried along


def test_counts_that_are_added_up_stay_whole():
    m, data = trials(np.random.default_rng(3))
    factor = in_cells(m.condition(data)._problem)
    n, y = (np.asarray(e.evaluate(m.condition(data)._problem.env))[0] for e in (factor.parameter("n"), factor.value))
    groups = [data["g"] == g for g in "abc"]
    assert n.tolist() == [data["n"][g].sum() for g in groups]
    assert y.tolist() == [data["y"][g].sum() for g in groups]


# ---- what stays row by row ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["missing_in_plates", "two_indices", "normal_plates", "vectors"])
def test_log_likelihood_and_observed_data_are_row_by_row(name):
    make, _ = CASES[name]
    m, data = make(np.random.default_rng(len(name)))
    (y,) = (n for n, r in m.random.items() if r.observed)
    tree = m.condition(data).sample(draws=3, chains=2, seed=1, include=["log_likelihood", "posterior_predictive"])
    np.testing.assert_array_equal(tree["observed_data"][y].values, data[y])
    assert tree["posterior_predictive"][y].shape == (2, 3, *np.shape(data[y]))
    whole = bind(m, [read(m, data, {})])
    (o,) = whole.observations
    env = {**whole.env, **{n: tree["posterior"][n].values.reshape(6, *v.shape) for n, v in whole.latents.items()}}
    np.testing.assert_allclose(
        tree["log_likelihood"][y].values.reshape(6, -1), o.known.log_prob(env).reshape(6, -1), rtol=1e-12
    )


# ---- sums -----------------------------------------------------------------------------------------------------------
def test_sums_keep_their_digits_far_from_zero():
    """In the manner of NIST's NumAcc4: a mean of 1e7 beside deviations of 0.1, in binary so that they are exact."""
    y = 1e7 + np.tile([0.125, -0.125], 50_000)
    m = bk.Model()
    tau = m.latent("tau", bk.Gamma(1, 1))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(1e7, tau=tau)), tau=tau), dims="obs")
    posterior = m.condition({"y": y + 0.0625})
    assert in_cells(posterior._problem).shape == (3,)
    rate = 1 + 0.5 * (1e5 / 64 + 0.0625**2 * 1e5 / (1e5 + 1))
    assert float(posterior["tau"].mean()) == pytest.approx((1 + 5e4) / rate, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Normal", "Bernoulli", "Categorical"])
def test_condition_takes_three_passes_at_most(family):
    """Against one pass in chunks that checks the support and makes the same sums."""
    rng, m = np.random.default_rng(0), bk.Model(coords={"k": 10})
    y = (
        rng.normal(size=4_000_000)
        if family == "Normal"
        else rng.integers(0, 2 + 8 * (family == "Categorical"), 4_000_000)
    )
    child = {
        "Normal": lambda: bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1),
        "Bernoulli": lambda: bk.Bernoulli(m.latent("p", bk.Beta(1, 1))),
        "Categorical": lambda: bk.Categorical(m.latent("p", bk.Dirichlet(np.ones(10)), dims="k")),
    }[family]
    m.observed("y", child(), dims="obs")
    sums = {
        "Normal": lambda c: (np.isfinite(c).all(), c.sum(), c @ c),
        "Bernoulli": lambda c: (((c == 0) | (c == 1)).all(), c.sum()),
        "Categorical": lambda c: (((c >= 0) & (c < 10)).all(), np.bincount(c, minlength=10)),
    }[family]

    def spent(function):
        times = []
        for _ in range(7):
            start = time.perf_counter()  # the threads of a BLAS wait busily: processor time counts that too
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    m.condition({"y": y[:100]})
    plain = spent(lambda: [sums(y[i : i + 65_536]) for i in range(0, y.size, 65_536)])
    assert spent(lambda: m.condition({"y": y})) < 3.5 * plain
