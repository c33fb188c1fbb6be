r"""Logarithm of the modified Bessel function K, where the function itself overflows or underflows.

Three regions, by ``r = sqrt(nu**2 + z**2)``. For large r Debye's expansion holds uniformly in nu and z (DLMF 10.41.4;
written in ``1 / r`` it also holds as nu goes to 0): with ``w = nu**2 / r**2``,

.. math:: \log K_\nu(z) = \tfrac12\log\frac{\pi}{2r} - r + \nu\,\mathrm{asinh}(\nu/z) + \log\sum_k (-1)^k u_k(w) / r^k

For small r the library function, scaled by ``exp(z)``, is right; where it overflows because z is tiny, so is the
leading term of the ascending series (DLMF 10.31.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, kve, roots_legendre

__all__ = ["log_bessel_k", "log_bessel_k_ratio"]

# From here on the terms after the seventh are below 1e-16.
_LARGE = 100.0
_HALF_LOG_HALF_PI = 0.22579135264472744
# Gauss and Legendre's rule on 0..1.
_NODES, _WEIGHTS = roots_legendre(6)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


def _debye_coefficients(terms: int) -> list[Any]:
    """Coefficients in w of ``U_k(p) / p**k`` with ``w = p**2``, highest first, by DLMF 10.41.9."""
    u = np.array([1.0])
    rows = []
    for k in range(1, terms + 1):
        # Of a term c p**n: (1 - p**2) p**2 / 2 times its derivative, and the integral of (1 - 5 p**2) / 8 times it.
        n = np.arange(len(u))
        following = np.zeros(len(u) + 3)
        following[1:-2] = u * (0.5 * n + 0.125 / (n + 1))
        following[3:] -= u * (0.5 * n + 0.625 / (n + 3))
        u = following
        rows.append(u[k::2][::-1].copy())
    return rows


_DEBYE = _debye_coefficients(7)


def _log_series(nu: Any, r: Any) -> Any:
    """Log of Debye's series."""
    w = (nu / r) ** 2
    total = np.zeros_like(r)
    for row in reversed(_DEBYE):
        total = -(total + np.polyval(row, w)) / r
    return np.log1p(total)


def log_bessel_k(nu: Any, z: Any) -> Any:
    """Log of the modified Bessel function of the second kind, of real order.

    Parameters
    ----------
    nu : array_like
        Order, of any size and sign.
    z : array_like
        Argument, positive.

    Returns
    -------
    ndarray
        Right to about ``1e-15 * (|result| + |nu| + z)``.

    Examples
    --------
    >>> [round(float(log_bessel_k(nu, z)), 6) for nu, z in ((0.5, 1.0), (1e5, 2.0), (3.0, 1e-200))]
    [-0.774209, 1051287.015816, 1383.630497]
    """
    nu, z = np.broadcast_arrays(np.abs(np.asarray(nu, dtype=float)), np.asarray(z, dtype=float))
    with np.errstate(all="ignore"):
        r = np.hypot(nu, z)
        large = r >= _LARGE
        if large.all():
            return _log_bessel_k_large(nu, z, r)
        result = np.log(kve(nu, z)) - z
        result = np.where(np.isfinite(result), result, _log_bessel_k_tiny(nu, z))
        if large.any():
            result = np.where(large, _log_bessel_k_large(nu, z, r), result)
    return result


def _log_bessel_k_large(nu: Any, z: Any, r: Any) -> Any:
    # asinh(nu / z) as a logarithm, so that nu / z may overflow.
    return _HALF_LOG_HALF_PI - 0.5 * np.log(r) - r + nu * (np.log((nu + r) / r) - np.log(z / r)) + _log_series(nu, r)


def _log_bessel_k_tiny(nu: Any, z: Any) -> Any:
    quarter = 0.25 * z * z
    term = total = np.ones_like(quarter)
    for k in range(1, 9):
        # Past the order the terms belong to the other solution, which vanishes here.
        term = np.where(k < nu, -term * quarter / (k * (nu - k)), 0.0)
        total = total + term
    return gammaln(nu) + (nu - 1.0) * np.log(2.0) - nu * np.log(z) + np.log(total)


def log_bessel_k_ratio(nu: Any, z: Any) -> Any:
    r"""Log of the ratio of two neighbours, :math:`K_{\nu+1}(z) / K_\nu(z)`, without cancellation at large orders.

    For large arguments the exponents are not subtracted: their derivative in the order is ``asinh(nu / z)``, which is
    integrated over the step of one.

    Parameters
    ----------
    nu : array_like
        Lower order, of any size and sign.
    z : array_like
        Argument, positive.

    Examples
    --------
    >>> [round(float(log_bessel_k_ratio(nu, 2.0)), 9) for nu in (-0.5, 1e12)]       # log(1), log(1e12)
    [0.0, 27.631021116]
    """
    nu, z = np.broadcast_arrays(np.asarray(nu, dtype=float), np.asarray(z, dtype=float))
    with np.errstate(all="ignore"):
        r, above = np.hypot(nu, z), np.hypot(nu + 1.0, z)
        large = np.minimum(r, above) >= _LARGE
        if large.all():
            return _log_bessel_k_ratio_large(nu, z, r, above)
        result = np.log(kve(np.abs(nu + 1.0), z) / kve(np.abs(nu), z))
        bad = ~np.isfinite(result)
        if bad.any():
            result = np.where(bad, log_bessel_k(nu + 1.0, z) - log_bessel_k(nu, z), result)
        if large.any():
            result = np.where(large, _log_bessel_k_ratio_large(nu, z, r, above), result)
    return result


def _log_bessel_k_ratio_large(nu: Any, z: Any, r: Any, above: Any) -> Any:
    slope = np.zeros_like(r)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        order = nu + node
        size = np.abs(order)
        slope = slope + weight * np.sign(order) * (np.log(size + np.hypot(order, z)) - np.log(z))
    return slope - 0.25 * np.log1p((2.0 * nu + 1.0) / (r * r)) + _log_series(nu + 1.0, above) - _log_series(nu, r)
