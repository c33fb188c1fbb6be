"""Labels for arrays: from a problem's coordinates to DataArrays and groups of a DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayeskit.model.problem import Problem
from bayeskit.model.statements import IndexColumn

Array = np.ndarray
Group = dict[str, tuple[tuple[str, ...], Array]]


def wrapper(problem: Problem, name: str) -> Callable[..., Any]:
    """Return a function that labels arrays over a latent's dims: whole, per event, or one matrix per event."""
    latent = problem.latents[name]
    dims, shape = latent.variable.dims, latent.shape
    event = len(latent.prior.event) if latent.missing_from is None else 0

    def wrap(array: Array, *, matrix: bool = False, category: bool = False) -> Any:
        import xarray as xr

        array = np.asarray(array)
        own, sizes = dims, shape
        if matrix:
            own, sizes = (*dims, dims[-1] + "_"), (*shape, shape[-1])
        elif category:
            own, sizes = (*dims, latent.prior.layouts[0][-1]), (*shape, array.shape[-1])
        elif array.size != int(np.prod(shape, dtype=int)) and event:
            own, sizes = dims[: len(dims) - event], shape[: len(shape) - event]
        if not own:
            return float(array.reshape(()))
        coords = {d: _labels(problem, d, n) for d, n in zip(own, sizes, strict=True)}
        return xr.DataArray(array.reshape(sizes), dims=own, coords=coords)

    return wrap


def _labels(problem: Problem, dim: str, size: int) -> Array:
    labels = problem.coords.get(dim)
    if labels is None and dim.endswith("_"):
        labels = problem.coords.get(dim[:-1])
    return np.arange(size) if labels is None or len(labels) != size else labels


def coordinates(problem: Problem) -> dict[str, Any]:
    """Return the coordinates of every dim, and the labels of missing cells as auxiliary ones."""
    coords: dict[str, Any] = dict(problem.coords)
    for dim, labels in problem.cell_labels.items():
        stem = dim.removesuffix("_cell")
        coords[dim] = np.arange(len(next(iter(labels.values()))))
        coords |= {f"{stem}_{d}": ((dim,), values) for d, values in labels.items()}
    return coords


def constant_data(problem: Problem) -> Group:
    """Return the data and index columns; an index that bears the name of its dim is exported as ``<name>_index``."""
    group: Group = {}
    for name, column in problem.model.columns.items():
        if name not in problem.env:
            continue
        own = f"{name}_index" if isinstance(column, IndexColumn) and column.into == name else name
        group[own] = (column.variable.dims, problem.env[name][0])
    return group


def observed_data(problem: Problem) -> tuple[Group, dict[str, Array]]:
    """Return the observations and the labels of dims that grew.

    Observations of later batches are appended along the first dim that no latent bears; where there is none, they stand
    under a number of their own (``y_2``), over dims of their own.
    """
    borne = {d for latent in problem.latents.values() for d in latent.variable.dims}
    group: Group = {}
    grown: dict[str, Array] = {}
    for o in problem.observations:
        dims, values = o.factor.plates + o.factor.event, o.values
        if o.name not in group:
            group[o.name] = (dims, values)
            continue
        free = [i for i, d in enumerate(o.factor.plates) if d not in borne]
        if free:
            joined = np.concatenate([group[o.name][1], values], axis=free[0])
            group[o.name] = (dims, joined)
            grown[dims[free[0]]] = np.arange(joined.shape[free[0]])
        else:
            number = next(k for k in range(2, len(problem.observations) + 2) if f"{o.name}_{k}" not in group)
            own = tuple(d if values.shape[i] == problem.sizes.get(d) else f"{d}_{number}" for i, d in enumerate(dims))
            group[f"{o.name}_{number}"] = (own, values)
    return group, grown


def with_dims(problem: Problem, values: Mapping[str, Array]) -> Group:
    """Return draws of latents with their dims."""
    return {n: (problem.latents[n].variable.dims, v) for n, v in values.items()}
