"""Conditionals that fall apart by element: each cell of every child touches one element of the latent.

Then all elements can be updated at once, each on its own density. ``touches`` reads which element a cell touches;
where cells couple elements the answer is a ``Refusal`` and the latent must be updated jointly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.conjugate.pull_back import pull_back
from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.linear import Position
from bayeskit.expressions.nodes import Apply, Constant
from bayeskit.expressions.structure import Index, Rename, Scatter, rename
from bayeskit.inference.conjugacy import Refusal, term
from bayeskit.model.problem import Factor, Latent, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
Places = dict[str, Position]


class _Couples(Exception):
    """An expression couples elements of the latent."""


def touches(expression: Expression, name: str) -> list[Places]:
    """Return, for every occurrence of a variable, which of its elements a cell of the expression touches."""
    if name not in expression.variables:
        return []
    if isinstance(expression, Variable):
        return [{d: d for d in expression.dims}]
    if isinstance(expression, Apply):
        return [p for a in expression.args for p in touches(a, name)]
    if isinstance(expression, Index):
        found = [p for i in expression.indices.values() for p in touches(i, name)]
        return found + [_through(expression, p) for p in touches(expression.table, name)]
    if isinstance(expression, Scatter) and isinstance(expression.unknown, Variable):
        ((dim, size),) = ((d, len(expression.cells)) for d in expression.unknown.dims)
        codes = np.full(expression.known.size, size)  # one past the end: a cell that is known touches none
        codes[expression.cells] = np.arange(size)
        return [{dim: Constant(codes.reshape(expression.known.shape), expression.dims)}]
    if isinstance(expression, Rename):
        ((old, new),) = expression.names.items()
        return [
            {d: (new if q == old else q) if isinstance(q, str) else rename(q, old, new) for d, q in p.items()}
            for p in touches(expression.arg, name)
        ]
    raise _Couples(str(expression))


def is_own_place(expression: Expression, name: str) -> bool:
    """Whether a cell of an expression touches no element of a variable but the one at its own place."""
    try:
        return all(place == dim for places in touches(expression, name) for dim, place in places.items())
    except _Couples:
        return False


def _through(node: Index, places: Places) -> Places:
    """Read an element's place through an index of its table."""
    moved: Places = {}
    for dim, place in places.items():
        if isinstance(place, str):
            moved[dim] = node.indices.get(place, place)
        else:
            inner = {d: i for d, i in node.indices.items() if d in place.dims}
            moved[dim] = Index(place, inner) if inner else place
    return moved


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A latent's conditional log density, element by element."""

    problem: Problem
    latent: Latent
    children: tuple[tuple[Factor, Places], ...]

    def log_density(self, env: Environment) -> Array:
        """Return the log density of every element, up to constants: ``(batch, *dims)``."""
        total = self.latent.prior.log_prob(env)
        sizes = dict(zip(self.latent.variable.dims, self.latent.shape, strict=True))
        for factor, places in self.children:
            cells = factor.log_prob(env)
            if not places:
                total = total + cells.reshape(cells.shape[0], -1).sum(axis=1)
                continue
            positions = {
                d: p if isinstance(p, str) else (p.evaluate(env).astype(np.int64), p.dims) for d, p in places.items()
            }
            total = total + _to_elements(cells, factor.plates, positions, sizes)
        if not self.latent.variable.dims and self.problem.terms_of(self.latent.name):
            total = total + self.problem.extra_log_density(env)
        return np.asarray(total)


def _to_elements(
    cells: Array, plates: tuple[str, ...], positions: Mapping[str, Any], sizes: Mapping[str, int]
) -> Array:
    """Sum cells to the elements they touch; cells one past the end of a dim touch none."""
    past = dict(sizes)
    for d, position in positions.items():
        if not isinstance(position, str) and np.max(position[0], initial=0) == sizes[d]:
            past[d] = sizes[d] + 1
    summed = pull_back(cells, plates, positions, past)
    return summed[(slice(None), *(slice(n) for n in sizes.values()))]


def elementwise(problem: Problem, name: str) -> Elementwise | Refusal:
    """Return a latent's conditional element by element, or which child couples its elements."""
    latent = problem.latents[name]
    dims = latent.variable.dims
    children = problem.children_of(name)
    if not dims:
        return Elementwise(problem, latent, tuple((c, {}) for c in children))
    if latent.prior.event:
        return Refusal(f"its {latent.prior.distribution.family} prior couples its entries")
    terms = problem.terms_of(name)
    if terms:
        return Refusal(f"{term(problem, terms[0])} couples its entries")
    read = []
    for child in children:
        places = one_place(child, latent)
        if isinstance(places, Refusal):
            return places
        read.append((child, places))
    return Elementwise(problem, latent, tuple(read))


def one_place(child: Factor, latent: Latent) -> Places | Refusal:
    """Return the one element that each cell of a child touches."""
    try:
        found = [p for e in (child.value, *child.parameters) for p in touches(e, latent.name)]
    except _Couples as couples:
        return Refusal(f"a cell of '{child.name}' depends on several elements of it: {couples}")
    first = found[0]
    for other in found[1:]:
        if not all(_same(first[d], other[d]) for d in first):
            return Refusal(f"a cell of '{child.name}' depends on several elements of it")
    inside = {p for p in first.values() if isinstance(p, str)}
    inside |= {d for p in first.values() if not isinstance(p, str) for d in p.dims}
    if not inside <= set(child.plates):
        return Refusal(f"the cells of '{child.name}' couple its elements")
    return {d: first[d] for d in latent.variable.dims}


def _same(a: Position, b: Position) -> bool:
    if isinstance(a, Constant) and isinstance(b, Constant):
        return a.dims == b.dims and np.array_equal(a.value, b.value)
    return a is b or (isinstance(a, str) and isinstance(b, str) and a == b)
