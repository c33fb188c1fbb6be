"""Panels of one-number densities, halved where their Legendre series do not end in nothing: all cells at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayeskit.distributions.panels import NODES, ORDER, TO_LEGENDRE, WEIGHTS, gauss_points
from bayeskit.inference.core.profile import evaluate

__all__ = ["refine"]

Array = np.ndarray
LogDensity = Callable[[Array], Array]

_HELD = 8_000_000  # numbers held at the nodes of all cells, after which nothing is refined
_ROUNDS = 24
_PATIENCE = 5  # rounds that may gain nothing
_MIDDLE, _LAST = slice(5, 8), slice(13, 16)  # terms of a series
_AT_ENDS = np.stack([(-1.0) ** np.arange(ORDER), np.ones(ORDER)]) @ TO_LEGENDRE
_EPS = float(np.finfo(float).eps)


def refine(
    log_density: LogDensity, edges: Array, walls: Array, peak: Array, tolerance: float
) -> tuple[Array, Array, Array]:
    """Halve panels until the error of every cell is small, and go on outwards where an end was drawn too early.

    Parameters
    ----------
    log_density : callable
        From ``(n, cells)`` to ``(n, cells)``.
    edges : ndarray
        The first panels, ``(panels + 1, cells)``.
    walls : ndarray of bool
        Ends beyond which there is nothing, ``(2, cells)``.
    peak : ndarray
        About where the density is greatest, ``(cells,)``.
    tolerance : float
        Relative error of the integral to reach; that of the distribution function may be ten times this.

    Returns
    -------
    edges, values, error : ndarray
        The panels, the log densities at their nodes, and the estimated relative error of the integral.
    """
    values = evaluate(log_density, gauss_points(edges))
    before = np.full((_PATIENCE, edges.shape[1]), np.inf)
    for count in range(_ROUNDS + 1):
        errors, short, relative = _errors(edges, values, walls, peak, tolerance)
        worst = errors.max(axis=0)
        # what is close to the goal and gains nothing is noise
        failing = (worst > 1.0) & ((worst < 0.5 * before[0]) | (relative > 1e-4))
        before = np.concatenate([before[1:], worst[None]])
        wanted = np.where(failing, (errors > 1.0).sum(axis=0), 0).max()
        many = int(min(wanted, max(_HELD - values.size, 0) // (ORDER * edges.shape[1])))
        if not many or count == _ROUNDS:
            break
        edges, values = _split(
            log_density, edges, values, np.argsort(-errors, axis=0, kind="stable"), short, peak, many
        )
    return edges, values, relative


def _errors(edges: Array, values: Array, walls: Array, peak: Array, tolerance: float) -> tuple[Array, Array, Array]:
    """Errors of every panel over what they may be, ends that come too early, and the error of the integral.

    Of a series whose terms went from c in the middle to d at its end, the terms that come next are about d, and those
    that the rule of n points gets wrong, of order 2n, about ``d (d / c)^2``. The former are the error of the
    distribution function in a panel, the latter that of the integral.
    """
    panels = len(edges) - 1
    top = values.max(axis=0)
    half = 0.5 * np.diff(edges, axis=0)
    with np.errstate(under="ignore"):
        scaled = np.exp(values - top).reshape(panels, ORDER, -1)
    total = (np.einsum("pkc,k->pc", scaled, WEIGHTS) * half).sum(axis=0)
    middle, last = (
        np.abs(np.einsum("jk,pkc->pjc", TO_LEGENDRE[terms], scaled)).max(axis=1) for terms in (_MIDDLE, _LAST)
    )
    last = np.maximum(last, 1e-17 * scaled.max(axis=1))
    with np.errstate(all="ignore"):
        shrink = np.where(last < middle, last / middle, 1.0)
    within = half * last / (2 * ORDER) / total
    whole = 4.0 * half * last * shrink**2 / total
    # where neighbours disagree at their edge, something is between it and the nodes
    ends = np.einsum("jk,pkc->pjc", _AT_ENDS, scaled)
    apart = np.abs(ends[1:, 0] - ends[:-1, 1]) * (1.0 - NODES[-1]) / total
    whole[1:] += half[1:] * apart
    whole[:-1] += half[:-1] * apart
    beyond = np.where(walls, 0.0, _beyond(values.reshape(panels, ORDER, -1), scaled, half) / total)
    whole[0] += beyond[0]
    whole[-1] += beyond[1]
    # rounding of the log density and of the places themselves is what nothing refines
    span = total / np.maximum(scaled.max(axis=(0, 1)), 1e-300)
    noise = _EPS * (16.0 * np.maximum(np.abs(top), 1.0) + np.abs(peak) / span)
    goal = np.maximum(tolerance, noise)
    errors = np.maximum(within / (10.0 * goal), whole * panels / goal)
    return errors, beyond * panels > 0.5 * goal, whole.sum(axis=0) + noise


def _beyond(values: Array, scaled: Array, half: Array) -> Array:
    """What lies beyond the two ends, by how the density falls in the last panels: ``(2, cells)``."""
    result = []
    for side, outer, inner in ((0, 0, ORDER // 2), (-1, -1, ORDER // 2 - 1)):
        gap = abs(NODES[inner] - NODES[outer]) * half[side]
        with np.errstate(all="ignore"):
            slope = (values[side, inner] - values[side, outer]) / gap
            length = np.where(slope > 0, np.minimum(1.0 / slope, 2.0 * half[side]), 2.0 * half[side])
        result.append(scaled[side, outer] * length)
    return np.stack(result)


def _split(
    log_density: LogDensity, edges: Array, values: Array, order: Array, short: Array, peak: Array, many: int
) -> tuple[Array, Array]:
    """Make two panels of each of the worst: its halves, or where an end comes too early itself and one beyond it."""
    panels, cells = order.shape
    worst, kept = order[:many], np.sort(order[many:], axis=0)
    low, high = np.take_along_axis(edges, worst, 0), np.take_along_axis(edges, worst + 1, 0)
    middle = _middle(low, high, peak)
    down, up = (worst == 0) & short[0], (worst == panels - 1) & short[1] & (panels > 1)
    middle = np.where(down, low, np.where(up, high, middle))
    low, high = np.where(down, low - (high - low), low), np.where(up, high + (high - low), high)
    fresh = np.concatenate([np.stack([low, middle], axis=1), np.stack([middle, high], axis=1)])
    new = evaluate(log_density, _points(fresh))
    starts = np.concatenate([np.take_along_axis(edges, kept, 0), low, middle])
    old = np.take_along_axis(values.reshape(panels, ORDER, cells), kept[:, None], 0)
    joined = np.concatenate([old, new.reshape(-1, ORDER, cells)])
    del old, new  # of many cells these are large
    by_start = np.argsort(starts, axis=0, kind="stable")
    starts = np.take_along_axis(starts, by_start, 0)
    joined = np.take_along_axis(joined, by_start[:, None], 0)
    end = np.maximum(edges[-1], high.max(axis=0))
    return np.concatenate([starts, end[None]]), joined.reshape(-1, cells)


def _middle(low: Array, high: Array, peak: Array) -> Array:
    """Middle of panels; far from the peak, where a power would want it, by the logarithm of the distance."""
    below, above = np.abs(low - peak), np.abs(high - peak)
    near, far = np.minimum(below, above), np.maximum(below, above)
    stretched = ((low > peak) == (high > peak)) & (far > 4.0 * near) & (near > 0)
    by_log = peak + np.sign(low + high - 2.0 * peak) * np.sqrt(near) * np.sqrt(far)
    return np.where(stretched, by_log, 0.5 * (low + high))


def _points(ends: Array) -> Array:
    """Gauss nodes of panels given by their ends ``(panels, 2, cells)``."""
    low, high = ends[:, :1], ends[:, 1:]
    points = 0.5 * (low + high) + 0.5 * (high - low) * NODES[:, None]
    return points.reshape(-1, ends.shape[-1])
