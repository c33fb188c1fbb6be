"""What a collapsed component answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from bayeskit.inference.elimination.pieces import Piece
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray


@dataclass(frozen=True)
class CollapsedDraws:
    """Draws of a component.

    Attributes
    ----------
    values : mapping
        Its latents, ``(chains * draws, *dims)``, chain by chain.
    lp : array
        The log joint density of its latents and its data, ``(chains * draws,)``.
    stats : mapping
        Statistics of the draws, ``(chains, draws)``.
    figures : mapping
        Numbers that describe the run: they go to the attributes of the result.
    """

    values: dict[str, Array]
    lp: Array
    stats: dict[str, Array] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


class CollapsedComponent(Protocol):
    """Connected latents: a core, and pieces that are integrated out given it."""

    @property
    def names(self) -> list[str]:
        """Return its latents, in the order they were declared."""

    @property
    def core(self) -> tuple[str, ...]:
        """Return what is sampled or integrated by quadrature."""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Return what is integrated out."""

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Return the factors it accounts for."""

    @property
    def notes(self) -> Mapping[str, str]:
        """Return, for each latent, what is done to it."""

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Return the latents of which nothing says that their posterior is proper."""

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Draw all its latents jointly."""

    def log_evidence(self) -> tuple[float, float]:
        """Return the log of what the component integrates to, and its standard error."""

    def marginal(self, name: str, wrap: Any) -> Any:
        """Return the marginal of a latent as a distribution, or a ``Refusal``."""


def held_names(problem: Problem, core: Sequence[str], pieces: Sequence[Piece]) -> list[str]:
    """Return the latents of a component, in the order they were declared."""
    held = {n for p in pieces for n in p.names} | set(core)
    return [n for n in problem.latents if n in held]


def piece_notes(pieces: Sequence[Piece]) -> dict[str, str]:
    """Return what ``explain`` says of latents that are integrated out."""
    return {n: f"integrated out, and drawn given the core; {p.reason}" for p in pieces for n in p.names}
