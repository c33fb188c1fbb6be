"""What a user may give as data, read into plain arrays: mappings, Datasets, tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.model.labels import Coords, Factorized

Dims = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Given:
    """One value as it was given: the array, its dims if they were named, and their labels if they have any."""

    values: np.ndarray
    dims: tuple[str, ...] | None = None
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def labels(self) -> Factorized:
        """The values as labels."""
        return Factorized(self.values)


class GivenData(dict[str, Given]):
    """One batch of data by name, and in ``kept`` what was found out about it: its rows are looked at once.

    Attributes
    ----------
    kept : dict
        Arrays and labels that were checked, and sums over rows. They hold as long as the batch comes after the same
        batches of the same model.
    statistics, labels : optional
        Sufficient statistics that stand for the observations, and the labels of their dims.
    """

    def __init__(self, values: Mapping[str, Given]) -> None:
        super().__init__(values)
        self.kept: dict[Any, Any] = {}
        self.statistics: Any = None
        self.labels: Coords | None = None


def is_summary(given: Mapping[str, Given]) -> bool:
    """Whether sufficient statistics stand for the observations of a batch."""
    return isinstance(given, GivenData) and given.statistics is not None


def read_data(data: Any, more: Mapping[str, Any], declared: Dims) -> GivenData:
    """Read data of any supported kind by name; ``declared`` holds the dims of the names a model knows.

    Names that the model does not know are refused in a mapping, and left alone in a table or Dataset.
    """
    if data is None:
        values: dict[str, Any] = {}
    elif _is_dataset(data):
        values = {n: data[n] for n in map(str, [*data.data_vars, *data.coords]) if n in declared}
    elif isinstance(data, Mapping):
        values = dict(data)
    else:
        values = _read_table(data, declared)
    values |= more
    for name in values:
        if name not in declared:
            raise DataError(_unknown_name(str(name), declared))
    return GivenData({n: _read_value(n, v, declared[n]) for n, v in values.items()})


def _unknown_name(name: str, declared: Dims) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, declared, n=1)
    known = ", ".join(f"'{n}'" for n in declared) or "none"
    hint = f"Did you mean '{close[0]}'?" if close else "Check the spelling, or declare it with m.data."
    return f"Data must be given for variables of the model: {known}. Got '{name}'. {hint}"


def _is_dataset(data: Any) -> bool:
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(data, xarray.Dataset)


def _read_value(name: str, value: Any, dims: tuple[str, ...]) -> Given:
    xarray, pandas = sys.modules.get("xarray"), sys.modules.get("pandas")
    if xarray is not None and isinstance(value, xarray.DataArray):
        own = tuple(str(d) for d in value.dims)
        coords = {str(d): _labels(value.coords[d].values) for d in value.dims if d in value.coords}
        return Given(_tidy(name, value.values), own, coords)
    if pandas is not None and isinstance(value, pandas.Series) and len(dims) == 1:
        index = value.index
        if index.name == dims[0] or (index.inferred_type == "string" and index.is_unique):
            return Given(_tidy(name, value), dims, {dims[0]: _labels(index.to_numpy())})
    if pandas is not None and isinstance(value, pandas.DataFrame) and len(dims) == 2:
        axes = zip(dims, (value.index, value.columns), strict=True)
        coords = {d: _labels(axis.to_numpy()) for d, axis in axes if not isinstance(axis, pandas.RangeIndex)}
        return Given(_tidy(name, value), dims, coords)
    return Given(_tidy(name, value))


def _labels(values: Any) -> np.ndarray:
    """Return labels as an array: strings as strings, whatever pandas keeps them in."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array):
        return array.astype(str)
    return array


def _tidy(name: str, value: Any) -> np.ndarray:
    """Return an array of numbers or of labels; None among numbers is NaN, NaN among labels is None."""
    masked = np.ma.isMaskedArray(value)
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"The values of '{name}' must be a regular array. Got rows of different lengths. "
            "Give them in long form: one row a value, with an index column for the group."
        ) from error
    if array.dtype.kind in "US" and not isinstance(value, np.ndarray):
        array = np.asarray(value, dtype=object)  # a list of strings and None, where NumPy would write 'None'
    if masked:
        array = array.astype(float if array.dtype.kind in "biuf" else object)
        array[np.ma.getmaskarray(value)] = np.nan
    if array.dtype.kind == "O":
        array = _tidy_objects(array)
    if array.dtype.kind not in "biufOU":
        raise DataError(
            f"The values of '{name}' must be numbers or labels. Got the type {array.dtype}. "
            "Turn moments into numbers (days since a start), complex numbers into real ones."
        )
    return array


def _tidy_objects(array: np.ndarray) -> np.ndarray:
    """Return numbers where all objects are numbers (or unknown), else the objects with None for the unknown."""
    items = array.ravel().tolist()
    kinds = {type(v) for v in items}
    if not kinds & {str, bytes, np.str_}:
        try:
            numbers = [np.nan if _is_none(v) else v for v in items]
            return np.asarray(numbers, dtype=float).reshape(array.shape)
        except (TypeError, ValueError):
            pass
    if any(not issubclass(k, str) for k in kinds):
        tidied = np.empty(len(items), dtype=object)
        tidied[:] = [None if _is_none(v) else v for v in items]
        return tidied.reshape(array.shape)
    return array


def _is_none(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _read_table(table: Any, declared: Dims) -> dict[str, Any]:
    import narwhals as nw

    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise DataError(
            "Data must be a mapping, an xarray.Dataset or an in-memory table of pandas, polars or pyarrow. "
            f"Got {type(table).__name__}. Collect a lazy table first, and name the columns of an array."
        ) from error
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if name in declared:
            column = frame.get_column(name)
            plain = column.dtype.is_numeric() or column.dtype == nw.Boolean
            columns[name] = column.to_numpy() if plain else np.asarray(column.to_list(), dtype=object)
    return columns
