"""Differences of log gammas that survive large arguments.

``gammaln(1e15 + 5) - gammaln(1e15)`` is wrong by 3, for it subtracts two numbers of size 3e16. Written with Stirling's
formula the large parts cancel on paper, and what is left is small: a ``log1p`` and the difference of two remainders
(A. Didonato and A. Morris, ACM TOMS 18, 1992, Algorithm 708).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

__all__ = ["distinct", "log_beta", "log_choose", "log_rising", "stirling_remainder"]

# From here on eight terms of the series give full precision.
_LARGE = 10.0
# A rising factorial of so many factors at most is multiplied out, where it does not overflow.
_FEW, _LARGEST_LOG = 64, 700.0
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
    x, n = distinct(np.asarray(x, dtype=float)), distinct(np.asarray(n, dtype=float))
    if _is_product(x, n):
        with np.errstate(divide="ignore"):
            return _log_product(x, n)
    large = x >= _LARGE
    with np.errstate(all="ignore"):
        if large.all():
            result = _log_rising_large(x, n)
        else:
            result = gammaln(x + n) - gammaln(x)
            if large.any():
                result = np.where(large, _log_rising_large(np.maximum(x, _LARGE), n), result)
    return np.where(n == 0, 0.0, result)


def distinct(x: Any, axes: int | None = None) -> Any:
    """Return a view with length one along the first axes that a broadcast made: what is equal is computed once.

    Parameters
    ----------
    x : ndarray
        Any array.
    axes : int, optional
        How many axes are looked at; by default all.

    Examples
    --------
    >>> distinct(np.broadcast_to(np.zeros((3, 1)), (3, 1000))).shape
    (3, 1)
    """
    if 0 not in x.strides:
        return x
    return x[tuple(slice(0, 1) if step == 0 else slice(None) for step in x.strides[:axes])]


def _is_product(x: Any, n: Any) -> bool:
    """Whether every `x` of a batch meets the same few factors, and their product stays within range."""
    if x.ndim == 0 or x.size != len(x) or n.size == 0 or (n.ndim == x.ndim and len(n) > 1) or n.ndim > x.ndim:
        return False
    most = float(n.max())
    if not 0 <= most <= _FEW or n.min() < 0 or not (n == np.floor(n)).all():
        return False
    return bool(x.min(initial=1.0) >= 0 and most * np.log(x.max(initial=1.0) + most) < _LARGEST_LOG)


def _log_product(x: Any, n: Any) -> Any:
    """Log of ``x (x + 1) ... (x + n - 1)``, computed once for every `n` that occurs."""
    counts, places = np.unique(n, return_inverse=True)
    flat, logs = x.reshape(-1), np.zeros((x.size, len(counts)))
    product, done = np.ones_like(flat), 0
    for column, count in enumerate(counts.astype(int).tolist()):
        for k in range(done, count):
            product *= flat + k
        done = count
        if count:
            logs[:, column] = np.log(product)
    return logs[:, places.reshape(-1)].reshape(np.broadcast_shapes(x.shape, n.shape))


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
