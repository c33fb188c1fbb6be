"""The multivariate normal family."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, positive_definite, real
from bayeskit.distributions.matrices import cholesky_factor, colour, root_diagonal_of_covariance, whiten
from bayeskit.distributions.variants import Variants

__all__ = ["Elliptical", "MvNormal"]

location = Parameter("mu", real, event_ndim=1, default=0)
scale_matrices = (
    Parameter("cov", positive_definite, event_ndim=2, advice="tau= takes a precision, cholesky= a factor."),
    Parameter("tau", positive_definite, event_ndim=2, advice="It is the inverse of cov."),
    Parameter("cholesky", cholesky_factor, event_ndim=2, advice="It is the lower Cholesky factor of cov."),
)


class Elliptical(Variants):
    """What MvNormal and MvStudentT share: a location and a matrix, which is the last parameter."""

    event_ndim = 1
    symmetric = True
    support = "the real vectors"
    support_kind = "real_vector"
    joint_condition = "mu of the size of the matrix"

    @property
    def _form(self) -> str:
        """Which matrix was given: "cov", "tau" or "cholesky"."""
        return self.parameters[-1].name

    def _joint_invalid(self, *params: Array) -> Array:
        mu, matrix = params[-2:]
        return np.asarray(np.shape(mu)[-1] not in (1, np.shape(matrix)[-1]))

    def _standard(self, x: Array, mu: Array, matrix: Array) -> Array:
        """Each entry less its location, over the root of the diagonal."""
        return (x - np.asarray(mu)) / root_diagonal_of_covariance(matrix, self._form)

    def _whiten(self, x: Array, mu: Array, matrix: Array) -> tuple[Array, Array]:
        residual = np.asarray(x, dtype=float) - mu
        matrix = np.asarray(matrix, dtype=float)
        if residual.shape[-1] != matrix.shape[-1]:
            residual = np.broadcast_to(residual, (*residual.shape[:-1], matrix.shape[-1]))
        return whiten(residual, matrix, self._form)

    def _mode(self, *params: Array) -> Array:
        mu, matrix = np.asarray(params[-2], dtype=float), params[-1]
        return np.broadcast_to(mu, (*mu.shape[:-1], np.shape(matrix)[-1]))

    def _outside(self, x: Array, *params: Array) -> Array:
        return ~np.isfinite(x).all(axis=-1)

    def _colour(self, white: Array, matrix: Array) -> Array:
        return colour(white, matrix, self._form)

    def _log_kernel(self, value: Array) -> Array:
        """-inf where the matrix was not positive definite."""
        return np.where(np.isnan(value), -np.inf, value)


class MvNormal(Elliptical):
    r"""Multivariate normal distribution.

    .. math:: p(x) = (2\pi)^{-d/2} |\Sigma|^{-1/2} \exp\left(-\tfrac12 (x - \mu)^T \Sigma^{-1} (x - \mu)\right)

    Parameters
    ----------
    mu : number, row of numbers, DataArray or expression
        Mean, along the last dim; a number serves all entries.
    cov : matrix, DataArray or expression
        Covariance, over the last two dims.
    tau : matrix, DataArray or expression, optional
        Precision, the inverse of the covariance, instead of `cov`.
    cholesky : matrix, DataArray or expression, optional
        Lower Cholesky factor of the covariance, instead of `cov`.

    Raises
    ------
    ParameterError
        Where the matrix is not symmetric positive definite (or not a factor), `mu` is of another size, or not exactly
        one of the three matrices is given.

    Notes
    -----
    The matrix is used as given, by triangular solves. Distribution function and quantiles are those of each entry;
    `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import MvNormal
    >>> d = MvNormal(0, tau=[[2.0, 1.0], [1.0, 2.0]])
    >>> d.var().dims, d.var().values.round(4)
    (('event',), array([0.6667, 0.6667]))
    >>> float(d.log_prob([0.0, 0.0]).round(4))
    -1.2886
    """

    variants = tuple((location, matrix) for matrix in scale_matrices)
    parameters = variants[0]

    def __init__(self, mu: Any = 0, cov: Any = None, *, tau: Any = None, cholesky: Any = None) -> None:
        self._assign(mu=mu, cov=cov, tau=tau, cholesky=cholesky)

    def _log_prob(self, x: Array, mu: Array, matrix: Array) -> Array:
        squared, half = self._whiten(x, mu, matrix)
        return self._log_kernel(-0.5 * squared - half - 0.5 * log(2 * pi) * np.shape(matrix)[-1])

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, matrix: Array) -> Array:
        return mu + self._colour(rng.standard_normal((*shape, np.shape(matrix)[-1])), matrix)

    def _mean(self, mu: Array, matrix: Array) -> Array:
        return self._mode(mu, matrix)

    def _var(self, mu: Array, matrix: Array) -> Array:
        return root_diagonal_of_covariance(matrix, self._form) ** 2

    def _cdf(self, x: Array, mu: Array, matrix: Array) -> Array:
        return ndtr(self._standard(x, mu, matrix))

    def _quantile(self, q: Array, mu: Array, matrix: Array) -> Array:
        return mu + ndtri(q) * root_diagonal_of_covariance(matrix, self._form)
