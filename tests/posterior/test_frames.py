"""Figures of every number of a posterior at once: against scipy, quadrature and brute force, cell by cell."""

import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats
from scipy.special import betaln, gammaln, logsumexp

import bayeskit as bk
from bayeskit.errors import ModelError, RefusedError
from bayeskit.inference.collapsed.points import BulkCore

TAILS = [0.055, 0.945]


def beta_cells(n, y, coords=None, prior=None):
    m = bk.Model(coords=coords or {})
    p = m.latent("p", prior or bk.Beta(1, 1), dims="cell")
    m.observed("y", bk.Binomial(m.data("n", dims="cell"), p), dims="cell")
    return m.condition({"n": n, "y": y})


def assert_figures(table, distribution, rtol=1e-10):
    columns = {"mean": distribution.mean(), "sd": distribution.std()}
    columns["eti89_lb"], columns["eti89_ub"] = (distribution.ppf(q) for q in TAILS)
    assert list(table.columns[:4]) == list(columns)
    for name, values in columns.items():
        np.testing.assert_allclose(table[name], values, rtol=rtol, err_msg=name)


# ---- exact marginals ------------------------------------------------------------------------------------------------
def test_beta_cells_against_scipy_in_one_call():
    """20,000 cells of which many are alike: as many rows, in the order of the cells, under their labels."""
    rng = np.random.default_rng(1)
    n = rng.integers(0, 40, 20_000)
    y = rng.binomial(n, 0.3)
    labels = np.array([f"c{i}" for i in rng.permutation(20_000)])
    table = beta_cells(n, y, {"cell": labels}).to_dataframe("p")
    assert table.index.name == "cell" and list(table.index) == list(labels)
    assert_figures(table, stats.beta(1 + y, 1 + n - y))


def test_gamma_normal_and_t_cells_against_scipy():
    rng = np.random.default_rng(2)
    y, t = rng.poisson(3.0, 3000), rng.integers(1, 4, 3000).astype(float)
    m = bk.Model()
    rate = m.latent("rate", bk.Gamma(2, 3), dims="cell")
    m.observed("y", bk.Poisson(m.data("t", dims="cell") * rate), dims="cell")
    assert_figures(m.condition({"y": y, "t": t}).to_dataframe("rate"), stats.gamma(2 + y, scale=1 / (3 + t)))

    m = bk.Model()
    mu = m.latent("mu", bk.Normal(1, 2), dims="cell")
    m.observed("x", bk.Normal(mu, 3), dims="cell")
    x = rng.normal(size=3000)
    precision = 1 / 4 + 1 / 9
    expected = stats.norm((1 / 4 + x / 9) / precision, precision**-0.5)
    assert_figures(m.condition({"x": x}).to_dataframe("mu"), expected)

    m = bk.Model()
    s2 = m.latent("s2", bk.InverseGamma(3, 2))
    mu = m.latent("mu", bk.Normal(0, var=4 * s2), dims="cell")
    m.observed("x", bk.Normal(mu, var=s2), dims="cell")
    table = m.condition({"x": x}).to_dataframe("mu")
    rate = 2 + (x**2 / 5).sum() / 2  # x is normal with variance 5 s2
    shape = 3 + 1500
    assert_figures(table, stats.t(2 * shape, 0.8 * x, np.sqrt(rate / shape * 0.8)), rtol=1e-9)


def test_labels_of_two_dims_are_levels_and_coords():
    sites, years = ["north", "south"], [2001, 2002, 2003]
    y = np.array([[1, 2, 3], [4, 5, 6]])
    m = bk.Model(coords={"site": sites, "year": years})
    p = m.latent("p", bk.Beta(2, 1), dims=("site", "year"))
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Binomial(9, p), dims=("site", "year"))
    m.observed("x", bk.Normal(mu, 1))
    m.derived("twice", 2 * mu)
    posterior = m.condition({"y": y, "x": 1.0})
    table = posterior.to_dataframe("p")
    assert table.index.names == ["site", "year"]
    assert table.loc[("south", 2002), "mean"] == pytest.approx(7 / 12)
    both = posterior.to_dataframe()
    assert both.index.names == ["variable", "site", "year"] and len(both) == 8
    assert both.loc["p"].loc[("north", 2003), "mean"] == pytest.approx(5 / 12)
    assert both.loc["twice", "sd"].item() == pytest.approx(2**0.5)
    assert both.loc["mu"].index.get_level_values("site").isna().all()
    pd.testing.assert_frame_equal(posterior.to_dataframe(["mu", "p"]).loc[["p"]], both.loc[["p"]])

    dataset = posterior.to_dataset()
    assert dataset["p"].dims == ("summary", "site", "year")
    assert list(dataset["summary"].values) == list(both.columns)
    assert dataset["p"].sel(site="south", year=2001, summary="mean") == pytest.approx(6 / 12)
    summary = posterior.summary()
    np.testing.assert_array_equal(summary.to_numpy(), both.to_numpy()[[*range(6), 6, 7]])
    assert summary.index[0] == "p[north, 2001]"


def test_vectors_bear_their_categories():
    m = bk.Model(coords={"party": ["a", "b", "c"]})
    p = m.latent("p", bk.Dirichlet([1, 1, 1]), dims=("poll", "party"))
    m.observed("y", bk.Multinomial(10, p), dims=("poll", "party"))
    table = m.condition({"y": [[1, 2, 7], [10, 0, 0]]}).to_dataframe("p")
    assert table.index.names == ["poll", "party"]
    alpha = np.array([[2, 3, 8], [11, 1, 1]])
    assert_figures(table, stats.beta(alpha.ravel(), (13 - alpha).ravel()))


def test_columns_are_those_of_arviz():
    from arviz import summary

    posterior = beta_cells([5, 6], [2, 3])
    tree = posterior.sample(draws=50, seed=1)
    assert list(posterior.to_dataframe(prob=0.5).columns) == list(summary(tree, kind="stats", ci_prob=0.5).columns)


def test_names_that_are_not_there_and_probabilities_that_are_none():
    posterior = beta_cells([5], [2])
    with pytest.raises(ModelError, match="'q', while there are p"):
        posterior.to_dataframe("q")
    for prob in (0, 1, -0.1, 89, "0.9"):
        with pytest.raises(RefusedError, match="prob must be a probability"):
            posterior.to_dataset(prob=prob)
    with pytest.raises(RefusedError, match="prob must be a probability"):
        posterior.summary(prob=89)
    assert posterior.to_dataframe([]).shape == (0, 4)


# ---- pooling across cells: equal statistics are worked out once -----------------------------------------------------
def pooled(n, y, spread=10.0):
    m = bk.Model()
    a = m.latent("a", bk.Gamma(2, 0.5))
    p = m.latent("p", bk.Beta(a, spread), dims="cell")
    m.observed("y", bk.Binomial(m.data("n", dims="cell"), p), dims="cell")
    return m.condition({"n": n, "y": y})


def by_quadrature(n, y, spread=10.0):
    """Nodes of a on a fine grid, their weights, and the log evidence: every cell worked out by itself."""
    a = np.linspace(0.5, 6.0, 4001)[:, None]
    choose = gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)
    cells = choose + betaln(a + y, spread + n - y) - betaln(a, spread)
    logs = cells.sum(axis=1) + stats.gamma(2, scale=2).logpdf(a[:, 0])
    total = logsumexp(logs + np.log(a[1] - a[0]))
    return a, np.exp(logs - logsumexp(logs)), total


def test_pooled_cells_against_quadrature():
    rng = np.random.default_rng(3)
    n = rng.integers(5, 25, 400)
    y = rng.binomial(n, rng.beta(2, 12, 400))
    posterior = pooled(n, y)
    piece = posterior._plan.collapsed_of("p").pieces[0]
    assert piece.alike.classes < 150 and piece.alike.count.sum() == 400
    a, weights, evidence = by_quadrature(n, y)
    assert posterior.log_evidence() == pytest.approx(evidence, rel=1e-9)
    alpha, beta = a + y, 10.0 + n - y
    means = alpha / (alpha + beta)
    mean = weights @ means
    var = weights @ (alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1)) + (means - mean) ** 2)
    table = posterior.to_dataframe("p")
    np.testing.assert_allclose(table["mean"], mean, rtol=1e-8)
    np.testing.assert_allclose(table["sd"], var**0.5, rtol=1e-8)
    for name, tail in zip(["eti89_lb", "eti89_ub"], TAILS, strict=True):
        below = weights @ stats.beta(alpha, beta).cdf(table[name].to_numpy())
        np.testing.assert_allclose(below, tail, rtol=1e-7)
    marginal = posterior["p"]
    assert marginal.dims == ("cell",) and marginal.sample(3, seed=1).shape == (3, 400)
    at = xr.DataArray(np.full(400, 0.1), dims="cell")
    np.testing.assert_allclose(marginal.log_prob(at), np.log(weights @ stats.beta(alpha, beta).pdf(0.1)), rtol=1e-7)


def test_cells_that_are_alike_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    n = rng.integers(1, 12, (20, 15))
    y = rng.binomial(n, 0.2)
    data = {"n": n, "y": y, "t": rng.integers(1, 3, (20, 15)).astype(float), "k": rng.poisson(2, (20, 15))}

    def build():
        m = bk.Model()
        a, b = m.latent("a", bk.Gamma(2, 1)), m.latent("b", bk.Gamma(2, 0.2))
        p = m.latent("p", bk.Beta(a, b), dims=("row", "col"))
        m.observed("y", bk.Binomial(m.data("n", dims=("row", "col")), p), dims=("row", "col"))
        c = m.latent("c", bk.Gamma(2, 1))
        rate = m.latent("rate", bk.Gamma(c, 1.5), dims=("row", "col"))
        m.observed("k", bk.Poisson(m.data("t", dims=("row", "col")) * rate), dims=("row", "col"))
        return m.condition(data)

    posterior = build()
    cores = {core.core: core for core in posterior._plan.collapsed}
    piece = cores[("a", "b")].pieces[0]
    env = {**posterior._problem.env, "a": np.array([0.3, 2.0, 7e6]), "b": np.array([4.0, 1e-4, 3e9])}
    np.testing.assert_allclose(piece.log_marginal(env), piece.update.log_evidence(env), rtol=1e-12)
    exact = posterior.to_dataset("rate", exact=True)
    monkeypatch.setattr("bayeskit.inference.elimination.conjugate.together", lambda update: (None, None))
    plain = build()
    assert plain._plan.collapsed_of("p").pieces[0].alike is None
    xr.testing.assert_allclose(exact, plain.to_dataset("rate", exact=True), rtol=1e-9)
    assert posterior.log_evidence() == pytest.approx(plain.log_evidence(), abs=0.05)


def test_priors_that_differ_between_cells_are_not_merged():
    m = bk.Model()
    a = m.latent("a", bk.Gamma(2, 1))
    p = m.latent("p", bk.Beta(a * m.data("w", dims="cell"), 3), dims="cell")
    m.observed("y", bk.Binomial(4, p), dims="cell")
    w = np.repeat([0.5, 1.0, 2.0], 40)
    posterior = m.condition({"w": w, "y": np.tile([0, 1, 2, 3, 4], 24)})
    assert posterior._plan.collapsed_of("p").pieces[0].alike is None
    assert np.ptp(posterior.to_dataframe("p")["mean"].to_numpy()[[0, 40, 80]]) > 0.05


def test_one_of_each_class_is_drawn_for_all():
    """A core of two numbers: rows of cells that are alike are the same, and right within their Monte Carlo error."""
    rng = np.random.default_rng(5)
    n = rng.integers(5, 25, 300)
    y = rng.binomial(n, rng.beta(2, 12, 300))
    m = bk.Model(coords={"cell": [f"rat{i}" for i in range(300)]})
    a, b = m.latent("a", bk.Gamma(2, 0.5)), m.latent("b", bk.Gamma(4, 0.4))
    p = m.latent("p", bk.Beta(a, b), dims="cell")
    m.observed("y", bk.Binomial(m.data("n", dims="cell"), p), dims="cell")
    posterior = m.condition({"n": n, "y": y})
    assert isinstance(posterior._plan.collapsed_of("p"), BulkCore)
    table = posterior.to_dataframe(seed=1)
    assert list(table.columns[4:]) == ["ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd"]
    cells = table.loc["p"]
    assert (cells.groupby([n, y])["mean"].nunique() == 1).all() and (cells["mcse_mean"] > 0).all()
    assert len(posterior.summary(seed=1)) == 302 and posterior.summary(seed=1).index[2] == "p[rat0]"
    grid_a, grid_b = (g.reshape(-1, 1) for g in np.meshgrid(np.linspace(0.3, 8, 160), np.linspace(2, 50, 160)))
    logs = (betaln(grid_a + y, grid_b + n - y) - betaln(grid_a, grid_b)).sum(axis=1)
    logs += stats.gamma(2, scale=2).logpdf(grid_a[:, 0]) + stats.gamma(4, scale=2.5).logpdf(grid_b[:, 0])
    weights = np.exp(logs - logsumexp(logs))
    mean = weights @ ((grid_a + y) / (grid_a + grid_b + n))
    error = np.abs(cells["mean"] - mean) / cells["mcse_mean"]
    assert error.max() < 5 and error.mean() < 1.5
    with pytest.raises(RefusedError, match=r"exact=True cannot be honoured. 'a'"):
        posterior.to_dataframe(exact=True)
    drawn = posterior.sample(100, seed=1)
    from_tree = posterior.to_dataframe(tree=drawn)
    np.testing.assert_allclose(from_tree.loc["p", "mean"], drawn["posterior"]["p"].mean(["chain", "draw"]))


def test_what_is_drawn_whole_for_one_is_drawn_whole_for_all():
    """A derived quantity of the cells needs them all: the figures are then those of one tree."""
    rng = np.random.default_rng(6)
    n = np.full(60, 10)
    m = bk.Model()
    a, b = m.latent("a", bk.Gamma(2, 0.5)), m.latent("b", bk.Gamma(4, 0.4))
    p = m.latent("p", bk.Beta(a, b), dims="cell")
    m.observed("y", bk.Binomial(10, p), dims="cell")
    m.derived("total", p.sum("cell") * a)
    posterior = m.condition({"y": rng.binomial(n, 0.2)})
    table = posterior.to_dataframe(seed=3)
    tree = posterior.sample(seed=3)
    pd.testing.assert_frame_equal(table, posterior.to_dataframe(tree=tree))
    assert table.index.get_level_values("variable").unique().tolist() == ["a", "b", "p", "total"]


def test_mixtures_over_other_dims():
    from bayeskit.distributions.mixture import Mixture

    nodes = xr.DataArray([[0.0, 5.0], [2.0, 9.0]], dims=["mixture_node", "class"])
    two = Mixture(bk.Normal(nodes, 1), [1, 3])
    laid = two.over(xr.DataArray([[1, 0, 1]], dims=["x", "y"], coords={"y": list("abc")}))
    assert laid.dims == ("x", "y") and laid != two
    for name in ("mean", "sd"):
        np.testing.assert_array_equal(getattr(laid, name)()[0], getattr(two, name)().values[[1, 0, 1]])
    np.testing.assert_allclose(laid.quantile(0.3)[0], two.quantile(0.3).values[[1, 0, 1]], rtol=1e-12)
    np.testing.assert_allclose(laid.cdf(laid.quantile(0.3)), 0.3, rtol=1e-9)
    area = integrate.quad(lambda v: float(np.exp(laid.log_prob(v)[0, 1])), -9, 14)[0]
    assert area == pytest.approx(1, abs=1e-8)


# ---- size -----------------------------------------------------------------------------------------------------------
def test_cost_does_not_grow_with_cells_that_are_alike():
    """100,000 cells pooled by a core of two numbers: a second or so, where every cell drawn would take minutes."""
    rng = np.random.default_rng(7)
    n = rng.integers(1, 8, 100_000)
    m = bk.Model()
    a, b = m.latent("a", bk.Gamma(2, 0.5)), m.latent("b", bk.Gamma(4, 0.4))
    p = m.latent("p", bk.Beta(a, b), dims="cell")
    m.observed("y", bk.Binomial(m.data("n", dims="cell"), p), dims="cell")
    begun = time.process_time()
    table = m.condition({"n": n, "y": rng.binomial(n, rng.beta(2, 9, len(n)))}).to_dataframe("p", seed=1)
    assert len(table) == 100_000 and time.process_time() - begun < 10
