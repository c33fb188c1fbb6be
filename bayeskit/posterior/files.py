"""Values that netCDF and Zarr files can both hold, and that ArviZ reads as they were meant.

The two formats refuse different things: netCDF attributes cannot be ``None``, dicts, booleans, mixed lists or
integers beyond 64 bits; Zarr has no complex numbers; neither holds arrays of Python objects. Everything exported
passes through here, so that a tree can be saved without a second thought.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bayeskit.errors import DataError

__all__ = ["as_counts", "storable_attribute", "storable_attributes", "storable_labels", "storable_values"]

_INT64 = np.iinfo(np.int64)


def as_counts(values: Any) -> np.ndarray:
    """Counts, category codes and zero-one data as int64, the one dtype ArviZ takes for discrete data.

    ``plot_ppc_rootogram`` refuses booleans, unsigned integers and floats; netCDF has no boolean of its own.

    Parameters
    ----------
    values : array_like
        Booleans, integers, or floats without a fractional part, of any shape.

    Returns
    -------
    numpy.ndarray
        The same values as int64; the array itself where it is int64 already. Floats that hold a NaN (a missing count)
        come back as they are, because int64 has no way to say "missing".

    Raises
    ------
    DataError
        If a value has a fractional part, is infinite or does not fit in 64 bits.

    Examples
    --------
    >>> as_counts([True, False, True])
    array([1, 0, 1])
    >>> as_counts([3.0, 0.0])
    array([3, 0])
    """
    array = np.asarray(values)
    if array.dtype.kind in "bi":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind not in "uf":
        raise DataError(
            f"Counts must be numbers or booleans. Got an array of dtype {array.dtype}.\n"
            "Give category codes 0..K-1 instead of labels."
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        return array
    # 2**63 itself is a float64, so "not below" is the exact test for what int64 cannot hold.
    wrong = array >= 2**63 if array.dtype.kind == "u" else (array != np.floor(array)) | (np.abs(array) >= 2.0**63)
    if wrong.any():
        raise DataError(
            f"Counts must be whole numbers below 2**63. Got {array[wrong].flat[0]}.\n"
            "Leave the variable as it is if it is not a count."
        )
    return array.astype(np.int64)


def storable_values(name: str, values: Any, *, booleans: bool = False) -> np.ndarray:
    """The values of a variable in a dtype that both file formats hold, without a copy where none is needed.

    Booleans and integers become int64 (booleans stay with ``booleans=True``, for the flags of ``sample_stats``), long
    doubles float64; other numbers, dates and strings stay as they are.

    Raises
    ------
    DataError
        For Python objects and complex numbers.
    """
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind == "b" and booleans:
        return array
    if kind in "biu":
        return as_counts(array)
    if kind == "f":
        return array.astype(np.float64) if array.dtype.itemsize > 8 else array
    if kind in "mMU":
        return array
    raise DataError(
        f"The values of '{name}' must be numbers, dates or strings to be exported. Got the dtype {array.dtype}.\n"
        "Export real and imaginary parts, or codes of the objects, as variables of their own."
    )


def storable_labels(values: Iterable[Any]) -> np.ndarray:
    """The labels of a dim as a one-dimensional array that both file formats hold.

    Numbers, dates and strings stay; tuples (the rows of a MultiIndex) are joined by ``|``; any other mixture of
    objects becomes strings.

    Examples
    --------
    >>> storable_labels([("clicks", "A"), ("clicks", "B")])
    array(['clicks|A', 'clicks|B'], dtype='<U8')
    >>> storable_labels([10, 20])
    array([10, 20])
    """
    if not hasattr(values, "__array__"):
        values = list(values)
        if any(isinstance(value, tuple) for value in values):  # NumPy would make a table of them
            values = [_label(value) for value in values]
    array = np.asarray(values)
    if array.dtype.kind in "biufmMU":
        return array
    return np.array([_label(value) for value in array.tolist()], dtype=np.str_)


def _label(value: Any) -> str:
    return "|".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def storable_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Every attribute of a group in a form that both file formats hold; see `storable_attribute`."""
    return {str(key): storable_attribute(value) for key, value in attributes.items()}


def storable_attribute(value: Any) -> str | int | float | list[str] | list[int] | list[float]:
    """One attribute value in a form that both file formats hold.

    Strings, integers of 64 bits, floats and lists of one of these stay; booleans become 0 or 1, ``None`` the string
    ``"None"``, longer integers their digits, dates ISO strings, dicts and mixed or empty lists JSON, anything else its
    ``str``. A list of *one* entry is stored as given, but netCDF brings it back as its entry.

    Examples
    --------
    >>> storable_attribute(True), storable_attribute(None), storable_attribute(2**70)
    (1, 'None', '1180591620717411303424')
    >>> storable_attribute({"tau": "slice", "steps": [1, None]})
    '{"tau": "slice", "steps": [1, null]}'
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, str):
        return value.replace("\0", "\\0")  # HDF5 strings end at a NUL
    if isinstance(value, int):  # bool included
        return int(value) if _INT64.min <= value <= _INT64.max else str(int(value))
    if isinstance(value, float):
        return float(value)  # also strips subclasses, such as an evidence that carries its standard error
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple)):
        return _storable_list(list(value))
    if isinstance(value, Mapping):
        return json.dumps({str(key): entry for key, entry in value.items()}, default=_plain)
    return str(value)


def _storable_list(values: list[Any]) -> str | list[str] | list[int] | list[float]:
    plain = [storable_attribute(value) for value in values]
    if plain and all(isinstance(value, str) for value in values):
        return [str(value) for value in plain]
    if plain and all(isinstance(value, int) for value in plain):
        return [value for value in plain if isinstance(value, int)]
    if plain and all(isinstance(value, (int, float)) for value in plain):
        return [float(value) for value in plain if isinstance(value, (int, float))]
    return json.dumps(values, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON cannot say: NumPy scalars and arrays as Python numbers and lists, the rest as strings."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return str(value)
