"""Statistics in a bound problem: each table of cells becomes a factor over a few weighted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bayeskit.distributions.carrier import Carrier
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.structure import Index
from bayeskit.model.binding import Binding
from bayeskit.model.problem import Factor, Problem
from bayeskit.statistics.columns import Layout
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.pseudo_rows import Rows, rows_of
from bayeskit.statistics.tables import Table, distinct

Array = np.ndarray
EXPOSURE = "#exposure"


def with_tables(problem: Problem, binding: Binding, tables: Mapping[str, Table]) -> Problem:
    """Return a problem with the factors of some statistics beside its own, their labels coded as the problem's."""
    env, factors = dict(problem.env), list(problem.factors)
    for table in tables.values():
        if table.cells:
            rows = rows_of(table)
            laid = _grid(table.layout, rows, binding) or _long(table.layout, rows)
            factors += _factors(table, laid, binding, env)
    return replace(problem, env=env, factors=tuple(factors))


@dataclass(frozen=True, eq=False)
class _Laid:
    """Rows as they lie: over plates of the latents and places in each, or in long form.

    Attributes
    ----------
    plates : tuple of str
        Their plates.
    columns : dict
        Numbers and their dims, by the name of the column.
    codes : dict
        In long form, where each row lies along the plates.
    value, weight : array
        Over the plates, and the event.
    """

    plates: tuple[str, ...]
    columns: Mapping[str, tuple[Array, tuple[str, ...]]]
    codes: Mapping[str, Array]
    value: Array
    weight: Array | None
    constant: float


def _cell_dim(layout: Layout) -> str:
    return f"{layout.name}@cells"


def _long(layout: Layout, rows: Rows) -> _Laid:
    """Lay rows along one dim of their own."""
    dim = _cell_dim(layout)
    columns = {n: (c, (dim,)) for n, c in rows.columns.items() if n not in layout.plates}
    codes = {d: rows.columns[d].astype(np.int64) for d in layout.plates}
    return _Laid((dim,), columns, codes, rows.value, _weight(rows.weight), rows.constant)


def _weight(weight: Array) -> Array | None:
    return None if (weight == 1.0).all() else weight


def _grid(layout: Layout, rows: Rows, binding: Binding) -> _Laid | None:
    """Lay rows along the plates of the latents; None where most places would be empty."""
    shape = tuple(binding.coords.size(d) for d in layout.plates)
    groups, count = prod(shape), len(rows.weight)
    group = np.zeros(count, dtype=np.int64)
    for d, size in zip(layout.plates, shape, strict=True):
        group = group * size + rows.columns[d].astype(np.int64)
    place, width = _places(layout, rows, group)
    if groups * width > 2 * count + 8:
        place = _running([group])
        width = int(place.max()) + 1
    if groups * width > 2 * count + 8:
        return None
    source = np.zeros((groups, width), dtype=np.int64)
    source[:, place] = np.arange(count)  # empty places read the columns of a row of another group
    source[group, place] = np.arange(count)
    weight = np.zeros((groups, width))
    weight[group, place] = rows.weight
    single = width == 1
    cell: tuple[str, ...] = () if single else (_cell_dim(layout),)
    full = shape if single else (*shape, width)
    columns = {}
    for name, column in rows.columns.items():
        if name in layout.plates:
            continue
        laid = column[source]
        if groups > 1 and (laid == laid[:1]).all():
            columns[name] = (laid[0, 0] if single else laid[0], cell)
        else:
            columns[name] = (laid.reshape((*full, *column.shape[1:])), (*layout.plates, *cell))
    value = rows.value[source].reshape((*full, *rows.value.shape[1:]))
    return _Laid((*layout.plates, *cell), columns, {}, value, _weight(weight.reshape(full)), rows.constant)


def _places(layout: Layout, rows: Rows, group: Array) -> tuple[Array, int]:
    """Return where in its group each row lies, the same for rows of equal columns, and how many places there are."""
    count = len(group)
    own = [c.reshape(count, -1) for n, c in rows.columns.items() if n not in layout.plates]
    kind = distinct(np.concatenate(own, axis=1))[1] if own else np.zeros(count, dtype=np.int64)
    first, place = distinct(np.stack([kind, _running([group, kind])], axis=1))
    return place, len(first)


def _running(keys: list[Array]) -> Array:
    """Return how many rows with equal keys stand before each row."""
    _, key = distinct(np.stack(keys, axis=1))
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    number = np.empty_like(key)
    number[order] = np.arange(len(key)) - np.searchsorted(ordered, ordered)
    return number


def _factors(table: Table, laid: _Laid, binding: Binding, env: dict[str, Array]) -> list[Factor]:
    """Return the factor of some laid rows, and add the columns it reads to an environment."""
    layout = table.layout
    statement, family = layout.statement, layout.statement.distribution
    named: dict[str, Expression] = {}
    into = {c.name: c.into for c in layout.keys}
    more = {c.name: c.dims for c in (*layout.keys, *layout.linear)}
    text = {c.name: c.text for c in (*layout.keys, *layout.linear)}
    for name, (array, dims) in laid.columns.items():
        shown = str(layout.exposure) if name == EXPOSURE else text[name]
        shown = shown if shown.isidentifier() else f"({shown})"
        is_whole = into.get(name) is not None or bool((array == np.rint(array)).all())
        array = array.astype(np.int64) if is_whole and into.get(name) is not None else array
        own = Variable(
            f"{shown}@{layout.name}#cells.{name}", (*dims, *more.get(name, ())), integer=is_whole, into=into.get(name)
        )
        named[name], env[own.name] = own, array[np.newaxis]
    codes: dict[str, Expression] = {d: Constant(c, laid.plates) for d, c in laid.codes.items()}
    parameters = [_placed(e, named, codes, binding, layout) for e in layout.parameters]
    if isinstance(layout.how, Exposed):
        place = [p.name for p in family.parameters].index(layout.how.parameter)
        total = named[EXPOSURE]
        parameters[place] = total if layout.how.parameter == "n" else total * parameters[place]
    value = laid.value.astype(np.int64) if family.discrete else laid.value
    sizes = {d: binding.coords.size(d) for d in binding.coords}
    sizes |= dict(zip(laid.plates, laid.value.shape, strict=False))
    layouts = tuple((*laid.plates, *(d for d in lay if d not in statement.plates)) for lay in statement.layouts)
    factor = Factor(
        statement.name,
        family,
        Constant(value, (*laid.plates, *statement.event)),
        tuple(parameters),
        layouts,
        laid.plates,
        statement.event,
        sizes,
        laid.weight,
    )
    if not laid.constant:
        return [factor]
    return [factor, Factor(statement.name, Carrier(), Constant(laid.constant), (), (), (), (), sizes)]


def _placed(
    e: Expression, named: Mapping[str, Expression], codes: Mapping[str, Expression], binding: Binding, layout: Layout
) -> Expression:
    """Return a parameter of a layout over laid rows: columns read, arrays and latents read where each row lies."""
    if isinstance(e, Variable) and e.name in named:
        return named[e.name]
    if isinstance(e, Variable | Constant):
        here = binding.localised(layout.name, e, binding.whole)
        picked = {d: i for d, i in codes.items() if d in here.dims}
        return Index(here, picked) if picked else here
    if isinstance(e, Index):
        own = {d: _placed(i, named, codes, binding, layout) for d, i in e.indices.items()}
        if isinstance(e.table, Variable | Constant):
            return _placed(e.table, named, {**codes, **own}, binding, layout)
        free = {d: i for d, i in codes.items() if d not in own}
        return Index(_placed(e.table, named, free, binding, layout), own)
    return e.rebuild(tuple(_placed(child, named, codes, binding, layout) for child in e.children()))
