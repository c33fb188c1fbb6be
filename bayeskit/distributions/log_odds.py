"""The log odds of a beta variable, accurate at both ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, betaln, digamma, expit, log_expit, polygamma

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.gammadraws import log_standard_gamma
from bayeskit.distributions.gammafunctions import log_beta
from bayeskit.distributions.saddlepoint import LARGE_COUNT
from bayeskit.distributions.tails import betainc_inverse, log1mexp, log_betainc

__all__ = ["LogOdds"]

_LOG_HALF = np.log(0.5)
_LOG_NEGLIGIBLE = np.log(1e-17)
_BETA = Beta(1, 1)


class LogOdds(Distribution):
    r"""Distribution of ``log(x / (1 - x))`` where x is Beta(alpha, beta).

    .. math:: p(u) = \frac{1}{B(\alpha, \beta)} \frac{e^{\alpha u}}{(1 + e^u)^{\alpha + \beta}}

    The kernels of `Monotone` for log odds and odds: through x itself, a double near one would hold too little.

    Examples
    --------
    >>> d = LogOdds(2, 3)
    >>> [round(float(v), 4) for v in (d.mean(), d.sd(), d.quantile(0.5))]
    [-0.5, 1.0197, -0.4653]
    >>> round(float(d._log_isf(-300.0, 2.0, 3.0)), 4)
    100.4621
    """

    parameters = Beta.parameters

    def __init__(self, alpha: Any, beta: Any) -> None:
        self._assign(alpha=alpha, beta=beta)

    def _log_prob(self, u: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            log_p, log_q = log_expit(u), log_expit(np.negative(u))
            small = np.max(alpha, initial=0.0) < 50.0 and np.max(beta, initial=0.0) < 50.0
            result = alpha * log_p + beta * log_q - (betaln(alpha, beta) if small else log_beta(alpha, beta))
            if max(np.max(alpha, initial=0.0), np.max(beta, initial=0.0)) > LARGE_COUNT:
                inner = _BETA._log_prob(expit(u), alpha, beta) + log_p + log_q
                result = np.where(np.abs(u) < 30.0, inner, result)
            return np.where(np.isfinite(u), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        return log_standard_gamma(rng, alpha, shape) - log_standard_gamma(rng, beta, shape)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        return digamma(alpha) - digamma(beta)

    def _var(self, alpha: Array, beta: Array) -> Array:
        return polygamma(1, alpha) + polygamma(1, beta)

    def _mode(self, alpha: Array, beta: Array) -> Array:
        return np.log(alpha) - np.log(beta)

    def _cdf(self, u: Array, alpha: Array, beta: Array) -> Array:
        low = np.less(u, 0)
        return np.where(low, betainc(alpha, beta, expit(u)), betaincc(beta, alpha, expit(np.negative(u))))

    def _sf(self, u: Array, alpha: Array, beta: Array) -> Array:
        return self._cdf(np.negative(u), beta, alpha)

    def _log_cdf(self, u: Array, alpha: Array, beta: Array) -> Array:
        return log_betainc(alpha, beta, expit(u), expit(np.negative(u)))

    def _log_sf(self, u: Array, alpha: Array, beta: Array) -> Array:
        return self._log_cdf(np.negative(u), beta, alpha)

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            below, above = (
                self._log_quantile(np.log(q), alpha, beta),
                self._log_isf(np.log1p(-np.asarray(q)), alpha, beta),
            )
        return np.where(np.less(q, 0.5), below, above)

    def _log_quantile(self, log_q: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            log_p = log1mexp(log_q)
            x, y = betainc_inverse(alpha, beta, log_q), betainc_inverse(beta, alpha, log_p)
            log_x, log_y = _log_of(x, log_q, alpha, beta), _log_of(y, log_p, beta, alpha)
            return np.where(log_x < _LOG_HALF, log_x - np.log1p(-np.exp(log_x)), np.log1p(-np.exp(log_y)) - log_y)

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        return -self._log_quantile(log_tail, beta, alpha)

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return -np.inf, np.inf


def _log_of(x: Array, log_q: Array, alpha: Array, beta: Array) -> Array:
    """Log of a quantile x: where the next term of the series is lost in rounding, that of the first one."""
    leading = (log_q + np.log(alpha) + log_beta(alpha, beta)) / alpha
    return np.where(leading + np.log(alpha + beta + 1.0) < _LOG_NEGLIGIBLE, leading, np.log(x))
