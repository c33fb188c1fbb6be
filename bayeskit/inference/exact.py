"""Exact components: groups of latents whose joint posterior is known in closed form.

Every component answers the same questions: independent draws, marginals as distributions, its log evidence, and its
joint log density.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import logsumexp

from bayeskit.conjugate.families import ParetoFamily
from bayeskit.errors import ImproperError, SupportError
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.conjugacy import ConjugateUpdate, Refusal, match, term
from bayeskit.inference.enumeration import Enumeration, enumeration
from bayeskit.inference.exact_gaussian import ExactGaussian, common_scale
from bayeskit.inference.exact_wishart import normal_wishart
from bayeskit.inference.networks.answers import finite_marginal
from bayeskit.inference.networks.component import coupled_network
from bayeskit.inference.structure import gaussian_latents
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


class ExactComponent(Protocol):
    """What an exact component answers."""

    names: list[str]
    reason: str

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw all its latents jointly: each ``(draws, *dims)``."""

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return the marginal of one latent; ``wrap`` labels arrays over its dims."""

    def log_evidence(self) -> float:
        """Return the log of what the component integrates to, its observations included."""

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return its joint posterior log density: ``(batch,)``."""


class ExactConjugate:
    """One latent in its own natural family given data alone."""

    def __init__(self, problem: Problem, update: ConjugateUpdate) -> None:
        self.problem, self.update = problem, update
        self.names = [update.latent.name]
        self.naturals = update.naturals(problem.env)
        rows = ", ".join(dict.fromkeys(c.label for c in update.contributions))
        self.reason = f"conjugate: {update.latent.prior.distribution} prior with {rows}"
        if isinstance(update.family, ParetoFamily) and not update.family.is_possible(self.naturals).all():
            raise SupportError(
                f"Observations below '{self.names[0]}' must be possible under its prior "
                f"{update.latent.prior.distribution}. Got {float(self.naturals[1].max()):g}. Widen the prior, or check "
                "the data."
            )
        with np.errstate(all="ignore"):
            proper = np.asarray(update.family.is_proper(self.naturals))
        if not proper.all():
            prior = update.latent.prior.distribution
            why = (
                f"under its prior {prior} the data let the density rise without end. Use one that falls faster there."
                if prior.is_proper
                else f"its prior {prior} is improper and the data do not mend it. Use a proper prior."
            )
            raise ImproperError(
                f"The posterior of '{self.names[0]}' is improper in {int((~proper).sum())} of {proper.size} "
                f"cells: {why}"
            )

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw independently."""
        naturals = tuple(np.broadcast_to(n, (draws, *n.shape[1:])) for n in self.naturals)
        return {self.names[0]: self.update.family.sample(naturals, rng)}

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return the posterior, labelled."""
        return self.update.family.distribution(tuple(n[0] for n in self.naturals), wrap)

    def log_evidence(self) -> float:
        """Return the difference of log normalisers, and what the children carry."""
        return float(self.update.log_evidence(self.problem.env)[0])

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the joint density over the evidence."""
        env = {**self.problem.env, **values}
        factors = [self.update.latent.prior, *(c.factor for c in self.update.contributions)]
        return np.asarray(sum(f.total(env) for f in factors) - self.log_evidence())


class ExactFinite:
    """One finite latent given data alone, by enumeration."""

    def __init__(self, problem: Problem, found: Enumeration) -> None:
        self.problem, self.found = problem, found
        self.names = [found.name]
        self.reason = f"finite: {len(found.values)} values enumerated"
        logs = found.log_weights(problem.env)
        impossible = ~np.isfinite(logs.max(axis=-1))
        if impossible.any():
            raise SupportError(
                f"The data must be possible under some value of '{found.name}' ~ "
                f"{found.conditional.latent.prior.distribution}. Got data that no value allows, in "
                f"{int(impossible.sum())} of {impossible.size} cells. Widen the prior, or check the data."
            )
        self.log_evidences = logsumexp(logs, axis=-1)
        self.log_p = (logs - self.log_evidences[..., None])[0]  # (*dims, values)

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw independently."""
        return {self.names[0]: self.found.draw(self.problem.env, rng, draws)}

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return a Bernoulli or a Categorical where the prior is one, else a distribution on the values."""
        return finite_marginal(self.found.conditional.latent, self.found.values, np.exp(self.log_p), wrap)

    def log_evidence(self) -> float:
        """Return the log of the sum over values."""
        return float(self.log_evidences.sum())

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the log probability of the values."""
        place = values[self.names[0]][..., None] - self.found.values[0]
        picked = np.take_along_axis(np.broadcast_to(self.log_p, (*place.shape[:-1], len(self.found.values))), place, -1)
        return picked.reshape(picked.shape[0], -1).sum(axis=1)


def exact_component(problem: Problem, names: list[str]) -> ExactComponent | Refusal:
    """Return a group of connected latents in closed form, or why it has none."""
    network = coupled_network(problem, names)
    if network is not None:
        return network
    if any(problem.terms_of(n) for n in names):
        label = next(t for n in names for t in problem.terms_of(n))
        return Refusal(f"{term(problem, label)} has no closed form")
    gaussian, refusals = gaussian_latents(problem, names)
    rest = [n for n in names if n not in gaussian]
    if gaussian and len(rest) <= 1:
        found = _gaussian(problem, gaussian, rest)
        if not isinstance(found, Refusal) or len(names) > 1:
            return refusals[rest[0]].about(rest[0]) if rest and rest[0] in refusals else found
    if len(names) > 1:
        return _many(names, refusals)
    (name,) = names
    update = match(problem, name)
    if isinstance(update, ConjugateUpdate):
        return ExactConjugate(problem, update)
    listed = enumeration(problem, name)
    return ExactFinite(problem, listed) if isinstance(listed, Enumeration) else update.about(name)


def _gaussian(problem: Problem, gaussian: list[str], rest: list[str]) -> ExactComponent | Refusal:
    if rest:
        wishart = normal_wishart(problem, gaussian, rest[0])
        if not isinstance(wishart, Refusal):
            return wishart
        if problem.latents[rest[0]].prior.event:
            return wishart
    block = GaussianBlock(problem, gaussian)
    scale = None
    if rest:
        found = common_scale(problem, rest[0], block)
        if isinstance(found, Refusal):
            return found
        scale = found
    component = ExactGaussian(block, scale)
    return component


def _many(names: list[str], refusals: Mapping[str, Refusal]) -> Refusal:
    for name in names:
        if name in refusals:
            return refusals[name].about(name)
    return Refusal(f"{', '.join(repr(n) for n in names)} depend on each other and are not one known family")
