"""Successes in a finite population: the beta-binomial family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, kernels, where_proper
from bayeskit.distributions.gammafunctions import log_beta, log_choose, log_rising

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class BetaBinomialFamily:
    r"""Kernel :math:`\binom{n}{k - s} B(k - s + a,\, n - k + s + b)`: k less s is BetaBinomial(n, a, b).

    A sample without replacement takes its size from ``n``, its successes to ``a`` and ``s`` and its failures to ``b``.
    DiscreteUniform(0, n) is BetaBinomial(n, 1, 1).
    Source: Dyer and Pierce (1993), On the choice of the prior distribution in hypergeometric sampling, Communications
    in Statistics 22.
    """

    name = "BetaBinomial"

    def __init__(self, kind: str = "BetaBinomial") -> None:
        self.kind = kind

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(n, a, b, s)``."""
        if self.kind == "DiscreteUniform":
            n = np.asarray(parameters[1], dtype=float)
            return n, np.ones_like(n), np.ones_like(n), np.zeros_like(n)
        n, alpha, beta = np.broadcast_arrays(*(np.asarray(p, dtype=float) for p in parameters))
        return n, alpha, beta, np.zeros_like(n)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``log B(a, b)``."""
        return np.asarray(log_beta(naturals[1], naturals[2]))

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same."""
        return where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return ``log B(a + y, b + f) - log B(a, b)`` by rising factorials."""
        (_, a, b, _), (_, y, f, _) = prior, gained
        return np.asarray(log_rising(a, y) + log_rising(b, f) - log_rising(a + b, y + f))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the log of the kernel at x."""
        n, a, b, s = naturals
        k = x - s
        return np.asarray(log_choose(n, k) + log_beta(k + a, n - k + b))

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the log mass of x."""
        n, a, b, s = naturals
        return np.asarray(kernels("BetaBinomial")._log_prob(x - s, n, a, b))

    def centre(self, naturals: Naturals) -> None:
        """Return none: there is none at hand."""
        return None

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw a count."""
        n, a, b, s = np.broadcast_arrays(*naturals)
        return np.asarray(s.astype(np.int64) + kernels("BetaBinomial")._sample(rng, n.shape, n, a, b))

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return BetaBinomial(n, a, b), shifted by s."""
        from bayeskit.distributions import BetaBinomial
        from bayeskit.distributions.shifted import Shifted

        n, a, b, s = (wrap(q) for q in naturals)
        return Shifted(BetaBinomial(n, a, b), s)

    def is_proper(self, naturals: Naturals) -> Array:
        """Where both are positive and the sample is not larger than the population."""
        n, a, b, _ = naturals
        return np.asarray((a > 0) & (b > 0) & (n >= 0))


def beta_binomial_family(distribution: Distribution, name: str) -> BetaBinomialFamily | str:
    """Return the family of a prior on the successes in a population, or why there is none."""
    lower = distribution.canonical.get("lower")
    if name == "DiscreteUniform" and isinstance(lower, int | float) and lower == 0:
        return BetaBinomialFamily(name)
    if name == distribution.family == "BetaBinomial":
        return BetaBinomialFamily()
    return f"{distribution} is neither beta-binomial nor uniform from 0"
