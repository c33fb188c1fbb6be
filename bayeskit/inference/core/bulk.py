r"""Independence Metropolis-Hastings with all proposals evaluated in bulk, for cores of a few numbers.

A proposal :math:`q` that does not depend on the current point lets every proposal of every chain be drawn and evaluated
in one vectorised call; what is left to do one after another is to compare weights :math:`w = \tilde\pi / q`: a move is
made with probability :math:`\min(1, w'/w)` (Tierney 1994, Annals of Statistics 22, section 2.3.3). The chain is
uniformly ergodic where :math:`w` is bounded (Mengersen and Tweedie 1996, Annals of Statistics 24); whether it is in
practice, the same weights tell beforehand, and they give the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.core.memory import keep_pages
from bayeskit.inference.core.modes import Mode, Newton, find_modes
from bayeskit.inference.core.pareto import judged, scaled
from bayeskit.inference.core.pilot import Pilot, Target, piloted, pooled
from bayeskit.inference.core.proposal import TMixture
from bayeskit.inference.core.sieve import Sieve, sieved

Array = np.ndarray

# Of the pilot draws: what is prepared is the same every time.
SEED = 20_250_711
# Points about every mode that pieces may prepare by.
ABOUT = 40


@dataclass(frozen=True)
class Prepared:
    """A proposal for independence Metropolis-Hastings, and what its pilot draws say about it.

    Attributes
    ----------
    proposal : TMixture or Sieve
        What :func:`run` proposes from.
    acceptance : float
        The acceptance to be expected.
    pareto_k : float
        Shape of the tail of the pilot's weights.
    log_evidence, log_evidence_se : float
        Log of the integral of the density, and its standard error.
    modes : int
        How many modes were found, negligible ones left out.
    ok : bool
        Whether the draws will be good.
    reason : str
        Why not; empty where ``ok``.
    found : tuple of Mode
        The modes.
    vectors, log_target, log_weights : Array
        The best pilot's draws ``(n, d)``, their log density and log weights ``(n,)``: chains start at them.
    evaluations, calls : int
        Points at which the density was evaluated, and in how many calls.
    """

    proposal: TMixture | Sieve
    acceptance: float
    pareto_k: float
    log_evidence: float
    log_evidence_se: float
    modes: int
    ok: bool
    reason: str
    found: tuple[Mode, ...]
    vectors: Array
    log_target: Array
    log_weights: Array
    evaluations: int
    calls: int


@dataclass(frozen=True)
class BulkRun:
    """Draws of independence Metropolis-Hastings.

    Attributes
    ----------
    vectors : Array
        ``(chain, draw, d)``; a rejected proposal repeats the draw before it.
    log_density : Array
        The unnormalised log density of the draws, ``(chain, draw)``.
    accepted : Array
        Whether the draw is a new one, ``(chain, draw)``.
    rows : Array
        Which of the points that the density was asked for, in that order, each draw is: ``(chain, draw)``.
    acceptance, pareto_k, log_evidence, log_evidence_se, ok, reason
        As in :class:`Prepared`, from all proposals of this run.
    """

    vectors: Array
    log_density: Array
    accepted: Array
    rows: Array
    acceptance: float
    pareto_k: float
    log_evidence: float
    log_evidence_se: float
    ok: bool
    reason: str


def prepare(
    log_density: Callable[[Array], Array],
    starts: Array,
    *,
    newton: Newton | None = None,
    settle: Callable[[Array], None] | None = None,
    rough: Callable[[Array], Array] | None = None,
    largest: int | None = None,
    seed: int = SEED,
) -> Prepared:
    """Find the modes, fit a proposal, and say whether its draws will be good. Deterministic.

    Parameters
    ----------
    log_density : callable
        ``(n, d) -> (n,)``, unnormalised, on an unconstrained scale; ``-inf`` is allowed, NaN counts as ``-inf``.
    starts : Array
        Points to look for modes from, ``(m, d)``: at least one in the support. A mode that some of them lead to is
        found; others may be.
    newton : callable, optional
        ``u (d,) -> (gradient, hessian)`` of a log-concave density: its one mode is found with it.
    settle : callable, optional
        Told of points ``(m, d)`` about the first modes, spread as draws will be, before many points are asked for.
    rough : callable, optional
        The log density to within a few hundredths, in less time: modes are looked for by it, and tails.
    largest : int, optional
        Points of one call at most.
    seed : int
        Of the pilot draws.

    Returns
    -------
    Prepared
        With ``ok`` False and a ``reason`` where it did not work out.
    """
    keep_pages()
    target = Target(log_density, largest, rough)
    rng = np.random.default_rng(seed)
    steps = np.random.default_rng([seed, 1]).standard_normal((ABOUT, np.shape(starts)[-1]))

    def about(modes: list[Mode]) -> None:
        if settle is not None:
            settle(np.concatenate([mode.at + steps @ mode.root.T for mode in modes]))

    modes = find_modes(target.rough, np.atleast_2d(np.asarray(starts, float)), rng, newton, about)
    if not modes:
        raise RefusedError(
            "A core cannot be sampled where its density is zero: it is zero at all points near the starts.\n"
            "Give initial values inside the support."
        )
    modes, pilots = piloted(target, modes, rng)
    best = max(pilots, key=lambda pilot: pilot.merit)
    reason = _reason(target, modes, best)
    verdict = best.verdict
    u, log_target, log_pooled = pooled(pilots)
    better = None if reason else sieved(best.proposal, u, log_target, log_pooled, verdict.acceptance)
    return Prepared(
        proposal=best.proposal if better is None else better[0],
        acceptance=verdict.acceptance if better is None else better[1],
        pareto_k=verdict.pareto_k,
        log_evidence=verdict.log_evidence,
        log_evidence_se=verdict.log_evidence_se,
        modes=len(modes),
        ok=not reason,
        reason=reason,
        found=modes,
        vectors=best.vectors,
        log_target=best.log_target,
        log_weights=best.log_weights,
        evaluations=target.evaluations + (0 if rough is None else target.rough.evaluations),
        calls=target.calls + (0 if rough is None else target.rough.calls),
    )


def run(
    prepared: Prepared,
    log_density: Callable[[Array], Array],
    rng: np.random.Generator,
    chains: int,
    draws: int,
    largest: int | None = None,
) -> BulkRun:
    """Draw chains, every proposal of theirs evaluated in one call (or as many as ``largest`` points a call ask for).

    A chain starts from a pilot draw that is chosen with the probability of its weight, so that it is in equilibrium as
    nearly as the pilot is accurate, and needs no burn-in. The figures come from the fresh proposals alone. The density
    may be an unbiased estimate, new at every call (Andrieu and Roberts 2009, Annals of Statistics 37): a chain keeps
    that of a point as long as it stays there.

    Parameters
    ----------
    prepared : Prepared
        Of the same density.
    log_density : callable
        ``(n, d) -> (n,)``.
    rng : Generator
        Source of randomness.
    chains, draws : int
        How many chains, and draws of each.
    largest : int, optional
        Points of one call at most.

    Returns
    -------
    BulkRun
        The draws, and the figures of ``prepared`` from their proposals.
    """
    target = Target(log_density, largest)
    drawn = prepared.proposal.drawn(rng, chains * draws)
    log_target = target(drawn.vectors)
    log_weights = log_target - drawn.log_density
    weights, top = scaled(prepared.log_weights)
    if top == -np.inf:
        raise RefusedError(f"A core cannot be sampled from a proposal that never meets it: {prepared.reason}.")
    first = prepared.vectors[rng.choice(len(weights), size=chains, p=weights / weights.sum())]
    log_first = target(first)
    shape = (chains, draws)
    begun = log_first - prepared.proposal.log_density(first)
    at = accepted_at(log_weights.reshape(shape), np.log1p(-rng.random(shape)), begun)
    chain = np.arange(chains)[:, None]
    rows = np.where(at < 0, chains * draws + chain, chain * draws + at)  # below 0: nothing accepted yet
    verdict = judged(log_weights + math.log(drawn.share), tail=log_target - drawn.log_candidate)
    error = math.sqrt((1 - drawn.share) / len(log_weights))
    return BulkRun(
        vectors=np.concatenate([drawn.vectors, first])[rows],
        log_density=np.concatenate([log_target, log_first])[rows],
        accepted=at == np.arange(draws),
        rows=rows,
        acceptance=verdict.acceptance,
        pareto_k=verdict.pareto_k,
        log_evidence=verdict.log_evidence,
        log_evidence_se=math.hypot(verdict.log_evidence_se, error),
        ok=not verdict.reason,
        reason=verdict.reason,
    )


def accepted_at(log_weights: Array, log_uniforms: Array, first: Array) -> Array:
    """Return for every draw ``(chain, draw)`` which proposal the chain stands at; -1 for the point it began at.

    A chain stands at the proposal before, most of the time. Where it does, one comparison of arrays says whether it
    moves on; only where it stays must weights be compared with the last accepted one, one after another.
    """
    before = np.concatenate([first[:, None], log_weights[:, :-1]], axis=1)  # it stands at, if the last was accepted
    reached = log_weights - log_uniforms
    at = np.broadcast_to(np.arange(log_weights.shape[1]), log_weights.shape).copy()
    for c, halts in enumerate(reached < before):
        bars, rejected, free = [*reached[c].tolist(), np.inf], [], 0
        where = np.flatnonzero(halts)
        for i, current in zip(where.tolist(), before[c, where].tolist(), strict=True):
            if i < free:  # the chain stood elsewhere
                continue
            free = i
            while bars[free] < current:
                rejected.append(free)
                free += 1
            free += 1  # that one is accepted
        at[c, rejected] = -1
    return np.maximum.accumulate(at, axis=1)


def _reason(target: Target, modes: tuple[Mode, ...], best: Pilot) -> str:
    """What is wrong, and what of the modes may be why."""
    if target.infinite:
        return "the density is infinite at some point"
    rough = {mode.kind for mode in modes} - {"interior"}
    if not best.reason or not rough:
        return best.reason
    where = "it does not fall off on all sides" if "endless" in rough else "its mode lies at a boundary"
    return f"{best.reason}; {where}"
