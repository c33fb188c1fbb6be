"""Families that a step leads back to a family: a line of a Normal, the exponential of a Normal, a power of a Gamma."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bayeskit.distributions.base import Distribution
from bayeskit.distributions.beta import Beta
from bayeskit.distributions.cauchy import Cauchy, HalfCauchy
from bayeskit.distributions.elementary import Affine, Exp, Log, Step, ToPower
from bayeskit.distributions.exponential import ChiSquared, Exponential
from bayeskit.distributions.gamma import Gamma
from bayeskit.distributions.generalized_inverse_gaussian import GeneralizedInverseGaussian
from bayeskit.distributions.half_normal import HalfNormal
from bayeskit.distributions.inverse_gamma import InverseGamma
from bayeskit.distributions.laplace import Laplace, Logistic
from bayeskit.distributions.log_normal import LogNormal
from bayeskit.distributions.normal import Normal
from bayeskit.distributions.power import Power
from bayeskit.distributions.student_t import HalfStudentT, StudentT
from bayeskit.distributions.uniform import Uniform
from bayeskit.distributions.weibull import Pareto, Weibull
from bayeskit.errors import ParameterError

__all__ = ["closed_step"]

# c * x of positive numbers, c > 0, from the canonical parameters
_SCALED: dict[type[Distribution], Callable[..., Distribution]] = {
    Gamma: lambda c, alpha, beta: Gamma(alpha, beta / c),
    Exponential: lambda c, lam: Exponential(lam / c),
    ChiSquared: lambda c, nu: Gamma(nu / 2, 0.5 / c),
    InverseGamma: lambda c, alpha, beta: InverseGamma(alpha, beta * c),
    GeneralizedInverseGaussian: lambda c, p, a, b: GeneralizedInverseGaussian(p, a / c, b * c),
    LogNormal: lambda c, mu, sigma: LogNormal(mu + np.log(c), sigma),
    HalfNormal: lambda c, sigma: HalfNormal(sigma * c),
    HalfStudentT: lambda c, nu, sigma: HalfStudentT(nu, sigma * c),
    HalfCauchy: lambda c, beta: HalfCauchy(beta * c),
    Weibull: lambda c, alpha, beta: Weibull(alpha, beta * c),
    Pareto: lambda c, alpha, m: Pareto(alpha, m * c),
}
# a * x + b of families with a location and a symmetric shape, whatever the sign of a
_MOVED: dict[type[Distribution], Callable[..., Distribution]] = {
    Normal: lambda a, b, mu, sigma: Normal(a * mu + b, abs(a) * sigma),
    StudentT: lambda a, b, nu, mu, sigma: StudentT(nu, a * mu + b, abs(a) * sigma),
    Cauchy: lambda a, b, alpha, beta: Cauchy(a * alpha + b, abs(a) * beta),
    Laplace: lambda a, b, mu, scale: Laplace(a * mu + b, abs(a) * scale),
    Logistic: lambda a, b, mu, s: Logistic(a * mu + b, abs(a) * s),
}
_RECIPROCAL: dict[type[Distribution], Callable[..., Distribution]] = {
    Gamma: lambda alpha, beta: InverseGamma(alpha, beta),
    Exponential: lambda lam: InverseGamma(1, lam),
    ChiSquared: lambda nu: InverseGamma(nu / 2, 0.5),
    InverseGamma: lambda alpha, beta: Gamma(alpha, beta),
    GeneralizedInverseGaussian: lambda p, a, b: GeneralizedInverseGaussian(-p, b, a),
}


def closed_step(base: Distribution, step: Step) -> Distribution | None:
    """Return the family of a step's value, where it is one of ours; else None.

    Examples
    --------
    >>> closed_step(Normal(1, 2), Exp()), closed_step(Gamma(3, 2), ToPower(-1.0))
    (LogNormal(1, 2), InverseGamma(3, 2))
    """
    if isinstance(step, Affine):
        return _line(base, step.scale, step.shift, step.increasing)
    if isinstance(step, ToPower):
        return _power(base, step.exponent)
    if isinstance(step, Exp) and type(base) is Normal:
        return LogNormal(*base.canonical.values())
    if isinstance(step, Log) and type(base) is LogNormal:
        return Normal(*base.canonical.values())
    return None


def _line(base: Distribution, a: Any, b: Any, increasing: bool) -> Distribution | None:
    own = tuple(base.canonical.values())
    if np.all(np.asarray(a) == 1) and not np.any(np.asarray(b)) and np.ndim(a) == np.ndim(b) == 0:
        return base
    if type(base) in _MOVED:
        return _MOVED[type(base)](a, b, *own)
    if type(base) is Uniform:
        low, high = (a * end + b for end in own)
        return Uniform(low, high) if increasing else Uniform(high, low)
    if type(base) is Beta and np.all(np.asarray(a) == -1) and np.all(np.asarray(b) == 1) and np.ndim(a + b) == 0:
        return Beta(own[1], own[0])
    if not increasing or np.any(np.asarray(b)) or np.ndim(b):
        return None
    if type(base) in _SCALED:
        return _SCALED[type(base)](a, *own)
    if isinstance(base, Power) and type(base.base) in _SCALED:
        return Power(_SCALED[type(base.base)](a ** (1.0 / base.exponent), *own), base.exponent)
    return None


def _power(base: Distribution, exponent: float) -> Distribution | None:
    own = tuple(base.canonical.values())
    if exponent == 1.0:
        return base
    if type(base) is LogNormal:
        return LogNormal(exponent * own[0], abs(exponent) * own[1])
    if exponent == -1.0 and type(base) in _RECIPROCAL:
        return _RECIPROCAL[type(base)](*own)
    if isinstance(base, Power):
        return _power(base.base, base.exponent * exponent)
    if exponent < 0 and type(base)._raw_moment is Distribution._raw_moment:
        return None  # Power knows no moments of it; Monotone may
    try:
        return Power(base, exponent)
    except ParameterError:
        return None
