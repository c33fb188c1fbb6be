"""Slice sampling of a latent, every element at once on its own conditional density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayeskit.distributions.transforms import transform_of
from bayeskit.inference.elementwise import Elementwise
from bayeskit.inference.slice import WidthState, slice_sample, start_width, update_width
from bayeskit.inference.unconstrained import log_jacobian

Array = np.ndarray
Environment = Mapping[str, Array]


class SliceStep:
    """Univariate slice sampling on the unconstrained scale; whole numbers by the unit step above each (Neal 2003)."""

    def __init__(self, conditional: Elementwise, reason: str, *, joins: bool = False) -> None:
        self.conditional, self.joins = conditional, joins  # joins: may be moved into a joint step
        self.latent = conditional.latent
        self.names: tuple[str, ...] = (self.latent.name,)
        self.label = f"slice sampling: {reason}"

    def start(self, env: Environment, chains: int) -> WidthState:
        """Begin with a width of one."""
        return start_width(self.latent.shape)

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: WidthState, tuning: bool
    ) -> tuple[dict[str, Array], WidthState, dict[str, Array]]:
        """Update every element of every chain once."""
        move = self._whole_numbers if self.latent.prior.distribution.discrete else self._continuous
        before, after, value = move(env, rng, learnt)
        return {self.names[0]: value}, update_width(learnt, before, after) if tuning else learnt, {}

    def _continuous(self, env: Environment, rng: np.random.Generator, learnt: WidthState) -> tuple[Array, Array, Array]:
        prior = self.latent.prior
        transform = transform_of(prior.distribution, *prior.parameter_arrays(env))

        def log_density(u: Array) -> Array:
            x = transform.inverse(u)
            return self.conditional.log_density({**env, self.names[0]: x}) + log_jacobian(transform, u, x)

        u = transform.forward(env[self.names[0]])
        with np.errstate(all="ignore"):
            new, _, _ = slice_sample(log_density, u, rng, width=learnt.width, name=self.names[0])
        return u, new, transform.inverse(new)

    def _whole_numbers(
        self, env: Environment, rng: np.random.Generator, learnt: WidthState
    ) -> tuple[Array, Array, Array]:
        """Sample a real number whose floor is the value: its density is constant over each unit step."""
        here, prior = env[self.names[0]], self.latent.prior
        parameters = prior.parameter_arrays(env)

        def log_density(u: Array) -> Array:
            value = np.floor(u)
            outside = prior.distribution._outside(value, *parameters)
            inside = np.where(outside, here, value).astype(np.int64)  # children may not be asked beyond the support
            return np.where(outside, -np.inf, self.conditional.log_density({**env, self.names[0]: inside}))

        u = env[self.names[0]] + rng.random(env[self.names[0]].shape)
        with np.errstate(all="ignore"):
            new, _, _ = slice_sample(log_density, u, rng, width=learnt.width, name=self.names[0])
        return u, new, np.floor(new).astype(np.int64)
