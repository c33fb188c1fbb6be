r"""Cells whose rows are log odds or log rates that are linear in them: kernels without a model.

A cell is ``x = centre + spread * z`` with z standard normal, and a row of it has the predictor ``a + c x``. A row's log
density is ``y eta - w log(1 + exp eta)`` or ``y eta - w exp eta``, so what is linear in x is one number for each cell,
and only the second part, the cumulant, is summed over rows. Where c is the same for all rows of a cell,
``exp(a + c x) = exp(a) exp(c x)``: one exponential for each row serves all values of x; rates then need no rows at all,
and log odds one product for each row and one logarithm for each cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

Array = np.ndarray

_LOG_ROOT_2PI = 0.9189385332046727
_TAME = 300.0  # exponents of this size can be split into two factors
_LARGEST_LOG = 690.0
_CERTAIN = 1e6  # log odds


@dataclass(frozen=True, eq=False)
class Layout:
    """Which rows belong to which cell: those of one cell stand together.

    Attributes
    ----------
    counts : array (cells,)
        Rows of each cell.
    """

    counts: Array

    @cached_property
    def plain(self) -> bool:
        """Whether every cell has one row."""
        return bool((self.counts == 1).all())

    @cached_property
    def most(self) -> int:
        """Rows of the largest cell."""
        return int(self.counts.max(initial=0))

    @cached_property
    def stops(self) -> Array:
        """Where the rows of each cell end."""
        return np.cumsum(self.counts)

    @cached_property
    def owner(self) -> Array:
        """The cell of each row."""
        return np.repeat(np.arange(self.counts.size), self.counts)

    @cached_property
    def filled(self) -> Array | None:
        """The cells that have rows; None where all have."""
        return None if (self.counts > 0).all() else np.flatnonzero(self.counts)

    @cached_property
    def starts(self) -> Array:
        """Where the rows of the cells that have some begin."""
        starts = self.stops - self.counts
        return starts if self.filled is None else starts[self.filled]

    def spread(self, cells: Array, out: Array | None = None) -> Array:
        """Return the numbers of cells laid along their rows."""
        if self.plain:
            if out is None:
                return cells
            out[:] = cells
            return out
        return np.take(cells, self.owner, out=out, mode="clip")

    def sum(self, rows: Array, ufunc: np.ufunc = np.add, empty: float = 0.0) -> Array:
        """Return the numbers of rows summed by cell."""
        if self.plain:
            return rows
        if not self.starts.size:
            return np.full(self.counts.size, empty)
        sums = ufunc.reduceat(rows, self.starts)
        if self.filled is None:
            return np.asarray(sums)
        out = np.full(self.counts.size, empty)
        out[self.filled] = sums
        return out

    def rows_of(self, index: Array) -> tuple[Layout, Array]:
        """Return the layout of some cells, and their rows one after another."""
        part = Layout(self.counts[index])
        if self.plain:
            return part, index
        before = self.stops[index] - part.stops  # from a row's place among these to its place among all
        return part, np.arange(part.owner.size) + before[part.owner]


@dataclass(eq=False)
class Rows:
    """Rows of one kind: their log density as a function of the number of their cell, without what is constant in it.

    Attributes
    ----------
    layout : Layout
        Which rows belong to which cell.
    a : array (rows,)
        What the predictor has beside the cell's part.
    y : array (cells,)
        Sum over the rows of ``y c`` (of y, where all rows of a cell have one c).
    weight : array (rows,) or None
        Trials (or how often a row occurs); None where all are 1.
    c : array (rows,) or None
        Coefficients where they differ within cells.
    unit : array (cells,) or None
        Coefficients of whole cells; None where they are 1.
    """

    layout: Layout
    a: Array
    y: Array
    weight: Array | None
    c: Array | None
    unit: Array | None

    def take(self, index: Array) -> Rows:
        """Return the rows of some cells."""
        layout, rows = self.layout.rows_of(index)
        weight, c = (None if v is None else v[rows] for v in (self.weight, self.c))
        unit = None if self.unit is None else self.unit[index]
        return type(self)(layout, self.a[rows], self.y[index], weight, c, unit)

    def in_units(self, x: Array) -> Array:
        """Return the cells' numbers times their coefficients."""
        return x if self.unit is None else x * self.unit

    def add(self, x: Array, total: Array) -> None:
        """Add the log density of every cell at points x to a total: both ``(n, cells)``."""
        b = self.in_units(x)
        low, high = float(b.min(initial=0.0)), float(b.max(initial=0.0))
        for here, sums in zip(b, total, strict=True):
            sums -= self._cumulants(here, low, high)
        total += self.y * b

    def derivatives(self, x: Array) -> Array:
        """Return the log density of every cell and its derivatives by x: ``(5, cells)``."""
        b = self.in_units(x)
        out = -self._slopes(b)
        out[0] += self.y * b
        out[1] += self.y
        if self.unit is not None:
            factor = self.unit
            for k in range(1, 5):
                out[k] *= factor
                factor = factor * self.unit
        return out

    def _cumulants(self, b: Array, low: float, high: float) -> Array:
        """Return the cumulants of all cells where their parts of the predictors are b, which lie between bounds."""
        raise NotImplementedError  # pragma: no cover - every kind has its own

    def _slopes(self, b: Array) -> Array:
        """Return the cumulants and their derivatives: ``(5, cells)``."""
        raise NotImplementedError  # pragma: no cover - every kind has its own

    def alone(self, b: Array) -> tuple[Array, Array, Array]:
        """Return where the rows by themselves would have their cells' parts of the predictor, and how firmly.

        That is where a half more of what was counted puts the peak of all rows of a cell, nearly; the curvature there;
        and the slope of the rows at other parts b.
        """
        raise NotImplementedError  # pragma: no cover - every kind has its own

    def curvatures(self, b: Array) -> Array:
        """Return the second derivatives of the cumulants of single rows by their predictors."""
        raise NotImplementedError  # pragma: no cover - every kind has its own

    @cached_property
    def _scratch(self) -> tuple[Array, Array]:
        return np.empty(self.a.shape), np.empty(self.a.shape)

    @cached_property
    def _size(self) -> float:
        """The largest predictor, in size, but for the cell's part."""
        return float(np.abs(self.a).max(initial=0.0))

    @cached_property
    def largest(self) -> float:
        """The largest coefficient that differs within cells, in size; 1 where none does."""
        return 1.0 if self.c is None else float(np.abs(self.c).max(initial=0.0))

    @cached_property
    def _highest(self) -> float:
        return float(self.a.max(initial=0.0))

    @cached_property
    def _exp_a(self) -> Array:
        return np.exp(self.a)

    def _splits(self, low: float, high: float) -> bool:
        """Whether ``exp(a) exp(b)`` is ``exp(a + b)`` for all rows and all b between bounds."""
        return self.c is None and self._size < _TAME and max(-low, high) < _TAME

    def _predictors(self, b: Array) -> Array:
        eta = self.layout.spread(b, out=self._scratch[0])
        if self.c is not None:
            eta *= self.c
        eta += self.a
        return eta

    def _weighted(self, rows: Array) -> Array:
        if self.weight is not None:
            rows *= self.weight
        return self.layout.sum(rows)

    def _stacked(self, parts: Sequence[Array]) -> Array:
        """Sum derivatives by predictors of each row to derivatives by cell."""
        out = np.empty((5, self.layout.counts.size))
        for k, rows in enumerate(parts):
            if k and self.c is not None:
                rows = rows * self.c**k
            out[k] = self.layout.sum(rows if self.weight is None else rows * self.weight)
        return out


class LogitRows(Rows):
    """Log odds: the cumulant is ``log(1 + exp eta)``."""

    @cached_property
    def _farthest(self) -> float:
        """Beyond this a row is certain; what ``y eta`` and the cumulant cancel to would be rounding."""
        return (_CERTAIN + 2.0 * self._size) / max(1.0, self.largest)

    def in_units(self, x: Array) -> Array:
        """Return the cells' numbers times their coefficients, cut where the rows are certain."""
        return np.clip(super().in_units(x), -self._farthest, self._farthest)

    def _cumulants(self, b: Array, low: float, high: float) -> Array:
        if not self._splits(low, high):
            eta, other = self._predictors(b), self._scratch[1]
            np.abs(eta, out=other)
            np.negative(other, out=other)
            np.log1p(np.exp(other, out=other), out=other)
            other += np.maximum(eta, 0.0, out=eta)
            return self._weighted(other)
        odds = self.layout.spread(np.exp(b), out=self._scratch[0])
        odds *= self._exp_a
        if self._multiplies(high):
            odds += 1.0
            return np.asarray(np.log(self.layout.sum(odds, np.multiply, 1.0)))
        return self._weighted(np.log1p(odds, out=odds))

    def _shares(self, b: Array) -> tuple[Array, Array, Array]:
        """Return the cumulants of rows, the probabilities and their complements."""
        if self._splits(float(b.min(initial=0.0)), float(b.max(initial=0.0))):
            p, q = self._split_shares(b)
            return -np.log(q), p, q
        eta = self._predictors(b)
        small = np.exp(-np.abs(eta))
        large = 1.0 / (1.0 + small)
        small *= large
        up = eta > 0
        return np.maximum(eta, 0.0) - np.log(large), np.where(up, large, small), np.where(up, small, large)

    def _split_shares(self, b: Array) -> tuple[Array, Array]:
        """Return the probabilities of rows and their complements, where an exponential of each cell will do."""
        odds, q = self._scratch
        self.layout.spread(np.exp(b), out=odds)
        odds *= self._exp_a
        np.add(odds, 1.0, out=q)
        np.divide(1.0, q, out=q)
        odds *= q
        return odds, q

    def _slopes(self, b: Array) -> Array:
        low, high = float(b.min(initial=0.0)), float(b.max(initial=0.0))
        if not (self._splits(low, high) and self._multiplies(high)):
            cumulants, p, q = self._shares(b)
            variance = p * q
            return self._stacked((cumulants, p, variance, variance * (q - p), variance * (1.0 - 6.0 * variance)))
        p, q = self._split_shares(b)
        out = np.empty((5, b.size))
        out[0] = -np.log(self.layout.sum(q, np.multiply, 1.0))
        out[1] = self.layout.sum(p)
        asymmetry = q - p
        q *= p  # the variance
        out[2] = self.layout.sum(q)
        asymmetry *= q
        out[3] = self.layout.sum(asymmetry)
        np.multiply(q, q, out=p)
        out[4] = out[2] - 6.0 * self.layout.sum(p)
        return out

    def _multiplies(self, high: float) -> bool:
        """Whether what rows of a cell add up to may be the log of a product, for all b below a bound."""
        if self.weight is not None or self.layout.plain:
            return False
        return (self._highest + high + 1.0) * self.layout.most < _LARGEST_LOG

    def alone(self, b: Array) -> tuple[Array, Array, Array]:
        """Return the log odds of all trials of a cell together, less the mean of what its predictors have besides."""
        trials = self.layout.counts if self.weight is None else self.layout.sum(self.weight)
        mean = self.layout.sum(self.a if self.weight is None else self.a * self.weight) / np.maximum(trials, 1.0)
        successes, failures = self.y + 0.5, trials - self.y + 0.5
        slope = self.y - trials / (1.0 + np.exp(-b - mean))
        return np.log(successes / failures) - mean, successes * failures / (trials + 1.0), slope

    def curvatures(self, b: Array) -> Array:
        """Return n p q of every row."""
        _, p, q = self._shares(b)
        return p * q if self.weight is None else p * q * self.weight


class LogRows(Rows):
    """Log rates: the cumulant is ``exp eta``."""

    @cached_property
    def _log_sums(self) -> Array:
        """Logs of the sums of ``w exp(a)`` by cell."""
        with np.errstate(divide="ignore", under="ignore"):  # a cell without rows has none
            if self._size < _TAME:
                return np.asarray(np.log(self._weighted(self._exp_a.copy())))
            top = self.layout.sum(self.a, np.maximum, -np.inf)
            top = np.where(np.isfinite(top), top, 0.0)
            return np.asarray(top + np.log(self._weighted(np.exp(self.a - self.layout.spread(top)))))

    def _cumulants(self, b: Array, low: float, high: float) -> Array:
        if self.c is None:
            return np.asarray(np.exp(self._log_sums + b))
        eta = self._predictors(b)
        return self._weighted(np.exp(eta, out=eta))

    def _slopes(self, b: Array) -> Array:
        if self.c is None:
            return np.tile(np.exp(self._log_sums + b), (5, 1))
        rates = np.exp(self._predictors(b))
        return self._stacked((rates,) * 5)

    def alone(self, b: Array) -> tuple[Array, Array, Array]:
        """Return the log of the count of a cell over the sum of what its rates have besides."""
        return np.log(self.y + 0.5) - self._log_sums, self.y + 0.5, self.y - np.exp(self._log_sums + b)

    def curvatures(self, b: Array) -> Array:
        """Return the rate of every row."""
        rates = np.exp(self._predictors(b))
        return rates if self.weight is None else rates * self.weight


class Expanded(Protocol):
    """Rows of all cells as something else than rows."""

    @property
    def largest(self) -> float:
        """The largest coefficient of a cell's number in a row, in size."""

    def add(self, x: Array, total: Array) -> None:
        """Add the log density of every cell at points x to a total: both ``(n, cells)``."""

    def derivatives(self, x: Array) -> Array:
        """Return the log density of every cell and its derivatives by x: ``(5, cells)``."""

    def take(self, index: Array) -> Expanded:
        """Return those of some cells."""


@dataclass(frozen=True, eq=False)
class LinearCells:
    """Cells ``x = centre + spread z`` with z standard normal and rows that are linear in x.

    Attributes
    ----------
    centre, spread : array (cells,)
        Means and standard deviations.
    rows : tuple of Rows
        Rows of one or more kinds.
    expanded : tuple of Expanded
        Further rows, that are not held one by one.
    """

    centre: Array
    spread: Array
    rows: tuple[Rows, ...]
    expanded: tuple[Expanded, ...] = ()
    concave: bool = True
    analytic: bool = True
    anchored: bool = False

    @property
    def size(self) -> int:
        """How many."""
        return int(self.centre.size)

    def log_density(self, z: Array) -> Array:
        """Return the log densities of z, ``(n, size)``, but for what does not depend on it."""
        x = z * self.spread
        x += self.centre
        out = z * z
        out *= -0.5
        out -= _LOG_ROOT_2PI
        for rows in (*self.rows, *self.expanded):
            rows.add(x, out)
        return out

    @property
    def steepest(self) -> Array:
        """By how much the predictor of some row of each moves with z: ``(size,)``."""
        found = np.zeros(self.size)
        for rows in self.rows:
            np.maximum(found, rows.largest if rows.unit is None else np.abs(rows.unit) * rows.largest, out=found)
        for expanded in self.expanded:
            np.maximum(found, expanded.largest, out=found)
        return found * self.spread

    def derivatives(self, z: Array, scale: Array) -> Array:
        """Return the log densities and their derivatives: ``(5, size)``."""
        x = self.centre + self.spread * z
        first, *others = (*self.rows, *self.expanded) or (None,)
        out = np.zeros((5, self.size)) if first is None else first.derivatives(x)
        for rows in others:
            out += rows.derivatives(x)
        factor = self.spread
        for k in range(1, 5):
            out[k] *= factor
            factor = factor * self.spread
        out[0] -= 0.5 * z * z + _LOG_ROOT_2PI
        out[1] -= z
        out[2] -= 1.0
        return out

    def take(self, index: Array) -> LinearCells:
        """Return some of the cells."""
        rows, expanded = tuple(r.take(index) for r in self.rows), tuple(e.take(index) for e in self.expanded)
        return LinearCells(self.centre[index], self.spread[index], rows, expanded)
