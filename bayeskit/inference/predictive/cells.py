"""A child's cells and their parent: natural parameters of the parent, gathered to each cell of the child."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.conjugate.families import NaturalFamily, Naturals
from bayeskit.expressions import Expression, Variable, aligner
from bayeskit.expressions.linear import Position
from bayeskit.expressions.structure import Index, rename
from bayeskit.inference.contribution import Contribution
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]


class NoClosedForm(Exception):
    """Why a predictive distribution has no closed form: completes "'y' has no exact predictive: ..."."""


def gathered(
    values: Array, positions: Mapping[str, Position], layout: tuple[str, ...], env: Environment, keep: int = 0
) -> Array:
    """Pick, for every cell of a frame, the element of a parent that it touches.

    Parameters
    ----------
    values : array
        ``(batch, *dims of the parent, *kept)``.
    positions : mapping
        For each dim of the parent: the dim of the frame that runs along it, or codes that point into it.
    layout : tuple of str
        Dims of the frame.
    env : mapping
        What the codes are evaluated in.
    keep : int
        How many trailing axes are carried along.
    """
    kept = tuple(f"kept#{i}" for i in range(keep))
    dims = tuple(f"{d}#" for d in positions)  # names of its own, which meet none of the frame's
    table: Expression = Variable("values#", (*dims, *kept))
    codes = {f"{d}#": p for d, p in positions.items() if not isinstance(p, str)}
    picked: Expression = Index(table, codes) if codes else table
    for d, p in positions.items():
        if isinstance(p, str):
            picked = rename(picked, f"{d}#", p)
    return aligner(picked.dims, (*layout, *kept))(picked.evaluate({**env, "values#": values}))


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a child, each with its parent's natural parameters.

    Arrays are ``(nodes or 1, *plates)`` with axes of size one where nothing varies, and the axes of one event after.
    """

    factor: Factor
    contribution: Contribution
    family: NaturalFamily
    naturals: Naturals
    others: Mapping[str, Array]
    coefficient: Array
    offset: Array


def read_cells(contribution: Contribution, family: NaturalFamily, naturals: Naturals, env: Environment) -> Cells:
    """Gather what a parent is known by to the cells of a child."""
    others, coefficient, offset, layout = contribution.arrays(env)
    rule, positions = contribution.rule, dict(contribution.positions)
    picked = []
    for n in naturals:
        own, keep = positions, 0
        if rule.form == "matrix":  # of a count and a matrix, the plates are gathered and the matrix comes along
            plates = dict(list(positions.items())[:-2])
            keep = n.ndim - 1 - len(plates)
            own = plates
        frame = layout if rule.form != "matrix" else layout[:-2]
        picked.append(gathered(n, own, frame, env, keep))
    if rule.form == "matrix":
        coefficient = coefficient[..., 0, 0]
    return Cells(contribution.factor, contribution, family, tuple(picked), others, coefficient, offset)


class Labeller:
    """Labels arrays over the cells of a child, with the nodes of a mixture before them where there are any."""

    def __init__(self, wrap: Callable[..., Any], plates: tuple[int, ...], nodes: int) -> None:
        self.wrap, self.plates, self.nodes = wrap, plates, nodes

    def __call__(self, array: Any, event: int = 0, **options: Any) -> Any:
        """Label an array ``(nodes or 1, *plates or 1, *event)``; ``event`` counts the axes of one event."""
        from bayeskit.distributions.mixture import over_nodes

        array = np.asarray(array, dtype=float)
        array = array.reshape((1,) * (1 + len(self.plates) + event - array.ndim) + array.shape)
        tail = array.shape[array.ndim - event :] if event else ()
        array = np.broadcast_to(array, (self.nodes, *self.plates, *tail))
        return self.wrap(array[0], **options) if self.nodes == 1 else over_nodes(self.wrap)(array, **options)
