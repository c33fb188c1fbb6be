"""The normal family."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from bayeskit.distributions.base import Alternative, Array, Distribution
from bayeskit.distributions.domains import Parameter, positive, real

__all__ = ["LOG_ROOT_2PI", "Normal", "location", "scale", "scale_alternatives"]

LOG_ROOT_2PI = 0.5 * log(2 * pi)

location = Parameter("mu", real, default=0)
scale = Parameter(
    "sigma",
    positive,
    default=1,
    advice="A standard deviation is what is meant; use var= for a variance or tau= for a precision.",
)
scale_alternatives: dict[str, Alternative] = {
    "var": ("sigma", Parameter("var", positive, advice="It is the square of sigma."), lambda v: v**0.5),
    "tau": ("sigma", Parameter("tau", positive, advice="It is one over the square of sigma."), lambda t: t**-0.5),
}


class Normal(Distribution):
    r"""Normal distribution with mean `mu` and standard deviation `sigma`.

    .. math:: p(x) = \frac{1}{\sigma\sqrt{2\pi}} \exp\left(-\frac{(x-\mu)^2}{2\sigma^2}\right)

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean.
    sigma : number, DataArray or expression
        Standard deviation, positive; 1 where nothing is given.
    var : number, DataArray or expression, optional
        Variance, instead of `sigma`.
    tau : number, DataArray or expression, optional
        Precision, one over the variance, instead of `sigma`.

    Raises
    ------
    ParameterError
        Where a parameter is not finite, a scale is not positive, or two scales are given.

    Examples
    --------
    >>> from bayeskit.distributions import Normal
    >>> d = Normal(2, var=9)
    >>> d
    Normal(2, var=9)
    >>> [round(float(v), 3) for v in (d.sd(), d.quantile(0.975), d.log_prob(2))]
    [3.0, 7.88, -2.018]
    """

    parameters = (location, scale)
    alternatives = scale_alternatives
    symmetric = True

    def __init__(self, mu: Any = 0, sigma: Any = None, *, var: Any = None, tau: Any = None) -> None:
        self._assign(mu=mu, sigma=sigma, var=var, tau=tau)

    def _log_prob(self, x: Array, mu: Array, sigma: Array) -> Array:
        z = (x - mu) / sigma
        return -0.5 * z * z - (np.log(sigma) + LOG_ROOT_2PI)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], mu: Array, sigma: Array) -> Array:
        return mu + sigma * rng.standard_normal(shape)

    def _mean(self, mu: Array, sigma: Array) -> Array:
        return mu

    def _var(self, mu: Array, sigma: Array) -> Array:
        return sigma * sigma

    def _mode(self, mu: Array, sigma: Array) -> Array:
        return mu

    def _cdf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return ndtr((x - mu) / sigma)

    def _sf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return ndtr((mu - x) / sigma)

    def _log_cdf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return log_ndtr((x - mu) / sigma)

    def _log_sf(self, x: Array, mu: Array, sigma: Array) -> Array:
        return log_ndtr((mu - x) / sigma)

    def _quantile(self, q: Array, mu: Array, sigma: Array) -> Array:
        return mu + sigma * ndtri(q)

    def _log_quantile(self, log_q: Array, mu: Array, sigma: Array) -> Array:
        return mu + sigma * ndtri_exp(log_q)

    def _log_isf(self, log_tail: Array, mu: Array, sigma: Array) -> Array:
        return mu - sigma * ndtri_exp(log_tail)

    def _bounds(self, mu: Array, sigma: Array) -> tuple[float, float]:
        return -np.inf, np.inf
