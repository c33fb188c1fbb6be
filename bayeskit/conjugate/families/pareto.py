"""Upper ends of uniform distributions: the Pareto family, cut or improper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, density_of, difference, where_proper
from bayeskit.conjugate.gamma_integral import draw_between, log_gamma_integral
from bayeskit.errors import RefusedError

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class ParetoFamily:
    r"""Kernel :math:`x^{-a - 1}` on ``(m, upper)``: what says where it begins merges by maximum.

    Each observation below x adds one to ``a`` and lifts ``m`` to itself. Flat priors have ``a = -1``, the reference
    prior ``1 / x``, written ``Gamma(0, 0)``, has ``a = 0``.
    Source: DeGroot (1970), Optimal Statistical Decisions, sec. 9.7.
    """

    name = "Pareto"

    def __init__(self, kind: str, lower: float | None = None, upper: float | None = None) -> None:
        self.kind, self.upper = kind, upper
        self.lower = 0.0 if lower is None else max(lower, 0.0)

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(a, m)``."""
        match self.kind:
            case "Pareto":
                alpha, m = parameters[:2]
                return np.asarray(alpha), np.maximum(m, self.lower)
            case "Uniform" | "Flat":
                return np.full((1,), -1.0), np.full((1,), self.lower)
        return np.zeros((1,)), np.full((1,), self.lower)

    def _cut(self, naturals: Naturals) -> tuple[Array, Array, Array, Array, Array]:
        """Return the kernel as that of ``gamma_integral``: order, no rates, and the bounds."""
        a, m = naturals
        return -a, np.zeros(()), np.zeros(()), m, np.asarray(np.inf if self.upper is None else self.upper)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``-a log m - log a``, or the log of the integral up to the upper bound."""
        with np.errstate(all="ignore"):
            return np.where(self.is_possible(naturals), log_gamma_integral(*self._cut(naturals)), -np.inf)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same; 0 where the density is that of the bare kernel."""
        return np.zeros(np.shape(naturals[0])) if self.kind == "Flat" else where_proper(self, naturals)

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return the difference of the log normalisers; of Paretos by what the bound was lifted."""
        (a, m), (n, top) = prior, gained
        if self.kind != "Pareto" or self.upper is not None:
            return difference(self, prior, gained)
        lifted = np.maximum(m, top)
        return np.asarray(-n * np.log(lifted) - a * np.log1p((lifted - m) / m) - np.log1p(n / a))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``-(a + 1) log x``."""
        return np.asarray(-(naturals[0] + 1.0) * np.log(x))

    def log_jacobian(self, x: Array) -> float:
        """Return 0."""
        return 0.0

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""
        inside = (x >= naturals[1]) & (x <= (np.inf if self.upper is None else self.upper))
        return np.where(inside, density_of(self, np.where(inside, x, 1.0), naturals), -np.inf)

    def centre(self, naturals: Naturals) -> None:
        """Return none: there is none at hand."""
        return None

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw by inversion."""
        from bayeskit.distributions.gammadraws import LARGEST

        return np.minimum(draw_between(*self._cut(naturals), rng), LARGEST)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Pareto(a, m), cut by the upper bound; after one observation at most what a flat prior has become."""
        from bayeskit.distributions import Monotone, Pareto, Truncated, Uniform

        a, m = np.broadcast_arrays(*naturals)
        if self.upper is not None and np.all(a == -1):
            return Uniform(wrap(m), wrap(np.full(a.shape, self.upper)))
        if self.upper is not None and np.all(a == 0):
            return Monotone(Uniform(wrap(np.log(m)), wrap(np.full(a.shape, np.log(self.upper)))), "exp")
        if not np.all(a > 0):
            raise RefusedError(
                "The posterior must be a Pareto distribution of positive shape to be given as a distribution. Got "
                f"shape {float(a[a <= 0][0]):g}, which is proper between its bounds alone. Draw with sample() and "
                "summarise the draws instead."
            )
        whole = Pareto(wrap(a), wrap(m))
        return whole if self.upper is None else Truncated(whole, upper=self.upper)

    def is_possible(self, naturals: Naturals) -> Array:
        """Where an observation does not exceed the upper bound."""
        return np.asarray(naturals[1] < (np.inf if self.upper is None else self.upper))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the kernel has a finite integral."""
        a, m = np.broadcast_arrays(*naturals)
        return np.asarray(((m > 0) | (a < 0)) & ((a > 0) | (self.upper is not None)))


def pareto_family(
    distribution: Distribution, name: str, lower: Any, upper: Any, exponents: set[float]
) -> ParetoFamily | str:
    """Return the family of a prior on the upper end of uniform children, or why there is none."""
    if exponents != {1.0}:
        return f"its children are linear in a power of it ({', '.join(f'{e:g}' for e in sorted(exponents))})"
    if name in ("Uniform", "Flat") and (lower is None or lower < 0):
        return f"{distribution} is not flat over positive numbers alone"
    zero = all(isinstance(v, int | float) and v == 0 for v in distribution.canonical.values())
    if name in ("Pareto", "Uniform", "Flat") or (name in ("Gamma", "InverseGamma") and zero):
        return ParetoFamily(name, lower, upper)
    return f"{distribution} is not a Pareto distribution, cut or flat"
