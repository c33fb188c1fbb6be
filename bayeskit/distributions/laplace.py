"""The Laplace and the logistic families: symmetric, with exponential tails."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive, real
from bayeskit.distributions.tails import log1mexp

__all__ = ["Laplace", "Logistic"]


class Laplace(Distribution):
    r"""Laplace distribution with location `mu` and scale `b`.

    .. math:: p(x) = \frac{1}{2b} e^{-|x-\mu| / b}

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean, median and mode.
    b : number, DataArray or expression
        Scale, positive: the mean absolute deviation.

    Raises
    ------
    ParameterError
        Where `mu` is not finite or `b` not positive.

    Examples
    --------
    >>> from bayeskit.distributions import Laplace
    >>> d = Laplace(1, 2)
    >>> [round(float(v), 3) for v in (d.sd(), d.quantile(0.9), d.log_prob(1))]
    [2.828, 4.219, -1.386]
    """

    parameters = (Parameter("mu", real, default=0), Parameter("b", positive, default=1))
    symmetric = True

    def __init__(self, mu: Any = 0, b: Any = 1) -> None:
        self._assign(mu=mu, b=b)

    def _log_prob(self, x: Array, mu: Array, b: Array) -> Array:
        return -np.abs(x - mu) / b - np.log(2.0 * b)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, b: Array) -> Array:
        return mu + b * (rng.standard_exponential(shape) * np.where(rng.random(shape) < 0.5, -1.0, 1.0))

    def _mean(self, mu: Array, b: Array) -> Array:
        return mu

    def _var(self, mu: Array, b: Array) -> Array:
        return 2.0 * b * b

    def _mode(self, mu: Array, b: Array) -> Array:
        return mu

    def _cdf(self, x: Array, mu: Array, b: Array) -> Array:
        return np.exp(self._log_cdf(x, mu, b))

    def _sf(self, x: Array, mu: Array, b: Array) -> Array:
        return np.exp(self._log_sf(x, mu, b))

    def _log_cdf(self, x: Array, mu: Array, b: Array) -> Array:
        return _log_half((x - mu) / b)

    def _log_sf(self, x: Array, mu: Array, b: Array) -> Array:
        return _log_half((mu - x) / b)

    def _quantile(self, q: Array, mu: Array, b: Array) -> Array:
        with np.errstate(divide="ignore"):
            tail = np.log(2.0 * np.minimum(q, 1.0 - np.asarray(q)))
        return mu + b * np.where(np.less(q, 0.5), tail, -tail)

    def _log_quantile(self, log_q: Array, mu: Array, b: Array) -> Array:
        return mu + b * _standard_log_quantile(log_q)

    def _log_isf(self, log_tail: Array, mu: Array, b: Array) -> Array:
        return mu - b * _standard_log_quantile(log_tail)

    def _bounds(self, mu: Array, b: Array) -> tuple[float, float]:
        return -np.inf, np.inf


def _log_half(z: Array) -> Array:
    tail = -np.abs(z) - log(2.0)
    return np.where(z < 0, tail, np.log1p(-np.exp(tail)))


def _standard_log_quantile(log_q: Array) -> Array:
    return np.where(np.less(log_q, -log(2.0)), log_q + log(2.0), -log(2.0) - log1mexp(log_q))


class Logistic(Distribution):
    r"""Logistic distribution with location `mu` and scale `s`.

    .. math:: p(x) = \frac{e^{-z}}{s (1 + e^{-z})^2}, \quad z = (x - \mu) / s

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean, median and mode.
    s : number, DataArray or expression
        Scale, positive; the standard deviation is ``s * pi / sqrt(3)``.

    Raises
    ------
    ParameterError
        Where `mu` is not finite or `s` not positive.

    Examples
    --------
    >>> from bayeskit.distributions import Logistic
    >>> d = Logistic(0, 1)
    >>> [round(float(v), 3) for v in (d.sd(), d.cdf(1), d.quantile(0.9))]
    [1.814, 0.731, 2.197]
    """

    parameters = (Parameter("mu", real, default=0), Parameter("s", positive, default=1))
    symmetric = True

    def __init__(self, mu: Any = 0, s: Any = 1) -> None:
        self._assign(mu=mu, s=s)

    def _log_prob(self, x: Array, mu: Array, s: Array) -> Array:
        z = np.abs((x - mu) / s)
        return -z - 2.0 * np.log1p(np.exp(-z)) - np.log(s)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, s: Array) -> Array:
        return mu + s * rng.logistic(size=shape)

    def _mean(self, mu: Array, s: Array) -> Array:
        return mu

    def _var(self, mu: Array, s: Array) -> Array:
        return (pi * s) ** 2 / 3.0

    def _mode(self, mu: Array, s: Array) -> Array:
        return mu

    def _cdf(self, x: Array, mu: Array, s: Array) -> Array:
        return expit((x - mu) / s)

    def _sf(self, x: Array, mu: Array, s: Array) -> Array:
        return expit((mu - x) / s)

    def _log_cdf(self, x: Array, mu: Array, s: Array) -> Array:
        return log_expit((x - mu) / s)

    def _log_sf(self, x: Array, mu: Array, s: Array) -> Array:
        return log_expit((mu - x) / s)

    def _quantile(self, q: Array, mu: Array, s: Array) -> Array:
        with np.errstate(divide="ignore"):
            return mu + s * (np.log(q) - np.log1p(-np.asarray(q)))

    def _log_quantile(self, log_q: Array, mu: Array, s: Array) -> Array:
        return mu + s * (log_q - log1mexp(log_q))

    def _log_isf(self, log_tail: Array, mu: Array, s: Array) -> Array:
        return mu - s * (log_tail - log1mexp(log_tail))

    def _bounds(self, mu: Array, s: Array) -> tuple[float, float]:
        return -np.inf, np.inf
