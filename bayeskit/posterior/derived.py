"""Exact marginals of derived quantities: linear forms of Gaussians and of shares, monotone functions of one latent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ParameterError, RefusedError
from bayeskit.expressions import Expression
from bayeskit.expressions.linear import ONE, NotLinear, linear_form
from bayeskit.expressions.power import PowerForm, power_form
from bayeskit.inference.collapsed.lines import LineCore
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.exact import ExactComponent, ExactConjugate
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.plan import Plan
from bayeskit.inference.predictive.weights import linear_weights
from bayeskit.model.problem import Problem
from bayeskit.posterior.finite import NotFinite, as_finite, of_finite
from bayeskit.posterior.labels import wrapper
from bayeskit.posterior.monotone import NotMonotone, monotone_marginal
from bayeskit.posterior.shares import of_shares

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def exact_derived(plan: Plan, name: str) -> Distribution:
    """Return the exact marginal of a derived quantity.

    Raises
    ------
    RefusedError
        Where it has no closed form; the message says why and names ``sample``.
    """
    problem = plan.problem
    expression = problem.derived[name]
    latents = sorted(expression.variables & set(problem.latents))
    below = [plan.collapsed_of(n) for n in latents]
    if below and all(c is not None and c is below[0] for c in below):
        return _of_collapsed(plan, below[0], name, expression, latents)
    found = {id(c): c for c in (plan.component_of(n) for n in latents) if c is not None}
    if len(found) != 1 or any(plan.component_of(n) is None for n in latents):
        raise _refuse(name, f"{expression} depends on {', '.join(repr(n) for n in latents) or 'no latent'}, "
                      "which are not one exact component")  # fmt: skip
    (component,) = found.values()
    form = linear_form(expression, set(latents), problem.sizes)
    if not isinstance(form, NotLinear):
        if isinstance(component, ExactGaussian) and set(latents) <= set(component.block.names) and component.cells == 1:
            return _gaussian(plan, component, expression)
        if isinstance(component, ExactConjugate) and component.update.family.name == "Dirichlet":
            return _shares(plan, component, name, expression)
    finite = as_finite(problem, component)
    if finite is not None:
        try:
            return of_finite(problem, finite, expression)
        except NotFinite as reason:
            raise _refuse(name, f"{reason}") from None
    if len(latents) == 1:
        base = component.marginal(latents[0], wrapper(problem, latents[0]))
        return _of_one(plan, base, name, expression, latents[0])
    if isinstance(form, NotLinear):
        raise _refuse(name, f"{form}")
    raise _refuse(name, _no_line(component, latents, expression))


def _refuse(name: str, reason: str) -> RefusedError:
    return RefusedError(f"The derived '{name}' has no exact marginal: {reason}. Use sample(), which draws it.")


def _no_line(component: ExactComponent, latents: list[str], expression: Expression) -> str:
    """Say why a linear form of several latents of a component has no family."""
    scale = component.scale if isinstance(component, ExactGaussian) else None
    if scale is None:
        return f"{expression} is not of a family with a closed form"
    if scale.latent.name in latents:
        return f"it mixes coefficients with their scale '{scale.latent.name}'"
    return f"'{scale.latent.name}' has one value a group"


def _of_collapsed(plan: Plan, component: Any, name: str, expression: Expression, latents: list[str]) -> Distribution:
    """Return linear forms of what lies below a core of one number, and monotone functions of any one latent."""
    problem = plan.problem
    if isinstance(component, LineCore) and not isinstance(
        linear_form(expression, set(latents), problem.sizes), NotLinear
    ):
        weights, offset = linear_weights(problem, expression, latents, problem.sizes)
        linear = component.linear(weights, offset, lambda values: _label(plan, expression, np.asarray(values)))
        if linear is not None:
            return linear
    if len(latents) > 1:
        raise _refuse(name, f"{expression} is no linear form of one Gaussian block under a core of one number")
    base = component.marginal(latents[0], wrapper(problem, latents[0]))
    if isinstance(base, Refusal):
        raise _refuse(name, f"that of '{latents[0]}' is not known: {base}")
    return _of_one(plan, base, name, expression, latents[0])


def _of_one(plan: Plan, base: Distribution, name: str, expression: Expression, latent: str) -> Distribution:
    """Return the distribution of a monotone function of one latent, among them powers in which it stands twice."""
    problem = plan.problem

    def label(part: Expression) -> Any:
        if not part.variables <= problem.env.keys():
            raise NotMonotone(f"{part} is not known")
        sizes = [problem.sizes[d] for d in part.dims]
        with np.errstate(all="ignore"):
            value = np.asarray(part.evaluate(problem.env), dtype=float)[0]
        return _label(plan, part, np.broadcast_to(value, sizes))

    try:
        return _power(problem, expression, latent, base, label) or monotone_marginal(
            problem, expression, latent, base, label
        )
    except NotMonotone as reason:
        raise _refuse(name, f"{reason}") from None


def _power(
    problem: Problem, expression: Expression, latent: str, base: Distribution, label: Callable[[Expression], Any]
) -> Distribution | None:
    """Return the distribution of a power of a latent of positive numbers; None where the expression is none."""
    from bayeskit.distributions.elementary import Affine, ToPower
    from bayeskit.distributions.transformed import transformed

    form = power_form(expression, latent)
    dims = problem.latents[latent].variable.dims
    if not isinstance(form, PowerForm) or base.event_ndim or base.discrete:
        return None
    if any(not isinstance(p, str) or p != dim for dim, p in form.positions.items()) or (
        dims and set(expression.dims) != set(dims)
    ):
        return None
    try:
        # The form holds for positive numbers: a power other than one makes sure of it.
        power = transformed(base, ToPower(2.0), ToPower(0.5 * form.exponent))
        return power if form.coefficient is ONE else transformed(power, Affine(label(form.coefficient)))
    except ParameterError:
        return None


def _label(plan: Plan, expression: Expression, values: Array) -> Any:
    import xarray as xr

    if not expression.dims:
        return float(values.reshape(()))
    sizes = [plan.problem.sizes[d] for d in expression.dims]
    coords = {d: plan.problem.coords[d] for d in expression.dims}
    return xr.DataArray(values.reshape(sizes), dims=expression.dims, coords=coords)


def _gaussian(plan: Plan, component: ExactGaussian, expression: Expression) -> Distribution:
    """Return the linear form of a Gaussian block: Normal, or Student-t where the scale was integrated out."""
    from bayeskit.distributions import Normal, StudentT

    names = [n for n in component.block.names if n in expression.variables]
    weights, offset = linear_weights(plan.problem, expression, names, plan.problem.sizes)
    mean, variance = component.linear(weights)
    mean = mean + offset
    if component.scale is None:
        return Normal(_label(plan, expression, mean), _label(plan, expression, np.sqrt(variance)))
    nu, spread = 2 * component.shape[0], np.sqrt(component.rate[0] / component.shape[0] * variance)
    return StudentT(float(nu), _label(plan, expression, mean), _label(plan, expression, spread))


def _shares(plan: Plan, component: ExactConjugate, name: str, expression: Expression) -> Distribution:
    """Return a linear form of the entries of a Dirichlet."""
    (latent,) = component.names
    weights, offset = linear_weights(plan.problem, expression, [latent], plan.problem.sizes)
    cells = np.prod(plan.problem.latents[latent].shape[-len(plan.problem.latents[latent].prior.event) :], dtype=int)
    alpha = component.naturals[0].reshape(-1, cells)
    w = weights[latent].reshape(len(offset), *alpha.shape)
    why = f"The derived '{name}' has no exact marginal: {expression} is no share of '{latent}'"
    return of_shares(alpha, w, offset, lambda values: _label(plan, expression, values), why)
