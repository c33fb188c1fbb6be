"""Distribution function and quantiles of the generalised inverse Gaussian, by quadrature for all cells at once.

The log density of ``u = log x - mode`` is concave, and known in closed form up to a constant. Each side of the mode is
cut where it has dropped by fixed amounts (a Newton iteration on a convex function); between two cuts the density is
smooth whatever the parameters, and a Gauss rule of 12 points is right to about 1e-13. Nothing is left after a drop
of 40.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import roots_legendre

from bayeskit.distributions.domains import Array
from bayeskit.distributions.gig_draws import curvature, drop, mode_of_log

__all__ = ["quantile", "tails"]

_LEVELS = np.array([1e-8, 1e-4, 1e-2, 0.1, 0.5, 1.5, 3.0, 6.0, 11.0, 19.0, 29.0, 40.0])
_NODES, _WEIGHTS = roots_legendre(12)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
_CHUNK = 16384


def tails(x: Any, p: Any, a: Any, b: Any) -> tuple[Array, Array]:
    """Probability below and above `x`, each right relative to itself until the density has dropped by exp(-40).

    Examples
    --------
    >>> below, above = tails(1.5, -0.5, 4.0, 9.0)
    >>> float(below.round(6)), float(above.round(6))
    (0.578395, 0.421605)
    """
    below, above = _in_chunks(_tails, 2, x, p, a, b)
    return below, above


def quantile(below: Any, above: Any, p: Any, a: Any, b: Any) -> Array:
    """Value with the probabilities `below` and `above` on its two sides; the smaller one is what is solved for.

    Examples
    --------
    >>> float(quantile(0.5, 0.5, -0.5, 4.0, 9.0).round(6))
    1.385858
    """
    (result,) = _in_chunks(_quantile, 1, below, above, p, a, b)
    return result


def _in_chunks(function: Any, outputs: int, *arguments: Any) -> tuple[Array, ...]:
    arrays = np.broadcast_arrays(*(np.asarray(argument, dtype=float) for argument in arguments))
    shape, flat = arrays[0].shape, [array.ravel() for array in arrays]
    results = [np.empty(flat[0].shape) for _ in range(outputs)]
    with np.errstate(all="ignore"):
        for start in range(0, flat[0].size, _CHUNK):
            part = function(*(array[start : start + _CHUNK] for array in flat))
            for result, values in zip(results, part, strict=True):
                result[start : start + _CHUNK] = values
    return tuple(result.reshape(shape) for result in results)


class _Panels:
    """The density of u for each cell, cut into panels, with the mass of each."""

    def __init__(self, p: Array, a: Array, b: Array) -> None:
        self.lam = np.abs(p)
        self.alpha = curvature(self.lam, np.sqrt(a) * np.sqrt(b))
        self.sign = np.where(p < 0, -1.0, 1.0)
        self.mode = mode_of_log(p, a, b)
        right = _crossing(self.alpha[:, None], self.lam[:, None], 1.0)
        left = _crossing(self.alpha[:, None], self.lam[:, None], -1.0)
        # To the left the drop is linear until, at any depth, its other part sets in: cut there as well.
        bend = np.arccosh(1.0 + _LEVELS / self.alpha[:, None])
        left = np.sort(np.concatenate([left, np.fmin(bend, left[:, -1:])], axis=1), axis=1)
        self.edges = np.concatenate([-left[:, ::-1], np.zeros((len(p), 1)), right], axis=1)
        masses = self.mass(self.edges[:, :-1], self.edges[:, 1:])
        zero = np.zeros((len(p), 1))
        self.total = masses.sum(axis=1)
        self.below = np.concatenate([zero, np.cumsum(masses, axis=1)], axis=1)
        self.above = np.concatenate([zero, np.cumsum(masses[:, ::-1], axis=1)], axis=1)[:, ::-1]

    def mass(self, start: Array, end: Array) -> Array:
        """Integral of exp(-drop) between two points, one Gauss rule."""
        width = end - start
        trailing = (slice(None),) + (None,) * (start.ndim - 1)
        alpha, lam = self.alpha[trailing], self.lam[trailing]
        total = np.zeros_like(width)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            total += weight * np.exp(-drop(start + node * width, alpha, lam))
        return total * width

    def ends(self, index: Array) -> tuple[Array, Array]:
        rows = np.arange(len(index))
        return self.edges[rows, index], self.edges[rows, index + 1]


def _crossing(alpha: Array, lam: Array, side: float) -> Array:
    """Distance from the mode at which the log density has dropped by each level, by Newton from outside."""
    level = _LEVELS[None, :]
    if side > 0:
        c = level / (0.5 * alpha + lam)
        start = np.fmin(np.sqrt(2.0 * level / (alpha + lam)), np.log1p(4.0 * c / 3.0 + np.sqrt(2.0 * c)))
    else:
        c = level / lam
        start = np.fmin(np.arccosh(1.0 + level / alpha), 0.5 * (c + np.sqrt(c * c + 8.0 * c)))
        # arccosh(1 + y) loses y below 1e-16, where it is its first term.
        start = np.fmax(start, np.fmin(np.sqrt(2.0 * level / alpha), 1e-7))
    v = start
    for _ in range(30):
        u = side * v
        slope = side * (alpha * np.sinh(u) + lam * np.expm1(u))
        step = (drop(u, alpha, lam) - level) / slope
        v = np.where(step > 0, v - step, v)
        if np.all(step < 1e-10 * v):
            break
    return v


def _tails(x: Array, p: Array, a: Array, b: Array) -> tuple[Array, Array]:
    panels = _Panels(p, a, b)
    u = panels.sign * (np.log(np.maximum(x, 0.0)) - panels.mode)
    index = np.clip((panels.edges < u[:, None]).sum(axis=1) - 1, 0, panels.edges.shape[1] - 2)
    start, end = panels.ends(index)
    u = np.clip(u, panels.edges[:, 0], panels.edges[:, -1])
    rows = np.arange(len(x))
    below = (panels.below[rows, index] + panels.mass(start, u)) / panels.total
    above = (panels.above[rows, index + 1] + panels.mass(u, end)) / panels.total
    flip = panels.sign < 0
    return np.where(flip, above, below), np.where(flip, below, above)


def _quantile(below: Array, above: Array, p: Array, a: Array, b: Array) -> tuple[Array]:
    panels = _Panels(p, a, b)
    flip = panels.sign < 0
    left, right = np.where(flip, above, below), np.where(flip, below, above)
    from_left = left <= right
    wanted = np.where(from_left, left, right) * panels.total
    inner_left = (panels.below[:, 1:-1] < wanted[:, None]).sum(axis=1)
    inner_right = (panels.above[:, 1:-1] >= wanted[:, None]).sum(axis=1)
    index = np.where(from_left, inner_left, inner_right)
    rows = np.arange(len(p))
    rest = np.where(from_left, wanted - panels.below[rows, index], wanted - panels.above[rows, index + 1])
    start, end = panels.ends(index)
    low, high = start, end
    whole = panels.mass(start, end)
    share = np.clip(rest / whole, 0.0, 1.0)
    u = np.where(from_left, start + share * (end - start), end - share * (end - start))
    for _ in range(60):
        mass = np.where(from_left, panels.mass(start, u), panels.mass(u, end))
        excess = np.where(from_left, mass - rest, rest - mass)
        low, high = np.where(excess < 0, u, low), np.where(excess > 0, u, high)
        step = excess * np.exp(drop(u, panels.alpha, panels.lam))
        proposal = u - step
        proposal = np.where((proposal >= low) & (proposal <= high), proposal, 0.5 * (low + high))
        done = np.abs(proposal - u) <= 1e-15 * np.maximum(np.abs(u), 1.0)
        u = proposal
        if np.all(done | (excess == 0)):
            break
    value = np.exp(panels.mode + panels.sign * u)
    return (np.where(below <= 0, 0.0, np.where(above <= 0, np.inf, value)),)
