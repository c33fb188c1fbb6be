"""The plan in words: for every variable, what is done to it and because of what."""

from __future__ import annotations

import re
import textwrap

from bayeskit.inference.augment import SUFFIX
from bayeskit.inference.plan import Plan
from bayeskit.inference.steps import MetropolisStep

_WIDTH = 118
_MANY = 1000  # rows, from which it is worth a line that they came down to fewer
_MIXING = re.compile(r"'(\w+?)_\d+" + SUFFIX + "'")


def explain(plan: Plan) -> str:
    """Return the plan as text."""
    lines = [_headline(plan)]
    visible = {n: plan.notes[n] for n in plan.problem.latents if n in plan.notes}
    visible |= {n: t for n, t in plan.notes.items() if n not in visible and SUFFIX not in n}
    groups: dict[str, list[str]] = {}
    for name, note in visible.items():
        groups.setdefault(_named(note), []).append(name)
    column = min(28, max((len(", ".join(names)) for names in groups.values()), default=0))
    for note, names in groups.items():
        lines += _entry(", ".join(names), note, column)
    for sentence in _sentences(plan):
        lines += textwrap.wrap(sentence, _WIDTH)
    for name, (rows, cells) in plan.problem.reduced.items():
        if rows >= _MANY:
            lines.append(f"{rows:,} rows of '{name}' came down to {cells:,} cell{'s' if cells > 1 else ''}.")
    if plan.problem.statistics is not None:
        lines += ["From statistics:", *("  " + line for line in plan.problem.statistics.lines())]
    return "\n".join(lines)


def _sentences(plan: Plan) -> list[str]:
    """Return what is said of the whole."""
    said = " ".join(plan.notes.values())
    reasons = [r for r in dict.fromkeys(plan.refusals.values()) if r.split(": ", 1)[-1] not in said]
    found = [f"Not exact because {reason}." for reason in reasons]
    told = said + " ".join(reasons)
    found += [f"Not collapsed because {_clause(r)}." for r in dict.fromkeys(plan.uncollapsed.values()) if r not in told]
    if plan.problem.potentials or plan.problem.conditions:
        found.append("Terms of m.factor and m.require are not renormalised in the evidence.")
    unchecked = {n for s in plan.steps for n in s.names} | {n for c in plan.collapsed for n in c.unchecked}
    latents = [plan.problem.latents[n] for n in plan.notes if n in unchecked and n in plan.problem.latents]
    improper = [e.name for e in latents if not e.prior.distribution.is_proper]
    if improper:
        names = ", ".join(f"'{n}'" for n in improper)
        found.append(f"The prior of {names} is improper; that the posterior is proper was not checked.")
    elif plan.steps and plan.problem.potentials:
        found.append("That the density with its terms of m.factor is proper was not checked.")
    return [_named(s) for s in found]


def _named(text: str) -> str:
    """Call the hidden latents of a mixture what they are."""
    return _MIXING.sub(r"the mixing scales of '\1'", text)


def _headline(plan: Plan) -> str:
    if plan.method == "exact":
        return f"method: exact ({_why_exact(plan)})"
    if plan.method in ("collapsed", "laplace"):
        return f"method: {plan.method} ({_why_collapsed(plan)})"
    blocks = len(plan.steps)
    if plan.method == "metropolis" and isinstance(plan.steps[0], MetropolisStep):
        return "method: metropolis (random walk on the unconstrained scale)"
    return f"method: gibbs ({blocks} block{'s' if blocks > 1 else ''} in a sweep)"


def _why_collapsed(plan: Plan) -> str:
    core = {n for c in plan.collapsed for n in c.core}
    inside = sum(plan.problem.latents[n].size for c in plan.collapsed for n in c.names if n not in core)
    size = sum(plan.problem.latents[n].size for n in core)
    numbers = f"{size} number{'s' if size > 1 else ''}"
    return f"a core of {numbers}; {inside or 'nothing'} integrated out"


def _why_exact(plan: Plan) -> str:
    if plan.exact:
        return "every posterior is known in closed form"
    if not plan.problem.latents:
        return "there are no latents: the density of the data is the evidence"
    if plan.problem.observations:
        return "the data say nothing of the latents: the prior is the posterior"
    return "no data: the prior is the posterior"


def _entry(names: str, note: str, column: int) -> list[str]:
    first = f"  {names:<{column}}  "
    if len(first) > column + 4:
        return [
            first.rstrip(),
            *textwrap.wrap(note, _WIDTH, initial_indent=" " * (column + 4), subsequent_indent=" " * (column + 4)),
        ]
    return textwrap.wrap(note, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _clause(reason: str) -> str:
    """Return a reason to stand within a sentence: some are sentences of their own."""
    reason = reason.rstrip(".")
    return reason[:1].lower() + reason[1:] if reason.startswith("The ") else reason
