"""The parts of a posterior whose rows are scored: independent components, each with its core and what is integrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.collapsed.cells import CellsCore
from bayeskit.inference.collapsed.component import CollapsedComponent
from bayeskit.inference.collapsed.lines import LineCore
from bayeskit.inference.conjugacy import ConjugateUpdate, Refusal, match
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.eliminate import eliminate
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.elimination.pieces import Piece
from bayeskit.inference.enumeration import enumeration
from bayeskit.inference.exact import ExactComponent, ExactConjugate, ExactFinite, exact_component
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.plan import Plan
from bayeskit.inference.structure import components, without
from bayeskit.model.problem import Factor, Problem
from bayeskit.posterior.checks.average import Scores
from bayeskit.posterior.checks.cells import split_by_cell
from bayeskit.posterior.checks.conjugate_scores import ConjugateScores
from bayeskit.posterior.checks.core_line import CoreLine, core_line
from bayeskit.posterior.checks.finite_scores import FiniteScores
from bayeskit.posterior.checks.gaussian_scores import CommonScaleScores, GaussianScores, KnownScaleScores
from bayeskit.posterior.checks.plain_scores import PlainScores
from bayeskit.posterior.checks.rows import Groups

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Part:
    """Latents that hang together, and the scores of their rows given a core.

    Attributes
    ----------
    scores : list of Scores
        Independent given the core.
    core : tuple of str
        What they are given; empty for a closed form.
    line : CoreLine or None
        The core, where it is integrated by quadrature; None where it is known by draws.
    cell, whole : array or None
        Where the core has cells: which of them each group of the scores belongs to, and which group it is a part of.
    reason : str
        Why it is known by draws.
    """

    scores: Sequence[Scores]
    core: tuple[str, ...] = ()
    line: CoreLine | None = None
    cell: Array | None = None
    whole: Array | None = None
    reason: str = ""


def parts_of(plan: Plan, groups: Groups) -> list[Part]:
    """Return the parts of a posterior that hold rows of some group."""
    informed = without(groups.problem, plan.forward)
    parts = [_exact_part(plan, informed, c, groups) for c in plan.exact if _rows_below(informed, c.names, groups)]
    for c in plan.collapsed:
        if _rows_below(informed, c.names, groups):
            parts.append(_collapsed_part(informed, c, groups))
    swept = [n for n in informed.latents if n in plan.sampled]
    for names in components(informed, swept):
        if _rows_below(informed, names, groups):
            parts.append(_swept_part(informed, names, groups, plan))
    free = [t.factor for t in groups.targets if not t.factor.variables & informed.latents.keys()]
    if free:
        parts.append(Part([PlainScores(f, groups) for f in free]))
    return parts


def _rows_below(problem: Problem, names: Sequence[str], groups: Groups) -> list[Factor]:
    """Return the factors of rows that depend on some latents."""
    return [f for f in problem.factors_of(names) if groups.group_of(f) is not None]


def _exact_part(plan: Plan, problem: Problem, component: ExactComponent, groups: Groups) -> Part:
    """Return a component in closed form; row by row, where the plan has its rows in cells."""
    if plan.problem is not groups.problem:
        found = exact_component(problem, component.names)
        assert not isinstance(found, Refusal), "rows in cells are the same model"
        component = found
    if isinstance(component, ExactConjugate) and ConjugateScores.serves(component.update, groups):
        return Part([ConjugateScores(component.update, groups)])
    if isinstance(component, ExactGaussian):
        kind = KnownScaleScores if component.scale is None else CommonScaleScores
        return Part([kind(problem, component, groups)])
    if isinstance(component, ExactFinite) and FiniteScores.serves(component.found, groups):
        return Part([FiniteScores(component.found, groups)])
    names = tuple(component.names)
    return Part(_plain(problem, names, groups, ()), names, reason=f"no closed form is known here for {_list(names)}")


def _collapsed_part(problem: Problem, component: CollapsedComponent, groups: Groups) -> Part:
    """Return a component with its pieces integrated given the core."""
    if isinstance(component, CellsCore):
        split = split_by_cell(problem, component, groups)
        if split is not None:
            held, scores = _integrated(problem, component.pieces, split.groups)
            scores = [*scores, *_plain(problem, component.names, split.groups, held)]
            return Part(scores, component.core, core_line(component), split.cell, split.whole)
    held, scores = _integrated(problem, component.pieces, groups)
    core = tuple(n for n in component.names if n not in held)
    scores = [*scores, *_plain(problem, component.names, groups, held)]
    if isinstance(component, LineCore) and core == component.core:
        return Part(scores, core, core_line(component))
    return Part(scores, core, reason=f"{_list(core)} {'is' if len(core) == 1 else 'are'} averaged over draws")


def _swept_part(problem: Problem, names: Sequence[str], groups: Groups, plan: Plan) -> Part:
    """Return latents that are swept: what elimination would integrate is integrated given the draws of the rest."""
    held, scores = _summed(problem, names, groups)
    if not held:
        found = eliminate(problem, names)
        held, scores = _integrated(problem, () if isinstance(found, Refusal) else found.pieces, groups)
    core = tuple(n for n in names if n not in held)
    return Part([*scores, *_plain(problem, names, groups, held)], core, reason=f"{_list(core)} are averaged over draws")


def _summed(problem: Problem, names: Sequence[str], groups: Groups) -> tuple[set[str], list[Scores]]:
    """Return finite latents that are enumerated given the rest, no two of which meet, and the scores below them."""
    held: set[str] = set()
    scores: list[Scores] = []
    for name in names:
        if not problem.latents[name].prior.distribution.discrete or held & _met(problem, name):
            continue
        found = enumeration(problem, name)
        if not isinstance(found, Refusal) and FiniteScores.serves(found, groups):
            held.add(name)
            if _rows_below(problem, [name], groups):
                scores.append(FiniteScores(found, groups))
    return held, scores


def _met(problem: Problem, name: str) -> set[str]:
    """Return the latents that share a factor with one."""
    return set().union(*(f.variables for f in problem.factors_of([name])))


def _integrated(problem: Problem, pieces: Sequence[Piece], groups: Groups) -> tuple[set[str], list[Scores]]:
    """Return the latents that are integrated given the rest, and the scores of the rows below them."""
    held: set[str] = set()
    scores: list[Scores] = []
    for piece in pieces:
        below = _rows_below(problem, piece.names, groups)
        if isinstance(piece, GaussianPiece):
            held |= set(piece.names)
            if below:
                scores.append(GaussianScores(problem, GaussianBlock(problem, piece.names), groups))
        elif isinstance(piece, ConjugatePiece):
            update = match(problem, piece.names[0])
            assert isinstance(update, ConjugateUpdate), "rows in cells are the same model"
            if not ConjugateScores.serves(update, groups):
                continue
            held |= set(piece.names)
            if below:
                scores.append(ConjugateScores(update, groups))
    return held, scores


def _plain(problem: Problem, names: Sequence[str], groups: Groups, held: set[str] | tuple[()]) -> list[Scores]:
    """Return the scores of rows that depend on no integrated latent."""
    below = _rows_below(problem, names, groups)
    return [PlainScores(f, groups) for f in below if not f.variables & set(held)]


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names)
