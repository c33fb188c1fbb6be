"""Which elements of finite latents every cell of an expression touches.

An expression is read from its leaves upwards. Every place where it takes an element of a finite latent is one *touch*:
which element, cell by cell, is told by the element's number, or -1 where a cell takes a known value. Occurrences of a
latent are renamed, so that ``z[before]`` and ``z[after]`` can take values of their own while the expression is
evaluated; where a cell takes all elements at once, as in ``z.sum("i")``, every element is a touch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.nodes import Apply
from bayeskit.expressions.structure import Contract, Cumsum, Index, Join, Reduce, Rename, Scatter
from bayeskit.model.problem import Latent

Array = np.ndarray
Environment = Mapping[str, Array]
KNOWN = -1  # the number of no element


@dataclass(frozen=True, eq=False)
class Touch:
    """One place where an expression takes an element of a finite latent.

    Attributes
    ----------
    dims, elements
        The number of the element that every cell takes, laid along dims of the expression.
    slots : tuple
        What must be set to the element's value: a renamed variable, and which of its elements (None for all).
    """

    dims: tuple[str, ...]
    elements: Array
    slots: tuple[tuple[str, int | None], ...]


class TooMany(Exception):
    """A cell takes more elements at once than can be enumerated; says which and how many."""


class Elements:
    """The elements of finite latents, numbered one latent after the other."""

    def __init__(self, latents: Sequence[Latent], values: Mapping[str, Array]) -> None:
        self.latents, self.values = {e.name: e for e in latents}, values
        starts = np.cumsum([0, *(e.size for e in latents)])
        self.count = int(starts[-1])
        self.first = {e.name: int(s) for e, s in zip(latents, starts, strict=False)}

    def numbers(self, name: str) -> Array:
        """Return the numbers of a latent's elements, laid along its dims."""
        latent = self.latents[name]
        return self.first[name] + np.arange(latent.size).reshape(latent.shape)

    @cached_property
    def owner(self) -> Array:
        """For every element, the position of its latent."""
        return np.repeat(np.arange(len(self.latents)), [e.size for e in self.latents.values()])

    @cached_property
    def lowest(self) -> dict[str, Array]:
        """Every latent at its least value: an environment of one."""
        return {n: np.full((1, *e.shape), self.values[n][0], dtype=np.int64) for n, e in self.latents.items()}


class Reader:
    """Reads the expressions of one factor; touches of the same elements are one.

    Parameters
    ----------
    elements : Elements
        Of the finite latents; every other variable is known.
    env : mapping
        What is known.
    most : int
        Joint states that are enumerated at most.
    """

    def __init__(self, elements: Elements, env: Environment, most: int) -> None:
        self.elements, self.most = elements, most
        self.env = {**env, **elements.lowest}
        self.renamed: dict[str, str] = {}  # from the new name of an occurrence to its latent

    def read(self, expression: Expression, plates: tuple[str, ...]) -> tuple[Expression, list[Touch]]:
        """Return an expression with its occurrences renamed, and its touches along plates."""
        new, touches = self._walk(expression)
        if any(not set(t.dims) <= set(plates) for t in touches):  # entries of an event take elements of their own
            return self._all_at_once(expression)
        return new, touches

    def _walk(self, e: Expression) -> tuple[Expression, list[Touch]]:
        if not e.variables & self.elements.latents.keys():
            return e, []
        if isinstance(e, Variable):
            return self._occurrence(e, e.dims, self.elements.numbers(e.name))
        if isinstance(e, Scatter) and isinstance(e.unknown, Variable):
            unknown, _ = self._occurrence(e.unknown, (), np.zeros(()))
            cells = np.full(e.known.size, KNOWN)
            cells[e.cells] = self.elements.numbers(e.unknown.name).ravel()
            touch = Touch(e.dims, cells.reshape(e.known.shape), ((unknown.name, None),))
            return e.rebuild((unknown,)), [touch]
        if isinstance(e, Apply):
            read = [self._walk(a) for a in e.args]
            return e.rebuild(tuple(n for n, _ in read)), [t for _, touches in read for t in touches]
        if isinstance(e, Index):
            return self._index(e)
        if isinstance(e, Join):
            return self._join(e)
        if isinstance(e, Rename):
            new, touches = self._walk(e.arg)
            named = [Touch(tuple(e.names.get(d, d) for d in t.dims), t.elements, t.slots) for t in touches]
            return e.rebuild((new,)), named
        if isinstance(e, Reduce | Cumsum | Contract):
            read = [self._walk(c) for c in e.children()]
            touches = [t for _, some in read for t in some]
            if all(e.dim not in t.dims for t in touches):
                return e.rebuild(tuple(n for n, _ in read)), touches
        return self._all_at_once(e)

    def _occurrence(self, e: Variable, dims: tuple[str, ...], elements: Array) -> tuple[Variable, list[Touch]]:
        new = f"{e.name}#{len(self.renamed)}"
        self.renamed[new] = e.name
        variable = Variable(new, e.dims, integer=True, into=e.into)
        return variable, [Touch(dims, elements, ((new, None),))]

    def _index(self, e: Index) -> tuple[Expression, list[Touch]]:
        table, inside = self._walk(e.table)
        indices = {d: self._walk(i) for d, i in e.indices.items()}
        touches = [t for _, some in indices.values() for t in some]
        for touch in inside:
            chosen = {d: i for d, i in e.indices.items() if d in touch.dims}
            if any(indices[d][1] for d in chosen):  # which element is taken, an unknown one says
                return self._all_at_once(e)
            if chosen:
                picked = Index(Variable("elements", touch.dims), chosen)
                found = picked.evaluate({**self.env, "elements": touch.elements[None]})[0]
                touch = Touch(picked.dims, found, touch.slots)
            touches.append(touch)
        return Index(table, {d: i for d, (i, _) in indices.items()}), touches

    def _join(self, e: Join) -> tuple[Expression, list[Touch]]:
        """Read pieces side by side: no cell takes more than one of them, so their touches share their places."""
        read = [self._walk(p) for p in e.pieces]
        touches = []
        for k in range(max(len(some) for _, some in read)):
            laid: list[Expression] = []
            env: dict[str, Array] = {}
            slots: tuple[tuple[str, int | None], ...] = ()
            for j, (piece, (_, some)) in enumerate(zip(e.pieces, read, strict=True)):
                shape = piece.evaluate(self.env).shape[1:]
                elements = np.full(shape, KNOWN)
                if k < len(some):
                    lay = tuple(some[k].dims.index(d) for d in piece.dims if d in some[k].dims)
                    wide = tuple(slice(None) if d in some[k].dims else None for d in piece.dims)
                    elements = np.broadcast_to(some[k].elements.transpose(lay)[wide], shape)
                    slots += some[k].slots
                env[f"piece{j}"] = elements[None]
                laid.append(Variable(f"piece{j}", piece.dims))
            touches.append(Touch(e.dims, e.rebuild(tuple(laid)).evaluate(env)[0], slots))
        return e.rebuild(tuple(n for n, _ in read)), touches

    def _all_at_once(self, e: Expression) -> tuple[Expression, list[Touch]]:
        """Let every cell take every element of the latents in an expression."""
        names = [n for n in self.elements.latents if n in e.variables]
        states = prod(len(self.elements.values[n]) ** self.elements.latents[n].size for n in names)
        if states > self.most:
            size = sum(self.elements.latents[n].size for n in names)
            raise TooMany(f"a cell of {_short(e)} takes {size} finite elements at once")
        touches: list[Touch] = []
        new: dict[str, Expression] = {}
        for name in names:
            variable, _ = self._occurrence(self.elements.latents[name].variable, (), np.zeros(()))
            new[name] = variable
            for k, number in enumerate(self.elements.numbers(name).ravel()):
                touches.append(Touch((), np.asarray(number), ((variable.name, k),)))
        return e.substitute(new), touches


def _short(e: Expression) -> str:
    text = str(e)
    return f"'{text}'" if len(text) < 60 else f"'{text[:57]}...'"


__all__ = ["KNOWN", "Elements", "Reader", "TooMany", "Touch"]
