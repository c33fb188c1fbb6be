"""Distributions of many cells, made some cells at a time: their tables are never held for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.by_parts import Part, by_parts
from bayeskit.distributions.domains import Parameter, nonnegative_integer
from bayeskit.distributions.moment_orders import UNKNOWN, Tail

__all__ = ["Chunked"]


class Chunked(Distribution):
    """Distribution of numbers in many cells, of which some are made at a time, for every answer anew.

    Parameters
    ----------
    make : callable
        From increasing numbers of cells ``(n,)`` to the distribution of these, a `Mixture` or a `Tabulated` whose
        cells are numbered from 0.
    size : int
        Cells that are made at a time.
    cell : number or DataArray
        For every entry the number of its cell; it bears the dims and the labels of the answers.
    like : Distribution, optional
        One of the same family and support, by default that of the first cell.

    Examples
    --------
    >>> import xarray as xr
    >>> from bayeskit.distributions import Normal
    >>> from bayeskit.distributions.mixture import NODE, Mixture
    >>> def make(cells):
    ...     means = xr.DataArray([cells, cells + 4.0], dims=[NODE, "cell"])
    ...     return Mixture(Normal(means, 1), [3, 1])
    >>> Chunked(make, 2, xr.DataArray([0, 1, 5], dims="cell")).mean().values
    array([1., 2., 6.])
    """

    parameters = (Parameter("cell", nonnegative_integer),)

    def __init__(
        self, make: Callable[[Array], Any], size: int, cell: Any = 0, like: Distribution | None = None
    ) -> None:
        like = make(np.arange(1)) if like is None else like
        self._keep({"make": make, "size": size, "cell": cell, "like": like}, {"cell": cell})

    @property
    def _like(self) -> Distribution:
        like: Distribution = self.given["like"]
        return like

    @property
    def family(self) -> str:
        """Name of the family that is made."""
        return self._like.family

    @property
    def support(self) -> str:  # type: ignore[override]
        """Where values lie."""
        return self._like.support

    @property
    def tabulated(self) -> bool:  # type: ignore[override]
        """Whether expectations of functions are known."""
        return self._like.tabulated

    def __repr__(self) -> str:
        return repr(self._like)

    # --- kernels -----------------------------------------------------------------------------------------------------

    def _by_parts(self, answer: Callable[[Any, Part], Any], cell: Any, *values: Any) -> Any:
        """Ask ``answer(distribution of a part, part)`` part by part."""
        make = self.given["make"]
        return by_parts(lambda part: answer(make(part.cells), part), self.given["size"], cell, *values)

    def _at(self, kernel: str, x: Any, cell: Any) -> Any:
        return self._by_parts(lambda made, part: getattr(made, kernel)(part.take(x), part.place), cell, x)

    def _log_prob(self, x: Any, cell: Any) -> Any:
        return self._at("_log_prob", x, cell)

    def _cdf(self, x: Any, cell: Any) -> Any:
        return self._at("_cdf", x, cell)

    def _sf(self, x: Any, cell: Any) -> Any:
        return self._at("_sf", x, cell)

    def _log_cdf(self, x: Any, cell: Any) -> Any:
        return self._at("_log_cdf", x, cell)

    def _log_sf(self, x: Any, cell: Any) -> Any:
        return self._at("_log_sf", x, cell)

    def _quantile(self, q: Any, cell: Any) -> Any:
        return self._at("_quantile", q, cell)

    def _log_quantile(self, log_q: Any, cell: Any) -> Any:
        return self._at("_log_quantile", log_q, cell)

    def _log_isf(self, log_tail: Any, cell: Any) -> Any:
        return self._at("_log_isf", log_tail, cell)

    def _outside(self, x: Any, cell: Any) -> Any:
        return self._at("_outside", x, cell)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], cell: Any) -> Any:
        full = np.broadcast_to(0.0, shape)
        return self._by_parts(lambda made, part: made._sample(rng, part.shape, part.place), cell, full)

    def _narrowest(self, prob: float, arrays: list[Array]) -> tuple[Array, Array]:
        """Narrowest intervals: a search asks again and again, so that it is done part by part."""
        lower, upper = self._by_parts(lambda made, part: made._narrowest(prob, [part.place]), arrays[0])
        return lower, upper

    # --- moments -----------------------------------------------------------------------------------------------------

    @cached_property
    def _moments(self) -> Array:
        """Means and variances of all cells, which are found together: ``(2, cells)``."""
        cells = np.arange(int(np.max(np.asarray(self.canonical["cell"]), initial=0)) + 1)

        def answer(made: Any, part: Part) -> Any:
            return np.stack([made._mean(part.place), made._var(part.place)])

        found: Array = self._by_parts(answer, cells)
        return found

    def _mean(self, cell: Any) -> Any:
        return self._moments[0][np.asarray(cell).astype(np.int64)]

    def _var(self, cell: Any) -> Any:
        return self._moments[1][np.asarray(cell).astype(np.int64)]

    def _raw_moment(self, k: float, cell: Any) -> Any:
        return self._by_parts(lambda made, part: made._raw_moment(k, part.place), cell)

    def _expect(self, function: Callable[..., Array], cell: Any, *arrays: Any) -> Any:
        """Expectation of a function of values and of arrays over the cells."""

        def answer(made: Any, part: Part) -> Any:
            return made._expect(function, part.place, *(part.take(a) for a in arrays))

        return self._by_parts(answer, cell, *arrays)

    def _moment_order(self, cell: Any) -> Any:
        return self._by_parts(lambda made, part: made._moment_order(part.place), cell)

    def _line_tails(self, cell: Any) -> tuple[Tail, Tail]:
        """Lower and upper tail; unknown where those of parts are not of one kind."""
        kinds: list[list[tuple[str, float, bool]]] = []

        def answer(made: Any, part: Part) -> Any:
            tails = made._line_tails(part.place)
            kinds.append([(t.kind, t.r, t.sharp) for t in tails])
            return np.stack([np.broadcast_to(t.k, part.shape) for t in tails])

        orders = self._by_parts(answer, cell)
        lower, upper = (
            Tail(of[0][0], k, of[0][1], of[0][2]) if len(set(of)) == 1 else UNKNOWN
            for of, k in zip(zip(*kinds, strict=True), orders, strict=True)
        )
        return lower, upper

    # --- the support and the peak --------------------------------------------------------------------------------

    def _bounds(self, cell: Any) -> tuple[Array, Array]:
        def answer(made: Any, part: Part) -> Any:
            return np.stack([np.broadcast_to(end, part.shape) for end in made._bounds(part.place)])

        lower, upper = self._by_parts(answer, cell)
        return lower, upper

    def _mode(self, cell: Any) -> Any:
        return self._by_parts(lambda made, part: made._mode(part.place), cell)

    def _tilted_mode(self, k: float, cell: Any) -> Any:
        return self._by_parts(lambda made, part: made._tilted_mode(k, part.place), cell)

    def _several_peaks(self, cell: Any) -> Any:
        return self._by_parts(lambda made, part: made._several_peaks(part.place), cell)
