"""Exact marginals of functions of one finite latent: the function at each of its values, with that value's probability.

A number looked up in a known grid, ``grid[i]`` with a Categorical ``i``, is the plainest of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ParameterError
from bayeskit.expressions import Expression, aligner
from bayeskit.inference.elementwise import is_own_place
from bayeskit.inference.enumeration import Enumeration, enumeration
from bayeskit.inference.exact import ExactComponent, ExactFinite
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


class NotFinite(Exception):
    """Why an expression is not known to be a number for each value of a finite latent."""


def as_finite(problem: Problem, component: ExactComponent) -> ExactFinite | None:
    """Return a component as values with their probabilities; None where it is not one discrete latent, or too large."""
    if isinstance(component, ExactFinite):
        return component
    (name, *others) = component.names
    if others or not problem.latents[name].prior.distribution.discrete:
        return None
    listed = enumeration(problem, name)
    return ExactFinite(problem, listed) if isinstance(listed, Enumeration) else None


def of_finite(problem: Problem, component: ExactFinite, expression: Expression) -> Distribution:
    """Return the distribution of a function of a finite latent, over the numbers it takes.

    Raises
    ------
    NotFinite
        Where a cell depends on several elements of the latent, or a number is infinite.
    """
    from bayeskit.distributions.finite import FiniteDiscrete

    latent = problem.latents[component.names[0]]
    dims, values = latent.variable.dims, component.found.values
    if not set(dims) <= set(expression.dims) or not is_own_place(expression, latent.name):
        raise NotFinite(f"a cell of {expression} depends on several elements of '{latent.name}'")
    each = np.broadcast_to(values.reshape(-1, *(1,) * len(dims)), (len(values), *latent.shape))
    shape = (len(values), *(problem.sizes[d] for d in expression.dims))
    with np.errstate(all="ignore"):
        numbers = np.asarray(expression.evaluate({**problem.env, latent.name: each}), dtype=float)
    p = aligner(dims, expression.dims)(np.moveaxis(np.exp(component.log_p), -1, 0))
    sorted_numbers, sorted_p = _merged(*(np.moveaxis(np.broadcast_to(a, shape), 0, -1) for a in (numbers, p)))
    try:
        return FiniteDiscrete(*(_labelled(problem, expression, latent.name, a) for a in (sorted_numbers, sorted_p)))
    except ParameterError:
        raise NotFinite(f"{expression} is not finite at every value of '{latent.name}'") from None


def _merged(numbers: Array, p: Array) -> tuple[Array, Array]:
    """Sort along the last axis; of equal numbers the last one has the probability of all."""
    order = np.argsort(numbers, axis=-1)
    numbers, p = (np.take_along_axis(a, order, axis=-1) for a in (numbers, p))
    last = np.ones(numbers.shape, dtype=bool)
    last[..., :-1] = numbers[..., 1:] != numbers[..., :-1]
    if last.all():
        return numbers, p
    group = np.cumsum(last, axis=-1) - last  # how many different numbers come before
    sums = (p[..., None, :] * (group[..., None, :] == np.arange(p.shape[-1])[:, None])).sum(axis=-1)
    return numbers, np.where(last, np.take_along_axis(sums, group, axis=-1), 0.0)


def _labelled(problem: Problem, expression: Expression, name: str, values: Array) -> Any:
    import xarray as xr

    if not expression.dims:
        return values
    coords = {d: problem.coords[d] for d in expression.dims}
    return xr.DataArray(values, dims=(*expression.dims, f"{name}_value"), coords=coords)
