r"""Cells of a conjugate plate under one prior: what they have in common is worked out once.

With n of a cell's y the plate integrates to

.. math:: \log p(y \mid a, b) = \sum_i \log \frac{B(a + y_i, b + n_i - y_i)}{B(a, b)} + c
          = \sum_{(y, n)} w_{y n} \log \frac{B(a + y, b + n - y)}{B(a, b)} + c,

a sum over the distinct pairs, each as often as it occurs: a million cells of small counts are a few hundred pairs.
Where there are many pairs, the counts of either kind are still few (``families.totals``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.conjugate.families import Naturals, NormalFamily, TotalGain, VonMisesFamily, merge, total_gain
from bayeskit.distributions.merging import merge_equal
from bayeskit.inference.conjugacy import ConjugateUpdate

Array = np.ndarray
_LEAST = 32  # cells from which it is worth looking
_LARGEST = 1e5
_OF_A_CELL = 50  # logarithms that the gain of a cell takes as long as


@dataclass(frozen=True, eq=False)
class Alike:
    """Classes of cells with one conditional distribution.

    Attributes
    ----------
    update : ConjugateUpdate
        The plate.
    gained : tuple of array (1, classes)
        What the children add to the natural parameters of a cell.
    of : array (cells,)
        The class of every cell, last dim fastest.
    count : array (classes,)
        Cells of every class.
    """

    update: ConjugateUpdate
    gained: Naturals
    of: Array
    count: Array

    @property
    def classes(self) -> int:
        """Count of the classes."""
        return len(self.count)

    def naturals(self, env: Mapping[str, Array]) -> Naturals:
        """Return the natural parameters of the conditional of every class: each ``(batch, classes)``."""
        return merge(self.update.family, _of_classes(self.update, env), self.gained)

    def total_gain(self, env: Mapping[str, Array]) -> Array:
        """Return by how much the children raise the log normalisers of all cells together: ``(batch,)``."""
        return np.asarray(self.update.family.log_gain(_of_classes(self.update, env), self.gained) @ self.count)


@dataclass(frozen=True, eq=False)
class Apart:
    """Gains of all cells together, summed count by count.

    Attributes
    ----------
    update : ConjugateUpdate
        The plate.
    total : TotalGain
        Of the cells' counts.
    """

    update: ConjugateUpdate
    total: TotalGain

    def total_gain(self, env: Mapping[str, Array]) -> Array | None:
        """Return by how much the children raise the log normalisers: ``(batch,)``; None where that asks for care."""
        gain = self.total(prior_of_a_cell(self.update, env))
        return None if np.isnan(gain).any() else gain


def prior_of_a_cell(update: ConjugateUpdate, env: Mapping[str, Array]) -> Naturals:
    """Return the natural parameters of the prior that all cells have: each ``(batch, *event)``."""
    first: Any = (slice(None), *(0 for _ in update.latent.prior.plates))
    return tuple(n[first] for n in update.prior(env))


def _of_classes(update: ConjugateUpdate, env: Mapping[str, Array]) -> Naturals:
    return tuple(n[:, None] for n in prior_of_a_cell(update, env))


def together(update: ConjugateUpdate) -> tuple[Alike | None, Apart | None]:
    """Return the classes of a plate's cells, and the sums of their gains: None where that would save little.

    The children must depend on data alone beside the plate, and its prior must be one for all cells. Large counts
    hardly repeat, and their evidence asks for more care: they are left to themselves.
    """
    prior = update.latent.prior
    if len(prior.event) > 1 or update._moving or update.fixed is None:
        return None, None
    if isinstance(update.family, NormalFamily | VonMisesFamily) or any(
        set(p.dims) & set(prior.plates) for p in prior.parameters
    ):
        return None, None
    laid = (-1, *update.latent.shape[len(prior.plates) :])
    whole = (1, *update.latent.shape)
    gained = tuple(np.broadcast_to(np.asarray(g, dtype=float), whole).reshape(laid) for g in update.fixed)
    if max(np.abs(g).max(initial=0.0) for g in gained) > _LARGEST:
        return None, None
    alike = None if prior.event or len(gained[0]) < _LEAST else _alike(update, gained)
    cells = len(gained[0]) if alike is None else alike.classes
    total = total_gain(update.family, gained)
    if total is None or total.cost > _OF_A_CELL * cells:
        return alike, None
    return alike, Apart(update, total)


def _alike(update: ConjugateUpdate, gained: Naturals) -> Alike | None:
    merged = merge_equal(list(gained), len(gained[0]))
    if merged is None:
        return None
    count = np.bincount(merged.group, minlength=len(merged.first)).astype(float)
    return Alike(update, tuple(g[merged.first][None] for g in gained), merged.group, count)
