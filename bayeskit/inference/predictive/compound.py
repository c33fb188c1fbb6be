"""Predictive distributions without a family name: densities of conjugate pairs, tabulated for all but the density.

The density is the pair's own, exact at every value. Numbers are integrated on panels; whole numbers are summed one by
one, and far out by the midpoint rule of Euler and Maclaurin. Source: Davis and Rabinowitz (1984), Methods of Numerical
Integration, sec. 2.9.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from bayeskit.conjugate.predictive import PairDensity
from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, nonnegative_integer
from bayeskit.distributions.elementwise import Log, elementwise_transform
from bayeskit.distributions.integers import integer_quantile
from bayeskit.distributions.panels import Panels
from bayeskit.distributions.tabulated import Tabulated
from bayeskit.errors import RefusedError
from bayeskit.inference.core.line import integrate_line, limits_of

__all__ = ["CompoundCounts", "CompoundNumbers"]

_SUMMED = 1024  # whole numbers that are summed one by one
_LOST = 1e-8  # mass that a table may lack before it is refused


def _printed(density: PairDensity) -> str:
    parent, child, parameter = density.key
    return f"Compound({child}, {parameter} ~ {parent}{f', over {density.nodes} nodes' if density.nodes > 1 else ''})"


def _ends(lower: Array, upper: Array) -> tuple[Any, Any]:
    """Bounds as numbers where all cells have the same, as transforms want them."""
    low, high = (e.reshape(-1)[0] if np.all(e == e.reshape(-1)[:1]) else e for e in (lower, upper))
    return low, high


class CompoundNumbers(Tabulated):
    """Predictive distribution of a continuous child, by the density of its pair.

    Parameters
    ----------
    density : PairDensity
        Densities of the cells.
    bounds : tuple of array
        Ends of the child's support, ``(cells,)`` each.
    start, scale : array
        A rough centre and spread of every cell on the unconstrained scale.
    cell : number or DataArray
        The number of each entry's cell, with dims and labels.
    """

    def __init__(
        self, density: PairDensity, bounds: tuple[Array, Array], start: Array, scale: Array, cell: Any
    ) -> None:
        transform = elementwise_transform(*_ends(*bounds))
        given = {"density": density, "transform": transform, "start": start, "scale": scale, "cell": cell}
        self._keep(given, {"cell": cell})

    def __repr__(self) -> str:
        return _printed(self.given["density"])

    @cached_property
    def panels(self) -> Panels:
        """Densities on the unconstrained scale, made when they are asked for."""
        density, transform, start = (self.given[k] for k in ("density", "transform", "start"))

        def log_density(u: Array) -> Array:
            with np.errstate(all="ignore"):
                value = density(transform.inverse(u)) + transform.log_jacobian(u)
            return np.where(np.isnan(value), -np.inf, value)

        limits = limits_of(transform, len(start))
        line = integrate_line(log_density, start, scale=self.given["scale"], name="the predictive", limits=limits)
        lost = np.abs(np.expm1(line.log_mass))
        if np.any(lost > _LOST) or np.any(line.error > _LOST):
            raise RefusedError(
                f"The predictive {self!r} could not be integrated: its mass came to {1 + lost.max():.9g} and not to 1. "
                "Draw with sample() of the prediction instead."
            )
        return line.panels

    def _log_prob(self, x: Array, cell: Array) -> Array:
        lower, upper = self._bounds(cell)
        index = np.asarray(cell).astype(np.int64)
        inside = (x >= lower) & (x <= upper) & np.isfinite(x)
        with np.errstate(all="ignore"):
            value = self.given["density"].at(np.where(inside, x, np.nan), index)
        return np.where(inside & ~np.isnan(value), value, -np.inf)


class CompoundCounts(Distribution):
    """Predictive distribution of a child of whole numbers without an upper end, by the density of its pair.

    Parameters
    ----------
    density : PairDensity
        Probabilities of the cells.
    lower : int
        The least value.
    cell : number or DataArray
        The number of each entry's cell, with dims and labels.
    """

    parameters = (Parameter("cell", nonnegative_integer),)
    discrete = True

    def __init__(self, density: PairDensity, lower: int, cell: Any) -> None:
        self._keep({"density": density, "lower": int(lower), "cell": cell}, {"cell": cell})

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie."""
        low = self.given["lower"]
        return f"{low}, {low + 1}, {low + 2}, ..."

    def __repr__(self) -> str:
        return _printed(self.given["density"])

    @property
    def _density(self) -> PairDensity:
        density: PairDensity = self.given["density"]
        return density

    # --- tables, made when they are asked for ------------------------------------------------------------------------

    @cached_property
    def _table(self) -> Array:
        """Probabilities of the first values, ``(_SUMMED, cells)``."""
        values = self.given["lower"] + np.arange(float(_SUMMED))
        return np.exp(self._density(np.broadcast_to(values[:, None], (_SUMMED, self._density.cells))))

    @cached_property
    def _summed(self) -> tuple[Array, Array]:
        """Probabilities at or below and above the first values, each ``(_SUMMED + 1, cells)`` from below the least."""
        zero = np.zeros((1, self._density.cells))
        above = np.concatenate([np.cumsum(self._table[::-1], axis=0)[::-1], zero]) + self._beyond
        lost = np.abs(above[0] - 1.0).max()
        if not lost < _LOST:
            raise RefusedError(
                f"The predictive {self!r} could not be summed: its mass is off by {lost:.1e}. "
                "Draw with sample() of the prediction instead."
            )
        return np.concatenate([zero, np.cumsum(self._table, axis=0)]), above

    @property
    def _edge(self) -> float:
        """Half way between the last value that is summed and the next."""
        return float(self.given["lower"] + _SUMMED) - 0.5

    @cached_property
    def _far(self) -> tuple[Panels, Array]:
        """The density beyond the edge as one of numbers, over the log of the distance; and the log of its mass."""
        transform = Log(self._edge)

        def log_density(u: Array) -> Array:
            with np.errstate(all="ignore"):
                value = self._density(transform.inverse(u)) + u
            return np.where(np.isnan(value), -np.inf, value)

        start = np.full(self._density.cells, np.log(float(_SUMMED)))
        line = integrate_line(log_density, start, name="the predictive", limits=limits_of(transform, len(start)))
        return line.panels, line.log_mass

    def _slope(self, function: Any) -> Array:
        """What the midpoint rule adds to an integral that starts half way between two values."""
        return np.asarray((function(0.5) - function(-0.5)) / 24.0)

    @cached_property
    def _beyond(self) -> Array:
        """Probability of all values beyond the edge of the table, ``(cells,)``."""

        def density(step: float) -> Array:
            return np.exp(self._density(np.full((1, self._density.cells), self._edge + step)))[0]

        return np.maximum(np.exp(self._far[1]) + self._slope(density), 0.0)

    # --- kernels -----------------------------------------------------------------------------------------------------

    def _bounds(self, cell: Any) -> tuple[Any, Any]:
        return float(self.given["lower"]), np.inf

    def _log_prob(self, x: Array, cell: Array) -> Array:
        index = np.asarray(cell).astype(np.int64)
        inside = ~self._outside(x, cell)
        value = self._density.at(np.where(inside, x, self.given["lower"]), index)
        return np.where(inside, value, -np.inf)

    def _sf(self, x: Any, cell: Any) -> Array:
        return self._both(x, cell)[1]

    def _cdf(self, x: Any, cell: Any) -> Array:
        return self._both(x, cell)[0]

    def _both(self, x: Any, cell: Any) -> tuple[Array, Array]:
        """Probabilities at or below x, and above it."""
        x, cell = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(cell))
        shape, k, index = x.shape, np.floor(x).reshape(-1), cell.astype(np.int64).reshape(-1)
        place = np.clip(k - self.given["lower"] + 1, 0, _SUMMED)
        place = np.where(np.isnan(place), 0, place).astype(np.int64)
        below, above = (table[place, index] for table in self._summed)
        far = np.flatnonzero((k > self._edge) & np.isfinite(k))
        if far.size:
            above[far] = self._above(k[far] + 0.5, index[far])
            below[far] = 1.0 - above[far]
        below, above = np.where(k == np.inf, 1.0, below), np.where(k == np.inf, 0.0, above)
        small = below < above
        both = (np.where(small, below, 1.0 - above), np.where(small, 1.0 - below, above))
        return tuple(np.where(np.isnan(k), np.nan, np.clip(p, 0.0, 1.0)).reshape(shape) for p in both)  # type: ignore[return-value]

    def _above(self, edge: Array, index: Array) -> Array:
        """Probability above edges beyond that of the table."""
        panels, log_mass = self._far
        mass = np.exp(log_mass[index]) * panels.sf(np.log(edge - self._edge), index)
        return np.maximum(mass + self._slope(lambda step: np.exp(self._density.at(edge + step, index))), 0.0)

    def _quantile(self, q: Any, cell: Any) -> Array:
        return integer_quantile(lambda k: self._cdf(k, cell), q, float(self.given["lower"]), np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], cell: Array) -> Array:
        # 1 - u is in (0, 1], whose quantile is finite up to what a double leaves below one
        drawn = self._quantile(np.minimum(rng.random(shape), 1.0 - 2.0**-53), cell)
        return drawn.astype(np.int64) if np.all(drawn < 2.0**62) else drawn

    def _mode(self, cell: Any) -> Array:
        index = np.asarray(cell).astype(np.int64)
        top = self._table.argmax(axis=0)
        if np.any(top[index] == _SUMMED - 1):
            self._refuse("mode that is found by a table")
        return (self.given["lower"] + top[index]).astype(float)

    def _mean(self, cell: Any) -> Array:
        return self._moments[0][np.asarray(cell).astype(np.int64)]

    def _var(self, cell: Any) -> Array:
        return self._moments[1][np.asarray(cell).astype(np.int64)]

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        mean = self._expect(lambda x: x)
        centre = np.where(np.isfinite(mean), mean, 0.0)
        variance = self._expect(lambda x: (x - centre) ** 2)
        return mean, np.where(np.isfinite(mean), variance, np.inf)

    def _expect(self, function: Any) -> Array:
        """Expectation of a function of values ``(n, cells)``; infinite where the tail says so."""
        values = self.given["lower"] + np.arange(float(_SUMMED))[:, None]
        panels, log_mass = self._far
        with np.errstate(all="ignore"):
            x = Log(self._edge).inverse(panels.nodes)
            far = np.exp(log_mass) * panels.expect(np.broadcast_to(function(x), panels.nodes.shape))
            far = np.where(log_mass > -700.0, far, 0.0)

        def weighed(step: float) -> Array:
            at = np.full((1, self._density.cells), self._edge + step)
            return (function(at) * np.exp(self._density(at)))[0]

        return np.asarray((function(values) * self._table).sum(axis=0) + far + self._slope(weighed))
