"""Nodes that move, join or sum over dims: indexing, reductions, products of matrices, stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayeskit.errors import DataError, ModelError
from bayeskit.expressions.nodes import (
    Apply,
    Array,
    Constant,
    Environment,
    Expression,
    Variable,
    aligner,
    as_expression,
    must_be_of_one_model,
    union_dims,
)


class Index(Expression):
    """Elements of a table picked by integer expressions: ``alpha[county]``, ``p[{"row": i, "col": j}]``."""

    def __init__(self, table: Expression, indices: Mapping[str, Expression]) -> None:
        self.table, self.indices = table, dict(indices)
        self.integer = table.integer
        dims: tuple[str, ...] = ()
        for d in table.dims:
            dims = union_dims(dims, self.indices[d].dims if d in self.indices else (d,))
        self.dims = dims
        self._lay_index = {d: aligner(i.dims, dims) for d, i in self.indices.items()}
        kept = [d for d in table.dims if d not in self.indices]
        self._simple = len(self.indices) == 1 and not set(next(iter(self.indices.values())).dims) & set(kept)

    def children(self) -> tuple[Expression, ...]:
        """Return the table and its indices."""
        return (self.table, *self.indices.values())

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same indexing over other children."""
        return Index(children[0], dict(zip(self.indices, children[1:], strict=True)))

    def evaluate(self, env: Environment) -> Array:
        """Return the picked elements."""
        table = self.table.evaluate(env)
        picks = {d: _integers(i.evaluate(env)) for d, i in self.indices.items()}
        if self._simple:
            ((dim, pick),) = picks.items()
            if pick.shape[0] == 1:  # the same for the whole batch: one take
                return np.take(table, pick[0], axis=1 + self.table.dims.index(dim))
        return self._gather(table, picks)

    def _gather(self, table: Array, picks: Mapping[str, Array]) -> Array:
        """Pick with every axis indexed, so that batches and shared dims pair up."""
        for dim, pick in picks.items():
            size = table.shape[1 + self.table.dims.index(dim)]
            if pick.size and pick.view(np.uint64).max() >= size:  # negative ones too, which NumPy counts from the end
                bad = pick.min() if pick.min() < 0 else pick.max()
                raise DataError(
                    f"The index '{self.indices[dim]}' of '{self.table}' must lie in 0..{size - 1} along '{dim}'. "
                    f"Got {bad}. Bound it with np.minimum and np.maximum, or enlarge the dim."
                )
        rank = 1 + len(self.dims)
        batch = np.arange(table.shape[0]).reshape((-1,) + (1,) * (rank - 1))
        axes: list[Array] = [batch]
        for position, dim in enumerate(self.table.dims):
            if dim in picks:
                axes.append(self._lay_index[dim](picks[dim]))
            else:
                shape = [1] * rank
                shape[1 + self.dims.index(dim)] = -1
                axes.append(np.arange(table.shape[1 + position]).reshape(shape))
        return table[tuple(axes)]


def _integers(array: Array) -> Array:
    return array.astype(np.int64, copy=False)


class Reduce(Expression):
    """The sum or the mean over one dim."""

    def __init__(self, arg: Expression, dim: str, *, mean: bool) -> None:
        _must_have(arg, dim, "averaged over" if mean else "summed over")
        self.arg, self.dim, self.mean_ = arg, dim, mean
        self.dims = tuple(d for d in arg.dims if d != dim)
        self.integer = arg.integer and not mean
        self._axis = 1 + arg.dims.index(dim)

    def children(self) -> tuple[Expression, ...]:
        """Return the argument."""
        return (self.arg,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same reduction of another argument."""
        return Reduce(children[0], self.dim, mean=self.mean_)

    def evaluate(self, env: Environment) -> Array:
        """Return the sum or mean."""
        value = self.arg.evaluate(env)
        return value.mean(axis=self._axis) if self.mean_ else value.sum(axis=self._axis)


class Contract(Expression):
    """``left @ right``: the product summed over the one dim both have."""

    def __init__(self, left: Expression, right: Expression, dim: str) -> None:
        self.left, self.right, self.dim = left, right, dim
        frame = union_dims(left.dims, right.dims)
        self.dims = tuple(d for d in frame if d != dim)
        self._vectors = set(left.dims) & set(right.dims) == {dim} and len(right.dims) == 1 and left.dims[-1] == dim
        letters = {d: 1 + i for i, d in enumerate(frame)}
        self._einsum = (
            [0, *(letters[d] for d in left.dims)],
            [0, *(letters[d] for d in right.dims)],
            [0, *(letters[d] for d in self.dims)],
        )

    def children(self) -> tuple[Expression, ...]:
        """Return both factors."""
        return (self.left, self.right)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same product of other factors."""
        return Contract(children[0], children[1], self.dim)

    def evaluate(self, env: Environment) -> Array:
        """Return the product; a design matrix times coefficients of many chains is one call of BLAS."""
        left, right = self.left.evaluate(env), self.right.evaluate(env)
        if self._vectors and left.shape[0] == 1:
            design = left[0].reshape(-1, left.shape[-1])
            return (right @ design.T).reshape(right.shape[0], *left.shape[1:-1])
        batch = max(left.shape[0], right.shape[0])
        left = np.broadcast_to(left, (batch, *left.shape[1:]))
        right = np.broadcast_to(right, (batch, *right.shape[1:]))
        return np.einsum(left, self._einsum[0], right, self._einsum[1], self._einsum[2])


class Cumsum(Expression):
    """The running sum along one dim."""

    def __init__(self, arg: Expression, dim: str) -> None:
        _must_have(arg, dim, "summed along")
        self.arg, self.dim, self.dims, self.integer = arg, dim, arg.dims, arg.integer

    def children(self) -> tuple[Expression, ...]:
        """Return the argument."""
        return (self.arg,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the running sum of another argument."""
        return Cumsum(children[0], self.dim)

    def evaluate(self, env: Environment) -> Array:
        """Return the running sums."""
        return np.cumsum(self.arg.evaluate(env), axis=1 + self.dims.index(self.dim))


class Join(Expression):
    """Pieces laid one after another along a dim, each over its own stretch (``stack`` and ``concat``).

    ``along[i]`` is the dim of piece ``i`` that is laid along ``dim``; None where the piece takes one place.
    """

    def __init__(self, pieces: tuple[Expression, ...], dim: str, along: tuple[str | None, ...]) -> None:
        self.pieces, self.dim, self.along = pieces, dim, along
        others = [tuple(d for d in p.dims if d != a) for p, a in zip(pieces, along, strict=True)]
        self.dims = (*(d for d in union_dims(*others) if d != dim), dim)
        self.integer = all(p.integer for p in pieces)
        self._aligners = [
            aligner(tuple(dim if d == a else d for d in p.dims), self.dims) for p, a in zip(pieces, along, strict=True)
        ]

    def children(self) -> tuple[Expression, ...]:
        """Return the pieces."""
        return self.pieces

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same join of other pieces."""
        return Join(children, self.dim, self.along)

    def widths(self, sizes: Mapping[str, int]) -> list[int]:
        """Return how many places each piece takes."""
        return [1 if a is None else sizes[a] for a in self.along]

    def evaluate(self, env: Environment) -> Array:
        """Return the joined values."""
        values = [lay(p.evaluate(env)) for lay, p in zip(self._aligners, self.pieces, strict=True)]
        common = np.broadcast_shapes(*(v.shape[:-1] for v in values))
        return np.concatenate([np.broadcast_to(v, (*common, v.shape[-1])) for v in values], axis=-1)


class Scatter(Expression):
    """An array with some cells unknown: known values, and the elements of a latent in the cells left open.

    ``cells`` are the flat positions, in the order of ``dims``, that the elements of ``unknown`` fill.
    """

    def __init__(self, name: str, known: Array, dims: tuple[str, ...], cells: Array, unknown: Variable) -> None:
        self.name, self.known, self.dims, self.cells, self.unknown = name, known, dims, cells, unknown
        self.integer = unknown.integer

    def children(self) -> tuple[Expression, ...]:
        """Return the latent that fills the open cells."""
        return (self.unknown,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return it with the open cells filled by another expression."""
        (unknown,) = children
        return Scatter(self.name, self.known, self.dims, self.cells, unknown)  # type: ignore[arg-type]

    def evaluate(self, env: Environment) -> Array:
        """Return the completed array."""
        filling = self.unknown.evaluate(env)
        flat = np.repeat(self.known.reshape(1, -1), filling.shape[0], axis=0)
        flat[:, self.cells] = filling
        return flat.reshape(filling.shape[0], *self.known.shape)


class Rename(Expression):
    """The same values under other dim names."""

    def __init__(self, arg: Expression, names: Mapping[str, str]) -> None:
        self.arg, self.names = arg, dict(names)
        self.dims = tuple(self.names.get(d, d) for d in arg.dims)
        self.integer = arg.integer

    def children(self) -> tuple[Expression, ...]:
        """Return the argument."""
        return (self.arg,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return another argument under the new names."""
        return Rename(children[0], self.names)

    def evaluate(self, env: Environment) -> Array:
        """Return the values."""
        return self.arg.evaluate(env)


def rename(expression: Expression, old: str, new: str) -> Expression:
    """Return the expression with one dim renamed (itself where it does not have it)."""
    return Rename(expression, {old: new}) if old in expression.dims else expression


def _must_have(arg: Expression, dim: str, action: str) -> None:
    if not isinstance(dim, str) or dim not in arg.dims:
        raise ModelError(
            f"'{arg}' must be {action} one of its dims, {arg.dims or 'of which it has none'}. Got {dim!r}. "
            "Check the name of the dim."
        )


def contract(left: Expression, right: Expression) -> Expression:
    """Return ``left @ right``, summed over the one dim they share."""
    must_be_of_one_model((left, right))
    shared = [d for d in left.dims if d in right.dims]
    if len(shared) != 1:
        raise ModelError(
            f"'{left}' @ '{right}' needs exactly one shared dim. Got {shared or 'none'} from {left.dims} and "
            f"{right.dims}. Write the sum out: (a * b).sum(dim)."
        )
    return Contract(left, right, shared[0])


def index(table: Expression, key: Any) -> Expression:
    """Return ``table[key]``: by one integer variable, a position, or a label; or by a mapping from dims to these."""
    if isinstance(key, Mapping):
        for d in key:
            _must_have(table, d, "indexed along")
        chosen = {
            str(d): _position(table, str(d), i) if isinstance(i, str) else as_expression(i) for d, i in key.items()
        }
    elif isinstance(key, Expression):
        dim = fitting_dim(table, key)
        if dim is None:
            raise ModelError(
                f"'{table}' must have exactly one dim that fits the index '{key}'{_pointing(key)}. "
                f'Got dims {table.dims or "none"}. Name the dim: table[{{"dim": {key}}}].'
            )
        chosen = {dim: key}
    elif isinstance(key, str) and len(table.dims) == 1:
        chosen = {table.dims[0]: _position(table, table.dims[0], key)}
    elif isinstance(key, int | np.integer) and len(table.dims) == 1:
        chosen = {table.dims[0]: Constant(int(key))}
    else:
        raise ModelError(
            f"'{table}' must be indexed by an integer variable. Got {key!r}, a position or label without a name. "
            'Write table[z], or by dim: table[{"dim": z}].'
        )
    must_be_of_one_model((table, *chosen.values()))
    for d, i in chosen.items():
        if not i.integer:
            raise ModelError(
                f"'{table}' must be indexed by integers along '{d}'. Got '{i}', which is not integer valued. "
                "Use an m.index column, or a Bernoulli, Binomial or Categorical variable."
            )
    return Index(table, chosen)


def _position(table: Expression, dim: str, label: str) -> Constant:
    """Return where a label stands along a dim, as far as the model's coords say."""
    known = [getattr(v.owner, "coords", {}).get(dim) for v in table.owners]
    labels = next((list(map(str, c)) for c in known if c is not None), None)
    if labels is None:
        raise ModelError(
            f"'{table}' cannot be indexed by the label {label!r}: the labels of '{dim}' are not known when the model "
            f'is written. Give them, bk.Model(coords={{"{dim}": [...]}}), or index by position.'
        )
    if label not in labels:
        raise ModelError(f"The label {label!r} of '{table}' must be among those of '{dim}': {', '.join(labels[:8])}.")
    return Constant(labels.index(label))


def fitting_dim(table: Expression, key: Expression) -> str | None:
    """Return the one dim of a table that an index fits: the one it points into, or the only one it does not bear."""
    into = getattr(key, "into", None)
    if into is not None:
        return into if into in table.dims else None
    free = [d for d in table.dims if d not in key.dims]
    return free[0] if len(free) == 1 else None


def _pointing(key: Expression) -> str:
    into = getattr(key, "into", None)
    return f", which points into '{into}'" if into else ""


def stack(pieces: Sequence[Any], dim: str) -> Expression:
    """Return quantities stacked along a new dim, one place each.

    >>> from bayeskit import Model, Normal, stack
    >>> m = Model()
    >>> stack([m.latent("a", Normal(0, 1)), 2.0], dim="coefficient").dims
    ('coefficient',)
    """
    nodes = _pieces(pieces, dim, "stack")
    for node in nodes:
        if dim in node.dims:
            raise ModelError(
                f"bk.stack must get a dim that its pieces lack. Got '{dim}', a dim of '{node}'. "
                "Give the new dim another name."
            )
    return Join(nodes, dim, (None,) * len(nodes))


def concat(pieces: Sequence[Any], dim: str) -> Expression:
    """Return quantities laid one after another along a dim: scalars take one place, vectors their last dim.

    Its size is the sum of theirs, so the dim must differ from those of the pieces.

    >>> from bayeskit import Model, Normal, concat
    >>> m = Model(coords={"free": 2})
    >>> concat([0, m.latent("b", Normal(0, 1), dims="free")], dim="category").dims
    ('category',)
    """
    nodes = _pieces(pieces, dim, "concat")
    for node in nodes:
        if dim in node.dims:
            raise ModelError(
                f"bk.concat must get a dim other than those of its pieces, which are shorter. Got '{dim}', a dim of "
                f"'{node}'. Give one of them another name."
            )
    return Join(nodes, dim, tuple(n.dims[-1] if n.dims else None for n in nodes))


def _pieces(pieces: Sequence[Any], dim: str, verb: str) -> tuple[Expression, ...]:
    if isinstance(pieces, Expression) or not isinstance(pieces, Sequence) or len(pieces) == 0:
        raise ModelError(f"bk.{verb} must get a list of quantities. Got {pieces!r}. Write bk.{verb}([a, b], dim=...).")
    if not isinstance(dim, str) or not dim.isidentifier():
        raise ModelError(f'bk.{verb} must get the name of a dim. Got {dim!r}. Write bk.{verb}([a, b], dim="k").')
    nodes = tuple(as_expression(p) for p in pieces)
    must_be_of_one_model(nodes)
    return nodes


class MatrixFunction(Expression):
    """A function of a symmetric matrix over dims ``(d, d_)``: inverse, correlation, or determinant."""

    def __init__(self, name: str, arg: Expression) -> None:
        if not isinstance(arg, Expression) or len(arg.dims) < 2 or arg.dims[-1] != arg.dims[-2] + "_":
            raise ModelError(
                f"bk.{name} must get a matrix over dims (d, d_). Got '{arg}' with dims {getattr(arg, 'dims', 'none')}. "
                'Such are Wishart variables and data declared with dims=("d", "d_").'
            )
        self.name, self.arg = name, arg
        self.dims = arg.dims[:-2] if name == "det" else arg.dims

    def children(self) -> tuple[Expression, ...]:
        """Return the matrix."""
        return (self.arg,)

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same function of another matrix."""
        return MatrixFunction(self.name, children[0])

    def evaluate(self, env: Environment) -> Array:
        """Return the function, batched over the leading axes."""
        matrix = self.arg.evaluate(env)
        if self.name == "det":
            return np.linalg.det(matrix)
        if self.name == "inverse":
            return np.linalg.solve(matrix, np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape))
        sd = np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1))
        return matrix / (sd[..., :, None] * sd[..., None, :])


def inverse(matrix: Expression) -> Expression:
    """Return the inverse of a symmetric matrix over dims ``(d, d_)``, for use in ``derived``."""
    return MatrixFunction("inverse", matrix)


def correlation(matrix: Expression) -> Expression:
    """Return the correlation matrix of a covariance matrix over dims ``(d, d_)``."""
    return MatrixFunction("correlation", matrix)


def det(matrix: Expression) -> Expression:
    """Return the determinant of a symmetric matrix over dims ``(d, d_)``."""
    return MatrixFunction("det", matrix)


__all__ = ["Apply", "Contract", "Cumsum", "Index", "Join", "MatrixFunction", "Reduce", "Rename", "Scatter"]
