r"""Taking rows back out of sums, and what it costs.

What is left of a sum has the error of the whole one: at most :math:`\epsilon = 2^{-90}` of all that was ever added up
in it. Relative to what is left it may be large, and is refused beyond :math:`10^{-10}`.

With products C about the means, and coefficients b of one number on those before it, the sum of squares of residuals
:math:`(-b, 1)' C (-b, 1)` has the error :math:`\epsilon \sum_{ij} |b_i| |b_j| \mathrm{seen}_{ij}`.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.expressions.printing import print_number
from bayeskit.statistics.exposures import Exposed
from bayeskit.statistics.summaries import Kind
from bayeskit.statistics.sums import BOUND, Sums
from bayeskit.statistics.tables import Table, merged

Array = np.ndarray
LARGEST_LOSS = 1e-10  # relative, of what the posterior's parameters are computed from
_ROUNDING = 2.0**-52  # of the rows themselves
_RESIDUAL = 2.0**-44  # of a sum of squares is what may be left of it by rounding


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
    count, tolerance = left.sums.count, BOUND * left.sums.first_seen[0]
    name = left.layout.name
    if (count < -tolerance).any():
        _never_there(name, f"a cell would have {print_number(count.min())} rows")
    empty = count <= tolerance
    for totals, seen in ((left.sums.first, left.sums.first_seen), (left.sums.second, left.sums.second_seen)):
        if (np.abs(totals[:, 0, empty]) > BOUND * seen[:, empty]).any():
            _never_there(name, "a cell would have no rows, but sums other than zero")
    kept = np.flatnonzero(~empty)
    left = Table(left.layout, left.shapes, left.keys[kept], left.sums.among(kept))
    if isinstance(left.layout.how, Exposed):
        _check_counts(left)
    elif isinstance(left.layout.how, Kind):
        _check_sums(left)
    return left


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
    slack = BOUND * left.sums.first_seen[1:].max(axis=0, initial=0.0)
    name = left.layout.name
    if any((k < -slack).any() for k in (*y, c)):
        _never_there(name, "a sum of counts or exposures would be negative")
    how = left.layout.how
    if isinstance(how, Exposed) and how.parameter == "n" and (sum(y) > c + slack).any():
        _never_there(name, "there would be more successes than trials")
    exposure_error = BOUND * left.sums.first_seen[-2]
    with np.errstate(all="ignore"):
        loss = np.where(c > 0, exposure_error / c, 0.0)
    if (loss > LARGEST_LOSS).any():
        _lost(name, float(loss.max()))


def _check_sums(left: Table) -> None:
    sums, name = left.sums, left.layout.name
    if not sums.cells:
        return
    means = sums.means()[:, 0]
    mean_error = BOUND * sums.first_seen[1:] / sums.count
    if not left.layout.squared:
        _check_first(left, means, mean_error)
        return
    pairs = sums.pairs()
    error = BOUND * sums.second_seen + 2 * BOUND * _about(sums, pairs)
    centred = sums.centred()[:, 0]
    size = len(means)
    C, E = (_matrices(a, pairs, size) for a in (centred, error))
    spread, spread_error = (np.diagonal(a, axis1=1, axis2=2).T for a in (C, E))
    floor = sums.count * (_ROUNDING * means) ** 2  # the rounding of the rows themselves
    if (spread < -spread_error - floor).any():
        _never_there(name, "a sum of squares would be negative")
    single = np.abs(sums.count - 1) <= BOUND * sums.first_seen[0]
    if (spread[:, single] > (spread_error + 4 * floor)[:, single]).any():
        _never_there(name, "one row would be left, with a sum of squares about its mean")
    sd = np.sqrt(np.maximum(spread, 0.0) / sums.count)
    with np.errstate(all="ignore"):
        losses = [np.where(spread == 0, 0.0, spread_error / np.maximum(spread, floor))]
        losses.append(np.where(means == 0, 0.0, mean_error / np.maximum(sd, np.abs(means))))
        for residual, own, least in _residuals(C, E, spread):
            if (residual < -own - least).any():
                _never_there(name, "a sum of squares of residuals would be negative, a precision not positive")
            losses.append(own / np.maximum(residual, least))
    largest = max(float(np.nanmax(loss, initial=0.0)) for loss in losses)
    if largest > LARGEST_LOSS:
        _lost(name, largest)


def _about(sums: Sums, pairs: list[tuple[int, int]]) -> Array:
    """Return what the products of means contribute to the errors."""
    seen, total = sums.first_seen[1:], np.abs(sums.first[1:, 0])
    return np.stack([(seen[i] * total[j] + seen[j] * total[i]) / sums.count for i, j in pairs])


def _matrices(values: Array, pairs: list[tuple[int, int]], size: int) -> Array:
    found = np.zeros((values.shape[-1], size, size))
    for (i, j), v in zip(pairs, values, strict=True):
        found[:, i, j] = found[:, j, i] = v
    return found


def _residuals(C: Array, E: Array, spread: Array) -> list[tuple[Array, Array, Array]]:
    """Return sums of squares of the residuals of each number on the others before it, by cell: with their errors, and
    with what is no more than the rounding of floats."""
    found = []
    with np.errstate(all="ignore"):
        scale = np.where(spread > 0, 1 / np.sqrt(spread), 0.0).T
    R, S = C * scale[:, :, None] * scale[:, None, :], E * scale[:, :, None] * scale[:, None, :]
    for k in range(1, C.shape[-1]):
        b = (np.linalg.pinv(R[:, :k, :k], rcond=1e-13, hermitian=True) @ R[:, :k, k, None])[..., 0]
        weights = np.concatenate([-b, np.ones((len(b), 1))], axis=1)
        residual = np.einsum("ci,cij,cj->c", weights, R[:, : k + 1, : k + 1], weights)
        own = np.einsum("ci,cij,cj->c", np.abs(weights), S[:, : k + 1, : k + 1], np.abs(weights))
        found.append((residual * spread[k], own * spread[k], _RESIDUAL * spread[k]))
    return found


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
