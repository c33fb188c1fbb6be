"""Observations reduced to cells: rows with the same parameters, and the same value, become one, with their number.

The log density of a row depends on the data through its value and the columns in its parameters alone, so that rows in
which these are equal have equal log densities, whatever the latents are. Where a family has sufficient statistics the
values need not even be equal: rows with the same columns come down to a few with the same sums. ``Reduction`` looks at
the rows of every batch of data once; what it finds is kept with the batch, and later batches are merged with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.distributions.carrier import Carrier
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.model.problem import Factor, Observation, Problem
from bayeskit.statistics.cells import Frame, keys_of
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.moments import Moments
from bayeskit.statistics.parts import EXPOSURE, FEW, VALUE, Part, part_of
from bayeskit.statistics.rows import alike

Array = np.ndarray
Environment = Mapping[str, Array]


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
        fresh: dict[int, list[Part]] = {}
        for observation in (*waiting, *bound.observations[len(old) :]):
            part = part_of(observation, bound.env, listed=len(bound.batch_coords) > 1)
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
        instead: dict[int, tuple[Factor, ...]] = {}
        env = dict(self.bound.env)
        reduced: dict[str, tuple[int, int]] = {}
        for name, same in self._groups.items():
            for number, group in enumerate(same):
                found = group.factors(f"{name}#{number}")
                if found is not None:
                    factors, columns = found
                    env |= columns
                    rows, cells = reduced.get(name, (0, 0))
                    reduced[name] = rows + group.rows, cells + group.cells
                    instead |= dict.fromkeys(group.members, ())
                    instead[group.members[0]] = factors
        if not instead:
            return self.bound
        kept = tuple(f for old in self.bound.factors for f in instead.get(id(old), (old,)))
        return replace(self.bound, env=env, factors=kept, reduced=reduced)


# ---- batches together -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Group:
    """Batches of one kind, together.

    Attributes
    ----------
    first : Part
        One of them, to compare others with.
    whole : Part or None
        The cells of all; None where they are given up: so many differ that the rows stay rows.
    members : tuple of int
        Identities of the factors whose rows they are.
    rows : int
        How many rows these have.
    """

    first: Part
    whole: Part | None = None
    members: tuple[int, ...] = ()
    rows: int = 0

    @property
    def cells(self) -> int:
        """How many cells they are in."""
        return 0 if self.whole is None else int(np.count_nonzero(self.whole.moments.count))

    def joined(self, parts: list[Part]) -> _Group:
        """Return the group with further batches."""
        members = (*self.members, *(id(p.observation.known) for p in parts))
        rows = self.rows + sum(p.rows for p in parts)
        if self.whole is None and self.members:
            return replace(self, members=members, rows=rows)
        whole = _merged(parts if self.whole is None else [self.whole, *parts])
        count = whole.moments.count
        given_up = count.size > FEW and 2 * count.size > rows
        return replace(self, whole=None if given_up else whole, members=members, rows=rows)

    def factors(self, label: str) -> tuple[tuple[Factor, ...], dict[str, Array]] | None:
        """Return what stands for all rows, and the columns it reads; None where it would not be shorter by half."""
        return None if self.whole is None else _factors(self.whole, label, self.rows // 2)


def _are_alike(a: Part, b: Part, env: Environment) -> bool:
    """Whether the cells of two batches are of one kind: the same functions of the latents and of their columns."""
    by_cell = all(p.plates[-1] == d[0] for p in (a, b) for d in p.dims.values())
    groups = a.moments.count.shape[:-1] == b.moments.count.shape[:-1]
    if not (by_cell and groups and a.plates == b.plates and a.dims == b.dims):
        return False
    return all(alike(x, y, env) for x, y in zip(a.parameters, b.parameters, strict=True))


def _merged(parts: list[Part]) -> Part:
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


# ---- the factor of cells --------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Rows:
    """A few rows that stand for many: their value and its dims, weights, columns, and a constant term."""

    value: Array
    dims: tuple[str, ...]
    columns: Mapping[str, Array]
    weight: Array | None
    constant: float = 0.0


def _rows(part: Part) -> _Rows | None:
    """Return the rows that cells come down to; None where no finite ones do."""
    event, dim, plates = part.observation.factor.event, part.plates[-1], part.plates
    columns = dict(part.columns)
    if part.kind is None:
        value = columns.pop(VALUE)
        return _Rows(value, (dim, *event), columns, part.moments.count)
    if isinstance(part.kind, Exposed):
        value, exposure, constant = part.kind.added_up(part.moments)
        columns[EXPOSURE] = exposure
        value = value if event else value[..., 0]
        return _Rows(value.astype(np.int64), (*plates, *event), columns, None, constant)
    points, weights = part.kind.points(part.moments)
    empty = (weights == 0).reshape(weights.shape + (1,) * len(event))
    if not (np.isfinite(points) | empty).all():
        return None
    points = np.where(empty, points[0].flat[0], points)
    chosen = np.argwhere(weights.reshape(len(weights), -1, weights.shape[-1]).any(axis=1))
    cell = weights.ndim - 1
    value, weight = (
        np.moveaxis(np.moveaxis(a, cell, 1)[chosen[:, 0], chosen[:, 1]], 0, cell - 1) for a in (points, weights)
    )
    columns = {n: c.take(chosen[:, 1], axis=part.dims[n].index(dim)) for n, c in columns.items()}
    return _Rows(value, (*plates, *event), columns, weight)


def _factors(part: Part, label: str, most: int) -> tuple[tuple[Factor, ...], dict[str, Array]] | None:
    """Return the factors that stand for some cells, and the columns they read; None where they have too many rows."""
    old, dim, plates = part.observation.factor, part.plates[-1], part.plates
    rows = _rows(part)
    if rows is None or not np.isfinite(rows.constant):
        return None
    count = rows.value.shape[rows.dims.index(dim)]
    if count * int(np.prod(part.moments.count.shape[:-1], dtype=int)) > most:
        return None
    env: dict[str, Array] = {}
    named: dict[str, Expression] = {}
    for i, (name, array) in enumerate(rows.columns.items()):
        stood = part.stood_for[name]
        text = stood.name.partition("@")[0] if isinstance(stood, Variable) else f"({stood})".replace("@", "*")
        dims = part.dims.get(name, plates)
        own = Variable(f"{text}@{label}.{i}", dims, integer=stood.integer, into=getattr(stood, "into", None))
        named[name], env[own.name] = own, array[np.newaxis]
    factor = Factor(
        old.name,
        old.distribution,
        Constant(rows.value, rows.dims),
        tuple(e.substitute(named) for e in part.parameters),
        tuple((*plates, *(d for d in lay if d not in old.plates)) for lay in old.layouts),
        plates,
        old.event,
        {**old.sizes, dim: count},
        rows.weight,
    )
    if not rows.constant:
        return (factor,), env
    carrier = Factor(old.name, Carrier(), Constant(rows.constant), (), (), (), (), old.sizes)
    return (factor, carrier), env
