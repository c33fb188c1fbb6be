"""Posterior predictive draws: replicated data, and predictions for new values of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import draw_factor, draw_forward
from bayeskit.model.problem import Factor, Problem
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.labels import constant_data, observed_data, own_dims, with_dims
from bayeskit.posterior.tree import replicate

if TYPE_CHECKING:
    import xarray as xr

    from bayeskit.posterior.posterior import Posterior

Array = np.ndarray


def draw_predictive(
    posterior: Posterior, wider: Problem | None, *, noise: bool, draws: int, chains: int, seed: Seed
) -> xr.DataTree:
    """Draw from the posterior predictive; ``Prediction.sample`` is this function.

    Parameters
    ----------
    posterior : Posterior
        What is known.
    wider : Problem or None
        The problem with the new rows as its last batch; None for replicated data.
    noise : bool
        Whether observations are drawn, or their expected values given the latents taken.
    draws, chains, seed
        As for ``Posterior.sample``.
    """
    rng, seed_text = make_rng(seed)
    tree = posterior.sample(draws, chains=chains, seed=rng)
    problem = posterior._problem
    latents = {n: tree["posterior"][n].transpose("chain", "draw", ...).values for n in problem.latents}
    attrs = {"/": {"seed": seed_text}}
    posterior_group = with_dims(problem, latents)
    if wider is None:
        coords = dict(problem.coords) | observed_data(problem)[1]
        replicated = replicate(problem, latents, rng, (chains, draws), draw_factor if noise else expected_value)
        groups = {"posterior": posterior_group, "posterior_predictive": replicated}
        return build_datatree({g: own_dims(v, coords) for g, v in groups.items()}, coords=coords, attrs=attrs)
    number = len(posterior._batches)
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in latents.items()}
    drawn = _draw_open(problem, wider, flat, rng, chains * draws)
    predictions = {}
    for name in posterior.model.random:
        inner = f"{name}@{number}"
        if inner in drawn:
            latent = wider.latents[inner]
            v = drawn[inner]
            if not noise:
                v = expected_value(latent.prior, {**wider.env, **drawn}, rng, chains * draws)
            predictions[name] = (latent.variable.dims, v.reshape(chains, draws, *v.shape[1:]))
    groups = {
        "posterior": posterior_group,
        "predictions": predictions,
        "predictions_constant_data": constant_data(wider, number),
    }
    local = {d: v for d, v in wider.batch_coords[number].items()}
    filled = {g: v for g, v in groups.items() if v}
    return build_datatree(filled, coords=problem.coords, pred_coords=local, attrs=attrs)


def expected_value(factor: Factor, env: Mapping[str, Array], rng: np.random.Generator, batch: int) -> Array:
    """Return the expected value of a factor given its parents, in the place of a draw: ``(batch, *plates, *event)``."""
    if factor.distribution.family == "Categorical":
        raise RefusedError(
            f"The expected value of '{factor.name.partition('@')[0]}' must be a number. Got categories, which have "
            "none. Record their probabilities with m.derived, or predict with include_noise=True."
        )
    with np.errstate(all="ignore"):
        value = np.asarray(factor.distribution._mean(*factor.parameter_arrays(env)))
    return np.array(np.broadcast_to(value, (batch, *factor.shape, *(factor.sizes[d] for d in factor.event))))


def _draw_open(
    problem: Problem, wider: Problem, known: Mapping[str, Array], rng: np.random.Generator, batch: int
) -> dict[str, Array]:
    """Draw what the posterior does not hold: entries of latents at new labels, and the new observations."""
    state: dict[str, Array] = {}
    for name, latent in wider.latents.items():
        if name in known and known[name].shape[1:] == latent.shape:
            state[name] = known[name]
            continue
        state |= draw_forward(wider, [name], state, rng, batch)
        if name in known:
            places = [_places(problem.coords[d], wider.coords[d]) for d in problem.latents[name].variable.dims]
            state[name] = np.array(state[name])
            state[name][np.ix_(np.arange(batch), *places)] = known[name]
    return state


def _places(old: Array, new: Array) -> Array:
    place = {v: i for i, v in enumerate(new.tolist())}
    return np.asarray([place[v] for v in old.tolist()])
