"""The shape of a problem: what is drawn forward, what falls apart, and which latents form Gaussian blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bayeskit.expressions import Expression
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.inference.conjugacy import Refusal, term
from bayeskit.model.problem import Factor, Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

GAUSSIAN_PRIORS = {"Normal", "MvNormal", "Flat"}
GAUSSIAN_CHILDREN = {"Normal", "MvNormal", "LogNormal"}


def forward_latents(problem: Problem) -> list[str]:
    """Return the latents nothing observed depends on, children last: they are drawn from their priors at the end."""
    forward: set[str] = set()
    priors = {id(latent.prior): name for name, latent in problem.latents.items()}
    changed = True
    while changed:
        changed = False
        for name, latent in problem.latents.items():
            if name in forward or problem.terms_of(name) or (latent.missing_from and latent.prior.event):
                continue
            if all(priors.get(id(f)) in forward for f in problem.children_of(name)):
                forward.add(name)
                changed = True
    return [n for n in problem.latents if n in forward]


def without(problem: Problem, forward: Collection[str]) -> Problem:
    """Return the problem without the latents that are drawn forward: inference about the others need not see them."""
    if not forward:
        return problem
    gone = {id(problem.latents[n].prior) for n in forward}
    latents = {n: latent for n, latent in problem.latents.items() if n not in forward}
    return replace(problem, latents=latents, factors=tuple(f for f in problem.factors if id(f) not in gone))


def components(problem: Problem, names: Collection[str]) -> list[list[str]]:
    """Return the groups of latents that no factor or term of the density connects with another group."""
    parent = {n: n for n in names}

    def root(n: str) -> str:
        while parent[n] != n:
            n = parent[n]
        return n

    links = [f.variables for f in problem.factors]
    links += [e.variables for e in (*problem.potentials.values(), *problem.conditions.values())]
    for variables in links:
        members = [n for n in variables if n in parent]
        for other in members[1:]:
            parent[root(other)] = root(members[0])
    groups: dict[str, list[str]] = {}
    for n in names:
        groups.setdefault(root(n), []).append(n)
    return list(groups.values())


def gaussian_latents(problem: Problem, names: Collection[str]) -> tuple[list[str], dict[str, Refusal]]:
    """Return the latents that reach Gaussian children linearly, jointly, and why the other Gaussian ones do not.

    Of two latents that are not jointly linear (a product of both), the one declared later is left out.
    """
    refusals: dict[str, Refusal] = {}
    chosen: list[str] = []
    for name in names:
        reason = _no_gaussian_prior(problem, name)
        if reason is None:
            chosen.append(name)
        elif _is_gaussian(problem.latents[name].prior.distribution):
            refusals[name] = reason
    changed = True
    while changed:
        changed = False
        for factor in problem.factors_of(chosen):
            found = _obstacle(factor, [n for n in chosen if n in factor.variables])
            if found is not None:
                name, refusal = found
                chosen.remove(name)
                refusals[name] = refusal
                changed = True
                break
    return chosen, refusals


def connected(problem: Problem, gaussian: Sequence[str]) -> list[list[str]]:
    """Return groups of Gaussian latents that share a factor."""
    groups: list[set[str]] = [{n} for n in gaussian]
    for factor in problem.factors_of(gaussian):
        inside = factor.variables & set(gaussian)
        touched = [g for g in groups if g & inside]
        if len(touched) > 1:
            groups = [g for g in groups if not g & inside] + [set().union(*touched)]
    order = {n: i for i, n in enumerate(gaussian)}
    return [sorted(g, key=order.__getitem__) for g in sorted(groups, key=lambda g: min(order[n] for n in g))]


def _is_gaussian(prior: Distribution) -> bool:
    """Whether a prior is normal, or flat over all numbers."""
    bounds = [prior.given.get("lower"), prior.given.get("upper")] if prior.family == "Flat" else []
    return prior.family in GAUSSIAN_PRIORS and all(b is None for b in bounds)


def _no_gaussian_prior(problem: Problem, name: str) -> Refusal | None:
    distribution = problem.latents[name].prior.distribution
    if not _is_gaussian(distribution):
        return Refusal(f"{distribution} is not a normal prior")
    terms = problem.terms_of(name)
    return Refusal(f"{term(problem, terms[0])} depends on it") if terms else None


def _obstacle(factor: Factor, members: list[str]) -> tuple[str, Refusal] | None:
    """Return the first latent that keeps a factor from being Gaussian and linear in the members, and why."""
    family = factor.distribution.family
    if family == "Flat":
        return None
    if family not in GAUSSIAN_CHILDREN:
        name = members[-1]
        if family == "Truncated":
            return name, Refusal(f"'{factor.name}' is truncated, and its normaliser depends on '{name}'")
        return name, Refusal(f"its child '{factor.name}' ~ {family} is not Gaussian")
    for parameter, expression in zip(factor.distribution.parameters, factor.parameters, strict=True):
        if parameter.name != "mu":
            for name in members:
                if name in expression.variables:
                    return name, Refusal(
                        f"it appears in the parameter {parameter.name} = {factor_given(factor)} of '{factor.name}'"
                    )
    sides = [factor.parameter("mu"), factor.value]
    for expression in sides:
        if expression is factor.value and family == "LogNormal" and expression.variables & set(members):
            name = next(n for n in members if n in expression.variables)
            return name, Refusal(f"it is the value of the log-normal '{factor.name}'")
        found = _not_linear(expression, members, factor)
        if found is not None:
            return found
    return None


def factor_given(factor: Factor) -> str:
    """Return the distribution of a factor as the user wrote it."""
    return str(factor.distribution)


def _not_linear(expression: Expression, members: Iterable[str], factor: Factor) -> tuple[str, Refusal] | None:
    inside = [n for n in members if n in expression.variables]
    for name in inside:
        form = linear_form(expression, {name}, factor.sizes)
        if isinstance(form, NotLinear):
            return name, Refusal(f"in '{factor.name}', {form}")
    if len(inside) > 1:
        form = linear_form(expression, set(inside), factor.sizes)
        if isinstance(form, NotLinear):
            return inside[-1], Refusal(f"in '{factor.name}', {form}")
    return None
