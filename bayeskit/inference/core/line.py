r"""One-number densities on the whole line by adaptive Gauss-Legendre quadrature, all cells at once.

A scan finds where each cell has its mass (`profile`). Panels are laid there by the square root of the fall of the log
density, in which a normal and a power of x (an exponential of u) both get a few panels of even difficulty. On each
panel the density at 16 nodes is a Legendre series; its last terms say how well, and panels that are not well enough
are halved, in every cell its own.

Source: Davis and Rabinowitz (1984), Methods of Numerical Integration, sec. 2.7 and 6.2; Trefethen (2013), Approximation
Theory and Approximation Practice, ch. 8 and 19, for the decay of the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.distributions.elementwise import Transform
from bayeskit.distributions.panels import Panels, log_integrals, place
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.core.profile import DEPTH, Profile, scan
from bayeskit.inference.core.refinement import refine

__all__ = ["Line", "integrate_line", "limits_of"]

Array = np.ndarray
LogDensity = Callable[[Array], Array]

_SPACING = 3.5  # of the edges, in the measure of `_difficulty`
_FEWEST, _MOST = 5, 24  # panels that are laid at first
_EXPONENT_RANGE = (-745.2, 709.8)  # where exp is a double


@dataclass(frozen=True, eq=False)
class Line:
    """Densities of one number on the unconstrained scale, with their integrals.

    Attributes
    ----------
    panels : Panels
        The normalised densities, on their panels.
    log_mass : ndarray
        Log of the integral, ``(cells,)``.
    error : ndarray
        Estimated relative error of the integral and of the distribution function, ``(cells,)``.
    """

    panels: Panels
    log_mass: Array
    error: Array

    @property
    def cells(self) -> int:
        """How many densities there are."""
        return self.panels.cells

    @property
    def nodes(self) -> Array:
        """Gauss nodes, ``(nodes, cells)``."""
        return self.panels.nodes

    def cdf(self, u: Any) -> Array:
        """Probability at or below u, ``(..., cells)``."""
        return self.panels.cdf(u, np.arange(self.cells))

    def quantile(self, p: Any) -> Array:
        """Value with probability p at or below it, ``(..., cells)``."""
        return self.panels.quantile(p, np.arange(self.cells))

    def log_density(self, u: Any) -> Array:
        """Normalised log density at u, ``(..., cells)``."""
        return self.panels.log_density(u, np.arange(self.cells))

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        """Draw independently: ``(draws, cells)``."""
        return self.panels.sample(rng, draws)

    def mean(self, values: Array | None = None) -> Array:
        """Expectation of a function given at the nodes, by default of u itself: ``(cells,)``; it may be infinite."""
        return self.panels.expect(self.nodes if values is None else values)

    def var(self, values: Array | None = None) -> Array:
        """Variance of a function given at the nodes, by default of u itself: ``(cells,)``; it may be infinite."""
        values = self.nodes if values is None else values
        mean = self.mean(values)
        variance = self.panels.expect((values - np.where(np.isfinite(mean), mean, 0.0)) ** 2)
        return np.where(np.isfinite(mean), variance, np.where(np.isnan(mean), np.nan, np.inf))


@np.errstate(all="ignore")
def integrate_line(
    log_density: LogDensity,
    start: Any,
    *,
    scale: Any = 1.0,
    name: str = "",
    tolerance: float = 1e-9,
    limits: tuple[Any, Any] = _EXPONENT_RANGE,
) -> Line:
    """Integrate unnormalised one-number densities of any number of cells, all at once.

    Parameters
    ----------
    log_density : callable
        From points ``(n, cells)`` to log densities ``(n, cells)``; -inf is allowed, and what is no number counts as it.
    start : array_like
        A rough centre of every cell, ``(cells,)``.
    scale : array_like
        A rough spread, where one is known.
    name : str
        The variable, for messages.
    tolerance : float
        Relative error to reach.
    limits : tuple of array_like
        Where u leaves the range in which its transform is not rounded to a bound, as `limits_of` finds it: what is cut
        off there is judged by how it falls. By default the range of exp.

    Returns
    -------
    Line
        What was integrated; ``error`` says how well.

    Raises
    ------
    ImproperError
        Where the density hardly falls towards an end, so that it has no integral.
    RefusedError
        Where no positive density is found, or a tail is too heavy for doubles.

    Examples
    --------
    >>> line = integrate_line(lambda u: 3.0 * u - np.exp(u), np.zeros(1))     # the log of a Gamma(3, 1)
    >>> float(np.exp(line.log_mass[0]).round(9)), float(np.exp(line.quantile(0.5)[0]).round(6))
    (2.0, 2.67406)
    """
    start = np.atleast_1d(np.asarray(start, dtype=float))
    scale = np.broadcast_to(np.asarray(scale, dtype=float), start.shape)
    profile = scan(log_density, start, scale)
    lost = _check_ends(profile, name, limits)
    peak = profile.at(profile.best)[0]
    edges, values, error = refine(log_density, *_first_edges(profile), peak, tolerance)
    log_mass = log_integrals(edges, values)
    values -= log_mass
    return Line(Panels(edges, values), log_mass, error + lost)


def limits_of(transform: Transform, cells: int = 1) -> tuple[Array, Array]:
    """Range of u in which an elementwise transform is not rounded to its bounds: two arrays ``(cells,)``.

    Parameters
    ----------
    transform : Transform
        Its bounds are numbers, or arrays ``(cells,)``.
    cells : int
        How many densities there are.

    Examples
    --------
    >>> from bayeskit.distributions.elementwise import Log, Logit
    >>> [float(end[0].round(1)) for end in (*limits_of(Log()), *limits_of(Logit()))]
    [-745.1, 709.8, -745.1, 37.4]
    """
    ends = []
    for sign in (-1.0, 1.0):
        inside, step = np.zeros(cells), 1e3 * sign
        with np.errstate(all="ignore"):
            for _ in range(7):  # each time eight times finer
                step /= 8
                points = inside + step * np.arange(1.0, 9.0)[:, None]
                there = np.isfinite(transform.forward(transform.inverse(points)))
                inside = inside + step * np.logical_and.accumulate(there).sum(axis=0)
        ends.append(np.where(np.abs(inside) > 999.0, sign * np.inf, inside))
    return ends[0], ends[1]


def _check_ends(profile: Profile, name: str, limits: tuple[Any, Any]) -> Array:
    """Refuse densities that do not fall, or that doubles cut off before they have fallen; else what these lose."""
    peak, top = profile.at(profile.best)
    total = np.zeros(peak.shape)
    rows = profile.ends()
    for side, (row, word) in enumerate(zip(rows, ("lower", "upper"), strict=True)):
        x, f = profile.at(row)
        reach = np.abs(x - peak)
        beyond = profile.at(row + (1 if side else -1))[1]
        endless = profile.open_ends[side] | (np.abs(x) > 1e280)
        wall = (beyond == -np.inf) & (top - f < DEPTH - 9.0)
        # where exp is the transform, what overflows does so before exp itself
        end = np.asarray(limits[side], dtype=float)
        size = np.sign(end) * x
        at_limit = np.isfinite(end) & (size >= np.minimum(np.abs(end) - 2.0, 100.0)) & (size <= np.abs(end) + 5.0)
        suspect = endless | (wall & (at_limit | (reach > 30.0 * profile.spread[side])))
        if not suspect.any():
            continue
        slope, order = _fall_at(profile, row, reach, side)
        improper = suspect & np.where(at_limit, (slope * reach <= 0.2) | (reach < 3.0), order <= 1e-3)
        if improper.any():
            raise ImproperError(_improper(name, word, int(improper.sum()), len(peak)))
        beyond = np.where(at_limit, 1.0 / slope, reach / order)
        lost = np.exp(f - top) * beyond / profile.spread.max(axis=0)
        total += np.where(suspect, lost, 0.0)
    heavy = total > 1e-6
    if heavy.any():
        raise RefusedError(
            f"The posterior of {_called(name)} has a tail too heavy to be integrated: doubles end before it does"
            f"{_of(int(heavy.sum()), len(peak))}. Give it a prior with lighter tails, or draw it by another method."
        )
    return total


def _fall_at(profile: Profile, row: Array, reach: Array, side: int) -> tuple[Array, Array]:
    """How fast the log density falls at one end, and the power of the distance with which the mass beyond falls."""
    peak = profile.at(profile.best)[0]
    sign = 1.0 if side else -1.0
    away = sign * (profile.x - peak)
    # not at the very end, where values are rounded
    last = np.where((away <= reach) & (away <= np.maximum(reach - 1.5, 0.6 * reach)), away, -np.inf).argmax(axis=0)
    first = np.where((away <= 0.5 * reach) & (away >= 0), away, -np.inf).argmax(axis=0)
    (far, low), (near, high) = profile.at(last), profile.at(first)
    slope = (high - low) / np.abs(far - near)
    order = (high - low) / np.log(np.abs(far - peak) / np.abs(near - peak)) - 1.0
    return np.where(np.isfinite(slope), slope, 0.0), np.where(np.isfinite(order), order, -1.0)


def _called(name: str) -> str:
    return f"'{name}'" if name else "a core of one number"


def _of(count: int, cells: int) -> str:
    return f", in {count} of {cells} cells" if cells > 1 else ""


def _improper(name: str, word: str, count: int, cells: int) -> str:
    return (
        f"The posterior of {_called(name)} is improper: towards its {word} end the density hardly falls"
        f"{_of(count, cells)}. Use a proper prior, or data that bound it."
    )


def _first_edges(profile: Profile) -> tuple[Array, Array]:
    """Edges ``(panels + 1, cells)`` at even steps of the difficulty between two ends, and which ends are walls."""
    depth, cells = profile.depth(), np.arange(profile.x.shape[1])
    ends, walls = [], []
    for row, step in zip(profile.ends(), (-1, 1), strict=True):
        (inner, _), (outer, _) = profile.at(row), profile.at(row + step)
        near, beyond = (depth[np.minimum(np.maximum(r, 0), len(depth) - 1), cells] for r in (row, row + step))
        share = np.minimum(np.maximum((DEPTH - near) / (beyond - near), 0.0), 1.0)
        # a step to nothing is a wall: the scan has looked into it
        walls.append(np.isposinf(beyond))
        ends.append(np.where(np.isfinite(share) & np.isfinite(beyond), inner + share * (outer - inner), inner))
    x = np.minimum(np.maximum(profile.x, ends[0]), ends[1])
    height = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(_difficulty(profile, x), axis=0)])
    count = int(np.clip(np.ceil(height[-1].max() / _SPACING), _FEWEST, _MOST))
    edges = place(x, height, np.linspace(0.0, 1.0, count + 1)[:, None] * height[-1])
    edges[0], edges[-1] = ends
    return np.maximum.accumulate(edges, axis=0), np.array(walls)


def _difficulty(profile: Profile, x: Array) -> Array:
    """What lies between neighbouring points, in the measure by which panels are laid."""
    peak, top = profile.at(profile.best)
    fall = np.sqrt(np.clip(top - profile.f, 0.0, DEPTH + 4.0))
    scale = np.where(x < peak, profile.spread[0], profile.spread[1])
    steps = np.abs(np.diff(fall, axis=0)) + 1.5 * np.diff(np.arcsinh((x - peak) / scale), axis=0)
    return np.where(np.diff(x, axis=0) > 0, steps, 0.0)
