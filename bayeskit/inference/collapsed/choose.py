"""Which way a component's core is sampled, or why it is not."""

from __future__ import annotations

from collections.abc import Sequence

from bayeskit.inference.collapsed.cells import cells_core
from bayeskit.inference.collapsed.component import CollapsedComponent
from bayeskit.inference.collapsed.lines import line_core
from bayeskit.inference.collapsed.points import bulk_core
from bayeskit.inference.collapsed.states import states_core
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.eliminate import MOST_CORE, Elimination, eliminations
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.propriety import check_fit, check_flat, check_scale
from bayeskit.inference.steps.scales import BlockScale, block_scale
from bayeskit.model.problem import Problem

_TRIES = 2  # cores that are tried, one after the other
MOST_CONCAVE = 60  # numbers of a core that is a log-concave regression: its density is near normal


def collapsed_component(problem: Problem, names: Sequence[str]) -> CollapsedComponent | Refusal:
    """Return connected latents with all integrated out but a small core, or why that cannot be.

    Parameters
    ----------
    problem : Problem
        The bound model, without what is drawn forward.
    names : sequence of str
        Latents that are connected with each other and with no other.
    """
    found = eliminations(problem, names)
    if isinstance(found, Refusal):
        finite = any(problem.latents[n].prior.distribution.discrete for n in names)
        return states_core(problem, names) if finite else found
    refusals = []
    for elimination in found[:_TRIES]:
        _check_scales(problem, elimination)
        component = _sampled(problem, elimination)
        if not isinstance(component, Refusal):
            return component
        refusals.append(component)
    return refusals[0]


def _sampled(problem: Problem, found: Elimination) -> CollapsedComponent | Refusal:
    """Return the core that an elimination leaves, with the way it is sampled."""
    if found.size == 1:
        return line_core(problem, found)
    if len(found.core) == 1:
        cells = cells_core(problem, found)
        if not isinstance(cells, Refusal):
            return cells
    if found.size > MOST_CONCAVE:
        return _too_large(found, MOST_CORE)
    density = CollapsedDensity(problem, found.core, found.pieces)
    if found.size > MOST_CORE and density.newton is None:
        return _too_large(found, MOST_CORE)
    return bulk_core(problem, density)


def _too_large(found: Elimination, most: int) -> Refusal:
    core = ", ".join(f"'{n}'" for n in found.core)
    return Refusal(f"the core ({core}) has {found.size} numbers, and proposals in bulk are for {most} at most")


def _check_scales(problem: Problem, found: Elimination) -> None:
    """Refuse priors on scales with which there is no posterior: no proposal would tell."""
    for piece in found.pieces:
        if isinstance(piece, GaussianPiece):
            check_flat(piece.block)
    few = [n for n in found.core if problem.latents[n].size <= MOST_CORE]  # many are cells, which see to themselves
    for name in few:
        for piece in found.pieces:
            if isinstance(piece, GaussianPiece):
                scale = block_scale(problem, name, piece.block)
                if isinstance(scale, BlockScale):
                    check_scale(scale, piece.block)
                    check_fit(scale, piece.block)
