r"""Draws of many one-number densities that are near normal, and with them unbiased estimates of their integrals.

A density f of mode m and width s, whose log has the derivatives :math:`g_3` and :math:`g_4` in units of s there, is
nearly that of

.. math:: z = m + s (a + (1 + d) t + b t^2 + c t^3), \quad b = g_3 / 6, \quad c = 5 b^2 / 2 + g_4 / 24, \quad
          a = 2 b, \quad d = 2 b^2 + 3 c,

with t standard normal: right to second order in :math:`g_3` (put into :math:`\log f(z) + \log dz/dt + t^2 / 2`, the
terms in :math:`t, t^2, t^3, t^4` vanish). With q the density of z, :math:`f(z) / q(z)` has the mean :math:`\int f`, and
its variance is a few millionths where b and c are small. To a Metropolis-Hastings chain such an estimate is as good as
the integral (it is the joint density of all that is proposed), for one evaluation instead of nine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeskit.inference.elimination.cell_modes import Modes, find_modes
from bayeskit.inference.elimination.linear_cells import LinearCells

Array = np.ndarray

_LOG_ROOT_2PI = 0.9189385332046727
# Beyond these b and c, and this c less than what keeps z increasing in t, the estimate's variance may exceed 0.005.
_MOST_BENT, _MOST_STRETCHED, _LEAST_STRETCHED = 0.1, 0.01, 0.002
_FARTHEST = 1.5  # of a predictor, over one width of its cell: beyond it a row may bend where no derivative tells
_INCREASING = 1.3 / 3.0  # c over b^2: 1/3 at least


@dataclass(frozen=True, eq=False)
class Proposals:
    """Draws of cells from their changes of variable.

    Attributes
    ----------
    z, log_density : array (cells,)
        Draws and the logs of their densities.
    log_mass : array (cells,)
        Logs of unbiased estimates of the integrals.
    far : array (some,)
        Cells that are too far from normal, of which nothing is to be believed.
    """

    z: Array
    log_density: Array
    log_mass: Array
    far: Array


@np.errstate(all="ignore")
def propose(cells: LinearCells, start: Array, scale: Array, rng: np.random.Generator) -> Proposals:
    """Return a draw for every cell.

    Parameters
    ----------
    cells : LinearCells
        The densities.
    start, scale : array (cells,)
        Where their modes are looked for, and their widths as far as they are known.
    rng : Generator
        Source of randomness.
    """
    modes = find_modes(cells, start, scale)
    bend, stretch, far = _shape(modes, cells.steepest)
    t = rng.standard_normal(cells.size)
    widen = 2.0 * bend * bend + 3.0 * stretch + 1.0
    z = t * stretch
    slope = 3.0 * z
    z += bend
    slope += 2.0 * bend
    z *= t
    slope *= t
    z += widen
    slope += widen
    z *= t
    z += 2.0 * bend
    z *= modes.scale
    z += modes.at
    slope *= modes.scale
    log_density = np.log(slope, out=slope)
    np.negative(log_density, out=log_density)
    t *= t
    t *= 0.5
    log_density -= t
    log_density -= _LOG_ROOT_2PI
    log_mass = cells.log_density(z[None])[0] - log_density
    return Proposals(z, log_density, log_mass, far)


@np.errstate(all="ignore")
def log_masses(cells: LinearCells, start: Array, scale: Array) -> tuple[Array, Array]:
    r"""Return log integrals nearly, :math:`\log f(z) / q(z)` at t = 0, and the cells of which they are not to be believed.

    Parameters
    ----------
    cells, start, scale
        As in `propose`.
    """
    modes = find_modes(cells, start, scale)
    bend, stretch, far = _shape(modes, cells.steepest)
    z = modes.at + modes.scale * (2.0 * bend)
    slope = modes.scale * (2.0 * bend * bend + 3.0 * stretch + 1.0)
    return cells.log_density(z[None])[0] + np.log(slope) + _LOG_ROOT_2PI, far


def _shape(modes: Modes, steepest: Array) -> tuple[Array, Array, Array]:
    """Return b and c, and the cells that are too far from normal."""
    bend = modes.third / 6.0
    square = bend * bend
    stretch = 2.5 * square + modes.fourth / 24.0
    least = _INCREASING * square
    near = modes.found & (np.abs(bend) < _MOST_BENT) & (modes.scale * steepest < _FARTHEST)
    near &= (stretch < _MOST_STRETCHED) & (stretch > least - _LEAST_STRETCHED)
    far = np.flatnonzero(~near)
    bend[far] = 0.0
    stretch[far] = 0.0
    return bend, np.maximum(stretch, least), far
