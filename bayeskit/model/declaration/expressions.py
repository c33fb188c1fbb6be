"""Expressions as trees of recorded operations: ``{"op": "add", "args": ["mu", {"op": "exp", "args": ["x"]}]}``.

A variable is its name, a number itself. What occurs in several places, and what would nest too deeply, stands once in a
list of shared expressions, each of which is made of earlier ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.special

from bayeskit.errors import DataError, RefusedError
from bayeskit.expressions.nodes import Apply, Constant, Expression, Variable
from bayeskit.expressions.structure import Contract, Cumsum, Index, Join, MatrixFunction, Reduce, Rename
from bayeskit.model.declaration.arrays import array_from_json, array_to_json, scalar_from_json, scalar_to_json

__all__ = ["ExpressionReader", "ExpressionWriter"]

_DEEPEST = 100  # levels of nesting in one piece of JSON
_MODULES = {"": np, "special.": scipy.special}  # whose elementwise functions have a name in a file


class ExpressionWriter:
    """Writes the expressions of a model, each node once.

    Parameters
    ----------
    roots : iterable of Expression
        All that will be written, in the order of the statements.

    Attributes
    ----------
    shared : dict
        What stands in several places, by name; each is made of earlier ones.
    """

    def __init__(self, roots: Iterable[Expression]) -> None:
        self._roots = list(roots)  # kept, for nodes are known by their identity
        self.shared: dict[str, Any] = {}
        self._written: dict[int, Any] = {}
        depth: dict[int, int] = {}
        uses = Counter(map(id, self._roots))
        order = list(_children_first(self._roots))
        uses.update(id(child) for node in order for child in node.children())
        for node in order:
            written = _write(node, [self._written[id(child)] for child in node.children()])
            depth[id(node)] = 1 + max((depth[id(child)] for child in node.children()), default=0)
            if isinstance(written, dict) and (uses[id(node)] > 1 or depth[id(node)] >= _DEEPEST):
                name = f"e{len(self.shared) + 1}"
                self.shared[name], written, depth[id(node)] = written, {"shared": name}, 0
            self._written[id(node)] = written

    def write(self, expression: Expression) -> Any:
        """Return one of the roots as JSON can hold it."""
        return self._written[id(expression)]


def _children_first(roots: Iterable[Expression]) -> Iterator[Expression]:
    """Yield every node once, after its children; without recursion, for sums may be thousands of terms long."""
    done: set[int] = set()
    for root in roots:
        stack = [(root, iter(root.children()))]
        while stack:
            node, children = stack[-1]
            child = next((c for c in children if id(c) not in done), None)
            if child is not None:
                stack.append((child, iter(child.children())))
                continue
            stack.pop()
            if id(node) not in done:
                done.add(id(node))
                yield node


def _write(node: Expression, args: list[Any]) -> Any:
    if isinstance(node, Variable):
        return node.name
    if isinstance(node, Constant):
        return _write_constant(node)
    if isinstance(node, Apply):
        return {"op": _function_name(node), "args": args}
    if type(node) not in _FIELDS:
        raise RefusedError(
            f"The operation {type(node).__name__} in '{node}' must be one that can be saved. Got one that cannot."
        )
    name, fields = _FIELDS[type(node)](node)
    return {"op": name, "args": args, **fields}


def _write_constant(node: Constant) -> Any:
    if not node.dims and node.value.dtype in (np.int64, np.float64):
        return scalar_to_json(node.value[()])
    written: dict[str, Any] = {"op": "array", "dims": list(node.dims), "array": array_to_json(node.value)}
    if node.labels:
        written["labels"] = {d: array_to_json(labels) for d, labels in node.labels.items()}
    return written


def _function_name(node: Apply) -> str:
    for prefix, module in _MODULES.items():
        if getattr(module, node.function, None) is node.ufunc:
            return prefix + node.function
    raise RefusedError(
        f"The function '{node.function}' in '{node}' must be one of NumPy or of scipy.special to be saved. "
        "Got another one. Write it with those."
    )


_FIELDS: dict[type, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    Index: lambda n: ("index", {"dims": list(n.indices)}),
    Reduce: lambda n: ("mean" if n.mean_ else "sum", {"dim": n.dim}),
    Contract: lambda n: ("matmul", {"dim": n.dim}),
    Cumsum: lambda n: ("cumsum", {"dim": n.dim}),
    Join: lambda n: ("join", {"dim": n.dim, "along": list(n.along)}),
    MatrixFunction: lambda n: (n.name, {}),
    Rename: lambda n: ("rename", {"names": n.names}),
}
_MAKERS: dict[str, Callable[..., Expression]] = {
    "index": lambda w, table, *keys: Index(table, dict(zip(w["dims"], keys, strict=True))),
    "sum": lambda w, arg: Reduce(arg, w["dim"], mean=False),
    "mean": lambda w, arg: Reduce(arg, w["dim"], mean=True),
    "matmul": lambda w, left, right: Contract(left, right, w["dim"]),
    "cumsum": lambda w, arg: Cumsum(arg, w["dim"]),
    "join": lambda w, *pieces: Join(pieces, w["dim"], tuple(w["along"])),
    "rename": lambda w, arg: Rename(arg, w["names"]),
    "inverse": lambda w, matrix: MatrixFunction("inverse", matrix),
    "correlation": lambda w, matrix: MatrixFunction("correlation", matrix),
    "det": lambda w, matrix: MatrixFunction("det", matrix),
}


class ExpressionReader:
    """Reads what an `ExpressionWriter` wrote.

    Parameters
    ----------
    variable : callable
        From a name to the variable of the model.
    shared : mapping
        The writer's shared expressions, in their order.
    """

    def __init__(self, variable: Callable[[str], Expression], shared: Mapping[str, Any]) -> None:
        self._variable = variable
        self._waiting = iter(shared.items())
        self._shared: dict[str, Expression] = {}

    def read(self, written: Any) -> Expression:
        """Return an expression.

        Raises
        ------
        DataError
            Where it holds an operation or a variable that is not known.
        """
        if isinstance(written, str):
            return self._variable(written)
        if isinstance(written, int | float) or (isinstance(written, dict) and "number" in written):
            return Constant(scalar_from_json(written))
        if "shared" in written:
            return self._read_shared(written["shared"])
        operation = written["op"]
        if operation == "array":
            labels = {d: array_from_json(a) for d, a in written.get("labels", {}).items()}
            return Constant(array_from_json(written["array"]), tuple(written["dims"]), labels)
        args = tuple(self.read(arg) for arg in written["args"])
        maker = _MAKERS.get(operation)
        return Apply(_function(operation, len(args)), args) if maker is None else maker(written, *args)

    def _read_shared(self, name: str) -> Expression:
        """Return a shared expression, having read all before it: they do not refer to variables declared later."""
        while name not in self._shared:
            following = next(self._waiting, None)
            if following is None:
                raise DataError(f"A shared expression must stand before what uses it. Got no '{name}'.")
            self._shared[following[0]] = self.read(following[1])
        return self._shared[name]


def _function(name: str, count: int) -> Callable[..., Any]:
    """Return the elementwise function that has a name in a file: nothing but ufuncs and ``np.where`` are looked up."""
    prefix, _, plain = name.rpartition(".")
    module = _MODULES.get(prefix + "." if prefix else "")
    found = getattr(module, plain, None)
    elementwise = isinstance(found, np.ufunc) and found.signature is None and found.nout == 1
    if found is None or not (elementwise or found is np.where):
        raise DataError(
            f"An operation of a model must be one that is known. Got '{name}'. Update bayeskit, or NumPy and SciPy."
        )
    wanted = found.nin if isinstance(found, np.ufunc) else 3
    if count != wanted:
        raise DataError(f"The operation '{name}' must have {wanted} arguments. Got {count}.")
    function: Callable[..., Any] = found
    return function
