"""The inverse Gram factor of a design: what a prior is made of that is scaled by the columns it multiplies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayeskit.errors import DataError, ModelError
from bayeskit.expressions.nodes import Array, Constant, Environment, Expression

_EPS = float(np.finfo(float).eps)


def inverse_gram_factor(design: Array, *, centred: bool, text: str = "X") -> Array:
    r"""Lower triangular L with :math:`L L' = (Z'Z)^{-1}`, where Z is the design, its columns centred or not.

    It comes from the triangular factor of Z itself, not of ``Z'Z``, so that no digits are lost in squares.

    Parameters
    ----------
    design : ndarray
        Shape ``(n, k)``.
    centred : bool
        Whether column means are subtracted.
    text : str
        What the design is called in the error.

    Raises
    ------
    DataError
        Where the columns are linearly dependent, or not finite.

    Examples
    --------
    >>> inverse_gram_factor(np.array([[1.0], [3.0]]), centred=True).round(4)
    array([[0.7071]])
    """
    design = np.asarray(design, dtype=float)
    n, k = design.shape
    if not np.isfinite(design).all():
        raise DataError(f"The design {text} of a GPrior must be finite. Got NaN or infinities. Leave those rows out.")
    z = design - design.mean(axis=0) if centred else design
    size = np.sqrt((z * z).sum(axis=0))
    # what centring leaves of a constant column is rounding error, and no column
    size = np.where(size > n * _EPS * np.abs(design).max(axis=0), size, 0.0)
    scaled = np.where(size > 0, z, 0.0) / np.where(size > 0, size, 1.0)
    found = np.linalg.svd(scaled, compute_uv=False)
    rank = int((found > max(n, k) * _EPS * found.max(initial=0.0)).sum()) if found.size else 0
    if rank < k:
        what = "once centred: a constant column is the intercept, which stands apart" if centred else "(full rank)"
        raise DataError(
            f"The {k} columns of {text} in a GPrior must be linearly independent {what}. Got {n} rows of rank {rank}. "
            "Drop the columns that others determine, or give more rows."
        )
    R = np.linalg.qr(scaled[:, ::-1], mode="r")  # columns reversed: the inverse of its factor is lower triangular
    R = R * np.where(np.diagonal(R) < 0, -1.0, 1.0)[:, None]
    L = np.linalg.solve(R[::-1, ::-1], np.eye(k))
    return np.asarray(np.tril(L) / size[:, None])


class InverseGramFactor(Expression):
    """The lower factor of the inverse Gram matrix of a design over ``(rows, k)``: a matrix over ``(k, k_)``."""

    def __init__(self, design: Expression, *, centred: bool) -> None:
        if len(design.dims) != 2:
            raise ModelError(
                f"The design of a GPrior must have two dims, of rows and of coefficients. Got '{design}' with dims "
                f'{design.dims or "none"}. Write X = m.data("X", dims=("obs", "k")), or bk.stack([x1, x2], dim="k").'
            )
        self.design, self.centred = design, centred
        self.dims = (design.dims[1], design.dims[1] + "_")

    def children(self) -> tuple[Expression, ...]:
        """Return the design."""
        return (self.design,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same of another design."""
        return InverseGramFactor(children[0], centred=self.centred)

    def evaluate(self, env: Environment) -> Array:
        """Return the factor of every design of the batch."""
        designs = self.design.evaluate(env)
        text = f"'{self.design}'"
        return np.stack([inverse_gram_factor(one, centred=self.centred, text=text) for one in designs])


def with_known_grams(expression: Expression, rows_of: Callable[[Expression], Array | None]) -> Expression:
    """Return an expression with the factors of known designs as numbers: the rows are looked at once.

    ``rows_of`` gives the rows of a design, ``(n, k)``, or None where they are not known.
    """
    if isinstance(expression, InverseGramFactor):
        rows = rows_of(expression.design)
        if rows is None:
            return expression
        text = f"'{expression.design}'"
        return Constant(inverse_gram_factor(rows, centred=expression.centred, text=text), expression.dims)
    children = expression.children()
    found = tuple(with_known_grams(child, rows_of) for child in children)
    if all(a is b for a, b in zip(children, found, strict=True)):
        return expression
    return expression.rebuild(found)


def designs_in(expression: Expression) -> frozenset[str]:
    """Return the names of the variables in designs whose factors an expression takes."""
    if isinstance(expression, InverseGramFactor):
        return expression.variables
    return frozenset().union(*(designs_in(child) for child in expression.children()))
