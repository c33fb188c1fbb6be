"""Univariate slice sampling of many elements at once (Neal 2003: stepping out and shrinkage).

Every element of the array is its own one-dimensional target with its own bracket. Elements do not wait for each
other: in one evaluation some are still stepping out to the left, others to the right, others already shrink. The
number of evaluations of an update is therefore the largest number any one element needs, not the sum over phases.

Stepping out, not doubling: doubling needs a test of acceptability at every shrinkage, which costs more evaluations
than it saves once the width is tuned, and before that the limit on the number of steps keeps a hopeless width cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bayeskit.errors import SupportError

__all__ = ["WidthState", "slice_sample", "start_width", "update_width"]

FloatArray = npt.NDArray[np.float64]

# Width in multiples of the mean jump. A Gaussian jumps about one standard deviation per update, and its cost in
# evaluations is flat around a width of three of them.
WIDTH_PER_JUMP = 3.0
# A tuned width never falls below this fraction of the value it last had: an element that stays put is no evidence
# that its slice is a point.
SMALLEST_SHRINK = 0.1


class WidthState(NamedTuple):
    """What the tuning of slice widths carries from one sweep to the next.

    Attributes
    ----------
    width
        The width to use in the next update; one per element, shared by the chains.
    jump
        Running mean of the absolute jumps; recent sweeps weigh more.
    updates
        Number of updates seen.
    """

    width: FloatArray
    jump: FloatArray
    updates: int


def start_width(shape: tuple[int, ...], width: npt.ArrayLike = 1.0) -> WidthState:
    """State of the width tuning for elements of `shape` (without the chain axis)."""
    return WidthState(np.broadcast_to(np.asarray(width, float), shape).copy(), np.zeros(shape), 0)


def update_width(state: WidthState, before: FloatArray, after: FloatArray) -> WidthState:
    """Learn from one update; `before` and `after` are (chain, ...). Pure; stop calling it to freeze the width.

    The jump does not depend on the width that produced it (unless stepping out met its limit), so a width wrong by
    orders of magnitude is put right in a few sweeps. Weights grow linearly with the sweep: the way in is forgotten.

    Examples
    --------
    >>> import numpy as np
    >>> state = start_width((), 100.0)
    >>> for _ in range(50):
    ...     state = update_width(state, np.zeros(4), np.full(4, 2.0))
    >>> float(state.width)
    6.0
    """
    updates = state.updates + 1
    weight = 2.0 / (updates + 1.0)
    jump = state.jump + weight * (np.abs(after - before).mean(axis=0) - state.jump)
    width = np.maximum(WIDTH_PER_JUMP * jump, SMALLEST_SHRINK * state.width)
    return WidthState(np.asarray(width), np.asarray(jump), updates)


def slice_sample(
    log_density: Callable[[FloatArray], npt.ArrayLike],
    x: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    width: npt.ArrayLike,
    lower: npt.ArrayLike = -np.inf,
    upper: npt.ArrayLike = np.inf,
    max_steps: int = 32,
    name: str = "x",
) -> tuple[FloatArray, FloatArray, int]:
    """Update every element of `x` by one slice-sampling move that leaves its own density invariant.

    Parameters
    ----------
    log_density
        Takes an array of the shape of `x` and returns the log density of each element, in that shape, up to a
        constant per element. Elements must be independent given everything the function holds fixed. NaN and
        positive infinity count as outside the support.
    x
        Current values, of any shape, such as (chain, ...).
    rng
        Source of randomness.
    width
        Typical length of a slice, broadcast to `x`; it affects speed alone.
    lower, upper
        Bounds of the support, broadcast to `x`; nothing beyond them is evaluated.
    max_steps
        Largest length of the bracket in widths. Shared at random between the two sides, which keeps the move exact.
    name
        How an error calls the variable.

    Returns
    -------
    x_new
        New values.
    log_p_new
        Their log density.
    evaluations
        Calls of `log_density`, each on the whole array.

    Raises
    ------
    SupportError
        If the log density of a current value is not finite.

    References
    ----------
    Neal (2003), Slice sampling, Annals of Statistics 31, 705-767, figures 3 and 5.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros((4, 1000))
    >>> for _ in range(10):
    ...     x, log_p, evaluations = slice_sample(lambda x: -0.5 * (x - 3.0)**2, x, rng, width=3.0)
    >>> bool(abs(x.mean() - 3.0) < 5 / np.sqrt(x.size))
    True
    """
    x, width = np.asarray(x, float), np.asarray(width, float)
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    log_p = _evaluate(log_density, x)
    _check_start(name, x, log_p)
    level = log_p - rng.standard_exponential(x.shape)
    left = x - rng.random(x.shape) * width
    right = left + width
    # The random split of the steps makes the bracket as likely from the new point as from the old one.
    steps_left = np.floor(max_steps * rng.random(x.shape))
    steps_right = (max_steps - 1) - steps_left
    left, right = np.asarray(np.maximum(left, lower)), np.asarray(np.minimum(right, upper))
    grow_left, grow_right = (steps_left > 0) & (left > lower), (steps_right > 0) & (right < upper)
    x_new, log_p_new = x.copy(), log_p.copy()
    active = np.ones(x.shape, bool)
    evaluations = 1
    while active.any():
        candidate = left + rng.random(x.shape) * (right - left)
        shrinking = active & ~(grow_left | grow_right)
        point = np.where(shrinking, candidate, np.where(grow_left, left, np.where(grow_right, right, x_new)))
        log_p_point = _evaluate(log_density, point)
        evaluations += 1
        inside = log_p_point > level

        # Shrinkage: a candidate inside the slice is the new value, one outside becomes an end of the bracket.
        # A bracket that has closed on x in floating point leaves the element where it was.
        accepted = shrinking & (inside | (point == x))
        np.copyto(x_new, point, where=accepted)
        np.copyto(log_p_new, log_p_point, where=accepted & inside)
        active &= ~accepted
        rejected = shrinking & ~inside
        np.copyto(left, point, where=rejected & (point < x))
        np.copyto(right, point, where=rejected & (point > x))

        # Stepping out: first the left end of an element, then its right end.
        right_turn = grow_right & ~grow_left
        if grow_left.any():
            moved = grow_left & inside
            np.copyto(left, np.maximum(left - width, lower), where=moved)
            steps_left -= moved
            grow_left = moved & (steps_left > 0) & (left > lower)
        if right_turn.any():
            moved = right_turn & inside
            np.copyto(right, np.minimum(right + width, upper), where=moved)
            steps_right -= moved
            grow_right = np.where(right_turn, moved & (steps_right > 0) & (right < upper), grow_right)
    return x_new, log_p_new, evaluations


def _evaluate(log_density: Callable[[FloatArray], npt.ArrayLike], x: FloatArray) -> FloatArray:
    """Log density of each element, -inf where it is NaN or +inf: no draw may land there."""
    log_p = np.broadcast_to(np.asarray(log_density(x), float), x.shape)
    return np.where(log_p < np.inf, log_p, -np.inf)


def _check_start(name: str, x: FloatArray, log_p: FloatArray) -> None:
    """Refuse to start outside the support: no slice exists there."""
    if np.isfinite(log_p).all():
        return
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(log_p))[0])
    where = f" at index {index}" if index else ""
    raise SupportError(
        f"{name!r} must have a finite log density before a slice update. "
        f"Got {log_p[index]}{where}, where its value is {x[index]}.\n"
        f"Start {name!r} inside the support of its prior and of every term that depends on it."
    )
