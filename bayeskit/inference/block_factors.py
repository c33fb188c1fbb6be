"""The factors of a Gaussian block, each with its rows: numbers laid along the arrow, or vectors entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bayeskit.model.problem import Factor
from bayeskit.statistics.design import Design, KnownTerm, Triplets
from bayeskit.statistics.gram import Layout, Rows, cross_sums
from bayeskit.statistics.laid import LaidRows
from bayeskit.statistics.precision import Precision
from bayeskit.statistics.row_sums import Pilot, RowSums, squares, triangle

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
    vectors : list of Rows
        The rows of a factor of vectors, one set per entry of the event (one in all where they are whitened).
    sums : array or None
        ``(cells, size)``, or ``(cells * d * d, size)`` for matrices; None where rows are summed anew.
    """

    factor: Factor
    design: Design
    precision: Precision
    layout: Layout
    laid: LaidRows | None = None
    vectors: list[Rows] = field(default_factory=list)
    sums: Array | None = None

    @property
    def is_known(self) -> bool:
        """Whether its design depends on data alone."""
        return self.laid is not None or bool(self.vectors)

    @property
    def entries(self) -> int:
        """How many sets of rows it has: its residuals are summed by pair of them."""
        return 1 if self.laid is not None else len(self.vectors)

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
        if self.laid is None or self.laid.rows < 2 * SAMPLE or self.factor.value.variables & self.design.columns.keys():
            return 1
        return (self.laid.rows // SAMPLE) | 1

    def sum_by_cell(self, pilot: Pilot) -> Array:
        """Return the sums of the rows about a pilot, by noise cell and pair of entries: ``(cells, size)``."""
        p = self.precision
        if self.laid is not None:
            return RowSums(self.laid, p.framed_weight, p.framed_cell, p.cells).sums(pilot)
        rows = self.rows(pilot)
        pairs = np.asarray([[cross_sums(self.layout, a, b, p.weight, p.cell, p.cells) for b in rows] for a in rows])
        pairs = 0.5 * (pairs + pairs.swapaxes(0, 1))  # so that each pair gives its own sum of products of residuals
        return pairs.transpose(2, 0, 1, 3).reshape(-1, self.layout.size)

    def sum_all(self, pilot: Pilot, every: int = 1) -> Array:
        """Return the sums of all rows, noise cells not told apart: ``(1, size)``."""
        p, one = self.precision, np.zeros((1,) * len(self.factor.shape), dtype=np.int64)
        if self.laid is not None:
            return RowSums(self.laid, p.framed_weight, one, 1).sums(pilot, every)
        none = np.zeros_like(p.cell)
        return np.asarray(sum(cross_sums(self.layout, rows, rows, p.weight, none, 1) for rows in self.rows(pilot)))

    def sum_weighted(self, value: Array, pilot: Pilot) -> Array:
        """Return the sums of the rows at one chain's precisions: for factors too large for a table."""
        p = self.precision
        if self.laid is not None:
            one = np.zeros((1,) * len(self.factor.shape), dtype=np.int64)
            return RowSums(self.laid, p.framed_weight * value[p.framed_cell], one, 1).sums(pilot)
        rows, none = self.rows(pilot), np.zeros_like(p.cell)
        if p.kind == "scalar":
            return cross_sums(self.layout, rows[0], rows[0], p.weight * value[p.cell], none, 1)
        pairs = [
            cross_sums(self.layout, a, b, p.weight * value[p.cell, i, j], none, 1)
            for i, a in enumerate(rows)
            for j, b in enumerate(rows)
        ]
        return np.asarray(sum(pairs))

    def squares(self, wide: Array, dense: Array) -> Array:
        """Return the sums of squared residuals by noise cell and pair of entries: ``(batch, cells)``."""
        p = self.precision
        if self.laid is not None:
            return squares(self.laid, p.framed_weight, p.framed_cell, p.cells, wide, dense)
        e = [rows.residual(wide, dense) for rows in self.vectors]
        result = np.empty((len(dense), self.cells))
        for c in range(len(dense)):
            pairs = [np.bincount(p.cell, p.weight * a[c] * b[c], p.cells) for a in e for b in e]
            result[c] = np.stack(pairs, axis=1).ravel()
        return result

    def triangle(self, pilot: Pilot, R: Array) -> Array:
        """Merge the weighted rows into the triangular factor of all dense unknowns and v."""
        if self.laid is not None:
            return triangle(self.laid, self.precision.framed_weight, pilot, R)
        root = np.sqrt(self.weights)[:, None]
        for rows in self.rows(pilot):
            R = np.linalg.qr(np.concatenate([R, np.column_stack([rows.D, rows.v]) * root]), mode="r")
        return R

    def rows(self, pilot: Pilot) -> list[Rows]:
        """Return the rows as dense arrays about a pilot, one set per entry."""
        if self.laid is not None:
            return [self.laid.written_out(pilot)]
        if pilot is None:
            return self.vectors
        wide, dense = pilot
        return [Rows(r.group, r.W, r.D, r.residual(wide[None], dense[None])[0]) for r in self.vectors]


def read_factor(
    factor: Factor, design: Design, terms: list[KnownTerm] | None, layout: Layout, known: set[str], env: Environment
) -> BlockFactor:
    """Return a factor with its rows, where its design is known."""
    bf = BlockFactor(factor, design, Precision(factor, known, env), layout)
    p = bf.precision
    if p.root is not None:  # whitened, every entry of a vector is a row of its own, with weight one
        p.weight = np.repeat(p.weight, design.shape[1])
        p.cell = np.zeros_like(p.weight, dtype=np.int64)
    if terms is None:
        return bf
    if not factor.event:
        v = design.framed_offset(env) if design.known_offset else np.zeros((1,) * len(factor.shape))
        if p.multiplicity is not None:
            v = np.where(p.multiplicity > 0, v, 0.0)  # what never occurs may be anything
        bf.laid = LaidRows(design, layout, terms, v)
        return bf
    bf.vectors = _vectors(design, design.triplets(env), layout, env)
    if p.root is not None:
        bf.vectors = [_whitened(bf.vectors, p.root)]
    return bf


def _vectors(design: Design, entries: Triplets, layout: Layout, env: Environment) -> list[Rows]:
    """Lay a known design along the arrow: one set of rows per entry of the event."""
    n, d = design.shape
    group_of, place_of = layout.lookup
    v = design.offset(env)[0].reshape(n, d) if design.known_offset else np.zeros((n, d))
    column, value = entries.columns[0], entries.values[0]
    wide = group_of[column] >= 0
    W, D = np.zeros((n * d, layout.width)), np.zeros((n * d, layout.rest))
    _add_at(W, entries.rows[wide], place_of[column[wide]], value[wide])
    _add_at(D, entries.rows[~wide], place_of[column[~wide]], value[~wide])
    group = np.zeros(n, dtype=np.int64)
    group[entries.rows[wide] // d] = group_of[column[wide]]
    return [Rows(group, W[i::d], D[i::d], v[:, i]) for i in range(d)]


def _add_at(target: Array, rows: Array, columns: Array, values: Array) -> None:
    """Add entries to a matrix; entries at one place sum up."""
    if target.size:
        flat = rows * target.shape[1] + columns
        target += np.bincount(flat, values, target.size).reshape(target.shape)


def _whitened(rows: list[Rows], root: Array) -> Rows:
    """Return the entries of vectors as independent rows of unit precision: ``root @ e``."""
    W, D = (np.stack([getattr(r, a) for r in rows], axis=1) for a in ("W", "D"))  # (n, d, .)
    v = np.stack([r.v for r in rows], axis=1)
    W, D = root @ W, root @ D
    v = (root @ v[..., None])[..., 0]
    n, d = v.shape
    return Rows(np.repeat(rows[0].group, d), W.reshape(n * d, W.shape[-1]), D.reshape(n * d, D.shape[-1]), v.ravel())
