"""Observations reduced to cells: rows with the same parameters, and the same value, become one, with their number.

The log density of a row depends on the data through its value and the columns in its parameters alone, so that rows in
which these are equal have equal log densities, whatever the latents are. Where a family has sufficient statistics the
values need not even be equal: rows with the same columns come down to a few with the same sums. ``reduce_rows`` looks
at the rows of every batch of data once; what it finds is kept with the batch, and later batches are merged with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.model.problem import Factor, Observation, Problem
from bayeskit.statistics.cells import Frame, distinct_cells, keys_of
from bayeskit.statistics.moments import Moments, gather
from bayeskit.statistics.rows import OnCells, alike, columns_of, identity, laid_along, row_dims
from bayeskit.statistics.summaries import KINDS

Array = np.ndarray
Environment = Mapping[str, Array]
_BY_ROW = {"StudentT", "Laplace", "MvStudentT"}  # as mixtures of normals, rows have a number each
_SMALL = 4096  # rows of a batch that are told apart even where none repeats: those of another may repeat them
_MOST_COLUMNS = 64  # numbers that make a row
_VALUE = "value"  # the name of the column that holds the values of rows which are counted


def reduce_rows(problem: Problem) -> Problem:
    """Return the problem with its rows reduced to cells: see `Reduction`."""
    return Reduction(problem).problem


class Reduction:
    """A bound problem, and the same with the rows of every observation in cells where that makes them fewer.

    Parameters
    ----------
    bound : Problem
        The problem row by row.
    before : Reduction, optional
        That of the same problem with fewer batches: what it has in cells is merged with the rows that came since.

    Attributes
    ----------
    problem : Problem
        The problem in cells. Its log joint density is the same, up to rounding, and ``observations`` are row by row.
    """

    def __init__(self, bound: Problem, before: Reduction | None = None) -> None:
        self.bound = bound
        old = () if before is None else before.bound.observations
        if not old or bound.observations[0] is not old[0]:
            before, old = None, ()
        held: dict[str, list[_Group]] = {} if before is None else before._groups
        self._groups: dict[str, list[_Group]] = {name: list(same) for name, same in held.items()}
        waiting = () if before is None else before._waiting
        self._waiting: tuple[Observation, ...] = ()  # rows that do not repeat, but may repeat those of a later batch
        fresh: dict[int, list[_Part]] = {}
        for observation in (*waiting, *bound.observations[len(old) :]):
            part = _part_of(observation, bound.env, listed=len(bound.batch_coords) > 1)
            if part is None and len(bound.batch_coords) == 1:
                self._waiting += (observation,)
            elif part is not None:
                same = self._groups.setdefault(observation.name, [])
                place = next((i for i, g in enumerate(same) if _are_alike(g.first, part, bound.env)), len(same))
                if place == len(same):
                    same.append(_Group(part))
                fresh.setdefault(id(same[place]), []).append(part)
        for same in self._groups.values():
            same[:] = [g.joined(fresh[id(g)]) if id(g) in fresh else g for g in same]
        self.problem = self._reduced()

    def _reduced(self) -> Problem:
        instead: dict[int, Factor | None] = {}
        env = dict(self.bound.env)
        for name, same in self._groups.items():
            for number, group in enumerate(same):
                found = group.factor(f"{name}#{number}")
                if found is not None:
                    factor, columns = found
                    env |= columns
                    instead |= dict.fromkeys(group.members)
                    instead[group.members[0]] = factor
        if not instead:
            return self.bound
        factors = (instead.get(id(f), f) for f in self.bound.factors)
        return replace(self.bound, env=env, factors=tuple(f for f in factors if f is not None))


@dataclass(frozen=True, eq=False)
class _Part:
    """One batch of an observation in cells.

    Attributes
    ----------
    plates : tuple of str
        The plates that latents bear, then the dim of the cells.
    parameters : tuple of Expression
        Functions of the latents and of ``columns``, which stand for the expressions ``stood_for``.
    columns : mapping
        Numbers that tell the cells apart, ``(cells, ...)`` each; among them their values, where they are counted.
    moments : Moments
        How many rows the cells have, and what their values come to.
    """

    observation: Observation
    rows: int
    plates: tuple[str, ...]
    parameters: tuple[Expression, ...]
    stood_for: Mapping[str, Expression]
    columns: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]]
    moments: Moments


# ---- one batch ------------------------------------------------------------------------------------------------------
def _part_of(o: Observation, env: Environment, *, listed: bool) -> _Part | None:
    """Return a batch of an observation in cells, or None where its rows stay rows.

    With ``listed``, a few rows are told apart even where none repeats, for they may repeat those of another batch.
    """
    factor, family = o.factor, o.factor.distribution
    counted = family.family not in KINDS
    if o.known is None or family.family in _BY_ROW or (factor.event and counted and not family.discrete):
        return None
    rows = row_dims(factor, env.keys())
    if not rows:
        return None
    found = [c for e in factor.parameters for c in columns_of(e, rows, env.keys())]
    columns = list({identity(c): c for c in found}.values())
    cells: tuple[list[Array], Moments] | None = None
    for always in (True, False) if listed else (False,):
        if cells is None and ("cells", always) not in o.kept:
            o.kept["cells", always] = _cells(o, rows, columns, env, always)
        cells = cells or o.kept["cells", always]
    if cells is None:
        return None
    numbers, moments = cells
    dim = f"{o.name}@cells"
    read: dict[str | int, tuple[Variable, Array]] = {}
    for i, (column, array) in enumerate(zip(columns, numbers[len(numbers) - len(columns) :], strict=True)):
        own = (dim, *(d for d in column.dims if d not in factor.plates))
        into = getattr(column, "into", None)
        read[identity(column)] = Variable(f"#read{i}", own, integer=column.integer, into=into), array
    rewrite = OnCells(rows, env, read)
    parameters = tuple(rewrite(e) for e in factor.parameters)
    plates = (*(p for p in factor.plates if p not in rows), dim)
    held, dims = rewrite.values, rewrite.dims
    if len(numbers) > len(columns):
        held, dims = held | {_VALUE: numbers[0]}, dims | {_VALUE: (dim, *factor.event)}
    size = int(np.prod(factor.shape, dtype=int))
    return _Part(o, size, plates, parameters, rewrite.columns, held, dims, moments)


def _cells(
    o: Observation, rows: tuple[str, ...], columns: list[Expression], env: Environment, always: bool
) -> tuple[list[Array], Moments] | None:
    """Return the distinct rows of the columns (and of the value, where rows are counted), and their moments.

    None where they are not fewer than half the rows; ``always`` returns them of a few rows all the same.
    """
    factor, partly = o.factor, o.known is not o.factor
    kind = KINDS.get(factor.distribution.family)
    arrays = [laid_along(c, factor.plates, env)[0] for c in columns]
    value = o.values
    if partly and factor.distribution.discrete:
        value = np.where(o.is_missing, 0, value).astype(np.int64)
    if kind is None:
        arrays.insert(0, value)
    lead = len(factor.plates)
    each = [a.reshape(*a.shape[:lead], -1) for a in arrays]
    numbers = [a[..., i] for a in each for i in range(a.shape[-1])]
    if len(numbers) > _MOST_COLUMNS:
        return None
    kept = tuple(i for i, p in enumerate(factor.plates) if p not in rows)
    frame = Frame(factor.shape, kept, o.is_missing if partly else None)
    if always and (frame.size > _SMALL or kept):
        return None
    if kind is None:
        ends = None if factor.event else o.kept.get("ends")
        found = distinct_cells(frame, numbers, ends=ends, always=always)
        if found is None:
            return None
        listed, moments = found.columns, Moments(found.weight)
    else:
        keys = keys_of(frame, numbers, always=always)
        if keys is None:
            return None
        entries = [value[..., i] for i in range(value.shape[-1])] if factor.event else [value]
        moments = gather(frame, keys, entries, kind.numbers, squared=kind.squared)
        present = np.flatnonzero(moments.count.reshape(-1, keys.size).any(axis=0))
        listed, moments = keys.values(present), moments.among(present)
    left = iter(listed)
    shaped = []
    for a, whole in zip(each, arrays, strict=True):
        stacked = np.stack([next(left) for _ in range(a.shape[-1])], axis=-1)
        shaped.append(stacked.reshape(len(stacked), *whole.shape[lead:]))
    return shaped, moments


# ---- batches together -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Group:
    """Batches of one kind, together.

    Attributes
    ----------
    first : _Part
        One of them, to compare others with.
    whole : _Part or None
        The cells of all; None where they are given up: so many differ that the rows stay rows.
    members : tuple of int
        Identities of the factors whose rows they are.
    rows : int
        How many rows these have.
    """

    first: _Part
    whole: _Part | None = None
    members: tuple[int, ...] = ()
    rows: int = 0

    def joined(self, parts: list[_Part]) -> _Group:
        """Return the group with further batches."""
        members = (*self.members, *(id(p.observation.known) for p in parts))
        rows = self.rows + sum(p.rows for p in parts)
        if self.whole is None and self.members:
            return replace(self, members=members, rows=rows)
        whole = _merged(parts if self.whole is None else [self.whole, *parts])
        count = whole.moments.count
        given_up = count.size > _SMALL and 2 * count.size > rows
        return replace(self, whole=None if given_up else whole, members=members, rows=rows)

    def factor(self, label: str) -> tuple[Factor, dict[str, Array]] | None:
        """Return the factor of all rows, and the columns it reads; None where it would not be shorter by half."""
        return None if self.whole is None else _factor(self.whole, label, self.rows // 2)


def _are_alike(a: _Part, b: _Part, env: Environment) -> bool:
    """Whether the cells of two batches are of one kind: the same functions of the latents and of their columns."""
    by_cell = all(p.plates[-1] == d[0] for p in (a, b) for d in p.dims.values())
    groups = a.moments.count.shape[:-1] == b.moments.count.shape[:-1]
    if not (by_cell and groups and a.plates == b.plates and a.dims == b.dims):
        return False
    return all(alike(x, y, env) for x, y in zip(a.parameters, b.parameters, strict=True))


def _merged(parts: list[_Part]) -> _Part:
    """Return batches of one kind as one: cells that are alike are put together."""
    first = parts[0]
    if len(parts) == 1:
        return first
    columns = {n: np.concatenate([p.columns[n] for p in parts]) for n in first.columns}
    moments = Moments.joined([p.moments for p in parts])
    count = moments.count.shape[-1]
    frame = Frame((count,))
    keys = keys_of(frame, [c for a in columns.values() for c in a.reshape(count, -1).T], always=True)
    if keys is not None:
        key = np.concatenate([keys.at(piece) for piece in frame.pieces()])
        present, place, key = np.unique(key, return_index=True, return_inverse=True)
        columns = {n: c[place] for n, c in columns.items()}
        moments = moments.regrouped(key, len(present))
    return replace(first, columns=columns, moments=moments)


def _factor(part: _Part, label: str, most: int) -> tuple[Factor, dict[str, Array]] | None:
    """Return the factor of some cells, and the columns it reads; None where it has more rows than it should."""
    old, dim, plates = part.observation.factor, part.plates[-1], part.plates
    columns = dict(part.columns)
    kind = KINDS.get(old.distribution.family)
    if kind is None:
        value, weight, dims = columns.pop(_VALUE), part.moments.count, (dim, *old.event)
    else:
        points, weights = kind.points(part.moments)
        empty = (weights == 0).reshape(weights.shape + (1,) * len(old.event))
        if not (np.isfinite(points) | empty).all():
            return None
        rows = np.argwhere(weights.reshape(len(weights), -1, weights.shape[-1]).any(axis=1))
        cell = weights.ndim - 1
        points = np.moveaxis(np.where(empty, points[0].flat[0], points), cell, 1)[rows[:, 0], rows[:, 1]]
        value = np.moveaxis(points, 0, cell - 1)
        weight = np.moveaxis(np.moveaxis(weights, cell, 1)[rows[:, 0], rows[:, 1]], 0, cell - 1)
        dims = (*plates, *old.event)
        columns = {n: c.take(rows[:, 1], axis=part.dims[n].index(dim)) for n, c in columns.items()}
    if weight.size > most:
        return None
    env: dict[str, Array] = {}
    named: dict[str, Expression] = {}
    for i, (name, array) in enumerate(columns.items()):
        stood = part.stood_for[name]
        text = stood.name.partition("@")[0] if isinstance(stood, Variable) else f"({stood})".replace("@", "*")
        own = Variable(f"{text}@{label}.{i}", part.dims[name], integer=stood.integer, into=getattr(stood, "into", None))
        named[name], env[own.name] = own, array[np.newaxis]
    factor = Factor(
        old.name,
        old.distribution,
        Constant(value, dims),
        tuple(e.substitute(named) for e in part.parameters),
        tuple((*plates, *(d for d in lay if d not in old.plates)) for lay in old.layouts),
        plates,
        old.event,
        {**old.sizes, dim: weight.shape[-1]},
        weight,
    )
    return factor, env
