"""Log weights of the factors and terms of a network: for every cell, over the joint states of what the cell touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bayeskit.expressions import Expression
from bayeskit.inference.networks.elements import KNOWN, Elements, Reader, TooMany, Touch
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]
_MOST_TOUCHES = 60  # axes of an array


@dataclass(frozen=True, eq=False)
class Weights:
    """What one factor or term says of finite elements.

    Attributes
    ----------
    logs : array
        Log weights ``(cells, *states)``, an axis of states for every touch.
    elements : array
        The number of the element that each touch of each cell takes, ``(cells, touches)``; -1 for none.
    values : tuple of array
        The values that the states of each touch are.
    """

    logs: Array
    elements: Array
    values: tuple[Array, ...]


def factor_weights(factor: Factor, elements: Elements, env: Environment, most: int) -> Weights:
    """Return the log weights of a factor; raises ``TooMany`` beyond ``most`` numbers."""
    reader = Reader(elements, env, most)
    read = [reader.read(e, factor.plates) for e in (factor.value, *factor.parameters)]
    touches = _merged([t for _, some in read for t in some])
    value, *parameters = (e for e, _ in read)
    renamed = replace(factor, value=value, parameters=tuple(parameters))
    grid = _Grid(touches, reader, prod(factor.shape), f"'{factor.name}'", most)
    with np.errstate(all="ignore"):
        logs = renamed.log_prob({**env, **grid.env})
    return grid.weights(logs, factor.plates, factor.shape)


def term_weights(
    label: str, expression: Expression, elements: Elements, env: Environment, most: int, *, is_condition: bool
) -> Weights:
    """Return the log weights of a term of ``m.factor``, or of a condition of ``m.require``."""
    reader = Reader(elements, env, most)
    renamed, touches = reader.read(expression, expression.dims)
    shape = expression.evaluate(reader.env).shape[1:]
    grid = _Grid(_merged(touches), reader, prod(shape), f"'{label}'", most)
    with np.errstate(all="ignore"):
        logs = np.asarray(renamed.evaluate({**env, **grid.env}))
    if is_condition:
        logs = np.where(logs.astype(bool), 0.0, -np.inf)
    return grid.weights(logs, expression.dims, shape)


def _merged(touches: Sequence[Touch]) -> list[Touch]:
    """Return touches of the same elements as one: they have one value."""
    found: list[Touch] = []
    for touch in touches:
        for i, other in enumerate(found):
            if other.dims == touch.dims and np.array_equal(other.elements, touch.elements):
                found[i] = Touch(other.dims, other.elements, other.slots + touch.slots)
                break
        else:
            found.append(touch)
    return found


class _Grid:
    """All joint states of some touches, as one batch."""

    def __init__(self, touches: Sequence[Touch], reader: Reader, cells: int, what: str, most: int) -> None:
        self.touches = touches
        elements = reader.elements
        owner, each = elements.owner, list(elements.values.values())
        self.values = tuple(_union([each[k] for k in np.unique(owner[t.elements[t.elements >= 0]])]) for t in touches)
        self.counts = tuple(len(v) for v in self.values)
        size = prod(self.counts)
        if len(touches) > _MOST_TOUCHES:
            raise TooMany(f"a cell of {what} takes {len(touches)} finite elements at once")
        if size * cells > most:
            raise TooMany(f"the table of {what} would have {size * cells:,} numbers")
        states = np.indices(self.counts).reshape(len(touches), size)
        self.env: dict[str, Array] = {}
        for touch, values, state in zip(touches, self.values, states, strict=True):
            for variable, element in touch.slots:
                shape = elements.latents[reader.renamed[variable]].shape
                if element is None:
                    whole = values[state].reshape(-1, *(1 for _ in shape))
                    self.env[variable] = np.broadcast_to(whole, (size, *shape))
                else:
                    held = self.env.setdefault(variable, np.zeros((size, *shape), dtype=np.int64))
                    held.reshape(size, -1)[:, element] = values[state]

    def weights(self, logs: Array, plates: tuple[str, ...], shape: tuple[int, ...]) -> Weights:
        """Return log weights ``(states, *plates)`` cell by cell, with the elements that the cells take."""
        size, cells = prod(self.counts), prod(shape)
        logs = np.where(np.isnan(logs), -np.inf, logs)  # where a parameter is outside its domain
        logs = np.broadcast_to(logs, (size, *shape)).reshape(size, cells).T.reshape(cells, *self.counts)
        laid = []
        for touch in self.touches:
            order = tuple(touch.dims.index(d) for d in plates if d in touch.dims)
            wide = tuple(slice(None) if d in touch.dims else None for d in plates)
            laid.append(np.broadcast_to(touch.elements.transpose(order)[wide], shape).reshape(cells))
        elements = np.stack(laid, axis=1) if laid else np.full((cells, 0), KNOWN)
        return Weights(logs, elements, self.values)


def _union(values: Sequence[Array]) -> Array:
    """Return the values that any of several latents may take; of none, one that stands for what is known."""
    return np.unique(np.concatenate(values)) if values else np.zeros(1, dtype=np.int64)
