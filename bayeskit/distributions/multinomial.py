"""The multinomial family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

from bayeskit.distributions.base import Array
from bayeskit.distributions.binomial import binomial_cdf, trials
from bayeskit.distributions.categorical import log_softmax, softmax
from bayeskit.distributions.domains import Parameter, real, simplex
from bayeskit.distributions.integers import integer_quantile, masked, multinomial_draws
from bayeskit.distributions.parameters import is_bare_matrix
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson
from bayeskit.distributions.variants import Variants

__all__ = ["Multinomial", "counts_outside"]


def counts_outside(x: Array, n: Array) -> Array:
    """Where a vector of counts, on the last axis, has an entry that is no count or does not sum to `n` (NaN: any)."""
    x = np.asarray(x)
    summed = (x.sum(axis=-1) == n) | np.isnan(n)
    if x.dtype.kind in "iu" and x.min(initial=0) >= 0:
        return ~summed
    return ~(((x >= 0) & (x == np.floor(x))).all(axis=-1) & summed)


class Multinomial(Variants):
    r"""Multinomial distribution: counts of K categories in `n` trials.

    .. math:: P(x) = \frac{n!}{\prod_k x_k!} \prod_k p_k^{x_k}

    Parameters
    ----------
    n : number, DataArray or expression
        Number of trials, zero or more.
    p : row of numbers, DataArray or expression
        Probabilities, along the last dim, that sum to 1; a zero is a category that never comes. A bare matrix is a
        table: one event over two dims. In a model an expression says for itself over which dims it sums to 1: a
        ``Dirichlet`` over a table does over both, and so does ``r * c`` of one of rows and one of columns.
    logit : row of numbers, DataArray or expression, optional
        Log probabilities up to a constant (softmax), instead of `p`.

    Raises
    ------
    ParameterError
        Where `n` is not a whole number, `p` is not a row of probabilities, or not exactly one of `p` and `logit` is
        given.

    Notes
    -----
    Distribution function and quantiles are those of each entry, a binomial; `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import Multinomial
    >>> d = Multinomial(10, [0.2, 0.5, 0.3])
    >>> d.mean().dims, d.mean().values
    (('event',), array([2., 5., 3.]))
    >>> float(d.log_prob([2, 5, 3]).round(4))
    -2.4645
    """

    variants = (
        (trials, Parameter("p", simplex, event_ndim=1)),
        (trials, Parameter("logit", real, event_ndim=1)),
    )
    parameters = variants[0]
    event_ndim = 1
    discrete = True
    support = "the vectors of counts that sum to n"

    def __new__(cls, n: Any = None, p: Any = None, *, logit: Any = None) -> Multinomial:
        """Make the Multinomial over a table where a bare matrix is given."""
        if cls is Multinomial and (is_bare_matrix(p) or is_bare_matrix(logit)):
            return object.__new__(cls._of_tables())
        return object.__new__(cls)

    @classmethod
    def _of_tables(cls) -> type[Multinomial]:
        from bayeskit.distributions.tables import MultinomialTable

        return MultinomialTable

    def over_table(self) -> Multinomial:
        """Return the same over a table: one event of two dims, which is what its probabilities sum to 1 over."""
        return self if self.event_ndim == 2 else self._of_tables()(**self.given)

    def __init__(self, n: Any = None, p: Any = None, *, logit: Any = None) -> None:
        self._assign(n=n, p=p, logit=logit)

    def _p(self, p: Array) -> Array:
        return softmax(p) if "logit" in self.canonical else p

    def _log_prob(self, x: Array, n: Array, p: Array) -> Array:
        linked = "logit" in self.canonical
        x, n = np.asarray(x, dtype=float), np.asarray(n, dtype=float)
        with np.errstate(all="ignore"):
            if n.max(initial=0) <= LARGE_COUNT:
                logs = x * log_softmax(p) if linked else xlogy(x, p)
                value = gammaln(n + 1.0) + (logs - gammaln(x + 1.0)).sum(axis=-1)
            else:
                log_n, log_p = np.log(n), log_softmax(p) if linked else np.log(p)
                value = log_poisson(x, n[..., None] * np.exp(log_p), log_n[..., None] + log_p).sum(axis=-1)
                value = value - log_poisson(n, n, log_n)
        return masked(value, self._outside(x, n, p))

    def _outside(self, x: Array, n: Array, p: Array) -> Array:
        return counts_outside(x, n)

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], n: Array, p: Array) -> Array:
        return multinomial_draws(rng, shape, n, self._p(p))

    def _mean(self, n: Array, p: Array) -> Array:
        return np.asarray(n)[..., None] * self._p(p)

    def _var(self, n: Array, p: Array) -> Array:
        p = self._p(p)
        return np.asarray(n)[..., None] * p * (1.0 - p)

    def _cdf(self, x: Array, n: Array, p: Array) -> Array:
        return binomial_cdf(x, np.asarray(n)[..., None], self._p(p))

    def _quantile(self, q: Array, n: Array, p: Array) -> Array:
        n = np.asarray(n)[..., None]
        p = self._p(p)
        return integer_quantile(lambda k: binomial_cdf(k, n, p), q, 0.0, n)
