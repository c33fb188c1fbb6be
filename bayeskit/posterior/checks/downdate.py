r"""Predictive densities of groups of rows of a linear Gaussian system, with the group in it and with it taken out.

Rows are :math:`e = v - J x` with precisions :math:`T`; given all of them :math:`x` has precision :math:`P = L L'`. With
residuals :math:`r` at the mean and :math:`Z = J L^{-T}`, so that :math:`H = T^{1/2} Z Z' T^{1/2}` are the leverages,

.. math::

    \tilde y_g \mid y &\sim N(\hat y_g,\; T_g^{-1} + Z_g Z_g'), \\
    y_g \mid y_{-g} &: \quad \text{residual } T_g^{-1} M^{-1} r_g, \quad \text{covariance } T_g^{-1} M^{-1} T_g^{-1},
    \qquad M = T_g^{-1} - Z_g Z_g',

for one row :math:`r / (1 - h)` and :math:`1 / (t (1 - h))`. The unknowns are an arrow: those of a wide group belong to
its rows alone, so that :math:`Z Z'` has a part within wide groups and a part of the few dense unknowns. Both are taken
out by matrices of the size of the unknowns (Woodbury), never of the size of the rows.
Source: Cook and Weisberg (1982), Residuals and Influence in Regression, sec. 2.2 and app. A.2; Rue and Held (2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.arrow import Factored, forward, forward_matrix

Array = np.ndarray
_NUMBERS = 4_000_000  # held at once in outer products of rows
LOST = 1e-7  # of the precision that the other rows leave, relative to that with the group: less is rounding


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Rows of residuals ``e = v - W x_wide[wide] - D x_dense`` with their precisions.

    Attributes
    ----------
    wide : array (n,)
        The wide group of each row.
    W, D, v, weight : array
        ``(b, n, width)``, ``(b, n, rest)``, ``(b, n)``, ``(b, n)``; b is 1 where nothing varies over the batch.
    """

    wide: Array
    W: Array
    D: Array
    v: Array
    weight: Array

    def take(self, at: Array) -> UnitRows:
        """Return some of the rows."""
        return UnitRows(self.wide[at], self.W[:, at], self.D[:, at], self.v[:, at], self.weight[:, at])


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the log predictive density of groups needs: each ``(batch, keys)``.

    Attributes
    ----------
    squares : array
        The squared distance of the group from its prediction, in units of the predictive covariance.
    log_det : array
        The log determinant of that covariance.
    kept : array
        The least share of its precision that the system keeps without the group: 1 where the group stays in.
    """

    squares: Array
    log_det: Array
    kept: Array


def predicted(system: Factored, rows: UnitRows, key: Array, keys: int, sign: int) -> Predicted:
    """Predict groups of rows from a system.

    Parameters
    ----------
    system : Factored
        The system of all rows, or of the others.
    rows : UnitRows
        The rows to predict.
    key : array (n,)
        The group of each row.
    keys : int
        How many groups there are.
    sign : int
        1 to add the noise of new rows to a system; -1 to take the rows out of a system that holds them.
    """
    zw, zd, e = whitened(system, rows)
    weight = np.broadcast_to(rows.weight, e.shape)
    if len(key) == keys and np.array_equal(np.sort(key), np.arange(keys)):
        order = np.argsort(key)
        return _singles(zw[:, order], zd[:, order], e[:, order], weight[:, order], sign)
    return _in_groups(zw, zd, e, weight, rows.wide, key, keys, sign)


def whitened(system: Factored, rows: UnitRows) -> tuple[Array, Array, Array]:
    """Return ``J L^-T``, wide and dense part, and the residuals at the mean, each ``(b, n, ...)``."""
    mean_wide, mean_dense = system.solve()
    e = rows.v - (rows.D * mean_dense[:, None, :]).sum(axis=-1)
    zw, D = np.zeros((len(e), *rows.W.shape[1:])), rows.D
    if rows.W.shape[-1]:
        e = e - (rows.W * mean_wide[:, rows.wide]).sum(axis=-1)
        LA = np.broadcast_to(system.LA, (len(e), *system.LA.shape[1:]))
        zw = forward(LA[:, rows.wide], np.broadcast_to(rows.W, zw.shape))
        if D.shape[-1]:
            XC = np.broadcast_to(system.XC, (len(e), *system.XC.shape[1:]))
            D = D - np.einsum("bnk,bnkr->bnr", zw, XC[:, rows.wide])
    zd = np.broadcast_to(D, (len(e), *D.shape[1:]))
    if D.shape[-1]:
        LS = np.broadcast_to(system.LS, (len(e), *system.LS.shape[1:]))
        zd = np.swapaxes(forward_matrix(LS, np.swapaxes(zd, -1, -2)), -1, -2)
    return zw, zd, e


def _singles(zw: Array, zd: Array, e: Array, weight: Array, sign: int) -> Predicted:
    """Rows one by one: leverages."""
    with np.errstate(all="ignore"):
        leverage = weight * ((zw * zw).sum(axis=-1) + (zd * zd).sum(axis=-1))
        left = 1.0 + sign * leverage
        squares, log_det = weight * e * e / left, sign * np.log(left) - np.log(weight)
    return Predicted(squares, log_det, np.minimum(left, 1.0))


def _in_groups(
    zw: Array, zd: Array, e: Array, weight: Array, wide: Array, key: Array, keys: int, sign: int
) -> Predicted:
    """Groups of rows: the wide unknowns of each first, then the dense ones."""
    order = np.lexsort((wide, key))
    zw, zd, e, weight, wide, key = zw[:, order], zd[:, order], e[:, order], weight[:, order], wide[order], key[order]
    batch, k, r = len(e), zw.shape[-1], zd.shape[-1]
    result = [np.zeros((batch, keys)), np.zeros((batch, keys)), np.ones((batch, keys))]
    for rows in _stretches(key, max(1, _NUMBERS // (batch * (k + r + 1) ** 2))):
        first, groups = key[rows][0], np.unique(key[rows])
        at = slice(first, first + len(groups))
        sums = _sums(zw[:, rows], zd[:, rows], e[:, rows], weight[:, rows], wide[rows], key[rows] - first, sign)
        for whole, part in zip(result, sums, strict=True):
            whole[:, at] = part
    return Predicted(*result)


def _stretches(key: Array, most: int) -> Iterator[slice]:
    """Yield stretches of sorted rows that hold whole groups, of about so many rows."""
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    begin = 0
    for stop in [*starts[1:], len(key)]:
        if stop - begin >= most or stop == len(key):
            yield slice(begin, int(stop))
            begin = int(stop)


def _sums(
    zw: Array, zd: Array, e: Array, weight: Array, wide: Array, key: Array, sign: int
) -> tuple[Array, Array, Array]:
    """Return squares, log determinants and what is kept of whole groups of sorted rows."""
    k, r = zw.shape[-1], zd.shape[-1]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    dense = np.concatenate([zd, e[..., None]], axis=-1)  # the residual is one more column
    E = _outer(dense, dense, weight, starts)  # (b, groups, r + 1, r + 1)
    log_det = -np.add.reduceat(np.log(weight), starts, axis=1)
    kept = np.ones(log_det.shape)
    with np.errstate(all="ignore"):
        if k:
            pairs = np.flatnonzero((np.diff(key, prepend=-1) != 0) | (np.diff(wide, prepend=-1) != 0))
            inner = np.eye(k) + sign * _outer(zw, zw, weight, pairs)
            cross = _outer(zw, dense, weight, pairs)
            L, pivots = _cholesky(inner)
            X = forward_matrix(L, cross)
            where = np.flatnonzero(np.diff(key[pairs], prepend=-1))
            E = E - sign * np.add.reduceat(np.swapaxes(X, -1, -2) @ X, where, axis=1)
            log_det = log_det + sign * np.add.reduceat(2.0 * np.log(pivots).sum(axis=-1), where, axis=1)
            kept = np.minimum(kept, np.minimum.reduceat((pivots**2).min(axis=-1), where, axis=1))
        squares = E[..., r, r]
        if r:
            L, pivots = _cholesky(np.eye(r) + sign * E[..., :r, :r])
            x = forward(L, E[..., :r, r])
            squares = squares - sign * (x * x).sum(axis=-1)
            log_det = log_det + sign * 2.0 * np.log(pivots).sum(axis=-1)
            kept = np.minimum(kept, (pivots**2).min(axis=-1))
    return squares, log_det, kept


def _outer(left: Array, right: Array, weight: Array, starts: Array) -> Array:
    """Sum weighted outer products of sorted rows by stretch: ``(b, stretches, i, j)``."""
    weighted = left * weight[..., None]
    if len(starts) == 1:
        return (np.swapaxes(weighted, -1, -2) @ right)[:, None]
    return np.add.reduceat(weighted[..., :, None] * right[..., None, :], starts, axis=1)


def _cholesky(matrices: Array) -> tuple[Array, Array]:
    """Return lower factors and their diagonals, NaN for the matrices that are not positive definite."""
    k = matrices.shape[-1]
    L = np.zeros(matrices.shape)
    for j in range(k):
        below = matrices[..., j:, j] - (L[..., j:, :j] * L[..., j, None, :j]).sum(axis=-1)
        L[..., j:, j] = below / np.sqrt(below[..., :1])
    pivots = np.diagonal(L, axis1=-2, axis2=-1)
    return L, pivots
