"""Quantiles of continuous families that know only their tails, for all cells at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayeskit.distributions.domains import Array

__all__ = ["invert_tails"]


def invert_tails(
    tails: Callable[[Array], tuple[Array, Array]],
    density: Callable[[Array], Array],
    below: Any,
    above: Any,
    low: Any,
    high: Any,
) -> Array:
    """Value with the probabilities `below` and `above` on its two sides; the smaller one is what is solved for.

    Newton's method within a bracket. Every third step halves the bracket, so that it ends whatever the tails are.

    Parameters
    ----------
    tails : callable
        From values to the probabilities below and above.
    density : callable
        Derivative of the first of them.
    below, above : array_like
        Probabilities that sum to one; both are given, so that either may be tiny.
    low, high : array_like
        Finite ends between which the value lies.

    Examples
    --------
    >>> from scipy.special import ndtr
    >>> normal = lambda x: np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    >>> float(invert_tails(lambda x: (ndtr(x), ndtr(-x)), normal, 0.975, 0.025, -40.0, 40.0).round(9))
    1.959963985
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    from_below = np.less_equal(below, above)
    x = 0.5 * (low + high)
    for count in range(400):
        lower, upper = tails(x)
        excess = np.where(from_below, lower - below, above - upper)
        low, high = np.where(excess <= 0, x, low), np.where(excess >= 0, x, high)
        middle = 0.5 * (low + high)
        with np.errstate(all="ignore"):
            proposal = x - excess / density(x)
        trusted = (proposal >= low) & (proposal <= high) & (count % 3 != 2)
        proposal = np.where(excess == 0, x, np.where(trusted, proposal, middle))
        limit = 4e-16 * np.maximum(np.abs(x), 1e-3)
        if np.all((np.abs(proposal - x) <= limit) | (high - low <= limit)):
            return proposal
        x = proposal
    return x
