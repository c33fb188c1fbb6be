"""Products of small matrices and many columns, in parts that are too small for BLAS to call its threads.

A product of some tens of microseconds gains nothing from a second thread: it waits for the slowest of them, which on a
busy machine may take a hundred times as long, and the threads then spin for milliseconds on cores that others want.
"""

from __future__ import annotations

import numpy as np

from bayeskit.distributions.domains import Array

__all__ = ["dot", "gram", "product"]

_WORK = 250_000  # multiplications at a time: from 262,144 on OpenBLAS may take threads
_BLOCK = 64  # rows of a Gram matrix at a time
_LENGTH = 8_192  # numbers of a dot product at a time: OpenBLAS takes threads above 10,000


def dot(a: Array, b: Array) -> float:
    """Return the sum of products of two rows of numbers.

    Examples
    --------
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    whole = len(a) // _LENGTH * _LENGTH
    parts = np.vecdot(a[:whole].reshape(-1, _LENGTH), b[:whole].reshape(-1, _LENGTH))
    return float(parts.sum() + a[whole:] @ b[whole:])


def product(matrix: Array, columns: Array) -> Array:
    """Return ``matrix @ columns``, some columns at a time.

    Parameters
    ----------
    matrix : ndarray
        ``(m, k)``, or one row ``(k,)``.
    columns : ndarray
        ``(k, n)``.

    Returns
    -------
    ndarray
        ``(m, n)``, or ``(n,)`` of one row.

    Examples
    --------
    >>> product(np.array([1.0, 2.0]), np.array([[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]))
    array([15., 18., 21.])
    """
    step, count = max(1, _WORK // max(1, matrix.size)), columns.shape[1]
    if count <= step:
        return np.asarray(matrix @ columns)
    result = np.empty((*matrix.shape[:-1], count))
    for start in range(0, count, step):
        part = columns[:, start : start + step]
        np.matmul(matrix, part, out=result[..., start : start + step])
    return result


def gram(rows: Array) -> Array:
    """Return ``rows @ rows.T`` of ``(k, n)``: ``(k, k)``.

    Examples
    --------
    >>> gram(np.array([[1.0, 2.0], [0.0, 3.0]]))
    array([[5., 6.],
           [6., 9.]])
    """
    count, n = rows.shape
    if count <= _BLOCK:
        return np.asarray(rows @ rows.T)
    result = np.empty((count, count))
    for i in range(0, count, _BLOCK):
        for j in range(0, i + 1, _BLOCK):
            one, two = rows[i : i + _BLOCK], rows[j : j + _BLOCK]
            step = _WORK // (len(one) * len(two))
            whole = n // step * step
            left, right = (part[:, :whole].reshape(len(part), -1, step).swapaxes(0, 1) for part in (one, two))
            found = np.matmul(left, right.swapaxes(1, 2)).sum(axis=0) + one[:, whole:] @ two[:, whole:].T
            result[i : i + _BLOCK, j : j + _BLOCK] = found
            result[j : j + _BLOCK, i : i + _BLOCK] = found.T
    return result
