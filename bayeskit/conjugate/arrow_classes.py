r"""Arrow systems of many precisions at once, where equal groups are eliminated once.

The system is a sum over *entries* (noise cells), :math:`A = \sum_e p_e A_e` and so on, and the wide unknowns have
priors :math:`w_g = B_g d + b_g + \eta_g`, :math:`\eta_g \sim N(0, Q^{-1})`, kept apart from the rows. With
:math:`\tilde C_{eg} = [C_{eg},\; h_{eg} - A_{eg} b_g]` the Schur complement, right-hand side and sum of squares as its
last column, is

.. math:: E + \sum_g B_g' M_1 B_g + B_g' M_2 \tilde C_g + \tilde C_g' M_2' B_g - \tilde C_g' M_3 \tilde C_g, \qquad
          M_3 = (A + Q)^{-1},\; M_2 = Q M_3,\; M_1 = Q M_3 A,

in which nothing of the size of Q cancels; for groups that one entry alone knows, what their rows fit is taken out first
(``group_fits``), so that nothing of the size of A does either. Groups whose :math:`A_e` and Q are equal share the M:
what is summed over groups are products of known vectors, summed once for each class. Arrays run over the batch last.
Source: the parallel sum of ``arrow.factor_under``; Rue and Held (2005), sec. 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from bayeskit.conjugate.group_fits import fit_groups
from bayeskit.conjugate.small_matrices import Square, cholesky, inverse_lower, solve_lower, solve_upper, sum_of

Array = np.ndarray
MOST_WIDE = 4  # numbers of a group: their matrices are written out
_UNROLL = 8  # dense unknowns: their matrices too
_SEVERAL = 32  # classes: from so many on, they are multiplied kind by kind
_LOST = 1e-7  # a pivot smaller than this, relative to its entry, has lost half its digits
_DIGITS = 2.0**46  # mantissas of sums that agree so far are equal


@dataclass(frozen=True)
class GroupPriors:
    """Priors ``w = B d + b + noise`` of precision ``weight * q[entry]``: ``B (G, k, r)``, the others ``(G, k)``."""

    B: Array
    b: Array
    entry: Array
    weight: Array


@dataclass(frozen=True)
class Eliminated:
    """Systems of a batch with their wide part eliminated; the batch is the last axis.

    Attributes
    ----------
    log_det : array (b,)
        Log determinant of the precision.
    squares, size : array (b,)
        The least sum of squares, and what it was found from.
    is_good : array (b,)
        Where no pivot is lost.
    """

    log_det: Array
    squares: Array
    size: Array
    is_good: Array
    p: Array  # (entries, b)
    root: Square  # of A + Q by class: the inverse of its lower factor
    inverse: Square
    LS: Array  # (r, r, b)
    xd: Array  # (r, b)


class ArrowClasses:
    """Systems ``sum_e p_e (A_e, B_e, E_e)`` under priors of their wide part.

    Parameters
    ----------
    A, B, E : array
        Sums of every entry: A ``(e, G, k, k)``, [C, hw] ``(e, G, k, r + 1)`` and [[D, hd], [hd', v'v]]
        ``(e, r + 1, r + 1)``.
    priors : GroupPriors or None
        Priors of the wide part that are not among the entries.
    rows : array (e, G)
        How many rows each group has in each entry.
    """

    def __init__(self, A: Array, B: Array, E: Array, priors: GroupPriors | None, rows: Array) -> None:
        self.entries, self.groups, self.width, _ = A.shape
        self.rest = E.shape[-1] - 1
        self.priors = priors
        self._fitted, self._way = np.zeros(self.groups, dtype=bool), np.zeros(B.shape[1:])
        size = np.diagonal(E, axis1=1, axis2=2)
        if priors is not None:
            fits = fit_groups(A, B, E, priors.B, priors.b, rows)
            B, E = _about(A, B, fits.E, priors.b, ~fits.fitted)
            self._fitted, self._way, size = fits.fitted, fits.way, fits.size
        self._size = size.T.copy()
        self._A, self._B = A, B
        self.of, first, self.counts = _classes(A, priors)
        self.classes = len(first)
        shown = A[:, first]  # (e, C, k, k)
        self._U = shown.transpose(2, 3, 1, 0).reshape(-1, self.entries)
        upper = np.triu_indices(self.rest + 1)
        self._upper = upper
        self._E = E[:, upper[0], upper[1]].T.copy()
        if priors is not None:
            self._prior_entry = priors.entry[first].T  # (k, C)
            self._prior_weight = priors.weight[first].T[..., None]

    # ---- what is summed once ------------------------------------------------------------------------------------
    @property
    def table_size(self) -> int:
        """Numbers that the table of products would hold, at most."""
        m = self.entries * self.width
        kinds = m * (m + 1) // 2
        if self.priors is not None:
            kinds += self.width * m + self.width * (self.width + 1) // 2
        return self.classes * kinds * len(self._upper[0])

    @cached_property
    def _table(self) -> list[tuple[Array, Any, Any]]:
        """Products summed by class, ``(outputs, features)``; which precisions and which matrix entry scale each."""
        k, e = self.width, self.entries
        kinds: list[tuple[int, int]] = []  # rows of the precisions' table, rows of the matrices' table
        sums: list[Array] = []
        pair = {(f, g): i for i, (f, g) in enumerate(combinations_with_replacement(range(e), 2))}
        apart = ~self._fitted[:, None]
        C = [(f, i, np.where(apart, self._B[f, :, i], 0.0)) for f in range(e) for i in range(k)]
        for n, (f, i, left) in enumerate(C):
            for g, j, right in C[n:]:
                kinds.append((1 + e + pair[f, g], min(i, j) * k + max(i, j)))
                sums.append(-self._products(left, right, twice=(f, i) != (g, j)))
        if self.priors is not None:
            B = np.concatenate([self.priors.B, np.zeros((self.groups, k, 1))], axis=-1)
            way = np.where(apart[..., None], B, self._way)
            for i in range(k):
                for f, j, right in C:
                    kinds.append((1 + f, k * k + i * k + j))
                    sums.append(self._products(B[:, i], right, twice=True))
                for j in range(i, k):
                    kinds.append((0, 2 * k * k + i * k + j))
                    sums.append(self._products(way[:, i], way[:, j], twice=i != j))
        table = np.stack(sums)  # (kinds, C, outputs)
        shown = np.any(table != 0, axis=-1)
        if self.classes >= _SEVERAL:  # a matrix product a kind: nothing is gathered
            whole = np.flatnonzero(shown.any(axis=1))
            return [(np.ascontiguousarray(table[n].T), *kinds[n]) for n in whole]
        used, cls = np.nonzero(shown)
        left = np.array([a for a, _ in kinds])[used]
        right = np.array([b for _, b in kinds])[used] * self.classes + cls
        return [(np.ascontiguousarray(table[used, cls].T), left, right)]

    def _products(self, left: Array, right: Array, *, twice: bool) -> Array:
        """Return the products of two vectors of every group, summed by class: upper triangles ``(C, outputs)``."""
        order = np.argsort(self.of, kind="stable")
        starts = np.cumsum([0, *self.counts[:-1]]).astype(np.int64)
        left, right = left[order], right[order]
        full = np.stack([np.add.reduceat(a[:, None] * right, starts, axis=0) for a in left.T], axis=1)
        if twice:
            full = full + full.swapaxes(1, 2)
        return np.asarray(full[:, self._upper[0], self._upper[1]])

    # ---- one batch ----------------------------------------------------------------------------------------------
    def eliminate(self, p: Array, q: Array) -> Eliminated:
        """Eliminate the wide part at precisions ``p (entries, b)`` of the rows and ``q (., b)`` of the priors."""
        k, c, batch = self.width, self.classes, p.shape[1]
        with np.errstate(all="ignore"):
            A = (self._U @ p).reshape(k, k, c, batch)
            Q = self._prior_weight * q[self._prior_entry] if self.priors is not None else None
            total = [[A[i, j] + Q[i] if Q is not None and i == j else A[i, j] for j in range(k)] for i in range(k)]
            L = cholesky(total)
            root = inverse_lower(L)
            inverse = [
                [sum_of([root[n][i] * root[n][j] for n in range(max(i, j), k)]) for j in range(k)] for i in range(k)
            ]
            matrices = [inverse[i][j] for i in range(k) for j in range(k)]
            if Q is not None:
                under = [[Q[i] * inverse[i][j] for j in range(k)] for i in range(k)]
                matrices += [under[i][j] for i in range(k) for j in range(k)]
                matrices += [sum_of([under[i][n] * A[n, j] for n in range(k)]) for i in range(k) for j in range(k)]
            products = np.concatenate([np.ones((1, batch)), p, *(p[i : i + 1] * p[i:] for i in range(self.entries))])
            several = matrices if self.classes >= _SEVERAL else np.concatenate(matrices)
            S = self._E @ p
            for table, left, right in self._table:
                S = S + table @ (products[left] * several[right])
            log_det = sum_of([self.counts @ np.log(L[i][i]) for i in range(k)])
            return self._dense(S, 2.0 * log_det, p, root, inverse)

    def _dense(self, S: Array, log_det: Array, p: Array, root: Square, inverse: Square) -> Eliminated:
        """Factor the dense rest of upper triangles ``(outputs, b)``."""
        r, batch = self.rest, S.shape[1]
        full = np.empty((r + 1, r + 1, batch))
        full[self._upper] = S
        full[self._upper[::-1]] = S
        LS = np.zeros((r, r, batch))
        if r <= _UNROLL:
            lower = cholesky([[full[i, j] for j in range(r)] for i in range(r)])
            for i in range(r):
                for j in range(i + 1):
                    LS[i, j] = lower[i][j]
        else:
            LS = np.moveaxis(_robust_cholesky(np.moveaxis(full[:r, :r], -1, 0)), 0, -1)
        xd = solve_lower(LS, full[:r, r])
        pivots = LS[np.arange(r), np.arange(r)]
        where = np.flatnonzero(self._upper[0] == self._upper[1])
        size = np.maximum(np.abs(self._size @ p), S[where])
        squares = full[r, r] - (xd * xd).sum(axis=0)
        good = (pivots * pivots > _LOST * size[:r]).all(axis=0) & np.isfinite(log_det) & np.isfinite(squares)
        log_det = log_det + 2.0 * np.log(pivots).sum(axis=0)
        return Eliminated(log_det, squares, size[r], good, p, root, inverse, LS, xd)

    # ---- draws --------------------------------------------------------------------------------------------------
    @cached_property
    def _pull(self) -> Array:
        """What the data say of the wide part given the dense one, ``(k, entries * (r + 1), G)``."""
        C = self._B.copy()  # (e, G, k, r + 1)
        if self.priors is not None:
            C[..., : self.rest] += self._A @ self.priors.B
        return np.ascontiguousarray(C.transpose(2, 0, 3, 1)).reshape(self.width, -1, self.groups)

    def dense(self, system: Eliminated, z: Array) -> Array:
        """Return a draw of the dense part from standard normal numbers: ``(r, b)``."""
        return solve_upper(system.LS, system.xd + z)

    def prior_means(self, centre: Array) -> Array:
        """Return what takes the dense part and 1 (or 1 alone) to the prior means of the wide part: ``(k, ., G)``.

        They are about ``centre (G, k)``.
        """
        if self.priors is None:
            return centre.T[:, None]
        return np.concatenate([self.priors.B.transpose(1, 2, 0), (centre + self.priors.b).T[:, None]], axis=1)

    def wide(self, system: Eliminated, d: Array, z: Array, at: slice, means: Array, out: Array) -> None:
        """Write draws of the wide part, for a part of the batch, given the dense one and the `prior_means`.

        ``z (k, part, G)`` are standard normal numbers; ``out`` gets the draws, ``(k, part, G)``.
        """
        k, of, ones = self.width, self.of, np.ones((1, z.shape[1]))
        p, d = system.p[:, at], d[:, at]
        known = np.concatenate([d, ones])[-means.shape[1] :]
        weights = (p[:, None] * np.concatenate([-d, ones])).reshape(-1, z.shape[1])
        alike = self.classes == 1  # then their matrices scale the weights, not what the data say of every group
        pulled = [] if alike else [weights.T @ pull for pull in self._pull]
        spare = np.empty(z.shape[1:])
        for i in range(k):
            here = [system.inverse[i][j][:, at] for j in range(k)]
            left = [known, *(inverse * weights for inverse in here)] if alike else [known]
            right = [means[i], *self._pull] if alike else [means[i]]
            np.matmul(np.concatenate(left).T, np.concatenate(right), out=out[i])
            for j, pull in enumerate(pulled):
                out[i] += np.multiply(_spread(here[j], of), pull, out=spare)
            for j in range(i, k):
                out[i] += np.multiply(_spread(system.root[j][i][:, at], of), z[j], out=spare)


def _about(A: Array, B: Array, E: Array, b: Array, groups: Array) -> tuple[Array, Array]:
    """Return the sums of rows centred about the priors' own offsets ``b (G, k)``; E for some of the groups alone."""
    B, E = B.copy(), E.copy()
    r = E.shape[-1] - 1
    before = B[..., r].copy()
    B[..., r] -= np.einsum("egij,gj->egi", A, b)
    b = np.where(groups[:, None], b, 0.0)
    pulled = np.einsum("egkr,gk->er", B[..., :r], b)
    E[:, :r, r] -= pulled
    E[:, r, :r] -= pulled
    E[:, r, r] -= ((before + B[..., r]) * b).sum(axis=(1, 2))
    return B, E


def _classes(A: Array, priors: GroupPriors | None) -> tuple[Array, Array, Array]:
    """Return the class of every group, the first group of every class, and how many groups each has."""
    groups, k = A.shape[1:3]
    keys = A[..., *np.tril_indices(k)].transpose(1, 0, 2).reshape(groups, -1)
    if priors is not None:
        keys = np.concatenate([keys, priors.entry, priors.weight], axis=1)
    mantissa, exponent = np.frexp(keys)
    keys = np.ldexp(np.round(mantissa * _DIGITS) / _DIGITS, exponent)
    _, first, of, counts = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return of.reshape(-1), first, counts


def _robust_cholesky(matrices: Array) -> Array:
    """Lower Cholesky factors of ``(b, r, r)``; NaN for those that are not positive definite."""
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(matrices, np.nan)
        half = len(matrices) // 2
        return np.concatenate([_robust_cholesky(matrices[:half]), _robust_cholesky(matrices[half:])])


def _spread(values: Array, of: Array) -> Array:
    """Return numbers of classes ``(C, b)`` for every group: ``(b, G)``."""
    return values.T if len(values) == 1 else np.take(values.T, of, axis=1)
