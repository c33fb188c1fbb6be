"""Marginals of many cells, made some cells at a time from what the nodes of their quadrature hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.by_parts import cells_at_once
from bayeskit.distributions.panels import Panels
from bayeskit.distributions.transforms import Transform
from bayeskit.inference.group_systems import GroupSystems

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution
    from bayeskit.distributions.mixture import Mixture

Array = np.ndarray


def core_marginal(panels: Panels, transform: Transform, cell: Any) -> Distribution:
    """Return the densities of a core, on its own scale.

    Parameters
    ----------
    panels : Panels
        Densities on the unconstrained scale.
    transform : Transform
        From one scale to the other.
    cell : number or DataArray
        For every entry the number of its density, with the dims and the labels of the answers.
    """
    from bayeskit.distributions.chunked import Chunked
    from bayeskit.distributions.tabulated import Tabulated

    whole = Tabulated(panels, transform, cell)
    size = cells_at_once(len(panels.log_values))
    return whole if panels.cells <= size else Chunked(whole.of, size, cell, like=whole)


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

    def __call__(self, entries: Array) -> Mixture:
        """Return the mixtures of some entries."""
        from xarray import DataArray

        from bayeskit.distributions import Normal
        from bayeskit.distributions.mixture import NODE, Mixture

        group, place = np.unique(self.group[entries], return_inverse=True)
        unknown, which = np.unique(self.unknown[entries], return_inverse=True)
        with np.errstate(all="ignore"):
            mean, variance = self.systems.of(group).moments([p[:, group] for p in self.precisions], unknown.tolist())
        nodes = np.arange(len(mean[0]))[:, None]
        mu, sigma = (DataArray(m[which, nodes, place], dims=(NODE, "entry")) for m in (mean, np.sqrt(variance)))
        return Mixture(Normal(mu, sigma), self.panels.of(group[place]))

    def over(self, cell: Any) -> Distribution:
        """Return the mixtures of all entries, numbered by `cell`: where they are many, made some at a time."""
        from bayeskit.distributions.chunked import Chunked

        count, size = len(self.group), cells_at_once(len(self.panels.log_values))
        return self(np.arange(count)).over(cell) if count <= size else Chunked(self, size, cell)
