"""The labelled layer: from numbers and DataArrays to DataArrays, around the kernels of a family.

Parameters are aligned by the names of their dims into arrays of shape ``(*plates, *event)``; the kernel answers; the
answer is dressed with dims and coordinates. Nothing here loops over cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.domains import Array
from bayeskit.distributions.merging import merge_equal
from bayeskit.distributions.parameters import EVENT_DIMS, event_dims, is_dataarray, is_expression
from bayeskit.errors import ParameterError, RefusedError

if TYPE_CHECKING:
    from xarray import DataArray

    from bayeskit.distributions.base import Distribution

__all__ = ["Aligned", "aligned", "at", "dims_of", "eti", "hdi", "moment", "quantile", "sample"]

_LARGE = 1000  # cells from which it is asked whether some are alike


@dataclass(frozen=True)
class Aligned:
    """Parameters (and perhaps a value) as arrays over common plates.

    Attributes
    ----------
    plates, event : tuple of str
        Dims that do not, and that do belong to one value.
    shape : tuple of int
        Sizes of the plates.
    arrays : list of ndarray
        One per canonical parameter, shape ``(*plates or 1, *its event axes)``.
    coords : dict
        Coordinates of the dims, and those along them.
    x : ndarray or None
        The value, shape ``(*plates or 1, *event)``.
    """

    plates: tuple[str, ...]
    event: tuple[str, ...]
    shape: tuple[int, ...]
    arrays: list[Array]
    coords: dict[Any, Any]
    x: Array | None = None

    def dress(self, values: Any, *, event: bool, new: dict[str, Any] | None = None, lead: str = "") -> DataArray:
        """Broadcast an answer to all plates and name its axes; `lead` names a leading axis, `new` the last ones."""
        from xarray import DataArray

        added = new or {}
        values = np.asarray(values)
        axes = (len(self.event) if event else 0) + len(added)
        tail = values.shape[values.ndim - axes :] if axes else ()
        head = values.shape[:1] if lead else ()
        values = np.array(np.broadcast_to(values, (*head, *self.shape, *tail)))
        dims = (*((lead,) if lead else ()), *self.plates, *(self.event if event else ()), *added)
        coords = {name: coord for name, coord in self.coords.items() if set(coord.dims) <= set(dims)}
        coords.update({name: (name, labels) for name, labels in added.items() if labels is not None})
        return DataArray(values, dims=dims, coords=coords)


def dims_of(distribution: Distribution) -> tuple[str, ...]:
    """Dims of a distribution: those of its parameters in order of appearance, the ones of an event last."""
    event = _event_of(distribution)
    plates: dict[str, None] = {}
    for parameter in distribution.parameters:
        plates.update(dict.fromkeys(_plates_of(distribution.canonical[parameter.name], parameter.event_ndim)))
    return (*plates, *event)


def _plates_of(value: Any, event_ndim: int) -> tuple[str, ...]:
    if not (is_dataarray(value) or is_expression(value)):
        return ()
    return tuple(value.dims)[: len(value.dims) - event_ndim]


def _event_of(distribution: Distribution) -> tuple[str, ...]:
    """Names of the event dims: from the first parameter that names them, else "event" and "event_"."""
    names = EVENT_DIMS[: distribution.event_ndim]
    if distribution.event_ndim == 0:
        return names
    along = list(names)
    for parameter in distribution.parameters:
        found = event_dims(distribution.canonical[parameter.name], parameter.event_ndim)[: distribution.event_ndim]
        if parameter.axis is not None and found and found != EVENT_DIMS[: len(found)]:
            along[parameter.axis] = found[0]
        elif parameter.axis is None and len(found) == distribution.event_ndim and found != names:
            return found
    return tuple(along)


def aligned(distribution: Distribution, x: Any = None) -> Aligned:
    """Align the parameters of a distribution, and perhaps a labelled value, by the names of their dims.

    Raises
    ------
    RefusedError
        Where a parameter depends on a model variable.
    ParameterError
        Where two DataArrays disagree about the labels or the size of a dim.
    """
    event = _event_of(distribution)
    values, ndims = [], []
    for parameter in distribution.parameters:
        value = distribution.canonical[parameter.name]
        if is_expression(value):
            raise RefusedError(
                f"{distribution} depends on the model variable(s) in '{value}', so it has no numbers to answer with. "
                "Condition the model first, and ask the posterior."
            )
        values.append(value)
        ndims.append(parameter.event_ndim)
    if x is not None:
        if is_dataarray(x) and set(event) <= set(x.dims):
            x = x.transpose(..., *event)
        values.append(x)
        ndims.append(distribution.event_ndim)
    sizes, coords = _sizes_and_coords(values, distribution)
    plates: dict[str, None] = {}
    for value, ndim in zip(values, ndims, strict=True):
        plates.update(dict.fromkeys(_plates_of(value, ndim)))
    names = tuple(plates)
    arrays = [_axes(value, ndim, names) for value, ndim in zip(values, ndims, strict=True)]
    last = arrays.pop() if x is not None else None
    return Aligned(names, event, tuple(sizes[name] for name in names), arrays, coords, last)


def _sizes_and_coords(values: list[Any], distribution: Distribution) -> tuple[dict[str, int], dict[Any, Any]]:
    labelled = [value for value in values if is_dataarray(value)]
    if len(labelled) > 1:
        import xarray as xr

        try:
            xr.align(*labelled, join="exact", copy=False)
        except ValueError as error:
            dims = ", ".join(str(value.dims) for value in labelled)
            raise ParameterError(
                f"Parameters of {distribution.family} must agree in the labels and sizes of the dims they share. Got "
                f"dims {dims} that do not. Select or reindex one of them ({str(error).splitlines()[0]})."
            ) from error
    sizes: dict[str, int] = {}
    coords: dict[Any, Any] = {}
    for value in labelled:
        sizes.update(value.sizes)
        coords = {**dict(value.coords), **coords}
    return sizes, coords


def _axes(value: Any, event_ndim: int, plates: tuple[str, ...]) -> Array:
    """One value as an array of shape ``(*plates or 1, *event)``."""
    if not is_dataarray(value):
        array = np.asarray(value, dtype=float)
        missing = len(plates) + event_ndim - array.ndim
        if array.ndim and len(plates):  # an unlabelled event
            return array.reshape((1,) * len(plates) + (1,) * (event_ndim - array.ndim) + array.shape)
        return array.reshape((1,) * max(missing, 0) + array.shape)
    own = value.dims[: len(value.dims) - event_ndim]
    event = value.dims[len(own) :]
    ordered = value.transpose(*(dim for dim in plates if dim in own), *event)
    shape = [value.sizes[dim] if dim in own else 1 for dim in plates]
    return np.asarray(ordered.values, dtype=float).reshape((*shape, *(value.sizes[dim] for dim in event)))


def moment(distribution: Distribution, kernel: str) -> DataArray:
    """Answer of a kernel that takes the parameters alone, such as ``_mean``."""
    frame = aligned(distribution)
    with np.errstate(all="ignore"):
        values = getattr(distribution, kernel)(*frame.arrays)
    return frame.dress(values, event=True)


def at(distribution: Distribution, kernel: str, x: Any) -> DataArray:
    """Answer of ``_log_prob`` (joint over one event) or ``_cdf`` (elementwise) at a value.

    A DataArray is aligned by name. A bare array with the axes of one event is one value; one axis more makes the last
    dim "x".
    """
    elementwise = kernel != "_log_prob"
    many = False
    if not is_dataarray(x):
        x = np.asarray(x, dtype=float)
        many = x.ndim == distribution.event_ndim + 1
        if not many and x.ndim != distribution.event_ndim:
            raise ParameterError(
                f"The value given to {distribution.family} must have {distribution.event_ndim} axes, or one more. Got "
                f"an array of shape {x.shape}. Name its dims with an xarray.DataArray."
            )
    frame = aligned(distribution, None if many else x)
    values = frame.x
    if many:
        event = x.shape[1:]
        values = x.reshape((len(x),) + (1,) * len(frame.plates) + event)
    with np.errstate(all="ignore"):
        answer = np.asarray(getattr(distribution, kernel)(values, *frame.arrays))
    if not many:
        return frame.dress(answer, event=elementwise)
    axes = len(frame.shape) + (distribution.event_ndim if elementwise else 0)
    answer = np.broadcast_to(answer, np.broadcast_shapes(answer.shape, (len(x),) + (1,) * axes))
    labels = x if distribution.event_ndim == 0 else None
    return frame.dress(np.moveaxis(answer, 0, -1), event=elementwise, new={"x": labels})


def _probability(prob: Any, name: str, family: str) -> Array:
    q = np.asarray(prob, dtype=float)
    if q.ndim > 1 or np.any(~((q >= 0) & (q <= 1))):
        raise ParameterError(f"'{name}' of {family} must lie between 0 and 1, a number or a row. Got {prob!r}.")
    return q


def quantile(distribution: Distribution, q: Any) -> DataArray:
    """Quantiles; a row of probabilities adds the last dim "quantile"."""
    levels = _probability(q, "q", distribution.family)
    frame = aligned(distribution)
    with np.errstate(all="ignore"):
        if levels.ndim == 0:
            return frame.dress(_quantiles(distribution, frame, [levels])[0], event=True)
        axes = len(frame.plates) + distribution.event_ndim
        values = np.asarray(distribution._quantile(levels.reshape((-1,) + (1,) * axes), *frame.arrays))
    return frame.dress(np.moveaxis(values, 0, -1), event=True, new={"quantile": levels})


def eti(distribution: Distribution, prob: float) -> DataArray:
    """Interval with equal tails."""
    mass = float(_probability(prob, "prob", distribution.family))
    tail = (1 - mass) / 2
    frame = aligned(distribution)
    with np.errstate(all="ignore"):
        ends = _quantiles(distribution, frame, [np.asarray(q) for q in (tail, 1 - tail)])
    return _interval(frame, ends)


def _quantiles(distribution: Distribution, frame: Aligned, levels: list[Array]) -> list[Array]:
    """Quantiles of all cells; of a large plate those whose parameters are alike once.

    Quantiles are by far the dearest figures, and cells of counts repeat. Those of symmetric families are a line in
    the parameters, and cost less than to tell cells apart.
    """
    cells = int(np.prod(frame.shape, dtype=int))
    merged = None
    if cells > _LARGE and distribution.event_ndim == 0 and not distribution.symmetric:
        full = [np.broadcast_to(a, frame.shape).reshape(-1) if a.size > 1 else a for a in frame.arrays]
        merged = merge_equal([a for a in full if a.size > 1], cells)
    if merged is None:
        return [np.asarray(distribution._quantile(q, *frame.arrays)) for q in levels]
    few = [a[merged.first] if a.size > 1 else a.reshape(1) for a in full]
    answers = [np.broadcast_to(distribution._quantile(q, *few), merged.first.shape) for q in levels]
    return [answer[merged.group].reshape(frame.shape) for answer in answers]


def hdi(distribution: Distribution, prob: float) -> DataArray:
    """Narrowest interval that holds a probability."""
    if distribution.symmetric:
        return eti(distribution, prob)
    if distribution.event_ndim:
        raise RefusedError(
            f"{distribution.family} has no narrowest interval for each of its entries. Use eti(), or sample()."
        )
    mass = float(_probability(prob, "prob", distribution.family))
    frame = aligned(distribution)
    with np.errstate(all="ignore"):
        arrays = [np.broadcast_to(array, frame.shape).ravel() for array in frame.arrays]
        ends = distribution._narrowest(mass, arrays)
    return _interval(frame, [np.reshape(end, frame.shape) for end in ends])


def _interval(frame: Aligned, ends: Any) -> DataArray:
    values = np.stack(np.broadcast_arrays(*ends), axis=-1)
    return frame.dress(values, event=True, new={"ci_bound": ["lower", "upper"]})


def sample(distribution: Distribution, draws: int, seed: int | np.random.Generator | None) -> DataArray:
    """Independent draws along the leading dim "draw"."""
    if not distribution.is_proper:
        raise RefusedError(f"{distribution} is improper, so it cannot be drawn from. Give it proper parameters.")
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise ParameterError(f"'draws' of {distribution.family} must be a whole number, one or more. Got {draws!r}.")
    frame = aligned(distribution)
    values = distribution._sample(np.random.default_rng(seed), (int(draws), *frame.shape), *frame.arrays)
    return frame.dress(values, event=True, lead="draw").assign_coords(draw=np.arange(draws))
