r"""Cells of a conjugate plate of which the data say the same: their integrals are equal, so one of them is worked out.

With n of a cell's y, and a prior that is the same for all cells,

.. math:: \log p(y \mid a, b) = \sum_i \log \frac{B(a + y_i, b + n_i - y_i)}{B(a, b)} + c
          = \sum_{(y, n)} w_{y n} \log \frac{B(a + y, b + n - y)}{B(a, b)} + c,

a sum over the distinct pairs, each as often as it occurs. A million cells of small counts are a few hundred pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.families import Naturals, NormalFamily, VonMisesFamily, merge
from bayeskit.distributions.merging import merge_equal
from bayeskit.inference.conjugacy import ConjugateUpdate

Array = np.ndarray
_LEAST = 32  # cells from which it is worth looking
_LARGEST = 1e5


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
    base : float
        What the children's log density holds beside their natural parameters.
    """

    update: ConjugateUpdate
    gained: Naturals
    of: Array
    count: Array
    base: float

    @property
    def classes(self) -> int:
        """Count of the classes."""
        return len(self.count)

    def prior(self, env: Mapping[str, Array]) -> Naturals:
        """Return the natural parameters of the prior of any cell: each ``(batch, 1)``."""
        parameters = self.update.latent.prior.parameter_arrays(env)
        naturals = (np.asarray(n, dtype=float) for n in self.update.family.prior(*parameters))
        return tuple(n.reshape(n.shape[0], -1)[:, :1] for n in naturals)

    def naturals(self, env: Mapping[str, Array]) -> Naturals:
        """Return the natural parameters of the conditional of every class: each ``(batch, classes)``."""
        return merge(self.update.family, self.prior(env), self.gained)

    def log_gain(self, env: Mapping[str, Array]) -> Array:
        """Return by how much its children raise the log normaliser of a cell of every class: ``(batch, classes)``."""
        return self.update.family.log_gain(self.prior(env), self.gained)

    def log_evidence(self, env: Mapping[str, Array], gain: Array | None = None) -> Array:
        """Return the log of what all cells integrate to, their children included: ``(batch,)``.

        ``gain`` is ``log_gain(env)``, where it is at hand.
        """
        gain = self.log_gain(env) if gain is None else gain
        return np.asarray(gain @ self.count + self.base)


def alike_cells(update: ConjugateUpdate, known: Mapping[str, Array]) -> Alike | None:
    """Return the classes of a plate's cells, or None where merging them would save little or cannot be.

    Parameters
    ----------
    update : ConjugateUpdate
        The plate. Its children must depend on data alone beside it, and its prior must be one for all cells.
    known : mapping
        Values of the data.
    """
    prior, cells = update.latent.prior, update.latent.size
    if cells < _LEAST or prior.event or update._moving or update.fixed is None:
        return None
    if isinstance(update.family, NormalFamily | VonMisesFamily) or any(p.dims for p in prior.parameters):
        return None
    laid = (1, *update.latent.shape)
    gained = [np.broadcast_to(np.asarray(g, dtype=float), laid).reshape(-1) for g in update.fixed]
    if max(np.abs(g).max() for g in gained) > _LARGEST:
        return None  # large counts hardly repeat, and their evidence asks for more care
    merged = merge_equal(gained, cells)
    if merged is None:
        return None
    few = tuple(g[merged.first][None] for g in gained)
    count = np.bincount(merged.group, minlength=len(merged.first)).astype(float)
    base = sum(float(c.base(known)[0]) for c in update.contributions)
    return Alike(update, few, merged.group, count, base)
