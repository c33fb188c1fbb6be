"""Named arrays and a header in one file, netCDF or JSON by its ending, that come back exactly as they were.

A file holds no code: floats, whole numbers, booleans, text, and the header as JSON. It says which version of the format
it was written in; a later version is refused rather than guessed at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from bayeskit.errors import DataError

__all__ = ["FORMAT", "VERSION", "read", "write"]

Array = np.ndarray
FORMAT, VERSION = "bayeskit", 1
_KINDS = {"f": "float64", "i": "int64", "b": "bool", "U": "str"}
_ENDINGS = (".nc", ".json")
_NAMES = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}  # of the floats that JSON has no numbers for


def write(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a header and arrays to a file, which takes the place of an older one only when it is whole.

    Parameters
    ----------
    path : str or Path
        The file: ``.nc`` for netCDF (needs the extra ``io``), ``.json`` for JSON.
    header : mapping
        Anything JSON can hold; its floats must be finite.
    arrays : mapping
        Arrays by name, any name and shape, of float64, int64, bool or text.

    Raises
    ------
    DataError
        Where the ending or the type of an array is another one, or netCDF cannot hold a text.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "sums.json")
    >>> write(path, {"of": "y"}, {"sum": np.array([0.1, np.inf]), "arm": np.array(["A", "B"])})
    >>> read(path)
    ({'of': 'y'}, {'sum': array([0.1, inf]), 'arm': array(['A', 'B'], dtype='<U1')})
    """
    path = _checked_path(path)
    plain = {name: _checked_array(name, array) for name, array in arrays.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, "header": dict(header)}, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{path.suffix}")  # with the rights that new files have here
    try:
        (_write_json if path.suffix == ".json" else _write_netcdf)(temporary, text, plain)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the header and the arrays of a file that `write` wrote.

    Raises
    ------
    DataError
        Where the file is not one of these, is damaged, or was written by a later version of the format.
    FileNotFoundError
        Where there is none.
    """
    path = _checked_path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file '{path}'.")
    try:
        said, arrays = (_read_json if path.suffix == ".json" else _read_netcdf)(path)
        wrong = said["format"] != FORMAT
        version, header = int(said["version"]), dict(said["header"])
    except DataError:  # it says what is missing
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(_not_ours(path)) from error
    if wrong:
        raise DataError(_not_ours(path))
    if version > VERSION:
        raise DataError(
            f"The file '{path}' must be of format version {VERSION} or earlier. Got version {version}. "
            "Update bayeskit to read it."
        )
    return header, arrays


def _not_ours(path: Path) -> str:
    return f"The file '{path}' must be one that bayeskit wrote, whole. Got something else. Check the path."


def _checked_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in _ENDINGS:
        raise DataError(
            f"A file must end in .nc (netCDF) or .json. Got '{path.name}'. Name it so; the ending chooses the format."
        )
    return path


def _checked_array(name: str, array: Array) -> Array:
    array = np.asarray(array)
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.ravel().tolist()):
        array = array.astype(str)
    if array.dtype.kind not in _KINDS or (array.dtype.kind in "fi" and array.dtype.itemsize != 8):
        raise DataError(
            f"The array '{name}' must be of float64, int64, bool or text to be saved. Got {array.dtype}. Convert it."
        )
    return array


# ---- JSON -----------------------------------------------------------------------------------------------------------
def _write_json(path: Path, text: str, arrays: Mapping[str, Array]) -> None:
    listed = {n: {"dtype": _KINDS[a.dtype.kind], "shape": a.shape, "values": _listed(a)} for n, a in arrays.items()}
    whole = {**json.loads(text), "arrays": listed}
    path.write_text(json.dumps(whole, allow_nan=False) + "\n", encoding="ascii")


def _listed(array: Array) -> list[Any]:
    values = array.ravel().tolist()
    if array.dtype.kind != "f" or bool(np.isfinite(array).all()):
        return values
    return [v if np.isfinite(v) else "NaN" if v != v else "Infinity" if v > 0 else "-Infinity" for v in values]


def _read_json(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    whole = json.loads(path.read_text(encoding="utf-8"))
    arrays: dict[str, Array] = {}
    for name, held in whole.pop("arrays", {}).items():
        values = held["values"]
        if held["dtype"] == "float64":
            values = [_NAMES[v] if isinstance(v, str) else v for v in values]
        arrays[name] = np.array(values, dtype=held["dtype"]).reshape(held["shape"])
    return whole, arrays


# ---- netCDF ---------------------------------------------------------------------------------------------------------
def _write_netcdf(path: Path, text: str, arrays: Mapping[str, Array]) -> None:
    """Write every array as a variable ``array<i>`` that bears its name: HDF5 takes a slash in one for a folder."""
    import xarray as xr

    variables: dict[str, xr.Variable] = {"header": xr.Variable((), np.array(text, dtype=object))}
    for i, (name, array) in enumerate(arrays.items()):
        kind = _KINDS[array.dtype.kind]
        if kind == "str":
            _must_be_storable(name, array)
        held = array.astype({"bool": np.int8, "str": object}.get(kind, kind))
        dims = [f"array{i}_{axis}" for axis in range(array.ndim)]
        variables[f"array{i}"] = xr.Variable(dims, held, {"name": json.dumps(name), "kind": kind})
    encoding: dict[str, Any] = {n: {"_FillValue": None} for n, v in variables.items() if v.dtype.kind == "f"}
    encoding |= {n: {"dtype": str} for n, v in variables.items() if v.dtype.kind == "O"}
    try:
        xr.Dataset(variables).to_netcdf(path, engine="h5netcdf", encoding=encoding)
    except ImportError as error:
        raise DataError(_no_netcdf()) from error


def _must_be_storable(name: str, array: Array) -> None:
    for text in array.ravel().tolist():
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise DataError(f"Text in '{name}' must be what netCDF can hold. Got {text!r}. Save it as .json.")


def _read_netcdf(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as dataset:
            dataset.load()
    except (ImportError, ValueError) as error:
        if isinstance(error, ImportError) or "h5netcdf" in str(error):
            raise DataError(_no_netcdf()) from error
        raise
    said = json.loads(str(dataset["header"].values[()]))
    arrays: dict[str, Array] = {}
    for i in range(len(dataset.data_vars) - 1):
        variable = dataset[f"array{i}"]
        kind = variable.attrs["kind"]
        arrays[json.loads(variable.attrs["name"])] = variable.values.astype(kind)
    return said, arrays


def _no_netcdf() -> str:
    return "netCDF files must be written and read by h5netcdf. Got none. Install 'bayeskit[io]', or use .json."
