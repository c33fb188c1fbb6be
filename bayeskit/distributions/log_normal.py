"""The log-normal family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST
from bayeskit.distributions.normal import LOG_ROOT_2PI, location, scale, scale_alternatives

__all__ = ["LogNormal"]


class LogNormal(Distribution):
    r"""Log-normal distribution: the exponential of a Normal(mu, sigma) variable.

    .. math:: p(x) = \frac{1}{x\sigma\sqrt{2\pi}} \exp\left(-\frac{(\log x-\mu)^2}{2\sigma^2}\right), \quad x > 0

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean of the logarithm.
    sigma : number, DataArray or expression
        Standard deviation of the logarithm, positive; 1 where nothing is given.
    var, tau : number, DataArray or expression, optional
        Variance or precision of the logarithm, instead of `sigma`.

    Raises
    ------
    ParameterError
        Where a parameter is not finite, a scale is not positive, or two scales are given.

    Examples
    --------
    >>> from bayeskit.distributions import LogNormal
    >>> d = LogNormal(0, 0.5)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.quantile(0.5))]
    [1.133, 0.604, 0.779, 1.0]
    """

    parameters = (location, scale)
    alternatives = scale_alternatives
    support = "the positive numbers"

    def __init__(self, mu: Any = 0, sigma: Any = None, *, var: Any = None, tau: Any = None) -> None:
        self._assign(mu=mu, sigma=sigma, var=var, tau=tau)

    def _log_prob(self, x: Array, mu: Array, sigma: Array) -> Array:
        with np.errstate(all="ignore"):
            log_x = np.log(x)
            z = (log_x - mu) / sigma
            return np.where((x > 0) & (x < np.inf), -0.5 * z * z - (np.log(sigma) + LOG_ROOT_2PI) - log_x, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, sigma: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.clip(np.exp(mu + sigma * rng.standard_normal(shape)), SMALLEST, LARGEST)

    def _mean(self, mu: Array, sigma: Array) -> Array:
        return np.exp(mu + 0.5 * sigma * sigma)

    def _var(self, mu: Array, sigma: Array) -> Array:
        square = sigma * sigma
        return np.expm1(square) * np.exp(2.0 * mu + square)

    def _mode(self, mu: Array, sigma: Array) -> Array:
        return np.exp(mu - sigma * sigma)

    def _raw_moment(self, k: float, mu: Array, sigma: Array) -> Array:
        """Expected ``x**k``."""
        return np.exp(k * mu + 0.5 * k * k * sigma * sigma)

    def _tilted_mode(self, k: float, mu: Array, sigma: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return np.exp(mu + (k - 1.0) * sigma * sigma)

    def _standard(self, x: Array, mu: Array, sigma: Array) -> Array:
        with np.errstate(divide="ignore"):
            return (np.log(np.maximum(x, 0.0)) - mu) / sigma

    def _cdf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return ndtr(self._standard(x, mu, sigma))

    def _sf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return ndtr(-self._standard(x, mu, sigma))

    def _log_cdf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return log_ndtr(self._standard(x, mu, sigma))

    def _log_sf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return log_ndtr(-self._standard(x, mu, sigma))

    def _quantile(self, q: Array, mu: Array, sigma: Array) -> Array:
        return np.exp(mu + sigma * ndtri(q))

    def _log_quantile(self, log_q: Array, mu: Array, sigma: Array) -> Array:
        return np.exp(mu + sigma * ndtri_exp(log_q))

    def _log_isf(self, log_tail: Array, mu: Array, sigma: Array) -> Array:
        return np.exp(mu - sigma * ndtri_exp(log_tail))

    def _bounds(self, mu: Array, sigma: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, mu: Array, sigma: Array) -> Array:
        return ~((x > 0) & (x < np.inf))
