"""``pull_back``: sum what children contribute over the dims the parent lacks, through an index where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Array = np.ndarray


def pull_back(
    contribution: Array,
    frame: Sequence[str],
    positions: Mapping[str, str | tuple[Array, tuple[str, ...]]],
    sizes: Mapping[str, int],
    keep: int = 0,
    join: np.ufunc = np.add,
) -> Array:
    """Sum a contribution ``(batch, *frame, *kept)`` to the elements of the parent it belongs to.

    Parameters
    ----------
    contribution : array
        What each cell of the child contributes.
    frame : sequence of str
        Names of its axes after the batch.
    positions : mapping
        For each dim of the parent, in its order: the axis of the frame that runs along it, or codes that point into
        it, as an array ``(batch or 1, *dims)`` with those dims of the frame.
    sizes : mapping
        Sizes of the parent's dims.
    keep : int
        How many trailing axes are carried along.
    join : ufunc
        ``np.add``, or ``np.maximum`` where the largest counts and not the sum.

    Returns
    -------
    array
        ``(batch, *parent dims, *kept)``.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 1, 0]])
    >>> pull_back(np.ones((1, 3)), ["obs"], {"group": (codes, ("obs",))}, {"group": 2})
    array([[2., 1.]])
    """
    frame = tuple(frame)
    used = {p for p in positions.values() if isinstance(p, str)}
    used |= {d for p in positions.values() if not isinstance(p, str) for d in p[1]}
    unused = tuple(1 + i for i, d in enumerate(frame) if d not in used)
    if unused:
        contribution = join.reduce(contribution, axis=unused, initial=_NOTHING[join])
        frame = tuple(d for d in frame if d in used)
    axes = [p for p in positions.values() if isinstance(p, str)]
    if len(axes) == len(positions):
        kept = range(1 + len(frame), contribution.ndim)
        return contribution.transpose([0, *(1 + frame.index(p) for p in axes), *kept])
    return _scatter(contribution, frame, positions, sizes, keep, join)


_NOTHING: dict[np.ufunc, float] = {np.add: 0.0, np.maximum: -np.inf}  # what an element without children is left with


def _scatter(
    contribution: Array,
    frame: tuple[str, ...],
    positions: Mapping[str, str | tuple[Array, tuple[str, ...]]],
    sizes: Mapping[str, int],
    keep: int,
    join: np.ufunc,
) -> Array:
    shape = tuple(sizes[d] for d in positions)
    kept = contribution.shape[contribution.ndim - keep :]
    extents = contribution.shape[1 : 1 + len(frame)]
    flat: Array | int = 0
    for dim, position in positions.items():
        flat = flat * sizes[dim] + along_frame(position, frame, extents)
    flat = np.asarray(flat)
    batch = max(contribution.shape[0], flat.shape[0])
    total = int(np.prod(shape, dtype=int))
    flat = np.broadcast_to(flat, (flat.shape[0], *extents)).reshape(flat.shape[0], -1)
    cells = (np.arange(batch)[:, None] * total + flat).ravel()
    weights = np.broadcast_to(contribution, (batch, *contribution.shape[1:])).reshape(cells.size, -1)
    sums = [_joined(cells, w, batch * total, join) for w in weights.T]
    return np.stack(sums, axis=-1).reshape(batch, *shape, *kept)


def _joined(cells: Array, values: Array, size: int, join: np.ufunc) -> Array:
    if join is np.add:
        return np.bincount(cells, weights=values, minlength=size)
    out = np.full(size, _NOTHING[join])
    join.at(out, cells, values)
    return out


def along_frame(
    position: str | tuple[Array, tuple[str, ...]], frame: tuple[str, ...], extents: tuple[int, ...]
) -> Array:
    """Codes into one dim, laid along the frame."""
    if isinstance(position, str):
        shape = [1] * (1 + len(frame))
        shape[1 + frame.index(position)] = -1
        return np.arange(extents[frame.index(position)]).reshape(shape)
    codes, dims = position
    order = [d for d in frame if d in dims]
    codes = codes.transpose([0, *(1 + dims.index(d) for d in order)])
    return codes[(slice(None), *(slice(None) if d in dims else None for d in frame))]
