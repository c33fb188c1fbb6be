"""Exact marginals of what is drawn forward from a Gaussian component: missing entries, and latents nothing informs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeskit.expressions import aligner
from bayeskit.expressions.linear import ONE, NotLinear, linear_form
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.plan import Plan
from bayeskit.model.problem import Latent
from bayeskit.posterior.labels import wrapper
from bayeskit.posterior.linear_weights import linear_weights
from bayeskit.statistics.precision import Precision

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


def exact_forward(plan: Plan, name: str) -> Distribution | None:
    """Return the marginal of a normal latent about a linear form of one Gaussian component; None where it has none."""
    from bayeskit.distributions import Normal, StudentT

    problem, latent = plan.problem, plan.problem.latents[name]
    if latent.prior.distribution.family != "Normal":
        return None
    mean = latent.prior.parameter("mu")
    parents = sorted(mean.variables & set(problem.latents))
    component = plan.component_of(parents[0]) if parents else None
    if not isinstance(component, ExactGaussian) or not set(parents) <= set(component.block.names):
        return None
    if isinstance(linear_form(mean, set(parents), latent.prior.sizes), NotLinear):
        return None
    noise = _noise(plan, component, latent)
    if noise is None:
        return None
    weights, offset = linear_weights(problem, mean, parents, latent.prior.sizes)
    centre, variance = component.linear(weights)
    own = [latent.prior.sizes[d] for d in mean.dims]
    lay = aligner(mean.dims, latent.variable.dims)
    location = np.broadcast_to(lay((centre + offset).reshape(1, *own))[0], latent.shape)
    spread = np.broadcast_to(lay(variance.reshape(1, *own))[0], latent.shape) + noise.reshape(latent.shape)
    wrap = wrapper(problem, name)
    if component.scale is None:
        return Normal(wrap(location), wrap(np.sqrt(spread)))
    unit = float(component.rate[0] / component.shape[0])
    return StudentT(float(2 * component.shape[0]), wrap(location), wrap(np.sqrt(unit * spread)))


def _noise(plan: Plan, component: ExactGaussian, latent: Latent) -> np.ndarray | None:
    """Return the latent's own variance at unit scale: known, or a known multiple of the component's one scale."""
    precision = Precision(latent.prior, set(plan.problem.env), plan.problem.env)
    scale = component.scale
    if precision.latent is None:
        return None if scale is not None else 1.0 / precision.weight
    if scale is None or component.cells != 1 or precision.latent.variables != {scale.latent.name}:
        return None
    form = power_form(precision.latent, scale.latent.name)
    if isinstance(form, NotPower) or form.coefficient is not ONE or -2.0 * form.exponent != scale.exponent:
        return None
    return 1.0 / precision.weight
