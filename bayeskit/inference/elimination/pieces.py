"""What every integrated piece answers: the log of its integral given the core, and exact draws given the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Factor

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Environment = Mapping[str, Array]


class Piece(Protocol):
    """Latents that are integrated out given the rest.

    Attributes
    ----------
    names : tuple of str
        The latents it integrates.
    factors : tuple of Factor
        What it integrates: the priors of its latents and all their children. No factor belongs to two pieces.
    reason : str
        Completes "integrated out: ..." in ``explain``.
    cost : int
        Numbers held for every entry of the batch by ``log_marginal``: chunks are made by it.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Return the latents it integrates."""

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Return what it integrates."""

    @property
    def reason(self) -> str:
        """Return why it can be integrated."""

    @property
    def cost(self) -> int:
        """Return how many numbers an entry of the batch takes."""

    def log_marginal(self, env: Environment) -> Array:
        """Return the log of the integral of its factors over its latents: ``(batch,)``."""

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return the distribution of a latent given the rest, batch first in its parameters, or why it has none."""

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Return a joint draw given the rest, by name ``(batch, *dims)``, and its log density ``(batch,)``.

        It is called by several threads at once, and may keep what it has found but must change nothing.
        """


@runtime_checkable
class ProposingPiece(Piece, Protocol):
    """A piece whose draws have most of their work in common with the log marginal."""

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Return a draw, its log density, and the log of the integral."""
