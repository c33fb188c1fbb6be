"""Rows of vectors laid along an arrow: dense rows of some plates at a time, one set for each entry of the event."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayeskit.statistics.gram import Rows, cross_sums
from bayeskit.statistics.laid import LaidRows, Window, windows
from bayeskit.statistics.precision import Precision

Array = np.ndarray
Pilot = tuple[Array, Array] | None
_WINDOW = 16_384  # rows written out at once
_MOST = 4_000_000  # and numbers


class VectorRows:
    """The rows of a factor of vectors, its design known.

    Parameters
    ----------
    laid : LaidRows
        Its rows over plates and event.
    precision : Precision
        Where its matrix is known, vectors are whitened: every entry is then a row of its own, of unit precision.
    """

    def __init__(self, laid: LaidRows, precision: Precision) -> None:
        self.laid, self.precision, self.layout = laid, precision, laid.layout
        self.plates, self.d = laid.shape[:-1], laid.shape[-1]
        self.entries = self.d if precision.root is None else 1
        root = precision.root
        one = (1,) * len(self.plates)
        if root is not None:
            root = root.reshape(*(one if len(root) == 1 else self.plates), self.d, self.d)
        self._root = root
        self._weight, self._cell = (
            a if a.ndim else a.reshape(one) for a in (precision.framed_weight, precision.framed_cell)
        )

    def _parts(self, pilot: Pilot, bins: int, every: int = 1) -> Iterator[tuple[Array, Array, list[Rows]]]:
        """Yield weights, noise cells and dense rows of some plates, one set of rows for each entry."""
        layout = self.layout
        span = max(1, min(_WINDOW, _MOST // (layout.width + layout.rest + 1)) // self.d)
        for window in windows(self.plates, max(span, 2 * bins // self.d), every):
            yield self._part(window, pilot)

    def _part(self, window: Window, pilot: Pilot) -> tuple[Array, Array, list[Rows]]:
        whole = Window(window.axis, window.stretch, (*window.shape, self.d))
        rows = self.laid.written_out(pilot, whole)
        weight, cell, d = window.flat(self._weight), window.flat(self._cell), self.d
        if self._root is None:
            return weight, cell, [Rows(rows.group[i::d], rows.W[i::d], rows.D[i::d], rows.v[i::d]) for i in range(d)]
        root = window.cut(self._root).reshape(-1, d, d)

        def whitened(a: Array) -> Array:
            return np.asarray((root @ a.reshape(len(a) // d, d, a.shape[-1])).reshape(a.shape))

        single = Rows(rows.group, whitened(rows.W), whitened(rows.D), whitened(rows.v[:, None])[:, 0])
        return np.repeat(weight, d), np.repeat(cell, d), [single]

    # ---- sums ---------------------------------------------------------------------------------------------------
    def sum_by_cell(self, pilot: Pilot) -> Array:
        """Return the sums by noise cell and pair of entries: ``(cells * entries**2, size)``."""
        cells, e = self.precision.cells, self.entries
        total = np.zeros((e, e, cells, self.layout.size))
        for weight, cell, rows in self._parts(pilot, cells * max(1, self.layout.groups)):
            for i, a in enumerate(rows):
                for j, b in enumerate(rows):
                    total[i, j] += cross_sums(self.layout, a, b, weight, cell, cells)
        total = 0.5 * (total + total.swapaxes(0, 1))  # so that each pair gives its own sum of products of residuals
        return total.transpose(2, 0, 1, 3).reshape(-1, self.layout.size)

    def sum_all(self, pilot: Pilot, every: int = 1) -> Array:
        """Return the sums of all entries as rows of their own: ``(1, size)``."""
        total = np.zeros((1, self.layout.size))
        for weight, cell, rows in self._parts(pilot, self.layout.groups, every):
            for a in rows:
                total += cross_sums(self.layout, a, a, weight, np.zeros_like(cell), 1)
        return total

    def sum_weighted(self, value: Array, pilot: Pilot) -> Array:
        """Return the sums at the matrices of every noise cell, ``(cells, d, d)``: ``(1, size)``."""
        total = np.zeros((1, self.layout.size))
        for weight, cell, rows in self._parts(pilot, self.layout.groups):
            none = np.zeros_like(cell)
            for i, a in enumerate(rows):
                for j, b in enumerate(rows):
                    here = value[cell, i, j] if value.ndim == 3 else value[cell]
                    total += cross_sums(self.layout, a, b, weight * here, none, 1)
        return total

    def squares(self, wide: Array, dense: Array) -> Array:
        """Return the sums of products of residuals by noise cell and pair of entries: ``(batch, cells)``."""
        cells, e = self.precision.cells, self.entries
        total = np.zeros((len(dense), cells, e, e))
        for weight, cell, rows in self._parts(None, cells):
            for c in range(len(dense)):
                found = [a.residual(wide[c : c + 1], dense[c : c + 1])[0] for a in rows]
                for i, a in enumerate(found):
                    for j, b in enumerate(found):
                        total[c, :, i, j] += np.bincount(cell, weight * a * b, cells)
        return total.reshape(len(dense), -1)

    def triangle(self, pilot: Pilot, R: Array) -> Array:
        """Merge the weighted rows into the triangular factor of all dense unknowns and v."""
        for weight, _, rows in self._parts(pilot, 1):
            for a in rows:
                matrix = np.column_stack([a.D, a.v]) * np.sqrt(weight)[:, None]
                R = np.linalg.qr(np.concatenate([R, matrix]), mode="r")
        return R

    def written_out(self, pilot: Pilot) -> list[Rows]:
        """Return all rows as dense arrays about a pilot, one set per entry."""
        (window,) = windows(self.plates, max(1, self.laid.rows))
        return self._part(window, pilot)[2]
