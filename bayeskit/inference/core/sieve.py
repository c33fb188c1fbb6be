r"""A proposal made nearer to its target by rejection: a polynomial through the pilot draws says what to let through.

A mixture of t follows a density of a few numbers to an acceptance of 0.6 to 0.9. What it misses is smooth, and the
pilot draws have shown it: a polynomial :math:`\hat\ell` fitted to their log density costs a few hundred
multiplications a point, where the density itself may cost a thousand quadratures. Candidates from the mixture q are
kept with probability

.. math:: \alpha(u) = \operatorname{clip}(e^{\hat\ell(u) - \log q(u) - c}, \alpha_{\min}, 1),

so that what is proposed has the density :math:`q \alpha / \operatorname{E}_q \alpha`, exactly (von Neumann 1951).
However poor the polynomial is, weights grow by :math:`1 / \alpha_{\min}` at most, and they say what the chain does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb

import numpy as np

from bayeskit.distributions.products import gram, product
from bayeskit.inference.core.monomials import made_of, monomials, polynomial
from bayeskit.inference.core.proposal import Drawn, TMixture

Array = np.ndarray

LEAST, LEAST_BEYOND = 0.08, 0.5  # of the probabilities of being kept, and beyond the pilot draws that matter
HIGHEST = 6  # degree of the polynomial at most, and of how many terms
TERMS = 300
DRAWS_A_TERM = 3  # pilot draws for every term, at least
RIDGE = 1e-9  # relative to the mean square of a term
KEPT = 0.2  # of the candidates, at least
TOP = 0.98  # share of the mass below the level at which all are kept
REACH = 0.98  # share of the mass within which the polynomial is believed
WORTHWHILE = 0.02  # gain in acceptance


@dataclass(frozen=True)
class Polynomial:
    """A polynomial of several variables in units of their spread.

    Attributes
    ----------
    middle : Array
        ``(d,)``.
    units : Array
        Takes differences from it to coordinates of spread one, ``(d, d)``.
    made : Array
        Every monomial as one of fewer factors times a coordinate: ``(terms - 1, 2)``.
    coefficients : Array
        ``(terms,)``.
    """

    middle: Array
    units: Array
    made: Array
    coefficients: Array

    def in_units(self, u: Array) -> Array:
        """Return points ``(n, d)`` in units of their spread: ``(d, n)``."""
        return product(self.units, u.T - self.middle[:, None])

    def __call__(self, y: Array) -> Array:
        """Return its values at points in units of their spread ``(d, n)``: ``(n,)``."""
        return polynomial(self.made, self.coefficients, y)


@dataclass(frozen=True)
class Sieve:
    """A mixture of which only a part is let through, by what a polynomial promises.

    Attributes
    ----------
    proposal : TMixture
        Where candidates come from.
    promise : Polynomial
        The log density, nearly.
    level : float
        Log weight from which on all candidates are kept.
    reach : float
        Distance up to which the polynomial is to be believed.
    share : float
        Of the candidates, how many will be kept, about.
    """

    proposal: TMixture
    promise: Polynomial
    level: float
    reach: float
    share: float = 2 * KEPT

    def log_kept(self, u: Array, log_proposal: Array) -> Array:
        """Return the log probabilities with which candidates ``(n, d)`` are kept, given their log density: ``(n,)``."""
        y = self.promise.in_units(u)
        return self._log_kept(self.promise(y), _length(y), log_proposal)

    def _log_kept(self, promised: Array, distance: Array, log_proposal: Array) -> Array:
        least = np.where(distance <= self.reach, np.log(LEAST), np.log(LEAST_BEYOND))
        return np.clip(promised - log_proposal - self.level, least, 0.0)

    def log_density(self, u: Array) -> Array:
        """Return the log density at points ``(n, d)``, but for the log of the share that is kept: ``(n,)``."""
        log_proposal = self.proposal.log_density(u)
        return log_proposal + self.log_kept(u, log_proposal)

    def drawn(self, rng: np.random.Generator, n: int) -> Drawn:
        """Return ``n`` of the candidates that were kept, with their log densities."""
        parts: list[tuple[Array, Array, Array]] = []
        kept = tried = 0
        while kept < n:
            share = kept / tried if kept else self.share
            found = self.proposal.drawn(rng, int(1.03 * (n - kept) / share) + 16)
            log_kept = self.log_kept(found.vectors, found.log_density)
            through = np.flatnonzero(np.log1p(-rng.random(len(log_kept))) < log_kept)
            candidate = found.log_density[through]
            parts.append((found.vectors[through], candidate + log_kept[through], candidate))
            kept, tried = kept + len(candidate), tried + len(log_kept)
        vectors, log_density, log_candidate = (np.concatenate(p)[:n] for p in zip(*parts, strict=True))
        return Drawn(vectors, log_density, log_candidate, kept / tried)


def sieved(
    proposal: TMixture, u: Array, log_target: Array, log_pooled: Array, before: float
) -> tuple[Sieve, float] | None:
    """Return a proposal and its expected acceptance, judged by draws it was not fitted to; None where it is no gain.

    Parameters
    ----------
    proposal : TMixture
        Where candidates are to come from.
    u, log_target, log_pooled : Array
        Pilot draws ``(n, d)``, their log density, and the log density of what they were drawn from, ``(n,)``.
    before : float
        The acceptance without a sieve.
    """
    order = np.flatnonzero(np.isfinite(log_target))
    order = np.concatenate([order[::2], order[1::2]])
    u, log_target, log_pooled = u[order], log_target[order], log_pooled[order]
    log_proposal = proposal.log_density(u)
    half = (len(u) + 1) // 2
    sizes = {k: comb(u.shape[1] + k, k) for k in range(2, HIGHEST + 1)}
    degrees = [k for k, size in sizes.items() if size <= min(TERMS, (len(u) - half) // DRAWS_A_TERM)]
    if not degrees:
        return None
    form = _form(u, log_target - log_pooled, degrees[-1])
    y = form.in_units(u)
    level, reach = _level(log_target, log_pooled, log_proposal), _reach(_length(y), log_target - log_pooled)
    terms = monomials(form.made, y)  # those of a lower degree come first
    root, top = _roots(log_target - log_pooled), float(log_target.max())
    fit = _LeastSquares.of(terms[:, :half], root[:half], log_target[:half], top)
    rest = slice(half, None)
    distance = _length(y[:, rest])
    best: tuple[float, int] | None = None
    for degree in degrees:
        sieve = Sieve(proposal, form, level, reach)
        promised = product(fit.coefficients(sizes[degree]), terms[: sizes[degree], rest])
        log_kept = sieve._log_kept(promised, distance, log_proposal[rest])
        rate = _acceptance(log_target[rest], log_pooled[rest], log_proposal[rest] + log_kept)
        if best is None or rate > best[0] + WORTHWHILE / 4:
            best = rate, degree
        elif degree >= best[1] + 2:
            break
    if best is None or best[0] < before + WORTHWHILE:
        return None
    rate, degree = best
    terms = terms[: sizes[degree]]
    whole = fit.joined(_LeastSquares.of(terms[:, rest], root[rest], log_target[rest], top))
    promise = replace(form, made=form.made[: sizes[degree] - 1], coefficients=whole.coefficients(sizes[degree]))
    sieve = Sieve(proposal, promise, level, reach)
    candidates = np.exp(log_proposal - log_pooled)
    promised = product(promise.coefficients, terms)
    share = candidates @ np.exp(sieve._log_kept(promised, _length(y), log_proposal))
    return replace(sieve, share=max(KEPT, float(share / candidates.sum()))), rate


@dataclass(frozen=True)
class _LeastSquares:
    """The normal equations of a log density in some terms.

    Attributes
    ----------
    gram, right : Array
        ``(terms, terms)`` and ``(terms,)``.
    top : float
        What is taken off the log density, for the first term to take up.
    """

    gram: Array
    right: Array
    top: float

    @classmethod
    def of(cls, terms: Array, root: Array, log_target: Array, top: float) -> _LeastSquares:
        """Return those of draws: their terms ``(terms, n)``, roots of weights and log densities ``(n,)``."""
        rooted = terms * root
        return cls(gram(rooted), product(root * (log_target - top), rooted.T), top)

    def joined(self, more: _LeastSquares) -> _LeastSquares:
        """Return those of two sets of draws, in the terms of the second, which are the first ones of these."""
        size = len(more.right)
        return _LeastSquares(self.gram[:size, :size] + more.gram, self.right[:size] + more.right, self.top)

    def coefficients(self, size: int) -> Array:
        """Return the best coefficients of the first terms."""
        matrix = self.gram[:size, :size] + np.diag(RIDGE * np.diagonal(self.gram)[:size])
        found = np.linalg.solve(matrix, self.right[:size])
        found[0] += self.top
        return np.asarray(found)


def _roots(log_weights: Array) -> Array:
    """Return the square roots of weights by which draws count, over the mean: none counts more than that."""
    mean = np.log(np.mean(np.exp(log_weights - log_weights.max()))) + log_weights.max()
    return np.asarray(np.exp(0.5 * np.minimum(log_weights - mean, 0.0)))


def _level(log_target: Array, log_pooled: Array, log_proposal: Array) -> float:
    """Return the log weight below which most of the mass has its own, or one at which enough would be kept."""
    log_weights = log_target - log_proposal
    candidates = np.exp(log_proposal - log_pooled)
    mass = np.exp(log_target - log_pooled - (log_target - log_pooled).max())
    order = np.argsort(log_weights)
    level = float(log_weights[order][np.searchsorted(np.cumsum(mass[order]), TOP * mass.sum())])
    while candidates @ np.clip(np.exp(log_weights - level), LEAST, 1.0) < KEPT * candidates.sum():
        level -= 0.25
    return level


def _length(y: Array) -> Array:
    """Return the lengths of vectors ``(d, n)``: ``(n,)``."""
    return np.sqrt(np.einsum("dn,dn->n", y, y))


def _reach(distance: Array, log_weights: Array) -> float:
    """Return the distance within which all but little of the mass lies."""
    mass = np.exp(log_weights - log_weights.max())
    order = np.argsort(distance)
    return float(distance[order][np.searchsorted(np.cumsum(mass[order]), REACH * mass.sum())])


def _form(u: Array, log_weights: Array, degree: int) -> Polynomial:
    """Return the polynomial zero of some degree, in units of the spread of weighted draws."""
    w = np.exp(log_weights - log_weights.max())
    w /= w.sum()
    middle = w @ u
    off = u - middle
    units = np.linalg.inv(np.linalg.cholesky((off.T * w) @ off))
    made = made_of(u.shape[1], degree)
    return Polynomial(middle, units, made, np.zeros(len(made) + 1))


def _acceptance(log_target: Array, log_pooled: Array, log_density: Array) -> float:
    r"""Return :math:`\operatorname{E} \min(1, w'/w)` of proposals with some log density, from draws of another."""
    shares = np.exp(log_density - log_pooled)
    log_weights = log_target - log_density
    order = np.argsort(log_weights)
    shares, weights = shares[order], np.exp(log_weights[order] - log_weights.max())
    mass = shares * weights
    above = shares.sum() - np.cumsum(shares)
    return float((2 * mass @ above + mass @ shares) / (mass.sum() * shares.sum()))
