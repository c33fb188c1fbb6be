"""Precisions of the rows of a Gaussian factor: known weights times what other latents say, cell by cell.

Rows whose precision is the same function of the latents share a *noise cell*; within a cell the rows are summed once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np

from bayeskit.expressions import Expression, aligner
from bayeskit.expressions.linear import ONE
from bayeskit.expressions.nodes import Apply, Constant
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.expressions.structure import Index
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]
_POWERS = {"sqrt", "square", "reciprocal"}
_AS_SD = {"tau": -0.5, "cov": 0.5, "cholesky": 1.0}  # the power of what a matrix is multiplied by that scales sds


def split_known(expression: Expression, known: Collection[str]) -> tuple[Expression, Expression | None]:
    """Split a product into a factor known from data and a factor of latents (None where there is none)."""
    if expression.variables <= set(known):
        return expression, None
    if isinstance(expression, Apply):
        name, args = expression.function, expression.args
        if name in ("multiply", "divide", "true_divide"):
            (ka, la), (kb, lb) = split_known(args[0], known), split_known(args[1], known)
            divide = name != "multiply"
            known_part = _join(ka, kb, divide)
            return ONE if known_part is None else known_part, _join(la, lb, divide)
        if name == "power" and isinstance(args[1], Constant):
            k, latent = split_known(args[0], known)
            return k if k is ONE else k ** args[1], None if latent is None else latent ** args[1]
        if name in _POWERS:
            k, latent = split_known(args[0], known)
            return Apply(expression.ufunc, (k,)), None if latent is None else Apply(expression.ufunc, (latent,))
    return ONE, expression


def _join(a: Expression | None, b: Expression | None, divide: bool) -> Expression | None:
    if b is None or b is ONE:
        return a
    if a is None or a is ONE:
        return ONE / b if divide else b
    return a / b if divide else a * b


class Precision:
    """The precisions of one factor's rows.

    Attributes
    ----------
    framed_weight : array
        The known part over the plates, of size 1 along those it does not vary with; for vectors with a known matrix
        one: those rows are whitened by ``root``.
    framed_cell : array
        The noise cell of each plate, likewise.
    cells : int
        How many noise cells there are; 1 for a known precision.
    latent : Expression or None
        A standard deviation (or, for vectors, a matrix) over ``dims``, whose elements are the cells. It scales the
        known matrix, where there is one.
    root : array or None
        For vectors with a known matrix: ``(plates or 1, d, d)`` with ``root' root`` the precision, but for ``latent``.
    multiplicity : array or None
        How often each plate occurs, where rows that are alike are one: the weight holds it too.
    counts : array (cells,)
        Rows of each noise cell; the entries of whitened vectors are rows of their own.
    log_det : float
        Sum over rows of half the log of the known precision.
    """

    def __init__(self, factor: Factor, known: set[str], env: Environment) -> None:
        self.factor, self.kind = factor, "scalar"
        self.root: Array | None = None
        self.latent: Expression | None = None
        self.dims: tuple[str, ...] = ()
        self.plates = int(np.prod(factor.shape, dtype=int))
        one = (1,) * len(factor.shape)
        self.multiplicity: Array | None = None
        if factor.weight is not None:
            self.multiplicity = np.asarray(factor.weight, dtype=float).reshape(factor.shape)
        self.framed_weight, self.framed_cell, self.cells = np.ones(one), np.zeros(one, dtype=np.int64), 1
        self.log_det = 0.0
        if factor.event:
            self._read_matrix(known, env)
        else:
            self._read_scalar(known, env)
        if self.multiplicity is None:
            found = np.bincount(self.framed_cell.ravel(), minlength=self.cells).astype(float)
            self.counts = found * (self.plates / max(1, self.framed_cell.size))
        else:
            self.framed_weight = self.framed_weight * self.multiplicity
            self.counts = np.bincount(self.cell, self.multiplicity.ravel(), self.cells)
        if self.root is not None:
            self.counts = self.counts * self.root.shape[-1]

    @property
    def rows(self) -> float:
        """How many rows there are: each as often as it occurs, and the entries of vectors apart."""
        entries = [] if self.root is not None else [self.factor.sizes[d] for d in self.factor.event]
        return float(self.counts.sum()) * float(np.prod(entries, dtype=int))

    def _total(self, logs: Array) -> float:
        """Sum a number of every plate over all rows."""
        if self.multiplicity is not None:
            return float((logs * self.multiplicity).sum())
        return float(logs.sum() * (self.plates / max(1, logs.size)))

    @cached_property
    def weight(self) -> Array:
        """The known part of every plate, flat: ``(plates,)``."""
        return np.broadcast_to(self.framed_weight, self.factor.shape).reshape(-1)

    @cached_property
    def cell(self) -> Array:
        """The noise cell of every plate, flat: ``(plates,)``."""
        return np.broadcast_to(self.framed_cell, self.factor.shape).reshape(-1)

    def _read_scalar(self, known: set[str], env: Environment) -> None:
        factor = self.factor
        k, latent = split_known(factor.parameter("sigma"), known)
        sigma = aligner(k.dims, factor.plates)(np.asarray(k.evaluate(env), dtype=float))[0]
        self.framed_weight = sigma**-2.0
        self.log_det = -self._total(np.log(sigma))
        if latent is not None:
            self._place_cells(latent, known, env, factor.plates, 0)

    def _read_matrix(self, known: set[str], env: Environment) -> None:
        factor = self.factor
        names = [p.name for p in factor.distribution.parameters]
        self.form = next(n for n in names if n != "mu")
        expression = factor.parameter(self.form)
        layout = factor.layouts[names.index(self.form)]
        k, latent = split_known(expression, known)
        if latent is None or self._is_scaled(k, latent, layout, env):
            matrix = aligner(k.dims, layout)(k.evaluate(env))[0]
            d = matrix.shape[-1]
            matrix = np.broadcast_to(matrix, (*np.broadcast_shapes(matrix.shape[:-2], (1,) * len(factor.shape)), d, d))
            lead = matrix.shape[:-2]
            full = np.broadcast_to(matrix, (*factor.shape, d, d)) if any(s > 1 for s in lead) else matrix
            self.root = _root(full.reshape(-1, d, d), self.form)
            log_det = np.log(np.abs(np.diagonal(self.root, axis1=-2, axis2=-1))).sum(axis=-1)
            self.log_det = self._total(np.broadcast_to(log_det, (self.plates,)).reshape(factor.shape))
            if latent is not None:  # a known matrix times a number: the number's root is a standard deviation
                self._place_cells(latent ** _AS_SD[self.form], known, env, factor.plates, 0)
        else:
            self.kind = "matrix"
            self._place_cells(expression, known, env, layout, 2)

    def _is_scaled(self, k: Expression, latent: Expression, layout: tuple[str, ...], env: Environment) -> bool:
        """Whether a matrix is a known one, of the kind it must be, times an unknown number."""
        event = set(layout[-2:])
        if not event <= set(k.dims) or event & set(latent.dims):
            return False
        parameter = next(p for p in self.factor.distribution.parameters if p.name == self.form)
        return not np.any(parameter.invalid(aligner(k.dims, layout)(np.asarray(k.evaluate(env), dtype=float))))

    def _place_cells(
        self, latent: Expression, known: set[str], env: Environment, layout: tuple[str, ...], event: int
    ) -> None:
        """Find which element of the latent part each row uses; a known index is read through."""
        factor, codes_of = self.factor, {}
        latent = _hoisted(latent)
        if isinstance(latent, Index) and _is_read_through(latent, known):
            codes_of, latent = latent.indices, latent.table
        self.latent = latent
        self.dims = tuple(d for d in latent.dims if not event or d not in layout[-event:])
        self._lay = aligner(latent.dims, self.dims + (layout[-event:] if event else ()))
        cell: Array = np.zeros((1,) * (1 + len(factor.plates)), dtype=np.int64)
        self.cells = 1
        for dim in self.dims:
            if dim in codes_of:
                i = codes_of[dim]
                code = aligner(i.dims, factor.plates)(i.evaluate(env)).astype(np.int64, copy=False)
            else:
                shape = [1] * (1 + len(factor.plates))
                shape[1 + factor.plates.index(dim)] = -1
                code = np.arange(factor.sizes[dim]).reshape(shape)
            cell = cell * factor.sizes[dim] + code
            self.cells *= factor.sizes[dim]
        self.framed_cell = cell[0]

    def values(self, env: Environment) -> Array:
        """Return the latent part of the precision: ``(batch, cells)``, or ``(batch, cells, d, d)`` for matrices."""
        if self.latent is None:
            return np.ones((1, 1))
        if self._plain is not None:
            name, power = self._plain
            flat = env[name].reshape(len(env[name]), -1)
            return flat if power == 1.0 else 1.0 / flat if power == -1.0 else flat**power
        value = self._lay(self.latent.evaluate(env))
        if self.kind == "matrix":
            value = value.reshape(value.shape[0], self.cells, *value.shape[-2:])
            if self.form == "tau":
                return value
            root = np.linalg.cholesky(value) if self.form == "cov" else value
            half = np.linalg.solve(root, np.broadcast_to(np.eye(root.shape[-1]), root.shape))
            return np.swapaxes(half, -1, -2) @ half
        flat = value.reshape(value.shape[0], -1)
        return 1.0 / (flat * flat)

    @cached_property
    def _plain(self) -> tuple[str, float] | None:
        """The one latent that the precision is a power of, and the power; None where it is anything else."""
        if self.kind == "matrix" or self.latent is None or len(self.latent.variables) != 1:
            return None
        (name,) = self.latent.variables
        form = power_form(self.latent, name)
        if isinstance(form, NotPower) or form.coefficient is not ONE:
            return None
        if not all(isinstance(p, str) for p in form.positions.values()) or tuple(form.positions.values()) != self.dims:
            return None
        return name, -2.0 * form.exponent

    def half_log_det(self, values: Array) -> Array:
        """Return the sum over rows of half the log determinant: ``(batch,)``, from ``values``."""
        if self.latent is None:
            return np.full((1,), self.log_det)
        logs = np.linalg.slogdet(values)[1] if self.kind == "matrix" else np.log(values)
        return self.log_det + 0.5 * (logs * self.counts).sum(axis=-1)


def _hoisted(expression: Expression) -> Expression:
    """Return ``f(table[i])`` as ``f(table)[i]``, so that rows with one index share a noise cell."""
    if not isinstance(expression, Apply):
        return expression
    inner = [_hoisted(a) if a.dims else a for a in expression.args]
    indexed = [a for a in inner if a.dims]
    index = indexed[0] if len(indexed) == 1 else None
    if not isinstance(index, Index):
        return expression
    table = Apply(expression.ufunc, tuple(index.table if a is index else a for a in inner))
    return Index(table, index.indices)


def _is_read_through(index: Index, known: set[str]) -> bool:
    """Whether rows can be told apart by a known index into a table, of another dim than the rows' own."""
    return all(i.variables <= known and d not in i.dims for d, i in index.indices.items())


def _root(matrices: Array, form: str) -> Array:
    """Return upper factors U with ``U' U`` the precision."""
    if form == "tau":
        return np.swapaxes(np.linalg.cholesky(matrices), -1, -2)
    lower = np.linalg.cholesky(matrices) if form == "cov" else matrices
    return np.linalg.solve(lower, np.broadcast_to(np.eye(lower.shape[-1]), lower.shape))
