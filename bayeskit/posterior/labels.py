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
    """Return a function that labels arrays over a latent's dims: whole, per event, or one matrix per event.

    The matrix is along the last dim, or along one ``axis`` of an event that is a matrix itself.
    """
    latent = problem.latents[name]
    dims, shape = latent.variable.dims, latent.shape
    event = len(latent.prior.event) if latent.missing_from is None else 0

    def wrap(array: Array, *, matrix: bool = False, category: bool = False, axis: int | None = None) -> Any:
        import xarray as xr

        array = np.asarray(array)
        own, sizes = dims, shape
        if matrix:
            own, sizes = (*dims, dims[-1] + "_"), (*shape, shape[-1])
        elif axis is not None:  # a matrix along one axis of the event
            dim, size, plates = dims[axis - event], shape[axis - event], len(dims) - event
            own, sizes = (*dims[:plates], dim, dim + "_"), (*shape[:plates], size, size)
        elif category:
            layout = latent.prior.layouts[0] if latent.prior.layouts else ()
            values = layout[-1] if len(layout) > len(latent.prior.plates) else f"{name}_value"
            own, sizes = (*dims, values), (*shape, array.shape[-1])
        elif event and (array.size != int(np.prod(shape, dtype=int)) or array.shape == shape[: len(shape) - event]):
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


def constant_data(problem: Problem, batch: int | None = None) -> Group:
    """Return the data and index columns of one batch, or of all: later ones appended as observations are.

    An index that bears the name of its dim is exported as ``<name>_index``. The labels of missing cells stand beside
    them, as ``y_missing_<dim>`` over ``y_missing_cell``: as coordinates of the draws they would keep ``arviz.summary``
    from stacking variables of which only some bear them.
    """
    group: Group = {}
    batches = range(len(problem.batch_coords)) if batch is None else [batch]
    for name, column in problem.model.columns.items():
        own = f"{name}_index" if isinstance(column, IndexColumn) and column.into == name else name
        for number in batches:
            bound = f"{name}@{number}"
            if bound not in problem.env and (number == 0 or batch is not None):
                bound = name  # the same for every batch
            if bound in problem.env:
                dims = column.variable.dims
                append(problem, group, {}, own, dims, dims, problem.env[bound][0])
    if batch is None:
        for dim, labels in problem.cell_labels.items():
            group |= {f"{dim.removesuffix('_cell')}_{d}": ((dim,), values) for d, values in labels.items()}
    return group


def observed_data(problem: Problem) -> tuple[Group, dict[str, Array]]:
    """Return the observations and the labels of dims that grew."""
    group: Group = {}
    grown: dict[str, Array] = {}
    for o in problem.observations:
        append(problem, group, grown, o.name, o.factor.plates, o.factor.plates + o.factor.event, o.values)
    return group, grown


def append(
    problem: Problem,
    group: Group,
    grown: dict[str, Array],
    name: str,
    plates: tuple[str, ...],
    dims: tuple[str, ...],
    values: Array,
    lead: int = 0,
) -> None:
    """Put what belongs to one batch of an observed variable into a group.

    Later batches are appended along the first dim that no latent bears; where there is none, they stand under a number
    of their own (``y_2``), over dims of their own. ``lead`` counts the axes before the dims.
    """
    if name not in group:
        group[name] = (dims, values)
        return
    borne = {d for latent in problem.latents.values() if latent.missing_from is None for d in latent.variable.dims}
    free = [i for i, d in enumerate(plates) if d not in borne]
    first_dims, first = group[name]
    if free and first_dims == dims:
        joined = np.concatenate([first, values], axis=lead + free[0])
        group[name] = (dims, joined)
        grown[dims[free[0]]] = np.arange(joined.shape[lead + free[0]])
        return
    number = next(k for k in range(2, len(problem.observations) + 2) if f"{name}_{k}" not in group)
    own = tuple(
        d if values.shape[lead + i] == problem.sizes.get(d) and d not in grown else f"{d}_{number}"
        for i, d in enumerate(dims)
    )
    group[f"{name}_{number}"] = (own, values)


def own_dims(group: Group, coords: Mapping[str, Any]) -> Group:
    """Give a dim a name of its own where it has fewer or more entries than labels: it grew elsewhere, or lost cells."""
    fitting: Group = {}
    for name, (dims, values) in group.items():
        sizes = values.shape[values.ndim - len(dims) :]
        labels = [coords.get(d) for d in dims]
        fits = [c is None or isinstance(c, tuple) or len(c) == n for c, n in zip(labels, sizes, strict=True)]
        fitting[name] = (tuple(d if ok else f"{d}_{name}" for d, ok in zip(dims, fits, strict=True)), values)
    return fitting


def with_dims(problem: Problem, values: Mapping[str, Array]) -> Group:
    """Return draws of latents with their dims."""
    return {n: (problem.latents[n].variable.dims, v) for n, v in values.items()}
