r"""Integrals and draws of ``exp(h x - P x**2 / 2)`` between bounds, for ``P >= 0``.

A precision of zero leaves an exponential or a flat piece, and a small one a piece of a normal whose mean lies far out:
there the integral is taken from the nearer bound as Mills' ratio, so that no large numbers cancel.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, erfcx

Array = np.ndarray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_TRIES = 4
_STEEP = 1e3  # standard deviations between mean and bound, beyond which draws are exponential but for a rare rejection


def log_normal_integral(P: Array, h: Array, lower: Array, upper: Array) -> Array:
    """Return the log of the integral between two bounds; inf where it diverges.

    Examples
    --------
    >>> import numpy as np
    >>> P, h = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -2.0])
    >>> np.exp(log_normal_integral(P, h, np.array(0.0), np.array([np.inf, 3.0, np.inf]))).round(6)
    array([1.253314, 3.      , 0.5     ])
    """
    P, h, lower, upper = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (P, h, lower, upper)))
    with np.errstate(all="ignore"):
        low, high = np.where(np.isfinite(lower), lower, 0.0), np.where(np.isfinite(upper), upper, 0.0)
        below, above = np.isfinite(lower), np.isfinite(upper)
        slope_low = np.where(below, P * low - h, -np.inf)  # minus the slope of the kernel at the bound
        slope_high = np.where(above, P * high - h, np.inf)
        from_low = _from(P, h, low, slope_low, high, slope_high, above)
        from_high = _from(P, -h, -high, -slope_high, -low, -slope_low, below)
        root = np.sqrt(2.0 * P)
        mass = 0.5 * (erf(slope_high / root) + erf(-slope_low / root))
        inside = 0.5 * np.log(2 * np.pi / P) + 0.5 * h * h / P + np.log(mass)
        result = np.where(slope_low >= 0, from_low, np.where(slope_high <= 0, from_high, inside))
        half = 0.5 * (high - low)
        drop = np.maximum(np.abs(slope_low), np.abs(slope_high)) * half
        narrow = below & above & (drop < 2.0)
        result = np.where(narrow, _narrow(P, h, 0.5 * (low + high), half), result)
        diverges = (P < 0) | ((P == 0) & ~((below & above) | (below & (h < 0)) | (above & (h > 0))))
    return np.where(diverges, np.inf, result)


def _from(P: Array, h: Array, low: Array, slope: Array, high: Array, slope_high: Array, bounded: Array) -> Array:
    """Integrate from a bound beyond which the kernel falls, less what lies beyond the other one."""
    first = h * low - 0.5 * P * low * low + _log_mills(P, slope)
    beyond = h * high - 0.5 * P * high * high + _log_mills(P, slope_high)
    return np.where(bounded, first + np.log(-np.expm1(np.where(bounded, beyond - first, -1.0))), first)


def _log_mills(P: Array, slope: Array) -> Array:
    """Log of the integral of ``exp(-slope t - P t**2 / 2)`` over positive t."""
    ratio = slope / np.sqrt(2.0 * P)
    return np.where(ratio < 1e8, np.log(erfcx(ratio)) + 0.5 * np.log(0.5 * np.pi / P), -np.log(slope))


def _narrow(P: Array, h: Array, middle: Array, half: Array) -> Array:
    """Integrate by one Gauss rule where the kernel changes little between the bounds."""
    slope = (h - P * middle) * half
    curve = 0.5 * P * half * half
    total = sum(w * np.exp(slope * t - curve * t * t) for t, w in zip(_NODES, _WEIGHTS, strict=True))
    return h * middle - 0.5 * P * middle * middle + np.log(half) + np.log(total)


def draw_between(P: Array, h: Array, lower: Array, upper: Array, rng: np.random.Generator) -> Array:
    """Draw one number for every cell."""
    from bayeskit.distributions import Normal, Truncated

    P, h, lower, upper = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (P, h, lower, upper)))
    with np.errstate(all="ignore"):
        fall = np.maximum(P * lower - h, h - P * upper)  # how steeply the kernel falls from the nearer bound
        steep = (P == 0) | (fall > _STEEP * np.sqrt(P))
    result, waiting = np.empty(P.shape), ~steep
    for _ in range(_TRIES):  # most draws fall between the bounds, as a rule
        if not waiting.any():
            break
        x = h[waiting] / P[waiting] + rng.standard_normal(int(waiting.sum())) / np.sqrt(P[waiting])
        result[waiting] = x
        waiting[waiting] = (x <= lower[waiting]) | (x >= upper[waiting])
    if waiting.any():
        mean, sd = h[waiting] / P[waiting], P[waiting] ** -0.5
        cut = Truncated(Normal(0, 1), lower=0.0, upper=1.0)
        result[waiting] = cut._sample(rng, mean.shape, mean, sd, lower[waiting], upper[waiting])
    if steep.any():
        result[steep] = _draw_steep(P[steep], h[steep], lower[steep], upper[steep], rng)
    return result


def _draw_steep(P: Array, h: Array, lower: Array, upper: Array, rng: np.random.Generator) -> Array:
    """Draw exponential distances from the bound the kernel falls from, and reject for its curvature."""
    with np.errstate(all="ignore"):
        rises = np.where(np.isfinite(upper), h - P * np.where(np.isfinite(upper), upper, 0.0), -1.0) > 0
        start, sign = np.where(rises, upper, lower), np.where(rises, -1.0, 1.0)
        slope, width = sign * (P * start - h), upper - lower
    distance = np.empty(P.shape)
    waiting = np.arange(P.size)
    while len(waiting):
        s, w = slope[waiting], width[waiting]
        u = rng.random(len(waiting))
        with np.errstate(all="ignore"):
            t = np.where(s * w < 1e-12, u * w, -np.log1p(u * np.expm1(-s * w)) / s)
        accepted = rng.standard_exponential(len(waiting)) >= 0.5 * P[waiting] * t * t
        distance[waiting[accepted]] = t[accepted]
        waiting = waiting[~accepted]
    return start + sign * distance
