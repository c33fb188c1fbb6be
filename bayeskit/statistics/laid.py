"""Rows of numbers laid along an arrow without being written out: columns stay views of the data.

What a row takes of the unknowns is read term by term: coefficients of unknowns that all rows share (a *slab*), and
coefficients of the one unknown that each row picks (a *pick*: an index, a plate). Rows are read in windows that stay in
the processor's cache; dense rows are made only where something asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from bayeskit.statistics.design import Design, KnownTerm
from bayeskit.statistics.gram import Layout, Rows

Array = np.ndarray
Number = float | Array


@dataclass(frozen=True, eq=False)
class Slab:
    """Coefficients ``(*frame, count)`` of unknowns at ``places``, the same ones for all rows."""

    coefficient: Array
    places: Array
    sign: float


@dataclass(frozen=True, eq=False)
class Pick:
    """A coefficient ``(*frame)`` of the unknown that each row picks."""

    coefficient: Array
    places: Array
    sign: float


@dataclass(frozen=True)
class Window:
    """Some of the rows: a stretch of the longest axis of their frame."""

    axis: int
    stretch: slice
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Count them."""
        return prod(self.shape)

    def cut(self, array: Array) -> Array:
        """Return the part of a framed array."""
        if array.shape[self.axis] == 1:
            return array
        return array[(slice(None),) * self.axis + (self.stretch,)]

    def number(self, array: Array) -> Number:
        """Return the part as one number for each row, or as one number for all."""
        if array.size == 1:
            return float(array.item())
        return self.flat(array)

    def flat(self, array: Array) -> Array:
        """Return the part as one number for each row."""
        return np.broadcast_to(self.cut(array), self.shape).reshape(-1)


def windows(shape: tuple[int, ...], rows: int, every: int = 1) -> Iterator[Window]:
    """Yield windows of about so many rows, of all rows or of every so-many-th stretch of the longest axis."""
    axis = int(np.argmax(shape))
    length, total = shape[axis], prod(shape)
    step = max(1, rows * length // max(1, total)) * every
    for start in range(0, max(1, length), step):
        stop = min(start + step, length)
        kept = -(-(stop - start) // every)
        yield Window(axis, slice(start, stop, every), (*shape[:axis], kept, *shape[axis + 1 :]))


class LaidRows:
    """The rows ``e = v - W x_wide[group] - D x_dense`` of a factor, its design and offset known.

    The frame of the rows is that of its plates, and of the entries of the event for vectors.

    Parameters
    ----------
    design : Design
        How the rows depend on the unknowns.
    layout : Layout
        Which unknowns are wide.
    terms : sequence of KnownTerm
        The terms of the design.
    v : array
        The known part of the rows, over the frame; zero where it is not known.
    """

    def __init__(self, design: Design, layout: Layout, terms: Sequence[KnownTerm], v: Array) -> None:
        event = tuple(design.sizes[d] for d in design.factor.event)
        self.shape = (design.factor.shape or (1,)) + event
        self.layout = layout
        self.v = v.reshape((1,) * (len(self.shape) - v.ndim) + v.shape)
        self.group: Array | None = None
        self.wide: list[Slab] = []
        self.wide_picks: list[Pick] = []
        self.dense: list[Slab] = []
        self.picks: list[Pick] = []
        group, place = layout.lookup
        for term in terms:
            latent = design.latents[term.target]
            start = design.columns[term.target]
            here = slice(start, start + latent.size)
            self._lay(term, latent.shape, group[here], place[here])

    @property
    def rows(self) -> int:
        """Count of rows."""
        return prod(self.shape)

    @property
    def fixed(self) -> Array:
        """Places of the dense unknowns that all rows share, in the order of their columns, and of v."""
        return np.concatenate([*(s.places for s in self.dense), [self.layout.rest]]).astype(np.int64)

    # ---- reading ------------------------------------------------------------------------------------------------
    def _lay(self, term: KnownTerm, shape: tuple[int, ...], group: Array, place: Array) -> None:
        lead = (1,) * (len(self.shape) + len(term.summed) - term.coefficient.ndim)
        coefficient = term.coefficient.reshape(lead + term.coefficient.shape)
        codes = [c.reshape(lead + c.shape) for c in term.codes.values()]
        rank, count = len(self.shape), prod(term.summed)
        if all(prod(c.shape[:rank]) == 1 for c in codes):
            column = np.zeros(term.summed, dtype=np.int64)
            for code, size in zip(codes, shape, strict=True):
                column = column * size + code.reshape(code.shape[rank:])
            column = column.reshape(-1)
            whole = np.broadcast_to(coefficient, coefficient.shape[:rank] + term.summed)
            slab = Slab(whole.reshape(*coefficient.shape[:rank], count), place[column], term.sign)
            if count and group[column[0]] >= 0:
                self._grouped(group[column[:1]].reshape((1,) * rank))
                self.wide.append(slab)
            elif count:
                self.dense.append(slab)
            return
        for index in np.ndindex(*term.summed):
            picked = [_at(c, rank, index) for c in codes]
            self._pick(_at(coefficient, rank, index), term.sign, picked, shape, group, place)

    def _pick(
        self, coefficient: Array, sign: float, codes: list[Array], shape: tuple[int, ...], group: Array, place: Array
    ) -> None:
        """Read a term whose element differs from row to row; codes that do not vary are taken out first."""
        fixed = tuple(int(c.item()) if c.size == 1 else slice(None) for c in codes)
        rest = [(c, n) for c, n in zip(codes, shape, strict=True) if c.size > 1]
        group, place = group.reshape(shape)[fixed].reshape(-1), place.reshape(shape)[fixed].reshape(-1)
        flat = rest[0][0]
        for code, size in rest[1:]:
            flat = flat * size + code
        wide = bool(group.size) and group[0] >= 0
        if wide:
            self._grouped(_through(group, flat))
        places = _through(place, flat)
        if places.size > 1:
            (self.wide_picks if wide else self.picks).append(Pick(coefficient, places, sign))
        else:
            (self.wide if wide else self.dense).append(Slab(coefficient[..., None], places.reshape(1), sign))

    def _grouped(self, group: Array) -> None:
        if self.group is None:
            self.group = group  # those of other terms are the same: the layout is sound

    # ---- windows ------------------------------------------------------------------------------------------------
    def columns(self, window: Window, out: Array, pilot: tuple[Array, Array] | None) -> Array:
        """Return the dense columns that all rows share and, last, v about the pilot: ``(count, rows)``."""
        at = 0
        M = out[:, : window.rows]
        for slab in self.dense:
            here = M[at : at + len(slab.places)].reshape(len(slab.places), *window.shape)
            np.multiply(np.moveaxis(window.cut(slab.coefficient), -1, 0), slab.sign, out=here)
            at += len(slab.places)
        v = M[at].reshape(window.shape)
        np.copyto(v, window.cut(self.v))
        if pilot is not None:
            wide, dense = pilot
            if at:
                M[at] -= dense[self.fixed[:-1]] @ M[:at]
            for pick in self.picks:
                v -= pick.sign * window.cut(pick.coefficient) * dense[window.cut(pick.places)]
            if self.group is not None:
                self._less_wide(window, v, wide)
        return M

    def _less_wide(self, window: Window, v: Array, wide: Array) -> None:
        """Take what the wide unknowns ``(groups, width)`` say from v."""
        assert self.group is not None
        group = window.cut(self.group)
        for slab in self.wide:
            for i, p in enumerate(slab.places):
                v -= slab.sign * window.cut(slab.coefficient[..., i]) * wide[:, p][group]
        for pick in self.wide_picks:
            v -= pick.sign * window.cut(pick.coefficient) * wide[group, window.cut(pick.places)]

    def wide_columns(self, window: Window) -> list[tuple[Number, int | Array]]:
        """Return the coefficients of the wide unknowns, and which of its group each one is."""
        found: list[tuple[Number, int | Array]] = []
        for slab in self.wide:
            for i, p in enumerate(slab.places):
                found.append((times(slab.sign, window.number(slab.coefficient[..., i])), int(p)))
        for pick in self.wide_picks:
            found.append((times(pick.sign, window.number(pick.coefficient)), window.flat(pick.places)))
        return found

    def picked(self, window: Window) -> list[tuple[Number, Array]]:
        """Return the coefficients of the dense unknowns that each row picks, and which ones they are."""
        return [(times(p.sign, window.number(p.coefficient)), window.flat(p.places)) for p in self.picks]

    def residuals(self, window: Window, out: Array, wide: Array, dense: Array) -> Array:
        """Return the residuals at each of several unknowns: ``(batch, rows)``."""
        if not wide.any() and not dense.any():
            v = np.broadcast_to(window.cut(self.v), window.shape).reshape(1, -1)
            return np.repeat(v, len(dense), axis=0)
        M = self.columns(window, out, None)
        e = np.repeat(M[-1:], len(dense), axis=0)
        e -= dense[:, self.fixed[:-1]] @ M[:-1]
        for value, places in self.picked(window):
            e -= times(value, dense[:, places])
        if self.group is not None:
            group = window.flat(self.group)
            for value, p in self.wide_columns(window):
                e -= times(value, wide[:, group, p])
        return e

    def written_out(self, pilot: tuple[Array, Array] | None, window: Window | None = None) -> Rows:
        """Return the rows, or some of them, as dense arrays, v about the pilot."""
        if window is None:
            (window,) = windows(self.shape, self.rows)
        n, layout = window.rows, self.layout
        M = self.columns(window, np.empty((len(self.fixed), n)), pilot)
        W, D = np.zeros((n, layout.width)), np.zeros((n, layout.rest))
        each = np.arange(n)
        for j, p in enumerate(self.fixed[:-1]):
            D[:, p] += M[j]
        for value, places in self.picked(window):
            D[each, places] += value
        for value, place in self.wide_columns(window):
            W[each, place] += value
        group = np.zeros(n, dtype=np.int64) if self.group is None else window.flat(self.group)
        return Rows(group, W, D, M[-1].copy())


def times(a: Number, b: Number) -> Number:
    """Multiply; by one not at all."""
    if isinstance(a, float) and a == 1.0:
        return b
    return a if isinstance(b, float) and b == 1.0 else a * b


def _at(array: Array, rank: int, index: tuple[int, ...]) -> Array:
    """Return a framed array at one place of the summed dims."""
    place = tuple(i if n > 1 else 0 for i, n in zip(index, array.shape[rank:], strict=True))
    return array[(slice(None),) * rank + place]


def _through(table: Array, code: Array) -> Array:
    """Return ``table[code]``: the code itself where the table counts up, one number where it is constant."""
    first = table[0]
    if (table == first).all():
        return table[:1].reshape((1,) * code.ndim)
    if np.array_equal(table, first + np.arange(len(table))):
        return code if first == 0 else code + first
    return np.asarray(table[code])
