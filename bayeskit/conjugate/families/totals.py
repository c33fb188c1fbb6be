r"""Gains of many cells under one prior, summed count by count instead of cell by cell.

The gain of a cell is a sum of terms that depend on one number of it each. With y of n of every cell,

.. math:: \sum_i \log \frac{B(a + y_i, b + n_i - y_i)}{B(a, b)}
          = \sum_i \log a^{(y_i)} + \sum_i \log b^{(n_i - y_i)} - \sum_i \log (a + b)^{(n_i)},

and of a gamma with shape a and rate b, to which cells add :math:`y_i` and :math:`t_i`,

.. math:: \sum_i \log a^{(y_i)} - a \sum_i \log(1 + t_i / b) - \sum_i y_i \log(b + t_i).

A sum of rising factorials of whole numbers is one of logarithms, however many cells there are:

.. math:: \sum_i \log x^{(n_i)} = \sum_k w_k \log(x + k), \qquad w_k = \#\{i : n_i > k\}.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bayeskit.conjugate.families.base import Array, NaturalFamily, Naturals
from bayeskit.conjugate.families.beta import BetaFamily
from bayeskit.conjugate.families.dirichlet import DirichletFamily
from bayeskit.conjugate.families.gamma import GammaFamily
from bayeskit.distributions.gammafunctions import distinct, log_rising

__all__ = ["RisingSum", "TotalGain", "total_gain"]

_LOG_GAMMAS = 20  # how many logarithms a rising factorial takes as long as


class RisingSum:
    """``sum_i log_rising(x, n_i)`` of many counts n, for a batch of x.

    Attributes
    ----------
    cost : int
        Logarithms that an entry of the batch takes, or as many as take the time.
    """

    def __init__(self, n: Array) -> None:
        counts, times = np.unique(n[n > 0], return_counts=True)
        most = float(counts.max(initial=0.0))
        self.whole = bool((counts == np.floor(counts)).all() and most <= _LOG_GAMMAS * len(counts))
        self.terms, self.weights = counts, times.astype(float)
        if self.whole:
            self.terms = np.arange(most)
            up_to = np.bincount(counts.astype(np.int64), weights=times)[1:]  # cells that end with each factor
            self.weights = np.cumsum(up_to[::-1])[::-1]
        self.cost = len(self.terms) * (1 if self.whole else _LOG_GAMMAS)

    def __call__(self, x: Array) -> Array:
        """Return the sum at numbers ``(batch,)``, zero or more."""
        x = x[:, None]
        with np.errstate(divide="ignore"):  # at zero, where the callers say what is to be
            logs = np.log(x + self.terms) if self.whole else log_rising(x, self.terms)
        return np.asarray(logs @ self.weights)


class TotalGain(Protocol):
    """The sum of ``log_gain`` over cells with one prior."""

    cost: int

    def __call__(self, prior: Naturals) -> Array:
        """Return it for parameters ``(batch, *event)``: ``(batch,)``; NaN where the prior asks for more care."""


class _Shares:
    """Of a Dirichlet, or a beta as one of two categories: counts ``(cells, categories)``."""

    def __init__(self, counts: Array) -> None:
        self.by_category = [RisingSum(n) for n in counts.T]
        self.all = RisingSum(counts.sum(axis=1))
        self.cost = self.all.cost + sum(n.cost for n in self.by_category)

    def __call__(self, prior: Naturals) -> Array:
        alpha = prior if len(prior) == 2 else tuple(prior[0].T)
        alpha = tuple(distinct(a) for a in alpha)  # what is the same for the whole batch is summed once
        total = sum((n(a) for n, a in zip(self.by_category, alpha, strict=True)), start=-self.all(sum(alpha)))
        return np.where(np.logical_and.reduce(np.broadcast_arrays(*(a > 0 for a in alpha))), total, np.nan)


class _Rates:
    """Of a gamma, or an inverse gamma of which the naturals are turned about: shapes and rates ``(cells,)`` added."""

    def __init__(self, more: Array, faster: Array, *, inverse: bool) -> None:
        self.inverse, self.rising = inverse, RisingSum(more)
        self.faster, of, times = np.unique(faster, return_inverse=True, return_counts=True)
        self.times, self.more = times.astype(float), np.bincount(of.reshape(-1), weights=more)
        self.cost = self.rising.cost + 2 * len(self.faster)

    def __call__(self, prior: Naturals) -> Array:
        shape, rate, other = prior
        if self.inverse:
            shape, rate, other = -shape, other, rate
        shape, rate = distinct(shape), distinct(rate)
        by_rate = np.log1p(self.faster / rate[:, None]) @ self.times
        total = self.rising(shape) - shape * by_rate - np.log(0.5 * (rate[:, None] + self.faster)) @ self.more
        return np.where((shape > 0) & (rate > 0) & (other == 0), total, np.nan)


def total_gain(family: NaturalFamily, gained: Naturals) -> TotalGain | None:
    """Return the total of what children add to cells, ``gained (cells, *event)``; None where it has no such form.

    Examples
    --------
    >>> total = total_gain(BetaFamily(), (np.array([1.0, 0.0]), np.array([2.0, 1.0])))
    >>> float(np.exp(total((np.ones(1), np.ones(1)))[0]).round(9))  # B(2, 3) B(1, 2)
    0.041666667
    """
    if isinstance(family, BetaFamily) and all((g >= 0).all() for g in gained):
        return _Shares(np.stack(gained, axis=1))
    if isinstance(family, DirichletFamily) and (gained[0] >= 0).all():
        return _Shares(gained[0])
    if isinstance(family, GammaFamily) and not family.truncated:
        more, faster, further = gained
        inverse = not faster.any()
        if inverse:
            more, faster, further = -more, further, faster
        return _Rates(more, faster, inverse=inverse) if (more >= 0).all() and not further.any() else None
    return None
