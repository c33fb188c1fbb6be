"""The DataTree of a run: which group holds what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.plan import Plan
from bayeskit.inference.sweep import Draws, draw_factor
from bayeskit.model.labels import Coords
from bayeskit.model.problem import Factor, Problem
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.labels import Group, append, constant_data, observed_data, own_dims, with_dims

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
GROUPS = ("log_likelihood", "log_prior", "prior", "posterior_predictive")
_CHUNK = 20_000_000


def to_tree(
    plan: Plan, run: Draws, rng: np.random.Generator, include: Sequence[str], attributes: Mapping[str, Any]
) -> xr.DataTree:
    """Export a run: its draws, derived quantities, data, and the groups asked for."""
    problem = plan.problem
    observed, grown = observed_data(problem)
    latents = with_dims(problem, run.latents)
    groups: dict[str, Group] = {
        "posterior": latents | derived_draws(problem, run.latents),
        "sample_stats": {n: ((), v) for n, v in run.stats.items()},
        "observed_data": observed,
        "constant_data": constant_data(problem),
    }
    if "log_likelihood" in include:
        groups["log_likelihood"] = log_likelihood(problem, run.latents, grown)
    if "log_prior" in include:
        groups["log_prior"] = log_prior(problem, run.latents)
    if "posterior_predictive" in include:
        groups["posterior_predictive"] = replicate(problem, run.latents, rng, run.stats["lp"].shape)
    if "prior" in include:
        from bayeskit.posterior.simulation import prior_draws

        chains, draws = run.stats["lp"].shape
        prior = prior_draws(problem, rng, chains * draws)
        shaped = {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in prior.items()}
        groups["prior"] = with_dims(problem, shaped) | derived_draws(problem, shaped)
    own = {**attributes, "sampling_time": float(run.seconds), "tuning_steps": int(run.tune)}
    attrs = {"posterior": {**own, "sampled_variables": list(latents)}, "sample_stats": own, "/": dict(attributes)}
    coords = _coords(problem) | grown
    filled = {g: own_dims(v, coords) for g, v in groups.items() if v}
    return build_datatree(filled, coords=coords, attrs={g: a for g, a in attrs.items() if g in filled or g == "/"})


def _coords(problem: Problem) -> dict[str, Any]:
    """Return the labels of the dims; numbers as ranges, for ten million of them would be copied into every group."""
    import pandas as pd

    coords = problem.coords
    if not isinstance(coords, Coords):
        return dict(coords)
    return {d: pd.RangeIndex(coords.size(d)) if coords.is_numbered(d) else coords[d] for d in coords}


def _by_chunks(problem: Problem, draws: Mapping[str, Array], function: Any, largest: int) -> Array:
    """Evaluate a function of the state over all draws, in chunks: ``(chain, draw, ...)``."""
    chains, count = next(iter(draws.values())).shape[:2]
    flat = {n: v.reshape(chains * count, *v.shape[2:]) for n, v in draws.items()}
    size = max(1, _CHUNK // max(1, largest))
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, chains * count, size):
            env = {**problem.env, **{n: v[start : start + size] for n, v in flat.items()}}
            value = np.asarray(function(env))
            length = min(size, chains * count - start)
            parts.append(np.broadcast_to(value, (length, *value.shape[1:])))
    joined = np.concatenate(parts)
    return joined.reshape(chains, count, *joined.shape[1:])


def derived_draws(problem: Problem, draws: Mapping[str, Array]) -> Group:
    """Return the derived quantities of every draw."""
    if not draws:
        return {}
    group: Group = {}
    for name, expression in problem.derived.items():
        largest = int(np.prod([problem.sizes.get(d, 1) for d in expression.dims], dtype=int))
        for part in (expression, *problem.derived_later.get(name, ())):
            values = _by_chunks(problem, draws, part.evaluate, largest)
            append(problem, group, {}, name, part.dims, part.dims, values, lead=2)
    return group


def _likelihood_factors(problem: Problem) -> list[Factor]:
    """Return the factors of observed cells row by row, batch by batch."""
    random = problem.model.random
    return [o.known for o in problem.observations if o.known is not None and random[o.name].observed]


def log_likelihood(problem: Problem, draws: Mapping[str, Array], grown: dict[str, Array]) -> Group:
    """Return the log likelihood of every observed cell, summed over event dims; batches as in ``observed_data``."""
    group: Group = {}
    if not draws:
        return group
    for factor in _likelihood_factors(problem):
        largest = int(np.prod(factor.shape, dtype=int))
        values = _by_chunks(problem, draws, factor.log_prob, largest)
        append(problem, group, grown, factor.name, factor.plates, factor.plates, values, lead=2)
    return group


def log_prior(problem: Problem, draws: Mapping[str, Array]) -> Group:
    """Return the log prior density of every latent, on its own scale."""
    group: Group = {}
    for name, latent in problem.latents.items():
        if latent.missing_from is None:
            factor = latent.prior
            group[name] = (factor.plates, _by_chunks(problem, draws, factor.log_prob, latent.size))
    return group


def replicate(
    problem: Problem,
    draws: Mapping[str, Array],
    rng: np.random.Generator,
    shape: tuple[int, int],
    draw: Callable[..., Array] = draw_factor,
) -> Group:
    """Return replicated data: every observation drawn anew from its distribution; ``shape`` counts chains and draws."""
    group: Group = {}
    total = shape[0] * shape[1]
    flat = {n: v.reshape(total, *v.shape[2:]) for n, v in draws.items()}
    for o in problem.observations:
        if not problem.model.random[o.name].observed:
            continue
        size = max(1, _CHUNK // max(1, o.values.size))
        parts = []
        for start in range(0, total, size):
            env = {**problem.env, **{n: v[start : start + size] for n, v in flat.items()}}
            parts.append(draw(o.factor, env, rng, min(size, total - start)))
        values = np.concatenate(parts)
        values = values.reshape(*shape, *values.shape[1:])
        append(problem, group, {}, o.name, o.factor.plates, o.factor.plates + o.factor.event, values, lead=2)
    return group
