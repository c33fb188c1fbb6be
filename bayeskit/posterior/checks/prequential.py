r"""Prequential scores: every row, or block of rows, predicted from those before it.

.. math:: \log p(y_t \mid y_1, \dots, y_{t-1}), \qquad \sum_t \log p(y_t \mid y_{<t}) = \log p(y).

A core of one number is integrated by quadrature of its own for the first 1, 2, 4, 8 ... rows: the nodes that serve
:math:`p(\text{core} \mid y_1 \dots y_m)` serve :math:`p(\text{core} \mid y_1 \dots y_t)` up to :math:`t = 2m` too.
Source: Dawid (1984), Statistical theory: the prequential approach, JRSS A 147, 278-292.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.inference.collapsed.choose import collapsed_component
from bayeskit.inference.collapsed.lines import LineCore
from bayeskit.inference.plan import Plan
from bayeskit.inference.structure import without
from bayeskit.model.problem import Problem
from bayeskit.posterior.checks.average import Environment
from bayeskit.posterior.checks.core_line import CoreLine, core_line
from bayeskit.posterior.checks.parts import Part, parts_of
from bayeskit.posterior.checks.rows import By, Groups, Target, group_rows

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
_CHUNK = 4_000_000
_MOST_WORK = 2e12  # multiplications: some minutes
_CALLS = 5  # how many times the nodes' number of points a rule asks for


@dataclass(frozen=True, eq=False, repr=False)
class Prequential:
    """Predictive densities of rows, or blocks of rows, each from those before it.

    Attributes
    ----------
    pointwise : xarray.DataArray
        The log densities, labelled as the rows or blocks are; NaN for the first ones, which are needed to make the
        posterior proper where priors are improper: nothing predicts them.
    total : float
        Their sum, NaN left out: the log evidence, where the priors are proper.
    order : array
        The places of the rows or blocks, in the order in which they came.
    """

    groups: Groups
    values: Array
    order: Array

    @cached_property
    def pointwise(self) -> xr.DataArray:
        """The log predictive density of every row or block given those before it."""
        return self.groups.labelled(self.values)

    @property
    def total(self) -> float:
        """Sum of the log densities that are defined."""
        return float(np.nansum(self.values))

    @property
    def undefined(self) -> int:
        """How many rows or blocks propriety needs, so that nothing predicts them."""
        return int(np.isnan(self.values).sum())

    def __repr__(self) -> str:
        unit = "blocks" if self.groups.names else "rows"
        text = f"log predictive densities of {len(self.values)} {unit}, each from those before it"
        text += f"\n  sum  {self.total:.4f}"
        if self.undefined:
            text += f"\n  {self.undefined} of them are NaN: priors are improper, and these make the posterior proper"
        return text


def prequential(plan: Plan, problem: Problem, by: By, var_name: str | None, order: Sequence[int] | None) -> Prequential:
    """Return the scores in order; ``Posterior.prequential`` is this function."""
    groups = group_rows(problem, by, var_name)
    places = _places(order, groups.count)
    time = np.empty(groups.count, dtype=np.int64)
    time[places] = np.arange(groups.count)
    timed = replace(groups, targets=tuple(Target(t.factor, time[t.group]) for t in groups.targets))
    parts = parts_of(plan, timed)
    other = next((p for p in parts if p.core and (p.line is None or p.whole is not None)), None)
    if other is not None:
        why = other.reason or f"{', '.join(map(repr, other.core))} is a plate of such cores"
        raise RefusedError(
            f"Prequential scores are given where the posterior is exact, or has a core of one number; here "
            f"{why}. Score the rows by loo(), or condition on the first of them and update."
        )
    with np.errstate(all="ignore"):
        found = sum(_of_part(plan, timed, part) for part in parts)
    return Prequential(groups, np.asarray(found)[time], places)


def _places(order: Sequence[int] | None, count: int) -> Array:
    """Return the order in which the groups come."""
    if order is None:
        return np.arange(count)
    places = np.asarray(order)
    if places.dtype.kind not in "iu" or not np.array_equal(np.sort(places, axis=None), np.arange(count)):
        raise DataError(
            f"order must hold every place from 0 to {count - 1} once. Got {np.array2string(places, threshold=6)}. "
            "np.argsort of the times gives it."
        )
    return places


def _of_part(plan: Plan, groups: Groups, part: Part) -> Array:
    """Return the scores of one part in order of time: ``(groups,)``."""
    known = groups.problem.env
    if not part.core:
        return np.asarray(sum(s.sequence(known, groups.count) for s in part.scores))[0]
    _check_work(part, groups.count)
    found, start = np.zeros(groups.count), 0
    while start < groups.count:
        stop = min(max(1, 2 * start), groups.count)
        found[start:stop] = _stage(part, known, _line(plan, groups, part, start), start, stop)
        start = stop
    return found


def _check_work(part: Part, count: int) -> None:
    """Refuse what would take hours: every stage goes through all its rows at every node."""
    assert part.line is not None
    work = _CALLS * sum(s.work for s in part.scores) * len(part.line.line.nodes) * np.log2(count + 2)
    if work > _MOST_WORK:
        raise RefusedError(
            f"Prequential scores of {count} rows or blocks would take {work:.1g} multiplications, with "
            f"{', '.join(map(repr, part.core))} integrated at each: {_MOST_WORK:.0g} at most are made. Score the rows "
            "by loo()."
        )


def _stage(part: Part, known: Environment, core: CoreLine, start: int, stop: int) -> Array:
    """Return the scores from one time to another, from the core given what came before."""

    def ratios(values: Environment) -> Array:
        found = np.asarray(sum(s.sequence({**known, **values}, stop) for s in part.scores))[:, start:stop]
        return np.broadcast_to(np.cumsum(found, axis=1), (len(next(iter(values.values()))), stop - start))

    step = max(1, _CHUNK // max(1, sum(s.memory for s in part.scores)))
    return np.diff(core.log_expectations(ratios, np.zeros(stop - start, dtype=np.int64), step), prepend=0.0)


def _line(plan: Plan, groups: Groups, part: Part, count: int) -> CoreLine:
    """Return the core given the first groups."""
    problem = groups.problem
    weights = {id(t.factor): (t.group < count).astype(float).reshape(t.factor.shape) for t in groups.targets}
    factors = tuple(replace(f, weight=weights[id(f)]) if id(f) in weights else f for f in problem.factors)
    informed = without(replace(problem, factors=factors), plan.forward)
    names = next(c.names for c in plan.collapsed if set(part.core) <= set(c.names))
    found = collapsed_component(informed, names)
    if not isinstance(found, LineCore) or found.core != part.core:
        raise RefusedError(
            f"The first {count} rows leave {', '.join(map(repr, part.core))} without a proper posterior that could be "
            "integrated. Use a proper prior, or larger blocks."
        )
    return core_line(found)
