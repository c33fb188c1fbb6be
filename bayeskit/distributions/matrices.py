"""Batched linear algebra for covariance, precision and Cholesky factors: triangular solves, never an inverse.

All functions take any leading axes that broadcast. A matrix that is not positive definite makes NaN in its own entry of
the batch, not an exception for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.domains import Domain

__all__ = [
    "cholesky",
    "cholesky_factor",
    "colour",
    "inverse_from_factor",
    "log_determinant",
    "log_multigamma",
    "root_diagonal_of_covariance",
    "solve_lower",
    "solve_upper",
    "symmetric_product",
    "whiten",
    "wishart_factor",
]

Array = Any


def _not_factor(x: Array) -> Array:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return np.ones(x.shape[:-2], dtype=bool)
    positive = (np.diagonal(x, axis1=-2, axis2=-1) > 0).all(axis=-1)
    return ~(np.isfinite(x).all(axis=(-2, -1)) & positive & (np.triu(x, 1) == 0).all(axis=(-2, -1)))


cholesky_factor = Domain(
    "cholesky_factor", "a lower triangular matrix with a positive diagonal", _not_factor, event_ndim=2
)


def cholesky(matrix: Array) -> Array:
    """Lower Cholesky factors; NaN where a matrix is not positive definite.

    Examples
    --------
    >>> cholesky(np.array([[[4.0]], [[-1.0]]])).ravel()
    array([ 2., nan])
    """
    matrix = np.asarray(matrix, dtype=float)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        pass
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    factors = np.full_like(flat, np.nan)
    for index, one in enumerate(flat):
        try:
            factors[index] = np.linalg.cholesky(one)
        except np.linalg.LinAlgError:
            continue
    return factors.reshape(matrix.shape)


def solve_lower(factor: Array, right: Array) -> Array:
    """Solve ``factor @ y = right`` for the columns of `right`, with lower triangular factors.

    Examples
    --------
    >>> solve_lower(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[4.0], [5.0]])).ravel()
    array([2., 3.])
    """
    if factor.size == factor.shape[-1] ** 2:
        return _solve_one(factor, right, transposed=False)
    size = factor.shape[-1]
    y = np.empty(np.broadcast_shapes(factor.shape[:-2], right.shape[:-2]) + right.shape[-2:])
    for i in range(size):
        known = factor[..., i, None, :i] @ y[..., :i, :]
        y[..., i, :] = (right[..., i, :] - known[..., 0, :]) / factor[..., i, i, None]
    return y


def solve_upper(factor: Array, right: Array) -> Array:
    """Solve ``factor.T @ y = right`` for the columns of `right`, with lower triangular factors."""
    if factor.size == factor.shape[-1] ** 2:
        return _solve_one(factor, right, transposed=True)
    size = factor.shape[-1]
    y = np.empty(np.broadcast_shapes(factor.shape[:-2], right.shape[:-2]) + right.shape[-2:])
    for i in reversed(range(size)):
        known = np.swapaxes(factor[..., i + 1 :, i, None], -1, -2) @ y[..., i + 1 :, :]
        y[..., i, :] = (right[..., i, :] - known[..., 0, :]) / factor[..., i, i, None]
    return y


def _solve_one(factor: Array, right: Array, *, transposed: bool) -> Array:
    """The same where one factor serves all columns: one call of LAPACK."""
    from scipy.linalg import solve_triangular

    size = factor.shape[-1]
    lead = np.broadcast_shapes(factor.shape[:-2], right.shape[:-2])
    columns = np.moveaxis(np.broadcast_to(right, lead + right.shape[-2:]), -2, 0)
    one, flat = factor.reshape(size, size), columns.reshape(size, -1)
    solved = solve_triangular(one, flat, lower=True, trans="T" if transposed else "N", check_finite=False)
    return np.moveaxis(solved.reshape(columns.shape), 0, -2)


def log_determinant(factor: Array) -> Array:
    """Half the log determinant of ``factor @ factor.T``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)


def symmetric_product(rows: Array) -> Array:
    """rows.T @ rows, exactly symmetric."""
    product = np.swapaxes(rows, -1, -2) @ rows
    return 0.5 * (product + np.swapaxes(product, -1, -2))


def inverse_from_factor(factor: Array) -> Array:
    """Inverse of ``factor @ factor.T``, by triangular solves; for moments that are asked for, not for densities."""
    return symmetric_product(solve_lower(factor, np.eye(factor.shape[-1])))


def whiten(residual: Array, matrix: Array, form: str) -> tuple[Array, Array]:
    """Squared Mahalanobis length of `residual`, and half the log determinant of the covariance.

    Parameters
    ----------
    residual : ndarray
        Shape ``(*plates, d)``.
    matrix : ndarray
        Shape ``(*plates, d, d)``.
    form : {"cov", "tau", "cholesky"}
        What `matrix` is: a covariance, a precision, or the Cholesky factor of a covariance.
    """
    factor = matrix if form == "cholesky" else cholesky(matrix)
    half = log_determinant(factor)
    if form == "tau":
        white = (residual[..., None, :] @ factor)[..., 0, :]
        return (white * white).sum(axis=-1), -half
    white = solve_lower(factor, residual[..., None])[..., 0]
    return (white * white).sum(axis=-1), half


def colour(white: Array, matrix: Array, form: str) -> Array:
    """Turn independent standard values, on the last axis, into values of the covariance."""
    factor = np.asarray(matrix, dtype=float) if form == "cholesky" else cholesky(matrix)
    if form == "tau":
        return solve_upper(factor, white[..., None])[..., 0]
    return (factor @ white[..., None])[..., 0]


def root_diagonal_of_covariance(matrix: Array, form: str) -> Array:
    """Square roots of the diagonal of the covariance."""
    if form == "cov":
        return np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1))
    if form == "cholesky":
        return np.sqrt((np.asarray(matrix) ** 2).sum(axis=-1))
    factor = cholesky(matrix)
    return np.sqrt((solve_lower(factor, np.eye(factor.shape[-1])) ** 2).sum(axis=-2))


def log_multigamma(a: Array, size: int) -> Array:
    """Log of the multivariate gamma function of dimension `size`."""
    steps = np.arange(size) / 2.0
    return 0.25 * size * (size - 1) * np.log(np.pi) + gammaln(np.asarray(a)[..., None] - steps).sum(axis=-1)


def wishart_factor(rng: np.random.Generator, shape: tuple[int, ...], nu: Array, size: int) -> Array:
    """Lower triangular A with ``A @ A.T`` a standard Wishart draw (Bartlett's decomposition)."""
    factor = np.zeros((*shape, size, size))
    degrees = np.asarray(nu)[..., None] - np.arange(size)
    diagonal = np.arange(size)
    factor[..., diagonal, diagonal] = np.sqrt(2.0 * rng.standard_gamma(0.5 * degrees, size=(*shape, size)))
    rows, columns = np.tril_indices(size, -1)
    factor[..., rows, columns] = rng.standard_normal((*shape, len(rows)))
    return factor
