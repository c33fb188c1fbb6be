r"""Sums over rows that are all a likelihood needs, as a few rows that have the same sums.

Rows of a normal with equal parameters enter their density through count, mean and sum of squares about it. Any rows
with the same three say the same, for every mean and standard deviation: here three of them, with weights,

.. math:: x_i = \bar y + u_i, \qquad
          w_i = n\, \frac{s^2 + u_j u_k}{(u_i - u_j)(u_i - u_k)}, \qquad s^2 = \frac1n \sum (y - \bar y)^2,

where the :math:`u_i` are about 0 and :math:`\pm s`, and are known exactly. Vectors of d entries come down to 2 d, at
:math:`\bar y \pm \sqrt{d \lambda_k} v_k` with the eigenvalues and vectors of their covariance; rows of an exponential
to one, at their mean; those of a gamma to two, at :math:`G e^{\pm t}` with G the geometric and :math:`G \cosh t` the
arithmetic mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from bayeskit.statistics.moments import Moments, Numbers

Array = np.ndarray
Change = Callable[[Array], Array]
_TOO_FAR = 1e5  # spreads that a mean may lie from zero: the rounding of vectors beside it is kept below 1e-10


@dataclass(frozen=True)
class Kind:
    """How the rows of a family come down to a few.

    Attributes
    ----------
    numbers : callable
        From the entries of values to the numbers whose means are sufficient.
    squared : bool
        Whether their products are needed too.
    points : callable
        From moments to rows that have them: values ``(points, *groups, cells, *event)`` and their weights
        ``(points, *groups, cells)``. A value that is not finite says that there are none.
    merges_only : str
        Why nothing can be taken out of the sums again, or weighed less; empty where it can.
    """

    numbers: Numbers
    squared: bool
    points: Callable[[Moments], tuple[Array, Array]]
    merges_only: str = ""


def _three(there: Change, back: Change) -> Callable[[Moments], tuple[Array, Array]]:
    """Three values, ``there`` of numbers about the mean; one, where all rows are equal."""

    def points(moments: Moments) -> tuple[Array, Array]:
        (mean,), (squares,), count = moments.means, moments.squares, moments.count
        with np.errstate(all="ignore"):
            variance = np.where(count > 1, np.maximum(squares, 0.0) / np.maximum(count, 1.0), 0.0)
            far = np.sqrt(variance) * (1 + 1e-9) + 4 * np.spacing(np.abs(mean))
            values = there(np.stack([mean, mean - far, mean + far]))
            u, v, w = back(values) - mean
            weights = [
                (variance + v * w) / ((u - v) * (u - w)),
                (variance + u * w) / ((v - u) * (v - w)),
                (variance + u * v) / ((w - u) * (w - v)),
            ]
        alone = np.array([1.0, 0.0, 0.0]).reshape(3, *(1,) * mean.ndim)
        return values, np.where(variance > 0, np.maximum(weights, 0.0), alone) * count

    return points


def _one(there: Change) -> Callable[[Moments], tuple[Array, Array]]:
    return lambda moments: (there(moments.means[0])[None], moments.count[None])


def _two(there: Change) -> Callable[[Moments], tuple[Array, Array]]:
    def points(moments: Moments) -> tuple[Array, Array]:
        mean, log_mean = moments.means
        with np.errstate(all="ignore"):
            t = np.arccosh(np.maximum(mean * np.exp(-log_mean), 1.0))
            values = there(np.exp(log_mean + np.stack([-t, t])))
        return values, np.broadcast_to(0.5 * moments.count, values.shape)

    return points


def _vectors(moments: Moments) -> tuple[Array, Array]:
    """Two vectors for each eigenvector of the covariance."""
    d, count = len(moments.means), moments.count
    mean = np.stack(moments.means, axis=-1)
    covariance = np.zeros((*count.shape, d, d))
    for (i, j), squares in zip(combinations_with_replacement(range(d), 2), moments.squares, strict=True):
        covariance[..., i, j] = covariance[..., j, i] = squares / np.maximum(count, 1.0)
    size, vector = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(size, 0.0))
    step = np.moveaxis(np.sqrt(d) * spread[..., None, :] * vector, -1, 0)
    values = np.concatenate([mean - step, mean + step])
    far = np.maximum(np.abs(mean).max(axis=-1), spread[..., -1]) > _TOO_FAR * spread[..., 0]
    values = np.where((far & (count > 1))[..., None], np.nan, values)
    return values, np.broadcast_to(count / (2 * d), values.shape[:-1])


def _same(x: Array) -> Array:
    return x


KINDS: dict[str, Kind] = {
    "Normal": Kind(lambda y: (y,), True, _three(_same, _same)),
    "LogNormal": Kind(lambda y: (np.log(y),), True, _three(np.exp, np.log)),
    "MvNormal": Kind(lambda *y: y, True, _vectors),
    "HalfNormal": Kind(lambda y: (y * y,), False, _one(np.sqrt)),
    "Exponential": Kind(lambda y: (y,), False, _one(_same)),
    "Gamma": Kind(lambda y: (y, np.log(y)), False, _two(_same)),
    "InverseGamma": Kind(lambda y: (1 / y, -np.log(y)), False, _two(np.reciprocal)),
}
