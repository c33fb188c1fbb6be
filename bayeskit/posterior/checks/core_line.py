r"""Expectations over a core of one number (or over each cell of a plate of such cores), where the nodes need be others.

The nodes of a posterior serve its own expectations. Without some rows the core is wider, or elsewhere: then
:math:`\operatorname{E}[e^{r}]` has its mass where the nodes may not reach. A first estimate from them says how large
each expectation is; then the mixture of the posterior and of all :math:`p(u \mid y)\, e^{r_j(u)}`, each divided by its
own, is integrated by the same adaptive rule, and its nodes serve every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bayeskit.distributions.panels import masses
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.collapsed.cells import CellsCore
from bayeskit.inference.collapsed.lines import LineCore
from bayeskit.inference.core.line import Line, integrate_line, limits_of

Array = np.ndarray
Ratios = Callable[[dict[str, Array]], Array]
_OFFSETS = np.concatenate([-np.geomspace(60, 12, 12), np.linspace(-11, 11, 89), np.geomspace(12, 60, 12)])
_LOST = 1e-10  # probability of the nodes at which a ratio may be no number: extremes, where matrices lose their digits


@dataclass(frozen=True, eq=False)
class CoreLine:
    """A core on the line: ``log_density`` and ``values`` take points ``(n, cells)``."""

    line: Line
    log_density: Callable[[Array], Array]
    values: Callable[[Array], dict[str, Array]]
    limits: tuple[Array, Array]

    @property
    def mode(self) -> Array:
        """The node of the highest density of every cell: ``(cells,)``."""
        at = self.line.panels.log_values.argmax(axis=0)
        return np.take_along_axis(self.line.nodes, at[None], axis=0)[0]

    def log_expectations(self, ratios: Ratios, cell: Array, step: int) -> Array:
        """Return the logs of the expectations of exponentials of ratios, each over its own cell: ``(ratios,)``.

        Parameters
        ----------
        ratios : callable
            From values of the core ``(n, *dims)`` to ``(n, ratios)``.
        cell : array
            The cell of every ratio.
        step : int
            Points to ask for at a time.
        """
        with np.errstate(all="ignore"):
            first = self._sum(self.line.nodes, np.log(self.line.panels.probabilities), ratios, cell, step)
        finite = np.isfinite(first)
        if not finite.any():
            return first
        try:
            fine = integrate_line(
                lambda u: self._mixture(u, ratios, first, cell, step), self.mode, limits=self.limits,
                tolerance=1e-9 / min(len(first), 100),
            )  # fmt: skip
        except ImproperError as error:
            raise ImproperError(
                "Without some of the rows the posterior is improper: the density of the core does not fall there. "
                "Give it a proper prior, or leave out fewer rows at once."
            ) from error
        # in logs: what is nothing of the posterior may be all of another
        log_w = self.log_density(fine.nodes) + np.log(masses(fine.panels.edges, np.zeros(fine.nodes.shape)))
        log_w = log_w - logsumexp(log_w, axis=0)
        result = np.where(finite, self._sum(fine.nodes, log_w, ratios, cell, step), first)
        for j, start in self._beyond(fine, ratios, cell, step):
            result[j] = self._alone(ratios, j, int(cell[j]), start, step)
        return result

    def _beyond(self, fine: Line, ratios: Ratios, cell: Array, step: int) -> list[tuple[int, float]]:
        """Return the ratios whose mass is highest beyond the panels, with where: a gap that was not seen across."""
        spread = np.sqrt(np.maximum(self.line.var(), 1e-300))
        offsets = np.concatenate([_OFFSETS[:, None] * np.ones_like(spread), _OFFSETS[:, None] * spread])
        u = np.clip(np.concatenate([self.mode + offsets, fine.nodes]), *self.limits)
        heights = np.empty((len(u), len(cell)))
        base = self.log_density(u)
        inside = np.isfinite(base)
        for at in _steps(len(u), step):
            r = ratios(self.values(np.where(inside[at], u[at], self.mode)))
            heights[at] = np.where(inside[at][:, cell] & np.isfinite(r), base[at][:, cell] + r, -np.inf)
        top = np.take_along_axis(u[:, cell], heights.argmax(axis=0)[None], axis=0)[0]
        beyond = (top < fine.panels.edges[0, cell]) | (top > fine.panels.edges[-1, cell])
        return [(int(j), float(top[j])) for j in np.flatnonzero(beyond)]

    def _alone(self, ratios: Ratios, j: int, cell: int, start: float, step: int) -> float:
        """Return one expectation, from a rule of its own."""

        def log_density(u: Array) -> Array:
            every = np.broadcast_to(u, (len(u), self.line.cells))
            base = self.log_density(every) - self.line.log_mass
            inside = np.isfinite(base)
            found = np.empty(u.shape)
            for at in _steps(len(u), step):
                found[at, 0] = ratios(self.values(np.where(inside[at], every[at], self.mode)))[:, j]
            found = np.where(np.isnan(found), -np.inf, found)
            return np.where(inside[:, cell : cell + 1], base[:, cell : cell + 1] + found, -np.inf)

        limits = tuple(np.broadcast_to(end, (self.line.cells,))[cell : cell + 1] for end in self.limits)
        own = integrate_line(log_density, np.array([start]), limits=(limits[0], limits[1]))
        return float(own.log_mass[0])

    def _mixture(self, u: Array, ratios: Ratios, first: Array, cell: Array, step: int) -> Array:
        """Return the log density of the mixture at points ``(n, cells)``."""
        base = self.log_density(u) - self.line.log_mass
        inside = np.isfinite(base)
        used = np.flatnonzero(np.isfinite(first))
        used = used[np.argsort(cell[used], kind="stable")]
        starts = np.flatnonzero(np.diff(cell[used], prepend=-1))
        counts = np.diff(starts, append=len(used))
        more = np.full(base.shape, -np.inf)
        for at in _steps(len(u), step):
            r = ratios(self.values(np.where(inside[at], u[at], self.mode)))[:, used] - first[used]
            r = np.where(np.isnan(r), -np.inf, r)
            top = np.maximum.reduceat(r, starts, axis=1)
            top = np.where(np.isfinite(top), top, 0.0)
            with np.errstate(all="ignore"):
                each = np.add.reduceat(np.exp(r - np.repeat(top, counts, axis=1)), starts, axis=1) / counts
                more[at, cell[used][starts]] = np.log(each) + top
        return np.where(inside, base + np.logaddexp(0.0, more), -np.inf)

    def _sum(self, nodes: Array, log_w: Array, ratios: Ratios, cell: Array, step: int) -> Array:
        """Return the logs of weighted sums over nodes."""
        total: Array | None = None
        kept = np.flatnonzero((log_w > -np.inf).any(axis=1))
        for at in (kept[s] for s in _steps(len(kept), step)):
            r = ratios(self.values(np.where(log_w[at] > -np.inf, nodes[at], self.mode)))
            w = log_w[at][:, cell]
            if (np.exp(w) * np.isnan(r)).max() > _LOST:
                raise RefusedError(
                    "Some predictive densities are not numbers: at probable values of the core a system of the rows "
                    "lost its digits. Rescale the data."
                )
            with np.errstate(all="ignore"):
                part = logsumexp(np.where((w > -np.inf) & ~np.isnan(r), w + r, -np.inf), axis=0)
            total = part if total is None else np.logaddexp(total, part)
        assert total is not None
        return total


def _steps(count: int, step: int) -> Iterator[slice]:
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def core_line(component: LineCore | CellsCore) -> CoreLine:
    """Return a component's core on the line."""
    density, line = component.density, component.line
    if isinstance(component, CellsCore):
        cells = component.density

        def of_cells(u: Array) -> dict[str, Array]:
            return cells.unpack(u)[0]

        return CoreLine(line, cells, of_cells, limits_of(cells.transform, line.cells))
    known = component.problem.env

    def log_density(u: Array) -> Array:
        return np.asarray(density(u.reshape(-1, 1))).reshape(u.shape)

    def values(u: Array) -> dict[str, Array]:
        return component.density.scale.unpack(u, known)[0]

    return CoreLine(line, log_density, values, limits_of(component.transform, 1))
