"""Answers about many cells, some cells at a time: what is tabulated for them all would fill the memory.

A part is as many cells as fit a processor's own memory, so that this costs no time: every part is tabulated anew for
every question, and its tables are forgotten with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeskit.distributions.domains import Array

__all__ = ["Part", "by_parts", "cells_at_once", "columns_of", "parts_of"]

HELD = 2**17  # numbers of one table held at a time: what a processor's own memory holds


def cells_at_once(numbers: int) -> int:
    """How many cells are worked on at a time, of which a table has so many numbers each.

    Examples
    --------
    >>> cells_at_once(256)
    512
    """
    return max(HELD // max(numbers, 1), 1)


@dataclass(frozen=True, eq=False)
class Part:
    """Some entries of arrays over cells, those of one part.

    Attributes
    ----------
    cells : ndarray
        Numbers of the cells in it, increasing, each once.
    place : ndarray
        Which of these each entry is of, ``(n,)``.
    shape : tuple of int
        Shape of an answer, ``(*lead, n)``: the leading axes are those along which the cells do not vary.
    """

    cells: Array
    place: Array
    shape: tuple[int, ...]
    full: tuple[int, ...]
    at: tuple[Any, ...]

    def take(self, values: Any) -> Array:
        """Return the entries of an array that broadcasts to the shape of all: ``(*lead, n)``."""
        taken: Array = np.broadcast_to(values, self.full)[..., None][self.at]
        return taken


def parts_of(size: int, cell: Any, shape: tuple[int, ...]) -> Iterator[Part]:
    """Sort entries by their cells into parts of so many cells.

    Parameters
    ----------
    size : int
        Cells a part.
    cell : array_like
        Numbers of cells, which broadcast to `shape`.
    shape : tuple of int
        Shape of the entries.
    """
    cell = np.asarray(cell).astype(np.int64)
    padded = cell.reshape((1,) * (len(shape) - cell.ndim) + cell.shape)
    lead = next((i for i, n in enumerate(padded.shape) if n > 1), len(shape))
    own = (*shape[lead:], 1)
    flat = np.broadcast_to(padded.reshape((*padded.shape[lead:], 1)), own).reshape(-1)
    part = flat // size
    order = np.argsort(part, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(part[order])) + 1) if flat.size else []:
        cells, place = np.unique(flat[rows], return_inverse=True)
        yield Part(cells, place, (*shape[:lead], len(rows)), shape, (..., *np.unravel_index(rows, own)))


def by_parts(answer: Callable[[Part], Any], size: int, cell: Any, *values: Any) -> Array:
    """Ask part by part, and lay the answers where they belong.

    Parameters
    ----------
    answer : callable
        From a part to an array ``(*more, *lead, n)``; ``more`` are axes before all others, the same for every part.
    size : int
        Cells a part.
    cell : array_like
        Numbers of the cells.
    *values : array_like
        What the answer takes: the result has the shape to which they and the cells broadcast.

    Examples
    --------
    >>> by_parts(lambda part: part.take([[1.0], [2.0]]) * part.cells[part.place], 2, [3, 0, 1], [[1.0], [2.0]])
    array([[3., 0., 1.],
           [6., 0., 2.]])
    """
    shape = np.broadcast_shapes(np.shape(cell), *(np.shape(v) for v in values))
    result = None
    for part in parts_of(size, cell, shape):
        found = np.asarray(answer(part))
        found = np.broadcast_to(found, np.broadcast_shapes(found.shape, part.shape))
        if result is None:
            result = np.empty((*found.shape[: found.ndim - len(part.shape)], *shape, 1), found.dtype)
        result[part.at] = found
    return np.empty(shape) if result is None else result[..., 0]


def columns_of(cells: Array) -> slice | Array:
    """Return numbers of cells as a slice where they follow each other: what it takes is not copied.

    Examples
    --------
    >>> columns_of(np.arange(3, 6)), columns_of(np.array([1, 0]))
    (slice(3, 6, None), array([1, 0]))
    """
    if len(cells) and cells[-1] - cells[0] == len(cells) - 1 and (np.diff(cells) == 1).all():
        return slice(int(cells[0]), int(cells[-1]) + 1)
    return cells
