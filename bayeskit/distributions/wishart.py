"""The Wishart family."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, nonnegative, positive_definite, positive_definite_or_zero
from bayeskit.distributions.matrices import (
    cholesky,
    inverse_from_factor,
    log_determinant,
    log_multigamma,
    solve_lower,
    solve_upper,
    symmetric_product,
    wishart_factor,
)
from bayeskit.distributions.variants import Variants

__all__ = ["Wishart", "degrees", "misfit", "power_of_determinant"]

degrees = Parameter("nu", nonnegative, zero_is_improper=True)


def misfit(nu: Array, matrix: Array) -> Array:
    """Where degrees of freedom do not fit a matrix: both may be zero, which is Jeffreys' improper prior."""
    zero = (np.asarray(matrix) == 0).all(axis=(-2, -1))
    return np.where(zero, ~np.equal(nu, 0), ~np.greater(nu, np.shape(matrix)[-1] - 1))


def power_of_determinant(x: Array, nu: Array, matrix: Array) -> Array | None:
    """Log of Jeffreys' prior, ``|X|**(-(d + 1)/2)`` for covariances and precisions alike; None where it is none."""
    if np.any(np.asarray(matrix)) or np.any(nu):
        return None
    value = log_determinant(cholesky(x))
    return np.where(np.isnan(value), -np.inf, -(np.shape(x)[-1] + 1.0) * value)


class Wishart(Variants):
    r"""Wishart distribution on the positive definite (d, d) matrices, with mean ``nu * scale``.

    .. math:: p(X) = \frac{|X|^{(\nu - d - 1)/2} \exp\left(-\tfrac12 \operatorname{tr}(V^{-1} X)\right)}
        {2^{\nu d/2} |V|^{\nu/2} \Gamma_d(\nu/2)}

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, above ``d - 1``. ``Wishart(0, rate=0)`` is Jeffreys' improper prior, ``|X|**(-(d + 1)/2)``.
    scale : matrix, DataArray or expression
        Scale matrix V, over the last two dims.
    rate : matrix, DataArray or expression, optional
        Inverse of the scale matrix (the R of BUGS), instead of `scale`.

    Raises
    ------
    ParameterError
        Where the matrix is not symmetric positive definite, `nu` is too small, or not exactly one of the two matrices
        is given.

    Examples
    --------
    >>> from bayeskit.distributions import Wishart
    >>> Wishart(3, [[1.0, 0.5], [0.5, 2.0]]).mean().values
    array([[3. , 1.5],
           [1.5, 6. ]])
    """

    variants = (
        (degrees, Parameter("scale", positive_definite, event_ndim=2, advice="rate= takes its inverse.")),
        (degrees, Parameter("rate", positive_definite_or_zero, event_ndim=2, advice="scale= takes its inverse.")),
    )
    parameters = variants[0]
    event_ndim = 2
    support = "the symmetric positive definite matrices"
    support_kind = "positive_definite"
    joint_condition = "nu > d - 1, where the matrix is (d, d), or both zero"

    def __init__(self, nu: Any = None, scale: Any = None, *, rate: Any = None) -> None:
        self._assign(nu=nu, scale=scale, rate=rate)

    def _joint_invalid(self, nu: Array, matrix: Array) -> Array:
        return misfit(nu, matrix)

    def _scale(self, matrix: Array) -> Array:
        return inverse_from_factor(cholesky(matrix)) if "rate" in self.canonical else np.asarray(matrix)

    def _log_prob(self, x: Array, nu: Array, matrix: Array) -> Array:
        improper = power_of_determinant(x, nu, matrix)
        if improper is not None:
            return improper
        size = np.shape(matrix)[-1]
        nu = np.asarray(nu, dtype=float)
        value, given = cholesky(x), cholesky(matrix)
        if "rate" in self.canonical:
            white, half = np.swapaxes(given, -1, -2) @ value, -log_determinant(given)
        else:
            white, half = solve_lower(given, value), log_determinant(given)
        result = (nu - size - 1.0) * log_determinant(value) - 0.5 * (white * white).sum(axis=(-2, -1))
        result = result - nu * (half + 0.5 * size * log(2.0)) - log_multigamma(0.5 * nu, size)
        return np.where(np.isnan(result), -np.inf, result)

    def _outside(self, x: Array, nu: Array, matrix: Array) -> Array:
        return positive_definite.outside(np.asarray(x, dtype=float))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, matrix: Array) -> Array:
        factor = wishart_factor(rng, shape, nu, np.shape(matrix)[-1])
        given = cholesky(matrix)
        root = solve_upper(given, factor) if "rate" in self.canonical else given @ factor
        return symmetric_product(np.swapaxes(root, -1, -2))

    def _mean(self, nu: Array, matrix: Array) -> Array:
        return np.asarray(nu)[..., None, None] * self._scale(matrix)

    def _var(self, nu: Array, matrix: Array) -> Array:
        scale = self._scale(matrix)
        diagonal = np.diagonal(scale, axis1=-2, axis2=-1)
        return np.asarray(nu)[..., None, None] * (scale**2 + diagonal[..., :, None] * diagonal[..., None, :])

    def _mode(self, nu: Array, matrix: Array) -> Array:
        left = np.asarray(nu, dtype=float)[..., None, None] - np.shape(matrix)[-1] - 1.0
        return np.where(left >= 0, left, np.nan) * self._scale(matrix)
