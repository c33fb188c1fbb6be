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

from bayeskit.inference.elimination.cell_modes import Cells, Modes, find_modes
from bayeskit.inference.elimination.cell_quadrature import Integrals, integrate
from bayeskit.inference.elimination.linear_cells import LinearCells

Array = np.ndarray

_LOG_ROOT_2PI = 0.9189385332046727
# Beyond these b and c, and this c less than what keeps z increasing in t, the estimate's variance may exceed 0.005.
_MOST_BENT, _MOST_STRETCHED, _LEAST_STRETCHED = 0.1, 0.01, 0.002
_FARTHEST = 1.5  # of a predictor, over one width of its cell: beyond it a row may bend where no derivative tells
_INCREASING = 1.3 / 3.0  # c over b^2: 1/3 at least
_ROUGHLY = 1e-2  # error of the integrals that modes of a core are looked for by


@dataclass(frozen=True, eq=False)
class Estimates:
    """Draws of cells and what their integrals are by them; or the integrals nearly, without draws.

    Attributes
    ----------
    log_mass, error : array (cells,)
        Logs of estimates of the integrals; and estimated errors of those that are not estimated, zero of the others.
    decays : array of bool (cells,)
        As of `Integrals`.
    modes : Modes
        The modes.
    rough : array (some,)
        The cells that were integrated by panels.
    z, log_density : array (cells,)
        Draws and the logs of their densities.
    """

    log_mass: Array
    error: Array
    decays: Array
    modes: Modes
    rough: Array
    z: Array
    log_density: Array

    def draw(self, cells: Cells, rng: np.random.Generator, copies: int) -> tuple[Array, Array]:
        """Return the draws and the logs of their densities, ``(1, cells)``."""
        return self.z[None], self.log_density[None]


@np.errstate(all="ignore")
def estimate(
    cells: Cells, start: Array, scale: Array, tolerance: float, rng: np.random.Generator
) -> Estimates | Integrals:
    """Return a draw of every cell and the estimates that come with them; of cells far from normal exact ones.

    Parameters
    ----------
    cells : Cells
        The densities.
    start, scale : array (cells,)
        Where their modes are looked for, and their widths as far as they are known.
    tolerance : float
        Relative error of the exact ones.
    rng : Generator
        Source of randomness.
    """
    if not isinstance(cells, LinearCells):
        return integrate(cells, start, scale, tolerance, to_draw=True)
    modes = find_modes(cells, start, scale)
    bend, stretch, far = _shape(modes, cells.steepest)
    t = rng.standard_normal(cells.size)
    widen = 2.0 * bend * bend + 3.0 * stretch + 1.0
    z = t * stretch
    slope = 3.0 * z
    bend *= 2.0
    slope += bend
    slope *= t
    slope += widen
    slope *= modes.scale
    z += 0.5 * bend
    z *= t
    z += widen
    z *= t
    z += bend
    z *= modes.scale
    z += modes.at
    log_density = np.log(slope, out=slope)
    t *= t
    t *= 0.5
    log_density += t
    log_density += _LOG_ROOT_2PI
    np.negative(log_density, out=log_density)
    log_mass = cells.log_density(z[None])[0]
    log_mass -= log_density
    found = Estimates(log_mass, np.zeros(z.size), np.ones(z.size, dtype=bool), modes, far, z, log_density)
    if not far.size:
        return found
    part = cells.take(far)
    exact = integrate(part, start[far], scale[far], tolerance, to_draw=True)
    (z[far],), (log_density[far],) = exact.draw(part, rng, 1)
    return _corrected(found, far, exact)


@np.errstate(all="ignore")
def nearly(cells: Cells, start: Array, scale: Array, tolerance: float) -> Estimates | Integrals:
    r"""Return :math:`f(z) / q(z)` at t = 0, which is the integral to within a hundredth or less; no draws.

    Parameters
    ----------
    cells, start, scale
        As in `estimate`; of cells far from normal there are exact integrals, too.
    tolerance : float
        Relative error of the others, of cells that are not linear.
    """
    if not isinstance(cells, LinearCells):
        return integrate(cells, start, scale, tolerance)
    modes = find_modes(cells, start, scale)
    bend, stretch, far = _shape(modes, cells.steepest)
    z = modes.at + modes.scale * (2.0 * bend)
    slope = modes.scale * (2.0 * bend * bend + 3.0 * stretch + 1.0)
    log_mass = cells.log_density(z[None])[0] + np.log(slope) + _LOG_ROOT_2PI
    found = Estimates(log_mass, np.zeros(z.size), np.ones(z.size, dtype=bool), modes, far, z, slope)
    if not far.size:
        return found
    return _corrected(found, far, integrate(cells.take(far), start[far], scale[far], max(tolerance, _ROUGHLY)))


def _corrected(found: Estimates, far: Array, exact: Integrals) -> Estimates:
    """Put exact integrals in the place of some estimates."""
    found.log_mass[far], found.error[far], found.decays[far] = exact.log_mass, exact.error, exact.decays
    return Estimates(
        found.log_mass, found.error, found.decays, found.modes, far[exact.rough], found.z, found.log_density
    )


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
