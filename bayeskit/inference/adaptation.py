"""How Metropolis proposals learn their size and their shape during tuning.

Every state is a NamedTuple of arrays and every update is pure. A kernel stops calling the updates once tuning is
over: only then does its chain leave the target exactly invariant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "CovarianceState",
    "ScaleState",
    "proposal_cholesky",
    "start_covariance",
    "start_scale",
    "target_acceptance",
    "update_covariance",
    "update_scale",
]

FloatArray = npt.NDArray[np.float64]

# The gain of Robbins and Monro's recursion falls as updates**-GAIN_DECAY: slowly enough to travel anywhere, fast
# enough to settle.
GAIN_DECAY = 0.6
# The draw of sweep t enters the covariance with weight proportional to t**FORGETTING: the way in from a bad start is
# forgotten, and about half of the draws still count.
FORGETTING = 3.0
# Pseudo-draws, per dimension, with which the covariance is pulled towards its own diagonal.
SHRINKAGE = 1.0


def target_acceptance(dimension: int) -> float:
    """Acceptance rate that a Gaussian random walk should have: 0.44 in one dimension, 0.234 in many.

    References
    ----------
    Roberts and Rosenthal (2001), Optimal scaling for various Metropolis-Hastings algorithms, Statistical Science 16.

    Examples
    --------
    >>> target_acceptance(1), round(target_acceptance(1000), 3)
    (0.44, 0.234)
    """
    return 0.234 + 0.206 / max(dimension, 1)


class ScaleState(NamedTuple):
    """Log proposal scales, and how often they were updated."""

    log_scale: FloatArray
    updates: int

    @property
    def scale(self) -> FloatArray:
        """The scales themselves."""
        return np.exp(self.log_scale)


def start_scale(shape: tuple[int, ...], scale: npt.ArrayLike = 1.0) -> ScaleState:
    """State for scales of `shape`, which all start at `scale`."""
    return ScaleState(np.broadcast_to(np.log(np.asarray(scale, float)), shape).copy(), 0)


def update_scale(state: ScaleState, probability: FloatArray, target: float) -> ScaleState:
    """One step of Robbins and Monro: raise the log scale where more than `target` would be accepted.

    Parameters
    ----------
    state
        Scales of some shape.
    probability
        Acceptance probabilities of the latest proposals, in that shape.
    target
        Wanted acceptance rate.

    Examples
    --------
    >>> import numpy as np
    >>> state = start_scale((2,))
    >>> state = update_scale(state, np.array([1.0, 0.0]), target=0.44)
    >>> bool(state.scale[0] > 1.0 > state.scale[1])
    True
    """
    updates = state.updates + 1
    # Divided by the spread of the target, so that 'always accepted' and 'never accepted' are left equally fast.
    gain = updates**-GAIN_DECAY / (2.0 * target * (1.0 - target))
    return ScaleState(state.log_scale + gain * (probability - target), updates)


class CovarianceState(NamedTuple):
    """Weighted running mean and covariance of the chains.

    Attributes
    ----------
    mean
        `(group, d)`: one group per chain, or a single one for all chains together.
    covariance
        `(group, d, d)`.
    updates
        Updates seen.
    """

    mean: FloatArray
    covariance: FloatArray
    updates: int


def start_covariance(x: FloatArray, *, pooled: bool) -> CovarianceState:
    """Begin at the positions `x` of shape (chain, d); `pooled` makes all chains feed one covariance."""
    mean = x.mean(axis=0, keepdims=True) if pooled else x.copy()
    return CovarianceState(mean, np.zeros((*mean.shape, x.shape[1])), 0)


def update_covariance(state: CovarianceState, x: FloatArray) -> CovarianceState:
    """Add the positions `x` of shape (chain, d): Welford's update with weights that favour recent draws.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> state = start_covariance(np.zeros((4, 2)), pooled=True)
    >>> for _ in range(2000):
    ...     state = update_covariance(state, rng.standard_normal((4, 2)) * [1.0, 10.0])
    >>> np.sqrt(np.diagonal(state.covariance[0])).round(0)
    array([ 1., 10.])
    """
    updates = state.updates + 1
    weight = (FORGETTING + 1.0) / (updates + FORGETTING)
    grouped = x.reshape(state.mean.shape[0], -1, x.shape[1])
    deviation = grouped - state.mean[:, np.newaxis]
    shift = weight * deviation.mean(axis=1)
    second = np.swapaxes(deviation, -1, -2) @ deviation / grouped.shape[1]
    covariance = (1.0 - weight) * state.covariance + weight * second - shift[:, :, np.newaxis] * shift[:, np.newaxis]
    return CovarianceState(state.mean + shift, covariance, updates)


def proposal_cholesky(state: CovarianceState, fallback: npt.ArrayLike = 1.0) -> FloatArray:
    """Lower triangular factor, (group, d, d), of a covariance that is safe to propose from.

    The correlations are shrunk towards zero while few draws support them, which also keeps the matrix positive
    definite; the shrinkage has no scale of its own, so parameters of very different size are treated alike.

    Parameters
    ----------
    state
        What the chains have shown so far.
    fallback
        Variances, broadcast to (group, d), for coordinates that have not moved at all.

    Examples
    --------
    >>> import numpy as np
    >>> state = start_covariance(np.zeros((4, 2)), pooled=True)
    >>> proposal_cholesky(state, fallback=4.0)[0]
    array([[2., 0.],
           [0., 2.]])
    """
    variance = np.diagonal(state.covariance, axis1=-2, axis2=-1)
    usable = np.isfinite(variance) & (variance > 0.0)
    sd = np.sqrt(np.where(usable, variance, fallback))
    correlation = state.covariance / (sd[..., :, np.newaxis] * sd[..., np.newaxis, :])
    dimension = sd.shape[-1]
    trust = state.updates / (state.updates + SHRINKAGE * (dimension + 1.0))
    trusted = usable[..., :, np.newaxis] & usable[..., np.newaxis, :]
    # Off the diagonal at most `trust` in size: together with the unit diagonal this is positive definite.
    correlation = np.where(trusted, trust * np.clip(correlation, -1.0, 1.0), 0.0)
    diagonal = np.arange(dimension)
    correlation[..., diagonal, diagonal] = 1.0
    return sd[..., :, np.newaxis] * _cholesky(correlation)


def _cholesky(correlation: FloatArray) -> FloatArray:
    """Cholesky factor; correlations that round-off has made indefinite are dropped, never an error in mid-run."""
    try:
        return np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        return np.broadcast_to(np.eye(correlation.shape[-1]), correlation.shape).copy()
