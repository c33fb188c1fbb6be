"""Where chains start: dispersed over the middle of the priors, and inside the support of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bayeskit.conjugate.families import BetaBinomialFamily, ParetoFamily
from bayeskit.distributions.transforms import transform_of
from bayeskit.errors import RefusedError
from bayeskit.inference.conjugacy import ConjugateUpdate, match
from bayeskit.inference.enumeration import Enumeration, enumeration
from bayeskit.model.problem import Latent, Problem

Array = np.ndarray
_TRIES = 200
_LARGE = 1e3
# Half-widths of starts on the unconstrained scale. The small ones are for coefficients of columns that come in large
# units: exp(gamma * 1000) has a start in sight only where gamma is small.
_WIDTHS = (2.0, 1.0, 0.1, 0.01, 0.001)

_FAMILIES = (ParetoFamily, BetaBinomialFamily)
_BOUNDED = {"Uniform", "Hypergeometric"}  # children that say how far at least their parent lies


def initial_state(problem: Problem, names: list[str], rng: np.random.Generator, chains: int) -> dict[str, Array]:
    """Return starting values for latents, each ``(chains, *dims)``, where the joint density is positive.

    Raises
    ------
    RefusedError
        Where no such start is found; the message names the factor whose density is zero.
    """
    state = _propose(problem, names, rng, chains)
    height = _log_joint(problem, state)
    listed = [enumeration(problem, n) for n in names if problem.latents[n].prior.distribution.discrete]
    finite = [e for e in listed if isinstance(e, Enumeration)]
    bounds = _bounds(problem, names)
    for attempt in range(_TRIES):
        # Vague priors put their middles far from the data, informative ones where no unit scale would look: of starts
        # of every kind each chain takes the one of greatest density.
        width = _WIDTHS[attempt // 2 % len(_WIDTHS)]
        fresh = _propose(problem, names, rng, chains, width=width, middle=attempt % 2 == 1)
        height_of_fresh = _log_joint(problem, fresh)
        if finite and not np.isfinite(height_of_fresh).all():
            fresh = _with_possible_labels(problem, finite, fresh, rng)
            height_of_fresh = _log_joint(problem, fresh)
        if bounds and not np.isfinite(height_of_fresh).all():
            fresh = _with_possible_bounds(problem, bounds, fresh, rng)
            height_of_fresh = _log_joint(problem, fresh)
        better = ~np.isfinite(height) | (height_of_fresh > height)
        state = {n: np.where(better.reshape(-1, *(1,) * (v.ndim - 1)), fresh[n], v) for n, v in state.items()}
        height = np.where(better, height_of_fresh, height)
        if attempt + 1 >= 2 * len(_WIDTHS) and np.isfinite(height).all():
            return state
    raise RefusedError(_no_start(problem, state))


def dispersed(
    problem: Problem, names: Sequence[str], rng: np.random.Generator, count: int
) -> Iterator[dict[str, Array]]:
    """Yield starts of every kind, ``count`` of each, whatever their density."""
    for width in _WIDTHS:
        yield _propose(problem, names, rng, count, width=width, middle=False)
    yield _propose(problem, names, rng, count)
    far = _propose(problem, names, rng, count, largest=np.inf)
    if any(value.size and value.min() >= _LARGE for value in far.values()):  # scales of data in small units
        yield far


def _with_possible_labels(
    problem: Problem, finite: list[Enumeration], state: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Return a start whose impossible labels are drawn again given the rest.

    An animal that was caught is in the population: of many such labels a draw from the prior always gets some wrong.
    """
    state = dict(state)
    with np.errstate(all="ignore"):
        for listed in finite:
            env = {**problem.env, **state}
            logs = listed.log_weights(env)
            logs = np.where(np.isnan(logs), -np.inf, logs)
            chains = len(state[listed.name])
            drawn = _drawn(logs, listed.values, rng, chains)
            height = np.where(state[listed.name][..., None] == listed.values, logs, -np.inf).max(axis=-1)
            state[listed.name] = np.where(np.isfinite(height), state[listed.name], drawn)
    return state


def _bounds(problem: Problem, names: Sequence[str]) -> list[ConjugateUpdate]:
    """Return the latents that must lie beyond what is seen of their children, where that is a conjugate matter."""
    asked = [n for n in names if any(f.distribution.family in _BOUNDED for f in problem.children_of(n))]
    found = [match(problem, n) for n in asked]
    return [u for u in found if isinstance(u, ConjugateUpdate) and isinstance(u.family, _FAMILIES)]


def _with_possible_bounds(
    problem: Problem, bounds: list[ConjugateUpdate], state: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Return a start whose elements that some of their children lie beyond are drawn again given the rest."""
    state = dict(state)
    with np.errstate(all="ignore"):
        for update in bounds:
            name, env = update.latent.name, {**problem.env, **state}
            height = update.log_density(env)
            drawn = update.draw(env, rng, len(state[name]))
            state[name] = np.where(np.isfinite(height), state[name], drawn)
    return state


def _drawn(logs: Array, values: Array, rng: np.random.Generator, chains: int) -> Array:
    """Draw values by their log weights (Gumbel's way: a row of zeros is no trouble)."""
    logs = np.broadcast_to(logs, (chains, *logs.shape[1:]))
    return values[np.argmax(logs + rng.gumbel(size=logs.shape), axis=-1)]


def _log_joint(problem: Problem, state: Mapping[str, Array]) -> Array:
    with np.errstate(all="ignore"):
        total = problem.log_joint(state)
    total = np.where(np.isnan(total), -np.inf, total)
    return np.broadcast_to(total, (len(next(iter(state.values()))),)) if state else np.zeros(1)


def _propose(
    problem: Problem,
    names: Sequence[str],
    rng: np.random.Generator,
    chains: int,
    width: float = 1.0,
    middle: bool = True,
    largest: float = _LARGE,
) -> dict[str, Array]:
    state: dict[str, Array] = {}
    for name in names:
        latent = problem.latents[name]
        env = {**problem.env, **state}
        with np.errstate(all="ignore"):
            state[name] = _one(latent, env, rng, chains, width, middle, largest)
    return state


def _one(
    latent: Latent,
    env: Mapping[str, Array],
    rng: np.random.Generator,
    chains: int,
    width: float,
    middle: bool,
    largest: float,
) -> Array:
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
    if middle and not latent.prior.event:
        try:
            u = rng.uniform(0.3, 0.7, shape)
            value = np.broadcast_to(np.asarray(distribution._quantile(u, *arrays), dtype=float), shape)
            if np.isfinite(value).all() and np.abs(value).max(initial=0) < largest and (value != 0).all():
                return value.copy()
        except RefusedError:
            pass
    transform = transform_of(distribution, *arrays)
    event = len(latent.prior.event)
    tail = latent.shape[len(latent.shape) - event :]
    head = latent.shape[: len(latent.shape) - event]
    u = rng.uniform(-1.0, 1.0, (chains, *head, *transform.unconstrained_event_shape(tail)))
    return np.asarray(np.broadcast_to(transform.inverse(width * u), shape), dtype=float).copy()


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
