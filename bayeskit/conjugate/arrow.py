r"""Joint Gaussian systems: a wide block-diagonal part and a small dense rest.

The precision of the unknowns ``x = (w, d)`` is the arrow

.. math:: P = \begin{pmatrix} A & C \\ C' & D \end{pmatrix}, \qquad P x = h,

with ``A`` block diagonal: ``G`` groups of ``k`` numbers. The wide part is eliminated by its Schur complement
:math:`S = D - C' A^{-1} C`, the rest is factored by Cholesky; nothing is inverted. Leading axes are batches.
Source: Rue and Held (2005), Gaussian Markov Random Fields, sec. 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Arrow:
    """Precision and right-hand side.

    Shapes are ``A (b, G, k, k)``, ``C (b, G, k, r)``, ``D (b, r, r)``, ``hw (b, G, k)`` and ``hd (b, r)``.
    """

    A: Array
    C: Array
    D: Array
    hw: Array
    hd: Array


@dataclass(frozen=True)
class Factored:
    """An arrow eliminated and factored: Cholesky factors, and the forward-solved right-hand sides."""

    LA: Array  # (b, G, k, k), lower
    XC: Array  # LA^-1 C
    xw: Array  # LA^-1 hw
    LS: Array  # (b, r, r), lower
    xd: Array  # LS^-1 (hd - C' A^-1 hw)
    net: Array | None = None  # h' P^-1 h - v'v, where it was found without subtracting the two
    size: Array | None = None  # of the terms it was found from

    def log_det(self) -> Array:
        """Log determinant of the precision, ``(b,)``."""
        wide = np.log(np.diagonal(self.LA, axis1=-2, axis2=-1)).sum(axis=(-2, -1))
        return 2.0 * (wide + np.log(np.diagonal(self.LS, axis1=-2, axis2=-1)).sum(axis=-1))

    def quadratic(self) -> Array:
        """``h' P^-1 h``, ``(b,)``."""
        return (self.xw * self.xw).sum(axis=(-2, -1)) + (self.xd * self.xd).sum(axis=-1)

    def gain(self, vv: Array) -> Array:
        """``h' P^-1 h - v'v``: minus the least sum of squares, ``(b,)``."""
        return self.quadratic() - vv if self.net is None else self.net

    def is_exact(self, D: Array) -> bool:
        """Whether eliminating the wide part left the dense one its digits: no pivot far below its own entry."""
        pivots = self.LS.diagonal(0, -2, -1)
        return bool((pivots * pivots > _LOST * D.diagonal(0, -2, -1)).all())

    def squared_distance(self, wide: Array, dense: Array) -> Array:
        """``e' P e`` of a displacement ``e`` with these parts, ``(b,)``."""
        inner = (np.swapaxes(self.LA, -1, -2) @ wide[..., None])[..., 0]
        inner = inner + (self.XC @ dense[..., None, :, None])[..., 0]
        outer = (np.swapaxes(self.LS, -1, -2) @ dense[..., None])[..., 0]
        return (inner * inner).sum(axis=(-2, -1)) + (outer * outer).sum(axis=-1)

    def solve(self, zw: Array | float = 0.0, zd: Array | float = 0.0) -> tuple[Array, Array]:
        """Return the mean (no noise) or, with standard normal ``zw, zd``, a joint draw: ``(b, G, k), (b, r)``."""
        dense = backward(self.LS, self.xd + zd)
        inner = self.xw + zw
        if dense.shape[-1]:
            inner = inner - (self.XC @ dense[..., None, :, None])[..., 0]
        return backward(self.LA, inner), dense

    def solve_right(self, hw: Array, hd: Array) -> tuple[Array, Array]:
        """Solve for other right-hand sides: ``P^-1 h`` with parts ``(b, G, k)`` and ``(b, r)``."""
        xw = forward(self.LA, hw) if hw.shape[-1] else hw
        rest = hd
        if hd.shape[-1] and hw.shape[-1]:
            flat = self.XC.reshape(self.XC.shape[0], -1, hd.shape[-1])
            rest = hd - (np.swapaxes(flat, -1, -2) @ xw.reshape(xw.shape[0], -1, 1))[..., 0]
        xd = forward(self.LS, rest) if hd.shape[-1] else rest
        return Factored(self.LA, self.XC, xw, self.LS, xd).solve()

    def variances(self) -> tuple[Array, Array]:
        """Marginal variances of the wide and of the dense part: ``(b, G, k), (b, r)``."""
        k, r = self.LA.shape[-1], self.LS.shape[-1]
        half = forward_matrix(self.LA, np.broadcast_to(np.eye(k), self.LA.shape))
        wide = (half * half).sum(axis=-2)
        if not r:
            return wide, np.zeros(self.xd.shape)
        rest = forward_matrix(self.LS, np.broadcast_to(np.eye(r), self.LS.shape))
        if k:
            cross = rest[..., None, :, :] @ np.swapaxes(self.XC, -1, -2) @ half
            wide = wide + (cross * cross).sum(axis=-2)
        return wide, (rest * rest).sum(axis=-2)


def factor(arrow: Arrow) -> Factored:
    """Eliminate the wide part and factor the rest.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where the precision is not positive definite.
    """
    batch, r = arrow.hd.shape
    E = np.zeros((batch, r + 1, r + 1))
    E[:, :r, :r], E[:, :r, r], E[:, r, :r] = arrow.D, arrow.hd, arrow.hd
    C = np.broadcast_to(arrow.C, (*arrow.hw.shape, r))
    return factor_augmented(arrow.A, np.concatenate([C, arrow.hw[..., None]], axis=-1), E)


def factor_augmented(A: Array, B: Array, E: Array) -> Factored:
    """Do the same for ``B = [C, hw]`` and ``E = [[D, hd], [hd', .]]``: the right-hand side is one more column."""
    r = E.shape[-1] - 1
    LA = cholesky(A)
    X = forward_matrix(LA, B)
    flat = X.reshape(X.shape[0], -1, r + 1)
    rest = E - flat.swapaxes(-1, -2) @ flat
    LS = cholesky(rest[:, :r, :r])
    return Factored(LA, X[..., :r], X[..., r], LS, forward(LS, rest[:, :r, r]))


@dataclass(frozen=True)
class Priors:
    """Priors of the wide part, ``w = B d + b + noise``: ``B (G, k, r)``, ``b (G, k)``, precisions ``Q (b, G, k)``."""

    B: Array
    b: Array
    Q: Array


def factor_under(priors: Priors, A: Array, B: Array, E: Array) -> Factored:
    """Factor the sum of an augmented system and the priors of its wide part, whatever the priors' precisions.

    Eliminating the wide part from the sum subtracts two numbers of the size of Q. Here Q goes to infinity, or to zero,
    without loss: the Schur complement holds the parallel sum :math:`A (A + Q)^{-1} Q` (``n q / (n + q)`` for numbers),
    not :math:`Q - Q (A + Q)^{-1} Q`.
    """
    r = E.shape[-1] - 1
    U, C, D = A, B[..., :r], E[:, :r, :r]
    Q = priors.Q[..., None] * np.eye(A.shape[-1])
    b = np.broadcast_to(priors.b, B[..., r].shape)
    Ub, Cb = (U @ b[..., None])[..., 0], np.einsum("bgkr,bgk->br", C, b)
    centred = B[..., r] - Ub  # right-hand side about w = B d + b
    vv = E[:, r, r] - (b * (B[..., r] + centred)).sum(axis=(-2, -1))
    L = cholesky(U + Q)
    XU, XQ, XC = forward_matrix(L, U), forward_matrix(L, Q), forward_matrix(L, C)
    x = forward(L, centred)
    XQt = np.swapaxes(XQ, -1, -2)
    parallel = XQt @ XU
    parallel = 0.5 * (parallel + np.swapaxes(parallel, -1, -2))
    means_t = np.swapaxes(priors.B, -1, -2)
    cross = means_t @ (XQt @ XC)
    inner = means_t @ parallel @ priors.B + cross + np.swapaxes(cross, -1, -2) - np.swapaxes(XC, -1, -2) @ XC
    LS = cholesky(D + inner.sum(axis=-3))
    pulled = means_t @ (XQt @ x[..., None]) - np.swapaxes(XC, -1, -2) @ x[..., None]
    xd = forward(LS, E[:, :r, r] - Cb + pulled[..., 0].sum(axis=-2))
    net = (x * x).sum(axis=(-2, -1)) + (xd * xd).sum(axis=-1) - vv
    XB = XC - XQ @ priors.B
    return Factored(L, XB, forward(L, B[..., r] + priors.Q * b), LS, xd, net, np.abs(vv))


def cholesky(matrices: Array) -> Array:
    """Lower Cholesky factors, batched; numbers and pairs without a call per matrix."""
    k = matrices.shape[-1]
    if k == 0:
        return matrices
    if k > 2:
        result = np.linalg.cholesky(matrices)
    else:
        result = np.zeros(matrices.shape)
        with np.errstate(all="ignore"):
            np.sqrt(matrices[..., 0, 0], out=result[..., 0, 0])
            if k == 2:
                below = matrices[..., 1, 0] / result[..., 0, 0]
                result[..., 1, 0] = below
                np.sqrt(matrices[..., 1, 1] - below * below, out=result[..., 1, 1])
    if not (result[..., -1, -1] > 0).all():  # an earlier pivot that fails makes the last one NaN
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return result


_LOST = 1e-7  # a pivot smaller than this, relative to its entry, has lost half its digits
_MANY = 4  # from so many times their size on, triangles are solved row by row
_UNROLL = 6  # below this, substitution by vector operations over the batch beats a call per matrix


def forward(L: Array, b: Array) -> Array:
    """Solve ``L x = b`` for vectors, batched."""
    return forward_matrix(L, b[..., None])[..., 0]


def forward_matrix(L: Array, B: Array) -> Array:
    """Solve ``L X = B``, batched."""
    k = L.shape[-1]
    if k > _UNROLL:
        return _triangular(L, B, lower=True)
    if B.shape[:-2] != L.shape[:-2]:
        B = np.broadcast_to(B, np.broadcast_shapes(B.shape, (*L.shape[:-1], B.shape[-1])))
    X = np.empty(B.shape)
    for i in range(k):
        row = B[..., i, :]
        for j in range(i):
            row = row - L[..., i, j, None] * X[..., j, :]
        np.divide(row, L[..., i, i, None], out=X[..., i, :])
    return X


def backward(L: Array, b: Array) -> Array:
    """Solve ``L' x = b`` for vectors, batched."""
    k = L.shape[-1]
    if k > _UNROLL:
        return _triangular(np.swapaxes(L, -1, -2), b[..., None], lower=False)[..., 0]
    if b.shape[:-1] != L.shape[:-2]:
        b = np.broadcast_to(b, np.broadcast_shapes(b.shape, L.shape[:-1]))
    x = np.empty(b.shape)
    for i in reversed(range(k)):
        row = b[..., i]
        for j in range(i + 1, k):
            row = row - L[..., j, i] * x[..., j]
        np.divide(row, L[..., i, i], out=x[..., i])
    return x


def _triangular(T: Array, B: Array, *, lower: bool) -> Array:
    """Solve triangular systems: one call a matrix, or row by row for all of them where they are many."""
    from scipy.linalg.lapack import dtrtrs

    shape = np.broadcast_shapes(T.shape[:-2], B.shape[:-2])
    T = np.broadcast_to(T, (*shape, *T.shape[-2:])).reshape(-1, *T.shape[-2:])
    flat = np.broadcast_to(B, (*shape, *B.shape[-2:])).reshape(-1, *B.shape[-2:])
    solved = np.empty(flat.shape)
    k = T.shape[-1]
    if len(T) <= _MANY * k:
        for i in range(len(T)):
            solved[i] = dtrtrs(T[i], flat[i], lower=lower)[0]
    else:
        for i in range(k) if lower else reversed(range(k)):
            done = slice(0, i) if lower else slice(i + 1, k)
            known = (T[:, i, None, done] @ solved[:, done])[:, 0]
            np.divide(flat[:, i] - known, T[:, i, i, None], out=solved[:, i])
    return solved.reshape(*shape, *B.shape[-2:])
