"""Components for long tails along the axes of a proposal: of a log scale whose prior is positive at zero.

On the log scale such a density falls as an exponential only, however narrow its body: 5 % of the mass of a weakly
identified standard deviation may lie beyond what a t fitted to the body ever proposes. A proposal that meets it once
in ten thousand draws looks good and sticks for hundreds of draws. So the density is followed along every axis, and
where it stays above the fit a component is laid along its tail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayeskit.inference.core.proposal import TMixture

Array = np.ndarray

# Distances along an axis, in standard deviations of the component.
ALONG = np.array([3.0, 3.5, 4.0, 5.0, 6.0, 7.5, 9.0, 11.0, 14.0, 18.0, 24.0])
# Nats by which the density must exceed the fit, where the tail still holds this share of the mass of its axis.
EXCESS = 1.5
LEAST_SHARE = 0.01
# Shares of the components of tails: of what lies along the axis, for the body reaches some way out too.
AMPLE, MOST_SHARE = 1.0, 0.12
# Skewness of such a component: the slopes of its two sides are as 1 to 12.
SKEW, DOF = 1.5, 8.0


def tailed(log_density: Callable[[Array], Array], fit: TMixture) -> TMixture:
    """Return the mixture with a component for each long tail of its heaviest component; one call in all."""
    k = int(np.argmax(fit.weights))
    centre, factor = fit.centres[k], fit.factors[k]
    d = len(centre)
    signs = np.array([1.0, -1.0])
    steps = signs[:, None, None, None] * ALONG[:, None, None] * factor.T  # (side, along, axis, d)
    points = np.concatenate([centre[None], (centre + steps).reshape(-1, d)])
    values, fitted = log_density(points), fit.log_density(points)
    if not np.isfinite(values[0]):
        return fit
    fall, fitted = ((v[1:] - v[0]).reshape(2, len(ALONG), d) for v in (values, fitted))
    width = np.gradient(ALONG)[:, None]
    mass = np.where(np.isfinite(fall), np.exp(np.minimum(fall, 0.0)), 0.0) * width
    share = mass.sum(axis=1) / (np.sqrt(2 * np.pi) + mass.sum(axis=1))  # of the axis, whose body is near normal
    heavy = mass > 0.05 * mass.max(axis=1, keepdims=True)
    excess = np.where(heavy, np.where(heavy, fall, 0.0) - fitted, -np.inf).max(axis=1)
    long = (excess > EXCESS) & (share > LEAST_SHARE)
    for side, axis in np.argwhere(long):
        reach = float(mass[side, :, axis] @ ALONG / mass[side, :, axis].sum())
        fit = _with_tail(fit, k, int(axis), signs[side], reach, min(AMPLE * share[side, axis], MOST_SHARE))
    return fit


def _with_tail(fit: TMixture, k: int, axis: int, sign: float, reach: float, share: float) -> TMixture:
    """Add a copy of a component that is stretched along one side of an axis, its middle ``reach`` away."""
    scale = (0.5 * reach) / np.exp(SKEW)
    factor, skews = fit.factors[k].copy(), fit.skews[k].copy()
    centre = fit.centres[k] + sign * (reach - scale * np.sinh(SKEW)) * factor[:, axis]
    factor[:, axis] *= scale
    skews[axis] = sign * SKEW
    return replace(
        fit,
        weights=np.append((1 - share) * fit.weights, share),
        centres=np.vstack([fit.centres, centre]),
        factors=np.concatenate([fit.factors, factor[None]]),
        skews=np.vstack([fit.skews, skews]),
        dofs=np.append(fit.dofs, DOF),
        apart=np.append(fit.apart, False),
    )
