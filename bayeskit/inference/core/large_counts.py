r"""Cumulants of rows with large counts, without cancellation.

A binomial of 1e9 trials has a log density of a few units that textbook formulas take as the difference of numbers of
1e10. About the saturated fit, where means equal counts, nothing cancels: with means m and counts y of every category

.. math:: \log P(y) = \log P(y \mid m = y) - \sum_k \left[ y_k \log\frac{y_k}{m_k} + m_k - y_k \right]

where :math:`\sum_k m_k = \sum_k y_k`, and each bracket is :math:`y (r - \log(1 + r))` with :math:`r = m / y - 1`
(half a deviance; McCullagh and Nelder, *Generalized Linear Models*, 1989). The second row of terms is this module's
cumulant, its linear part included.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr, xlog1py, xlogy

from bayeskit.distributions.saddlepoint import log_poisson
from bayeskit.inference.core.cumulants import Exponential, ProbitCounts, Slopes, Softmax, log_one_plus

Array = np.ndarray


def saturated(counts: Array) -> Array:
    """Return the log mass of counts ``(categories, rows)`` at means equal to the counts: ``(rows,)``.

    One category is a Poisson count; more are a binomial or a multinomial of as many trials as they sum to.
    """
    with np.errstate(divide="ignore"):
        logs = log_poisson(counts, counts, np.log(counts)).sum(axis=0)
        if len(counts) == 1:
            return logs
        n = counts.sum(axis=0)
        return logs - log_poisson(n, n, np.log(n))


def log_coefficient(counts: Array) -> Array:
    """Return the log multinomial coefficient of counts ``(categories, rows)``: ``(rows,)``.

    Accurate where all but one category are few; elsewhere rows belong in a `Deviance`.
    """
    n, most = counts.sum(axis=0), counts.max(axis=0)
    entropy = xlogy(counts, counts / np.maximum(n, 1.0)).sum(axis=0)
    largest = xlogy(most, most / np.maximum(n, 1.0))
    rest = entropy - largest + xlog1py(most, -(n - most) / np.maximum(n, 1.0))
    return saturated(counts) - rest


class Deviance:
    """Half the deviance of rows with large counts.

    Parameters
    ----------
    counts : array (categories, rows)
        One category for a Poisson; for the others the reference comes first, then the contrasts.
    """

    def __init__(self, counts: Array) -> None:
        self.counts = counts

    def means(self, eta: Array, rows: slice) -> tuple[Array, Array]:
        """Return the means and their logs, ``(categories, rows, batch)``."""
        raise NotImplementedError  # pragma: no cover - every link has its own

    def fast(self, eta: Array, rows: slice) -> Array:
        """Return the sum of half deviances."""
        y = self.counts[:, rows, None]
        mean, log_mean = self.means(eta, rows)
        above = (mean - y) / y
        logs = np.where(np.abs(above) < 0.5, np.log1p(above), log_mean - np.log(y))
        return np.where(y > 0, y * (above - logs), mean).sum(axis=(0, 1))

    careful = fast


class LargePoisson(Deviance):
    """Poisson rows with a log link."""

    def means(self, eta: Array, rows: slice) -> tuple[Array, Array]:
        """Return exp(eta) and eta."""
        return np.exp(eta), eta

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives, counts included."""
        first, diagonal, root = Exponential().slopes(eta, rows)
        return first - self.counts[:, rows], diagonal, root


class LargeSoftmax(Deviance):
    """Binomial and multinomial rows with log odds."""

    def means(self, eta: Array, rows: slice) -> tuple[Array, Array]:
        """Return n times the probabilities."""
        n = self.counts[:, rows].sum(axis=0)[:, None]
        total = log_one_plus(eta)
        logs = np.concatenate([-total[None], eta - total])
        return n * np.exp(logs), np.log(n) + logs

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives, counts included."""
        here = self.counts[:, rows]
        first, diagonal, root = Softmax(here.sum(axis=0)).slopes(eta, slice(None))
        return first - here[1:], diagonal, root


class LargeProbit(Deviance):
    """Binomial rows with a probit: failures, then successes."""

    def means(self, eta: Array, rows: slice) -> tuple[Array, Array]:
        """Return n times the probabilities."""
        n = self.counts[:, rows].sum(axis=0)[:, None]
        both = np.concatenate([-eta, eta])
        return n * ndtr(both), np.log(n) + log_ndtr(both)

    def slopes(self, eta: Array, rows: slice) -> Slopes:
        """Return the derivatives, counts included."""
        return ProbitCounts(self.counts).slopes(eta, rows)
