"""Finite mixtures of one family: marginals of what was integrated given a core, over the nodes of the core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.bracketing import falls_and_rises, highest
from bayeskit.distributions.by_parts import cells_at_once, columns_of
from bayeskit.distributions.domains import Parameter, nonnegative_integer, real
from bayeskit.distributions.labelled import aligned
from bayeskit.distributions.mixture_nodes import NODE, by_cells, columns, labelled_cells, over_nodes, read_weights
from bayeskit.distributions.mixture_quantiles import NEGLIGIBLE, invert
from bayeskit.distributions.moment_orders import Tail, tails_of
from bayeskit.distributions.panels import Panels
from bayeskit.distributions.parameters import is_dataarray
from bayeskit.distributions.von_mises import VonMises
from bayeskit.errors import ParameterError

__all__ = ["NODE", "Mixture", "over_nodes"]

_SCAN = 65


class Mixture(Distribution):
    r"""Mixture of distributions of one family, whose parameters bear a dim of nodes.

    .. math:: p(x) = \sum_i w_i \, p(x \mid \theta_i)

    Mean and variance are those of the law of total variance; the distribution function is the sum of the nodes', and
    quantiles are its roots, between the least and the greatest quantile of the nodes.

    Parameters
    ----------
    base : Distribution
        A family with known parameters; at least one of them bears the dim `dim`.
    weights : DataArray, row of numbers, or Panels
        Weights along `dim`, and perhaps other dims of the base; they need not sum to one. Panels are what was
        integrated over, of one cell or of as many as there are entries: from their tails it is known which moments are
        infinite.
    dim : str
        Name of the dim of the nodes.

    Raises
    ------
    ParameterError
        Where the base has unknown parameters, none along `dim`, or weights do not fit or are negative.

    Examples
    --------
    >>> import xarray as xr
    >>> from bayeskit.distributions import Normal
    >>> mixture = Mixture(Normal(xr.DataArray([0.0, 4.0], dims=NODE), 1), [3, 1])
    >>> mixture
    Mixture(of 2 Normal)
    >>> [round(float(v), 4) for v in (mixture.mean(), mixture.var(), mixture.quantile(0.5), mixture.cdf(2))]
    [1.0, 4.0, 0.4306, 0.7386]
    """

    def __init__(self, base: Distribution, weights: Any, dim: str = NODE) -> None:
        if not isinstance(base, Distribution) or not base.is_known:
            raise ParameterError(f"Mixture must be given a distribution whose parameters are numbers. Got {base!r}.")
        panels = weights if isinstance(weights, Panels) else None
        frame = aligned(base)
        if dim not in frame.plates:
            raise ParameterError(
                f"A parameter of the base of a Mixture must have the dim '{dim}'. Got dims {base.dims}."
            )
        axis = frame.plates.index(dim)
        plates = tuple(d for d in frame.plates if d != dim)
        count, shape = frame.shape[axis], tuple(n for d, n in zip(frame.plates, frame.shape, strict=True) if d != dim)
        cells = int(np.prod(shape, dtype=int))
        matrix = read_weights(weights, dim, count, plates, shape)
        arrays = [by_cells(array, axis, len(frame.plates), shape) for array in frame.arrays]
        coords = {n: c for n, c in frame.coords.items() if dim not in c.dims}
        canonical: dict[str, Any] = {"cell": labelled_cells(np.arange(cells).reshape(shape), plates, coords)}
        if base.event_ndim:
            size = np.shape(base._mean(*frame.arrays))[-base.event_ndim :]
            entries = np.zeros(size)
            named = any(is_dataarray(value) for value in base.canonical.values())
            canonical["entry"] = labelled_cells(entries, frame.event, coords) if named else entries
        for name, value in (("_arrays", arrays), ("_matrix", matrix), ("_panels", panels)):
            object.__setattr__(self, name, value)
        self._keep({"base": base, "weights": weights}, canonical)

    def over(self, cell: Any) -> Mixture:
        """Return these mixtures laid along other dims: entries that are alike share one.

        Parameters
        ----------
        cell : number or DataArray
            For every entry the number of its mixture among those of the base, last dim fastest; it bears the dims and
            the labels of the answers.

        Examples
        --------
        >>> import xarray as xr
        >>> from bayeskit.distributions import Normal
        >>> two = Mixture(Normal(xr.DataArray([[0.0, 5.0], [2.0, 9.0]], dims=[NODE, "class"]), 1), [1, 1])
        >>> two.over(xr.DataArray([1, 0, 1], dims="cell")).mean().values
        array([7., 1., 7.])
        """
        if self.event_ndim:
            raise ParameterError("Only mixtures of numbers are laid along other dims. Got one of vectors.")
        laid = object.__new__(type(self))
        for name in ("_arrays", "_matrix", "_panels"):
            object.__setattr__(laid, name, getattr(self, name))
        laid._keep({**self.given, "cell": cell}, {**self.canonical, "cell": cell})
        return laid

    _arrays: list[Array]
    _matrix: Array
    _panels: Panels | None

    @property
    def base(self) -> Distribution:
        """Distribution of every node."""
        base: Distribution = self.given["base"]
        return base

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        """The number of an entry's cell, and for vectors a parameter that bears the dims of one event."""
        cell = Parameter("cell", nonnegative_integer)
        return (cell, Parameter("entry", real, event_ndim=self.event_ndim)) if self.event_ndim else (cell,)

    @property
    def event_ndim(self) -> int:  # type: ignore[override]
        """Axes of one value."""
        return self.base.event_ndim

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        """Whether values are whole numbers."""
        return self.base.discrete

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie."""
        return self.base.support

    @property
    def is_proper(self) -> bool:
        """Whether every node's density integrates to one."""
        return self.base.is_proper

    def __repr__(self) -> str:
        return f"Mixture(of {len(self._matrix)} {self.base.family})"

    # --- pieces of cells: nodes lead -------------------------------------------------------------------------------

    def _take(self, cell: Array, kept: Array | None = None) -> tuple[Array, list[Array]]:
        """Weights ``(nodes, n)`` and parameters ``(nodes, n, *event)`` of cells ``(n,)``."""
        part = columns_of(cell)

        def of(array: Array) -> Array:
            chosen = array if array.shape[1] == 1 else array[:, part]  # of few cells, before nodes are left out
            return chosen if kept is None or len(array) == 1 else chosen[kept]

        return of(self._matrix), [of(array) for array in self._arrays]

    def _heaviest(self, cell: Array, count: int) -> tuple[Array, list[Array]]:
        """Weights and parameters of the heaviest nodes of every cell."""
        order = np.argsort(-self._matrix, axis=0)[:count]
        weights = np.take_along_axis(self._matrix, order, axis=0)
        if order.shape[1] > 1:
            order, weights = order[:, cell], weights[:, cell]
        return weights, self._at(np.broadcast_to(order, (len(order), len(cell))), cell)

    def _at(self, node: Array, cell: Array) -> list[Array]:
        """Parameters of nodes in cells."""
        return [
            a[node if len(a) > 1 else np.zeros_like(node), cell if a.shape[1] > 1 else np.zeros_like(cell)]
            for a in self._arrays
        ]

    @cached_property
    def _kept(self) -> Array | None:
        """Nodes that weigh anything in any cell; None where all do."""
        kept = np.flatnonzero((self._matrix > NEGLIGIBLE * self._matrix.max(axis=0)).any(axis=1))
        return None if len(kept) == len(self._matrix) else kept

    @property
    def _width(self) -> int:
        """Numbers that one cell of a parameter has."""
        return max(int(np.prod(array.shape[2:], dtype=int)) for array in self._arrays)

    def _chunks(self, count: int) -> Iterator[slice]:
        step = cells_at_once(len(self._matrix) * self._width)
        return (slice(start, start + step) for start in range(0, count, step))

    def _summed(self, kernel: str, x: Any, cell: Any, *, elementwise: bool = True) -> Array:
        """Sum a kernel of the nodes by their weights, at values that broadcast to cells."""
        x, index, shape = self._spread(x, cell)
        tail = x.shape[1:] if elementwise else ()
        result = np.empty((len(index), *tail))
        for part in self._chunks(len(index)):
            weights, params = self._take(index[part], self._kept)
            values = getattr(self.base, kernel)(x[part][None], *params)
            result[part] = (columns(weights, len(tail)) * values).sum(axis=0)
        return result.reshape((*shape, *tail))

    def _spread(self, x: Any, cell: Any) -> tuple[Array, Array, tuple[int, ...]]:
        """Values ``(n, *event)`` and numbers of their cells ``(n,)``, and the shape of the plates."""
        x, cell = np.asarray(x, dtype=float), np.asarray(cell).astype(np.int64)
        split = x.ndim - self.event_ndim
        event = np.shape(self.canonical["entry"]) if self.event_ndim else ()
        shape = np.broadcast_shapes(x.shape[: max(split, 0)], cell.shape)
        spread = np.broadcast_to(x, (*shape, *event)).reshape((-1, *event))
        return spread, np.broadcast_to(cell, shape).reshape(-1), shape

    # --- kernels -----------------------------------------------------------------------------------------------------

    def _log_prob(self, x: Array, cell: Array, entry: Any = None) -> Array:
        x, index, shape = self._spread(x, cell)
        result = np.empty(len(index))
        for part in self._chunks(len(index)):
            weights, params = self._take(index[part])
            values = self.base._log_prob(x[part][None], *params)
            with np.errstate(all="ignore"):
                result[part] = logsumexp(np.where(weights > 0, values + np.log(weights), -np.inf), axis=0)
        return result.reshape(shape)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], cell: Array, entry: Any = None) -> Array:
        index = np.broadcast_to(np.asarray(cell).astype(np.int64), shape).reshape(-1)
        event = np.shape(self.canonical["entry"]) if self.event_ndim else ()
        result = np.empty((len(index), *event))
        below = np.cumsum(self._matrix, axis=0)
        below /= below[-1]
        for part in self._chunks(len(index)):
            cells = index[part]
            column = cells if below.shape[1] > 1 else np.zeros_like(cells)
            u = rng.random(len(cells))
            node = (
                np.searchsorted(below[:, 0], u, side="right") if below.shape[1] == 1 else (below[:, column] <= u).sum(0)
            )
            result[part] = self.base._sample(rng, (len(cells),), *self._at(node, cells))
        return result.reshape((*shape, *event))

    def _cdf(self, x: Any, cell: Any, entry: Any = None) -> Array:
        return np.clip(self._summed("_cdf", x, cell), 0.0, 1.0)

    def _sf(self, x: Any, cell: Any, entry: Any = None) -> Array:
        return np.clip(self._summed("_sf", x, cell), 0.0, 1.0)

    def _quantile(self, q: Any, cell: Any, entry: Any = None) -> Array:
        q, index, shape = self._spread(q, cell)
        return invert(self, q, 1.0 - q, index).reshape((*shape, *q.shape[1:]))

    def _log_isf(self, log_tail: Any, cell: Any, entry: Any = None) -> Array:
        log_tail, index, shape = self._spread(log_tail, cell)
        with np.errstate(all="ignore"):
            return invert(self, -np.expm1(log_tail), np.exp(log_tail), index).reshape((*shape, *log_tail.shape[1:]))

    # --- moments -----------------------------------------------------------------------------------------------------

    def _mean(self, cell: Any, entry: Any = None) -> Array:
        return self._moments[0][np.asarray(cell).astype(np.int64)]

    def _var(self, cell: Any, entry: Any = None) -> Array:
        return self._moments[1][np.asarray(cell).astype(np.int64)]

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """Means and variances of all cells, ``(cells, *event)``."""
        cells = np.arange(max(array.shape[1] for array in (self._matrix, *self._arrays)))
        event = np.shape(self.canonical["entry"]) if self.event_ndim else ()
        means, variances = np.empty((len(cells), *event)), np.empty((len(cells), *event))
        with np.errstate(all="ignore"):
            for part in self._chunks(len(cells)):
                weights, params = self._take(cells[part])
                shape = (len(weights), len(cells[part]), *event)
                if isinstance(self.base, VonMises):
                    means[part], variances[part] = self._circular_moments(weights, params, cells[part], shape)
                    continue
                each = np.broadcast_to(self.base._mean(*params), shape)
                spread = np.broadcast_to(self.base._var(*params), shape)
                mean = self._average(weights, each, cells[part])
                centre = np.where(np.isfinite(mean), mean, 0.0)
                means[part] = mean
                found = self._average(weights, spread + (each - centre) ** 2, cells[part])
                variances[part] = np.where(np.isnan(mean), np.nan, np.where(np.isinf(mean), np.inf, found))
        return means, variances

    def _circular_moments(
        self, weights: Array, params: list[Array], cells: Array, shape: tuple[int, ...]
    ) -> tuple[Array, Array]:
        """Mean direction, and mean squared angle to it: on a circle the directions of nodes do not average."""
        assert isinstance(self.base, VonMises)
        parts = (np.broadcast_to(part, shape) for part in self.base._resultant(*params))
        cosine, sine = (self._average(weights, part, cells) for part in parts)
        mean = np.arctan2(sine, cosine)
        squares = np.broadcast_to(self.base._squares_about(mean, *params), shape)
        return mean, self._average(weights, squares, cells)

    def _average(self, weights: Array, values: Array, cells: Array) -> Array:
        """Average over nodes, ``(nodes, n, *event)``; what was integrated over knows where it has no end."""
        weights = columns(weights, self.event_ndim)
        if self._panels is None:
            return np.where(weights > 0, weights * values, 0.0).sum(axis=0)
        panels = self._panels if self._panels.cells == 1 else self._panels.of(cells)
        flat = values if values.ndim == 2 else np.moveaxis(values, 1, -1).reshape(len(values), -1, values.shape[1])
        if values.ndim == 2:
            return panels.expect(flat)
        found = np.stack([panels.expect(flat[:, k]) for k in range(flat.shape[1])], axis=-1)
        return found.reshape(values.shape[1:])

    def _moment_order(self, cell: Any, entry: Any = None) -> Any:
        index = np.asarray(cell).astype(np.int64)
        weights, params = self._take(index.reshape(-1))
        order = np.where(weights > 0, self.base._moment_order(*params), np.inf)
        return np.broadcast_to(order.min(axis=0), index.size).reshape(index.shape)

    def _line_tails(self, cell: Any) -> tuple[Tail, Tail]:
        """Lower and upper tail: the heaviest of the nodes'."""
        index = np.asarray(cell).astype(np.int64)
        weights, params = self._take(index.reshape(-1))
        result = []
        for tail in tails_of(self.base, *params):
            k = np.where(weights > 0, tail.k, np.inf).min(axis=0)
            result.append(replace(tail, k=np.broadcast_to(k, index.size).reshape(index.shape)))
        return result[0], result[1]

    # --- the support and the peak --------------------------------------------------------------------------------

    def _bounds(self, cell: Any, entry: Any = None) -> tuple[Array, Array]:
        index = np.asarray(cell).astype(np.int64)
        _, params = self._take(index.reshape(-1))
        lower, upper = self.base._bounds(*params)
        ends = []
        for end, least in ((lower, np.min), (upper, np.max)):
            if np.ndim(end) == 0 or np.size(end) == 1:
                ends.append(np.asarray(end, dtype=float).reshape(()))
            else:
                each = least(end, axis=0)
                ends.append(np.broadcast_to(each, index.size).reshape(index.shape))
        return ends[0], ends[1]

    def _outside(self, x: Array, cell: Any, entry: Any = None) -> Array:
        x, index, shape = self._spread(x, cell)
        _, params = self._take(index)
        return np.all(self.base._outside(x[None], *params), axis=0).reshape(shape)

    def _mode(self, cell: Any, entry: Any = None) -> Array:
        """Most probable value of numbers: between the least and the greatest mode of the nodes."""
        if self.event_ndim or self.discrete:
            self._refuse("mode in closed form")
        index = np.asarray(cell).astype(np.int64)
        flat = index.reshape(-1)
        result = np.empty(flat.shape)
        for part in self._chunks(len(flat)):
            cells = flat[part]
            weights, params = self._take(cells, self._kept)
            each = np.broadcast_to(self.base._mode(*params), (len(weights), len(cells)))
            heavy = weights > NEGLIGIBLE
            low, high = np.where(heavy, each, np.inf).min(axis=0), np.where(heavy, each, -np.inf).max(axis=0)
            result[part] = highest(partial(self._log_prob, cell=cells), low, high)
        return result.reshape(index.shape)

    def _several_peaks(self, cell: Any, entry: Any = None) -> Array:
        """Where there is more than one peak that counts, as far as a scan shows."""
        levels = np.linspace(0.0, 1.0, _SCAN)[:, None]
        low, high = self._quantile(1e-4, cell), self._quantile(1.0 - 1e-4, cell)
        height = self._log_prob(low + levels * (high - low), cell)
        return falls_and_rises(height)
