"""From what the user calls a utility to one checked DataArray (chain, draw, ..., action)."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.decision.figures import PER_ACTION, PER_DECISION
from bayeskit.decision.sources import in_brackets, with_chains
from bayeskit.errors import DecisionError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

_UNKNOWN_NAME = re.compile(r"(?:No variable named|'Dataset' object has no attribute) '([^']+)'")
_TAKEN = {"best", "resolved"} | {f"{name}{end}" for name in PER_ACTION + PER_DECISION for end in ("", "_mcse")}


def utility_array(draws: xr.Dataset, what: Any, action: str | None, word: str) -> tuple[xr.DataArray, str]:
    """Evaluate a utility (or loss) and find its action dim.

    Parameters
    ----------
    draws : Dataset
        With the dims chain and draw.
    what : callable, DataArray or mapping
        As `utility` of :func:`bayeskit.decide`.
    action : str or None
        The action dim, where named.
    word : str
        "utility" or "loss", for the messages.

    Returns
    -------
    (DataArray, str)
        The array with dims chain, draw, the action and any extra ones; and the name of the action dim.
    """
    import xarray as xr

    ready = not callable(what)
    value = what if ready else _evaluate(draws, what, word)
    if isinstance(value, Mapping):
        action = action or "action"
        value = _stack(value, action, word)
    if not isinstance(value, xr.DataArray):
        raise DecisionError(
            f"The {word} must be a DataArray (chain, draw, action) or a dict of DataArrays by action. "
            f"Got {type(value).__name__}.\n"
            f"Compute with the variables themselves, e.g. lambda post: 3 * post['p'] - 1, not with .values."
        )
    if ready:
        value = _with_chains(value)
    _check_draws(draws, value, word)
    name = _action_dim(value, action, word)
    _check_values(value, name, word)
    return value, name


def _evaluate(draws: xr.Dataset, function: Any, word: str) -> Any:
    """Call the function; a name the draws do not hold becomes a sentence, every other error stays the user's own."""
    try:
        return function(draws)
    except (KeyError, AttributeError) as error:
        unknown = _UNKNOWN_NAME.search(str(error.args[0]) if error.args else "")
        if unknown is None or unknown.group(1) in draws:
            raise
        raise DecisionError(
            f"The {word} must use variables of the draws. Got {unknown.group(1)!r}, which is not among them.\n"
            f"They are: {', '.join(sorted(map(str, draws.data_vars)))}."
        ) from error


def _stack(values: Mapping[Any, Any], action: str, word: str) -> xr.DataArray:
    """{action: DataArray or number} along a new dim whose labels are the keys."""
    import xarray as xr

    arrays = []
    for label, value in values.items():
        if (not isinstance(value, xr.DataArray) and np.ndim(value) > 0) or isinstance(value, str):
            raise DecisionError(
                f"The {word} of action {label!r} must be a DataArray or a number. Got {type(value).__name__}.\n"
                "Compute with the variables themselves, not with .values, so that dims are known by name."
            )
        # A scalar coordinate left by .sel(arm="A") differs from action to action and says nothing the key does not.
        arrays.append(xr.DataArray(value).reset_coords(drop=True))
    if not arrays:
        raise DecisionError(f"The {word} must hold at least one action. Got an empty dict.\nReturn {{'A': ..., ...}}.")
    if any(action in array.dims for array in arrays):
        raise DecisionError(
            f"The {word} given action by action must leave the dim {action!r} free for them. Got it as a dim already.\n"
            "Name the new dim with action=, or return one DataArray instead of a dict."
        )
    try:
        arrays = list(xr.broadcast(*xr.align(*arrays, join="exact")))
    except ValueError as error:
        raise DecisionError(
            f"The {word} must have the same labels and sizes for every action. Got {str(error).splitlines()[0]}\n"
            "Select or reindex so that the shared dims agree."
        ) from error
    stacked: xr.DataArray = xr.concat(arrays, dim=action, coords="minimal", compat="override", join="override")
    return stacked.assign_coords({action: _labels(values)})


def _labels(keys: Iterable[Hashable]) -> NDArray[np.generic]:
    """Keys as coordinates; mixed ones and tuples stay the objects they are (NumPy would make strings of ["B", 3])."""
    kept = list(keys)
    if len({type(key) for key in kept}) == 1 and isinstance(kept[0], str | int | float):
        return np.asarray(kept)
    labels = np.empty(len(kept), dtype=object)
    labels[:] = kept
    return labels


def _with_chains(value: xr.DataArray) -> xr.DataArray:
    """Give an array that was computed beforehand along ``sample`` or ``draw`` alone the chains its source has."""
    try:
        return with_chains(value.to_dataset(name="_utility"))["_utility"]
    except DecisionError:
        return value  # the check that follows says what is missing, of the utility


def _check_draws(draws: xr.Dataset, value: xr.DataArray, word: str) -> None:
    missing = [dim for dim in ("chain", "draw") if dim not in value.dims]
    if missing:
        raise DecisionError(
            f"The {word} must keep the dims chain and draw. Got dims {in_brackets(value.dims)}, without "
            f"{' and '.join(missing)}.\nReturn one number per draw and action; decide takes the means."
        )
    for dim in ("chain", "draw"):
        if value.sizes[dim] != draws.sizes[dim]:
            raise DecisionError(
                f"The {word} must have as many entries along {dim} as the draws, {draws.sizes[dim]}. "
                f"Got {value.sizes[dim]}.\nSelect draws before deciding, not inside the {word}."
            )


def _action_dim(value: xr.DataArray, action: str | None, word: str) -> str:
    rest = [str(dim) for dim in value.dims if dim not in ("chain", "draw")]
    if action is not None:
        if action not in rest:
            raise DecisionError(
                f"'action' must be a dim of the {word} beyond chain and draw, one of {in_brackets(rest)}. "
                f"Got {action!r}.\nName the dim that runs over the actions."
            )
        return action
    if not rest:
        raise DecisionError(
            f"The {word} must have a dim for the action beyond chain and draw. Got dims {in_brackets(value.dims)}.\n"
            "Return a dict {'A': ..., 'B': ...}, or keep the dim that runs over the actions."
        )
    if len(rest) > 1:
        raise DecisionError(
            f"The {word} must have one dim beyond chain and draw, or action= must name the one that is the action. "
            f"Got {in_brackets(rest)}.\nWrite for example action={rest[-1]!r}; the others are then decided one by one."
        )
    return rest[0]


def _check_values(value: xr.DataArray, action: str, word: str) -> None:
    if value.dtype.kind not in "biuf":
        raise DecisionError(
            f"The {word} must be real numbers. Got dtype {value.dtype}.\nConvert it with .astype(float)."
        )
    if 0 in value.sizes.values():
        empty = next(dim for dim, size in value.sizes.items() if size == 0)
        raise DecisionError(
            f"The {word} must have at least one entry along {empty}. Got none.\nCheck the selection that emptied it."
        )
    if action in value.indexes and not value.indexes[action].is_unique:
        double = value.indexes[action][value.indexes[action].duplicated()][0]
        raise DecisionError(f"The labels of {action!r} must be unique. Got {double!r} twice.\nRename the actions.")
    clash = sorted(_TAKEN & set(map(str, [*value.dims, *value.coords])))
    if clash:
        raise DecisionError(
            f"The dims and coordinates of the {word} must not be named like a figure of a decision. Got {clash[0]!r}.\n"
            f"Rename it, e.g. .rename({clash[0]}='{clash[0]}_')."
        )
