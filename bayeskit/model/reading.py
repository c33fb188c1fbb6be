"""What a user may give as data, read into plain arrays: mappings, Datasets, tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayeskit.errors import DataError


@dataclass(frozen=True)
class Given:
    """One value as it was given: the array, its dims if they were named, and their labels if they have any."""

    values: np.ndarray
    dims: tuple[str, ...] | None = None
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_data(data: Any, more: Mapping[str, Any], known: set[str]) -> dict[str, Given]:
    """Read data of any supported kind by name.

    Names that the model does not know are refused in a mapping, and left alone in a table or Dataset.
    """
    if data is None:
        values: dict[str, Any] = {}
    elif isinstance(data, Mapping) and not _is_dataset(data):
        values = dict(data)
    elif _is_dataset(data):
        values = {n: data[n] for n in map(str, [*data.data_vars, *data.coords]) if n in known}
    else:
        values = {n: column for n, column in _read_table(data).items() if n in known}
    values |= more
    unknown = [str(n) for n in values if n not in known]
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is not a variable of the model. Got data for it; the model knows {sorted(known)}. "
            "Check the spelling, or declare it with m.data."
        )
    return {str(n): _read_value(str(n), v) for n, v in values.items()}


def _is_dataset(data: Any) -> bool:
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(data, xarray.Dataset)


def _read_value(name: str, value: Any) -> Given:
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(value, xarray.DataArray):
        dims = tuple(str(d) for d in value.dims)
        coords = {str(d): np.asarray(value.coords[d].values) for d in value.dims if d in value.coords}
        return Given(_tidy(name, value.values), dims, coords)
    return Given(_tidy(name, value))


def _tidy(name: str, value: Any) -> np.ndarray:
    """Return an array of numbers or of labels; None among numbers is NaN."""
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"The values of '{name}' must be a regular array. Got rows of different lengths.") from error
    if np.ma.isMaskedArray(value):
        array = np.ma.filled(np.ma.asarray(value, dtype=float), np.nan)
    if array.dtype.kind == "O":
        try:
            array = np.asarray([np.nan if _is_none(v) else v for v in array.ravel()], dtype=float).reshape(array.shape)
        except (TypeError, ValueError):
            pass
    if array.dtype.kind in "cmMV":
        raise DataError(f"The values of '{name}' must be numbers or labels. Got the type {array.dtype}.")
    return array


def _is_none(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _read_table(table: Any) -> dict[str, Any]:
    import narwhals as nw

    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise DataError(
            "Data must be a mapping, an xarray.Dataset or an in-memory table of pandas, polars or pyarrow. "
            f"Got {type(table).__name__}. Collect a lazy table first."
        ) from error
    columns: dict[str, Any] = {}
    for column in frame.iter_columns():
        if column.dtype.is_numeric() or column.dtype == nw.Boolean:
            columns[str(column.name)] = column.to_numpy()
        else:
            columns[str(column.name)] = np.asarray(column.to_list(), dtype=object)
    return columns
