"""The geometric family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlog1py, xlogy

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Domain, Parameter
from bayeskit.distributions.integers import masked

__all__ = ["Geometric", "above_zero"]

above_zero = Domain("unit_above_zero", "above 0 and at most 1", lambda x: ~((x > 0) & (x <= 1)))


class Geometric(Distribution):
    r"""Geometric distribution: trials up to and including the first success, 1, 2, 3, ...

    .. math:: P(x) = p (1 - p)^{x - 1}

    Parameters
    ----------
    p : number, DataArray or expression
        Probability of success, above 0 and at most 1.

    Raises
    ------
    ParameterError
        Where `p` is not above 0 and at most 1.

    Examples
    --------
    >>> from bayeskit.distributions import Geometric
    >>> float(Geometric(0.2).mean()), float(Geometric(0.2).cdf(1).round(9))
    (5.0, 0.2)
    """

    parameters = (Parameter("p", above_zero),)
    discrete = True
    support = "1, 2, 3, ..."

    def __init__(self, p: Any = None) -> None:
        self._assign(p=p)

    def _log_prob(self, x: Array, p: Array) -> Array:
        with np.errstate(invalid="ignore"):
            value = xlog1py(np.asarray(x) - 1.0, -np.asarray(p)) + xlogy(1.0, p)
        return masked(value, self._outside(x, p))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], p: Array) -> Array:
        return rng.geometric(p, size=shape)

    def _mean(self, p: Array) -> Array:
        return 1.0 / p

    def _var(self, p: Array) -> Array:
        return (1.0 - p) / (p * p)

    def _mode(self, p: Array) -> Array:
        return np.ones(np.shape(p))

    def _cdf(self, x: Array, p: Array) -> Array:
        return -np.expm1(xlog1py(np.maximum(np.floor(x), 0.0), -np.asarray(p)))

    def _log_sf(self, x: Array, p: Array) -> Array:
        return xlog1py(np.maximum(np.floor(x), 0.0), -np.asarray(p))

    def _quantile(self, q: Array, p: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            k = np.ceil(np.log1p(-np.asarray(q)) / np.log1p(-np.asarray(p)))
        k = np.where(np.equal(p, 1), 1.0, np.maximum(k, 1.0))
        # rounding may put the ratio on the wrong side of a whole number
        k = np.where((k > 1) & (self._cdf(k - 1.0, p) >= q), k - 1.0, k)
        return np.where(self._cdf(k, p) < q, k + 1.0, k)

    def _bounds(self, p: Array) -> tuple[Any, Any]:
        return 1.0, np.inf
