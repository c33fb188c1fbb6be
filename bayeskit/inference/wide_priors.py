"""The priors of a block's wide part, apart from the rest: for scales that go to zero.

Where the sd of group effects is far below that of the data, the sum of both precisions has lost the data. The priors of
the effects are then kept apart, and eliminated by their parallel sum (``arrow.factor_under``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.conjugate.arrow import Factored, Priors, factor_under
from bayeskit.inference.loose import loose_system

if TYPE_CHECKING:
    from bayeskit.inference.block import BlockFactor, GaussianBlock

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class WidePriors:
    """Which rows say ``w = B d + b + noise``: factor, groups and places in the group; and the known parts."""

    rows: tuple[tuple[BlockFactor, Array, Array], ...]
    B: Array
    b: Array

    def factored(self, block: GaussianBlock, env: Mapping[str, Array], values: list[Array]) -> Factored:
        """Factor the block's systems with these rows kept apart; ``values`` are its latent precisions."""
        apart = {id(bf) for bf, _, _ in self.rows}
        by_factor = {id(bf): value for bf, value in zip(block.moving, values, strict=True)}
        batch = max([1, *(len(v) for v in values)])
        flat, Q = np.zeros((1, block.layout.size)), np.zeros((batch, block.layout.groups, block.layout.width))
        for bf in block.table:
            if id(bf) not in apart and bf.sums is not None:
                flat = flat + (by_factor[id(bf)] @ bf.sums if id(bf) in by_factor else bf.sums[0])
        for bf in block.loose:
            flat = flat + loose_system(block, bf, env)
        for bf, group, place in self.rows:
            value = by_factor.get(id(bf), np.ones((1, 1)))
            Q[:, group, place] = bf.weights * value[:, bf.precision.cell]
        A, B, E = block.layout.augmented(flat)
        return factor_under(Priors(self.B, self.b, Q), A, B, E)


def find_wide_priors(block: GaussianBlock) -> WidePriors | None:
    """Return the rows that are the priors of the wide unknowns, one each; None where they are of another kind."""
    layout, found = block.layout, []
    if not layout.groups:
        return None
    taken = np.zeros((layout.groups, layout.width), dtype=np.int64)
    B, b = np.zeros((*taken.shape, layout.rest)), np.zeros(taken.shape)
    for bf in block.table:
        if bf.laid is None or not bf.factor.value.variables & set(block.names):
            continue
        (rows,) = block.rows_of(bf)
        place = _places(rows.W)
        if place is None:
            continue
        np.add.at(taken, (rows.group, place), 1)
        B[rows.group, place], b[rows.group, place] = rows.D, -rows.v
        found.append((bf, rows.group, place))
    return WidePriors(tuple(found), B, b) if (taken == 1).all() else None


def _places(W: Array) -> Array | None:
    """Return which wide unknown each row is the prior of; None where a row is anything else."""
    place = np.abs(W).argmax(axis=1)
    return np.asarray(place) if np.array_equal(W, -np.eye(W.shape[1])[place]) else None
