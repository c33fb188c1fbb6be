"""Which latents are conjugate given the rest, and by which rows: one latent at a time.

``match`` reads every child of a latent through the table of rules and answers with a ``ConjugateUpdate``, or with a
``Refusal`` that names what stood in the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce

import numpy as np

from bayeskit.conjugate.families import (
    GammaFamily,
    NaturalFamily,
    Naturals,
    NormalFamily,
    VonMisesFamily,
    merge,
    natural_family,
)
from bayeskit.conjugate.rules import RULES, Rule, children_of
from bayeskit.distributions.gammafunctions import distinct
from bayeskit.expressions import Expression
from bayeskit.expressions.linear import ONE, ZERO, LinearForm, NotLinear, Position, Term, linear_form
from bayeskit.expressions.power import NotPower, cancelled, power_form
from bayeskit.inference.contribution import Contribution
from bayeskit.inference.demands import unmet
from bayeskit.model.problem import Factor, Latent, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
_LOST = 1e-12  # share of an evidence that rounding may take before it is worked out in another way


@dataclass(frozen=True)
class Refusal:
    """Why a latent is not conjugate, and the nearest thing that would be."""

    reason: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}" if self.advice else self.reason

    def about(self, name: str) -> Refusal:
        """Return the same refusal, saying which latent it is about."""
        return Refusal(f"of '{name}': {self.reason}", self.advice)


def term(problem: Problem, label: str) -> str:
    """Return how a sentence calls a term of the density that ``m.factor`` or ``m.require`` added."""
    if label in problem.conditions:
        return f"the condition {problem.conditions[label]} of m.require"
    return f"the term '{label}' of the density"


@dataclass(frozen=True, eq=False)
class ConjugateUpdate:
    """A latent whose conditional given the rest is in its own natural family."""

    latent: Latent
    family: NaturalFamily
    contributions: tuple[Contribution, ...]
    fixed: Naturals | None = None  # the sum of the contributions that depend on data alone
    _still: tuple[Contribution, ...] = field(default=())
    _moving: tuple[Contribution, ...] = field(default=())
    _known: Environment = field(default_factory=dict)

    @classmethod
    def build(
        cls, problem: Problem, latent: Latent, family: NaturalFamily, contributions: tuple[Contribution, ...]
    ) -> ConjugateUpdate:
        """Sum what depends on data alone once."""
        still = tuple(c for c in contributions if c.variables(latent.name) <= problem.env.keys())
        moving = tuple(c for c in contributions if c not in still)
        fixed = None
        for c in still:
            part = natural_parts(family, c, problem.env, problem.sizes)
            fixed = part if fixed is None else merge(family, fixed, part)
        return cls(latent, family, contributions, fixed, still, moving, problem.env)

    @cached_property
    def _base(self) -> float:
        """What the children that depend on data alone hold beside their natural parameters."""
        return float(sum(c.base(self._known)[0] for c in self._still))

    def prior(self, env: Environment) -> Naturals:
        """Return the prior's natural parameters, laid along the latent's dims."""
        factor = self.latent.prior
        event = len(factor.event)
        naturals = self.family.prior(*factor.parameter_arrays(env))
        laid = []
        for n in naturals:
            n = np.asarray(n, dtype=float)
            own = 0 if n.ndim <= 1 + len(factor.plates) else event
            if event == 1 and not own:  # one number for a whole vector
                own, n = 1, n[..., None]
            tail = self.latent.shape[len(self.latent.shape) - own :]
            head = n.shape[: n.ndim - own]
            n = n.reshape(*head, *(1,) * (1 + len(factor.plates) - len(head)), *n.shape[n.ndim - own :])
            laid.append(np.broadcast_to(n, (n.shape[0], *factor.shape, *tail)))
        return tuple(laid)

    def naturals(self, env: Environment) -> Naturals:
        """Return the natural parameters of the conditional."""
        prior = self.prior(env)
        totals = reduce(partial(merge, self.family), self.children_naturals(env), self._compact(prior))
        shapes = (np.broadcast_shapes(t.shape, p.shape) for t, p in zip(totals, prior, strict=True))
        return tuple(map(np.broadcast_to, totals, shapes))

    def _compact(self, naturals: Naturals) -> Naturals:
        """Return parameters with length one along plates where they are equal."""
        axes = 1 + len(self.latent.prior.plates)
        return tuple(distinct(n, axes) for n in naturals)

    def children_naturals(self, env: Environment) -> Iterator[Naturals]:
        """Yield what the children add to the natural parameters."""
        if self.fixed is not None:
            yield self.fixed
        for c in self._moving:
            yield natural_parts(self.family, c, env, self.sizes)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes of the latent's dims."""
        return dict(zip(self.latent.variable.dims, self.latent.shape, strict=True))

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> Array:
        """Draw the latent given the rest: ``(batch, *dims)``."""
        naturals = self.naturals(env)
        if max(n.shape[0] for n in naturals) < batch:
            naturals = tuple(np.broadcast_to(n, (batch, *n.shape[1:])) for n in naturals)
        return self.family.sample(naturals, rng)

    def log_density(self, env: Environment) -> Array:
        """Return the normalised conditional log density at the state's value: ``(batch, *plates)`` (tests use it)."""
        naturals = self.naturals(env)
        x = env[self.latent.name]
        return self.family.log_density(x, naturals)

    def total_gain(self, env: Environment) -> Array | None:
        """Return by how much the children raise the log normalisers of all cells together; None where it is not used.

        ``(batch,)``.
        """
        if isinstance(self.family, NormalFamily | VonMisesFamily):
            return None
        gained = reduce(partial(merge, self.family), self.children_naturals(env))
        return _summed(self.family.log_gain(self.prior(env), gained))

    def log_evidence(self, env: Environment, gain: Array | None = None) -> Array:
        """Return the log of what the latent integrates to, its children included: ``(batch,)``.

        ``gain`` is ``total_gain(env)``, where it is at hand.
        """
        if isinstance(self.family, NormalFamily | VonMisesFamily):
            return self._evidence_about_centre(env)
        gain = self.total_gain(env) if gain is None else gain
        assert gain is not None
        total = np.asarray(gain + (self._base + sum(c.base(env) for c in self._moving)))
        with np.errstate(invalid="ignore"):
            lost = np.abs(gain) * np.finfo(float).eps > _LOST * np.abs(total)
        if not lost.any():
            return total
        with np.errstate(all="ignore"):
            better = self._evidence_about_centre(env)
        return np.where(lost & np.isfinite(better), better, total)

    def total_normaliser(self, env: Environment, gain: Array | None) -> Array:
        """Return the log normalisers of the conditionals of all cells, given ``total_gain(env)``: ``(batch,)``."""
        if gain is None:
            return _summed(self.family.log_normaliser(self.naturals(env)))
        prior = self.prior(env)
        before = self.family.log_prior_normaliser(self._compact(prior))
        plates = self.latent.prior.shape
        return _summed(np.broadcast_to(before, (len(before), *plates))) + gain

    def _evidence_about_centre(self, env: Environment) -> Array:
        """Joint density over conditional at the centre of the latter, neither of which subtracts what is large.

        Squares of large offsets of normals are not; and large counts have log factorials beside which the evidence is
        nothing, but log masses near their peak which are of its own size.
        Source: Besag (1989), A candidate's formula: a curious result in Bayesian prediction, Biometrika 76, 183.
        """
        naturals = self.naturals(env)
        x = self.family.centre(naturals)
        if x is None:
            return np.full(1, np.nan)
        here = {**env, self.latent.name: x}
        total = -self.family.log_density(x, naturals).reshape(len(x), -1).sum(axis=1)
        for factor in (self.latent.prior, *(c.factor for c in self.contributions)):
            total = total + factor.total(here)
        return np.asarray(total)


def _summed(cells: Array) -> Array:
    """Return what cells ``(batch, *plates)`` add up to: ``(batch,)``."""
    return np.asarray(cells.reshape(len(cells), -1).sum(axis=1))


def natural_parts(family: NaturalFamily, c: Contribution, env: Environment, sizes: Mapping[str, int]) -> Naturals:
    """Return what a child adds to the natural parameters of its parent, in the form of the family."""
    part = c.evaluate(env, sizes)
    if isinstance(family, GammaFamily):
        return family.along(c.exponent, *part)
    return part


# ---- reading the children -------------------------------------------------------------------------------------------
def match(problem: Problem, name: str) -> ConjugateUpdate | Refusal:
    """Return how a latent is conjugate given everything else, or why it is not."""
    latent = problem.latents[name]
    prior = latent.prior.distribution
    terms = problem.terms_of(name)
    if terms:
        return Refusal(f"{term(problem, terms[0])} depends on it")
    if latent.missing_from is not None and latent.prior.event:
        return Refusal("it fills part of a vector")
    contributions: list[Contribution] = []
    for child in problem.children_of(name):
        found = read_child(problem, child, latent)
        if isinstance(found, Refusal):
            return found
        contributions.append(found)
    if not contributions:
        return Refusal("it has no children")
    kinds = {c.rule.prior for c in contributions}
    if len(kinds) > 1:
        return Refusal(f"its children ask for different priors ({', '.join(sorted(kinds))})")
    (kind,) = kinds
    family = natural_family(prior, kind, {c.exponent for c in contributions})
    if isinstance(family, str):
        return Refusal(family, _advice(kind, contributions[0]))
    for c in contributions:
        missed = unmet(c.rule, c.factor, latent, c.positions, problem.env, len(contributions))
        if missed:
            return Refusal(missed)
    return ConjugateUpdate.build(problem, latent, family, tuple(contributions))


def _advice(kind: str, contribution: Contribution) -> str:
    if kind != "Gamma":
        return f"for {contribution.label} {_article(kind)} {kind} prior would be conjugate"
    nearest = {
        1.0: "a Gamma prior",
        -1.0: "an InverseGamma prior",
        2.0: "a HalfNormal prior",
        -2.0: "a HalfNormal prior on it, or an InverseGamma prior on its square,",
    }
    if contribution.exponent not in nearest:
        return ""
    return f"for {contribution.label} {nearest[contribution.exponent]} would be conjugate"


def _article(word: str) -> str:
    return "an" if word[0] in "AEIOU" else "a"


def read_child(problem: Problem, child: Factor, latent: Latent) -> Contribution | Refusal:
    """Return what a child adds to a latent by its row of the table, or why it has none."""
    name, distribution = latent.name, child.distribution
    if name in child.value.variables:
        return Refusal(f"it is part of the value of '{child.name}'")
    names = [p.name for p in distribution.parameters]
    used = [n for n, e in zip(names, child.parameters, strict=True) if name in e.variables]
    if len(used) > 1:
        return Refusal(f"it appears in two parameters ({', '.join(used)}) of '{child.name}'")
    expression = child.parameter(used[0])
    rules = [r for r in RULES if r.child == distribution.family and r.parameter == used[0]]
    rules = [r for r in rules if r.form != "linear" or not child.event]
    if not rules:
        return _no_rule(child, latent, used[0])
    prior = _prior_name(latent)
    rule = next((r for r in rules if r.prior == prior), rules[0])
    if rule.form == "power":
        return _read_power(problem, child, latent, rule, expression)
    return _read_linear(child, latent, rule, expression)


def _prior_name(latent: Latent) -> str:
    distribution = latent.prior.distribution
    return getattr(distribution, "base", distribution).family


def _no_rule(child: Factor, latent: Latent, parameter: str) -> Refusal:
    family = child.distribution.family
    if family == "Truncated":
        return Refusal(f"'{child.name}' is truncated, and its normaliser depends on '{latent.name}'")
    known = children_of(_prior_name(latent))
    advice = f"{_prior_name(latent)} is conjugate to {', '.join(known)}" if known else ""
    return Refusal(f"no rule has {family}({parameter}) of '{child.name}' as a child", advice)


def _read_power(
    problem: Problem, child: Factor, latent: Latent, rule: Rule, expression: Expression
) -> Contribution | Refusal:
    form = power_form(expression, latent.name, computed=bool(rule.times))
    if isinstance(form, NotPower):
        return Refusal(f"in '{child.name}', {form}", _power_advice(rule, child))
    exponent: float | None = form.exponent * rule.exponent
    if rule.times:
        by = cancelled(form.times * child.parameter(rule.times), problem.env)
        exponent = None if by is None else round(by * form.exponent * rule.exponent, 12)
    if not exponent:
        return Refusal(
            f"in '{child.name}', {rule.through} is no known power of '{latent.name}'", _power_advice(rule, child)
        )
    return Contribution(child, rule, form.coefficient, ZERO, _ordered(form.positions, latent), exponent)


def _power_advice(rule: Rule, child: Factor) -> str:
    label = f"{rule.child}({rule.parameter}) of '{child.name}'"
    if rule.times:
        return f"a Gamma prior on {rule.through} would be conjugate for {label}"
    nearest = {1.0: f"a {rule.prior} prior on", -1.0: "an InverseGamma prior on"}
    nearest[-2.0] = "an InverseGamma prior on the square of"
    return f"{nearest[rule.exponent]} the parameter itself would be conjugate for {label}"


def _read_linear(child: Factor, latent: Latent, rule: Rule, expression: Expression) -> Contribution | Refusal:
    form = linear_form(expression, {latent.name}, child.sizes)
    if isinstance(form, NotLinear):
        return Refusal(f"in '{child.name}', {form}")
    if not form.is_elementwise:
        return Refusal(f"a cell of '{child.name}' depends on several elements of it: {expression}")
    (term,) = form.terms
    swapped = False
    if rule.form in ("identity", "share"):
        sign = _unit_sign(form, term)
        if sign is None or (sign < 0 and rule.form != "share"):
            return Refusal(f"in '{child.name}', {expression} is not '{latent.name}' itself")
        swapped = sign < 0
    if rule.form == "angle" and not _turns(term):
        return Refusal(f"in '{child.name}', {expression} is not plus or minus '{latent.name}', and an offset")
    if rule.form == "matrix" and (form.offset is not ZERO or set(term.coefficient.dims) - set(child.plates)):
        return Refusal(f"in '{child.name}', {expression} is not a multiple of '{latent.name}'")
    event = len(latent.prior.event)
    if event and rule.form in ("identity", "matrix"):
        own = list(_ordered(term.positions, latent).values())[-event:]
        layout = child.layouts[[p.name for p in child.distribution.parameters].index(rule.parameter)]
        if [p if isinstance(p, str) else None for p in own] != list(layout[-event:]):
            return Refusal(f"in '{child.name}', {expression} is not '{latent.name}' itself, whole and in order")
    return Contribution(child, rule, term.coefficient, form.offset, _ordered(term.positions, latent), 1.0, swapped)


def _unit_sign(form: LinearForm, term: Term) -> int | None:
    """Return 1 for the latent itself, -1 for one minus it, None else."""
    if term.coefficient.variables or form.offset.variables:
        return None
    coefficient, offset = (np.asarray(e.evaluate({})) for e in (term.coefficient, form.offset))
    if term.coefficient is ONE or np.all(coefficient == 1):
        return 1 if np.all(offset == 0) else None
    return -1 if np.all(coefficient == -1) and np.all(offset == 1) else None


def _turns(term: Term) -> bool:
    """Whether the coefficient is one or minus one in every cell."""
    return not term.coefficient.variables and bool(np.all(np.abs(term.coefficient.evaluate({})) == 1))


def _ordered(positions: Mapping[str, Position], latent: Latent) -> dict[str, Position]:
    return {d: positions[d] for d in latent.variable.dims}
