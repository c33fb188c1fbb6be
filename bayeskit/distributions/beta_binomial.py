"""The beta-binomial family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betainccinv, betaincinv, gammaln

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.binomial import trials
from bayeskit.distributions.domains import Parameter, positive
from bayeskit.distributions.gammafunctions import log_rising
from bayeskit.distributions.integers import integer_quantile, masked, whole_draws
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_negative_binomial

__all__ = ["BetaBinomial", "beta_binomial_cdf", "log_beta_binomial"]

# Up to so many trials the distribution function is a sum; beyond, an integral.
_SUMMED = 4000
_CELLS = 1_000_000


def log_beta_binomial(x: Array, n: Array, alpha: Array, beta: Array) -> Array:
    """Log mass of `x` successes, without looking at the support."""
    rest = n - x
    with np.errstate(all="ignore"):
        if np.max(n, initial=0) <= LARGE_COUNT:
            choose = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(rest + 1.0)
            return choose + log_rising(alpha, x) + log_rising(beta, rest) - log_rising(alpha + beta, n)
        # negative binomials of the same odds, given their sum
        odds = n / (alpha + beta)
        parts = log_negative_binomial(x, alpha, alpha * odds) + log_negative_binomial(rest, beta, beta * odds)
        return parts - log_negative_binomial(n, alpha + beta, n)


def beta_binomial_cdf(x: Array, n: Array, alpha: Array, beta: Array) -> Array:
    """Probability of at most `x` successes: a sum for few trials, an integral over the success probability for many."""
    cells = np.broadcast_arrays(np.floor(x), *(np.asarray(value, dtype=float) for value in (n, alpha, beta)))
    shape = cells[0].shape
    k, n, alpha, beta = (cell.ravel() for cell in cells)
    answer = np.where(k < 0, 0.0, np.where(k >= n, 1.0, np.nan))
    inside = (k >= 0) & (k < n)
    for chosen, rule, width in (
        (inside & (n <= _SUMMED), _cdf_by_sum, np.max(k, initial=0, where=inside & (n <= _SUMMED)) + 1),
        (inside & (n > _SUMMED), _cdf_by_integral, len(_NODES)),
    ):
        index = np.flatnonzero(chosen)
        step = max(1, int(_CELLS // width))
        for start in range(0, len(index), step):
            part = index[start : start + step]
            answer[part] = rule(*(cell[part, None] for cell in (k, n, alpha, beta)))
    return answer.reshape(shape)


def _cdf_by_sum(k: Array, n: Array, alpha: Array, beta: Array) -> Array:
    grid = np.arange(k.max() + 1.0)
    mass = np.exp(log_beta_binomial(np.minimum(grid, n), n, alpha, beta))
    # summed one after the other, so that a cell has the same answer whatever the longest of its neighbours
    sums = np.take_along_axis(np.cumsum(mass, axis=-1), k.astype(np.intp), axis=-1)
    return np.minimum(sums[..., 0], 1.0)


_STEP = 0.25
_NODES = np.arange(-42.0, 42.0, _STEP)


def _cdf_by_integral(k: Array, n: Array, alpha: Array, beta: Array) -> Array:
    # By parts, the cdf is E[I_Q(alpha, beta)] with Q ~ Beta(k + 1, n - k). Over the log odds of Q's own distribution
    # function the integrand is analytic and decays on both sides, where the trapezoid rule converges geometrically.
    # What the ends cut off is below 1e-18.
    tail = 1.0 / (1.0 + np.exp(np.abs(_NODES)))  # the smaller of u and 1 - u
    below = _NODES < 0
    quantiles = np.concatenate(
        [betaincinv(k + 1.0, n - k, tail[below]), betainccinv(k + 1.0, n - k, tail[~below])], axis=-1
    )
    weight = _STEP * tail * (1.0 - tail)
    return np.minimum((weight * betainc(alpha, beta, quantiles)).sum(axis=-1), 1.0)


class BetaBinomial(Distribution):
    r"""Beta-binomial distribution: successes in `n` trials whose common probability is ``Beta(alpha, beta)``.

    .. math:: P(x) = \binom{n}{x} \frac{B(x + \alpha, n - x + \beta)}{B(\alpha, \beta)}

    Parameters
    ----------
    n : number, DataArray or expression
        Number of trials, zero or more.
    alpha, beta : number, DataArray or expression
        Parameters of the beta distribution, positive.

    Raises
    ------
    ParameterError
        Where `n` is not a whole number, or `alpha` or `beta` is not positive.

    Examples
    --------
    >>> from bayeskit.distributions import BetaBinomial
    >>> d = BetaBinomial(10, 1, 1)              # uniform on 0..10
    >>> float(d.mean()), float(d.cdf(4).round(9))
    (5.0, 0.454545455)
    """

    parameters = (trials, Parameter("alpha", positive), Parameter("beta", positive))
    discrete = True
    support = "0..n"

    def __init__(self, n: Any = None, alpha: Any = None, beta: Any = None) -> None:
        self._assign(n=n, alpha=alpha, beta=beta)

    def _log_prob(self, x: Array, n: Array, alpha: Array, beta: Array) -> Array:
        return masked(log_beta_binomial(x, n, alpha, beta), self._outside(x, n, alpha, beta))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], n: Array, alpha: Array, beta: Array) -> Array:
        return rng.binomial(whole_draws(n), rng.beta(alpha, beta, size=shape), size=shape)

    def _mean(self, n: Array, alpha: Array, beta: Array) -> Array:
        return n * (alpha / (alpha + beta))

    def _var(self, n: Array, alpha: Array, beta: Array) -> Array:
        total = alpha + beta
        return n * (alpha / total) * (beta / total) * ((total + n) / (total + 1.0))

    def _mode(self, n: Array, alpha: Array, beta: Array) -> Array:
        # successive masses rise up to the root of a linear equation (fall, where alpha + beta < 2: the ends remain)
        with np.errstate(all="ignore"):
            root = (n * (alpha - 1.0) - (beta - 1.0)) / (alpha + beta - 2.0)
        best = np.clip(np.floor(np.nan_to_num(root)) + 1.0, 0.0, n)
        for candidate in (np.zeros_like(best), n + np.zeros_like(best)):
            better = log_beta_binomial(candidate, n, alpha, beta) > log_beta_binomial(best, n, alpha, beta)
            best = np.where(better, candidate, best)
        return best

    def _cdf(self, x: Array, n: Array, alpha: Array, beta: Array) -> Array:
        return beta_binomial_cdf(x, n, alpha, beta)

    def _quantile(self, q: Array, n: Array, alpha: Array, beta: Array) -> Array:
        return integer_quantile(lambda k: beta_binomial_cdf(k, n, alpha, beta), q, 0.0, n)

    def _bounds(self, n: Array, alpha: Array, beta: Array) -> tuple[Any, Any]:
        return 0.0, n
