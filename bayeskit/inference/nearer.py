"""Fits that rows of minute noise are summed about.

At a plain guess of the precisions priors pull a fit off rows whose noise is really minute, and their least squares are
then lost among the squares about it. A nearer fit weighs each noise cell by its own squares instead; each step gains
some eight digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bayeskit.inference.block_factors import BlockFactor
from bayeskit.inference.group_systems import GroupSums
from bayeskit.statistics.gram import Layout

Array = np.ndarray
_HIDDEN = 1e-4  # squares so much smaller than those about a fit are summed about a nearer one
_MOST = 4  # such fits at most


def approach(pilot: Array, nearer: Callable[[], Array | None], sum_up: Callable[[Array], None]) -> Array:
    """Return a pilot that no step takes far nearer to the rows.

    Parameters
    ----------
    pilot : array
        What rows are summed about at first.
    nearer : callable
        Says the next step by the sums; None where there is no place that is far nearer.
    sum_up : callable
        Sums the rows about a pilot.
    """
    for _ in range(_MOST):
        step = nearer()
        if step is None:
            break
        pilot = pilot + step
        sum_up(pilot)
    return pilot


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
    return step if any(np.any(sums @ features < _HIDDEN * sums[:, -1]) for sums in rows) else None


def nearer_groups(parts: Sequence[GroupSums]) -> Array | None:
    """Return the same for groups that have nothing in common: steps ``(groups, k)``, zero where none is needed."""
    noisy = [p for p in parts if p.factor is not None]
    with np.errstate(all="ignore"):
        weights = [
            np.where((p.rows > 1) & (p.vv > 0), p.rows / p.vv, 1.0) if p.factor is not None else np.ones(len(p.vv))
            for p in parts
        ]
    A = sum(w[:, None, None] * p.A for w, p in zip(weights, parts, strict=True))
    h = sum(w[:, None] * p.h for w, p in zip(weights, parts, strict=True))
    size = np.diagonal(A, axis1=1, axis2=2)
    try:
        x = np.linalg.solve(A + np.where(size > 0, 1e-10 * size, 1.0)[..., None] * np.eye(size.shape[1]), h[..., None])
    except np.linalg.LinAlgError:
        return None
    x = x[..., 0]
    far = np.zeros(len(x), bool)
    for p in noisy:
        about = p.vv - 2 * (p.h * x).sum(axis=1) + (x * (p.A @ x[..., None])[..., 0]).sum(axis=1)
        far |= (p.rows > 1) & (about < _HIDDEN * p.vv)
    return np.where(far[:, None], x, 0.0) if far.any() else None
