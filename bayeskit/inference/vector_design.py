"""Factors of vectors read as rows of a multivariate regression: one design for every entry of the vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.expressions import aligner
from bayeskit.expressions.linear import NotLinear, Term, linear_form
from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Factor, Latent, Problem
from bayeskit.statistics.design import Design

Array = np.ndarray
_WINDOW = 65_536  # rows weighted at once


@dataclass(frozen=True)
class Columns:
    """How coefficients are the rows of one matrix, ``(total, entries)``.

    Attributes
    ----------
    first : mapping
        The row at which each latent starts.
    axes : mapping
        Which axis of each latent runs along the entries.
    """

    latents: Mapping[str, Latent]
    first: Mapping[str, int]
    axes: Mapping[str, int]
    entries: int
    total: int

    def rows(self, name: str) -> slice:
        """Return the rows of one latent."""
        return slice(self.first[name], self.first[name] + self.latents[name].size // self.entries)

    def laid(self, name: str, rows: Array) -> Array:
        """Return the rows of one latent, ``(batch, its rows, entries)``, along its own dims."""
        shape, axis = self.latents[name].shape, self.axes[name]
        rest = tuple(n for i, n in enumerate(shape) if i != axis)
        return np.moveaxis(rows.reshape(len(rows), *rest, self.entries), -1, 1 + axis)

    def joined(self, values: Mapping[str, Array]) -> Array:
        """Return matrices ``(batch, total, entries)`` from the latents by name."""
        parts = [np.moveaxis(values[n], 1 + self.axes[n], -1) for n in self.first]
        return np.concatenate([p.reshape(len(p), -1, self.entries) for p in parts], axis=1)

    def split(self, B: Array) -> dict[str, Array]:
        """Return the latents by name from matrices ``(batch, total, entries)``."""
        return {n: self.laid(n, B[:, self.rows(n)]) for n in self.first}


@dataclass(frozen=True)
class VectorDesign:
    """Rows of one factor: values ``(n, d)``, design ``(n, p)``, weights of the precision, how often each occurs."""

    values: Array
    design: Array
    weights: Array
    occurs: Array

    def weighted_rows(self) -> Iterator[Array]:
        """Yield rows of the design and the values together, times the roots of their weights."""
        root = np.sqrt(self.weights * self.occurs)[:, None]
        for start in range(0, len(root), _WINDOW):
            at = slice(start, start + _WINDOW)
            yield root[at] * np.concatenate([self.design[at], self.values[at]], axis=1)


def columns_of(problem: Problem, gaussian: list[str], matrix: str) -> Columns | Refusal:
    """Return how latents are the rows of one matrix: the axis that runs along the entries of vectors of each."""
    axes: dict[str, int] = {}
    for name in gaussian:
        if problem.latents[name].missing_from is not None:
            return Refusal(f"'{name}' fills parts of the vectors that '{matrix}' scales")
    d = problem.latents[matrix].shape[-1]
    for factor in problem.factors_of(gaussian):
        if factor.distribution.family != "MvNormal":
            if factor.distribution.family == "Flat":
                continue
            return Refusal(f"'{factor.name}' ~ {factor.distribution} does not scale with '{matrix}'", _advice(matrix))
        for expression in (factor.parameter("mu"), factor.value):
            form = linear_form(expression, set(gaussian), factor.sizes)
            if isinstance(form, NotLinear):
                return Refusal(f"in '{factor.name}', {form}")
            for term in form.terms:
                axis = _axis(term, problem.latents[term.target], factor.event[0])
                if axis is None or axes.setdefault(term.target, axis) != axis:
                    text = f"the mean of '{factor.name}' is not a known multiple of '{term.target}', vector by vector"
                    return Refusal(text)
    first, start = {}, 0
    for name in gaussian:
        if name not in axes or problem.latents[name].shape[axes[name]] != d:
            return Refusal(f"'{name}' is not made of vectors of {d} entries")
        first[name] = start
        start += problem.latents[name].size // d
    return Columns({n: problem.latents[n] for n in gaussian}, first, axes, d, start)


def _axis(term: Term, latent: Latent, event: str) -> int | None:
    """Return the axis of a latent that runs along the entries, where nothing else of the term does; else None."""
    dims = latent.variable.dims
    along = [d for d, p in term.positions.items() if isinstance(p, str) and p == event]
    others = [p.dims for d, p in term.positions.items() if not isinstance(p, str)]
    if len(along) != 1 or event in term.coefficient.dims or any(event in own for own in others):
        return None
    return dims.index(along[0])


def _advice(matrix: str) -> str:
    return f"an exact posterior needs a MvNormal scaled by a known multiple of '{matrix}'"


def read_design(problem: Problem, factor: Factor, columns: Columns, matrix: str, kind: str) -> VectorDesign | Refusal:
    """Return the rows of one factor, or why its scale is not a known multiple of the matrix."""
    parameter = "tau" if kind == "Wishart" else "cov"
    if parameter not in [p.name for p in factor.distribution.parameters]:
        return Refusal(f"'{factor.name}' is not given by its {parameter}")
    scale = linear_form(factor.parameter(parameter), {matrix}, factor.sizes)
    if isinstance(scale, NotLinear) or not scale.is_elementwise or not scale.terms:
        return Refusal(f"'{factor.name}' ~ {factor.distribution} does not scale with '{matrix}'", _advice(matrix))
    (term,) = scale.terms
    env, n = problem.env, int(np.prod(factor.shape, dtype=int))
    if set(term.coefficient.dims) - set(factor.plates) or not term.coefficient.variables <= env.keys():
        return Refusal(f"the scale of '{factor.name}' is not a known multiple of '{matrix}'")
    w = aligner(term.coefficient.dims, factor.plates)(np.asarray(term.coefficient.evaluate(env), float))
    w = np.broadcast_to(w, (1, *factor.shape)).reshape(n)
    design = Design(factor, dict.fromkeys(columns.first, 0), set(env), columns.latents)
    if not (design.known_design and design.known_offset):
        return Refusal(f"the coefficients in the mean of '{factor.name}' are unknown")
    C = np.zeros((n, columns.total))
    for sign, one in design.terms:
        _add_term(C, sign, one, factor, columns, env)
    v = np.broadcast_to(design.framed_offset(env), (*factor.shape, columns.entries)).reshape(n, columns.entries)
    occurs = factor.weighed(np.ones((1, *factor.shape))).reshape(n)
    return VectorDesign(v, C, w if kind == "Wishart" else 1.0 / w, occurs)


def _add_term(C: Array, sign: float, term: Term, factor: Factor, columns: Columns, env: Mapping[str, Array]) -> None:
    """Add one linear term to the design ``(n, p)``, the same for every entry of the vectors."""
    latent = columns.latents[term.target]
    frame = (*factor.plates, *term.summed)
    sizes = [factor.sizes[d.split("#")[0]] for d in frame]
    value = aligner(term.coefficient.dims, frame)(np.asarray(term.coefficient.evaluate(env), dtype=float))[0]
    row: Array = np.zeros((1,) * len(frame), dtype=np.int64)
    stride = 1
    for i, (dim, size) in reversed(list(enumerate(zip(latent.variable.dims, latent.shape, strict=True)))):
        if i != columns.axes[term.target]:
            row = row + stride * Design._codes(term.positions[dim], frame, sizes, env)[0]
            stride *= size
    cell = np.arange(len(C)).reshape((*factor.shape, *(1,) * len(term.summed))) * columns.total
    place = np.broadcast_to(cell + (columns.first[term.target] + row), sizes).ravel()
    C += sign * np.bincount(place, np.broadcast_to(value, sizes).ravel(), C.size).reshape(C.shape)
