"""The beta family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import (
    betainc,
    betaincc,
    betainccinv,
    betaincinv,
    betaln,
    gammaincinv,
    ndtri,
    ndtri_exp,
    xlog1py,
    xlogy,
)

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative
from bayeskit.distributions.gammadraws import SMALLEST
from bayeskit.distributions.gammafunctions import log_beta, log_rising
from bayeskit.distributions.large_shapes import LARGE_SHAPE, large_beta, where_large
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson
from bayeskit.distributions.tails import betainc_inverse, log_betainc

__all__ = ["Beta", "beta_quantile"]

_FAR = 1e50  # of one parameter against the other: the beta is a gamma
_BELOW_ONE = 1.0 - 2.0**-53


class Beta(Distribution):
    r"""Beta distribution: of a probability after `alpha` successes and `beta` failures.

    .. math:: p(x) = \frac{x^{\alpha-1} (1-x)^{\beta-1}}{B(\alpha, \beta)}, \quad 0 \le x \le 1

    Parameters
    ----------
    alpha, beta : number, DataArray or expression
        Zero or positive. Where either is zero the distribution is improper, and its log density is that of the kernel
        without a normaliser.

    Raises
    ------
    ParameterError
        Where a parameter is negative or not finite.

    Examples
    --------
    >>> from bayeskit.distributions import Beta
    >>> d = Beta(2, 3)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.cdf(0.5))]
    [0.4, 0.2, 0.333, 0.688]
    """

    parameters = (
        Parameter("alpha", nonnegative, zero_is_improper=True),
        Parameter("beta", nonnegative, zero_is_improper=True),
    )
    support = "0..1"

    def __init__(self, alpha: Any, beta: Any) -> None:
        self._assign(alpha=alpha, beta=beta)

    def _log_prob(self, x: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            small = np.max(alpha, initial=0.0) < 50.0 and np.max(beta, initial=0.0) < 50.0
            normaliser = betaln(alpha, beta) if small else log_beta(alpha, beta)
            result = xlogy(alpha - 1.0, x) + xlog1py(beta - 1.0, -x)
            result = result - np.where(np.isfinite(normaliser), normaliser, 0.0)
            large = False if small else (alpha > LARGE_COUNT) & (beta > LARGE_COUNT)
            if np.any(large):
                result = np.where(large & (x > 0) & (x < 1), _log_prob_large(x, alpha, beta), result)
            return np.where((x >= 0) & (x <= 1), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        return np.clip(rng.beta(alpha, beta, shape), SMALLEST, _BELOW_ONE)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            return alpha / (alpha + beta)

    def _var(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            total = alpha + beta
            return (alpha / total) * (beta / total) / (total + 1.0)

    def _sd(self, alpha: Array, beta: Array) -> Array:
        """Return the root of the variance, factor by factor: of a probability of 1e-300 the variance underflows."""
        with np.errstate(all="ignore"):
            total = alpha + beta
            return np.sqrt(alpha / total) * np.sqrt(beta / total) / np.sqrt(total + 1.0)

    def _mode(self, alpha: Array, beta: Array) -> Array:
        """Return the peak; the end that is nearer to it where there is none, and nan for a bath tub."""
        with np.errstate(all="ignore"):
            a, b = np.maximum(alpha - 1.0, 0.0), np.maximum(beta - 1.0, 0.0)
            tub = (alpha < 1) & (beta < 1)
            flat = (alpha == 1) & (beta == 1)
            # At alpha = 1 > beta the density rises to 1, at beta = 1 > alpha it falls from 0.
            edge = np.where(alpha > beta, 1.0, 0.0)
            return np.where(tub, np.nan, np.where(flat, 0.5, np.where(a + b > 0, a / (a + b), edge)))

    def _raw_moment(self, k: float, alpha: Array, beta: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            total = alpha + beta
            if k >= 0:
                return np.exp(log_rising(alpha, k) - log_rising(total, k))
            low = np.maximum(alpha + k, 0.0)
            return np.where(alpha + k > 0, np.exp(log_rising(low + beta, -k) - log_rising(low, -k)), np.inf)

    def _cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return betainc(alpha, beta, np.clip(x, 0.0, 1.0))

    def _sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return betaincc(alpha, beta, np.clip(x, 0.0, 1.0))

    def _log_cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        inside = np.clip(x, 0.0, 1.0)
        return log_betainc(alpha, beta, inside, 1.0 - inside)

    def _log_sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        inside = np.clip(x, 0.0, 1.0)
        return log_betainc(beta, alpha, 1.0 - inside, inside)

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        return beta_quantile(q, alpha, beta)

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        # 1 - x is what is solved for: near x = 1 a double holds no more.
        value = np.where(
            np.less(log_tail, -20.0),
            1.0 - betainc_inverse(beta, alpha, log_tail),
            betainccinv(alpha, beta, np.exp(log_tail)),
        )
        least = np.minimum(alpha, beta)
        return where_large(value, least, large_beta, lambda: -ndtri_exp(log_tail), alpha, beta)

    def _log_quantile(self, log_q: Array, alpha: Array, beta: Array) -> Array:
        least = np.minimum(alpha, beta)
        value = betainc_inverse(alpha, beta, log_q)
        return where_large(value, least, large_beta, lambda: ndtri_exp(log_q), alpha, beta)

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return 0.0, 1.0


def beta_quantile(q: Array, alpha: Array, beta: Array) -> Array:
    """Quantiles of betas, of parameters of any size: SciPy's where they hold, else those of the limit."""
    value = betaincinv(alpha, beta, q)
    if max(np.max(alpha, initial=0.0), np.max(beta, initial=0.0)) < LARGE_SHAPE:
        return np.asarray(value)
    value = where_large(value, np.minimum(alpha, beta), large_beta, lambda: ndtri(q), alpha, beta)
    with np.errstate(all="ignore"):
        value = np.where(beta > _FAR * np.maximum(alpha, 1.0), gammaincinv(alpha, q) / beta, value)
        return np.where(alpha > _FAR * np.maximum(beta, 1.0), 1.0, value)


def _log_prob_large(x: Array, alpha: Array, beta: Array) -> Any:
    """Density as a product of Poisson masses, none of which cancels."""
    total = alpha + beta
    log_x, log_y, log_total = np.log(x), np.log1p(-x), np.log(total)
    parts = log_poisson(alpha, total * x, log_total + log_x) + log_poisson(beta, total * (1.0 - x), log_total + log_y)
    return parts - log_poisson(total, total, log_total) + np.log(alpha) + np.log(beta) - log_total - log_x - log_y
