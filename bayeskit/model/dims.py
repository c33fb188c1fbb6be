"""The labels of every dim in one batch of data: from the model, the data, and the columns that hold labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError
from bayeskit.model.constants import joined_sizes, written_arrays
from bayeskit.model.labels import Coords, few, found_labels, keys, must_be_unique, together
from bayeskit.model.reading import Given, GivenData
from bayeskit.model.statements import IndexColumn

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


def latent_dims(model: Model) -> set[str]:
    """Return the dims that latents bear or that indices point into: they are shared by all batches of data."""
    borne = {d for r in model.random.values() if not r.observed for d in r.dims}
    return borne | {c.into for c in model.columns.values() if isinstance(c, IndexColumn)}


def resolve_labels(model: Model, given: Mapping[str, Given], known: Coords | None = None) -> Coords:
    """Return the labels of every dim, for one batch of data.

    Parameters
    ----------
    model : Model
        The statements.
    given : mapping
        The data of this batch.
    known : Coords, optional
        Labels of the shared dims in earlier batches, where this is a later one. It may bear some of them only, and new
        ones; the labels that the model states for dims of data alone are not binding for it.
    """
    labels = Coords(model.coords if known is None else None)
    declared = _declared_dims(model)
    for name, value in given.items():
        for dim, own in value.coords.items():
            if dim in declared.get(name, ()):
                _take_labels(labels, dim, own, name)
    for name, constant in written_arrays(model):
        for dim, own in constant.labels.items():
            if known is None or dim not in known:
                _take_labels(labels, dim, own, name)
    _labels_in_columns(model, given, labels, known)
    if isinstance(given, GivenData) and given.labels is not None:
        _labels_of_statistics(given.labels, labels, known)
    if known is not None:
        for dim in labels:
            if dim in known and set(keys(labels[dim])) == set(keys(known[dim])):
                labels[dim] = known[dim]
        labels = known | labels
    _sizes(model, given, labels, declared)
    for dim in model.all_dims():
        if dim.endswith("_") and dim[:-1] in labels:
            labels[dim] = labels[dim[:-1]]  # the second dim of a matrix has the labels of the first
    return Coords(model.coords) | labels


def _declared_dims(model: Model) -> dict[str, tuple[str, ...]]:
    dims = {name: column.variable.dims for name, column in model.columns.items()}
    return dims | {name: r.dims for name, r in model.random.items()}


def _take_labels(labels: Coords, dim: str, own: Array, name: str) -> None:
    must_be_unique(name, dim, own)
    held = labels.setdefault(dim, own)
    if held is own or np.array_equal(held, own):
        return
    among = set(keys(held))
    new = [v for v in keys(own) if v not in among]
    if new:
        raise DataError(
            f"The labels of '{name}' along '{dim}' must be among {few(held)}. Got {new[0]!r}. "
            "Check the labels, or those of the model's coords."
        )


def _labels_in_columns(model: Model, given: Mapping[str, Given], labels: Coords, known: Coords | None) -> None:
    """Read the labels that stand in index columns, and in categorical variables given by label."""
    columns: dict[str, list[Given]] = {}
    for name, column in model.columns.items():
        if isinstance(column, IndexColumn) and name in given:
            columns.setdefault(column.into, []).append(given[name])
    for name, statement in model.random.items():
        into = statement.variable.into
        if into is not None and name in given and given[name].values.dtype.kind in "OU":
            columns.setdefault(into, []).append(given[name])
    for dim, values in columns.items():
        found = found_labels(value.labels for value in values)
        if known is not None:
            held = labels if dim in labels else known
            labels[dim] = together(held[dim] if dim in held else found, found)
        elif dim not in labels:
            labels[dim] = found
        elif dim not in model.coords:
            labels[dim] = together(labels[dim], found)


def _labels_of_statistics(own: Coords, labels: Coords, known: Coords | None) -> None:
    """Take the labels of sufficient statistics, beside those of earlier batches."""
    for dim in own:
        held = labels if dim in labels else Coords() if known is None else known
        if own.is_numbered(dim) and (dim not in held or held.is_numbered(dim)):
            labels.number(dim, max(own.size(dim), held.size(dim) if dim in held else 0))
        elif dim in held:
            labels[dim] = together(held[dim], own[dim])
        else:
            labels[dim] = own[dim]


def _sizes(model: Model, given: Mapping[str, Given], labels: Coords, declared: Mapping[str, tuple[str, ...]]) -> None:
    """Give the dims that have no labels the numbers from 0, as many as the data or the model say."""

    def size(dim: str, length: int) -> None:
        stated = model.coords.get(dim)
        if dim not in labels:
            if stated is not None and len(stated) == length:
                labels[dim] = stated
            else:
                labels.number(dim, length)

    for _, constant in written_arrays(model):
        for dim, length in zip(constant.dims, constant.value.shape, strict=True):
            size(dim, length)
    for name, value in given.items():
        dims = value.dims if value.dims is not None else declared[name]
        if len(dims) == value.values.ndim:
            for dim, length in zip(dims, value.values.shape, strict=True):
                size(dim, length)
    for name, dim, length in joined_sizes(model, {d: labels.size(d) for d in labels}):
        size(dim, length)
        if labels.size(dim) != length:
            raise DataError(
                f"The dim '{dim}' of '{name}' must have {labels.size(dim)} entries, one for each label. "
                f"Got {length} from bk.stack or bk.concat. Check the pieces, or the labels of the dim."
            )
