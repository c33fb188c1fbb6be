"""A conjugate plate as an integrated piece: it leaves the difference of its log normalisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families import Naturals
from bayeskit.inference.conjugacy import ConjugateUpdate
from bayeskit.inference.elimination.alike import together

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]


class ConjugatePiece:
    """A latent that is in its own natural family given the rest, integrated out.

    Parameters
    ----------
    update : ConjugateUpdate
        The latent and its children.
    """

    def __init__(self, update: ConjugateUpdate) -> None:
        self.update = update
        self.alike, self.apart = together(update)
        self.names = (update.latent.name,)
        self.factors = (update.latent.prior, *(c.factor for c in update.contributions))
        rows = ", ".join(dict.fromkeys(c.label for c in update.contributions))
        self.reason = f"conjugate: {update.latent.prior.distribution} prior with {rows}"
        moving = [c.factor for c in update._moving]
        cells = update.latent.size if self.alike is None else self.alike.classes
        terms = 0 if self.apart is None else self.apart.total.cost
        self.cost = max(6 * cells, terms) + 2 * sum(int(np.prod(f.shape, dtype=int)) for f in moving)

    def log_marginal(self, env: Environment) -> Array:
        """Return the difference of log normalisers, and what the children carry."""
        return self.update.log_evidence(env, self._gain(env))

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Draw from the conditional."""
        return self._drawn(env, rng, batch, self._gain(env))

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Draw from the conditional, and return the difference of log normalisers too."""
        gain = self._gain(env)
        marginal = self.update.log_evidence(env, gain)
        return *self._drawn(env, rng, batch, gain), np.broadcast_to(marginal, (batch,))

    def _gain(self, env: Environment) -> Array | None:
        """Return by how much the children raise the log normalisers of all cells: ``(batch,)``; None if not used."""
        gain = None if self.apart is None else self.apart.total_gain(env)
        if gain is None and self.alike is not None:
            gain = self.alike.total_gain(env)
        return self.update.total_gain(env) if gain is None else gain

    def _drawn(
        self, env: Environment, rng: np.random.Generator, batch: int, gain: Array | None
    ) -> tuple[dict[str, Array], Array]:
        naturals = _in_batch(self.update.naturals(env), batch)
        family = self.update.family
        x = family.sample(naturals, rng)
        with np.errstate(all="ignore"):
            logs = family.log_kernel(x, naturals) + family.log_jacobian(x)
            total = logs.reshape(batch, -1).sum(axis=1) - self.update.total_normaliser(env, gain)
        return {self.names[0]: x}, total

    def draw_classes(self, env: Environment, rng: np.random.Generator, batch: int) -> Array:
        """Draw one cell of every class: ``(batch, classes)``."""
        assert self.alike is not None
        return self.update.family.sample(_in_batch(self.alike.naturals(env), batch), rng)

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution:
        """Return the family's own distribution."""
        return self.update.family.distribution(_in_batch(self.update.naturals(env)), wrap)

    def conditional_of_classes(self, env: Environment, wrap: Callable[..., Any]) -> Distribution:
        """Return the same for one cell of every class."""
        assert self.alike is not None
        return self.update.family.distribution(_in_batch(self.alike.naturals(env)), wrap)


def _in_batch(naturals: Naturals, batch: int = 1) -> Naturals:
    """Repeat what is the same for the whole batch: every entry gets a draw of its own, and all are labelled alike."""
    batch = max(batch, *(n.shape[0] for n in naturals))
    return tuple(np.broadcast_to(n, (batch, *n.shape[1:])) for n in naturals)
