"""Products of a small matrix and many columns, in parts that are too small for BLAS to call its threads.

A product of some tens of microseconds gains nothing from a second thread: it waits for the slowest of them, which on a
busy machine may take a hundred times as long, and the threads then spin for milliseconds on cores that others want.
"""

from __future__ import annotations

import numpy as np

from bayeskit.distributions.domains import Array

__all__ = ["product"]

_WORK = 250_000  # multiplications at a time: from 262,144 on OpenBLAS may take threads


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
