r"""Matrix normals as rows of vectors: what the Gaussian machinery knows.

With :math:`X \sim MN(M, U, V)` and :math:`W U W' = I`, the rows of :math:`W X` are independent normal vectors of
covariance V about those of :math:`W M`. W is scaled to determinant one, and V with it: the density is that of X.
Source: Dawid (1981), Biometrika 68, 265-274, eq. 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayeskit.distributions import Distribution, MvNormal
from bayeskit.distributions.matrices import cholesky, solve_lower
from bayeskit.distributions.matrix_normal import FORMS
from bayeskit.expressions import Constant, Expression, aligner
from bayeskit.expressions.structure import Contract
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
_MOST_ROWS = 2_000  # that are mixed with each other


def by_rows(problem: Problem) -> Problem:
    """Return the problem with matrix normals whose covariance of rows is known as rows of vectors."""
    found = {id(f): _rows(f, problem.env) for f in problem.factors if f.distribution.family == "MatrixNormal"}
    instead = {key: factor for key, factor in found.items() if factor is not None}
    if not instead:
        return problem
    latents = {n: replace(e, prior=instead.get(id(e.prior), e.prior)) for n, e in problem.latents.items()}
    return replace(problem, latents=latents, factors=tuple(instead.get(id(f), f) for f in problem.factors))


def origin(factor: Factor) -> Factor:
    """Return the factor of the model that one stands for."""
    distribution = factor.distribution
    return distribution.source if isinstance(distribution, _Rows) else factor


class _Rows(MvNormal):
    """The vectors that a matrix normal is made of, printed as it was written."""

    def __init__(self, written: Distribution, form: str, source: Factor) -> None:
        super().__init__(0, **{form: np.eye(1)})  # factors bear the parameters: what stands here is their names
        object.__setattr__(self, "given", written.given)
        object.__setattr__(self, "source", source)

    source: Factor

    @property
    def family(self) -> str:
        """Name of the family of the vectors."""
        return "MvNormal"

    def __repr__(self) -> str:
        return repr(self.source.distribution)


def _rows(factor: Factor, env: Mapping[str, Array]) -> Factor | None:
    """Return a matrix normal factor as one of vectors; None where the covariance of its rows is unknown."""
    _, along, across = (p.name for p in factor.distribution.parameters)
    matrix, columns = factor.parameter(along), factor.parameter(across)
    if not matrix.variables <= env.keys():
        return None
    row, col = factor.event
    raw = aligner(matrix.dims, factor.layouts[1])(np.asarray(matrix.evaluate(env), dtype=float))[0]
    W = _whitener(raw, FORMS[along.removeprefix("row")])
    size = W.shape[-1]
    diagonal = np.diagonal(W, axis1=-2, axis2=-1)
    value, mean, sizes = factor.value, factor.parameter("mu"), dict(factor.sizes)
    if np.array_equal(W, diagonal[..., None] * np.eye(size)):  # rows stay as they are, each with its own variance
        new, sd = row, _constant(1.0 / diagonal, factor.plates, (row,))
    elif size > _MOST_ROWS:
        return None
    else:
        new = f"{row}_white"
        sizes[new] = sizes[row]
        unit = np.exp(np.log(diagonal).mean(axis=-1))
        white = _constant(W / unit[..., None, None], factor.plates, (new, row))
        value, mean = (Contract(white, _over(e, row, size), row) for e in (value, mean))
        sd = _constant(1.0 / unit, factor.plates, ())
    form = FORMS[across.removeprefix("col")]
    power = {"cov": 2.0, "tau": -2.0, "cholesky": 1.0}[form]
    if not np.all(sd.value == 1.0):
        columns = columns * Constant(sd.value**power, sd.dims)
    plates, weight = (*factor.plates, new), factor.weight
    if weight is not None:
        weight = np.repeat(weight.reshape(*factor.shape, 1), size, axis=-1)
    layouts = ((*plates, col), (*plates, col, f"{col}_"))
    distribution = _Rows(factor.distribution, form, factor)
    return Factor(factor.name, distribution, value, (mean, columns), layouts, plates, (col,), sizes, weight)


def _whitener(matrix: Array, form: str) -> Array:
    """Return W with ``W U W' = I``, triangular with a positive diagonal."""
    factor = np.asarray(matrix, dtype=float) if form == "cholesky" else cholesky(matrix)
    return np.swapaxes(factor, -1, -2) if form == "tau" else solve_lower(factor, np.eye(factor.shape[-1]))


def _constant(values: Array, plates: tuple[str, ...], own: tuple[str, ...]) -> Constant:
    """Return numbers laid along plates (of size 1 where they do not vary) and dims of their own."""
    lead = values.ndim - len(own)
    held = tuple(d for d, n in zip(plates, values.shape[:lead], strict=True) if n > 1)
    tail = values.shape[lead:]
    return Constant(values.reshape(tuple(n for n in values.shape[:lead] if n > 1) + tail), (*held, *own))


def _over(expression: Expression, dim: str, size: int) -> Expression:
    """Return an expression that bears a dim: a mean may be the same for all rows."""
    return expression if dim in expression.dims else expression * Constant(np.ones(size), (dim,))
