"""Export: named arrays become an `xarray.DataTree` in the ArviZ schema, whatever method made them.

``arviz_base.from_dict`` builds the same tree, but it applies the dims of a parameter to its (lower dimensional)
``log_prior``, takes the sample dims from any group with "data" in its name, drops the warm-up, invents names for
unnamed axes and copies every coordinate once per variable. Plain xarray does not, and spares the second that importing
ArviZ takes. A test holds the result equal to ``from_dict`` wherever the latter is right.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit._version import __version__
from bayeskit.errors import DataError, ModelError
from bayeskit.posterior.files import storable_attributes, storable_labels, storable_values

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DATA_GROUPS", "SAMPLE_DIMS", "build_datatree"]

SAMPLE_DIMS = ("chain", "draw")
DATA_GROUPS = frozenset({"observed_data", "constant_data", "predictions_constant_data"})
# Names ArviZ gives a meaning of its own, as a dim or as a coordinate.
_RESERVED = ("chain", "draw", "sample", "pred_id")
_FLAG_GROUPS = ("sample_stats", "sample_stats_prior", "warmup_sample_stats")

type Variables = Mapping[str, tuple[Sequence[str] | str, Any]]
type Coordinates = Mapping[str, Any]
type _Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]


def build_datatree(
    groups: Mapping[str, Variables],
    *,
    coords: Coordinates | None = None,
    pred_coords: Coordinates | None = None,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
    name: str | None = None,
) -> xr.DataTree:
    """Build a DataTree in the ArviZ schema from arrays.

    Parameters
    ----------
    groups : mapping of {group: {variable: (dims, array)}}
        ``observed_data``, ``constant_data`` and ``predictions_constant_data`` hold arrays of exactly these dims. Arrays
        of every other group (``posterior``, ``prior``, ``log_likelihood``, ``sample_stats``, ``warmup_posterior`` ...)
        have two more axes in front, chain and draw, which `dims` does not name. The second axis of a matrix over the
        dim ``d`` is the dim ``d_``, which bears the labels of ``d``; dims ``("d", "d")`` are read so.
    coords : mapping, optional
        Labels of the dims, ``{dim: labels}``, and auxiliary coordinates, ``{name: (dims, values)}``, such as the labels
        of the cells in ``y_missing``. A dim without labels gets ``0..size-1``. Labels of dims that do not occur are
        left out.
    pred_coords : mapping, optional
        Likewise for ``predictions`` and ``predictions_constant_data``, where it goes before `coords`.
    attrs : mapping of {group: {attribute: value}}, optional
        Attributes of each group; ``"/"`` are those of the root. ``None``, booleans, dicts and lists are stored in the
        form that netCDF and Zarr both hold. They go before the attributes written by default.
    name : str, optional
        Name of the root, for instance of the model; also kept as an attribute, since files do not store the former.

    Returns
    -------
    xarray.DataTree
        Every sampled group with the dims chain and draw first and coordinates for every dim. Integers and booleans are
        int64 (the flags of ``sample_stats`` stay boolean). Arrays that need no conversion are not copied.

    Raises
    ------
    ModelError
        If a variable bears the name of a dim, of a coordinate or a name reserved by ArviZ.
    DataError
        If axes and dims, or sizes and labels, do not fit, or if the values cannot be stored.

    Examples
    --------
    >>> draws = np.zeros((4, 500, 2))
    >>> tree = build_datatree(
    ...     {"posterior": {"theta": ("school", draws)}, "observed_data": {"y": ("school", [28.0, 8.0])}},
    ...     coords={"school": ["Choate", "Deerfield"]},
    ...     attrs={"posterior": {"bayeskit_method": "exact", "seed": None}},
    ... )
    >>> tree["posterior"]["theta"].dims
    ('chain', 'draw', 'school')
    >>> tree["posterior"].attrs["sample_dims"], tree["posterior"].attrs["seed"]
    (['chain', 'draw'], 'None')
    """
    import xarray as xr

    attributes = dict(attrs or {})
    unknown = [group for group in attributes if group != "/" and group not in groups]
    if unknown:
        raise ModelError(
            f"Attributes must belong to an exported group or to '/'. Got some for {unknown}, while the groups are "
            f"{list(groups)}.\nExport the group as well, or leave its attributes out."
        )
    labels = _label_variables(coords or {})
    prediction_labels = labels | _label_variables(pred_coords or {})
    creation = _creation_attributes()
    nodes: dict[str, xr.DataTree] = {}
    for group, variables in groups.items():
        arrays = {variable: _axes(group, variable, *value) for variable, value in variables.items()}
        known = prediction_labels if group in ("predictions", "predictions_constant_data") else labels
        coordinates = _coordinates(group, _sizes(group, arrays), known)
        _refuse_clashes(group, arrays, coordinates)
        own = creation | _sample_attributes(group, arrays) | storable_attributes(attributes.get(group, {}))
        nodes[group] = xr.DataTree(xr.Dataset(arrays, coords=coordinates, attrs=own))
    root = creation | ({} if name is None else {"name": name}) | storable_attributes(attributes.get("/", {}))
    tree = xr.DataTree(xr.Dataset(attrs=root), name=name)
    tree.children = nodes  # from_dict would copy every node, which takes longer than to make them
    return tree


def _creation_attributes() -> dict[str, Any]:
    return {
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "creation_library": "bayeskit",
        "creation_library_version": __version__,
        "creation_library_language": "Python",
        "inference_library": "bayeskit",
        "inference_library_version": __version__,
    }


def _sample_attributes(group: str, arrays: _Arrays) -> dict[str, Any]:
    """`plot_prior_posterior` reads `sample_dims`; an empty list would come back from netCDF as an array of floats."""
    if group in DATA_GROUPS:
        return {}
    stored: dict[str, Any] = {"sample_dims": list(SAMPLE_DIMS)}
    if arrays and group.removeprefix("warmup_") in ("posterior", "prior", "unconstrained_posterior"):
        stored["sampled_variables"] = list(arrays)
    return stored


def _axes(group: str, variable: str, dims: Sequence[str] | str, values: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """The dims of every axis of one variable, and its values in a storable dtype."""
    array = storable_values(variable, values, booleans=group in _FLAG_GROUPS)
    named = (dims,) if isinstance(dims, str) else tuple(dims)
    named = tuple(dim + "_" * named[:axis].count(dim) for axis, dim in enumerate(named))
    reserved = [dim for dim in named if dim in _RESERVED]
    if reserved or len(set(named)) < len(named):
        raise ModelError(
            f"The dims of '{variable}' in the group '{group}' must be distinct and none of {', '.join(_RESERVED)}, "
            f"which ArviZ reserves. Got {named}.\nRename the dim."
        )
    every = named if group in DATA_GROUPS else SAMPLE_DIMS + named
    if array.ndim != len(every):
        raise DataError(
            f"'{variable}' in the group '{group}' must have one axis for each of the dims {every}. "
            f"Got an array of shape {array.shape}.\nName every axis, or sum over the axes that have no name."
        )
    return every, array


def _sizes(group: str, arrays: _Arrays) -> dict[str, int]:
    """Size of every dim of a group, in order of appearance."""
    sizes: dict[str, int] = {}
    for variable, (dims, array) in arrays.items():
        for dim, size in zip(dims, array.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise DataError(
                    f"The dim '{dim}' of '{variable}' must have size {sizes[dim]}, as elsewhere in the group "
                    f"'{group}'. Got {size}.\nGive the two dims different names."
                )
    return sizes


def _label_variables(coords: Coordinates) -> dict[str, xr.Variable]:
    """Coordinates as xarray variables, made once and shared by all groups (a million labels take a while to index)."""
    import pandas as pd
    import xarray as xr

    made: dict[str, xr.Variable] = {}
    for name, value in coords.items():
        if _is_auxiliary(value):
            dims, values = value
            dims = (dims,) if isinstance(dims, str) else tuple(dims)
            array = storable_labels(values) if len(dims) == 1 else np.asarray(values)
            made[name] = xr.Variable(dims, storable_labels(array.ravel()).reshape(array.shape))
        else:
            labels = value if isinstance(value, pd.RangeIndex) else storable_labels(value)
            made[name] = xr.IndexVariable((name,), labels)
    return made


def _is_auxiliary(value: Any) -> bool:
    """``(dims, values)`` and not a pair of labels: neither two strings nor two tuples (rows of a MultiIndex)."""
    if not isinstance(value, tuple) or len(value) != 2 or isinstance(value[1], str):
        return False
    return isinstance(value[1], Iterable) and (
        isinstance(value[0], str) or (isinstance(value[0], (tuple, list)) and not isinstance(value[1], tuple))
    )


def _coordinates(group: str, sizes: Mapping[str, int], known: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Labels for every dim of a group, and the auxiliary coordinates that live on these dims."""
    import xarray as xr

    made = {dim: _dim_labels(group, dim, size, known) for dim, size in sizes.items()}
    for name, variable in known.items():
        if variable.dims == (name,) or not set(map(str, variable.dims)) <= set(sizes):
            continue
        if name in made:
            raise ModelError(
                f"The auxiliary coordinate '{name}' over {variable.dims} must not bear the name of a dim of the group "
                f"'{group}'.\nCall it '{variable.dims[0]}_{name}', for instance."
            )
        expected = tuple(sizes[str(dim)] for dim in variable.dims)
        if variable.shape != expected:
            raise DataError(
                f"The auxiliary coordinate '{name}' must have the shape {expected} of its dims {variable.dims} in the "
                f"group '{group}'. Got {variable.shape}.\nGive one value for each entry of the dims."
            )
        made[name] = xr.Variable(variable.dims, variable.data)
    return made


def _dim_labels(group: str, dim: str, size: int, known: Mapping[str, xr.Variable]) -> xr.Variable:
    import pandas as pd
    import xarray as xr

    if dim in known and known[dim].dims == (dim,):
        if known[dim].size != size:
            raise DataError(
                f"The dim '{dim}' of the group '{group}' must have one label for each of its {size} entries. "
                f"Got {known[dim].size} labels.\nGive as many labels as there are entries."
            )
        return known[dim]
    first = known.get(dim.removesuffix("_"))
    if dim.endswith("_") and first is not None and first.size == size and first.ndim == 1:
        return xr.IndexVariable((dim,), first)  # the second axis of a matrix
    return xr.IndexVariable((dim,), pd.RangeIndex(size))


def _refuse_clashes(group: str, arrays: _Arrays, coordinates: Mapping[str, xr.Variable]) -> None:
    """A variable named like a coordinate would silently turn into that coordinate and vanish from the group."""
    for variable in arrays:
        if variable in coordinates or variable in _RESERVED:
            kind = "a reserved name of ArviZ" if variable in _RESERVED else "a dim or coordinate"
            raise ModelError(
                f"The variable '{variable}' in the group '{group}' must not bear the name of {kind}.\n"
                f"Rename it, for instance to '{variable}_value' or '{variable}_index'."
            )
        if "/" in variable:
            raise ModelError(
                f"The name of the variable '{variable}' in the group '{group}' must not hold a '/', which separates "
                "the groups of a tree.\nRename it."
            )
