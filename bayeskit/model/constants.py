"""Arrays written into a model: their labels and sizes, and how they are laid along the dims of a batch of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import DataError
from bayeskit.expressions import Constant, Expression
from bayeskit.expressions.structure import Join
from bayeskit.model.labels import few, keys

if TYPE_CHECKING:
    from bayeskit.model.model import Model

Array = np.ndarray


def written_arrays(model: Model) -> Iterator[tuple[str, Constant]]:
    """Yield the arrays with dims that a model holds, each with the name of its statement."""
    for name, node in _nodes(model):
        if isinstance(node, Constant) and node.dims:
            yield name, node


def joined_sizes(model: Model, sizes: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Yield name of statement, dim and size of every dim made by ``bk.stack`` and ``bk.concat``."""
    for name, node in _nodes(model):
        if isinstance(node, Join) and all(a is None or a in sizes for a in node.along):
            yield name, node.dim, sum(node.widths(sizes))


def _nodes(model: Model) -> Iterator[tuple[str, Expression]]:
    stated = [(r.name, e) for r in model.random.values() for e in r.parameters]
    stated += [(d.name, d.expression) for d in model.derivations.values()]
    stated += [(t.name, t.expression) for t in model.terms.values()]
    seen: set[int] = set()
    while stated:
        name, node = stated.pop(0)
        if id(node) not in seen:
            seen.add(id(node))
            yield name, node
            stated += [(name, child) for child in node.children()]


def align_constants(name: str, node: Expression, labels: Mapping[str, Array], first: Mapping[str, Array]) -> Expression:
    """Return an expression whose arrays run along the labels of this batch.

    An array without labels has those of the ``first`` batch.
    """
    if isinstance(node, Constant):
        return _aligned(name, node, labels, first)
    children = node.children()
    moved = tuple(align_constants(name, child, labels, first) for child in children)
    return node if all(a is b for a, b in zip(children, moved, strict=True)) else node.rebuild(moved)


def _aligned(name: str, node: Constant, labels: Mapping[str, Array], first: Mapping[str, Array]) -> Constant:
    value = node.value
    for axis, dim in enumerate(node.dims):
        own = node.labels.get(dim, first.get(dim, labels[dim]))
        if value.shape[axis] != len(own):
            raise DataError(
                f"The array written into '{name}' must have {len(own)} entries along '{dim}', one for each label. "
                f"Got {value.shape[axis]}. Check the array, or the labels of the dim."
            )
        if own is not labels[dim] and not np.array_equal(own, labels[dim]):
            place = {v: i for i, v in enumerate(keys(own))}
            missing = [v for v in keys(labels[dim]) if v not in place]
            if missing:
                raise DataError(
                    f"The array written into '{name}' must cover every label of '{dim}'. Got {few(own)}, "
                    f"without {missing[0]!r}. Declare it with m.data, so that its values come with the data."
                )
            value = np.take(value, [place[v] for v in keys(labels[dim])], axis=axis)
    return node if value is node.value else Constant(value, node.dims)
