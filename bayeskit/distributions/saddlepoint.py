"""Probabilities of counts without cancellation: log masses of Poisson form for counts up to 1e15 and beyond.

The textbook formula adds terms of size x log x which cancel to a few units: at a count of 1e15 nothing is left of the
answer. For large counts the Poisson mass is written as a Stirling remainder and a deviance, both small (C. Loader,
"Fast and accurate computation of binomial probabilities", 2000); the other families are products of Poisson masses:
a binomial is Poisson(y; np) Poisson(n - y; nq) / Poisson(n; n), a negative binomial likewise, and a beta-binomial is
made of negative binomials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.gammafunctions import log_rising

__all__ = ["LARGE_COUNT", "log_negative_binomial", "log_poisson", "softplus", "times"]

# Below it the textbook formula is right to 1e-12, and faster.
LARGE_COUNT = 1000.0
_HALF_LOG_TWO_PI = 0.9189385332046727


def softplus(u: Any) -> Any:
    """log(1 + exp(u)) without overflow, of functions that NumPy vectorises (`logaddexp` it does not)."""
    return np.maximum(u, 0.0) + np.log1p(np.exp(-np.abs(u)))


def times(count: Any, log_term: Any) -> Any:
    """Product in which a count of zero gives zero whatever the log is."""
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(count, 0), 0.0, count * log_term)


def log_poisson(x: Any, mean: Any, log_mean: Any) -> Any:
    """Log of mean**x exp(-mean) / x! for real x >= 0.

    Parameters
    ----------
    x : array_like
        Counts (or real numbers).
    mean, log_mean : array_like
        The mean and its log, which may be -inf; where the mean underflows, its log still counts.

    Examples
    --------
    >>> float(log_poisson(1e15, 1e15, np.log(1e15)).round(9))       # -log(2 pi 1e15) / 2
    -18.188326731
    """
    x = np.asarray(x, dtype=float)
    direct = times(x, log_mean) - mean - gammaln(x + 1.0)
    large = x > LARGE_COUNT
    if not large.any():
        return direct
    with np.errstate(all="ignore"):
        remainder = (1.0 / 12.0 - 1.0 / (360.0 * x * x)) / x
        saddle = -remainder - _deviance(x, mean, log_mean) - 0.5 * np.log(x) - _HALF_LOG_TWO_PI
        return np.where(large, saddle, direct)


def _deviance(x: Any, mean: Any, log_mean: Any) -> Any:
    """Deviance x log(x / mean) + mean - x, by a series where x is near the mean."""
    v = (x - mean) / (x + mean)
    near = np.abs(v) < 0.1
    w = v * v
    series = np.zeros_like(w)
    for power in (17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        series = w * (series + 1.0 / power)
    return np.where(near, v * (x - mean) + 2.0 * x * v * series, x * (np.log(x) - log_mean) + mean - x)


def log_negative_binomial(y: Any, size: Any, mean: Any) -> Any:
    """Log mass of `y` failures before the `size`-th success where `mean` failures are expected.

    Right for sizes from 0 (all mass at zero) to those where it is a Poisson, and for a mean of zero.

    Examples
    --------
    >>> float(log_negative_binomial(3.0, 1e18, 2.0).round(9))       # Poisson(2)
    -1.712317928
    """
    y = np.asarray(y, dtype=float)
    size, mean = np.asarray(size, dtype=float), np.asarray(mean, dtype=float)
    with np.errstate(all="ignore"):
        log_p, log_q = -np.log1p(mean / size), -np.log1p(size / mean)
        result = log_rising(size, y) - gammaln(y + 1.0) + times(size, log_p) + times(y, log_q)
        large = y > LARGE_COUNT
        if large.any():
            total = size + y
            log_total = np.log(total)
            parts = log_poisson(size, total / (1.0 + mean / size), log_total + log_p)
            parts = parts + log_poisson(y, total / (1.0 + size / mean), log_total + log_q)
            parts = parts - log_poisson(total, total, log_total)
            result = np.where(large, np.log(size) - log_total + parts, result)
    return np.where((size == 0) | (mean == 0), np.where(y == 0, 0.0, -np.inf), result)
