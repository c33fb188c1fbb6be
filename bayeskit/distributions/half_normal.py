"""The half-normal family."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy.special import erf, erfc, erfcinv, erfinv, gammaln, log_ndtr, ndtri_exp

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.gammadraws import SMALLEST
from bayeskit.distributions.normal import scale, scale_alternatives

__all__ = ["HalfNormal"]

_LOG_NORMALISER = 0.5 * log(2.0 / pi)
_ROOT_TWO = sqrt(2.0)


class HalfNormal(Distribution):
    r"""Half-normal distribution: the absolute value of a Normal(0, sigma) variable.

    .. math:: p(x) = \frac{\sqrt 2}{\sigma\sqrt\pi} e^{-x^2 / (2\sigma^2)}, \quad x \ge 0

    Parameters
    ----------
    sigma : number, DataArray or expression
        Scale, positive; the standard deviation before folding. 1 where nothing is given.
    var, tau : number, DataArray or expression, optional
        Its square, or one over its square, instead of `sigma`.

    Raises
    ------
    ParameterError
        Where a scale is not positive and finite, or two are given.

    Examples
    --------
    >>> from bayeskit.distributions import HalfNormal
    >>> d = HalfNormal(5)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.quantile(0.95))]
    [3.989, 3.014, 9.8]
    """

    parameters = (scale,)
    alternatives = scale_alternatives
    support = "the numbers from 0"

    def __init__(self, sigma: Any = None, *, var: Any = None, tau: Any = None) -> None:
        self._assign(sigma=sigma, var=var, tau=tau)

    def _log_prob(self, x: Array, sigma: Array) -> Array:
        z = x / sigma
        return np.where(x >= 0, _LOG_NORMALISER - np.log(sigma) - 0.5 * z * z, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], sigma: Array) -> Array:
        return np.maximum(sigma * np.abs(rng.standard_normal(shape)), SMALLEST)

    def _mean(self, sigma: Array) -> Array:
        return sqrt(2.0 / pi) * sigma

    def _var(self, sigma: Array) -> Array:
        return (1.0 - 2.0 / pi) * sigma * sigma

    def _mode(self, sigma: Array) -> Array:
        return np.zeros_like(sigma)

    def _raw_moment(self, k: float, sigma: Array) -> Array:
        """Expected ``x**k``."""
        if k <= -1:
            return np.full_like(sigma, np.inf)
        return sigma**k * np.exp(0.5 * k * log(2.0) + gammaln(0.5 * (k + 1.0)) - 0.5 * log(pi))

    def _tilted_mode(self, k: float, sigma: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return sigma * sqrt(max(k, 0.0))

    def _cdf(self, x: Array, sigma: Array) -> Array:
        return erf(np.maximum(x, 0.0) / (_ROOT_TWO * sigma))

    def _sf(self, x: Array, sigma: Array) -> Array:
        return erfc(np.maximum(x, 0.0) / (_ROOT_TWO * sigma))

    def _log_sf(self, x: Array, sigma: Array) -> Array:
        return log(2.0) + log_ndtr(-np.maximum(x, 0.0) / sigma)

    def _quantile(self, q: Array, sigma: Array) -> Array:
        return _ROOT_TWO * sigma * np.where(np.less(q, 0.5), erfinv(q), erfcinv(1.0 - np.asarray(q)))

    def _log_isf(self, log_tail: Array, sigma: Array) -> Array:
        return np.maximum(-sigma * ndtri_exp(np.minimum(log_tail, 0.0) - log(2.0)), 0.0)

    def _bounds(self, sigma: Array) -> tuple[float, float]:
        return 0.0, np.inf
