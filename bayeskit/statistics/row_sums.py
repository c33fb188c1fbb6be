"""Sums over laid rows in one pass: what ``cross_sums`` gives for dense rows, without making them.

Columns that all rows share are multiplied as matrices, window by window; what a row picks is counted by ``bincount``.
"""

from __future__ import annotations

import numpy as np

from bayeskit.statistics.gram import Layout
from bayeskit.statistics.laid import LaidRows, Number, Window, times, windows

Array = np.ndarray
Pilot = tuple[Array, Array] | None  # wide (groups, width) and dense (rest,) unknowns that rows are centred about
WINDOW = 16_384  # rows in the processor's cache
_MOST = 2_000_000  # numbers of a window
_FEW_CELLS = 64  # up to so many noise cells, one matrix product a cell
_SEVERAL = 2  # columns: for fewer, sums by cell of the products of pairs


class RowSums:
    """Sums of products of the rows of one factor, by noise cell.

    Parameters
    ----------
    rows : LaidRows
        The rows.
    weight, cell : array
        Known weights and noise cells, over the frame of the rows.
    cells : int
        How many noise cells there are.
    """

    def __init__(self, rows: LaidRows, weight: Array, cell: Array, cells: int) -> None:
        self.rows, self.layout, self.cells = rows, rows.layout, cells
        one = (1,) * len(rows.shape)
        self.weight, self.cell = (a if a.ndim else a.reshape(one) for a in (weight, cell))
        self.scale = float(self.weight.item()) if self.weight.size == 1 else 1.0  # of all rows, put in at the end
        layout = self.layout
        self.bins = [cells, layout.rest if rows.picks else 1]
        if rows.group is not None:
            self.bins.append(cells * layout.groups * (layout.rest if rows.picks else 1))
        if len(rows.picks) > 1:
            self.bins.append(cells * layout.rest**2)
        if rows.wide_picks:
            self.bins.append(cells * layout.groups * layout.width**2)

    def sums(self, pilot: Pilot, every: int = 1) -> Array:
        """Return the sums of rows centred about a pilot, ``(cells, size)``: of all, or of every so-many-th."""
        layout, cells = self.layout, self.cells
        total = np.zeros((cells, layout.size))
        A, B, E = layout.augmented(total)
        fixed = self.rows.fixed
        span = max(min(WINDOW, max(256, _MOST // len(fixed))), 2 * max(self.bins))
        out = np.empty((len(fixed), 0))
        gram = np.zeros((cells, len(fixed), len(fixed)))
        for window in windows(self.rows.shape, span if every == 1 else self.rows.rows, every):
            if out.shape[1] < window.rows:
                out = np.empty((len(fixed), window.rows))
            self._add(window, self.rows.columns(window, out, pilot), A, B, E, gram)
        _scatter(gram, fixed, E)
        total *= self.scale
        return total

    def _add(self, window: Window, M: Array, A: Array, B: Array, E: Array, gram: Array) -> None:
        rows, cells = self.rows, self.cells
        weight = 1.0 if self.weight.size == 1 else window.flat(self.weight)
        cell = None if cells == 1 else window.flat(self.cell)
        _add_gram(M, weight, cell, gram)
        picked = [(times(weight, value), value, places) for value, places in rows.picked(window)]
        for i, (weighted, own, places) in enumerate(picked):
            self._add_pick(weighted, places, M, cell, E)
            self._add_pair(times(weighted, own), places, None, cell, E)
            for _, value, other in picked[i + 1 :]:
                self._add_pair(times(weighted, value), places, other, cell, E)
        if rows.group is None:
            return
        group = window.flat(rows.group)
        key = group if cell is None else cell * self.layout.groups + group
        wide = rows.wide_columns(window)
        for i, (value, place) in enumerate(wide):
            heavy = times(weight, value)
            for j, (factor, second) in enumerate(wide[i:]):
                _add_block(A, key, times(heavy, factor), place, second, same=j == 0)
            for j, p in enumerate(rows.fixed):
                _add_cross(B, key, times(heavy, M[j]), place, p)
            for _, own, places in picked:
                self._add_wide_pick(B, key, times(heavy, own), place, places)

    def _add_pick(self, weighted: Number, places: Array, M: Array, cell: Array | None, E: Array) -> None:
        """Add the products of a picked column and the shared ones."""
        cells, r = self.cells, self.layout.rest
        key: Array = places if cell is None else cell * r + places
        for j, p in enumerate(self.rows.fixed):
            found = binned(key, times(weighted, M[j]), cells * r).reshape(cells, r)
            E[:, :r, p] += found
            E[:, p, :r] += found

    def _add_pair(self, weighted: Number, places: Array, other: Array | None, cell: Array | None, E: Array) -> None:
        """Add the products of two picked columns, or the squares of one."""
        cells, r = self.cells, self.layout.rest
        key = places if cell is None else cell * r + places
        if other is None:
            E[:, np.arange(r), np.arange(r)] += binned(key, weighted, cells * r).reshape(cells, r)
            return
        found = binned(key * r + other, weighted, cells * r * r).reshape(cells, r, r)
        E[:, :r, :r] += found + found.swapaxes(1, 2)

    def _add_wide_pick(self, B: Array, key: Array, weighted: Number, place: int | Array, places: Array) -> None:
        """Add the products of a wide column and a picked one."""
        cells, g, k, _ = B.shape
        r = self.layout.rest
        if isinstance(place, int):
            B[:, :, place, :r] += binned(key * r + places, weighted, cells * g * r).reshape(cells, g, r)
        else:
            found = binned((key * k + place) * r + places, weighted, cells * g * k * r)
            B[..., :r] += found.reshape(cells, g, k, r)


def _scatter(gram: Array, fixed: Array, E: Array) -> None:
    """Add the products of the shared columns at their places; columns at one place add up."""
    if len(np.unique(fixed)) == len(fixed):
        E[:, fixed[:, None], fixed] += gram
        return
    for i, p in enumerate(fixed):
        for j, q in enumerate(fixed):
            E[:, p, q] += gram[:, i, j]


def _add_block(A: Array, key: Array, weighted: Number, place: int | Array, second: int | Array, *, same: bool) -> None:
    """Add the products of two wide columns, or the squares of one."""
    cells, g, k, _ = A.shape
    if isinstance(place, int) and isinstance(second, int):
        found = binned(key, weighted, cells * g).reshape(cells, g)
        A[:, :, place, second] += found
        if not same:
            A[:, :, second, place] += found
        return
    blocks = binned((key * k + place) * k + second, weighted, cells * g * k * k).reshape(A.shape)
    A += blocks if same else blocks + blocks.swapaxes(2, 3)


def _add_cross(B: Array, key: Array, weighted: Number, place: int | Array, p: int) -> None:
    """Add the products of a wide column and one that all rows share."""
    cells, g, k, _ = B.shape
    if isinstance(place, int):
        B[:, :, place, p] += binned(key, weighted, cells * g).reshape(cells, g)
    else:
        B[:, :, :, p] += binned(key * k + place, weighted, cells * g * k).reshape(cells, g, k)


def _add_gram(M: Array, weight: Number, cell: Array | None, gram: Array) -> None:
    """Add the products of the shared columns with each other, by noise cell."""
    cells, q, _ = gram.shape
    weighted = M if isinstance(weight, float) else M * weight
    if cell is None:
        gram[0] += weighted @ M.T
    elif cells <= _FEW_CELLS and q > _SEVERAL:
        for c in range(cells):
            inside = np.flatnonzero(cell == c)
            gram[c] += weighted[:, inside] @ M[:, inside].T
    else:
        for i in range(q):
            for j in range(i, q):
                found = np.bincount(cell, weighted[i] * M[j], cells)
                gram[:, i, j] += found
                if j > i:
                    gram[:, j, i] += found


def binned(key: Array, weighted: Number, bins: int) -> Array:
    """Return sums by bin; of one number for all rows, multiples of their counts."""
    if isinstance(weighted, float):
        return weighted * np.bincount(key, minlength=bins)
    return np.bincount(key, weighted, bins)


def group_sums(rows: LaidRows, weight: Array, pilot: Array | None) -> tuple[Array, Array, Array]:
    """Return the sums of rows that touch wide unknowns alone, by group.

    These are A ``(groups, k, k)``, hw ``(groups, k)`` and v'v ``(groups,)``; rows are centred about ``pilot``, which is
    ``(groups, k)``.
    """
    g, k = rows.layout.groups, rows.layout.width
    A, B, vv = np.zeros((1, g, k, k)), np.zeros((1, g, k, 1)), np.zeros(g)
    weight = weight if weight.ndim else weight.reshape((1,) * len(rows.shape))
    assert rows.group is not None
    none = np.zeros(0)
    for window in windows(rows.shape, max(WINDOW, 2 * g * (k * k if rows.wide_picks else 1))):
        out = np.empty((1, window.rows))
        v = rows.columns(window, out, None if pilot is None else (pilot, none))[0]
        key, w = window.flat(rows.group), window.number(weight)
        wide = rows.wide_columns(window)
        for i, (value, place) in enumerate(wide):
            weighted = times(w, value)
            for j, (other, second) in enumerate(wide[i:]):
                _add_block(A, key, times(weighted, other), place, second, same=j == 0)
            _add_cross(B, key, times(weighted, v), place, 0)
        vv += binned(key, times(times(w, v), v), g)
    return A[0], B[0, ..., 0], vv


def squares(rows: LaidRows, weight: Array, cell: Array, cells: int, wide: Array, dense: Array, batch: int = 8) -> Array:
    """Return the weighted sums of squared residuals by noise cell at several unknowns: ``(batch, cells)``."""
    one = (1,) * len(rows.shape)
    weight, cell = (a if a.ndim else a.reshape(one) for a in (weight, cell))
    total = np.zeros((len(dense), cells))
    span = max(WINDOW, 2 * cells)
    for window in windows(rows.shape, span):
        out = np.empty((len(rows.fixed), window.rows))
        w = window.number(weight)
        here = None if cells == 1 else window.flat(cell)
        for start in range(0, len(dense), batch):
            part = slice(start, start + batch)
            e = rows.residuals(window, out, wide[part], dense[part])
            e *= e
            if not isinstance(w, float):
                e *= w
            elif w != 1.0:
                e *= w
            for i, squared in enumerate(e):
                total[start + i] += squared.sum() if here is None else np.bincount(here, squared, cells)
    return total


def triangle(rows: LaidRows, weight: Array, pilot: Pilot, R: Array) -> Array:
    """Merge rows into the triangular factor R of ``[D, v]``, window by window: Householder, as if of all rows at once.

    Source: Golub and Van Loan (2013), Matrix Computations, sec. 5.2 (and 6.5.3 on adding rows).
    """
    from scipy.linalg.lapack import dgeqrf

    layout: Layout = rows.layout
    r, fixed = layout.rest, rows.fixed
    weight = weight if weight.ndim else weight.reshape((1,) * len(rows.shape))
    for window in windows(rows.shape, max(4 * (r + 1), 90_000 // (r + 1))):
        M = rows.columns(window, np.empty((len(fixed), window.rows)), pilot)
        root = np.sqrt(window.number(weight))
        stack = np.zeros((r + 1, r + 1 + window.rows))  # columns in a row: LAPACK's order
        stack[:, : r + 1] = R.T
        below = stack[:, r + 1 :]
        for j, p in enumerate(fixed):
            below[p] += M[j] * root
        each = np.arange(window.rows)
        for value, places in rows.picked(window):
            below[places, each] += times(value, root)
        R = np.asarray(np.triu(dgeqrf(stack.T, overwrite_a=True)[0][: r + 1]))
    return R
