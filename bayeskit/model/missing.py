"""Observations with missing entries: the known cells stay data, the open ones become a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.structure import Index, Scatter
from bayeskit.model.batches import Batch
from bayeskit.model.problem import Factor, Latent
from bayeskit.model.statements import RandomVariable

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Cells:
    """Which entries of an observation are open: flat places in the order of its dims.

    Attributes
    ----------
    open, known : array
        Places of the open cells, and of the known ones.
    values : array
        The observation with zeros in the open cells.
    labels : dict
        Where each open cell lies: labels by dim.
    """

    open: Array
    known: Array
    values: Array
    labels: dict[str, Array]


def open_cells(local: Batch, statement: RandomVariable, array: Array, is_open: Array) -> Cells:
    """Find the open entries of an observation."""
    filled = np.where(is_open, 0, array)
    cells = np.flatnonzero(is_open)
    places = zip(statement.dims, _places(cells, array.shape), strict=True)
    return Cells(
        open=cells,
        known=np.flatnonzero(~is_open),
        values=filled.astype(np.int64) if statement.distribution.discrete else filled,
        labels={d: local.labels[d][p] for d, p in places},
    )


@dataclass(frozen=True)
class Split:
    """What a partly missing observation becomes.

    Attributes
    ----------
    latent : Latent
        The open cells, over the dim ``dim``.
    completed : Expression
        The whole array, for whatever depends on the observation.
    factors : list of Factor
        The terms of the joint density: known cells, and open cells.
    cell_labels : dict
        Where each open cell lies: labels by dim.
    """

    latent: Latent
    completed: Expression
    factors: list[Factor]
    dim: str
    cell_labels: dict[str, Array]


def split_missing(local: Batch, statement: RandomVariable, whole: Factor, found: Cells, model: Model) -> Split:
    """Split an observation at its missing entries."""
    name = f"{statement.name}_missing" + (f"_{local.number}" if local.number else "")
    dim = f"{name}_cell"
    if name in model.names() or dim in model.all_dims():
        raise DataError(
            f"The missing entries of '{statement.name}' must have the name '{name}' to themselves. Got a model that "
            "uses it already. Rename the other variable or dim."
        )
    cells = found.open
    discrete = statement.distribution.discrete
    if statement.event and statement.distribution.family != "MvNormal":
        raise DataError(
            f"'{statement.name}' ~ {statement.distribution.family} must be observed whole. Got {len(cells)} missing "
            "entries. Leave those rows out; only vectors with a MvNormal can be missing in part."
        )
    unknown = Variable(name, (dim,), owner=model, integer=discrete, into=statement.variable.into)
    completed = Scatter(statement.name, found.values, statement.dims, cells, unknown)
    factors = []
    if statement.event:
        prior = _with_value(whole, completed)
    else:
        if len(found.known):
            factors.append(_at_cells(whole, found.known, f"{statement.name}_cell", found.values))
        prior = _at_cells(whole, cells, dim, unknown)
    return Split(
        latent=Latent(name, unknown, (len(cells),), prior, missing_from=statement.name),
        completed=completed,
        factors=[*factors, prior],
        dim=dim,
        cell_labels=found.labels,
    )


def _with_value(factor: Factor, value: Expression) -> Factor:
    return Factor(
        factor.name, factor.distribution, value, factor.parameters, factor.layouts, factor.plates, factor.event,
        factor.sizes,
    )  # fmt: skip


def _places(cells: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return np.unravel_index(cells, shape) if shape else ()


def _at_cells(factor: Factor, cells: Array, dim: str, value: Array | Variable) -> Factor:
    """Return a factor at some cells of its plates, in long form along one dim."""
    places = dict(zip(factor.plates, _places(cells, factor.shape), strict=True))

    def pick(expression: Expression) -> Expression:
        here: dict[str, Expression] = {d: Constant(p, (dim,)) for d, p in places.items() if d in expression.dims}
        return Index(expression, here) if here else expression

    def lay(layout: tuple[str, ...]) -> tuple[str, ...]:
        return (dim, *(d for d in layout if d not in factor.plates))

    sizes = {**factor.sizes, dim: len(cells)}
    here = value if isinstance(value, Variable) else Constant(value.ravel()[cells], (dim,))
    return Factor(
        factor.name, factor.distribution, here, tuple(pick(p) for p in factor.parameters),
        tuple(lay(x) for x in factor.layouts), (dim,), (), sizes,
    )  # fmt: skip
