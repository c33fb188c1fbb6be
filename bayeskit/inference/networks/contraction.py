"""Sums and maxima over all states of a network, and what follows from them: marginals, draws, the most probable state.

All is done on logs, with the greatest term taken out of every sum, so that thousands of small factors lose nothing and
states that are impossible stay so. The tables that the sums leave on their way up serve all that comes down: marginals
(Shafer and Shenoy 1990, Probability propagation, Ann. Math. Artif. Intell. 2, 327-352), and draws and most probable
states, variable by variable given those summed out after it (Dawid 1992, Applications of a general propagation
algorithm for probabilistic expert systems, Stat. Comput. 2, 25-36).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from bayeskit.inference.networks.graph import Node, Scope, Sizes, ordered_nodes

Array = np.ndarray
_NUMBERS = 20_000_000  # held at once when states are drawn


def log_sum(logs: Array, axes: tuple[int, ...]) -> Array:
    """Return the log of the sum of exponentials over axes; -inf where every term is."""
    if not axes:
        return logs
    top = logs.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(logs - top).sum(axis=axes)) + top.squeeze(axes)


def log_max(logs: Array, axes: tuple[int, ...]) -> Array:
    """Return the greatest over axes."""
    return logs.max(axis=axes) if axes else logs


class Contraction:
    """The product of tables of log weights, summed over all states of all variables.

    Parameters
    ----------
    tables : sequence of Node
        Log weights ``(*plates, *scope)``; every variable is in one at least.
    sizes : Sizes
        Of plates and variables.
    """

    def __init__(self, tables: Sequence[Node], sizes: Sizes) -> None:
        self.sizes = sizes
        self.nodes = ordered_nodes(tables, sizes)
        self.widest = max((prod(sizes.shape(n.plates, n.width)) for n in self.nodes), default=1)
        self._used = {id(p) for n in self.nodes for p in n.parts}

    # ---- upwards ------------------------------------------------------------------------------------------------
    def upward(self, reduce: Callable[[Array, tuple[int, ...]], Array] = log_sum) -> list[Array]:
        """Return the table of every node, with variables summed out (or maximised over)."""
        found: dict[int, Array] = {}
        for node in self.nodes:
            if node.table is not None:
                found[id(node)] = node.table
            elif self._is_plate_product(node):
                (part,) = node.parts
                found[id(node)] = self._collected(found[id(part)], part, node)
            else:
                total = self._product(node, [found[id(p)] for p in node.parts])
                found[id(node)] = reduce(total, self._summed_axes(node))
        return [found[id(n)] for n in self.nodes]

    def total(self, upward: Sequence[Array]) -> float:
        """Return the log of the whole sum."""
        return float(sum(float(t) for n, t in zip(self.nodes, upward, strict=True) if id(n) not in self._used))

    # ---- downwards ----------------------------------------------------------------------------------------------
    def marginals(self, upward: Sequence[Array]) -> list[Array]:
        """Return the log probabilities of every variable's states: ``(*plates, states)`` each."""
        inside = {id(n): t for n, t in zip(self.nodes, upward, strict=True)}
        outside = {id(n): np.zeros(()) for n in self.nodes if id(n) not in self._used}
        found: dict[int, Array] = {}
        for node in reversed(self.nodes):
            if node.table is not None:
                continue
            above = outside[id(node)]
            if self._is_plate_product(node):
                (part,) = node.parts
                outside[id(part)] = self._without_own(inside[id(part)], part, node) + self._spread(above, part, node)
                continue
            plates, width = len(node.plates), node.width
            laid = [self._laid(p, inside[id(p)], node.plates, width) for p in node.parts]
            above = above.reshape(above.shape + (1,) * len(node.summed))
            for i, part in enumerate(node.parts):
                rest = sum((t for j, t in enumerate(laid) if j != i), above)
                rest = np.broadcast_to(rest, self.sizes.shape(node.plates, width))
                axes = tuple(plates + k for k, v in enumerate(width) if v not in part.scope)
                outside[id(part)] = self._in_order(
                    log_sum(rest, axes), [v for v in width if v in part.scope], part.scope, plates
                )
            belief = sum(laid, above)
            for v in node.summed:
                axes = tuple(plates + k for k, w in enumerate(width) if w != v)
                logs = log_sum(belief, axes)
                found[v] = logs - log_sum(logs, (logs.ndim - 1,))[..., None]
        return [found[v] for v in range(len(self.sizes.states))]

    def draw(self, upward: Sequence[Array], rng: np.random.Generator, draws: int) -> list[Array]:
        """Return joint draws of all variables' states: ``(draws, *plates)`` each."""
        step = max(1, _NUMBERS // max(1, max((self._drawn_at_once(n) for n in self.nodes), default=1)))

        def choose(logs: Array) -> Array:
            cumulative = np.cumsum(np.exp(logs - logs.max(axis=-1, keepdims=True)), axis=-1)
            u = rng.random((*cumulative.shape[:-1], 1)) * cumulative[..., -1:]
            return np.asarray((u >= cumulative).sum(axis=-1))

        parts = [self._down(upward, choose, min(step, draws - start)) for start in range(0, draws, step)]
        return [np.concatenate([p[v] for p in parts]) for v in range(len(self.sizes.states))]

    def top(self) -> list[Array]:
        """Return the most probable joint state, by maxima in the place of sums: ``plates`` each."""
        found = self._down(self.upward(log_max), lambda logs: logs.argmax(axis=-1), 1)
        return [state[0] for state in found]

    def _down(self, upward: Sequence[Array], choose: Callable[[Array], Array], draws: int) -> list[Array]:
        """Choose states from the last sum to the first, each given what was chosen before: ``(draws, *plates)``."""
        inside = {id(n): t for n, t in zip(self.nodes, upward, strict=True)}
        states: dict[int, Array] = {}
        for node in reversed(self.nodes):
            if not node.summed:
                continue
            counts = [self.sizes.states[v] for v in node.summed]
            logs = sum(self._at(p, inside[id(p)], node, states) for p in node.parts)
            full = (draws, *self.sizes.shape(node.plates, node.summed))
            logs = np.broadcast_to(np.asarray(logs), full).reshape(*full[: 1 + len(node.plates)], -1)
            picked = np.unravel_index(choose(logs), counts)
            states |= dict(zip(node.summed, picked, strict=True))
        return [states[v] for v in range(len(self.sizes.states))]

    def _at(self, part: Node, table: Array, node: Node, states: dict[int, Array]) -> Array:
        """Return a part's log weights at the states chosen: ``(draws, *plates, *summed)``."""
        rank = 1 + len(node.plates) + len(node.summed)
        where: list[Array] = []
        for i, d in enumerate(node.plates):
            where.append(_along(np.arange(self.sizes.plates[d]), 1 + i, rank))
        for v in part.scope:
            if v in node.summed:
                where.append(_along(np.arange(self.sizes.states[v]), 1 + len(node.plates) + node.summed.index(v), rank))
            else:
                chosen = states[v]
                if self.sizes.borne[v]:
                    places = [self.sizes.place(d, node.plates) for d in self.sizes.borne[v]]
                    chosen = chosen[_along(np.arange(len(chosen)), 0, 1 + len(node.plates)), *(p[None] for p in places)]
                else:
                    chosen = chosen.reshape(-1, *(1 for _ in node.plates))
                where.append(chosen.reshape(chosen.shape + (1,) * len(node.summed)))
        return table[tuple(where)] if where else table

    # ---- layout -------------------------------------------------------------------------------------------------
    def _is_plate_product(self, node: Node) -> bool:
        return len(node.parts) == 1 and node.plates != node.parts[0].plates

    def _summed_axes(self, node: Node) -> tuple[int, ...]:
        first = len(node.plates) + len(node.scope)
        return tuple(range(first, first + len(node.summed)))

    def _drawn_at_once(self, node: Node) -> int:
        return prod(self.sizes.shape(node.plates, node.summed))

    def _product(self, node: Node, tables: Sequence[Array]) -> Array:
        laid = [self._laid(p, t, node.plates, node.width) for p, t in zip(node.parts, tables, strict=True)]
        return np.asarray(sum(laid[1:], laid[0]))

    def _laid(self, part: Node, table: Array, plates: tuple[str, ...], scope: Scope) -> Array:
        """Lay a part's table along all plates and variables of a product; its plates are those of the product."""
        rank = len(plates)
        order = [rank + part.scope.index(v) for v in scope if v in part.scope]
        index = (*(slice(None) for _ in plates), *(slice(None) if v in part.scope else None for v in scope))
        return table.transpose(*range(rank), *order)[index]

    def _in_order(self, table: Array, scope: Sequence[int], wanted: Scope, rank: int) -> Array:
        return table.transpose(*range(rank), *(rank + list(scope).index(v) for v in wanted))

    # ---- products over plates -----------------------------------------------------------------------------------
    def _cell_of(self, part: Node, node: Node) -> Array:
        """Return, for every cell of a part's plates, the cell of the product that it goes into."""
        shape = self.sizes.shape(part.plates, ())
        if not node.plates:
            return np.zeros(prod(shape), dtype=np.int64)
        places = [np.broadcast_to(self.sizes.place(d, part.plates), shape).ravel() for d in node.plates]
        return np.ravel_multi_index(places, self.sizes.shape(node.plates, ()))

    def _collected(self, table: Array, part: Node, node: Node) -> Array:
        """Multiply the cells of a part that go into one cell of the product."""
        if set(node.plates) <= set(part.plates):
            return np.asarray(table.sum(axis=tuple(i for i, d in enumerate(part.plates) if d not in node.plates)))
        shape = self.sizes.shape(node.plates, node.scope)
        states = prod(shape[len(node.plates) :])
        total = np.zeros((prod(shape[: len(node.plates)]), states))
        np.add.at(total, self._cell_of(part, node), table.reshape(-1, states))
        return total.reshape(shape)

    def _spread(self, table: Array, part: Node, node: Node) -> Array:
        """Give every cell of a part what the cell of the product has that it goes into."""
        shape = self.sizes.shape(part.plates, part.scope)
        states = shape[len(part.plates) :]
        return table.reshape(-1, *states)[self._cell_of(part, node)].reshape(shape)

    def _without_own(self, table: Array, part: Node, node: Node) -> Array:
        """Return, for every cell of a part, the product of all the others that go where it goes."""
        impossible = np.isneginf(table)
        own = np.where(impossible, 0.0, table)
        total = self._spread(self._collected(own, part, node), part, node)
        count = self._spread(self._collected(impossible.astype(float), part, node), part, node)
        return np.where(count - impossible > 0, -np.inf, total - own)


def _along(values: Array, axis: int, rank: int) -> Array:
    return values.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))
