"""Small matrices written out, entry by entry: each entry is an array over many matrices, the batch its last axis."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
Square = list[list[Array]]


def sum_of(parts: list[Array]) -> Array:
    """Return the sum of one array or more."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def cholesky(M: Square) -> Square:
    """Lower Cholesky factors, entry by entry; NaN where a matrix is not positive definite."""
    k = len(M)
    L: Square = [[] for _ in range(k)]
    for i in range(k):
        for j in range(i):
            below = M[i][j]
            for n in range(j):
                below = below - L[i][n] * L[j][n]
            L[i].append(below / L[j][j])
        pivot = M[i][i]
        for n in range(i):
            pivot = pivot - L[i][n] * L[i][n]
        L[i].append(np.sqrt(pivot))
    return L


def inverse_lower(L: Square) -> Square:
    """Inverses of lower triangles, entry by entry."""
    k = len(L)
    X: Square = [[] for _ in range(k)]
    for i in range(k):
        for j in range(i):
            X[i].append(-sum_of([L[i][n] * X[n][j] for n in range(j, i)]) / L[i][i])
        X[i].append(1.0 / L[i][i])
    return X


def solve_lower(L: Array, b: Array) -> Array:
    """Solve ``L x = b`` for ``L (r, r, b)`` and ``b (r, b)``."""
    x = np.empty(b.shape)
    for i in range(len(b)):
        x[i] = (b[i] - np.einsum("nb,nb->b", L[i, :i], x[:i])) / L[i, i]
    return x


def solve_upper(L: Array, b: Array) -> Array:
    """Solve ``L' x = b`` for ``L (r, r, b)`` and ``b (r, b)``."""
    x = np.empty(b.shape)
    for i in reversed(range(len(b))):
        x[i] = (b[i] - np.einsum("nb,nb->b", L[i + 1 :, i], x[i + 1 :])) / L[i, i]
    return x
