"""The exponential and the chi-squared families: two gammas with names of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.base import Alternative, Array, Distribution
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gamma import Gamma
from bayeskit.distributions.gammadraws import SMALLEST

__all__ = ["ChiSquared", "Exponential"]


class Exponential(Distribution):
    r"""Exponential distribution with rate `lam`.

    .. math:: p(x) = \lambda e^{-\lambda x}, \quad x \ge 0

    Parameters
    ----------
    lam : number, DataArray or expression
        Rate, positive.
    scale : number, DataArray or expression, optional
        The mean, one over the rate, instead of `lam`.

    Raises
    ------
    ParameterError
        Where a parameter is not positive and finite, or both are given.

    Examples
    --------
    >>> from bayeskit.distributions import Exponential
    >>> d = Exponential(scale=2)
    >>> [round(float(v), 3) for v in (d.mean(), d.quantile(0.5), d.log_prob(1))]
    [2.0, 1.386, -1.193]
    """

    parameters = (Parameter("lam", positive, advice="It is a rate; use scale= for a mean."),)
    alternatives: ClassVar[dict[str, Alternative]] = {
        "scale": ("lam", Parameter("scale", positive, advice="It is one over the rate."), lambda s: 1 / s)
    }
    support = "the numbers from 0"

    def __init__(self, lam: Any = None, *, scale: Any = None) -> None:
        self._assign(lam=lam, scale=scale)

    def _log_prob(self, x: Array, lam: Array) -> Array:
        return np.where((x >= 0) & (x < np.inf), np.log(lam) - lam * x, -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], lam: Array) -> Array:
        return np.maximum(rng.standard_exponential(shape) / lam, SMALLEST)

    def _mean(self, lam: Array) -> Array:
        return 1.0 / lam

    def _var(self, lam: Array) -> Array:
        return 1.0 / (lam * lam)

    def _mode(self, lam: Array) -> Array:
        return np.zeros_like(lam)

    def _raw_moment(self, k: float, lam: Array) -> Array:
        """Expected ``x**k``."""
        return np.exp(gammaln(1.0 + k) - k * np.log(lam)) if k > -1 else np.full_like(lam, np.inf)

    def _tilted_mode(self, k: float, lam: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return np.maximum(k, 0.0) / lam

    def _cdf(self, x: Array, lam: Array) -> Array:
        return -np.expm1(-lam * np.maximum(x, 0.0))

    def _sf(self, x: Array, lam: Array) -> Array:
        return np.exp(-lam * np.maximum(x, 0.0))

    def _log_sf(self, x: Array, lam: Array) -> Array:
        return -lam * np.maximum(x, 0.0)

    def _quantile(self, q: Array, lam: Array) -> Array:
        with np.errstate(divide="ignore"):
            return -np.log1p(-q) / lam

    def _log_isf(self, log_tail: Array, lam: Array) -> Array:
        return -log_tail / lam

    def _bounds(self, lam: Array) -> tuple[float, float]:
        return 0.0, np.inf


class ChiSquared(Distribution):
    r"""Chi-squared distribution with `nu` degrees of freedom: Gamma(nu / 2, 1 / 2).

    .. math:: p(x) = \frac{x^{\nu/2-1} e^{-x/2}}{2^{\nu/2}\,\Gamma(\nu/2)}, \quad x > 0

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, positive.

    Raises
    ------
    ParameterError
        Where `nu` is not positive and finite.

    Examples
    --------
    >>> from bayeskit.distributions import ChiSquared
    >>> d = ChiSquared(4)
    >>> [round(float(v), 3) for v in (d.mean(), d.var(), d.quantile(0.95))]
    [4.0, 8.0, 9.488]
    """

    parameters = (Parameter("nu", positive),)
    support = "the positive numbers"

    def __init__(self, nu: Any) -> None:
        self._assign(nu=nu)

    def _log_prob(self, x: Array, nu: Array) -> Array:
        return _GAMMA._log_prob(x, 0.5 * nu, _HALF)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array) -> Array:
        return _GAMMA._sample(rng, shape, 0.5 * nu, _HALF)

    def _mean(self, nu: Array) -> Array:
        return nu

    def _var(self, nu: Array) -> Array:
        return 2.0 * nu

    def _mode(self, nu: Array) -> Array:
        return np.maximum(nu - 2.0, 0.0)

    def _raw_moment(self, k: float, nu: Array) -> Array:
        """Expected ``x**k``."""
        return _GAMMA._raw_moment(k, 0.5 * nu, _HALF)

    def _tilted_mode(self, k: float, nu: Array) -> Array:
        """Where ``x**k p(x)`` is greatest."""
        return _GAMMA._tilted_mode(k, 0.5 * nu, _HALF)

    def _cdf(self, x: Array, nu: Array) -> Array:
        return _GAMMA._cdf(x, 0.5 * nu, _HALF)

    def _sf(self, x: Array, nu: Array) -> Array:
        return _GAMMA._sf(x, 0.5 * nu, _HALF)

    def _log_cdf(self, x: Array, nu: Array) -> Array:
        return _GAMMA._log_cdf(x, 0.5 * nu, _HALF)

    def _log_sf(self, x: Array, nu: Array) -> Array:
        return _GAMMA._log_sf(x, 0.5 * nu, _HALF)

    def _quantile(self, q: Array, nu: Array) -> Array:
        return _GAMMA._quantile(q, 0.5 * nu, _HALF)

    def _log_isf(self, log_tail: Array, nu: Array) -> Array:
        return _GAMMA._log_isf(log_tail, 0.5 * nu, _HALF)

    def _log_quantile(self, log_q: Array, nu: Array) -> Array:
        return _GAMMA._log_quantile(log_q, 0.5 * nu, _HALF)

    def _bounds(self, nu: Array) -> tuple[float, float]:
        return 0.0, np.inf

    def _outside(self, x: Array, nu: Array) -> Array:
        return ~((x > 0) & (x < np.inf))


_GAMMA = Gamma(1, 1)
_HALF = np.asarray(0.5)
