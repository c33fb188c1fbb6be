"""Products in parts are the products; parts are not called for where the numbers are few."""

from __future__ import annotations

import numpy as np
import pytest

from bayeskit.distributions.products import dot, gram, product


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


@pytest.mark.parametrize("n", [0, 1, 8192, 8193, 50_000])
def test_dot(n):
    a, b = np.random.default_rng(4).normal(size=(2, n))
    assert dot(a, b) == pytest.approx(float((a * b).sum()), rel=1e-12, abs=1e-9)
