"""Exact marginals of derived quantities: linear forms of a Gaussian component, sums of shares, powers of a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.linear import ONE, LinearForm, NotLinear, linear_form
from bayeskit.expressions.power import PowerForm, power_form
from bayeskit.inference.exact import ExactComponent, ExactConjugate
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.plan import Plan
from bayeskit.posterior.labels import wrapper

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
    found = {id(c): c for c in (plan.component_of(n) for n in latents) if c is not None}
    if len(found) != 1 or any(plan.component_of(n) is None for n in latents):
        raise _refuse(name, f"{expression} depends on {', '.join(repr(n) for n in latents) or 'no latent'}, "
                      "which are not one exact component")  # fmt: skip
    (component,) = found.values()
    power = _power(plan, component, expression, latents)
    if power is not None:
        return power
    form = linear_form(expression, set(latents), problem.sizes)
    if isinstance(form, NotLinear):
        raise _refuse(name, f"{form}")
    if isinstance(component, ExactGaussian):
        return _gaussian(plan, component, name, expression, form)
    return _shares(plan, component, name, expression, form)


def _refuse(name: str, reason: str) -> RefusedError:
    return RefusedError(f"The derived '{name}' has no exact marginal: {reason}. Use sample(), which draws it.")


def _power(plan: Plan, component: ExactComponent, expression: Expression, latents: list[str]) -> Distribution | None:
    """Return the distribution of a power of one latent of positive numbers; None where the expression is none."""
    from bayeskit.distributions import Power
    from bayeskit.errors import ParameterError

    form = power_form(expression, latents[0]) if len(latents) == 1 else None
    if not isinstance(form, PowerForm) or form.exponent == 1.0 or form.coefficient is not ONE:
        return None
    if any(position != dim for dim, position in form.positions.items()):
        return None
    marginal, exponent = component.marginal(latents[0], wrapper(plan.problem, latents[0])), form.exponent
    if isinstance(marginal, Power):  # a standard deviation is a power of its variance already
        exponent *= marginal.exponent
        marginal = marginal.base
    if exponent == 1.0:
        return marginal
    try:
        return Power(marginal, exponent)
    except ParameterError:  # of numbers that may be negative
        return None


def _weights(plan: Plan, expression: Expression, latents: list[str]) -> tuple[dict[str, Array], Array]:
    """Return weights by latent ``(cells, *dims)`` and the offset, by evaluating the expression at unit vectors."""
    problem = plan.problem
    cells = int(np.prod([problem.sizes[d] for d in expression.dims], dtype=int))
    zero = {n: np.zeros((1, *problem.latents[n].shape)) for n in latents}
    offset = np.asarray(expression.evaluate({**problem.env, **zero}), dtype=float).reshape(-1)
    weights = {}
    for n in latents:
        size = problem.latents[n].size
        unit = np.eye(size).reshape(size, *problem.latents[n].shape)
        value = np.asarray(expression.evaluate({**problem.env, **zero, n: unit}), dtype=float)
        value = np.broadcast_to(value.reshape(value.shape[0], -1), (size, cells)) - offset
        weights[n] = value.T.reshape(cells, *problem.latents[n].shape)
    return weights, np.broadcast_to(offset, (cells,))


def _label(plan: Plan, expression: Expression, values: Array) -> Any:
    import xarray as xr

    if not expression.dims:
        return float(values.reshape(()))
    sizes = [plan.problem.sizes[d] for d in expression.dims]
    coords = {d: plan.problem.coords[d] for d in expression.dims}
    return xr.DataArray(values.reshape(sizes), dims=expression.dims, coords=coords)


def _gaussian(
    plan: Plan, component: ExactGaussian, name: str, expression: Expression, form: LinearForm
) -> Distribution:
    from bayeskit.distributions import Normal, StudentT

    names = [n for n in component.block.names if n in expression.variables]
    scale = component.scale
    if scale is not None and scale.latent.name in expression.variables:
        raise _refuse(name, f"it mixes coefficients with their scale '{scale.latent.name}'")
    weights, offset = _weights(plan, expression, names)
    mean, variance = component.linear(weights)
    mean = mean + offset
    if scale is None:
        return Normal(_label(plan, expression, mean), _label(plan, expression, np.sqrt(variance)))
    if component.cells > 1:
        raise _refuse(name, f"'{scale.latent.name}' has one value a group")
    nu, spread = 2 * component.shape[0], np.sqrt(component.rate[0] / component.shape[0] * variance)
    return StudentT(float(nu), _label(plan, expression, mean), _label(plan, expression, spread))


def _shares(plan: Plan, component: ExactComponent, name: str, expression: Expression, form: LinearForm) -> Distribution:
    """Return the sum of some entries of a Dirichlet: Beta(sum of their alphas, sum of the others)."""
    from bayeskit.distributions import Beta

    if not isinstance(component, ExactConjugate) or component.update.family.name not in ("Dirichlet", "Beta"):
        if isinstance(expression, Variable):
            raise _refuse(name, "it is a latent under another name; ask for that")
        raise _refuse(name, f"{expression} is not of a family with a closed form")
    (latent,) = component.names
    weights, offset = _weights(plan, expression, [latent])
    w = weights[latent].reshape(len(offset), -1)
    if component.update.family.name == "Beta":
        if len(offset) == 1 and w.shape[1] == 1 and w[0, 0] == -1 and offset[0] == 1:
            a, b = (float(n.reshape(())) for n in component.naturals)
            return Beta(b, a)
        raise _refuse(name, f"{expression} is not a share of '{latent}'")
    if np.any(offset != 0) or not np.all((w == 0) | (w == 1)) or component.update.latent.prior.plates:
        raise _refuse(name, f"{expression} is not a sum of entries of '{latent}'")
    alpha = component.naturals[0].reshape(-1)
    inside = w @ alpha
    return Beta(_label(plan, expression, inside), _label(plan, expression, alpha.sum() - inside))
