"""Roots of increasing functions in brackets, for all cells at once, by values alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayeskit.distributions.domains import Array

__all__ = ["falls_and_rises", "highest", "solve_increasing"]

_ROUNDS = 200


def solve_increasing(
    function: Callable[[Array, Array], Array],
    low: Array,
    high: Array,
    first: Array,
    second: Callable[[Array], Array],
    tolerance: float,
    *,
    together: bool = False,
) -> Array:
    """Root of an increasing function in every cell.

    Inverse quadratic interpolation through the last three points, within a bracket that is halved where the values fall
    too slowly (after R. Brent, Algorithms for Minimization without Derivatives, 1973, ch. 4). Cells leave when done.

    Parameters
    ----------
    function : callable
        From values and the numbers of their cells to values of the function; infinities are allowed.
    low, high : ndarray
        The bracket, ``(cells,)``; ends may be infinite.
    first : ndarray
        A guess in it.
    second : callable
        From the values at the first guess to the next one.
    tolerance : float
        Absolute value of the function at which a cell is done.
    together : bool
        Whether the function must be given all cells each time.

    Examples
    --------
    >>> low, high, squares = np.zeros(2), np.full(2, 9.0), np.array([2.0, 9.0])
    >>> solve_increasing(lambda x, cell: x**2 - squares[cell], low, high, low + 1, lambda f: low + 2, 1e-12)
    array([1.41421356, 3.        ])
    """
    result, live = first.copy(), np.arange(first.size)
    low, high, x = low.copy(), high.copy(), first
    value = function(x, live)
    older, oldest = (np.full_like(x, np.nan), np.full_like(x, np.nan)), (np.full_like(x, np.nan),) * 2
    step, reference = second(value), np.abs(value)
    for count in range(_ROUNDS):
        low, high = np.where(value <= 0, x, low), np.where(value >= 0, x, high)
        done = (np.abs(value) <= tolerance) | (high - low <= 4e-16 * np.maximum(np.abs(x), 1e-280))
        result[live] = x
        if done.all():
            break
        if count:
            step = _interpolated((x, value), older, oldest)
        slow = (count % 4 == 3) & ~(np.abs(value) < 0.25 * reference)
        reference = np.abs(value) if count % 4 == 3 else reference
        inside = (step > low) & (step < high) & ~slow
        step = np.where(done, x, np.where(inside, step, _within(low, high, x, older[0])))
        # the secant's error is about the product of the last two: a last step need not be looked at
        last = inside & ~done & (np.abs(value * older[1]) <= 0.1 * tolerance)
        result[live[last]] = step[last]
        done |= last
        if done.all():
            break
        if not together and done.mean() > 0.3:
            keep = ~done
            live, low, high, x, value, step, reference = (v[keep] for v in (live, low, high, x, value, step, reference))
            older = (older[0][keep], older[1][keep])
        oldest, older, x = older, (x, value), step
        value = function(x, live)
    return result


def _within(low: Array, high: Array, x: Array, older: Array) -> Array:
    """Middle of brackets; where one end is infinite, further that way, and each time faster."""
    far = 8.0 * np.where(np.isfinite(older), np.abs(x - older), 1.0) + 1e-12 * np.abs(x)
    with np.errstate(invalid="ignore"):
        middle = 0.5 * low + 0.5 * high
    return np.where(np.isposinf(high), low + far, np.where(np.isneginf(low), high - far, middle))


def _interpolated(now: tuple[Array, Array], older: tuple[Array, Array], oldest: tuple[Array, Array]) -> Array:
    """Where the parabola of x in the function's value through three points, or the line through two, is zero."""
    (x0, f0), (x1, f1), (x2, f2) = now, older, oldest
    with np.errstate(all="ignore"):
        line = x0 - f0 * (x0 - x1) / (f0 - f1)
        a = f1 * f2 / ((f0 - f1) * (f0 - f2))
        b = f0 * f2 / ((f1 - f0) * (f1 - f2))
        c = f0 * f1 / ((f2 - f0) * (f2 - f1))
        curve = x0 + b * (x1 - x0) + c * (x2 - x0)
    # only near the root is the parabola trusted: between the neighbours or close to the last step
    trusted = np.isfinite(curve) & np.isfinite(a) & (np.abs(curve - x0) <= 2.0 * np.abs(line - x0))
    return np.where(trusted, curve, line)


def highest(function: Callable[[Array], Array], low: Array, high: Array, points: int = 33) -> Array:
    """Place of the greatest value between two ends, in every cell: a scan, then closer ones, then a parabola.

    Parameters
    ----------
    function : callable
        From places ``(m, cells)`` to values ``(m, cells)``.
    low, high : ndarray
        The ends, ``(cells,)``.
    points : int
        Points of the first scan; narrower peaks than their distance may be missed.

    Examples
    --------
    >>> highest(lambda x: -np.abs(x - 2.0) ** 2.5, np.zeros(1), np.full(1, 9.0)).round(6)
    array([2.])
    """
    low, high = low.copy(), high.copy()
    for many in (points, 9, 9, 9, 9, 9, 9):
        share = np.linspace(0.0, 1.0, many)[:, None]
        x = low + share * (high - low)
        value = function(x)
        value = np.where(np.isnan(value), -np.inf, value)
        top = value.argmax(axis=0)[None]
        before, after = np.maximum(top - 1, 0), np.minimum(top + 1, many - 1)
        xs, fs = ([np.take_along_axis(v, i, 0)[0] for i in (before, top, after)] for v in (x, value))
        low, high = xs[0], xs[2]
    with np.errstate(all="ignore"):
        (a, b, c), (fa, fb, fc) = xs, fs
        shift = (
            0.5 * ((b - a) ** 2 * (fb - fc) - (b - c) ** 2 * (fb - fa)) / ((b - a) * (fb - fc) - (b - c) * (fb - fa))
        )
    return np.where(np.isfinite(shift) & (top[0] > 0) & (top[0] < many - 1), np.clip(b - shift, a, c), b)


def falls_and_rises(height: Array, depth: float = 18.0) -> Array:
    """Where a log density, along the first axis, falls and later rises again, not too far below its peak."""
    with np.errstate(invalid="ignore"):
        step = np.diff(np.maximum(height, height.max(axis=0) - depth), axis=0)
    rising, falling = step > 1e-6, step < -1e-6
    return (np.maximum.accumulate(rising[::-1], axis=0)[::-1] & np.maximum.accumulate(falling, axis=0)).any(axis=0)
