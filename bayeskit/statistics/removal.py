r"""Taking rows back out of sums, and what it costs.

Sums carry bounds of their errors, which what is left of them inherits. Relative to what is left an error may be large,
and is refused beyond :math:`10^{-10}`; not, however, where what is left is a rounding of the rows themselves (equal
rows have a sum of squares of zero).

With errors E of the products C about the means, and coefficients b of one number on those before it, the sum of squares
of residuals :math:`(-b, 1)' C (-b, 1)` has the error :math:`\sum_{ij} |b_i| |b_j| E_{ij}`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.expressions.printing import print_number
from bayeskit.statistics import double_double as dd
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.pseudo_rows import cholesky
from bayeskit.statistics.summaries import Kind
from bayeskit.statistics.sums import Sums
from bayeskit.statistics.tables import Table, merged

Array = np.ndarray
LARGEST_LOSS = 1e-10  # relative, of what the posterior's parameters are computed from
_ROUNDING = 2.0**-80  # of the squares of rows: what spreads less hardly differs in a float


def difference(whole: Table, part: Table) -> Table:
    """Return the table of the rows of ``whole`` that are not in ``part``.

    Raises
    ------
    RefusedError
        Where rows are seen never to have been there, or too many digits would be lost.
    """
    if whole.layout.merges_only and part.cells:
        raise RefusedError(
            f"The statistics of '{whole.layout.name}' can only be merged, not taken out: {whole.layout.merges_only}."
        )
    left = merged([whole, Table(part.layout, part.shapes, part.keys, part.sums.scaled(-1.0))])
    count, tolerance = left.sums.count, left.sums.first_error[0]
    name = left.layout.name
    if (count < -tolerance).any():
        _never_there(name, f"a cell would have {print_number(count.min())} rows")
    empty = count <= tolerance
    for totals, error in ((left.sums.first, left.sums.first_error), (left.sums.second, left.sums.second_error)):
        if (np.abs(totals[:, 0, empty]) > error[:, empty]).any():
            _never_there(name, "a cell would have no rows, but sums other than zero")
    kept = np.flatnonzero(~empty)
    left = Table(left.layout, left.shapes, left.keys[kept], left.sums.among(kept))
    if isinstance(left.layout.how, Exposed):
        _check_counts(left)
    elif isinstance(left.layout.how, Kind):
        left = _with_single_rows(left) if left.layout.squared else left
        _check_sums(left)
    return left


def _with_single_rows(left: Table) -> Table:
    """Return the table with the products of single rows as they are known to be; refused where they are far from it."""
    sums = left.sums
    single = np.flatnonzero(np.abs(sums.count - 1) <= sums.first_error[0])
    if not len(single):
        return left
    first, pairs = sums.first[1:, :, single], sums.pairs()
    products = np.stack([dd.multiply(first[i], first[j]) for i, j in pairs])
    error = (sums.second_error + _about(sums, pairs))[:, single]
    if (np.abs((sums.second[:, :, single] - products).sum(axis=1)) > error).any():
        _never_there(left.layout.name, "one row would be left, with a sum of squares about its mean")
    second = sums.second.copy()
    second[:, :, single] = products
    return replace(left, sums=replace(sums, second=second))


def _never_there(name: str, figure: str) -> NoReturn:
    raise RefusedError(
        f"Rows taken out of '{name}' must have been there. Got some that were not: {figure}. "
        "Check them, and that they are taken out once."
    )


def _lost(name: str, loss: float) -> NoReturn:
    raise RefusedError(
        f"Rows can be taken out of '{name}' where at most {LARGEST_LOSS:g} of what is left is lost to rounding. "
        f"Got a loss of up to {loss:.1e}. Condition on the remaining rows themselves."
    )


def _check_counts(left: Table) -> None:
    """Counts that are added up with exposures stay within them."""
    *y, c, _ = (left.sums.first[i].sum(axis=0) for i in range(1, len(left.sums.first)))
    slack = left.sums.first_error[1:].max(axis=0, initial=0.0)
    name = left.layout.name
    if any((k < -slack).any() for k in (*y, c)):
        _never_there(name, "a sum of counts or exposures would be negative")
    how = left.layout.how
    if isinstance(how, Exposed) and how.parameter == "n" and (sum(y) > c + slack).any():
        _never_there(name, "there would be more successes than trials")
    with np.errstate(all="ignore"):
        loss = np.where(c > 0, left.sums.first_error[-2] / c, 0.0)
    if (loss > LARGEST_LOSS).any():
        _lost(name, float(loss.max()))


def _check_sums(left: Table) -> None:
    sums, name = left.sums, left.layout.name
    if not sums.cells:
        return
    means = sums.means()[:, 0]
    mean_error = sums.first_error[1:] / sums.count
    if not left.layout.squared:
        _check_first(left, means, mean_error)
        return
    pairs = sums.pairs()
    R, pivots = cholesky(sums)
    E = _matrices(sums.second_error + _about(sums, pairs), pairs, len(means))
    squares = sums.second[[i == j for i, j in pairs], 0]
    spread = sums.count * (R**2).sum(axis=0)
    sd = np.sqrt(spread / sums.count)
    with np.errstate(all="ignore"):
        losses = [np.where(mean_error > 0, mean_error / np.maximum(sd, np.abs(means)), 0.0)]
    for k in range(len(means)):
        b = np.concatenate([-_coefficients(R, k), np.ones((sums.cells, 1))], axis=1)
        for weights in (b, b * (np.arange(k + 1) == k)):  # of the residual, and of the number itself
            residual = sums.count * pivots[k] if weights is b else spread[k]
            error = np.einsum("ci,cij,cj->c", np.abs(weights), E[:, : k + 1, : k + 1], np.abs(weights))
            rounding = _ROUNDING * (weights**2 * squares[: k + 1].T).sum(axis=1)
            if (residual < -error - rounding).any():
                what = "a sum of squares would be negative" if k == 0 else "a precision would not be positive"
                _never_there(name, what)
            with np.errstate(all="ignore"):
                loss = np.where(residual > rounding, error / residual, LARGEST_LOSS * error / rounding)
            losses.append(np.where(error > 0, loss, 0.0))
    largest = max(float(loss.max()) for loss in losses)
    if largest > LARGEST_LOSS:
        _lost(name, largest)


def _about(sums: Sums, pairs: list[tuple[int, int]]) -> Array:
    """Return what the products of means contribute to the errors."""
    error, total = sums.first_error[1:], np.abs(sums.first[1:, 0])
    lost = [error[i] * total[j] + error[j] * total[i] + 4 * dd.UNIT * total[i] * total[j] for i, j in pairs]
    return np.stack(lost) / sums.count


def _matrices(values: Array, pairs: list[tuple[int, int]], size: int) -> Array:
    found = np.zeros((values.shape[-1], size, size))
    for (i, j), v in zip(pairs, values, strict=True):
        found[:, i, j] = found[:, j, i] = v
    return found


def _coefficients(R: Array, k: int) -> Array:
    """Return the coefficients of number k on those before it, ``(cells, k)``."""
    upper = np.moveaxis(R, -1, 0)
    scale = np.sqrt((upper**2).sum(axis=1))
    safe = np.where(scale > 0, scale, 1.0)
    inverse = np.linalg.pinv((upper / safe[:, None])[:, :k, :k], rcond=1e-14)
    return np.asarray((inverse @ upper[:, :k, k, None])[..., 0] / safe[:, :k])


def _check_first(left: Table, means: Array, error: Array) -> None:
    """Means of positive numbers stay positive, and with their logs those of geometric means below."""
    name, family = left.layout.name, left.layout.statement.distribution.family
    if (means[0] <= -error[0]).any():
        _never_there(name, "a sum of positive numbers would be negative")
    if len(means) > 1:
        with np.errstate(all="ignore"):
            wrong = means[1] > np.log(means[0]) + error[1] + 1e-12
        if wrong.any() and family in ("Gamma", "InverseGamma"):
            _never_there(name, "a geometric mean would lie above the arithmetic one")
    with np.errstate(all="ignore"):
        loss = np.where(error[0] > 0, error[0] / np.abs(means[0]), 0.0)
    if (loss > LARGEST_LOSS).any():
        _lost(name, float(loss.max()))
