"""The generalised inverse Gaussian family, which holds the gamma and the inverse gamma as its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions import gig_draws, gig_numeric
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.bessel import log_bessel_k, log_bessel_k_ratio
from bayeskit.distributions.domains import Parameter, nonnegative, real
from bayeskit.distributions.parameters import is_expression

__all__ = ["GeneralizedInverseGaussian", "log_bessel_k", "log_gig_normaliser"]


def log_gig_normaliser(p: Any, a: Any, b: Any) -> Any:
    r"""Log of the integral of ``x**(p - 1) * exp(-(a x + b / x) / 2)`` over the positive numbers.

    Parameters
    ----------
    p : array_like
        Any real number.
    a, b : array_like
        Zero or positive; ``b = 0`` is the gamma limit (p > 0), ``a = 0`` the inverse gamma one (p < 0).

    Returns
    -------
    ndarray
        Infinite where the integral is.

    Examples
    --------
    >>> float(log_gig_normaliser(2.0, 1.0, 0.0).round(6))           # Gamma(2, 1/2): log 4
    1.386294
    >>> float(log_gig_normaliser(-0.5, 4.0, 9.0).round(6))          # sqrt(2 pi / 9) * exp(-6)
    -6.179674
    """
    p, a, b = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (p, a, b)))
    inner = (a > 0) & (b > 0)
    with np.errstate(all="ignore"):
        if not inner.any():
            return _edge(p, a, b)
        result = np.log(2.0) + log_bessel_k(p, np.sqrt(a) * np.sqrt(b)) + 0.5 * p * (np.log(b) - np.log(a))
        return result if inner.all() else np.where(inner, result, _edge(p, a, b))


def _edge(p: Array, a: Array, b: Array) -> Array:
    """Return the same where one of a and b is zero: a gamma or an inverse gamma."""
    order, rate = (p, a) if not b.any() else (np.where(b == 0, p, -p), np.where(b == 0, a, b))
    return np.where((rate > 0) & (order > 0), gammaln(order) + order * np.log(2.0 / rate), np.inf)


class GeneralizedInverseGaussian(Distribution):
    r"""Generalised inverse Gaussian distribution.

    .. math:: p(x) = \frac{(a/b)^{p/2}}{2 K_p(\sqrt{ab})} x^{p-1} e^{-(a x + b/x)/2}, \quad x > 0

    It is the posterior of a variance under a prior that is a gamma, or half-normal on the standard deviation.

    Parameters
    ----------
    p : number, DataArray or expression
        Order, any real number.
    a, b : number, DataArray or expression
        Zero or positive. With ``b = 0`` and p > 0 it is Gamma(p, a / 2), with ``a = 0`` and p < 0 InverseGamma(-p,
        b / 2); other zeros make it improper, and the log density that of the kernel.

    Raises
    ------
    ParameterError
        Where `a` or `b` is negative, or a parameter not finite.

    References
    ----------
    B. Jorgensen, "Statistical Properties of the Generalized Inverse Gaussian Distribution", 1982.

    Examples
    --------
    >>> from bayeskit.distributions import GeneralizedInverseGaussian
    >>> d = GeneralizedInverseGaussian(-0.5, 4, 9)
    >>> [round(float(v), 4) for v in (d.mean(), d.sd(), d.quantile(0.5), d.cdf(1.5))]
    [1.5, 0.6124, 1.3859, 0.5784]
    """

    parameters = (Parameter("p", real), Parameter("a", nonnegative), Parameter("b", nonnegative))
    support = "the positive numbers"

    def __init__(self, p: Any, a: Any, b: Any) -> None:
        self._assign(p=p, a=a, b=b)

    @property
    def is_proper(self) -> bool:
        """Whether the density integrates to one."""
        p, a, b = self.canonical.values()
        if any(is_expression(value) for value in (p, a, b)):
            return True
        proper = ((a > 0) | ((b > 0) & (p < 0))) & ((b > 0) | ((a > 0) & (p > 0)))
        return bool(np.all(proper))

    def _log_prob(self, x: Array, p: Array, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            normaliser = log_gig_normaliser(p, a, b)
            kernel = (p - 1.0) * np.log(x) - 0.5 * (a * x + b / x)
            result = kernel - np.where(np.isfinite(normaliser), normaliser, 0.0)
            return np.where((x > 0) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], p: Array, a: Array, b: Array) -> Array:
        return gig_draws.draw(rng, shape, p, a, b)

    def _mean(self, p: Array, a: Array, b: Array) -> Array:
        return self._raw_moment(1.0, p, a, b)

    def _var(self, p: Array, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            omega = np.sqrt(a) * np.sqrt(b)
            first, second = log_bessel_k_ratio(p, omega), log_bessel_k_ratio(p + 1.0, omega)
            inner = b / a * np.exp(2.0 * first) * np.expm1(second - first)
            inverse = np.where(p < -2, (0.5 * b / (p + 1.0)) ** 2 / (-p - 2.0), np.inf)
            return np.where(omega > 0, inner, np.where(b == 0, 4.0 * p / (a * a), inverse))

    def _raw_moment(self, k: float, p: Array, a: Array, b: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            inner = (a > 0) & (b > 0)
            difference = log_gig_normaliser(p + k, a, b) - log_gig_normaliser(p, a, b)
            if k == 1.0 and np.any(inner):
                omega = np.sqrt(a) * np.sqrt(b)
                ratio = log_bessel_k_ratio(p, omega) + 0.5 * (np.log(b) - np.log(a))
                difference = np.where(inner, ratio, difference)
            return np.exp(difference)

    def _moment_order(self, p: Array, a: Array, b: Array) -> Array:
        return np.where(a > 0, np.inf, -p)

    def _mode(self, p: Array, a: Array, b: Array) -> Array:
        return self._tilted_mode(0.0, p, a, b)

    def _tilted_mode(self, k: float, p: Array, a: Array, b: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        with np.errstate(all="ignore"):
            order = p - 1.0 + k
            root = np.sqrt(order * order + a * b)
            return np.where(order >= 0, (order + root) / a, b / (root - order))

    def _cdf(self, x: Array, p: Array, a: Array, b: Array) -> Array:
        return gig_numeric.tails(x, p, a, b)[0]

    def _sf(self, x: Array, p: Array, a: Array, b: Array) -> Array:
        return gig_numeric.tails(x, p, a, b)[1]

    def _quantile(self, q: Array, p: Array, a: Array, b: Array) -> Array:
        q = np.asarray(q, dtype=float)
        return gig_numeric.quantile(q, 1.0 - q, p, a, b)

    def _log_isf(self, log_tail: Array, p: Array, a: Array, b: Array) -> Array:
        return gig_numeric.quantile(-np.expm1(log_tail), np.exp(log_tail), p, a, b)

    def _bounds(self, p: Array, a: Array, b: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, p: Array, a: Array, b: Array) -> Array:
        return ~((x > 0) & (x < np.inf))
