"""Where one-number log densities have their mass: a scan of all cells at once, each at its own pace.

A profile holds the points at which the density was evaluated, sorted. Every round adds a few points to every cell, by
what the cell lacks: a peak between two neighbours that are a little lower, ends beyond which nothing is left, and no
step between neighbours that hides a wall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayeskit.errors import RefusedError

__all__ = ["DEPTH", "Profile", "scan"]

Array = np.ndarray
LogDensity = Callable[[Array], Array]

DEPTH = 37.0  # nats: what lies deeper, on the scale of the distance's logarithm, is less than 1e-16 of the whole
_FIRST = np.array([-16.0, -8.0, -4.0, -2.0, -1.0, -0.25, -1 / 16, 0.0, 1 / 16, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0])
_SIDE = 4  # points a round on each side
_ROUNDS = 45
_SEARCHES = 10  # for any point of positive density, 16 times further each time
_DEEP, _STEP = 150.0, 3.2  # in square roots of nats: the steps that are looked into
_OUTWARD = np.array([1.6, 1.6, 2.5, 6.0, 30.0, 1e3, 1e6, 1e12, 1e24])
_FAR = 1e290
_HELD = 2**17  # points of all cells that are evaluated at a time


@dataclass
class Profile:
    """Points ``(n, cells)`` and log densities there, sorted by the points.

    Attributes
    ----------
    x, f : ndarray
        Points and log densities.
    spread : ndarray
        On the left and on the right of the peak, how far the density falls by about half a nat: ``(2, cells)``.
    open_ends : ndarray of bool
        Sides on which no end was found, ``(2, cells)``.
    """

    log_density: LogDensity
    x: Array
    f: Array
    spread: Array
    open_ends: Array
    _depth: Array | None = None

    def add(self, points: Array) -> None:
        """Evaluate at points ``(m, cells)`` and sort them in."""
        x = np.concatenate([self.x, points])
        f = np.concatenate([self.f, evaluate(self.log_density, points)])
        order, cells = np.argsort(x, axis=0, kind="stable"), np.arange(x.shape[1])
        self.x, self.f = x[order, cells], f[order, cells]
        self._depth = None

    def at(self, index: Array) -> tuple[Array, Array]:
        """Return the points and log densities of one row number per cell."""
        rows, cells = np.minimum(np.maximum(index, 0), len(self.x) - 1), np.arange(self.x.shape[1])
        return self.x[rows, cells], self.f[rows, cells]

    @property
    def best(self) -> Array:
        """Row of the highest point of each cell."""
        return self.f.argmax(axis=0)

    def depth(self) -> Array:
        """Nats below the highest point, less the log of the distance in spreads: what a point's surroundings weigh."""
        if self._depth is None:
            peak, top = self.at(self.best)
            away = self.x - peak
            scaled = np.where(away < 0, away * (-1.0 / self.spread[0]), away * (1.0 / self.spread[1]))
            self._depth = top - self.f - np.log(np.maximum(scaled, 1.0))
        return self._depth

    def ends(self) -> tuple[Array, Array]:
        """Rows of the outermost points that weigh anything."""
        heavy = self.depth() < DEPTH
        return heavy.argmax(axis=0), len(heavy) - 1 - heavy[::-1].argmax(axis=0)


def evaluate(log_density: LogDensity, points: Array) -> Array:
    """Log density at points, of many cells at some of them at a time; what is no number counts as -inf."""
    result = np.empty(points.shape)
    step = max(_HELD // max(points.shape[1], 1), 1)
    with np.errstate(all="ignore"):
        for start in range(0, len(points), step):
            here = points[start : start + step]
            f = np.asarray(log_density(here), dtype=float)
            result[start : start + step] = np.where(np.isfinite(f) & np.isfinite(here), f, -np.inf)
    return result


def scan(log_density: LogDensity, start: Array, scale: Array) -> Profile:
    """Find where every cell has its mass.

    Parameters
    ----------
    log_density : callable
        From ``(n, cells)`` to ``(n, cells)``.
    start, scale : ndarray
        A rough centre and spread of every cell.

    Raises
    ------
    RefusedError
        Where no point of positive density is found.
    """
    step = np.maximum(scale, 1e-9 * np.abs(start))
    x = start + step * _FIRST[:, None]
    profile = Profile(log_density, x, evaluate(log_density, x), np.array([step, step]), np.zeros((2, len(start)), bool))
    for reach in range(_SEARCHES):
        if np.isfinite(profile.f).any(axis=0).all():
            break
        away = step * 2.0 ** (4 * reach - 12 + np.arange(0.0, 4.0, 1.0 / 6.0))[:, None]
        profile.add(np.concatenate([start - away, start + away]))
    if not np.isfinite(profile.f).any(axis=0).all():
        lost = int((~np.isfinite(profile.f).any(axis=0)).sum())
        raise RefusedError(
            f"No value of positive density was found in {lost} of {len(start)} cells. Start where the density is "
            "positive."
        )
    counts = np.zeros((2, len(start)), dtype=int)
    for _ in range(_ROUNDS):
        points, busy = _proposals(profile, counts)
        if not busy.any():
            break
        profile.add(points)
    return profile


def _proposals(profile: Profile, counts: Array) -> tuple[Array, Array]:
    """Points that every cell lacks, and which cells lack any."""
    x, f, best = profile.x, profile.f, profile.best
    peak, top = profile.at(best)
    rows = np.arange(len(x))[:, None]
    lower = top - f > 0.5
    left = np.where(lower & (rows < best), rows, -1).max(axis=0)
    right = np.where(lower & (rows > best), rows, len(x)).min(axis=0)
    (xl, fl), (xr, fr) = profile.at(left), profile.at(right)
    width = np.array([peak - xl, xr - peak])
    drop = np.array([top - fl, top - fr])
    missing = np.array([left < 0, right == len(x)])
    width, drop = np.where(missing, width[::-1], width), np.where(missing, 1.0, drop)
    tight = width <= np.maximum(1e-3 * width[::-1], 8e-16 * np.abs(peak) + 1e-300)  # a wall beside the peak
    settled = (drop <= 4.0) | tight
    nats = np.where(np.isfinite(drop), 2.0 * drop, 8.0)
    profile.spread, profile._depth = np.where(missing, profile.spread, width / np.sqrt(nats)), None
    points = np.empty((2 * _SIDE, x.shape[1]))
    outward, growing = _outward(profile, peak, counts, missing)
    inward = _near_the_peak(peak, width, drop)
    deeper, stepping = _steps(profile)
    others, rising = _other_peaks(profile)
    deeper = np.where(stepping | ~rising, deeper, others)
    resolved = (settled | missing).any(axis=0)
    for side in (0, 1):
        chosen = np.where(
            growing[side] & (resolved | missing[side]), outward[side], np.where(resolved, deeper[side], inward[side])
        )
        points[side * _SIDE : (side + 1) * _SIDE] = chosen
        counts[side] += growing[side] & (resolved | missing[side])
    profile.open_ends = growing
    return points, ~resolved | growing.any(axis=0) | stepping | rising


def _outward(profile: Profile, peak: Array, counts: Array, missing: Array) -> tuple[Array, Array]:
    """Points beyond both ends, further apart each time, and where they are needed."""
    depth = profile.depth()
    growing, points = [], []
    for side, sign in ((0, -1.0), (1, 1.0)):
        end = profile.x[0 if side == 0 else -1]
        distance = np.maximum(np.abs(end - peak), profile.spread[side])
        ratio = _OUTWARD[np.minimum(counts[side], len(_OUTWARD) - 1)]
        reach = np.minimum(distance * ratio ** np.arange(1.0, _SIDE + 1)[:, None], 1e300)
        growing.append((missing[side] | (depth[0 if side == 0 else -1] < DEPTH)) & (np.abs(end) < _FAR))
        points.append(peak + sign * reach)
    return np.array(points), np.array(growing)


def _near_the_peak(peak: Array, width: Array, drop: Array) -> Array:
    """Points about the top of the parabola through the peak and the lower points beside it, and halfway to these."""
    a, b = width
    finite = np.where(np.isfinite(drop), drop, 0.0)
    da, db = np.where(np.isfinite(drop), drop, 16.0 + finite[::-1])
    bend = 2.0 * (da / a + db / b) / (a + b)
    slope = 0.5 * bend * b - db / b
    sd = 1.0 / np.sqrt(bend)
    top = _within(slope / bend, -0.9 * a, 0.9 * b)
    left = [top - sd, top - 2.5 * sd, -a / 8.0, np.where(a > b, -a / 2.0, top)]
    right = [top + sd, top + 2.5 * sd, b / 8.0, np.where(a > b, top, b / 2.0)]
    return peak + _within(np.array([left, right]), -0.98 * a, 0.98 * b)


def _within(values: Array, low: Array, high: Array) -> Array:
    """Return numbers between bounds; 0 for what is no number."""
    return np.minimum(np.maximum(np.where(np.isnan(values), 0.0, values), low), high)


def _steps(profile: Profile) -> tuple[Array, Array]:
    """Points within the two greatest steps between neighbours, and where there are such steps."""
    depth = profile.depth()
    x = profile.x
    height = np.sqrt(np.clip(profile.at(profile.best)[1] - profile.f, 0.0, _DEEP))
    matter = np.minimum(depth[1:], depth[:-1]) < DEPTH - 9.0
    first, last = profile.ends()
    span = profile.at(last)[0] - profile.at(first)[0]
    wide = np.diff(x, axis=0) > 1e-13 * np.maximum(span, 0.0) + 1e-15 * np.abs(x[1:])
    step = np.where(matter & wide, np.abs(np.diff(height, axis=0)), 0.0)
    # where nothing is left to look into, the widest gap of what matters: for peaks that were missed
    inside = (np.arange(len(x) - 1)[:, None] >= first) & (np.arange(len(x) - 1)[:, None] < last)
    gap = np.where(inside, np.diff(x, axis=0), 0.0)
    urgent = step > _STEP
    rank = np.where(urgent, 1e3 + step, gap / np.maximum(gap.max(axis=0), 1e-300))
    first, second = np.argsort(-rank, axis=0)[:2]
    alone = urgent.sum(axis=0) == 1  # then all points go there
    count = np.arange(1.0, 2 * _SIDE + 1)
    points = np.empty((2 * _SIDE, x.shape[1]))
    for half, index in enumerate((first, np.where(alone, first, second))):
        low, high = (profile.at(index + shift)[0] for shift in (0, 1))
        part = slice(half * _SIDE, (half + 1) * _SIDE)
        share = np.where(alone, count[part, None] / (2 * _SIDE + 1.0), count[:_SIDE, None] / (_SIDE + 1.0))
        points[part] = low + share * (high - low)
    return points.reshape(2, _SIDE, -1), urgent.any(axis=0)


def _other_peaks(profile: Profile) -> tuple[Array, Array]:
    """Points about the highest of the lesser peaks that might hide mass, and where there is one.

    Between its neighbours a peak may rise by as much as it falls; what is as low as that even then is left alone.
    """
    x, f = profile.x, profile.f
    top = profile.at(profile.best)[1]
    before, after = f[1:-1] - f[:-2], f[1:-1] - f[2:]
    rise = np.maximum(before, after)
    peaks = (before > 0) & (after >= 0) & (rise > 1.0) & (profile.depth()[1:-1] >= DEPTH - 9.0)
    peaks &= (f[1:-1] + rise > top - DEPTH) & (x[2:] - x[:-2] > 1e-9 * np.abs(x[1:-1]))
    row = np.where(peaks, f[1:-1], -np.inf).argmax(axis=0) + 1
    (xl, fl), (x0, f0), (xr, fr) = (profile.at(row + shift) for shift in (-1, 0, 1))
    points = _near_the_peak(x0, np.array([x0 - xl, xr - x0]), np.array([f0 - fl, f0 - fr]))
    return points, peaks.any(axis=0)
