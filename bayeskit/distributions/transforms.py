"""Bijections from a support to the unconstrained scale, for the steps that move on all of R^n (Metropolis, Laplace).

Every transform has the same five parts: `forward` (support to unconstrained), `inverse`, `log_jacobian(u)`, the log of
|dx/du| (summed over the event axes; elementwise for scalars), `event_ndim`, and `unconstrained_event_shape`. Leading
axes are arbitrary. All elementwise transforms are increasing, so they keep order and quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayeskit.distributions.elementwise import (
    Identity,
    Log,
    Logit,
    Mixed,
    NegativeLog,
    Transform,
    elementwise_transform,
)
from bayeskit.distributions.saddlepoint import softplus
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
        np.cumsum(-softplus(v), axis=-1, out=log_left[..., 1:])
        return log_left[..., :-1] - softplus(-v), log_left


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
class StickBreakingOfTables:
    """Tables of shares, on the last two axes, to numbers: `StickBreaking` of their cells, one after the other.

    Examples
    --------
    >>> StickBreakingOfTables(2, 2).inverse(np.zeros(3))
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """

    rows: int
    columns: int

    @property
    def event_ndim(self) -> int:
        """Axes of one value on the support."""
        return 2

    def forward(self, x: Array) -> Array:
        """Support to unconstrained scale."""
        x = np.asarray(x, dtype=float)
        return StickBreaking().forward(x.reshape(*x.shape[:-2], -1))

    def inverse(self, u: Array) -> Array:
        """Unconstrained scale to support."""
        cells = StickBreaking().inverse(u)
        return cells.reshape(*cells.shape[:-1], self.rows, self.columns)

    def log_jacobian(self, u: Array) -> Array:
        """Log of |dx/du|."""
        return StickBreaking().log_jacobian(u)

    def unconstrained_event_shape(self, event_shape: Sequence[int]) -> tuple[int, ...]:
        """Event shape on the unconstrained scale."""
        return (self.rows * self.columns - 1,)


@dataclass(frozen=True)
class Increasing:
    """Increasing vectors, on the last axis: the first entry and the logs of the steps, on the scale of `inner`.

    `inner` is the elementwise transform of the entries' own bounds; it is increasing, so it keeps the order.

    Examples
    --------
    >>> Increasing().inverse(np.zeros(4))
    array([0., 1., 2., 3.])
    """

    inner: Transform = field(default_factory=Identity)

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


def transform_of(distribution: Any, *params: Array) -> Transform:
    """Choose the transform for a value of `distribution` with these parameters.

    Univariate families are read from `_bounds`; vector and matrix families from their `support_kind` ("real_vector",
    "real_matrix", "simplex", "positive_definite", "ordered").

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
    if kind == "simplex_table":
        return StickBreakingOfTables(*np.shape(params[-1])[-2:])
    if kind == "positive_definite":
        return CholeskyLogDiagonal()
    if kind in ("real_vector", "real_matrix"):
        return Identity(event_ndim=distribution.event_ndim)
    return elementwise_transform(*distribution._bounds(*params))
