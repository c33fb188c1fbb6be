"""The Poisson family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, xlogy

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative
from bayeskit.distributions.integers import integer_quantile, masked
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson
from bayeskit.errors import ParameterError

__all__ = ["Poisson", "poisson_draws"]

LARGEST_MEAN = 9.2e18


def poisson_draws(rng: np.random.Generator, mean: Array, shape: tuple[int, ...], family: str) -> Array:
    """Poisson draws; means whose draws do not fit into int64 are refused with a sentence."""
    largest = np.max(mean, initial=0)
    if largest > LARGEST_MEAN:
        raise ParameterError(
            f"The mean of {family} must be below {LARGEST_MEAN:g} for its draws to fit into 64-bit integers. Got "
            f"{largest:g}. Give the mean a prior with less weight on enormous values."
        )
    return rng.poisson(mean, size=shape)


class Poisson(Distribution):
    r"""Poisson distribution with mean `mu`.

    .. math:: P(x) = \frac{\mu^x e^{-\mu}}{x!}

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean, zero or positive; zero is a structural zero.

    Raises
    ------
    ParameterError
        Where `mu` is negative or not finite.

    Examples
    --------
    >>> from bayeskit.distributions import Poisson
    >>> float(Poisson(3).quantile(0.9)), float(Poisson(0).log_prob(0))
    (5.0, 0.0)
    """

    parameters = (Parameter("mu", nonnegative),)
    discrete = True
    support = "0, 1, 2, ..."

    def __init__(self, mu: Any = None) -> None:
        self._assign(mu=mu)

    def _log_prob(self, x: Array, mu: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            if np.max(x, initial=0) <= LARGE_COUNT:
                value = xlogy(x, mu) - mu - gammaln(np.asarray(x) + 1.0)
            else:
                value = log_poisson(x, mu, np.log(mu))
        return masked(value, self._outside(x, mu))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array) -> Array:
        return poisson_draws(rng, mu, shape, self.family)

    def _mean(self, mu: Array) -> Array:
        return mu

    def _var(self, mu: Array) -> Array:
        return mu

    def _mode(self, mu: Array) -> Array:
        return np.floor(mu)

    def _cdf(self, x: Array, mu: Array) -> Array:
        k = np.floor(x)
        return np.where(k < 0, 0.0, gammaincc(np.maximum(k, 0.0) + 1.0, mu))

    def _log_sf(self, x: Array, mu: Array) -> Array:
        k = np.floor(x)
        with np.errstate(divide="ignore"):
            return np.log(np.where(k < 0, 1.0, gammainc(np.maximum(k, 0.0) + 1.0, mu)))

    def _quantile(self, q: Array, mu: Array) -> Array:
        return integer_quantile(lambda k: self._cdf(k, mu), q, 0.0, np.where(np.equal(mu, 0), 0.0, np.inf))

    def _bounds(self, mu: Array) -> tuple[Any, Any]:
        return 0.0, np.inf
