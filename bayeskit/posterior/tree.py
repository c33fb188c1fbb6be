"""The DataTree of a run: which group holds what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.plan import Plan
from bayeskit.inference.sweep import Draws, draw_factor
from bayeskit.model.problem import Factor, Problem
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.labels import Group, constant_data, coordinates, observed_data, with_dims

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
        groups["log_likelihood"] = log_likelihood(problem, run.latents)
    if "log_prior" in include:
        groups["log_prior"] = log_prior(problem, run.latents)
    if "posterior_predictive" in include:
        groups["posterior_predictive"] = replicate(problem, run.latents, rng)
    if "prior" in include:
        from bayeskit.posterior.simulation import prior_draws

        chains, draws = run.stats["lp"].shape
        prior = prior_draws(problem, rng, chains * draws)
        shaped = {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in prior.items()}
        groups["prior"] = with_dims(problem, shaped) | derived_draws(problem, shaped)
    own = {**attributes, "sampling_time": float(run.seconds), "tuning_steps": int(run.tune)}
    attrs = {"posterior": {**own, "sampled_variables": list(latents)}, "sample_stats": own, "/": dict(attributes)}
    coords = coordinates(problem) | grown
    return build_datatree({g: v for g, v in groups.items() if v}, coords=coords, attrs=attrs)


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
        group[name] = (expression.dims, _by_chunks(problem, draws, expression.evaluate, largest))
    return group


def _likelihood_factors(problem: Problem) -> dict[str, Factor]:
    """Return the factors of observed cells, by the name they are exported under."""
    known = set(problem.latents)
    found: dict[str, Factor] = {}
    for factor in problem.factors:
        if factor.value.variables & known or factor.name not in problem.model.random:
            continue
        if not problem.model.random[factor.name].observed:
            continue
        name, number = factor.name, 2
        while name in found:
            name, number = f"{factor.name}_{number}", number + 1
        found[name] = factor
    return found


def log_likelihood(problem: Problem, draws: Mapping[str, Array]) -> Group:
    """Return the log likelihood of every observed cell, summed over event dims."""
    group: Group = {}
    for name, factor in _likelihood_factors(problem).items():
        largest = int(np.prod(factor.shape, dtype=int))
        dims = tuple(d if factor.sizes[d] == problem.sizes.get(d) else f"{d}_{name}" for d in factor.plates)
        group[name] = (dims, _by_chunks(problem, draws, factor.log_prob, largest))
    return group


def log_prior(problem: Problem, draws: Mapping[str, Array]) -> Group:
    """Return the log prior density of every latent, on its own scale."""
    group: Group = {}
    for name, latent in problem.latents.items():
        if latent.missing_from is None:
            factor = latent.prior
            group[name] = (factor.plates, _by_chunks(problem, draws, factor.log_prob, latent.size))
    return group


def replicate(problem: Problem, draws: Mapping[str, Array], rng: np.random.Generator) -> Group:
    """Return replicated data: every observation drawn anew from its distribution."""
    group: Group = {}
    for o in problem.observations:
        if not problem.model.random[o.name].observed or o.name in group:
            continue

        def draw(env: Mapping[str, Array], factor: Factor = o.factor) -> Array:
            batch = max(v.shape[0] for v in env.values())
            return draw_factor(factor, env, rng, batch)

        largest = int(np.prod(o.values.shape, dtype=int))
        values = _by_chunks(problem, draws, draw, largest) if draws else draw(problem.env)[None]
        group[o.name] = (o.factor.plates + o.factor.event, values)
    return group
