"""Regressions whose likelihood is log-concave and not conjugate, read off a factor once and evaluated in bulk.

Bernoulli and binomial rows with a logit or a probit, Poisson rows with a log link and an exposure, categorical and
multinomial rows with a softmax, where the predictor is linear in the core's latents with a known design and offset.
Their log density at 16,000 proposals is one matrix product in blocks, the linear part summed beforehand, and a cumulant
for each row; rows of equal covariates are merged. Derivatives at a point serve Newton's method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions.merging import merge_equal
from bayeskit.expressions import aligner
from bayeskit.inference.core.cumulants import Exponential, Part, Probit, ProbitCounts, Softmax, total
from bayeskit.inference.core.large_counts import (
    LargePoisson,
    LargeProbit,
    LargeSoftmax,
    log_coefficient,
    saturated,
)
from bayeskit.inference.core.links import link_of
from bayeskit.inference.core.predictor import Predictor, TooLarge, read_predictor
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]

_LARGE = 1e4  # counts beyond are summed about the saturated fit
_MANY = 512  # rows of one weight that are worth a part of their own
_LIGHT = 1e3  # weights up to which log(1 + x) may be rounded as such


@dataclass(frozen=True, eq=False)
class Sums:
    """What becomes of some rows: cumulants, and a part linear in the unknowns whose last number is a constant."""

    parts: tuple[Part, ...]
    linear: Array


class LinearRows:
    """One factor as a sum over rows of a cumulant of a linear predictor.

    Attributes
    ----------
    factor : Factor
        What it evaluates.
    names : tuple of str
        The core's latents, in the order of the problem: gradients and Hessians are over their elements, stacked in
        this order, each latent raveled in C order. That is the order of `Unconstrained` where no latent is transformed.
    size : int
        Count of these elements.
    rows : int
        Rows that are left after merging.
    """

    def __init__(self, problem: Problem, factor: Factor, names: Sequence[str], sums: Sums) -> None:
        self.factor = factor
        self.names, self.size, places = layout(problem, names)
        self._places = {n: p for n, p in places.items() if n in factor.parents}
        self._columns = np.concatenate([np.arange(p.start, p.stop) for p in self._places.values()])
        self._sums = sums
        self.rows = sum(part.design.shape[1] for part in sums.parts)

    def total(self, env: Environment) -> Array:
        """Return the log density of the factor, constants included: ``(batch,)``."""
        pieces = [np.reshape(env[n], (len(env[n]), -1)) for n in self._places]
        batch = max(len(p) for p in pieces)
        points = np.concatenate([np.broadcast_to(p, (batch, p.shape[1])) for p in pieces], axis=1)
        return total(list(self._sums.parts), self._sums.linear, points)

    def derivatives(self, values: Mapping[str, Array] | Array) -> tuple[Array, Array]:
        """Return gradient ``(size,)`` and Hessian ``(size, size)`` of the log density at one point.

        Parameters
        ----------
        values : mapping or array
            The latents by name, each ``(1, *dims)``, or their elements stacked as `names` says.
        """
        if isinstance(values, Mapping):
            point = np.concatenate([np.ravel(values[n]) for n in self._places])
        else:
            point = np.asarray(values)[self._columns]
        augmented = np.append(point, 1.0)
        slope, curvature = self._sums.linear.copy(), np.zeros((len(augmented),) * 2)
        with np.errstate(all="ignore"):
            for part in self._sums.parts:
                first, second = part.derivatives(augmented)
                slope -= first
                curvature -= second
        gradient, hessian = np.zeros(self.size), np.zeros((self.size, self.size))
        gradient[self._columns] = slope[:-1]
        hessian[np.ix_(self._columns, self._columns)] = curvature[:-1, :-1]
        return gradient, hessian


def layout(problem: Problem, names: Sequence[str]) -> tuple[tuple[str, ...], int, dict[str, slice]]:
    """Return some latents in the order of the problem, the count of their elements, and where each one stands."""
    order = tuple(n for n in problem.latents if n in set(names))
    stops = np.cumsum([0, *(problem.latents[n].size for n in order)])
    places = {n: slice(int(a), int(b)) for n, a, b in zip(order, stops[:-1], stops[1:], strict=True)}
    return order, int(stops[-1]), places


def linear_rows(problem: Problem, factor: Factor, names: Sequence[str]) -> LinearRows | None:
    """Return a factor as rows of cumulants; None where it is not of the kind, or its design is too large or sparse.

    Parameters
    ----------
    problem : Problem
        The bound model.
    factor : Factor
        One of its factors, with a known value.
    names : sequence of str
        The core's latents; all else that the factor depends on must be known.
    """
    known = set(problem.env)
    touched = [n for n in problem.latents if n in set(names) and n in factor.parents]
    if not touched or not factor.variables <= known | set(touched) or not factor.value.variables <= known:
        return None
    found = link_of(factor, known)
    if found is None:
        return None
    link, frame = found
    family = factor.distribution.family
    choices = factor.sizes[frame[-1]] if family in ("Categorical", "Multinomial") else 1
    predictor = read_predictor(problem, link.predictor, frame, touched, factor.sizes, choices)
    if predictor is None:
        return None
    occurs = np.ones(factor.shape) if factor.weight is None else factor.weight
    occurs = np.broadcast_to(occurs, factor.shape).reshape(-1)
    try:
        with np.errstate(all="ignore"):
            if link.kind == "log":
                return LinearRows(problem, factor, names, _poisson(predictor, _flat_value(problem, factor), occurs))
            counts = _counts(problem, factor, max(2, choices))
            if counts is None:
                return None
            many = family in ("Binomial", "Multinomial")
            sums = _choices(predictor, counts, occurs, link.kind, coefficient=many)
            return LinearRows(problem, factor, names, sums)
    except TooLarge:
        return None


# ---- data of the rows ---------------------------------------------------------------------------------------------
def _flat_value(problem: Problem, factor: Factor) -> Array:
    """Return the value, plates and event raveled."""
    shape = (*factor.shape, *(factor.sizes[d] for d in factor.event))
    return np.broadcast_to(factor.value_array(problem.env)[0], shape).reshape(-1).astype(float)


def _flat_weight(factor: Factor) -> Array:
    """Return how often every plate occurs, raveled."""
    size = int(np.prod(factor.shape, dtype=int))
    return np.ones(size) if factor.weight is None else factor.weight.reshape(-1).astype(float)


def _trials(problem: Problem, factor: Factor) -> Array | None:
    """Return the trials of every plate; None where they are not known."""
    if factor.distribution.family in ("Bernoulli", "Categorical"):
        return np.ones(int(np.prod(factor.shape, dtype=int)))
    n = factor.parameter("n")
    if not n.variables <= problem.env.keys():
        return None
    known = aligner(n.dims, factor.plates)(n.evaluate(problem.env))[0]
    return np.broadcast_to(known, factor.shape).reshape(-1).astype(float)


def _counts(problem: Problem, factor: Factor, categories: int) -> Array | None:
    """Return how often each category came, ``(categories, plates)``; None where the data are outside the support."""
    value, trials = _flat_value(problem, factor), _trials(problem, factor)
    if trials is None:
        return None
    if factor.distribution.family in ("Bernoulli", "Binomial"):
        counts = np.stack([trials - value, value])
    elif factor.event:
        counts = value.reshape(-1, categories).T
    else:
        counts = (value == np.arange(categories)[:, None]).astype(float)
    inside = (counts >= 0).all() and (counts == np.floor(counts)).all() and np.array_equal(counts.sum(axis=0), trials)
    return counts if inside else None


# ---- sums of each kind of row -------------------------------------------------------------------------------------
def _poisson(predictor: Predictor, y: Array, weight: Array) -> Sums:
    """Counts with a log link; of rows with equal covariates the exposures and the counts are added."""
    linear = np.zeros(predictor.width + 1)
    exposure, total = predictor.offset + np.log(weight), weight * y  # logs of the exposure of all that are alike
    void, large = np.isneginf(exposure), y > _LARGE
    if np.any(total[void] > 0):
        linear[-1] = -np.inf
    parts = []
    rows = np.flatnonzero(large & ~void)
    if len(rows):
        linear[-1] += weight[rows] @ saturated(y[None, rows])
        design = predictor.dense(rows)[:, 0]
        design[:, -1] = exposure[rows]
        parts.append(Part(design[None], LargePoisson(total[None, rows])))
    rows = np.flatnonzero(~large & ~void)
    if not len(rows):
        return Sums(tuple(parts), linear)
    linear[-1] += total[rows] @ predictor.offset[rows] - weight[rows] @ gammaln(y[rows] + 1.0)
    exposure, total = exposure[rows], total[rows]
    merged = merge_equal(predictor.columns(rows, offset=False), len(rows))
    if merged is not None:
        top = np.full(len(merged.first), -np.inf)
        np.maximum.at(top, merged.group, exposure)
        exposure = top + np.log(merged.sum(np.exp(exposure - top[merged.group])))
        rows, total = rows[merged.first], merged.sum(total)
    design = predictor.dense(rows)[:, 0]
    design[:, -1] = exposure
    linear[:-1] += total @ design[:, :-1]
    return Sums((*parts, Part(design[None], Exponential())), linear)


def _choices(predictor: Predictor, counts: Array, weight: Array, kind: str, *, coefficient: bool) -> Sums:
    """Choices among categories, that came `counts` times; of units with equal covariates the counts are added."""
    n = counts.sum(axis=0)
    large = (n - counts.max(axis=0) > _LARGE) & (weight > 0)
    linear = np.zeros(predictor.width + 1)
    parts: list[Part] = []
    rows = np.flatnonzero(large)
    if len(rows):
        linear[-1] += weight[rows] @ saturated(counts[:, rows])
        parts.append(_large(predictor.dense(rows), counts[:, rows] * weight[rows], kind))
    rows = np.flatnonzero(~large & (n > 0) & (weight > 0))
    if not len(rows):
        return Sums(tuple(parts), linear)
    if coefficient:
        linear[-1] += weight[rows] @ log_coefficient(counts[:, rows])
    counts = counts[:, rows] * weight[rows]
    merged = merge_equal(predictor.columns(rows, offset=True), len(rows))
    if merged is not None:
        rows, counts = rows[merged.first], np.stack([merged.sum(c) for c in counts])
    design = predictor.dense(rows)
    if kind == "probit":
        parts += _probits(design[:, 0], counts)
    else:
        contrasts, counts = _contrasts(design, counts)
        linear += np.einsum("cn,cnk->k", counts[1:], contrasts)
        parts += _by_weight(contrasts, counts.sum(axis=0), Softmax)
    return Sums(tuple(parts), linear)


def _probits(design: Array, counts: Array) -> list[Part]:
    """Rows with failures and successes, and rows with one of them, as successes of the opposite predictor."""
    failed, came = counts > 0
    both, one = failed & came, failed ^ came
    parts = [Part(design[both][None], ProbitCounts(counts[:, both]))] if both.any() else []
    if one.any():
        signed = design[one] * np.where(failed[one], -1.0, 1.0)[:, None]
        parts += _by_weight(signed[None], counts.sum(axis=0)[one], Probit)
    return parts


def _large(design: Array, counts: Array, kind: str) -> Part:
    if kind == "probit":
        return Part(design[:, 0][None], LargeProbit(counts))
    contrasts, counts = _contrasts(design, counts)
    return Part(contrasts, LargeSoftmax(counts))


def _contrasts(design: Array, counts: Array) -> tuple[Array, Array]:
    """Return the designs of all log odds against each row's commonest category, and counts with that one first.

    So the linear part has the smallest counts there are, and does not cancel against the cumulant however far the
    predictors are from zero.
    """
    if design.shape[1] == 1:
        flip = counts[1] > counts[0]
        return (design[:, 0] * np.where(flip, -1.0, 1.0)[:, None])[None], np.where(flip, counts[::-1], counts)
    order = (counts.argmax(axis=0)[:, None] + np.arange(len(counts))) % len(counts)
    turned = np.take_along_axis(design, order[:, :, None], axis=1)
    contrasts = turned[:, 1:] - turned[:, :1]
    return contrasts.transpose(1, 0, 2), np.take_along_axis(counts, order.T, axis=0)


def _by_weight(design: Array, weight: Array, kernel: type[Softmax] | type[Probit]) -> list[Part]:
    """Return parts of one weight each, as far as there are enough rows of it, and one of the rest."""
    values, group, sizes = np.unique(weight, return_inverse=True, return_counts=True)
    if len(values) == 1 and values[0] <= _LIGHT:
        return [Part(design, kernel(float(values[0])))]
    common = (sizes >= _MANY) & (values <= _LIGHT)
    parts = [Part(design[:, group == i], kernel(float(values[i]))) for i in np.flatnonzero(common)]
    rest = ~common[group]
    if rest.any():
        parts.append(Part(design[:, rest], kernel(weight[rest])))
    return parts
