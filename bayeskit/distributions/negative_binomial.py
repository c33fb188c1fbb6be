"""The negative binomial family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammaln, xlog1py, xlogy

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, nonnegative, positive
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.geometric import above_zero
from bayeskit.distributions.integers import integer_quantile, masked
from bayeskit.distributions.poisson import poisson_draws
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_negative_binomial
from bayeskit.distributions.variants import Variants

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Variants):
    r"""Negative binomial distribution: failures before the `n`-th success; a Poisson with a gamma distributed mean.

    .. math:: P(x) = \frac{\Gamma(x + n)}{\Gamma(n)\, x!} p^n (1 - p)^x, \qquad n = \alpha, \quad
        p = \frac{\alpha}{\alpha + \mu}

    Parameters
    ----------
    mu : number, DataArray or expression
        Mean, zero or positive.
    alpha : number, DataArray or expression
        Shape of the gamma, positive; the variance is ``mu + mu**2 / alpha``.
    n : number, DataArray or expression, optional
        Number of successes, positive, not necessarily whole; instead of `mu` and `alpha`.
    p : number, DataArray or expression, optional
        Probability of success, above 0 and at most 1; with `n`.

    Raises
    ------
    ParameterError
        Where a parameter is outside its domain, or neither (mu, alpha) nor (n, p) is given.

    Notes
    -----
    Counts and shapes of 1e15 and beyond keep their accuracy; for a large `alpha` it becomes the Poisson.

    Examples
    --------
    >>> from bayeskit.distributions import NegativeBinomial
    >>> d = NegativeBinomial(4, 2)
    >>> float(d.var()), float(NegativeBinomial(n=2, p=0.5).mean())
    (12.0, 2.0)
    """

    variants = (
        (Parameter("mu", nonnegative), Parameter("alpha", positive)),
        (Parameter("n", positive), Parameter("p", above_zero)),
    )
    parameters = variants[0]
    discrete = True
    support = "0, 1, 2, ..."

    def __init__(self, mu: Any = None, alpha: Any = None, *, n: Any = None, p: Any = None) -> None:
        self._assign(mu=mu, alpha=alpha, n=n, p=p)

    def _mean_size(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Mean and shape from either set."""
        return (a * (1.0 - b) / b, a) if "n" in self.canonical else (a, b)

    def _log_prob(self, x: Array, a: Array, b: Array) -> Array:
        if "n" in self.canonical and np.max(x, initial=0) <= LARGE_COUNT:
            with np.errstate(all="ignore"):
                value = log_rising(a, x) - gammaln(np.asarray(x) + 1.0) + xlogy(a, b) + xlog1py(x, -np.asarray(b))
        else:
            mean, size = self._mean_size(a, b)
            value = log_negative_binomial(x, size, mean)
        return masked(value, self._outside(x, a, b))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], a: Array, b: Array) -> Array:
        mean, size = self._mean_size(a, b)
        means = rng.standard_gamma(size, size=shape) * (mean / size)
        return poisson_draws(rng, means, shape, self.family)

    def _mean(self, a: Array, b: Array) -> Array:
        return self._mean_size(a, b)[0]

    def _var(self, a: Array, b: Array) -> Array:
        mean, size = self._mean_size(a, b)
        return mean * (1.0 + mean / size)

    def _mode(self, a: Array, b: Array) -> Array:
        mean, size = self._mean_size(a, b)
        return np.where(size > 1, np.floor(mean * (size - 1.0) / size), 0.0)

    def _cdf(self, x: Array, a: Array, b: Array) -> Array:
        mean, size = self._mean_size(a, b)
        k = np.floor(x)
        up = np.maximum(k, 0.0) + 1.0
        p, q = size / (size + mean), mean / (size + mean)
        # from the smaller of the two probabilities, which is the one that is accurate
        inside = np.where(p < q, betainc(size, up, p), betaincc(up, size, q))
        return np.where(k < 0, 0.0, inside)

    def _log_sf(self, x: Array, a: Array, b: Array) -> Array:
        mean, size = self._mean_size(a, b)
        k = np.floor(x)
        up = np.maximum(k, 0.0) + 1.0
        p, q = size / (size + mean), mean / (size + mean)
        inside = np.where(p < q, betaincc(size, up, p), betainc(up, size, q))
        with np.errstate(divide="ignore"):
            return np.log(np.where(k < 0, 1.0, inside))

    def _quantile(self, q: Array, a: Array, b: Array) -> Array:
        upper = np.where(np.equal(self._mean_size(a, b)[0], 0), 0.0, np.inf)
        return integer_quantile(lambda k: self._cdf(k, a, b), q, 0.0, upper)

    def _bounds(self, a: Array, b: Array) -> tuple[Any, Any]:
        return 0.0, np.inf
