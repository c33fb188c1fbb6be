"""The discrete uniform family."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, integer
from bayeskit.distributions.integers import whole_draws

__all__ = ["DiscreteUniform"]


class DiscreteUniform(Distribution):
    r"""Discrete uniform distribution on the whole numbers from `lower` to `upper`, both included.

    .. math:: P(x) = \frac{1}{\text{upper} - \text{lower} + 1}

    Parameters
    ----------
    lower, upper : number, DataArray or expression
        Least and greatest value, whole numbers, ``lower <= upper``.

    Raises
    ------
    ParameterError
        Where a bound is not a whole number, or `lower` exceeds `upper`.

    Examples
    --------
    >>> from bayeskit.distributions import DiscreteUniform
    >>> float(DiscreteUniform(1, 6).mean()), float(DiscreteUniform(1, 6).quantile(0.5))
    (3.5, 3.0)
    """

    parameters = (Parameter("lower", integer), Parameter("upper", integer))
    discrete = True
    joint_condition = "lower <= upper"
    support = "lower..upper"

    def __init__(self, lower: Any = None, upper: Any = None) -> None:
        self._assign(lower=lower, upper=upper)

    def _joint_invalid(self, lower: Array, upper: Array) -> Array:
        return ~np.less_equal(lower, upper)

    def _log_prob(self, x: Array, lower: Array, upper: Array) -> Array:
        value = -np.log(np.asarray(upper) - lower + 1.0)
        return np.where(self._outside(x, lower, upper), -np.inf, value)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], lower: Array, upper: Array) -> Array:
        return rng.integers(whole_draws(lower), whole_draws(upper), size=shape, endpoint=True)

    def _mean(self, lower: Array, upper: Array) -> Array:
        return 0.5 * (lower + upper)

    def _var(self, lower: Array, upper: Array) -> Array:
        count = upper - lower + 1.0
        return (count - 1.0) * (count + 1.0) / 12.0

    def _mode(self, lower: Array, upper: Array) -> Array:
        return np.broadcast_arrays(lower, upper)[0]  # all values are equally probable: the least

    def _cdf(self, x: Array, lower: Array, upper: Array) -> Array:
        return np.clip((np.floor(x) - lower + 1.0) / (upper - lower + 1.0), 0.0, 1.0)

    def _quantile(self, q: Array, lower: Array, upper: Array) -> Array:
        k = np.clip(lower - 1.0 + np.ceil(q * (upper - lower + 1.0)), lower, upper)
        # rounding may put the product on the wrong side of a whole number
        k = np.where((k > lower) & (self._cdf(k - 1.0, lower, upper) >= q), k - 1.0, k)
        return np.where((k < upper) & (self._cdf(k, lower, upper) < q), k + 1.0, k)

    def _bounds(self, lower: Array, upper: Array) -> tuple[Any, Any]:
        return lower, upper
