r"""Counts over the cells of a product come down to margins: one Multinomial for each of its factors.

With probabilities :math:`p_{ij} = r_i\, c_j` the likelihood of counts is

.. math:: \prod_{ij} (r_i c_j)^{y_{ij}} = \prod_i r_i^{y_{i+}} \prod_j c_j^{y_{+j}},

up to a constant: that of the margins, as if they had been counted apart. Likewise :math:`p_{ij} = r_i\, q_{ij}` with
the shares q of columns in every row, and cells in long form, ``r[row] * c[col]``, where every pair occurs once.
Source: Agresti (2013), Categorical Data Analysis, sec. 2.4 and 3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln

from bayeskit.distributions import Multinomial
from bayeskit.distributions.carrier import Carrier
from bayeskit.expressions import Constant, Expression
from bayeskit.expressions.structure import Index
from bayeskit.model.problem import Factor, Problem
from bayeskit.model.simplexes import factors_of, simplex_dims
from bayeskit.model.statements import RandomVariable

Array = np.ndarray


def by_margins(problem: Problem) -> Problem:
    """Return the problem with observed counts over the cells of a product as counts over its factors."""
    instead = {id(f): found for f in problem.factors if (found := _margins(f, problem)) is not None}
    if not instead:
        return problem
    return replace(problem, factors=tuple(g for f in problem.factors for g in instead.get(id(f), (f,))))


@dataclass(frozen=True)
class _Part:
    """One factor of a product: its dims, and which of them it sums to one over."""

    expression: Expression
    dims: tuple[str, ...]
    summed: frozenset[str]


@dataclass(frozen=True)
class _Table:
    """Counts over named dims, ``(*plates, *event)``, and the sizes of these."""

    counts: Array
    dims: tuple[str, ...]
    event: tuple[str, ...]
    sizes: Mapping[str, int]

    def over(self, dims: tuple[str, ...]) -> Array:
        """Return the counts summed over all other dims, in a given order."""
        rest = tuple(i for i, d in enumerate(self.dims) if d not in dims)
        kept = tuple(d for d in self.dims if d in dims)
        return self.counts.sum(axis=rest).transpose([kept.index(d) for d in dims])


def _margins(factor: Factor, problem: Problem) -> tuple[Factor, ...] | None:
    """Return the factors that stand for one of a product of shares; None where it is none, or not fully observed."""
    names = [p.name for p in factor.distribution.parameters]
    known = problem.env.keys()
    if factor.distribution.family != "Multinomial" or names != ["n", "p"] or factor.value.variables - known:
        return None
    if factor.parameter("n").variables - known or len(factors_of(factor.parameter("p"))) < 2:
        return None
    counts = np.broadcast_to(factor.value_array(problem.env)[0], (*factor.shape, *_sizes(factor, factor.event)))
    table = _Table(counts, factor.plates + factor.event, factor.event, factor.sizes)
    random = problem.model.random
    expressions = factors_of(factor.parameter("p"))
    if len(factor.event) == 1 and all(isinstance(e, Index) for e in expressions):
        found = _by_index(expressions, table, problem, random)
        if found is None:
            return None
        expressions, table = found
    if simplex_dims(_product(expressions), random) != set(table.event):
        return None
    own = [frozenset(simplex_dims(e, random)) for e in expressions]
    parts = [_Part(e, e.dims, s) for e, s in zip(expressions, own, strict=True)]
    weight = 1.0 if factor.weight is None else factor.weight.reshape(factor.shape)
    constant = float((weight * _log_coefficient(table.counts, len(table.event))).sum())
    result = []
    for part in parts:
        margin = _margin(factor, part, table)
        result.append(margin)
        each = _log_coefficient(margin.value.evaluate({})[0], len(margin.event))
        constant -= float((each if margin.weight is None else each * margin.weight).sum())
    return (*result, Factor(factor.name, Carrier(), Constant(constant), (), (), (), (), factor.sizes))


def _sizes(factor: Factor, dims: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(factor.sizes[d] for d in dims)


def _product(expressions: list[Expression]) -> Expression:
    result = expressions[0]
    for e in expressions[1:]:
        result = result * e
    return result


def _log_coefficient(counts: Array, event: int) -> Array:
    """Return the log of ``n! / prod y!`` over the last axes."""
    axes = tuple(range(-event, 0))
    return np.asarray(gammaln(counts.sum(axis=axes) + 1) - gammaln(counts + 1).sum(axis=axes))


def _margin(factor: Factor, part: _Part, table: _Table) -> Factor:
    """Return the Multinomial of one part: event dims it conditions on are plates, others are summed over."""
    event = tuple(d for d in table.event if d in part.summed)
    given = tuple(d for d in table.event if d in part.dims and d not in part.summed)
    plates = (*factor.plates, *given)
    counts = table.over((*plates, *event))
    n = counts.sum(axis=tuple(range(-len(event), 0)))
    weight = factor.weight
    if weight is not None and given:
        lead = weight.reshape(*factor.shape, *(1,) * len(given))
        weight = np.broadcast_to(lead, n.shape)
    distribution = Multinomial(1, [1.0]) if len(event) == 1 else Multinomial(1, [[1.0]])
    summed = [d for d in table.event if d not in part.dims]
    object.__setattr__(distribution, "note", f" summed over {' and '.join(summed)}" if summed else "")
    parameters = (Constant(n, plates), part.expression)
    layouts = (plates, (*plates, *event))
    value = Constant(counts, (*plates, *event))
    return Factor(factor.name, distribution, value, parameters, layouts, plates, event, table.sizes, weight)


def _by_index(
    expressions: list[Expression], table: _Table, problem: Problem, random: Mapping[str, RandomVariable]
) -> tuple[list[Expression], _Table] | None:
    """Return cells in long form as a table over what they point into; None where not every pair occurs once."""
    (cell,) = table.event
    codes: dict[str, Array] = {}
    tables: list[Expression] = []
    for e in expressions:
        assert isinstance(e, Index)
        for dim, i in e.indices.items():
            if i.variables - problem.env.keys() or i.dims != (cell,) or dim in table.dims:
                return None
            own = np.asarray(i.evaluate(problem.env)[0]).astype(np.int64)
            if dim in codes and not np.array_equal(codes[dim], own):
                return None
            codes[dim] = own
        tables.append(e.table)
    dims = tuple(codes)
    shape = tuple(problem.sizes[d] for d in dims)
    place = np.ravel_multi_index(tuple(codes[d] for d in dims), shape)
    if len(place) != int(np.prod(shape, dtype=int)) or len(np.unique(place)) != len(place):
        return None
    plates = table.dims[:-1]
    counts = np.zeros((*table.counts.shape[:-1], len(place)))
    counts[..., place] = table.counts
    sizes = {**table.sizes, **dict(zip(dims, shape, strict=True))}
    return tables, _Table(counts.reshape(*table.counts.shape[:-1], *shape), (*plates, *dims), dims, sizes)
