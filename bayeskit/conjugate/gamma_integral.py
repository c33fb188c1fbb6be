r"""Integrals and draws of ``v**(p - 1) exp(-(a v + b / v) / 2)`` between bounds, for any order p.

Between bounds the kernel has an integral where the whole one has none: a standard deviation that is Uniform(0, U) has,
after one observation, an inverse gamma of shape 0 cut at U. In ``w = log v`` the kernel is log-concave whatever its
parameters; each side of its peak is cut where it has dropped by fixed amounts, and a Gauss rule serves between cuts.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
_LEVELS = np.array([1e-3, 0.1, 0.7, 2.0, 4.5, 8.0, 13.0, 20.0, 29.0, 40.0])


def log_gamma_integral(p: Array, a: Array, b: Array, lower: Array, upper: Array) -> Array:
    """Return the log of the integral between two bounds; inf where it diverges.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> log_gamma_integral(2 * one, 0 * one, 0 * one, np.array(0.0), np.array(3.0)).round(6)     # log(9 / 2)
    array([1.504077])
    >>> log_gamma_integral(0 * one, 0 * one, 2 * one, np.array(0.0), np.array(1.0)).round(6)     # log E1(1)
    array([-1.516932])
    """
    shape, cells = _cells(p, a, b, lower, upper)
    result = np.full(cells[0].shape, np.inf)
    proper = _is_proper(*cells)
    power = proper & (cells[1] == 0) & (cells[2] == 0)
    if power.any():
        result[power] = _log_power_integral(*(c[power] for c in (cells[0], cells[3], cells[4])))
    rest = proper & ~power
    if rest.any():
        result[rest] = Pieces(*(c[rest] for c in cells)).log_total
    return result.reshape(shape)


def draw_between(p: Array, a: Array, b: Array, lower: Array, upper: Array, rng: np.random.Generator) -> Array:
    """Draw one number between the bounds for every cell, by inverting the distribution function."""
    shape, cells = _cells(p, a, b, lower, upper)
    result = np.full(cells[0].shape, np.nan)
    u = rng.uniform(2.0**-54, 1.0, cells[0].shape)
    power = (cells[1] == 0) & (cells[2] == 0)
    if power.any():
        result[power] = _power_quantile(u[power], *(c[power] for c in (cells[0], cells[3], cells[4])))
    if not power.all():
        rest = ~power
        result[rest] = Pieces(*(c[rest] for c in cells)).quantile(u[rest])
    return result.reshape(shape)


def _cells(*arrays: Array) -> tuple[tuple[int, ...], list[Array]]:
    full = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in arrays))
    return full[0].shape, [x.reshape(-1) for x in full]


def _is_proper(p: Array, a: Array, b: Array, lower: Array, upper: Array) -> Array:
    return ((b > 0) | (p > 0) | (lower > 0)) & ((a > 0) | (p < 0) | (upper < np.inf))


def _log_power_integral(p: Array, lower: Array, upper: Array) -> Array:
    """Log of the integral of ``v**(p - 1)``, from the bound where it is large."""
    with np.errstate(all="ignore"):
        width = np.log(upper) - np.log(lower)
        end = np.where(p > 0, p * np.log(upper), p * np.log(lower))
        size = np.abs(p)
        return np.where(p == 0, np.log(width), end + np.log(-np.expm1(-size * width)) - np.log(size))


def _power_quantile(u: Array, p: Array, lower: Array, upper: Array) -> Array:
    with np.errstate(all="ignore"):
        width = np.log(upper) - np.log(lower)
        size = np.abs(p)
        # distance in logs from the bound where the density of log v is largest
        away = np.where(size * width < 1e-12, u * width, -np.log1p(u * np.expm1(-size * width)) / size)
        return np.where(p > 0, np.exp(np.log(upper) - away), np.exp(np.log(lower) + away))


class Pieces:
    """The density of ``w = log v`` for cells, cut into pieces about its peak, with the mass of each."""

    def __init__(self, p: Array, a: Array, b: Array, lower: Array, upper: Array) -> None:
        with np.errstate(all="ignore"):
            self.low, self.high = np.log(lower), np.log(upper)
            root = np.sqrt(p * p + a * b)
            top = np.where(p >= 0, np.where(a > 0, (p + root) / a, np.inf), b / (root - p))
            self.peak = np.clip(np.log(top), self.low, self.high)
            inside = self.peak == np.log(top)
            x = np.exp(self.peak)
            self.rise, self.fall = 0.5 * a * x, 0.5 * np.where(b > 0, b / x, 0.0)
            self.slope = np.where(inside, 0.0, self.rise - self.fall - p)  # of the drop, at the peak
            self.log_peak = p * self.peak - self.rise - self.fall
            right = self._cuts(1.0, self.high - self.peak)
            left = self._cuts(-1.0, self.peak - self.low)
            start = np.zeros((len(p), 1))
            self.edges = np.concatenate([-left[:, ::-1], start, right], axis=1)
            self.masses = self._mass(self.edges[:, :-1], self.edges[:, 1:])
            self.total = self.masses.sum(axis=1)
            self.log_total = self.log_peak + np.log(self.total)

    def _drop(self, u: Array) -> Array:
        """How far the log density lies below its peak, u away from it."""
        rise, fall, slope = (c.reshape(-1, *(1,) * (u.ndim - 1)) for c in (self.rise, self.fall, self.slope))
        near = np.abs(u) < 1e-4
        cubic = u * u * (0.5 + u / 6.0)
        up = np.where(near, cubic, np.expm1(u) - u)
        down = np.where(near, u * u * (0.5 - u / 6.0), np.expm1(-u) + u)
        return slope * u + rise * up + fall * np.where(fall > 0, down, 0.0)

    def _cuts(self, side: float, limit: Array) -> Array:
        """Distances from the peak at which the drop reaches each level, but not beyond a bound."""
        levels = np.broadcast_to(_LEVELS, (len(limit), len(_LEVELS)))
        high = np.full(levels.shape, 1e-12)
        for _ in range(200):
            short = (self._drop(side * high) < levels) & (high < limit[:, None])
            if not short.any():
                break
            high = np.where(short, 2.0 * high, high)
        low = 0.5 * high
        for _ in range(30):
            middle = 0.5 * (low + high)
            short = self._drop(side * middle) < levels
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.minimum(high, limit[:, None])

    def _mass(self, start: Array, end: Array) -> Array:
        width = end - start
        total = np.zeros_like(width)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            total += weight * np.exp(-self._drop(start + node * width))
        return total * width

    def quantile(self, u: Array) -> Array:
        """Return v below which lies the share u of the mass."""
        below = np.concatenate([np.zeros((len(u), 1)), np.cumsum(self.masses, axis=1)], axis=1)
        wanted = u * self.total
        index = np.clip((below[:, 1:] < wanted[:, None]).sum(axis=1), 0, self.masses.shape[1] - 1)
        rows = np.arange(len(u))
        start, end = self.edges[rows, index], self.edges[rows, index + 1]
        rest = wanted - below[rows, index]
        low, high = start, end
        at = start + np.clip(rest / self.masses[rows, index], 0.0, 1.0) * (end - start)
        with np.errstate(all="ignore"):
            for _ in range(60):
                excess = self._mass(start, at) - rest
                low, high = np.where(excess < 0, at, low), np.where(excess > 0, at, high)
                step = at - excess * np.exp(self._drop(at))
                fresh = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
                moved = np.abs(fresh - at)
                at = fresh
                if np.all(moved <= 1e-15 * np.maximum(np.abs(at), 1.0)):
                    break
            return np.clip(np.exp(self.peak + at), np.exp(self.low), np.exp(self.high))
