r"""Rows of a linear Gaussian system one after the other: each predicted from those before it.

With the precision :math:`P` and the mean :math:`m` given the rows so far, a stretch of rows ``v = J x + e`` with
precisions :math:`T` has the covariance :math:`S = T^{-1} + J P^{-1} J'`. Its Cholesky factor predicts every row of the
stretch from those before: with :math:`S = L L'` and :math:`z = L^{-1} (v - J m)`,

.. math:: \log p(y_t \mid y_{<t}) = -\tfrac12 \log 2\pi - \log L_{tt} - \tfrac12 z_t^2.

Precisions are added up, never subtracted. Source: Dawid (1984), JRSS A 147, 278-292; Harvey (1989), Forecasting,
Structural Time Series Models and the Kalman Filter, sec. 3.4 (prediction error decomposition).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from bayeskit.conjugate.arrow import forward, forward_matrix
from bayeskit.posterior.checks.downdate import UnitRows
from bayeskit.statistics.gram import Layout

Array = np.ndarray
LOG_2PI = float(np.log(2 * np.pi))
_RANK = 1e-10  # a singular value smaller than this, of columns of length one, is zero


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Rows ``v = J x + e`` in order: ``J (b, n, p)``, ``v (b, n)`` and ``weight (b, n)``."""

    J: Array
    v: Array
    weight: Array

    def system(self) -> tuple[Array, Array, Array]:
        """Return ``J' T J``, ``J' T v`` and ``v' T v``."""
        scaled = self.J * self.weight[..., None]
        h = (np.swapaxes(scaled, -1, -2) @ self.v[..., None])[..., 0]
        return np.swapaxes(scaled, -1, -2) @ self.J, h, (self.weight * self.v**2).sum(axis=-1)


@dataclass(frozen=True, eq=False)
class Innovations:
    """Rows predicted from those before them.

    Attributes
    ----------
    squares, log_det : array (b, n)
        Squared standardised errors, and log variances, of every row; NaN for those that propriety needs.
    first : array (b,)
        How many rows come before the system is proper.
    start : array (b,)
        Least sum of squares of the rows so far, when it is.
    """

    squares: Array
    log_det: Array
    first: Array
    start: Array


def innovations(prior: DenseRows, rows: DenseRows) -> Innovations:
    """Predict rows in their order, from prior rows and those before them."""
    rows, prior = _standardised(rows, prior)
    batch, n, p = rows.J.shape
    first = _rows_needed(prior, rows)
    early = np.arange(n) < first[:, None]
    (P, h, vv), (P1, h1, vv1) = prior.system(), _only(rows, early).system()
    P, h, vv = P + P1, h + h1, vv + vv1
    rest = _only(rows, ~early)
    squares, log_det = np.empty((batch, n)), np.empty((batch, n))
    start: Array | None = None
    step = max(32, p)
    for at in (slice(i, i + step) for i in range(0, n, step)):
        L = _cholesky(P)
        x = forward(L, h)
        start = np.maximum(vv - (x * x).sum(axis=-1), 0.0) if start is None else start
        J, v, weight = rest.J[:, at], rest.v[:, at], rest.weight[:, at]
        Z = forward_matrix(L, np.swapaxes(J, -1, -2))
        S = np.swapaxes(Z, -1, -2) @ Z
        S[:, np.arange(S.shape[1]), np.arange(S.shape[1])] += 1.0 / weight
        LS = _cholesky(S)
        z = forward(LS, v - (np.swapaxes(Z, -1, -2) @ x[..., None])[..., 0])
        squares[:, at], log_det[:, at] = z * z, 2.0 * np.log(np.diagonal(LS, axis1=-2, axis2=-1))
        more, further, _ = DenseRows(J, v, weight).system()
        P, h = P + more, h + further
    squares[early], log_det[early] = np.nan, np.nan
    return Innovations(squares, log_det, first, vv * 0 if start is None else start)


def _standardised(rows: DenseRows, prior: DenseRows) -> tuple[DenseRows, DenseRows]:
    """Return the same in unknowns that are standard normal before any row, where the prior rows determine them.

    As a scale of the prior goes to zero its precision hides all others in a sum; here a column of the rows
    goes to zero.
    """
    batch, n, p = prior.J.shape
    if n != p or not p:
        return rows, prior
    J = prior.J[:1] if (prior.J == prior.J[:1]).all() else prior.J
    try:
        if not _has_rank(J[0], p):
            return rows, prior
        root = np.linalg.solve(J, np.eye(p)[None])
    except np.linalg.LinAlgError:
        return rows, prior
    centre = (root @ prior.v[..., None])[..., 0]
    v = rows.v - (rows.J @ centre[..., None])[..., 0]
    moved = (rows.J @ root) / np.sqrt(prior.weight)[:, None, :]
    unit = np.broadcast_to(np.eye(p), (batch, p, p))
    return DenseRows(moved, v, rows.weight), DenseRows(unit, np.zeros((batch, p)), np.ones((batch, p)))


def _only(rows: DenseRows, kept: Array) -> DenseRows:
    """Return rows with those that are not kept made empty: they tell nothing."""
    J, v = np.where(kept[..., None], rows.J, 0.0), np.where(kept, rows.v, 0.0)
    return DenseRows(J, v, np.where(kept, rows.weight, 1.0))


def _rows_needed(prior: DenseRows, rows: DenseRows) -> Array:
    """Return how many rows make every unknown determined: ``(batch,)``, by bisection on the rank."""
    batch, n, p = rows.J.shape
    needed = np.zeros(batch, dtype=np.int64)
    for b in range(batch):
        if prior.J.shape[1] >= p and _has_rank(prior.J[b], p):
            continue
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            if _has_rank(np.concatenate([prior.J[b], rows.J[b, :middle]]), p):
                high = middle
            else:
                low = middle + 1
        needed[b] = high
    return needed


def _has_rank(J: Array, p: int) -> bool:
    if len(J) < p:
        return False
    size = np.linalg.norm(J, axis=0)
    return bool((size > 0).all()) and bool(np.linalg.svd(J / size, compute_uv=False)[-1] > _RANK) if p else True


def _cholesky(matrices: Array) -> Array:
    """Return lower factors; NaN for the entries of the batch whose matrix lost its digits."""
    if not matrices.shape[-1]:
        return matrices
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full(matrices.shape, np.nan)
        halves = np.array_split(matrices, 2)
        return np.concatenate([_cholesky(h) for h in halves])


# ---- rows laid along an arrow, in order -----------------------------------------------------------------------------
def dense_rows(layout: Layout, sets: Sequence[UnitRows], batch: int) -> DenseRows:
    """Return rows with all unknowns written out, those of the wide groups first."""
    n, wide = sum(len(s.wide) for s in sets), layout.groups * layout.width
    J, v, weight = np.zeros((batch, n, wide + layout.rest)), np.empty((batch, n)), np.empty((batch, n))
    start = 0
    for s in sets:
        at = slice(start, start + len(s.wide))
        if layout.width:
            columns = s.wide[:, None] * layout.width + np.arange(layout.width)
            J[:, np.arange(at.start, at.stop)[:, None], columns] = s.W
        J[:, at, wide:], v[:, at], weight[:, at] = s.D, s.v, s.weight
        start = at.stop
    return DenseRows(J, v, weight)


def rows_by_wide(layout: Layout, sets: Sequence[UnitRows]) -> tuple[DenseRows, Array]:
    """Return rows of wide groups that no dense unknown joins, the groups as the batch; and each row's place in its own.

    Shorter groups are filled up with rows that tell nothing.
    """
    wide = np.concatenate([np.zeros(0, dtype=np.int64), *(s.wide for s in sets)])
    order = np.argsort(wide, kind="stable")
    counts = np.bincount(wide, minlength=layout.groups)
    place = np.empty(len(wide), dtype=np.int64)
    place[order] = np.arange(len(wide)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (layout.groups, int(counts.max(initial=0)))
    J, v, weight = np.zeros((*shape, layout.width)), np.zeros(shape), np.ones(shape)
    start = 0
    for s in sets:
        at = (s.wide, place[start : start + len(s.wide)])
        J[at], v[at], weight[at] = s.W[0], s.v[0], s.weight[0]
        start += len(s.wide)
    return DenseRows(J, v, weight), place


def one_by_one(
    layout: Layout, prior: Sequence[UnitRows], rows: UnitRows, scale: tuple[Array, Array] | None = None
) -> Array:
    """Return the log densities of ordered rows, each given those before it: ``(batch, rows)``.

    Parameters
    ----------
    layout : Layout
        Of the unknowns.
    prior, rows : UnitRows
        What is known before, and the rows in their order.
    scale : tuple of array, optional
        Prior shape and rate of the common precision, ``(cells,)``: one, or one for every wide group.
    """
    batch = max([1, *(max(len(r.W), len(r.v), len(r.weight)) for r in (rows, *prior))])
    if batch == 1 and layout.groups and not layout.rest and (scale is None or len(scale[0]) in (1, layout.groups)):
        if scale is None or len(scale[0]) > 1:
            before, _ = rows_by_wide(layout, prior)
            after, place = rows_by_wide(layout, [rows])
            counts = np.bincount(np.concatenate([p.wide for p in prior]), minlength=layout.groups) if prior else 0
            each = _densities(innovations(before, after), counts - layout.width, scale)
            return each[rows.wide, place][None]
    surplus = sum(len(p.wide) for p in prior) - layout.groups * layout.width - layout.rest
    found = innovations(dense_rows(layout, prior, batch), dense_rows(layout, [rows], batch))
    return _densities(found, np.array(surplus), scale)


def _densities(found: Innovations, surplus: Array | int, scale: tuple[Array, Array] | None) -> Array:
    """Return normal densities, or with a common precision those of a t whose degrees of freedom grow."""
    normal = -0.5 * (LOG_2PI + found.log_det)
    if scale is None:
        return np.asarray(normal - 0.5 * found.squares)
    n = found.squares.shape[1]
    shape = (scale[0] + 0.5 * surplus)[:, None] + 0.5 * np.arange(n + 1)
    gained = np.zeros((len(found.squares), n + 1))
    np.cumsum(np.nan_to_num(found.squares), axis=1, out=gained[:, 1:])
    rate = scale[1][:, None] + 0.5 * (found.start[:, None] + gained)
    with np.errstate(all="ignore"):
        log_z = gammaln(shape) - shape * np.log(rate)
        proper = (shape[:, :-1] > 0) & (rate[:, :-1] > 0)
        return np.where(proper, normal + np.diff(log_z, axis=1), np.nan)
