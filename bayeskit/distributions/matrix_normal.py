"""The matrix normal family, and the matrix t that it becomes where its covariance is integrated out."""

from __future__ import annotations

from itertools import product
from math import log, pi
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, positive, positive_definite, real
from bayeskit.distributions.matrices import (
    cholesky,
    cholesky_factor,
    colour,
    log_determinant,
    log_multigamma,
    root_diagonal_of_covariance,
    solve_lower,
    solve_upper,
    symmetric_product,
    wishart_factor,
)
from bayeskit.distributions.variants import Variants

__all__ = ["MatrixNormal", "MatrixStudentT"]

_LOCATION = Parameter("mu", real, event_ndim=2, default=0)
FORMS = {"cov": "cov", "tau": "tau", "chol": "cholesky"}


def _matrices(side: str, axis: int) -> tuple[Parameter, ...]:
    advice = f"{side}tau= takes a precision, {side}chol= a lower Cholesky factor."
    domains = {"cov": positive_definite, "tau": positive_definite, "chol": cholesky_factor}
    return tuple(Parameter(side + f, domains[f], event_ndim=2, advice=advice, axis=axis) for f in FORMS)


class _MatrixFamily(Variants):
    """What both share: a location, and one matrix along the rows and one along the columns, the last parameters."""

    event_ndim = 2
    square = False
    symmetric = True
    support = "the real matrices"
    support_kind = "real_matrix"
    joint_condition = "mu of as many rows and columns as the matrices along them"

    @property
    def _forms(self) -> tuple[str, str]:
        """What was given for rows and columns: "cov", "tau" or "cholesky"."""
        rows, columns = (FORMS[p.name.removeprefix("row").removeprefix("col")] for p in self.parameters[-2:])
        return rows, columns

    def _joint_invalid(self, *params: Array) -> Array:
        mu, rows, columns = params[-3:]
        sizes = zip(np.shape(mu)[-2:], (np.shape(rows)[-1], np.shape(columns)[-1]), strict=True)
        return np.asarray(any(n not in (1, size) for n, size in sizes))

    def _outside(self, x: Array, *params: Array) -> Array:
        return ~np.isfinite(x).all(axis=(-2, -1))

    def _mode(self, *params: Array) -> Array:
        mu, rows, columns = np.asarray(params[-3], dtype=float), params[-2], params[-1]
        return np.broadcast_to(mu, (*mu.shape[:-2], np.shape(rows)[-1], np.shape(columns)[-1]))

    def _spread(self, rows: Array, columns: Array) -> Array:
        """Standard deviation of each entry."""
        of = [root_diagonal_of_covariance(m, f) for m, f in zip((rows, columns), self._forms, strict=True)]
        return of[0][..., :, None] * of[1][..., None, :]

    def _white(self, x: Array, mu: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
        """Residuals whitened along both, and half the log determinant of the covariance of all entries."""
        residual = np.asarray(x, dtype=float) - mu
        n, p = np.shape(rows)[-1], np.shape(columns)[-1]
        residual = np.broadcast_to(residual, (*residual.shape[:-2], n, p))
        white, half_rows = _whitened(residual, rows, self._forms[0])
        white, half_columns = _whitened(np.swapaxes(white, -1, -2), columns, self._forms[1])
        return np.swapaxes(white, -1, -2), p * half_rows + n * half_columns

    def _coloured(self, white: Array, rows: Array, columns: Array) -> Array:
        """Give standard entries ``(..., n, p)`` the covariances of rows and columns."""
        across = colour(white, np.asarray(columns)[..., None, :, :], self._forms[1])
        down = colour(np.swapaxes(across, -1, -2), np.asarray(rows)[..., None, :, :], self._forms[0])
        return np.swapaxes(down, -1, -2)


def _whitened(residual: Array, matrix: Array, form: str) -> tuple[Array, Array]:
    """Columns of a residual whitened along its rows, and half the log determinant of the rows' covariance."""
    factor = np.asarray(matrix, dtype=float) if form == "cholesky" else cholesky(matrix)
    half = log_determinant(factor)
    if form == "tau":
        return np.swapaxes(factor, -1, -2) @ residual, -half
    return solve_lower(factor, residual), half


class MatrixNormal(_MatrixFamily):
    r"""Matrix normal distribution on the (n, p) matrices.

    .. math:: p(X) = (2\pi)^{-np/2} |U|^{-p/2} |V|^{-n/2}
        \exp\left(-\tfrac12 \operatorname{tr}\bigl(V^{-1} (X - M)^T U^{-1} (X - M)\bigr)\right)

    so that entries have covariance :math:`\operatorname{cov}(x_{ij}, x_{kl}) = U_{ik} V_{jl}`.

    Parameters
    ----------
    mu : number, matrix, DataArray or expression
        Mean M, along the last two dims; a number serves all entries.
    rowcov : matrix, DataArray or expression
        Covariance U along the rows, over ``(row, row_)``.
    colcov : matrix, DataArray or expression
        Covariance V along the columns, over ``(col, col_)``.
    rowtau, coltau : matrix, DataArray or expression, optional
        Precisions, instead of the covariances.
    rowchol, colchol : matrix, DataArray or expression, optional
        Lower Cholesky factors of the covariances, instead of these.

    Raises
    ------
    ParameterError
        Where a matrix is not symmetric positive definite (or not a factor), `mu` is of another size, or not exactly one
        matrix is given for the rows and one for the columns.

    Notes
    -----
    With ``Sigma ~ InverseWishart(nu, S)`` and ``B ~ MatrixNormal(M, V, Sigma)`` a regression of vectors,
    ``Y ~ MvNormal(X @ B, Sigma)``, is conjugate: the unknown covariance stands along the columns. Distribution function
    and quantiles are those of each entry; `log_prob` is joint.
    Source: Dawid (1981), Some matrix-variate distribution theory, Biometrika 68, 265-274.

    Examples
    --------
    >>> from bayeskit.distributions import MatrixNormal
    >>> d = MatrixNormal([[0.0, 1.0]], [[2.0]], [[1.0, 0.5], [0.5, 4.0]])
    >>> d.var().dims, d.var().values
    (('event', 'event_'), array([[2., 8.]]))
    >>> float(d.log_prob([[0.0, 1.0]]).round(4))
    -3.1919
    """

    variants = tuple((_LOCATION, r, c) for r, c in product(_matrices("row", 0), _matrices("col", 1)))
    parameters = variants[0]

    def __init__(
        self, mu: Any = 0, rowcov: Any = None, colcov: Any = None, *,
        rowtau: Any = None, coltau: Any = None, rowchol: Any = None, colchol: Any = None,
    ) -> None:  # fmt: skip
        self._assign(
            mu=mu, rowcov=rowcov, rowtau=rowtau, rowchol=rowchol, colcov=colcov, coltau=coltau, colchol=colchol
        )

    def _log_prob(self, x: Array, mu: Array, rows: Array, columns: Array) -> Array:
        white, half = self._white(x, mu, rows, columns)
        size = np.shape(rows)[-1] * np.shape(columns)[-1]
        value = -0.5 * (white * white).sum(axis=(-2, -1)) - half - 0.5 * log(2 * pi) * size
        return np.where(np.isnan(value), -np.inf, value)

    def _sample(
        self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, rows: Array, columns: Array
    ) -> Array:
        white = rng.standard_normal((*shape, np.shape(rows)[-1], np.shape(columns)[-1]))
        return mu + self._coloured(white, rows, columns)

    def _mean(self, mu: Array, rows: Array, columns: Array) -> Array:
        return self._mode(mu, rows, columns)

    def _var(self, mu: Array, rows: Array, columns: Array) -> Array:
        return self._spread(rows, columns) ** 2

    def _cdf(self, x: Array, mu: Array, rows: Array, columns: Array) -> Array:
        return ndtr((x - np.asarray(mu)) / self._spread(rows, columns))

    def _quantile(self, q: Array, mu: Array, rows: Array, columns: Array) -> Array:
        return mu + ndtri(q) * self._spread(rows, columns)


class MatrixStudentT(_MatrixFamily):
    r"""Matrix t distribution on the (n, p) matrices: a matrix normal whose covariance of columns is inverse Wishart.

    .. math:: p(X) = \frac{\Gamma_p((\nu + n + p - 1)/2)}{\pi^{np/2} \Gamma_p((\nu + p - 1)/2)} |U|^{-p/2} |V|^{-n/2}
        \left|I + V^{-1} (X - M)^T U^{-1} (X - M)\right|^{-(\nu + n + p - 1)/2}

    which is the marginal of :math:`X \mid \Sigma \sim MN(M, U, \Sigma)`, :math:`\Sigma \sim IW(\nu + p - 1, V)`.

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, positive.
    mu, rowcov, colcov, rowtau, coltau, rowchol, colchol
        Location, and scale matrices along rows and columns, given as for `MatrixNormal`.

    Raises
    ------
    ParameterError
        Where `nu` is not positive, or the matrices are not as for `MatrixNormal`.

    Notes
    -----
    Each entry is a Student t with `nu` degrees of freedom and scale ``sqrt(U_ii V_jj / nu)``.
    Source: Gupta and Nagar (2000), Matrix Variate Distributions, sec. 4.2.

    Examples
    --------
    >>> from bayeskit.distributions import MatrixStudentT
    >>> d = MatrixStudentT(4, [[0.0, 1.0]], [[2.0]], [[1.0, 0.5], [0.5, 4.0]])
    >>> d.var().values
    array([[1., 4.]])
    """

    variants = tuple((Parameter("nu", positive), *v) for v in MatrixNormal.variants)
    parameters = variants[0]

    def __init__(
        self, nu: Any = None, mu: Any = 0, rowcov: Any = None, colcov: Any = None, *,
        rowtau: Any = None, coltau: Any = None, rowchol: Any = None, colchol: Any = None,
    ) -> None:  # fmt: skip
        self._assign(
            nu=nu, mu=mu, rowcov=rowcov, rowtau=rowtau, rowchol=rowchol, colcov=colcov, coltau=coltau, colchol=colchol
        )

    def _log_prob(self, x: Array, nu: Array, mu: Array, rows: Array, columns: Array) -> Array:
        white, half = self._white(x, mu, rows, columns)
        n, p = white.shape[-2:]
        if p > n:  # the determinant and the gammas are the same for the transposed matrix
            white, n, p = np.swapaxes(white, -1, -2), p, n
        nu = np.asarray(nu, dtype=float)
        whole = 0.5 * (nu + n + p - 1.0)
        inner = log_determinant(cholesky(np.eye(p) + symmetric_product(white)))
        value = log_multigamma(whole, p) - log_multigamma(whole - 0.5 * n, p) - 0.5 * n * p * log(pi)
        value = value - half - 2.0 * whole * inner
        return np.where(np.isnan(value), -np.inf, value)

    def _sample(
        self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, mu: Array, rows: Array, columns: Array
    ) -> Array:
        n, p = np.shape(rows)[-1], np.shape(columns)[-1]
        factor = wishart_factor(rng, shape, np.asarray(nu, dtype=float) + p - 1.0, p)
        # with A A' a standard Wishart, (A A')^-1 is inverse Wishart, and z A^-1 has rows of that covariance
        white = np.swapaxes(solve_upper(factor, rng.standard_normal((*shape, p, n))), -1, -2)
        return mu + self._coloured(white, rows, columns)

    def _mean(self, nu: Array, mu: Array, rows: Array, columns: Array) -> Array:
        return np.where(np.asarray(nu)[..., None, None] > 1, self._mode(nu, mu, rows, columns), np.nan)

    def _var(self, nu: Array, mu: Array, rows: Array, columns: Array) -> Array:
        nu = np.asarray(nu, dtype=float)[..., None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(nu > 2, 1.0 / (nu - 2.0), np.where(nu > 1, np.inf, np.nan))
        return factor * self._spread(rows, columns) ** 2

    def _cdf(self, x: Array, nu: Array, mu: Array, rows: Array, columns: Array) -> Array:
        nu = np.asarray(nu, dtype=float)[..., None, None]
        return stdtr(nu, (x - np.asarray(mu)) / (self._spread(rows, columns) / np.sqrt(nu)))

    def _quantile(self, q: Array, nu: Array, mu: Array, rows: Array, columns: Array) -> Array:
        nu = np.asarray(nu, dtype=float)[..., None, None]
        return mu + stdtrit(nu, q) * self._spread(rows, columns) / np.sqrt(nu)
