"""Locations, one number at a time: the normal family, cut or flat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, difference, where_proper
from bayeskit.conjugate.normal_integral import draw_between, log_normal_integral
from bayeskit.errors import RefusedError

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class NormalFamily:
    """Kernel ``exp(h x - P x**2 / 2)`` on ``(lower, upper)``: one number at a time."""

    name = "Normal"

    def __init__(self, kind: str, lower: Array | float | None = None, upper: Array | float | None = None) -> None:
        self.kind, self.lower, self.upper = kind, lower, upper

    @property
    def truncated(self) -> bool:
        """Whether there are bounds."""
        return self.lower is not None or self.upper is not None

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(P, h)``."""
        if self.kind == "Normal":
            mu, sigma = parameters[:2]
            precision = np.asarray(sigma, dtype=float) ** -2.0
            return precision, precision * mu
        if self.kind == "HalfNormal":
            precision = np.asarray(parameters[0], dtype=float) ** -2.0
            return precision, 0.0 * precision
        if self.kind == "Exponential":
            return 0.0 * parameters[0], -parameters[0]
        return np.zeros((1,)), np.zeros((1,))

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``log(2 pi / P) / 2 + h**2 / (2 P)``, and the log mass between the bounds."""
        P, h = np.broadcast_arrays(*naturals)
        if not self.truncated and np.all(P > 0):
            return np.asarray(0.5 * (np.log(2 * np.pi) - np.log(P)) + 0.5 * h * h / P)
        return log_normal_integral(P, h, *self._bounds())

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same; 0 for a flat prior, whose density is one."""
        return np.zeros(np.shape(naturals[0])) if self.kind == "Flat" else where_proper(self, naturals)

    def _bounds(self) -> tuple[Array, Array]:
        lower = -np.inf if self.lower is None else self.lower
        upper = np.inf if self.upper is None else self.upper
        return np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return the difference of the log normalisers."""
        return difference(self, prior, gained)

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``h x - P x**2 / 2``."""
        P, h = naturals
        return h * x - 0.5 * P * x * x

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density, integrated about x: a mean far from zero costs no digits."""
        P, h = naturals
        lower, upper = self._bounds()
        inside = (x >= lower) & (x <= upper)
        return np.where(inside, -log_normal_integral(P, h - P * x, lower - x, upper - x), -np.inf)

    def centre(self, naturals: Naturals) -> Array:
        """Return the mean, or the bound or the prior's end that is nearest to it."""
        P, h = np.broadcast_arrays(*naturals)
        lower, upper = self._bounds()
        with np.errstate(all="ignore"):
            mean = np.where(P > 0, h / np.where(P > 0, P, 1.0), np.where(h > 0, upper, lower))
        return np.clip(np.where(np.isfinite(mean), mean, 0.0), lower, upper)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw, within the bounds."""
        P, h = np.broadcast_arrays(*naturals)
        if not self.truncated:
            return np.asarray(h / P + rng.standard_normal(P.shape) / np.sqrt(P))
        return draw_between(P, h, *self._bounds(), rng)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Normal(h / P, tau=P), cut by the bounds; where no data came the prior, exponential or flat."""
        from bayeskit.distributions import Normal, Truncated

        P, h = np.broadcast_arrays(*naturals)
        if not np.all(P > 0):
            return self._without_precision(P, h, wrap)
        result: Distribution = Normal(wrap(h / P), wrap(P**-0.5))
        if not self.truncated:
            return result
        lower, upper = (wrap(np.broadcast_to(b, P.shape)) for b in self._bounds())
        return Truncated(
            result, lower=None if self.lower is None else lower, upper=None if self.upper is None else upper
        )

    def _without_precision(self, P: Array, h: Array, wrap: Wrap) -> Distribution:
        from bayeskit.distributions import Exponential, Uniform

        lower, upper = self._bounds()
        if not np.any(P) and not np.any(h) and np.all(np.isfinite(lower) & np.isfinite(upper)):
            return Uniform(wrap(np.broadcast_to(lower, P.shape)), wrap(np.broadcast_to(upper, P.shape)))
        if not np.any(P) and np.all(h < 0) and np.all(lower == 0) and self.upper is None:
            return Exponential(wrap(-h))
        raise RefusedError(
            "The posterior must be normal in every cell to be given as a distribution. Got cells without data, which "
            f"are {self.kind.lower()} still. Draw with sample() and summarise the draws instead."
        )

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the precision is positive, or bounds make a flat or exponential kernel integrable."""
        P, h = np.broadcast_arrays(*naturals)
        below, above = self.lower is not None, self.upper is not None
        return np.asarray((P > 0) | ((P == 0) & ((below & above) | (below & (h < 0)) | (above & (h > 0)))))
