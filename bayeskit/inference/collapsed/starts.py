"""Where the search for modes of a core starts: dispersed over the priors, on the unconstrained scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.initial import dispersed
from bayeskit.model.problem import Problem

Array = np.ndarray
_SEED = 20261122  # the proposal is part of the plan: it is the same whenever the plan is made
_EACH = 8  # starts of every kind


def dispersed_points(problem: Problem, density: CollapsedDensity) -> tuple[Array, Array]:
    """Return points ``(m, d)`` at which the density is positive, and its log ``(m,)``."""
    rng = np.random.default_rng(_SEED)
    with np.errstate(all="ignore"):
        states = list(dispersed(problem, _with_ancestors(problem, density.names), rng, _EACH))
        points = np.concatenate([density.scale.pack({**problem.env, **state}) for state in states])
    points = points[np.isfinite(points).all(axis=1)]
    values = density(points)
    inside = np.isfinite(values)
    return points[inside], values[inside]


def _with_ancestors(problem: Problem, names: Sequence[str]) -> list[str]:
    """Return latents and those above them, which may be integrated out: a prior is proposed from given its parents."""
    found, open_ = set(names), list(names)
    while open_:
        above = (problem.latents[open_.pop()].prior.parents & problem.latents.keys()) - found
        found |= above
        open_ += above
    return [n for n in problem.latents if n in found]
