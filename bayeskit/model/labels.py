"""Labels of dims: where they come from, and how labels become codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from bayeskit.errors import DataError

Array = np.ndarray
_CHUNK = 65_536  # labels looked up at once
_NARROW = 1_000_000  # whole numbers in a range up to this are looked up in a table


class Coords(MutableMapping[str, Array]):
    """Labels by dim. A dim without labels of its own has the numbers from 0, which are made when they are asked for.

    >>> coords = Coords({"arm": np.array(["A", "B"])})
    >>> coords.number("obs", 1_000_000)
    >>> coords.size("obs"), coords["obs"][:3]
    (1000000, array([0, 1, 2]))
    """

    def __init__(self, labels: Mapping[str, Array] | None = None) -> None:
        self._held: dict[str, Array | int] = {}
        self._made: dict[int, Array] = {}  # numbers that were asked for, by their count
        if labels is not None:
            self._held |= labels._held if isinstance(labels, Coords) else labels

    def __getitem__(self, dim: str) -> Array:
        held = self._held[dim]
        if not isinstance(held, int):
            return held
        if held not in self._made:
            self._made[held] = np.arange(held)
        return self._made[held]

    def __setitem__(self, dim: str, labels: Array) -> None:
        self._held[dim] = labels

    def __delitem__(self, dim: str) -> None:
        del self._held[dim]

    def __contains__(self, dim: object) -> bool:
        return dim in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __or__(self, other: Coords) -> Coords:
        both = Coords(self)
        both._held |= other._held
        return both

    def number(self, dim: str, size: int) -> None:
        """Give a dim the numbers from 0."""
        self._held[dim] = int(size)

    def is_numbered(self, dim: str) -> bool:
        """Whether a dim has the numbers from 0 for want of labels."""
        return isinstance(self._held[dim], int)

    def size(self, dim: str) -> int:
        """Return how many labels a dim has."""
        held = self._held[dim]
        return held if isinstance(held, int) else len(held)

    def among(self, dims: Iterable[str]) -> Coords:
        """Return the labels of some dims."""
        wanted, some = set(dims), Coords()
        some._held = {d: held for d, held in self._held.items() if d in wanted}
        return some

    def agree(self, other: Coords, dim: str) -> bool:
        """Whether a dim has the same labels in the same order in both."""
        a, b = self._held[dim], other._held[dim]
        if isinstance(a, int) and isinstance(b, int):
            return a == b
        return a is b or np.array_equal(self[dim], other[dim])


def keys(labels: Array) -> list[Any]:
    """Return labels as values that can be looked up; moments in time of whatever unit compare as the same."""
    return (labels.astype("datetime64[us]") if labels.dtype.kind == "M" else labels).tolist()


def few(labels: Array) -> str:
    """Return the first labels as text."""
    shown = ", ".join(repr(v) for v in keys(labels[:8]))
    return f"{shown}{' ...' if len(labels) > 8 else ''}"


def as_labels(values: list[Any]) -> Array:
    """Return an array of labels; strings and numbers together stay what they are."""
    array = np.asarray(values)
    if array.dtype.kind in "US" and not all(isinstance(v, str | bytes) for v in values):
        array = np.asarray(values, dtype=object)
    return array


def must_be_unique(name: str, dim: str, labels: Array) -> None:
    """Refuse labels that occur twice."""
    listed = keys(labels)
    if len(set(listed)) < len(listed):
        seen: set[Any] = set()
        twice = next(v for v in listed if v in seen or seen.add(v))  # type: ignore[func-returns-value]
        raise DataError(
            f"The labels of '{name}' along '{dim}' must be unique. Got {twice!r} twice. "
            "Give the rows an index column instead: m.index."
        )


def together(labels: Array, more: Array) -> Array:
    """Return labels followed by those of ``more`` that are new."""
    if labels is more or np.array_equal(labels, more):
        return labels
    held = set(keys(labels))
    new = [v for v in keys(more) if v not in held]
    return as_labels([*keys(labels), *new]) if new else labels


def found_labels(columns: Iterable[Factorized]) -> Array:
    """Return the distinct known labels in some columns, in order."""
    found = {v for column in columns for v in _distinct(column)}
    try:
        return as_labels(sorted(found))
    except TypeError:  # strings and numbers together
        return as_labels(sorted(found, key=lambda v: (type(v).__name__, v)))


def _distinct(column: Factorized) -> list[Any]:
    known = [v for v in column.distinct if not is_unknown(v)]
    if column.kind == "f" and all(v.is_integer() for v in known):
        return [int(v) for v in known]  # whole numbers beside NaN
    return known


def encode(name: str, column: Factorized, labels: Array) -> Array:
    """Return labels as codes; NaN where the label is unknown."""
    place = {v: i for i, v in enumerate(keys(labels))}
    distinct = column.distinct
    missing = [v for v in distinct if not is_unknown(v) and v not in place]
    if missing:
        raise DataError(f"The labels in '{name}' must be among {few(labels)}. Got {missing[0]!r}. Check the spelling.")
    unknown = any(is_unknown(v) for v in distinct)
    return column.looked_up([np.nan if is_unknown(v) else place[v] for v in distinct], float if unknown else np.int64)


class Factorized:
    """A column of labels as its distinct values, and for every element which one it is.

    Attributes
    ----------
    distinct : list
        The distinct values; numbers in order.
    kind : str
        The kind of the column's dtype.
    """

    def __init__(self, values: Array) -> None:
        self.kind, self._values = values.dtype.kind, values
        self._low: int | None = None
        if self.kind in "biu" and values.size and (found := _narrow(values)) is not None:
            self._low, present = found  # what an element is is looked up: sorting would take far longer
            self._codes: Array = np.cumsum(present) - 1
            self.distinct: list[Any] = (np.flatnonzero(present) + self._low).tolist()
            if self.kind == "b":
                self.distinct = [bool(v) for v in self.distinct]
        elif self.kind in "biuf":
            unique, inverse = np.unique(values, return_inverse=True)
            self.distinct, self._codes = unique.tolist(), inverse.ravel()
        else:  # quicker than sorting strings
            place: dict[Any, int] = {}
            codes = [place.setdefault(v, len(place)) for v in keys(values.ravel())]
            self.distinct, self._codes = list(place), np.asarray(codes, dtype=np.int64)

    def looked_up(self, each: list[Any], dtype: Any) -> Array:
        """Return an array like the column with something else in the place of each distinct value."""
        table = np.asarray(each, dtype=dtype)
        if self._low is None:
            return table[self._codes].reshape(self._values.shape)
        if self.kind == "i" and self._values.dtype == dtype and each == self.distinct:
            return self._values  # labels that are their own codes
        table, flat = table[self._codes], self._values.reshape(-1)
        result = np.empty(flat.size, dtype=dtype)
        for start in range(0, flat.size, _CHUNK):
            here = slice(start, start + _CHUNK)
            np.take(table, flat[here].astype(np.int64) - self._low, out=result[here])
        return result.reshape(self._values.shape)


def _narrow(values: Array) -> tuple[int, Array] | None:
    """Return the least of some whole numbers, and which from it on occur; None where they range far."""
    flat = values.reshape(-1)
    pieces = [flat[i : i + _CHUNK] for i in range(0, flat.size, _CHUNK)]
    low, high = min(int(p.min()) for p in pieces), max(int(p.max()) for p in pieces)
    if high - low >= _NARROW or high >= 2**63:
        return None
    present = np.zeros(high - low + 1, dtype=bool)
    for piece in pieces:
        present[piece.astype(np.int64) - low] = True
    return low, present


def is_unknown(value: Any) -> bool:
    """Whether a label is None or NaN."""
    return value is None or value != value
