"""Differences of log gammas that survive large arguments.

``gammaln(1e15 + 5) - gammaln(1e15)`` is wrong by 3, for it subtracts two numbers of size 3e16. Written with Stirling's
formula the large parts cancel on paper, and what is left is small: a ``log1p`` and the difference of two remainders
(A. Didonato and A. Morris, ACM TOMS 18, 1992, Algorithm 708).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

__all__ = ["log_beta", "log_choose", "log_rising", "stirling_remainder"]

# From here on eight terms of the series give full precision.
_LARGE = 10.0
_HALF_LOG_TWO_PI = 0.9189385332046727
# Bernoulli numbers B_2k / (2k (2k - 1)), highest first.
_COEFFICIENTS = (-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)


def stirling_remainder(x: Any) -> Any:
    r"""Log gamma less Stirling's formula.

    .. math:: S(x) = \log\Gamma(x) - (x - 1/2)\log x + x - \log\sqrt{2\pi}

    Parameters
    ----------
    x : array_like
        Positive.

    Returns
    -------
    ndarray
        About ``1 / (12 x)``, to full absolute precision.

    Examples
    --------
    >>> round(float(stirling_remainder(1e3)) * 12e3, 6)
    1.0
    """
    x = np.asarray(x, dtype=float)
    series = _series(np.maximum(x, _LARGE))
    small = x < _LARGE
    if not small.any():
        return series
    with np.errstate(all="ignore"):
        return np.where(small, gammaln(x) - (x - 0.5) * np.log(x) + x - _HALF_LOG_TWO_PI, series)


def _series(x: Any) -> Any:
    inverse = 1.0 / x
    square = inverse * inverse
    total = np.zeros_like(x)
    for coefficient in _COEFFICIENTS:
        total = total * square + coefficient
    return total * inverse


def log_rising(x: Any, n: Any) -> Any:
    r"""Log of a rising factorial.

    .. math:: \log x^{(n)} = \log\Gamma(x + n) - \log\Gamma(x)

    Parameters
    ----------
    x : array_like
        Zero or more.
    n : array_like
        Zero or more, not necessarily whole.

    Returns
    -------
    ndarray
        Zero where `n` is 0, also at ``x = 0``.

    Examples
    --------
    >>> round(float(log_rising(1e15, 5)), 9)        # 5 log(1e15)
    172.693881975
    """
    x, n = np.asarray(x, dtype=float), np.asarray(n, dtype=float)
    large = x >= _LARGE
    with np.errstate(all="ignore"):
        if large.all():
            result = _log_rising_large(x, n)
        else:
            result = gammaln(x + n) - gammaln(x)
            if large.any():
                result = np.where(large, _log_rising_large(np.maximum(x, _LARGE), n), result)
    return np.where(n == 0, 0.0, result)


def _log_rising_large(x: Any, n: Any) -> Any:
    return (x - 0.5) * np.log1p(n / x) + n * np.log(x + n) - n + (_series(x + n) - _series(x))


def log_choose(n: Any, k: Any) -> Any:
    """Log of the number of ways to choose `k` of `n`; -inf where there is none.

    Examples
    --------
    >>> float(np.exp(log_choose(5, 2)).round(9))
    10.0
    >>> float(log_choose(5, 6))
    -inf
    """
    n, k = np.asarray(n, dtype=float), np.asarray(k, dtype=float)
    possible = (k >= 0) & (k <= n)
    few = np.where(possible, np.minimum(k, n - k), 0.0)
    with np.errstate(all="ignore"):
        result = -np.log1p(n) - log_beta(n - few + 1.0, few + 1.0)
    result = np.where(few == 0, 0.0, result)
    return np.where(possible, result, -np.inf)


def log_beta(a: Any, b: Any) -> Any:
    r"""Log of the beta function.

    .. math:: \log B(a, b) = \log\Gamma(a) + \log\Gamma(b) - \log\Gamma(a + b)

    Parameters
    ----------
    a, b : array_like
        Zero or more; infinite where either is zero.

    Examples
    --------
    >>> round(float(log_beta(2, 3)), 9)             # log(1 / 12)
    -2.48490665
    >>> round(float(log_beta(1e15, 1)), 9)          # -log(1e15)
    -34.538776395
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    more, less = np.maximum(a, b), np.minimum(a, b)
    large = less >= _LARGE
    if large.all():
        return _log_beta_large(more, less)
    result = gammaln(less) - log_rising(more, less)
    if large.any():
        safe = np.maximum(less, _LARGE)
        result = np.where(large, _log_beta_large(np.maximum(more, safe), safe), result)
    return np.where(less == 0, np.inf, result)


def _log_beta_large(more: Any, less: Any) -> Any:
    ratio = less / more
    remainder = _series(less) + (_series(more) - _series(more + less))
    return (
        _HALF_LOG_TWO_PI
        - 0.5 * np.log(less)
        - (more - 0.5) * np.log1p(ratio)
        + less * (np.log(ratio) - np.log1p(ratio))
        + remainder
    )
