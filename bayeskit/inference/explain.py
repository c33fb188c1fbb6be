"""The plan in words: for every variable, what is done to it and because of what."""

from __future__ import annotations

import re
import textwrap

from bayeskit.inference.augment import SUFFIX
from bayeskit.inference.plan import Plan
from bayeskit.inference.sweep_plan import MetropolisStep

_WIDTH = 118
_MIXING = re.compile(r"'(\w+?)_\d+" + SUFFIX + "'")


def explain(plan: Plan) -> str:
    """Return the plan as text."""
    lines = [_headline(plan)]
    visible = {n: plan.notes[n] for n in plan.problem.latents if n in plan.notes}
    visible |= {n: t for n, t in plan.notes.items() if n not in visible and SUFFIX not in n}
    groups: dict[str, list[str]] = {}
    for name, note in visible.items():
        groups.setdefault(note, []).append(name)
    column = min(28, max((len(", ".join(names)) for names in groups.values()), default=0))
    for note, names in groups.items():
        lines += _entry(", ".join(names), note, column)
    lines += [f"not exact because {reason}." for reason in dict.fromkeys(plan.refusals.values())]
    if plan.problem.potentials or plan.problem.conditions:
        lines.append("Terms of m.factor and m.require are not renormalised in the evidence.")
    if plan.method != "exact":
        lines.append("Propriety not checked for what is sampled.")
    return _MIXING.sub(r"the mixing scales of '\1'", "\n".join(lines))


def _headline(plan: Plan) -> str:
    if plan.method == "exact":
        how = "every posterior is known in closed form" if plan.exact else "no data: the prior is the posterior"
        return f"method: exact ({how})"
    blocks = len(plan.steps)
    if plan.method == "metropolis" and isinstance(plan.steps[0], MetropolisStep):
        return "method: metropolis (random walk on the unconstrained scale)"
    return f"method: gibbs ({blocks} block{'s' if blocks > 1 else ''} in a sweep)"


def _entry(names: str, note: str, column: int) -> list[str]:
    first = f"  {names:<{column}}  "
    if len(first) > column + 4:
        return [first.rstrip(), *textwrap.wrap(note, _WIDTH, initial_indent=" " * (column + 4), subsequent_indent=" " * (column + 4))]
    return textwrap.wrap(note, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
