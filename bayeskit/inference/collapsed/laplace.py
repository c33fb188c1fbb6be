r"""Laplace's approximation of a core: a normal density about its mode, on the unconstrained scale.

.. math:: \int e^{f(u)} du \approx e^{f(\hat u)} (2 \pi)^{d/2} |{-f''(\hat u)}|^{-1/2}

What is integrated out below the core stays exact. Source: Tierney and Kadane (1986), JASA 81, 82-86, eq. 2.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.collapsed.component import CollapsedDraws, held_names, piece_notes
from bayeskit.inference.collapsed.starts import dispersed_points
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.modes import Mode, find_modes
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.eliminate import eliminate
from bayeskit.model.problem import Problem

Array = np.ndarray
MOST_NUMBERS = 200  # of a core whose Hessian is found by differences


def laplace_core(problem: Problem, names: list[str]) -> LaplaceCore:
    """Return the approximation of connected latents.

    Raises
    ------
    RefusedError
        Where a latent is discrete, the core is too large, or the density has no mode inside its support.
    """
    found = eliminate(problem, names)
    core = ", ".join(f"'{n}'" for n in (names if isinstance(found, Refusal) else found.core))
    if isinstance(found, Refusal):
        raise RefusedError(f"Laplace's approximation of {core} cannot be had: {found}. Use sample().")
    if found.size > MOST_NUMBERS:
        raise RefusedError(
            f"Laplace's approximation of {core} cannot be had: the core has {found.size} numbers, more than "
            f"{MOST_NUMBERS}. Use sample()."
        )
    density = CollapsedDensity(problem, found.core, found.pieces)
    starts, _ = dispersed_points(problem, density)
    with np.errstate(all="ignore"):
        modes = find_modes(density, starts, np.random.default_rng(0)) if len(starts) else ()
    if not modes or modes[0].kind != "interior":
        raise RefusedError(
            f"Laplace's approximation of {core} cannot be had: the density has no mode inside its support on the "
            "unconstrained scale. Use sample()."
        )
    return LaplaceCore(problem, density, modes)


class LaplaceCore:
    """A core approximated by a normal density about its heaviest mode, and what is integrated out given it."""

    def __init__(self, problem: Problem, density: CollapsedDensity, modes: tuple[Mode, ...]) -> None:
        self.problem, self.density, self.mode = problem, density, modes[0]
        self.core, self.pieces, self.factors = tuple(density.names), density.pieces, density.factors
        self.names = held_names(problem, self.core, self.pieces)
        self.unchecked: tuple[str, ...] = self.core
        size = len(self.mode.at)
        numbers = f"{size} numbers" if size > 1 else "one number"
        self.label = f"core of {numbers}, Laplace's approximation on the unconstrained scale"
        if len(modes) > 1:
            self.label += f", about the heaviest of {len(modes)} modes"
        self.notes = dict.fromkeys(self.core, self.label) | piece_notes(self.pieces)

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Draw from the approximation, and the rest given it: independent draws."""
        root = np.linalg.cholesky(self.mode.covariance)
        u = self.mode.at + rng.standard_normal((chains * draws, len(root))) @ root.T
        values, jacobian = self.density.scale.unpack(u, self.problem.env)
        drawn, log_density = self.density.draw_pieces(values, rng)
        return CollapsedDraws(values | drawn, self.density(u) - jacobian + log_density)

    def log_evidence(self) -> tuple[float, float]:
        """Return the approximation, whose error is not known."""
        return float(self.mode.log_mass), float("nan")

    def marginal(self, name: str, wrap: Any) -> Refusal:
        """Refuse: an approximation is no exact marginal."""
        return Refusal("it is approximated")
