"""What the parameters of a factor read of the rows of the data: known columns, as close to the data as may be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bayeskit.expressions import Constant, Expression, Variable
from bayeskit.expressions.nodes import Apply
from bayeskit.expressions.structure import Contract, Cumsum, Index, Join, Reduce, Rename, Scatter
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]


def row_dims(factor: Factor, known: Collection[str]) -> tuple[str, ...]:
    """Return the plates along which a factor's cells differ by data alone, so that they may be taken together."""
    stay = set().union(*(_dims_that_stay(e, frozenset(known)) for e in factor.parameters))
    return tuple(d for d in factor.plates if d not in stay)


def _dims_that_stay(e: Expression, known: frozenset[str]) -> set[str]:
    """Return the dims that latents bear in an expression, or along which what depends on them is summed or moved."""
    if e.variables <= known:
        return set()
    if isinstance(e, Variable | Scatter):
        return set(e.dims)
    stay = set().union(*(_dims_that_stay(child, known) for child in e.children()))
    if isinstance(e, Index):
        stay |= e.indices.keys()
    elif isinstance(e, Reduce | Contract | Cumsum):
        stay.add(e.dim)
    elif isinstance(e, Join):
        stay |= {e.dim, *(a for a in e.along if a is not None)}
    elif isinstance(e, Rename):
        stay |= {*e.names, *e.names.values()}
    elif not isinstance(e, Apply):
        stay |= set(e.dims)
    return stay


def columns_of(e: Expression, rows: Collection[str], known: Collection[str]) -> list[Expression]:
    """Return the known parts of an expression that differ from row to row; arithmetic on them is left to the cells."""
    if e.variables <= set(known):
        if not set(e.dims) & set(rows):
            return []
        if not isinstance(e, Apply) and not (isinstance(e, Index) and not set(e.table.dims) & set(rows)):
            return [e]
    return [c for child in e.children() for c in columns_of(child, rows, known)]


def identity(column: Expression) -> str | int:
    """Return what tells columns apart: the same variable may stand in several places."""
    return column.name if isinstance(column, Variable) else id(column)


def laid_along(column: Expression, plates: Sequence[str], env: Environment) -> tuple[Array, tuple[str, ...]]:
    """Return the numbers of a known column along the plates (size one where it lacks them), and its further dims."""
    value, dims = np.asarray(column.evaluate(env))[0], column.dims
    more = tuple(d for d in dims if d not in plates)
    value = value.transpose([dims.index(d) for d in (*(p for p in plates if p in dims), *more)])
    index = [slice(None) if p in dims else None for p in plates]
    return value[(*index, ...)], more


class OnCells:
    """Parameters rewritten for cells: every known part that differs between them becomes one column.

    Attributes
    ----------
    columns : dict
        The expression that each column stood for, by the column's name.
    values, dims : dict
        Its numbers and their dims, the cells' own among them.
    """

    def __init__(
        self, rows: Collection[str], env: Environment, read: Mapping[str | int, tuple[Variable, Array]]
    ) -> None:
        self.rows, self.known = set(rows), frozenset(env)
        self._read = {key: variable for key, (variable, _) in read.items()}
        self._env = {**env, **{variable.name: array[np.newaxis] for variable, array in read.values()}}
        self._found: dict[tuple[str | int, str], Variable] = {}
        self.columns: dict[str, Expression] = {}
        self.values: dict[str, Array] = {}
        self.dims: dict[str, tuple[str, ...]] = {}

    def __call__(self, e: Expression) -> Expression:
        """Return a parameter as a function of the latents and of the columns."""
        if e.variables <= self.known:
            return self._column(e, e) if set(e.dims) & self.rows else self._settled(e)
        if isinstance(e, Index) and isinstance(e.table, Index):
            return self._through(e, e.table)
        return e.rebuild(tuple(self(child) for child in e.children()))

    def _through(self, e: Index, table: Index) -> Expression:
        """Return ``T[codes][index]`` as ``T[codes[index]]``: labels of a batch are read through those of all."""
        inner = table.indices
        through = {d for d in e.indices if d in inner and inner[d].dims == (d,) and inner[d].variables <= self.known}
        if not through or any(d in inner or d not in table.table.dims for d in e.indices.keys() - through):
            return e.rebuild(tuple(self(child) for child in e.children()))
        indices = {d: self(i) for d, i in (inner | e.indices).items() if d not in through}
        for d in through:
            index, codes = e.indices[d], inner[d]
            known = index.variables <= self.known and set(index.dims) & self.rows
            moved = Index(codes, {d: index})
            indices[d] = self._column(moved, index, d) if known else Index(codes, {d: self(index)})
        return Index(self(table.table), indices)

    def _column(self, e: Expression, shown: Expression, dim: str = "") -> Variable:
        """Return the column of a known expression, ``shown`` as it was written (the index of a dim, if it is one)."""
        key = identity(shown), dim
        if key not in self._found:
            here = self._read_here(e)
            name = f"#{len(self.columns)}"
            self._found[key] = Variable(name, here.dims, integer=e.integer, into=getattr(shown, "into", None))
            self.columns[name], self.dims[name] = shown, here.dims
            self.values[name] = np.asarray(here.evaluate(self._env))[0]
        return self._found[key]

    def _read_here(self, e: Expression) -> Expression:
        """Return a known expression over the cells."""
        if identity(e) in self._read:
            return self._read[identity(e)]
        if not set(e.dims) & self.rows:
            return self._settled(e)
        return e.rebuild(tuple(self._read_here(child) for child in e.children()))

    def _settled(self, e: Expression) -> Expression:
        """Return what does not differ between rows: as a number, where it is computed from what does."""
        if isinstance(e, Variable | Constant) or not any(self._env[n].size > 1 for n in e.variables):
            return e
        return Constant(np.asarray(e.evaluate(self._env))[0], e.dims)


def alike(a: Expression, b: Expression, env: Environment) -> bool:
    """Whether two expressions are the same function of the same variables; False where that is not plain."""
    if a.dims != b.dims or a.variables != b.variables or type(a) is not type(b):
        return False
    if a.variables <= env.keys():
        x, y = a.evaluate(env), b.evaluate(env)
        return a is b or (x.shape == y.shape and bool((x == y).all()))
    if _form(a) is None or _form(a) != _form(b):
        return False
    return all(alike(x, y, env) for x, y in zip(a.children(), b.children(), strict=True))


def _form(e: Expression) -> tuple[object, ...] | None:
    """Return what a node is beside its children; None where it holds numbers of its own."""
    if isinstance(e, Variable):
        return (e.name,)
    if isinstance(e, Apply):
        return (e.ufunc, len(e.args))
    if isinstance(e, Index):
        return tuple(e.indices)
    if isinstance(e, Reduce):
        return (e.dim, e.mean_)
    if isinstance(e, Contract | Cumsum):
        return (e.dim,)
    if isinstance(e, Join):
        return (e.dim, e.along)
    return tuple(e.names.items()) if isinstance(e, Rename) else None
