"""The Weibull and the Pareto families: powers of an exponential, and exponentials of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gamma, xlogy

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST

__all__ = ["Pareto", "Weibull"]


class Weibull(Distribution):
    r"""Weibull distribution with shape `alpha` and scale `beta`.

    .. math:: p(x) = \frac{\alpha}{\beta} \left(\frac{x}{\beta}\right)^{\alpha-1} e^{-(x/\beta)^\alpha}, \quad x \ge 0

    Parameters
    ----------
    alpha : number, DataArray or expression
        Shape, positive.
    beta : number, DataArray or expression
        Scale, positive.

    Raises
    ------
    ParameterError
        Where a parameter is not positive and finite.

    Examples
    --------
    >>> from bayeskit.distributions import Weibull
    >>> d = Weibull(2, 3)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.cdf(3))]
    [2.659, 1.39, 2.121, 0.632]
    """

    parameters = (Parameter("alpha", positive), Parameter("beta", positive))
    support = "the numbers from 0"

    def __init__(self, alpha: Any, beta: Any) -> None:
        self._assign(alpha=alpha, beta=beta)

    def _log_prob(self, x: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            z = x / beta
            result = np.log(alpha / beta) + xlogy(alpha - 1.0, z) - z**alpha
            return np.where((x >= 0) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.clip(beta * rng.standard_exponential(shape) ** (1.0 / alpha), SMALLEST, LARGEST)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        return beta * gamma(1.0 + 1.0 / alpha)

    def _var(self, alpha: Array, beta: Array) -> Array:
        with np.errstate(all="ignore"):
            first, second = gamma(1.0 + 1.0 / alpha), gamma(1.0 + 2.0 / alpha)
            variance = beta * beta * (second - first * first)
            return np.where(np.isfinite(second), variance, np.inf)

    def _mode(self, alpha: Array, beta: Array) -> Array:
        return self._tilted_mode(0.0, alpha, beta)

    def _tilted_mode(self, k: float, alpha: Array, beta: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return beta * (np.maximum(alpha - 1.0 + k, 0.0) / alpha) ** (1.0 / alpha)

    def _raw_moment(self, k: float, alpha: Array, beta: Array) -> Array:
        """Expected ``x**k``."""
        return np.where(k > -alpha, beta**k * gamma(1.0 + k / alpha), np.inf)

    def _cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return -np.expm1(self._log_sf(x, alpha, beta))

    def _sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return np.exp(self._log_sf(x, alpha, beta))

    def _log_sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(over="ignore"):
            return -((np.maximum(x, 0.0) / beta) ** alpha)

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return beta * (-np.log1p(-np.asarray(q))) ** (1.0 / alpha)

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        return beta * (-np.asarray(log_tail)) ** (1.0 / alpha)

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return 0.0, np.inf


class Pareto(Distribution):
    r"""Pareto distribution with shape `alpha` above the threshold `m`.

    .. math:: p(x) = \frac{\alpha m^\alpha}{x^{\alpha+1}}, \quad x \ge m

    Parameters
    ----------
    alpha : number, DataArray or expression
        Shape, positive: moments of this order and above are infinite.
    m : number, DataArray or expression
        Least value, positive.

    Raises
    ------
    ParameterError
        Where a parameter is not positive and finite.

    Examples
    --------
    >>> from bayeskit.distributions import Pareto
    >>> d = Pareto(3, 2)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.quantile(0.5))]
    [3.0, 1.732, 2.52]
    """

    parameters = (Parameter("alpha", positive), Parameter("m", positive))
    support = "the numbers from m"

    def __init__(self, alpha: Any, m: Any) -> None:
        self._assign(alpha=alpha, m=m)

    def _log_prob(self, x: Array, alpha: Array, m: Array) -> Array:
        with np.errstate(all="ignore"):
            log_x = np.log(x)
            result = np.log(alpha) - log_x - alpha * (log_x - np.log(m))
            return np.where((x >= m) & (x < np.inf), result, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, m: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.minimum(m * np.exp(rng.standard_exponential(shape) / alpha), LARGEST)

    def _mean(self, alpha: Array, m: Array) -> Array:
        return self._raw_moment(1.0, alpha, m)

    def _var(self, alpha: Array, m: Array) -> Array:
        with np.errstate(all="ignore"):
            scale = m / (alpha - 1.0)
            return np.where(alpha > 2, scale * scale * (alpha / (alpha - 2.0)), np.inf)

    def _mode(self, alpha: Array, m: Array) -> Array:
        return m

    def _raw_moment(self, k: float, alpha: Array, m: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            return np.where(alpha > k, m**k * (alpha / (alpha - k)), np.inf)

    def _tilted_mode(self, k: float, alpha: Array, m: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return np.where(alpha + 1.0 > k, m, np.inf)

    def _moment_order(self, alpha: Array, m: Array) -> Array:
        return alpha

    def _cdf(self, x: Array, alpha: Array, m: Array) -> Array:
        return -np.expm1(self._log_sf(x, alpha, m))

    def _sf(self, x: Array, alpha: Array, m: Array) -> Array:
        return np.exp(self._log_sf(x, alpha, m))

    def _log_sf(self, x: Array, alpha: Array, m: Array) -> Array:
        return -alpha * np.log(np.maximum(x, m) / m)

    def _quantile(self, q: Array, alpha: Array, m: Array) -> Array:
        with np.errstate(divide="ignore"):
            return m * np.exp(-np.log1p(-np.asarray(q)) / alpha)

    def _log_isf(self, log_tail: Array, alpha: Array, m: Array) -> Array:
        return m * np.exp(-log_tail / alpha)

    def _bounds(self, alpha: Array, m: Array) -> tuple[Array, float]:
        return m, np.inf
