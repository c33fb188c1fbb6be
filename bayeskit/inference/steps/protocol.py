"""What every step of a sweep answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

Array = np.ndarray
Environment = Mapping[str, Array]


class Step(Protocol):
    """One block of a sweep.

    Attributes
    ----------
    names : tuple of str
        The latents it updates.
    label : str
        What it does, for ``explain``.
    """

    names: tuple[str, ...]
    label: str

    def start(self, env: Environment, chains: int) -> Any:
        """Return what the step carries from sweep to sweep; None where it learns nothing."""

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: Any, tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Return new values of its latents, what it has learnt, and statistics to record."""
