"""Where chains start: dispersed over the middle of the priors, and inside the support of everything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayeskit.distributions.transforms import transform_of
from bayeskit.errors import RefusedError
from bayeskit.model.problem import Latent, Problem

Array = np.ndarray
_TRIES = 200
_LARGE = 1e3


def initial_state(problem: Problem, names: list[str], rng: np.random.Generator, chains: int) -> dict[str, Array]:
    """Return starting values for latents, each ``(chains, *dims)``, where the joint density is positive.

    Raises
    ------
    RefusedError
        Where no such start is found; the message names the factor whose density is zero.
    """
    state = _propose(problem, names, rng, chains)
    height = _log_joint(problem, state)
    for attempt in range(_TRIES):
        # Vague priors put their middles far from the data, informative ones where no unit scale would look: of a start
        # of either kind each chain takes the one of greater density.
        fresh = _propose(problem, names, rng, chains, spread=attempt % 2 == 0)
        height_of_fresh = _log_joint(problem, fresh)
        better = ~np.isfinite(height) | (height_of_fresh > height)
        state = {n: np.where(better.reshape(-1, *(1,) * (v.ndim - 1)), fresh[n], v) for n, v in state.items()}
        height = np.where(better, height_of_fresh, height)
        if np.isfinite(height).all():
            return state
    raise RefusedError(_no_start(problem, state))


def _log_joint(problem: Problem, state: Mapping[str, Array]) -> Array:
    with np.errstate(all="ignore"):
        total = problem.log_joint(state)
    total = np.where(np.isnan(total), -np.inf, total)
    return np.broadcast_to(total, (len(next(iter(state.values()))),)) if state else np.zeros(1)


def _propose(
    problem: Problem, names: list[str], rng: np.random.Generator, chains: int, *, spread: bool = False
) -> dict[str, Array]:
    state: dict[str, Array] = {}
    for name in names:
        latent = problem.latents[name]
        env = {**problem.env, **state}
        with np.errstate(all="ignore"):
            state[name] = _one(latent, env, rng, chains, spread)
    return state


def _one(latent: Latent, env: Mapping[str, Array], rng: np.random.Generator, chains: int, spread: bool) -> Array:
    distribution = latent.prior.distribution
    shape = (chains, *latent.shape)
    if latent.missing_from is not None and latent.prior.event:
        return rng.standard_normal(shape)
    arrays = [np.asarray(a) for a in latent.prior.parameter_arrays(env)]
    if distribution.discrete or latent.prior.event:
        try:
            return _sampled(latent, arrays, rng, chains)
        except RefusedError:
            pass
    if not spread and not latent.prior.event:
        try:
            u = rng.uniform(0.3, 0.7, shape)
            value = np.broadcast_to(np.asarray(distribution._quantile(u, *arrays), dtype=float), shape)
            if np.isfinite(value).all() and np.abs(value).max(initial=0) < _LARGE and (value != 0).all():
                return value.copy()
        except RefusedError:
            pass
    transform = transform_of(distribution, *arrays)
    event = len(latent.prior.event)
    tail = latent.shape[len(latent.shape) - event :]
    head = latent.shape[: len(latent.shape) - event]
    u = rng.uniform(-1.0, 1.0, (chains, *head, *transform.unconstrained_event_shape(tail)))
    return np.asarray(np.broadcast_to(transform.inverse(2.0 * u if spread else u), shape), dtype=float).copy()


def _sampled(latent: Latent, arrays: list[Array], rng: np.random.Generator, chains: int) -> Array:
    prior = latent.prior
    more = {"event_shape": latent.shape[-1:]} if prior.distribution.family == "Ordered" else {}
    value = prior.distribution._sample(rng, (chains, *prior.shape), *arrays, **more)
    return np.broadcast_to(value, (chains, *latent.shape)).copy()


def _no_start(problem: Problem, state: Mapping[str, Array]) -> str:
    env = {**problem.env, **state}
    with np.errstate(all="ignore"):
        culprits = [f.name for f in problem.factors if not np.isfinite(f.total(env)).any()]
    where = f"'{culprits[0]}' has density zero (or NaN)" if culprits else "a condition or a term of the density fails"
    return (
        f"No starting point was found in {_TRIES} tries: {where} at every one. "
        "Check the priors' ranges against the data, or the conditions given to m.require."
    )
