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
from bayeskit.inference.elimination.cell_quadrature import Integrals, integrate_about
from bayeskit.inference.elimination.linear_cells import LinearCells

Array = np.ndarray

_LOG_ROOT_2PI = 0.9189385332046727
# Beyond these b and c, and this c less than what keeps z increasing in t, the estimate's variance may exceed 0.005.
_MOST_BENT, _MOST_STRETCHED, _LEAST_STRETCHED = 0.1, 0.01, 0.002
_FARTHEST = 1.5  # of a predictor, over one width of its cell: beyond it a row may bend where no derivative tells
_INCREASING = 1.3 / 3.0  # c over b^2: 1/3 at least
_ROUGHLY = 1e-2  # error of the integrals that modes of a core are looked for by
_FEW_FAR = 0.15  # share of cells, each wrong by some hundredths, that may be far from normal then


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
    far : array of bool (cells,)
        Cells too far from normal, of which nothing is to be believed; which they are does not depend on the draws.
    rough : array (some,)
        The cells that were integrated by panels.
    z, log_density : array (cells,) or None
        Draws and the logs of their densities.
    """

    log_mass: Array
    error: Array
    decays: Array
    modes: Modes
    far: Array
    rough: Array
    z: Array | None
    log_density: Array | None

    def draw(self, cells: Cells, rng: np.random.Generator, copies: int) -> tuple[Array, Array]:
        """Return the draws and the logs of their densities, ``(1, cells)``."""
        assert self.z is not None
        assert self.log_density is not None
        return self.z[None], self.log_density[None]


@np.errstate(all="ignore")
def estimate(cells: Cells, start: Array, scale: Array, tolerance: float, rng: np.random.Generator) -> Estimates:
    """Return a draw of every cell and the estimates that come with them.

    Parameters
    ----------
    cells : LinearCells
        The densities.
    start, scale : array (cells,)
        Where their modes are looked for, and their widths as far as they are known.
    tolerance : float
        No error is of the estimates' making.
    rng : Generator
        Source of randomness.
    """
    assert isinstance(cells, LinearCells)
    modes = find_modes(cells, start, scale)
    bend, stretch, near = _shape(modes, cells.steepest)
    t = rng.standard_normal(cells.size)
    widen = bend * bend
    widen *= 2.0
    widen += 3.0 * stretch
    widen += 1.0
    z = t * stretch
    slope = 3.0 * z
    z += bend
    bend *= 2.0
    slope += bend
    slope *= t
    slope += widen
    slope *= modes.scale
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
    decays, error, rough = np.ones(z.size, dtype=bool), np.zeros(z.size), np.empty(0, dtype=np.int64)
    return Estimates(log_mass, error, decays, modes, ~near, rough, z, log_density)


@np.errstate(all="ignore")
def nearly(cells: Cells, start: Array, scale: Array, tolerance: float) -> Estimates | Integrals:
    r"""Return :math:`f(z) / q(z)` at t = 0, which is the integral to a hundredth or less of most cells; no draws.

    Parameters
    ----------
    cells, start, scale
        As in `estimate`. Cells that are not linear are integrated, and those far from normal where they are many.
    tolerance : float
        Relative error of these, if it is not below a hundredth.
    """
    tolerance = max(tolerance, _ROUGHLY)
    modes = find_modes(cells, start, scale)
    if not isinstance(cells, LinearCells):
        return integrate_about(cells, modes, tolerance)
    bend, stretch, near = _shape(modes, cells.steepest)
    z = modes.at + modes.scale * (2.0 * bend)
    log_mass = cells.log_density(z[None])[0] + _LOG_ROOT_2PI
    log_mass += np.log(modes.scale * (2.0 * bend * bend + 3.0 * stretch + 1.0))
    decays, error, rough = np.ones(z.size, dtype=bool), np.zeros(z.size), np.flatnonzero(~near)
    if rough.size < _FEW_FAR * z.size:
        rough = rough[~modes.found[rough]]
    if rough.size:
        exact = integrate_about(cells.take(rough), modes.take(rough), tolerance)
        log_mass[rough], error[rough], decays[rough] = exact.log_mass, exact.error, exact.decays
        rough = rough[exact.rough]
    return Estimates(log_mass, error, decays, modes, np.zeros(z.size, dtype=bool), rough, None, None)


def _shape(modes: Modes, steepest: Array) -> tuple[Array, Array, Array]:
    """Return b and c, and whether cells are near enough to normal; of others as much of b and c as may be."""
    bend = modes.third / 6.0
    square = bend * bend
    stretch = modes.fourth / 24.0
    stretch += 2.5 * square
    square *= _INCREASING
    near = modes.found & (np.abs(bend) < _MOST_BENT) & (modes.scale * steepest < _FARTHEST)
    near &= (stretch < _MOST_STRETCHED) & (stretch > square - _LEAST_STRETCHED)
    if not near.all():  # what is made of cells must not jump where they become far
        bend = np.clip(np.nan_to_num(bend), -_MOST_BENT, _MOST_BENT)
        stretch = np.minimum(np.nan_to_num(stretch), _MOST_STRETCHED)
        square = _INCREASING * bend * bend
    return bend, np.maximum(stretch, square, out=stretch), near
