"""The Cauchy family and its half."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive, real
from bayeskit.distributions.gammadraws import SMALLEST

__all__ = ["Cauchy", "HalfCauchy"]


class Cauchy(Distribution):
    r"""Cauchy distribution with location `alpha` and scale `beta`.

    .. math:: p(x) = \frac{1}{\pi\beta} \frac{1}{1 + ((x-\alpha)/\beta)^2}

    Parameters
    ----------
    alpha : number, DataArray or expression
        Location and median. The mean does not exist: it is nan.
    beta : number, DataArray or expression
        Scale, positive: half the distance between the quartiles.

    Raises
    ------
    ParameterError
        Where `alpha` is not finite or `beta` not positive.

    Examples
    --------
    >>> from bayeskit.distributions import Cauchy
    >>> d = Cauchy(0, 2)
    >>> [round(float(v), 3) for v in (d.quantile(0.75), d.cdf(2), d.mean())]
    [2.0, 0.75, nan]
    """

    parameters = (Parameter("alpha", real, default=0), Parameter("beta", positive, default=1))
    symmetric = True

    def __init__(self, alpha: Any = 0, beta: Any = 1) -> None:
        self._assign(alpha=alpha, beta=beta)

    def _log_prob(self, x: Array, alpha: Array, beta: Array) -> Array:
        z = (x - alpha) / beta
        with np.errstate(over="ignore"):
            return -np.log1p(z * z) - np.log(pi * beta)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array, beta: Array) -> Array:
        return alpha + beta * rng.standard_cauchy(shape)

    def _mean(self, alpha: Array, beta: Array) -> Array:
        return np.full_like(alpha, np.nan)

    def _var(self, alpha: Array, beta: Array) -> Array:
        return np.full_like(alpha, np.nan)

    def _mode(self, alpha: Array, beta: Array) -> Array:
        return alpha

    def _moment_order(self, alpha: Array, beta: Array) -> float:
        return 1.0

    def _cdf(self, x: Array, alpha: Array, beta: Array) -> Array:
        # The angle is exact in both tails, where an arc tangent plus a half cancels.
        return np.arctan2(beta, alpha - x) / pi

    def _sf(self, x: Array, alpha: Array, beta: Array) -> Array:
        return np.arctan2(beta, x - alpha) / pi

    def _quantile(self, q: Array, alpha: Array, beta: Array) -> Array:
        return alpha + beta * _standard_quantile(q)

    def _log_isf(self, log_tail: Array, alpha: Array, beta: Array) -> Array:
        return alpha - beta * _standard_quantile(np.exp(log_tail))

    def _bounds(self, alpha: Array, beta: Array) -> tuple[float, float]:
        return -np.inf, np.inf


def _standard_quantile(q: Any) -> Array:
    q = np.asarray(q, dtype=float)
    with np.errstate(divide="ignore"):
        middle = np.tan(pi * (q - 0.5))
        tail = 1.0 / np.tan(pi * np.minimum(q, 1.0 - q))
    return np.where(np.abs(q - 0.5) < 0.25, middle, np.where(q < 0.5, -tail, tail))


class HalfCauchy(Distribution):
    r"""Half-Cauchy distribution: the absolute value of a Cauchy(0, beta) variable.

    .. math:: p(x) = \frac{2}{\pi\beta} \frac{1}{1 + (x/\beta)^2}, \quad x \ge 0

    Parameters
    ----------
    beta : number, DataArray or expression
        Scale and median, positive. The mean is infinite.

    Raises
    ------
    ParameterError
        Where `beta` is not positive and finite.

    Examples
    --------
    >>> from bayeskit.distributions import HalfCauchy
    >>> d = HalfCauchy(5)
    >>> [round(float(v), 3) for v in (d.quantile(0.5), d.log_prob(0), d.mean())]
    [5.0, -2.061, inf]
    """

    parameters = (Parameter("beta", positive, default=1),)
    support = "the numbers from 0"

    def __init__(self, beta: Any = 1) -> None:
        self._assign(beta=beta)

    def _log_prob(self, x: Array, beta: Array) -> Array:
        z = x / beta
        with np.errstate(over="ignore"):
            return np.where(x >= 0, -np.log1p(z * z) - np.log(0.5 * pi * beta), -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], beta: Array) -> Array:
        return np.maximum(beta * np.abs(rng.standard_cauchy(shape)), SMALLEST)

    def _mean(self, beta: Array) -> Array:
        return np.full_like(beta, np.inf)

    def _var(self, beta: Array) -> Array:
        return np.full_like(beta, np.inf)

    def _mode(self, beta: Array) -> Array:
        return np.zeros_like(beta)

    def _raw_moment(self, k: float, beta: Array) -> Array:
        """Expected ``x**k``."""
        return beta**k / np.cos(0.5 * pi * k) if abs(k) < 1 else np.full_like(beta, np.inf)

    def _moment_order(self, beta: Array) -> float:
        return 1.0

    def _cdf(self, x: Array, beta: Array) -> Array:
        return np.arctan(np.maximum(x, 0.0) / beta) / (0.5 * pi)

    def _sf(self, x: Array, beta: Array) -> Array:
        return np.arctan2(beta, np.maximum(x, 0.0)) / (0.5 * pi)

    def _quantile(self, q: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            near_one = 1.0 / np.tan(0.5 * pi * (1.0 - np.asarray(q)))
            return beta * np.where(np.less(q, 0.5), np.tan(0.5 * pi * np.asarray(q)), near_one)

    def _log_isf(self, log_tail: Array, beta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return beta / np.tan(0.5 * pi * np.exp(log_tail))

    def _bounds(self, beta: Array) -> tuple[float, float]:
        return 0.0, np.inf
