"""A linear predictor with known design: kept as it was written until rows are merged, then laid out densely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeskit.expressions import Expression, aligner
from bayeskit.expressions.linear import ZERO, NotLinear, Term, linear_form
from bayeskit.model.problem import Problem

Array = np.ndarray
Environment = Mapping[str, Array]

_LARGEST = 25_000_000  # numbers of a design: 200 MB
_WIDE = 200  # unknowns beyond which a design must not be sparse
_DENSE = 0.1


class TooLarge(Exception):
    """A design that is too large, or too wide and sparse, to be held densely."""


class Predictor:
    """Rows ``offset + sum over entries of value * unknown[place]``.

    Parameters
    ----------
    entries : sequence of (place, value)
        Arrays that broadcast to `shape`.
    offset : array
        Likewise; it may be -inf.
    shape : tuple of int
        Of the frame; rows are its cells in C order.
    width : int
        Count of the unknowns.
    choices : int
        So many rows, one after another, are one unit: what is equal or not, and picked, are units.
    """

    def __init__(
        self, entries: Sequence[tuple[Array, Array]], offset: Array, shape: tuple[int, ...], width: int, choices: int
    ) -> None:
        self.entries, self.shape, self.width, self.choices = entries, shape, width, choices
        self.offset, self.offset_varies = self._flat(offset), offset.size > 1
        self.units = len(self.offset) // choices

    def _flat(self, array: Array) -> Array:
        return np.broadcast_to(array, self.shape).reshape(-1)

    @property
    def is_finite(self) -> bool:
        """Whether all is numbers; the offset may be -inf."""
        return not (np.isnan(self.offset) | np.isposinf(self.offset)).any() and all(
            np.isfinite(value).all() for _, value in self.entries
        )

    def columns(self, units: Array, *, offset: bool) -> list[Array]:
        """Return numbers that tell units apart, ``(units,)`` each; equal ones have equal designs and offsets."""
        apart = len(self.shape) - (self.choices > 1)  # what varies along the choices alone tells no units apart
        varying = [self._flat(a) for entry in self.entries for a in entry if np.prod(a.shape[:apart], dtype=int) > 1]
        varying += [self.offset] * (offset and self.offset_varies)
        columns = [column for flat in varying for column in flat.reshape(-1, self.choices).T]
        return columns if len(units) == self.units else [column[units] for column in columns]

    def dense(self, units: Array) -> Array:
        """Return the design of some units, the offset as its last column: ``(units, choices, unknowns + 1)``."""
        if len(units) * self.choices * (self.width + 1) > _LARGEST:
            raise TooLarge
        rows = (units[:, None] * self.choices + np.arange(self.choices)).reshape(-1)
        whole = len(rows) == len(self.offset)

        def picked(array: Array) -> Array:
            return self._flat(array) if whole else self._flat(array)[rows]

        here = np.arange(len(rows))
        design = np.zeros((len(rows), self.width + 1))
        for place, value in self.entries:
            size = value.item() if value.size == 1 else picked(value)
            if place.size == 1:
                design[:, place.item()] += size
            else:
                design[here, picked(place)] += size
        design[:, -1] = picked(self.offset.reshape(self.shape))
        if self.width > _WIDE and np.count_nonzero(design[:, :-1]) < _DENSE * len(rows) * self.width:
            raise TooLarge
        return design.reshape(len(units), self.choices, -1)


def read_predictor(
    problem: Problem,
    predictor: Expression,
    frame: tuple[str, ...],
    names: Sequence[str],
    sizes: Mapping[str, int],
    choices: int,
) -> Predictor | None:
    """Return a predictor of known design and offset; None where it is not linear in the latents, or they are not known.

    Parameters
    ----------
    problem : Problem
        The bound model.
    predictor : Expression
        What is to be linear.
    frame : tuple of str
        Dims that the rows run over.
    names : sequence of str
        The latents, whose elements are the columns, in this order.
    sizes : mapping
        Sizes of the dims.
    choices : int
        Size of the last dim of the frame where rows along it belong together, else 1.
    """
    form = linear_form(predictor, set(names), sizes)
    if isinstance(form, NotLinear):
        return None
    known = problem.env.keys()
    if not form.offset.variables <= known or not all(_variables(t) <= known for t in form.terms):
        return None
    latents = [problem.latents[n] for n in names]
    starts = dict(zip(names, np.cumsum([0, *(latent.size for latent in latents)]), strict=False))
    width = sum(latent.size for latent in latents)
    entries: list[tuple[Array, Array]] = []
    offset = np.zeros((1,) * len(frame))
    with np.errstate(all="ignore"):  # the log of an exposure of zero
        for term in form.terms:
            entries += _entries(term, frame, sizes, int(starts[term.target]), problem)
        if form.offset is not ZERO:
            offset = aligner(form.offset.dims, frame)(np.asarray(form.offset.evaluate(problem.env), dtype=float))[0]
    found = Predictor(entries, offset, tuple(sizes[d] for d in frame), width, choices)
    return found if found.is_finite else None


def _variables(term: Term) -> frozenset[str]:
    names = term.coefficient.variables
    return names.union(*(p.variables for p in term.positions.values() if not isinstance(p, str)))


def _entries(
    term: Term, frame: tuple[str, ...], sizes: Mapping[str, int], start: int, problem: Problem
) -> list[tuple[Array, Array]]:
    """Return a term as entries, one for each position along the dims that it is summed over."""
    axes = frame + term.summed
    summed = tuple(_size(d, sizes) for d in term.summed)
    value = aligner(term.coefficient.dims, axes)(np.asarray(term.coefficient.evaluate(problem.env), dtype=float))[0]
    place = np.full((1,) * len(axes), start, dtype=np.int64)
    latent = problem.latents[term.target]
    stride = 1
    for dim, size in reversed(list(zip(latent.variable.dims, latent.shape, strict=True))):
        place = place + stride * _codes(term.positions[dim], axes, sizes, problem.env)
        stride *= size
    place, value = (
        np.broadcast_to(a, (*a.shape[: len(frame)], *summed)).reshape(*a.shape[: len(frame)], -1)
        for a in (place, value)
    )
    return [(place[..., j], value[..., j]) for j in range(place.shape[-1])]


def _codes(position: str | Expression, axes: tuple[str, ...], sizes: Mapping[str, int], env: Environment) -> Array:
    """Return what a position of a term points at, laid along the axes."""
    if isinstance(position, str):
        shape = [1] * len(axes)
        shape[axes.index(position)] = _size(position, sizes)
        return np.arange(_size(position, sizes)).reshape(shape)
    return aligner(position.dims, axes)(position.evaluate(env))[0].astype(np.int64)


def _size(dim: str, sizes: Mapping[str, int]) -> int:
    return sizes[dim.split("#")[0]]  # summed dims have private names: see `linear_form`
