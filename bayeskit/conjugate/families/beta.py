"""Shares: the beta family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlog1py, xlogy

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, difference, kernels, where_proper
from bayeskit.distributions.gammadraws import SMALLEST
from bayeskit.distributions.gammafunctions import distinct, log_beta, log_rising

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class BetaFamily:
    """Kernel ``x**(a - 1) (1 - x)**(b - 1)``; Uniform(0, 1) is Beta(1, 1)."""

    name = "Beta"

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(alpha, beta)``."""
        alpha, beta = parameters
        return alpha, beta

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``log B(a, b)``."""
        with np.errstate(all="ignore"):
            return np.where(self.is_proper(naturals), log_beta(*naturals), np.inf)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same; 0 for Beta(0, 0)."""
        return where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return ``log B(a + s, b + f) - log B(a, b)``: by rising factorials where the prior has the larger numbers."""
        (a, b), (s, f) = prior, gained
        by_rising = self.is_proper(prior) & (s + f < a + b)
        if not by_rising.any():
            return difference(self, prior, gained)
        a, b = distinct(a), distinct(b)
        with np.errstate(all="ignore"):
            gain = log_rising(a, s) + log_rising(b, f) - log_rising(a + b, s + f)
        return gain if by_rising.all() else np.where(by_rising, gain, difference(self, prior, gained))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``(a - 1) log x + (b - 1) log(1 - x)``."""
        a, b = naturals
        return np.asarray(xlogy(a - 1, x) + xlog1py(b - 1, -x))

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""
        return np.asarray(kernels("Beta")._log_prob(x, *naturals))

    def centre(self, naturals: Naturals) -> Array:
        """Return the mean, off the ends."""
        a, b = naturals
        return np.clip(a / (a + b), SMALLEST, 1.0 - 2.0**-53)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw from Beta(a, b)."""
        a, b = naturals
        return kernels("Beta")._sample(rng, np.broadcast_shapes(a.shape, b.shape), a, b)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Beta(a, b)."""
        from bayeskit.distributions import Beta

        return Beta(*(wrap(n) for n in naturals))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where both are positive."""
        return (naturals[0] > 0) & (naturals[1] > 0)


class UniformFamily(BetaFamily):
    """Uniform(0, 1), which is Beta(1, 1)."""

    def prior(self, *parameters: Array) -> Naturals:
        """Return ones."""
        one = np.ones(np.broadcast_shapes(*(np.shape(p) for p in parameters)) or (1,))
        return one, one
