r"""Sums over rows that are all a likelihood needs, and a few rows that have the same sums.

Rows of a normal with equal parameters enter their density through count, mean and sum of squares about it. Any rows
with the same three say the same, for every mean and standard deviation: here three of them, with weights,

.. math:: x_i = \bar y + u_i, \qquad
          w_i = n\, \frac{s^2 + u_j u_k}{(u_i - u_j)(u_i - u_k)}, \qquad s^2 = \frac1n \sum (y - \bar y)^2,

where the :math:`u_i` are about 0 and :math:`\pm s`, and are known exactly. Rows of an exponential come down to one, at
their mean; those of a gamma to two, at :math:`G e^{\pm t}` with G the geometric and :math:`G \cosh t` the arithmetic
mean.

Sums are taken about the mean, whose own rounding error is taken out. Source: Chan, Golub and LeVeque (1983), Algorithms
for computing the sample variance, The American Statistician 37, 242-247 (the corrected two-pass algorithm, merging).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bayeskit.statistics.cells import Frame, Keys

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Moments:
    """Counts, means and sums of squares about the (first) mean, each ``(*groups, cells)``; no squares where not asked.

    Of rows that are only counted there is nothing but their number.
    """

    count: Array
    means: tuple[Array, ...] = ()
    squares: Array | None = None

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Return the cells of all parts, one after another."""
        squares = [p.squares for p in parts if p.squares is not None]
        return cls(
            np.concatenate([p.count for p in parts], axis=-1),
            tuple(np.concatenate(means, axis=-1) for means in zip(*(p.means for p in parts), strict=True)),
            np.concatenate(squares, axis=-1) if squares else None,
        )

    def among(self, cells: Array) -> Moments:
        """Return the moments of some cells."""
        squares = None if self.squares is None else self.squares[..., cells]
        return Moments(self.count[..., cells], tuple(m[..., cells] for m in self.means), squares)

    def regrouped(self, place: Array, size: int) -> Moments:
        """Return the moments of cells taken together: ``place`` says for each of them where to."""
        flat = self.count.reshape(-1, len(place))
        key = np.arange(len(flat))[:, None] * size + place

        def total(values: Array) -> Array:
            return np.bincount(key.ravel(), values.ravel(), len(flat) * size)

        count = total(flat)
        some = np.maximum(count, 1.0)
        means, squares = [total(flat * m.reshape(flat.shape)) / some for m in self.means], None
        if self.squares is not None:
            mean = self.means[0].reshape(flat.shape)
            means[0] = means[0] + total(flat * (mean - means[0][key])) / some
            squares = total(self.squares.reshape(flat.shape) + flat * (mean - means[0][key]) ** 2)
        return Moments(count, tuple(means), squares).shaped((*self.count.shape[:-1], size))

    def shaped(self, shape: tuple[int, ...]) -> Moments:
        """Return the same laid out otherwise."""
        squares = None if self.squares is None else self.squares.reshape(shape)
        return Moments(self.count.reshape(shape), tuple(m.reshape(shape) for m in self.means), squares)


@dataclass(frozen=True)
class Kind:
    """How the rows of a family come down to a few.

    Attributes
    ----------
    numbers : callable
        From values to the numbers whose means are sufficient.
    squared : bool
        Whether their squares are needed too.
    points : callable
        From moments to values and weights of rows that have them: ``(points, *groups, cells)`` each.
    """

    numbers: Callable[[Array], tuple[Array, ...]]
    squared: bool
    points: Callable[[Moments], tuple[Array, Array]]

    def moments(self, frame: Frame, keys: Keys, value: Array) -> Moments:
        """Return the moments of the values of the cells of a frame, by group and key."""
        if frame.groups * keys.size == 1:
            return self._of_all(frame, value)
        total = frame.groups * keys.size
        count, sums = np.zeros(total), list[Array]()
        for piece in frame.pieces(4 * total):
            key = keys.grouped(piece)
            count += np.bincount(key, minlength=total)
            found = [np.bincount(key, x, total) for x in self.numbers(frame.flat(frame.cut(value, piece), piece))]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        some = np.maximum(count, 1.0)
        means, squares = [s / some for s in sums], None
        if self.squared:
            means[0], squares = self._about(means[0], count, frame, keys, value)
        return Moments(count, tuple(means), squares).shaped((*frame.group_shape, keys.size))

    def _of_all(self, frame: Frame, value: Array) -> Moments:
        """Return the moments of all cells together, in one pass: those of the chunks, merged."""
        counts, means, squares = [], [], []
        for piece in frame.pieces():
            numbers = self.numbers(frame.flat(frame.cut(value, piece), piece))
            counts.append(float(len(numbers[0])))
            means.append([x.sum() / max(1, len(x)) for x in numbers])
            if self.squared:
                e = numbers[0] - means[-1][0]
                squares.append(e @ e)
        found = Moments(np.array(counts), tuple(np.array(means).T), np.array(squares) if squares else None)
        merged = found.regrouped(np.zeros(len(counts), dtype=np.int64), 1)
        return merged.shaped((*frame.group_shape, 1))

    def _about(self, mean: Array, count: Array, frame: Frame, keys: Keys, value: Array) -> tuple[Array, Array]:
        """Return the means, corrected, and the sums of squares about them."""
        total = len(mean)
        off, squares = np.zeros(total), np.zeros(total)
        for piece in frame.pieces(4 * total):
            (x,) = self.numbers(frame.flat(frame.cut(value, piece), piece))
            key = keys.grouped(piece)
            e = x - mean[key]
            off += np.bincount(key, e, total)
            squares += np.bincount(key, e * e, total)
        shift = off / np.maximum(count, 1.0)
        return mean + shift, np.maximum(squares - shift * off, 0.0)


def _three(moments: Moments, there: Callable[[Array], Array], back: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return three values, ``there`` of numbers about the mean, and their weights; one, where all rows are equal."""
    mean, count = moments.means[0], moments.count
    assert moments.squares is not None
    with np.errstate(all="ignore"):
        variance = np.where(count > 1, moments.squares / np.maximum(count, 1.0), 0.0)
        far = np.sqrt(variance) * (1 + 1e-9) + 4 * np.spacing(np.abs(mean))
        values = there(np.stack([mean, mean - far, mean + far]))
        u, v, w = back(values) - mean
        weights = [
            (variance + v * w) / ((u - v) * (u - w)),
            (variance + u * w) / ((v - u) * (v - w)),
            (variance + u * v) / ((w - u) * (w - v)),
        ]
    spread = variance > 0
    alone = np.array([1.0, 0.0, 0.0]).reshape(3, *(1,) * mean.ndim)
    weight = np.where(spread, np.maximum(weights, 0.0), alone) * count
    return values, weight


def _one(there: Callable[[Array], Array]) -> Callable[[Moments], tuple[Array, Array]]:
    def points(moments: Moments) -> tuple[Array, Array]:
        return there(moments.means[0])[None], moments.count[None]

    return points


def _two(there: Callable[[Array], Array]) -> Callable[[Moments], tuple[Array, Array]]:
    def points(moments: Moments) -> tuple[Array, Array]:
        mean, log_mean = moments.means
        with np.errstate(all="ignore"):
            t = np.arccosh(np.maximum(mean * np.exp(-log_mean), 1.0))
            values = there(np.exp(log_mean + np.stack([-t, t])))
        return values, np.broadcast_to(0.5 * moments.count, values.shape)

    return points


def _same(x: Array) -> Array:
    return x


KINDS: dict[str, Kind] = {
    "Normal": Kind(lambda y: (y,), True, lambda m: _three(m, _same, _same)),
    "LogNormal": Kind(lambda y: (np.log(y),), True, lambda m: _three(m, np.exp, np.log)),
    "HalfNormal": Kind(lambda y: (y * y,), False, _one(np.sqrt)),
    "Exponential": Kind(lambda y: (y,), False, _one(_same)),
    "Gamma": Kind(lambda y: (y, np.log(y)), False, _two(_same)),
    "InverseGamma": Kind(lambda y: (1 / y, -np.log(y)), False, _two(np.reciprocal)),
}
