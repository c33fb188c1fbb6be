"""Bijections of numbers: from a half line or an interval to the whole line. All are increasing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Identity", "Log", "Logit", "Mixed", "NegativeLog", "Transform", "elementwise_transform"]

Array = Any


class Transform(Protocol):
    """What every transform offers."""

    @property
    def event_ndim(self) -> int:
        """Axes of one value, the same number on the support for all but positive definite matrices."""

    def forward(self, x: Array) -> Array:
        """Map the support to the unconstrained scale."""

    def inverse(self, u: Array) -> Array:
        """Map the unconstrained scale to the support."""

    def log_jacobian(self, u: Array) -> Array:
        """Log of the absolute determinant of dx/du at `u`, summed over the event axes."""

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale of a value of shape `event_shape`."""


class _Elementwise:
    """The parts that scalars share."""

    @property
    def event_ndim(self) -> int:
        """Axes of one value on the support."""
        return 0

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return tuple(event_shape)


@dataclass(frozen=True)
class Identity:
    """The real line (or R^n, with `event_ndim=1`): nothing to do.

    Examples
    --------
    >>> Identity().forward(2.5)
    array(2.5)
    >>> Identity(event_ndim=1).log_jacobian(np.ones((4, 3)))
    array([0., 0., 0., 0.])
    """

    event_ndim: int = 0

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        return np.asarray(x, dtype=float)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        return np.asarray(u, dtype=float)

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        shape = np.shape(u)
        return np.zeros(shape[: len(shape) - self.event_ndim])

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return tuple(event_shape)


@dataclass(frozen=True, eq=False)
class Log(_Elementwise):
    """Above `lower`: u = log(x - lower).

    Examples
    --------
    >>> float(Log().inverse(0.0)), float(Log(lower=3.0).inverse(0.0))
    (1.0, 4.0)
    """

    lower: Array = 0.0

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        with np.errstate(divide="ignore"):
            return np.log(x - self.lower)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        with np.errstate(over="ignore"):
            return self.lower + np.exp(u)

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        return np.asarray(u, dtype=float)


@dataclass(frozen=True, eq=False)
class NegativeLog(_Elementwise):
    """Below `upper`: u = -log(upper - x), increasing in x.

    Examples
    --------
    >>> float(NegativeLog(upper=3.0).inverse(0.0))
    2.0
    """

    upper: Array = 0.0

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        with np.errstate(divide="ignore"):
            return -np.log(self.upper - x)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        with np.errstate(over="ignore"):
            return self.upper - np.exp(np.negative(u))

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        return -np.asarray(u, dtype=float)


@dataclass(frozen=True, eq=False)
class Logit(_Elementwise):
    """Between `lower` and `upper` (numbers, or arrays that broadcast): u = log((x - lower) / (upper - x)).

    Examples
    --------
    >>> float(Logit().inverse(0.0)), float(Logit(2.0, 6.0).inverse(0.0))
    (0.5, 4.0)
    >>> float(Logit().inverse(-740.0)) == float(np.exp(-740.0))       # as far as floats reach
    True
    """

    lower: Array = 0.0
    upper: Array = 1.0

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        with np.errstate(divide="ignore"):
            return np.log(x - self.lower) - np.log(self.upper - x)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        odds = np.exp(-np.abs(u))
        distance = (self.upper - self.lower) * (odds / (1.0 + odds))
        # from the nearer end, so that the distance to it keeps its relative accuracy
        return np.where(np.less(u, 0), self.lower + distance, self.upper - distance)

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        size = np.abs(u)
        return np.log(self.upper - self.lower) - size - 2.0 * np.log1p(np.exp(-size))


class Mixed(_Elementwise):
    """Bounds of which some entries are infinite: each entry gets the transform of its own bounds.

    Examples
    --------
    >>> Mixed(np.array([0.0, -np.inf]), np.array([np.inf, np.inf])).inverse(np.zeros(2))
    array([1., 0.])
    """

    def __init__(self, lower: Array, upper: Array) -> None:
        self.lower, self.upper = np.broadcast_arrays(np.asarray(lower, dtype=float), np.asarray(upper, dtype=float))
        below, above = np.isfinite(self.lower), np.isfinite(self.upper)
        # the entries a transform is not for get bounds it can be evaluated with, and are then not selected
        low = np.where(below, self.lower, 0.0)
        high = np.where(above, self.upper, low + 1.0)
        self._masks = [below & above, below & ~above, ~below & above]
        low_of_interval = np.where(below, low, high - 1.0)
        self._parts: list[Transform] = [Logit(low_of_interval, high), Log(low), NegativeLog(high)]

    def _select(self, method: str, value: Array, default: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            choices = [getattr(part, method)(value) for part in self._parts]
        return np.select(np.broadcast_arrays(*self._masks, np.asarray(value))[:-1], choices, default)

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        return self._select("forward", x, np.asarray(x, dtype=float))

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        return self._select("inverse", u, np.asarray(u, dtype=float))

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        return self._select("log_jacobian", u, np.zeros(np.shape(u)))


def elementwise_transform(lower: Array, upper: Array) -> Transform:
    """Choose the transform of a scalar by its bounds: numbers, or arrays that broadcast; either may be infinite.

    Examples
    --------
    >>> elementwise_transform(0.0, np.inf)
    Log(lower=0.0)
    """
    below, above = np.isfinite(lower), np.isfinite(upper)
    if below.all() and above.all():
        return Logit(lower, upper)
    if below.all() and not above.any():
        return Log(lower)
    if above.all() and not below.any():
        return NegativeLog(upper)
    if below.any() or above.any():
        return Mixed(lower, upper)
    return Identity()
