"""Counts, means and sums of squares of the rows of every cell, gathered in chunks and merged.

Sums are taken about the mean, whose own rounding error is taken out. Source: Chan, Golub and LeVeque (1983), Algorithms
for computing the sample variance, The American Statistician 37, 242-247 (the corrected two-pass algorithm, merging).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from bayeskit.distributions.products import dot
from bayeskit.statistics.cells import Frame, Keys

Array = np.ndarray
Numbers = Callable[..., Sequence[Array]]  # from the entries of a value to the numbers whose means are wanted


@dataclass(frozen=True, eq=False)
class Moments:
    """Counts, means, and sums of products about the means, each ``(*groups, cells)``.

    Attributes
    ----------
    count : array
        How many rows a cell has: of rows that are only counted there is no more.
    means : tuple of array
        The means of one or more numbers.
    squares : tuple of array
        Sums of products of their deviations, pair by pair: 00, 01, ..., 11, ...; empty where they are not needed.
    """

    count: Array
    means: tuple[Array, ...] = ()
    squares: tuple[Array, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Return the cells of all parts, one after another."""
        return cls(
            np.concatenate([p.count for p in parts], axis=-1),
            tuple(np.concatenate(means, axis=-1) for means in zip(*(p.means for p in parts), strict=True)),
            tuple(np.concatenate(squares, axis=-1) for squares in zip(*(p.squares for p in parts), strict=True)),
        )

    def _each(self, change: Callable[[Array], Array]) -> Moments:
        return Moments(change(self.count), tuple(map(change, self.means)), tuple(map(change, self.squares)))

    def among(self, cells: Array) -> Moments:
        """Return the moments of some cells."""
        return self._each(lambda a: a[..., cells])

    def shaped(self, shape: tuple[int, ...]) -> Moments:
        """Return the same laid out otherwise."""
        return self._each(lambda a: a.reshape(shape))

    def regrouped(self, place: Array, size: int) -> Moments:
        """Return the moments of cells taken together: ``place`` says for each of them where to."""
        flat = self.shaped((-1, len(place)))
        groups = len(flat.count)
        key = np.arange(groups)[:, None] * size + place

        def total(values: Array) -> Array:
            return np.bincount(key.ravel(), values.ravel(), groups * size)

        count = total(flat.count)
        some = np.maximum(count, 1.0)
        means = [total(flat.count * m) / some for m in flat.means]
        if not self.squares:
            return Moments(count, tuple(means)).shaped((*self.count.shape[:-1], size))
        means = [m + total(flat.count * (own - m[key])) / some for m, own in zip(means, flat.means, strict=True)]
        off = [own - m[key] for m, own in zip(means, flat.means, strict=True)]
        pairs = zip(flat.squares, combinations_with_replacement(off, 2), strict=True)
        squares = tuple(total(s + flat.count * a * b) for s, (a, b) in pairs)
        return Moments(count, tuple(means), squares).shaped((*self.count.shape[:-1], size))


def gather(frame: Frame, keys: Keys, entries: Sequence[Array], numbers: Numbers, *, squared: bool) -> Moments:
    """Return the moments of numbers made of the entries of a value, by group of a frame and key.

    Parameters
    ----------
    frame : Frame
        The cells.
    keys : Keys
        What tells them apart.
    entries : sequence of array
        The value laid along the frame: one array for numbers, one for each entry of vectors.
    numbers : callable
        From the entries to the numbers.
    squared : bool
        Whether sums of products are wanted.
    """
    shape = (*frame.group_shape, keys.size)
    total = frame.groups * keys.size
    if total == 1:
        return _of_all(frame, entries, numbers, squared).shaped(shape)
    count, sums = np.zeros(total), list[Array]()
    for piece in frame.pieces(4 * total):
        key = keys.grouped(piece)
        count += np.bincount(key, minlength=total)
        found = [np.bincount(key, x, total) for x in _numbers(frame, piece, entries, numbers)]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    some = np.maximum(count, 1.0)
    means = [s / some for s in sums]
    if not squared:
        return Moments(count, tuple(means)).shaped(shape)
    off = [np.zeros(total) for _ in means]
    squares = [np.zeros(total) for _ in combinations_with_replacement(means, 2)]
    for piece in frame.pieces(4 * total):
        key = keys.grouped(piece)
        e = [x - m[key] for x, m in zip(_numbers(frame, piece, entries, numbers), means, strict=True)]
        for sum_, own in zip(off, e, strict=True):
            sum_ += np.bincount(key, own, total)
        for sum_, (a, b) in zip(squares, combinations_with_replacement(e, 2), strict=True):
            sum_ += np.bincount(key, a * b, total)
    pairs = zip(squares, combinations_with_replacement(off, 2), strict=True)
    corrected = tuple(s - a * b / some for s, (a, b) in pairs)
    return Moments(count, tuple(m + o / some for m, o in zip(means, off, strict=True)), corrected).shaped(shape)


def _numbers(frame: Frame, piece: tuple[slice, ...], entries: Sequence[Array], numbers: Numbers) -> Sequence[Array]:
    return numbers(*(frame.flat(frame.cut(entry, piece), piece) for entry in entries))


def _of_all(frame: Frame, entries: Sequence[Array], numbers: Numbers, squared: bool) -> Moments:
    """Return the moments of all cells together, in one pass: those of the chunks, merged."""
    counts, means, squares = [], [], []
    room: list[Array] = []  # for differences: fresh memory for every chunk takes longer than the sums
    for piece in frame.pieces():
        found = _numbers(frame, piece, entries, numbers)
        counts.append(float(len(found[0])))
        means.append([x.sum() / max(1, len(x)) for x in found])
        if squared:
            if not room or len(room[0]) < len(found[0]):
                room = [np.empty(len(x)) for x in found]
            e = [np.subtract(x, m, out=r[: len(x)]) for x, m, r in zip(found, means[-1], room, strict=True)]
            squares.append([dot(a, b) for a, b in combinations_with_replacement(e, 2)])
    chunks = Moments(np.array(counts), tuple(np.array(means).T), tuple(np.array(squares).T))
    return chunks.regrouped(np.zeros(len(counts), dtype=np.int64), 1)
