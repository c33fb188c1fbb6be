"""Posterior predictive draws: replicated data, and predictions for new values of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import draw_forward
from bayeskit.model.binding import bind, read
from bayeskit.model.problem import Problem
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.labels import constant_data, observed_data, own_dims, with_dims
from bayeskit.posterior.tree import replicate
from bayeskit.statistics.sufficient import must_have_rows

if TYPE_CHECKING:
    import xarray as xr

    from bayeskit.posterior.posterior import Posterior

Array = np.ndarray


def predict(
    posterior: Posterior, data: Any, *, draws: int, chains: int, seed: Seed, more: Mapping[str, Any]
) -> xr.DataTree:
    """Draw from the posterior predictive; ``Posterior.predict`` is this function."""
    if data is None and not more:
        must_have_rows(posterior._problem, "Replicated data")
    rng, seed_text = make_rng(seed)
    tree = posterior.sample(draws, chains=chains, seed=rng)
    problem = posterior._problem
    latents = {n: tree["posterior"][n].transpose("chain", "draw", ...).values for n in problem.latents}
    attrs = {"/": {"seed": seed_text}}
    posterior_group = with_dims(problem, latents)
    if data is None and not more:
        coords = dict(problem.coords) | observed_data(problem)[1]
        replicated = replicate(problem, latents, rng, (chains, draws))
        groups = {"posterior": posterior_group, "posterior_predictive": replicated}
        return build_datatree({g: own_dims(v, coords) for g, v in groups.items()}, coords=coords, attrs=attrs)
    random = posterior.model.random
    given = {n: v for n, v in read(posterior.model, data, more).items() if n not in random or not random[n].observed}
    wider = bind(posterior.model, [*posterior._batches, given], draw_observed=True)
    number = len(posterior._batches)
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in latents.items()}
    drawn = _draw_open(problem, wider, flat, rng, len(next(iter(flat.values()))) if flat else chains * draws)
    predictions = {}
    for name in posterior.model.random:
        inner = f"{name}@{number}"
        if inner in drawn:
            v = drawn[inner]
            predictions[name] = (wider.latents[inner].variable.dims, v.reshape(*(chains, draws), *v.shape[1:]))
    groups = {
        "posterior": posterior_group,
        "predictions": predictions,
        "predictions_constant_data": constant_data(wider, number),
    }
    local = {d: v for d, v in wider.batch_coords[number].items()}
    filled = {g: v for g, v in groups.items() if v}
    return build_datatree(filled, coords=problem.coords, pred_coords=local, attrs=attrs)


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
