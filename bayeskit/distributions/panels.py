r"""One-number densities on panels of Gauss-Legendre nodes, many cells at once.

Within a panel of half width h the density is the polynomial through its values at the nodes,
:math:`p(m + h t) = \sum_k a_k P_k(t)`, so that its integral is one too:

.. math:: \int_{-1}^{t} P_k = \frac{P_{k+1}(t) - P_{k-1}(t)}{2k + 1}.

Outside the panels the log density goes on as it ends: a line, a parabola, or a power. Source: Davis and Rabinowitz
(1984), Methods of Numerical Integration, sec. 2.7 and 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.special import roots_legendre

from bayeskit.distributions.by_parts import Part, by_parts, cells_at_once, columns_of
from bayeskit.distributions.domains import Array
from bayeskit.distributions.inverse_table import inverse_table
from bayeskit.distributions.line_tails import Tail, read_tail
from bayeskit.distributions.products import product

__all__ = ["NODES", "ORDER", "TO_LEGENDRE", "WEIGHTS", "Panels", "gauss_points", "log_integrals", "masses", "place"]

ORDER = 16
NODES, WEIGHTS = roots_legendre(ORDER)
# From values at the nodes to Legendre coefficients: the discrete orthogonality of the Gauss rule.
TO_LEGENDRE = (np.arange(ORDER) + 0.5)[:, None] * legvander(NODES, ORDER - 1).T * WEIGHTS
_CHUNK = 16384
_TABLE = 512  # quantiles of a cell that many draws of it are found between


def _integrate() -> Array:
    """From the coefficients of a polynomial to those of its integral from -1."""
    matrix = np.zeros((ORDER + 1, ORDER))
    for k in range(ORDER):
        matrix[k + 1, k] += 1.0 / (2 * k + 1)
        matrix[max(k - 1, 0), k] += -1.0 / (2 * k + 1) if k else 1.0
    return matrix


_INTEGRATE = _integrate()
# Series are summed in monic polynomials, p_(k+1) = t p_k - k^2 / (4 k^2 - 1) p_(k-1): their leading coefficients.
_RECURRENCE = [k**2 / (4.0 * k**2 - 1) for k in range(ORDER)]
_LEADING = np.cumprod([1.0] + [(2 * k - 1) / k for k in range(1, ORDER + 1)])[:, None]
_KNOTS = np.concatenate([[-1.0], NODES, [1.0]])
_AT_KNOTS = legvander(_KNOTS, ORDER)


def gauss_points(edges: Array) -> Array:
    """Nodes of the panels between edges ``(panels + 1, cells)``: ``(panels * ORDER, cells)``."""
    half, middle = 0.5 * np.diff(edges, axis=0), 0.5 * (edges[1:] + edges[:-1])
    return (middle[:, None] + half[:, None] * NODES[:, None]).reshape(-1, edges.shape[1])


def masses(edges: Array, log_values: Array) -> Array:
    """What every node contributes to the integral of a density, ``(panels * ORDER, cells)``."""
    half = 0.5 * np.diff(edges, axis=0)
    with np.errstate(under="ignore"):
        values = np.exp(log_values, order="C")
        by_panel = values.reshape(len(half), ORDER, -1)
        by_panel *= WEIGHTS[:, None]
        by_panel *= half[:, None]
    return values


def log_integrals(edges: Array, log_values: Array) -> Array:
    """Log of the integrals of densities, ``(cells,)``."""
    top = log_values.max(axis=0)
    return np.asarray(top + np.log(masses(edges, log_values - top).sum(axis=0)))


@dataclass(frozen=True, eq=False)
class Panels:
    """Densities of cells, each on its own panels.

    Attributes
    ----------
    edges : ndarray
        Ends of the panels, ``(panels + 1, cells)``, increasing.
    log_values : ndarray
        Normalised log density at the Gauss nodes, ``(panels * ORDER, cells)``; -inf is allowed.

    Examples
    --------
    >>> edges = np.linspace(-9.0, 9.0, 9)[:, None]
    >>> normal = Panels(edges, -0.5 * gauss_points(edges) ** 2 - 0.5 * np.log(2 * np.pi))
    >>> float(normal.quantile(0.975, 0).round(9)), float(normal.expect(normal.nodes**2)[0].round(9))
    (1.959963985, 1.0)
    """

    edges: Array
    log_values: Array

    @property
    def cells(self) -> int:
        """How many densities there are."""
        return int(self.edges.shape[1])

    @cached_property
    def nodes(self) -> Array:
        """Gauss nodes, ``(panels * ORDER, cells)``."""
        return gauss_points(self.edges)

    @cached_property
    def probabilities(self) -> Array:
        """Probability that each node stands for; they sum to one in each cell."""
        mass = masses(self.edges, self.log_values)
        return mass / mass.sum(axis=0)

    @cached_property
    def mirrored(self) -> Panels:
        """The densities of the negated variables."""
        return Panels(-self.edges[::-1], self.log_values[::-1])

    def of(self, cells: Array) -> Panels:
        """The densities of some cells."""
        if np.array_equal(cells, np.arange(self.cells)):
            return self
        columns = columns_of(cells)
        return Panels(self.edges[:, columns], self.log_values[:, columns])

    @property
    def _size(self) -> int:
        """Cells that are answered for at a time."""
        return cells_at_once(len(self.log_values))

    @cached_property
    def tail(self) -> Tail:
        """How the densities go on below their panels."""
        return read_tail(self.edges[0], self.nodes[:ORDER], self.log_values[:ORDER], *self._peak)

    @property
    def _peak(self) -> tuple[Array, Array]:
        top = self.log_values.argmax(axis=0)[None]
        return np.take_along_axis(self.nodes, top, 0)[0], np.take_along_axis(self.log_values, top, 0)[0]

    @cached_property
    def _tables(self) -> _Tables:
        return _tables(self)

    # --- elementwise over values and the numbers of their cells ----------------------------------------------------

    def cdf(self, u: Any, cell: Any) -> Array:
        """Probability at or below u in a cell, down to 1e-12 of it in the lower tail."""
        return self._ask("_cdf", u, cell)

    def sf(self, u: Any, cell: Any) -> Array:
        """Probability above u in a cell, down to 1e-12 of it in the upper tail."""
        return self.mirrored.cdf(np.negative(u), cell)

    def quantile(self, p: Any, cell: Any) -> Array:
        """Value with probability p at or below it; of p <= 0 and p >= 1 the infinities."""
        return self._ask("_quantile", p, cell)

    def log_quantile(self, log_p: Any, cell: Any) -> Array:
        """Value with a given log of the probability at or below it, as far out as the tail is known."""
        return self._ask("_log_quantile", log_p, cell)

    def log_isf(self, log_p: Any, cell: Any) -> Array:
        """Value with a given log of the probability above it."""
        return -self.mirrored.log_quantile(log_p, cell)

    def log_density(self, u: Any, cell: Any) -> Array:
        """Normalised log density at u in a cell."""
        return self._ask("_log_density", u, cell)

    def _ask(self, kernel: str, value: Any, cell: Any) -> Array:
        """Answer elementwise: where there are many cells, for some of them at a time, whose tables are then dropped."""
        if self.cells <= self._size:
            return _chunked(getattr(self, kernel), value, cell)

        def answer(part: Part) -> Array:
            return _chunked(getattr(self.of(part.cells), kernel), part.take(value), part.place)

        return by_parts(answer, self._size, cell, value)

    def _locate(self, u: Array, cell: Array) -> tuple[Array, Array]:
        """Row of the panel that holds u, and the place in it."""
        panels = len(self.edges) - 1
        panel = _search(self._tables.edges, cell, u)
        low, high = (self._tables.edges.ravel()[cell * (panels + 1) + panel + shift] for shift in (0, 1))
        with np.errstate(all="ignore"):
            place = np.where(high > low, (2.0 * u - low - high) / (high - low), 0.0)
        return cell * panels + panel, np.clip(place, -1.0, 1.0)

    def _cdf(self, u: Array, cell: Array) -> Array:
        tables = self._tables
        row, t = self._locate(u, cell)
        inside = tables.below.ravel()[row + row // (len(self.edges) - 1)] + _values(tables.both, row, t)[1]
        distance = self.edges[0, cell] - u
        result = np.clip(inside, 0.0, 1.0)
        out = distance > 0
        if out.any():
            result[out] = np.exp(self.tail.log_mass_beyond(distance[out], cell[out]))
        return np.where(u >= self.edges[-1, cell], 1.0, result)

    def _log_density(self, u: Array, cell: Array) -> Array:
        tables = self._tables
        row, t = self._locate(u, cell)
        result = _series(np.take(tables.logs, row, axis=1), t)
        broken = ~np.isfinite(result)
        if broken.any():
            half = tables.half.ravel()[row[broken]]
            density = _values(tables.both, row[broken], t[broken])[0]
            with np.errstate(all="ignore"):
                result[broken] = np.where(
                    density > 1e-13 * tables.top.ravel()[row[broken]], np.log(density / half), -np.inf
                )
        for sign, panels, edge in ((1.0, self, self.edges[0]), (-1.0, self.mirrored, self.edges[-1])):
            distance = sign * (edge[cell] - u)
            out = distance > 0
            if out.any():
                result[out] = panels.tail.log_density_beyond(distance[out], cell[out])
        return result

    def _log_quantile(self, log_p: Array, cell: Array) -> Array:
        result = self._quantile(np.exp(log_p), cell)
        out = log_p < self.tail.log_mass[cell]
        if out.any():
            result[out] = self.edges[0, cell[out]] - self.tail.distance_of(log_p[out], cell[out])
        return result

    def _quantile(self, p: Array, cell: Array, settled: float = 3e-7) -> Array:
        tables, panels = self._tables, len(self.edges) - 1
        panel = _search(tables.below, cell, p)
        row = cell * panels + panel
        rest = p - tables.below.ravel()[cell * (panels + 1) + panel]
        t = _invert(tables, row, rest, settled)
        low, high = self.edges[panel, cell], self.edges[panel + 1, cell]
        u = np.where(t < 0, low + 0.5 * (high - low) * (1.0 + t), high - 0.5 * (high - low) * (1.0 - t))
        out = (p < tables.below.ravel()[cell * (panels + 1)]) & (p > 0)
        if out.any():
            u[out] = self.edges[0, cell[out]] - self.tail.distance_of(np.log(p[out]), cell[out])
        return np.where(p <= 0, -np.inf, np.where(p >= 1, np.inf, u))

    def sample(self, rng: np.random.Generator, draws: int) -> Array:
        """Draw independently from every cell: ``(draws, cells)``."""
        result = np.empty((draws, self.cells))
        for cells in self._pieces(draws):
            part, place = self.of(cells), np.arange(len(cells))[:, None]
            p = rng.uniform(2.0**-54, 1.0, (len(cells), draws))
            result[:, cells] = part._drawn(p, place).T
        return result

    def _drawn(self, p: Array, cells: Array) -> Array:
        """Return the places with probabilities ``(cells, draws)`` below them, to a millionth of their spread."""
        kernel = partial(self._quantile, settled=3e-5)
        if p.shape[1] < 4 * _TABLE:
            return _chunked(kernel, p, cells)
        quantiles = self.quantile(np.arange(1, _TABLE) / _TABLE, cells)
        table = inverse_table(quantiles, np.exp(self.log_density(quantiles, cells)))
        middle_half = quantiles[:, 3 * _TABLE // 4 - 1] - quantiles[:, _TABLE // 4 - 1]
        u, rough = table(p, 1e-6 * middle_half[:, None])
        if rough.any():
            u[rough] = _chunked(kernel, p[rough], np.broadcast_to(cells, p.shape)[rough])
        return u

    def total_log_density(self, u: Array) -> Array:
        """Log density of all cells together at u, ``(draws, cells)``: ``(draws,)``."""
        total = np.zeros(len(u))
        for cells in self._pieces(len(u)):
            total += _chunked(self.of(cells)._log_density, u[:, cells], np.arange(len(cells))).sum(axis=1)
        return total

    def _pieces(self, draws: int) -> Iterator[Array]:
        """Numbers of some cells at a time, whose tables and draws stay at hand."""
        step = max(min(2**18 // draws, self._size), 1)
        return (np.arange(start, min(start + step, self.cells)) for start in range(0, self.cells, step))

    def expect(self, values: Array) -> Array:
        """Return the expectation of a function given at the nodes, ``(nodes, cells)``; infinite where its tails say so.

        What lies beyond the panels is added by how density and function go on; it counts where the function grows
        nearly as fast as the density falls.
        """
        mass = self.probabilities
        with np.errstate(all="ignore"):
            total = np.where(mass > 0, mass * values, 0.0).sum(axis=0)
            lower = self.tail.expect_beyond(self.nodes[:ORDER], values[:ORDER])
            upper = self.mirrored.tail.expect_beyond(-self.nodes[: -ORDER - 1 : -1], values[: -ORDER - 1 : -1])
            return total + lower + upper


@dataclass(frozen=True, eq=False)
class _Tables:
    """What the elementwise answers read; rows are panels, those of one cell together."""

    edges: Array  # (cells, panels + 1)
    below: Array  # (cells, panels + 1): probability below each edge
    half: Array  # (cells, panels)
    top: Array  # (cells, panels): greatest density over the place, in a panel
    both: Array  # (2 * ORDER + 1, rows): monic coefficients of the density over the place, and of its integral
    logs: Array  # (ORDER, rows): those of the log density
    steps: Array  # (rows, ORDER + 2): probability from the start of a panel to its knots
    slopes: Array  # (rows, ORDER + 2): density over the place at the knots


def _tables(panels: Panels) -> _Tables:
    count, cells = len(panels.edges) - 1, panels.cells
    by_row = panels.log_values.reshape(count, ORDER, cells).transpose(1, 2, 0).reshape(ORDER, -1)
    half = 0.5 * np.diff(panels.edges, axis=0).T
    weighted = np.exp(by_row) * half.ravel()
    mass = (WEIGHTS @ weighted).reshape(cells, count)
    tail = np.exp(panels.tail.log_mass)[:, None]
    total = mass.sum(axis=1, keepdims=True) + tail
    weighted = weighted / np.repeat(total.ravel(), count)
    density = product(TO_LEGENDRE, weighted)
    integral = product(_INTEGRATE, density)
    below = np.concatenate([tail / total, (tail + np.cumsum(mass, axis=1)) / total], axis=1)
    below[:, -1] = 1.0
    steps = np.maximum.accumulate(product(_AT_KNOTS, integral).T, axis=1)
    slopes = np.maximum(product(_AT_KNOTS[:, :ORDER], density).T, 0.0)
    with np.errstate(invalid="ignore"):
        logs = product(TO_LEGENDRE, by_row)
    return _Tables(
        np.ascontiguousarray(panels.edges.T),
        below,
        half,
        weighted.max(axis=0).reshape(cells, count),
        np.concatenate([density * _LEADING[:ORDER], integral * _LEADING]),
        logs * _LEADING[:ORDER],
        np.ascontiguousarray(steps),
        np.ascontiguousarray(slopes),
    )


def place(edges: Array, height: Array, targets: Array) -> Array:
    """Where increasing piecewise linear functions take given values: their own inverse, in every cell.

    Parameters
    ----------
    edges, height : ndarray
        Places and values there, ``(n, cells)``, both increasing along the first axis.
    targets : ndarray
        Values, ``(m, cells)``.
    """
    result, cells = np.empty(targets.shape), np.arange(targets.shape[1])
    for i, target in enumerate(targets):  # over panels, a dozen of them
        index = np.minimum(np.maximum((height <= target).sum(axis=0) - 1, 0), len(height) - 2)
        (low, high), (start, stop) = ((table[index, cells], table[index + 1, cells]) for table in (height, edges))
        with np.errstate(all="ignore"):
            share = np.where(high > low, (target - low) / (high - low), 0.0)
        result[i] = start + np.minimum(np.maximum(share, 0.0), 1.0) * (stop - start)
    return result


def _chunked(kernel: Any, value: Any, cell: Any) -> Array:
    value, cell = np.broadcast_arrays(np.asarray(value, dtype=float), np.asarray(cell, dtype=np.int64))
    shape = value.shape
    result = np.empty(value.size)
    value, cell = value.reshape(-1), cell.reshape(-1)
    for start in range(0, value.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = kernel(value[part], cell[part])
    return result.reshape(shape)


def _search(table: Array, row: Array, value: Array) -> Array:
    """Find the last entry of an increasing row at or below a value, the last of all left out: by bisection."""
    width = table.shape[1]
    if len(table) == 1:
        return np.minimum(np.searchsorted(table[0, 1:-1], value, side="right"), width - 2)
    flat, start = table.ravel(), row * width
    place, last = start, start + width - 2
    for power in reversed(range(int(width - 1).bit_length())):
        ahead = np.minimum(place + 2**power, last)
        place = np.where(flat.take(ahead) <= value, ahead, place)
    return place - start


def _series(coefficients: Array, t: Array) -> Array:
    """Sum series ``(order, n)`` of monic Legendre polynomials at n places, by their recurrence."""
    before, now = np.ones_like(t), t
    total = coefficients[0] + coefficients[1] * t
    for k in range(1, len(coefficients) - 1):
        before, now = now, t * now - _RECURRENCE[k] * before
        total += coefficients[k + 1] * now
    return total


def _values(both: Array, row: Array, t: Array) -> tuple[Array, Array]:
    """Density over the place and its integral from the start of the panel."""
    table = np.take(both, row, axis=1)
    density, integral = table[:ORDER], table[ORDER:]
    before, now = np.ones_like(t), t
    slope, total = density[0] + density[1] * t, integral[0] + integral[1] * t
    for k in range(1, ORDER):
        before, now = now, t * now - _RECURRENCE[k] * before
        total += integral[k + 1] * now
        if k + 1 < ORDER:
            slope += density[k + 1] * now
    return slope, total


def _invert(tables: _Tables, row: Array, rest: Array, settled: float) -> Array:
    """Place in a panel with a probability between it and the panel's start: a Hermite guess, then Newton."""
    knot = _search(tables.steps, row, rest)
    width = ORDER + 2
    (f0, f1), (p0, p1) = (
        (table.ravel()[row * width + knot], table.ravel()[row * width + knot + 1])
        for table in (tables.steps, tables.slopes)
    )
    low, high = _KNOTS[knot], _KNOTS[knot + 1]
    with np.errstate(all="ignore"):
        z = np.clip(np.nan_to_num((rest - f0) / (f1 - f0), nan=0.0), 0.0, 1.0)
        m0, m1 = (np.minimum(np.nan_to_num((f1 - f0) / p, nan=np.inf), 3.0 * (high - low)) for p in (p0, p1))
    t = low + (high - low) * z * z * (3.0 - 2.0 * z) + z * (1.0 - z) * ((1.0 - z) * m0 - z * m1)
    t = np.clip(t, low, high)
    live = np.arange(t.size)
    result = t.copy()
    for count in range(50):
        slope, total = _values(tables.both, row, t)
        excess = total - rest
        low, high = np.where(excess <= 0, t, low), np.where(excess >= 0, t, high)
        with np.errstate(all="ignore"):
            step = t - excess / slope
        trusted = (step >= low) & (step <= high) & (count % 4 != 3)
        step = np.where(trusted, step, 0.5 * (low + high))
        moved = np.abs(step - t)
        result[live] = step
        # Newton squares the error: what is left after a step is about the square of it
        keep = (moved > settled) & (high - low > 1e-15)
        if not keep.any():
            break
        live, row, rest, t, low, high = (v[keep] for v in (live, row, rest, step, low, high))
    return result
