"""The binomial family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, expit, gammaln, xlog1py, xlogy

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, nonnegative_integer, real, unit
from bayeskit.distributions.integers import integer_quantile, masked, whole_draws
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson, softplus, times
from bayeskit.distributions.variants import Variants

__all__ = ["Binomial", "binomial_cdf", "log_binomial", "trials"]

trials = Parameter("n", nonnegative_integer)


def log_binomial(x: Array, n: Array, p: Array) -> Array:
    """Log mass of `x` successes in `n` trials of probability `p`, without looking at the support."""
    with np.errstate(all="ignore"):
        if np.max(n, initial=0) <= LARGE_COUNT:
            return _log_choose_small(n, x) + xlogy(x, p) + xlog1py(n - x, -np.asarray(p))
        return _log_large(x, n, p, 1.0 - p, np.log(p), np.log1p(-np.asarray(p)))


def _log_choose_small(n: Array, x: Array) -> Array:
    # for counts up to LARGE_COUNT nothing is lost, and it is a third of the price of `log_choose`
    return gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0)


def _log_large(x: Array, n: Array, p: Array, q: Array, log_p: Array, log_q: Array) -> Array:
    """The same from both probabilities and their logs, as Poisson(x; np) Poisson(n - x; nq) / Poisson(n; n)."""
    log_n = np.log(n)
    successes = log_poisson(x, n * p, log_n + log_p)
    return successes + log_poisson(n - x, n * q, log_n + log_q) - log_poisson(n, n, log_n)


def binomial_cdf(x: Array, n: Array, p: Array) -> Array:
    """Probability of at most `x` successes."""
    k = np.floor(x)
    with np.errstate(invalid="ignore"):
        inside = betaincc(np.maximum(k, 0.0) + 1.0, np.maximum(n - k, 1.0), p)
    return np.where(k < 0, 0.0, np.where(k >= n, 1.0, inside))


class Binomial(Variants):
    r"""Binomial distribution: successes in `n` trials of probability `p`.

    .. math:: P(x) = \binom{n}{x} p^x (1 - p)^{n - x}

    Parameters
    ----------
    n : number, DataArray or expression
        Number of trials, zero or more.
    p : number, DataArray or expression
        Probability of success, between 0 and 1, ends included.
    logit : number, DataArray or expression, optional
        Log odds of success, instead of `p`; right however far from zero.

    Raises
    ------
    ParameterError
        Where `n` is not a whole number, `p` is not between 0 and 1, or not exactly one of `p` and `logit` is given.

    Notes
    -----
    Log masses of large counts (to 1e15 and beyond) keep their accuracy: Loader's saddle-point form.

    Examples
    --------
    >>> from bayeskit.distributions import Binomial
    >>> d = Binomial(10, 0.3)
    >>> float(d.mean()), float(d.quantile(0.5)), float(d.log_prob(3).round(4))
    (3.0, 3.0, -1.3211)
    """

    variants = ((trials, Parameter("p", unit)), (trials, Parameter("logit", real)))
    parameters = variants[0]
    discrete = True
    support = "0..n"

    def __init__(self, n: Any = None, p: Any = None, *, logit: Any = None) -> None:
        self._assign(n=n, p=p, logit=logit)

    def _p(self, p: Array) -> Array:
        return expit(p) if "logit" in self.canonical else p

    def _log_prob(self, x: Array, n: Array, p: Array) -> Array:
        if "logit" not in self.canonical:
            value = log_binomial(x, n, p)
        else:
            with np.errstate(all="ignore"):
                if np.max(n, initial=0) <= LARGE_COUNT:
                    value = _log_choose_small(n, x) - times(x, softplus(-p)) - times(n - x, softplus(p))
                else:
                    value = _log_large(x, n, expit(p), expit(-p), -softplus(-p), -softplus(p))
        return masked(value, self._outside(x, n, p))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], n: Array, p: Array) -> Array:
        return rng.binomial(whole_draws(n), self._p(p), size=shape)

    def _mean(self, n: Array, p: Array) -> Array:
        return n * self._p(p)

    def _var(self, n: Array, p: Array) -> Array:
        return n * (expit(p) * expit(-p) if "logit" in self.canonical else p * (1.0 - p))

    def _mode(self, n: Array, p: Array) -> Array:
        return np.minimum(np.floor((n + 1.0) * self._p(p)), n)

    def _cdf(self, x: Array, n: Array, p: Array) -> Array:
        return binomial_cdf(x, n, self._p(p))

    def _log_sf(self, x: Array, n: Array, p: Array) -> Array:
        k = np.floor(x)
        inside = betainc(np.maximum(k, 0.0) + 1.0, np.maximum(n - k, 1.0), self._p(p))
        with np.errstate(divide="ignore"):
            return np.log(np.where(k < 0, 1.0, np.where(k >= n, 0.0, inside)))

    def _quantile(self, q: Array, n: Array, p: Array) -> Array:
        return integer_quantile(lambda k: self._cdf(k, n, p), q, 0.0, n)

    def _bounds(self, n: Array, p: Array) -> tuple[Any, Any]:
        return 0.0, n
