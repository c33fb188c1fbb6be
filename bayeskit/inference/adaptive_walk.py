"""Adaptive random-walk Metropolis for one vector per chain.

The first eighth of tuning updates one coordinate at a time by slice sampling: it needs no scale to begin with, crosses
any distance in a few rounds, and leaves the size of every coordinate behind, however different the sizes are. From
then on a sweep is a number of joint steps along the covariance of all chains (Haario, Saksman and Tamminen 2001;
pooled as in Craiu, Rosenthal and Yang 2009) with one multiplier per chain, and one round of Metropolis steps over the
single coordinates, which keep moving where the covariance is a poor guide (funnels, bent ridges). After tuning nothing
is learnt any more, so the chain is a Markov chain and the target exactly invariant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bayeskit.inference.adaptation import (
    CovarianceState,
    ScaleState,
    proposal_cholesky,
    start_covariance,
    start_scale,
    target_acceptance,
    update_covariance,
    update_scale,
)
from bayeskit.inference.random_walk import LogDensity, elementwise_walk, joint_walk
from bayeskit.inference.slice import WIDTH_PER_JUMP, WidthState, slice_sample, start_width, update_width

__all__ = ["AdaptiveState", "Moves", "adaptive_sweep", "start_adaptive"]

FloatArray = npt.NDArray[np.float64]

# Share of the tuning sweeps that are rounds of slice sampling. Their first half teaches the covariance nothing: a
# distant start would look like a long axis.
SLICE_SHARE = 0.125
# A coordinate's proposal, in multiples of its mean jump under slice sampling, before it is tuned.
SCALE_PER_JUMP = 2.0


class AdaptiveState(NamedTuple):
    """Where the chains are and what they have learnt.

    Attributes
    ----------
    x, log_p
        Positions (chain, d) and their log densities (chain,).
    width
        Slice widths of the coordinates, (d,).
    coordinates
        Proposal scales of the coordinates, (chain, d).
    scale
        Multipliers of the joint proposal, (chain,).
    covariance
        Covariance of the draws of all chains.
    cholesky
        Its factor, (d, d), as proposed from.
    sweeps
        Tuning sweeps done.
    """

    x: FloatArray
    log_p: FloatArray
    width: WidthState
    coordinates: ScaleState
    scale: ScaleState
    covariance: CovarianceState
    cholesky: FloatArray
    sweeps: int


class Moves(NamedTuple):
    """What one sweep did, per chain: whether it moved at all, and the mean acceptance probability of joint steps."""

    accepted: npt.NDArray[np.bool_]
    acceptance_rate: FloatArray


def start_adaptive(x: FloatArray, log_p: FloatArray, scale: npt.ArrayLike = 1.0) -> AdaptiveState:
    """Begin at `x` (chain, d), of log density `log_p`; `scale` guesses the size of each coordinate."""
    chains, dimension = x.shape
    return AdaptiveState(
        x,
        log_p,
        start_width((dimension,), WIDTH_PER_JUMP * np.asarray(scale, float)),
        start_scale((chains, dimension), SCALE_PER_JUMP * np.asarray(scale, float)),
        start_scale((chains,), 2.38 / np.sqrt(dimension)),
        start_covariance(x, pooled=True),
        np.diag(np.broadcast_to(np.asarray(scale, float), dimension)),
        0,
    )


def adaptive_sweep(
    log_density: LogDensity, state: AdaptiveState, rng: np.random.Generator, *, steps: int, tune: int, tuning: bool
) -> tuple[AdaptiveState, Moves]:
    """Take `steps` joint steps and one round over the coordinates; learn from them where `tuning`.

    Parameters
    ----------
    log_density
        Takes `(chain, d)`, returns `(chain,)`.
    state
        State before the sweep; its densities must be finite.
    rng
        Source of randomness.
    steps
        Joint steps in this sweep.
    tune
        Length of the tuning, in sweeps: it fixes when slice sampling gives way to Metropolis steps.
    tuning
        Whether to learn.

    Examples
    --------
    >>> import numpy as np
    >>> log_density = lambda x: -0.5 * (x**2).sum(axis=-1)
    >>> x = np.zeros((4, 3))
    >>> state = start_adaptive(x, log_density(x))
    >>> state, moves = adaptive_sweep(log_density, state, np.random.default_rng(0), steps=6, tune=100, tuning=True)
    >>> state.x.shape, moves.acceptance_rate.shape
    ((4, 3), (4,))
    """
    if not tuning:
        return _metropolis_sweep(log_density, state, rng, steps, learn=False)
    if state.sweeps < SLICE_SHARE * tune:
        way_in = state.sweeps < 0.5 * SLICE_SHARE * tune
        state, moves = _slice_round(log_density, state, rng)
    else:
        way_in = False
        state, moves = _metropolis_sweep(log_density, state, rng, steps, learn=True)
    covariance = start_covariance(state.x, pooled=True) if way_in else update_covariance(state.covariance, state.x)
    cholesky = proposal_cholesky(covariance, (state.width.width / WIDTH_PER_JUMP) ** 2)[0]
    return state._replace(covariance=covariance, cholesky=cholesky, sweeps=state.sweeps + 1), moves


def _metropolis_sweep(
    log_density: LogDensity, state: AdaptiveState, rng: np.random.Generator, steps: int, *, learn: bool
) -> tuple[AdaptiveState, Moves]:
    """Joint steps, then one round over the coordinates."""
    x, log_p, scale = state.x, state.log_p, state.scale
    target = target_acceptance(x.shape[1])
    moved = np.zeros(len(x), bool)
    rate = np.zeros(len(x))
    multiplier = scale.scale
    for _ in range(steps):
        x, log_p, accepted, probability = joint_walk(log_density, x, log_p, multiplier, state.cholesky, rng)
        moved |= accepted
        rate += probability
        if learn:
            scale = update_scale(scale, probability, target)
            multiplier = scale.scale
    state = state._replace(x=x, log_p=log_p, scale=scale)
    state, moved_alone = _coordinate_round(log_density, state, rng, learn=learn)
    return state, Moves(moved | moved_alone, rate / steps)


def _coordinate_round(
    log_density: LogDensity, state: AdaptiveState, rng: np.random.Generator, *, learn: bool
) -> tuple[AdaptiveState, npt.NDArray[np.bool_]]:
    """One Metropolis step for each coordinate in turn; which chains moved."""
    x, log_p = state.x.copy(), state.log_p
    moved = np.zeros(len(x), bool)
    probability = np.empty_like(x)
    sizes = state.coordinates.scale
    for j in range(x.shape[1]):
        x[:, j], log_p, accepted, probability[:, j] = elementwise_walk(
            _along(log_density, x, j), x[:, j], log_p, sizes[:, j], rng
        )
        moved |= accepted
    state = state._replace(x=x, log_p=log_p)
    if learn:
        state = state._replace(coordinates=update_scale(state.coordinates, probability, target_acceptance(1)))
    return state, moved


def _slice_round(
    log_density: LogDensity, state: AdaptiveState, rng: np.random.Generator
) -> tuple[AdaptiveState, Moves]:
    """One slice update of each coordinate in turn; widths and proposal scales follow the jumps."""
    x, log_p = state.x.copy(), state.log_p
    for j in range(x.shape[1]):
        x[:, j], log_p, _ = slice_sample(_along(log_density, x, j), x[:, j], rng, width=state.width.width[j])
    moved = (x != state.x).any(axis=1)
    width = update_width(state.width, state.x, x)
    coordinates = start_scale(x.shape, width.width * (SCALE_PER_JUMP / WIDTH_PER_JUMP))
    return state._replace(x=x, log_p=log_p, width=width, coordinates=coordinates), Moves(moved, np.ones(len(x)))


def _along(log_density: LogDensity, x: FloatArray, j: int) -> LogDensity:
    """The density as a function of coordinate `j` alone, for every chain at once."""

    def along(value: FloatArray) -> npt.ArrayLike:
        point = x.copy()
        point[:, j] = value
        return log_density(point)

    return along
