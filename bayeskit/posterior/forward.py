"""Exact marginals of what is drawn forward: missing entries, and latents nothing informs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeskit.inference.plan import Plan
from bayeskit.inference.predictive.cells import NoClosedForm
from bayeskit.inference.predictive.closed import predictive
from bayeskit.posterior.labels import wrapper

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


def exact_forward(plan: Plan, name: str) -> Distribution | None:
    """Return the marginal of a latent that is drawn forward, which is its predictive; None where it has none."""
    problem = plan.problem
    try:
        return predictive(plan, problem.env, problem.latents[name].prior, wrapper(problem, name))
    except NoClosedForm:
        return None
