"""Factors as rows of residuals: ``e = v - J x``, with ``J`` the design of the unknowns of a Gaussian block.

Each row is one cell of a factor (one entry of the event, for vectors). A known design is kept as triplets; a design or
an offset that depends on other latents is evaluated when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayeskit.expressions import Expression, aligner
from bayeskit.expressions.linear import ZERO, LinearForm, NotLinear, Term, linear_form
from bayeskit.model.problem import Factor, Latent

Array = np.ndarray
Environment = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class KnownTerm:
    """One linear term whose numbers are known: each row takes ``sign * coefficient`` of the elements at ``codes``.

    Arrays run over the frame of the rows and then over the summed dims, with size 1 where they do not vary; they are
    views of the data where possible. ``codes`` tell the element along each dim of the target, ``positions`` how the
    model wrote it.
    """

    target: str
    sign: float
    coefficient: Array
    codes: dict[str, Array]
    positions: dict[str, str | Expression]
    summed: tuple[int, ...]  # sizes


@dataclass(frozen=True, eq=False)
class Triplets:
    """Entries of a design: ``J[row, column] += value``; arrays ``(batch, entries)``, batch 1 where known."""

    rows: Array
    columns: Array
    values: Array


class Design:
    """How the residual of one factor depends on the unknowns of a block.

    Attributes
    ----------
    factor : Factor
        A Normal, LogNormal or MvNormal factor.
    shape : tuple of int
        ``(plates, event)``: rows are their product.
    known_design, known_offset : bool
        Whether the design, the offset depend on data alone.
    """

    def __init__(
        self, factor: Factor, columns: Mapping[str, int], known: set[str], latents: Mapping[str, Latent]
    ) -> None:
        self.factor, self.columns, self.latents = factor, columns, latents
        self.frame = factor.plates + factor.event
        self.sizes = dict(factor.sizes)
        event = [self.sizes[d] for d in factor.event]
        self.shape = (int(np.prod(factor.shape, dtype=int)), int(np.prod(event, dtype=int)))
        value, mean = self._form(factor.value), self._form(factor.parameter("mu"))
        self.terms: list[tuple[float, Term]] = [(1.0, t) for t in mean.terms] + [(-1.0, t) for t in value.terms]
        self.value_offset, self.mean_offset = value.offset, mean.offset
        self.known_offset = value.offset.variables <= known and mean.offset.variables <= known
        self.known_design = all(_term_variables(t) <= known for _, t in self.terms)

    def _form(self, expression: Expression) -> LinearForm:
        form = linear_form(expression, set(self.columns), self.sizes)
        assert not isinstance(form, NotLinear), "the plan admits linear factors only"
        return form

    @property
    def rows(self) -> int:
        """Count of its rows."""
        return self.shape[0] * self.shape[1]

    def offset(self, env: Environment) -> Array:
        """Return v, the part of the residual free of the unknowns: ``(batch, rows)``."""
        value = self._offset(env)
        full = tuple(self.sizes[d] for d in self.frame)
        return np.broadcast_to(value, (value.shape[0], *full)).reshape(value.shape[0], -1).astype(float, copy=False)

    def _offset(self, env: Environment) -> Array:
        value = aligner(self.value_offset.dims, self.frame)(self.value_offset.evaluate(env))
        if self.factor.distribution.family == "LogNormal":
            value = np.log(value)
        if self.mean_offset is not ZERO:
            value = value - aligner(self.mean_offset.dims, self.frame)(self.mean_offset.evaluate(env))
        return np.asarray(value)

    def framed_offset(self, env: Environment) -> Array:
        """Return v where it is known, over the frame: a view of the data where it can be one."""
        return np.asarray(self._offset(env)[0]).astype(float, copy=False)

    def known_terms(self, env: Environment) -> list[KnownTerm]:
        """Return the terms of a design that depends on data alone."""
        return [self._known(sign, term, env) for sign, term in self.terms]

    def _known(self, sign: float, term: Term, env: Environment) -> KnownTerm:
        frame = self.frame + term.summed
        sizes = tuple(self._size(d) for d in frame)
        value = np.asarray(term.coefficient.evaluate(env)).astype(float, copy=False)
        coefficient = aligner(term.coefficient.dims, frame)(value)[0]
        codes = {d: self._codes(p, frame, sizes, env)[0] for d, p in term.positions.items()}
        return KnownTerm(term.target, sign, coefficient, codes, dict(term.positions), sizes[len(self.frame) :])

    def triplets(self, env: Environment) -> Triplets:
        """Return the entries of the design J, so that ``e = v - J x``."""
        parts = [self._entries(sign, term, env) for sign, term in self.terms]
        batch = max((p.values.shape[0] for p in parts), default=1)
        batch = max([batch, *(p.columns.shape[0] for p in parts)])

        def wide(array: Array) -> Array:
            return np.broadcast_to(array, (batch, array.shape[1]))

        if not parts:
            empty = np.zeros((1, 0))
            return Triplets(empty[0].astype(np.int64), empty.astype(np.int64), empty)
        return Triplets(
            np.concatenate([p.rows for p in parts]),
            np.concatenate([wide(p.columns) for p in parts], axis=1),
            np.concatenate([wide(p.values) for p in parts], axis=1),
        )

    def _entries(self, sign: float, term: Term, env: Environment) -> Triplets:
        frame = self.frame + term.summed
        sizes = tuple(self._size(d) for d in frame)
        coefficient = aligner(term.coefficient.dims, frame)(np.asarray(term.coefficient.evaluate(env), dtype=float))
        column: Array = np.full((1,) * (1 + len(frame)), self.columns[term.target])
        stride = 1
        latent = self.latents[term.target]
        for dim, size in reversed(list(zip(latent.variable.dims, latent.shape, strict=True))):
            column = column + stride * self._codes(term.positions[dim], frame, sizes, env)
            stride *= size
        batch_c, batch_v = column.shape[0], coefficient.shape[0]
        rows = np.arange(self.rows).reshape([*sizes[: len(self.frame)], *(1,) * len(term.summed)])
        return Triplets(
            np.broadcast_to(rows, sizes).ravel(),
            np.broadcast_to(column, (batch_c, *sizes)).reshape(batch_c, -1).astype(np.int64),
            sign * np.broadcast_to(coefficient, (batch_v, *sizes)).reshape(batch_v, -1),
        )

    def _size(self, dim: str) -> int:
        return self.sizes[dim.split("#")[0]]

    @staticmethod
    def _codes(position: str | Expression, frame: Sequence[str], sizes: Sequence[int], env: Environment) -> Array:
        if isinstance(position, str):
            shape = [1] * (1 + len(frame))
            axis = list(frame).index(position)
            shape[1 + axis] = sizes[axis]
            return np.arange(sizes[axis]).reshape(shape)
        return aligner(position.dims, tuple(frame))(position.evaluate(env)).astype(np.int64, copy=False)


def _term_variables(term: Term) -> frozenset[str]:
    names = term.coefficient.variables
    for p in term.positions.values():
        names = names | (frozenset() if isinstance(p, str) else p.variables)
    return names
