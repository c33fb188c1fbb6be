"""Adaptive random-walk Metropolis on the unconstrained scale, for latents jointly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeskit.inference.adaptive_walk import AdaptiveState, adaptive_sweep, start_adaptive
from bayeskit.inference.unconstrained import Unconstrained
from bayeskit.model.problem import Problem

Array = np.ndarray
Environment = Mapping[str, Array]


class MetropolisStep:
    """Joint and component-wise random-walk steps, scaled by Robbins-Monro and Haario, frozen after tuning.

    Parameters
    ----------
    problem : Problem
        The bound model.
    names : sequence of str
        Continuous latents.
    scale : float or mapping
        First guess of the size of a step: one for all, or one for each latent (1 where it has none).
    tune : int
        Tuning sweeps, known beforehand because the adaptation is scheduled over them.
    steps : int, optional
        Joint steps a sweep; by default twice the dimension, at least 10 (2 for a single number).
    """

    def __init__(
        self,
        problem: Problem,
        names: Sequence[str],
        reason: str,
        *,
        scale: float | Mapping[str, float] = 1.0,
        steps: int | None = None,
    ) -> None:
        self.space = Unconstrained(problem, names)
        self.names = tuple(self.space.names)
        self.scale, self.steps, self.tune = scale, steps, 1000
        self.label = f"adaptive Metropolis: {reason}"

    def start(self, env: Environment, chains: int) -> AdaptiveState:
        """Begin at the state."""
        x = self.space.pack(env)
        if self.steps is None:
            self.steps = max(10, 2 * x.shape[1]) if x.shape[1] > 1 else 2
        with np.errstate(all="ignore"):
            return start_adaptive(x, self.space.log_density(x, env), self._scales(env))

    def _scales(self, env: Environment) -> float | Array:
        if not isinstance(self.scale, Mapping):
            return self.scale
        sizes = self.space.sizes(env)
        return np.concatenate([np.full(sizes[n], self.scale.get(n, 1.0)) for n in self.names])

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: AdaptiveState, tuning: bool
    ) -> tuple[dict[str, Array], AdaptiveState, dict[str, Array]]:
        """Take a round of steps; the rest of the state may have moved since the last one."""
        assert self.steps is not None

        def log_density(vector: Array) -> Array:
            return self.space.log_density(vector, env)

        with np.errstate(all="ignore"):
            x = self.space.pack(env)
            here = learnt._replace(x=x, log_p=log_density(x))
            after, moves = adaptive_sweep(log_density, here, rng, steps=self.steps, tune=self.tune, tuning=tuning)
            values, _ = self.space.unpack(after.x, env)
        return values, after, {"acceptance_rate": moves.acceptance_rate, "accepted": moves.accepted}
