"""Factors of a Gaussian block that cannot be summed once: designs or offsets that other latents move.

The sums of all chains are formed together, from rows evaluated at the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeskit.inference.block import BlockFactor, GaussianBlock

Array = np.ndarray
Environment = Mapping[str, Array]


def loose_system(block: GaussianBlock, bf: BlockFactor, env: Environment) -> Array:
    """Return the summed system of one factor at the state, for every chain: ``(batch, size)``."""
    if not bf.is_known:
        return _moving_design(block, bf, env)
    return _moving_offset(block, bf, env)


def _weighted(bf: BlockFactor, rows: Array, env: Environment) -> Array:
    """Return precision times rows ``(batch, n, entries, columns)``."""
    values = bf.precision.values(env)
    if bf.precision.kind == "matrix":
        weighted = (values if bf.precision.cells == 1 else values[:, bf.precision.cell]) @ rows
        return weighted if bf.precision.multiplicity is None else bf.weights[:, None, None] * weighted
    weight = values[:, bf.precision.cell] * bf.weights
    return weight[..., None, None] * rows


def _moving_design(block: GaussianBlock, bf: BlockFactor, env: Environment) -> Array:
    """Sum ``[J, v]' Lambda [J, v]``, with the design J of every chain dense."""
    design = bf.design
    n, d = design.shape
    offset, entries = design.offset(env), design.triplets(env)
    batch = max(len(offset), len(entries.values), len(entries.columns))
    columns = np.broadcast_to(entries.columns, (batch, entries.columns.shape[1]))
    values = np.broadcast_to(entries.values, columns.shape)
    width = block.total + 1
    flat = (np.arange(batch)[:, None] * (n * d) + entries.rows) * width + columns
    rows = np.bincount(flat.ravel(), values.ravel(), batch * n * d * width).reshape(batch, n, d, width)
    rows[..., -1] = offset.reshape(len(offset), n, d) - rows[..., :-1] @ block.pilot
    return _outer_sums(bf, rows, env)


def _outer_sums(bf: BlockFactor, rows: Array, env: Environment) -> Array:
    if bf.precision.root is not None:
        rows = bf.precision.root @ rows
        rows = rows.reshape(len(rows), -1, 1, rows.shape[-1])  # whitened: every entry is a row of its own
    weighted = _weighted(bf, rows, env)
    batch, width = len(weighted), rows.shape[-1]
    left = rows.reshape(len(rows), -1, width).swapaxes(1, 2)
    return (left @ weighted.reshape(batch, -1, width)).reshape(batch, -1)


def _moving_offset(block: GaussianBlock, bf: BlockFactor, env: Environment) -> Array:
    """Sum a known design by cell if it is tabulated, and put the moving right-hand side in its place."""
    layout, r = block.layout, block.layout.rest
    n, d = bf.design.shape
    offset = bf.design.offset(env) if not bf.design.known_offset else np.zeros((1, n * d))
    v = offset.reshape(len(offset), n, d)
    if bf.precision.root is not None:
        v = (bf.precision.root @ v[..., None]).reshape(len(v), -1, 1)
    sets = block.rows_of(bf)
    v = v + np.stack([rows.v for rows in sets], axis=-1)
    pulled = _weighted(bf, v[..., None], env)[..., 0]
    batch = len(pulled)
    flat = _design_sums(block, bf, env, batch)
    _, B, E = layout.augmented(flat)
    h = sum(pulled[..., i] @ rows.D for i, rows in enumerate(sets))
    E[:, :r, r], E[:, r, :r] = h, h
    E[:, r, r] = (pulled * v).reshape(batch, -1).sum(axis=1)
    for j in range(layout.width):
        each = sum(pulled[..., i] * rows.W[:, j] for i, rows in enumerate(sets))
        key = np.arange(batch)[:, None] * layout.groups + sets[0].group
        B[..., j, r] = np.bincount(key.ravel(), np.ravel(each), batch * layout.groups).reshape(batch, -1)
    return flat


def _design_sums(block: GaussianBlock, bf: BlockFactor, env: Environment, batch: int) -> Array:
    """Return the sums of the design alone, ``(batch, size)``: from the table, or row by row where it is too large."""
    values = bf.precision.values(env)
    if bf.sums is not None:
        flat = values.reshape(len(values), -1) @ bf.sums
    else:
        flat = np.concatenate([block.sums_of(bf, value) for value in values])
    return flat if len(flat) == batch else np.repeat(flat, batch, axis=0)
