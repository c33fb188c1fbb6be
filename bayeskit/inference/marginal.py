"""Latents updated with the mixing numbers of Student-t and Laplace factors integrated out.

Degrees of freedom, or the scale of a Laplace, hardly move given one mixing number a row. They are updated on the
density without the mixing numbers, and these are drawn right after them, before any step that conditions on them:
together a draw of both given the rest.

Source: van Dyk and Park (2008), Partially collapsed Gibbs samplers, JASA 103, 790-796.
"""

from __future__ import annotations

from collections.abc import Collection

from bayeskit.inference.augment import SUFFIX
from bayeskit.inference.conjugacy import ConjugateUpdate, match
from bayeskit.inference.elementwise import Elementwise, elementwise
from bayeskit.inference.steps import ConjugateStep, HalfTStep, SliceStep, Step
from bayeskit.inference.sweep_plan import SweepPlan
from bayeskit.model.problem import Problem

_NOTE = "with the mixing numbers integrated out"


def integrate_mixing(plan: SweepPlan, original: Problem, mixed: Collection[str], asked: Collection[str]) -> None:
    """Replace steps that condition on mixing numbers, and put them and the mixing numbers first in the sweep."""
    if any(SUFFIX in n for s in plan.steps if len(s.names) > 1 for n in s.names):
        return  # mixing numbers that another step draws with its own could not follow at once
    steps: list[Step] = []
    first: list[Step] = []
    for step in plan.steps:
        name = step.names[0]
        if SUFFIX in name:
            steps.append(step)
            continue
        better = _without_mixing(step, original, mixed) if name not in asked else None
        if better is None:
            steps.append(step)
        else:
            first.append(better)
            plan.notes[name] = better.label
    mixing = [s for s in steps if SUFFIX in s.names[0]]
    plan.steps = [*first, *mixing, *(s for s in steps if SUFFIX not in s.names[0])] if first else steps


def _without_mixing(step: Step, original: Problem, mixed: Collection[str]) -> Step | None:
    """Return a step on the density without mixing numbers, for a latent that only mixed factors depend on."""
    name = step.names[0]
    if not isinstance(step, SliceStep | ConjugateStep | HalfTStep) or name not in original.latents:
        return None
    children = original.children_of(name)
    if not children or any(c.name not in mixed for c in children):
        return None
    update = match(original, name)
    if isinstance(update, ConjugateUpdate):
        better = ConjugateStep(update)
        better.label = f"{better.label}, {_NOTE}"
        return better
    conditional = elementwise(original, name)
    if not isinstance(conditional, Elementwise):
        return None
    slices = SliceStep(conditional, update.reason)
    slices.label = f"slice sampling {_NOTE}: {update.reason}"
    return slices
