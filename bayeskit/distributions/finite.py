"""Distributions on finitely many numbers: what an enumerated posterior is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions import labelled
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, real, simplex
from bayeskit.distributions.integers import category_draws

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["FiniteDiscrete"]


class FiniteDiscrete(Distribution):
    r"""Distribution on K numbers with known probabilities.

    .. math:: P(x) = \sum_k p_k \, [x = v_k], \qquad v_1 \le v_2 \le \dots \le v_K

    Parameters
    ----------
    values : row of numbers or DataArray
        The numbers, along the last dim, in increasing order.
    p : row of numbers or DataArray
        Their probabilities, along the last dim, that sum to 1.

    Raises
    ------
    ParameterError
        Where `values` are not finite or not in order, or `p` is not a row of as many probabilities.

    Examples
    --------
    >>> d = FiniteDiscrete([0.1, 0.5, 2.0], [0.2, 0.5, 0.3])
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.mode(), d.cdf(1.0), d.quantile(0.8))]
    [0.87, 0.755, 0.5, 0.7, 2.0]
    >>> d.hdi(0.6).values
    array([0.1, 0.5])
    """

    parameters = (Parameter("values", real, event_ndim=1), Parameter("p", simplex, event_ndim=1))
    discrete = True
    joint_condition = "values in increasing order, as many as p"
    support = "the values"

    def __init__(self, values: Any, p: Any) -> None:
        self._assign(values=values, p=p)

    def _joint_invalid(self, values: Array, p: Array) -> Array:
        if np.shape(values)[-1] != np.shape(p)[-1]:
            return np.ones((), dtype=bool)
        return np.any(np.diff(values, axis=-1) < 0, axis=-1)

    def _log_prob(self, x: Array, values: Array, p: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(np.where(np.asarray(x)[..., None] == values, p, 0.0).sum(axis=-1))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], values: Array, p: Array) -> Array:
        codes = category_draws(rng, shape, p)
        return np.take_along_axis(np.broadcast_to(values, (*shape, np.shape(values)[-1])), codes[..., None], -1)[..., 0]

    def _mean(self, values: Array, p: Array) -> Array:
        return (p * values).sum(axis=-1)

    def _var(self, values: Array, p: Array) -> Array:
        return (p * (values - self._mean(values, p)[..., None]) ** 2).sum(axis=-1)

    def _mode(self, values: Array, p: Array) -> Array:
        values, p = np.broadcast_arrays(values, p)
        return np.take_along_axis(values, np.argmax(p, axis=-1)[..., None], axis=-1)[..., 0]

    def _cdf(self, x: Array, values: Array, p: Array) -> Array:
        return np.minimum(np.where(values <= np.asarray(x)[..., None], p, 0.0).sum(axis=-1), 1.0)

    def _sf(self, x: Array, values: Array, p: Array) -> Array:
        return np.minimum(np.where(values > np.asarray(x)[..., None], p, 0.0).sum(axis=-1), 1.0)

    def _quantile(self, q: Array, values: Array, p: Array) -> Array:
        return _reached(_levels(p), np.asarray(q), values)

    def _bounds(self, values: Array, p: Array) -> tuple[Array, Array]:
        return values[..., 0], values[..., -1]

    def _outside(self, x: Array, values: Array, p: Array) -> Array:
        return ~np.any(np.asarray(x)[..., None] == values, axis=-1)

    def hdi(self, prob: float = 0.89) -> DataArray:
        """Narrowest interval between two of the values that holds a probability; of several, the most probable."""
        mass = float(labelled._probability(prob, "prob", self.family))
        frame = labelled.aligned(self)
        return labelled._interval(frame, _narrowest(mass, *frame.arrays))


def _levels(p: Array) -> Array:
    levels = np.cumsum(p, axis=-1)
    return levels / levels[..., -1:]


def _reached(levels: Array, q: Array, values: Array) -> Array:
    """Return the least value at which the distribution function reaches q."""
    code = np.minimum((levels < q[..., None]).sum(axis=-1), levels.shape[-1] - 1)
    full = (*np.broadcast_shapes(code.shape, values.shape[:-1]), values.shape[-1])
    return np.take_along_axis(np.broadcast_to(values, full), np.broadcast_to(code, full[:-1])[..., None], -1)[..., 0]


def _narrowest(mass: float, values: Array, p: Array) -> tuple[Array, Array]:
    values, p = np.broadcast_arrays(values, p)
    levels = _levels(p)
    below = np.concatenate([np.zeros((*levels.shape[:-1], 1)), levels], axis=-1)
    best_width = np.full(levels.shape[:-1], np.inf)
    lower, upper, held = values[..., 0].copy(), values[..., -1].copy(), np.zeros(levels.shape[:-1])
    for i in range(levels.shape[-1]):
        wanted = below[..., i] + mass * (1 - 1e-12)
        code = (levels < wanted[..., None]).sum(axis=-1)
        enough = code < levels.shape[-1]
        place = np.minimum(code, levels.shape[-1] - 1)[..., None]
        end = np.take_along_axis(values, place, axis=-1)[..., 0]
        inside = np.take_along_axis(levels, place, axis=-1)[..., 0] - below[..., i]
        width = np.where(enough, end - values[..., i], np.inf)
        better = (width < best_width) | ((width == best_width) & (inside > held))
        lower, upper = np.where(better, values[..., i], lower), np.where(better, end, upper)
        best_width, held = np.where(better, width, best_width), np.where(better, inside, held)
    return lower, upper
