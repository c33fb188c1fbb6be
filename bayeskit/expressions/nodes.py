"""The nodes of an expression: how one quantity is computed from others.

An expression knows its dims when it is written and its sizes only when it is evaluated. A value is an array of shape
``(batch, *dims)``; the batch is a chain, a draw or a proposal, and is 1 for what does not depend on any latent.
Alignment is by dim name, decided once, when the node is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from bayeskit.errors import ModelError

Array = np.ndarray
Environment = Mapping[str, Array]


def union_dims(*dims: tuple[str, ...]) -> tuple[str, ...]:
    """Dims of the broadcast of several quantities, in order of first appearance."""
    return tuple(dict.fromkeys(d for ds in dims for d in ds))


def aligner(source: tuple[str, ...], target: tuple[str, ...]) -> Callable[[Array], Array]:
    """How an array ``(batch, *source)`` is laid along ``(batch, *target)``: a transpose and new axes, found once."""
    if source == target:
        return lambda array: array
    order = [d for d in target if d in source]
    if len(order) != len(source):
        missing = sorted(set(source) - set(target))
        raise ModelError(f"The dims {missing} have no place in {target}.")
    axes = (0, *(1 + source.index(d) for d in order))
    index = (slice(None), *(slice(None) if d in source else None for d in target))
    if axes == tuple(range(len(axes))):
        return lambda array: array[index]
    return lambda array: array.transpose(axes)[index]


class Expression:
    """A quantity of a model: a variable, a number, or something computed from them.

    Operators and NumPy or SciPy ufuncs build new expressions; quantities are broadcast by dim name. An expression has no
    value while the model is written.
    """

    dims: tuple[str, ...]
    integer: bool = False
    __array_priority__ = 1000.0

    # ---- what it depends on -------------------------------------------------------------------------------------
    def children(self) -> tuple[Expression, ...]:
        """Return the expressions this one is computed from."""
        return ()

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names of the model variables it depends on."""
        return frozenset().union(*(child.variables for child in self.children()))

    def evaluate(self, env: Environment) -> Array:
        """Return the value, of shape ``(batch, *dims)``, in an environment of such values."""
        raise NotImplementedError  # pragma: no cover - every node has its own

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same node over other children."""
        return self

    def substitute(self, replacements: Mapping[str, Expression]) -> Expression:
        """Return the expression with variables replaced."""
        if not self.variables & replacements.keys():
            return self
        return self.rebuild(tuple(child.substitute(replacements) for child in self.children()))

    # ---- operators ----------------------------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Expression:
        if method != "__call__" or kwargs:
            raise ModelError(
                f"np.{ufunc.__name__}.{method} with {sorted(kwargs) or 'no'} options cannot be used on model variables. "
                "Use the plain call, or .sum(dim) and .mean(dim)."
            )
        return apply(ufunc, *inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Expression:
        if func is np.where and len(args) == 3 and not kwargs:
            return where(*args)
        raise ModelError(
            f"np.{func.__name__} cannot be used on model variables: it is not an elementwise function. "
            "Use operators, ufuncs, np.where, .sum(dim), .mean(dim), .cumsum(dim), bk.stack and bk.concat."
        )

    def __add__(self, other: Any) -> Expression:
        return apply(np.add, self, other)

    def __radd__(self, other: Any) -> Expression:
        return apply(np.add, other, self)

    def __sub__(self, other: Any) -> Expression:
        return apply(np.subtract, self, other)

    def __rsub__(self, other: Any) -> Expression:
        return apply(np.subtract, other, self)

    def __mul__(self, other: Any) -> Expression:
        return apply(np.multiply, self, other)

    def __rmul__(self, other: Any) -> Expression:
        return apply(np.multiply, other, self)

    def __truediv__(self, other: Any) -> Expression:
        return apply(np.true_divide, self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return apply(np.true_divide, other, self)

    def __pow__(self, other: Any) -> Expression:
        return apply(np.power, self, other)

    def __rpow__(self, other: Any) -> Expression:
        return apply(np.power, other, self)

    def __neg__(self) -> Expression:
        return apply(np.negative, self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return apply(np.absolute, self)

    def __and__(self, other: Any) -> Expression:
        return apply(np.logical_and, self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Expression:
        return apply(np.logical_or, self, other)

    __ror__ = __or__

    def __invert__(self) -> Expression:
        return apply(np.logical_not, self)

    def __lt__(self, other: Any) -> Expression:
        return apply(np.less, self, other)

    def __le__(self, other: Any) -> Expression:
        return apply(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Expression:
        return apply(np.greater, self, other)

    def __ge__(self, other: Any) -> Expression:
        return apply(np.greater_equal, self, other)

    def __eq__(self, other: Any) -> Expression:  # type: ignore[override]
        return apply(np.equal, self, other)

    def __ne__(self, other: Any) -> Expression:  # type: ignore[override]
        return apply(np.not_equal, self, other)

    __hash__ = object.__hash__

    def __matmul__(self, other: Any) -> Expression:
        return contract(self, as_expression(other))

    def __rmatmul__(self, other: Any) -> Expression:
        return contract(as_expression(other), self)

    def __getitem__(self, key: Any) -> Expression:
        return index(self, key)

    def sum(self, dim: str) -> Expression:
        """Return the sum over one dim."""
        return Reduce(self, dim, mean=False)

    def mean(self, dim: str) -> Expression:
        """Return the mean over one dim."""
        return Reduce(self, dim, mean=True)

    def cumsum(self, dim: str) -> Expression:
        """Return the running sum along one dim."""
        return Cumsum(self, dim)

    # ---- what must not be done ----------------------------------------------------------------------------------
    def _no_value(self, use: str) -> ModelError:
        return ModelError(
            f"'{self}' has no value while the model is written, so it cannot be used {use}. "
            "Use NumPy functions (np.exp, np.where ...) instead of those of math, and & and | instead of 'and' and 'or'."
        )

    def __bool__(self) -> bool:
        raise self._no_value("as a condition")

    def __float__(self) -> float:
        raise self._no_value("as a float")

    def __int__(self) -> int:
        raise self._no_value("as an int")

    def __iter__(self) -> Any:
        raise self._no_value("in a loop")

    def __len__(self) -> int:
        raise self._no_value("with len()")

    def __str__(self) -> str:
        from bayeskit.expressions.printing import print_expression

        return print_expression(self)

    __repr__ = __str__


class Variable(Expression):
    """A named quantity: data, an index, a latent, something observed or derived.

    ``into`` is the dim an integer variable points into, when it is known.
    """

    def __init__(
        self, name: str, dims: tuple[str, ...], *, owner: object = None, integer: bool = False, into: str | None = None
    ) -> None:
        self.name, self.dims, self.owner, self.integer, self.into = name, dims, owner, integer, into

    @cached_property
    def variables(self) -> frozenset[str]:
        """Its own name."""
        return frozenset({self.name})

    def evaluate(self, env: Environment) -> Array:
        """Return the value bound to the name."""
        return env[self.name]

    def substitute(self, replacements: Mapping[str, Expression]) -> Expression:
        """Return what replaces it, or itself."""
        return replacements.get(self.name, self)


class Constant(Expression):
    """Numbers written into the model."""

    def __init__(self, value: Any, dims: tuple[str, ...] = ()) -> None:
        array = np.asarray(value)
        if array.ndim != len(dims):
            raise ModelError(
                f"An array of shape {array.shape} in an expression has no dims. "
                "Give it as an xarray.DataArray with named dims, or declare it with m.data(name, dims=...)."
            )
        self.value, self.dims = array, dims
        self.integer = array.dtype.kind in "biu"
        self._batched = array[np.newaxis]

    def evaluate(self, env: Environment) -> Array:
        """Return the numbers."""
        return self._batched


class Apply(Expression):
    """An elementwise function of one or more expressions."""

    def __init__(self, ufunc: Callable[..., Array], args: tuple[Expression, ...]) -> None:
        self.ufunc, self.args = ufunc, args
        self.dims = union_dims(*(a.dims for a in args))
        self._aligners = tuple(aligner(a.dims, self.dims) for a in args)
        self.integer = getattr(ufunc, "__name__", "") in _INTEGER_UFUNCS and all(a.integer for a in args)
        self.integer |= ufunc in _COMPARISONS

    @property
    def function(self) -> str:
        """Name of the function."""
        return getattr(self.ufunc, "__name__", str(self.ufunc))

    def children(self) -> tuple[Expression, ...]:
        """Return the arguments."""
        return self.args

    def rebuild(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same function of other arguments."""
        return Apply(self.ufunc, children)

    def evaluate(self, env: Environment) -> Array:
        """Return the function of the aligned values."""
        return self.ufunc(*[lay(arg.evaluate(env)) for lay, arg in zip(self._aligners, self.args, strict=True)])


_COMPARISONS = (
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.logical_and, np.logical_or, np.logical_not,
)  # fmt: skip
_INTEGER_UFUNCS = {"add", "subtract", "multiply", "negative", "minimum", "maximum", "absolute", "where", "floor_divide"}


def as_expression(value: Any) -> Expression:
    """Return numbers and labelled arrays as expressions; expressions as they are."""
    if isinstance(value, Expression):
        return value
    dims = getattr(value, "dims", None)
    if dims is not None and hasattr(value, "values"):
        return Constant(value.values, tuple(str(d) for d in dims))
    if isinstance(value, str | bytes | None.__class__) or callable(value):
        raise ModelError(f"{value!r} cannot stand in an expression. Use numbers, model variables or a DataArray.")
    return Constant(value)


def apply(ufunc: Callable[..., Array], *args: Any) -> Expression:
    """Return an elementwise function of expressions, checked when it is written."""
    if isinstance(ufunc, np.ufunc) and (ufunc.signature is not None or ufunc.nout != 1):
        raise ModelError(
            f"'{ufunc.__name__}' cannot be used on model variables: it is not an elementwise function of one result. "
            "Use the @ operator for products of vectors."
        )
    nodes = tuple(as_expression(a) for a in args)
    owners = {id(v.owner): v for node in nodes for v in leaves(node) if v.owner is not None}
    if len(owners) > 1:
        names = ", ".join(f"'{v.name}'" for v in owners.values())
        raise ModelError(f"Variables of different models ({names}) cannot be combined. Declare them in one model.")
    return Apply(ufunc, nodes)


def where(condition: Any, yes: Any, no: Any) -> Expression:
    """Return ``yes`` where the condition holds and ``no`` elsewhere."""
    return apply(np.where, condition, yes, no)


def leaves(expression: Expression) -> Iterable[Variable]:
    """Yield the variables an expression is made of."""
    if isinstance(expression, Variable):
        yield expression
    for child in expression.children():
        yield from leaves(child)


from bayeskit.expressions.structure import Cumsum, Reduce, contract, index  # noqa: E402  (nodes that need the base class)
