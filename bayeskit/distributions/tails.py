"""Tail probabilities in logs, where the probabilities themselves underflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, betaincinv, gammainc, gammaincc, gammainccinv, gammaincinv, gammaln

from bayeskit.distributions.gammafunctions import log_beta
from bayeskit.distributions.saddlepoint import log_poisson

__all__ = [
    "betainc_inverse",
    "gammainc_inverse",
    "gammaincc_inverse",
    "log1mexp",
    "log_betainc",
    "log_difference",
    "log_gammainc",
    "log_gammaincc",
]

# A bound on loops that end long before, but for shapes of 1e10 and more.
_TERMS = 100_000
# Below it a probability is near the least double: tails are taken, and inverted, in logs.
_TINY = 1e-290
_LOG_TINY = -667.0


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
        small = np.asarray(direct) < _TINY
        if small.any():
            cells = [np.broadcast_to(argument, result.shape)[small] for argument in arguments]
            result = result.copy()
            result[small] = exact(*cells)
    return result


def _log_front(a: Any, x: Any) -> Any:
    """Log of ``x**a exp(-x) / Gamma(a + 1)``, which does not cancel at large shapes."""
    return log_poisson(a, x, np.log(x))


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
        if not np.any(np.abs(c * d - 1.0) > 1e-15):  # nan, at infinite x, is done
            break
    result = _log_front(a, x) + np.log(a) + np.log(h)
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
        if not np.any(term > 1e-16 * total):
            break
    return np.where(x > 0, _log_front(a, x) + np.log(total), -np.inf)


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
        if not np.any(term > 1e-16 * total):
            break
    log_front = a * np.log(x) + b * np.log1p(-x) - np.log(a) - log_beta(a, b)
    return np.where(x > 0, log_front + np.log(total), -np.inf)


def _invert(direct: Any, log_p: Any, solve: Callable[..., Any], *parameters: Any) -> Any:
    """Inverse at ``exp(log_p)``, solved in logs in the cells where that underflows."""
    direct = np.asarray(direct)
    small = np.broadcast_to(np.asarray(log_p) < _LOG_TINY, direct.shape)
    if not small.any():
        return direct
    cells = [np.broadcast_to(value, direct.shape)[small] for value in (log_p, *parameters)]
    result = direct.copy()
    with np.errstate(all="ignore"):
        result[small] = solve(*cells)
    return result


def gammaincc_inverse(a: Any, log_p: Any) -> Any:
    """Value x at which the log of the upper incomplete gamma function is `log_p`.

    Examples
    --------
    >>> float(gammaincc_inverse(1.0, -5000.0))
    5000.0
    """

    def solve(target: Any, a: Any) -> Any:
        x = gammainccinv(a, _TINY)
        for _ in range(50):
            value = _upper_gamma(a, x)
            step = (value - target) / np.exp(_log_front(a, x) + np.log(a) - np.log(x) - value)
            x = np.maximum(x + step, 0.5 * x)
            if not np.any(np.abs(step) > 1e-15 * x):
                break
        return np.where(np.isneginf(target), np.inf, x)

    return _invert(gammainccinv(a, np.exp(log_p)), log_p, solve, a)


def gammainc_inverse(a: Any, log_p: Any) -> Any:
    """Value x at which the log of the lower incomplete gamma function is `log_p`.

    Examples
    --------
    >>> float(np.log(gammainc_inverse(0.5, -300.0)).round(6))       # of the leading term, 2 sqrt(x / pi)
    -600.241565
    """

    def solve(target: Any, a: Any) -> Any:
        def log_slope(y: Any) -> Any:
            return _log_front(a, np.exp(y)) + np.log(a)

        start = _start(gammaincinv(a, _TINY), (target + gammaln(a + 1.0)) / a)
        return _newton(target, start, lambda y: _lower_gamma(a, np.exp(y)), log_slope)

    return _invert(gammaincinv(a, np.exp(log_p)), log_p, solve, a)


def betainc_inverse(a: Any, b: Any, log_p: Any) -> Any:
    """Value x at which the log of the regularised incomplete beta function is `log_p`.

    Examples
    --------
    >>> float(np.log(betainc_inverse(2.0, 1.0, -1000.0)).round(6))
    -500.0
    """

    def solve(target: Any, a: Any, b: Any) -> Any:
        log_b = log_beta(a, b)

        def log_slope(y: Any) -> Any:
            return a * y + (b - 1.0) * np.log1p(-np.exp(y)) - log_b

        start = _start(betaincinv(a, b, _TINY), (target + np.log(a) + log_b) / a)
        return _newton(target, start, lambda y: _lower_beta(a, b, np.exp(y)), log_slope)

    return _invert(betaincinv(a, b, np.exp(log_p)), log_p, solve, a, b)


def _start(nearest: Any, leading: Any) -> Any:
    """Log of the inverse at the least probability held; where that is zero, the leading term of the series."""
    return np.where(nearest > 0, np.log(nearest), leading)


def _newton(target: Any, y: Any, log_tail: Callable[[Any], Any], log_slope: Callable[[Any], Any]) -> Any:
    """Newton in y = log x for a log tail that is concave in y: after one step it comes from below, monotonely."""
    for _ in range(50):
        value = log_tail(y)
        step = (target - value) / np.exp(log_slope(y) - value)
        y = np.minimum(y + np.where(np.isfinite(step), step, 0.0), 700.0)
        if not np.any(np.abs(step) > 1e-15 * np.maximum(np.abs(y), 1.0)):
            break
    return np.exp(y)
