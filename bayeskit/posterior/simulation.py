"""Draws from the prior, and from the prior predictive distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import draw_forward
from bayeskit.model.binding import bind, read
from bayeskit.model.problem import Problem
from bayeskit.posterior.export import build_datatree
from bayeskit.posterior.labels import constant_data, observed_data, with_dims

if TYPE_CHECKING:
    import xarray as xr

    from bayeskit.model import Model

Array = np.ndarray
_TRIES = 100


def simulate(model: Model, data: Any = None, *, draws: int = 1000, seed: Seed = None) -> xr.DataTree:
    """Draw everything that is not given from the prior; ``Model.simulate`` is this function."""
    from bayeskit.posterior.tree import derived_draws

    problem = bind(model, [read(model, data, {})], draw_observed=True)
    rng, seed_text = make_rng(seed)
    drawn = {n: v[None] for n, v in prior_draws(problem, rng, draws).items()}
    unknown = {n for n, r in model.random.items() if not r.observed}
    latents = {n: v for n, v in drawn.items() if n in unknown}
    groups = {
        "prior": with_dims(problem, latents) | derived_draws(problem, drawn),
        "prior_predictive": with_dims(problem, {n: v for n, v in drawn.items() if n not in unknown}),
        "observed_data": observed_data(problem)[0],
        "constant_data": constant_data(problem),
    }
    attrs = {"/": {"seed": seed_text}}
    return build_datatree({g: v for g, v in groups.items() if v}, coords=problem.coords, attrs=attrs)


def prior_draws(problem: Problem, rng: np.random.Generator, draws: int) -> dict[str, Array]:
    """Draw all latents from the prior, by rejection where the model has conditions: each ``(draws, *dims)``."""
    if problem.potentials:
        raise RefusedError(
            f"The prior cannot be drawn from: the term '{next(iter(problem.potentials))}' of m.factor has no sampler. "
            "Leave it out of the model to simulate."
        )
    for name, latent in problem.latents.items():
        if not latent.prior.distribution.is_proper:
            raise ImproperError(
                f"The prior cannot be drawn from: {latent.prior.distribution} of '{name}' is improper. "
                "Give it a proper prior to simulate."
            )
    names = list(problem.latents)
    drawn = draw_forward(problem, names, {}, rng, draws)
    if not problem.conditions:
        return drawn
    for _ in range(_TRIES):
        holds = np.isfinite(np.broadcast_to(problem.extra_log_density({**problem.env, **drawn}), (draws,)))
        if holds.all():
            return drawn
        fresh = draw_forward(problem, names, {}, rng, draws)
        drawn = {n: np.where(holds.reshape(-1, *(1,) * (v.ndim - 1)), v, fresh[n]) for n, v in drawn.items()}
    raise RefusedError(
        f"The conditions of m.require held in too few draws from the prior: after {_TRIES} rounds some draws still "
        "failed. Write priors that meet them more often."
    )
