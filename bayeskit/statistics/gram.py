"""Sums over rows that a Gaussian block needs: ``J'J``, ``J'v`` and ``v'v`` by noise cell, in the shape of an arrow.

A block's unknowns are a wide part (``groups`` of ``width`` numbers, no row touching two groups) and a dense rest. The
sums of one noise cell are one flat vector, so that the system of every chain is one product: precisions times sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Layout:
    """Which unknowns are wide and which are dense, and where their sums stand in the flat vector.

    Attributes
    ----------
    wide : array (groups, width)
        Columns of the wide unknowns.
    dense : array (rest,)
        Columns of the dense ones.
    """

    wide: Array
    dense: Array

    @property
    def groups(self) -> int:
        """Count of groups."""
        return int(self.wide.shape[0])

    @property
    def width(self) -> int:
        """Count of wide unknowns of one group."""
        return int(self.wide.shape[1])

    @property
    def rest(self) -> int:
        """Count of dense unknowns."""
        return int(self.dense.shape[0])

    @cached_property
    def lookup(self) -> tuple[Array, Array]:
        """For every column its group, -1 for the dense ones, and its place in its group or among the dense ones."""
        total = self.wide.size + self.rest
        group, place = np.full(total, -1), np.zeros(total, dtype=np.int64)
        group[self.wide] = np.arange(self.groups)[:, None]
        place[self.wide], place[self.dense] = np.arange(self.width), np.arange(self.rest)
        return group, place

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of A, of ``[C, hw]`` and of ``[[D, hd], [hd', v'v]]``."""
        g, k, r = self.groups, self.width, self.rest
        return [(g, k, k), (g, k, r + 1), (r + 1, r + 1)]

    @cached_property
    def _stops(self) -> list[int]:
        return list(np.cumsum([int(np.prod(s)) for s in self.shapes]))

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return int(self._stops[-1])

    def augmented(self, flat: Array) -> tuple[Array, Array, Array]:
        """Return the systems with the right-hand side as their last column, from flat vectors ``(batch, size)``."""
        batch, (first, second, _) = len(flat), self._stops
        A, B, E = self.shapes
        return (
            flat[:, :first].reshape(batch, *A),
            flat[:, first:second].reshape(batch, *B),
            flat[:, second:].reshape(batch, *E),
        )

    @cached_property
    def diagonal(self) -> Array:
        """Where the squares of the wide unknowns, of the dense ones and of v stand in the flat vector."""
        A, _, E = self.augmented(np.arange(self.size)[None])
        wide = np.diagonal(A, axis1=-2, axis2=-1).reshape(-1)
        return np.concatenate([wide, np.diagonal(E, axis1=-2, axis2=-1).reshape(-1)])

    def split(self, flat: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Return A, C, D, hw, hd and v'v of flat vectors ``(batch, size)``."""
        r = self.rest
        A, B, E = self.augmented(flat)
        return A, B[..., :r], E[:, :r, :r], B[..., r], E[:, :r, r], E[:, r:, r]

    def features(self, wide: Array, dense: Array) -> Array:
        """Return the vector whose product with a cell's sums is its sum of squared residuals at ``x``."""
        batch = wide.shape[0]
        end = np.empty((batch, self.rest + 1))
        end[:, :-1], end[:, -1] = dense, -1.0
        result = np.empty((batch, self.size))
        A, B, E = self.augmented(result)
        np.multiply(wide[..., :, None], wide[..., None, :], out=A)
        np.multiply(2.0 * wide[..., None], end[:, None, None, :], out=B)
        np.multiply(end[:, :, None], end[:, None, :], out=E)
        return result

    def gather(self, wide: Array, dense: Array) -> Array:
        """Return the unknowns in the order of their columns: ``(batch, columns)``."""
        both = np.concatenate([wide.reshape(len(wide), -1), dense], axis=1)
        return both.take(self._order, axis=1)

    @cached_property
    def _order(self) -> Array:
        """For every column, its place among the wide and then the dense unknowns."""
        return np.argsort(np.concatenate([self.wide.ravel(), self.dense]))

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Return the wide and the dense unknowns of ``(batch, columns)``."""
        return x.take(self.wide, axis=1), x.take(self.dense, axis=1)


@dataclass(frozen=True)
class Rows:
    """Rows of residuals laid along an arrow: ``e = v - W x_wide[group] - D x_dense``."""

    group: Array  # (n,)
    W: Array  # (n, width)
    D: Array  # (n, rest)
    v: Array  # (n,)

    def residual(self, wide: Array, dense: Array) -> Array:
        """Return the residuals at some unknowns: ``(batch, n)``."""
        e = self.v - dense @ self.D.T
        if self.W.shape[1]:
            e = e - np.einsum("bnk,nk->bn", wide[:, self.group], self.W)
        return e


def cross_sums(layout: Layout, left: Rows, right: Rows, weight: Array, cell: Array, cells: int) -> Array:
    """Return the weighted sums of products of two sets of rows, by noise cell: ``(cells, size)``."""
    g, k, r = layout.groups, layout.width, layout.rest
    key = cell * g + left.group if g else cell
    A, B = np.zeros((cells, g, k, k)), np.zeros((cells, g, k, r + 1))
    for i in range(k):
        wi = weight * left.W[:, i]
        for j in range(k):
            A[:, :, i, j] = np.bincount(key, wi * right.W[:, j], cells * g).reshape(cells, g)
        for j in range(r + 1):
            other = right.D[:, j] if j < r else right.v
            B[:, :, i, j] = np.bincount(key, wi * other, cells * g).reshape(cells, g)
    E = np.zeros((cells, r + 1, r + 1))
    D, hd = _dense_sums(left, right, weight, cell, cells)
    E[:, :r, :r], E[:, :r, r], E[:, r, :r] = D, hd, hd
    E[:, r, r] = np.bincount(cell, weight * left.v * right.v, cells)
    return np.concatenate([p.reshape(cells, -1) for p in (A, B, E)], axis=1)


_LOOP = 64  # up to so many noise cells, one matrix product a cell


def _dense_sums(left: Rows, right: Rows, weight: Array, cell: Array, cells: int) -> tuple[Array, Array]:
    r = left.D.shape[1]
    augmented = np.concatenate([right.D, right.v[:, None]], axis=1)
    weighted = left.D * weight[:, None]
    sums = np.zeros((cells, r, r + 1))
    if cells == 1:
        sums[0] = weighted.T @ augmented
    elif cells <= _LOOP:
        for c in range(cells):
            inside = cell == c
            sums[c] = weighted[inside].T @ augmented[inside]
    else:
        for i in range(r):
            for j in range(r + 1):
                sums[:, i, j] = np.bincount(cell, weighted[:, i] * augmented[:, j], cells)
    return sums[:, :, :r], sums[:, :, r]
