r"""Sums over the rows of every cell: of numbers and of their products, with twice the digits of a float.

Each sum is held to a few units of :math:`2^{-104}` of what was ever added up in it, and how much that was is kept beside
it: so sums can be merged in any order, weighed, and taken out again, and what that costs is known. ``BOUND`` leaves room
for thousands of such operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from bayeskit.statistics import double_double as dd
from bayeskit.statistics.moments import Moments

Array = np.ndarray
BOUND = 2.0**-90  # 8e-28: the error of a sum is below it times what was added up


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums by cell.

    Attributes
    ----------
    first : array
        ``(1 + numbers, 2, cells)``: how many rows there are, then the sums of the numbers, as pairs high and low.
    second : array
        ``(pairs, 2, cells)``: the sums of their products, pair by pair 00, 01, ..., 11, ...; none where not needed.
    first_seen, second_seen : array
        ``(1 + numbers, cells)`` and ``(pairs, cells)``: the sums of the absolute values of all that was ever added up,
        or somewhat more.
    """

    first: Array
    second: Array
    first_seen: Array
    second_seen: Array

    @classmethod
    def of_rows(cls, key: Array, size: int, numbers: Sequence[Array], *, squared: bool) -> Sums:
        """Return the sums of numbers ``(rows,)`` by key."""
        first = [dd.sum_by(key, size, x) for x in (np.ones(len(key)), *numbers)]
        pairs = combinations_with_replacement(numbers, 2) if squared else ()
        second = [dd.sum_by(key, size, a, b) for a, b in pairs]
        totals = (_stacked([total for total, _ in sums], (2, size)) for sums in (first, second))
        seen = (_stacked([seen for _, seen in sums], (size,)) for sums in (first, second))
        return cls(*totals, *seen)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(self.first.shape[-1])

    @property
    def count(self) -> Array:
        """How many rows each cell stands for."""
        return np.asarray(self.first[0].sum(axis=0))

    @property
    def is_finite(self) -> bool:
        """Whether no sum is beyond the range of floats."""
        return bool(np.isfinite(self.first).all() and np.isfinite(self.second).all())

    def among(self, cells: Array) -> Sums:
        """Return the sums of some cells."""
        return Sums(*(a[..., cells] for a in (self.first, self.second, self.first_seen, self.second_seen)))

    def scaled(self, w: float) -> Sums:
        """Return the sums of rows that count ``w`` times each."""
        first, second = (dd.multiply(np.moveaxis(a, 1, 0), dd.from_float(w)) for a in (self.first, self.second))
        size = abs(w)
        return Sums(np.moveaxis(first, 0, 1), np.moveaxis(second, 0, 1), self.first_seen * size, self.second_seen * size)

    def regrouped(self, key: Array, size: int) -> Sums:
        """Return the sums of cells taken together: ``key`` says for each of them where to."""
        totals = (_stacked([dd.regroup(key, size, a) for a in s], (2, size)) for s in (self.first, self.second))
        every = (self.first_seen, self.second_seen)
        seen = (_stacked([np.bincount(key, a, size) for a in s], (size,)) for s in every)
        return Sums(*totals, *seen)

    # ---- about the means ----------------------------------------------------------------------------------------
    def means(self) -> Array:
        """Return the means as pairs, ``(numbers, 2, cells)``."""
        return np.stack([dd.divide(s, self.first[0]) for s in self.first[1:]]) if len(self.first) > 1 else self.first[1:]

    def centred(self) -> Array:
        """Return sums of products about the means as pairs, ``(pairs, 2, cells)``."""
        found = []
        for s, (i, j) in zip(self.second, self.pairs(), strict=True):
            about = dd.divide(dd.multiply(self.first[1 + i], self.first[1 + j]), self.first[0])
            found.append(dd.subtract(s, about))
        return np.stack(found) if found else self.second

    def pairs(self) -> list[tuple[int, int]]:
        """Return which numbers each product is of."""
        return list(combinations_with_replacement(range(len(self.first) - 1), 2)) if len(self.second) else []

    def moments(self) -> Moments:
        """Return counts, means and sums of products about the means, rounded to floats."""
        means, squares = self.means()[:, 0], self.centred()[:, 0]
        diagonal = [i == j for i, j in self.pairs()]
        kept = tuple(np.maximum(s, 0.0) if own else s for s, own in zip(squares, diagonal, strict=True))
        return Moments(self.count, tuple(means), kept)


def joined(parts: Sequence[Sums]) -> Sums:
    """Return the cells of all parts, one after another."""
    names = ("first", "second", "first_seen", "second_seen")
    return Sums(*(np.concatenate([getattr(p, n) for p in parts], axis=-1) for n in names))


def _stacked(arrays: Sequence[Array], shape: tuple[int, ...]) -> Array:
    return np.stack(arrays) if len(arrays) else np.zeros((0, *shape))
