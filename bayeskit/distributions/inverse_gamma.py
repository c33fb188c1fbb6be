"""The inverse gamma family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincc, gammainccinv, gammaln, xlogy

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST, log_standard_gamma
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson
from bayeskit.distributions.tails import gammainc_inverse, gammaincc_inverse, log_gammainc, log_gammaincc

__all__ = ["InverseGamma"]


class InverseGamma(Distribution):
    r"""Inverse gamma distribution: one over a Gamma(alpha, beta) variable.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha-1} e^{-\beta/x}, \quad x > 0

    Parameters
    ----------
    alpha : number, DataArray or expression
        Shape, zero or positive.
    beta : number, DataArray or expression
        Scale, zero or positive. Where either is zero the distribution is improper, and its log density is that of the
        kernel without a normaliser.

    Raises
    ------
    ParameterError
        Where a parameter is negative or not finite.

    Examples
    --------
    >>> from bayeskit.distributions import InverseGamma
    >>> d = InverseGamma(3, 2)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.log_prob(1))]
    [1.0, 1.0, 0.5, -0.614]
    >>> InverseGamma(0, 0).is_proper
    False
    """

    parameters = (
        Parameter("alpha", nonnegative, zero_is_improper=True),
        Parameter("beta", nonnegative, zero_is_improper=True),
    )
    support = "the positive numbers"

    def __init__(self, alpha: Any, beta: Any) -> None:
        self._assign(alpha=alpha, beta=beta)

    def _log_prob(self, x: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            normaliser = xlogy(alpha, beta) - gammaln(alpha)
            result = np.where(np.isfinite(normaliser), normaliser, 0.0) - (alpha + 1.0) * np.log(x) - beta / x
            if np.max(alpha, initial=0.0) > LARGE_COUNT:
                rate = beta / x
                exact = log_poisson(alpha, rate, np.log(rate)) + np.log(alpha) - np.log(x)
                result = np.where((alpha > LARGE_COUNT) & (beta > 0), exact, result)
            return np.where((x > 0) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        # One over a gamma draw overflows for small shapes; in logs it is clipped to the greatest double.
        with np.errstate(over="ignore"):
            if np.min(alpha, initial=1.0) >= 0.1:
                draws = beta / rng.standard_gamma(alpha, shape)
            else:
                draws = np.exp(np.log(beta) - log_standard_gamma(rng, alpha, shape))
        return np.clip(draws, SMALLEST, LARGEST)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.where(alpha > 1, beta / (alpha - 1.0), np.inf)

    def _var(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            mean = beta / (alpha - 1.0)
            return np.where(alpha > 2, mean * mean / (alpha - 2.0), np.inf)

    def _mode(self, alpha: Array, beta: Array) -> Array:
        return beta / (alpha + 1.0)

    def _tilted_mode(self, k: float, alpha: Array, beta: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        with np.errstate(all="ignore"):
            return np.where(alpha + 1.0 > k, beta / (alpha + 1.0 - k), np.inf)

    def _raw_moment(self, k: float, alpha: Array, beta: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            ratio = -log_rising(np.maximum(alpha - k, 0.0), k) if k >= 0 else log_rising(alpha, -k)
            return np.where(alpha > k, np.exp(ratio + k * np.log(beta)), np.inf)

    def _moment_order(self, alpha: Array, beta: Array) -> Array:
        return alpha

    def _cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return gammaincc(alpha, _inverse(x, beta))

    def _sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return gammainc(alpha, _inverse(x, beta))

    def _log_cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return log_gammaincc(alpha, _inverse(x, beta))

    def _log_sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return log_gammainc(alpha, _inverse(x, beta))

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return beta / gammainccinv(alpha, q)

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return beta / gammainc_inverse(alpha, log_tail)

    def _log_quantile(self, log_q: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return beta / gammaincc_inverse(alpha, log_q)

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, alpha: Array, beta: Array) -> Array:
        return ~((x > 0) & (x < np.inf))


def _inverse(x: Array, beta: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(x > 0, beta / x, np.inf)
