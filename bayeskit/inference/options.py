"""Names of steps that a user may ask for: ``posterior.sample(steps={"tau": bk.Metropolis(scale=2.0)})``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conjugate:
    """Draw the latent from its conjugate conditional, element by element."""


@dataclass(frozen=True)
class GaussianBlock:
    """Draw the latent jointly with the other Gaussian ones."""


@dataclass(frozen=True)
class Enumerate:
    """Draw a finite latent by enumerating its values."""


@dataclass(frozen=True)
class Slice:
    """Update the latent by univariate slice sampling, every element at once (Neal 2003)."""


@dataclass(frozen=True)
class Metropolis:
    """Update the latent by adaptive random-walk Metropolis on the unconstrained scale.

    Parameters
    ----------
    scale : float
        First guess of the size of a step; tuning adapts it.
    """

    scale: float = 1.0


StepOption = Conjugate | GaussianBlock | Enumerate | Slice | Metropolis
