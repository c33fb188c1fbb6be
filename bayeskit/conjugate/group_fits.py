r"""Groups that only one noise cell knows of, each fitted by its own rows.

Where the rows of a group have one precision p, their squares are those of the fit plus those of the way to it,

.. math:: \lVert v - W w - D d \rVert^2 = \mathrm{RSS}(d) + (w - \hat w(d))' U (w - \hat w(d)), \qquad
          \hat w(d) = U^{-1} W' (v - D d),

and with a prior of precision Q the wide unknowns integrate to :math:`p\,\mathrm{RSS}` and the parallel sum of pU and Q
at :math:`\hat w(d) - B d - b`: nothing cancels, be p or Q large or small.
Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 5.4 and 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.small_matrices import cholesky, inverse_lower

Array = np.ndarray
_FLAT = 1e-8  # a pivot of a group's fit, relative to its entry, that leaves it too few digits
_NOTHING = 1e-13  # squares left by a column that the groups explain
_KEPT = 1e-5  # of the squares of a column, what its pivot must be larger than a share of


@dataclass(frozen=True)
class GroupFits:
    """What is left of entries when the fits of groups are taken out.

    Attributes
    ----------
    fitted : array of bool (groups,)
        Which groups are.
    way : array (groups, k, r + 1)
        The coefficients of the dense unknowns and of the right-hand side in the way from the prior's mean to the fit;
        zero for groups that are not fitted.
    E : array (e, r + 1, r + 1)
        The squares that are left.
    size : array (e, r + 1)
        What each of them was found from.
    """

    fitted: Array
    way: Array
    E: Array
    size: Array


def fit_groups(A: Array, B: Array, E: Array, prior_B: Array, prior_b: Array, rows: Array) -> GroupFits:
    """Fit every group that one entry alone knows well.

    Parameters are the sums of the entries, A ``(e, G, k, k)``, B ``(e, G, k, r + 1)`` and E ``(e, r + 1, r + 1)``, the
    means of the priors ``(G, k, r)`` and ``(G, k)``, and how many rows each group has in each entry ``(e, G)``.
    """
    entries, groups, k, _ = A.shape
    r, each = E.shape[-1] - 1, np.arange(groups)
    active = (A != 0).any(axis=(2, 3))
    entry = active.argmax(axis=0)
    U, C = A[entry, each], B[entry, each]
    fitted, inverse = _inverses(U)
    fitted &= active.sum(axis=0) == 1
    C = np.where(fitted[:, None, None], C, 0.0)
    K = inverse @ C
    K += inverse @ (C - U @ K)
    E, size = E.copy(), np.diagonal(E, axis1=1, axis2=2).copy()
    for e in range(entries):
        here = fitted & (entry == e)
        taken = np.einsum("gka,gkb->ab", C[here], K[here])
        E[e] -= 0.5 * (taken + taken.T)
        if np.array_equal(here, active[e]) and here.any():
            left = np.diagonal(E[e]) > _NOTHING * size[e]
            left[r] = (rows[e, here] > k).any()  # as many rows as unknowns are fitted without error
            E[e, ~left] = E[e, :, ~left] = 0.0
            size[e] *= np.where(left, np.where(np.arange(r + 1) < r, _KEPT, 1.0), 0.0)
    way = K.copy()
    way[..., :r] += prior_B
    way[..., r] -= prior_b
    return GroupFits(fitted, np.where(fitted[:, None, None], way, 0.0), E, size)


def _inverses(U: Array) -> tuple[Array, Array]:
    """Return which matrices ``(G, k, k)`` are well conditioned, and their inverses; zero for the others."""
    k = U.shape[-1]
    size = np.sqrt(np.diagonal(U, axis1=1, axis2=2))
    with np.errstate(all="ignore"):
        L = cholesky([[U[:, i, j] / (size[:, i] * size[:, j]) for j in range(k)] for i in range(k)])
        good = np.all([L[i][i] ** 2 > _FLAT for i in range(k)], axis=0)
        X = inverse_lower(L)
    root = np.zeros(U.shape)
    for i in range(k):
        for j in range(i + 1):
            root[:, i, j] = np.where(good, X[i][j], 0.0)
    inverse = np.swapaxes(root, 1, 2) @ root
    with np.errstate(all="ignore"):
        inverse = inverse / (size[:, :, None] * size[:, None, :])
    return good, np.where(good[:, None, None], inverse, 0.0)
