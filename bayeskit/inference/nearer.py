"""Fits that rows of minute noise are summed about.

At a plain guess of the precisions priors pull a fit off rows whose noise is really minute, and their least squares are
then lost among the squares about it. A nearer fit weighs each noise cell by its own squares instead; each step gains
some eight digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bayeskit.inference.block_factors import BlockFactor
from bayeskit.statistics.gram import Layout

Array = np.ndarray
HIDDEN = 1e-4  # squares so much smaller than those about a fit are summed about a nearer one
MOST_NEARER = 4  # such fits at most


def nearer_step(factors: Sequence[BlockFactor], layout: Layout, fit: Callable[[Array], Array]) -> Array | None:
    """Return a step of the pilot to where rows of unknown noise are fitted far better, if there is such a place.

    Parameters
    ----------
    factors : sequence of BlockFactor
        Of a block, with their sums about the pilot.
    layout : Layout
        Of the block's unknowns.
    fit : callable
        From sums ``(1, size)`` to the fit to them, ``(columns,)``.
    """
    total = np.zeros(layout.size)
    rows: list[Array] = []
    for bf in factors:
        if bf.sums is None or not bf.design.known_offset:
            continue
        weights = np.ones(len(bf.sums))
        observed = not bf.factor.value.variables & bf.design.columns.keys()
        if bf.precision.latent is not None and bf.entries == 1 and observed:
            moved = (bf.sums[:, -1] > 0) & (bf.precision.counts > 1)
            weights[moved] = bf.precision.counts[moved] / bf.sums[moved, -1]
            rows.append(bf.sums[moved])
        total += weights @ bf.sums
    if not rows:
        return None
    step = fit(total[None])
    features = layout.features(*layout.parts(step[None]))[0]
    return step if any(np.any(sums @ features < HIDDEN * sums[:, -1]) for sums in rows) else None
