"""MatrixNormal against scipy, MatrixStudentT against the multivariate t that its rows are one after the other."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayeskit as bk
from bayeskit.errors import ModelError, ParameterError

U = np.array([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 1.5]])
V = np.array([[1.0, 0.5], [0.5, 4.0]])
M = np.arange(6.0).reshape(3, 2)
FORMS = {"cov": lambda m: m, "tau": np.linalg.inv, "chol": np.linalg.cholesky}


def matrices(row: str, col: str) -> dict[str, np.ndarray]:
    return {f"row{row}": FORMS[row](U), f"col{col}": FORMS[col](V)}


@pytest.mark.parametrize("row", FORMS)
@pytest.mark.parametrize("col", FORMS)
def test_density_and_moments(row, col):
    d, twin = bk.MatrixNormal(M, **matrices(row, col)), stats.matrix_normal(M, U, V)
    x = d.sample(8, seed=1)
    assert x.dims == ("draw", "event", "event_")
    np.testing.assert_allclose(d.log_prob(x), [twin.logpdf(one) for one in x.values], rtol=1e-10)
    np.testing.assert_array_equal(d.mean(), M)
    np.testing.assert_allclose(d.var(), np.outer(np.diag(U), np.diag(V)), rtol=1e-10)
    each = stats.norm(M, np.sqrt(np.outer(np.diag(U), np.diag(V))))
    np.testing.assert_allclose(d.cdf(x[0]), each.cdf(x[0]), rtol=1e-9)
    np.testing.assert_allclose(d.quantile(0.9), each.ppf(0.9), rtol=1e-9)


def by_rows(x: np.ndarray, nu: float) -> float:
    """The log density of a matrix t as a product over rows, each a multivariate t given those before."""
    total, location, scale = 0.0, np.zeros(2), V.copy()
    for i in range(3):
        known = list(range(i))
        weights = np.linalg.solve(U[np.ix_(known, known)], U[known, i]) if known else np.zeros(0)
        location = M[i] + weights @ (x[known] - M[known])
        own = U[i, i] - weights @ U[known, i]
        total += stats.multivariate_t(location, own * scale / (nu + i), nu + i).logpdf(x[i])
        scale = scale + np.outer(x[i] - location, x[i] - location) / own
    return total


@pytest.mark.parametrize("nu", [0.7, 3.0, 40.0])
@pytest.mark.parametrize(("row", "col"), [("cov", "cov"), ("tau", "chol"), ("chol", "tau")])
def test_matrix_t(nu, row, col):
    d = bk.MatrixStudentT(nu, M, **matrices(row, col))
    x = d.sample(5, seed=2)
    np.testing.assert_allclose(d.log_prob(x), [by_rows(one, nu) for one in x.values], rtol=1e-9)
    turned = bk.MatrixStudentT(nu, M.T, V, U)
    np.testing.assert_allclose(turned.log_prob(x.values.transpose(0, 2, 1)), d.log_prob(x), rtol=1e-9)
    each = stats.t(nu, M, np.sqrt(np.outer(np.diag(U), np.diag(V)) / nu))
    np.testing.assert_allclose(d.cdf(x[0]), each.cdf(x[0]), rtol=1e-9)
    np.testing.assert_allclose(d.quantile([0.2, 0.9])[..., 1], each.ppf(0.9), rtol=1e-9)
    np.testing.assert_allclose(d.var(), each.var() if nu > 1 else np.full((3, 2), np.nan), rtol=1e-9)


@pytest.mark.parametrize("family", [bk.MatrixNormal, lambda *a: bk.MatrixStudentT(9.0, *a)])
def test_draws_have_the_covariances(family):
    x = family(M, U, V).sample(40_000, seed=3).values - M
    factor = 1.0 if family is bk.MatrixNormal else 1 / 7
    for i, j, k, el in [(0, 0, 0, 0), (0, 1, 2, 1), (0, 0, 1, 1), (1, 0, 1, 1)]:
        product = x[:, i, j] * x[:, k, el]
        error = product.mean() - factor * U[i, k] * V[j, el]
        assert abs(error) < 5 * product.std() / np.sqrt(len(product))


def test_labels_and_plates():
    rows = xr.DataArray(U, dims=("k", "k_"), coords={"k": list("abc")})
    columns = xr.DataArray(np.stack([V, 2 * V]), dims=("group", "d", "d_"))
    d = bk.MatrixNormal(0, rows, columns)
    assert d.dims == ("group", "k", "d") and d.mean().shape == (2, 3, 2)
    assert d.var().coords["k"].values.tolist() == ["a", "b", "c"]
    x = d.sample(4, seed=1)
    for g in range(2):
        one = stats.matrix_normal(None, U, (1 + g) * V)
        np.testing.assert_allclose(d.log_prob(x).isel(group=g), [one.logpdf(v) for v in x.isel(group=g).values])


def test_is_a_value():
    d = bk.MatrixNormal(M, rowtau=U, colchol=np.linalg.cholesky(V))
    assert pickle.loads(pickle.dumps(d)) == d != bk.MatrixNormal(M, U, V)
    assert str(bk.MatrixNormal(0, [[2.0]], coltau=[[4.0]])) == "MatrixNormal(0, [[2.0]], coltau=[[4.0]])"


def test_errors():
    with pytest.raises(ParameterError, match="must be given"):
        bk.MatrixNormal(M, U)
    with pytest.raises(ParameterError, match="must be given"):
        bk.MatrixNormal(M, U, V, coltau=V)
    with pytest.raises(ParameterError, match="'colcov' of MatrixNormal must be a symmetric positive definite"):
        bk.MatrixNormal(M, U, -V)
    with pytest.raises(ParameterError, match="as many rows and columns"):
        bk.MatrixNormal(M, V, U)
    with pytest.raises(ParameterError, match="'nu' of MatrixStudentT must be positive"):
        bk.MatrixStudentT(0, M, U, V)
    with pytest.raises(ModelError, match="must have a dim for its matrix values"):
        bk.Model().latent("B", bk.MatrixNormal(0, U, V), dims="k")


def test_prior_of_a_model():
    m = bk.Model()
    m.latent("B", bk.MatrixNormal(M, U, V), dims=("k", "d"))
    drawn = m.simulate(draws=20_000, seed=4)["prior"]["B"].values[0] - M
    product = drawn[:, 0, 0] * drawn[:, 2, 1]
    assert abs(product.mean() - U[0, 2] * V[0, 1]) < 5 * product.std() / np.sqrt(20_000)
    known = m.condition({})["B"]
    assert known.dims == ("k", "d") and known.family == "MatrixNormal"
    np.testing.assert_allclose(known.log_prob(M + 1), bk.MatrixNormal(M, U, V).log_prob(M + 1))
