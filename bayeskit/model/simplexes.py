"""Over which dims an expression sums to one, as far as the statements of its variables say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.nodes import Apply
from bayeskit.expressions.structure import Index

if TYPE_CHECKING:
    from bayeskit.model.statements import RandomVariable

_SIMPLEXES = ("simplex", "simplex_table")


def factors_of(expression: Expression) -> list[Expression]:
    """Return the factors of a product; the expression itself where it is none."""
    if isinstance(expression, Apply) and expression.function == "multiply":
        return [f for a in expression.args for f in factors_of(a)]
    return [expression]


def simplex_dims(expression: Expression, random: Mapping[str, RandomVariable]) -> frozenset[str]:
    """Return the dims over which an expression sums to one, jointly; none where that is not known.

    A latent on the simplex does over its event. A product does over those of its factors, where none has a dim of
    another's but to condition on it: ``r * c`` of rows and columns, ``r * q`` with ``q`` the shares in every row.
    """
    if isinstance(expression, Variable):
        statement = random.get(expression.name)
        kind = None if statement is None else getattr(statement.distribution, "support_kind", None)
        return frozenset(statement.event) if statement is not None and kind in _SIMPLEXES else frozenset()
    if isinstance(expression, Index):
        own = simplex_dims(expression.table, random)
        return frozenset() if own & set(expression.indices) else own
    factors = factors_of(expression)
    if len(factors) < 2:
        return frozenset()
    return _together(factors, {i: simplex_dims(f, random) for i, f in enumerate(factors)})


def _together(factors: list[Expression], own: Mapping[int, frozenset[str]]) -> frozenset[str]:
    """Return the dims of a product's sum: its factors in an order in which each conditions on earlier ones alone."""
    every = [d for dims in own.values() for d in dims]
    if not all(own.values()) or len(set(every)) != len(every):
        return frozenset()
    done: set[str] = set()
    left = dict(own)
    while left:
        ready = [i for i in left if not (set(factors[i].dims) & set(every)) - own[i] - done]
        if not ready:
            return frozenset()
        for i in ready:
            done |= left.pop(i)
    return frozenset(every)
