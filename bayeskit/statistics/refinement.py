r"""Least squares to the last digit: iterative refinement with residuals of twice the precision.

A triangular factor R of the weighted rows solves :math:`D' W D x = D' W v` with errors of :math:`\kappa^2 \epsilon`
times the residual sum of squares: half of the digits of Wampler's and of Filip's problems. Corrections

.. math:: x \leftarrow x + (R' R)^{-1} D' W (v - D x),

whose right-hand side has been summed in twice the precision, shrink by a factor of about :math:`\kappa \epsilon` each,
so that two or three of them leave the solution of the given numbers in full.
Source: Bjorck (1996), Numerical Methods for Least Squares Problems, sec. 2.9; Higham (2002), Accuracy and Stability of
Numerical Algorithms, sec. 20.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bayeskit.statistics import double_double as dd
from bayeskit.statistics.laid import LaidRows, windows

Array = np.ndarray
WeightedRows = tuple[LaidRows, Array]
Solve = Callable[[Array], Array]
_WINDOW = 65_536
_STEPS = 6


def refined(rows: Sequence[WeightedRows], solve: Solve, x: Array, norms: Array) -> tuple[Array, float]:
    """Return the least-squares solution and the least sum of squares of rows without wide unknowns.

    Parameters
    ----------
    rows : sequence of (LaidRows, array)
        Rows and their weights, framed as the rows are.
    solve : callable
        Multiplies a vector by an approximation to the inverse of ``D' W D``.
    x : array (columns,)
        A solution to start from.
    norms : array (columns,)
        Of the columns of ``W^(1/2) D``: by them unknowns are compared.
    """
    before = np.inf
    for _ in range(_STEPS):
        gradient, squares = _gradient(rows, x)
        step = solve(gradient[0] + gradient[1])
        size = float(np.abs(step * norms).max(initial=0.0))
        if not size < 0.5 * before or np.array_equal(x + step, x):
            break
        x, before = x + step, size
    # what is left of the gradient says how far below the least is: the solution was rounded, it was not
    return x, float(np.maximum(squares[0] + (squares[1] - gradient[0] @ step), 0.0))


def refined_inverse(rows: Sequence[WeightedRows], solve: Solve, columns: int) -> Array:
    """Return the diagonal of the inverse of ``D' W D``; see `refined`."""
    diagonal = np.empty(columns)
    for j, unit in enumerate(np.eye(columns)):
        z, before = solve(unit), np.inf
        for _ in range(_STEPS):
            left = dd.add(_gradient(rows, z, offset=False)[0], dd.from_float(unit))
            step = solve(left[0] + left[1])
            size = abs(step[j] / z[j])
            if not size < 0.5 * before:
                break
            z, before = z + step, size
        diagonal[j] = z[j]
    return diagonal


def _gradient(rows: Sequence[WeightedRows], x: Array, *, offset: bool = True) -> tuple[Array, Array]:
    """Return ``D' W e`` and ``e' W e`` of the residuals ``e = v - D x`` (or ``-D x``), as pairs."""
    gradient, squares = np.zeros((2, len(x))), np.zeros((2, 1))
    for laid, weight in rows:
        weight = weight if weight.ndim else weight.reshape((1,) * len(laid.shape))
        for window in windows(laid.shape, _WINDOW):
            written = laid.written_out(None, window)
            e = dd.from_float(written.v if offset else np.zeros_like(written.v))
            for column, value in zip(written.D.T, x, strict=True):
                e = dd.subtract(e, dd.multiply(dd.from_float(column), dd.from_float(np.full_like(column, value))))
            heavy = dd.multiply(e, dd.from_float(window.flat(weight)))
            one = np.zeros(window.rows, dtype=np.int64)
            sums = [_total(one, dd.multiply(heavy, dd.from_float(column))) for column in written.D.T]
            gradient = dd.add(gradient, np.concatenate(sums, axis=1))
            squares = dd.add(squares, _total(one, dd.multiply(heavy, e)))
    return gradient, squares[:, 0]


def _total(key: Array, pairs: Array) -> Array:
    """Return the sum of numbers in twice the precision ``(2, rows)``: ``(2, 1)``."""
    high, low = (dd.sum_by(key, 1, part)[0] for part in pairs)
    return dd.add(high, low)
