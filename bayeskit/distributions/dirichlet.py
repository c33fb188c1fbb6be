"""The Dirichlet family."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, gammaln

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.beta import beta_quantile
from bayeskit.distributions.domains import Domain, Parameter
from bayeskit.distributions.gammadraws import log_standard_gamma
from bayeskit.distributions.integers import masked
from bayeskit.distributions.parameters import is_bare_matrix
from bayeskit.distributions.saddlepoint import LARGE_COUNT, log_poisson

__all__ = ["Dirichlet", "concentration", "dirichlet_draws"]


def _not_concentrations(x: Array) -> Array:
    return ~((np.isfinite(x) & (x >= 0)).all(axis=-1) & (x > 0).any(axis=-1))


concentration = Parameter(
    "alpha",
    Domain("concentrations", "zero or positive, and not all zero", _not_concentrations, event_ndim=1),
    event_ndim=1,
)


def dirichlet_draws(rng: np.random.Generator, shape: tuple[int, ...], alpha: Array) -> Array:
    """Draws on the simplex, through the logs of gammas: concentrations of 1e-3 and less do not underflow together."""
    log_gamma = log_standard_gamma(rng, alpha, (*shape, np.shape(alpha)[-1]))
    weights = np.exp(log_gamma - log_gamma.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


class Dirichlet(Distribution):
    r"""Dirichlet distribution on the vectors of K probabilities.

    .. math:: p(x) = \frac{\Gamma(\sum_k \alpha_k)}{\prod_k \Gamma(\alpha_k)} \prod_k x_k^{\alpha_k - 1}

    Parameters
    ----------
    alpha : row of numbers, DataArray or expression
        Concentrations, along the last dim, zero or positive, not all zero; a zero is an entry that is zero for sure.
        A bare matrix is a table: one event over two dims, whose cells together sum to 1.

    Raises
    ------
    ParameterError
        Where an `alpha` is negative or not finite, or all are zero.

    Notes
    -----
    The density is over the first K - 1 entries. Distribution function and quantiles are those of each entry, a beta;
    `log_prob` is joint.

    Examples
    --------
    >>> from bayeskit.distributions import Dirichlet
    >>> d = Dirichlet([1, 2, 3])
    >>> d.mean().dims, d.mean().values.round(4)
    (('event',), array([0.1667, 0.3333, 0.5   ]))
    """

    parameters = (concentration,)
    event_ndim = 1
    support = "the simplex"
    support_kind = "simplex"

    def __new__(cls, alpha: Any = None) -> Dirichlet:
        """Make the Dirichlet over a table where a bare matrix is given."""
        if cls is Dirichlet and is_bare_matrix(alpha):
            from bayeskit.distributions.tables import DirichletTable

            return object.__new__(DirichletTable)
        return object.__new__(cls)

    def __init__(self, alpha: Any = None) -> None:
        self._assign(alpha=alpha)

    def _log_prob(self, x: Array, alpha: Array) -> Array:
        x, alpha = np.asarray(x, dtype=float), np.asarray(alpha, dtype=float)
        total = alpha.sum(axis=-1)
        with np.errstate(all="ignore"):
            log_x = np.log(x)
            terms = np.where(alpha == 1, 0.0, (alpha - 1.0) * log_x) - gammaln(alpha)
            terms = np.where(alpha == 0, np.where(x == 0, 0.0, -np.inf), terms)  # structural zeros
            value = gammaln(total) + terms.sum(axis=-1)
            if total.max(initial=0) > LARGE_COUNT:
                value = np.where(total > LARGE_COUNT, _log_prob_large(x, log_x, alpha, total), value)
            value = np.where(np.isnan(value), -np.inf, value)
        return masked(value, self._outside(x, alpha))

    def _outside(self, x: Array, alpha: Array) -> Array:
        x = np.asarray(x)
        return ~((x >= 0).all(axis=-1) & (np.abs(x.sum(axis=-1) - 1.0) <= 1e-6))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], alpha: Array) -> Array:
        return dirichlet_draws(rng, shape, alpha)

    def _mean(self, alpha: Array) -> Array:
        return alpha / alpha.sum(axis=-1, keepdims=True)

    def _var(self, alpha: Array) -> Array:
        total = alpha.sum(axis=-1, keepdims=True)
        mean = alpha / total
        return mean * (1.0 - mean) / (total + 1.0)

    def _mode(self, alpha: Array) -> Array:
        # inside the simplex where no concentration is below one; nan where the density has poles or is flat
        kept = np.where(np.equal(alpha, 0), 1.0, alpha)
        with np.errstate(invalid="ignore"):
            peak = (kept - 1.0) / (kept - 1.0).sum(axis=-1, keepdims=True)
        return np.where((kept >= 1.0).all(axis=-1, keepdims=True), peak, np.nan)

    def _cdf(self, x: Array, alpha: Array) -> Array:
        rest = alpha.sum(axis=-1, keepdims=True) - alpha
        sure = np.where(np.equal(alpha, 0), np.greater_equal(x, 0), np.greater_equal(x, 1)).astype(float)
        degenerate = (alpha == 0) | (rest == 0)
        a, b = np.where(degenerate, 1.0, alpha), np.where(degenerate, 1.0, rest)
        return np.where(degenerate, sure, betainc(a, b, np.clip(x, 0.0, 1.0)))

    def _quantile(self, q: Array, alpha: Array) -> Array:
        rest = alpha.sum(axis=-1, keepdims=True) - alpha
        degenerate = (alpha == 0) | (rest == 0)
        a, b = np.where(degenerate, 1.0, alpha), np.where(degenerate, 1.0, rest)
        return np.where(degenerate, np.where(np.equal(alpha, 0), 0.0, 1.0), beta_quantile(q, a, b))


def _log_prob_large(x: Array, log_x: Array, alpha: Array, total: Array) -> Array:
    """The same without cancellation: Poisson masses of the concentrations, each with its share of their sum as mean."""
    log_total = np.log(total)[..., None]
    shares = log_poisson(alpha, total[..., None] * x, log_total + log_x)
    terms = shares + np.where(alpha == 0, 0.0, np.log(alpha) - log_x)
    terms = np.where(alpha == 0, np.where(x == 0, 0.0, -np.inf), terms)
    return terms.sum(axis=-1) - log_poisson(total, total, log_total[..., 0]) - log_total[..., 0]
