"""The Student t family and its half."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
from scipy.special import betainc, betaincinv, gammaln, stdtr, stdtrit

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gammadraws import SMALLEST, log_standard_gamma
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.normal import location, scale, scale_alternatives

__all__ = ["HalfStudentT", "StudentT"]

_freedom = Parameter("nu", positive, advice="It is the degrees of freedom.")


def _log_kernel(z: Array, nu: Array, sigma: Array) -> Array:
    """Log density of the t at a standardised value."""
    with np.errstate(over="ignore"):
        normaliser = log_rising(0.5 * nu, 0.5) - 0.5 * np.log(nu * pi) - np.log(sigma)
        return normaliser - 0.5 * (nu + 1.0) * np.log1p(z * z / nu)


def _standard_draws(rng: np.random.Generator, shape: tuple[int, ...], nu: Array) -> Array:
    """Normal over the root of a gamma, in logs where few degrees of freedom let the gamma underflow."""
    z = rng.standard_normal(shape)
    if np.min(nu, initial=1.0) >= 0.2:
        return z / np.sqrt(rng.standard_gamma(0.5 * nu, shape) / (0.5 * nu))
    log_ratio = -0.5 * (log_standard_gamma(rng, 0.5 * nu, shape) - np.log(0.5 * nu))
    return z * np.exp(np.minimum(log_ratio, 700.0))


class StudentT(Distribution):
    r"""Student's t distribution with `nu` degrees of freedom, location `mu` and scale `sigma`.

    .. math:: p(x) = \frac{\Gamma(\frac{\nu+1}{2})}{\Gamma(\frac{\nu}{2})\sqrt{\nu\pi}\,\sigma}
              \left(1 + \frac{(x-\mu)^2}{\nu\sigma^2}\right)^{-(\nu+1)/2}

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, positive.
    mu : number, DataArray or expression
        Location.
    sigma : number, DataArray or expression
        Scale, positive; 1 where nothing is given. Not the standard deviation, which is larger.
    var, tau : number, DataArray or expression, optional
        Its square, or one over its square, instead of `sigma`.

    Raises
    ------
    ParameterError
        Where a parameter is not finite, `nu` or a scale is not positive, or two scales are given.

    Examples
    --------
    >>> from bayeskit.distributions import StudentT
    >>> d = StudentT(4, 1, 2)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.quantile(0.975))]
    [1.0, 2.828, 6.553]
    >>> float(StudentT(2).var())
    inf
    """

    parameters = (_freedom, location, scale)
    alternatives = scale_alternatives
    symmetric = True

    def __init__(self, nu: Any, mu: Any = 0, sigma: Any = None, *, var: Any = None, tau: Any = None) -> None:
        self._assign(nu=nu, mu=mu, sigma=sigma, var=var, tau=tau)

    def _log_prob(self, x: Array, nu: Array, mu: Array, sigma: Array) -> Array:
        return _log_kernel((x - mu) / sigma, nu, sigma)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, mu: Array, sigma: Array) -> Array:
        return mu + sigma * _standard_draws(rng, shape, nu)

    def _mean(self, nu: Array, mu: Array, sigma: Array) -> Array:
        return np.where(nu > 1, mu, np.nan)

    def _var(self, nu: Array, mu: Array, sigma: Array) -> Array:
        with np.errstate(all="ignore"):
            finite = sigma * sigma * (nu / (nu - 2.0))
            return np.where(nu > 2, finite, np.where(nu > 1, np.inf, np.nan))

    def _mode(self, nu: Array, mu: Array, sigma: Array) -> Array:
        return mu

    def _moment_order(self, nu: Array, mu: Array, sigma: Array) -> Array:
        return nu

    def _cdf(self, x: Array, nu: Array, mu: Array, sigma: Array) -> Array:
        return stdtr(nu, (x - mu) / sigma)

    def _sf(self, x: Array, nu: Array, mu: Array, sigma: Array) -> Array:
        return stdtr(nu, (mu - x) / sigma)

    def _quantile(self, q: Array, nu: Array, mu: Array, sigma: Array) -> Array:
        return mu + sigma * _standard_quantile(q, nu)

    def _log_isf(self, log_tail: Array, nu: Array, mu: Array, sigma: Array) -> Array:
        return mu - sigma * _standard_quantile(np.exp(log_tail), nu)

    def _bounds(self, nu: Array, mu: Array, sigma: Array) -> tuple[float, float]:
        return -np.inf, np.inf


def _standard_quantile(q: Any, nu: Array) -> Array:
    q, nu = np.broadcast_arrays(np.asarray(q, dtype=float), nu)
    return np.where(q == 0, -np.inf, np.where(q == 1, np.inf, stdtrit(nu, np.clip(q, SMALLEST, 1.0 - 2.0**-53))))


class HalfStudentT(Distribution):
    r"""Half-t distribution: the absolute value of a StudentT(nu, 0, sigma) variable.

    .. math:: p(x) = \frac{2\,\Gamma(\frac{\nu+1}{2})}{\Gamma(\frac{\nu}{2})\sqrt{\nu\pi}\,\sigma}
              \left(1 + \frac{x^2}{\nu\sigma^2}\right)^{-(\nu+1)/2}, \quad x \ge 0

    Parameters
    ----------
    nu : number, DataArray or expression
        Degrees of freedom, positive.
    sigma : number, DataArray or expression
        Scale, positive; 1 where nothing is given.
    var, tau : number, DataArray or expression, optional
        Its square, or one over its square, instead of `sigma`.

    Raises
    ------
    ParameterError
        Where a parameter is not positive and finite, or two scales are given.

    Examples
    --------
    >>> from bayeskit.distributions import HalfStudentT
    >>> d = HalfStudentT(3, 2)
    >>> [round(float(v), 3) for v in (d.mean(), d.sd(), d.quantile(0.5))]
    [2.205, 2.67, 1.53]
    """

    parameters = (_freedom, scale)
    alternatives = scale_alternatives
    support = "the numbers from 0"

    def __init__(self, nu: Any, sigma: Any = None, *, var: Any = None, tau: Any = None) -> None:
        self._assign(nu=nu, sigma=sigma, var=var, tau=tau)

    def _log_prob(self, x: Array, nu: Array, sigma: Array) -> Array:
        return np.where(x >= 0, log(2.0) + _log_kernel(x / sigma, nu, sigma), -np.inf)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], nu: Array, sigma: Array) -> Array:
        return np.maximum(sigma * np.abs(_standard_draws(rng, shape, nu)), SMALLEST)

    def _mean(self, nu: Array, sigma: Array) -> Array:
        with np.errstate(all="ignore"):
            mean = 2.0 * sigma * np.sqrt(nu / pi) * np.exp(log_rising(0.5 * nu, 0.5)) / (nu - 1.0)
            return np.where(nu > 1, mean, np.inf)

    def _var(self, nu: Array, sigma: Array) -> Array:
        with np.errstate(all="ignore"):
            finite = sigma * sigma * (nu / (nu - 2.0)) - self._mean(nu, sigma) ** 2
            return np.where(nu > 2, finite, np.inf)

    def _mode(self, nu: Array, sigma: Array) -> Array:
        return np.zeros(np.broadcast_shapes(np.shape(nu), np.shape(sigma)))

    def _raw_moment(self, k: float, nu: Array, sigma: Array) -> Array:
        """Expected ``x**k``."""
        with np.errstate(all="ignore"):
            log_ratio = gammaln(0.5 * (k + 1.0)) + gammaln(0.5 * (nu - k)) - gammaln(0.5 * nu) - 0.5 * log(pi)
            return np.where((nu > k) & (k > -1), (sigma * np.sqrt(nu)) ** k * np.exp(log_ratio), np.inf)

    def _moment_order(self, nu: Array, sigma: Array) -> Array:
        return nu

    def _cdf(self, x: Array, nu: Array, sigma: Array) -> Array:
        square = (np.maximum(x, 0.0) / sigma) ** 2
        return np.where(
            np.isposinf(square), 1.0, betainc(0.5, 0.5 * nu, 1.0 / (1.0 + nu / np.maximum(square, SMALLEST)))
        )

    def _sf(self, x: Array, nu: Array, sigma: Array) -> Array:
        return 2.0 * stdtr(nu, -np.maximum(x, 0.0) / sigma)

    def _quantile(self, q: Array, nu: Array, sigma: Array) -> Array:
        # Near 0 the tail from the centre, near 1 the tail from infinity.
        with np.errstate(all="ignore"):
            y = betaincinv(0.5, 0.5 * nu, np.minimum(q, 0.5))
            return sigma * np.where(np.less(q, 0.5), np.sqrt(nu * y / (1.0 - y)), self._isf(1.0 - np.asarray(q), nu))

    def _isf(self, tail: Array, nu: Array) -> Array:
        return np.maximum(-_standard_quantile(0.5 * tail, nu), 0.0)

    def _log_isf(self, log_tail: Array, nu: Array, sigma: Array) -> Array:
        return sigma * self._isf(np.exp(log_tail), nu)

    def _bounds(self, nu: Array, sigma: Array) -> tuple[float, float]:
        return 0.0, np.inf
