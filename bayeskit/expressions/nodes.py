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

    Operators and NumPy or SciPy ufuncs build new expressions; quantities are broadcast by dim name. An expression has
    no value while the model is written.
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

    @cached_property
    def owners(self) -> frozenset[Variable]:
        """One variable of each model it depends on."""
        return _one_a_model(self.children())

    def substitute(self, replacements: Mapping[str, Expression]) -> Expression:
        """Return the expression with variables replaced."""
        if not self.variables & replacements.keys():
            return self
        return self.rebuild(tuple(child.substitute(replacements) for child in self.children()))

    # ---- operators ----------------------------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Expression:
        if method != "__call__" or kwargs:
            name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
            options = f" with {'= and '.join(sorted(kwargs))}=" if kwargs else ""
            raise ModelError(
                f"{name}{options} cannot be used on model variables, which have no values yet. "
                f"Use the plain np.{ufunc.__name__}(...), np.where, or .sum(dim) and .cumsum(dim)."
            )
        return apply(ufunc, *inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Expression:
        if func is np.where and len(args) == 3 and not kwargs:
            return where(*args)
        name = f"{func.__module__}.{func.__name__}".replace("numpy", "np", 1)
        instead = _INSTEAD.get(func.__name__, "operators, ufuncs and np.where")
        raise ModelError(f"{name} cannot be used on model variables, which have no values yet. Use {instead}.")

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        raise self._no_value("as an array")

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

    def __floordiv__(self, other: Any) -> Expression:
        return apply(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Expression:
        return apply(np.floor_divide, other, self)

    def __mod__(self, other: Any) -> Expression:
        return apply(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Expression:
        return apply(np.remainder, other, self)

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
            "Use NumPy ufuncs (np.exp, np.where ...), bk.stack for lists, and & and | instead of 'and' and 'or'."
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

    @cached_property
    def owners(self) -> frozenset[Variable]:
        """Itself, where it belongs to a model."""
        return frozenset() if self.owner is None else frozenset({self})

    def evaluate(self, env: Environment) -> Array:
        """Return the value bound to the name."""
        return env[self.name]

    def substitute(self, replacements: Mapping[str, Expression]) -> Expression:
        """Return what replaces it, or itself."""
        return replacements.get(self.name, self)


class Constant(Expression):
    """Numbers written into the model, with labels along their dims where they were given any."""

    def __init__(self, value: Any, dims: tuple[str, ...] = (), labels: Mapping[str, Array] | None = None) -> None:
        array = np.asarray(value)
        if array.ndim != len(dims):
            raise ModelError(
                f"An array of shape {array.shape} in an expression must have named dims. Got none. Declare it with "
                "m.data(name, dims=...), or write it as an xarray.DataArray to the right of a model variable."
            )
        if array.dtype.kind in "bu":  # Booleans and unsigned numbers do not add and subtract as numbers do
            array = array.astype(np.int64)
        self.value, self.dims, self.labels = array, dims, dict(labels or {})
        self.integer = array.dtype.kind == "i"
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
        self._function = _ON_NUMBERS.get(self.function, ufunc)
        self.integer = self.function in _MAKES_INTEGERS or (
            self.function in _KEEPS_INTEGERS and all(a.integer for a in args)
        )

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
        """Return the function of the aligned values; truth is 1 and 0, so that it can be counted."""
        value = self._function(*[lay(arg.evaluate(env)) for lay, arg in zip(self._aligners, self.args, strict=True)])
        return value.astype(np.int64) if value.dtype.kind == "b" else value


def _power(base: Array, exponent: Array) -> Array:
    """Raise to a power in floats, for NumPy refuses whole numbers to negative powers and lets them overflow."""
    return base ** float(exponent.item()) if exponent.size == 1 else np.float_power(base, exponent)


_ON_NUMBERS: dict[str, Callable[..., Array]] = {"power": _power, "reciprocal": lambda x: 1.0 / x}
_MAKES_INTEGERS = frozenset(
    """less less_equal greater greater_equal equal not_equal logical_and logical_or logical_xor logical_not
    isnan isinf isfinite signbit floor ceil rint trunc""".split()
)
_KEEPS_INTEGERS = frozenset(
    "add subtract multiply negative positive minimum maximum absolute square where floor_divide remainder sign".split()
)
_INSTEAD = {
    "sum": ".sum(dim)", "mean": ".mean(dim)", "cumsum": ".cumsum(dim)", "average": ".mean(dim)",
    "stack": "bk.stack", "concatenate": "bk.concat", "hstack": "bk.concat", "vstack": "bk.stack",
    "dot": "the @ operator", "inner": "the @ operator", "einsum": "the @ operator, or (a * b).sum(dim)",
    "inv": "bk.inverse", "det": "bk.det", "clip": "np.minimum and np.maximum", "round": "np.rint",
    "take": "table[index]",
}  # fmt: skip


def as_expression(value: Any) -> Expression:
    """Return numbers and labelled arrays as expressions; expressions as they are."""
    if isinstance(value, Expression):
        return value
    dims = getattr(value, "dims", None)
    if dims is not None and hasattr(value, "coords"):
        labels = {str(d): np.asarray(value.coords[d].values) for d in dims if d in value.coords}
        constant = Constant(value.values, tuple(str(d) for d in dims), labels)
    else:
        constant = Constant(value)
    if constant.value.dtype.kind not in "if":
        raise ModelError(f"{value!r} cannot stand in an expression. Use numbers, model variables or a DataArray.")
    if np.isnan(constant.value).any():
        raise ModelError("Numbers in an expression must be known. Got NaN. Unknown numbers are latents: m.latent(...).")
    return constant


def apply(ufunc: Callable[..., Array], *args: Any) -> Expression:
    """Return an elementwise function of expressions, checked when it is written."""
    if isinstance(ufunc, np.ufunc) and (ufunc.signature is not None or ufunc.nout != 1):
        raise ModelError(
            f"'{ufunc.__name__}' cannot be used on model variables: it is not an elementwise function of one result. "
            "Use the @ operator for products of vectors."
        )
    nodes = tuple(as_expression(a) for a in args)
    must_be_of_one_model(nodes)
    return Apply(ufunc, nodes)


def must_be_of_one_model(nodes: Iterable[Expression]) -> None:
    """Refuse to combine variables of different models."""
    owners = _one_a_model(nodes)
    if len(owners) > 1:
        names = " and ".join(sorted(f"'{v.name}'" for v in owners))
        raise ModelError(
            f"Variables of one expression must belong to one model. Got {names}, of different models. "
            "Declare them in the same one."
        )


def _one_a_model(nodes: Iterable[Expression]) -> frozenset[Variable]:
    return frozenset({id(v.owner): v for node in nodes for v in node.owners}.values())


def where(condition: Any, yes: Any, no: Any) -> Expression:
    """Return ``yes`` where the condition holds and ``no`` elsewhere."""
    return apply(np.where, condition, yes, no)


from bayeskit.expressions.structure import Cumsum, Reduce, contract, index  # noqa: E402  (nodes that need the base class)
