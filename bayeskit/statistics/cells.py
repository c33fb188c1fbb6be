"""Rows that are alike, found without sorting: distinct rows of some columns, and which of them every row is.

Rows are read in chunks that stay in the processor's cache. Columns of whole numbers in a narrow range are told apart by
counting alone, others by a table of their distinct values; a sample of the rows shows first whether they repeat at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Piece = tuple[slice, ...]
CHUNK = 65_536  # cells read at once
_SAMPLE = 2048  # cells that show whether rows repeat
_MOST_DISTINCT = 4096  # values of one column that a table tells apart
_MOST_COUNTED = 1_000_000  # combinations of values that are told apart by counting
_LARGEST_COUNT = 20_000_000  # numbers held at once
_LARGEST_KEY = 2**62


class Frame:
    """The cells of an array, read in chunks along its longest axis.

    Columns are arrays laid along the axes; an axis of size one stands for all cells along it.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the axes.
    kept : tuple of int
        Axes along which cells are never taken together: each of their places is a group of its own.
    hidden : array of bool, optional
        Cells that do not count.
    """

    def __init__(self, shape: tuple[int, ...], kept: tuple[int, ...] = (), hidden: Array | None = None) -> None:
        self.shape, self.kept, self.hidden = shape, kept, hidden
        self.size = int(np.prod(shape, dtype=int))
        self.group_shape = tuple(shape[a] for a in kept)
        self.groups = int(np.prod(self.group_shape, dtype=int))
        self.axis = int(np.argmax(shape)) if shape else 0
        self._whole = tuple(slice(0, n) for n in shape)

    def pieces(self, least: int = CHUNK) -> Iterator[Piece]:
        """Yield the chunks as indices, of about ``least`` cells each."""
        if not self.shape:
            yield ()
            return
        length = self.shape[self.axis]
        step = max(1, max(CHUNK, least) * length // max(1, self.size))
        for start in range(0, length, step):
            here = slice(start, min(start + step, length))
            yield (*self._whole[: self.axis], here, *self._whole[self.axis + 1 :])

    def cut(self, column: Array, piece: Piece) -> Array:
        """Return one chunk of a column, as it is laid."""
        return column[tuple(s if n > 1 else slice(None) for s, n in zip(piece, column.shape, strict=True))]

    def flat(self, values: Array, piece: Piece) -> Array:
        """Return values laid along a chunk, as one row of those that count."""
        shape = tuple(s.stop - s.start for s in piece)
        full = values if values.shape == shape else np.broadcast_to(values, shape)
        return full.reshape(-1) if self.hidden is None else full[~self.hidden[piece]]

    def group(self, piece: Piece) -> Array | int:
        """Return which group each cell of a chunk belongs to."""
        number: Array | int = 0
        for axis in self.kept:
            place = np.arange(piece[axis].start, piece[axis].stop)
            number = number * self.shape[axis] + place.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        return number

    def at(self, column: Array, places: tuple[Array, ...]) -> Array:
        """Return a column at some cells."""
        return column[tuple(p if n > 1 else np.zeros_like(p) for p, n in zip(places, column.shape, strict=True))]


# ---- one column -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Offset:
    """Codes of whole numbers in ``low .. low + size - 1``."""

    low: int
    size: int

    def encode(self, values: Array) -> Array:
        """Return codes from 0."""
        whole = values if values.dtype.kind == "i" else values.astype(np.int64)
        return whole - self.low if self.low else whole

    def decode(self, codes: Array) -> Array:
        """Return the values of codes."""
        return codes + self.low


@dataclass(frozen=True)
class Table:
    """Codes of any numbers, few of them distinct."""

    values: Array

    @property
    def size(self) -> int:
        """Count of the distinct values."""
        return len(self.values)

    def encode(self, values: Array) -> Array:
        """Return where values stand in the table."""
        return np.searchsorted(self.values, values)

    def decode(self, codes: Array) -> Array:
        """Return the values of codes."""
        return self.values[codes]


Code = Offset | Table


def _code_of(frame: Frame, column: Array, ends: tuple[float, float] | None) -> Code | None:
    """Return how to tell the values of a column apart, or None where too many are distinct."""
    own = Frame(column.shape, hidden=frame.hidden if column.shape == frame.shape else None)
    if column.dtype.kind == "i" or _is_whole(own, column):
        low, high = ends or _extremes(own, column)
        if float(high) - float(low) < _MOST_COUNTED:
            return Offset(int(low), int(high) - int(low) + 1)
    return _table_of(own, column)


def _is_whole(frame: Frame, column: Array) -> bool:
    chunks = (frame.flat(frame.cut(column, p), p) for p in frame.pieces())
    return all(bool((np.abs(c) < 2**31).all() and (c == np.floor(c)).all()) for c in chunks)


def _extremes(frame: Frame, column: Array) -> tuple[float, float]:
    chunks = [frame.flat(frame.cut(column, p), p) for p in frame.pieces()]
    return min((c.min() for c in chunks if c.size), default=0), max((c.max() for c in chunks if c.size), default=0)


def _table_of(frame: Frame, column: Array) -> Table | None:
    """Collect the distinct values: in most chunks there is none that was not seen before."""
    values = column[:0].ravel()
    for piece in frame.pieces():
        chunk = frame.flat(frame.cut(column, piece), piece)
        if len(values):
            place = np.minimum(np.searchsorted(values, chunk), len(values) - 1)
            chunk = chunk[values[place] != chunk]
        if chunk.size:
            values = np.union1d(values, chunk)
        if len(values) > _MOST_DISTINCT:
            return None
    return Table(values)


# ---- rows of columns ------------------------------------------------------------------------------------------------
class Keys:
    """For every cell of a frame one number, the same where all columns are the same.

    Attributes
    ----------
    size : int
        The numbers lie in ``0 .. size - 1``.
    """

    def __init__(self, frame: Frame, columns: Sequence[Array], codes: Sequence[Code]) -> None:
        self.frame, self.columns, self.codes = frame, columns, codes
        self.size = int(np.prod([c.size for c in codes], dtype=object)) if codes else 1
        self.distinct: Array | None = None  # the keys that occur, where there are too many to count them all

    def at(self, piece: Piece) -> Array:
        """Return the keys of the cells of a chunk that count, in one row."""
        raw = self._raw(piece)
        return raw if self.distinct is None else np.searchsorted(self.distinct, raw)

    def _raw(self, piece: Piece) -> Array:
        key: Array | None = None
        for column, code in zip(self.columns, self.codes, strict=True):
            own = code.encode(self.frame.cut(column, piece))
            key = own if key is None else key * code.size + own
        return self.frame.flat(np.zeros((1,) * len(piece), dtype=np.int64) if key is None else key, piece)

    def grouped(self, piece: Piece) -> Array:
        """Return keys that also tell the groups of the frame apart, group by group."""
        own = self.at(piece)
        if not self.frame.kept:
            return own
        return self.frame.flat(np.asarray(self.frame.group(piece)), piece) * self.size + own

    def values(self, keys: Array) -> tuple[Array, ...]:
        """Return the columns' values at some keys."""
        keys = keys if self.distinct is None else self.distinct[keys]
        found = []
        for column, code in zip(reversed(self.columns), reversed(self.codes), strict=True):
            found.append(code.decode(keys % code.size).astype(column.dtype, copy=False))
            keys = keys // code.size
        return tuple(reversed(found))

    def keep_distinct(self, always: bool = False) -> bool:
        """Number only the keys that occur; False where they are too many to be worth it."""
        most = self.frame.size if always else self.frame.size // (2 * self.frame.groups)
        found, waiting = np.zeros(0, dtype=np.int64), [np.zeros(0, dtype=np.int64)]
        for piece in self.frame.pieces(4 * CHUNK):
            waiting.append(np.unique(self._raw(piece)))
            if sum(map(len, waiting)) > len(found):  # merged whenever it doubles
                found = np.unique(np.concatenate([found, *waiting]))
                waiting = []
            if len(found) > most:
                return False
        found = np.unique(np.concatenate([found, *waiting]))
        self.distinct, self.size = found, len(found)
        return len(found) <= most and len(found) * self.frame.groups <= _LARGEST_COUNT

    def count(self) -> Array:
        """Return how often every key occurs, by group: ``(groups, size)``."""
        total = self.frame.groups * self.size
        counts = np.zeros(total, dtype=np.int64)
        for piece in self.frame.pieces(4 * total):
            keys = self.grouped(piece)
            if total == 2:  # quicker than counting both
                ones = np.count_nonzero(keys)
                counts += (keys.size - ones, ones)
            else:
                counts += np.bincount(keys, minlength=total)
        return counts.reshape(self.frame.groups, self.size)


@dataclass(frozen=True, eq=False)
class Cells:
    """Distinct rows: their columns, each ``(cells,)``, and how often each occurs, ``(*groups, cells)``."""

    columns: tuple[Array, ...]
    weight: Array


def distinct_cells(
    frame: Frame, columns: Sequence[Array], *, ends: tuple[float, float] | None = None, always: bool = False
) -> Cells | None:
    """Return the distinct rows of some columns, or None where they are more than half as many as the rows.

    Parameters
    ----------
    frame : Frame
        The cells.
    columns : sequence of array
        Finite numbers laid along the frame; rows are alike where all are equal.
    ends : tuple, optional
        Least and greatest value of the first column, where they are known.
    always : bool
        Return them however many they are.
    """
    keys = keys_of(frame, columns, ends=ends, always=always)
    if keys is None:
        return None
    counts = keys.count()
    present = np.flatnonzero(counts.any(axis=0))
    if not always and 2 * len(present) * frame.groups > frame.size:
        return None
    weight = counts[:, present].reshape(*frame.group_shape, len(present)).astype(float)
    return Cells(keys.values(present), weight)


def keys_of(
    frame: Frame, columns: Sequence[Array], *, ends: tuple[float, float] | None = None, always: bool = False
) -> Keys | None:
    """Return what tells rows apart, or None where they do not repeat enough; see `distinct_cells`."""
    if not always and not _repeats(frame, columns):
        return None
    codes: list[Code] = []
    for number, column in enumerate(columns):
        code = _code_of(frame, column, None if number else ends)
        if code is None:
            return None
        codes.append(code)
    keys = Keys(frame, columns, codes)
    if keys.size >= _LARGEST_KEY:
        return None
    few = keys.size * frame.groups <= min(_MOST_COUNTED, max(CHUNK, frame.size))
    return keys if few or keys.keep_distinct(always) else None


def _repeats(frame: Frame, columns: Sequence[Array]) -> bool:
    """Whether a sample suggests that rows are at least twice as many as distinct ones.

    Of m rows out of U equally frequent ones, about ``m**2 / (2 U)`` have come before.
    """
    m = frame.size if frame.size <= 2 * _SAMPLE else _SAMPLE
    stride = frame.size / m
    jitter = np.random.default_rng(0).random(m) * (stride - 1)
    places = np.unravel_index((np.arange(m) * stride + jitter).astype(np.int64), frame.shape) if frame.shape else ()
    if frame.hidden is not None:
        counted = ~frame.hidden[places]
        places = tuple(p[counted] for p in places)
        m = int(counted.sum())
    key = np.zeros(m, dtype=np.int64)
    for column in columns:
        own = np.unique(frame.at(column, places), return_inverse=True)[1]
        key = np.unique(key * m + own, return_inverse=True)[1]
    distinct = int(key.max(initial=0)) + 1
    if stride > 1 and 4 * distinct > m:
        distinct = m * m // max(1, 2 * (m - distinct)) if distinct < m else frame.size
    return 2 * distinct * frame.groups <= frame.size
