r"""From scores given a core to scores: over quadrature nodes, which is exact, or over draws, by importance sampling.

With :math:`p_k = p(y_g \mid y_{-g}, \text{core}_k)` and the core's posterior given all the data,

.. math:: p(y_g \mid y_{-g}) = 1 \Big/ \operatorname{E}_{\text{core} \mid y} \bigl[ 1 / p_k \bigr],

for :math:`p(\text{core} \mid y) \propto p(\text{core}) p(y_{-g} \mid \text{core})\, p_k`, so that the expectation is
:math:`p(y_{-g}) / p(y)`. With nodes this is a sum with the weights of the rule. With draws the ratios are smoothed by
Pareto tails (PSIS): integrated importance sampling, whose ratios vary with the core alone.
Source: Vehtari, Gelman and Gabry (2017), Statistics and Computing 27, eq. 10; Vehtari et al. (2016), JMLR 17(103),
sec. 3.6 (integrated importance sampling); Vehtari et al. (2024), JMLR 25(72) (Pareto smoothing and its MCSE).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from bayeskit.posterior.checks.core_line import CoreLine
from bayeskit.posterior.checks.rows import Groups

Array = np.ndarray
Environment = Mapping[str, Array]
_CHUNK = 4_000_000  # numbers held at once
_GROUPS = 50  # whose effective draws are counted


class Scores(Protocol):
    """Log densities of groups of rows given all rows, and given the others; zero for what is not theirs."""

    groups: Groups
    cost: int
    work: float  # multiplications that `sequence` takes for an entry of the batch
    memory: int  # and numbers that it holds

    def score(self, env: Environment) -> tuple[Array, Array]:
        """Return both: each ``(batch, groups)``."""

    def sequence(self, env: Environment, upto: int) -> Array:
        """Return the log densities of the groups before one, each given those before it: ``(batch, groups)``."""


@dataclass(frozen=True, eq=False)
class Averaged:
    """Scores of the groups: ``(groups,)`` each.

    Attributes
    ----------
    inside, outside : array
        Log densities given all rows, and given the others.
    pareto_k, variance : array or None
        Of the importance ratios, and Monte Carlo variance of ``outside``; None where nothing is sampled.
    """

    inside: Array
    outside: Array
    pareto_k: Array | None = None
    variance: Array | None = None


def over_nodes(scores: Sequence[Scores], known: Environment, core: CoreLine, cell: Array) -> Averaged:
    """Average over a core of one number by quadrature: exactly; ``cell`` is that of every group."""
    groups = len(cell)

    def ratios(values: Environment) -> Array:
        log_in, log_out = _safely(scores, {**known, **values}, len(next(iter(values.values()))))
        return np.concatenate([log_in, -log_out], axis=1)

    found = core.log_expectations(ratios, np.tile(cell, 2), _step(scores, 2 * groups))
    return Averaged(found[:groups], -found[groups:])


def _safely(scores: Sequence[Scores], env: Environment, count: int) -> tuple[Array, Array]:
    """Return the scores, NaN where a system lost its digits; one such entry spoils a batch, and is found by halving."""
    try:
        with np.errstate(all="ignore"):
            log_in, log_out = total(scores, env)
        shape = (count, log_in.shape[1])
        return np.broadcast_to(log_in, shape), np.broadcast_to(log_out, shape)
    except np.linalg.LinAlgError:
        if count == 1:
            nothing = np.full((1, scores[0].groups.count), np.nan)
            return nothing, nothing
    halves = []
    for part in (slice(None, count // 2), slice(count // 2, None)):
        some = {n: v[part] if len(v) == count else v for n, v in env.items()}
        halves.append(_safely(scores, some, len(range(count)[part])))
    return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])


def over_draws(scores: Sequence[Scores], known: Environment, draws: Environment, chains: int) -> Averaged:
    """Average over draws ``(chains * draws, *dims)``; groups that no draw moves are exact."""
    count = len(next(iter(draws.values())))
    parts = [total(scores, env) for env, _ in _chunks(scores, known, draws, count)]
    log_in, log_out = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    inside = logsumexp(log_in, axis=0) - np.log(count)
    outside, k, variance = smoothed(log_out, effective(log_out, chains))
    return Averaged(inside, outside, k, variance)


def effective(log_out: Array, chains: int) -> float:
    """Return which share of the draws is effective for the scores: the mean over some of the groups."""
    from arviz_stats.base.array import array_stats

    count, groups = log_out.shape
    some = log_out[:, np.unique(np.linspace(0, groups - 1, _GROUPS).astype(int))]
    some = some[:, np.isfinite(some).all(axis=0) & (np.ptp(some, axis=0) > 0)]
    if not some.shape[1] or count // chains < 4:
        return 1.0
    ess = array_stats.ess(some.reshape(chains, -1, some.shape[1]), method="mean", chain_axis=0, draw_axis=1)
    return float(min(1.0, np.nanmean(ess) / count))


def smoothed(log_out: Array, r_eff: float) -> tuple[Array, Array, Array]:
    """Return the log of ``1 / E[1 / p]`` by Pareto-smoothed importance sampling, its k-hat and its variance."""
    from arviz_stats.base.array import array_stats

    groups = log_out.shape[1]
    found, k, variance = np.empty(groups), np.full(groups, -np.inf), np.zeros(groups)
    moving = (np.ptp(log_out, axis=0) > 1e-12 * np.abs(log_out).max(axis=0)) & np.isfinite(log_out).all(axis=0)
    found[~moving] = log_out[:, ~moving].min(axis=0)
    if moving.any():
        here = log_out[:, moving].T
        log_w, k[moving] = array_stats.psislw(here, r_eff=r_eff)  # it negates
        log_w = log_w - logsumexp(log_w, axis=-1, keepdims=True)
        found[moving] = logsumexp(log_w + here, axis=-1)
        spread = np.exp(2 * log_w) * np.expm1(here - found[moving][:, None]) ** 2
        variance[moving] = spread.sum(axis=-1) / r_eff
    return found, k, variance


def total(scores: Sequence[Scores], env: Environment) -> tuple[Array, Array]:
    """Return the sums of the scores of parts that are independent given the core: each ``(batch, groups)``."""
    found = [s.score(env) for s in scores]
    return sum(f[0] for f in found), sum(f[1] for f in found)  # type: ignore[return-value]


def _chunks(
    scores: Sequence[Scores], known: Environment, core: Environment, count: int
) -> Iterator[tuple[dict[str, Array], slice]]:
    """Yield the environment at some of the core's values at a time."""
    size = _step(scores, 0)
    for start in range(0, count, size):
        at = slice(start, min(start + size, count))
        yield {**known, **{n: v[at] for n, v in core.items()}}, at


def _step(scores: Sequence[Scores], more: int) -> int:
    """Return for how many entries of a batch there is room."""
    return max(1, _CHUNK // max(1, more + sum(s.cost for s in scores)))
