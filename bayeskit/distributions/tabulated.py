"""Marginals of one-number cores: densities on panels of the unconstrained scale, on the scale of the variable."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.bracketing import falls_and_rises, highest
from bayeskit.distributions.domains import Parameter, nonnegative_integer
from bayeskit.distributions.elementwise import Transform, elementwise_transform
from bayeskit.distributions.gammadraws import SMALLEST
from bayeskit.distributions.line_tails import Tail as LineTail
from bayeskit.distributions.moment_orders import Tail
from bayeskit.distributions.panels import Panels
from bayeskit.distributions.parameters import show_value

__all__ = ["Tabulated"]

_SAME = 1e-5  # slopes and log densities that are as close as this are equal


class Tabulated(Distribution):
    """Distribution of ``x = inverse(u)``, where u has densities on panels.

    Parameters
    ----------
    panels : Panels
        Densities of u, one a cell.
    transform : Transform
        An elementwise transform: `Identity`, `Log`, `NegativeLog`, `Logit` or `Mixed`; its bounds are numbers, or
        arrays of as many entries as there are cells.
    cell : number or DataArray
        The number of each entry's cell: it bears the dims and the labels of the variable.

    Examples
    --------
    >>> from bayeskit.distributions.elementwise import Log
    >>> from bayeskit.distributions.panels import gauss_points
    >>> edges = np.linspace(-42.0, 5.0, 24)[:, None]
    >>> u = gauss_points(edges)
    >>> exponential = Tabulated(Panels(edges, u - np.exp(u)), Log(), 0)
    >>> [round(float(v), 6) for v in (exponential.mean(), exponential.sd(), exponential.quantile(0.5))]
    [1.0, 1.0, 0.693147]
    """

    parameters = (Parameter("cell", nonnegative_integer),)
    tabulated = True

    def __init__(self, panels: Panels, transform: Transform, cell: Any = 0) -> None:
        self._keep({"panels": panels, "transform": transform, "cell": cell}, {"cell": cell})

    @property
    def panels(self) -> Panels:
        """Densities on the unconstrained scale."""
        panels: Panels = self.given["panels"]
        return panels

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        """Bounds of the support, one entry, or one a cell."""
        transform = self.given["transform"]
        low, high = (getattr(transform, k, v) for k, v in (("lower", -np.inf), ("upper", np.inf)))
        return np.asarray(low, dtype=float).reshape(-1), np.asarray(high, dtype=float).reshape(-1)

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie."""
        lower, upper = (np.unique(end) for end in self._ends)
        if lower.size > 1 or upper.size > 1:
            return "its bounds"
        return "the real numbers" if np.isinf(lower) and np.isinf(upper) else f"{lower.item():g}..{upper.item():g}"

    def of(self, cells: Array) -> Tabulated:
        """The distributions of some of the cells."""
        ends = (end[cells] if end.size > 1 else end[0] for end in self._ends)
        return Tabulated(self.panels.of(cells), elementwise_transform(*ends), np.arange(len(cells)))

    def __repr__(self) -> str:
        return f"Tabulated({show_value(self.given['cell']) if np.ndim(self.given['cell']) else ''})"

    # --- kernels -----------------------------------------------------------------------------------------------------

    def _read(self, cell: Any) -> tuple[Array, Transform]:
        """Numbers of cells, and their transform."""
        cell = np.asarray(cell).astype(np.int64)
        lower, upper = self._bounds(cell)
        return cell, elementwise_transform(lower, upper)

    def _bounds(self, cell: Any) -> tuple[Array, Array]:
        index = np.asarray(cell).astype(np.int64)
        lower, upper = (end[index] if end.size > 1 else end[0] for end in self._ends)
        return lower, upper

    def _outside(self, x: Array, cell: Array) -> Array:
        lower, upper = self._bounds(cell)
        return ~((x > lower) & (x < upper) & np.isfinite(x))

    def _log_prob(self, x: Array, cell: Array) -> Array:
        index, transform = self._read(cell)
        lower, upper = self._bounds(cell)
        with np.errstate(all="ignore"):
            x, index, lower, upper = np.broadcast_arrays(np.asarray(x, dtype=float), index, lower, upper)
            u = transform.forward(x)
            inside = (x > lower) & (x < upper) & np.isfinite(u)
            u = np.where(inside, u, 0.0)
            value = self.panels.log_density(u, index) - transform.log_jacobian(u)
            at_ends = [np.isfinite(end) & (x == end) for end in (lower, upper)]
            value = np.where(inside, value, -np.inf)
            for side, there in enumerate(at_ends):
                if there.any():
                    value = np.where(there, self._edge_values[side][index], value)
        return value

    @cached_property
    def _edge_values(self) -> tuple[Array, Array]:
        """Log density at finite ends of the support: by whether u falls faster or slower than its Jacobian."""
        cells = np.arange(self.panels.cells)
        transform = self._read(cells)[1]
        result = []
        for panels, edge in ((self.panels, self.panels.edges[0]), (self.panels.mirrored, self.panels.edges[-1])):
            tail = panels.tail
            here = tail.edge - transform.log_jacobian(edge)
            level = tail.is_exponential & (np.abs(tail.slope - 1.0) <= _SAME)
            result.append(np.where(level, here, np.where(tail.is_exponential & (tail.slope < 1.0), np.inf, -np.inf)))
        return result[0], result[1]

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], cell: Array) -> Array:
        lower, upper = self._bounds(cell)
        # Inside the support, where a double has no room between a value and an end of it.
        least = np.where(lower == 0, SMALLEST, np.nextafter(lower, np.inf))
        greatest = np.where(upper == 0, -SMALLEST, np.nextafter(upper, -np.inf))
        return np.clip(self._quantile(rng.uniform(2.0**-54, 1.0, shape), cell), least, greatest)

    def _place(self, x: Any, cell: Any) -> tuple[Array, Array]:
        index, transform = self._read(cell)
        with np.errstate(all="ignore"):
            return transform.forward(np.clip(x, *self._bounds(cell))), index

    def _cdf(self, x: Any, cell: Any) -> Array:
        return self.panels.cdf(*self._place(x, cell))

    def _sf(self, x: Any, cell: Any) -> Array:
        return self.panels.sf(*self._place(x, cell))

    def _quantile(self, q: Any, cell: Any) -> Array:
        index, transform = self._read(cell)
        with np.errstate(all="ignore"):
            return transform.inverse(self.panels.quantile(q, index))

    def _log_quantile(self, log_q: Any, cell: Any) -> Array:
        index, transform = self._read(cell)
        with np.errstate(all="ignore"):
            return transform.inverse(self.panels.log_quantile(log_q, index))

    def _log_isf(self, log_tail: Any, cell: Any) -> Array:
        index, transform = self._read(cell)
        with np.errstate(all="ignore"):
            return transform.inverse(self.panels.log_isf(log_tail, index))

    # --- moments -----------------------------------------------------------------------------------------------------

    @cached_property
    def _nodes(self) -> Array:
        """Values of the variable at the nodes."""
        with np.errstate(all="ignore"):
            return self._read(np.arange(self.panels.cells))[1].inverse(self.panels.nodes)

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            mean = self.panels.expect(self._nodes)
            variance = self.panels.expect((self._nodes - np.where(np.isfinite(mean), mean, 0.0)) ** 2)
        return mean, np.where(np.isnan(mean), np.nan, np.where(np.isinf(mean), np.inf, variance))

    def _mean(self, cell: Any) -> Array:
        return self._moments[0][np.asarray(cell).astype(np.int64)]

    def _var(self, cell: Any) -> Array:
        return self._moments[1][np.asarray(cell).astype(np.int64)]

    def _expect(self, function: Callable[..., Array], cell: Any, *arrays: Any) -> Array:
        """Expectation of a function of values ``(nodes, *cells)`` and of arrays; infinite where the tails say so."""
        index = np.asarray(cell).astype(np.int64)
        flat = index.reshape(-1)
        with np.errstate(all="ignore"):
            values = np.asarray(function(self._nodes[:, index], *arrays))
            return self.panels.of(flat).expect(values.reshape(len(values), -1)).reshape(index.shape)

    def _raw_moment(self, k: float, cell: Any) -> Array:
        """Expected ``x**k``, for positive x."""
        with np.errstate(all="ignore"):
            return self.panels.expect(self._nodes**k)[np.asarray(cell).astype(np.int64)]

    def _moment_order(self, cell: Any) -> Any:
        lower, upper = self._tails
        orders = [np.where(t.k > 0, t.k, np.inf) for t in (lower, upper) if t.kind == "power"]
        cells = np.asarray(cell).astype(np.int64)
        return np.minimum.reduce(
            [np.full(cells.shape, np.inf), *(np.broadcast_to(k, self.panels.cells)[cells] for k in orders)]
        )

    def _line_tails(self, cell: Any) -> tuple[Tail, Tail]:
        """Lower and upper tail, for `bayeskit.distributions.moment_orders`."""
        index = np.asarray(cell).astype(np.int64)
        lower, upper = (Tail(t.kind, np.broadcast_to(t.k, self.panels.cells)[index], t.r, t.sharp) for t in self._tails)
        return lower, upper

    @cached_property
    def _tails(self) -> tuple[Tail, Tail]:
        low, high = self._ends
        tails = []
        for panels, end, other in ((self.panels, low, high), (self.panels.mirrored, high, low)):
            tail = panels.tail
            rate = np.where(tail.is_exponential, tail.slope, np.inf)
            if np.isfinite(end).all():
                tails.append(Tail("end", rate))
            elif np.isinf(end).all() and np.isfinite(other).all():
                tails.append(Tail("power", rate))
            elif np.isinf(end).all() and np.isinf(other).all():
                tails.append(_on_the_line(tail))
            else:
                tails.append(Tail("unknown"))
        return tails[0], tails[1]

    # --- the peak ----------------------------------------------------------------------------------------------------

    def _mode(self, cell: Any) -> Array:
        return self._tilted_mode(0.0, cell)

    def _tilted_mode(self, k: float, cell: Any) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return self._peak(k)[np.asarray(cell).astype(np.int64)]

    def _peak(self, k: float) -> Array:
        panels, cells = self.panels, np.arange(self.panels.cells)
        transform = self._read(cells)[1]

        def height(u: Array) -> Array:
            with np.errstate(all="ignore"):
                weight = k * np.log(transform.inverse(u)) if k else 0.0
                return panels.log_density(u, cells) - transform.log_jacobian(u) + weight

        at_nodes = np.nan_to_num(height(panels.nodes), nan=-np.inf)
        top = at_nodes.argmax(axis=0)[None]
        ends = [np.clip(top + shift, 0, len(at_nodes) - 1) for shift in (-1, 1)]
        low, high = (np.take_along_axis(panels.nodes, end, 0)[0] for end in ends)
        u = highest(height, low, high, points=9)
        best, x = height(u[None])[0], transform.inverse(u)
        lower, upper = self._bounds(cells)
        for side, (end, edge) in enumerate(((lower, panels.edges[0]), (upper, panels.edges[-1]))):
            # on the way to a bound the density of x levels off, or goes on rising: its peak is the bound
            at_end = np.isfinite(end) & (height(edge[None])[0] >= best - 1e-9)
            if not k:
                at_end = at_end | (np.isfinite(end) & (self._edge_values[side] >= best - 1e-9))
            x = np.where(at_end, end, x)
        return x

    def _several_peaks(self, cell: Any) -> Array:
        """Where the density of x has more than one peak that counts."""
        return self._peaked_twice[np.asarray(cell).astype(np.int64)]

    @cached_property
    def _peaked_twice(self) -> Array:
        transform = self._read(np.arange(self.panels.cells))[1]
        with np.errstate(all="ignore"):
            return falls_and_rises(self.panels.log_values - transform.log_jacobian(self.panels.nodes))


def _on_the_line(tail: LineTail) -> Tail:
    """Tail of a variable without bounds."""
    if tail.is_exponential.all():
        return Tail("exponential", tail.slope)
    if (tail.bend * tail.reach > 0.5 * tail.slope).all():
        return Tail("exponential", 0.5 * tail.bend, 2.0, sharp=False)
    return Tail("power", tail.order)
