r"""Densities that are far from normal, on panels of Gauss-Lobatto nodes: integrals and exact draws.

Between the points where a density has fallen to nothing, panels are halved until the polynomial through the nodes of
each is the density: until its last Legendre coefficients are small. Its integral is then right to about their square,
and it is inverted for draws. Source: Trefethen (2013), Approximation Theory and Approximation Practice, ch. 19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leg2poly, legint, legvander
from scipy.special import eval_legendre, roots_jacobi

from bayeskit.inference.elimination.cell_modes import Cells

Array = np.ndarray

ORDER = 12
# The ends of a panel are nodes (Gauss-Lobatto): an edge just inside of one would else be seen by neither neighbour.
NODES = np.concatenate([[-1.0], roots_jacobi(ORDER - 2, 1.0, 1.0)[0], [1.0]])
WEIGHTS = 2.0 / (ORDER * (ORDER - 1) * eval_legendre(ORDER - 1, NODES) ** 2)
_TO_LEGENDRE = np.linalg.inv(legvander(NODES, ORDER - 1))


def _primitive() -> Array:
    """From values at the nodes to the coefficients (powers, ascending) of the integral from -1."""
    columns = [leg2poly(legint(row, lbnd=-1)) for row in np.eye(ORDER)]
    powers = np.zeros((ORDER + 1, ORDER))
    for k, column in enumerate(columns):
        powers[: column.size, k] = column
    return np.asarray(powers @ _TO_LEGENDRE)


_PRIMITIVE = _primitive()
_FALLEN = 37.0  # nats: what lies beyond is e^-37 of the whole
_FARTHEST = 150  # doublings of the distance from the mode before a tail counts as one that does not decay
_HALVINGS = 40
_TAIL = 1e-6  # share of a cell's mass by which a panel's polynomial may miss its density
_GRID = np.linspace(0.0, 1.0, 13)
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Panels:
    """Panels of all cells, ordered by cell and then along the line.

    Attributes
    ----------
    cell, low, half : array (panels,)
        Whose it is, where it begins, and half its width.
    values : array (ORDER, panels)
        The density at the nodes, on the scale of its cell.
    log_mass, error : array (cells,)
        Log integrals, and their estimated errors.
    decays : array of bool (cells,)
        Whether both tails were seen to fall.
    """

    cell: Array
    low: Array
    half: Array
    values: Array
    log_mass: Array
    error: Array
    decays: Array

    def sample(self, rng: np.random.Generator, copies: int) -> Array:
        """Return independent draws ``(copies, cells)``: the distribution function inverted."""
        masses = np.maximum(self.half * (WEIGHTS @ self.values), 0.0)
        cells = self.log_mass.size
        ends = np.cumsum(masses)
        first = np.searchsorted(self.cell, np.arange(cells))
        before = np.concatenate([[0.0], ends])[first]
        whole = np.bincount(self.cell, masses, cells)
        safe = np.where(whole > 0, whole, 1.0)
        place = self.cell + np.minimum((ends - before[self.cell]) / safe[self.cell], 1.0)
        u = rng.random((copies, cells))
        last = np.concatenate([first[1:], [self.cell.size]]) - 1
        panel = np.clip(np.searchsorted(place, np.arange(cells) + u, side="right"), first, last)
        target = u * whole - (ends[panel] - masses[panel] - before)
        return self.low[panel] + self.half[panel] * (
            1.0 + invert(self.values[:, panel.ravel()], (target / self.half[panel]).ravel()).reshape(u.shape)
        )


def invert(values: Array, target: Array) -> Array:
    """Return where the integral from -1 of the polynomial through ``values (ORDER, n)`` reaches a target ``(n,)``."""
    out = np.empty(target.shape)
    for start in range(0, target.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        out[chunk] = _invert(_PRIMITIVE @ values[:, chunk], target[chunk])
    return out


def _invert(powers: Array, target: Array) -> Array:
    low, high = np.full(target.shape, -1.0), np.ones(target.shape)
    x = np.clip(2.0 * target / np.maximum(powers.sum(axis=0), 1e-300) - 1.0, -1.0, 1.0)
    for _ in range(60):
        height, slope = np.array(powers[-1]), np.zeros(target.shape)
        for row in powers[-2::-1]:  # Horner's scheme, with the derivative
            slope *= x
            slope += height
            height *= x
            height += row
        height -= target
        low, high = np.where(height < 0, x, low), np.where(height > 0, x, high)
        with np.errstate(all="ignore"):
            new = x - height / slope
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        moved = np.abs(new - x).max(initial=0.0)
        x = new
        if moved < 1e-7:
            break
    return x


def integrate_panels(cells: Cells, centre: Array, scale: Array, tolerance: float) -> Panels:
    """Return panels for every cell, halved where they are too coarse.

    Parameters
    ----------
    cells : Cells
        The densities.
    centre, scale : array (cells,)
        Points and widths to begin with; good ones save evaluations.
    tolerance : float
        Estimated relative error to reach.
    """
    centre, scale = _surely_inside(cells, centre, scale)
    cell, low, high, share, decays = _first_panels(cells, centre, scale)
    mass, error = np.zeros(cells.size), np.zeros(cells.size)
    kept: list[tuple[Array, ...]] = []
    most = 1000 * cells.size
    for halving in range(_HALVINGS + 1):
        half = 0.5 * (high - low)
        values = _log_values(cells, cell, low + half * (1.0 + NODES[:, None]))
        share, before = _highest(share, cell, values), share
        fallen = np.exp(before - share)
        mass, error = mass * fallen, error * fallen
        values = np.exp(values - share[cell])
        new = half * (WEIGHTS @ values)
        whole = (mass + np.bincount(cell, new, cells.size))[cell]
        tail = half * np.abs(_TO_LEGENDRE[-2:] @ values).sum(axis=0)
        miss = tail * tail / np.maximum(half * values.max(axis=0), 1e-300)
        bad = (tail > _TAIL * whole) | (miss > 0.1 * tolerance * whole)
        if halving == _HALVINGS or cell.size > most:
            miss, bad = np.where(bad, tail, miss), np.zeros_like(bad)
        good = ~bad
        kept.append((cell[good], low[good], half[good], share[cell[good]], values[:, good]))
        mass += np.bincount(cell[good], new[good], cells.size)
        error += np.bincount(cell[good], miss[good], cells.size)
        if not bad.any():
            break
        cell, low, half = np.tile(cell[bad], 2), low[bad], half[bad]
        low, high = np.concatenate([low, low + half]), np.concatenate([low + half, low + 2.0 * half])
    return _assembled(kept, share, mass, error, decays)


def _highest(share: Array, cell: Array, values: Array) -> Array:
    """Return the scales of the cells: their largest log densities so far, and 0 where there is none."""
    top = np.where(share == 0.0, -np.inf, share)
    np.maximum.at(top, cell, values.max(axis=0))
    return np.where(np.isfinite(top), top, 0.0)


def _assembled(kept: list[tuple[Array, ...]], share: Array, mass: Array, error: Array, decays: Array) -> Panels:
    """Put panels in order, all of a cell on its last scale."""
    cell, low, half, scale = (np.concatenate([k[i] for k in kept]) for i in range(4))
    order = np.lexsort((low, cell))
    values = np.concatenate([k[4] for k in kept], axis=1) * np.exp(scale - share[cell])
    with np.errstate(divide="ignore"):
        log_mass = share + np.log(mass)
    relative = error / np.where(mass > 0, mass, 1.0)
    return Panels(cell[order], low[order], half[order], values[:, order], log_mass, relative, decays)


def _log_values(cells: Cells, cell: Array, z: Array) -> Array:
    """Return the log densities of panels at their nodes."""
    values = np.empty(z.shape)
    for start in range(0, cell.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        values[:, chunk] = cells.take(cell[chunk]).log_density(z[:, chunk])
    return np.where(np.isnan(values), -np.inf, values)


def _surely_inside(cells: Cells, centre: Array, scale: Array) -> tuple[Array, Array]:
    """Return centres and widths, looked for where they are not known or are no good.

    The points next to the best of a grid enclose the peak of a density with one peak; they are drawn together, about
    that point, until the width of the peak is seen.
    """
    start = _log_values(cells, np.arange(cells.size), np.stack([np.zeros(cells.size), centre]))
    lost = np.flatnonzero(~((start[1] >= start[0]) & np.isfinite(centre) & np.isfinite(scale) & (scale > 0)))
    if not lost.size:
        return centre, scale
    centre, scale = centre.copy(), scale.copy()
    part, zero, one = cells.take(lost), np.zeros(lost.size), np.ones(lost.size)
    left, _, _ = _reach(part, zero, one, -1.0, start[0, lost])
    right, _, _ = _reach(part, zero, one, 1.0, start[0, lost])
    high = np.maximum(left, right)
    low = -high
    open_ = np.arange(lost.size)
    for _ in range(_HALVINGS):
        grid = low[open_] + (high - low)[open_] * _GRID[:, None]
        values = _log_values(part, open_, grid)
        best, cell = np.clip(values.argmax(axis=0), 1, _GRID.size - 2), np.arange(open_.size)
        low[open_], high[open_] = grid[best - 1, cell], grid[best + 1, cell]
        with np.errstate(invalid="ignore"):
            drop = values[best, cell] - np.minimum(values[best - 1, cell], values[best + 1, cell])
        centre[lost[open_]] = grid[best, cell]
        scale[lost[open_]] = (grid[1] - grid[0]) / np.clip(np.nan_to_num(drop), 0.1, 10.0) ** 0.5
        open_ = open_[drop > 3.0]
        if not open_.size:
            break
    return centre, scale


def _first_panels(cells: Cells, centre: Array, scale: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return panels that grow with their distance from the centre, as far as there is mass.

    With them come the scales of the cells (their log densities at the centre) and whether both tails fall.
    """
    top = _log_values(cells, np.arange(cells.size), centre[None])[0]
    found: list[tuple[Array, Array, Array]] = []
    decays = np.ones(cells.size, dtype=bool)
    highest = top
    for sign in (-1.0, 1.0):
        reach, highest, fell = _reach(cells, centre, scale, sign, highest)
        decays &= fell
        inner, outer = np.zeros(cells.size), 3.0 * scale
        while True:
            outer = np.minimum(outer, reach)
            some = np.flatnonzero(outer > inner)
            if not some.size:
                break
            ends = centre[some] + sign * np.stack([inner[some], outer[some]])
            found.append((some, ends.min(axis=0), ends.max(axis=0)))
            inner, outer = outer, outer * 4.0
    if not found:  # no cell has any mass in sight: their integrals come out as zero
        found.append((np.arange(cells.size), centre - 3.0 * scale, centre + 3.0 * scale))
    cell, low, high = (np.concatenate([f[i] for f in found]) for i in range(3))
    if cells.anchored:
        cell, low, high = _cut_about_zero(cell, low, high)
    return cell, low, high, np.where(np.isfinite(top), top, 0.0), decays


def _cut_about_zero(cell: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Return panels cut at zero, and at points that move away from it as those of a centre there would."""
    farthest = max(float(np.abs(low).max()), float(np.abs(high).max()))
    point = 3.0 * 4.0 ** np.arange(max(0, int(np.log2(max(farthest, 3.0) / 3.0) / 2.0) + 1))
    for cut in (0.0, *point, *-point):
        some = np.flatnonzero((low < cut) & (high > cut))
        cell, low = np.concatenate([cell, cell[some]]), np.concatenate([low, np.full(some.size, cut)])
        high = np.concatenate([high, high[some]])
        high[some] = cut
    return cell, low, high


def _reach(cells: Cells, centre: Array, scale: Array, sign: float, top: Array) -> tuple[Array, Array, Array]:
    """Return how far the mass reaches to one side, the largest values met, and whether an end was seen."""
    reach, top = 9.0 * scale, top.copy()
    open_ = np.arange(cells.size)
    for _ in range(_FARTHEST):
        value = _log_values(cells, open_, (centre + sign * reach)[None, open_])[0]
        top[open_] = np.maximum(top[open_], value)
        with np.errstate(invalid="ignore"):
            low = value + np.log(reach[open_] / scale[open_]) < top[open_] - _FALLEN
        open_ = open_[~low]
        if not open_.size:
            break
        reach[open_] *= 2.0
    fell = np.ones(cells.size, dtype=bool)
    fell[open_] = ~np.isfinite(top[open_])  # a density that is zero all over has no tails
    return reach, top, fell
