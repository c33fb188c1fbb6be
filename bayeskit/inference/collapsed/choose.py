"""Which way a component's core is sampled, or why it is not."""

from __future__ import annotations

from collections.abc import Sequence

from bayeskit.inference.collapsed.component import CollapsedComponent
from bayeskit.inference.collapsed.lines import line_core
from bayeskit.inference.collapsed.points import bulk_core
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elimination.eliminate import MOST_CORE, eliminate
from bayeskit.model.problem import Problem


def collapsed_component(problem: Problem, names: Sequence[str]) -> CollapsedComponent | Refusal:
    """Return connected latents with all integrated out but a small core, or why that cannot be.

    Parameters
    ----------
    problem : Problem
        The bound model, without what is drawn forward.
    names : sequence of str
        Latents that are connected with each other and with no other.
    """
    found = eliminate(problem, names)
    if isinstance(found, Refusal):
        return found
    if not found.core:
        return Refusal("nothing is left to sample")
    if found.size == 1:
        return line_core(problem, found)
    if found.size > MOST_CORE:
        core = ", ".join(f"'{n}'" for n in found.core)
        return Refusal(f"the core ({core}) has {found.size} numbers, and proposals in bulk are for {MOST_CORE} at most")
    return bulk_core(problem, found)
