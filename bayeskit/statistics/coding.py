"""Labels of statistics: which dims have any, those of two together, and tables coded by those of another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bayeskit.errors import DataError
from bayeskit.model.dims import latent_dims
from bayeskit.model.labels import Coords, Factorized, encode, few, found_labels, keys
from bayeskit.model.model import Model
from bayeskit.statistics.tables import Table

Array = np.ndarray


def labelled_dims(model: Model, tables: Iterable[Table]) -> set[str]:
    """Return the dims whose labels statistics keep: all but those of the rows alone."""
    dims = latent_dims(model)
    for table in tables:
        dims |= _whole_dims(table) | set(table.layout.plates)
    return dims


def _whole_dims(table: Table) -> set[str]:
    """Return the dims along which every row has all entries."""
    layout = table.layout
    into = layout.statement.variable.into
    beyond = {d for c in (*layout.keys, *layout.linear) for d in c.dims}
    return beyond | set(layout.statement.event) | ({into} if into is not None else set())


def united(model: Model, a: Coords, b: Coords) -> Coords:
    """Return the labels of both, in an order that does not depend on which comes first where they can be sorted."""
    labels = Coords(a | b)
    for dim in a.keys() & b.keys():
        if a.agree(b, dim):
            continue
        if a.is_numbered(dim) and b.is_numbered(dim):
            labels.number(dim, max(a.size(dim), b.size(dim)))
            continue
        one, two = set(keys(a[dim])), set(keys(b[dim]))
        if one <= two or two <= one:
            labels[dim] = b[dim] if one < two else a[dim]
        elif dim in model.coords:
            stated = set(keys(model.coords[dim]))
            outside = [v for v in keys(np.concatenate([a[dim], b[dim]])) if v not in stated]
            labels[dim] = found_labels([Factorized(a[dim]), Factorized(b[dim])]) if outside else model.coords[dim]
        else:
            labels[dim] = found_labels([Factorized(a[dim]), Factorized(b[dim])])
    return labels


def fitted(table: Table, own: Coords, labels: Coords) -> Table:
    """Return a table whose codes are those of other labels, which hold its own."""
    for dim in _whole_dims(table):
        if dim in own and dim in labels and not own.agree(labels, dim):
            raise DataError(
                f"Statistics of '{table.layout.name}' must have the same labels along '{dim}', over which each row has "
                f"values. Got {few(own[dim])} and {few(labels[dim])}. Give the columns along '{dim}' in one order."
            )
    coded = {*table.layout.plates, *(c.into for c in table.layout.keys if c.into is not None)}
    codes = {d: encode(d, Factorized(own[d]), labels[d]) for d in coded if not own.agree(labels, d)}
    return table.recoded(codes) if codes else table
