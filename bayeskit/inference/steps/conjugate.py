"""Steps that draw from a known conditional: conjugate, half-t scales by their mixture, and enumeration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayeskit.conjugate.families import Naturals
from bayeskit.conjugate.mixtures import half_t_naturals
from bayeskit.inference.conjugacy import ConjugateUpdate
from bayeskit.inference.enumeration import Enumeration

Array = np.ndarray
Environment = Mapping[str, Array]


class ConjugateStep:
    """Draw a latent from its conditional, which is in its own natural family."""

    def __init__(self, update: ConjugateUpdate) -> None:
        self.conditional = update
        self.names: tuple[str, ...] = (update.latent.name,)
        rows = ", ".join(dict.fromkeys(c.label for c in update.contributions))
        self.label = f"conjugate step: {update.latent.prior.distribution} prior with {rows}"

    def start(self, env: Environment, chains: int) -> None:
        """Learn nothing."""

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: Any, tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Draw."""
        return {self.names[0]: self.conditional.draw(env, rng, chains)}, None, {}


class HalfTStep:
    """Draw a half-Cauchy or half-t scale through its inverse-gamma mixture.

    ``update`` holds the contributions of the children, on the square of the scale; the auxiliary number of the mixture
    is drawn afresh in every sweep, so that the state does not carry it.
    """

    def __init__(self, update: ConjugateUpdate) -> None:
        self.conditional = update
        self.names: tuple[str, ...] = (update.latent.name,)
        rows = ", ".join(dict.fromkeys(c.label for c in update.contributions))
        prior = update.latent.prior.distribution
        self.label = f"conjugate step through a mixture: {prior} is an inverse-gamma mixture, with {rows}"

    def start(self, env: Environment, chains: int) -> None:
        """Learn nothing."""

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: Any, tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Draw the auxiliary number given the scale, then the scale given it."""
        latent = self.conditional.latent
        naturals: Naturals = half_t_naturals(latent.prior.parameter_arrays(env), env[latent.name], rng)
        for part in self.conditional.children_naturals(env):
            naturals = tuple(a + b for a, b in zip(naturals, part, strict=True))
        return {latent.name: self.conditional.family.sample(naturals, rng)}, None, {}


class EnumerateStep:
    """Draw a finite latent by enumerating its values."""

    def __init__(self, found: Enumeration) -> None:
        self.found = found
        self.names: tuple[str, ...] = (found.name,)
        self.label = f"enumeration of {len(found.values)} values, element by element"

    def start(self, env: Environment, chains: int) -> None:
        """Learn nothing."""

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: Any, tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Draw."""
        return {self.names[0]: self.found.draw(env, rng, chains)}, None, {}
