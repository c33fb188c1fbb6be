"""Finite latents: the conditional of every element by enumerating its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.demands import known_parameters
from bayeskit.inference.elementwise import Elementwise, elementwise
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
_MOST_VALUES = 1000


def finite_values(factor: Factor, env: Environment) -> Array | Refusal:
    """Return the values a finite variable may take, or why they cannot be listed."""
    family = factor.distribution.family
    if family == "Bernoulli":
        return np.arange(2)
    if family == "Categorical":
        return np.arange(factor.sizes[factor.layouts[0][-1]])
    if not factor.distribution.discrete:
        return Refusal(f"{family} is continuous")
    lower, upper = (np.asarray(b, dtype=float) for b in factor.distribution._bounds(*known_parameters(factor, env)))
    if not (np.all(np.isfinite(lower)) and np.all(np.isfinite(upper))):
        return Refusal(f"{family} has no known finite range")
    if upper.max() - lower.min() >= _MOST_VALUES:
        return Refusal(f"{family} has {int(upper.max() - lower.min()) + 1} values, too many to enumerate")
    return np.arange(int(lower.min()), int(upper.max()) + 1)


@dataclass(frozen=True, eq=False)
class Enumeration:
    """A finite latent whose elements are independent given the rest."""

    conditional: Elementwise
    values: Array

    @property
    def name(self) -> str:
        """Name of the latent."""
        return self.conditional.latent.name

    def log_weights(self, env: Environment) -> Array:
        """Return the joint log density with each value in turn: ``(batch, *dims, values)``."""
        shape = (1, *self.conditional.latent.shape)
        each = [
            self.conditional.log_density({**env, self.name: np.full(shape, v, dtype=np.int64)}) for v in self.values
        ]
        full = np.broadcast_shapes(*(e.shape for e in each))
        return np.stack([np.broadcast_to(e, full) for e in each], axis=-1)

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> Array:
        """Draw every element given the rest: ``(batch, *dims)``."""
        logs = self.log_weights(env)
        logs = np.broadcast_to(logs, (batch, *logs.shape[1:]))
        weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
        cumulative = np.cumsum(weights, axis=-1)
        u = rng.random((*cumulative.shape[:-1], 1)) * cumulative[..., -1:]
        picked = (u >= cumulative).sum(axis=-1)
        return self.values[np.minimum(picked, len(self.values) - 1)]


def enumeration(problem: Problem, name: str) -> Enumeration | Refusal:
    """Return a finite latent's conditional by enumeration, or why it has none."""
    latent = problem.latents[name]
    values = finite_values(latent.prior, problem.env)
    if isinstance(values, Refusal):
        return values
    conditional = elementwise(problem, name)
    return conditional if isinstance(conditional, Refusal) else Enumeration(conditional, values)


__all__ = ["Enumeration", "enumeration", "finite_values"]
