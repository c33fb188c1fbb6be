r"""Integrals of many one-number densities at once, each as cheaply as it allows; and draws from them.

Near its mode m a density of width s is brought to the normal shape by

.. math:: z = m + s (t + b t^2 + c t^3), \quad b = f_3 / 6, \quad c = 5 b^2 / 2 + f_4 / 24,

which takes skewness and kurtosis (the third and fourth derivatives of the log density, in units of s) out of it. Then
nine nodes of Gauss-Hermite kind are often enough for ten digits: the rules of 3, 9 and 19 nodes are nested (A. Genz and
B. D. Keister, Fully symmetric interpolatory rules for multiple integrals over infinite regions with Gaussian weight,
1996). How far a density is from normal is read from its last Hermite coefficients; where it is too far the nodes
become 19, and where that does not do, panels take over (``cell_panels``): one Bernoulli row under a wide scale is no
normal shape at all, and twice the nodes about its mode would not say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermevander
from scipy.special import gammaln

from bayeskit.inference.elimination.cell_modes import Cells, Modes, find_modes
from bayeskit.inference.elimination.cell_panels import Panels, integrate_panels

Array = np.ndarray

_LOG_ROOT_2PI = 0.9189385332046727
_OLD = [0.741095349994540842, 1.73205080756887729, 2.86127957605705812, 4.18495601767273186]
_NEW = [1.23042363402730601, 2.59608311504920216, 3.20533379449919452, 5.18701603991365607, 6.36339449433636999]
_OLD_IN_9 = [0.270074329577937871, 0.0948509485094850949, 0.00799632547089353277, 9.42694574565174894e-05]
_OLD_IN_19 = [0.208324991649608878, 0.0640960546868075887, -0.00633722479337373585, 6.01233694598478185e-05]
_NEW_IN_19 = [
    0.0611517301252476771,
    0.0180852342547984528,
    0.00288488043650675129,
    6.09480873146898346e-07,
    8.62968460222988577e-10,
]
_T9 = np.array([0.0, *_OLD, *(-x for x in _OLD)])
_T_NEW = np.array([*_NEW, *(-x for x in _NEW)])
_W9 = np.array([0.253968253968253968, *_OLD_IN_9, *_OLD_IN_9])
_W19 = np.array([0.303467199854205866, *_OLD_IN_19, *_OLD_IN_19, *_NEW_IN_19, *_NEW_IN_19])
_FAR = np.array([7.0, 14.0, 28.0, 56.0])  # widths at which a density that may have other modes is looked at again

_TO_DRAW = 1e-5  # estimated error up to which the density through nine nodes is drawn from: its cdf is right to 1e-5
_CHUNK = 20_000


def _coefficients(nodes: Array, weights: Array, orders: list[int]) -> Array:
    """From values at the nodes to coefficients of normalised Hermite polynomials."""
    basis = hermevander(nodes, max(orders)) / np.exp(0.5 * gammaln(np.arange(max(orders) + 1) + 1.0))
    return np.asarray((basis * weights[:, None])[:, orders].T)


_LAST_9 = _coefficients(_T9, _W9, [0, 5, 6, 7, 8])
_LAST_19 = _coefficients(np.concatenate([_T9, _T_NEW]), _W19, [0, 12, 13, 14])


@dataclass(frozen=True, eq=False)
class Integrals:
    """Integrals of cells, and what is needed to draw from them.

    Attributes
    ----------
    log_mass, error : array (cells,)
        Log integrals and their estimated errors.
    decays : array of bool (cells,)
        Whether the tails fall; where they do not there is no integral.
    modes, bend, stretch : Modes, array, array
        The change of variable.
    residual : array (9, cells)
        What the log density has beyond the normal one at nine nodes.
    rough : array (some,)
        The cells that were integrated by panels.
    panels : Panels or None
        Their panels.
    """

    log_mass: Array
    error: Array
    decays: Array
    modes: Modes
    bend: Array
    stretch: Array
    residual: Array
    rough: Array
    panels: Panels | None

    def draw(self, cells: Cells, rng: np.random.Generator, copies: int) -> tuple[Array, Array]:
        """Return independent draws and the logs of their densities, ``(copies, cells)``."""
        z = self.sample(rng, copies)
        return z, cells.log_density(z) - self.log_mass

    def sample(self, rng: np.random.Generator, copies: int) -> Array:
        """Return independent draws ``(copies, cells)``."""
        out = np.empty((copies, self.log_mass.size))
        smooth = np.ones(self.log_mass.size, dtype=bool)
        smooth[self.rough] = False
        for some in _chunks(np.flatnonzero(smooth), max(1, _CHUNK // copies)):
            t = _draw_smooth(self.residual[:, some], rng, copies)
            shape = 1.0 + t * (self.bend[some] + t * self.stretch[some])
            out[:, some] = self.modes.at[some] + self.modes.scale[some] * t * shape
        if self.panels is not None:
            out[:, self.rough] = self.panels.sample(rng, copies)
        return out


def _chunks(index: Array, size: int) -> list[Array]:
    return [index[i : i + size] for i in range(0, index.size, size)]


def integrate(cells: Cells, start: Array, scale: Array, tolerance: float, *, to_draw: bool = False) -> Integrals:
    """Return the integrals of all cells.

    Parameters
    ----------
    cells : Cells
        The densities.
    start, scale : array (cells,)
        Where their modes are looked for, and their widths as far as they are known.
    tolerance : float
        Relative error to reach in every cell.
    to_draw : bool
        Whether draws are wanted: then cells far from normal get panels even where 19 nodes would integrate them.
    """
    return integrate_about(cells, find_modes(cells, start, scale), tolerance, to_draw=to_draw)


def integrate_about(cells: Cells, modes: Modes, tolerance: float, *, to_draw: bool = False) -> Integrals:
    """Return the integrals of all cells, whose modes are known; otherwise as `integrate`."""
    bend, stretch = _shape(modes)
    with np.errstate(all="ignore"):
        residual, height = _residuals(cells, modes, bend, stretch, _T9)
        residual -= height
        density = np.exp(residual)
        whole, *last = _LAST_9 @ density
        # the error of the rule: found on logistic and Poisson rows to be below this, mostly far below
        error = (last[0] ** 2 / 150.0 + 3.0 * (last[1] ** 2 + last[2] ** 2 + last[3] ** 2)) / whole**2
        log_mass = height + np.log(modes.scale * whole) + _LOG_ROOT_2PI
    good = modes.found & np.isfinite(log_mass)
    if not cells.concave:
        good &= _falls(cells, modes, height)
    if cells.anchored:
        good &= _outweighs_zero(cells, modes, height)
    error = np.where(good & np.isfinite(error), error, np.inf)
    hopeless = error > (_TO_DRAW if to_draw else 0.1)
    some = np.flatnonzero((error > tolerance) & ~hopeless)
    if some.size:
        _refine(cells, some, (modes, bend, stretch), (density, height, log_mass, error))
    rough = np.flatnonzero((error > tolerance) | hopeless)
    decays, panels = np.ones(cells.size, dtype=bool), None
    if rough.size:
        part = cells.take(rough)
        scale = np.where(modes.found[rough], modes.scale[rough], np.nan)
        panels = integrate_panels(part, modes.at[rough], scale, tolerance)
        log_mass[rough], error[rough], decays[rough] = panels.log_mass, panels.error, panels.decays
    log_mass = np.where(np.isnan(log_mass), -np.inf, log_mass)
    return Integrals(log_mass, error, decays, modes, bend, stretch, residual, rough, panels)


def _shape(modes: Modes) -> tuple[Array, Array]:
    """Return b and c of the change of variable, kept where it is increasing and gentle."""
    with np.errstate(all="ignore"):
        bend = np.clip(np.nan_to_num(modes.third) / 6.0, -0.3, 0.3)
        square = bend * bend
        stretch = 2.5 * square + np.nan_to_num(modes.fourth) / 24.0
    return bend, np.clip(stretch, 1.3 * square / 3.0, 0.05)


def _residuals(cells: Cells, modes: Modes, bend: Array, stretch: Array, nodes: Array) -> tuple[Array, Array]:
    """Return the log density in t less the normal one, at nodes, and its value at the first of them."""
    t = nodes[:, None]
    z = t * stretch
    z += bend
    z *= t
    slope = 1.0 + t * (2.0 * bend + 3.0 * t * stretch)
    z += 1.0
    z *= t
    z *= modes.scale
    z += modes.at
    values = cells.log_density(z)
    values += np.log(slope, out=slope)
    values += 0.5 * t * t
    return values, values[0].copy()


def _refine(
    cells: Cells, some: Array, change: tuple[Modes, Array, Array], found: tuple[Array, Array, Array, Array]
) -> None:
    """Integrate some cells by 19 nodes, ten of them new, where that is better; in place."""
    (modes, bend, stretch), (density, height, log_mass, error) = change, found
    if 3 * some.size <= 2 * cells.size:
        cells, modes, bend, stretch = cells.take(some), modes.take(some), bend[some], stretch[some]
    else:
        some = np.arange(cells.size)
    density, height = density[:, some], height[some]
    with np.errstate(all="ignore"):
        more, _ = _residuals(cells, modes, bend, stretch, _T_NEW)
        whole, *last = _LAST_19 @ np.concatenate([density, np.exp(more - height)])
        ratio = whole / (_LAST_9[0] @ density)
        finer = 3.0 * (np.abs(1.0 / ratio - 1.0) ** 1.3 + (last[0] ** 2 + last[1] ** 2 + last[2] ** 2) / whole**2)
        better = np.isfinite(finer) & (finer < error[some]) & (np.abs(ratio - 1.0) < 0.01)
        log_mass[some[better]] += np.log(ratio[better])
        error[some[better]] = finer[better]


def _falls(cells: Cells, modes: Modes, height: Array) -> Array:
    """Whether densities go on falling far from their modes, as those with one mode do."""
    steps = np.stack([_FAR, -_FAR], axis=1)[..., None] * modes.scale
    with np.errstate(all="ignore"):
        values = cells.log_density((modes.at + steps).reshape(-1, cells.size)).reshape(steps.shape)
    values = np.where(np.isnan(values), -np.inf, values)
    falling = (values[1:] <= values[:-1]).all(axis=(0, 1))
    return np.asarray(falling & (values[0] <= height - 8.0).all(axis=0))


def _draw_smooth(residual: Array, rng: np.random.Generator, copies: int) -> Array:
    """Draw t from the normal density times exp(r), r the polynomial through nine residuals: by rejection."""
    powers = _POWERS @ residual
    bound = (_BETWEEN @ residual).max(axis=0)
    out = np.empty(copies * bound.size)
    open_, cell = np.arange(out.size), np.tile(np.arange(bound.size), copies)
    while open_.size:
        t = rng.standard_normal(open_.size)
        inside = np.clip(t, -_EDGE, _EDGE)  # what lies beyond is a share of 1e-5, and the polynomial is not held there
        part = powers if copies == 1 and open_.size == bound.size else powers[:, cell]
        r = part[-1] * inside
        for power in part[-2:0:-1]:
            r += power
            r *= inside
        r += part[0]
        kept = rng.standard_exponential(open_.size) >= bound[cell] - r
        out[open_[kept]] = t[kept]
        open_, cell = open_[~kept], cell[~kept]
    return out.reshape(copies, -1)


def _outweighs_zero(cells: Cells, modes: Modes, height: Array) -> Array:
    """Whether a peak at zero would be a part of the mode, or nothing beside it."""
    with np.errstate(all="ignore"):
        nothing = cells.log_density(np.zeros((1, cells.size)))[0] - height - np.log(modes.scale) < -25.0
    return np.asarray(nothing | ((np.abs(modes.at) < 3.0 * modes.scale) & (modes.scale < 1.5)))


def _polynomial() -> tuple[Array, Array]:
    """From values at nine nodes to the powers of the polynomial through them, and to its values in between."""
    powers = np.linalg.inv(np.vander(_T9, 9, increasing=True))
    return powers, np.vander(np.linspace(-_EDGE, _EDGE, 41), 9, increasing=True) @ powers


_EDGE = float(_T9.max())
_POWERS, _BETWEEN = _polynomial()
