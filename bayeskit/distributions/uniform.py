"""The uniform family, and the flat improper prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, extended_real, real
from bayeskit.distributions.parameters import show_value

__all__ = ["Flat", "Uniform"]


class Uniform(Distribution):
    r"""Uniform distribution between `lower` and `upper`, both included.

    .. math:: p(x) = \frac{1}{upper - lower}

    Parameters
    ----------
    lower, upper : number, DataArray or expression
        Ends of the interval; 0 and 1 where nothing is given.

    Raises
    ------
    ParameterError
        Where an end is not finite, or `lower` is not below `upper`.

    Examples
    --------
    >>> from bayeskit.distributions import Uniform
    >>> d = Uniform(0, 10)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.cdf(4))]
    [5.0, 2.887, 0.4]
    """

    parameters = (Parameter("lower", real, default=0), Parameter("upper", real, default=1))
    symmetric = True
    support = "lower..upper"
    joint_condition = "lower < upper"

    def __init__(self, lower: Any = 0, upper: Any = 1) -> None:
        self._assign(lower=lower, upper=upper)

    def _joint_invalid(self, lower: Array, upper: Array) -> Array:
        return ~(lower < upper)

    def _log_prob(self, x: Array, lower: Array, upper: Array) -> Array:
        return np.where((x >= lower) & (x <= upper), -np.log(upper - lower), -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], lower: Array, upper: Array) -> Array:
        return np.minimum(lower + (upper - lower) * rng.random(shape), upper)

    def _mean(self, lower: Array, upper: Array) -> Array:
        return 0.5 * (lower + upper)

    def _var(self, lower: Array, upper: Array) -> Array:
        return (upper - lower) ** 2 / 12.0

    def _mode(self, lower: Array, upper: Array) -> Array:
        """Return the middle: every value is equally probable."""
        return 0.5 * (lower + upper)

    def _cdf(self, x: Array, lower: Array, upper: Array) -> Array:
        return np.clip((x - lower) / (upper - lower), 0.0, 1.0)

    def _sf(self, x: Array, lower: Array, upper: Array) -> Array:
        return np.clip((upper - x) / (upper - lower), 0.0, 1.0)

    def _quantile(self, q: Array, lower: Array, upper: Array) -> Array:
        return lower + (upper - lower) * q

    def _log_isf(self, log_tail: Array, lower: Array, upper: Array) -> Array:
        return upper - (upper - lower) * np.exp(log_tail)

    def _bounds(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return lower, upper


class Flat(Distribution):
    r"""Flat improper prior: density one between two ends that may be infinite.

    .. math:: p(x) \propto 1

    It has no normaliser, no moments and no draws; a posterior may be proper all the same.

    Parameters
    ----------
    lower, upper : number, DataArray or expression, optional
        Ends of the support, included; infinite where nothing is given.

    Raises
    ------
    ParameterError
        Where `lower` is not below `upper`.
    RefusedError
        Where draws are asked for.

    Examples
    --------
    >>> from bayeskit.distributions import Flat
    >>> d = Flat(lower=0)
    >>> print(d, d.is_proper, float(d.log_prob(3)), float(d.log_prob(-1)))
    Flat(lower=0) False 0.0 -inf
    """

    parameters = (
        Parameter("lower", extended_real, default=-np.inf),
        Parameter("upper", extended_real, default=np.inf),
    )
    joint_condition = "lower < upper"

    def __init__(self, lower: Any = None, upper: Any = None) -> None:
        self._assign(lower=lower, upper=upper)

    @property
    def is_proper(self) -> bool:
        """False: the density does not integrate to one."""
        return False

    @property
    def support_text(self) -> str:
        """Where values lie, as it completes "must lie in ..."."""
        ends = [show_value(self.canonical[name]) for name in ("lower", "upper")]
        return "the real numbers" if ends == ["-inf", "inf"] else "..".join(ends)

    def __repr__(self) -> str:
        return f"Flat({', '.join(f'{name}={show_value(value)}' for name, value in self.given.items())})"

    def _joint_invalid(self, lower: Array, upper: Array) -> Array:
        return ~(lower < upper)

    def _log_prob(self, x: Array, lower: Array, upper: Array) -> Array:
        return np.where((x >= lower) & (x <= upper) & np.isfinite(x), 0.0, -np.inf)

    def _bounds(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return lower, upper
