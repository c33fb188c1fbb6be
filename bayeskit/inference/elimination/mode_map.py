"""Where the modes of a plate of cells move with the core: the start of the search for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeskit.inference.elimination.linear_cells import LinearCells

Array = np.ndarray

_FARTHEST = 10.0  # standardised: a mode farther off is looked for from zero


@dataclass(frozen=True, eq=False)
class ModeMap:
    r"""Where the modes of a plate of cells move as its rows, centres and spreads do, to first order.

    At the reference the rows have slope g and curvature I in the cell's part b of the predictor. With the rows'
    offsets a moved by d, and D the sum of their curvatures times d, the slope is :math:`g - D - I (b - b_0)`, and
    with the standard normal z, b = m + S z,

    .. math:: z = \frac{S (g - D + I (b_0 - m))}{1 + S^2 I}.
    """

    offsets: tuple[Array, ...]
    parts: tuple[tuple[Array, Array, Array, Array], ...]

    def __call__(self, cells: LinearCells) -> Array:
        """Return a start for every cell; they are the plate's, once or several times over."""
        above, below = np.zeros(cells.size), np.ones(cells.size)
        for rows, offsets, (g, curvature, b, weights) in zip(cells.rows, self.offsets, self.parts, strict=True):
            moved = rows.a.reshape(-1, offsets.size) - offsets
            moved *= weights
            shift = rows.layout.sum(moved.ravel()).reshape(-1, g.size)
            spread = rows.in_units(cells.spread).reshape(-1, g.size)
            centre = rows.in_units(cells.centre).reshape(-1, g.size)
            above += (spread * (g - shift + curvature * (b - centre))).ravel()
            below += (spread * spread * curvature).ravel()
        return np.clip(np.nan_to_num(above / below), -10.0, 10.0)


def guess(cells: LinearCells) -> Array:
    """Return where modes may be: between where rows and prior would have them, by how firmly; else at zero.

    With a concave log density z is no farther from zero than the slope of the rows there is steep.
    """
    above, below, steep = np.zeros(cells.size), np.ones(cells.size), np.zeros(cells.size)
    with np.errstate(all="ignore"):
        for rows in cells.rows:
            if rows.c is None:
                spread, centre = (v if rows.unit is None else v * rows.unit for v in (cells.spread, cells.centre))
                where, curvature, slope = rows.alone(centre)
                above += spread * curvature * (where - centre)
                below += spread * spread * curvature
                steep += spread * slope
        steep = np.abs(steep)
        found = np.minimum(np.maximum(above / below, -steep), steep)
    return np.where(np.abs(found) < _FARTHEST, found, 0.0)


def mode_map(cells: LinearCells, z: Array) -> ModeMap:
    """Return the map about one plate of cells whose modes are z."""
    x = cells.centre + cells.spread * z
    parts = []
    for rows in cells.rows:
        b = rows.in_units(x)
        slopes = rows._slopes(b)
        weights = rows.curvatures(b) if rows.c is None else rows.curvatures(b) * rows.c
        parts.append((rows.y - slopes[1], slopes[2], b, weights))
    return ModeMap(tuple(rows.a for rows in cells.rows), tuple(parts))
