"""The multivariate Student t family."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.matrices import root_diagonal_of_covariance
from bayeskit.distributions.mv_normal import Elliptical, location, scale_matrices

__all__ = ["MvStudentT"]


class MvStudentT(Elliptical):
    r"""Multivariate Student t distribution.

    .. math:: p(x) = \frac{\Gamma((\nu + d)/2)}{\Gamma(\nu/2) (\nu\pi)^{d/2} |\Sigma|^{1/2}}
        \left(1 + \frac{(x - \mu)^T \Sigma^{-1} (x - \mu)}{\nu}\right)^{-(\nu + d)/2}

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, positive.
    mu : number, row of numbers, DataArray or expression
        Location, along the last dim; a number serves all entries.
    cov : matrix, DataArray or expression
        Scale matrix, over the last two dims: the covariance of the normal whose scale is mixed, as `sigma` is of
        `StudentT`. The covariance itself is ``nu / (nu - 2)`` times it.
    tau : matrix, DataArray or expression, optional
        Inverse of the scale matrix, instead of `cov`.
    cholesky : matrix, DataArray or expression, optional
        Lower Cholesky factor of the scale matrix, instead of `cov`.

    Raises
    ------
    ParameterError
        Where `nu` is not positive, the matrix is not symmetric positive definite (or not a factor), `mu` is of another
        size, or not exactly one of the three matrices is given.

    Notes
    -----
    Distribution function and quantiles are those of each entry, a Student t; `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import MvStudentT
    >>> d = MvStudentT(4, [0.0, 1.0], [[1.0, 0.5], [0.5, 2.0]])
    >>> d.var().values
    array([2., 4.])
    """

    variants = tuple((Parameter("nu", positive), location, matrix) for matrix in scale_matrices)
    parameters = variants[0]

    def __init__(self, nu: Any = None, mu: Any = 0, cov: Any = None, *, tau: Any = None, cholesky: Any = None) -> None:
        self._assign(nu=nu, mu=mu, cov=cov, tau=tau, cholesky=cholesky)

    def _log_prob(self, x: Array, nu: Array, mu: Array, matrix: Array) -> Array:
        size = np.shape(matrix)[-1]
        squared, half = self._whiten(x, mu, matrix)
        nu = np.asarray(nu, dtype=float)
        normaliser = log_rising(0.5 * nu, 0.5 * size) - 0.5 * size * (np.log(nu) + log(pi)) - half
        return self._log_kernel(normaliser - 0.5 * (nu + size) * np.log1p(squared / nu))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, mu: Array, matrix: Array) -> Array:
        normal = self._colour(rng.standard_normal((*shape, np.shape(matrix)[-1])), matrix)
        mixing = np.sqrt(0.5 * np.asarray(nu) / rng.standard_gamma(0.5 * np.asarray(nu), size=shape))
        return mu + normal * mixing[..., None]

    def _mean(self, nu: Array, mu: Array, matrix: Array) -> Array:
        return np.where(np.asarray(nu)[..., None] > 1, self._mode(nu, mu, matrix), np.nan)

    def _var(self, nu: Array, mu: Array, matrix: Array) -> Array:
        nu = np.asarray(nu, dtype=float)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(nu > 2, nu / (nu - 2.0), np.where(nu > 1, np.inf, np.nan))
        return factor * root_diagonal_of_covariance(matrix, self._form) ** 2

    def _cdf(self, x: Array, nu: Array, mu: Array, matrix: Array) -> Array:
        return stdtr(np.asarray(nu)[..., None], self._standard(x, mu, matrix))

    def _quantile(self, q: Array, nu: Array, mu: Array, matrix: Array) -> Array:
        return mu + stdtrit(np.asarray(nu)[..., None], q) * root_diagonal_of_covariance(matrix, self._form)
