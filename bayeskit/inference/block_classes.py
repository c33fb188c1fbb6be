"""A Gaussian block at many precisions at once: groups that are alike are eliminated once (``conjugate.arrow_classes``).

This serves blocks whose rows are all summed once. Precisions at which pivots are lost are left to the block itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.conjugate.arrow_classes import MOST_WIDE, ArrowClasses, Eliminated, GroupPriors

if TYPE_CHECKING:
    from bayeskit.inference.block import GaussianBlock
    from bayeskit.inference.block_factors import BlockFactor

Array = np.ndarray
LOG_2PI = float(np.log(2 * np.pi))
_MOST_ENTRIES = 24  # noise cells: the products of each two are tabulated
_MOST_TABLE = 5_000_000  # numbers of that table
_LOST = 1e-3  # an error of so much in a log density, or so much of it, is as good as none
_PART = 32_768  # wide unknowns drawn at once
_CHUNK = 200_000  # numbers of a batch held at once: they stay near the processor


class BlockClasses:
    """The systems of a block by classes of groups.

    Parameters
    ----------
    block : GaussianBlock
        A block without loose factors.
    classes : ArrowClasses
        Its sums, the priors of its wide part apart from them.
    rows : array of int
        Which rows of the precisions (a row of ones, then the block's own) scale the entries.
    """

    def __init__(self, block: GaussianBlock, classes: ArrowClasses, rows: Array) -> None:
        self.block, self.classes, self.rows = block, classes, rows
        # Numbers that are held, and worked out, for every entry of a batch.
        self.cost = classes.classes * classes.width**2 * (3 * classes.entries**2 + 4) + (classes.rest + 1) ** 2

    def systems(self, precisions: Array) -> Iterator[tuple[slice, Eliminated]]:
        """Yield the eliminated systems of precisions ``(cells, batch)``, a part of the batch at a time."""
        step = max(16, _CHUNK // self.cost)
        for start in range(0, precisions.shape[1], step):
            at = slice(start, start + step)
            here = precisions[:, at]
            both = np.concatenate([np.ones((1, here.shape[1])), here])
            yield at, self.classes.eliminate(both[self.rows], both)

    def log_integral(self, precisions: Array) -> tuple[Array, Array]:
        """Return the log of the integral over the block but for constants, and where to trust it: ``(batch,)``."""
        result, good = np.empty(precisions.shape[1]), np.empty(precisions.shape[1], dtype=bool)
        for at, system in self.systems(precisions):
            result[at] = -0.5 * (trusted(system.squares, system.size) + system.log_det)
            good[at] = system.is_good
        return result, good

    def draw(self, precisions: Array, rng: np.random.Generator, about: Array) -> tuple[Array, Array, Array]:
        """Return draws ``(batch, columns)`` about some columns, its log density, and which to trust."""
        layout, batch = self.block.layout, precisions.shape[1]
        x, density, good = np.empty((batch, self.block.total)), np.empty(batch), np.empty(batch, dtype=bool)
        centre, dense_centre = layout.parts(about[None])
        means = self.classes.prior_means(centre[0])
        columns = [_as_slice(layout.wide[:, i]) for i in range(layout.width)]
        with np.errstate(all="ignore"):
            for at, system in self.systems(precisions):
                zd = rng.standard_normal(system.xd.shape)
                d = self.classes.dense(system, zd)
                x[at, _as_slice(layout.dense)] = d.T + dense_centre
                squares = (zd * zd).sum(axis=0)
                step = max(1, _PART // layout.groups)
                room = np.empty((2, layout.width, min(step, len(squares)), layout.groups))
                for start in range(0, len(squares), step):
                    part = slice(start, start + step)
                    z, wide = room[:, :, : len(squares[part])]
                    for row in z:
                        rng.standard_normal(out=row)
                    squares[part] += np.vecdot(z, z).sum(axis=0)
                    self.classes.wide(system, d, z, part, means, wide)
                    here = x[at][part]
                    for i, place in enumerate(columns):
                        here[:, place] = wide[i]
                density[at] = 0.5 * (system.log_det - squares - self.block.total * LOG_2PI)
                good[at] = system.is_good
        return x, density, good


def trusted(squares: Array, size: Array) -> Array:
    """Return least sums of squares; infinity where they are lost in the rounding of what they were found from."""
    error = size * np.finfo(float).eps
    return np.where((error < _LOST) | (squares > error / _LOST), squares, np.inf)


def _as_slice(columns: Array) -> slice | Array:
    """Return columns that follow each other as a slice."""
    first = int(columns[0]) if len(columns) else 0
    last = first + len(columns)
    return slice(first, last) if np.array_equal(columns, np.arange(first, last)) else columns


def block_classes(block: GaussianBlock) -> BlockClasses | None:
    """Return the classes of a block's groups; None where it has none, or too many products of noise cells."""
    layout = block.layout
    if not layout.groups or layout.width > MOST_WIDE or not block.is_static:
        return None
    apart = {id(bf) for bf, _, _ in block.priors.rows} if block.priors is not None else set()
    known = np.zeros((2, layout.size))  # of rows that touch the groups, and of others: only the former can be fitted
    counts = np.zeros((2, layout.groups))
    flat: list[Array] = []
    rows: list[int] = []
    number: list[Array] = []
    start = 1
    place: dict[int, int] = {}
    for bf in block.table:
        assert bf.sums is not None
        moves = bf.precision.latent is not None
        place[id(bf)] = start if moves else 0
        if id(bf) not in apart:
            if moves:
                rows += range(start, start + len(bf.sums))
                flat += list(bf.sums)
                number += [bf.rows_by_group()] * len(bf.sums)
            else:
                which = 0 if bf.touches_groups else 1
                known[which] += bf.sums[0]
                counts[which] += bf.rows_by_group()
        start += len(bf.sums) if moves else 0
    for sums, count in zip(known, counts, strict=True):
        if sums.any() or not flat:
            rows, flat, number = [0, *rows], [sums, *flat], [count, *number]
    if len(rows) > _MOST_ENTRIES:
        return None
    A, B, E = layout.augmented(np.stack(flat))
    classes = ArrowClasses(A, B, E, _priors(block, place), np.stack(number))
    if classes.table_size > _MOST_TABLE:
        return None
    return BlockClasses(block, classes, np.array(rows))


def _priors(block: GaussianBlock, place: dict[int, int]) -> GroupPriors | None:
    """Return the priors of the wide part, and which of the precisions scales each."""
    priors = block.priors
    if priors is None:
        return None
    shape = block.layout.wide.shape
    entry, weight = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    bf: BlockFactor
    for bf, group, at in priors.rows:
        entry[group, at] = place[id(bf)] + (bf.precision.cell if bf.precision.latent is not None else 0)
        weight[group, at] = bf.weights
    return GroupPriors(priors.B, priors.b, entry, weight)
