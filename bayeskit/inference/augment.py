r"""Augmentation, for sweeps alone: Student-t and Laplace factors as scale mixtures of normals.

.. math:: y \sim t_\nu(\mu, \sigma): \quad y \mid \lambda \sim N(\mu, \sigma^2 / \lambda),\;
          \lambda \sim \mathrm{Gamma}(\nu/2, \nu/2); \qquad
          y \sim \mathrm{Laplace}(\mu, b): \quad y \mid w \sim N(\mu, w),\; w \sim \mathrm{Exp}(1 / (2 b^2)).

Source: Gelman et al. (2013), Bayesian Data Analysis, sec. 17.2; Andrews and Mallows (1974), JRSS B 36.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from bayeskit.expressions import Expression, Variable, as_expression
from bayeskit.inference.structure import GAUSSIAN_PRIORS
from bayeskit.model.problem import Factor, Latent, Problem

MIXED = ("StudentT", "Laplace")
SUFFIX = "__mixing"


def augment(problem: Problem, sampled: Collection[str]) -> tuple[Problem, dict[str, str]]:
    """Return the problem with mixed factors made normal, and what was done: text by factor name.

    Only factors that a sampled latent with a normal (or mixed) prior enters through the mean, or that are the prior of
    such a latent, are rewritten; elsewhere the mixture would only add unknowns.
    """
    factors, latents, notes = [], dict(problem.latents), {}
    for number, factor in enumerate(problem.factors):
        if factor.distribution.family not in MIXED or not _is_worth(problem, factor, sampled):
            factors.append(factor)
            continue
        mixing, normal, latent = _mixture(factor, f"{factor.name}_{number}{SUFFIX}")
        factors += [mixing, normal]
        owner = next((n for n, entry in latents.items() if entry.prior is factor), None)
        if owner is None:
            latents[latent.name] = latent
        else:  # parents come before their children
            at = list(latents).index(owner)
            entries = list((latents | {owner: replace(latents[owner], prior=normal)}).items())
            latents = dict([*entries[:at], (latent.name, latent), *entries[at:]])
        notes[factor.name] = f"{factor.distribution.family} as a scale mixture of normals"
    return replace(problem, factors=tuple(factors), latents=latents), notes


def _is_worth(problem: Problem, factor: Factor, sampled: Collection[str]) -> bool:
    normal = {n for n in sampled if problem.latents[n].prior.distribution.family in (*GAUSSIAN_PRIORS, *MIXED)}
    return bool((factor.parameter("mu").variables | factor.value.variables) & normal)


def _mixture(factor: Factor, name: str) -> tuple[Factor, Factor, Latent]:
    """Return the factor of the mixing numbers, the normal factor given them, and the latent they are."""
    from bayeskit.distributions import Exponential, Gamma, Normal

    variable = Variable(name, factor.plates)
    lay = factor.plates
    mu = factor.parameter("mu")
    if factor.distribution.family == "StudentT":
        half = as_expression(factor.parameter("nu")) / 2.0
        mixing = replace_factor(factor, name, Gamma(half, half), variable, (half, half), (lay, lay))
        scale: Expression = factor.parameter("sigma") / np.sqrt(variable)
    else:
        rate = 0.5 * as_expression(factor.parameter("b")) ** -2.0
        mixing = replace_factor(factor, name, Exponential(rate), variable, (rate,), (lay,))
        scale = as_expression(np.sqrt(variable))
    normal = replace_factor(factor, factor.name, Normal(mu, scale), factor.value, (mu, scale), (lay, lay))
    return mixing, normal, Latent(name, variable, factor.shape, mixing)


def replace_factor(
    factor: Factor,
    name: str,
    distribution: object,
    value: Expression,
    parameters: tuple[Expression, ...],
    layouts: tuple[tuple[str, ...], ...],
) -> Factor:
    """Return a factor on the same plates with another distribution."""
    return Factor(name, distribution, value, parameters, layouts, factor.plates, (), factor.sizes)  # type: ignore[arg-type]
