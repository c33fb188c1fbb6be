"""Random-walk Metropolis steps on arrays: every element on its own, or whole vectors jointly.

Both are pure: `(log_density, x, log_p, scale, ..., rng) -> Walk`. Nothing is adapted here (see `adaptation`). A NaN
log density counts as outside the support, so its proposal is rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Walk", "elementwise_walk", "joint_walk"]

FloatArray = npt.NDArray[np.float64]
LogDensity = Callable[[FloatArray], npt.ArrayLike]


class Walk(NamedTuple):
    """The outcome of one step.

    Attributes
    ----------
    x
        Positions after the step.
    log_p
        Their log densities.
    accepted
        Which proposals were taken; the shape of `log_p`.
    probability
        Acceptance probability of each proposal: a less noisy report than `accepted`, and what adaptation needs.
    """

    x: FloatArray
    log_p: FloatArray
    accepted: npt.NDArray[np.bool_]
    probability: FloatArray


def elementwise_walk(
    log_density: LogDensity, x: FloatArray, log_p: FloatArray, scale: npt.ArrayLike, rng: np.random.Generator
) -> Walk:
    """Propose and accept every element of `x` on its own.

    Parameters
    ----------
    log_density
        Takes an array of the shape of `x`, returns the log density of each element in the same shape. Elements must
        be independent given everything the function holds fixed.
    x, log_p
        Current values, of any shape, and `log_density(x)`.
    scale
        Standard deviation of the Gaussian proposal, broadcast to `x`.
    rng
        Source of randomness.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> x = np.zeros((4, 3))
    >>> step = elementwise_walk(lambda x: -0.5 * x**2, x, -0.5 * x**2, 2.4, rng)
    >>> step.x.shape, step.accepted.shape
    ((4, 3), (4, 3))
    """
    proposal = x + np.asarray(scale, float) * rng.standard_normal(x.shape)
    log_p_proposal = np.asarray(log_density(proposal), float)
    accepted, probability = _accept(log_p, log_p_proposal, rng)
    return Walk(np.where(accepted, proposal, x), np.where(accepted, log_p_proposal, log_p), accepted, probability)


def joint_walk(
    log_density: LogDensity,
    x: FloatArray,
    log_p: FloatArray,
    scale: npt.ArrayLike,
    cholesky: FloatArray,
    rng: np.random.Generator,
) -> Walk:
    """Propose and accept every row of `x` as a whole.

    Parameters
    ----------
    log_density
        Takes `(chain, d)`, returns `(chain,)`.
    x, log_p
        Current positions `(chain, d)` and their log densities `(chain,)`.
    scale
        Multiplier of the proposal, a number or one per chain.
    cholesky
        Lower triangular factor of the proposal covariance, `(d, d)` or one per chain `(chain, d, d)`.
    rng
        Source of randomness.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> log_density = lambda x: -0.5 * (x**2).sum(axis=-1)
    >>> x = np.zeros((4, 3))
    >>> step = joint_walk(log_density, x, log_density(x), 1.4, np.eye(3), rng)
    >>> step.x.shape, step.accepted.shape
    ((4, 3), (4,))
    """
    noise = rng.standard_normal(x.shape)
    noise = noise @ cholesky.T if cholesky.ndim == 2 else np.matvec(cholesky, noise)
    proposal = x + np.asarray(scale, float)[..., np.newaxis] * noise
    log_p_proposal = np.asarray(log_density(proposal), float)
    accepted, probability = _accept(log_p, log_p_proposal, rng)
    return Walk(
        np.where(accepted[:, np.newaxis], proposal, x),
        np.where(accepted, log_p_proposal, log_p),
        accepted,
        probability,
    )


def _accept(
    log_p: FloatArray, log_p_proposal: FloatArray, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Metropolis' rule for a symmetric proposal; from -inf any finite density is taken, NaN and +inf never."""
    log_p_proposal = np.where(log_p_proposal < np.inf, log_p_proposal, -np.inf)
    possible = log_p_proposal > -np.inf
    ratio = np.where(possible, log_p_proposal, 0.0) - log_p
    probability = np.where(possible, np.exp(np.minimum(ratio, 0.0)), 0.0)
    return rng.random(log_p.shape) < probability, probability
