"""One batch of an observation in cells: which rows are alike, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayeskit.expressions import Expression, Variable
from bayeskit.model.problem import Observation
from bayeskit.statistics.cells import Frame, distinct_cells, keys_of
from bayeskit.statistics.exposures import Exposed, split_exposure
from bayeskit.statistics.moments import Moments, gather
from bayeskit.statistics.rows import OnCells, columns_of, identity, laid_along, row_dims
from bayeskit.statistics.summaries import KINDS, Kind

Array = np.ndarray
Environment = Mapping[str, Array]
FEW = 4096  # rows of a batch that are told apart even where none repeats: those of another may repeat them
VALUE = "value"  # the column that holds the values of rows which are counted
EXPOSURE = "#exposure"  # stands for sums of exposures
BY_ROW = {"StudentT", "Laplace", "MvStudentT"}  # as mixtures of normals, rows have a number each
_MOST_COLUMNS = 64  # numbers that make a row


@dataclass(frozen=True, eq=False)
class Part:
    """One batch of an observation in cells.

    Attributes
    ----------
    rows : int
        How many rows it has.
    plates : tuple of str
        The plates that latents bear, then the dim of the cells.
    parameters : tuple of Expression
        Functions of the latents and of ``columns``, which stand for the expressions ``stood_for``.
    columns : mapping
        Numbers that tell the cells apart, ``(cells, ...)`` each; among them their values, where they are counted.
    moments : Moments
        How many rows the cells have, and what their values come to.
    kind : Kind, Exposed or None
        How values become those of a few rows; None where equal ones are counted.
    """

    observation: Observation
    rows: int
    plates: tuple[str, ...]
    parameters: tuple[Expression, ...]
    stood_for: Mapping[str, Expression]
    columns: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]]
    moments: Moments
    kind: Kind | Exposed | None


def part_of(o: Observation, env: Environment, *, listed: bool) -> Part | None:
    """Return a batch of an observation in cells, or None where its rows stay rows.

    With ``listed``, a few rows are told apart even where none repeats, for they may repeat those of another batch.
    """
    factor, family = o.factor, o.factor.distribution
    kind: Kind | Exposed | None = KINDS.get(family.family)
    if (
        o.known is None
        or len(factor.event) > 1
        or family.family in BY_ROW
        or (factor.event and kind is None and not family.discrete)
    ):
        return None
    rows = row_dims(factor, env.keys())
    if not rows:
        return None
    written, exposure = factor.parameters, None
    split = split_exposure(factor, rows, env)
    if split is not None and split[0].keeps_digits(o.values, split[1].evaluate(env)):
        kind, exposure, written = split
    found = [c for e in written for c in columns_of(e, rows, env.keys())]
    columns = list({identity(c): c for c in found}.values())
    cells = _kept_cells(o, kind, rows, columns, exposure, env, listed)
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
    parameters = [rewrite(e) for e in written]
    plates = (*(p for p in factor.plates if p not in rows), dim)
    stood, held, dims = rewrite.columns, rewrite.values, rewrite.dims
    if isinstance(kind, Exposed) and exposure is not None:
        place = [p.name for p in family.parameters].index(kind.parameter)
        total = Variable(EXPOSURE, plates)
        parameters[place] = total if kind.parameter == "n" else total * parameters[place]
        stood = stood | {EXPOSURE: exposure}
    elif kind is None:
        held, dims = held | {VALUE: numbers[0]}, dims | {VALUE: (dim, *factor.event)}
    size = int(np.prod(factor.shape, dtype=int))
    return Part(o, size, plates, tuple(parameters), stood, held, dims, moments, kind)


CellsOf = tuple[list[Array], Moments]


def _kept_cells(
    o: Observation,
    kind: Kind | Exposed | None,
    rows: Sequence[str],
    columns: Sequence[Expression],
    exposure: Expression | None,
    env: Environment,
    listed: bool,
) -> CellsOf | None:
    """Return the cells of a batch, found now or at an earlier binding."""
    cells: CellsOf | None = None
    for always in (True, False) if listed else (False,):
        if cells is None and ("cells", always) not in o.kept:
            o.kept["cells", always] = _cells(o, kind, rows, columns, exposure, env, always)
        cells = cells or o.kept["cells", always]
    return cells


def _cells(
    o: Observation,
    kind: Kind | Exposed | None,
    rows: Sequence[str],
    columns: Sequence[Expression],
    exposure: Expression | None,
    env: Environment,
    always: bool,
) -> CellsOf | None:
    """Return the distinct rows of the columns (and of the value, where rows are counted), and their moments.

    None where they are not fewer than half the rows; ``always`` returns them of a few rows all the same.
    """
    factor, partly = o.factor, o.known is not o.factor
    kept = tuple(i for i, p in enumerate(factor.plates) if p not in rows)
    frame = Frame(factor.shape, kept, o.is_missing if partly else None)
    if always and (frame.size > FEW or kept):
        return None
    value = o.values
    if partly and not isinstance(kind, Kind):
        value = np.where(o.is_missing, 0, value)
        value = value.astype(np.int64) if factor.distribution.discrete else value
    arrays = [laid_along(c, factor.plates, env)[0] for c in columns]
    if kind is None:
        arrays.insert(0, value)
    lead = len(factor.plates)
    each = [a.reshape(*a.shape[:lead], -1) for a in arrays]
    numbers = [a[..., i] for a in each for i in range(a.shape[-1])]
    if len(numbers) > _MOST_COLUMNS:
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
        if exposure is not None:
            entries.append(laid_along(exposure, factor.plates, env)[0])
        squared = isinstance(kind, Kind) and kind.squared
        moments = gather(frame, keys, entries, kind.numbers, squared=squared)
        present = np.flatnonzero(moments.count.reshape(-1, keys.size).any(axis=0))
        listed, moments = keys.values(present), moments.among(present)
    left = iter(listed)
    shaped = []
    for a, whole in zip(each, arrays, strict=True):
        stacked = np.stack([next(left) for _ in range(a.shape[-1])], axis=-1)
        shaped.append(stacked.reshape(len(stacked), *whole.shape[lead:]))
    return shaped, moments
