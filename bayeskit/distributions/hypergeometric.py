"""The hypergeometric family."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.binomial import log_binomial
from bayeskit.distributions.domains import Parameter, nonnegative_integer
from bayeskit.distributions.integers import integer_quantile, masked, whole_draws
from bayeskit.errors import ParameterError

__all__ = ["Hypergeometric"]

# NumPy draws from urns up to this size.
_LARGEST_URN = 10**9


class Hypergeometric(Distribution):
    r"""Hypergeometric distribution: successes in `n` draws without replacement from `N`, of which `k` are successes.

    .. math:: P(x) = \binom{k}{x} \binom{N - k}{n - x} \Big/ \binom{N}{n}

    Parameters
    ----------
    N : number, DataArray or expression
        Size of the population, zero or more.
    k : number, DataArray or expression
        Successes in the population, ``k <= N``.
    n : number, DataArray or expression
        Number drawn, ``n <= N``.

    Raises
    ------
    ParameterError
        Where a parameter is not a whole number, zero or more, or `k` or `n` exceeds `N`; from `sample`, where the
        successes or the failures in the population are 1e9 or more.

    Notes
    -----
    The log mass is written with three binomial masses of probability ``n / N``, as in R (C. Loader, "Fast and accurate
    computation of binomial probabilities", 2000), so that it keeps its accuracy at large counts.

    Examples
    --------
    >>> from bayeskit.distributions import Hypergeometric
    >>> d = Hypergeometric(20, 7, 12)
    >>> [round(float(v), 4) for v in (d.mean(), d.sd(), d.mode(), d.cdf(4))]
    [4.2, 1.0721, 4.0, 0.6084]
    """

    parameters = (
        Parameter("N", nonnegative_integer),
        Parameter("k", nonnegative_integer),
        Parameter("n", nonnegative_integer),
    )
    discrete = True
    joint_condition = "k <= N and n <= N"
    support = "max(0, n - N + k)..min(k, n)"

    def __init__(self, N: Any, k: Any, n: Any) -> None:
        self._assign(N=N, k=k, n=n)

    def _joint_invalid(self, population: Array, k: Array, n: Array) -> Array:
        return ~(np.less_equal(k, population) & np.less_equal(n, population))

    def _log_prob(self, x: Array, population: Array, k: Array, n: Array) -> Array:
        return masked(_log_mass(x, population, k, n), self._outside(x, population, k, n))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], population: Array, k: Array, n: Array) -> Array:
        failures = np.subtract(population, k)
        most = max(np.max(k, initial=0), np.max(failures, initial=0))
        if most >= _LARGEST_URN:
            raise ParameterError(
                f"Successes and failures in the population of Hypergeometric must be below 1e9 to be drawn from. Got "
                f"{most:.4g}. Draw from Binomial(n, k / N), which is the limit."
            )
        return rng.hypergeometric(whole_draws(k), whole_draws(failures), whole_draws(n), size=shape)

    def _mean(self, population: Array, k: Array, n: Array) -> Array:
        return n * _share(k, population)

    def _var(self, population: Array, k: Array, n: Array) -> Array:
        p = _share(k, population)
        return n * p * (1.0 - p) * ((np.subtract(population, n)) / np.maximum(population - 1.0, 1.0))

    def _mode(self, population: Array, k: Array, n: Array) -> Array:
        return np.floor((n + 1.0) * ((k + 1.0) / (population + 2.0)))

    def _cdf(self, x: Array, population: Array, k: Array, n: Array) -> Array:
        return _tails(x, population, k, n)[0]

    def _sf(self, x: Array, population: Array, k: Array, n: Array) -> Array:
        return _tails(x, population, k, n)[1]

    def _quantile(self, q: Array, population: Array, k: Array, n: Array) -> Array:
        return integer_quantile(lambda x: self._cdf(x, population, k, n), q, *self._bounds(population, k, n))

    def _bounds(self, population: Array, k: Array, n: Array) -> tuple[Any, Any]:
        # fmin and fmax: what is not known yet (nan) leaves the bound that is
        return np.fmax(0.0, n - np.subtract(population, k)), np.fmin(k, n)


def _share(part: Array, population: Array) -> Array:
    """Part of the population; of an empty one, nothing."""
    return np.divide(part, np.maximum(population, 1.0))


def _log_mass(x: Array, population: Array, k: Array, n: Array) -> Array:
    """Log mass without looking at the support."""
    p = _share(n, population)
    with np.errstate(all="ignore"):
        drawn = log_binomial(x, k, p) + log_binomial(n - x, np.subtract(population, k), p)
        return drawn - log_binomial(n, population, p)


def _tails(x: Array, population: Array, k: Array, n: Array) -> tuple[Array, Array]:
    """Probabilities at or below `x` and above it; the one away from the mean is summed."""
    values = (np.floor(x), population, k, n)
    x, population, k, n = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values))
    # above x successes means at most n - x - 1 failures
    mirrored = x > n * _share(k, population)
    start, kind = np.where(mirrored, n - x - 1.0, x), np.where(mirrored, population - k, k)
    small = np.minimum(_summed_below(start, population, kind, n), 1.0)
    return np.where(mirrored, 1.0 - small, small), np.where(mirrored, small, 1.0 - small)


def _summed_below(x: Array, population: Array, k: Array, n: Array) -> Array:
    """Sum of the masses from `x` down, each from the one before, until nothing is added."""
    lower, upper = np.maximum(0.0, n - population + k), np.minimum(k, n)
    inside = (x >= lower) & (x <= upper)
    i = np.where(inside, x, lower)
    term = np.ones_like(i)
    total = np.ones_like(i)
    with np.errstate(all="ignore"):
        while np.any(term > 1e-18 * total):
            # zero at the lower end of the support, where the sum stops by itself
            term = term * (i * (population - k - n + i) / ((k - i + 1.0) * (n - i + 1.0)))
            term = np.where(i > lower, term, 0.0)
            total, i = total + term, i - 1.0
        mass = np.exp(_log_mass(np.where(inside, x, lower), population, k, n))
    return np.where(inside, mass * total, np.where(x > upper, 1.0, 0.0))
