"""Natural families: how priors become natural parameters, and what the sum of contributions makes of them.

Each family owns the way from (prior, summed contributions) to the posterior, one log normaliser, and draws. Shapes are
``(batch, *dims of the latent)``; contributions are added to the natural parameters, nothing else is ever done to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import gammaln, multigammaln

from bayeskit.distributions.gammafunctions import log_beta

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Naturals = tuple[Array, ...]
Wrap = Callable[[Array], Any]


class NaturalFamily(Protocol):
    """What a natural family answers."""

    name: str

    def prior(self, *parameters: Array) -> Naturals:
        """Return the natural parameters of a prior, from its canonical parameters."""

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return the log of the integral of the kernel, over the dims of one event: ``(batch, *plates)``."""

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the unnormalised log density that ``log_normaliser`` integrates."""

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw one value for every batch and cell."""

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return the posterior as a labelled distribution; ``wrap`` labels an array over the latent's dims."""

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the posterior exists."""


class BetaFamily:
    """Kernel ``x**(a - 1) (1 - x)**(b - 1)``; Uniform(0, 1) is Beta(1, 1)."""

    name = "Beta"

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(alpha, beta)``."""
        alpha, beta = parameters
        return alpha, beta

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``log B(a, b)``."""
        return np.asarray(log_beta(*naturals))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``(a - 1) log x + (b - 1) log(1 - x)``."""
        a, b = naturals
        return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw from Beta(a, b)."""
        from bayeskit.distributions import Beta

        a, b = naturals
        return Beta(1, 1)._sample(rng, np.broadcast_shapes(a.shape, b.shape), a, b)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Beta(a, b)."""
        from bayeskit.distributions import Beta

        return Beta(*(wrap(n) for n in naturals))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where both are positive."""
        return (naturals[0] > 0) & (naturals[1] > 0)


class DirichletFamily:
    """Kernel ``prod x_k**(alpha_k - 1)`` on the simplex; a zero is a category that cannot occur."""

    name = "Dirichlet"

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``alpha``."""
        return (parameters[0],)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``sum gammaln(alpha_k) - gammaln(sum alpha_k)``."""
        (alpha,) = naturals
        with np.errstate(divide="ignore"):
            each = np.where(alpha > 0, gammaln(np.where(alpha > 0, alpha, 1.0)), 0.0)
        return np.asarray(each.sum(axis=-1) - gammaln(alpha.sum(axis=-1)))

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``sum (alpha_k - 1) log x_k``."""
        (alpha,) = naturals
        return np.asarray(((alpha - 1) * np.log(x)).sum(axis=-1))

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw from Dirichlet(alpha)."""
        from bayeskit.distributions import Dirichlet

        (alpha,) = naturals
        return Dirichlet([1.0, 1.0])._sample(rng, alpha.shape[:-1], alpha)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Dirichlet(alpha)."""
        from bayeskit.distributions import Dirichlet

        return Dirichlet(wrap(naturals[0]))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where no entry is negative and one is positive."""
        return (naturals[0] >= 0).all(axis=-1) & (naturals[0] > 0).any(axis=-1)


class GammaFamily:
    r"""Rates, precisions, variances and standard deviations, as one family on a power of the latent.

    With :math:`v = x^m` on ``(lower, upper)`` the kernel in v is :math:`v^{p - 1} e^{-(a v + b / v) / 2}`: a gamma where
    ``b`` is 0, an inverse gamma where ``a`` is 0, else a generalised inverse Gaussian; truncated where a bound says so.
    A child that contributes ``(s, r)``, that is ``s log u - r u``, adds ``(s, 2 r, 0)`` where ``u = v`` and
    ``(-s, 0, 2 r)`` where ``u = 1 / v``.
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
                return self._full(np.ones_like(parameters[0]), 2.0 * parameters[0], 0.0)
            case "ChiSquared":
                return self._full(0.5 * parameters[0], 1.0, 0.0)
            case "GeneralizedInverseGaussian":
                return self._full(*parameters[:3])
            case "HalfNormal":
                return self._full(0.5, parameters[0] ** -2.0, 0.0)
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
        from bayeskit.distributions import Gamma, GeneralizedInverseGaussian, InverseGamma

        p, a, b = naturals
        if not np.any(b):
            return Gamma(1, 1), (p, 0.5 * a)
        if not np.any(a):
            return InverseGamma(1, 1), (-p, 0.5 * b)
        return GeneralizedInverseGaussian(1, 1, 1), (p, a, b)

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return the log integral of the kernel over v, within the bounds."""
        from bayeskit.distributions.generalized_inverse_gaussian import log_bessel_k

        p, a, b = naturals
        if self.truncated and not np.any(a) and not np.any(b):
            return self._log_power_integral(p)
        family, parameters = self._parts(naturals)
        if family.family == "Gamma":
            total = gammaln(p) - p * np.log(0.5 * a)
        elif family.family == "InverseGamma":
            total = gammaln(-p) + p * np.log(0.5 * b)
        else:
            total = np.log(2.0) + log_bessel_k(p, np.sqrt(a * b)) + 0.5 * p * (np.log(b) - np.log(a))
        if not self.truncated:
            return np.asarray(total)
        lower, upper = self._bounds(parameters[0].ndim)
        return np.asarray(total + _log_mass(family, lower, upper, parameters))

    def _log_power_integral(self, p: Array) -> Array:
        """Integrate ``v**(p - 1)`` between the bounds: a flat prior between bounds, before any data."""
        lower, upper = self._bounds(p.ndim)
        return np.asarray(np.log((upper**p - lower**p) / p))

    def _bounds(self, rank: int) -> tuple[Array, Array]:
        lower = np.zeros(()) if self.lower is None else np.asarray(self.lower, dtype=float) ** self.power
        upper = np.full((), np.inf) if self.upper is None else np.asarray(self.upper, dtype=float) ** self.power
        return lower, upper

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the kernel in v, at ``x**m``."""
        p, a, b = naturals
        v = np.asarray(x) ** self.power
        return (p - 1) * np.log(v) - 0.5 * (a * v + b / v)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw v and return ``v**(1/m)``."""
        naturals = self._full(*naturals)
        family, parameters = self._parts(naturals)
        shape = naturals[0].shape
        if self.truncated:
            from bayeskit.distributions import Truncated

            lower, upper = self._bounds(len(shape))
            cut = Truncated(family, lower=0.0, upper=1.0)
            v = cut._sample(rng, shape, *parameters, lower, upper)
        elif family.family == "Gamma":
            v = rng.standard_gamma(parameters[0], shape) / parameters[1]
        elif family.family == "InverseGamma":
            v = parameters[1] / rng.standard_gamma(parameters[0], shape)
        else:
            v = family._sample(rng, shape, *parameters)
        return np.asarray(v if self.power == 1.0 else v ** (1.0 / self.power))

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return the posterior of x: a gamma, inverse gamma or GIG, cut by bounds, to the power ``1/m``."""
        from bayeskit.distributions import Power, Truncated

        family, parameters = self._parts(self._full(*naturals))
        result: Distribution = type(family)(*(wrap(q) for q in parameters))
        if self.truncated:
            lower, upper = self._bounds(parameters[0].ndim)
            result = Truncated(
                result,
                lower=None if self.lower is None else wrap(np.broadcast_to(lower, parameters[0].shape)),
                upper=None if self.upper is None else wrap(np.broadcast_to(upper, parameters[0].shape)),
            )
        return result if self.power == 1.0 else Power(result, 1.0 / self.power)

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the kernel has a finite integral within the bounds."""
        p, a, b = np.broadcast_arrays(*naturals)
        near_zero = (b > 0) | (p > 0) | (self.lower is not None)
        far_out = (a > 0) | (p < 0) | (self.upper is not None)
        return np.asarray(near_zero & far_out)


def _log_mass(family: Distribution, lower: Array, upper: Array, parameters: tuple[Array, ...]) -> Array:
    """Return the log probability between two bounds, from the tail that keeps digits."""
    log_upper, log_lower = family._log_cdf(upper, *parameters), family._log_cdf(lower, *parameters)
    sf_lower, sf_upper = family._log_sf(lower, *parameters), family._log_sf(upper, *parameters)
    with np.errstate(divide="ignore", invalid="ignore"):
        from_left = log_upper + np.log1p(-np.exp(log_lower - log_upper))
        from_right = sf_lower + np.log1p(-np.exp(sf_upper - sf_lower))
    return np.where(log_lower > -0.7, from_right, from_left)


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
        from scipy.special import log_ndtr

        from bayeskit.distributions import Normal

        P, h = naturals
        if self.truncated and not np.any(P):  # a prior flat, or exponential, between its bounds
            lower, upper = self._bounds()
            with np.errstate(invalid="ignore", divide="ignore"):
                flat = np.log(upper - lower)
                tilted = np.where(h < 0, h * lower - np.log(-h), np.nan)
            return np.where(h == 0, flat, tilted) + 0.0 * P
        total = 0.5 * (np.log(2 * np.pi) - np.log(P)) + 0.5 * h * h / P
        if not self.truncated:
            return np.asarray(total)
        del log_ndtr
        lower, upper = self._bounds()
        return np.asarray(total + _log_mass(Normal(0, 1), lower, upper, (h / P, P**-0.5)))

    def _bounds(self) -> tuple[Array, Array]:
        lower = -np.inf if self.lower is None else self.lower
        upper = np.inf if self.upper is None else self.upper
        return np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return ``h x - P x**2 / 2``."""
        P, h = naturals
        return h * x - 0.5 * P * x * x

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw, within the bounds."""
        from bayeskit.distributions import Normal, Truncated

        P, h = np.broadcast_arrays(*naturals)
        if not self.truncated:
            return np.asarray(h / P + rng.standard_normal(P.shape) / np.sqrt(P))
        cut = Truncated(Normal(0, 1), lower=0.0, upper=1.0)
        return np.asarray(cut._sample(rng, P.shape, h / P, P**-0.5, *self._bounds()))

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Normal(h / P, tau=P), cut by the bounds."""
        from bayeskit.distributions import Normal, Truncated

        P, h = np.broadcast_arrays(*naturals)
        result: Distribution = Normal(wrap(h / P), wrap(P**-0.5))
        if not self.truncated:
            return result
        lower, upper = (wrap(np.broadcast_to(b, P.shape)) for b in self._bounds())
        return Truncated(
            result, lower=None if self.lower is None else lower, upper=None if self.upper is None else upper
        )

    def is_proper(self, naturals: Naturals) -> Array:
        """Where the precision is positive, or bounds make a flat kernel integrable."""
        return np.asarray((naturals[0] > 0) | (self.lower is not None and self.upper is not None))


class WishartFamily:
    """Matrices: ``|X|**((nu - d - 1)/2) exp(-tr(R X)/2)``, or for covariances the inverse of such an X."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prior(self, *parameters: Array) -> Naturals:
        """Return ``(nu, R)``: for a Wishart R is the inverse of its scale, for an inverse Wishart its scale."""
        nu, matrix = parameters
        if self.name == "Wishart":
            matrix = np.linalg.solve(matrix, np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape))
        return nu, matrix

    def log_normaliser(self, naturals: Naturals) -> Array:
        """Return ``nu d log(2) / 2 + log Gamma_d(nu/2) - nu log|R| / 2``."""
        nu, R = naturals
        d = R.shape[-1]
        log_det = 2 * np.log(np.diagonal(np.linalg.cholesky(R), axis1=-2, axis2=-1)).sum(axis=-1)
        return np.asarray(0.5 * nu * d * np.log(2) + multigammaln(0.5 * nu, d) - 0.5 * nu * log_det)

    def log_kernel(self, x: Array, naturals: Naturals) -> Array:
        """Return the kernel at X."""
        nu, R = naturals
        d = R.shape[-1]
        log_det = np.linalg.slogdet(x)[1]
        if self.name == "Wishart":
            return np.asarray(0.5 * (nu - d - 1) * log_det - 0.5 * (R * x).sum(axis=(-2, -1)))
        trace = np.trace(np.linalg.solve(x, R), axis1=-2, axis2=-1)
        return np.asarray(-0.5 * (nu + d + 1) * log_det - 0.5 * trace)

    def sample(self, naturals: Naturals, rng: np.random.Generator) -> Array:
        """Draw a matrix for every batch and cell."""
        from bayeskit.distributions import InverseWishart, Wishart

        nu, R = naturals
        shape = np.broadcast_shapes(nu.shape, R.shape[:-2])
        eye = np.eye(R.shape[-1])
        if self.name == "InverseWishart":
            return InverseWishart(R.shape[-1] + 2, eye)._sample(rng, shape, nu, R)
        scale = np.linalg.solve(R, np.broadcast_to(eye, R.shape))
        return Wishart(R.shape[-1] + 2, eye)._sample(rng, shape, nu, scale)

    def distribution(self, naturals: Naturals, wrap: Wrap) -> Distribution:
        """Return Wishart(nu, inverse of R) or InverseWishart(nu, R)."""
        from bayeskit.distributions import InverseWishart, Wishart

        nu, R = naturals
        if self.name == "InverseWishart":
            return InverseWishart(wrap(nu), wrap(R))
        return Wishart(wrap(nu), wrap(np.linalg.solve(R, np.broadcast_to(np.eye(R.shape[-1]), R.shape))))

    def is_proper(self, naturals: Naturals) -> Array:
        """Where ``nu > d - 1`` and R is positive definite."""
        nu, R = naturals
        return np.asarray((nu > R.shape[-1] - 1) & (np.linalg.eigvalsh(R)[..., 0] > 0))


def natural_family(distribution: Distribution, rule_prior: str, exponents: set[float]) -> NaturalFamily | str:
    """Return the natural family of a prior for children of one kind, or why there is none.

    Parameters
    ----------
    distribution : Distribution
        The prior.
    rule_prior : str
        The natural family that the children's rows ask for.
    exponents : set of float
        For the Gamma family: the powers of the latent in which the children are linear (``u = x**exponent``).
    """
    name, lower, upper, inner = distribution.family, None, None, distribution
    if name == "Truncated":
        inner, lower, upper = _inner(distribution)
        name = inner.family
    elif name in ("Flat", "Uniform"):
        lower, upper = (distribution.canonical.get(b) for b in ("lower", "upper"))
    if any(_is_unknown(b) for b in (lower, upper)):
        return f"the bounds of {distribution} are not known numbers"
    lower, upper = (None if b is None or np.all(np.isinf(_number(b))) else _number(b) for b in (lower, upper))
    if rule_prior == "Normal":
        return _normal_family(name, lower, upper)
    if lower is not None or upper is not None or name in ("Uniform", "Flat"):
        if rule_prior == "Beta" and name == "Uniform" and lower == 0 and upper == 1:
            return UniformFamily()
        if rule_prior != "Gamma":
            return f"{distribution} is not a {rule_prior} distribution"
    if rule_prior == "Gamma":
        return _gamma_family(distribution, name, lower, upper, exponents)
    if name != rule_prior:
        return f"{distribution} is not a {rule_prior} distribution"
    if rule_prior == "Beta":
        return BetaFamily()
    return DirichletFamily() if rule_prior == "Dirichlet" else WishartFamily(rule_prior)


class UniformFamily(BetaFamily):
    """Uniform(0, 1), which is Beta(1, 1)."""

    def prior(self, *parameters: Array) -> Naturals:
        """Return ones."""
        one = np.ones(np.broadcast_shapes(*(np.shape(p) for p in parameters)) or (1,))
        return one, one


_POSITIVE = ("Gamma", "InverseGamma", "Exponential", "ChiSquared", "GeneralizedInverseGaussian")


def _gamma_family(
    distribution: Distribution, name: str, lower: Any, upper: Any, exponents: set[float]
) -> NaturalFamily | str:
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


def _normal_family(name: str, lower: Any, upper: Any) -> NaturalFamily | str:
    if name in ("Normal", "Uniform", "Flat"):
        return NormalFamily(name, lower, upper)
    if name in ("HalfNormal", "Exponential"):
        return NormalFamily(name, 0.0 if lower is None else np.maximum(lower, 0.0), upper)
    return f"{name} is not a normal distribution, cut or flat"


def _inner(distribution: Distribution) -> tuple[Distribution, Any, Any]:
    """Return what a Truncated cuts, and its bounds."""
    return distribution.base, distribution.given.get("lower"), distribution.given.get("upper")  # type: ignore[attr-defined]


def _is_unknown(bound: Any) -> bool:
    return bound is not None and (hasattr(bound, "evaluate") or hasattr(bound, "dims"))


def _number(bound: Any) -> float:
    return float(np.asarray(bound))
