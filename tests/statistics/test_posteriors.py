"""Posteriors of statistics: update, remove, discount, whatever the method; single rows are never made up."""

import time

import numpy as np
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit.errors import DataError, RefusedError
from bayeskit.inference.conjugacy import Refusal, match
from bayeskit.inference.elementwise import elementwise
from tests.statistics.summary_cases import CASES, made, states

rng = np.random.default_rng(5)


def radon():
    m = bk.Model()
    county, x = m.index("county", dims="obs"), m.data("x", dims="obs")
    s_a, s_y = m.latent("s_a", bk.HalfNormal(5)), m.latent("s_y", bk.HalfNormal(5))
    a = m.latent("a", bk.Normal(m.latent("mu", bk.Normal(0, 10)), s_a), dims="county")
    m.observed("y", bk.Normal(a[county] + m.latent("b", bk.Normal(0, 10)) * x, s_y), dims="obs")
    return m


def rows(n, labels="abcdefgh"):
    return {"county": rng.choice(list(labels), n), "x": rng.normal(size=n), "y": rng.normal(1.0, 1.0, n)}


def together(*parts):
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}


def moments(tree):
    post = tree["posterior"].to_dataset()
    mean, se = post.mean(["chain", "draw"]), {}
    for n in post.data_vars:
        import arviz as az

        se[n] = post[n].std(["chain", "draw"]) / np.sqrt(az.ess(post[[n]])[n])
    return mean, se


@pytest.mark.parametrize(
    "method", ["gibbs", *(pytest.param(n, marks=pytest.mark.slow) for n in ("auto", "metropolis"))]
)
def test_a_sampled_posterior_updates_and_removes(method):
    early, late, wrong = (rows(n, "abcd") for n in (40, 30, 10))
    m = radon()
    whole = m.condition(together(early, late))
    found = m.condition(together(early, wrong)).update(m.summarize(late)).remove(wrong)
    state = states(whole._problem)
    np.testing.assert_allclose(found._problem.log_joint(state), whole._problem.log_joint(state), rtol=1e-10)
    (a, s), (b, t) = (
        moments(p.sample(300, tune=200 if method == "gibbs" else 1000, chains=4, seed=1, method=method, progress=False))
        for p in (whole, found)
    )
    for n in a.data_vars:
        assert (abs(a[n] - b[n]) < 5 * np.hypot(s[n], t[n])).all(), n


def test_a_discount_under_gibbs_is_that_of_the_closed_form():
    m = bk.Model()
    v = m.latent("v", bk.InverseGamma(3, 2))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 3)), var=v), dims="obs")
    half = m.condition({"y": rng.normal(1.0, 2.0, 30)}).discount(0.35)
    tree = half.sample(4000, chains=4, seed=2, method="gibbs", progress=False)
    mean, se = moments(tree)
    grid = np.linspace(0.05, 40, 8001)  # quadrature over v, with mu integrated in closed form
    y = half.statistics.tables["y"].sums
    n, ybar, S = float(y.count[0]), float(y.means()[0, 0, 0]), float(y.centred()[0, 0, 0])
    log = -4 * np.log(grid) - 2 / grid - 0.5 * n * np.log(grid) - 0.5 * S / grid
    log += 0.5 * np.log(grid / n) - 0.5 * np.log(grid / n + 9) - 0.5 * ybar**2 / (grid / n + 9)
    w = np.exp(log - log.max())
    w /= w.sum()
    expected = {"v": w @ grid, "mu": w @ (ybar * 9 / (9 + grid / n))}
    for name, value in expected.items():
        assert abs(float(mean[name]) - value) < 5 * float(se[name])


@pytest.mark.parametrize("name", [n for n in CASES if n != "heavy_tails"])
def test_conditionals_are_affine_in_the_weight(name):
    """Natural parameters are the prior's and w times those of the rows."""
    m, data = made(name)
    a = m.summarize(data)
    problems = [m.condition(w * a)._problem for w in (0.3, 0.6, 0.9)]
    state = states(problems[0])
    envs = [{**p.env, **state} for p in problems]
    for latent in problems[0].latents:
        read = [match(p, latent) for p in problems]
        if not isinstance(read[0], Refusal):
            naturals = [r.naturals(e) for r, e in zip(read, envs, strict=True)]
            for one, two, three in zip(*naturals, strict=True):
                np.testing.assert_allclose(three - two, two - one, rtol=1e-9, atol=1e-9 * np.abs(three).max())
        read = [elementwise(p, latent) for p in problems]
        if not isinstance(read[0], Refusal):
            one, two, three = (r.log_density(e) for r, e in zip(read, envs, strict=True))
            np.testing.assert_allclose(
                (three - two) - (three - two)[0], (two - one) - (two - one)[0], rtol=1e-9, atol=1e-8
            )


# ---- single rows ----------------------------------------------------------------------------------------------------
def test_what_asks_about_single_rows_is_refused():
    m = radon()
    data = rows(40)
    posterior = m.condition(m.summarize(data))
    for group in ("log_likelihood", "posterior_predictive"):
        with pytest.raises(RefusedError, match=f"The group '{group}' must be asked of single rows"):
            posterior.sample(10, include=group)
        with pytest.raises(RefusedError, match="must be asked of single rows"):
            m.condition(data).update(m.summarize(data)).sample(10, include=group)
    with pytest.raises(RefusedError, match="Replicated data must be asked of single rows"):
        posterior.predict()
    with pytest.raises(RefusedError, match="same data must be asked of single rows"):
        bk.bayes_factor(posterior, m.condition(data))


def test_new_rows_are_predicted_from_statistics():
    m = bk.Model()
    g = m.index("g", dims="obs")
    m.observed("y", bk.Normal(m.latent("a", bk.Normal(0, 10), dims="g")[g], 1.0), dims="obs")
    data = {"g": list("aabb"), "y": [1.0, 2.0, 10.0, 11.0]}
    for posterior in (m.condition(data), m.condition(m.summarize(data)), m.condition(data).remove(y=[2.0], g=["a"])):
        tree = posterior.predict({"g": ["b", "a"]}).sample(seed=1)
        drawn = tree["predictions"]["y"].mean(["chain", "draw"]).values
        np.testing.assert_allclose(drawn, posterior["a"].mean().values[[1, 0]], atol=0.15)


def test_a_tree_of_statistics_holds_the_draws():
    m = radon()
    tree = m.condition(m.summarize(rows(40))).sample(20, chains=2, seed=1, include=("log_prior", "prior"))
    assert {"posterior", "sample_stats", "prior", "log_prior"} <= set(tree.children)
    assert "observed_data" not in tree.children
    assert "From statistics" in tree["posterior"].attrs["explain"]


# ---- what statistics say of themselves ------------------------------------------------------------------------------
def test_explain_and_print_say_how_many_rows_and_cells():
    m = radon()
    statistics = m.summarize(rows(500))
    line = "y[obs] ~ Normal(a[county] + b * x, s_y)  500 rows in 8 cells; means and sums of products with x"
    assert repr(statistics) == "SufficientStatistics\n  " + line
    assert m.condition(statistics).explain().endswith("From statistics:\n  " + line)
    m = bk.Model()
    m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(1, 1))), dims="obs")
    many = {"y": np.arange(2500) % 2}
    assert m.condition(many).explain().endswith("\n2,500 rows of 'y' came down to 2 cells.")
    assert "came down" not in m.condition({"y": [0, 1, 1]}).explain()
    m, data = made("heavy_tails")
    assert "rows, merged where equal (there are no sufficient statistics)" in repr(m.summarize(data))
    assert m.condition(data).discount(0).explain()


@pytest.mark.parametrize(
    "name", ["normal", "regression", "regression_in_groups", "scalar", "trials", "gamma", "vectors"]
)
def test_the_size_does_not_grow_with_rows(name):
    m, data = made(name)
    once = m.summarize(data)
    twice = m.summarize(data) + m.summarize({n: v[::-1] for n, v in data.items()})
    assert twice.rows["y"] == 2 * once.rows["y"] if "y" in once.rows else True
    assert twice.cells == once.cells


def test_an_update_costs_nothing_that_grows_with_earlier_rows():
    m = bk.Model()
    g, x, v = m.index("g", dims="obs"), m.data("x", dims="obs"), m.latent("v", bk.InverseGamma(3, 2))
    a = m.latent("a", bk.Normal(0, var=100 * v), dims="g")
    m.observed("y", bk.Normal(a[g] + m.latent("b", bk.Normal(0, var=100 * v)) * x, var=v), dims="obs")

    def data(n):
        return {"g": np.arange(n) % 5, "x": rng.normal(size=n), "y": rng.normal(size=n)}

    small, large = m.condition(m.summarize(data(100))), m.condition(m.summarize(data(300_000)))
    batch = data(10)
    took = {}
    for _ in range(5):  # interleaved, and the best of each: other work on the machine only ever adds
        for key, posterior in (("small", small), ("large", large)):
            start = time.perf_counter()
            posterior.update(m.summarize(batch))["b"].mean()
            took[key] = min(took.get(key, np.inf), time.perf_counter() - start)
    assert took["large"] < 2 * took["small"]


# ---- numbers far from zero ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("far", [1e4, 1e6, 1e8])
def test_rows_far_from_zero_keep_their_digits(far):
    m = bk.Model(coords={"k": 2})
    X, v = m.data("X", dims=("obs", "k")), m.latent("v", bk.InverseGamma(3, 2))
    b = m.latent("b", bk.Normal(0, var=1e4 * v), dims="k")
    m.observed("y", bk.Normal(X @ b, var=v), dims="obs")
    data = {"X": np.stack([np.ones(40), rng.normal(size=40)], axis=1)}
    data["y"] = np.round(far + data["X"][:, 1] + rng.normal(size=40), 3)
    rows, cells = m.condition(data), m.condition(m.summarize(data))
    from fractions import Fraction

    design = [[Fraction(v) for v in row] for row in np.column_stack([data["X"], data["y"]])]
    G = [[sum(r[i] * r[j] for r in design) for j in range(3)] for i in range(3)]
    A = [[G[i][j] + (Fraction(1, 10_000) if i == j else 0) for j in range(2)] for i in range(2)]
    det = A[0][0] * A[1][1] - A[0][1] ** 2
    mean = [(A[1][1] * G[0][2] - A[0][1] * G[1][2]) / det, (A[0][0] * G[1][2] - A[0][1] * G[0][2]) / det]
    rest = G[2][2] - mean[0] * G[0][2] - mean[1] * G[1][2]
    expected = float((2 + rest / 2) / (3 + 20 - 1))  # the mean of v in exact arithmetic
    for posterior in (rows, cells):
        np.testing.assert_allclose(posterior["b"].mean(), [float(b) for b in mean], rtol=1e-9)
        assert float(posterior["v"].mean()) == pytest.approx(expected, rel=1e-9)


def test_a_spread_that_floats_cannot_hold_is_refused():
    m = radon()
    data = rows(40) | {"x": 1e12 + np.arange(40) % 3 * 1e-4}
    with pytest.raises(RefusedError, match="lies far from zero beside its spread"):
        m.condition(m.summarize(data))


# ---- models and data that have none ---------------------------------------------------------------------------------
def test_models_whose_rows_do_not_stand_for_themselves():
    m = bk.Model(coords={"t": 4})
    level = m.latent("level", bk.Normal(0, 1), dims="t").cumsum("t")
    m.observed("y", bk.Normal(level, 1.0), dims="t")
    with pytest.raises(RefusedError, match="takes them together along 't'"):
        m.summarize({"y": [1.0, 2.0, 3.0, 4.0]})
    m = bk.Model()
    x = m.data("x", dims="obs")
    m.observed("y", bk.Normal(m.latent("b", bk.Normal(x.mean("obs"), 1)), 1.0), dims="obs")
    with pytest.raises(RefusedError, match="depends on 'x' over"):
        m.summarize({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    m = bk.Model()
    g = m.index("g", dims="obs")
    m.observed("y", bk.Normal(m.latent("b", bk.Normal(0, 1)) * g, 1.0), dims="obs")
    with pytest.raises(RefusedError, match="how labels are numbered"):
        m.summarize({"g": ["a", "b"], "y": [3.0, 4.0]})


def test_data_that_have_none():
    m = radon()
    data = rows(10)
    with pytest.raises(RefusedError, match="Got 1 missing entries"):
        m.summarize(data | {"y": [np.nan, *data["y"][1:]]})
    with pytest.raises(DataError, match="no data for 'y'"):
        m.summarize({n: data[n] for n in ("county", "x")})
    with pytest.raises(DataError, match="a posterior without data"):
        m.condition({"county": data["county"]}).discount(0.5)
    with pytest.raises(DataError, match="Got 'x' beside them"):
        m.condition(m.summarize(data), x=[1.0])
    with pytest.raises(DataError, match="must not be empty"):
        m.summarize({n: [] for n in data})


def test_latents_whose_values_are_given():
    m = radon()
    data = rows(40)
    a = m.summarize(data | {"s_y": 1.0, "s_a": 2.0})
    found, expected = m.condition(a), m.condition(data | {"s_y": 1.0, "s_a": 2.0})
    assert found.is_exact
    np.testing.assert_allclose(found["a"].mean(), expected["a"].mean(), rtol=1e-10)
    with pytest.raises(DataError, match="must hold the same known latents"):
        a + m.summarize(data)
    with pytest.raises(DataError, match="must hold the same values of 's_y'"):
        a + m.summarize(data | {"s_y": 3.0, "s_a": 2.0})


def test_a_dim_of_every_row_must_have_the_same_labels():
    m = bk.Model()
    X, b = m.data("X", dims=("obs", "k")), m.latent("b", bk.Normal(0, 1), dims="k")
    m.observed("y", bk.Normal(X @ b, 1.0), dims="obs")

    def data(labels):
        return {"X": xr.DataArray(rng.normal(size=(5, 2)), dims=("obs", "k"), coords={"k": labels}), "y": np.ones(5)}

    with pytest.raises(DataError, match="must have the same labels along 'k'"):
        m.summarize(data(["p", "q"])) + m.summarize(data(["p", "r"]))
