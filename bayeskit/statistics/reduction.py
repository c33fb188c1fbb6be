"""Observations reduced to cells: rows with the same value and the same parameters become one, with their number.

The log density of a row depends on the data through its value and the columns in its parameters alone, so that rows in
which these are equal have equal log densities, whatever the latents are. ``reduce_rows`` looks at the rows of every
batch of data once; what it finds is kept with the batch, and later batches are merged with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.model.problem import Factor, Observation, Problem
from bayeskit.statistics.cells import Frame, distinct_cells, keys_of
from bayeskit.statistics.rows import OnCells, alike, columns_of, identity, laid_along, row_dims

Array = np.ndarray
Environment = Mapping[str, Array]
# Gaussian rows have sums of their own; rows of mixtures of normals have a mixing number each.
_BY_ROW = {"Normal", "LogNormal", "MvNormal", "StudentT", "Laplace", "MvStudentT"}
_SMALL = 4096  # rows of a batch that are told apart even where none repeats: those of another may repeat them
_MOST_COLUMNS = 64  # numbers that make a row


def reduce_rows(problem: Problem) -> Problem:
    """Return the problem with the rows of every observation counted instead of listed, where they repeat.

    The log joint density is the same, up to rounding. ``observations`` stay what they were, row by row.
    """
    groups: dict[str, list[list[_Part]]] = {}
    for observation in problem.observations:
        part = _part_of(observation, problem.env)
        if part is not None:
            same = groups.setdefault(observation.name, [])
            joined = next((g for g in same if _are_alike(g[0], part, problem.env)), None)
            if joined is None:
                same.append([part])
            else:
                joined.append(part)
    instead: dict[int, Factor | None] = {}
    env = dict(problem.env)
    for name, same in groups.items():
        for number, parts in enumerate(same):
            whole = _merged(parts)
            if 2 * whole.weight.size <= sum(p.rows for p in parts):
                factor, columns = _factor(whole, f"{name}#{number}")
                env |= columns
                instead |= {id(p.observation.known): None for p in parts}
                instead[id(parts[0].observation.known)] = factor
    factors = (instead.get(id(f), f) for f in problem.factors)
    return replace(problem, env=env, factors=tuple(f for f in factors if f is not None)) if instead else problem


@dataclass(frozen=True, eq=False)
class _Part:
    """One batch of an observation in cells.

    Attributes
    ----------
    plates : tuple of str
        The plates that latents bear, then the dim of the cells.
    parameters : tuple of Expression
        Functions of the latents and of ``columns``, which stand for the expressions ``stood_for``.
    value : array (cells, *event)
        The value of every cell.
    weight : array (*plates)
        How often it occurs.
    """

    observation: Observation
    rows: int
    plates: tuple[str, ...]
    parameters: tuple[Expression, ...]
    stood_for: Mapping[str, Expression]
    columns: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]]
    value: Array
    weight: Array


# ---- one batch ------------------------------------------------------------------------------------------------------
def _part_of(o: Observation, env: Environment) -> _Part | None:
    """Return a batch of an observation in cells, or None where its rows stay rows."""
    factor, family = o.factor, o.factor.distribution
    if o.known is None or family.family in _BY_ROW or (factor.event and not family.discrete):
        return None
    rows = row_dims(factor, env.keys())
    if not rows:
        return None
    found = [c for e in factor.parameters for c in columns_of(e, rows, env.keys())]
    columns = list({identity(c): c for c in found}.values())
    if "cells" not in o.kept:
        o.kept["cells"] = _count(o, rows, columns, env)
    counted: tuple[list[Array], Array] | None = o.kept["cells"]
    if counted is None:
        return None
    (value, *numbers), weight = counted
    dim = f"{o.name}@cells"
    read: dict[str | int, tuple[Variable, Array]] = {}
    for i, (column, array) in enumerate(zip(columns, numbers, strict=True)):
        own = (dim, *(d for d in column.dims if d not in factor.plates))
        into = getattr(column, "into", None)
        read[identity(column)] = Variable(f"#read{i}", own, integer=column.integer, into=into), array
    rewrite = OnCells(rows, env, read)
    parameters = tuple(rewrite(e) for e in factor.parameters)
    plates = (*(p for p in factor.plates if p not in rows), dim)
    size = int(np.prod(factor.shape, dtype=int))
    return _Part(o, size, plates, parameters, rewrite.columns, rewrite.values, rewrite.dims, value, weight)


def _count(
    o: Observation, rows: tuple[str, ...], columns: list[Expression], env: Environment
) -> tuple[list[Array], Array] | None:
    """Return the distinct rows of value and columns, each ``(cells, ...)``, and their numbers."""
    factor = o.factor
    value, partly = o.values, o.known is not factor
    if partly:
        value = np.where(o.is_missing, 0, value)
        value = value.astype(np.int64) if factor.distribution.discrete else value
    arrays = [value, *(laid_along(c, factor.plates, env)[0] for c in columns)]
    lead = len(factor.plates)
    each = [a.reshape(*a.shape[:lead], -1) for a in arrays]
    numbers = [a[..., i] for a in each for i in range(a.shape[-1])]
    if len(numbers) > _MOST_COLUMNS:
        return None
    kept = tuple(i for i, p in enumerate(factor.plates) if p not in rows)
    frame = Frame(factor.shape, kept, o.is_missing if partly else None)
    ends = o.kept.get("ends") if not factor.event else None
    cells = distinct_cells(frame, numbers, ends=ends, always=frame.size <= _SMALL and not kept)
    if cells is None:
        return None
    listed = iter(cells.columns)
    shaped = []
    for a, whole in zip(each, arrays, strict=True):
        stacked = np.stack([next(listed) for _ in range(a.shape[-1])], axis=-1)
        shaped.append(stacked.reshape(len(stacked), *whole.shape[lead:]))
    return shaped, cells.weight


# ---- batches together -----------------------------------------------------------------------------------------------
def _are_alike(a: _Part, b: _Part, env: Environment) -> bool:
    """Whether the cells of two batches are of one kind: the same functions of the latents and of their columns."""
    by_cell = all(p.plates[-1] == d[0] for p in (a, b) for d in p.dims.values())
    same = a.plates == b.plates and a.weight.shape[:-1] == b.weight.shape[:-1] and a.dims == b.dims
    if not (by_cell and same):
        return False
    return all(alike(x, y, env) for x, y in zip(a.parameters, b.parameters, strict=True))


def _merged(parts: list[_Part]) -> _Part:
    """Return batches of one kind as one: cells that are alike are added up."""
    first = parts[0]
    if len(parts) == 1:
        return first
    columns = [np.concatenate([p.columns[n] for p in parts]) for n in first.columns]
    columns.insert(0, np.concatenate([p.value for p in parts]))
    weight = np.concatenate([p.weight for p in parts], axis=-1)
    count = weight.shape[-1]
    frame = Frame((count,))
    keys = keys_of(frame, [c for a in columns for c in a.reshape(count, -1).T], always=True)
    if keys is not None:
        key = np.concatenate([keys.at(piece) for piece in frame.pieces()])
        present, place, key = np.unique(key, return_index=True, return_inverse=True)
        columns = [c[place] for c in columns]
        flat = weight.reshape(-1, count)
        into = np.arange(len(flat))[:, None] * len(present) + key
        sums = np.bincount(into.ravel(), flat.ravel(), len(flat) * len(present))
        weight = sums.reshape(*weight.shape[:-1], len(present))
    return replace(first, value=columns[0], columns=dict(zip(first.columns, columns[1:], strict=True)), weight=weight)


def _factor(part: _Part, label: str) -> tuple[Factor, dict[str, Array]]:
    """Return the factor of some cells, and the columns it reads."""
    old = part.observation.factor
    env: dict[str, Array] = {}
    named: dict[str, Expression] = {}
    for i, (name, array) in enumerate(part.columns.items()):
        stood = part.stood_for[name]
        text = stood.name.partition("@")[0] if isinstance(stood, Variable) else f"({stood})"
        own = Variable(f"{text}@{label}.{i}", part.dims[name], integer=stood.integer, into=getattr(stood, "into", None))
        named[name], env[own.name] = own, array[np.newaxis]
    dim, plates = part.plates[-1], part.plates
    factor = Factor(
        old.name,
        old.distribution,
        Constant(part.value, (dim, *old.event)),
        tuple(e.substitute(named) for e in part.parameters),
        tuple((*plates, *(d for d in lay if d not in old.plates)) for lay in old.layouts),
        plates,
        old.event,
        {**old.sizes, dim: part.weight.shape[-1]},
        part.weight,
    )
    return factor, env
