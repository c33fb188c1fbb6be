"""Exact marginals under a plan: of latents, derived quantities, and what is drawn forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeskit.errors import RefusedError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.plan import Plan
from bayeskit.posterior.derived import exact_derived
from bayeskit.posterior.labels import wrapper

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


def exact_marginal(plan: Plan, name: str) -> Distribution:
    """Return the exact marginal of a latent or of a derived quantity under a plan."""
    problem = plan.problem
    if name in problem.derived:
        return exact_derived(plan, name)
    if name not in problem.latents:
        raise RefusedError(
            f"'{name}' is not a latent of the posterior. Its latents are {list(problem.latents)}, "
            f"derived {list(problem.derived)}."
        )
    wrap = wrapper(problem, name)
    component = plan.component_of(name)
    if component is not None:
        return component.marginal(name, wrap)
    collapsed = plan.collapsed_of(name)
    if collapsed is not None:
        marginal = collapsed.marginal(name, wrap)
        if isinstance(marginal, Refusal):
            raise RefusedError(f"'{name}' has no exact marginal here: {marginal}. Use sample() or summary().")
        return marginal
    if name in plan.forward:
        from bayeskit.posterior.forward import exact_forward

        forward = exact_forward(plan, name)
        if forward is not None:
            return forward
    raise RefusedError(f"'{name}' has no exact marginal here ({plan.notes[name]}). Use sample() or summary().")
