"""Labels of dims: where they come from, and how labels become codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant
from bayeskit.model.reading import Given
from bayeskit.model.statements import IndexColumn, RandomVariable

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray
Coords = dict[str, Array]


def resolve_labels(model: Model, given: Mapping[str, Given], known: Mapping[str, Array], latent_dims: set[str]) -> Coords:
    """Return the labels of every dim, for one batch of data.

    Parameters
    ----------
    model : Model
        The statements.
    given : mapping
        The data of this batch.
    known : mapping
        Labels fixed by earlier batches, for the dims that latents bear; new labels are appended to them.
    latent_dims : set of str
        The dims that latents bear.
    """
    labels: Coords = {d: v for d, v in model.coords.items() if not known or d not in latent_dims} | dict(known)
    declared = _declared_dims(model)
    for name, value in given.items():
        for dim, own in value.coords.items():
            if dim in declared.get(name, ()):
                _merge(labels, dim, own, name, extend=bool(known) and dim in latent_dims)
    for name, dim in _label_columns(model).items():
        if name in given:
            _merge_column(labels, dim, given[name].values, name, extend=bool(known) or dim not in model.coords)
    for statement in model.random.values():
        for parameter, _ in zip(statement.parameters, statement.layouts, strict=True):
            if isinstance(parameter, Constant):
                _sizes(labels, parameter.dims, parameter.value.shape)
    for name, value in given.items():
        dims = value.dims if value.dims is not None else declared.get(name, ())
        if len(dims) == value.values.ndim:
            _sizes(labels, dims, value.values.shape)
    for dim in model.all_dims():
        if dim.endswith("_") and dim[:-1] in labels:
            labels.setdefault(dim, labels[dim[:-1]])  # the second dim of a matrix has the labels of the first
    return labels


def _declared_dims(model: Model) -> dict[str, tuple[str, ...]]:
    dims = {name: column.variable.dims for name, column in model.columns.items()}
    return dims | {name: r.dims for name, r in model.random.items()}


def _label_columns(model: Model) -> dict[str, str]:
    """Columns whose values are labels: indices, and categorical variables given by name."""
    found = {n: c.into for n, c in model.columns.items() if isinstance(c, IndexColumn)}
    for name, statement in model.random.items():
        if isinstance(statement, RandomVariable) and statement.variable.into is not None:
            found[name] = statement.variable.into
    return found


def _sizes(labels: Coords, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
    for dim, size in zip(dims, shape, strict=True):
        labels.setdefault(dim, np.arange(size))


def _merge(labels: Coords, dim: str, own: Array, name: str, *, extend: bool) -> None:
    if dim not in labels:
        labels[dim] = own
        return
    fixed = set(labels[dim].tolist())
    new = [v for v in own.tolist() if v not in fixed]
    if new and not extend:
        raise DataError(
            f"The labels of '{name}' along '{dim}' must be among {_few(labels[dim])}. Got {new[0]!r}. "
            "Check the labels, or leave them out of the model's coords."
        )
    if new:
        labels[dim] = np.concatenate([labels[dim], np.asarray(new)])


def _merge_column(labels: Coords, dim: str, values: Array, name: str, *, extend: bool) -> None:
    if values.dtype.kind in "f":
        whole = values[np.isfinite(values)]
        values = whole.astype(np.int64) if np.all(whole == np.floor(whole)) else values
    present = [v for v in _distinct(values) if not _unknown(v)]
    if dim not in labels:
        if values.dtype.kind in "iu" and name != dim and not any(isinstance(v, str) for v in present):
            return  # codes of a categorical variable: their number is known from its probabilities
        labels[dim] = np.asarray(sorted(present))
        return
    if any(isinstance(v, str) for v in present) or name == dim:
        fixed = set(labels[dim].tolist())
        new = sorted(v for v in present if v not in fixed)
        if new and extend and dim in labels:
            labels[dim] = np.concatenate([labels[dim], np.asarray(new)])
        elif new:
            raise DataError(
                f"The labels in '{name}' must be among those of '{dim}': {_few(labels[dim])}. Got {new[0]!r}."
            )


def encode(name: str, values: Array, labels: Array) -> Array:
    """Return labels as codes; NaN where the label is unknown."""
    place = {v: i for i, v in enumerate(labels.tolist())}
    distinct, codes = _factorize(values)
    missing = [v for v in distinct if not _unknown(v) and _plain(v) not in place]
    if missing:
        raise DataError(f"The labels in '{name}' must be among {_few(labels)}. Got {missing[0]!r}. Check the spelling.")
    table = np.asarray([np.nan if _unknown(v) else place[_plain(v)] for v in distinct], dtype=float)
    return table[codes].reshape(values.shape)


def _factorize(values: Array) -> tuple[list[object], Array]:
    """Return the distinct values and, for every element, which one it is."""
    if values.dtype.kind != "O":
        unique, codes = np.unique(values, return_inverse=True)
        return unique.tolist(), codes.ravel()
    place: dict[object, int] = {}
    codes = np.asarray([place.setdefault(v, len(place)) for v in values.ravel().tolist()], dtype=np.int64)
    return list(place), codes


def _distinct(values: Array) -> list[object]:
    return _factorize(values)[0]


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unknown(value: object) -> bool:
    return value is None or value != value


def _few(labels: Array) -> str:
    shown = ", ".join(repr(v) for v in labels.tolist()[:8])
    return f"{shown}{' ...' if len(labels) > 8 else ''}"
