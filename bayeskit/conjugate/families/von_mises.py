"""Directions: the von Mises family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import i0e

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, difference, kernels, where_proper

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

_LOG_2PI = float(np.log(2 * np.pi))


class VonMisesFamily:
    """Kernel ``exp(c cos x + s sin x)`` on the circle: the von Mises about ``atan2(s, c)`` of concentration |(c, s)|.

    A flat prior over the whole circle has concentration zero.
    Source: Mardia and Jupp (2000), Directional Statistics, sec. 3.5.4; Guttorp and Lockhart (1988), JASA 83.
    """

    name = "VonMises"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(c, s)``."""
        if self.kind != "VonMises":
            return np.zeros((1,)), np.zeros((1,))
        mu, kappa = parameters
        return kappa * np.cos(mu), kappa * np.sin(mu)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``log(2 pi I_0(R))``, R the length of ``(c, s)``."""
        R = np.hypot(*naturals)
        return np.asarray(_LOG_2PI + np.log(i0e(R)) + R)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same; 0 for a flat prior, whose density is one."""
        return np.zeros(np.shape(naturals[0])) if self.kind == "Flat" else where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return the difference of the log normalisers."""
        return difference(self, prior, gained)

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``c cos x + s sin x``."""
        c, s = naturals
        return c * np.cos(x) + s * np.sin(x)

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density, by the angle to the mean: a large concentration costs no digits."""
        return np.asarray(kernels("VonMises")._log_prob(np.asarray(x), self.centre(naturals), np.hypot(*naturals)))

    def centre(self, naturals: Naturals) -> Array:
        """Return the mean direction."""
        c, s = naturals
        return np.asarray(np.arctan2(s, c))

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw a direction."""
        R = np.hypot(*naturals)
        return kernels("VonMises")._sample(rng, R.shape, self.centre(naturals), R)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return VonMises(atan2(s, c), |(c, s)|)."""
        from bayeskit.distributions import VonMises

        return VonMises(wrap(self.centre(naturals)), wrap(np.hypot(*naturals)))

    def is_proper(self, naturals: Naturals) -> Array:
        """Everywhere: the circle is bounded."""
        return np.isfinite(naturals[0]) & np.isfinite(naturals[1])


def von_mises_family(distribution: Distribution, name: str, lower: Any, upper: Any) -> VonMisesFamily | str:
    """Return the family of a prior on a direction, or why there is none."""
    if distribution.family == "VonMises":
        return VonMisesFamily(name)
    if name in ("Uniform", "Flat") and (lower, upper) == (-np.pi, np.pi):
        return VonMisesFamily(name)
    return f"{distribution} is neither a von Mises distribution nor flat from -pi to pi"
