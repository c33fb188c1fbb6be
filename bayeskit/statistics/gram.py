"""Sums over rows that a Gaussian block needs: ``J'J``, ``J'v`` and ``v'v`` by noise cell, in the shape of an arrow.

A block's unknowns are a wide part (``groups`` of ``width`` numbers, no row touching two groups) and a dense rest. The
sums of one noise cell are one flat vector, so that the system of every chain is one product: precisions times sums.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def sections(self) -> list[tuple[int, ...]]:
        """Shapes of A, C, D, hw, hd and v'v."""
        g, k, r = self.groups, self.width, self.rest
        return [(g, k, k), (g, k, r), (r, r), (g, k), (r,), (1,)]

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(s)) for s in self.sections())

    def split(self, flat: Array) -> list[Array]:
        """Return the six sections of flat vectors ``(batch, size)``."""
        parts, start = [], 0
        for shape in self.sections():
            stop = start + int(np.prod(shape))
            parts.append(flat[:, start:stop].reshape(flat.shape[0], *shape))
            start = stop
        return parts

    def features(self, wide: Array, dense: Array) -> Array:
        """Return the vector whose product with a cell's sums is its sum of squared residuals at ``x``."""
        batch = wide.shape[0]
        parts = [
            wide[..., :, None] * wide[..., None, :],
            2.0 * wide[..., :, None] * dense[:, None, None, :],
            dense[:, :, None] * dense[:, None, :],
            -2.0 * wide,
            -2.0 * dense,
            np.ones((batch, 1)),
        ]
        return np.concatenate([p.reshape(batch, -1) for p in parts], axis=1)

    def gather(self, wide: Array, dense: Array) -> Array:
        """Return the unknowns in the order of their columns: ``(batch, columns)``."""
        x = np.empty((wide.shape[0], self.wide.size + self.rest))
        x[:, self.wide.ravel()] = wide.reshape(wide.shape[0], -1)
        x[:, self.dense] = dense
        return x

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Return the wide and the dense unknowns of ``(batch, columns)``."""
        return x[:, self.wide], x[:, self.dense]


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
    A, C, hw = np.zeros((cells, g, k, k)), np.zeros((cells, g, k, r)), np.zeros((cells, g, k))
    for i in range(k):
        wi = weight * left.W[:, i]
        for j in range(k):
            A[:, :, i, j] = np.bincount(key, wi * right.W[:, j], cells * g).reshape(cells, g)
        for j in range(r):
            C[:, :, i, j] = np.bincount(key, wi * right.D[:, j], cells * g).reshape(cells, g)
        hw[:, :, i] = np.bincount(key, wi * right.v, cells * g).reshape(cells, g)
    D, hd = _dense_sums(left, right, weight, cell, cells)
    vv = np.bincount(cell, weight * left.v * right.v, cells)
    return np.concatenate([p.reshape(cells, -1) for p in (A, C, D, hw, hd, vv)], axis=1)


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
