"""Narrowest intervals of unimodal families, for all cells at once.

Let ``lo = Q(p)`` and ``hi = Q(p + prob)``. The width falls in p as long as the density at ``lo`` is below the density
at ``hi``; for a unimodal density this changes once, so that a bracketed root is the narrowest interval. Comparing with
the two intervals at the edges covers monotone and bath-tub densities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.domains import Array

if TYPE_CHECKING:
    from bayeskit.distributions.base import Distribution

__all__ = ["narrowest", "narrowest_discrete"]

CHUNK = 65536
_STEP = 1.0 / 128  # of the share of the outer probability that lies below: of densities with several peaks


def narrowest(distribution: Distribution, prob: float, arrays: list[Array]) -> tuple[Array, Array]:
    """Narrowest interval of a continuous family that holds a probability.

    Parameters
    ----------
    distribution : Distribution
        Supplies the kernels.
    prob : float
        The probability.
    arrays : list of ndarray
        The parameters, each of shape ``(cells,)``.

    Returns
    -------
    lower, upper : ndarray
        Shape ``(cells,)``.
    """
    return _in_chunks(_narrowest, distribution, prob, arrays)


def narrowest_discrete(distribution: Distribution, prob: float, arrays: list[Array]) -> tuple[Array, Array]:
    """Narrowest run of whole numbers that holds at least a probability; of several, the most probable.

    Parameters and returns are those of `narrowest`.
    """
    return _in_chunks(_narrowest_discrete, distribution, prob, arrays)


def _in_chunks(
    search: Callable[..., tuple[Array, Array]], distribution: Distribution, prob: float, arrays: list[Array]
) -> tuple[Array, Array]:
    # A single parameterless family still has one cell.
    cells = max((len(array) for array in arrays), default=1)
    lower, upper = np.empty(cells), np.empty(cells)
    for start in range(0, cells, CHUNK):
        part = [array[start : start + CHUNK] for array in arrays]
        lower[start : start + CHUNK], upper[start : start + CHUNK] = search(distribution, prob, part)
    return lower, upper


def _narrowest(distribution: Distribution, prob: float, params: list[Array]) -> tuple[Array, Array]:
    def ends(tail: Array, values: list[Array]) -> tuple[Array, Array]:
        return distribution._quantile(tail, *values), distribution._quantile(np.minimum(tail + prob, 1.0), *values)

    # The lower tail is (1 - prob) * expit(t), so that tails far below 1e-16 are reached.
    def tail(t: Array) -> Array:
        return (1 - prob) / (1 + np.exp(-t))

    def excess(t: Array, values: list[Array]) -> Array:
        lower, upper = ends(tail(t), values)
        return np.asarray(distribution._log_prob(lower, *values) - distribution._log_prob(upper, *values))

    size = np.shape(params[0]) if params else (1,)
    root = _root(excess, params, np.full(size, -80.0), np.full(size, 40.0))
    # The last of equals is taken: for a flat density the central interval, for a symmetric tub the lower one.
    others = (np.full(size, 1 - prob), np.zeros(size), np.full(size, 0.5 * (1 - prob)))
    lower, upper = _shortest([ends(tail(root), params), *(ends(other, params) for other in others)])
    several = np.broadcast_to(distribution._several_peaks(*params), size)
    if several.any():
        rows = [param[several] for param in params]
        share = _scan(ends, prob, rows)
        near = [_root(excess, rows, *(_log_odds(np.clip(share + step, 0.0, 1.0)) for step in (-_STEP, _STEP)))]
        found = [(lower[several], upper[several]), ends((1 - prob) * share, rows), *(ends(tail(t), rows) for t in near)]
        lower[several], upper[several] = _shortest(found)
    return lower, upper


def _scan(ends: Callable[..., tuple[Array, Array]], prob: float, params: list[Array]) -> Array:
    """Share of the probability outside that lies below the shortest of many intervals."""
    cells = len(params[0])
    best, shortest = np.zeros(cells), np.full(cells, np.inf)
    shares = np.arange(0.0, 1.0 + 0.5 * _STEP, _STEP)
    rows = max(CHUNK // cells, 1)
    for start in range(0, len(shares), rows):
        share = shares[start : start + rows, None]
        lower, upper = ends(np.broadcast_to((1 - prob) * share, (len(share), cells)), params)
        width = np.where(np.isfinite(upper - lower), upper - lower, np.inf)
        place = width.argmin(axis=0)
        least = width[place, np.arange(cells)]
        best, shortest = np.where(least < shortest, share[place, 0], best), np.minimum(shortest, least)
    return best


def _log_odds(share: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.clip(np.log(share) - np.log1p(-share), -80.0, 40.0)


def _root(function: Callable[..., Array], params: list[Array], low: Array, high: Array) -> Array:
    """Root of an increasing function in each cell; an end where there is none.

    T. Chandrupatla's method (Advances in Engineering Software 28, 1997): inverse quadratic interpolation where it can
    be trusted, else bisection. Cells that are done leave.
    """
    result = low.copy()
    b, a = low.copy(), high.copy()
    fb, fa = function(b, params), function(a, params)
    result = np.where(fa <= 0, a, result)
    # nan: the ends of the support are singular, so that only the edges are left to compare.
    live = np.flatnonzero((fb < 0) & (fa > 0))
    a, b, fa, fb = a[live], b[live], fa[live], fb[live]
    params = [param[live] for param in params]
    c, fc, step = a, fa, np.full(len(live), 0.5)
    for _ in range(100):
        if not len(live):
            break
        x = a + step * (b - a)
        fx = function(x, params)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        limit = 1e-11 * (1.0 + np.abs(best)) / np.abs(b - c)
        done = (limit > 0.5) | (fx == 0) | np.isnan(fx)
        result[live[done]] = best[done]
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        trusted = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        quadratic = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        step = np.where(trusted & np.isfinite(quadratic), np.clip(quadratic, limit, 1 - limit), 0.5)
        keep = ~done
        a, b, c, fa, fb, fc, step, live = (v[keep] for v in (a, b, c, fa, fb, fc, step, live))
        params = [param[keep] for param in params]
    result[live] = a
    return result


def _shortest(candidates: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    lower, upper = candidates[0]
    for other_lower, other_upper in candidates[1:]:
        # Ties within rounding: a monotone density starts at the end of its support exactly.
        better = other_upper - other_lower <= (upper - lower) * (1 + 1e-14)
        lower, upper = np.where(better, other_lower, lower), np.where(better, other_upper, upper)
    return lower, upper


def _narrowest_discrete(distribution: Distribution, prob: float, params: list[Array]) -> tuple[Array, Array]:
    # A hair less than prob, so that a mass which equals it up to rounding is enough.
    mass = prob * (1 - 1e-12)

    def before(k: Array) -> Any:
        return distribution._cdf(k - 1, *params)

    def end(k: Array) -> Any:
        return distribution._quantile(np.minimum(before(k) + mass, 1.0), *params)

    size = np.shape(params[0]) if params else (1,)
    least, _ = (np.broadcast_to(bound, size) for bound in distribution._bounds(*params))
    first = np.where(np.isfinite(least), least, distribution._quantile(np.full(size, 1e-15), *params))
    last = distribution._quantile(np.full(size, 1 - mass), *params)
    low, high = first, last
    while np.any(low < high):
        middle = np.floor((low + high) / 2)
        rising = distribution._log_prob(middle, *params) < distribution._log_prob(end(middle) + 1, *params)
        low, high = np.where(rising, np.minimum(middle + 1, high), low), np.where(rising, high, middle)
    candidates = [np.clip(low + shift, first, last) for shift in (-1, 0, 1)] + [first, last]
    best_lower, best_upper = low, end(low)
    best_mass = distribution._cdf(best_upper, *params) - before(best_lower)
    for lower in candidates:
        upper = end(lower)
        held = distribution._cdf(upper, *params) - before(lower)
        width, best_width = upper - lower, best_upper - best_lower
        better = (held >= mass) & ((width < best_width) | ((width == best_width) & (held > best_mass)))
        best_lower, best_upper = np.where(better, lower, best_lower), np.where(better, upper, best_upper)
        best_mass = np.where(better, held, best_mass)
    return best_lower, best_upper
