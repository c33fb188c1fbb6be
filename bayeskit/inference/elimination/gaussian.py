"""The joint Gaussian block as an integrated piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import Refusal

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]


class GaussianPiece:
    """A joint Gaussian block, integrated out given its scales and whatever else lies outside it."""

    def __init__(self, block: GaussianBlock) -> None:
        self.block = block
        self.names = block.names
        self.factors = tuple(bf.factor for bf in block.factors)
        flat = [n for n in block.names if block.problem.latents[n].prior.distribution.family == "Flat"]
        self.factors += tuple(block.problem.latents[n].prior for n in flat)  # of density one: nothing is left of them

    @cached_property
    def cost(self) -> int:
        """Numbers held for every entry of the batch."""
        layout = self.block.layout
        cells = sum(bf.cells for bf in self.block.moving)
        loose = sum(bf.design.rows * (1 if bf.is_known else 1 + layout.rest) for bf in self.block.loose)
        return 3 * layout.size + cells + loose

    @property
    def reason(self) -> str:
        """Which children it is linear in."""
        observed = [bf.factor.name for bf in self.block.factors if not bf.factor.value.variables & set(self.names)]
        children = ", ".join(dict.fromkeys(f"'{n}'" for n in observed))
        return f"joint Gaussian: normal priors, and {children} normal and linear in them"

    def log_marginal(self, env: Environment) -> Array:
        """Return the log of the integral; -inf where the system is singular or has lost its digits."""
        batch = max((len(env[n]) for n in self._outside(env)), default=1)
        return np.broadcast_to(self._marginal({n: env[n] for n in env}, batch), (batch,))

    def _outside(self, env: Environment) -> list[str]:
        inside = set(self.names)
        needed = frozenset().union(*(bf.factor.variables for bf in self.block.factors)) - inside
        return [n for n in needed if n in env and n in self.block.problem.latents]

    def _marginal(self, env: dict[str, Array], batch: int) -> Array:
        try:
            return self.block.log_marginal(env)
        except np.linalg.LinAlgError:
            if batch == 1:
                return np.full(1, -np.inf)
        half = batch // 2  # one bad proposal spoils a batched factorisation: it is found by halving
        moving = [n for n in env if len(env[n]) == batch]
        parts = []
        for part, size in ((slice(None, half), half), (slice(half, None), batch - half)):
            value = self._marginal(env | {n: env[n][part] for n in moving}, size)
            parts.append(np.broadcast_to(value, (size,)))
        return np.concatenate(parts)

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw the block jointly."""
        return self.block.draw_with_density(env, rng, batch)

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Return a draw, its log density, and the log of the integral: -inf where the system is not sound."""
        log_marginal = self.log_marginal(env)
        return *self.draw(env, rng, batch), np.broadcast_to(log_marginal, (batch,))

    def linear(self, weights: Mapping[str, Array], env: Environment) -> tuple[Array, Array]:
        """Return means and variances of linear forms given the rest: weights ``(forms, *dims)``, ``(batch, forms)``."""
        block, layout = self.block, self.block.layout
        forms = len(next(iter(weights.values())))
        w = np.zeros((forms, block.total))
        for name, value in weights.items():
            start = block.columns[name]
            w[:, start : start + block.problem.latents[name].size] = value.reshape(forms, -1)
        system, _ = block.factored(env)
        mean = (layout.gather(*system.solve()) + block.pilot) @ w.T
        variance = np.empty(mean.shape)
        for i, row in enumerate(w):  # forms are few, nodes and unknowns many: one of them fills the arrays
            hw, hd = (np.broadcast_to(part, (len(mean), *part.shape[1:])) for part in layout.parts(row[None]))
            variance[:, i] = layout.gather(*system.solve_right(hw, hd)) @ row
        return mean, variance

    def peak(self, env: Environment) -> tuple[dict[str, Array], Array]:
        """Return the conditional mean, and the log density there."""
        system, _ = self.block.factored(env)
        x = self.block.layout.gather(*system.solve())
        values = self.block.values(x + self.block.pilot)
        return values, 0.5 * (system.log_det() - self.block.total * np.log(2 * np.pi))

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return Normal(mean, sd), element by element."""
        from bayeskit.distributions import Normal

        latent = self.block.problem.latents[name]
        if latent.prior.event and latent.missing_from is None:
            return Refusal("its entries are normal together, and mixtures of vectors are not given as distributions")
        layout = self.block.layout
        system, _ = self.block.factored(env)
        columns = slice(self.block.columns[name], self.block.columns[name] + latent.size)
        mean = (layout.gather(*system.solve()) + self.block.pilot)[:, columns]
        variance = layout.gather(*system.variances())[:, columns]
        batch = max(len(mean), len(variance))
        shape = (batch, *latent.shape)
        mean, variance = (np.broadcast_to(v, (batch, v.shape[1])).reshape(shape) for v in (mean, variance))
        return Normal(wrap(mean), wrap(np.sqrt(variance)))
