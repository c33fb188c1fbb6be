"""Rates, precisions, variances and standard deviations: the gamma family on a power of the latent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.conjugate.families.base import Array, Naturals, Wrap, density_of, difference, kernels, where_proper
from bayeskit.conjugate.gamma_integral import draw_between, log_gamma_integral
from bayeskit.distributions.gammafunctions import distinct, log_rising
from bayeskit.errors import RefusedError

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


class GammaFamily:
    r"""Rates, precisions, variances and standard deviations, as one family on a power of the latent.

    With :math:`v = x^m` on ``(lower, upper)`` the kernel in v is :math:`v^{p - 1} e^{-(a v + b / v) / 2}`: a gamma
    where ``b`` is 0, an inverse gamma where ``a`` is 0, else a generalised inverse Gaussian; cut where a bound says so.
    A child that contributes ``(s, r)``, that is ``s log u - r u``, adds ``(s, 2 r, 0)`` where ``u = v`` and
    ``(-s, 0, 2 r)`` where ``u = 1 / v``. The bounds are those of x.
    Source: Gamerman and Lopes (2006), MCMC, sec. 2.4; Jorgensen (1982), Statistical Properties of the GIG.
    """

    name = "Gamma"

    def __init__(
        self, kind: str, power: float = 1.0, lower: Array | float | None = None, upper: Array | float | None = None
    ) -> None:
        self.kind, self.power = kind, power
        self.lower = None if lower is None or np.all(np.asarray(lower) <= 0) else lower
        self.upper = None if upper is None or np.all(np.isinf(upper)) else upper

    @property
    def truncated(self) -> bool:
        """Whether a bound cuts the positive numbers."""
        return self.lower is not None or self.upper is not None

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(p, a, b)`` on v from the canonical parameters of the prior named by ``kind``."""
        match self.kind:
            case "Gamma":
                alpha, rate = parameters[:2]
                return self._full(alpha, 2.0 * rate, 0.0)
            case "InverseGamma":
                alpha, scale = parameters[:2]
                return self._full(-alpha, 0.0, 2.0 * scale)
            case "Exponential":
                return self._full(np.ones_like(parameters[0], dtype=float), 2.0 * parameters[0], 0.0)
            case "ChiSquared":
                return self._full(0.5 * parameters[0], 1.0, 0.0)
            case "GeneralizedInverseGaussian":
                return self._full(*parameters[:3])
            case "HalfNormal":
                return self._full(0.5, np.asarray(parameters[0], dtype=float) ** -2.0, 0.0)
        # Uniform and Flat: dx is v**(1/m - 1) dv
        return self._full(1.0 / self.power, 0.0, 0.0)

    @staticmethod
    def _full(*values: Array | float) -> Naturals:
        arrays = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values))
        return tuple(a if a.ndim else a[None] for a in arrays)

    def along(self, exponent: float, shape: Array, rate: Array) -> Naturals:
        """Return what ``shape * log u - rate * u`` with ``u = x**exponent`` adds to ``(p, a, b)``."""
        zero = np.zeros(())
        return (shape, 2.0 * rate, zero) if exponent > 0 else (-shape, zero, 2.0 * rate)

    def _parts(self, naturals: Naturals) -> tuple[Distribution, tuple[Array, ...]]:
        """Return the family on v without bounds, and its parameters."""
        p, a, b = naturals
        if not np.any(b):
            return kernels("Gamma"), (p, 0.5 * a)
        if not np.any(a):
            return kernels("InverseGamma"), (-p, 0.5 * b)
        return kernels("GeneralizedInverseGaussian"), (p, a, b)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return the log integral of the kernel over v, within the bounds."""
        from bayeskit.distributions.generalized_inverse_gaussian import log_gig_normaliser

        naturals = self._full(*naturals)
        if not self.truncated:
            return np.asarray(log_gig_normaliser(*naturals))
        p, a, b = naturals
        lower, upper = self._bounds()
        return log_gamma_integral(p, a, b, lower, upper)

    def log_prior_normaliser(self, naturals: Naturals) -> Array:
        """Return the same; where the prior is improper 0, or what turns a density of one on x into one on v."""
        if self.kind == "Flat":
            return np.full(np.shape(naturals[0]), np.log(self.power))
        return where_proper(self, naturals)

    def _bounds(self) -> tuple[Array, Array]:
        lower = np.zeros(()) if self.lower is None else np.asarray(self.lower, dtype=float) ** self.power
        upper = np.full((), np.inf) if self.upper is None else np.asarray(self.upper, dtype=float) ** self.power
        return lower, upper

    def log_gain(self, prior: Naturals, gained: Naturals) -> Array:
        """Return the difference of the log normalisers; of gammas and inverse gammas by rising factorials."""
        shape, rate, other = prior
        more, faster, further = gained
        if not np.any(rate) and not np.any(faster):
            shape, rate, other, more, faster, further = -shape, other, rate, -more, further, faster
        shape, rate = distinct(shape), distinct(rate)
        plain = (shape > 0) & (rate > 0) & (more >= 0)
        if self.truncated or np.any(other) or np.any(further) or not plain.any():
            return difference(self, prior, gained)
        with np.errstate(all="ignore"):  # in place: pages of memory take longer than logs
            slower, half = np.asarray(faster / rate), np.asarray(0.5 * (rate + faster))
            slower, half = np.log1p(slower, out=slower) * shape, np.log(half, out=half) * more
            gain = np.asarray(log_rising(shape, more) - slower - half)
        return gain if plain.all() else np.where(plain, gain, difference(self, prior, gained))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the kernel in v, at ``x**m``."""
        p, a, b = naturals
        v = np.asarray(x) if self.power == 1.0 else np.asarray(x) ** self.power
        kernel = (p - 1) * np.log(v) - 0.5 * a * v
        return np.asarray(kernel - 0.5 * b / v if np.any(b) else kernel)

    def log_jacobian(self, x: Array) -> Array | float:
        """Return ``log(dv / dx) = log m + (m - 1) log x``."""
        return 0.0 if self.power == 1.0 else np.log(self.power) + (self.power - 1.0) * np.log(x)

    def log_density(self, x: Array, naturals: Naturals) -> Array:
        """Return the normalised log density of x."""
        x = np.asarray(x, dtype=float)
        inside = (x > 0) & (x < np.inf)
        if self.lower is not None:
            inside &= x >= self.lower
        if self.upper is not None:
            inside &= x <= self.upper
        x = np.where(inside, x, 1.0)
        if self.truncated or np.any(naturals[2]):
            return np.where(inside, density_of(self, x, naturals), -np.inf)
        family, parameters = self._parts(self._full(*naturals))  # which keeps its digits at large shapes
        return np.where(inside, family._log_prob(x**self.power, *parameters) + self.log_jacobian(x), -np.inf)

    def centre(self, naturals: Naturals) -> Array | None:
        """Return the mean, on the scale of x, where v is a gamma; None where it is not."""
        p, a, b = naturals
        if self.truncated or np.any(b) or not np.all((p > 0) & (a > 0)):
            return None
        return np.asarray((p / (0.5 * a)) ** (1.0 / self.power))

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw v and return ``v**(1/m)``."""
        naturals = self._full(*naturals)
        v = self._draw_cut(naturals, rng) if self.truncated else self._draw_whole(naturals, rng)
        return np.asarray(v if self.power == 1.0 else v ** (1.0 / self.power))

    def _draw_whole(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        from bayeskit.distributions.gammadraws import LARGEST, standard_gamma

        shape = naturals[0].shape
        family, parameters = self._parts(naturals)
        if family.family == "Gamma":
            return np.asarray(standard_gamma(rng, parameters[0], shape) / parameters[1])
        if family.family == "InverseGamma":
            with np.errstate(over="ignore"):
                return np.minimum(parameters[1] / standard_gamma(rng, parameters[0], shape), LARGEST)
        return np.asarray(family._sample(rng, shape, *parameters))

    def _draw_cut(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw without the bounds while most draws fall between them; invert for the cells that wait then."""
        lower, upper = (np.broadcast_to(b, naturals[0].shape) for b in self._bounds())
        p, a, b = naturals
        if not np.all(((b > 0) | (p > 0)) & ((a > 0) | (p < 0))):
            return draw_between(p, a, b, lower, upper, rng)
        v = self._draw_whole(naturals, rng)
        for _ in range(_TRIES):
            outside = (v <= lower) | (v >= upper)
            if not outside.any():
                return v
            v[outside] = self._draw_whole(tuple(n[outside] for n in naturals), rng)
        outside = (v <= lower) | (v >= upper)
        v[outside] = draw_between(p[outside], a[outside], b[outside], lower[outside], upper[outside], rng)
        return v

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return the posterior of x: a gamma, inverse gamma or GIG, cut by bounds, to the power ``1/m``."""
        from bayeskit.distributions import Power, Truncated, Uniform

        naturals = self._full(*naturals)
        p, a, b = naturals
        lower, upper = self._bounds()
        if not np.any(a) and not np.any(b) and np.all(p * self.power == 1.0) and self.upper is not None:
            low, high = (wrap(np.broadcast_to(v ** (1.0 / self.power), p.shape)) for v in (lower, upper))
            return Uniform(low, high)
        if not np.all(((b > 0) | (p > 0)) & ((a > 0) | (p < 0))):
            raise RefusedError(
                "The posterior must be a gamma or an inverse gamma of positive shape to be given as a distribution. "
                f"Got order {float(np.ravel(p)[0]):g}, which is proper between its bounds alone. Draw with sample() "
                "and summarise the draws instead."
            )
        family, parameters = self._parts(naturals)
        result: Distribution = type(family)(*(wrap(q) for q in parameters))
        if self.truncated:
            result = Truncated(
                result,
                lower=None if self.lower is None else wrap(np.broadcast_to(lower, p.shape)),
                upper=None if self.upper is None else wrap(np.broadcast_to(upper, p.shape)),
            )
        return result if self.power == 1.0 else Power(result, 1.0 / self.power)

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the kernel has a finite integral within the bounds."""
        p, a, b = np.broadcast_arrays(*naturals)
        near_zero = (b > 0) | (p > 0) | (self.lower is not None)
        far_out = (a > 0) | (p < 0) | (self.upper is not None)
        return np.asarray(near_zero & far_out)


_TRIES = 4
_POSITIVE = ("Gamma", "InverseGamma", "Exponential", "ChiSquared", "GeneralizedInverseGaussian")


def gamma_family(
    distribution: Distribution, name: str, lower: Any, upper: Any, exponents: set[float]
) -> GammaFamily | str:
    """Return the gamma family of a prior for children linear in some powers of it, or why there is none."""
    sizes = {abs(e) for e in exponents}
    if len(sizes) != 1:
        return f"its children are linear in different powers of it ({', '.join(f'{e:g}' for e in sorted(exponents))})"
    (size,) = sizes
    if name in _POSITIVE:
        if size != 1.0:
            return f"its children are linear in its power {size:g}, where {name} is conjugate for 1 and -1 only"
        return GammaFamily(name, 1.0, lower, upper)
    if name == "HalfNormal":
        if size != 2.0:
            return f"its children are linear in its power {size:g}, where HalfNormal is conjugate for 2 and -2 only"
        return GammaFamily(name, 2.0, lower, upper)
    if name in ("Uniform", "Flat") and (lower is not None and np.all(np.asarray(lower) >= 0)):
        return GammaFamily(name, size, lower, upper)
    return f"{distribution} is not of the gamma family"
