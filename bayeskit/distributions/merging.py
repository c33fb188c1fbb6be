"""Rows that are equal, found by hashing; a sample says first whether there are enough of them to be worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

_SMALL = 20_000  # rows that are sorted without a sample
_WORTH = 0.7  # rows are merged where so much of them is left, or less
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: products with it are spread well (Knuth, vol. 3)


@dataclass(frozen=True)
class Merged:
    """Which rows are equal.

    Attributes
    ----------
    first : array (groups,)
        One row of every group.
    group : array (rows,)
        The group of every row.
    """

    first: Array
    group: Array

    def sum(self, values: Array) -> Array:
        """Return the sums by group of values ``(rows,)``."""
        return np.bincount(self.group, values, len(self.first))


def merge_equal(columns: Sequence[Array], rows: int) -> Merged | None:
    """Return the groups of equal rows, or None where merging would save little.

    Parameters
    ----------
    columns : sequence of array (rows,)
        What the rows are made of; none of them where all rows are equal.
    rows : int
        How many there are.

    Notes
    -----
    Of n rows, many, a sample of m is hashed first. Where each row is there g times the sample is expected to hold
    (g - 1) m^2 / 2n repetitions (the birthday problem): 20 (g - 1) for the m taken here.
    """
    if rows > _SMALL:
        sample = np.random.default_rng(0).choice(rows, int(np.sqrt(40 * rows)), replace=False)
        hashed = _hash([c[sample] for c in columns], len(sample))
        if len(sample) - len(np.unique(hashed)) < 20 * (1 / _WORTH - 1):
            return None
    _, first, group = np.unique(_hash(columns, rows), return_index=True, return_inverse=True)
    if len(first) > _WORTH * rows:
        return None
    if not all(np.array_equal(c[first][group], c) for c in columns):  # two rows of one hash: as good as never
        stacked = np.stack(columns, axis=1)
        _, first, group = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    return Merged(first, group.reshape(-1))


def _hash(columns: Sequence[Array], rows: int) -> Array:
    """Return a number for every row, the same for rows that are equal."""
    result = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        bits = (column + 0.0).view(np.uint64)  # -0.0 becomes 0.0, whole numbers floats
        result = (result ^ bits ^ (bits >> np.uint64(32))) * _ODD
        result ^= result >> np.uint64(29)
    return result
