"""Quantiles of mixtures: roots of the distribution function, or of the upper tail, for all cells at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeskit.distributions.bracketing import solve_increasing
from bayeskit.distributions.domains import Array
from bayeskit.distributions.elementwise import Identity, Transform, elementwise_transform
from bayeskit.distributions.integers import integer_quantile
from bayeskit.distributions.mixture_nodes import columns

if TYPE_CHECKING:
    from bayeskit.distributions.mixture import Mixture

__all__ = ["NEGLIGIBLE", "invert"]

NEGLIGIBLE = 1e-15  # of the weight: left out of distribution functions and quantiles
_TOLERANCE = 1e-10  # of a quantile, as a standard normal one
_LARGEST = 1.7e308
# Families with quantiles as cheap as distribution functions: those of all nodes make a bracket. Of the others a few
# nodes' make a guess.
_EASY = {"Normal", "LogNormal", "HalfNormal", "Cauchy", "HalfCauchy", "Laplace", "Logistic", "Uniform", "Exponential",
         "Weibull", "Pareto"}  # fmt: skip
_FEW = 3


def invert(mixture: Mixture, below: Array, above: Array, index: Array) -> Array:
    """Quantiles ``(n, *event)`` with probabilities below and above them, each from the smaller one."""
    if mixture.discrete:
        return _invert_whole(mixture, below, index)
    result = np.empty(below.shape)
    upper = (below > 0.5).reshape(len(index), -1).all(axis=1)
    with np.errstate(all="ignore"):
        for side, tail in ((False, below), (True, above)):
            rows = np.flatnonzero(upper == side)
            for part in mixture._chunks(len(rows)):
                chosen = rows[part]
                result[chosen] = _invert_tail(mixture, tail[chosen], index[chosen], upper=side)
    return result


def _invert_whole(mixture: Mixture, q: Array, index: Array) -> Array:
    lower, upper = mixture._bounds(index)
    return integer_quantile(lambda x: mixture._cdf(x, index), q, lower, upper)


def _invert_tail(mixture: Mixture, tail: Array, cell: Array, *, upper: bool) -> Array:
    """Values with a probability below them, or above."""
    if mixture.event_ndim or mixture.base.family in _EASY:
        weights, params = mixture._take(cell, mixture._kept)
        weights = columns(weights, mixture.event_ndim)
        each = _of_nodes(mixture, tail, params, upper)
    else:
        weights, params = mixture._heaviest(cell, _FEW)
        each = _of_nodes(mixture, tail, params, upper)
    heavy = weights > 0.1 * NEGLIGIBLE
    least, greatest = np.where(heavy, each, np.inf).min(axis=0), np.where(heavy, each, -np.inf).max(axis=0)
    transform: Transform = Identity() if mixture.event_ndim else elementwise_transform(*mixture._bounds(cell))
    low, high = (transform.forward(np.clip(end, -_LARGEST, _LARGEST)) for end in (least, greatest))
    scores = transform.forward(each)
    usable = heavy & np.isfinite(scores)
    share = np.where(usable, weights, 0.0)
    first = np.clip((share * np.where(usable, scores, 0.0)).sum(axis=0) / share.sum(axis=0), low, high)
    if mixture.event_ndim:
        found = _solve_vectors(mixture, low, high, first, tail, cell, upper)
    else:
        if mixture.base.family not in _EASY:
            low, high = np.full(first.shape, -np.inf), np.full(first.shape, np.inf)
        found = transform.inverse(_solve_numbers(mixture, transform, low, high, first, tail, cell, upper))
    ends = (least, greatest) if mixture.event_ndim else mixture._bounds(cell)
    end, other = ends[::-1] if upper else ends
    return np.where(tail <= 0, end, np.where(tail >= 1, other, found))


def _of_nodes(mixture: Mixture, tail: Array, params: list[Array], upper: bool) -> Array:
    """Quantiles of nodes."""
    return mixture.base._log_isf(np.log(tail)[None], *params) if upper else mixture.base._quantile(tail[None], *params)


def _solve_numbers(
    mixture: Mixture, transform: Transform, low: Array, high: Array, first: Array, tail: Array, cell: Array, upper: bool
) -> Array:
    """Roots on the unconstrained scale, in standard normal quantiles: there distribution functions are near lines."""
    goal, sign, kernel = ndtri(tail), -1.0 if upper else 1.0, "_sf" if upper else "_cdf"
    bounds = mixture._bounds(cell)

    def inverse(u: Array, live: Array) -> Array:
        if all(np.ndim(bound) == 0 for bound in bounds):
            return transform.inverse(u)
        return elementwise_transform(*(np.broadcast_to(bound, cell.shape)[live] for bound in bounds)).inverse(u)

    def excess(u: Array, live: Array) -> Array:
        weights, params = mixture._take(cell[live], mixture._kept)
        chance = (weights * getattr(mixture.base, kernel)(inverse(u, live)[None], *params)).sum(axis=0)
        return sign * (ndtri(np.minimum(chance, 1.0)) - goal[live])

    def second(value: Array) -> Array:
        weights, params = mixture._take(cell, mixture._kept)
        x = transform.inverse(first)
        density = (weights * np.exp(mixture.base._log_prob(x[None], *params))).sum(axis=0)
        score = goal + sign * value
        slope = density * np.exp(transform.log_jacobian(first)) * np.sqrt(2.0 * np.pi) * np.exp(0.5 * score**2)
        return first - value / slope

    return solve_increasing(excess, low, high, first, second, _TOLERANCE)


def _solve_vectors(
    mixture: Mixture, low: Array, high: Array, first: Array, tail: Array, cell: Array, upper: bool
) -> Array:
    """The same for the entries of vectors: they are evaluated together, for they share matrices."""
    goal, sign, kernel = ndtri(tail), -1.0 if upper else 1.0, "_sf" if upper else "_cdf"
    weights, params = mixture._take(cell, mixture._kept)
    weights = columns(weights, mixture.event_ndim)

    def excess(x: Array, live: Array) -> Array:
        chance = (weights * getattr(mixture.base, kernel)(x.reshape(first.shape)[None], *params)).sum(axis=0)
        return (sign * (ndtri(np.minimum(chance, 1.0)) - goal)).reshape(-1)

    def second(value: Array) -> Array:
        return 0.9 * guess + 0.1 * np.where(value > 0, lower, higher)

    lower, higher, guess = (v.reshape(-1) for v in (low, high, first))
    found = solve_increasing(excess, lower, higher, guess, second, _TOLERANCE, together=True)
    return found.reshape(first.shape)
