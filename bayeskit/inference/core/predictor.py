"""A linear predictor as a dense design: one column for every element of some latents, and the known offset."""

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


def read_design(
    problem: Problem, predictor: Expression, frame: tuple[str, ...], names: Sequence[str], sizes: Mapping[str, int]
) -> Array | None:
    """Return the design of a predictor with its offset as the last column: ``(rows, unknowns + 1)``.

    Parameters
    ----------
    problem : Problem
        The bound model.
    predictor : Expression
        What is to be linear in the latents.
    frame : tuple of str
        Dims that the rows run over, in C order.
    names : sequence of str
        The latents, whose elements are the columns in this order.
    sizes : mapping
        Sizes of the dims.

    Returns
    -------
    array or None
        None where the predictor is not linear, where its design or offset are not known, where the offset is not a
        number (it may be -inf), and where the design is large, or wide and sparse.
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
    shape = tuple(sizes[d] for d in frame)
    if np.prod(shape, dtype=float) * (width + 1) > _LARGEST:
        return None
    design = np.zeros((*shape, width + 1))
    with np.errstate(all="ignore"):  # the log of an exposure of zero
        for term in form.terms:
            _add(design, term, frame, sizes, int(starts[term.target]), problem)
        if form.offset is not ZERO:
            design[..., -1] = aligner(form.offset.dims, frame)(form.offset.evaluate(problem.env))[0]
    design = design.reshape(-1, width + 1)
    offset = design[:, -1]
    if np.isnan(offset).any() or np.isposinf(offset).any() or not np.isfinite(design[:, :-1]).all():
        return None
    if width > _WIDE and np.count_nonzero(design[:, :-1]) < _DENSE * len(design) * width:
        return None
    return design


def _variables(term: Term) -> frozenset[str]:
    names = term.coefficient.variables
    return names.union(*(p.variables for p in term.positions.values() if not isinstance(p, str)))


def _add(
    design: Array, term: Term, frame: tuple[str, ...], sizes: Mapping[str, int], start: int, problem: Problem
) -> None:
    """Add a term to a design ``(*frame, columns)``, one summed position at a time."""
    axes = frame + term.summed
    summed = tuple(sizes[d.split("#")[0]] for d in term.summed)  # private names of summed dims: see `linear_form`
    coefficient = aligner(term.coefficient.dims, axes)(np.asarray(term.coefficient.evaluate(problem.env)))[0]
    column = np.full((1,) * len(axes), start, dtype=np.int64)
    latent = problem.latents[term.target]
    stride = 1
    for dim, size in reversed(list(zip(latent.variable.dims, latent.shape, strict=True))):
        column = column + stride * _codes(term.positions[dim], axes, sizes, problem.env)
        stride *= size
    whole = design.shape[:-1]
    coefficient, column = (
        np.broadcast_to(a, (*a.shape[: len(frame)], *summed)).reshape(*a.shape[: len(frame)], -1)
        for a in (coefficient, column)
    )
    flat = design.reshape(-1, design.shape[-1])
    rows = np.arange(len(flat))
    for j in range(column.shape[-1]):
        value, place = coefficient[..., j], column[..., j]
        if place.size == 1:
            design[..., place.item()] += value
        else:
            flat[rows, np.broadcast_to(place, whole).reshape(-1)] += np.broadcast_to(value, whole).reshape(-1)


def _codes(position: str | Expression, axes: tuple[str, ...], sizes: Mapping[str, int], env: Environment) -> Array:
    """Return what a position of a term points at, laid along the axes."""
    if isinstance(position, str):
        shape = [1] * len(axes)
        shape[axes.index(position)] = sizes[position.split("#")[0]]
        return np.arange(sizes[position.split("#")[0]]).reshape(shape)
    return aligner(position.dims, axes)(position.evaluate(env))[0].astype(np.int64)
