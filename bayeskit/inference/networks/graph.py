"""Tables of log weights over finite variables, and the order in which variables are summed out of their product.

A variable may stand for a whole plate of variables, one for each of its cells: the plates are axes of its tables, and
are multiplied out, items into the groups they lie in, as soon as no variable that bears them is left (Obermeyer et al.
2019, Tensor variable elimination for plated factor graphs, ICML, algorithm 1). Within the same plates the order is that
of ``opt_einsum``; where it makes a wide table, it is held against the order that sums out the cheapest variable first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

Array = np.ndarray
Scope = tuple[int, ...]
_WIDE = 1 << 10  # entries from which it pays to look for a better order


@dataclass(frozen=True)
class Sizes:
    """States and plates of every variable, and how plates lie.

    Attributes
    ----------
    plates : mapping
        Sizes of plates, in the order in which they are axes.
    states, borne : sequence
        The number of states and the plates of every variable.
    within : mapping
        ``within[items, groups]`` is the group that every item lies in; no chain of these comes back to where it began.
    """

    plates: Mapping[str, int]
    states: Sequence[int]
    borne: Sequence[tuple[str, ...]]
    within: Mapping[tuple[str, str], Array] = field(default_factory=dict)

    def together(self, scope: Iterable[int]) -> tuple[str, ...]:
        """Return the plates that variables bear together, in order, without those that others lie in."""
        borne = {d for v in scope for d in self.borne[v]}
        return tuple(d for d in self.plates if d in borne and not any((b, d) in self.within for b in borne))

    def closure(self, plates: Iterable[str]) -> set[str]:
        """Return plates, and all those that they lie in."""
        found, open_ = set(plates), list(plates)
        while open_:
            inner = open_.pop()
            above = {outer for b, outer in self.within if b == inner} - found
            found |= above
            open_ += above
        return found

    def place(self, dim: str, plates: Sequence[str]) -> Array:
        """Return where every cell of some plates stands along a dim that they bear, or lie in."""
        inner = dim if dim in plates else next(d for d in plates if (d, dim) in self.within)
        values = np.arange(self.plates[dim]) if dim in plates else self.within[inner, dim]
        axis = list(plates).index(inner)
        return values.reshape((1,) * axis + (-1,) + (1,) * (len(plates) - axis - 1))

    def reaches(self, plates: Sequence[str], wanted: Iterable[str]) -> bool:
        """Whether every cell of some plates stands at one place along each of the wanted ones."""
        return all(d in plates or any((b, d) in self.within for b in plates) for d in wanted)

    def shape(self, plates: Iterable[str], scope: Iterable[int]) -> tuple[int, ...]:
        """Return the shape of a table."""
        return (*(self.plates[d] for d in plates), *(self.states[v] for v in scope))


@dataclass(eq=False)
class Node:
    """A table ``(*plates, *scope)``: given, a product of others with variables summed out, or a product over plates.

    Attributes
    ----------
    parts : list of Node
        What is multiplied; none where the table is given.
    summed : tuple of int
        The variables that are summed out of the product.
    table : array or None
        The log weights, where they are given.
    """

    plates: tuple[str, ...]
    scope: Scope
    parts: list[Node] = field(default_factory=list)
    summed: Scope = ()
    table: Array | None = None

    @property
    def width(self) -> Scope:
        """Variables that the product spans before any are summed out."""
        return self.scope + self.summed


class Tangled(Exception):
    """Variables of plates that do not lie one within the other meet: one of the plates must be unrolled."""

    def __init__(self, plates: Sequence[str]) -> None:
        super().__init__(", ".join(plates))
        self.plates = tuple(plates)


def ordered_nodes(tables: Sequence[Node], sizes: Sizes) -> list[Node]:
    """Return the given tables and what is made of them, parts first; the last ones have no variables left.

    Raises
    ------
    Tangled
        Where a product over plates would have to come before a sum.
    """
    nodes, open_ = list(tables), list(tables)
    while open_:
        plates = max((n.plates for n in open_), key=lambda p: (len(sizes.closure(p)), len(p)))
        here = [n for n in open_ if n.plates == plates]
        open_ = [n for n in open_ if n.plates != plates]
        own = {v for n in here for v in n.scope if sizes.borne[v] == plates}
        if any(own & set(n.scope) for n in open_):
            raise Tangled(plates)
        for group in _connected(here, plates, sizes):
            made, last = _summed_out(group, plates, sizes)
            nodes += made
            if not plates and not last.scope:
                continue
            left = sizes.together(last.scope)
            if left == plates or not sizes.reaches(plates, left):
                raise Tangled(plates)
            nodes.append(Node(left, last.scope, [last]))
            if left or last.scope:
                open_.append(nodes[-1])
    return nodes


def _connected(tables: Sequence[Node], plates: tuple[str, ...], sizes: Sizes) -> list[list[Node]]:
    """Return groups of tables that share a variable of just these plates."""
    root = list(range(len(tables)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first: dict[int, int] = {}
    for i, table in enumerate(tables):
        for v in table.scope:
            if sizes.borne[v] == plates:
                root[find(i)] = find(first.setdefault(v, i))
    groups: dict[int, list[Node]] = {}
    for i, table in enumerate(tables):
        groups.setdefault(find(i), []).append(table)
    return list(groups.values())


def _summed_out(tables: list[Node], plates: tuple[str, ...], sizes: Sizes) -> tuple[list[Node], Node]:
    """Sum out the variables of just these plates: what was made, and the last of it."""
    kept = {v for t in tables for v in t.scope if sizes.borne[v] != plates}
    made: list[Node] = []
    work = list(tables)
    elsewhere = Counter(v for t in tables for v in t.scope) + Counter(kept)
    for step in _path([t.scope for t in tables], kept, sizes):
        parts = [work.pop(i) for i in sorted(step, reverse=True)]
        elsewhere.subtract(v for p in parts for v in p.scope)
        spanned = sorted({v for p in parts for v in p.scope})
        scope = tuple(v for v in spanned if elsewhere[v])
        elsewhere.update(scope)
        made.append(Node(plates, scope, parts, tuple(v for v in spanned if v not in scope)))
        work.append(made[-1])
    return made, work[0]


def _path(scopes: Sequence[Scope], kept: set[int], sizes: Sizes) -> list[tuple[int, ...]]:
    """Return which tables are multiplied, step by step, as ``opt_einsum`` finds it."""
    from opt_einsum import get_symbol, paths

    if len(scopes) == 1:
        return [(0,)]
    symbol = {v: get_symbol(v) for scope in scopes for v in scope}
    inputs = [frozenset(symbol[v] for v in scope) for scope in scopes]
    states = {s: sizes.states[v] for v, s in symbol.items()}
    output = frozenset(symbol[v] for v in kept)
    best = list(paths.auto(inputs, output, states))
    if _widest_of(best, inputs, output, states) > _WIDE:
        other = _by_variable(inputs, output, states)
        best = min((best, other), key=lambda path: _widest_of(path, inputs, output, states))
    return best


def _widest_of(
    path: Sequence[tuple[int, ...]], inputs: list[frozenset[str]], output: frozenset[str], states: Mapping[str, int]
) -> int:
    """Return the entries of the widest product along a path."""
    work, widest = list(inputs), 1
    for step in path:
        spanned = frozenset().union(*(work[i] for i in step))
        work = [w for i, w in enumerate(work) if i not in step]
        work.append(spanned & output.union(*work))
        widest = max(widest, prod(states[s] for s in spanned))
    return widest


def _by_variable(
    inputs: Sequence[frozenset[str]], output: frozenset[str], states: Mapping[str, int]
) -> list[tuple[int, ...]]:
    """Return a path that sums out one variable after the other, the one of the smallest product first."""
    names = list(range(len(inputs)))  # of the tables at hand, in the order of the path
    held = dict(enumerate(inputs))
    path, count = [], len(inputs)
    touching: dict[str, set[int]] = {}
    for i, scope in held.items():
        for s in scope - output:
            touching.setdefault(s, set()).add(i)

    def product(s: str) -> int:
        return prod(states[t] for t in frozenset().union(*(held[i] for i in touching[s])))

    cost = {s: product(s) for s in touching}
    while cost:
        best = min(cost, key=lambda s: (cost[s], s))
        gone = sorted(touching.pop(best))
        made = frozenset().union(*(held.pop(i) for i in gone)) - {best}
        path.append(tuple(names.index(i) for i in gone))
        names = [i for i in names if i not in gone] + [count]
        held[count] = made
        del cost[best]
        for s in made - output:
            touching[s] = (touching[s] - set(gone)) | {count}
        for s in made - output:
            cost[s] = product(s)
        count += 1
    if len(names) > 1:
        path.append(tuple(range(len(names))))
    return path
