"""Numbers, labels and arrays as JSON has them, exactly: nothing is rounded, and a date stays a date."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np

from bayeskit.errors import DataError, RefusedError

__all__ = ["array_from_json", "array_to_json", "scalar_from_json", "scalar_to_json"]

Array = np.ndarray
_MOMENTS: dict[str, Any] = {"datetime": datetime.datetime, "date": datetime.date, "time": datetime.time}


def scalar_to_json(value: Any) -> Any:
    """Return a number, a text, a date or None as JSON can hold it.

    Raises
    ------
    RefusedError
        Where it is anything else.

    Examples
    --------
    >>> scalar_to_json(0.1), scalar_to_json(float("inf")), scalar_to_json(datetime.date(2024, 2, 29))
    (0.1, {'number': 'Infinity'}, {'date': '2024-02-29'})
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"number": _named(value)}
    for name, kind in _MOMENTS.items():
        if isinstance(value, kind) and kind.fromisoformat(value.isoformat()) == value:
            return {name: value.isoformat()}
    raise RefusedError(
        f"What is saved must be numbers, texts, dates, and arrays of them. Got {value!r}, of type "
        f"{type(value).__name__}. Write it as one of those."
    )


def scalar_from_json(written: Any) -> Any:
    """Return what `scalar_to_json` wrote."""
    if not isinstance(written, dict):
        return written
    ((name, text),) = written.items()
    if name == "number":
        return float(text)
    if name not in _MOMENTS:
        raise DataError(f"A value must be one of {', '.join(['number', *_MOMENTS])}. Got '{name}'. Update bayeskit.")
    return _MOMENTS[name].fromisoformat(text)


def _named(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def array_to_json(array: Array) -> dict[str, Any]:
    """Return an array as its dtype and nested lists of its values; numbers from 0 as how many there are.

    Examples
    --------
    >>> array_to_json(np.array([[1.0, 0.5], [0.5, np.inf]]))
    {'dtype': 'float64', 'values': [[1.0, 0.5], [0.5, 'Infinity']]}
    >>> array_to_json(np.array(["2024-01", "2024-02"], dtype="datetime64[M]"))
    {'dtype': 'datetime64[M]', 'values': ['2024-01', '2024-02']}
    >>> array_to_json(np.arange(1000))
    {'range': 1000}
    """
    if is_range(array):
        return {"range": len(array)}
    kind = array.dtype.kind
    if kind not in "biufUOmM" or (kind == "f" and array.dtype.itemsize > 8):
        raise RefusedError(f"An array to be saved must hold numbers, texts or dates. Got {array.dtype}. Convert it.")
    written: dict[str, Any] = {"dtype": array.dtype.str if kind == "U" else array.dtype.name}
    if array.size == 0 or (kind == "O" and array.ndim != 1):
        written["shape"] = list(array.shape)
        array = array.ravel()
    if kind == "O":
        return {**written, "values": [scalar_to_json(v) for v in array.tolist()]}
    if kind == "M":
        array = np.datetime_as_string(array)
    elif kind == "m":
        array = array.view(np.int64)
    elif kind == "f" and not np.isfinite(array).all():
        return {**written, "values": _nested(array.tolist())}
    return {**written, "values": array.tolist()}


def is_range(array: Array) -> bool:
    """Whether an array is 0, 1, 2, ... in int64."""
    if array.dtype != np.int64 or array.ndim != 1 or array.size == 0:
        return False
    return bool((array == np.arange(len(array))).all())


def _nested(values: Any) -> Any:
    if isinstance(values, list):
        return [_nested(v) for v in values]
    return values if math.isfinite(values) else _named(values)


def array_from_json(written: dict[str, Any]) -> Array:
    """Return the array that `array_to_json` wrote."""
    if "range" in written:
        return np.arange(int(written["range"]))
    dtype, values = np.dtype(written["dtype"]), written["values"]
    if dtype.kind not in "biufUOmM":
        raise DataError(f"An array must hold numbers, texts or dates. Got {dtype}. Update bayeskit.")
    if dtype.kind == "O":
        array = np.empty(len(values), dtype=object)
        array[:] = [scalar_from_json(v) for v in values]
    elif dtype.kind == "f":
        array = np.array(_floats(values), dtype=dtype)
    elif dtype.kind == "m":
        array = np.array(values, dtype=np.int64).view(dtype)
    else:
        array = np.array(values, dtype=dtype)
    return array.reshape(written["shape"]) if "shape" in written else array


def _floats(values: Any) -> Any:
    return [_floats(v) for v in values] if isinstance(values, list) else float(values)
