"""Arrays and trees of draws as the plain arrays that a file holds, each with a description of what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.model.declaration import array_from_json, array_to_json, scalar_from_json, scalar_to_json
from bayeskit.posterior.files import storable_attributes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Packer", "digest", "pack_tree", "unpack", "unpack_tree"]

Array = np.ndarray


class Packer:
    """Collects arrays under names, in the types that a file holds: float64, int64, bool and text.

    Attributes
    ----------
    arrays : dict
        The arrays, by name.

    Examples
    --------
    >>> packer = Packer()
    >>> described = packer.pack("day", np.array(["2024-02-29"], dtype="datetime64[D]"))
    >>> described, packer.arrays
    ({'dtype': 'datetime64[D]', 'array': 'day'}, {'day': array([19782])})
    >>> unpack(described, packer.arrays)
    array(['2024-02-29'], dtype='datetime64[D]')
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def pack(self, name: str, array: Array) -> dict[str, Any]:
        """Keep an array under a name, and return what it was."""
        whole = array_to_json(array) if array.dtype.kind == "i" and array.ndim == 1 and _may_count(array) else {}
        if "range" in whole:
            return whole
        dtype = array.dtype.newbyteorder("=")
        if dtype.kind == "O":
            distinct, codes = _distinct(array)
            return {"labels": array_to_json(distinct), "codes": self.pack(name, codes)}
        if dtype.kind == "f" and dtype.itemsize > 8:
            dtype = np.dtype(np.float64)
        described = {"dtype": dtype.str if dtype.kind == "U" else dtype.name, "array": name}
        self.arrays[name] = _plain(np.asarray(array, dtype=dtype), name)
        return described


def _may_count(array: Array) -> bool:
    return array.size > 0 and array[0] == 0 and array[-1] == array.size - 1


def _distinct(array: Array) -> tuple[Array, Array]:
    """Return the distinct objects in an array, and for every element which one it is."""
    place: dict[Any, int] = {}
    found: list[Any] = []
    codes = []
    for value in array.ravel().tolist():
        code = place.setdefault((type(value), repr(value)), len(found))  # True, 1 and 1.0 are three, -0.0 is not 0.0
        if code == len(found):
            found.append(value)
        codes.append(code)
    distinct = np.empty(len(found), dtype=object)
    distinct[:] = found
    return distinct, np.array(codes, dtype=np.int64).reshape(array.shape)


def _plain(array: Array, name: str) -> Array:
    kind = array.dtype.kind
    if kind in "mM" or array.dtype == np.uint64:
        return np.ascontiguousarray(array).view(np.int64).reshape(array.shape)
    if kind in "iu":
        return array.astype(np.int64)
    if kind == "f":
        return array.astype(np.float64)
    if kind in "bU":
        return array
    raise RefusedError(f"The values of '{name}' must be numbers, texts or dates to be saved. Got {array.dtype}.")


def unpack(described: Mapping[str, Any], arrays: Mapping[str, Array]) -> Array:
    """Return an array that was packed, in the type it had."""
    if "range" in described:
        return array_from_json(dict(described))
    if "labels" in described:
        labels: Array = array_from_json(described["labels"])[unpack(described["codes"], arrays)]
        return labels
    dtype, plain = np.dtype(described["dtype"]), arrays[described["array"]]
    if dtype.kind not in "biufUmM":
        raise DataError(f"The values of '{described['array']}' must be numbers, texts or dates. Got {dtype}.")
    if dtype.kind in "mM" or dtype == np.uint64:
        return np.ascontiguousarray(plain).view(dtype).reshape(plain.shape)
    return plain.astype(dtype, copy=False)


def pack_tree(tree: xr.DataTree, packer: Packer) -> dict[str, Any]:
    """Keep the arrays of a tree, and return its groups: their variables, and everything's attributes."""
    import xarray as xr

    if not isinstance(tree, xr.DataTree):
        raise DataError(
            f"The draws to be saved must be an xarray.DataTree. Got {type(tree).__name__}. posterior.sample() is one."
        )
    groups = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        variables = {
            str(name): {
                "dims": [str(d) for d in variable.dims],
                "coordinate": name in dataset.coords,
                "attributes": _attributes(variable.attrs),
                "values": packer.pack(f"draws:{node.path}/{name}", variable.values),
            }
            for name, variable in dataset.variables.items()
        }
        groups[node.path] = {"attributes": _attributes(dataset.attrs), "variables": variables}
    return {"name": tree.name, "groups": groups}


def _attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    stored = storable_attributes(attributes)
    return {n: [scalar_to_json(v) for v in value] if isinstance(value, list) else scalar_to_json(value)
            for n, value in stored.items()}  # fmt: skip


def _read_attributes(written: Mapping[str, Any]) -> dict[str, Any]:
    return {n: [scalar_from_json(v) for v in value] if isinstance(value, list) else scalar_from_json(value)
            for n, value in written.items()}  # fmt: skip


def unpack_tree(described: Mapping[str, Any], arrays: Mapping[str, Array]) -> xr.DataTree:
    """Return the tree that `pack_tree` described."""
    import pandas as pd
    import xarray as xr

    nodes = {}
    for path, group in described["groups"].items():
        variables: dict[str, Any] = {}
        for name, held in group["variables"].items():
            values = held["values"]
            array = pd.RangeIndex(values["range"]) if "range" in values else unpack(values, arrays)
            variables[name] = (held["dims"], array, _read_attributes(held["attributes"]))
        coordinates = {n: v for n, v in variables.items() if group["variables"][n]["coordinate"]}
        own = {n: v for n, v in variables.items() if n not in coordinates}
        nodes[path] = xr.Dataset(own, coords=coordinates, attrs=_read_attributes(group["attributes"]))
    return xr.DataTree.from_dict(nodes, name=described["name"])


def digest(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Return a digest of what a file holds, by which a number that was changed since is told."""
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.nan, array)  # JSON has one NaN
        held = json.dumps(array.tolist()).encode() if array.dtype.kind == "U" else np.ascontiguousarray(array).data
        found.update(f"{name}{array.dtype.kind}{array.shape}".encode())
        found.update(held)
    return found.hexdigest()
