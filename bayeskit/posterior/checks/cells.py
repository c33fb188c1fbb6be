"""Rows below a plate of independent one-number cores: each cell is averaged over nodes of its own.

The rows of a group are split by cell; given all the others the cells are independent, so that a group's density is the
product over its cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.collapsed.cells import CellsCore
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elementwise import elementwise
from bayeskit.model.problem import Problem
from bayeskit.posterior.checks.finite_scores import cell_of
from bayeskit.posterior.checks.rows import Groups, Target

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """Groups split by the cells of a core.

    Attributes
    ----------
    groups : Groups
        The same rows, those of different cells apart.
    whole, cell : array
        The group and the cell of each of them.
    """

    groups: Groups
    whole: Array
    cell: Array


def split_by_cell(problem: Problem, component: CellsCore, groups: Groups) -> Split | None:
    """Return the groups split by the cells of a core; None where the cell of some row is not seen."""
    (name,) = component.core
    found: dict[int, Array] = {}
    for piece, grouped in zip(component.pieces, component.density.groups, strict=True):
        block = GaussianBlock(problem, piece.names)
        if block.layout.rest or not np.array_equal(block.layout.wide, grouped.layout.wide):
            return None
        for bf in block.factors:
            if groups.group_of(bf.factor) is not None and bf.is_known:
                wide = bf.rows(None)[0].group
                found[id(bf.factor)] = wide.reshape(len(bf.precision.weight), -1)[:, 0] if bf.entries == 1 else wide
    absorbed = {id(f) for p in component.pieces for f in problem.factors_of(p.names)}
    own = replace(problem, factors=tuple(f for f in problem.factors if id(f) not in absorbed))
    conditional = elementwise(own, name)
    if isinstance(conditional, Refusal):
        return None
    for factor, places in conditional.children:
        found[id(factor)] = cell_of(factor, places, conditional.latent.shape, problem.env)
    targets = [t for t in groups.targets if t.factor.variables & set(component.names)]
    return _split(groups, targets, found, component.line.cells)


def _split(groups: Groups, targets: list[Target], found: dict[int, Array], cells: int) -> Split | None:
    if not all(id(t.factor) in found and len(found[id(t.factor)]) == len(t.group) for t in targets):
        return None
    keys = [t.group * cells + found[id(t.factor)] for t in targets]
    present, place = np.unique(np.concatenate(keys), return_inverse=True)
    split = np.split(place, np.cumsum([len(k) for k in keys])[:-1])
    own = tuple(Target(t.factor, p) for t, p in zip(targets, split, strict=True))
    return Split(replace(groups, targets=own, count=len(present)), present // cells, present % cells)
