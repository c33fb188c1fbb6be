"""What the discrete families share: masking by the support, reading a table by codes, quantiles by bisection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["category_draws", "integer_quantile", "masked", "multinomial_draws", "take_category", "whole_draws"]

Array = Any


def masked(value: Array, outside: Array) -> Array:
    """Value, or -inf where `outside` says so."""
    return np.where(outside, -np.inf, value) if np.any(outside) else value


def take_category(table: Array, codes: Array) -> Array:
    """Entries table[..., codes], where `codes` broadcasts against the leading axes of `table`; nothing is repeated.

    Examples
    --------
    >>> table = np.log([[[0.1, 0.9]], [[0.5, 0.5]]])          # (2 chains, 1, 2 categories)
    >>> take_category(table, np.array([[0, 1, 1]])).shape    # 3 rows of data
    (2, 3)
    """
    ndim = max(table.ndim - 1, codes.ndim)
    table = table.reshape((1,) * (ndim - table.ndim + 1) + table.shape)
    codes = codes.reshape((1,) * (ndim - codes.ndim) + codes.shape)
    grid = [np.arange(size).reshape((size,) + (1,) * (ndim - axis - 1)) for axis, size in enumerate(table.shape[:-1])]
    return table[(*grid, codes)]


def integer_quantile(cdf: Callable[[Array], Array], q: Array, lower: Array, upper: Array) -> Array:
    """Least whole number whose distribution function reaches `q`, by bisection on all cells at once.

    Parameters
    ----------
    cdf : callable
        From whole numbers to probabilities, broadcasting.
    q, lower, upper : array_like
        Probabilities, and the ends of the support; the upper one may be infinite.

    Examples
    --------
    >>> from scipy.special import gammaincc
    >>> integer_quantile(lambda k: gammaincc(k + 1, 3.0), np.array([0.0, 0.5, 1.0]), 0.0, np.inf)
    array([ 0.,  3., inf])
    """
    q, lower, upper = np.asarray(q, dtype=float), np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    shape = np.broadcast_shapes(np.shape(cdf(lower)), q.shape, lower.shape, upper.shape)
    low = np.broadcast_to(lower - 1.0, shape)
    high = np.broadcast_to(np.where(np.isfinite(upper), upper, np.maximum(lower, 1.0)), shape)
    inner = (q < 1) & ~np.isfinite(upper)
    while np.any(short := inner & (cdf(high) < q) & (high < 1e300)):
        low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
    while True:
        middle = np.floor(low + (high - low) / 2)
        open_ = (middle > low) & (middle < high)
        if not open_.any():
            break
        reached = cdf(middle) >= q
        low, high = np.where(open_ & ~reached, middle, low), np.where(open_ & reached, middle, high)
    return np.where(np.isnan(q), np.nan, np.where(q >= 1, upper, high))


def whole_draws(draws: Array) -> Array:
    """Draws as int64."""
    return np.asarray(draws, dtype=np.int64)


def category_draws(rng: np.random.Generator, shape: tuple[int, ...], p: Array) -> Array:
    """Codes with probabilities proportional to the last axis of `p`; a category of probability zero never comes."""
    levels = np.cumsum(p, axis=-1)
    u = rng.random(shape)
    if levels.size == levels.shape[-1]:
        levels = levels.reshape(-1)
        return np.searchsorted(levels[:-1], u * levels[-1], side="right")
    u = u * levels[..., -1]
    codes = np.zeros(shape, dtype=np.int64)
    for k in range(levels.shape[-1] - 1):
        codes += u >= levels[..., k]
    return codes


def multinomial_draws(rng: np.random.Generator, shape: tuple[int, ...], n: Array, p: Array) -> Array:
    """Counts of `n` draws over the last axis of `p`; a category of probability zero never comes."""
    p = p / p.sum(axis=-1, keepdims=True)
    # NumPy gives what rounding leaves over to the last category: let that be the most probable one
    size = p.shape[-1]
    order = (np.argmax(p, axis=-1)[..., None] + 1 + np.arange(size)) % size
    turned = rng.multinomial(whole_draws(n), np.take_along_axis(p, order, axis=-1), size=shape)
    draws = np.empty_like(turned)
    np.put_along_axis(draws, np.broadcast_to(order, turned.shape), turned, axis=-1)
    return draws
