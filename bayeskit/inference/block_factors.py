"""The factors of a Gaussian block, each with its rows: numbers laid along the arrow, or vectors entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.model.problem import Factor
from bayeskit.statistics.design import Design, KnownTerm
from bayeskit.statistics.gram import Layout, Rows
from bayeskit.statistics.laid import LaidRows
from bayeskit.statistics.precision import Precision
from bayeskit.statistics.row_sums import Pilot, RowSums, squares, triangle
from bayeskit.statistics.vector_rows import VectorRows

Array = np.ndarray
Environment = Mapping[str, Array]
SAMPLE = 8_192  # rows of a first fit, which centres all of them


@dataclass(eq=False)
class BlockFactor:
    """One factor of a block: its design, its precisions, and its rows or their sums where they are known.

    Attributes
    ----------
    factor, design, precision
        The term of the density, how it depends on the unknowns, and the precisions of its rows.
    layout : Layout
        How the unknowns are laid out.
    laid : LaidRows or None
        The rows of a factor of numbers; None for vectors, and where the design is not known.
    vectors : VectorRows or None
        The rows of a factor of vectors, one set per entry of the event (one in all where they are whitened).
    sums : array or None
        ``(cells, size)``, or ``(cells * d * d, size)`` for matrices; None where rows are summed anew.
    """

    factor: Factor
    design: Design
    precision: Precision
    layout: Layout
    laid: LaidRows | None = None
    vectors: VectorRows | None = None
    sums: Array | None = None

    @property
    def is_known(self) -> bool:
        """Whether its design depends on data alone."""
        return self.laid is not None or self.vectors is not None

    @property
    def entries(self) -> int:
        """How many sets of rows it has: its residuals are summed by pair of them."""
        return self.vectors.entries if self.vectors is not None else 1

    @property
    def weights(self) -> Array:
        """Known weights of the rows: those of a vector's entries are whitened into the rows."""
        return self.precision.weight

    @property
    def cells(self) -> int:
        """How many sums its residuals have: noise cells, times the pairs of entries."""
        return self.precision.cells * self.entries**2

    @property
    def every(self) -> int:
        """Every which row a first fit needs; odd, to keep step with few patterns of the rows. All of a prior's."""
        rows = self.precision.plates
        if not self.is_known or rows < 2 * SAMPLE or self.factor.value.variables & self.design.columns.keys():
            return 1
        return (rows // SAMPLE) | 1

    def sum_by_cell(self, pilot: Pilot) -> Array:
        """Return the sums of the rows about a pilot, by noise cell and pair of entries: ``(cells, size)``."""
        p = self.precision
        if self.vectors is not None:
            return self.vectors.sum_by_cell(pilot)
        return RowSums(self._numbers, p.framed_weight, p.framed_cell, p.cells).sums(pilot)

    def sum_all(self, pilot: Pilot, every: int = 1) -> Array:
        """Return the sums of all rows, noise cells not told apart: ``(1, size)``."""
        if self.vectors is not None:
            return self.vectors.sum_all(pilot, every)
        return RowSums(self._numbers, self.precision.framed_weight, self._one_cell, 1).sums(pilot, every)

    def sum_weighted(self, value: Array, pilot: Pilot) -> Array:
        """Return the sums of the rows at one chain's precisions: for factors too large for a table."""
        p = self.precision
        if self.vectors is not None:
            return self.vectors.sum_weighted(value, pilot)
        return RowSums(self._numbers, p.framed_weight * value[p.framed_cell], self._one_cell, 1).sums(pilot)

    def squares(self, wide: Array, dense: Array) -> Array:
        """Return the sums of squared residuals by noise cell and pair of entries: ``(batch, cells)``."""
        p = self.precision
        if self.vectors is not None:
            return self.vectors.squares(wide, dense)
        return squares(self._numbers, p.framed_weight, p.framed_cell, p.cells, wide, dense)

    def triangle(self, pilot: Pilot, R: Array) -> Array:
        """Merge the weighted rows into the triangular factor of all dense unknowns and v."""
        if self.vectors is not None:
            return self.vectors.triangle(pilot, R)
        return triangle(self._numbers, self.precision.framed_weight, pilot, R)

    @property
    def touches_groups(self) -> bool:
        """Whether its rows touch wide unknowns."""
        rows = self.laid if self.vectors is None else self.vectors.laid
        return rows is None or rows.group is not None

    def rows_by_group(self) -> Array:
        """Return how many rows of numbers touch each group; without end for vectors, whose entries hang together."""
        groups = self.layout.groups
        if self.laid is None or self.laid.group is None:
            return np.full(groups, np.inf if self.touches_groups else 0.0)
        group = np.broadcast_to(self.laid.group, self.laid.shape)
        return np.bincount(group[np.broadcast_to(self.precision.framed_weight, self.laid.shape) > 0], minlength=groups)

    def rows(self, pilot: Pilot) -> list[Rows]:
        """Return the rows as dense arrays about a pilot, one set per entry."""
        return [self._numbers.written_out(pilot)] if self.vectors is None else self.vectors.written_out(pilot)

    @property
    def _numbers(self) -> LaidRows:
        assert self.laid is not None
        return self.laid

    @property
    def _one_cell(self) -> Array:
        return np.zeros((1,) * len(self.factor.shape), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Summary:
    """What a block keeps of its rows.

    Attributes
    ----------
    pilot : array (columns,)
        The unknowns that rows are centred about.
    table, loose : list of BlockFactor
        Factors that are summed once, and those whose rows move with other latents (or are too many cells to tabulate).
    moving : list of BlockFactor
        Those in ``table`` whose precision is latent, and ``sums`` their noise cells one after the other.
    fixed : array (size,)
        The sums of the others.
    """

    pilot: Array
    table: list[BlockFactor]
    loose: list[BlockFactor]
    moving: list[BlockFactor]
    fixed: Array
    sums: Array


def read_factor(
    factor: Factor, design: Design, terms: list[KnownTerm] | None, layout: Layout, known: set[str], env: Environment
) -> BlockFactor:
    """Return a factor with its rows, where its design is known."""
    bf = BlockFactor(factor, design, Precision(factor, known, env), layout)
    p = bf.precision
    if p.root is not None:  # whitened, every entry of a vector is a row of its own
        p.weight, p.cell = (np.repeat(a, design.shape[1]) for a in (p.weight, p.cell))
    if terms is None:
        return bf
    v = design.framed_offset(env) if design.known_offset else np.zeros((1,) * len(design.frame))
    if p.multiplicity is not None:  # what never occurs may be anything
        v = np.where(p.multiplicity.reshape(factor.shape + (1,) * len(factor.event)) > 0, v, 0.0)
    laid = LaidRows(design, layout, terms, v)
    if factor.event:
        bf.vectors = VectorRows(laid, p)
    else:
        bf.laid = laid
    return bf
