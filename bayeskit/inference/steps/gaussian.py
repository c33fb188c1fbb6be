"""The joint Gaussian step: the block, and the scales above it.

Scales that block and scale would hold fast are updated by slice sampling with the block integrated out; then the block
is drawn given them, and the other scales given the block.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bayeskit.distributions.transforms import transform_of
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.slice import WidthState, slice_sample, start_width, update_width
from bayeskit.inference.steps.scales import BlockScale, PlainScales
from bayeskit.model.problem import Problem

Array = np.ndarray
Environment = Mapping[str, Array]


class GaussianStep:
    """Update the scales above a block, and draw the block given them."""

    def __init__(self, problem: Problem, block: GaussianBlock, scales: list[BlockScale]) -> None:
        self.problem, self.block = problem, block
        self.integrated = [s for s in scales if s.is_integrated]
        plain = [s for s in scales if not s.is_integrated and PlainScales.fits(problem, s)]
        self.conjugate = [s for s in scales if not s.is_integrated and s not in plain]
        self.plain = PlainScales(problem, plain, len(block.sums))
        self.scales = scales
        self.names = (*block.names, *(s.latent.name for s in scales))
        layout = block.layout
        shape = f"{block.total} number{'s' if block.total > 1 else ''}"
        if layout.groups > 1:
            shape += f" ({layout.groups} groups of {layout.width}, {layout.rest} beside them)"
        self.label = f"joint Gaussian block of {shape}: normal priors, normal children linear in them"

    def start(self, env: Environment, chains: int) -> dict[str, WidthState]:
        """Begin with widths of one."""
        return {s.latent.name: start_width(s.latent.shape) for s in self.integrated}

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: dict[str, WidthState], tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Update the integrated scales, draw the block, then draw the conjugate scales."""
        state = dict(env)
        for scale in self.integrated:
            name = scale.latent.name
            before, after, value = self._slice(scale, state, rng, learnt[name])
            state[name] = value
            if tuning:
                learnt = {**learnt, name: update_width(learnt[name], before, after)}
        values, x = self.block.draw(state, rng, chains)
        values |= {s.latent.name: state[s.latent.name] for s in self.integrated}
        if self.conjugate or self.plain.scales:
            sums = self.block.residual_sums(x)
            values |= self.plain.draw(sums, rng)
            state |= values
            for scale in self.conjugate:
                assert scale.family is not None
                naturals = scale.naturals(state, sums, rng)
                drawn = scale.family.sample(naturals, rng)
                values[scale.latent.name] = state[scale.latent.name] = drawn
        return values, learnt, {}

    def _slice(
        self, scale: BlockScale, state: dict[str, Array], rng: np.random.Generator, learnt: WidthState
    ) -> tuple[Array, Array, Array]:
        """Slice one scale, element by element, on the density with the block integrated out."""
        prior, name = scale.latent.prior, scale.latent.name
        transform = transform_of(prior.distribution, *prior.parameter_arrays(state))
        before = u = transform.forward(state[name])
        shape, size = u.shape, scale.latent.size
        flat, width = u.reshape(u.shape[0], size), np.broadcast_to(learnt.width, scale.latent.shape).reshape(size)

        def log_density(element: Array, i: int) -> Array:
            moved = flat.copy()
            moved[:, i] = element
            v = moved.reshape(shape)
            here = {**state, name: transform.inverse(v)}
            own = prior.log_prob(here) + transform.log_jacobian(v)
            return self._marginal(here) + own.reshape(own.shape[0], -1).sum(axis=1)

        with np.errstate(all="ignore"):
            for i in range(size):
                flat = flat.copy()
                flat[:, i] = slice_sample(partial(log_density, i=i), flat[:, i], rng, width=width[i], name=name)[0]
        after = flat.reshape(shape)
        return before, after, transform.inverse(after)

    def _marginal(self, env: Environment) -> Array:
        """Return the block's log marginal; -inf for every chain where a precision is lost in rounding."""
        try:
            return self.block.log_marginal(env)
        except np.linalg.LinAlgError:
            return self._marginal_by_chain(env)

    def _marginal_by_chain(self, env: Environment) -> Array:
        chains = max(v.shape[0] for v in env.values())
        result = np.full(chains, -np.inf)
        for c in range(chains):
            one = {n: v if v.shape[0] == 1 else v[c : c + 1] for n, v in env.items()}
            try:
                result[c] = self.block.log_marginal(one)[0]
            except np.linalg.LinAlgError:
                continue
        return result
