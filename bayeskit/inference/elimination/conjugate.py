"""A conjugate plate as an integrated piece: it leaves the difference of its log normalisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.conjugacy import ConjugateUpdate

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]


class ConjugatePiece:
    """A latent that is in its own natural family given the rest, integrated out."""

    def __init__(self, update: ConjugateUpdate) -> None:
        self.update = update
        self.names = (update.latent.name,)
        self.factors = (update.latent.prior, *(c.factor for c in update.contributions))
        rows = ", ".join(dict.fromkeys(c.label for c in update.contributions))
        self.reason = f"conjugate: {update.latent.prior.distribution} prior with {rows}"
        moving = [c.factor for c in update._moving]
        self.cost = 6 * update.latent.size + 2 * sum(int(np.prod(f.shape, dtype=int)) for f in moving)

    def log_marginal(self, env: Environment) -> Array:
        """Return the difference of log normalisers, and what the children carry."""
        return self.update.log_evidence(env)

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw from the conditional."""
        return self._drawn(env, rng, batch, self.update.log_gain(env))

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Draw from the conditional, and return the difference of log normalisers too."""
        gain = self.update.log_gain(env)
        return *self._drawn(env, rng, batch, gain), np.broadcast_to(self.update.log_evidence(env, gain), (batch,))

    def _drawn(
        self, env: Environment, rng: np.random.Generator, batch: int, gain: Array | None
    ) -> tuple[dict[str, Array], Array]:
        naturals = self.update.naturals(env)
        if max(n.shape[0] for n in naturals) < batch:
            naturals = tuple(np.broadcast_to(n, (batch, *n.shape[1:])) for n in naturals)
        family = self.update.family
        x = family.sample(naturals, rng)
        with np.errstate(all="ignore"):
            normaliser = self.update.log_normaliser(env, gain)
            logs = family.log_kernel(x, naturals) + family.log_jacobian(x) - normaliser
        return {self.names[0]: x}, logs.reshape(batch, -1).sum(axis=1)

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution:
        """Return the family's own distribution."""
        return self.update.family.distribution(self.update.naturals(env), wrap)
