"""The statistics of one observed variable: a table of cells, whose rows are equal but for what is summed.

The keys of a cell are the labels of its plates (as codes), the columns in which its rows are equal and, where values
are counted, the value. Tables of the same layout are merged by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.expressions import Expression
from bayeskit.model.binding import Binding
from bayeskit.model.problem import Observation
from bayeskit.statistics.cells import Frame
from bayeskit.statistics.columns import Layout
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.rows import laid_along
from bayeskit.statistics.summaries import Kind
from bayeskit.statistics.sums import Sums, joined

Array = np.ndarray
_PIECE = 1_000_000  # rows looked at at once


@dataclass(frozen=True, eq=False)
class Table:
    """Cells and their sums.

    Attributes
    ----------
    layout : Layout
        What the columns are.
    shapes : dict
        The shape of each column beyond the rows, by the column's name, and of the value as ``""``.
    keys : array
        ``(cells, numbers)``: plates, then the columns of the layout's keys, then the value where it is counted.
    sums : Sums
        Of the entries of the linear columns and of the value's numbers.
    """

    layout: Layout
    shapes: Mapping[str, tuple[int, ...]]
    keys: Array
    sums: Sums

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.keys)

    @property
    def rows(self) -> float:
        """How many rows they stand for."""
        return float(self.sums.count.sum())

    def columns(self) -> dict[str, Array]:
        """Return the keys by name, each ``(cells, ...)``: plates by their dims, the value as ``""``."""
        found, start = {}, 0
        for name, shape in self._key_shapes():
            width = prod(shape)
            found[name] = self.keys[:, start : start + width].reshape(-1, *shape)
            start += width
        return found

    def _key_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from ((d, ()) for d in self.layout.plates)
        yield from ((c.name, self.shapes[c.name]) for c in self.layout.keys)
        if self.layout.how is None:
            yield "", self.shapes[""]

    def recoded(self, codes: Mapping[str, Array]) -> Table:
        """Return the table with labels coded anew: ``codes`` maps old codes to new ones by dim."""
        into = {d: d for d in self.layout.plates} | {c.name: c.into for c in self.layout.keys}
        into[""] = self.layout.statement.variable.into
        changed = {}
        for name, column in self.columns().items():
            dim = into[name]
            changed[name] = codes[dim][column.astype(np.int64)] if dim is not None and dim in codes else column
        flat = [c.reshape(len(c), -1) for c in changed.values()]
        return replace(self, keys=np.concatenate(flat, axis=1).astype(float) if flat else self.keys)

    def scaled(self, w: float) -> Table:
        """Return the table of rows that count ``w`` times each."""
        if w == 0:
            none = np.zeros(0, dtype=np.int64)
            return replace(self, keys=self.keys[none], sums=self.sums.among(none))
        if self.layout.merges_only and w != 1:
            raise RefusedError(
                f"The statistics of '{self.layout.name}' can only be merged, not discounted: {self.layout.merges_only}."
            )
        if self.layout.by_row and w != np.floor(w):
            raise RefusedError(
                f"The rows of '{self.layout.name}' ~ {self.layout.statement.distribution.family} must count in whole "
                f"numbers, for it has no sufficient statistics. Got the weight {w}. Leave rows out instead."
            )
        return replace(self, sums=self.sums.scaled(w))

    def must_fit(self, other: Table) -> None:
        """Refuse columns of another shape."""
        for name, shape in self.shapes.items():
            if other.shapes[name] != shape:
                raise DataError(
                    f"Statistics of '{self.layout.name}' must have columns of the same shape to be merged. Got "
                    f"{shape} and {other.shapes[name]}. Check the labels of the dims."
                )


def merged(tables: Sequence[Table]) -> Table:
    """Return tables of one layout as one."""
    first = tables[0]
    for other in tables[1:]:
        first.must_fit(other)
    keys = np.concatenate([t.keys for t in tables])
    place, key = distinct(keys)
    sums = joined([t.sums for t in tables])
    return replace(first, keys=keys[place], sums=sums.regrouped(key, len(place)))


def distinct(keys: Array) -> tuple[Array, Array]:
    """Return where each distinct row first stands, in order of the rows, and which of them every row is."""
    code = np.zeros(len(keys), dtype=np.int64)
    size = 1
    for column in keys.T:
        values, own = np.unique(column, return_inverse=True)
        if size * len(values) > 2**62:
            seen, code = np.unique(code, return_inverse=True)
            size = len(seen)
        code, size = code * len(values) + own, size * len(values)
    _, place, key = np.unique(code, return_index=True, return_inverse=True)
    return place, key


# ---- from rows ------------------------------------------------------------------------------------------------------
def table_of(binding: Binding, number: int, o: Observation, layout: Layout) -> Table:
    """Return the statistics of an observed variable in one batch of bound data."""
    local, factor = binding.batches[number], o.factor
    if o.is_missing.any():
        raise RefusedError(
            f"'{o.name}' must be observed whole to be summarised. Got {int(o.is_missing.sum())} missing entries. "
            "Leave those rows out."
        )

    def laid(e: Expression) -> Array:
        return laid_along(binding.localised(o.name, e, local), factor.plates, binding.env)[0]

    lead = len(factor.plates)
    arrays = {d: _place(i, lead, n) for i, (d, n) in enumerate(zip(factor.plates, factor.shape, strict=True))}
    arrays = {d: arrays[d] for d in layout.plates}
    arrays |= {c.name: laid(c.expression) for c in (*layout.keys, *layout.linear)}
    arrays[""] = o.values
    if layout.exposure is not None:
        arrays["#exposure"] = laid(layout.exposure)
    shapes = {n: a.shape[lead:] for n, a in arrays.items() if n not in layout.plates}
    frame = Frame(factor.shape)
    parts = []
    for piece in frame.pieces(_PIECE):
        flat = {n: [frame.flat(frame.cut(e, piece), piece) for e in _entries(a, lead)] for n, a in arrays.items()}
        parts.append(_of_piece(layout, shapes, flat))
    table = parts[0] if len(parts) == 1 else merged(parts)
    if not table.sums.is_finite:
        raise DataError(
            f"The values of '{o.name}' and its columns must have sums that a float can hold. Got numbers too large. "
            "Measure them in larger units."
        )
    return table


def _place(axis: int, rank: int, size: int) -> Array:
    return np.arange(size).reshape([-1 if a == axis else 1 for a in range(rank)])


def _entries(array: Array, lead: int) -> list[Array]:
    flat = array.reshape(*array.shape[:lead], -1)
    return [flat[..., i] for i in range(flat.shape[-1])]


def _of_piece(layout: Layout, shapes: Mapping[str, tuple[int, ...]], flat: Mapping[str, list[Array]]) -> Table:
    """Return the table of some rows, whose columns are lists of entries ``(rows,)``."""
    value = [x.astype(float) for x in flat[""]]
    columns = [x for d in layout.plates for x in flat[d]] + [x for c in layout.keys for x in flat[c.name]]
    numbers: list[Array] = []
    if layout.how is None:
        columns += value
    elif isinstance(layout.how, Kind):
        linear = [x.astype(float) for c in layout.linear for x in flat[c.name]]
        numbers = [*linear, *(np.asarray(x, dtype=float) for x in layout.how.numbers(*value))]
    elif isinstance(layout.how, Exposed):
        numbers = list(layout.how.numbers(*value, flat["#exposure"][0].astype(float)))
    rows = len(value[0])
    keys = np.stack(columns, axis=1) + 0.0 if columns else np.zeros((rows, 0))  # -0.0 is 0.0
    place, key = distinct(keys)
    with np.errstate(all="ignore"):
        sums = Sums.of_rows(key, len(place), numbers, squared=layout.squared)
    return Table(layout, shapes, keys[place], sums)
