"""The gamma family."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import gammainc, gammaincc, gammaincinv, gammaln, ndtri, ndtri_exp, xlogy

from bayeskit.distributions.base import Alternative, Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative, positive
from bayeskit.distributions.gammadraws import SMALLEST, standard_gamma
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.large_shapes import large_gamma, where_large
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson
from bayeskit.distributions.tails import gammainc_inverse, gammaincc_inverse, log_gammainc, log_gammaincc

__all__ = ["Gamma"]


class Gamma(Distribution):
    r"""Gamma distribution with shape `alpha` and rate `beta`.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha-1} e^{-\beta x}, \quad x > 0

    Parameters
    ----------
    alpha : number, DataArray or expression
        Shape, zero or positive.
    beta : number, DataArray or expression
        Rate, zero or positive. Where either is zero the distribution is improper, and its log density is that of the
        kernel without a normaliser.
    scale : number, DataArray or expression, optional
        One over the rate, instead of `beta`.

    Raises
    ------
    ParameterError
        Where a parameter is negative or not finite, or a rate and a scale are given.

    Examples
    --------
    >>> from bayeskit.distributions import Gamma
    >>> d = Gamma(2, scale=3)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.quantile(0.5), d.log_prob(1))]
    [6.0, 4.243, 5.035, -2.531]
    """

    parameters = (
        Parameter("alpha", nonnegative, zero_is_improper=True),
        Parameter("beta", nonnegative, zero_is_improper=True, advice="It is a rate; use scale= for one over it."),
    )
    alternatives: ClassVar[dict[str, Alternative]] = {
        "scale": ("beta", Parameter("scale", positive, advice="It is one over the rate."), lambda s: 1 / s)
    }
    support = "the positive numbers"

    def __init__(self, alpha: Any, beta: Any = None, *, scale: Any = None) -> None:
        self._assign(alpha=alpha, beta=beta, scale=scale)

    def _log_prob(self, x: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            normaliser = xlogy(alpha, beta) - gammaln(alpha)
            result = xlogy(alpha - 1.0, x) - beta * x + np.where(np.isfinite(normaliser), normaliser, 0.0)
            if np.max(alpha, initial=0.0) > LARGE_COUNT:
                rate = beta * x
                exact = log_poisson(alpha, rate, np.log(rate)) + np.log(alpha) - np.log(x)
                result = np.where((alpha > LARGE_COUNT) & (beta > 0) & (x > 0), exact, result)
            return np.where((x >= 0) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        return np.maximum(standard_gamma(rng, alpha, shape) / beta, SMALLEST)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            return alpha / beta

    def _var(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            return alpha / beta / beta

    def _sd(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.sqrt(alpha) / beta

    def _mode(self, alpha: Array, beta: Array) -> Array:
        return self._tilted_mode(0.0, alpha, beta)

    def _tilted_mode(self, k: float, alpha: Array, beta: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return np.maximum(alpha - 1.0 + k, 0.0) / beta

    def _raw_moment(self, k: float, alpha: Array, beta: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            ratio = log_rising(alpha, k) if k >= 0 else -log_rising(np.maximum(alpha + k, 0.0), -k)
            return np.where(alpha + k > 0, np.exp(ratio - k * np.log(beta)), np.inf)

    def _cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return gammainc(alpha, np.maximum(beta * x, 0.0))

    def _log_cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return log_gammainc(alpha, np.maximum(beta * x, 0.0))

    def _log_sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return log_gammaincc(alpha, np.maximum(beta * x, 0.0))

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        return where_large(gammaincinv(alpha, q), alpha, large_gamma, lambda: ndtri(q), alpha) / beta

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        value = gammaincc_inverse(alpha, log_tail)
        return where_large(value, alpha, large_gamma, lambda: -ndtri_exp(log_tail), alpha) / beta

    def _log_quantile(self, log_q: Array, alpha: Array, beta: Array) -> Array:
        return where_large(gammainc_inverse(alpha, log_q), alpha, large_gamma, lambda: ndtri_exp(log_q), alpha) / beta

    def _sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return gammaincc(alpha, np.maximum(beta * x, 0.0))

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, alpha: Array, beta: Array) -> Array:
        return ~((x > 0) & (x < np.inf))
