"""The inverse Gaussian (Wald) family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erfcx, log_ndtr

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST
from bayeskit.distributions.inversion import invert_tails

__all__ = ["InverseGaussian"]

_HALF_LOG_TWO_PI = 0.9189385332046727
_LOG_TWO = 0.6931471805599453


class InverseGaussian(Distribution):
    r"""Inverse Gaussian (Wald) distribution with mean `mu` and shape `lam`.

    .. math:: p(x) = \sqrt{\frac{\lambda}{2 \pi x^3}} \exp\left(-\frac{\lambda (x - \mu)^2}{2 \mu^2 x}\right),
        \quad x > 0

    It is the time that a Brownian motion with drift needs to reach a level; its variance is ``mu**3 / lam``.

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean, positive.
    lam : number, DataArray or expression
        Shape, positive, in the units of `mu`.

    Raises
    ------
    ParameterError
        Where a parameter is not positive and finite.

    References
    ----------
    G. Giner and G. K. Smyth, "statmod: probability calculations for the inverse Gaussian distribution", R Journal 8,
    2016: the distribution function without overflow.

    Examples
    --------
    >>> from bayeskit.distributions import InverseGaussian
    >>> d = InverseGaussian(2, 3)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.cdf(2))]
    [2.0, 1.633, 0.828, 0.64]
    """

    parameters = (Parameter("mu", positive), Parameter("lam", positive))
    support = "the positive numbers"

    def __init__(self, mu: Any, lam: Any) -> None:
        self._assign(mu=mu, lam=lam)

    def _log_prob(self, x: Array, mu: Array, lam: Array) -> Array:
        with np.errstate(all="ignore"):
            z = (x - mu) / mu
            result = 0.5 * np.log(lam) - _HALF_LOG_TWO_PI - 1.5 * np.log(x) - 0.5 * lam * z * z / x
            return np.where((x > 0) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, lam: Array) -> Array:
        return np.clip(rng.wald(mu, lam, shape), SMALLEST, LARGEST)

    def _mean(self, mu: Array, lam: Array) -> Array:
        return mu

    def _var(self, mu: Array, lam: Array) -> Array:
        return mu * mu * (mu / lam)

    def _mode(self, mu: Array, lam: Array) -> Array:
        return self._tilted_mode(0.0, mu, lam)

    def _tilted_mode(self, k: float, mu: Array, lam: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        r = (1.5 - k) * (mu / lam)
        root = np.hypot(1.0, r)
        return np.where(r > 0, mu / (root + np.abs(r)), mu * (root + np.abs(r)))  # neither side cancels

    def _cdf(self, x: Array, mu: Array, lam: Array) -> Array:
        return np.exp(self._log_cdf(x, mu, lam))

    def _sf(self, x: Array, mu: Array, lam: Array) -> Array:
        return np.exp(self._log_sf(x, mu, lam))

    def _log_cdf(self, x: Array, mu: Array, lam: Array) -> Array:
        return _log_tails(x, mu, lam)[0]

    def _log_sf(self, x: Array, mu: Array, lam: Array) -> Array:
        return _log_tails(x, mu, lam)[1]

    def _quantile(self, q: Array, mu: Array, lam: Array) -> Array:
        q = np.asarray(q, dtype=float)
        return _solve(q, 1.0 - q, mu, lam)

    def _log_isf(self, log_tail: Array, mu: Array, lam: Array) -> Array:
        return _solve(-np.expm1(log_tail), np.exp(log_tail), mu, lam)

    def _bounds(self, mu: Array, lam: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, mu: Array, lam: Array) -> Array:
        return ~((x > 0) & (x < np.inf))


def _log_tails(x: Array, mu: Array, lam: Array) -> tuple[Array, Array]:
    """Log probabilities below and above `x`.

    With ``a = sqrt(lam / x) (x / mu - 1)`` and ``b = sqrt(lam / x) (x / mu + 1)`` they are ``ndtr(a) + exp(2 lam / mu)
    ndtr(-b)`` and the rest. Since ``b**2 - a**2 = 4 lam / mu`` the second term is ``exp(-a**2 / 2) erfcx(b / sqrt 2) /
    2``, in which nothing overflows.
    """
    x = np.asarray(x, dtype=float)
    with np.errstate(all="ignore"):
        inside = np.clip(x, SMALLEST, LARGEST)
        root, y = np.sqrt(lam / inside), inside / mu
        a, b = root * (y - 1.0), root * (y + 1.0)
        second = np.log(erfcx(b * np.sqrt(0.5))) - _LOG_TWO - 0.5 * a * a
        below_small = np.logaddexp(log_ndtr(a), second)
        main = log_ndtr(-a)
        # ndtr(-a) less the second term; far below the mean the other side is the accurate one
        above = np.where(a > -5.0, main + np.log(-np.expm1(np.minimum(second - main, 0.0))), 0.0)
        above = np.where(a > -5.0, above, np.log1p(-np.exp(np.minimum(below_small, 0.0))))
        below = np.where(a < 0, np.minimum(below_small, 0.0), np.log1p(-np.exp(above)))
    return np.where(x <= 0, -np.inf, below), np.where(x <= 0, 0.0, above)


def _solve(below: Array, above: Array, mu: Array, lam: Array) -> Array:
    """Quantiles, over the log of x, where both tails are tame."""
    with np.errstate(all="ignore"):
        ratio = mu / lam
        # Chernoff: the tail above x is at most exp(-lam (x/mu - 1)^2 / (2x)), below likewise; 800 is past what is held
        reach = np.log(1.0 + 1600.0 * ratio + 2.0 * np.sqrt(1600.0 * ratio))

        def tails(t: Array) -> tuple[Array, Array]:
            log_below, log_above = _log_tails(mu * np.exp(t), mu, lam)
            return np.exp(log_below), np.exp(log_above)

        def density(t: Array) -> Array:
            x = mu * np.exp(t)
            return np.sqrt(lam / (2.0 * np.pi * x)) * np.exp(-0.5 * lam * np.expm1(t) ** 2 / x)

        shape = np.broadcast_shapes(np.shape(below), np.shape(reach))
        # an answer is wanted to its own relative accuracy, also where log(x / mu) is near zero
        t = invert_tails(tails, density, below, above, np.broadcast_to(-reach, shape), reach)
        value = mu * np.exp(t)
    return np.where(np.less_equal(below, 0), 0.0, np.where(np.less_equal(above, 0), np.inf, value))
