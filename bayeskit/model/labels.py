"""Labels of dims: where they come from, and how labels become codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bayeskit.errors import DataError

Array = np.ndarray
Coords = dict[str, Array]


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


def found_labels(columns: Iterable[Array]) -> Array:
    """Return the distinct known labels in some columns, in order."""
    found = {v for values in columns for v in _distinct(values)}
    try:
        return as_labels(sorted(found))
    except TypeError:  # strings and numbers together
        return as_labels(sorted(found, key=lambda v: (type(v).__name__, v)))


def _distinct(values: Array) -> list[Any]:
    known = [v for v in _factorize(values)[0] if not is_unknown(v)]
    if values.dtype.kind == "f" and all(v.is_integer() for v in known):
        return [int(v) for v in known]  # whole numbers beside NaN
    return known


def encode(name: str, values: Array, labels: Array) -> Array:
    """Return labels as codes; NaN where the label is unknown."""
    place = {v: i for i, v in enumerate(keys(labels))}
    distinct, codes = _factorize(values)
    missing = [v for v in distinct if not is_unknown(v) and v not in place]
    if missing:
        raise DataError(f"The labels in '{name}' must be among {few(labels)}. Got {missing[0]!r}. Check the spelling.")
    unknown = any(is_unknown(v) for v in distinct)
    table = np.asarray([np.nan if is_unknown(v) else place[v] for v in distinct], dtype=float if unknown else np.int64)
    return table[codes].reshape(values.shape)


def _factorize(values: Array) -> tuple[list[Any], Array]:
    """Return the distinct values and, for every element, which one it is."""
    if values.dtype.kind in "biuf":
        unique, codes = np.unique(values, return_inverse=True)
        return unique.tolist(), codes.ravel()
    place: dict[Any, int] = {}  # quicker than sorting strings
    codes = np.asarray([place.setdefault(v, len(place)) for v in values.ravel().tolist()], dtype=np.int64)
    return list(place), codes


def is_unknown(value: Any) -> bool:
    """Whether a label is None or NaN."""
    return value is None or value != value
