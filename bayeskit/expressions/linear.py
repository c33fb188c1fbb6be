"""``linear_form``: how an expression depends linearly on some variables, found once by walking it.

The answer is ``sum over terms of coefficient * target[positions], summed over some dims, + offset``. What is not
recognised is ``NotLinear``, with the subexpression to blame: a false negative costs speed, a false positive is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from bayeskit.expressions.nodes import Apply, Constant, Expression, Variable, union_dims, where
from bayeskit.expressions.structure import Contract, Cumsum, Index, Join, Reduce, Rename, Scatter, rename

ZERO = Constant(0.0)
ONE = Constant(1.0)
Position = str | Expression


@dataclass(frozen=True)
class Term:
    """``coefficient * target[positions]``, summed over ``summed``.

    ``positions`` maps each dim of the target to the axis of the frame that runs along it (a name), or to an integer
    expression that points into it. The frame is the expression's own dims and ``summed``.
    """

    target: str
    coefficient: Expression
    positions: Mapping[str, Position]
    summed: tuple[str, ...] = ()

    def scaled(self, factor: Expression) -> Term:
        """Return the term times a factor free of targets."""
        return replace(self, coefficient=factor if self.coefficient is ONE else self.coefficient * factor)

    @property
    def frame(self) -> tuple[str, ...]:
        """Dims its coefficient and positions run over."""
        positions = [(p,) if isinstance(p, str) else p.dims for p in self.positions.values()]
        return union_dims(self.coefficient.dims, *positions)


@dataclass(frozen=True)
class LinearForm:
    """A sum of terms and an offset that is free of the targets."""

    terms: tuple[Term, ...]
    offset: Expression

    @property
    def is_elementwise(self) -> bool:
        """Whether every element of the expression touches at most one element of one target."""
        return len(self.terms) <= 1 and not any(t.summed for t in self.terms)


@dataclass(frozen=True)
class NotLinear:
    """Why an expression is not linear, and the subexpression that makes it so."""

    reason: str
    subexpression: str

    def __str__(self) -> str:
        return f"{self.subexpression} {self.reason}"


class _Refusal(Exception):
    def __init__(self, reason: str, node: Expression) -> None:
        self.form = NotLinear(reason, str(node))


_fresh = count(1)


def linear_form(expression: Expression, targets: Collection[str], sizes: Mapping[str, int]) -> LinearForm | NotLinear:
    """Return how ``expression`` is linear in ``targets``, or why it is not.

    Parameters
    ----------
    expression : Expression
        What is read.
    targets : collection of str
        Names of variables; all of them together.
    sizes : mapping of str to int
        Sizes of the dims (joins and running sums need them).
    """
    try:
        return _walk(expression, frozenset(targets), sizes)
    except _Refusal as refusal:
        return refusal.form


def _walk(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    touched = node.variables & targets
    if not touched:
        return LinearForm((), node)
    if isinstance(node, Variable):
        return LinearForm((Term(node.name, ONE, {d: d for d in node.dims}),), ZERO)
    if isinstance(node, Apply):
        return _apply(node, targets, sizes)
    handler = _HANDLERS.get(type(node))
    if handler is None:
        raise _Refusal(f"is not linear in {_names(touched)}", node)
    return handler(node, targets, sizes)


def _names(names: Collection[str]) -> str:
    return ", ".join(f"'{n}'" for n in sorted(names))


def _plus(a: LinearForm, b: LinearForm) -> LinearForm:
    offset = b.offset if a.offset is ZERO else a.offset if b.offset is ZERO else a.offset + b.offset
    return LinearForm(a.terms + b.terms, offset)


def _times(form: LinearForm, factor: Expression) -> LinearForm:
    return LinearForm(
        tuple(t.scaled(factor) for t in form.terms), ZERO if form.offset is ZERO else form.offset * factor
    )


def _apply(node: Apply, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    name, args = node.function, node.args
    depends = [bool(a.variables & targets) for a in args]
    if name in ("add", "subtract"):
        left, right = (_walk(a, targets, sizes) for a in args)
        return _plus(left, right if name == "add" else _times(right, Constant(-1.0)))
    if name == "negative":
        return _times(_walk(args[0], targets, sizes), Constant(-1.0))
    if name == "multiply" and not all(depends):
        inner, factor = (args[0], args[1]) if depends[0] else (args[1], args[0])
        return _times(_walk(inner, targets, sizes), factor)
    if name in ("divide", "true_divide") and not depends[1]:
        return _times(_walk(args[0], targets, sizes), ONE / args[1])
    if name == "where" and not depends[0]:
        yes, no = (_walk(a, targets, sizes) for a in args[1:])
        return _plus(_masked(yes, args[0], keep=True), _masked(no, args[0], keep=False))
    touched = node.variables & targets
    if name == "multiply":
        raise _Refusal(f"is a product of two factors that both contain {_names(touched)}", node)
    raise _Refusal(f"is not linear in {_names(touched)}", node)


def _masked(form: LinearForm, condition: Expression, *, keep: bool) -> LinearForm:
    def mask(value: Expression) -> Expression:
        return where(condition, value, 0.0) if keep else where(condition, 0.0, value)

    terms = tuple(replace(t, coefficient=mask(t.coefficient)) for t in form.terms)
    return LinearForm(terms, ZERO if form.offset is ZERO else mask(form.offset))


def _index(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Index)
    for i in node.indices.values():
        if i.variables & targets:
            raise _Refusal(f"has {_names(i.variables & targets)} in its own index", node)
    form = _walk(node.table, targets, sizes)

    def pick(value: Expression) -> Expression:
        chosen = {d: i for d, i in node.indices.items() if d in value.dims}
        return Index(value, chosen) if chosen else value

    def move(position: Position) -> Position:
        return node.indices.get(position, position) if isinstance(position, str) else pick(position)

    terms = tuple(
        Term(t.target, pick(t.coefficient), {d: move(p) for d, p in t.positions.items()}, t.summed) for t in form.terms
    )
    return LinearForm(terms, pick(form.offset))


def _renamed(term: Term, old: str, new: str) -> Term:
    positions = {
        d: (new if p == old else p) if isinstance(p, str) else rename(p, old, new) for d, p in term.positions.items()
    }
    return replace(term, coefficient=rename(term.coefficient, old, new), positions=positions)


def _summed(form: LinearForm, dim: str, sizes: Mapping[str, int]) -> LinearForm:
    """Sum a form over a dim: its axis becomes a summed one, under a name of its own."""
    terms = []
    for term in form.terms:
        if dim in term.frame:
            private = f"{dim}#{next(_fresh)}"
            moved = _renamed(term, dim, private)
            terms.append(replace(moved, summed=(*term.summed, private)))
        else:
            terms.append(term.scaled(Constant(float(sizes[dim]))))
    offset = form.offset
    if dim in offset.dims:
        offset = Reduce(offset, dim, mean=False)
    elif offset is not ZERO:
        offset = offset * float(sizes[dim])
    return LinearForm(tuple(terms), offset)


def _reduce(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Reduce)
    form = _summed(_walk(node.arg, targets, sizes), node.dim, sizes)
    return _times(form, Constant(1.0 / sizes[node.dim])) if node.mean_ else form


def _contract(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Contract)
    if node.left.variables & targets and node.right.variables & targets:
        touched = node.variables & targets
        raise _Refusal(f"is a product of two factors that both contain {_names(touched)}", node)
    return _summed(_walk(node.left * node.right, targets, sizes), node.dim, sizes)


def _cumsum(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Cumsum)
    private = f"{node.dim}#{next(_fresh)}"
    lower = Constant(np.tril(np.ones((sizes[node.dim],) * 2)), (node.dim, private))
    form = _walk(node.arg, targets, sizes)
    terms = tuple(
        replace(moved, coefficient=moved.coefficient * lower, summed=(*moved.summed, private))
        for moved in (_renamed(t, node.dim, private) for t in form.terms)
    )
    offset = form.offset if form.offset is ZERO or node.dim not in form.offset.dims else Cumsum(form.offset, node.dim)
    if offset is not ZERO and node.dim not in offset.dims:
        offset = offset * Constant(np.arange(1.0, sizes[node.dim] + 1), (node.dim,))
    return LinearForm(terms, offset)


def _join(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    """Each piece is its own stretch of the joined dim: a mask and, for vectors, a shifted position."""
    assert isinstance(node, Join)
    widths = node.widths(sizes)
    total, start = sum(widths), 0
    result = LinearForm((), ZERO)
    for piece, along, width in zip(node.pieces, node.along, widths, strict=True):
        place = np.arange(total)
        inside = Constant((place >= start) & (place < start + width), (node.dim,))
        shifted = Constant(np.clip(place - start, 0, width - 1), (node.dim,))
        picked = piece if along is None else Index(piece, {along: shifted})
        result = _plus(result, _masked(_walk(picked, targets, sizes), inside, keep=True))
        start += width
    return result


def _scatter(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Scatter)
    size = int(np.prod(node.known.shape))
    open_, position = np.zeros(size), np.zeros(size, dtype=np.int64)
    open_[node.cells] = 1.0
    position[node.cells] = np.arange(len(node.cells))
    mask = Constant(open_.reshape(node.known.shape), node.dims)
    (dim,) = node.unknown.dims
    filled = Index(node.unknown, {dim: Constant(position.reshape(node.known.shape), node.dims)})
    form = _times(_walk(filled, targets, sizes), mask)
    known = Constant(np.where(mask.value > 0, 0.0, node.known), node.dims)
    return _plus(form, LinearForm((), known))


def _rename(node: Expression, targets: frozenset[str], sizes: Mapping[str, int]) -> LinearForm:
    assert isinstance(node, Rename)
    form = _walk(node.arg, targets, sizes)
    for old, new in node.names.items():
        form = LinearForm(tuple(_renamed(t, old, new) for t in form.terms), rename(form.offset, old, new))
    return form


_HANDLERS: dict[type, Callable[[Expression, frozenset[str], Mapping[str, int]], LinearForm]] = {
    Index: _index,
    Reduce: _reduce,
    Contract: _contract,
    Cumsum: _cumsum,
    Join: _join,
    Scatter: _scatter,
    Rename: _rename,
}
