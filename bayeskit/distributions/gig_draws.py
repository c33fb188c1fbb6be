"""Exact draws of the generalised inverse Gaussian, for all cells at once.

L. Devroye, "Random variate generation for the generalized inverse Gaussian distribution", Statistics and Computing 24,
2014: rejection in the logarithm, centred on its mode, below a hat that is flat in the middle and exponential in both
tails. The acceptance probability is bounded from below for all parameters, so that a few passes over the cells that
still wait are enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.domains import Array
from bayeskit.distributions.gammadraws import LARGEST, SMALLEST, log_standard_gamma

__all__ = ["curvature", "draw", "drop", "mode_of_log"]


def curvature(lam: Any, omega: Any) -> Any:
    """Devroye's alpha, ``sqrt(lam**2 + omega**2) - lam`` without cancellation."""
    with np.errstate(all="ignore"):
        return np.where(omega > 0, omega * (omega / (lam + np.hypot(lam, omega))), 0.0)


def drop(u: Any, alpha: Any, lam: Any) -> Any:
    """How far the log density of log x lies below its mode, `u` away from it; convex, zero at zero."""
    half = np.sinh(0.5 * u)
    return 2.0 * alpha * half * half + lam * (np.expm1(u) - u)


def mode_of_log(p: Any, a: Any, b: Any) -> Any:
    """Log of the x where the density of log x peaks, for p of either sign."""
    with np.errstate(all="ignore"):
        lam = np.abs(p)
        total = lam + np.hypot(lam, np.sqrt(a) * np.sqrt(b))
        return np.where(p >= 0, np.log(total / a), -np.log(total / b))


def draw(rng: np.random.Generator, shape: tuple[int, ...], p: Any, a: Any, b: Any) -> Array:
    """Draw from GIG(p, a, b).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        Shape of the result.
    p, a, b : array_like
        Parameters, broadcasting to `shape`.

    Examples
    --------
    >>> draw(np.random.default_rng(1), (3,), -0.5, 4.0, 9.0).shape
    (3,)
    """
    p, a, b = (np.broadcast_to(np.asarray(value, dtype=float), shape).ravel() for value in (p, a, b))
    omega = np.sqrt(a) * np.sqrt(b)
    log_x = np.empty(p.shape)
    inner = omega > 0
    if inner.any():
        sign = np.where(p < 0, -1.0, 1.0)[inner]
        log_x[inner] = mode_of_log(p, a, b)[inner] + sign * _centred(rng, np.abs(p[inner]), omega[inner])
    if not inner.all():
        edge = ~inner
        gamma = log_standard_gamma(rng, np.abs(p[edge]), (int(edge.sum()),))
        with np.errstate(divide="ignore"):
            log_x[edge] = np.where(b[edge] == 0, gamma - np.log(0.5 * a[edge]), np.log(0.5 * b[edge]) - gamma)
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(np.exp(log_x), SMALLEST, LARGEST).reshape(shape)


def _centred(rng: np.random.Generator, lam: Array, omega: Array) -> Array:
    """Log of GIG(lam, omega, omega) less its mode, for lam >= 0."""
    with np.errstate(all="ignore"):
        alpha = curvature(lam, omega)
        t, s = _hat_width(alpha, lam)
        eta, theta = drop(t, alpha, lam), drop(-s, alpha, lam)
        zeta = alpha * np.sinh(t) + lam * np.expm1(t)
        xi = alpha * np.sinh(s) - lam * np.expm1(-s)
        left, right = 1.0 / xi, 1.0 / zeta
        t_flat, s_flat = t - right * eta, s - left * theta
        middle = t_flat + s_flat
        result = np.empty(lam.shape)
        waiting = np.arange(len(lam))
        while len(waiting):
            al, la = alpha[waiting], lam[waiting]
            lt, rt, mid = left[waiting], right[waiting], middle[waiting]
            tf, sf = t_flat[waiting], s_flat[waiting]
            u = rng.random(len(waiting)) * (lt + mid + rt)
            e = rng.standard_exponential(len(waiting))
            x = np.where(u < mid, u - sf, np.where(u < mid + rt, tf + rt * e, -sf - lt * e))
            hat = np.where(u < mid, 0.0, -e)
            accepted = hat - rng.standard_exponential(len(waiting)) <= -drop(x, al, la)
            result[waiting[accepted]] = x[accepted]
            waiting = waiting[~accepted]
    return result


def _hat_width(alpha: Array, lam: Array) -> tuple[Array, Array]:
    """Where the flat part of the hat meets its tails: Devroye's t and s."""
    one = np.ones_like(lam)
    up, down = drop(one, alpha, lam), drop(-one, alpha, lam)
    t = np.where(up > 2.0, np.sqrt(2.0 / (alpha + lam)), np.where(up < 0.5, np.log(4.0 / (alpha + 2.0 * lam)), one))
    short = np.minimum(1.0 / lam, np.arccosh(1.0 + 1.0 / alpha))
    s = np.where(down > 2.0, np.sqrt(4.0 / (alpha * np.cosh(1.0) + lam)), np.where(down < 0.5, short, one))
    return t, s
