"""The joint Gaussian block as an integrated piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.arrow import Factored
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Latent

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]
_MOST_COVARIANCES = 4_000_000  # numbers held at once
_HELD = 2_000_000  # of the unknowns of systems that are held at once


class GaussianPiece:
    """A joint Gaussian block, integrated out given its scales and whatever else lies outside it."""

    def __init__(self, block: GaussianBlock) -> None:
        self.block = block
        self.names: tuple[str, ...] = block.names
        self.factors = tuple(bf.factor for bf in block.factors)
        flat = [n for n in block.names if block.problem.latents[n].prior.distribution.family == "Flat"]
        self.factors += tuple(block.problem.latents[n].prior for n in flat)  # of density one: nothing is left of them

    @cached_property
    def cost(self) -> int:
        """Numbers held for every entry of the batch."""
        layout = self.block.layout
        cells = sum(bf.cells for bf in self.block.moving)
        if self.block.is_static and self.block.classes is not None:
            return cells + self.block.classes.cost
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

    def linear_distribution(
        self, weights: Mapping[str, Array], offset: Array, env: Environment, wrap: Callable[..., Any]
    ) -> Distribution:
        """Return linear forms of the block given the rest: Normal."""
        from bayeskit.distributions import Normal

        mean, variance = self.linear(weights, env)
        variance = np.maximum(variance, 1e-24 * variance.max(axis=0))  # a contrast may vanish with the core's scale
        return Normal(wrap(mean + offset), wrap(np.sqrt(variance)))

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return Normal(mean, sd), element by element; of vectors MvNormal, jointly."""
        from bayeskit.distributions import MvNormal, Normal

        found = self.moments(name, env)
        if isinstance(found, Refusal):
            return found
        mean, spread, joint = found
        return MvNormal(wrap(mean), wrap(spread, matrix=True)) if joint else Normal(wrap(mean), wrap(np.sqrt(spread)))

    def moments(self, name: str, env: Environment) -> tuple[Array, Array, bool] | Refusal:
        """Return means and variances of a latent given the rest, ``(batch, *dims)``; covariances where it is vectors.

        The last entry says which; covariances are ``(batch, *plates, d, d)``. The systems of some entries of the batch
        are held at a time.
        """
        latent = self.block.problem.latents[name]
        outside = {n: env[n] for n in self._outside(env)}
        batch = max((len(v) for v in outside.values()), default=1)
        joint = bool(latent.prior.event) and latent.missing_from is None
        tail = latent.shape[-1:] if joint else ()
        if joint and batch * latent.size * latent.shape[-1] > _MOST_COVARIANCES:
            return Refusal("its entries are normal together, and their covariances at every node of the core are many")
        mean, spread = np.empty((batch, *latent.shape)), np.empty((batch, *latent.shape, *tail))
        step = max(1, _HELD // self.block.layout.size)
        for start in range(0, batch, step):
            at = slice(start, start + step)
            here = {n: v if len(v) == 1 else v[at] for n, v in outside.items()}
            mean[at], spread[at] = self._moments(latent, {**env, **here}, joint)
        return mean, spread, joint

    def _moments(self, latent: Latent, env: Environment, joint: bool) -> tuple[Array, Array]:
        layout = self.block.layout
        system, _ = self.block.factored(env)
        columns = slice(self.block.columns[latent.name], self.block.columns[latent.name] + latent.size)
        mean = (layout.gather(*system.solve()) + self.block.pilot)[:, columns]
        if joint:
            spread = self._covariances(system, columns.start, latent.size, latent.shape[-1], latent)
        else:
            spread = layout.gather(*system.variances())[:, columns].reshape(-1, *latent.shape)
        return mean.reshape(-1, *latent.shape), spread

    def _covariances(self, system: Factored, start: int, size: int, d: int, latent: Latent) -> Array:
        """Return the blocks of the covariance at vectors of d entries: ``(batch, *plates, d, d)``."""
        layout, batch = self.block.layout, len(system.xd)
        result = np.empty((batch, size // d, d, d))
        for k in range(size):  # entries are few, nodes many: one of them fills the arrays
            unit = np.zeros((1, self.block.total))
            unit[0, start + k] = 1.0
            hw, hd = (np.broadcast_to(part, (batch, *part.shape[1:])) for part in layout.parts(unit))
            solved = layout.gather(*system.solve_right(hw, hd))
            first = start + k // d * d
            result[:, k // d, k % d] = solved[:, first : first + d]
        result = 0.5 * (result + result.swapaxes(-1, -2))
        return result.reshape(batch, *latent.shape, d)
