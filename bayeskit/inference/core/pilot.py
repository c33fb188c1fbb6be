"""Pilot draws: from the modes of a small core to a proposal that is good enough, in as few evaluations as it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.inference.core.modes import Mode, more_modes
from bayeskit.inference.core.pareto import MOST_PARETO_K, Verdict, evidence, judged, scaled
from bayeskit.inference.core.proposal import TMixture, defended, mixture, refitted, scanned
from bayeskit.inference.core.tails import tailed

Array = np.ndarray

# Pilots end at this acceptance; at a fair one after so many evaluations; when refitted proposals gain less than this;
# with so many evaluations in any case.
GOOD_ACCEPTANCE = 0.8
FAIR_ACCEPTANCE, FAIR = 0.5, 1000
WORTHWHILE = 0.03
PILOT = 8_000
# Draws of the largest pilot, and again to confirm one; what a pilot beyond doubt has, for a sieve to be fitted to.
# Above this Pareto k a pilot, being small and chosen, must show that not much is unseen.
LARGEST = 1500
SHOWN = 600
SAFE_PARETO_K = 0.5
# A draw this much higher than every mode shows that one is missing.
HIGHER = 0.5
# All pilots together may find more mass than the one chosen by so many standard errors.
MOST_MISSING = 3.0
# Draws far out that are asked where they lead; of so many pilots are the heavy draws asked.
OUTLYING = 24
LOOKS = 3
# Axes are scanned in as many dimensions at most.
SCANNED = 16
# Numbers held at once when proposals are drawn and evaluated.
NUMBERS = 4_000_000

MISSED = "a mode had not been found"


class Target:
    """A log density that counts what it is asked.

    NaN counts as ``-inf``, and so does ``+inf``, which is remembered; floating-point warnings are nobody's business.

    Parameters
    ----------
    log_density : callable
        ``(n, d) -> (n,)``.
    largest : int, optional
        Points of one call at most.
    rough : callable, optional
        The same to within a few hundredths, in less time: what proposals are made by before there are draws.

    Attributes
    ----------
    rough : Target
        Of that; itself where there is none.
    """

    def __init__(
        self,
        log_density: Callable[[Array], Array],
        largest: int | None = None,
        rough: Callable[[Array], Array] | None = None,
    ) -> None:
        self._log_density = log_density
        self._largest = largest
        self.rough = self if rough is None else Target(rough, largest)
        self.evaluations = 0
        self.calls = 0
        self.infinite = False

    def __call__(self, u: Array) -> Array:
        """Return the log density at points ``(n, d)``: ``(n,)``, never NaN."""
        largest = self._largest or max(1, NUMBERS // u.shape[1])
        values = [self._one(u[i : i + largest]) for i in range(0, len(u), largest)]
        return values[0] if len(values) == 1 else np.concatenate(values) if values else np.zeros(0)

    def _one(self, u: Array) -> Array:
        self.evaluations += len(u)
        self.calls += 1
        with np.errstate(all="ignore"):
            values = np.asarray(self._log_density(u), float)
        above = np.isposinf(values)
        self.infinite |= bool(above.any())
        return np.where(np.isnan(values) | above, -np.inf, values)


@dataclass(frozen=True)
class Pilot:
    """Draws from one proposal, and the verdict on it.

    Attributes
    ----------
    fit, proposal : TMixture
        What was fitted, and that with its wide component: what was drawn from.
    vectors, log_target, log_weights : Array
        Draws ``(n, d)``, their log density and log weights ``(n,)``.
    verdict : Verdict
        Of the weights.
    reason : str
        What is wrong with it.
    """

    fit: TMixture
    proposal: TMixture
    vectors: Array
    log_target: Array
    log_weights: Array
    verdict: Verdict
    reason: str

    @property
    def merit(self) -> tuple[bool, bool, float]:
        """What the best pilot has most of: it knew all modes, nothing is wrong with it, its acceptance."""
        return self.reason != MISSED, not self.reason, self.verdict.acceptance

    @property
    def clear(self) -> bool:
        """Whether a good acceptance and no heavy tail leave no doubt."""
        return self.verdict.acceptance >= GOOD_ACCEPTANCE and self.verdict.pareto_k <= MOST_PARETO_K


def piloted(target: Target, modes: tuple[Mode, ...], rng: np.random.Generator) -> tuple[tuple[Mode, ...], list[Pilot]]:
    """Draw pilots and refit the proposal until it is good enough, or no better any more.

    Parameters
    ----------
    target : Target
        The log density.
    modes : tuple of Mode
        Its modes.
    rng : Generator
        Source of randomness.

    Returns
    -------
    modes : tuple of Mode
        With those that pilot draws led to.
    pilots : list of Pilot
        The best is the one of greatest ``merit``.
    """
    pilots: list[Pilot] = []
    fit = from_modes(target, modes)
    while True:
        pilots.append(_drawn(target, fit, modes, rng, len(pilots)))
        smooth = any(mode.kind == "interior" for mode in modes)
        more = _looked_around(target, modes, pilots) if smooth and len(pilots) <= LOOKS else modes
        if len(more) > len(modes):  # what was piloted before is good for refitting only
            modes, fit = more, from_modes(target, more)
            pilots = [replace(pilot, reason=MISSED) for pilot in pilots]
            continue
        if _enough(pilots):
            best = max(range(len(pilots)), key=lambda i: pilots[i].merit)
            pilots[best] = _confirmed(target, modes, pilots, best, rng)
            if not pilots[best].reason or _spent(pilots) >= PILOT:
                return modes, pilots
        fit = _refitted(pilots)


def from_modes(target: Target, modes: tuple[Mode, ...]) -> TMixture:
    """Return the components that the modes give."""
    fit = mixture(
        np.array([mode.log_mass for mode in modes]),
        np.stack([mode.at for mode in modes]),
        np.stack([mode.covariance for mode in modes]),
    )
    return scanned(target.rough, fit) if len(modes[0].at) <= SCANNED else fit


def weighed(target: Target, proposal: TMixture, u: Array) -> tuple[Array, Array]:
    """Return the log density at points ``(n, d)`` and their log weights, ``(n,)`` both."""
    log_target = target(u)
    return log_target, log_target - proposal.log_density(u)


def _drawn(target: Target, fit: TMixture, modes: tuple[Mode, ...], rng: np.random.Generator, before: int) -> Pilot:
    """Draw from a fit and judge it; pilots grow from one to the next."""
    n = min(min(200 + 20 * len(modes[0].at), 800) * (before + 1), LARGEST)
    proposal = defended(tailed(target.rough, fit) if len(modes[0].at) <= SCANNED else fit)
    u = proposal.sample(rng, n)
    log_target, log_weights = weighed(target, proposal, u)
    verdict = judged(log_weights, SAFE_PARETO_K)
    return Pilot(fit, proposal, u, log_target, log_weights, verdict, verdict.reason or _unlike(modes, u, log_target))


def _confirmed(
    target: Target, modes: tuple[Mode, ...], pilots: list[Pilot], best: int, rng: np.random.Generator
) -> Pilot:
    """Draw again from a proposal: many where it is not beyond doubt, for the best of several is so by luck in part.

    Then the new draws are judged on their own; and the draws of all pilots together, which other proposals took
    elsewhere, must not find more mass than those of this one.
    """
    pilot = pilots[best]
    if pilot.reason:
        return pilot
    reason, most = "", MOST_PARETO_K if pilot.clear else SAFE_PARETO_K
    more = SHOWN - len(pilot.vectors) if pilot.clear else LARGEST
    if more > 0:
        u = pilot.proposal.sample(rng, more)
        log_target, log_weights = weighed(target, pilot.proposal, u)
        reason = "" if pilot.clear else judged(log_weights, most).reason
        reason = reason or _unlike(modes, u, log_target)
        pilot = replace(
            pilot,
            vectors=np.concatenate([pilot.vectors, u]),
            log_target=np.concatenate([pilot.log_target, log_target]),
            log_weights=np.concatenate([pilot.log_weights, log_weights]),
        )
    verdict = judged(pilot.log_weights, most)
    _, log_target, log_proposal = pooled([*pilots[:best], pilot, *pilots[best + 1 :]])
    everything, error = evidence(log_target - log_proposal)
    missing = everything - verdict.log_evidence
    if missing > MOST_MISSING * math.hypot(error, verdict.log_evidence_se):
        reason = (
            reason or f"other proposals found more mass (log evidence {everything:.2f}, not {verdict.log_evidence:.2f})"
        )
    return replace(pilot, verdict=verdict, reason=reason or verdict.reason)


def _unlike(modes: tuple[Mode, ...], u: Array, log_target: Array) -> str:
    """Say where the draws and the modes contradict one another."""
    highest = max(mode.log_density for mode in modes)
    if log_target.max() > highest + HIGHER:
        return "the density is higher at some draw than at every mode found"
    masses = np.array([mode.log_mass for mode in modes])
    shares = np.exp(masses - masses.max())
    shares /= shares.sum()
    reach = math.sqrt(u.shape[1]) + 3
    for mode, share in zip(modes, shares, strict=True):
        if mode.kind == "interior" and share * len(u) > 10 and not (mode.distance(u) < reach).any():
            return "a mode that was found is never proposed"
    return ""


def _looked_around(target: Target, modes: tuple[Mode, ...], pilots: list[Pilot]) -> tuple[Mode, ...]:
    """The modes, and those that draws lead to: heavy or high ones, and after the first pilot the outlying ones."""
    last = pilots[-1]
    weights, _ = scaled(last.log_weights)
    asked = weights > 0.05 * weights.sum()
    asked |= last.log_target > max(mode.log_density for mode in modes) + HIGHER
    if len(pilots) == 1:
        distance = np.min([mode.distance(last.vectors) for mode in modes], axis=0)
        asked[np.argsort(-distance)[:OUTLYING]] = True
    asked &= np.isfinite(last.log_target)
    order = np.flatnonzero(asked)
    order = order[np.argsort(-last.log_target[order], kind="stable")]
    return more_modes(target.rough, modes, last.vectors[order], last.log_target[order])


def _enough(pilots: list[Pilot]) -> bool:
    """Tell whether to stop: good, or the last two no better than one before them, or too much spent."""
    spent, last = _spent(pilots), pilots[-1]
    good = not last.reason and last.verdict.acceptance >= (GOOD_ACCEPTANCE if spent < FAIR else FAIR_ACCEPTANCE)
    before = max((pilot.verdict.acceptance for pilot in pilots[:-2] if not pilot.reason), default=math.inf)
    idle = max(pilot.verdict.acceptance for pilot in pilots[-2:]) < before + WORTHWHILE
    return good or spent >= PILOT or (before < math.inf and idle)


def _spent(pilots: list[Pilot]) -> int:
    return sum(len(pilot.vectors) for pilot in pilots)


def pooled(pilots: list[Pilot]) -> tuple[Array, Array, Array]:
    """Return the draws of all pilots, their log density, and that of the mixture of all proposals.

    The deterministic mixture of adaptive multiple importance sampling (Cornuet, Marin, Mira, Robert 2012, Scandinavian
    Journal of Statistics 39): evaluations are never thrown away.
    """
    u = np.concatenate([pilot.vectors for pilot in pilots])
    log_target = np.concatenate([pilot.log_target for pilot in pilots])
    sizes = np.array([len(pilot.vectors) for pilot in pilots])
    parts = np.stack([pilot.proposal.log_density(u) for pilot in pilots]) + np.log(sizes / sizes.sum())[:, None]
    top = parts.max(axis=0)
    return u, log_target, top + np.log(np.exp(parts - top).sum(axis=0))


def _refitted(pilots: list[Pilot]) -> TMixture:
    """A proposal from the draws of all pilots."""
    u, log_target, log_proposal = pooled(pilots)
    return refitted(pilots[-1].fit, u, log_target, log_target - log_proposal)
