"""Products in parts are the products; parts are not called for where the numbers are few."""

from __future__ import annotations

import numpy as np
import pytest

from bayeskit.distributions.products import gram, product, solve_positive


@pytest.mark.parametrize("shape", [(1,), (40,), (3, 3), (18, 17), (600, 500), (0, 4)])
@pytest.mark.parametrize("count", [0, 1, 2000])
def test_product(shape, count):
    rng = np.random.default_rng(0)
    matrix, columns = rng.normal(size=shape), rng.normal(size=(shape[-1], count))
    found = product(matrix, columns)
    assert found.shape == (*shape[:-1], count)
    np.testing.assert_allclose(found, np.einsum("...k,kn->...n", matrix, columns), rtol=1e-10, atol=1e-10)


def test_a_product_with_columns_of_any_layout():
    rng = np.random.default_rng(1)
    matrix, columns = rng.normal(size=(7, 5)), rng.normal(size=(20_000, 5)).T
    np.testing.assert_allclose(product(matrix, columns), np.einsum("mk,kn->mn", matrix, columns), atol=1e-12)


@pytest.mark.parametrize("count", [1, 64, 65, 130, 200])
@pytest.mark.parametrize("n", [0, 3, 61, 500])
def test_gram(count, n):
    rows = np.random.default_rng(2).normal(size=(count, n))
    found = gram(rows)
    np.testing.assert_allclose(found, np.einsum("in,jn->ij", rows, rows), atol=1e-11)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("count", [1, 64, 65, 131, 252])
def test_positive_definite_equations(count):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(count, count + 5)) * np.exp(rng.normal(size=(count, 1)))
    matrix, x = rows @ rows.T, rng.normal(size=(count, 2))
    found = solve_positive(matrix, matrix @ x)
    size = np.abs(matrix) @ np.abs(x)
    assert np.abs(matrix @ found - matrix @ x).max() < 1e-13 * count * size.max()


def test_badly_conditioned_equations_are_solved_as_well_as_by_lapack():
    """Monomials of one number up to a high degree, with a ridge, as the fit of a polynomial has them."""
    terms = np.linspace(-1.0, 1.0, 400) ** np.arange(100)[:, None]
    matrix = terms @ terms.T
    matrix += np.diag(1e-9 * np.diagonal(matrix))
    right = (terms @ np.sin(np.linspace(0.0, 3.0, 400)))[:, None]
    ours, theirs = (
        np.abs(matrix @ x - right).max() for x in (solve_positive(matrix, right), np.linalg.solve(matrix, right))
    )
    assert ours < 10 * theirs + 1e-9
