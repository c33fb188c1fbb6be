"""The inverse Wishart family."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive_definite, positive_definite_or_zero
from bayeskit.distributions.matrices import (
    cholesky,
    log_determinant,
    log_multigamma,
    solve_lower,
    symmetric_product,
    wishart_factor,
)
from bayeskit.distributions.wishart import degrees, misfit, power_of_determinant

__all__ = ["InverseWishart"]


class InverseWishart(Distribution):
    r"""Inverse Wishart distribution on the positive definite (d, d) matrices, with mean ``scale / (nu - d - 1)``.

    .. math:: p(X) = \frac{|\Psi|^{\nu/2} |X|^{-(\nu + d + 1)/2}
        \exp\left(-\tfrac12 \operatorname{tr}(\Psi X^{-1})\right)}{2^{\nu d/2} \Gamma_d(\nu/2)}

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, above ``d - 1``. ``InverseWishart(0, 0)`` is Jeffreys' improper prior,
        ``|X|**(-(d + 1)/2)``.
    scale : matrix, DataArray or expression
        Scale matrix, over the last two dims.

    Raises
    ------
    ParameterError
        Where the matrix is not symmetric positive definite, or `nu` is too small.

    Examples
    --------
    >>> from bayeskit.distributions import InverseWishart
    >>> InverseWishart(5, [[2.0, 1.0], [1.0, 4.0]]).mean().values
    array([[1. , 0.5],
           [0.5, 2. ]])
    """

    parameters = (degrees, Parameter("scale", positive_definite_or_zero, event_ndim=2))
    event_ndim = 2
    support = "the symmetric positive definite matrices"
    support_kind = "positive_definite"
    joint_condition = "nu > d - 1, where the matrix is (d, d), or both zero"

    def __init__(self, nu: Any = None, scale: Any = None) -> None:
        self._assign(nu=nu, scale=scale)

    def _joint_invalid(self, nu: Array, scale: Array) -> Array:
        return misfit(nu, scale)

    def _log_prob(self, x: Array, nu: Array, scale: Array) -> Array:
        improper = power_of_determinant(x, nu, scale)
        if improper is not None:
            return improper
        size = np.shape(scale)[-1]
        nu = np.asarray(nu, dtype=float)
        value, given = cholesky(x), cholesky(scale)
        white = solve_lower(value, given)
        result = nu * (log_determinant(given) - 0.5 * size * log(2.0)) - log_multigamma(0.5 * nu, size)
        result = result - (nu + size + 1.0) * log_determinant(value) - 0.5 * (white * white).sum(axis=(-2, -1))
        return np.where(np.isnan(result), -np.inf, result)

    def _outside(self, x: Array, nu: Array, scale: Array) -> Array:
        return positive_definite.outside(np.asarray(x, dtype=float))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, scale: Array) -> Array:
        # with Bartlett's A and scale = L L', the inverse of a draw is (L^-T A) (L^-T A)': Wishart of the inverse scale
        factor = wishart_factor(rng, shape, nu, np.shape(scale)[-1])
        return symmetric_product(solve_lower(factor, np.swapaxes(cholesky(scale), -1, -2)))

    def _mean(self, nu: Array, scale: Array) -> Array:
        left = np.asarray(nu, dtype=float)[..., None, None] - np.shape(scale)[-1] - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(left > 0, scale / left, self._infinite(scale))

    def _var(self, nu: Array, scale: Array) -> Array:
        left = np.asarray(nu, dtype=float)[..., None, None] - np.shape(scale)[-1]
        diagonal = np.diagonal(scale, axis1=-2, axis2=-1)
        product = diagonal[..., :, None] * diagonal[..., None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = ((left + 1.0) * np.square(scale) + (left - 1.0) * product) / (
                left * (left - 1.0) ** 2 * (left - 3.0)
            )
        infinite = np.where(left > 1, np.inf, np.nan)
        return np.where(left > 3, value, infinite)

    def _mode(self, nu: Array, scale: Array) -> Array:
        return scale / (np.asarray(nu)[..., None, None] + np.shape(scale)[-1] + 1.0)

    @staticmethod
    def _infinite(scale: Array) -> Array:
        """Infinite on the diagonal; undefined elsewhere, where both tails are as heavy."""
        return np.where(np.eye(np.shape(scale)[-1], dtype=bool), np.inf, np.nan)
