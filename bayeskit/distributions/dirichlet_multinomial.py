"""The Dirichlet-multinomial family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.beta_binomial import beta_binomial_cdf
from bayeskit.distributions.binomial import trials
from bayeskit.distributions.dirichlet import concentration, dirichlet_draws
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.integers import integer_quantile, masked, multinomial_draws
from bayeskit.distributions.multinomial import counts_outside
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_negative_binomial

__all__ = ["DirichletMultinomial"]


class DirichletMultinomial(Distribution):
    r"""Dirichlet-multinomial distribution: counts in `n` trials whose common probabilities are ``Dirichlet(alpha)``.

    .. math:: P(x) = \frac{n!\,\Gamma(A)}{\Gamma(A + n)} \prod_k \frac{\Gamma(\alpha_k + x_k)}{\Gamma(\alpha_k)\, x_k!},
        \qquad A = \sum_k \alpha_k

    Parameters
    ----------
    n : number, DataArray or expression
        Number of trials, zero or more.
    alpha : row of numbers, DataArray or expression
        Concentrations, along the last dim, zero or positive, not all zero; a zero is a category that never comes.

    Raises
    ------
    ParameterError
        Where `n` is not a whole number, or an `alpha` is negative or all are zero.

    Notes
    -----
    Distribution function and quantiles are those of each entry, a beta-binomial; `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import DirichletMultinomial
    >>> d = DirichletMultinomial(3, [1, 1, 1])          # all 10 vectors of counts alike
    >>> float(np.exp(d.log_prob([2, 0, 1])).round(9))
    0.1
    """

    parameters = (trials, concentration)
    event_ndim = 1
    discrete = True
    support = "the vectors of counts that sum to n"

    def __init__(self, n: Any = None, alpha: Any = None) -> None:
        self._assign(n=n, alpha=alpha)

    def _log_prob(self, x: Array, n: Array, alpha: Array) -> Array:
        x, n, alpha = (np.asarray(value, dtype=float) for value in (x, n, alpha))
        total = alpha.sum(axis=-1)
        with np.errstate(all="ignore"):
            if n.max(initial=0) <= LARGE_COUNT:
                parts = np.where(x == 0, 0.0, log_rising(alpha, x) - gammaln(x + 1.0))
                value = gammaln(n + 1.0) - log_rising(total, n) + parts.sum(axis=-1)
            else:
                odds = (n / total)[..., None]
                value = log_negative_binomial(x, alpha, alpha * odds).sum(axis=-1) - log_negative_binomial(n, total, n)
        return masked(value, self._outside(x, n, alpha) | (np.equal(alpha, 0) & (x > 0)).any(axis=-1))

    def _outside(self, x: Array, n: Array, alpha: Array) -> Array:
        return counts_outside(x, n)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], n: Array, alpha: Array) -> Array:
        return multinomial_draws(rng, shape, n, dirichlet_draws(rng, shape, alpha))

    def _mean(self, n: Array, alpha: Array) -> Array:
        return np.asarray(n)[..., None] * alpha / alpha.sum(axis=-1, keepdims=True)

    def _var(self, n: Array, alpha: Array) -> Array:
        n, total = np.asarray(n)[..., None], alpha.sum(axis=-1, keepdims=True)
        p = alpha / total
        return n * p * (1.0 - p) * ((n + total) / (1.0 + total))

    def _cdf(self, x: Array, n: Array, alpha: Array) -> Array:
        rest = alpha.sum(axis=-1, keepdims=True) - alpha
        n = np.asarray(n)[..., None]
        # an entry without concentration is zero, and one that has all of it is n
        sure = np.where(np.equal(alpha, 0), np.greater_equal(x, 0), np.greater_equal(x, n)).astype(float)
        degenerate = (alpha == 0) | (rest == 0)
        inside = beta_binomial_cdf(x, n, np.where(degenerate, 1.0, alpha), np.where(degenerate, 1.0, rest))
        return np.where(degenerate, sure, inside)

    def _quantile(self, q: Array, n: Array, alpha: Array) -> Array:
        return integer_quantile(lambda k: self._cdf(k, n, alpha), q, 0.0, np.asarray(n)[..., None])
