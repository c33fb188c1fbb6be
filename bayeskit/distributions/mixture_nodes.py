"""The nodes of a mixture: labels for arrays that bear them, and their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayeskit.distributions.domains import Array
from bayeskit.distributions.panels import Panels
from bayeskit.distributions.parameters import is_dataarray
from bayeskit.errors import ParameterError

__all__ = ["NODE", "by_cells", "columns", "labelled_cells", "over_nodes", "read_weights"]

NODE = "mixture_node"


def over_nodes(wrap: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function that labels arrays over dims into one for arrays with the nodes of a mixture before these.

    Parameters
    ----------
    wrap : callable
        From an array (and options) to a number or a DataArray.

    Examples
    --------
    >>> over_nodes(float)(np.array([1.0, 2.0])).dims
    ('mixture_node',)
    """

    def wrap_nodes(array: Any, **options: Any) -> Any:
        from xarray import DataArray

        array = np.asarray(array)
        first = wrap(array[0], **options)
        if not is_dataarray(first):
            return DataArray(array.reshape(len(array)), dims=NODE)
        coords = {name: (coord.dims, coord.values) for name, coord in first.coords.items()}
        return DataArray(array.reshape(len(array), *first.shape), dims=(NODE, *first.dims), coords=coords)

    return wrap_nodes


def columns(weights: Array, axes: int) -> Array:
    """Weights ``(nodes, n)`` with axes of one event after them."""
    return weights.reshape(weights.shape + (1,) * axes)


def labelled_cells(values: Array, dims: tuple[str, ...], coords: dict[Any, Any]) -> Any:
    """Label an array, or return the number that it is."""
    if not dims:
        return values.item()
    from xarray import DataArray

    return DataArray(values, dims=dims, coords={n: c for n, c in coords.items() if set(c.dims) <= set(dims)})


def by_cells(array: Array, axis: int, plates: int, shape: tuple[int, ...]) -> Array:
    """Turn a parameter ``(*plates or 1, *event)`` into ``(nodes or 1, cells or 1, *event)``."""
    moved = np.moveaxis(array, axis, 0)
    own, event = moved.shape[1:plates], moved.shape[plates:]
    if any(n != 1 for n in own):
        moved, own = np.broadcast_to(moved, (len(moved), *shape, *event)), shape
    return moved.reshape(len(moved), int(np.prod(own, dtype=int)), *event)


def read_weights(weights: Any, dim: str, count: int, plates: tuple[str, ...], shape: tuple[int, ...]) -> Array:
    """Weights ``(nodes, cells or 1)`` that sum to one."""
    if isinstance(weights, Panels):
        matrix = weights.probabilities
    elif is_dataarray(weights):
        if dim not in weights.dims or not set(weights.dims) <= {dim, *plates}:
            raise ParameterError(
                f"The weights of a Mixture must have the dim '{dim}' and dims of its base. Got dims {weights.dims}."
            )
        own = [d for d in plates if d in weights.dims]
        matrix = weights.transpose(dim, *own).values
        if own:
            sizes = [weights.sizes[d] if d in own else 1 for d in plates]
            matrix = np.broadcast_to(matrix.reshape(-1, *sizes), (len(matrix), *shape))
    else:
        matrix = np.asarray(weights, dtype=float)
    matrix = np.asarray(matrix, dtype=float).reshape(len(matrix), -1)
    fits = len(matrix) == count and matrix.shape[1] in (1, int(np.prod(shape, dtype=int)))
    with np.errstate(invalid="ignore"):
        if not fits or np.any(~(matrix >= 0)) or np.any(~(matrix.sum(axis=0) > 0)):
            raise ParameterError(
                f"The weights of a Mixture must be numbers from 0 along '{dim}', of size {count}, and not all zero. "
                f"Got an array of shape {np.shape(matrix)}."
            )
    return matrix / matrix.sum(axis=0)
