r"""The rows of every cell as one polynomial: what a plate of many rows costs then does not depend on their number.

Rows of a cell enter through the sum of their cumulants, :math:`C(x, \beta) = \sum_i w_i K(o_i + c_i x + d_i \beta)`: x
is the cell's own number, and beta are the core's coefficients, which the posterior of many rows leaves little room.
About a reference r, with :math:`\delta = \beta - r` and x moved along, :math:`t = x + \bar d \delta`, it is

.. math:: C = \sum_m \frac{\delta^m}{m!} \sum_i w_i (d_i - c_i \bar d)^m K^{(|m|)}(o_i + d_i r + c_i t) + R_n,
   \quad |R_n| \le \sum_i w_i \frac{\sup |K^{(n+1)}|}{(n+1)!} |(d_i - c_i \bar d) \delta|^{n+1},

by Taylor's theorem, and the inner sums are functions of one number, which Chebyshev interpolation turns into powers of
it (L. N. Trefethen, Approximation Theory and Approximation Practice, 2013, ch. 8). So the coefficients of the cells at
all points of the core are one matrix product. The bound on R says for which points that is good enough: derivatives of
log odds are bounded everywhere, those of rates by their largest value where x may be, times what the step adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import comb, factorial

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.chebyshev import cheb2poly, chebvander

from bayeskit.inference.core.monomials import exponents, made_of, monomials
from bayeskit.inference.elimination.linear_cells import Layout, LogitRows, Rows

Array = np.ndarray
Environment = Mapping[str, Array]

LOWEST, HIGHEST = 4, 20  # powers of a cell's number: four are differentiated
DEGREES = (3, 5, 7)  # of the polynomial in the core's coefficients: odd, so that the bound is a sum of even powers
TERMS = 500  # of it, at most
NUMBERS = 20_000_000  # of all coefficients: 160 MB
AT_ONCE = 4_000_000  # numbers of rows held at a time
NODES = 33  # at which the convergence of the powers is read
FEWEST = 8  # rows of a cell: fewer are as fast themselves
EDGE = 4.3  # widths about a mode within which the nodes of a smooth cell lie
ROUNDING = 1e-13  # of the largest sums, in sums of powers


@dataclass(frozen=True, eq=False)
class PolynomialRows:
    """Rows of a batch of cells as polynomials; they answer as `linear_cells.Rows` do.

    Attributes
    ----------
    powers : array (powers, cells)
        Coefficients of the cumulant.
    middle, radius : array (cells,)
        It is in powers of ``(x - middle) / radius``; beyond 1 it goes on along its tangents.
    y : array (cells,)
        Sum over the rows of ``y c``.
    largest : float
        The largest c of a row, in size.
    """

    powers: Array
    middle: Array
    radius: Array
    y: Array
    largest: float

    def take(self, index: Array) -> PolynomialRows:
        """Return some of the cells."""
        parts = self.powers[:, index], self.middle[index], self.radius[index], self.y[index]
        return PolynomialRows(*parts, self.largest)

    def add(self, x: Array, total: Array) -> None:
        """Add the log density of every cell at points x to a total: both ``(n, cells)``."""
        t = x - self.middle
        t /= self.radius
        inside = np.clip(t, -1.0, 1.0)
        total -= _horner(self.powers, inside)
        t -= inside
        if t.any():
            total -= t * _horner(_derivative(self.powers), inside)
        total += self.y * x

    def derivatives(self, x: Array) -> Array:
        """Return the log density of every cell and its derivatives by x: ``(5, cells)``."""
        t = (x - self.middle) / self.radius
        inside = np.clip(t, -1.0, 1.0)
        out = np.empty((5, t.size))
        powers, scale = self.powers, np.full(t.size, -1.0)
        for k in range(5):
            out[k] = _horner(powers, inside) * scale
            powers, scale = _derivative(powers), scale / self.radius
        out[0] += out[1] * (t - inside) * self.radius + self.y * x
        out[1] += self.y
        return out

    @property
    def amid(self) -> tuple[Array, Array]:
        """The slope and the curvature of the log density in the middle, which are two of the powers."""
        return self.y - self.powers[1] / self.radius, -2.0 * self.powers[2] / (self.radius * self.radius)

    def strays(self, x: Array, width: Array) -> Array:
        """Whether cells of some modes and widths reach beyond where they are polynomials: ``(cells,)``."""
        return np.abs(x - self.middle) + EDGE * width > self.radius


def _horner(powers: Array, t: Array) -> Array:
    out = powers[-1] * t
    for power in powers[-2:0:-1]:
        out += power
        out *= t
    out += powers[0]
    return out


def _derivative(powers: Array) -> Array:
    return powers[1:] * np.arange(1.0, len(powers))[:, None]


@dataclass(frozen=True, eq=False)
class Design:
    """The rows of a child, sorted by cell, as the core's coefficients move them.

    Attributes
    ----------
    kind : type
        The cumulant.
    layout : Layout
        Which rows belong to which cell.
    offset : array (rows,)
        Predictors at the reference, without the cell's part.
    columns : array (coefficients, rows)
        What they change by.
    c, y, weight : array (rows,)
        Coefficients of the cell's number, successes or counts, and trials or occurrences.
    """

    kind: type[Rows]
    layout: Layout
    offset: Array
    columns: Array
    c: Array
    y: Array
    weight: Array

    def take(self, cells: Array) -> Design:
        """Return the rows of some cells."""
        layout, rows = self.layout.rows_of(cells)
        some = (a[..., rows] for a in (self.offset, self.columns, self.c, self.y, self.weight))
        return Design(self.kind, layout, *some)

    def centred(self, x: Array) -> tuple[Array, Design]:
        """Return what coefficients move whole cells by, ``(coefficients, cells)``, and the rows with the rest.

        Parameters
        ----------
        x : array (cells,)
            Where the rows are weighted by their curvatures.
        """
        eta = self.offset + self.c * self.layout.spread(x)
        v = self.weight * derivative(self.kind, 2)(eta)
        square = self.layout.sum(v * self.c * self.c)
        square = np.where(square > 0, square, 1.0)
        moved = np.empty((len(self.columns), square.size))
        rest = np.empty(self.columns.shape)
        for k, column in enumerate(self.columns):
            moved[k] = self.layout.sum(v * self.c * column) / square
            rest[k] = column - self.c * self.layout.spread(moved[k])
        size = np.abs(self.columns).max(axis=1, initial=0.0)
        rest[np.abs(rest) <= 1e-14 * size[:, None]] = 0.0
        return moved, replace(self, columns=rest)


def derivative(kind: type[Rows], order: int) -> Callable[[Array], Array]:
    """Return a derivative of the cumulant of a kind of rows, as a function of predictors."""
    if not issubclass(kind, LogitRows):
        return np.exp  # of every order
    if order == 0:
        return lambda eta: np.maximum(eta, 0.0) + np.log1p(np.exp(-np.abs(eta)))
    shares = _share_polynomial(order)
    return lambda eta: shares(1.0 / (1.0 + np.exp(-eta)))


def _share_polynomial(order: int) -> Polynomial:
    """Return a derivative of log(1 + exp eta) as a polynomial in p, of which dp = p (1 - p)."""
    found, step = Polynomial([0.0, 1.0]), Polynomial([0.0, 1.0, -1.0])
    for _ in range(order - 1):
        found = found.deriv() * step
    return found


@dataclass(frozen=True, eq=False)
class Expansion:
    """One child's rows, of cells that have many, about the points of a core that matter.

    Attributes
    ----------
    names : tuple of str
        The core's latents whose elements are the coefficients, one after another.
    reference, unit : array (coefficients,)
        The point expanded about, and what coefficients are measured in.
    made : array
        How monomials are made, those of the bound included.
    table : array (powers, terms, cells)
        Powers of the cell's number in every term.
    bounds, reach : array
        Factors of the monomials of one more degree, in the bound; and by how much its log grows with steps of the
        coefficients.
    moved : array (coefficients, cells)
        What coefficients move whole cells by.
    middle, radius : array (cells,)
        Where, and how far about, cells are expanded in their own numbers.
    y : array (cells,)
        Sums of ``y c``.
    largest : float
        The largest c, in size.
    linear, constant : array (coefficients,), float
        The part of the log density that depends on no cell's number: ``linear @ delta + constant``.
    """

    names: tuple[str, ...]
    reference: Array
    unit: Array
    made: Array
    table: Array
    bounds: Array
    reach: Array
    moved: Array
    middle: Array
    radius: Array
    y: Array
    largest: float
    linear: Array
    constant: float

    def _steps(self, env: Environment) -> tuple[Array, Array]:
        """Return the coefficients less the reference, ``(batch, coefficients)``, and all monomials of them."""
        delta = stacked(env, self.names) - self.reference
        return delta, monomials(self.made, (delta / self.unit).T)

    def bound(self, env: Environment) -> Array:
        """Return the bound on the remainder, summed over the cells: ``(batch,)``."""
        delta, terms = self._steps(env)
        return np.asarray(self.bounds @ terms[self.table.shape[1] :] * np.exp(np.abs(delta) @ self.reach))

    def at(self, env: Environment, batch: int, width: int) -> tuple[PolynomialRows, Array]:
        """Return the rows of all entries of a batch, and what does not depend on the elements ``(batch,)``."""
        delta, terms = self._steps(env)
        used = terms[: self.table.shape[1]].T
        powers = np.matmul(used, self.table)
        if len(used) != batch:
            powers = np.broadcast_to(powers, (len(powers), batch, width))
        middle = self.middle - delta @ self.moved
        middle = np.broadcast_to(middle, (batch, width)).ravel()
        radius, y = np.tile(self.radius, batch), np.tile(self.y, batch)
        rest = np.broadcast_to(delta @ self.linear + self.constant, (batch,))
        return PolynomialRows(powers.reshape(len(powers), -1), middle, radius, y, self.largest), rest


def stacked(env: Environment, names: tuple[str, ...]) -> Array:
    """Return the elements of some latents side by side: ``(batch, elements)``."""
    parts = [np.reshape(env[n], (len(env[n]), -1)) for n in names]
    batch = max((len(p) for p in parts), default=1)
    return np.concatenate([np.empty((batch, 0)), *(np.broadcast_to(p, (batch, p.shape[1])) for p in parts)], axis=1)


@dataclass(frozen=True, eq=False)
class Region:
    """The points of a core that matter, and where a plate's cells peak there.

    Attributes
    ----------
    names : tuple of str
        As in `Expansion`.
    points : array (points, coefficients)
        Coefficients.
    at, width : array (points, cells)
        Modes of the cells and their widths.
    """

    names: tuple[str, ...]
    points: Array
    at: Array
    width: Array


def expand(design: Design, region: Region, constant: float, tolerance: float) -> tuple[Expansion, Array] | None:
    """Return the expansion of a child's rows and the cells that it holds; None where it is of no use.

    Parameters
    ----------
    design : Design
        Its rows, with predictors at the mean of the region's points.
    region : Region
        Where it is to hold.
    constant : float
        What the log densities have beside ``y eta - w K``.
    tolerance : float
        Error of the log density of a whole plate to stay below, at most points.
    """
    reference = region.points.mean(axis=0)
    delta = region.points - reference
    unit = np.maximum(delta.std(axis=0), 1e-300)
    moved, centred = design.centred(region.at.mean(axis=0))
    at = region.at + delta @ moved
    low, high = at.min(axis=0), at.max(axis=0)
    middle, radius = 0.5 * (low + high), (high - low) + (EDGE + 0.5) * region.width.max(axis=0)
    many = np.flatnonzero(design.layout.counts >= FEWEST)
    if not many.size:
        return None
    needed = _powers_needed(centred.take(many), middle[many], radius[many], tolerance / (10.0 * middle.size))
    cells = many[needed <= HIGHEST]
    held = centred.take(cells)
    if 2 * held.offset.size < design.offset.size:
        return None
    degree = _degree(held, delta, unit, middle[cells], radius[cells], tolerance)
    if degree is None:
        return None
    count, bounds = degree
    powers = max(LOWEST, int(needed[needed <= HIGHEST].max()))
    made = made_of(len(unit), count + 1)
    size = comb(len(unit) + count, count)
    if (powers + 1) * size * middle.size > NUMBERS or (powers + 1) * size > 200 * held.offset.size // cells.size:
        return None
    table = np.zeros((powers + 1, size, middle.size))
    table[:, :, cells] = _table(held, middle[cells], radius[cells], powers, made[: size - 1], unit)
    inside = np.full(middle.size, np.inf)
    inside[cells] = radius[cells]
    y = np.zeros(middle.size)
    y[cells] = held.layout.sum(held.c * held.y)
    raw, largest = design.take(cells), float(np.abs(held.c).max())
    linear, constant = raw.columns @ raw.y, constant + float(raw.offset @ raw.y)
    bound = bounds, _reach(held)
    parts = reference, unit, made, table, *bound, moved, middle, inside, y, largest, linear, constant
    return Expansion(region.names, *parts), cells


def _nodes(count: int) -> tuple[Array, Array]:
    """Return Chebyshev points, and what takes values at them to the coefficients of Chebyshev polynomials."""
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    basis = chebvander(nodes, count - 1).T * (2.0 / count)
    basis[0] *= 0.5
    return nodes, basis


def _powers_needed(design: Design, middle: Array, radius: Array, tolerance: float) -> Array:
    """Return the power at which the cells' polynomials may end: ``(cells,)``; HIGHEST + 1 where they may not."""
    nodes, basis = _nodes(NODES)
    found = np.empty(middle.size, dtype=np.int64)
    for some in _blocks(design.layout, NODES):
        part = design.take(some)
        values = _sums(part, part.weight * _at_nodes(part, middle[some], radius[some], nodes, 0))
        sizes = np.abs(basis @ values)
        tails = np.cumsum(sizes[::-1], axis=0)[::-1]  # of this power and all beyond it
        enough = tails[1:] <= np.maximum(tolerance, ROUNDING * tails[0])
        found[some] = np.where(enough.any(axis=0), enough.argmax(axis=0), HIGHEST + 1)
    return found


def _blocks(layout: Layout, times: int) -> list[Array]:
    """Return the cells, so many at a time that their rows, each so many times, can be held."""
    block = layout.stops // max(1, AT_ONCE // times)
    return np.split(np.arange(layout.counts.size), np.flatnonzero(np.diff(block)) + 1)


def _at_nodes(design: Design, middle: Array, radius: Array, nodes: Array, order: int) -> Array:
    """Return a derivative of the cumulant at nodes of the rows' cells: ``(nodes, rows)``."""
    spread = design.layout.spread
    eta = design.offset + design.c * (spread(middle) + nodes[:, None] * spread(radius))
    return np.asarray(derivative(design.kind, order)(eta))


def _sums(design: Design, rows: Array) -> Array:
    """Return sums by cell of ``(nodes, rows)``; every cell has rows."""
    return np.asarray(np.add.reduceat(rows, design.layout.starts, axis=1))


def _degree(
    design: Design, delta: Array, unit: Array, middle: Array, radius: Array, tolerance: float
) -> tuple[int, Array] | None:
    """Return the least degree that is good enough at all points, and the factors of its bound."""
    for degree in DEGREES:
        below = comb(len(unit) + degree, degree)
        if below > TERMS:
            return None
        made = made_of(len(unit), degree + 1)
        sums = np.zeros(len(made) + 1 - below)
        for some in _blocks(design.layout, len(made) + 1):
            part = design.take(some)
            rows = monomials(made, part.columns * unit[:, None])[below:]
            sums += rows @ (part.weight * _highest(part, degree + 1, middle[some], radius[some]))
        bounds = sums / _factorials(made, len(unit))[below:]
        found = bounds @ monomials(made, (delta / unit).T)[below:] * np.exp(np.abs(delta) @ _reach(design))
        if found.max() <= tolerance:
            return degree, bounds
    return None


def _highest(design: Design, order: int, middle: Array, radius: Array) -> Array | float:
    """Return bounds on a derivative of the cumulant of every row, with the coefficients at the reference."""
    if not issubclass(design.kind, LogitRows):
        spread = design.layout.spread
        return np.exp(design.offset + design.c * spread(middle) + np.abs(design.c) * spread(radius))
    return float(np.abs(_share_polynomial(order)(np.linspace(0.0, 1.0, 2001))).max())


def _reach(design: Design) -> Array:
    """Return by how much logs of such bounds grow, at most, with steps of the coefficients: ``(coefficients,)``."""
    if issubclass(design.kind, LogitRows):  # bounded everywhere
        return np.zeros(len(design.columns))
    return np.asarray(np.abs(design.columns).max(axis=1, initial=0.0))


def _factorials(made: Array, variables: int) -> Array:
    """Return the products of the factorials of the exponents of all monomials."""
    powers = exponents(made, variables)
    table = np.array([float(factorial(k)) for k in range(int(powers.max(initial=0)) + 1)])
    return np.asarray(table[powers].prod(axis=1))


def _table(design: Design, middle: Array, radius: Array, powers: int, made: Array, unit: Array) -> Array:
    """Return the powers of all cells' numbers in all terms: ``(powers + 1, terms, cells)``."""
    nodes, basis = _nodes(powers + 1)
    to_powers = np.zeros((powers + 1, powers + 1))
    for k in range(powers + 1):
        to_powers[: k + 1, k] = cheb2poly(np.eye(powers + 1)[k])[: k + 1]
    to_powers = to_powers @ basis
    degrees = exponents(made, len(unit)).sum(axis=1)
    factors = 1.0 / _factorials(made, len(unit))
    out = np.empty((powers + 1, len(made) + 1, middle.size))
    for some in _blocks(design.layout, powers + 1):
        part = design.take(some)
        terms = monomials(made, part.columns * unit[:, None])
        known = {d: part.weight * _at_nodes(part, middle[some], radius[some], nodes, d) for d in set(degrees.tolist())}
        for i, (degree, factor) in enumerate(zip(degrees.tolist(), factors.tolist(), strict=True)):
            out[:, i, some] = to_powers @ (_sums(part, known[degree] * terms[i]) * factor)
    return out
