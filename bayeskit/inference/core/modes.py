"""Modes of a density by Newton's method from many starts at once, with every derivative by differences in one call.

scipy.optimize would do one start after another, one point at a call; and its import alone takes longer (0.1 to 0.2 s in
a fresh process) than all the rest of a small core. Here a call evaluates the stencils of all starts, the next one their
candidate steps, and three to eight such pairs of calls find modes *and* their Hessians.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LogDensity = Callable[[Array], Array]
Newton = Callable[[Array], tuple[Array, Array]]

LOG_2PI = math.log(2 * math.pi)

# Starts that are climbed from at once; more follow in waves where the ways to the modes found show a valley.
CLIMBERS = 4
WAVES = 3
MODERATE = 6  # in more dimensions, where a stencil costs d^2, half of them
# Points drawn about the starts, and about the first mode: climbed from only where they lead elsewhere.
DISPERSED = 16
PROBES = 40
# A wave of climbs ends after so many evaluations, but not before so many steps or after so many.
WAVE = 4000
STEPS = (12, 25)
# A climb ends when the quadratic promises less than this gain.
GAIN = 1e-3
# A step is at most this long along each axis, in units of the stencil (half a standard deviation once it has settled).
REACH = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 32.0, 256.0, np.inf])
# A valley shallower than this, on the straight way from a point to a mode, does not make another mode.
VALLEY = 0.5
# Modes of less mass than exp(-this) times the largest are dropped.
NEGLIGIBLE = 12.0
# A stencil arm, or a place, this many times as far as the starts says that the density does not fall at all.
ENDLESS = 1e6


@dataclass(frozen=True)
class Mode:
    """A local maximum and the Gaussian that fits it.

    Attributes
    ----------
    at : Array
        Where, ``(d,)``.
    log_density : float
        The unnormalised log density there.
    covariance : Array
        The inverse of the negative Hessian, ``(d, d)``; where the density has none, the squared widths along the axes.
    kind : str
        ``interior``; ``boundary``, where the density is not smooth at its maximum (a wall of ``-inf``) or the climb had
        not settled; ``endless``, where it does not fall on some side.
    """

    at: Array
    log_density: float
    covariance: Array
    kind: str = "interior"

    @property
    def log_mass(self) -> float:
        r"""Laplace's approximation of the mass, :math:`\log \tilde\pi + \frac12 \log |2 \pi \Sigma|`."""
        return self.log_density + 0.5 * (len(self.at) * LOG_2PI + float(np.linalg.slogdet(self.covariance)[1]))

    @property
    def root(self) -> Array:
        """A square root of the covariance."""
        return np.linalg.cholesky(self.covariance)

    def distance(self, u: Array) -> Array:
        """Mahalanobis distances of points ``(n, d)`` from the mode."""
        steps = np.linalg.solve(self.root, (u - self.at).T)
        return np.sqrt(np.sum(steps**2, axis=0))


@dataclass
class _Climbers:
    """Where all climbs are: points ``(s, d)``, values ``(s,)``, stencil arms (columns) ``(s, d, d)``."""

    at: Array
    value: Array
    arms: Array
    stays: Array

    def __getitem__(self, rows: Array) -> _Climbers:
        return _Climbers(self.at[rows], self.value[rows], self.arms[rows], self.stays[rows])


def find_modes(
    log_density: LogDensity,
    starts: Array,
    rng: np.random.Generator,
    newton: Newton | None = None,
    settle: Callable[[list[Mode]], None] | None = None,
) -> tuple[Mode, ...]:
    """Return the modes that the starts, or points dispersed about them, lead to; the heaviest first.

    Parameters
    ----------
    log_density : callable
        ``(n, d) -> (n,)``; ``-inf`` outside the support, never NaN.
    starts : Array
        ``(m, d)``: at least one must lie in the support.
    rng : Generator
        For the dispersed points.
    newton : callable, optional
        ``u (d,) -> (gradient, hessian)`` of a density that is known to be log-concave: one climb from the best start.
    settle : callable, optional
        Told of the first modes, before many points about them are asked for.

    Returns
    -------
    tuple of Mode
        Empty where the density is zero at all points looked at.
    """
    points = np.concatenate([starts, _dispersed(starts, rng)])
    values = log_density(points)
    seen = np.isfinite(values)
    points, values, given = points[seen], values[seen], (np.arange(len(points)) < len(starts))[seen]
    if not len(points):
        return ()
    if newton is not None:
        best = int(np.argmax(values))
        return (_climb_by_hand(log_density, newton, points[best], float(values[best])),)

    modes: list[Mode] = []
    climbers = CLIMBERS if starts.shape[1] <= MODERATE else CLIMBERS // 2
    order = _first(points, values, given, climbers)
    for wave in range(WAVES):
        now, order = order[:climbers], order[climbers:]
        modes = _merged(log_density, [*modes, *_climb(log_density, points[now], values[now], modes)])
        if wave == 0:
            if settle is not None:
                settle(modes)
            probes = _about(modes[0], rng)
            points, values = np.concatenate([points, probes]), np.concatenate([values, log_density(probes)])
            order = np.concatenate([order, np.arange(len(points) - len(probes), len(points))])
        order = order[np.isfinite(values[order])]
        order = order[~explained(log_density, points[order], values[order], modes)]
        order = order[np.argsort(-values[order], kind="stable")]
        if not len(order) or not any(mode.kind == "interior" for mode in modes):
            break  # where climbs do not settle, more of them are dear and lead nowhere
    return _of_weight(modes)


def more_modes(log_density: LogDensity, modes: tuple[Mode, ...], points: Array, values: Array) -> tuple[Mode, ...]:
    """Return the modes and those that further points lead to, if the ways from these to the known ones show valleys."""
    lost = ~explained(log_density, points, values, list(modes))
    if not lost.any():
        return modes
    points, values = points[lost][:CLIMBERS], values[lost][:CLIMBERS]
    return _of_weight(_merged(log_density, [*modes, *_climb(log_density, points, values, list(modes))]))


def explained(log_density: LogDensity, points: Array, values: Array, modes: list[Mode]) -> Array:
    """Tell which points ``(n, d)`` lead straight to a mode: nowhere does the density fall by more than VALLEY."""
    if not len(points) or not modes:
        return np.zeros(len(points), bool)
    share = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    found = np.zeros(len(points), bool)
    for mode in modes:
        rest = np.flatnonzero(~found)
        if not len(rest):
            break
        way = points[rest, None] + share[:, None] * (mode.at - points[rest, None])
        along = log_density(way.reshape(-1, len(mode.at))).reshape(len(rest), -1)
        along = np.column_stack([values[rest], along, np.full(len(rest), mode.log_density)])
        fall = np.maximum.accumulate(along, axis=1) - along
        found[rest] = fall.max(axis=1) < VALLEY
    return found


def _dispersed(starts: Array, rng: np.random.Generator) -> Array:
    """Points about the starts: coordinates shuffled among them, and heavy-tailed steps of their spread."""
    m, d = starts.shape
    spread = starts.std(axis=0) if m > 2 else np.zeros(d)
    spread = np.where(spread > 0, spread, 1.0)
    base = starts[rng.integers(m, size=(DISPERSED, d)), np.arange(d)]
    steps = rng.standard_normal((DISPERSED, d)) / np.sqrt(rng.chisquare(3, (DISPERSED, 1)) / 3)
    steps[: DISPERSED // 3] *= 0.3 if m > 2 else 1.0
    return base + steps * spread


def _about(mode: Mode, rng: np.random.Generator) -> Array:
    """Points all around a mode, in all directions alike, at 2 to 10 times the distance of its own draws."""
    steps = rng.standard_normal((PROBES, len(mode.at)))
    return mode.at + steps * np.exp(rng.uniform(math.log(2), math.log(10), (PROBES, 1))) @ mode.root.T


def _first(points: Array, values: Array, given: Array, climbers: int) -> Array:
    """Order points for the climbs: the best, then in turn the farthest of the given and the best of all."""
    order = np.argsort(-values, kind="stable")
    chosen = [int(order[0])]
    spread = points.std(axis=0) + 1e-12
    while len(chosen) < min(climbers, len(points)):
        left = np.setdiff1d(order, chosen)
        far = np.min(np.sum(((points[left, None] - points[chosen]) / spread) ** 2, axis=2), axis=1)
        score = np.where(given[left], far, -1.0) if given[left].any() and len(chosen) % 2 else values[left]
        chosen.append(int(left[np.argmax(score)]))
    return np.concatenate([chosen, order[~np.isin(order, chosen)]]).astype(int)


def _climb(log_density: LogDensity, points: Array, values: Array, known: list[Mode]) -> list[Mode]:
    """Climb from all points at once; a climb that comes to where a way leads straight to a known mode ends there.

    So does one that is far below a mode found beside it. One that is not may be on its way to a wider one.
    """
    s, d = points.shape
    now = _Climbers(points, values, np.broadcast_to(0.05 * np.eye(d), (s, d, d)).copy(), np.zeros(s, int))
    modes: list[Mode] = []
    for _ in range(int(np.clip(WAVE // (s * (d * d + d + len(REACH))), *STEPS))):
        slope, hollow, kinked = _stencils(log_density, now)
        curves, axes = np.linalg.eigh(hollow)
        slope = np.einsum("sij,si->sj", axes, slope)
        arms = now.arms @ axes
        bend = np.maximum(np.abs(curves), 1e-9 * np.max(np.abs(curves), axis=1, keepdims=True) + 1e-12)
        settled = np.all((curves > 0.1) & (curves < 0.6), axis=1) & ~kinked
        top = settled & ((np.sum(slope**2 / bend, axis=1) < 2 * GAIN) | (now.stays > 0))
        for i in np.flatnonzero(top):
            root = arms[i] / np.sqrt(bend[i])
            modes.append(Mode(now.at[i], float(now.value[i]), positive(root @ root.T)))
        now = _stepped(log_density, now, arms, slope, bend)
        far = ENDLESS * (1 + np.abs(points).max())
        over = (np.linalg.norm(now.arms, axis=1).max(axis=1) > far) | (np.abs(now.at).max(axis=1) > far)
        stuck = (now.stays >= 5) & ~top
        modes += [_at_the_wall(log_density, now.at[i], float(now.value[i])) for i in np.flatnonzero(stuck)]
        modes += [_endless(now, i) for i in np.flatnonzero(over & ~stuck & ~top)]
        now = now[~(top | over | stuck)]
        if not len(now.at):
            return modes
        now = now[~_near(now, modes)]
        if len(now.at):
            now = now[~_led(log_density, now, known, modes)]
        if not len(now.at):
            return modes
    return modes + [_at_the_wall(log_density, now.at[i], float(now.value[i])) for i in range(len(now.at))]


def _stencils(log_density: LogDensity, now: _Climbers) -> tuple[Array, Array, Array]:
    r"""Gradients and *negative* Hessians ``(s, d, d)`` in units of the arms, and whether a stencil left the support.

    With :math:`f_{\pm i}` the values at :math:`u \pm a_i` and :math:`f_{\pm i \pm j}` those at both arms of one sign,
    :math:`\partial_{ij} f \approx (f_{++} - f_{+i} - f_{+j} + 2 f - f_{-i} - f_{-j} + f_{--}) / 2`:
    :math:`d^2 + d` points for each climb, all in one call. A point outside the support counts as lower than all others.
    """
    s, d = now.at.shape
    first, second = np.triu_indices(d, 1)
    arms = np.swapaxes(now.arms, 1, 2)  # rows are arms
    both = arms[:, first] + arms[:, second]
    steps = np.concatenate([arms, -arms, both, -both], axis=1)
    rise = log_density((now.at[:, None] + steps).reshape(-1, d)).reshape(s, -1) - now.value[:, None]
    off = ~np.isfinite(rise)
    lowest = np.min(np.where(off, 0.0, rise), axis=1, keepdims=True)
    rise = np.where(off, 2 * lowest - 10.0, rise)
    up, down, pairs = rise[:, :d], rise[:, d : 2 * d], rise[:, 2 * d :]
    hollow = np.zeros((s, d, d))
    half = len(first)
    mixed = 0.5 * (pairs[:, :half] + pairs[:, half:] - (up + down)[:, first] - (up + down)[:, second])
    hollow[:, first, second] = hollow[:, second, first] = -mixed
    hollow[:, np.arange(d), np.arange(d)] = -(up + down)
    return 0.5 * (up - down), hollow, off.any(axis=1)


def _stepped(log_density: LogDensity, now: _Climbers, arms: Array, slope: Array, bend: Array) -> _Climbers:
    """Take the best of several steps towards the top of the quadratic, and fit the arms to its curvature.

    Curvatures enter by their absolute value, so that a saddle is left downhill of nothing; a long step is cut along
    each axis of the quadratic on its own. The arms become half a standard deviation of the quadratic.
    """
    s, d = now.at.shape
    full = slope / bend
    steps = np.clip(full[:, None], -REACH[:, None], REACH[:, None])
    points = now.at[:, None] + np.einsum("sij,scj->sci", arms, steps)
    values = log_density(points.reshape(-1, d)).reshape(s, -1)
    best = np.argmax(values, axis=1)
    rows = np.arange(s)
    gain = values[rows, best] - now.value
    better = gain > 0
    stretch = np.clip(0.5 / np.sqrt(bend), 0.01, 8.0)
    return _Climbers(
        np.where(better[:, None], points[rows, best], now.at),
        np.where(better, values[rows, best], now.value),
        arms * stretch[:, None],
        np.where(gain > GAIN, 0, now.stays + 1),
    )


def _led(log_density: LogDensity, now: _Climbers, known: list[Mode], modes: list[Mode]) -> Array:
    """Tell from which climbs a way leads straight to a known mode, or from far below to one that was found beside."""
    led = explained(log_density, now.at, now.value, known)
    highest = max((mode.log_density for mode in modes), default=-np.inf)
    below = np.flatnonzero(~led & (now.value < highest - NEGLIGIBLE))
    led[below] = explained(log_density, now.at[below], now.value[below], modes)
    return led


def _near(now: _Climbers, modes: list[Mode]) -> Array:
    """Tell which climbs have come within a standard deviation or so of a mode, and not above it."""
    near = np.zeros(len(now.at), bool)
    for mode in modes:
        gap = mode.log_density - now.value
        inside = (mode.distance(now.at) < 1.0) & (gap > -GAIN) & (gap < 1.0)
        near |= inside
    return near


def _endless(now: _Climbers, i: int | np.integer) -> Mode:
    return Mode(now.at[i], float(now.value[i]), positive(now.arms[i] @ now.arms[i].T), "endless")


def _at_the_wall(log_density: LogDensity, at: Array, value: float) -> Mode:
    """A maximum that is not smooth: its widths are how far the density can be followed until it has fallen by 2."""
    d = len(at)
    lengths = 2.0 ** np.arange(-30.0, 11.0)
    steps = np.eye(d)[:, None, None] * np.array([1.0, -1.0])[:, None, None] * lengths[:, None]
    inside = log_density((at + steps).reshape(-1, d)).reshape(d, 2, -1) > value - 2.0
    reach = np.max(np.where(np.logical_and.accumulate(inside, axis=2), lengths, lengths[0]), axis=2)
    kind = "endless" if reach.max() == lengths[-1] else "boundary"
    return Mode(at, value, np.diag(np.sum(reach**2, axis=1)) / 12, kind)


def _climb_by_hand(log_density: LogDensity, newton: Newton, at: Array, value: float) -> Mode:
    """Newton's method on a log-concave density with derivatives in closed form: halved steps in one call."""
    shares = 0.5 ** np.arange(12)
    for _ in range(STEPS[1]):
        slope, hessian = newton(at)
        precision = positive(-hessian)
        step = np.linalg.solve(precision, slope)
        points = at + shares[:, None] * step
        values = log_density(points)
        best = int(np.argmax(values))
        if slope @ step < GAIN or not values[best] > value:
            break
        at, value = points[best], float(values[best])
    return Mode(at, value, positive(np.linalg.inv(precision)), "interior" if slope @ step < GAIN else "endless")


def positive(matrix: Array, floor: float = 1e-12) -> Array:
    """A symmetric matrix made positive definite, in units of its diagonal: absolute eigenvalues, none below a floor."""
    scale = np.sqrt(np.abs(np.diagonal(matrix))) + 1e-300
    curves, axes = np.linalg.eigh(0.5 * (matrix + matrix.T) / np.outer(scale, scale))
    curves = np.maximum(np.abs(curves), floor * np.max(np.abs(curves)))
    root = scale[:, None] * axes * np.sqrt(curves)
    return root @ root.T


def _merged(log_density: LogDensity, modes: list[Mode]) -> list[Mode]:
    """The highest of each group of modes that coincide: in the distance of both, or where no valley parts them."""
    kept: list[Mode] = []
    for mode in sorted(modes, key=lambda m: -m.log_density):
        at, value = mode.at[None], np.array([mode.log_density])
        near = [min(m.distance(at)[0], mode.distance(m.at[None])[0]) < 0.5 for m in kept]
        alike = [m for m, close in zip(kept, near, strict=True) if close and m.log_density - value[0] < VALLEY]
        rough = mode.kind != "interior" and bool(explained(log_density, at, value, kept)[0])
        if not alike and not rough:
            kept.append(mode)
    return kept


def _of_weight(modes: list[Mode]) -> tuple[Mode, ...]:
    """The modes of more than negligible mass, the heaviest first."""
    masses = np.array([mode.log_mass for mode in modes])
    order = np.argsort(-masses, kind="stable")
    return tuple(modes[i] for i in order if masses[i] > masses.max() - NEGLIGIBLE)
