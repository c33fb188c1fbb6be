r"""A few weighted rows that have the sums of a table of cells: what stands for its rows in a likelihood.

Numbers z of d entries (the columns in which a normal's mean is linear, and its value) enter the likelihood through
their count, means and products alone. The 2 d points

.. math:: \bar z \pm \sqrt{d}\, r_k, \qquad \sum_k r_k r_k' = \frac1n \sum (z - \bar z)(z - \bar z)',

of weight n / 2 d each have the same; the :math:`r_k` are the rows of a Cholesky factor, taken with twice the digits of
a float. Where floats cannot hold the points to :math:`10^{-10}` of the spread, they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.statistics import double_double as dd
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.moments import Moments
from bayeskit.statistics.summaries import Kind
from bayeskit.statistics.sums import Sums
from bayeskit.statistics.tables import Table

Array = np.ndarray
_MANY = 2.0**60  # weights below one are no single rows
_UNIT = 2.0**-53
_LARGEST_ERROR = 1e-10


@dataclass(frozen=True, eq=False)
class Rows:
    """Weighted rows.

    Attributes
    ----------
    columns : dict
        By name, ``(rows, ...)``: plates by their dims (as codes), columns of the layout, ``"#exposure"``.
    value : array
        ``(rows, *event)``.
    weight : array
        ``(rows,)``.
    constant : float
        A constant of the log density.
    """

    columns: Mapping[str, Array]
    value: Array
    weight: Array
    constant: float = 0.0


def rows_of(table: Table) -> Rows:
    """Return rows that have the sums of a table.

    Raises
    ------
    RefusedError
        Where floats cannot hold them: values that lie too many spreads from zero.
    """
    how, columns = table.layout.how, table.columns()
    if how is None:
        value = columns.pop("")
        return _counted(table, columns, value)
    if isinstance(how, Exposed):
        return _added_up(table, how, columns)
    if table.layout.linear or table.layout.statement.event:
        values, weight = _joint_points(table)
    else:
        values, weight = _points(table.sums, how)
    cell, point = np.nonzero(weight.T)
    columns = {n: c[cell] for n, c in columns.items()}
    chosen, start = values[point, cell], 0
    for c in table.layout.linear:
        width = prod(table.shapes[c.name])
        columns[c.name] = chosen[:, start : start + width].reshape(-1, *table.shapes[c.name])
        start += width
    value = chosen[:, start:].reshape(-1, *table.shapes[""])
    return Rows(columns, value, weight[point, cell])


def _counted(table: Table, columns: Mapping[str, Array], value: Array) -> Rows:
    count = table.sums.count
    if not table.layout.by_row:
        return Rows(columns, value, count)
    often = np.rint(count)
    if (often != count).any():
        raise RefusedError(
            f"The rows of '{table.layout.name}' must count in whole numbers, for their likelihood has no sufficient "
            f"statistics. Got {count[often != count][0]:g} of a row. Leave rows out instead."
        )
    each = np.repeat(np.arange(len(count)), often.astype(np.int64))
    return Rows({n: c[each] for n, c in columns.items()}, value[each], np.ones(len(each)))


def _added_up(table: Table, how: Exposed, columns: Mapping[str, Array]) -> Rows:
    """Return counts with their exposures: whole sums as one count, others as weighted ones."""
    sums = table.sums
    *y, c, carrier = (sums.first[i].sum(axis=0) for i in range(1, len(sums.first)))
    whole = [*y, c] if how.parameter == "n" else y
    is_whole = all(bool((np.abs(k - np.rint(k)) <= 1e-9 * np.maximum(1.0, np.abs(k))).all()) for k in whole)
    event = table.shapes[""]
    if is_whole:
        y = [np.maximum(np.rint(k), 0.0) for k in y]
        c = np.rint(c) if how.parameter == "n" else np.maximum(c, 0.0)
        with np.errstate(all="ignore"):
            constant = float((carrier - how.carrier(y, c)).sum())
        value = np.stack(y, axis=-1).reshape(-1, *event)
        return Rows({**columns, "#exposure": c}, value, np.ones(len(c)), constant)
    return _weighted_counts(how, columns, [np.maximum(k, 0.0) for k in y], c, float(carrier.sum()), event)


def _weighted_counts(
    how: Exposed, columns: Mapping[str, Array], y: list[Array], c: Array, carrier: float, event: tuple[int, ...]
) -> Rows:
    """Return rows of single counts, weighed: ``Y log p + (N - Y) log(1 - p)``, or ``Y log(C r) - C r``."""
    cells = np.arange(len(c))
    if how.parameter != "n":
        some = y[0] > 0
        with np.errstate(all="ignore"):
            exposure, weight = np.where(some, c / y[0], c), np.where(some, y[0], 1.0)
        value = some.astype(float)
        with np.errstate(all="ignore"):
            constant = carrier - float((weight * how.carrier([value], exposure)).sum())
        return Rows({**columns, "#exposure": exposure}, value.reshape(-1, *event), weight, constant)
    entries = y if event else [np.maximum(c - y[0], 0.0), y[0]]
    each, weight = np.tile(cells, len(entries)), np.concatenate(entries)
    one = np.repeat(np.arange(len(entries)), len(c))
    value = np.eye(len(entries))[one] if event else one.astype(float)
    kept = weight > 0
    columns = {n: col[each[kept]] for n, col in columns.items()}
    return Rows({**columns, "#exposure": np.ones(int(kept.sum()))}, value[kept], weight[kept], carrier)


def _points(sums: Sums, how: Kind) -> tuple[Array, Array]:
    """Return the points of a family of numbers: values ``(points, cells, 1)``, weights ``(points, cells)``."""
    found = sums.moments()
    several = _MANY if found.squares else 1.0
    moments = Moments(found.count * several, found.means, tuple(s * several for s in found.squares))
    values, weights = how.points(moments)
    weights = np.broadcast_to(weights / several, values.shape)
    if not (np.isfinite(values) | (weights == 0)).all():
        raise RefusedError(
            "The sums of a cell must be those of rows that floats can hold. Got means or spreads beyond them. "
            "Measure the values in other units."
        )
    return values[..., None], weights


def _joint_points(table: Table) -> tuple[Array, Array]:
    """Return values ``(points, cells, d)`` and weights ``(points, cells)``."""
    sums = table.sums
    means, (R, _) = sums.means(), cholesky(sums)
    d, count = len(means), sums.count
    error, name = _rounding(table, means[:, 0], R)
    if error > _LARGEST_ERROR:
        values, weights = _exact_points(means, R, count)
        error = error**2  # of the weights' own correction
    else:
        step = sqrt(d) * R  # (d, d, cells)
        values = np.concatenate([means[:, 0] - step, means[:, 0] + step])
        weights = np.broadcast_to(count / (2 * d), (2 * d, len(count)))
    if error > _LARGEST_ERROR:
        raise RefusedError(
            f"The statistics of '{table.layout.name}' must be held by floats to {_LARGEST_ERROR:g} of its spreads. "
            f"Got {error:.1e} for {name}, which lies far from zero beside its spread. Subtract a constant from it."
        )
    alone = ~R.any(axis=(0, 1))
    weights = np.where(alone, 0.0, weights)
    values[0], weights[0] = np.where(alone, means[:, 0], values[0]), np.where(alone, count, weights[0])
    return values.transpose(0, 2, 1), weights


def _exact_points(means: Array, R: Array, count: Array) -> tuple[Array, Array]:
    """Return points whose weights make up for their rounding.

    The mean, all ``mean +- a r_i`` and all ``mean +- a r_i +- a r_j`` are more points than there are moments to be met:
    equal weights meet them but for the rounding, and the least change of the weights meets them with it. Values are
    ``(points, d, cells)``, weights ``(points, cells)``.
    """
    d, cells = len(means), len(count)
    eye = np.eye(d)
    pairs = [s * eye[i] + t * eye[j] for i in range(d) for j in range(i) for s in (-1, 1) for t in (-1, 1)]
    design = np.stack([np.zeros(d), *eye, *-eye, *pairs])
    P = len(design)
    design *= sqrt(P / (4 * d - 2))
    values = means[:, 0] + np.einsum("pk,kic->pic", design, R)
    off = dd.subtract(dd.from_float(values), np.moveaxis(means, 1, 0)[:, None])[0]  # (points, d, cells), exactly
    upper = np.moveaxis(R, -1, 0)
    scale = np.sqrt((upper**2).sum(axis=1))
    safe = np.where(scale > 0, scale, 1.0)
    white = np.moveaxis(off, -1, 0) / safe[:, None] @ np.linalg.pinv(upper / safe[:, None], rcond=1e-14)
    i, j = np.triu_indices(d)
    A = np.concatenate([np.ones((cells, P, 1)), white, white[..., i] * white[..., j]], axis=-1).transpose(0, 2, 1)
    used = (np.abs(upper) > 0).any(axis=2)
    target = np.concatenate([np.ones((cells, 1)), np.zeros((cells, d)), (i == j) * used[:, i]], axis=1)
    missed = target - A.sum(axis=2) / P
    share = 1 / P + (np.linalg.pinv(A, rcond=1e-12) @ missed[..., None])[..., 0]
    return values, (share * count[:, None]).T


def cholesky(sums: Sums) -> tuple[Array, Array]:
    """Return the upper factor of the covariance of every cell, ``(d, d, cells)``, and its pivots, ``(d, cells)``.

    What is left of a variance may be rounding; the row of such a pivot is zero.
    """
    d = len(sums.first) - 1
    C: dict[tuple[int, int], Array] = {}
    for pair, products in zip(sums.pairs(), sums.centred(), strict=True):
        C[pair] = dd.divide(products, sums.first[0])
    R, pivots = np.zeros((d, d, sums.cells)), np.zeros((d, sums.cells))
    spread = [np.maximum(C[i, i][0], 0.0) for i in range(d)]
    for k in range(d):
        pivots[k] = C[k, k][0]
        is_positive = pivots[k] > 2.0**-86 * spread[k]
        root = dd.square_root(np.where(is_positive, C[k, k], dd.from_float(np.ones(sums.cells))))
        row = {j: np.where(is_positive, dd.divide(C[k, j], root), 0.0) for j in range(k, d)}
        for i in range(k, d):
            R[k, i] = row[i][0]
            for j in range(i, d):
                if i > k:
                    C[i, j] = dd.subtract(C[i, j], dd.multiply(row[i], row[j]))
    return R, pivots


def _rounding(table: Table, mean: Array, R: Array) -> tuple[float, str]:
    """Return what rounding of the points costs, relative to the spreads that matter, and of which number."""
    d, count = len(mean), table.sums.count
    rounding = _UNIT * (np.abs(mean) + sqrt(d) * np.abs(R).max(axis=0))
    names = [f"'{c.text}'" for c in table.layout.linear for _ in range(prod(table.shapes[c.name]))]
    names += [f"'{table.layout.name}'"] * (d - len(names))
    spread = np.sqrt((R**2).sum(axis=0))
    checks = [(names[k], rounding[k], spread[k]) for k in range(d)]
    checks.append((f"the residual of {names[-1]}", rounding[-1] + (_slopes(R) * rounding[:-1]).sum(axis=0), R[-1, -1]))
    found = [(0.0, names[-1])]
    for name, error, own in checks:
        total = float((count * own**2).sum())
        lost = float((2 * count * error * own * (own > 4 * error)).sum())
        found.append((lost / total if total > 0 else 0.0, name))
    return max(found)


def _slopes(R: Array) -> Array:
    """Return the sizes of the coefficients of the last number on the others, ``(d - 1, cells)``."""
    if len(R) == 1:
        return np.zeros((0, R.shape[-1]))
    upper = np.moveaxis(R[:-1, :-1], -1, 0)
    found = np.linalg.pinv(upper, rcond=1e-15) @ np.moveaxis(R[:-1, -1:], -1, 0)
    return np.abs(found[..., 0]).T
