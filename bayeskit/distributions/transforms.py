"""Bijections from a support to the unconstrained scale, for the steps that move on all of R^n (Metropolis, Laplace).

Every transform has the same five parts: `forward` (support to unconstrained), `inverse`, `log_jacobian(u)`, the log of
|dx/du| (summed over the event axes; elementwise for scalars), `event_ndim`, and `unconstrained_event_shape`. Leading
axes are arbitrary. All elementwise transforms are increasing, so they keep order and quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bayeskit.errors import RefusedError

__all__ = [
    "CholeskyLogDiagonal",
    "Identity",
    "Increasing",
    "Log",
    "Logit",
    "Mixed",
    "NegativeLog",
    "StickBreaking",
    "Transform",
    "elementwise_transform",
    "transform_of",
]

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


def _softplus(u: Array) -> Array:
    """log(1 + exp(u)), without overflow."""
    return np.maximum(u, 0.0) + np.log1p(np.exp(-np.abs(u)))


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


@dataclass(frozen=True)
class StickBreaking:
    """The simplex of K entries, on the last axis, to K - 1 numbers; zero is the centre of the simplex.

    With v_k = u_k - log(K - k), entry k takes the share expit(v_k) of what the entries before it left. Computed in
    logs, so small entries keep their relative accuracy. The Jacobian is that of the first K - 1 entries.

    Examples
    --------
    >>> StickBreaking().inverse(np.zeros(3))
    array([0.25, 0.25, 0.25, 0.25])
    """

    @property
    def event_ndim(self) -> int:
        """Axes of one value on the support."""
        return 1

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        x = np.asarray(x, dtype=float)
        after = np.cumsum(x[..., :0:-1], axis=-1)[..., ::-1]  # the sum of the later entries, without cancellation
        with np.errstate(divide="ignore"):
            return np.log(x[..., :-1]) - np.log(after) + self._offset(x.shape[-1] - 1)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        log_taken, log_left = self._logs(np.asarray(u, dtype=float))
        return np.exp(np.concatenate([log_taken, log_left[..., -1:]], axis=-1))

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        log_taken, log_left = self._logs(np.asarray(u, dtype=float))
        # dx_k/du_k = left before * z (1 - z) = x_k * left after / left before; the product telescopes
        return log_taken.sum(axis=-1) + log_left[..., -1]

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return (event_shape[0] - 1,)

    @staticmethod
    def _offset(size: int) -> Array:
        return np.log(np.arange(size, 0, -1.0))

    def _logs(self, u: Array) -> tuple[Array, Array]:
        """Logs of the entries but the last, and of what is left at the start and after each of them."""
        v = u - self._offset(u.shape[-1])
        log_left = np.zeros((*u.shape[:-1], u.shape[-1] + 1))
        np.cumsum(-_softplus(v), axis=-1, out=log_left[..., 1:])
        return log_left[..., :-1] - _softplus(-v), log_left


@dataclass(frozen=True)
class CholeskyLogDiagonal:
    """Positive definite (d, d) matrices to the d(d+1)/2 entries of their Cholesky factor, row by row, diagonal in logs.

    Examples
    --------
    >>> u = CholeskyLogDiagonal().forward(np.array([[4.0, 2.0], [2.0, 2.0]]))
    >>> u.shape, float(u[1])
    ((3,), 1.0)
    >>> CholeskyLogDiagonal().inverse(u)
    array([[4., 2.],
           [2., 2.]])
    """

    @property
    def event_ndim(self) -> int:
        """Axes of one value on the support."""
        return 2

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        x = np.asarray(x, dtype=float)
        size = x.shape[-1]
        rows, columns = np.tril_indices(size)
        u = np.linalg.cholesky(x)[..., rows, columns]
        diagonal = np.flatnonzero(rows == columns)
        u[..., diagonal] = np.log(u[..., diagonal])
        return u

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        u = np.asarray(u, dtype=float)
        size, (rows, columns) = self._layout(u.shape[-1])
        factor = np.zeros((*u.shape[:-1], size, size))
        with np.errstate(over="ignore"):
            factor[..., rows, columns] = np.where(rows == columns, np.exp(np.where(rows == columns, u, 0.0)), u)
        return factor @ np.swapaxes(factor, -1, -2)

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        u = np.asarray(u, dtype=float)
        size, (rows, columns) = self._layout(u.shape[-1])
        # dX/dL is 2^d prod L_ii^(d - i), i from 0; one more power of L_ii for the log
        weights = size - np.arange(size) + 1.0
        return size * math.log(2.0) + u[..., rows == columns] @ weights

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return (event_shape[0] * (event_shape[0] + 1) // 2,)

    @staticmethod
    def _layout(length: int) -> tuple[int, tuple[Array, Array]]:
        size = (math.isqrt(8 * length + 1) - 1) // 2
        return size, np.tril_indices(size)


@dataclass(frozen=True)
class Increasing:
    """Increasing vectors, on the last axis: the first entry and the logs of the steps, on the scale of `inner`.

    `inner` is the elementwise transform of the entries' own bounds; it is increasing, so it keeps the order.

    Examples
    --------
    >>> Increasing().inverse(np.zeros(4))
    array([0., 1., 2., 3.])
    """

    inner: Transform = Identity()

    @property
    def event_ndim(self) -> int:
        """Axes of one value on the support."""
        return 1

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        y = self.inner.forward(x)
        with np.errstate(divide="ignore"):
            return np.concatenate([y[..., :1], np.log(np.diff(y, axis=-1))], axis=-1)

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        return self.inner.inverse(self._increasing(np.asarray(u, dtype=float)))

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        u = np.asarray(u, dtype=float)
        inner = self.inner.log_jacobian(self._increasing(u))
        return u[..., 1:].sum(axis=-1) + inner.sum(axis=-1)

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return tuple(event_shape)

    @staticmethod
    def _increasing(u: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.cumsum(np.concatenate([u[..., :1], np.exp(u[..., 1:])], axis=-1), axis=-1)


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


def transform_of(distribution: Any, *params: Array) -> Transform:
    """Choose the transform for a value of `distribution` with these parameters.

    Univariate families are read from `_bounds`; vector and matrix families from their `support_kind` ("real_vector",
    "simplex", "positive_definite", "ordered").

    Parameters
    ----------
    distribution : Distribution
        Any continuous distribution.
    *params : array_like
        Its parameters in kernel order; the bounds may depend on them.

    Raises
    ------
    RefusedError
        For discrete distributions: they have no unconstrained scale.

    Examples
    --------
    >>> from bayeskit.distributions import Dirichlet
    >>> transform_of(Dirichlet([1, 1, 1]), np.ones(3))
    StickBreaking()
    """
    name = type(distribution).__name__
    if distribution.discrete:
        raise RefusedError(
            f"{name} must be continuous to be moved on an unconstrained scale. Got a discrete distribution. "
            "Discrete variables are enumerated or drawn by Gibbs steps."
        )
    kind = getattr(distribution, "support_kind", None)
    if kind == "ordered":
        return Increasing(elementwise_transform(*distribution._bounds(*params)))
    if kind == "simplex":
        return StickBreaking()
    if kind == "positive_definite":
        return CholeskyLogDiagonal()
    if kind == "real_vector":
        return Identity(event_ndim=1)
    return elementwise_transform(*distribution._bounds(*params))
