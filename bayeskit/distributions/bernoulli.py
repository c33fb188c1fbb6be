"""The Bernoulli family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from bayeskit.distributions.base import Array
from bayeskit.distributions.domains import Parameter, real, unit
from bayeskit.distributions.integers import masked, whole_draws
from bayeskit.distributions.saddlepoint import softplus
from bayeskit.distributions.variants import Variants

__all__ = ["Bernoulli"]


class Bernoulli(Variants):
    r"""Bernoulli distribution: 1 with probability `p`, else 0.

    .. math:: P(x) = p^x (1 - p)^{1 - x} = \frac{\exp(x \ell)}{1 + \exp \ell}, \qquad \ell = \log\frac{p}{1 - p}

    Parameters
    ----------
    p : number, DataArray or expression
        Probability of 1, between 0 and 1, ends included.
    logit : number, DataArray or expression, optional
        Log odds of 1, instead of `p`; right however far from zero.

    Raises
    ------
    ParameterError
        Where `p` is not between 0 and 1, `logit` is not finite, or not exactly one of them is given.

    Examples
    --------
    >>> from bayeskit.distributions import Bernoulli
    >>> float(Bernoulli(0.25).mean()), float(Bernoulli(logit=-800).log_prob(1))
    (0.25, -800.0)
    """

    variants = ((Parameter("p", unit),), (Parameter("logit", real),))
    parameters = variants[0]
    discrete = True
    support = "0..1"

    def __init__(self, p: Any = None, *, logit: Any = None) -> None:
        self._assign(p=p, logit=logit)

    def _p(self, p: Array) -> Array:
        return expit(p) if "logit" in self.canonical else p

    def _log_prob(self, x: Array, p: Array) -> Array:
        if "logit" in self.canonical:
            value = -softplus((1.0 - 2.0 * np.asarray(x)) * p)
        else:
            value = xlogy(x, p) + xlog1py(1.0 - np.asarray(x), -np.asarray(p))
        return masked(value, self._outside(x, p))

    def _outside(self, x: Array, p: Array) -> Array:
        return ~(np.equal(x, 0) | np.equal(x, 1))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], p: Array) -> Array:
        return whole_draws(rng.random(shape) < self._p(p))

    def _mean(self, p: Array) -> Array:
        return self._p(p)

    def _var(self, p: Array) -> Array:
        return expit(p) * expit(-p) if "logit" in self.canonical else p * (1.0 - p)

    def _mode(self, p: Array) -> Array:
        return np.where(self._p(p) > 0.5, 1.0, 0.0)

    def _cdf(self, x: Any, p: Array) -> Array:
        at_zero = expit(-p) if "logit" in self.canonical else 1.0 - p
        return np.where(np.less(x, 0), 0.0, np.where(np.less(x, 1), at_zero, 1.0))

    def _quantile(self, q: Array, p: Array) -> Array:
        return np.where((q > self._cdf(0, p)) | np.equal(q, 1), 1.0, 0.0)

    def _bounds(self, p: Array) -> tuple[Any, Any]:
        return 0.0, 1.0
