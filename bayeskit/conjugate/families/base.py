"""What every natural family answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Naturals = tuple[Array, ...]
Wrap = Callable[[Array], Any]


class NaturalFamily(Protocol):
    """What a natural family answers. Shapes are ``(batch, *dims of the latent)``."""

    name: str

    def prior(self, *parameters: Array) -> Naturals:
        """Return the natural parameters of a prior, from its canonical parameters."""

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return the log of the integral of the kernel over one event: ``(batch, *plates)``; inf where improper."""

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same for a prior, whose log density is that of the bare kernel where it is improper."""

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return by how much the log normaliser of a prior grows with what its children add.

        The difference of the two loses all digits where a prior has parameters of many digits before the point, as a
        concentration has that was proposed far out.
        """

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the unnormalised log density that ``log_normaliser`` integrates."""

    def log_jacobian(self, x: Array) -> Array | float:
        """Return what turns a density of the family's own variable into one of x (0 where they are the same)."""

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""

    def centre(self, naturals: Naturals) -> Array | None:
        """Return a point where the density is high; None where there is none at hand."""

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw one value for every batch and cell."""

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return the posterior as a labelled distribution; ``wrap`` labels an array over the latent's dims."""

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the posterior exists."""


# How natural parameters join what children add, where it is not by sums.
_JOINS: dict[str, tuple[np.ufunc, ...]] = {"Pareto": (np.add, np.maximum)}


def joins(name: str, parts: int) -> tuple[np.ufunc, ...]:
    """Return how each natural parameter of a family joins contributions: by sums, but for a bound, by maximum."""
    return _JOINS.get(name, (np.add,) * parts)


def merge(family: NaturalFamily, one: Naturals, other: Naturals) -> Naturals:
    """Return natural parameters (or contributions) with further contributions."""
    found = joins(family.name, len(one))
    return tuple(np.asarray(join(a, b)) for join, a, b in zip(found, one, other, strict=True))


@cache
def kernels(name: str, size: int = 2) -> Distribution:
    """Return a distribution for the sake of its kernels, made once: its own parameters mean nothing.

    Kernels take their parameters as arrays; to validate a distribution in every sweep would cost more than the draw.
    """
    from bayeskit import distributions as d

    match name:
        case "Dirichlet":
            return d.Dirichlet(np.ones(size))
        case "InverseWishart":
            return d.InverseWishart(size + 2, np.eye(size))
        case "Wishart":
            return d.Wishart(size + 2, rate=np.eye(size))
        case "GeneralizedInverseGaussian":
            return d.GeneralizedInverseGaussian(1, 1, 1)
        case "BetaBinomial":
            return d.BetaBinomial(1, 1, 1)
    two: dict[str, type] = {"Beta": d.Beta, "Gamma": d.Gamma, "InverseGamma": d.InverseGamma, "VonMises": d.VonMises}
    return two[name](1, 1)


def density_of(family: NaturalFamily, x: Array, naturals: Naturals) -> Array:
    """Return the normalised log density of x: kernel less normaliser."""
    return np.asarray(family.log_kernel(x, naturals) - family.log_normaliser(naturals) + family.log_jacobian(x))


def difference(family: NaturalFamily, prior: Naturals, gained: Naturals) -> Array:
    """Return the difference of the log normalisers with and without what was gained."""
    return np.asarray(family.log_normaliser(merge(family, prior, gained)) - family.log_prior_normaliser(prior))


def where_proper(family: NaturalFamily, naturals: Naturals) -> Array:
    """Return the log normaliser where it is finite and 0, that of the bare kernel, elsewhere."""
    total = family.log_normaliser(naturals)
    return np.where(np.isfinite(total), total, 0.0)
