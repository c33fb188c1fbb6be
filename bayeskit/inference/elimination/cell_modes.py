r"""Modes of many one-number densities at once: safeguarded Newton steps of third order.

A *cell* is one density of one number. All cells are climbed together; those that have arrived are left out. With g, h
and j the first three derivatives of a log density, a step d is to where a slope that changes exponentially is zero,

.. math:: g + \frac{h}{k} (e^{k d} - 1) = 0, \quad k = j / h:

exact for log rates, and otherwise right to third order, as Newton's (its limit for k = 0) is to second. The mode is
only where a quadrature is centred, so a step that is known to land within a fraction of the width is the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Array = np.ndarray


class Cells(Protocol):
    """Densities of one number each, on the whole real line."""

    @property
    def size(self) -> int:
        """How many."""

    @property
    def concave(self) -> bool:
        """Whether their logs are known to be concave."""

    @property
    def analytic(self) -> bool:
        """Whether derivatives are exact; differences are only right where the width was known."""

    @property
    def anchored(self) -> bool:
        """Whether zero may be a peak of its own, about one wide, or a corner."""

    def log_density(self, z: Array) -> Array:
        """Return the log densities at points ``(n, size)``."""

    def derivatives(self, z: Array, scale: Array) -> Array:
        """Return the log density at one point of each cell and its derivatives up to the fourth: ``(5, size)``.

        ``scale`` is the width of each cell as far as it is known, for those that difference.
        """

    def take(self, index: Array) -> Cells:
        """Return some of the cells; one may be taken several times."""


@dataclass(frozen=True, eq=False)
class Modes:
    """Where densities peak, all ``(cells,)``.

    Attributes
    ----------
    at, scale : array
        The mode, nearly, and one over the root of the curvature there.
    third, fourth : array
        Derivatives of the log density at the mode, in units of the scale.
    found : array of bool
        Whether the search ended at a mode; the others have their last point.
    """

    at: Array
    scale: Array
    third: Array
    fourth: Array
    found: Array

    def take(self, index: Array) -> Modes:
        """Return those of some cells."""
        return Modes(*(a[index] for a in (self.at, self.scale, self.third, self.fourth, self.found)))


_NEAR = 0.3  # in widths: from here a step of third order lands within a hundredth of the mode
_LONGEST = 10.0  # widths that the first step may go, and four times as many each time
_MOST = 30


class _Climb:
    """The state of the search: where each cell is, between which points its mode lies, and what was found."""

    def __init__(self, start: Array, scale: Array, analytic: bool) -> None:
        self.analytic = analytic
        self.at, self.scale = start.copy(), np.broadcast_to(scale, start.shape).copy()
        self.low, self.high = np.full(start.shape, -np.inf), np.full(start.shape, np.inf)
        self.slope = np.full(start.shape, np.inf)
        self.third, self.fourth = np.zeros(start.shape), np.zeros(start.shape)
        self.found = np.zeros(start.shape, dtype=bool)

    def arrive(self, read: Array, near: float) -> Array:
        """Move all cells of which the first step is surely the last one, and return which others there are.

        These steps are short, and need neither a bracket nor a logarithm: ``log1p(r) / r`` is taken to second order.
        """
        value, first, second, third, fourth = read
        curvature = -second
        newton = first / curvature
        rate = third / second
        rate *= newton
        step = rate / 3.0
        step -= 0.5
        step *= rate
        step += 1.0
        step *= newton
        third = third + fourth * step
        bend = 0.5 * fourth
        bend *= step
        bend -= third
        bend *= step
        bend += curvature
        arrived = np.abs(newton, out=newton) * np.sqrt(curvature) <= near
        arrived &= (np.abs(rate, out=rate) < 0.5) & (bend > 0.2 * curvature) & np.isfinite(value)
        rest = np.flatnonzero(~arrived)
        at, known = self.at[rest], self.scale[rest]
        self.at += step
        np.divide(1.0, np.sqrt(bend, out=bend), out=self.scale)
        square = self.scale * self.scale
        np.multiply(third, square * self.scale, out=self.third)
        np.multiply(fourth, np.multiply(square, square, out=square), out=self.fourth)
        self.at[rest], self.scale[rest], self.found = at, known, arrived
        return rest

    def step(self, some: Array, read: Array, near: float, turn: int) -> None:
        """Move some cells by one step, given the derivatives where they are."""
        value, first, second, third, fourth = read
        at, known = self.at[some], self.scale[some]
        bent = np.isfinite(value) & np.isfinite(first) & (second < 0) & (second > -np.inf)
        if bent.all():
            curvature = -second
            scale = 1.0 / np.sqrt(curvature)
            newton = first / np.maximum(curvature, 1e-300)
            rate = newton * third / second
        else:
            lost = ~(np.isfinite(value) & np.isfinite(first) & np.isfinite(second))
            first = np.where(lost, -np.sign(at), first)  # back towards zero, where a standardised density has its mass
            curvature = np.where(bent, -second, np.minimum(np.abs(first) / known, known**-2.0))
            scale = np.where(bent, curvature**-0.5, np.where(lost, 0.25 * known, known))
            newton = np.where(lost, -0.5 * at, first / np.maximum(curvature, 1e-300))
            rate = np.where(bent, -third / curvature, 0.0) * newton
        step = np.where(np.abs(rate) > 1e-6, newton * np.log1p(rate) / rate, newton)
        step = np.where(np.isfinite(step), step, 2.0 * newton)
        longest = _LONGEST * 4.0**turn * np.maximum(scale, 1.0)
        step = np.minimum(np.maximum(step, -longest), longest)
        low, high = self.low[some], self.high[some]
        np.copyto(low, np.maximum(low, at), where=first > 0)
        np.copyto(high, np.minimum(high, at), where=first < 0)
        # within a bracket: halve it where the step leaves it, or where the slope does not get smaller
        slow = (np.abs(first) > 0.5 * self.slope[some]) & (np.abs(step) > scale)
        outside = (at + step <= low) | (at + step >= high)
        bend = curvature - third * step - 0.5 * fourth * step * step  # the curvature where the step leads
        short = np.maximum(np.abs(newton), 0.5 * np.abs(step)) <= near * scale  # both, where the slope hardly changes
        arrived = bent & ~outside & short & (bend > 0.2 * curvature)
        late = turn >= 7 and turn % 2 == 1
        bracketed = np.isfinite(low) & np.isfinite(high)
        if late:  # it crawls: look far off for the other end
            step = np.where(bracketed | arrived, step, np.sign(first) * np.maximum(np.abs(step), 2.0 ** (turn - 7)))
        halved = bracketed & (outside | slow | late) & ~arrived
        step = np.where(halved, 0.5 * (low + high) - at, step)
        if not self.analytic:
            arrived &= (scale > 0.3 * known) & (scale < 3.0 * known)
        scale = np.where(arrived, np.where(bend > 0, bend, 1.0) ** -0.5, scale)
        self.at[some], self.scale[some] = at + step, scale
        self.low[some], self.high[some], self.slope[some] = low, high, np.abs(first)
        self.third[some], self.fourth[some] = (third + fourth * step) * scale**3, fourth * scale**4
        self.found[some] = arrived


def find_modes(cells: Cells, start: Array, scale: Array, near: float = _NEAR) -> Modes:
    """Return the mode of every cell.

    Parameters
    ----------
    cells : Cells
        The densities.
    start, scale : array (cells,)
        Where to begin, and the widths as far as they are known.
    near : float
        A step that is shorter than this many widths is the last one.
    """
    climb = _Climb(start, scale, cells.analytic)
    open_ = np.arange(cells.size)
    for turn in range(_MOST):
        all_ = 3 * open_.size > 2 * cells.size
        some = np.arange(cells.size) if all_ else open_
        part = cells if all_ else cells.take(open_)
        with np.errstate(all="ignore"):
            read = part.derivatives(climb.at[some], climb.scale[some])
            if turn == 0 and cells.analytic:
                some = climb.arrive(read, near)
                read = read if some.size == cells.size else read[:, some]
            climb.step(some, read, near, turn)
        open_ = np.flatnonzero(~climb.found)
        if not open_.size:
            break
    return Modes(climb.at, climb.scale, climb.third, climb.fourth, climb.found)
