"""Tail probabilities in logs, where the probabilities themselves underflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammainc, gammaincc, gammaln

from bayeskit.distributions.gammafunctions import log_beta

__all__ = ["log1mexp", "log_betainc", "log_difference", "log_gammainc", "log_gammaincc"]

_TERMS = 300


def log1mexp(x: Any) -> Any:
    """Log of ``1 - exp(x)`` for x <= 0 (M. Maechler, "Accurately computing log(1 - exp(-|a|))", 2012).

    Examples
    --------
    >>> float(log1mexp(-1e-20).round(6))
    -46.051702
    """
    x = np.asarray(x, dtype=float)
    with np.errstate(all="ignore"):
        return np.where(x > -0.6931471805599453, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def log_difference(a: Any, b: Any) -> Any:
    """Log of ``exp(a) - exp(b)`` for a >= b.

    Examples
    --------
    >>> float(log_difference(-1000.0, -1001.0).round(6))
    -1000.458675
    """
    with np.errstate(all="ignore"):
        return np.where(np.isneginf(b), a, a + log1mexp(np.minimum(np.subtract(b, a), 0.0)))


def _where_it_underflows(direct: Any, exact: Callable[..., Any], *arguments: Any) -> Any:
    """Log of `direct`, computed by `exact` in the cells where it is too small to hold."""
    with np.errstate(all="ignore"):
        result = np.asarray(np.log(direct))
        small = np.asarray(direct) < 1e-290
        if small.any():
            cells = [np.broadcast_to(argument, result.shape)[small] for argument in arguments]
            result = result.copy()
            result[small] = exact(*cells)
    return result


def log_gammaincc(a: Any, x: Any) -> Any:
    """Log of the upper regularised incomplete gamma function.

    Examples
    --------
    >>> float(log_gammaincc(1.0, 5000.0))
    -5000.0
    """
    return _where_it_underflows(gammaincc(a, x), _upper_gamma, a, x)


def _upper_gamma(a: Any, x: Any) -> Any:
    """Legendre's continued fraction, by Lentz's method (Numerical Recipes, section 6.2); DLMF 8.9.2."""
    b = x + 1.0 - a
    c = np.full_like(b, 1e300)
    d = 1.0 / b
    h = d
    for i in range(1, _TERMS):
        term = -i * (i - a)
        b = b + 2.0
        d = 1.0 / (term * d + b)
        c = b + term / c
        h = h * c * d
        if np.all(np.abs(c * d - 1.0) < 1e-15):
            break
    result = a * np.log(x) - x - gammaln(a) + np.log(h)
    return np.where((x == np.inf) | (a == 0), -np.inf, result)


def log_gammainc(a: Any, x: Any) -> Any:
    """Log of the lower regularised incomplete gamma function.

    Examples
    --------
    >>> float(log_gammainc(100.0, 1e-5).round(6))
    -1515.031932
    """
    return _where_it_underflows(gammainc(a, x), _lower_gamma, a, x)


def _lower_gamma(a: Any, x: Any) -> Any:
    """Kummer's series; DLMF 8.7.1."""
    term = total = np.ones_like(x)
    for i in range(1, _TERMS):
        term = term * x / (a + i)
        total = total + term
        if np.all(term < 1e-16 * total):
            break
    return np.where(x > 0, a * np.log(x) - x - gammaln(a + 1.0) + np.log(total), -np.inf)


def log_betainc(a: Any, b: Any, x: Any, y: Any) -> Any:
    """Log of the regularised incomplete beta function at `x`, given also ``y = 1 - x``.

    Examples
    --------
    >>> float(log_betainc(2.0, 1.0, 1e-200, 1.0).round(6))
    -921.034037
    """
    direct = np.where(x < 0.5, betainc(a, b, x), betaincc(b, a, y))
    return _where_it_underflows(direct, _lower_beta, a, b, x)


def _lower_beta(a: Any, b: Any, x: Any) -> Any:
    """Hypergeometric series; DLMF 8.17.8."""
    term = total = np.ones_like(x)
    for i in range(_TERMS):
        term = term * x * (a + b + i) / (a + 1.0 + i)
        total = total + term
        if np.all(term < 1e-16 * total):
            break
    log_front = a * np.log(x) + b * np.log1p(-x) - np.log(a) - log_beta(a, b)
    return np.where(x > 0, log_front + np.log(total), -np.inf)
