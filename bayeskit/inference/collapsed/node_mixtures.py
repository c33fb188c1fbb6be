"""Marginals of many cells, made some cells at a time from what the nodes of their quadrature hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.distributions.by_parts import cells_at_once
from bayeskit.distributions.panels import Panels
from bayeskit.inference.group_systems import GroupSystems

Array = np.ndarray


def some_at_a_time(make: Callable[[Array], Any], cell: Any, panels: Panels, like: Any = None) -> Any:
    """Return the distribution of entries: of few the one that is made of all, of many one that makes some at a time.

    Parameters
    ----------
    make : callable
        From numbers of entries ``(n,)`` to the distribution of these.
    cell : number or DataArray
        The number of every entry, with the dims and the labels of the answers.
    panels : Panels
        What was integrated over.
    like : Distribution, optional
        One of the same support, by default that of the first entry.
    """
    from bayeskit.distributions.chunked import Chunked

    count, size = np.size(cell), cells_at_once(len(panels.log_values))
    return make(np.arange(count)).over(cell) if count <= size else Chunked(make, size, cell, like)


@dataclass(frozen=True, eq=False)
class NormalMixtures:
    """Mixtures of normals for unknowns of independent groups, over the nodes of what scales their rows.

    Attributes
    ----------
    panels : Panels
        Densities of the scales, one a group.
    systems : GroupSystems
        What the rows say of the unknowns of a group at given precisions.
    precisions : list of array
        Precisions of the moving rows at the nodes, ``(nodes, groups)`` each.
    group, unknown : array (entries,)
        The group of every entry, and which of its unknowns it is.
    """

    panels: Panels
    systems: GroupSystems
    precisions: list[Array]
    group: Array
    unknown: Array

    def __call__(self, entries: Array) -> Any:
        """Return the mixtures of some entries."""
        from xarray import DataArray

        from bayeskit.distributions import Normal
        from bayeskit.distributions.mixture import NODE, Mixture

        group, place = np.unique(self.group[entries], return_inverse=True)
        unknown, which = np.unique(self.unknown[entries], return_inverse=True)
        with np.errstate(all="ignore"):
            mean, variance = self.systems.of(group).moments([p[:, group] for p in self.precisions], unknown.tolist())
        nodes = np.arange(len(mean[0]))[:, None]
        mean, sd = (DataArray(m[which, nodes, place], dims=(NODE, "entry")) for m in (mean, np.sqrt(variance)))
        return Mixture(Normal(mean, sd), self.panels.of(group[place]))
