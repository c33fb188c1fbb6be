"""Shares of the cells of a table, jointly or as a product of margins: against the formula, quadrature and a sweep."""

from __future__ import annotations

import pickle

import arviz as az
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import gammaln

import bayeskit as bk
from bayeskit.errors import ParameterError, SupportError

Y = np.array([[3, 0, 5], [2, 4, 1]])
N = int(Y.sum())
ALPHA = np.array([[1.0, 0.5, 2.0], [3.0, 1.0, 0.7]])
R, C = np.array([1.5, 0.8]), np.array([1.0, 2.0, 0.5])


def coefficient(y):
    return gammaln(np.sum(y) + 1) - gammaln(np.asarray(y) + 1).sum()


def gain(alpha, y):
    """The log of the integral of prod p**y under a Dirichlet."""

    def normaliser(a):
        return gammaln(a).sum() - gammaln(a.sum())

    return normaliser(alpha + y) - normaliser(alpha)


# ---- the families ---------------------------------------------------------------------------------------------------
def test_dirichlet_over_a_table():
    d, flat = bk.Dirichlet(ALPHA), bk.Dirichlet(ALPHA.ravel())
    x = d.sample(7, seed=1)
    assert x.dims == ("draw", "event", "event_") and d.event_ndim == 2
    np.testing.assert_allclose(x.values.sum(axis=(1, 2)), 1.0)
    cells = x.values.reshape(7, 6)
    np.testing.assert_allclose(d.log_prob(x), flat.log_prob(cells), rtol=1e-12)
    for answer in ("mean", "var", "mode"):
        np.testing.assert_allclose(getattr(d, answer)().values.ravel(), getattr(flat, answer)().values, rtol=1e-12)
    np.testing.assert_allclose(d.cdf(x[0]).values.ravel(), flat.cdf(cells[0]), rtol=1e-12)
    np.testing.assert_allclose(d.quantile([0.1, 0.9]).values.reshape(6, 2), flat.quantile([0.1, 0.9]), rtol=1e-12)
    assert pickle.loads(pickle.dumps(d)) == d and str(d) == "Dirichlet([[1.0, 0.5, 2.0], [3.0, 1.0, 0.7]])"


@pytest.mark.parametrize("name", ["p", "logit"])
def test_multinomial_over_a_table(name):
    p = ALPHA / ALPHA.sum()
    d = bk.Multinomial(9, **{name: p if name == "p" else np.log(ALPHA)})
    x = d.sample(5, seed=2)
    assert x.dims == ("draw", "event", "event_")
    expected = stats.multinomial(9, p.ravel()).logpmf(x.values.reshape(5, 6))
    np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-10)
    np.testing.assert_allclose(d.mean(), 9 * p, rtol=1e-12)
    np.testing.assert_allclose(d.eti(0.5).values[..., 1], stats.binom(9, p).ppf(0.75))
    assert pickle.loads(pickle.dumps(d)) == d
    with pytest.raises(ParameterError, match="sum to 1"):
        bk.Multinomial(9, np.ones((2, 3)))
    with pytest.raises(ParameterError, match="zero or positive"):
        bk.Dirichlet([[1.0, -1.0]])


# ---- a joint table --------------------------------------------------------------------------------------------------
def joint():
    m = bk.Model(coords={"sex": ["f", "m"]})
    p = m.latent("p", bk.Dirichlet(ALPHA), dims=("sex", "party"))
    m.observed("y", bk.Multinomial(N, p), dims=("sex", "party"))
    m.derived("by_sex", p.sum("party"))
    return m


def test_joint_table():
    posterior = joint().condition({"y": Y})
    assert "exact; conjugate: Dirichlet" in posterior.explain()
    p = posterior["p"]
    assert p.dims == ("sex", "party") and p.mean().coords["sex"].values.tolist() == ["f", "m"]
    np.testing.assert_allclose(p.canonical["alpha"], ALPHA + Y)
    assert posterior.log_evidence() == pytest.approx(coefficient(Y) + gain(ALPHA.ravel(), Y.ravel()), rel=1e-11)
    total = (ALPHA + Y).sum(axis=1)
    np.testing.assert_allclose(posterior["by_sex"].quantile(0.9), stats.beta(total, total[::-1]).ppf(0.9), rtol=1e-9)
    drawn = posterior.sample(2000, seed=1)["posterior"]["p"].values.reshape(-1, 2, 3)
    assert np.all(np.abs(drawn.mean(axis=0) - p.mean()) < 5 * drawn.std(axis=0) / np.sqrt(len(drawn)))
    again = posterior.update({"y": Y})
    np.testing.assert_allclose(again["p"].canonical["alpha"], ALPHA + 2 * Y)


COUNTS = np.array([[3, 1, 4], [2, 4, 1]])


@pytest.mark.slow
def test_joint_table_is_moved_too():
    """Metropolis on the unconstrained scale."""
    posterior = joint().condition({"y": COUNTS})
    tree = posterior.sample(2000, tune=1500, method="metropolis", seed=2)["posterior"]
    error = tree["p"].mean(("chain", "draw")).values - posterior["p"].mean().values
    assert np.all(np.abs(error) < 5 * az.mcse(tree)["p"].values)


def test_mode_of_a_table():
    posterior, alpha = joint().condition({"y": COUNTS}), ALPHA + COUNTS
    np.testing.assert_allclose(posterior.mode().values["p"], (alpha - 1) / (alpha - 1).sum(), atol=1e-5)
    np.testing.assert_allclose(posterior.mode("unconstrained").values["p"], alpha / alpha.sum(), atol=1e-5)


def test_tables_by_group():
    m = bk.Model(coords={"year": 4})
    n = m.data("n", dims="year")
    p = m.latent("p", bk.Dirichlet(ALPHA), dims=("r", "c"))
    m.observed("y", bk.Multinomial(n, p), dims=("year", "r", "c"))
    counts = np.stack([Y, 2 * Y, Y[::-1], 0 * Y])
    posterior = m.condition({"n": counts.sum(axis=(1, 2)), "y": counts})
    np.testing.assert_allclose(posterior["p"].canonical["alpha"], ALPHA + counts.sum(axis=0))
    expected = sum(coefficient(y) for y in counts) + gain(ALPHA.ravel(), counts.sum(axis=0).ravel())
    assert posterior.log_evidence() == pytest.approx(expected, rel=1e-11)


# ---- products -------------------------------------------------------------------------------------------------------
def independent(long: bool = False):
    m = bk.Model(coords={"row": ["a", "b"], "col": ["x", "y", "z"]})
    r, c = m.latent("r", bk.Dirichlet(R), dims="row"), m.latent("c", bk.Dirichlet(C), dims="col")
    if long:
        i, j = m.index("i", dims="cell", into="row"), m.index("j", dims="cell", into="col")
        m.observed("y", bk.Multinomial(N, r[i] * c[j]), dims="cell")
    else:
        m.observed("y", bk.Multinomial(N, r * c), dims=("row", "col"))
    return m


def test_independence():
    posterior = independent().condition({"y": Y})
    text = posterior.explain()
    assert "method: exact" in text and "of 'y' summed over col" in text and "of 'y' summed over row" in text
    np.testing.assert_allclose(posterior["r"].canonical["alpha"], R + Y.sum(axis=1))
    np.testing.assert_allclose(posterior["c"].canonical["alpha"], C + Y.sum(axis=0))
    expected = coefficient(Y) + gain(R, Y.sum(axis=1)) + gain(C, Y.sum(axis=0))
    assert posterior.log_evidence() == pytest.approx(expected, rel=1e-11)


def test_evidence_of_independence_by_quadrature():
    """Two by two, the integral over both shares as it stands."""
    y = np.array([[2, 1], [0, 3]])
    m = bk.Model()
    r, c = m.latent("r", bk.Dirichlet([1.5, 2.0]), dims="i"), m.latent("c", bk.Dirichlet([1.0, 0.8]), dims="j")
    m.observed("y", bk.Multinomial(6, r * c), dims=("i", "j"))

    def at(v, u):
        p = np.outer([u, 1 - u], [v, 1 - v]).ravel()
        return stats.multinomial(6, p).pmf(y.ravel()) * stats.beta.pdf(u, 1.5, 2.0) * stats.beta.pdf(v, 1.0, 0.8)

    expected = np.log(integrate.dblquad(at, 0, 1, 0, 1, epsabs=1e-11)[0])
    assert m.condition({"y": y}).log_evidence() == pytest.approx(expected, abs=1e-6)


def test_joint_density_is_kept():
    """The margins have the density of the cells, at any shares."""
    posterior = independent().condition({"y": Y})
    r, c = np.array([0.3, 0.7]), np.array([0.2, 0.5, 0.3])
    likelihood = stats.multinomial(N, np.outer(r, c).ravel()).logpmf(Y.ravel())
    prior = stats.dirichlet(R).logpdf(r) + stats.dirichlet(C).logpdf(c)
    found = float(posterior.log_prob({"r": r, "c": c})) + posterior.log_evidence()
    assert found == pytest.approx(likelihood + prior, rel=1e-11)


def test_cells_in_long_form():
    wide = independent().condition({"y": Y})
    order = np.array([4, 0, 5, 2, 1, 3])
    i, j = np.divmod(order, 3)
    data = {"i": np.array(["a", "b"])[i], "j": np.array(["x", "y", "z"])[j], "y": Y.ravel()[order]}
    long = independent(long=True).condition(data)
    assert long.is_exact
    assert long.log_evidence() == pytest.approx(wide.log_evidence(), rel=1e-11)
    np.testing.assert_allclose(long["c"].canonical["alpha"], wide["c"].canonical["alpha"])
    twice = {n: np.append(v[:5], v[:1]) for n, v in data.items()}  # shares that do not sum to one are no such product
    twice["y"] = Y.ravel()[order]
    assert not independent(long=True).condition(twice).is_exact


def test_shares_within_rows():
    """Rows, then columns given the row: q has one simplex a row."""
    m = bk.Model()
    r = m.latent("r", bk.Dirichlet(R), dims="row")
    q = m.latent("q", bk.Dirichlet(C), dims=("row", "col"))
    m.observed("y", bk.Multinomial(N, r * q), dims=("row", "col"))
    posterior = m.condition({"y": Y})
    np.testing.assert_allclose(posterior["q"].canonical["alpha"], C + Y)
    expected = coefficient(Y) + gain(R, Y.sum(axis=1)) + sum(gain(C, y) for y in Y)
    assert posterior.log_evidence() == pytest.approx(expected, rel=1e-11)


def test_products_by_group_and_update():
    m = bk.Model(coords={"year": 3})
    n = m.data("n", dims="year")
    r, c = m.latent("r", bk.Dirichlet(R), dims="row"), m.latent("c", bk.Dirichlet(C), dims=("year", "col"))
    m.observed("y", bk.Multinomial(n, r * c), dims=("year", "row", "col"))
    counts = np.stack([Y, 3 * Y, Y[:, ::-1]])
    posterior = m.condition({"n": counts.sum(axis=(1, 2)), "y": counts})
    np.testing.assert_allclose(posterior["r"].canonical["alpha"], R + counts.sum(axis=(0, 2)))
    np.testing.assert_allclose(posterior["c"].canonical["alpha"], C + counts.sum(axis=1))
    once = independent().condition({"y": Y}).update({"y": Y})
    np.testing.assert_allclose(once["r"].canonical["alpha"], R + 2 * Y.sum(axis=1))
    assert once.log_evidence() == pytest.approx(
        2 * coefficient(Y) + gain(R, 2 * Y.sum(axis=1)) + gain(C, 2 * Y.sum(axis=0)), rel=1e-11
    )


def test_independence_against_association():
    """The Bayes factor of Good: the table against the product of its margins, both as counted."""
    one = joint().condition({"y": Y})
    m = bk.Model(coords={"sex": ["f", "m"]})
    r, c = m.latent("r", bk.Dirichlet(R), dims="sex"), m.latent("c", bk.Dirichlet(C), dims="party")
    m.observed("y", bk.Multinomial(N, r * c), dims=("sex", "party"))
    expected = gain(R, Y.sum(axis=1)) + gain(C, Y.sum(axis=0)) - gain(ALPHA.ravel(), Y.ravel())
    assert bk.bayes_factor(m.condition({"y": Y}), one).log == pytest.approx(expected, rel=1e-10)


def test_replicated_tables():
    posterior = independent().condition({"y": Y})
    tree = posterior.sample(500, seed=3, include=("posterior_predictive", "log_likelihood"))
    y = tree["posterior_predictive"]["y"]
    assert y.dims == ("chain", "draw", "row", "col") and np.all(y.sum(("row", "col")) == N)
    r, c = (tree["posterior"][n].values[0, 0] for n in ("r", "c"))
    expected = stats.multinomial(N, np.outer(r, c).ravel()).logpmf(Y.ravel())
    assert float(tree["log_likelihood"]["y"].values[0, 0]) == pytest.approx(expected, rel=1e-10)


def test_impossible_tables():
    with pytest.raises(SupportError, match="sum to n"):
        independent().condition({"y": Y + 1})
    with pytest.raises(SupportError, match="sum to n"):
        joint().condition({"y": np.where(Y == 3, -3, Y)})
    # a product with anything that is no simplex is left to the samplers
    m = bk.Model(coords={"row": 2, "col": 3})
    r, w = m.latent("r", bk.Dirichlet(R), dims="row"), m.latent("w", bk.Gamma(1, 1))
    m.observed("y", bk.Multinomial(8, r * w / w), dims="row")
    assert not m.condition({"y": [3, 5]}).is_exact
