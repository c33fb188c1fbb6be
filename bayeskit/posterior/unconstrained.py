"""Named arrays with bounds as one vector on the unconstrained scale, and back, with any batch axes in front."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bayeskit.distributions.transforms import Identity, Transform, elementwise_transform
from bayeskit.errors import ModelError

__all__ = ["Bounds", "Unconstrained"]

FloatArray = npt.NDArray[np.float64]

type Bounds = Mapping[str, tuple[npt.ArrayLike | None, npt.ArrayLike | None]]


class Unconstrained:
    """The layout of a vector that holds every variable, transformed.

    Parameters
    ----------
    shapes
        Shape of each variable, in the order of the vector.
    bounds
        `{name: (lower, upper)}`: numbers, arrays that broadcast to the variable, or None where there is no bound.

    Attributes
    ----------
    shapes
        As given.
    limits
        The bounds of the bounded variables as floats, infinite where there is none.
    size
        Length of the vector.

    Raises
    ------
    ModelError
        If a bound is of no variable, or is not a pair of which the lower comes first.

    Examples
    --------
    >>> layout = Unconstrained({"mu": (2,), "sigma": ()}, {"sigma": (0, None)})
    >>> u = layout.pack({"mu": np.array([[3.0, 4.0]]), "sigma": np.array([1.0])})
    >>> u
    array([[3., 4., 0.]])
    >>> layout.unpack(u)["sigma"]
    array([1.])
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], bounds: Bounds) -> None:
        unknown = [name for name in bounds if name not in shapes]
        if unknown:
            raise ModelError(
                f"'bounds' must name variables of 'initial', which are {', '.join(map(repr, shapes))}. "
                f"Got {', '.join(map(repr, unknown))}.\nCheck the spelling."
            )
        self.shapes = dict(shapes)
        self.limits = {name: _read_limits(name, shapes[name], bound) for name, bound in bounds.items()}
        self._parts: list[tuple[str, tuple[int, ...], slice, Transform]] = []
        self.size = 0
        for name, shape in self.shapes.items():
            where = slice(self.size, self.size + int(np.prod(shape)))
            transform = elementwise_transform(*self.limits[name]) if name in self.limits else Identity()
            self._parts.append((name, shape, where, transform))
            self.size = where.stop

    def pack(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Arrays (batch..., shape...) to vectors (batch..., size)."""
        pieces = []
        for name, shape, _, transform in self._parts:
            value = np.asarray(values[name], float)
            batch = value.shape[: value.ndim - len(shape)]
            pieces.append(np.asarray(transform.forward(value)).reshape(*batch, -1))
        return np.concatenate(pieces, axis=-1)

    def unpack(self, u: FloatArray) -> dict[str, FloatArray]:
        """Vectors (batch..., size) to arrays (batch..., shape...)."""
        batch = u.shape[:-1]
        return {
            name: transform.inverse(u[..., where].reshape(batch + shape))
            for name, shape, where, transform in self._parts
        }

    def log_jacobian(self, u: FloatArray) -> FloatArray:
        """Log of |d values / d u|, (batch...); zero where nothing is bounded."""
        batch = u.shape[:-1]
        total = np.zeros(batch)
        for name, shape, where, transform in self._parts:
            if name in self.limits:
                terms = np.asarray(transform.log_jacobian(u[..., where].reshape(batch + shape)))
                total += terms.reshape(*batch, -1).sum(axis=-1)
        return total

    def outside(self, values: Mapping[str, FloatArray]) -> str | None:
        """The first variable of which an entry is not strictly within its bounds, or None."""
        for name, (lower, upper) in self.limits.items():
            if not ((values[name] > lower) & (values[name] < upper)).all():
                return name
        return None


def _read_limits(
    name: str, shape: tuple[int, ...], bound: tuple[npt.ArrayLike | None, npt.ArrayLike | None]
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bound as arrays that broadcast to the variable, or a sentence."""
    try:
        low, high = bound
        lower = np.asarray(-np.inf if low is None else low, float)
        upper = np.asarray(np.inf if high is None else high, float)
        fits = np.broadcast_shapes(lower.shape, upper.shape, shape) == shape and bool((lower < upper).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ModelError(
            f"The bounds of {name!r} must be a pair (lower, upper) with lower < upper, each a number, an array that "
            f"broadcasts to its shape {shape}, or None. Got {bound!r}.\nA positive variable has the bounds (0, None)."
        )
    return lower, upper
