r"""Sums over the rows of every cell: of numbers and of their products, with twice the digits of a float.

Beside each sum stands a bound of its error, which grows by :math:`2^{-104}` of what is added up: so sums can be merged
in any order, weighed, and taken out again, and what that costs is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from bayeskit.statistics import double_double as dd
from bayeskit.statistics.moments import Moments

Array = np.ndarray
_NAMES = ("first", "second", "first_error", "second_error")


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums by cell.

    Attributes
    ----------
    first : array
        ``(1 + numbers, 2, cells)``: how many rows there are, then the sums of the numbers, as pairs high and low.
    second : array
        ``(pairs, 2, cells)``: the sums of their products, pair by pair 00, 01, ..., 11, ...; none where not needed.
    first_error, second_error : array
        ``(1 + numbers, cells)`` and ``(pairs, cells)``: bounds of the errors of both.
    """

    first: Array
    second: Array
    first_error: Array
    second_error: Array

    @classmethod
    def of_rows(cls, key: Array, size: int, numbers: Sequence[Array], *, squared: bool) -> Sums:
        """Return the sums of numbers ``(rows,)`` by key."""
        first = [dd.sum_by(key, size, x) for x in (np.ones(len(key)), *numbers)]
        pairs = combinations_with_replacement(numbers, 2) if squared else ()
        second = [dd.sum_by(key, size, a, b) for a, b in pairs]
        totals = (_stacked([total for total, _ in sums], (2, size)) for sums in (first, second))
        errors = (_stacked([error for _, error in sums], (size,)) for sums in (first, second))
        return cls(*totals, *errors)

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
        return Sums(*(getattr(self, n)[..., cells] for n in _NAMES))

    def scaled(self, w: float) -> Sums:
        """Return the sums of rows that count ``w`` times each."""
        lost = 0.0 if abs(np.frexp(w)[0]) == 0.5 else dd.UNIT  # nothing, of powers of two
        totals, errors = [], []
        for sums, error in ((self.first, self.first_error), (self.second, self.second_error)):
            total = dd.multiply(np.moveaxis(sums, 1, 0), dd.from_float(w))
            totals.append(np.moveaxis(total, 0, 1))
            errors.append(abs(w) * error + lost * np.abs(total[0]))
        return Sums(*totals, *errors)

    def regrouped(self, key: Array, size: int) -> Sums:
        """Return the sums of cells taken together: ``key`` says for each of them where to."""
        first, first_error = dd.regroup(key, size, self.first, self.first_error)
        second, second_error = dd.regroup(key, size, self.second, self.second_error)
        return Sums(first, second, first_error, second_error)

    # ---- about the means ----------------------------------------------------------------------------------------
    def means(self) -> Array:
        """Return the means as pairs, ``(numbers, 2, cells)``."""
        return (
            np.stack([dd.divide(s, self.first[0]) for s in self.first[1:]]) if len(self.first) > 1 else self.first[1:]
        )

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
    return Sums(*(np.concatenate([getattr(p, n) for p in parts], axis=-1) for n in _NAMES))


def _stacked(arrays: Sequence[Array], shape: tuple[int, ...]) -> Array:
    return np.stack(arrays) if len(arrays) else np.zeros((0, *shape))
