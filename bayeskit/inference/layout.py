"""How the unknowns of a Gaussian block are laid out: which are wide, which are dense.

A layout is sound where no row touches two groups; that is checked on the entries of the designs themselves. Of the
sound ones, the one whose systems cost least is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bayeskit.model.problem import Latent
from bayeskit.statistics.design import Design, Triplets
from bayeskit.statistics.gram import Layout

Array = np.ndarray


def choose_layout(
    latents: Sequence[Latent], columns: Mapping[str, int], designs: Sequence[tuple[Design, Triplets | None]]
) -> Layout:
    """Return the cheapest sound layout; all dense where a design depends on other latents."""
    total = sum(latent.size for latent in latents)
    best = _dense(total)
    if any(entries is None for _, entries in designs):
        return best
    cost = float(total) ** 3
    for dims in _candidates(latents):
        layout = _lay_out(latents, columns, dims, total)
        price = layout.groups * layout.width**2 * (layout.width + layout.rest + 1) + float(layout.rest) ** 3
        if price < cost and _is_sound(layout, designs, total):
            best, cost = layout, price
    return best


def _dense(total: int) -> Layout:
    return Layout(np.zeros((0, 0), dtype=np.int64), np.arange(total))


def _candidates(latents: Sequence[Latent]) -> Iterator[tuple[str, ...]]:
    """Yield tuples of dims along which a block may fall apart: each latent's own, and its single dims."""
    seen: set[tuple[str, ...]] = set()
    for latent in latents:
        dims = latent.variable.dims
        for candidate in [dims, latent.prior.plates, *((d,) for d in dims)]:
            if candidate and set(candidate) <= set(dims) and candidate not in seen:
                seen.add(candidate)
                yield candidate


def _lay_out(latents: Sequence[Latent], columns: Mapping[str, int], dims: tuple[str, ...], total: int) -> Layout:
    """Return the layout with groups along some dims: latents that bear all of them are wide."""
    blocks = []
    for latent in latents:
        own = latent.variable.dims
        if not set(dims) <= set(own):
            continue
        index = columns[latent.name] + np.arange(latent.size).reshape(latent.shape)
        order = [own.index(d) for d in dims] + [i for i, d in enumerate(own) if d not in dims]
        groups = int(np.prod([latent.shape[own.index(d)] for d in dims]))
        blocks.append(index.transpose(order).reshape(groups, -1))
    wide = np.concatenate(blocks, axis=1)
    dense = np.setdiff1d(np.arange(total), wide.ravel())
    return Layout(wide, dense)


def group_of(layout: Layout, total: int) -> Array:
    """Return the group of every column; -1 for the dense ones."""
    group = np.full(total, -1)
    group[layout.wide] = np.arange(layout.groups)[:, None]
    return group


def _is_sound(layout: Layout, designs: Sequence[tuple[Design, Triplets | None]], total: int) -> bool:
    group = group_of(layout, total)
    for design, entries in designs:
        assert entries is not None
        touched = group[entries.columns[0]]
        wide = touched >= 0
        plate = entries.rows[wide] // design.shape[1]  # the entries of one event stay together
        low = np.full(design.shape[0], layout.groups)
        high = np.full(design.shape[0], -1)
        np.minimum.at(low, plate, touched[wide])
        np.maximum.at(high, plate, touched[wide])
        if np.any((high >= 0) & (low != high)):
            return False
    return True
