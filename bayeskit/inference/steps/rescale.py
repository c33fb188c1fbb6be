r"""A scale moved together with the normal latents below it: their standardised values stay, so the latents stretch.

Given the latents, a scale above many of them (or above a few the data say little about) hardly moves. Here the scale
:math:`s` is updated given :math:`z = (b - \mu) / \sigma(s)` and not given b, with the density

.. math:: p(s) \prod_{y} p\bigl(y \mid b = \mu + \sigma(s) z\bigr),

as the prior of b and the Jacobian of the stretch cancel. In a sweep that also has the step given b, the two together
mix where either alone does not.

Source: Yu and Meng (2011), To center or not to center, Journal of Computational and Graphical Statistics 20, 531-570.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bayeskit.distributions.transforms import transform_of
from bayeskit.expressions.power import PowerForm, power_form
from bayeskit.inference.slice import WidthState, slice_sample, start_width, update_width
from bayeskit.inference.unconstrained import log_jacobian
from bayeskit.model.problem import Factor, Latent, Problem

Array = np.ndarray
Environment = Mapping[str, Array]


class RescaleStep:
    """Slice sampling of one scale on its unconstrained scale, the latents below it stretched with it."""

    def __init__(self, problem: Problem, scale: Latent, below: list[Latent]) -> None:
        self.problem, self.scale, self.below = problem, scale, below
        self.names = (scale.name, *(b.name for b in below))
        priors = {id(scale.prior), *(id(b.prior) for b in below)}
        self.children = [f for f in problem.factors_of(self.names) if id(f) not in priors]
        self.label = "moved a second time with " + ", ".join(f"'{b.name}'" for b in below) + " stretched along"

    def start(self, env: Environment, chains: int) -> WidthState:
        """Begin with a width of one."""
        return start_width(())

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: WidthState, tuning: bool
    ) -> tuple[dict[str, Array], WidthState, dict[str, Array]]:
        """Update the scale, and stretch."""
        prior = self.scale.prior
        transform = transform_of(prior.distribution, *prior.parameter_arrays(env))
        fixed = [_standardised(b.prior, env) for b in self.below]

        def moved(s: Array) -> dict[str, Array]:
            state = {**env, self.scale.name: s}
            stretched = {b.name: _stretched(b.prior, state, z) for b, z in zip(self.below, fixed, strict=True)}
            return state | stretched

        def log_density(u: Array) -> Array:
            s = transform.inverse(u)
            state = moved(s)
            total = prior.total(state) + log_jacobian(transform, u, s)
            for child in self.children:
                total = total + child.total(state)
            return total

        before = transform.forward(np.broadcast_to(env[self.scale.name], (chains,)))
        with np.errstate(all="ignore"):
            after, _, _ = slice_sample(log_density, before, rng, width=learnt.width, name=self.scale.name)
            state = moved(transform.inverse(after))
        values = {n: state[n] for n in self.names}
        return values, update_width(learnt, before, after) if tuning else learnt, {}


def rescale_step(problem: Problem, name: str, candidates: Collection[str]) -> RescaleStep | None:
    """Return the step for one number that scales normal priors of some of the candidates; None where there are none."""
    scale = problem.latents[name]
    if scale.variable.dims or scale.prior.distribution.discrete or problem.terms_of(name):
        return None
    priors = {id(problem.latents[n].prior): problem.latents[n] for n in candidates}
    below = [priors[id(f)] for f in problem.children_of(name) if id(f) in priors and _is_scaled(f, name)]
    names = {b.name for b in below}
    chained = any(f.parameter("mu").variables & names for f in (b.prior for b in below))
    tied = any(problem.terms_of(n) for n in names) or any(f.variables & names for f in [scale.prior])
    return None if not below or chained or tied else RescaleStep(problem, scale, below)


def _is_scaled(factor: Factor, name: str) -> bool:
    """Whether a factor is normal, with a power of the variable as its sd and its mean free of it."""
    if factor.distribution.family != "Normal" or name in factor.parameter("mu").variables:
        return False
    return isinstance(power_form(factor.parameter("sigma"), name), PowerForm)


def _standardised(prior: Factor, env: Environment) -> Array:
    mu, sigma = prior.parameter_arrays(env)
    return np.asarray((prior.value_array(env) - mu) / sigma)


def _stretched(prior: Factor, env: Environment, z: Array) -> Any:
    mu, sigma = prior.parameter_arrays(env)
    return mu + sigma * z
